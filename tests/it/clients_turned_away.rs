//! Clients that are turned away by their user agent: the vectors that were measured on the nginx of seed 004, and
//! patterns of one's own.

use crate::support::dialog::Dialog;
use crate::support::gate::Gate;
use crate::support::origin::Origin;

fn gate(origin: &Origin, clients: &str) -> Gate {
    Gate::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n\
         [auth]\nanonymous = \"pull\"\n[clients]\n{clients}\n[log]\naccess = false\n",
        origin.url()
    ))
}

#[track_caller]
fn holds(gate: &Gate, vectors: &[(&str, u16)]) {
    let mut dialog = Dialog::tcp(gate.address());
    for (agent, status) in vectors {
        let answer = dialog.ask("GET", "/v2/", &[("User-Agent", agent)], b"");
        assert_eq!(answer.status, *status, "{agent}");
        assert_eq!(
            answer.header("docker-distribution-api-version"),
            Some("registry/2.0"),
            "{agent}"
        );
        if *status == 404 {
            assert!(
                answer.text().contains("too old for the registry"),
                "{}",
                answer.text()
            );
        }
    }
    assert_eq!(dialog.get("/v2/").status, 200, "a client without a name");
    let ping = dialog.ask("GET", "/_ping", &[("User-Agent", "docker/1.3.1")], b"");
    assert_eq!(ping.status, 200, "a ping is for everybody");
}

#[test]
fn old_docker_is_turned_away_as_by_the_nginx_of_seed_004() {
    let origin = Origin::start();
    let vectors = [
        ("docker/1.5.0", 404),
        ("docker/1.5.0-dev", 200),
        ("docker/1.3.1", 404),
        ("docker/1.4.1 go/go1.3.3", 404),
        ("docker/1.6.0", 200),
        ("Go 1.1 package http", 404),
        ("Go-http-client/1.1", 200),
        ("docker/1.13.1", 200),
    ];
    holds(&gate(&origin, ""), &vectors);
    let seen = origin.seen();
    assert!(
        !seen.iter().any(|seen| seen.head.contains("1.3.1")),
        "{seen:#?}"
    );
}

#[test]
fn the_rule_can_be_switched_off() {
    let origin = Origin::start();
    holds(
        &gate(&origin, "reject_old_docker = false"),
        &[("docker/1.3.1", 200), ("Go 1.1 package http", 200)],
    );
}

#[test]
fn patterns_of_the_configuration_turn_away_too() {
    let origin = Origin::start();
    let clients = "reject_old_docker = false\nreject_user_agents = ['^curl/', 'BadBot(?!/2)']";
    let gate = gate(&origin, clients);
    let mut dialog = Dialog::tcp(gate.address());
    for (agent, status) in [
        ("curl/7.88.1", 404),
        ("not curl/7.88.1", 200),
        ("a BadBot/1", 404),
        ("a BadBot/2", 200),
        ("docker/1.3.1", 200),
    ] {
        let answer = dialog.ask("GET", "/v2/", &[("User-Agent", agent)], b"");
        assert_eq!(answer.status, status, "{agent}");
    }
}
