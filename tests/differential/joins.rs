//! Joins with tables by both sides, and by a naive fold: maps of rows, and the rules of one side.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::case::{Outcome, Record, Rng, Side};
use crate::fold::{Folded, Rules};
use crate::ours::function;

/// What is joined, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// A stream with a table: inner, or left.
    Stream { left: bool },
    /// Two tables.
    Tables(Kind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Inner,
    Left,
    Outer,
}

impl Kind {
    /// As manifests and the Java side have it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Inner => "inner",
            Kind::Left => "left",
            Kind::Outer => "outer",
        }
    }
}

/// A rule that differs, touched by a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// A removal that removes no row of the result comes out as a tombstone all the same.
    TombstoneWithoutRow,
}

impl Difference {
    pub const ALL: [Difference; 1] = [Difference::TombstoneWithoutRow];
}

#[derive(Clone, Debug)]
pub struct Case {
    pub join: Join,
    pub records: Vec<Record>,
}

pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let kinds = [Kind::Inner, Kind::Left, Kind::Outer];
    let join = match rng.below(5) {
        0 | 1 => Join::Stream { left: rng.one_in(2) },
        n => Join::Tables(kinds[n as usize - 2]),
    };
    let (keys, nulls, spread) = (1 + rng.below(3), [2, 4, 9][rng.below(3) as usize], 1 + rng.below(40));
    let count = 1 + rng.below(30);
    // Near the beginning of time, and near where a distance of two times does not fit any more.
    let base = if rng.one_in(4) { i64::MAX / 2 } else { 0 };
    let records = (0..count).map(|i| {
        let side = Side::of(&mut rng);
        let key = (!rng.one_in(15)).then(|| format!("k{}", rng.below(keys)));
        let value = (!rng.one_in(nulls)).then(|| format!("v{i}"));
        Record { side, key, value, time: base + rng.below(spread) as i64 }
    });
    Case { join, records: records.collect() }
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
        let join = match self.join {
            Join::Stream { left: false } => "stream-inner".to_string(),
            Join::Stream { left: true } => "stream-left".to_string(),
            Join::Tables(kind) => format!("tables-{}", kind.name()),
        };
        json!({ "join": join })
    }

    fn manifest(&self) -> String {
        let pair = function("pair");
        let (left, kind) = match self.join {
            Join::Stream { left } => ("left", if left { "left" } else { "inner" }),
            Join::Tables(kind) => ("rows", kind.name()),
        };
        let rows = if left == "rows" { "  rows: { from: left, table: {} }\n" } else { "" };
        format!(
            "pipeline: case\nfunctions: {{ pair: {{ component: {pair} }} }}\n\
             sources: {{ left: {{ topic: left }}, right: {{ topic: right }} }}\nsteps:\n{rows}  \
             others: {{ from: right, table: {{}} }}\n  \
             joined: {{ from: {left}, join: others, type: {kind}, with: pair }}\n\
             sinks: {{ out: {{ from: joined, topic: out }} }}\n"
        )
    }

    fn fold(&self, rules: Rules) -> Option<Folded<Difference>> {
        Some(run(self, rules))
    }
}

/// A row: value and time.
type Row = Option<(String, i64)>;

fn pair(left: Option<&str>, right: Option<&str>) -> String {
    format!("{},{}", left.unwrap_or("-"), right.unwrap_or("-"))
}

/// What comes out, in order, and which rules that differ were touched.
pub fn run(case: &Case, rules: Rules) -> Folded<Difference> {
    let mut sides: [BTreeMap<String, (String, i64)>; 2] = Default::default();
    let (mut out, mut touched) = (Vec::new(), BTreeSet::new());
    for (by, record) in case.records.iter().enumerate() {
        let side = record.side;
        let mut tell = |key: &str, value: Option<String>, time: i64| {
            out.push(Outcome { by, window: None, key: key.to_string(), value, time });
        };
        let (own, other) = if side == Side::Left { (0, 1) } else { (1, 0) };
        if let (Join::Stream { left }, Side::Left) = (case.join, side) {
            let found = record.key.as_ref().and_then(|key| sides[1].get(key)).map(|row| row.0.as_str());
            let is_there = record.value.is_some() && (record.key.is_some() || left) && (found.is_some() || left);
            if is_there {
                let key = record.key.as_deref().unwrap_or_default();
                tell(key, Some(pair(record.value.as_deref(), found)), record.time);
            }
            continue;
        }
        let Some(key) = &record.key else { continue };
        let met: Row = sides[other].get(key).cloned();
        let was: Row = sides[own].get(key).cloned();
        match &record.value {
            Some(value) => drop(sides[own].insert(key.clone(), (value.clone(), record.time))),
            None => drop(sides[own].remove(key)),
        }
        let Join::Tables(kind) = case.join else { continue };
        // Whether there is a row of the result where this side has one, or not.
        let has_row = |there: bool| match (kind, side) {
            (Kind::Inner, _) => there && met.is_some(),
            (Kind::Left, Side::Left) => there,
            (Kind::Left, Side::Right) => met.is_some(),
            (Kind::Outer, _) => there || met.is_some(),
        };
        let time = met.as_ref().map_or(record.time, |row| row.1.max(record.time));
        if has_row(record.value.is_some()) {
            let (this, that) = (record.value.as_deref(), met.as_ref().map(|row| row.0.as_str()));
            let value = if side == Side::Left { pair(this, that) } else { pair(that, this) };
            tell(key, Some(value), time);
        } else if has_row(was.is_some()) {
            tell(key, None, time);
        } else if met.is_some() {
            // There was no row, and there is none.
            touched.insert(Difference::TombstoneWithoutRow);
            if rules == Rules::Kafka {
                tell(key, None, time);
            }
        }
    }
    (out, touched)
}
