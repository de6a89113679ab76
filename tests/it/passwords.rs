//! Password hashes against the tools that wrote the files in the world: Apache's `htpasswd`, `openssl passwd` and
//! libc's crypt (through perl). Theirs must open here, and ours there.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Seek, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Words and bytes that hashing code has got wrong: lengths around every block and limit, high bits, no UTF-8.
fn passwords() -> Vec<Vec<u8>> {
    let lengths = [
        1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 55, 56, 63, 64, 65, 71, 72, 73, 100, 127, 128, 129, 200,
    ];
    let texts: [&[u8]; 13] = [
        b"",
        b"password",
        b"correct horse battery staple",
        "\u{e9}t\u{e9}".as_bytes(),
        "\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}".as_bytes(),
        "\u{5bc6}\u{7801}\u{1f511}".as_bytes(),
        b"with:colon:s",
        b" blanks around ",
        b"tab\tand \x01\x7f",
        b"\xff",
        b"\xff\xa3\x33\x34\x35",
        TWO_A_GUARD,
        b"-Bbn $1$ {SHA} \\ ' \" %s",
    ];
    let counted = lengths.map(|length| (b'!'..=b'z').cycle().take(length).collect());
    texts
        .iter()
        .map(|text| text.to_vec())
        .chain(counted)
        .collect()
}

/// crypt's `$2a$` computes something else for this one, on purpose (a guard against the fault of `$2x$`).
const TWO_A_GUARD: &[u8] = b"\xff\xa3\x33\x34\xff\xff\xff\xa3\x33\x34\x35";

/// bcrypt looks at no more, and dockgate refuses more.
const MAX_BCRYPT: usize = 72;

/// What crypt is asked for: every format with usual, short, empty, odd and over-long salts, and rounds.
const SETTINGS: [&str; 27] = [
    "$1$saltsalt$",
    "$1$$",
    "$1$a$",
    "$1$_@-+=~^$",
    "$1$muchlongerthaneight$",
    "$5$saltstringsaltst$",
    "$5$$",
    "$5$_@-+=~^#%&$",
    "$5$rounds=1000$short$",
    "$5$rounds=12345$saltstring$",
    "$5$muchlongerthansixteencharacters$",
    "$6$saltstringsaltst$",
    "$6$$",
    "$6$_@-+=~^#%&$",
    "$6$rounds=1000$short$",
    "$6$rounds=5001$saltstring$",
    "$6$muchlongerthansixteencharacters$",
    "$2a$04$abcdefghijklmnopqrstuu",
    "$2b$04$......................",
    "$2y$05$zyxwvutsrqponmlkjihgfe",
    "$y$j75$saltsaltsaltsaltsaltsal.",
    "$y$j75$",
    "$y$j75$abcd",
    "ab",
    "./",
    "zZ",
    "9A",
];

/// False where the tool is missing: the test says so and passes on a developer's machine, and fails in CI.
#[expect(clippy::print_stderr, reason = "the harness shows it with the test")]
fn need(tool: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()));
    if !found {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{tool} is not installed: scripts/setup-peers"
        );
        eprintln!("skipped: no {tool}");
    }
    found
}

/// What a run of a program left.
struct Done {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

#[track_caller]
fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A], input: &[u8]) -> Done {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that wants no input may have gone before it is written.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code(),
        out: output.stdout,
        err: String::from_utf8_lossy(&output.stderr).into(),
    }
}

const OURS: &str = env!("CARGO_BIN_EXE_dockgate");
const THEIRS: &str = "htpasswd";

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

/// `dockgate htpasswd` with these words.
fn ours(arguments: &[OsString], input: &[u8]) -> Done {
    let arguments = [&words("htpasswd")[..], arguments].concat();
    run(OURS, &arguments, input)
}

/// One hash of one password, and whether it is to open.
struct Vector {
    maker: String,
    password: Vec<u8>,
    hash: Vec<u8>,
    opens: bool,
}

impl Vector {
    fn new(maker: impl Into<String>, password: &[u8], hash: &[u8]) -> Self {
        let bcrypt = hash.starts_with(b"$2");
        let guarded = hash.starts_with(b"$2a$") && password == TWO_A_GUARD;
        Self {
            maker: maker.into(),
            password: password.into(),
            hash: hash.into(),
            opens: !(guarded || bcrypt && password.len() > MAX_BCRYPT),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

/// Runs one line of perl for each pair; pairs and answers travel as hexadecimal.
fn perl(code: &str, pairs: &[(&[u8], &[u8])]) -> Vec<Vec<u8>> {
    let program = format!(
        "while (<STDIN>) {{ chomp; my ($p, $s) = map {{ pack 'H*', $_ }} split /,/, $_, -1; \
         my $h = {code}; print defined $h ? $h : '*', \"\\n\" }}"
    );
    let input: Vec<_> = pairs
        .iter()
        .map(|(p, s)| format!("{},{}\n", hex(p), hex(s)))
        .collect();
    let arguments = ["-MMIME::Base64", "-MDigest::SHA=sha1", "-e", &program];
    let done = run("perl", &arguments, input.concat().as_bytes());
    assert_eq!(done.code, Some(0), "{}", done.err);
    let lines = done.out.split(|byte| *byte == b'\n');
    let answers: Vec<_> = lines.take(pairs.len()).map(<[u8]>::to_vec).collect();
    assert_eq!(answers.len(), pairs.len());
    answers
}

fn vectors_of_crypt(passwords: &[Vec<u8>]) -> Vec<Vector> {
    let pairs: Vec<(&[u8], &[u8])> = passwords
        .iter()
        .flat_map(|password| SETTINGS.map(|setting| (&password[..], setting.as_bytes())))
        .collect();
    let hashes = perl("crypt($p, $s)", &pairs);
    let vectors = pairs
        .iter()
        .zip(&hashes)
        .map(|((password, setting), hash)| {
            let maker = format!("crypt {}", String::from_utf8_lossy(setting));
            assert!(!hash.starts_with(b"*"), "{maker} is not known to this libc");
            Vector::new(maker, password, hash)
        });
    vectors.collect()
}

fn vectors_of_apache(passwords: &[Vec<u8>]) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for password in passwords {
        for letters in [
            "-nbm",
            "-nbs",
            "-nbd",
            "-nb2",
            "-nb5",
            "-nb5r1000",
            "-nbBC4",
        ] {
            let arguments = [letters.as_bytes(), b"u", password].map(OsStr::from_bytes);
            let done = run(THEIRS, &arguments, b"");
            let line = done.out.strip_prefix(b"u:").unwrap();
            vectors.push(Vector::new(
                format!("htpasswd {letters}"),
                password,
                line.trim_ascii_end(),
            ));
        }
    }
    vectors
}

fn vectors_of_openssl(passwords: &[Vec<u8>]) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for password in passwords {
        for (kind, salt) in [
            ("-1", "ab"),
            ("-apr1", "./.zZ9"),
            ("-5", "odd salt"),
            ("-6", "x"),
        ] {
            let arguments = ["passwd", kind, "-salt", salt, "-stdin"];
            let done = run("openssl", &arguments, &[password, &b"\n"[..]].concat());
            let hash = done.out.trim_ascii_end();
            if hash == b"<NULL>" {
                assert!(
                    password.is_empty(),
                    "openssl 3.0 knows no SHA-crypt of an empty password"
                );
                continue;
            }
            vectors.push(Vector::new(
                format!("openssl {kind} {salt}"),
                password,
                hash,
            ));
        }
    }
    vectors
}

/// The formats that nginx alone reads.
fn vectors_of_nginx(passwords: &[Vec<u8>]) -> Vec<Vector> {
    let salts: [&[u8]; 3] = [b"", b"salt", b"\0\xff and twenty bytes more"];
    let pairs: Vec<(&[u8], &[u8])> = passwords
        .iter()
        .flat_map(|password| salts.map(|salt| (&password[..], salt)))
        .collect();
    let hashes = perl("'{SSHA}' . encode_base64(sha1($p . $s) . $s, '')", &pairs);
    let salted = pairs
        .iter()
        .zip(&hashes)
        .map(|((password, _), hash)| Vector::new("{SSHA}", password, hash));
    let plain = passwords
        .iter()
        .filter(|password| !password.contains(&b':'))
        .map(|password| Vector::new("{PLAIN}", password, &[b"{PLAIN}", &password[..]].concat()));
    salted.chain(plain).collect()
}

/// A password file with one user for each vector.
fn file_of(vectors: &[Vector]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let mut text = Vec::new();
    for (number, vector) in vectors.iter().enumerate() {
        text.extend_from_slice(format!("user{number}:").as_bytes());
        text.extend_from_slice(&vector.hash);
        text.push(b'\n');
    }
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// The exit code of `htpasswd -v`: 0 right, 3 wrong.
fn verify(path: &Path, number: usize, password: &[u8]) -> Option<i32> {
    let user = format!("user{number}");
    let password = OsString::from_vec(password.to_vec());
    ours(&["-vb".into(), path.into(), user.into(), password], b"").code
}

#[test]
fn hashes_of_every_maker_open_with_their_password_and_with_no_other() {
    if !need("perl") || !need("htpasswd") || !need("openssl") {
        return;
    }
    let passwords = passwords();
    let vectors = [
        vectors_of_crypt(&passwords),
        vectors_of_apache(&passwords),
        vectors_of_openssl(&passwords),
        vectors_of_nginx(&passwords),
    ];
    let vectors: Vec<_> = vectors.into_iter().flatten().collect();
    assert!(vectors.len() > 1400, "{} vectors", vectors.len());
    let (_folder, path) = file_of(&vectors);
    let mut broken = Vec::new();
    for (number, vector) in vectors.iter().enumerate() {
        let expected = if vector.opens { Some(0) } else { Some(3) };
        if verify(&path, number, &vector.password) != expected {
            broken.push(format!("{} {:?}", vector.maker, vector.password));
        }
        // Every third, for the time; a changed first byte counts in every format.
        let mut other = vector.password.clone();
        match other.first_mut() {
            Some(first) => *first ^= 1,
            None => other.push(b'x'),
        }
        if number % 3 == 0 && verify(&path, number, &other) != Some(3) {
            broken.push(format!(
                "{} opens for another than {:?}",
                vector.maker, vector.password
            ));
        }
    }
    assert!(
        broken.is_empty(),
        "{} of {}:\n{}",
        broken.len(),
        vectors.len(),
        broken.join("\n")
    );
}

/// Our hash of a password, made from standard input.
fn made(letters: &str, password: &[u8]) -> Option<Vec<u8>> {
    let arguments = [words(letters), words("u")].concat();
    let done = ours(&arguments, &[password, &b"\n"[..]].concat());
    let line = done.out.strip_prefix(b"u:")?;
    Some(line.trim_ascii_end().to_vec())
}

#[test]
fn our_hashes_open_in_apache_and_in_libc() {
    if !need("perl") || !need("htpasswd") {
        return;
    }
    let mut hashes = Vec::new();
    for password in passwords() {
        for letters in [
            "-nim",
            "-nis",
            "-nid",
            "-ni2",
            "-ni5",
            "-ni5r1000",
            "-niBC4",
        ] {
            let hash = made(letters, &password);
            if letters == "-niBC4" && password.len() > MAX_BCRYPT {
                assert_eq!(hash, None, "bcrypt cuts this password");
                continue;
            }
            hashes.push((letters, password.clone(), hash.unwrap()));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    for (letters, password, hash) in &hashes {
        fs::write(&path, [b"u:", &hash[..], b"\n"].concat()).unwrap();
        let arguments = [
            OsStr::new("-vb"),
            path.as_os_str(),
            OsStr::new("u"),
            OsStr::from_bytes(password),
        ];
        let done = run(THEIRS, &arguments, b"");
        assert_eq!(done.code, Some(0), "{letters} {password:?}: {}", done.err);
    }
    let crypts: Vec<_> = hashes
        .iter()
        .filter(|(letters, ..)| !matches!(*letters, "-nim" | "-nis"))
        .collect();
    let pairs: Vec<_> = crypts
        .iter()
        .map(|(_, password, hash)| (&password[..], &hash[..]))
        .collect();
    for ((letters, password, hash), libc) in crypts.iter().zip(perl("crypt($p, $s)", &pairs)) {
        assert_eq!(*hash, libc, "{letters} {password:?}");
    }
}

/// The same command lines over two folders; files and texts may differ only in random salts.
#[test]
fn command_lines_end_as_apaches_do() {
    if !need("htpasswd") {
        return;
    }
    let long = "n".repeat(256);
    let lines = [
        "-bsc F ann secret",
        "-bs F bob secret",
        "-bs F ann other",
        "-bv F ann other",
        "-bv F ann secret",
        "-bv F nobody secret",
        "-bv F locked secret",
        "-D F nobody",
        "-D F bob",
        "-bs missing ann secret",
        "-D missing ann",
        "-bv missing ann secret",
        "-bsc no/such/folder ann secret",
        "-bs invalid ann secret",
        "-bs crlf ann secret",
        "-bs crlf new secret",
        "-nbs ann secret",
        "-nis ann",
        "-nbs a:b secret",
        &format!("-nbs {long} secret"),
        "-nb ann",
        "-n ann secret",
        "-nbi ann secret",
        "-cnb ann secret",
        "-Dv F ann",
        "-bD F ann",
        "-z",
        "-nC",
        "-nC x ann",
        "-nbsC 5 ann secret",
        "F -b ann secret",
        "-- -n",
        "",
    ];
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        fs::write(folder.path().join("invalid"), "ann:1\nlocalhost\n").unwrap();
        fs::write(
            folder.path().join("crlf"),
            "# c\r\n\r\n \t\nbob:?\r\nann:x\r\n",
        )
        .unwrap();
    }
    for line in lines {
        let [mine, theirs] = [&folders[0], &folders[1]].map(|folder| {
            let arguments: Vec<_> = line
                .split(' ')
                .filter(|word| !word.is_empty())
                .map(|word| match word {
                    "F" | "missing" | "invalid" | "crlf" | "no/such/folder" => {
                        folder.path().join(word).into()
                    }
                    word => OsString::from(word),
                })
                .collect();
            arguments
        });
        let mine = ours(&mine, b"secret\n");
        let theirs = run(THEIRS, &theirs, b"secret\n");
        assert_eq!(
            mine.code, theirs.code,
            "{line}: {} {}",
            mine.err, theirs.err
        );
        assert_eq!(mine.out, theirs.out, "{line}");
        for name in ["F", "missing", "invalid"] {
            let [mine, theirs] =
                [&folders[0], &folders[1]].map(|f| fs::read(f.path().join(name)).ok());
            assert_eq!(mine, theirs, "{line}: {name}");
        }
    }
    let crlf = fs::read(folders[0].path().join("crlf")).unwrap();
    let sha = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
    let expected = format!("# c\r\n\r\n \t\nbob:?\r\nann:{sha}\r\nnew:{sha}\n");
    assert_eq!(String::from_utf8_lossy(&crlf), expected);
}

/// Where we say no and Apache's tool writes something that nobody can log in with, or that a registry refuses.
#[test]
fn nothing_is_written_that_serve_would_refuse() {
    let long = "p".repeat(73);
    for (line, code) in [
        ("-nbBC 15 ann secret", 2),
        ("-nbBC 3 ann secret", 2),
        ("-nb5r 999 ann secret", 2),
        ("-nb5r 1000001 ann secret", 2),
        ("-nbp ann with:colon", 2),
        (&*format!("-nbB ann {long}"), 5),
        ("-nbs #ann secret", 6),
        ("-nbs \u{1b}[2J secret", 6),
    ] {
        let done = ours(&words(line), b"");
        assert_eq!(done.code, Some(code), "{line}: {}", done.err);
        assert_eq!(done.out, b"", "{line}");
    }
    let name = OsString::from_vec(b"\xe9t\xe9".to_vec());
    let done = ours(&["-nbs".into(), name, "secret".into()], b"");
    assert_eq!(done.code, Some(6));
    let done = ours(&words("-nb ann secret"), b"");
    assert!(
        done.out.starts_with(b"ann:$2y$10$"),
        "the default is what registry:2 reads"
    );
}

#[test]
fn ten_runs_at_once_lose_no_user() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    fs::write(&path, "# users\n").unwrap();
    let children: Vec<_> = (0..10)
        .map(|number| {
            Command::new(OURS)
                .args(["htpasswd", "-bs"])
                .arg(&path)
                .args([&format!("user{number}"), "secret"])
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 11);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A conversation at a terminal: wait for each prompt, then type.
#[track_caller]
fn converse(line: &str, typed: &[(&str, &str)]) -> (Option<i32>, String) {
    let command = format!("{OURS} htpasswd {line}");
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut seen = String::new();
    for (prompt, answer) in typed {
        while !seen.ends_with(prompt) {
            let mut byte = [0];
            output.read_exact(&mut byte).unwrap();
            seen.push(byte[0].into());
        }
        input.write_all(answer.as_bytes()).unwrap();
        input.flush().unwrap();
    }
    output.read_to_string(&mut seen).unwrap();
    (child.wait().unwrap().code(), seen)
}

#[test]
fn a_password_is_typed_twice_and_not_seen() {
    if !need("script") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let create = format!("-cBC4 {} ann", path.display());
    let (new, again) = ("New password: ", "Re-type new password: ");
    let (code, seen) = converse(&create, &[(new, "secret\n"), (again, "secret\n")]);
    assert_eq!(code, Some(0), "{seen}");
    assert!(!seen.contains("secret"), "{seen}");
    let before = fs::read(&path).unwrap();

    let update = format!("{} ann", path.display());
    let (code, _) = converse(&update, &[(new, "secret\n"), (again, "other\n")]);
    assert_eq!(code, Some(3));
    let (code, _) = converse(&update, &[(new, "sec\u{3}")]);
    assert_eq!(code, Some(4));
    assert_eq!(fs::read(&path).unwrap(), before);

    let verify = format!("-v {} ann", path.display());
    let (code, _) = converse(&verify, &[("Enter password: ", "secret\n")]);
    assert_eq!(code, Some(0));
}

/// A program that writes it would find the pipe closed, and might end of that.
#[test]
fn a_password_that_was_handed_over_is_taken_also_for_nobody() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("htpasswd");
    fs::write(&path, "ann:{PLAIN}secret\n").unwrap();
    let handed = folder.path().join("handed");
    fs::write(&handed, "secret").unwrap();
    let mut input = fs::File::open(&handed).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .args(["htpasswd", "-v", "-i"])
        .arg(&path)
        .arg("bob")
        .stdin(Stdio::from(input.try_clone().unwrap()))
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    // Both have one place in the file.
    assert_eq!(input.stream_position().unwrap(), 6);
}
