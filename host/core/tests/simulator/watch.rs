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
use millstream_core::task::{Task, TaskId};
use millstream_core::topology::graph::{Topic, Topology};
use millstream_core::topology::spec::MaxIdle;
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker};

use super::Planted;
use super::case::Case;
use super::formats::Flaky;
use super::judge::{Cut, Taken};
use super::native::{FUNCTIONS_MAX, Native};
use super::rng::Rng;
use super::roles::global_row;
use super::waits;

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
    inputs: Vec<waits::Input>,
    /// Of each input since when, and when last, its end was told, never further apart than it counts.
    steady: Vec<Option<(i64, i64)>>,
}

impl Track {
    /// Since when the ends of all inputs have been known without a gap, while everything up to them was taken; `None`: that is not so now.
    fn quiet_since(&self, ends_ms_max: Option<i64>, now: i64) -> Option<i64> {
        let mut quiet = i64::MIN;
        for input in (0..self.inputs.len()).filter(|i| self.inputs[*i].exists) {
            self.inputs[input].end.filter(|end| self.positions[input] >= *end)?;
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
    /// Of one host: versions that it has not heard of yet.
    pub unheard: VecDeque<(usize, u64)>,
    interval_bytes_max: usize,
    elapsed: i64,
    wall: i64,
}

/// What a step asks.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    pub db: &'a dyn Keyspaces,
    pub spaces: &'a [Vec<Space>],
    pub now: i64,
}

/// What was seen.
pub struct Book {
    topology: Arc<Topology>,
    /// For how long the end of an input counts that was told; `None`: for ever.
    ends_ms_max: Option<i64>,
    /// By sub-topology: how long a task waits for one of several inputs.
    max_idle: Vec<MaxIdle>,
    /// How parts of intervals were made.
    cuts: BTreeMap<(TaskId, u64), Cut>,
    /// Offsets at which a task was told that there is no record.
    gaps: BTreeSet<(TaskId, usize, i64)>,
    started: u64,
}

/// The version of a function where each has the number of its epoch.
pub fn active(f: usize, epoch: u64) -> Active {
    Active { prepared: Prepared(epoch as u32 * FUNCTIONS_MAX + f as u32), epoch, number: epoch }
}

impl Watched {
    /// A planted bug: a version counts at once, whatever is called.
    pub fn newest(&mut self, function: usize, active: Active) {
        self.native.newest.insert(function, active.prepared);
    }
}

impl Book {
    pub fn new(topology: Arc<Topology>, ends_ms_max: Option<i64>, max_idle: Vec<MaxIdle>) -> Self {
        Self { topology, ends_ms_max, max_idle, cuts: BTreeMap::new(), gaps: BTreeSet::new(), started: 0 }
    }

    /// A new worker without tasks.
    pub fn start(&mut self, case: &Case, planted: Planted, rng: &mut Rng, active: Vec<Active>, now: i64) -> Watched {
        self.started += 1;
        let settings = Settings {
            commit_interval_ms: 20,
            interval_bytes_max: *rng.pick(&[500, 8_000, 1 << 20]),
            waiting_bytes_max: *rng.pick(&[200, 1 << 20]),
            store_cache_bytes_max: *rng.pick(&[0, 300, 1 << 20]),
            ends_ms_max: self.ends_ms_max.filter(|_| planted != Planted::StaleEnds),
        };
        let interval_bytes_max = settings.interval_bytes_max;
        let worker = Worker::new(self.topology.clone(), settings, active, self.started * 1_000_000);
        let mut native = Native::new(case, Rng::new(rng.next(), 4));
        native.leaks = planted == Planted::FailedWrite;
        native.keeps_layouts = planted == Planted::KeptLayout;
        native.stands_always = planted == Planted::UntoldTakeBack;
        let formats = Flaky::new(case.flaky, Rng::new(self.started, 5));
        let (tracks, unheard) = Default::default();
        Watched { worker, native, formats, tracks, unheard, interval_bytes_max, elapsed: 0, wall: now }
    }

    /// A task is about to be opened at these positions.
    pub fn opened(&mut self, watched: &mut Watched, task: TaskId, positions: Vec<i64>, now: i64) {
        self.started += 1;
        let opened = watched.elapsed + (now - watched.wall).max(0);
        let cut = Cut { opened, incarnation: self.started, ..Cut::default() };
        let topics = self.topology.subs[task.sub].inputs.iter().map(|input| &self.topology.topics[input.topic]);
        let input = |(topic, at): (&Topic, &i64)| waits::Input::new(*at, task.partition < topic.partitions);
        let (inputs, steady) = (topics.zip(&positions).map(input).collect(), vec![None; positions.len()]);
        watched.tracks.insert(task, Track { cut, positions, inputs, steady });
    }

    /// Tasks that have to take something at a tick that begins now, with where they stand.
    fn due(&self, watched: &mut Watched) -> Vec<(TaskId, Vec<i64>)> {
        let mut due = Vec::new();
        for (id, track) in &mut watched.tracks {
            let max_idle = self.max_idle[id.sub];
            if waits::must_take(&mut track.inputs, &track.positions, max_idle, watched.elapsed) {
                due.push((*id, track.positions.clone()));
            }
        }
        due
    }

    /// One step of a worker.
    pub fn step(&mut self, watched: &mut Watched, input: Input, ground: Ground<'_>) -> Result<Vec<Effect>, String> {
        watched.elapsed += (ground.now - watched.wall).max(0);
        watched.wall = ground.now;
        let gap = matches!(input, Input::Fetched { .. });
        if let Input::Fetched { task, input, base_offset, batch, end } = &input {
            let track = watched.tracks.get_mut(task).ok_or("fetched for a task that is not there")?;
            let (steady, now) = (&mut track.steady[*input], watched.elapsed);
            let unbroken = steady.filter(|(_, last)| self.ends_ms_max.is_none_or(|ms| now - last <= ms));
            *steady = Some((unbroken.map_or(now, |(since, _)| since), now));
            let (known, after) = (&mut track.inputs[*input], base_offset + batch.len() as i64);
            if batch.is_empty() && *base_offset > known.fetched {
                self.gaps.extend((known.fetched..*base_offset).map(|offset| (*task, *input, offset)));
            }
            let fits = batch.is_empty() || *base_offset <= known.fetched;
            known.told(if fits { after } else { known.fetched }, *end, !batch.is_empty());
        }
        let due = if matches!(input, Input::Tick) { self.due(watched) } else { Vec::new() };
        let mut grounds = Grounds {
            functions: &mut watched.native,
            formats: &watched.formats,
            globals: &GlobalRows,
            db: ground.db,
            spaces: ground.spaces,
        };
        let effects = watched.worker.step(ground.now, input, &mut grounds);
        if let Some(wrong) = watched.native.standing.wrong.take() {
            return Err(wrong);
        }
        self.took(watched, &due, &effects)?;
        self.look(watched, gap, ground);
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
    fn look(&self, watched: &mut Watched, gap: bool, ground: Ground<'_>) {
        for task in watched.worker.tasks() {
            let (id, positions) = (task.id(), task.positions());
            let Some(track) = watched.tracks.get_mut(&id) else { continue };
            if positions != track.positions {
                let (to, inputs) = (positions.clone(), track.inputs.clone());
                track.cut.taken.push(Taken { to, gap, at: watched.elapsed, wall: ground.now, inputs });
            }
            for (i, input) in track.inputs.iter_mut().enumerate() {
                input.look(positions[i], !gap && positions[i] != track.positions[i], watched.elapsed);
            }
            track.positions = positions;
        }
    }

    /// The inputs of a task that has to take something at a tick must have moved, unless there was no room for results.
    fn took(&self, watched: &Watched, due: &[(TaskId, Vec<i64>)], effects: &[Effect]) -> Result<(), String> {
        let quiet = |effect: &Effect| !matches!(effect, Effect::Commit(_) | Effect::Stopped { .. });
        let tasks = || watched.worker.tasks();
        let room = tasks().map(Task::result_bytes).sum::<usize>() <= watched.interval_bytes_max;
        if !room || !effects.iter().all(quiet) || tasks().any(Task::is_half_isolated) {
            return Ok(());
        }
        for (id, before) in due {
            let stands = tasks().any(|task| task.id() == *id && task.positions() == *before);
            if stands {
                return Err(format!("{id:?} takes nothing at {before:?}, knowing {:?}", watched.tracks[id].inputs));
            }
        }
        Ok(())
    }

    fn cut(&mut self, watched: &mut Watched, interval: &Interval, now: i64) {
        for part in &interval.parts {
            let Some(track) = watched.tracks.get_mut(&part.task) else { continue };
            let quiet_since = track.quiet_since(self.ends_ms_max, watched.elapsed);
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
