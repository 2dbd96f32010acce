//! A processor with a store and timers, the sample `alarm`, by both sides and by a naive fold. Kafka Streams has no timers of a key: the Java
//! side has the processor with two stores that one writes there, and its rules are ours.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::case::{Outcome, Record, Rng, Stream};
use crate::fold::{Folded, Rules};
use crate::ours::function;

/// No rule differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {}

/// How long a key may be silent, milliseconds: the sample's own.
const SILENCE_MS: i64 = 30_000;

#[derive(Clone, Debug)]
pub struct Case {
    pub records: Vec<Record>,
}

pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let base = [0, 0, i64::MAX / 2, i64::MAX - 10_000_000][rng.below(4) as usize];
    // Times such that many silences are just as long as they may be, or such that hardly any are.
    let unit = [250, 1_000, 3_000][rng.below(3) as usize];
    let stream = Stream { base, unit, ..Stream::random(&mut rng) };
    Case { records: stream.records(&mut rng, |_, i| format!("v{i}")) }
}

impl crate::Case for Case {
    type Difference = Difference;
    const TOPICS: [&'static str; 2] = ["in", "other"];

    fn records(&self) -> &[Record] {
        &self.records
    }

    fn with(&self, records: Vec<Record>) -> Self {
        Self { records }
    }

    fn json(&self) -> Value {
        json!({ "alarms": SILENCE_MS })
    }

    fn manifest(&self) -> String {
        format!(
            "pipeline: case\nfunctions: {{ alarm: {{ component: {} }} }}\nsources: {{ in: {{ topic: in }} }}\nsteps:\n  \
             alarms: {{ from: in, process: alarm, stores: {{ last: {{}} }}, outputs: [silent, again], on-error: skip }}\n  \
             both: {{ from: [alarms.silent, alarms.again], merge: {{}} }}\n\
             sinks: {{ out: {{ from: both, topic: out }} }}\n",
            function("alarm")
        )
    }

    fn fold(&self, _: Rules) -> Option<Folded<Difference>> {
        Some((run(self), BTreeSet::new()))
    }

    /// Each output has an order of its own: of one record, alarms stand before what ends a silence.
    fn ordered_here(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        let mut out = outcomes.to_vec();
        out.sort_by_key(|o| (o.by, !o.value.as_ref().is_some_and(|value| value.is_empty() || value.starts_with('v'))));
        out
    }

    fn ordered(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        self.ordered_here(outcomes)
    }
}

/// What a key said last, when, and whether there was an alarm about it.
struct Last {
    value: String,
    time: i64,
    alarmed: bool,
}

fn run(case: &Case) -> Vec<Outcome> {
    let (mut out, mut last, mut now) = (Vec::new(), BTreeMap::<String, Last>::new(), i64::MIN);
    for (by, record) in case.records.iter().enumerate() {
        // The function refuses what has no key, so it has not come.
        let Some(key) = record.key.clone() else { continue };
        now = now.max(record.time);
        fire(by, now, &mut last, &mut out);
        if let Some(before) = last.get(&key).filter(|before| before.alarmed && record.time > before.time) {
            let value = Some((record.time - before.time).to_string());
            out.push(Outcome { by, window: None, key: key.clone(), value, time: record.time });
        }
        if last.get(&key).is_none_or(|before| record.time >= before.time) {
            let value = record.value.clone().unwrap_or_default();
            last.insert(key, Last { value, time: record.time, alarmed: false });
        }
        // What is late sets its timer for a time that has passed.
        fire(by, now, &mut last, &mut out);
    }
    out
}

/// Alarms about all keys that have been silent for long enough, in order of time and key.
fn fire(by: usize, now: i64, last: &mut BTreeMap<String, Last>, out: &mut Vec<Outcome>) {
    let mut due: Vec<_> = last.iter_mut().filter(|(_, of)| !of.alarmed && of.time + SILENCE_MS <= now).collect();
    due.sort_by_key(|(_, of)| of.time);
    for (key, of) in due {
        of.alarmed = true;
        let (value, time) = (Some(of.value.clone()), of.time + SILENCE_MS);
        out.push(Outcome { by, window: None, key: key.clone(), value, time });
    }
}
