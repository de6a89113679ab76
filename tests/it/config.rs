//! The configuration, as the person sees it who writes it: the reference file, the documentation, and every way to
//! get it wrong, through `dockgate check`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use dockgate::config::{
    AccessFormat, Authorization, Backend, Config, Loaded, Storage, UpstreamUrl, keys,
};

const URL: &str = "DOCKGATE_UPSTREAM_URL";

/// A variable, its value, and what is said about it.
const BAD_VARIABLES: &[(&str, &str, &str)] = &[
    (
        "DOCKGATE_LISTENER_0_ADDRESS",
        "0.0.0.0",
        "has no port; write \"0.0.0.0:443\"",
    ),
    (
        "DOCKGATE_LISTENER_ADDRESS",
        "0.0.0.0",
        "has no port; write \"0.0.0.0:443\"",
    ),
    ("DOCKGATE_LISTENER_0_TLS_KEY", "a.key", "has no certificate"),
    (
        "DOCKGATE_LISTENER_ADRESS",
        "0.0.0.0:443",
        "did you mean DOCKGATE_LISTENER_ADDRESS?",
    ),
    (
        "DOCKGATE_LISTENER_0_ADRESS",
        "0.0.0.0:443",
        "did you mean DOCKGATE_LISTENER_0_ADDRESS?",
    ),
    ("DOCKGATE_LISTENER_7_ADDRESS", "0.0.0.0:443", "begin with 0"),
    ("DOCKGATE_LISTENER_HTTP2", "yes", "neither true nor false"),
    (
        "DOCKGATE_UPSTREAM_MAX_CONNECTIONS",
        "many",
        "not a whole number",
    ),
    ("DOCKGATE_UPSTREAM_READ_TIMEOUT", "900", "write \"900s\""),
    (
        "DOCKGATE_UPSTREAM_URI",
        "http://localhost:5000",
        "did you mean DOCKGATE_UPSTREAM_URL?",
    ),
    ("DOCKGATE_AUTH_HTPASSWD", "", "is empty"),
    (
        "DOCKGATE_HEADERS_TRUSTED_PROXIES",
        "10.0.0.0/8,nonsense",
        "\"nonsense\" is neither",
    ),
    (
        "DOCKGATE_HEADERS_TRUSTED_PROXIES_0",
        "nonsense",
        "\"nonsense\" is neither",
    ),
    ("DOCKGATE_TOKEN_LIFETIME", "5s", "too short"),
    ("DOCKGATE_RULE_0_WHO", "nobody", "\"nobody\" is nobody"),
    ("DOCKGATE_RULE_1_WHO", "anonymous", "allows nothing"),
    ("DOCKGATE_ADMIN_ADDRESS", "9180", "has no address"),
    ("DOCKGATE_SOMETHING_ELSE", "1", "is not a setting"),
];

/// `dockgate check` in `folder`, with this environment and no other.
fn check(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .arg("check")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// A folder whose configuration says nothing, so that none of this machine's is found.
fn empty_configuration() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("proxy.toml"), "").unwrap();
    folder
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn owned(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = environment.iter();
    pairs
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

fn parse(text: &str, environment: &[(&str, &str)]) -> Loaded {
    Config::parse(text, Path::new("/etc/dockgate"), &owned(environment)).unwrap()
}

/// The reference with its settings switched on: those with a default, and the examples too if wanted.
fn reference(examples: bool) -> String {
    let text = fs::read_to_string("proxy.toml").unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
        Some(rest) if examples => rest.strip_prefix(": ").unwrap_or(line),
        _ => line,
    });
    // The explanation of the two kinds of lines, at the top, looks like them.
    let lines = lines.filter(|line| !line.starts_with("key = value"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The reference without the tables of this name: content comes from one place.
fn without(name: &str, text: &str) -> String {
    let mut dropped = false;
    let lines = text.lines().filter(|line| {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_matches(['[', ']']);
            dropped = table == name || table.starts_with(&format!("{name}."));
        }
        !dropped
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path to a value, as `listener.tls.certificate`.
fn paths(table: &toml::Table, above: &str, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = if above.is_empty() {
            key.clone()
        } else {
            format!("{above}.{key}")
        };
        match value {
            toml::Value::Table(table) => paths(table, &path, found),
            toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                items
                    .iter()
                    .filter_map(toml::Value::as_table)
                    .for_each(|table| paths(table, &path, found));
            }
            _ => {
                found.insert(path);
            }
        }
    }
}

#[test]
fn the_reference_is_the_default() {
    let upstream = [(URL, "http://localhost:5000")];
    let untouched = fs::read_to_string("proxy.toml").unwrap();
    let written = reference(false);
    for (environment, other, switched_on) in [
        (&upstream[..], "registry", "\nread_timeout = \"900s\""),
        (&[], "upstream", "\nupload_expiry = \"168h\""),
    ] {
        let default = parse("", environment).config;
        assert_eq!(parse(&untouched, environment).config, default);
        let written = without(other, &written);
        assert!(
            written.contains(switched_on),
            "nothing was switched on:\n{written}"
        );
        assert_eq!(parse(&written, environment).config, default);
    }
}

#[test]
fn the_reference_has_every_setting_and_no_other() {
    let table: toml::Table = toml::from_str(&reference(true)).unwrap();
    let mut written = BTreeSet::new();
    paths(&table, "", &mut written);
    assert_eq!(written, keys().into_iter().collect());
}

#[test]
fn the_examples_in_the_reference_are_right() {
    // Some of them only make sense together with a setting that is not the default.
    let text = without("registry", &reference(true))
        .replace("http://localhost:5000", "https://localhost:5000")
        .replace("client_auth = \"off\"", "client_auth = \"required\"")
        .replace("accept_terms = false", "accept_terms = true")
        .replace("challenge = \"tls-alpn-01\"", "challenge = \"http-01\"");
    let config = parse(&text, &[]).config;
    assert!(matches!(
        config.upstream().unwrap().authorization,
        Authorization::Own { .. }
    ));
    assert_eq!(config.limits.password_checks, 4);
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.more.len(), 1);
}

#[test]
fn the_examples_of_every_storage_are_right() {
    let text = without("upstream", &reference(true))
        .replace("client_auth = \"off\"", "client_auth = \"required\"")
        .replace("accept_terms = false", "accept_terms = true")
        .replace("challenge = \"tls-alpn-01\"", "challenge = \"http-01\"");
    let storages = ["filesystem", "s3", "azure", "gcs"];
    for storage in storages {
        let mut text = text.replace(
            "storage = \"filesystem\"",
            &format!("storage = \"{storage}\""),
        );
        for other in storages.iter().filter(|other| **other != storage) {
            text = without(&format!("registry.{other}"), &text);
        }
        // A service principal stands in place of the key.
        let text = text.replace("accountkey = \"...\"\n", "");
        let Backend::Registry(registry) = parse(&text, &[]).config.backend else {
            panic!("{storage}");
        };
        let chosen = match registry.storage {
            Storage::FileSystem { .. } => "filesystem",
            Storage::Memory => "memory",
            Storage::S3(_) => "s3",
            Storage::Azure(_) => "azure",
            Storage::Gcs(_) => "gcs",
        };
        assert_eq!(chosen, storage);
    }
}

#[test]
fn the_documentation_has_every_setting_and_no_other() {
    let text = fs::read_to_string("docs/configuration.md").unwrap();
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let documented: Vec<String> = rows.map(|(key, _)| key.to_owned()).collect();
    let once: BTreeSet<String> = documented.iter().cloned().collect();
    assert_eq!(documented.len(), once.len(), "a setting has two rows");
    assert_eq!(once, keys().into_iter().collect());
}

#[test]
fn c1_c3_every_bad_file_is_refused_with_the_faults_that_it_announces() {
    let folder = Path::new("tests/it/config/bad");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert_eq!(
            Path::new(&name).extension(),
            Some("toml".as_ref()),
            "{name}"
        );
        let text = fs::read_to_string(folder.join(&name)).unwrap();
        let announced: Vec<&str> = text
            .lines()
            .map_while(|line| line.strip_prefix("#! "))
            .collect();
        assert!(!announced.is_empty(), "{name} announces nothing");
        let output = check(folder, &["--config", &name], &[]);
        assert_eq!(
            stderr(&output).lines().collect::<Vec<_>>(),
            announced,
            "{name}"
        );
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(output.stdout.is_empty(), "{name}");
        files += 1;
    }
    assert!(files >= 35, "only {files} bad files were found");
}

#[test]
fn c6_c8_a_check_reads_every_file_that_serving_would_read_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let tls = "[[listener]]\n[listener.tls]\n[upstream]\nurl = \"http://localhost:5000\"\n";
    write(
        "proxy.toml",
        &format!("{tls}[auth]\nhtpasswd = \"users\"\n"),
    );
    write("users", "ann:{PLAIN}secret\nbob:nonsense\n");
    let output = check(folder.path(), &[], &[]);
    assert!(output.status.success(), "{output:?}");
    let said = stderr(&output);
    assert!(
        said.contains("users\", line 2: what follows the colon is not a hash"),
        "{said}"
    );
    assert!(!folder.path().join("dockgate-data").exists());

    fs::remove_file(folder.path().join("users")).unwrap();
    let client = "client_ca = \"ca.crt\"\nclient_auth = \"required\"\n[upstream]";
    let text = format!("{tls}ca = \"upstream.crt\"\n[auth]\nhtpasswd = \"users\"\n");
    write(
        "proxy.toml",
        &text
            .replace("[upstream]", client)
            .replace("http:", "https:"),
    );
    let output = check(folder.path(), &[], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = stderr(&output);
    for missing in [
        "ca.crt: cannot be read",
        "users\"; make it with",
        "upstream.crt: cannot be read",
    ] {
        assert!(said.contains(missing), "no {missing:?} in\n{said}");
    }
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn c2_a_file_of_something_else_does_not_flood_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("log.toml", "GET /v2/ 200 curl\n".repeat(50_000)),
        (
            "keys.toml",
            (0..50_000).fold(String::new(), |text, n| text + &format!("key{n} = 1\n")),
        ),
        ("deep.toml", format!("a = {}", "[".repeat(500_000))),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
        let output = check(folder.path(), &["--config", name], &[]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = stderr(&output);
        assert!(
            said.lines().count() <= 101 && said.len() < 20_000,
            "{name}: {}",
            said.len()
        );
    }
}

#[test]
fn c2_a_file_that_cannot_be_read_is_named_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("latin1.toml"), b"# caf\xe9\n").unwrap();
    fs::write(folder.path().join("big.toml"), vec![b'#'; 10 << 20]).unwrap();
    fs::create_dir(folder.path().join("folder.toml")).unwrap();
    for (name, cause) in [
        ("missing.toml", "no such file"),
        ("latin1.toml", "not UTF-8"),
        ("big.toml", "longer than 1 MiB"),
        ("folder.toml", "a folder"),
        ("big.toml/proxy.toml", "cannot be read"),
        ("/dev/null", "not a regular file"),
    ] {
        let output = check(folder.path(), &["--config", name], &[]);
        let said = stderr(&output);
        assert!(
            said.starts_with(&format!("{name}: ")) && said.contains(cause),
            "{name}: {said}"
        );
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
}

#[test]
fn c1_faults_of_the_environment_name_the_variable() {
    for &(name, value, said) in BAD_VARIABLES {
        let folder = empty_configuration();
        let environment = [(URL, "http://localhost:5000"), (name, value)];
        let output = check(folder.path(), &[], &environment);
        let faults = stderr(&output);
        let [line] = faults.lines().collect::<Vec<_>>()[..] else {
            panic!("{name}: not one fault: {faults}");
        };
        assert!(
            line.starts_with(&format!("{name}: ")) && line.contains(said),
            "{line}"
        );
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
}

#[test]
fn one_setting_under_two_names_is_refused() {
    let folder = empty_configuration();
    let environment = [
        (URL, "http://localhost:5000"),
        ("DOCKGATE_LISTENER_ADDRESS", "127.0.0.1:1"),
        ("DOCKGATE_LISTENER_0_ADDRESS", "127.0.0.1:2"),
    ];
    let output = check(folder.path(), &[], &environment);
    assert!(
        stderr(&output).contains("means the same as DOCKGATE_LISTENER_0_ADDRESS"),
        "{output:?}"
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_list_under_both_forms_of_its_name_is_refused() {
    let environment = owned(&[
        (URL, "http://localhost:5000"),
        ("DOCKGATE_HEADERS_TRUSTED_PROXIES", "10.0.0.0/8"),
        ("DOCKGATE_HEADERS_TRUSTED_PROXIES_0", "192.168.0.0/16"),
    ]);
    let faults = Config::parse("", Path::new(""), &environment).unwrap_err();
    assert!(faults.to_string().contains("numbered form"), "{faults}");
}

#[test]
fn a_list_from_the_environment_replaces_the_one_of_the_file() {
    let file = "[headers]\ntrusted_proxies = [\"10.0.0.0/8\"]\n[upstream]\nurl = \"http://a\"\n";
    for (name, value, left) in [
        ("DOCKGATE_HEADERS_TRUSTED_PROXIES", "", 0),
        ("DOCKGATE_HEADERS_TRUSTED_PROXIES_0", "::1", 1),
    ] {
        let proxies = parse(file, &[(name, value)]).config.headers.trusted_proxies;
        assert_eq!(proxies.len(), left, "{name}");
        assert!(!proxies.contains(&"10.0.0.0/8".parse().unwrap()), "{name}");
    }
}

#[test]
fn what_a_container_platform_sets_is_warned_of_and_ignored() {
    let folder = empty_configuration();
    let environment = [
        (URL, "http://localhost:5000"),
        ("DOCKGATE_PORT", "tcp://10.0.0.7:443"),
        ("DOCKGATE_PORT_443_TCP_ADDR", "10.0.0.7"),
        ("DOCKGATE_SERVICE_HOST", "10.0.0.7"),
        ("DOCKGATE_ADMIN_SERVICE_HOST", "10.0.0.8"),
        ("KUBERNETES_PORT", "tcp://10.0.0.1:443"),
    ];
    let output = check(folder.path(), &[], &environment);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = stderr(&output);
    for name in [
        "DOCKGATE_PORT",
        "DOCKGATE_SERVICE_HOST",
        "DOCKGATE_ADMIN_SERVICE_HOST",
    ] {
        assert!(said.contains(&format!("warning: {name}: ")), "{said}");
    }
    assert!(!said.contains("KUBERNETES"), "{said}");
}

#[test]
fn the_environment_beats_the_file() {
    let file = "[upstream]\nurl = \"http://file:5000\"\nread_timeout = \"1s\"\n[log]\naccess = \"json\"\n\
                [[listener]]\naddress = \"127.0.0.1:1\"\n[headers]\ntrusted_proxies = [\"10.0.0.0/8\"]\n";
    let config = parse(
        file,
        &[
            (URL, "unix:/run/registry.sock"),
            ("DOCKGATE_LOG_ACCESS", "true"),
            ("DOCKGATE_LISTENER_1_ADDRESS", "127.0.0.1:2"),
            (
                "DOCKGATE_HEADERS_TRUSTED_PROXIES",
                "192.168.0.0/16, 172.16.0.0/12",
            ),
            ("DOCKGATE_HEADERS_STRICT_TRANSPORT_SECURITY", ""),
        ],
    )
    .config;
    assert_eq!(
        config.upstream().unwrap().url,
        UpstreamUrl::Unix("/run/registry.sock".into())
    );
    assert_eq!(config.upstream().unwrap().read_timeout.as_secs(), 1);
    assert_eq!(config.log.access, Some(AccessFormat::Combined));
    assert_eq!(config.listeners.len(), 2);
    assert!(config.listeners[0].tls.is_none() && config.listeners[1].tls.is_some());
    assert_eq!(config.headers.trusted_proxies.len(), 2);
    assert_eq!(config.headers.strict_transport_security, None);
}

#[test]
fn every_setting_can_come_from_the_environment() {
    let lists = ["clients.reject_user_agents", "headers.trusted_proxies"];
    for key in keys() {
        let name = format!("DOCKGATE_{}", key.replace('.', "_").to_ascii_uppercase());
        // A value that nothing takes: whoever reads the variable complains about it by its name.
        let value = if lists.contains(&key.as_str()) {
            "("
        } else {
            "~\u{1}\""
        };
        let own = [(URL, "http://localhost:5000"), (&*name, value)];
        let environment = owned(if key.starts_with("registry.") {
            &own[1..]
        } else {
            &own
        });
        let faults = Config::parse("", Path::new(""), &environment).unwrap_err();
        let complaint = faults
            .lines()
            .iter()
            .find(|line| line.starts_with(&format!("{name}: ")));
        assert!(
            complaint.is_some_and(|line| !line.contains("is not a setting")),
            "{name}: {faults}"
        );
    }
}

#[test]
fn paths_begin_at_the_folder_of_the_file() {
    let file = "state_dir = \"../state\"\n[upstream]\nurl = \"unix:registry.sock\"\n[auth]\nhtpasswd = \"./htpasswd\"\n";
    let config = parse(file, &[]).config;
    assert_eq!(config.state_dir, Path::new("/etc/dockgate/../state"));
    assert_eq!(
        config.auth.htpasswd.as_deref(),
        Some(Path::new("/etc/dockgate/htpasswd"))
    );
    assert_eq!(
        config.upstream().unwrap().url,
        UpstreamUrl::Unix("/etc/dockgate/registry.sock".into())
    );
    assert_eq!(
        parse("", &[(URL, "http://a")]).config.state_dir,
        Path::new("/etc/dockgate/dockgate-data")
    );
}

#[test]
fn a7_passwords_in_clear_and_closed_doors_are_warned_of() {
    let warned = |text: &str| {
        parse(text, &[(URL, "http://localhost:5000")])
            .warnings
            .join("\n")
    };
    let open = "[[listener]]\naddress = \"0.0.0.0:80\"\nplaintext = true\n[auth]\nhtpasswd = \"htpasswd\"\n";
    assert!(
        warned(open).contains("reads the passwords"),
        "{}",
        warned(open)
    );
    assert!(warned("").contains("nobody can come in"));
    assert!(warned("[auth]\nhtpasswd = \"htpasswd\"\n").is_empty());
    assert!(warned("[auth]\nanonymous = \"pull\"\n").is_empty());
    let admin = |address: &str| {
        warned(&format!(
            "[auth]\nanonymous = \"pull\"\n[admin]\naddress = \"{address}\"\n"
        ))
    };
    assert!(admin("0.0.0.0:9180").contains("open to the network"));
    for private in ["127.0.0.1:9180", "[::1]:9180", "unix:/run/admin.sock"] {
        assert_eq!(admin(private), "");
    }
    let everybody = "[auth]\nanonymous = \"pull\"\n[headers]\ntrusted_proxies = [\"0.0.0.0/0\"]\n";
    assert!(
        warned(everybody).starts_with("proxy.toml:4: headers.trusted_proxies: "),
        "{}",
        warned(everybody)
    );
}

#[test]
fn c9_a_reload_names_what_it_cannot_change() {
    let base = "[[listener]]\naddress = \"127.0.0.1:1\"\n[upstream]\nurl = \"http://a\"\n";
    let old = parse(base, &[]).config;
    let differences =
        |environment: &[(&str, &str)]| old.frozen_differences(&parse(base, environment).config);
    assert!(differences(&[]).is_empty());
    for (name, value) in [
        ("DOCKGATE_UPSTREAM_URL", "http://b"),
        ("DOCKGATE_AUTH_REALM", "other"),
        ("DOCKGATE_LIMITS_BODY_SIZE", "1 GiB"),
    ] {
        assert!(differences(&[(name, value)]).is_empty(), "{name}");
    }
    for (name, value, said) in [
        ("DOCKGATE_STATE_DIR", "/other", vec!["state_dir"]),
        (
            "DOCKGATE_ADMIN_ADDRESS",
            "127.0.0.1:9180",
            vec!["admin.address: \"none\" stays"],
        ),
        (
            "DOCKGATE_LISTENER_ADDRESS",
            "127.0.0.1:2",
            vec!["127.0.0.1:1 stays open", "127.0.0.1:2 stays closed"],
        ),
        (
            "DOCKGATE_LISTENER_PROXY_PROTOCOL",
            "true",
            vec!["listener.proxy_protocol of 127.0.0.1:1"],
        ),
        (
            "DOCKGATE_LISTENER_TLS_MIN_VERSION",
            "1.3",
            vec!["listener.tls of 127.0.0.1:1"],
        ),
        (
            "DOCKGATE_LIMITS_CONNECTIONS",
            "7",
            vec!["limits.connections: 10000 stays"],
        ),
        ("DOCKGATE_LOG_LEVEL", "debug", vec!["log.level"]),
    ] {
        let differences = differences(&[(name, value)]);
        assert_eq!(differences.len(), said.len(), "{differences:?}");
        for (difference, said) in differences.iter().zip(said) {
            assert!(difference.contains(said), "{difference}");
        }
    }
}

#[test]
fn the_container_of_old_is_recognised_by_its_variables() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("REGISTRY_HOST", "docker-registry"),
        ("REGISTRY_PORT", "5000"),
    ];
    let output = check(folder.path(), &[], &environment);
    assert!(
        stderr(&output).contains("containersol/docker-registry-proxy"),
        "{output:?}"
    );
}
