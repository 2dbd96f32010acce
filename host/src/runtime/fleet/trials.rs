//! A host's part in probations: begins them once a version is prepared, says what came out, and ends what is held on request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millstream_core::function::Prepared;
use millstream_core::operator::Active;
use millstream_core::swap::{Change, Entry, Outcome, Probation, Proposal};
use millstream_web::types::trials::Trial as Report;
use tracing::{info, warn};

use super::turn::Part;
use super::{Deployed, Fleet, NotTaken, OUTCOME_WAIT, Slot, State};
use crate::runtime::probation::{Parts, Running, Trials};

/// How long a version is tried where a deploy says nothing about it, milliseconds.
pub const PROBATION_MS: i64 = 10_000;

/// It ends sooner once each host has compared so many records.
pub const PROBATION_RECORDS: u64 = 10_000;

/// Longest probation that is not held, milliseconds: a deploy waits for it.
pub const PROBATION_MS_MAX: i64 = 120_000;

/// Bytes of a report in the control log; examples beyond are left out.
const REPORT_BYTES_MAX: usize = 16 << 10;

/// Proposals whose reports are kept.
const TOLD_MAX: usize = 16;

/// First time after which a host tells again what it sees of a version that is held; then twice that, and so on.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// After this time the same report is appended once more, where it has not come.
const APPEND_AGAIN: Duration = Duration::from_secs(2);

/// Until when, and how, a version is tried by default.
pub const DEFAULT: Probation = Probation { ms: PROBATION_MS, records: PROBATION_RECORDS, hold: false, replay: 0 };

/// What is known of a proposal that was or is tried.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Position of the proposal.
    pub proposal: u64,
    /// What it changes.
    pub changes: Vec<Change>,
    /// Whether nothing is decided yet.
    pub open: bool,
    /// Whether it waits to be promoted.
    pub held: bool,
    /// Reports by host, one for each function.
    pub hosts: BTreeMap<String, Vec<Report>>,
}

/// A probation as it runs here.
#[derive(Debug, Default)]
pub(super) struct Trying {
    trials: Vec<Running>,
    /// When it was last told of, and after what time it is again.
    told: Option<(Instant, Duration)>,
}

impl Fleet {
    /// Versions on trial here.
    pub fn trials(&self) -> &Arc<Trials> {
        &self.trials
    }

    /// Notes what entries say of probations.
    pub(super) fn note_trial(&self, state: &mut State, at: u64, entry: &Entry) {
        match entry {
            Entry::Propose(Proposal { changes, probation: Some(_), .. }) => {
                let told = Told { proposal: at, changes: changes.clone(), ..Told::default() };
                state.told.push_back(told);
                if state.told.len() > TOLD_MAX {
                    state.told.pop_front();
                }
            }
            Entry::Passed { proposal, host, report } => {
                let told = state.told.iter_mut().find(|told| told.proposal == *proposal);
                // Of another version's making it may be; then nothing is shown of it.
                if let (Some(told), Ok(reports)) = (told, serde_json::from_str(report)) {
                    told.hosts.insert(host.clone(), reports);
                }
            }
            _ => {}
        }
    }

    /// Begins and ends probations, and says what came out.
    pub(super) fn attend(&self) {
        let due: Vec<Entry> = {
            let mut guard = self.lock();
            let state = &mut *guard;
            if !state.is_up {
                return;
            }
            let open: Vec<(u64, Proposal, bool)> = state
                .control
                .open()
                .filter(|(_, open)| open.proposal.probation.is_some())
                .map(|(at, open)| (at, open.proposal.clone(), open.passed.contains_key(&self.host)))
                .collect();
            open.iter().filter_map(|(at, proposal, passed)| self.attend_to(state, *at, proposal, *passed)).collect()
        };
        for entry in due {
            if let Err(why) = self.ledger.append(&entry) {
                warn!(error = format!("{why:#}"), "the control log could not be written, trying again");
            }
        }
    }

    /// What there is to say about a proposal.
    fn attend_to(&self, state: &mut State, at: u64, proposal: &Proposal, passed: bool) -> Option<Entry> {
        let Probation { ms, records, hold, replay } = proposal.probation?;
        let slots = &state.slots;
        let part = state.open.get_mut(&at)?;
        let prepared = part.prepared_well()?.to_vec();
        let trying = part.trying.get_or_insert_with(|| self.try_out(slots, &prepared, &proposal.changes, replay));
        let host = self.host.clone();
        let is_due = |after: Duration| trying.told.is_none_or(|(when, _)| when.elapsed() > after);
        if let Some(why) = trying.trials.iter().find_map(Running::failed) {
            if !is_due(APPEND_AGAIN) {
                return None;
            }
            trying.told = Some((Instant::now(), APPEND_AGAIN));
            return Some(Entry::Refused { proposal: at, host, reason: format!("in its probation: {why}") });
        }
        if !trying.trials.iter().all(|trial| trial.is_through(ms, records)) {
            return None;
        }
        let gap = trying.told.map_or(TELL_AGAIN, |(_, gap)| gap);
        if !(if passed { hold && is_due(gap) } else { is_due(APPEND_AGAIN) }) {
            return None;
        }
        trying.told = Some((Instant::now(), if passed { gap * 2 } else { gap }));
        let reports = trying.trials.iter().map(Running::report).collect();
        Some(Entry::Passed { proposal: at, host, report: bounded(reports) })
    }

    fn try_out(&self, slots: &[Slot], prepared: &[(usize, Prepared)], changes: &[Change], replay: u64) -> Trying {
        let mut trials = Vec::new();
        let active: Option<Vec<Active>> = slots.iter().map(|slot| slot.now).collect();
        let again = active.filter(|_| replay > 0).map(|active| (active, replay));
        for (change, (number, new)) in changes.iter().zip(prepared) {
            // A function that runs for the first time has nothing to be compared with.
            let Some(old) = slots[*number].now else { continue };
            let wall = u64::try_from(change.version.proposed_at).unwrap_or(0);
            self.registry.set_wall_clock(*new, wall);
            let parts = Parts {
                function: change.function.clone(),
                host: self.host.clone(),
                digest: change.version.digest.clone(),
                old: old.prepared,
                new: *new,
                registry: self.registry.clone(),
            };
            match Running::begin(&self.trials, parts, again.clone()) {
                Ok(running) => trials.push(running),
                Err(why) => warn!(error = format!("{why:#}"), "a version is not tried here"),
            }
        }
        info!(functions = trials.len(), "a new version runs beside the one in force");
        Trying { trials, told: None }
    }

    /// What is known of the last proposal of a function that was tried.
    pub fn told(&self, function: &str) -> Option<Told> {
        let state = self.lock();
        let about = |told: &&Told| told.changes.iter().any(|change| change.function == function);
        let mut told = state.told.iter().rev().find(about)?.clone();
        if let Some((_, open)) = state.control.open().find(|(at, _)| *at == told.proposal) {
            (told.open, told.held) = (true, open.is_held());
        }
        if let Some(trying) = state.open.get(&told.proposal).and_then(|part| part.trying.as_ref()) {
            told.hosts.insert(self.host.clone(), trying.trials.iter().map(Running::report).collect());
        }
        Some(told)
    }

    /// Puts a version in force that is held.
    ///
    /// # Errors
    /// When none is; [`NotTaken`] where it is not taken in the end.
    pub fn promote(&self, function: &str) -> anyhow::Result<Deployed> {
        let (at, id) = self.held(function)?;
        self.append(&Entry::Promote { proposal: at }, &|| false).context("promote it")?;
        match self.decided(&id)? {
            Outcome::Activated(all) => {
                let found = all.into_iter().find(|(name, _)| name == function);
                let (_, activation) = found.context("the proposal names the function")?;
                info!(function, version = activation.number, "promoted");
                Ok(Deployed { activation: Some(activation), inspection: None })
            }
            Outcome::Void(why) | Outcome::Hindered(why) => Err(NotTaken::Void(why).into()),
            Outcome::Open(_) => bail!("the proposal was not decided"),
        }
    }

    /// Gives a version up that is held, or tried.
    ///
    /// # Errors
    /// When there is none, or it came into force meanwhile.
    pub fn abandon(&self, function: &str) -> anyhow::Result<()> {
        let (at, id) = self.tried(function)?;
        let reason = "given up by whoever deployed it".to_string();
        self.append(&Entry::Void { proposal: at, reason }, &|| false).context("give it up")?;
        match self.decided(&id)? {
            Outcome::Activated(_) => bail!("the version of `{function}` came into force meanwhile"),
            _ => Ok(()),
        }
    }

    fn decided(&self, id: &str) -> anyhow::Result<Outcome> {
        let until = Instant::now() + OUTCOME_WAIT;
        self.wait_for("all hosts to take it", &|| Instant::now() < until, |state| {
            state.control.outcome(id).filter(|outcome| !matches!(outcome, Outcome::Open(_))).cloned()
        })
    }

    /// Position and id of a function's proposal that is tried.
    fn tried(&self, function: &str) -> anyhow::Result<(u64, String)> {
        self.number(function)?;
        let state = self.lock();
        let at = state.control.function(function).and_then(|held| held.open());
        let open = at.and_then(|at| state.control.open().find(|(of, _)| *of == at));
        let found = open.filter(|(_, open)| open.proposal.probation.is_some());
        let (at, open) = found.with_context(|| format!("no version of `{function}` is on trial"))?;
        Ok((at, open.proposal.id.clone()))
    }

    fn held(&self, function: &str) -> anyhow::Result<(u64, String)> {
        let (at, id) = self.tried(function)?;
        let state = self.lock();
        if !state.control.open().any(|(of, open)| of == at && open.is_held()) {
            bail!(
                "the version of `{function}` that is on trial comes into force by itself: only one that is held waits to be promoted"
            );
        }
        Ok((at, id))
    }
}

impl Part {
    /// Functions by number with what was prepared, where all is.
    fn prepared_well(&self) -> Option<&[(usize, Prepared)]> {
        self.prepared.as_ref()?.as_ref().ok().map(Vec::as_slice)
    }
}

/// Reports as text, without the last examples where that is too much.
fn bounded(mut reports: Vec<Report>) -> String {
    loop {
        let text = serde_json::to_string(&reports).unwrap_or_default();
        if text.len() <= REPORT_BYTES_MAX {
            return text;
        }
        let most = reports.iter_mut().max_by_key(|report| report.examples.len());
        match most.filter(|report| !report.examples.is_empty()) {
            Some(report) => drop(report.examples.pop()),
            None => reports.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_web::types::trials::Example;

    #[test]
    fn a_report_loses_examples_before_it_is_too_long() {
        let long = || serde_json::Value::String("x".repeat(REPORT_BYTES_MAX / 4));
        let example = || Example { key: long(), position: None, window: None, old: 1.into(), new: 2.into() };
        let report =
            Report { function: "f".into(), examples: (0..9).map(|_| example()).collect(), ..Report::default() };
        let text = bounded(vec![report]);
        let back: Vec<Report> = serde_json::from_str(&text).unwrap();
        assert_eq!((back[0].function.as_str(), back[0].examples.len()), ("f", 3));
        let far_too_long = Report { function: "x".repeat(REPORT_BYTES_MAX), ..Report::default() };
        assert_eq!(bounded(vec![far_too_long]), "[]");
    }
}
