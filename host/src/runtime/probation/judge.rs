//! The trial itself: the same calls on the version on trial, its answers beside those of the version in force.

mod processed;

use std::collections::HashMap;
use std::sync::Arc;

use millstream_core::function::{Answer, Fault, Functions, Joined, Kept, Output, Prepared, Rejection, Routed};
use millstream_core::operator::check_rejections;
use millstream_core::record::BytesColumn;
use millstream_web::types::trials::Example;
use serde_json::json;

use super::compare::{self, Difference, shown};
use super::shelf::{NOT_ASKED, Shelf};
use super::states::{States, Window};
use super::taken::{Call, Fold, Given, OwnGroups, Sides, Way};
use super::{EXAMPLES_MAX, STATES_BYTES_MAX, Trial, Trials, cpu_nanoseconds, lock};

/// Calls in a row that only a fresh instance answered, after which a version does not come through.
const UNSTEADY_MAX: u32 = 3;

/// See the module.
pub(super) struct Judge<F> {
    trial: Arc<Trial>,
    trials: Arc<Trials>,
    functions: F,
    states: States,
    /// Stores and timers of processors, by partition and step.
    shelves: HashMap<(u32, String), Shelf>,
    /// How many calls of processors had been left out when the shelves were begun.
    gaps: u64,
    /// Calls in a row that only a fresh instance answered.
    unsteady: u32,
    /// The version in force does not finish what it folds, as in a step that reduces.
    finishes: bool,
    /// Records of the call at hand, and what they took: told of when what came of them is.
    asked: u64,
    nanoseconds: u64,
}

/// What became of a fold on the version on trial.
struct Folded {
    states: BytesColumn,
    values: Option<BytesColumn>,
    rejected: Vec<Rejection>,
}

/// Why a call gave nothing to compare.
enum Nothing {
    /// There was no instance to be had.
    NoRoom,
    /// The version fails on it.
    Fault(Fault),
}

impl<F: Functions> Judge<F> {
    pub fn new(trial: Arc<Trial>, trials: Arc<Trials>, functions: F) -> Self {
        let states = States::new(STATES_BYTES_MAX);
        let (shelves, gaps) = (HashMap::new(), 0);
        Self { trial, trials, functions, states, shelves, gaps, unsteady: 0, finishes: true, asked: 0, nanoseconds: 0 }
    }

    /// Makes a call on the version on trial and compares.
    ///
    /// # Errors
    /// Why the version does not come through.
    pub fn judge(&mut self, call: Call) -> Result<(), String> {
        let judged = self.compare(call);
        let mut found = lock(&self.trial.findings);
        found.compared += std::mem::take(&mut self.asked);
        found.nanoseconds += std::mem::take(&mut self.nanoseconds);
        judged
    }

    fn compare(&mut self, call: Call) -> Result<(), String> {
        match call {
            Call::Keep(given, kept) => self.keep(&given, &kept),
            Call::Apply(call) => self.apply(&call.0, &call.1),
            Call::Route(given, routed) => self.route(&given, &routed),
            Call::Join(sides, joined) => self.join(&sides, &joined),
            Call::Fold(fold) => self.fold(*fold),
            Call::Merge(sides, states) => self.merge(&sides, &states),
            Call::Process(call) => self.process(&call),
        }
    }

    fn new_version(&self) -> Prepared {
        self.trial.parts.new
    }

    /// Asks the version on trial; once more on a fresh instance where that fails, as a pipeline would.
    fn ask<T>(&mut self, records: usize, call: &mut dyn FnMut(&mut F) -> Answer<T>) -> Result<T, Nothing> {
        let began = cpu_nanoseconds();
        let mut answer = call(&mut self.functions);
        let failed = answer.is_err();
        if matches!(&answer, Err(fault) if !matches!(fault, Fault::Unavailable { .. })) {
            self.functions.renew(self.trial.parts.new);
            answer = call(&mut self.functions);
        }
        match answer {
            Ok(answer) => {
                self.unsteady = if failed { self.unsteady + 1 } else { 0 };
                self.asked += records as u64;
                self.nanoseconds += cpu_nanoseconds().saturating_sub(began);
                Ok(answer)
            }
            Err(Fault::Unavailable { message }) => {
                let mut found = lock(&self.trial.findings);
                match message.strip_prefix(NOT_ASKED) {
                    Some(what) => {
                        found.untried += 1;
                        found.untried_first.get_or_insert(what.to_string());
                    }
                    None => found.unavailable += 1,
                }
                Err(Nothing::NoRoom)
            }
            Err(fault) => Err(Nothing::Fault(fault)),
        }
    }

    fn steady(&self) -> Result<(), String> {
        if self.unsteady >= UNSTEADY_MAX {
            return Err(format!(
                "{UNSTEADY_MAX} calls in a row passed on a fresh instance only: it keeps something that breaks it"
            ));
        }
        Ok(())
    }

    /// Asks about `len` records, and where that fails finds the first that fails alone, to say where it is.
    fn ask_each<T>(
        &mut self,
        len: usize,
        call: &mut dyn FnMut(&mut F, usize, usize) -> Answer<T>,
        place: &dyn Fn(usize) -> String,
    ) -> Result<Option<T>, String> {
        let mut fault = match self.ask(len, &mut |functions| call(functions, 0, len)) {
            Ok(answer) => return self.steady().map(|()| Some(answer)),
            Err(Nothing::NoRoom) => return Ok(None),
            Err(Nothing::Fault(fault)) => fault,
        };
        let (mut from, mut to) = (0, len);
        while to - from > 1 {
            let middle = from + (to - from) / 2;
            let first = self.ask(0, &mut |functions| call(functions, from, middle));
            match first {
                Err(Nothing::Fault(again)) => (fault, to) = (again, middle),
                _ => from = middle,
            }
        }
        // Alone it may pass: then it is all of them that the version fails on.
        let alone = self.ask(0, &mut |functions| call(functions, from, to));
        Err(match alone {
            Err(Nothing::Fault(fault)) => format!("{fault}; on the record {}", place(from)),
            _ => format!("{fault}; on {len} records together, the first {}", place(0)),
        })
    }

    fn place_of(&self, given: &Given, i: usize) -> Option<String> {
        let (task, input, offset) = given.place(i)?;
        self.trials.place(task, input, offset)
    }

    /// Notes what was compared; `example`: key, position and window of a difference.
    fn note(
        &self,
        outputs: usize,
        differing: Vec<Difference>,
        example: &dyn Fn(usize) -> (serde_json::Value, Option<String>, Window),
    ) {
        let mut found = lock(&self.trial.findings);
        found.outputs += outputs as u64;
        found.differing += differing.len() as u64;
        let room = EXAMPLES_MAX.saturating_sub(found.examples.len());
        found.examples.extend(differing.into_iter().take(room).map(|Difference { at, old, new }| {
            let (key, position, window) = example(at);
            Example { key, position, window, old, new }
        }));
    }

    fn note_records(&self, given: &Given, outputs: usize, differing: Vec<Difference>) {
        self.note(outputs, differing, &|i| (shown(given.batch.keys.get(i)), self.place_of(given, i), None));
    }

    fn keep(&mut self, given: &Given, old: &Kept) -> Result<(), String> {
        let (len, new) = (given.len(), self.new_version());
        let mut call = |functions: &mut F, from: usize, to: usize| {
            let part = given.slice(from, to);
            let kept = functions.keep(new, part.context(), part.records())?;
            let expected = (to - from).div_ceil(8);
            if kept.bits.len() != expected {
                let what =
                    format!("a filter over {} records gave {} bytes, not {expected}", to - from, kept.bits.len());
                return Err(Fault::BadResult { what });
            }
            check_rejections(&kept.rejected, "record", to - from).map(|()| kept)
        };
        let trials = self.trials.clone();
        let at = |i: usize| told_of(&trials, given, i);
        if let Some(kept) = self.ask_each(len, &mut call, &at)? {
            self.note_records(given, len, compare::keeps(len, old, &kept));
        }
        Ok(())
    }

    fn apply(&mut self, given: &Given, old: &Output) -> Result<(), String> {
        let (new, trials) = (self.new_version(), self.trials.clone());
        let (mut from, all) = (0, old.taken as usize);
        // One may take fewer records at a time than the other.
        while from < all {
            let rest = given.slice(from, all);
            let mut call = |functions: &mut F, from: usize, to: usize| {
                let part = rest.slice(from, to);
                let output = functions.apply(new, part.context(), part.records())?;
                part.takes().check(&output, to - from).map(|()| output)
            };
            let Some(output) = self.ask_each(rest.len(), &mut call, &|i| told_of(&trials, &rest, i))? else {
                return Ok(());
            };
            let taken = output.taken as usize;
            let others = part_of(old, from, from + taken);
            self.note_records(&rest, taken, compare::maps(&rest, taken, &others, &output));
            from += taken;
        }
        Ok(())
    }

    fn route(&mut self, given: &Given, old: &Routed) -> Result<(), String> {
        let (len, new, trials) = (given.len(), self.new_version(), self.trials.clone());
        let mut call = |functions: &mut F, from: usize, to: usize| {
            let part = given.slice(from, to);
            let routed = functions.route(new, part.context(), part.records())?;
            if let Some(partitions) = routed.partitions.as_ref().filter(|all| all.len() != to - from) {
                let what = format!("{} partitions for {} records", partitions.len(), to - from);
                return Err(Fault::BadResult { what });
            }
            check_rejections(&routed.rejected, "record", to - from).map(|()| routed)
        };
        if let Some(routed) = self.ask_each(len, &mut call, &|i| told_of(&trials, given, i))? {
            self.note_records(given, len, compare::routes(len, old, &routed));
        }
        Ok(())
    }

    fn join(&mut self, sides: &Sides, old: &Joined) -> Result<(), String> {
        let (len, new) = (sides.keys.len(), self.new_version());
        let mut call = |functions: &mut F, from: usize, to: usize| {
            let part = sides.slice(from, to);
            let joined = functions.join(new, &part.keys, &part.left, &part.right)?;
            check_rejections(&joined.rejected, "pair", to - from).map(|()| joined)
        };
        let told = |i: usize| format!("with key {}", shown(sides.keys.get(i)));
        if let Some(joined) = self.ask_each(len, &mut call, &told)? {
            self.note(len, compare::joins(sides, old, &joined), &|i| (shown(sides.keys.get(i)), None, None));
        }
        Ok(())
    }

    /// The states that stand for those of the version in force.
    fn stand_ins(
        &mut self,
        keys: &BytesColumn,
        window: &dyn Fn(usize) -> Window,
        states: &BytesColumn,
    ) -> Result<Option<BytesColumn>, String> {
        let mut mine: Vec<Option<Vec<u8>>> = Vec::with_capacity(states.len());
        let mut begun: Vec<u32> = Vec::new();
        for group in 0..states.len() {
            mine.push(match states.get(group) {
                None => None,
                Some(old) => self.states.take(keys.get(group), window(group), old).unwrap_or_else(|| {
                    begun.push(group as u32);
                    Some(old.to_vec())
                }),
            });
        }
        lock(&self.trial.findings).begun += begun.len() as u64;
        let (old, new) = (self.trial.parts.old, self.new_version());
        let (from, to) = (self.functions.layout(old), self.functions.layout(new));
        if from != to && !begun.is_empty() {
            let (keys, states) = (keys.gather(&begun), states.gather(&begun));
            let Some(migrated) = self.migrated("", (from, to), &keys, &states)? else { return Ok(None) };
            for (i, group) in begun.iter().enumerate() {
                mine[*group as usize] = migrated.get(i).map(<[u8]>::to_vec);
            }
        }
        let mut column = BytesColumn::default();
        mine.iter().for_each(|state| column.push(state.as_deref()));
        Ok(Some(column))
    }

    /// States of the version in force in the layout of the new one; `None`: there is no room for it now.
    fn migrated(
        &mut self,
        store: &str,
        (from, to): (u32, u32),
        keys: &BytesColumn,
        states: &BytesColumn,
    ) -> Result<Option<BytesColumn>, String> {
        let why = |fault: &str| format!("a state with key {} cannot be migrated: {fault}", shown(keys.get(0)));
        let Some(by) = self.functions.migrator(self.new_version(), from) else {
            return Err(why(&format!("it is in layout {from}, which the version does not read")));
        };
        match self.ask(0, &mut |functions| functions.migrate(by, store, from, to, keys, states)) {
            Ok(migrated) => Ok(Some(migrated)),
            Err(Nothing::NoRoom) => Ok(None),
            Err(Nothing::Fault(fault)) => Err(why(&fault.to_string())),
        }
    }

    fn fold(&mut self, fold: Fold) -> Result<(), String> {
        let Fold { way, given, groups, states: old_states, values: old_values, rejected: old_rejected } = fold;
        let window = |group: usize| groups.window(group);
        let Some(mine) = self.stand_ins(&groups.keys, &window, &groups.states)? else { return Ok(()) };
        let own = OwnGroups { states: mine, ..groups.clone() };
        let new = self.new_version();
        let answer = self.ask(groups.members.len(), &mut |functions| folded(functions, new, way, &own, &given));
        let Folded { states, values, rejected } = match answer {
            Ok(folded) => folded,
            Err(Nothing::NoRoom) => return Ok(()),
            Err(Nothing::Fault(fault)) => {
                let first = groups.members.first().map_or(0, |member| *member as usize);
                let told = told_of(&self.trials, &given, first);
                return Err(format!("{fault}; on {} records, the first {told}", groups.members.len()));
            }
        };
        self.steady()?;
        for group in 0..groups.keys.len() {
            if let Some(old) = old_states.get(group) {
                let state = states.get(group).map(<[u8]>::to_vec);
                if !self.states.put(groups.keys.get(group), window(group), old, state) {
                    self.trial.follow_fewer();
                }
            }
        }
        let of = |member: usize| groups.members[member] as usize;
        let group_of = |member: usize| groups.offsets.partition_point(|from| *from as usize <= member) - 1;
        let members =
            compare::members(groups.members.len(), (old_values.as_ref(), &old_rejected), (values.as_ref(), &rejected));
        let scans = way == Way::Scan;
        self.note(if scans { groups.members.len() } else { 0 }, members, &|member| {
            let group = group_of(member);
            (shown(groups.keys.get(group)), self.place_of(&given, of(member)), window(group))
        });
        if scans { Ok(()) } else { self.compare_groups(&given, &groups, &old_states, &states) }
    }

    /// Compares what would come out of groups now.
    fn compare_groups(
        &mut self,
        given: &Given,
        groups: &OwnGroups,
        old: &BytesColumn,
        new: &BytesColumn,
    ) -> Result<(), String> {
        let both: Vec<u32> = (0..old.len() as u32)
            .filter(|g| old.get(*g as usize).is_some() && new.get(*g as usize).is_some())
            .collect();
        let (old_of, new_of) = (self.trial.parts.old, self.trial.parts.new);
        let (mut old_out, mut new_out) = (old.gather(&both), new.gather(&both));
        if self.finishes && !both.is_empty() {
            match self.functions.finish(old_of, pick(groups, &both, &old_out).groups()) {
                Ok(out) if out.len() == both.len() => {
                    let own = pick(groups, &both, &new_out);
                    new_out = match self.ask(0, &mut |functions| functions.finish(new_of, own.groups())) {
                        Ok(out) if out.len() == both.len() => out,
                        Ok(out) => return Err(format!("`finish` gave {} values for {} groups", out.len(), both.len())),
                        Err(Nothing::NoRoom) => return Ok(()),
                        Err(Nothing::Fault(fault)) => {
                            return Err(format!("{fault}; in `finish` of the key {}", shown(own.keys.get(0))));
                        }
                    };
                    old_out = out;
                }
                // As in a step that reduces: its states are what comes out.
                _ => self.finishes = false,
            }
        }
        let comparable = self.finishes || self.functions.layout(old_of) == self.functions.layout(new_of);
        let show = |out: Option<&[u8]>| json!({ "value": shown(out) });
        let mut differing = Vec::new();
        for (i, group) in both.iter().enumerate().filter(|_| comparable) {
            if old_out.get(i) != new_out.get(i) {
                let (old, new) = (show(old_out.get(i)), show(new_out.get(i)));
                differing.push(Difference { at: *group as usize, old, new });
            }
        }
        let word = |state: Option<&[u8]>| json!(if state.is_some() { "a state" } else { "no state" });
        for group in (0..old.len()).filter(|g| old.get(*g).is_some() != new.get(*g).is_some()) {
            differing.push(Difference { at: group, old: word(old.get(group)), new: word(new.get(group)) });
        }
        differing.sort_by_key(|difference| difference.at);
        self.note(if comparable { old.len() } else { 0 }, differing, &|group| {
            let last = groups.offsets[group + 1].checked_sub(1).filter(|last| *last >= groups.offsets[group]);
            let place = last.and_then(|last| self.place_of(given, groups.members[last as usize] as usize));
            (shown(groups.keys.get(group)), place, groups.window(group))
        });
        Ok(())
    }

    fn merge(&mut self, sides: &Sides, old: &BytesColumn) -> Result<(), String> {
        let Sides { keys, left, right } = sides;
        let nowhere = |_: usize| None;
        let Some(left) = self.stand_ins(keys, &nowhere, left)? else { return Ok(()) };
        let Some(right) = self.stand_ins(keys, &nowhere, right)? else { return Ok(()) };
        let new = self.new_version();
        let merged = match self.ask(0, &mut |functions| merged(functions, new, keys, &left, &right)) {
            Ok(merged) => merged,
            Err(Nothing::NoRoom) => return Ok(()),
            Err(Nothing::Fault(fault)) => {
                return Err(format!("{fault}; in `merge` of the key {}", shown(keys.get(0))));
            }
        };
        self.steady()?;
        for i in 0..keys.len() {
            if let Some(old) = old.get(i)
                && !self.states.put(keys.get(i), None, old, merged.get(i).map(<[u8]>::to_vec))
            {
                self.trial.follow_fewer();
            }
        }
        Ok(())
    }
}

/// A record in words.
fn told_of(trials: &Trials, given: &Given, i: usize) -> String {
    let key = shown(given.batch.keys.get(i));
    let place = given.place(i).and_then(|(task, input, offset)| trials.place(task, input, offset));
    match place {
        Some(place) => format!("{place} (key {key})"),
        None => format!("with key {key}"),
    }
}

/// An answer to these of the records alone that were taken, in their order.
fn select(output: &Output, rows: &[u32]) -> Output {
    let taken = rows.partition_point(|row| *row < output.taken);
    let rows = &rows[..taken];
    let at = |row: u32| rows.binary_search(&row).ok().map(|at| at as u32);
    let (places, sources): (Vec<u32>, Vec<u32>) = match &output.sources {
        None => rows.iter().enumerate().map(|(at, row)| (*row, at as u32)).unzip(),
        Some(sources) => sources.iter().enumerate().filter_map(|(i, row)| Some((i as u32, at(*row)?))).unzip(),
    };
    let rejected = output.rejected.iter();
    let rejected = rejected.filter_map(|r| Some(Rejection { index: at(r.index)?, reason: r.reason.clone() })).collect();
    Output {
        taken: taken as u32,
        sources: output.sources.as_ref().map(|_| sources),
        ports: output.ports.as_ref().map(|all| places.iter().map(|i| all[*i as usize]).collect()),
        keys: output.keys.as_ref().map(|keys| keys.gather(&places)),
        values: output.values.as_ref().map(|values| values.gather(&places)),
        timestamps: output.timestamps.as_ref().map(|all| places.iter().map(|i| all[*i as usize]).collect()),
        headers: output.headers.as_ref().map(|headers| headers.gather(&places)),
        rejected,
    }
}

/// As [`select`], of the records `from..to`.
fn part_of(output: &Output, from: usize, to: usize) -> Output {
    select(output, &(from as u32..to as u32).collect::<Vec<_>>())
}

fn folded<F: Functions>(
    functions: &mut F,
    new: Prepared,
    way: Way,
    groups: &OwnGroups,
    given: &Given,
) -> Answer<Folded> {
    let (context, into, records) = (given.context(), groups.groups(), given.records());
    let (states, values, rejected) = match way {
        Way::Add => functions.add(new, context, into, records).map(|f| (f.states, None, f.rejected)),
        Way::Remove => functions.remove(new, context, into, records).map(|f| (f.states, None, f.rejected)),
        Way::Scan => functions.scan(new, context, into, records).map(|s| (s.states, Some(s.values), s.rejected)),
    }?;
    as_many("states", states.len(), groups.keys.len())?;
    if let Some(values) = &values {
        as_many("values", values.len(), groups.members.len())?;
    }
    check_rejections(&rejected, "member", groups.members.len())?;
    Ok(Folded { states, values, rejected })
}

fn merged<F: Functions>(
    functions: &mut F,
    new: Prepared,
    keys: &BytesColumn,
    left: &BytesColumn,
    right: &BytesColumn,
) -> Answer<BytesColumn> {
    let merged = functions.merge(new, keys, left, right)?;
    as_many("states", merged.len(), keys.len()).map(|()| merged)
}

fn as_many(what: &str, have: usize, want: usize) -> Answer<()> {
    if have == want {
        return Ok(());
    }
    Err(Fault::BadResult { what: format!("it gives {have} {what} for {want}") })
}

/// Some groups without members, with these states.
fn pick(groups: &OwnGroups, chosen: &[u32], states: &BytesColumn) -> OwnGroups {
    let times = |all: &[i64]| -> Vec<i64> {
        if all.is_empty() { Vec::new() } else { chosen.iter().map(|g| all[*g as usize]).collect() }
    };
    OwnGroups {
        keys: groups.keys.gather(chosen),
        starts: times(&groups.starts),
        ends: times(&groups.ends),
        states: states.clone(),
        offsets: vec![0; chosen.len() + 1],
        members: Vec::new(),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
