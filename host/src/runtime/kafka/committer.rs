//! A worker's committer: each interval to the brokers, and after it the states on this host. It runs on a thread of its own, since a
//! commit takes as long as the brokers do and the next interval is worked on meanwhile.
//!
//! ```text
//!  begin → outputs, changelog records → offsets, commit → states
//!       any of them fails: the same again      no answer: unknown, found out before anything else
//! ```
//!
//! How records and offsets get there is the guarantee's matter ([`super::way`]), what an outcome means for tasks the engine's;
//! whether this host may commit at all is the ownership token's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::meta::Meta;
use millstream_core::record::Batch;
use millstream_core::state::changelog::change_writes;
use millstream_core::state::keyspace::Write;
use millstream_core::state::store::Ground;
use millstream_core::task::{TaskId, TaskPart};
use millstream_core::topology::graph::Topology;
use millstream_kafka::consumer::{Ownership, Token, Waker};
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::OffsetToCommit;
use tracing::{error, info, warn};

use super::changelog;
use super::directory::{Checkpoint, Directory, TaskState};
use super::layout::Layout;
use super::ledger;
use super::metadata::{self, Beside};
use super::repair::{Ends, Repairs};
use super::way::{Failed, Highest, Leave, RETRY_PAUSE, Way};
use crate::runtime::worker::wall_ms;

/// Changelog bytes of a task that were not written to its files yet, above which they are: a killed host replays about as much.
pub const TAIL_BYTES_MAX: usize = 16 << 20;

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
    /// Stands beside the offsets: tells this process's intervals from those of others, no blanks in it.
    pub owner: String,
    /// How an interval gets to the brokers.
    pub way: Box<dyn Way>,
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
}

/// See the module.
pub struct Committer {
    parts: Parts,
    /// Changelog bytes since a task's state was last written to its files.
    unflushed: BTreeMap<TaskId, usize>,
}

impl Committer {
    /// Nothing is asked of a broker yet.
    pub fn new(parts: Parts) -> Self {
        Self { parts, unflushed: BTreeMap::new() }
    }

    /// Works until nobody asks any more.
    pub fn run(mut self) {
        if let Err(why) = self.parts.way.prepare() {
            warn!(id = self.parts.owner, error = %why, "the id could not be taken over yet; tried again with the first commit");
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
        match self.make(interval, held) {
            Ok(()) => CommitOutcome::Committed,
            Err(Failed::Again(why)) => {
                warn!(interval = interval.id, error = why, "the interval was not committed, the same again");
                self.parts.way.abort();
                std::thread::sleep(RETRY_PAUSE);
                CommitOutcome::Aborted
            }
            Err(Failed::Unknown(why)) => {
                warn!(interval = interval.id, error = why, "whether the interval was committed is not known");
                CommitOutcome::Unknown
            }
            Err(Failed::Taken(why)) => {
                self.parts.way.taken(&why);
                self.parts.way.abort();
                CommitOutcome::Fenced(why)
            }
            Err(Failed::Fenced(why)) => {
                warn!(interval = interval.id, error = why, "fenced: the tasks are given up");
                self.parts.way.abort();
                CommitOutcome::Fenced(why)
            }
            Err(Failed::Fatal(why)) => {
                error!(interval = interval.id, error = why, "the interval cannot be committed");
                self.parts.way.abort();
                CommitOutcome::Fatal(why)
            }
        }
    }

    fn make(&mut self, interval: &Interval, held: &[(TaskId, Token)]) -> Result<(), Failed> {
        let Parts { topology, layout, ownership, directory, owner, way, .. } = &mut self.parts;
        let is_held = |part: &TaskPart| held.iter().any(|(task, _)| *task == part.task);
        let held = interval.parts.iter().all(is_held).then_some(held);
        let leave = Leave { held, layout, ownership };
        way.begin(&leave)?;
        for part in &interval.parts {
            for output in &part.outputs {
                let topic = topology.topics[output.topic].name.as_str();
                way.produce(&TopicPartition::new(topic, output.partition as i32), &output.batch)?;
            }
        }
        let source = Source { topology, directory, owner };
        for part in &interval.parts {
            let history = ledger::switches(topology, part, interval.closed_at);
            if let Some((to, batch)) = history.map_err(|why| Failed::Fatal(format!("{why:#}")))? {
                way.produce(&to, &batch)?;
            }
            let bytes = source.changelogs(part, interval.closed_at, way.as_mut())?;
            *self.unflushed.entry(part.task).or_default() += bytes;
        }
        let offsets = |highest: Option<&Highest>| {
            let of = |part| source.offsets(interval.id, part, highest);
            let all = interval.parts.iter().map(of).collect::<Result<Vec<_>, _>>()?;
            Ok(all.into_iter().flatten().collect())
        };
        let highest = way.commit(&leave, &offsets)?;
        self.apply(interval, Some(&highest))
    }

    /// Brings the states on this host to where the committed interval is. `highest`: where its records stand in their logs; `None`: not
    /// known, and the checkpoints stay where they are, which only replays some records twice.
    fn apply(&mut self, interval: &Interval, highest: Option<&Highest>) -> Result<(), Failed> {
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
                    if let Some(offset) = highest.and_then(|highest| end_of(highest, &to)) {
                        let checkpoint = Checkpoint { offset, written_at: wall_ms() };
                        writes.push(state.checkpoint_write(number, checkpoint));
                    }
                }
                if let Some((small, clocks)) = Meta::decode(&part.meta).map(metadata::split) {
                    writes.push(state.committed_write(small));
                    writes.extend(clocks.and_then(|clocks| state.clocks_write(clocks)));
                }
                state.apply(writes)?;
                state.set_repairs(Repairs::default());
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

    /// Whether an interval whose outcome is not known is there.
    ///
    /// # Errors
    /// It is, and could not be written to the state on this host.
    fn resolve(&mut self, interval: &Interval) -> Result<bool, String> {
        let Parts { way, layout, lookup, owner, .. } = &mut self.parts;
        let is_there = || is_there(lookup, layout, owner, interval);
        let (there, highest) = way.find_out(&is_there);
        info!(interval = interval.id, there, "it is known how the commit ended");
        if there { self.applied(interval, highest.as_ref()) } else { Ok(false) }
    }

    fn applied(&mut self, interval: &Interval, highest: Option<&Highest>) -> Result<bool, String> {
        match self.apply(interval, highest) {
            Ok(()) => Ok(true),
            Err(why) => Err(format!("{why:?}")),
        }
    }
}

/// What is asked of a broker about an interval.
fn is_there(lookup: &Lookup, layout: &Layout, owner: &str, interval: &Interval) -> Result<bool, KafkaError> {
    let partitions: Vec<TopicPartition> = interval.parts.iter().flat_map(|part| layout.partitions(part.task)).collect();
    let found = lookup(&partitions)?;
    let ours = |text: &String| Beside::decode(text).is_some_and(|b| b.owner == owner && b.interval == interval.id);
    Ok(found.iter().any(ours))
}

/// What goes to the brokers beside an interval's results: made from the plan and the states as the interval before has left them.
struct Source<'a> {
    topology: &'a Topology,
    directory: &'a Directory,
    owner: &'a str,
}

impl Source<'_> {
    fn state(&self, task: TaskId) -> Result<Arc<TaskState>, Failed> {
        self.directory.task(self.topology, task).map_err(|why| Failed::Again(format!("{why:#}")))
    }

    /// The partition of a store's changelog.
    fn changelog(&self, task: TaskId, store: usize) -> TopicPartition {
        let store = &self.topology.subs[task.sub].stores[store];
        TopicPartition::new(changelog::topic(&self.topology.pipeline, &store.name), task.partition as i32)
    }

    /// Produces a task's changelog records; gives their bytes. What the last owner left behind its last commit is undone first.
    fn changelogs(&self, part: &TaskPart, at: i64, way: &mut dyn Way) -> Result<usize, Failed> {
        let (state, (_, clocks)) = (self.state(part.task)?, metadata(part)?);
        let (repairs, mut bytes) = (state.repairs(), 0);
        for (number, changes) in part.changes.iter().enumerate() {
            let (to, ground) = (self.changelog(part.task, number), state.ground(number));
            let undone = repairs.changes(number, &ground)?;
            let mut produce = |batch: Batch| {
                bytes += batch.bytes();
                way.produce(&to, &batch)
            };
            changelog::batches(state.ground(number), &undone, None, at, &mut produce)?;
            let clocks = clocks.as_deref().filter(|_| number == 0);
            changelog::batches(ground, changes, clocks, at, &mut produce)?;
        }
        Ok(bytes)
    }

    /// A task's offsets, and beside them who commits them and its metadata.
    fn offsets(
        &self,
        interval: u64,
        part: &TaskPart,
        highest: Option<&Highest>,
    ) -> Result<Vec<OffsetToCommit>, Failed> {
        let ends = highest.map(|highest| self.ends(part.task, highest)).transpose()?;
        let (small, _) = metadata(part)?;
        let mut whole = Some((small, ends.clone()));
        let mut out = Vec::new();
        for (topic, offset) in &part.positions {
            let topic = &self.topology.topics[*topic];
            if part.task.partition >= topic.partitions {
                continue;
            }
            let (meta, ends) = match whole.take() {
                Some((small, ends)) => (Some(small), ends),
                None => (None, ends.as_ref().map(|_| Ends::new())),
            };
            let beside = Beside { owner: self.owner.into(), interval, meta, ends };
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

    /// How much of a task's changelogs belongs to an interval whose records are there.
    fn ends(&self, task: TaskId, highest: &Highest) -> Result<Ends, Failed> {
        let (state, mut ends) = (self.state(task)?, Ends::new());
        for (number, store) in self.topology.subs[task.sub].stores.iter().enumerate() {
            let before = state.checkpoint(number)?.map(|checkpoint| checkpoint.offset);
            if let Some(end) = end_of(highest, &self.changelog(task, number)).or(before) {
                ends.insert(store.name.clone(), end);
            }
        }
        Ok(ends)
    }
}

/// The offset behind an interval's last record in a partition.
fn end_of(highest: &Highest, of: &TopicPartition) -> Option<i64> {
    highest.iter().find(|(partition, _)| partition == of).map(|(_, offset)| offset + 1)
}

fn metadata(part: &TaskPart) -> Result<(Vec<u8>, Option<Vec<u8>>), Failed> {
    let meta = Meta::decode(&part.meta).ok_or_else(|| Failed::Fatal("a task's metadata cannot be read".into()))?;
    Ok(metadata::split(meta))
}
