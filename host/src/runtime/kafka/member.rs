//! The coordinating thread: takes what the group gives and takes, has tasks opened by their workers and given up again, and does
//! what needs the broker outside the data path. It computes nothing, and keeps no state but who has what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use millstream_core::commit::Interval;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_kafka::config::GroupProtocol;
use millstream_kafka::consumer::{Committed, Event, Leave, Member, Move, Placement, Token, Waker};
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use tracing::{error, info, warn};

use super::growth::{self, Growth};
use super::heir::Heir;
use super::layout::{Layout, Stretch};
use super::metadata::Beside;
use super::purge::Purge;
use super::repair::Ends;
use super::restore::{Restore, Restorer, is_passing};
use super::starts::Starts;
use super::worker::{Command, task_name};
use crate::runtime::plan::Guarantee;
use crate::runtime::status::{Rebalance, Status, TaskState};

/// How long one look for events takes, when there are none.
const POLL: Duration = Duration::from_millis(20);

/// How long one question to the brokers may take before the group is looked at again.
const ASK: Duration = Duration::from_millis(500);

/// How long workers may take to give tasks up: longer than they wait for their commits.
const GIVE_WAIT: Duration = Duration::from_secs(30);

/// Pause before a task that failed in passing is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// How often it is said that the brokers do not tell where partitions stand.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A state that is found damaged again in this time is not built anew again: something else is wrong.
const REBUILD_AGAIN: Duration = Duration::from_secs(3_600);

/// What the member is asked for.
#[derive(Debug)]
pub enum Request {
    /// Open a task again from its last commit: something passing was in the way.
    Reopen(TaskId),
    /// Set the state of a task aside, build it anew and open the task again: it is damaged.
    Rebuild {
        /// The task.
        task: TaskId,
        /// What was found.
        why: String,
    },
    /// Read a partition from another offset on: what was before is gone.
    Skip {
        /// The partition.
        partition: TopicPartition,
        /// Its first offset now.
        to: i64,
    },
    /// An interval is final.
    Committed(Arc<Interval>),
    /// Give everything up and end: this cannot go on.
    Fail(String),
    /// Give everything up and end.
    Stop(Leave),
}

/// What the member works with.
pub struct Parts {
    /// The group.
    pub member: Member,
    /// The group's protocol.
    pub protocol: GroupProtocol,
    /// The plan.
    pub topology: Arc<Topology>,
    /// What becomes of results after a failure.
    pub guarantee: Guarantee,
    /// Which partition is whose.
    pub layout: Arc<Layout>,
    /// The workers, and what makes them look at their commands.
    pub workers: Vec<(Sender<Command>, Waker)>,
    /// Brings states up to date.
    pub restorer: Restorer,
    /// Where tasks begin that never ran.
    pub starts: Starts,
    /// Ends what dead hosts left open.
    pub heir: Heir,
    /// Looks at partition counts.
    pub growth: Growth,
    /// Deletes what was read of repartition topics.
    pub purge: Purge,
    /// Where to tell how things stand.
    pub status: Arc<Status>,
    /// What is asked of it.
    pub requests: Receiver<Request>,
}

/// A task of which this host has partitions.
#[derive(Clone, Copy, Debug)]
struct Had {
    stretch: Stretch,
    /// It is whole, and was handed to the restorer or its worker.
    is_open: bool,
}

/// What was committed of partitions, and where each begins by that.
type Standing = (Vec<Committed>, Vec<i64>);

/// See the module.
pub struct Coordinator {
    parts: Parts,
    /// Given by the group, and not taken on yet.
    offered: Option<Vec<TopicPartition>>,
    /// Partitions that are this host's.
    assigned: BTreeSet<TopicPartition>,
    tasks: BTreeMap<TaskId, Had>,
    /// The last stretch of each task that this process ever had.
    stretches: BTreeMap<TaskId, Stretch>,
    token: Option<Token>,
    /// Tasks to open again, and when.
    reopen: BTreeMap<TaskId, Instant>,
    /// Tasks whose state is damaged, and what was found.
    damaged: BTreeMap<TaskId, String>,
    /// When states were built anew because they were damaged.
    rebuilt: BTreeMap<TaskId, Instant>,
    /// When it was last said that the brokers do not tell where partitions stand.
    told: Option<Instant>,
}

impl Coordinator {
    /// Joined, and nothing is assigned yet.
    pub fn new(parts: Parts) -> Self {
        let (offered, assigned, tasks, stretches, token) = Default::default();
        let (reopen, damaged, rebuilt, told) = Default::default();
        Self { parts, offered, assigned, tasks, stretches, token, reopen, damaged, rebuilt, told }
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// Why it cannot go on; whoever gets it ends the host. What was done is committed, where that may still be.
    pub fn run(mut self) -> Result<(), KafkaError> {
        let leave = loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(leave)) => break Ok(leave),
                Err(why) => break Err(why),
            }
        };
        let all: Vec<TaskId> = self.tasks.keys().copied().collect();
        self.give(&all, true);
        if let Err(why) = self.parts.member.close(leave?) {
            // All that could be committed is, and who asked for the end has it.
            warn!(error = %why, "ended all the same; the group keeps this host's tasks for it until its session time-out");
        }
        Ok(())
    }

    /// Does what there is to do; how to leave, once that is asked for. Never waits long for the brokers: the group, the workers and
    /// whoever wants to end the host are listened to meanwhile.
    fn turn(&mut self) -> Result<Option<Leave>, KafkaError> {
        if let Some(event) = self.parts.member.poll(POLL) {
            self.event(event)?;
        }
        while let Ok(request) = self.parts.requests.try_recv() {
            match request {
                Request::Reopen(task) => {
                    self.reopen.insert(task, Instant::now() + REOPEN_PAUSE);
                }
                Request::Rebuild { task, why } => self.rebuild(task, why),
                Request::Skip { partition, to } => self.skip(&partition, to)?,
                Request::Committed(interval) => self.parts.purge.committed(&interval),
                Request::Fail(why) => return Err(KafkaError::Fatal(why)),
                Request::Stop(leave) => return Ok(Some(leave)),
            }
        }
        self.take_on()?;
        self.reopen_due()?;
        self.restore_whole()?;
        self.restored();
        self.parts.purge.work();
        if let Some(why) = self.parts.growth.found() {
            return Err(KafkaError::Refused(why));
        }
        Ok(None)
    }

    fn event(&mut self, event: Event) -> Result<(), KafkaError> {
        match &event {
            Event::Assigned(partitions) if partitions.is_empty() => {}
            Event::Assigned(_) => self.parts.status.rebalanced(Rebalance::Assigned),
            Event::Revoked(_) => self.parts.status.rebalanced(Rebalance::Revoked),
            Event::Lost(_) => self.parts.status.rebalanced(Rebalance::Lost),
            Event::Error(_) => {}
        }
        match event {
            Event::Assigned(partitions) => self.offered(partitions),
            Event::Revoked(partitions) => self.released(&partitions, true),
            Event::Lost(partitions) => {
                warn!(
                    partitions = partitions.len(),
                    "this host was out of its group; what it had not committed is dropped"
                );
                self.released(&partitions, false)
            }
            Event::Error(KafkaError::Retry(why)) => {
                warn!(error = why, "the client is in trouble and tries again");
                Ok(())
            }
            Event::Error(why) => Err(why),
        }
    }

    /// New partitions are offered: whether they can be this host's.
    fn offered(&mut self, partitions: Vec<TopicPartition>) -> Result<(), KafkaError> {
        let topology = &self.parts.topology;
        let grown = |p: &TopicPartition| growth::changed(topology, &p.topic, p.partition.unsigned_abs() + 1);
        let known = |p: &TopicPartition| {
            topology.topics.iter().any(|t| t.name == *p.topic && t.partitions > p.partition.unsigned_abs())
        };
        if let Some(why) = partitions.iter().filter(|p| !known(p)).max().and_then(grown) {
            return Err(KafkaError::Refused(why));
        }
        let mut all: Vec<TopicPartition> = self.assigned.iter().chain(&partitions).cloned().collect();
        all.sort();
        all.dedup();
        let (_, torn) = self.parts.layout.tasks(&all);
        if self.parts.protocol == GroupProtocol::Classic
            && let Some(partition) = torn.first()
        {
            return Err(KafkaError::Refused(format!(
                "the group has assigned {partition} without the other partitions of its task: do all members run the same \
                 manifest? A pipeline whose steps or topics have changed needs all its hosts stopped first, or another name"
            )));
        }
        self.offered = Some(partitions);
        Ok(())
    }

    /// Takes on what is offered: where it begins, who reads it, and which tasks it belongs to. Again later where the brokers do not
    /// tell yet.
    fn take_on(&mut self) -> Result<(), KafkaError> {
        let Some(partitions) = self.offered.clone() else { return Ok(()) };
        self.parts.heir.inherit(&partitions);
        let Some((_, starts)) = self.standing(&partitions)? else { return Ok(()) };
        self.offered = None;
        let place = |(partition, start): (&TopicPartition, i64)| {
            let tag = self.parts.layout.tag(partition).ok_or_else(|| {
                KafkaError::Refused(format!("the group has assigned {partition}, which this pipeline does not read"))
            })?;
            let task = self.parts.layout.task(tag);
            let before = self.stretches.get(&task).copied().unwrap_or_default();
            let stretch = self.tasks.get(&task).map_or(Stretch(before.0 + 1), |had| had.stretch);
            let worker = self.parts.layout.worker(task);
            Ok((task, stretch, Placement { partition: partition.clone(), worker, tag: tag.during(stretch).0, start }))
        };
        let placed = partitions.iter().zip(starts).map(place).collect::<Result<Vec<_>, KafkaError>>()?;
        let placements: Vec<Placement> = placed.iter().map(|(_, _, p)| p.clone()).collect();
        let token = loop {
            match self.parts.member.assign(&placements) {
                Err(KafkaError::Retry(why)) => warn!(error = why, "taking partitions on takes long"),
                other => break other?,
            }
        };
        let Some(token) = token else { return Ok(()) };
        self.token = Some(token);
        info!(partitions = partitions.len(), "assigned");
        for (task, stretch, _) in placed {
            self.stretches.insert(task, stretch);
            self.tasks.entry(task).or_insert(Had { stretch, is_open: false });
        }
        self.assigned.extend(partitions);
        Ok(())
    }

    /// Has those tasks restored that are whole and were not handed on.
    fn restore_whole(&mut self) -> Result<(), KafkaError> {
        if self.tasks.values().all(|had| had.is_open) {
            return Ok(());
        }
        let all: Vec<TopicPartition> = self.assigned.iter().cloned().collect();
        let (whole, _) = self.parts.layout.tasks(&all);
        let is_new = |t: &TaskId| self.tasks.get(t).is_some_and(|had| !had.is_open) && !self.reopen.contains_key(t);
        let new: Vec<TaskId> = whole.into_iter().filter(is_new).collect();
        for task in new {
            if !self.restore(task)? {
                break;
            }
        }
        Ok(())
    }

    /// Has a task restored; `false`: the brokers do not tell yet where it stands.
    fn restore(&mut self, task: TaskId) -> Result<bool, KafkaError> {
        let (Some(token), Some(had)) = (self.token, self.tasks.get(&task).copied()) else { return Ok(true) };
        let partitions: Vec<TopicPartition> = self.parts.layout.partitions(task).collect();
        self.parts.status.task(task, |t| t.state = TaskState::Starting);
        let Some((committed, starts)) = self.standing(&partitions)? else { return Ok(false) };
        let last = committed.iter().find_map(|c| Beside::decode(&c.metadata).filter(|beside| beside.meta.is_some()));
        let (meta, mut ends) = last.map_or((None, None), |last| (last.meta, last.ends));
        if self.parts.guarantee == Guarantee::AtLeastOnce && committed.iter().all(|c| c.offset.is_none()) {
            // Whatever its changelogs hold, no commit stands for it.
            ends = Some(Ends::new());
        }
        if let Some(had) = self.tasks.get_mut(&task) {
            had.is_open = true;
        }
        let start = self.start_of_inputs(task, &partitions, &starts);
        // Its lag is known before it is opened.
        let topics = self.parts.topology.subs[task.sub].inputs.iter().map(|input| input.topic);
        let positions = topics.zip(start.iter().copied()).collect();
        self.parts.status.task(task, |t| t.positions = positions);
        let damage = self.damaged.remove(&task);
        self.parts.restorer.ask(Restore { task, token, stretch: had.stretch, meta, ends, start, damage });
        Ok(true)
    }

    /// One offset for each input; a topic with fewer partitions than there are tasks begins at 0, where it has nothing.
    fn start_of_inputs(&self, task: TaskId, partitions: &[TopicPartition], starts: &[i64]) -> Vec<i64> {
        let inputs = self.parts.topology.subs[task.sub].inputs.iter();
        let of = |topic: usize| {
            let name = self.parts.topology.topics[topic].name.as_str();
            let at = partitions.iter().position(|p| &*p.topic == name);
            at.map_or(0, |at| starts[at])
        };
        inputs.map(|input| of(input.topic)).collect()
    }

    /// The group's stable offsets, and where reading begins; `None`: the brokers do not tell now, ask again.
    fn standing(&mut self, of: &[TopicPartition]) -> Result<Option<Standing>, KafkaError> {
        let asked = self.parts.member.committed(of, ASK).and_then(|found| {
            let one = |p: &TopicPartition| found.iter().find(|c| c.partition == *p).cloned();
            let none = |p: &TopicPartition| Committed { partition: p.clone(), offset: None, metadata: String::new() };
            let committed: Vec<Committed> = of.iter().map(|p| one(p).unwrap_or_else(|| none(p))).collect();
            let starts = self.parts.starts.of(&committed)?;
            Ok((committed, starts))
        });
        match asked {
            Ok(standing) => Ok(Some(standing)),
            Err(KafkaError::Retry(why)) => {
                if self.told.is_none_or(|at| at.elapsed() > TELL_EVERY) {
                    self.told = Some(Instant::now());
                    info!(reason = why, "asking where partitions stand, trying again");
                }
                Ok(None)
            }
            Err(why) => Err(why),
        }
    }

    /// Partitions that go to others, or have gone.
    fn released(&mut self, partitions: &[TopicPartition], commit: bool) -> Result<(), KafkaError> {
        // What was offered before and not taken on is void.
        self.offered = None;
        let layout = self.parts.layout.clone();
        let tasks: BTreeSet<TaskId> =
            partitions.iter().filter_map(|p| layout.tag(p)).map(|tag| layout.task(tag)).collect();
        let tasks: Vec<TaskId> = tasks.into_iter().filter(|task| self.tasks.contains_key(task)).collect();
        info!(partitions = partitions.len(), tasks = tasks.len(), commit, "giving up");
        self.give(&tasks, commit);
        let token = loop {
            match self.parts.member.release() {
                Err(KafkaError::Retry(why)) => warn!(error = why, "giving partitions up takes long"),
                other => break other?,
            }
        };
        self.token = Some(token);
        for partition in partitions {
            self.assigned.remove(partition);
        }
        for task in tasks {
            // Some of its partitions may stay; the task is whole again only when the others come back.
            self.tasks.remove(&task);
        }
        Ok(())
    }

    /// Has workers give tasks up, and waits for it.
    fn give(&mut self, tasks: &[TaskId], commit: bool) {
        let (done, all_done) = channel();
        for task in tasks {
            self.parts.restorer.forget(*task);
            self.reopen.remove(task);
        }
        for (number, (commands, waker)) in self.parts.workers.iter().enumerate() {
            let here = tasks.iter().filter(|task| self.parts.layout.worker(**task) == number);
            let tasks: Vec<_> = here.filter_map(|task| Some((*task, self.tasks.get(task)?.stretch))).collect();
            if !tasks.is_empty() {
                let command = Command::Give { tasks, commit, done: done.clone() };
                // One that has ended has given up everything.
                let _ended = commands.send(command);
                waker.wake();
            }
        }
        drop(done);
        let until = Instant::now() + GIVE_WAIT;
        while let Ok(()) = all_done.recv_timeout(until.saturating_duration_since(Instant::now())) {}
    }

    /// Opens tasks whose state is here.
    fn restored(&mut self) {
        while let Some((restore, result)) = self.parts.restorer.done() {
            let Restore { task, token, stretch, meta, start, .. } = restore;
            if self.tasks.get(&task).is_none_or(|had| had.stretch != stretch) {
                continue;
            }
            match result {
                Ok(()) => {
                    let (commands, waker) = &self.parts.workers[self.parts.layout.worker(task)];
                    let _ended = commands.send(Command::Open { task, meta, start, token, stretch });
                    waker.wake();
                }
                Err(why) if is_passing(&why) => {
                    warn!(task = task_name(task), error = format!("{why:#}"), "restoring its state, trying again");
                    self.parts.status.task(task, |t| t.state = TaskState::Retrying(format!("{why:#}")));
                    self.reopen.insert(task, Instant::now() + REOPEN_PAUSE);
                }
                Err(why) => {
                    error!(task = task_name(task), error = format!("{why:#}"), "its state cannot be restored");
                    self.parts.status.task(task, |t| t.state = TaskState::Stopped(format!("{why:#}")));
                }
            }
        }
    }

    fn reopen_due(&mut self) -> Result<(), KafkaError> {
        let now = Instant::now();
        let due: Vec<TaskId> = self.reopen.iter().filter(|(_, at)| **at <= now).map(|(t, _)| *t).collect();
        for task in due {
            self.reopen.remove(&task);
            if self.tasks.contains_key(&task) && !self.open_again(task)? {
                self.reopen.insert(task, Instant::now() + REOPEN_PAUSE);
            }
        }
        Ok(())
    }

    /// Reads a task's partitions from their committed offsets again, in a new stretch; `false`: not now.
    fn open_again(&mut self, task: TaskId) -> Result<bool, KafkaError> {
        let partitions: Vec<TopicPartition> = self.parts.layout.partitions(task).collect();
        let Some((_, starts)) = self.standing(&partitions)? else { return Ok(false) };
        let Some(had) = self.tasks.get_mut(&task) else { return Ok(true) };
        had.stretch = Stretch(had.stretch.0 + 1);
        had.is_open = false;
        let stretch = had.stretch;
        self.stretches.insert(task, stretch);
        let moved = |(partition, to): (&TopicPartition, &i64)| {
            let tag = self.parts.layout.tag(partition).map(|tag| tag.during(stretch).0);
            Move { partition: partition.clone(), to: *to, tag }
        };
        let moves: Vec<Move> = partitions.iter().zip(&starts).map(moved).collect();
        match self.parts.member.rewind(&moves) {
            // It is restored with the others that are whole.
            Ok(()) => Ok(true),
            Err(KafkaError::Retry(why)) => {
                warn!(task = task_name(task), error = why, "reading it from its last commit again, trying again");
                Ok(false)
            }
            Err(why) => Err(why),
        }
    }

    /// The state of a task is damaged. Once it is built anew from its changelog; what is damaged again is not mended by that.
    fn rebuild(&mut self, task: TaskId, why: String) {
        let now = Instant::now();
        if self.rebuilt.get(&task).is_some_and(|at| now.duration_since(*at) < REBUILD_AGAIN) {
            error!(task = task_name(task), error = why, "its state was built anew already, task has stopped");
            self.parts.status.task(task, |t| t.state = TaskState::Stopped(why));
            return;
        }
        self.rebuilt.insert(task, now);
        self.damaged.insert(task, why);
        self.reopen.insert(task, now + REOPEN_PAUSE);
    }

    fn skip(&mut self, partition: &TopicPartition, to: i64) -> Result<(), KafkaError> {
        if !self.assigned.contains(partition) {
            return Ok(());
        }
        match self.parts.member.rewind(&[Move { partition: partition.clone(), to, tag: None }]) {
            Err(KafkaError::Retry(why)) => {
                // The reader finds the offset gone again, and asks again.
                warn!(%partition, error = why, "going on behind what is gone, trying again");
                Ok(())
            }
            other => other,
        }
    }
}
