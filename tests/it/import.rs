//! `dockgate import nginx`, as the person sees it who has a file of nginx and wants to be rid of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dockgate::config::Config;
use tempfile::TempDir;

use crate::support::certs::Authority;
use crate::support::examples;
use crate::support::passwords;
use crate::support::process;
use crate::support::program::dockgate;

/// What `dockgate import nginx` says in this folder: its exit code and its two streams.
fn import(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    run(folder, &[&["import", "nginx"], arguments].concat())
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = dockgate()
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::with_prefix("dockgate-import-").unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// A site that is all over the folder of nginx, as Debian has it.
const SPREAD: &[(&str, &str)] = &[
    (
        "nginx.conf",
        "user www-data;\nevents { worker_connections 768; }\nhttp {\n  sendfile on;\n  include conf.d/*.conf;\n  include sites-enabled/*;\n}\n",
    ),
    (
        "sites-enabled/default",
        "server { listen 80 default_server; root /var/www/html; }\n",
    ),
    (
        "sites-enabled/registry",
        "server {\n  listen 127.0.0.1:0 ssl;\n  ssl_certificate ssl/server.crt;\n  ssl_certificate_key ssl/server.key;\n  \
         client_max_body_size 0;\n  location /v2/ {\n    auth_basic \"Registry realm\";\n    auth_basic_user_file htpasswd;\n    \
         include snippets/proxy.conf;\n    proxy_set_header X-Nginx-Proxy true;\n    proxy_pass http://127.0.0.1:5000;\n  }\n}\n",
    ),
    (
        "snippets/proxy.conf",
        "proxy_set_header Host $http_host;\nproxy_read_timeout 900;\n",
    ),
];

#[test]
fn a_site_that_is_spread_over_files_becomes_one_that_check_accepts() {
    let dir = folder(SPREAD);
    let authority = Authority::new("import");
    let pair = authority.server();
    fs::create_dir(dir.path().join("ssl")).unwrap();
    fs::copy(pair.certificate, dir.path().join("ssl/server.crt")).unwrap();
    fs::copy(pair.key, dir.path().join("ssl/server.key")).unwrap();
    passwords::write(&dir.path().join("htpasswd"), "alice", "secret");
    // Away from nginx's own folder: relative paths have become whole ones.
    let out = TempDir::new().unwrap();
    let file = dir.path().join("nginx.conf");
    let (code, text, said) = import(out.path(), &[file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.contains("lines of nginx:"), "{said}");
    for (line, fate) in [
        ("nginx.conf:5: include conf.d/*.conf", "carried: 0 files"),
        (
            "sites-enabled/default:1: server",
            "NOT CARRIED: is another site",
        ),
        (
            "sites-enabled/registry:8: auth_basic_user_file htpasswd",
            "carried: auth.htpasswd",
        ),
        (
            "snippets/proxy.conf:2: proxy_read_timeout 900",
            "carried: upstream.read_timeout",
        ),
        (
            "sites-enabled/registry:10: proxy_set_header X-Nginx-Proxy",
            "NOT CARRIED",
        ),
    ] {
        let line = format!("# {}/{line}: {fate}", dir.path().display());
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert!(
        said.contains("X-Nginx-Proxy") && said.contains("another site"),
        "{said}"
    );
    fs::write(out.path().join("proxy.toml"), text).unwrap();
    let (code, _, said) = run(out.path(), &["check"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn strict_tells_by_its_exit_code_that_something_was_left_out() {
    let dir = folder(SPREAD);
    assert_eq!(import(dir.path(), &["--strict", "nginx.conf"]).0, Some(1));
    let whole = "location / { auth_basic x; auth_basic_user_file u; proxy_pass http://r; }";
    let dir = folder(&[("whole.conf", whole)]);
    assert_eq!(import(dir.path(), &["--strict", "whole.conf"]).0, Some(0));
}

#[test]
fn a_file_that_is_there_is_not_overwritten_unless_it_is_said() {
    let dir = folder(SPREAD);
    fs::write(dir.path().join("proxy.toml"), "mine").unwrap();
    let (code, _, said) = import(dir.path(), &["nginx.conf", "--output", "proxy.toml"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("proxy.toml: is there already") && said.contains("--force"),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(dir.path().join("proxy.toml")).unwrap(),
        "mine"
    );
    let (code, out, said) = import(
        dir.path(),
        &["nginx.conf", "--output", "proxy.toml", "--force"],
    );
    assert_eq!((code, out.as_str()), (Some(0), ""), "{said}");
    let text = fs::read_to_string(dir.path().join("proxy.toml")).unwrap();
    assert!(text.contains("[upstream]"), "{text}");
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["nginx.conf", "proxy.toml", "sites-enabled", "snippets"],
        "nothing is left behind"
    );
}

#[test]
fn what_nginx_could_not_read_is_named_with_file_line_and_column() {
    for (text, said) in [
        (
            "server {\n  listen 443 ssl\n}\n",
            "a.conf:3:1: unexpected }, expecting ;",
        ),
        (
            "server {\n  auth_basic \"x;\n}\n",
            "a.conf:2:14: unexpected end of file, expecting the \"",
        ),
        (
            "server {\n  listen 443;\n",
            "a.conf:3:1: unexpected end of file, expecting }",
        ),
        ("}\n", "a.conf:1:1: unexpected }"),
        (
            "server {\n  include a.conf;\n}\n",
            "a.conf:2:3: include a.conf: includes itself: ",
        ),
        ("include none.conf;\n", "a.conf:1:1: include none.conf: "),
        ("a \0;\n", "a.conf:1:3: unexpected NUL"),
    ] {
        let dir = folder(&[("a.conf", text)]);
        let (code, out, err) = import(dir.path(), &["a.conf"]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{text}: {err}");
        assert!(err.contains(said), "{text}: {err}");
    }
    let dir = folder(&[]);
    let (code, _, err) = import(dir.path(), &["nowhere.conf"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("nowhere.conf: there is no such file"), "{err}");
    let (code, _, err) = import(dir.path(), &["."]);
    assert_eq!(code, Some(2));
    assert!(err.contains("not a regular file"), "{err}");
}

#[test]
fn hostile_files_are_refused_in_no_time() {
    const PATIENCE: Duration = Duration::from_secs(20);
    for (what, text) in [
        ("ten megabytes", "a b;\n".repeat(2 << 20)),
        ("a million blocks", "a {\n".repeat(1 << 20)),
        ("a long word", "a".repeat(7 << 20)),
        ("an open quote", format!("a \"{}", "b ".repeat(3 << 20))),
        ("noise", "\u{0}\u{1}{};\"\\".repeat(1 << 16)),
    ] {
        let dir = folder(&[("a.conf", &text)]);
        let mut command = dockgate();
        command
            .args(["import", "nginx", "a.conf"])
            .current_dir(dir.path());
        let outcome = process::run_within(&mut command, PATIENCE);
        let said = outcome.to_string();
        assert!(
            said.len() < 2000 && !said.contains("panicked"),
            "{what}: {said}"
        );
        outcome.fails_saying("a.conf", what);
    }
}

#[test]
fn what_would_let_in_more_needs_consent_and_stays_written_down() {
    let text = "server {\n listen 127.0.0.1:0;\n location / {\n  allow 10.0.0.0/8;\n  deny all;\n  proxy_pass http://r;\n }\n}\n";
    let dir = folder(&[("a.conf", text)]);
    let (code, out, err) = import(dir.path(), &["a.conf", "--output", "proxy.toml"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(
        err.contains("a.conf:4:3: allow 10.0.0.0/8: NOT CARRIED, more open")
            && err.contains("--partial"),
        "{err}"
    );
    assert!(!dir.path().join("proxy.toml").exists());
    let (code, out, err) = import(dir.path(), &["a.conf", "--partial"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("allow 10.0.0.0/8: NOT CARRIED, more open"),
        "{out}"
    );
    // Nothing else was left to guard it, so it is shut.
    assert!(
        !out.contains("anonymous = ") && !out.contains("\"anonymous\""),
        "{out}"
    );
}

/// The lines of nginx that a page shows, and the file of ours beside them.
fn shown(example: &str) -> (String, Config) {
    let folder = examples::root().join(example);
    let page = fs::read_to_string(folder.join("README.md")).unwrap();
    let between = |begin: &str, end: &str| {
        let (_, rest) = page.split_once(begin)?;
        rest.split_once(end).map(|(inside, _)| inside.to_owned())
    };
    let lines = between("```nginx\n", "```").or_else(|| between("<<'NGINX'\n", "\nNGINX\n"));
    let ours = Config::load(Some(&folder.join("proxy.toml")), &[]).unwrap();
    (lines.unwrap(), ours.config)
}

#[test]
fn the_lines_that_the_pages_show_become_the_files_that_they_show() {
    for example in [
        "azure-basic-auth",
        "client-certificates",
        "nginx-recipe",
        "public-pull",
    ] {
        let (lines, ours) = shown(example);
        let dir = folder(&[("nginx.conf", &lines)]);
        let (code, text, said) = import(dir.path(), &["nginx.conf"]);
        assert_eq!(code, Some(0), "{example}: {said}");
        let imported = Config::parse(&text, Path::new("/"), &[]).unwrap().config;
        assert_eq!(imported.auth, ours.auth, "{example}");
        assert_eq!(imported.rules, ours.rules, "{example}");
        let ask = |config: &Config| {
            let tls = config.listeners.first()?.tls.as_ref()?;
            Some(tls.client_auth)
        };
        assert_eq!(ask(&imported), ask(&ours), "{example}");
    }
}
