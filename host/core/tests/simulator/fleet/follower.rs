//! A process at the control log: it reads it entry by entry at its own pace, prepares what is proposed, answers, decides what
//! can be decided, and tells its worker of what is in force. What it has prepared it forgets when it dies.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::operator::Active;
use millstream_core::swap::{Activation, Applied, Change, Control, Entry, Look, PREPARE_MS_MAX, Proposal, Step};
use millstream_core::worker::Input;

use super::super::Planted;
use super::Fleet;
use super::control::{Append, ControlLog};
use super::host::Host;

/// Entries that a process reads at one go, at the most.
const ENTRIES_MAX: u64 = 4;

/// For how long a component is kept that nothing needs, milliseconds.
const KEEP_MS: i64 = 400;

/// Turns that preparing takes where a host is slow.
const SLOW_TURNS: u64 = 400;

/// What a process knows and does of versions.
pub struct Follower {
    pub control: Control,
    /// Place of the entry that it reads next.
    next: usize,
    /// When it has read of each proposal.
    read: BTreeMap<u64, i64>,
    /// Turns until it has prepared a proposal.
    preparing: BTreeMap<u64, u64>,
    prepared: BTreeSet<u64>,
    refused: BTreeMap<u64, String>,
    /// In force, but not prepared here: by proposal.
    waiting: Vec<(u64, Vec<(usize, Active)>)>,
    /// What it did not see arrive, and so appends again.
    again: Vec<Entry>,
    /// What it last appended about a proposal.
    said: BTreeMap<u64, Entry>,
    /// The newest version of each function that its worker was told of.
    pub told: Vec<Active>,
    /// It has a turn at the log in one of so many steps.
    pub pace: u64,
    /// A planted bug: what was decided of late it has not read when it starts, and never reads.
    deaf: bool,
}

impl Follower {
    /// A process that starts has read the log to its end, and prepared what is in force.
    pub fn new(log: &mut ControlLog, planted: Planted, now: i64) -> Self {
        let first = 2 * log.functions.len();
        let newer = log.in_force(log.fold()).iter().any(|active| active.number > 1);
        let deaf = planted == Planted::OldVersionAtStart && newer && log.rng.one_in(2);
        let mut control = Control::default();
        let next = if deaf { first } else { log.len() };
        for place in 0..next {
            let (at, entry) = log.entry(place).expect("it is there");
            control.apply(*at, log.time(place), entry).expect("positions grow");
        }
        let told = log.in_force(&control);
        let pace = *log.rng.pick(&[1, 1, 2, 4, 12]);
        let read = control.open().map(|(proposal, _)| (proposal, now)).collect();
        let (preparing, prepared, refused, waiting, again, said) = Default::default();
        Self { control, next, read, preparing, prepared, refused, waiting, again, said, told, pace, deaf }
    }

    /// Whether it has read all there is and has nothing to do.
    pub fn is_at_rest(&self, log: &ControlLog) -> bool {
        self.next == log.len() && self.waiting.is_empty() && self.again.is_empty()
    }

    /// Whether a version of a function that its worker was told of is as new as this epoch.
    pub fn knows(&self, function: usize, epoch: u64) -> bool {
        self.told[function].epoch >= epoch
    }

    /// Reads an entry; gives what is in force by it, if it is prepared here.
    fn read(&mut self, log: &mut ControlLog, now: i64, planted: Planted) -> Result<Vec<(usize, Active)>, String> {
        let Some((at, entry)) = log.entry(self.next).filter(|_| !self.deaf).cloned() else { return Ok(Vec::new()) };
        let time = log.time(self.next);
        let applied =
            self.control.apply(at, time, &entry).map_err(|last| format!("entry {at} is read behind {last}"))?;
        log.agrees(self.next, &self.control)?;
        self.next += 1;
        match (&entry, applied) {
            (Entry::Propose(_), Applied::Opened) => drop(self.read.insert(at, now)),
            (Entry::Promote { proposal }, Applied::Promoted) => drop(self.read.insert(*proposal, now)),
            (Entry::Activate { proposal }, Applied::Activated(activated)) => {
                let active: Vec<_> = activated.iter().map(|(f, a)| log.active(f, a)).collect();
                if self.prepared.contains(proposal) {
                    return Ok(active);
                }
                // It came late, or is slow: it takes it as soon as it can.
                self.preparing.entry(*proposal).or_insert_with(|| 1 + log.rng.below(6));
                self.waiting.push((*proposal, active));
            }
            // Every host has it prepared still.
            (Entry::Revert { .. }, Applied::Activated(activated)) => {
                return Ok(activated.iter().map(|(f, a)| log.active(f, a)).collect());
            }
            (Entry::Collect { .. }, Applied::Collected { digest, places }) => match planted {
                Planted::CollectedByName => log.discard_named(&digest)?,
                _ => log.discard(&places)?,
            },
            (Entry::Void { proposal, .. }, Applied::Closed) => {
                self.preparing.remove(proposal);
                if planted == Planted::VoidActivated && self.prepared.contains(proposal) {
                    return Ok(self.voided(log, *proposal, at));
                }
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    /// A planted bug: what came to nothing is as good as in force.
    fn voided(&self, log: &ControlLog, proposal: u64, at: u64) -> Vec<(usize, Active)> {
        let changes = (0..self.next).find_map(|place| match log.entry(place) {
            Some((position, Entry::Propose(made))) if *position == proposal => Some(&made.changes),
            _ => None,
        });
        let active = |change: &Change| {
            let number = self.control.function(&change.function).and_then(|f| f.in_force()).map_or(0, |a| a.number) + 1;
            let version = change.version.clone();
            log.active(
                &change.function,
                &Activation { number, epoch: at, version, failed: None, back_from: None, collected: None },
            )
        };
        changes.into_iter().flatten().map(active).collect()
    }

    /// Goes on preparing; gives what is ready by now and in force already.
    fn prepare(&mut self, log: &mut ControlLog, faults: bool) -> Vec<(usize, Active)> {
        for left in self.preparing.values_mut() {
            // When all goes well nobody is slow.
            *left = if faults { *left - 1 } else { 0 };
        }
        let done: Vec<u64> = self.preparing.iter().filter(|(_, left)| **left == 0).map(|(p, _)| *p).collect();
        for proposal in done {
            self.preparing.remove(&proposal);
            let open = self.control.open().any(|(at, _)| at == proposal);
            if open && faults && log.rng.one_in(10) {
                self.refused.insert(proposal, "planned".into());
            } else {
                self.prepared.insert(proposal);
            }
        }
        let prepared = &self.prepared;
        let ready = self.waiting.extract_if(.., |(proposal, _)| prepared.contains(proposal));
        ready.flat_map(|(_, active)| active).collect()
    }

    /// What there is to append: what was not seen to arrive, and what the protocol asks for.
    fn news<'l>(
        &mut self,
        log: &mut ControlLog,
        look: &dyn Fn(i64) -> Look<'l>,
        faults: bool,
    ) -> Result<Vec<Entry>, String> {
        let mut entries = std::mem::take(&mut self.again);
        let open: Vec<u64> = self.control.open().map(|(proposal, _)| proposal).collect();
        for proposal in open {
            let look = look(self.read[&proposal]);
            let step = self.control.next(proposal, &look);
            if !log.is_due(self.next, proposal, &look, step.as_ref()) {
                return Err(format!("{step:?} is not what {look:?} should lead to: {:?}", self.control));
            }
            let entry = match step {
                None => None,
                Some(Step::Append(entry)) => Some(entry),
                Some(Step::Prepare) => self.answer(log, proposal, look.host),
            };
            // It will read it soon; that it says it twice does no harm.
            if entry.is_some() && (self.said.get(&proposal) != entry.as_ref() || log.rng.one_in(8)) {
                self.said.extend(entry.iter().map(|entry| (proposal, entry.clone())));
                entries.extend(entry);
            }
            entries.extend(self.tried(log, proposal, look.host, faults));
        }
        Ok(entries)
    }

    /// What somebody says of states that were swept, true or not: what follows is the log's fold alone.
    fn swept(&self, log: &mut ControlLog) -> Option<Entry> {
        if !log.rng.one_in(12) {
            return None;
        }
        let (function, held) = self.control.functions().find(|(_, held)| held.stored().versions().count() > 1)?;
        let all = &held.activations;
        let epoch = if log.rng.one_in(3) { log.rng.pick(all).epoch } else { all.last()?.epoch };
        let parts = ["s/0", "s/1"].into_iter().filter(|_| log.rng.one_in(2)).map(str::to_string).collect();
        Some(Entry::Swept { function: function.to_string(), epoch, parts, of: 2 })
    }

    /// What it finds that nothing needs any more.
    fn collects(
        &self,
        log: &mut ControlLog,
        look: &Look<'_>,
        now: i64,
        planted: Planted,
    ) -> Result<Option<Entry>, String> {
        let Some((digest, _)) = self.control.collectable(now, KEEP_MS).next().filter(|_| log.rng.one_in(4)) else {
            return Ok(None);
        };
        if planted == Planted::CollectedUnread {
            log.discard_named(digest)?;
        }
        Ok(Some(Entry::Collect { digest: digest.to_string(), keep_ms: KEEP_MS, host: look.host.to_string() }))
    }

    /// What comes of running a proposal beside what is in force; and what somebody does about one that is held.
    fn tried(&mut self, log: &mut ControlLog, proposal: u64, host: &str, faults: bool) -> Option<Entry> {
        let (_, open) = self.control.open().find(|(at, _)| *at == proposal)?;
        open.proposal.probation?;
        let rng = &mut log.rng;
        if open.is_held() && rng.one_in(24) {
            return Some(match faults && rng.one_in(3) {
                true => Entry::Void { proposal, reason: "not wanted any more".into() },
                false => Entry::Promote { proposal },
            });
        }
        let is_ready = open.answers.get(host).is_some_and(Result::is_ok);
        if is_ready && !self.prepared.contains(&proposal) {
            // It was ready in an earlier life.
            self.preparing.entry(proposal).or_insert_with(|| 1 + rng.below(8));
            return None;
        }
        if !is_ready || !rng.one_in(if open.passed.contains_key(host) { 32 } else { 3 }) {
            return None;
        }
        let host = host.to_string();
        Some(match faults && rng.one_in(12) {
            true => Entry::Refused { proposal, host, reason: "it traps".into() },
            false => Entry::Passed { proposal, host, report: "planned".into() },
        })
    }

    /// Its answer to a proposal, if it is so far; else it prepares it.
    fn answer(&mut self, log: &mut ControlLog, proposal: u64, host: &str) -> Option<Entry> {
        let host = host.to_string();
        if let Some(reason) = self.refused.get(&proposal) {
            return Some(Entry::Refused { proposal, host, reason: reason.clone() });
        }
        if self.prepared.contains(&proposal) {
            return Some(Entry::Ready { proposal, host });
        }
        // Some do not get ready in time.
        let slow = log.rng.one_in(12);
        self.preparing.entry(proposal).or_insert_with(|| if slow { SLOW_TURNS } else { 1 + log.rng.below(8) });
        None
    }

    /// How an append ended that it made.
    fn appended(&mut self, entry: Entry, how: Append) {
        match (how, &entry) {
            (Append::Unknown, _) | (Append::Lost, Entry::Propose(_)) => self.again.push(entry),
            (Append::There, _)
            | (
                Append::Lost,
                Entry::Rejected { .. }
                | Entry::Revert { .. }
                | Entry::Passed { .. }
                | Entry::Promote { .. }
                | Entry::Swept { .. }
                | Entry::Collect { .. },
            ) => {}
            // The protocol asks for it again.
            (Append::Lost, Entry::Ready { proposal, .. } | Entry::Refused { proposal, .. })
            | (Append::Lost, Entry::Void { proposal, .. } | Entry::Activate { proposal }) => {
                drop(self.said.remove(proposal));
            }
        }
    }
}

impl Fleet {
    /// A process has a turn at the control log.
    pub fn hear(&mut self, host: &mut Host, faults: bool) -> Result<(), String> {
        // Nobody can read anything.
        if self.away > 0 {
            return Ok(());
        }
        let entries = 1 + self.control.rng.below(ENTRIES_MAX);
        for _ in 0..entries {
            let Some(process) = &mut host.process else { return Ok(()) };
            let now = self.clock + self.control.waited;
            let active = process.follower.read(&mut self.control, now, self.planted)?;
            self.take_on(host, active)?;
        }
        let Some(process) = &mut host.process else { return Ok(()) };
        let active = process.follower.prepare(&mut self.control, faults);
        self.take_on(host, active)?;
        self.say(host, faults)
    }

    /// The worker of a process is told of versions in force.
    fn take_on(&mut self, host: &mut Host, active: Vec<(usize, Active)>) -> Result<(), String> {
        for (function, mut active) in active {
            let Some(process) = &mut host.process else { return Ok(()) };
            let told = &mut process.follower.told[function];
            if self.planted == Planted::EpochOfItsOwn {
                active.epoch = told.epoch + 1;
            }
            if active.epoch > told.epoch {
                *told = active;
            }
            if self.planted == Planted::SwitchInInterval {
                process.watched.newest(function, active);
            }
            self.step(host, Input::Activate { function, active })?;
        }
        Ok(())
    }

    /// A process appends what there is to say.
    fn say(&mut self, host: &mut Host, faults: bool) -> Result<(), String> {
        let id = host.id();
        let Some(process) = &mut host.process else { return Ok(()) };
        let mut live: BTreeSet<String> = self.group.members().map(|number| format!("sim-{number}")).collect();
        if process.is_outside() {
            live.insert(id.clone());
        }
        // Who is in the group is not known just then.
        let known = !(faults && self.control.rng.one_in(8));
        let now = self.clock + self.control.waited;
        let look = |read: i64| Look { host: &id, live: known.then_some(&live), waited_ms: now.saturating_sub(read) };
        let mut entries = process.follower.news(&mut self.control, &look, faults)?;
        entries.extend(process.follower.collects(&mut self.control, &look(now), now, self.planted)?);
        entries.extend(process.follower.swept(&mut self.control));
        for entry in entries {
            let how = self.append(&entry, faults)?;
            if let Some(process) = &mut host.process {
                process.follower.appended(entry, how);
            }
        }
        Ok(())
    }

    fn append(&mut self, entry: &Entry, faults: bool) -> Result<Append, String> {
        let now = self.clock + self.control.waited;
        let (how, active) = self.control.append(now, entry, faults)?;
        active.into_iter().for_each(|(function, active)| self.judge.in_force(function, active));
        Ok(how)
    }

    /// New versions of some functions are offered, on top of what a process knows; or one has failed. `true`: the process dies over it.
    pub fn propose(&mut self, host: &mut Host) -> Result<bool, String> {
        let Some(process) = host.process.as_mut().filter(|_| host.stalled == 0 && self.away == 0) else {
            return Ok(false);
        };
        let (log, faults) = (&mut self.control, self.case.faults);
        if log.functions.is_empty() {
            return Ok(false);
        }
        let most = *log.rng.pick(&[1, 2, log.functions.len() as u64]);
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..1 + log.rng.below(most) {
            let function = log.rng.pick(&log.functions.clone()).clone();
            if changes.iter().all(|change| change.function != function) {
                let in_force = process.follower.control.function(&function).and_then(|f| f.in_force());
                let builds_on = in_force.map_or(0, |a| a.epoch);
                changes.push(Change { function, version: log.version(), builds_on });
            }
        }
        let entry = match log.rng.below(12) {
            // Found wanting at once.
            0 => {
                let Change { function, version, .. } = changes.swap_remove(0);
                Entry::Rejected { function, version, reason: "planned".into() }
            }
            // What is in force, as far as it knows, has failed.
            1..=3 => {
                let Change { function, builds_on: epoch, .. } = changes.swap_remove(0);
                Entry::Revert { function, epoch, host: host.id(), reason: "planned".into() }
            }
            _ => {
                let (id, probation) = (log.id(), log.probation());
                Entry::Propose(Proposal { id, changes, probation })
            }
        };
        let how = self.append(&entry, faults)?;
        if let Some(process) = &mut host.process {
            process.follower.appended(entry, how);
        }
        Ok(faults && self.control.rng.one_in(8))
    }

    /// Time passes for whoever waits for a proposal.
    pub fn wait_for_proposals(&mut self) {
        if self.control.rng.one_in(200) {
            self.control.waited += PREPARE_MS_MAX + 1;
        }
    }
}
