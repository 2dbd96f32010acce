//! How cases are read: what they say, and what is said against them. How they are run is tested on real components.

use super::read::read;
use super::*;
use crate::config::problem::position;

fn cases(text: &str) -> Vec<Case> {
    let mut problems = Vec::new();
    let read = read(text, &mut problems);
    assert_eq!(problems, [], "{text}");
    read.unwrap().cases
}

/// Line, message, help.
fn told(text: &str) -> Vec<(usize, String, String)> {
    let mut problems = Vec::new();
    assert_eq!(read(text, &mut problems), None, "{text}");
    let told = problems.into_iter().map(|p| (position(text, p.span.start).0, p.message, p.help.join("; ")));
    told.collect()
}

/// What is said of a case that is one record of this kind.
fn told_of(kind: &str, record: &str) -> String {
    let told = told(&format!("cases:\n- name: n\n  {kind}:\n  - {{ {record} }}\n"));
    assert_eq!((told.len(), told[0].0), (1, 4), "{told:?}");
    format!("{}: {}", told[0].1, told[0].2)
}

#[test]
fn bytes_have_five_forms() {
    let text = "cases: [{ name: n, filter: [{ key: null, value: a, keep: true }, { value: { hex: '00 fF' }, keep: true },\
                { value: { base64: AP8= }, keep: true }, { value: { json: { b: [1, null] } }, keep: true }] }]";
    let Ask::Each(Interface::Filter, items) = &cases(text)[0].ask else { panic!("a filter") };
    let values: Vec<_> = items.iter().map(|item| item.record.value.bytes().unwrap()).collect();
    assert_eq!(values, [&b"a"[..], &[0, 255], &[0, 255], br#"{"b":[1,null]}"#]);
    assert_eq!(items[0].record.key, Datum::Null);
    let json = Datum::json(serde_json::json!({ "a": 1, "b": 2 }));
    assert!(json.is(Some(b"{\"b\": 2,\n \"a\":1}")) && !json.is(Some(b"{\"a\":1}")) && !json.is(None));
    assert!(!Datum::text("").is(None) && !Datum::Null.is(Some(b"")));
}

#[test]
fn bytes_are_shown_so_that_they_can_be_told_apart() {
    let shown = |bytes: &[u8]| Datum::Bytes(bytes.to_vec()).shown();
    assert_eq!(
        [shown(b"a \"b\"\n"), shown(b""), shown(&[0x61, 0]), shown(&[0xff])],
        ["\"a \\\"b\\\"\\n\"", "\"\"", "hex 6100", "hex ff"]
    );
    assert_eq!(Datum::Null.shown(), "null");
    let long = shown(&[b'x'; 10_000]);
    assert!(long.ends_with("… (10000 bytes)") && long.len() < 500, "{long}");
}

#[test]
fn what_is_not_bytes_says_what_would_be() {
    let hex = told_of("filter", "value: { hex: 0f0 }, keep: true");
    assert!(hex.starts_with("a byte has two hexadecimal digits, and here are 3 in all"), "{hex}");
    assert!(told_of("filter", "value: { hex: xy }, keep: true").starts_with("`x` is no hexadecimal digit"));
    assert!(told_of("filter", "value: { base64: '*' }, keep: true").starts_with("not base64"));
    assert!(told_of("filter", "value: { text: a }, keep: true").starts_with("there is no form `text`"));
    let number = told_of("filter", "value: 5, keep: true");
    assert_eq!(number, "`5` is not bytes: a text goes in quotes: \"5\"; JSON as { json: 5 }");
}

#[test]
fn unknown_fields_and_wrong_types_are_told_at_their_place() {
    assert_eq!(told_of("filter", "vlaue: a, keep: true"), "a record has no field `vlaue`: did you mean `value`?");
    assert_eq!(told_of("filter", "value: a, keep: 1"), "`keep` is neither true nor false: `true` or `false`");
    assert!(
        told_of("filter", "value: a")
            .starts_with("the record does not say what must become of it: it has one of `keep`")
    );
    assert!(told_of("filter", "keep: true, rejected: x").starts_with("the record says `keep`, `rejected` at once"));
    assert!(told_of("filter", "timestamp: -1, keep: true").starts_with("a record's time is before 1970"));
    assert!(told_of("filter", "timestamp: soon, keep: true").starts_with("`timestamp` is not a whole number"));
    assert!(told_of("map", "value: a, into: b").starts_with("`into` is not a list of records"));
    assert!(told_of("filter", "headers: a, keep: true").starts_with("`headers` are not names with values"));
    assert!(told_of("route", "topic: a, partition: -1").starts_with("`partition` is -1"));
    assert!(told_of("aggregate", "add: [{ value: a }]").starts_with("the group does not say what it must come to"));
    assert!(told_of("scan", "records: [{ gives: a }], result: a").starts_with("a group has no field `result`"));
    assert!(
        told_of("merge", "left: [{ value: a }], right: [{ value: b }]")
            .starts_with("the merge does not say what it must come to")
    );
    assert!(told_of("migrate", "state: a, to-state: b").starts_with("a migration has either `from` or `to`"));
    assert!(told_of("migrate", "to: 0, state: a, result: b").starts_with("a state that goes to another layout"));
}

#[test]
fn files_and_cases_must_ask_something() {
    let first = |text: &str| told(text).remove(0);
    assert_eq!(first("").1, "the file of cases is empty");
    assert_eq!(first("function: f\n").1, "there is no `cases`");
    assert_eq!(first("cases: []").1, "there is no case");
    assert_eq!(first("cases:\n- name: n\n"), (2, "the case asks nothing".into(), first("cases: [{ name: n }]").2));
    assert_eq!(first("cases: [{ name: n, start: {}, filter: [] }]").1, "the case asks several things");
    assert_eq!(first("cases: [{ start: {} }]").1, "the case has no name");
    assert_eq!(first("cases: [{ name: n, filter: [] }]").1, "`filter` is empty");
    assert_eq!(first("cases:\n- { name: n, filtre: [] }").1, "a case has no field `filtre`");
    let large = format!("#{}", " ".repeat(CASES_BYTES_MAX));
    assert!(first(&large).1.starts_with("the file of cases has more than the 4194304 bytes"));
}

#[test]
fn stream_time_runs_on_and_groups_give_their_key() {
    let text = "cases:\n- name: n\n  aggregate:\n    key: k\n    window: { start: 0, end: 10 }\n    add: [{ timestamp: 5 }, \
                { timestamp: 3, key: l }, { timestamp: 7 }]\n    result: a\n";
    let Ask::Aggregate(folds) = &cases(text)[0].ask else { panic!("an aggregate") };
    let times: Vec<_> = folds[0].add.iter().map(|item| item.stream_time).collect();
    let keys: Vec<_> = folds[0].add.iter().map(|item| item.record.key.clone()).collect();
    assert_eq!((times, folds[0].group.window), (vec![5, 5, 7], Some((0, 10))));
    assert_eq!(keys, [Datum::text("k"), Datum::text("l"), Datum::text("k")]);
}

#[test]
fn a_case_needs_what_it_asks() {
    let needs = |ask: &str| cases(&format!("cases: [{{ name: n, {ask} }}]"))[0].needs();
    assert_eq!(needs("map: { into: [] }"), [Interface::Mapper]);
    assert_eq!(needs("aggregate: { add: [{}], result: a }"), [Interface::Aggregator]);
    let both = needs("aggregate: { add: [{}], remove: [{}], result: a }");
    assert_eq!(both, [Interface::Aggregator, Interface::Retractor]);
    assert_eq!(needs("migrate: { from: 0, state: a, to-state: b }"), [Interface::Migrator]);
    assert_eq!(needs("start: {}"), []);
}

#[test]
fn a_processor_has_stores_outputs_and_records() {
    let text = "cases: [{ name: n, process: { stores: [a, b], outputs: 2, records: [{ key: k, into: [] }] } },\
                { name: n, process: { stores: { c: { ttl: 1h } }, records: { into: [] } } }]";
    let of = |i: usize| match &cases(text)[i].ask {
        Ask::Process(all) => all[0].clone(),
        other => panic!("{other:?}"),
    };
    let names = |process: &Process| process.stores.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&of(0)), of(0).outputs, of(0).records.len()), (vec!["a".into(), "b".into()], 2, 1));
    assert_eq!((of(1).stores, of(1).outputs), (vec![("c".into(), serde_json::json!({ "ttl": "1h" }))], 1));
    for (wrong, said) in [
        ("outputs: 65, records: [{ into: [] }]", "`outputs` is 65: from 1 to 64"),
        ("outputs: 0, records: [{ into: [] }]", "`outputs` is 0: from 1 to 64"),
        ("stores: [1], records: [{ into: [] }]", "`stores` are not names"),
        ("stores: [a]", "the case has no `records`"),
        ("records: [{ key: k }]", "the record does not say what must become of it"),
    ] {
        let told = told(&format!("cases: [{{ name: n, process: {{ {wrong} }} }}]"));
        let told: Vec<_> = told.iter().map(|(_, message, help)| format!("{message}: {help}")).collect();
        assert!(told.len() == 1 && told[0].starts_with(said), "{wrong}: {told:?}");
    }
}
