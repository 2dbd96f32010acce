//! What reading costs: CPU time of the whole process, client's threads included, for each record that comes out in columns.
//! A test of its own, since others in its process would be counted too. Nothing is done with the records.

#[path = "consumer/support.rs"]
#[allow(dead_code)]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};
use rustix::time::{ClockId, clock_gettime};

use support::{LONG, client, create, join, producer, properties, send, settings};

/// CPU time a record, in parts of what the bare client takes for the same records in the same turn. Measured: 0.97 to 1.24,
/// as what is saved by taking many at once pays for copying them. Times alone would say how busy the machine is; the least of
/// some turns of each says little of it.
const OF_BARE_MAX: f64 = 1.75;

/// Turns of each reader, one after the other.
const TURNS: usize = 3;

const PARTITIONS: i32 = 4;

/// Records a call; what the host asks for.
const MESSAGES_MAX: usize = 4_096;

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// `MILLSTREAM_COST_RECORDS`: how many of 100 bytes each, for each partition.
#[test]
fn a_record_costs_little() {
    let count: usize = std::env::var("MILLSTREAM_COST_RECORDS").ok().and_then(|v| v.parse().ok()).unwrap_or(200_000);
    create("cost", PARTITIONS, &[]);
    let (producer, value) = (producer(None), "v".repeat(100));
    for _ in 0..count {
        (0..PARTITIONS).for_each(|p| send(&producer, "cost", p, &value));
    }
    producer.flush(LONG).expect("flush");
    drop(producer);
    let all = count * PARTITIONS as usize;
    let mut least = [f64::MAX; 3];
    for turn in 0..TURNS {
        let costs = [bare(all), columns(all, 1, turn), columns(all, 2, turn)];
        println!("µs of CPU a record: {:.3} bare, {:.3} one worker, {:.3} two", costs[0], costs[1], costs[2]);
        least = std::array::from_fn(|i| least[i].min(costs[i]));
    }
    for workers in [1, 2] {
        let ratio = least[workers] / least[0];
        println!("{workers} worker(s): {ratio:.2} of the bare client");
        assert!(ratio < OF_BARE_MAX, "{workers} worker(s) take {ratio:.2} of what the bare client takes: {least:?} µs");
    }
}

/// CPU time of the process over all records, in µs a record.
fn cost(all: usize, read: impl FnOnce()) -> f64 {
    let before = cpu();
    read();
    (cpu() - before).as_secs_f64() * 1e6 / all as f64
}

/// The client as its library gives it: a record a call.
fn bare(all: usize) -> f64 {
    let consumer: BaseConsumer = client().set("group.id", "cost-bare").create().expect("consumer");
    let mut list = TopicPartitionList::new();
    for p in 0..PARTITIONS {
        list.add_partition_offset("cost", p, Offset::Beginning).expect("offset");
    }
    consumer.assign(&list).expect("assign");
    let deadline = Instant::now() + LONG;
    cost(all, || {
        let mut read = 0;
        while read < all {
            match consumer.poll(Duration::from_millis(100)) {
                Some(message) => read += usize::from(message.expect("message").payload().is_some()),
                None => assert!(Instant::now() < deadline, "{read} of {all} records came"),
            }
        }
    })
}

/// Our readers, each on a thread of its own.
fn columns(all: usize, workers: usize, turn: usize) -> f64 {
    let mut settings = settings(&format!("cost-{workers}-{turn}"), None, &["cost"], workers);
    settings.fetch_bytes_max = 32 << 20;
    let (_member, readers, _) = join(&properties(&[]), &settings, PARTITIONS as usize);
    let share = all / workers;
    cost(all, || {
        thread::scope(|scope| {
            for mut reader in readers {
                scope.spawn(move || {
                    let (mut read, deadline) = (0, Instant::now() + LONG);
                    while read < share {
                        let got = reader.read(MESSAGES_MAX, Duration::from_millis(100)).expect("open");
                        read += got.fetched.iter().map(|f| f.batch.len()).sum::<usize>();
                        assert!(Instant::now() < deadline, "{read} of {share} records came");
                    }
                });
            }
        });
    })
}
