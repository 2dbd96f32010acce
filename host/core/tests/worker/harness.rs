//! A worker to be led by the hand, over a pipeline of one step.

use std::sync::{Arc, Mutex};

use millstream_core::commit::Interval;
use millstream_core::formats::NoFormats;
use millstream_core::function::Prepared;
use millstream_core::globals::NoGlobals;
use millstream_core::operator::Active;
use millstream_core::record::Batch;
use millstream_core::state::changelog::change_writes;
use millstream_core::state::keyspace::{Durability, Keyspaces, Space, SpaceKind};
use millstream_core::state::memory::{Guard, Memory, Spaces};
use millstream_core::task::TaskId;
use millstream_core::topology::graph::{Topology, plan};
use millstream_core::topology::spec::*;
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker, task_prefix};

use super::functions::{NAMES, Native, STRIDE};

#[derive(Default)]
pub struct Locked(Mutex<Spaces>);

impl Guard for Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Spaces) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

/// A pipeline of one step.
pub fn topology_of(operator: Operator, partitions: u32) -> Arc<Topology> {
    let from = |name: &str| vec![From { name: name.into(), output: None }];
    let (idle, lateness, on_error) = (Idle::Never, Lateness::OwnTask, OnError::Skip);
    let spec = Spec {
        pipeline: "p".into(),
        functions: NAMES.iter().map(|(name, _)| FunctionSpec { name: name.to_string() }).collect(),
        sources: vec![SourceSpec {
            name: "in".into(),
            topics: vec!["in".into()],
            timestamp: None,
            on_error: OnError::Fail,
        }],
        steps: vec![StepSpec {
            name: "s".into(),
            from: from("in"),
            operator,
            on_error,
            late: None,
            idle,
            lateness,
            max_idle: None,
        }],
        sinks: vec![SinkSpec {
            name: "out".into(),
            from: from("s"),
            topic: "out".into(),
            key_format: KeyFormat::Kafka,
            window_headers: false,
            on_error: OnError::Fail,
            route: None,
        }],
        max_idle: MaxIdle::default(),
    };
    Arc::new(plan(&spec, &|_| Some(partitions)).unwrap())
}

/// A worker with a database in memory.
pub struct Host {
    pub worker: Worker,
    pub db: Memory<Locked>,
    pub spaces: Vec<Vec<Space>>,
    pub now: i64,
}

impl Host {
    pub fn of(topology: Arc<Topology>, epoch: u64, settings: Settings) -> Self {
        let active = |f: usize| Active { prepared: Prepared(epoch as u32 * STRIDE + f as u32), epoch, number: epoch };
        let active = (0..NAMES.len()).map(active).collect();
        let db = Memory(Locked::default());
        let space = |store: &str| db.open_space(store, SpaceKind::State).unwrap();
        let spaces = topology.subs.iter().map(|sub| sub.stores.iter().map(|store| space(&store.name)).collect());
        let spaces = spaces.collect();
        let worker = Worker::new(topology, settings, active, 1);
        Self { worker, db, spaces, now: 1_000_000 }
    }

    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut grounds = Grounds {
            functions: &mut Native,
            formats: &NoFormats,
            globals: &NoGlobals,
            db: &self.db,
            spaces: &self.spaces,
        };
        self.worker.step(self.now, input, &mut grounds)
    }

    pub fn open(&mut self, partition: u32, meta: Option<Vec<u8>>) -> Vec<Effect> {
        self.step(Input::Open { task: TaskId { sub: 0, partition }, meta, start: vec![0] })
    }

    /// Writes the changes of an interval to the database.
    #[allow(dead_code)] // not every test reads what was written
    pub fn write(&self, interval: &Interval) {
        for part in &interval.parts {
            for (space, changes) in self.spaces[part.task.sub].iter().zip(&part.changes) {
                let writes = change_writes(*space, &task_prefix(part.task), changes).collect();
                self.db.apply(writes, Durability::Process).unwrap();
            }
        }
    }

    pub fn fetched(&mut self, partition: u32, base_offset: i64, batch: Batch) {
        let (task, end) = (TaskId { sub: 0, partition }, base_offset + batch.len() as i64);
        assert!(self.step(Input::Fetched { task, input: 0, base_offset, batch, end }).is_empty());
    }
}

/// The one commit among effects.
pub fn commit(effects: &[Effect]) -> Arc<Interval> {
    match effects {
        [Effect::Commit(interval)] => interval.clone(),
        other => panic!("one commit was expected, not {other:?}"),
    }
}
