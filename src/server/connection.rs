//! One downstream connection, from the first byte to the last: PROXY header, handshake, HTTP, drain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{Instrument, debug, debug_span};

use crate::gateway::Gateway;
use crate::metrics;
use crate::metrics::Failure;
use crate::metrics::Word as _;
use crate::peer::Address;
use crate::peer::Peer;
use crate::peer::Scheme;
use crate::telemetry::chain;
use crate::tls::ServerTls;
use crate::tls::Standing;

use super::framing::HeadLimits;
use super::guard::{Bounds, Exchanges, Guard};
use super::held::Held;
use super::proxy_protocol;
use super::pulse::Pulse;
use super::settings::{Live, Phase};
use super::transport::{Socket, Transport};

/// Streams of one HTTP/2 connection at once: no client opens more than a few, and 100 is what RFC 9113 section 6.5.2
/// calls the least sensible limit.
const H2_STREAMS: u32 = 100;
/// What one HTTP/2 stream, and one connection, may send before we read it: memory that a peer can make us hold.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What we hold of one HTTP/2 stream that its reader does not take.
const H2_SEND_BUFFER: usize = 256 * 1024;
/// Resets of streams that were not answered yet; more are an attack (rapid reset, CVE-2023-44487).
const H2_RESETS: usize = 20;

/// Room for what hyper adds to a head of the largest size that the guard lets pass.
const HEAD_SLACK: usize = 16 * 1024;
/// The smallest read buffer that hyper takes.
const LEAST_BUFFER: usize = 64 * 1024;

/// What a listener gives to each of its connections.
#[derive(Debug)]
pub(super) struct Door {
    /// TLS, where it is spoken.
    pub tls: Option<ServerTls>,
    /// Every request needs a client certificate.
    pub certificate_required: bool,
    /// A PROXY header comes first.
    pub proxy_protocol: bool,
    /// An authority's challenges are answered, and nothing else.
    pub challenges_only: bool,
}

/// Serves one connection to its end.
pub(super) async fn serve(
    mut socket: Socket,
    address: Address,
    door: Arc<Door>,
    live: Live,
    mut phase: watch::Receiver<Phase>,
    counts: metrics::Listener,
) {
    let span = debug_span!("connection", peer.addr = %address, tls.sni = tracing::field::Empty);
    let deadline = live.settings().timeouts.handshake;
    async move {
        let address = if door.proxy_protocol {
            match preliminary(deadline, &mut phase, proxy_protocol::read(&mut socket)).await {
                Ok(Ok(told)) => told.map_or(address, |told: SocketAddr| Address::Ip(told)),
                Ok(Err(error)) => {
                    counts.failed(Failure::ProxyHeader);
                    return debug!(%error, "connection refused");
                }
                Err(why) => {
                    counts.failed(why);
                    return debug!(reason = why.word(), "connection refused: no PROXY header");
                }
            }
        } else {
            address
        };
        let mut peer = Peer {
            address,
            scheme: Scheme::Http,
            sni: None,
            tls_version: None,
            certificate: None,
            certificate_required: door.certificate_required,
            challenges_only: door.challenges_only,
        };
        let Some(tls) = &door.tls else {
            return Box::pin(http1(socket, Client::new(peer, None), live, phase)).await;
        };
        // Boxed, so that the room of a handshake goes with it.
        let handshake = Box::pin(tls.accept(socket));
        match preliminary(deadline, &mut phase, handshake).await {
            Ok(Ok((stream, handshake))) => {
                peer.scheme = Scheme::Https;
                peer.sni = handshake.sni;
                peer.tls_version = handshake.version;
                peer.certificate = handshake.certificate;
                tracing::Span::current().record("tls.sni", peer.sni.as_deref());
                counts.handshake(handshake.version, handshake.resumed);
                debug!(tls.resumed = handshake.resumed, "handshake done");
                let client = Client::new(peer, handshake.standing);
                // Boxed, so that the task, which is copied on its way to where it runs, has no room for them yet.
                if handshake.http2 {
                    Box::pin(http2(stream, client, live, phase)).await;
                } else {
                    Box::pin(http1(stream, client, live, phase)).await;
                }
            }
            Ok(Err(error)) => {
                counts.failed(error.failure());
                debug!(
                    reason = error.code(),
                    error = chain(&error),
                    "handshake failed"
                );
            }
            Err(why) => {
                counts.failed(why);
                debug!(reason = why.word(), "handshake not finished");
            }
        }
    }
    .instrument(span)
    .await;
}

/// What comes before any request: it has a deadline, and nobody waits for it once the server drains, since nothing is lost
/// with it.
async fn preliminary<T>(
    deadline: Duration,
    phase: &mut watch::Receiver<Phase>,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::select! {
        done = timeout(deadline, work) => done.map_err(|_| Failure::Timeout),
        () = draining(phase) => Err(Failure::Drain),
    }
}

/// The other end of a connection, and whether its certificate still holds.
struct Client {
    peer: Peer,
    standing: Option<Standing>,
}

impl Client {
    fn new(peer: Peer, standing: Option<Standing>) -> Arc<Self> {
        Arc::new(Self { peer, standing })
    }

    /// The peer as it stands now: a certificate that was revoked or has expired since the handshake counts no more.
    fn peer(&self) -> std::borrow::Cow<'_, Peer> {
        match self.standing.as_ref().map(Standing::check) {
            Some(Err(refusal)) => {
                debug!(
                    reason = "client_cert",
                    subject = refusal.subject,
                    serial = refusal.serial,
                    "the client certificate of an open connection holds no more: {}",
                    refusal.reason
                );
                std::borrow::Cow::Owned(Peer {
                    certificate: None,
                    ..self.peer.clone()
                })
            }
            _ => std::borrow::Cow::Borrowed(&self.peer),
        }
    }
}

async fn answer(
    client: Arc<Client>,
    live: Live,
    exchanges: Exchanges,
    pulse: Option<Pulse>,
    request: Request<Incoming>,
) -> Result<Response<Held>, Infallible> {
    let exchange = exchanges.begin();
    let beat = pulse.map(|pulse| pulse.begin());
    let gateway: Arc<Gateway> = live.gateway();
    let response = gateway.serve(&client.peer(), request).await;
    Ok(response.map(|body| Held::new(body, exchange, beat)))
}

async fn http1<S>(stream: S, client: Arc<Client>, live: Live, mut phase: watch::Receiver<Phase>)
where
    S: Transport + Send + 'static,
{
    let settings = live.settings();
    let bounds = Bounds {
        head: HeadLimits {
            header_size: settings.limits.header_size,
        },
        request_header: settings.timeouts.request_header,
        idle: settings.timeouts.idle,
        stall: super::STALL,
    };
    let refused = (live.clone(), Arc::clone(&client));
    let guard = Guard::new(
        stream,
        bounds,
        Arc::new(move |fault| {
            let (live, client) = &refused;
            let status = fault.status().unwrap_or(StatusCode::BAD_REQUEST);
            live.gateway()
                .refuse_bytes(&client.peer, status, fault.reason(), fault.public_text())
        }),
    );
    let exchanges = guard.exchanges();
    // hyper makes room for one such future when the connection begins and keeps it to the end: boxed, an idle connection
    // has room for a pointer and not for a whole walk.
    let service = service_fn(move |request| {
        Box::pin(answer(
            Arc::clone(&client),
            live.clone(),
            exchanges.clone(),
            None,
            request,
        ))
    });
    // The guard has the deadlines; hyper's own would close without an answer.
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size((settings.limits.header_size + HEAD_SLACK).max(LEAST_BUFFER))
            .serve_connection(TokioIo::new(guard), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = draining(&mut phase) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    report(ended);
}

async fn http2<S>(stream: S, client: Arc<Client>, live: Live, mut phase: watch::Receiver<Phase>)
where
    S: Transport + Send + 'static,
{
    let settings = live.settings();
    let pulse = Pulse::default();
    let service = {
        let pulse = pulse.clone();
        let exchanges = Exchanges::default();
        service_fn(move |request| {
            answer(
                Arc::clone(&client),
                live.clone(),
                exchanges.clone(),
                Some(pulse.clone()),
                request,
            )
        })
    };
    let header_size = u32::try_from(settings.limits.header_size).unwrap_or(u32::MAX);
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS)
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_send_buf_size(H2_SEND_BUFFER)
            .max_header_list_size(header_size)
            .max_pending_accept_reset_streams(H2_RESETS)
            .max_local_error_reset_streams(Some(H2_RESETS))
            .keep_alive_interval(Some(super::STALL / 2))
            .keep_alive_timeout(super::STALL / 2)
            .serve_connection(TokioIo::new(stream), service)
    );
    let first = settings.timeouts.request_header;
    let idle = settings.timeouts.idle;
    let mut leaving = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return report(ended),
            () = draining(&mut phase), if !leaving => {}
            () = pulse.idle(first, idle), if !leaving => {}
            () = pulse.stalled(super::STALL) => {
                return debug!(reason = "timeout", "the client takes no more of its answers");
            }
            () = pulse.quiet(), if leaving => {
                // GOAWAY is sent and nothing is open; a peer that stays now has nothing to stay for.
                let _ = timeout(Duration::from_secs(5), connection.as_mut()).await;
                return;
            }
        }
        leaving = true;
        connection.as_mut().graceful_shutdown();
    }
}

/// Returns when the server begins to drain.
pub(super) async fn draining(phase: &mut watch::Receiver<Phase>) {
    // An error means that the server is gone, which is as good a reason.
    let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
}

fn report(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        debug!(error = chain(&error), "connection broken");
    }
}
