//! Records that cannot be written, and a queue that is full: told, bounded, and the rest goes on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_core::record::{Batch, BatchBuilder};
use millstream_kafka::admin::TopicSpec;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::{CommitError, ProduceError, Producer, Unwritten};
use millstream_test_broker::Cluster;

use crate::support::*;

fn of_sizes(sizes: &[usize]) -> Batch {
    let mut out = BatchBuilder::default();
    for size in sizes {
        out.push(None, Some(&vec![b'x'; *size]), 1, []);
    }
    out.finish()
}

fn commit_fails(producer: &mut Producer) -> Vec<Unwritten> {
    match producer.commit(LONG).unwrap_err() {
        CommitError::Failed { unwritten, reason } => {
            assert!(reason.contains("not all records were written"), "{reason}");
            unwritten
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_that_the_client_does_not_take_is_named_and_the_others_go_on() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "too-large", 1);
    let mut producer = producer(cluster, "too-large-0", &[]);
    producer.begin().unwrap();
    let rows = of_sizes(&[1, 2, 1_000_001, 3]);
    let error = producer.produce(&to, &rows, 0, LONG).unwrap_err();
    assert!(matches!(&error, ProduceError::Refused { row: 2, reason } if reason.contains("too-large/0")), "{error}");
    producer.produce(&to, &rows, 3, LONG).unwrap();
    // A partition that is not there is seen once the client knows the topic.
    written(cluster, &mut producer, &to, 3);
    let error = producer.produce(&TopicPartition::new("too-large", 9), &rows, 0, LONG).unwrap_err();
    assert!(matches!(error, ProduceError::Refused { row: 0, .. }), "{error}");
    producer.commit(LONG).unwrap();
    let sizes: Vec<_> = committed_values(cluster, &to).iter().map(String::len).collect();
    assert_eq!(sizes, [1, 2, 3]);
}

#[test]
fn records_that_the_broker_refuses_fail_the_transaction_and_are_named() {
    let cluster = Cluster::shared();
    let settings = [("max.message.bytes", "2000"), ("message.timestamp.after.max.ms", "1000")];
    let spec = TopicSpec {
        name: "refusing".into(),
        partitions: 1,
        replication_factor: None,
        settings: settings.map(|(name, value)| (name.into(), value.into())).into(),
    };
    admin(cluster).create(&[spec]).unwrap();
    let to = TopicPartition::new("refusing", 0);
    let mut producer = producer(cluster, "refusing-0", &[("compression.type", "none")]);
    producer.begin().unwrap();
    send(&mut producer, &to, &["small"]);
    written(cluster, &mut producer, &to, 1);
    producer.produce(&to, &of_sizes(&[3_000]), 0, LONG).unwrap();
    let unwritten = commit_fails(&mut producer);
    assert_eq!(unwritten.iter().map(|u| (u.call, u.row, u.refused)).collect::<Vec<_>>(), [(1, 0, true)]);
    producer.abort(LONG).unwrap();

    producer.begin().unwrap();
    let mut ahead = BatchBuilder::default();
    ahead.push(None, Some(b"ahead"), i64::MAX / 2, []);
    producer.produce(&to, &ahead.finish(), 0, LONG).unwrap();
    let unwritten = commit_fails(&mut producer);
    assert_eq!(unwritten.iter().map(|u| (u.call, u.row, u.refused)).collect::<Vec<_>>(), [(0, 0, true)]);
    producer.abort(LONG).unwrap();

    // librdkafka may throw away records of the next transaction with those of the failed one (a purge that it has asked for and
    // not done yet); they are told as not written, and not as refused.
    for _ in 0..10 {
        producer.begin().unwrap();
        send(&mut producer, &to, &["good"]);
        match producer.commit(LONG) {
            Ok(_) => break,
            Err(CommitError::Failed { unwritten, .. }) => {
                assert!(unwritten.iter().all(|u| !u.refused), "{unwritten:?}")
            }
            Err(other) => panic!("{other:?}"),
        }
        producer.abort(LONG).unwrap();
    }
    assert_eq!(committed_values(cluster, &to), ["good"]);
}

#[test]
fn a_full_queue_is_waited_for_no_longer_than_allowed_and_nothing_is_lost() {
    let cluster = harmed();
    let to = topic(&cluster, "full", 1);
    let properties = properties(&cluster, &[]);
    let mut producer = Producer::new(&properties, "full-0", 1 << 20).unwrap();
    producer.init(LONG).unwrap();
    producer.begin().unwrap();
    // So that the topic is known when the broker stops answering.
    send(&mut producer, &to, &["first"]);
    written(&cluster, &mut producer, &to, 1);
    let rows = of_sizes(&[1_000; 5_000]);
    cluster.freeze(0);
    let begin = Instant::now();
    let wait = Duration::from_millis(300);
    let row = match producer.produce(&to, &rows, 0, wait).unwrap_err() {
        ProduceError::Full { row } => row,
        other => panic!("{other:?}"),
    };
    // Half of a budget of 1 MiB is for values.
    assert_eq!(row, 524);
    assert!((wait..wait * 10).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    cluster.thaw(0);
    producer.produce(&to, &rows, row, LONG).unwrap();
    producer.commit(LONG).unwrap();
    assert_eq!(read(&cluster, &to, "read_committed").len(), 1 + rows.len());
    let by_offset: BTreeMap<_, _> = read(&cluster, &to, "read_committed").into_iter().map(|r| (r.offset, ())).collect();
    assert_eq!(by_offset.len(), 1 + rows.len());
}
