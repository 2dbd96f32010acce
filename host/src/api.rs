//! The running host as its HTTP API sees it: the runtime's types become those of `millstream_web`, by hand, and errors become
//! problems. Nothing is decided here that the runtime could decide.

mod append;
mod fleet;
mod inside;
pub mod kafka;
pub mod log_topic;
mod producers;
mod stores;

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_core::meta::Meta;
use millstream_core::operator::migrate;
use millstream_core::state::keyspace::StorageError;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_local::{ReadError, TopicInfo};
use millstream_web::api::{Append, Deploy, Followed, Header, Question, Record, Sink, Totals};
use millstream_web::types::trials::Probation;
use millstream_web::types::{
    Appended, Deployed, Function, History, Partition, Pipeline, Position, Progress, Rows, Standing, Store, Sweep, Task,
    TaskState, Together, Topic,
};
use millstream_web::{Api, Kind, Problem};

use crate::runtime::Host;
use crate::runtime::globals;
use crate::runtime::lines::Lines;
use crate::runtime::pause::{self, Pause};
use crate::runtime::plan::{self, user_topics};
use crate::runtime::status::{self, TaskStatus};
use crate::runtime::worker::wall_ms;
use append::Appender;

/// Bytes that one look into a partition fetches.
const FETCH_BYTES: usize = 1 << 20;

/// How alike a name must be to be offered instead, from 0 to 1.
const ALIKE_MIN: f64 = 0.7;

/// A running host for the HTTP API.
pub struct HostApi {
    host: Arc<Host>,
    appender: Appender,
    /// Lines of its functions.
    lines: Arc<Lines>,
    started: Instant,
    started_at: i64,
}

/// A failure of the storage, as its receiver should see it.
fn storage(error: &StorageError) -> Problem {
    match error {
        StorageError::Unavailable(_) => Problem::new(Kind::StorageUnavailable, error.to_string()),
        StorageError::Corrupted(_) => Problem::new(Kind::Internal, error.to_string()),
    }
}

/// A failure that has no kind of its own.
fn failed(error: &anyhow::Error) -> Problem {
    match error.downcast_ref() {
        Some(error) => storage(error),
        None => Problem::new(Kind::Internal, format!("{error:#}")),
    }
}

/// That a name is not known, with the nearest one and all there are.
fn unknown(kind: Kind, what: &str, name: &str, known: &[String]) -> Problem {
    let alike = |other: &&String| strsim::jaro_winkler(name, other);
    let nearest = known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).filter(|n| alike(n) >= ALIKE_MIN);
    let meant = nearest.map_or(String::new(), |n| format!("; is `{n}` meant?"));
    let there =
        if known.is_empty() { "there are none".to_string() } else { format!("there are: {}", known.join(", ")) };
    Problem::new(kind, format!("there is no {what} `{name}`{meant} ({there})"))
}

impl HostApi {
    /// The API of a host that has just been started.
    pub fn new(host: Arc<Host>, lines: Arc<Lines>) -> Self {
        let appender = Appender::new(host.clone());
        Self { host, appender, lines, started: Instant::now(), started_at: wall_ms() }
    }

    /// How far a task is: as it told since the start, else as its last commit says, else where it will begin.
    fn positions(&self, id: TaskId, status: Option<&TaskStatus>) -> Result<Vec<Position>, Problem> {
        let (topology, log) = (&self.host.topology, &self.host.storage.log);
        let mut known: Vec<(String, i64)> = Vec::new();
        match status.filter(|s| !s.positions.is_empty()) {
            Some(status) => {
                known.extend(status.positions.iter().map(|(topic, at)| (topology.topics[*topic].name.clone(), *at)));
            }
            None => {
                let bytes = self.host.storage.meta(topology, id).map_err(|e| failed(&e))?;
                known.extend(bytes.and_then(|b| Meta::decode(&b)).map(|meta| meta.positions).unwrap_or_default());
            }
        }
        let inputs = topology.subs[id.sub].inputs.iter().map(|input| &topology.topics[input.topic]);
        let position = |name: &str| {
            let end = log.end_offset(name, id.partition).unwrap_or(0);
            let at = known.iter().find(|(topic, _)| topic == name).map(|(_, at)| *at);
            let offset = at.or_else(|| log.start_offset(name, id.partition)).unwrap_or(0);
            Position { topic: name.to_string(), offset, end }
        };
        Ok(inputs.filter(|topic| id.partition < topic.partitions).map(|topic| position(&topic.name)).collect())
    }

    fn task(&self, id: TaskId, status: Option<&TaskStatus>) -> Result<Task, Problem> {
        let positions = self.positions(id, status)?;
        Ok(task(id, positions, status.unwrap_or(&TaskStatus::default())))
    }

    fn told(&self, topic: TopicInfo) -> Topic {
        let log = &self.host.storage.log;
        let partition = |number| {
            // It may be deleted meanwhile.
            let info = log.partition(&topic.name, number);
            let (start, end, bytes) = info.map_or((0, 0, 0), |info| (info.start, info.end, info.bytes));
            Partition { partition: number, start, end, bytes }
        };
        Topic {
            internal: topic.config.internal,
            retention_ms: topic.config.retention_ms.map(i64::unsigned_abs),
            retention_bytes: topic.config.retention_bytes,
            partitions: (0..topic.partitions).map(partition).collect(),
            name: topic.name,
        }
    }
}

/// A task as the API tells it.
fn task(id: TaskId, positions: Vec<Position>, status: &TaskStatus) -> Task {
    let mut restored = None;
    let (state, reason) = match &status.state {
        status::TaskState::Starting => (TaskState::Starting, None),
        status::TaskState::Restoring { done, of } => {
            restored = Some(Progress { done: *done, of: *of });
            (TaskState::Restoring, None)
        }
        status::TaskState::Running => (TaskState::Running, None),
        status::TaskState::Paused => (TaskState::Paused, None),
        status::TaskState::Retrying(why) => (TaskState::Retrying, Some(why.clone())),
        status::TaskState::Stopped(why) => (TaskState::Stopped, Some(why.clone())),
    };
    Task {
        sub_topology: id.sub as u32,
        partition: id.partition,
        worker: status.worker as u32,
        state,
        reason,
        restored,
        positions,
        records: status.records,
        results: status.results,
        dead_letters: status.dead_letters,
        stream_time: status.stream_time,
        state_bytes: status.state_bytes as u64,
        sweeps: status.sweeps.iter().map(|(step, sweep)| swept(step, sweep)).collect(),
    }
}

fn swept(step: &str, sweep: &migrate::Progress) -> Sweep {
    let migrate::Progress { layout, looked, migrated, done, .. } = *sweep;
    Sweep { step: step.to_string(), layout, looked, migrated, done }
}

/// How a host stands.
fn standing(pause: &Pause) -> Standing {
    match pause.standing() {
        pause::Standing::Running => Standing::Running,
        pause::Standing::Pausing => Standing::Pausing,
        pause::Standing::Paused => Standing::Paused,
    }
}

/// A pipeline as the API tells it.
fn running(pipeline: &plan::Pipeline, topology: &Topology, pause: &Pause, mode: &str, started_at: i64) -> Pipeline {
    Pipeline {
        name: pipeline.spec.pipeline.clone(),
        state: standing(pause),
        host_version: env!("CARGO_PKG_VERSION").to_string(),
        mode: mode.to_string(),
        started_at,
        commit_interval_ms: pipeline.commit_interval_ms,
        tasks: topology.subs.iter().map(|sub| sub.tasks).sum(),
        functions: topology.functions.clone(),
        topics: user_topics(&pipeline.spec),
    }
}

/// What is counted for a pipeline since `started`.
fn totals(status: &status::Status, started: Instant) -> Totals {
    let (commits, commit_micros) = status.commits();
    let dropped = status.dropped().into_iter();
    let (restored_records, restored_bytes) = status.replayed();
    Totals {
        uptime_seconds: started.elapsed().as_secs_f64(),
        commits,
        commit_seconds: commit_micros as f64 / 1e6,
        outcomes: status.outcomes(),
        rebalances: status.rebalances(),
        restored_records,
        restored_bytes,
        waiting_bytes: status.waiting_bytes(),
        memory_bytes: Vec::new(),
        ends_age_seconds: None,
        lost_records: status.lost_records(),
        dropped: dropped.map(|((step, reason), count)| (step, reason.to_string(), count)).collect(),
        followed: Vec::new(),
    }
}

/// How far global tables have been read. `ends`: where a partition begins and ends; `None`: not known now.
fn followed(
    rows: &globals::Rows,
    topology: &Topology,
    ends: impl Fn(&str, u32) -> Option<(i64, i64)>,
) -> Vec<Followed> {
    let mut out = Vec::new();
    for (table, global) in topology.globals.iter().enumerate() {
        for (number, topic) in global.topics.iter().map(|topic| &topology.topics[*topic]).enumerate() {
            for partition in 0..topic.partitions {
                let Some((start, end)) = ends(&topic.name, partition) else { continue };
                // Storage that does not answer is told by whoever looks rows up.
                let Ok(position) = rows.position(table, rows.current(table), number, partition) else { continue };
                let offset = position.map_or(start, |position| position.offset);
                out.push(Followed { table: global.name.clone(), topic: topic.name.clone(), partition, offset, end });
            }
        }
    }
    out
}

impl Api for HostApi {
    fn pipeline(&self) -> Pipeline {
        let host = &self.host;
        running(&host.pipeline, &host.topology, &host.pause, "local", self.started_at)
    }

    fn pause(&self) -> Result<Pipeline, Problem> {
        self.host.pause.ask(true).map_err(|e| failed(&e))?;
        Ok(self.pipeline())
    }

    fn resume(&self) -> Result<Pipeline, Problem> {
        self.host.pause.ask(false).map_err(|e| failed(&e))?;
        Ok(self.pipeline())
    }

    fn not_ready(&self) -> Vec<String> {
        let stopped = self.host.globals.failed().into_iter().chain(self.host.fleet.not_ready());
        stopped.chain(self.host.status.not_ready(&self.host.topology)).collect()
    }

    fn tasks(&self) -> Result<Vec<Task>, Problem> {
        let told = self.host.status.tasks();
        self.host.tasks().into_iter().map(|id| self.task(id, told.get(&id))).collect()
    }

    fn functions(&self) -> Result<Vec<Function>, Problem> {
        Ok(fleet::functions(&self.host.fleet, &self.host.registry, &self.host.status, &self.host.topology.functions))
    }

    fn history(&self, function: &str) -> Result<History, Problem> {
        fleet::history(&self.host.fleet, &self.host.topology.functions, function)
    }

    fn deploy(&self, deploys: &[Deploy<'_>]) -> Result<Together, Problem> {
        fleet::deploy(&self.host.fleet, &self.host.topology, deploys)
    }

    fn component(&self, function: &str, version: Option<u64>) -> Result<Vec<u8>, Problem> {
        fleet::component(&self.host.fleet, &self.host.topology.functions, function, version)
    }

    fn probation(&self, function: &str) -> Result<Probation, Problem> {
        fleet::probation(&self.host.fleet, &self.host.topology.functions, function)
    }

    fn promote(&self, function: &str) -> Result<Deployed, Problem> {
        fleet::promote(&self.host.fleet, &self.host.topology.functions, function)
    }

    fn abandon(&self, function: &str) -> Result<(), Problem> {
        fleet::abandon(&self.host.fleet, &self.host.topology.functions, function)
    }

    fn rollback(&self, function: &str, to: Option<u64>) -> Result<Deployed, Problem> {
        fleet::rollback(&self.host.fleet, &self.host.topology.functions, function, to)
    }

    fn stores(&self) -> Vec<Store> {
        stores::list(&self.host.topology)
    }

    fn rows(&self, question: &Question) -> Result<Rows, Problem> {
        stores::rows(&self.host.topology, self.host.as_ref(), question)
    }

    fn topics(&self) -> Result<Vec<Topic>, Problem> {
        Ok(self.host.storage.log.topics().into_iter().map(|topic| self.told(topic)).collect())
    }

    fn topic(&self, topic: &str) -> Result<Topic, Problem> {
        let log = &self.host.storage.log;
        log.topic(topic).map(|topic| self.told(topic)).ok_or_else(|| self.appender.unknown_topic(topic))
    }

    fn append(&self, append: Append<'_>) -> Result<Appended, Problem> {
        self.appender.append(&append)
    }

    fn read(&self, topic: &str, partition: u32, from: i64, sink: Sink<'_>) -> Result<i64, Problem> {
        let mut at = from;
        loop {
            let fetched =
                self.host.storage.log.read(topic, partition, at, FETCH_BYTES).map_err(|error| match error {
                    ReadError::Unknown(why) => Problem::new(Kind::UnknownPartition, why.to_string()),
                    ReadError::OffsetOutOfRange { start, end, .. } => {
                        let detail = format!("topic `{topic}` partition {partition}: {error}");
                        Problem::new(Kind::OffsetOutOfRange, detail).between(start, end)
                    }
                    ReadError::Storage(why) => storage(&why),
                })?;
            if fetched.batch.is_empty() {
                return Ok(at);
            }
            let batch = &fetched.batch;
            for row in 0..batch.len() {
                let headers: Vec<Header<'_>> = batch.headers.iter().flat_map(|h| h.of(row)).collect();
                let (key, value) = (batch.keys.get(row), batch.values.get(row));
                let record = Record { offset: at, key, value, timestamp: batch.timestamps[row], headers: &headers };
                at += 1;
                if !sink(record) {
                    return Ok(at);
                }
            }
        }
    }

    fn generation(&self) -> u64 {
        self.host.storage.log.generation()
    }

    fn wait(&self, generation: u64, longest: Duration) {
        self.host.storage.log.wait(generation, longest);
    }

    fn totals(&self) -> Totals {
        let log = &self.host.storage.log;
        let ends =
            |topic: &str, partition| Some((log.start_offset(topic, partition)?, log.end_offset(topic, partition)?));
        Totals {
            followed: followed(&self.host.globals, &self.host.topology, ends),
            ..totals(&self.host.status, self.started)
        }
    }
}

#[cfg(test)]
#[path = "api/tests.rs"]
mod tests;
