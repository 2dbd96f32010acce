//! Hosts with their workers, a log, a database, a control log's epochs, and everything that goes wrong between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::error::Verdict;
use millstream_core::meta::Meta;
use millstream_core::record::{Batch, BatchBuilder};
use millstream_core::state::changelog::change_writes;
use millstream_core::state::keyspace::{Durability, Keyspaces, Space, SpaceKind};
use millstream_core::task::TaskId;
use millstream_core::topology::graph::{Topology, plan};
use millstream_core::worker::{Effect, Input, task_prefix};

use super::Planted;
use super::case::{Case, STARTS_AT};
use super::database::Database;
use super::judge::{Judge, records};
use super::oracle::wire::{self, Opened};
use super::rng::Rng;
use super::roles::Rec;
use super::watch::{Book, Ground, Watched, active};

pub struct Host {
    pub watched: Watched,
    pub tasks: Vec<TaskId>,
    pub effects: VecDeque<Effect>,
    /// Tasks that stopped in passing.
    pub stopped: Vec<TaskId>,
}

#[derive(Default)]
struct Partition {
    start: i64,
    records: Vec<Rec>,
    /// Of a topic of the user's: how many records are there already.
    visible: usize,
}

pub struct World {
    pub case: Arc<Case>,
    pub rng: Rng,
    pub planted: Planted,
    pub topology: Arc<Topology>,
    pub db: Database,
    spaces: Vec<Vec<Space>>,
    pub judge: Judge,
    log: BTreeMap<(String, u32), Partition>,
    metas: BTreeMap<TaskId, Vec<u8>>,
    book: Book,
    /// Of each function, the epoch in force.
    pub epochs: Vec<u64>,
    last_epoch: u64,
    pub now: i64,
}

impl World {
    pub fn new(case: Case, rng: Rng, planted: Planted) -> Result<Self, String> {
        let case = Arc::new(case);
        let topology = planned(&case)?;
        let db = Database::default();
        let open = |name: &str| db.open_space(name, SpaceKind::State).map_err(|e| e.to_string());
        let spaces = topology.subs.iter().map(|s| s.stores.iter().map(|s| open(&s.name)).collect());
        let spaces = spaces.collect::<Result<_, String>>()?;
        let mut judge = Judge::new(&case, &topology)?;
        (0..case.roles.len()).for_each(|f| judge.in_force(f, active(f, 1)));
        let log =
            case.input.iter().map(|(at, r)| (at.clone(), Partition { records: r.clone(), ..Partition::default() }));
        let (log, epochs) = (log.collect(), vec![1; case.roles.len()]);
        let (metas, book) = (BTreeMap::new(), Book::new(topology.clone(), None, judge.max_idle()));
        Ok(Self {
            case,
            rng,
            planted,
            topology,
            db,
            spaces,
            judge,
            log,
            metas,
            book,
            epochs,
            last_epoch: 1,
            now: STARTS_AT,
        })
    }

    /// A new worker that opens these tasks.
    pub fn start(&mut self, tasks: Vec<TaskId>) -> Result<Host, String> {
        let in_force = self.epochs.iter().enumerate().map(|(f, epoch)| active(f, *epoch)).collect();
        let watched = self.book.start(&self.case, self.planted, &mut self.rng, in_force, self.now);
        let (effects, stopped) = Default::default();
        let mut host = Host { watched, tasks: tasks.clone(), effects, stopped };
        tasks.into_iter().try_for_each(|task| self.open(&mut host, task))?;
        Ok(host)
    }

    /// Opens a task where its last commit left it.
    pub fn open(&mut self, host: &mut Host, task: TaskId) -> Result<(), String> {
        let inputs = self.topology.subs[task.sub].inputs.len();
        let meta = self.metas.get(&task).cloned();
        let known = meta.as_deref().and_then(Meta::decode).map(|m| m.positions.into_iter().map(|(_, p)| p).collect());
        self.book.opened(&mut host.watched, task, known.unwrap_or(vec![0; inputs]), self.now);
        self.step(host, Input::Open { task, meta, start: vec![0; inputs] })
    }

    /// One step of a host's worker, watched.
    pub fn step(&mut self, host: &mut Host, input: Input) -> Result<(), String> {
        let ground = Ground { db: &self.db, spaces: &self.spaces, now: self.now };
        for effect in self.book.step(&mut host.watched, input, ground)? {
            match effect {
                Effect::Stopped { task, verdict: Verdict::Retry(_), .. } => host.stopped.push(task),
                Effect::Stopped { task, verdict, .. } => return Err(format!("{task:?} stopped: {verdict}")),
                other => host.effects.push_back(other),
            }
        }
        Ok(())
    }

    /// Fetches for a host: too little, twice, out of order.
    pub fn fetch(&mut self, host: &mut Host, chaos: bool) -> Result<(), String> {
        for (task, input, wanted) in host.watched.worker.wants() {
            let topic = &self.topology.topics[self.topology.subs[task.sub].inputs[input].topic];
            let (name, internal) = (topic.name.clone(), topic.internal);
            if task.partition >= topic.partitions || chaos && self.rng.one_in(3) {
                continue;
            }
            let mut offset = wanted;
            if chaos && self.rng.one_in(5) {
                offset = (offset + self.rng.below(8) as i64 - 4).max(0);
            }
            let most = *self.rng.pick(&[8, 25, 25, 60]);
            let size = 1 + self.rng.below(most) as i64;
            let held = self.log.entry((name, task.partition)).or_default();
            let end = if internal { held.records.len() } else { held.visible } as i64;
            if offset < held.start {
                let (base_offset, batch) = (held.start, Batch::default());
                self.step(host, Input::Fetched { task, input, base_offset, batch, end })?;
                continue;
            }
            let (from, to) = (offset.min(end), (offset + size).min(end));
            let records = &held.records[from as usize..to as usize];
            let lying = internal && self.planted == Planted::RepartitionTime;
            // An answer without records and with a later offset would say that those in between are gone.
            let from = if from == to { from.min(wanted) } else { from };
            let batch =
                if lying { batch(&records.iter().map(without_lag).collect::<Vec<_>>()) } else { batch(records) };
            self.step(host, Input::Fetched { task, input, base_offset: from, batch, end })?;
        }
        Ok(())
    }

    /// An interval becomes a fact.
    fn commit(&mut self, interval: &Interval) -> Result<(), String> {
        self.apply_changes(interval)?;
        for part in &interval.parts {
            let mut part = part.clone();
            if self.planted == Planted::LostLate {
                part.outputs.retain(|out| self.topology.topics[out.topic].name != "late");
            }
            if self.planted == Planted::SkippedSwitch {
                part.switches.retain(|switch| switch.epoch == 1);
            }
            let (cut, task) = (self.book.take_cut(part.task, interval.id)?, part.task);
            let (log, book) = (&self.log, &self.book);
            let record = |input: usize, topic: &str, offset: i64| {
                let held = &log[&(topic.to_string(), task.partition)];
                (!book.is_gap(task, input, offset)).then(|| held.records[offset as usize].clone())
            };
            self.judge
                .commit(&part, &cut, &record)
                .map_err(|why| format!("{:?}, interval {}: {why}", part.task, interval.id))?;
            for out in &part.outputs {
                let name = self.topology.topics[out.topic].name.clone();
                self.log.entry((name, out.partition)).or_default().records.extend(records(&out.batch));
            }
            self.metas.insert(part.task, part.meta.clone());
        }
        Ok(())
    }

    fn apply_changes(&self, interval: &Interval) -> Result<(), String> {
        let mut writes = Vec::new();
        for part in &interval.parts {
            for (space, changes) in self.spaces[part.task.sub].iter().zip(&part.changes) {
                writes.extend(change_writes(*space, &task_prefix(part.task), changes));
            }
        }
        self.db.apply(writes, Durability::Process).map_err(|e| e.to_string())
    }

    /// Performs one effect; `false`: the host died over it.
    pub fn perform(&mut self, host: &mut Host, effect: Effect, faults: bool) -> Result<bool, String> {
        match effect {
            Effect::Commit(interval) => {
                let dice = if faults { self.rng.below(8) } else { 7 };
                if self.planted == Planted::CommitOrder {
                    self.apply_changes(&interval)?;
                }
                if !(0..=2).contains(&dice) {
                    self.commit(&interval)?;
                }
                let outcome = match dice {
                    0 | 3 => return Ok(false),
                    1 => CommitOutcome::Aborted,
                    2 | 4 => CommitOutcome::Unknown,
                    _ => CommitOutcome::Committed,
                };
                let committed = outcome == CommitOutcome::Committed;
                let input = Input::Outcome { interval: interval.id, outcome };
                self.step(host, input.clone())?;
                if faults && committed && self.rng.one_in(3) {
                    self.step(host, input)?;
                }
            }
            Effect::Resolve(interval) => {
                let task = interval.parts[0].task;
                let there =
                    self.metas.get(&task).and_then(|m| Meta::decode(m)).is_some_and(|m| m.interval == interval.id);
                self.step(host, Input::Resolved { interval: interval.id, there })?;
            }
            Effect::Committed(_) | Effect::Stopped { .. } => {}
        }
        Ok(true)
    }

    /// A new version of some function is in force; hosts hear of it later.
    pub fn swap(&mut self, hosts: &mut [Host]) {
        self.last_epoch += 1;
        for f in 0..self.epochs.len() {
            if self.rng.one_in(2) {
                self.epochs[f] = self.last_epoch;
                self.judge.in_force(f, active(f, self.last_epoch));
                hosts.iter_mut().for_each(|h| h.watched.unheard.push_back((f, self.last_epoch)));
            }
        }
    }

    /// A host hears of a version.
    pub fn hear(&mut self, host: &mut Host) -> Result<(), String> {
        let Some((function, epoch)) = host.watched.unheard.pop_front() else { return Ok(()) };
        self.step(host, Input::Activate { function, active: active(function, epoch) })
    }

    /// More of the input is there; `all`: everything.
    pub fn feed(&mut self, all: bool) {
        for held in self.log.values_mut() {
            let more = if all { held.records.len() } else { self.rng.below(6) as usize };
            held.visible = (held.visible + more).min(held.records.len());
        }
    }

    /// Retention takes records of the user's topics, read or not.
    pub fn retain(&mut self) {
        for topic in self.case.spec.sources.iter().flat_map(|s| &s.topics) {
            for (_, held) in self.log.iter_mut().filter(|((t, _), _)| t == topic) {
                held.start = (held.start + self.rng.below(5) as i64).min(held.visible as i64);
            }
        }
    }

    /// How much there is; what still moves makes it grow.
    pub fn size(&self) -> usize {
        self.log.values().map(|p| p.records.len()).sum::<usize>()
    }

    /// The last look.
    pub fn at_rest(&self) -> Result<(), String> {
        let of = |topic: &str, p: u32| self.log.get(&(topic.to_string(), p));
        let end = |topic: &str, p: u32| of(topic, p).map_or(0, |held| held.records.len() as i64);
        self.judge.at_rest(&end)?;
        self.judge.last_words(&|topic, p| of(topic, p).map(|held| held.records.clone()).unwrap_or_default())?;
        super::canonical::compare(&self.case, &|topic| {
            let held = self.log.iter().filter(|((t, _), _)| t == topic).flat_map(|(_, held)| held.records.clone());
            held.collect()
        })
    }
}

/// A case's plan, with what its topics take.
pub fn planned(case: &Case) -> Result<Arc<Topology>, String> {
    let partitions = |topic: &str| case.partitions.get(topic).copied();
    let mut topology = plan(&case.spec, &partitions).map_err(|e| format!("plan: {e:?}"))?;
    for topic in &mut topology.topics {
        topic.limits = case.limits.get(&topic.name).copied().unwrap_or_default();
    }
    topology.formats = super::formats::assigned(&case.spec);
    Ok(Arc::new(topology))
}

fn without_lag(rec: &Rec) -> Rec {
    match wire::open(rec) {
        Opened::Marker { .. } => rec.clone(),
        Opened::Record { upstream, window, old, value, .. } => {
            Rec { value: Some(wire::wrap(upstream, 0, window, &old, value.as_deref())), ..rec.clone() }
        }
    }
}

fn batch(records: &[Rec]) -> Batch {
    let mut out = BatchBuilder::default();
    for r in records {
        out.push(r.key.as_deref(), r.value.as_deref(), r.time, r.headers.iter().map(|(n, v)| (&n[..], v.as_deref())));
    }
    out.finish()
}
