//! What the process may touch: its own files, and nobody its memory.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::ask::{Reply, ask, basic};
use crate::support::peers::{need, skip};
use crate::support::program::Program;
use crate::support::site::digest;

/// What the log says when files are out of reach.
const OUTSIDE: &str = "lies outside of what this process confined itself to";

/// A user of no rights whatever.
const NOBODY: &str = "65534";

fn toml(htpasswd: &Path, more: &str) -> String {
    format!(
        "state_dir = \"state\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[registry.filesystem]\n\
         rootdirectory = \"images\"\n[auth]\nhtpasswd = \"{}\"\n{more}",
        htpasswd.display()
    )
}

fn start(more: &str) -> Program {
    Program::start_with(&toml(Path::new("users/htpasswd"), more), |dir| {
        fs::create_dir(dir.join("users")).unwrap();
        fs::write(dir.join("users/htpasswd"), "ann:{PLAIN}one\n").unwrap();
    })
}

/// Whether the kernel can do it at all.
fn is_confined(program: &Program) -> bool {
    let line = program.err_line("confined");
    !line.contains("this kernel has no Landlock") || skip("this kernel has no Landlock")
}

fn get(program: &Program, user: &str, password: &str) -> u16 {
    let login = basic(user, password);
    ask(program.address(0), "GET /v2/", &[&login], b"").status
}

fn push(program: &Program, user: &str, password: &str, content: &[u8]) -> Reply {
    let request = format!("POST /v2/a/b/blobs/uploads/?digest={}", digest(content));
    let login = basic(user, password);
    ask(program.address(0), &request, &[&login], content)
}

#[test]
fn a_confined_gate_serves_and_takes_up_what_is_replaced() {
    let program = start("");
    if !is_confined(&program) {
        return;
    }
    let told = program.err_line("confined by Landlock");
    assert!(
        told.contains("writes below images and state, reads"),
        "{told}"
    );
    // It is there for a reload that begins to keep something in it, and for nobody else.
    let state = fs::metadata(program.path("state")).unwrap();
    assert_eq!(state.permissions().mode() & 0o777, 0o700);
    assert_eq!(push(&program, "ann", "one", b"content").status, 201);
    let login = basic("ann", "one");
    let blob = format!("GET /v2/a/b/blobs/{}", digest(b"content"));
    let reply = ask(program.address(0), &blob, &[&login], b"");
    assert_eq!((reply.status, reply.body.as_str()), (200, "content"));

    fs::write(program.path("users/new"), "ann:{PLAIN}two\n").unwrap();
    fs::rename(program.path("users/new"), program.path("users/htpasswd")).unwrap();
    program.signal(Signal::HUP);
    program.err_line("reloaded");
    assert_eq!(get(&program, "ann", "one"), 401);
    assert_eq!(push(&program, "ann", "two", b"more").status, 201);
}

#[test]
fn what_a_reload_names_elsewhere_waits_for_a_restart() {
    let elsewhere = TempDir::new_in(ELSEWHERE).unwrap();
    let other = elsewhere.path().join("htpasswd");
    fs::write(&other, "bob:{PLAIN}two\n").unwrap();
    let program = start("");
    if !is_confined(&program) {
        return;
    }
    let file = program.path("proxy.toml");

    fs::write(&file, toml(&other, "")).unwrap();
    program.signal(Signal::HUP);
    let told = program.err_line(OUTSIDE);
    assert!(told.contains(other.to_str().unwrap()), "{told}");
    assert!(told.contains("reload_failed"), "{told}");
    assert_eq!(get(&program, "bob", "two"), 401);
    assert_eq!(get(&program, "ann", "one"), 200);

    let moved = format!("rootdirectory = \"{}\"", elsewhere.path().display());
    let text = toml(Path::new("users/htpasswd"), "");
    fs::write(&file, text.replace("rootdirectory = \"images\"", &moved)).unwrap();
    program.signal(Signal::HUP);
    program.err_line(&format!("{} {OUTSIDE}", elsewhere.path().display()));
    assert_eq!(push(&program, "ann", "one", b"content").status, 201);

    // In a folder of ours, a new name is as good as the old one.
    fs::write(program.path("users/others"), "bob:{PLAIN}two\n").unwrap();
    fs::write(&file, toml(Path::new("users/others"), "")).unwrap();
    program.signal(Signal::HUP);
    program.err_line("reload: reloaded");
    assert_eq!(get(&program, "bob", "two"), 200);
}

#[test]
fn a_folder_that_is_replaced_as_a_whole_waits_for_a_restart() {
    // Below the folder of the configuration it would still be at home.
    let elsewhere = TempDir::new_in(ELSEWHERE).unwrap();
    let at = |name: &str| elsewhere.path().join(name);
    fs::create_dir(at("users")).unwrap();
    fs::write(at("users/htpasswd"), "ann:{PLAIN}one\n").unwrap();
    let program = Program::start(&toml(&at("users/htpasswd"), ""));
    if !is_confined(&program) {
        return;
    }
    fs::rename(at("users"), at("old")).unwrap();
    fs::create_dir(at("users")).unwrap();
    fs::write(at("users/htpasswd"), "ann:{PLAIN}two\n").unwrap();
    program.signal(Signal::HUP);
    program.err_line(OUTSIDE);
    assert_eq!(get(&program, "ann", "one"), 200, "the old one stays");
}

#[test]
fn without_landlock_a_reload_reaches_whatever_its_user_may() {
    let elsewhere = TempDir::new_in(ELSEWHERE).unwrap();
    let other = elsewhere.path().join("htpasswd");
    fs::write(&other, "bob:{PLAIN}two\n").unwrap();
    let program = start("[process]\nlandlock = false\n");
    program.err_line("not confined: process.landlock is false");
    fs::write(program.path("proxy.toml"), toml(&other, "")).unwrap();
    program.signal(Signal::HUP);
    program.err_line("reload: reloaded");
    program.err_line("not changed until the next start: process.landlock: false stays");
    assert_eq!(get(&program, "bob", "two"), 200);
}

/// A folder that no configuration names, and in which nobody keeps what one does.
const ELSEWHERE: &str = "/var/tmp";

/// `dockgate` as [`NOBODY`], with what lies in this folder; killed when it is dropped.
struct Unprivileged {
    child: Child,
}

impl Unprivileged {
    fn start(dir: &Path) -> Self {
        let program = dir.join("dockgate");
        fs::copy(env!("CARGO_BIN_EXE_dockgate"), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
        fs::write(
            dir.join("proxy.toml"),
            "[[listener]]\naddress = \"127.0.0.1:0\"\n",
        )
        .unwrap();
        let mut child = as_nobody(&program)
            .current_dir(dir)
            .env("SECRET", "word")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.any(|line| line.unwrap().contains("listening"));
        assert!(ready, "it does not start");
        // The rest has to go somewhere.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child }
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }
}

impl Drop for Unprivileged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
    command
        .args(user)
        .args(["--clear-groups", "--"])
        .arg(program);
    command
}

#[test]
fn a6_nobody_gets_a_copy_of_the_memory_not_even_who_is_the_same_user() {
    let is_root = rustix::process::geteuid().is_root();
    if !need(&["setpriv", "cat"]) || !(is_root || skip("setpriv needs root")) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let gate = Unprivileged::start(dir.path());
    let limits = fs::read_to_string(gate.file("limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(core, ["0", "0"], "{limits}");

    let read = |file: &str| as_nobody(Path::new("cat")).arg(file).output().unwrap();
    let refused = read(&gate.file("environ"));
    assert!(!refused.status.success());
    assert!(!String::from_utf8_lossy(&refused.stdout).contains("SECRET"));
    // It is not for want of rights that it fails: the same of another process of this user works.
    let mut sleeping = as_nobody(Path::new("sleep"));
    let mut sleeping = sleeping.arg("60").env("SECRET", "word").spawn().unwrap();
    let other = format!("/proc/{}/environ", sleeping.id());
    let seen = std::iter::repeat_with(|| read(&other)).take(500);
    let seen = seen.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let seen = seen.into_iter().any(|text| text.contains("SECRET"));
    let _ = sleeping.kill();
    let _ = sleeping.wait();
    assert!(seen);
}
