//! The rules that differ, by example: the smallest records that show each, and what both sides make of them.

use crate::case::{Case, Fold, Record, Window};
use crate::fold::Difference;
use crate::joins::{self, Join, Kind, Side};
use crate::tables::{self, By, End};
use crate::{Case as _, kafka, ours};

/// `a@5` is a record of key `a` at 5, `a!@5` one without a value.
fn records(text: &str) -> Vec<Record> {
    let record = |(i, word): (usize, &str)| {
        let (key, time) = word.split_once('@').expect("a key and a time");
        let value = (!key.ends_with('!')).then(|| format!("v{i}"));
        Record { key: Some(key.trim_end_matches('!').to_string()), value, time: time.parse().expect("a time") }
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
        let case = Case { window, grace: 1, fold: Fold::Count, on_close, records: records(input) };
        let touched = case.judge(&mut kafka, &ours).unwrap_or_else(|why| panic!("{difference:?}: {why}"));
        assert_eq!(touched, [difference], "{input}");
        assert_eq!(shown(&ours.run(&case).unwrap()), here, "{difference:?} here");
        assert_eq!(shown(&kafka.run(&case).unwrap()), there, "{difference:?} there");
        seen.push(difference);
    }
    assert_eq!(seen, Difference::ALL, "one example each");
}

#[test]
fn every_rule_of_joins_that_differs_has_an_example() {
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    // A row of the other table is there, and none of this one was.
    let record =
        |side, value: Option<&str>| (side, Record { key: Some("a".into()), value: value.map(Into::into), time: 5 });
    for kind in [Kind::Inner, Kind::Left] {
        let records = vec![record(Side::Right, Some("r")), record(Side::Left, None)];
        let case = joins::Case { join: Join::Tables(kind), history: None, grace: None, records };
        assert_eq!(case.judge(&mut kafka, &ours).unwrap(), [joins::Difference::TombstoneWithoutRow]);
        assert_eq!(shown(&ours.join(&case).unwrap()), "");
        assert_eq!(shown(&kafka.join(&case).unwrap()), "a[0,0]-");
    }
    // A row is removed at the time of its value, and then an older one comes.
    let at =
        |side, value: Option<&str>, time| (side, Record { key: Some("a".into()), value: value.map(Into::into), time });
    let records = vec![
        at(Side::Right, Some("new"), 5),
        at(Side::Right, None, 5),
        at(Side::Right, Some("old"), 3),
        at(Side::Left, Some("l"), 6),
    ];
    let case = joins::Case { join: Join::Stream { left: true }, history: Some(10), grace: None, records };
    assert_eq!(case.judge(&mut kafka, &ours).unwrap(), [joins::Difference::RemovalForgotten]);
    assert_eq!(shown(&ours.join(&case).unwrap()), "a[0,0]=l,-");
    assert_eq!(shown(&kafka.join(&case).unwrap()), "a[0,0]=l,old");
}

#[test]
fn every_rule_of_tables_that_differs_has_an_example() {
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    let record = |side, value: Option<String>| (side, Record { key: Some("a".into()), value, time: 5 });
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
        assert_eq!(shown(&ours.table(&case).unwrap()), "", "{difference:?} here");
        assert_eq!(shown(&kafka.table(&case).unwrap()), "a[0,0]-", "{difference:?} there");
    }
}
