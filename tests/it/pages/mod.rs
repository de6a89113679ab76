//! The pages of the documentation, run as a reader would run them.
//!
//! Each page has a machine of its own (`sandbox.sh`): the real one's files below an overlay, so that a page may write
//! where it likes, a network with nothing but loopback, so that it may use the ports it likes, and `dockgate` on the
//! path. It stands in a checkout, or in the example's folder. `registry.example.com` is an address of that machine,
//! `registry:2` and `hello-world` are images that it has, and `cargo` stands for having built.
//!
//! What a page has to keep to:
//!
//! - A `sh` block is run, all of a page's blocks in one `sh -e`, as root, in order. `console` is for what cannot be run;
//!   the line before it says why: `<!-- not run: REASON -->`. How many a page has is pinned below.
//! - A server in the foreground (`dockgate`, `docker-registry serve`) is the last line of its block: it is one terminal,
//!   and what follows is typed in another. The page goes on when it listens. With ` &` it may stand anywhere. It has to
//!   run until the end of the page, or until `<!-- ctrl-c -->`, which ends the last one; its exit code must be 0.
//! - `text` after a block is what that block prints: these lines in this order, `...` for whatever stands there; other
//!   lines may stand between. `# prints WORDS` at the end of a command is a piece of what it prints, `# exits with N` its
//!   exit code. Any other `text` needs an excuse.
//! - `<!-- given`, lines of `sh`, `-->` puts up what the reader has already: an old nginx, a registry, a certificate.
//!   `prelude.sh` has the verbs.
//! - `toml` is a configuration, and loads. `json` and `yaml` are well-formed. `nginx` is what was before; `ruby` is
//!   for Chef.
//! - `dockgate ...` between backticks is a command that the command line knows.
//!
//! Other languages, other comments and indented blocks are faults, so that no command gets past these tests.

mod messages;
mod page;
mod script;
mod written;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::image::Image;
use crate::support::peers::need_clients;
use crate::support::process;

use page::Page;
use script::Expected;
use script::Script;

/// For all of a page.
const PATIENCE: Duration = Duration::from_secs(240);

/// What every page needs.
const PEERS: &[&str] = &[
    "unshare",
    "setpriv",
    "mount",
    "chroot",
    "ip",
    "install",
    "tail",
    "timeout",
    "openssl",
    "curl",
    "htpasswd",
    "docker-registry",
];

/// What a page needs if it says so.
const MORE: &[(&str, &[&str])] = &[
    (
        "docker",
        &["docker", "dockerd", "containerd", "skopeo", "iptables"],
    ),
    ("podman", &["podman"]),
    ("skopeo", &["skopeo"]),
    ("buildah", &["buildah"]),
    ("ctr", &["ctr", "containerd"]),
    ("nginx", &["nginx"]),
    ("nginx_with", &["nginx"]),
    ("promtool", &["promtool"]),
    ("jq", &["jq"]),
];

macro_rules! pages {
    ($($name:ident: $path:literal, $excused:literal not run;)*) => {
        /// Every page, and how many blocks of it are not run.
        const PAGES: &[(&str, usize)] = &[$(($path, $excused)),*];
        $(
            #[test]
            fn $name() {
                run($path);
            }
        )*
    };
}

pages! {
    the_readme_does_what_it_says: "README.md", 0 not run;
    architecture_does_what_it_says: "ARCHITECTURE.md", 0 not run;
    the_changes_do_what_they_say: "CHANGELOG.md", 0 not run;
    docs_do_what_they_say: "docs/README.md", 0 not run;
    benchmarks_does_what_it_says: "docs/benchmarks.md", 0 not run;
    acme_does_what_it_says: "docs/acme.md", 1 not run;
    operations_does_what_it_says: "docs/operations.md", 1 not run;
    certificates_does_what_it_says: "docs/certificates.md", 1 not run;
    compare_does_what_it_says: "docs/compare.md", 0 not run;
    doctor_does_what_it_says: "docs/doctor.md", 0 not run;
    install_does_what_it_says: "docs/install.md", 9 not run;
    moving_does_what_it_says: "docs/moving.md", 0 not run;
    chef_does_what_it_says: "deploy/chef/README.md", 0 not run;
    compose_does_what_it_says: "deploy/compose/README.md", 1 not run;
    nginx_recipe_does_what_it_says: "examples/nginx-recipe/README.md", 1 not run;
    configuration_does_what_it_says: "docs/configuration.md", 0 not run;
    limits_does_what_it_says: "docs/limits.md", 0 not run;
    registry_does_what_it_says: "docs/registry.md", 0 not run;
    security_does_what_it_says: "docs/security.md", 0 not run;
    threats_does_what_it_says: "docs/threats.md", 0 not run;
    the_security_policy_does_what_it_says: "SECURITY.md", 0 not run;
    from_registry_does_what_it_says: "docs/from-registry.md", 0 not run;
    storage_does_what_it_says: "docs/storage.md", 0 not run;
    troubleshooting_does_what_it_says: "docs/troubleshooting.md", 0 not run;
    azure_basic_auth_does_what_it_says: "examples/azure-basic-auth/README.md", 0 not run;
    client_certificates_does_what_it_says: "examples/client-certificates/README.md", 0 not run;
    container_variables_does_what_it_says: "examples/container-variables/README.md", 1 not run;
    public_pull_does_what_it_says: "examples/public-pull/README.md", 0 not run;
    ssh_tunnel_and_http_does_what_it_says: "examples/ssh-tunnel-and-http/README.md", 2 not run;
}

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// All pages that are there, wherever somebody put them.
fn found() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![house()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(house()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn run(path: &str) {
    let path = Path::new(path);
    let page = Page::read(&house(), path);
    let script = Script::of(&page);
    let faults = [&page.faults[..], &script.faults[..]].concat();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    if page.blocks("sh").next().is_none() {
        return;
    }
    let more = MORE.iter().filter(|(program, _)| script.uses(program));
    let mut peers = PEERS.to_vec();
    peers.extend(more.flat_map(|(_, peers)| *peers));
    if !need_clients(&peers) {
        return;
    }
    let out = TempDir::with_prefix("dockgate-page-").unwrap();
    prepare(out.path(), &page, &script);
    let folder = match path.parent().unwrap() {
        folder if folder.starts_with("examples") => folder,
        _ => Path::new(""),
    };
    let sandbox = house().join("tests/it/pages/sandbox.sh");
    let outcome = process::run_within(
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "--net"])
            .args(["--pid", "--fork", "--kill-child", "sh"])
            .arg(sandbox)
            .arg(out.path())
            .arg(env!("CARGO_BIN_EXE_dockgate"))
            .arg(house())
            .arg(folder),
        PATIENCE,
    );
    let at = said(out.path(), "at").trim().to_owned();
    let told = format!(
        "{}{}",
        said(out.path(), &at),
        said(out.path(), &format!("{at}.server"))
    );
    outcome.succeeds(&format!(
        "{}:{at}: failed, having said\n{told}",
        path.display()
    ));
    for expected in &script.expected {
        let said: String = expected
            .outputs
            .iter()
            .map(|name| said(out.path(), name))
            .collect();
        if let Err(missing) = shown(expected, &said) {
            panic!(
                "{}:{}: nothing printed {missing:?}\n{said}",
                path.display(),
                expected.line
            );
        }
    }
}

fn said(out: &Path, name: &str) -> String {
    let bytes = fs::read(out.join(name)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the sandbox finds in its folder.
fn prepare(out: &Path, page: &Page, script: &Script) {
    let mut text = include_str!("prelude.sh").to_owned();
    if script.uses("docker") {
        let image = Image::unique();
        fs::rename(image.layout(), out.join("hello")).unwrap();
    }
    text += &script.text;
    fs::write(out.join("script"), text).unwrap();
    fs::write(out.join("cargo"), include_str!("cargo.sh")).unwrap();
    for (number, block) in (1..).zip(page.blocks("nginx")) {
        fs::write(out.join(format!("nginx-{number}")), &block.text).unwrap();
    }
}

/// Whether all of it is there, in order.
fn shown(expected: &Expected, said: &str) -> Result<(), String> {
    let mut lines = said.lines();
    for wanted in expected.text.lines().map(str::trim_end) {
        let wanted = if expected.whole {
            wanted.to_owned()
        } else {
            format!("...{wanted}...")
        };
        if !lines.any(|line| is_like(line.trim_end(), &wanted)) {
            return Err(wanted);
        }
    }
    Ok(())
}

/// Whether a line is what is shown, where `...` stands for anything.
fn is_like(line: &str, shown: &str) -> bool {
    let (first, rest) = shown.split_once("...").unwrap_or((shown, "\n"));
    let Some(mut left) = line.strip_prefix(first) else {
        return false;
    };
    if rest == "\n" {
        return left.is_empty();
    }
    let mut pieces: Vec<&str> = rest.split("...").collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = left.split_once(piece) else {
            return false;
        };
        left = after;
    }
    left.ends_with(last)
}

#[test]
fn every_page_is_known_and_what_it_does_not_run_has_a_reason() {
    let mut known: Vec<PathBuf> = PAGES.iter().map(|(path, _)| path.into()).collect();
    known.sort();
    assert_eq!(
        found(),
        known,
        "the pages that are there, and those that are run"
    );
    for (path, excused) in PAGES {
        let page = Page::read(&house(), Path::new(path));
        assert!(page.faults.is_empty(), "{}", page.faults.join("\n"));
        let lines: Vec<String> = page
            .excused()
            .map(|block| format!("{path}:{}: {}", block.line, block.excuse.clone().unwrap()))
            .collect();
        assert_eq!(
            lines.len(),
            *excused,
            "blocks that are not run:\n{}",
            lines.join("\n")
        );
    }
}

#[test]
fn what_is_neither_run_nor_excused_is_a_fault() {
    let faults = |text: &str| {
        let page = Page::parse(Path::new("page.md"), text);
        [page.faults.clone(), Script::of(&page).faults].concat()
    };
    let sound = "```sh\nls\n```\n\n```text\na\n```\n\n<!-- not run: no such machine here -->\n```console\n# ls\n```\n";
    assert_eq!(faults(sound), Vec::<String>::new());
    for (text, fault) in [
        ("```\nls\n```\n", "do not know what to do"),
        ("```bash\nls\n```\n", "do not know what to do"),
        ("```console\nls\n```\n", "neither run nor excused"),
        ("```text\na\n```\n", "neither run nor excused"),
        (
            "```sh\nls\n```\n# Next\n```text\na\n```\n",
            "neither run nor excused",
        ),
        ("<!-- not run: no -->\n```console\nls\n```\n", "say why"),
        (
            "<!-- not run: it is a joke -->\n```sh\nls\n```\n",
            "could be run",
        ),
        (
            "<!-- not run: it is a joke -->\nText\n",
            "belongs directly before",
        ),
        ("<!-- to do -->\n", "do not know"),
        ("<!-- ctrl-c -->\n", "nothing runs"),
        ("Text\n\n    ls\n", "indented block"),
        ("~~~\nls\n~~~\n", "fenced with"),
        ("```sh\nls\n", "does not end"),
        ("```sh\ndockgate\nls\n```\n", "another terminal"),
        ("```sh\nsleep 5 &\n```\n", "how to wait"),
    ] {
        let found = faults(text);
        assert!(
            found.iter().any(|line| line.contains(fault)),
            "{text}{found:?}"
        );
    }
}

#[test]
fn what_a_page_shows_is_held_to_what_was_printed() {
    for (line, shown, like) in [
        ("abc", "abc", true),
        ("abc", "ab", false),
        ("abc", "a...", true),
        ("abc", "...c", true),
        ("abc", "...b...", true),
        ("abc", "b...", false),
        ("a1b2c", "a...b...c", true),
        ("a1b2c", "a...c...b", false),
    ] {
        assert_eq!(is_like(line, shown), like, "{line} {shown}");
    }
    let expected = |text: &str| Expected {
        line: 1,
        outputs: Vec::new(),
        text: text.to_owned(),
        whole: true,
    };
    assert!(shown(&expected("a\nc\n"), "a\nb\nc\n").is_ok());
    assert!(shown(&expected("c\na\n"), "a\nb\nc\n").is_err());
}
