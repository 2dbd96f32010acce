//! Questions to the stores of a fleet: each key is answered by the host that has it, the others say where that is, and every answer is of
//! one commit, while records flow, hosts die, and come back at another address.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream_core::partition::partition_for_key;
use millstream_core::record::BatchBuilder;
use millstream_kafka::admin::Admin;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::plain::PlainProducer;
use millstream_tests::host::{Host, Said, ask};
use millstream_tests::kafka::Place;
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::pipes::{CLASSIC, CONSUMER, Pipe, share};

const PARTITIONS: u32 = 4;

/// Records of each partition in a piece: odd, so that the two keys take turns.
const PIECE: usize = 51;

const WAIT: Duration = Duration::from_secs(30);

fn manifest(place: &Place) -> String {
    format!(
        "commit-interval: 500ms
sources:
  in: {{ topic: {input}, start: earliest }}
steps:
  counts: {{ from: in, group: key, count: {{ format: text }} }}
sinks:
  out: {{ from: counts, topic: {output} }}
",
        input = place.topic("in"),
        output = place.topic("out"),
    )
}

/// Two keys of each partition.
fn keys() -> Vec<[String; 2]> {
    let of = |partition| {
        let mut of =
            (0..).map(|n| format!("k{n}")).filter(move |k| partition_for_key(k.as_bytes(), PARTITIONS) == partition);
        [of.next().unwrap(), of.next().unwrap()]
    };
    (0..PARTITIONS).map(of).collect()
}

/// Writes pieces without transactions, so that an offset is how many records came before; both keys of a partition by turns.
fn fill(place: &Place, pieces: std::ops::Range<usize>) {
    let mut producer = PlainProducer::new(&place.properties(&[]).unwrap(), 8 << 20).unwrap();
    for piece in pieces {
        producer.begin();
        for (partition, keys) in keys().iter().enumerate() {
            let mut batch = BatchBuilder::default();
            for i in piece * PIECE..(piece + 1) * PIECE {
                batch.push(Some(keys[i % 2].as_bytes()), Some(b"v"), 1_000 + i as i64, []);
            }
            let to = TopicPartition::new(place.topic("in"), partition as i32);
            producer.produce(&to, &batch.finish(), 0, WAIT).unwrap();
        }
        producer.flush(WAIT).unwrap();
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn question(url: &str, path: &str) -> Result<Said, String> {
    ask(&format!("{url}/v1/stores/counts/{path}"))
}

fn position(said: &Said) -> i64 {
    said.body["as_of"][0]["positions"][0]["offset"].as_i64().unwrap_or(0)
}

/// Holds an answer against what is committed: the count of one key, or those of both, at its position.
fn check((pipe, admin): (&Pipe, &Admin), partition: u32, said: &Said, both: bool) -> i64 {
    let counts: Vec<i64> =
        said.body["rows"].as_array().unwrap().iter().map(|row| row["value"].as_i64().unwrap()).collect();
    let at = position(said);
    let want = if both { at } else { (at + 1) / 2 };
    assert_eq!(counts.iter().sum::<i64>(), want, "an answer is of one commit: {}", said.body);
    let place = TopicPartition::new(pipe.place.topic("in"), partition as i32);
    let committed = admin.committed(&pipe.place.name, std::slice::from_ref(&place)).unwrap();
    let committed = committed.get(&place).map_or(0, |committed| committed.offset);
    assert!(committed >= at, "partition {partition} was answered as of {at}, and {committed} is committed");
    at
}

/// What asking told of a partition.
#[derive(Default)]
struct Seen {
    /// The last position.
    last: i64,
    answers: usize,
    sent_on: usize,
}

/// Asks every host for every partition; what a host sends on is asked there.
fn look(of: (&Pipe, &Admin), hosts: &[&Host], seen: &mut BTreeMap<u32, Seen>) {
    for (partition, keys) in keys().iter().enumerate() {
        let partition = partition as u32;
        for (n, host) in hosts.iter().enumerate() {
            let both = n == 1;
            let path = if both { format!("keys?partition={partition}") } else { format!("keys/{}", keys[0]) };
            let Ok(mut said) = question(&host.url, &path) else { continue };
            let seen = seen.entry(partition).or_default();
            if said.status == 307 {
                let Ok(there) = ask(&said.location.expect("it says where")) else { continue };
                seen.sent_on += usize::from(there.status == 200);
                said = there;
            }
            match said.status {
                200 => {
                    let at = check(of, partition, &said, both);
                    // A host that has just lost it may still say what was so.
                    seen.last = seen.last.max(at);
                    seen.answers += 1;
                }
                // Not committed yet, or on its way from one host to another.
                404 | 503 | 307 => {}
                other => panic!("{path}: {other}: {}", said.body),
            }
        }
    }
}

/// Waits until all keys are answered in full, by their owners alone, and each host sends to the other for what it has not.
fn compare(hosts: [&Host; 2], pieces: usize) {
    let all = (pieces * PIECE) as i64;
    eventually("each owner answers, and the other sends to it", 60, || {
        let mut owned = [0, 0];
        for (partition, keys) in keys().iter().enumerate() {
            let answers = hosts.map(|host| question(&host.url, &format!("keys/{}", keys[0])));
            let [Ok(one), Ok(other)] = answers else { return Err("not both answer".into()) };
            let (owner, from, by) = match (one.status, other.status) {
                (200, 307) => (0, other, one),
                (307, 200) => (1, one, other),
                _ => return Err(format!("partition {partition}: {} and {}", one.body, other.body)),
            };
            owned[owner] += 1;
            let location = format!("{}/v1/stores/counts/keys/{}", hosts[owner].url, keys[0]);
            if from.location.as_deref() != Some(&location) || from.body["host"] != hosts[owner].url {
                return Err(format!("{:?} is not {location}", from.location));
            }
            if by.body["rows"][0]["value"] != (all + 1) / 2 {
                return Err(format!("partition {partition}: {} of {all}", position(&by)));
            }
        }
        if owned == [2, 2] { Ok(()) } else { Err(format!("{owned:?}")) }
    });
    for host in hosts {
        let said = question(&host.url, "keys").unwrap();
        let not_read = said.body["not_read"].as_array().unwrap();
        assert_eq!((said.body["rows"].as_array().unwrap().len(), not_read.len()), (4, 2), "{}", said.body);
        let others: Vec<&Value> = not_read.iter().map(|partition| &partition["host"]).collect();
        let other = hosts.iter().find(|other| other.url != host.url).unwrap();
        assert!(others.iter().all(|url| **url == other.url), "{others:?}");
    }
}

fn every_key_is_answered_by_its_owner(kafka: &str) {
    let pipe = Pipe::another("asked", &["in", "out"], PARTITIONS, kafka, manifest);
    let a = pipe.start("a", &[]);
    let mut b = pipe.start("b", &[]);
    share([&a, &b], PARTITIONS as usize, 60);
    let (mut seen, pieces, admin) = (BTreeMap::new(), 200, pipe.place.admin().unwrap());
    for part in 0..2 {
        let filled = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                fill(&pipe.place, part * pieces / 2..(part + 1) * pieces / 2);
                filled.store(true, Ordering::SeqCst);
            });
            while !filled.load(Ordering::SeqCst) {
                look((&pipe, &admin), &[&a, &b], &mut seen);
            }
        });
        compare([&a, &b], (part + 1) * pieces / 2);
        if part == 0 {
            let before = b.url.clone();
            b.kill_now();
            b = pipe.start("b", &[]);
            assert_ne!(b.url, before, "it is reached elsewhere now");
        }
    }
    for (partition, seen) in &seen {
        let enough = seen.answers > 4 && seen.sent_on > 0 && seen.last > 0;
        assert!(
            enough,
            "partition {partition}: {} answers, {} of them sent on, the last as of {}",
            seen.answers, seen.sent_on, seen.last
        );
    }
    assert_eq!(seen.len(), PARTITIONS as usize);
    assert!(b.stop().success() && a.stop().success());
}

#[test]
fn every_key_is_answered_by_its_owner_classic() {
    every_key_is_answered_by_its_owner(CLASSIC);
}

#[test]
fn every_key_is_answered_by_its_owner_consumer() {
    every_key_is_answered_by_its_owner(CONSUMER);
}
