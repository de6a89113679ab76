//! A page as the tests read it: its blocks, and what its comments say about them.

use std::fs;
use std::path::{Path, PathBuf};

/// What becomes of a block, by its language. One that is not here is a fault.
const LANGUAGES: &[(&str, Use)] = &[
    ("sh", Use::Run),
    ("console", Use::Excused),
    ("text", Use::Output),
    ("toml", Use::Loaded),
    ("json", Use::Parsed),
    ("yaml", Use::Parsed),
    ("nginx", Use::Shown),
    ("ruby", Use::Shown),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    /// The page's commands.
    Run,
    /// Commands that a test machine cannot run; needs a reason.
    Excused,
    /// What the commands before it print; anywhere else it needs a reason.
    Output,
    /// A configuration of dockgate.
    Loaded,
    /// Must be well-formed.
    Parsed,
    /// The lines of before, which a `given` may use, and what other programs read.
    Shown,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Its path in the repository.
    pub path: PathBuf,
    /// What stands in it, in order.
    pub pieces: Vec<Piece>,
    /// What is wrong with it, each with its place.
    pub faults: Vec<String>,
    /// Its code spans, with their lines.
    pub spans: Vec<(usize, String)>,
}

/// One thing that a test does something with.
#[derive(Debug)]
pub enum Piece {
    /// A fenced block.
    Block(Block),
    /// Commands that put the reader's machine up as it is before the page begins.
    Given { line: usize, text: String },
    /// The reader ends what the last terminal runs.
    Interrupt { line: usize },
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// The line of its fence.
    pub line: usize,
    /// What stands after the fence.
    pub language: String,
    /// What stands in it.
    pub text: String,
    /// Why it is not run.
    pub excuse: Option<String>,
}

impl Page {
    /// Reads a page of the repository.
    pub fn read(house: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(house.join(path)).unwrap();
        Self::parse(path, &text)
    }

    /// The same, of a text.
    pub fn parse(path: &Path, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            pieces: Vec::new(),
            faults: Vec::new(),
            spans: Vec::new(),
        };
        Reader::new(&mut page).read(text);
        page
    }

    /// Its blocks of one language.
    pub fn blocks(&self, language: &str) -> impl Iterator<Item = &Block> {
        self.pieces.iter().filter_map(move |piece| match piece {
            Piece::Block(block) if block.language == language => Some(block),
            _ => None,
        })
    }

    /// Its blocks that nothing is done with, and why.
    pub fn excused(&self) -> impl Iterator<Item = &Block> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Block(block) if block.excuse.is_some() => Some(block),
            _ => None,
        })
    }
}

/// Reads line by line.
struct Reader<'a> {
    page: &'a mut Page,
    excuse: Option<(usize, String)>,
    /// The language of the last block of this section.
    last: Option<Use>,
    list: bool,
    blank: bool,
}

impl<'a> Reader<'a> {
    fn new(page: &'a mut Page) -> Self {
        Self {
            page,
            excuse: None,
            last: None,
            list: false,
            blank: true,
        }
    }

    fn fault(&mut self, line: usize, what: &str) {
        let fault = format!("{}:{line}: {what}", self.page.path.display());
        self.page.faults.push(fault);
    }

    fn read(mut self, text: &str) {
        let mut lines = text.lines().enumerate().map(|(n, line)| (n + 1, line));
        let mut prose: Vec<(usize, &str)> = Vec::new();
        while let Some((number, line)) = lines.next() {
            let bare = line.trim_start();
            let indent = line.len() - bare.len();
            if let Some(language) = bare.strip_prefix("```") {
                let mut body = String::new();
                let mut closed = false;
                for (_, line) in lines.by_ref() {
                    if line.trim() == "```" {
                        closed = true;
                        break;
                    }
                    let cut = line.len() - line.trim_start().len();
                    body += &line[cut.min(indent)..];
                    body.push('\n');
                }
                if !closed {
                    self.fault(number, "a block that does not end");
                }
                self.block(number, language.trim(), body);
            } else if bare.starts_with("<!--") {
                self.comment(number, bare, &mut lines);
            } else {
                self.prose(number, line, indent);
                prose.push((number, line));
            }
        }
        if let Some((line, _)) = self.excuse.take() {
            self.fault(line, "an excuse for nothing");
        }
        self.page.spans = spans(&prose);
    }

    fn block(&mut self, line: usize, language: &str, text: String) {
        let known = LANGUAGES.iter().find(|(name, _)| *name == language);
        let excuse = self.excuse.take();
        let Some((_, usage)) = known else {
            let what = format!("the tests do not know what to do with a block of {language:?}");
            return self.fault(line, &what);
        };
        let excusable = match usage {
            Use::Excused => true,
            Use::Output => self.last != Some(Use::Run),
            _ => false,
        };
        match (&excuse, excusable) {
            (None, true) => self.fault(
                line,
                "neither run nor excused: `<!-- not run: REASON -->` says why in the line before it",
            ),
            (Some(_), false) => self.fault(line, "is excused and could be run or checked"),
            _ => {}
        }
        if text.trim().is_empty() {
            self.fault(line, "an empty block");
        }
        self.last = Some(*usage);
        self.page.pieces.push(Piece::Block(Block {
            line,
            language: language.to_owned(),
            text,
            excuse: excuse.map(|(_, reason)| reason),
        }));
    }

    fn comment<'t>(
        &mut self,
        line: usize,
        begin: &str,
        lines: &mut impl Iterator<Item = (usize, &'t str)>,
    ) {
        let words = begin.trim_start_matches("<!--").trim();
        if words == "given" {
            let text = lines
                .map(|(_, line)| line)
                .take_while(|line| line.trim() != "-->")
                .fold(String::new(), |text, line| text + line + "\n");
            return self.page.pieces.push(Piece::Given { line, text });
        }
        let Some(words) = words.strip_suffix("-->").map(str::trim) else {
            return self.fault(line, "a comment that the tests do not know");
        };
        if let Some(reason) = words.strip_prefix("not run:") {
            if reason.split_whitespace().count() < 3 {
                self.fault(line, "say why, in some words");
            }
            self.excuse = Some((line, reason.trim().to_owned()));
        } else if words == "ctrl-c" {
            self.page.pieces.push(Piece::Interrupt { line });
        } else {
            self.fault(line, "a comment that the tests do not know");
        }
    }

    fn prose(&mut self, number: usize, line: &str, indent: usize) {
        let bare = line.trim();
        if bare.is_empty() {
            self.blank = true;
            return;
        }
        if let Some((line, _)) = self.excuse.take() {
            self.fault(line, "an excuse belongs directly before its block");
        }
        if bare.starts_with("~~~") {
            self.fault(number, "blocks are fenced with ```");
        }
        if line.starts_with('#') {
            self.last = None;
        }
        let item = ["- ", "* "].iter().any(|mark| bare.starts_with(mark))
            || bare
                .split_once(". ")
                .is_some_and(|(n, _)| n.parse::<u8>().is_ok());
        if indent == 0 {
            self.list = item;
        }
        if indent >= 4 && self.blank && !self.list {
            self.fault(number, "an indented block: fence it and say what it is");
        }
        self.blank = false;
    }
}

/// What stands between single backticks, over the ends of lines too.
fn spans(prose: &[(usize, &str)]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in prose {
        if line.trim().is_empty() {
            open = None;
            continue;
        }
        let mut pieces = line.split('`').peekable();
        while let Some(piece) = pieces.next() {
            if let Some((_, text)) = &mut open {
                *text += piece;
            }
            if pieces.peek().is_some() {
                match open.take() {
                    Some(span) => found.push(span),
                    None => open = Some((*number, String::new())),
                }
            }
        }
        if let Some((_, text)) = &mut open {
            text.push(' ');
        }
    }
    found
}
