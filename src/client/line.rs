//! One connection to the other end, driven by whoever uses it.
//!
//! No task of its own: the future that waits for an answer, and then the body of that answer, move the connection
//! along. A task would cost two wake-ups for each request, and more for each piece of a body.

use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;
use tracing::debug;

use super::appetite::{Appetite, Metered};
use super::bell::{Bell, quietly};
use super::{Duplex, READ, READ_BUFFER};
use crate::body::Body;

type Driver = http1::Connection<TokioIo<Metered<Box<dyn Duplex>>>, Body>;

/// An established connection.
pub(super) struct Line {
    sender: http1::SendRequest<Body>,
    /// `None` when it is closed. The lock is never taken: it lets a connection be where only what is `Sync` may be.
    driver: Mutex<Option<Driver>>,
    bell: Bell,
    /// How much of a body is read at once.
    pub(super) appetite: Appetite,
    /// It has carried an exchange before, so the other end may just be closing it.
    pub(super) used: bool,
}

/// A request that did not get its answer.
pub(super) struct Failed {
    pub(super) error: hyper::Error,
    /// The request, where nothing of it has left.
    pub(super) unsent: Option<Request<Body>>,
}

impl Line {
    /// Speaks HTTP/1.1 over `io`.
    pub(super) async fn open(io: Box<dyn Duplex>) -> Result<Self, hyper::Error> {
        let appetite = Appetite::default();
        let io = TokioIo::new(Metered::new(io, appetite.clone()));
        let mut builder = http1::Builder::new();
        // The buffer that hyper reads into follows what is read, and what is read follows the appetite.
        builder.max_buf_size(READ).max_header_size(READ_BUFFER);
        let (sender, driver) = builder.handshake(io).await?;
        Ok(Self {
            sender,
            driver: Mutex::new(Some(driver)),
            bell: Bell::default(),
            appetite,
            used: false,
        })
    }

    /// Moves the connection along; `cx` is woken when there is more to do.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        let driver = self.driver.get_mut();
        let driver = driver.unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = driver
            && let Poll::Ready(ended) = Pin::new(open).poll(&mut self.bell.rings_for(cx))
        {
            if let Err(error) = ended {
                debug!(%error, "a connection to the registry or the store broke");
            }
            *driver = None;
        }
    }

    fn is_open(&mut self) -> bool {
        let driver = self.driver.get_mut();
        driver.unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether the last exchange is over and another one may begin.
    pub(super) fn is_ready(&mut self) -> bool {
        self.is_open() && self.sender.is_ready()
    }

    /// The other end has closed it, or it broke.
    pub(super) fn is_closed(&mut self) -> bool {
        !self.is_open() || self.sender.is_closed()
    }

    /// Sends a request; returns when the head of the answer is there.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Failed> {
        // Outside of tokio's budget for a task: where that is used up, a channel that has its message says "later" and wakes
        // the task, which the waker below does not do.
        let answer = quietly(|| self.sender.try_send_request(request));
        let answer = unconstrained(answer);
        let mut answer = pin!(answer);
        std::future::poll_fn(|cx| {
            self.drive(cx);
            // Only driving completes it, so it has nobody to wake.
            answer
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
        .map_err(|mut failed| Failed {
            unsent: failed.take_message(),
            error: failed.into_error(),
        })
    }
}
