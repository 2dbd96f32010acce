//! Rows, builds, formats and failures of global tables, over storage in memory.

use std::sync::Arc;

use millstream_core::formats::{Assigned, Converted, Formats, Unavailable};
use millstream_core::function::Rejection;
use millstream_core::record::BatchBuilder;
use millstream_core::topology::graph::{GlobalTable, Topic, Topology};
use millstream_core::topology::spec::SourceSpec;

use super::*;
use crate::runtime::memory::memory;

/// Text in capitals; a `?` is bad, a `!` cannot be said now.
struct Capitals;

impl Formats for Capitals {
    fn decode(&self, _: usize, items: &BytesColumn) -> Result<Converted, Unavailable> {
        let all: Vec<Option<&[u8]>> = (0..items.len()).map(|i| items.get(i)).collect();
        if all.iter().flatten().any(|item| item.contains(&b'!')) {
            return Err(Unavailable("not now".into()));
        }
        let bad = |item: &Option<&[u8]>| item.is_some_and(|item| item.contains(&b'?'));
        let rejected = all.iter().enumerate().filter(|(_, item)| bad(item));
        let rejected = rejected.map(|(i, _)| Rejection { index: i as u32, reason: "a question".into() }).collect();
        let items: Vec<Option<Vec<u8>>> =
            all.iter().map(|item| item.filter(|_| !bad(item)).map(<[u8]>::to_ascii_uppercase)).collect();
        Ok(Converted { items: items.iter().map(Option::as_deref).collect(), rejected })
    }

    fn encode(&self, format: usize, items: &BytesColumn) -> Result<Converted, Unavailable> {
        self.decode(format, items)
    }
}

fn topology(decoded: bool) -> Topology {
    let topic = |name: &str| Topic { name: name.into(), partitions: 2, internal: false, limits: Default::default() };
    let pair = Pair { key: None, value: decoded.then_some(0) };
    let formats = Assigned { sources: [("rates".into(), pair)].into(), ..Assigned::default() };
    let globals = vec![GlobalTable { name: "rate".into(), source: "rates".into(), topics: vec![0, 1] }];
    Topology { topics: vec![topic("a"), topic("b")], globals, formats, ..Topology::default() }
}

fn open(db: &Arc<dyn Keyspaces>, decoded: bool, on_error: OnError) -> Rows {
    let (name, topics) = ("rates".to_string(), vec!["a".to_string(), "b".to_string()]);
    let spec = Spec { sources: vec![SourceSpec { name, topics, timestamp: None, on_error }], ..Spec::default() };
    Rows::open(db.clone(), &topology(decoded), &spec, Arc::new(Capitals)).unwrap()
}

fn fill(
    rows: &Rows,
    build: u32,
    partition: u32,
    from: i64,
    records: &[(Option<&str>, Option<&str>)],
) -> Result<usize, FillError> {
    let mut batch = BatchBuilder::default();
    for (key, value) in records {
        batch.push(key.map(str::as_bytes), value.map(str::as_bytes), 7, []);
    }
    let position = Position { offset: from + records.len() as i64, written_at: 1 };
    rows.fill(&Fill { table: 0, build, topic: 1, partition, from, batch: &batch.finish(), position })
}

fn looked_up(rows: &Rows, keys: &[&str]) -> Vec<Option<String>> {
    let mut asked: Vec<Option<&[u8]>> = keys.iter().map(|key| Some(key.as_bytes())).collect();
    asked.push(None);
    let found = rows.rows(0, &asked).unwrap();
    let all: Vec<_> = (0..found.len()).map(|i| found.get(i).map(|v| String::from_utf8_lossy(v).into_owned())).collect();
    assert_eq!((all.len(), all.last()), (keys.len() + 1, Some(&None)), "no key, no row");
    all[..keys.len()].to_vec()
}

fn some(text: &str) -> Option<String> {
    Some(text.into())
}

#[test]
fn the_last_value_of_a_key_is_its_row_and_both_outlive_the_host() {
    let db = memory();
    let rows = open(&db, false, OnError::Fail);
    let records = [(Some("eu"), Some("1")), (None, Some("x")), (Some("us"), Some("")), (Some("eu"), Some("2"))];
    assert_eq!(fill(&rows, 0, 0, 0, &records), Ok(1), "one has no key");
    assert_eq!(fill(&rows, 0, 1, 5, &[(Some("jp"), Some("3")), (Some("jp"), None)]), Ok(0));
    assert_eq!(looked_up(&rows, &["eu", "us", "jp", "e", ""]), [some("2"), some(""), None, None, None]);
    let again = open(&db, false, OnError::Fail);
    assert_eq!(looked_up(&again, &["eu", "us"]), [some("2"), some("")]);
    let position = |partition| again.position(0, 0, 1, partition).unwrap().map(|p| (p.offset, p.written_at));
    assert_eq!([position(0), position(1), position(2)], [Some((4, 1)), Some((7, 1)), None]);
    assert_eq!(again.position(0, 0, 0, 0).unwrap(), None, "of the other topic nothing is read");
}

#[test]
fn a_build_is_seen_when_it_is_whole_and_what_was_before_is_gone() {
    let db = memory();
    let rows = open(&db, false, OnError::Fail);
    fill(&rows, 0, 0, 0, &[(Some("old"), Some("1")), (Some("both"), Some("1"))]).unwrap();
    rows.note_made_from(0, 0, b"first").unwrap();
    let build = rows.begin_build(0).unwrap();
    assert_eq!(rows.position(0, build, 1, 0).unwrap(), None, "it begins with nothing");
    fill(&rows, build, 0, 0, &[(Some("both"), Some("2"))]).unwrap();
    rows.note_made_from(0, build, b"second").unwrap();
    assert_eq!(looked_up(&rows, &["old", "both"]), [some("1"), some("1")]);
    // A host that ended in the middle begins the build again.
    let rows = open(&db, false, OnError::Fail);
    assert_eq!((rows.current(0), rows.begin_build(0).unwrap()), (0, build));
    assert_eq!(rows.position(0, build, 1, 0).unwrap(), None);
    assert_eq!(rows.made_from(0, build).unwrap(), None);
    fill(&rows, build, 0, 0, &[(Some("both"), Some("3"))]).unwrap();
    rows.note_made_from(0, build, b"third").unwrap();
    rows.take_build(0, build).unwrap();
    assert_eq!(looked_up(&rows, &["old", "both"]), [None, some("3")]);
    let again = open(&db, false, OnError::Fail);
    assert_eq!((again.current(0), again.made_from(0, build).unwrap().as_deref()), (build, Some(&b"third"[..])));
    assert_eq!(looked_up(&again, &["old", "both"]), [None, some("3")]);
    let mut left = 0;
    db.scan(rows.tables[0].space, &[], None, &mut |_, _| {
        left += 1;
        millstream_core::state::keyspace::Scan::Continue
    })
    .unwrap();
    assert_eq!(left, 4, "the note, what it is made from, a position and a row");
}

#[test]
fn what_has_no_form_is_left_out_or_stops_the_table_and_an_outage_takes_nothing() {
    let db = memory();
    let rows = open(&db, true, OnError::Skip);
    let records = [(Some("eu"), Some("one")), (Some("us"), Some("a?")), (Some("jp"), None)];
    assert_eq!(fill(&rows, 0, 0, 0, &records), Ok(1));
    assert_eq!(looked_up(&rows, &["eu", "us"]), [some("ONE"), None]);
    assert_eq!(fill(&rows, 0, 0, 3, &[(Some("eu"), Some("a!"))]), Err(FillError::Retry("not now".into())));
    assert_eq!(rows.position(0, 0, 1, 0).unwrap().unwrap().offset, 3);
    let rows = open(&db, true, OnError::Fail);
    let why = fill(&rows, 0, 0, 3, &[(Some("eu"), Some("ok")), (Some("us"), Some("a?"))]).unwrap_err().to_string();
    let told = "global table `rate`: the value of the record of b-0 near offset 4 is bad: a question; leave such records out with \
                `on-error: skip` on its source";
    assert_eq!(why, told);
    assert_eq!(looked_up(&rows, &["eu"]), [some("ONE")], "none of them was taken");
}

#[test]
fn a_table_that_stopped_says_why_to_whoever_looks() {
    let rows = open(&memory(), false, OnError::Fail);
    assert_eq!(rows.failed(), None);
    rows.fail(0, "its topic is gone".into());
    assert_eq!(rows.failed().as_deref(), Some("its topic is gone"));
    let why = rows.rows(0, &[Some(b"k")]).unwrap_err();
    assert_eq!(why, StorageError::Unavailable("its topic is gone".into()));
}

#[test]
fn a_row_of_a_later_version_is_not_guessed_at() {
    let db = memory();
    let rows = open(&db, false, OnError::Fail);
    let write = Write::Put(rows.tables[0].space, row_key(0, b"k"), vec![VERSION + 1; 12]);
    db.apply(vec![write], Durability::Process).unwrap();
    assert!(matches!(rows.rows(0, &[Some(b"k")]), Err(StorageError::Corrupted(_))));
}
