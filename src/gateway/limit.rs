//! What is refused by the head alone: unwelcome clients, and bodies that say they are too large.

use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::body::Body;
use crate::config;
use crate::error::Error;
use crate::route::Route;
use crate::route::Target;
use crate::route::Verb;

use super::agents::UserAgents;
use super::upload::Upload;

/// Bytes of a form for the token service: a password and some scopes.
const TOKEN_FORM: u64 = 64 * 1024;

/// Bounds on request bodies.
#[derive(Debug)]
pub(super) struct Limits {
    manifest: u64,
    body: Option<u64>,
}

impl Limits {
    pub(super) fn new(limits: &config::Limits) -> Self {
        Self {
            manifest: limits.manifest_size,
            body: limits.body_size,
        }
    }

    /// The body, bounded, if there is one.
    ///
    /// # Errors
    /// The client is turned away, or its body says that it is too large.
    pub(super) fn admit(
        &self,
        route: &Route,
        headers: &HeaderMap,
        agents: &UserAgents,
        mut body: Upload,
    ) -> Result<Option<Body>, Error> {
        if route.target != Target::Ping && agents.reject(headers) {
            return Err(Error::UserAgent);
        }
        if body.is_end_stream() {
            return Ok(None);
        }
        let manifest = matches!(route.target, Target::Manifest(..)) && route.verb == Verb::Put;
        let limit = match route.target {
            _ if manifest => Some(self.manifest),
            Target::Token(_) => Some(TOKEN_FORM),
            _ => self.body,
        };
        if let Some(limit) = limit {
            if body.size_hint().lower() > limit {
                return Err(Error::TooLarge { limit, manifest });
            }
            body.bound(limit);
        }
        Ok(Some(body.boxed_unsync()))
    }
}
