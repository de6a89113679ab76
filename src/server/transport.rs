//! The streams that connections run over, and how each is ended so that nobody takes its end for a proper one.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// A downstream byte stream.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// Makes the coming drop a break and not an end: what was sent so far must not look complete.
    fn abort(&mut self);
}

impl Transport for TcpStream {
    /// The peer gets a reset in place of a FIN (`SO_LINGER` of zero): all that tells an HTTP/1.0 client, for whom the
    /// end of the connection is the end of the body.
    fn abort(&mut self) {
        // It fails on a socket that is dead already, which is as broken as can be.
        let _ = self.set_zero_linger();
    }
}

impl Transport for UnixStream {
    /// A Unix socket has no reset: its peer has to count bytes or chunks.
    fn abort(&mut self) {}
}

impl<S: Transport> Transport for TlsStream<S> {
    /// No `close_notify` is sent when the stream is dropped; the socket below is reset as well.
    fn abort(&mut self) {
        self.get_mut().0.abort();
    }
}
