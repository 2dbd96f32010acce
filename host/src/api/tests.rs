//! A host without functions behind its API: what goes in comes out, counts and places are told, what is wrong is a problem.

use std::borrow::Cow;

use millstream_core::state::keyspace::{Durability, Keyspaces};
use millstream_core::topology::spec::{From, KeyFormat, OnError, SinkSpec, SourceSpec, Spec};
use millstream_wasm::Registry;
use millstream_web::api::{Mark, NewRecord, Trying};

use super::*;
use crate::runtime::functions;
use crate::runtime::memory::memory;
use crate::runtime::plan::{Guarantee, Pipeline as Planned};

/// A pipeline that copies one topic to another.
fn copying() -> Planned {
    let source =
        SourceSpec { name: "source".into(), topics: vec!["in".into()], timestamp: None, on_error: OnError::Fail };
    let sink = SinkSpec {
        name: "sink".into(),
        from: vec![From { name: "source".into(), output: None }],
        topic: "out".into(),
        key_format: KeyFormat::Kafka,
        window_headers: false,
        on_error: OnError::Fail,
        route: None,
    };
    let spec = Spec { pipeline: "copy".into(), sources: vec![source], sinks: vec![sink], ..Spec::default() };
    Planned {
        spec,
        functions: Vec::new(),
        formats: Default::default(),
        partitions: vec![("in".into(), 3), ("out".into(), 3)],
        starts: Vec::new(),
        durability: Durability::Process,
        commit_interval_ms: 5,
        retention_ms: None,
        retention_bytes: None,
        kafka: None,
        guarantee: Guarantee::ExactlyOnce,
        internal_topics: Default::default(),
        logs: None,
        keep_components_ms: 7 * 86_400_000,
        trust: Default::default(),
    }
}

fn started(db: Arc<dyn Keyspaces>) -> HostApi {
    let registry = Arc::new(Registry::new(functions::config(None, 1).unwrap()).unwrap());
    HostApi::new(Host::start(copying(), db, registry, 1).unwrap(), Arc::default())
}

fn record(line: u32, key: Option<&'static str>, value: &'static str) -> NewRecord<'static> {
    let bytes = |text: &'static str| Cow::Borrowed(text.as_bytes());
    NewRecord { line, key: key.map(bytes), value: Some(bytes(value)), timestamp: Some(7), ..NewRecord::default() }
}

fn append(api: &HostApi, topic: &str, records: Vec<NewRecord<'_>>) -> Result<Appended, Problem> {
    api.append(Append { topic, records, mark: None })
}

/// Values of a topic's partitions.
fn values(api: &HostApi, topic: &str) -> Vec<Vec<String>> {
    let partition = |number| {
        let mut out = Vec::new();
        let read = api.read(topic, number, 0, &mut |record| {
            assert_eq!((record.offset, record.timestamp), (out.len() as i64, 7));
            out.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            true
        });
        assert_eq!(read.unwrap(), out.len() as i64);
        out
    };
    (0..3).map(partition).collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_goes_in_is_copied_counted_and_told() {
    let api = started(memory());
    until("all tasks run", || api.not_ready().is_empty());
    let keyed = vec![record(1, Some("a"), "1"), record(2, Some("b"), "2"), record(3, Some("a"), "3")];
    let appended = append(&api, "in", keyed).unwrap();
    assert_eq!((appended.records, appended.partitions.iter().map(|p| p.records).sum::<u64>()), (3, 3));
    let keyless: Vec<_> =
        (0..2).map(|_| append(&api, "in", vec![record(1, None, "x"), record(2, None, "y")]).unwrap()).collect();
    assert_eq!((keyless[0].partitions.len(), keyless[1].partitions.len()), (1, 1), "those of one call stay together");
    assert_ne!(keyless[0].partitions[0].partition, keyless[1].partitions[0].partition);
    until("all is copied", || values(&api, "out") == values(&api, "in"));
    until("all is counted", || api.tasks().unwrap().iter().map(|t| t.records).sum::<u64>() == 7);
    let tasks = api.tasks().unwrap();
    assert!(tasks.len() == 3 && tasks.iter().all(|t| t.lag() == 0 && t.state == TaskState::Running), "{tasks:?}");
    assert_eq!(tasks.iter().map(|t| t.positions[0].offset).sum::<i64>(), 7);
    let topic = api.topic("out").unwrap();
    assert_eq!(topic.partitions.iter().map(|p| p.end).sum::<i64>(), 7);
    assert_eq!(api.topics().unwrap().len(), 2);
    let pipeline = api.pipeline();
    assert_eq!((pipeline.name.as_str(), pipeline.tasks, pipeline.topics), ("copy", 3, vec!["in".into(), "out".into()]));
    assert!(api.totals().commits > 0);
    api.host.stop();
}

#[test]
fn positions_are_told_before_a_task_has_done_anything_again() {
    let db = memory();
    let api = started(db.clone());
    append(&api, "in", vec![record(1, Some("a"), "1")]).unwrap();
    until("it is committed", || api.tasks().unwrap().iter().map(|t| t.records).sum::<u64>() == 1);
    api.host.stop();
    let again = started(db);
    let at: i64 = again.tasks().unwrap().iter().map(|t| t.positions[0].offset).sum();
    assert_eq!(at, 1);
    assert!(again.tasks().unwrap().iter().all(|t| t.lag() == 0));
    again.host.stop();
}

#[test]
fn what_is_wrong_writes_nothing_and_says_what_would_be_right() {
    let api = started(memory());
    let problem = append(&api, "inn", vec![record(1, None, "x")]).unwrap_err();
    assert_eq!(problem.kind(), Some(Kind::UnknownTopic));
    assert_eq!(problem.detail, "there is no topic `inn`; is `in` meant? (there are: in, out)");
    let wrong = NewRecord { partition: Some(3), ..record(9, None, "x") };
    let problem = append(&api, "in", vec![record(1, Some("a"), "1"), wrong]).unwrap_err();
    assert_eq!((problem.kind(), problem.line), (Some(Kind::UnknownPartition), Some(9)));
    assert_eq!(values(&api, "in").concat(), Vec::<String>::new());
    let problem = api.read("in", 1, 5, &mut |_| true).unwrap_err();
    assert_eq!((problem.kind(), problem.start, problem.end), (Some(Kind::OffsetOutOfRange), Some(0), Some(0)));
    for problem in [
        api.history("f").unwrap_err(),
        api.rollback("f", None).unwrap_err(),
        api.deploy(&[Deploy {
            function: "f",
            component: b"x",
            settings: None,
            origin: "test",
            signature: "",
            probation: Trying::Not,
            replay: 0,
        }])
        .unwrap_err(),
    ] {
        assert_eq!(
            (problem.kind(), problem.detail.as_str()),
            (Some(Kind::UnknownFunction), "there is no function `f` (there are none)")
        );
    }
    api.host.stop();
}

#[test]
fn a_request_sent_again_is_written_once_also_after_a_restart() {
    let db = memory();
    let mark = Some(Mark { producer: "p", sequence: 1 });
    let send =
        |api: &HostApi| api.append(Append { topic: "in", records: vec![record(1, Some("a"), "1")], mark }).unwrap();
    let api = started(db.clone());
    assert!(!send(&api).repeated);
    assert!(send(&api).repeated);
    api.host.stop();
    let again = started(db);
    let repeated = send(&again);
    assert_eq!((repeated.repeated, repeated.records), (true, 1));
    assert_eq!(values(&again, "in").concat(), ["1"]);
    again.host.stop();
}

#[test]
fn a_reader_stops_where_it_wants_and_waits_are_woken() {
    let api = started(memory());
    let many: Vec<_> = (0..100).map(|line| NewRecord { partition: Some(0), ..record(line, None, "x") }).collect();
    let generation = api.generation();
    append(&api, "in", many).unwrap();
    let started = Instant::now();
    api.wait(generation, Duration::from_secs(30));
    assert!(started.elapsed() < Duration::from_secs(20), "what was written before the wait ends it");
    let mut seen = 0;
    let next = api.read("in", 0, 10, &mut |_| {
        seen += 1;
        seen < 5
    });
    assert_eq!((next.unwrap(), seen), (15, 5));
    api.host.stop();
}
