//! Bundles in the hands of the programs that they are for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::ctr::{self, Ctr};
use crate::support::desk::Desk;
use crate::support::docker::{self, Docker};
use crate::support::gate::Gate;
use crate::support::image::Image;
use crate::support::peers;
use crate::support::podman::Podman;
use crate::support::process;
use crate::support::skopeo::Skopeo;
use crate::support::trust::Trust;

/// A gate with a registry inside, for whom the desk lets in.
struct Registry {
    desk: Desk,
    gate: Gate,
}

impl Registry {
    fn start() -> Self {
        let desk = Desk::new();
        desk.cert(&["server", "--name", peers::NAME]).done();
        desk.cert(&["client", "--name", "build-7"]).done();
        let at = |name: &str| desk.path(name).display().to_string();
        let gate = Gate::start(&format!(
            "[[listener]]\naddress = \"{}:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
             client_ca = \"{}\"\nclient_auth = \"required\"\nclient_crl = \"{}\"\n[log]\naccess = false\n",
            peers::ADDRESS,
            at(&format!("{}.crt", peers::NAME)),
            at(&format!("{}.key", peers::NAME)),
            at("ca.crt"),
            at("crl.pem"),
        ));
        Self { desk, gate }
    }

    /// `HOST:PORT`.
    fn authority(&self) -> String {
        format!("{}:{}", peers::NAME, self.gate.address().port())
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.authority())
    }

    /// The bundle for the client, written below `out`.
    #[track_caller]
    fn bundle(&self, format: &str, out: &Path) {
        let port = self.gate.address().port().to_string();
        let out = out.to_str().unwrap();
        self.desk
            .cert(&[
                "bundle",
                "--client",
                "build-7",
                "--host",
                peers::NAME,
                "--port",
                &port,
                "--format",
                format,
                "--out",
                out,
            ])
            .done();
    }

    /// skopeo, with a folder of certificates of its own, gets an image in.
    #[track_caller]
    fn skopeo_pushes(&self, certificates: &Path, claim: &str) {
        let image = Image::unique();
        let source = format!("oci:{}:image", image.layout().display());
        let target = format!("docker://{}", self.image("team/copy:1"));
        let folder = certificates.to_str().unwrap();
        Skopeo::new()
            .run(&["copy", "--dest-cert-dir", folder, &source, &target])
            .succeeds(claim);
    }
}

#[test]
fn docker_pushes_with_its_bundle() {
    if !peers::need_clients(docker::PROGRAMS) {
        return;
    }
    let registry = Registry::start();
    let image = registry.image("team/one:1");
    let docker = Docker::new();
    let kept = Image::unique();
    docker.import(&kept.root_tar(), &image);
    let _trust = Trust::new(&registry.authority());
    docker
        .run(&["push", &image])
        .fails_saying("x509", "not without the bundle");
    registry.bundle("docker", Path::new("/etc/docker"));
    docker
        .run(&["push", &image])
        .succeeds("the bundle is enough to push");
    docker.run(&["rmi", &image]).succeeds("the image is gone");
    docker.run(&["pull", &image]).succeeds("and to pull");
}

#[test]
fn podman_pushes_with_its_bundle() {
    if !peers::need_clients(&["podman", "setpriv"]) {
        return;
    }
    let registry = Registry::start();
    let image = registry.image("team/pod:1");
    let podman = Podman::new();
    let kept = Image::unique();
    let tar = kept.root_tar();
    podman
        .run(&["import", "--quiet", tar.to_str().unwrap(), &image])
        .succeeds("a tar is imported");
    let _trust = Trust::new(&registry.authority());
    podman
        .run(&["push", &image])
        .fails_saying("x509", "not without the bundle");
    registry.bundle("podman", Path::new("/etc/docker"));
    podman
        .run(&["push", &image])
        .succeeds("the bundle is enough to push");
}

#[test]
fn containerd_pushes_and_pulls_with_its_bundle() {
    if !peers::need_clients(ctr::PROGRAMS) {
        return;
    }
    let registry = Registry::start();
    let reference = registry.image("team/ctr:1");
    let ctr = Ctr::start();
    let kept = Image::unique();
    let archive = kept.archive(&reference);
    ctr.images(&["import", "--no-unpack", archive.to_str().unwrap()])
        .succeeds("an image is imported");
    let out = registry.desk.beside("containerd");
    registry.bundle("containerd", &out);
    let hosts = out.join("certs.d");
    let hosts = hosts.to_str().unwrap();
    ctr.images(&["push", &reference])
        .fails_saying("x509", "not without the bundle");
    ctr.images(&["push", "--hosts-dir", hosts, &reference])
        .succeeds("the bundle is enough to push");
    ctr.images(&["rm", "--sync", &reference])
        .succeeds("the image is gone");
    ctr.images(&[
        "pull",
        "--snapshotter=native",
        "--hosts-dir",
        hosts,
        &reference,
    ])
    .succeeds("and to pull");
}

#[test]
fn the_script_installs_what_clients_read() {
    if !peers::need_clients(&["sh", "skopeo", "setpriv"]) {
        return;
    }
    let registry = Registry::start();
    let desk = &registry.desk;
    let port = registry.gate.address().port().to_string();
    let script = desk
        .cert(&[
            "bundle",
            "--client",
            "build-7",
            "--host",
            peers::NAME,
            "--port",
            &port,
            "--format",
            "script",
            "--address",
            "10.99.0.1",
        ])
        .done()
        .out;
    fs::write(desk.beside("install.sh"), script).unwrap();
    let root = desk.beside("root");
    fs::create_dir_all(root.join("etc/containerd")).unwrap();
    for _ in 0..2 {
        process::run(
            Command::new("sh")
                .arg(desk.beside("install.sh"))
                .env("ROOT", &root),
        )
        .succeeds("the script runs, and once more");
    }
    let hosts = fs::read_to_string(root.join("etc/hosts")).unwrap();
    assert_eq!(hosts, format!("10.99.0.1 {}\n", peers::NAME), "once");
    let docker = root.join("etc/docker/certs.d").join(registry.authority());
    assert_eq!(super::mode(&docker.join("client.key")), 0o600);
    registry.skopeo_pushes(&docker, "what the script installed is enough");
    let containerd = root
        .join("etc/containerd/certs.d")
        .join(registry.authority());
    let toml = fs::read_to_string(containerd.join("hosts.toml")).unwrap();
    let toml: toml::Table = toml.parse().unwrap();
    assert!(toml["host"].as_table().unwrap().len() == 1);
    assert_eq!(
        fs::read(containerd.join("client.cert")).unwrap(),
        fs::read(desk.path("build-7.crt")).unwrap()
    );
}

/// A program in Python over a document of the bundle, with what YAML means by it.
#[track_caller]
fn python(program: &str, arguments: &[&Path]) {
    process::run(
        Command::new("python3")
            .args(["-c", program])
            .args(arguments),
    )
    .succeeds("the document is YAML, and says what to write where");
}

fn need_yaml() -> bool {
    let found = Command::new("python3").args(["-c", "import yaml"]).output();
    found.is_ok_and(|output| output.status.success())
        || peers::skip("python3 with yaml is not installed (scripts/setup-peers installs it)")
}

#[test]
fn the_user_data_puts_files_where_clients_read_them() {
    if !peers::need_clients(&["skopeo", "setpriv"]) || !need_yaml() {
        return;
    }
    let registry = Registry::start();
    let out = registry.desk.beside("cloud");
    registry.bundle("cloud-init", &out);
    let document = out.join("user-data");
    assert!(
        fs::read_to_string(&document)
            .unwrap()
            .starts_with("#cloud-config\n")
    );
    assert_eq!(super::mode(&document), 0o600);
    let root = registry.desk.beside("machine");
    python(
        "import os, sys, yaml\n\
         data = yaml.safe_load(open(sys.argv[1]))\n\
         assert set(data) == {'write_files', 'runcmd'}, data\n\
         for file in data['write_files']:\n\
         \x20   path = sys.argv[2] + file['path']\n\
         \x20   os.makedirs(os.path.dirname(path), exist_ok=True)\n\
         \x20   open(path, 'w').write(file['content'])\n\
         \x20   os.chmod(path, int(file['permissions'], 8))\n\
         \x20   assert file['owner'] == 'root:root'\n\
         assert all(isinstance(line, str) for line in data['runcmd'])\n",
        &[&document, &root],
    );
    let folder = root.join("etc/docker/certs.d").join(registry.authority());
    assert_eq!(super::mode(&folder.join("client.key")), 0o600);
    registry.skopeo_pushes(&folder, "what cloud-init writes is enough");
}

#[test]
fn the_manifests_put_files_on_a_node_where_its_runtime_reads_them() {
    if !peers::need_clients(&["skopeo", "setpriv", "sh"]) || !need_yaml() {
        return;
    }
    let registry = Registry::start();
    let out = registry.desk.beside("cluster");
    registry.bundle("kubernetes", &out);
    let (secret, script) = (
        registry.desk.beside("secret"),
        registry.desk.beside("node.sh"),
    );
    python(
        "import base64, os, sys, yaml\n\
         secret, daemons = yaml.safe_load_all(open(sys.argv[1]))\n\
         assert (secret['kind'], daemons['kind']) == ('Secret', 'DaemonSet')\n\
         os.makedirs(sys.argv[2])\n\
         for key, value in secret['data'].items():\n\
         \x20   open(os.path.join(sys.argv[2], key), 'wb').write(base64.b64decode(value, validate=True))\n\
         spec = daemons['spec']['template']['spec']\n\
         labels = daemons['spec']['template']['metadata']['labels']\n\
         assert daemons['spec']['selector']['matchLabels'] == labels\n\
         container, = spec['containers']\n\
         assert container['command'] == ['sh', '-c']\n\
         named = {volume['name'] for volume in spec['volumes']}\n\
         assert {mount['name'] for mount in container['volumeMounts']} == named\n\
         assert any(volume.get('secret') == {'secretName': secret['metadata']['name']} for volume in spec['volumes'])\n\
         open(sys.argv[3], 'w').write(container['args'][0])\n",
        &[&out.join("registry-client.yaml"), &secret, &script],
    );
    let node: PathBuf = registry.desk.beside("node");
    for _ in 0..2 {
        process::run(
            Command::new("sh")
                .arg(&script)
                .env("SECRET", &secret)
                .env("NODE", &node)
                .env("ONCE", "yes"),
        )
        .succeeds("the container's script runs, and once more");
    }
    let folder = node.join("docker").join(registry.authority());
    assert_eq!(super::mode(&folder.join("client.key")), 0o600);
    registry.skopeo_pushes(&folder, "what the container puts on the node is enough");
    let hosts = node.join("containerd").join(registry.authority());
    assert!(hosts.join("hosts.toml").is_file());
}

#[test]
fn on_the_port_of_https_both_ways_to_write_an_image_work() {
    let desk = Desk::new();
    desk.cert(&["client", "--name", "a"]).done();
    for format in ["docker", "containerd"] {
        let out = desk.beside(format);
        desk.cert(&[
            "bundle",
            "--client",
            "a",
            "--host",
            "Registry.Example.com",
            "--format",
            format,
            "--out",
            out.to_str().unwrap(),
        ])
        .done();
        for authority in ["registry.example.com", "registry.example.com:443"] {
            let folder = out.join("certs.d").join(authority);
            for name in ["ca.crt", "client.cert", "client.key"] {
                assert!(folder.join(name).is_file(), "{format} {authority} {name}");
            }
            if format == "containerd" {
                let toml = fs::read_to_string(folder.join("hosts.toml")).unwrap();
                assert!(
                    toml.contains(&format!("[host.\"https://{authority}\"]")),
                    "{toml}"
                );
            }
        }
    }
}

#[test]
fn only_a_good_client_certificate_is_bundled() {
    let desk = Desk::new();
    desk.cert(&["server", "--name", "s.test"]).done();
    desk.cert(&["client", "--name", "a", "--days", "3"]).done();
    let bundle = |name: &str, more: &[&str]| {
        let base = [
            "bundle", "--client", name, "--host", "h.test", "--format", "script",
        ];
        desk.cert(&[&base[..], more].concat())
    };
    let near = bundle("a", &[]).done();
    assert!(near.err.contains("a ends on"), "{near:?}");
    bundle("s.test", &[]).refused(2, "is a certificate for a server");
    bundle("a", &["--server-ca", "nowhere.crt"]).refused(2, "nowhere.crt");
    let without = bundle("a", &["--no-server-ca"]).done().out;
    assert!(!without.contains("ca.crt"), "{without}");
    desk.cert(&["revoke", "a"]).done();
    bundle("a", &[]).refused(2, "was taken back");
}

#[test]
fn the_gates_own_ca_is_bundled_where_it_made_its_certificate() {
    let desk = Desk::empty();
    fs::write(
        desk.beside("proxy.toml"),
        "state_dir = \".\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    desk.cert(&["init-ca"]).done();
    desk.cert(&["client", "--name", "a"]).done();
    let own = Desk::new();
    fs::create_dir(desk.beside("tls")).unwrap();
    fs::copy(own.path("ca.crt"), desk.beside("tls/ca.crt")).unwrap();
    let bundle = || {
        let arguments = [
            "bundle", "--client", "a", "--host", "h.test", "--format", "docker", "--out", "out",
            "--force",
        ];
        desk.cert(&arguments).done();
        fs::read_to_string(desk.beside("out/certs.d/h.test/ca.crt")).unwrap()
    };
    assert_eq!(bundle(), own.text("ca.crt"));
    desk.cert(&["server", "--name", "*.test"]).done();
    assert_eq!(bundle(), desk.text("ca.crt"), "the desk made the server's");
}
