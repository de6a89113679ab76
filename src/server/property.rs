//! What holds of the first bytes of every connection.

use std::net::SocketAddr;

use futures_util::FutureExt as _;

use super::proxy_protocol;

pub(crate) use super::framing::property::connection as framing;

/// A PROXY header and what follows it: not one byte more is taken than the header has, and the address is the one that
/// stands in it.
pub(crate) fn proxy_header(data: &[u8]) {
    let mut stream = data;
    // All bytes are there, so there is nothing to wait for.
    let Some(read) = proxy_protocol::read(&mut stream).now_or_never() else {
        panic!("waits for bytes that it has");
    };
    let taken = data.len() - stream.len();
    let header = data.get(..taken).unwrap_or_default();
    assert!(taken <= 16 + 4096, "{taken}");
    let Ok(address) = read else {
        return;
    };
    if header.starts_with(b"PROXY ") {
        assert!(taken <= 107 && header.ends_with(b"\r\n"));
        let text = String::from_utf8_lossy(header);
        assert_eq!(text.matches("\r\n").count(), 1, "{text:?}");
        if let Some(address) = address {
            assert_eq!(Some(address), source(&text), "{text:?}");
        }
    } else {
        let length = header
            .get(14..16)
            .map(|b| usize::from(b[0]) << 8 | usize::from(b[1]));
        assert_eq!(length.map(|length| length + 16), Some(taken));
        assert!(address.is_none() || header.get(12) == Some(&0x21));
    }
}

/// The source of a line of version 1.
fn source(text: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = text.trim_end().split(' ').collect();
    let [_, family, source, _, port, _] = words.as_slice() else {
        return None;
    };
    let address = SocketAddr::new(source.parse().ok()?, port.parse().ok()?);
    ((*family == "TCP4") == address.is_ipv4()).then_some(address)
}
