//! What refers to a manifest: signatures, attestations, bills of material (end-12).

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue, LINK};
use serde::Serialize;

use crate::body::Body;
use crate::error::Error;
use crate::header::OCI_FILTERS_APPLIED;
use crate::oci::{Digest, RepositoryName};
use crate::registry::Referrer;
use crate::registry::Referrers;
use crate::registry::Registry;
use crate::route::Fault;
use crate::route::Paging;
use crate::route::Target;
use crate::route::Verb;
use crate::route::next_filtered_link;
use crate::route::next_link;
use crate::route::value;

use super::super::Backend;
use super::super::page::document_for;
use super::Call;

/// Descriptors on a page when the client names no number.
const REFERRERS: usize = 100;

/// Bytes of the descriptors on a page: they carry annotations of any length, and clients read a list of referrers as a
/// manifest, 4 MiB at most.
const BYTES: usize = 3 << 20;

/// So many are read at once.
const AT_ONCE: usize = 10;

const INDEX: HeaderValue = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");

/// The list, an image index.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: &'a [Referrer],
}

/// What a request asks for.
struct Asked {
    size: usize,
    last: Option<Digest>,
    artifact_type: Option<String>,
}

impl Asked {
    fn parse(query: Option<&str>) -> Result<Self, Error> {
        let paging = Paging::parse(query)?;
        let last = paging.last.as_deref().map(Digest::parse);
        let kind = value(query, "artifactType")?;
        Ok(Self {
            size: paging.n.unwrap_or(REFERRERS),
            last: last.transpose().map_err(Fault::Invalid)?,
            // A plus that nobody encoded is a space in a query, and no media type has one.
            artifact_type: kind.map(|kind| kind.replace(' ', "+")),
        })
    }
}

/// The page of referrers that the client asks for. Of a manifest that is not there, or in a repository that is not
/// there, it is empty: they may come first.
pub(super) async fn list(
    registry: &Registry,
    call: &Call<'_>,
    name: &RepositoryName,
    subject: &Digest,
) -> Result<Response<Body>, Error> {
    let asked = Asked::parse(call.route.query.as_deref())?;
    let kind = asked.artifact_type.as_deref();
    let mut found = Referrers::default();
    let mut last = asked.last.clone();
    let mut bytes = 0;
    loop {
        let most = AT_ONCE.min(asked.size - found.descriptors.len());
        if most == 0 {
            break;
        }
        let some = registry
            .referrers(name, subject, kind, last.as_ref(), most)
            .await?;
        found.more = some.more;
        for one in some.descriptors {
            let length = serde_json::to_string(&one).map_or(0, |text| text.len());
            if bytes + length > BYTES && !found.descriptors.is_empty() {
                found.more = true;
                return Ok(page(call, &asked, &found));
            }
            bytes += length;
            found.descriptors.push(one);
        }
        last = found
            .descriptors
            .last()
            .and_then(|one| Digest::parse(&one.digest).ok());
        if !found.more || last.is_none() {
            break;
        }
    }
    Ok(page(call, &asked, &found))
}

/// The answer to somebody who may know nothing of the repository, where the answer of a repository that does not exist
/// is no error: the list of referrers is empty.
///
/// # Errors
/// Those of the question, as for everybody.
pub(crate) fn hidden(backend: &Backend, call: &Call<'_>) -> Option<Result<Response<Body>, Error>> {
    let reads = matches!(call.route.verb, Verb::Get | Verb::Head);
    match (backend, &call.route.target) {
        (Backend::Registry(_), Target::Referrers(..)) if reads => {
            let asked = Asked::parse(call.route.query.as_deref());
            Some(asked.map(|asked| page(call, &asked, &Referrers::default())))
        }
        _ => None,
    }
}

fn page(call: &Call<'_>, asked: &Asked, found: &Referrers) -> Response<Body> {
    let document = Index {
        schema_version: 2,
        media_type: "application/vnd.oci.image.index.v1+json",
        manifests: &found.descriptors,
    };
    let mut response = document_for(call, &document);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, INDEX);
    if asked.artifact_type.is_some() {
        let filters = HeaderValue::from_static("artifactType");
        headers.insert(OCI_FILTERS_APPLIED, filters);
    }
    if let Some(last) = found.descriptors.last().filter(|_| found.more) {
        let (path, last) = (call.route.path(), last.digest.as_str());
        let link = match &asked.artifact_type {
            Some(kind) => next_filtered_link(&path, asked.size, last, ("artifactType", kind)),
            None => next_link(&path, asked.size, last),
        };
        // Visible ASCII by its making.
        if let Ok(link) = HeaderValue::from_str(&link) {
            headers.insert(LINK, link);
        }
    }
    response
}
