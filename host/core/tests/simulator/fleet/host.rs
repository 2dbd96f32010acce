//! A host: its directory, which lasts, and its process, which does not; what the process knows of the group and does when
//! asked to give tasks up.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::commit::Interval;
use millstream_core::task::TaskId;
use millstream_core::worker::Input;

use super::super::watch::Watched;
use super::Fleet;
use super::commit::{Job, Stage};
use super::directory::Directory;
use super::follower::Follower;
use super::open::Opening;

pub struct Host {
    pub number: usize,
    pub directory: Directory,
    pub process: Option<Process>,
    /// Steps for which it does nothing, and does not know it.
    pub stalled: u64,
}

pub struct Process {
    pub watched: Watched,
    pub follower: Follower,
    /// Epoch of its producer; `None`: to be initialised.
    pub producer: Option<u64>,
    /// The generation it believes to be in; 0: none.
    pub generation: u64,
    /// Its tasks, with what changes whenever one comes anew.
    pub owned: BTreeMap<TaskId, u64>,
    /// The same, when they were opened.
    pub opened: BTreeMap<TaskId, u64>,
    pub opening: BTreeMap<TaskId, Opening>,
    pub job: Option<Job>,
    draining: bool,
}

impl Host {
    pub fn new(number: usize) -> Self {
        Self { number, directory: Directory::default(), process: None, stalled: 0 }
    }

    /// The transactional id of its producer.
    pub fn id(&self) -> String {
        format!("sim-{}", self.number)
    }
}

impl Host {
    /// Its process goes on with a commit later.
    pub fn keep(&mut self, job: Job) {
        if let Some(process) = &mut self.process {
            process.job = Some(job);
        }
    }

    pub fn has_producer(&mut self, epoch: Option<u64>) {
        if let Some(process) = &mut self.process {
            process.producer = epoch;
        }
    }
}

impl Process {
    pub fn new(watched: Watched, follower: Follower) -> Self {
        let (owned, opened, opening) = Default::default();
        Self { watched, follower, producer: None, generation: 0, owned, opened, opening, job: None, draining: false }
    }

    /// The engine has dropped a task: it is opened again if it is still here.
    pub fn stopped(&mut self, task: TaskId) {
        self.opened.remove(&task);
        if self.owned.contains_key(&task) {
            self.opening.insert(task, Opening::default());
        }
    }

    pub fn begin_commit(&mut self, interval: Arc<Interval>, clock: i64) {
        assert!(self.job.is_none(), "one commit at a time");
        self.job = Some(Job::new(interval, &self.opened, clock));
    }

    pub fn begin_resolving(&mut self) {
        self.job.as_mut().expect("it was being committed").stage = Stage::Find;
    }

    /// Whether everything that is its own is open and nothing is under way.
    pub fn is_settled(&self) -> bool {
        self.job.is_none() && self.opening.is_empty() && self.opened.len() == self.owned.len()
    }

    /// Whether it waits to be let into the group.
    pub fn is_outside(&self) -> bool {
        self.generation == 0
    }
}

impl Fleet {
    /// A host asks the group how things stand.
    pub fn poll(&mut self, host: &mut Host) -> Result<(), String> {
        let number = host.number;
        let Some(process) = &mut host.process else { return Ok(()) };
        if process.producer.is_none() && process.job.is_none() {
            // What an earlier process of this host left open is ended at once.
            process.producer = self.broker.init(&format!("sim-{number}")).ok();
        }
        if !self.group.is_member(number) {
            process.generation = 0;
            let lost: Vec<TaskId> = process.owned.keys().copied().collect();
            return lost.into_iter().try_for_each(|task| self.close(host, task));
        }
        if self.group.generation != process.generation {
            return self.adopt(host);
        }
        match self.group.to_come(number) {
            Some(to_come) => {
                let giving = process.owned.keys().copied().filter(|task| !to_come.contains(task)).collect();
                self.give(host, giving)
            }
            None => Ok(()),
        }
    }

    /// The group is in a generation that this host is in too.
    fn adopt(&mut self, host: &mut Host) -> Result<(), String> {
        let tasks = self.group.tasks(host.number);
        let Some(process) = &mut host.process else { return Ok(()) };
        process.generation = self.group.generation;
        process.draining = false;
        let lost: Vec<TaskId> = process.owned.keys().copied().filter(|task| !tasks.contains(task)).collect();
        for task in tasks {
            process.owned.entry(task).or_insert_with(|| {
                self.next_token += 1;
                process.opening.insert(task, Opening::default());
                self.next_token
            });
        }
        lost.into_iter().try_for_each(|task| self.close(host, task))
    }

    /// Gives tasks up: with what they have done, or, when that takes too long, without.
    fn give(&mut self, host: &mut Host, tasks: Vec<TaskId>) -> Result<(), String> {
        let Some(process) = &mut host.process else { return Ok(()) };
        if !tasks.is_empty() {
            if !std::mem::replace(&mut process.draining, true) {
                return self.step(host, Input::Drain);
            }
            let worker = &process.watched.worker;
            let waits = worker.committing() || worker.is_draining();
            if waits && !(self.case.faults && self.rng.one_in(10)) {
                return Ok(());
            }
        }
        process.draining = false;
        self.group.ready(host.number);
        tasks.into_iter().try_for_each(|task| self.close(host, task))
    }

    fn close(&mut self, host: &mut Host, task: TaskId) -> Result<(), String> {
        let Some(process) = &mut host.process else { return Ok(()) };
        process.owned.remove(&task);
        process.opened.remove(&task);
        process.opening.remove(&task);
        self.step(host, Input::Close { task })
    }
}
