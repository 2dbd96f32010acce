//! Streams that look rows up in a global table, by both sides and by a naive fold: a map of rows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::case::{Outcome, Record, Rng, Side};
use crate::fold::{Folded, Rules};
use crate::foreign::row;
use crate::ours::function;

/// No rule differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {}

#[derive(Clone, Debug)]
pub struct Case {
    pub left_join: bool,
    /// Two joins read the table, and their results are merged.
    pub twice: bool,
    /// Values of the left side are made by `row`.
    pub records: Vec<Record>,
}

pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let (left_join, twice) = (rng.one_in(2), rng.one_in(4));
    let (rows, nulls, empty) =
        (1 + rng.below(3), [2, 4, 9][rng.below(3) as usize], [4, u64::MAX][rng.below(2) as usize]);
    let base = [0, i64::MAX / 2, i64::MAX - 100][rng.below(3) as usize];
    let (spread, count) = (1 + rng.below(40), 1 + rng.below(30));
    let records = (0..count).map(|i| {
        let side = Side::of(&mut rng);
        // One that is the beginning of another, and one that is a key of the stream, too.
        let of_rows = |rng: &mut Rng| ["f", "ff", "k0"][rng.below(rows) as usize].to_string();
        let (key, value) = match side {
            Side::Left => {
                let of = (!rng.one_in(6)).then(|| of_rows(&mut rng));
                (format!("k{}", rng.below(3)), row(of.as_deref(), rng.below(3) as usize))
            }
            Side::Right if rng.one_in(empty) => (of_rows(&mut rng), String::new()),
            Side::Right => (of_rows(&mut rng), format!("o{i}")),
        };
        let (key, value) = ((!rng.one_in(10)).then_some(key), (!rng.one_in(nulls)).then_some(value));
        Record { side, key, value, time: base + rng.below(spread) as i64 }
    });
    Case { left_join, twice, records: records.collect() }
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
        json!({ "join": if self.left_join { "global-left" } else { "global-inner" }, "twice": self.twice })
    }

    fn manifest(&self) -> String {
        let (pair, fields) = (function("pair"), function("json-fields"));
        let kind = if self.left_join { "left" } else { "inner" };
        let more = match self.twice {
            true => {
                "  again: { from: left, join: rules, key: by, with: pair }\n  out: { from: [joined, again], merge: {} }\n"
            }
            false => "",
        };
        format!(
            "pipeline: case\nfunctions:\n  pair: {{ component: {pair} }}\n  \
             by: {{ component: {fields}, function: by-field, config: {{ field: g }} }}\n\
             sources: {{ left: {{ topic: left }}, right: {{ topic: right }} }}\nsteps:\n  \
             rules: {{ from: right, global-table: {{}} }}\n  \
             joined: {{ from: left, join: rules, key: by, type: {kind}, with: pair }}\n{more}\
             sinks: {{ out: {{ from: {last}, topic: out }} }}\n",
            last = if self.twice { "out" } else { "joined" },
        )
    }

    fn fold(&self, _: Rules) -> Option<Folded<Difference>> {
        Some((run(self), BTreeSet::new()))
    }
}

fn run(case: &Case) -> Vec<Outcome> {
    let (mut out, mut rows) = (Vec::new(), BTreeMap::<&str, &str>::new());
    for (by, record) in case.records.iter().enumerate() {
        let value = record.value.as_deref();
        if record.side == Side::Right {
            match (record.key.as_deref(), value) {
                (Some(key), Some(value)) => drop(rows.insert(key, value)),
                (Some(key), None) => drop(rows.remove(key)),
                (None, _) => {}
            }
            continue;
        }
        let Some(value) = value else { continue };
        let of = serde_json::from_str::<Value>(value).expect("JSON")["g"].as_str().map(str::to_string);
        let found = of.and_then(|of| rows.get(of.as_str()).copied());
        let joins = [Some(case.left_join), case.twice.then_some(false)];
        for _ in joins.into_iter().flatten().filter(|left| *left || found.is_some()) {
            let value = Some(format!("{value},{}", found.unwrap_or("-")));
            let key = record.key.clone().unwrap_or_default();
            out.push(Outcome { by, window: None, key, value, time: record.time });
        }
    }
    out
}
