//! `dockgate health`: asks a running gate for `/_ping`, for a HEALTHCHECK in an image without a shell.
//!
//! Exit 0 or 1 and never 2: Docker reserves 2. Without `--url` the first listener of the configuration is asked, on
//! this machine. No credentials are sent, so nobody can steal any; therefore a certificate is not verified when the
//! gate of this machine is asked (its names are those that clients use, not `127.0.0.1`), and verified otherwise.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::config::{ListenAddress, Listener};
use crate::telemetry::chain;
use crate::tls;

use super::{DONE, FAILED, load, say};

/// Docker kills a check after 30 s; a gate that needs more than this for `/_ping` is not healthy.
const DEADLINE: Duration = Duration::from_secs(5);

/// The PROXY protocol's own words for "a health check, not a client": version 2, command LOCAL, no addresses.
const PROXY_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// Where to ask, and how.
#[derive(Debug, PartialEq)]
struct Target {
    place: Place,
    /// `Host` of the request.
    authority: String,
    tls: Tls,
    proxy_protocol: bool,
}

#[derive(Debug, PartialEq)]
enum Place {
    Tcp(String, u16),
    Unix(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Tls {
    Off,
    Unverified,
    Verified,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0:?} is not a URL to ask; write http://HOST:PORT, https://HOST:PORT or unix:/PATH")]
    Url(String),
    #[error("TLS cannot be set up")]
    Tls(#[source] tls::Error),
    #[error("it cannot be reached")]
    Connect(#[source] io::Error),
    #[error(transparent)]
    Handshake(#[from] tls::ConnectError),
    #[error("it does not answer in HTTP")]
    Http(#[source] hyper::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("it did not answer within {} seconds", DEADLINE.as_secs())]
    Deadline(#[source] tokio::time::error::Elapsed),
    #[error("no runtime can be started")]
    Runtime(#[source] io::Error),
}

pub(super) fn run(config: Option<&Path>, url: Option<&str>) -> u8 {
    let target = match url {
        Some(url) => target_of_url(url).map_err(|error| vec![chain(&error)]),
        None => load::load(config)
            .map(|found| {
                let mut listeners = found.loaded.config.listeners.iter();
                listeners.next().map(target_of_listener)
            })
            .and_then(|target| {
                target.ok_or_else(|| vec!["the configuration has no listener".into()])
            }),
    };
    let target = match target {
        Ok(target) => target,
        Err(faults) => {
            for fault in &faults {
                say(fault);
            }
            return FAILED;
        }
    };
    match ask_within(DEADLINE, &target) {
        Ok(()) => DONE,
        Err(error) => {
            say(&format!("{}: {}", shown(&target), chain(&error)));
            FAILED
        }
    }
}

fn ask_within(deadline: Duration, target: &Target) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Error::Runtime)?;
    let asked = runtime.block_on(async { tokio::time::timeout(deadline, ask(target)).await });
    // A name that is still being looked up has a thread of its own; it must not hold up the answer.
    runtime.shutdown_background();
    asked.map_err(Error::Deadline)?
}

async fn ask(target: &Target) -> Result<(), Error> {
    match &target.place {
        Place::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            ask_over(target, stream.map_err(Error::Connect)?).await
        }
        Place::Unix(path) => {
            let stream = UnixStream::connect(path).await;
            ask_over(target, stream.map_err(Error::Connect)?).await
        }
    }
}

async fn ask_over<S>(target: &Target, mut stream: S) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    if target.proxy_protocol {
        stream
            .write_all(PROXY_LOCAL)
            .await
            .map_err(Error::Connect)?;
    }
    let tls = match target.tls {
        Tls::Off => return ping(target, stream).await,
        Tls::Unverified => tls::unverified_client().map_err(Error::Tls)?,
        Tls::Verified => tls::verified_client().map_err(Error::Tls)?,
    };
    let host = match &target.place {
        Place::Tcp(host, _) => host,
        Place::Unix(_) => "localhost",
    };
    ping(target, tls.connect(host, stream).await?).await
}

async fn ping<S>(target: &Target, stream: S) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Error::Http)?;
    let request = Request::get("/_ping")
        .header(http::header::HOST, &target.authority)
        .header(http::header::USER_AGENT, "dockgate-health")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Error::Url(target.authority.clone()))?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await;
    driver.abort();
    let response = response.map_err(Error::Http)?;
    match response.status() {
        StatusCode::OK => Ok(()),
        status => Err(Error::Status(status)),
    }
}

/// The listener as this machine reaches it.
fn target_of_listener(listener: &Listener) -> Target {
    let (place, authority) = match &listener.address {
        ListenAddress::Unix(path) => (Place::Unix(path.clone()), "localhost".to_owned()),
        ListenAddress::Tcp(socket) => {
            let ip = match socket.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                ip => ip,
            };
            let socket = SocketAddr::new(ip, socket.port());
            (
                Place::Tcp(ip.to_string(), socket.port()),
                socket.to_string(),
            )
        }
    };
    Target {
        place,
        authority,
        tls: if listener.tls.is_some() {
            Tls::Unverified
        } else {
            Tls::Off
        },
        proxy_protocol: listener.proxy_protocol,
    }
}

fn target_of_url(url: &str) -> Result<Target, Error> {
    // What stands before an @ may be a password, and is not repeated.
    let safe = url.rsplit('@').next().unwrap_or_default();
    let wrong = || Error::Url(safe.to_owned());
    if let Some(path) = url.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(wrong());
        }
        return Ok(Target {
            place: Place::Unix(path.into()),
            authority: "localhost".into(),
            tls: Tls::Off,
            proxy_protocol: false,
        });
    }
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    // A path is not refused: people write the address that they would open, and `/_ping` is asked for in any case.
    if authority.as_str().contains('@') {
        return Err(wrong());
    }
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let loopback = host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback());
    let (tls, port) = match uri.scheme_str() {
        Some("http") => (Tls::Off, 80),
        Some("https") if loopback => (Tls::Unverified, 443),
        Some("https") => (Tls::Verified, 443),
        _ => return Err(wrong()),
    };
    Ok(Target {
        place: Place::Tcp(host, authority.port_u16().unwrap_or(port)),
        authority: authority.as_str().to_owned(),
        tls,
        proxy_protocol: false,
    })
}

fn shown(target: &Target) -> String {
    match &target.place {
        Place::Unix(path) => format!("unix:{}", path.display()),
        Place::Tcp(..) if target.tls == Tls::Off => format!("http://{}/_ping", target.authority),
        Place::Tcp(..) => format!("https://{}/_ping", target.authority),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn urls_are_verified_unless_they_lead_to_this_machine() {
        for (url, tls, port) in [
            ("http://localhost:5000", Tls::Off, 5000),
            ("https://localhost", Tls::Unverified, 443),
            ("https://127.0.0.1:5443/", Tls::Unverified, 5443),
            ("https://[::1]:5443", Tls::Unverified, 5443),
            ("https://registry.example", Tls::Verified, 443),
            ("https://localhost.example", Tls::Verified, 443),
            ("https://10.0.0.1", Tls::Verified, 443),
        ] {
            let target = target_of_url(url).unwrap();
            assert_eq!(target.tls, tls, "{url}");
            assert!(
                matches!(target.place, Place::Tcp(_, found) if found == port),
                "{url}"
            );
        }
        for wrong in [
            "",
            "localhost",
            "ftp://localhost",
            "unix:",
            "https://a:b@host",
            "/x",
        ] {
            assert!(target_of_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (address, place) in [
            ("0.0.0.0:443", "127.0.0.1:443"),
            ("[::]:443", "[::1]:443"),
            ("10.0.0.5:443", "10.0.0.5:443"),
        ] {
            let listener = Listener {
                address: ListenAddress::Tcp(address.parse().unwrap()),
                tls: None,
                proxy_protocol: false,
                http2: true,
                challenges_only: false,
            };
            assert_eq!(target_of_listener(&listener).authority, place);
        }
    }

    /// Answers one connection with these bytes, after it was told something.
    async fn answer_once<S>(mut stream: S, answer: &'static [u8]) -> Vec<u8>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            if tokio::io::AsyncReadExt::read_buf(&mut stream, &mut heard)
                .await
                .unwrap()
                == 0
            {
                break;
            }
        }
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        heard
    }

    async fn asked(answer: &'static [u8], proxy_protocol: bool) -> (Result<(), Error>, Vec<u8>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut target = target_of_url(&format!("http://{address}")).unwrap();
        target.proxy_protocol = proxy_protocol;
        let gate = async {
            let (stream, _) = listener.accept().await.unwrap();
            answer_once(stream, answer).await
        };
        tokio::join!(ask(&target), gate)
    }

    #[tokio::test]
    async fn only_200_is_healthy() {
        let (result, heard) =
            asked(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue", false).await;
        assert!(result.is_ok(), "{result:?}");
        assert!(heard.starts_with(b"GET /_ping HTTP/1.1\r\n"));
        for sick in [
            &b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"[..],
            b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"",
        ] {
            let (result, _) = asked(sick, false).await;
            assert!(result.is_err(), "{sick:?}");
        }
    }

    #[tokio::test]
    async fn a_gate_behind_the_proxy_protocol_is_told_that_this_is_no_client() {
        let (result, heard) = asked(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true).await;
        assert!(result.is_ok(), "{result:?}");
        assert!(heard.starts_with(PROXY_LOCAL), "{heard:?}");
    }

    #[tokio::test]
    async fn a_gate_on_a_unix_socket_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let target = target_of_url(&format!("unix:{}", path.display())).unwrap();
        let gate = async {
            let (stream, _) = listener.accept().await.unwrap();
            answer_once(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await
        };
        let (result, _) = tokio::join!(ask(&target), gate);
        assert!(result.is_ok(), "{result:?}");
    }

    #[tokio::test]
    async fn the_certificate_of_this_machine_is_taken_and_any_other_verified() {
        let made = rcgen::generate_simple_self_signed(vec!["registry.example".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut target = target_of_url(&format!("https://{address}")).unwrap();
        for (tls, healthy) in [(Tls::Unverified, true), (Tls::Verified, false)] {
            target.tls = tls;
            let gate = async {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer_once(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            };
            let (result, ()) = tokio::join!(ask(&target), gate);
            assert_eq!(result.is_ok(), healthy, "{result:?}");
        }
    }

    #[test]
    fn a_gate_that_says_nothing_is_dead_after_the_deadline() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = target_of_url(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let asked = ask_within(Duration::from_millis(50), &target);
        assert!(matches!(asked, Err(Error::Deadline(_))), "{asked:?}");
    }
}
