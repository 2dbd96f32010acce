//! Each limit of the log is reached, and what is beyond it is refused in words that help.

mod common;

use std::sync::Arc;

use millstream_core::record::BatchBuilder;
use millstream_core::state::keyspace::Durability;
use millstream_local::{
    Append, AppendError, CHUNK_BYTES_MAX, ChangeError, CreateError, Log, NAME_LENGTH_MAX, PARTITIONS_MAX,
    READ_BYTES_MAX, RECORD_BYTES_MAX, TOPICS_MAX, TopicConfig,
};

use common::{Disk, append, log, records, values};

fn empty() -> Log {
    Log::open(Arc::new(Disk::default())).unwrap()
}

fn create(log: &Log, name: &str, partitions: u32) -> Result<(), CreateError> {
    log.create_topic(name, partitions, TopicConfig::default())
}

#[test]
fn names_are_those_of_kafka() {
    let log = empty();
    let longest = "x".repeat(NAME_LENGTH_MAX);
    for good in ["a", "Access.log_v-2", "...", &longest] {
        assert_eq!(create(&log, good, 1), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("", "it is empty"),
        (".", "it would name a folder"),
        ("..", "it would name a folder"),
        ("a b", "it has the character ' '"),
        ("größe", "it has the character 'ö'"),
        ("a/b", "it has the character '/'"),
        (&format!("{longest}x"), "it has 250 characters"),
    ] {
        assert_eq!(create(&log, bad, 1), Err(CreateError::Name { name: bad.into(), why: why.into() }));
    }
}

#[test]
fn partitions_are_from_one_to_the_limit() {
    let log = empty();
    for asked in [0, PARTITIONS_MAX + 1] {
        assert_eq!(create(&log, "t", asked), Err(CreateError::Partitions { topic: "t".into(), asked }));
    }
    assert_eq!(create(&log, "t", PARTITIONS_MAX), Ok(()));
    assert_eq!(append(&log, PARTITIONS_MAX - 1, values(3, 1)), 0);
    assert_eq!(log.end_offset("t", PARTITIONS_MAX - 1), Some(3));
    assert_eq!(log.end_offset("t", PARTITIONS_MAX), None);
}

#[test]
fn topics_are_up_to_the_limit() {
    let log = empty();
    (0..TOPICS_MAX).for_each(|i| create(&log, &format!("t{i}"), 1).unwrap());
    assert_eq!(create(&log, "more", 1), Err(CreateError::TooMany { topic: "more".into() }));
    log.delete_topic("t7").unwrap();
    assert_eq!(create(&log, "more", 1), Ok(()));
    assert_eq!(log.topics().len(), TOPICS_MAX);
}

#[test]
fn a_topic_is_made_once() {
    let log = empty();
    create(&log, "t", 2).unwrap();
    let error = create(&log, "t", 3).unwrap_err();
    assert_eq!(error, CreateError::Exists { topic: "t".into(), there: 2, asked: 3 });
    assert_eq!(error.to_string(), "topic `t` exists already, with 2 partitions (asked for: 3)");
}

#[test]
fn no_time_below_zero_is_kept() {
    let log = empty();
    let config = TopicConfig { retention_ms: Some(-1), ..TopicConfig::default() };
    let error = log.create_topic("t", 1, config).unwrap_err();
    assert_eq!(error, CreateError::Retention { topic: "t".into(), retention_ms: -1 });
    create(&log, "t", 1).unwrap();
    let error = log.set_config("t", config).unwrap_err();
    assert_eq!(error, ChangeError::Retention { topic: "t".into(), retention_ms: -1 });
    assert_eq!(log.topic("t").unwrap().config, TopicConfig::default());
}

#[test]
fn a_record_is_as_large_as_the_limit_and_no_larger() {
    let (_, log) = log(1);
    let mut batch = BatchBuilder::default();
    batch.push(Some(b"small"), Some(b"small"), 0, []);
    batch.push(Some(b"12"), Some(&vec![7; RECORD_BYTES_MAX - 15]), 0, [(&b"head"[..], Some(&b"v"[..]))]);
    let append = |batch| {
        let append = Append { topic: "t".into(), partition: 0, batch };
        log.append(vec![append], vec![], Durability::Process)
    };
    assert_eq!(append(batch.finish()), Ok(vec![0]), "key, value, header with its 8 bytes of ends: just the limit");
    let mut batch = BatchBuilder::default();
    batch.push(None, Some(b"small"), 0, []);
    batch.push(Some(b"12"), Some(&vec![7; RECORD_BYTES_MAX - 14]), 0, [(&b"head"[..], Some(&b"v"[..]))]);
    let error = append(batch.finish()).unwrap_err();
    let bytes = RECORD_BYTES_MAX + 1;
    assert_eq!(error, AppendError::RecordTooLarge { topic: "t".into(), partition: 0, record: 1, bytes });
    assert_eq!(error.to_string(), "record 1 for topic `t` partition 0 has 67108865 bytes; the limit is 67108864");
    assert_eq!(log.end_offset("t", 0), Some(2), "nothing of the refused append is there");
    let large = log.read("t", 0, 1, 1).unwrap();
    assert_eq!(large.batch.values.get(0).unwrap().len(), RECORD_BYTES_MAX - 15);
}

#[test]
fn large_appends_are_cut_into_chunks_and_small_ones_put_together() {
    let (disk, log) = log(1);
    append(&log, 0, values(30_000, 100));
    let sizes = |disk: &Disk| disk.rows("log.chunks").iter().map(|(_, chunk)| chunk.len()).collect::<Vec<_>>();
    let cut = sizes(&disk);
    assert_eq!(cut.len(), 4);
    assert!(cut.iter().all(|bytes| *bytes < CHUNK_BYTES_MAX + 100), "{cut:?}");
    assert!(cut[..3].iter().all(|bytes| *bytes > CHUNK_BYTES_MAX * 9 / 10), "{cut:?}");
    let small = |_| Append { topic: "t".into(), partition: 0, batch: values(10, 100) };
    let firsts = log.append((0..5).map(small).collect(), vec![], Durability::Process).unwrap();
    assert_eq!(firsts, [30_000, 30_010, 30_020, 30_030, 30_040]);
    assert_eq!(sizes(&disk).len(), 5, "five appends, one chunk");
}

#[test]
fn a_read_is_bounded_whatever_is_asked_for() {
    let (_, log) = log(1);
    assert_eq!([0; 3].map(|_| append(&log, 0, values(8, 1 << 20))), [0, 8, 16]);
    let fetched = log.read("t", 0, 0, usize::MAX).unwrap();
    assert!(fetched.batch.bytes() > READ_BYTES_MAX - 2 * CHUNK_BYTES_MAX, "{}", fetched.batch.bytes());
    assert!(fetched.batch.bytes() < READ_BYTES_MAX + CHUNK_BYTES_MAX, "{}", fetched.batch.bytes());
}

#[test]
fn what_is_cut_comes_back_whole() {
    let (_, log) = log(1);
    let mut large = BatchBuilder::default();
    for i in 0..30_000u64 {
        let (number, header) = (i.to_le_bytes(), [(&b"number"[..], Some(&b"n"[..]))]);
        let key = (i % 3 > 0).then_some(&number[..]);
        large.push(key, Some(&number.repeat(i as usize % 20)), i as i64, header.into_iter().take(i as usize % 2));
    }
    // Behind the cut, small batches join what is left of the large one.
    let batches = [values(7, 9), large.finish(), values(11, 13), values(3, 17)];
    let appends = batches.clone().map(|batch| Append { topic: "t".into(), partition: 0, batch });
    let firsts = log.append(appends.to_vec(), vec![], Durability::Process).unwrap();
    assert_eq!(firsts, [0, 7, 30_007, 30_018]);
    let expected: Vec<_> = batches.iter().flat_map(records).collect();
    for bytes_max in [1, READ_BYTES_MAX] {
        let mut read = vec![];
        while read.len() < expected.len() {
            read.extend(records(&log.read("t", 0, read.len() as i64, bytes_max).unwrap().batch));
        }
        assert!(read == expected, "in reads of {bytes_max} bytes");
    }
}
