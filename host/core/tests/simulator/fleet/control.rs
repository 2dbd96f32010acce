//! The control log as brokers keep it, and what must hold of it whoever reads it: a small model of the protocol, written apart
//! from the engine's, says of every entry what it does.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::function::Prepared;
use millstream_core::operator::Active;
use millstream_core::swap::{
    Activation, Applied, Change, Control, Entry, Look, PREPARE_MS_MAX, Probation, Proposal, Step, Version,
};

use super::super::native::FUNCTIONS_MAX;
use super::super::rng::Rng;
use super::components::{Components, is_collected};

/// What somebody knows who has appended an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    There,
    /// It is not there.
    Lost,
    /// It is there, or not.
    Unknown,
}

/// See the module.
pub struct ControlLog {
    entries: Vec<(u64, Entry)>,
    /// When each was appended.
    times: Vec<i64>,
    /// What the log says in front of each of them, and behind the last.
    folds: Vec<Control>,
    rules: Rules,
    /// Names of the functions, by number.
    pub functions: Vec<String>,
    /// Apart from all other chance: without versions a seed plays as it does without a control log.
    pub rng: Rng,
    /// Milliseconds that waiting for a proposal took besides the time that everything else sees.
    pub waited: i64,
    versions: u64,
    proposals: u64,
    /// All versions that were ever made, each in a place of its own.
    made: Vec<Version>,
}

impl ControlLog {
    /// A log in which each function has its first version.
    ///
    /// # Errors
    /// What its fold does wrong.
    pub fn new(functions: Vec<String>, rng: Rng) -> Result<Self, String> {
        let (entries, times, made, folds, rules) = Default::default();
        let mut log = Self { entries, times, folds, rules, functions, rng, waited: 0, versions: 1, proposals: 0, made };
        log.folds.push(Control::default());
        for f in 0..log.functions.len() {
            let version = log.keep(1);
            let change = Change { function: log.functions[f].clone(), version, builds_on: 0 };
            let proposal = Proposal { id: log.id(), changes: vec![change], probation: None };
            log.push(0, &Entry::Propose(proposal))?;
            log.push(0, &Entry::Activate { proposal: log.end() })?;
        }
        Ok(log)
    }

    /// An id that no other proposal has.
    pub fn id(&mut self) -> String {
        self.proposals += 1;
        format!("p{}", self.proposals)
    }

    /// Whether a proposal is tried first.
    pub fn probation(&mut self) -> Option<Probation> {
        let hold = self.rng.one_in(2);
        self.rng.one_in(2).then_some(Probation { ms: 1_000, records: 10, hold, replay: 0 })
    }

    /// A version: a new one; one that was there before, from a file; or one that is gone back to, where it was put.
    pub fn version(&mut self) -> Version {
        match self.rng.below(8) {
            0 => self.rng.pick(&self.made.clone()).clone(),
            1 | 2 => {
                let number = 1 + self.rng.below(self.versions);
                self.keep(number)
            }
            _ => {
                self.versions += 1;
                self.keep(self.versions)
            }
        }
    }

    /// The version of this number, put in a place of its own.
    fn keep(&mut self, number: u64) -> Version {
        let (digest, place) = (format!("{number:x}"), self.made.len().to_string());
        let version = Version { digest, place, layout: (number % 3) as u32, ..Version::default() };
        self.rules.components.keep(&version);
        self.made.push(version.clone());
        version
    }

    /// Somebody has read that a component is kept no longer.
    ///
    /// # Errors
    /// When it is needed.
    pub fn discard(&mut self, places: &BTreeSet<String>) -> Result<(), String> {
        self.rules.components.discard(places);
        self.rules.all_is_there()
    }

    /// A planted bug: all that has this digest is removed.
    pub fn discard_named(&mut self, digest: &str) -> Result<(), String> {
        self.rules.components.discard_named(digest);
        self.rules.all_is_there()
    }

    /// Position of the last entry.
    pub fn end(&self) -> u64 {
        self.entries.last().map_or(0, |(at, _)| *at)
    }

    /// Entry by place, not by position.
    pub fn entry(&self, place: usize) -> Option<&(u64, Entry)> {
        self.entries.get(place)
    }

    /// When an entry was appended, by place.
    pub fn time(&self, place: usize) -> i64 {
        self.times[place]
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the log says up to its end.
    pub fn fold(&self) -> &Control {
        self.folds.last().expect("there is one at the beginning")
    }

    /// Somebody appends an entry; with it, what that put in force.
    ///
    /// # Errors
    /// What the log's fold does wrong.
    pub fn append(&mut self, now: i64, entry: &Entry, faults: bool) -> Result<(Append, Vec<(usize, Active)>), String> {
        // Clocks differ a little.
        let time = now + self.rng.below(20) as i64;
        match if faults { self.rng.below(16) } else { 15 } {
            0 => Ok((Append::Lost, Vec::new())),
            1 => Ok((Append::Unknown, Vec::new())),
            2 => Ok((Append::Unknown, self.push(time, entry)?)),
            _ => Ok((Append::There, self.push(time, entry)?)),
        }
    }

    fn push(&mut self, time: i64, entry: &Entry) -> Result<Vec<(usize, Active)>, String> {
        // Markers of transactions take positions.
        let at = self.end() + 1 + self.rng.below(3);
        let mut fold = self.fold().clone();
        let applied =
            fold.apply(at, time, entry).map_err(|last| format!("entry {at} comes behind {last}, says the fold"))?;
        let again = matches!(entry, Entry::Propose(proposal) if self.rules.ids.contains(&proposal.id));
        let all = self.entries.len();
        let hindered = |proposal: u64| {
            self.is_refused(proposal) || self.probation_of(all, proposal).is_some_and(|tried| tried.held)
        };
        let hindered = matches!(entry, Entry::Activate { proposal } if hindered(*proposal));
        let held = matches!(entry, Entry::Promote { proposal }
            if self.probation_of(all, *proposal).is_some_and(|tried| tried.held));
        self.rules.check((at, time), entry, &applied, Seen { hindered, held })?;
        let late = matches!(applied, Applied::Void(_)) && !matches!(entry, Entry::Propose(_));
        if (again || late) && !is_unmoved(self.fold(), &fold, entry) {
            return Err(format!("entry {at} of the control log, {entry:?}, should do nothing"));
        }
        self.entries.push((at, entry.clone()));
        self.times.push(time);
        self.folds.push(fold);
        let Applied::Activated(activated) = applied else { return Ok(Vec::new()) };
        Ok(activated.iter().map(|(function, activation)| self.active(function, activation)).collect())
    }

    /// What a worker is told of a version in force: the function's number, and what to call.
    pub fn active(&self, function: &str, activation: &Activation) -> (usize, Active) {
        let f = self.functions.iter().position(|name| name == function).expect("only functions that are there change");
        let prepared = Prepared(of(&activation.version) * FUNCTIONS_MAX + f as u32);
        (f, Active { prepared, epoch: activation.epoch, number: activation.number })
    }

    /// Versions in force, by function, as somebody knows them who has read the log so far.
    pub fn in_force(&self, control: &Control) -> Vec<Active> {
        let activation = |name: &String| control.function(name).and_then(|f| f.in_force()).expect("each has one");
        self.functions.iter().map(|name| self.active(name, activation(name)).1).collect()
    }

    /// Whoever has read the same entries knows the same.
    ///
    /// # Errors
    /// What differs.
    pub fn agrees(&self, place: usize, control: &Control) -> Result<(), String> {
        let want = &self.folds[place + 1];
        if want == control { Ok(()) } else { Err(format!("two folds of one log differ:\n  {control:?}\n  {want:?}")) }
    }

    /// What hosts have answered to a proposal last, in so many entries: whether they are ready.
    fn answers(&self, read: usize, proposal: u64) -> BTreeMap<&str, bool> {
        let mut answers = BTreeMap::new();
        for (_, entry) in &self.entries[..read] {
            match entry {
                Entry::Ready { proposal: of, host } if *of == proposal => drop(answers.insert(host.as_str(), true)),
                Entry::Refused { proposal: of, host, .. } if *of == proposal => {
                    answers.insert(host.as_str(), false);
                }
                _ => {}
            }
        }
        answers
    }

    /// How the probation of a proposal stands in so many entries; `None`: it has none.
    fn probation_of(&self, read: usize, proposal: u64) -> Option<Tried> {
        let entries = &self.entries[..read];
        let made = entries.iter().find_map(|(at, entry)| match entry {
            Entry::Propose(made) if *at == proposal => made.probation,
            _ => None,
        })?;
        let passed = entries.iter().filter_map(|(_, entry)| match entry {
            Entry::Passed { proposal: of, host, .. } if *of == proposal => Some(host.clone()),
            _ => None,
        });
        let promoted = |(_, entry): &(u64, Entry)| matches!(entry, Entry::Promote { proposal: of } if *of == proposal);
        let held = made.hold && !entries.iter().any(promoted);
        Some(Tried { ms: made.ms, hold: made.hold, held, passed: passed.collect() })
    }

    fn is_refused(&self, proposal: u64) -> bool {
        self.answers(self.entries.len(), proposal).values().any(|ready| !ready)
    }

    /// Whether a proposal builds on what is not in force any more, in so many entries.
    fn is_outdated(&self, read: usize, proposal: u64) -> bool {
        let now =
            |function: &String| self.folds[read].function(function).and_then(|f| f.in_force()).map_or(0, |a| a.epoch);
        let changes = self.entries[..read].iter().find_map(|(at, entry)| match entry {
            Entry::Propose(made) if *at == proposal => Some(&made.changes),
            _ => None,
        });
        changes.is_some_and(|changes| changes.iter().any(|change| now(&change.function) != change.builds_on))
    }

    /// Whether this is what whoever has read so many entries should do about an open proposal.
    pub fn is_due(&self, read: usize, proposal: u64, look: &Look<'_>, step: Option<&Step>) -> bool {
        let answers = self.answers(read, proposal);
        let answered = |host: &str| answers.contains_key(host);
        let refused = answers.values().any(|ready| !ready);
        let ready = look.live.is_some_and(|live| !live.is_empty() && live.iter().all(|host| answered(host)));
        let tried = self.probation_of(read, proposal);
        let came_through = |tried: &Tried| match tried.hold {
            true => !tried.held,
            false => look.live.is_some_and(|live| live.is_subset(&tried.passed)),
        };
        let all = ready && tried.as_ref().is_none_or(came_through);
        let (held, ms) = tried.as_ref().map_or((false, 0), |tried| (tried.held, tried.ms));
        let late = !all && !held && look.waited_ms > PREPARE_MS_MAX + ms;
        let refused = refused || self.is_outdated(read, proposal);
        match step {
            Some(Step::Append(Entry::Void { .. })) => refused || late,
            Some(Step::Append(Entry::Activate { .. })) => all && !refused,
            Some(Step::Append(_)) => false,
            Some(Step::Prepare) => !refused && !all && !late && !answered(look.host),
            None => !refused && !all && !late && answered(look.host),
        }
    }

    /// Whether an entry of the log put a version of a function in force.
    pub fn is_epoch(&self, function: &str, epoch: u64) -> bool {
        let activations = self.fold().function(function).map_or(&[][..], |held| &held.activations);
        let entry = self.entries.binary_search_by_key(&epoch, |(at, _)| *at).map(|place| &self.entries[place].1);
        matches!(entry, Ok(Entry::Activate { .. } | Entry::Revert { .. }))
            && activations.iter().any(|a| a.epoch == epoch)
    }
}

/// Whether two folds say the same but for how far they are.
fn is_unmoved(before: &Control, after: &Control, entry: &Entry) -> bool {
    let outcome = |fold: &Control| match entry {
        Entry::Propose(proposal) => fold.outcome(&proposal.id).cloned(),
        _ => None,
    };
    before.functions().eq(after.functions()) && before.open().eq(after.open()) && outcome(before) == outcome(after)
}

fn of(version: &Version) -> u32 {
    u32::from_str_radix(&version.digest, 16).expect("all versions have numbers here")
}

/// A proposal's probation, as the entries say.
struct Tried {
    ms: i64,
    /// It was to be held.
    hold: bool,
    /// It is held still.
    held: bool,
    /// Hosts that have passed.
    passed: BTreeSet<String>,
}

/// What the entries so far say of the proposal that an entry is about.
struct Seen {
    /// It is refused, or held: it cannot come into force.
    hindered: bool,
    /// It is held.
    held: bool,
}

/// The protocol in few words.
#[derive(Default)]
struct Rules {
    ids: BTreeSet<String>,
    /// The epoch in force of each function.
    epochs: BTreeMap<String, u64>,
    /// What was in force of each function, oldest first.
    past: BTreeMap<String, Vec<Past>>,
    /// Open proposals, with what they change.
    open: BTreeMap<u64, Vec<Change>>,
    /// Proposals that were decided, and by which entry.
    decided: BTreeMap<u64, u64>,
    components: Components,
}

/// A version that is or was in force.
#[derive(Clone)]
struct Past {
    digest: String,
    place: String,
    layout: u32,
    failed: bool,
    /// It was gone back to.
    back: bool,
    /// Its component was collected.
    gone: bool,
    /// Position of the entry that put it in force.
    at: u64,
    /// Parts whose sweep began under it.
    swept: BTreeSet<String>,
    /// When it was in force, all parts were swept, and what was stored was in its layout.
    all_swept: bool,
}

impl Past {
    fn of(version: &Version) -> Self {
        let (digest, place) = (version.digest.clone(), version.place.clone());
        let (layout, swept) = (version.layout, BTreeSet::new());
        Self { digest, place, layout, failed: false, back: false, gone: false, at: 0, swept, all_swept: false }
    }
}

/// The last that is another and did not fail when it last ran.
fn earlier(past: &[Past]) -> Option<&Past> {
    let (now, earlier) = past.split_last()?;
    let failed = |digest: &str| earlier.iter().rev().find(|p| p.digest == digest).is_some_and(|p| p.failed);
    earlier.iter().rev().find(|p| p.digest != now.digest && !failed(&p.digest))
}

/// What is gone back to: from what was gone back to, nothing; and nothing that was collected.
fn before(past: &[Past]) -> Option<Past> {
    earlier(past).filter(|before| !before.gone && !past.last().is_some_and(|now| now.back)).cloned()
}

impl Rules {
    /// An entry comes to a position and does this.
    fn check(&mut self, (at, time): (u64, i64), entry: &Entry, applied: &Applied, seen: Seen) -> Result<(), String> {
        let good = match entry {
            Entry::Propose(Proposal { id, changes, .. }) => {
                let open: BTreeSet<&String> = self.open.values().flatten().map(|c| &c.function).collect();
                let free = self.builds_on_now(changes) && changes.iter().all(|c| !open.contains(&c.function));
                let there = changes.iter().all(|c| !self.components.is_gone(&c.version.place));
                let new = self.ids.insert(id.clone());
                if new {
                    self.components.name(changes);
                }
                let opens = new && free && there;
                if opens {
                    self.open.insert(at, changes.clone());
                }
                opens == matches!(applied, Applied::Opened)
            }
            Entry::Ready { proposal, .. } | Entry::Refused { proposal, .. } | Entry::Passed { proposal, .. } => {
                self.open.contains_key(proposal) == matches!(applied, Applied::Answered)
            }
            Entry::Promote { proposal } => {
                (seen.held && self.open.contains_key(proposal)) == (*applied == Applied::Promoted)
            }
            Entry::Void { proposal, .. } => self.decide(*proposal, at)?.is_some() == matches!(applied, Applied::Closed),
            Entry::Activate { .. } if seen.hindered => matches!(applied, Applied::Void(_)),
            Entry::Activate { proposal } => match self.decide(*proposal, at)? {
                // Its base has failed meanwhile.
                Some(changes) if !self.builds_on_now(&changes) => *applied == Applied::Closed,
                Some(changes) => {
                    for Change { function, version, .. } in &changes {
                        self.takes_over(at, function, Past::of(version));
                    }
                    self.put_in_force(at, applied, changes.iter().map(|c| (&c.function, &c.version.digest)))
                }
                None => matches!(applied, Applied::Void(_)),
            },
            Entry::Revert { function, epoch, .. } => {
                let is_now = self.epochs.get(function) == Some(epoch);
                let past = self.past.entry(function.clone()).or_default();
                match before(past).filter(|_| is_now) {
                    Some(before) => {
                        past.last_mut().expect("it is in force").failed = true;
                        let digest = before.digest.clone();
                        self.takes_over(
                            at,
                            function,
                            Past { failed: false, back: true, swept: BTreeSet::new(), all_swept: false, ..before },
                        );
                        self.put_in_force(at, applied, [(function, &digest)].into_iter())
                    }
                    None => matches!(applied, Applied::Void(_)),
                }
            }
            Entry::Swept { function, epoch, parts, of } => {
                self.swept(function, *epoch, parts, *of) == (*applied == Applied::Answered)
            }
            Entry::Rejected { .. } => *applied == Applied::Closed,
            Entry::Collect { digest, keep_ms, .. } => {
                let places = self.components.collect(time, digest, *keep_ms);
                let past = self.past.values_mut().flatten().filter(|past| past.digest == *digest);
                past.filter(|_| places.is_some()).for_each(|past| past.gone = true);
                is_collected(applied, places.as_ref())
            }
        };
        if !good {
            return Err(format!("entry {at} of the control log, {entry:?}, did {applied:?}"));
        }
        let needed = self.needed();
        self.components.after(time, needed);
        self.all_is_there()
    }

    /// Digests that somebody runs, may go back to, is offered, or has states of.
    fn needed(&self) -> BTreeSet<String> {
        let mut needed: BTreeSet<String> =
            self.open.values().flatten().map(|change| change.version.digest.clone()).collect();
        for past in self.past.values() {
            // What came before all was swept that there is now is stored no more.
            let from = past.iter().rposition(|p| p.all_swept).unwrap_or(0);
            let newest = |layout: u32| past[from..].iter().rev().find(|p| p.layout == layout);
            let of_layouts = (0..3).filter_map(newest);
            needed.extend(past.last().into_iter().chain(earlier(past)).chain(of_layouts).map(|p| p.digest.clone()));
        }
        needed
    }

    /// What somebody may ask for is where it was put.
    fn all_is_there(&self) -> Result<(), String> {
        let offered = self.open.values().flatten().map(|change| (&change.version.digest, &change.version.place));
        let past = self.past.values().flat_map(|past| past.last().into_iter().chain(earlier(past)));
        let ran = past.filter(|past| !past.gone).map(|past| (&past.digest, &past.place));
        match offered.chain(ran).find(|(digest, place)| !self.components.is_there(digest, place)) {
            Some((digest, place)) => Err(format!("component {digest} is needed and not at its place {place} any more")),
            None => Ok(()),
        }
    }

    /// Notes what was swept; whether it counts: all versions from that epoch on write one layout.
    fn swept(&mut self, function: &str, epoch: u64, parts: &[String], of: u32) -> bool {
        let Some(past) = self.past.get_mut(function) else { return false };
        let Some(from) = past.iter().position(|p| p.at == epoch) else { return false };
        if past[from..].iter().any(|p| p.layout != past[from].layout) {
            return false;
        }
        past[from].swept.extend(parts.iter().cloned());
        // Of all that write this layout, without another between.
        let since = past.iter().rposition(|p| p.layout != past[from].layout).map_or(0, |last| last + 1);
        let all: BTreeSet<&String> = past[since..].iter().flat_map(|p| &p.swept).collect();
        if all.len() >= of as usize {
            past.last_mut().expect("there is one").all_swept = true;
        }
        true
    }

    fn builds_on_now(&self, changes: &[Change]) -> bool {
        changes.iter().all(|c| self.epochs.get(&c.function).copied().unwrap_or(0) == c.builds_on)
    }

    fn takes_over(&mut self, at: u64, function: &str, now: Past) {
        self.epochs.insert(function.to_string(), at);
        self.past.entry(function.to_string()).or_default().push(Past { at, ..now });
    }

    /// Whether an entry put just these in force, with its position as their epoch.
    fn put_in_force<'s>(
        &self,
        at: u64,
        applied: &'s Applied,
        what: impl Iterator<Item = (&'s String, &'s String)>,
    ) -> bool {
        let Applied::Activated(activated) = applied else { return false };
        activated.iter().all(|(_, a)| a.epoch == at) && activated.iter().map(|(f, a)| (f, &a.version.digest)).eq(what)
    }

    /// An entry decides a proposal: gives what it changes, if this is the first one.
    fn decide(&mut self, proposal: u64, at: u64) -> Result<Option<Vec<Change>>, String> {
        let Some(changes) = self.open.remove(&proposal) else { return Ok(None) };
        match self.decided.insert(proposal, at) {
            Some(before) => Err(format!("proposal {proposal} is decided by entry {before} and by entry {at}")),
            None => Ok(Some(changes)),
        }
    }
}
