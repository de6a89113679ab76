//! The two lists of the distribution API as JSON documents: read as they come, in constant memory, and written.

use serde::Serialize;

/// The longest text of a list that is looked at; names end at 255 bytes, tags at 128.
const MAX_TEXT: usize = 1024;

/// Documents that are nested deeper are no lists of names.
const MAX_DEPTH: u32 = 64;

/// Reads `{"KEY": ["one", "two"], ...}` piece by piece. Of the rest of the document only the nesting is looked at; a
/// missing list and `null` (registry:2, when the last tag is gone) are empty.
#[derive(Debug)]
pub(crate) struct ListReader {
    key: &'static str,
    /// One bit for each open bracket, the innermost lowest: 1 is an object.
    open: u64,
    depth: u32,
    state: State,
    /// The text between quotation marks as it is written, escapes included.
    text: Vec<u8>,
    /// The last text of the outermost object is the wanted key.
    is_key: bool,
    in_list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between texts.
    Plain,
    /// The colon after the wanted key was read: a list must follow.
    Wanted,
    /// In a text.
    Text,
    /// After a backslash in a text.
    Escape,
    /// In a `null` where the list would be, so many letters in.
    Null(usize),
    /// The document is complete.
    Done,
}

/// It is no document with such a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list is malformed")]
pub(crate) struct Malformed;

impl ListReader {
    /// Waits for a document whose list is called `key`.
    pub(crate) fn new(key: &'static str) -> Self {
        Self {
            key,
            open: 0,
            depth: 0,
            state: State::Plain,
            text: Vec::new(),
            is_key: false,
            in_list: false,
        }
    }

    /// Takes the next piece, and hands each name to `each` in the order of the document.
    ///
    /// # Errors
    /// The document is malformed; nothing more is to be fed.
    pub(crate) fn feed(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(String),
    ) -> Result<(), Malformed> {
        for byte in piece {
            self.step(*byte, &mut each)?;
        }
        Ok(())
    }

    /// The document must be complete by now.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        (self.state == State::Done).then_some(()).ok_or(Malformed)
    }

    fn step(&mut self, byte: u8, each: &mut impl FnMut(String)) -> Result<(), Malformed> {
        match self.state {
            State::Escape => {
                self.state = State::Text;
                self.keep(byte)
            }
            State::Text => match byte {
                b'"' => self.end_text(each),
                b'\\' => {
                    self.state = State::Escape;
                    self.keep(byte)
                }
                0..0x20 => Err(Malformed),
                _ => self.keep(byte),
            },
            State::Null(letters) => match b"null".get(letters) {
                Some(letter) if *letter == byte => {
                    self.state = State::Null(letters + 1);
                    Ok(())
                }
                Some(_) => Err(Malformed),
                None => {
                    self.state = State::Plain;
                    self.plain(byte)
                }
            },
            State::Plain | State::Wanted | State::Done
                if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') =>
            {
                Ok(())
            }
            State::Plain => self.plain(byte),
            State::Wanted => {
                self.state = State::Plain;
                match byte {
                    b'[' => {
                        self.in_list = true;
                        self.open(false)
                    }
                    b'n' => {
                        self.state = State::Null(1);
                        Ok(())
                    }
                    _ => Err(Malformed),
                }
            }
            State::Done => Err(Malformed),
        }
    }

    fn plain(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.depth == 0 && byte != b'{' {
            return Err(Malformed);
        }
        match byte {
            b'{' | b'[' if self.in_list => Err(Malformed),
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => self.close(byte == b'}'),
            b'"' => {
                self.text.clear();
                self.state = State::Text;
                Ok(())
            }
            b':' => {
                if self.depth == 1 && std::mem::take(&mut self.is_key) {
                    self.state = State::Wanted;
                }
                Ok(())
            }
            b',' => Ok(()),
            // Numbers, true, false and null, which are no names.
            b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E' if !self.in_list => Ok(()),
            _ => Err(Malformed),
        }
    }

    fn open(&mut self, object: bool) -> Result<(), Malformed> {
        if self.depth == MAX_DEPTH {
            return Err(Malformed);
        }
        self.depth += 1;
        self.open = self.open << 1 | u64::from(object);
        self.is_key = false;
        Ok(())
    }

    fn close(&mut self, object: bool) -> Result<(), Malformed> {
        if (self.open & 1 == 1) != object {
            return Err(Malformed);
        }
        self.depth -= 1;
        self.open >>= 1;
        self.in_list = false;
        if self.depth == 0 {
            self.state = State::Done;
        }
        Ok(())
    }

    /// Texts that nobody reads are not kept, however long they are.
    fn keep(&mut self, byte: u8) -> Result<(), Malformed> {
        if !self.in_list && self.depth != 1 {
            return Ok(());
        }
        if self.text.len() < MAX_TEXT {
            self.text.push(byte);
            return Ok(());
        }
        if self.in_list { Err(Malformed) } else { Ok(()) }
    }

    fn end_text(&mut self, each: &mut impl FnMut(String)) -> Result<(), Malformed> {
        self.state = State::Plain;
        if self.in_list {
            each(unquoted(&self.text).ok_or(Malformed)?);
        } else if self.depth == 1 {
            self.is_key = unquoted(&self.text).is_some_and(|text| text == self.key);
        }
        Ok(())
    }
}

fn unquoted(text: &[u8]) -> Option<String> {
    if !text.contains(&b'\\') {
        return String::from_utf8(text.to_vec()).ok();
    }
    serde_json::from_slice(&[b"\"", text, b"\""].concat()).ok()
}

/// The answer of `/v2/_catalog`.
#[derive(Debug, Serialize)]
pub(crate) struct Repositories<'a> {
    /// Their names, in the registry's order.
    pub repositories: &'a [String],
}

/// The answer of `/v2/NAME/tags/list`.
#[derive(Debug, Serialize)]
pub(crate) struct Tags<'a> {
    /// The repository.
    pub name: &'a str,
    /// Its tags, sorted by bytes.
    pub tags: &'a [String],
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, piece: usize) -> Result<Vec<String>, Malformed> {
        let mut reader = ListReader::new("tags");
        let mut names = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            reader.feed(piece, |name| names.push(name))?;
        }
        reader.finish()?;
        Ok(names)
    }

    #[test]
    fn lists_are_read_whatever_stands_around_them() {
        for (text, names) in [
            (r#"{"name":"t","tags":["b","a"]}"#, &["b", "a"][..]),
            ("{\"name\":\"t\",\"tags\":null}\n", &[]),
            (r#"{"tags": [ ] }"#, &[]),
            (r#"{"tags":[]}"#, &[]),
            ("{}", &[]),
            (r#"{"name":"tags","x":["no"]}"#, &[]),
            (
                r#"{"x":{"tags":["no"]},"y":[[["tags"]],-1.5E+2,true,null],"tags":["yes"],"z":"\\\"]"}"#,
                &["yes"],
            ),
            (r#"{"tags":["a\/b","\u0061\\"]}"#, &["a/b", "a\\"]),
        ] {
            for piece in 1..text.len() {
                assert_eq!(read(text, piece).unwrap(), *names, "{text} by {piece}");
            }
        }
        let long = format!(r#"{{"x":"{}","tags":["a"]}}"#, "x".repeat(100_000));
        assert_eq!(read(&long, 7).unwrap(), ["a"]);
    }

    #[test]
    fn what_is_no_such_document_is_told_from_an_empty_list() {
        for text in [
            "",
            "[]",
            "null",
            "<html></html>",
            r#"{"tags":["a""#,
            r#"{"tags":["a"]"#,
            r#"{"tags":["a"]}}"#,
            r#"{"tags":["a"]}{}"#,
            r#"{"tags":["a"}]"#,
            r#"{"tags":["a",1]}"#,
            r#"{"tags":["a",null]}"#,
            r#"{"tags":[["a"]]}"#,
            r#"{"tags":[{"a":"b"}]}"#,
            r#"{"tags":"a"}"#,
            r#"{"tags":nul}"#,
            r#"{"tags":["\x"]}"#,
            "{\"tags\":[\"a\nb\"]}",
            &format!(r#"{{"tags":["{}"]}}"#, "a".repeat(MAX_TEXT + 1)),
            &format!("{{\"x\":{}", "[".repeat(100)),
        ] {
            assert_eq!(read(text, 3), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_list_in_any_pieces_is_read_as_serde_would(
            names in proptest::collection::vec("\\PC{0,20}", 0..20),
            other in "\\PC{0,40}",
            piece in 1_usize..50,
        ) {
            let text = serde_json::json!({ "a": other, "tags": names, "z": [{ "tags": [other] }] });
            prop_assert_eq!(read(&text.to_string(), piece), Ok(names));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = ListReader::new("tags");
            let _ = reader.feed(b"{\"tags\":[", |_| {}).and_then(|()| reader.feed(&bytes, |_| {}));
        }
    }
}
