//! The rules that differ, by example: the smallest records that show each, and what both sides make of them.

use std::collections::BTreeSet;

use crate::case::{Case, Fold, Record, Side, Window};
use crate::fold::Difference;
use crate::joins::{self, Join, Kind};
use crate::tables::{self, By, End};
use crate::{Case as _, chains, cogroups, foreign, kafka, ours, streams};

/// `a@5` is a record of key `a` at 5, `a!@5` one without a value.
fn records(text: &str) -> Vec<Record> {
    let record = |(i, word): (usize, &str)| {
        let (key, time) = word.split_once('@').expect("a key and a time");
        let value = (!key.ends_with('!')).then(|| format!("v{i}"));
        let (key, time) = (Some(key.trim_end_matches('!').to_string()), time.parse().expect("a time"));
        Record { side: Side::Left, key, value, time }
    };
    text.split(' ').enumerate().map(record).collect()
}

/// Results as `key[start,end]=value`, without a value `key[start,end]-`.
fn shown(outcomes: &[crate::case::Outcome]) -> String {
    let one = |o: &crate::case::Outcome| {
        let (end, start) = o.window.unwrap_or_default();
        let value = o.value.as_ref().map_or("-".to_string(), |value| format!("={value}"));
        format!("{}[{start},{end}]{value}", o.key)
    };
    outcomes.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_rule_that_differs_has_an_example() {
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    let mut seen = Vec::new();
    let tumbling = Window::Hopping { size: 10, advance: 10 };
    let session = Window::Session { gap: 5 };
    let sliding = Window::Sliding { difference: 10 };
    let examples = [
        (Difference::NullValueCounts, tumbling, true, "a@1 a!@2 a!@30", "", "a[0,10]=2"),
        // At 17 the session of 10 is closed, and 12 is not late: it touches 10.
        (
            Difference::ClosedSessionMerged,
            session,
            true,
            "a@10 b@17 a@12 b@40",
            "a[10,10]=1 a[12,12]=1 b[17,17]=1",
            "a[10,10]=1 a[10,12]=2 b[17,17]=1",
        ),
        (
            Difference::TombstoneOfTheSameSession,
            session,
            false,
            "a@1 a@5 a@3",
            "a[1,1]=1 a[1,1]- a[1,5]=2 a[1,5]=3",
            "a[1,1]=1 a[1,1]- a[1,5]=2 a[1,5]- a[1,5]=3",
        ),
        // When it comes, the window that ends with a@15 is closed, and none that holds it is there.
        (
            Difference::RecordForgotten,
            sliding,
            true,
            "b@20 a@15 a@22 b@60",
            "b[10,20]=1 a[12,22]=2 a[16,26]=1",
            "b[10,20]=1 a[12,22]=1",
        ),
        (
            Difference::WindowMadeTwice,
            sliding,
            false,
            "a@6 a@17",
            "a[0,10]=1 a[7,17]=1",
            "a[0,10]=1 a[7,17]=1 a[7,17]=1",
        ),
    ];
    for (difference, window, on_close, input, here, there) in examples {
        let case = Case { window, grace: 1, fold: Fold::Count, on_close, cogroup: false, records: records(input) };
        let touched = case.judge(&mut kafka, &ours).unwrap_or_else(|why| panic!("{difference:?}: {why}"));
        assert_eq!(touched, [difference], "{input}");
        assert_eq!(shown(&ours.run(&case).unwrap()), here, "{difference:?} here");
        assert_eq!(shown(&kafka.run(&case).unwrap()), there, "{difference:?} there");
        seen.push(difference);
    }
    assert_eq!(seen, Difference::GROUPS, "one example each");
}

#[test]
fn every_rule_of_joins_that_differs_has_an_example() {
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    // A row of the other table is there, and none of this one was.
    let record =
        |side, value: Option<&str>| Record { side, key: Some("a".into()), value: value.map(Into::into), time: 5 };
    for kind in [Kind::Inner, Kind::Left] {
        let records = vec![record(Side::Right, Some("r")), record(Side::Left, None)];
        let case = joins::Case { join: Join::Tables(kind), history: None, grace: None, records };
        assert_eq!(case.judge(&mut kafka, &ours).unwrap(), [joins::Difference::TombstoneWithoutRow]);
        assert_eq!(shown(&ours.run(&case).unwrap()), "");
        assert_eq!(shown(&kafka.run(&case).unwrap()), "a[0,0]-");
    }
    // A row is removed at the time of its value, and then an older one comes.
    let at =
        |side, value: Option<&str>, time| Record { side, key: Some("a".into()), value: value.map(Into::into), time };
    let records = vec![
        at(Side::Right, Some("new"), 5),
        at(Side::Right, None, 5),
        at(Side::Right, Some("old"), 3),
        at(Side::Left, Some("l"), 6),
    ];
    let case = joins::Case { join: Join::Stream { left: true }, history: Some(10), grace: None, records };
    assert_eq!(case.judge(&mut kafka, &ours).unwrap(), [joins::Difference::RemovalForgotten]);
    assert_eq!(shown(&ours.run(&case).unwrap()), "a[0,0]=l,-");
    assert_eq!(shown(&kafka.run(&case).unwrap()), "a[0,0]=l,old");
}

#[test]
fn every_rule_of_tables_that_differs_has_an_example() {
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    let record = |side, value: Option<String>| Record { side, key: Some("a".into()), value, time: 5 };
    // A row that was not there is removed; of the join a count is there, and no row of the other table was.
    let joined = vec![record(Side::Left, Some(tables::row(None, 1))), record(Side::Right, None)];
    let examples = [
        (tables::Difference::MappedTombstone, End::Mapped, vec![record(Side::Left, None)]),
        (tables::Difference::JoinedTombstone, End::Joined(By::Key, Kind::Inner), joined),
    ];
    for (difference, end, records) in examples {
        let case = tables::Case { front: None, filters: Vec::new(), end, records };
        let touched = case.judge(&mut kafka, &ours).unwrap_or_else(|why| panic!("{difference:?}: {why}"));
        assert_eq!(touched, [difference]);
        assert_eq!(shown(&ours.run(&case).unwrap()), "", "{difference:?} here");
        assert_eq!(shown(&kafka.run(&case).unwrap()), "a[0,0]-", "{difference:?} there");
    }
}

#[test]
fn the_rule_of_cogroups_that_differs_has_an_example() {
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    let window = Window::Hopping { size: 10, advance: 10 };
    // When the record of the other input comes, its window is closed by the time of the first; it is the first of its own.
    let mut records = records("a@25 a@5");
    records[1].side = Side::Right;
    for (on_close, here, there) in [(false, "a[20,30]=v0", "a[20,30]=v0 a[0,10]=v1"), (true, "", "a[0,10]=v1")] {
        let records = records.clone();
        let case = Case { window, grace: 1, fold: Fold::Aggregate, on_close, cogroup: true, records };
        assert_eq!(case.judge(&mut kafka, &ours), Ok(vec![Difference::TimeOfEachInput]));
        assert_eq!((shown(&ours.run(&case).unwrap()), shown(&kafka.run(&case).unwrap())), (here.into(), there.into()));
    }
}

#[test]
fn every_rule_of_chains_that_differs_has_an_example() {
    use chains::{Difference, Step};
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    let group =
        |window| Case { window, grace: 0, fold: Fold::Count, on_close: false, cogroup: false, records: Vec::new() };
    let record = |key: Option<&str>, value: &str, time| {
        let (key, value) = (key.map(Into::into), Some(value.into()));
        Record { side: Side::Left, key, value, time }
    };
    // Behind the topic the second record is left out; the third is late by its time.
    let times = vec![
        record(Some("a"), r#"{"n":9}"#, 5),
        record(Some("a"), r#"{"n":1}"#, 100),
        record(Some("a"), r#"{"n":9}"#, 6),
    ];
    let examples = [
        (
            Difference::NullKeyDropped,
            vec![Step::Repartition, Step::SelectKey { by_map: false }],
            group(Window::None),
            vec![record(None, r#"{"g":"x"}"#, 5)],
            "x[0,0]=1",
            "",
        ),
        (
            Difference::TimeOfTheTopic,
            vec![Step::Repartition, Step::Filter { least: 5, not: false }],
            group(Window::Hopping { size: 10, advance: 10 }),
            times,
            "a[0,10]=1",
            "a[0,10]=1 a[0,10]=2",
        ),
    ];
    for (difference, steps, group, records, here, there) in examples {
        let case = chains::Case { merged: false, steps, group, again: None, records };
        assert_eq!(case.judge(&mut kafka, &ours), Ok(vec![difference]));
        assert_eq!(shown(&ours.run(&case).unwrap()), here, "{difference:?} here");
        assert_eq!(shown(&kafka.run(&case).unwrap()), there, "{difference:?} there");
    }
}

/// Who looks for a rule that differs finds it by its name.
#[test]
fn every_rule_that_differs_is_in_the_documents() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operators/differences.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let told: BTreeSet<String> = rows.map(|(name, _)| name.to_string()).collect();
    let groups = Difference::GROUPS.iter().chain(&cogroups::DIFFERENCES).map(|d| format!("{d:?}"));
    let own = chains::Difference::ALL.iter().filter(|d| !matches!(d, chains::Difference::Group(_)));
    let all = groups
        .chain(own.map(|d| format!("{d:?}")))
        .chain(joins::Difference::ALL.iter().map(|d| format!("{d:?}")))
        .chain(foreign::Difference::ALL.iter().map(|d| format!("{d:?}")))
        .chain(streams::Difference::ALL.iter().map(|d| format!("{d:?}")))
        .chain(tables::Difference::ALL.iter().map(|d| format!("{d:?}")));
    assert_eq!(told, all.collect());
}

#[test]
fn every_rule_of_joins_by_foreign_key_that_differs_has_an_example() {
    use foreign::Difference;
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    let left = |foreign: Option<&str>, time| {
        let value = foreign.map(|key| foreign::row(Some(key), 0));
        Record { side: Side::Left, key: Some("a".into()), value, time }
    };
    let right = |value: Option<&str>, time| Record {
        side: Side::Right,
        key: Some("f".into()),
        value: value.map(Into::into),
        time,
    };
    let (row, gone, removed) = (left(Some("f"), 9), left(None, 9), right(None, 9));
    let both = r#"a[0,0]={"g": "f"},"#;
    let examples = [
        (Difference::TombstoneWithoutRow, false, vec![row.clone(), gone.clone()], String::new(), "a[0,0]-".to_string()),
        (Difference::TombstoneWithoutRow, false, vec![row.clone(), removed], String::new(), "a[0,0]-".into()),
        (Difference::EmptyIsNone, true, vec![right(Some(""), 5), row.clone()], both.into(), format!("{both}-")),
        (Difference::TimeOfTheRight, true, vec![row.clone(), right(Some("o"), 5)], String::new(), String::new()),
        (Difference::TimeOfTheRight, false, vec![row, right(Some("o"), 12), gone], String::new(), String::new()),
    ];
    for (difference, left_join, records, here, there) in examples {
        let case = foreign::Case { left_join, records };
        assert_eq!(case.judge(&mut kafka, &ours), Ok(vec![difference]), "{case:?}");
        let (here_is, there_is) = (ours.run(&case).unwrap(), kafka.run(&case).unwrap());
        if difference == Difference::TimeOfTheRight {
            let times = |outcomes: &[crate::case::Outcome]| outcomes.last().map(|o| o.time);
            let told = if left_join { (Some(9), Some(5)) } else { (Some(9), Some(12)) };
            assert_eq!((times(&here_is), times(&there_is)), told);
        } else {
            assert_eq!((shown(&here_is), shown(&there_is)), (here, there), "{difference:?}");
        }
    }
}
