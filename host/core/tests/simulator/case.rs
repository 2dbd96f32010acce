//! A random case: a chain of stateless steps, perhaps a fold behind it, and the records that enter. All from one seed.

use millstream_core::topology::spec::*;

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rec {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub time: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Filter,
    FilterNot,
    Peek,
    Stamp,
    Map,
    FlatMapValues,
    SelectKey,
}

/// What is left out when a failing case is made smaller.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub records: usize,
    pub steps: usize,
    pub faults: bool,
}

pub const FULL: Limits = Limits { records: 60, steps: 4, faults: true };

#[derive(Clone, Debug)]
pub struct Case {
    pub steps: Vec<Step>,
    pub fold: Option<Aggregate>,
    pub skip: bool,
    pub partitions: u32,
    pub sink_partitions: u32,
    pub workers: usize,
    pub input: Vec<Vec<Rec>>,
    pub flaky: bool,
    pub swaps: bool,
    pub faults: bool,
}

impl Case {
    pub fn new(rng: &mut Rng, limits: Limits) -> Self {
        let all = [Step::Filter, Step::FilterNot, Step::Peek, Step::Stamp, Step::Map, Step::FlatMapValues, Step::SelectKey];
        let wanted = rng.below(5) as usize;
        let mut steps: Vec<Step> = (0..wanted).map(|_| all[rng.below(7) as usize]).collect();
        steps.truncate(limits.steps);
        let fold = (!rng.one_in(4)).then(|| fold(rng));
        let poison = rng.one_in(2);
        let partitions = 1 + rng.below(4) as u32;
        let spread = [1, 5, 40, 200][rng.below(4) as usize];
        let input = (0..partitions).map(|p| {
            let count = (rng.below(60) as usize).min(limits.records);
            (0..count).map(|i| record(rng, p, i, spread, poison)).collect()
        });
        Self {
            input: input.collect(),
            steps,
            fold,
            skip: rng.one_in(2),
            partitions,
            sink_partitions: 1 + rng.below(3) as u32,
            workers: 1 + rng.below(3) as usize,
            flaky: !poison && rng.one_in(2),
            swaps: rng.one_in(2),
            faults: limits.faults && !rng.one_in(4),
        }
    }

    /// Whether a repartition topic stands before the fold.
    pub fn rekeyed(&self) -> bool {
        self.fold.is_some() && self.steps.iter().any(|s| matches!(s, Step::Map | Step::SelectKey))
    }

    pub fn spec(&self) -> Spec {
        let from = |name: &str| vec![From { name: name.into(), output: None }];
        let on_error = if self.skip { OnError::Skip } else { OnError::DeadLetter("dead".into()) };
        let mut last = "in".to_string();
        let mut steps = Vec::new();
        let folds = self.fold.clone().map(Operator::Aggregate);
        for (i, operator) in self.steps.iter().enumerate().map(|(i, s)| operator(*s, i)).chain(folds).enumerate() {
            let late = matches!(operator, Operator::Aggregate(_)).then(|| "late".to_string());
            let name = format!("s{i}");
            let from = from(&last);
            last.clone_from(&name);
            let (idle, lateness) = (Idle::Never, Lateness::default());
            steps.push(StepSpec { name, from, operator, on_error: on_error.clone(), late, idle, lateness });
        }
        Spec {
            pipeline: "sim".into(),
            functions: (0..8).map(|i| FunctionSpec { name: format!("f{i}") }).collect(),
            sources: vec![SourceSpec { name: "in".into(), topics: vec!["in".into()], on_error: on_error.clone() }],
            sinks: vec![SinkSpec {
                name: "out".into(),
                from: from(&last),
                topic: "out".into(),
                key_format: KeyFormat::Kafka,
                window_headers: false,
                on_error,
            }],
            steps,
        }
    }
}

fn operator(step: Step, i: usize) -> Operator {
    let function = format!("f{i}");
    match step {
        Step::Filter => Operator::Filter { function, negate: false },
        Step::FilterNot => Operator::Filter { function, negate: true },
        Step::Peek => Operator::Peek { function },
        Step::Stamp => Operator::Map { function, form: MapForm::MapValues },
        Step::Map => Operator::Map { function, form: MapForm::Map },
        Step::FlatMapValues => Operator::Map { function, form: MapForm::FlatMapValues },
        Step::SelectKey => Operator::Map { function, form: MapForm::SelectKey },
    }
}

fn fold(rng: &mut Rng) -> Aggregate {
    let size_ms = 1 + rng.below(30) as i64;
    let advance_ms = if rng.one_in(2) { size_ms } else { 1 + rng.below(size_ms as u64) as i64 };
    let window = (!rng.one_in(4)).then(|| Window { size_ms, advance_ms, grace_ms: rng.below(3) as i64 * 7 });
    let emit = if window.is_some() && rng.one_in(2) { Emit::OnClose } else { Emit::OnUpdate };
    Aggregate {
        fold: match rng.below(2) {
            0 => Fold::Count(CountFormat::Text),
            _ => Fold::Reduce { function: "f7".into() },
        },
        window,
        emit,
        emit_every_update: emit == Emit::OnUpdate && rng.one_in(2),
        partitions: None,
    }
}

fn record(rng: &mut Rng, partition: u32, i: usize, spread: u64, poison: bool) -> Rec {
    let mut value = format!("{}.{partition}.{i}", rng.below(9)).into_bytes();
    match rng.below(12) {
        0 if poison => value.push(b'P'),
        1 if poison => value.push(b'R'),
        _ => {}
    }
    let time = (i as i64 * 2 + rng.below(spread) as i64 - spread as i64 / 2).max(if rng.one_in(20) { -1 } else { 0 });
    Rec {
        key: (!rng.one_in(10)).then(|| format!("k{}", rng.below(5)).into_bytes()),
        value: (!rng.one_in(10)).then_some(value),
        time,
    }
}
