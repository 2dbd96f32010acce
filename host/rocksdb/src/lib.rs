//! Durable keyspaces on RocksDB: the only crate that knows it.
//!
//! A column family for each keyspace, one shared block cache and write-buffer manager for all of them, so that memory is
//! bounded as a whole. [`SpaceKind::Log`] keeps large values in blob files, which compaction does not rewrite.

mod error;
mod marker;
mod options;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use millstream_core::state::keyspace::{Durability, Keyspaces, Scan, Space, SpaceKind, StorageError, View, Write};
use rocksdb::{
    BoundColumnFamily, ColumnFamilyDescriptor, DBWithThreadMode, Direction, FlushOptions, IteratorMode, MultiThreaded,
    ReadOptions, SnapshotWithThreadMode, WriteBatch, WriteOptions,
};

pub use error::OpenError;
pub use options::{Options, SharedMemory};

type Db = DBWithThreadMode<MultiThreaded>;

/// A database in a folder of its own.
pub struct Database {
    db: Db,
    options: Options,
    shared: Arc<SharedMemory>,
    spaces: RwLock<Spaces>,
}

/// Open spaces by number, and numbers by name.
#[derive(Default)]
struct Spaces {
    names: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl Database {
    /// Opens the database in `path`, making it where there is nothing.
    ///
    /// # Errors
    /// [`OpenError`]: in use by another process, not ours, of a newer format, damaged. Nothing is ever wiped.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_sharing(path, options, Arc::new(SharedMemory::new(&options)))
    }

    /// As [`Database::open`], with the caches and write buffers of `shared` instead of its own: for a host that has a
    /// database for each task, bounded as a whole.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_sharing(path: &Path, options: Options, shared: Arc<SharedMemory>) -> Result<Self, OpenError> {
        let was_here = marker::check(path)?;
        if was_here && !path.join("CURRENT").exists() {
            // RocksDB would begin an empty database beside the files that are left.
            return Err(OpenError::Damaged { path: path.to_path_buf(), why: "its file CURRENT is missing".into() });
        }
        let db_options = shared.database(&options);
        let existing = if path.join("CURRENT").exists() {
            Db::list_cf(&db_options, path).map_err(|e| OpenError::from_rocksdb(path, e))?
        } else {
            vec!["default".to_string()]
        };
        let families = existing.iter().map(|name| {
            let kind = options::kind_of(name);
            ColumnFamilyDescriptor::new(name, shared.family(kind))
        });
        let db = Db::open_cf_descriptors(&db_options, path, families).map_err(|e| OpenError::from_rocksdb(path, e))?;
        marker::write(path)?;
        Ok(Self { db, options, shared, spaces: RwLock::default() })
    }

    /// Names of all keyspaces of kind [`SpaceKind::State`] that there are, opened or not.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn states(&self) -> Result<Vec<String>, StorageError> {
        let all = Db::list_cf(&self.shared.database(&self.options), self.db.path()).map_err(error::storage)?;
        Ok(all.iter().filter_map(|family| Some(options::state_name(family)?.to_string())).collect())
    }

    fn family(&self, space: Space) -> Result<Arc<BoundColumnFamily<'_>>, StorageError> {
        let spaces = self.spaces.read().unwrap_or_else(PoisonError::into_inner);
        let name = spaces
            .names
            .get(space.0 as usize)
            .ok_or_else(|| StorageError::Corrupted(format!("keyspace {} was never opened", space.0)))?;
        self.db
            .cf_handle(name)
            .ok_or_else(|| StorageError::Corrupted(format!("keyspace `{name}` has no column family")))
    }

    fn batch(&self, writes: Vec<Write>) -> Result<WriteBatch, StorageError> {
        let mut batch = WriteBatch::default();
        // Writes of one space stand together more often than not: look its family up once.
        let mut last: Option<(Space, Arc<BoundColumnFamily<'_>>)> = None;
        for write in writes {
            let space = match &write {
                Write::Put(space, ..) | Write::Delete(space, _) | Write::DeleteRange(space, ..) => *space,
            };
            let family = match &last {
                Some((known, family)) if *known == space => family.clone(),
                _ => self.family(space)?,
            };
            match write {
                Write::Put(_, key, value) => batch.put_cf(&family, key, value),
                Write::Delete(_, key) => batch.delete_cf(&family, key),
                Write::DeleteRange(_, from, to) if from < to => batch.delete_range_cf(&family, from, to),
                Write::DeleteRange(..) => {}
            }
            last = Some((space, family));
        }
        Ok(batch)
    }

    /// Writes what is in memory to files, all keyspaces together, in the background: without a write-ahead log nothing else
    /// outlives the process.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn flush(&self) -> Result<(), StorageError> {
        let names = self.spaces.read().unwrap_or_else(PoisonError::into_inner).names.clone();
        let families: Vec<_> = names.iter().filter_map(|name| self.db.cf_handle(name)).collect();
        let mut how = FlushOptions::default();
        how.set_wait(false);
        self.db.flush_cfs_opt(&families.iter().collect::<Vec<_>>(), &how).map_err(error::storage)
    }

    /// Bytes of memory that the caches and write buffers take now.
    pub fn memory_bytes(&self) -> usize {
        self.shared.memory_bytes()
    }
}

impl Keyspaces for Database {
    fn open_space(&self, name: &str, kind: SpaceKind) -> Result<Space, StorageError> {
        let full = options::family_name(name, kind);
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = spaces.numbers.get(&full) {
            return Ok(Space(*number));
        }
        if self.db.cf_handle(&full).is_none() {
            self.db.create_cf(&full, &self.shared.family(kind)).map_err(error::storage)?;
        }
        let number = spaces.names.len() as u32;
        spaces.names.push(full.clone());
        spaces.numbers.insert(full, number);
        Ok(Space(number))
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.db.get_cf(&self.family(space)?, key).map_err(error::storage)
    }

    fn get_all(&self, space: Space, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let found = self.db.batched_multi_get_cf(&self.family(space)?, keys.iter().copied(), true);
        found.into_iter().map(|value| Ok(value.map_err(error::storage)?.map(|value| value.to_vec()))).collect()
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let mut read = ReadOptions::default();
        if let Some(to) = to {
            read.set_iterate_upper_bound(to);
        }
        let mode = IteratorMode::From(from, Direction::Forward);
        for entry in self.db.iterator_cf_opt(&self.family(space)?, read, mode) {
            let (key, value) = entry.map_err(error::storage)?;
            if visit(&key, &value) == Scan::Stop {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, space: Space, from: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StorageError> {
        if before <= from {
            return Ok(None);
        }
        let mut read = ReadOptions::default();
        read.set_iterate_lower_bound(from);
        read.set_iterate_upper_bound(before);
        let mut entries = self.db.iterator_cf_opt(&self.family(space)?, read, IteratorMode::End);
        match entries.next() {
            None => Ok(None),
            Some(entry) => entry.map(|(k, v)| Some((k.into_vec(), v.into_vec()))).map_err(error::storage),
        }
    }

    fn apply(&self, writes: Vec<Write>, durability: Durability) -> Result<(), StorageError> {
        let batch = self.batch(writes)?;
        let mut write = WriteOptions::default();
        write.disable_wal(!self.options.wal);
        write.set_sync(self.options.wal && durability == Durability::Device);
        self.db.write_opt(batch, &write).map_err(error::storage)
    }

    fn view(&self) -> Result<Box<dyn View + '_>, StorageError> {
        Ok(Box::new(Moment { database: self, snapshot: self.db.snapshot() }))
    }
}

/// A database as it was at one moment.
struct Moment<'d> {
    database: &'d Database,
    snapshot: SnapshotWithThreadMode<'d, Db>,
}

/// Who reads a moment is no worker: what workers read again and again stays in the cache.
fn passing() -> ReadOptions {
    let mut read = ReadOptions::default();
    read.fill_cache(false);
    read
}

impl View for Moment<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.snapshot.get_cf_opt(&self.database.family(space)?, key, passing()).map_err(error::storage)
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let mut read = passing();
        if let Some(to) = to {
            read.set_iterate_upper_bound(to);
        }
        let mode = IteratorMode::From(from, Direction::Forward);
        for entry in self.snapshot.iterator_cf_opt(&self.database.family(space)?, read, mode) {
            let (key, value) = entry.map_err(error::storage)?;
            if visit(&key, &value) == Scan::Stop {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod large;
