//! No new thread can be had. What blocks is done by those that are there.

use std::thread;

use rustix::process::Signal;

use super::{LOGIN, Scarce, push_image, real, spawn};
use crate::support::cgroup::{Bound, Cgroup};
use crate::support::dialog::{Answer, Dialog};
use crate::support::figures::{FAULTS, tell};
use crate::support::registry::Registry;
use crate::support::scrape::Scrape;

/// As many as a start takes: the first one, two that write logs, one for each processor, and one for what blocks.
fn least() -> u64 {
    let processors = thread::available_parallelism().unwrap().get();
    u64::try_from(processors).unwrap() + 4
}

/// Whether the right password, or a wrong one, is told from the other.
#[track_caller]
fn logs_in(dialog: &mut Dialog, password: &str) -> Answer {
    let text = format!("Basic {}", base64(&format!("user:{password}")));
    dialog.ask("GET", "/v2/", &[("Authorization", &text)], b"")
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[track_caller]
fn without_threads(registry: Option<Registry>) {
    let Some(group) = Cgroup::with(Bound::Tasks) else {
        return;
    };
    group.allow(Some(least()));
    let scarce = Scarce::start(group, registry, "");
    let before = push_image(&mut scarce.plain(), "a", "before", 0);

    // Each of these needs one that may block: key exchanges, bcrypt, files, names.
    let mut dialog = scarce.encrypted();
    assert_eq!(logs_in(&mut dialog, "secret").status, 200);
    assert_eq!(logs_in(&mut dialog, "wrong").status, 401);
    let during = push_image(&mut dialog, "a", "during", 100 << 10);
    for (tag, content) in [("before", &before), ("during", &during)] {
        let target = format!("/v2/a/manifests/{tag}");
        let kind = ("Accept", super::MANIFEST);
        let pull = scarce.encrypted().ask("GET", &target, &[LOGIN, kind], b"");
        assert_eq!(pull.status, 200, "{}", pull.head);
        assert_eq!(&pull.body, content);
    }
    thread::scope(|scope| {
        for number in 0..24 {
            let scarce = &scarce;
            scope.spawn(move || {
                let password = format!("wrong-{number}");
                let status = logs_in(&mut scarce.encrypted(), &password).status;
                assert!(matches!(status, 401 | 429), "{status}");
            });
        }
    });
    scarce.program.signal(Signal::HUP);
    scarce.program.err_line("reloaded");
    assert!(scarce.group.refused() > 0, "a thread was asked for");

    scarce.group.allow(None);
    let mut dialog = scarce.encrypted();
    push_image(&mut dialog, "a", "after", 100 << 10);
    let scrape = Scrape::of(scarce.program.admin());
    scrape.is("dockgate_panics_total", &[], 0.0);
    tell(FAULTS, 1);
}

#[test]
fn p2_n63_without_threads_the_embedded_registry_serves_with_those_it_has() {
    without_threads(None);
}

#[test]
fn p2_n63_without_threads_the_gate_serves_with_those_it_has() {
    if let Some(registry) = real() {
        without_threads(Some(registry));
    }
}

/// Too few for a start, at every number of them.
#[test]
fn p2_n63_a_start_without_threads_says_so() {
    let Some(group) = Cgroup::with(Bound::Tasks) else {
        return;
    };
    let toml = "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
                [registry.filesystem]\nrootdirectory = \"store\"\n";
    for tasks in 1..least() {
        group.allow(Some(tasks));
        let (code, _, said) = spawn(&group, toml, |_| {}).end();
        assert_eq!(code, Some(1), "{tasks} tasks: {said}");
        assert!(said.contains("TasksMax"), "{tasks} tasks: {said}");
        assert!(!said.contains("panic"), "{tasks} tasks: {said}");
    }
}
