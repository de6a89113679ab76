//! The PROXY protocol header, versions 1 and 2, which a load balancer puts before the first byte of a connection.
//!
//! Read byte-exactly: what follows the header belongs to TLS or HTTP. The caller has the deadline.

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The first twelve bytes of version 2 (haproxy's proxy-protocol.txt, section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1, its CRLF included (section 2.1).
const LONGEST_V1: usize = 107;

/// The largest version 2 body that is read: addresses and extensions that load balancers send stay well below.
const LARGEST_V2: usize = 4096;

/// The client's address as the load balancer reports it; `None` where it speaks for itself (health checks).
///
/// # Errors
/// The bytes are no PROXY header: somebody connects around the load balancer, or it is not switched on there.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await?;
        header.extend_from_slice(&rest);
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if length > LARGEST_V2 {
            return Err(invalid("its PROXY v2 header is too long"));
        }
        let start = header.len();
        header.resize(start + length, 0);
        stream
            .read_exact(header.get_mut(start..).unwrap_or_default())
            .await?;
    } else if header.starts_with(b"PROXY ") {
        while !header.ends_with(b"\r\n") {
            if header.len() >= LONGEST_V1 {
                return Err(invalid("its PROXY v1 header is too long"));
            }
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(invalid(
            "it does not begin with a PROXY header; switch it on at the load balancer, or listener.proxy_protocol off",
        ));
    }
    let config = ParseConfig::default();
    match ProxyHeader::parse(&header, config) {
        Ok((parsed, used)) if used == header.len() => {
            Ok(parsed.proxied_address().map(|a| a.source))
        }
        _ => Err(invalid("its PROXY header is malformed")),
    }
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let mut stream = bytes;
        let address = read(&mut stream).await;
        (address, stream.to_vec())
    }

    #[tokio::test]
    async fn both_versions_tell_the_client_and_leave_what_follows() {
        let (address, rest) = told(b"PROXY TCP4 203.0.113.9 10.0.0.1 4242 443\r\nGET /").await;
        assert_eq!(address.unwrap(), Some("203.0.113.9:4242".parse().unwrap()));
        assert_eq!(rest, b"GET /");

        let mut v2 = SIGNATURE.to_vec();
        v2.extend_from_slice(&[
            0x21, 0x11, 0, 12, 203, 0, 113, 9, 10, 0, 0, 1, 0x10, 0x92, 1, 0xbb,
        ]);
        v2.extend_from_slice(b"\x16\x03\x01");
        let (address, rest) = told(&v2).await;
        assert_eq!(address.unwrap(), Some("203.0.113.9:4242".parse().unwrap()));
        assert_eq!(rest, b"\x16\x03\x01");
    }

    #[tokio::test]
    async fn a_health_check_speaks_for_itself() {
        let (address, _) = told(b"PROXY UNKNOWN\r\n").await;
        assert_eq!(address.unwrap(), None);
        let mut local = SIGNATURE.to_vec();
        local.extend_from_slice(&[0x20, 0, 0, 0]);
        assert_eq!(told(&local).await.0.unwrap(), None);
    }

    #[tokio::test]
    async fn anything_else_is_refused_without_reading_on() {
        let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 500]].concat();
        let mut huge = SIGNATURE.to_vec();
        huge.extend_from_slice(&[0x21, 0x11, 0xff, 0xff]);
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"PROXY",
            b"PROXY TCP4 x y 1 2\r\n",
            &endless,
            &huge,
        ] {
            assert!(told(bytes).await.0.is_err());
        }
    }
}
