//! A worker's committer: one transaction for each interval, and after it the states on this host. It runs on a thread of its own,
//! since a commit takes as long as the brokers do and the next interval is worked on meanwhile.
//!
//! ```text
//!  begin → outputs, changelog records → offsets with the member's metadata → commit → states
//!            any of them fails: abort, the same again          no answer: unknown, resolved before anything else
//! ```
//!
//! What an outcome means for tasks is the engine's matter; whether this host may commit at all is the ownership token's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::meta::Meta;
use millstream_core::record::Batch;
use millstream_core::state::changelog::change_writes;
use millstream_core::state::keyspace::{StorageError, Write};
use millstream_core::state::store::Ground;
use millstream_core::task::{TaskId, TaskPart};
use millstream_core::topology::graph::Topology;
use millstream_kafka::config::Properties;
use millstream_kafka::consumer::{Ownership, Token, Waker};
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::group_metadata::GroupMetadata;
use millstream_kafka::producer::{CommitError, OffsetToCommit, ProduceError, Producer, State};
use tracing::{error, info, warn};

use super::changelog;
use super::directory::{Checkpoint, Directory};
use super::layout::Layout;
use super::member::Request;
use super::metadata::{self, Beside};
use crate::runtime::worker::wall_ms;

/// How long one call to the brokers may take before it is looked at again.
const CALL_WAIT: Duration = Duration::from_secs(5);

/// Pause before the same interval is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Changelog bytes of a task that were not written to its files yet, above which they are: a killed host replays about as much.
pub const TAIL_BYTES_MAX: usize = 16 << 20;

/// How often another producer may take over a committer's id, while the group still counts this host in, before the host ends:
/// both would go on doing so for ever.
pub const FENCES_MAX: usize = 5;

/// In which time, at the most, that happened.
const FENCES_WITHIN: Duration = Duration::from_secs(120);

/// Brokers end a transaction that takes longer than its time-out, which looks like a fence too. One that took this much less was
/// fenced by a producer.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(1);

/// What a worker asks for.
#[derive(Debug)]
pub enum Job {
    /// Make the interval one fact.
    Commit {
        /// The interval.
        interval: Arc<Interval>,
        /// Since when the partitions of each of its tasks are owned.
        held: Vec<(TaskId, Token)>,
    },
    /// Find out whether the interval is there.
    Resolve {
        /// The interval.
        interval: Arc<Interval>,
    },
}

/// What it gets.
#[derive(Debug)]
pub enum Answer {
    /// A commit ended.
    Outcome {
        /// The interval.
        interval: Arc<Interval>,
        /// How.
        outcome: CommitOutcome,
        /// How long it took, microseconds.
        micros: u64,
    },
    /// It was found out.
    Resolved {
        /// Number of the interval.
        interval: u64,
        /// It is there.
        there: bool,
    },
}

/// Asks for the group's committed metadata, once no transaction is about to change it.
pub type Lookup = Box<dyn Fn(&[TopicPartition]) -> Result<Vec<String>, KafkaError> + Send>;

/// What a committer is made from.
pub struct Parts {
    /// Of the client.
    pub properties: Properties,
    /// The worker's id as a producer.
    pub transactional_id: String,
    /// Tells this process's intervals from those of others with the same id.
    pub session: String,
    /// Bytes that may wait to be sent.
    pub queue_bytes: usize,
    /// The plan.
    pub topology: Arc<Topology>,
    /// Which partition is whose.
    pub layout: Arc<Layout>,
    /// The tasks' databases.
    pub directory: Arc<Directory>,
    /// Leave to commit.
    pub ownership: Ownership,
    /// See [`Lookup`].
    pub lookup: Lookup,
    /// What is asked for.
    pub jobs: Receiver<Job>,
    /// Where answers go.
    pub answers: Sender<Answer>,
    /// Makes the worker look at its answers.
    pub waker: Waker,
    /// The coordinating thread.
    pub member: Sender<Request>,
    /// The host is ending: nothing is waited for any more.
    pub ending: Arc<AtomicBool>,
}

/// See the module.
pub struct Committer {
    parts: Parts,
    producer: Option<Producer>,
    /// Changelog bytes since a task's state was last written to its files.
    unflushed: BTreeMap<TaskId, usize>,
    /// When the transaction that is open was begun.
    begun: Instant,
    /// When other producers took the id over.
    fences: Vec<Instant>,
}

/// Why an interval was not committed.
#[derive(Debug)]
enum Failed {
    /// Nothing of it is there: the same again.
    Again(String),
    /// It is there or not.
    Unknown(String),
    /// The tasks are somebody else's.
    Fenced(String),
    /// The producer's id is somebody else's.
    Taken(String),
    /// It can never be committed.
    Fatal(String),
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        Failed::Again(error.to_string())
    }
}

impl From<KafkaError> for Failed {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::Retry(why) | KafkaError::Abort(why) => Failed::Again(why),
            KafkaError::Fenced(why) => Failed::Taken(why),
            KafkaError::Unknown(why) => Failed::Unknown(why),
            KafkaError::Refused(why) | KafkaError::Fatal(why) => Failed::Fatal(why),
            forbidden @ KafkaError::Forbidden { .. } => Failed::Fatal(forbidden.to_string()),
        }
    }
}

impl Committer {
    /// With no producer yet: it is made when it is first needed, which takes its id over.
    pub fn new(parts: Parts) -> Self {
        Self { parts, producer: None, unflushed: BTreeMap::new(), begun: Instant::now(), fences: Vec::new() }
    }

    /// Works until nobody asks any more.
    pub fn run(mut self) {
        if let Err(why) = self.producer() {
            warn!(id = self.parts.transactional_id, error = %why, "the id could not be taken over yet; tried again with the first commit");
        }
        while let Ok(job) = self.parts.jobs.recv() {
            let answer = match job {
                Job::Commit { interval, held } => {
                    let started = Instant::now();
                    let outcome = self.commit(&interval, &held);
                    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                    Answer::Outcome { interval, outcome, micros }
                }
                Job::Resolve { interval } => match self.resolve(&interval) {
                    Ok(there) => Answer::Resolved { interval: interval.id, there },
                    // It is there, and the state on this host lacks it: its tasks are opened anew.
                    Err(why) => Answer::Outcome { interval, outcome: CommitOutcome::Fenced(why), micros: 0 },
                },
            };
            if self.parts.answers.send(answer).is_err() {
                return;
            }
            self.parts.waker.wake();
        }
    }

    fn commit(&mut self, interval: &Interval, held: &[(TaskId, Token)]) -> CommitOutcome {
        match self.transaction(interval, held) {
            Ok(()) => CommitOutcome::Committed,
            Err(Failed::Again(why)) => {
                warn!(interval = interval.id, error = why, "the transaction was aborted, the same again");
                self.abort();
                std::thread::sleep(RETRY_PAUSE);
                CommitOutcome::Aborted
            }
            Err(Failed::Unknown(why)) => {
                warn!(interval = interval.id, error = why, "whether the transaction was committed is not known");
                CommitOutcome::Unknown
            }
            Err(Failed::Taken(why)) => {
                self.fenced(&why);
                self.abort();
                CommitOutcome::Fenced(why)
            }
            Err(Failed::Fenced(why)) => {
                warn!(interval = interval.id, error = why, "fenced: the tasks are given up");
                self.abort();
                CommitOutcome::Fenced(why)
            }
            Err(Failed::Fatal(why)) => {
                error!(interval = interval.id, error = why, "the interval cannot be committed");
                self.abort();
                CommitOutcome::Fatal(why)
            }
        }
    }

    /// The worker's producer, its id taken over.
    fn producer(&mut self) -> Result<&mut Producer, KafkaError> {
        if self.producer.is_none() {
            let Parts { properties, transactional_id, queue_bytes, .. } = &self.parts;
            self.producer = Some(Producer::new(properties, transactional_id, *queue_bytes)?);
        }
        let Some(producer) = &mut self.producer else { unreachable!("it was just made") };
        if producer.state() == State::New
            && let Err(why) = producer.init(CALL_WAIT)
        {
            if !matches!(why, KafkaError::Retry(_)) {
                self.producer = None;
            }
            return Err(why);
        }
        self.producer.as_mut().ok_or_else(|| KafkaError::Retry("there is no producer".into()))
    }

    /// Metadata to commit with, if all of the interval's tasks have been this host's since they were opened.
    fn leave(&self, interval: &Interval, held: &[(TaskId, Token)]) -> Option<GroupMetadata> {
        if interval.parts.iter().any(|part| !held.iter().any(|(task, _)| *task == part.task)) {
            return None;
        }
        let mut now = None;
        for (task, token) in held {
            let partitions: Vec<TopicPartition> = self.parts.layout.partitions(*task).collect();
            now = Some(self.parts.ownership.renew(*token, &partitions)?);
        }
        self.parts.ownership.metadata_if(now?)
    }

    fn transaction(&mut self, interval: &Interval, held: &[(TaskId, Token)]) -> Result<(), Failed> {
        // Another task's coming or going between the two looks makes the second one fail.
        let leave = self.leave(interval, held).or_else(|| self.leave(interval, held));
        let group = leave.ok_or_else(|| Failed::Fenced("this host has the tasks no longer".into()))?;
        let topology = self.parts.topology.clone();
        self.producer()?.begin().map_err(Failed::from)?;
        self.begun = Instant::now();
        for part in &interval.parts {
            for output in &part.outputs {
                let topic = topology.topics[output.topic].name.as_str();
                self.produce(&TopicPartition::new(topic, output.partition as i32), &output.batch)?;
            }
        }
        let mut offsets = Vec::new();
        for part in &interval.parts {
            let (small, clocks) = self.metadata(part)?;
            self.changelogs(part, clocks.as_deref(), interval.closed_at)?;
            offsets.extend(self.offsets(interval.id, part, small)?);
        }
        let Some(producer) = &mut self.producer else { unreachable!("it has a transaction open") };
        producer.send_offsets(&offsets, &group, CALL_WAIT).map_err(Failed::from)?;
        match producer.commit(Duration::from_millis(u64::from(self.parts.properties.transaction_timeout_ms()))) {
            Ok(committed) => self.apply(interval, Some(&committed.highest)),
            Err(why) => Err(self.not_committed(why)),
        }
    }

    fn not_committed(&mut self, why: CommitError) -> Failed {
        match why {
            CommitError::Failed { reason, unwritten } => match unwritten.iter().find(|u| u.refused) {
                // Tried again it would be refused again.
                Some(refused) => Failed::Fatal(format!("a record was refused: {}", refused.reason)),
                None => Failed::Again(reason),
            },
            // An earlier try of this commit may have been carried out: that shows when the token is compared.
            CommitError::Fenced { reason } => {
                self.fenced(&reason);
                Failed::Unknown(reason)
            }
            CommitError::Unknown { reason } | CommitError::Fatal { reason } => Failed::Unknown(reason),
        }
    }

    fn produce(&mut self, to: &TopicPartition, batch: &Batch) -> Result<(), Failed> {
        let Some(producer) = &mut self.producer else { unreachable!("it has a transaction open") };
        let until = Instant::now() + Duration::from_millis(u64::from(self.parts.properties.transaction_timeout_ms()));
        let mut from = 0;
        loop {
            match producer.produce(to, batch, from, CALL_WAIT) {
                Ok(()) => return Ok(()),
                Err(ProduceError::Full { row }) if Instant::now() < until => from = row,
                Err(why @ ProduceError::Full { .. }) => return Err(Failed::Again(why.to_string())),
                Err(why @ ProduceError::Refused { .. }) => return Err(Failed::Fatal(why.to_string())),
                Err(ProduceError::Failed(why)) => return Err(why.into()),
            }
        }
    }

    fn metadata(&self, part: &TaskPart) -> Result<(Vec<u8>, Option<Vec<u8>>), Failed> {
        let meta = Meta::decode(&part.meta).ok_or_else(|| Failed::Fatal("a task's metadata cannot be read".into()))?;
        Ok(metadata::split(meta))
    }

    fn changelogs(&mut self, part: &TaskPart, clocks: Option<&[u8]>, at: i64) -> Result<(), Failed> {
        let topology = self.parts.topology.clone();
        let state = self.parts.directory.task(&topology, part.task).map_err(|e| Failed::Again(format!("{e:#}")))?;
        for (number, changes) in part.changes.iter().enumerate() {
            let store = &topology.subs[part.task.sub].stores[number];
            let topic = changelog::topic(&topology.pipeline, &store.name);
            let to = TopicPartition::new(topic, part.task.partition as i32);
            let clocks = clocks.filter(|_| number == 0);
            let mut bytes = 0;
            changelog::batches(state.ground(number), changes, clocks, at, &mut |batch| {
                bytes += batch.bytes();
                self.produce(&to, &batch)
            })?;
            *self.unflushed.entry(part.task).or_default() += bytes;
        }
        Ok(())
    }

    fn offsets(&self, interval: u64, part: &TaskPart, small: Vec<u8>) -> Result<Vec<OffsetToCommit>, Failed> {
        let mut meta = Some(small);
        let mut out = Vec::new();
        for (topic, offset) in &part.positions {
            let topic = &self.parts.topology.topics[*topic];
            if part.task.partition >= topic.partitions {
                continue;
            }
            let beside = Beside { owner: self.owner(), interval, meta: meta.take() };
            let metadata = beside.encode().map_err(|bytes| {
                Failed::Fatal(format!(
                    "the metadata of a task has {bytes} bytes and brokers take {}: the sub-topology has too many steps for \
                     one task, cut it with a `repartition` step",
                    metadata::METADATA_BYTES_MAX
                ))
            })?;
            let partition = TopicPartition::new(topic.name.as_str(), part.task.partition as i32);
            out.push(OffsetToCommit { partition, offset: *offset, metadata });
        }
        Ok(out)
    }

    fn owner(&self) -> String {
        format!("{}/{}", self.parts.transactional_id, self.parts.session)
    }

    /// Brings the states on this host to where the committed interval is. `highest`: where its records stand in their logs; `None`: not
    /// known, and the checkpoints stay where they are, which only replays some records twice.
    fn apply(&mut self, interval: &Interval, highest: Option<&[(TopicPartition, i64)]>) -> Result<(), Failed> {
        let topology = self.parts.topology.clone();
        for part in interval.parts.iter().filter(|part| !part.changes.is_empty()) {
            let applied = (|| -> anyhow::Result<()> {
                let state = self.parts.directory.task(&topology, part.task)?;
                let mut writes: Vec<Write> = Vec::new();
                for (number, changes) in part.changes.iter().enumerate() {
                    let Ground { space, prefix, .. } = state.ground(number);
                    writes.extend(change_writes(space, prefix, changes));
                    let store = &topology.subs[part.task.sub].stores[number];
                    let topic = changelog::topic(&topology.pipeline, &store.name);
                    let to = TopicPartition::new(topic, part.task.partition as i32);
                    if let Some((_, offset)) = highest.and_then(|all| all.iter().find(|(p, _)| *p == to)) {
                        let checkpoint = Checkpoint { offset: offset + 1, written_at: wall_ms() };
                        writes.push(state.checkpoint_write(number, checkpoint));
                    }
                }
                if let Some((_, Some(clocks))) = Meta::decode(&part.meta).map(metadata::split) {
                    writes.extend(state.clocks_write(clocks));
                }
                state.apply(writes)?;
                let unflushed = self.unflushed.entry(part.task).or_default();
                if *unflushed > TAIL_BYTES_MAX {
                    *unflushed = 0;
                    state.flush()?;
                }
                Ok(())
            })();
            // It is committed. A state that falls behind would answer wrongly from here on: its task must be opened again.
            if let Err(why) = applied {
                error!(task = ?part.task, error = %why, "the committed interval could not be written to the state on this host");
                return Err(Failed::Fenced(format!("the state on this host is behind: {why:#}")));
            }
        }
        Ok(())
    }

    fn abort(&mut self) {
        let Some(producer) = &mut self.producer else { return };
        let aborted = match producer.state() {
            State::Open | State::Failed | State::Aborting => producer.abort(CALL_WAIT),
            State::Ready | State::New => Ok(()),
            _ => Err(KafkaError::Fatal("it is of no more use".into())),
        };
        if let Err(why) = aborted {
            // A new one with the same id ends what is open.
            info!(id = self.parts.transactional_id, error = %why, "a new producer takes over");
            self.producer = None;
        }
    }

    /// Whether an interval whose outcome is not known is there.
    ///
    /// # Errors
    /// It is, and could not be written to the state on this host.
    fn resolve(&mut self, interval: &Interval) -> Result<bool, String> {
        while let Some(producer) = self.producer.as_mut().filter(|p| p.may_resume()) {
            match producer.commit(CALL_WAIT) {
                Ok(committed) => return self.applied(interval, Some(&committed.highest)),
                Err(CommitError::Unknown { .. }) => {}
                Err(_) => break,
            }
        }
        // Its initialisation finishes or aborts what the old one left.
        self.producer = None;
        let there = loop {
            match self.producer().map(|_| ()).and_then(|()| self.is_there(interval)) {
                Ok(there) => break there,
                Err(why) if self.parts.ending.load(Ordering::Relaxed) => {
                    warn!(interval = interval.id, error = %why, "ending; the next owner of the tasks finds out");
                    break false;
                }
                Err(why) => {
                    warn!(interval = interval.id, error = %why, "asking how the commit ended, trying again");
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        };
        info!(interval = interval.id, there, "it is known how the commit ended");
        if there { self.applied(interval, None) } else { Ok(false) }
    }

    fn applied(&mut self, interval: &Interval, highest: Option<&[(TopicPartition, i64)]>) -> Result<bool, String> {
        match self.apply(interval, highest) {
            Ok(()) => Ok(true),
            Err(why) => Err(format!("{why:?}")),
        }
    }

    fn is_there(&self, interval: &Interval) -> Result<bool, KafkaError> {
        let partitions: Vec<TopicPartition> =
            interval.parts.iter().flat_map(|part| self.parts.layout.partitions(part.task)).collect();
        let found = (self.parts.lookup)(&partitions)?;
        let owner = self.owner();
        let ours = |text: &String| Beside::decode(text).is_some_and(|b| b.owner == owner && b.interval == interval.id);
        Ok(found.iter().any(ours))
    }

    /// The brokers take nothing more of the producer: another one has its id, or its transaction took too long.
    fn fenced(&mut self, why: &str) {
        let timeout = Duration::from_millis(u64::from(self.parts.properties.transaction_timeout_ms()));
        let id = &self.parts.transactional_id;
        if self.begun.elapsed() + TIMEOUT_MARGIN > timeout {
            warn!(id, error = why, "fenced after as long as a transaction may take");
            return;
        }
        let now = Instant::now();
        self.fences.retain(|at| now.duration_since(*at) < FENCES_WITHIN);
        self.fences.push(now);
        let times = self.fences.len();
        warn!(
            id,
            times,
            error = why,
            "fenced: another producer has taken over this one's id; once that is what happens to a host that was out of its group, \
             again and again it means that another host runs with a copy of this state directory"
        );
        if times > FENCES_MAX {
            let text = format!(
                "another host runs with a copy of this host's state directory: each took over the transactional id `{id}` from the \
                 other again and again ({times} times in {} s); stop one of them and give it a directory of its own",
                FENCES_WITHIN.as_secs()
            );
            // One that has ended needs no telling.
            let _ended = self.parts.member.send(Request::Fail(text));
        }
    }
}
