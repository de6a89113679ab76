//! Everybody pulls, some push: one registry behind two doors.

use std::process::Command;

use crate::support::ctr::{self, Ctr};
use crate::support::docker::{self, Docker};
use crate::support::examples::adapted;
use crate::support::gate::Gate;
use crate::support::image::Image;
use crate::support::peers::{self, need_clients};
use crate::support::process;
use crate::support::skopeo::Skopeo;
use crate::support::trust::Trust;

use super::{CREDENTIALS, PASSWORD, PEERS, Site, USER, text};

fn door(site: &Site, file: &str, address: &str) -> Gate {
    Gate::start(&adapted(
        file,
        &[
            (address, &format!("{}:0", peers::ADDRESS)),
            (
                "/etc/ssl/certs/example.com.pem",
                text(&site.server.certificate),
            ),
            ("/etc/ssl/private/example.com.key", text(&site.server.key)),
            ("http://127.0.0.1:8082", site.registry.url()),
            (
                "/etc/nginx/conf.d/docker.registry.htpasswd",
                text(&site.htpasswd),
            ),
        ],
    ))
}

#[test]
fn what_is_pushed_through_one_door_is_pulled_by_everybody_through_the_other() {
    if !need_clients(&[PEERS, &["skopeo"]].concat()) {
        return;
    }
    let site = Site::new();
    let public = door(&site, "public-pull/proxy.toml", "0.0.0.0:443");
    let push = door(&site, "public-pull/push.toml", "0.0.0.0:8443");
    let host = |gate: &Gate| format!("{}:{}", peers::NAME, gate.address().port());
    let (public, push) = (host(&public), host(&push));
    let trust = [Trust::new(&public), Trust::new(&push)];
    for trust in &trust {
        trust.add_ca(site.authority.ca());
    }
    let image = Image::unique();
    let layout = format!("oci:{}:image", image.layout().display());
    let skopeo = Skopeo::new();
    let copied = |to: &str| {
        skopeo.run(&[
            "copy",
            "--preserve-digests",
            "--dest-creds",
            CREDENTIALS,
            &layout,
            &format!("docker://{to}/app:1"),
        ])
    };
    copied(&push).succeeds("who has a password pushes through the second door");
    copied(&public).fails_saying(
        "unauthorized",
        "nobody is asked for a password by the first door, so clients that wait for that cannot push there",
    );
    skopeo
        .run(&["inspect", "--no-tags", &format!("docker://{public}/app:1")])
        .succeeds("everybody pulls through the first door")
        .says(&image.layer_digest(), "what was pushed");
    skopeo
        .run(&["inspect", "--no-tags", &format!("docker://{push}/app:1")])
        .fails_saying("authentication required", "nobody does through the second");
    let upload = format!("https://{public}/v2/app/blobs/uploads/");
    site.curl(&["-X", "POST", &upload])
        .succeeds("it answers")
        .says("status 401", "nobody pushes without a password");
    site.curl(&["-u", CREDENTIALS, "-X", "POST", &upload])
        .succeeds("it answers")
        .says(
            "status 202",
            "who sends a password unasked does, through either door",
        );
    site.curl(&[&format!("https://{public}/v2/")])
        .succeeds("it answers")
        .says("{}status 200", "the first door asks nobody who enters");
}

/// What the table in the README says of the others.
#[test]
fn at_the_public_door_docker_checks_no_password_and_containerd_pushes() {
    if !need_clients(&[PEERS, docker::PROGRAMS, ctr::PROGRAMS].concat()) {
        return;
    }
    let site = Site::new();
    let public = door(&site, "public-pull/proxy.toml", "0.0.0.0:443");
    let push = door(&site, "public-pull/push.toml", "0.0.0.0:8443");
    let host = |gate: &Gate| format!("{}:{}", peers::NAME, gate.address().port());
    let (public, push) = (host(&public), host(&push));
    let trust = [Trust::new(&public), Trust::new(&push)];
    for trust in &trust {
        trust.add_ca(site.authority.ca());
    }
    let docker = Docker::new();
    let image = format!("{public}/docker:1");
    let same = format!("{push}/docker:1");
    docker.import(&Image::unique().root_tar(), &image);
    docker
        .run(&["tag", &image, &same])
        .succeeds("it has two names");
    docker
        .run(&["login", "-u", USER, "-p", "wrong", &public])
        .succeeds("nothing checks the password at the first door");
    docker
        .run(&["push", &image])
        .fails_saying("authentication required", "and no push works there");
    docker
        .run(&["login", "-u", USER, "-p", "wrong", &push])
        .fails_saying("401 Unauthorized", "the second door checks it");
    docker
        .run(&["login", "-u", USER, "-p", PASSWORD, &push])
        .succeeds("it lets in whom it knows");
    docker.run(&["push", &same]).succeeds("who then pushes");
    docker
        .run(&["rmi", &image, &same])
        .succeeds("the image is gone");
    Docker::new()
        .run(&["pull", &image])
        .succeeds("everybody pulls it through the first door");

    let containerd = Ctr::start();
    containerd.trust(&public, site.authority.ca(), None);
    let image = format!("{public}/ctr:1");
    let content = Image::unique();
    let archive = content.archive(&image);
    containerd
        .images(&["import", "--no-unpack", text(&archive)])
        .succeeds("an image is imported");
    containerd
        .remote("push", &[&image])
        .fails_saying("401 Unauthorized", "not without a password");
    containerd
        .remote("push", &["--user", CREDENTIALS, &image])
        .succeeds("containerd answers the challenge of each request");
}

/// To a gate on this port of every address.
pub fn skopeo_pushes_and_pulls_in_clear(port: u16) {
    let host = format!("{}:{port}", peers::NAME);
    let image = Image::unique();
    let layout = format!("oci:{}:image", image.layout().display());
    let skopeo = Skopeo::new();
    let reference = format!("docker://{host}/app:1");
    let push = [
        "copy",
        "--preserve-digests",
        "--dest-creds",
        CREDENTIALS,
        &layout,
        &reference,
    ];
    skopeo
        .run(&push)
        .fails_saying("EOF", "not unless the client allows it");
    skopeo
        .run(&[&push[..], &["--dest-tls-verify=false"]].concat())
        .succeeds("it pushes where the client allows it");
    skopeo
        .run(&[
            "inspect",
            "--no-tags",
            "--tls-verify=false",
            "--creds",
            CREDENTIALS,
            &reference,
        ])
        .succeeds("and pulls")
        .says(&image.layer_digest(), "what was pushed");
    process::run(Command::new("curl").args([
        "-sS",
        "-I",
        "-u",
        CREDENTIALS,
        &format!("http://{host}/v2/"),
    ]))
    .succeeds("it answers")
    .says("200 OK", "to curl");
}
