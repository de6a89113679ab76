//! What a request asks for: method and path become a [`Route`], once, and everything after works on that.
//!
//! Pure. The path that is judged is the path that is forwarded: [`Route::path`] writes it back from its parts,
//! so no spelling that a rule did not see can reach the registry. Anything that is not in this grammar is refused
//! here, before a rule is asked.

mod access;
mod paging;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod query;
mod scope;
mod v2;

use http::{Method, Uri};

use crate::oci::{Digest, Invalid, Reference, RepositoryName};

pub(crate) use access::{Access, Action};
pub(crate) use paging::{Paging, linked_query, next_filtered_link, next_link, page_query, value};
pub(crate) use query::{Mount, digest, form};
pub(crate) use scope::asked;

/// One request target of the house, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// What is asked for.
    pub target: Target,
    /// How it is asked for.
    pub verb: Verb,
    /// The query to forward, as it may be forwarded (without `?`).
    pub query: Option<String>,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/_ping` and `/v1/_ping`, answered by the gate.
    Ping,
    /// `/`, where load balancers look for life.
    Root,
    /// `/v2/` (end-1).
    Version,
    /// `/v2/_catalog`.
    Catalog,
    /// `/v1/search`: `docker search` and `podman search`.
    Search,
    /// `/v2/NAME/tags/list` (end-8).
    Tags(RepositoryName),
    /// `/v2/NAME/manifests/REFERENCE` (end-3, end-7, end-9).
    Manifest(RepositoryName, Reference),
    /// `/v2/NAME/blobs/DIGEST` (end-2, end-10).
    Blob(RepositoryName, Digest),
    /// `/v2/NAME/blobs/uploads/` (end-4), and what it mounts (end-11).
    UploadStart(RepositoryName, Option<Mount>),
    /// `/v2/NAME/blobs/uploads/ID` (end-5, end-6, end-13).
    Upload(RepositoryName, UploadId),
    /// `/v2/NAME/referrers/DIGEST` (end-12).
    Referrers(RepositoryName, Digest),
    /// The token service, at the path that the configuration says.
    Token(String),
    /// The proof of a name, by its token, for an authority (RFC 8555 section 8.3).
    Proof(String),
}

/// The methods that the registry API has; any other is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

/// The opaque id of an upload: 1 to 256 letters, digits and `_ - = . ~`, not dots alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UploadId(String);

/// Why a request has no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The path has a form that could be read in two ways.
    #[error("{0}")]
    BadPath(&'static str),
    /// A name, tag or digest in the path is malformed.
    #[error("{0}")]
    Invalid(#[source] Invalid),
    /// A tag that cannot exist was asked for: the same as one that does not.
    #[error("{0}")]
    Absent(#[source] Invalid),
    /// The listener is for an authority's challenges alone.
    #[error("this port answers ACME challenges alone; the registry is at https://")]
    Elsewhere,
    /// No such path.
    #[error("no such path; the registry API is below /v2/")]
    Unknown,
    /// The path is known and does not take this method.
    #[error("the method is not allowed here; allowed: {allow}")]
    Method {
        /// For the `Allow` header.
        allow: &'static str,
    },
}

impl Route {
    /// The one reading of a method and a request target; `token_path` is where the token service is, if there is one.
    pub(crate) fn parse(
        method: &Method,
        uri: &Uri,
        token_path: Option<&str>,
    ) -> Result<Self, Fault> {
        let path = v2::clean(uri.path())?;
        let query = uri.query().filter(|q| !q.is_empty());
        if let Some(query) = query {
            query::check(query)?;
        }
        let verb = Verb::of(method);
        let (target, query) = if token_path == Some(&*path) {
            (Target::Token(path.into_owned()), query.map(str::to_owned))
        } else {
            v2::target(&path, query, verb)?
        };
        let allow = target.allow();
        match verb {
            Some(verb) if allow.split(", ").any(|m| m == method.as_str()) => Ok(Self {
                target,
                verb,
                query,
            }),
            _ => Err(Fault::Method { allow }),
        }
    }

    /// The path in its one canonical spelling.
    pub(crate) fn path(&self) -> String {
        self.target.path()
    }

    /// The same upload without its mount: the client sends the blob itself then.
    pub(crate) fn without_mount(&self) -> Self {
        let mut route = self.clone();
        if let Target::UploadStart(_, mount @ Some(_)) = &mut route.target {
            *mount = None;
            route.query = route.query.as_deref().and_then(query::without_mount);
        }
        route
    }

    /// Path and query as they are forwarded.
    pub(crate) fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path()),
            None => self.path(),
        }
    }
}

impl Verb {
    /// The verb of a method; method names are case-sensitive (RFC 9110 section 9.1).
    fn of(method: &Method) -> Option<Self> {
        match method.as_str() {
            "GET" => Some(Self::Get),
            "HEAD" => Some(Self::Head),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

impl UploadId {
    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
