//! Clients whose clock and the gate's are ten minutes apart, and tokens that are over in the middle of a push.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::front::{CREDENTIALS, Front, PASSWORD, USER};
use super::gate::off_the_clock;
use super::public;
use crate::support::clock::Clock;
use crate::support::docker::Docker;
use crate::support::image::Image;
use crate::support::podman::Podman;
use crate::support::process::Outcome;
use crate::support::relay::Relay;
use crate::support::skopeo::Skopeo;
use crate::support::trust::Trust;

/// All that a client does where everybody may pull, with the gate's clock ahead of the client's and behind it.
pub fn apart(claims: fn(&Front)) {
    for offset in ["+10m", "-10m"] {
        let (front, ..) = off_the_clock(offset, |url| Relay::before(url, |_| {}));
        claims(&front);
    }
}

pub const DOCKER: fn(&Front) = public::docker;
pub const PODMAN: fn(&Front) = public::podman;
pub const BUILDAH: fn(&Front) = public::buildah;
pub const SKOPEO: fn(&Front) = public::skopeo;
pub const CONTAINERD: fn(&Front) = public::containerd;

/// How long a client is told that its token lives, and a bit. A program in Go reads the clock of the machine, so this
/// time has to pass; that of the gate goes on at once.
const LIFE: Duration = Duration::from_secs(61);

/// A gate where the first part of an upload takes longer than a token lives, with its grace. Tells the requests that the
/// registry got.
fn slow() -> (Front, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let clock: Arc<OnceLock<Clock>> = Arc::default();
    let (noted, set) = (Arc::clone(&seen), Arc::clone(&clock));
    let held = AtomicBool::new(false);
    let look = move |request: &str| {
        noted.lock().unwrap().push(request.to_owned());
        if request.starts_with("PATCH ") && !held.swap(true, Ordering::Relaxed) {
            std::thread::sleep(LIFE);
            if let Some(clock) = set.get() {
                clock.set("+10m");
            }
        }
    };
    let (front, own, _) = off_the_clock("+0", |url| Relay::before(url, look));
    clock.set(own).unwrap();
    (front, seen)
}

/// Each client pushes through such a gate, all at the same time: containerd 1.6 is not among them, see `docs/limits.md`.
pub fn longer_than_a_token() {
    let clients = [docker_goes_on, podman_goes_on, skopeo_goes_on].map(std::thread::spawn);
    // All of them, so that nobody is left behind.
    let ends = clients.map(std::thread::JoinHandle::join);
    for end in ends {
        if let Err(panic) = end {
            std::panic::resume_unwind(panic);
        }
    }
}

#[track_caller]
fn is_pushed(outcome: Outcome, seen: &Mutex<Vec<String>>) {
    outcome.succeeds("an image is pushed, though the token was over in the middle");
    let seen = seen.lock().unwrap();
    let starts = |what: &str| seen.iter().filter(|r| r.starts_with(what)).count();
    // The layer and the configuration once each: what was under way was not begun again.
    assert_eq!(starts("PATCH "), 2, "{seen:#?}");
    assert_eq!(starts("PUT /v2/team/late/manifests/"), 1, "{seen:#?}");
}

fn docker_goes_on() {
    let (front, seen) = slow();
    let host = front.address.as_str();
    let name = front.repository("team/late:1");
    let trust = Trust::new(host);
    trust.add_ca(front.ca());
    let docker = Docker::new();
    docker.import(&Image::unique().root_tar(), &name);
    docker
        .run(&["login", "-u", USER, "-p", PASSWORD, host])
        .succeeds("a login");
    is_pushed(docker.run(&["push", &name]), &seen);
}

fn podman_goes_on() {
    let (front, seen) = slow();
    let name = front.repository("team/late:1");
    let trust = Trust::new(&front.address);
    trust.add_ca(front.ca());
    let podman = Podman::new();
    let image = Image::unique();
    let tar = image.root_tar();
    podman
        .run(&["import", "--quiet", tar.to_str().unwrap(), &name])
        .succeeds("a tar is imported");
    is_pushed(podman.run(&["push", "--creds", CREDENTIALS, &name]), &seen);
}

fn skopeo_goes_on() {
    let (front, seen) = slow();
    let target = format!("docker://{}", front.repository("team/late:1"));
    let trust = Trust::new(&front.address);
    trust.add_ca(front.ca());
    let skopeo = Skopeo::new();
    let image = Image::unique();
    let source = format!("oci:{}:image", image.layout().display());
    let copy = ["copy", "--dest-creds", CREDENTIALS, &source, &target];
    is_pushed(skopeo.run(&copy), &seen);
}
