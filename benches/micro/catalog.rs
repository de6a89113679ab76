//! A page of the catalog of 100,000 repositories, through the public door: a server in this process, on a Unix socket.

use std::fs;
use std::path::Path;

use criterion::Criterion;
use dockgate::Server;
use dockgate::config::Config;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const REPOSITORIES: usize = 100_000;

pub fn pages(criterion: &mut Criterion) {
    let folder = TempDir::new_in(if Path::new("/dev/shm").is_dir() {
        "/dev/shm"
    } else {
        "/tmp"
    });
    let folder = folder.unwrap();
    for number in 0..REPOSITORIES {
        repository(folder.path(), &name(number));
    }
    let socket = folder.path().join("gate.sock");
    let text = format!(
        "state_dir = \"{0}/state\"\n[[listener]]\naddress = \"unix:{0}/gate.sock\"\n\
         [registry.filesystem]\nrootdirectory = \"{0}\"\n[log]\naccess = false\n\
         [[rule]]\nwho = [\"anonymous\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\n",
        folder.path().display()
    );
    let config = Config::parse(&text, Path::new("/etc/dockgate"), &[]);
    let server = Server::load(config.unwrap().config).unwrap();
    let runtime = Runtime::new().unwrap();
    let (_stop, commands) = mpsc::channel(1);
    let bound = runtime.block_on(async { server.bind().unwrap() });
    runtime.spawn(bound.run(commands));
    let mut stream = runtime.block_on(UnixStream::connect(&socket)).unwrap();
    let mut group = criterion.benchmark_group("catalog of 100,000");
    group.sample_size(10);
    let last = name(REPOSITORIES - 101).replace('/', "%2F");
    for (page, target) in [
        ("first page", "/v2/_catalog?n=100".to_owned()),
        ("last page", format!("/v2/_catalog?n=100&last={last}")),
    ] {
        group.bench_function(page, |bencher| {
            bencher.iter(|| runtime.block_on(ask(&mut stream, &target)));
        });
    }
    group.finish();
}

fn name(number: usize) -> String {
    format!("team-{:03}/image-{number:06}", number / 1000)
}

/// As little of a repository as makes it one.
fn repository(root: &Path, name: &str) {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let hex = digest.trim_start_matches("sha256:");
    let manifests = root.join(format!("docker/registry/v2/repositories/{name}/_manifests"));
    for link in [
        format!("revisions/sha256/{hex}/link"),
        "tags/latest/current/link".into(),
    ] {
        let file = manifests.join(link);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, digest).unwrap();
    }
}

/// Asks over a connection that stays open; the answer has a length or ends with the last chunk.
async fn ask(stream: &mut UnixStream, target: &str) -> usize {
    let request = format!("GET {target} HTTP/1.1\r\nHost: registry.bench\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::with_capacity(16 * 1024);
    loop {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
        let done = match length {
            Some(length) => answer.len() >= end + 4 + length,
            None => answer.ends_with(b"\r\n0\r\n\r\n"),
        };
        if done {
            return answer.len();
        }
    }
}
