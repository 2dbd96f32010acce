//! What the index answers: which chunk holds a record, which chunks there are. Its entries' bytes are in `rows`.

use millstream_core::state::keyspace::{Scan, StorageError};

use crate::log::Log;
use crate::rows::{self, Entry, Place};

/// A partition by numbers, and its topic's name for errors.
#[derive(Clone, Copy)]
pub struct Partition<'a> {
    pub topic: &'a str,
    pub place: Place,
}

impl Partition<'_> {
    /// Damage, with its place.
    pub fn corrupted(self, offset: i64, why: impl std::fmt::Display) -> StorageError {
        let Self { topic, place } = self;
        StorageError::Corrupted(format!("topic `{topic}` partition {} offset {offset}: {why}", place.partition))
    }

    fn entry(self, key: &[u8], value: &[u8]) -> Result<(i64, Entry), StorageError> {
        let base = rows::offset_of(key);
        let entry = base.zip(Entry::decode(value));
        entry.ok_or_else(|| self.corrupted(base.unwrap_or(0), "its index entry cannot be read"))
    }
}

impl Log {
    /// The chunk that holds a record: its first offset, its entry.
    pub(crate) fn chunk_of(&self, partition: Partition<'_>, offset: i64) -> Result<Option<(i64, Entry)>, StorageError> {
        let place = partition.place;
        let Some((key, value)) = self.db.last(self.spaces.index, &place.key(0), &place.key(offset + 1))? else {
            return Ok(None);
        };
        let (base, entry) = partition.entry(&key, &value)?;
        Ok((offset < base + i64::from(entry.records)).then_some((base, entry)))
    }

    /// Shows the chunks that begin in `from..to`, in order, until `visit` says stop.
    pub(crate) fn entries(
        &self,
        partition: Partition<'_>,
        from: i64,
        to: i64,
        visit: &mut dyn FnMut(i64, Entry) -> Scan,
    ) -> Result<(), StorageError> {
        let mut shown = Ok(());
        let (from, to) = (partition.place.key(from), partition.place.key(to));
        self.db.scan(self.spaces.index, &from, Some(&to), &mut |key, value| match partition.entry(key, value) {
            Ok((base, entry)) => visit(base, entry),
            Err(why) => {
                shown = Err(why);
                Scan::Stop
            }
        })?;
        shown
    }
}
