//! What is visible, and when: committed, aborted, left behind, and offsets that go with a transaction.

use millstream_core::record::BatchBuilder;
use millstream_kafka::error::KafkaError;
use millstream_kafka::producer::{Committed, OFFSET_METADATA_BYTES_MAX, Producer, State, end_dangling};
use millstream_test_broker::Cluster;

use crate::support::*;

#[test]
fn a_committed_transaction_is_visible_at_once_and_as_it_was_given() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "visible", 2);
    let mut producer = producer(cluster, "visible-0", &[]);
    producer.begin().unwrap();
    let mut rows = BatchBuilder::default();
    rows.push(Some(b"k"), Some(b"v"), 1_600_000_000_123, [(&b"h"[..], Some(&b"\0x"[..])), (b"n", None)]);
    rows.push(Some(b""), None, 5, []);
    rows.push(None, Some(b""), 0, [(&b""[..], Some(&b""[..]))]);
    producer.produce(&to, &rows.finish(), 0, LONG).unwrap();
    written(cluster, &mut producer, &to, 3);
    assert_eq!(read(cluster, &to, "read_uncommitted").len(), 3);
    assert_eq!(read(cluster, &to, "read_committed"), []);
    let ends = admin(cluster).watermarks(std::slice::from_ref(&to)).unwrap()[&to];
    assert_eq!((ends.low, ends.high, ends.stable), (0, 3, 0));

    assert_eq!(producer.commit(LONG).unwrap(), Committed { highest: vec![(to.clone(), 2)] });
    let read = read(cluster, &to, "read_committed");
    let (h, n) = (("h".to_string(), Some(b"\0x".to_vec())), ("n".to_string(), None));
    assert_eq!(
        (read[0].key.as_deref(), read[0].value.as_deref(), read[0].time),
        (Some(&b"k"[..]), Some(&b"v"[..]), Some(1_600_000_000_123))
    );
    assert_eq!(read[0].headers, [h, n]);
    assert_eq!((read[1].key.as_deref(), read[1].value.as_deref(), read[1].time), (Some(&b""[..]), None, Some(5)));
    // A timestamp of 0 becomes 1, which is wrong, and as near as librdkafka's interface allows: its 0 means "now".
    assert_eq!((read[2].key.as_deref(), read[2].value.as_deref(), read[2].time), (None, Some(&b""[..]), Some(1)));
    assert_eq!(read[2].headers, [(String::new(), Some(Vec::new()))]);
}

#[test]
fn offsets_that_are_told_count_the_marker_between_transactions() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "markers", 2);
    let other = millstream_kafka::fetch::TopicPartition::new("markers", 1);
    let mut producer = producer(cluster, "markers-0", &[]);
    producer.begin().unwrap();
    send(&mut producer, &to, &["a", "b"]);
    send(&mut producer, &other, &["x"]);
    assert_eq!(producer.commit(LONG).unwrap().highest, [(to.clone(), 1), (other, 0)]);
    producer.begin().unwrap();
    send(&mut producer, &to, &["c"]);
    // Offset 2 is the marker of the first transaction.
    assert_eq!(producer.commit(LONG).unwrap().highest, [(to.clone(), 3)]);
    let ends = admin(cluster).watermarks(std::slice::from_ref(&to)).unwrap()[&to];
    assert!(ends.high >= 4, "{ends:?}");
    producer.begin().unwrap();
    assert_eq!(producer.commit(LONG).unwrap(), Committed::default(), "an empty transaction");
}

#[test]
fn an_aborted_transaction_is_never_visible_and_the_next_one_is() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "aborted", 1);
    let mut producer = producer(cluster, "aborted-0", &[]);
    producer.begin().unwrap();
    send(&mut producer, &to, &["gone"]);
    written(cluster, &mut producer, &to, 1);
    producer.abort(LONG).unwrap();
    assert_eq!(producer.state(), State::Ready);
    producer.begin().unwrap();
    send(&mut producer, &to, &["stays"]);
    producer.commit(LONG).unwrap();
    assert_eq!(committed_values(cluster, &to), ["stays"]);
    assert_eq!(values(cluster, &to, "read_uncommitted"), ["gone", "stays"]);
}

#[test]
fn calls_out_of_turn_are_told_and_change_nothing() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "turns", 1);
    let mut producer = Producer::new(&properties(cluster, &[]), "turns-0", 1 << 20).unwrap();
    let error = producer.begin().unwrap_err();
    assert_eq!(error, KafkaError::Fatal("producer turns-0 cannot begin a transaction in state New".into()));
    producer.init(LONG).unwrap();
    assert!(producer.commit(LONG).is_err() && producer.abort(LONG).is_err() && producer.init(LONG).is_err());
    assert!(producer.produce(&to, &batch(&["x"]), 0, LONG).is_err());
    producer.begin().unwrap();
    assert!(producer.begin().is_err());
    send(&mut producer, &to, &["y"]);
    producer.commit(LONG).unwrap();
    assert_eq!(committed_values(cluster, &to), ["y"]);
}

#[test]
fn what_a_dead_host_left_open_is_ended_by_its_id() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "dangling", 1);
    // Longer than the test waits: the broker does not end it by itself.
    let mut left = producer(cluster, "dangling-0", &[("transaction.timeout.ms", "120000")]);
    left.begin().unwrap();
    send(&mut left, &to, &["open"]);
    written(cluster, &mut left, &to, 1);
    drop(left);
    let mut other = producer(cluster, "dangling-1", &[]);
    other.begin().unwrap();
    send(&mut other, &to, &["behind"]);
    other.commit(LONG).unwrap();
    assert_eq!(committed_values(cluster, &to), [""; 0], "held up by the open one");
    end_dangling(&properties(cluster, &[]), "dangling-0", LONG).unwrap();
    wait("readers go on", || committed_values(cluster, &to) == ["behind"]);
}

#[test]
fn offsets_and_their_metadata_come_and_go_with_the_transaction() {
    let cluster = Cluster::shared();
    let from = topic(cluster, "offsets", 1);
    let member = Member::join(cluster, "offsets-group", "offsets");
    let mut producer = producer(cluster, "offsets-0", &[]);
    let group = member.metadata();
    producer.begin().unwrap();
    producer.send_offsets(&[offset(&from, 7, "aborted")], &group, LONG).unwrap();
    producer.abort(LONG).unwrap();
    assert_eq!(token(cluster, "offsets-group", &from), "");

    let longest = "é".repeat(OFFSET_METADATA_BYTES_MAX / 2);
    producer.begin().unwrap();
    let too_long = producer.send_offsets(&[offset(&from, 8, &format!("{longest}x"))], &group, LONG).unwrap_err();
    assert!(matches!(&too_long, KafkaError::Refused(why) if why.contains("4097 bytes")), "{too_long}");
    producer.send_offsets(&[offset(&from, 8, &longest)], &group, LONG).unwrap();
    // While it is open, its offsets are neither there nor not.
    let quick =
        millstream_kafka::admin::Admin::new(&properties(cluster, &[]), std::time::Duration::from_secs(1)).unwrap();
    let unstable = quick.committed("offsets-group", std::slice::from_ref(&from)).unwrap_err();
    assert!(matches!(&unstable, KafkaError::Retry(why) if why.contains("may still be open")), "{unstable}");
    producer.commit(LONG).unwrap();
    let committed = admin(cluster).committed("offsets-group", std::slice::from_ref(&from)).unwrap();
    assert_eq!((committed[&from].offset, committed[&from].metadata.as_str()), (8, longest.as_str()));
}

#[test]
fn offsets_of_an_older_generation_are_an_abort_and_of_nobody_a_refusal() {
    let cluster = Cluster::shared();
    let from = topic(cluster, "generations", 2);
    let first = Member::join(cluster, "generations-group", "generations");
    let old = first.metadata();
    let members = admin(cluster).members("generations-group").unwrap();
    assert_eq!(members.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), [old.member()]);
    let second = std::thread::scope(|scope| {
        let joining = scope.spawn(|| Member::join(cluster, "generations-group", "generations"));
        wait("the other has joined", || {
            first.poll();
            joining.is_finished() && first.metadata().generation() > old.generation()
        });
        joining.join().unwrap()
    });
    let mut producer = producer(cluster, "generations-0", &[]);
    producer.begin().unwrap();
    let stale = producer.send_offsets(&[offset(&from, 3, "stale")], &old, LONG).unwrap_err();
    assert!(matches!(stale, KafkaError::Abort(_)), "{stale:?}");
    assert_eq!(producer.state(), State::Failed);
    producer.abort(LONG).unwrap();

    producer.begin().unwrap();
    let nobody =
        millstream_kafka::group_metadata::GroupMetadata::new("generations-group".into(), -1, String::new(), None);
    let refused = producer.send_offsets(&[offset(&from, 4, "nobody")], &nobody, LONG).unwrap_err();
    assert!(matches!(refused, KafkaError::Refused(_)), "{refused:?}");
    producer.send_offsets(&[offset(&from, 5, "fresh")], &second.metadata(), LONG).unwrap();
    producer.commit(LONG).unwrap();
    assert_eq!(token(cluster, "generations-group", &from), "fresh");
}
