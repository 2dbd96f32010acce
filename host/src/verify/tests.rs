//! Native functions that keep the pledge or break it, each in one way.

use millstream_core::function::{
    Answer, Context, Fault, Folded, Functions, Groups, Hosted, Interface, Joined, Kept, Output, Prepared, Records,
    Rejection, Routed, Scanned, TimerClock,
};
use millstream_core::record::{Batch, BatchBuilder, BytesColumn};

use super::{Input, Report, Ways, verify};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    Good,
    /// A filter that keeps every seventh record it is shown.
    Counts,
    /// A filter that goes by the length of the call.
    SeesCuts,
    /// A filter that goes by the record before.
    SeesNeighbours,
    /// A filter that traps on one record.
    Traps,
    /// A mapper that gives keys only in calls in which it changes one.
    SaysOnlyChanges,
    /// An aggregator whose states hold how often it was called.
    CountsCalls,
    /// An aggregator whose merge forgets the left side.
    MergesBadly,
    /// A retractor that takes out one too many of a call.
    RemovesBadly,
    /// A retractor that takes nothing out and says so.
    RefusesToRemove,
    /// A migrator that turns what it is given first in a call otherwise.
    MigratesFirst,
    /// An aggregator that keeps no state of one key, and a retractor that expects one of each.
    HasNoState,
}

struct Native {
    habit: Habit,
    kind: Interface,
    calls: u64,
}

impl Functions for Native {
    fn wants_stream_times(&self, _: Prepared) -> bool {
        false
    }
    fn exports(&self, _: Prepared, interface: Interface) -> bool {
        let beside = [Interface::Merger, Interface::Retractor, Interface::Migrator];
        interface == self.kind || self.kind == Interface::Aggregator && beside.contains(&interface)
    }
    fn layout(&self, _: Prepared) -> u32 {
        0
    }
    fn renew(&mut self, _: Prepared) {
        self.calls = 0;
    }
    fn stretch(&mut self, _: Prepared, _: u32) {}
    fn stretched(&self, _: Prepared) -> u32 {
        1
    }
    fn keep(&mut self, _: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Kept> {
        let len = records.timestamps.len();
        if self.habit == Habit::Traps && records.timestamps.contains(&77) {
            return Err(Fault::Trap { message: "unreachable".into() });
        }
        let mut bits = vec![0u8; len.div_ceil(8)];
        for i in 0..len {
            self.calls += 1;
            let keep = match self.habit {
                Habit::Counts => self.calls.is_multiple_of(7),
                Habit::SeesCuts => len > 100,
                Habit::SeesNeighbours => i > 0 && records.timestamps[i - 1] % 2 == 0,
                _ => records.timestamps[i] % 3 == 0,
            };
            bits[i / 8] |= u8::from(keep) << (i % 8);
        }
        Ok(Kept { bits, rejected: vec![] })
    }
    fn apply(&mut self, _: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Output> {
        if self.habit == Habit::SaysOnlyChanges {
            let changes = |time: &i64| time % 5 == 0;
            let mut keys = BytesColumn::default();
            for (i, time) in records.timestamps.iter().enumerate() {
                keys.push(if changes(time) { Some(b"changed") } else { records.keys.get(i) });
            }
            let taken = records.timestamps.len() as u32;
            let keys = records.timestamps.iter().any(changes).then_some(keys);
            return Ok(Output { taken, keys, ..Output::default() });
        }
        Ok(Output { taken: (records.timestamps.len() as u32).min(10), ..Output::default() })
    }
    fn add(&mut self, _: Prepared, _: Context<'_>, into: Groups<'_>, _: Records<'_>) -> Answer<Folded> {
        self.calls += 1;
        let state = |g: usize| {
            let members = u64::from(into.offsets[g + 1] - into.offsets[g]);
            let before = into.states.get(g).map_or(0, |s| u64::from_be_bytes(s.try_into().unwrap()));
            before + if self.habit == Habit::CountsCalls { self.calls } else { members }
        };
        let states: Vec<[u8; 8]> = (0..into.keys.len()).map(|g| state(g).to_be_bytes()).collect();
        let is_there = |g: usize| self.habit != Habit::HasNoState || into.keys.get(g) != Some(b"k3");
        let states = states.iter().enumerate().map(|(g, s)| is_there(g).then_some(&s[..])).collect();
        Ok(Folded { states, rejected: vec![] })
    }
    fn finish(&mut self, _: Prepared, of: Groups<'_>) -> Answer<BytesColumn> {
        Ok(of.states.clone())
    }
    fn remove(&mut self, _: Prepared, _: Context<'_>, from: Groups<'_>, _: Records<'_>) -> Answer<Folded> {
        if self.habit == Habit::RefusesToRemove {
            let refused = |index| Rejection { index, reason: "no".into() };
            let rejected = (0..from.members.len() as u32).map(refused).collect();
            return Ok(Folded { states: from.states.clone(), rejected });
        }
        let state = |g: usize| {
            let members = u64::from(from.offsets[g + 1] - from.offsets[g]);
            let before = u64::from_be_bytes(from.states.get(g).unwrap().try_into().unwrap());
            before.saturating_sub(members + u64::from(self.habit == Habit::RemovesBadly))
        };
        let states: Vec<[u8; 8]> = (0..from.keys.len()).map(|g| state(g).to_be_bytes()).collect();
        Ok(Folded { states: states.iter().map(|s| Some(&s[..])).collect(), rejected: vec![] })
    }
    /// Numbers each key's records; with hidden state all keys' together.
    fn scan(&mut self, _: Prepared, _: Context<'_>, into: Groups<'_>, records: Records<'_>) -> Answer<Scanned> {
        let (mut states, mut values, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for g in 0..into.keys.len() {
            let mut count = into.states.get(g).map_or(0, |s| u64::from_be_bytes(s.try_into().unwrap()));
            for place in into.offsets[g]..into.offsets[g + 1] {
                self.calls += 1;
                count += 1;
                let number = if self.habit == Habit::Counts { self.calls } else { count };
                values.push(number.to_be_bytes());
                if records.timestamps[into.members[place as usize] as usize] == 77 {
                    rejected.push(Rejection { index: place, reason: "it is 77".into() });
                }
            }
            states.push(count.to_be_bytes());
        }
        let column = |all: Vec<[u8; 8]>| all.iter().map(|s| Some(&s[..])).collect::<BytesColumn>();
        Ok(Scanned { states: column(states), values: column(values), rejected })
    }
    fn merge(&mut self, _: Prepared, _: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Answer<BytesColumn> {
        let number = |column: &BytesColumn, i: usize| u64::from_be_bytes(column.get(i).unwrap().try_into().unwrap());
        let left_of = |i: usize| if self.habit == Habit::MergesBadly { 0 } else { number(left, i) };
        let sums: Vec<[u8; 8]> = (0..left.len()).map(|i| (left_of(i) + number(right, i)).to_be_bytes()).collect();
        Ok(sums.iter().map(|s| Some(&s[..])).collect())
    }
    fn route(&mut self, _: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Routed> {
        let len = records.timestamps.len();
        let topics = (0..len).map(|i| (records.timestamps[i] % 2 == 0).then_some(&b"even"[..])).collect();
        self.calls += 1;
        let extra = if self.habit == Habit::Counts { self.calls as u32 } else { 0 };
        let partitions = Some(records.timestamps.iter().map(|t| (*t % 3) as u32 + extra).collect());
        Ok(Routed { topics, partitions, rejected: vec![] })
    }
    /// Both sides as they are; a pair without a right side is refused.
    fn join(&mut self, _: Prepared, keys: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Answer<Joined> {
        let (mut values, mut rejected) = (Vec::new(), Vec::new());
        for i in 0..keys.len() {
            let number =
                |side: &BytesColumn| side.get(i).and_then(|v| std::str::from_utf8(v).ok()?.parse::<u64>().ok());
            if let (Some(l), Some(r)) = (number(left), number(right)) {
                assert_eq!(l % 11, r % 11, "a pair has one key");
            }
            let sees = if self.habit == Habit::SeesCuts { keys.len().to_string() } else { String::new() };
            values.push(
                [left.get(i).unwrap_or_default(), b"+", right.get(i).unwrap_or_default(), sees.as_bytes()].concat(),
            );
            if right.is_null(i) {
                rejected.push(Rejection { index: i as u32, reason: "alone".into() });
            }
        }
        Ok(Joined { values: values.iter().map(|value| Some(&value[..])).collect(), rejected })
    }
    fn migrate(
        &mut self,
        _: Prepared,
        _: &str,
        from: u32,
        to: u32,
        _: &BytesColumn,
        states: &BytesColumn,
    ) -> Answer<BytesColumn> {
        assert!([(0, 2), (2, 0)].contains(&(from, to)), "from {from} to {to}");
        let one = |i: usize| {
            let extra = if self.habit == Habit::MigratesFirst && i == 0 { "!" } else { "" };
            states.get(i).map(|state| [state, extra.as_bytes()].concat())
        };
        let all: Vec<_> = (0..states.len()).map(one).collect();
        Ok(all.iter().map(|state| state.as_deref()).collect())
    }
    fn process(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>, _: &mut dyn Hosted) -> Answer<Output> {
        Err(Fault::Unavailable { message: "no processor is tried".into() })
    }
    fn fire(&mut self, _: Prepared, _: TimerClock, _: Records<'_>, _: &mut dyn Hosted) -> Answer<Output> {
        Err(Fault::Unavailable { message: "no processor is tried".into() })
    }
}

/// Of layout 0 alone states are turned there and back.
const WAYS: Ways<'_> = Ways { current: 2, reads: &[0, 1], writes: &[0] };

fn records() -> Batch {
    let mut out = BatchBuilder::default();
    for i in 0..3_000i64 {
        let key = format!("k{}", i % 11);
        out.push((i % 50 != 0).then_some(key.as_bytes()), Some(i.to_string().as_bytes()), i, []);
    }
    out.finish()
}

fn tried(habit: Habit, kind: Interface) -> Report {
    let input = Input { records: &records(), right: None, seed: 1, ways: WAYS };
    verify(&mut Native { habit, kind, calls: 0 }, Prepared(0), input)
}

/// How the records were given where something differed.
fn differing(report: &Report) -> Vec<&str> {
    report.trials.iter().filter(|t| t.differing > 0).map(|t| t.how.as_str()).collect()
}

#[test]
fn functions_that_keep_the_pledge_pass_every_trial() {
    let single = [Interface::Filter, Interface::Mapper, Interface::Router, Interface::Joiner];
    for kind in single.into_iter().chain([Interface::Aggregator, Interface::Scanner]) {
        let report = tried(Habit::Good, kind);
        assert!(report.passed() && report.trials.len() >= 6, "{report:?}");
    }
    // Which columns an answer has may depend on the call, what comes of a record may not.
    let report = tried(Habit::SaysOnlyChanges, Interface::Mapper);
    assert!(report.passed(), "{report:?}");
    let told = tried(Habit::Good, Interface::Aggregator);
    assert_eq!(told.trials.iter().filter(|trial| trial.kind == "retractor").count(), 2);
    let ways: Vec<&str> = told.trials.iter().filter(|t| t.kind == "migrator").map(|t| &t.how[..6]).collect();
    assert_eq!(ways, ["2 to 0", "2 to 0", "2 to 0", "0 to 2", "0 to 2", "0 to 2"]);
}

#[test]
fn migrators_that_see_cuts_are_found() {
    let report = tried(Habit::MigratesFirst, Interface::Aggregator);
    assert_eq!(differing(&report), ["2 to 0, one state a call", "0 to 2, one state a call"], "{report:?}");
}

#[test]
fn hidden_state_is_found_on_the_same_instance() {
    assert!(differing(&tried(Habit::Counts, Interface::Filter)).contains(&"again, by the same instance"));
}

#[test]
fn results_that_depend_on_cuts_are_found() {
    let report = tried(Habit::SeesCuts, Interface::Filter);
    assert_eq!(differing(&report)[0], "one record a call", "{report:?}");
    assert!(!differing(&report).contains(&"again, by a fresh instance"));
}

#[test]
fn results_that_depend_on_other_records_are_found() {
    assert!(differing(&tried(Habit::SeesNeighbours, Interface::Filter)).contains(&"in another order"));
}

#[test]
fn a_record_that_fails_by_itself_is_told_and_is_no_difference() {
    let report = tried(Habit::Traps, Interface::Filter);
    assert!(report.passed(), "{report:?}");
    assert_eq!(report.failing, [(77, "trapped: unreachable".to_string())]);
}

#[test]
fn aggregators_with_hidden_state_or_a_wrong_merge_are_found() {
    assert!(differing(&tried(Habit::CountsCalls, Interface::Aggregator)).contains(&"one record a call"));
    let report = tried(Habit::MergesBadly, Interface::Aggregator);
    assert_eq!(differing(&report).len(), 1, "{report:?}");
    assert!(differing(&report)[0].starts_with("merged at record"));
}

#[test]
fn retractors_that_leave_something_behind_are_found_and_those_that_refuse_are_not() {
    let report = tried(Habit::RemovesBadly, Interface::Aggregator);
    let kinds: Vec<_> = report.trials.iter().filter(|t| t.differing > 0).map(|t| (t.kind, &t.how[..8])).collect();
    assert_eq!(kinds, [("retractor", "one reco"), ("retractor", "taken ou")], "{report:?}");
    for habit in [Habit::RefusesToRemove, Habit::HasNoState] {
        let report = tried(habit, Interface::Aggregator);
        assert!(report.passed(), "{report:?}");
    }
}

#[test]
fn scanners_and_routers_with_hidden_state_are_found() {
    for kind in [Interface::Scanner, Interface::Router] {
        let report = tried(Habit::Counts, kind);
        assert!(differing(&report).contains(&"again, by the same instance"), "{report:?}");
    }
}

#[test]
fn joiners_that_see_cuts_are_found_and_pairs_are_of_one_key() {
    assert!(differing(&tried(Habit::SeesCuts, Interface::Joiner)).contains(&"one record a call"));
    let mut right = BatchBuilder::default();
    right.push(Some(b"k1"), Some(b"price"), 0, []);
    let input = Input { records: &records(), right: Some(&right.finish()), seed: 1, ways: WAYS };
    let mut functions = Native { habit: Habit::Counts, kind: Interface::Joiner, calls: 0 };
    let report = verify(&mut functions, Prepared(0), input);
    assert!(report.passed(), "{report:?}");
}
