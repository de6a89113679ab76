//! nginx's own way of cutting a configuration into words: quotes, escapes, comments, `${}`.

use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

use super::place::{Fault, Place, shown};

/// What a configuration is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or an argument, without its quotes and escapes.
    Word(String),
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`
    Close,
    /// The file is over.
    End,
}

/// Reads tokens, one after the other.
pub(super) struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    here: Place,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(file: &Arc<str>, text: &'a str) -> Self {
        // A byte order mark is an editor's habit.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            rest: text.chars().peekable(),
            here: Place {
                file: Arc::clone(file),
                line: 1,
                column: 1,
            },
        }
    }

    /// The next token and where it begins.
    ///
    /// # Errors
    /// A quote without its end, a character behind a quote, or a byte that no configuration has.
    pub(super) fn next(&mut self) -> Result<(Token, Place), Fault> {
        loop {
            let place = self.here.clone();
            let token = match self.rest.peek().copied() {
                None => return Ok((Token::End, place)),
                Some(c) if is_space(c) => {
                    self.take();
                    continue;
                }
                Some('#') => {
                    while self.take().is_some_and(|c| c != '\n') {}
                    continue;
                }
                Some(';') => Token::Semicolon,
                Some('{') => Token::Open,
                Some('}') => Token::Close,
                Some(quote @ ('"' | '\'')) => {
                    self.take();
                    return Ok((Token::Word(self.quoted(quote, &place)?), place));
                }
                Some(_) => return Ok((Token::Word(self.bare()?), place)),
            };
            self.take();
            return Ok((token, place));
        }
    }

    /// Skips a block in another language, whose `{` was just read, up to its `}`.
    ///
    /// # Errors
    /// It does not end.
    pub(super) fn skip_lua(&mut self) -> Result<(), Fault> {
        let begin = self.here.clone();
        let mut depth = 1_usize;
        while depth > 0 {
            match self.take() {
                None => {
                    return Err(Fault::At(
                        begin,
                        "this block does not end before the file does; a } is missing".into(),
                    ));
                }
                Some('{') => depth = depth.saturating_add(1),
                Some('}') => depth -= 1,
                Some('-') if self.rest.peek() == Some(&'-') => {
                    while self.take().is_some_and(|c| c != '\n') {}
                }
                Some(quote @ ('"' | '\'')) => {
                    while let Some(c) = self.take() {
                        if c == '\\' {
                            self.take();
                        } else if c == quote || c == '\n' {
                            break;
                        }
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// A word without quotes, whose first character is still to come.
    fn bare(&mut self) -> Result<String, Fault> {
        let mut word = String::new();
        let mut variable = false;
        while let Some(c) = self.rest.peek().copied() {
            if is_space(c) || c == ';' || (c == '{' && !variable) {
                break;
            }
            self.checked()?;
            variable = c == '$';
            match c {
                '\\' => self.escaped(&mut word)?,
                c => word.push(c),
            }
        }
        Ok(word)
    }

    /// A word behind its opening quote.
    fn quoted(&mut self, quote: char, begin: &Place) -> Result<String, Fault> {
        let mut word = String::new();
        loop {
            match self.checked()? {
                None => {
                    let text = format!(
                        "unexpected end of file, expecting the {quote} that ends this text"
                    );
                    return Err(Fault::At(begin.clone(), text));
                }
                Some('\\') => self.escaped(&mut word)?,
                Some(c) if c == quote => break,
                Some(c) => word.push(c),
            }
        }
        match self.rest.peek().copied() {
            Some(c) if !is_space(c) && !matches!(c, ';' | '{' | ')') => Err(Fault::At(
                self.here.clone(),
                format!(
                    "unexpected \"{}\" behind a closing quote, expecting a space, a ; or a {{",
                    shown(&c.to_string())
                ),
            )),
            _ => Ok(word),
        }
    }

    /// What stands behind a backslash.
    fn escaped(&mut self, word: &mut String) -> Result<(), Fault> {
        match self.checked()? {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
        Ok(())
    }

    /// The next character, if a configuration can have it.
    fn checked(&mut self) -> Result<Option<char>, Fault> {
        let place = self.here.clone();
        match self.take() {
            Some('\0') => Err(Fault::At(
                place,
                "unexpected NUL; is it a text file?".into(),
            )),
            Some(char::REPLACEMENT_CHARACTER) => Err(Fault::At(
                place,
                "is not UTF-8 text, and not in a comment; save the file as UTF-8".into(),
            )),
            other => Ok(other),
        }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.here.line += 1;
            self.here.column = 1;
        } else {
            self.here.column += 1;
        }
        Some(c)
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token>, String> {
        let mut lexer = Lexer::new(&Arc::from("f"), text);
        let mut all = Vec::new();
        loop {
            match lexer.next().map_err(|fault| fault.to_string())? {
                (Token::End, _) => return Ok(all),
                (token, _) => all.push(token),
            }
        }
    }

    fn words(text: &str) -> Vec<String> {
        let word = |token| match token {
            Token::Word(word) => word,
            Token::Semicolon => ";".into(),
            Token::Open => "{".into(),
            Token::Close => "}".into(),
            Token::End => String::new(),
        };
        tokens(text).unwrap().into_iter().map(word).collect()
    }

    #[test]
    fn words_are_cut_as_nginx_cuts_them() {
        for (text, expected) in [
            ("listen 443 ssl;", &["listen", "443", "ssl", ";"][..]),
            ("a 'b c' \"d;e\";", &["a", "b c", "d;e", ";"]),
            ("a # comment ; {\nb;", &["a", "b", ";"]),
            ("a#b c;", &["a#b", "c", ";"]),
            ("a \"\";", &["a", "", ";"]),
            ("x ${a}b {", &["x", "${a}b", "{"]),
            ("x $a{", &["x", "$a", "{"]),
            ("x a} }", &["x", "a}", "}"]),
            ("if ($a ~ \"b\" ) {", &["if", "($a", "~", "b", ")", "{"]),
            ("if ($a ~ \"b\") {", &["if", "($a", "~", "b", ")", "{"]),
            (r#"a "\"x\" \\ \n \.";"#, &["a", "\"x\" \\ \n \\.", ";"]),
            (r"a \;b\ c;", &["a", r"\;b\ c", ";"]),
            (r#"a b"c"d;"#, &["a", "b\"c\"d", ";"]),
            ("\u{feff}a;", &["a", ";"]),
            ("\r\n\t a;", &["a", ";"]),
        ] {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_nginx_cannot_read_is_named_with_line_and_column() {
        for (text, said) in [
            (
                "a;\n  b \"c",
                "f:2:5: unexpected end of file, expecting the \"",
            ),
            ("a 'b'c;", "f:1:6: unexpected \"c\" behind a closing quote"),
            ("a \0b;", "f:1:3: unexpected NUL"),
            ("ä \u{fffd};", "f:1:3: is not UTF-8"),
        ] {
            let fault = tokens(text).unwrap_err();
            assert!(fault.starts_with(said), "{text:?}: {fault}");
        }
    }
}
