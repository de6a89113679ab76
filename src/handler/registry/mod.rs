//! The embedded registry as the distribution API (v1.1) shows it: facts are taken out of a request, the registry is
//! asked, and what it says is put into headers and bodies. What may be done was decided before.

mod blob;
mod embedded;
mod list;
mod manifest;
mod referrer;
mod upload;

use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyDataStream, BodyExt};

use crate::acl::Permit;
use crate::body::Body;
use crate::body::ClientFault;
use crate::body::client_fault;
use crate::body::empty;
use crate::error::Error;
use crate::header::CONTENT_DIGEST;
use crate::oci::Digest;
use crate::registry::ByteSource;
use crate::route::Target;
use crate::route::Verb;
use crate::route::digest;

use super::{Call, page};

pub(crate) use embedded::Embedded;
pub(crate) use referrer::hidden;

/// Answers one request. All but reading content is awaited in a box, so that the future of a read has no room for it.
pub(super) async fn answer(
    embedded: &Embedded,
    permit: Permit,
    call: Call<'_>,
    body: Option<Body>,
) -> Result<Response<Body>, Error> {
    let body = if takes_a_body(&call)? {
        body
    } else {
        unwanted(body).await?;
        None
    };
    let registry = embedded.registry();
    let reads = matches!(call.route.verb, Verb::Get | Verb::Head);
    match &call.route.target {
        Target::Root => Ok(Response::new(empty())),
        Target::Version => Ok(page::document_for(&call, &serde_json::json!({}))),
        Target::Blob(name, digest) if reads => blob::read(registry, &call, name, digest).await,
        Target::Blob(name, digest) => Box::pin(blob::delete(embedded, name, digest)).await,
        Target::UploadStart(name, mount) => {
            let mount = mount.as_ref().filter(|_| permit.includes_mount());
            Box::pin(upload::start(embedded, &call, name, mount, body)).await
        }
        Target::Upload(name, id) => {
            upload::own(&call, id)?;
            match call.route.verb {
                Verb::Patch => Box::pin(upload::append(embedded, &call, name, id, body)).await,
                Verb::Put => Box::pin(upload::close(embedded, &call, name, id, body)).await,
                Verb::Delete => Box::pin(upload::cancel(embedded, name, id)).await,
                Verb::Get | Verb::Head | Verb::Post => {
                    Box::pin(upload::status(registry, &call, name, id)).await
                }
            }
        }
        Target::Manifest(name, reference) => match call.route.verb {
            Verb::Put => Box::pin(manifest::put(embedded, &call, name, reference, body)).await,
            Verb::Delete => Box::pin(manifest::delete(embedded, name, reference)).await,
            Verb::Get | Verb::Head | Verb::Post | Verb::Patch => {
                manifest::read(registry, &call, name, reference).await
            }
        },
        Target::Tags(name) => Box::pin(list::tags(registry, &call, name)).await,
        Target::Catalog => Box::pin(list::catalog(registry, &call)).await,
        Target::Search => Box::pin(list::search(registry, &call)).await,
        Target::Referrers(name, digest) => {
            Box::pin(referrer::list(registry, &call, name, digest)).await
        }
        // Answered before any registry is asked.
        Target::Ping | Target::Token(_) | Target::Proof(_) => Err(Error::Panicked),
    }
}

/// Whether what is asked for needs the body of the request; the start of an upload does where it names the digest of all of it.
fn takes_a_body(call: &Call<'_>) -> Result<bool, Error> {
    Ok(match call.route.verb {
        Verb::Put | Verb::Patch => true,
        Verb::Post => digest(call.route.query.as_deref())?.is_some(),
        Verb::Get | Verb::Head | Verb::Delete => false,
    })
}

/// Reads a body that nobody wants to its end, so that what turns out to be no request has changed nothing.
async fn unwanted(body: Option<Body>) -> Result<(), Error> {
    let Some(mut body) = body else {
        return Ok(());
    };
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| Error::Body(client_fault(&*error).unwrap_or(ClientFault::Gone)))?;
    }
    Ok(())
}

/// The bytes of a request's body as they come.
fn source(body: Option<Body>) -> ByteSource<'static> {
    match body {
        Some(body) => BodyDataStream::new(body).boxed(),
        None => stream::empty().boxed(),
    }
}

/// An answer without a body, and its headers.
fn bare<const N: usize>(
    status: StatusCode,
    headers: [(HeaderName, HeaderValue); N],
) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}

/// `201`: what was put is to be had here from now on.
fn created(call: &Call<'_>, target: &Target, digest: &Digest) -> Result<Response<Body>, Error> {
    Ok(bare(
        StatusCode::CREATED,
        [
            (LOCATION, location(call, target)?),
            (CONTENT_DIGEST, text(digest.as_str())?),
        ],
    ))
}

/// Something of ours in the client's own terms.
fn location(call: &Call<'_>, target: &Target) -> Result<HeaderValue, Error> {
    text(&call.origin.url(&target.path()))
}

/// A text of ours as a header: digests, numbers and paths, all of them visible ASCII.
fn text(value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value).map_err(|_| Error::Panicked)
}

/// The headers that name the content of an answer.
fn content(digest: &Digest) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_DIGEST, text(digest.as_str())?);
    headers.insert(ETAG, text(&format!("\"{digest}\""))?);
    Ok(headers)
}

/// `304`: the client has it.
fn not_modified(mut headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    headers.remove(CONTENT_LENGTH);
    *response.headers_mut() = headers;
    response
}

/// Content for who wants its head alone, or all of it.
fn whole(call: &Call<'_>, mut headers: HeaderMap, length: u64, body: Body) -> Response<Body> {
    let mut response = if call.method == Method::HEAD {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        Response::new(empty())
    } else {
        Response::new(body)
    };
    *response.headers_mut() = headers;
    response
}
