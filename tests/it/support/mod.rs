//! What the tests stand on: real peers, each with its own folders, stopped when the test lets go of it.

pub mod binary;
pub mod buildah;
pub mod certs;
pub mod ctr;
pub mod dialog;
pub mod docker;
pub mod examples;
pub mod exchange;
pub mod flow;
pub mod frames;
pub mod fronts;
pub mod gate;
pub mod image;
pub mod nginx;
pub mod origin;
pub mod passwords;
pub mod peers;
pub mod podman;
pub mod process;
pub mod program;
pub mod raw;
pub mod registry;
pub mod skopeo;
pub mod trust;
pub mod upstream;
