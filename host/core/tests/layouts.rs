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
use millstream_core::task::TaskId;
use millstream_core::topology::spec::*;
use millstream_core::worker::{Effect, Input, Settings};

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
        self.committed(&interval);
        interval
    }

    fn committed(&mut self, interval: &Interval) {
        self.host.write(interval);
        self.host.step(Input::Outcome { interval: interval.id, outcome: CommitOutcome::Committed });
    }

    /// Commits until the sweep is done; gives the last interval.
    fn swept(&mut self) -> std::sync::Arc<Interval> {
        loop {
            let interval = self.commit();
            if interval.parts[0].sweeps[0].1.done {
                return interval;
            }
        }
    }

    /// The task is opened anew: nothing of its stores is in memory.
    fn reopen(&mut self, interval: &Interval) {
        self.host.step(Input::Close { task: TaskId { sub: 0, partition: 0 } });
        self.host.open(0, Some(interval.parts[0].meta.clone()));
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
        // The interval that is open ends with the version before.
        for effect in self.host.step(Input::Activate { function, active }) {
            if let Effect::Commit(interval) = effect {
                self.committed(&interval);
            }
        }
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
        stores: ["kept", "other"].map(|name| StoreSpec { name: name.into(), ttl_ms: None }).to_vec(),
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

/// A record that is refused has touched its group all the same.
#[test]
fn what_is_turned_and_not_changed_leaves_nothing() {
    let session = Window { form: WindowForm::Session { gap_ms: 10 }, grace_ms: 0 };
    for window in [None, Some(session)] {
        let mut operator = tally(window);
        if let Operator::Aggregate(aggregate) = &mut operator {
            aggregate.emit = Emit::OnUpdate;
        }
        let mut step = Step::new(operator);
        let record = |value: &str, time| [("a".to_string(), value.to_string(), time)].into_iter();
        step.take(record("5", 1));
        assert_eq!(step.commit().parts[0].outputs.len(), 1);
        step.swap("tally");
        step.take(record("?", 4));
        assert_eq!(migrated(), [1]);
        let interval = step.commit();
        let part = &interval.parts[0];
        assert_eq!((part.outputs.len(), part.changes[0].len()), (0, 1), "{part:?}");
        step.take(record("2", 5));
        let counted = step.commit();
        let values = &counted.parts[0].outputs[0].batch.values;
        assert!((0..values.len()).any(|i| values.get(i) == Some(b"7")), "it is counted on: {values:?}");
    }
}

#[test]
fn what_nobody_touches_is_found_in_the_database() {
    let window = |form| Some(Window { form, grace_ms: 100 });
    let folds = [
        tally(None),
        tally(window(WindowForm::Hopping { size_ms: 1_000, advance_ms: 1_000 })),
        tally(window(WindowForm::Session { gap_ms: 10 })),
        tally(window(WindowForm::Sliding { difference_ms: 10 })),
    ];
    let count = |value: &'static str| (0..20).map(move |n| (format!("k{n}"), value.to_string(), 5));
    for (operator, value) in folds.into_iter().map(|fold| (fold, "1")).chain([(laid_out(), "count:kept;put:other:x:1")])
    {
        let function = if value == "1" { "tally" } else { "laid-out" };
        let mut step = Step::new(operator);
        step.take(count(value));
        let interval = step.commit();
        step.reopen(&interval);
        step.swap(function);
        let interval = step.swept();
        assert_eq!(migrated(), if value == "1" { vec![20] } else { vec![20, 1] }, "of each store");
        // And they are written: nothing is left for another sweep.
        step.reopen(&interval);
        step.swept();
        assert_eq!(migrated(), [0; 0]);
    }
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

/// As below, of timers: none is lost on the way.
#[test]
fn timers_whose_function_asks_elsewhere_are_given_half_after_so_many_calls() {
    let mut step = Step::new(laid_out());
    step.take((0..64).map(|n| ("a".into(), format!("put:kept:k{n}:{n};set:get:kept:k{n}@{}", 100 + n), 1)));
    step.commit();
    step.swap("laid-out");
    step.take([("b".to_string(), "nothing".to_string(), 500)].into_iter());
    assert_eq!(migrated(), [1; 64]);
    let out = step.commit();
    let values = &out.parts[0].outputs[0].batch.values;
    let all: Vec<&[u8]> = (0..values.len()).filter_map(|i| values.get(i)).collect();
    let expected = (0..64).flat_map(|n| [format!("get:kept:k{n}@{}", 100 + n), n.to_string()]);
    assert!(all.iter().map(|value| String::from_utf8_lossy(value).into_owned()).eq(expected), "{values:?}");
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
