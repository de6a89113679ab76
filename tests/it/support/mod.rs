//! What the tests stand on: real peers, each with its own folders, stopped when the test lets go of it.

pub mod ask;
pub mod buildah;
pub mod certs;
pub mod ctr;
pub mod docker;
pub mod gate;
pub mod image;
pub mod nginx;
pub mod passwords;
pub mod peers;
pub mod podman;
pub mod process;
pub mod registry;
pub mod site;
pub mod skopeo;
pub mod trust;
