//! What the workers tell the rest of the host: one table, read by the API, written once an interval.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use millstream_core::commit::Interval;
use millstream_core::emit::Reason;
use millstream_core::meta::Meta;
use millstream_core::operator::migrate::Progress;
use millstream_core::task::{TaskId, TaskPart, functions_of_step};
use millstream_core::topology::graph::Topology;

/// How a task stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TaskState {
    /// Not opened yet.
    #[default]
    Starting,
    /// Its state is brought up to date from its changelogs.
    Restoring {
        /// Offsets done.
        done: u64,
        /// Of so many.
        of: u64,
    },
    /// At work.
    Running,
    /// Closed until the host is resumed.
    Paused,
    /// Opened again after a passing failure; the text says which.
    Retrying(String),
    /// Stopped until somebody acts; the text says why.
    Stopped(String),
}

/// A task as others see it.
#[derive(Clone, Debug, Default)]
pub struct TaskStatus {
    /// Which worker has it.
    pub worker: usize,
    /// How it stands.
    pub state: TaskState,
    /// Committed positions, by number of the topic.
    pub positions: Vec<(usize, i64)>,
    /// Records taken and committed since the host started.
    pub records: u64,
    /// Records written and committed since the host started.
    pub results: u64,
    /// Dead letters since the host started.
    pub dead_letters: u64,
    /// Stream time; `None` before any record.
    pub stream_time: Option<i64>,
    /// Bytes of state in memory.
    pub state_bytes: usize,
    /// Sweeps over states in another layout, by step.
    pub sweeps: Vec<(String, Progress)>,
}

/// How a try to commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Committed,
    /// It is not, and is tried again.
    Aborted,
    /// It is not, and its tasks are others'.
    Fenced,
    /// It is looked up.
    Unknown,
    /// It never will be there.
    Fatal,
}

impl Outcome {
    const NAMES: [&str; 5] = ["committed", "aborted", "fenced", "unknown", "fatal"];
}

/// What a group did with a host's partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebalance {
    /// Gave some.
    Assigned,
    /// Took some.
    Revoked,
    /// Had taken some, unseen by the host.
    Lost,
}

impl Rebalance {
    const NAMES: [&str; 3] = ["assigned", "revoked", "lost"];
}

/// The table.
#[derive(Default)]
pub struct Status {
    tasks: Mutex<BTreeMap<TaskId, TaskStatus>>,
    dropped: Mutex<BTreeMap<(String, &'static str), u64>>,
    /// Those of them that functions dropped, by name and epoch of the function and reason.
    dropped_by: Mutex<BTreeMap<(String, u64, &'static str), u64>>,
    intervals: AtomicU64,
    commit_micros: AtomicU64,
    outcomes: [AtomicU64; Outcome::NAMES.len()],
    rebalances: [AtomicU64; Rebalance::NAMES.len()],
    /// Bytes that wait for each worker.
    waiting: Mutex<BTreeMap<usize, u64>>,
    lost: AtomicU64,
    restored_records: AtomicU64,
    restored_bytes: AtomicU64,
}

fn counted(names: &[&'static str], counts: &[AtomicU64]) -> Vec<(&'static str, u64)> {
    names.iter().zip(counts).map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Status {
    /// All tasks.
    pub fn tasks(&self) -> BTreeMap<TaskId, TaskStatus> {
        lock(&self.tasks).clone()
    }

    /// How a task stands; `None`: it is not this host's.
    pub fn stands(&self, id: TaskId) -> Option<TaskState> {
        lock(&self.tasks).get(&id).map(|task| task.state.clone())
    }

    /// Changes what is known of a task.
    pub fn task(&self, id: TaskId, change: impl FnOnce(&mut TaskStatus)) {
        change(lock(&self.tasks).entry(id).or_default());
    }

    /// Records that left without a result, by step and reason.
    pub fn dropped(&self) -> BTreeMap<(String, &'static str), u64> {
        lock(&self.dropped).clone()
    }

    /// Records that left without a result because a function, as it runs since `epoch`, refused them or failed on them: by reason. Of a
    /// step with several functions they count for each.
    pub fn dropped_by(&self, function: &str, epoch: u64) -> BTreeMap<String, u64> {
        let all = lock(&self.dropped_by);
        let mine = all.iter().filter(|((name, since, _), _)| name == function && *since == epoch);
        mine.map(|((_, _, reason), count)| (reason.to_string(), *count)).collect()
    }

    fn functions_dropped(&self, part: &TaskPart, topology: &Topology) {
        let by_functions = |((_, reason), _): &(&(String, Reason), &u64)| reason.is_functions();
        let mut found = part.dropped.iter().filter(by_functions).peekable();
        if found.peek().is_none() {
            return;
        }
        let epochs = Meta::decode(&part.meta).map(|meta| meta.epochs).unwrap_or_default();
        let mut all = lock(&self.dropped_by);
        for ((step, reason), count) in found {
            for function in functions_of_step(&topology.subs[part.task.sub], step) {
                let name = &topology.functions[function];
                let epoch = epochs.iter().find(|(of, _)| of == name).map_or(0, |(_, epoch)| *epoch);
                *all.entry((name.clone(), epoch, reason.word())).or_default() += count;
            }
        }
    }

    /// Intervals committed, and microseconds that their commits took together.
    pub fn commits(&self) -> (u64, u64) {
        (self.intervals.load(Ordering::Relaxed), self.commit_micros.load(Ordering::Relaxed))
    }

    /// A commit took so long.
    pub fn took(&self, micros: u64) {
        self.commit_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// A try to commit has ended; that one was committed says [`Status::committed`].
    pub fn ended(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How tries to commit ended, by name of the outcome.
    pub fn outcomes(&self) -> Vec<(&'static str, u64)> {
        counted(&Outcome::NAMES, &self.outcomes)
    }

    /// The group did something with this host's partitions.
    pub fn rebalanced(&self, kind: Rebalance) {
        self.rebalances[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What the group did with this host's partitions, by name.
    pub fn rebalances(&self) -> Vec<(&'static str, u64)> {
        counted(&Rebalance::NAMES, &self.rebalances)
    }

    /// So many bytes of fetched records wait for a worker.
    pub fn waiting(&self, worker: usize, bytes: usize) {
        lock(&self.waiting).insert(worker, bytes as u64);
    }

    /// Bytes of fetched records that wait for the workers.
    pub fn waiting_bytes(&self) -> u64 {
        lock(&self.waiting).values().sum()
    }

    /// Records that retention deleted before they were read.
    pub fn lost(&self, records: i64) {
        self.lost.fetch_add(records.unsigned_abs(), Ordering::Relaxed);
    }

    /// How many records retention deleted before they were read.
    pub fn lost_records(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// A task is not this host's any more.
    pub fn closed(&self, id: TaskId) {
        lock(&self.tasks).remove(&id);
    }

    /// State was restored from changelogs.
    pub fn restored(&self, records: u64, bytes: u64) {
        self.restored_records.fetch_add(records, Ordering::Relaxed);
        self.restored_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records replayed from changelogs since the start, and the bytes of their keys and values.
    pub fn replayed(&self) -> (u64, u64) {
        (self.restored_records.load(Ordering::Relaxed), self.restored_bytes.load(Ordering::Relaxed))
    }

    /// An interval is final.
    pub fn committed(&self, interval: &Interval, topology: &Topology) {
        self.intervals.fetch_add(1, Ordering::Relaxed);
        self.ended(Outcome::Committed);
        let mut tasks = lock(&self.tasks);
        let mut dropped = lock(&self.dropped);
        for part in &interval.parts {
            let task = tasks.entry(part.task).or_default();
            task.positions.clone_from(&part.positions);
            task.records += part.records;
            task.results += part.outputs.iter().map(|o| o.batch.len() as u64).sum::<u64>();
            task.dead_letters += part.dead_letters;
            task.sweeps.clone_from(&part.sweeps);
            self.functions_dropped(part, topology);
            for ((step, reason), count) in &part.dropped {
                *dropped.entry((step.clone(), reason.word())).or_default() += count;
            }
        }
    }

    /// Why the pipeline is not doing its work, for `/readyz`; `None`: it is.
    pub fn not_ready(&self, topology: &Topology) -> Option<String> {
        self.not_ready_of(topology.subs.iter().map(|s| s.tasks).sum())
    }

    /// As [`Status::not_ready`], for a host that has at least `expected` of the tasks.
    pub fn not_ready_of(&self, expected: u32) -> Option<String> {
        let tasks = lock(&self.tasks);
        let bad = tasks.iter().find_map(|(id, task)| match &task.state {
            TaskState::Running | TaskState::Paused => None,
            TaskState::Starting => Some(format!("task {}_{} is starting", id.sub, id.partition)),
            TaskState::Restoring { done, of } => {
                Some(format!("task {}_{} restores its state: {done} of {of} offsets", id.sub, id.partition))
            }
            TaskState::Retrying(why) => Some(format!("task {}_{} is retrying: {why}", id.sub, id.partition)),
            TaskState::Stopped(why) => Some(format!("task {}_{} has stopped: {why}", id.sub, id.partition)),
        });
        bad.or_else(|| {
            ((tasks.len() as u32) < expected).then(|| format!("{} of {expected} tasks are open", tasks.len()))
        })
    }
}
