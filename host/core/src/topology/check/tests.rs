//! What is refused, what is warned of, and that each limit is reached.

use super::*;
use crate::topology::check::process::{STORE_CHARACTERS_MAX, STORES_MAX};
use crate::topology::graph::repartition_topic;
use crate::topology::spec::{
    CountFormat, Deduplicate, Fold, FunctionSpec, Idle, Join, JoinKind, JoinWindow, KeyFormat, Lateness, MapForm,
    MaxIdle, Process, Route, SinkSpec, SourceSpec, StoreSpec, StreamJoin,
};

fn from(name: &str) -> Vec<From> {
    vec![From { name: name.into(), output: None }]
}

fn step(name: &str, input: &str, operator: Operator) -> StepSpec {
    let (on_error, idle, lateness) = (OnError::Fail, Idle::default(), Lateness::default());
    StepSpec { name: name.into(), from: from(input), operator, on_error, late: None, idle, lateness, max_idle: None }
}

fn map(function: &str) -> Operator {
    Operator::Map { function: function.into(), form: MapForm::Map }
}

fn count(window: Option<Window>, emit: Emit) -> Operator {
    let fold = Fold::Count(CountFormat::Long);
    Operator::Aggregate(Aggregate { fold, window, emit, emit_every_update: false, partitions: None })
}

/// A source `in`, the steps, a sink that reads the last of them, and a function `f`.
fn pipeline(steps: Vec<StepSpec>) -> Spec {
    let last = steps.last().map_or("in", |s| &s.name);
    let sink = SinkSpec {
        name: "out".into(),
        from: from(last),
        topic: "results".into(),
        key_format: KeyFormat::Kafka,
        window_headers: false,
        on_error: OnError::Fail,
        route: None,
    };
    Spec {
        pipeline: "p".into(),
        functions: vec![FunctionSpec { name: "f".into() }],
        sources: vec![SourceSpec {
            name: "in".into(),
            topics: vec!["lines".into()],
            timestamp: None,
            on_error: OnError::Fail,
        }],
        sinks: vec![sink],
        steps,
        ..Spec::default()
    }
}

/// Name and field of every error.
fn errors(spec: &Spec) -> Vec<(String, &'static str)> {
    let errors = check(spec).into_iter().filter(|p| p.severity == Severity::Error);
    errors.map(|p| (p.place.name, p.place.field)).collect()
}

#[test]
fn unknown_input_and_unknown_function_are_both_told_with_what_is_known() {
    let spec = pipeline(vec![step("a", "nowhere", map("missing"))]);
    let found: Vec<_> = check(&spec).into_iter().filter(|p| p.severity == Severity::Error).collect();
    let known: Vec<_> = found.iter().map(|p| p.unknown.as_ref().unwrap().known.join(" ")).collect();
    assert_eq!(errors(&spec), [("a".into(), "map"), ("a".into(), "from")]);
    assert_eq!(known, ["f", "in"]);
}

fn table() -> Operator {
    Operator::Table { partitions: None, history_ms: None }
}

fn join(other: &str, kind: JoinKind) -> Operator {
    Operator::Join(Join { other: from(other).remove(0), kind, function: "f".into(), key: None, grace_ms: None })
}

#[test]
fn a_join_is_with_a_table_which_is_known_through_filters_and_maps_of_values_alone() {
    let map_values = Operator::Map { function: "f".into(), form: MapForm::MapValues };
    let filter = Operator::Filter { function: "f".into(), negate: false };
    let peek = Operator::Peek { function: "f".into() };
    let joined = |other: &str, kind| {
        let steps = vec![
            step("t", "in", table()),
            step("kept", "t", filter.clone()),
            step("new", "kept", map_values.clone()),
            step("shown", "new", peek.clone()),
            step("both", "t", join("new", JoinKind::Outer)),
            step("s", "in", join(other, kind)),
        ];
        errors(&pipeline(steps))
    };
    for table in ["t", "kept", "new", "both"] {
        assert_eq!(joined(table, JoinKind::Left), []);
    }
    let at = |field| [("s".to_string(), field)];
    assert_eq!(joined("in", JoinKind::Inner), at("join"));
    assert_eq!(joined("shown", JoinKind::Inner), at("join"));
    assert_eq!(joined("nothing", JoinKind::Inner), at("join"));
    assert_eq!(joined("t", JoinKind::Outer), at("type"));
}

#[test]
fn a_foreign_key_brings_two_tables_without_windows_together() {
    let tumbling = Window { form: WindowForm::Hopping { size_ms: 10, advance_ms: 10 }, grace_ms: 0 };
    let joined = |left: &str, other: &str, kind, key: &str, name: &str| {
        let join =
            Join { other: from(other).remove(0), kind, function: "f".into(), key: Some(key.into()), grace_ms: None };
        errors(&pipeline(vec![
            step("t", "in", table()),
            step("w", "in", count(Some(tumbling), Emit::OnUpdate)),
            step("wt", "w", table()),
            step(name, "t", Operator::Filter { function: "f".into(), negate: false }),
            step("j", left, Operator::Join(join)),
        ]))
    };
    let at = |field| vec![("j".to_string(), field)];
    assert_eq!(joined("t", "t", JoinKind::Left, "f", "x"), []);
    assert_eq!(joined("t", "t", JoinKind::Inner, "g", "x"), at("key"), "no such function");
    assert_eq!(joined("in", "t", JoinKind::Inner, "f", "x"), at("key"), "a stream");
    assert_eq!(joined("t", "t", JoinKind::Outer, "f", "x"), at("type"));
    assert_eq!(joined("wt", "t", JoinKind::Inner, "f", "x"), at("from"));
    assert_eq!(joined("t", "wt", JoinKind::Inner, "f", "x"), at("join"));
    assert_eq!(joined("t", "t", JoinKind::Inner, "f", "j-answers"), at(""), "a part of it has that name");
}

#[test]
fn records_wait_for_a_table_with_history_as_long_and_for_nothing_else() {
    let filter = || Operator::Filter { function: "f".into(), negate: false };
    let versions = |history_ms| Operator::Table { partitions: None, history_ms: Some(history_ms) };
    let joined = |left: &str, other: &str, key: Option<&str>, grace_ms| {
        let (other, key) = (from(other).remove(0), key.map(str::to_string));
        let waits = Join { other, kind: JoinKind::Inner, function: "f".into(), key, grace_ms: Some(grace_ms) };
        let spec = pipeline(vec![
            step("t", "in", table()),
            step("h", "in", versions(10)),
            step("kept", "h", filter()),
            step("now", "h", table()),
            step("both", "h", join("h", JoinKind::Inner)),
            step("j", left, Operator::Join(waits)),
        ]);
        let planned = crate::topology::graph::plan(&spec, &|_| Some(1)).is_ok();
        let found = errors(&spec);
        // A time below 0 does not come through the manifest.
        assert!(planned == found.is_empty() || grace_ms < 0, "{found:?}");
        found
    };
    let at = vec![("j".to_string(), "grace")];
    assert_eq!(joined("in", "h", None, 10), []);
    assert_eq!(joined("in", "kept", None, 0), [], "a filter keeps it");
    assert_eq!(joined("in", "h", None, 11), at, "longer than the history");
    assert_eq!(joined("in", "h", None, -1), at);
    assert_eq!(joined("in", "t", None, 5), at, "no history");
    assert_eq!(joined("in", "now", None, 5), at, "one that forgets it");
    assert_eq!(joined("in", "both", None, 5), at, "a join has none");
    assert_eq!(joined("t", "h", None, 5), at, "a table does not wait");
    assert_eq!(joined("h", "h", Some("f"), 5), at, "nor by foreign key");
    assert_eq!(errors(&pipeline(vec![step("h", "in", versions(-1))])), [("h".into(), "table")]);
    assert_eq!(errors(&pipeline(vec![step("h", "in", versions(0))])), []);
}

#[test]
fn late_says_nothing_of_a_table_without_history_and_lateness_nothing_without_a_repartition() {
    let warned = |history_ms, set: fn(&mut StepSpec)| {
        let mut table = step("h", "in", Operator::Table { partitions: None, history_ms });
        set(&mut table);
        let found = check(&pipeline(vec![table])).into_iter().filter(|p| p.severity == Severity::Warning);
        found.map(|p| p.place.field).filter(|f| !f.is_empty()).collect::<Vec<_>>()
    };
    let late = |step: &mut StepSpec| step.late = Some("late".into());
    assert_eq!((warned(None, late), warned(Some(5), late)), (vec!["late"], vec![]));
    assert_eq!(warned(Some(5), |step| step.lateness = Lateness::KafkaStreams), ["lateness"]);
}

#[test]
fn joins_across_windows_and_unknown_joiners_are_refused() {
    let window = Window { form: WindowForm::Hopping { size_ms: 5, advance_ms: 5 }, grace_ms: 0 };
    let steps = vec![
        step("c", "in", count(Some(window), Emit::OnUpdate)),
        step("t", "c", table()),
        step("j", "in", join("t", JoinKind::Inner)),
    ];
    assert_eq!(errors(&pipeline(steps)), [("j".into(), "join")]);
    let missing = Join {
        other: from("t").remove(0),
        kind: JoinKind::Inner,
        function: "missing".into(),
        key: None,
        grace_ms: None,
    };
    let steps = vec![step("t", "in", table()), step("j", "in", Operator::Join(missing))];
    assert_eq!(errors(&pipeline(steps)), [("j".into(), "with")]);
}

fn streams(other: &str, function: Option<&str>, ms: [i64; 3]) -> Operator {
    let [before_ms, after_ms, grace_ms] = ms;
    let (window, function) = (JoinWindow { before_ms, after_ms, grace_ms }, function.map(Into::into));
    Operator::StreamJoin(StreamJoin { other: from(other).remove(0), kind: JoinKind::Outer, function, window })
}

#[test]
fn two_streams_are_joined_within_a_time_and_a_table_is_not() {
    let window = Window { form: WindowForm::Hopping { size_ms: 5, advance_ms: 5 }, grace_ms: 0 };
    let joined = |left: &str, operator: Operator| {
        let steps = vec![
            step("t", "in", table()),
            step("c", "in", count(Some(window), Emit::OnUpdate)),
            step("g", "t", Operator::Regroup { function: "f".into() }),
            step("m", "in", map("f")),
            step("j", left, operator),
        ];
        errors(&pipeline(steps))
    };
    let at = |fields: &[&'static str]| fields.iter().map(|field| ("j".to_string(), *field)).collect::<Vec<_>>();
    let within = |other: &str| streams(other, Some("f"), [0, 5, 0]);
    assert_eq!(joined("in", within("in")), at(&[]), "with itself");
    assert_eq!(joined("m", within("in")), at(&[]));
    assert_eq!(joined("in", streams("m", None, [0; 3])), at(&[]), "without a function, within no time at all");
    assert_eq!(joined("in", within("t")), at(&["join"]));
    assert_eq!(joined("t", within("in")), at(&["from"]));
    assert_eq!(joined("in", within("c")), at(&["join"]));
    assert_eq!(joined("in", within("g")), at(&["from"]));
    assert_eq!(joined("in", within("nothing")), at(&["join"]));
    assert_eq!(joined("in", streams("m", Some("missing"), [0; 3])), at(&["with"]));
    assert_eq!(joined("in", streams("m", None, [-1, -1, -1])), at(&["within", "within", "grace"]));
}

#[test]
fn names_of_the_sides_of_a_join_are_not_taken_and_not_too_long() {
    let steps = vec![step("j-left", "in", map("f")), step("j", "in", streams("j-left", None, [0; 3]))];
    assert_eq!(errors(&pipeline(steps)), [("j-left".into(), "")]);
    let longest = TOPIC_CHARACTERS_MAX - "p--right-repartition".len();
    let named = |len: usize| {
        let steps = vec![step(&"j".repeat(len), "in", streams("in", None, [0; 3]))];
        errors(&pipeline(steps)).len()
    };
    assert_eq!((named(longest), named(longest + 1)), (0, 1));
    let mut spec = pipeline(vec![step("j", "in", streams("in", None, [0; 3]))]);
    spec.sinks[0].topic = "p-j-left-repartition".into();
    assert_eq!(errors(&spec), [("out".into(), "topic")]);
}

#[test]
fn a_table_is_grouped_without_windows_and_grouped_anew_for_aggregates_alone() {
    let window = Window { form: WindowForm::Hopping { size_ms: 5, advance_ms: 5 }, grace_ms: 0 };
    let group_by = || Operator::Regroup { function: "f".into() };
    let with = |more: Vec<StepSpec>| {
        let steps = vec![step("t", "in", table()), step("g", "t", group_by())];
        errors(&pipeline([steps, more].concat()))
    };
    let at = |name: &str, field| [(name.to_string(), field)];
    assert_eq!(
        with(vec![step("c", "g", count(None, Emit::OnUpdate)), step("d", "t", count(None, Emit::OnUpdate))]),
        []
    );
    assert_eq!(with(vec![step("c", "t", count(Some(window), Emit::OnUpdate))]), at("c", "window"));
    assert_eq!(with(vec![step("c", "g", count(Some(window), Emit::OnUpdate))]), at("c", "window"));
    assert_eq!(with(vec![step("m", "g", map("f"))]), at("m", "from"));
    assert_eq!(
        with(vec![step("c", "in", count(None, Emit::OnUpdate)), step("s", "in", group_by())])[..1],
        at("s", "from")
    );
    assert_eq!(with(vec![]), at("out", "from"), "a sink");
    let mut both = step("c", "g", count(None, Emit::OnUpdate));
    both.from.push(from("t").remove(0));
    assert_eq!(with(vec![both]), at("c", "from"));
}

#[test]
fn which_steps_read_changes_of_a_table() {
    let map_values = Operator::Map { function: "f".into(), form: MapForm::MapValues };
    let steps = vec![
        step("t", "in", table()),
        step("m", "t", map_values.clone()),
        step("j", "m", join("t", JoinKind::Inner)),
        step("g", "j", Operator::Regroup { function: "f".into() }),
        step("c", "g", count(None, Emit::OnUpdate)),
        step("s", "in", join("t", JoinKind::Inner)),
        step("o", "s", map_values),
        step("round", "about", Operator::Filter { function: "f".into(), negate: false }),
        step("about", "round", Operator::Filter { function: "f".into(), negate: false }),
    ];
    let spec = pipeline(steps);
    let reads: Vec<&str> = spec.steps.iter().filter(|s| spec.reads_table(s)).map(|s| s.name.as_str()).collect();
    assert_eq!(reads, ["m", "j", "g", "c"]);
}

#[test]
fn a_circle_through_the_other_side_of_a_join_is_told() {
    let steps = vec![step("j", "in", join("t", JoinKind::Left)), step("t", "j", table())];
    assert_eq!(errors(&pipeline(steps)), [("j".into(), "from")]);
}

#[test]
fn a_table_of_a_table_and_partitions_without_a_repartition_are_warned_of() {
    let warned = |operator: Operator| {
        let steps = vec![step("t", "in", table()), step("again", "t", operator)];
        let found = check(&pipeline(steps)).into_iter().filter(|p| p.severity == Severity::Warning);
        found.map(|p| p.place.field).filter(|f| !f.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(warned(table()), ["table"]);
    assert_eq!(
        warned(Operator::Table { partitions: None, history_ms: Some(1) }),
        Vec::<&str>::new(),
        "it has versions now"
    );
    assert_eq!(warned(Operator::Table { partitions: Some(3), history_ms: None }), ["partitions", "table"]);
    let mut kept = step("t", "in", table());
    kept.on_error = OnError::Skip;
    assert!(check(&pipeline(vec![kept])).iter().all(|p| p.place.field != "on-error"), "a row may be too large");
}

#[test]
fn closing_without_a_window_and_an_advance_past_the_size_are_refused() {
    let fields = |window, emit| {
        errors(&pipeline(vec![step("a", "in", count(window, emit))])).into_iter().map(|e| e.1).collect::<Vec<_>>()
    };
    let hopping = |size_ms, advance_ms| Some(Window { form: WindowForm::Hopping { size_ms, advance_ms }, grace_ms: 0 });
    let window = |advance_ms| hopping(10, advance_ms);
    assert_eq!(fields(None, Emit::OnClose), ["emit"]);
    assert_eq!(fields(window(11), Emit::OnClose), ["window"]);
    assert_eq!(fields(window(0), Emit::OnClose), ["window"]);
    assert!(fields(window(10), Emit::OnClose).is_empty());
    assert!(fields(hopping(3 * WINDOWS_PER_RECORD_MAX, 3), Emit::OnUpdate).is_empty());
    assert_eq!(fields(hopping(3 * WINDOWS_PER_RECORD_MAX + 1, 3), Emit::OnUpdate), ["window"]);
    // In panes a record is looked at once, unless each of its windows has a result for it.
    let panes = |size_ms, advance_ms| Some(Window { form: WindowForm::Panes { size_ms, advance_ms }, grace_ms: 0 });
    assert_eq!(fields(panes(3 * WINDOWS_PER_RECORD_MAX + 1, 3), Emit::OnUpdate), ["window"]);
    assert!(fields(panes(3 * WINDOWS_PER_RECORD_MAX + 1, 3), Emit::OnClose).is_empty());
    assert_eq!(fields(panes(10, 11), Emit::OnClose), ["window"]);
}

#[test]
fn steps_that_do_not_fit_and_sessions_without_a_gap_are_refused() {
    let fields = |form| {
        let mut spec = pipeline(vec![step("a", "in", count(Some(Window { form, grace_ms: 0 }), Emit::OnClose))]);
        spec.sinks[0].key_format = KeyFormat::Json;
        errors(&spec).into_iter().map(|e| e.1).collect::<Vec<_>>()
    };
    let cumulating = |size_ms, step_ms| fields(WindowForm::Cumulating { size_ms, step_ms });
    assert!(cumulating(30, 10).is_empty() && cumulating(30, 30).is_empty());
    let most = WINDOWS_PER_RECORD_MAX;
    for (size, step) in [(0, 1), (30, 0), (30, 31), (30, 7), (most + 1, 1)] {
        assert_eq!(cumulating(size, step), ["window"], "{size} by {step}");
    }
    assert!(cumulating(most, 1).is_empty());
    assert!(fields(WindowForm::Session { gap_ms: 1 }).is_empty());
    assert_eq!(fields(WindowForm::Session { gap_ms: 0 }), ["window"]);
    assert!(fields(WindowForm::Sliding { difference_ms: 0 }).is_empty());
    assert_eq!(fields(WindowForm::Sliding { difference_ms: -1 }), ["window"]);
}

#[test]
fn a_scan_is_of_a_stream_in_windows_that_are_not_merged_and_knows_no_close() {
    let scan = |form: Option<WindowForm>, emit| {
        let fold = Fold::Scan { function: "f".into() };
        let window = form.map(|form| Window { form, grace_ms: 0 });
        Operator::Aggregate(Aggregate { fold, window, emit, emit_every_update: true, partitions: None })
    };
    let fields = |from: &str, operator| {
        let spec = pipeline(vec![step("t", "in", table()), step("s", from, operator)]);
        errors(&spec).into_iter().map(|e| e.1).collect::<Vec<_>>()
    };
    let (size_ms, advance_ms) = (10, 5);
    let hopping = WindowForm::Hopping { size_ms, advance_ms };
    assert_eq!(fields("in", scan(None, Emit::OnUpdate)), [""; 0]);
    assert_eq!(fields("in", scan(Some(hopping), Emit::OnUpdate)), [""; 0]);
    assert_eq!(fields("in", scan(Some(hopping), Emit::OnClose)), ["emit"]);
    let (session, sliding) = (WindowForm::Session { gap_ms: 5 }, WindowForm::Sliding { difference_ms: 5 });
    for form in [session, sliding, WindowForm::Panes { size_ms, advance_ms }] {
        assert_eq!(fields("in", scan(Some(form), Emit::OnUpdate)), ["window"]);
    }
    assert_eq!(fields("t", scan(None, Emit::OnUpdate)), ["scan"]);
}

#[test]
fn each_input_of_a_cogroup_has_a_function_and_a_topic_of_its_own() {
    let cogroup = |inputs: &[&str], adders: &[&str], finisher: &str| {
        let adders = adders.iter().map(|f| f.to_string()).collect();
        let fold = Fold::Cogroup { adders, finisher: finisher.into() };
        let aggregate =
            Aggregate { fold, window: None, emit: Emit::OnUpdate, emit_every_update: false, partitions: None };
        let mut cogroup = step("s", "in", Operator::Aggregate(aggregate));
        cogroup.from = inputs.iter().flat_map(|input| from(input)).collect();
        let peek = || Operator::Peek { function: "f".into() };
        let steps = vec![step("t", "in", table()), step("g", "t", Operator::Regroup { function: "f".into() })];
        let more = vec![step("s-other", "in", peek()), step("other", "in", peek()), cogroup];
        errors(&pipeline([steps, more].concat())).into_iter().map(|e| e.1).collect::<Vec<_>>()
    };
    assert_eq!(cogroup(&["in", "t"], &["f", "f"], "f"), [""; 0]);
    assert_eq!(cogroup(&["in", "t"], &["f"], "f"), ["cogroup"]);
    assert_eq!(cogroup(&["in"], &["f"], "missing"), ["cogroup"]);
    assert_eq!(cogroup(&["in"], &["missing"], "f"), ["cogroup"]);
    assert_eq!(cogroup(&["in", "other"], &["f", "f"], "f"), ["cogroup"], "its topic would be that of `s-other`");
    assert_eq!(cogroup(&["in", "in"], &["f", "f"], "f"), ["cogroup"], "two inputs with one name");
    assert_eq!(cogroup(&["in", "g"], &["f", "f"], "f"), ["from"]);
    assert_eq!(cogroup(&["g"], &["f"], "f")[..1], ["from"]);
}

#[test]
fn topics_in_front_of_a_cogroup_are_nobody_elses_and_have_names_that_topics_may_have() {
    let fold = Fold::Cogroup { adders: vec!["f".into(), "f".into()], finisher: "f".into() };
    let aggregate = Aggregate { fold, window: None, emit: Emit::OnUpdate, emit_every_update: false, partitions: None };
    let with = |key: &str| {
        let mut cogroup = step("s", "in", Operator::Aggregate(aggregate.clone()));
        cogroup.from.extend(from(key));
        pipeline(vec![step(key, "in", map("f")), cogroup])
    };
    let mut spec = with("k");
    spec.sinks[0].topic = "p-s-k-repartition".into();
    assert_eq!(errors(&spec), [("out".into(), "topic")]);
    let longest = TOPIC_CHARACTERS_MAX - "p-s--repartition".len();
    assert!(errors(&with(&"k".repeat(longest))).iter().all(|e| e.1 != "cogroup"));
    assert!(errors(&with(&"k".repeat(longest + 1))).iter().any(|e| e.1 == "cogroup"));
}

#[test]
fn a_step_that_deduplicates_has_times_that_are_not_negative() {
    let fields = |within_ms, grace_ms, partitions| {
        let deduplicate = Deduplicate { function: None, within_ms, grace_ms, partitions };
        let spec = pipeline(vec![step("k", "in", map("f")), step("s", "k", Operator::Deduplicate(deduplicate))]);
        errors(&spec).into_iter().map(|e| e.1).collect::<Vec<_>>()
    };
    assert_eq!(fields(0, 0, Some(3)), [""; 0]);
    assert_eq!(fields(-1, -1, None), ["deduplicate"; 2]);
    assert_eq!(fields(1, 1, Some(PARTITIONS_MAX + 1)), ["partitions"]);
}

#[test]
fn keys_that_kafkas_serializers_could_not_tell_apart_are_refused() {
    let windowed = |name: &str, form| step(name, "in", count(Some(Window { form, grace_ms: 0 }), Emit::OnClose));
    let (time, session) = (WindowForm::Hopping { size_ms: 9, advance_ms: 9 }, WindowForm::Session { gap_ms: 9 });
    let cumulating = WindowForm::Cumulating { size_ms: 9, step_ms: 3 };
    let refused = |forms: &[WindowForm], format| {
        let steps = forms.iter().enumerate().map(|(i, form)| windowed(&format!("s{i}"), *form)).collect();
        let mut spec = pipeline(steps);
        (spec.sinks[0].from, spec.sinks[0].key_format) =
            ((0..forms.len()).flat_map(|i| from(&format!("s{i}"))).collect(), format);
        errors(&spec).into_iter().map(|e| e.1).collect::<Vec<_>>() == ["key-format"]
    };
    assert!(refused(&[time, session], KeyFormat::Kafka) && refused(&[cumulating], KeyFormat::Kafka));
    assert!(!refused(&[session, session], KeyFormat::Kafka) && !refused(&[time, time], KeyFormat::Kafka));
    assert!(!refused(&[time, session, cumulating], KeyFormat::Json));
}

#[test]
fn what_check_accepts_can_be_planned_and_what_it_refuses_cannot() {
    let window = Some(Window { form: WindowForm::Hopping { size_ms: 10, advance_ms: 10 }, grace_ms: 0 });
    let windowed = |name: &str, input: &str| step(name, input, count(window, Emit::OnUpdate));
    let plan = |spec: &Spec| crate::topology::graph::plan(spec, &|_| Some(1)).is_ok();
    let nested = pipeline(vec![windowed("a", "in"), windowed("b", "a")]);
    assert_eq!((errors(&nested), plan(&nested)), (vec![("b".into(), "window")], false));
    let keyed = pipeline(vec![windowed("a", "in"), step("k", "a", map("f")), windowed("b", "k")]);
    assert_eq!((errors(&keyed), plan(&keyed)), (vec![], true));
    let circle = pipeline(vec![step("a", "b", map("f")), step("b", "a", map("f")), step("c", "in", map("f"))]);
    assert_eq!((errors(&circle), plan(&circle)), (vec![("a".into(), "from")], false));
    let itself = pipeline(vec![step("a", "a", map("f"))]);
    assert_eq!((errors(&itself), plan(&itself)), (vec![("a".into(), "from")], false));
}

#[test]
fn two_circles_are_two_errors_each_beginning_with_its_first_step() {
    let steps = [("c", "a"), ("b", "c"), ("a", "b"), ("z", "y"), ("y", "z")].map(|(n, i)| step(n, i, map("f")));
    let found = check(&pipeline(steps.to_vec()));
    let told: Vec<_> = found.iter().filter(|p| p.severity == Severity::Error).map(|p| p.message.as_str()).collect();
    let circle = |names| format!("these steps feed each other in a circle: {names}");
    assert_eq!(told, [circle("c → b → a → c"), circle("z → y → z")]);
}

#[test]
fn every_count_has_a_limit() {
    let most = |section: Section, fill: fn(&mut Spec, usize), max: usize| {
        let mut spec = pipeline(vec![]);
        fill(&mut spec, max);
        let told =
            |spec: &Spec| check(spec).iter().any(|p| p.place.section == section && p.message.contains("may have"));
        assert!(!told(&spec), "{section:?}");
        fill(&mut spec, max + 1);
        assert!(told(&spec), "{section:?}");
    };
    most(
        Section::Functions,
        |s, n| s.functions = (0..n).map(|i| FunctionSpec { name: format!("f{i}") }).collect(),
        FUNCTIONS_MAX,
    );
    most(
        Section::Sources,
        |s, n| {
            let source = |i| SourceSpec {
                name: format!("s{i}"),
                topics: vec![format!("t{i}")],
                timestamp: None,
                on_error: OnError::Fail,
            };
            s.sources = (0..n).map(source).collect();
        },
        SOURCES_MAX,
    );
    most(Section::Steps, |s, n| s.steps = (0..n).map(|i| step(&format!("s{i}"), "in", map("f"))).collect(), STEPS_MAX);
    most(
        Section::Sinks,
        |s, n| {
            let sink = s.sinks[0].clone();
            s.sinks =
                (0..n).map(|i| SinkSpec { name: format!("k{i}"), topic: format!("t{i}"), ..sink.clone() }).collect();
        },
        SINKS_MAX,
    );
}

#[test]
fn outputs_partitions_and_names_have_limits() {
    let branch = |n: usize| {
        let outputs = (0..n).map(|i| format!("o{i}")).collect();
        step("a", "in", Operator::Branch { function: "f".into(), outputs, otherwise: None })
    };
    let fields = |step: StepSpec| {
        let mut spec = pipeline(vec![step]);
        spec.sinks[0].from = from("in");
        errors(&spec).into_iter().map(|e| e.1).collect::<Vec<_>>()
    };
    assert_eq!(
        (fields(branch(OUTPUTS_MAX)), fields(branch(OUTPUTS_MAX + 1)), fields(branch(0))),
        (vec![], vec!["outputs"], vec!["outputs"])
    );
    let partitions = |n| fields(step("a", "in", Operator::Repartition { partitions: Some(n) }));
    assert_eq!(
        (partitions(PARTITIONS_MAX), partitions(PARTITIONS_MAX + 1), partitions(0)),
        (vec![], vec!["partitions"], vec!["partitions"])
    );
    let topic = |name: String| {
        let mut spec = pipeline(vec![]);
        spec.sinks[0].topic = name;
        errors(&spec).len()
    };
    assert_eq!((topic("t".repeat(TOPIC_CHARACTERS_MAX)), topic("t".repeat(TOPIC_CHARACTERS_MAX + 1))), (0, 1));
    let long = "n".repeat(TOPIC_CHARACTERS_MAX - repartition_topic("p", "").len());
    assert_eq!(
        (fields(step(&long, "in", map("f"))), fields(step(&format!("{long}n"), "in", map("f")))),
        (vec![], vec![""])
    );
}

fn process(stores: &[(&str, Option<i64>)], outputs: usize) -> Operator {
    let store = |(name, ttl_ms): &(&str, Option<i64>)| StoreSpec { name: name.to_string(), ttl_ms: *ttl_ms };
    Operator::Process(Process {
        function: "f".into(),
        stores: stores.iter().map(store).collect(),
        outputs: (0..outputs).map(|o| format!("o{o}")).collect(),
        partitions: None,
    })
}

#[test]
fn stores_of_a_processor_have_limits_and_names_of_their_own() {
    let fields = |stores: &[(&str, Option<i64>)], outputs: usize| {
        let mut spec = pipeline(vec![step("a", "in", process(stores, outputs))]);
        spec.sinks.clear();
        errors(&spec).into_iter().map(|e| e.1).collect::<Vec<_>>()
    };
    let names: Vec<String> = (0..=STORES_MAX).map(|i| format!("s{i}")).collect();
    let many: Vec<(&str, Option<i64>)> = names.iter().map(|name| (&name[..], None)).collect();
    assert_eq!((fields(&many[1..], 0), fields(&many, 0)), (vec![], vec!["stores"]));
    assert_eq!((fields(&[], OUTPUTS_MAX), fields(&[], OUTPUTS_MAX + 1)), (vec![], vec!["outputs"]));
    let long = "n".repeat(STORE_CHARACTERS_MAX + 1);
    assert_eq!((fields(&[(&long[1..], None)], 0), fields(&[(&long, None)], 0)), (vec![], vec!["stores"]));
    assert_eq!((fields(&[("s", Some(1))], 0), fields(&[("s", Some(0))], 0)), (vec![], vec!["stores"]));
    assert_eq!(fields(&[("s", None), ("s", None)], 0), ["stores"]);
    for bad in ["", "a b", "ä"] {
        assert_eq!(fields(&[(bad, None)], 0), ["stores"], "{bad:?}");
    }
    assert_eq!(fields(&[("timers", None)], 0), ["stores"]);
}

#[test]
fn two_stores_of_one_name_and_changelogs_with_names_too_long_are_refused() {
    let names = |first: StepSpec, second: StepSpec| errors(&pipeline(vec![first, second]));
    let both = names(step("a-b", "in", count(None, Emit::OnUpdate)), step("a", "in", process(&[("b", None)], 0)));
    assert_eq!(both, [("a".into(), "stores")]);
    let both = names(step("a", "in", process(&[("b-timers", None)], 0)), step("a-b", "in", process(&[], 0)));
    assert_eq!(both, [("a".into(), "stores"), ("a-b".into(), "stores")]);
    // Of the changelog `p-NAME-timers-changelog`.
    let around = "p--timers-changelog".len();
    let long = |len: usize| errors(&pipeline(vec![step(&"n".repeat(len), "in", process(&[], 0))])).len();
    assert_eq!((long(TOPIC_CHARACTERS_MAX - around), long(TOPIC_CHARACTERS_MAX - around + 1)), (0, 1));
}

#[test]
fn results_of_a_processor_are_read_by_its_outputs_where_it_has_any() {
    let read = |outputs: usize, output: Option<&str>| {
        let mut spec = pipeline(vec![step("a", "in", process(&[], outputs))]);
        spec.sinks[0].from[0].output = output.map(str::to_string);
        errors(&spec).into_iter().map(|e| e.1).collect::<Vec<_>>()
    };
    assert_eq!((read(0, None), read(1, Some("o0"))), (vec![], vec![]));
    assert_eq!((read(0, Some("o0")), read(1, None), read(1, Some("o1"))), (vec!["from"], vec!["from"], vec!["from"]));
}

#[test]
fn a_router_names_topics_that_it_may_write_and_a_function_that_there_is() {
    let routed = |function: &str, topics: Vec<String>, pattern: Option<&str>| {
        let mut spec = pipeline(vec![]);
        spec.sinks[0].from = from("in");
        let pattern = pattern.map(str::to_string);
        spec.sinks[0].route = Some(Route { function: function.into(), topics, pattern });
        errors(&spec).into_iter().map(|(_, field)| field).collect::<Vec<_>>()
    };
    let many = |n: usize| (0..n).map(|i| format!("r{i}")).collect::<Vec<_>>();
    assert_eq!(routed("f", many(ROUTED_TOPICS_MAX), None), [] as [&str; 0]);
    assert_eq!(routed("f", many(ROUTED_TOPICS_MAX + 1), None), ["topics"]);
    assert_eq!(routed("nobody", vec![], None), ["route"]);
    assert_eq!(routed("f", vec!["lines".into()], None), ["topics"], "the pipeline reads it");
    assert_eq!(routed("f", vec!["no topic".into()], None), ["topics"]);
    assert_eq!((routed("f", vec![], Some("a-*")), routed("f", vec![], Some("**"))), (vec![], vec!["topics"]));
}

#[test]
fn the_function_of_a_source_is_there_and_waiting_for_one_input_is_told() {
    let mut spec = pipeline(vec![step("a", "in", map("f"))]);
    spec.sources[0].timestamp = Some("nobody".into());
    spec.steps[0].max_idle = Some(MaxIdle::After(5));
    assert!(errors(&spec).contains(&("in".into(), "timestamp")));
    assert!(check(&spec).iter().any(|p| p.severity == Severity::Warning && p.place.field == "max-idle"));
    spec.sources[0].timestamp = Some("f".into());
    assert_eq!(errors(&spec), []);
}
