//! `/v1/search`, which `docker search` and `podman search` ask and registry:2 does not have: names of the catalog that
//! contain the term, as far as the asker may see them.

use http::header::AUTHORIZATION;
use http::{Response, StatusCode};
use serde::Serialize;

use crate::acl::Permit;
use crate::body::Body;
use crate::error::Error;
use crate::oci::{Code, RepositoryName};
use crate::response::error_document;
use crate::response::json;
use crate::route::Paging;
use crate::route::value;
use crate::upstream::Upstream;

use super::listing::{Found, Reader, refused};
use super::page::document_for;
use super::{Call, Visible};

/// Results when the client names no number; docker and podman say 25 themselves.
const RESULTS: usize = 25;

/// The answer of the v1 search, as docker reads it.
#[derive(Serialize)]
struct Document<'a> {
    num_results: usize,
    query: &'a str,
    results: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    name: &'a str,
    description: &'a str,
    star_count: u64,
    is_official: bool,
    is_automated: bool,
}

/// What is looked for.
pub(super) struct Term {
    /// As the client wrote it.
    query: String,
    /// As it can stand in a name.
    lower: String,
    /// At most so many names.
    pub(super) most: usize,
}

impl Term {
    /// What the request looks for, or the answer to one that is not to be searched for.
    ///
    /// Without an `Authorization` header there is no such page: podman, which never sends one here, then reads the
    /// catalog with its login. docker sends an empty one when it is not logged in.
    pub(super) fn of(call: &Call<'_>) -> Result<Result<Self, Response<Body>>, Error> {
        if !call.headers.contains_key(AUTHORIZATION) {
            let message = "search needs an Authorization header; read /v2/_catalog instead";
            let text = error_document(Code::NameUnknown, message, &[serde_json::Value::Null]);
            return Ok(Err(json(StatusCode::NOT_FOUND, text)));
        }
        let query = call.route.query.as_deref();
        let most = Paging::parse(query)?.n.unwrap_or(RESULTS);
        let query = value(query, "q")?.unwrap_or_default();
        Ok(Ok(Self {
            // Names have no capitals, people's terms do.
            lower: query.to_lowercase(),
            query,
            most,
        }))
    }

    /// Whether it stands in a name.
    pub(super) fn is_in(&self, name: &RepositoryName) -> bool {
        name.as_str().contains(&self.lower)
    }

    /// The names that were found, as docker reads them.
    pub(super) fn found(&self, call: &Call<'_>, names: &[String]) -> Response<Body> {
        let one = |name| One {
            name,
            description: "",
            star_count: 0,
            is_official: false,
            is_automated: false,
        };
        let document = Document {
            num_results: names.len(),
            query: &self.query,
            results: names.iter().map(|name| one(name.as_str())).collect(),
        };
        document_for(call, &document)
    }
}

/// The first `n` repositories of the registry behind the gate whose name contains `q`.
pub(super) async fn search(
    upstream: &Upstream,
    _permit: Permit,
    call: Call<'_>,
    visible: Visible<'_>,
) -> Result<(Response<Body>, Option<u16>), Error> {
    let term = match Term::of(&call)? {
        Ok(term) => term,
        Err(answer) => return Ok((answer, None)),
    };
    let found = |name: &RepositoryName| term.is_in(name) && visible(name);
    let mut reader = Reader::of_catalog(upstream, &call);
    let names = match reader.repositories(None, term.most, &found).await? {
        Found::Names(names) => names,
        Found::Refused(answer) => return refused(answer, &call, upstream).await,
    };
    Ok((term.found(&call, &names), Some(reader.status)))
}
