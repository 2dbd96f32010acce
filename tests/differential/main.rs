//! Kafka Streams' own results as the judge: random pipelines and records run through its TopologyTestDriver and through
//! `millstream test`'s driver, and through a naive fold that knows both sides' rules.
//!
//! Each side must be what the fold says of it, and where no rule that differs was touched, both must be the same. The rules that
//! differ have names, and an example each as a test of both sides; they are those of `docs/operators/`.
//!
//! CI runs 1,000 cases, the long form (`MILLSTREAM_LONG=1 ./x test -p millstream-tests --test differential`) 100,000;
//! `MILLSTREAM_SEED=N` runs one.

mod case;
mod examples;
mod fold;
mod kafka;
mod ours;
mod sliding;

use std::collections::BTreeMap;

use case::{Case, Outcome};
use fold::{Difference, Rules};

const CASES: u64 = 1_000;
const CASES_LONG: u64 = 100_000;
/// Cases between two words of progress.
const TELL_EVERY: usize = 5_000;
/// As many as the machine has cores for.
const JUDGES: u64 = 2;

/// One side's results against the fold's, and both against each other.
fn judge(case: &Case, kafka: &mut kafka::Judge, ours: &ours::Host) -> Result<Vec<Difference>, String> {
    let (here, _) = fold::run(case, Rules::Ours);
    let (there, differences) = fold::run(case, Rules::Kafka);
    let (came, judged) = (ours.run(case)?, kafka.run(case)?);
    let agree = |what: &str, told: &[Outcome], came: &[Outcome]| {
        if told == came { Ok(()) } else { Err(format!("{what}\n{}", case::columns(told, came))) }
    };
    let panes = matches!(case.window, case::Window::Panes { .. });
    let exact = |outcomes: &[Outcome]| if panes { case.in_order(outcomes) } else { outcomes.to_vec() };
    agree("Millstream is not what the fold says", &exact(&here), &exact(&came))?;
    agree("Kafka Streams is not what the fold says", &case.in_order(&there), &case.in_order(&judged))?;
    if differences.is_empty() {
        agree("Kafka Streams and Millstream differ", &case.in_order(&judged), &case.in_order(&came))?;
    }
    Ok(differences.into_iter().collect())
}

/// Leaves records out for as long as the case still fails.
fn smaller(case: Case, kafka: &mut kafka::Judge, ours: &ours::Host) -> (Case, String) {
    let mut why = judge(&case, kafka, ours).err().unwrap_or_default();
    let (mut case, mut at) = (case, 0);
    while at < case.records.len() {
        let mut less = case.clone();
        less.records.remove(at);
        match judge(&less, kafka, ours) {
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

#[test]
fn results_are_those_of_kafka_streams() {
    let seeds = seeds();
    let touched: BTreeMap<Difference, usize> = std::thread::scope(|scope| {
        let judges: Vec<_> = (0..JUDGES)
            .map(|number| {
                let mine: Vec<u64> = seeds.iter().copied().filter(|seed| seed % JUDGES == number).collect();
                scope.spawn(move || run(&mine))
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
        let untouched: Vec<_> = Difference::ALL.iter().filter(|d| !touched.contains_key(d)).collect();
        assert!(untouched.is_empty(), "no case touched {untouched:?}");
    }
}

fn run(seeds: &[u64]) -> Vec<Difference> {
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    let mut touched = Vec::new();
    for (done, seed) in seeds.iter().enumerate() {
        if done > 0 && done % TELL_EVERY == 0 {
            eprintln!("{done} of {} cases of one judge agree", seeds.len());
        }
        let case = Case::random(*seed);
        match judge(&case, &mut kafka, &ours) {
            Ok(differences) => touched.extend(differences),
            Err(_) => {
                let (case, why) = smaller(case, &mut kafka, &ours);
                panic!("seed {seed}: {}\n{why}", case.json());
            }
        }
    }
    touched
}
