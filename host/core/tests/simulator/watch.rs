//! Workers as seen from outside: what each task was told and has taken, step by step, so that it can be judged; and what no
//! task may do whatever comes out. Where records come from and how commits end is the world's matter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use millstream_core::commit::Interval;
use millstream_core::function::Prepared;
use millstream_core::globals::Globals;
use millstream_core::operator::Active;
use millstream_core::record::BytesColumn;
use millstream_core::state::keyspace::{Keyspaces, Space, StorageError};
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker};

use super::Planted;
use super::case::Case;
use super::formats::Flaky;
use super::judge::{Cut, Taken};
use super::native::{FUNCTIONS_MAX, Native};
use super::rng::Rng;
use super::roles::{Rec, global_row};

/// The global table, of which only what does not change is promised.
struct GlobalRows;

impl Globals for GlobalRows {
    fn rows(&self, _: usize, keys: &[Option<&[u8]>]) -> Result<BytesColumn, StorageError> {
        let rows: Vec<_> = keys.iter().map(|key| key.and_then(global_row)).collect();
        Ok(rows.iter().map(Option::as_deref).collect())
    }
}

/// What is seen of a task from outside.
#[derive(Clone, Debug, Default)]
struct Track {
    cut: Cut,
    positions: Vec<i64>,
    /// Ends of the inputs that the engine was told; `None`: nothing yet.
    ends: Vec<Option<i64>>,
    /// Of each input the offset behind what was fetched without a hole.
    fetched: Vec<i64>,
    /// Of each input since when, and when last, its end was told, never further apart than it counts.
    steady: Vec<Option<(i64, i64)>>,
}

impl Track {
    /// Since when the ends of all inputs have been known without a gap, while everything up to them was taken; `None`: that is not so now.
    /// `exists`: of each input whether there is such a partition.
    fn quiet_since(&self, exists: &[bool], ends_ms_max: Option<i64>, now: i64) -> Option<i64> {
        let mut quiet = i64::MIN;
        for input in (0..exists.len()).filter(|i| exists[*i]) {
            self.ends[input].filter(|end| self.positions[input] >= *end)?;
            if let Some(ms) = ends_ms_max {
                quiet = quiet.max(self.steady[input].filter(|(_, last)| now - last <= ms)?.0);
            }
        }
        Some(quiet)
    }
}

/// A worker that is watched.
pub struct Watched {
    pub worker: Worker,
    native: Native,
    formats: Flaky,
    tracks: BTreeMap<TaskId, Track>,
    /// Versions that it has not heard of yet.
    pub unheard: VecDeque<(usize, u64)>,
    elapsed: i64,
    wall: i64,
}

/// What a step asks.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    pub db: &'a dyn Keyspaces,
    pub spaces: &'a [Vec<Space>],
    /// The record at a place of a log; `None`: there is none.
    pub record: &'a dyn Fn(&str, u32, i64) -> Option<Rec>,
    pub now: i64,
}

/// What was seen.
pub struct Book {
    topology: Arc<Topology>,
    /// For how long the end of an input counts that was told; `None`: for ever.
    ends_ms_max: Option<i64>,
    /// How parts of intervals were made.
    cuts: BTreeMap<(TaskId, u64), Cut>,
    /// Offsets at which a task was told that there is no record.
    gaps: BTreeSet<(TaskId, usize, i64)>,
    started: u64,
}

pub fn active(f: usize, epoch: u64) -> Active {
    Active { prepared: Prepared(epoch as u32 * FUNCTIONS_MAX + f as u32), epoch, number: epoch }
}

impl Book {
    pub fn new(topology: Arc<Topology>, ends_ms_max: Option<i64>) -> Self {
        Self { topology, ends_ms_max, cuts: BTreeMap::new(), gaps: BTreeSet::new(), started: 0 }
    }

    /// A new worker without tasks.
    pub fn start(&mut self, case: &Case, planted: Planted, rng: &mut Rng, epochs: &[u64], now: i64) -> Watched {
        self.started += 1;
        let settings = Settings {
            commit_interval_ms: 20,
            interval_bytes_max: *rng.pick(&[500, 8_000, 1 << 20]),
            waiting_bytes_max: *rng.pick(&[200, 1 << 20]),
            store_cache_bytes_max: *rng.pick(&[0, 300, 1 << 20]),
            ends_ms_max: self.ends_ms_max.filter(|_| planted != Planted::StaleEnds),
        };
        let active = epochs.iter().enumerate().map(|(f, epoch)| active(f, *epoch)).collect();
        let worker = Worker::new(self.topology.clone(), settings, active, self.started * 1_000_000);
        let mut native = Native::new(&case.roles, case.flaky, Rng::new(rng.next(), 4));
        native.leaks = planted == Planted::FailedWrite;
        let formats = Flaky::new(case.flaky, Rng::new(self.started, 5));
        Watched { worker, native, formats, tracks: BTreeMap::new(), unheard: VecDeque::new(), elapsed: 0, wall: now }
    }

    /// A task is about to be opened at these positions.
    pub fn opened(&mut self, watched: &mut Watched, task: TaskId, positions: Vec<i64>, now: i64) {
        self.started += 1;
        let opened = watched.elapsed + (now - watched.wall).max(0);
        let cut = Cut { opened, incarnation: self.started, ..Cut::default() };
        let (ends, steady, fetched) = (vec![None; positions.len()], vec![None; positions.len()], positions.clone());
        watched.tracks.insert(task, Track { cut, positions, ends, fetched, steady });
    }

    /// One step of a worker.
    pub fn step(&mut self, watched: &mut Watched, input: Input, ground: Ground<'_>) -> Result<Vec<Effect>, String> {
        watched.elapsed += (ground.now - watched.wall).max(0);
        watched.wall = ground.now;
        let gap = matches!(input, Input::Fetched { .. });
        if let Input::Fetched { task, input, base_offset, batch, end } = &input {
            let track = watched.tracks.get_mut(task).ok_or("fetched for a task that is not there")?;
            let told = &mut track.ends[*input];
            *told = Some(told.map_or(*end, |t| t.max(*end)));
            let (steady, now) = (&mut track.steady[*input], watched.elapsed);
            let unbroken = steady.filter(|(_, last)| self.ends_ms_max.is_none_or(|ms| now - last <= ms));
            *steady = Some((unbroken.map_or(now, |(since, _)| since), now));
            let (fetched, after) = (&mut track.fetched[*input], base_offset + batch.len() as i64);
            if batch.is_empty() && *base_offset > *fetched {
                self.gaps.extend((*fetched..*base_offset).map(|offset| (*task, *input, offset)));
            }
            if batch.is_empty() || *base_offset <= *fetched {
                *fetched = (*fetched).max(after);
            }
        }
        let mut grounds = Grounds {
            functions: &mut watched.native,
            formats: &watched.formats,
            globals: &GlobalRows,
            db: ground.db,
            spaces: ground.spaces,
        };
        let effects = watched.worker.step(ground.now, input, &mut grounds);
        self.look(watched, gap, ground)?;
        for effect in &effects {
            match effect {
                Effect::Stopped { task, .. } => drop(watched.tracks.remove(task)),
                Effect::Commit(interval) => self.cut(watched, interval, ground.now),
                _ => {}
            }
        }
        Ok(effects)
    }

    /// Notes what each task has taken.
    fn look(&self, watched: &mut Watched, gap: bool, ground: Ground<'_>) -> Result<(), String> {
        for task in watched.worker.tasks() {
            let (id, positions) = (task.id(), task.positions());
            let Some(track) = watched.tracks.get_mut(&id) else { continue };
            if positions != track.positions {
                if !gap {
                    self.waits(id, track, &positions, ground)?;
                }
                track.cut.taken.push(Taken { to: positions.clone(), gap, at: watched.elapsed, wall: ground.now });
                track.positions = positions;
            }
        }
        Ok(())
    }

    /// An older record that is known to be there, and a partition that nobody has looked at, are waited for.
    fn waits(&self, task: TaskId, track: &Track, to: &[i64], ground: Ground<'_>) -> Result<(), String> {
        let mut at = track.positions.clone();
        let inputs = &self.topology.subs[task.sub].inputs;
        let topics: Vec<&str> = inputs.iter().map(|i| &self.topology.topics[i.topic].name[..]).collect();
        let time = |i: usize, offset: i64| (ground.record)(topics[i], task.partition, offset).map(|r| r.time);
        let over_gaps = |at: &mut Vec<i64>| {
            for (i, at) in at.iter_mut().enumerate() {
                while self.gaps.contains(&(task, i, *at)) {
                    *at += 1;
                }
            }
        };
        over_gaps(&mut at);
        while let Some((head, input)) = (0..at.len()).filter(|i| at[*i] < to[*i]).map(|i| (time(i, at[i]), i)).min() {
            for other in (0..at.len()).filter(|o| *o != input) {
                let comes_first = match track.ends[other] {
                    None => task.partition < self.topology.topics[inputs[other].topic].partitions,
                    Some(end) => at[other] < end && (time(other, at[other]), other) < (head, input),
                };
                if comes_first || head.is_none() {
                    let (this, that) = (topics[input], topics[other]);
                    let (from, other) = (at[input], at[other]);
                    return Err(format!("{task:?} took {this}@{from} before {that}@{other}, told {:?}", track.ends));
                }
            }
            at[input] += 1;
            over_gaps(&mut at);
        }
        Ok(())
    }

    fn cut(&mut self, watched: &mut Watched, interval: &Interval, now: i64) {
        for part in &interval.parts {
            let Some(track) = watched.tracks.get_mut(&part.task) else { continue };
            let inputs = &self.topology.subs[part.task.sub].inputs;
            let partitions = |i: usize| self.topology.topics[inputs[i].topic].partitions;
            let exists: Vec<bool> = (0..inputs.len()).map(|i| part.task.partition < partitions(i)).collect();
            let quiet_since = track.quiet_since(&exists, self.ends_ms_max, watched.elapsed);
            self.cuts.entry((part.task, interval.id)).or_insert_with(|| {
                let cut = Cut { quiet_since, at: watched.elapsed, wall: now, ..track.cut.clone() };
                track.cut.taken.clear();
                cut
            });
        }
    }

    /// How a part that is a fact now was made. Only once.
    pub fn take_cut(&mut self, task: TaskId, interval: u64) -> Result<Cut, String> {
        let twice = || format!("{task:?}: interval {interval} was not cut, or is committed twice");
        self.cuts.remove(&(task, interval)).ok_or_else(twice)
    }

    /// Whether a task was told that there is no record at an offset of an input.
    pub fn is_gap(&self, task: TaskId, input: usize, offset: i64) -> bool {
        self.gaps.contains(&(task, input, offset))
    }
}
