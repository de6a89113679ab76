//! Where an upload goes on, and what its bytes meet.

use crate::support::peers::need;
use crate::support::upstream::{Next, Upstream};

use super::{GOOD, Site, doctor};

const PEERS: &[&str] = &["docker-registry", "htpasswd", "nginx"];

#[test]
fn a_registry_that_is_not_told_of_tls_is_location() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let nginx = site.nginx(&GOOD.replace("proxy_set_header X-Forwarded-Proto $scheme;", ""));
    site.doctor(nginx.address(), &[])
        .names("location", &["in clear", "X-Forwarded-Proto"]);
}

#[test]
fn a_front_that_sends_clients_to_the_registrys_own_address_is_location() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let inside = GOOD.replace(
        "proxy_set_header Host $http_host;",
        "proxy_set_header Host inside.example:5000; proxy_redirect off;",
    );
    let nginx = site.nginx(&inside);
    site.doctor(nginx.address(), &[])
        .names("location", &["https://inside.example:5000/", "Host"]);
}

#[test]
fn a_front_with_the_limit_that_nginx_has_is_body_limit_for_who_may_push_and_who_may_not() {
    if !need(PEERS) {
        return;
    }
    let site = Site::new();
    let nginx = site.nginx(&GOOD.replace("client_max_body_size 0;", ""));
    site.doctor(nginx.address(), &[])
        .names("body limit", &["413", "client_max_body_size"]);
    let url = format!("https://{}", nginx.address());
    doctor(&url, &["--ca", site.ca()]).names("body limit", &["413"]);
}

#[test]
fn something_that_resets_a_large_body_is_body_limit() {
    let front = Upstream::start(|request| {
        let head = request.head.clone();
        let answer = if head.starts_with("GET /v2/ ") {
            "HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: 2\r\n\r\n{}"
        } else if head.starts_with("POST ") {
            "HTTP/1.1 202 Accepted\r\nDocker-Distribution-Api-Version: registry/2.0\r\nLocation: /v2/x/blobs/uploads/1\r\nContent-Length: 0\r\n\r\n"
        } else if head.starts_with("DELETE ") {
            "HTTP/1.1 204 No Content\r\n\r\n"
        } else {
            let _ = request.read_some();
            request.reset();
            return Next::Close;
        };
        request.say(answer);
        Next::Keep
    });
    doctor(&front.url(), &[]).names("body limit", &["the connection ends"]);
}

#[test]
fn a_push_without_a_place_to_go_on_is_location() {
    let front = Upstream::answering(
        "HTTP/1.1 202 Accepted\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
    );
    // It answers everything like this, the ping too, which is no registry's answer.
    doctor(&front.url(), &[]).names("registry", &["202"]);
    let front = Upstream::start(|request| {
        let status = if request.head.starts_with("POST ") {
            "202 Accepted"
        } else {
            "200 OK"
        };
        request.say(format!(
            "HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: 0\r\n\r\n"
        ));
        Next::Keep
    });
    doctor(&front.url(), &[]).names("location", &["no Location"]);
}
