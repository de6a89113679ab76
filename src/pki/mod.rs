//! The certificate desk: a CA, the certificates that it issues, and the list of those that it took back.
//!
//! Its folder holds `ca.crt` and `ca.key`, `index.txt` (the database of `openssl ca`), `crl.pem` and `crlnumber`, and a
//! `NAME.crt` and `NAME.key` for each certificate. [`Place`] says where, [`Desk`] is the folder locked and read,
//! [`Overview`] reads without a lock and without the CA's key, [`Bundle`] makes the files with which a client's machine
//! knows the registry. How changes happen as a whole, and what a crash leaves at each instant, is told in `folder`.
//!
//! The room knows files and X.509 (RFC 5280). It knows nothing of HTTP, of the running gate, and of command lines.

mod authority;
mod bundle;
mod certificate;
mod date;
mod der;
mod desk;
mod error;
mod folder;
mod index;
mod init;
mod key;
mod list;
mod name;
mod overview;
mod place;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod serial;
mod subject;

pub(crate) use bundle::{Bundle, Format, Output, Piece, Target, server_ca};
pub(crate) use certificate::Use;
pub(crate) use date::text as date_text;
pub(crate) use desk::{Desk, Issued, Renewal, Revoked, Wanted};
pub(crate) use error::Error;
pub(crate) use index::{Reason, Record, State};
pub(crate) use init::{adopt, make};
pub(crate) use key::{Key, KeyType};
pub(crate) use name::{Alternative, Name};
pub(crate) use overview::Overview;
pub(crate) use place::Place;
