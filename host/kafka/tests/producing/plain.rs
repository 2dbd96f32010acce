//! Results at least once: records without transactions, and offsets that a member commits once they are there.

use std::thread;
use std::time::{Duration, Instant};

use millstream_kafka::admin::TopicSpec;
use millstream_kafka::consumer::{Event, Leave, Member, Placement, Settings, Token};
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::plain::PlainProducer;
use millstream_kafka::producer::{OffsetToCommit, ProduceError};
use millstream_test_broker::Cluster;

use crate::support::*;

const QUEUE_BYTES: usize = 4 << 20;
const BRIEF: Duration = Duration::from_millis(1_500);

fn plain(cluster: &Cluster) -> PlainProducer {
    PlainProducer::new(&properties(cluster, &[]), QUEUE_BYTES).unwrap()
}

#[test]
fn records_can_be_read_before_anything_is_committed() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "plain", 1);
    let mut producer = plain(cluster);
    for round in 0..2 {
        producer.begin();
        producer.produce(&to, &batch(&["a", "b"]), 0, LONG).unwrap();
        let committed = producer.flush(LONG).unwrap();
        assert_eq!(committed.highest, [(to.clone(), 2 * round + 1)], "no markers lie between");
    }
    assert_eq!(committed_values(cluster, &to), ["a", "b", "a", "b"]);
    producer.begin();
    assert_eq!(producer.flush(LONG).unwrap().highest, [], "an empty round is nowhere");
}

#[test]
fn nothing_is_written_behind_a_record_that_is_refused() {
    let cluster = Cluster::shared();
    let mut spec = TopicSpec::repartition("plain-refused", 1);
    spec.settings.insert("max.message.bytes".into(), "1000".into());
    admin(cluster).create(&[spec]).unwrap();
    let to = TopicPartition::new("plain-refused", 0);
    let mut producer = plain(cluster);
    producer.begin();
    // Nothing that could be compressed.
    let large: String = (0..5_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_string()).collect();
    producer.produce(&to, &batch(&["before"]), 0, LONG).unwrap();
    producer.flush(LONG).unwrap();
    producer.produce(&to, &batch(&[&large]), 0, LONG).unwrap();
    // So that they are requests of their own.
    thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    let error = match producer.produce(&to, &batch(&["behind"]), 0, LONG) {
        Ok(()) => producer.flush(LONG).unwrap_err(),
        Err(ProduceError::Failed(error)) => error,
        Err(error) => panic!("{error}"),
    };
    assert!(matches!(&error, KafkaError::Refused(why) if why.contains("too large")), "{error:?}");
    assert!(began.elapsed() < LONG / 2, "what is never sent is not waited for");
    drop(producer);
    assert_eq!(values(cluster, &to, "read_uncommitted"), ["before"]);
}

#[test]
fn what_is_not_written_in_time_is_produced_again_by_another() {
    let cluster = harmed();
    let (to, changelog) = (topic(&cluster, "plain-slow", 1), topic(&cluster, "plain-slow-changelog", 1));
    let mut first = plain(&cluster);
    first.give_up_after(&changelog.topic, Duration::from_millis(500)).unwrap();
    first.begin();
    first.produce(&to, &batch(&["warm"]), 0, LONG).unwrap();
    first.flush(LONG).unwrap();
    cluster.freeze(0);
    first.begin();
    first.produce(&to, &batch(&["a", "b"]), 0, LONG).unwrap();
    let error = first.flush(BRIEF).unwrap_err();
    assert!(matches!(&error, KafkaError::Retry(why) if why.contains("within")), "{error:?}");
    first.produce(&changelog, &batch(&["stale"]), 0, LONG).unwrap();
    let error = first.flush(2 * BRIEF).unwrap_err();
    assert!(matches!(&error, KafkaError::Retry(why) if why.contains("1 records were not written")), "{error:?}");
    drop(first);
    cluster.thaw(0);
    let mut second = plain(&cluster);
    second.begin();
    second.produce(&to, &batch(&["a", "b"]), 0, LONG).unwrap();
    second.flush(LONG).unwrap();
    let all = values(&cluster, &to, "read_uncommitted");
    let once = ["warm", "a", "b"];
    assert!(all == once || all == [&once[..], &["a", "b"]].concat(), "{all:?}");
}

fn offset_of(partition: &TopicPartition, at: i64, metadata: &str) -> OffsetToCommit {
    OffsetToCommit { partition: partition.clone(), offset: at, metadata: metadata.into() }
}

/// Joins a group of its own and takes on the one partition of a topic.
fn join(cluster: &Cluster, group: &str, of: &TopicPartition) -> (Member, Token) {
    let settings = Settings {
        group: group.into(),
        instance: None,
        topics: vec![of.topic.to_string()],
        workers: 1,
        fetch_bytes_max: 1 << 20,
        buffer_bytes_max: 1 << 20,
    };
    let (mut member, _readers) = Member::join(&properties(cluster, &[]), &settings).unwrap();
    wait_for(&mut member, |event| matches!(event, Event::Assigned(_)));
    let placement = Placement { partition: of.clone(), worker: 0, tag: 0, start: 0 };
    let token = member.assign(&[placement]).unwrap().unwrap();
    (member, token)
}

fn wait_for(member: &mut Member, is: impl Fn(&Event) -> bool) {
    wait("the group does something", || member.poll(Duration::from_millis(50)).is_some_and(|event| is(&event)));
}

#[test]
fn a_member_commits_offsets_while_its_token_is_good() {
    let cluster = Cluster::shared();
    let of = topic(cluster, "plain-offsets", 1);
    let (mut member, token) = join(cluster, "plain-offsets", &of);
    let ownership = member.ownership();
    let commit = |at, metadata: &str| ownership.commit(token, &[offset_of(&of, at, metadata)]);
    commit(3, "1 owner 7").unwrap().unwrap().wait(LONG).unwrap().unwrap();
    let committed = || admin(cluster).committed("plain-offsets", std::slice::from_ref(&of)).unwrap()[&of].clone();
    assert_eq!((committed().offset, committed().metadata.as_str()), (3, "1 owner 7"));
    let long = "x".repeat(4_097);
    assert!(matches!(commit(4, &long), Err(KafkaError::Refused(_))));

    // Another one joins: what is done may be committed until it is handed over, and nothing afterwards.
    let properties = properties(cluster, &[]);
    let settings = Settings {
        group: "plain-offsets".into(),
        instance: None,
        topics: vec![of.topic.to_string()],
        workers: 1,
        fetch_bytes_max: 1 << 20,
        buffer_bytes_max: 1 << 20,
    };
    let (_second, _readers) = Member::join(&properties, &settings).unwrap();
    wait_for(&mut member, |event| matches!(event, Event::Revoked(_)));
    commit(5, "revoked").unwrap().unwrap().wait(LONG).unwrap().unwrap();
    let token = member.release().unwrap();
    assert!(ownership.commit(token, &[offset_of(&of, 9, "late")]).unwrap().is_none());
    assert!(commit(9, "late").unwrap().is_none(), "with the token of before too");
    assert_eq!((committed().offset, committed().metadata.as_str()), (5, "revoked"));
}

#[test]
fn a_commit_without_an_answer_is_waited_for_and_not_guessed() {
    let cluster = harmed();
    let of = topic(&cluster, "plain-frozen", 1);
    let (member, token) = join(&cluster, "plain-frozen", &of);
    let ownership = member.ownership();
    cluster.freeze(0);
    let committing = ownership.commit(token, &[offset_of(&of, 8, "slow")]).unwrap().unwrap();
    assert_eq!(committing.wait(BRIEF), None);
    cluster.thaw(0);
    assert_eq!(committing.wait(LONG), Some(Ok(())));
    let committed = admin(&cluster).committed("plain-frozen", std::slice::from_ref(&of)).unwrap();
    assert_eq!((committed[&of].offset, committed[&of].metadata.as_str()), (8, "slow"));
    member.close(Leave::AtOnce).unwrap();
}
