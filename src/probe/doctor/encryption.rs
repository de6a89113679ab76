//! TLS, and what the certificate says: which protocol the port speaks, for whom it is, who vouches for it, and the clocks.

use std::error::Error as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use http::header::{DATE, WWW_AUTHENTICATE};

use crate::peer::Scheme;
use crate::probe::wire::{Answer, Ask, Fault, Wire, exchange, shake};
use crate::telemetry::chain;
use crate::tls::{Refusal, Shown, Trust, client_config, examining_client, refusal};

use super::clients;
use super::network::other_url;
use super::{Diagnosis, Patient};

/// Clocks that differ by more are told of: tokens and certificates of the moment fail by then.
const DRIFT: u64 = 60;

/// A wire over which a password may go; `None` if there is none.
///
/// # Errors
/// A file that was named cannot be used.
pub(super) async fn examine(
    patient: &Patient,
    wire: Wire,
    found: &mut Diagnosis,
) -> Result<Option<Wire>, Vec<String>> {
    match wire.target.scheme {
        Scheme::Http => Ok(plain(patient, wire, found).await),
        Scheme::Https => encrypted(patient, wire, found).await,
    }
}

/// What was asked for in clear.
async fn plain(patient: &Patient, wire: Wire, found: &mut Diagnosis) -> Option<Wire> {
    let answer = wire.ask(&Ask::get("/v2/")).await;
    let odd = match &answer {
        Ok(answer) => answer.status == StatusCode::BAD_REQUEST,
        Err(_) => true,
    };
    if odd && speaks_tls(&wire).await {
        let url = other_url(&wire);
        found.failed(
            "protocol",
            format!("the port speaks TLS and the URL says http; use {url}"),
        );
        return None;
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(fault) => {
            found.failed(
                "protocol",
                format!(
                    "what listens there does not answer in HTTP: {}; check the port",
                    chain(&fault)
                ),
            );
            return None;
        }
    };
    found.ok("protocol", "HTTP in clear");
    let loopback = wire.target.host == "localhost"
        || wire.target.ip().is_some_and(|ip: IpAddr| ip.is_loopback());
    if loopback {
        found.skipped("tls", "in clear, on this machine alone");
    } else if clients::is_insecure(&patient.root, &wire.target) {
        found.ok(
            "tls",
            "in clear; docker's daemon.json lists it among insecure-registries, so docker \
             takes it, and passwords can be read on the way",
        );
    } else {
        found.failed(
            "tls",
            format!(
                "in clear: docker and podman speak TLS to {} and nothing else, and passwords \
             could be read on the way; give the gate a certificate",
                wire.target.place()
            ),
        );
    }
    for layer in [
        "certificate name",
        "certificate chain",
        "ca",
        "certificate dates",
        "client certificate",
    ] {
        found.skipped(layer, "in clear");
    }
    clock(&answer, found);
    Some(wire)
}

async fn speaks_tls(wire: &Wire) -> bool {
    let Ok((tls, _)) = examining_client(None) else {
        return false;
    };
    match wire.dial().await {
        Ok(stream) => shake(&tls, &wire.target.host, stream).await.is_ok(),
        Err(_) => false,
    }
}

/// What was asked for over TLS.
async fn encrypted(
    patient: &Patient,
    mut wire: Wire,
    found: &mut Diagnosis,
) -> Result<Option<Wire>, Vec<String>> {
    let own = patient.certificate.as_ref();
    let (tls, asked) = examining_client(own).map_err(|faults| lines(&faults))?;
    let stream = match wire.dial().await {
        Ok(stream) => stream,
        Err(fault) => {
            found.failed(
                "tcp",
                format!("the second connection fails: {}", chain(&fault)),
            );
            return Ok(None);
        }
    };
    let stream = match shake(&tls, &wire.target.host, stream).await {
        Ok(stream) => stream,
        Err(fault) => {
            let asked = asked.load(Ordering::Relaxed);
            unshaken(patient, &wire, &fault, asked, found).await;
            return Ok(None);
        }
    };
    found.ok("protocol", "TLS");
    found.ok("tls", "the handshake succeeds");
    let Some(shown) = Shown::on(&stream) else {
        found.failed(
            "certificate chain",
            "the certificate cannot be read; give the gate another one",
        );
        return Ok(None);
    };
    name(&wire, &shown, found);
    let ca = authority(patient, &wire, &shown, found)?;
    let answer = exchange(Box::new(stream), &wire.target, &Ask::get("/v2/")).await;
    let asked = asked.load(Ordering::Relaxed);
    match answer {
        Ok(answer) => {
            let server = clock(&answer, found);
            dates(&shown, server, found);
            own_certificate(patient, &answer, asked, found);
        }
        Err(fault) => {
            dates(&shown, None, found);
            match refusal(&fault) {
                Some(Refusal::OurCertificate(text)) => certificate_refused(patient, &text, found),
                _ => found.failed("registry", format!("no answer after the handshake: {}; what listens there is no registry, or its \
             front has none behind it", chain(&fault))),
            }
        }
    }
    if found.verdict().is_some() {
        return Ok(None);
    }
    let tls = client_config(ca.as_deref(), own).map_err(|faults| lines(&faults))?;
    wire.tls = Some(tls);
    Ok(Some(wire))
}

fn lines(faults: &[crate::tls::Error]) -> Vec<String> {
    faults.iter().map(|fault| chain(fault)).collect()
}

/// The handshake failed: what is it that listens there?
async fn unshaken(
    patient: &Patient,
    wire: &Wire,
    fault: &Fault,
    asked: bool,
    found: &mut Diagnosis,
) {
    match fault
        .source()
        .and_then(|source| refusal(source))
        .or_else(|| refusal(fault))
    {
        Some(Refusal::OurCertificate(text)) => {
            found.ok("protocol", "TLS");
            found.ok("tls", "the handshake goes as far as the client certificate");
            return certificate_refused(patient, &text, found);
        }
        // What OpenSSL says up to TLS 1.2 when it misses one.
        Some(Refusal::Other(text)) if asked => {
            found.ok("protocol", "TLS");
            found.ok("tls", "the handshake goes as far as the client certificate");
            return certificate_refused(patient, &text, found);
        }
        Some(Refusal::NothingInCommon(text)) => {
            found.ok("protocol", "TLS");
            return found.failed(
                "tls",
                format!(
                    "no version of TLS or cipher in common: {text}; clients speak TLS 1.2 and 1.3: \
             switch one of them on"
                ),
            );
        }
        Some(Refusal::NameUnknown) => {
            found.ok("protocol", "TLS");
            return found.failed("certificate name", format!("the server has no certificate for {}; give it one, or use the name that it has", wire.target.host));
        }
        Some(Refusal::NotTls | Refusal::Other(_)) | None => {}
    }
    let clear = Wire {
        target: crate::probe::target::Target {
            scheme: Scheme::Http,
            ..wire.target.clone()
        },
        ..wire.clone()
    };
    if clear.ask(&Ask::get("/v2/")).await.is_ok() {
        let url = other_url(wire);
        return found.failed(
            "protocol",
            format!(
                "the port speaks HTTP in clear and the URL says https; give the listener a \
             certificate, or use {url} if nobody can listen on the way"
            ),
        );
    }
    if refusal_is_none_of_tls(fault) {
        found.failed(
            "protocol",
            format!(
                "what listens there speaks neither TLS nor HTTP: {}; check the port",
                chain(fault)
            ),
        );
    } else {
        found.ok("protocol", "TLS");
        found.failed(
            "tls",
            format!("{}; look into the log of the server", chain(fault)),
        );
    }
}

fn refusal_is_none_of_tls(fault: &Fault) -> bool {
    let reason = fault
        .source()
        .and_then(|source| refusal(source))
        .or_else(|| refusal(fault));
    matches!(reason, None | Some(Refusal::NotTls))
}

fn name(wire: &Wire, shown: &Shown, found: &mut Diagnosis) {
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
fn authority(
    patient: &Patient,
    wire: &Wire,
    shown: &Shown,
    found: &mut Diagnosis,
) -> Result<Option<PathBuf>, Vec<String>> {
    let host = &wire.target.host;
    let ca = patient.ca.as_deref();
    let trust = shown.trust(host, ca).map_err(|fault| vec![chain(&fault)])?;
    let whole = format!("{} shown", certificates(shown.count()));
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
            found.ok("certificate chain", whole);
            let who = if shown.self_issued {
                "it is its own issuer".to_owned()
            } else {
                format!("issued by {}", shown.issuer)
            };
            let whom = ca.map_or_else(
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
    Ok(None)
}

fn certificates(count: usize) -> String {
    if count == 1 {
        "1 certificate".to_owned()
    } else {
        format!("{count} certificates")
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Compares the clocks; the server's, if it is another than ours.
fn clock(answer: &Answer, found: &mut Diagnosis) -> Option<u64> {
    let date = answer
        .header(&DATE)
        .and_then(|text| httpdate::parse_http_date(text).ok());
    let Some(server) = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok()) else {
        found.skipped("clock", "the answer has no Date to compare with");
        return None;
    };
    let (server, own) = (server.as_secs(), now());
    let drift = server.abs_diff(own);
    if drift <= DRIFT {
        found.ok("clock", format!("within {DRIFT} seconds of the server's"));
        return None;
    }
    let (behind, by) = if server > own {
        ("behind", server - own)
    } else {
        ("ahead of", own - server)
    };
    found.failed(
        "clock",
        format!(
            "this machine's clock ({}) is {} {behind} the server's ({}); set the one that \
             is wrong (timedatectl set-ntp true)",
            date_text(own),
            span(by),
            date_text(server)
        ),
    );
    Some(server)
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn date_text(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799)))
}

/// Its dates, by the server's clock if ours is another.
fn dates(shown: &Shown, server: Option<u64>, found: &mut Diagnosis) {
    let now = server.unwrap_or_else(now);
    let by = if server.is_some() {
        ", by the clock of the server"
    } else {
        ""
    };
    if now > shown.not_after {
        found.failed(
            "certificate dates",
            format!(
                "it expired on {}{by}; renew it, and see that the gate has the new one",
                date_text(shown.not_after)
            ),
        );
    } else if now < shown.not_before {
        found.failed(
            "certificate dates",
            format!(
                "it is not valid before {}{by}; wait, or issue one that begins earlier",
                date_text(shown.not_before)
            ),
        );
    } else {
        found.ok(
            "certificate dates",
            format!("valid until {}{by}", date_text(shown.not_after)),
        );
    }
}

/// Whether the server wants a certificate of ours, as the answer says.
fn own_certificate(patient: &Patient, answer: &Answer, asked: bool, found: &mut Diagnosis) {
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
        return certificate_refused(patient, &format!("it answers {}", answer.status), found);
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

fn certificate_refused(patient: &Patient, why: &str, found: &mut Diagnosis) {
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
