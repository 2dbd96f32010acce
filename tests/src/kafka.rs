//! The access-log example on real brokers, seen from outside: topics, lines into them, counts out of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use millstream_core::record::BatchBuilder;
use millstream_kafka::admin::{Admin, TopicSpec};
use millstream_kafka::config::Properties;
use millstream_kafka::fetch::{Fetched, TopicPartition};
use millstream_kafka::producer::{CommitError, Producer};
use millstream_kafka::replay::{Replay, Stretch};

use crate::access::{Counts, session, windowed};

/// How long one request may take.
const WAIT: Duration = Duration::from_secs(30);

/// Lines of one call of the producer.
const CHUNK_LINES: usize = 4_096;

/// Lines of one transaction.
const TRANSACTION_LINES: usize = 500_000;

/// Longer than a broker is away in any test.
const TRICKLE_TIMEOUT_MS: &str = "300000";

/// Bytes that wait inside of a client.
const QUEUE_BYTES: usize = 64 << 20;

/// A record for a topic.
pub struct Sent {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
}

/// Takes a windowed key apart: address, and start.
type ParseKey = fn(&[u8]) -> anyhow::Result<(String, i64)>;

/// Brokers, and names that no other test has.
#[derive(Clone)]
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
        Self::with_topics(bootstrap, what, &["in", "out"], partitions)
    }

    /// As [`Place::new`], with other topics: `NAME-TOPIC` for each.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn with_topics(bootstrap: &str, what: &str, topics: &[&str], partitions: u32) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let place = Self { bootstrap: bootstrap.into(), name: format!("{what}-{number}") };
        let spec = |topic: &&str| {
            // Their event times are years old.
            let settings = BTreeMap::from([("retention.ms".to_string(), "-1".to_string())]);
            TopicSpec { name: place.topic(topic), partitions: partitions as i32, replication_factor: None, settings }
        };
        let topics: Vec<TopicSpec> = topics.iter().map(spec).collect();
        place.admin()?.create(&topics)?;
        Ok(place)
    }

    /// The whole name of a topic.
    pub fn topic(&self, topic: &str) -> String {
        format!("{}-{topic}", self.name)
    }

    /// The topic that lines are written to.
    pub fn input(&self) -> String {
        self.topic("in")
    }

    /// The topic that counts are written to.
    pub fn output(&self) -> String {
        self.topic("out")
    }

    /// Properties of a client of these brokers, and more of them.
    ///
    /// # Errors
    /// For those that the client does not take.
    pub fn properties(&self, more: &[(&str, &str)]) -> anyhow::Result<Properties> {
        let all = [("bootstrap.servers", self.bootstrap.as_str())];
        let given = all.iter().chain(more).map(|(name, value)| (name.to_string(), value.to_string()));
        Properties::new(given.collect()).map_err(|errors| anyhow::anyhow!("{errors:?}"))
    }

    /// The changelog of a step's store.
    pub fn changelog(&self, store: &str) -> String {
        format!("{}-{store}-changelog", self.name)
    }

    /// The brokers, for questions.
    ///
    /// # Errors
    /// Those of the client.
    pub fn admin(&self) -> anyhow::Result<Admin> {
        Ok(Admin::new(&self.properties(&[])?, WAIT)?)
    }

    /// Writes lines to the input topic, in turn over its partitions.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn fill(&self, partitions: u32, lines: impl Iterator<Item = String>) -> anyhow::Result<()> {
        let mut producer = Producer::new(&self.properties(&[])?, &format!("{}-filler", self.name), QUEUE_BYTES)?;
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

    /// As [`Place::fill`], so many lines a second. Brokers may go and come meanwhile.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn trickle(
        &self,
        partitions: u32,
        lines: impl Iterator<Item = String>,
        per_second: usize,
    ) -> anyhow::Result<()> {
        let topic = self.input();
        let sent = |(i, line): (usize, String)| Sent {
            topic: topic.clone(),
            // Each piece begins with the first partition.
            partition: (i % piece_len(per_second) % partitions as usize) as u32,
            key: None,
            value: Some(line.into_bytes()),
            timestamp: 1,
        };
        self.trickle_records(lines.enumerate().map(sent), per_second)
    }

    /// Writes records, so many a second, in a transaction for each fifth of it. Brokers may go and come meanwhile.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn trickle_records(&self, mut records: impl Iterator<Item = Sent>, per_second: usize) -> anyhow::Result<()> {
        let mut producer = self.trickler()?;
        let (began, mut sent) = (Instant::now(), 0);
        loop {
            let piece: Vec<Sent> = records.by_ref().take(piece_len(per_second)).collect();
            if piece.is_empty() {
                return Ok(());
            }
            self.piece(&mut producer, &piece)?;
            sent += piece.len();
            let due = began + Duration::from_secs_f64(sent as f64 / per_second as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }

    /// Writes records in one transaction, beside [`Place::trickle_records`].
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn send(&self, records: &[Sent]) -> anyhow::Result<()> {
        let mut producer = Producer::new(&self.properties(&[])?, &format!("{}-sender", self.name), QUEUE_BYTES)?;
        producer.init(WAIT)?;
        self.piece(&mut producer, records)
    }

    fn trickler(&self) -> anyhow::Result<Producer> {
        let properties = self.properties(&[("transaction.timeout.ms", TRICKLE_TIMEOUT_MS)])?;
        let mut producer = Producer::new(&properties, &format!("{}-trickler", self.name), QUEUE_BYTES)?;
        producer.init(WAIT)?;
        Ok(producer)
    }

    /// Writes records in one transaction, as often as it takes.
    fn piece(&self, producer: &mut Producer, records: &[Sent]) -> anyhow::Result<()> {
        let mut builders: BTreeMap<(&str, u32), BatchBuilder> = BTreeMap::new();
        for sent in records {
            let builder = builders.entry((&sent.topic, sent.partition)).or_default();
            builder.push(sent.key.as_deref(), sent.value.as_deref(), sent.timestamp, []);
        }
        let batches: Vec<_> = builders.into_iter().map(|(to, builder)| (to, builder.finish())).collect();
        loop {
            producer.begin()?;
            for ((topic, partition), batch) in &batches {
                let to = TopicPartition::new(*topic, *partition as i32);
                producer.produce(&to, batch, 0, WAIT).context("write lines")?;
            }
            let mut committed = producer.commit(WAIT);
            while matches!(committed, Err(CommitError::Unknown { .. })) && producer.may_resume() {
                committed = producer.commit(WAIT);
            }
            match committed {
                Ok(_) => return Ok(()),
                // Where it cannot be aborted a new producer ends it.
                Err(CommitError::Failed { .. }) => {
                    if producer.abort(WAIT).is_err() {
                        *producer = self.trickler()?;
                    }
                }
                Err(why) => return Err(why).context("commit lines"),
            }
        }
    }

    /// Bytes of keys and values in each partition of a topic, read committed.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn bytes(&self, topic: &str, partitions: u32) -> anyhow::Result<Vec<u64>> {
        let stretch = |p: u32| Stretch { partition: TopicPartition::new(topic, p as i32), from: None };
        let stretches: Vec<Stretch> = (0..partitions).map(stretch).collect();
        let group = format!("{}-reader", self.name);
        let mut replay = Replay::start(&self.properties(&[])?, &group, &stretches, QUEUE_BYTES)?;
        while !replay.is_done() {
            replay.read(10_000, Duration::from_millis(200))?;
        }
        Ok(replay.progress().iter().map(|p| p.bytes).collect())
    }

    /// Whether a transaction is open that has written to one of these partitions of a topic.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn is_open(&self, topic: &str, partitions: u32) -> anyhow::Result<bool> {
        let all: Vec<TopicPartition> = (0..partitions).map(|p| TopicPartition::new(topic, p as i32)).collect();
        Ok(self.admin()?.watermarks(&all)?.values().any(|ends| ends.stable < ends.high))
    }

    /// Reads the output topic, read committed; a window counted twice is an error.
    ///
    /// # Errors
    /// Those of the brokers; a key that is not address and window; a window that came out twice.
    pub fn results(&self, partitions: u32) -> anyhow::Result<Counts> {
        self.counts(partitions, windowed)
    }

    /// As [`Place::results`], of sessions.
    ///
    /// # Errors
    /// See there.
    pub fn sessions(&self, partitions: u32) -> anyhow::Result<Counts> {
        self.counts(partitions, session)
    }

    fn counts(&self, partitions: u32, parse: ParseKey) -> anyhow::Result<Counts> {
        let mut counts = Counts::new();
        self.each_keyed(partitions, parse, |window, count| {
            let before = counts.insert(window.clone(), count);
            ensure!(before.is_none(), "the window {window:?} came out twice: {before:?} and {count}");
            Ok(())
        })?;
        Ok(counts)
    }

    /// The sum of the offsets at which a topic's partitions end.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn end(&self, topic: &str, partitions: u32) -> anyhow::Result<i64> {
        let all: Vec<TopicPartition> = (0..partitions).map(|p| TopicPartition::new(topic, p as i32)).collect();
        Ok(self.admin()?.watermarks(&all)?.values().map(|ends| ends.high).sum())
    }

    /// Reads the output topic, read committed: window start and address, and the count, in the order of each partition.
    ///
    /// # Errors
    /// Those of the brokers and of `take`; a key that is not address and window.
    pub fn each_result(
        &self,
        partitions: u32,
        take: impl FnMut((i64, String), u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.each_keyed(partitions, windowed, take)
    }

    fn each_keyed(
        &self,
        partitions: u32,
        parse: ParseKey,
        mut take: impl FnMut((i64, String), u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.each_record(&self.output(), partitions, |key, value, _| {
            let (ip, start) = parse(key.context("a result has no key")?)?;
            let value = std::str::from_utf8(value.context("a result has no value")?)?;
            take((start, ip), value.parse()?)
        })
    }

    /// Reads a topic, read committed: key, value and timestamp, in the order of each partition.
    ///
    /// # Errors
    /// Those of the brokers and of `take`.
    pub fn each_record(
        &self,
        topic: &str,
        partitions: u32,
        mut take: impl FnMut(Option<&[u8]>, Option<&[u8]>, i64) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.each_fetched(topic, partitions, |fetched| {
            let batch = &fetched.batch;
            (0..batch.len()).try_for_each(|i| take(batch.keys.get(i), batch.values.get(i), batch.timestamps[i]))
        })
    }

    /// Reads a topic, read committed: partition, offset and value, in the order of each partition.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn each_value(
        &self,
        topic: &str,
        partitions: u32,
        mut take: impl FnMut(u32, i64, Option<&[u8]>),
    ) -> anyhow::Result<()> {
        self.each_fetched(topic, partitions, |fetched| {
            let partition = fetched.partition.partition.unsigned_abs();
            for (i, offset) in fetched.offsets.iter().enumerate() {
                take(partition, offset, fetched.batch.values.get(i));
            }
            Ok(())
        })
    }

    fn each_fetched(
        &self,
        topic: &str,
        partitions: u32,
        mut take: impl FnMut(&Fetched) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let stretch = |p: u32| Stretch { partition: TopicPartition::new(topic, p as i32), from: None };
        let stretches: Vec<Stretch> = (0..partitions).map(stretch).collect();
        let group = format!("{}-reader", self.name);
        let mut replay = Replay::start(&self.properties(&[])?, &group, &stretches, QUEUE_BYTES)?;
        while !replay.is_done() {
            replay.read(10_000, Duration::from_millis(200))?.iter().try_for_each(&mut take)?;
        }
        Ok(())
    }
}

/// Records of one transaction.
fn piece_len(per_second: usize) -> usize {
    (per_second / 5).max(1)
}
