//! The access-log example on real brokers, seen from outside: topics, lines into them, counts out of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_core::record::BatchBuilder;
use millstream_kafka::admin::{Admin, TopicSpec};
use millstream_kafka::config::Properties;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::Producer;
use millstream_kafka::replay::{Replay, Stretch};

use crate::access::{Counts, windowed};

/// How long one request may take.
const WAIT: Duration = Duration::from_secs(30);

/// Lines of one call of the producer.
const CHUNK_LINES: usize = 4_096;

/// Lines of one transaction.
const TRANSACTION_LINES: usize = 500_000;

/// Bytes that wait inside of a client.
const QUEUE_BYTES: usize = 64 << 20;

/// Brokers, and names that no other test has.
pub struct Place {
    /// Where they are.
    pub bootstrap: String,
    /// Of the pipeline and its topics.
    pub name: String,
}

impl Place {
    /// Topics for one test: `NAME-in` with so many partitions, `NAME-out` with as many.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn new(bootstrap: &str, what: &str, partitions: u32) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let place = Self { bootstrap: bootstrap.into(), name: format!("{what}-{number}") };
        let topics = [place.input(), place.output()].map(|name| {
            // Their event times are years old.
            let settings = BTreeMap::from([("retention.ms".to_string(), "-1".to_string())]);
            TopicSpec { name, partitions: partitions as i32, replication_factor: None, settings }
        });
        place.admin()?.create(&topics)?;
        Ok(place)
    }

    /// The topic that lines are written to.
    pub fn input(&self) -> String {
        format!("{}-in", self.name)
    }

    /// The topic that counts are written to.
    pub fn output(&self) -> String {
        format!("{}-out", self.name)
    }

    fn properties(&self) -> anyhow::Result<Properties> {
        let given = BTreeMap::from([("bootstrap.servers".to_string(), self.bootstrap.clone())]);
        Properties::new(given).map_err(|errors| anyhow::anyhow!("{errors:?}"))
    }

    /// The brokers, for questions.
    ///
    /// # Errors
    /// Those of the client.
    pub fn admin(&self) -> anyhow::Result<Admin> {
        Ok(Admin::new(&self.properties()?, WAIT)?)
    }

    /// Writes lines to the input topic, in turn over its partitions.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn fill(&self, partitions: u32, lines: impl Iterator<Item = String>) -> anyhow::Result<()> {
        let mut producer = Producer::new(&self.properties()?, &format!("{}-filler", self.name), QUEUE_BYTES)?;
        producer.init(WAIT)?;
        let input = self.input();
        let mut builders: Vec<BatchBuilder> = (0..partitions).map(|_| BatchBuilder::default()).collect();
        producer.begin()?;
        let send = |producer: &mut Producer, partition: usize, builder: BatchBuilder| {
            let to = TopicPartition::new(input.as_str(), partition as i32);
            producer.produce(&to, &builder.finish(), 0, WAIT).context("write lines")
        };
        for (i, line) in lines.enumerate() {
            let partition = i % partitions as usize;
            builders[partition].push(None, Some(line.as_bytes()), 1, []);
            if builders[partition].len() == CHUNK_LINES {
                send(&mut producer, partition, std::mem::take(&mut builders[partition]))?;
            }
            if i % TRANSACTION_LINES == TRANSACTION_LINES - 1 {
                producer.commit(WAIT)?;
                producer.begin()?;
            }
        }
        for (partition, builder) in builders.into_iter().enumerate().filter(|(_, b)| !b.is_empty()) {
            send(&mut producer, partition, builder)?;
        }
        producer.commit(WAIT)?;
        Ok(())
    }

    /// Reads the output topic, read committed; a window counted twice is an error.
    ///
    /// # Errors
    /// Those of the brokers; a key that is not address and window; a window that came out twice.
    pub fn results(&self, partitions: u32) -> anyhow::Result<Counts> {
        let output = self.output();
        let stretch = |p: u32| Stretch { partition: TopicPartition::new(output.as_str(), p as i32), from: None };
        let stretches: Vec<Stretch> = (0..partitions).map(stretch).collect();
        let mut replay = Replay::start(&self.properties()?, &format!("{}-reader", self.name), &stretches, QUEUE_BYTES)?;
        let mut counts = Counts::new();
        while !replay.is_done() {
            for fetched in replay.read(10_000, Duration::from_millis(200))? {
                let batch = &fetched.batch;
                for i in 0..batch.len() {
                    let (ip, start) = windowed(batch.keys.get(i).context("a result has no key")?)?;
                    let value = std::str::from_utf8(batch.values.get(i).context("a result has no value")?)?;
                    let before = counts.insert((start, ip.clone()), value.parse()?);
                    ensure!(before.is_none(), "the window {start} of {ip} came out twice: {before:?} and {value}");
                }
            }
        }
        Ok(counts)
    }
}
