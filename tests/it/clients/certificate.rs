//! Where a client certificate is asked for everything, and nothing looks at passwords.

use super::front::{Front, PASSWORD, USER};
use super::password::{built, containerd_pulls, imported, skopeo_reads};
use crate::support::buildah::Buildah;
use crate::support::ctr::Ctr;
use crate::support::docker::Docker;
use crate::support::image::Image;
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
    trust.add_ca(front.ca());

    docker.run(&["pull", one]).fails_saying(
        front.refusal.docker,
        "no pull without a certificate, and docker says why",
    );
    docker.run(&["push", one]).fails_saying(
        front.refusal.docker,
        "no push without a certificate, and docker says why",
    );
    docker
        .run(&["login", "-u", USER, "-p", PASSWORD, host])
        .fails_saying(
            front.refusal.docker_login,
            "no login without a certificate, and docker says why",
        );
    trust.add_client(&front.client());

    docker
        .run(&["push", one])
        .succeeds("the certificate is enough to push")
        .says("Pushed", "a layer is sent");
    for password in [PASSWORD, "wrong"] {
        docker
            .run(&["login", "-u", USER, "-p", password, host])
            .succeeds("a login is possible with any password: nothing checks it");
    }
    docker
        .run(&["tag", one, two])
        .succeeds("an image gets a second name");
    docker
        .run(&["push", two])
        .succeeds("what the login remembers does not disturb a push")
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
    docker
        .run(&["push", one])
        .succeeds("the certificate still counts after a logout");
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

    podman.run(&["push", reference]).fails_saying(
        front.refusal.image_push,
        "no push without a certificate, and podman says why",
    );
    trust.add_client(&front.client());

    for password in [PASSWORD, "wrong"] {
        podman
            .run(&["login", "-u", USER, "-p", password, host])
            .succeeds("a login is possible with any password: nothing checks it");
    }
    podman
        .run(&["logout", host])
        .succeeds("a logout is possible");
    podman
        .run(&["push", reference])
        .succeeds("the certificate is enough to push");
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
}

pub fn buildah(front: &Front) {
    let target = format!("docker://{}", front.repository("team/built:1"));
    let trust = Trust::new(&front.address);
    trust.add_ca(front.ca());
    let buildah = Buildah::new();
    let id = built(&buildah, &Image::unique());

    buildah.run(&["push", &id, &target]).fails_saying(
        front.refusal.image_push,
        "no push without a certificate, and buildah says why",
    );
    trust.add_client(&front.client());
    buildah
        .run(&["push", &id, &target])
        .succeeds("the certificate is enough to push");
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

    skopeo.run(&["copy", source, target]).fails_saying(
        front.refusal.image_push,
        "no copy without a certificate, and skopeo says why",
    );
    skopeo.run(&["inspect", target]).fails_saying(
        front.refusal.image_pull,
        "no look without a certificate, and skopeo says why",
    );
    trust.add_client(&front.client());
    skopeo
        .run(&["copy", source, target])
        .succeeds("the certificate is enough to copy to the registry");
    skopeo_reads(&skopeo, &image, &repository, &[]);
    skopeo
        .run(&["delete", target])
        .succeeds("an image is deleted");
    skopeo
        .run(&["inspect", target])
        .fails_saying("manifest unknown", "what is deleted is gone");
}

pub fn containerd(front: &Front) {
    let reference = front.repository("team/ctr:1");
    let reference = reference.as_str();
    let ctr = Ctr::start();
    ctr.trust(&front.address, front.ca(), None);
    let id = imported(&ctr, reference);

    ctr.remote("push", &[reference])
        .fails_saying(front.refusal.ctr, "no push without a certificate");
    ctr.trust(&front.address, front.ca(), Some(&front.client()));
    ctr.remote("push", &[reference])
        .succeeds("the certificate is enough to push");
    containerd_pulls(&ctr, reference, &id, &[]);
}
