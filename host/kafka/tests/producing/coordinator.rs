//! The broker that keeps a group's offsets dies in the middle of a transaction, and the others do not list it any more.

use std::thread;
use std::time::{Duration, Instant};

use millstream_kafka::config::PRODUCER_IDLE_MS;
use millstream_kafka::error::KafkaError;
use millstream_kafka::producer::State;
use millstream_test_broker::{Cluster, Stop};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::support::*;

/// Where groups' offsets are.
const OFFSETS: &str = "__consumer_offsets";

/// How often the broker dies; the first time or the second show the fault where it is.
const ROUNDS: u64 = 3;

/// Where transactions are.
const TRANSACTIONS: &str = "__transaction_state";

/// How long the client has at first, and how soon after that it is given up. Together less than the brokers need, two seconds and more,
/// to have another coordinator.
const BRIEF: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_millis(1_500);

/// After which the client looks again by itself.
const IDLE: Duration = Duration::from_millis(PRODUCER_IDLE_MS as u64);

/// Beside the idle time: the client looks once a second, finds the new coordinator, and that one reads its log first.
const MARGIN: Duration = Duration::from_secs(15);

/// Which broker coordinates what has this name, counted from 0. `topic`: where such names are kept.
fn coordinator(client: &BaseConsumer, topic: &str, name: &str) -> usize {
    let metadata = client.fetch_metadata(Some(topic), LONG).unwrap();
    let partitions = metadata.topics()[0].partitions();
    // Kafka's choice: `Utils.abs(name.hashCode()) % partitions`, where the abs of the least number is 0.
    let hash = name.bytes().fold(0i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    let number = hash.checked_abs().unwrap_or(0) % partitions.len() as i32;
    let leader = partitions.iter().find(|p| p.id() == number).unwrap().leader();
    usize::try_from(leader - 1).unwrap()
}

/// A client has just been told that the dead broker coordinates, and is then told that there is no such broker: it waits for a connection
/// that nobody makes. A broker that comes back at once brings that about, as its return ends its old place among the brokers.
#[test]
fn offsets_that_wait_for_a_coordinator_that_was_sent_away_are_answered_in_the_end() {
    let mut cluster = Cluster::three();
    let group = "left-alone-group";
    let to = topic(&cluster, "left-alone", 1);
    // Makes the internal topics.
    let member = Member::join(&cluster, group, "left-alone");
    drop(producer(&cluster, "left-alone-first", &[]));
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    // The death of the producer's own coordinator would be another matter.
    let of_group = coordinator(&client, OFFSETS, group);
    let mut ids = (0..100).map(|n| format!("left-alone-{n}"));
    let id = ids.find(|id| coordinator(&client, TRANSACTIONS, id) != of_group).unwrap();
    // It learns soon who is not listed any more.
    let more = [("transaction.timeout.ms", "60000"), ("topic.metadata.refresh.interval.ms", "200")];
    let make = |cluster: &Cluster| producer(cluster, &id, &more);
    let mut producer = make(&cluster);
    for round in 0..ROUNDS {
        let of_group = coordinator(&client, OFFSETS, group);
        let metadata = member.metadata();
        producer.begin().unwrap();
        send(&mut producer, &to, &["a"]);
        // The transaction knows of the offsets from here on, and the second time goes straight to the group's coordinator.
        producer.send_offsets(&[offset(&to, 1, "1")], &metadata, LONG).unwrap();
        cluster.stop(of_group, Stop::Kill);
        // The first time it is not waited for as long as it may take; the others show that it ends at all.
        let (waits, most) = if round == 0 { (BRIEF, BRIEF + SOON) } else { (LONG, IDLE + MARGIN) };
        let (sent, took) = thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let began = Instant::now();
                (producer.send_offsets(&[offset(&to, 2, "2")], &metadata, waits), began.elapsed())
            });
            thread::sleep(Duration::from_millis(200 * round));
            cluster.start(of_group);
            sending.join().unwrap()
        });
        println!("round {round}: {sent:?} after {took:?}");
        assert!(took < most, "{sent:?} after {took:?}");
        if producer.state() == State::Dead {
            assert!(matches!(sent, Err(KafkaError::Abort(_))), "{sent:?}");
            producer = make(&cluster);
        } else {
            producer.abort(LONG).unwrap();
        }
        // All brokers are in sync again.
        thread::sleep(Duration::from_secs(5));
    }
}
