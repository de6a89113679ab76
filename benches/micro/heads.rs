//! Paths and headers.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BatchSize, Criterion};
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Uri};

use crate::header::{describe_client, of_request, origin, rewrite, strip_response};
use crate::net::TrustedNetworks;
use crate::peer::{Address, Peer, Scheme};
use crate::route::Route;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub fn routes(criterion: &mut Criterion) {
    let targets = [
        ("ping", "/v2/".to_owned()),
        (
            "manifest",
            "/v2/team/project/image/manifests/1.2.3".to_owned(),
        ),
        ("blob", format!("/v2/team/project/image/blobs/{DIGEST}")),
        (
            "catalog",
            "/v2/_catalog?n=100&last=team%2Fproject".to_owned(),
        ),
    ];
    let mut group = criterion.benchmark_group("route");
    for (name, target) in targets {
        let uri: Uri = target.parse().unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let route = Route::parse(&Method::GET, black_box(&uri), Some("/v2/token")).unwrap();
                black_box(route.path_and_query())
            });
        });
    }
    group.finish();
}

/// A connection from another machine.
pub fn peer() -> Peer {
    Peer {
        address: Address::Ip(SocketAddr::from(([192, 0, 2, 7], 40_000))),
        scheme: Scheme::Https,
        sni: None,
        tls_version: None,
        certificate: None,
        certificate_required: false,
        challenges_only: false,
    }
}

/// What docker sends with a manifest.
fn request() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("registry.example.com"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(
            "docker/26.1.5 go/go1.21 git-commit/411e817 kernel/6.1 os/linux arch/amd64",
        ),
    );
    headers.insert(
        AUTHORIZATION,
        HeaderValue::from_static("Basic YWxpY2U6c2VjcmV0"),
    );
    for kind in [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
    ] {
        headers.append(ACCEPT, HeaderValue::from_static(kind));
    }
    headers
}

pub fn headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    let (peer, request) = (peer(), request());
    let proxies = TrustedNetworks::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let host = request.get(HOST).cloned();
    group.bench_function("request to the registry", |bencher| {
        bencher.iter(|| {
            let origin = origin(&peer, host.as_ref(), &request, &proxies);
            let mut headers = of_request(black_box(&request), 8);
            describe_client(&mut headers, &peer, &origin);
            headers
        });
    });
    let answer = request.clone();
    group.bench_function("answer from the registry", |bencher| {
        bencher.iter_batched_ref(|| answer.clone(), strip_response, BatchSize::SmallInput);
    });
    let origin = origin(&peer, host.as_ref(), &request, &proxies);
    let location = "http://localhost:5000/v2/team/image/blobs/uploads/one?_state=abc";
    group.bench_function("location", |bencher| {
        bencher.iter(|| rewrite(black_box(location), &origin, Some("localhost:5000")).unwrap());
    });
    group.finish();
}
