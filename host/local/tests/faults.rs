//! Storage that refuses, rows that are damaged, threads that meet.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_core::record::Batch;
use millstream_core::state::keyspace::{Durability, Keyspaces, SpaceKind, StorageError, Write};
use millstream_local::{Append, AppendError, ChangeError, CreateError, Log, ReadError, TopicConfig, Unknown};

use common::{Disk, append, log, records, values};

/// Longest that threads wait for each other: a test that fails must not hang.
const PATIENCE: Duration = Duration::from_secs(60);

fn corrupted<T: std::fmt::Debug>(result: Result<T, ReadError>) -> String {
    match result {
        Err(ReadError::Storage(StorageError::Corrupted(why))) => why,
        other => panic!("not corrupted: {other:?}"),
    }
}

/// The reason why a log with this row cannot be opened.
fn unopened(disk: &Arc<Disk>) -> String {
    match Log::open(disk.clone()) {
        Err(StorageError::Corrupted(why)) => why,
        other => panic!("not corrupted: {:?}", other.map(|_| "opened")),
    }
}

#[test]
fn records_and_what_goes_with_them_are_one_write() {
    let (disk, log) = log(2);
    let space = disk.open_space("other", SpaceKind::State).unwrap();
    let appends = || [0, 1].map(|partition| Append { topic: "t".into(), partition, batch: values(5, 3) }).to_vec();
    let extra = || vec![Write::Put(space, b"position".to_vec(), b"5".to_vec())];
    disk.full.store(true, Ordering::Relaxed);
    let generation = log.generation();
    let refused = log.append(appends(), extra(), Durability::Device);
    assert_eq!(refused, Err(AppendError::Storage(StorageError::Unavailable("no space left".into()))));
    assert_eq!((log.end_offset("t", 0), log.end_offset("t", 1)), (Some(0), Some(0)));
    assert_eq!(log.generation(), generation, "nobody is woken for nothing");
    assert!(disk.rows("other").is_empty() && disk.rows("log.chunks").is_empty());
    disk.full.store(false, Ordering::Relaxed);
    assert_eq!(log.append(appends(), extra(), Durability::Device), Ok(vec![0, 0]));
    assert_eq!(disk.rows("other").len(), 1);
    let unknown = Append { topic: "t".into(), partition: 2, batch: values(1, 1) };
    let unknown = log.append([appends(), vec![unknown]].concat(), extra(), Durability::Device).unwrap_err();
    let expected = Unknown::Partition { topic: "t".into(), partition: 2, partitions: 2 };
    assert_eq!(unknown, AppendError::Unknown(expected));
    assert_eq!(unknown.to_string(), "topic `t` has no partition 2; it has 2, numbered from 0");
    assert_eq!(log.end_offset("t", 0), Some(5), "all or nothing");
    assert_eq!(log.append(vec![], extra(), Durability::Process), Ok(vec![]), "nothing but the caller's own writes");
}

#[test]
fn a_batch_with_uneven_columns_is_refused() {
    let (_, log) = log(1);
    let batch = Batch { timestamps: Arc::new(vec![1, 2]), ..values(3, 1) };
    let append = Append { topic: "t".into(), partition: 0, batch };
    let error = log.append(vec![append], vec![], Durability::Process).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the batch for topic `t` partition 0 has 3 keys, 3 values, 2 timestamps; they must be as many"
    );
}

#[test]
fn every_change_that_storage_refuses_leaves_all_as_it_was() {
    let (disk, log) = log(1);
    append(&log, 0, values(10, 1));
    let config = TopicConfig { retention_ms: Some(0), ..TopicConfig::default() };
    log.set_config("t", config).unwrap();
    let before = (log.topics(), log.partition("t", 0), disk.rows("log.topics"));
    disk.full.store(true, Ordering::Relaxed);
    let why = StorageError::Unavailable("no space left".into());
    assert_eq!(log.create_topic("u", 1, config), Err(CreateError::Storage(why.clone())));
    assert_eq!(log.set_config("t", TopicConfig::default()), Err(ChangeError::Storage(why.clone())));
    assert_eq!(log.delete_topic("t"), Err(ChangeError::Storage(why.clone())));
    assert_eq!(log.truncate_before("t", 0, 3), Err(ChangeError::Storage(why.clone())));
    assert_eq!(log.enforce_retention(i64::MAX), Err(why));
    assert_eq!((log.topics(), log.partition("t", 0), disk.rows("log.topics")), before);
    disk.full.store(false, Ordering::Relaxed);
    assert_eq!(log.enforce_retention(i64::MAX).unwrap().records, 10);
    assert_eq!(log.read("t", 0, 10, 1).unwrap().batch.len(), 0);
}

#[test]
fn a_deleted_topic_leaves_nothing_to_its_successor() {
    let (disk, log) = log(2);
    append(&log, 1, values(10, 1));
    log.truncate_before("t", 1, 4).unwrap();
    log.delete_topic("t").unwrap();
    assert_eq!(log.delete_topic("t"), Err(ChangeError::Unknown(Unknown::Topic("t".into()))));
    assert_eq!(log.read("t", 1, 4, 1), Err(ReadError::Unknown(Unknown::Topic("t".into()))));
    assert_eq!(disk.rows("log.topics").len(), 1, "only the next id");
    assert!(disk.rows("log.chunks").is_empty() && disk.rows("log.index").is_empty());
    let again = |log: &Log, id: u8| {
        log.create_topic("t", 2, TopicConfig::default()).unwrap();
        assert_eq!(append(log, 1, values(1, 1)), 0);
        assert_eq!(disk.rows("log.chunks")[0].0[..4], [0, 0, 0, id], "an id is never used again");
        log.delete_topic("t").unwrap();
    };
    again(&log, 1);
    again(&Log::open(disk.clone()).unwrap(), 2);
}

#[test]
fn damaged_chunks_are_named_and_no_panic() {
    let (disk, log) = log(1);
    assert_eq!([5, 5, 5].map(|n| append(&log, 0, values(n, 3))), [0, 5, 10]);
    let chunks = disk.rows("log.chunks");
    let (key, chunk) = &chunks[1];
    let place = "topic `t` partition 0 offset 5: ";
    let read = |bytes: &[u8]| {
        disk.set("log.chunks", key, bytes);
        log.read("t", 0, 0, 1 << 20)
    };
    let mut newer = chunk.clone();
    newer[0] = 9;
    assert_eq!(corrupted(read(&newer)), format!("{place}the chunk has format 9, this version reads 1"));
    let mut marked = chunk.clone();
    marked[1] = 0x80;
    assert_eq!(corrupted(read(&marked)), format!("{place}the chunk has a mark 128 that is not known"));
    for other in [&chunk[..chunk.len() - 1], &[&chunk[..], &[0]].concat()] {
        assert_eq!(corrupted(read(other)), format!("{place}the chunk has another length than its parts"));
    }
    for at in 0..chunk.len() {
        for bit in 0..8 {
            let mut flipped = chunk.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(fetched) = read(&flipped) {
                assert_eq!(records(&fetched.batch).len(), 15, "byte {at} bit {bit}");
            }
        }
    }
    disk.set("log.chunks", key, chunk);
    let hole = disk.open_space("log.chunks", SpaceKind::Log).unwrap();
    disk.apply(vec![Write::Delete(hole, key.clone())], Durability::Process).unwrap();
    assert_eq!(corrupted(log.read("t", 0, 0, 1 << 20)), format!("{place}the record is missing"));
    let missing = "topic `t` partition 0 offset 7: the record is missing";
    assert_eq!(corrupted(log.read("t", 0, 7, 1)), missing);
    let index = disk.open_space("log.index", SpaceKind::State).unwrap();
    disk.apply(vec![Write::Delete(index, key.clone())], Durability::Process).unwrap();
    assert_eq!(corrupted(log.read("t", 0, 7, 1)), missing, "nor is it taken for one of the chunk before");
}

#[test]
fn damaged_rows_beside_the_chunks_are_named() {
    let (disk, log) = log(1);
    append(&log, 0, values(5, 3));
    append(&log, 0, values(5, 3));
    log.truncate_before("t", 0, 2).unwrap();
    let index = disk.rows("log.index");
    let topics = disk.rows("log.topics");
    let later = "it is damaged, or written by a later version";
    disk.set("log.index", &index[1].0, b"\x01");
    assert_eq!(corrupted(log.read("t", 0, 7, 1)), "topic `t` partition 0 offset 5: its index entry cannot be read");
    assert_eq!(
        corrupted(log.offset_for_time("t", 0, 99)),
        "topic `t` partition 0 offset 5: its index entry cannot be read"
    );
    assert_eq!(unopened(&disk), format!("topic `t` partition 0: its index cannot be read: {later}"));
    disk.set("log.index", &index[1].0, &index[1].1);
    let expected = [
        "the next topic id cannot be read",
        "topic `t` cannot be read",
        "topic `t` partition 0: its start offset cannot be read",
    ];
    for ((key, value), what) in topics.iter().zip(expected) {
        disk.set("log.topics", key, &[&[7], &value[1..]].concat());
        assert_eq!(unopened(&disk), format!("{what}: {later}"));
        disk.set("log.topics", key, value);
    }
    disk.set("log.topics", &topics[2].0, &[1, 10]);
    assert_eq!(
        unopened(&disk),
        format!("topic `t` partition 0: the record at its start, offset 10, is missing: {later}")
    );
}

#[test]
fn two_threads_append_and_a_third_reads() {
    const APPENDS: i64 = 200;
    let (disk, log) = log(1);
    disk.slow.store(true, Ordering::Relaxed);
    let done = AtomicBool::new(false);
    let (mut firsts, read) = std::thread::scope(|scope| {
        let writer = || (0..APPENDS).map(|i| append(&log, 0, values(1 + i as usize % 5, 8))).collect::<Vec<_>>();
        let writers = [scope.spawn(writer), scope.spawn(writer)];
        let reader = scope.spawn(|| {
            let (mut read, mut whole) = (0, BTreeSet::from([0]));
            let started = Instant::now();
            while started.elapsed() < PATIENCE {
                let (generation, last) = (log.generation(), done.load(Ordering::Acquire));
                let fetched = log.read("t", 0, read, 100).unwrap();
                read += fetched.batch.len() as i64;
                whole.insert(fetched.log_end);
                if fetched.batch.is_empty() && last {
                    return (read, whole);
                }
                if fetched.batch.is_empty() {
                    log.wait(generation, PATIENCE);
                }
            }
            panic!("read only up to offset {read}");
        });
        let firsts: Vec<i64> = writers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        done.store(true, Ordering::Release);
        log.wake();
        (firsts, reader.join().unwrap())
    });
    firsts.sort_unstable();
    let ends: BTreeSet<i64> = firsts.iter().copied().chain([read.0]).collect();
    assert_eq!(ends.len() as i64, 2 * APPENDS + 1, "no offset twice");
    assert_eq!(read.0, 2 * APPENDS * 3, "all records were read");
    assert!(read.1.is_subset(&ends), "only whole appends are seen");
    assert_eq!(Log::open(disk).unwrap().end_offset("t", 0), Some(read.0));
}

#[test]
fn a_reader_whose_records_are_dropped_is_told_so_and_never_of_damage() {
    let (disk, log) = log(1);
    disk.slow.store(true, Ordering::Relaxed);
    let end = 500;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for offset in 0..end {
                append(&log, 0, values(1, 8));
                log.truncate_before("t", 0, offset).unwrap();
            }
        });
        let (mut offset, started) = (0, Instant::now());
        while offset < end {
            assert!(started.elapsed() < PATIENCE, "read only up to offset {offset}");
            match log.read("t", 0, offset, 1) {
                Ok(fetched) => offset += fetched.batch.len() as i64,
                Err(ReadError::OffsetOutOfRange { start, .. }) => offset = start,
                Err(why) => panic!("{why}"),
            }
        }
    });
}

#[test]
fn waiting_ends_by_a_wake_an_append_or_time() {
    let (_, log) = log(1);
    let seen = log.generation();
    assert_eq!(log.wait(seen, Duration::from_millis(5)), seen, "time is up");
    log.wake();
    let started = Instant::now();
    let next = log.wait(seen, PATIENCE);
    assert_ne!(next, seen, "a wake before the wait counts");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| log.wait(next, PATIENCE));
        append(&log, 0, values(1, 1));
        assert_ne!(waiter.join().unwrap(), next);
    });
    assert!(started.elapsed() < PATIENCE);
}
