//! The role for Ansible, run by Ansible against this machine, on which nothing of it stays.

use std::fs;

use tempfile::TempDir;

use super::{here, need_peer, peer};
use crate::support::peers::need_clients;
use crate::support::process::{Outcome, search_path};
use crate::support::sandbox::{self, sandboxed};

/// Runs a script where `play FILE VARIABLES...` is `ansible-playbook`.
#[track_caller]
fn plays(variables: &str, script: &str) -> Outcome {
    let dir = TempDir::with_prefix("dockgate-ansible-").unwrap();
    let play = "- hosts: all\n  roles: [dockgate]\n";
    fs::write(dir.path().join("play.yml"), play).unwrap();
    fs::write(dir.path().join("vars.yml"), variables).unwrap();
    let inventory =
        "localhost ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n";
    fs::write(dir.path().join("hosts"), inventory).unwrap();
    let prelude =
        "play() { ansible-playbook -i hosts -e @vars.yml play.yml \"$@\"; }\ncd \"$DIR\"\n";
    let bin = peer("ansible/bin");
    let path = format!("{}:{}", bin.display(), search_path());
    let roles = here("deploy/ansible/roles");
    sandboxed(
        &format!("{prelude}{script}"),
        &[
            ("DIR", dir.path().to_str().unwrap()),
            ("PATH", &path),
            ("HOME", dir.path().to_str().unwrap()),
            ("ANSIBLE_ROLES_PATH", roles.to_str().unwrap()),
            ("ANSIBLE_NOCOLOR", "1"),
            ("ANSIBLE_RETRY_FILES_ENABLED", "0"),
        ],
    )
}

fn is_possible() -> bool {
    let peers = [
        sandbox::PROGRAMS,
        &["openssl", "setpriv", "curl", "systemd-analyze"],
    ]
    .concat();
    need_clients(&peers) && need_peer("ansible/bin/ansible-playbook")
}

/// The variables that a playbook for the role of before has, and the new one.
fn variables(more: &str) -> String {
    format!(
        "dockgate_binary: {}\ndomain: registry.test\nlog_level: info\nregistry_port: 0\n{more}",
        env!("CARGO_BIN_EXE_dockgate")
    )
}

#[test]
fn the_role_configures_a_registry_and_a_second_run_changes_nothing() {
    if !is_possible() {
        return;
    }
    let more = "secret_key: cd8fbaa639122edad0617212ff0a6666\nmanage_nginx: true\nmanage_redis: true\nstorage_type: file\n\
                storage_path: /mnt/registry\nregistry_ssl: true\ncreate_ssl_cert: true\nregistry_users:\n\
                - {name: alice, password: secret}\n- {name: bob, password: hidden}\n- {name: eve, state: absent}\n";
    let script = r#"
        # On a machine that has nothing yet, and changes nothing there.
        play --check
        test ! -e /etc/dockgate && test ! -e /usr/bin/dockgate

        play
        play >second
        grep 'changed=0 ' second
        play --check >third
        grep 'changed=0 ' third
        dockgate htpasswd -vb /etc/dockgate/htpasswd alice secret
        dockgate htpasswd -vb /etc/dockgate/htpasswd bob hidden
        stat -c '%A %U %G %n' /etc/dockgate/htpasswd /etc/dockgate/proxy.toml
        systemd-analyze verify --man=no /etc/systemd/system/dockgate.service

        # As the unit starts it, with the key that systemd would hand over.
        install -d -o dockgate -m 0700 /var/lib/dockgate
        install -o dockgate -m 0400 /etc/ssl/private/docker_registry.key /var/lib/dockgate/credential
        DOCKGATE_LISTENER_TLS_KEY=/var/lib/dockgate/credential setpriv --pdeathsig KILL --reuid dockgate \
            --regid dockgate --init-groups dockgate serve --config /etc/dockgate/proxy.toml >/dev/null 2>log &
        for _ in $(seq 200); do
            port=$(sed -n 's/.*listening address="0.0.0.0:\([0-9]*\)".*/\1/p' log)
            if [ -n "$port" ]; then break; fi
            sleep 0.1
        done
        cat log
        ask() { curl -sS --cacert /etc/ssl/certs/docker_registry.crt --resolve "registry.test:$port:127.0.0.1" \
            -o /dev/null -w '%{http_code}\n' "$@"; }
        echo "nobody $(ask "https://registry.test:$port/v2/")"
        echo "alice $(ask -u alice:secret "https://registry.test:$port/v2/")"
        digest=sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73
        echo "push $(ask -u bob:hidden --data-binary content "https://registry.test:$port/v2/a/blobs/uploads/?digest=$digest")"
        ls -d /mnt/registry/docker/registry/v2/repositories/a
        kill $!
        wait $! || true
    "#;
    let done = plays(&variables(more), script)
        .succeeds("the role is played")
        .says(
            "secret_key is accepted and has no meaning any more",
            "it says so",
        )
        .says("manage_nginx is accepted", "it says so")
        .says("manage_redis is accepted", "it says so")
        .says(
            "-rw-r----- root dockgate /etc/dockgate/htpasswd",
            "hashes are not for everybody",
        )
        .says(
            "-rw-r----- root dockgate /etc/dockgate/proxy.toml",
            "nor are keys of a bucket",
        )
        .says("nobody 401\n", "nobody comes in")
        .says("alice 200\n", "who has a password does")
        .says("push 201\n", "and pushes");
    for secret in ["secret\"", "hidden"] {
        assert!(!done.stdout.contains(secret), "a password is shown\n{done}");
    }
}

#[test]
fn the_role_changes_and_removes_users() {
    if !is_possible() {
        return;
    }
    let more = "registry_ssl: true\nregistry_users:\n- {name: alice, password: secret}\n- {name: bob, password: hidden}\n";
    let script = r"
        play
        cat >>vars.yml <<'YAML'
registry_users:
- {name: alice, password: changed}
- {name: bob, state: absent}
YAML
        sed -i '/password: secret/d; /password: hidden/d; 0,/^registry_users:$/{/^registry_users:$/d}' vars.yml
        play
        dockgate htpasswd -vb /etc/dockgate/htpasswd alice changed
        cut -d: -f1 /etc/dockgate/htpasswd | tr '\n' ' '
        play | grep 'changed=0 '
    ";
    plays(&variables(more), script)
        .succeeds("users are changed")
        .says("alice localhost", "alice is left alone with her file");
}

#[test]
fn the_role_configures_a_bucket() {
    if !is_possible() {
        return;
    }
    let more = "registry_ssl: true\nstorage_type: s3\ns3_bucket: images\ns3_region: eu-west-1\ns3_storage_path: /team\n\
                s3_access_key: AKIA\ns3_secret_key: 'a\"b'\n";
    let script = r"
        play
        DOCKGATE_LISTENER_TLS_KEY=/etc/ssl/private/docker_registry.key dockgate check --config /etc/dockgate/proxy.toml
        cat /etc/dockgate/proxy.toml
        play | grep 'changed=0 '
    ";
    plays(&variables(more), script)
        .succeeds("the role is played")
        .says("proxy.toml: no faults", "it is sound")
        .says("secretkey = \"a\\\"b\"", "values are written as they are")
        .says("rootdirectory = \"/team\"", "the prefix is there");
}

#[test]
fn the_role_refuses_what_cannot_be_meant() {
    if !is_possible() {
        return;
    }
    for (more, why) in [
        (
            "registry_ssl: false\n",
            "passwords would cross the network in clear",
        ),
        (
            "registry_ssl: true\nstorage_type: swift\n",
            "write file or s3",
        ),
        ("registry_ssl: true\nstorage_type: s3\n", "needs s3_bucket"),
        (
            "registry_ssl: true\ncreate_ssl_cert: false\n",
            "docker_registry.crt is not there, and create_ssl_cert is false",
        ),
    ] {
        plays(&variables(more), "play").fails_saying(why, "it is refused");
    }
}
