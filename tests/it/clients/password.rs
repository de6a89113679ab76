//! Where a password is asked for everything.

use super::front::{CREDENTIALS, Front, PASSWORD, USER, WRONG_CREDENTIALS};
use crate::support::buildah::Buildah;
use crate::support::ctr::Ctr;
use crate::support::docker::Docker;
use crate::support::image::{self, Image};
use crate::support::podman::Podman;
use crate::support::skopeo::Skopeo;
use crate::support::trust::Trust;

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
    docker
        .run(&["pull", one])
        .fails_saying("x509: certificate", "docker checks the certificate");
    trust.add_ca(front.ca());

    docker.run(&["pull", one]).fails_saying(
        "no basic auth credentials",
        "nothing is pulled without a login",
    );
    docker.run(&["push", one]).fails_saying(
        "no basic auth credentials",
        "nothing is pushed without a login",
    );
    docker
        .run(&["login", "-u", USER, "-p", "wrong", host])
        .fails_saying("401 Unauthorized", "a wrong password is refused at login");
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
        .run(&["rmi", one, two])
        .succeeds("the image is gone from the daemon");
    docker.run(&["pull", one]).succeeds("an image is pulled");
    docker
        .run(&["image", "inspect", "--format", "{{.Id}}", one])
        .succeeds("it is there")
        .says(&id, "what is pulled is what was pushed");
    docker
        .run(&["manifest", "inspect", two])
        .succeeds("a manifest is shown")
        .says(
            "application/vnd.docker.image.rootfs.diff.tar",
            "with its layer",
        );
    let search = docker.run(&["search", &format!("{host}/one")]);
    if front.searches {
        search.succeeds("who may pull may search");
    } else {
        search.fails_saying("404", "there is no search of the first protocol");
    }

    docker
        .run(&["logout", host])
        .succeeds("a logout is possible");
    docker.run(&["push", one]).fails_saying(
        "no basic auth credentials",
        "nothing is pushed after a logout",
    );
    docker
        .run(&["pull", two])
        .fails_saying("no basic auth credentials", "nor pulled");
}

pub fn podman(front: &Front) {
    let host = front.address.as_str();
    let reference = front.repository("team/pod:1");
    let reference = reference.as_str();
    let trust = Trust::new(host);
    trust.add_ca(front.ca());
    let podman = Podman::new();
    let image = Image::unique();
    let tar = image.root_tar();
    let id = podman
        .run(&["import", "--quiet", tar.to_str().unwrap(), reference])
        .succeeds("a tar is imported")
        .stdout;

    podman
        .run(&["push", reference])
        .fails_saying("unauthorized", "no push without a login");
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
        .run(&["rmi", reference])
        .succeeds("the image is gone from the store");
    podman
        .run(&["pull", "--quiet", reference])
        .succeeds("an image is pulled")
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
    podman
        .run(&["logout", host])
        .succeeds("a logout is possible");
    podman
        .run(&["pull", reference])
        .fails_saying("unauthorized", "no pull after a logout");
}

pub fn buildah(front: &Front) {
    let target = format!("docker://{}", front.repository("team/built:1"));
    let trust = Trust::new(&front.address);
    trust.add_ca(front.ca());
    let buildah = Buildah::new();
    let id = built(&buildah, &Image::unique());

    buildah
        .run(&["push", &id, &target])
        .fails_saying("unauthorized", "no push without a password");
    buildah
        .run(&["push", "--creds", WRONG_CREDENTIALS, &id, &target])
        .fails_saying("unauthorized", "no push with a wrong password");
    buildah
        .run(&["push", "--creds", CREDENTIALS, &id, &target])
        .succeeds("an image is pushed");
    buildah
        .run(&["rmi", &id])
        .succeeds("the image is gone from the store");
    buildah
        .run(&["pull", "--quiet", "--creds", CREDENTIALS, &target])
        .succeeds("an image is pulled")
        .says(&id, "what is pulled is what was pushed");
}

/// Commits an image in buildah's store and tells its id.
pub fn built(buildah: &Buildah, image: &Image) -> String {
    let container = buildah
        .run(&["from", "--quiet", "scratch"])
        .succeeds("a container is begun")
        .stdout;
    let (container, tar) = (container.trim(), image.root_tar());
    buildah
        .run(&["add", "--quiet", container, tar.to_str().unwrap()])
        .succeeds("files are added");
    buildah
        .run(&["commit", "--quiet", container, "built"])
        .succeeds("it is committed")
        .stdout
        .trim()
        .to_owned()
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
        .fails_saying("unauthorized", "no copy without a password");
    skopeo
        .run(&["copy", "--dest-creds", WRONG_CREDENTIALS, source, target])
        .fails_saying("unauthorized", "no copy with a wrong password");
    skopeo
        .run(&["copy", "--dest-creds", CREDENTIALS, source, target])
        .succeeds("an image is copied to the registry");
    skopeo_reads(&skopeo, &image, &repository, &["--creds", CREDENTIALS]);
    skopeo
        .run(&["inspect", target])
        .fails_saying("unauthorized", "no look without a password");
    skopeo
        .run(&["delete", target])
        .fails_saying("401 Unauthorized", "no deletion without a password");
    skopeo
        .run(&["delete", "--creds", CREDENTIALS, target])
        .succeeds("an image is deleted");
    skopeo
        .run(&["inspect", "--creds", CREDENTIALS, target])
        .fails_saying("manifest unknown", "what is deleted is gone");
}

/// The claims on reading are the same with a password and with a certificate.
pub fn skopeo_reads(skopeo: &Skopeo, image: &Image, repository: &str, access: &[&str]) {
    let target = format!("{repository}:1");
    let copy = image.folder("copy");
    skopeo
        .run(&[&["inspect"], access, &[&target]].concat())
        .succeeds("an image is inspected")
        .says("\"Layers\"", "with its layers");
    skopeo
        .run(&[&["list-tags"], access, &[repository]].concat())
        .succeeds("tags are listed")
        .says("\"1\"", "with the tag in it");
    let access = access.iter().map(|a| a.replace("--creds", "--src-creds"));
    let access = access.collect::<Vec<_>>();
    let access = access.iter().map(String::as_str).collect::<Vec<_>>();
    let dir = format!("dir:{}", copy.display());
    skopeo
        .run(
            &[
                &["copy", "--dest-decompress"],
                &access[..],
                &[&target, &dir],
            ]
            .concat(),
        )
        .succeeds("an image is copied from the registry");
    let layer = copy.join(image.layer_digest().trim_start_matches("sha256:"));
    assert!(
        layer.is_file() && image::digest_of(&layer) == image.layer_digest(),
        "the layer that comes back is the layer that was sent: {}",
        layer.display()
    );
}

pub fn containerd(front: &Front) {
    let reference = front.repository("team/ctr:1");
    let reference = reference.as_str();
    let ctr = Ctr::start();
    ctr.trust(&front.address, front.ca(), None);
    let id = imported(&ctr, reference);

    ctr.remote("push", &[reference])
        .fails_saying("401 Unauthorized", "no push without a password");
    ctr.remote("push", &["--user", WRONG_CREDENTIALS, reference])
        .fails_saying("401 Unauthorized", "no push with a wrong password");
    ctr.remote("push", &["--user", CREDENTIALS, reference])
        .succeeds("an image is pushed");
    containerd_pulls(&ctr, reference, &id, &["--user", CREDENTIALS]);
    ctr.images(&["rm", reference]).succeeds("it is removed");
    ctr.remote("pull", &["--snapshotter=native", reference])
        .fails_saying("401 Unauthorized", "no pull without a password");
}

/// Puts a new image into containerd's store and tells the digest of its manifest.
pub fn imported(ctr: &Ctr, reference: &str) -> String {
    let image = Image::unique();
    let archive = image.archive(reference);
    ctr.images(&["import", "--no-unpack", archive.to_str().unwrap()])
        .succeeds("an image is imported");
    let listed = ctr
        .images(&["ls", &format!("name=={reference}")])
        .succeeds("it is listed")
        .stdout;
    let digest = listed.split_whitespace().find(|w| w.starts_with("sha256:"));
    digest
        .unwrap_or_else(|| panic!("no digest in {listed}"))
        .to_owned()
}

/// The claim on pulling is the same with a password and with a certificate.
pub fn containerd_pulls(ctr: &Ctr, reference: &str, id: &str, access: &[&str]) {
    ctr.images(&["rm", "--sync", reference])
        .succeeds("the image is gone from the store");
    ctr.remote(
        "pull",
        &[&["--snapshotter=native"], access, &[reference]].concat(),
    )
    .succeeds("an image is pulled");
    ctr.images(&["ls", &format!("name=={reference}")])
        .succeeds("it is listed")
        .says(id, "what is pulled is what was pushed");
}
