//! What readers give: exactly what is in the log, with positions behind control records; pausing; what is gone.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use millstream_kafka::consumer::{Closed, Event, Leave, Member, Reader};
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::{Fetched, Problem};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::support::{
    LONG, STEP, broker, create, delete_before, fill, join, places, producer, properties, send, settings, until,
};

/// Reads until each of `partitions` is at its end and nothing comes, with all readers in turn. By partition: everything,
/// joined.
fn drain(readers: &mut [Reader], partitions: usize) -> BTreeMap<i32, Vec<Fetched>> {
    let mut out: BTreeMap<i32, Vec<Fetched>> = BTreeMap::new();
    until("all partitions are at their ends", || {
        let before: usize = out.values().map(Vec::len).sum();
        for reader in readers.iter_mut() {
            let read = reader.read(500, STEP).expect("open");
            assert!(read.problems.is_empty(), "{:?}", read.problems);
            read.fetched.into_iter().for_each(|f| out.entry(f.partition.partition).or_default().push(f));
        }
        let quiet = out.values().map(Vec::len).sum::<usize>() == before;
        quiet && out.len() == partitions && out.values().all(|f| f.last().unwrap().at_end)
    });
    for fetched in out.values() {
        fetched.windows(2).for_each(|w| assert_eq!(w[1].from, w[0].next));
    }
    out
}

/// Values in order, with their offsets.
fn records(fetched: &[Fetched]) -> Vec<(i64, String)> {
    let text = |f: &Fetched, i| String::from_utf8(f.batch.values.get(i).unwrap().to_vec()).unwrap();
    fetched.iter().flat_map(|f| (0..f.batch.len()).map(move |i| (f.offsets.get(i), text(f, i)))).collect()
}

/// Five transactions, two of them aborted, into each partition. Gives the records that count.
fn transactions(topic: &str, partitions: i32) -> Vec<(i64, String)> {
    let producer = producer(Some(topic));
    let (mut offset, mut good) = (0, Vec::new());
    for round in 0..5 {
        producer.begin_transaction().expect("begin");
        let count = 20 * (round + 1);
        for i in 0..count {
            let value = format!("{round}-{i}");
            (0..partitions).for_each(|p| send(&producer, topic, p, &value));
            if round % 2 == 0 {
                good.push((offset + i, value));
            }
        }
        producer.flush(LONG).expect("flush");
        match round % 2 {
            0 => producer.commit_transaction(LONG).expect("commit"),
            _ => producer.abort_transaction(LONG).expect("abort"),
        }
        offset += count + 1;
    }
    good
}

#[test]
fn forwarded_queues_give_exactly_what_is_in_the_log() {
    create("exact", 5, &[]);
    let good = transactions("exact", 5);
    let end = 20 + 40 + 60 + 80 + 100 + 5;
    for workers in 1..=3 {
        let (member, mut readers, _) =
            join(&properties(&[]), &settings(&format!("exact-{workers}"), None, &["exact"], workers), 5);
        for (partition, fetched) in drain(&mut readers, 5) {
            assert_eq!(records(&fetched), good, "partition {partition}, {workers} workers");
            let last = fetched.last().unwrap();
            assert_eq!((last.next, last.at_end), (end, true), "behind the last marker");
        }
        member.close(Leave::AtOnce).expect("close");
        assert_eq!(readers[0].read(1, LONG).unwrap_err(), Closed);
    }
}

#[test]
fn a_marker_that_comes_alone_moves_the_position() {
    create("marker", 1, &[]);
    let (_member, mut readers, _) = join(&properties(&[]), &settings("marker", None, &["marker"], 1), 1);
    let producer = producer(Some("marker"));
    producer.begin_transaction().expect("begin");
    send(&producer, "marker", 0, "a");
    producer.flush(LONG).expect("flush");
    let first = drain(&mut readers, 1);
    let last = first[&0].last().unwrap();
    assert_eq!((last.next, last.batch.len()), (0, 0), "the transaction is open");
    producer.abort_transaction(LONG).expect("abort");
    until("the position is behind the marker", || {
        readers[0].read(10, STEP).unwrap().fetched.iter().any(|f| (f.next, f.at_end, f.batch.len()) == (2, true, 0))
    });
}

#[test]
fn keys_values_times_and_headers_arrive_as_they_were_sent() {
    create("columns", 1, &[]);
    create("appended", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let producer: BaseProducer = producer(None);
    for topic in ["columns", "appended"] {
        let of = || BaseRecord::<[u8], [u8]>::to(topic).partition(0).timestamp(1_700_000_000_123);
        let header = |key, value: Option<&'static [u8]>| Header { key, value };
        let headers = OwnedHeaders::new()
            .insert(header("a", Some(b"1")))
            .insert(header("a", None))
            .insert(header("ä", Some(b"")));
        producer.send(of().key(b"k").payload(b"v")).map_err(|(e, _)| e).expect("send");
        producer.send(of().payload(b"").headers(headers)).map_err(|(e, _)| e).expect("send");
        producer.send(of().key(b"")).map_err(|(e, _)| e).expect("send");
    }
    producer.flush(LONG).expect("flush");
    let (_member, mut readers, _) = join(&properties(&[]), &settings("columns", None, &["columns", "appended"], 1), 2);
    let mut seen = 0;
    until("six records came", || {
        for fetched in readers[0].read(10, STEP).unwrap().fetched.iter().filter(|f| !f.batch.is_empty()) {
            let batch = &fetched.batch;
            seen += batch.len();
            assert_eq!([0, 1, 2].map(|i| batch.keys.get(i)), [Some(&b"k"[..]), None, Some(b"")]);
            assert_eq!([0, 1, 2].map(|i| batch.values.get(i)), [Some(&b"v"[..]), Some(b""), None]);
            let headers = batch.headers.as_ref().unwrap();
            assert_eq!([0, 1, 2].map(|i| headers.of(i).count()), [0, 3, 0]);
            let all: Vec<_> = headers.of(1).collect();
            assert_eq!(all, [(&b"a"[..], Some(&b"1"[..])), (b"a", None), ("ä".as_bytes(), Some(b""))]);
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
            match &*fetched.partition.topic {
                "columns" => assert_eq!(*batch.timestamps, [1_700_000_000_123; 3]),
                _ => assert!(batch.timestamps.iter().all(|t| (now - t).abs() < 600_000), "{:?}", batch.timestamps),
            }
        }
        seen == 6
    });
}

#[test]
fn a_partition_of_which_too_much_waits_is_not_fetched_until_half_is_done() {
    create("lagging", 2, &[]);
    fill("lagging", 2, 0, 1_000);
    let settings = settings("lagging", None, &["lagging"], 1);
    let (_member, mut readers, _) = join(&properties(&[]), &settings, 2);
    let reader = &mut readers[0];
    let mut next = [0, 0];
    let read = |reader: &mut Reader, next: &mut [i64; 2]| {
        for fetched in reader.read(100, STEP).unwrap().fetched {
            let at = &mut next[fetched.tag];
            assert_eq!((fetched.from, fetched.batch.len() as i64), (*at, fetched.next - *at));
            *at = fetched.next;
        }
    };
    until("something of partition 0", || {
        read(reader, &mut next);
        next[0] > 0
    });
    reader.waiting(0, settings.buffer_bytes_max - 1);
    read(reader, &mut next);
    assert_eq!(reader.paused(), []);
    reader.waiting(0, settings.buffer_bytes_max);
    read(reader, &mut next);
    let (paused, stopped) = (reader.paused(), next[0]);
    assert_eq!(paused.iter().map(|p| p.partition).collect::<Vec<_>>(), [0]);
    fill("lagging", 2, 1_000, 500);
    until("all of partition 1", || {
        read(reader, &mut next);
        next[1] == 1_500
    });
    assert_eq!(next[0], stopped, "nothing comes of what is paused");
    reader.waiting(0, settings.buffer_bytes_max / 2 + 1);
    read(reader, &mut next);
    assert_eq!((reader.paused().len(), next[0]), (1, stopped), "more than half waits still");
    reader.waiting(0, settings.buffer_bytes_max / 2);
    until("all of partition 0", || {
        read(reader, &mut next);
        next[0] == 1_500
    });
}

#[test]
fn a_pause_ends_with_its_assignment() {
    create("paused", 2, &[]);
    fill("paused", 2, 0, 100);
    let settings = settings("paused", None, &["paused"], 1);
    let (mut first, mut readers, _) = join(&properties(&[]), &settings, 2);
    readers[0].waiting(0, settings.buffer_bytes_max);
    readers[0].waiting(1, settings.buffer_bytes_max);
    readers[0].read(10, STEP).expect("open");
    assert_eq!(readers[0].paused().len(), 2);
    let (mut second, _others) = Member::join(&properties(&[]), &settings).expect("join");
    let mut owns = [2, 0];
    until("each has one", || {
        for (member, owns) in [&mut first, &mut second].into_iter().zip(&mut owns) {
            match member.poll(STEP) {
                Some(Event::Assigned(partitions)) => {
                    member.assign(&places(&partitions, 1, 0)).expect("assign");
                    *owns = partitions.len();
                }
                Some(Event::Revoked(_)) => drop(member.release().expect("release")),
                _ => {}
            }
        }
        owns == [1, 1]
    });
    let mut count = 0;
    until("the paused partition flows", || {
        let read = readers[0].read(1_000, STEP).expect("open");
        count += read.fetched.iter().map(|f| f.batch.len()).sum::<usize>();
        count == 100
    });
}

/// Runs Kafka's program for rights.
fn rights(args: &[&str]) {
    let done = broker().tool("org.apache.kafka.tools.AclCommand", args);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn nothing_is_lost_when_a_right_is_taken_away_and_given_back() {
    create("denied", 1, &[]);
    fill("denied", 1, 0, 10);
    let settings = settings("denied", None, &["denied"], 1);
    let (_member, mut readers, _) = join(&properties(&[]), &settings, 1);
    let (reader, mut next) = (&mut readers[0], 0);
    let mut read = |reader: &mut Reader| {
        let read = reader.read(100, STEP).expect("open");
        for fetched in &read.fetched {
            assert_eq!((fetched.from, fetched.batch.len() as i64), (next, fetched.next - next), "a gap");
            next = fetched.next;
        }
        (next, read.problems)
    };
    until("all is read", || read(reader).0 == 10);
    let deny = ["--deny-principal", "User:ANONYMOUS", "--operation", "Read", "--topic", "denied"];
    rights(&[&["--add"][..], &deny].concat());
    until("it is told", || match read(reader).1.pop() {
        Some((_, problem)) => {
            assert!(matches!(problem, Problem::Failed(KafkaError::Refused(_))), "{problem:?}");
            true
        }
        None => false,
    });
    // What the client does by itself while a group rebalances.
    reader.waiting(0, settings.buffer_bytes_max);
    read(reader);
    assert_eq!(reader.paused().len(), 1);
    rights(&[&["--remove", "--force"][..], &deny].concat());
    fill("denied", 1, 10, 10);
    reader.waiting(0, 0);
    until("all is read", || read(reader).0 == 20);
}

#[test]
fn an_offset_that_is_gone_is_told_with_the_ends_of_the_log() {
    create("gone", 1, &[]);
    fill("gone", 1, 0, 100);
    delete_before("gone", 0, 60);
    let (_member, mut readers, _) = join(&properties(&[]), &settings("gone", None, &["gone"], 1), 1);
    until("the problem is told", || {
        let read = readers[0].read(100, STEP).unwrap();
        assert!(read.fetched.iter().all(|f| f.batch.is_empty()), "nothing may be skipped: {:?}", read.fetched);
        match read.problems.first() {
            None => false,
            Some((partition, problem)) => {
                assert_eq!(partition.to_string(), "gone/0");
                assert_eq!(*problem, Problem::OffsetGone { asked: 0, start: Some(60), end: Some(100) });
                true
            }
        }
    });
}

#[test]
fn a_reader_that_waits_is_woken_and_watched() {
    create("waiting", 1, &[]);
    let (member, mut readers, _) = join(&properties(&[]), &settings("waiting", None, &["waiting"], 2), 1);
    let waker = readers[1].waker();
    // The shortest of several: others use the machine too. Without the waker a read looks up after a tenth of a second.
    let shortest = (0..8).map(|late| {
        let thread = thread::spawn({
            let waker = waker.clone();
            move || {
                thread::sleep(Duration::from_millis(10) * late);
                waker.wake();
            }
        });
        if late == 0 {
            thread::sleep(Duration::from_millis(20));
        }
        let started = Instant::now();
        readers[1].read(1, LONG).expect("open");
        thread.join().unwrap();
        (late, started.elapsed())
    });
    let (before, during): (Vec<_>, Vec<_>) = shortest.partition(|(late, _)| *late == 0);
    for woken in [&before, &during] {
        let shortest = woken.iter().map(|(_, elapsed)| *elapsed).min().unwrap();
        assert!(shortest < Duration::from_millis(60), "{shortest:?}");
    }
    thread::sleep(Duration::from_millis(20));
    let since = member.watch().since_read();
    assert!(since[0] > since[1] && since[1] >= Duration::from_millis(20), "{since:?}");
}
