//! Replays end exactly where the log ended when they began, whatever lies there.

use std::thread;
use std::time::Duration;

use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::Fetched;
use millstream_kafka::replay::{Replay, ReplayError, Stretch};
use rdkafka::producer::Producer as _;

use crate::support::{LONG, STEP, create, delete_before, fill, producer, properties, send, tp, until};

const QUEUE_BYTES: usize = 4 << 20;

fn start(topic: &str, from: &[Option<i64>]) -> Result<Replay, ReplayError> {
    let stretch = |(p, from): (usize, &Option<i64>)| Stretch { partition: tp(topic, p as i32), from: *from };
    let stretches: Vec<_> = from.iter().enumerate().map(stretch).collect();
    Replay::start(&properties(&[]), "replays", &stretches, QUEUE_BYTES)
}

/// Offsets of all records, by partition, and that nothing is missing or comes twice.
fn finish(mut replay: Replay) -> (Vec<Vec<i64>>, Replay) {
    let mut offsets = vec![Vec::new(); replay.progress().len()];
    let mut next: Vec<_> = replay.progress().iter().map(|p| p.from).collect();
    until("the replay is through", || {
        for Fetched { tag, from, next: behind, offsets: read, .. } in replay.read(200, STEP).expect("read") {
            assert_eq!(from, next[tag]);
            next[tag] = behind;
            offsets[tag].extend(read.iter());
        }
        replay.is_done()
    });
    for ((p, offsets), next) in replay.progress().iter().zip(&offsets).zip(next) {
        assert_eq!((p.next, p.next, p.records), (p.end, next, offsets.len() as u64));
    }
    assert_eq!(replay.read(1, LONG).expect("read"), [], "at once");
    (offsets, replay)
}

#[test]
fn a_replay_ends_where_the_log_ended_and_skips_what_was_aborted() {
    create("replay", 3, &[]);
    let producer = producer(Some("replay"));
    for (round, aborts) in [false, true, false, true].into_iter().enumerate() {
        producer.begin_transaction().expect("begin");
        (0..10).for_each(|i| send(&producer, "replay", 0, &format!("{round}-{i}")));
        // The third ends with an aborted transaction only, the second is empty.
        if aborts {
            send(&producer, "replay", 2, "aborted");
        }
        producer.flush(LONG).expect("flush");
        match aborts {
            true => producer.abort_transaction(LONG).expect("abort"),
            false => producer.commit_transaction(LONG).expect("commit"),
        }
    }
    let replay = start("replay", &[Some(3), None, Some(0)]).expect("start");
    // After the start, and so not part of it.
    fill("replay", 3, 0, 50);
    let (offsets, replay) = finish(replay);
    assert_eq!(offsets, [(3..10).chain(22..32).collect(), vec![], vec![]]);
    let ends: Vec<_> = replay.progress().iter().map(|p| (p.from, p.end)).collect();
    assert_eq!(ends, [(3, 44), (0, 0), (0, 4)]);
    assert_eq!(replay.progress()[0].bytes, 17 * 4, "a key of one byte, values of three");
}

#[test]
fn offsets_outside_of_the_log_are_told() {
    create("replay-gone", 1, &[]);
    fill("replay-gone", 1, 0, 20);
    delete_before("replay-gone", 0, 5);
    for asked in [4, 21] {
        let error = start("replay-gone", &[Some(asked)]).err();
        assert_eq!(error, Some(ReplayError::OffsetGone { partition: tp("replay-gone", 0), asked, start: 5, end: 20 }));
    }
    assert_eq!(finish(start("replay-gone", &[None]).expect("start")).0[0], (5..20).collect::<Vec<_>>());
    assert!(start("replay-gone", &[Some(20)]).expect("start").is_done());
    assert!(
        matches!(start("replay-none", &[None]).err(), Some(ReplayError::Kafka(KafkaError::Retry(_)))),
        "no such topic, or none yet, or no leader: the same to the client"
    );
}

#[test]
fn a_beginning_that_is_deleted_meanwhile_is_told() {
    create("replay-late", 1, &[]);
    fill("replay-late", 1, 0, 20);
    let mut replay = start("replay-late", &[Some(0)]).expect("start");
    delete_before("replay-late", 0, 20);
    let mut result = Ok(Vec::new());
    until("it ends, one way or the other", || {
        result = replay.read(1, STEP);
        result.is_err() || replay.is_done()
    });
    // What was fetched before counts; what was not must be told.
    if let Err(error) = result {
        assert!(matches!(error, ReplayError::OffsetGone { start: 20, end: 20, .. }), "{error}");
    } else {
        assert_eq!(replay.progress()[0].records, 20);
    }
}

#[test]
fn compacted_logs_are_replayed_over_their_gaps() {
    let settings = [("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01")];
    create("compacted", 1, &settings);
    fill("compacted", 1, 0, 100);
    let mut last = 100;
    until("the log was compacted", || {
        // A segment is closed by the first record after its time.
        thread::sleep(Duration::from_millis(150));
        fill("compacted", 1, last, 1);
        last += 1;
        let (offsets, replay) = finish(start("compacted", &[Some(0)]).expect("start"));
        assert_eq!(replay.progress()[0].end, last as i64);
        assert_eq!(offsets[0].last(), Some(&(last as i64 - 1)));
        offsets[0].len() < 50
    });
}

#[test]
fn an_open_transaction_is_waited_for_and_not_for_ever() {
    create("open", 1, &[]);
    fill("open", 1, 0, 10);
    let producer = producer(Some("open"));
    producer.begin_transaction().expect("begin");
    (0..5).for_each(|_| send(&producer, "open", 0, "pending"));
    producer.flush(LONG).expect("flush");
    let mut replay = start("open", &[Some(0)]).expect("start").stall_after(Duration::from_millis(400));
    let mut error = None;
    until("it gives up", || {
        error = replay.read(100, STEP).err();
        error.is_some()
    });
    let error = error.unwrap();
    assert!(matches!(error, ReplayError::Kafka(KafkaError::Retry(_))), "{error}");
    assert!(error.to_string().contains("open/0 at 10 of 15"), "{error}");
    let waiting = start("open", &[Some(0)]).expect("start");
    let ender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        producer.commit_transaction(LONG).expect("commit");
    });
    assert_eq!(finish(waiting).0[0], (0..15).collect::<Vec<_>>());
    ender.join().unwrap();
}
