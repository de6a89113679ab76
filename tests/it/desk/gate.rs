//! A running gate that reads the desk's CA and list.

use crate::support::desk::Desk;
use crate::support::dialog::{Dialog, Tls};
use crate::support::house::eventually;
use crate::support::peers;
use crate::support::program::Program;

/// A connection of who has this pair.
fn connect(program: &Program, desk: &Desk, name: &str) -> Dialog {
    let pair = desk.pair(name);
    let tls = Tls::build(
        &desk.path("ca.crt"),
        peers::NAME,
        Some(&pair),
        rustls::ALL_VERSIONS,
    );
    Dialog::tls(program.address(0), &tls)
}

/// The status for who shows this pair, or why there is none.
fn asked(program: &Program, desk: &Desk, name: &str) -> Result<u16, String> {
    let mut dialog = connect(program, desk, name);
    let answer = dialog
        .request("GET", "/v2/", &[], b"")
        .and_then(|()| dialog.answer("GET"));
    answer.map(|a| a.status).map_err(|error| error.to_string())
}

#[test]
fn a_revoked_client_is_out_of_a_running_gate_and_the_others_stay() {
    let desk = Desk::new();
    desk.cert(&["server", "--name", peers::NAME]).done();
    desk.cert(&["client", "--name", "build-7"]).done();
    desk.cert(&["client", "--name", "build-8", "--key-type", "rsa-2048"])
        .done();
    let at = |name: &str| desk.path(name).display().to_string();
    let program = Program::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         client_ca = \"{}\"\nclient_auth = \"required\"\nclient_crl = \"{}\"\n[log]\nlevel = \"debug\"\n",
        at(&format!("{}.crt", peers::NAME)),
        at(&format!("{}.key", peers::NAME)),
        at("ca.crt"),
        at("crl.pem"),
    ));
    for name in ["build-7", "build-8"] {
        assert_eq!(asked(&program, &desk, name), Ok(200), "{name}");
    }
    desk.cert(&["revoke", "build-7"]).done();
    eventually(|| asked(&program, &desk, "build-7").err());
    let told = program.err_line("revoked");
    assert!(told.contains("CN=build-7"), "{told}");
    assert_eq!(asked(&program, &desk, "build-8"), Ok(200));

    // a renewed one comes in as it is, and so does the one before
    desk.cert(&["renew", "build-8"]).done();
    assert_eq!(asked(&program, &desk, "build-8"), Ok(200));
    // and the server's own certificate is renewed without a restart
    let shown = || {
        let mut dialog = connect(&program, &desk, "build-8");
        assert_eq!(dialog.get("/v2/").status, 200);
        dialog.certificate()
    };
    let before = shown();
    desk.cert(&["renew", peers::NAME]).done();
    eventually(|| (shown() != before).then_some(()));
    assert_eq!(asked(&program, &desk, "build-8"), Ok(200));
}
