//! YAML text → a tree in which every key and value knows its place. Plain YAML only.
//!
//! Absent on purpose: anchors, aliases, merge keys and tags, so that a small file stays a small tree; several documents.
//! What a tree means is said elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value;

use super::problem::Problem;

/// Most bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Most levels of mappings and sequences inside each other.
pub const NESTING_MAX: usize = 32;

/// What a text is, for messages and for its limit.
#[derive(Clone, Copy, Debug)]
pub struct Document {
    /// Its name: `manifest`.
    pub name: &'static str,
    /// Most bytes of it.
    pub bytes_max: usize,
    /// What helps whose text is too large.
    pub large: &'static str,
    /// What helps whose text is empty.
    pub empty: &'static str,
}

/// A pipeline's manifest.
pub const MANIFEST: Document = Document {
    name: "manifest",
    bytes_max: MANIFEST_BYTES_MAX,
    large: "what is generated for many topics is better several pipelines",
    empty: "see docs/manifest.md for a first pipeline",
};

/// The key by which YAML 1.1 takes in another mapping.
const MERGE_KEY: &str = "<<";

/// A value with its place: bytes of the text.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it is written. Of a mapping or sequence in block style: its first line's beginning to its end.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Text, a number, `true`, `null`.
    Scalar(Value),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in order, no key twice.
    Mapping(Vec<Entry>),
    /// Something that was refused and told, so that nothing more is to be said of it.
    Refused,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is written.
    pub key_span: Range<usize>,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The value of a key, or the item with this number.
    pub fn get(&self, segment: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Scalar(_) | Kind::Refused => None,
            Kind::Sequence(items) => items.get(segment.parse::<usize>().ok()?),
            Kind::Mapping(entries) => entries.iter().find(|e| e.key == segment).map(|e| &e.value),
        }
    }

    /// Takes in the entries of another mapping that it has not itself, so that what both hold is known.
    fn add(&mut self, other: Node) {
        if let (Kind::Mapping(own), Kind::Mapping(more)) = (&mut self.kind, other.kind) {
            let keys: BTreeSet<String> = own.iter().map(|e| e.key.clone()).collect();
            own.extend(more.into_iter().filter(|e| !keys.contains(&e.key)));
        }
    }

    /// Whether a part of it was refused, so that what it lacks may have been there.
    pub fn is_refused(&self) -> bool {
        matches!(self.kind, Kind::Refused) || self.keys().any(|key| key == MERGE_KEY)
    }

    /// Keys of a mapping, in the order of the text.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let entries = if let Kind::Mapping(entries) = &self.kind { entries.as_slice() } else { &[] };
        entries.iter().map(|e| e.key.as_str())
    }

    /// Without places.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::Refused => Value::Null,
            Kind::Sequence(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Kind::Mapping(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect())
            }
        }
    }

    /// Where the value at a path is written; where it is missing, or several lines long, the key that leads to it.
    pub fn place<S: AsRef<str>>(&self, path: &[S]) -> Range<usize> {
        let mut node = self;
        let mut best = self.first();
        for segment in path {
            let Some(next) = node.get(segment.as_ref()) else { break };
            best = match (&next.kind, &node.kind) {
                (Kind::Sequence(_) | Kind::Mapping(_), Kind::Mapping(_)) => self.key_of(node, segment.as_ref()),
                _ => next.first(),
            };
            node = next;
        }
        best
    }

    /// Where the key at the end of a path is written; its value's place for items of a list.
    pub fn key_place<S: AsRef<str>>(&self, path: &[S]) -> Range<usize> {
        let Some((last, before)) = path.split_last() else { return self.first() };
        let parent = before.iter().try_fold(self, |node, segment| node.get(segment.as_ref()));
        match parent {
            Some(parent) if parent.get(last.as_ref()).is_some() => self.key_of(parent, last.as_ref()),
            _ => self.place(before),
        }
    }

    fn key_of(&self, parent: &Node, segment: &str) -> Range<usize> {
        match &parent.kind {
            Kind::Mapping(entries) => {
                entries.iter().find(|e| e.key == segment).map_or_else(|| parent.first(), |e| e.key_span.clone())
            }
            _ => parent.get(segment).map_or_else(|| parent.first(), Node::first),
        }
    }

    /// The first thing written in it that fits on a line.
    fn first(&self) -> Range<usize> {
        match &self.kind {
            Kind::Scalar(_) | Kind::Refused => self.span.clone(),
            Kind::Sequence(items) => items.first().map_or_else(|| self.span.clone(), Node::first),
            Kind::Mapping(entries) => entries.first().map_or_else(|| self.span.clone(), |e| e.key_span.clone()),
        }
    }
}

/// Reads a manifest's text, see [`read_as`].
pub fn read(text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    read_as(MANIFEST, text, problems)
}

/// Reads a text. What is wrong but does not keep the rest from being read goes to `problems`; `None` where nothing can be
/// made of it.
pub fn read_as(document: Document, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let Document { name, bytes_max, large, empty } = document;
    if text.len() > bytes_max {
        let message = format!("the {name} has more than the {bytes_max} bytes that it may have");
        problems.push(Problem::error(0..0, message).help(large));
        return None;
    }
    let offsets = offsets(text);
    let mut reader = Reader { offsets, text, name, problems, stack: Vec::new(), root: None, documents: 0 };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                if !reader.event(event, span) {
                    return None;
                }
            }
            Err(error) => {
                let at = reader.byte(error.marker().index());
                let problem = Problem::error(at..at + 1, format!("not YAML: {}", error.info()));
                let help = help(text, at, error.info());
                reader.problems.push(problem.help(help));
                return None;
            }
        }
    }
    let root = reader.root.take().filter(|root| !matches!(root.kind, Kind::Scalar(Value::Null)));
    if root.is_none() && problems.is_empty() {
        problems.push(Problem::error(0..0, format!("the {name} is empty")).help(empty));
    }
    root
}

/// What would be right, where the parser found `info` wrong at a byte.
fn help(text: &str, at: usize, info: &str) -> &'static str {
    // The line before counts as well: that is where what is missing is missing.
    let line = text[..at].trim_end().rfind('\n').map_or(0, |end| end + 1);
    let near = text[line..].lines().take(2).collect::<String>();
    let strange = |c: char| c.is_whitespace() && !c.is_ascii();
    match info {
        _ if near.contains(strange) => {
            "there is a space here that is no plain one, as word processors make them: use plain spaces"
        }
        info if info.contains("tab") => "YAML is indented by spaces, not by tabs",
        info if info.contains("anchor") => {
            "anchors (`&name`) and aliases (`*name`) cannot be used here; a text with `*` goes in quotes"
        }
        info if info.contains("quoted scalar") => "is every `\"` and `'` closed?",
        info if info.contains("flow") => "is every `{` and `[` closed, and is there a `,` between entries?",
        info if info.contains("unprintable") => "remove the character, or write it as an escape in double quotes",
        _ => "is the indentation right, and every `:` followed by a space?",
    }
}

/// Byte offset of each character, and of the end.
fn offsets(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).collect()
}

/// A mapping or sequence that is not complete.
struct Open {
    start: usize,
    container: Container,
}

enum Container {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: BTreeMap<String, Range<usize>>, key: Option<(String, Range<usize>)> },
}

struct Reader<'a> {
    text: &'a str,
    name: &'static str,
    offsets: Vec<usize>,
    problems: &'a mut Vec<Problem>,
    stack: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

impl Reader<'_> {
    fn byte(&self, character: usize) -> usize {
        self.offsets[character.min(self.offsets.len() - 1)]
    }

    fn range(&self, span: Span) -> Range<usize> {
        let (start, end) = (self.byte(span.start.index()), self.byte(span.end.index()));
        let trimmed = self.text[start..end].trim_end();
        start..start + trimmed.len()
    }

    /// Takes an event; false where reading on makes no sense.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        let place = self.range(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems.push(Problem::error(place, format!("a second document: a {} is one", self.name)));
                    return false;
                }
            }
            Event::Alias(_) => {
                self.refuse(place, "aliases (`*name`)");
                self.put(Node { span: self.range(span), kind: Kind::Refused });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.plain(&place, anchor, tag.is_some());
                let value = if style == ScalarStyle::Plain { plain(&text) } else { Value::String(text.to_string()) };
                if let Some(Open { container: Container::Mapping { key: key @ None, .. }, .. }) = self.stack.last_mut()
                {
                    if text == MERGE_KEY {
                        self.problems.push(not_here(self.name, place.clone(), "merge keys (`<<`)"));
                    }
                    *key = Some((text.into_owned(), place));
                    return true;
                }
                self.put(Node { span: place, kind: Kind::Scalar(value) });
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain(&place, anchor, tag.is_some());
                return self.open(place, Container::Sequence(Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.plain(&place, anchor, tag.is_some());
                let container = Container::Mapping { entries: Vec::new(), seen: BTreeMap::new(), key: None };
                return self.open(place, container);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(place.end),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn refuse(&mut self, place: Range<usize>, what: &str) {
        self.problems.push(not_here(self.name, place, what));
    }

    fn plain(&mut self, place: &Range<usize>, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.refuse(place.clone(), "anchors (`&name`)");
        }
        if tagged {
            self.refuse(place.clone(), "tags (`!name`)");
        }
    }

    fn open(&mut self, place: Range<usize>, container: Container) -> bool {
        if self.stack.len() == NESTING_MAX {
            let message = format!("nested more than {NESTING_MAX} levels deep");
            self.problems.push(Problem::error(place, message));
            return false;
        }
        if let Some(Open { container: Container::Mapping { key: None, .. }, .. }) = self.stack.last() {
            self.problems.push(Problem::error(place, "a key is a word, not a list or a mapping"));
            return false;
        }
        self.stack.push(Open { start: place.start, container });
        true
    }

    fn close(&mut self, end: usize) {
        let Some(Open { start, container }) = self.stack.pop() else { return };
        let kind = match container {
            Container::Sequence(items) => Kind::Sequence(items),
            Container::Mapping { entries, .. } => Kind::Mapping(entries),
        };
        self.put(Node { span: start..end.max(start), kind });
    }

    fn put(&mut self, node: Node) {
        match self.stack.last_mut().map(|open| &mut open.container) {
            None => self.root = Some(node),
            Some(Container::Sequence(items)) => items.push(node),
            Some(Container::Mapping { entries, seen, key }) => {
                // A value without a key is one whose key was refused.
                let Some((name, key_span)) = key.take() else { return };
                match seen.get(&name) {
                    Some(first) => {
                        let message = format!("`{name}` is given twice");
                        let problem = Problem::error(key_span, message).label("again here");
                        self.problems.push(problem.also(first.clone(), "first here"));
                        if let Some(entry) = entries.iter_mut().find(|e| e.key == name) {
                            entry.value.add(node);
                        }
                    }
                    None => {
                        seen.insert(name.clone(), key_span.clone());
                        entries.push(Entry { key: name, key_span, value: node });
                    }
                }
            }
        }
    }
}

fn not_here(name: &str, place: Range<usize>, what: &str) -> Problem {
    let message = format!("{what} are not part of a {name}");
    Problem::error(place, message).help("write the value out where it is used")
}

/// A plain scalar by the rules of YAML 1.2's core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || digits.ends_with('.') {
        return Value::String(text.to_string());
    }
    let number = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = number.parse::<i64>() {
        return Value::from(whole);
    }
    match number.parse::<f64>() {
        Ok(real) if real.is_finite() => Value::from(real),
        _ => Value::String(text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        read(text, &mut problems);
        problems.into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn scalars_are_those_of_yaml_1_2() {
        let text = "[a, 1, -2, +3, 1.5, 1e3, true, False, null, ~, '', \"1\", yes, 1.2.3, 0x10, .inf, 10s, 99999999999999999999]";
        let tree = read(&format!("k: {text}"), &mut Vec::new()).unwrap();
        let expected = serde_json::json!([
            "a", 1, -2, 3, 1.5, 1000.0, true, false, null, null, "", "1", "yes", "1.2.3", "0x10", ".inf", "10s", 1e20
        ]);
        assert_eq!(tree.get("k").unwrap().to_json(), expected);
    }

    #[test]
    fn places_are_bytes_of_the_text() {
        let text = "ä: [ö,\n  'ü x']\nblock:\n  key: >\n    folded\n    text\n";
        let tree = read(text, &mut Vec::new()).unwrap();
        assert_eq!(&text[tree.place(&["ä", "0"])], "ö");
        assert_eq!(&text[tree.place(&["ä", "1"])], "'ü x'");
        assert_eq!(&text[tree.key_place(&["block", "key"])], "key");
        assert_eq!(&text[tree.place(&["block"])], "block", "a value of several lines is shown by its key");
        assert_eq!(&text[tree.place(&["block", "missing"])], "block");
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["ä", "block"]);
    }

    #[test]
    fn a_manifest_has_a_largest_size() {
        let fits = format!("#{}\na: 1", " ".repeat(MANIFEST_BYTES_MAX - 6));
        assert_eq!(fits.len(), MANIFEST_BYTES_MAX);
        assert_eq!(told(&fits), [""; 0]);
        assert!(told(&format!("{fits} "))[0].contains("more than the 262144 bytes"));
    }

    #[test]
    fn nesting_has_an_end() {
        let flow = |levels: usize| format!("a: {}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert_eq!(told(&flow(NESTING_MAX)), [""; 0]);
        assert!(told(&flow(NESTING_MAX + 1))[0].contains("more than 32 levels"));
        // Deep in few bytes, in every style: told, not a stack that overflows.
        for deep in ["- ".repeat(100_000), "[".repeat(100_000), "{a: ".repeat(50_000), "? ".repeat(100_000)] {
            assert_eq!(told(&deep).len(), 1, "{}", &deep[..8]);
        }
    }

    #[test]
    fn anchors_do_not_multiply() {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_string();
        for (name, before) in ('b'..='z').zip('a'..) {
            text += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(", "));
        }
        let mut problems = Vec::new();
        let tree = read(&text, &mut problems).unwrap();
        assert_eq!(problems.len(), 26 + 25 * 9);
        assert!(tree.to_json().to_string().len() < 3 * text.len(), "a reference of two bytes is `null` at most");
    }
}
