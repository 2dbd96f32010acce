//! One broker for all contenders, run as in production, and what is asked of it: topics, positions, its own CPU time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use millstream_kafka::admin::{Admin, TopicSpec};
use millstream_kafka::config::Properties;
use millstream_kafka::fetch::TopicPartition;
use millstream_test_broker::{Cluster, Jvm};
use millstream_tests::{peers, process};

use crate::options::Options;
use crate::program::Program;

/// How long one request may take.
pub const WAIT: Duration = Duration::from_secs(30);

/// Event times are years old and nothing may go by them, or by a cleaner in the middle of somebody's run. Groups are as brokers have them
/// by default, where the broker for tests is quicker; only the first member of a group is not waited for.
const BROKER: [(&str, &str); 9] = [
    ("log.retention.ms", "-1"),
    ("log.retention.check.interval.ms", "86400000"),
    ("log.segment.delete.delay.ms", "1000"),
    ("group.min.session.timeout.ms", "6000"),
    ("group.consumer.min.session.timeout.ms", "45000"),
    ("group.consumer.session.timeout.ms", "45000"),
    ("group.consumer.min.heartbeat.interval.ms", "5000"),
    ("group.consumer.heartbeat.interval.ms", "5000"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000"),
];

/// See the module.
pub struct Place {
    cluster: Cluster,
    /// Questions to the broker.
    pub admin: Admin,
    /// Of the bench's own clients.
    pub properties: Properties,
    folder: PathBuf,
    classes: PathBuf,
}

impl Place {
    /// Compiles the peers and starts the broker.
    ///
    /// # Errors
    /// When Java is missing or does not compile them.
    pub fn start(options: &Options) -> anyhow::Result<Self> {
        let settings = BROKER.map(|(name, value)| (name.to_string(), value.to_string())).to_vec();
        let jvm = Jvm::Served;
        let cluster = Cluster::with(&millstream_test_broker::Options {
            controller_apart: false,
            jvm,
            settings,
            ..Default::default()
        });
        let given = [
            ("bootstrap.servers".to_string(), cluster.bootstrap()),
            ("compression.type".to_string(), options.compression.clone()),
        ];
        let properties = Properties::new(BTreeMap::from(given)).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        // In the brokers' folder, which goes also when the bench is killed.
        let [folder, classes] = ["bench-run", "bench-classes"].map(|name| cluster.folder().join(name));
        fs::create_dir(&folder)?;
        peers::compile(cluster.libs(), &classes)?;
        Ok(Self { admin: Admin::new(&properties, WAIT)?, properties, cluster, folder, classes })
    }

    /// For `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.cluster.bootstrap()
    }

    /// Where contenders keep what they keep.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A name that nobody had.
    pub fn name(&self, what: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        format!("{what}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    /// A topic for user data.
    ///
    /// # Errors
    /// Those of the broker.
    pub fn create(&self, topic: &str, partitions: u32) -> anyhow::Result<()> {
        let (name, partitions) = (topic.to_string(), partitions as i32);
        let spec = TopicSpec { name, partitions, replication_factor: None, settings: BTreeMap::new() };
        self.admin.create(&[spec]).with_context(|| format!("create topic {topic}"))
    }

    /// Removes topics of a run that is over; the disk is needed for the next one.
    ///
    /// # Errors
    /// Those of the broker.
    pub fn delete(&self, topics: &[&str]) -> anyhow::Result<()> {
        self.admin.delete(topics).context("delete the topics of a run")
    }

    /// CPU seconds of the broker.
    ///
    /// # Errors
    /// When it has ended.
    pub fn broker_cpu_seconds(&self) -> anyhow::Result<f64> {
        process::cpu_seconds(self.cluster.pid(0).context("the broker has ended")?)
    }

    /// One of the Java programs of `tests/peers`.
    ///
    /// # Errors
    /// When Java cannot be started.
    pub fn java(&self, class: &str, heap: &str, log: &str, args: &[String]) -> anyhow::Result<Program> {
        let mut java = peers::command(self.cluster.libs(), &self.classes, class, heap)?;
        Program::start(java.args(args), &self.folder().join(log))
    }
}

/// All partitions of a topic.
pub fn partitions(topic: &str, count: u32) -> Vec<TopicPartition> {
    (0..count as i32).map(|number| TopicPartition::new(topic, number)).collect()
}
