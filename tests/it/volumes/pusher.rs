//! A client that pushes, moves and deletes until the connection breaks, and knows what it was told.
//!
//! It has a repository to itself and keeps a ledger. What it was not told any more is in doubt: it is there and whole,
//! or it is not there, and so it stays.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpStream};

use super::{IMAGE, INDEX, Random, closing, image, index, is_named, place, sha512};
use crate::support::dialog::{Answer, Dialog};
use crate::support::site::digest;

const TAGS: usize = 4;

/// Where blobs are mounted from; nobody deletes there.
pub const BASE: &str = "base";

/// Contents that all pushers push, often at the same time.
const SHARED: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    There,
    Gone,
    Doubtful,
}

/// An upload of which a chunk was acknowledged.
#[derive(Debug)]
struct Pending {
    path: String,
    content: Vec<u8>,
    acknowledged: usize,
    /// Up to where bytes were sent.
    sent: usize,
    /// Whether it was being closed.
    closing: bool,
}

#[derive(Debug)]
pub struct Pusher {
    repository: String,
    random: Random,
    base: Vec<String>,
    /// `blobs/DIGEST`, `manifests/DIGEST`
    targets: BTreeMap<String, State>,
    sizes: BTreeMap<String, usize>,
    /// What each tag may stand for.
    tags: BTreeMap<String, BTreeSet<Option<String>>>,
    /// What was worked on since the last look.
    touched: BTreeSet<String>,
    pending: Option<Pending>,
    /// Whether the store is a bucket, where who has an upload in hand says so for a minute.
    pub leases: bool,
    pub begun_anew: u64,
    pub acknowledged: u64,
    pub resumed: u64,
    pub doubts: u64,
}

impl Pusher {
    pub fn new(number: u64, seed: u64, base: Vec<String>) -> Self {
        Self {
            repository: format!("team/p{number}"),
            random: Random(seed ^ (number << 32)),
            base,
            targets: BTreeMap::new(),
            sizes: BTreeMap::new(),
            tags: (0..TAGS)
                .map(|n| (format!("t{n}"), BTreeSet::from([None])))
                .collect(),
            touched: BTreeSet::new(),
            pending: None,
            leases: false,
            begun_anew: 0,
            acknowledged: 0,
            resumed: 0,
            doubts: 0,
        }
    }

    /// Pushes until the connection breaks.
    pub fn push(&mut self, address: SocketAddr) {
        let Ok(stream) = TcpStream::connect(address) else {
            return;
        };
        let mut dialog = Dialog::connected(stream);
        let taken_up = match self.pending.take() {
            Some(pending) => self.resume(&mut dialog, pending),
            None => Ok(()),
        };
        let mut done = taken_up;
        while done.is_ok() {
            done = match self.random.below(12) {
                0 | 1 => self.in_one_go(&mut dialog),
                2..=4 => self.in_chunks(&mut dialog),
                5 => self.mount(&mut dialog),
                6..=8 => self.manifest(&mut dialog),
                9 => self.index(&mut dialog),
                10 => self.delete(&mut dialog),
                _ => self.delete_tag(&mut dialog),
            };
        }
    }

    fn content(&mut self) -> Vec<u8> {
        if self.random.below(4) == 0 {
            let seed = self.random.below(SHARED);
            return Random(seed as u64).bytes(100_000 * seed);
        }
        let most = [1, 1000, 70_000, 3_000_000][self.random.below(4)];
        let length = self.random.below(most);
        self.random.bytes(length)
    }

    fn name_of(&mut self, content: &[u8]) -> String {
        match self.random.below(8) {
            0 => sha512(content),
            _ => digest(content),
        }
    }

    /// Says that something is about to be put there.
    fn puts(&mut self, target: &str) {
        let state = self.targets.entry(target.to_owned()).or_insert(State::Gone);
        if *state == State::Gone {
            *state = State::Doubtful;
        }
        self.touched.insert(target.to_owned());
    }

    fn is(&mut self, target: &str, state: State) {
        self.targets.insert(target.to_owned(), state);
        self.acknowledged += 1;
    }

    /// Says that a blob is about to be put there by this name; by sha512 it has the sha256 one as well.
    fn puts_blob(&mut self, name: &str, content: &[u8]) {
        for name in [name.to_owned(), digest(content)] {
            self.puts(&format!("blobs/{name}"));
            self.sizes.insert(name, content.len());
        }
    }

    fn has_blob(&mut self, name: &str, content: &[u8]) {
        self.targets
            .insert(format!("blobs/{}", digest(content)), State::There);
        self.is(&format!("blobs/{name}"), State::There);
    }

    fn in_one_go(&mut self, dialog: &mut Dialog) -> io::Result<()> {
        let content = self.content();
        let name = self.name_of(&content);
        self.puts_blob(&name, &content);
        let path = format!("/v2/{}/blobs/uploads/?digest={name}", self.repository);
        let answer = exchange(dialog, "POST", &path, &[], &content)?;
        expect(&answer, 201);
        self.has_blob(&name, &content);
        Ok(())
    }

    fn in_chunks(&mut self, dialog: &mut Dialog) -> io::Result<()> {
        let path = format!("/v2/{}/blobs/uploads/", self.repository);
        let begun = exchange(dialog, "POST", &path, &[], b"")?;
        expect(&begun, 202);
        let content = self.content();
        let pending = Pending {
            path: place(&begun),
            content,
            acknowledged: 0,
            sent: 0,
            closing: false,
        };
        self.go_on(dialog, pending)
    }

    /// Sends the rest of an upload in some chunks and closes it; what breaks off is left pending.
    fn go_on(&mut self, dialog: &mut Dialog, mut pending: Pending) -> io::Result<()> {
        let done = self.send_rest(dialog, &mut pending);
        if done.is_err() {
            self.pending = Some(pending);
        }
        done
    }

    fn send_rest(&mut self, dialog: &mut Dialog, pending: &mut Pending) -> io::Result<()> {
        for _ in 0..self.random.below(3) {
            let left = pending.content.len() - pending.acknowledged;
            let end = pending.acknowledged + self.random.below(left + 1);
            let chunk = &pending.content[pending.acknowledged..end];
            pending.sent = end;
            let answer = if self.random.below(2) == 0 {
                patch_chunked(dialog, &pending.path, chunk)?
            } else {
                let range = format!("{}-{}", pending.acknowledged, end.max(1) - 1);
                let ranged = [("Content-Range", &*range)];
                let headers: &[_] = if chunk.is_empty() { &[] } else { &ranged };
                exchange(dialog, "PATCH", &pending.path, headers, chunk)?
            };
            if self.is_held(&answer) {
                return Ok(());
            }
            expect(&answer, 202);
            pending.acknowledged = end;
            self.acknowledged += 1;
        }
        let name = self.name_of(&pending.content);
        self.puts_blob(&name, &pending.content);
        let rest = pending.content[pending.acknowledged..].to_vec();
        pending.closing = true;
        let answer = exchange(dialog, "PUT", &closing(&pending.path, &name), &[], &rest)?;
        if self.is_held(&answer) {
            return Ok(());
        }
        expect(&answer, 201);
        self.has_blob(&name, &pending.content);
        Ok(())
    }

    /// Whether the upload is in the hands of a process that was killed, which in a bucket nobody can know for a minute:
    /// it is begun anew, as docker does.
    fn is_held(&mut self, answer: &Answer) -> bool {
        let held = self.leases && answer.status == 409;
        self.begun_anew += u64::from(held);
        held
    }

    /// What was acknowledged of an upload is where it goes on, whoever serves now.
    fn resume(&mut self, dialog: &mut Dialog, mut pending: Pending) -> io::Result<()> {
        let status = match exchange(dialog, "GET", &pending.path, &[], b"") {
            Ok(status) => status,
            Err(error) => {
                self.pending = Some(pending);
                return Err(error);
            }
        };
        if pending.closing && status.status == 404 {
            return Ok(());
        }
        expect(&status, 204);
        let told = offset(&status);
        if told == 1 && pending.acknowledged == 0 && pending.sent == 1 {
            // One byte and none are told the same: nobody can go on from here.
            return Ok(());
        }
        let offset = if told == 1 && pending.acknowledged != 1 {
            0
        } else {
            told
        };
        let (acknowledged, sent) = (pending.acknowledged, pending.sent);
        assert!(
            offset == acknowledged || offset == sent,
            "{offset}, and {acknowledged} were acknowledged, {sent} sent"
        );
        pending.acknowledged = offset;
        pending.closing = false;
        self.resumed += 1;
        self.go_on(dialog, pending)
    }

    fn mount(&mut self, dialog: &mut Dialog) -> io::Result<()> {
        let name = self.base[self.random.below(self.base.len())].clone();
        let target = format!("blobs/{name}");
        self.puts(&target);
        let path = format!(
            "/v2/{}/blobs/uploads/?mount={name}&from={BASE}",
            self.repository
        );
        let answer = exchange(dialog, "POST", &path, &[], b"")?;
        expect(&answer, 201);
        self.is(&target, State::There);
        Ok(())
    }

    /// Some of what is there, with its size.
    fn some(&mut self, folder: &str) -> Vec<(String, usize)> {
        let there: Vec<_> = self
            .targets
            .iter()
            .filter(|(_, state)| **state == State::There)
            .filter_map(|(target, _)| target.strip_prefix(folder))
            .filter_map(|name| Some((name.to_owned(), *self.sizes.get(name)?)))
            .collect();
        if there.is_empty() {
            return there;
        }
        (0..=self.random.below(3))
            .map(|_| there[self.random.below(there.len())].clone())
            .collect()
    }

    fn manifest(&mut self, dialog: &mut Dialog) -> io::Result<()> {
        let blobs = self.some("blobs/");
        if blobs.is_empty() {
            return Ok(());
        }
        let text = image(&blobs, self.random.next());
        self.put(dialog, IMAGE, &text)
    }

    fn index(&mut self, dialog: &mut Dialog) -> io::Result<()> {
        let images = self.some("manifests/");
        let text = index(&images, self.random.next());
        self.put(dialog, INDEX, &text)
    }

    /// By a tag or by its digest.
    fn put(&mut self, dialog: &mut Dialog, kind: &str, text: &str) -> io::Result<()> {
        let name = digest(text.as_bytes());
        let target = format!("manifests/{name}");
        let tag = format!("t{}", self.random.below(TAGS));
        let tagged = self.random.below(4) > 0;
        let reference = if tagged { &tag } else { &name };
        self.puts(&target);
        if tagged {
            self.may_stand_for(&tag, Some(name.clone()));
        }
        let path = format!("/v2/{}/manifests/{reference}", self.repository);
        let headers = [("Content-Type", kind)];
        let answer = exchange(dialog, "PUT", &path, &headers, text.as_bytes())?;
        expect(&answer, 201);
        self.sizes.insert(name.clone(), text.len());
        self.is(&target, State::There);
        if tagged {
            self.tags.insert(tag, BTreeSet::from([Some(name)]));
        }
        Ok(())
    }

    fn may_stand_for(&mut self, tag: &str, what: Option<String>) {
        self.tags.get_mut(tag).unwrap().insert(what);
    }

    /// Of a blob, or of a manifest with the tags that stand for it.
    fn delete(&mut self, dialog: &mut Dialog) -> io::Result<()> {
        let there: Vec<String> = self
            .targets
            .iter()
            .filter(|(_, state)| **state == State::There)
            .map(|(target, _)| target.clone())
            .collect();
        if there.is_empty() {
            return Ok(());
        }
        let target = there[self.random.below(there.len())].clone();
        self.targets.insert(target.clone(), State::Doubtful);
        self.touched.insert(target.clone());
        let name = target.strip_prefix("manifests/").map(str::to_owned);
        for candidates in self.tags.values_mut() {
            if name.is_some() && candidates.contains(&name) {
                candidates.insert(None);
            }
        }
        let path = format!("/v2/{}/{target}", self.repository);
        let answer = exchange(dialog, "DELETE", &path, &[], b"")?;
        expect(&answer, 202);
        self.is(&target, State::Gone);
        for candidates in self.tags.values_mut() {
            if name.is_some() {
                candidates.remove(&name);
            }
        }
        Ok(())
    }

    fn delete_tag(&mut self, dialog: &mut Dialog) -> io::Result<()> {
        let tag = format!("t{}", self.random.below(TAGS));
        self.may_stand_for(&tag, None);
        let path = format!("/v2/{}/manifests/{tag}", self.repository);
        let answer = exchange(dialog, "DELETE", &path, &[], b"")?;
        assert!(matches!(answer.status, 202 | 404), "{}", answer.head);
        self.tags.insert(tag, BTreeSet::from([None]));
        self.acknowledged += 1;
        Ok(())
    }

    /// Compares the ledger with what is served now, and settles what was in doubt; everything, or what was touched
    /// since the last look.
    pub fn verify(&mut self, address: SocketAddr, everything: bool) {
        let mut dialog = Dialog::tcp(address);
        let touched = std::mem::take(&mut self.touched);
        let targets: Vec<String> = if everything {
            self.targets.keys().cloned().collect()
        } else {
            touched.into_iter().collect()
        };
        for target in targets {
            let path = format!("/v2/{}/{target}", self.repository);
            let answer = dialog.get(&path);
            let (_, name) = target.split_once('/').unwrap();
            let found = match answer.status {
                200 => State::There,
                404 => State::Gone,
                _ => panic!("{path}: {}{}", answer.head, answer.text()),
            };
            if found == State::There {
                assert!(is_named(name, &answer.body), "other bytes: {path}");
            }
            let state = self.targets.insert(target.clone(), found).unwrap();
            assert!(
                state == found || state == State::Doubtful,
                "{path}: {state:?} and now {found:?}"
            );
            self.doubts += u64::from(state == State::Doubtful);
        }
        self.verify_tags(&mut dialog);
    }

    fn verify_tags(&mut self, dialog: &mut Dialog) {
        let path = format!("/v2/{}/tags/list", self.repository);
        let list = dialog.get(&path);
        assert!(matches!(list.status, 200 | 404), "{}", list.head);
        let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
        let listed = |tag: &str| {
            let mut tags = list["tags"].as_array().into_iter().flatten();
            tags.any(|listed| listed == tag)
        };
        for (tag, candidates) in &mut self.tags {
            let path = format!("/v2/{}/manifests/{tag}", self.repository);
            let answer = dialog.get(&path);
            let found = match answer.status {
                200 => Some(digest(&answer.body)),
                404 => None,
                _ => panic!("{path}: {}{}", answer.head, answer.text()),
            };
            assert!(
                candidates.contains(&found),
                "{path}: {found:?}, not of {candidates:?}"
            );
            assert_eq!(answer.header("docker-content-digest"), found.as_deref());
            assert_eq!(listed(tag), found.is_some(), "{path} in {list}");
            *candidates = BTreeSet::from([found]);
        }
    }
}

fn exchange(
    dialog: &mut Dialog,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    dialog.request(method, target, headers, body)?;
    dialog.answer(method)
}

/// In pieces, without a length.
fn patch_chunked(dialog: &mut Dialog, path: &str, body: &[u8]) -> io::Result<Answer> {
    let head =
        format!("PATCH {path} HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    dialog.send(head.as_bytes())?;
    for piece in body.chunks(50_000) {
        dialog.send(format!("{:x}\r\n", piece.len()).as_bytes())?;
        dialog.send(piece)?;
        dialog.send(b"\r\n")?;
    }
    dialog.send(b"0\r\n\r\n")?;
    dialog.answer("PATCH")
}

#[track_caller]
fn expect(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}{}", answer.head, answer.text());
}

/// The next byte that an upload wants.
fn offset(answer: &Answer) -> usize {
    let range = answer.header("range").unwrap();
    let last: usize = range.strip_prefix("0-").unwrap().parse().unwrap();
    last + 1
}
