//! The image: built from the repository's own `Dockerfile`, carried through a dockgate, and run by docker.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::here;
use crate::support::buildah::Buildah;
use crate::support::certs::Authority;
use crate::support::docker::{self, Docker};
use crate::support::gate::Gate;
use crate::support::house::{House, eventually};
use crate::support::passwords;
use crate::support::peers::{ADDRESS, NAME, need_clients};
use crate::support::process::{run, search_path};
use crate::support::site::backwards;

/// The user of the image.
const USER: u32 = 65532;

/// What these tests need.
pub fn is_possible() -> bool {
    need_clients(&[docker::PROGRAMS, &["buildah", "rustc", "nsenter", "curl"]].concat())
}

/// The program as one static file: linked anew from what this test was built from, which takes a second where another
/// build would take minutes. The flag is the one of the `Dockerfile`.
fn static_program(to: &Path) {
    let program = Path::new(env!("CARGO_BIN_EXE_dockgate"));
    let deps = program.with_file_name("deps");
    let libraries = fs::read_dir(&deps).unwrap().map(|e| e.unwrap().path());
    let ours = libraries.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("libdockgate-") && name.ends_with(".rlib")
    });
    let newest = ours.max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    run(Command::new("rustc")
        .current_dir(here(""))
        .args([
            "--edition",
            "2024",
            "--crate-name",
            "dockgate",
            "src/main.rs",
        ])
        .args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"])
        .arg("--extern")
        .arg(format!("dockgate={}", newest.unwrap().display()))
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("-o")
        .arg(to))
    .succeeds("a static program is linked");
}

/// Builds the image, pushes it into a dockgate, and lets docker pull it from there as `dockgate`.
fn make() {
    let dir = TempDir::with_prefix("dockgate-build-").unwrap();
    let out = dir.path().join("out");
    fs::create_dir_all(out.join("usr/bin")).unwrap();
    fs::create_dir(out.join("state")).unwrap();
    static_program(&out.join("usr/bin/dockgate"));
    symlink("dockgate", out.join("usr/bin/htpasswd")).unwrap();
    let buildah = Buildah::new();
    let stage = format!("build={}", dir.path().display());
    buildah
        .run(&[
            "build",
            "--isolation=chroot",
            "--format=docker",
            "--pull-never",
            "--build-context",
            &stage,
            "--build-arg=DOCKGATE_COMMIT=abcdef1",
            "--tag=localhost/dockgate",
            env!("CARGO_MANIFEST_DIR"),
        ])
        .succeeds("the image is built");
    let house = House::start("");
    let reference = format!("{}/tools/dockgate:1", house.gate.address());
    let credentials = format!("root:{}", backwards("root"));
    let to = format!("docker://{reference}");
    buildah
        .run(&[
            "push",
            "--tls-verify=false",
            "--creds",
            &credentials,
            "localhost/dockgate",
            &to,
        ])
        .succeeds("it is pushed into a dockgate");
    let docker = Docker::new();
    let host = house.gate.address().to_string();
    docker
        .run(&["login", "-u", "root", "-p", &backwards("root"), &host])
        .succeeds("docker logs in");
    docker
        .run(&["pull", &reference])
        .succeeds("docker pulls it");
    docker
        .run(&["tag", &reference, "dockgate"])
        .succeeds("docker names it");
}

/// The image `dockgate` in the docker of this run.
pub fn image() -> &'static str {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(make);
    "dockgate"
}

/// A container that runs, removed when it is dropped.
struct Container {
    docker: Docker,
    id: String,
}

impl Container {
    /// `docker run -d OPTIONS dockgate`
    #[track_caller]
    fn run(options: &[&str]) -> Self {
        let docker = Docker::new();
        let arguments = [&["run", "-d"], options, &[image()]].concat();
        let started = docker.run(&arguments).succeeds("a container starts");
        let id = started.stdout.trim().to_owned();
        Self { docker, id }
    }

    #[track_caller]
    fn inspect(&self, format: &str) -> String {
        let asked = self.docker.run(&["inspect", "--format", format, &self.id]);
        asked.succeeds("it is there").stdout.trim().to_owned()
    }

    /// Both of its streams.
    fn log(&self) -> String {
        let said = self
            .docker
            .run(&["logs", &self.id])
            .succeeds("it has a log");
        said.stdout + &said.stderr
    }

    /// The first line with this in it.
    #[track_caller]
    fn says(&self, text: &str) -> String {
        eventually(|| {
            let log = self.log();
            log.lines()
                .find(|l| l.contains(text))
                .map(ToOwned::to_owned)
        })
    }

    #[track_caller]
    fn becomes_healthy(&self) {
        eventually(|| (self.inspect("{{.State.Health.Status}}") == "healthy").then_some(()));
    }

    /// `curl` where the container is: nobody else reaches its loopback, and it may listen on the ports that are written.
    fn curl(&self, arguments: &[&str]) -> Command {
        let pid = self.inspect("{{.State.Pid}}");
        let mut command = Command::new("nsenter");
        command
            .env("PATH", search_path())
            .args([
                "--net",
                "--target",
                &pid,
                "curl",
                "-sSk",
                "--max-time",
                "60",
            ])
            .args(arguments);
        command
    }

    #[track_caller]
    fn status(&self, arguments: &[&str]) -> String {
        let code = ["-o", "/dev/null", "-w", "%{http_code}"];
        let asked = run(&mut self.curl(&[&code[..], arguments].concat()));
        asked.succeeds("curl is answered").stdout
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let removed = self.docker.run(&["rm", "-f", "-v", &self.id]);
        if !std::thread::panicking() {
            removed.succeeds("it is removed");
        }
    }
}

#[test]
fn the_image_is_one_static_program_that_needs_nobody() {
    if !is_possible() {
        return;
    }
    let docker = Docker::new();
    let config = docker
        .run(&["image", "inspect", "--format", "{{json .Config}}", image()])
        .succeeds("docker has it");
    let config: serde_json::Value = serde_json::from_str(&config.stdout).unwrap();
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(
        config["Entrypoint"],
        serde_json::json!(["/usr/bin/dockgate"])
    );
    assert_eq!(
        config["Healthcheck"]["Test"],
        serde_json::json!(["CMD", "/usr/bin/dockgate", "health"])
    );
    assert!(config["Volumes"]["/var/lib/dockgate"].is_object());
    assert!(config["ExposedPorts"]["5443/tcp"].is_object());
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), "Apache-2.0");
    assert_eq!(label("revision"), "abcdef1");

    let made = docker.run(&["create", image()]).succeeds("a container");
    let id = made.stdout.trim();
    let dir = TempDir::with_prefix("dockgate-image-").unwrap();
    let tar = dir.path().join("all.tar");
    docker
        .run(&["export", "-o", tar.to_str().unwrap(), id])
        .succeeds("its files");
    docker.run(&["rm", "-v", id]).succeeds("it is removed");
    let listed = run(Command::new("tar").arg("-tvf").arg(&tar)).succeeds("they are listed");
    // What docker itself puts into every container.
    let dockers = ["dev/", "etc/", "proc/", "sys/", ".dockerenv"];
    let name = |line: &str| {
        line.split_whitespace()
            .nth(5)
            .unwrap_or_default()
            .to_owned()
    };
    let files: Vec<String> = listed
        .stdout
        .lines()
        .filter(|line| !line.starts_with('d'))
        .map(name)
        .filter(|name| !dockers.iter().any(|docker| name.starts_with(docker)))
        .collect();
    assert_eq!(
        files,
        [
            "usr/bin/dockgate",
            "usr/bin/htpasswd",
            "usr/share/dockgate/LICENSE",
            "usr/share/dockgate/proxy.toml"
        ]
    );
}

#[test]
fn the_image_is_a_registry_by_itself_and_finishes_what_runs() {
    if !is_possible() {
        return;
    }
    let volume = format!("dockgate-{}", std::process::id());
    let mounted = format!("{volume}:/var/lib/dockgate");
    let options = [
        "--network=none",
        "--read-only",
        "--health-interval=1s",
        "-v",
        &mounted,
    ];
    let first = Container::run(&options);
    let line = first.says("password: ");
    let login = format!("admin:{}", line.trim_start_matches("password: "));
    let listening = first.says("listening");
    assert!(listening.contains("0.0.0.0:5443"), "{listening}");
    assert_eq!(first.status(&["https://127.0.0.1:5443/v2/"]), "401");
    assert_eq!(
        first.status(&["-u", &login, "https://127.0.0.1:5443/v2/"]),
        "200"
    );
    first.becomes_healthy();

    // An upload is under way when docker tells it to stop.
    let url = "https://127.0.0.1:5443/v2/a/blobs/uploads/?digest=sha256:\
               ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    let upload = [
        "-u",
        &login,
        "-X",
        "POST",
        "-T",
        "-",
        "-w",
        "%{http_code}",
        url,
    ];
    let mut curl = first
        .curl(&upload)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut body = curl.stdin.take().unwrap();
    body.write_all(b"cont").unwrap();
    eventually(|| {
        let held = fs::read_dir(uploads(&first)?).ok()?.count();
        (held > 0).then_some(())
    });
    first
        .docker
        .run(&["kill", "--signal=TERM", &first.id])
        .succeeds("it is told to stop");
    first.says("draining");
    body.write_all(b"ent").unwrap();
    drop(body);
    let answer = curl.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&answer.stdout),
        "201",
        "{}",
        first.log()
    );
    let ended = first.docker.run(&["wait", &first.id]).succeeds("it ends");
    assert_eq!(ended.stdout.trim(), "0", "{}", first.log());
    drop(first);

    // The volume has the image, the certificate and the user.
    let second = Container::run(&options);
    second.says("listening");
    let blob = "https://127.0.0.1:5443/v2/a/blobs/sha256:\
                ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    assert_eq!(second.status(&["-u", &login, blob]), "200");
    assert!(!second.log().contains("password: "), "{}", second.log());
    let docker = Docker::new();
    drop(second);
    docker
        .run(&["volume", "rm", &volume])
        .succeeds("the volume is removed");
}

/// The folder of the uploads to the repository `a`, as it lies on this machine.
fn uploads(container: &Container) -> Option<PathBuf> {
    let source = container.inspect("{{(index .Mounts 0).Source}}");
    let path = Path::new(&source).join("registry/docker/registry/v2/repositories/a/_uploads");
    path.is_dir().then_some(path)
}

#[test]
fn the_image_takes_the_place_of_nginx_and_of_registry_2() {
    if !is_possible() {
        return;
    }
    let dir = TempDir::with_prefix("dockgate-containers-").unwrap();
    let authority = Authority::new("the image");
    let pair = authority.server();
    let htpasswd = dir.path().join("htpasswd");
    passwords::write(&htpasswd, "ann", "secret");
    let content = dir.path().join("content");
    fs::create_dir(&content).unwrap();
    for (source, name) in [(&pair.certificate, "crt"), (&pair.key, "key")] {
        fs::copy(source, dir.path().join(name)).unwrap();
    }
    // Readable for the user of the image, as it has to be said to people.
    for name in ["htpasswd", "crt", "key", "content"] {
        let path = dir.path().join(name);
        std::os::unix::fs::chown(&path, Some(USER), Some(USER)).unwrap();
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str, place: &str| format!("{}:{place}:ro", dir.path().join(name).display());
    let [users, crt, key] = [
        at("htpasswd", "/etc/nginx/.htpasswd"),
        at("crt", "/etc/nginx/ssl/docker-registry.crt"),
        at("key", "/etc/nginx/ssl/docker-registry.key"),
    ];
    let gate = Container::run(&[
        "--network=none",
        "--health-interval=1s",
        "-e=REGISTRY_HOST=127.0.0.1",
        "-e=REGISTRY_PORT=5000",
        "-e=SERVER_NAME=registry.test",
        "-v",
        &users,
        "-v",
        &crt,
        "-v",
        &key,
    ]);
    // Both share one loopback, as --link shared a network.
    let network = format!("--network=container:{}", gate.id);
    let content = format!("{}:/var/lib/registry", content.display());
    let registry = Container::run(&[
        &network,
        "-e=REGISTRY_HTTP_ADDR=127.0.0.1:5000",
        "-v",
        &content,
    ]);
    registry.says("listening");
    assert!(
        gate.says("taking the place of")
            .contains("docker-registry-proxy")
    );
    gate.becomes_healthy();
    assert_eq!(gate.status(&["https://127.0.0.1:443/v2/"]), "401");
    let push = "https://127.0.0.1:443/v2/a/blobs/uploads/?digest=sha256:\
                ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    let pushed = gate.status(&[
        "-u",
        "ann:secret",
        "-X",
        "POST",
        "--data-binary",
        "content",
        push,
    ]);
    assert_eq!(pushed, "201", "{}", registry.log());
}

#[test]
fn the_image_makes_password_files() {
    if !is_possible() {
        return;
    }
    let docker = Docker::new();
    let made = docker
        .run(&[
            "run",
            "--rm",
            "--network=none",
            "--entrypoint",
            "htpasswd",
            image(),
            "-Bbn",
            "ann",
            "secret",
        ])
        .succeeds("the line of registry:2's documentation works");
    assert!(made.stdout.starts_with("ann:$2y$"), "{made}");
}

#[test]
fn the_image_trusts_the_authorities_that_are_mounted() {
    if !is_possible() {
        return;
    }
    let authority = Authority::new("a company");
    let pair = authority.server();
    let toml = format!(
        "[[listener]]\naddress = \"{ADDRESS}:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n[auth]\n\
         htpasswd = \"htpasswd\"\n",
        pair.certificate.display(),
        pair.key.display()
    );
    let gate = Gate::start_with(&toml, |dir| {
        passwords::write(&dir.join("htpasswd"), "ann", "secret");
    });
    let url = format!("https://{NAME}:{}", gate.address().port());
    let docker = Docker::new();
    let ask = |options: &[&str]| {
        let fixed = [
            "run",
            "--rm",
            "--network=host",
            "--add-host=registry.test:10.99.0.1",
        ];
        docker.run(&[&fixed[..], options, &[image(), "health", "--url", &url]].concat())
    };
    ask(&[]).fails_saying("certificate", "nobody trusts it");
    let bundle = TempDir::with_prefix("dockgate-ca-").unwrap();
    fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = bundle.path().join("ca.crt");
    fs::copy(authority.ca(), &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let mounted = format!("{}:/etc/ssl/certs/ca-certificates.crt:ro", file.display());
    ask(&["-v", &mounted]).succeeds("it trusts what the machine trusts");
}
