//! To the registry behind the gate and back: the request is built anew from typed parts, the answer is cleaned, and
//! both bodies stream through.

use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, LINK, LOCATION,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::acl::Permit;
use crate::body::Body;
use crate::body::full;
use crate::error::Error;
use crate::header::Broken;
use crate::header::REQUEST_ID;
use crate::header::describe_client;
use crate::header::of_request;
use crate::header::rewrite;
use crate::header::rewrite_links;
use crate::header::strip_response;
use crate::route::Target;
use crate::upstream::Head;
use crate::upstream::Outgoing;
use crate::upstream::Upstream;
use crate::upstream::basic;

use super::Call;

/// Error texts of registries are shorter by far; a longer one is passed on as a stream.
const SHORT_BODY: usize = 64 * 1024;

/// Headers that a request gets from us: host, credentials, length, an id, and who the client is.
const OURS: usize = 8;

/// What the body of an upload is, always.
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Sends the request on, and brings the answer back in the client's own terms.
pub(super) async fn forward(
    upstream: &Upstream,
    permit: Permit,
    call: Call<'_>,
    body: Option<Body>,
) -> Result<(Response<Body>, Option<u16>), Error> {
    let path_and_query = if permit.includes_mount() {
        call.route.path_and_query()
    } else {
        call.route.without_mount().path_and_query()
    };
    let head = || Head {
        method: call.method.clone(),
        path_and_query: path_and_query.clone(),
        headers: request_headers(&call, upstream),
        source: call.origin.address.into(),
    };
    let answer = upstream.send(&head, body).await?;
    let status = answer.status().as_u16();
    Ok((bring_back(answer, &call, upstream).await?, Some(status)))
}

/// The upstream's answer in the client's own terms.
pub(super) async fn bring_back(
    answer: Response<Body>,
    call: &Call<'_>,
    upstream: &Upstream,
) -> Result<Response<Body>, Broken> {
    let (mut parts, mut body) = answer.into_parts();
    let length = parts.headers.get(CONTENT_LENGTH).cloned();
    strip_response(&mut parts.headers);
    if call.method == http::Method::HEAD || parts.status == StatusCode::NOT_MODIFIED {
        // The length of the body that there would be; of a body that there is, hyper writes it.
        if let Some(length) = length {
            parts.headers.insert(CONTENT_LENGTH, length);
        }
    }
    links(&mut parts.headers, call, upstream)?;
    if parts.status == StatusCode::UNAUTHORIZED {
        challenge(&mut parts.headers, call, upstream);
    } else {
        parts.headers.remove(WWW_AUTHENTICATE);
    }
    if parts.status == StatusCode::RANGE_NOT_SATISFIABLE {
        body = repaired(body).await;
    }
    Ok(Response::from_parts(parts, body))
}

/// The headers for the upstream.
pub(super) fn request_headers(call: &Call<'_>, upstream: &Upstream) -> HeaderMap {
    let mut headers = of_request(&call.headers, OURS);
    let credentials = headers.remove(AUTHORIZATION);
    headers.remove(HOST);
    describe_client(&mut headers, call.peer, call.origin);
    headers.insert(REQUEST_ID, call.request_id.clone());
    let upload = matches!(
        call.route.target,
        Target::UploadStart(..) | Target::Upload(..)
    );
    if upload && headers.contains_key(CONTENT_TYPE) {
        // registry:2 looks for `mount`, `from` and `digest` in a form before it looks at the URL, and nobody here has
        // judged the body: whatever it is called, it is bytes.
        headers.insert(CONTENT_TYPE, OCTETS);
    }
    let credentials = match upstream.authorization() {
        Outgoing::Strip => None,
        // A user name cannot have a colon (RFC 7617 section 2); a certificate's name can.
        Outgoing::User => call
            .identity
            .name()
            .map(|name| basic(&name.replace(':', "_"), b"")),
        // A token of ours says nothing to the registry, and is not for its eyes.
        Outgoing::Forward => credentials.filter(|_| call.identity.grants.is_none()),
        Outgoing::Own(value) => Some(value.clone()),
    };
    if let Some(credentials) = credentials {
        headers.insert(AUTHORIZATION, credentials);
    }
    headers
}

/// `Location` and `Link` in the client's terms.
fn links(headers: &mut HeaderMap, call: &Call<'_>, upstream: &Upstream) -> Result<(), Broken> {
    let authority = upstream.authority();
    let written = |text: &str| HeaderValue::from_str(text).map_err(|_| Broken::Malformed);
    if let Some(location) = headers.get(LOCATION) {
        let location = location.to_str().map_err(|_| Broken::Malformed)?;
        let location = rewrite(location, call.origin, Some(authority))?;
        headers.insert(LOCATION, written(&location)?);
    }
    let mut links = Vec::new();
    for link in headers.get_all(LINK) {
        let link = link.to_str().unwrap_or_default();
        if let Some(link) = rewrite_links(link, call.origin, authority)? {
            links.push(written(&link)?);
        }
    }
    headers.remove(LINK);
    for link in links {
        headers.append(LINK, link);
    }
    Ok(())
}

/// The upstream refused: with the client's own credentials its one challenge passes, else the client is asked by us.
fn challenge(headers: &mut HeaderMap, call: &Call<'_>, upstream: &Upstream) {
    let value = match upstream.authorization() {
        Outgoing::Forward => headers.get(WWW_AUTHENTICATE).cloned(),
        Outgoing::Strip | Outgoing::User | Outgoing::Own(_) => None,
    };
    headers.insert(WWW_AUTHENTICATE, value.unwrap_or_else(call.challenge.0));
}

/// registry 2.8.2 announces the length of the whole blob on a 416 and sends a sentence; the client would wait for the
/// rest. What did come becomes the body.
async fn repaired(mut body: Body) -> Body {
    let mut text = BytesMut::new();
    if body.size_hint().lower() <= SHORT_BODY as u64 && body.is_end_stream() {
        return body;
    }
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            let room = SHORT_BODY - text.len();
            text.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            if text.len() == SHORT_BODY {
                break;
            }
        }
    }
    full(Bytes::from(text))
}
