//! Deduplication by both sides, and by a naive fold that keeps everything that has passed. Kafka Streams has no such operator: the Java side
//! has the processor with a window store that one writes there, and its rules are ours.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::case::{Outcome, Record, Rng, Stream};
use crate::fold::{Folded, Rules};
use crate::ours::function;

/// No rule differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {}

#[derive(Clone, Debug)]
pub struct Case {
    /// By the field `g` and the key, or by the key alone.
    pub by_field: bool,
    pub within: i64,
    pub grace: i64,
    pub records: Vec<Record>,
}

pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let (by_field, within) = (rng.one_in(2), 1 + rng.below(40) as i64);
    let grace = [0, 1, 20, within, 1_000][rng.below(5) as usize];
    let value = |rng: &mut Rng, i: u64| {
        let id = (!rng.one_in(8)).then(|| format!("g{}", rng.below(3)));
        json!({ "g": id, "i": i }).to_string()
    };
    let records = Stream::random(&mut rng).records(&mut rng, value);
    Case { by_field, within, grace, records }
}

impl crate::Case for Case {
    type Difference = Difference;
    const TOPICS: [&'static str; 2] = ["in", "other"];

    fn records(&self) -> &[Record] {
        &self.records
    }

    fn with(&self, records: Vec<Record>) -> Self {
        Self { records, ..*self }
    }

    fn json(&self) -> Value {
        json!({ "deduplicate": if self.by_field { "field" } else { "key" }, "within": self.within, "grace": self.grace })
    }

    fn manifest(&self) -> String {
        let (by, fields) = (if self.by_field { "by-group" } else { "key" }, function("json-fields"));
        let Self { within, grace, .. } = self;
        format!(
            "pipeline: case\nfunctions:\n  by-group: {{ component: {fields}, function: by-field, config: {{ field: g }} }}\n\
             sources: {{ in: {{ topic: in }} }}\nsteps:\n  \
             once: {{ from: in, deduplicate: {{ by: {by}, within: {within}ms, grace: {grace}ms }}, on-error: skip }}\n\
             sinks: {{ out: {{ from: once, topic: out }} }}\n"
        )
    }

    fn fold(&self, _: Rules) -> Option<Folded<Difference>> {
        Some((run(self), BTreeSet::new()))
    }
}

/// What passes.
fn run(case: &Case) -> Vec<Outcome> {
    let (mut out, mut passed, mut now) = (Vec::new(), Vec::<(String, String, i64)>::new(), i64::MIN);
    for (by, record) in case.records.iter().enumerate() {
        // The function refuses what has no value.
        if case.by_field && record.value.is_none() {
            continue;
        }
        now = now.max(record.time);
        let field = |value: &str| serde_json::from_str::<Value>(value).expect("JSON")["g"].as_str().map(str::to_string);
        let id = if case.by_field { record.value.as_deref().and_then(field) } else { Some(String::new()) };
        // What has no id passes, late or not: nothing is asked about it.
        if let (Some(key), Some(id)) = (&record.key, id) {
            if record.time < now - case.grace {
                continue;
            }
            let near = |p: &&(String, String, i64)| (p.2 - record.time).abs() <= case.within;
            if passed.iter().filter(near).any(|p| p.0 == *key && p.1 == id) {
                continue;
            }
            passed.push((key.clone(), id, record.time));
        }
        let (key, value) = (record.key.clone().unwrap_or_default(), record.value.clone());
        out.push(Outcome { by, window: None, key, value, time: record.time });
    }
    out
}
