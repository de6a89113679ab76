//! Name, connection, proxy.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::support::peers::need;
use crate::support::program::dockgate;

use super::{Site, doctor, text, told};

#[test]
fn a_name_that_nobody_has_is_dns() {
    doctor("https://no-such-registry.invalid", &[]).names("dns", &["no-such-registry.invalid"]);
}

#[test]
fn a_port_where_nothing_listens_is_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let told = doctor(&format!("https://{address}"), &[]);
    told.names("tcp", &["refused", "nothing listens there"]);
    assert_eq!(told.layer("dns").0, "ok");
    assert_eq!(told.layer("registry").0, "skipped");
}

#[test]
fn a_proxy_that_the_environment_names_and_nobody_runs_is_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    drop(listener);
    let mut command = dockgate();
    command
        .args(["doctor", "https://registry.example.com"])
        .env("HTTPS_PROXY", format!("http://{proxy}"));
    told(&mut command).names("proxy", &["HTTPS_PROXY", &proxy.to_string(), "NO_PROXY"]);
}

#[test]
fn a_registry_is_examined_through_the_proxy_that_clients_take() {
    if !need(&["docker-registry", "htpasswd"]) {
        return;
    }
    let site = Site::new();
    let gate = site.gate(&site.server, "", "");
    let behind = gate.address();
    // It makes the connection to the gate whatever name it is asked for, as a proxy of a company does.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || tunnel(client, behind));
        }
    });
    let password = site.file("password");
    let mut command = dockgate();
    command
        .args(["doctor", "https://registry.test", "--ca", site.ca()])
        .args(["--user", super::USER, "--password-file", text(&password)])
        .env("https_proxy", format!("http://{proxy}"));
    let told = told(&mut command);
    told.is_healthy(&["proxy", "certificate name", "credentials"]);
    assert_eq!(told.layer("dns").0, "skipped");
}

fn tunnel(mut client: TcpStream, to: std::net::SocketAddr) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"CONNECT registry.test:443 HTTP/1.1\r\n"));
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let server = TcpStream::connect(to).unwrap();
    let (mut from, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    let mut server = server;
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
}
