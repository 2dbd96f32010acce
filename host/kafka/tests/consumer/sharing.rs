//! Members that join and leave while records flow: each record is read once, whoever owns its partition, and nobody is
//! inside a batch call when partitions change hands.
//!
//! The soak of the parking rule, 200 rounds of joining and leaving with each protocol:
//!
//! ```text
//! MILLSTREAM_SOAK_ROUNDS=200 cargo test -p millstream-kafka --test consumer -- --nocapture nothing_is_lost_while
//! MILLSTREAM_PARKING_ROUNDS=2000000 cargo test -p millstream-kafka --lib parking
//! ```
//!
//! Under a thread sanitizer, librdkafka built with it too, in a target folder of its own. The sanitizer does not know glibc's C11 threads
//! and crashes with them; a header of theirs that does not compile has librdkafka take POSIX threads:
//!
//! ```text
//! mkdir -p target/shim && echo '#error not under a sanitizer' > target/shim/threads.h
//! CFLAGS="-fsanitize=thread -I$PWD/target/shim" CPPFLAGS="-I$PWD/target/shim" LDFLAGS=-fsanitize=thread \
//!   RUSTFLAGS=-Zsanitizer=thread TSAN_OPTIONS=halt_on_error=0 MILLSTREAM_SOAK_ROUNDS=50 CARGO_TARGET_DIR=target/tsan \
//!   cargo +nightly test -Zbuild-std --target x86_64-unknown-linux-gnu -p millstream-kafka --test consumer -- nothing_is_lost_while
//! ```
//!
//! The program ends with 66 where there was any report. What it reports of librdkafka alone (positions and versions that it reads without
//! their lock; what its heartbeat knows of the last poll) is its own affair; a report that names `rd_kafka_q_serve_rkmessages` against
//! `rd_kafka_toppar_seek`, `…_fetch_stopped` or `…_pause_resume` is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use millstream_kafka::consumer::Leave;

use crate::support::{Host, LONG, Ledger, create, fill, producer, properties, send, settings, until};
use rdkafka::producer::Producer as _;

const PARTITIONS: i32 = 6;

/// Classic members leave by themselves when asked to; with the newer protocol only those that are not static.
fn instance(protocol: &str, name: &'static str) -> Option<&'static str> {
    (protocol == "classic").then_some(name)
}

fn hand_over(protocol: &str) {
    let topic = format!("share-{protocol}");
    create(&topic, PARTITIONS, &[]);
    fill(&topic, PARTITIONS, 0, 3_000);
    let (properties, ledger) = (properties(&[("group.protocol", protocol)]), Arc::new(Ledger::default()));
    let start = |name, workers| {
        let settings = settings(&topic, instance(protocol, name), &[&topic], workers);
        Host::start(&properties, &settings, &ledger)
    };
    let a = start("a", 3);
    until("a has all partitions", || a.owns() == 6);
    fill(&topic, PARTITIONS, 3_000, 3_000);
    let b = start("b", 2);
    until("each has three", || a.owns() == 3 && b.owns() == 3);
    fill(&topic, PARTITIONS, 6_000, 3_000);
    b.stop(Leave::AtOnce);
    until("a has all again", || a.owns() == 6);
    fill(&topic, PARTITIONS, 9_000, 1_000);
    ledger.complete(&topic, PARTITIONS, 10_000);
    a.stop(Leave::AtOnce);
}

#[test]
fn two_classic_members_hand_over() {
    hand_over("classic");
}

#[test]
fn two_members_of_the_newer_protocol_hand_over() {
    hand_over("consumer");
}

/// Joins and leaves without a pause while records are written: what the parking rule is for. `MILLSTREAM_SOAK_ROUNDS` makes it
/// longer.
fn parked_under_load(protocol: &str) {
    let rounds = std::env::var("MILLSTREAM_SOAK_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(4);
    let topic = format!("parked-{protocol}");
    create(&topic, PARTITIONS, &[]);
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = thread::spawn({
        let (topic, stop, written) = (topic.clone(), stop.clone(), written.clone());
        move || {
            let producer = producer(None);
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..100 {
                    (0..PARTITIONS).for_each(|p| send(&producer, &topic, p, "value"));
                }
                count += 100;
                producer.poll(Duration::from_millis(2));
            }
            producer.flush(LONG).expect("flush");
            written.store(count, Ordering::SeqCst);
        }
    });
    let (properties, ledger) = (properties(&[("group.protocol", protocol)]), Arc::new(Ledger::default()));
    let start = |name, workers| {
        let settings = settings(&topic, instance(protocol, name), &[&topic], workers);
        Host::start(&properties, &settings, &ledger)
    };
    let a = start("a", 3);
    until("a has all partitions", || a.owns() == 6);
    for _ in 0..rounds {
        let b = start("b", 3);
        until("each has three", || a.owns() == 3 && b.owns() == 3);
        b.stop(Leave::AtOnce);
        until("a has all again", || a.owns() == 6);
    }
    stop.store(true, Ordering::Relaxed);
    load.join().expect("the producer's thread");
    ledger.complete(&topic, PARTITIONS, written.load(Ordering::SeqCst) as i64);
    assert!(a.rebalances() >= 2 * rounds, "{} rebalances", a.rebalances());
    a.stop(Leave::AtOnce);
}

#[test]
fn nothing_is_lost_while_classic_members_come_and_go_under_load() {
    parked_under_load("classic");
}

#[test]
fn nothing_is_lost_while_members_of_the_newer_protocol_come_and_go_under_load() {
    parked_under_load("consumer");
}
