//! A task's store: the write set of the open interval, a cache of what was read, and the database behind.
//!
//! Reads see the write set, then the cache, then the database. Nothing is written here: the interval takes the changes
//! out, and they reach the database with its commit. A window is a bucket of groups; a bucket that began empty, in the
//! database too, answers for all of its groups without asking.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use core::hash::BuildHasher;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::key::{self, StoreKind};
use super::keyspace::{Keyspaces, Scan, Space, StorageError};
use super::value::Stored;
use crate::record::Timestamp;

/// The database of a task's stores.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The keyspaces.
    pub db: &'a dyn Keyspaces,
    /// The store's space.
    pub space: Space,
    /// What stands in front of the task's keys.
    pub prefix: &'a [u8],
}

/// A change of a store, to be written with the interval's commit. Keys are without the task's prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Vec<u8>),
    /// Removes all groups of the window that begins here.
    DropWindow(Timestamp),
}

/// What is held of one group.
#[derive(Clone, Debug)]
struct Entry {
    key: Vec<u8>,
    /// `None`: known to be absent.
    stored: Option<Stored>,
    /// Changed since the last take of changes.
    dirty: bool,
}

/// The groups of a window, or of a store without windows. Entries stand in the order in which they came; the index finds
/// them by key.
#[derive(Clone, Debug, Default)]
struct Bucket {
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// Entries changed in the open interval, in the order of their first change.
    dirty: Vec<u32>,
    /// Every group of it is in `entries`.
    complete: bool,
    /// Something of it may be in the database, or in an interval on its way there.
    written: bool,
}

fn hash(key: &[u8]) -> u64 {
    FixedState::default().hash_one(key)
}

impl Bucket {
    #[inline]
    fn find(&self, key: &[u8]) -> Option<u32> {
        self.index.find(hash(key), |i| self.entries[*i as usize].key == key).copied()
    }

    fn insert(&mut self, key: &[u8], stored: Option<Stored>) -> u32 {
        let at = self.entries.len() as u32;
        self.entries.push(Entry { key: key.to_vec(), stored, dirty: false });
        let entries = &self.entries;
        self.index.insert_unique(hash(key), at, |i| hash(&entries[*i as usize].key));
        at
    }

    #[inline]
    fn touch(&mut self, at: u32) {
        let entry = &mut self.entries[at as usize];
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(at);
        }
    }

    /// Keeps only what the database does not have yet.
    fn shrink(&mut self) {
        let all = self.entries.len();
        let kept: Vec<Entry> = core::mem::take(&mut self.entries).into_iter().filter(|e| e.dirty).collect();
        (self.index, self.dirty) = (HashTable::new(), Vec::new());
        self.complete &= kept.len() == all;
        for entry in kept {
            let at = self.insert(&entry.key, entry.stored);
            self.touch(at);
        }
    }
}

/// The start under which a store without windows keeps its one bucket.
const NO_WINDOW: Timestamp = Timestamp::MIN;

/// A task's store.
#[derive(Clone, Debug)]
pub struct Store {
    kind: StoreKind,
    buckets: BTreeMap<Timestamp, Bucket>,
    dropped: Vec<Timestamp>,
    /// Bytes of keys and states in memory, estimated.
    bytes: usize,
}

/// What an entry costs beside its key and state, bytes, estimated.
const ENTRY_BYTES: usize = 96;

impl Store {
    /// Opens a store: looks up which windows the database holds.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open(kind: StoreKind, ground: Ground<'_>) -> Result<Self, StorageError> {
        let mut store = Self { kind, buckets: BTreeMap::new(), dropped: Vec::new(), bytes: 0 };
        if kind != StoreKind::Window {
            store.buckets.insert(NO_WINDOW, Bucket { written: true, ..Bucket::default() });
            return Ok(store);
        }
        let all = [ground.prefix, &[kind as u8]].concat();
        let (mut from, to) = (all.clone(), key::successor(&all));
        loop {
            let mut found = None;
            ground.db.scan(ground.space, &from, to.as_deref(), &mut |k, _| {
                found = k[all.len()..].first_chunk::<8>().copied();
                Scan::Stop
            })?;
            let Some(start) = found else { return Ok(store) };
            let start = key::unordered(start);
            store.buckets.insert(start, Bucket { written: true, ..Bucket::default() });
            match key::successor(&key::window(ground.prefix, start, b"")) {
                Some(next) => from = next,
                None => return Ok(store),
            }
        }
    }

    /// Starts of the windows that hold anything, earliest first.
    pub fn windows(&self) -> impl Iterator<Item = Timestamp> {
        self.buckets.keys().copied().filter(|s| *s != NO_WINDOW)
    }

    /// The earliest window that holds anything.
    pub fn first_window(&self) -> Option<Timestamp> {
        self.windows().next()
    }

    /// Whether any window is open.
    pub fn has_windows(&self) -> bool {
        self.first_window().is_some()
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The state of a group, for reading and for changing through [`Store::set`].
    ///
    /// # Errors
    /// Those of the database; corrupted where a stored value cannot be read.
    pub fn get(
        &mut self,
        ground: Ground<'_>,
        start: Option<Timestamp>,
        group: &[u8],
    ) -> Result<Option<&Stored>, StorageError> {
        let start = start.unwrap_or(NO_WINDOW);
        // A window that is not there has nothing in the database either: `open` saw to that.
        let Some(bucket) = self.buckets.get_mut(&start) else { return Ok(None) };
        let at = match bucket.find(group) {
            Some(at) => at,
            None if bucket.complete || !bucket.written => return Ok(None),
            None => {
                let key = whole_key(self.kind, ground.prefix, start, group);
                let stored = ground.db.get(ground.space, &key)?.map(|b| decode(&b)).transpose()?;
                self.bytes += group.len() + ENTRY_BYTES + stored.as_ref().map_or(0, |s| s.state.len());
                bucket.insert(group, stored)
            }
        };
        Ok(bucket.entries[at as usize].stored.as_ref())
    }

    /// Sets or, with `None`, removes a group.
    pub fn set(&mut self, start: Option<Timestamp>, group: &[u8], stored: Option<Stored>) {
        let start = start.unwrap_or(NO_WINDOW);
        let bucket = self.buckets.entry(start).or_insert_with(|| Bucket { complete: true, ..Bucket::default() });
        let len = |s: &Option<Stored>| s.as_ref().map_or(0, |s| s.state.len());
        let at = match bucket.find(group) {
            Some(at) => {
                let entry = &mut bucket.entries[at as usize];
                self.bytes = (self.bytes + len(&stored)).saturating_sub(len(&entry.stored));
                entry.stored = stored;
                at
            }
            None => {
                self.bytes += group.len() + ENTRY_BYTES + len(&stored);
                bucket.insert(group, stored)
            }
        };
        bucket.touch(at);
    }

    /// Changes a group's state in place where it is in memory already: the fast path of built-in folds.
    #[inline]
    pub fn update(&mut self, start: Option<Timestamp>, group: &[u8]) -> Option<&mut Stored> {
        let bucket = self.buckets.get_mut(&start.unwrap_or(NO_WINDOW))?;
        let at = bucket.find(group)?;
        bucket.entries[at as usize].stored.as_ref()?;
        bucket.touch(at);
        bucket.entries[at as usize].stored.as_mut()
    }

    /// All groups of a window, by key.
    ///
    /// # Errors
    /// Those of the database.
    pub fn groups_of(
        &self,
        ground: Ground<'_>,
        start: Timestamp,
    ) -> Result<Vec<(Vec<u8>, Stored)>, StorageError> {
        let Some(bucket) = self.buckets.get(&start) else { return Ok(Vec::new()) };
        let mut groups: Vec<(Vec<u8>, Stored)> =
            bucket.entries.iter().filter_map(|e| Some((e.key.clone(), e.stored.clone()?))).collect();
        if !bucket.complete && bucket.written {
            let from = key::window(ground.prefix, start, b"");
            let to = key::successor(&from);
            let mut failed = None;
            ground.db.scan(ground.space, &from, to.as_deref(), &mut |k, v| {
                let group = &k[from.len()..];
                if bucket.find(group).is_none() {
                    match decode(v) {
                        Ok(stored) => groups.push((group.to_vec(), stored)),
                        Err(error) => {
                            failed = Some(error);
                            return Scan::Stop;
                        }
                    }
                }
                Scan::Continue
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        groups.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(groups)
    }

    /// Forgets a window that has closed.
    pub fn drop_window(&mut self, start: Timestamp) {
        let Some(bucket) = self.buckets.remove(&start) else { return };
        let bytes: usize = bucket.entries.iter().map(entry_bytes).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        if bucket.written {
            self.dropped.push(start);
        }
    }

    /// Groups changed since the last call of [`Store::take_changes`], with their states: by window, then in the order of
    /// their first change.
    pub fn changed(&self) -> impl Iterator<Item = (Timestamp, &[u8], Option<&Stored>)> {
        self.buckets.iter().flat_map(|(start, bucket)| {
            bucket.dirty.iter().map(move |at| {
                let entry = &bucket.entries[*at as usize];
                (*start, entry.key.as_slice(), entry.stored.as_ref())
            })
        })
    }

    /// Takes the changes of the interval out; they stay readable here.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes: Vec<Change> = self.dropped.drain(..).map(Change::DropWindow).collect();
        for (start, bucket) in &mut self.buckets {
            bucket.written |= !bucket.dirty.is_empty();
            for at in bucket.dirty.drain(..) {
                let entry = &mut bucket.entries[at as usize];
                entry.dirty = false;
                let key = whole_key(self.kind, b"", *start, &entry.key);
                changes.push(match &entry.stored {
                    Some(stored) => Change::Put(key, stored.encode()),
                    None => Change::Delete(key),
                });
            }
        }
        changes
    }

    /// Lets go of what the database has, when more than `limit_bytes` are held. Only right when every change that was
    /// taken has been committed.
    pub fn shrink(&mut self, limit_bytes: usize) {
        if self.bytes <= limit_bytes {
            return;
        }
        self.bytes = 0;
        for bucket in self.buckets.values_mut() {
            bucket.shrink();
            self.bytes += bucket.entries.iter().map(entry_bytes).sum::<usize>();
        }
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    entry.key.len() + ENTRY_BYTES + entry.stored.as_ref().map_or(0, |s| s.state.len())
}

/// A key of the database.
fn whole_key(kind: StoreKind, prefix: &[u8], start: Timestamp, group: &[u8]) -> Vec<u8> {
    match kind {
        StoreKind::Window => key::window(prefix, start, group),
        kind => key::plain(prefix, kind, group),
    }
}

fn decode(bytes: &[u8]) -> Result<Stored, StorageError> {
    Stored::decode(bytes).ok_or_else(|| {
        StorageError::Corrupted("a stored aggregate has a form this version does not know".to_string())
    })
}
