//! What was read from a partition, in columns, with its offsets. Messages become columns here; who reads what, and from
//! where on, is decided elsewhere.

use std::fmt;
use std::sync::Arc;

use millstream_core::record::{Batch, BatchBuilder, Header, Room, Timestamp};

use crate::error::KafkaError;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// Number of the partition.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Offsets of records that follow each other in a partition, as runs: control records, compaction and aborted
/// transactions leave gaps, seldom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Row and offset of the first record of each run; both rise.
    runs: Vec<(u32, i64)>,
    len: u32,
}

impl Offsets {
    /// Adds the offset of the next record.
    ///
    /// # Panics
    /// When it is not larger than the one before.
    pub fn push(&mut self, offset: i64) {
        match self.runs.last() {
            Some((row, first)) if first + i64::from(self.len - row) == offset => {}
            Some((row, first)) => {
                assert!(
                    first + i64::from(self.len - row) < offset,
                    "offset {offset} after {}",
                    self.get(self.len() - 1)
                );
                self.runs.push((self.len, offset));
            }
            None => self.runs.push((self.len, offset)),
        }
        self.len += 1;
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Offset of a row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn get(&self, row: usize) -> i64 {
        assert!(row < self.len(), "row {row} of {}", self.len);
        let (first_row, offset) = self.runs[self.runs.partition_point(|(r, _)| *r as usize <= row) - 1];
        offset + (row as i64 - i64::from(first_row))
    }

    /// First offset and number of records of each run.
    pub fn runs(&self) -> impl Iterator<Item = (i64, usize)> {
        let ends = self.runs.iter().skip(1).map(|(row, _)| *row).chain([self.len]);
        self.runs.iter().zip(ends).map(|((row, offset), end)| (*offset, (end - row) as usize))
    }

    /// Every offset.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        self.runs().flat_map(|(first, count)| first..first + count as i64)
    }
}

impl FromIterator<i64> for Offsets {
    fn from_iter<I: IntoIterator<Item = i64>>(offsets: I) -> Self {
        let mut out = Self::default();
        offsets.into_iter().for_each(|offset| out.push(offset));
        out
    }
}

/// What one read gave of one partition: everything from offset `from` up to `next`, which is the records of `batch` and
/// between and behind them nothing (control records, what was compacted away, aborted transactions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The partition.
    pub partition: Arc<TopicPartition>,
    /// What the host called it when it was placed.
    pub tag: usize,
    /// Where this begins: `next` of the one before.
    pub from: i64,
    /// The position behind it: what is to be committed once all of `batch` is done.
    pub next: i64,
    /// Offsets of the records of `batch`.
    pub offsets: Offsets,
    /// The records; may be none.
    pub batch: Batch,
    /// Whether `next` is the end of what can be read, as known now.
    pub at_end: bool,
}

/// Why a partition cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The next offset lies outside the log: deleted by retention, or lost with a broker. What to do is the host's.
    OffsetGone {
        /// The offset that was to be read next.
        asked: i64,
        /// First offset of the log, where it could be asked for.
        start: Option<i64>,
        /// End of what can be read, where it could be asked for.
        end: Option<i64>,
    },
    /// Something else: retried by the client where it is a [`KafkaError::Retry`].
    Failed(KafkaError),
}

/// Columns of one partition while messages come in.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    builder: BatchBuilder,
    offsets: Offsets,
    /// Room that the last batch took: the next is likely to take as much.
    room: Room,
}

impl Columns {
    /// Adds a record behind those that are there.
    #[inline]
    pub fn push<'a>(
        &mut self,
        offset: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: impl IntoIterator<Item = Header<'a>>,
    ) {
        if self.offsets.is_empty() {
            self.builder.reserve(self.room);
        }
        self.offsets.push(offset);
        self.builder.push(key, value, timestamp, headers);
    }

    /// Takes out what came in.
    pub fn take(&mut self) -> (Offsets, Batch) {
        if !self.offsets.is_empty() {
            self.room = self.builder.taken();
        }
        (std::mem::take(&mut self.offsets), std::mem::take(&mut self.builder).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_with_gaps_are_runs() {
        let all = [3, 4, 5, 9, 10, 20];
        let offsets: Offsets = all.into_iter().collect();
        assert_eq!(offsets.runs().collect::<Vec<_>>(), [(3, 3), (9, 2), (20, 1)]);
        assert_eq!(offsets.iter().collect::<Vec<_>>(), all);
        assert_eq!((0..all.len()).map(|i| offsets.get(i)).collect::<Vec<_>>(), all);
        assert!(Offsets::default().is_empty() && Offsets::default().runs().next().is_none());
    }

    #[test]
    fn columns_begin_anew_when_taken() {
        let mut columns = Columns::default();
        columns.push(1, Some(b"k"), None, 7, [(&b"h"[..], None)]);
        let (offsets, batch) = columns.take();
        assert_eq!((offsets.get(0), batch.len(), batch.keys.get(0)), (1, 1, Some(&b"k"[..])));
        columns.push(5, None, Some(b"v"), 8, []);
        let (offsets, batch) = columns.take();
        assert_eq!((offsets.get(0), batch.values.get(0), batch.headers), (5, Some(&b"v"[..]), None));
        assert!(columns.take().1.is_empty());
    }
}
