//! A host's part in the protocol: reads the control log, prepares what is proposed, answers, appends what follows, takes on what comes
//! into force. What follows from the log is [`Control::next`]'s matter.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_core::function::Prepared;
use millstream_core::operator::Active;
use millstream_core::swap::{Activation, Applied, Change, Entry, Look, Open, Step, Version};
use tracing::{error, info, warn};

use super::collect::{self, Collector};
use super::ledger::{Follow, FollowError, Logged};
use super::trials::Trying;
use super::{Fleet, KEEP_PREVIOUS, RETRY_PAUSE, State};

/// How long one look into the log takes while nothing is open.
const READ_WAIT: Duration = Duration::from_millis(100);

/// The same while something is.
const BUSY_WAIT: Duration = Duration::from_millis(20);

/// How old the list of live hosts may be.
const LIVE_AGE_MAX: Duration = Duration::from_millis(100);

/// After this time the same entry is appended once more, where it has not come.
pub(super) const APPEND_AGAIN: Duration = Duration::from_secs(2);

/// How long other hosts leave it to the first to append what follows.
const FIRST_GRACE: Duration = Duration::from_secs(1);

/// Pause before a version in force that could not be taken on is tried again.
const LATE_PAUSE: Duration = Duration::from_secs(5);

/// This host's part in an open proposal.
#[derive(Debug)]
pub(super) struct Part {
    /// When it was read.
    seen: Instant,
    is_preparing: bool,
    /// Functions by number with what was prepared; or why not.
    pub(super) prepared: Option<Result<Vec<(usize, Prepared)>, String>>,
    /// When its answer was last appended.
    answered: Option<Instant>,
    /// Since when something follows from the log.
    due: Option<Instant>,
    /// When that was last appended.
    decided: Option<Instant>,
    /// Its probation, as it runs here.
    pub(super) trying: Option<Trying>,
}

impl Part {
    fn new() -> Self {
        let seen = Instant::now();
        Self { seen, is_preparing: false, prepared: None, answered: None, due: None, decided: None, trying: None }
    }
}

/// A version that has failed here.
#[derive(Debug)]
pub(super) struct Failure {
    why: String,
    appended: Option<Instant>,
}

impl Failure {
    pub(super) fn new(why: &str) -> Self {
        Self { why: why.to_string(), appended: None }
    }
}

/// Runs until the fleet's host ends.
pub(super) fn run(fleet: &Arc<Fleet>, mut follow: Box<dyn Follow>) {
    let mut live: Option<(BTreeSet<String>, Instant)> = None;
    let mut collector = Collector::new();
    while !fleet.is_dead() {
        let busy = !fleet.lock().open.is_empty();
        match follow.read(if busy { BUSY_WAIT } else { READ_WAIT }) {
            Ok(entries) => {
                entries.into_iter().for_each(|logged| fleet.take(logged));
                if follow.is_at_end() {
                    fleet.lock().at_end = true;
                    fleet.changed.notify_all();
                }
            }
            Err(FollowError::Retry(why)) => {
                // A new topic's leader may not be known everywhere yet, or brokers are away, which others tell of.
                info!(error = format!("{why:#}"), "reading the control log, trying again");
                std::thread::sleep(RETRY_PAUSE);
            }
            Err(FollowError::Fatal(why)) => {
                error!(error = format!("{why:#}"), "the control log cannot be followed any more");
                fleet.lock().failed = Some(format!("the control log cannot be followed: {why:#}"));
                fleet.changed.notify_all();
                return;
            }
        }
        fleet.attend();
        fleet.look(&mut live);
        fleet.go_back();
        fleet.forget();
        fleet.tell_swept();
        fleet.collect(&mut collector);
    }
}

impl Fleet {
    /// Takes an entry in.
    fn take(self: &Arc<Self>, Logged { at, time, entry }: Logged) {
        let mut state = self.lock();
        let applied = state.control.apply(at, time, &entry);
        if applied.is_ok() {
            self.note_trial(&mut state, at, &entry);
        }
        match applied {
            Ok(Applied::Opened) => {
                state.open.insert(at, Part::new());
            }
            Ok(Applied::Promoted) => {
                if let Entry::Promote { proposal } = entry {
                    info!(proposal, "a version that was held is promoted");
                    state.running.remove(&proposal);
                    if let Some(part) = state.open.get_mut(&proposal) {
                        (part.seen, part.due) = (Instant::now(), None);
                    }
                }
            }
            Ok(Applied::Activated(all)) => {
                let prepared = match &entry {
                    Entry::Activate { proposal } => state.open.remove(proposal).and_then(|part| part.prepared?.ok()),
                    _ => None,
                };
                // What happened before this host was started it need not cry out again.
                if let Entry::Revert { function, host, reason, .. } = &entry
                    && state.at_end
                {
                    error!(function, host, reason, "a version has failed, the one before is in force again");
                }
                let prepared = prepared.unwrap_or_default();
                if state.is_up {
                    all.iter().for_each(|(name, activation)| self.activated(&mut state, name, activation, &prepared));
                }
            }
            Ok(Applied::Closed) => {
                let (Entry::Void { proposal, .. } | Entry::Activate { proposal }) = entry else { return };
                info!(proposal, "a proposal was given up");
                state.running.remove(&proposal);
                let part = state.open.remove(&proposal);
                for (_, prepared) in part.and_then(|part| part.prepared?.ok()).unwrap_or_default() {
                    self.let_go(&state, prepared);
                }
            }
            Ok(Applied::Collected { digest, places }) if collect::is_fresh(time) => {
                state.collected.extend(places.into_iter().map(|place| (digest.clone(), place)));
            }
            Ok(Applied::Answered | Applied::Void(_) | Applied::Collected { .. }) => {}
            // Read before: the reader began again.
            Err(_last) => {}
        }
        drop(state);
        self.changed.notify_all();
    }

    /// A version is in force.
    fn activated(
        self: &Arc<Self>,
        state: &mut State,
        name: &str,
        activation: &Activation,
        prepared: &[(usize, Prepared)],
    ) {
        // Of another manifest.
        let Some(number) = self.functions.iter().position(|f| f.plan.name == name) else { return };
        let just = prepared.iter().find(|(of, _)| *of == number).map(|(_, prepared)| *prepared);
        match just.or_else(|| self.kept(state, number, activation)) {
            Some(prepared) => {
                self.find_ways_here(state, number, prepared);
                self.install(state, number, prepared, activation);
            }
            None => self.catch_up(state, number, activation.clone()),
        }
    }

    /// What is prepared of a version still, from when it was in force.
    fn kept(&self, state: &State, number: usize, activation: &Activation) -> Option<Prepared> {
        self.prepared_of(state, number, &activation.version)
    }

    /// The same of a version.
    pub(super) fn prepared_of(&self, state: &State, number: usize, version: &Version) -> Option<Prepared> {
        let history = state.control.function(&self.functions[number].plan.name)?;
        let is_it = |active: &Active| {
            let mut all = history.activations.iter().filter(|a| a.epoch == active.epoch);
            all.any(|a| a.version.is_same(version))
        };
        let slot = &state.slots[number];
        slot.now.into_iter().chain(slot.before).find(is_it).map(|active| active.prepared)
    }

    /// Says of versions that have failed here that they have, until the fleet has gone back from them.
    fn go_back(&self) {
        let due: Vec<Entry> = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let name = |number: usize| &self.functions[number].plan.name;
            let control = &state.control;
            let in_force = |number| control.function(name(number)).and_then(|held| held.in_force()).map(|a| a.epoch);
            state.failures.retain(|(number, epoch), _| in_force(*number) == Some(*epoch));
            let is_due = |failure: &Failure| failure.appended.is_none_or(|at| at.elapsed() > APPEND_AGAIN);
            let due = state.failures.iter_mut().filter(|(_, failure)| is_due(failure));
            due.map(|((number, epoch), failure)| {
                failure.appended = Some(Instant::now());
                let (function, host, reason) = (name(*number).clone(), self.host.clone(), failure.why.clone());
                Entry::Revert { function, epoch: *epoch, host, reason }
            })
            .collect()
        };
        for entry in due {
            if let Err(why) = self.ledger.append(&entry) {
                warn!(error = format!("{why:#}"), "the control log could not be written, trying again");
            }
        }
    }

    /// Lets versions go that nobody goes back to by himself any more.
    fn forget(&self) {
        let mut state = self.lock();
        for number in 0..state.slots.len() {
            let slot = &mut state.slots[number];
            if slot.since.is_some_and(|since| since.elapsed() > KEEP_PREVIOUS)
                && let Some(old) = slot.before.take()
            {
                self.let_go(&state, old.prepared);
            }
        }
    }

    /// A version came into force that this host had not prepared: it does, and takes it on then. Until then its tasks run what they ran.
    fn catch_up(self: &Arc<Self>, state: &mut State, number: usize, activation: Activation) {
        let name = self.functions[number].plan.name.clone();
        state.slots[number].late =
            Some(format!("version {} of `{name}` is in force and being prepared here", activation.number));
        let fleet = self.clone();
        let spawned = std::thread::Builder::new().name("prepare".into()).spawn(move || {
            let in_force = || fleet.in_force(&name).is_some_and(|now| now.epoch == activation.epoch);
            while in_force() && !fleet.is_dead() {
                match fleet.prepare_version(number, &activation.version) {
                    Ok(prepared) => {
                        fleet.find_all_ways(number, prepared);
                        let mut state = fleet.lock();
                        return fleet.install(&mut state, number, prepared, &activation);
                    }
                    Err(why) => {
                        let why = format!(
                            "version {} of `{name}` is in force and cannot be taken on here: {why:#}",
                            activation.number
                        );
                        warn!("{why}");
                        fleet.lock().slots[number].late = Some(why);
                        fleet.pause(LATE_PAUSE);
                    }
                }
            }
        });
        if let Err(why) = spawned {
            error!(error = %why, "no thread to prepare a version on");
        }
    }

    /// Sleeps, unless the host ends.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.is_dead() {
            std::thread::sleep(super::LOOK.min(time));
        }
    }

    /// Does what open proposals ask of this host.
    fn look(self: &Arc<Self>, live: &mut Option<(BTreeSet<String>, Instant)>) {
        let open: Vec<u64> = {
            let state = self.lock();
            if state.at_end { state.control.open().map(|(at, _)| at).collect() } else { Vec::new() }
        };
        if open.is_empty() {
            return;
        }
        if live.as_ref().is_none_or(|(_, at)| at.elapsed() > LIVE_AGE_MAX) {
            *live = match self.ledger.live() {
                Ok(mut hosts) => {
                    // One that has not joined yet takes part in what it proposes.
                    hosts.insert(self.host.clone());
                    Some((hosts, Instant::now()))
                }
                Err(why) => {
                    // A coordinator may be on its way; where it stays so the proposal is given up with this reason.
                    info!(error = format!("{why:#}"), "which hosts are there is not known now, asking again");
                    None
                }
            };
        }
        let live = live.as_ref().map(|(hosts, _)| hosts);
        for proposal in open {
            self.look_at(proposal, live);
        }
    }

    fn look_at(self: &Arc<Self>, proposal: u64, live: Option<&BTreeSet<String>>) {
        // Also where its answer is in the log: of an earlier life, which had it prepared and this one has not.
        let is_new = self.lock().open.get(&proposal).is_some_and(|part| part.prepared.is_none() && !part.is_preparing);
        if is_new {
            self.prepare_or_answer(proposal);
        }
        let step = {
            let state = self.lock();
            let Some(part) = state.open.get(&proposal) else { return };
            let waited_ms = i64::try_from(part.seen.elapsed().as_millis()).unwrap_or(i64::MAX);
            state.control.next(proposal, &Look { host: &self.host, live, waited_ms })
        };
        if step.is_none() {
            self.is_running(proposal, live);
        }
        match step {
            Some(Step::Prepare) => self.prepare_or_answer(proposal),
            Some(Step::Append(entry)) => {
                let is_first = live.and_then(BTreeSet::first).is_some_and(|first| *first == self.host);
                self.append_once(proposal, &entry, if is_first { Duration::ZERO } else { FIRST_GRACE });
            }
            None => {}
        }
    }

    /// Notes where a proposal that is held has come as far as it goes by itself.
    fn is_running(&self, proposal: u64, live: Option<&BTreeSet<String>>) {
        let mut state = self.lock();
        let open = state.control.open().find(|(at, _)| *at == proposal).map(|(_, open)| open);
        let is_ready = |open: &Open| live.is_some_and(|live| live.iter().all(|host| open.answers.contains_key(host)));
        if open.is_some_and(|open| open.is_held() && is_ready(open)) && state.running.insert(proposal) {
            self.changed.notify_all();
        }
    }

    /// Has a proposal prepared, or answers where it is.
    fn prepare_or_answer(self: &Arc<Self>, proposal: u64) {
        let changes = {
            let mut state = self.lock();
            let changes: Vec<Change> = state
                .control
                .open()
                .filter(|(at, _)| *at == proposal)
                .flat_map(|(_, o)| o.proposal.changes.clone())
                .collect();
            let Some(part) = state.open.get_mut(&proposal) else { return };
            if part.prepared.is_some() {
                drop(state);
                return self.answer(proposal);
            }
            if std::mem::replace(&mut part.is_preparing, true) {
                return;
            }
            changes
        };
        let fleet = self.clone();
        let spawned = std::thread::Builder::new().name("prepare".into()).spawn(move || {
            let prepared = fleet.prepare_all(&changes);
            fleet.was_prepared(proposal, &changes, prepared);
            fleet.answer(proposal);
        });
        if let Err(why) = spawned {
            error!(error = %why, "no thread to prepare a version on");
        }
    }

    /// Keeps what was prepared for its proposal; where that was decided meanwhile, lets go of what is not in force.
    fn was_prepared(&self, proposal: u64, changes: &[Change], prepared: Result<Vec<(usize, Prepared)>, String>) {
        let mut state = self.lock();
        if let Some(part) = state.open.get_mut(&proposal) {
            part.prepared = Some(prepared);
            return;
        }
        for (change, (_, prepared)) in changes.iter().zip(prepared.unwrap_or_default()) {
            let in_force = state.control.function(&change.function).and_then(|held| held.in_force());
            if in_force.is_none_or(|now| !now.version.is_same(&change.version)) {
                self.let_go(&state, prepared);
            }
        }
    }

    fn prepare_all(&self, changes: &[Change]) -> Result<Vec<(usize, Prepared)>, String> {
        let one = |change: &Change| {
            let number = self.number(&change.function)?;
            let prepared = self.prepare_version(number, &change.version)?;
            if let Err(why) = self.can_go_on(number, prepared) {
                self.let_go(&self.lock(), prepared);
                return Err(why);
            }
            Ok((number, prepared))
        };
        changes.iter().map(one).collect::<anyhow::Result<Vec<_>>>().map_err(|why| format!("{why:#}"))
    }

    /// Says whether this host has prepared a proposal.
    fn answer(&self, proposal: u64) {
        let host = self.host.clone();
        let entry = match self.lock().open.get(&proposal).and_then(|part| part.prepared.as_ref()) {
            Some(Ok(_)) => Entry::Ready { proposal, host },
            Some(Err(why)) => Entry::Refused { proposal, host, reason: why.clone() },
            None => return,
        };
        self.append_once(proposal, &entry, Duration::ZERO);
    }

    /// Appends an answer at once and what follows from the log after it has been due for `grace`; neither twice in a short time.
    fn append_once(&self, proposal: u64, entry: &Entry, grace: Duration) {
        {
            let mut state = self.lock();
            let Some(part) = state.open.get_mut(&proposal) else { return };
            let is_answer = matches!(entry, Entry::Ready { .. } | Entry::Refused { .. });
            if !is_answer && part.due.get_or_insert_with(Instant::now).elapsed() < grace {
                return;
            }
            let last = if is_answer { &mut part.answered } else { &mut part.decided };
            if last.is_some_and(|at| at.elapsed() < APPEND_AGAIN) {
                return;
            }
            *last = Some(Instant::now());
        }
        if let Err(why) = self.ledger.append(entry) {
            warn!(error = format!("{why:#}"), "the control log could not be written, trying again");
        }
    }
}
