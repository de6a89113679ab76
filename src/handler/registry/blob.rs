//! Blobs: read, whole and in parts, and deleted (end-2, end-10).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use http::{Method, Response, StatusCode};

use crate::body::Body;
use crate::body::BoxError;
use crate::body::empty;
use crate::body::streamed;
use crate::error::Error;
use crate::header::Part;
use crate::header::Selection;
use crate::header::is_unchanged;
use crate::header::selection;
use crate::oci::{Digest, RepositoryName};
use crate::registry::Blob;
use crate::registry::Registry;

use super::{Call, Embedded, bare, content, not_modified, text, whole};

/// Nobody says what a blob is; its manifest does.
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What has a digest for its name never changes; a year, as registry:2 says. Without `public` no shared cache keeps the
/// answer to a request that had credentials (RFC 9111 section 3.5).
const FOR_EVER: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The blob, the parts of it that are asked for, or where else it can be had.
pub(super) async fn read(
    registry: &Arc<Registry>,
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Response<Body>, Error> {
    let blob = registry.blob(name, digest).await?;
    let mut headers = content(digest)?;
    headers.insert(CACHE_CONTROL, FOR_EVER);
    if is_unchanged(&call.headers, digest.as_str()) {
        return Ok(not_modified(headers));
    }
    headers.insert(CONTENT_TYPE, OCTETS);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // A range is defined for GET alone (RFC 9110 section 14.2).
    if call.method == Method::HEAD {
        return Ok(whole(call, headers, blob.size, empty()));
    }
    if let Some(address) = registry.blob_address(&blob).await? {
        // The address is good for some minutes: no cache may keep it.
        return Ok(bare(
            StatusCode::TEMPORARY_REDIRECT,
            [
                (LOCATION, text(&address)?),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ],
        ));
    }
    match selection(&call.headers, digest.as_str(), blob.size) {
        Selection::Whole if blob.size == 0 => Ok(whole(call, headers, 0, empty())),
        Selection::Whole => {
            let bytes = registry.read_blob(&blob, 0..blob.size).await?;
            let body = streamed(bytes, blob.size);
            Ok(whole(call, headers, blob.size, body))
        }
        Selection::Parts(parts) => match parts.as_slice() {
            [part] => one_part(registry, &blob, *part, headers).await,
            _ => several_parts(registry, &blob, parts, headers),
        },
        Selection::Unsatisfiable => Err(Error::Range { size: blob.size }),
    }
}

/// Removes the blob from the repository; other repositories keep it.
pub(super) async fn delete(
    embedded: &Embedded,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Response<Body>, Error> {
    let (name, digest) = (name.clone(), digest.clone());
    let delete = async move |registry: Arc<Registry>| registry.delete_blob(&name, &digest).await;
    embedded.to_the_end(delete).await?;
    Ok(bare(StatusCode::ACCEPTED, []))
}

async fn one_part(
    registry: &Registry,
    blob: &Blob,
    part: Part,
    headers: HeaderMap,
) -> Result<Response<Body>, Error> {
    let range = part.first..part.first + part.length();
    let bytes = registry.read_blob(blob, range).await?;
    let mut response = partial(streamed(bytes, part.length()), headers);
    let range = text(&part.of(blob.size))?;
    response.headers_mut().insert(CONTENT_RANGE, range);
    Ok(response)
}

/// `multipart/byteranges` (RFC 9110 section 14.6); each part is opened when its turn comes.
fn several_parts(
    registry: &Arc<Registry>,
    blob: &Blob,
    parts: Vec<Part>,
    headers: HeaderMap,
) -> Result<Response<Body>, Error> {
    let boundary = boundary()?;
    let size = blob.size;
    let head = |part: &Part| {
        let range = part.of(size);
        format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {range}\r\n\r\n"
        )
    };
    let end = format!("\r\n--{boundary}--\r\n");
    let heads: Vec<String> = parts.iter().map(head).collect();
    let length = end.len() as u64
        + heads.iter().map(|head| head.len() as u64).sum::<u64>()
        + parts.iter().map(|part| part.length()).sum::<u64>();
    let (registry, blob) = (Arc::clone(registry), blob.clone());
    let bodies = stream::iter(heads.into_iter().zip(parts)).then(move |(head, part)| {
        let (registry, blob) = (Arc::clone(&registry), blob.clone());
        async move {
            let range = part.first..part.first + part.length();
            let bytes = registry.read_blob(&blob, range).await?;
            let head = stream::iter([Ok(Bytes::from(head))]);
            Ok::<_, BoxError>(head.chain(bytes.map_err(BoxError::from)))
        }
    });
    let all = bodies
        .try_flatten()
        .chain(stream::iter([Ok(Bytes::from(end))]));
    let mut response = partial(streamed(all, length), headers);
    let kind = text(&format!("multipart/byteranges; boundary={boundary}"))?;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn partial(body: Body, headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.headers_mut() = headers;
    response
}

/// So long that it stands in no blob by accident, and random so that nobody can put it there.
fn boundary() -> Result<String, Error> {
    use std::fmt::Write as _;

    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Error::Panicked)?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
