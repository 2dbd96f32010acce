//! The commit of an interval, one call at a time: produce, offsets, end, and only then the host's own state. Between any two
//! the host may die or stall, the group go on, the transaction take too long.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::meta::Meta;
use millstream_core::state::changelog::{change_writes, records as changelog_records};
use millstream_core::state::keyspace::{StorageError, Write};
use millstream_core::state::store::Ground;
use millstream_core::task::{TaskId, TaskPart};
use millstream_core::worker::Input;

use super::super::Planted;
use super::super::judge::records;
use super::super::roles::Rec;
use super::Fleet;
use super::broker::{Committed, Refused};
use super::directory::{CLOCKS, Checkpoint};
use super::host::Host;

/// Where a commit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Produce,
    Offsets,
    End,
    Apply {
        resolved: bool,
    },
    /// The transaction is to be aborted, and this to be told.
    Abort(CommitOutcome),
    /// Whether it is there: a new producer ends what is open, then the group's offsets say.
    Find,
    Look,
}

#[derive(Clone, Debug)]
pub struct Job {
    pub interval: Arc<Interval>,
    pub stage: Stage,
    /// What changes whenever a task comes anew, when its part was begun.
    tokens: BTreeMap<TaskId, u64>,
    /// Offsets behind what was written to changelogs, by task and store.
    highest: BTreeMap<(TaskId, usize), i64>,
    began: i64,
}

/// Whether a host has outlived something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Alive,
    Dead,
}

impl Job {
    pub fn new(interval: Arc<Interval>, opened: &BTreeMap<TaskId, u64>, began: i64) -> Self {
        let tokens = opened.iter().map(|(task, token)| (*task, *token)).collect();
        Self { interval, stage: Stage::Produce, tokens, highest: BTreeMap::new(), began }
    }

    /// Which of its tasks are this host's without a break.
    fn held(&self, owned: &BTreeMap<TaskId, u64>) -> usize {
        let held = |part: &&TaskPart| owned.get(&part.task).is_some_and(|now| self.tokens.get(&part.task) == Some(now));
        self.interval.parts.iter().filter(held).count()
    }
}

/// A task's metadata in two: what goes beside the offsets, and the clocks, which go through a changelog.
fn split(meta: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut meta = Meta::decode(meta).expect("an engine wrote it");
    let clocks = std::mem::take(&mut meta.clocks);
    let clocks = (!clocks.is_empty()).then(|| Meta { clocks, ..Meta::default() }.encode());
    (meta.encode(), clocks)
}

impl Fleet {
    /// One call of the commit that is under way.
    pub fn advance_commit(&mut self, host: &mut Host, faults: bool) -> Result<Life, String> {
        let id = host.id();
        let Some(process) = &mut host.process else { return Ok(Life::Alive) };
        let Some(mut job) = process.job.take() else { return Ok(Life::Alive) };
        let Some(epoch) = process.producer.or_else(|| self.broker.init(&id).ok()) else {
            process.job = Some(job);
            return Ok(Life::Alive);
        };
        process.producer = Some(epoch);
        if faults && self.rng.one_in(150) {
            return Ok(Life::Dead);
        }
        let refused = match job.stage.clone() {
            Stage::Produce => self.produce(host, &mut job, epoch),
            Stage::Offsets => self.send_offsets(host, &mut job, epoch),
            Stage::End => return self.end(host, job, epoch, faults),
            Stage::Apply { resolved } => {
                self.apply(host, &job);
                let interval = job.interval.id;
                let outcome = CommitOutcome::Committed;
                let there = Input::Resolved { interval, there: true };
                self.step(host, if resolved { there } else { Input::Outcome { interval, outcome } })?;
                return Ok(Life::Alive);
            }
            Stage::Abort(outcome) => {
                // That it was fenced meanwhile says no more than that it is aborted.
                if self.broker.end(&id, epoch, false).is_err() {
                    host.has_producer(None);
                }
                return self.tell(host, job, outcome);
            }
            Stage::Find => self.find(host, &mut job),
            Stage::Look => return self.look(host, job),
        };
        match refused {
            Ok(()) | Err(Refused::Busy) => {
                host.keep(job);
                Ok(Life::Alive)
            }
            Err(Refused::Stale) => {
                job.stage = Stage::Abort(CommitOutcome::Aborted);
                host.keep(job);
                Ok(Life::Alive)
            }
            Err(Refused::Fenced) => self.fenced(host, job),
        }
    }

    /// The producer was fenced, so nothing of the interval is there. Whether the tasks are somebody else's is another matter.
    fn fenced(&mut self, host: &mut Host, job: Job) -> Result<Life, String> {
        let Some(process) = &mut host.process else { return Ok(Life::Alive) };
        process.producer = None;
        let held = job.held(&process.owned);
        let outcome = if held > 0 { CommitOutcome::Aborted } else { CommitOutcome::Fenced("planned".into()) };
        self.tell(host, job, outcome)
    }

    fn tell(&mut self, host: &mut Host, job: Job, outcome: CommitOutcome) -> Result<Life, String> {
        let interval = job.interval.id;
        // What is asked next of the same interval finds it here.
        if let (Some(process), CommitOutcome::Unknown) = (&mut host.process, &outcome) {
            process.job = Some(job);
        }
        self.step(host, Input::Outcome { interval, outcome })?;
        Ok(Life::Alive)
    }

    fn produce(&mut self, host: &mut Host, job: &mut Job, epoch: u64) -> Result<(), Refused> {
        if self.planted == Planted::WriteBeforeCommit {
            self.apply(host, job);
        }
        let id = host.id();
        for part in &job.interval.clone().parts {
            for out in &part.outputs {
                let place = (self.topology.topics[out.topic].name.clone(), out.partition);
                self.broker.produce(&id, epoch, &place, records(&out.batch))?;
            }
            let (_, clocks) = split(&part.meta);
            for store in 0..part.changes.len() {
                let mut written = self.changes(host, part, store);
                if let (0, Some(clocks)) = (store, &clocks) {
                    written.push(rec(CLOCKS, Some(clocks)));
                }
                if !written.is_empty() {
                    let last = self.broker.produce(&id, epoch, &self.changelog(part.task, store), written)?;
                    job.highest.insert((part.task, store), last + 1);
                }
            }
        }
        job.stage = Stage::Offsets;
        Ok(())
    }

    fn changes(&self, host: &mut Host, part: &TaskPart, store: usize) -> Vec<Rec> {
        let state = host.directory.task(&self.topology, part.task);
        let ground = Ground { db: state.db(), space: state.store(store), prefix: state.prefix() };
        let mut written = Vec::new();
        let taken = changelog_records(&part.changes[store], ground, &mut |key, value| {
            written.push(rec(key, value));
            Ok::<_, StorageError>(())
        });
        taken.expect("memory answers");
        written
    }

    /// The token check and the reading of the generation are one: whoever lost a task and came back must not commit what it
    /// did before with the generation of now.
    fn send_offsets(&mut self, host: &mut Host, job: &mut Job, epoch: u64) -> Result<(), Refused> {
        let id = host.id();
        let Some(process) = &host.process else { return Ok(()) };
        let held = job.held(&process.owned);
        if held < job.interval.parts.len() && self.planted != Planted::MetadataAfterRejoin {
            let all = held == 0 && self.rng.one_in(2);
            let outcome = if all { CommitOutcome::Fenced("planned".into()) } else { CommitOutcome::Aborted };
            job.stage = Stage::Abort(outcome);
            return Ok(());
        }
        let of = |part: &TaskPart| {
            let positions = part.positions.iter().map(|(_, at)| *at).collect();
            (part.task, Committed { positions, token: (id.clone(), job.interval.id), meta: split(&part.meta).0 })
        };
        let offsets = job.interval.parts.iter().map(of).collect();
        self.broker.send_offsets(&id, epoch, (&self.group, host.number, process.generation), offsets)?;
        job.stage = Stage::End;
        Ok(())
    }

    /// Decides the transaction. The request may be lost, or the answer, and the host may die before or after.
    fn end(&mut self, host: &mut Host, mut job: Job, epoch: u64, faults: bool) -> Result<Life, String> {
        let dice = if faults { self.rng.below(24) } else { 9 };
        if dice > 1 {
            match self.broker.end(&host.id(), epoch, true) {
                Ok(()) => self.decided(&job.interval)?,
                Err(Refused::Fenced) => return self.fenced(host, job),
                Err(other) => return Err(format!("a transaction that is open cannot be {other:?}")),
            }
        }
        match dice {
            0 | 2 => Ok(Life::Dead),
            1 | 3 => {
                let guess = self.planted == Planted::GuessOnUnknown;
                self.tell(host, job, if guess { CommitOutcome::Aborted } else { CommitOutcome::Unknown })
            }
            _ => {
                job.stage = Stage::Apply { resolved: false };
                host.keep(job);
                Ok(Life::Alive)
            }
        }
    }

    /// An interval is a fact.
    fn decided(&mut self, interval: &Interval) -> Result<(), String> {
        for part in &interval.parts {
            let (cut, task) = (self.book.take_cut(part.task, interval.id)?, part.task);
            let epochs = self.epochs_of_commit(part);
            epochs.map_err(|why| format!("{task:?}, interval {}: {why}", interval.id))?;
            let (logs, book) = (&self.broker.logs, &self.book);
            let record = |input: usize, topic: &str, offset: i64| {
                let log = &logs[&(topic.to_string(), task.partition)];
                log.record(offset).filter(|_| !book.is_gap(task, input, offset)).cloned()
            };
            let judged = self.judge.commit(part, &cut, &record);
            judged.map_err(|why| format!("{task:?}, interval {}: {why}", interval.id))?;
        }
        Ok(())
    }

    fn find(&mut self, host: &mut Host, job: &mut Job) -> Result<(), Refused> {
        let epoch = self.broker.init(&host.id())?;
        host.has_producer(Some(epoch));
        job.stage = Stage::Look;
        Ok(())
    }

    fn look(&mut self, host: &mut Host, mut job: Job) -> Result<Life, String> {
        let Some(process) = &mut host.process else { return Ok(Life::Alive) };
        let ours = (format!("sim-{}", host.number), job.interval.id);
        let tasks = job.interval.parts.iter().map(|part| part.task);
        let found: Result<Vec<_>, _> = tasks.map(|task| self.broker.stable_offsets(task)).collect();
        let Ok(found) = found else {
            process.job = Some(job);
            return Ok(Life::Alive);
        };
        if found.iter().flatten().any(|committed| committed.token == ours) {
            job.stage = Stage::Apply { resolved: true };
            process.job = Some(job);
            return Ok(Life::Alive);
        }
        if job.held(&process.owned) == 0 {
            // Others have gone on from it, or without it.
            return self.tell(host, job, CommitOutcome::Fenced("planned".into()));
        }
        self.step(host, Input::Resolved { interval: job.interval.id, there: false })?;
        Ok(Life::Alive)
    }

    /// Brings the host's own state to where the interval leaves it.
    fn apply(&self, host: &mut Host, job: &Job) {
        for part in &job.interval.parts {
            let state = host.directory.task(&self.topology, part.task);
            let mut writes: Vec<Write> = Vec::new();
            for (store, changes) in part.changes.iter().enumerate() {
                writes.extend(change_writes(state.store(store), state.prefix(), changes));
                let before = state.checkpoint(store).map_or(0, |c| c.offset);
                let offset = job.highest.get(&(part.task, store)).copied().unwrap_or(before);
                writes.push(state.checkpoint_write(store, Checkpoint { offset, at: job.began }));
            }
            if let (false, (_, Some(clocks))) = (part.changes.is_empty(), split(&part.meta)) {
                writes.push(Write::Put(state.store(0), [state.prefix(), CLOCKS].concat(), clocks));
            }
            state.apply(writes);
        }
    }
}

fn rec(key: &[u8], value: Option<&[u8]>) -> Rec {
    Rec { key: Some(key.to_vec()), value: value.map(<[u8]>::to_vec), ..Rec::default() }
}
