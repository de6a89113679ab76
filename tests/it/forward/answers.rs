//! On the way back.

use super::{ask, got};
use crate::support::fronts::{Fronts, LOGIN};
use crate::support::raw::{lines, text};
use crate::support::upstream::{Next, Upstream};

#[test]
fn u7_n39_a_location_of_the_registry_comes_back_on_the_door_that_the_client_used() {
    let own = "https://gate:5043/v2/a/blobs/uploads/1?_state=x%2By";
    let upstream = Upstream::start(|request| {
        request.read_body().unwrap();
        let wanted = lines(&request.head, "x-answer")[0].to_owned();
        let host = lines(&request.head, "host")[0].to_owned();
        let wanted = wanted.replace("HOST", &host);
        request.say(format!(
            "HTTP/1.1 202 Accepted\r\nLocation: {wanted}\r\nContent-Length: 0\r\n\r\n"
        ));
        Next::Keep
    });
    let fronts = Fronts::before(&upstream.url(), "");
    let inner = upstream.address();
    let path = "/v2/a/blobs/uploads/1?_state=x%2By";
    let bucket = "https://bucket.s3.example:444/docker/x?X-Amz-Signature=a%2Fb&X=1";
    let mut raw = fronts.tls();
    let mut location = |sent: &str| {
        raw.send(format!(
            "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: gate:5043\r\nX-Forwarded-Host: evil\r\n\
             X-Forwarded-Proto: javascript\r\n{LOGIN}X-Answer: {sent}\r\nContent-Length: 0\r\n\r\n"
        ));
        raw.answer()
    };
    for sent in [
        format!("http://HOST{path}"),
        format!("https://HOST{path}"),
        format!("http://{inner}{path}"),
        format!("https://{inner}{path}"),
        format!("http://registry.internal:5000{path}"),
        format!("//registry.internal:5000{path}"),
    ] {
        let answer = location(&sent);
        assert_eq!(answer.status(), 202, "{sent}");
        assert_eq!(answer.value("location"), own, "{sent}");
    }
    assert_eq!(location(path).value("location"), path);
    assert_eq!(location(bucket).value("location"), bucket);
    for broken in [
        "javascript:alert(1)",
        "ftp://x/y",
        "http://bucket.s3.example/in-clear",
        "/v2/ a",
        "//",
        "http://",
    ] {
        let answer = location(broken);
        assert_eq!(answer.status(), 502, "{broken}: {}", answer.head);
        assert!(answer.values("location").is_empty());
    }
}

#[test]
fn u9_headers_of_the_gate_stand_once_whatever_the_registry_sends() {
    let version = "Docker-Distribution-Api-Version";
    for lines in [
        String::new(),
        format!("{version}: registry/2.0\r\n"),
        format!("{version}: registry/2.0\r\n{version}: registry/2.0\r\n"),
        format!(
            "{version}: evil\r\nStrict-Transport-Security: max-age=0\r\nX-Request-Id: theirs\r\n"
        ),
    ] {
        for status in ["200 OK", "404 Not Found", "401 Unauthorized", "503 x"] {
            let answer = got(&format!(
                "HTTP/1.1 {status}\r\n{lines}Set-Cookie: a\r\nSet-Cookie: b\r\n\
                 Connection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok"
            ));
            assert_eq!(answer.body, b"ok");
            assert_eq!(
                answer.value("docker-distribution-api-version"),
                "registry/2.0"
            );
            assert!(
                answer
                    .value("strict-transport-security")
                    .starts_with("max-age=31536000")
            );
            assert_ne!(answer.value("x-request-id"), "theirs");
            assert_eq!(answer.values("set-cookie"), ["a", "b"]);
            assert!(answer.values("x-hop").is_empty());
            let challenges = answer.values("www-authenticate");
            assert_eq!(challenges.len(), usize::from(status.starts_with("401")));
        }
    }
}

#[test]
fn u10_one_challenge_and_it_is_ours() {
    let theirs = "WWW-Authenticate: Bearer realm=\"http://inner/token\"\r\n";
    for lines in [
        String::new(),
        theirs.to_owned(),
        format!("{theirs}{theirs}"),
    ] {
        let answer = got(&format!(
            "HTTP/1.1 401 Unauthorized\r\n{lines}Content-Length: 0\r\n\r\n"
        ));
        let challenge = answer.value("www-authenticate");
        let ours = "Bearer realm=\"https://gate:5043/v2/token\"";
        assert!(challenge.starts_with(ours), "{challenge}");
    }
    let answer = got(&format!(
        "HTTP/1.1 200 OK\r\n{theirs}Content-Length: 0\r\n\r\n"
    ));
    assert!(answer.values("www-authenticate").is_empty());
}

#[test]
fn an_answer_to_head_tells_the_length_of_what_it_does_not_send() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 1234567890123\r\nDocker-Content-Digest: x\r\n\r\n",
    );
    let fronts = Fronts::before(&upstream.url(), "");
    let mut raw = fronts.tls();
    for _ in 0..3 {
        let answer = ask(&mut raw, "HEAD");
        assert_eq!(answer.value("content-length"), "1234567890123");
        assert_eq!(answer.value("docker-content-digest"), "x");
    }
    assert_eq!(upstream.connections(), 1, "and the connections stay usable");
}

#[test]
fn trailers_of_an_answer_are_dropped_and_its_bytes_kept() {
    let answer = got(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n\
         3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
    );
    assert_eq!(answer.body, b"abcde");
    assert!(answer.complete);
    assert_eq!(answer.value("transfer-encoding"), "chunked");
    assert!(answer.values("trailer").is_empty() && answer.values("x-t").is_empty());
}

#[test]
fn a_registry_of_http_1_0_is_understood() {
    let upstream = Upstream::start(|request| {
        request.read_body().unwrap();
        request.say("HTTP/1.0 200 OK\r\n\r\nuntil the end");
        Next::Close
    });
    let fronts = Fronts::before(&upstream.url(), "");
    let answer = ask(&mut fronts.tls(), "GET");
    assert_eq!(text(&answer.body), "until the end");
    assert!(answer.complete);
}

#[test]
fn n39_no_link_leads_past_the_gate() {
    let upstream = Upstream::start(|request| {
        request.read_body().unwrap();
        let host = "registry.internal:5000";
        let own = request.own_address();
        request.say(format!(
            "HTTP/1.1 200 OK\r\n\
             Link: <http://{own}/v2/a?n=1>; rel=\"next\", <http://{host}/v2/b>; rel=\"prev\"\r\n\
             Link: <//{own}/v2/c>; rel=first; anchor=\"http://{own}/v2/\"\r\n\
             Link: http://{own}/v2/d\r\n\
             Content-Length: 0\r\n\r\n"
        ));
        Next::Keep
    });
    let fronts = Fronts::before(&upstream.url(), "");
    let answer = ask(&mut fronts.tls(), "GET");
    assert_eq!(
        answer.values("link"),
        [
            "<https://gate:5043/v2/a?n=1>; rel=\"next\", <https://gate:5043/v2/b>; rel=\"prev\"",
            "<https://gate:5043/v2/c>; rel=first",
        ]
    );
    let inner = upstream.address().to_string();
    assert!(!answer.head.contains(&inner), "{}", answer.head);
}

#[test]
fn a_link_to_the_next_page_leads_through_the_door_that_the_client_used() {
    for (sent, meant) in [
        (
            "</v2/_catalog?last=b&n=2>; rel=\"next\"",
            "</v2/_catalog?last=b&n=2>; rel=\"next\"",
        ),
        (
            "<http://inner:5000/v2/_catalog?last=b&n=2>; rel=\"next\"",
            "<https://gate:5043/v2/_catalog?last=b&n=2>; rel=\"next\"",
        ),
    ] {
        let answer = got(&format!(
            "HTTP/1.1 200 OK\r\nLink: {sent}\r\nContent-Length: 2\r\n\r\n{{}}"
        ));
        assert_eq!(answer.value("link"), meant);
    }
}
