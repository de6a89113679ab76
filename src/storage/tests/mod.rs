//! The contract of a store: one suite of claims, held over each kind.

mod child;
mod cut;
pub(in crate::storage) mod emulators;
mod faults;
mod files;
pub(in crate::storage) mod front;
mod order;
mod registry_2;
pub(in crate::storage) mod stores;
mod strangers;
mod uploads;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::{ByteStream, Error, Key, Storage, UploadKey};
use crate::oci::{Algorithm, Digest, RepositoryName, Tag};

/// Holds every claim over one kind of store, which `stores` opens under that name.
macro_rules! contract {
    ($($store:ident)*) => {
        $(contract! {
            @over $store;
            files: what_is_written_is_read_back
                a_missing_file_is_none
                an_empty_file_is_there
                a_longer_file_than_may_be_is_damaged
                a_later_write_takes_the_place_of_an_earlier_one
                many_writers_of_one_file_leave_one_of_theirs
                a_stream_gives_exactly_its_range
                a_long_stream_gives_every_byte_in_order
                a_stream_beyond_the_end_fails_and_does_not_end_early
                a_reader_of_a_file_that_is_replaced_never_sees_both
                a_stream_that_is_dropped_disturbs_nobody
                a_folder_is_no_file
                a_file_is_no_folder
                removing_tells_whether_there_was_a_file
                what_is_removed_can_be_written_again
                a_folder_is_removed_with_all_below_it_and_nothing_else
                removing_a_missing_folder_is_no_error
                a_list_is_in_byte_order_and_tells_folders
                a_list_is_paged_without_loss_or_repeat
                a_list_of_a_missing_folder_is_empty
                a_list_of_nothing_is_empty
                the_store_answers
                tidying_leaves_files_alone;
            uploads: an_upload_begins_empty_with_its_state
                an_unknown_upload_is_none
                saved_bytes_and_state_come_back
                unsaved_bytes_are_gone
                an_upload_grows_over_many_sessions
                two_sessions_of_one_upload_are_refused
                a_session_ends_with_its_value
                the_offset_is_told_while_somebody_writes
                large_writes_arrive_whole
                many_small_writes_arrive_whole
                all_bytes_can_be_read_back_saved_or_not
                writing_goes_on_after_reading_back
                a_committed_blob_has_all_bytes_and_the_upload_is_gone
                unsaved_bytes_are_committed_too
                an_empty_upload_becomes_an_empty_blob
                a_blob_of_another_length_is_replaced
                one_blob_is_committed_by_many_at_once
                nobody_takes_up_what_is_committed_meanwhile
                a_discarded_upload_is_gone
                a_removed_upload_is_gone
                touching_moves_the_time
                uploads_are_listed
                uploads_do_not_disturb_each_other
                tidying_leaves_uploads_alone;
        })*
    };
    (@over $store:ident; $($room:ident: $($claim:ident)*;)*) => {
        mod $store {
            $($(
                #[tokio::test]
                async fn $claim() {
                    if let Some(store) = super::stores::$store().await {
                        super::$room::$claim(&store.storage).await;
                    }
                }
            )*)*
        }
    };
}

contract! {
    filesystem
    memory
    s3
    azure
    gcs
}

fn repository() -> RepositoryName {
    RepositoryName::parse("team/app").unwrap()
}

/// The key of a small file; each name its own.
fn file(name: &str) -> Key {
    Key::current(&repository(), &Tag::parse(name).unwrap())
}

/// The key of a blob; each byte its own.
fn blob(byte: u8) -> Key {
    Key::blob(&Digest::of(Algorithm::Sha256, &[byte; 32]))
}

fn upload(id: &str) -> UploadKey {
    UploadKey::new(&repository(), id).unwrap()
}

/// Bytes that differ wherever two pieces of a file could be mixed up.
fn pattern(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = BytesMut::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.freeze()
}

async fn read(storage: &Storage, key: &Key) -> Option<Bytes> {
    storage.read(key, 64 << 20).await.unwrap()
}

async fn write(storage: &Storage, key: &Key, bytes: impl Into<Bytes>) {
    storage.write(key, bytes.into()).await.unwrap();
}

/// All bytes of a stream, or its error.
async fn collect(mut stream: ByteStream) -> Result<Bytes, Error> {
    let mut all = BytesMut::new();
    while let Some(bytes) = stream.next().await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all.freeze())
}

async fn stream(storage: &Storage, key: &Key, range: std::ops::Range<u64>) -> Bytes {
    let stream = storage.stream(key, range).await.unwrap().unwrap();
    collect(stream).await.unwrap()
}

/// The names in a folder.
async fn names(storage: &Storage, folder: &Key) -> Vec<String> {
    let entries = storage.list(folder, None, 1000).await.unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}
