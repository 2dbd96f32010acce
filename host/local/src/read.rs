//! Records are read, by offset; and offsets are found, by time.

use millstream_core::record::{Batch, Timestamp};
use millstream_core::state::keyspace::{Scan, StorageError};

use crate::columns::{Columns, Damage, first_since};
use crate::index::Partition;
use crate::log::{Extent, Log, Unknown};
use crate::rows::{self, Entry};

/// Bytes that one read asks for at the most; a larger wish counts as this.
pub const READ_BYTES_MAX: usize = 16 << 20;

/// Records of a partition, and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Offset of the first record: the one that was asked for.
    pub base_offset: i64,
    /// The records, without a gap; none at the end of the partition.
    pub batch: Batch,
    /// Offset of the record that comes next in the partition, at the time of the read.
    pub log_end: i64,
}

/// Why nothing could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The topic or partition is not there.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// The partition does not go so far, or does not go back so far any more.
    #[error("offset {offset} is out of range: the partition has offsets from {start} up to, not with, {end}")]
    OffsetOutOfRange {
        /// The offset that was asked for.
        offset: i64,
        /// First offset that is there.
        start: i64,
        /// Offset of the record that comes next.
        end: i64,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Log {
    /// Reads records from `offset` on: about `bytes_max` bytes, at least one record where there is one. It may be less, and
    /// it may be more by what is stored together.
    ///
    /// # Errors
    /// [`ReadError`]. The end of the partition is in range, and gives no records.
    pub fn read(&self, topic: &str, partition: u32, offset: i64, bytes_max: usize) -> Result<Fetched, ReadError> {
        if let Some(fetched) = self.try_read(topic, partition, offset, bytes_max)? {
            return Ok(fetched);
        }
        // The record is not where the catalog said. It may have been dropped since; that is settled while nobody drops.
        let _writing = self.writing();
        if let Some(fetched) = self.try_read(topic, partition, offset, bytes_max)? {
            return Ok(fetched);
        }
        let (place, _) = self.look(topic, partition)?;
        Err(Partition { topic, place }.corrupted(offset, "the record is missing").into())
    }

    /// As [`Log::read`]; `None` where the record is not there.
    fn try_read(
        &self,
        topic: &str,
        partition: u32,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Option<Fetched>, ReadError> {
        let (place, Extent { start, end, .. }) = self.look(topic, partition)?;
        if offset < start || offset > end {
            return Err(ReadError::OffsetOutOfRange { offset, start, end });
        }
        if offset == end {
            return Ok(Some(Fetched { base_offset: offset, batch: Batch::default(), log_end: end }));
        }
        let from = Partition { topic, place };
        let bytes_max = bytes_max.min(READ_BYTES_MAX);
        // Who reads on asks for the first record of a chunk, and needs no look into the index.
        let mut batch = self.join(from, offset, 0, end, bytes_max)?;
        if batch.is_none()
            && let Some((base, _)) = self.chunk_of(from, offset)?
        {
            batch = self.join(from, base, (offset - base) as usize, end, bytes_max)?;
        }
        Ok(batch.map(|batch| Fetched { base_offset: offset, batch, log_end: end }))
    }

    /// The records of the chunk at `base` without the first `skip`, and of the chunks behind it, up to `bytes_max`; `None`
    /// where no chunk begins at `base`.
    fn join(
        &self,
        partition: Partition<'_>,
        base: i64,
        skip: usize,
        end: i64,
        bytes_max: usize,
    ) -> Result<Option<Batch>, StorageError> {
        let mut columns = Columns::default();
        let (mut bytes, mut damage) = (0, None);
        let place = partition.place;
        self.db.scan(self.spaces.chunks, &place.key(base), Some(&place.key(end)), &mut |key, chunk| {
            let (at, skip) = if columns.len() == 0 { (base, skip) } else { (base + (skip + columns.len()) as i64, 0) };
            if rows::offset_of(key) != Some(at) {
                damage = (columns.len() > 0).then(|| partition.corrupted(at, "the record is missing"));
                return Scan::Stop;
            }
            if let Err(why) = columns.add(chunk, skip) {
                damage = Some(partition.corrupted(at, why));
                return Scan::Stop;
            }
            bytes += chunk.len();
            // Stop as well where one more chunk like this one would be too much: storage has read it before we can say so.
            if bytes + chunk.len() > bytes_max { Scan::Stop } else { Scan::Continue }
        })?;
        match damage {
            Some(damage) => Err(damage),
            None if columns.len() == 0 => Ok(None),
            None => columns.finish().map(Some).map_err(|why| partition.corrupted(base, why)),
        }
    }

    /// The offset of the first record that is not older than `time`; `None` where there is none (yet).
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn offset_for_time(&self, topic: &str, partition: u32, time: Timestamp) -> Result<Option<i64>, ReadError> {
        let (place, Extent { first, start, end, .. }) = self.look(topic, partition)?;
        let partition = Partition { topic, place };
        let mut from = first;
        while from < end {
            let Some((base, entry)) = self.chunk_since(partition, from, end, time)? else {
                return Ok(None);
            };
            // Where it was dropped after the index was read, so were all before it, and the search goes on behind.
            if let Some(chunk) = self.db.get(self.spaces.chunks, &place.key(base))? {
                let skip = usize::try_from(start - base).unwrap_or(0);
                let found = first_since(&chunk, skip, time).map_err(|why: Damage| partition.corrupted(base, why))?;
                if let Some(record) = found {
                    return Ok(Some(base + record as i64));
                }
            }
            from = base + i64::from(entry.records);
        }
        Ok(None)
    }

    /// The first chunk at or behind `from` with a record that is not older than `time`, by the index.
    fn chunk_since(
        &self,
        partition: Partition<'_>,
        from: i64,
        end: i64,
        time: Timestamp,
    ) -> Result<Option<(i64, Entry)>, StorageError> {
        let mut found = None;
        self.entries(partition, from, end, &mut |base, entry| {
            if entry.largest < time {
                return Scan::Continue;
            }
            found = Some((base, entry));
            Scan::Stop
        })?;
        Ok(found)
    }
}
