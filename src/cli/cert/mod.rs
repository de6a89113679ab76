//! `dockgate cert`: the certificate desk.
//!
//! What was made goes to standard output, one `key: value` a line; what to know and what to do next to standard error.

mod bundle;
mod list;

use std::path::{Path, PathBuf};

use crate::pki::Alternative;
use crate::pki::Desk;
use crate::pki::Error;
use crate::pki::Issued;
use crate::pki::Key;
use crate::pki::KeyType;
use crate::pki::Name;
use crate::pki::Place;
use crate::pki::Reason;
use crate::pki::Renewal;
use crate::pki::Revoked;
use crate::pki::Use;
use crate::pki::Wanted;
use crate::pki::adopt;
use crate::pki::date_text;
use crate::pki::make;
use crate::telemetry::chain;

use super::line::cert::{Asked, DeskArguments, KeyKind, New, Task, WhyRevoked};
use super::load::{self, Found};
use super::{DONE, FAILED, WRONG, answer, say};

/// The name under which the CA itself is renewed.
const CA: &str = "ca";

pub(super) fn run(config: Option<&Path>, asked: Asked) -> u8 {
    let desk = match Where::find(config, &asked.desk) {
        Ok(desk) => desk,
        Err(faults) => {
            for fault in faults {
                say(&fault);
            }
            return WRONG;
        }
    };
    let done = match asked.task {
        Task::InitCa {
            name,
            days,
            key_type,
        } => init(&desk, name.as_deref(), days, key_type),
        Task::Server(new) => issue(&desk, &new, Use::Server),
        Task::Client(new) => issue(&desk, &new, Use::Client),
        Task::Renew { crl: true, .. } => renew_list(&desk),
        Task::Renew {
            name,
            days,
            key_type,
            keep_key,
            revoke,
            ..
        } => {
            let how = Renewal {
                days,
                key_type: key_type.map(KeyType::from),
                keep_key,
                revoke,
            };
            renew(&desk, &name.unwrap_or_default(), &how)
        }
        Task::Revoke { whom, file, reason } => {
            let reason = reason.map(Reason::from);
            revoke(&desk, whom.as_deref(), file.as_deref(), reason)
        }
        Task::List { format } => list::run(&desk.place, format),
        Task::Bundle(asked) => bundle::run(&desk, &asked),
    };
    match done {
        Ok(()) => DONE,
        Err(error) => {
            say(&chain(&error));
            if error.is_wrong() { WRONG } else { FAILED }
        }
    }
}

/// The desk that is meant, and the folder of the gate beside it.
struct Where {
    place: Place,
    state_dir: Option<PathBuf>,
    list_days: Option<u32>,
}

impl Where {
    /// The configuration says where `state_dir` is. Where the folder is named, a configuration that is missing or broken
    /// stops nothing: a CA often lives on a machine without a gate.
    fn find(config: Option<&Path>, asked: &DeskArguments) -> Result<Self, Vec<String>> {
        let found = load::load(config);
        let state_dir = match (found, &asked.dir) {
            (Ok(Found { loaded, .. }), _) => Some(loaded.config.state_dir),
            (Err(_), Some(_)) if config.is_none() => None,
            (Err(mut faults), _) => {
                faults.push(
                    "the desk is in `state_dir`, which the configuration names: mend it, or name the folder with --dir"
                        .to_owned(),
                );
                return Err(faults);
            }
        };
        let default = || state_dir.clone().unwrap_or_default().join("pki");
        let ca = asked.ca.clone().zip(asked.ca_key.clone());
        Ok(Self {
            place: Place {
                dir: asked.dir.clone().unwrap_or_else(default),
                ca,
            },
            state_dir,
            list_days: asked.crl_days,
        })
    }

    fn open(&self) -> Result<Desk, Error> {
        Desk::open(&self.place, self.list_days)
    }
}

fn init(
    desk: &Where,
    name: Option<&str>,
    days: Option<u32>,
    key_type: KeyKind,
) -> Result<(), Error> {
    let dir = &desk.place.dir;
    let made = match &desk.place.ca {
        Some((certificate, key)) => adopt(dir, certificate, key, desk.list_days)?,
        None => make(
            dir,
            name,
            days,
            desk.list_days,
            &Key::generate(key_type.into())?,
        )?,
    };
    let folder = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
    let at = |file: &str| folder.join(file).display().to_string();
    answer(&format!("ca: {}", at("ca.crt")));
    answer(&format!("key: {}", at("ca.key")));
    answer(&format!("crl: {}", at("crl.pem")));
    warn(&made);
    say(&format!(
        "keep a copy of {} where nobody else finds it; the gate does not need it",
        at("ca.key")
    ));
    say(&format!(
        "the gate asks for certificates with these lines of [listener.tls]: client_auth = \"required\", client_ca = \"{}\", client_crl = \"{}\"",
        at("ca.crt"),
        at("crl.pem")
    ));
    Ok(())
}

fn issue(desk: &Where, new: &New, purpose: Use) -> Result<(), Error> {
    let name = match purpose {
        Use::Server => Name::server(&new.name)?,
        Use::Client => Name::client(&new.name)?,
    };
    let names = new.san.iter().map(|text| Alternative::parse(text));
    let wanted = Wanted {
        name,
        purpose,
        names: names.collect::<Result<_, _>>()?,
        days: new.days,
    };
    // before the folder is locked: RSA takes its time
    let key = Key::generate(new.key_type.into())?;
    let mut open = desk.open()?;
    let issued = open.issue(&wanted, &key)?;
    show(&issued);
    warn(&open);
    Ok(())
}

fn renew(desk: &Where, name: &str, how: &Renewal) -> Result<(), Error> {
    let mut open = desk.open()?;
    if name == CA {
        if how.revoke || how.keep_key || how.key_type.is_some() {
            return Err(Error::Asked(
                "the CA keeps its key, and nobody above it takes it back: `dockgate cert renew ca` takes --days alone"
                    .to_owned(),
            ));
        }
        let (path, end) = open.renew_ca(&desk.place, how.days)?;
        answer(&format!("ca: {}", path.display()));
        answer(&format!("expiry: {}", date_text(end)));
        warn(&open);
        say(
            "all certificates of this CA go on working; give the new ca.crt to the gate, and to every machine that knows the old one",
        );
        return Ok(());
    }
    let issued = open.renew(name, how)?;
    show(&issued);
    warn(&open);
    if !how.revoke {
        say(
            "the certificate before stays good until it ends; `dockgate cert list` shows its serial number",
        );
    }
    Ok(())
}

fn renew_list(desk: &Where) -> Result<(), Error> {
    let mut open = desk.open()?;
    open.renew_list()?;
    answer(&format!("crl: {}", open.list().display()));
    warn(&open);
    Ok(())
}

fn revoke(
    desk: &Where,
    whom: Option<&str>,
    file: Option<&Path>,
    reason: Option<Reason>,
) -> Result<(), Error> {
    let mut open = desk.open()?;
    let done = match file {
        Some(file) => open.revoke_file(file, reason)?,
        None => open.revoke(whom.unwrap_or_default(), reason)?,
    };
    for Revoked {
        name,
        serial,
        already,
    } in &done
    {
        answer(&format!("revoked: {} {serial}", name.escape_debug()));
        if *already {
            say(&format!(
                "{} had been taken back before",
                name.escape_debug()
            ));
        }
    }
    answer(&format!("crl: {}", open.list().display()));
    warn(&open);
    Ok(())
}

fn show(issued: &Issued) {
    answer(&format!("certificate: {}", issued.certificate.display()));
    answer(&format!("key: {}", issued.key.display()));
    answer(&format!("serial: {}", issued.serial));
    answer(&format!("expiry: {}", date_text(issued.end)));
}

fn warn(desk: &Desk) {
    for warning in &desk.warnings {
        say(&format!("warning: {warning}"));
    }
}

impl From<KeyKind> for KeyType {
    fn from(kind: KeyKind) -> Self {
        match kind {
            KeyKind::EcdsaP256 => Self::EcdsaP256,
            KeyKind::EcdsaP384 => Self::EcdsaP384,
            KeyKind::Rsa2048 => Self::Rsa2048,
            KeyKind::Rsa3072 => Self::Rsa3072,
            KeyKind::Rsa4096 => Self::Rsa4096,
        }
    }
}

impl From<WhyRevoked> for Reason {
    fn from(why: WhyRevoked) -> Self {
        match why {
            WhyRevoked::KeyCompromise => Self::KeyCompromise,
            WhyRevoked::CaCompromise => Self::CaCompromise,
            WhyRevoked::AffiliationChanged => Self::AffiliationChanged,
            WhyRevoked::Superseded => Self::Superseded,
            WhyRevoked::CessationOfOperation => Self::CessationOfOperation,
        }
    }
}
