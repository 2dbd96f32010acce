//! Kafka Streams' own results as the judge: random pipelines and records run through its TopologyTestDriver and through
//! `millstream test`'s driver, and through a naive fold that knows both sides' rules.
//!
//! Each side must be what the fold says of it, and where no rule that differs was touched, both must be the same. The rules that
//! differ have names, and an example each as a test of both sides; they are those of `docs/operators/`.
//!
//! CI runs 1,000 cases of groupings and as many of joins with tables, of joins of two streams and of tables, the long form (`MILLSTREAM_LONG=1 ./x test -p millstream-tests --test differential`) 100,000 of each;
//! `MILLSTREAM_SEED=N` runs one.

mod case;
mod examples;
mod fold;
mod joins;
mod kafka;
mod ours;
mod sliding;
mod streams;
mod tables;

use std::collections::BTreeMap;
use std::fmt::Debug;

use case::Outcome;
use fold::{Difference, Rules};
use serde_json::Value;

const CASES: u64 = 1_000;
const CASES_LONG: u64 = 100_000;
/// Cases between two words of progress.
const TELL_EVERY: usize = 5_000;
/// As many as the machine has cores for.
const JUDGES: u64 = 2;

/// A pipeline and records for it.
trait Case: Clone + 'static {
    /// A rule that differs.
    type Difference: Ord + Debug + Copy + Send;

    fn random(seed: u64) -> Self;

    /// How many records there are.
    fn len(&self) -> usize;

    fn without(&self, at: usize) -> Self;

    fn json(&self) -> Value;

    /// One side's results against the fold's, and both against each other; gives the rules that differ and were touched.
    fn judge(&self, kafka: &mut kafka::Judge, ours: &ours::Host) -> Result<Vec<Self::Difference>, String>;
}

fn agree(what: &str, told: &[Outcome], came: &[Outcome]) -> Result<(), String> {
    if told == came { Ok(()) } else { Err(format!("{what}\n{}", case::columns(told, came))) }
}

impl Case for case::Case {
    type Difference = Difference;

    fn random(seed: u64) -> Self {
        Self::random(seed)
    }

    fn len(&self) -> usize {
        self.records.len()
    }

    fn without(&self, at: usize) -> Self {
        let mut less = self.clone();
        less.records.remove(at);
        less
    }

    fn json(&self) -> Value {
        self.json()
    }

    fn judge(&self, kafka: &mut kafka::Judge, ours: &ours::Host) -> Result<Vec<Difference>, String> {
        let (here, _) = fold::run(self, Rules::Ours);
        let (there, differences) = fold::run(self, Rules::Kafka);
        let (came, judged) = (ours.run(self)?, kafka.run(self)?);
        let panes = matches!(self.window, case::Window::Panes { .. });
        let exact = |outcomes: &[Outcome]| if panes { self.in_order(outcomes) } else { outcomes.to_vec() };
        agree("Millstream is not what the fold says", &exact(&here), &exact(&came))?;
        agree("Kafka Streams is not what the fold says", &self.in_order(&there), &self.in_order(&judged))?;
        if differences.is_empty() {
            agree("Kafka Streams and Millstream differ", &self.in_order(&judged), &self.in_order(&came))?;
        }
        Ok(differences.into_iter().collect())
    }
}

/// Leaves records out for as long as the case still fails.
fn smaller<C: Case>(mut case: C, kafka: &mut kafka::Judge, ours: &ours::Host) -> (C, String) {
    let (mut why, mut at) = (case.judge(kafka, ours).err().unwrap_or_default(), 0);
    while at < case.len() {
        let less = case.without(at);
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
    (0..if long { CASES_LONG } else { CASES }).collect()
}

/// Judges cases of all seeds; every rule that differs must have been touched by some.
fn judge_all<C: Case>(differences: &[C::Difference]) {
    let seeds = seeds();
    let touched: BTreeMap<C::Difference, usize> = std::thread::scope(|scope| {
        let judges: Vec<_> = (0..JUDGES)
            .map(|number| {
                let mine: Vec<u64> = seeds.iter().copied().filter(|seed| seed % JUDGES == number).collect();
                scope.spawn(move || run::<C>(&mine))
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

fn run<C: Case>(seeds: &[u64]) -> Vec<C::Difference> {
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    let mut touched = Vec::new();
    for (done, seed) in seeds.iter().enumerate() {
        if done > 0 && done % TELL_EVERY == 0 {
            eprintln!("{done} of {} cases of one judge agree", seeds.len());
        }
        let case = C::random(*seed);
        match case.judge(&mut kafka, &ours) {
            Ok(differences) => touched.extend(differences),
            Err(_) => {
                let (case, why) = smaller(case, &mut kafka, &ours);
                panic!("seed {seed}: {}\n{why}", case.json());
            }
        }
    }
    touched
}

#[test]
fn results_are_those_of_kafka_streams() {
    judge_all::<case::Case>(&Difference::ALL);
}

#[test]
fn joins_are_those_of_kafka_streams() {
    judge_all::<joins::Case>(&joins::Difference::ALL);
}

#[test]
fn joins_of_two_streams_are_those_of_kafka_streams() {
    judge_all::<streams::Case>(&streams::Difference::ALL);
}

#[test]
fn tables_are_those_of_kafka_streams() {
    judge_all::<tables::Case>(&tables::Difference::ALL);
}
