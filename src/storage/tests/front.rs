//! A server in front of an emulator, which passes requests on, or does what stores do on bad days.

use std::sync::Arc;

use futures_util::stream;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::body::{Body, BoxError, full};
use crate::client::{Client, Target};

/// A signature of the right form.
const ANYBODY: &str = "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/s3/aws4_request, \
    SignedHeaders=host, Signature=00";

/// What becomes of a request.
pub(in crate::storage) enum Deed {
    /// It is passed on.
    Pass,
    /// It is passed on as the emulator understands it.
    PassAs(Vec<(&'static str, HeaderValue)>),
    /// It is answered here.
    Answer(StatusCode, &'static str),
    /// It is passed on, and answered here all the same.
    PassAndAnswer(StatusCode),
    /// The body of its answer breaks off after so many bytes.
    Cut(usize),
}

/// Decides on each request.
pub(in crate::storage) type Rule = Arc<dyn Fn(&Parts) -> Deed + Send + Sync>;

/// Stands in front of `upstream`; the address is the new one.
pub(in crate::storage) async fn front(upstream: &str, rule: Rule) -> String {
    let authority = upstream.strip_prefix("http://").unwrap();
    let (host, port) = authority.rsplit_once(':').unwrap();
    let target = Target::Tcp {
        host: host.to_owned(),
        port: port.parse().unwrap(),
    };
    let client = Client::new(target, std::time::Duration::from_secs(5), 8);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            let (client, rule) = (client.clone(), Arc::clone(&rule));
            let service =
                service_fn(move |request| serve(client.clone(), Arc::clone(&rule), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(io), service));
        }
    });
    address
}

async fn serve(
    client: Client,
    rule: Rule,
    request: Request<Incoming>,
) -> Result<Response<Body>, BoxError> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let deed = rule(&parts);
    if let Deed::Answer(status, text) = deed {
        return Ok(Response::builder().status(status).body(full(text))?);
    }
    let mut path = parts.uri.to_string();
    if let Deed::PassAs(headers) = &deed {
        // Google's client escapes more than moto expects.
        let (before, query) = path.split_once('?').unwrap_or((&path, ""));
        let plain = unescaped(before);
        path = format!("{plain}?{query}");
        // It looks at the form only.
        parts
            .headers
            .insert("authorization", HeaderValue::from_static(ANYBODY));
        for (name, value) in headers {
            parts.headers.insert(*name, value.clone());
        }
    }
    parts.uri = path.parse()?;
    let answer = client
        .send(Request::from_parts(parts, full(body)), false)
        .await?;
    let (mut head, body) = answer.into_parts();
    match deed {
        Deed::PassAndAnswer(status) => Ok(Response::builder().status(status).body(full(""))?),
        Deed::Cut(after) => {
            let bytes = body.collect().await?.to_bytes();
            let some = bytes.slice(..after.min(bytes.len()));
            let some = stream::iter([Ok(Frame::data(some)), Err("cut".into())]);
            Ok(Response::from_parts(
                head,
                StreamBody::new(some).boxed_unsync(),
            ))
        }
        Deed::PassAs(_) => {
            // Google tells versions by number; ours are what the emulator has.
            if let Some(tag) = head.headers.get("etag").cloned() {
                head.headers.insert("x-goog-generation", tag);
            }
            Ok(Response::from_parts(
                head,
                body.map_err(Into::into).boxed_unsync(),
            ))
        }
        _ => Ok(Response::from_parts(
            head,
            body.map_err(Into::into).boxed_unsync(),
        )),
    }
}

/// Makes S3 out of the XML API of Google, which no emulator of Google's speaks in full: the two differ in the names of
/// headers only, as far as it is used here.
pub(in crate::storage) fn google(parts: &Parts) -> Deed {
    let names = [
        ("x-goog-copy-source", "x-amz-copy-source"),
        ("x-goog-if-generation-match", "if-match"),
    ];
    let renamed = names.into_iter().filter_map(|(from, to)| {
        let value = parts.headers.get(from)?.to_str().ok()?;
        Some((to, unescaped(value).parse().ok()?))
    });
    Deed::PassAs(renamed.collect())
}

fn unescaped(text: &str) -> String {
    let escapes = [("%2D", "-"), ("%2F", "/"), ("%5F", "_"), ("%2E", ".")];
    let plain = |text: String, (escape, plain): (&str, &str)| text.replace(escape, plain);
    escapes.into_iter().fold(text.to_owned(), plain)
}
