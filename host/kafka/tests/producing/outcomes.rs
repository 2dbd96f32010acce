//! Commits that do not simply succeed: fenced, timed out at the broker, not answered. Each ends in exactly one of two ways, found
//! out without guessing.

use std::sync::MutexGuard;
use std::thread;
use std::time::{Duration, Instant};

use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::{CommitError, ProduceError, Producer, State};
use millstream_test_broker::{Cluster, Stop};

use crate::support::*;

const BRIEF: Duration = Duration::from_secs(2);

#[test]
fn a_second_producer_of_the_same_id_fences_the_first() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "fenced", 1);
    let mut first = producer(cluster, "fenced-0", &[]);
    first.begin().unwrap();
    send(&mut first, &to, &["of the first"]);
    written(cluster, &mut first, &to, 1);
    let mut second = producer(cluster, "fenced-0", &[]);
    let error = first.commit(LONG).unwrap_err();
    assert!(matches!(error, CommitError::Fenced { .. }), "{error:?}");
    assert_eq!(first.state(), State::Dead);
    let dead = first.produce(&to, &batch(&["late"]), 0, LONG).unwrap_err();
    assert!(matches!(dead, ProduceError::Failed(KafkaError::Fatal(_))), "{dead:?}");
    second.begin().unwrap();
    send(&mut second, &to, &["of the second"]);
    second.commit(LONG).unwrap();
    assert_eq!(committed_values(cluster, &to), ["of the second"]);
}

#[test]
fn who_is_fenced_while_records_are_on_their_way_learns_it() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "fenced-early", 1);
    let mut first = producer(cluster, "fenced-early-0", &[]);
    first.begin().unwrap();
    send(&mut first, &to, &["a"]);
    written(cluster, &mut first, &to, 1);
    let _second = producer(cluster, "fenced-early-0", &[]);
    send(&mut first, &to, &["b"]);
    let error = first.commit(LONG).unwrap_err();
    assert!(matches!(error, CommitError::Fenced { .. } | CommitError::Failed { .. }), "{error:?}");
    if first.state() == State::Failed {
        let error = first.abort(LONG).unwrap_err();
        assert!(matches!(error, KafkaError::Fenced(_)), "{error:?}");
    }
    assert_eq!(committed_values(cluster, &to), [""; 0]);
}

/// A host that slept beyond the transaction's time-out: nothing of it becomes visible, and the same again does once.
#[test]
fn a_transaction_that_took_too_long_comes_back_as_fenced() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "slow", 1);
    let more = [("transaction.timeout.ms", "5000")];
    let mut slow = producer(cluster, "slow-0", &more);
    slow.begin().unwrap();
    send(&mut slow, &to, &["once"]);
    written(cluster, &mut slow, &to, 1);
    let admin = admin(cluster);
    wait("the broker has ended it", || {
        let ends = admin.watermarks(std::slice::from_ref(&to)).unwrap()[&to];
        ends.stable == ends.high && ends.high > 1
    });
    let error = slow.commit(LONG).unwrap_err();
    assert!(matches!(error, CommitError::Fenced { .. }), "{error:?}");
    let mut again = producer(cluster, "slow-0", &more);
    again.begin().unwrap();
    send(&mut again, &to, &["once"]);
    again.commit(LONG).unwrap();
    assert_eq!(committed_values(cluster, &to), ["once"]);
}

/// A commit whose answer does not come: all is written, the offsets sent, and then the broker is frozen.
struct Unanswered {
    cluster: MutexGuard<'static, Cluster>,
    group: String,
    to: TopicPartition,
    producer: Option<Producer>,
}

impl Unanswered {
    fn new(name: &str) -> Self {
        let cluster = harmed();
        let (to, group) = (topic(&cluster, name, 1), format!("{name}-group"));
        let member = Member::join(&cluster, &group, name);
        let mut producer = producer(&cluster, name, &[]);
        producer.begin().unwrap();
        send(&mut producer, &to, &["once"]);
        producer.send_offsets(&[offset(&to, 1, "interval 1")], &member.metadata(), LONG).unwrap();
        written(&cluster, &mut producer, &to, 1);
        cluster.freeze(0);
        let begin = Instant::now();
        let error = producer.commit(BRIEF).unwrap_err();
        assert!(matches!(error, CommitError::Unknown { .. }), "{error:?}");
        assert!(begin.elapsed() < 2 * BRIEF, "{:?}", begin.elapsed());
        assert_eq!(producer.state(), State::Unknown);
        assert!(producer.may_resume());
        Self { cluster, group, to, producer: Some(producer) }
    }

    fn producer(&mut self) -> &mut Producer {
        self.producer.as_mut().unwrap()
    }

    /// The producer is given up; one with the same id ends the transaction, and the token tells how.
    fn resolved_by_a_new_one(mut self, there: bool) {
        let id = self.producer().id().to_string();
        self.producer = None;
        let mut new = producer(&self.cluster, &id, &[]);
        let token = token(&self.cluster, &self.group, &self.to);
        assert_eq!(token == "interval 1", there, "{token}");
        if !there {
            new.begin().unwrap();
            send(&mut new, &self.to, &["once"]);
            new.commit(LONG).unwrap();
        }
        wait("it is visible", || !committed_values(&self.cluster, &self.to).is_empty());
        assert_eq!(committed_values(&self.cluster, &self.to), ["once"]);
    }
}

#[test]
fn an_unanswered_commit_goes_on_when_it_is_asked_for_again() {
    let mut test = Unanswered::new("asked-again");
    assert!(test.producer().abort(LONG).is_err(), "unknown is not to be aborted");
    test.cluster.thaw(0);
    let committed = test.producer().commit(LONG).unwrap();
    assert_eq!(committed.highest, [(test.to.clone(), 0)]);
    assert_eq!(committed_values(&test.cluster, &test.to), ["once"]);
    assert_eq!(token(&test.cluster, &test.group, &test.to), "interval 1");
    test.producer().begin().unwrap();
    test.producer().commit(LONG).unwrap();
}

#[test]
fn an_unanswered_commit_that_was_carried_out_is_found_there() {
    let test = Unanswered::new("carried-out");
    // The request lies with the frozen broker, which now carries it out; the answer goes to nobody.
    test.cluster.thaw(0);
    thread::sleep(Duration::from_millis(300));
    test.resolved_by_a_new_one(true);
}

#[test]
fn an_unanswered_commit_that_was_lost_is_found_missing() {
    let mut test = Unanswered::new("lost");
    // The request dies with the broker, and the client before that is back, or it would ask again by itself.
    test.cluster.stop(0, Stop::Kill);
    let id = test.producer().id().to_string();
    test.producer = None;
    test.cluster.start(0);
    test.producer = Some(Producer::new(&properties(&test.cluster, &[]), &id, 1 << 20).unwrap());
    test.resolved_by_a_new_one(false);
}

#[test]
fn a_broker_killed_in_the_middle_of_a_commit_is_waited_for() {
    let mut test = Unanswered::new("killed");
    test.cluster.stop(0, Stop::Kill);
    test.cluster.start(0);
    loop {
        match test.producer().commit(BRIEF) {
            Ok(_) => break,
            Err(CommitError::Unknown { .. }) if test.producer().may_resume() => {}
            // A start that took longer than the transaction: ended by the broker, and so not there.
            Err(CommitError::Fenced { .. } | CommitError::Unknown { .. }) => return test.resolved_by_a_new_one(false),
            Err(other) => panic!("{other:?}"),
        }
    }
    wait("it is visible", || !committed_values(&test.cluster, &test.to).is_empty());
    assert_eq!(committed_values(&test.cluster, &test.to), ["once"]);
    assert_eq!(token(&test.cluster, &test.group, &test.to), "interval 1");
}
