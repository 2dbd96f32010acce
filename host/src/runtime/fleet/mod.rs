//! Versions of functions on one host of a fleet; in local mode on the one host there is. What is in force is
//! [`millstream_core::swap`]'s fold over the control log, and so the same on every host.
//!
//! ```text
//!  deploy, rollback ──▶ ledger: component, proposal ──▶ turn.rs reads the log, prepares, answers, tells workers
//! ```
//!
//! `ledger` is the port to where the log is, `local` fills it from the database, on Kafka `runtime/kafka/ledger.rs` does.

mod collect;
mod deploy;
pub mod entries;
mod layouts;
pub mod ledger;
pub mod local;
pub mod seen;
pub mod trials;
mod turn;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millstream_core::function::{Interface, Prepared};
use millstream_core::operator::Active;
use millstream_core::swap::{
    Activation, Change, Control, Entry, FunctionControl, Outcome, PREPARE_MS_MAX, Probation, Proposal, Version,
};
use millstream_core::topology::graph::{Input, Topology};
use millstream_wasm::Registry;
use tracing::warn;

use super::functions;
use super::plan;
use super::probation::Trials;
use super::worker::wall_ms;
use crate::trust::{Trust, file as sign};
use deploy::Given;
pub use deploy::{Asked, Collected, Deployed, Failed, NotTaken};
use entries::SwitchRecord;
pub use layouts::Sweeps;
use ledger::{Follow, Ledger, Refused};

/// How long a deploy waits for its outcome: longer than hosts may take, and than it takes them to say so.
const OUTCOME_WAIT: Duration = Duration::from_millis(PREPARE_MS_MAX as u64 + 30_000);

/// How long an entry is tried to be appended.
const APPEND_WAIT: Duration = Duration::from_secs(30);

/// Pause before something that failed in passing is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// For how long after it has come into force a version that fails is gone back from, and the one before stays prepared: what fails later
/// fails for its records.
pub const KEEP_PREVIOUS: Duration = Duration::from_secs(3_600);

/// How often somebody who waits looks whether to go on.
const LOOK: Duration = Duration::from_millis(200);

/// A function of the manifest, and what its steps call.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What the manifest says.
    pub plan: plan::Function,
    /// Interfaces that it must have.
    pub needed: Vec<Interface>,
}

impl Wanted {
    /// All functions of a pipeline, in its order.
    pub fn all(pipeline: &plan::Pipeline) -> Vec<Self> {
        let needed = |function: &plan::Function| plan::needed_interfaces(&pipeline.spec, &function.name);
        pipeline.functions.iter().map(|f| Self { needed: needed(f), plan: f.clone() }).collect()
    }

    /// Makes a component ready to be called as this function.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn prepare(&self, registry: &Registry, component: &[u8], settings: &str) -> anyhow::Result<Prepared> {
        let settings = functions::settings(settings)?;
        let export = self.plan.export.as_deref();
        let prepared = registry.prepare(component, export, &settings, &self.plan.limits, &self.needed);
        prepared.with_context(|| format!("function `{}` was refused", self.plan.name))
    }

    /// The signature beside the component that the manifest names; empty where there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn signature(&self) -> anyhow::Result<String> {
        let path = sign::beside(&self.plan.component);
        if path.exists() { sign::text(&path) } else { Ok(String::new()) }
    }

    /// The component that the manifest names.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn component(&self) -> anyhow::Result<Vec<u8>> {
        let (path, name) = (&self.plan.component, &self.plan.name);
        std::fs::read(path).with_context(|| format!("function `{name}`: read {}", path.display()))
    }
}

/// Tells a worker of a version of a function, given by its number.
pub type Door = Box<dyn Fn(usize, Active) + Send>;

/// What a host is started with.
pub struct Parts {
    /// Its name in the log.
    pub host: String,
    /// The pipeline's functions.
    pub functions: Vec<Wanted>,
    /// Where components are made ready.
    pub registry: Arc<Registry>,
    /// Where the log is.
    pub ledger: Arc<dyn Ledger>,
    /// Its reader.
    pub follow: Box<dyn Follow>,
    /// Topics that each sub-topology reads, by input.
    pub topics: Vec<Vec<String>>,
    /// Whose functions are taken.
    pub trust: Trust,
    /// For how long a component is kept that nothing needs, milliseconds.
    pub keep_ms: i64,
    /// What sweeps over states have come to.
    pub sweeps: Sweeps,
}

/// See the module.
pub struct Fleet {
    host: String,
    functions: Vec<Wanted>,
    registry: Arc<Registry>,
    ledger: Arc<dyn Ledger>,
    trials: Arc<Trials>,
    trust: Trust,
    keep_ms: i64,
    sweeps: Sweeps,
    state: Mutex<State>,
    changed: Condvar,
    dead: AtomicBool,
    /// One deploy of this host at a time; of two the second builds on what the first has put in force.
    deploying: Mutex<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    control: Control,
    /// What was there at the start has been read.
    at_end: bool,
    /// All versions in force were taken on once: from here on the log is followed.
    is_up: bool,
    /// Why the log is not read any more.
    failed: Option<String>,
    slots: Vec<Slot>,
    /// This host's part in proposals that are open.
    open: BTreeMap<u64, turn::Part>,
    /// Proposals that are or were tried, the last ones.
    told: VecDeque<trials::Told>,
    /// Proposals that are held and run on all hosts.
    running: BTreeSet<u64>,
    /// Versions that have failed here, by function and epoch: why, and when it was last appended.
    failures: BTreeMap<(usize, u64), turn::Failure>,
    doors: Vec<Door>,
    /// When it was last said of a function which of its states were swept here.
    told_swept: BTreeMap<usize, Instant>,
    /// Digests and places of components that were collected and may be there still.
    collected: VecDeque<(String, String)>,
}

/// A function as it runs here.
#[derive(Clone, Debug, Default)]
struct Slot {
    now: Option<Active>,
    /// Stays prepared, so that going back costs nothing.
    before: Option<Active>,
    /// When the one now was taken on.
    since: Option<Instant>,
    /// Why the version in force is not taken on here yet.
    late: Option<String>,
}

impl Fleet {
    /// Reads the log, puts the manifest's versions in force where a function has none, takes on what is in force, and follows.
    /// `wanted`: whether to go on waiting.
    ///
    /// # Errors
    /// In words for the user: a version that cannot be taken on here; those of the ledger.
    pub fn start(parts: Parts, wanted: &dyn Fn() -> bool) -> anyhow::Result<Arc<Self>> {
        let Parts { host, functions, registry, ledger, follow, topics, trust, keep_ms, sweeps } = parts;
        let slots = vec![Slot::default(); functions.len()];
        let fleet = Arc::new(Self {
            host,
            functions,
            registry,
            ledger,
            trials: Trials::new(topics),
            trust,
            keep_ms,
            sweeps,
            state: Mutex::new(State { slots, ..State::default() }),
            changed: Condvar::new(),
            dead: AtomicBool::new(false),
            deploying: Mutex::default(),
            thread: Mutex::default(),
        });
        let run = fleet.clone();
        let thread = std::thread::Builder::new().name("fleet".into()).spawn(move || turn::run(&run, follow))?;
        *fleet.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        if let Err(why) = fleet.bring_up(wanted) {
            fleet.stop();
            return Err(why);
        }
        Ok(fleet)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `what`, until `done` gives something.
    ///
    /// # Errors
    /// When the log cannot be read any more, or nobody wants to wait.
    fn wait_for<T>(
        &self,
        what: &str,
        wanted: &dyn Fn() -> bool,
        mut done: impl FnMut(&State) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut state = self.lock();
        loop {
            if let Some(found) = done(&state) {
                return Ok(found);
            }
            if let Some(why) = &state.failed {
                bail!("{why}");
            }
            if !wanted() || self.is_dead() {
                bail!("no longer waiting for {what}");
            }
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    fn bring_up(&self, wanted: &dyn Fn() -> bool) -> anyhow::Result<()> {
        self.wait_for("the end of the control log", wanted, |state| state.at_end.then_some(()))?;
        self.first_versions(wanted)?;
        loop {
            let behind = {
                let mut state = self.lock();
                let is_behind = |(number, wanted): &(usize, &Wanted)| {
                    let in_force = state.control.function(&wanted.plan.name).and_then(FunctionControl::in_force);
                    in_force.map(|a| a.epoch) != state.slots[*number].now.map(|active| active.epoch)
                };
                let behind: Vec<usize> = self.functions.iter().enumerate().filter(is_behind).map(|(n, _)| n).collect();
                // With the lock held: what comes from here on is taken on as it is read.
                state.is_up = behind.is_empty();
                behind
            };
            if behind.is_empty() {
                break;
            }
            for number in behind {
                let wanted = &self.functions[number];
                let activation = self.in_force(&wanted.plan.name).context("a version in force")?;
                warn_of_difference(&wanted.plan, &activation);
                let prepared = self.prepare_version(number, &activation.version)?;
                self.find_all_ways(number, prepared);
                self.install(&mut self.lock(), number, prepared, &activation);
            }
        }
        Ok(())
    }

    /// Puts the manifest's versions in force of functions that have none: a swap from nothing. Of several hosts one is first.
    fn first_versions(&self, wanted: &dyn Fn() -> bool) -> anyhow::Result<()> {
        let until = Instant::now() + OUTCOME_WAIT;
        loop {
            let (missing, busy) = {
                let state = self.lock();
                let of = |name: &str| state.control.function(name).cloned().unwrap_or_default();
                let held = self.functions.iter().map(|f| of(&f.plan.name)).enumerate();
                let missing: Vec<_> = held.filter(|(_, held)| held.in_force().is_none()).collect();
                let busy = missing.iter().any(|(_, held)| held.open().is_some());
                (missing.into_iter().map(|(number, _)| number).collect::<Vec<_>>(), busy)
            };
            if missing.is_empty() {
                return Ok(());
            }
            if busy && Instant::now() < until {
                let last = self.lock().control.last();
                let more = |state: &State| (state.control.last() > last || Instant::now() > until).then_some(());
                self.wait_for("another host's proposal", wanted, more)?;
                continue;
            }
            let mut changes = Vec::new();
            for number in missing {
                let function = &self.functions[number];
                let (component, settings) = (function.component()?, function.plan.settings.clone());
                let signature = function.signature()?;
                self.trusts(&function.plan.name, &functions::digest(&component), &signature)?;
                let layout = self.layout(function.prepare(&self.registry, &component, &settings)?);
                let origin = function.plan.component.display().to_string();
                let given = Given { component: &component, place: None, settings, origin: &origin, signature, layout };
                let version = self.version(given)?;
                changes.push(Change { function: function.plan.name.clone(), version, builds_on: 0 });
            }
            match self.propose(changes, None, wanted)? {
                Outcome::Void(why) => {
                    bail!("the functions of the manifest were not taken by the pipeline's hosts: {why}")
                }
                Outcome::Hindered(why) if Instant::now() > until => bail!("{why}"),
                _ => {}
            }
        }
    }

    /// A version of a component, which is kept unless its `place` is known.
    fn version(&self, given: Given<'_>) -> anyhow::Result<Version> {
        let Given { component, place, settings, origin, signature, layout } = given;
        let digest = functions::digest(component);
        let place = match place {
            Some(place) => place,
            None => self.ledger.keep(&digest, component)?,
        };
        Ok(Version { digest, settings, origin: origin.to_string(), proposed_at: wall_ms(), place, signature, layout })
    }

    /// Proposes, and waits for what comes of it; of what is held, until it runs on all hosts.
    fn propose(
        &self,
        changes: Vec<Change>,
        probation: Option<Probation>,
        wanted: &dyn Fn() -> bool,
    ) -> anyhow::Result<Outcome> {
        let id = random_id()?;
        let entry = Entry::Propose(Proposal { id: id.clone(), changes, probation });
        let tried_ms = probation.map_or(0, |probation| u64::try_from(probation.ms).unwrap_or(0));
        let until = Instant::now() + OUTCOME_WAIT + Duration::from_millis(tried_ms);
        let there = |state: &State| state.control.outcome(&id).is_some();
        self.append(&entry, &|| there(&self.lock())).context("propose it")?;
        let decided = self.wait_for("all hosts to take it", &|| wanted() && Instant::now() < until, |state| {
            let is_done = |outcome: &&Outcome| !matches!(outcome, Outcome::Open(at) if !state.running.contains(at));
            state.control.outcome(&id).filter(is_done).cloned()
        });
        decided.map_err(|why| {
            let why = format!("{why:#}; whether the version comes into force is not known yet, its history says it");
            NotTaken::Unknown(why).into()
        })
    }

    /// Appends an entry, the same again where that fails, until it is `there` or time is up.
    fn append(&self, entry: &Entry, there: &dyn Fn() -> bool) -> anyhow::Result<()> {
        let until = Instant::now() + APPEND_WAIT;
        loop {
            match self.ledger.append(entry) {
                Ok(()) => return Ok(()),
                Err(_) if there() => return Ok(()),
                Err(why) if why.is::<Refused>() || Instant::now() > until || self.is_dead() => return Err(why),
                Err(why) => {
                    warn!(error = format!("{why:#}"), "the control log could not be written, trying again");
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        }
    }

    /// What a host runs of each function, and from now on is told through `door`.
    pub fn enlist(&self, door: Door) -> Vec<Active> {
        let mut state = self.lock();
        state.doors.push(door);
        // Each has one: a host does not come up without.
        state.slots.iter().filter_map(|slot| slot.now).collect()
    }

    /// Whether a component may run as a function.
    fn trusts(&self, function: &str, digest: &str, signature: &str) -> anyhow::Result<()> {
        self.trust.check(function, digest, signature).with_context(|| format!("function `{function}` was refused"))
    }

    /// Layout in which a version writes states.
    fn layout(&self, prepared: Prepared) -> u32 {
        self.registry.layouts(prepared).current
    }

    fn number(&self, function: &str) -> anyhow::Result<usize> {
        self.functions.iter().position(|f| f.plan.name == function).with_context(|| {
            let names: Vec<&str> = self.functions.iter().map(|f| f.plan.name.as_str()).collect();
            format!("there is no function `{function}`; there are: {}", names.join(", "))
        })
    }

    /// What the log says of a function.
    pub fn function(&self, name: &str) -> Option<FunctionControl> {
        self.lock().control.function(name).cloned()
    }

    /// The version in force.
    pub fn in_force(&self, function: &str) -> Option<Activation> {
        self.lock().control.function(function).and_then(|f| f.in_force().cloned())
    }

    /// A version's component.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn component(&self, version: &Version) -> anyhow::Result<Vec<u8>> {
        self.ledger.component(version)
    }

    /// Where tasks switched to versions of a function.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn switches(&self, function: &str) -> anyhow::Result<Vec<SwitchRecord>> {
        self.ledger.switches(function)
    }

    /// The version of a function that runs here now, by the function's number.
    pub fn prepared(&self, function: usize) -> Option<Prepared> {
        self.lock().slots[function].now.map(|active| active.prepared)
    }

    /// The version of a function that is in force since `epoch`, where it is prepared here still.
    pub fn prepared_at(&self, function: usize, epoch: u64) -> Option<Prepared> {
        let state = self.lock();
        let slot = &state.slots[function];
        slot.now.into_iter().chain(slot.before).find(|active| active.epoch == epoch).map(|active| active.prepared)
    }

    /// A task has stopped over its step's functions, given by number with the epochs that it ran. The one that came into force last is
    /// gone back from, where that was a short time ago and there is something to go back to; whether that is so.
    pub fn blame(&self, functions: &[(usize, u64)], why: &str) -> bool {
        let mut state = self.lock();
        let may_go_back = |(number, epoch): &&(usize, u64)| {
            let held = state.control.function(&self.functions[*number].plan.name);
            let now = held.and_then(FunctionControl::in_force).filter(|now| now.epoch == *epoch);
            let age_ms = now.map_or(i64::MAX, |now| wall_ms().saturating_sub(now.version.proposed_at));
            let is_young = u128::try_from(age_ms).is_ok_and(|ms| ms < KEEP_PREVIOUS.as_millis());
            is_young && held.is_some_and(|held| held.predecessor().is_some())
        };
        let Some(&failed) = functions.iter().filter(may_go_back).max_by_key(|(_, epoch)| *epoch) else { return false };
        state.failures.entry(failed).or_insert_with(|| turn::Failure::new(why));
        true
    }

    /// Why this host does not run what is in force, a reason each.
    pub fn not_ready(&self) -> Vec<String> {
        let state = self.lock();
        let late = state.slots.iter().filter_map(|slot| slot.late.clone());
        state.failed.iter().cloned().chain(late).collect()
    }

    /// Ends the following.
    pub fn stop(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _panicked = thread.join();
        }
    }

    /// Makes a version of a function ready.
    fn prepare_version(&self, number: usize, version: &Version) -> anyhow::Result<Prepared> {
        // On every host, whoever has taken it in: who can write to the control log is not thereby trusted.
        self.trusts(&self.functions[number].plan.name, &version.digest, &version.signature)?;
        let component = self.ledger.component(version)?;
        self.functions[number].prepare(&self.registry, &component, &version.settings)
    }

    /// Takes a version on that is in force: from here on it is called, and the one before the last is let go.
    fn install(&self, state: &mut State, number: usize, prepared: Prepared, activation: &Activation) {
        let slot = &mut state.slots[number];
        slot.late = None;
        if slot.now.is_some_and(|now| now.epoch >= activation.epoch) {
            return;
        }
        let active = Active { prepared, epoch: activation.epoch, number: activation.number };
        slot.since = Some(Instant::now());
        let forgotten = std::mem::replace(&mut slot.before, slot.now.replace(active));
        self.tell_time(state, number, prepared);
        if let Some(old) = forgotten {
            self.let_go(state, old.prepared);
        }
        state.doors.iter().for_each(|door| door(number, active));
        self.changed.notify_all();
    }

    /// Lets go of what no function runs or ran before.
    fn let_go(&self, state: &State, prepared: Prepared) {
        let is_it = |active: Active| active.prepared == prepared || self.registry.turns_back(active.prepared, prepared);
        let in_use = |slot: &Slot| slot.now.into_iter().chain(slot.before).any(is_it);
        if !state.slots.iter().any(in_use) {
            self.registry.release(prepared);
            self.registry.take_ways_back(prepared).into_values().for_each(|by| self.let_go(state, by));
        }
    }

    /// Sets what a version reads from WASI's wall clock: when it was first deployed, so that it is the same after a restart and after
    /// a rollback, and on every host.
    fn tell_time(&self, state: &State, number: usize, prepared: Prepared) {
        let Some(history) = state.control.function(&self.functions[number].plan.name) else { return };
        let Some(now) = history.in_force() else { return };
        let first = history.activations.iter().find(|a| a.version.is_same(&now.version)).unwrap_or(now);
        self.registry.set_wall_clock(prepared, u64::try_from(first.version.proposed_at).unwrap_or(0));
    }
}

/// Topics that each sub-topology reads, by input.
pub fn topics(topology: &Topology) -> Vec<Vec<String>> {
    let name = |input: &Input| topology.topics[input.topic].name.clone();
    topology.subs.iter().map(|sub| sub.inputs.iter().map(name).collect()).collect()
}

/// An id that nobody has by chance, 16 hexadecimal digits.
///
/// # Errors
/// When the system gives no random bytes.
pub fn random_id() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("ask the system for random bytes")?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// `component:` and `config:` count only while a function has no history.
fn warn_of_difference(function: &plan::Function, activation: &Activation) {
    let file = std::fs::read(&function.component).map(|bytes| functions::digest(&bytes));
    let same = file.as_ref().is_ok_and(|digest| *digest == activation.version.digest);
    if !same || function.settings != activation.version.settings {
        warn!(
            function = function.name,
            version = activation.number,
            "the deployed version stays in force; the manifest's file or settings differ (deploy them to change it)"
        );
    }
}
