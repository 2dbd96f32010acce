//! The loop of a worker: fetch → step → perform effects → wait. Every wait of the data path is here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::error::Verdict;
use millstream_core::function::Functions;
use millstream_core::globals::Globals;
use millstream_core::operator::Active;
use millstream_core::record::Batch;
use millstream_core::state::keyspace::StorageError;
use millstream_core::task::TaskId;
use millstream_core::time::NEVER;
use millstream_core::topology::graph::Topology;
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker};
use millstream_local::ReadError;
use tracing::{error, info, warn};

use super::fleet::Fleet;
use super::formats::Shared;
use super::pause::{Duty, Part};
use super::status::{Outcome, Status, TaskState};
use super::storage::{CommitError, Storage};

/// Bytes that one fetch of one partition brings at the most.
pub const FETCH_BYTES_MAX: usize = 1 << 20;

/// Longest sleep of a worker that has nothing to do.
const IDLE_SLEEP: Duration = Duration::from_millis(20);

/// Longest sleep while results wait for their interval to end.
const BUSY_SLEEP: Duration = Duration::from_millis(2);

/// Pause before a task that failed in passing is opened again, and before a commit is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How far a repartition topic is read before what was read is dropped, in records.
const PURGE_RECORDS: i64 = 100_000;

/// What a worker can be told.
#[derive(Clone, Debug)]
pub enum Command {
    /// A version is in force: it takes over between two intervals, and tasks that have stopped are opened again.
    Activate {
        /// Number of the function.
        function: usize,
        /// The version.
        active: Active,
    },
    /// Commit what is done, and end.
    Stop,
}

/// Where a task that never ran begins, one offset for each input.
pub type Starts = Arc<dyn Fn(TaskId) -> anyhow::Result<Vec<i64>> + Send + Sync>;

/// A worker and what it works with.
pub struct Loop {
    topology: Arc<Topology>,
    storage: Arc<Storage>,
    status: Arc<Status>,
    functions: Box<dyn Functions + Send>,
    formats: Shared,
    globals: Arc<dyn Globals + Send + Sync>,
    worker: Worker,
    commands: Receiver<Command>,
    number: usize,
    tasks: Vec<TaskId>,
    /// Tasks to open again, and when.
    reopen: BTreeMap<TaskId, Instant>,
    stopped: Vec<TaskId>,
    /// Inputs whose fetch failed, and when to try again.
    paused: BTreeMap<(TaskId, usize), Instant>,
    /// A commit that the storage refused, and when to try it again.
    refused: Option<(Arc<Interval>, Instant)>,
    /// The storage cannot be written any more.
    poisoned: bool,
    purged: BTreeMap<(usize, u32), i64>,
    starts: Starts,
    pause: Part,
    fleet: Arc<Fleet>,
    /// Tasks that are closed until the host is resumed.
    resting: Vec<TaskId>,
}

/// What a worker is made from.
pub struct Parts {
    /// The plan.
    pub topology: Arc<Topology>,
    /// Where everything durable is.
    pub storage: Arc<Storage>,
    /// Where to tell how things stand.
    pub status: Arc<Status>,
    /// Its own instances.
    pub functions: Box<dyn Functions + Send>,
    /// What topics hold.
    pub formats: Shared,
    /// Global tables.
    pub globals: Arc<dyn Globals + Send + Sync>,
    /// Commands for it.
    pub commands: Receiver<Command>,
    /// Versions in force.
    pub active: Vec<Active>,
    /// Is told of those that fail.
    pub fleet: Arc<Fleet>,
    /// Which worker it is.
    pub number: usize,
    /// Its tasks.
    pub tasks: Vec<TaskId>,
    /// Settings of the core.
    pub settings: Settings,
    /// First interval number.
    pub first_interval: u64,
    /// Where a task that never ran begins, one offset for each input.
    pub starts: Starts,
    /// Whether to work.
    pub pause: Part,
}

/// Wall time, milliseconds since the epoch.
pub fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Loop {
    /// A worker, not yet running.
    pub fn new(parts: Parts) -> Self {
        let Parts { topology, storage, status, functions, formats, globals, commands, active, number, tasks, .. } =
            parts;
        let worker = Worker::new(topology.clone(), parts.settings, active, parts.first_interval);
        let reopen = tasks.iter().map(|t| (*t, Instant::now())).collect();
        Self {
            topology,
            storage,
            status,
            functions,
            formats,
            globals,
            worker,
            commands,
            number,
            tasks,
            reopen,
            stopped: Vec::new(),
            paused: BTreeMap::new(),
            refused: None,
            poisoned: false,
            purged: BTreeMap::new(),
            starts: parts.starts,
            pause: parts.pause,
            fleet: parts.fleet,
            resting: Vec::new(),
        }
    }

    /// Runs until told to stop, or until the storage cannot be written any more.
    pub fn run(mut self) {
        for task in &self.tasks {
            let number = self.number;
            self.status.task(*task, |t| t.worker = number);
        }
        while !self.poisoned {
            let generation = self.storage.log.generation();
            if self.obey() == Obeyed::Stop {
                self.step(Input::Drain);
                return;
            }
            if self.rests() {
                self.commit_again();
                self.storage.log.wait(generation, IDLE_SLEEP);
                continue;
            }
            self.open_due();
            self.commit_again();
            let fetched = self.fetch();
            self.step(Input::Tick);
            if !fetched {
                // Results wait for their interval; what is fetched meanwhile joins it.
                let pause = if self.worker.bytes() == 0 { IDLE_SLEEP } else { BUSY_SLEEP };
                self.storage.log.wait(generation, pause);
            }
        }
    }

    /// Takes the commands that have come.
    fn obey(&mut self) -> Obeyed {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Activate { function, active }) => {
                    self.step(Input::Activate { function, active });
                    let now = Instant::now();
                    self.reopen.extend(self.stopped.drain(..).map(|t| (t, now)));
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Obeyed::Stop,
                Err(TryRecvError::Empty) => return Obeyed::GoOn,
            }
        }
    }

    /// Does what pausing asks for; whether nothing else is to be done.
    fn rests(&mut self) -> bool {
        match self.pause.duty() {
            Duty::Work => return false,
            Duty::Resume => {
                let now = Instant::now();
                for task in std::mem::take(&mut self.resting) {
                    self.status.task(task, |t| t.state = TaskState::Starting);
                    self.reopen.insert(task, now);
                }
                return false;
            }
            Duty::Drain => self.step(Input::Drain),
            Duty::Wait | Duty::Rest => {}
        }
        if !self.worker.committing() && !self.worker.is_draining() {
            self.close_all();
        }
        true
    }

    /// Closes what is open and keeps closed what was to be opened.
    fn close_all(&mut self) {
        let open: Vec<TaskId> = self.worker.tasks().map(|task| task.id()).collect();
        open.iter().for_each(|task| self.step(Input::Close { task: *task }));
        let waiting = std::mem::take(&mut self.reopen).into_keys();
        for task in open.into_iter().chain(waiting) {
            self.status.task(task, |t| t.state = TaskState::Paused);
            self.resting.push(task);
        }
        if !self.pause.rests() {
            self.pause.drained();
        }
    }

    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut grounds = Grounds {
                functions: self.functions.as_mut(),
                formats: self.formats.as_ref(),
                globals: self.globals.as_ref(),
                db: self.storage.db.as_ref(),
                spaces: self.storage.spaces(),
            };
            for effect in self.worker.step(wall_ms(), input, &mut grounds) {
                inputs.extend(self.perform(effect));
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Commit(interval) => self.commit(interval),
            // The local database never leaves an outcome open: a write is there or it failed.
            Effect::Resolve(interval) => Some(Input::Resolved { interval: interval.id, there: false }),
            Effect::Committed(interval) => {
                self.status.committed(&interval, &self.topology);
                self.tell_of_tasks(&interval);
                self.purge(&interval);
                None
            }
            Effect::Stopped { task, verdict, blamed } => {
                let why = verdict.to_string();
                self.stopped(task, verdict);
                self.fleet.blame(&blamed, &why);
                None
            }
        }
    }

    fn commit(&mut self, interval: Arc<Interval>) -> Option<Input> {
        let started = Instant::now();
        match self.storage.commit(&self.topology, &interval) {
            Ok(()) => {
                let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.status.took(micros);
                Some(Input::Outcome { interval: interval.id, outcome: CommitOutcome::Committed })
            }
            Err(CommitError::Retry(why)) => {
                self.status.ended(Outcome::Aborted);
                warn!(worker = self.number, interval = interval.id, error = why, "commit refused, trying again");
                for part in &interval.parts {
                    self.status.task(part.task, |t| t.state = TaskState::Retrying(format!("commit refused: {why}")));
                }
                self.refused = Some((interval, started + RETRY_PAUSE));
                None
            }
            Err(CommitError::Fatal(why)) => {
                self.status.ended(Outcome::Fatal);
                error!(worker = self.number, interval = interval.id, error = why, "commit failed; the worker ends");
                for task in self.tasks.clone() {
                    self.stopped(task, Verdict::Corrupted(why.clone()));
                }
                self.poisoned = true;
                None
            }
        }
    }

    /// Tries a refused commit again when it is time.
    fn commit_again(&mut self) {
        if let Some((interval, _)) = self.refused.take_if(|(_, at)| *at <= Instant::now()) {
            let outcome = Input::Outcome { interval: interval.id, outcome: CommitOutcome::Aborted };
            self.step(outcome);
            if self.refused.is_none() && !self.poisoned {
                info!(worker = self.number, interval = interval.id, "committed after all");
                for part in &interval.parts {
                    self.status.task(part.task, |t| t.state = TaskState::Running);
                }
            }
        }
    }

    fn tell_of_tasks(&self, interval: &Interval) {
        for task in self.worker.tasks().filter(|t| interval.parts.iter().any(|p| p.task == t.id())) {
            let time = task.stream_time();
            self.status.task(task.id(), |status| {
                status.stream_time = (time != NEVER).then_some(time);
                status.state_bytes = task.state_bytes();
            });
        }
    }

    /// Positions are known before the first commit.
    fn tell_of_opened(&self, id: TaskId) {
        if let Some(task) = self.worker.tasks().find(|task| task.id() == id) {
            let topics = self.topology.subs[id.sub].inputs.iter().map(|input| input.topic);
            let positions = topics.zip(task.positions()).collect();
            self.status.task(id, |status| status.positions = positions);
        }
    }

    /// Drops what was read of repartition topics, a good piece at a time.
    fn purge(&mut self, interval: &Interval) {
        for part in &interval.parts {
            for (topic, position) in &part.positions {
                let info = &self.topology.topics[*topic];
                let purged = self.purged.entry((*topic, part.task.partition)).or_default();
                if info.internal && position - *purged >= PURGE_RECORDS {
                    *purged = *position;
                    let dropped = self.storage.log.truncate_before(&info.name, part.task.partition, *position);
                    if let Err(why) = dropped {
                        warn!(topic = info.name, error = %why, "purging failed, trying again later");
                    }
                }
            }
        }
    }

    fn stopped(&mut self, task: TaskId, verdict: Verdict) {
        let name = format!("{}_{}", task.sub, task.partition);
        match verdict {
            Verdict::Retry(why) => {
                warn!(task = name, error = why, "task will be opened again");
                self.status.task(task, |t| t.state = TaskState::Retrying(why));
                self.reopen.insert(task, Instant::now() + RETRY_PAUSE);
            }
            verdict => {
                error!(task = name, error = %verdict, "task has stopped");
                self.status.task(task, |t| t.state = TaskState::Stopped(verdict.to_string()));
                self.stopped.push(task);
            }
        }
    }

    fn open_due(&mut self) {
        let now = Instant::now();
        let due: Vec<TaskId> = self.reopen.iter().filter(|(_, at)| **at <= now).map(|(t, _)| *t).collect();
        for task in due {
            // Not while a commit of the task is under way: its metadata would be read too early.
            if self.worker.committing() {
                return;
            }
            self.reopen.remove(&task);
            let found = self.storage.meta(&self.topology, task);
            match found.and_then(|meta| Ok((meta, (self.starts)(task)?))) {
                Ok((meta, start)) => {
                    self.status.task(task, |t| t.state = TaskState::Running);
                    info!(task = format!("{}_{}", task.sub, task.partition), first = meta.is_none(), "opening");
                    self.step(Input::Open { task, meta, start });
                    self.tell_of_opened(task);
                }
                Err(why) => {
                    let why = format!("{why:#}");
                    self.status.task(task, |t| t.state = TaskState::Retrying(why));
                    self.reopen.insert(task, now + RETRY_PAUSE);
                }
            }
        }
    }

    /// Fetches what the tasks want; whether anything came.
    fn fetch(&mut self) -> bool {
        let (mut any, topology) = (false, self.topology.clone());
        for (task, input, offset) in self.worker.wants() {
            let info = &topology.topics[topology.subs[task.sub].inputs[input].topic];
            if task.partition >= info.partitions || self.is_paused(task, input) {
                continue;
            }
            match self.storage.log.read(&info.name, task.partition, offset, FETCH_BYTES_MAX) {
                Ok(fetched) => {
                    any |= !fetched.batch.is_empty();
                    let (batch, end) = (fetched.batch, fetched.log_end);
                    self.step(Input::Fetched { task, input, base_offset: fetched.base_offset, batch, end });
                }
                Err(why) => self.fetch_failed(task, input, offset, &why),
            }
        }
        any
    }

    fn is_paused(&mut self, task: TaskId, input: usize) -> bool {
        let now = Instant::now();
        self.paused.retain(|_, until| *until > now);
        self.paused.contains_key(&(task, input))
    }

    fn fetch_failed(&mut self, task: TaskId, input: usize, offset: i64, why: &ReadError) {
        let topic = self.topology.topics[self.topology.subs[task.sub].inputs[input].topic].name.clone();
        let partition = task.partition;
        match why {
            ReadError::OffsetOutOfRange { start, .. } if offset < *start => {
                // Retention took records that were not read: they are gone, and saying so is all that can be done.
                error!(topic, partition, from = offset, to = start, "records were deleted before they were read");
                self.status.lost(start - offset);
                let (base_offset, end) = (*start, *start);
                self.step(Input::Fetched { task, input, base_offset, batch: Batch::default(), end });
            }
            ReadError::OffsetOutOfRange { end, .. } => {
                let why = format!(
                    "topic {topic}, partition {partition}: the task stands at offset {offset}, and the topic ends at \
                     {end}: records that were processed are gone"
                );
                self.drop_task(task, Verdict::Corrupted(why));
            }
            ReadError::Storage(StorageError::Corrupted(why)) => {
                self.drop_task(task, Verdict::Corrupted(format!("topic {topic}, partition {partition}: {why}")));
            }
            other => {
                warn!(topic, partition, error = %other, "fetch failed, trying again");
                self.paused.insert((task, input), Instant::now() + RETRY_PAUSE);
            }
        }
    }

    /// Ends a task whose input cannot be read.
    fn drop_task(&mut self, task: TaskId, verdict: Verdict) {
        self.step(Input::Close { task });
        self.stopped(task, verdict);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obeyed {
    GoOn,
    Stop,
}
