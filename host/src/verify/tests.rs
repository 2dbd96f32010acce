//! Native functions that keep the pledge or break it, each in one way.

use millstream_core::function::{
    Answer, Context, Fault, Folded, Functions, Groups, Hosted, Interface, Joined, Kept, Output, Prepared, Records,
    Routed, Scanned, TimerClock,
};
use millstream_core::record::{Batch, BatchBuilder, BytesColumn};

use super::{Report, verify};

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
    /// An aggregator whose states hold how often it was called.
    CountsCalls,
    /// An aggregator whose merge forgets the left side.
    MergesBadly,
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
        interface == self.kind || self.kind == Interface::Aggregator && interface == Interface::Merger
    }
    fn layout(&self, _: Prepared) -> u32 {
        0
    }
    fn renew(&mut self, _: Prepared) {
        self.calls = 0;
    }
    fn stretch(&mut self, _: Prepared, _: u32) {}
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
        Ok(Folded { states: states.iter().map(|s| Some(&s[..])).collect(), rejected: vec![] })
    }
    fn finish(&mut self, _: Prepared, of: Groups<'_>) -> Answer<BytesColumn> {
        Ok(of.states.clone())
    }
    fn remove(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<Folded> {
        Err(Fault::Unavailable { message: "not here".into() })
    }
    fn scan(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<Scanned> {
        Err(Fault::Unavailable { message: "not here".into() })
    }
    fn merge(&mut self, _: Prepared, _: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Answer<BytesColumn> {
        let number = |column: &BytesColumn, i: usize| u64::from_be_bytes(column.get(i).unwrap().try_into().unwrap());
        let left_of = |i: usize| if self.habit == Habit::MergesBadly { 0 } else { number(left, i) };
        let sums: Vec<[u8; 8]> = (0..left.len()).map(|i| (left_of(i) + number(right, i)).to_be_bytes()).collect();
        Ok(sums.iter().map(|s| Some(&s[..])).collect())
    }
    fn route(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>) -> Answer<Routed> {
        Err(Fault::Unavailable { message: "not here".into() })
    }
    fn join(&mut self, _: Prepared, _: &BytesColumn, _: &BytesColumn, _: &BytesColumn) -> Answer<Joined> {
        Err(Fault::Unavailable { message: "not here".into() })
    }
    fn migrate(
        &mut self,
        _: Prepared,
        _: &str,
        _: u32,
        _: u32,
        _: &BytesColumn,
        _: &BytesColumn,
    ) -> Answer<BytesColumn> {
        Err(Fault::Unavailable { message: "not here".into() })
    }
    fn process(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>, _: &mut dyn Hosted) -> Answer<Output> {
        Err(Fault::Unavailable { message: "no processor is tried".into() })
    }
    fn fire(&mut self, _: Prepared, _: TimerClock, _: Records<'_>, _: &mut dyn Hosted) -> Answer<Output> {
        Err(Fault::Unavailable { message: "no processor is tried".into() })
    }
}

fn records() -> Batch {
    let mut out = BatchBuilder::default();
    for i in 0..3_000i64 {
        let key = format!("k{}", i % 11);
        out.push((i % 50 != 0).then_some(key.as_bytes()), Some(i.to_string().as_bytes()), i, []);
    }
    out.finish()
}

fn tried(habit: Habit, kind: Interface) -> Report {
    verify(&mut Native { habit, kind, calls: 0 }, Prepared(0), &records(), 1)
}

/// How the records were given where something differed.
fn differing(report: &Report) -> Vec<&str> {
    report.trials.iter().filter(|t| t.differing > 0).map(|t| t.how.as_str()).collect()
}

#[test]
fn functions_that_keep_the_pledge_pass_every_trial() {
    for kind in [Interface::Filter, Interface::Mapper, Interface::Aggregator] {
        let report = tried(Habit::Good, kind);
        assert!(report.passed() && report.trials.len() >= 7, "{report:?}");
    }
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
