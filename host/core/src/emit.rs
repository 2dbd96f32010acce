//! 5. Emit: results collected by topic and partition until the interval commits; dead letters; what was dropped and why.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::error::Position;
use crate::partition::partition_for_key;
use crate::record::{Batch, BatchBuilder, Header, Timestamp};
use crate::topology::graph::Topic;

/// Records for one partition, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Number of the topic.
    pub topic: usize,
    /// The partition.
    pub partition: u32,
    /// The records.
    pub batch: Batch,
}

/// Why a record left without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Grouped by a key it does not have.
    NullKey,
    /// Folded, and there is no value.
    NullValue,
    /// All of its windows had closed by its own task's time.
    Late,
    /// Its task had been idle, and its windows had closed meanwhile.
    LateAfterIdle,
    /// The function refused it.
    Rejected,
    /// The function failed on it.
    Poisoned,
    /// Its event time is negative.
    NegativeTimestamp,
    /// Not in the form that the repartition topic has.
    ForeignRecord,
}

impl Reason {
    /// The word used in metrics, headers and logs.
    pub fn word(self) -> &'static str {
        match self {
            Reason::NullKey => "null-key",
            Reason::NullValue => "null-value",
            Reason::Late => "late",
            Reason::LateAfterIdle => "late-after-idle",
            Reason::Rejected => "rejected",
            Reason::Poisoned => "poisoned",
            Reason::NegativeTimestamp => "negative-timestamp",
            Reason::ForeignRecord => "foreign-record",
        }
    }
}

/// Why and where a record failed, for its dead letter.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    /// The step.
    pub step: &'a str,
    /// The step's function.
    pub function: &'a str,
    /// Number of the version in force.
    pub version: u64,
    /// Why.
    pub reason: Reason,
    /// What happened, in words.
    pub message: &'a str,
    /// Where the record came from.
    pub at: Option<Position>,
}

/// Results of one task in the open interval.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    outputs: BTreeMap<(usize, u32), BatchBuilder>,
    records: usize,
    dropped: BTreeMap<(String, Reason), u64>,
    dead_letters: u64,
}

impl Collector {
    /// Adds a record for a partition.
    #[inline]
    pub fn push<'a>(
        &mut self,
        topic: usize,
        partition: u32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: impl IntoIterator<Item = Header<'a>>,
    ) {
        self.outputs.entry((topic, partition)).or_default().push(key, value, timestamp, headers);
        self.records += 1;
    }

    /// Counts a record that left without a result.
    pub fn dropped(&mut self, step: &str, reason: Reason) {
        match self.dropped.get_mut(&(step.to_string(), reason)) {
            Some(count) => *count += 1,
            None => {
                self.dropped.insert((step.to_string(), reason), 1);
            }
        }
    }

    /// Adds a dead letter: the record as it was read, and headers that say what happened. Names are those of Kafka
    /// Streams' KIP-1034, and ours in the same manner for what it does not know.
    pub fn dead_letter(
        &mut self,
        topics: &[Topic],
        topic: usize,
        task_partition: u32,
        record: (Option<&[u8]>, Option<&[u8]>, Timestamp),
        headers: &[Header<'_>],
        failure: &Failure<'_>,
    ) {
        let (key, value, timestamp) = record;
        let partition = sink_partition(key, task_partition, topics[topic].partitions);
        let version = format!("{}", failure.version);
        let at = failure.at.as_ref();
        let (from_partition, offset) = (at.map(|p| format!("{}", p.partition)), at.map(|p| format!("{}", p.offset)));
        let ours = [
            ("__streams.errors.exception", Some(failure.reason.word())),
            ("__streams.errors.message", Some(failure.message)),
            ("__streams.errors.topic", at.map(|p| p.topic.as_str())),
            ("__streams.errors.partition", from_partition.as_deref()),
            ("__streams.errors.offset", offset.as_deref()),
            ("__streams.errors.step", Some(failure.step)),
            ("__streams.errors.function", Some(failure.function)),
            ("__streams.errors.version", Some(version.as_str())),
        ];
        let ours = ours.iter().filter_map(|(n, v)| Some((n.as_bytes(), Some((*v)?.as_bytes()))));
        let all: Vec<Header<'_>> = headers.iter().copied().chain(ours).collect();
        self.push(topic, partition, key, value, timestamp, all);
        self.dead_letters += 1;
    }

    /// Records so far, dead letters and markers included.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.outputs.values().map(BatchBuilder::bytes).sum()
    }

    /// The results, by topic and partition.
    pub fn take(&mut self) -> Vec<Outgoing> {
        self.records = 0;
        core::mem::take(&mut self.outputs)
            .into_iter()
            .map(|((topic, partition), batch)| Outgoing { topic, partition, batch: batch.finish() })
            .collect()
    }

    /// What was dropped since the last call, by step and reason, and how many dead letters were written.
    pub fn take_counts(&mut self) -> (BTreeMap<(String, Reason), u64>, u64) {
        (core::mem::take(&mut self.dropped), core::mem::take(&mut self.dead_letters))
    }
}

/// Where a result goes: by its key as the Java client does; without one, by its task.
#[inline]
pub fn sink_partition(key: Option<&[u8]>, task_partition: u32, partitions: u32) -> u32 {
    match key {
        _ if partitions <= 1 => 0,
        Some(key) => partition_for_key(key, partitions),
        None => task_partition % partitions,
    }
}
