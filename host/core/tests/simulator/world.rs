//! Hosts with their workers, a log, a database, a control log's epochs, and everything that goes wrong between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::error::Verdict;
use millstream_core::function::Prepared;
use millstream_core::meta::Meta;
use millstream_core::operator::Active;
use millstream_core::record::{Batch, BatchBuilder};
use millstream_core::state::key;
use millstream_core::state::keyspace::{Durability, Keyspaces, Space, SpaceKind, Write};
use millstream_core::state::store::Change;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::{Topology, plan};
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker, task_prefix};

use super::Planted;
use super::case::{Case, STARTS_AT};
use super::database::Database;
use super::judge::{Cut, Judge, Taken, records};
use super::native::{FUNCTIONS_MAX, Native};
use super::oracle::wire::{self, Opened};
use super::rng::Rng;
use super::roles::Rec;

/// What is seen of a task from outside.
#[derive(Clone, Debug, Default)]
struct Track {
    cut: Cut,
    positions: Vec<i64>,
    /// Ends of the inputs that the engine was told; `None`: nothing yet.
    ends: Vec<Option<i64>>,
}

pub struct Host {
    pub worker: Worker,
    native: Native,
    pub tasks: Vec<TaskId>,
    tracks: BTreeMap<TaskId, Track>,
    pub effects: VecDeque<Effect>,
    /// Versions that it has not heard of yet.
    pub unheard: VecDeque<(usize, u64)>,
    /// Tasks that stopped in passing.
    pub stopped: Vec<TaskId>,
    elapsed: i64,
    wall: i64,
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
    cuts: BTreeMap<(TaskId, u64), Cut>,
    /// Offsets at which a task was told that there is no record.
    gaps: BTreeSet<(TaskId, usize, i64)>,
    /// Of each function, the epoch in force.
    pub epochs: Vec<u64>,
    last_epoch: u64,
    started: u64,
    pub now: i64,
}

impl World {
    pub fn new(case: Case, rng: Rng, planted: Planted) -> Result<Self, String> {
        let case = Arc::new(case);
        let partitions = |topic: &str| case.partitions.get(topic).copied();
        let mut topology = plan(&case.spec, &partitions).map_err(|e| format!("plan: {e:?}"))?;
        for topic in &mut topology.topics {
            topic.limits = case.limits.get(&topic.name).copied().unwrap_or_default();
        }
        let topology = Arc::new(topology);
        let db = Database::default();
        let open = |name: &str| db.open_space(name, SpaceKind::State).map_err(|e| e.to_string());
        let spaces = topology.subs.iter().map(|s| s.stores.iter().map(|s| open(&s.name)).collect());
        let spaces = spaces.collect::<Result<_, String>>()?;
        let judge = Judge::new(&case, &topology)?;
        let log =
            case.input.iter().map(|(at, r)| (at.clone(), Partition { records: r.clone(), ..Partition::default() }));
        let (log, epochs) = (log.collect(), vec![1; case.roles.len()]);
        let (metas, cuts, gaps) = Default::default();
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
            cuts,
            gaps,
            epochs,
            last_epoch: 1,
            started: 0,
            now: STARTS_AT,
        })
    }

    fn active(f: usize, epoch: u64) -> Active {
        Active { prepared: Prepared(epoch as u32 * FUNCTIONS_MAX + f as u32), epoch }
    }

    /// A new worker that opens these tasks.
    pub fn start(&mut self, tasks: Vec<TaskId>) -> Result<Host, String> {
        self.started += 1;
        let settings = Settings {
            commit_interval_ms: 20,
            interval_bytes_max: *self.rng.pick(&[500, 1 << 20]),
            waiting_bytes_max: *self.rng.pick(&[200, 1 << 20]),
            store_cache_bytes_max: *self.rng.pick(&[0, 300, 1 << 20]),
        };
        let active = self.epochs.iter().enumerate().map(|(f, epoch)| Self::active(f, *epoch)).collect();
        let worker = Worker::new(self.topology.clone(), settings, active, self.started * 1_000_000);
        let mut native = Native::new(&self.case.roles, self.case.flaky, Rng::new(self.rng.next(), 4));
        native.leaks = self.planted == Planted::FailedWrite;
        let (effects, unheard, stopped, tracks) = Default::default();
        let wall = self.now;
        let mut host =
            Host { worker, native, tasks: tasks.clone(), tracks, effects, unheard, stopped, elapsed: 0, wall };
        tasks.into_iter().try_for_each(|task| self.open(&mut host, task))?;
        Ok(host)
    }

    /// Opens a task where its last commit left it.
    pub fn open(&mut self, host: &mut Host, task: TaskId) -> Result<(), String> {
        let inputs = self.topology.subs[task.sub].inputs.len();
        self.started += 1;
        let opened = host.elapsed + (self.now - host.wall).max(0);
        let cut = Cut { opened, incarnation: self.started, ..Cut::default() };
        let meta = self.metas.get(&task).cloned();
        let known = meta.as_deref().and_then(Meta::decode).map(|m| m.positions.into_iter().map(|(_, p)| p).collect());
        let positions = known.unwrap_or(vec![0; inputs]);
        host.tracks.insert(task, Track { cut, positions, ends: vec![None; inputs] });
        self.step(host, Input::Open { task, meta, start: vec![0; inputs] })
    }

    /// One step of a host's worker, watched.
    pub fn step(&mut self, host: &mut Host, input: Input) -> Result<(), String> {
        host.elapsed += (self.now - host.wall).max(0);
        host.wall = self.now;
        let gap = matches!(input, Input::Fetched { .. });
        if let Input::Fetched { task, input, base_offset, batch, end } = &input {
            let told = &mut host.tracks.get_mut(task).ok_or("fetched for a task that is not there")?.ends[*input];
            *told = Some(told.map_or(*end, |t| t.max(*end)));
            let wanted = host.worker.wants().into_iter().find(|w| (w.0, w.1) == (*task, *input));
            if let (true, Some((.., wanted))) = (batch.is_empty(), wanted) {
                self.gaps.extend((wanted..*base_offset).map(|offset| (*task, *input, offset)));
            }
        }
        let mut grounds = Grounds { functions: &mut host.native, db: &self.db, spaces: &self.spaces };
        let effects = host.worker.step(self.now, input, &mut grounds);
        self.watch(host, gap)?;
        for effect in effects {
            match effect {
                Effect::Stopped { task, verdict: Verdict::Retry(_) } => {
                    host.tracks.remove(&task);
                    host.stopped.push(task);
                }
                Effect::Stopped { task, verdict } => return Err(format!("{task:?} stopped: {verdict}")),
                Effect::Commit(interval) => {
                    self.cut(host, &interval);
                    host.effects.push_back(Effect::Commit(interval));
                }
                other => host.effects.push_back(other),
            }
        }
        Ok(())
    }

    /// Notes what each task has taken.
    fn watch(&self, host: &mut Host, gap: bool) -> Result<(), String> {
        for task in host.worker.tasks() {
            let (id, positions) = (task.id(), task.positions());
            let Some(track) = host.tracks.get_mut(&id) else { continue };
            if positions != track.positions {
                if !gap {
                    self.waits(id, track, &positions)?;
                }
                track.cut.taken.push(Taken { to: positions.clone(), gap, at: host.elapsed, wall: self.now });
                track.positions = positions;
            }
        }
        Ok(())
    }

    /// An older record that is known to be there, and a partition that nobody has looked at, are waited for.
    fn waits(&self, task: TaskId, track: &Track, to: &[i64]) -> Result<(), String> {
        let mut at = track.positions.clone();
        let topics: Vec<&str> =
            self.topology.subs[task.sub].inputs.iter().map(|i| &self.topology.topics[i.topic].name[..]).collect();
        let time = |i: usize, offset: i64| self.record(topics[i], task.partition, offset).time;
        let is_gap = |i: usize, offset: i64| self.gaps.contains(&(task, i, offset));
        let over_gaps = |at: &mut Vec<i64>| {
            for (i, at) in at.iter_mut().enumerate() {
                while is_gap(i, *at) {
                    *at += 1;
                }
            }
        };
        over_gaps(&mut at);
        while let Some((head, input)) = (0..at.len()).filter(|i| at[*i] < to[*i]).map(|i| (time(i, at[i]), i)).min() {
            for other in (0..at.len()).filter(|o| *o != input) {
                let exists = task.partition < self.partitions(topics[other]);
                let comes_first = match track.ends[other] {
                    None => exists,
                    Some(end) => at[other] < end && (time(other, at[other]), other) < (head, input),
                };
                if comes_first {
                    let (this, that) = (topics[input], topics[other]);
                    return Err(format!(
                        "{task:?} took {this}@{} before {that}@{}, told {:?}",
                        at[input], at[other], track.ends
                    ));
                }
            }
            at[input] += 1;
            over_gaps(&mut at);
        }
        Ok(())
    }

    fn cut(&mut self, host: &mut Host, interval: &Interval) {
        for part in &interval.parts {
            let Some(track) = host.tracks.get_mut(&part.task) else { continue };
            self.cuts.entry((part.task, interval.id)).or_insert_with(|| {
                let ends = track.ends.iter().zip(&track.positions).zip(&self.topology.subs[part.task.sub].inputs);
                let at_end = |((end, at), input): ((&Option<i64>, &i64), &millstream_core::topology::graph::Input)| {
                    let exists = part.task.partition < self.topology.topics[input.topic].partitions;
                    !exists || end.is_some_and(|end| *at >= end)
                };
                let at_end = ends.into_iter().all(at_end);
                let cut = Cut { at_end, at: host.elapsed, wall: self.now, ..track.cut.clone() };
                track.cut.taken.clear();
                cut
            });
        }
    }

    fn partitions(&self, topic: &str) -> u32 {
        self.topology.topics.iter().find(|t| t.name == topic).map_or(0, |t| t.partitions)
    }

    fn record(&self, topic: &str, partition: u32, offset: i64) -> Rec {
        self.log[&(topic.to_string(), partition)].records[offset as usize].clone()
    }

    /// Fetches for a host: too little, twice, out of order.
    pub fn fetch(&mut self, host: &mut Host, chaos: bool) -> Result<(), String> {
        for (task, input, wanted) in host.worker.wants() {
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
            let cut = self
                .cuts
                .remove(&(part.task, interval.id))
                .ok_or("an interval that was not cut, or committed twice")?;
            let (log, gaps, task) = (&self.log, &self.gaps, part.task);
            let record = |input: usize, topic: &str, offset: i64| {
                let held = &log[&(topic.to_string(), task.partition)];
                (!gaps.contains(&(task, input, offset))).then(|| held.records[offset as usize].clone())
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
            let prefix = task_prefix(part.task);
            let whole = |key: &[u8]| [&prefix[..], key].concat();
            for (space, changes) in self.spaces[part.task.sub].iter().zip(&part.changes) {
                writes.extend(changes.iter().map(|change| match change {
                    Change::Put(key, value) => Write::Put(*space, whole(key), value.clone()),
                    Change::Delete(key) => Write::Delete(*space, whole(key)),
                    Change::DropWindow(start) => {
                        let from = key::window(&prefix, *start, b"");
                        let to = key::successor(&from).unwrap_or_default();
                        Write::DeleteRange(*space, from, to)
                    }
                }));
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
                hosts.iter_mut().for_each(|h| h.unheard.push_back((f, self.last_epoch)));
            }
        }
    }

    /// A host hears of a version.
    pub fn hear(&mut self, host: &mut Host) -> Result<(), String> {
        let Some((function, epoch)) = host.unheard.pop_front() else { return Ok(()) };
        self.step(host, Input::Activate { function, active: Self::active(function, epoch) })
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

fn without_lag(rec: &Rec) -> Rec {
    match wire::open(rec) {
        Opened::Marker { .. } => rec.clone(),
        Opened::Record { upstream, window, value, .. } => {
            Rec { value: Some(wire::wrap(upstream, 0, window, value.as_deref())), ..rec.clone() }
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
