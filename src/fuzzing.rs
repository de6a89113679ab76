//! The doors of `make fuzz`: each target is a property of a room, asked with bytes of anybody's choice.
//!
//! A property stands in its room, in `property.rs`, and panics where it does not hold. The fuzzer asks it with what it
//! finds, and the tests below ask it with the seeds in `fuzz/seeds`, among them the input of every crash that was found.

macro_rules! targets {
    ($($(#[$doc:meta])+ $name:ident => $property:path;)+) => {
        $($(#[$doc])+
        pub fn $name(data: &[u8]) {
            $property(data);
        })+

        /// Every target by its name.
        pub const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name)),+];

        /// What `make fuzz` does for minutes, for a moment.
        #[cfg(test)]
        mod a_seed_with_errors_in_it_has_the_property_of {
            $(#[test]
            fn $name() {
                super::tests::with_errors(stringify!($name), super::$name);
            })+
        }
    };
}

targets! {
    /// `Authorization` lines.
    authorization => crate::auth::property::authorization;
    /// A certificate, as DER.
    certificate => crate::tls::property::certificate;
    /// Header lines of a request.
    client_headers => crate::header::property::client_headers;
    /// A `proxy.toml`.
    config => crate::config::property::toml;
    /// A `config.yml` of registry:2, and variables.
    distribution_config => crate::config::property::distribution;
    /// The bytes of an HTTP/1 connection.
    framing => crate::server::property::framing;
    /// A group file.
    groups => crate::auth::property::groups;
    /// A password file.
    htpasswd => crate::auth::property::htpasswd;
    /// A list of tags as a registry sends it.
    listing => crate::oci::property::listing;
    /// What a client puts into the logs.
    log_line => crate::telemetry::property::line;
    /// A media type and a manifest or index.
    manifest => crate::oci::property::manifest;
    /// nginx's configuration.
    nginx => crate::import::property::files;
    /// The certificate desk's `index.txt`.
    pki_index => crate::pki::property::index;
    /// A revocation list of the certificate desk, as DER.
    pki_list => crate::pki::property::list;
    /// A PROXY header and what follows.
    proxy_header => crate::server::property::proxy_header;
    /// A size, `Range` and its kin, `Content-Range`.
    range => crate::header::property::range;
    /// A revocation list, as DER.
    revocation_list => crate::tls::property::revocation_list;
    /// A method and a request target.
    route => crate::route::property::target;
    /// The state of an upload's bytes, as it is saved.
    saved_upload => crate::storage::property::saved;
    /// The state of an upload's digest, as it is saved.
    saved_digest => crate::registry::property::state;
    /// A token, what we might have signed, and scopes.
    token => crate::auth::property::token;
    /// A `Location` or a `Link` of the upstream.
    upstream_links => crate::header::property::upstream_links;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    use super::TARGETS;

    fn seeds(target: &str) -> Vec<PathBuf> {
        let folder = Path::new("fuzz/seeds").join(target);
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Asks, and says which input it was where the answer is wrong.
    #[track_caller]
    fn ask(target: fn(&[u8]), data: &[u8], whose: &Path) {
        let asked = catch_unwind(AssertUnwindSafe(|| target(data)));
        assert!(
            asked.is_ok(),
            "{}: {:?}",
            whose.display(),
            String::from_utf8_lossy(data)
        );
    }

    #[test]
    fn every_seed_has_the_property_of_its_target() {
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            assert!(seeds.len() >= 2, "{name}: too few seeds");
            for seed in seeds {
                ask(*target, &fs::read(&seed).unwrap(), &seed);
            }
            ask(*target, b"", Path::new(name));
        }
    }

    /// Bytes that readers act on, whatever they read.
    const TELLING: &[u8] =
        b"\0\t\n\r\x1b \"#$%&'()*+,-./0129:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\x9f\xc2\xff";

    #[derive(Clone, Debug)]
    enum Edit {
        Insert(prop::sample::Index, u8),
        Replace(prop::sample::Index, u8),
        Remove(prop::sample::Index, usize),
        Repeat(prop::sample::Index, usize),
        Cut(prop::sample::Index),
    }

    impl Edit {
        fn any() -> impl Strategy<Value = Self> {
            let at = any::<prop::sample::Index>;
            let byte = || prop_oneof![any::<u8>(), prop::sample::select(TELLING)];
            prop_oneof![
                3 => (at(), byte()).prop_map(|(at, byte)| Self::Insert(at, byte)),
                3 => (at(), byte()).prop_map(|(at, byte)| Self::Replace(at, byte)),
                2 => (at(), 1..20_usize).prop_map(|(at, length)| Self::Remove(at, length)),
                2 => (at(), 1..20_usize).prop_map(|(at, length)| Self::Repeat(at, length)),
                1 => at().prop_map(Self::Cut),
            ]
        }

        fn apply(&self, data: &mut Vec<u8>) {
            let (Self::Insert(at, _)
            | Self::Replace(at, _)
            | Self::Remove(at, _)
            | Self::Repeat(at, _)
            | Self::Cut(at)) = self;
            let at = at.index(data.len() + 1);
            let to = |length: usize| data.len().min(at + length);
            match *self {
                Self::Insert(_, byte) => data.insert(at, byte),
                Self::Replace(_, byte) => data.iter_mut().skip(at).take(1).for_each(|b| *b = byte),
                Self::Remove(_, length) => drop(data.drain(at..to(length))),
                Self::Repeat(_, length) => {
                    let piece = data[at..to(length)].to_vec();
                    data.splice(at..at, piece);
                }
                Self::Cut(_) => data.truncate(at),
            }
        }
    }

    /// As many rounds as `TEST_SCALE` says of what a run of all tests does.
    fn rounds() -> ProptestConfig {
        let scale = std::env::var("TEST_SCALE").ok();
        let scale: u32 = scale.and_then(|text| text.parse().ok()).unwrap_or(1);
        ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(40 * scale.clamp(1, 10_000))
        }
    }

    pub(super) fn with_errors(name: &str, target: fn(&[u8])) {
        let seeds: Vec<_> = seeds(name)
            .into_iter()
            .map(|path| (fs::read(&path).unwrap(), path))
            .collect();
        let edits = prop::collection::vec(Edit::any(), 1..6);
        let input = (any::<prop::sample::Index>(), edits);
        let asked = TestRunner::new(rounds()).run(&input, |(which, edits)| {
            let (mut data, path) = which.get(&seeds).clone();
            for edit in &edits {
                edit.apply(&mut data);
            }
            ask(target, &data, &path);
            Ok(())
        });
        asked.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// A target that is written here and not known to cargo-fuzz would never be fuzzed.
    #[test]
    fn every_target_is_one_of_cargo_fuzz_and_has_its_seeds() {
        let ours: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let names = |folder: &str| -> BTreeSet<String> {
            let entries = fs::read_dir(folder).unwrap();
            let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
            entries.map(|entry| stem(entry.unwrap().path())).collect()
        };
        assert_eq!(names("fuzz/fuzz_targets"), ours);
        assert_eq!(names("fuzz/seeds"), ours);
        let manifest = fs::read_to_string("fuzz/Cargo.toml").unwrap();
        let binaries: BTreeSet<String> = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
            .filter(|name| *name != "dockgate-fuzz")
            .map(str::to_owned)
            .collect();
        assert_eq!(binaries, ours);
        for name in &ours {
            let source = fs::read_to_string(format!("fuzz/fuzz_targets/{name}.rs")).unwrap();
            let door = format!("dockgate::fuzzing::{name}(data)");
            assert!(source.contains(&door), "{name}");
        }
    }
}
