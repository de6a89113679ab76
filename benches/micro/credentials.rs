//! Passwords and tokens.

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use tempfile::TempDir;

use crate::auth::{Authenticator, Tokens};
use crate::config;
use crate::config::Config;
use crate::identity::{Grants, Identity, Rights};
use crate::metrics::Logins;

/// The first check of a password computes a hash, the next ones remember it.
pub fn passwords(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("htpasswd");
    let text = format!("[auth]\nhtpasswd = \"{}\"\n", file.display());
    let config = Config::parse(&text, std::path::Path::new("/etc/dockgate"), &[]);
    let config = config.unwrap().config;
    // "secret", by Apache's htpasswd and openssl passwd.
    let formats = [
        ("SHA", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=".to_owned()),
        ("bcrypt 5", bcrypt::hash("secret", 5).unwrap()),
        ("bcrypt 10", bcrypt::hash("secret", 10).unwrap()),
    ];
    let peer = super::heads::peer();
    let header: &[u8] = b"Basic YWxpY2U6c2VjcmV0";
    let mut group = criterion.benchmark_group("password");
    for (name, hash) in formats {
        fs::write(&file, format!("alice:{hash}\n")).unwrap();
        let (desk, _) =
            Authenticator::load(&config.auth, &config.limits, Logins::default()).unwrap();
        let ask = || runtime.block_on(desk.authenticate(black_box(&[header]), &peer));
        assert!(ask().is_ok());
        group.bench_function(format!("{name}, remembered"), |bencher| {
            bencher.iter(|| ask().is_ok());
        });
        group.bench_function(format!("{name}, computed"), |bencher| {
            bencher.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    desk.reload().unwrap();
                    let start = tokio::time::Instant::now();
                    assert!(ask().is_ok());
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

pub fn tokens(criterion: &mut Criterion) {
    let folder = TempDir::new().unwrap();
    let settings = config::Token {
        path: "/v2/token".into(),
        service: None,
        lifetime: Duration::from_secs(300),
        signing_key: None,
    };
    let (tokens, _) = Tokens::load(&settings, folder.path(), None).unwrap();
    let alice = Identity {
        user: Some("alice".into()),
        ..Identity::default()
    };
    let mut grants = Grants::default();
    grants.add(
        "team/project",
        Rights {
            pull: true,
            push: true,
            delete: false,
        },
    );
    let service = "registry.example.com";
    let peer = super::heads::peer();
    let token = tokens.issue(&alice, &grants, service).unwrap();
    let mut group = criterion.benchmark_group("token");
    group.bench_function("issue", |bencher| {
        bencher.iter(|| tokens.issue(black_box(&alice), &grants, service).unwrap());
    });
    group.bench_function("check", |bencher| {
        bencher.iter(|| {
            tokens
                .verify(black_box(token.as_bytes()), service, &peer)
                .is_ok()
        });
    });
    group.finish();
}
