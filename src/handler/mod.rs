//! What a permitted request is handed to: the registry behind the gate, the embedded one, or the gate's own few
//! endpoints.
//!
//! No handler runs without a [`Permit`]; the dispatch is exhaustive, so a new target must be given a place.

mod forward;
mod listing;
mod page;
mod probe;
mod registry;
mod search;
mod token;

use std::fmt;

use http::{HeaderMap, HeaderValue, Method, Response};

use crate::acl::Acl;
use crate::acl::Permit;
use crate::acme::Tokens;
use crate::body::Body;
use crate::error::Error;
use crate::header::Origin;
use crate::identity::Identity;
use crate::oci::RepositoryName;
use crate::peer::Peer;
use crate::route::Route;
use crate::route::Target;
use crate::upstream::Upstream;

pub(crate) use registry::{Embedded, hidden};
pub(crate) use token::{Asked, Wanted};

/// Where content comes from.
#[derive(Debug)]
pub(crate) enum Backend {
    /// A registry behind the gate.
    Upstream(Upstream),
    /// The registry inside of it.
    Registry(Embedded),
}

impl Backend {
    /// The word for it in logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Upstream(_) => "upstream",
            Self::Registry(_) => "registry",
        }
    }

    /// Whether content can be had. Of a registry behind the gate only requests tell; nothing is asked of it here.
    ///
    /// # Errors
    /// The embedded registry's storage does not answer.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        match self {
            Self::Upstream(_) => Ok(()),
            Self::Registry(embedded) => Ok(embedded.registry().check().await?),
        }
    }

    /// Whether content can be had now; a registry behind the gate is asked.
    ///
    /// # Errors
    /// It does not answer, or says itself that it is broken.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        match self {
            Self::Upstream(upstream) => Ok(upstream.check().await?),
            Self::Registry(_) => self.check().await,
        }
    }
}

/// One request as a handler gets it, but for its body.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// What is asked for.
    pub route: &'a Route,
    /// The method that asks.
    pub method: &'a Method,
    /// The client's headers.
    pub headers: HeaderMap,
    /// Who asks.
    pub identity: &'a Identity,
    /// What is left out of lists for who asks.
    pub acl: &'a Acl,
    /// Over which connection.
    pub peer: &'a Peer,
    /// How the client sees itself.
    pub origin: &'a Origin,
    /// The challenge, should the upstream's refusal need one.
    pub challenge: Challenging<'a>,
    /// The id under which the request stands in our log.
    pub request_id: &'a HeaderValue,
    /// The proofs of names that an authority may ask for now.
    pub proofs: &'a Tokens,
    /// What is wanted of the token service, where it is what is asked.
    pub token: Option<Wanted<'a>>,
}

/// Writes the challenge; hardly any request needs one.
#[derive(Clone, Copy)]
pub(crate) struct Challenging<'a>(pub(crate) &'a (dyn Fn() -> HeaderValue + Sync));

impl fmt::Debug for Challenging<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Challenging").finish_non_exhaustive()
    }
}

/// Whether the asker may see a repository.
pub(crate) type Visible<'a> = &'a (dyn Fn(&RepositoryName) -> bool + Sync);

/// Does what was permitted. The second value is the status that the upstream gave, for the log.
///
/// What is asked for most often is awaited as it is, all else in a box: each future has room for the largest that it awaits,
/// and is copied on its way to where it runs, so a rare one would cost every request.
///
/// # Errors
/// See [`Error`].
pub(crate) async fn handle(
    backend: &Backend,
    permit: Permit,
    call: Call<'_>,
    body: Option<Body>,
) -> Result<(Response<Body>, Option<u16>), Error> {
    let acl = call.acl;
    match (&call.route.target, backend) {
        (Target::Ping, _) => Ok((probe::ping(permit), None)),
        (Target::Proof(token), _) => Ok((probe::proof(permit, call.proofs, token)?, None)),
        (Target::Token(_), _) => Ok((token::issue(permit, &call)?, None)),
        (
            Target::Root
            | Target::Version
            | Target::Manifest(..)
            | Target::Blob(..)
            | Target::UploadStart(..)
            | Target::Upload(..)
            | Target::Referrers(..),
            Backend::Upstream(upstream),
        ) => forward::forward(upstream, permit, call, body).await,
        (Target::Tags(name), Backend::Upstream(upstream)) => {
            Box::pin(listing::tags(upstream, permit, call, name)).await
        }
        (Target::Catalog, Backend::Upstream(upstream)) => {
            let pullable = acl.pullable(call.identity);
            let visible = |name: &RepositoryName| pullable.contains(name.as_str());
            Box::pin(listing::catalog(upstream, permit, call, &visible)).await
        }
        (Target::Search, Backend::Upstream(upstream)) => {
            let pullable = acl.pullable(call.identity);
            let visible = |name: &RepositoryName| pullable.contains(name.as_str());
            Box::pin(search::search(upstream, permit, call, &visible)).await
        }
        (_, Backend::Registry(embedded)) => {
            Ok((registry::answer(embedded, permit, call, body).await?, None))
        }
    }
}
