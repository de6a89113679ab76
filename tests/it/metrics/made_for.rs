//! What is made for others holds: the page, the alerts and the dashboard speak of numbers that the gate has, and
//! Prometheus itself reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

use super::gates::{NOTHING, start};
use crate::support::ask::{ask, basic};
use crate::support::certs::Authority;
use crate::support::dialog::{Dialog, Tls};
use crate::support::house::eventually;
use crate::support::peers::{NAME, need};
use crate::support::process::{self, Daemon};
use crate::support::program::Program;
use crate::support::scrape::Scrape;
use crate::support::upstream::Upstream;

const PAGE: &str = "docs/operations.md";
const ALERTS: &str = "deploy/prometheus/alerts.yml";
const DASHBOARD: &str = "deploy/grafana/dockgate.json";

/// A gate that has done something of everything, so that each metric has a series.
struct Busy {
    gate: Program,
    _authority: Authority,
    _upstream: Upstream,
}

fn busy() -> Busy {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    let authority = Authority::new("everything");
    let pair = authority.server();
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"ca.crt\"\n\
         client_crl = \"crl.pem\"\nclient_auth = \"optional\"\n[admin]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n\
         [auth]\nhtpasswd = \"htpasswd\"\nanonymous = \"pull\"\n",
        pair.certificate.display(),
        pair.key.display(),
        upstream.url()
    );
    let gate = Program::start_with(&toml, |dir| {
        fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
        let ca = rcgen_list(dir);
        fs::write(dir.join("ca.crt"), ca).unwrap();
    });
    let tls = Tls::new(authority.ca(), NAME);
    for (path, headers, status) in [
        ("/v2/a/manifests/1", &[][..], 200),
        ("/v2/", &[("Authorization", "Basic YW5uOmd1ZXNz")], 401),
        ("/v2/token?service=x&scope=repository:a:pull", &[], 200),
    ] {
        let answer = Dialog::tls(gate.address(0), &tls).ask("GET", path, headers, b"");
        assert_eq!(answer.status, status, "{path}: {}", answer.head);
    }
    Scrape::until(gate.admin(), "three requests", |s| {
        s.sum("dockgate_requests_total", &[]) >= 3.0
    });
    Busy {
        gate,
        _authority: authority,
        _upstream: upstream,
    }
}

/// A CA, and its empty list as `crl.pem`.
fn rcgen_list(dir: &Path) -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![
        rcgen::KeyUsagePurpose::KeyCertSign,
        rcgen::KeyUsagePurpose::CrlSign,
    ];
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "clients");
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2024, 1, 1),
        next_update: rcgen::date_time_ymd(2090, 1, 1),
        crl_number: rcgen::SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&issuer).unwrap();
    fs::write(dir.join("crl.pem"), list.pem().unwrap()).unwrap();
    issuer.pem()
}

/// A row of the page's table: kind, and labels.
type Row = (String, Vec<String>);

fn words(cell: &str) -> Vec<String> {
    let words = cell.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

fn page() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(PAGE).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, _] = cells[..] else {
            return None;
        };
        let [name] = &words(name)[..] else {
            return None;
        };
        let row = (kind.to_owned(), words(labels));
        name.starts_with("dockgate_").then(|| (name.clone(), row))
    });
    rows.collect()
}

#[test]
fn the_page_has_every_metric_with_its_kind_and_labels_and_no_other() {
    let busy = busy();
    let told = Scrape::of(busy.gate.admin());
    let kinds = told.kinds();
    let of_gate = kinds.iter().map(|(name, kind)| {
        let mut labels = told.labels(name);
        labels.sort();
        (name.clone(), (kind.clone(), labels))
    });
    let of_gate: BTreeMap<_, _> = of_gate.collect();
    let of_page = page().into_iter().map(|(name, (kind, mut labels))| {
        labels.sort();
        (name, (kind, labels))
    });
    assert_eq!(of_page.collect::<BTreeMap<_, _>>(), of_gate);

    // And every word that a label may have, but for addresses, files, statuses, versions and reasons of the log.
    let text = fs::read_to_string(PAGE).unwrap();
    let label = Regex::new("([a-z_]+)=\"([^\"]*)\"").unwrap();
    for series in told.text.lines().filter(|line| !line.starts_with('#')) {
        for found in label.captures_iter(series) {
            let (name, word) = (&found[1], &found[2]);
            let free = ["le", "listener", "file", "status", "commit"].contains(&name)
                || (name == "reason" && series.starts_with("dockgate_refusals_total"))
                || series.starts_with("dockgate_build_info")
                || name == "resumed";
            assert!(
                free || text.contains(&format!("`{word}`")),
                "{PAGE} lacks `{word}`: {series}"
            );
        }
    }
}

#[test]
fn reasons_of_refusals_are_those_of_the_security_page() {
    let busy = busy();
    let told = Scrape::of(busy.gate.admin());
    let page = fs::read_to_string("docs/security.md").unwrap();
    let mut seen = 0;
    for (series, _) in told.all("dockgate_refusals_total", &[]) {
        let reason = series.split('"').nth(1).unwrap();
        assert!(page.contains(&format!("`{reason}`")), "{reason}");
        seen += 1;
    }
    assert!(seen > 0);
}

/// Names of metrics in an expression, without what a histogram adds.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\bdockgate_[a-z_]+").unwrap();
    let names = name.find_iter(text).map(|found| found.as_str());
    let bare = |name: &str| {
        let ends = ["_bucket", "_count", "_sum"];
        let base = ends.iter().find_map(|end| name.strip_suffix(end));
        base.unwrap_or(name).to_owned()
    };
    names.map(bare).collect()
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "expr" || key == "definition" => {
                        found.push(text.clone());
                    }
                    value => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

fn dashboard() -> Vec<String> {
    let text = fs::read_to_string(DASHBOARD).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    expressions(&value, &mut found);
    assert!(found.len() > 30, "{found:?}");
    found
}

#[test]
fn alerts_and_dashboard_speak_of_metrics_that_there_are_and_the_dashboard_of_all() {
    let known: BTreeSet<String> = page().into_keys().collect();
    let rules = fs::read_to_string(ALERTS).unwrap();
    let exprs = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with("description"));
    let in_rules = metrics_in(&exprs.collect::<Vec<_>>().join("\n"));
    assert!(in_rules.len() > 10, "{in_rules:?}");
    assert!(
        in_rules.is_subset(&known),
        "{:?}",
        in_rules.difference(&known)
    );
    let in_dashboard = metrics_in(&dashboard().join("\n"));
    assert_eq!(
        in_dashboard, known,
        "the dashboard leaves something out, or shows what is not there"
    );
    // Every alert has its line on the page.
    let text = fs::read_to_string(PAGE).unwrap();
    let mut alerts = 0;
    for alert in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(text.contains(&format!("`{alert}`")), "{PAGE} lacks {alert}");
        alerts += 1;
    }
    assert!(alerts > 10);
}

fn promtool(arguments: &[&str]) -> process::Outcome {
    let mut command = Command::new("promtool");
    process::run(command.args(arguments))
}

#[test]
fn the_alerts_do_what_their_tests_say() {
    if !need(&["promtool"]) {
        return;
    }
    let _ = promtool(&["check", "rules", ALERTS]).succeeds("the rules are rules");
    let _ = promtool(&["check", "config", "deploy/prometheus/prometheus.yml"])
        .succeeds("a configuration");
    let _ = promtool(&["test", "rules", "deploy/prometheus/alerts_test.yml"])
        .succeeds("every test holds");
    let tests = fs::read_to_string("deploy/prometheus/alerts_test.yml").unwrap();
    let rules = fs::read_to_string(ALERTS).unwrap();
    for alert in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        let fires = format!("labels: 'ALERTS{{alertname=\"{alert}\"");
        assert!(tests.contains(&fires), "no test sees {alert} fire");
    }
}

#[test]
fn the_dashboard_asks_what_prometheus_understands() {
    if !need(&["promtool"]) {
        return;
    }
    let exprs = dashboard()
        .into_iter()
        .filter(|text| !text.starts_with("label_values("));
    let rules = exprs.enumerate().fold(String::new(), |all, (n, expr)| {
        let expr = expr
            .replace("$__rate_interval", "5m")
            .replace("$instance", ".*");
        assert!(!expr.contains('$'), "{expr}");
        all + &format!(
            "      - record: r:{n}\n        expr: {}\n",
            serde_json::to_string(&expr).unwrap()
        )
    });
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("rules.yml");
    fs::write(
        &file,
        format!("groups:\n  - name: dashboard\n    rules:\n{rules}"),
    )
    .unwrap();
    let _ =
        promtool(&["check", "rules", file.to_str().unwrap()]).succeeds("every panel's question");
}

#[test]
fn promtool_finds_no_fault_with_names_and_types() {
    if !need(&["promtool"]) {
        return;
    }
    let busy = busy();
    let dir = TempDir::new().unwrap();
    fs::write(
        dir.path().join("metrics"),
        Scrape::of(busy.gate.admin()).text,
    )
    .unwrap();
    let mut command = Command::new("sh");
    command
        .current_dir(dir.path())
        .args(["-c", "promtool check metrics <metrics 2>&1"]);
    let said = process::run(&mut command)
        .succeeds("the text is well formed")
        .stdout;
    assert_eq!(said, "", "and promtool has nothing to say about it");
}

/// What Prometheus answers to a query: the value of each series.
fn query(prometheus: SocketAddr, query: &str) -> Vec<f64> {
    let query = query
        .bytes()
        .fold(String::new(), |all, byte| all + &format!("%{byte:02X}"));
    let reply = ask(
        prometheus,
        &format!("GET /api/v1/query?query={query}"),
        &[],
        b"",
    );
    let results = reply.json()["data"]["result"].clone();
    let results = results.as_array().cloned().unwrap_or_default();
    let value = |result: &Value| result["value"][1].as_str()?.parse().ok();
    results.iter().filter_map(value).collect()
}

/// Prometheus with the configuration of `deploy/`, in a hurry, on a port of its own.
fn prometheus(target: SocketAddr) -> (Daemon, SocketAddr) {
    let configuration = fs::read_to_string("deploy/prometheus/prometheus.yml").unwrap();
    let configuration = configuration.replace("127.0.0.1:9180", &target.to_string());
    assert!(configuration.contains(&target.to_string()));
    let hurry = "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n";
    for _ in 0..5 {
        let dir = TempDir::with_prefix("dockgate-prometheus-").unwrap();
        let file = dir.path().join("prometheus.yml");
        fs::write(&file, format!("{hurry}{configuration}")).unwrap();
        fs::copy(ALERTS, dir.path().join("alerts.yml")).unwrap();
        // It does not say which port the system chose; one that was free a moment ago is asked for, and another one
        // where somebody was faster.
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let argv = [
            "prometheus".to_owned(),
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", dir.path().join("data").display()),
            format!("--web.listen-address={free}"),
        ];
        let daemon = Daemon::start(dir, &argv);
        match daemon.wait_for("Server is ready to receive web requests") {
            Ok(_) => return (daemon, free),
            Err(log) => assert!(log.contains("address already in use"), "{log}"),
        }
    }
    panic!("no port for Prometheus");
}

#[test]
fn prometheus_scrapes_the_gate_and_evaluates_every_alert() {
    if !need(&["prometheus"]) {
        return;
    }
    let busy = busy();
    let (_daemon, prometheus) = prometheus(busy.gate.admin());
    let is_one = |found: Vec<f64>| (found.len() == 1 && (found[0] - 1.0).abs() < 0.1).then_some(());
    eventually(|| is_one(query(prometheus, "up{job=\"dockgate\"}")));
    eventually(|| {
        is_one(query(
            prometheus,
            "dockgate_requests_total{route=\"manifest\",status=\"200\"}",
        ))
    });
    eventually(|| is_one(query(prometheus, "min(dockgate_ready)")));
    let targets = ask(prometheus, "GET /api/v1/targets", &[], b"").json();
    assert_eq!(
        targets["data"]["activeTargets"][0]["lastError"], "",
        "{targets}"
    );
    // It asks for OpenMetrics, and keeps what only that has.
    let metadata = ask(
        prometheus,
        "GET /api/v1/metadata?metric=dockgate_request_body_bytes",
        &[],
        b"",
    )
    .json();
    assert_eq!(
        metadata["data"]["dockgate_request_body_bytes"][0]["unit"], "bytes",
        "{metadata}"
    );
    eventually(|| {
        let rules = ask(prometheus, "GET /api/v1/rules", &[], b"").json();
        let rules = rules["data"]["groups"][0]["rules"].as_array()?.clone();
        let evaluated = rules.iter().all(|rule| rule["health"] == "ok");
        (rules.len() > 10 && evaluated).then_some(())
    });
}

#[test]
fn a_push_of_ann_is_no_label() {
    let upstream = Upstream::answering("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    let gate = start(&upstream.url(), "");
    let put = format!("PUT /v2/secret-project/blobs/uploads/1?digest={NOTHING}");
    assert_eq!(
        ask(gate.address(0), &put, &[&basic("ann", "secret")], b"").status,
        201
    );
    let finished = &["event=\"finished\""];
    let told = Scrape::until(gate.admin(), "it is counted", |s| {
        s.one("dockgate_uploads_total", finished) >= 1.0
    });
    for secret in ["ann", "secret", "project", NOTHING] {
        assert!(!told.text.contains(secret), "{secret}");
    }
}
