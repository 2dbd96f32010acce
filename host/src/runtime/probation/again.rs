//! The last records of a pipeline's sources once more, for a version on trial that would see few otherwise: through a pipeline of its
//! own, in memory, with stores that are empty, whose calls are watched as those of the running one are. Nothing of it is seen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use millstream_core::operator::Active;
use millstream_core::record::Batch;
use millstream_wasm::{WORKER_STACK_BYTES, WorkerFunctions};

use super::{NICE, QUEUE_BYTES_MAX, Tap, Trial, Trials, lock, rest};
use crate::runtime::driver::{Driver, Given, Setting};
use crate::runtime::replay::Ground;

/// Bytes of keys and values that are taken through; the rest is left out.
pub const REPLAY_BYTES_MAX: usize = 256 << 20;

/// How long it may take; the rest is left out.
pub const REPLAY_TIME_MAX: Duration = Duration::from_secs(60);

/// Records that are taken through at a time.
const CHUNK_RECORDS: usize = 256;

/// How long to wait for a version on trial that is behind.
const BEHIND: Duration = Duration::from_millis(5);

/// Where the last records of a partition are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Offset of the first.
    pub from: i64,
    /// Offset behind the last.
    pub end: i64,
}

/// Takes records of a stretch: its number, the offset of the first. `false`: no more are wanted.
pub type Each<'e> = &'e mut dyn FnMut(usize, i64, Batch) -> anyhow::Result<bool>;

/// What a host has in its sources' topics.
pub trait Past: Send + Sync {
    /// The running pipeline.
    fn ground(&self) -> Ground<'_>;

    /// Where the last records are of the partitions that this host reads, about `count` of all together.
    ///
    /// # Errors
    /// In words for the user.
    fn last(&self, count: u64) -> anyhow::Result<Vec<Stretch>>;

    /// Reads stretches, each in the order of its offsets, without empty batches.
    ///
    /// # Errors
    /// In words for the user; what `each` fails with.
    fn read(&self, stretches: &[Stretch], each: Each<'_>) -> anyhow::Result<()>;
}

/// Takes about `count` of the last records through a pipeline with these versions; how many there were, and why there are not more.
pub(super) fn run(past: &dyn Past, trial: &Arc<Trial>, active: Vec<Active>, count: u64) -> (u64, Option<String>) {
    // Where the system does not let it, it competes as others do.
    let _denied = rustix::process::setpriority_process(None, NICE);
    let mut done = 0;
    let ended = replay(past, trial, active, count, &mut done);
    (done, ended.unwrap_or_else(|why| Some(format!("{why:#}"))))
}

fn replay(
    past: &dyn Past,
    trial: &Arc<Trial>,
    active: Vec<Active>,
    count: u64,
    done: &mut u64,
) -> anyhow::Result<Option<String>> {
    let ground = past.ground();
    let stretches = past.last(count)?;
    let watched = Trials::new(crate::runtime::fleet::topics(ground.topology));
    watched.change(|all| all.push(trial.clone()));
    let functions = Tap::new(WorkerFunctions::new(trial.parts.registry.clone()), watched);
    let place =
        |stretch: &Stretch| Given { topic: stretch.topic.clone(), partition: stretch.partition, offset: stretch.from };
    let setting = Setting {
        functions: Box::new(functions),
        active,
        formats: ground.formats.clone(),
        globals: ground.globals.clone(),
        given: stretches.iter().map(place).collect(),
    };
    let mut driver = Driver::with(&ground.pipeline_as_it_is(), setting)?;
    let began = Instant::now();
    let (all, mut short) = gathered(past, &stretches, began)?;
    for (number, first, chunk) in by_time(all) {
        if !wait_for_room(trial) {
            break;
        }
        let place = Given { offset: first, ..place(&stretches[number]) };
        *done += chunk.len() as u64;
        driver.give(&place, chunk)?;
        rest(began);
        if let Some(why) = too_much(began.elapsed(), 0) {
            short = Some(why);
            break;
        }
    }
    driver.finish(true)?;
    Ok(short)
}

/// Records of each stretch, from the first offset of each run on.
type Runs = Vec<VecDeque<(i64, Batch)>>;

/// Reads what is there, as far as the bounds let it.
fn gathered(past: &dyn Past, stretches: &[Stretch], began: Instant) -> anyhow::Result<(Runs, Option<String>)> {
    let (mut all, mut bytes, mut short): (Runs, _, _) = (vec![VecDeque::new(); stretches.len()], 0, None);
    past.read(stretches, &mut |number, first, batch| {
        bytes += batch.keys.data().len() + batch.values.data().len();
        short = too_much(began.elapsed(), bytes);
        if short.is_none() {
            all[number].push_back((first, batch));
        }
        Ok(short.is_none())
    })?;
    Ok((all, short))
}

/// Records of several partitions in the order of their times, as far as each partition's own order lets them.
fn by_time(mut all: Runs) -> impl Iterator<Item = (usize, i64, Batch)> {
    std::iter::from_fn(move || {
        let time = |runs: &VecDeque<(i64, Batch)>| Some(runs.front()?.1.timestamps[0]);
        let number = (0..all.len()).filter(|n| !all[*n].is_empty()).min_by_key(|n| time(&all[*n]))?;
        let others = (0..all.len()).filter(|n| *n != number).filter_map(|n| time(&all[n])).min();
        let (first, batch) = all[number].pop_front()?;
        let is_later = |i: &usize| others.is_some_and(|others| batch.timestamps[*i] > others);
        let most = batch.len().min(CHUNK_RECORDS);
        let to = (1..most).find(is_later).unwrap_or(most);
        if to < batch.len() {
            all[number].push_front((first + to as i64, batch.slice(to, batch.len())));
        }
        Some((number, first, batch.slice(0, to)))
    })
}

/// Why no more records are taken, if so.
fn too_much(passed: Duration, bytes: usize) -> Option<String> {
    if passed > REPLAY_TIME_MAX {
        return Some(format!("more would have taken longer than {} s", REPLAY_TIME_MAX.as_secs()));
    }
    (bytes > REPLAY_BYTES_MAX).then(|| format!("more would have been over {} MiB", REPLAY_BYTES_MAX >> 20))
}

/// Waits until the version on trial has taken most of what was sent; `false`: nothing more is wanted.
fn wait_for_room(trial: &Trial) -> bool {
    while trial.queued.load(Ordering::Relaxed) > QUEUE_BYTES_MAX / 2 {
        if trial.over.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(BEHIND);
    }
    !trial.over.load(Ordering::Relaxed) && lock(&trial.findings).failed.is_none()
}

/// Begins a replay on a thread of its own; `live` comes behind it.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn begin(
    past: Arc<dyn Past>,
    trial: Arc<Trial>,
    active: Vec<Active>,
    count: u64,
    live: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("probation-again".into()).stack_size(WORKER_STACK_BYTES);
    let replay = move || {
        let (replayed, short) = run(past.as_ref(), &trial, active, count);
        drop(past);
        // Who is told of it may count on live records being compared from then on.
        let mut found = lock(&trial.findings);
        live();
        found.replayed = replayed;
        found.replay_ended = short;
    };
    thread.spawn(replay).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::record::BatchBuilder;

    #[test]
    fn partitions_come_together_by_time() {
        let batch = |times: &[i64]| {
            let mut batch = BatchBuilder::default();
            times.iter().for_each(|time| batch.push(None, None, *time, []));
            batch.finish()
        };
        let runs =
            |of: &[(i64, &[i64])]| of.iter().map(|(first, times)| (*first, batch(times))).collect::<VecDeque<_>>();
        let all = vec![runs(&[(5, &[1, 2, 9]), (10, &[3])]), runs(&[]), runs(&[(70, &[2, 4, 4])])];
        let told: Vec<_> = by_time(all).map(|(n, first, batch)| (n, first, batch.timestamps.to_vec())).collect();
        let expected = [(0, 5, vec![1, 2]), (2, 70, vec![2, 4, 4]), (0, 7, vec![9]), (0, 10, vec![3])];
        assert_eq!(told, expected);
        let long: Vec<i64> = (0..600).collect();
        let cut: Vec<_> = by_time(vec![runs(&[(0, &long)])]).map(|(_, first, batch)| (first, batch.len())).collect();
        assert_eq!(cut, [(0, 256), (256, 256), (512, 88)]);
    }

    #[test]
    fn a_replay_has_bounds() {
        assert_eq!(too_much(REPLAY_TIME_MAX, REPLAY_BYTES_MAX), None);
        let long = too_much(REPLAY_TIME_MAX + Duration::from_millis(1), 0);
        assert_eq!(long.as_deref(), Some("more would have taken longer than 60 s"));
        assert_eq!(
            too_much(Duration::ZERO, REPLAY_BYTES_MAX + 1).as_deref(),
            Some("more would have been over 256 MiB")
        );
    }
}
