//! Which version of each function is in force, and what a host does about it: a pure fold over the control log.
//!
//! Starting is a swap from nothing; going back is a swap to an earlier version. All hosts of a fleet read the same log and so
//! come to the same answer.
//!
//! ```text
//!  Propose ──▶ open ──▶ each live host prepares it: Ready, or Refused ──▶ Activate: in force, the entry's position is its epoch
//!     │          └────── one refused it, or not all have answered in time ──▶ Void
//!     └─▶ void at once: it builds on another epoch than the one in force, or another proposal for the function is open
//! ```
//!
//! A proposal may ask for a probation: then each host, once it is ready, runs the new version beside the old one on its live records, and
//! says `Passed` after the time or the records that were asked for, or `Refused` where it failed; all live hosts must have passed. One that
//! is held waits for `Promote`, however long that takes.
//!
//! A version in force that fails is gone back from: `Revert` puts the one before in force, which every host has prepared still.
//!
//! So two deploys at once have one winner. Any host may append `Activate` or `Void`: the first in the log counts, so that a host
//! that dies in the middle stops nothing. An `Activate` behind a refusal does nothing: whoever appended it had not read that yet.
//! Epochs of a function never fall. Entries that come twice, because an append was tried again whose outcome was not known, do
//! nothing the second time.
//!
//! Which layouts of states are stored still is in the log too ([`layouts`]): a version that cannot read one of them is refused.
//!
//! Components that nothing needs any more are collected ([`collect`]): that, too, is an entry, and the first that says so counts.

pub mod collect;
pub mod layouts;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How long all live hosts may take to prepare a version, milliseconds. Longer than a host that has died stays in its group.
pub const PREPARE_MS_MAX: i64 = 120_000;

/// One entry of the control log. Positions begin at 1 and grow, not always by one; 0 stands for "nothing yet".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Versions are offered, of one function or several, to come into force together.
    Propose(Proposal),
    /// A host has prepared a proposal.
    Ready {
        /// Position of the proposal.
        proposal: u64,
        /// The host.
        host: String,
    },
    /// A host cannot take a proposal.
    Refused {
        /// Position of the proposal.
        proposal: u64,
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// A host has run a proposal beside what is in force, for as long as was asked; what it saw may be told again later.
    Passed {
        /// Position of the proposal.
        proposal: u64,
        /// The host.
        host: String,
        /// What it saw, in the words of whoever shows it.
        report: String,
    },
    /// A proposal that is held need not wait any longer.
    Promote {
        /// Position of the proposal.
        proposal: u64,
    },
    /// A proposal is given up.
    Void {
        /// Position of the proposal.
        proposal: u64,
        /// Why.
        reason: String,
    },
    /// A proposal is in force from here on, unless somebody has refused it.
    Activate {
        /// Position of the proposal.
        proposal: u64,
    },
    /// A version in force has failed: the fleet goes back to the one before, at once, as nobody needs to be asked.
    Revert {
        /// The function.
        function: String,
        /// The epoch that has failed.
        epoch: u64,
        /// Where.
        host: String,
        /// Why.
        reason: String,
    },
    /// A version was offered to a host that did not take it; nobody else was asked.
    Rejected {
        /// The function.
        function: String,
        /// What it was.
        version: Version,
        /// Why.
        reason: String,
    },
    /// Parts of a function's states that a sweep has gone over: none of them is in another layout than that of the version which runs
    /// there, and none comes to be by it.
    Swept {
        /// The function.
        function: String,
        /// The epoch in force there when the sweep began.
        epoch: u64,
        /// Which, a name for each.
        parts: Vec<String>,
        /// How many there are in all.
        of: u32,
    },
    /// A component that nothing has needed for a time is kept no longer, wherever it was put before this entry.
    Collect {
        /// Its digest.
        digest: String,
        /// For how long nothing must have needed it, milliseconds.
        keep_ms: i64,
        /// Who says so.
        host: String,
    },
}

/// What is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// Chosen by chance: whoever made it finds it in the log by this.
    pub id: String,
    /// At least one, each of another function.
    pub changes: Vec<Change>,
    /// Whether it is tried beside what is in force; `None`: it is not.
    pub probation: Option<Probation>,
}

/// How long a version is tried beside the one in force, on each host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probation {
    /// At the longest, milliseconds.
    pub ms: i64,
    /// It ends sooner once so many records were compared.
    pub records: u64,
    /// It goes on, and the version does not come into force, until somebody promotes it.
    pub hold: bool,
    /// About so many of the last records are given to it first.
    pub replay: u64,
}

/// A version of a function that is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The function.
    pub function: String,
    /// What shall run.
    pub version: Version,
    /// The epoch in force that it builds on; 0 for a function without history.
    pub builds_on: u64,
}

/// What makes a version: a component and its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// SHA-256 of the component, lower-case hexadecimal.
    pub digest: String,
    /// Settings, as JSON text.
    pub settings: String,
    /// Who asked for it, and from which file; for people.
    pub origin: String,
    /// Wall time of the proposal, milliseconds.
    pub proposed_at: i64,
    /// Where its component is kept, in the words of whoever keeps it.
    pub place: String,
    /// Who vouches for it, in the words of whoever checks that; empty where nobody does.
    pub signature: String,
    /// Layout in which it writes states; 0 where it does not say.
    pub layout: u32,
}

impl Version {
    /// Whether two are the same component with the same settings.
    pub fn is_same(&self, other: &Version) -> bool {
        self.digest == other.digest && self.settings == other.settings
    }
}

/// A version that is or was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// Its number, 1, 2, … in the order of activation.
    pub number: u64,
    /// Position of the entry that activated it.
    pub epoch: u64,
    /// What it is.
    pub version: Version,
    /// Why it was gone back from, where the fleet did that by itself.
    pub failed: Option<String>,
    /// Number of the version from which the fleet went back to it by itself.
    pub back_from: Option<u64>,
    /// When its component was collected, milliseconds since 1970: nobody can go back to it.
    pub collected: Option<i64>,
}

/// A version that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voided {
    /// Position of the proposal, or of the entry that says it was not taken.
    pub proposal: u64,
    /// What it was.
    pub version: Version,
    /// Why.
    pub reason: String,
}

/// What the log says of one function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionControl {
    /// All activations, oldest first.
    pub activations: Vec<Activation>,
    /// Versions not taken.
    pub voided: Vec<Voided>,
    open: Option<u64>,
    stored: layouts::Stored,
}

impl FunctionControl {
    /// The version in force.
    pub fn in_force(&self) -> Option<&Activation> {
        self.activations.last()
    }

    /// Position of the open proposal.
    pub fn open(&self) -> Option<u64> {
        self.open
    }

    /// The version to go back to from the one in force: the last before it that is another, and that has not failed. `None` also where
    /// the one in force was gone back to: then it is not the last deploy that is at fault; and where it was collected.
    pub fn predecessor(&self) -> Option<&Activation> {
        let now = self.in_force().filter(|now| now.back_from.is_none())?;
        self.before(now).filter(|before| before.collected.is_none())
    }

    /// The last version before an activation that is another, and that has not failed; it may have been collected.
    pub fn before(&self, now: &Activation) -> Option<&Activation> {
        let earlier = || self.activations.iter().rev().filter(|a| a.number < now.number);
        let last_of = |a: &Activation| earlier().find(|other| other.version.is_same(&a.version));
        let has_failed = |a: &Activation| last_of(a).is_some_and(|last| last.failed.is_some());
        earlier().filter(|a| !a.version.is_same(&now.version)).find(|a| !has_failed(a))
    }

    /// Takes an activation in.
    fn push(&mut self, activation: Activation) {
        self.stored.activated(activation.epoch, &activation.version);
        self.activations.push(activation);
    }

    /// Layouts that stored states may be in, and what is known of them.
    pub fn stored(&self) -> &layouts::Stored {
        &self.stored
    }

    fn epoch(&self) -> u64 {
        self.in_force().map_or(0, |activation| activation.epoch)
    }
}

/// A proposal about which nothing is decided yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// What it is.
    pub proposal: Proposal,
    /// Hosts that have answered; with the reason where they refused it.
    pub answers: BTreeMap<String, Result<(), String>>,
    /// What hosts saw in their probation.
    pub passed: BTreeMap<String, String>,
    /// Whether somebody has promoted it.
    pub promoted: bool,
}

impl Open {
    /// That a host has refused it, and why.
    fn refusal(&self) -> Option<String> {
        let refused = |(host, answer): (&String, &Result<(), String>)| {
            answer.as_ref().err().map(|why| alloc::format!("host {host} refused it: {why}"))
        };
        self.answers.iter().find_map(refused)
    }

    /// Why it may not come into force: whoever says that it does had not read this.
    fn hindrance(&self) -> Option<String> {
        self.refusal().or_else(|| self.is_held().then(|| "nobody has promoted it".into()))
    }

    /// Whether it waits for somebody to promote it.
    pub fn is_held(&self) -> bool {
        !self.promoted && self.proposal.probation.is_some_and(|probation| probation.hold)
    }

    /// Live hosts whose word is missing, and of what.
    fn silent<'a>(&self, live: &'a BTreeSet<String>) -> (Vec<&'a str>, &'static str) {
        let without = |has: &dyn Fn(&String) -> bool| -> Vec<&'a str> {
            live.iter().filter(|host| !has(host)).map(String::as_str).collect()
        };
        let unready = without(&|host| self.answers.contains_key(host));
        if unready.is_empty() && self.proposal.probation.is_some_and(|probation| !probation.hold) {
            return (without(&|host| self.passed.contains_key(host)), "come through its probation");
        }
        (unready, "prepared it")
    }
}

/// How a proposal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is decided: its position.
    Open(u64),
    /// It was never open, for this reason: another one was, or had been meanwhile.
    Hindered(String),
    /// It was open and came to nothing, for this reason.
    Void(String),
    /// It came into force: functions with what was activated.
    Activated(Vec<(String, Activation)>),
}

/// What an entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The proposal is open.
    Opened,
    /// A host's answer is noted.
    Answered,
    /// The proposal is not held any more.
    Promoted,
    /// Versions are in force.
    Activated(Vec<(String, Activation)>),
    /// The proposal, or the version offered, is given up.
    Closed,
    /// A component is kept no longer.
    Collected {
        /// Its digest.
        digest: String,
        /// Where it was, in the words of whoever kept it.
        places: BTreeSet<String>,
    },
    /// Nothing, for this reason: the entry came too late, twice, or against another.
    Void(String),
}

/// What a host should do about an open proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Prepare it, and append the answer.
    Prepare,
    /// Append this.
    Append(Entry),
}

/// From where a host looks at a proposal.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The host.
    pub host: &'a str,
    /// Hosts whose answer counts; `None`: not known just now.
    pub live: Option<&'a BTreeSet<String>>,
    /// Milliseconds since the host has read the proposal, or that it was promoted.
    pub waited_ms: i64,
}

/// The state of the control log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    functions: BTreeMap<String, FunctionControl>,
    open: BTreeMap<u64, Open>,
    /// Proposals by their ids.
    outcomes: BTreeMap<String, Outcome>,
    components: collect::Components,
    last: u64,
}

impl Control {
    /// Takes the entry at position `at`, somewhere behind the last taken, appended at `time`, milliseconds since 1970.
    ///
    /// # Errors
    /// The position of the last entry taken, where this one is not behind it.
    pub fn apply(&mut self, at: u64, time: i64, entry: &Entry) -> Result<Applied, u64> {
        if at <= self.last {
            return Err(self.last);
        }
        self.last = at;
        let applied = self.take(at, time, entry);
        self.note_needs(time);
        Ok(applied)
    }

    fn take(&mut self, at: u64, time: i64, entry: &Entry) -> Applied {
        match entry {
            Entry::Propose(proposal) => self.propose(at, proposal),
            Entry::Ready { proposal, host } => self.answer(*proposal, host, Ok(())),
            Entry::Refused { proposal, host, reason } => self.answer(*proposal, host, Err(reason.clone())),
            Entry::Passed { proposal, host, report } => match self.open.get_mut(proposal) {
                Some(open) => {
                    open.passed.insert(host.clone(), report.clone());
                    Applied::Answered
                }
                None => not_open(),
            },
            Entry::Promote { proposal } => match self.open.get_mut(proposal) {
                Some(open) if open.is_held() => {
                    open.promoted = true;
                    Applied::Promoted
                }
                Some(_) => Applied::Void("the proposal is not held".into()),
                None => not_open(),
            },
            Entry::Void { proposal, reason } => match self.open.remove(proposal) {
                Some(open) => {
                    self.give_up(*proposal, &open.proposal, reason);
                    self.outcomes.insert(open.proposal.id, Outcome::Void(reason.clone()));
                    Applied::Closed
                }
                None => not_open(),
            },
            Entry::Activate { proposal } => match self.open.remove(proposal) {
                Some(open) => match open.hindrance() {
                    None => self.activate(at, *proposal, open.proposal),
                    Some(reason) => {
                        self.open.insert(*proposal, open);
                        Applied::Void(reason)
                    }
                },
                None => not_open(),
            },
            Entry::Revert { function, epoch, reason, .. } => self.revert(at, function, *epoch, reason),
            Entry::Rejected { function, version, reason } => {
                let held = self.functions.entry(function.clone()).or_default();
                held.voided.push(Voided { proposal: at, version: version.clone(), reason: reason.clone() });
                Applied::Closed
            }
            Entry::Swept { function, epoch, parts, of } => {
                let Some(held) = self.functions.get_mut(function) else {
                    return Applied::Void("no such function".into());
                };
                if held.stored.swept(*epoch, parts, *of) {
                    return Applied::Answered;
                }
                Applied::Void("states may have come into another layout since".into())
            }
            Entry::Collect { digest, keep_ms, .. } => self.collect(time, digest, *keep_ms),
        }
    }

    fn propose(&mut self, at: u64, proposal: &Proposal) -> Applied {
        if self.outcomes.contains_key(&proposal.id) {
            return Applied::Void("the same proposal is in the log already".into());
        }
        self.note_places(proposal);
        if let Some(reason) = self.hindrance(proposal) {
            self.give_up(at, proposal, &reason);
            self.outcomes.insert(proposal.id.clone(), Outcome::Hindered(reason.clone()));
            return Applied::Void(reason);
        }
        for change in &proposal.changes {
            self.functions.entry(change.function.clone()).or_default().open = Some(at);
        }
        self.outcomes.insert(proposal.id.clone(), Outcome::Open(at));
        self.open.insert(
            at,
            Open { proposal: proposal.clone(), answers: BTreeMap::new(), passed: BTreeMap::new(), promoted: false },
        );
        Applied::Opened
    }

    /// Why a proposal cannot be open.
    fn hindrance(&self, proposal: &Proposal) -> Option<String> {
        let mut named = BTreeSet::new();
        if proposal.changes.is_empty() || !proposal.changes.iter().all(|change| named.insert(&change.function)) {
            return Some("a proposal names functions, each once".into());
        }
        let is_open = |change: &&Change| self.functions.get(&change.function).is_some_and(|held| held.open.is_some());
        if let Some(Change { function, .. }) = proposal.changes.iter().find(is_open) {
            let at = self.functions.get(function).and_then(|held| held.open);
            let is_held = at.and_then(|at| self.open.get(&at)).is_some_and(Open::is_held);
            let until = if is_held { ", held until it is promoted or given up" } else { "" };
            return Some(alloc::format!("another deploy of `{function}` is under way{until}"));
        }
        self.outdated(proposal).or_else(|| self.is_gone(proposal))
    }

    /// Why a proposal builds on what is not in force.
    fn outdated(&self, proposal: &Proposal) -> Option<String> {
        proposal.changes.iter().find_map(|Change { function, builds_on, .. }| {
            let in_force = self.functions.get(function).map_or(0, FunctionControl::epoch);
            (in_force != *builds_on).then(|| {
                alloc::format!(
                    "another version of `{function}` came into force meanwhile: this one builds on epoch {builds_on}, and \
                     epoch {in_force} is in force"
                )
            })
        })
    }

    /// Goes back from a version that has failed.
    fn revert(&mut self, at: u64, function: &str, epoch: u64, reason: &str) -> Applied {
        let Some(held) = self.functions.get_mut(function) else { return Applied::Void("no such function".into()) };
        if held.epoch() != epoch {
            return Applied::Void("it is not in force any more".into());
        }
        let Some(version) = held.predecessor().map(|before| before.version.clone()) else {
            return Applied::Void("there is no version to go back to".into());
        };
        let Some(last) = held.activations.last_mut() else { return not_open() };
        last.failed = Some(reason.to_string());
        let (number, back_from) = (last.number + 1, Some(last.number));
        let activation = Activation { number, epoch: at, version, failed: None, back_from, collected: None };
        held.push(activation.clone());
        Applied::Activated(alloc::vec![(function.to_string(), activation)])
    }

    fn answer(&mut self, proposal: u64, host: &str, answer: Result<(), String>) -> Applied {
        let Some(open) = self.open.get_mut(&proposal) else { return not_open() };
        // A host that was started again may think better of it.
        open.answers.insert(host.to_string(), answer);
        Applied::Answered
    }

    fn give_up(&mut self, at: u64, proposal: &Proposal, reason: &str) {
        for change in &proposal.changes {
            let held = self.functions.entry(change.function.clone()).or_default();
            if held.open == Some(at) {
                held.open = None;
            }
            held.voided.push(Voided { proposal: at, version: change.version.clone(), reason: reason.to_string() });
        }
    }

    fn activate(&mut self, at: u64, proposed_at: u64, proposal: Proposal) -> Applied {
        // The fleet went back meanwhile: what was offered builds on what has failed.
        if let Some(reason) = self.outdated(&proposal) {
            self.give_up(proposed_at, &proposal, &reason);
            self.outcomes.insert(proposal.id, Outcome::Void(reason));
            return Applied::Closed;
        }
        let mut activated = Vec::new();
        for change in proposal.changes {
            let held = self.functions.entry(change.function.clone()).or_default();
            held.open = None;
            let number = held.in_force().map_or(0, |a| a.number) + 1;
            let version = change.version;
            let activation = Activation { number, epoch: at, version, failed: None, back_from: None, collected: None };
            held.push(activation.clone());
            activated.push((change.function, activation));
        }
        self.outcomes.insert(proposal.id, Outcome::Activated(activated.clone()));
        Applied::Activated(activated)
    }

    /// What a host should do about an open proposal now; `None`: wait. What it should prepare it may be preparing already.
    pub fn next(&self, proposal: u64, look: &Look<'_>) -> Option<Step> {
        let open = self.open.get(&proposal)?;
        let void = |reason: String| Some(Step::Append(Entry::Void { proposal, reason }));
        if let Some(reason) = self.outdated(&open.proposal).or_else(|| open.refusal()) {
            return void(reason);
        }
        // Whoever holds it says when that ends.
        let probation_ms = open.proposal.probation.map_or(0, |probation| probation.ms);
        let ms_max = PREPARE_MS_MAX.saturating_add(probation_ms);
        let (late, seconds) = (!open.is_held() && look.waited_ms > ms_max, ms_max / 1_000);
        let prepare = (!open.answers.contains_key(look.host)).then_some(Step::Prepare);
        let Some(live) = look.live else {
            if late {
                return void(alloc::format!("which hosts are there could not be found out within {seconds} s"));
            }
            return prepare;
        };
        let (silent, of_what) = open.silent(live);
        if silent.is_empty() && !live.is_empty() && !open.is_held() {
            return Some(Step::Append(Entry::Activate { proposal }));
        }
        if late {
            return void(alloc::format!("not all hosts have {of_what} within {seconds} s: {}", silent.join(", ")));
        }
        prepare
    }

    /// Position of the last entry taken.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// What the log says of a function.
    pub fn function(&self, name: &str) -> Option<&FunctionControl> {
        self.functions.get(name)
    }

    /// All functions the log has heard of.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &FunctionControl)> {
        self.functions.iter().map(|(n, f)| (n.as_str(), f))
    }

    /// Proposals about which nothing is decided, by their positions.
    pub fn open(&self) -> impl Iterator<Item = (u64, &Open)> {
        self.open.iter().map(|(at, open)| (*at, open))
    }

    /// How a proposal stands; `None`: it is not in the log.
    pub fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.outcomes.get(id)
    }
}

fn not_open() -> Applied {
    Applied::Void("the proposal is not open".into())
}

#[cfg(test)]
#[path = "swap/tests.rs"]
mod tests;
