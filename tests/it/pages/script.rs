//! The commands of a page as one script for `sh -e`, and what they are to print.

use std::fmt::Write as _;
use std::path::Path;

use super::page::{Block, Page, Piece};

/// What a page asks a shell to do.
#[derive(Debug, Default)]
pub struct Script {
    /// The text.
    pub text: String,
    /// What has to be found in which output.
    pub expected: Vec<Expected>,
    /// What is wrong with the page.
    pub faults: Vec<String>,
    servers: Vec<usize>,
    started: usize,
}

/// Something that a page says is printed.
#[derive(Debug)]
pub struct Expected {
    /// The line of the page.
    pub line: usize,
    /// The file names of the outputs.
    pub outputs: Vec<String>,
    /// What the page shows.
    pub text: String,
    /// All lines of it one after the other, or a piece of one line.
    pub whole: bool,
}

/// One command with everything that belongs to it: lines that go on, here-documents.
#[derive(Debug, PartialEq)]
struct Line {
    number: usize,
    text: String,
}

impl Script {
    /// Of a page. What it is given comes first.
    pub fn of(page: &Page) -> Self {
        let mut script = Self::default();
        let mut last: Option<&Block> = None;
        for piece in &page.pieces {
            match piece {
                Piece::Given { line, text } => {
                    writeln!(script.text, "block {line} given\n{text}").unwrap();
                }
                Piece::Interrupt { line } => script.interrupt(&page.path, *line),
                Piece::Block(block) if block.language == "sh" => {
                    script.block(&page.path, block);
                    last = Some(block);
                }
                Piece::Block(block) if block.language == "text" && block.excuse.is_none() => {
                    let Some(last) = last else { continue };
                    script.expected.push(Expected {
                        line: block.line,
                        outputs: vec![last.line.to_string(), format!("{}.server", last.line)],
                        text: block.text.clone(),
                        whole: true,
                    });
                }
                Piece::Block(_) => {}
            }
        }
        for server in &script.servers {
            writeln!(script.text, "still_runs \"$server_{server}\"").unwrap();
        }
        script
    }

    /// Whether the page needs this program.
    pub fn uses(&self, program: &str) -> bool {
        mentions(&self.text, program)
    }

    fn interrupt(&mut self, path: &Path, line: usize) {
        let Some(server) = self.servers.pop() else {
            let fault = format!(
                "{}:{line}: nothing runs that could be ended",
                path.display()
            );
            return self.faults.push(fault);
        };
        writeln!(
            self.text,
            "block {line} ctrl-c\ninterrupt \"$server_{server}\""
        )
        .unwrap();
    }

    fn block(&mut self, path: &Path, block: &Block) {
        if mentions(&block.text, "docker") {
            self.text += "docker_daemon\n";
        }
        writeln!(self.text, "block {} commands", block.line).unwrap();
        let lines = lines(block);
        let count = lines.len();
        for (index, line) in lines.into_iter().enumerate() {
            let at = line.number;
            let mut fault = |what: &str| {
                self.faults.push(format!("{}:{at}: {what}", path.display()));
            };
            let background = line.text.strip_suffix('&').map(str::trim_end);
            let command = background.unwrap_or(&line.text);
            if serves(command) {
                if background.is_none() && index + 1 < count {
                    fault(
                        "serves in the foreground: what follows is typed in another terminal, so in another block",
                    );
                }
                self.serve(block.line, command, background.is_some());
            } else if background.is_some() && !line.text.ends_with("&&") {
                fault("the tests do not know how to wait for this in the background");
            } else if let Some((command, said)) = line.text.rsplit_once("# prints ") {
                let output = format!("{at}.line");
                writeln!(
                    self.text,
                    "{{ {command}\n}} >\"$OUT/{output}\" 2>&1 || failed \"$OUT/{output}\" $?"
                )
                .unwrap();
                self.expected.push(Expected {
                    line: at,
                    outputs: vec![output],
                    text: said.trim().to_owned(),
                    whole: false,
                });
            } else if let Some((command, code)) = line.text.rsplit_once("# exits with ") {
                if code.trim().parse::<u8>().is_err() {
                    fault("an exit code is a number");
                }
                writeln!(
                    self.text,
                    "code=0; {{ {command}\n}} || code=$?\nended {} \"$code\"",
                    code.trim()
                )
                .unwrap();
            } else {
                writeln!(self.text, "{}", line.text).unwrap();
            }
        }
    }

    /// A server runs on while the page goes on, as in a terminal of its own.
    fn serve(&mut self, block: usize, command: &str, background: bool) {
        self.started += 1;
        let server = self.started;
        writeln!(
            self.text,
            "{command} >\"$OUT/{block}.server\" 2>&1 &\nserver_{server}=$!\nlistens \"$OUT/{block}.server\" \"$!\""
        )
        .unwrap();
        if !background {
            self.servers.push(server);
        }
    }
}

/// Whether this word stands in a text where a program may stand.
fn mentions(text: &str, program: &str) -> bool {
    let mut words = text.split(|c: char| c.is_whitespace() || "(;|\"".contains(c));
    words.any(|word| word == program)
}

/// The commands of a block.
fn lines(block: &Block) -> Vec<Line> {
    let mut found = Vec::new();
    let mut source = block.text.lines().zip(block.line + 1..);
    while let Some((first, number)) = source.next() {
        let mut text = first.to_owned();
        let mut end = first;
        while end.ends_with('\\') {
            let Some((next, _)) = source.next() else {
                break;
            };
            text = format!("{text}\n{next}");
            end = next;
        }
        for word in here_documents(&text) {
            for (line, _) in source.by_ref() {
                text = format!("{text}\n{line}");
                if line == word {
                    break;
                }
            }
        }
        if !text.trim().is_empty() {
            found.push(Line { number, text });
        }
    }
    found
}

/// The words at which the here-documents of a command end.
fn here_documents(command: &str) -> Vec<String> {
    let pieces = command.split("<<").skip(1);
    pieces
        .map(|piece| {
            let word = piece.split_whitespace().next().unwrap_or_default();
            word.trim_matches(['\'', '"', '-']).to_owned()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether a command serves until somebody ends it.
fn serves(command: &str) -> bool {
    let mut words = command
        .split_whitespace()
        .skip_while(|word| word.contains('=') && !word.starts_with('-'));
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    match program {
        "dockgate" => {
            let mut rest = rest.into_iter();
            while let Some(word) = rest.next() {
                match word {
                    "-c" | "--config" => drop(rest.next()),
                    _ => return word == "serve",
                }
            }
            true
        }
        "docker-registry" => rest.first() == Some(&"serve"),
        "cargo" => rest.first() == Some(&"run"),
        _ => false,
    }
}

#[test]
fn a_command_has_its_here_document_and_the_lines_it_goes_on_in() {
    let block = Block {
        line: 10,
        language: "sh".into(),
        text: "cat >a <<'X'\ndockgate\nX\ncurl \\\n  -k url\n\nls # prints a\n".into(),
        excuse: None,
    };
    let found: Vec<(usize, String)> = lines(&block)
        .into_iter()
        .map(|l| (l.number, l.text))
        .collect();
    let wanted = [
        (11, "cat >a <<'X'\ndockgate\nX"),
        (14, "curl \\\n  -k url"),
        (17, "ls # prints a"),
    ];
    assert_eq!(found, wanted.map(|(n, text)| (n, text.to_owned())));
}

#[test]
fn what_serves_is_told_from_what_ends() {
    for command in [
        "dockgate",
        "A=b target/release/dockgate --config gate.toml",
        "dockgate serve config.yml",
        "cargo run --release",
        "docker-registry serve config.yml",
    ] {
        assert!(serves(command), "{command}");
    }
    for command in [
        "dockgate --version",
        "dockgate check",
        "dockgate --config a.toml check",
        "cargo build --release",
        "docker run registry:2 serve",
        "curl http://dockgate",
        "kill $!",
    ] {
        assert!(!serves(command), "{command}");
    }
}
