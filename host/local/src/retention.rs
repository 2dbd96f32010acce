//! Old records are dropped: by age, by size, or because their reader is done with them. Whole chunks only.
//!
//! The rules are Kafka's, with a chunk in the place of a segment. A chunk is dropped when its largest timestamp is older
//! than the topic keeps records, or when what lies behind it is as large as the topic keeps; always from the front, up to
//! the first chunk that must stay. By age a partition may become empty, as in Kafka, where the active segment is closed for
//! it. One record from the future holds all that are behind it.

use millstream_core::state::keyspace::{Durability, Scan, StorageError, Write};

use crate::index::Partition;
use crate::log::{ChangeError, Extent, Log};
use crate::rows::{self, Place};
use crate::topic::TopicConfig;

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Records.
    pub records: u64,
    /// Bytes of their chunks, which storage gives back in its own time.
    pub bytes: u64,
}

/// A partition whose front goes.
struct Cut<'a> {
    partition: Partition<'a>,
    was: Extent,
    now: Extent,
}

impl Log {
    /// Drops what topics need not keep at `now_ms` (milliseconds since 1970-01-01T00:00:00Z), in one write.
    ///
    /// # Errors
    /// [`StorageError`]; then everything is there as before.
    pub fn enforce_retention(&self, now_ms: i64) -> Result<Dropped, StorageError> {
        let _writing = self.writing();
        let kept: Vec<(String, TopicConfig, u32, Vec<Extent>)> = {
            let catalog = self.catalog();
            let bounded = |config: TopicConfig| config.retention_ms.is_some() || config.retention_bytes.is_some();
            let topics = catalog.topics.iter().filter(|(_, t)| bounded(t.config));
            topics.map(|(name, t)| (name.clone(), t.config, t.id, t.extents.clone())).collect()
        };
        let mut cuts = Vec::new();
        for (topic, config, id, extents) in &kept {
            for (number, extent) in extents.iter().enumerate() {
                let place = Place { topic: *id, partition: number as u32 };
                cuts.extend(self.expired(Partition { topic, place }, *extent, *config, now_ms)?);
            }
        }
        self.cut(&cuts)
    }

    fn expired<'a>(
        &self,
        partition: Partition<'a>,
        was: Extent,
        config: TopicConfig,
        now_ms: i64,
    ) -> Result<Option<Cut<'a>>, StorageError> {
        let oldest = config.retention_ms.map(|ms| now_ms.saturating_sub(ms));
        let mut now = was;
        self.entries(partition, was.first, was.end, &mut |base, entry| {
            let old = oldest.is_some_and(|oldest| entry.largest < oldest);
            let spare = config.retention_bytes.is_some_and(|kept| was.total.saturating_sub(entry.total) >= kept);
            if !old && !spare {
                return Scan::Stop;
            }
            now.first = base + i64::from(entry.records);
            now.start = now.first;
            now.dropped = entry.total;
            Scan::Continue
        })?;
        Ok((now != was).then_some(Cut { partition, was, now }))
    }

    /// Moves the start of a partition up to `offset` and drops the chunks that lie before it. A chunk around `offset` stays,
    /// its first records are not to be read any more. Nothing happens where the partition starts there or behind.
    ///
    /// # Errors
    /// [`ChangeError`]; then everything is there as before.
    pub fn truncate_before(&self, topic: &str, partition: u32, offset: i64) -> Result<Dropped, ChangeError> {
        let _writing = self.writing();
        let (place, was) = self.look(topic, partition)?;
        if offset > was.end {
            return Err(ChangeError::BeyondEnd { topic: topic.to_string(), partition, offset, end: was.end });
        }
        if offset <= was.start {
            return Ok(Dropped::default());
        }
        let partition = Partition { topic, place };
        let (first, dropped) = match self.chunk_of(partition, offset)? {
            _ if offset == was.end => (offset, was.total),
            Some((base, entry)) => (base, entry.total - entry.bytes),
            None => return Err(partition.corrupted(offset, "the record is missing").into()),
        };
        let now = Extent { first, start: offset, dropped, ..was };
        Ok(self.cut(&[Cut { partition, was, now }])?)
    }

    /// Writes and puts down what goes; the caller holds `writing`.
    fn cut(&self, cuts: &[Cut<'_>]) -> Result<Dropped, StorageError> {
        if cuts.is_empty() {
            return Ok(Dropped::default());
        }
        let mut writes = Vec::with_capacity(cuts.len() * 3);
        let mut dropped = Dropped::default();
        for Cut { partition: Partition { place, .. }, was, now } in cuts {
            // From the first chunk, not from 0: ranges that lie side by side cost storage less than nested ones.
            for space in [self.spaces.chunks, self.spaces.index] {
                writes.push(Write::DeleteRange(space, place.key(was.first), place.key(now.first)));
            }
            let start = rows::encode_number(now.start.unsigned_abs());
            writes.push(Write::Put(self.spaces.topics, place.start_key(), start));
            dropped.records += (now.start - was.start).unsigned_abs();
            dropped.bytes += now.dropped.saturating_sub(was.dropped);
        }
        self.db.apply(writes, Durability::Process)?;
        let mut catalog = self.catalog_mut();
        for Cut { partition: Partition { topic, place }, now, .. } in cuts {
            Self::set_extent(&mut catalog, topic, place.partition, *now);
        }
        Ok(dropped)
    }
}
