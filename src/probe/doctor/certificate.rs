//! The certificates: for whom the server's is, who vouches for it, and whether it wants one of ours.

use std::path::PathBuf;

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;

use crate::probe::wire::{Answer, Wire};
use crate::telemetry::chain;
use crate::tls::{Shown, Trust};

use super::clients;
use super::{Diagnosis, Patient};

/// For whom it is.
pub(super) fn name(wire: &Wire, shown: &Shown, found: &mut Diagnosis) {
    let host = &wire.target.host;
    if shown.is_for(host) {
        return found.ok("certificate name", format!("it is for {host}"));
    }
    let text = if shown.names.is_empty() {
        format!(
            "the certificate ({}) has no subject alternative name, and clients look at \
             nothing else; issue one with {host} in it",
            shown.subject
        )
    } else {
        format!(
            "the certificate is for {}, and not for {host}; use one of these names, or \
             issue one with {host} in it",
            shown.names.join(", ")
        )
    };
    found.failed("certificate name", text);
}

/// Who vouches for it; the CA file to go on with, where it is not the machine's.
pub(super) fn authority(
    patient: &Patient,
    wire: &Wire,
    shown: &Shown,
    found: &mut Diagnosis,
) -> Result<Option<PathBuf>, Vec<String>> {
    let host = &wire.target.host;
    let ca = patient.ca.as_deref();
    let trust = shown.trust(host, ca).map_err(|fault| vec![chain(&fault)])?;
    let whole = count(shown);
    if trust == Trust::Trusted {
        found.ok("certificate chain", whole);
        found.ok(
            "ca",
            match ca {
                Some(path) => format!("{} vouches for it", path.display()),
                None => "the machine's CAs vouch for it".to_owned(),
            },
        );
        return Ok(patient.ca.clone());
    }
    if ca.is_none() {
        let believers = clients::believers(&patient.root, &wire.target, shown);
        if let Some((_, first)) = believers.trusting.first() {
            let each: Vec<String> = believers
                .trusting
                .iter()
                .map(|(client, file)| format!("{client} ({})", file.display()))
                .collect();
            found.ok("certificate chain", whole);
            found.ok(
                "ca",
                format!(
                    "the machine's CAs do not vouch for it, but these clients have a CA of their \
                     own that does: {}",
                    each.join(", ")
                ),
            );
            return Ok(Some(first.clone()));
        }
        if let (Trust::Unknown, Some((client, file))) = (&trust, believers.other.first()) {
            found.ok("certificate chain", whole);
            found.failed(
                "ca",
                format!(
                    "issued by {}, and the CA that {client} has for this registry ({}) is another \
                     one; replace that file",
                    shown.issuer,
                    file.display()
                ),
            );
            return Ok(None);
        }
    }
    untrusted(patient, wire, shown, trust, found);
    Ok(None)
}

/// What is wrong with a certificate that nobody vouches for.
fn untrusted(patient: &Patient, wire: &Wire, shown: &Shown, trust: Trust, found: &mut Diagnosis) {
    match trust {
        Trust::Trusted => {}
        Trust::Incomplete => {
            found.failed(
                "certificate chain",
                format!(
                    "the server shows its own certificate alone, and the one of its issuer ({}) is \
                     needed to get from there to a CA; put it behind the server's own in the \
                     certificate file",
                    shown.issuer
                ),
            );
            found.skipped("ca", "the chain does not reach one");
        }
        Trust::Unfit(why) => {
            found.failed(
                "certificate chain",
                format!("clients refuse it: {why}; issue another one"),
            );
            found.skipped("ca", "the chain is refused before");
        }
        Trust::Unknown => {
            found.ok("certificate chain", count(shown));
            let who = if shown.self_issued {
                "it is its own issuer".to_owned()
            } else {
                format!("issued by {}", shown.issuer)
            };
            let whom = patient.ca.as_ref().map_or_else(
                || "this machine".to_owned(),
                |path| path.display().to_string(),
            );
            let between = if shown.count() == 1 && !shown.self_issued {
                " (if that is no root, the server must show its certificate too)"
            } else {
                ""
            };
            found.failed(
                "ca",
                format!(
                    "{who}, whom {whom} does not know{between}; give --ca here, and to the \
                     clients: {}",
                    clients::advice(&wire.target)
                ),
            );
        }
    }
}

fn count(shown: &Shown) -> String {
    match shown.count() {
        1 => "1 certificate shown".to_owned(),
        count => format!("{count} certificates shown"),
    }
}

/// Whether the server wants a certificate of ours, as the answer says.
pub(super) fn own_certificate(
    patient: &Patient,
    answer: &Answer,
    asked: bool,
    found: &mut Diagnosis,
) {
    let body = answer.text();
    // nginx says it in HTML, dockgate in JSON and without a challenge.
    let wanted = match answer.status {
        StatusCode::BAD_REQUEST => body.contains("SSL certificate"),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            !answer.headers.contains_key(WWW_AUTHENTICATE) && body.contains("client certificate")
        }
        _ => false,
    };
    if wanted {
        return own_certificate_refused(patient, &format!("it answers {}", answer.status), found);
    }
    let text = match (asked, &patient.certificate) {
        (true, Some(files)) => {
            format!("asked for, and {} is accepted", files.certificate.display())
        }
        (true, None) => "asked for, and nobody needs one".to_owned(),
        (false, Some(_)) => "not asked for: the one that was given is of no use here".to_owned(),
        (false, None) => "not asked for".to_owned(),
    };
    found.ok("client certificate", text);
}

/// It wants one, and not what it got.
pub(super) fn own_certificate_refused(patient: &Patient, why: &str, found: &mut Diagnosis) {
    let text = match &patient.certificate {
        Some(files) => format!(
            "{} is refused ({why}); it must be issued by the server's client CA, be within \
             its dates and not be revoked",
            files.certificate.display()
        ),
        None => format!(
            "the server wants one ({why}); give --client-cert and --client-key here, and \
             to docker as client.cert and client.key in /etc/docker/certs.d/{}/",
            patient.target.authority()
        ),
    };
    found.failed("client certificate", text);
}
