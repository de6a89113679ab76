//! The registry over starts, stops and full disks.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::ask::{Reply, ask};
use crate::support::gate::Gate;
use crate::support::house::eventually;
use crate::support::peers;
use crate::support::process::run;
use crate::support::program::Program;
use crate::support::raw::Raw;
use crate::support::site::digest;

/// `root:toor`
const LOGIN: &str = "Authorization: Basic cm9vdDp0b29y";

fn configuration(state: &Path) -> String {
    format!(
        "state_dir = \"{}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\n\
         [auth]\nhtpasswd = \"htpasswd\"\n[timeouts]\ndrain = \"1s\"\n",
        state.display()
    )
}

fn user(folder: &Path) {
    fs::write(folder.join("htpasswd"), "root:{PLAIN}toor\n").unwrap();
}

fn start(state: &TempDir) -> Program {
    Program::start_with(&configuration(state.path()), user)
}

#[track_caller]
fn say(program: &Program, request: &str, body: &[u8]) -> Reply {
    ask(program.address(0), request, &[LOGIN], body)
}

/// The path of a new upload, and a connection that has sent five bytes of ten to it.
fn half(program: &Program) -> (String, Raw) {
    let begun = say(program, "POST /v2/a/blobs/uploads/", b"");
    let location = begun.one("location").to_owned();
    let host = format!("http://{}", program.address(0));
    let path = location.strip_prefix(&host).unwrap().to_owned();
    let mut raw = Raw::tcp(program.address(0));
    raw.send(format!(
        "PATCH {path} HTTP/1.1\r\nHost: gate\r\n{LOGIN}\r\nContent-Length: 10\r\n\r\n01234"
    ));
    // Somebody writes it.
    let other = || {
        let lines = [LOGIN, "Content-Range: 9-9"];
        ask(program.address(0), &format!("PATCH {path}"), &lines, b"x")
    };
    eventually(|| (other().status == 409).then_some(()));
    (path, raw)
}

#[test]
fn g9_p1_an_upload_that_a_stop_cuts_goes_on_after_the_start() {
    let state = TempDir::new().unwrap();
    let program = start(&state);
    let (path, _raw) = half(&program);
    program.signal(Signal::TERM);
    let (code, _, err) = program.end();
    assert_eq!(code, Some(0), "{err}");
    let program = start(&state);
    let reply = say(&program, &format!("GET {path}"), b"");
    assert_eq!((reply.status, reply.one("range")), (204, "0-4"));
    let blob = digest(b"0123456789");
    let put = say(&program, &format!("PUT {path}?digest={blob}"), b"56789");
    assert_eq!(put.status, 201, "{put:#?}");
}

#[test]
fn p1_what_was_acknowledged_outlives_the_process() {
    let state = TempDir::new().unwrap();
    let mut program = start(&state);
    let (path, _raw) = half(&program);
    let blob = digest(b"content");
    let post = say(
        &program,
        &format!("POST /v2/a/blobs/uploads/?digest={blob}"),
        b"content",
    );
    assert_eq!(post.status, 201);
    program.signal(Signal::KILL);
    program.wait();
    let program = start(&state);
    let reply = say(&program, &format!("GET /v2/a/blobs/{blob}"), b"");
    assert_eq!(reply.body, "content");
    // The upload is there, as far as it was saved, and can be begun with again.
    let reply = say(&program, &format!("GET {path}"), b"");
    assert_eq!((reply.status, reply.one("range")), (204, "0-0"));
    let blob = digest(b"0123456789");
    let put = say(
        &program,
        &format!("PUT {path}?digest={blob}"),
        b"0123456789",
    );
    assert_eq!(put.status, 201, "{put:#?}");
}

#[test]
fn g11_n56_abandoned_uploads_are_removed_at_the_start_and_others_are_not() {
    let uploads = "dockgate-data/registry/docker/registry/v2/repositories/a/_uploads";
    let [old, young] = [
        "00000000-0000-4000-8000-000000000001",
        "00000000-0000-4000-8000-000000000002",
    ];
    let toml = "[[listener]]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\n\
                [auth]\nhtpasswd = \"htpasswd\"\n";
    let gate = Gate::start_with(toml, |folder| {
        user(folder);
        for (id, hours) in [(old, 169), (young, 167)] {
            let folder = folder.join(uploads).join(id);
            fs::create_dir_all(&folder).unwrap();
            let at = SystemTime::now() - Duration::from_secs(hours * 3600);
            let text = jiff::Timestamp::try_from(at).unwrap();
            let text = text.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            for (name, content) in [("startedat", text.as_str()), ("data", "01234")] {
                let path = folder.join(name);
                fs::write(&path, content).unwrap();
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_modified(at).unwrap();
            }
        }
    });
    let uploads = gate.dir().join(uploads);
    eventually(|| (!uploads.join(old).exists()).then_some(()));
    assert!(uploads.join(young).join("data").exists());
}

/// A small file system of its own, gone with this value.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", "size=8m", "none"])
            .arg(at);
        let mounted = command.status().is_ok_and(|status| status.success());
        mounted.then_some(Self(at))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn g7_n55_a_full_disk_is_told_and_loses_nothing() {
    let state = TempDir::new().unwrap();
    let Some(_small) = Small::mount(state.path()) else {
        let _ = peers::skip("no file system can be mounted here");
        return;
    };
    let program = start(&state);
    let small = digest(b"content");
    let put = say(
        &program,
        &format!("POST /v2/a/blobs/uploads/?digest={small}"),
        b"content",
    );
    assert_eq!(put.status, 201);
    let large = vec![b'x'; 20 << 20];
    let blob = digest(&large);
    let push = || {
        let request = format!("POST /v2/a/blobs/uploads/?digest={blob}");
        say(&program, &request, &large)
    };
    let full = push();
    assert_eq!((full.status, &*full.error().0), (507, "UNAVAILABLE"));
    assert!(!full.body.contains("docker/registry"), "{}", full.body);
    program.err_line("storage_full");
    assert_eq!(
        say(&program, &format!("HEAD /v2/a/blobs/{blob}"), b"").status,
        404
    );
    let read = say(&program, &format!("GET /v2/a/blobs/{small}"), b"");
    assert_eq!(read.body, "content");
    // As soon as there is space, all is as before.
    run(Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(state.path()))
    .succeeds("the disk grows");
    assert_eq!(push().status, 201);
}
