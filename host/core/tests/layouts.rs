//! How states are brought into another layout: in how large pieces, and how often a processor's call is made again for it. What becomes of
//! them is the transcripts' and the simulator's matter.

#[path = "flow/functions.rs"]
mod functions;
#[path = "worker/harness.rs"]
mod harness;

use functions::{NAMES, STRIDE, calls};
use harness::{Host, commit, topology_of};
use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::function::Prepared;
use millstream_core::operator::Active;
use millstream_core::operator::migrate::{MIGRATE_BYTES_MAX, MIGRATE_ROWS_MAX, SWEEP_BYTES_MAX, SWEEP_ROWS_MAX};
use millstream_core::operator::process::CALLS_AGAIN_MAX;
use millstream_core::record::BatchBuilder;
use millstream_core::topology::spec::*;
use millstream_core::worker::{Input, Settings};

/// A host with one task of one step, at work.
struct Step {
    host: Host,
    offset: i64,
}

impl Step {
    fn new(operator: Operator) -> Self {
        let mut host = Host::of(topology_of(operator, 1), 1, Settings::default());
        host.open(0, None);
        let mut step = Self { host, offset: 0 };
        step.commit();
        step
    }

    /// Commits what was done; gives it.
    fn commit(&mut self) -> std::sync::Arc<Interval> {
        let interval = commit(&self.host.step(Input::Drain));
        self.host.write(&interval);
        self.host.step(Input::Outcome { interval: interval.id, outcome: CommitOutcome::Committed });
        interval
    }

    /// Takes records in: key, value, time.
    fn take(&mut self, records: impl Iterator<Item = (String, String, i64)>) {
        let mut batch = BatchBuilder::default();
        records.for_each(|(key, value, time)| batch.push(Some(key.as_bytes()), Some(value.as_bytes()), time, []));
        let batch = batch.finish();
        let len = batch.len() as i64;
        self.host.fetched(0, self.offset, batch);
        self.offset += len;
        self.host.step(Input::Tick);
    }

    /// The function's second version comes into force, which has another layout.
    fn swap(&mut self, function: &str) {
        let function = NAMES.iter().position(|(name, _)| *name == function).unwrap();
        let active = Active { prepared: Prepared(2 * STRIDE + function as u32), epoch: 2, number: 2 };
        self.host.step(Input::Activate { function, active });
        calls();
    }
}

/// How many states each migration had that was asked for since.
fn migrated() -> Vec<usize> {
    calls().into_iter().filter(|(call, _)| *call == "migrate").map(|(_, len)| len).collect()
}

fn tally(window: Option<Window>) -> Operator {
    let (fold, emit) = (Fold::Aggregate { function: "tally".into() }, Emit::OnUpdate);
    let emit = if window.is_some() { Emit::OnClose } else { emit };
    Operator::Aggregate(Aggregate { fold, window, emit, emit_every_update: false, partitions: None })
}

fn laid_out() -> Operator {
    Operator::Process(Process {
        function: "laid-out".into(),
        stores: vec![StoreSpec { name: "kept".into(), ttl_ms: None }],
        outputs: Vec::new(),
        partitions: None,
    })
}

#[test]
fn a_migration_is_asked_for_in_pieces_of_so_many_rows() {
    let window = Window { form: WindowForm::Hopping { size_ms: 10, advance_ms: 10 }, grace_ms: 0 };
    let mut step = Step::new(tally(Some(window)));
    let keys = MIGRATE_ROWS_MAX + 5;
    for part in 0..5 {
        let of_part = (0..keys).filter(|n| n % 5 == part);
        step.take(of_part.map(|n| (format!("k{n}"), "1".into(), 1)));
    }
    step.commit();
    step.swap("tally");
    step.take([("k1".to_string(), "1".to_string(), 20)].into_iter());
    assert_eq!(migrated(), [MIGRATE_ROWS_MAX, 5], "with the end of their window");
    let closed = step.commit().parts[0].outputs.iter().map(|out| out.batch.len()).sum::<usize>();
    assert_eq!(closed, keys);
}

#[test]
fn a_migration_is_asked_for_in_pieces_of_so_many_bytes() {
    let mut step = Step::new(laid_out());
    let quarter = "v".repeat(MIGRATE_BYTES_MAX / 4);
    step.take((0..9).map(|n| ("a".into(), format!("put:kept:k{n}:{quarter}"), n)));
    step.commit();
    step.swap("laid-out");
    step.take([("b".to_string(), "list:kept".to_string(), 20)].into_iter());
    assert_eq!(migrated(), [4, 4, 1]);
}

#[test]
fn a_sweep_looks_at_so_many_rows_and_writes_so_many_bytes_in_an_interval() {
    let mut step = Step::new(tally(None));
    for part in 0..3 {
        let of_part = (0..SWEEP_ROWS_MAX + 1).filter(|n| n % 3 == part);
        step.take(of_part.map(|n| (format!("k{n}"), "1".into(), 1)));
    }
    step.commit();
    step.swap("tally");
    let done = |step: &mut Step| step.commit().parts[0].sweeps[0].1.done;
    assert!(!done(&mut step));
    assert_eq!(migrated(), [SWEEP_ROWS_MAX]);
    while !done(&mut step) {}
    assert_eq!(migrated(), [1], "and what was turned is not turned again");
    let mut step = Step::new(laid_out());
    let half = "v".repeat(SWEEP_BYTES_MAX / 2);
    step.take((0..3).map(|n| ("a".into(), format!("put:kept:k{n}:{half}"), n)));
    step.commit();
    step.swap("laid-out");
    step.commit();
    assert_eq!(migrated(), [2]);
}

#[test]
fn a_processor_that_asks_under_the_keys_of_its_records_is_asked_twice() {
    let mut step = Step::new(laid_out());
    let count = |time: i64| (0..100).map(move |n| (format!("k{n}"), "count:kept".to_string(), time));
    step.take(count(1));
    step.commit();
    step.swap("laid-out");
    step.take(count(2));
    assert_eq!(calls(), [("process", 100), ("migrate", 100), ("process", 100)]);
    let out = step.commit();
    assert!((0..100).all(|i| out.parts[0].outputs[0].batch.values.get(i) == Some(b"2")));
}

#[test]
fn one_that_asks_elsewhere_is_given_half_after_so_many_calls() {
    let mut step = Step::new(laid_out());
    step.take((0..64).map(|n| ("a".into(), format!("put:kept:k{n}:{n}"), 1)));
    step.commit();
    step.swap("laid-out");
    // Each asks for the entry of another key, and each entry ends the call.
    step.take((0..64).map(|n| ("a".into(), format!("get:kept:k{n}"), 2)));
    let asked: Vec<usize> = calls().into_iter().filter(|(call, _)| *call == "process").map(|(_, len)| len).collect();
    let most = CALLS_AGAIN_MAX as usize;
    assert!(
        asked[..most].iter().all(|len| *len == 64) && asked[most..2 * most].iter().all(|len| *len == 32),
        "{asked:?}"
    );
    let out = step.commit();
    let values = &out.parts[0].outputs[0].batch.values;
    assert!((0..64).all(|i| values.get(i) == Some(i.to_string().as_bytes())), "each is there, in its order");
}
