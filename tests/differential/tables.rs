//! Tables in steps one behind the other, by both sides and by a naive fold: a filter of the stream, filters of the table, and at the
//! end a map, a group that is counted or summed, or a count that is joined with another table. Windows are not here, and what joins
//! do is said in `joins`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::case::{Outcome, Record, Rng, Side};
use crate::fold::{Folded, Rules};
use crate::joins::{self, Join, Kind};
use crate::ours::function;

/// A filter of a table: rows with at least so much, or those without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    pub least: u64,
    pub not: bool,
}

/// What rows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The key that they have.
    Key,
    /// The field `g`, which may be null.
    Field,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    Count,
    /// Of the field `n`.
    Sum,
    /// The rows with commas between, by a reduce: in order of arrival, and of equal ones the first is taken out.
    Reduce,
}

/// What becomes of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// They come out.
    Rows,
    /// They come out with `v1:` before them.
    Mapped,
    Grouped(By, Fold),
    /// The count of a group is the left side of a join.
    Joined(By, Kind),
}

/// A rule that differs, touched by a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// A map over a table passes on the tombstone of a row that was not there.
    MappedTombstone,
    /// A join does so where there was no row of its result.
    JoinedTombstone,
}

impl Difference {
    pub const ALL: [Difference; 2] = [Difference::MappedTombstone, Difference::JoinedTombstone];
}

#[derive(Clone, Debug)]
pub struct Case {
    /// What the stream keeps before it is a table.
    pub front: Option<u64>,
    pub filters: Vec<Filter>,
    pub end: End,
    /// Of the left side those of the first table, whose values are made by `row`.
    pub records: Vec<Record>,
}

/// A value of the first table.
pub fn row(group: Option<&str>, number: u64) -> String {
    json!({ "g": group, "n": number }).to_string()
}

pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let by = if rng.one_in(3) { By::Key } else { By::Field };
    let end = match rng.below(8) {
        0 => End::Rows,
        1 | 2 => End::Mapped,
        3 => End::Grouped(by, Fold::Count),
        4 => End::Grouped(by, Fold::Sum),
        5 => End::Grouped(by, Fold::Reduce),
        n => End::Joined(by, if n == 6 { Kind::Inner } else { [Kind::Left, Kind::Outer][rng.below(2) as usize] }),
    };
    let front = rng.one_in(4).then(|| rng.below(6));
    let filters = (0..rng.below(3)).map(|_| Filter { least: rng.below(10), not: rng.one_in(3) }).collect();
    let (keys, groups, nulls) = (1 + rng.below(4), 1 + rng.below(3), [2, 4, 9][rng.below(3) as usize]);
    // Near the beginning of time, and near where a distance of two times does not fit any more.
    let (base, spread) = (if rng.one_in(4) { i64::MAX / 2 } else { 0 }, 1 + rng.below(40));
    let count = 1 + rng.below(30);
    let records = (0..count).map(|i| {
        let joined = matches!(end, End::Joined(..));
        let side = if joined && rng.one_in(2) { Side::Right } else { Side::Left };
        // Of the other table the keys are those of the groups, too.
        let group = |rng: &mut Rng| format!("g{}", rng.below(groups));
        let key = match side {
            Side::Right if rng.one_in(2) => group(&mut rng),
            _ => format!("k{}", rng.below(keys)),
        };
        let key = (!rng.one_in(15)).then_some(key);
        let value = match side {
            Side::Right => format!("o{i}"),
            Side::Left => {
                let group = (!rng.one_in(8)).then(|| group(&mut rng));
                row(group.as_deref(), rng.below(12))
            }
        };
        let value = (!rng.one_in(nulls)).then_some(value);
        Record { side, key, value, time: base + rng.below(spread) as i64 }
    });
    Case { front, filters, end, records: records.collect() }
}

impl crate::Case for Case {
    type Difference = Difference;
    const TOPICS: [&'static str; 2] = ["in", "other"];

    fn records(&self) -> &[Record] {
        &self.records
    }

    fn with(&self, records: Vec<Record>) -> Self {
        Self { records, ..self.clone() }
    }

    fn json(&self) -> Value {
        let by = |by| if by == By::Key { "key" } else { "field" };
        let filters = self.filters.iter().map(|f| json!({ "least": f.least, "not": f.not })).collect::<Vec<_>>();
        let (end, by, join) = match self.end {
            End::Rows => ("rows", None, None),
            End::Mapped => ("mapped", None, None),
            End::Grouped(of, Fold::Count) => ("count", Some(by(of)), None),
            End::Grouped(of, Fold::Sum) => ("sum", Some(by(of)), None),
            End::Grouped(of, Fold::Reduce) => ("reduce", Some(by(of)), None),
            End::Joined(of, kind) => ("count", Some(by(of)), Some(kind.name())),
        };
        json!({ "table": end, "front": self.front, "filters": filters, "by": by, "with": join })
    }

    fn manifest(&self) -> String {
        let (mut functions, mut steps) = (String::new(), String::new());
        let mut least = |name: &str, least: u64| {
            let file = function("json-fields");
            let config = format!("{{ field: n, least: \"{least}\" }}");
            functions += &format!("  {name}: {{ component: {file}, function: at-least, config: {config} }}\n");
        };
        let mut from = "in".to_string();
        if let Some(number) = self.front {
            least("front", number);
            // A null value has no number, and is refused.
            steps += "  kept: { from: in, filter: front, on-error: skip }\n";
            from = "kept".into();
        }
        steps += &format!("  rows: {{ from: {from}, table: {{}} }}\n");
        from = "rows".into();
        for (i, filter) in self.filters.iter().enumerate() {
            least(&format!("least-{i}"), filter.least);
            let kind = if filter.not { "filter-not" } else { "filter" };
            steps += &format!("  filtered-{i}: {{ from: {from}, {kind}: least-{i} }}\n");
            from = format!("filtered-{i}");
        }
        let component = |name: &str, file: &str| format!("  {name}: {{ component: {} }}\n", function(file));
        match self.end {
            End::Rows => {}
            End::Mapped => {
                functions += &component("stamp", "stamp-v1");
                steps += &format!("  mapped: {{ from: {from}, map-values: stamp }}\n");
                from = "mapped".into();
            }
            End::Grouped(by, _) | End::Joined(by, _) => {
                if by == By::Field {
                    let file = function("json-fields");
                    functions +=
                        &format!("  by-group: {{ component: {file}, function: by-field, config: {{ field: g }} }}\n");
                    steps += &format!("  groups: {{ from: {from}, group-by: by-group }}\n");
                    from = "groups".into();
                }
                let fold = match self.end {
                    End::Grouped(_, Fold::Sum) => {
                        let file = function("sum");
                        functions += &format!("  sum: {{ component: {file}, config: {{ field: n }} }}\n");
                        "aggregate: sum"
                    }
                    End::Grouped(_, Fold::Reduce) => {
                        functions += &component("append", "append");
                        "reduce: append"
                    }
                    _ => "count: { format: text }",
                };
                steps += &format!("  folded: {{ from: {from}, group: key, {fold}, emit-every-update: true }}\n");
                from = "folded".into();
            }
        }
        let mut sources = "  in: { topic: in }\n".to_string();
        if let End::Joined(_, kind) = self.end {
            let kind = kind.name();
            sources += "  other: { topic: other }\n";
            functions += &component("pair", "pair");
            steps += "  counts: { from: folded, table: {} }\n  others: { from: other, table: {} }\n";
            steps += &format!("  joined: {{ from: counts, join: others, type: {kind}, with: pair }}\n");
            from = "joined".into();
        }
        let functions = if functions.is_empty() { String::new() } else { format!("functions:\n{functions}") };
        format!(
            "pipeline: case\n{functions}sources:\n{sources}steps:\n{steps}sinks:\n  out: {{ from: {from}, topic: out }}\n"
        )
    }

    fn fold(&self, rules: Rules) -> Option<Folded<Difference>> {
        Some(run(self, rules))
    }
}

/// The fields of a value.
fn fields(value: &str) -> (Option<String>, u64) {
    let json: Value = serde_json::from_str(value).expect("a row is JSON");
    (json["g"].as_str().map(str::to_string), json["n"].as_u64().expect("a number"))
}

/// A group: how many rows it has, what they add up to, its time.
#[derive(Clone, Default)]
struct Group {
    count: u64,
    sum: u64,
    /// The rows in order of arrival.
    rows: Vec<String>,
    time: i64,
}

/// What comes out, in order, and which rules that differ were touched.
pub fn run(case: &Case, rules: Rules) -> Folded<Difference> {
    let mut world = World::of(case, rules);
    for (by, record) in case.records.iter().enumerate() {
        match record.side {
            Side::Left => world.record(by, record),
            // Only a join reads it.
            Side::Right => world.updates.push((by, record.clone())),
        }
    }
    world.end()
}

struct World<'c> {
    case: &'c Case,
    rules: Rules,
    rows: BTreeMap<String, String>,
    groups: BTreeMap<String, Group>,
    out: Vec<Outcome>,
    touched: BTreeSet<Difference>,
    /// What both sides of the join get, and the record that set it off.
    updates: Vec<(usize, Record)>,
}

impl<'c> World<'c> {
    fn of(case: &'c Case, rules: Rules) -> Self {
        let (rows, groups, out, touched, updates) = Default::default();
        Self { case, rules, rows, groups, out, touched, updates }
    }

    /// A record, by the filter in front, the table, and its filters.
    fn record(&mut self, by: usize, record: &Record) {
        let number = record.value.as_deref().map(|value| fields(value).1);
        if self.case.front.is_some_and(|least| number.is_none_or(|n| n < least)) {
            return;
        }
        let Some(key) = &record.key else { return };
        let was = match &record.value {
            Some(value) => self.rows.insert(key.clone(), value.clone()),
            None => self.rows.remove(key),
        };
        let filters = &self.case.filters;
        let passes = |value: &String| filters.iter().all(|f| (fields(value).1 >= f.least) != f.not);
        let (was, is) = (was.filter(passes), record.value.clone().filter(passes));
        // A table passes on what was not there and is not there, a filter does not.
        if was.is_some() || is.is_some() || filters.is_empty() {
            self.change(by, key, was, is, record.time);
        }
    }

    fn tell(&mut self, by: usize, key: &str, value: Option<String>, time: i64) {
        self.out.push(Outcome { by, window: None, key: key.to_string(), value, time });
    }

    fn change(&mut self, by: usize, key: &str, was: Option<String>, is: Option<String>, time: i64) {
        match self.case.end {
            End::Rows => self.tell(by, key, is, time),
            End::Mapped if was.is_none() && is.is_none() => {
                self.touched.insert(Difference::MappedTombstone);
                if self.rules == Rules::Kafka {
                    self.tell(by, key, None, time);
                }
            }
            End::Mapped => self.tell(by, key, is.map(|value| format!("v1:{value}")), time),
            End::Grouped(of, _) | End::Joined(of, _) => {
                let group = |value: &String| if of == By::Key { Some(key.to_string()) } else { fields(value).0 };
                let (from, to) = (was.as_ref().and_then(group), is.as_ref().and_then(group));
                match (from.as_ref().zip(was.as_ref()), to.as_ref().zip(is.as_ref())) {
                    // One update of a group that stays.
                    (Some((from, old)), Some((to, new))) if from == to => {
                        self.fold(by, from, Some(old), Some(new), time)
                    }
                    (taken, put) => {
                        if let Some((from, old)) = taken {
                            self.fold(by, from, Some(old), None, time);
                        }
                        if let Some((to, new)) = put {
                            self.fold(by, to, None, Some(new), time);
                        }
                    }
                }
            }
        }
    }

    fn fold(&mut self, by: usize, key: &str, out: Option<&String>, into: Option<&String>, time: i64) {
        let group = self.groups.entry(key.to_string()).or_insert(Group { time, ..Group::default() });
        if let Some(row) = out {
            (group.count, group.sum) = (group.count - 1, group.sum - fields(row).1);
            let at = group.rows.iter().position(|other| other == row).expect("it has come in");
            group.rows.remove(at);
        }
        if let Some(row) = into {
            (group.count, group.sum) = (group.count + 1, group.sum + fields(row).1);
            group.rows.push(row.clone());
        }
        // Also where its only row goes and another comes: it is one update of a group that was there all along.
        group.time = group.time.max(time);
        let Group { count, sum, rows, time } = group.clone();
        match self.case.end {
            End::Grouped(_, Fold::Reduce) => {
                self.tell(by, key, (!rows.is_empty()).then(|| rows.join(",")), time);
                // A state that is gone has no time any more.
                if rows.is_empty() {
                    self.groups.remove(key);
                }
            }
            End::Grouped(_, Fold::Sum) => self.tell(by, key, Some(sum.to_string()), time),
            End::Joined(..) => {
                let (key, value) = (Some(key.to_string()), Some(count.to_string()));
                self.updates.push((by, Record { side: Side::Left, key, value, time }));
            }
            _ => self.tell(by, key, Some(count.to_string()), time),
        }
    }

    fn end(mut self) -> Folded<Difference> {
        if let End::Joined(_, kind) = self.case.end {
            let (sources, records): (Vec<usize>, Vec<_>) = self.updates.into_iter().unzip();
            let (joined, touched) =
                joins::run(&joins::Case { join: Join::Tables(kind), history: None, grace: None, records }, self.rules);
            self.out = joined.into_iter().map(|o| Outcome { by: sources[o.by], ..o }).collect();
            self.touched.extend(touched.iter().map(|_| Difference::JoinedTombstone));
        }
        (self.out, self.touched)
    }
}
