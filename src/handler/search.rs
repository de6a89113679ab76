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

use super::listing::{Found, Reader, document_for, refused};
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

/// The first `n` repositories whose name contains `q`.
///
/// Without an `Authorization` header there is no such page: podman, which never sends one here, then reads the catalog
/// with its login. docker sends an empty one when it is not logged in.
pub(super) async fn search(
    upstream: &Upstream,
    _permit: Permit,
    mut call: Call<'_>,
    visible: Visible<'_>,
) -> Result<(Response<Body>, Option<u16>), Error> {
    if !call.headers.contains_key(AUTHORIZATION) {
        let message = "search needs an Authorization header; read /v2/_catalog instead";
        let detail = serde_json::Value::Null;
        let text = error_document(Code::NameUnknown, message, &detail);
        return Ok((json(StatusCode::NOT_FOUND, text), None));
    }
    let query = call.route.query.as_deref();
    let wanted = Paging::parse(query)?.n.unwrap_or(RESULTS);
    let query = value(query, "q")?.unwrap_or_default();
    // Names have no capitals, people's terms do.
    let term = query.to_lowercase();
    let found = |name: &RepositoryName| name.as_str().contains(&term) && visible(name);
    let mut reader = Reader::of_catalog(upstream, &mut call);
    let names = match reader.repositories(None, wanted, &found).await? {
        Found::Names(names) => names,
        Found::Refused(answer) => return refused(answer, &call, upstream).await,
    };
    let one = |name| One {
        name,
        description: "",
        star_count: 0,
        is_official: false,
        is_automated: false,
    };
    let document = Document {
        num_results: names.len(),
        query: &query,
        results: names.iter().map(|name| one(name.as_str())).collect(),
    };
    Ok((document_for(&call, &document), Some(reader.status)))
}
