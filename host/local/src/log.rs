//! The log as a whole: opened, its catalog in memory, its locks. What is done with it is in the modules beside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use millstream_core::state::keyspace::{Keyspaces, Scan, Space, SpaceKind, StorageError};

use crate::bell::Bell;
use crate::rows::{self, Entry, Place, TopicRow};
use crate::topic::TopicConfig;

/// Topics with partitions of records. Shared between threads.
pub struct Log {
    pub(crate) db: Arc<dyn Keyspaces>,
    pub(crate) spaces: Spaces,
    catalog: RwLock<Catalog>,
    /// Held by whoever changes the log, from the look at the catalog to its change behind the write. Readers do not take
    /// it: they go by the catalog, which never runs ahead of what is stored.
    writing: Mutex<()>,
    bell: Bell,
}

/// The keyspaces of a log.
pub struct Spaces {
    pub chunks: Space,
    pub index: Space,
    pub topics: Space,
}

/// All topics, by name.
#[derive(Default)]
pub struct Catalog {
    pub topics: BTreeMap<String, Topic>,
    pub next_id: u32,
}

/// What is known of a topic without looking.
pub struct Topic {
    pub id: u32,
    pub config: TopicConfig,
    pub extents: Vec<Extent>,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Where its first chunk begins: at `start`, or before it where the front of a chunk is not to be read any more.
    pub first: i64,
    /// First offset.
    pub start: i64,
    /// Offset of the next record.
    pub end: i64,
    /// Bytes of all chunks before the first, see [`Entry::total`].
    pub dropped: u64,
    /// Bytes of all chunks up to the last.
    pub total: u64,
}

/// A partition as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Offset of its first record; `end` where it has none.
    pub start: i64,
    /// Offset of the record that comes next.
    pub end: i64,
    /// Bytes that its chunks take, before storage compresses them.
    pub bytes: u64,
}

/// Something is asked for that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The topic.
    #[error("there is no topic `{0}`")]
    Topic(String),
    /// The partition.
    #[error("topic `{topic}` has no partition {partition}; it has {partitions}, numbered from 0")]
    Partition {
        /// The topic.
        topic: String,
        /// The number.
        partition: u32,
        /// Its partitions.
        partitions: u32,
    },
}

/// Why a topic or partition was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It is not there.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// A time to keep records that is below 0.
    #[error(
        "topic `{topic}` cannot keep records for {retention_ms} ms; give 0 or more, or nothing to keep them for ever"
    )]
    Retention {
        /// The topic.
        topic: String,
        /// The time.
        retention_ms: i64,
    },
    /// More was to be dropped than there is.
    #[error("topic `{topic}` partition {partition} cannot be truncated before offset {offset}; it ends at {end}")]
    BeyondEnd {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset that was given.
        offset: i64,
        /// Where the partition ends.
        end: i64,
    },
    /// Storage failed; nothing was changed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Catalog {
    pub fn topic(&self, name: &str) -> Result<&Topic, Unknown> {
        self.topics.get(name).ok_or_else(|| Unknown::Topic(name.to_string()))
    }
}

impl Log {
    /// Opens the log in `db`, which is empty where it is new.
    ///
    /// # Errors
    /// [`StorageError`]: corrupted also where the rows were written by a later version of this program.
    pub fn open(db: Arc<dyn Keyspaces>) -> Result<Self, StorageError> {
        let spaces = Spaces {
            chunks: db.open_space("log.chunks", SpaceKind::Log)?,
            index: db.open_space("log.index", SpaceKind::State)?,
            topics: db.open_space("log.topics", SpaceKind::State)?,
        };
        let catalog = load(db.as_ref(), &spaces)?;
        Ok(Self { db, spaces, catalog: RwLock::new(catalog), writing: Mutex::new(()), bell: Bell::default() })
    }

    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a partition is and what it holds, at this moment.
    pub(crate) fn look(&self, topic: &str, partition: u32) -> Result<(Place, Extent), Unknown> {
        let catalog = self.catalog();
        let found = catalog.topic(topic)?;
        match found.extents.get(partition as usize) {
            Some(extent) => Ok((Place { topic: found.id, partition }, *extent)),
            None => {
                let partitions = found.extents.len() as u32;
                Err(Unknown::Partition { topic: topic.to_string(), partition, partitions })
            }
        }
    }

    /// Puts down what a partition holds now; the caller holds `writing`.
    pub(crate) fn set_extent(catalog: &mut Catalog, topic: &str, partition: u32, extent: Extent) {
        if let Some(known) = catalog.topics.get_mut(topic).and_then(|t| t.extents.get_mut(partition as usize)) {
            *known = extent;
        }
    }

    /// What a partition holds, all figures of one moment.
    pub fn partition(&self, topic: &str, partition: u32) -> Option<PartitionInfo> {
        let (_, extent) = self.look(topic, partition).ok()?;
        Some(PartitionInfo { start: extent.start, end: extent.end, bytes: extent.total - extent.dropped })
    }

    /// Offset of the first record of a partition; its end where it has none.
    pub fn start_offset(&self, topic: &str, partition: u32) -> Option<i64> {
        self.partition(topic, partition).map(|p| p.start)
    }

    /// Offset of the record that comes next in a partition.
    pub fn end_offset(&self, topic: &str, partition: u32) -> Option<i64> {
        self.partition(topic, partition).map(|p| p.end)
    }

    /// Bytes that the chunks of a partition take, before storage compresses them.
    pub fn size(&self, topic: &str, partition: u32) -> Option<u64> {
        self.partition(topic, partition).map(|p| p.bytes)
    }

    /// Changes with every append and [`Log::wake`]: for [`Log::wait`], to be taken before looking for records.
    pub fn generation(&self) -> u64 {
        self.bell.generation()
    }

    /// Waits until [`Log::generation`] is not `generation` any more, at most `timeout`; the generation now.
    pub fn wait(&self, generation: u64, timeout: Duration) -> u64 {
        self.bell.wait(generation, timeout)
    }

    /// Wakes all that [`Log::wait`].
    pub fn wake(&self) {
        self.bell.ring();
    }
}

fn corrupted(what: &str) -> StorageError {
    StorageError::Corrupted(format!("{what}: it is damaged, or written by a later version"))
}

fn load(db: &dyn Keyspaces, spaces: &Spaces) -> Result<Catalog, StorageError> {
    let next_id = match db.get(spaces.topics, &rows::next_id_key())? {
        None => 0,
        Some(bytes) => rows::decode_number(&bytes)
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| corrupted("the next topic id cannot be read"))?,
    };
    let mut found = Vec::new();
    let (from, to) = rows::topic_keys();
    db.scan(spaces.topics, &from, Some(&to), &mut |key, value| {
        found.push((rows::topic_name(key).map(str::to_string), TopicRow::decode(value)));
        Scan::Continue
    })?;
    let mut topics = BTreeMap::new();
    for (name, row) in found {
        let name = name.ok_or_else(|| corrupted("the name of a topic cannot be read"))?;
        let row = row.ok_or_else(|| corrupted(&format!("topic `{name}` cannot be read")))?;
        let places = (0..row.partitions).map(|partition| Place { topic: row.id, partition });
        let extents = places.map(|place| extent(db, spaces, &name, place)).collect::<Result<_, _>>()?;
        topics.insert(name, Topic { id: row.id, config: row.config, extents });
    }
    Ok(Catalog { topics, next_id })
}

/// What a partition holds, from the index entries of its last record and of the one at its start.
fn extent(db: &dyn Keyspaces, spaces: &Spaces, topic: &str, place: Place) -> Result<Extent, StorageError> {
    let bad = |what: &str| corrupted(&format!("topic `{topic}` partition {}: {what}", place.partition));
    let start = match db.get(spaces.topics, &place.start_key())? {
        None => 0,
        Some(bytes) => rows::decode_number(&bytes)
            .and_then(|start| i64::try_from(start).ok())
            .ok_or_else(|| bad("its start offset cannot be read"))?,
    };
    let entry_before = |offset: i64| -> Result<Option<(i64, Entry)>, StorageError> {
        let Some((key, value)) = db.last(spaces.index, &place.key(0), &place.key(offset))? else {
            return Ok(None);
        };
        let entry = rows::offset_of(&key).zip(Entry::decode(&value));
        entry.map(Some).ok_or_else(|| bad("its index cannot be read"))
    };
    let Some((last_base, last)) = entry_before(i64::MAX)? else {
        return Ok(Extent { first: start, start, end: start, dropped: 0, total: 0 });
    };
    let dropped = |entry: Entry| entry.total - entry.bytes;
    match entry_before(start.saturating_add(1))? {
        Some((first, entry)) if start < first + i64::from(entry.records) && dropped(entry) <= last.total => {
            Ok(Extent {
                first,
                start,
                end: last_base.checked_add(i64::from(last.records)).ok_or_else(|| bad("its end is no offset"))?,
                dropped: dropped(entry),
                total: last.total,
            })
        }
        _ => Err(bad(&format!("the record at its start, offset {start}, is missing"))),
    }
}
