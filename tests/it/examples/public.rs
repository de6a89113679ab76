//! Everybody pulls, some push: one registry behind two doors.

use std::process::Command;

use crate::support::ctr;
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
fn everybody_pulls_and_who_has_a_password_pushes_through_the_same_door() {
    if !need_clients(&[PEERS, &["skopeo"], docker::PROGRAMS, ctr::PROGRAMS].concat()) {
        return;
    }
    let site = Site::new();
    let gate = door(&site, "public-pull/proxy.toml", "0.0.0.0:443");
    let host = format!("{}:{}", peers::NAME, gate.address().port());
    let trust = Trust::new(&host);
    trust.add_ca(site.authority.ca());
    let image = Image::unique();
    let layout = format!("oci:{}:image", image.layout().display());
    let skopeo = Skopeo::new();
    let target = format!("docker://{host}/app:1");
    let copy = ["copy", "--preserve-digests"];
    skopeo
        .run(&[&copy[..], &["--dest-creds", CREDENTIALS, &layout, &target]].concat())
        .succeeds("who has a password pushes");
    skopeo
        .run(&[&copy[..], &[&layout, &target]].concat())
        .fails_saying("denied", "nobody pushes without one");
    skopeo
        .run(&["inspect", "--no-tags", &target])
        .succeeds("everybody pulls")
        .says(&image.layer_digest(), "what was pushed");
    let upload = format!("https://{host}/v2/app/blobs/uploads/");
    site.curl(&["-X", "POST", &upload])
        .succeeds("it answers")
        .says("status 401", "nor does curl push without a password");
    site.curl(&["-u", CREDENTIALS, "-X", "POST", &upload])
        .succeeds("it answers")
        .says("status 202", "with one it does");

    let docker = Docker::new();
    let name = format!("{host}/docker:1");
    docker.import(&Image::unique().root_tar(), &name);
    docker
        .run(&["login", "-u", USER, "-p", "wrong", &host])
        .fails_saying("unauthorized", "a login checks the password");
    docker
        .run(&["login", "-u", USER, "-p", PASSWORD, &host])
        .succeeds("it lets in whom it knows");
    docker.run(&["push", &name]).succeeds("who then pushes");
    docker
        .run(&["logout", &host])
        .succeeds("a logout is possible");
    docker.run(&["pull", &name]).succeeds("and everybody pulls");
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
