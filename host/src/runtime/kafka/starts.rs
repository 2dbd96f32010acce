//! Where partitions begin: at what was committed, else where the manifest says.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_kafka::admin::Admin;
use millstream_kafka::consumer::Committed;
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;

use crate::runtime::plan::Start;

/// See the module.
pub struct Starts {
    admin: Arc<Admin>,
    /// By topic; others begin with what is there.
    starts: Vec<(String, Start)>,
}

impl Starts {
    /// With what the manifest says.
    pub fn new(admin: Arc<Admin>, starts: Vec<(String, Start)>) -> Self {
        Self { admin, starts }
    }

    /// First offset to read, for each partition.
    ///
    /// # Errors
    /// Those of the brokers.
    pub fn of(&self, committed: &[Committed]) -> Result<Vec<i64>, KafkaError> {
        let new: Vec<TopicPartition> =
            committed.iter().filter(|c| c.offset.is_none()).map(|c| c.partition.clone()).collect();
        let first = if new.is_empty() { BTreeMap::new() } else { self.first(&new)? };
        let missing = |p: &TopicPartition| KafkaError::Retry(format!("where {p} begins was not told"));
        let of = |c: &Committed| match c.offset {
            Some(offset) => Ok(offset),
            // While brokers go and come the client gives offsets that are none.
            None => first.get(&c.partition).copied().filter(|at| *at >= 0).ok_or_else(|| missing(&c.partition)),
        };
        committed.iter().map(of).collect()
    }

    fn first(&self, new: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
        let ends = self.admin.watermarks(new)?;
        let mut out = BTreeMap::new();
        for partition in new {
            let Some(ends) = ends.get(partition) else { continue };
            let start = self.starts.iter().find(|(topic, _)| **topic == *partition.topic).map(|(_, s)| *s);
            let offset = match start.unwrap_or_default() {
                Start::Earliest => ends.low,
                Start::Latest => ends.stable,
                Start::At(time) => {
                    let found = self.admin.offsets_for_time(std::slice::from_ref(partition), time)?;
                    // None is as late: it begins with what comes next.
                    found.get(partition).copied().flatten().unwrap_or(ends.stable)
                }
            };
            out.insert(partition.clone(), offset);
        }
        Ok(out)
    }
}
