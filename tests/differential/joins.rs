//! Joins with tables by both sides, and by a naive fold: lists of what was put for each row, and the rules of one side. A quarter of the cases
//! has tables with history, and half of those with a stream a grace.

use std::collections::BTreeSet;

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
    /// Of a table with history, a row that is removed at the very time of its value, where no version ended then: Kafka Streams forgets that
    /// there was anything at that time, so that an older version that comes later is the row.
    RemovalForgotten,
}

impl Difference {
    pub const ALL: [Difference; 2] = [Difference::TombstoneWithoutRow, Difference::RemovalForgotten];
}

#[derive(Clone, Debug)]
pub struct Case {
    pub join: Join,
    /// For how long rows are known as they were.
    pub history: Option<i64>,
    /// How long a stream's records wait.
    pub grace: Option<i64>,
    pub records: Vec<Record>,
}

pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let kinds = [Kind::Inner, Kind::Left, Kind::Outer];
    let join = match rng.below(5) {
        0 | 1 => Join::Stream { left: rng.one_in(2) },
        n => Join::Tables(kinds[n as usize - 2]),
    };
    let history = rng.one_in(4).then(|| [0, 3, 10, 40][rng.below(4) as usize]);
    let streams = matches!(join, Join::Stream { .. });
    let grace = history.filter(|_| streams && rng.one_in(2)).map(|history| rng.below(history as u64 + 1) as i64);
    // Kafka Streams fails on a record without a key that is to wait in a left join.
    let may_lack_keys = grace.is_none() || join == (Join::Stream { left: false });
    let (keys, nulls, spread) = (1 + rng.below(3), [2, 4, 9][rng.below(3) as usize], 1 + rng.below(40));
    let count = 1 + rng.below(30);
    // Near the beginning of time, and near where a distance of two times does not fit any more.
    let base = if rng.one_in(4) { i64::MAX / 2 } else { 0 };
    let records = (0..count).map(|i| {
        let side = Side::of(&mut rng);
        let key = (!rng.one_in(15) || !may_lack_keys).then(|| format!("k{}", rng.below(keys)));
        let value = (!rng.one_in(nulls)).then(|| format!("v{i}"));
        Record { side, key, value, time: base + rng.below(spread) as i64 }
    });
    Case { join, history, grace, records: records.collect() }
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
        json!({ "join": join, "history": self.history, "grace": self.grace })
    }

    fn manifest(&self) -> String {
        let pair = function("pair");
        let (left, kind) = match self.join {
            Join::Stream { left } => ("left", if left { "left" } else { "inner" }),
            Join::Tables(kind) => ("rows", kind.name()),
        };
        let table = self.history.map_or("{}".to_string(), |history| format!("{{ history: {history}ms }}"));
        let rows = if left == "rows" { format!("  rows: {{ from: left, table: {table} }}\n") } else { String::new() };
        let grace = self.grace.map_or(String::new(), |grace| format!(", grace: {grace}ms"));
        format!(
            "pipeline: case\nfunctions: {{ pair: {{ component: {pair} }} }}\n\
             sources: {{ left: {{ topic: left }}, right: {{ topic: right }} }}\nsteps:\n{rows}  \
             others: {{ from: right, table: {table} }}\n  \
             joined: {{ from: {left}, join: others, type: {kind}, with: pair{grace} }}\n\
             sinks: {{ out: {{ from: joined, topic: out }} }}\n"
        )
    }

    fn fold(&self, rules: Rules) -> Option<Folded<Difference>> {
        Some(run(self, rules))
    }
}

/// A row: value and time.
type Row = Option<(String, i64)>;

/// A table: what was put for each key, in order of arrival.
#[derive(Default)]
struct Rows {
    history: Option<i64>,
    put: Vec<(String, i64, Option<String>)>,
    newest: Option<i64>,
    /// Keys with times at which a version ended, as far as Kafka Streams has written that down.
    ended: BTreeSet<(String, i64)>,
    /// A removal has been forgotten, or would have been there.
    forgetful: bool,
}

impl Rows {
    /// The version of a row that began last, of those that began at a time or before; of equal ones the last to come. Without history
    /// the last to come of all.
    fn version(&self, key: &str, time: i64) -> Option<&(String, i64, Option<String>)> {
        let mut of = self.put.iter().filter(|put| put.0 == key);
        match self.history {
            None => of.next_back(),
            Some(_) => of.filter(|put| put.1 <= time).max_by_key(|put| put.1),
        }
    }

    /// What the row is.
    fn get(&self, key: &str) -> Row {
        self.version(key, i64::MAX).and_then(|put| put.2.clone().map(|value| (value, put.1)))
    }

    /// What the row was at a time. Before what is remembered only the latest is found.
    fn as_of(&self, key: &str, time: i64) -> Option<String> {
        let Some(history) = self.history else { return self.get(key).map(|row| row.0) };
        let forgotten = self.newest.is_some_and(|newest| time < newest - history);
        let found = self.version(key, if forgotten { i64::MAX } else { time })?;
        found.2.clone().filter(|_| found.1 <= time)
    }

    /// Whether what is put is what the row is now; `None`: it is too old.
    fn put(&mut self, key: &str, time: i64, value: Option<String>, rules: Rules) -> Option<bool> {
        if self.history.zip(self.newest).is_some_and(|(history, newest)| time < newest - history) {
            return None;
        }
        self.newest = self.newest.max(Some(time));
        let latest = self.version(key, i64::MAX).cloned();
        let is_latest = self.history.is_none() || latest.as_ref().is_none_or(|latest| latest.1 <= time);
        if self.history.is_some()
            && value.is_none()
            && latest.as_ref().is_none_or(|(_, at, was)| was.is_none() && *at <= time)
        {
            // The removal of nothing is remembered as something that ended then.
            self.ended.insert((key.to_string(), time));
        }
        match latest.filter(|_| self.history.is_some()) {
            Some((_, at, Some(_))) if at < time => drop(self.ended.insert((key.to_string(), time))),
            Some((_, at, Some(_))) if at == time && value.is_none() && !self.ended.contains(&(key.to_string(), at)) => {
                self.forgetful = true;
                if rules == Rules::Kafka {
                    self.put.retain(|put| put.0 != key || put.1 != time);
                    return Some(true);
                }
            }
            Some((_, at, _)) if time < at => {
                let next = self.put.iter().filter(|put| put.0 == key && put.1 > time).map(|put| put.1).min();
                self.ended.extend(next.map(|next| (key.to_string(), next)));
            }
            _ => {}
        }
        self.put.push((key.to_string(), time, value));
        Some(is_latest)
    }
}

fn pair(left: Option<&str>, right: Option<&str>) -> String {
    format!("{},{}", left.unwrap_or("-"), right.unwrap_or("-"))
}

/// A stream's records with a table.
struct Stream {
    left: bool,
    grace: Option<i64>,
    newest: Option<i64>,
    waiting: Vec<Record>,
}

impl Stream {
    /// The records that are looked up now, in order.
    fn take(&mut self, record: &Record) -> Vec<Record> {
        if record.value.is_none() || record.key.is_none() && !self.left {
            return Vec::new();
        }
        let Some(grace) = self.grace else { return vec![record.clone()] };
        self.newest = self.newest.max(Some(record.time));
        let now = self.newest.expect("a record has come") - grace;
        self.waiting.push(record.clone());
        let (mut due, waiting): (Vec<Record>, Vec<Record>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waits| waits.time <= now);
        self.waiting = waiting;
        due.sort_by(|a, b| (a.time, &a.key).cmp(&(b.time, &b.key)));
        due
    }
}

/// What comes out, in order, and which rules that differ were touched.
pub fn run(case: &Case, rules: Rules) -> Folded<Difference> {
    let mut sides = [(); 2].map(|()| Rows { history: case.history, ..Rows::default() });
    let left = case.join == Join::Stream { left: true };
    let mut stream = Stream { left, grace: case.grace, newest: None, waiting: Vec::new() };
    let (mut out, mut touched) = (Vec::new(), BTreeSet::new());
    for (by, record) in case.records.iter().enumerate() {
        let side = record.side;
        let mut tell = |key: &str, value: Option<String>, time: i64| {
            out.push(Outcome { by, window: None, key: key.to_string(), value, time });
        };
        let (own, other) = if side == Side::Left { (0, 1) } else { (1, 0) };
        if let (Join::Stream { left }, Side::Left) = (case.join, side) {
            for record in stream.take(record) {
                let found = record.key.as_ref().and_then(|key| sides[1].as_of(key, record.time));
                if found.is_some() || left {
                    let key = record.key.as_deref().unwrap_or_default();
                    tell(key, Some(pair(record.value.as_deref(), found.as_deref())), record.time);
                }
            }
            continue;
        }
        let Some(key) = &record.key else { continue };
        let (met, was) = (sides[other].get(key), sides[own].get(key));
        let is_latest = sides[own].put(key, record.time, record.value.clone(), rules);
        touched.extend(sides[own].forgetful.then_some(Difference::RemovalForgotten));
        // Behind a newer version of its row nothing changes now.
        let (Join::Tables(kind), Some(true)) = (case.join, is_latest) else { continue };
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
