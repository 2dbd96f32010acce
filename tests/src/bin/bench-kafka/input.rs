//! The topic that everybody reads: access-log lines, keyed by their address, with their event time; and what must come of them.

use std::time::{Duration, Instant};

use anyhow::Context;
use millstream::cli::generate::{Lines, Shape};
use millstream_core::partition::partition_for_key;
use millstream_core::record::BatchBuilder;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::Producer;
use millstream_tests::access::{Counts, WINDOW_MS, parse};

use crate::options::{Load, Options};
use crate::place::{Place, WAIT};

/// Grace of the windows: more than partitions get apart in a run, so that also Kafka Streams, where a record behind a repartition topic is
/// late by the time of others, can count all.
pub const GRACE_MS: i64 = 10_000;
/// How far lines are out of order.
const DISORDER_MS: u32 = 1_500;
/// Lines of one call of the producer.
const CHUNK_LINES: usize = 4_096;
/// Lines of one transaction.
const TRANSACTION_LINES: u64 = 500_000;
const QUEUE_BYTES: usize = 128 << 20;
/// Windows that overlap: this long, and one begins each second.
pub const HOUR_MS: i64 = 3_600_000;
pub const SECOND_MS: i64 = 1_000;

/// See the module.
pub struct Input {
    /// What was asked for.
    pub load: Load,
    /// The topic.
    pub topic: String,
    /// Lines with an address.
    pub kept: u64,
    /// Counts of all windows.
    pub counts: Counts,
    /// Counts of seconds, for windows that begin at each.
    pub seconds: Counts,
    /// The latest time in the lines of each partition.
    pub times: Vec<i64>,
}

impl Input {
    /// Counts of the windows that close by the time of the partition that an address is in.
    pub fn closed(&self) -> Counts {
        let closes = |(start, ip): &(i64, String)| start + WINDOW_MS + GRACE_MS <= self.time_of(ip);
        self.counts.iter().filter(|(window, _)| closes(window)).map(|(window, n)| (window.clone(), *n)).collect()
    }

    /// The same of windows of an hour, of which one begins at each multiple of `advance_ms`, which seconds divide.
    pub fn closed_hours(&self, advance_ms: i64) -> Counts {
        let mut out = Counts::new();
        for ((second, ip), n) in &self.seconds {
            let last = self.time_of(ip) - GRACE_MS - HOUR_MS;
            let (from, to) = (second - HOUR_MS + SECOND_MS, (*second).min(last));
            let first = from + (advance_ms - from.rem_euclid(advance_ms)) % advance_ms;
            for start in (first..=to).step_by(advance_ms as usize) {
                *out.entry((start, ip.clone())).or_default() += n;
            }
        }
        out
    }

    /// The latest time in the partition that an address is in.
    fn time_of(&self, ip: &str) -> i64 {
        self.times[partition_for_key(ip.as_bytes(), self.times.len() as u32) as usize]
    }
}

/// Writes the lines of all runs.
///
/// # Errors
/// Those of the broker.
pub fn fill(place: &Place, load: Load, options: &Options) -> anyhow::Result<Input> {
    if let Some(keys) = load.keys {
        return fill_keys(place, load, keys, options);
    }
    let count = load.records + load.warm_up;
    let topic = place.name("lines");
    place.create(&topic, options.partitions)?;
    eprintln!("writing {count} lines");
    let begin = Instant::now();
    let mut producer = Producer::new(&place.properties, &place.name("filler"), QUEUE_BYTES)?;
    producer.init(WAIT)?;
    producer.begin()?;
    let times = vec![i64::MIN; options.partitions as usize];
    let mut input = Input { load, topic, kept: 0, counts: Counts::new(), seconds: Counts::new(), times };
    let shape = Shape { seed: 1, addresses: load.addresses, per_second: load.per_second, disorder_ms: DISORDER_MS };
    let mut builders: Vec<BatchBuilder> = (0..options.partitions).map(|_| BatchBuilder::default()).collect();
    let mut time = 0;
    for (i, line) in (0..count).zip(Lines::new(shape)) {
        let parsed = parse(&line);
        time = parsed.map_or(time, |(_, time)| time);
        // A line without an address has no key, and goes anywhere.
        let partition = match parsed {
            Some((ip, time)) => input.note(ip, time),
            None => (i % u64::from(options.partitions)) as u32,
        } as usize;
        builders[partition].push(parsed.map(|(ip, _)| ip.as_bytes()), Some(line.as_bytes()), time, []);
        if builders[partition].len() == CHUNK_LINES {
            send(&mut producer, &input.topic, partition, std::mem::take(&mut builders[partition]))?;
        }
        if i % TRANSACTION_LINES == TRANSACTION_LINES - 1 {
            producer.commit(WAIT)?;
            producer.begin()?;
        }
    }
    for (partition, builder) in builders.into_iter().enumerate().filter(|(_, builder)| !builder.is_empty()) {
        send(&mut producer, &input.topic, partition, builder)?;
    }
    producer.commit(WAIT)?;
    eprintln!("written: {:.0} lines/s", count as f64 / begin.elapsed().max(Duration::from_millis(1)).as_secs_f64());
    Ok(input)
}

/// The key of a number.
pub fn key_of(number: u64) -> String {
    format!("key-{number:010}")
}

/// A prime that no number of keys is a multiple of: its multiples go through all of them, in an order that no cache foresees.
const STEP: u64 = 2_654_435_761;

/// Writes each key once, and then each once more.
fn fill_keys(place: &Place, load: Load, keys: u64, options: &Options) -> anyhow::Result<Input> {
    let (count, topic) = (load.records + load.warm_up, place.name("keys"));
    place.create(&topic, options.partitions)?;
    eprintln!("writing {count} records of {keys} keys");
    let begin = Instant::now();
    let mut producer = Producer::new(&place.properties, &place.name("filler"), QUEUE_BYTES)?;
    producer.init(WAIT)?;
    producer.begin()?;
    let mut builders: Vec<BatchBuilder> = (0..options.partitions).map(|_| BatchBuilder::default()).collect();
    for i in 0..count {
        let key = key_of((i % keys).wrapping_mul(STEP) % keys);
        let time = (i * 1_000 / u64::from(load.per_second)) as i64;
        let partition = partition_for_key(key.as_bytes(), options.partitions) as usize;
        builders[partition].push(Some(key.as_bytes()), Some(b"1"), time, []);
        if builders[partition].len() == CHUNK_LINES {
            send(&mut producer, &topic, partition, std::mem::take(&mut builders[partition]))?;
        }
        if i % TRANSACTION_LINES == TRANSACTION_LINES - 1 {
            producer.commit(WAIT)?;
            producer.begin()?;
        }
    }
    for (partition, builder) in builders.into_iter().enumerate().filter(|(_, builder)| !builder.is_empty()) {
        send(&mut producer, &topic, partition, builder)?;
    }
    producer.commit(WAIT)?;
    eprintln!("written: {:.0} records/s", count as f64 / begin.elapsed().max(Duration::from_millis(1)).as_secs_f64());
    let times = vec![i64::MIN; options.partitions as usize];
    Ok(Input { load, topic, kept: count, counts: Counts::new(), seconds: Counts::new(), times })
}

impl Input {
    fn note(&mut self, ip: &str, time: i64) -> u32 {
        self.kept += 1;
        *self.counts.entry((time - time.rem_euclid(WINDOW_MS), ip.to_string())).or_default() += 1;
        if self.load.per_second / self.load.addresses >= 100 {
            *self.seconds.entry((time - time.rem_euclid(SECOND_MS), ip.to_string())).or_default() += 1;
        }
        let partition = partition_for_key(ip.as_bytes(), self.times.len() as u32);
        let last = &mut self.times[partition as usize];
        *last = time.max(*last);
        partition
    }
}

fn send(producer: &mut Producer, topic: &str, partition: usize, builder: BatchBuilder) -> anyhow::Result<()> {
    let to = TopicPartition::new(topic, partition as i32);
    producer.produce(&to, &builder.finish(), 0, WAIT).context("write lines")
}
