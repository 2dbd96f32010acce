//! Questions to a host without functions, and to one of a fleet that is made up: its first partition is here, the second is restored, the
//! third at another host, the fourth nobody's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_core::limits::Limits;
use millstream_core::state::key::{self, StoreKind};
use millstream_core::state::keyspace::{Durability, Keyspaces, Space, SpaceKind, View, Write};
use millstream_core::state::value::Stored;
use millstream_core::topology::graph::plan;
use millstream_core::topology::spec::{
    Aggregate, CountFormat, Emit, Fold, From, FunctionSpec, Idle, Lateness, OnError, Operator, Process, SourceSpec,
    Spec, StepSpec, StoreSpec, Window as Windows, WindowForm,
};
use millstream_web::api::Place;
use millstream_web::{ROWS_DEFAULT, ROWS_MAX};

use super::*;
use crate::runtime::memory::memory;
use crate::runtime::query::Read;

const PARTITIONS: u32 = 4;

fn fold(window: Option<WindowForm>) -> Operator {
    let (fold, window) = (Fold::Count(CountFormat::Long), window.map(|form| Windows { form, grace_ms: 0 }));
    let (emit, emit_every_update) = (Emit::OnUpdate, false);
    Operator::Aggregate(Aggregate { fold, window, emit, emit_every_update, partitions: None })
}

fn by_function() -> Operator {
    let window = Some(Windows { form: WindowForm::Sliding { difference_ms: 5 }, grace_ms: 0 });
    let fold = Fold::Aggregate { function: "f".into() };
    let (emit, emit_every_update) = (Emit::OnClose, false);
    Operator::Aggregate(Aggregate { fold, window, emit, emit_every_update, partitions: None })
}

/// Counts without windows and with them, sessions, sliding windows, a table and a processor.
fn topology() -> Topology {
    let steps = [
        ("counts", fold(None)),
        ("windows", fold(Some(WindowForm::Hopping { size_ms: 10, advance_ms: 10 }))),
        ("sessions", fold(Some(WindowForm::Session { gap_ms: 5 }))),
        ("sliding", fold(Some(WindowForm::Sliding { difference_ms: 5 }))),
        ("by-function", by_function()),
        ("table", Operator::Table { partitions: None, history_ms: None }),
        (
            "alarms",
            Operator::Process(Process {
                function: "f".into(),
                stores: vec![StoreSpec { name: "last".into(), ttl_ms: Some(100) }],
                outputs: vec![],
                partitions: None,
            }),
        ),
    ];
    let step = |(name, operator): (&str, Operator)| StepSpec {
        name: name.into(),
        from: vec![From { name: "in".into(), output: None }],
        operator,
        on_error: OnError::Fail,
        late: None,
        idle: Idle::Never,
        lateness: Lateness::OwnTask,
        max_idle: None,
    };
    let source = SourceSpec { name: "in".into(), topics: vec!["in".into()], timestamp: None, on_error: OnError::Fail };
    let spec = Spec {
        pipeline: "p".into(),
        functions: vec![FunctionSpec { name: "f".into() }],
        sources: vec![source],
        steps: steps.into_iter().map(step).collect(),
        ..Spec::default()
    };
    let topology = plan(&spec, &|_| Some(PARTITIONS)).unwrap();
    assert_eq!((topology.subs.len(), topology.subs[0].stores[0].limits), (1, Limits::default()));
    topology
}

struct Fleet {
    db: Arc<dyn Keyspaces>,
    spaces: Vec<Space>,
    meta: Meta,
    /// Partitions that are here.
    here: u32,
}

impl Fleet {
    fn new(topology: &Topology, here: u32) -> Self {
        let db = memory();
        let spaces =
            topology.subs[0].stores.iter().map(|s| db.open_space(&s.name, SpaceKind::State).unwrap()).collect();
        let times = |step: &str| (step.to_string(), 200, 0);
        let nodes = vec![times("alarms"), ("counts".into(), 77, NEVER), ("table".into(), NEVER, NEVER)];
        let meta = Meta { positions: vec![("in".into(), 5)], nodes, ..Meta::default() };
        Self { db, spaces, meta, here }
    }

    fn put(&self, store: usize, partition: u32, whole: &[u8], timestamp: i64, value: &[u8]) {
        let key = [&partition.to_be_bytes()[..], whole].concat();
        let value = Stored { layout: 0, timestamp, state: value }.encode();
        self.db.apply(vec![Write::Put(self.spaces[store], key, value)], Durability::Process).unwrap();
    }
}

impl Stores for Fleet {
    fn look(&self, task: TaskId, store: usize, read: Read<'_>) -> Result<Result<(), Away>, QueryError> {
        match task.partition {
            here if here < self.here => {
                let view: Box<dyn View + '_> = self.db.view()?;
                let (space, prefix, meta) = (self.spaces[store], task.partition.to_be_bytes(), self.meta.clone());
                read(Committed { view: view.as_ref(), space, prefix: &prefix, meta })?;
                Ok(Ok(()))
            }
            1 => Ok(Err(Away::Restoring("3 of 10 offsets".into()))),
            _ => Ok(Err(Away::NotHere)),
        }
    }

    /// None has one here: what functions are called for is tried from outside.
    fn functions(&self, _: usize, _: &Meta) -> Option<Callable> {
        None
    }

    fn owners(&self, of: &[TaskId]) -> Vec<Holder> {
        let holder = |task: &TaskId| match task.partition {
            3 => Holder::Unknown("nobody has it yet".into()),
            _ => Holder::At("http://10.0.0.7:7070".into()),
        };
        of.iter().map(holder).collect()
    }
}

fn question(store: &str, what: What) -> Question {
    Question { store: store.into(), what, partition: None, limit: ROWS_DEFAULT, after: None, results: false }
}

fn key(key: &str) -> What {
    What::Key { key: key.into(), from: None, to: None }
}

fn all_keys() -> What {
    What::Keys { from: vec![], to: None, windows: (None, None) }
}

/// A key of each partition.
fn keys() -> Vec<String> {
    let of =
        |partition| (0..).map(|n| format!("k{n}")).find(|k| partition_for_key(k.as_bytes(), PARTITIONS) == partition);
    (0..PARTITIONS).map(|partition| of(partition).unwrap()).collect()
}

fn count_of(fleet: &Fleet, partition: u32, key: &str, count: i64) {
    let whole = key::plain(b"", StoreKind::KeyValue, key.as_bytes());
    fleet.put(0, partition, &whole, 70, &count.to_be_bytes());
}

fn problem(result: Result<Rows, Problem>) -> (Kind, String) {
    let problem = result.unwrap_err();
    (problem.kind().unwrap(), problem.to_string())
}

#[test]
fn a_key_is_read_where_it_belongs() {
    let (topology, keys) = (topology(), keys());
    let fleet = Fleet::new(&topology, 1);
    count_of(&fleet, 0, &keys[0], 41);
    let answer = rows(&topology, &fleet, &question("counts", key(&keys[0]))).unwrap();
    let row = Row {
        partition: 0,
        key: Bytes(keys[0].clone().into_bytes()),
        window: None,
        value: StoredValue::Count(41),
        timestamp: Some(70),
    };
    let as_of = AsOf { partition: 0, positions: vec![At { topic: "in".into(), offset: 5 }], stream_time: Some(77) };
    assert_eq!(answer, Rows { store: "counts".into(), as_of: vec![as_of], rows: vec![row], ..Rows::default() });
    let at = |n: usize| rows(&topology, &fleet, &question("counts", key(&keys[n]))).unwrap_err();
    assert_eq!((at(1).kind(), at(1).partition), (Some(Kind::Restoring), Some(1)));
    assert!(at(1).detail.ends_with("partition 1: 3 of 10 offsets"), "{}", at(1).detail);
    let elsewhere = at(2);
    assert_eq!((elsewhere.kind(), elsewhere.host.as_deref()), (Some(Kind::Elsewhere), Some("http://10.0.0.7:7070")));
    assert_eq!((at(3).kind(), at(3).host.clone()), (Some(Kind::OwnerUnknown), None));
    let meant = Question { partition: Some(0), ..question("counts", key(&keys[2])) };
    let (kind, said) = problem(rows(&topology, &fleet, &meant));
    assert_eq!(kind, Kind::UnknownKey);
    assert!(said.contains("nothing of the key; read: partition 0"), "{said}");
}

#[test]
fn ranges_are_of_all_partitions_that_are_here_and_name_the_others() {
    let (topology, keys) = (topology(), keys());
    let fleet = Fleet::new(&topology, 1);
    count_of(&fleet, 0, &keys[0], 1);
    let answer = rows(&topology, &fleet, &question("counts", all_keys())).unwrap();
    assert_eq!((answer.rows.len(), answer.as_of.len(), answer.next), (1, 1, None));
    let told: Vec<_> = answer.not_read.iter().map(|n| (n.partition, n.host.as_deref(), &n.reason[..])).collect();
    let other = Some("http://10.0.0.7:7070");
    assert_eq!(told, [(1, None, "3 of 10 offsets"), (2, other, "another host has it"), (3, None, "nobody has it yet")]);
    let alone = Question { partition: Some(2), ..question("counts", all_keys()) };
    assert_eq!(problem(rows(&topology, &fleet, &alone)).0, Kind::Elsewhere, "it is all that was asked for");
    let nowhere = Fleet::new(&topology, 0);
    let nothing = problem(rows(&topology, &nowhere, &question("counts", all_keys())));
    assert_eq!(nothing.0, Kind::Elsewhere, "no partition is here");
}

#[test]
fn an_answer_is_bounded_and_goes_on_over_partitions() {
    let topology = topology();
    let fleet = Fleet::new(&topology, PARTITIONS);
    let per_partition = ROWS_MAX / 2;
    for partition in 0..PARTITIONS {
        (0..per_partition).for_each(|n| count_of(&fleet, partition, &format!("{n:04}"), n as i64));
    }
    let read = |limit| {
        let (mut after, mut sizes, mut seen) = (None, Vec::new(), Vec::new());
        loop {
            let answer = rows(&topology, &fleet, &Question { after, limit, ..question("counts", all_keys()) }).unwrap();
            sizes.push(answer.rows.len());
            seen.extend(answer.rows.iter().map(|row| (row.partition, row.value.clone())));
            match answer.next {
                Some(next) => after = Some(place_of(&next)),
                None => return (sizes, seen),
            }
        }
    };
    let all: Vec<_> =
        (0..PARTITIONS).flat_map(|p| (0..per_partition).map(move |n| (p, StoredValue::Count(n as i64)))).collect();
    assert_eq!(read(ROWS_MAX), (vec![ROWS_MAX, ROWS_MAX], all.clone()), "an answer ends with a partition");
    assert_eq!(read(per_partition + 1).1, all);
    let table = |partition: u32, n: u32| {
        let whole = key::plain(b"", StoreKind::KeyValue, &n.to_be_bytes());
        fleet.put(5, partition, &whole, 1, &vec![b'x'; ANSWER_BYTES_MAX / 4]);
    };
    (0..6).for_each(|n| table(n % 2, n));
    let answer = rows(&topology, &fleet, &question("table", all_keys())).unwrap();
    assert_eq!(answer.rows.len(), 4, "bytes end it, with the row that passes them");
    assert!(answer.next.is_some());
}

/// What a client sends for it.
fn place_of(next: &str) -> Place {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(next).unwrap();
    let (partition, at) = bytes.split_first_chunk::<4>().unwrap();
    Place { partition: u32::from_be_bytes(*partition), at: at.to_vec() }
}

#[test]
fn an_answer_ends_after_so_many_looks() {
    let topology = topology();
    let fleet = Fleet::new(&topology, 1);
    let whole = |n: usize| key::window(b"", n as i64 * 10, b"other");
    (0..LOOKS_MAX).for_each(|n| fleet.put(1, 0, &whole(n), 1, &1i64.to_be_bytes()));
    let what = What::Key { key: b"k".to_vec(), from: None, to: None };
    let asked = Question { partition: Some(0), ..question("windows", what) };
    let answer = rows(&topology, &fleet, &asked).unwrap();
    assert_eq!(answer.rows.len(), 0);
    let next = answer.next.expect("not all windows were looked at");
    let on = Question { after: Some(place_of(&next)), ..asked };
    let started = Instant::now();
    let answer = rows(&topology, &fleet, &on).unwrap();
    assert!(answer.rows.is_empty() && started.elapsed() < Duration::from_secs(5));
}

#[test]
fn windows_and_sessions_are_told_with_their_bounds() {
    let topology = topology();
    let fleet = Fleet::new(&topology, PARTITIONS);
    let put = |partition: u32, key: &str| {
        for start in [0, 10, 20] {
            fleet.put(1, partition, &key::window(b"", start, key.as_bytes()), start + 3, &2i64.to_be_bytes());
        }
        fleet.put(2, partition, &key::session(b"", key.as_bytes(), 4, 9), 9, &3i64.to_be_bytes());
    };
    let partition = partition_for_key(b"a", PARTITIONS);
    put(partition, "a");
    put((partition + 1) % PARTITIONS, "b");
    let windows = |rows: Rows| -> Vec<_> { rows.rows.iter().map(|row| row.window.map(|w| (w.start, w.end))).collect() };
    let ask = |store, what| rows(&topology, &fleet, &question(store, what));
    assert_eq!(
        windows(ask("windows", key("a")).unwrap()),
        [Some((0, Some(10))), Some((10, Some(20))), Some((20, Some(30)))]
    );
    let some = || What::Key { key: b"a".to_vec(), from: Some(5), to: Some(10) };
    assert_eq!(windows(ask("windows", some()).unwrap()), [Some((10, Some(20)))]);
    assert_eq!(windows(ask("sessions", key("a")).unwrap()), [Some((4, Some(9)))]);
    let (kind, said) = problem(ask("sessions", some()));
    assert!(kind == Kind::UnknownKey && said.contains("windows that start in this time"), "{said}");
    let range = What::Keys { from: b"a".to_vec(), to: Some(b"b".to_vec()), windows: (Some(10), None) };
    assert_eq!(windows(ask("windows", range).unwrap()), [Some((10, Some(20))), Some((20, Some(30)))]);
    let both = ask("windows", What::Windows { from: Some(20), to: None }).unwrap();
    assert_eq!((both.rows.len(), both.as_of.len()), (2, PARTITIONS as usize));
}

#[test]
fn a_processors_entries_are_looked_for_in_all_partitions() {
    let topology = topology();
    let fleet = Fleet::new(&topology, PARTITIONS);
    let put = |partition, key: &str, written| {
        fleet.put(6, partition, &key::plain(b"", StoreKind::KeyValue, key.as_bytes()), written, b"{\"a\":1}");
    };
    put(0, "last", 150);
    put(3, "last", 160);
    put(1, "old", 50);
    let answer = rows(&topology, &fleet, &question("alarms-last", key("last"))).unwrap();
    let told: Vec<_> = answer.rows.iter().map(|row| (row.partition, row.timestamp)).collect();
    assert_eq!(told, [(0, Some(150)), (3, Some(160))]);
    assert_eq!(answer.rows[0].value, StoredValue::Bytes(Bytes(b"{\"a\":1}".to_vec())));
    let (kind, said) = problem(rows(&topology, &fleet, &question("alarms-last", key("old"))));
    assert!(kind == Kind::UnknownKey && said.contains("partition 0, 1, 2, 3"), "older than its ttl: {said}");
    let fleet = Fleet::new(&topology, 1);
    let (_, said) = problem(rows(&topology, &fleet, &question("alarms-last", key("last"))));
    assert!(
        said.contains("read: partition 0\n  partition 1: 3 of 10 offsets\n  partition 2: ask http://10.0.0.7:7070"),
        "{said}"
    );
}

#[test]
fn sliding_counts_are_added_up_and_a_function_that_is_being_swapped_is_waited_for() {
    let topology = topology();
    let fleet = Fleet::new(&topology, PARTITIONS);
    let partition = partition_for_key(b"a", PARTITIONS);
    for (at, count) in [(4, 2i64), (9, 3)] {
        fleet.put(3, partition, &key::session(b"", b"a", at, at), at, &count.to_be_bytes());
    }
    let answer = rows(&topology, &fleet, &question("sliding", key("a"))).unwrap();
    let told = answer.rows.into_iter().map(|row| (row.window.map(|w| (w.start, w.end)), row.value));
    let count = |start, end, count| (Some((start, Some(end))), StoredValue::Count(count));
    assert_eq!(told.collect::<Vec<_>>(), [count(0, 5, 2), count(4, 9, 5), count(5, 10, 3)]);
    let (kind, said) = problem(rows(&topology, &fleet, &question("by-function", key("a"))));
    assert!(kind == Kind::Busy && said.contains("another version of it is taking over"), "{said}");
}

#[test]
fn what_cannot_be_asked_is_refused_with_what_can() {
    let topology = topology();
    let fleet = Fleet::new(&topology, PARTITIONS);
    let ask = |question: &Question| problem(rows(&topology, &fleet, question));
    let (kind, said) = ask(&question("count", key("a")));
    assert_eq!(kind, Kind::UnknownStore);
    assert!(said.contains("is `counts` meant?") && said.contains("alarms-last"), "{said}");
    assert_eq!(ask(&question("alarms-timers", all_keys())).0, Kind::StoreClosed);
    let windows = What::Keys { from: vec![], to: None, windows: (None, Some(5)) };
    let (kind, said) = ask(&question("counts", windows));
    assert!(kind == Kind::BadParameter && said.starts_with("window-from, window-to:"), "{said}");
    let results = Question { results: true, ..question("counts", key("a")) };
    assert!(ask(&results).1.starts_with("values:"));
    let (kind, said) = ask(&question("counts", What::Windows { from: None, to: None }));
    assert!(kind == Kind::BadParameter && said.contains("/v1/stores/counts/keys"), "{said}");
    let spanned = What::Key { key: b"a".to_vec(), from: Some(1), to: None };
    assert!(ask(&question("table", spanned)).1.starts_with("from, to:"));
    let far = Question { partition: Some(PARTITIONS), ..question("counts", key("a")) };
    assert_eq!(ask(&far), (Kind::UnknownPartition, "store `counts` is in 4 partitions, none is 4".into()));
    let other = |partition, at: &[u8]| {
        let after = Some(Place { partition, at: at.to_vec() });
        ask(&Question { after, ..question("counts", all_keys()) })
    };
    assert!(other(PARTITIONS, b"").1.starts_with("cursor:"));
    assert!(other(0, b"\x03no key").1.starts_with("cursor:"));
    let after = Some(Place { partition: (partition_for_key(b"a", PARTITIONS) + 1) % PARTITIONS, at: vec![] });
    assert!(ask(&Question { after, ..question("counts", key("a")) }).1.starts_with("cursor:"));
}

#[test]
fn all_stores_are_listed() {
    let told = list(&topology());
    let brief: Vec<_> =
        told.iter().map(|s| (&s.name[..], &s.kind[..], &s.values[..], s.windowed, s.answers.join(" "))).collect();
    let want = [
        ("counts", "aggregates", "counts", false, "key keys"),
        ("windows", "windows", "counts", true, "key keys windows"),
        ("sessions", "sessions", "counts", true, "key keys windows"),
        ("sliding", "windows", "counts", true, "key keys windows"),
        ("by-function", "windows", "states", true, "key keys windows"),
        ("table", "rows", "bytes", false, "key keys"),
        ("alarms-last", "entries", "bytes", false, "key keys"),
        ("alarms-timers", "timers", "bytes", false, ""),
    ];
    assert_eq!(brief, want.map(|(a, b, c, d, e)| (a, b, c, d, e.to_string())));
    assert!(told.iter().all(|store| store.results == (store.name == "by-function")));
    assert!(
        told.iter().all(|store| store.partitions == PARTITIONS && store.reason.is_some() == store.answers.is_empty())
    );
}
