//! Files that are very large, swapped as Kubernetes does it, half written, gone, or in a folder that cannot be used.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::ask::{ask, basic};
use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::memory::peak;
use crate::support::origin::Origin;
use crate::support::peers::need;
use crate::support::program::{Program, dockgate};

fn toml(origin: &Origin, auth: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n[auth]\n{auth}",
        origin.url()
    )
}

fn status(program: &Program, user: &str, password: &str) -> u16 {
    ask(
        program.address(0),
        "GET /v2/",
        &[&basic(user, password)],
        b"",
    )
    .status
}

/// A file of so many users whose names begin like this; the hash is the one of DES for an empty password.
fn many(path: &Path, users: usize, name: &str) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    for n in 0..users {
        writeln!(file, "{name}{n}:abJnggxhB/yWI").unwrap();
    }
    writeln!(file, "ann:{{PLAIN}}secret").unwrap();
    file.into_inner().unwrap().sync_all().unwrap();
}

#[test]
fn c6_c7_a_million_users_are_read_in_seconds_and_exchanged_while_others_are_served() {
    const USERS: usize = 1_000_000;
    let origin = Origin::start();
    let begun = Instant::now();
    let program = Program::start_with(&toml(&origin, "htpasswd = \"htpasswd\"\n"), |dir| {
        many(&dir.join("htpasswd"), USERS, "user");
    });
    assert_eq!(status(&program, "ann", "secret"), 200);
    let seconds = begun.elapsed().as_secs();
    assert!(seconds < 60, "{seconds} s");
    // 23 MB of text and 24 MB of index.
    let held = peak(program.dir());
    assert!(held < 150, "{held} MiB");

    let next = program.path("next");
    many(&next, USERS, "other");
    let begun = Instant::now();
    fs::rename(&next, program.path("htpasswd")).unwrap();
    let mut answers = 0;
    while !program.stderr().contains("reload: reloaded") {
        assert_eq!(status(&program, "ann", "secret"), 200);
        assert!(begun.elapsed().as_secs() < 60, "it is not taken up");
        answers += 1;
    }
    assert!(answers > 0);
    assert_eq!(status(&program, "ann", "secret"), 200);
    let held = peak(program.dir());
    assert!(held < 250, "{held} MiB with both of them at once");
}

#[test]
fn c7_c8_n59_kubernetes_swaps_passwords_and_groups_by_one_link_and_half_a_file_changes_nothing() {
    let origin = Origin::start();
    let rules = "htpasswd = \"auth/htpasswd\"\ngroups = \"auth/groups\"\n[[rule]]\nwho = [\"group:ci\"]\nrepositories = [\"**\"]\nactions = [\"pull\"]\n";
    let program = Program::start_with(&toml(&origin, rules), |dir| {
        fs::create_dir(dir.join("auth")).unwrap();
        put(dir, "..1", b"ann:{PLAIN}old\n", b"ci: ann\n");
        symlink("..1", dir.join("auth/..data")).unwrap();
        for name in ["htpasswd", "groups"] {
            symlink(format!("..data/{name}"), dir.join("auth").join(name)).unwrap();
        }
    });
    let read = |user: &str, password: &str| {
        let login = basic(user, password);
        ask(program.address(0), "GET /v2/a/tags/list", &[&login], b"").status
    };
    assert_eq!(read("ann", "old"), 200);

    put(
        program.dir(),
        "..2",
        b"ann:{PLAIN}new\nbob:{PLAIN}b\n",
        b"ci: bob\n",
    );
    swap(&program, "..2", "..1");
    program.err_times("reload: reloaded", 1);
    assert_eq!(
        (read("ann", "old"), read("ann", "new"), read("bob", "b")),
        (401, 404, 200)
    );

    // What is half written, of another kind, or not there at all leaves everything as it was, and is told.
    let stays = "credentials not reloaded, the old ones stay";
    let halves: [&[u8]; 3] = [
        b"ann:{PLA",
        b"\x7fELF\0\0\0",
        b"-----BEGIN PRIVATE KEY-----\n",
    ];
    for (n, half) in halves.into_iter().enumerate() {
        put(program.dir(), &format!("..half{n}"), half, b"ci: bob\n");
        let before = if n == 0 {
            "..2".into()
        } else {
            format!("..half{}", n - 1)
        };
        swap(&program, &format!("..half{n}"), &before);
        program.err_times(stays, n + 1);
        assert_eq!((read("ann", "new"), read("bob", "b")), (404, 200));
    }
    fs::remove_file(program.path("auth/..data")).unwrap();
    program.err_times(stays, halves.len() + 1);
    assert_eq!((read("ann", "new"), read("bob", "b")), (404, 200));

    // And when it is whole again, it counts.
    put(program.dir(), "..3", b"ann:{PLAIN}newest\n", b"ci: ann\n");
    symlink("..3", program.path("auth/..data")).unwrap();
    program.err_times("reload: reloaded", 2);
    assert_eq!((read("ann", "newest"), read("bob", "b")), (200, 401));
    tell(BAD_INPUTS, halves.len() + 1);
}

/// A folder with both files beside the one in force.
fn put(dir: &Path, name: &str, htpasswd: &[u8], groups: &[u8]) {
    let folder = dir.join("auth").join(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("htpasswd"), htpasswd).unwrap();
    fs::write(folder.join("groups"), groups).unwrap();
}

fn swap(program: &Program, to: &str, from: &str) {
    symlink(to, program.path("auth/..data_tmp")).unwrap();
    fs::rename(program.path("auth/..data_tmp"), program.path("auth/..data")).unwrap();
    fs::remove_dir_all(program.path("auth").join(from)).unwrap();
}

#[test]
fn c10_a_state_dir_that_cannot_be_used_is_named_and_nothing_is_served() {
    if !need(&["setpriv"]) {
        return;
    }
    // As another user, in a folder of root's; in the place of a file; where there can be no files.
    let locked = TempDir::new().unwrap();
    fs::set_permissions(locked.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let owned = locked.path().join("owned");
    fs::create_dir(&owned).unwrap();
    fs::set_permissions(&owned, fs::Permissions::from_mode(0o700)).unwrap();
    let file = locked.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    for (state_dir, nobody) in [
        (owned.as_path(), true),
        (&locked.path().join("new"), true),
        (&file, false),
        (Path::new("/proc/dockgate"), false),
    ] {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let text = format!(
            "state_dir = \"{}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n[upstream]\nurl = \"http://127.0.0.1:1\"\n[auth]\nanonymous = \"pull\"\n",
            state_dir.display()
        );
        fs::write(folder.path().join("proxy.toml"), text).unwrap();
        let mut command = dockgate();
        if nobody {
            command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.arg(env!("CARGO_BIN_EXE_dockgate")).env_clear();
        }
        command.arg("serve").stdout(Stdio::null());
        let (code, _, said) = Program::spawn(folder, command).end();
        assert_eq!(code, Some(2), "{state_dir:?}: {said}");
        let named = said.contains(state_dir.to_str().unwrap());
        assert!(named && !said.contains("listening"), "{said}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"not a folder");
}
