//! The configuration: what may be written in `proxy.toml` and the environment, and what it means.
//!
//! Plain data at the bottom of the house: nothing in here knows the rooms it configures. Two types for each
//! setting: what was written (private, `*Toml`) and what is meant (`types`).

mod types;

pub use types::{
    AccessFormat, Anonymous, Auth, Authorization, CertificateFiles, ClientAuth, Clients, Config,
    Headers, Level, Limits, ListenAddress, Listener, ListenerTls, Log, LogFormat, Satisfy,
    Timeouts, TlsVersion, Upstream, UpstreamUrl,
};
