//! Cases of the fold over the control log.

use super::*;

fn change(function: &str, digest: &str, builds_on: u64) -> Change {
    let version = Version { digest: digest.into(), ..Version::default() };
    Change { function: function.into(), version, builds_on }
}

fn propose(digest: &str, builds_on: u64) -> Entry {
    Entry::Propose(Proposal {
        id: digest.into(),
        changes: alloc::vec![change("f", digest, builds_on)],
        probation: None,
    })
}

fn ready(proposal: u64, host: &str) -> Entry {
    Entry::Ready { proposal, host: host.into() }
}

fn set(hosts: &[&str]) -> BTreeSet<String> {
    hosts.iter().map(ToString::to_string).collect()
}

/// What `host` should do about a proposal when these are live.
fn next(control: &Control, proposal: u64, host: &str, live: &[&str], waited_ms: i64) -> Option<Step> {
    let live = set(live);
    control.next(proposal, &Look { host, live: Some(&live), waited_ms })
}

#[test]
fn one_of_two_deploys_wins() {
    let mut control = Control::default();
    assert_eq!(control.apply(1, 0, &propose("a", 0)), Ok(Applied::Opened));
    assert!(matches!(control.apply(2, 0, &propose("b", 0)), Ok(Applied::Void(_))), "one is open already");
    let Ok(Applied::Activated(first)) = control.apply(3, 0, &Entry::Activate { proposal: 1 }) else { panic!() };
    let (function, first) = first.into_iter().next().unwrap();
    assert_eq!((function.as_str(), first.number, first.epoch, first.version.digest.as_str()), ("f", 1, 3, "a"));
    assert!(matches!(control.apply(4, 0, &propose("c", 0)), Ok(Applied::Void(_))), "it builds on an old epoch");
    assert!(matches!(control.apply(5, 0, &Entry::Activate { proposal: 4 }), Ok(Applied::Void(_))));
    assert_eq!(control.apply(6, 0, &propose("d", 3)), Ok(Applied::Opened));
    assert_eq!(control.apply(7, 0, &Entry::Void { proposal: 6, reason: "it traps".into() }), Ok(Applied::Closed));
    assert!(matches!(control.apply(8, 0, &Entry::Activate { proposal: 6 }), Ok(Applied::Void(_))), "void stays void");
    let f = control.function("f").unwrap();
    assert_eq!((f.in_force().unwrap().epoch, f.open(), f.voided.len()), (3, None, 3));
    assert_eq!(control.outcome("d"), Some(&Outcome::Void("it traps".into())));
    assert!(matches!(control.outcome("a"), Some(Outcome::Activated(all)) if all.len() == 1));
    assert!(matches!(control.outcome("b"), Some(Outcome::Hindered(why)) if why.contains("another deploy")));
    assert!(matches!(control.outcome("c"), Some(Outcome::Hindered(why)) if why.contains("epoch 3 is in force")));
    assert_eq!(control.outcome("e"), None);
}

#[test]
fn functions_come_into_force_together_or_not_at_all() {
    let mut control = Control::default();
    let both = |id: &str, f, g| {
        Entry::Propose(Proposal {
            id: id.into(),
            changes: alloc::vec![change("f", id, f), change("g", id, g)],
            probation: None,
        })
    };
    control.apply(1, 0, &propose("a", 0)).unwrap();
    let Ok(Applied::Void(why)) = control.apply(2, 0, &both("b", 0, 0)) else { panic!() };
    assert!(why.contains("another deploy of `f`"), "{why}");
    assert_eq!(control.function("g").unwrap().open(), None, "nothing of it is open");
    control.apply(3, 0, &Entry::Activate { proposal: 1 }).unwrap();
    assert!(matches!(control.apply(4, 0, &both("c", 3, 9)), Ok(Applied::Void(_))));
    assert_eq!(control.apply(5, 0, &both("d", 3, 0)), Ok(Applied::Opened));
    let Ok(Applied::Activated(all)) = control.apply(9, 0, &Entry::Activate { proposal: 5 }) else { panic!() };
    let told: Vec<_> = all.iter().map(|(name, a)| (name.as_str(), a.number, a.epoch)).collect();
    assert_eq!(told, [("f", 2, 9), ("g", 1, 9)]);
    let twice =
        Proposal { id: "e".into(), changes: alloc::vec![change("f", "e", 9), change("f", "e", 9)], probation: None };
    assert!(matches!(control.apply(10, 0, &Entry::Propose(twice)), Ok(Applied::Void(_))));
    assert!(matches!(control.apply(11, 0, &Entry::Propose(Proposal::default())), Ok(Applied::Void(_))));
}

#[test]
fn entries_come_in_order_or_not_at_all() {
    let mut control = Control::default();
    control.apply(4, 0, &propose("a", 0)).unwrap();
    for at in [0, 3, 4] {
        assert_eq!(control.apply(at, 0, &propose("b", 0)), Err(4));
    }
    assert_eq!((control.last(), control.open().count()), (4, 1));
}

#[test]
fn an_entry_that_comes_twice_counts_once() {
    let mut control = Control::default();
    control.apply(1, 0, &propose("a", 0)).unwrap();
    control.apply(2, 0, &Entry::Activate { proposal: 1 }).unwrap();
    assert!(matches!(control.apply(3, 0, &Entry::Activate { proposal: 1 }), Ok(Applied::Void(_))));
    assert!(matches!(control.apply(4, 0, &propose("a", 0)), Ok(Applied::Void(_))));
    let f = control.function("f").unwrap();
    assert_eq!((f.activations.len(), f.voided.len()), (1, 0), "the same again is nothing that came to nothing");
    assert!(matches!(control.outcome("a"), Some(Outcome::Activated(_))));
}

#[test]
fn all_live_hosts_prepare_it_before_it_is_in_force() {
    let mut control = Control::default();
    control.apply(1, 0, &propose("a", 0)).unwrap();
    assert_eq!(next(&control, 1, "x", &["x", "y"], 0), Some(Step::Prepare));
    control.apply(2, 0, &ready(1, "x")).unwrap();
    assert_eq!(next(&control, 1, "x", &["x", "y"], 0), None, "y has not answered");
    assert_eq!(next(&control, 1, "y", &["x", "y"], 0), Some(Step::Prepare));
    let activate = Some(Step::Append(Entry::Activate { proposal: 1 }));
    assert_eq!(next(&control, 1, "x", &["x"], 0), activate, "y is gone");
    assert_eq!(next(&control, 1, "y", &["x"], 0), activate, "y lives and is not counted in: it prepares it later");
    assert_eq!(next(&control, 1, "x", &[], 0), None, "a group without members is not one of now");
    control.apply(3, 0, &ready(1, "y")).unwrap();
    assert_eq!(next(&control, 1, "x", &["x", "y"], 0), activate);
    assert_eq!(control.next(1, &Look { host: "x", live: None, waited_ms: 0 }), None, "who lives is not known");
    assert_eq!(control.next(1, &Look { host: "z", live: None, waited_ms: 0 }), Some(Step::Prepare));
    let waited_ms = PREPARE_MS_MAX + 1;
    let Some(Step::Append(Entry::Void { reason, .. })) = control.next(1, &Look { host: "x", live: None, waited_ms })
    else {
        panic!()
    };
    assert!(reason.contains("which hosts are there"), "{reason}");
}

#[test]
fn one_refusal_or_silence_gives_it_up() {
    let mut control = Control::default();
    control.apply(1, 0, &propose("a", 0)).unwrap();
    control.apply(2, 0, &ready(1, "x")).unwrap();
    let Some(Step::Append(Entry::Void { proposal: 1, reason })) =
        next(&control, 1, "x", &["x", "y", "z"], PREPARE_MS_MAX + 1)
    else {
        panic!()
    };
    assert_eq!(reason, "not all hosts have prepared it within 120 s: y, z");
    assert_eq!(next(&control, 1, "x", &["x", "y"], PREPARE_MS_MAX), None);
    let refused = Entry::Refused { proposal: 1, host: "y".into(), reason: "no room".into() };
    assert_eq!(control.apply(3, 0, &refused), Ok(Applied::Answered));
    for live in [&["x", "y"][..], &["x"]] {
        let Some(Step::Append(Entry::Void { reason, .. })) = next(&control, 1, "x", live, 0) else { panic!() };
        assert_eq!(reason, "host y refused it: no room");
    }
    control.apply(4, 0, &ready(1, "y")).unwrap();
    assert!(matches!(next(&control, 1, "x", &["x", "y"], 0), Some(Step::Append(Entry::Activate { .. }))));
    control.apply(5, 0, &Entry::Void { proposal: 1, reason }).unwrap();
    assert_eq!(next(&control, 1, "x", &["x", "y"], 0), None, "it is decided");
    assert!(matches!(control.apply(6, 0, &ready(1, "x")), Ok(Applied::Void(_))));
}

#[test]
fn an_activation_behind_a_refusal_does_nothing() {
    let mut control = Control::default();
    control.apply(1, 0, &propose("a", 0)).unwrap();
    control.apply(2, 0, &ready(1, "x")).unwrap();
    // `y` came up just now: `x` does not wait for it, and has not read what it says.
    control.apply(3, 0, &Entry::Refused { proposal: 1, host: "y".into(), reason: "no room".into() }).unwrap();
    let activate = Entry::Activate { proposal: 1 };
    assert_eq!(control.apply(4, 0, &activate), Ok(Applied::Void("host y refused it: no room".into())));
    assert!(matches!(control.outcome("a"), Some(Outcome::Open(1))), "what comes next decides it");
    assert!(matches!(next(&control, 1, "x", &["x"], 0), Some(Step::Append(Entry::Void { .. }))));
    control.apply(5, 0, &ready(1, "y")).unwrap();
    assert!(matches!(control.apply(6, 0, &activate), Ok(Applied::Activated(_))), "it thought better of it");
}

#[test]
fn what_one_host_did_not_take_is_told_and_in_nobodys_way() {
    let mut control = Control::default();
    let version = Version { digest: "bad".into(), ..Version::default() };
    let rejected = Entry::Rejected { function: "f".into(), version, reason: "no component".into() };
    assert_eq!(control.apply(1, 0, &rejected), Ok(Applied::Closed));
    assert_eq!(control.apply(2, 0, &propose("a", 0)), Ok(Applied::Opened));
    assert_eq!(control.function("f").unwrap().voided[0].reason, "no component");
}

fn activated(control: &mut Control, at: u64, digest: &str, builds_on: u64) -> u64 {
    // The same version may be offered again, by another proposal.
    let id = alloc::format!("{digest}-{at}");
    let offered =
        Entry::Propose(Proposal { id, changes: alloc::vec![change("f", digest, builds_on)], probation: None });
    assert_eq!(control.apply(at, 0, &offered), Ok(Applied::Opened));
    let Ok(Applied::Activated(_)) = control.apply(at + 1, 0, &Entry::Activate { proposal: at }) else {
        panic!("{digest}")
    };
    at + 1
}

fn revert(epoch: u64) -> Entry {
    Entry::Revert { function: "f".into(), epoch, host: "x".into(), reason: "it traps".into() }
}

#[test]
fn a_version_that_fails_is_gone_back_from_once() {
    let mut control = Control::default();
    let first = activated(&mut control, 1, "a", 0);
    assert!(matches!(control.apply(3, 0, &revert(first)), Ok(Applied::Void(_))), "there is none before");
    let second = activated(&mut control, 4, "b", first);
    assert!(matches!(control.apply(6, 0, &revert(first)), Ok(Applied::Void(_))), "it is not in force");
    let Ok(Applied::Activated(all)) = control.apply(7, 0, &revert(second)) else { panic!() };
    let (_, back) = &all[0];
    assert_eq!((back.number, back.epoch, back.version.digest.as_str(), back.back_from), (3, 7, "a", Some(2)));
    assert!(matches!(control.apply(8, 0, &revert(second)), Ok(Applied::Void(_))), "another host has seen it too");
    assert!(matches!(control.apply(9, 0, &revert(7)), Ok(Applied::Void(_))), "the older one fails too: tasks stop");
    let f = control.function("f").unwrap();
    assert_eq!(f.activations[1].failed.as_deref(), Some("it traps"));
    assert_eq!(f.before(&f.activations[2]), None, "what has failed is no version to go back to");
    // The same file again is another try; what comes after it goes back behind it.
    let again = activated(&mut control, 10, "b", 7);
    let Ok(Applied::Activated(all)) = control.apply(12, 0, &revert(again)) else { panic!() };
    assert_eq!((all[0].1.number, all[0].1.version.digest.as_str()), (5, "a"));
    // One that failed once and ran later is a version as any other.
    let third = activated(&mut control, 13, "b", 12);
    let fourth = activated(&mut control, 15, "c", third);
    let Ok(Applied::Activated(all)) = control.apply(17, 0, &revert(fourth)) else { panic!() };
    assert_eq!(all[0].1.version.digest, "b");
}

#[test]
fn what_builds_on_a_version_that_has_failed_is_void() {
    let mut control = Control::default();
    let first = activated(&mut control, 1, "a", 0);
    let second = activated(&mut control, 3, "b", first);
    control.apply(5, 0, &propose("c", second)).unwrap();
    control.apply(6, 0, &ready(5, "x")).unwrap();
    control.apply(7, 0, &revert(second)).unwrap();
    let Some(Step::Append(Entry::Void { reason, .. })) = next(&control, 5, "x", &["x"], 0) else { panic!() };
    assert!(reason.contains("epoch 7 is in force"), "{reason}");
    assert_eq!(control.apply(8, 0, &Entry::Activate { proposal: 5 }), Ok(Applied::Closed), "who had not read on");
    let f = control.function("f").unwrap();
    assert_eq!((f.in_force().unwrap().version.digest.as_str(), f.open(), f.voided.len()), ("a", None, 1));
    assert!(matches!(control.outcome("c"), Some(Outcome::Void(_))));
}

fn on_probation(id: &str, builds_on: u64, hold: bool) -> Entry {
    let probation = Some(Probation { ms: 10_000, records: 5, hold, replay: 0 });
    Entry::Propose(Proposal { id: id.into(), changes: alloc::vec![change("f", id, builds_on)], probation })
}

fn passed(proposal: u64, host: &str) -> Entry {
    Entry::Passed { proposal, host: host.into(), report: host.into() }
}

#[test]
fn all_hosts_come_through_the_probation_first() {
    let mut control = Control::default();
    control.apply(1, 0, &on_probation("a", 0, false)).unwrap();
    for (at, entry) in [(2, ready(1, "x")), (3, ready(1, "y")), (4, passed(1, "x"))] {
        assert_eq!(control.apply(at, 0, &entry), Ok(Applied::Answered));
    }
    assert_eq!(next(&control, 1, "x", &["x", "y"], PREPARE_MS_MAX + 10_000), None, "y has not");
    let Some(Step::Append(Entry::Void { reason, .. })) = next(&control, 1, "x", &["x", "y"], PREPARE_MS_MAX + 10_001)
    else {
        panic!("it waits for ever")
    };
    assert!(reason.ends_with("come through its probation within 130 s: y"), "{reason}");
    let activate = Some(Step::Append(Entry::Activate { proposal: 1 }));
    assert_eq!(next(&control, 1, "x", &["x"], 0), activate, "y is gone");
    assert_eq!(control.apply(5, 0, &passed(1, "y")), Ok(Applied::Answered));
    assert_eq!(next(&control, 1, "x", &["x", "y"], 0), activate);
    assert_eq!(next(&control, 1, "x", &["x", "y", "z"], 0), None, "z came late");
    control.apply(6, 0, &Entry::Refused { proposal: 1, host: "y".into(), reason: "it traps".into() }).unwrap();
    assert!(
        matches!(control.apply(7, 0, &Entry::Activate { proposal: 1 }), Ok(Applied::Void(_))),
        "it failed meanwhile"
    );
    assert!(matches!(next(&control, 1, "x", &["x"], 0), Some(Step::Append(Entry::Void { .. }))));
}

#[test]
fn what_is_held_waits_for_somebody_to_promote_it() {
    let mut control = Control::default();
    control.apply(1, 0, &on_probation("a", 0, true)).unwrap();
    assert_eq!(next(&control, 1, "x", &["x"], i64::MAX), Some(Step::Prepare));
    control.apply(2, 0, &ready(1, "x")).unwrap();
    control.apply(3, 0, &passed(1, "x")).unwrap();
    assert_eq!(next(&control, 1, "x", &["x", "y"], i64::MAX), None, "for as long as it takes");
    assert!(
        matches!(control.apply(4, 0, &Entry::Activate { proposal: 1 }), Ok(Applied::Void(_))),
        "nobody has promoted it"
    );
    assert_eq!(control.outcome("a"), Some(&Outcome::Open(1)));
    let Ok(Applied::Void(why)) = control.clone().apply(5, 0, &propose("b", 0)) else { panic!() };
    assert!(why.ends_with("held until it is promoted or given up"), "{why}");
    assert_eq!(control.apply(5, 0, &Entry::Promote { proposal: 1 }), Ok(Applied::Promoted));
    assert!(matches!(control.apply(6, 0, &Entry::Promote { proposal: 1 }), Ok(Applied::Void(_))));
    assert_eq!(next(&control, 1, "x", &["x", "y"], 0), None, "y is not ready");
    assert!(matches!(next(&control, 1, "x", &["x", "y"], i64::MAX), Some(Step::Append(Entry::Void { .. }))));
    assert_eq!(next(&control, 1, "x", &["x"], 0), Some(Step::Append(Entry::Activate { proposal: 1 })));
    assert!(matches!(control.apply(7, 0, &Entry::Activate { proposal: 1 }), Ok(Applied::Activated(_))));
    for late in [passed(1, "x"), Entry::Promote { proposal: 1 }] {
        assert!(matches!(control.apply(control.last() + 1, 0, &late), Ok(Applied::Void(_))));
    }
    control.apply(20, 0, &on_probation("b", 7, false)).unwrap();
    assert!(matches!(control.apply(21, 0, &Entry::Promote { proposal: 20 }), Ok(Applied::Void(_))), "it is not held");
}
