//! `[admin]`: where the operator's tools ask, apart from clients.

use super::listener::{address, is_loopback};
use super::section::Section;
use super::types::ListenAddress;

/// The address, where there is one.
pub(super) fn read(section: &Section<'_>) -> Option<ListenAddress> {
    let found = section.parsed("address", |text| address(text, section.folder()));
    if !section.has("address") {
        let text = "is missing; write address = \"127.0.0.1:9180\", or remove [admin]";
        section.fault("address", text);
    }
    if let Some(ListenAddress::Tcp(socket)) = &found
        && !is_loopback(socket)
    {
        let text = format!(
            "{socket} is open to the network: whoever can connect reads the numbers, the listeners and the names of \
             certificate files, without a password; let a firewall or a network policy keep others out"
        );
        section.warn("address", text);
    }
    found
}
