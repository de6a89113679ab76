//! `dockgate doctor`: names the layer that fails between this machine and a registry, and what to do about it.

use serde_json::json;

use crate::probe::{Check, Diagnosis, Patient, Status, examine};

use super::asking;
use super::line::access::Format;
use super::line::doctor::Doctor;
use super::{DONE, FAILED, WRONG, answer, say};

pub(super) fn run(asked: &Doctor) -> u8 {
    let patient = match patient(asked) {
        Ok(patient) => patient,
        Err(faults) => {
            for fault in &faults {
                say(fault);
            }
            return WRONG;
        }
    };
    let diagnosis = match asking::block_on(examine(&patient)) {
        Ok(Ok(diagnosis)) => diagnosis,
        Ok(Err(faults)) => {
            for fault in &faults {
                say(fault);
            }
            return WRONG;
        }
        Err(fault) => {
            say(&format!("no runtime can be started: {fault}"));
            return FAILED;
        }
    };
    match asked.format {
        Format::Text => text(&diagnosis),
        Format::Json => answer(&document(&patient, &diagnosis).to_string()),
    }
    if diagnosis.verdict().is_none() {
        DONE
    } else {
        FAILED
    }
}

fn patient(asked: &Doctor) -> Result<Patient, Vec<String>> {
    let one = |fault: String| vec![fault];
    let target = asking::target(&asked.url, asked.address.as_deref());
    let (target, instead) = target.map_err(one)?;
    // Before anybody is asked for a password.
    asking::tls(&asked.access)?;
    Ok(Patient {
        route: asking::route(&target, instead.is_some()),
        target,
        instead,
        ca: asked.access.ca.clone(),
        certificate: asking::certificate(&asked.access),
        repository: asking::repository(&asked.repository).map_err(one)?,
        credentials: asking::credentials(&asked.access).map_err(one)?,
        root: "/".into(),
    })
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Failed => "failed",
        Status::Skipped => "skipped",
    }
}

fn text(diagnosis: &Diagnosis) {
    for check in &diagnosis.checks {
        answer(&format!(
            "{:<8} {:<19} {}",
            word(check.status),
            check.layer,
            check.text
        ));
    }
    answer("");
    answer(&match diagnosis.verdict() {
        Some(check) => format!("verdict: {}: {}", check.layer, check.text),
        None => "verdict: nothing fails".to_owned(),
    });
}

fn document(patient: &Patient, diagnosis: &Diagnosis) -> serde_json::Value {
    let one = |check: &Check| json!({"layer": check.layer, "status": word(check.status), "text": check.text});
    json!({
        "url": patient.target.origin(),
        "verdict": diagnosis.verdict().map(|check| check.layer),
        "checks": diagnosis.checks.iter().map(one).collect::<Vec<_>>(),
    })
}
