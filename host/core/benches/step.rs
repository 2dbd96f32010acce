//! What the engine itself costs for each record, without I/O and without WebAssembly: a native filter, a native map, the
//! built-in count, alone. How it grows with batch size, keys and windows. `./x bench core` adds the real functions.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use millstream_core::commit::CommitOutcome;
use millstream_core::function::{
    Answer, Context, Folded, Functions, Groups, Interface, Kept, Output, Prepared, Records, Scanned,
};
use millstream_core::operator::Active;
use millstream_core::record::{Batch, BatchBuilder, BytesColumn};
use millstream_core::state::keyspace::{Keyspaces, Space, SpaceKind};
use millstream_core::state::memory::{Guard, Memory, Spaces};
use millstream_core::task::TaskId;
use millstream_core::topology::graph::{Topology, plan};
use millstream_core::topology::spec::{
    Aggregate, CountFormat, Emit, Fold, From, FunctionSpec, Idle, KeyFormat, Lateness, OnError, Operator, SinkSpec,
    SourceSpec, Spec, StepSpec, Window,
};
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker};

#[derive(Default)]
struct Locked(Mutex<Spaces>);

impl Guard for Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Spaces) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

/// Keeps everything, changes nothing.
struct Native;

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
    fn keep(&mut self, _: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Kept> {
        Ok(Kept { bits: vec![0xff; records.keys.len().div_ceil(8)], rejected: vec![] })
    }
    fn apply(&mut self, _: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Output> {
        let taken = records.keys.len() as u32;
        Ok(Output { taken, values: Some(records.values.clone()), ..Output::default() })
    }
    fn add(&mut self, _: Prepared, _: Context<'_>, into: Groups<'_>, _: Records<'_>) -> Answer<Folded> {
        Ok(Folded { states: into.states.clone(), rejected: vec![] })
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
}

fn topology(operator: Option<Operator>) -> Arc<Topology> {
    let from = |name: &str| vec![From { name: name.into(), output: None }];
    let steps = operator.into_iter().map(|operator| StepSpec {
        name: "step".into(),
        from: from("in"),
        operator,
        on_error: OnError::Fail,
        late: None,
        idle: Idle::default(),
        lateness: Lateness::default(),
    });
    let steps: Vec<StepSpec> = steps.collect();
    let last = if steps.is_empty() { "in" } else { "step" };
    let spec = Spec {
        pipeline: "bench".into(),
        functions: vec![FunctionSpec { name: "f".into() }],
        sources: vec![SourceSpec { name: "in".into(), topics: vec!["in".into()], on_error: OnError::Fail }],
        sinks: vec![SinkSpec {
            name: "out".into(),
            from: from(last),
            topic: "out".into(),
            key_format: KeyFormat::Kafka,
            window_headers: false,
            on_error: OnError::Fail,
        }],
        steps,
    };
    Arc::new(plan(&spec, &|_| Some(1)).expect("the plan of a bench"))
}

/// 16-byte keys, 100-byte values, one record a millisecond.
fn batches(records: usize, batch: usize, keys: usize) -> Vec<Batch> {
    let value = [b'v'; 100];
    let mut seed = 1u64;
    (0..records / batch)
        .map(|b| {
            let mut out = BatchBuilder::default();
            for i in 0..batch {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = format!("key-{:012}", (seed >> 33) as usize % keys);
                out.push(Some(key.as_bytes()), Some(&value), (b * batch + i) as i64, []);
            }
            out.finish()
        })
        .collect()
}

/// Nanoseconds a record.
fn run(topology: &Arc<Topology>, batches: &[Batch]) -> f64 {
    let db = Memory(Locked::default());
    let spaces: Vec<Vec<Space>> = topology
        .subs
        .iter()
        .map(|s| s.stores.iter().map(|s| db.open_space(&s.name, SpaceKind::State).expect("memory")).collect())
        .collect();
    let active = vec![Active { prepared: Prepared(0), epoch: 1 }];
    let mut worker = Worker::new(topology.clone(), Settings::default(), active, 1);
    let mut native = Native;
    let task = TaskId { sub: 0, partition: 0 };
    let mut grounds = Grounds { functions: &mut native, db: &db, spaces: &spaces };
    worker.step(0, Input::Open { task, meta: None, start: vec![0] }, &mut grounds);
    let (mut offset, mut records) = (0, 0);
    let started = Instant::now();
    for (now, batch) in batches.iter().enumerate() {
        let len = batch.len() as i64;
        let input = Input::Fetched { task, input: 0, base_offset: offset, batch: batch.clone(), end: offset + len };
        worker.step(now as i64, input, &mut grounds);
        offset += len;
        records += batch.len();
        for effect in worker.step(now as i64, Input::Tick, &mut grounds) {
            if let Effect::Commit(interval) = effect {
                let outcome = CommitOutcome::Committed;
                worker.step(now as i64, Input::Outcome { interval: interval.id, outcome }, &mut grounds);
            }
        }
    }
    started.elapsed().as_nanos() as f64 / records as f64
}

fn count(window: Option<Window>, emit: Emit) -> Option<Operator> {
    let fold = Fold::Count(CountFormat::Long);
    Some(Operator::Aggregate(Aggregate { fold, window, emit, emit_every_update: false, partitions: None }))
}

fn main() {
    let window = |size_ms, advance_ms| Some(Window { size_ms, advance_ms, grace_ms: 0 });
    let form = millstream_core::topology::spec::MapForm::Map;
    let cases: Vec<(&str, Option<Operator>)> = vec![
        ("source to sink", None),
        ("filter", Some(Operator::Filter { function: "f".into(), negate: false })),
        ("map", Some(Operator::Map { function: "f".into(), form })),
        ("count, no window, on-update", count(None, Emit::OnUpdate)),
        ("count, tumbling 10 s, on-close", count(window(10_000, 10_000), Emit::OnClose)),
        ("count, hopping 10 s by 2 s, on-close", count(window(10_000, 2_000), Emit::OnClose)),
    ];
    let records = 1 << 20;
    for keys in [100, 10_000, 100_000] {
        for batch in [16, 128, 1024] {
            let input = batches(records, batch, keys);
            for (name, operator) in &cases {
                let topology = topology(operator.clone());
                let best = (0..3).map(|_| run(&topology, &input)).fold(f64::MAX, f64::min);
                println!("{name:40} {keys:7} keys  {batch:5} a batch  {best:8.1} ns/record");
            }
        }
    }
}
