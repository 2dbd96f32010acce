//! A pipeline without threads or clock: everything in memory, time driven by the records. For `millstream test`.
//!
//! Each record is taken through the whole pipeline and committed before the next one comes, as Kafka Streams'
//! TopologyTestDriver does, so every update of an `on-update` step is seen. The wall clock is the largest timestamp so far.

use std::sync::Arc;

use anyhow::{Context, bail};
use millstream_core::commit::CommitOutcome;
use millstream_core::function::Functions;
use millstream_core::operator::Active;
use millstream_core::partition::partition_for_key;
use millstream_core::record::{Batch, BatchBuilder, Header, Timestamp};
use millstream_core::state::keyspace::Durability;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::{NodeOperator, Topology};
use millstream_core::topology::spec::{Idle, MaxIdle};
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker};
use millstream_local::{Append, Log};
use millstream_wasm::{Registry, WorkerFunctions};

use super::fleet::Wanted;
use super::formats::{self, Shared};
use super::globals::{self, Rows};
use super::memory::memory;
use super::plan::{self, Pipeline};
use super::storage::{CommitError, Storage};
use super::worker::FETCH_BYTES_MAX;

/// Rounds of time passing at the end, in which idle tasks say so one behind the other.
const IDLE_ROUNDS_MAX: usize = 64;

/// Milliseconds beyond the longest `idle` that a round of time passing takes.
const ROUND_MARGIN_MS: i64 = 1_000;

/// A record to feed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fed<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition; `None`: by its key, the first without one.
    pub partition: Option<u32>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its timestamp.
    pub timestamp: Timestamp,
}

/// See the module.
pub struct Driver {
    /// The plan.
    pub topology: Arc<Topology>,
    /// Topics with what was fed and what came out.
    pub log: Arc<Log>,
    storage: Storage,
    worker: Worker,
    functions: Box<dyn Functions>,
    formats: Shared,
    globals: Arc<Rows>,
    /// Others read them.
    globals_are_kept: bool,
    given: Vec<Given>,
    now: Timestamp,
}

/// What a pipeline is set up with.
pub struct Setting {
    /// Its functions.
    pub functions: Box<dyn Functions>,
    /// The version of each that runs.
    pub active: Vec<Active>,
    /// What topics hold.
    pub formats: Shared,
    /// Global tables that others keep; `None`: they are read from the topics here.
    pub globals: Option<Arc<Rows>>,
    /// Where the records begin that it will be given.
    pub given: Vec<Given>,
}

/// Where records are from that are not in the topics here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Their topic.
    pub topic: String,
    /// Their partition.
    pub partition: u32,
    /// Offset of the first.
    pub offset: i64,
}

/// Takes a result: its topic, a batch with its row there, its partition and offset.
pub type EachResult<'a> = &'a mut dyn FnMut(&str, &Batch, usize, (u32, i64));

impl Given {
    fn is_in(&self, topic: &str, partition: u32) -> bool {
        self.topic == topic && self.partition == partition
    }
}

/// The manifest's functions, each in its first version.
fn first_versions(pipeline: &Pipeline, registry: &Registry) -> anyhow::Result<Vec<Active>> {
    let one = |wanted: Wanted| {
        let prepared = wanted.prepare(registry, &wanted.component()?, &wanted.plan.settings)?;
        Ok(Active { prepared, epoch: 1, number: 1 })
    };
    Wanted::all(pipeline).into_iter().map(one).collect()
}

impl Driver {
    /// A pipeline with empty topics and state.
    ///
    /// # Errors
    /// What is wrong with topics or functions, in words for the user.
    pub fn new(pipeline: &Pipeline, registry: &Arc<Registry>) -> anyhow::Result<Self> {
        let setting = Setting {
            functions: Box::new(WorkerFunctions::new(registry.clone())),
            active: first_versions(pipeline, registry)?,
            formats: formats::open(&pipeline.formats)?,
            globals: None,
            given: Vec::new(),
        };
        Self::with(pipeline, setting)
    }

    /// As [`Driver::new`], with functions and tables of somebody else's.
    ///
    /// # Errors
    /// As [`Driver::new`].
    pub fn with(pipeline: &Pipeline, setting: Setting) -> anyhow::Result<Self> {
        let Setting { functions, active, formats, globals, given } = setting;
        let db = memory();
        let log = Arc::new(Log::open(db.clone())?);
        let topology = plan::prepare(pipeline, &log)?;
        let globals_are_kept = globals.is_some();
        let globals = match globals {
            Some(globals) => globals,
            None => Arc::new(Rows::open(db.clone(), &topology, &pipeline.spec, formats.clone())?),
        };
        let storage = Storage::open(db, log.clone(), &topology, Durability::Process)?;
        let settings = Settings { commit_interval_ms: 0, ..Settings::default() };
        let worker = Worker::new(topology.clone(), settings, active, 1);
        let mut driver =
            Self { topology, log, storage, worker, functions, formats, globals, globals_are_kept, given, now: 0 };
        for (sub, plan) in driver.topology.clone().subs.iter().enumerate() {
            for partition in 0..plan.tasks {
                let start = plan.inputs.iter().map(|input| driver.start(input.topic, partition)).collect();
                driver.step(Input::Open { task: TaskId { sub, partition }, meta: None, start })?;
            }
        }
        driver.settle()?;
        Ok(driver)
    }

    /// Its functions.
    pub fn functions(&mut self) -> &mut dyn Functions {
        self.functions.as_mut()
    }

    /// Gives its functions back.
    pub fn into_functions(self) -> Box<dyn Functions> {
        self.functions
    }

    /// Where a task begins to read a topic.
    fn start(&self, topic: usize, partition: u32) -> i64 {
        let is_here = |given: &&Given| given.is_in(&self.topology.topics[topic].name, partition);
        self.given.iter().find(is_here).map_or(0, |given| given.offset)
    }

    /// Takes records of a place that was named at the start, and everything they cause, to their end. They come in order, without gaps
    /// among those of one call.
    ///
    /// # Errors
    /// A task that stopped, with the reason.
    pub fn give(&mut self, given: &Given, records: Batch) -> anyhow::Result<()> {
        self.now = self.now.max(records.timestamps.iter().copied().max().unwrap_or(0));
        let end = given.offset + records.len() as i64;
        for (sub, plan) in self.topology.clone().subs.iter().enumerate() {
            for (input, read) in plan.inputs.iter().enumerate() {
                if self.topology.topics[read.topic].name == given.topic {
                    let task = TaskId { sub, partition: given.partition };
                    let (base_offset, batch) = (given.offset, records.clone());
                    self.step(Input::Fetched { task, input, base_offset, batch, end })?;
                }
            }
        }
        self.settle()
    }

    /// All results, by topic, partition, offset.
    ///
    /// # Errors
    /// When a topic cannot be read.
    pub fn results(&self, each: EachResult<'_>) -> anyhow::Result<()> {
        for topic in self.outputs() {
            for partition in 0..self.log.topic(topic).map_or(0, |t| t.partitions) {
                let mut offset = 0;
                loop {
                    let fetched = self.log.read(topic, partition, offset, FETCH_BYTES_MAX)?;
                    if fetched.batch.is_empty() {
                        break;
                    }
                    (0..fetched.batch.len())
                        .for_each(|row| each(topic, &fetched.batch, row, (partition, offset + row as i64)));
                    offset += fetched.batch.len() as i64;
                }
            }
        }
        Ok(())
    }

    /// Feeds a record and takes everything it causes to its end.
    ///
    /// # Errors
    /// An unknown topic or partition; a task that stopped, with the reason.
    pub fn feed<'a>(&mut self, record: Fed<'_>, headers: impl IntoIterator<Item = Header<'a>>) -> anyhow::Result<()> {
        let info = self.log.topic(record.topic).with_context(|| {
            let sources = self.sources().join(", ");
            format!("the pipeline reads no topic `{}`; it reads: {sources}", record.topic)
        })?;
        let by_key = || record.key.map_or(0, |key| partition_for_key(key, info.partitions));
        let partition = record.partition.unwrap_or_else(by_key);
        if partition >= info.partitions {
            bail!("topic `{}` has {} partitions, there is no partition {partition}", info.name, info.partitions);
        }
        let mut batch = BatchBuilder::default();
        batch.push(record.key, record.value, record.timestamp, headers);
        let append = Append { topic: info.name, partition, batch: batch.finish() };
        self.log.append(vec![append], Vec::new(), Durability::Process)?;
        self.now = self.now.max(record.timestamp);
        self.settle()
    }

    /// Lets time pass until every idle task has said that it is idle, as it would in a running pipeline without further
    /// input; with `flush` every window that is still open is closed.
    ///
    /// # Errors
    /// A task that stopped, with the reason.
    pub fn finish(&mut self, flush: bool) -> anyhow::Result<()> {
        let waits = self.topology.subs.iter().filter_map(|sub| match sub.max_idle {
            MaxIdle::After(ms) if ms > 0 && sub.inputs.len() > 1 => Some(ms),
            _ => None,
        });
        let idle = self.topology.subs.iter().flat_map(|s| &s.nodes).filter_map(|node| match node.operator {
            NodeOperator::Repartition { idle: Idle::After(ms), .. } => Some(ms),
            _ => None,
        });
        if let Some(longest) = idle.chain(waits).max() {
            for _ in 0..IDLE_ROUNDS_MAX {
                let before = self.log.generation();
                self.now = self.now.saturating_add(longest).saturating_add(ROUND_MARGIN_MS);
                self.settle()?;
                if self.log.generation() == before {
                    break;
                }
            }
        }
        if flush {
            // A window closed upstream of another is a record for it: as often as there are sub-topologies.
            for _ in 0..self.topology.subs.len() {
                self.step(Input::Flush)?;
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Topics of the user's that the pipeline reads.
    pub fn sources(&self) -> Vec<&str> {
        let inputs = self.topology.subs.iter().flat_map(|s| &s.inputs).map(|i| i.topic);
        let globals = self.topology.globals.iter().flat_map(|table| table.topics.iter().copied());
        let read = inputs.chain(globals).map(|topic| &self.topology.topics[topic]);
        read.filter(|t| !t.internal).map(|t| t.name.as_str()).collect()
    }

    /// Topics of the user's that the pipeline writes, in the order of the plan: sinks', late topics, dead letters.
    pub fn outputs(&self) -> Vec<&str> {
        let sources = self.sources();
        let topics = self.topology.topics.iter().filter(|t| !t.internal);
        topics.map(|t| t.name.as_str()).filter(|t| !sources.contains(t)).collect()
    }

    /// Takes everything that is there through the pipeline, until nothing moves.
    fn settle(&mut self) -> anyhow::Result<()> {
        if !self.globals_are_kept {
            globals::local::catch_up(&self.globals, &self.log)?;
        }
        loop {
            let before = self.log.generation();
            let fetched = self.fetch()?;
            self.step(Input::Tick)?;
            if !fetched && self.worker.bytes() == 0 && self.log.generation() == before {
                return Ok(());
            }
        }
    }

    fn fetch(&mut self) -> anyhow::Result<bool> {
        let mut any = false;
        for (task, input, offset) in self.worker.wants() {
            let topic = &self.topology.topics[self.topology.subs[task.sub].inputs[input].topic];
            let is_given = self.given.iter().any(|given| given.is_in(&topic.name, task.partition));
            if task.partition < topic.partitions && !is_given {
                let fetched = self.log.read(&topic.name, task.partition, offset, FETCH_BYTES_MAX)?;
                any |= !fetched.batch.is_empty();
                let (base_offset, batch, end) = (fetched.base_offset, fetched.batch, fetched.log_end);
                self.step(Input::Fetched { task, input, base_offset, batch, end })?;
            }
        }
        Ok(any)
    }

    fn step(&mut self, input: Input) -> anyhow::Result<()> {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let db = self.storage.db.as_ref();
            let (formats, spaces) = (self.formats.as_ref(), self.storage.spaces());
            let mut grounds =
                Grounds { functions: self.functions.as_mut(), formats, globals: self.globals.as_ref(), db, spaces };
            for effect in self.worker.step(self.now, input, &mut grounds) {
                match effect {
                    Effect::Commit(interval) => match self.storage.commit(&self.topology, &interval) {
                        Ok(()) => {
                            let (interval, outcome) = (interval.id, CommitOutcome::Committed);
                            inputs.push(Input::Outcome { interval, outcome });
                        }
                        Err(CommitError::Retry(why) | CommitError::Fatal(why)) => bail!(why),
                    },
                    Effect::Stopped { task, verdict, .. } => {
                        bail!("task {}_{} stopped: {verdict}", task.sub, task.partition)
                    }
                    Effect::Committed(_) | Effect::Resolve(_) => {}
                }
            }
        }
        Ok(())
    }
}
