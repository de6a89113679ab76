//! Where everybody may pull and a login may push, which is what docker cannot do behind nginx; and where rules keep some
//! repositories to some people.

use super::front::{CREDENTIALS, Front, PASSWORD, USER, WRONG_CREDENTIALS};
use super::password::{built, containerd_pulls, imported, skopeo_reads};
use crate::support::buildah::Buildah;
use crate::support::ctr::Ctr;
use crate::support::docker::Docker;
use crate::support::image::Image;
use crate::support::podman::Podman;
use crate::support::skopeo::Skopeo;
use crate::support::trust::Trust;

/// Who may pull from `team` where there are rules, and nothing else.
pub const READER: &str = "bob";

/// As `--creds` and `--user` take it.
pub const READER_CREDENTIALS: &str = "bob:reads only";

/// His password.
pub const READER_PASSWORD: &str = "reads only";

pub fn docker(front: &Front) {
    let host = front.address.as_str();
    let (one, two) = (
        front.repository("team/one:1"),
        front.repository("team/two:1"),
    );
    let (one, two) = (one.as_str(), two.as_str());
    let docker = Docker::new();
    let id = docker.import(&Image::unique().root_tar(), one);
    let trust = Trust::new(host);
    trust.add_ca(front.ca());

    docker
        .run(&["push", one])
        .fails_saying("denied", "nothing is pushed without a login");
    docker
        .run(&["login", "-u", USER, "-p", "wrong", host])
        .fails_saying(
            "user name or password is wrong",
            "a wrong password is refused at login",
        );
    docker
        .run(&["login", "-u", USER, "-p", PASSWORD, host])
        .succeeds("the right password is accepted at login")
        .says("Login Succeeded", "docker says so");
    docker
        .run(&["push", one])
        .succeeds("an image is pushed")
        .says("Pushed", "its layer is sent");
    docker
        .run(&["tag", one, two])
        .succeeds("an image gets a second name");
    docker
        .run(&["push", two])
        .succeeds("it is pushed to a second repository")
        .says(
            "Mounted from team/one",
            "a layer that the registry has in another repository is not sent again",
        );
    docker
        .run(&["logout", host])
        .succeeds("a logout is possible");
    docker
        .run(&["push", one])
        .fails_saying("denied", "nothing is pushed after a logout");
    docker
        .run(&["rmi", one, two])
        .succeeds("the image is gone from the daemon");
    docker
        .run(&["pull", one])
        .succeeds("an image is pulled by nobody in particular");
    docker
        .run(&["image", "inspect", "--format", "{{.Id}}", one])
        .succeeds("it is there")
        .says(&id, "what is pulled is what was pushed");
    docker
        .run(&["manifest", "inspect", two])
        .succeeds("a manifest is shown to nobody in particular")
        .says(
            "application/vnd.docker.image.rootfs.diff.tar",
            "with its layer",
        );
}

pub fn docker_by_rules(front: &Front) {
    let host = front.address.as_str();
    let (team, private) = (
        front.repository("team/one:1"),
        front.repository("private/one:1"),
    );
    let (team, private) = (team.as_str(), private.as_str());
    let docker = Docker::new();
    docker.import(&Image::unique().root_tar(), team);
    let trust = Trust::new(host);
    trust.add_ca(front.ca());
    let login = |user: &str, password: &str| {
        docker
            .run(&["login", "-u", user, "-p", password, host])
            .succeeds("a right password is accepted at login");
    };

    docker
        .run(&["tag", team, private])
        .succeeds("a second name");
    login(USER, PASSWORD);
    for image in [team, private] {
        docker.run(&["push", image]).succeeds("the owner pushes");
    }
    docker.run(&["rmi", private]).succeeds("it is gone");
    docker
        .run(&["pull", private])
        .succeeds("the owner pulls what is private");
    docker.run(&["logout", host]).succeeds("a logout");
    docker
        .run(&["pull", private])
        .fails_saying("pull access denied", "nobody pulls what is private");
    docker
        .run(&["pull", team])
        .succeeds("everybody pulls what is public");
    login(READER, READER_PASSWORD);
    docker.run(&["pull", team]).succeeds("a reader pulls");
    docker
        .run(&["pull", private])
        .fails_saying("manifest unknown", "what a reader may not see is not there");
    docker.run(&["push", team]).fails_saying(
        "bob may not push to team/one",
        "a reader is told what he may not",
    );
}

pub fn podman(front: &Front) {
    let host = front.address.as_str();
    let reference = front.repository("team/pod:1");
    let reference = reference.as_str();
    let trust = Trust::new(host);
    trust.add_ca(front.ca());
    let podman = Podman::new();
    let tar = Image::unique();
    let tar = tar.root_tar();
    let id = podman
        .run(&["import", "--quiet", tar.to_str().unwrap(), reference])
        .succeeds("a tar is imported")
        .stdout;

    podman
        .run(&["push", reference])
        .fails_saying("denied", "no push without a login");
    podman
        .run(&["login", "-u", USER, "-p", "wrong", host])
        .fails_saying(
            "invalid username/password",
            "a wrong password is refused at login",
        );
    podman
        .run(&["login", "-u", USER, "-p", PASSWORD, host])
        .succeeds("the right password is accepted at login")
        .says("Login Succeeded", "podman says so");
    podman
        .run(&["push", reference])
        .succeeds("an image is pushed");
    podman
        .run(&["logout", host])
        .succeeds("a logout is possible");
    podman
        .run(&["push", reference])
        .fails_saying("denied", "no push after a logout");
    podman
        .run(&["rmi", reference])
        .succeeds("the image is gone from the store");
    podman
        .run(&["pull", "--quiet", reference])
        .succeeds("an image is pulled by nobody in particular")
        .says(
            id.trim().trim_start_matches("sha256:"),
            "what is pulled is what was pushed",
        );
    podman
        .run(&["search", &format!("{host}/pod")])
        .succeeds("the catalog is searched")
        .says("team/pod", "with the image in it");
    podman
        .run(&["search", "--list-tags", &front.repository("team/pod")])
        .succeeds("tags are listed")
        .says(" 1", "with the tag in it");
}

pub fn buildah(front: &Front) {
    let target = format!("docker://{}", front.repository("team/built:1"));
    let trust = Trust::new(&front.address);
    trust.add_ca(front.ca());
    let buildah = Buildah::new();
    let id = built(&buildah, &Image::unique());

    buildah
        .run(&["push", &id, &target])
        .fails_saying("denied", "no push without a password");
    buildah
        .run(&["push", "--creds", WRONG_CREDENTIALS, &id, &target])
        .fails_saying("invalid username/password", "no push with a wrong password");
    buildah
        .run(&["push", "--creds", CREDENTIALS, &id, &target])
        .succeeds("an image is pushed");
    buildah
        .run(&["rmi", &id])
        .succeeds("the image is gone from the store");
    buildah
        .run(&["pull", "--quiet", &target])
        .succeeds("an image is pulled by nobody in particular")
        .says(&id, "what is pulled is what was pushed");
}

pub fn skopeo(front: &Front) {
    let trust = Trust::new(&front.address);
    trust.add_ca(front.ca());
    let skopeo = Skopeo::new();
    let image = Image::unique();
    let source = format!("oci:{}:image", image.layout().display());
    let repository = format!("docker://{}", front.repository("team/copy"));
    let target = format!("{repository}:1");
    let (source, target) = (source.as_str(), target.as_str());

    skopeo
        .run(&["copy", source, target])
        .fails_saying("denied", "no copy without a password");
    skopeo
        .run(&["copy", "--dest-creds", WRONG_CREDENTIALS, source, target])
        .fails_saying("invalid username/password", "no copy with a wrong password");
    skopeo
        .run(&["copy", "--dest-creds", CREDENTIALS, source, target])
        .succeeds("an image is copied to the registry");
    skopeo_reads(&skopeo, &image, &repository, &[]);
    let elsewhere = format!("docker://{}", front.repository("team/copy-of-copy:1"));
    skopeo
        .run(&["copy", "--dest-creds", CREDENTIALS, target, &elsewhere])
        .succeeds("an image is copied to another repository");
    skopeo
        .run(&["delete", target])
        .fails_saying("401", "no deletion without a password");
    skopeo
        .run(&["delete", "--creds", CREDENTIALS, target])
        .succeeds("an image is deleted");
    skopeo
        .run(&["inspect", target])
        .fails_saying("manifest unknown", "what is deleted is gone");
}

pub fn skopeo_by_rules(front: &Front) {
    let trust = Trust::new(&front.address);
    trust.add_ca(front.ca());
    let skopeo = Skopeo::new();
    let image = Image::unique();
    let source = format!("oci:{}:image", image.layout().display());
    let at = |name: &str| format!("docker://{}", front.repository(name));
    let (team, private) = (at("team/copy:1"), at("private/copy:1"));
    let source = source.as_str();
    let (team, private) = (team.as_str(), private.as_str());

    for target in [team, private] {
        skopeo
            .run(&["copy", "--dest-creds", CREDENTIALS, source, target])
            .succeeds("the owner pushes");
    }
    skopeo
        .run(&["inspect", team])
        .succeeds("everybody reads what is public");
    skopeo
        .run(&["inspect", private])
        .fails_saying("denied", "nobody reads what is private");
    skopeo
        .run(&["inspect", "--creds", CREDENTIALS, private])
        .succeeds("the owner reads what is private");
    skopeo
        .run(&["inspect", "--creds", READER_CREDENTIALS, private])
        .fails_saying("manifest unknown", "what a reader may not see is not there");
    let other = at("team/other:1");
    skopeo
        .run(&["copy", "--dest-creds", READER_CREDENTIALS, source, &other])
        .fails_saying(
            "bob may not push to team/other",
            "a reader is told what he may not",
        );
    skopeo
        .run(&["delete", "--creds", READER_CREDENTIALS, team])
        .fails_saying("403", "a reader deletes nothing");
    skopeo
        .run(&["inspect", team])
        .succeeds("what was not to be deleted is there");
}

pub fn containerd(front: &Front) {
    let reference = front.repository("team/ctr:1");
    let reference = reference.as_str();
    let ctr = Ctr::start();
    ctr.trust(&front.address, front.ca(), None);
    let id = imported(&ctr, reference);

    ctr.remote("push", &[reference])
        .fails_saying("insufficient_scope", "no push without a password");
    ctr.remote("push", &["--user", WRONG_CREDENTIALS, reference])
        .fails_saying("401 Unauthorized", "no push with a wrong password");
    ctr.remote("push", &["--user", CREDENTIALS, reference])
        .succeeds("an image is pushed");
    containerd_pulls(&ctr, reference, &id, &[]);
    containerd_pulls(&ctr, reference, &id, &["--user", CREDENTIALS]);
}

pub fn containerd_by_rules(front: &Front) {
    let (team, private) = (
        front.repository("team/ctr:1"),
        front.repository("private/ctr:1"),
    );
    let ctr = Ctr::start();
    ctr.trust(&front.address, front.ca(), None);
    let id = imported(&ctr, &private);
    ctr.images(&["tag", &private, &team])
        .succeeds("an image gets a second name");

    for reference in [&private, &team] {
        ctr.remote("push", &["--user", CREDENTIALS, reference])
            .succeeds("the owner pushes");
    }
    let new = front.repository("team/reader:1");
    imported(&ctr, &new);
    ctr.remote("push", &["--user", READER_CREDENTIALS, &new])
        .fails_saying("403 Forbidden", "a reader does not push");
    containerd_pulls(&ctr, &private, &id, &["--user", CREDENTIALS]);
    let pull = |access: &[&str]| {
        ctr.remote(
            "pull",
            &[&["--snapshotter=native"], access, &[&private]].concat(),
        )
    };
    pull(&[]).fails_saying("insufficient_scope", "nobody pulls what is private");
    pull(&["--user", READER_CREDENTIALS])
        .fails_saying("StatusNotFound", "what a reader may not see is not there");
}
