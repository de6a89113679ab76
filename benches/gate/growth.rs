//! How cost grows with what there is more of. Small figures of our own program alone; nobody is compared.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::load::Order;
use crate::measure::{cost, median};
use crate::options::Options;
use crate::peer::{Kind, Peer};
use crate::rows::Bench;
use crate::site::{PASSWORD, Site, USER, digest};

/// Lines over a scale.
#[derive(Clone, Debug)]
pub struct Plot {
    pub file: &'static str,
    pub title: String,
    pub across: &'static str,
    pub up: &'static str,
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Requests per point.
const REQUESTS: usize = 4000;

/// Draws all that are wanted.
pub fn all(options: &Options) -> Vec<Plot> {
    type Draw = fn(&Bench<'_>) -> Plot;
    let plots: [(&str, Draw); 5] = [
        ("growth, connections", connections),
        ("growth, repositories", repositories),
        ("growth, tags", tags),
        ("growth, users", users),
        ("growth, rules", rules),
    ];
    let wanted: Vec<_> = plots
        .into_iter()
        .filter(|(name, _)| options.wants(name))
        .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let bench = Bench {
        options,
        site: Site::new(1, 1),
    };
    let draw = |(name, draw): (&str, Draw)| {
        let plot = draw(&bench);
        println!("{name}: {:?}", plot.lines);
        plot
    };
    wanted.into_iter().map(draw).collect()
}

/// CPU microseconds of one of `number` requests.
fn request_cost(bench: &Bench<'_>, peer: &Peer, order: &Order, number: usize) -> f64 {
    let run = |number: usize| {
        let order = order.clone().with("requests", number);
        order.run(peer, &bench.site.ca, bench.core());
    };
    run(number / 10 + 1);
    let costs = (0..3).map(|_| cost(&[peer], || run(number)).as_secs_f64() * 1e6 / number as f64);
    median(costs.collect())
}

fn powers(highest: usize) -> Vec<usize> {
    let mut all: Vec<_> = (0..10)
        .map(|power| 10_usize.pow(power))
        .take_while(|number| *number < highest)
        .collect();
    all.push(highest);
    all
}

fn connections(bench: &Bench<'_>) -> Plot {
    let upstream = Peer::fast_upstream(&bench.site, bench.core());
    let setup = bench.setup(&bench.site.ecdsa);
    let order = Order::new("get").with("target", "/v2/");
    let mut lines = Vec::new();
    for kind in [Kind::Dockgate, Kind::NginxBest] {
        let peer = Peer::in_front(&bench.site, kind, upstream.address, &setup);
        let points = powers(bench.options.size(4000, 100))
            .into_iter()
            .map(|open| {
                let others = Order::new("hold")
                    .with("target", "/v2/")
                    .with("connections", open);
                let held = others.begin(&peer, &bench.site.ca, bench.core());
                let cost = request_cost(
                    bench,
                    &peer,
                    &order.clone().with("connections", 8),
                    REQUESTS,
                );
                held.stop();
                (open as f64, cost)
            });
        lines.push((kind.name().to_owned(), points.collect()));
    }
    Plot {
        file: "connections",
        title: "GET /v2/ beside idle TLS connections".into(),
        across: "connections open",
        up: "CPU us per request",
        lines,
    }
}

fn rules(bench: &Bench<'_>) -> Plot {
    let upstream = Peer::fast_upstream(&bench.site, bench.core());
    let setup = bench.setup(&bench.site.ecdsa);
    let order = Order::new("get").with("target", "/v2/bench/image/manifests/latest");
    let points = powers(bench.options.size(10_000, 100)).into_iter().map(|number| {
        let mut text = String::new();
        for rule in 1..number {
            let _ = write!(
                text,
                "[[rule]]\nwho = [\"user:u{rule}\"]\nrepositories = [\"team-{rule}/**\"]\nactions = [\"pull\"]\n"
            );
        }
        let peer = Peer::with_rules(&bench.site, upstream.address, &setup, &text);
        (number as f64, request_cost(bench, &peer, &order, REQUESTS))
    });
    Plot {
        file: "rules",
        title: "GET manifest with many rules, of which the last one allows it".into(),
        across: "rules",
        up: "CPU us per request",
        lines: vec![("dockgate".to_owned(), points.collect())],
    }
}

fn users(bench: &Bench<'_>) -> Plot {
    let upstream = Peer::fast_upstream(&bench.site, bench.core());
    let hash = bcrypt::hash(PASSWORD, 5).unwrap();
    let mut lines = Vec::new();
    for kind in [Kind::Dockgate, Kind::NginxBest] {
        let points = powers(bench.options.size(100_000, 1000))
            .into_iter()
            .map(|number| {
                let mut text = String::new();
                for user in 1..number {
                    let _ = writeln!(text, "user-{user}:{hash}");
                }
                let _ = writeln!(text, "{USER}:{}", hash.replacen("$2b$", "$2y$", 1));
                let file = bench.site.file("users.htpasswd");
                fs::write(&file, text).unwrap();
                let setup = crate::peer::Setup {
                    htpasswd: Some(&file),
                    ..bench.setup(&bench.site.ecdsa)
                };
                let peer = Peer::in_front(&bench.site, kind, upstream.address, &setup);
                let order = Order::new("get")
                    .with("target", "/v2/")
                    .with("login", format!("{USER}:{PASSWORD}"));
                let requests = if kind == Kind::Dockgate {
                    REQUESTS
                } else {
                    100
                };
                (number as f64, request_cost(bench, &peer, &order, requests))
            });
        lines.push((kind.name().to_owned(), points.collect()));
    }
    Plot {
        file: "users",
        title: "GET /v2/ with a password (bcrypt 5), the user is the last one in the file".into(),
        across: "users in the password file",
        up: "CPU us per request",
        lines,
    }
}

fn repositories(bench: &Bench<'_>) -> Plot {
    let manifest = fs::read(&bench.site.manifest.file).unwrap();
    let mut first = Vec::new();
    let mut last = Vec::new();
    for number in powers(bench.options.size(100_000, 100)) {
        let root = bench.site.folder("many");
        let name = |number: usize| format!("team-{:03}/image-{number:06}", number / 1000);
        for repository in 0..number {
            repository_with_a_tag(&root, &name(repository), "latest", &manifest);
        }
        let setup = bench.setup(&bench.site.ecdsa);
        let peer = Peer::embedded(&bench.site, &root, &setup);
        let target = "/v2/_catalog?n=100";
        let cost = |target: &str| {
            request_cost(bench, &peer, &Order::new("get").with("target", target), 10)
        };
        first.push((number as f64, cost(target)));
        let before = name(number.saturating_sub(101)).replace('/', "%2F");
        last.push((number as f64, cost(&format!("{target}&last={before}"))));
        drop(peer);
        fs::remove_dir_all(&root).unwrap();
    }
    Plot {
        file: "repositories",
        title: "a page of 100 of the catalog, embedded registry".into(),
        across: "repositories",
        up: "CPU us per page",
        lines: vec![("first page".into(), first), ("last page".into(), last)],
    }
}

fn tags(bench: &Bench<'_>) -> Plot {
    let manifest = fs::read(&bench.site.manifest.file).unwrap();
    let mut pages = Vec::new();
    let mut pulls = Vec::new();
    for number in powers(bench.options.size(50_000, 100)) {
        let root = bench.site.folder("tags");
        for tag in 0..number {
            repository_with_a_tag(&root, "bench/image", &format!("tag-{tag:06}"), &manifest);
        }
        let setup = bench.setup(&bench.site.ecdsa);
        let peer = Peer::embedded(&bench.site, &root, &setup);
        let list = Order::new("get").with("target", "/v2/bench/image/tags/list?n=100");
        pages.push((number as f64, request_cost(bench, &peer, &list, 10)));
        let pull = Order::new("get").with("target", "/v2/bench/image/manifests/tag-000000");
        pulls.push((number as f64, request_cost(bench, &peer, &pull, 400)));
        drop(peer);
        fs::remove_dir_all(&root).unwrap();
    }
    Plot {
        file: "tags",
        title: "one repository with many tags, embedded registry".into(),
        across: "tags",
        up: "CPU us per request",
        lines: vec![
            ("a page of 100 tags".into(), pages),
            ("a manifest by its tag".into(), pulls),
        ],
    }
}

/// What registry:2 writes for a repository with one tag: three links, and the manifest once.
pub fn repository_with_a_tag(root: &Path, name: &str, tag: &str, manifest: &[u8]) {
    let digest = digest(manifest);
    let hex = digest.trim_start_matches("sha256:");
    let base = root.join("docker/registry/v2");
    let blob = base.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]));
    if !blob.exists() {
        write(&blob, manifest);
    }
    let manifests = base.join(format!("repositories/{name}/_manifests"));
    let revision = manifests.join(format!("revisions/sha256/{hex}/link"));
    if !revision.exists() {
        write(&revision, digest.as_bytes());
    }
    let tag = manifests.join(format!("tags/{tag}"));
    write(&tag.join("current/link"), digest.as_bytes());
    write(
        &tag.join(format!("index/sha256/{hex}/link")),
        digest.as_bytes(),
    );
}

fn write(file: &Path, bytes: &[u8]) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}
