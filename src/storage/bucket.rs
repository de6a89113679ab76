//! A store in a bucket.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::config;

use super::{ByteStream, Entry, Error, Key, OpenError, UploadKey};

/// A bucket.
#[derive(Debug)]
pub(crate) struct Bucket {}

impl Bucket {
    pub(super) fn open(config: &config::Storage) -> Result<Self, OpenError> {
        todo!()
    }
    pub(super) async fn check(&self) -> Result<(), Error> {
        todo!()
    }
    pub(super) async fn read(&self, key: &Key, most: u64) -> Result<Option<Bytes>, Error> {
        todo!()
    }
    pub(super) async fn write(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        todo!()
    }
    pub(super) async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        todo!()
    }
    pub(super) async fn stream(
        &self,
        key: &Key,
        range: Range<u64>,
    ) -> Result<Option<ByteStream>, Error> {
        todo!()
    }
    pub(super) async fn remove(&self, key: &Key) -> Result<bool, Error> {
        todo!()
    }
    pub(super) async fn remove_below(&self, folder: &Key) -> Result<(), Error> {
        todo!()
    }
    pub(super) async fn list(
        &self,
        folder: &Key,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Entry>, Error> {
        todo!()
    }
    pub(super) async fn presigned(
        &self,
        key: &Key,
        valid: Duration,
    ) -> Result<Option<String>, Error> {
        todo!()
    }
    pub(super) async fn begin(&self, upload: &UploadKey, state: Bytes) -> Result<(), Error> {
        todo!()
    }
    pub(super) async fn offset(&self, upload: &UploadKey) -> Result<Option<u64>, Error> {
        todo!()
    }
    pub(super) async fn resume(&self, upload: &UploadKey) -> Result<Option<Session>, Error> {
        todo!()
    }
    pub(super) async fn touched(&self, upload: &UploadKey) -> Result<Option<SystemTime>, Error> {
        todo!()
    }
    pub(super) async fn tidy(&self, age: Duration) -> Result<(), Error> {
        todo!()
    }
}

/// An upload in hand.
#[derive(Debug)]
pub(crate) struct Session {}

impl Session {
    pub(super) fn offset(&self) -> u64 {
        todo!()
    }
    pub(super) fn state(&self) -> &Bytes {
        todo!()
    }
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        todo!()
    }
    pub(super) async fn save(&mut self, state: Bytes) -> Result<(), Error> {
        todo!()
    }
    pub(super) async fn read_back(&mut self) -> Result<ByteStream, Error> {
        todo!()
    }
    pub(super) async fn commit(self, blob: &Key) -> Result<(), Error> {
        todo!()
    }
    pub(super) async fn discard(self) -> Result<(), Error> {
        todo!()
    }
}
