//! Which protocol the port speaks, and a handshake that looks at everything the server shows.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use http::StatusCode;

use crate::peer::Scheme;
use crate::probe::target::Target;
use crate::probe::wire::{Ask, Fault, Wire, exchange, shake};
use crate::telemetry::chain;
use crate::tls::{Refusal, Shown, client_config, examining_client, refusal};

use super::certificate::{authority, name, own_certificate, own_certificate_refused};
use super::clients;
use super::clock::{clock, dates};
use super::network::other_url;
use super::{Diagnosis, Patient};

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
        Scheme::Http => plain(patient, wire, found).await,
        Scheme::Https => encrypted(patient, wire, found).await,
    }
}

/// What was asked for in clear.
async fn plain(
    patient: &Patient,
    wire: Wire,
    found: &mut Diagnosis,
) -> Result<Option<Wire>, Vec<String>> {
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
        return Ok(None);
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
            return Ok(None);
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
    // Its token server may speak TLS all the same.
    let tls = client_config(patient.ca.as_deref(), patient.certificate.as_ref());
    Ok(Some(Wire {
        tls: Some(tls.map_err(|faults| lines(&faults))?),
        ..wire
    }))
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
                Some(Refusal::OurCertificate(text)) => own_certificate_refused(patient, &text, found),
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
    let reason = fault.source().and_then(refusal).or_else(|| refusal(fault));
    let is_tls = !matches!(reason, None | Some(Refusal::NotTls));
    match reason {
        Some(Refusal::OurCertificate(text)) => {
            found.ok("protocol", "TLS");
            found.ok("tls", "the handshake goes as far as the client certificate");
            return own_certificate_refused(patient, &text, found);
        }
        // What OpenSSL says up to TLS 1.2 when it misses one.
        Some(Refusal::Other(text)) if asked => {
            found.ok("protocol", "TLS");
            found.ok("tls", "the handshake goes as far as the client certificate");
            return own_certificate_refused(patient, &text, found);
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
        target: Target {
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
    if is_tls {
        found.ok("protocol", "TLS");
        found.failed(
            "tls",
            format!("{}; look into the log of the server", chain(fault)),
        );
    } else {
        found.failed(
            "protocol",
            format!(
                "what listens there speaks neither TLS nor HTTP: {}; check the port",
                chain(fault)
            ),
        );
    }
}
