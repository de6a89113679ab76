//! Public pull, private push and private repositories with every client: each operation that people do, as the person that
//! may and as the person that may not, on a registry that is empty to begin with.
//!
//! Alice may do everything; Bob may pull everything and push nothing; Carol may push, but has no part in `private/`, which
//! nobody sees without a login.

use std::io::{self, Write as _};

use super::front::{CREDENTIALS, Front, PASSWORD, USER, WRONG_CREDENTIALS};
use super::password::{built, imported};
use super::public::{READER, READER_CREDENTIALS, READER_PASSWORD};
use crate::support::buildah::Buildah;
use crate::support::ctr::Ctr;
use crate::support::docker::Docker;
use crate::support::image::Image;
use crate::support::podman::Podman;
use crate::support::process::Outcome;
use crate::support::skopeo::Skopeo;
use crate::support::trust::Trust;

/// Who may push, but nothing under `private/`.
pub const WRITER: &str = "carol";

/// Her password.
pub const WRITER_PASSWORD: &str = "writes";

const WRITER_CREDENTIALS: &str = "carol:writes";

const DOCKER: usize = 22;
const PODMAN: usize = 16;
const BUILDAH: usize = 9;
const SKOPEO: usize = 17;
const CONTAINERD: usize = 12;

// As many as were found to hold when the policy was chosen.
const _: () = assert!(DOCKER + PODMAN + BUILDAH + SKOPEO + CONTAINERD >= 51);

/// What has been seen to be as wanted.
#[derive(Default)]
struct Checks(Vec<&'static str>);

impl Checks {
    #[track_caller]
    fn wanted(&mut self, claim: &'static str, outcome: Outcome) -> Outcome {
        self.0.push(claim);
        outcome.succeeds(claim)
    }

    #[track_caller]
    fn refused(&mut self, claim: &'static str, reason: &str, outcome: Outcome) {
        self.0.push(claim);
        outcome.fails_saying(reason, claim);
    }

    /// Nothing was left out.
    #[track_caller]
    fn are(self, client: &str, count: usize) {
        let mut said = io::stderr().lock();
        for claim in &self.0 {
            writeln!(said, "{client}: {claim}").unwrap();
        }
        assert_eq!(self.0.len(), count, "{client}: {:#?}", self.0);
    }
}

pub fn docker(front: &Front) {
    let mut checks = Checks::default();
    let host = front.address.as_str();
    let at = |name: &str| front.repository(name);
    let (one, two, private) = (at("team/one:1"), at("team/two:1"), at("private/one:1"));
    let docker = Docker::new();
    docker.import(&Image::unique().root_tar(), &one);
    for other in [&two, &private] {
        docker
            .run(&["tag", &one, other])
            .succeeds("an image gets another name");
    }
    let trust = Trust::new(host);
    trust.add_ca(front.ca());
    let log_in =
        |user: &str, password: &str| docker.run(&["login", "-u", user, "-p", password, host]);
    let push = |name: &str| docker.run(&["push", name]);
    // The image goes first: what the daemon has already is not fetched again.
    let pull = |name: &str| {
        let _ = docker.run(&["rmi", name]);
        docker.run(&["pull", name])
    };

    checks.refused("nobody pushes", "denied", push(&one));
    let wrong = "user name or password is wrong";
    checks.refused("a wrong password", wrong, log_in(USER, "wrong"));
    checks
        .wanted("the right password", log_in(USER, PASSWORD))
        .says("Login Succeeded", "docker says so");
    checks
        .wanted("a push after the login", push(&one))
        .says("Pushed", "its layer is sent");
    checks
        .wanted("a push of what another repository has", push(&two))
        .says("Mounted from team/one", "the layer is mounted");
    checks.wanted("a push to a private repository", push(&private));
    checks.wanted("a pull after the login", pull(&two));
    checks.wanted("a pull of what is private", pull(&private));
    let inspect = docker.run(&["manifest", "inspect", &private]);
    checks.wanted("a private manifest", inspect);
    let search = |text: &str| docker.run(&["search", &format!("{host}/{text}")]);
    checks
        .wanted("a search", search("one"))
        .says("private/one", "with what is private");
    docker.run(&["logout", host]).succeeds("a logout");

    checks.refused("a push after the logout", "denied", push(&one));
    checks.wanted("a pull by nobody", pull(&one));
    let refused = "pull access denied";
    checks.refused("a private pull by nobody", refused, pull(&private));
    let found = checks
        .wanted("a search by nobody", search("one"))
        .says("team/one", "with what is public");
    assert!(!found.stdout.contains("private"), "{found}");

    log_in(READER, READER_PASSWORD).succeeds("the reader logs in");
    checks.wanted("a pull by the reader", pull(&two));
    checks.wanted("a private pull by the reader", pull(&private));
    let why = "bob may not push to team/one";
    checks.refused("a push by the reader", why, push(&one));
    let why = "bob may not push to private/one";
    checks.refused("a private push by the reader", why, push(&private));

    log_in(WRITER, WRITER_PASSWORD).succeeds("the writer logs in");
    checks.wanted("a push by the writer", push(&two));
    let why = "carol may not push to private/one";
    checks.refused("a private push by the writer", why, push(&private));
    let hidden = "manifest unknown";
    checks.refused("a private pull by the writer", hidden, pull(&private));
    let inspect = docker.run(&["manifest", "inspect", &private]);
    checks.refused(
        "a private manifest for the writer",
        "no such manifest",
        inspect,
    );
    checks.are("docker", DOCKER);
}

pub fn podman(front: &Front) {
    let mut checks = Checks::default();
    let host = front.address.as_str();
    let at = |name: &str| front.repository(name);
    let (team, private) = (at("team/pod:1"), at("private/pod:1"));
    let trust = Trust::new(host);
    trust.add_ca(front.ca());
    let podman = Podman::new();
    let image = Image::unique();
    let tar = image.root_tar();
    podman
        .run(&["import", "--quiet", tar.to_str().unwrap(), &team])
        .succeeds("a tar is imported");
    podman
        .run(&["tag", &team, &private])
        .succeeds("an image gets another name");
    let log_in =
        |user: &str, password: &str| podman.run(&["login", "-u", user, "-p", password, host]);
    let push = |access: &[&str], name: &str| podman.run(&[&["push"], access, &[name]].concat());
    let pull =
        |access: &[&str], name: &str| podman.run(&[&["pull", "--quiet"], access, &[name]].concat());
    let search = || podman.run(&["search", &format!("{host}/pod")]);

    checks.refused("nobody pushes", "denied", push(&[], &team));
    let wrong = "invalid username/password";
    checks.refused("a wrong password", wrong, log_in(USER, "wrong"));
    checks
        .wanted("the right password", log_in(USER, PASSWORD))
        .says("Login Succeeded", "podman says so");
    checks.wanted("a push after the login", push(&[], &team));
    checks.wanted("a push to a private repository", push(&[], &private));
    checks
        .wanted("a search", search())
        .says("private/pod", "with what is private");
    podman.run(&["logout", host]).succeeds("a logout");

    checks.refused("a push after the logout", "denied", push(&[], &team));
    podman
        .run(&["rmi", "--all", "--force"])
        .succeeds("the images are gone from the store");
    checks.wanted("a pull by nobody", pull(&[], &team));
    checks.refused("a private pull by nobody", "denied", pull(&[], &private));
    let alice = ["--creds", CREDENTIALS];
    checks.wanted("a private pull with credentials", pull(&alice, &private));
    let found = checks
        .wanted("a search by nobody", search())
        .says("team/pod", "with what is public");
    assert!(!found.stdout.contains("private"), "{found}");
    let tags = podman.run(&["search", "--list-tags", &at("team/pod")]);
    checks
        .wanted("a list of tags", tags)
        .says(" 1", "with the tag");
    let bob = ["--creds", READER_CREDENTIALS];
    checks.wanted("a private pull by the reader", pull(&bob, &private));
    let may_not = "may not push";
    checks.refused("a push by the reader", may_not, push(&bob, &team));
    let carol = ["--creds", WRITER_CREDENTIALS];
    checks.wanted("a push by the writer", push(&carol, &team));
    checks.refused(
        "a private push by the writer",
        may_not,
        push(&carol, &private),
    );
    checks.are("podman", PODMAN);
}

pub fn buildah(front: &Front) {
    let mut checks = Checks::default();
    let at = |name: &str| format!("docker://{}", front.repository(name));
    let (team, private) = (at("team/built:1"), at("private/built:1"));
    let trust = Trust::new(&front.address);
    trust.add_ca(front.ca());
    let buildah = Buildah::new();
    let id = built(&buildah, &Image::unique());
    let push =
        |access: &[&str], name: &str| buildah.run(&[&["push"], access, &[&id, name]].concat());
    let pull = |access: &[&str], name: &str| {
        buildah.run(&[&["pull", "--quiet"], access, &[name]].concat())
    };

    checks.refused("nobody pushes", "denied", push(&[], &team));
    let wrong = ["--creds", WRONG_CREDENTIALS];
    let reason = "invalid username/password";
    checks.refused("a push with a wrong password", reason, push(&wrong, &team));
    let alice = ["--creds", CREDENTIALS];
    checks.wanted("a push", push(&alice, &team));
    checks.wanted("a push to a private repository", push(&alice, &private));
    checks.wanted("a pull by nobody", pull(&[], &team));
    checks.refused("a private pull by nobody", "denied", pull(&[], &private));
    let bob = ["--creds", READER_CREDENTIALS];
    checks.refused(
        "a push by the reader",
        "denied",
        push(&bob, &at("team/new:1")),
    );
    let carol = ["--creds", WRITER_CREDENTIALS];
    checks.wanted("a push by the writer", push(&carol, &team));
    checks.refused(
        "a private push by the writer",
        "denied",
        push(&carol, &private),
    );
    checks.are("buildah", BUILDAH);
}

pub fn skopeo(front: &Front) {
    let mut checks = Checks::default();
    let trust = Trust::new(&front.address);
    trust.add_ca(front.ca());
    let skopeo = Skopeo::new();
    let image = Image::unique();
    let source = format!("oci:{}:image", image.layout().display());
    let at = |name: &str| format!("docker://{}", front.repository(name));
    let (team, private) = (at("team/copy:1"), at("private/copy:1"));
    let copy = |access: &[&str], to: &str| {
        let access: Vec<_> = access
            .iter()
            .flat_map(|who| ["--dest-creds", who])
            .collect();
        skopeo.run(&[&["copy"], &access[..], &[&source, to]].concat())
    };
    let ask = |verb: &str, access: &[&str], of: &str| {
        let access: Vec<_> = access.iter().flat_map(|who| ["--creds", who]).collect();
        skopeo.run(&[&[verb], &access[..], &[of]].concat())
    };
    let (alice, bob, carol) = ([CREDENTIALS], [READER_CREDENTIALS], [WRITER_CREDENTIALS]);

    checks.refused("nobody copies to it", "denied", copy(&[], &team));
    let wrong = "invalid username/password";
    checks.refused("a wrong password", wrong, copy(&[WRONG_CREDENTIALS], &team));
    checks.wanted("a copy to it", copy(&alice, &team));
    checks.wanted("a copy to a private repository", copy(&alice, &private));
    let between = [
        "copy",
        "--dest-creds",
        CREDENTIALS,
        &team,
        &at("team/other:1"),
    ];
    checks.wanted("a copy inside of it", skopeo.run(&between));
    let from = format!("dir:{}", image.folder("copy").display());
    checks.wanted(
        "a copy from it by nobody",
        skopeo.run(&["copy", &team, &from]),
    );
    checks.wanted("a look by nobody", ask("inspect", &[], &team));
    let private_look = ask("inspect", &[], &private);
    checks.refused("a private look by nobody", "denied", private_look);
    checks.wanted("a private look", ask("inspect", &alice, &private));
    checks.wanted(
        "a private look by the reader",
        ask("inspect", &bob, &private),
    );
    let tags = ask("list-tags", &[], &at("team/copy"));
    checks.wanted("a list of tags by nobody", tags);
    let tags = ask("list-tags", &alice, &at("private/copy"));
    checks
        .wanted("a private list of tags", tags)
        .says("\"1\"", "with the tag");
    checks.wanted("a copy by the writer", copy(&carol, &at("team/carol:1")));
    let may_not = "carol may not push to private/carol";
    let private_copy = copy(&carol, &at("private/carol:1"));
    checks.refused("a private copy by the writer", may_not, private_copy);
    checks.refused("a deletion by nobody", "401", ask("delete", &[], &team));
    checks.refused(
        "a deletion by the reader",
        "403",
        ask("delete", &bob, &team),
    );
    checks.wanted("a deletion", ask("delete", &alice, &team));
    ask("inspect", &[], &team).fails_saying("manifest unknown", "what is deleted is gone");
    checks.are("skopeo", SKOPEO);
}

pub fn containerd(front: &Front) {
    let mut checks = Checks::default();
    let (team, private) = (
        front.repository("team/ctr:1"),
        front.repository("private/ctr:1"),
    );
    let ctr = Ctr::start();
    ctr.trust(&front.address, front.ca(), None);
    imported(&ctr, &private);
    ctr.images(&["tag", &private, &team])
        .succeeds("an image gets another name");
    let push = |access: &[&str], name: &str| ctr.remote("push", &[access, &[name]].concat());
    let pull = |access: &[&str], name: &str| {
        ctr.remote(
            "pull",
            &[&["--snapshotter=native"], access, &[name]].concat(),
        )
    };
    let (alice, bob) = (["--user", CREDENTIALS], ["--user", READER_CREDENTIALS]);
    let carol = ["--user", WRITER_CREDENTIALS];

    let insufficient = "insufficient_scope";
    checks.refused("nobody pushes", insufficient, push(&[], &team));
    let wrong = ["--user", WRONG_CREDENTIALS];
    let reason = "401 Unauthorized";
    checks.refused("a push with a wrong password", reason, push(&wrong, &team));
    checks.wanted("a push", push(&alice, &team));
    checks.wanted("a push to a private repository", push(&alice, &private));
    checks.wanted("a pull by nobody", pull(&[], &team));
    checks.wanted("a pull", pull(&alice, &team));
    checks.refused(
        "a private pull by nobody",
        insufficient,
        pull(&[], &private),
    );
    checks.wanted("a private pull", pull(&alice, &private));
    checks.wanted("a private pull by the reader", pull(&bob, &private));
    let new = front.repository("team/new:1");
    imported(&ctr, &new);
    checks.refused("a push by the reader", "403 Forbidden", push(&bob, &new));
    checks.wanted("a push by the writer", push(&carol, &new));
    let new = front.repository("private/new:1");
    imported(&ctr, &new);
    checks.refused(
        "a private push by the writer",
        "403 Forbidden",
        push(&carol, &new),
    );
    checks.are("ctr", CONTAINERD);
}
