//! Records are added. Offsets are given and written under one lock, together with whatever the caller writes beside them.

use std::collections::BTreeMap;

use millstream_core::record::Batch;
use millstream_core::state::keyspace::{Durability, StorageError, Write};

use crate::chunk::{self, Chunk, Defect, RECORD_BYTES_MAX};
use crate::log::{Log, Unknown};
use crate::rows::Entry;

/// Records for one partition.
#[derive(Clone, Debug)]
pub struct Append {
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: u32,
    /// The records, in order. None is allowed.
    pub batch: Batch,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The topic or partition is not there.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// A record is larger than [`RECORD_BYTES_MAX`]. It will be so again: it must be left out, or made smaller.
    #[error(
        "record {record} for topic `{topic}` partition {partition} has {bytes} bytes; the limit is {RECORD_BYTES_MAX}"
    )]
    RecordTooLarge {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Its place in its batch, from 0.
        record: usize,
        /// Bytes of its key, value and headers.
        bytes: usize,
    },
    /// The columns of a batch differ in length.
    #[error(
        "the batch for topic `{topic}` partition {partition} has {keys} keys, {values} values, {timestamps} timestamps{}; they must be as many",
        headers.map(|h| format!(" and headers of {h} records")).unwrap_or_default()
    )]
    Uneven {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Keys.
        keys: usize,
        /// Values.
        values: usize,
        /// Timestamps.
        timestamps: usize,
        /// Records that headers are given for.
        headers: Option<usize>,
    },
    /// Storage failed. [`StorageError::Unavailable`]: the same may succeed later.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What goes to one partition.
struct Group<'a> {
    topic: &'a str,
    partition: u32,
    /// Which appends, in order.
    members: Vec<usize>,
    chunks: Vec<Chunk>,
}

impl Log {
    /// Adds records and applies `extra`, all in one atomic write. Gives the offset of each append's first record (for an
    /// empty one, the offset that it would have had).
    ///
    /// Appends to the same partition get offsets in their order, without a gap between them.
    ///
    /// # Errors
    /// [`AppendError`]; then nothing was written, and no offset was given.
    pub fn append(
        &self,
        appends: Vec<Append>,
        extra: Vec<Write>,
        durability: Durability,
    ) -> Result<Vec<i64>, AppendError> {
        let groups = self.group(&appends)?;
        let mut firsts = vec![0; appends.len()];
        let (mut chunks, mut entries, mut extents) = (Vec::new(), Vec::new(), Vec::new());
        let _writing = self.writing();
        for group in groups {
            let (place, mut extent) = self.look(group.topic, group.partition)?;
            let mut next = extent.end;
            for member in group.members {
                firsts[member] = next;
                next += appends[member].batch.len() as i64;
            }
            for Chunk { records, largest, bytes } in group.chunks {
                extent.total += bytes.len() as u64;
                let entry = Entry { records, largest, bytes: bytes.len() as u64, total: extent.total };
                entries.push(Write::Put(self.spaces.index, place.key(extent.end), entry.encode()));
                chunks.push(Write::Put(self.spaces.chunks, place.key(extent.end), bytes));
                extent.end += i64::from(records);
            }
            extents.push((group.topic, group.partition, extent));
        }
        let added = !chunks.is_empty();
        let writes: Vec<Write> = chunks.into_iter().chain(entries).chain(extra).collect();
        if !writes.is_empty() {
            self.db.apply(writes, durability)?;
        }
        if added {
            let mut catalog = self.catalog_mut();
            extents
                .iter()
                .for_each(|(topic, partition, extent)| Self::set_extent(&mut catalog, topic, *partition, *extent));
            drop(catalog);
            self.wake();
        }
        Ok(firsts)
    }

    /// Appends by partition, checked and written as chunks: the work that needs no lock.
    fn group<'a>(&self, appends: &'a [Append]) -> Result<Vec<Group<'a>>, AppendError> {
        let mut members: BTreeMap<(&str, u32), Vec<usize>> = BTreeMap::new();
        for (i, append) in appends.iter().enumerate() {
            self.look(&append.topic, append.partition)?;
            chunk::check(&append.batch).map_err(|defect| refused(append, defect))?;
            members.entry((&append.topic, append.partition)).or_default().push(i);
        }
        let group = |((topic, partition), members): ((&'a str, u32), Vec<usize>)| {
            let chunks = chunk::write(members.iter().map(|m| &appends[*m].batch));
            Group { topic, partition, members, chunks }
        };
        Ok(members.into_iter().map(group).collect())
    }
}

fn refused(append: &Append, defect: Defect) -> AppendError {
    let (topic, partition) = (append.topic.clone(), append.partition);
    match defect {
        Defect::TooLarge { record, bytes } => AppendError::RecordTooLarge { topic, partition, record, bytes },
        Defect::Uneven { keys, values, timestamps, headers } => {
            AppendError::Uneven { topic, partition, keys, values, timestamps, headers }
        }
    }
}
