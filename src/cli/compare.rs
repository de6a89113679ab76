//! `dockgate compare`: asks two registries the same, and tells what differs.
//!
//! Exit codes: 0 no client will notice, 1 clients will notice or not everything could be asked, 2 wrong usage.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::json;

use crate::probe::{
    Credentials, Difference, Image, Outcome, Plan, Report, Route, Weight, Wire, compare,
};

use super::asking;
use super::line::access::{Access, Format};
use super::line::compare::Compare;
use super::{DONE, FAILED, WRONG, answer, say};

pub(super) fn run(asked: &Compare) -> u8 {
    let (plan, origins) = match plan(asked) {
        Ok(planned) => planned,
        Err(faults) => {
            for fault in &faults {
                say(fault);
            }
            return WRONG;
        }
    };
    let shows = io::stderr().is_terminal();
    let progress = |at: usize, of: usize, step: &str| {
        if shows {
            let _ = write!(io::stderr().lock(), "\r{at}/{of} {step:<28}");
        }
    };
    let done = asking::block_on(run_plan(plan, progress));
    if shows {
        let _ = write!(io::stderr().lock(), "\r{:40}\r", "");
    }
    let report = match done {
        Ok(Ok(report)) => report,
        Ok(Err(faults)) => {
            for fault in &faults {
                say(fault);
            }
            return FAILED;
        }
        Err(fault) => {
            say(&format!("no runtime can be started: {fault}"));
            return FAILED;
        }
    };
    match asked.format {
        Format::Text => text(&report, &origins),
        Format::Json => answer(&document(&report, &origins).to_string()),
    }
    match report.outcome() {
        Outcome::Alike => DONE,
        Outcome::Differs | Outcome::Incomplete => FAILED,
    }
}

/// At Ctrl-C, asks no more and removes what was pushed; at the second, ends at once.
async fn run_plan(
    plan: Plan,
    progress: impl FnMut(usize, usize, &str),
) -> Result<Report, Vec<String>> {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let repository = plan.repository.clone();
    let twice = async {
        interrupted().await;
        let _ = stop.send(());
        interrupted().await;
    };
    let stopped = async {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        report = compare(plan, progress, stopped) => report,
        () = twice => Err(vec![format!("interrupted twice; what was pushed to {repository} may still be there")]),
    }
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // There is no such signal to wait for.
        std::future::pending::<()>().await;
    }
}

fn plan(asked: &Compare) -> Result<(Plan, [String; 2]), Vec<String>> {
    let one = |fault: String| vec![fault];
    let old = wire(&asked.old, asked.old_address.as_deref(), &asked.access)?;
    let new = wire(&asked.new, asked.new_address.as_deref(), &asked.access)?;
    if (&old.target, &old.instead) == (&new.target, &new.instead) {
        say("note: both URLs are the same registry");
    }
    let image = asked.image.as_deref().map(image).transpose().map_err(one)?;
    let repository = asking::repository(&asked.repository).map_err(one)?;
    let credentials: Option<Credentials> = asking::credentials(&asked.access).map_err(one)?;
    let mut run = [0; 8];
    getrandom::fill(&mut run)
        .map_err(|fault| vec![format!("no random number can be had: {fault}")])?;
    let origins = [&old, &new].map(shown);
    let plan = Plan {
        old,
        new,
        credentials,
        repository,
        image,
        write: !asked.read_only,
        run: u64::from_be_bytes(run),
    };
    Ok((plan, origins))
}

/// The registry, and where it was asked if not there.
fn shown(wire: &Wire) -> String {
    let origin = wire.target.origin();
    match &wire.instead {
        Some((host, port)) => format!("{origin} at {host}:{port}"),
        None => origin,
    }
}

fn wire(url: &str, address: Option<&str>, access: &Access) -> Result<Wire, Vec<String>> {
    let (target, instead) = asking::target(url, address).map_err(|fault| vec![fault])?;
    let tls = asking::tls(access)?;
    let proxy = match asking::route(&target, instead.is_some()) {
        Route::Through(proxy) => Some(proxy),
        Route::Direct | Route::Exempt(_) | Route::Other(..) => None,
    };
    Ok(Wire {
        target,
        tls: Some(tls),
        instead,
        proxy,
    })
}

/// `NAME`, `NAME:TAG` or `NAME@DIGEST`.
fn image(text: &str) -> Result<Image, String> {
    let (name, reference) = match text.split_once('@') {
        Some(parts) => parts,
        None => text.rsplit_once(':').unwrap_or((text, "latest")),
    };
    let repository = asking::repository(name)?;
    crate::oci::Reference::parse(reference).map_err(|fault| format!("image {text:?}: {fault}"))?;
    Ok(Image {
        repository: repository.as_str().to_owned(),
        reference: reference.to_owned(),
    })
}

/// Differences of the same kind, which are told of together.
struct Group<'a> {
    first: &'a Difference,
    steps: Vec<&'static str>,
}

/// What clients notice is told of each pair of values, what is harmless of each part.
fn groups(differences: &[Difference], weight: Weight) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for difference in differences
        .iter()
        .filter(|difference| difference.weight == weight)
    {
        let alike = |first: &Difference| {
            first.part == difference.part
                && first.why == difference.why
                && (weight == Weight::Harmless
                    || (&first.old, &first.new) == (&difference.old, &difference.new))
        };
        match groups.iter_mut().find(|group| alike(group.first)) {
            Some(group) => group.steps.push(difference.step),
            None => groups.push(Group {
                first: difference,
                steps: vec![difference.step],
            }),
        }
    }
    groups
}

fn text(report: &Report, [old, new]: &[String; 2]) {
    let (noticed, harmless) = (
        report.count(Weight::Noticed),
        report.count(Weight::Harmless),
    );
    answer(&format!("old: {old}\nnew: {new}"));
    answer(&format!(
        "{} requests to each; {noticed} differences that clients will notice, {harmless} harmless",
        report.asked
    ));
    for (weight, title) in [
        (Weight::Noticed, "clients will notice"),
        (Weight::Harmless, "harmless"),
    ] {
        let groups = groups(&report.differences, weight);
        if !groups.is_empty() {
            answer(&format!("\n{title}:"));
        }
        for group in groups {
            tell(&group);
        }
    }
    if !report.notes.is_empty() || !report.stays.is_empty() || !report.incomplete.is_empty() {
        answer("");
    }
    for note in &report.notes {
        answer(&format!("note: {note}"));
    }
    for (side, what) in &report.stays {
        answer(&format!("stays on {side}: {what}"));
    }
    for why in &report.incomplete {
        answer(&format!("incomplete: {why}"));
    }
    answer(match report.outcome() {
        Outcome::Alike => "\nverdict: alike",
        Outcome::Differs => "\nverdict: clients will notice",
        Outcome::Incomplete => "\nverdict: incomplete",
    });
}

fn tell(group: &Group<'_>) {
    let Difference {
        part,
        old,
        new,
        why,
        ..
    } = group.first;
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(nothing)".to_owned());
    answer(&format!("  {part}: {why}"));
    answer(&format!("    old: {}", value(old)));
    answer(&format!("    new: {}", value(new)));
    answer(&format!("    at:  {}", group.steps.join(" ")));
}

fn document(report: &Report, [old, new]: &[String; 2]) -> serde_json::Value {
    let weight = |weight| match weight {
        Weight::Noticed => "noticed",
        Weight::Harmless => "harmless",
    };
    let one = |difference: &Difference| {
        json!({
            "step": difference.step,
            "request": difference.request,
            "part": difference.part,
            "old": difference.old,
            "new": difference.new,
            "weight": weight(difference.weight),
            "why": difference.why,
        })
    };
    let stays = |(side, what): &(&'static str, String)| json!({"side": side, "what": what});
    json!({
        "old": old,
        "new": new,
        "requests": report.asked,
        "verdict": match report.outcome() {
            Outcome::Alike => "alike",
            Outcome::Differs => "differs",
            Outcome::Incomplete => "incomplete",
        },
        "differences": report.differences.iter().map(one).collect::<Vec<_>>(),
        "stays": report.stays.iter().map(stays).collect::<Vec<_>>(),
        "notes": report.notes,
        "incomplete": report.incomplete,
    })
}
