//! 5. Emit: results collected by topic and partition until the interval commits; what was dropped and why.
//!
//! What a dead letter looks like is in `letter`, what a topic takes in `limits`.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::partition::partition_for_key;
use crate::record::{Batch, BatchBuilder, Header, Room, Timestamp};

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
    /// One with the same id has passed that was near in time.
    Duplicate,
    /// The function refused it.
    Rejected,
    /// The function failed on it.
    Poisoned,
    /// Its event time is negative.
    NegativeTimestamp,
    /// Not in the form that the repartition topic has.
    ForeignRecord,
    /// Larger than the topic takes that it was to go to.
    TooLarge,
    /// Its timestamp lies further from the clock than the topic takes that it was to go to.
    TimestampRefused,
    /// Its key or value is not in the format of its source.
    NotDecoded,
    /// Its key or value does not fit the format of its sink.
    NotEncoded,
    /// A router sent it to a topic that its sink may not write.
    NoSuchTopic,
    /// A router sent it to a partition that its topic does not have.
    NoSuchPartition,
}

impl Reason {
    /// Whether a function said so, or failed: another version may not.
    pub fn is_functions(self) -> bool {
        matches!(self, Reason::Rejected | Reason::Poisoned | Reason::NoSuchTopic | Reason::NoSuchPartition)
    }

    /// The word used in metrics, headers and logs.
    pub fn word(self) -> &'static str {
        match self {
            Reason::NullKey => "null-key",
            Reason::NullValue => "null-value",
            Reason::Late => "late",
            Reason::LateAfterIdle => "late-after-idle",
            Reason::Duplicate => "duplicate",
            Reason::Rejected => "rejected",
            Reason::Poisoned => "poisoned",
            Reason::NegativeTimestamp => "negative-timestamp",
            Reason::ForeignRecord => "foreign-record",
            Reason::TooLarge => "too-large",
            Reason::TimestampRefused => "timestamp-refused",
            Reason::NotDecoded => "not-decoded",
            Reason::NotEncoded => "not-encoded",
            Reason::NoSuchTopic => "no-such-topic",
            Reason::NoSuchPartition => "no-such-partition",
        }
    }
}

/// Records from which on a batch that goes whole into one partition is passed on as it is, and not copied.
const SHARED_RECORDS_MIN: usize = 32;

/// Bytes at which a batch of collected records is full and the next one is begun.
const PENDING_BYTES_MAX: usize = 64 << 10;

/// What a result costs until its interval is committed, beside its bytes, bytes, estimated: what a client keeps of it.
const RESULT_BYTES: usize = 256;

/// Results for one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    sealed: Vec<Batch>,
    sealed_bytes: usize,
    open: BatchBuilder,
    /// What the last batch took: the next one mostly takes as much.
    room: Room,
}

impl Pending {
    /// Where the next record goes.
    #[inline]
    pub fn open(&mut self) -> &mut BatchBuilder {
        if self.open.is_empty() {
            self.open.reserve(self.room);
        }
        &mut self.open
    }

    /// Adds all records of a batch.
    pub fn extend(&mut self, batch: &Batch) {
        if batch.len() < SHARED_RECORDS_MIN {
            return self.open.extend(batch);
        }
        self.seal();
        self.sealed_bytes += batch.bytes() + batch.len() * RESULT_BYTES;
        self.sealed.push(batch.clone());
    }

    /// Ends the open batch when it is full; called between batches, as a batch is bounded.
    pub fn seal_full(&mut self) {
        if self.open.bytes() > PENDING_BYTES_MAX {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.room = self.open.taken();
            let batch = core::mem::take(&mut self.open).finish();
            self.sealed_bytes += batch.bytes() + batch.len() * RESULT_BYTES;
            self.sealed.push(batch);
        }
    }

    fn bytes(&self) -> usize {
        let open = &self.open;
        self.sealed_bytes + if open.is_empty() { 0 } else { open.bytes() + open.len() * RESULT_BYTES }
    }
}

/// Results of one task in the open interval.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    /// By topic, then partition.
    outputs: BTreeMap<usize, Vec<Pending>>,
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
        self.partitions(topic, partition + 1)[partition as usize].open.push(key, value, timestamp, headers);
    }

    /// What is collected for a topic, by partition: at least so many of them.
    #[inline]
    pub(crate) fn partitions(&mut self, topic: usize, count: u32) -> &mut [Pending] {
        let partitions = self.outputs.entry(topic).or_default();
        if partitions.len() < count as usize {
            partitions.resize_with(count as usize, Pending::default);
        }
        partitions
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

    /// Counts a dead letter among what was pushed.
    pub(crate) fn count_dead_letter(&mut self) {
        self.dead_letters += 1;
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.outputs.values().flatten().map(Pending::bytes).sum()
    }

    /// The results, by topic and partition; those of one partition may be several batches.
    pub fn take(&mut self) -> Vec<Outgoing> {
        let outputs = core::mem::take(&mut self.outputs).into_iter();
        let partitions = outputs.flat_map(|(topic, all)| (0..).zip(all).map(move |(p, pending)| (topic, p, pending)));
        partitions
            .flat_map(|(topic, partition, mut pending)| {
                pending.seal();
                pending.sealed.into_iter().map(move |batch| Outgoing { topic, partition, batch })
            })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(range: core::ops::Range<usize>) -> Batch {
        let mut out = BatchBuilder::default();
        range.for_each(|i| out.push(None, Some(&[b'v'; 1000]), i as Timestamp, []));
        out.finish()
    }

    #[test]
    fn large_batches_are_shared_small_ones_joined_and_their_order_is_kept() {
        let mut out = Collector::default();
        let large = batch(3..3 + SHARED_RECORDS_MIN);
        out.push(7, 1, None, Some(b"v"), 0, []);
        out.partitions(7, 2)[1].extend(&batch(1..3));
        out.partitions(7, 2)[1].extend(&large);
        out.push(7, 1, None, None, 3 + SHARED_RECORDS_MIN as Timestamp, []);
        assert!(out.bytes() > large.bytes());
        let taken = out.take();
        assert!(taken.iter().all(|o| (o.topic, o.partition) == (7, 1)));
        assert!(alloc::sync::Arc::ptr_eq(&taken[1].batch.values, &large.values), "not copied");
        let times: Vec<Timestamp> = taken.iter().flat_map(|o| o.batch.timestamps.to_vec()).collect();
        assert_eq!(times, (0..=3 + SHARED_RECORDS_MIN as Timestamp).collect::<Vec<_>>());
        assert_eq!((out.bytes(), out.take().len()), (0, 0));
    }

    #[test]
    fn a_batch_of_collected_records_is_bounded() {
        let mut out = Collector::default();
        for _ in 0..2 * PENDING_BYTES_MAX / 10_000 {
            out.partitions(0, 1)[0].extend(&batch(0..10));
            out.partitions(0, 1)[0].seal_full();
        }
        assert!(out.take().iter().all(|o| o.batch.bytes() < PENDING_BYTES_MAX + 20_000));
    }
}
