//! Cases of collecting: what is needed, what is in force, which of two entries comes first.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::super::{Change, Entry, FunctionControl, Outcome};
use super::*;

const DAY: i64 = 24 * 3_600_000;

/// A log that is written entry by entry, each at a time.
#[derive(Default)]
struct Log {
    control: Control,
}

impl Log {
    fn push(&mut self, time: i64, entry: &Entry) -> Applied {
        self.control.apply(self.control.last() + 1, time, entry).expect("positions grow")
    }

    /// Offers a version of `f`, given as `DIGEST@PLACE`, with its layout.
    fn offer(&mut self, time: i64, version: &str, layout: u32) -> u64 {
        let builds_on = self.control.function("f").and_then(FunctionControl::in_force).map_or(0, |a| a.epoch);
        let (digest, place) = version.split_once('@').unwrap_or((version, "1"));
        let version = Version { digest: digest.into(), place: place.into(), layout, ..Version::default() };
        let changes = vec![Change { function: "f".into(), version, builds_on }];
        let id = (self.control.last() + 1).to_string();
        let _opened = self.push(time, &Entry::Propose(Proposal { id, changes, probation: None }));
        self.control.last()
    }

    fn deploy(&mut self, time: i64, version: &str) {
        let proposal = self.offer(time, version, 0);
        let applied = self.push(time, &Entry::Activate { proposal });
        assert!(matches!(applied, Applied::Activated(_)), "{version}: {applied:?}");
    }

    fn collect(&mut self, time: i64, digest: &str) -> Applied {
        self.push(time, &Entry::Collect { digest: digest.into(), keep_ms: 7 * DAY, host: "h".into() })
    }

    /// Digests that may be collected.
    fn due(&self, now: i64) -> Vec<&str> {
        self.control.collectable(now, 7 * DAY).map(|(digest, _)| digest).collect()
    }

    fn is_collected(&self, number: u64) -> bool {
        let all = &self.control.function("f").unwrap().activations;
        all.iter().find(|a| a.number == number).unwrap().collected.is_some()
    }
}

#[track_caller]
fn is_void(applied: &Applied, part: &str) {
    assert!(matches!(applied, Applied::Void(why) if why.contains(part)), "{applied:?}, not {part}");
}

#[test]
fn what_is_neither_in_force_nor_before_is_collected_after_its_time() {
    let mut log = Log::default();
    log.deploy(0, "a");
    log.deploy(DAY, "b");
    is_void(&log.collect(100 * DAY, "a"), "it is needed");
    is_void(&log.collect(100 * DAY, "b"), "it is needed");
    log.deploy(101 * DAY, "c");
    assert!(log.due(108 * DAY - 1).is_empty());
    is_void(&log.collect(108 * DAY - 1, "a"), "should be kept");
    assert_eq!(log.due(108 * DAY), ["a"], "a week after it was last the one before");
    let places = BTreeSet::from(["1".to_string()]);
    assert_eq!(log.collect(108 * DAY, "a"), Applied::Collected { digest: "a".into(), places });
    assert_eq!([1, 2, 3].map(|number| log.is_collected(number)), [true, false, false]);
    // Of two hosts that collect at once one is first.
    is_void(&log.collect(108 * DAY, "a"), "collected before");
    is_void(&log.collect(108 * DAY, "never"), "nothing of it is kept");
}

#[test]
fn what_is_offered_is_needed_and_what_came_to_nothing_is_not() {
    let mut log = Log::default();
    log.deploy(0, "a");
    let proposal = log.offer(0, "b", 0);
    is_void(&log.collect(100 * DAY, "b"), "it is needed");
    log.push(100 * DAY, &Entry::Void { proposal, reason: "it traps".into() });
    is_void(&log.collect(106 * DAY, "b"), "should be kept");
    assert!(matches!(log.collect(107 * DAY, "b"), Applied::Collected { .. }));
}

#[test]
fn of_each_layout_the_newest_stays() {
    let mut log = Log::default();
    for (version, layout) in [("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 1)] {
        let proposal = log.offer(0, version, layout);
        log.push(0, &Entry::Activate { proposal });
    }
    assert_eq!(log.due(7 * DAY), ["a", "c"], "b is the newest that wrote layout 0");
    is_void(&log.collect(7 * DAY, "b"), "it is needed");
}

#[test]
fn the_same_bytes_that_are_deployed_again_are_there() {
    let mut log = Log::default();
    ["a@1", "b", "c"].iter().for_each(|version| log.deploy(0, version));
    // The proposal first: the component is needed.
    let proposal = log.offer(7 * DAY, "a@2", 0);
    is_void(&log.collect(7 * DAY, "a"), "it is needed");
    log.push(7 * DAY, &Entry::Void { proposal, reason: "no".into() });
    // The component first: the proposal names another place, which stays.
    let applied = log.collect(14 * DAY, "a");
    assert!(matches!(&applied, Applied::Collected { places, .. } if places.len() == 2), "{applied:?}");
    log.deploy(14 * DAY, "a@3");
    assert_eq!([1, 4].map(|number| log.is_collected(number)), [true, false]);
    is_void(&log.collect(100 * DAY, "a"), "it is needed");
}

#[test]
fn nobody_goes_back_to_what_was_collected() {
    let mut log = Log::default();
    ["a", "b", "c"].iter().for_each(|version| log.deploy(0, version));
    assert!(matches!(log.collect(7 * DAY, "a"), Applied::Collected { .. }));
    let late = log.offer(7 * DAY, "a@1", 0);
    assert!(
        matches!(log.control.outcome(&late.to_string()), Some(Outcome::Hindered(why)) if why.contains("deploy its file again"))
    );
    is_void(&log.push(7 * DAY, &Entry::Activate { proposal: late }), "not open");
    assert!(log.control.collectable(100 * DAY, 0).all(|(digest, _)| digest != "a"), "it is not put away again by that");
    // c fails, and b, deployed once more, has a alone before it.
    let epoch = |log: &Log| log.control.function("f").unwrap().in_force().unwrap().epoch;
    let fails = |epoch| Entry::Revert { function: "f".into(), epoch, host: "h".into(), reason: "it traps".into() };
    let entry = fails(epoch(&log));
    assert!(matches!(log.push(8 * DAY, &entry), Applied::Activated(_)));
    log.deploy(9 * DAY, "b");
    let held = log.control.function("f").unwrap();
    assert_eq!(held.before(held.in_force().unwrap()).unwrap().version.digest, "a");
    let entry = fails(epoch(&log));
    is_void(&log.push(9 * DAY, &entry), "no version to go back to");
}

#[test]
fn a_component_of_two_functions_is_needed_as_long_as_one_has_it() {
    let mut log = Log::default();
    log.deploy(0, "a");
    let version = Version { digest: "a".into(), place: "2".into(), ..Version::default() };
    let changes = vec![Change { function: "g".into(), version, builds_on: 0 }];
    log.push(0, &Entry::Propose(Proposal { id: "g".into(), changes, probation: None }));
    let proposal = log.control.last();
    log.push(0, &Entry::Activate { proposal });
    ["b", "c"].iter().for_each(|version| log.deploy(0, version));
    is_void(&log.collect(100 * DAY, "a"), "it is needed");
}
