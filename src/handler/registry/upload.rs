//! Uploads: begun, gone on with, looked at, closed and cancelled; blobs that are mounted or come in one go (end-4,
//! end-5, end-6, end-11, end-13).

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HeaderMap, LOCATION, RANGE};
use http::{Response, StatusCode};

use crate::body::Body;
use crate::error::Error;
use crate::error::OutOfOrder;
use crate::header::UPLOAD_UUID;
use crate::header::content_range;
use crate::oci::{Code, Invalid, RepositoryName};
use crate::registry;
use crate::registry::Chunk;
use crate::registry::Owner;
use crate::registry::Registry;
use crate::route::Fault;
use crate::route::Mount;
use crate::route::Target;
use crate::route::UploadId;
use crate::route::digest;

use super::{Call, Embedded, bare, created, source, text};

/// Mounts the blob, takes it whole, or begins an upload.
pub(super) async fn start(
    embedded: &Embedded,
    call: &Call<'_>,
    name: &RepositoryName,
    mount: Option<&Mount>,
    body: Option<Body>,
) -> Result<Response<Body>, Error> {
    let whole = digest(call.route.query.as_deref())?;
    // A mount that names no source would be a search through repositories that the client may not read.
    if let Some(Mount {
        digest,
        from: Some(from),
    }) = mount
    {
        let (name, blob, from) = (name.clone(), digest.clone(), from.clone());
        let target = Target::Blob(name.clone(), digest.clone());
        let mount = async move |registry: Arc<Registry>| registry.mount(&name, &blob, &from).await;
        if embedded.to_the_end(mount).await? {
            return created(call, &target, digest);
        }
    }
    if let Some(digest) = whole {
        let target = Target::Blob(name.clone(), digest.clone());
        let (name, blob) = (name.clone(), digest.clone());
        let (length, body) = (length(&call.headers), source(body));
        let owner = owner(call);
        let put = async move |registry: Arc<Registry>| {
            registry.put_blob(&name, owner, &blob, length, body).await
        };
        embedded.to_the_end(put).await?;
        return created(call, &target, &digest);
    }
    let (at, owner) = (name.clone(), owner(call));
    let begin = async move |registry: Arc<Registry>| registry.begin_upload(&at, owner).await;
    let id = embedded.to_the_end(begin).await?;
    let headers = place(call, name, &id, 0)?;
    Ok(at_place(StatusCode::ACCEPTED, headers))
}

/// Whose an upload is.
fn owner(call: &Call<'_>) -> Owner {
    match call.identity.name() {
        Some(name) => Owner::user(name),
        None => Owner::nobody(call.origin.address.into()),
    }
}

/// Lets those go on with an upload who began it.
pub(super) fn own(call: &Call<'_>, id: &UploadId) -> Result<(), Error> {
    Ok(Registry::own(id.as_str(), owner(call))?)
}

/// Adds a chunk, or a stream of any length, to an upload.
pub(super) async fn append(
    embedded: &Embedded,
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
    body: Option<Body>,
) -> Result<Response<Body>, Error> {
    let chunk = chunk(&call.headers)?;
    let body = source(body);
    let done = {
        let (name, id) = (name.clone(), id.clone());
        let append = async move |registry: Arc<Registry>| {
            registry.append(&name, id.as_str(), chunk, body).await
        };
        embedded.to_the_end(append).await
    };
    let length = done.map_err(|error| in_place(error, call, name, id))?;
    let headers = place(call, name, id.as_str(), length)?;
    Ok(at_place(StatusCode::ACCEPTED, headers))
}

/// Ends an upload, with its last bytes or without: from here on it is a blob.
pub(super) async fn close(
    embedded: &Embedded,
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
    body: Option<Body>,
) -> Result<Response<Body>, Error> {
    let digest = digest(call.route.query.as_deref())?.ok_or(Fault::Invalid(Invalid {
        code: Code::DigestInvalid,
        message: "the digest is missing; an upload is closed with ?digest=",
    }))?;
    let chunk = chunk(&call.headers)?;
    let body = source(body);
    let done = {
        let (name, id, digest) = (name.clone(), id.clone(), digest.clone());
        let close = async move |registry: Arc<Registry>| {
            let id = id.as_str();
            registry.close(&name, id, chunk, body, &digest).await
        };
        embedded.to_the_end(close).await
    };
    done.map_err(|error| in_place(error, call, name, id))?;
    created(call, &Target::Blob(name.clone(), digest.clone()), &digest)
}

/// How far an upload has come.
pub(super) async fn status(
    registry: &Registry,
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
) -> Result<Response<Body>, Error> {
    let length = registry.upload_offset(name, id.as_str()).await?;
    let headers = place(call, name, id.as_str(), length)?;
    Ok(at_place(StatusCode::NO_CONTENT, headers))
}

/// Ends an upload and forgets its bytes.
pub(super) async fn cancel(
    embedded: &Embedded,
    name: &RepositoryName,
    id: &UploadId,
) -> Result<Response<Body>, Error> {
    let uuid = (UPLOAD_UUID, text(id.as_str())?);
    let (name, id) = (name.clone(), id.clone());
    let cancel =
        async move |registry: Arc<Registry>| registry.cancel_upload(&name, id.as_str()).await;
    embedded.to_the_end(cancel).await?;
    Ok(bare(StatusCode::NO_CONTENT, [uuid]))
}

/// Where the next bytes of an upload go. The specification has no way to write that there are none: as with
/// registry:2, `0-0` stands for none and for one.
fn place(
    call: &Call<'_>,
    name: &RepositoryName,
    id: &str,
    length: u64,
) -> Result<HeaderMap, Error> {
    let start = Target::UploadStart(name.clone(), None);
    let location = text(&format!("{}{id}", call.origin.url(&start.path())))?;
    let range = format!("0-{}", length.saturating_sub(1));
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, location);
    headers.insert(RANGE, text(&range)?);
    headers.insert(UPLOAD_UUID, text(id)?);
    Ok(headers)
}

fn at_place(status: StatusCode, headers: HeaderMap) -> Response<Body> {
    let mut response = bare(status, []);
    *response.headers_mut() = headers;
    response
}

/// Who sends a chunk that does not fit is told which one would.
fn in_place(error: Error, call: &Call<'_>, name: &RepositoryName, id: &UploadId) -> Error {
    let Error::Registry(registry::Error::OutOfOrder { offset }) = error else {
        return error;
    };
    match place(call, name, id.as_str(), offset) {
        Ok(headers) => Error::OutOfOrder(Box::new(OutOfOrder { offset, headers })),
        Err(error) => error,
    }
}

/// What the client says about the bytes that it sends.
fn chunk(headers: &HeaderMap) -> Result<Chunk, Error> {
    Ok(Chunk {
        range: content_range(headers)?.map(|part| (part.first, part.last)),
        length: length(headers),
    })
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
