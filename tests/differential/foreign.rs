//! Joins by foreign key by both sides, and by a naive fold: maps of rows, and the rules of one side. Of Kafka Streams it is known what its
//! left side asks, what it is answered, and when it says nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::case::{Outcome, Record, Rng, Side};
use crate::fold::{Folded, Rules};
use crate::ours::function;

/// A rule that differs, touched by a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// What removes no row of the result comes out as a tombstone all the same.
    TombstoneWithoutRow,
    /// A result has the time of the change on the right, also where the left row is younger; a removal that of the right row, where that
    /// is younger.
    TimeOfTheRight,
    /// A right row with an empty value is joined as if there were none.
    EmptyIsNone,
}

impl Difference {
    pub const ALL: [Difference; 3] =
        [Difference::TombstoneWithoutRow, Difference::TimeOfTheRight, Difference::EmptyIsNone];
}

#[derive(Clone, Debug)]
pub struct Case {
    pub left_join: bool,
    /// Values of the left side are made by `row`.
    pub records: Vec<Record>,
}

/// A value of the left side. The joiner takes no commas, so blanks tell one value from another.
pub fn row(foreign: Option<&str>, blanks: usize) -> String {
    let blanks = " ".repeat(blanks);
    match foreign {
        Some(key) => format!("{{\"g\": \"{key}\"{blanks}}}"),
        None => format!("{{\"g\": null{blanks}}}"),
    }
}

pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let left_join = rng.one_in(2);
    let (keys, foreign, nulls) = (1 + rng.below(4), 1 + rng.below(3), [2, 4, 9][rng.below(3) as usize]);
    let base = if rng.one_in(4) { i64::MAX / 2 } else { 0 };
    let (spread, blanks, count) = (1 + rng.below(40), 1 + rng.below(3), 1 + rng.below(30));
    let empty = if rng.one_in(3) { 4 } else { u64::MAX };
    let records = (0..count).map(|i| {
        let side = Side::of(&mut rng);
        // One that is the beginning of another, and one that is a left key, too.
        let of_right = |rng: &mut Rng| ["f", "ff", "k0"][rng.below(foreign) as usize].to_string();
        let key = if side == Side::Left { format!("k{}", rng.below(keys)) } else { of_right(&mut rng) };
        let value = match side {
            Side::Left => {
                let of = (!rng.one_in(6)).then(|| of_right(&mut rng));
                row(of.as_deref(), rng.below(blanks) as usize)
            }
            Side::Right if rng.one_in(empty) => String::new(),
            Side::Right => format!("o{i}"),
        };
        let (key, value) = ((!rng.one_in(15)).then_some(key), (!rng.one_in(nulls)).then_some(value));
        Record { side, key, value, time: base + rng.below(spread) as i64 }
    });
    Case { left_join, records: records.collect() }
}

impl crate::Case for Case {
    type Difference = Difference;
    const TOPICS: [&'static str; 2] = ["left", "right"];

    fn records(&self) -> &[Record] {
        &self.records
    }

    fn with(&self, records: Vec<Record>) -> Self {
        Self { records, ..*self }
    }

    fn json(&self) -> Value {
        json!({ "join": if self.left_join { "foreign-left" } else { "foreign-inner" } })
    }

    fn manifest(&self) -> String {
        let (pair, fields) = (function("pair"), function("json-fields"));
        let kind = if self.left_join { "left" } else { "inner" };
        format!(
            "pipeline: case\nfunctions:\n  pair: {{ component: {pair} }}\n  \
             by: {{ component: {fields}, function: by-field, config: {{ field: g }} }}\n\
             sources: {{ left: {{ topic: left }}, right: {{ topic: right }} }}\nsteps:\n  \
             rows: {{ from: left, table: {{}} }}\n  others: {{ from: right, table: {{}} }}\n  \
             joined: {{ from: rows, join: others, key: by, type: {kind}, with: pair }}\n\
             sinks: {{ out: {{ from: joined, topic: out }} }}\n"
        )
    }

    fn fold(&self, rules: Rules) -> Option<Folded<Difference>> {
        Some(run(self, rules))
    }

    /// Whether an empty right row is one decides what is in the table.
    fn is_table(&self) -> bool {
        let is_empty = |r: &Record| r.side == Side::Right && r.value.as_deref() == Some("");
        !self.records.iter().any(is_empty)
    }
}

/// The right row that a left value names.
fn foreign_of(value: &str) -> Option<String> {
    let json: Value = serde_json::from_str(value).expect("a row is JSON");
    json["g"].as_str().map(str::to_string)
}

type Rows = BTreeMap<String, (String, i64)>;

struct World<'c> {
    case: &'c Case,
    rules: Rules,
    left: Rows,
    right: Rows,
    /// Keys of the rows that the result has.
    result: BTreeSet<String>,
    out: Vec<Outcome>,
    touched: BTreeSet<Difference>,
}

/// What comes out, in order, and which rules that differ were touched.
pub fn run(case: &Case, rules: Rules) -> Folded<Difference> {
    let (left, right, result, out, touched) = Default::default();
    let mut world = World { case, rules, left, right, result, out, touched };
    for (by, record) in case.records.iter().enumerate() {
        let Some(key) = &record.key else { continue };
        match (record.side, rules) {
            (Side::Right, _) => world.right(by, key, record),
            (Side::Left, Rules::Ours) => world.left_here(by, key, record),
            (Side::Left, Rules::Kafka) => world.left_there(by, key, record),
        }
    }
    (world.out, world.touched)
}

fn put(rows: &mut Rows, key: &str, record: &Record) -> Option<(String, i64)> {
    match &record.value {
        Some(value) => rows.insert(key.to_string(), (value.clone(), record.time)),
        None => rows.remove(key),
    }
}

impl World<'_> {
    /// What a left row and the right one that it belongs to come to.
    fn pair(&mut self, left: Option<&str>, right: Option<&str>) -> Option<String> {
        let mut right = right;
        if self.rules == Rules::Kafka && right == Some("") {
            self.touched.insert(Difference::EmptyIsNone);
            right = None;
        }
        let left = left.filter(|_| self.case.left_join || right.is_some())?;
        Some(format!("{left},{}", right.unwrap_or("-")))
    }

    /// A row of the result is this, or is gone; `time_here`: its time by our rules.
    fn tell(&mut self, by: usize, key: &str, value: Option<String>, time: i64, time_here: i64) {
        let was = if value.is_some() { !self.result.insert(key.to_string()) } else { self.result.remove(key) };
        let is_told = was || value.is_some();
        if !is_told {
            self.touched.insert(Difference::TombstoneWithoutRow);
        }
        if time != time_here {
            self.touched.insert(Difference::TimeOfTheRight);
        }
        if is_told || self.rules == Rules::Kafka {
            let time = if self.rules == Rules::Kafka { time } else { time_here };
            self.out.push(Outcome { by, window: None, key: key.to_string(), value, time });
        }
    }

    fn right(&mut self, by: usize, foreign: &str, record: &Record) {
        put(&mut self.right, foreign, record);
        let belongs = |row: &(String, i64)| foreign_of(&row.0).as_deref() == Some(foreign);
        let rows: Vec<_> =
            self.left.iter().filter(|(_, row)| belongs(row)).map(|(k, r)| (k.clone(), r.clone())).collect();
        for (key, (left, time)) in rows {
            let value = self.pair(Some(&left), record.value.as_deref());
            self.tell(by, &key, value, record.time, record.time.max(time));
        }
    }

    fn left_here(&mut self, by: usize, key: &str, record: &Record) {
        put(&mut self.left, key, record);
        let right = record.value.as_deref().and_then(foreign_of).and_then(|foreign| self.right.get(&foreign).cloned());
        let value = self.pair(record.value.as_deref(), right.as_ref().map(|row| row.0.as_str()));
        let time = right.map_or(record.time, |row| row.1.max(record.time));
        self.tell(by, key, value, time, time);
    }

    fn left_there(&mut self, by: usize, key: &str, record: &Record) {
        let was = put(&mut self.left, key, record);
        let old = was.as_ref().and_then(|(value, _)| foreign_of(value));
        let new = record.value.as_deref().and_then(foreign_of);
        let row = |world: &Self, foreign: &Option<String>| foreign.as_ref().and_then(|f| world.right.get(f).cloned());
        let right = row(self, &new);
        let after = |right: &Option<(String, i64)>| right.as_ref().map_or(record.time, |row| row.1.max(record.time));
        if self.case.left_join {
            if was.is_some() || record.value.is_some() {
                let value = self.pair(record.value.as_deref(), right.as_ref().map(|row| row.0.as_str()));
                self.tell(by, key, value, after(&right), after(&right));
            }
            return;
        }
        match (&old, &new) {
            // It belongs to none any more: the old right row says so, in a time that is its own where that is later.
            (Some(_), None) => self.tell(by, key, None, after(&row(self, &old)), record.time),
            (None, None) => {}
            // Nobody answers where there was no row and is none.
            (None, Some(_)) if right.is_none() => {}
            (Some(old), Some(new)) if old == new && right.is_none() => {}
            _ => {
                let value = self.pair(record.value.as_deref(), right.as_ref().map(|row| row.0.as_str()));
                self.tell(by, key, value, after(&right), after(&right));
            }
        }
    }
}
