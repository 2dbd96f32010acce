//! Workers, an in-memory log and database, and everything that goes wrong between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::Planted;
use super::case::{Case, Rec, Rng};
use super::native::{Native, VERSION};
use super::oracle::{Expected, expected};
use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::function::Prepared;
use millstream_core::meta::Meta;
use millstream_core::operator::Active;
use millstream_core::record::{Batch, BatchBuilder};
use millstream_core::state::key;
use millstream_core::state::keyspace::{Durability, Keyspaces, Space, SpaceKind, Write};
use millstream_core::state::memory::{Guard, Memory, Spaces};
use millstream_core::state::store::Change;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::{Topology, plan};
use millstream_core::topology::spec::Emit;
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker, task_prefix};

#[derive(Default)]
struct Locked(Mutex<Spaces>);

impl Guard for Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Spaces) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

struct Host {
    worker: Worker,
    native: Native,
    tasks: Vec<TaskId>,
    effects: VecDeque<Effect>,
}

pub struct World {
    case: Case,
    rng: Rng,
    planted: Planted,
    topology: Arc<Topology>,
    db: Memory<Locked>,
    spaces: Vec<Vec<Space>>,
    hosts: Vec<Host>,
    log: BTreeMap<(usize, u32), Vec<Rec>>,
    metas: BTreeMap<TaskId, Vec<u8>>,
    by_task: BTreeMap<(TaskId, usize), Vec<Rec>>,
    dropped: BTreeMap<&'static str, u64>,
    history: Vec<(TaskId, usize, u64, i64)>,
    epoch: u64,
    started: u64,
    now: i64,
}

/// Steps of chaos; then all goes well until nothing moves.
const CHAOS_STEPS: u64 = 150;
const QUIET_ROUNDS: u32 = 12;
const ROUNDS_MAX: u32 = 5_000;

impl World {
    pub fn new(case: Case, rng: Rng, planted: Planted) -> Result<Self, String> {
        let partitions = |topic: &str| Some(if topic == "in" { case.partitions } else { case.sink_partitions });
        let topology = Arc::new(plan(&case.spec(), &partitions).map_err(|e| format!("plan: {e:?}"))?);
        let db = Memory(Locked::default());
        let open = |name: &str| db.open_space(name, SpaceKind::State).map_err(|e| e.to_string());
        let spaces = topology.subs.iter().map(|s| s.stores.iter().map(|s| open(&s.name)).collect());
        let spaces = spaces.collect::<Result<_, String>>()?;
        let source = topology.topics.iter().position(|t| t.name == "in").ok_or("no source")?;
        let log = (0u32..).zip(&case.input).map(|(p, r)| ((source, p), r.clone())).collect();
        let (metas, by_task, dropped) = Default::default();
        let (hosts, history) = (vec![], vec![]);
        Ok(Self {
            case, rng, planted, topology, db, spaces, hosts, log, metas, by_task, dropped, history, epoch: 1, started: 0, now: 0,
        })
    }

    fn active(&self, f: usize) -> Active {
        Active { prepared: Prepared(self.epoch as u32 * VERSION + f as u32), epoch: self.epoch }
    }

    fn start(&mut self, tasks: Vec<TaskId>) -> Result<Host, String> {
        self.started += 1;
        let settings = Settings { commit_interval_ms: 20, interval_bytes_max: 1 << 20, store_cache_bytes_max: 300 };
        let active = (0..self.topology.functions.len()).map(|f| self.active(f)).collect();
        let worker = Worker::new(self.topology.clone(), settings, active, self.started * 1_000_000);
        let native = Native::new(&self.case);
        let mut host = Host { worker, native, tasks: tasks.clone(), effects: VecDeque::new() };
        for task in tasks {
            let start = vec![0; self.topology.subs[task.sub].inputs.len()];
            let meta = self.metas.get(&task).cloned();
            self.step(&mut host, Input::Open { task, meta, start })?;
        }
        Ok(host)
    }

    fn step(&self, host: &mut Host, input: Input) -> Result<(), String> {
        let mut grounds = Grounds { functions: &mut host.native, db: &self.db, spaces: &self.spaces };
        for effect in host.worker.step(self.now, input, &mut grounds) {
            if let Effect::Stopped { task, verdict } = &effect {
                return Err(format!("{task:?} stopped: {verdict}"));
            }
            host.effects.push_back(effect);
        }
        Ok(())
    }

    /// Starts every host anew, tasks spread at random.
    fn start_all(&mut self) -> Result<(), String> {
        let mut shares = vec![Vec::new(); self.case.workers];
        for (sub, s) in self.topology.subs.iter().enumerate() {
            for partition in 0..s.tasks {
                let worker = self.rng.below(self.case.workers as u64) as usize;
                shares[worker].push(TaskId { sub, partition });
            }
        }
        self.hosts = Vec::new();
        for share in shares {
            let host = self.start(share)?;
            self.hosts.push(host);
        }
        Ok(())
    }

    fn fetch(&mut self, host: &mut Host, chaos: bool) -> Result<(), String> {
        for (task, input, mut offset) in host.worker.wants() {
            let topic = self.topology.subs[task.sub].inputs[input].topic;
            let all = self.log.get(&(topic, task.partition)).cloned().unwrap_or_default();
            if chaos && self.rng.one_in(3) {
                continue;
            }
            if chaos && self.rng.one_in(5) {
                offset = (offset - self.rng.below(4) as i64).max(0);
            }
            let to = (offset as usize + 1 + self.rng.below(25) as usize).min(all.len());
            let batch = batch(&all[(offset as usize).min(to)..to]);
            self.step(host, Input::Fetched { task, input, base_offset: offset, batch, end: all.len() as i64 })?;
        }
        Ok(())
    }

    fn commit(&mut self, interval: &Interval) -> Result<(), String> {
        self.apply_changes(interval)?;
        for part in &interval.parts {
            for out in &part.outputs {
                let topic = &self.topology.topics[out.topic];
                if self.planted == Planted::LostLate && topic.name == "late" {
                    continue;
                }
                let records = (0..out.batch.len()).map(|i| record(&out.batch, i));
                self.log.entry((out.topic, out.partition)).or_default().extend(records.clone());
                self.by_task.entry((part.task, out.topic)).or_default().extend(records);
            }
            for ((_, reason), count) in &part.dropped {
                *self.dropped.entry(reason.word()).or_default() += count;
            }
            for switch in part.switches.iter().filter(|_| self.planted != Planted::SkippedSwitch) {
                let position = switch.positions.first().map_or(0, |p| p.1);
                self.history.push((part.task, switch.function, switch.epoch, position));
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
                        let to = key::window(&prefix, start.saturating_add(1), b"");
                        Write::DeleteRange(*space, key::window(&prefix, *start, b""), to)
                    }
                }));
            }
        }
        self.db.apply(writes, Durability::Process).map_err(|e| e.to_string())
    }

    /// Performs one effect; `false`: the host died over it.
    fn perform(&mut self, host: &mut Host, effect: Effect, chaos: bool) -> Result<bool, String> {
        match effect {
            Effect::Commit(interval) => {
                let dice = if chaos { self.rng.below(8) } else { 7 };
                if self.planted == Planted::CommitOrder {
                    self.apply_changes(&interval)?;
                }
                if !matches!(dice, 0 | 1 | 2) {
                    self.commit(&interval)?;
                }
                let outcome = match dice {
                    0 | 3 => return Ok(false),
                    1 => CommitOutcome::Aborted,
                    2 | 4 => CommitOutcome::Unknown,
                    _ => CommitOutcome::Committed,
                };
                let input = Input::Outcome { interval: interval.id, outcome };
                self.step(host, input.clone())?;
                if chaos && outcome == CommitOutcome::Committed && self.rng.one_in(3) {
                    self.step(host, input)?;
                }
            }
            Effect::Resolve(interval) => {
                let task = interval.parts[0].task;
                let there = self.metas.get(&task).and_then(|m| Meta::decode(m)).is_some_and(|m| m.interval == interval.id);
                self.step(host, Input::Resolved { interval: interval.id, there })?;
            }
            Effect::Committed(_) | Effect::Stopped { .. } => {}
        }
        Ok(true)
    }

    fn restart(&mut self, at: usize) -> Result<(), String> {
        let tasks = self.hosts[at].tasks.clone();
        let host = self.start(tasks)?;
        self.hosts.insert(at, host);
        self.hosts.remove(at + 1);
        Ok(())
    }

    /// One thing happens to one host.
    fn turn(&mut self, at: usize, chaos: bool) -> Result<(), String> {
        let mut host = self.hosts.remove(at);
        self.now += self.rng.below(15) as i64;
        let alive = match if chaos { self.rng.below(4) } else { 4 } {
            0 => self.fetch(&mut host, true).map(|()| true),
            1 => self.step(&mut host, Input::Tick).map(|()| true),
            2 => self.step(&mut host, Input::Drain).map(|()| true),
            3 => match host.effects.pop_front() {
                Some(effect) => self.perform(&mut host, effect, chaos && self.case.faults),
                None => Ok(true),
            },
            _ => self.settle(&mut host),
        }?;
        self.hosts.insert(at, host);
        if alive { Ok(()) } else { self.restart(at) }
    }

    fn settle(&mut self, host: &mut Host) -> Result<bool, String> {
        self.fetch(host, false)?;
        self.step(host, Input::Tick)?;
        while let Some(effect) = host.effects.pop_front() {
            self.perform(host, effect, false)?;
        }
        Ok(true)
    }

    fn swap(&mut self) -> Result<(), String> {
        self.epoch += 1;
        for at in 0..self.hosts.len() {
            let mut host = self.hosts.remove(at);
            for function in 0..self.topology.functions.len() {
                self.step(&mut host, Input::Activate { function, active: self.active(function) })?;
            }
            self.hosts.insert(at, host);
        }
        Ok(())
    }

    pub fn run(mut self) -> Result<(), String> {
        self.start_all()?;
        for _ in 0..CHAOS_STEPS {
            if self.case.faults && self.rng.one_in(60) {
                self.start_all()?;
            }
            if self.case.swaps && self.rng.one_in(40) {
                self.swap()?;
            }
            let at = self.rng.below(self.hosts.len() as u64) as usize;
            if self.case.faults && self.rng.one_in(40) {
                self.restart(at)?;
            }
            self.turn(at, true)?;
        }
        let (mut quiet, mut size) = (0, usize::MAX);
        for _ in 0..ROUNDS_MAX {
            (0..self.hosts.len()).try_for_each(|at| self.turn(at, false))?;
            self.now += 50;
            let (open, all) = (self.hosts.iter().any(|h| h.worker.committing()), self.log.values().map(Vec::len).sum());
            quiet = if all == size && !open { quiet + 1 } else { 0 };
            size = all;
            if quiet > QUIET_ROUNDS {
                return self.compare().map_err(|why| format!("{why}\n{:?}", (&self.case.steps, &self.case.fold)));
            }
        }
        Err("it never comes to rest".into())
    }

    fn compare(&self) -> Result<(), String> {
        let mut last = BTreeMap::new();
        for (task, function, epoch, position) in &self.history {
            let before = last.insert((*task, *function), (*epoch, *position)).unwrap_or((0, 0));
            if *epoch <= before.0 || *position < before.1 {
                return Err(format!("history of {task:?}, f{function}: {before:?} then {:?}", (epoch, position)));
            }
        }
        let version = |p: u32, f: usize, offset: i64| {
            let mine = |(task, function, _, from): &&(TaskId, usize, u64, i64)| {
                task.sub == 0 && task.partition == p && *function == f && *from <= offset
            };
            self.history.iter().rev().find(mine).map_or(1, |h| h.2)
        };
        self.compare_with(&expected(&self.case, &version))
    }

    fn topic(&self, name: &str) -> Vec<Rec> {
        let number = self.topology.topics.iter().position(|t| t.name == name);
        let mut all: Vec<Rec> = self.log.iter().filter(|((t, _), _)| Some(*t) == number).flat_map(|(_, r)| r.clone()).collect();
        all.sort();
        all
    }

    fn compare_with(&self, want: &Expected) -> Result<(), String> {
        same("late topic", &self.topic("late"), &want.late)?;
        let count = |word: &str| self.dropped.get(word).copied().unwrap_or(0);
        same("late count", &count("late"), &(want.late.len() as u64))?;
        let refused = count("poisoned") + count("rejected") + count("negative-timestamp");
        same("refused count", &refused, &(want.refused.len() as u64))?;
        if !self.case.skip {
            same("dead letters", &self.topic("dead"), &want.refused)?;
        }
        let out = self.topology.topics.iter().position(|t| t.name == "out");
        let on_close = self.case.fold.as_ref().is_some_and(|a| a.emit == Emit::OnClose);
        let every = self.case.fold.as_ref().is_none_or(|a| a.emit_every_update);
        if (every || on_close) && !self.case.rekeyed() {
            for p in 0..self.case.partitions {
                let task = TaskId { sub: 0, partition: p };
                // What one task writes, by partition of the sink: order is promised within each.
                let got = out.and_then(|out| self.by_task.get(&(task, out))).cloned().unwrap_or_default();
                let want = want.sequences.get(&p).cloned().unwrap_or_default();
                if self.case.sink_partitions == 1 {
                    same("sequence", &got, &want)?;
                }
                same("results of a task", &sorted(got), &sorted(want))?;
            }
        } else if on_close {
            same("final results", &self.topic("out"), &want.results)?;
        } else {
            let mut last: BTreeMap<(usize, TaskId, Option<Vec<u8>>), Rec> = BTreeMap::new();
            for ((task, topic), records) in self.by_task.iter().filter(|((_, t), _)| Some(*t) == out) {
                last.extend(records.iter().map(|r| ((*topic, *task, r.key.clone()), r.clone())));
            }
            same("last results", &sorted(last.into_values().collect()), &want.results)?;
        }
        Ok(())
    }
}

fn sorted(mut records: Vec<Rec>) -> Vec<Rec> {
    records.sort();
    records
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, want: &T) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}:\n  got  {got:?}\n  want {want:?}")) }
}

fn batch(records: &[Rec]) -> Batch {
    let mut out = BatchBuilder::default();
    records.iter().for_each(|r| out.push(r.key.as_deref(), r.value.as_deref(), r.time, []));
    out.finish()
}

fn record(batch: &Batch, i: usize) -> Rec {
    let own = |c: Option<&[u8]>| c.map(<[u8]>::to_vec);
    Rec { key: own(batch.keys.get(i)), value: own(batch.values.get(i)), time: batch.timestamps[i] }
}
