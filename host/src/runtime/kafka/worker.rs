//! The loop of a worker on Kafka: read → step → perform effects → wait. Commits go to its committer, a thread of its own, so
//! that the next interval is worked on while the last one commits. Which tasks it has, the member says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::error::Verdict;
use millstream_core::function::Functions;
use millstream_core::globals::Globals;
use millstream_core::operator::Active;
use millstream_core::poll::BUFFER_BYTES_MAX;
use millstream_core::record::Batch;
use millstream_core::state::keyspace::Space;
use millstream_core::task::TaskId;
use millstream_core::time::NEVER;
use millstream_core::topology::graph::Topology;
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker};
use millstream_kafka::consumer::{Reader, Token};
use millstream_kafka::fetch::{Fetched, Problem, TopicPartition};
use tracing::{error, info, warn};

use super::committer::{Answer, Job};
use super::directory::Directory;
use super::layout::{Layout, Stretch, Tag};
use super::member::Request;
use super::quiet::{self, Quiet};
use crate::runtime::fleet::Fleet;
use crate::runtime::formats::Shared;
use crate::runtime::pause::{Duty, Part};
use crate::runtime::status::{Outcome, Status, TaskState};
use crate::runtime::worker::wall_ms;

/// Messages taken out of the client by one call at the most: more would keep others out of the parking rule for long.
const MESSAGES_MAX: usize = 8_192;

/// Longest wait of a worker that has nothing to do.
const IDLE_WAIT: Duration = Duration::from_millis(20);

/// Longest wait while results wait for their interval to end.
const BUSY_WAIT: Duration = Duration::from_millis(2);

/// Bytes of one partition that wait for its worker, above which it is not fetched. What one read brings comes on top.
pub const WAITING_BYTES_MAX: usize = BUFFER_BYTES_MAX;

/// How often a task's position is committed when it is opened, though nothing has come: once, and once more where that was fenced, as it
/// may be by a producer of the host's own from before.
const NAMINGS_MAX: u32 = 2;

/// Longest time that giving tasks back waits for the commit that is under way.
const GIVE_WAIT: Duration = Duration::from_secs(20);

/// How often positions are committed though nothing happens. Brokers forget those of a group after `offsets.retention.minutes`: 7
/// days, 1 before Kafka 2.0, and before 2.1 also while the group lives.
const RECOMMIT_EVERY: Duration = Duration::from_secs(12 * 3_600);

/// What a worker can be told.
#[derive(Debug)]
pub enum Command {
    /// The state of a task is here: take it on.
    Open {
        /// The task.
        task: TaskId,
        /// What its last commit wrote; `None` for one that never ran.
        meta: Option<Vec<u8>>,
        /// Where its inputs begin when it never ran, one offset for each.
        start: Vec<i64>,
        /// Since when its partitions are owned.
        token: Token,
        /// Under which stretch they are read.
        stretch: Stretch,
    },
    /// Give tasks up.
    Give {
        /// The tasks, and the stretches that end for them.
        tasks: Vec<(TaskId, Stretch)>,
        /// Commit first what they have done.
        commit: bool,
        /// Answered when nothing of them is under way any more.
        done: Sender<()>,
    },
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

/// What a worker is made from.
pub struct Parts {
    /// The plan.
    pub topology: Arc<Topology>,
    /// Which partition is whose.
    pub layout: Arc<Layout>,
    /// The tasks' databases.
    pub directory: Arc<Directory>,
    /// Where to tell how things stand.
    pub status: Arc<Status>,
    /// Its own instances.
    pub functions: Box<dyn Functions + Send>,
    /// What topics hold.
    pub formats: Shared,
    /// Global tables.
    pub globals: Arc<dyn Globals + Send + Sync>,
    /// Its end of the client.
    pub reader: Reader,
    /// Its committer.
    pub jobs: Sender<Job>,
    /// What the committer answers.
    pub answers: Receiver<Answer>,
    /// Commands for it.
    pub commands: Receiver<Command>,
    /// The coordinating thread.
    pub member: Sender<Request>,
    /// Versions in force.
    pub active: Vec<Active>,
    /// Is told of those that fail.
    pub fleet: Arc<Fleet>,
    /// Settings of the core.
    pub settings: Settings,
    /// Whether to work.
    pub pause: Part,
    /// Whether silent partitions are at their ends.
    pub quiet: Quiet,
}

/// An open task.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Since when its partitions are owned.
    token: Token,
    stretch: Stretch,
}

/// A worker and what it works with.
pub struct Loop {
    parts: Parts,
    spaces: Vec<Vec<Space>>,
    worker: Worker,
    open: BTreeMap<TaskId, Open>,
    /// What was read for tasks that are not open yet.
    early: BTreeMap<Tag, Vec<Fetched>>,
    /// Stretches that are over: what is read for them is not kept.
    over: BTreeMap<TaskId, Stretch>,
    /// Tasks that are closed until the host is resumed.
    resting: BTreeSet<TaskId>,
    /// Tasks that have stopped: another version of a function may get them going again.
    halted: BTreeSet<TaskId>,
    /// How often it was tried for a task to have its offsets say that it is this host's.
    named: BTreeMap<TaskId, u32>,
    /// Bytes that waited when that was last told.
    told_waiting: usize,
    /// The client has ended.
    closed: bool,
    /// When positions were last committed whatever happens.
    recommitted: Instant,
}

impl Loop {
    /// A worker without tasks.
    pub fn new(parts: Parts) -> Self {
        let worker = Worker::new(parts.topology.clone(), parts.settings, parts.active.clone(), 1);
        let spaces = Directory::spaces(&parts.topology);
        let (open, early, over, resting, halted, named) = Default::default();
        Self {
            parts,
            spaces,
            worker,
            open,
            early,
            over,
            resting,
            halted,
            named,
            told_waiting: 0,
            closed: false,
            recommitted: Instant::now(),
        }
    }

    /// Runs until told to stop.
    pub fn run(mut self) {
        while self.obey() {
            self.answers();
            let (rests, before) = (self.rests(), self.worker.bytes());
            self.read(self.wait(before));
            self.confirm_ends();
            if self.recommitted.elapsed() > RECOMMIT_EVERY {
                self.recommitted = Instant::now();
                self.step(Input::Recommit);
            }
            if !rests {
                self.step(Input::Tick);
            }
            self.tell_bytes();
        }
        let all: Vec<_> = self.open.iter().map(|(task, open)| (*task, open.stretch)).collect();
        self.give(&all, true);
    }

    /// How long to wait for records: not at all while there is work.
    fn wait(&self, bytes: usize) -> Duration {
        match (self.worker.has_work(), bytes) {
            (true, _) => Duration::ZERO,
            (false, 0) => IDLE_WAIT,
            (false, _) => BUSY_WAIT,
        }
    }

    /// Takes the commands that have come; `false`: to end.
    fn obey(&mut self) -> bool {
        loop {
            match self.parts.commands.try_recv() {
                Ok(Command::Open { task, meta, start, token, stretch }) => {
                    self.open(task, meta, start, Open { token, stretch });
                }
                Ok(Command::Give { tasks, commit, done }) => {
                    self.give(&tasks, commit);
                    // Whoever asked may have ended meanwhile.
                    let _ = done.send(());
                }
                Ok(Command::Activate { function, active }) => self.activate(function, active),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return !self.closed,
            }
        }
    }

    fn activate(&mut self, function: usize, active: Active) {
        self.step(Input::Activate { function, active });
        for task in std::mem::take(&mut self.halted) {
            self.parts.status.task(task, |t| t.state = TaskState::Starting);
            let _ended = self.parts.member.send(Request::Reopen(task));
        }
    }

    /// Does what pausing asks for; whether nothing else is to be done.
    fn rests(&mut self) -> bool {
        match self.parts.pause.duty() {
            Duty::Work => return false,
            Duty::Resume => {
                for task in std::mem::take(&mut self.resting) {
                    self.parts.status.task(task, |t| t.state = TaskState::Starting);
                    let _ended = self.parts.member.send(Request::Reopen(task));
                }
                return false;
            }
            Duty::Drain => self.step(Input::Drain),
            Duty::Wait => {}
            Duty::Rest => return true,
        }
        if !self.worker.committing() && !self.worker.is_draining() {
            for (task, open) in self.open.clone() {
                self.step(Input::Close { task });
                self.rest(task, open.stretch);
            }
            self.parts.pause.drained();
        }
        true
    }

    /// Keeps a task closed: nothing of it is fetched until it is opened again, from its last commit.
    fn rest(&mut self, task: TaskId, stretch: Stretch) {
        self.end(task, stretch);
        self.tags(task, stretch).into_iter().for_each(|tag| self.tell_waiting(tag));
        self.resting.insert(task);
        let number = self.parts.reader.worker();
        self.parts.status.task(task, |t| (t.worker, t.state) = (number, TaskState::Paused));
    }

    fn open(&mut self, task: TaskId, meta: Option<Vec<u8>>, start: Vec<i64>, open: Open) {
        if self.parts.pause.rests() {
            return self.rest(task, open.stretch);
        }
        info!(task = task_name(task), first = meta.is_none(), "opening");
        self.open.insert(task, open);
        let number = self.parts.reader.worker();
        self.parts.status.task(task, |t| (t.worker, t.state) = (number, TaskState::Running));
        self.step(Input::Open { task, meta, start });
        for tag in self.tags(task, open.stretch) {
            let early = self.early.remove(&tag).unwrap_or_default();
            early.into_iter().for_each(|fetched| self.feed(tag, &fetched));
        }
        // What is committed says whose it is, and where to ask him: from now on, and not from the next record on. Not so where it was this
        // host's before: of two hosts on copies of one directory each would fence the other without any record.
        let tries = self.named.entry(task).or_default();
        if *tries < NAMINGS_MAX {
            *tries += 1;
            self.step(Input::Recommit);
        }
        self.tell_of_opened(task);
    }

    fn tags(&self, task: TaskId, stretch: Stretch) -> Vec<Tag> {
        self.parts.layout.tags(task).map(|tag| tag.during(stretch)).collect()
    }

    /// Gives tasks up, with what they have done or without it.
    fn give(&mut self, tasks: &[(TaskId, Stretch)], commit: bool) {
        let until = Instant::now() + GIVE_WAIT;
        if commit {
            self.step(Input::Drain);
            // An interval that is under way first, then the one that was just closed.
            while (self.worker.committing() || self.worker.is_draining()) && Instant::now() < until {
                self.answer_within(until.saturating_duration_since(Instant::now()));
            }
            if self.worker.committing() {
                warn!("a commit did not end in time; the tasks' next owner finds out how it ended");
            }
        }
        for (task, stretch) in tasks {
            self.step(Input::Close { task: *task });
            self.end(*task, *stretch);
            self.resting.remove(task);
            self.halted.remove(task);
            self.named.remove(task);
            self.parts.status.closed(*task);
            self.parts.directory.park(*task);
        }
    }

    /// A task's stretch is over.
    fn end(&mut self, task: TaskId, stretch: Stretch) {
        self.open.remove(&task);
        self.over.insert(task, stretch);
        let layout = self.parts.layout.clone();
        self.early.retain(|tag, _| layout.task(*tag) != task || tag.stretch() > stretch);
        self.parts.quiet.retain(|tag| layout.task(tag) != task || tag.stretch() > stretch);
    }

    /// Takes in how commits ended.
    fn answers(&mut self) {
        while let Ok(answer) = self.parts.answers.try_recv() {
            self.answered(answer);
        }
    }

    fn answer_within(&mut self, wait: Duration) {
        if let Ok(answer) = self.parts.answers.recv_timeout(wait) {
            self.answered(answer);
        }
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Outcome { interval, outcome, micros } => {
                self.parts.status.took(micros);
                match &outcome {
                    // Counted when the engine has it.
                    CommitOutcome::Committed => self.named.extend(interval.parts.iter().map(|p| (p.task, NAMINGS_MAX))),
                    CommitOutcome::Aborted => self.parts.status.ended(Outcome::Aborted),
                    CommitOutcome::Fenced(_) => self.parts.status.ended(Outcome::Fenced),
                    CommitOutcome::Unknown => self.parts.status.ended(Outcome::Unknown),
                    CommitOutcome::Fatal(_) => self.parts.status.ended(Outcome::Fatal),
                }
                self.step(Input::Outcome { interval: interval.id, outcome });
            }
            Answer::Resolved { interval, there } => self.step(Input::Resolved { interval, there }),
        }
    }

    fn read(&mut self, wait: Duration) {
        let read = match self.parts.reader.read(MESSAGES_MAX, wait) {
            Ok(read) => read,
            Err(_closed) => {
                self.closed = true;
                return;
            }
        };
        for fetched in read.fetched {
            let tag = Tag(fetched.tag);
            let task = self.parts.layout.task(tag);
            let stretch = tag.stretch();
            if self.open.get(&task).is_some_and(|open| open.stretch == stretch) {
                self.feed(tag, &fetched);
            } else if self.over.get(&task).is_none_or(|over| stretch > *over) {
                self.early.entry(tag).or_default().push(fetched);
            }
            self.tell_waiting(tag);
        }
        for (partition, problem) in read.problems {
            self.problem(&partition, problem);
        }
        // What waited was worked off meanwhile.
        for tag in self.parts.reader.paused_tags() {
            self.tell_waiting(Tag(tag));
        }
    }

    fn tell_waiting(&mut self, tag: Tag) {
        let task = self.parts.layout.task(tag);
        let bytes = match (self.open.get(&task), self.over.get(&task)) {
            (Some(open), _) if open.stretch == tag.stretch() => {
                self.worker.waiting_bytes(task, self.parts.layout.input(tag))
            }
            // Nobody wants it: not to be fetched until its task is taken on again.
            (_, Some(over)) if tag.stretch() <= *over => WAITING_BYTES_MAX,
            _ => self.early.get(&tag).map_or(0, |all| all.iter().map(|f| f.batch.bytes()).sum()),
        };
        self.parts.reader.waiting(tag.0, bytes);
    }

    /// Hands records to the engine, run by run of offsets that follow each other.
    fn feed(&mut self, tag: Tag, fetched: &Fetched) {
        let (task, input) = (self.parts.layout.task(tag), self.parts.layout.input(tag));
        let end = fetched.next + i64::from(!fetched.at_end);
        let (mut at, mut row) = (fetched.from, 0);
        for (base_offset, count) in fetched.offsets.runs() {
            if base_offset > at {
                self.step(Input::Fetched { task, input, base_offset, batch: Batch::default(), end });
            }
            let batch = fetched.batch.slice(row, row + count);
            self.step(Input::Fetched { task, input, base_offset, batch, end });
            (at, row) = (base_offset + count as i64, row + count);
        }
        if fetched.next > at || fetched.offsets.is_empty() {
            self.step(Input::Fetched { task, input, base_offset: fetched.next, batch: Batch::default(), end });
        }
        if quiet::matters(&self.parts.topology.subs[task.sub]) {
            self.parts.quiet.read(tag, &fetched.partition, fetched.next, fetched.at_end);
        }
    }

    /// Tells the engine of silent partitions that are at their ends still.
    fn confirm_ends(&mut self) {
        for (tag, end) in self.parts.quiet.confirmed() {
            let (task, input) = (self.parts.layout.task(tag), self.parts.layout.input(tag));
            if self.open.get(&task).is_some_and(|open| open.stretch == tag.stretch()) {
                self.step(Input::Fetched { task, input, base_offset: end, batch: Batch::default(), end });
            }
        }
    }

    fn problem(&mut self, partition: &TopicPartition, problem: Problem) {
        let Some(tag) = self.parts.layout.tag(partition) else { return };
        let task = self.parts.layout.task(tag);
        match problem {
            Problem::OffsetGone { asked, start: Some(start), .. } if asked < start => {
                error!(%partition, from = asked, to = start, "records were deleted before they were read");
                self.parts.status.lost(start - asked);
                let request = Request::Skip { partition: partition.clone(), to: start };
                let _ended = self.parts.member.send(request);
            }
            Problem::OffsetGone { asked, end, .. } => {
                let end = end.map_or("unknown".to_string(), |end| end.to_string());
                let why = format!(
                    "topic {}, partition {}: the task stands at offset {asked}, and the topic ends at {end}: records that \
                     were processed are gone; was the topic made anew? Start over with `millstream reset`, or under another pipeline name",
                    partition.topic, partition.partition
                );
                self.step(Input::Close { task });
                self.stopped(task, Verdict::Fatal(why));
            }
            Problem::Failed(why) => warn!(%partition, error = %why, "reading failed, the client tries again"),
        }
    }

    fn step(&mut self, input: Input) {
        let mut grounds = Grounds {
            functions: self.parts.functions.as_mut(),
            formats: self.parts.formats.as_ref(),
            globals: self.parts.globals.as_ref(),
            db: self.parts.directory.as_ref(),
            spaces: &self.spaces,
        };
        for effect in self.worker.step(wall_ms(), input, &mut grounds) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Commit(interval) => {
                let held = interval.parts.iter().filter_map(|part| Some((part.task, self.open.get(&part.task)?.token)));
                let held = held.collect();
                // A committer that has ended took the whole host with it.
                let _ended = self.parts.jobs.send(Job::Commit { interval, held });
            }
            Effect::Resolve(interval) => {
                let _ended = self.parts.jobs.send(Job::Resolve { interval });
            }
            Effect::Committed(interval) => {
                self.parts.status.committed(&interval, &self.parts.topology);
                self.tell_of_tasks(&interval);
                let _ended = self.parts.member.send(Request::Committed(interval));
            }
            Effect::Stopped { task, verdict, blamed } => {
                let why = verdict.to_string();
                self.stopped(task, verdict);
                self.parts.fleet.blame(&blamed, &why);
            }
        }
    }

    fn stopped(&mut self, task: TaskId, verdict: Verdict) {
        let name = task_name(task);
        if let Some(stretch) = self.open.get(&task).map(|open| open.stretch) {
            self.end(task, stretch);
            self.tags(task, stretch).into_iter().for_each(|tag| self.tell_waiting(tag));
        }
        match verdict {
            // Fenced: this host has the task no longer, which the group says too; or it only looked so, and goes on.
            Verdict::Retry(why) | Verdict::Fenced(why) => {
                warn!(task = name, error = why, "task will be opened again where it is this host's still");
                self.parts.status.task(task, |t| t.state = TaskState::Retrying(why));
                let _ended = self.parts.member.send(Request::Reopen(task));
            }
            Verdict::Corrupted(why) => {
                warn!(task = name, error = why, "its state is damaged");
                self.parts.status.task(task, |t| t.state = TaskState::Retrying(why.clone()));
                let _ended = self.parts.member.send(Request::Rebuild { task, why });
            }
            verdict => {
                error!(task = name, error = %verdict, "task has stopped");
                self.halted.insert(task);
                self.parts.status.task(task, |t| t.state = TaskState::Stopped(verdict.to_string()));
            }
        }
    }

    fn tell_bytes(&mut self) {
        let tags = self
            .open
            .iter()
            .flat_map(|(task, open)| self.tags(*task, open.stretch).into_iter().map(|tag| (*task, tag)));
        let waiting: usize =
            tags.map(|(task, tag)| self.worker.waiting_bytes(task, self.parts.layout.input(tag))).sum();
        let bytes = waiting + self.early.values().flatten().map(|fetched| fetched.batch.bytes()).sum::<usize>();
        if bytes != self.told_waiting {
            self.told_waiting = bytes;
            self.parts.status.waiting(self.parts.reader.worker(), bytes);
        }
    }

    fn tell_of_tasks(&self, interval: &Interval) {
        for task in self.worker.tasks().filter(|t| interval.parts.iter().any(|p| p.task == t.id())) {
            let time = task.stream_time();
            self.parts.status.task(task.id(), |status| {
                status.stream_time = (time != NEVER).then_some(time);
                status.state_bytes = task.state_bytes();
            });
        }
    }

    /// Positions are known before the first commit.
    fn tell_of_opened(&self, id: TaskId) {
        if let Some(task) = self.worker.tasks().find(|task| task.id() == id) {
            let topics = self.parts.topology.subs[id.sub].inputs.iter().map(|input| input.topic);
            let positions = topics.zip(task.positions()).collect();
            self.parts.status.task(id, |status| status.positions = positions);
        }
    }
}

/// A task as people read it: sub-topology and partition.
pub fn task_name(task: TaskId) -> String {
    format!("{}_{}", task.sub, task.partition)
}
