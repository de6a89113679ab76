//! The entrance of the registry: `/v2/`, its headers, its challenge, and who is let in.

use http::header::{CONTENT_TYPE, LOCATION};
use http::{Method, StatusCode};

use crate::header::API_VERSION;
use crate::probe::login::Challenge;
use crate::probe::wire::{Answer, Ask, Wire};
use crate::telemetry::chain;

use super::login::{Entrance, credentials, realm};
use super::upload::cancel;
use super::{Diagnosis, Patient};

/// The entrance; `None` if nobody comes in.
pub(super) async fn examine(
    patient: &Patient,
    wire: &Wire,
    found: &mut Diagnosis,
) -> Option<Entrance> {
    let answer = match wire.ask(&Ask::get("/v2/")).await {
        Ok(answer) => answer,
        Err(fault) => {
            found.failed(
                "registry",
                format!(
                    "GET /v2/ fails: {}; look into the log of the server",
                    chain(&fault)
                ),
            );
            return None;
        }
    };
    if let Err(text) = is_registry(&answer) {
        found.failed("registry", text);
        return None;
    }
    found.ok(
        "registry",
        format!("GET /v2/ answers {}", answer.status.as_u16()),
    );
    let challenge = challenge(&answer, found);
    if !realm(patient, wire, challenge.as_ref(), found).await {
        version(&answer, None, found);
        return None;
    }
    let entrance = Entrance { challenge };
    let admitted = credentials(patient, wire, &entrance, answer.status, found).await;
    version(&answer, admitted.as_ref(), found);
    anonymous(patient, wire, &answer, found).await;
    if found.checks.iter().any(|check| {
        check.status == super::Status::Failed
            && check.layer != "version header"
            && check.layer != "tls"
    }) {
        return None;
    }
    Some(entrance)
}

/// Whether it answers as a registry does; the sentence if not.
fn is_registry(answer: &Answer) -> Result<(), String> {
    let status = answer.status;
    let html = answer
        .header(&CONTENT_TYPE)
        .is_some_and(|kind| kind.starts_with("text/html"));
    let known = answer.headers.contains_key(API_VERSION);
    let says = format!("GET /v2/ answers {status}");
    match status {
        StatusCode::OK if known || (!html && is_json(answer)) => Ok(()),
        StatusCode::OK => Err(format!(
            "{says} with {}, which is no registry's answer; check host and port, and that \
             the front hands /v2/ to the registry",
            if html {
                "a web page"
            } else {
                "something else than JSON"
            }
        )),
        StatusCode::UNAUTHORIZED => Ok(()),
        _ if status.is_redirection() => {
            let to = answer.header(&LOCATION).unwrap_or("nowhere");
            Err(format!(
                "{says} and leads to {to}; clients of a registry want the answer itself: name \
                 that address, or let the front answer /v2/"
            ))
        }
        StatusCode::NOT_FOUND => Err(format!(
            "{says}: there is no registry at this address; check host and port, and that \
             the front hands /v2/ to the registry"
        )),
        StatusCode::FORBIDDEN => Err(format!(
            "{says}: something refuses this machine before the registry sees it; look at \
             address rules of the front"
        )),
        StatusCode::TOO_MANY_REQUESTS => Err(format!(
            "{says}: this address has asked or failed too often; wait"
        )),
        _ if status.is_server_error() => Err(format!(
            "{says}: the front is there and the registry behind it is not; look at the \
             registry and at the front's log"
        )),
        _ => Err(format!(
            "{says}, which is no registry's answer; look into the log of the server"
        )),
    }
}

fn is_json(answer: &Answer) -> bool {
    answer.body.is_empty() || serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok()
}

/// The header by which clients know a registry: on the first answer, and on the one with credentials.
fn version(first: &Answer, admitted: Option<&Answer>, found: &mut Diagnosis) {
    let count = |answer: &Answer| answer.headers.get_all(API_VERSION).iter().count();
    match (count(first), admitted.map(count)) {
        (0, Some(1..)) => found.failed(
            "version header",
            format!(
                "Docker-Distribution-Api-Version is missing on the answer {}, and there on \
                 others; in nginx, its add_header needs `always`",
                first.status.as_u16()
            ),
        ),
        (0, _) => found.failed(
            "version header",
            "Docker-Distribution-Api-Version is missing: docker does not take what answers \
             for a registry of its kind; let the front pass it on, or add \
             `Docker-Distribution-Api-Version: registry/2.0`",
        ),
        (1, _) => found.ok("version header", "Docker-Distribution-Api-Version is there"),
        (count, _) => found.ok(
            "version header",
            format!(
                "Docker-Distribution-Api-Version is there {count} times, which is harmless: \
                 registry and front both add it"
            ),
        ),
    }
}

/// The one line that clients can follow.
fn challenge(answer: &Answer, found: &mut Diagnosis) -> Option<Challenge> {
    if answer.status != StatusCode::UNAUTHORIZED {
        found.ok("challenge", "none: everybody may come in");
        return None;
    }
    let mut lines = Challenge::all(&answer.headers);
    let several = lines.len() > 1;
    let Some(first) = (!lines.is_empty()).then(|| lines.remove(0)) else {
        found.failed(
            "challenge",
            "401 without WWW-Authenticate: no client knows how to log in; let the front \
             send `WWW-Authenticate: Basic realm=\"Registry\"`",
        );
        return None;
    };
    if several {
        found.failed(
            "challenge",
            "WWW-Authenticate comes on several lines: docker answers each of them and \
             fails, podman takes the first; send one (front and registry both ask for a \
             password: switch one of them off)",
        );
    } else if !matches!(first.scheme.as_str(), "basic" | "bearer") {
        found.failed(
            "challenge",
            format!(
                "clients know Basic and Bearer, and it asks for {}; switch to one of them",
                first.scheme
            ),
        );
    } else {
        found.ok(
            "challenge",
            if first.scheme == "basic" {
                "Basic: a password"
            } else {
                "Bearer: a token"
            },
        );
    }
    Some(first)
}

/// A door that is open to read and closed to write is one that docker cannot use: it decides by the first answer whether
/// it will ever show a password.
async fn anonymous(patient: &Patient, wire: &Wire, answer: &Answer, found: &mut Diagnosis) {
    if answer.status != StatusCode::OK {
        return found.skipped("anonymous", "nobody comes in without credentials or token");
    }
    let path = format!("/v2/{}/blobs/uploads/", patient.repository);
    match wire.ask(&Ask::new(Method::POST, path)).await {
        Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => found.failed(
            "anonymous",
            "/v2/ is open and a push is not: docker and podman never show a password to a \
             registry that did not ask for one there, so every login seems to succeed and \
             every push fails; answer /v2/ with one Bearer challenge (dockgate: \
             auth.anonymous = \"pull\"), or ask everybody for a password",
        ),
        Ok(answer) if answer.status == StatusCode::ACCEPTED => {
            let left = cancel(wire, &answer, None).await;
            found.ok("anonymous", format!("everybody may read, and write{left}"));
        }
        Ok(answer) => found.ok(
            "anonymous",
            format!(
                "everybody may read; a push is answered {}",
                answer.status.as_u16()
            ),
        ),
        Err(fault) => found.skipped(
            "anonymous",
            format!(
                "a push without credentials is not answered: {}",
                chain(&fault)
            ),
        ),
    }
}
