//! What the tests share: topics, batches, reading back with another client. Nothing is tested here.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use millstream_core::record::{Batch, BatchBuilder};
use millstream_kafka::admin::{Admin, TopicSpec};
use millstream_kafka::config::Properties;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::group_metadata::GroupMetadata;
use millstream_kafka::producer::{OffsetToCommit, Producer};
use millstream_test_broker::Cluster;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Long enough for a busy machine; nothing waits this long when all is well.
pub const LONG: Duration = Duration::from_secs(30);
const QUEUE_BYTES: usize = 32 << 20;

/// The broker that tests freeze and kill, one after the other. Each leaves it running.
pub fn harmed() -> MutexGuard<'static, Cluster> {
    static HARMED: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let mut cluster = HARMED.get_or_init(|| Mutex::new(Cluster::one())).lock().unwrap_or_else(PoisonError::into_inner);
    // After a test that failed.
    if cluster.pid(0).is_some() {
        cluster.thaw(0);
    }
    cluster.start_all();
    cluster
}

pub fn properties(cluster: &Cluster, more: &[(&str, &str)]) -> Properties {
    let bootstrap = cluster.bootstrap();
    let all = [("bootstrap.servers", bootstrap.as_str())].into_iter().chain(more.iter().copied());
    Properties::new(all.map(|(name, value)| (name.into(), value.into())).collect::<BTreeMap<_, _>>()).unwrap()
}

pub fn admin(cluster: &Cluster) -> Admin {
    Admin::new(&properties(cluster, &[]), LONG).unwrap()
}

/// A topic that keeps everything.
pub fn topic(cluster: &Cluster, name: &str, partitions: i32) -> TopicPartition {
    admin(cluster).create(&[TopicSpec::repartition(name, partitions)]).unwrap();
    TopicPartition::new(name, 0)
}

/// A producer that is ready.
pub fn producer(cluster: &Cluster, id: &str, more: &[(&str, &str)]) -> Producer {
    let mut producer = Producer::new(&properties(cluster, more), id, QUEUE_BYTES).unwrap();
    producer.init(LONG).unwrap();
    producer
}

/// Records whose values are the texts, with times 1, 2, …
pub fn batch(values: &[&str]) -> Batch {
    let mut out = BatchBuilder::default();
    for (time, value) in (1..).zip(values) {
        out.push(None, Some(value.as_bytes()), time, []);
    }
    out.finish()
}

pub fn send(producer: &mut Producer, to: &TopicPartition, values: &[&str]) {
    producer.produce(to, &batch(values), 0, LONG).unwrap();
}

/// Waits until what was produced is in the log, so that the commit alone is to come.
pub fn written(cluster: &Cluster, producer: &mut Producer, of: &TopicPartition, high: i64) {
    let admin = admin(cluster);
    wait("the records are in the log", || {
        producer.poll();
        admin.watermarks(std::slice::from_ref(of)).unwrap()[of].high == high
    });
    // The reports of them are on their way still.
    for _ in 0..20 {
        producer.poll();
        thread::sleep(Duration::from_millis(5));
    }
}

pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A record as another client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub time: Option<i64>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// All records of a partition from its start to the end that this isolation sees.
pub fn read(cluster: &Cluster, of: &TopicPartition, isolation: &str) -> Vec<Read> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap()).set("group.id", "reading").set("isolation.level", isolation);
    config.set("enable.partition.eof", "true").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&of.topic, of.partition, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut all = Vec::new();
    let deadline = Instant::now() + LONG;
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => all.push(Read {
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                time: message.timestamp().to_millis(),
                headers: message
                    .headers()
                    .into_iter()
                    .flat_map(|headers| headers.iter())
                    .map(|header| (header.key.into(), header.value.map(<[u8]>::to_vec)))
                    .collect(),
            }),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return all,
            Some(Err(error)) => eprintln!("reading: {error}"),
            None => {}
        }
        assert!(Instant::now() < deadline, "the end of {of} was not reached");
    }
}

/// The values of a partition, as texts.
pub fn values(cluster: &Cluster, of: &TopicPartition, isolation: &str) -> Vec<String> {
    let value = |read: Read| String::from_utf8(read.value.unwrap_or_default()).unwrap();
    read(cluster, of, isolation).into_iter().map(value).collect()
}

pub fn committed_values(cluster: &Cluster, of: &TopicPartition) -> Vec<String> {
    values(cluster, of, "read_committed")
}

/// A member of a group of its own.
pub struct Member {
    consumer: BaseConsumer,
}

impl Member {
    /// Joins and waits until it has a generation.
    pub fn join(cluster: &Cluster, group: &str, topic: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap()).set("group.id", group);
        // Longer than a broker takes to be back, also on a busy machine.
        config.set("enable.auto.commit", "false").set("session.timeout.ms", "60000");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let member = Self { consumer };
        wait("it is a member", || {
            member.poll();
            member.metadata().is_member()
        });
        member
    }

    pub fn poll(&self) {
        let _ = self.consumer.poll(Duration::from_millis(10));
    }

    pub fn metadata(&self) -> GroupMetadata {
        // SAFETY: the client is alive; the metadata is destroyed after its texts were copied.
        unsafe {
            let native = sys::rd_kafka_consumer_group_metadata(self.consumer.client().native_ptr());
            let text = |text| CStr::from_ptr(text).to_str().unwrap().to_string();
            let group = text(sys::rd_kafka_consumer_group_metadata_group_id(native));
            let member = text(sys::rd_kafka_consumer_group_metadata_member_id(native));
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(native);
            sys::rd_kafka_consumer_group_metadata_destroy(native);
            GroupMetadata::new(group, generation, member, None)
        }
    }
}

/// An offset with a token beside it.
pub fn offset(partition: &TopicPartition, offset: i64, token: &str) -> OffsetToCommit {
    OffsetToCommit { partition: partition.clone(), offset, metadata: token.into() }
}

/// The token that is committed for a partition; empty for none.
pub fn token(cluster: &Cluster, group: &str, of: &TopicPartition) -> String {
    let committed = admin(cluster).committed(group, std::slice::from_ref(of)).unwrap();
    committed.get(of).map(|c| c.metadata.clone()).unwrap_or_default()
}
