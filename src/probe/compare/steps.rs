//! One request to both sides: who asks what, and what for.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

use super::content::MANIFEST;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Nobody in particular.
    Nobody,
    /// The user, as docker logs in: by what the challenge says.
    User,
    /// The user with another password, as docker logs in.
    Wrong,
    /// The user, with `Authorization: Basic` at once, as `curl -u` does.
    Basic,
    /// The same with another password.
    WrongBasic,
    /// A user that nobody has.
    Stranger,
    /// Empty name and password: what podman sends when it has none.
    Empty,
}

/// For what a token must be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// To come in.
    Nothing,
    /// To read in the repository.
    Pull,
    /// To write there.
    Push,
    /// To remove there.
    Delete,
    /// To list repositories.
    Catalog,
}

/// One request to both sides.
#[derive(Debug)]
pub(super) struct Step {
    /// The group and what it is about.
    pub name: &'static str,
    /// Who asks.
    pub who: Who,
    /// What a token is for.
    pub need: Need,
    /// Method.
    pub method: Method,
    /// Path and query; `{upload}` stands for the path of the last `Location`, with a query begun.
    pub path: String,
    /// Headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    pub body: Bytes,
    /// The body goes out in chunks.
    pub chunked: bool,
    /// The body of the answer is a list that both sides fill with other things.
    pub list: bool,
}

/// A request without headers and body: `METHOD PATH`.
pub(super) fn step(name: &'static str, who: Who, need: Need, request: &str) -> Step {
    let (method, path) = request.split_once(' ').unwrap_or(("GET", request));
    Step {
        name,
        who,
        need,
        method: method.parse().unwrap_or(Method::GET),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        chunked: false,
        list: false,
    }
}

impl Step {
    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        let (name, value) = (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        self.headers.push((name, value));
        self
    }

    pub(super) fn accepting(self) -> Self {
        self.header("accept", MANIFEST)
    }

    pub(super) fn bytes(self, body: &Bytes) -> Self {
        Self {
            body: body.clone(),
            ..self.header("content-type", "application/octet-stream")
        }
    }

    pub(super) fn manifest(self, body: &Bytes) -> Self {
        Self {
            body: body.clone(),
            ..self.header("content-type", MANIFEST)
        }
    }

    pub(super) fn in_chunks(self) -> Self {
        Self {
            chunked: true,
            ..self
        }
    }

    pub(super) fn list(self) -> Self {
        Self { list: true, ..self }
    }

    /// A request that is no part of the comparison.
    pub(super) fn own(method: Method, path: &str, need: Need) -> Self {
        let step = step("own", Who::User, need, path);
        Self {
            method,
            path: path.to_owned(),
            ..step.accepting()
        }
    }

    /// Whether it changes something.
    pub(super) fn writes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }
}

/// An image that both sides have.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Its repository.
    pub repository: String,
    /// Tag or digest.
    pub reference: String,
}
