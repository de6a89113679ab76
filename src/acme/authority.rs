//! The authority's server: our own HTTP client under the library, and the questions that the library does not ask.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient, Problem};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::body::full;
use crate::client::Client;
use crate::client::Target;
use crate::tls::ClientTls;

use super::account::Binding;
use super::error::Error;
use super::jws::{self, Signer};
use super::plan::Window;

/// RFC 8555 section 6.1 wants a name.
const NAME: &str = concat!("dockgate/", env!("CARGO_PKG_VERSION"));
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// From the request to the last byte of the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(45);
/// No document of the protocol comes near.
const LARGEST: usize = 1 << 20;
/// An authority has one host, or two.
const MOST_HOSTS: usize = 8;
/// A nonce can be too old by the time it is used (RFC 8555 section 6.5). An authority of many machines can say so several times in
/// a row, until its machines know of each other's.
pub(super) const NONCES: usize = 10;

/// One authority.
#[derive(Clone)]
pub(super) struct Authority(Arc<Inner>);

struct Inner {
    directory: String,
    tls: ClientTls,
    clients: Mutex<HashMap<String, Client>>,
    /// What the last refusal said of when to come again.
    retry_after: Mutex<Option<Duration>>,
}

/// What is used of a directory (RFC 8555 section 7.1.1).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    new_nonce: String,
    new_account: String,
    renewal_info: Option<String>,
}

impl Authority {
    pub(super) fn new(directory: &str, tls: ClientTls) -> Self {
        Self(Arc::new(Inner {
            directory: directory.to_owned(),
            tls,
            clients: Mutex::default(),
            retry_after: Mutex::default(),
        }))
    }

    pub(super) fn directory(&self) -> &str {
        &self.0.directory
    }

    /// What the library makes of an error, in our words.
    pub(super) fn error(&self, error: instant_acme::Error) -> Error {
        Error::of_library(error, *lock(&self.0.retry_after))
    }

    /// Whether the authority says when to renew (RFC 9773), and so wants to know what an order replaces.
    pub(super) async fn has_renewal_info(&self) -> Result<bool, Error> {
        Ok(self.read_directory().await?.renewal_info.is_some())
    }

    /// When the certificate with this id should be renewed, where the authority says so.
    pub(super) async fn renewal_window(&self, id: &str) -> Result<Option<Window>, Error> {
        let Some(url) = self.read_directory().await?.renewal_info else {
            return Ok(None);
        };
        let url = format!("{}/{id}", url.trim_end_matches('/'));
        let answer = self.get(&url).await?;
        let document = self.document(&url, &answer)?;
        let point = |name: &str| -> Option<SystemTime> {
            let text = document.get("suggestedWindow")?.get(name)?.as_str()?;
            Some(text.parse::<jiff::Timestamp>().ok()?.into())
        };
        let window = point("start").zip(point("end"));
        let (start, end) =
            window
                .filter(|(start, end)| start < end)
                .ok_or_else(|| Error::Unreadable {
                    url,
                    fault: "it has no window of time".to_owned(),
                })?;
        let ask_again = wait_of(answer.headers());
        Ok(Some(Window {
            start,
            end,
            ask_again,
        }))
    }

    /// The URL of the account of this key: a new one, or the one that is there already (RFC 8555 section 7.3).
    pub(super) async fn register(
        &self,
        signer: &Signer,
        contact: &[String],
        binding: Option<&Binding>,
    ) -> Result<String, Error> {
        let directory = self.read_directory().await?;
        let url = &directory.new_account;
        let mut payload = json!({ "termsOfServiceAgreed": true });
        let members = payload.as_object_mut();
        if let Some(members) = members {
            if !contact.is_empty() {
                members.insert("contact".to_owned(), json!(contact));
            }
            if let Some(binding) = binding {
                let bound = jws::binding(&binding.key_id, &binding.key, url, &signer.jwk());
                members.insert("externalAccountBinding".to_owned(), bound);
            }
        }
        let mut tries = 1;
        loop {
            let nonce = self.nonce(&directory.new_nonce).await?;
            let body = signer.sign(url, &nonce, &payload)?;
            let mut request = Request::post(url).body(Bytes::from(body.to_string()));
            if let Ok(request) = &mut request {
                let kind = HeaderValue::from_static("application/jose+json");
                request.headers_mut().insert(CONTENT_TYPE, kind);
            }
            let answer = self.send(url, request).await?;
            match self.document(url, &answer) {
                Err(error) if error.kind() == Some("badNonce") && tries < NONCES => tries += 1,
                Err(error) => return Err(error),
                Ok(_) => return text(url, answer.headers(), "location"),
            }
        }
    }

    async fn read_directory(&self) -> Result<Directory, Error> {
        let url = &self.0.directory;
        let answer = self.get(url).await?;
        let document = self.document(url, &answer)?;
        serde_json::from_value(document).map_err(|error| Error::Unreadable {
            url: url.clone(),
            fault: format!("it is no directory: {error}"),
        })
    }

    async fn nonce(&self, url: &str) -> Result<String, Error> {
        let request = Request::head(url).body(Bytes::new());
        let answer = self.send(url, request).await?;
        text(url, answer.headers(), "replay-nonce")
    }

    async fn get(&self, url: &str) -> Result<Response<Bytes>, Error> {
        let request = Request::get(url).body(Bytes::new());
        self.send(url, request).await
    }

    /// An answer's JSON, or what it refuses.
    fn document(&self, url: &str, answer: &Response<Bytes>) -> Result<Value, Error> {
        let unreadable = |error: serde_json::Error| Error::Unreadable {
            url: url.to_owned(),
            fault: error.to_string(),
        };
        if answer.status().is_success() {
            return serde_json::from_slice(answer.body()).map_err(unreadable);
        }
        let problem: Problem = serde_json::from_slice(answer.body()).map_err(unreadable)?;
        Err(self.error(instant_acme::Error::Api(problem)))
    }

    /// One request and its answer, whole. A refusal is an answer only if it is one of the protocol.
    async fn send(
        &self,
        url: &str,
        request: Result<Request<Bytes>, http::Error>,
    ) -> Result<Response<Bytes>, Error> {
        let unreachable = |source: crate::body::BoxError| Error::Unreachable {
            url: url.to_owned(),
            source,
        };
        let mut request = request.map_err(|error| unreachable(error.into()))?;
        let agent = HeaderValue::from_static(NAME);
        request.headers_mut().insert(USER_AGENT, agent);
        let bodyless = request.method() == Method::HEAD;
        let client = self.client(url, &request)?;
        let exchange = async {
            let answer = client.send(request.map(full), false).await?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        let answer = match timeout(ANSWER_WITHIN, exchange).await {
            Ok(done) => done.map_err(unreachable)?,
            Err(_) => return Err(unreachable(format!("not within {ANSWER_WITHIN:?}").into())),
        };
        let status = answer.status();
        let retry_after = wait_of(answer.headers());
        let refused = status.is_client_error() || status.is_server_error();
        *lock(&self.0.retry_after) = retry_after.filter(|_| refused);
        let is_problem = serde_json::from_slice::<Problem>(answer.body())
            .is_ok_and(|problem| problem.r#type.is_some());
        if status.is_redirection() || (refused && (bodyless || !is_problem)) {
            return Err(Error::Strange {
                url: url.to_owned(),
                status: status.as_u16(),
                retry_after,
            });
        }
        Ok(answer)
    }

    fn client(&self, url: &str, request: &Request<Bytes>) -> Result<Client, Error> {
        let uri = request.uri();
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https"));
        let host = host.ok_or_else(|| Error::Unreachable {
            url: url.to_owned(),
            source: "an authority is asked over https alone".into(),
        })?;
        let target = Target::Tls {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(443),
            tls: self.0.tls.clone(),
        };
        let mut clients = lock(&self.0.clients);
        if clients.len() >= MOST_HOSTS {
            clients.clear();
        }
        let place = uri.authority().map_or(host, |authority| authority.as_str());
        let client = clients
            .entry(place.to_owned())
            .or_insert_with(|| Client::new(target, CONNECT_WITHIN, 2));
        Ok(client.clone())
    }
}

impl HttpClient for Authority {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let authority = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // What the library sends is all there, and cannot fail.
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            let url = parts.uri.to_string();
            let request = Request::from_parts(parts, body.unwrap_or_default());
            match authority.send(&url, Ok(request)).await {
                Ok(answer) => {
                    let (parts, body) = answer.into_parts();
                    Ok(BytesResponse {
                        parts,
                        body: Box::new(body),
                    })
                }
                Err(error) => Err(instant_acme::Error::Other(Box::new(error))),
            }
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority").field(&self.0.directory).finish()
    }
}

fn text(url: &str, headers: &HeaderMap, name: &'static str) -> Result<String, Error> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.map(str::to_owned).ok_or_else(|| Error::Unreadable {
        url: url.to_owned(),
        fault: format!("it has no {name}"),
    })
}

/// RFC 9110 section 10.2.3: seconds, or a date.
fn wait_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            wait_of(&headers)
        };
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        let soon = SystemTime::now() + Duration::from_secs(600);
        let told = wait(&httpdate::fmt_http_date(soon)).unwrap();
        assert!((590..=600).contains(&told.as_secs()), "{told:?}");
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
    }
}
