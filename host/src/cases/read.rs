//! YAML text → cases, every error at once, each with its place.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream_core::function::Interface;
use serde_json::Value;

use super::datum::from_hex;
use super::{
    Ask, CASES_BYTES_MAX, Case, Cases, Datum, End, Expect, Fold, Group, Item, Made, Merge, Migrate, Process, Record,
};
use crate::alone::{OUTPUTS_MAX, Store};
use crate::config::problem::{Problem, listed};
use crate::config::text::{Document, Entry, Kind, Node, read_as};

const DOCUMENT: Document = Document {
    name: "file of cases",
    bytes_max: CASES_BYTES_MAX,
    large: "several files of cases can be given",
    empty: "it needs at least `cases: [{ name: …, filter: [{ value: …, keep: true }] }]`",
};

const TOP: [&str; 3] = ["function", "settings", "cases"];
const KINDS: [&str; 10] =
    ["filter", "map", "route", "join", "aggregate", "merge", "scan", "process", "migrate", "start"];
const CASE: [&str; 3] = ["name", "function", "settings"];
const RECORD: [&str; 4] = ["key", "value", "timestamp", "headers"];
const MADE: [&str; 5] = ["key", "value", "timestamp", "headers", "output"];
const END: [&str; 3] = ["state", "result", "fails"];

/// Reads a file of cases; `None` where `problems` says why not.
pub fn read(text: &str, problems: &mut Vec<Problem>) -> Option<Cases> {
    let tree = read_as(DOCUMENT, text, problems)?;
    let mut reader = Reader { problems };
    let cases = reader.cases(&tree);
    cases.filter(|_| reader.problems.is_empty())
}

struct Reader<'a> {
    problems: &'a mut Vec<Problem>,
}

/// What a record is expected to become, by the case's kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Filter,
    Map,
    Route,
    Join,
    Scan,
    Fold,
}

impl Of {
    /// The fields by which a record says what must become of it.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Of::Filter => &["keep", "rejected", "fails"],
            Of::Map => &["into", "rejected", "fails"],
            Of::Route => &["topic", "partition", "rejected", "fails"],
            Of::Join => &["value", "rejected", "fails"],
            Of::Scan => &["gives", "rejected"],
            Of::Fold => &["rejected"],
        }
    }
}

impl Reader<'_> {
    fn error(&mut self, place: Range<usize>, message: impl Into<String>, help: &str) {
        self.problems.push(Problem::error(place, message).help(help));
    }

    fn cases(&mut self, tree: &Node) -> Option<Cases> {
        let top = self.mapping(tree, "a file of cases", &TOP)?;
        let mut out = Cases { function: self.text_of(top, "function"), ..Cases::default() };
        out.settings = self.settings(top).unwrap_or_default();
        let Some(cases) = field(top, "cases") else {
            self.error(tree.span.clone(), "there is no `cases`", DOCUMENT.empty);
            return None;
        };
        let Kind::Sequence(items) = &cases.value.kind else {
            self.error(cases.key_span.clone(), "`cases` is not a list", DOCUMENT.empty);
            return None;
        };
        if items.is_empty() {
            self.error(cases.key_span.clone(), "there is no case", DOCUMENT.empty);
        }
        out.cases = items.iter().filter_map(|item| self.case(item)).collect();
        Some(out)
    }

    fn case(&mut self, node: &Node) -> Option<Case> {
        let entries = self.mapping(node, "a case", &[&CASE[..], &KINDS].concat())?;
        let place = node.place::<&str>(&[]);
        let kinds: Vec<&Entry> = entries.iter().filter(|e| KINDS.contains(&e.key.as_str())).collect();
        let [kind] = kinds[..] else {
            let message = if kinds.is_empty() { "the case asks nothing" } else { "the case asks several things" };
            self.error(place, message, &format!("it has one of {}", listed(&KINDS)));
            return None;
        };
        let name = self.text_of(entries, "name").filter(|name| !name.trim().is_empty());
        if name.is_none() {
            self.error(place.clone(), "the case has no name", "`name:` says what is true of the function");
        }
        let ask = self.ask(kind)?;
        let (function, settings) = (self.text_of(entries, "function"), self.settings(entries));
        Some(Case { name: name?, place, kind_place: kind.key_span.clone(), function, settings, ask })
    }

    fn ask(&mut self, kind: &Entry) -> Option<Ask> {
        let each = |interface, items| Some(Ask::Each(interface, items));
        match kind.key.as_str() {
            "filter" => each(Interface::Filter, self.items(kind, Of::Filter)),
            "map" => each(Interface::Mapper, self.items(kind, Of::Map)),
            "route" => each(Interface::Router, self.items(kind, Of::Route)),
            "join" => each(Interface::Joiner, self.items(kind, Of::Join)),
            "aggregate" => Some(Ask::Aggregate(self.several(kind, |reader, node| reader.fold(node, Of::Fold)))),
            "scan" => Some(Ask::Scan(self.several(kind, |reader, node| reader.fold(node, Of::Scan)))),
            "merge" => Some(Ask::Merge(self.several(kind, Self::merge))),
            "process" => Some(Ask::Process(self.several(kind, Self::process))),
            "migrate" => Some(Ask::Migrate(self.several(kind, Self::migrate))),
            _ => {
                let entries = self.mapping(&kind.value, "`start`", &["refused"])?;
                Some(Ask::Start(self.text_of(entries, "refused")))
            }
        }
    }

    /// One, or a list of them.
    fn several<T>(&mut self, kind: &Entry, mut one: impl FnMut(&mut Self, &Node) -> Option<T>) -> Vec<T> {
        match &kind.value.kind {
            Kind::Sequence(items) if items.is_empty() => {
                self.error(kind.key_span.clone(), format!("`{}` is empty", kind.key), "a case asks something");
                Vec::new()
            }
            Kind::Sequence(items) => items.iter().filter_map(|item| one(self, item)).collect(),
            _ => one(self, &kind.value).into_iter().collect(),
        }
    }

    /// Records, which may be one alone, with their stream times.
    fn items(&mut self, kind: &Entry, of: Of) -> Vec<Item> {
        let mut items = self.several(kind, |reader, node| reader.item(node, of));
        in_time(&mut items);
        items
    }

    fn item(&mut self, node: &Node, of: Of) -> Option<Item> {
        let record: &[&str] = if of == Of::Join { &["key", "left", "right"] } else { &RECORD };
        let entries = self.mapping(node, "a record", &[record, of.fields()].concat())?;
        let value = if of == Of::Join { "left" } else { "value" };
        let record = Record {
            key: self.datum_of(entries, "key").unwrap_or_default(),
            value: self.datum_of(entries, value).unwrap_or_default(),
            timestamp: self.number(entries, "timestamp").unwrap_or(0),
            headers: self.headers(entries).unwrap_or_default(),
        };
        if record.timestamp < 0 {
            let place = field(entries, "timestamp").map_or(node.span.clone(), |e| e.value.span.clone());
            self.error(place, "a record's time is before 1970", "milliseconds since 1970-01-01T00:00:00Z, from 0");
        }
        let right = if of == Of::Join { self.datum_of(entries, "right").unwrap_or_default() } else { Datum::Null };
        let expect = self.expect(node, entries, of)?;
        Some(Item { place: node.place::<&str>(&[]), stream_time: record.timestamp, record, right, expect })
    }

    fn expect(&mut self, node: &Node, entries: &[Entry], of: Of) -> Option<Expect> {
        let said: Vec<&str> = of.fields().iter().copied().filter(|name| field(entries, name).is_some()).collect();
        let help = || format!("it has one of {}", listed(of.fields()));
        match said[..] {
            [] if of == Of::Fold => Some(Expect::Taken),
            [] => {
                self.error(node.place::<&str>(&[]), "the record does not say what must become of it", &help());
                None
            }
            ["rejected"] => Some(Expect::Rejected(self.text_of(entries, "rejected")?)),
            ["fails"] => Some(Expect::Fails(self.text_of(entries, "fails")?)),
            ["keep"] => Some(Expect::Keep(self.boolean(entries, "keep")?)),
            ["into"] => Some(Expect::Into(self.made(entries)?)),
            ["value"] => Some(Expect::Value(self.datum_of(entries, "value")?)),
            ["gives"] => Some(Expect::Value(self.datum_of(entries, "gives")?)),
            ["topic"] | ["partition"] | ["topic", "partition"] => {
                let topic = self.datum_of(entries, "topic").unwrap_or_default();
                let partition = self.small(entries, "partition");
                Some(Expect::Route(topic, partition))
            }
            _ => {
                let message = format!("the record says {} at once", listed(&said));
                self.error(node.place::<&str>(&[]), message, &help());
                None
            }
        }
    }

    fn made(&mut self, entries: &[Entry]) -> Option<Vec<Made>> {
        let entry = field(entries, "into")?;
        let Kind::Sequence(items) = &entry.value.kind else {
            let help = "`into: []` for none, `into: [{ value: … }]` for one";
            self.error(entry.key_span.clone(), "`into` is not a list of records", help);
            return None;
        };
        items.iter().map(|item| self.one_made(item)).collect()
    }

    fn one_made(&mut self, node: &Node) -> Option<Made> {
        let entries = self.mapping(node, "a record of `into`", &MADE)?;
        Some(Made {
            key: self.datum_of(entries, "key"),
            value: self.datum_of(entries, "value"),
            timestamp: self.number(entries, "timestamp"),
            headers: self.headers(entries),
            output: self.small(entries, "output").unwrap_or(0),
        })
    }

    fn fold(&mut self, node: &Node, of: Of) -> Option<Fold> {
        let records: &[&str] = if of == Of::Scan { &["records"] } else { &["add", "remove"] };
        let known = [&["key", "window", "from-state"][..], records, &END].concat();
        let known: Vec<&str> = known.into_iter().filter(|name| of != Of::Scan || *name != "result").collect();
        let entries = self.mapping(node, "a group", &known)?;
        let group = self.group(entries);
        let records = |reader: &mut Self, name: &str| {
            let items = field(entries, name).map_or_else(Vec::new, |entry| reader.items(entry, of));
            keyed(items, &group)
        };
        let mut add = records(self, if of == Of::Scan { "records" } else { "add" });
        let remove = records(self, "remove");
        in_time(&mut add);
        let end = self.end(entries);
        let says = |items: &[Item]| items.iter().any(|item| item.expect != Expect::Taken);
        if end == End::default() && !says(&add) && !says(&remove) {
            let message = "the group does not say what it must come to";
            self.error(node.place::<&str>(&[]), message, &format!("it has {}", listed(&END)));
        }
        let from_state = self.datum_of(entries, "from-state").unwrap_or_default();
        Some(Fold { place: node.place::<&str>(&[]), group, from_state, add, remove, end })
    }

    fn process(&mut self, node: &Node) -> Option<Process> {
        let entries = self.mapping(node, "a processor's case", &["stores", "outputs", "records"])?;
        let place = node.place::<&str>(&[]);
        let outputs = field(entries, "outputs").and_then(|entry| Some((self.small(entries, "outputs")?, entry)));
        if let Some((count, entry)) = outputs.filter(|(count, _)| !(1..=OUTPUTS_MAX).contains(count)) {
            self.error(entry.value.span.clone(), format!("`outputs` is {count}"), &format!("from 1 to {OUTPUTS_MAX}"));
        }
        let stores = self.stores(entries);
        let Some(records) = field(entries, "records") else {
            self.error(place, "the case has no `records`", "`records: [{ key: a, value: b, timestamp: 1, into: [] }]`");
            return None;
        };
        let records = self.items(records, Of::Map);
        Some(Process { place, stores, outputs: outputs.map_or(1, |(count, _)| count), records })
    }

    /// Stores: a list of names, or what a manifest has.
    fn stores(&mut self, entries: &[Entry]) -> Vec<Store> {
        let Some(entry) = field(entries, "stores") else { return Vec::new() };
        let name = |node: &Node| match &node.kind {
            Kind::Scalar(Value::String(name)) => Some((name.clone(), serde_json::json!({}))),
            _ => None,
        };
        let stores: Option<Vec<Store>> = match &entry.value.kind {
            Kind::Sequence(items) => items.iter().map(name).collect(),
            Kind::Mapping(all) => Some(all.iter().map(|one| (one.key.clone(), one.value.to_json())).collect()),
            _ => None,
        };
        stores.unwrap_or_else(|| {
            let help = "`stores: [last]`, or as in a manifest: `stores: { last: { ttl: 1h } }`";
            self.error(entry.key_span.clone(), "`stores` are not names", help);
            Vec::new()
        })
    }

    fn merge(&mut self, node: &Node) -> Option<Merge> {
        let known = ["key", "window", "left", "right", "left-state", "right-state"];
        let entries = self.mapping(node, "a merge", &[&known[..], &END].concat())?;
        let (group, place, end) = (self.group(entries), node.place::<&str>(&[]), self.end(entries));
        if end == End::default() {
            let message = "the merge does not say what it must come to";
            self.error(place.clone(), message, &format!("it has {}", listed(&END)));
        }
        let mut side = |name: &str, end: End| {
            let add = field(entries, name).map_or_else(Vec::new, |entry| self.items(entry, Of::Fold));
            let from_state = self.datum_of(entries, &format!("{name}-state")).unwrap_or_default();
            let add = keyed(add, &group);
            Fold { place: place.clone(), group: group.clone(), from_state, add, remove: Vec::new(), end }
        };
        Some(Merge { left: side("left", end), right: side("right", End::default()) })
    }

    fn migrate(&mut self, node: &Node) -> Option<Migrate> {
        let known = ["key", "window", "from", "to", "store", "state", "to-state", "result", "fails"];
        let entries = self.mapping(node, "a migration", &known)?;
        let place = node.place::<&str>(&[]);
        let (from, to) = (self.small(entries, "from"), self.small(entries, "to"));
        let (layout, back) = match (from, to) {
            (Some(layout), None) => (layout, false),
            (None, Some(layout)) => (layout, true),
            _ => {
                let help = "`from: 0` takes over a state of layout 0; `to: 0` gives one back";
                self.error(place, "a migration has either `from` or `to`", help);
                return None;
            }
        };
        let end = End {
            state: self.datum_of(entries, "to-state"),
            result: self.datum_of(entries, "result"),
            fails: self.text_of(entries, "fails"),
        };
        if end == End::default() {
            self.error(place.clone(), "the migration does not say what must come", "`to-state`, `result` or `fails`");
        }
        if let Some(result) = field(entries, "result").filter(|_| back) {
            let help = "only a state of the function's own layout has a result";
            self.error(result.key_span.clone(), "a state that goes to another layout has no `result`", help);
        }
        let state = match self.datum_of(entries, "state") {
            Some(state) => state,
            None => {
                self.error(place.clone(), "the migration has no `state`", "the state that is to be turned");
                return None;
            }
        };
        let (group, store) = (self.group(entries), self.text_of(entries, "store").unwrap_or_default());
        Some(Migrate { place, layout, back, store, group, state, end })
    }

    fn end(&mut self, entries: &[Entry]) -> End {
        End {
            state: self.datum_of(entries, "state"),
            result: self.datum_of(entries, "result"),
            fails: self.text_of(entries, "fails"),
        }
    }

    fn group(&mut self, entries: &[Entry]) -> Group {
        let key = self.datum_of(entries, "key").unwrap_or_else(|| Datum::text(""));
        let window = field(entries, "window").and_then(|entry| {
            let ends = self.mapping(&entry.value, "a window", &["start", "end"])?;
            let (start, end) = (self.number(ends, "start"), self.number(ends, "end"));
            let both = start.zip(end).filter(|(start, end)| start <= end);
            if both.is_none() {
                self.error(entry.key_span.clone(), "a window has a `start` and a later `end`", "in milliseconds");
            }
            both
        });
        Group { key, window }
    }

    fn settings(&mut self, entries: &[Entry]) -> Option<String> {
        let entry = field(entries, "settings")?;
        match &entry.value.kind {
            Kind::Mapping(_) => Some(entry.value.to_json().to_string()),
            _ => {
                self.error(
                    entry.key_span.clone(),
                    "`settings` are not names with values",
                    "`settings: { field: bytes }`",
                );
                None
            }
        }
    }

    fn headers(&mut self, entries: &[Entry]) -> Option<Vec<(String, Datum)>> {
        let entry = field(entries, "headers")?;
        // One name twice is possible in a list of mappings with one name each.
        let maps: Vec<&Node> = match &entry.value.kind {
            Kind::Mapping(_) => vec![&entry.value],
            Kind::Sequence(items) => items.iter().collect(),
            _ => Vec::new(),
        };
        let mut out = Vec::new();
        for map in &maps {
            let Kind::Mapping(all) = &map.kind else { continue };
            out.extend(all.iter().filter_map(|header| Some((header.key.clone(), self.datum(&header.value)?))));
        }
        if maps.iter().any(|map| !matches!(map.kind, Kind::Mapping(_))) || maps.is_empty() && !is_list(&entry.value) {
            let help = "`headers: { name: value }`, or `headers: [{ name: one }, { name: two }]`";
            self.error(entry.key_span.clone(), "`headers` are not names with values", help);
        }
        Some(out)
    }

    /// The entries of a mapping whose fields are all known.
    fn mapping<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<&'n [Entry]> {
        let Kind::Mapping(entries) = &node.kind else {
            if !node.is_refused() {
                let help = format!("its fields: {}", listed(known));
                self.error(node.place::<&str>(&[]), format!("{what} is not written as `field: value`"), &help);
            }
            return None;
        };
        let names: Vec<String> = known.iter().map(|name| (*name).to_string()).collect();
        for entry in entries.iter().filter(|e| !known.contains(&e.key.as_str())) {
            let message = format!("{what} has no field `{}`", entry.key);
            self.problems.push(Problem::error(entry.key_span.clone(), message).nearest(
                &entry.key,
                &names,
                "its fields",
            ));
        }
        Some(entries)
    }

    fn text_of(&mut self, entries: &[Entry], name: &str) -> Option<String> {
        let entry = field(entries, name)?;
        match &entry.value.kind {
            Kind::Scalar(Value::String(text)) => Some(text.clone()),
            _ => {
                self.error(entry.value.place::<&str>(&[]), format!("`{name}` is not a text"), "write it in quotes");
                None
            }
        }
    }

    fn boolean(&mut self, entries: &[Entry], name: &str) -> Option<bool> {
        let entry = field(entries, name)?;
        match &entry.value.kind {
            Kind::Scalar(Value::Bool(value)) => Some(*value),
            _ => {
                self.error(
                    entry.value.place::<&str>(&[]),
                    format!("`{name}` is neither true nor false"),
                    "`true` or `false`",
                );
                None
            }
        }
    }

    fn number(&mut self, entries: &[Entry], name: &str) -> Option<i64> {
        let entry = field(entries, name)?;
        let number = if let Kind::Scalar(value) = &entry.value.kind { value.as_i64() } else { None };
        if number.is_none() {
            self.error(entry.value.place::<&str>(&[]), format!("`{name}` is not a whole number"), "as in `5`");
        }
        number
    }

    fn small(&mut self, entries: &[Entry], name: &str) -> Option<u32> {
        let number = self.number(entries, name)?;
        let small = u32::try_from(number).ok();
        if small.is_none() {
            let place = field(entries, name).map_or(0..0, |entry| entry.value.span.clone());
            self.error(place, format!("`{name}` is {number}"), &format!("from 0 to {}", u32::MAX));
        }
        small
    }

    fn datum_of(&mut self, entries: &[Entry], name: &str) -> Option<Datum> {
        let entry = field(entries, name)?;
        self.datum(&entry.value)
    }

    fn datum(&mut self, node: &Node) -> Option<Datum> {
        const HELP: &str = "bytes are \"a text\", null, { hex: \"00ff\" }, { base64: \"AP8=\" } or { json: { a: 1 } }";
        let place = node.place::<&str>(&[]);
        match &node.kind {
            Kind::Scalar(Value::Null) => Some(Datum::Null),
            Kind::Scalar(Value::String(text)) => Some(Datum::text(text)),
            Kind::Scalar(other) => {
                let help = format!("a text goes in quotes: \"{other}\"; JSON as {{ json: {other} }}");
                self.error(place, format!("`{other}` is not bytes"), &help);
                None
            }
            Kind::Mapping(entries) if entries.len() == 1 => {
                let value = &entries[0].value;
                let text = if let Kind::Scalar(Value::String(text)) = &value.kind { Some(text) } else { None };
                let decoded = match (entries[0].key.as_str(), text) {
                    ("json", _) => return Some(Datum::json(value.to_json())),
                    ("hex", Some(text)) => from_hex(text),
                    ("base64", Some(text)) => STANDARD.decode(text).map_err(|why| format!("not base64: {why}")),
                    ("hex" | "base64", None) => Err("it is not a text: write it in quotes".to_string()),
                    (other, _) => Err(format!("there is no form `{other}`")),
                };
                decoded.map(Datum::Bytes).map_err(|why| self.error(place, why, HELP)).ok()
            }
            Kind::Refused => None,
            Kind::Mapping(_) | Kind::Sequence(_) => {
                self.error(place, "this is not bytes", HELP);
                None
            }
        }
    }
}

fn field<'n>(entries: &'n [Entry], name: &str) -> Option<&'n Entry> {
    entries.iter().find(|entry| entry.key == name)
}

fn is_list(node: &Node) -> bool {
    matches!(node.kind, Kind::Sequence(_))
}

/// Stream time runs on with the largest time seen.
fn in_time(items: &mut [Item]) {
    let mut time = i64::MIN;
    for item in items {
        time = time.max(item.record.timestamp);
        item.stream_time = time;
    }
}

/// Records without a key have their group's.
fn keyed(mut items: Vec<Item>, group: &Group) -> Vec<Item> {
    for item in items.iter_mut().filter(|item| item.record.key == Datum::Null) {
        item.record.key = group.key.clone();
    }
    items
}
