//! A worker: some tasks, one open interval, one commit under way. One door in, one door out.
//!
//! The shell fetches, waits and commits; it calls [`Worker::step`] with what happened and performs the effects it gets.
//! Nothing here is visible outside until the shell has performed [`Effect::Commit`], and none of it is final until
//! [`Input::Outcome`] says so.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::commit::{Commit, CommitOutcome, Interval, Next};
use crate::error::Verdict;
use crate::formats::Formats;
use crate::function::Functions;
use crate::globals::Globals;
use crate::operator::{Active, Ports};
use crate::record::{Batch, Timestamp};
use crate::state::keyspace::{Keyspaces, Space};
use crate::task::{Task, TaskId, functions_of_step};
use crate::time::Now;
use crate::topology::graph::Topology;

/// What a worker goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Milliseconds between commits.
    pub commit_interval_ms: i64,
    /// Bytes of results and changes of state, with what each costs besides, at which an interval is closed early, and above which no more is
    /// worked on.
    pub interval_bytes_max: usize,
    /// Bytes of fetched records that may wait: above it only inputs of which nothing waits are fetched.
    pub waiting_bytes_max: usize,
    /// Bytes of state that each store may keep in memory between commits.
    pub store_cache_bytes_max: usize,
    /// How long it counts, in milliseconds, what was told of the end of a partition, where a task is to be idle that has reached it: what
    /// nobody can ask for now may hold records. `None`: always, for logs that are at hand.
    pub ends_ms_max: Option<i64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            commit_interval_ms: 100,
            interval_bytes_max: 32 << 20,
            waiting_bytes_max: 64 << 20,
            store_cache_bytes_max: 64 << 20,
            ends_ms_max: None,
        }
    }
}

/// Everything that can happen to a worker.
#[derive(Clone, Debug)]
pub enum Input {
    /// A task is this worker's from now on.
    Open {
        /// The task.
        task: TaskId,
        /// What its last commit wrote; `None` for a task that never ran.
        meta: Option<Vec<u8>>,
        /// Where its inputs begin when it never ran, one offset for each.
        start: Vec<i64>,
    },
    /// A task is this worker's no longer: what it did in the open interval is dropped. What is being committed is there or
    /// not, as the outcome will say; if not, it is not tried again. To give a task up with what it has done, say
    /// [`Input::Drain`] before and wait until nothing is under way.
    Close {
        /// The task.
        task: TaskId,
    },
    /// Records were fetched.
    Fetched {
        /// For this task.
        task: TaskId,
        /// For this input of its sub-topology.
        input: usize,
        /// Offset of the first record.
        base_offset: i64,
        /// The records; may be none.
        batch: Batch,
        /// End of the partition as known now.
        end: i64,
    },
    /// Time passes: work on what waits, commit when it is time.
    Tick,
    /// Take on a version of a function at the next interval.
    Activate {
        /// Number of the function.
        function: usize,
        /// The version.
        active: Active,
    },
    /// A commit ended.
    Outcome {
        /// Number of the interval.
        interval: u64,
        /// How.
        outcome: CommitOutcome,
    },
    /// After an unknown outcome: whether the interval is there.
    Resolved {
        /// Number of the interval.
        interval: u64,
        /// It is.
        there: bool,
    },
    /// Commit what is done, now.
    Drain,
    /// Commit where every task stands, with the next interval: where nothing happens for long, positions that are not committed
    /// again are forgotten.
    Recommit,
    /// Close every window and commit: the end of a test.
    Flush,
}

/// Everything a worker may ask of the shell.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Make the interval one fact: outputs, changes, positions and metadata together.
    Commit(Arc<Interval>),
    /// Find out whether the interval is there, by the number in its tasks' metadata.
    Resolve(Arc<Interval>),
    /// The interval is final.
    Committed(Arc<Interval>),
    /// A task cannot go on; it was dropped here. What it did in the open interval will not be seen.
    Stopped {
        /// The task.
        task: TaskId,
        /// Why, and so what to do.
        verdict: Verdict,
        /// Where a function stopped it: the functions of its step by number, each with the epoch that it ran.
        blamed: Vec<(usize, u64)>,
    },
}

/// What a worker asks in the middle of a step.
pub struct Grounds<'a> {
    /// The worker's functions.
    pub functions: &'a mut dyn Functions,
    /// What topics of sources and sinks hold.
    pub formats: &'a dyn Formats,
    /// Global tables.
    pub globals: &'a dyn Globals,
    /// The database of its tasks.
    pub db: &'a dyn Keyspaces,
    /// Spaces of the stores, by sub-topology.
    pub spaces: &'a [Vec<Space>],
}

/// See the module.
pub struct Worker {
    topology: Arc<Topology>,
    settings: Settings,
    tasks: BTreeMap<TaskId, Task>,
    active: Vec<Active>,
    pending: Vec<(usize, Active)>,
    commit: Commit,
    next_interval: u64,
    /// When the open interval took its first record, as [`Now::passed_ms`].
    opened_at: Option<i64>,
    /// Position in the round over tasks, so that none is left waiting.
    turn: usize,
    /// The open interval is to be closed as soon as the one before is done.
    draining: bool,
    elapsed: Elapsed,
}

/// Wall time as it passes here: what is waited for is waited for as long, also when somebody turns the clock back.
#[derive(Clone, Copy, Debug, Default)]
struct Elapsed {
    /// Wall time of the last step.
    wall: Option<Timestamp>,
    /// Milliseconds since the first.
    ms: i64,
}

impl Elapsed {
    fn at(&mut self, wall: Timestamp, ends_ms_max: Option<i64>) -> Now {
        let passed = self.wall.map_or(0, |before| wall.saturating_sub(before)).max(0);
        self.ms = self.ms.saturating_add(passed);
        self.wall = Some(wall);
        Now { passed_ms: self.ms, wall, ends_since: ends_ms_max.map_or(i64::MIN, |ms| self.ms.saturating_sub(ms)) }
    }
}

/// What stands in front of a task's keys in a database of several tasks.
pub fn task_prefix(task: TaskId) -> [u8; 4] {
    task.partition.to_be_bytes()
}

impl Worker {
    /// A worker without tasks. `active`: the version of each function; `first_interval`: larger than any interval that
    /// was ever committed with these tasks, so that numbers tell intervals apart.
    pub fn new(topology: Arc<Topology>, settings: Settings, active: Vec<Active>, first_interval: u64) -> Self {
        Self {
            topology,
            settings,
            tasks: BTreeMap::new(),
            active,
            pending: Vec::new(),
            commit: Commit::default(),
            next_interval: first_interval,
            opened_at: None,
            turn: 0,
            draining: false,
            elapsed: Elapsed::default(),
        }
    }

    /// Its tasks.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// What a task wants fetched: input and offset.
    pub fn wants(&self) -> Vec<(TaskId, usize, i64)> {
        let full = self.tasks.values().map(Task::waiting_bytes).sum::<usize>() >= self.settings.waiting_bytes_max;
        let mut out = Vec::new();
        for (id, task) in &self.tasks {
            for input in 0..self.topology.subs[id.sub].inputs.len() {
                if let Some(offset) = task.wants(input).filter(|_| !full || task.is_dry(input)) {
                    out.push((*id, input, offset));
                }
            }
        }
        out
    }

    /// Bytes of an input of a task that wait here.
    pub fn waiting_bytes(&self, task: TaskId, input: usize) -> usize {
        self.tasks.get(&task).map_or(0, |task| task.waiting_bytes_of(input))
    }

    /// Whether the next tick takes records through the steps.
    pub fn has_work(&self) -> bool {
        let room = self.result_bytes() <= self.settings.interval_bytes_max;
        room && self.tasks.values().any(|task| task.has_records(self.elapsed.ms) && !task.is_half_isolated())
    }

    /// Whether what is done will be committed as soon as the interval before is.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether a commit is under way.
    pub fn committing(&self) -> bool {
        self.commit.under_way().is_some()
    }

    /// Advances by one input.
    ///
    /// Same worker, same `now` (wall time), same input, same answers from the ports: same effects.
    pub fn step(&mut self, now: Timestamp, input: Input, grounds: &mut Grounds<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let now = self.elapsed.at(now, self.settings.ends_ms_max);
        match input {
            Input::Open { task, meta, start } => self.open(now, task, meta.as_deref(), &start, grounds, &mut effects),
            Input::Close { task } => {
                self.commit.let_go(task);
                self.tasks.remove(&task);
            }
            Input::Fetched { task, input, base_offset, batch, end } => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.fetched(now, input, base_offset, batch, end);
                }
            }
            Input::Tick => {
                self.work(now, grounds, &mut effects);
                self.maybe_close(now, grounds, &mut effects);
            }
            Input::Activate { function, active } => {
                self.pending.push((function, active));
                self.maybe_close(now, grounds, &mut effects);
            }
            Input::Outcome { interval, outcome } => {
                let next = self.commit.outcome(interval, outcome);
                self.follow(now, next, grounds, &mut effects);
            }
            Input::Resolved { interval, there } => {
                let next = self.commit.resolved(interval, there);
                self.follow(now, next, grounds, &mut effects);
            }
            Input::Recommit => {
                self.tasks.values_mut().for_each(Task::touch);
                self.maybe_close(now, grounds, &mut effects);
            }
            Input::Drain => {
                self.draining = true;
                self.maybe_close(now, grounds, &mut effects);
            }
            Input::Flush => {
                self.draining = true;
                self.each(now, grounds, &mut effects, |task, now, ports| task.flush(now, ports));
                self.maybe_close(now, grounds, &mut effects);
            }
        }
        effects
    }

    fn open(
        &mut self,
        now: Now,
        id: TaskId,
        meta: Option<&[u8]>,
        start: &[i64],
        grounds: &mut Grounds<'_>,
        effects: &mut Vec<Effect>,
    ) {
        // Its metadata was read before the commit that is under way: it would take the same records again.
        if self.commit.holds(id) {
            let verdict = Verdict::Retry("its last interval is still being committed; open it again after that".into());
            self.drop_stopped(alloc::vec![(id, verdict)], effects);
            return;
        }
        let prefix = task_prefix(id);
        let ports = ports(grounds, id, &prefix);
        match Task::open(now, &self.topology, id, meta, start, self.active.clone(), &ports) {
            Ok(mut task) => {
                if meta.is_none() {
                    // Where it begins is decided once: a source may begin at its end, which is elsewhere after a restart.
                    task.touch();
                }
                self.tasks.insert(id, task);
            }
            Err(verdict) => effects.push(Effect::Stopped { task: id, verdict, blamed: Vec::new() }),
        }
    }

    fn follow(&mut self, now: Now, next: Next, grounds: &mut Grounds<'_>, effects: &mut Vec<Effect>) {
        match next {
            Next::Done(interval) => {
                let limit = self.settings.store_cache_bytes_max;
                self.tasks.values_mut().for_each(|task| task.shrink(limit));
                effects.push(Effect::Committed(interval));
                self.go_on(now, grounds, effects);
            }
            Next::GiveUp(interval, verdict) => {
                // What they did since hangs on what is not there.
                let held = interval.parts.iter().map(|part| part.task).filter(|task| self.tasks.contains_key(task));
                self.drop_stopped(held.map(|task| (task, verdict.clone())).collect(), effects);
                self.go_on(now, grounds, effects);
            }
            Next::Dropped => self.go_on(now, grounds, effects),
            Next::Again(interval) => effects.push(Effect::Commit(interval)),
            Next::Resolve(interval) => effects.push(Effect::Resolve(interval)),
            Next::Stale => {}
        }
    }

    /// Nothing is under way any more: closes what waits to be closed.
    fn go_on(&mut self, now: Now, grounds: &mut Grounds<'_>, effects: &mut Vec<Effect>) {
        if self.draining {
            self.maybe_close(now, grounds, effects);
        }
    }

    /// Runs `f` on every task; one that fails is dropped and told of.
    fn each(
        &mut self,
        now: Now,
        grounds: &mut Grounds<'_>,
        effects: &mut Vec<Effect>,
        mut f: impl FnMut(&mut Task, Now, &mut Ports<'_>) -> Result<(), Verdict>,
    ) {
        let mut stopped = Vec::new();
        for (id, task) in &mut self.tasks {
            let prefix = task_prefix(*id);
            let mut ports = ports(grounds, *id, &prefix);
            if let Err(verdict) = f(task, now, &mut ports) {
                stopped.push((*id, verdict));
            }
        }
        self.drop_stopped(stopped, effects);
    }

    fn drop_stopped(&mut self, stopped: Vec<(TaskId, Verdict)>, effects: &mut Vec<Effect>) {
        for (task, verdict) in stopped {
            self.commit.let_go(task);
            self.tasks.remove(&task);
            let blamed = self.blamed(task, &verdict);
            effects.push(Effect::Stopped { task, verdict, blamed });
        }
    }

    /// The functions that may have stopped a task, as they run in this interval.
    fn blamed(&self, task: TaskId, verdict: &Verdict) -> Vec<(usize, u64)> {
        let Some(step) = verdict.blamed_step() else { return Vec::new() };
        let functions = functions_of_step(&self.topology.subs[task.sub], step);
        functions.into_iter().map(|function| (function, self.active[function].epoch)).collect()
    }

    /// One batch of each task that has one, as long as the interval has room.
    fn work(&mut self, now: Now, grounds: &mut Grounds<'_>, effects: &mut Vec<Effect>) {
        if self.tasks.is_empty() {
            return;
        }
        self.turn = (self.turn + 1) % self.tasks.len();
        let mut bytes = self.result_bytes();
        let mut stopped = Vec::new();
        let full = self.settings.interval_bytes_max;
        for round in [self.turn..self.tasks.len(), 0..self.turn] {
            for (id, task) in self.tasks.iter_mut().skip(round.start).take(round.len()) {
                if bytes > full || task.is_half_isolated() {
                    task.look_for_dry_inputs(now);
                    continue;
                }
                let (prefix, before) = (task_prefix(*id), task.result_bytes());
                match task.work(now, &mut ports(grounds, *id, &prefix)) {
                    Ok(true) => {
                        self.opened_at.get_or_insert(now.passed_ms);
                    }
                    Ok(false) => {}
                    Err(verdict) => stopped.push((*id, verdict)),
                }
                bytes = (bytes + task.result_bytes()).saturating_sub(before);
            }
        }
        self.drop_stopped(stopped, effects);
    }

    /// Bytes of results and waiting input.
    pub fn bytes(&self) -> usize {
        self.tasks.values().map(|task| task.result_bytes() + task.waiting_bytes()).sum()
    }

    fn result_bytes(&self) -> usize {
        self.tasks.values().map(Task::result_bytes).sum()
    }

    /// Closes the interval when it is time and the one before is done. Then, between two intervals, takes on versions.
    fn maybe_close(&mut self, now: Now, grounds: &mut Grounds<'_>, effects: &mut Vec<Effect>) {
        if self.committing() {
            return;
        }
        let news = self.tasks.values().any(|t| t.has_news(now));
        let opened_at = if news { *self.opened_at.get_or_insert(now.passed_ms) } else { now.passed_ms };
        let old = now.passed_ms - opened_at >= self.settings.commit_interval_ms;
        let full =
            self.result_bytes() > self.settings.interval_bytes_max || self.tasks.values().any(Task::is_half_isolated);
        let at_once = core::mem::take(&mut self.draining);
        if news && (old || full || at_once || !self.pending.is_empty()) {
            self.close(now, grounds, effects);
        }
        for (function, active) in core::mem::take(&mut self.pending) {
            if active.epoch > self.active[function].epoch {
                self.active[function] = active;
                self.tasks.values_mut().for_each(|task| task.switch(function, active));
            }
        }
    }

    fn close(&mut self, now: Now, grounds: &mut Grounds<'_>, effects: &mut Vec<Effect>) {
        let id = self.next_interval;
        let mut parts = vec![];
        self.each(now, grounds, effects, |task, now, ports| {
            if task.has_news(now) {
                parts.push(task.end_interval(now, id, ports)?);
            }
            Ok(())
        });
        self.opened_at = None;
        if parts.is_empty() {
            return;
        }
        self.next_interval += 1;
        let interval = Arc::new(Interval { id, closed_at: now.wall, parts });
        self.commit.begin(interval.clone());
        effects.push(Effect::Commit(interval));
    }
}

fn ports<'b>(grounds: &'b mut Grounds<'_>, id: TaskId, prefix: &'b [u8]) -> Ports<'b> {
    Ports {
        functions: grounds.functions,
        formats: grounds.formats,
        globals: grounds.globals,
        db: grounds.db,
        spaces: &grounds.spaces[id.sub],
        prefix,
    }
}
