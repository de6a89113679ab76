//! Who may, with many rules.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::Criterion;
use http::{Method, Uri};

use crate::acl::Acl;
use crate::config::Config;
use crate::identity::Identity;
use crate::route::Route;

const RULES: usize = 10_000;

pub fn ten_thousand(criterion: &mut Criterion) {
    let mut text = String::from("[auth]\nanonymous = \"none\"\n");
    for rule in 0..RULES {
        let _ = write!(
            text,
            "[[rule]]\nwho = [\"user:u{rule}\"]\nrepositories = [\"team-{rule}/**\"]\nactions = [\"pull\", \"push\"]\n"
        );
    }
    let config = Config::parse(&text, std::path::Path::new("/etc/dockgate"), &[]);
    let acl = Acl::new(&config.unwrap().config);
    let peer = super::heads::peer();
    let mut group = criterion.benchmark_group("rules");
    for (name, user, repository) in [
        ("the last one allows", "u9999", "team-9999/image"),
        ("none allows", "u9999", "team-1/image"),
    ] {
        let identity = Identity {
            user: Some(user.into()),
            ..Identity::default()
        };
        let uri: Uri = format!("/v2/{repository}/manifests/latest")
            .parse()
            .unwrap();
        let route = Route::parse(&Method::GET, &uri, None).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                acl.authorize(black_box(&identity), &peer, &route.access())
                    .is_ok()
            });
        });
    }
    group.finish();
}
