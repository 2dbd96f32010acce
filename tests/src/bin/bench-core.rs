//! The engine's own cost with real functions and without I/O: nanoseconds a record of a filter, a map and a windowed count,
//! and how each grows. `./x bench core [--short] [--json] [--enforce] [STEP…]`.
//!
//! Records are in the processor's caches when a step sees them, as they are when they were just decoded: a few batches go
//! round, each time with new timestamps. CPU time of the measuring thread, so that a busy machine changes little. A step's cost is that of the pipeline with it less
//! that of the same pipeline without: both fetch, commit and emit. The filter drops everything, so its whole pipeline counts.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use millstream::cli::generate::{Lines, Shape};
use millstream::runtime::functions::COMPILE_COMMAND;
use millstream::runtime::heap;
use millstream::runtime::memory::memory;
use millstream_core::commit::CommitOutcome;
use millstream_core::formats::NoFormats;
use millstream_core::function::Prepared;
use millstream_core::globals::NoGlobals;
use millstream_core::operator::Active;
use millstream_core::record::{Batch, BatchBuilder};
use millstream_core::state::keyspace::{Space, SpaceKind};
use millstream_core::task::TaskId;
use millstream_core::topology::graph::{Topology, plan};
use millstream_core::topology::spec::{
    Aggregate, CountFormat, Emit, Fold, From, FunctionSpec, Idle, KeyFormat, Lateness, MapForm, MaxIdle, OnError,
    Operator, SinkSpec, SourceSpec, Spec, StepSpec, Window, WindowForm,
};
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker};
use millstream_tests::host::{functions, program};
use millstream_wasm::{Compiler, Config, Limits, Registry, WORKER_STACK_BYTES, WorkerFunctions};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// Targets at 1,024 records a batch, nanoseconds a record.
const FILTER_NS_MAX: f64 = 10.0;
const MAP_NS_MAX: f64 = 40.0;
const COUNT_NS_MAX: f64 = 150.0;
/// Keys of the count's target.
const COUNT_KEYS: usize = 10_000;
/// Gaps of sessions: shorter than the time until a key comes again, and longer.
const SESSION_GAPS_MS: [i64; 2] = [1, 10_000];
/// A window of an hour that begins each second, and keys with a hundred records in each.
const HOUR_MS: i64 = 3_600_000;
const HOUR_KEYS: usize = 500;
/// All slices of an hour stay in memory: nothing is written to the database here.
const HOUR_STATE_BYTES: usize = 1 << 30;
const WARM_MS: i64 = 10_000;
/// The batch size of all targets.
const BATCH: usize = 1_024;
/// Bytes of batches that go round: they and what is made of them fit into a core's own cache.
const ROUND_BYTES: usize = 256 << 10;
/// Bytes of a record's key and value, about.
const RECORD_BYTES: usize = 96;
/// Records in a millisecond of event time: a window of ten seconds has fifty records of each of ten thousand keys.
const RECORDS_PER_MS: i64 = 50;
/// What a loaded machine adds, before `--enforce` calls it a failure.
const NOISE_FACTOR: f64 = 1.3;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Nothing,
    /// `keep-all`, negated.
    Filter,
    /// `stamp-v1`: writes every value anew.
    Map,
    /// `identity`: changes nothing.
    Pass,
    Count {
        size_ms: i64,
        advance_ms: i64,
    },
    Sessions {
        gap_ms: i64,
    },
    /// An hour by a second, in panes: the built-in count, or that of a function.
    Panes {
        function: bool,
    },
    /// The same function, tumbling.
    Function,
}

struct Row {
    step: Step,
    batch: usize,
    keys: usize,
    nanoseconds: f64,
}

/// A built-in count whose results come out when windows close.
fn count(form: WindowForm) -> Operator {
    fold(form, Fold::Count(CountFormat::Long))
}

fn fold(form: WindowForm, fold: Fold) -> Operator {
    Operator::Aggregate(Aggregate {
        fold,
        window: Some(Window { form, grace_ms: 0 }),
        emit: Emit::OnClose,
        emit_every_update: false,
        partitions: None,
    })
}

fn topology(step: Step) -> anyhow::Result<Arc<Topology>> {
    let from = |name: &str| vec![From { name: name.into(), output: None }];
    let hour = WindowForm::Panes { size_ms: HOUR_MS, advance_ms: 1_000 };
    let counted = Fold::Aggregate { function: "count".into() };
    let operator = match step {
        Step::Nothing => None,
        Step::Filter => Some(Operator::Filter { function: "filter".into(), negate: true }),
        Step::Map => Some(Operator::Map { function: "map".into(), form: MapForm::Map }),
        Step::Pass => Some(Operator::Map { function: "pass".into(), form: MapForm::Map }),
        Step::Count { size_ms, advance_ms } => Some(count(WindowForm::Hopping { size_ms, advance_ms })),
        Step::Sessions { gap_ms } => Some(count(WindowForm::Session { gap_ms })),
        Step::Panes { function: false } => Some(count(hour)),
        Step::Panes { function: true } => Some(fold(hour, counted)),
        Step::Function => Some(fold(WindowForm::Hopping { size_ms: HOUR_MS, advance_ms: HOUR_MS }, counted)),
    };
    let last = if operator.is_some() { "step" } else { "in" };
    let steps = operator.into_iter().map(|operator| StepSpec {
        max_idle: None,
        name: "step".into(),
        from: from("in"),
        operator,
        on_error: OnError::Fail,
        late: None,
        idle: Idle::default(),
        lateness: Lateness::default(),
    });
    let spec = Spec {
        max_idle: MaxIdle::default(),
        pipeline: "bench".into(),
        functions: ["filter", "map", "pass", "count"].map(|name| FunctionSpec { name: name.into() }).into(),
        sources: vec![SourceSpec {
            name: "in".into(),
            topics: vec!["in".into()],
            timestamp: None,
            on_error: OnError::Fail,
        }],
        steps: steps.collect(),
        sinks: vec![SinkSpec {
            route: None,
            name: "out".into(),
            from: from(last),
            topic: "out".into(),
            key_format: KeyFormat::Kafka,
            window_headers: false,
            on_error: OnError::Fail,
        }],
    };
    Ok(Arc::new(plan(&spec, &|_| Some(1))?))
}

/// Access-log lines with keys, [`RECORDS_PER_MS`] of them a millisecond; keys and values come round again.
fn batches(records: usize, batch: usize, keys: usize) -> Vec<Batch> {
    let shape = Shape { seed: 1, addresses: 1_000, per_second: 1_000, disorder_ms: 0 };
    let mut lines = Lines::new(shape).filter(|line| line.contains("IP:"));
    let mut seed = 1u64;
    let mut one = |_| {
        let mut out = BatchBuilder::default();
        for _ in 0..batch {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = format!("key-{:012}", (seed >> 33) as usize % keys);
            let line = lines.next().unwrap_or_default();
            out.push(Some(key.as_bytes()), Some(line.as_bytes()), 0, []);
        }
        out.finish()
    };
    let round: Vec<Batch> = (0..(ROUND_BYTES / RECORD_BYTES / batch).max(1)).map(&mut one).collect();
    let times = |b: usize| (0..batch).map(|i| (b * batch + i) as i64 / RECORDS_PER_MS).collect();
    (0..records / batch).map(|b| Batch { timestamps: Arc::new(times(b)), ..round[b % round.len()].clone() }).collect()
}

/// An hour and [`WARM_MS`] before the records, with one of each key a second: the first windows have closed.
fn hour_before(batch: usize) -> Vec<Batch> {
    let seconds = (HOUR_MS + WARM_MS) / 1_000;
    let all = (0..seconds).flat_map(|s| (0..HOUR_KEYS).map(move |key| (s * 1_000, key)));
    let all: Vec<(i64, usize)> = all.collect();
    let one = |records: &[(i64, usize)]| {
        let mut out = BatchBuilder::default();
        for (time, key) in records {
            out.push(Some(format!("key-{key:012}").as_bytes()), Some(b"1"), *time, []);
        }
        out.finish()
    };
    all.chunks(batch).map(one).collect()
}

fn later(batch: &Batch, by_ms: i64) -> Batch {
    Batch { timestamps: Arc::new(batch.timestamps.iter().map(|t| t + by_ms).collect()), ..batch.clone() }
}

/// CPU time of this thread, nanoseconds.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Nanoseconds a record of a whole pipeline.
fn run(
    step: Step,
    (before, batches): (&[Batch], &[Batch]),
    functions: &mut WorkerFunctions,
    active: &[Active],
) -> anyhow::Result<f64> {
    let (topology, db) = (topology(step)?, memory());
    let stores = topology.subs.iter().map(|sub| {
        let spaces = sub.stores.iter().map(|store| db.open_space(&store.name, SpaceKind::State));
        spaces.collect::<Result<Vec<Space>, _>>()
    });
    let spaces = stores.collect::<Result<Vec<_>, _>>()?;
    let mut settings = Settings::default();
    if !before.is_empty() {
        settings.store_cache_bytes_max = HOUR_STATE_BYTES;
    }
    let mut worker = Worker::new(topology, settings, active.to_vec(), 1);
    let task = TaskId { sub: 0, partition: 0 };
    let mut grounds = Grounds { functions, formats: &NoFormats, globals: &NoGlobals, db: db.as_ref(), spaces: &spaces };
    worker.step(0, Input::Open { task, meta: None, start: vec![0] }, &mut grounds);
    let (mut offset, mut started, mut from) = (0, cpu_ns(), 0);
    for (now, batch) in before.iter().chain(batches).enumerate() {
        if now == before.len() {
            (started, from) = (cpu_ns(), offset);
        }
        let end = offset + batch.len() as i64;
        let input = Input::Fetched { task, input: 0, base_offset: offset, batch: batch.clone(), end };
        worker.step(now as i64, input, &mut grounds);
        offset = end;
        for effect in worker.step(now as i64, Input::Tick, &mut grounds) {
            match effect {
                Effect::Commit(interval) => {
                    let (interval, outcome) = (interval.id, CommitOutcome::Committed);
                    worker.step(now as i64, Input::Outcome { interval, outcome }, &mut grounds);
                }
                Effect::Stopped { verdict, .. } => bail!("{verdict}"),
                Effect::Committed(_) | Effect::Resolve(_) => {}
            }
        }
    }
    Ok((cpu_ns() - started) / (offset - from) as f64)
}

fn prepared(registry: &Registry, file: &str) -> anyhow::Result<Prepared> {
    let path: PathBuf = functions().join(file);
    let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(registry.prepare(&bytes, None, &[], &Limits::default(), &[])?)
}

/// All rows: at the targets' sizes first, then how each step grows.
fn measure(records: usize, runs: usize, only: &[String]) -> anyhow::Result<Vec<Row>> {
    let compiler = Compiler { program: program(), args: vec![COMPILE_COMMAND.into()] };
    let registry = Arc::new(Registry::new(Config::new(compiler, 1))?);
    let active =
        ["keep-all.wasm", "stamp-v1.wasm", "identity.wasm", "count.wasm"].map(|file| prepared(&registry, file));
    let active: Vec<Active> = active
        .into_iter()
        .map(|prepared| prepared.map(|prepared| Active { prepared, epoch: 1, number: 1 }))
        .collect::<anyhow::Result<_>>()?;
    let tumbling = |size_ms| Step::Count { size_ms, advance_ms: size_ms };
    let mut cases = Vec::new();
    for (batch, keys) in [(BATCH, COUNT_KEYS), (16, COUNT_KEYS), (128, COUNT_KEYS), (2_048, COUNT_KEYS)] {
        cases.extend(
            [Step::Nothing, Step::Filter, Step::Map, Step::Pass, tumbling(10_000)].map(|step| (step, batch, keys)),
        );
    }
    for keys in [100, 1_000, 100_000] {
        cases.extend([Step::Nothing, tumbling(10_000)].map(|step| (step, BATCH, keys)));
    }
    for advance_ms in [5_000, 2_000, 1_000] {
        cases.push((Step::Count { size_ms: 10_000, advance_ms }, BATCH, COUNT_KEYS));
    }
    // Every record a session of its own, and sessions of many records.
    for gap_ms in SESSION_GAPS_MS {
        cases.push((Step::Sessions { gap_ms }, BATCH, COUNT_KEYS));
    }
    // A window of an hour with a hundred records a second of each key, and one that begins each second.
    for step in [
        Step::Nothing,
        tumbling(HOUR_MS),
        Step::Panes { function: false },
        Step::Function,
        Step::Panes { function: true },
    ] {
        cases.push((step, BATCH, HOUR_KEYS));
    }
    let mut functions = WorkerFunctions::new(registry);
    let mut rows = Vec::new();
    let chosen = |step: Step| only.is_empty() || step == Step::Nothing || only.iter().any(|o| name(step).contains(o));
    for (step, batch, keys) in cases.into_iter().filter(|case| chosen(case.0)) {
        let mut input = batches(records, batch, keys);
        let before = if keys == HOUR_KEYS { hour_before(batch) } else { Vec::new() };
        if !before.is_empty() {
            input.iter_mut().for_each(|batch| *batch = later(batch, HOUR_MS + WARM_MS));
        }
        let runs = if before.is_empty() { runs } else { runs.div_ceil(5) };
        let mut best = f64::MAX;
        for _ in 0..runs {
            best = best.min(run(step, (&before, &input), &mut functions, &active)?);
        }
        rows.push(Row { step, batch, keys, nanoseconds: best });
    }
    Ok(rows)
}

/// A row's cost above that of the same pipeline without the step.
fn own(rows: &[Row], row: &Row) -> f64 {
    let same = |other: &&Row| other.step == Step::Nothing && other.batch == row.batch && other.keys == row.keys;
    row.nanoseconds - rows.iter().find(same).map_or(0.0, |nothing| nothing.nanoseconds)
}

fn target(rows: &[Row], row: &Row) -> Option<(f64, f64)> {
    if row.batch != BATCH || row.keys != COUNT_KEYS {
        return None;
    }
    match row.step {
        Step::Filter => Some((row.nanoseconds, FILTER_NS_MAX)),
        Step::Map => Some((own(rows, row), MAP_NS_MAX)),
        // All of it: from what was fetched to what is committed.
        Step::Count { size_ms, advance_ms } if size_ms == advance_ms => Some((row.nanoseconds, COUNT_NS_MAX)),
        _ => None,
    }
}

fn name(step: Step) -> String {
    match step {
        Step::Nothing => "source to sink".into(),
        Step::Filter => "filter (keep-all, negated)".into(),
        Step::Map => "map (stamp-v1)".into(),
        Step::Pass => "map (identity)".into(),
        Step::Count { size_ms, advance_ms } if size_ms == advance_ms => {
            format!("count, tumbling {} s", size_ms / 1_000)
        }
        Step::Panes { function } => {
            format!("{}, hopping 1 h by 1 s, in panes", if function { "function" } else { "count" })
        }
        Step::Function => "function, tumbling 1 h".into(),
        Step::Sessions { gap_ms } => format!("count, sessions with a gap of {gap_ms} ms"),
        Step::Count { size_ms, advance_ms } => {
            format!("count, hopping {} s by {} s", size_ms / 1_000, advance_ms / 1_000)
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    heap::keep();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (options, only): (Vec<String>, Vec<String>) = args.iter().cloned().partition(|a| a.starts_with('-'));
    if let Some(unknown) = options.iter().find(|a| !["--short", "--json", "--enforce"].contains(&a.as_str())) {
        bail!(
            "unknown option {unknown}; there are --short --json --enforce, and words that choose steps by their names"
        );
    }
    let has = |name: &str| args.iter().any(|a| a == name);
    let (records, runs) = if has("--short") { (1 << 18, 5) } else { (1 << 20, 20) };
    // Functions run on threads with room for their stack.
    let thread =
        std::thread::Builder::new().stack_size(WORKER_STACK_BYTES).spawn(move || measure(records, runs, &only))?;
    let rows = thread.join().map_err(|_| anyhow::anyhow!("the measuring thread panicked"))??;
    let mut missed = 0;
    for row in &rows {
        let target = target(&rows, row);
        let too_slow = target.is_some_and(|(got, most)| got > most * NOISE_FACTOR);
        missed += usize::from(too_slow);
        if has("--json") {
            let (step, own) = (name(row.step), own(&rows, row));
            println!(
                "{}",
                json!({ "step": step, "batch": row.batch, "keys": row.keys, "ns": row.nanoseconds, "own_ns": own,
                                    "target_ns": target.map(|t| t.1) })
            );
        } else {
            let told = target.map_or(String::new(), |(got, most)| format!("   {got:.1} against at most {most:.0}"));
            println!(
                "{:28} {:6} keys {:5} a batch {:8.1} ns, the step {:8.1} ns{told}",
                name(row.step),
                row.keys,
                row.batch,
                row.nanoseconds,
                own(&rows, row)
            );
        }
    }
    Ok(if has("--enforce") && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
