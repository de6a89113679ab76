//! Where tokens come from, and whether a user is let in.

use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};

use crate::peer::Scheme;
use crate::probe::login::{
    Challenge, Credentials, Granted, TokenFault, may_be_shown, realm_target, token,
};
use crate::probe::target::Target;
use crate::probe::wire::{Answer, Ask, Wire};
use crate::telemetry::chain;

use super::{Diagnosis, Patient};

/// How one comes in.
#[derive(Debug)]
pub(super) struct Entrance {
    /// What is asked of a client, if anything.
    pub challenge: Option<Challenge>,
}

impl Entrance {
    /// The line that shows who one is, for this scope; `None` if nobody needs to be shown anything.
    pub(super) async fn authorization(
        &self,
        wire: &Wire,
        credentials: Option<&Credentials>,
        scope: Option<&str>,
    ) -> Result<Option<HeaderValue>, String> {
        match &self.challenge {
            Some(challenge) if challenge.scheme == "bearer" => {
                match token(wire, challenge, credentials, scope).await {
                    Ok(Granted::Token(value)) => Ok(Some(value)),
                    Ok(Granted::Refused(answer)) => {
                        Err(format!("the token server answers {}", answer.status))
                    }
                    Err(fault) => Err(chain(&fault)),
                }
            }
            _ => Ok(credentials.and_then(Credentials::basic)),
        }
    }
}

/// Where tokens come from. Tells whether one can go on.
pub(super) async fn realm(
    patient: &Patient,
    wire: &Wire,
    challenge: Option<&Challenge>,
    found: &mut Diagnosis,
) -> bool {
    let Some(challenge) = challenge.filter(|challenge| challenge.scheme == "bearer") else {
        found.skipped("realm", "no tokens here");
        return true;
    };
    let realm = challenge.parameter("realm").unwrap_or_default();
    let Some((target, _)) = realm_target(realm) else {
        found.failed(
            "realm",
            format!(
                "the realm {realm:?} of the challenge is no URL; it must be the whole address \
                 of the token server"
            ),
        );
        return false;
    };
    if let Some(text) = in_clear(patient, wire, realm, &target) {
        found.failed("realm", text);
        return false;
    }
    let elsewhere = if target == wire.target {
        ""
    } else {
        ", on another host"
    };
    match token(wire, challenge, None, None).await {
        Ok(Granted::Token(_)) => found.ok("realm", format!("{realm} hands out tokens{elsewhere}")),
        Ok(Granted::Refused(answer))
            if matches!(
                answer.status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            ) =>
        {
            found.ok(
                "realm",
                format!("{realm} answers, to nobody without a password{elsewhere}"),
            );
        }
        Ok(Granted::Refused(answer)) => {
            found.failed(
                "realm",
                format!(
                    "{realm} is no token server: it answers {} without a token; set the realm to \
                     the one that there is",
                    answer.status
                ),
            );
            return false;
        }
        Err(TokenFault::Realm) => {
            found.failed("realm", format!("the realm {realm:?} is no URL"));
            return false;
        }
        Err(fault) => {
            found.failed(
                "realm",
                format!(
                    "{}: the realm {realm} cannot be reached from here; clients must reach it too: \
                     set it to an address that they know",
                    chain(&fault)
                ),
            );
            return false;
        }
    }
    true
}

/// Whether passwords would go in clear where the URL does not say so; the sentence then.
fn in_clear(patient: &Patient, wire: &Wire, realm: &str, target: &Target) -> Option<String> {
    if may_be_shown(&wire.target, target) {
        return None;
    }
    if wire.target.scheme == Scheme::Https {
        return Some(format!(
            "the realm {realm} would have passwords sent in clear; tell the token server \
             its scheme (X-Forwarded-Proto), or write https:// into its setting"
        ));
    }
    // Without a password to lose, whether it hands out tokens is worth a look.
    patient.credentials.as_ref().map(|_| {
        format!(
            "the realm {realm} would have the password sent in clear to another host than the \
             URL names, and it was not sent; write https:// into the setting of the token server"
        )
    })
}

/// Logs in as docker does; the answer of one who was let in.
pub(super) async fn credentials(
    patient: &Patient,
    wire: &Wire,
    entrance: &Entrance,
    status: StatusCode,
    found: &mut Diagnosis,
) -> Option<Answer> {
    let Some(credentials) = &patient.credentials else {
        found.skipped(
            "credentials",
            "none were given; --user and --password-file try some",
        );
        return None;
    };
    let user = &credentials.user;
    if status != StatusCode::UNAUTHORIZED {
        found.skipped(
            "credentials",
            "nobody is asked for any, so none can be right or wrong",
        );
        return None;
    }
    let bearer = entrance
        .challenge
        .as_ref()
        .filter(|challenge| challenge.scheme == "bearer");
    let header = match bearer {
        None => credentials.basic(),
        Some(challenge) => match token(wire, challenge, Some(credentials), None).await {
            Ok(Granted::Token(value)) => Some(value),
            Ok(Granted::Refused(answer)) => {
                found.failed(
                    "credentials",
                    refused(user, "the token server", answer.status),
                );
                return None;
            }
            Err(fault) => {
                found.failed("realm", chain(&fault));
                return None;
            }
        },
    };
    let answer = wire
        .ask(&Ask::get("/v2/").with(AUTHORIZATION, header))
        .await;
    match answer {
        Ok(answer) if answer.status == StatusCode::OK => {
            found.ok("credentials", format!("{user} is let in"));
            Some(answer)
        }
        Ok(answer) if bearer.is_some() && answer.status == StatusCode::UNAUTHORIZED => {
            found.failed(
                "credentials",
                "the registry does not take the token of its own token server; compare their \
                 keys, issuer, service and clocks",
            );
            None
        }
        Ok(answer) => {
            found.failed("credentials", refused(user, "the registry", answer.status));
            None
        }
        Err(fault) => {
            found.failed(
                "credentials",
                format!("no answer to a request with credentials: {}", chain(&fault)),
            );
            None
        }
    }
}

fn refused(user: &str, who: &str, status: StatusCode) -> String {
    match status {
        StatusCode::UNAUTHORIZED => format!(
            "{who} does not know {user} with this password; check both (`dockgate htpasswd \
             -v FILE {user}` on the server)"
        ),
        StatusCode::FORBIDDEN => format!("{who} knows {user} and refuses (403); look at its rules"),
        StatusCode::TOO_MANY_REQUESTS => format!("{who} has no more tries for now (429); wait"),
        _ => format!("{who} answers {status} to {user}; look into its log"),
    }
}
