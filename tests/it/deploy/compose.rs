//! `deploy/compose`: started as it stands by the compose of Debian, with a `registry:2` made of Debian's own registry.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{here, image};
use crate::support::buildah::Buildah;
use crate::support::docker::Docker;
use crate::support::house::eventually;
use crate::support::image::Image;
use crate::support::passwords;
use crate::support::peers::need;
use crate::support::process::{Outcome, run};

/// A copy of the folder, and what was started from it.
struct Project {
    dir: TempDir,
    docker: Docker,
    name: String,
}

impl Project {
    fn new() -> Self {
        let dir = TempDir::with_prefix("dockgate-compose-").unwrap();
        for file in ["compose.yaml", "proxy.toml"] {
            fs::copy(here("deploy/compose").join(file), dir.path().join(file)).unwrap();
        }
        passwords::write(&dir.path().join("htpasswd"), "alice", "secret");
        Self {
            dir,
            docker: Docker::new(),
            name: format!("dockgate{}", std::process::id()),
        }
    }

    fn compose(&self, arguments: &[&str]) -> Outcome {
        run(self
            .docker
            .program("docker-compose")
            .current_dir(self.dir.path())
            // Port 0: a free one.
            .env("DOCKGATE_PORT", "127.0.0.1:0")
            .args(["--file", "compose.yaml", "--project-name", &self.name])
            .args(arguments))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let down = self.compose(&["down", "--volumes", "--timeout", "5"]);
        if !std::thread::panicking() {
            down.succeeds("all of it goes");
        }
    }
}

/// `registry:2` with the program that Debian ships, and what it is linked to.
fn registry_image(docker: &Docker) {
    let dir = TempDir::with_prefix("dockgate-registry-image-").unwrap();
    let linked = run(Command::new("ldd").arg("/usr/bin/docker-registry"));
    let libraries = linked.stdout;
    let libraries = libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'));
    for file in ["/usr/bin/docker-registry"].into_iter().chain(libraries) {
        let to = dir.path().join("root").join(&file[1..]);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    let config = "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: /var/lib/registry\n\
                  http:\n  addr: :5000\n";
    let etc = dir.path().join("root/etc/docker/registry");
    fs::create_dir_all(&etc).unwrap();
    fs::write(etc.join("config.yml"), config).unwrap();
    let file = dir.path().join("Dockerfile");
    let text = "FROM scratch\nCOPY root /\nVOLUME /var/lib/registry\nENTRYPOINT [\"/usr/bin/docker-registry\"]\n\
                CMD [\"serve\", \"/etc/docker/registry/config.yml\"]\n";
    fs::write(&file, text).unwrap();
    let buildah = Buildah::new();
    let folder = dir.path().to_str().unwrap();
    buildah
        .run(&[
            "build",
            "--isolation=chroot",
            "--format=docker",
            "--tag=registry:2",
            folder,
        ])
        .succeeds("the registry's image is built");
    let archive = dir.path().join("registry.tar");
    let to = format!("docker-archive:{}:registry:2", archive.display());
    buildah
        .run(&["push", "registry:2", &to])
        .succeeds("it is written down");
    docker
        .run(&["load", "-i", archive.to_str().unwrap()])
        .succeeds("docker has it");
}

#[test]
fn compose_starts_registry_2_behind_dockgate() {
    if !image::is_possible() || !need(&["docker-compose", "docker-registry"]) {
        return;
    }
    image::image();
    let project = Project::new();
    registry_image(&project.docker);
    project
        .compose(&["config", "--quiet"])
        .succeeds("the file is as the schema has it");
    project
        .compose(&["up", "--detach", "--no-build"])
        .succeeds("it starts");
    let port = project
        .compose(&["port", "dockgate", "5443"])
        .succeeds("it has a port");
    let port = port.stdout.trim().rsplit_once(':').unwrap().1.to_owned();
    let host = format!("localhost:{port}");
    let id = project.compose(&["ps", "-q", "dockgate"]).stdout;
    eventually(|| {
        let health = ["inspect", "--format", "{{.State.Health.Status}}", id.trim()];
        let asked = project.docker.run(&health);
        (asked.stdout.trim() == "healthy").then_some(())
    });

    let reference = format!("{host}/team/image:1");
    project
        .docker
        .import(&Image::unique().root_tar(), &reference);
    project
        .docker
        .run(&["push", &reference])
        .fails_saying("no basic auth credentials", "nobody without a password");
    project
        .docker
        .run(&["login", "-u", "alice", "-p", "secret", &host])
        .succeeds("docker logs in");
    project
        .docker
        .run(&["push", &reference])
        .succeeds("docker pushes through both");
    let volume = ["volume", "inspect", "--format", "{{.Mountpoint}}"];
    let name = format!("{}_images", project.name);
    let found = project.docker.run(&[&volume[..], &[&name]].concat());
    let pushed = Path::new(found.stdout.trim()).join("docker/registry/v2/repositories/team/image");
    assert!(pushed.is_dir(), "it lies with registry:2: {found}");
}
