//! Functions that keep the pledge: what goes in, what comes out, nulls, headers, facts, settings, layouts, log lines.

mod common;

use common::{Ask, Batch, Tried, column, in_languages, listening, prepare, registry, udf, worker};
use millstream_core::function::{Context, Fault, Functions, Groups, Interface, Kept, Output};
use millstream_core::record::{BytesColumn, HeaderColumns};
use millstream_wasm::{Layouts, Limits, LogLevel, Refusal, WorkerFunctions};

/// Built once from contract 0.1.0, and never again: if this host cannot run it, the contract was broken.
const RELEASED: &[u8] = include_bytes!("../../../udfs/released-0.1.0/released.wasm");

#[test]
fn the_released_function_runs_for_ever() {
    worker(|| {
        let registry = registry();
        let limits = Limits::default();
        let needed = [Interface::Filter, Interface::Mapper];
        let function = registry.prepare(RELEASED, None, &[], &limits, &needed).unwrap();
        let mut functions = WorkerFunctions::new(registry);
        let batch = Batch::of_values(&[Some(b"a"), None, Some(b""), None, Some(b"c")]);
        let kept = functions.keep(function, Context::default(), batch.records()).unwrap();
        assert_eq!(kept, Kept { bits: vec![0b10101], rejected: vec![] });
        let output = functions.apply(function, Context::default(), batch.records()).unwrap();
        assert_eq!(output, Output { taken: 5, ..Output::default() });
        let none = Batch::of(&[]);
        assert_eq!(functions.keep(function, Context::default(), none.records()).unwrap().bits, Vec::<u8>::new());
    });
}

#[test]
fn a_filter_and_a_map_over_many_records() {
    worker(|| {
        let mut filter = Tried::new(&udf("only-ip"), Ask::Keep, &Limits::default());
        let texts: Vec<String> =
            (0..10_000).map(|i| format!("{}: {i}", if i % 3 == 0 { "IP" } else { "no" })).collect();
        let batch = Batch::of(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let bits = filter.keep(&batch).unwrap().bits;
        assert!((0..10_000).all(|i| (bits[i / 8] >> (i % 8) & 1 == 1) == (i % 3 == 0)));

        let mut map = Tried::new(&udf("extract-ip"), Ask::Apply, &Limits::default());
        let line = "[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login";
        let output = map.apply(&Batch::of(&[line, "nothing", line])).unwrap();
        let keys = column(&[Some("192.168.1.1"), Some("192.168.1.1")]);
        assert_eq!((output.taken, output.sources, output.keys), (3, Some(vec![0, 2]), Some(keys)));
        assert_eq!((output.values, output.timestamps), (None, Some(vec![1_619_879_400_000; 2])));
        let reasons: Vec<_> = output.rejected.iter().map(|r| (r.index, r.reason.as_str())).collect();
        assert_eq!(reasons, [(1, "the line does not start with [YYYY-MM-DD hh:mm:ss]")]);
    });
}

#[test]
fn nulls_come_back_as_nulls() {
    worker(|| {
        let mut map = Tried::new(&udf("stamp-v1"), Ask::Apply, &Limits::default());
        let batch = Batch::of_values(&[Some(b"a"), None, Some(b"")]);
        let output = map.apply(&batch).unwrap();
        assert_eq!(output.values, Some(column(&[Some("v1:a"), None, Some("v1:")])));
    });
}

#[test]
fn branches_and_several_results_of_a_record() {
    worker(|| {
        let mut branch = Tried::new(&udf("by-action"), Ask::Apply, &Limits::default());
        let output = branch.apply(&Batch::of(&["Action: Logout", "?", "Action: Login"])).unwrap();
        assert_eq!((output.sources, output.ports), (Some(vec![0, 2]), Some(vec![1, 0])));
        let mut words = Tried::new(&udf("words"), Ask::Apply, &Limits::default());
        let output = words.apply(&Batch::of(&["a b", "", "c"])).unwrap();
        assert_eq!((output.taken, output.sources), (3, Some(vec![0, 0, 2])));
        assert_eq!(output.keys, Some(column(&[Some("a"), Some("b"), Some("c")])));
    });
}

#[test]
fn counts_are_folded_merged_and_finished() {
    worker(|| {
        let mut count = Tried::new(&udf("count"), Ask::Add, &Limits::default());
        let (function, functions) = (count.prepared, &mut count.functions);
        let batch = Batch::of(&["a", "b", "c", "d"]);
        let keys = column(&[Some("x"), None]);
        let states = BytesColumn::nulls(2);
        let (offsets, members) = ([0, 3, 4], [0, 1, 3, 2]);
        let into = Groups {
            keys: &keys,
            starts: &[0, 10],
            ends: &[10, 20],
            states: &states,
            offsets: &offsets,
            members: &members,
        };
        let first = functions.add(function, Context::default(), into, batch.records()).unwrap();
        assert!(first.rejected.is_empty());
        let again = Groups { states: &first.states, ..into };
        let second = functions.add(function, Context::default(), again, batch.records()).unwrap();
        let merged = functions.merge(function, &keys, &first.states, &second.states).unwrap();
        let of = Groups { states: &merged, offsets: &[0, 0, 0], members: &[], ..into };
        assert_eq!(functions.finish(function, of).unwrap(), column(&[Some("9"), Some("3")]));
        assert!(functions.exports(function, Interface::Merger) && !functions.exports(function, Interface::Filter));
    });
}

/// What `facts` says of two records, in any language.
fn facts_are_handed_out_and_forgotten(name: &str) {
    worker(|| {
        let mut facts = Tried::new(&udf(name), Ask::Apply, &Limits::default());
        assert!(facts.functions.wants_stream_times(facts.prepared));
        let mut headers = HeaderColumns::default();
        headers.push([(&b"a"[..], Some(&b"1"[..])), (b"b", None)]);
        headers.push([]);
        let (batch, windows, inputs) = (Batch::of(&["", ""]), ([0, 10], [10, 20]), [1, 0]);
        let context = Context {
            headers: Some(&headers),
            stream_times: &[5, 15],
            windows: Some((&windows.0, &windows.1)),
            inputs: Some(&inputs),
            ..Context::default()
        };
        let output = facts.functions.apply(facts.prepared, context, batch.records()).unwrap();
        let first = "headers a=1 b; stream time 5; window 0..10; input 1";
        let second = "headers; stream time 15; window 10..20; input 0";
        assert_eq!(output.values, Some(column(&[Some(first), Some(second)])), "{name}");
        let written = output.headers.unwrap();
        let of = |i| written.of(i).map(|(name, _)| String::from_utf8(name.to_vec()).unwrap()).collect::<Vec<_>>();
        assert_eq!((of(0), of(1)), (vec!["a".into(), "b".into(), "seen".into()], vec!["seen".to_string()]));
        let without = facts.apply(&batch).unwrap();
        assert_eq!(without.values, Some(column(&[Some("headers; input 0"); 2])), "{name}");
    });
}

#[test]
fn facts_of_the_call_are_handed_out_and_forgotten() {
    for name in in_languages("facts", &["c", "cpp"]) {
        facts_are_handed_out_and_forgotten(&name);
    }
    worker(|| {
        let map = Tried::new(&udf("stamp-v1"), Ask::Apply, &Limits::default());
        assert!(!map.functions.wants_stream_times(map.prepared));
    });
}

#[test]
fn log_lines_arrive_cut_and_counted() {
    worker(|| {
        let (registry, lines) = listening();
        let limits = Limits { log_line_bytes: 200, log_lines_per_second: 3, call_cpu_ms: 5_000, ..Limits::default() };
        let mut facts = Tried::on(registry.clone(), &udf("facts"), Ask::Apply, &limits);
        facts.apply(&Batch::of(&["log hello\u{1b}[0m"])).unwrap();
        let mut panics = Tried::on(registry.clone(), &udf("bad-panic"), Ask::Keep, &limits);
        assert!(matches!(panics.keep(&Batch::of(&["panic"])).unwrap_err(), Fault::Trap { .. }));
        let mut flood = Tried::on(registry.clone(), &udf("bad-log-flood"), Ask::Keep, &limits);
        flood.keep(&Batch::of(&["a"])).unwrap();
        let mut huge = Tried::on(registry.clone(), &udf("bad-log-huge"), Ask::Keep, &limits);
        huge.keep(&Batch::of(&["a"])).unwrap();
        let lines = lines.lock().unwrap();
        assert_eq!(lines[0], "Some(0) Info hello\u{1b}[0m 0");
        assert!(lines[1].starts_with("Some(1) Error "), "{lines:?}");
        assert_eq!(lines.iter().filter(|l| l.starts_with("Some(2)")).count(), 3, "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("Some(3) Info 203 bytes 0"));
        let stats = registry.stats(flood.prepared);
        assert_eq!((stats.log_lines, stats.log_lines_dropped), (3, 997));
        assert!(LogLevel::Warn > LogLevel::Info);
    });
}

fn pairs(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn one_file_with_several_functions_and_settings() {
    worker(|| {
        let registry = registry();
        let file = udf("json-fields");
        let try_with = |export, settings: &[(&str, &str)], needed| {
            registry.prepare(&file, export, &pairs(settings), &Limits::default(), &[needed])
        };
        let low = try_with(Some("at-least"), &[("field", "n"), ("least", "1")], Interface::Filter).unwrap();
        let high = try_with(Some("at-least"), &[("field", "n"), ("least", "10")], Interface::Filter).unwrap();
        let sum = try_with(Some("sum"), &[("field", "n")], Interface::Aggregator).unwrap();
        let mut functions = WorkerFunctions::new(registry.clone());
        let batch = Batch::of(&[r#"{"n":5}"#, r#"{"n":50}"#, r#"{"n":0.5}"#]);
        let mut bits = |function| functions.keep(function, Context::default(), batch.records()).unwrap().bits;
        assert_eq!((bits(low), bits(high), bits(low)), (vec![0b011], vec![0b010], vec![0b011]));
        assert!(functions.exports(sum, Interface::Merger) && !functions.exports(sum, Interface::Filter));
        functions.renew(low);
        assert_eq!(functions.keep(low, Context::default(), batch.records()).unwrap().bits, [0b011], "started again");

        let reasons = |got: Result<_, Refusal>| common::reasons(got);
        let several = "it holds several functions; say which one is meant: at-least, by-field, sum, max";
        assert_eq!(reasons(try_with(None, &[], Interface::Filter)), several);
        let unknown = "it holds no function `most`; it holds: at-least, by-field, sum, max";
        assert_eq!(reasons(try_with(Some("most"), &[], Interface::Filter)), unknown);
        let kind = "a step needs a `filter`; the function is: aggregator, merger";
        assert_eq!(reasons(try_with(Some("sum"), &[], Interface::Filter)), kind);
        let refused = reasons(try_with(Some("at-least"), &[("least", "many")], Interface::Filter));
        assert!(refused.starts_with("it refuses its settings: the setting `least` is `many`, which "), "{refused}");
    });
}

#[test]
fn one_function_without_settings_or_name() {
    let registry = registry();
    let file = udf("only-ip");
    let settings = pairs(&[("field", "IP")]);
    let refused = registry.prepare(&file, None, &settings, &Limits::default(), &[Interface::Mapper]);
    let expected = "a step needs a `mapper`; the function is: filter\n\
        it takes no settings (it exports no `lifecycle`), and is given 1 (`field`, …)";
    assert_eq!(common::reasons(refused), expected);
    let refused = registry.prepare(&file, Some("x"), &[], &Limits::default(), &[Interface::Filter]);
    let expected = "it holds one function without a name, and `x` is asked for: leave the name out";
    assert_eq!(common::reasons(refused), expected);
}

#[test]
fn stored_states_change_their_layout() {
    worker(|| {
        let registry = registry();
        let old = prepare(&registry, &udf("count"), Interface::Aggregator);
        let new = prepare(&registry, &udf("count-bytes"), Interface::Migrator);
        assert_eq!(registry.layouts(old), Layouts::default());
        assert_eq!(registry.layouts(new), Layouts { current: 1, reads: vec![0], writes: vec![0] });
        let mut functions = WorkerFunctions::new(registry);
        assert_eq!((functions.layout(old), functions.layout(new)), (0, 1));
        let states: BytesColumn = [Some(&7u64.to_le_bytes()[..]), None].into_iter().collect();
        let keys = column(&[Some("a"), Some("b")]);
        let there = functions.migrate(new, "", 0, 1, &keys, &states).unwrap();
        assert_eq!((there.get(0).map(<[u8]>::len), there.get(1)), (Some(16), None));
        assert_eq!(functions.migrate(new, "", 1, 0, &keys, &there).unwrap(), states);
        let lost = functions.migrate(old, "", 0, 1, &keys, &states).unwrap_err();
        assert_eq!(lost, Fault::BadResult { what: "it exports no `migrator`".into() });
    });
}

#[test]
fn the_same_version_has_the_same_number() {
    let registry = registry();
    let limits = Limits::default();
    let prepare =
        |name: &str, limits: &Limits| registry.prepare(&udf(name), None, &[], limits, &[Interface::Mapper]).unwrap().0;
    let less = Limits { memory_bytes: 32 << 20, ..limits.clone() };
    let numbers = [
        prepare("stamp-v1", &limits),
        prepare("stamp-v2", &limits),
        prepare("stamp-v1", &limits),
        prepare("stamp-v1", &less),
        prepare("stamp-v2", &limits),
    ];
    assert_eq!(numbers, [0, 1, 0, 2, 1]);
    let again = registry.prepare(&udf("stamp-v1"), None, &[], &limits, &[Interface::Filter]);
    assert_eq!(common::reasons(again), "a step needs a `filter`; the function is: mapper");
}
