//! Probation: a new version runs beside the one in force, on live records, and nothing of what it does is seen.
//!
//! ```text
//!  worker ─ call ─▶ tap.rs ─▶ the version in force, whose answer counts
//!                     └─ copy of call and answer (taken.rs), never waited for ─▶ judge.rs: the new one, compared (compare.rs)
//!                     (found.rs: what a processor of it found at its host)        states.rs, shelf.rs: its states, stores and timers,
//!                                                                                 thrown away at the end
//! ```
//!
//! One thread for each version on trial, with instances of its own. Where it does not keep up, calls of functions without state are
//! left out, and of those with state keys: a smaller share of them, chosen by hash, so that those that stay are followed whole.

mod again;
mod compare;
mod found;
mod judge;
mod shelf;
mod states;
mod taken;
mod tap;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_core::function::Prepared;
use millstream_core::operator::Active;
use millstream_core::task::TaskId;
use millstream_wasm::{Registry, WORKER_STACK_BYTES, WorkerFunctions};
use millstream_web::types::trials::{Cost, Example, Trial as Report};
use rustix::time::{ClockId, clock_gettime};

pub use again::{Each, Past, Stretch};
use judge::Judge;
use taken::Call;
pub use tap::Tap;

/// Bytes of calls that may wait for a version on trial; what comes beyond is left out.
pub const QUEUE_BYTES_MAX: usize = 16 << 20;

/// Bytes of states of a version on trial.
pub const STATES_BYTES_MAX: usize = 64 << 20;

/// CPU time that a version on trial may take, in hundredths of one core.
pub const CPU_PERCENT_MAX: u64 = 50;

/// Differences that are shown with both outputs.
pub const EXAMPLES_MAX: usize = 10;

/// The smallest share of keys that is followed, of [`u32::MAX`].
const SHARE_MIN: u32 = u32::MAX >> 10;

/// How often a thread that has nothing to do looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// Longest sleep of a thread that has used up its CPU time.
const REST_MAX: Duration = Duration::from_millis(200);

/// The nice value of its thread: workers come first.
const NICE: i32 = 10;

/// Versions on trial on this host.
#[derive(Default)]
pub struct Trials {
    /// Grows with each change: who taps calls looks at nothing else while nothing is on trial.
    generation: AtomicU64,
    all: Mutex<Vec<Arc<Trial>>>,
    /// Topics by input, by sub-topology.
    topics: Vec<Vec<String>>,
    /// Where records are that came before.
    past: OnceLock<Weak<dyn Past>>,
}

impl Trials {
    /// None yet. `topics`: those that each sub-topology reads.
    pub fn new(topics: Vec<Vec<String>>) -> Arc<Self> {
        Arc::new(Self { topics, ..Self::default() })
    }

    /// From where records are given to versions once more; the first that is told counts.
    pub fn remember(&self, past: Weak<dyn Past>) {
        // A second host is never made on the same fleet.
        let _there = self.past.set(past);
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Trial>>)) {
        change(&mut lock(&self.all));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Functions with versions on trial.
    pub fn on_trial(&self) -> Vec<(String, Prepared)> {
        lock(&self.all).iter().map(|trial| (trial.parts.function.clone(), trial.parts.new)).collect()
    }

    /// A record's place, for people.
    fn place(&self, task: TaskId, input: u32, offset: i64) -> Option<String> {
        let topic = self.topics.get(task.sub)?.get(input as usize)?;
        Some(format!("{topic}:{}:{offset}", task.partition))
    }
}

/// What a trial is begun with.
pub struct Parts {
    /// The function.
    pub function: String,
    /// This host.
    pub host: String,
    /// SHA-256 of the new component.
    pub digest: String,
    /// The version in force.
    pub old: Prepared,
    /// The version on trial.
    pub new: Prepared,
    /// Where both are prepared.
    pub registry: Arc<Registry>,
}

/// A version on trial, as workers and its own thread share it.
struct Trial {
    parts: Parts,
    began: Instant,
    /// From when on it is on live records.
    live: OnceLock<Instant>,
    over: AtomicBool,
    /// Keys whose hash is above are not followed.
    share: AtomicU32,
    queued: AtomicUsize,
    calls: Sender<(Call, usize)>,
    /// Calls of processors that were left out for want of room.
    gaps: AtomicU64,
    /// What the version in force has done meanwhile.
    records: AtomicU64,
    nanoseconds: AtomicU64,
    findings: Mutex<Findings>,
}

/// What came out so far.
#[derive(Clone, Debug, Default)]
struct Findings {
    /// Records that were given to the new version, and what it took for them.
    compared: u64,
    nanoseconds: u64,
    outputs: u64,
    differing: u64,
    examples: Vec<Example>,
    /// States of the new version that began anew from one of the old version's.
    begun: u64,
    /// Calls for which there was no instance.
    unavailable: u64,
    /// Calls of processors that asked for what is not known, and what the first of them asked for.
    untried: u64,
    untried_first: Option<String>,
    failed: Option<String>,
    /// Records from before the trial, and why there were not more.
    replayed: u64,
    replay_ended: Option<String>,
}

/// A trial that runs until this is dropped.
pub struct Running {
    trial: Arc<Trial>,
    trials: Arc<Trials>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Running").field(&self.trial.parts.function).finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.trial.over.store(true, Ordering::Relaxed);
        self.trials.change(|all| all.retain(|other| !Arc::ptr_eq(other, &self.trial)));
    }
}

impl Running {
    /// Begins. `again`: about so many of the last records go first through a pipeline with these versions.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn begin(trials: &Arc<Trials>, parts: Parts, again: Option<(Vec<Active>, u64)>) -> anyhow::Result<Self> {
        let (calls, taken) = channel();
        let trial = Arc::new(Trial {
            parts,
            began: Instant::now(),
            live: OnceLock::new(),
            over: AtomicBool::new(false),
            share: AtomicU32::new(u32::MAX),
            queued: AtomicUsize::new(0),
            calls,
            gaps: AtomicU64::new(0),
            records: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            findings: Mutex::default(),
        });
        let (of_thread, places) = (trial.clone(), trials.clone());
        let thread = std::thread::Builder::new().name("probation".into()).stack_size(WORKER_STACK_BYTES);
        thread.spawn(move || run(&of_thread, &places, &taken)).context("a thread for the probation")?;
        let running = Self { trial: trial.clone(), trials: trials.clone() };
        let live = {
            let trials = trials.clone();
            let trial = trial.clone();
            move || go_live(&trials, &trial)
        };
        match (again, trials.past.get().and_then(Weak::upgrade)) {
            (Some((active, count)), Some(past)) => {
                again::begin(past, trial, active, count, live).context("a thread for the last records")?;
            }
            _ => live(),
        }
        Ok(running)
    }

    /// Why the new version does not come through.
    pub fn failed(&self) -> Option<String> {
        lock(&self.trial.findings).failed.clone()
    }

    /// Whether it has run for so long, or compared so many records.
    pub fn is_through(&self, ms: i64, records: u64) -> bool {
        let Some(live) = self.trial.live.get() else { return false };
        let passed = i64::try_from(live.elapsed().as_millis()).unwrap_or(i64::MAX);
        passed >= ms || lock(&self.trial.findings).compared >= records
    }

    /// What came out so far.
    pub fn report(&self) -> Report {
        self.trial.report()
    }
}

impl Trial {
    fn report(&self) -> Report {
        let Parts { function, host, digest, old, new, registry } = &self.parts;
        let found = lock(&self.findings).clone();
        let records = self.records.load(Ordering::Relaxed);
        let cost = |nanoseconds: u64, records: u64, of: Prepared| Cost {
            ns_per_record: (records > 0).then(|| nanoseconds as f64 / records as f64),
            memory_bytes: registry.stats(of).memory_bytes_max,
        };
        let mut notes = Vec::new();
        if let Some(first) = &found.untried_first {
            notes.push(format!(
                "{} calls were left out, as the new version asked for what the one in force did not, first for {first}",
                found.untried
            ));
        }
        if let Some(why) = &found.replay_ended {
            notes.push(format!("of the last records {} were taken through again: {why}", found.replayed));
        }
        if found.unavailable > 0 {
            notes.push(format!("{} calls were left out, as there was no room for an instance", found.unavailable));
        }
        if registry.layouts(*old).current != registry.layouts(*new).current {
            notes.push("states were migrated for the trial; those that are stored were not touched".to_string());
        }
        Report {
            function: function.clone(),
            host: host.clone(),
            digest: digest.clone(),
            seconds: self.began.elapsed().as_secs_f64(),
            exercised: found.compared > 0,
            records,
            replayed: found.replayed,
            compared: found.compared,
            keys_share: f64::from(self.share.load(Ordering::Relaxed)) / f64::from(u32::MAX),
            outputs: found.outputs,
            differing: found.differing,
            examples: found.examples,
            states_begun: found.begun,
            old: cost(self.nanoseconds.load(Ordering::Relaxed), records, *old),
            new: cost(found.nanoseconds, found.compared, *new),
            failed: found.failed,
            notes,
        }
    }

    /// The version in force has answered a call, which took so many nanoseconds.
    fn handled(&self, records: usize, nanoseconds: u64) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Whether there is room for so many bytes more; else fewer keys are followed from now on.
    fn has_room(&self, bytes: usize, keyed: bool) -> bool {
        if self.queued.load(Ordering::Relaxed) + bytes <= QUEUE_BYTES_MAX {
            return true;
        }
        if keyed {
            self.follow_fewer();
        }
        false
    }

    fn follow_fewer(&self) {
        let share = self.share.load(Ordering::Relaxed);
        self.share.store((share / 2).max(SHARE_MIN), Ordering::Relaxed);
    }

    fn send(&self, call: Call) {
        let bytes = call.bytes();
        self.queued.fetch_add(bytes, Ordering::Relaxed);
        // Its thread ends only when the trial is over.
        let _over = self.calls.send((call, bytes));
    }
}

/// From here on it is given what the running pipeline's functions are given.
fn go_live(trials: &Trials, trial: &Arc<Trial>) {
    // What it wrote to stores before belongs to records of before.
    trial.gaps.fetch_add(1, Ordering::Relaxed);
    let _first = trial.live.set(Instant::now());
    trials.change(|all| {
        // Who ends a trial says so before it takes it away.
        if !trial.over.load(Ordering::Relaxed) {
            all.push(trial.clone());
        }
    });
}

/// The thread of a trial.
fn run(trial: &Arc<Trial>, trials: &Arc<Trials>, calls: &Receiver<(Call, usize)>) {
    // Where the system does not let it, it competes as others do, within its CPU time.
    let _denied = rustix::process::setpriority_process(None, NICE);
    let functions = WorkerFunctions::new(trial.parts.registry.clone());
    let mut judge = Judge::new(trial.clone(), trials.clone(), functions);
    while !trial.over.load(Ordering::Relaxed) {
        match calls.recv_timeout(LOOK) {
            Ok((call, bytes)) => {
                if lock(&trial.findings).failed.is_none()
                    && let Err(why) = judge.judge(call)
                {
                    lock(&trial.findings).failed = Some(why);
                }
                trial.queued.fetch_sub(bytes, Ordering::Relaxed);
                rest(trial.began);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Sleeps where this thread has had more than its share of CPU time since `began`.
fn rest(began: Instant) {
    let may_have = began.elapsed().as_nanos() as u64 / 100 * CPU_PERCENT_MAX;
    let over = cpu_nanoseconds().saturating_sub(may_have);
    if over > 0 {
        std::thread::sleep(Duration::from_nanos(over / CPU_PERCENT_MAX * 100).min(REST_MAX));
    }
}

/// CPU time of this thread.
fn cpu_nanoseconds() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
