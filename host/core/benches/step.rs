//! What the engine itself costs for each record, without I/O and without WebAssembly: from poll to the changes of the commit,
//! by operator, and how it grows with batch size, keys and windows. `./x bench core` adds the real functions.
//!
//! Each figure is the best of several runs: the machine's other work only ever adds to it. `--runs=N` makes N of them; words
//! behind choose cases by what their names contain.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::formats::NoFormats;
use millstream_core::function::{
    Answer, Context, Fault, Folded, Functions, Groups, Hosted, Interface, Joined, Kept, Output, Prepared, Records,
    Routed, Scanned, Stop, TimerClock,
};
use millstream_core::globals::NoGlobals;
use millstream_core::operator::Active;
use millstream_core::record::{Batch, BatchBuilder, BytesColumn};
use millstream_core::state::keyspace::{Keyspaces, Space, SpaceKind};
use millstream_core::state::memory::{Guard, Memory, Spaces};
use millstream_core::task::TaskId;
use millstream_core::topology::graph::{Topology, plan};
use millstream_core::topology::spec::*;
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker};

#[derive(Default)]
struct Locked(Mutex<Spaces>);

impl Guard for Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Spaces) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

/// Functions by number: keep all, keep half, a new value of 8 bytes, a new key, a sum of lengths.
struct Native;

const NAMES: [&str; 6] = ["all", "half", "short", "key", "sum", "last"];

/// The records of a run, and the most of one event-time millisecond.
const RECORDS: usize = 1 << 17;

/// Event time at which records begin: far from 0, before which there are no windows.
const BEGIN_MS: i64 = 1_000_000_000;

/// Runs of which the best counts.
const RUNS: usize = 30;

/// Records between two commits: a tenth of a second at a million a second.
const COMMIT_RECORDS: usize = 100_000;

impl Functions for Native {
    fn wants_stream_times(&self, _: Prepared) -> bool {
        false
    }
    fn exports(&self, _: Prepared, _: Interface) -> bool {
        true
    }
    fn layout(&self, _: Prepared) -> u32 {
        0
    }
    fn renew(&mut self, _: Prepared) {}
    fn stretch(&mut self, _: Prepared, _: u32) {}
    fn stretched(&self, _: Prepared) -> u32 {
        1
    }
    fn keep(&mut self, f: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Kept> {
        let bits = if f.0 == 0 { 0xff } else { 0b0110_1001 };
        Ok(Kept { bits: vec![bits; records.keys.len().div_ceil(8)], rejected: vec![] })
    }
    fn apply(&mut self, f: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Output> {
        let len = records.keys.len();
        let taken = len as u32;
        if f.0 == 3 {
            return Ok(Output { taken, keys: Some(records.keys.clone()), ..Output::default() });
        }
        let offsets = (0..=len as u32).map(|i| i * 8).collect();
        let values = BytesColumn::from_parts(offsets, vec![b'8'; len * 8], vec![]).expect("a column");
        Ok(Output { taken, values: Some(values), ..Output::default() })
    }
    fn route(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>) -> Answer<Routed> {
        unreachable!("nothing is routed here")
    }
    fn add(&mut self, _: Prepared, _: Context<'_>, into: Groups<'_>, records: Records<'_>) -> Answer<Folded> {
        let mut states = BytesColumn::with_capacity(into.keys.len(), into.keys.len() * 8);
        for g in 0..into.keys.len() {
            let before = into.states.get(g).and_then(|s| s.try_into().ok()).map_or(0, i64::from_be_bytes);
            let members = &into.members[into.offsets[g] as usize..into.offsets[g + 1] as usize];
            let len = |m: &u32| records.values.get(*m as usize).map_or(0, <[u8]>::len) as i64;
            states.push(Some(&(before + members.iter().map(len).sum::<i64>()).to_be_bytes()));
        }
        Ok(Folded { states, rejected: vec![] })
    }
    fn finish(&mut self, _: Prepared, of: Groups<'_>) -> Answer<BytesColumn> {
        Ok(of.states.clone())
    }
    fn remove(&mut self, _: Prepared, _: Context<'_>, from: Groups<'_>, _: Records<'_>) -> Answer<Folded> {
        Ok(Folded { states: from.states.clone(), rejected: vec![] })
    }
    fn scan(&mut self, _: Prepared, _: Context<'_>, into: Groups<'_>, _: Records<'_>) -> Answer<Scanned> {
        Ok(Scanned { states: into.states.clone(), ..Scanned::default() })
    }
    fn merge(&mut self, _: Prepared, _: &BytesColumn, left: &BytesColumn, _: &BytesColumn) -> Answer<BytesColumn> {
        Ok(left.clone())
    }
    fn join(&mut self, _: Prepared, _: &BytesColumn, _: &BytesColumn, _: &BytesColumn) -> Answer<Joined> {
        Err(Fault::Unavailable { message: "no join is measured".into() })
    }
    fn migrate(
        &mut self,
        _: Prepared,
        _: &str,
        _: u32,
        _: u32,
        _: &BytesColumn,
        s: &BytesColumn,
    ) -> Answer<BytesColumn> {
        Ok(s.clone())
    }
    /// Reads the last value of each key and writes this one.
    fn process(&mut self, _: Prepared, _: Context<'_>, records: Records<'_>, host: &mut dyn Hosted) -> Answer<Output> {
        let stopped = |stop: Stop| Fault::Trap { message: stop.to_string() };
        let before = host.get(0, records.keys).map_err(stopped)?;
        host.put(0, records.keys, records.values).map_err(stopped)?;
        Ok(Output { taken: records.keys.len() as u32, values: Some(before), ..Output::default() })
    }
    fn fire(&mut self, _: Prepared, _: TimerClock, due: Records<'_>, _: &mut dyn Hosted) -> Answer<Output> {
        Ok(Output { taken: due.keys.len() as u32, values: Some(due.values.clone()), ..Output::default() })
    }
}

fn topology(operators: &[Operator], sink: bool, partitions: u32) -> Arc<Topology> {
    let mut last = "in".to_string();
    let mut steps = Vec::new();
    for (number, operator) in operators.iter().enumerate() {
        let from = vec![From { name: last.clone(), output: None }];
        last = format!("step{number}");
        let (idle, lateness, on_error) = (Idle::default(), Lateness::default(), OnError::Fail);
        steps.push(StepSpec {
            name: last.clone(),
            from,
            operator: operator.clone(),
            on_error,
            late: None,
            idle,
            lateness,
            max_idle: None,
        });
    }
    let sinks = sink.then(|| SinkSpec {
        name: "out".into(),
        from: vec![From { name: last, output: None }],
        topic: "out".into(),
        key_format: KeyFormat::Kafka,
        window_headers: false,
        on_error: OnError::Fail,
        route: None,
    });
    let spec = Spec {
        pipeline: "bench".into(),
        functions: NAMES.iter().map(|name| FunctionSpec { name: name.to_string() }).collect(),
        sources: vec![SourceSpec {
            name: "in".into(),
            topics: vec!["in".into()],
            timestamp: None,
            on_error: OnError::Fail,
        }],
        sinks: sinks.into_iter().collect(),
        steps,
        ..Spec::default()
    };
    Arc::new(plan(&spec, &|topic| Some(if topic == "out" { partitions } else { 1 })).expect("the plan of a bench"))
}

/// 16-byte keys, 100-byte values, so many records an event-time millisecond.
fn batches(batch: usize, keys: usize, a_ms: usize) -> Vec<Batch> {
    let value = [b'v'; 100];
    let mut seed = 1u64;
    (0..RECORDS / batch)
        .map(|b| {
            let mut out = BatchBuilder::default();
            for i in 0..batch {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = format!("key-{:012}", (seed >> 33) as usize % keys);
                out.push(Some(key.as_bytes()), Some(&value), BEGIN_MS + ((b * batch + i) / a_ms) as i64, []);
            }
            out.finish()
        })
        .collect()
}

/// Feeds one task; gives nanoseconds a record, and, to `keep`, what it committed.
fn run(topology: &Arc<Topology>, sub: usize, batches: &[Batch], keep: bool) -> (f64, Vec<Arc<Interval>>) {
    let db = Memory(Locked::default());
    let open = |name: &str| db.open_space(name, SpaceKind::State).expect("memory");
    let spaces: Vec<Vec<Space>> =
        topology.subs.iter().map(|s| s.stores.iter().map(|s| open(&s.name)).collect()).collect();
    let active = (0..NAMES.len()).map(|f| Active { prepared: Prepared(f as u32), epoch: 1, number: 1 }).collect();
    let settings = Settings { interval_bytes_max: 1 << 30, ..Settings::default() };
    let mut worker = Worker::new(topology.clone(), settings, active, 1);
    let mut native = Native;
    let task = TaskId { sub, partition: 0 };
    let mut grounds =
        Grounds { functions: &mut native, formats: &NoFormats, globals: &NoGlobals, db: &db, spaces: &spaces };
    worker.step(0, Input::Open { task, meta: None, start: vec![0] }, &mut grounds);
    let (mut offset, mut since, mut committed) = (0, 0, Vec::new());
    let started = Instant::now();
    for (at, batch) in batches.iter().enumerate() {
        let len = batch.len();
        let input =
            Input::Fetched { task, input: 0, base_offset: offset, batch: batch.clone(), end: offset + len as i64 };
        worker.step(0, input, &mut grounds);
        let mut effects = worker.step(0, Input::Tick, &mut grounds);
        (offset, since) = (offset + len as i64, since + len);
        if since >= COMMIT_RECORDS || at + 1 == batches.len() {
            since = 0;
            effects.extend(worker.step(0, Input::Drain, &mut grounds));
        }
        for effect in effects {
            if let Effect::Commit(interval) = effect {
                let outcome = CommitOutcome::Committed;
                worker.step(0, Input::Outcome { interval: interval.id, outcome }, &mut grounds);
                if keep {
                    committed.push(interval);
                }
            }
        }
    }
    let took = started.elapsed().as_nanos() as f64 / offset as f64;
    assert_eq!(worker.tasks().map(|t| t.positions()[0]).sum::<i64>(), offset, "everything was taken");
    (took, committed)
}

fn best(topology: &Arc<Topology>, sub: usize, batches: &[Batch]) -> f64 {
    let asked = std::env::args().find_map(|a| a.strip_prefix("--runs=")?.parse().ok());
    (0..asked.unwrap_or(RUNS)).map(|_| run(topology, sub, batches, false).0).fold(f64::MAX, f64::min)
}

fn window(size_ms: i64, advance_ms: i64) -> Option<Window> {
    Some(Window { form: WindowForm::Hopping { size_ms, advance_ms }, grace_ms: 0 })
}

fn fold(fold: Fold, window: Option<Window>, emit: Emit) -> Operator {
    Operator::Aggregate(Aggregate { fold, window, emit, emit_every_update: false, partitions: None })
}

fn process() -> Operator {
    let stores = vec![StoreSpec { name: "s".into(), ttl_ms: None }];
    Operator::Process(Process { function: "last".into(), stores, outputs: Vec::new(), partitions: None })
}

fn count(window: Option<Window>) -> Operator {
    let emit = if window.is_some() { Emit::OnClose } else { Emit::OnUpdate };
    fold(Fold::Count(CountFormat::Long), window, emit)
}

/// Measures a case, unless the command line asks for others.
fn print(what: &str, topology: &Arc<Topology>, sub: usize, batches: impl Fn() -> Vec<Batch>) {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if asked.is_empty() || asked.iter().any(|a| what.contains(a)) {
        println!("{what:64} {:8.1} ns/record", best(topology, sub, &batches()));
    }
}

fn operators() {
    println!("By operator, 1,024 records a batch, 10,000 keys, 10 records an event-time millisecond:");
    let input = || batches(1024, 10_000, 10);
    let filter = |function: &str| Operator::Filter { function: function.into(), negate: false };
    let map = |function: &str, form| Operator::Map { function: function.into(), form };
    let sum = || Fold::Aggregate { function: "sum".into() };
    let cases: Vec<(&str, Vec<Operator>, bool, u32)> = vec![
        ("source alone", vec![], false, 1),
        ("source to sink, 1 partition", vec![], true, 1),
        ("source to sink, 4 partitions", vec![], true, 4),
        ("filter that keeps all", vec![filter("all")], false, 1),
        ("filter that keeps half", vec![filter("half")], false, 1),
        ("filter that keeps half, to sink", vec![filter("half")], true, 1),
        ("map to a short value", vec![map("short", MapForm::MapValues)], false, 1),
        ("map to a short value, to sink", vec![map("short", MapForm::MapValues)], true, 1),
        ("count, no window, on-update", vec![count(None)], true, 1),
        ("count, tumbling 10 s, on-close", vec![count(window(10_000, 10_000))], true, 1),
        (
            "sum by a function, tumbling 10 s, on-close",
            vec![fold(sum(), window(10_000, 10_000), Emit::OnClose)],
            true,
            1,
        ),
        ("process: an entry read and written", vec![process()], true, 1),
        (
            "new key, into a repartition topic",
            vec![map("key", MapForm::SelectKey), count(window(10_000, 10_000))],
            true,
            1,
        ),
    ];
    for (name, operators, sink, partitions) in cases {
        print(name, &topology(&operators, sink, partitions), 0, input);
    }
    let two = topology(&[map("key", MapForm::SelectKey), count(window(10_000, 10_000))], true, 1);
    let read = || {
        let written = run(&two, 0, &input(), true).1;
        let parts = written.iter().flat_map(|i| &i.parts).flat_map(|p| &p.outputs);
        let cut = |batch: &Batch, n: usize| batch.slice(n * 1024, batch.len().min((n + 1) * 1024));
        parts.flat_map(|o| (0..o.batch.len().div_ceil(1024)).map(|n| cut(&o.batch, n))).collect()
    };
    print("out of a repartition topic, count, tumbling 10 s, on-close", &two, 1, read);
}

fn growth() {
    println!("\nCount, tumbling 10 s, on-close, by batch size (10,000 keys, 10 records a millisecond):");
    let tumbling = topology(&[count(window(10_000, 10_000))], true, 1);
    for batch in [1, 16, 128, 1024, 2048] {
        print(&format!("  {batch} records"), &tumbling, 0, || batches(batch, 10_000, 10));
    }
    println!(
        "\nThe same by keys (1,024 records a batch), and, where each record is nearly a group of its own, 1 a millisecond:"
    );
    for (keys, a_ms) in [(100, 10), (10_000, 10), (100_000, 10), (10_000, 1), (100_000, 1)] {
        print(&format!("  {keys} keys, {a_ms} records a millisecond"), &tumbling, 0, || batches(1024, keys, a_ms));
    }
    println!("\nCount, hopping 60 s, on-close, by windows a record (100 keys, 1 record a millisecond):");
    let input = || batches(1024, 100, 1);
    for windows in [1, 2, 5, 60] {
        let hopping = topology(&[count(window(60_000, 60_000 / windows))], true, 1);
        print(&format!("  {windows} windows"), &hopping, 0, input);
    }
    println!(
        "\nCount, no window, on-update, by groups changed in an interval of {COMMIT_RECORDS} records: what commits cost:"
    );
    let updates = topology(&[count(None)], true, 1);
    for keys in [1, 1_000, 10_000, 100_000] {
        print(&format!("  {keys} keys"), &updates, 0, || batches(1024, keys, 10));
    }
}

fn main() {
    operators();
    growth();
}
