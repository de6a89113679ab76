//! The table in `docs/threats.md`, and the tests that prove it.
//!
//! A test proves the rows that its name begins with: `h1_n1_a_body_..` proves H1 and n1. Nothing else ties them, so that
//! a row cannot be in one place and forgotten in another.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Who runs these has the embedded registry before him, and nobody behind the gate.
const REGISTRY: &[&str] = &[
    "src/handler/registry",
    "src/registry",
    "src/storage",
    "tests/it/embedded",
    "tests/it/volumes",
];

/// What the name of a test elsewhere says that has it too.
const EMBEDDED: &str = "embedded_registry";

/// What the name of a test says that puts its cases to both.
const BOTH: &str = "either_backend";

/// The last row of each part. A row that is added or lost is a change to this line too.
const LAST: &[(char, usize)] = &[
    ('c', 10),
    ('t', 12),
    ('h', 16),
    ('a', 8),
    ('k', 6),
    ('r', 6),
    ('u', 10),
    ('g', 11),
    ('p', 4),
    ('n', 65),
];

/// A test, by the rows that it says it proves.
#[derive(Debug)]
struct Proof {
    file: PathBuf,
    name: String,
}

impl Proof {
    fn is_of_the_registry(&self) -> bool {
        self.name.contains(EMBEDDED) || REGISTRY.iter().any(|folder| self.file.starts_with(folder))
    }
}

#[test]
fn every_threat_has_a_test_and_every_test_a_threat() {
    let rows = rows(&fs::read_to_string("docs/threats.md").unwrap());
    let mut proofs: BTreeMap<String, Vec<Proof>> = BTreeMap::new();
    for file in sources("src").into_iter().chain(sources("tests/it")) {
        for name in tests(&fs::read_to_string(&file).unwrap()) {
            for row in named(&name) {
                let (file, name) = (file.clone(), name.clone());
                proofs.entry(row).or_default().push(Proof { file, name });
            }
        }
    }
    let faults = faults(&rows, &proofs);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_of_threats_has_every_row_once_and_in_order() {
    let text = fs::read_to_string("docs/threats.md").unwrap();
    let found: Vec<String> = rows(&text).into_iter().map(|(row, _)| row).collect();
    let wanted: Vec<String> = LAST
        .iter()
        .flat_map(|(part, last)| (1..=*last).map(move |n| format!("{part}{n}")))
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_threat_without_a_test_is_a_fault_and_so_is_a_test_without_a_threat() {
    let table = "| row | what happens | answer | where |\n|---|---|---|---|\n\
         | C1 | a | b | gate |\n| H2 | a | b | both |\n| n3 | a | b | both |\n| n4 | a | b | registry |\n\
         | n6 | a | b | both |\n";
    let rows = rows(table);
    let proof = |file: &str, name: &str| Proof {
        file: file.into(),
        name: name.into(),
    };
    let mut proofs: BTreeMap<String, Vec<Proof>> = BTreeMap::new();
    let mut prove = |row: &str, file: &str, name: &str| {
        let proof = proof(file, name);
        proofs.entry(row.into()).or_default().push(proof);
    };
    prove("h2", "tests/it/smuggling/mod.rs", "h2_x");
    prove("n3", "tests/it/smuggling/mod.rs", "n3_x");
    prove("n3", "tests/it/embedded/blobs.rs", "n3_y");
    prove("n6", "tests/it/reload.rs", "n6_x");
    prove("n6", "tests/it/reload.rs", "n6_the_embedded_registry");
    prove("n4", "tests/it/clocks.rs", "n4_with_either_backend");
    prove("n5", "tests/it/clocks.rs", "n5_x");
    assert_eq!(
        faults(&rows, &proofs),
        [
            "C1 has no test: none is called c1_...",
            "H2 is said to hold for both, and is tested at the gate alone",
            "tests/it/clocks.rs: n5_x names a row that docs/threats.md has not got: n5",
        ]
    );
}

#[test]
fn the_rows_of_a_test_are_the_first_words_of_its_name() {
    assert_eq!(
        named("h1_n12_a_body_of_two_lengths"),
        ["h1", "n12"].map(str::to_owned)
    );
    assert_eq!(named("http2_floods_h1"), Vec::<String>::new());
    assert_eq!(named("a_revoked_certificate"), Vec::<String>::new());
    let source = "#[test]\nfn c1_one() {\n}\n    #[tokio::test(start_paused = true)]\n    async fn c2_two() {}\n\
         fn c3_no_test() {}\nproptest! {\n  #[test]\n  fn c4_three(a in 0..9) {}\n}\n\
         #[test]\n#[expect(clippy::x, reason = \"y\")]\n/// words\nfn c5_four() {}\n#[test]\nconst X: u8 = 1;\nfn c6_none() {}\n";
    assert_eq!(
        tests(source),
        ["c1_one", "c2_two", "c4_three", "c5_four"].map(str::to_owned)
    );
}

fn faults(rows: &[(String, String)], proofs: &BTreeMap<String, Vec<Proof>>) -> Vec<String> {
    let mut faults = Vec::new();
    for (row, place) in rows {
        let shown = shown(row);
        let Some(proofs) = proofs.get(row) else {
            faults.push(format!("{shown} has no test: none is called {row}_..."));
            continue;
        };
        let registry = proofs.iter().any(Proof::is_of_the_registry);
        let gate = proofs.iter().any(|proof| !proof.is_of_the_registry());
        let both = proofs.iter().any(|proof| proof.name.contains(BOTH)) || (registry && gate);
        match place.as_str() {
            "both" if !both => {
                let alone = if registry { "registry" } else { "gate" };
                faults.push(format!(
                    "{shown} is said to hold for both, and is tested at the {alone} alone"
                ));
            }
            "both" | "gate" | "registry" => {}
            other => faults.push(format!("{shown} holds for `{other}`, which is nobody")),
        }
    }
    for (row, proofs) in proofs {
        if !rows.iter().any(|(known, _)| known == row) {
            faults.extend(proofs.iter().map(|proof| {
                format!(
                    "{}: {} names a row that docs/threats.md has not got: {row}",
                    proof.file.display(),
                    proof.name
                )
            }));
        }
    }
    faults
}

/// As the table writes it.
fn shown(row: &str) -> String {
    if row.starts_with('n') {
        row.to_owned()
    } else {
        row.to_uppercase()
    }
}

/// The rows of the table, in its order, each with whom it holds for.
#[track_caller]
fn rows(text: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let row = cells[0].to_lowercase();
        if is_row(&row) {
            assert_eq!(cells.len(), 4, "{line}");
            assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
            rows.push((row, cells[3].to_owned()));
        }
    }
    rows
}

/// The rows that a test says it proves.
fn named(test: &str) -> Vec<String> {
    let words = test.split('_').take_while(|word| is_row(word));
    words.map(str::to_owned).collect()
}

fn is_row(word: &str) -> bool {
    let mut letters = word.chars();
    letters
        .next()
        .is_some_and(|part| LAST.iter().any(|(known, _)| *known == part))
        && !letters.as_str().is_empty()
        && letters.all(|digit| digit.is_ascii_digit())
}

/// The names of the tests of a file, those inside of macros too.
fn tests(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
            continue;
        }
        if line.starts_with("#[") || line.starts_with("//") {
            continue;
        }
        let function = line.trim_start_matches("async ").strip_prefix("fn ");
        if let Some(rest) = function.filter(|_| is_test) {
            let name = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_');
            names.push(name.collect());
        }
        is_test = false;
    }
    names
}

fn sources(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
