//! The Debian package: built by cargo-deb, judged by lintian, installed and removed by dpkg.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{here, need_peer};
use crate::support::peers::need_clients;
use crate::support::process::{run, run_within, search_path};
use crate::support::sandbox::{self, sandboxed};

/// What was built for the tests, as a package. It is large: it has what a debugger needs.
fn package(dir: &TempDir) -> PathBuf {
    run_within(
        Command::new(here("scripts/package-deb"))
            .env("PATH", search_path())
            .args([
                "--no-build",
                "--no-strip",
                "--fast",
                "--profile=dev",
                "--output",
            ])
            .arg(dir.path()),
        Duration::from_secs(300),
    )
    .succeeds("cargo-deb builds the package");
    let mut made = std::fs::read_dir(dir.path()).unwrap();
    let made = made.next().unwrap().unwrap().path();
    assert_eq!(made.extension().unwrap(), "deb", "{}", made.display());
    made
}

/// What lintian may say.
const KNOWN: [&str; 5] = [
    // The package of the tests, for the time's sake; cargo-deb strips the other one.
    "unstripped-binary-or-object",
    // An address of nobody, and a first upload that goes to no archive.
    "bogus-mail-host",
    "initial-upload-closes-no-bugs",
    // The crate's own description.
    "description-synopsis-starts-with-article",
    // Only where systemd runs, and not by debhelper, which would start what nobody has configured.
    "maintainer-script-calls-systemctl",
];

#[test]
fn the_changelog_of_the_package_has_its_version() {
    let text = std::fs::read_to_string(here("deploy/debian/changelog")).unwrap();
    let first = format!("dockgate ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(text.starts_with(&first), "{text}");
}

#[test]
fn the_package_installs_configures_nothing_for_others_and_goes() {
    let peers = [
        sandbox::PROGRAMS,
        &["dpkg", "lintian", "systemd-sysusers", "zcat"],
    ]
    .concat();
    if !need_clients(&peers) || !need_peer("cargo-deb/bin/cargo-deb") {
        return;
    }
    let dir = TempDir::with_prefix("dockgate-deb-").unwrap();
    let package = package(&dir);
    run(Command::new("lintian")
        .args([
            "--fail-on",
            "error,warning",
            "--allow-root",
            "--suppress-tags",
        ])
        .arg(KNOWN.join(","))
        .arg(&package))
    .succeeds("lintian has nothing against it");

    let script = r#"
        dpkg -i "$DEB"
        dockgate --version
        dockgate check --config /etc/dockgate/proxy.toml
        test -z "$(dpkg --verify dockgate)"
        getent passwd dockgate
        test ! -e /etc/systemd/system/multi-user.target.wants/dockgate.service
        zcat /usr/share/man/man1/dockgate.1.gz | grep -q dockgate
        bash -n /usr/share/bash-completion/completions/dockgate
        systemd-analyze verify --man=no /usr/lib/systemd/system/dockgate.service

        echo '# mine' >>/etc/dockgate/proxy.toml
        dpkg -i "$DEB"
        tail -1 /etc/dockgate/proxy.toml

        mkdir -p /var/lib/dockgate/registry
        dpkg -r dockgate
        test ! -e /usr/bin/dockgate
        test -e /etc/dockgate/proxy.toml
        dpkg -P dockgate
        test ! -e /etc/dockgate/proxy.toml
        test -d /var/lib/dockgate/registry
    "#;
    let installed = sandboxed(script, &[("DEB", package.to_str().unwrap())])
        .succeeds("it is installed, again, and removed")
        .says(concat!("dockgate ", env!("CARGO_PKG_VERSION")), "it runs")
        .says(
            "/etc/dockgate/proxy.toml: no faults",
            "it is configured soundly",
        )
        .says("# mine", "a changed configuration stays");
    assert!(
        installed.stderr.contains("/var/lib/dockgate is kept"),
        "what a purge leaves is said\n{installed}"
    );
}
