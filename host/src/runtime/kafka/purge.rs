//! Deletes what was read of repartition topics, behind the commits: they have no retention by time, since event times may be old.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use millstream_core::commit::Interval;
use millstream_core::topology::graph::Topology;
use millstream_kafka::admin::Admin;
use millstream_kafka::fetch::TopicPartition;
use tracing::warn;

/// How far a repartition topic is read before what was read is deleted, in records.
const PURGE_RECORDS: i64 = 100_000;

/// Time between two requests to delete.
const PURGE_EVERY: Duration = Duration::from_secs(5);

/// See the module.
pub struct Purge {
    topology: Arc<Topology>,
    /// Committed and deleted positions, by number of the topic and partition.
    read: BTreeMap<(usize, u32), (i64, i64)>,
    requests: Sender<Vec<(TopicPartition, i64)>>,
    last: Instant,
}

impl Purge {
    /// Starts the thread that asks.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(topology: Arc<Topology>, admin: Arc<Admin>) -> std::io::Result<Self> {
        let (requests, asked) = channel::<Vec<(TopicPartition, i64)>>();
        std::thread::Builder::new().name("purge".into()).spawn(move || {
            while let Ok(before) = asked.recv() {
                if let Err(why) = admin.delete_records(&before) {
                    warn!(error = %why, "deleting what was read of repartition topics, trying again later");
                }
            }
        })?;
        Ok(Self { topology, read: BTreeMap::new(), requests, last: Instant::now() })
    }

    /// An interval is final.
    pub fn committed(&mut self, interval: &Interval) {
        for part in &interval.parts {
            for (topic, position) in part.positions.iter().filter(|(topic, _)| self.topology.topics[*topic].internal) {
                self.read.entry((*topic, part.task.partition)).or_default().0 = *position;
            }
        }
    }

    /// Asks for what is due.
    pub fn work(&mut self) {
        if self.last.elapsed() < PURGE_EVERY {
            return;
        }
        self.last = Instant::now();
        let mut due = Vec::new();
        for ((topic, partition), (position, deleted)) in &mut self.read {
            if *position - *deleted >= PURGE_RECORDS {
                *deleted = *position;
                let name = self.topology.topics[*topic].name.as_str();
                due.push((TopicPartition::new(name, *partition as i32), *position));
            }
        }
        if !due.is_empty() {
            // A thread that has ended ended with a panic, which was told.
            let _ = self.requests.send(due);
        }
    }
}
