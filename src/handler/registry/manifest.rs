//! Manifests: read, pushed and deleted (end-3, end-7, end-9).

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::body::Body;
use crate::body::BoxError;
use crate::body::ClientFault;
use crate::body::client_fault;
use crate::body::empty;
use crate::body::full;
use crate::body::streamed;
use crate::error::Error;
use crate::header::OCI_SUBJECT;
use crate::header::is_unchanged;
use crate::oci::{Reference, RepositoryName};
use crate::registry::LARGE;
use crate::registry::Registry;
use crate::registry::Sent;
use crate::route::Target;
use crate::turns::Place;

use super::{Call, Embedded, bare, content, created, not_modified, text, whole};

/// The time that a large manifest has to come: 4 MiB at 70 KB/s. It holds the room of one all the while.
const LARGE_WITHIN: Duration = Duration::from_secs(60);

/// The manifest, byte for byte as it was pushed.
///
/// `Accept` decides nothing. There is one form of each manifest, the one that its digest stands for; who does not list
/// its type could only be refused, and clients that send a short list (curl, scripts) do well with what there is.
/// registry:2 re-writes manifests for such clients, under a digest that was never pushed.
pub(super) async fn read(
    registry: &Registry,
    call: &Call<'_>,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Response<Body>, Error> {
    let manifest = registry.manifest(name, reference).await?;
    let mut headers = content(&manifest.digest)?;
    if is_unchanged(&call.headers, manifest.digest.as_str()) {
        return Ok(not_modified(headers));
    }
    headers.insert(CONTENT_TYPE, text(&manifest.media_type)?);
    let length = manifest.length;
    let body = if call.method == Method::HEAD {
        empty()
    } else {
        match registry.read_manifest(manifest).await? {
            Sent::Whole(bytes) => full(bytes),
            Sent::Streamed(bytes) => streamed(bytes, length),
        }
    };
    Ok(whole(call, headers, length, body))
}

/// Keeps a manifest that is whole and refers only to what is there.
pub(super) async fn put(
    embedded: &Embedded,
    call: &Call<'_>,
    name: &RepositoryName,
    reference: &Reference,
    body: Option<Body>,
) -> Result<Response<Body>, Error> {
    let (bytes, room) = match body {
        Some(body) => received(embedded, call, body).await?,
        None => (Bytes::new(), None),
    };
    let kind = media_type(&call.headers).map(str::to_owned);
    let stored = {
        let (name, reference) = (name.clone(), reference.clone());
        let put = async move |registry: Arc<Registry>| {
            let kind = kind.as_deref();
            let stored = registry.put_manifest(&name, &reference, kind, bytes).await;
            // Held by the work, which goes on when the client has gone.
            drop(room);
            stored
        };
        embedded.to_the_end(put).await?
    };
    let by_digest = Reference::Digest(stored.digest.clone());
    let target = Target::Manifest(name.clone(), by_digest);
    let mut response = created(call, &target, &stored.digest)?;
    if let Some(subject) = &stored.subject {
        let subject = text(subject.as_str())?;
        response.headers_mut().insert(OCI_SUBJECT, subject);
    }
    Ok(response)
}

/// Removes a tag, or a manifest with the tags that stand for it.
pub(super) async fn delete(
    embedded: &Embedded,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Response<Body>, Error> {
    let (name, reference) = (name.clone(), reference.clone());
    let delete =
        async move |registry: Arc<Registry>| registry.delete_manifest(&name, &reference).await;
    embedded.to_the_end(delete).await?;
    Ok(bare(StatusCode::ACCEPTED, []))
}

/// The media type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    (!kind.is_empty()).then_some(kind)
}

/// The whole body, which was bounded when the request was let in: a longer one, chunked or not, ends in an error. A large one has
/// the room that it needs, and the time of one.
async fn received(
    embedded: &Embedded,
    call: &Call<'_>,
    mut body: Body,
) -> Result<(Bytes, Option<Place>), Error> {
    let mut bytes = BytesMut::new();
    if !read_up_to(LARGE, &mut body, &mut bytes).await? {
        return Ok((bytes.freeze(), None));
    }
    let room = embedded.room(call.origin.address.into()).await?;
    // At once, since what grows is copied, and has twice the room meanwhile.
    let announced = body.size_hint().lower();
    bytes.reserve(usize::try_from(announced).unwrap_or(0));
    let all = timeout(LARGE_WITHIN, read_up_to(u64::MAX, &mut body, &mut bytes)).await;
    all.map_err(|_| Error::Body(ClientFault::Stalled))??;
    Ok((bytes.freeze(), Some(room)))
}

/// Reads until there are more bytes than this, or no more come; whether more may come.
async fn read_up_to(most: u64, body: &mut Body, bytes: &mut BytesMut) -> Result<bool, Error> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| fault(&error))?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() as u64 > most {
            return Ok(true);
        }
    }
    Ok(false)
}

fn fault(error: &BoxError) -> Error {
    match client_fault(&**error) {
        Some(ClientFault::TooLarge(limit)) => Error::TooLarge {
            limit,
            manifest: true,
        },
        Some(fault) => Error::Body(fault),
        None => Error::Body(ClientFault::Gone),
    }
}
