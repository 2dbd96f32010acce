//! Brings the state of tasks on this host up to date before they are opened: the tail of their changelogs, or all of them where
//! there is no state, or none that can be built on. On a thread of its own, one task after the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_core::meta::Meta;
use millstream_core::state::keyspace::StorageError;
use millstream_core::state::store::Ground;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_kafka::config::Properties;
use millstream_kafka::consumer::Token;
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::replay::{Replay, ReplayError, Stretch as Tail};
use tracing::{info, warn};

use super::changelog;
use super::directory::{Checkpoint, Directory, TaskState, lock};
use super::layout::Stretch;
use super::metadata;
use super::repair::{Ends, Repairs, in_order};
use super::worker::task_name;
use crate::runtime::status::{Status, TaskState as Standing};
use crate::runtime::worker::wall_ms;

/// Bytes that wait inside of the client while a changelog is replayed.
const QUEUE_BYTES: usize = 16 << 20;

/// Messages of one read.
const MESSAGES_MAX: usize = 16_384;

/// How long one read waits.
const READ_WAIT: Duration = Duration::from_millis(200);

/// How often a long replay says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long changelogs keep tombstones, milliseconds (`delete.retention.ms`): state that was not written to for longer may hold
/// what was deleted since.
pub const TOMBSTONES_MS: i64 = 7 * 24 * 3_600 * 1_000;

/// What is taken off [`TOMBSTONES_MS`], for clocks that differ and cleaners that are early.
const TOMBSTONES_MARGIN_MS: i64 = 3_600 * 1_000;

/// Bytes replayed after which the state is written to files: what is in memory alone would be replayed again after a crash.
const FLUSH_BYTES: u64 = 64 << 20;

/// A task to bring up to date.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The task.
    pub task: TaskId,
    /// Since when its partitions are owned.
    pub token: Token,
    /// Under which stretch they are read.
    pub stretch: Stretch,
    /// What stands beside its committed offsets; `None`: it never ran.
    pub meta: Option<Vec<u8>>,
    /// How much of its changelogs belongs to its last commit; `None`: all that is there.
    pub ends: Option<Ends>,
    /// Where its inputs begin, one offset for each.
    pub start: Vec<i64>,
    /// What is wrong with the state that is here: it is set aside first.
    pub damage: Option<String>,
}

/// A task that was brought up to date, or was not.
type Done = (Restore, anyhow::Result<()>);

/// Hands tasks to the thread and takes them back.
pub struct Restorer {
    jobs: Option<Sender<(Restore, u32)>>,
    done: Receiver<(Done, u32)>,
    /// Which of a task's jobs counts: a later one makes the others end.
    wanted: Arc<Mutex<BTreeMap<TaskId, u32>>>,
    next: AtomicU32,
    thread: Option<JoinHandle<()>>,
}

/// What the thread works with.
pub struct Parts {
    /// The plan.
    pub topology: Arc<Topology>,
    /// Ids of the changelog topics, by name.
    pub changelogs: BTreeMap<String, String>,
    /// The tasks' databases.
    pub directory: Arc<Directory>,
    /// Of the client.
    pub properties: Properties,
    /// Where to tell how far it is.
    pub status: Arc<Status>,
}

impl Restorer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(parts: Parts) -> std::io::Result<Self> {
        let ((jobs, to_do), (tell, done)) = (channel(), channel());
        let wanted: Arc<Mutex<BTreeMap<TaskId, u32>>> = Arc::default();
        let mut work = Work { parts, wanted: wanted.clone() };
        let thread = std::thread::Builder::new().name("restore".into()).spawn(move || {
            while let Ok((restore, job)) = to_do.recv() {
                let restore: Restore = restore;
                if !work.is_wanted(restore.task, job) {
                    continue;
                }
                let done = work.restore(restore, job);
                if tell.send((done, job)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs: Some(jobs), done, wanted, next: AtomicU32::new(1), thread: Some(thread) })
    }

    /// Asks for a task. An earlier request for it is void.
    pub fn ask(&self, restore: Restore) {
        let job = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.wanted).insert(restore.task, job);
        if let Some(jobs) = &self.jobs {
            // A thread that has ended ended with a panic, which was told.
            let _ = jobs.send((restore, job));
        }
    }

    /// A task is not wanted any more.
    pub fn forget(&self, task: TaskId) {
        lock(&self.wanted).remove(&task);
    }

    /// A task that is up to date, or could not be brought there; ones that are not wanted any more are left out.
    pub fn done(&self) -> Option<Done> {
        loop {
            let (done, job) = self.done.try_recv().ok()?;
            let task = done.0.task;
            let mut wanted = lock(&self.wanted);
            // A later job for the same task may be wanted by now.
            if wanted.get(&task) == Some(&job) {
                wanted.remove(&task);
                return Some(done);
            }
        }
    }
}

impl Drop for Restorer {
    fn drop(&mut self) {
        lock(&self.wanted).clear();
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Changelogs of a task, one for each store, and the offset of each from which on records do not count.
struct Changelogs {
    partitions: Vec<TopicPartition>,
    ids: Vec<String>,
    ends: Vec<i64>,
}

struct Work {
    parts: Parts,
    wanted: Arc<Mutex<BTreeMap<TaskId, u32>>>,
}

impl Work {
    fn is_wanted(&self, task: TaskId, job: u32) -> bool {
        lock(&self.wanted).get(&task) == Some(&job)
    }

    fn restore(&mut self, mut restore: Restore, job: u32) -> Done {
        let result = self.whole(&restore, job).and_then(|state| {
            if !self.parts.topology.subs[restore.task.sub].stores.is_empty() {
                let small = restore.meta.clone().unwrap_or_else(|| Meta::default().encode());
                state.apply(vec![state.committed_write(small)])?;
            }
            // The clocks went through the changelog, the rest beside the offsets: the same commit wrote both.
            if let Some(small) = &restore.meta {
                let clocks = state.clocks()?.filter(|clocks| !clocks.is_empty());
                let whole = metadata::join(small, clocks.as_deref());
                restore.meta = Some(whole.context("a task's metadata has a form that this version does not know")?);
            }
            Ok(())
        });
        (restore, result)
    }

    /// Brings a task up to date; a state that turns out to be damaged is set aside, and built anew.
    fn whole(&self, restore: &Restore, job: u32) -> anyhow::Result<Arc<TaskState>> {
        let (topology, task) = (&self.parts.topology, restore.task);
        if let Some(why) = &restore.damage {
            self.parts.directory.set_aside(topology, task, why)?;
        }
        match self.bring_up(restore, job) {
            Err(why) if is_damage(&why) => {
                self.parts.directory.set_aside(topology, task, &format!("{why:#}"))?;
                self.bring_up(restore, job)
            }
            other => other,
        }
    }

    fn bring_up(&self, restore: &Restore, job: u32) -> anyhow::Result<Arc<TaskState>> {
        let (topology, id) = (&self.parts.topology, restore.task);
        let mut state = self.parts.directory.task(topology, id)?;
        let stores = &topology.subs[id.sub].stores;
        let partitions: Vec<TopicPartition> = stores
            .iter()
            .map(|store| TopicPartition::new(changelog::topic(&topology.pipeline, &store.name), id.partition as i32))
            .collect();
        if partitions.is_empty() {
            return Ok(state);
        }
        state.apply(vec![state.restoring_write()])?;
        let ids: Vec<&str> =
            partitions.iter().map(|p| self.parts.changelogs.get(&*p.topic).map_or("", |id| id)).collect();
        let made_from = (0..stores.len()).map(|n| state.changelog(n)).collect::<Result<Vec<_>, _>>()?;
        if made_from.iter().zip(&ids).any(|(from, id)| from.as_ref().is_some_and(|from| from != id)) {
            let why = "it is made from a changelog of that name that is gone, or of other brokers";
            state = self.parts.directory.start_over(topology, id, why)?;
        }
        let ends = in_order(restore.ends.as_ref(), stores);
        let checkpoints = (0..stores.len()).map(|n| state.checkpoint(n)).collect::<Result<Vec<_>, _>>()?;
        let oldest = checkpoints.iter().flatten().map(|c| c.written_at).min();
        if oldest.is_some_and(|at| wall_ms() - at > TOMBSTONES_MS - TOMBSTONES_MARGIN_MS) {
            state = self.parts.directory.start_over(
                topology,
                id,
                "it is older than its changelog keeps what was deleted",
            )?;
        }
        if checkpoints.iter().zip(&ends).any(|(c, end)| c.is_some_and(|c| c.offset > *end)) {
            state = self.parts.directory.start_over(topology, id, "it has what was not committed")?;
        }
        let tail = Changelogs { ids: ids.into_iter().map(str::to_string).collect(), partitions, ends };
        match self.replay(&state, id, job, &tail) {
            Err(why) if why.downcast_ref().is_some_and(|e| matches!(e, ReplayError::OffsetGone { .. })) => {
                let state = self.parts.directory.start_over(topology, id, &format!("{why:#}"))?;
                self.replay(&state, id, job, &tail)?;
                Ok(state)
            }
            other => other.map(|()| state),
        }
    }

    fn replay(&self, state: &TaskState, id: TaskId, job: u32, of: &Changelogs) -> anyhow::Result<()> {
        let from = |number: usize| anyhow::Ok(state.checkpoint(number)?.map(|c| c.offset));
        let tail = |(number, partition): (usize, &TopicPartition)| {
            anyhow::Ok(Tail { partition: partition.clone(), from: from(number)? })
        };
        let tails = of.partitions.iter().enumerate().map(tail).collect::<anyhow::Result<Vec<_>>>()?;
        state.apply(of.ids.iter().enumerate().map(|(number, id)| state.changelog_write(number, id)).collect())?;
        let group = &self.parts.topology.pipeline;
        let mut replay = Replay::start(&self.parts.properties, group, &tails, QUEUE_BYTES)?;
        let mut repairs = Repairs::default();
        let (began, mut told, mut flushed, mut counted) = (Instant::now(), Instant::now(), 0, (0, 0));
        self.tell_state(id, &replay);
        while !replay.is_done() {
            anyhow::ensure!(self.is_wanted(id, job), "not wanted any more");
            for fetched in replay.read(MESSAGES_MAX, READ_WAIT)? {
                let end = of.ends[fetched.tag];
                let counts = fetched.offsets.iter().take_while(|offset| *offset < end).count();
                let Ground { space, prefix, .. } = state.ground(fetched.tag);
                let mut writes =
                    millstream_core::state::changelog::restore(&fetched.batch.slice(0, counts), space, prefix)?;
                let checkpoint = Checkpoint { offset: fetched.next.min(end), written_at: wall_ms() };
                writes.push(state.checkpoint_write(fetched.tag, checkpoint));
                state.apply(writes)?;
                repairs.note(fetched.tag, &fetched.batch.slice(counts, fetched.batch.len()))?;
            }
            let (records, bytes) = sums(&replay);
            self.parts.status.restored(records - counted.0, bytes - counted.1);
            counted = (records, bytes);
            if bytes - flushed > FLUSH_BYTES {
                flushed = bytes;
                state.flush()?;
            }
            self.tell_state(id, &replay);
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                let (done, of) = offsets(&replay);
                info!(task = task_name(id), done, of, "restoring");
            }
        }
        for (p, end) in replay.progress().iter().zip(&of.ends).filter(|(p, end)| **end != i64::MAX && p.end < **end) {
            warn!(partition = %p.partition, ends = p.end, committed = end, "a changelog ends before what was committed: brokers have lost records");
        }
        if !repairs.is_empty() {
            info!(
                task = task_name(id),
                keys = repairs.len(),
                "its changelogs hold what was not committed; the next commit undoes it"
            );
        }
        state.set_repairs(repairs);
        let (records, bytes) = counted;
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(task = task_name(id), records, bytes, ms, "state restored");
        Ok(())
    }

    fn tell_state(&self, id: TaskId, replay: &Replay) {
        let (done, of) = offsets(replay);
        self.parts.status.task(id, |t| t.state = Standing::Restoring { done, of });
    }
}

/// Records replayed so far, and bytes of their keys and values.
fn sums(replay: &Replay) -> (u64, u64) {
    let progress = replay.progress();
    (progress.iter().map(|p| p.records).sum(), progress.iter().map(|p| p.bytes).sum())
}

/// Offsets read so far, and all that there are to read.
fn offsets(replay: &Replay) -> (u64, u64) {
    let progress = replay.progress();
    let sum = |of: fn(&millstream_kafka::replay::Progress) -> i64| progress.iter().map(of).sum::<i64>().unsigned_abs();
    (sum(|p| p.next - p.from), sum(|p| p.end - p.from))
}

/// Whether trying again may help.
pub fn is_passing(error: &anyhow::Error) -> bool {
    let kafka = |e: &KafkaError| matches!(e, KafkaError::Retry(_));
    match error.downcast_ref() {
        Some(ReplayError::Kafka(e)) => kafka(e),
        Some(ReplayError::OffsetGone { .. }) => true,
        None => !is_damage(error),
    }
}

/// Whether what is stored here cannot be trusted.
fn is_damage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StorageError::Corrupted(_)))
}
