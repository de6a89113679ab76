//! Certificates that were taken back.

use crate::support::program::dockgate;

use super::*;

#[test]
fn t6_t11_n23_n24_n59_a_revoked_certificate_is_out_on_new_old_and_resumed_connections() {
    let lists = Lists::new();
    let front = Front::new(
        "client_auth = \"required\"\nclient_crl = \"crl.pem\"",
        "",
        |dir| {
            lists.write(&dir.join("crl.pem"), "");
        },
    );
    let client = seed().client();
    let tls = front.client(Some(&client));
    let connect = || Dialog::tls(front.program.address(0), &tls);
    let mut open = connect();
    assert_eq!(get(&mut open, false), SERVED);
    let mut again = connect();
    assert_eq!(get(&mut again, false), SERVED);
    assert!(again.is_resumed(), "or the last step shows nothing");

    let crl = front.program.path("crl.pem");
    let good = fs::read(&crl).unwrap();
    fs::write(&crl, "-----BEGIN X509 CRL-----\ngarbage\n").unwrap();
    front
        .program
        .err_line("certificates not reloaded, the old ones stay");
    assert_eq!(get(&mut open, false), SERVED);
    fs::write(&crl, good).unwrap();
    front.program.err_times("reload: reloaded", 1);
    assert_eq!(get(&mut open, false), SERVED);

    lists.revoke(&client.certificate);
    lists.write(&crl, "");
    front.reload(2);
    assert_eq!(get(&mut open, false), CERTIFICATE_MISSING);
    front.program.err_line("holds no more");
    refused(&front, &client, "revoked");
    let mut resumed = connect();
    let answered = resumed
        .request("GET", "/v2/", &[], b"")
        .and_then(|()| resumed.answer("GET"));
    assert!(answered.is_err(), "a ticket from before is worth nothing");
}

#[test]
fn t11_an_open_connection_hears_of_a_revocation_after_its_listener_was_configured_anew() {
    let lists = Lists::new();
    let front = Front::new(
        "client_auth = \"required\"\nclient_crl = \"crl.pem\"",
        "",
        |dir| {
            lists.write(&dir.join("crl.pem"), "");
            lists.write(&dir.join("other.pem"), "");
        },
    );
    let client = seed().client();
    let mut open = front.dialog(Some(&client));
    assert_eq!(get(&mut open, false), SERVED);
    let file = front.program.path("proxy.toml");
    let toml = fs::read_to_string(&file)
        .unwrap()
        .replace("crl.pem", "other.pem");
    fs::write(&file, toml).unwrap();
    front.reload(1);
    assert_eq!(get(&mut open, false), SERVED);
    lists.revoke(&client.certificate);
    lists.write(&front.program.path("other.pem"), "");
    front.reload(2);
    assert_eq!(get(&mut open, false), CERTIFICATE_MISSING);
}

#[test]
fn t9_n60_a_list_that_is_past_its_date_refuses_its_ca_until_it_is_renewed() {
    let lists = Lists::new();
    let front = Front::new(
        "client_auth = \"required\"\nclient_crl = \"crl.pem\"",
        "",
        |dir| {
            lists.write(
                &dir.join("crl.pem"),
                "-crl_lastupdate 20250101000000Z -crl_nextupdate 20250102000000Z",
            );
        },
    );
    let client = seed().client();
    assert!(
        front.program.stderr().contains("crl.pem"),
        "warned of at the start"
    );
    refused(&front, &client, "expired list");
    lists.write(&front.program.path("crl.pem"), "");
    front.reload(1);
    assert_eq!(get(&mut front.dialog(Some(&client)), false), SERVED);
}

/// The seed's certificates are of version 1, which has a judgement of its own.
#[test]
fn t9_n60_with_warn_a_list_that_is_past_its_date_still_revokes_and_refuses_nobody_else() {
    let lists = Lists::new();
    let ended = "-crl_lastupdate 20250101000000Z -crl_nextupdate 20250102000000Z";
    let front = Front::new(
        "client_auth = \"required\"\nclient_crl = \"crl.pem\"\nclient_crl_expired = \"warn\"",
        "",
        |dir| lists.write(&dir.join("crl.pem"), ended),
    );
    let client = seed().client();
    let said = "ended on 2025-01-02T00:00:00Z: what it names is refused, and what was revoked since is let in";
    front.program.err_times(said, 1);
    let mut open = front.dialog(Some(&client));
    assert_eq!(get(&mut open, false), SERVED);
    for _ in 0..3 {
        assert_eq!(get(&mut front.dialog(Some(&client)), false), SERVED);
    }
    // Told when it is read, and not for each who comes in.
    assert_eq!(front.program.stderr().matches(said).count(), 1);

    let toml = fs::read_to_string(front.program.path("proxy.toml")).unwrap();
    let warned = dockgate_check(front.program.dir());
    assert_eq!(warned.0, Some(0), "{}", warned.1);
    assert!(warned.1.contains(said), "{}", warned.1);

    lists.revoke(&client.certificate);
    lists.write(&front.program.path("crl.pem"), ended);
    front.reload(1);
    front.program.err_times(said, 2);
    assert_eq!(get(&mut open, false), CERTIFICATE_MISSING);
    refused(&front, &client, "revoked");

    // Back to the default: nobody of that CA comes in, revoked or not.
    let other = toml.replace(
        "client_crl_expired = \"warn\"",
        "client_crl_expired = \"refuse\"",
    );
    fs::write(front.program.path("proxy.toml"), other).unwrap();
    front.reload(2);
    front
        .program
        .err_line("are refused until there is a new one");
}

/// `dockgate check` of the configuration in a folder: its exit code, and what it said.
fn dockgate_check(folder: &Path) -> (Option<i32>, String) {
    let output = dockgate()
        .arg("check")
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}
