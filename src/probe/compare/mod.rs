//! The same questions to two registries, one after the other, and what differs between their answers.
//!
//! It writes into one repository alone, under a tag that nobody has, and removes it again; what cannot be removed is told.

mod content;
mod facts;
mod list;
mod side;
mod steps;
mod weigh;

use std::future::{Future, ready};
use std::pin::pin;

use http::StatusCode;

use crate::oci::RepositoryName;
use crate::telemetry::chain;

use super::login::Credentials;
use super::wire::{Ask, Fault, Wire};

use content::Content;
use facts::facts;
use list::steps;
use side::{Said, Side};
use steps::Step;
use weigh::{differences, silence};

pub(crate) use steps::Image;
pub(crate) use weigh::{Difference, Weight};

/// What is to be compared, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What is there.
    pub old: Wire,
    /// What is to take its place.
    pub new: Wire,
    /// A user that both know.
    pub credentials: Option<Credentials>,
    /// Where things are pushed to.
    pub repository: RepositoryName,
    /// An image that both have.
    pub image: Option<Image>,
    /// Whether anything is pushed.
    pub write: bool,
    /// A number that no other run has.
    pub run: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How many requests each side was asked.
    pub asked: usize,
    /// What differs, the weightiest first.
    pub differences: Vec<Difference>,
    /// What stays behind, and on which side.
    pub stays: Vec<(&'static str, String)>,
    /// Why it says less than it should; with one, nobody should sign.
    pub incomplete: Vec<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No client will notice.
    Alike,
    /// Clients will notice.
    Differs,
    /// Not everything was asked.
    Incomplete,
}

impl Report {
    /// How it ended.
    pub(crate) fn outcome(&self) -> Outcome {
        if !self.incomplete.is_empty() {
            Outcome::Incomplete
        } else if self.count(Weight::Noticed) > 0 {
            Outcome::Differs
        } else {
            Outcome::Alike
        }
    }

    /// How many differences have this weight.
    pub(crate) fn count(&self, weight: Weight) -> usize {
        let of = |difference: &&Difference| difference.weight == weight;
        self.differences.iter().filter(of).count()
    }
}

/// Asks both. `progress` is told the step that is asked, with its number and how many there are; when `stop` is ready,
/// what was pushed is removed and the report says that it is incomplete.
///
/// # Errors
/// One of them cannot be asked at all.
pub(crate) async fn compare(
    plan: Plan,
    mut progress: impl FnMut(usize, usize, &str),
    stop: impl Future<Output = ()>,
) -> Result<Report, Vec<String>> {
    let faults = [("old", &plan.old), ("new", &plan.new)];
    let mut cannot = Vec::new();
    for (name, wire) in faults {
        if let Err(fault) = wire.ask(&Ask::get("/v2/")).await {
            cannot.push(unreachable(name, wire, &fault));
        }
    }
    if !cannot.is_empty() {
        return Err(cannot);
    }
    let contents = ['o', 'n'].map(|side| Content::new(&plan.repository, plan.run, side));
    let lists = contents
        .each_ref()
        .map(|c| steps(c, plan.image.as_ref(), plan.write));
    let [old_content, new_content] = contents;
    let mut old = Side::new(plan.old, old_content, plan.credentials.clone());
    let mut new = Side::new(plan.new, new_content, plan.credentials.clone());
    let [old_steps, new_steps] = lists;
    let count = old_steps.len();
    let mut report = Report::default();
    let mut stop = pin!(stop);
    for (before, after) in old_steps.iter().zip(&new_steps) {
        progress(report.asked + 1, count, before.name);
        // Between the steps alone: a request that is cut off may be done all the same, after we have looked.
        let stopped = tokio::select! {
            biased;
            () = &mut stop => true,
            () = ready(()) => false,
        };
        if stopped {
            let why = format!("interrupted before {}", before.name);
            report.incomplete.push(why);
            break;
        }
        let (one, other) = (old.ask(before).await, new.ask(after).await);
        if withheld([("old", &old), ("new", &new)], &mut report) {
            break;
        }
        report.asked += 1;
        let said = [&one, &other];
        judge(before, said, [&old, &new], &mut report);
        remark(before, said, plan.credentials.as_ref(), &mut report);
        if silent(before, [("old", &old), ("new", &new)], &mut report) {
            break;
        }
    }
    for (name, side) in [("old", &old), ("new", &new)] {
        let note = side.elsewhere().map(|server| {
            format!("{name} has its tokens from {server}: the password went there too")
        });
        report.notes.extend(note);
    }
    if plan.write {
        for (name, side) in [("old", &mut old), ("new", &mut new)] {
            let stays = side.tidy().await;
            report
                .stays
                .extend(stays.into_iter().map(|what| (name, what)));
        }
    }
    report
        .differences
        .sort_by_key(|difference| difference.weight);
    Ok(report)
}

fn unreachable(name: &str, wire: &Wire, fault: &Fault) -> String {
    let target = &wire.target;
    format!(
        "{name}, {target}: {}; `dockgate doctor {target}` says more",
        chain(fault)
    )
}

/// Whether a side would have the password sent in clear; then it is asked nothing more, and the report says why.
fn withheld(sides: [(&str, &Side); 2], report: &mut Report) -> bool {
    let why = sides.iter().filter_map(|(name, side)| {
        let why = side.withheld()?;
        Some(format!(
            "{name}: {why}; tell the token server its scheme (X-Forwarded-Proto), or write https:// \
             into its setting; the rest was not asked"
        ))
    });
    let before = report.incomplete.len();
    report.incomplete.extend(why);
    report.incomplete.len() > before
}

/// Whether a side has stopped answering, which the report says then.
fn silent(step: &Step, sides: [(&str, &Side); 2], report: &mut Report) -> bool {
    let silent = sides.iter().find(|(_, side)| !side.answers());
    report.incomplete.extend(silent.map(|(name, _)| {
        format!(
            "{name} has stopped answering at {}; the rest was not asked",
            step.name
        )
    }));
    silent.is_some()
}

fn judge(step: &Step, said: [&Said; 2], sides: [&Side; 2], report: &mut Report) {
    let [old, new] = said;
    match (old, new) {
        (Said::Answer(one), Said::Answer(other)) => {
            let [before, after] = sides;
            let one = facts(step, one, &before.wire.target, &before.content);
            let other = facts(step, other, &after.wire.target, &after.content);
            report.differences.extend(differences(step, &one, &other));
        }
        (Said::NotBegun, Said::NotBegun) => {
            let note = format!("{}: neither has begun an upload", step.name);
            report.notes.push(note);
        }
        (Said::Nothing(one), Said::Nothing(other)) => {
            // Two who say nothing are not alike: nobody knows what they would have said.
            let why = format!("{}: neither answers: {one}; {other}", step.name);
            report.incomplete.push(why);
        }
        (one, other) => {
            let difference = silence(step, one.status(), other.status());
            report.differences.push(difference);
        }
    }
}

/// What makes the rest say less than it seems to.
fn remark(step: &Step, said: [&Said; 2], credentials: Option<&Credentials>, report: &mut Report) {
    let is =
        |said: &Said, status: StatusCode| matches!(said, Said::Answer(a) if a.status == status);
    let both = |status| said.iter().all(|said| is(said, status));
    match (step.name, credentials) {
        ("login/good", Some(credentials)) if both(StatusCode::UNAUTHORIZED) => {
            report.incomplete.push(format!(
                "neither knows {} with this password: what follows was refused on both sides; \
                 check the password",
                credentials.user
            ));
        }
        ("push/begin", None) if both(StatusCode::UNAUTHORIZED) => {
            let note = "both refuse a push without credentials, so no push and no pull was \
                        compared; give --user";
            report.notes.push(note.to_owned());
        }
        ("push/begin", Some(credentials))
            if !said.iter().any(|said| is(said, StatusCode::ACCEPTED)) =>
        {
            report.notes.push(format!(
                "neither lets {} push, so no push and no pull was compared; --repository names \
                 another place",
                credentials.user
            ));
        }
        _ => {}
    }
}
