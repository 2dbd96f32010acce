//! Kafka Streams' own results as the judge: random pipelines and records run through its TopologyTestDriver and through
//! `millstream test`'s driver, and through a naive fold that knows both sides' rules.
//!
//! Each side must be what the fold says of it, and where no rule that differs was touched, both must be the same. The rules that
//! differ have names, and an example each as a test of both sides; they are those of `docs/operators/`.
//!
//! | what | against | by |
//! | --- | --- | --- |
//! | groups, in all windows; cogroups; scans | the same, scans an aggregate without a cache | `case`, `cogroups`; `fold`, `sliding` |
//! | calendar windows | a subclass of `Windows` by `java.time` | `calendars` |
//! | steps without state, a group, and a group of its counts | the same | `chains` |
//! | joins with tables, by foreign key, of two streams; tables | the same | `joins`, `foreign`, `streams`, `tables` |
//! | streams with global tables | the same | `globals` |
//! | processors with a store and timers | a processor with a store of timers, as there are none of a key | `alarms` |
//! | deduplication | a processor with a window store, as there is no such operator | `duplicates` |
//!
//! CI runs 1,000 cases of each of the twelve random tests, the long form (`MILLSTREAM_LONG=1 ./x test -p millstream-tests --test differential`)
//! 10,000 of each, 120,000 in all, in half an hour; `MILLSTREAM_CASES=N` runs as many, `MILLSTREAM_SEED=N` the one with this seed.

mod alarms;
mod calendars;
mod case;
mod chains;
mod cogroups;
mod duplicates;
mod examples;
mod fold;
mod foreign;
mod globals;
mod joins;
mod kafka;
mod ours;
mod sliding;
mod streams;
mod tables;

use std::collections::BTreeMap;
use std::fmt::Debug;

use case::{Outcome, Record};
use fold::{Difference, Folded, Rules};
use serde_json::Value;

const CASES: u64 = 1_000;
const CASES_LONG: u64 = 10_000;
/// Cases between two words of progress.
const TELL_EVERY: usize = 5_000;
/// As many as the machine has cores for.
const JUDGES: u64 = 2;

/// A pipeline and records for it.
trait Case: Clone + 'static {
    /// A rule that differs.
    type Difference: Ord + Debug + Copy + Send;

    /// The topics of its inputs; one that has one input feeds the first.
    const TOPICS: [&'static str; 2];

    fn records(&self) -> &[Record];

    /// The same pipeline with other records.
    fn with(&self, records: Vec<Record>) -> Self;

    /// The pipeline, as the Java side reads it.
    fn json(&self) -> Value;

    fn manifest(&self) -> String;

    /// What a naive fold makes of the records by the rules of one side, and which of these differ and were touched. `None`: it
    /// does not know that side.
    fn fold(&self, rules: Rules) -> Option<Folded<Self::Difference>>;

    /// Whether keys of results have windows.
    fn is_windowed(&self) -> bool {
        false
    }

    /// Whether results are rows of a table, which must be the same in the end, whatever differed on the way.
    fn is_table(&self) -> bool {
        false
    }

    /// Results in an order that Millstream promises.
    fn ordered_here(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        outcomes.to_vec()
    }

    /// Results in an order that both sides promise.
    fn ordered(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        outcomes.to_vec()
    }

    /// One side's results against the fold's, and both against each other; gives the rules that differ and were touched.
    fn judge(&self, kafka: &mut kafka::Judge, ours: &ours::Host) -> Result<Vec<Self::Difference>, String> {
        let (here, mut differences) = self.fold(Rules::Ours).expect("our own rules are known");
        let came = ours.run(self)?;
        agree("Millstream is not what the fold says", &self.ordered_here(&here), &self.ordered_here(&came))?;
        let there = self.fold(Rules::Kafka);
        if there.is_none() && !differences.is_empty() {
            return Ok(differences.into_iter().collect());
        }
        let judged = kafka.run(self)?;
        if let Some((there, touched)) = there {
            agree("Kafka Streams is not what the fold says", &self.ordered(&there), &self.ordered(&judged))?;
            differences = touched;
        }
        if differences.is_empty() {
            agree("Kafka Streams and Millstream differ", &self.ordered(&judged), &self.ordered(&came))?;
        }
        if self.is_table() && rows(&judged) != rows(&came) {
            return Err(format!("the tables differ: there {:?}, here {:?}", rows(&judged), rows(&came)));
        }
        Ok(differences.into_iter().collect())
    }
}

fn agree(what: &str, told: &[Outcome], came: &[Outcome]) -> Result<(), String> {
    if told == came { Ok(()) } else { Err(format!("{what}\n{}", case::columns(told, came))) }
}

/// The table that results make.
fn rows(outcomes: &[Outcome]) -> BTreeMap<&str, &str> {
    let mut rows = BTreeMap::new();
    for outcome in outcomes {
        match &outcome.value {
            Some(value) => rows.insert(outcome.key.as_str(), value.as_str()),
            None => rows.remove(outcome.key.as_str()),
        };
    }
    rows
}

/// Leaves records out for as long as the case still fails.
fn smaller<C: Case>(mut case: C, kafka: &mut kafka::Judge, ours: &ours::Host) -> (C, String) {
    let (mut why, mut at) = (case.judge(kafka, ours).err().unwrap_or_default(), 0);
    while at < case.records().len() {
        let mut records = case.records().to_vec();
        records.remove(at);
        let less = case.with(records);
        match less.judge(kafka, ours) {
            Err(still) => (case, why) = (less, still),
            Ok(_) => at += 1,
        }
    }
    (case, why)
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    if let Some(seed) = number("MILLSTREAM_SEED") {
        return vec![seed];
    }
    let long = std::env::var_os("MILLSTREAM_LONG").is_some_and(|value| value == "1");
    (0..number("MILLSTREAM_CASES").unwrap_or(if long { CASES_LONG } else { CASES })).collect()
}

/// Judges cases of all seeds; every rule that differs must have been touched by some.
fn judge_all<C: Case>(random: fn(u64) -> C, differences: &[C::Difference]) {
    let seeds = seeds();
    let touched: BTreeMap<C::Difference, usize> = std::thread::scope(|scope| {
        let judges: Vec<_> = (0..JUDGES)
            .map(|number| {
                let mine: Vec<u64> = seeds.iter().copied().filter(|seed| seed % JUDGES == number).collect();
                scope.spawn(move || run(random, &mine))
            })
            .collect();
        let mut all = BTreeMap::new();
        for judge in judges {
            judge.join().expect("a judge ends").into_iter().for_each(|d| *all.entry(d).or_default() += 1);
        }
        all
    });
    println!("{} cases; those that touched a rule that differs: {touched:?}", seeds.len());
    if seeds.len() as u64 >= CASES {
        let untouched: Vec<_> = differences.iter().filter(|d| !touched.contains_key(d)).collect();
        assert!(untouched.is_empty(), "no case touched {untouched:?}");
    }
}

fn run<C: Case>(random: fn(u64) -> C, seeds: &[u64]) -> Vec<C::Difference> {
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    let mut touched = Vec::new();
    for (done, seed) in seeds.iter().enumerate() {
        if done > 0 && done % TELL_EVERY == 0 {
            eprintln!("{done} of {} cases of one judge agree", seeds.len());
        }
        let case = random(*seed);
        match case.judge(&mut kafka, &ours) {
            Ok(differences) => touched.extend(differences),
            Err(_) => {
                let (case, why) = smaller(case, &mut kafka, &ours);
                panic!("seed {seed}: {}\n{}\n{why}", kafka::told(&case), case.manifest());
            }
        }
    }
    touched
}

#[test]
fn results_are_those_of_kafka_streams() {
    judge_all(case::Case::random, &Difference::GROUPS);
}

#[test]
fn cogroups_are_those_of_kafka_streams() {
    judge_all(cogroups::random, &cogroups::DIFFERENCES);
}

#[test]
fn scans_are_those_of_kafka_streams() {
    judge_all(cogroups::random_scan, &[Difference::NullValueCounts]);
}

#[test]
fn calendars_are_those_of_kafka_streams() {
    judge_all(calendars::random, &[Difference::NullValueCounts]);
}

#[test]
fn chains_are_those_of_kafka_streams() {
    judge_all(chains::random, &chains::Difference::ALL);
}

#[test]
fn duplicates_are_those_of_kafka_streams() {
    judge_all(duplicates::random, &[]);
}

#[test]
fn joins_are_those_of_kafka_streams() {
    judge_all(joins::random, &joins::Difference::ALL);
}

#[test]
fn joins_by_foreign_key_are_those_of_kafka_streams() {
    judge_all(foreign::random, &foreign::Difference::ALL);
}

#[test]
fn joins_with_global_tables_are_those_of_kafka_streams() {
    judge_all(globals::random, &[]);
}

#[test]
fn processors_are_those_of_kafka_streams() {
    judge_all(alarms::random, &[]);
}

#[test]
fn joins_of_two_streams_are_those_of_kafka_streams() {
    judge_all(streams::random, &streams::Difference::ALL);
}

#[test]
fn tables_are_those_of_kafka_streams() {
    judge_all(tables::random, &tables::Difference::ALL);
}
