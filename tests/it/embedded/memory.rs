//! Bodies of any length go through the embedded registry in constant memory.

use std::io::Write as _;
use std::thread;

use sha2::{Digest as _, Sha256};

use crate::support::binary::Binary;
use crate::support::fronts::LOGIN;
use crate::support::raw::Raw;

const MIB: usize = 1 << 20;

/// The bound, in MiB.
const MEMORY: u64 = 96;

/// Of each blob; the bound does not know it.
const LENGTH: usize = 256 * MIB;

/// A mebibyte that differs from blob to blob, and is the same all along it.
fn piece(seed: u8) -> Vec<u8> {
    (0..MIB)
        .map(|n| u8::try_from(n % 251).unwrap() ^ seed)
        .collect()
}

fn digest(seed: u8) -> String {
    let piece = piece(seed);
    let mut hash = Sha256::new();
    for _ in 0..LENGTH / MIB {
        hash.update(&piece);
    }
    let hex: Vec<String> = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{}", hex.concat())
}

fn push(mut raw: Raw, seed: u8, digest: &str, chunked: bool) {
    raw.send(format!(
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: gate\r\n{LOGIN}Content-Length: 0\r\n\r\n"
    ));
    let begun = raw.answer();
    assert_eq!(begun.status(), 202, "{}", begun.head);
    let location = begun.value("location");
    let path = location.split_once("//gate").unwrap().1;
    let framing = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {LENGTH}")
    };
    raw.send(format!(
        "PATCH {path} HTTP/1.1\r\nHost: gate\r\n{LOGIN}{framing}\r\n\r\n"
    ));
    let mut bytes = Vec::new();
    if chunked {
        write!(bytes, "{MIB:x}\r\n").unwrap();
    }
    bytes.extend(piece(seed));
    if chunked {
        bytes.extend(b"\r\n");
    }
    for _ in 0..LENGTH / MIB {
        raw.send(&bytes);
    }
    if chunked {
        raw.send("0\r\n\r\n");
    }
    assert_eq!(raw.answer().status(), 202);
    raw.send(format!(
        "PUT {path}?digest={digest} HTTP/1.1\r\nHost: gate\r\n{LOGIN}Content-Length: 0\r\n\r\n"
    ));
    let done = raw.answer();
    assert_eq!(done.status(), 201, "{}", done.head);
}

fn pull(mut raw: Raw, digest: &str) {
    raw.send(format!(
        "GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: gate\r\n{LOGIN}\r\n"
    ));
    raw.read_until(b"\r\n\r\n").unwrap();
    let mut hash = Sha256::new();
    let mut left = LENGTH;
    while left > 0 {
        let some = raw.read_some().unwrap();
        assert!(!some.is_empty(), "{left} bytes are missing");
        hash.update(&some);
        left -= some.len();
    }
    let hex: Vec<String> = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(digest, format!("sha256:{}", hex.concat()));
}

#[test]
fn n38_eight_large_blobs_are_pushed_and_pulled_at_once_in_constant_memory() {
    let binary = Binary::embedded("");
    thread::scope(|scope| {
        for seed in 0..8_u8 {
            let binary = &binary;
            scope.spawn(move || {
                let digest = digest(seed);
                push(binary.connect(seed % 2 == 0), seed, &digest, seed % 4 < 2);
                pull(binary.connect(seed % 2 == 1), &digest);
            });
        }
    });
    let peak = binary.peak();
    assert!(peak < MEMORY, "{peak} MiB");
}

#[test]
fn h11_n27_slow_readers_of_large_blobs_hold_no_memory() {
    let binary = Binary::embedded("");
    let digest = digest(1);
    push(binary.connect(false), 1, &digest, false);
    let mut slow: Vec<_> = (0..50).map(|n| binary.connect(n % 2 == 0)).collect();
    for raw in &mut slow {
        raw.send(format!(
            "GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: gate\r\n{LOGIN}\r\n"
        ));
        raw.read_until(b"\r\n\r\n").unwrap();
    }
    pull(binary.connect(true), &digest);
    let peak = binary.peak();
    assert!(peak < MEMORY, "{peak} MiB");
}

#[test]
fn g6_g7_a_store_that_fails_in_the_middle_of_a_blob_is_told_to_the_operator() {
    let binary = Binary::embedded("");
    let digest = digest(2);
    push(binary.connect(false), 2, &digest, false);
    let mut raw = binary.connect(false);
    raw.send(format!(
        "GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: gate\r\n{LOGIN}\r\n"
    ));
    raw.read_until(b"\r\n\r\n").unwrap();
    let hex = digest.strip_prefix("sha256:").unwrap();
    let file = binary.dir().join(format!(
        "dockgate-data/registry/docker/registry/v2/blobs/sha256/{}/{hex}/data",
        &hex[..2]
    ));
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    file.set_len(LENGTH as u64 - 1).unwrap();
    let (rest, _) = raw.read_to_end();
    assert!(rest.len() < LENGTH);
    let line = binary.logged("answer cut short");
    assert!(
        line.contains("storage_error") && line.contains(hex),
        "{line}"
    );
    let line = binary.logged("\"reason\":\"storage_error\"");
    assert!(line.contains("\"backend\":\"registry\""), "{line}");
    assert!(!line.contains("upstream.status"), "{line}");
}
