//! The trial against functions that are made up.

mod processed_tests;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use millstream_core::function::{
    Context, Folded as CoreFolded, Groups, Hosted, Interface, Records, Scanned, TimerClock,
};
use millstream_core::poll::Polled;
use millstream_core::record::Batch;
use millstream_core::task::TaskId;
use millstream_wasm::{Compiler, Config, Registry};

use super::super::taken::Reads;
use super::super::{Findings, Parts, QUEUE_BYTES_MAX, SHARE_MIN};
use super::*;

const OLD: Prepared = Prepared(0);
const NEW: Prepared = Prepared(1);

/// Counts; the new version starts to count at a hundred with each state it begins, takes three records at a time, and traps on `trap`.
#[derive(Default)]
struct Made {
    /// The next calls of the new version fail on instances that are not fresh.
    stale: bool,
    fresh: bool,
    /// What the new version does otherwise in processors.
    otherwise: processed_tests::Otherwise,
    /// The old version writes without looking in processors.
    blind: bool,
    /// Both write one layout.
    one_layout: bool,
}

impl Made {
    fn call(&mut self, function: Prepared, records: Records<'_>) -> Answer<()> {
        let is_poison = (0..records.values.len()).any(|i| records.values.get(i) == Some(b"trap"));
        let is_stale = self.stale && !std::mem::take(&mut self.fresh);
        if function == NEW && (is_poison || is_stale) {
            return Err(Fault::Trap { message: "unreachable".into() });
        }
        Ok(())
    }
}

fn number(state: Option<&[u8]>) -> u64 {
    state.map_or(0, |state| std::str::from_utf8(state).unwrap().parse().unwrap())
}

#[rustfmt::skip]
impl Functions for Made {
    fn wants_stream_times(&self, _: Prepared) -> bool { false }
    fn exports(&self, _: Prepared, _: Interface) -> bool { true }
    fn layout(&self, function: Prepared) -> u32 { if self.one_layout { 0 } else { function.0 } }
    fn renew(&mut self, _: Prepared) { self.fresh = true; }
    fn stretch(&mut self, _: Prepared, _: u32) {}
    fn stretched(&self, _: Prepared) -> u32 { 1 }

    fn keep(&mut self, function: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Kept> {
        self.call(function, records)?;
        let bits = vec![0xff; records.values.len().div_ceil(8)];
        Ok(Kept { bits, rejected: Vec::new() })
    }

    fn apply(&mut self, function: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Output> {
        self.call(function, records)?;
        let len = records.values.len() as u32;
        Ok(Output { taken: if function == NEW { len.min(3) } else { len }, ..Output::default() })
    }

    fn route(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>) -> Answer<Routed> { unreachable!() }

    fn add(&mut self, function: Prepared, _: Context<'_>, into: Groups<'_>, records: Records<'_>) -> Answer<CoreFolded> {
        self.call(function, records)?;
        let mut states = BytesColumn::default();
        for group in 0..into.keys.len() {
            let members = u64::from(into.offsets[group + 1] - into.offsets[group]);
            states.push(Some((number(into.states.get(group)) + members).to_string().as_bytes()));
        }
        Ok(CoreFolded { states, rejected: Vec::new() })
    }

    fn finish(&mut self, _: Prepared, of: Groups<'_>) -> Answer<BytesColumn> { Ok(of.states.clone()) }
    fn remove(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<CoreFolded> { unreachable!() }
    fn scan(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<Scanned> { unreachable!() }

    fn merge(&mut self, _: Prepared, keys: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Answer<BytesColumn> {
        let mut states = BytesColumn::default();
        (0..keys.len()).for_each(|i| states.push(Some((number(left.get(i)) + number(right.get(i))).to_string().as_bytes())));
        Ok(states)
    }

    fn migrate(&mut self, _: Prepared, _: &str, _: u32, _: u32, _: &BytesColumn, states: &BytesColumn) -> Answer<BytesColumn> {
        let mut migrated = BytesColumn::default();
        (0..states.len()).for_each(|i| migrated.push(Some((number(states.get(i)) + 100).to_string().as_bytes())));
        Ok(migrated)
    }

    fn join(&mut self, _: Prepared, _: &BytesColumn, _: &BytesColumn, _: &BytesColumn) -> Answer<Joined> { unreachable!() }

    fn process(&mut self, function: Prepared, _: Context<'_>, records: Records<'_>, host: &mut dyn Hosted) -> Answer<Output> {
        self.processed(function, records, host)
    }

    fn fire(&mut self, function: Prepared, _: TimerClock, due: Records<'_>, host: &mut dyn Hosted) -> Answer<Output> {
        self.fired(function, due, host)
    }
}

fn trial(parts: Parts, calls: Sender<(Call, usize)>) -> Trial {
    Trial {
        parts,
        began: Instant::now(),
        live: std::sync::OnceLock::new(),
        over: AtomicBool::new(false),
        share: AtomicU32::new(u32::MAX),
        queued: AtomicUsize::new(0),
        calls,
        gaps: AtomicU64::new(0),
        records: AtomicU64::new(0),
        nanoseconds: AtomicU64::new(0),
        findings: Mutex::new(Findings::default()),
    }
}

fn judge(functions: Made) -> Judge<Made> {
    let compiler = Compiler { program: std::env::current_exe().unwrap(), args: Vec::new() };
    let registry = Arc::new(Registry::new(Config::new(compiler, 1)).unwrap());
    let parts = Parts { function: "f".into(), host: "h".into(), digest: "d".into(), old: OLD, new: NEW, registry };
    let trial = trial(parts, channel().0);
    Judge::new(Arc::new(trial), Trials::new(vec![vec!["in".into()]]), functions)
}

fn column(items: &[&str]) -> BytesColumn {
    let mut column = BytesColumn::default();
    items.iter().for_each(|item| column.push(Some(item.as_bytes())));
    column
}

fn given(values: &[&str]) -> Given {
    let (values, times) = (column(values), vec![0; values.len()]);
    let polled = Polled {
        batch: Batch { timestamps: Arc::new(times.clone()), ..Batch::default() },
        base_offset: 70,
        ..Polled::default()
    };
    let reads = Reads::new(TaskId { sub: 0, partition: 4 }, &polled);
    Given::new(Context::default(), Records { keys: &values, values: &values, timestamps: &times }, Some(&reads))
}

fn found(judge: &Judge<Made>) -> Findings {
    lock(&judge.trial.findings).clone()
}

#[test]
fn the_record_that_a_version_fails_on_is_named() {
    let mut judge = judge(Made::default());
    let values: Vec<String> = (0..100).map(|i| if i == 37 { "trap".into() } else { format!("v{i}") }).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let kept = Kept { bits: vec![0xff; 13], rejected: Vec::new() };
    assert_eq!(judge.judge(Call::Keep(given(&values[..37]), kept.clone())), Ok(()));
    assert_eq!((found(&judge).compared, found(&judge).outputs, found(&judge).differing), (37, 37, 0));
    let why = judge.judge(Call::Keep(given(&values), kept)).unwrap_err();
    assert!(why.ends_with("on the record in:4:107 (key \"trap\")"), "{why}");
}

#[test]
fn one_that_needs_fresh_instances_does_not_come_through() {
    let mut judge = judge(Made { stale: true, ..Made::default() });
    let kept = || Kept { bits: vec![0xff], rejected: Vec::new() };
    for _ in 1..UNSTEADY_MAX {
        assert_eq!(judge.judge(Call::Keep(given(&["a"]), kept())), Ok(()));
    }
    let why = judge.judge(Call::Keep(given(&["a"]), kept())).unwrap_err();
    assert!(why.contains("3 calls in a row passed on a fresh instance only"), "{why}");
}

#[test]
fn one_may_take_fewer_records_at_a_time() {
    let mut judge = judge(Made::default());
    let given = given(&["a", "b", "c", "d", "e", "f", "g"]);
    let old = Output {
        taken: 7,
        sources: Some(vec![0, 1, 2, 3, 4, 4, 6]),
        rejected: vec![Rejection { index: 5, reason: "no".into() }],
        ..Output::default()
    };
    assert_eq!(judge.judge(Call::Apply(Box::new((given, old)))), Ok(()));
    let found = found(&judge);
    assert_eq!((found.outputs, found.differing), (7, 2), "{:?}", found.examples);
    let places: Vec<_> = found.examples.iter().map(|e| e.position.clone().unwrap()).collect();
    assert_eq!(places, ["in:4:74", "in:4:75"], "two results, and a refusal");
}

/// A fold of one record into each of these groups, whose states were so.
fn fold(keys: &[&str], states: &[Option<&str>]) -> Call {
    let mut before = BytesColumn::default();
    states.iter().for_each(|state| before.push(state.map(str::as_bytes)));
    let mut after = BytesColumn::default();
    states.iter().for_each(|s| after.push(Some((number(s.map(str::as_bytes)) + 1).to_string().as_bytes())));
    let count = keys.len() as u32;
    Call::Fold(Box::new(Fold {
        way: Way::Add,
        given: given(keys),
        groups: OwnGroups {
            keys: column(keys),
            starts: Vec::new(),
            ends: Vec::new(),
            states: before,
            offsets: (0..=count).collect(),
            members: (0..count).collect(),
        },
        states: after,
        values: None,
        rejected: Vec::new(),
    }))
}

#[test]
fn states_go_on_from_those_that_stand_for_them() {
    let mut judge = judge(Made::default());
    assert_eq!(judge.judge(fold(&["a", "b"], &[None, Some("5")])), Ok(()));
    let said = found(&judge);
    assert_eq!((said.outputs, said.differing, said.begun), (2, 1, 1), "what is new is counted alike");
    let example = &said.examples[0];
    assert_eq!((&example.old["value"], &example.new["value"]), (&"6".into(), &"106".into()));
    assert_eq!((&example.key, example.position.as_deref()), (&"b".into(), Some("in:4:71")));
    // b goes on from 106, and is not migrated again.
    assert_eq!(judge.judge(fold(&["b"], &[Some("6")])), Ok(()));
    assert_eq!((&found(&judge).examples[1].new["value"], found(&judge).begun), (&"107".into(), 1));
    let sides = Sides { keys: column(&["b"]), left: column(&["7"]), right: column(&["1"]) };
    assert_eq!(judge.judge(Call::Merge(sides, column(&["8"]))), Ok(()));
    assert_eq!(found(&judge).begun, 2, "the right one was not known");
    assert_eq!(judge.judge(fold(&["b"], &[Some("8")])), Ok(()));
    assert_eq!(found(&judge).examples[2].new["value"], "209", "107 and 101, and one more");
}

#[test]
fn what_there_is_no_room_for_is_left_out_and_fewer_keys_are_followed() {
    let judge = judge(Made::default());
    let trial = &judge.trial;
    assert!(trial.has_room(QUEUE_BYTES_MAX, true));
    assert!(!trial.has_room(QUEUE_BYTES_MAX + 1, false));
    assert_eq!(trial.share.load(std::sync::atomic::Ordering::Relaxed), u32::MAX, "a filter is followed by records");
    assert!((0..40).all(|_| !trial.has_room(QUEUE_BYTES_MAX + 1, true)));
    assert_eq!(trial.share.load(std::sync::atomic::Ordering::Relaxed), SHARE_MIN);
}
