//! An upload that is begun, given two MiB and cancelled: where it is to go on, and whether the bytes get through.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};

use crate::peer::Scheme;
use crate::probe::target::Target;
use crate::probe::wire::{Answer, Ask, Fault, Wire};
use crate::telemetry::chain;

use super::login::Entrance;
use super::{Diagnosis, Patient};

/// Twice what nginx lets through unless it is told otherwise.
const PROBE: usize = 2 << 20;

pub(super) async fn examine(
    patient: &Patient,
    wire: &Wire,
    entrance: &Entrance,
    found: &mut Diagnosis,
) {
    let repository = &patient.repository;
    let scope = format!("repository:{repository}:pull,push");
    let credentials = patient.credentials.as_ref();
    let header = match entrance
        .authorization(wire, credentials, Some(&scope))
        .await
    {
        Ok(header) => header,
        Err(why) => {
            found.skipped("location", format!("no upload can be begun: {why}"));
            return limit_from_outside(patient, wire, found).await;
        }
    };
    let ask = Ask::new(Method::POST, format!("/v2/{repository}/blobs/uploads/"));
    let begun = match wire.ask(&ask.with(AUTHORIZATION, header.clone())).await {
        Ok(begun) => begun,
        Err(fault) => {
            found.failed(
                "location",
                format!(
                    "an upload cannot be begun: {}; look into the log of the server",
                    chain(&fault)
                ),
            );
            return;
        }
    };
    match begun.status {
        StatusCode::ACCEPTED => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let text = match credentials {
                Some(credentials) => format!(
                    "{} may not push to {repository}; --repository names another one",
                    credentials.user
                ),
                None => "nobody pushes without credentials; --user and --password-file give some"
                    .to_owned(),
            };
            found.skipped("location", text);
            return limit_from_outside(patient, wire, found).await;
        }
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND => {
            found.skipped(
                "location",
                format!("an upload is answered {}: it takes none", begun.status),
            );
            return limit_from_outside(patient, wire, found).await;
        }
        status => {
            found.failed(
                "location",
                format!("an upload is answered {status}; look into the log of the registry"),
            );
            return;
        }
    }
    location(wire, &begun, found);
    let went_on = limit(wire, &begun, header.as_ref(), found).await;
    // The newest Location counts: it holds how far the upload is.
    let last = went_on.unwrap_or(begun);
    let left = cancel(wire, &last, header.as_ref()).await;
    if !left.is_empty()
        && let Some(last) = found.checks.last_mut()
    {
        last.text.push_str(&left);
    }
}

/// Where the client is sent with the bytes.
fn location(wire: &Wire, begun: &Answer, found: &mut Diagnosis) {
    let Some(location) = begun.header(&LOCATION) else {
        return found.failed(
            "location",
            "the answer to an upload has no Location, so no push goes on; let the front pass it on",
        );
    };
    let shown = location.split('?').next().unwrap_or_default();
    let target = &wire.target;
    match target.covers(location) {
        None if location.starts_with('/') && !location.starts_with("//") => {
            found.ok("location", "an upload goes on here");
        }
        Some(true) => found.ok("location", "an upload goes on here"),
        None => found.failed(
            "location",
            format!("{shown} is no URL; look at the front's rewriting of Location"),
        ),
        Some(false) => found.failed("location", elsewhere(target, shown)),
    }
}

fn elsewhere(target: &Target, location: &str) -> String {
    let clear = location.starts_with("http://") && target.scheme == Scheme::Https;
    let same_host = location
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split('/').next() == Some(&target.authority()));
    let advice = "send X-Forwarded-Proto and the Host that the client used, port included, to \
                  the registry (nginx: proxy_set_header Host $http_host; X-Forwarded-Proto \
                  $scheme), or set its http.host or http.relativeurls";
    match (clear, same_host) {
        (true, true) => format!(
            "an upload is sent on to {location}, in clear: the registry does not know that \
             clients come over TLS; {advice}"
        ),
        (true, false) => {
            format!("an upload is sent on to {location}, another host and in clear; {advice}")
        }
        (false, _) => format!(
            "an upload is sent on to {location}, which is not where it began ({}); {advice}",
            target.origin()
        ),
    }
}

/// Two MiB into the upload; the answer that says where it goes on then.
async fn limit(
    wire: &Wire,
    begun: &Answer,
    header: Option<&HeaderValue>,
    found: &mut Diagnosis,
) -> Option<Answer> {
    let Some(path) = path(begun) else {
        found.skipped("body limit", "there is no upload to write to");
        return None;
    };
    match wire.ask(&probe(Method::PATCH, path, header)).await {
        Ok(answer) if answer.status == StatusCode::PAYLOAD_TOO_LARGE => {
            found.failed("body limit", limited());
        }
        Ok(answer) if answer.status == StatusCode::ACCEPTED => {
            found.ok("body limit", "2 MiB get through");
            return Some(answer);
        }
        Ok(answer) => found.skipped(
            "body limit",
            format!(
                "2 MiB are answered {}, which tells nothing of a limit",
                answer.status
            ),
        ),
        Err(fault @ Fault::Http(_)) => found.failed(
            "body limit",
            format!(
                "the connection ends while 2 MiB are sent ({}): something in between takes no \
                 body of this size; look for a limit or a timeout of each proxy on the way",
                chain(&fault)
            ),
        ),
        Err(fault) => found.failed(
            "body limit",
            format!(
                "2 MiB are not answered: {}; look for what buffers or stops bodies on the way",
                chain(&fault)
            ),
        ),
    }
    None
}

/// The same by one who may not push: most fronts look at the size first.
async fn limit_from_outside(patient: &Patient, wire: &Wire, found: &mut Diagnosis) {
    let path = format!("/v2/{}/blobs/uploads/", patient.repository);
    match wire.ask(&probe(Method::POST, path, None)).await {
        Ok(answer) if answer.status == StatusCode::PAYLOAD_TOO_LARGE => {
            found.failed("body limit", limited());
        }
        Ok(answer) => found.ok(
            "body limit",
            format!(
                "2 MiB without permission are refused for that reason alone ({})",
                answer.status.as_u16()
            ),
        ),
        Err(fault) => found.skipped(
            "body limit",
            format!(
                "2 MiB without permission are not answered ({}), which may be how they are refused",
                chain(&fault)
            ),
        ),
    }
}

fn probe(method: Method, path: String, header: Option<&HeaderValue>) -> Ask {
    let kind = HeaderValue::from_static("application/octet-stream");
    let ask = Ask::new(method, path).with(CONTENT_TYPE, Some(kind));
    Ask {
        body: Bytes::from(vec![0; PROBE]),
        ..ask.with(AUTHORIZATION, header.cloned())
    }
}

fn limited() -> String {
    "2 MiB are answered 413: something in between limits bodies, and layers are \
     larger; lift it (nginx: client_max_body_size 0; dockgate: limits.body_size)"
        .to_owned()
}

/// Path and query of where an upload goes on, whatever host it names.
fn path(begun: &Answer) -> Option<String> {
    let location = begun.header(&LOCATION)?;
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(location.to_owned());
    }
    let uri: http::Uri = location.parse().ok()?;
    Some(uri.path_and_query()?.as_str().to_owned())
}

/// Gives an upload up; what to say if it stays.
pub(super) async fn cancel(wire: &Wire, begun: &Answer, header: Option<&HeaderValue>) -> String {
    let Some(path) = path(begun) else {
        return String::new();
    };
    let ask = Ask::new(Method::DELETE, path).with(AUTHORIZATION, header.cloned());
    match wire.ask(&ask).await {
        Ok(answer) if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND => {
            String::new()
        }
        Ok(answer) => format!(
            "; the upload that was begun stays (to cancel it is answered {}), until the \
             registry removes it",
            answer.status.as_u16()
        ),
        Err(_) => "; the upload that was begun stays, until the registry removes it".to_owned(),
    }
}
