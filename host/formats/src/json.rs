//! JSON as records carry it: read strictly, written compactly, the order of an object's members and every digit kept.
//!
//! Not `serde_json`'s tree: that sorts members or depends on a feature that all crates of a build share, and turns numbers
//! into floats. Values borrow from the text that they were read from.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::limits::{JSON_BYTES_MAX, NESTING_MAX};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(&'a str),
    /// A string, escapes resolved.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object: its members in the order of the text, no name twice.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Reads one value, and nothing behind it.
    ///
    /// # Errors
    /// What is wrong, and at which byte: text that is not UTF-8 or not JSON (RFC 8259), a name given twice in an object,
    /// more than [`NESTING_MAX`] levels, more than [`JSON_BYTES_MAX`] bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.len() > JSON_BYTES_MAX {
            return Err(format!("the text has {} bytes, and at most {JSON_BYTES_MAX} are read", bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.space();
        match parser.at == text.len() {
            true => Ok(value),
            false => Err(parser.wrong("nothing more")),
        }
    }

    /// Writes the value without space between tokens.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Bool(true) => out.extend_from_slice(b"true"),
            Json::Bool(false) => out.extend_from_slice(b"false"),
            Json::Number(digits) => out.extend_from_slice(digits.as_bytes()),
            Json::Text(text) => write_text(text, out),
            Json::List(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Json::Object(members) => {
                out.push(b'{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// A string's text.
    pub fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a truth value",
            Json::Number(_) => "a number",
            Json::Text(_) => "a string",
            Json::List(_) => "an array",
            Json::Object(_) => "an object",
        }
    }
}

/// Writes a string with its quotes: only `"`, `\` and control characters are escaped.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    for (i, byte) in bytes.iter().enumerate().filter(|(_, b)| matches!(b, b'"' | b'\\' | 0..0x20)) {
        out.extend_from_slice(&bytes[done..i]);
        done = i + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.next(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong(&self, expected: &str) -> String {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None => format!("not JSON: the text ends at byte {}, where {expected} should be", self.at),
            Some(c) => format!("not JSON: {c:?} at byte {}, where {expected} should be", self.at),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, String> {
        self.space();
        match self.next() {
            Some(b'{' | b'[') if depth == NESTING_MAX => {
                Err(format!("more than {NESTING_MAX} levels deep at byte {}", self.at))
            }
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.wrong("a value")),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, String> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Json<'a>, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.space();
            if self.take(b']') {
                return Ok(Json::List(items));
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `]`"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, String> {
        self.at += 1;
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        self.space();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            if self.next() != Some(b'"') {
                return Err(self.wrong("a name in quotes"));
            }
            let name = self.string()?;
            self.space();
            if !self.take(b':') {
                return Err(self.wrong("`:`"));
            }
            members.push((name, self.value(depth)?));
            self.space();
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `}`"));
            }
        }
        // Readers differ in which of two they take; a value that means two things is refused.
        match twice(members.iter().map(|(name, _)| name.as_ref())) {
            Some(name) => Err(format!("the name {name:?} stands twice in one object, before byte {}", self.at)),
            None => Ok(Json::Object(members)),
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.next() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn number(&mut self) -> Result<Json<'a>, String> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') && !self.digits() {
            return Err(self.wrong("a digit"));
        }
        if self.take(b'.') && !self.digits() {
            return Err(self.wrong("a digit"));
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            if !self.digits() {
                return Err(self.wrong("a digit"));
            }
        }
        Ok(Json::Number(&self.text[start..self.at]))
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.next(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }

    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        self.at += 1;
        let start = self.at;
        let mut own: Option<String> = None;
        let mut done = start;
        loop {
            match self.next() {
                Some(b'"') => {
                    let rest = &self.text[done..self.at];
                    self.at += 1;
                    return Ok(match own {
                        None => Cow::Borrowed(rest),
                        Some(text) => Cow::Owned(text + rest),
                    });
                }
                Some(b'\\') => {
                    let text = own.get_or_insert_default();
                    text.push_str(&self.text[done..self.at]);
                    self.at += 1;
                    let c = self.escape()?;
                    own.get_or_insert_default().push(c);
                    done = self.at;
                }
                Some(0..0x20) | None => return Err(self.wrong("more of a string, or its end")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let Some(byte) = self.next() else { return Err(self.wrong("an escape")) };
        let simple = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.wrong("an escape")),
        };
        self.at += 1;
        Ok(simple)
    }

    fn unicode(&mut self) -> Result<char, String> {
        let at = self.at;
        let half = |what: &str| format!("not JSON: {what} at byte {at}");
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or_else(|| half("half of a surrogate pair"));
        }
        if !(self.take(b'\\') && self.take(b'u')) {
            return Err(half("half of a surrogate pair"));
        }
        let second = self.hex()?;
        let second =
            second.checked_sub(0xdc00).filter(|s| *s < 0x400).ok_or_else(|| half("half of a surrogate pair"))?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10 | second)).ok_or_else(|| half("half of a surrogate pair"))
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits =
            digits.filter(|d| d.iter().all(u8::is_ascii_hexdigit)).ok_or_else(|| self.wrong("four hex digits"))?;
        self.at += 4;
        Ok(digits.iter().fold(0, |n, d| n << 4 | char::from(*d).to_digit(16).unwrap_or_default()))
    }
}

/// Members from which on names are looked up, rather than compared with each other.
const COMPARED_MAX: usize = 8;

/// A name that is there twice.
pub fn twice<'n>(names: impl ExactSizeIterator<Item = &'n str> + Clone) -> Option<&'n str> {
    if names.len() <= COMPARED_MAX {
        let mut rest = names.clone();
        while let Some(name) = rest.next() {
            if rest.clone().any(|other| other == name) {
                return Some(name);
            }
        }
        return None;
    }
    let mut seen = HashSet::with_capacity(names.len());
    names.into_iter().find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compact(text: &str) -> Result<String, String> {
        let mut out = Vec::new();
        Json::parse(text.as_bytes())?.write(&mut out);
        Ok(String::from_utf8(out).expect("it is text"))
    }

    #[test]
    fn space_goes_and_order_and_digits_stay() {
        let text = " { \"b\" : [ 1.50 , -0 , 12345678901234567890123, 1E+2 ] ,\n\"a\":{} , \"\\u00e9\\/\\n\\ud83d\\ude00\" : true } ";
        assert_eq!(compact(text).unwrap(), "{\"b\":[1.50,-0,12345678901234567890123,1E+2],\"a\":{},\"é/\\n😀\":true}");
    }

    #[test]
    fn what_is_not_json_is_told_with_its_place() {
        let wrong = [
            ("", "ends at byte 0"),
            ("nul", "'n' at byte 0"),
            ("01", "'1' at byte 1"),
            ("1.", "ends at byte 2"),
            ("-", "ends at byte 1"),
            ("1e", "ends at byte 2"),
            ("[1,]", "']' at byte 3"),
            ("{\"a\" 1}", "'1' at byte 5"),
            ("{a:1}", "'a' at byte 1"),
            ("\"\n\"", "'\\n' at byte 1"),
            ("\"\\x\"", "'x' at byte 2"),
            ("\"\\ud800\"", "half of a surrogate pair"),
            ("\"\\udc00\"", "half of a surrogate pair"),
            ("\"\\ud800\\u0041\"", "half of a surrogate pair"),
            ("\"\\u00g0\"", "four hex digits"),
            ("\"é\\u00é\"", "four hex digits"),
            ("1 2", "'2' at byte 2"),
            ("\u{feff}1", "a value"),
            ("{\"a\":1,\"b\":2,\"\\u0061\":3}", "\"a\" stands twice"),
        ];
        for (text, expected) in wrong {
            let error = compact(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert!(Json::parse(b"\"\xff\"").unwrap_err().contains("not UTF-8 at byte 1"));
        let many: Vec<String> = (0..20).chain([7]).map(|i| format!("\"n{i}\":0")).collect();
        assert!(compact(&format!("{{{}}}", many.join(","))).unwrap_err().contains("\"n7\" stands twice"));
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(compact(&nested(NESTING_MAX)).is_ok());
        assert!(compact(&nested(NESTING_MAX + 1)).unwrap_err().contains("levels deep"));
        assert!(compact(&"[".repeat(1 << 20)).unwrap_err().contains("levels deep"));
        let long = |bytes: usize| "1".repeat(bytes);
        assert!(compact(&long(JSON_BYTES_MAX)).is_ok());
        assert!(compact(&long(JSON_BYTES_MAX + 1)).unwrap_err().contains("are read"));
    }

    fn any_text() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(":"),
            Just("\""),
            Just("\\u00"),
            Just("\\"),
            Just("null"),
            Just("true"),
            Just("1"),
            Just("-0.5e1"),
            Just(" "),
            Just("\"a\""),
            Just("\"b\":"),
            Just("é")
        ];
        proptest::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        /// What is JSON and what is not, and what it means, as another reader sees it.
        #[test]
        fn agrees_with_another_reader(text in any_text()) {
            let ours = compact(&text);
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(theirs) => match ours {
                    Ok(compact) => prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&compact).unwrap(), theirs),
                    Err(why) => prop_assert!(why.contains("stands twice"), "{text:?}: {why}"),
                },
                Err(_) => prop_assert!(ours.is_err(), "{text:?}"),
            }
        }

        #[test]
        fn strings_come_back(text in "\\PC*|[\\x00-\\x40]*") {
            let mut out = Vec::new();
            write_text(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text.clone());
            prop_assert_eq!(Json::parse(&out).unwrap(), Json::Text(text.into()));
        }
    }
}
