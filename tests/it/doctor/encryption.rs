//! TLS, certificates and clocks.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use tempfile::TempDir;

use crate::support::certs::{Authority, Pair};
use crate::support::clock;
use crate::support::nginx::Nginx;
use crate::support::peers;
use crate::support::peers::{need, need_clients};
use crate::support::process::Daemon;
use crate::support::registry::{Options, Registry};
use crate::support::trust::Trust;

use super::{GOOD, PASSWORD, Site, USER, doctor, text, told};

const PEERS: &[&str] = &["docker-registry", "htpasswd"];

#[test]
fn a_healthy_gate_is_healthy_in_every_layer() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let gate = site.gate(&site.server, "", "");
    let told = site.doctor(gate.address(), &[]);
    told.is_healthy(&[
        "proxy",
        "dns",
        "tcp",
        "protocol",
        "tls",
        "certificate name",
        "certificate chain",
        "ca",
        "clock",
        "certificate dates",
        "client certificate",
        "registry",
        "version header",
        "challenge",
        "credentials",
        "location",
        "body limit",
    ]);
    assert_eq!(site.registry.unfinished("dockgate-doctor"), 0);
}

#[test]
fn a_healthy_gate_with_tokens_is_healthy_too() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let gate = site.gate(&site.server, "", "anonymous = \"pull\"");
    let told = site.doctor(gate.address(), &[]);
    told.is_healthy(&[
        "challenge",
        "realm",
        "credentials",
        "location",
        "body limit",
    ]);
    assert!(told.layer("challenge").1.contains("Bearer"));
}

#[test]
fn the_wrong_protocol_is_protocol_in_both_directions() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let plain = site.registry.address();
    doctor(&format!("https://{plain}"), &[])
        .names("protocol", &["in clear", &format!("http://{plain}")]);
    let gate = site.gate(&site.server, "", "");
    let address = gate.address();
    doctor(&format!("http://{address}"), &[])
        .names("protocol", &["speaks TLS", &format!("https://{address}")]);
    let tls = Options {
        tls: Some(&site.server),
        ..Options::default()
    };
    let registry = Registry::start_with(&tls);
    doctor(&format!("http://{}", registry.address()), &[]).names("protocol", &["speaks TLS"]);
}

#[test]
fn a_server_of_yesterdays_tls_is_tls() {
    if !need(&["openssl"]) {
        return;
    }
    let authority = Authority::new("old");
    let server = authority.server();
    let openssl = s_server(&server, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    let url = format!("https://127.0.0.1:{}", openssl.1);
    doctor(&url, &["--ca", text(authority.ca())]).names("tls", &["TLS 1.2"]);
}

/// `openssl s_server` on a port that it chooses.
fn s_server(pair: &Pair, more: &[&str]) -> (Daemon, u16) {
    let dir = TempDir::with_prefix("dockgate-s_server-").unwrap();
    let mut argv = vec!["openssl", "s_server", "-accept", "127.0.0.1:0", "-www"];
    argv.extend(["-cert", text(&pair.certificate), "-key", text(&pair.key)]);
    argv.extend(more);
    // Its standard output goes to the log.
    let daemon = Daemon::start(dir, &argv);
    let line = daemon.wait_for("ACCEPT ").unwrap();
    let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
    (daemon, port)
}

#[test]
fn a_certificate_for_another_name_is_certificate_name() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let gate = site.gate(&site.authority.server_for(&["other.test"]), "", "");
    site.doctor(gate.address(), &[])
        .names("certificate name", &["other.test", "not for 127.0.0.1"]);
}

#[test]
fn a_certificate_without_alternative_names_is_certificate_name() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "127.0.0.1");
    let server = site
        .authority
        .issue("bare", params, ExtendedKeyUsagePurpose::ServerAuth);
    let gate = site.gate(&server, "", "");
    site.doctor(gate.address(), &[])
        .names("certificate name", &["no subject alternative name"]);
}

#[test]
fn a_certificate_of_an_unknown_authority_is_ca() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let gate = site.gate(&site.server, "", "");
    let url = format!("https://{}", gate.address());
    let told = doctor(&url, &[]);
    told.names(
        "ca",
        &["the CA of the test", "/etc/docker/certs.d/127.0.0.1:"],
    );
    let other = Authority::new("somebody else");
    doctor(&url, &["--ca", text(other.ca())]).names("ca", &["the CA of the test"]);
}

#[test]
fn a_server_that_keeps_its_intermediate_to_itself_is_certificate_chain() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let (root, between, leaf) = house();
    let alone = site.file("alone.crt");
    let whole = site.file("whole.crt");
    let key = site.file("leaf.key");
    let ca = site.file("root.crt");
    fs::write(&ca, root).unwrap();
    fs::write(&key, leaf.1).unwrap();
    fs::write(&alone, &leaf.0).unwrap();
    fs::write(&whole, format!("{}{between}", leaf.0)).unwrap();
    let pair = |certificate| Pair {
        certificate,
        key: key.clone(),
    };
    let password = site.file("password");
    let arguments = [
        "--ca",
        text(&ca),
        "--user",
        USER,
        "--password-file",
        text(&password),
    ];
    let gate = site.gate(&pair(alone), "", "");
    doctor(&format!("https://{}", gate.address()), &arguments)
        .names("certificate chain", &["CN=between"]);
    let gate = site.gate(&pair(whole), "", "");
    doctor(&format!("https://{}", gate.address()), &arguments).is_healthy(&[
        "certificate chain",
        "ca",
        "credentials",
    ]);
}

/// The authorities of a house: the root's certificate, the one between, and a server's with its key.
fn house() -> (String, String, (String, String)) {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::OrganizationName, "House");
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let root =
        CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
    let between =
        CertifiedIssuer::signed_by(authority("between"), KeyPair::generate().unwrap(), &root)
            .unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &between).unwrap();
    (root.pem(), between.pem(), (leaf.pem(), key.serialize_pem()))
}

#[test]
fn a_certificate_out_of_its_dates_is_certificate_dates() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    for (file, from, until, words) in [
        ("past", 2001, 2002, "expired on Tue, 01 Jan 2002"),
        ("future", 2090, 2091, "not valid before Sun, 01 Jan 2090"),
    ] {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let server = site
            .authority
            .issue(file, params, ExtendedKeyUsagePurpose::ServerAuth);
        let gate = site.gate(&server, "", "");
        site.doctor(gate.address(), &[])
            .names("certificate dates", &[words]);
    }
}

#[test]
fn a_clock_that_is_wrong_is_clock_even_when_the_certificate_seems_to_have_expired() {
    if !need(PEERS) || !need(clock::PROGRAMS) {
        return;
    }
    let site = Site::new();
    let gate = site.gate(&site.server, "", "");
    let url = format!("https://{}", gate.address());
    for (offset, words) in [("+10m", "10 minutes ahead of"), ("-3d", "3 days behind")] {
        let mut command = clock::dockgate_at(offset);
        command.args(["doctor", &url, "--ca", site.ca()]);
        told(&mut command).names("clock", &[words, "timedatectl"]);
    }
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2095, 1, 1);
    let server = site
        .authority
        .issue("long", params, ExtendedKeyUsagePurpose::ServerAuth);
    let gate = site.gate(&server, "", "");
    let mut command = clock::dockgate_at("+80y");
    command.args([
        "doctor",
        &format!("https://{}", gate.address()),
        "--ca",
        site.ca(),
    ]);
    let told = told(&mut command);
    told.names("clock", &["ahead of"]);
    assert!(
        told.layer("certificate dates")
            .1
            .contains("by the clock of the server")
    );
}

#[test]
fn a_client_certificate_that_is_missing_or_refused_is_client_certificate() {
    if !need(&["docker-registry", "htpasswd", "nginx"]) {
        return;
    }
    let site = Site::new();
    let ca = format!("client_ca = \"{}\"\nclient_auth = \"required\"", site.ca());
    let gate = site.gate(&site.server, &ca, "");
    let nginx = site.nginx(&format!(
        "ssl_client_certificate CLIENT_CA; ssl_verify_client on;{GOOD}"
    ));
    let registry = Registry::start_with(&Options {
        tls: Some(&site.server),
        client_ca: Some(site.authority.ca()),
        ..Options::default()
    });
    let other = Authority::new("other");
    let (own, foreign) = (site.authority.client(USER), other.client(USER));
    for address in [gate.address(), nginx.address(), registry.address()] {
        site.doctor(address, &[])
            .names("client certificate", &["--client-cert", "client.key"]);
        let show = |pair: &Pair| {
            let files = [&pair.certificate, &pair.key].map(|file| text(file).to_owned());
            let [certificate, key] = files;
            site.doctor(
                address,
                &["--client-cert", &certificate, "--client-key", &key],
            )
        };
        show(&foreign).names("client certificate", &["is refused"]);
        show(&own).is_healthy(&["client certificate", "location"]);
    }
}

#[test]
fn a_certificate_that_is_no_servers_is_certificate_chain() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    let gate = site.gate(&site.authority.issue("client", params, usage), "", "");
    site.doctor(gate.address(), &[])
        .names("certificate chain", &["clients refuse it"]);
}

#[test]
fn the_ca_that_docker_has_for_a_registry_counts_where_none_is_named() {
    if !need_clients(PEERS) {
        return;
    }
    let site = Site::new();
    let gate = site.gate(&site.server, "", "");
    let trust = Trust::new(&gate.address().to_string());
    let url = format!("https://{}", gate.address());
    let other = Authority::new("somebody else");
    trust.add_ca(other.ca());
    doctor(&url, &[]).names("ca", &["docker", "is another one"]);
    trust.add_ca(site.authority.ca());
    let told = doctor(&url, &[]);
    told.is_healthy(&["ca", "registry"]);
    let (_, text) = told.layer("ca");
    assert!(
        text.contains("docker (/etc/docker/certs.d/127.0.0.1:"),
        "{text}"
    );
}

#[test]
fn http_in_clear_to_another_machine_is_tls() {
    if !need_clients(&["docker-registry"]) {
        return;
    }
    let registry = Registry::start();
    let relay = relay(registry.address());
    doctor(&format!("http://{relay}"), &[]).names("tls", &["in clear", "docker and podman"]);
}

/// The same registry on an address that is not this machine's loopback.
fn relay(to: std::net::SocketAddr) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind((peers::ADDRESS, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = std::net::TcpStream::connect(to).unwrap();
            let (mut from, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut back);
                let _ = back.shutdown(std::net::Shutdown::Write);
            });
            let (mut client, mut server) = (client, server);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut client, &mut server);
                let _ = server.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    address
}

#[test]
fn a_listener_that_speaks_neither_is_protocol() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.2p1\r\n");
        }
    });
    doctor(&format!("https://{address}"), &[]).names("protocol", &["neither TLS nor HTTP"]);
    doctor(&format!("http://{address}"), &[]).names("protocol", &["does not answer in HTTP"]);
}

#[test]
fn a_password_is_never_sent_where_the_certificate_is_not_verified() {
    if !need(&["docker-registry", "htpasswd", "nginx"]) {
        return;
    }
    let site = Site::new();
    // Whoever answers there may be anybody: this one notes what it is told.
    let (certificate, key) = (text(&site.server.certificate), text(&site.server.key));
    let nginx = Nginx::start(
        std::net::Ipv4Addr::LOCALHOST,
        &format!(
            "log_format told '$http_authorization'; access_log /dev/stderr told;\n\
             server {{ listen LISTEN ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; return 401; }}"
        ),
    );
    let password = site.file("password");
    let url = format!("https://{}", nginx.address());
    let told = doctor(&url, &["--user", USER, "--password-file", text(&password)]);
    told.names("ca", &[]);
    assert!(
        !nginx.access_log().contains("Basic"),
        "{}",
        nginx.access_log()
    );
    let all = told.0.to_string();
    assert!(!all.contains(PASSWORD), "{all}");
}
