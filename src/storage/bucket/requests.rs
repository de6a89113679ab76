//! The requests of S3 that `object_store` has no calls for: copying a part, and listing multipart uploads.
//!
//! They are signed as presigned addresses are, by its own signer.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use object_store::Error as StoreError;
use object_store::aws::AmazonS3;
use object_store::client::HttpRequestBody;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use tokio::time::{Instant, sleep};

use super::line::Line;
use super::xml::{element, elements};
use super::{backend, fault};

/// How long a signature is good for.
const VALID: Duration = Duration::from_secs(900);

/// The longest answer: a page of 1000 uploads, each with a name of 1024 bytes at most.
const ANSWER: usize = 8 * 1024 * 1024;

const COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const COPY_RANGE: HeaderName = HeaderName::from_static("x-amz-copy-source-range");

/// A bucket of S3.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) store: Arc<AmazonS3>,
    pub(super) line: Line,
    pub(super) bucket: String,
}

/// A multipart upload that nobody has completed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfinished {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) begun: SystemTime,
}

/// A page of them, and where the next one begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) uploads: Vec<Unfinished>,
    pub(super) next: Option<(String, String)>,
}

impl Requests {
    /// Makes a range of an object a part of a multipart upload.
    pub(super) async fn copy_part(
        &self,
        source: &Path,
        target: &Path,
        id: &str,
        number: u32,
        range: Range<u64>,
    ) -> object_store::Result<PartId> {
        let source = format!("{}/{}", self.bucket, encoded(source.as_ref()));
        let range = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let mut headers = HeaderMap::new();
        headers.insert(COPY_SOURCE, value(&source)?);
        headers.insert(COPY_RANGE, value(&range)?);
        let query = vec![
            ("partNumber", number.to_string()),
            ("uploadId", id.to_owned()),
        ];
        let answer = self.send(Method::PUT, target, query, headers).await?;
        let tag = element(&answer, "ETag").ok_or_else(|| generic("a copied part has no tag"))?;
        Ok(PartId { content_id: tag })
    }

    /// Multipart uploads below a prefix, a page at a time.
    pub(super) async fn unfinished(
        &self,
        prefix: &str,
        from: Option<(String, String)>,
    ) -> object_store::Result<Page> {
        let mut query = vec![("uploads", String::new()), ("prefix", prefix.to_owned())];
        if let Some((name, id)) = from {
            query.extend([("key-marker", name), ("upload-id-marker", id)]);
        }
        let root = Path::default();
        let answer = self
            .send(Method::GET, &root, query, HeaderMap::new())
            .await?;
        Ok(page(&answer))
    }

    /// The text of an answer.
    async fn send(
        &self,
        method: Method,
        path: &Path,
        query: Vec<(&str, String)>,
        headers: HeaderMap,
    ) -> object_store::Result<String> {
        let retries = backend::retries();
        let begun = Instant::now();
        let mut pause = retries.backoff.init_backoff;
        let mut options = SignedUrlOptions::default().with_query(query);
        options.signed_headers.clone_from(&headers);
        loop {
            let url = self
                .store
                .signed_url_opts(method.clone(), path, VALID, &options)
                .await?;
            match self.once(&method, url.as_str(), &headers).await {
                Ok(answer) => return Ok(answer),
                Err(error) if !passes(&error) => return Err(error),
                Err(error) if begun.elapsed() > retries.retry_timeout => return Err(error),
                Err(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(retries.backoff.max_backoff);
        }
    }

    async fn once(
        &self,
        method: &Method,
        url: &str,
        headers: &HeaderMap,
    ) -> object_store::Result<String> {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .body(HttpRequestBody::empty())
            .map_err(|_| generic("an address that is none"))?;
        request.headers_mut().clone_from(headers);
        let lost = |error| StoreError::Generic {
            store: "S3",
            source: Box::new(error),
        };
        let answer = self.line.send(request).await.map_err(lost)?;
        let good = answer.status().is_success();
        let text = body(answer.into_body()).await?;
        // S3 may say 200 before it knows.
        match element(&text, "Error") {
            Some(_) => Err(generic(fault::answer(
                "S3",
                http::StatusCode::SERVICE_UNAVAILABLE,
                &element(&text, "Code").unwrap_or_default(),
                &element(&text, "Message").unwrap_or_default(),
            ))),
            None if good => Ok(text),
            None => Err(generic(text)),
        }
    }
}

async fn body(body: object_store::client::HttpResponseBody) -> object_store::Result<String> {
    use http_body_util::{BodyExt, Limited};
    let body = Limited::new(body, ANSWER).collect().await;
    let body = body.map_err(|source| StoreError::Generic {
        store: "S3",
        source,
    })?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

/// Whether another attempt may succeed.
fn passes(error: &StoreError) -> bool {
    match fault::status(error) {
        Some(status) => matches!(status, 408 | 429 | 500 | 502..),
        None => fault::is_transport(error),
    }
}

fn generic(text: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Generic {
        store: "S3",
        source: text.into(),
    }
}

fn value(text: &str) -> object_store::Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| generic("a name that fits into no header"))
}

/// A name as it stands in an address.
fn encoded(name: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            other => {
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    text
}

fn page(text: &str) -> Page {
    let uploads = elements(text, "Upload").filter_map(|upload| {
        let begun: jiff::Timestamp = element(upload, "Initiated")?.parse().ok()?;
        Some(Unfinished {
            name: element(upload, "Key")?,
            id: element(upload, "UploadId")?,
            begun: begun.into(),
        })
    });
    let more = element(text, "IsTruncated").is_some_and(|more| more == "true");
    let next = || {
        let name = element(text, "NextKeyMarker")?;
        Some((name, element(text, "NextUploadIdMarker")?))
    };
    Page {
        uploads: uploads.collect(),
        next: more.then(next).flatten(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_unfinished_uploads_are_read() {
        let text = "<ListMultipartUploadsResult><NextKeyMarker>b</NextKeyMarker><NextUploadIdMarker>2\
            </NextUploadIdMarker><IsTruncated>true</IsTruncated><Upload><Key>a/b</Key><UploadId>1</UploadId>\
            <Initiated>2026-11-10T20:48:33.000Z</Initiated></Upload></ListMultipartUploadsResult>";
        let page = page(text);
        assert_eq!(page.next, Some(("b".to_owned(), "2".to_owned())));
        assert_eq!((&*page.uploads[0].name, &*page.uploads[0].id), ("a/b", "1"));
        assert_eq!(super::page("<x/>"), Page::default());
    }

    #[test]
    fn names_are_encoded_for_an_address() {
        assert_eq!(encoded("a/b_c-d.e~f:g h"), "a/b_c-d.e~f%3Ag%20h");
    }
}
