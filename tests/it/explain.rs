//! `dockgate explain`: the rule that decides, told by the program itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::certs::Authority;

/// A gate's configuration with rules; line numbers matter below.
const RULES: &str = r#"[[listener]]
address = "127.0.0.1:0"
[listener.tls]
certificate = "server.crt"
key = "server.key"
client_ca = "ca.crt"
client_auth = "optional"
[upstream]
url = "http://localhost:5000"
[auth]
htpasswd = "htpasswd"
groups = "groups"
[[rule]]
who = ["anonymous"]
repositories = ["public/**"]
actions = ["pull"]
[[rule]]
who = ["user:alice"]
repositories = ["team/*"]
actions = ["push"]
[[rule]]
who = ["cert:build-*"]
repositories = ["**"]
actions = ["*"]
[[rule]]
who = ["group:ci"]
repositories = ["build/**"]
actions = ["pull", "delete"]
"#;

struct Site {
    dir: TempDir,
    authority: Authority,
}

impl Site {
    fn new(toml: &str) -> Self {
        let site = Self {
            dir: TempDir::with_prefix("dockgate-explain-").unwrap(),
            authority: Authority::new("the CA of explain"),
        };
        let server = site.authority.server();
        fs::copy(&server.certificate, site.path("server.crt")).unwrap();
        fs::copy(&server.key, site.path("server.key")).unwrap();
        fs::copy(site.authority.ca(), site.path("ca.crt")).unwrap();
        fs::write(site.path("htpasswd"), "alice:{PLAIN}a\n").unwrap();
        fs::write(site.path("groups"), "ci: alice bob\n").unwrap();
        fs::write(site.path("proxy.toml"), toml).unwrap();
        site
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Exit code, standard output and standard error.
    fn explain(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_dockgate"))
            .arg("explain")
            .arg("--config")
            .arg(self.path("proxy.toml"))
            .args(words)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    #[track_caller]
    fn says(&self, words: &[&str], code: i32, sentence: &str) {
        let (ended, said, errors) = self.explain(words);
        assert_eq!(ended, Some(code), "{words:?}: {said}{errors}");
        let told = if code == 2 { &errors } else { &said };
        assert!(told.contains(sentence), "{words:?}: {said}{errors}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_rule_that_decides_is_named_with_its_line() {
    let site = Site::new(RULES);
    site.says(&["pull", "public/app:1"], 0, "allowed: rule 1 (line 13)");
    site.says(&["pull", "team/app:1"], 1, "denied: no rule lets");
    let alice = |rest: &[&str], code, sentence: &str| {
        site.says(
            &[&["--user", "alice", "--from", "10.0.0.7"], rest].concat(),
            code,
            sentence,
        );
    };
    alice(&["push", "team/app:1"], 0, "allowed: rule 2 (line 17)");
    alice(
        &["push", "team/app:1"],
        0,
        "clients read while they push, and that is denied",
    );
    alice(&["push", "team/app:1"], 0, "proxy.toml");
    alice(
        &["push", "team/app/deep:1"],
        1,
        "denied: no rule lets alice push to team/app/deep",
    );
    alice(&["delete", "team/app"], 1, "denied");
    alice(&["catalog"], 1, "denied");
    alice(
        &["delete", "build/a/b"],
        0,
        "allowed: rule 4 (line 25): group ci",
    );
    site.says(
        &["--user", "mallory", "pull", "public/app"],
        1,
        "holds no user \"mallory\"",
    );
}

#[test]
fn a_certificate_is_judged_by_its_names() {
    let site = Site::new(RULES);
    let (build, other) = (
        site.authority.client("build-7"),
        site.authority.client("eve"),
    );
    let (build, other) = (text(&build.certificate), text(&other.certificate));
    site.says(
        &["--cert", build, "delete", "a/b"],
        0,
        "allowed: rule 3 (line 21)",
    );
    site.says(&["--cert", build, "catalog"], 0, "allowed: rule 3");
    site.says(&["--cert", other, "delete", "a/b"], 1, "denied");
    site.says(&["--cert", "/nowhere", "pull", "a"], 2, "/nowhere");
    let blind = Site::new(
        &RULES
            .replace("client_auth = \"optional\"", "client_auth = \"off\"")
            .replace("client_ca = \"ca.crt\"\n", ""),
    );
    blind.says(
        &["--cert", build, "delete", "a/b"],
        1,
        "no listener asks for client certificates",
    );
}

#[test]
fn a_listener_that_asks_everybody_for_a_certificate_comes_before_the_rules() {
    let site = Site::new(&RULES.replace("\"optional\"", "\"required\""));
    site.says(
        &["pull", "public/app"],
        1,
        "every listener asks for a client certificate",
    );
    let build = site.authority.client("build-7");
    site.says(
        &["--cert", text(&build.certificate), "pull", "public/app"],
        0,
        "allowed",
    );
}

#[test]
fn a_wrong_question_is_told_from_a_denial() {
    let site = Site::new(RULES);
    for (words, sentence) in [
        (&["fly", "a"][..], "fly"),
        (&["pull"], "REPOSITORY"),
        (&["pull", "Team/App"], "lower-case"),
        (
            &["pull", "registry.test:5000/team/app:1"],
            "without the registry's host",
        ),
        (&["--from", "nowhere", "pull", "a"], "nowhere"),
        (&[], "Usage"),
    ] {
        site.says(words, 2, sentence);
    }
    let broken = Site::new(&RULES.replace("actions", "actoins"));
    broken.says(&["pull", "a"], 2, "actoins");
}
