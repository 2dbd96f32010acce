//! The simulator on Kafka's terms: several hosts, each with a state directory of its own, over brokers with transactions, a
//! group that is rebalanced at any time, changelogs from which states are made again. Hosts die, stall and wake, commits are
//! fenced, aborted or of unknown outcome. Versions come into force by the control log, which each process follows at its own
//! pace. The oracle is the same as for one host: it sees what was decided, in that order.

mod broker;
mod chaos;
mod commit;
mod components;
mod control;
mod directory;
mod follower;
mod group;
mod host;
mod open;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::error::Verdict;
use millstream_core::record::{Batch, BatchBuilder};
use millstream_core::state::keyspace::Space;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_core::worker::{Effect, Input};

use super::Planted;
use super::case::{Case, STARTS_AT, Size};
use super::judge::Judge;
use super::rng::Rng;
use super::roles::Rec;
use super::watch::{Book, Ground};
use super::world::planned;

use broker::{Broker, Log, Place};
use control::ControlLog;
use directory::Directory;
use follower::Follower;
use group::Group;
use host::{Host, Process};

/// For how long it counts, in milliseconds, that a partition was at its end: from less than anything idles after to more than most.
const ENDS_MS_MAX: [i64; 3] = [60, 120, 400];

/// Runs one seed.
///
/// # Errors
/// What differs from the oracle.
pub fn run(seed: u64, size: Size, planted: Planted) -> Result<(), String> {
    let mut case = Case::new(seed, size);
    case.workers = case.workers.max(2);
    let told = super::told(&case);
    let fleet = Fleet::new(case, [Rng::new(seed, 6), Rng::new(seed, 7)], planted)?;
    chaos::run(fleet).map_err(|why| format!("{why}\n{told}"))
}

pub struct Fleet {
    case: Arc<Case>,
    rng: Rng,
    planted: Planted,
    topology: Arc<Topology>,
    spaces: Vec<Vec<Space>>,
    judge: Judge,
    book: Book,
    broker: Broker,
    group: Group,
    control: ControlLog,
    /// The last epoch that a task has committed, by function.
    committed_epochs: BTreeMap<(TaskId, String), u64>,
    next_token: u64,
    /// Brokers take their time with markers.
    slow: bool,
    /// Steps for which nobody can read anything.
    away: u64,
    /// Wall time, which may jump, and time that passes.
    now: i64,
    clock: i64,
}

impl Fleet {
    fn new(case: Case, [mut rng, chance]: [Rng; 2], planted: Planted) -> Result<Self, String> {
        let case = Arc::new(case);
        let topology = planned(&case)?;
        let slow = rng.one_in(2);
        let control = ControlLog::new(topology.functions.clone(), chance)?;
        let mut judge = Judge::new(&case, &topology)?;
        let first = control.in_force(control.fold());
        first.into_iter().enumerate().for_each(|(f, active)| judge.in_force(f, active));
        let broker = Broker::new(case.input.iter().map(|(at, records)| (at.clone(), Log::of_input(records))).collect());
        let spaces = Directory::spaces(&topology);
        let book = Book::new(topology.clone(), Some(*rng.pick(&ENDS_MS_MAX)), judge.max_idle());
        Ok(Self {
            case,
            rng,
            planted,
            topology,
            spaces,
            judge,
            book,
            broker,
            group: Group::default(),
            control,
            committed_epochs: BTreeMap::new(),
            next_token: 0,
            slow,
            away: 0,
            now: STARTS_AT,
            clock: 0,
        })
    }

    fn tasks(&self) -> impl Iterator<Item = TaskId> + use<> {
        let subs: Vec<u32> = self.topology.subs.iter().map(|s| s.tasks).collect();
        subs.into_iter().enumerate().flat_map(|(sub, tasks)| (0..tasks).map(move |partition| TaskId { sub, partition }))
    }

    fn changelog(&self, task: TaskId, store: usize) -> Place {
        (format!("sim-{}-changelog", self.topology.subs[task.sub].stores[store].name), task.partition)
    }

    /// One step of a host's engine, watched.
    fn step(&mut self, host: &mut Host, input: Input) -> Result<(), String> {
        let Host { process: Some(process), directory, .. } = host else { return Ok(()) };
        let ground = Ground { db: &*directory, spaces: &self.spaces, now: self.now };
        for effect in self.book.step(&mut process.watched, input, ground)? {
            match effect {
                Effect::Stopped { task, verdict: Verdict::Retry(_) | Verdict::Fenced(_), .. } => process.stopped(task),
                Effect::Stopped { task, verdict, .. } => return Err(format!("{task:?} stopped: {verdict}")),
                Effect::Commit(interval) => process.begin_commit(interval, self.clock),
                Effect::Resolve(_) => process.begin_resolving(),
                Effect::Committed(_) => {}
            }
        }
        Ok(())
    }

    /// Fetches for a host, committed records alone: too little, twice, out of order; holes are told.
    fn fetch(&mut self, host: &mut Host, chaos: bool) -> Result<(), String> {
        let Some(process) = host.process.as_ref().filter(|_| self.away == 0) else { return Ok(()) };
        for (task, input, wanted) in process.watched.worker.wants() {
            let topic = &self.topology.topics[self.topology.subs[task.sub].inputs[input].topic];
            if task.partition >= topic.partitions || chaos && self.rng.one_in(3) {
                continue;
            }
            let place = (topic.name.clone(), task.partition);
            let mut offset = wanted;
            if chaos && self.rng.one_in(5) {
                offset = (offset + self.rng.below(8) as i64 - 4).max(0);
            }
            let most = *self.rng.pick(&[8, 25, 25, 60]);
            let size = 1 + self.rng.below(most) as i64;
            let log = self.broker.logs.entry(place).or_default();
            let end = log.stable();
            let hole = log.next(wanted.max(log.start));
            let (base_offset, batch) = if hole > wanted {
                (hole, Batch::default())
            } else {
                let (records, _) = log.run(offset.max(log.start), size);
                // An answer without records and with a later offset would say that those in between are gone.
                (if records.is_empty() { offset.min(wanted) } else { offset.max(log.start) }, batch(&records))
            };
            self.step(host, Input::Fetched { task, input, base_offset, batch, end })?;
        }
        Ok(())
    }

    /// A process of a host starts: of its tasks it knows nothing, it has read the control log, and it asks to be let in.
    fn start(&mut self, host: &mut Host) {
        self.group.leave(host.number);
        let now = self.clock + self.control.waited;
        let follower = Follower::new(&mut self.control, self.planted, now);
        let in_force = follower.told.clone();
        let watched = self.book.start(&self.case, self.planted, &mut self.rng, in_force, self.now);
        host.process = Some(Process::new(watched, follower));
        host.stalled = 0;
    }

    /// Committed records of a partition, in order.
    fn committed(&self, topic: &str, partition: u32) -> Vec<Rec> {
        let log = self.broker.logs.get(&(topic.to_string(), partition));
        log.iter().flat_map(|log| (0..log.end()).filter_map(|at| log.record(at).cloned())).collect()
    }

    /// The last look.
    fn at_rest(&self) -> Result<(), String> {
        let end = |topic: &str, p: u32| self.broker.logs.get(&(topic.to_string(), p)).map_or(0, Log::end);
        self.judge.at_rest(&end)?;
        self.judge.last_words(&|topic, p| self.committed(topic, p))?;
        let partitions: BTreeMap<&str, u32> =
            self.topology.topics.iter().map(|t| (t.name.as_str(), t.partitions)).collect();
        super::canonical::compare(&self.case, &|topic| {
            (0..partitions[topic]).flat_map(|p| self.committed(topic, p)).collect()
        })
    }
}

fn batch(records: &[Rec]) -> Batch {
    let mut out = BatchBuilder::default();
    for r in records {
        out.push(r.key.as_deref(), r.value.as_deref(), r.time, r.headers.iter().map(|(n, v)| (&n[..], v.as_deref())));
    }
    out.finish()
}
