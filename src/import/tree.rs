//! Words made into directives and blocks.

use std::sync::Arc;

use super::lexer::{Lexer, Token};
use super::place::{Fault, Place, shown};

/// A block in a block in a block: nobody writes more than six. Deeper ones would only use up our stack.
const DEEPEST: usize = 32;

/// A configuration of a thousand sites has less.
const MOST: usize = 100_000;

/// One directive, with the block that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Directive {
    /// Its number: no two of one import have the same.
    pub id: usize,
    /// The first word.
    pub name: String,
    /// The others.
    pub args: Vec<String>,
    /// What stands between its braces.
    pub block: Option<Vec<Self>>,
    /// Where it begins.
    pub place: Place,
}

impl Directive {
    /// One argument; the empty text where there is none.
    pub(crate) fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }

    /// What stands in its block.
    pub(crate) fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Its name and its first argument, which never is a secret, as a message calls it.
    pub(crate) fn called(&self) -> String {
        let secret = |arg: &str| arg.contains('@') && self.name == "proxy_pass";
        // The empty text is a word too.
        let word = |word: &str| {
            if word.is_empty() {
                "''".into()
            } else {
                shown(word)
            }
        };
        match self.args.first() {
            Some(arg) if !secret(arg) => format!("{} {}", word(&self.name), word(arg)),
            _ => word(&self.name),
        }
    }

    /// A fault of this directive.
    pub(crate) fn fault(&self, text: impl Into<String>) -> Fault {
        let text = format!("{}: {}", self.called(), text.into());
        Fault::At(self.place.clone(), text)
    }
}

/// Numbers for directives, and an end to them.
#[derive(Debug, Default)]
pub(super) struct Numbers(usize);

impl Numbers {
    fn next(&mut self, place: &Place) -> Result<usize, Fault> {
        if self.0 == MOST {
            let text = format!("more than {MOST} directives; name the file of one site instead");
            return Err(Fault::At(place.clone(), text));
        }
        self.0 += 1;
        Ok(self.0)
    }
}

/// Reads one file.
///
/// # Errors
/// The first thing that nginx could not read either, with what was expected.
pub(super) fn parse(
    file: &Arc<str>,
    text: &str,
    numbers: &mut Numbers,
) -> Result<Vec<Directive>, Fault> {
    let mut lexer = Lexer::new(file, text);
    let mut open: Vec<(Directive, Vec<Directive>)> = Vec::new();
    let mut list = Vec::new();
    loop {
        match lexer.next()? {
            (Token::Word(name), place) => {
                let mut directive = Directive {
                    id: numbers.next(&place)?,
                    name,
                    args: Vec::new(),
                    block: None,
                    place,
                };
                if !arguments(&mut lexer, &mut directive)? {
                    list.push(directive);
                    continue;
                }
                if directive.name.ends_with("_by_lua_block") {
                    lexer.skip_lua()?;
                    directive.block = Some(Vec::new());
                    list.push(directive);
                } else if open.len() == DEEPEST {
                    return Err(directive.fault(format!("more than {DEEPEST} blocks deep")));
                } else {
                    open.push((directive, std::mem::take(&mut list)));
                }
            }
            (Token::Close, place) => {
                let Some((mut directive, before)) = open.pop() else {
                    let text = "unexpected }, there is no block to end".to_owned();
                    return Err(Fault::At(place, text));
                };
                directive.block = Some(std::mem::replace(&mut list, before));
                list.push(directive);
            }
            (Token::Semicolon, place) => {
                let text = "unexpected ;, expecting a directive".to_owned();
                return Err(Fault::At(place, text));
            }
            (Token::Open, place) => {
                let text = "unexpected {, expecting a directive before it".to_owned();
                return Err(Fault::At(place, text));
            }
            (Token::End, place) => {
                let Some((directive, _)) = open.pop() else {
                    return Ok(list);
                };
                let text = format!(
                    "unexpected end of file, expecting }} to end \"{}\" of line {}",
                    directive.called(),
                    directive.place.line
                );
                return Err(Fault::At(place, text));
            }
        }
    }
}

/// The words up to `;` or `{`; whether a block follows.
fn arguments(lexer: &mut Lexer<'_>, directive: &mut Directive) -> Result<bool, Fault> {
    loop {
        match lexer.next()? {
            (Token::Word(word), _) => directive.args.push(word),
            (Token::Semicolon, _) => return Ok(false),
            (Token::Open, _) => return Ok(true),
            (Token::Close, place) => {
                let text = format!(
                    "unexpected }}, expecting ; to end \"{}\" of line {}",
                    directive.called(),
                    directive.place.line
                );
                return Err(Fault::At(place, text));
            }
            (Token::End, place) => {
                let text = format!(
                    "unexpected end of file, expecting ; or {{ after \"{}\" of line {}",
                    directive.called(),
                    directive.place.line
                );
                return Err(Fault::At(place, text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<Directive>, String> {
        let read = parse(&Arc::from("f"), text, &mut Numbers::default());
        read.map_err(|fault| fault.to_string())
    }

    /// Everything but numbers and places.
    fn bare(list: &[Directive]) -> String {
        let one = |d: &Directive| match &d.block {
            None => format!("({:?} {:?})", d.name, d.args),
            Some(block) => format!("({:?} {:?} {})", d.name, d.args, bare(block)),
        };
        list.iter().map(one).collect()
    }

    fn written(list: &[Directive], out: &mut String) {
        for d in list {
            for word in std::iter::once(&d.name).chain(&d.args) {
                let word = word.replace('\\', r"\\").replace('"', "\\\"");
                out.extend(["\"", word.as_str(), "\" "]);
            }
            match &d.block {
                None => out.push_str(";\n"),
                Some(block) => {
                    out.push_str("{\n");
                    written(block, out);
                    out.push_str("}\n");
                }
            }
        }
    }

    #[test]
    fn blocks_nest_and_lua_is_left_alone() {
        let list = read(
            "http { server { listen 80; access_by_lua_block { if a then -- }\n b = \"}\" t = {} end } return 404; } }",
        )
        .unwrap();
        assert_eq!(
            bare(&list),
            r#"("http" [] ("server" [] ("listen" ["80"])("access_by_lua_block" [] )("return" ["404"])))"#
        );
    }

    #[test]
    fn syntax_errors_have_line_and_column_and_what_was_expected() {
        for (text, said) in [
            (
                "server {\n listen 80;\n",
                "f:3:1: unexpected end of file, expecting } to end \"server\" of line 1",
            ),
            (
                "server {\n listen 80\n}\n",
                "f:3:1: unexpected }, expecting ; to end \"listen 80\" of line 2",
            ),
            ("a;\n}", "f:2:1: unexpected }, there is no block to end"),
            ("a;;", "f:1:3: unexpected ;, expecting a directive"),
            ("{", "f:1:1: unexpected {, expecting a directive before it"),
            (
                "listen 80",
                "f:1:10: unexpected end of file, expecting ; or { after \"listen 80\" of line 1",
            ),
            (
                "a_by_lua_block {\n x = '}'\n",
                "f:1:17: this block does not end",
            ),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.starts_with(said), "{text:?}: {fault}");
        }
    }

    #[test]
    fn what_is_too_deep_or_too_much_is_refused() {
        let deep = "a {".repeat(10_000_000 / 3);
        assert!(read(&deep).unwrap_err().contains("blocks deep"));
        let many = "a;".repeat(MOST + 1);
        assert!(read(&many).unwrap_err().contains("more than"));
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        let list = read("proxy_pass http://ann:geheim@registry:5000;").unwrap();
        assert_eq!(list[0].called(), "proxy_pass");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>()) {
            let _ = read(&text);
        }

        #[test]
        fn what_was_read_reads_the_same_when_it_is_written_again(
            text in "([a-z$]{1,3}|[ \n]|;|\\{|\\}|\"[a-z;{}#$ ]{0,4}\"|\\\\[a-z\"; ]|'x'|#z\n){0,24}"
        ) {
            if let Ok(list) = read(&text) {
                let mut again = String::new();
                written(&list, &mut again);
                prop_assert_eq!(bare(&list), bare(&read(&again).unwrap()));
            }
        }
    }
}
