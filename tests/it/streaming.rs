//! Bodies of any length stream both ways in constant memory, and end where they break.

use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::binary::Binary;
use crate::support::figures::rounds;
use crate::support::flow::Flow;
use crate::support::fronts::LOGIN;
use crate::support::raw::Raw;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const GIB: u64 = 1 << 30;

/// The bound of the design, in MiB.
const MEMORY: u64 = 64;

fn start() -> (Binary, Flow) {
    let mut flow = None;
    let binary = Binary::start("", |path| flow = Some(Flow::listen(path)));
    (binary, flow.unwrap())
}

#[track_caller]
fn begin_upload(raw: &mut Raw, length: u64, chunked: bool) {
    let framing = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {length}")
    };
    raw.send(format!(
        "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: gate\r\n{LOGIN}{framing}\r\n\r\n"
    ));
}

#[track_caller]
fn upload(mut raw: Raw, length: u64, chunked: bool) {
    begin_upload(&mut raw, length, chunked);
    let size = 256 * 1024;
    let mut piece = vec![b'x'; usize::try_from(size).unwrap()];
    if chunked {
        piece.splice(0..0, format!("{size:x}\r\n").into_bytes());
        piece.extend(b"\r\n");
    }
    for _ in 0..length / size {
        raw.send(&piece);
    }
    if chunked {
        raw.send("0\r\n\r\n");
    }
    assert_eq!(raw.answer().status(), 202);
}

#[track_caller]
fn begin_download(raw: &mut Raw, length: u64, chunked: bool) {
    let chunked = if chunked { "X-Chunked: 1\r\n" } else { "" };
    raw.send(format!(
        "GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: gate\r\nX-Length: {length}\r\n{chunked}\r\n"
    ));
}

/// Reads to the end and counts; of chunks the framing too, which is less than a thousandth.
#[track_caller]
fn download(mut raw: Raw, length: u64, chunked: bool) {
    begin_download(&mut raw, length, chunked);
    raw.read_until(b"\r\n\r\n").unwrap();
    let mut left = length;
    if !chunked {
        while left > 0 {
            let got = raw.read_some().unwrap().len() as u64;
            assert!(got > 0, "{left} bytes are missing");
            left -= got;
        }
        return;
    }
    let mut got = 0;
    let mut last = Vec::new();
    while !last.ends_with(b"\r\n0\r\n\r\n") {
        let piece = raw.read_some().unwrap();
        assert!(!piece.is_empty(), "cut after {got} bytes");
        got += piece.len() as u64;
        last.extend(&piece[piece.len().saturating_sub(7)..]);
        last.drain(..last.len().saturating_sub(7));
    }
    assert!(got > length && got < length + length / 100, "{got}");
}

#[test]
fn n38_twenty_gib_pass_either_way_in_constant_memory_and_no_file_is_written() {
    let (binary, flow) = start();
    let folder = binary.folder();
    let length = u64::try_from(rounds(20)).unwrap() * GIB;
    thread::scope(|scope| {
        scope.spawn(|| upload(binary.connect(false), length, true));
        scope.spawn(|| download(binary.connect(false), length, true));
        assert_eq!(binary.open_files(), Vec::<std::path::PathBuf>::new());
    });
    thread::scope(|scope| {
        scope.spawn(|| upload(binary.connect(true), length, false));
        scope.spawn(|| download(binary.connect(true), length, false));
    });
    let bodies = flow.wait_for(2);
    assert!(
        bodies.iter().all(|b| b.complete && b.bytes == length),
        "{bodies:?}"
    );
    assert_eq!(binary.folder(), folder);
    let peak = binary.peak();
    assert!(peak < MEMORY, "{peak} MiB");
}

#[test]
fn n38_eight_bodies_at_once_fit_into_the_same_memory() {
    let (binary, _flow) = start();
    thread::scope(|scope| {
        for n in 0..4_u8 {
            let (binary, odd) = (&binary, n % 2 == 1);
            scope.spawn(move || upload(binary.connect(n < 2), GIB, odd));
            scope.spawn(move || download(binary.connect(n < 2), GIB, odd));
        }
    });
    let peak = binary.peak();
    assert!(peak < MEMORY, "{peak} MiB");
}

#[test]
fn h11_n27_slow_readers_of_large_blobs_hold_no_memory() {
    let (binary, _flow) = start();
    let mut slow: Vec<_> = (0..50).map(|n| binary.connect(n % 2 == 0)).collect();
    for raw in &mut slow {
        begin_download(raw, 10 * GIB, false);
        raw.read_until(b"\r\n\r\n").unwrap();
    }
    // A fast one beside them is served, and they are all still there.
    download(binary.connect(true), GIB, false);
    for raw in &mut slow {
        assert!(!raw.read_exactly(1).is_empty());
    }
    let peak = binary.peak();
    assert!(peak < MEMORY, "{peak} MiB");
}

#[test]
fn h11_n27_a_slow_writer_is_waited_for() {
    let (binary, flow) = start();
    let mut raw = binary.connect(true);
    begin_upload(&mut raw, 20, false);
    for _ in 0..20 {
        raw.send("x");
        // Slow on purpose: this is what is tested.
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(raw.answer().status(), 202);
    assert_eq!(flow.wait_for(1)[0].bytes, 20);
}

#[test]
fn h12_n36_a_client_that_vanishes_in_an_upload_ends_it_behind_the_gate_too() {
    let (binary, flow) = start();
    let start = Instant::now();
    let mut ended = 0;
    for tls in [false, true] {
        for chunked in [false, true] {
            for finish in [false, true] {
                let mut raw = binary.connect(tls);
                begin_upload(&mut raw, 1000, chunked);
                // For chunks: the beginning of one of 1000 bytes.
                raw.send(if chunked { "3e8\r\nhello" } else { "hello" });
                ended += 1;
                flow.wait_for_begun(ended);
                if finish {
                    raw.finish();
                    assert!(raw.read_to_end().0.len() < 2000);
                }
                drop(raw);
                let bodies = flow.wait_for(ended);
                assert!(bodies.iter().all(|b| !b.complete), "{bodies:?}");
            }
        }
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    let line = binary.logged("\"client_aborted\"");
    assert!(line.contains("/blobs/uploads/1"), "{line}");
}

#[test]
fn h12_a_client_that_vanishes_in_a_download_frees_the_upstreams_connection() {
    let mut flow = None;
    let binary = Binary::start("max_connections = 1", |path| {
        flow = Some(Flow::listen(path));
    });
    for tls in [false, true] {
        for _ in 0..3 {
            let mut raw = binary.connect(tls);
            begin_download(&mut raw, 10 * GIB, false);
            raw.read_until(b"\r\n\r\n").unwrap();
            drop(raw);
        }
    }
    // The one connection would be taken for ever.
    download(binary.connect(false), 1000, false);
    let line = binary.logged("\"client_aborted\"");
    assert!(line.contains(DIGEST), "{line}");
}
