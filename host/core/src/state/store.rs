//! A task's store: the write set of the open interval, a cache of what was read, and the database behind.
//!
//! Reads see the write set, then the cache, then the database. Nothing is written here: the interval takes the changes
//! out, and they reach the database with its commit. A window is a bucket of groups, known by its mark; a bucket that began empty, in the
//! database too, answers for all of its groups without asking.

use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;

use core::hash::BuildHasher;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::CHANGE_BYTES;
use super::key::{self, StoreKind};
use super::keyspace::{Keyspaces, Scan, Space, StorageError};
use super::layers::{Found, scan_others};
use super::value::{State, Stored};
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
    /// Removes all groups of the window with this mark.
    DropWindow(Timestamp),
}

/// Where a group stands: good until the next [`Store::shrink`] or the drop of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot {
    mark: Timestamp,
    at: u32,
}

impl Slot {
    /// Mark of its window.
    pub fn mark(self) -> Option<Timestamp> {
        (self.mark != NO_WINDOW).then_some(self.mark)
    }
}

/// What is held of one group. Without a state: known to be absent. One line of the processor's cache.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Entry {
    hash: u64,
    key_at: usize,
    key_len: u32,
    pub layout: u32,
    /// The largest timestamp of the records in it, or of those that it was removed by.
    pub timestamp: Timestamp,
    state: State,
    /// Changed since the last take of changes.
    dirty: bool,
    /// That it has changed is to be written, and nothing comes of it: it means what it meant.
    quiet: bool,
    /// Had a state when changes were taken last, or when it was read.
    pub was: bool,
}

impl Entry {
    #[inline]
    pub fn state(&self) -> Option<&[u8]> {
        self.state.get()
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.key_len as usize + self.state.heap_bytes()
    }
}

/// The groups of a window, or of a store without windows. Entries stand in the order in which they came, their keys end to
/// end; the index finds them by key.
#[derive(Clone, Debug, Default)]
struct Bucket {
    index: HashTable<u32>,
    entries: Vec<Entry>,
    keys: Vec<u8>,
    /// Entries changed in the open interval, in the order of their first change.
    dirty: Vec<u32>,
    /// Every group of it is in `entries`.
    complete: bool,
    /// Something of it may be in the database, or in an interval on its way there.
    written: bool,
}

/// The hash of a group's key, the same on every machine.
#[inline]
pub(crate) fn hash(key: &[u8]) -> u64 {
    FixedState::default().hash_one(key)
}

impl Bucket {
    #[inline]
    fn key(&self, entry: &Entry) -> &[u8] {
        &self.keys[entry.key_at..entry.key_at + entry.key_len as usize]
    }

    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let same = |at: &u32| {
            let entry = &self.entries[*at as usize];
            entry.hash == hash && self.key(entry) == key
        };
        self.index.find(hash, same).copied()
    }

    fn insert(&mut self, hash: u64, key: &[u8], stored: Option<Stored<'_>>) -> u32 {
        let at = self.entries.len() as u32;
        let key_at = self.keys.len();
        self.keys.extend_from_slice(key);
        let (layout, timestamp) = stored.map_or((0, Timestamp::MIN), |s| (s.layout, s.timestamp));
        let state = stored.map_or(State::Absent, |s| State::new(s.state));
        let (key_len, was) = (key.len() as u32, stored.is_some());
        self.entries.push(Entry { hash, key_at, key_len, layout, timestamp, state, dirty: false, quiet: false, was });
        let entries = &self.entries;
        self.index.insert_unique(hash, at, |at| entries[*at as usize].hash);
        at
    }

    /// An empty bucket with room for as many groups as another has: neighbours are mostly of one size.
    fn beside(other: Option<&Bucket>) -> Self {
        let (entries, bytes) = other.map_or((0, 0), |b| (b.entries.len().min(GROUPS_EXPECTED_MAX), b.keys.len()));
        Self {
            index: HashTable::with_capacity(entries),
            entries: Vec::with_capacity(entries),
            keys: Vec::with_capacity(bytes.min(GROUPS_EXPECTED_MAX * 32)),
            complete: true,
            ..Self::default()
        }
    }

    /// Places in the order of their keys. Compares eight bytes behind what all keys begin with before it compares keys.
    fn sorted(&self, places: impl Iterator<Item = u32>) -> Vec<u32> {
        let key = |at: u32| self.key(&self.entries[at as usize]);
        let places: Vec<u32> = places.collect();
        let Some(first) = places.first().map(|at| key(*at)) else { return places };
        let mut common = first.len();
        for at in &places {
            let key = key(*at);
            if common > key.len() || key[..common] != first[..common] {
                common = key.iter().zip(first).take_while(|(a, b)| a == b).count();
            }
        }
        let begins = |at: u32| {
            let (rest, mut eight) = (&key(at)[common..], [0; 8]);
            let len = rest.len().min(8);
            eight[..len].copy_from_slice(&rest[..len]);
            u64::from_be_bytes(eight)
        };
        let mut keyed: Vec<(u64, u32)> = places.into_iter().map(|at| (begins(at), at)).collect();
        keyed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
        keyed.into_iter().map(|(_, at)| at).collect()
    }

    /// Gives by how much what has changed becomes more, bytes.
    #[inline]
    fn touch(&mut self, at: u32) -> usize {
        let entry = &mut self.entries[at as usize];
        entry.quiet = false;
        if entry.dirty {
            return 0;
        }
        entry.dirty = true;
        self.dirty.push(at);
        CHANGE_BYTES + entry.key_len as usize + entry.state.heap_bytes()
    }

    /// Keeps only what the database does not have yet.
    fn shrink(&mut self) {
        let before = core::mem::take(self);
        (self.complete, self.written) = (before.complete && before.dirty.len() == before.entries.len(), before.written);
        for at in &before.dirty {
            let entry = &before.entries[*at as usize];
            let at = self.insert(entry.hash, before.key(entry), None);
            let (key_at, key_len) = (self.entries[at as usize].key_at, entry.key_len);
            self.entries[at as usize] = Entry { key_at, key_len, ..entry.clone() };
            self.dirty.push(at);
        }
    }
}

/// Groups for which a new bucket makes room at the most.
const GROUPS_EXPECTED_MAX: usize = 1 << 16;

/// The mark under which a store without windows keeps its one bucket.
const NO_WINDOW: Timestamp = Timestamp::MIN;

/// A task's store.
#[derive(Clone, Debug)]
pub struct Store {
    kind: StoreKind,
    /// Buckets by the marks of their windows, earliest first.
    buckets: VecDeque<(Timestamp, Bucket)>,
    /// Where the last bucket was found: the next record mostly wants it again, or the one behind it.
    hint: usize,
    dropped: Vec<Timestamp>,
    /// Bytes of keys and states in memory, estimated.
    bytes: usize,
    /// Of those that have changed in the open interval, with what each change costs.
    changed_bytes: usize,
    /// A group was read since [`Store::reads`] was asked last: more will be.
    has_read: bool,
}

/// Groups of a batch that are to be read, by their keys in the database.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Whole key, length of the group in it, hash of the group, mark.
    wanted: Vec<(Vec<u8>, usize, u64, Timestamp)>,
}

/// How much is looked for at one go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// Rows.
    pub rows: usize,
    /// Bytes of states; the one that passes it is in.
    pub bytes: usize,
}

/// What an entry costs beside its key and a long state, bytes, estimated.
const ENTRY_BYTES: usize = 96;

impl Store {
    /// Opens a store: looks up which windows the database holds.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open(kind: StoreKind, ground: Ground<'_>) -> Result<Self, StorageError> {
        let mut store = Self {
            kind,
            buckets: VecDeque::new(),
            hint: 0,
            dropped: Vec::new(),
            bytes: 0,
            changed_bytes: 0,
            has_read: false,
        };
        let known = || Bucket { written: true, ..Bucket::default() };
        if kind != StoreKind::Window {
            store.buckets.push_back((NO_WINDOW, known()));
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
            let Some(mark) = found else { return Ok(store) };
            let mark = key::unordered(mark);
            store.buckets.push_back((mark, known()));
            match key::successor(&key::window(ground.prefix, mark, b"")) {
                Some(next) => from = next,
                None => return Ok(store),
            }
        }
    }

    /// The earliest window that holds anything.
    pub fn first_window(&self) -> Option<Timestamp> {
        self.buckets.front().map(|(mark, _)| *mark).filter(|mark| *mark != NO_WINDOW)
    }

    /// Whether any window is open.
    pub fn has_windows(&self) -> bool {
        self.first_window().is_some()
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        self.changed_bytes
    }

    /// The place of a window's bucket, made where it is not there.
    #[inline]
    fn place(&mut self, mark: Timestamp) -> usize {
        for hint in [self.hint, self.hint + 1] {
            if self.buckets.get(hint).is_some_and(|(s, _)| *s == mark) {
                self.hint = hint;
                return hint;
            }
        }
        self.hint = self.buckets.binary_search_by_key(&mark, |(s, _)| *s).unwrap_or_else(|at| {
            // A window that is not here has nothing in the database either: `open` saw to that.
            let beside = at.checked_sub(1).and_then(|before| self.buckets.get(before)).map(|(_, bucket)| bucket);
            let bucket = Bucket::beside(beside);
            self.buckets.insert(at, (mark, bucket));
            at
        });
        self.hint
    }

    #[inline]
    fn bucket(&self, mark: Timestamp) -> Option<&Bucket> {
        let here = self.buckets.get(self.hint).filter(|(s, _)| *s == mark);
        let found = || self.buckets.binary_search_by_key(&mark, |(s, _)| *s).ok().map(|at| &self.buckets[at]);
        here.or_else(found).map(|(_, bucket)| bucket)
    }

    /// Finds a group, reading it where it may be in the database.
    ///
    /// # Errors
    /// Those of the database; corrupted where a stored value cannot be read.
    #[inline]
    pub(crate) fn locate(
        &mut self,
        ground: Ground<'_>,
        mark: Option<Timestamp>,
        hash: u64,
        group: &[u8],
    ) -> Result<Slot, StorageError> {
        let mark = mark.unwrap_or(NO_WINDOW);
        let place = self.place(mark);
        let at = match self.buckets[place].1.find(hash, group) {
            Some(at) => at,
            None => self.read(ground, place, hash, group)?,
        };
        Ok(Slot { mark, at })
    }

    fn read(&mut self, ground: Ground<'_>, place: usize, hash: u64, group: &[u8]) -> Result<u32, StorageError> {
        let (mark, bucket) = &mut self.buckets[place];
        let mut found = None;
        if !bucket.complete && bucket.written {
            self.has_read = true;
            found = ground.db.get(ground.space, &whole_key(self.kind, ground.prefix, *mark, group))?;
        }
        let stored = found.as_deref().map(decode).transpose()?;
        let at = bucket.insert(hash, group, stored);
        self.bytes += bucket.entries[at as usize].bytes();
        Ok(at)
    }

    /// Whether it is worth looking a batch through for groups that are not here: since this was asked last, some were not.
    pub(crate) fn reads(&mut self) -> bool {
        core::mem::take(&mut self.has_read)
    }

    /// Notes a group that will be located, where it may be in the database.
    pub(crate) fn want(&self, ground: Ground<'_>, mark: Option<Timestamp>, group: &[u8], ahead: &mut Ahead) {
        let mark = mark.unwrap_or(NO_WINDOW);
        let Some(bucket) = self.bucket(mark).filter(|bucket| bucket.written && !bucket.complete) else { return };
        let hash = hash(group);
        if bucket.find(hash, group).is_none() {
            ahead.wanted.push((whole_key(self.kind, ground.prefix, mark, group), group.len(), hash, mark));
        }
    }

    /// Reads all that was noted, together: files are then looked through once for many keys.
    ///
    /// # Errors
    /// As [`Store::locate`].
    pub(crate) fn read_ahead(&mut self, ground: Ground<'_>, ahead: Ahead) -> Result<(), StorageError> {
        let mut wanted = ahead.wanted;
        if wanted.is_empty() {
            return Ok(());
        }
        self.has_read = true;
        wanted.sort_unstable();
        wanted.dedup();
        let keys: Vec<&[u8]> = wanted.iter().map(|(key, ..)| &key[..]).collect();
        let found = ground.db.get_all(ground.space, &keys)?;
        for ((key, len, hash, mark), found) in wanted.iter().zip(found) {
            let stored = found.as_deref().map(decode).transpose()?;
            let place = self.place(*mark);
            let bucket = &mut self.buckets[place].1;
            let at = bucket.insert(*hash, &key[key.len() - len..], stored);
            self.bytes += bucket.entries[at as usize].bytes();
        }
        Ok(())
    }

    /// The time of a group that is there, in a window that may not be. What is not there is not remembered: it costs a read of the
    /// database each time, where that has anything of the window.
    ///
    /// # Errors
    /// Those of [`Store::locate`].
    pub(crate) fn look(
        &mut self,
        ground: Ground<'_>,
        mark: Timestamp,
        hash: u64,
        group: &[u8],
    ) -> Result<Option<Timestamp>, StorageError> {
        let Ok(place) = self.buckets.binary_search_by_key(&mark, |(s, _)| *s) else { return Ok(None) };
        let bucket = &mut self.buckets[place].1;
        let at = match bucket.find(hash, group) {
            Some(at) => at,
            None if bucket.complete || !bucket.written => return Ok(None),
            None => {
                let key = whole_key(self.kind, ground.prefix, mark, group);
                let Some(found) = ground.db.get(ground.space, &key)? else { return Ok(None) };
                let at = bucket.insert(hash, group, Some(decode(&found)?));
                self.bytes += bucket.entries[at as usize].bytes();
                at
            }
        };
        let entry = &bucket.entries[at as usize];
        Ok(entry.state().map(|_| entry.timestamp))
    }

    /// Sets a group without looking into the database: one that [`Store::look`] has not found.
    pub(crate) fn add(&mut self, mark: Timestamp, hash: u64, group: &[u8], timestamp: Timestamp, state: State) {
        let place = self.place(mark);
        let bucket = &mut self.buckets[place].1;
        let at = match bucket.find(hash, group) {
            Some(at) => at,
            None => {
                let at = bucket.insert(hash, group, None);
                self.bytes += bucket.entries[at as usize].bytes();
                at
            }
        };
        self.set(Slot { mark, at }, 0, timestamp, state);
    }

    /// What is held of a group, and its key.
    pub(crate) fn entry(&self, slot: Slot) -> (&[u8], &Entry) {
        let bucket = self.bucket(slot.mark).expect("a slot is used before its window is dropped");
        let entry = &bucket.entries[slot.at as usize];
        (bucket.key(entry), entry)
    }

    /// Sets a group's state or, with [`State::Absent`], removes it.
    pub(crate) fn set(&mut self, slot: Slot, layout: u32, timestamp: Timestamp, state: State) {
        let place = self.place(slot.mark);
        let bucket = &mut self.buckets[place].1;
        self.changed_bytes += bucket.touch(slot.at);
        let entry = &mut bucket.entries[slot.at as usize];
        let before = entry.state.heap_bytes();
        (entry.layout, entry.timestamp, entry.state) = (layout, timestamp, state);
        let now = entry.state.heap_bytes();
        self.bytes = self.bytes + now - before;
        self.changed_bytes = self.changed_bytes + now - before;
    }

    /// Writes a group's state in another layout: it means the same, so nothing leaves because of it.
    pub(crate) fn rewrite(&mut self, slot: Slot, layout: u32, state: State) {
        let entry = self.entry(slot).1;
        let (quiet, timestamp) = (entry.quiet || !entry.dirty, entry.timestamp);
        self.set(slot, layout, timestamp, state);
        let place = self.place(slot.mark);
        self.buckets[place].1.entries[slot.at as usize].quiet = quiet;
    }

    /// Groups in memory whose states are in another layout, up to a limit.
    pub(crate) fn other_layouts(&self, layout: u32, most: Most) -> Vec<Slot> {
        let mut found = Found::new(most);
        for (mark, bucket) in &self.buckets {
            for (at, entry) in bucket.entries.iter().enumerate() {
                if let Some(state) = entry.state().filter(|_| entry.layout != layout) {
                    if found.is_full() {
                        return found.all;
                    }
                    found.push(Slot { mark: *mark, at: at as u32 }, state);
                }
            }
        }
        found.all
    }

    /// The same of the database, from a key on and over so many rows of any layout; moves the key behind them, `None` at the end. Gives how many rows it
    /// looked at, too. Right once nothing in memory is in another layout.
    ///
    /// # Errors
    /// As [`Store::locate`].
    pub(crate) fn other_layouts_stored(
        &mut self,
        ground: Ground<'_>,
        layout: u32,
        from: &mut Option<Vec<u8>>,
        most: Most,
    ) -> Result<(Vec<Slot>, usize), StorageError> {
        let all = key::plain(ground.prefix, self.kind, b"");
        let (found, looked) = scan_others(ground, &all, from, most, &mut |value| {
            decode(value).map(|stored| (stored.layout != layout).then_some(stored.state))
        })?;
        let mut slots = Vec::new();
        for rest in found {
            let (mark, group) = match (self.kind, rest.split_first_chunk::<8>()) {
                (StoreKind::Window, Some((mark, group))) => (key::unordered(*mark), group),
                (StoreKind::Window, None) => continue,
                _ => (NO_WINDOW, &rest[..]),
            };
            // What was dropped may be there until its interval is.
            if self.bucket(mark).is_none() {
                continue;
            }
            let at = (mark != NO_WINDOW).then_some(mark);
            let slot = self.locate(ground, at, hash(group), group)?;
            let entry = self.entry(slot).1;
            if entry.state().is_some() && entry.layout != layout {
                slots.push(slot);
            }
        }
        Ok((slots, looked))
    }

    /// Counts a record in a group: [`Store::locate`] and [`Store::set`] in one, for the built-in count.
    ///
    /// # Errors
    /// Those of the database; corrupted where the state is no count.
    #[inline]
    pub(crate) fn count(
        &mut self,
        ground: Ground<'_>,
        mark: Option<Timestamp>,
        hash: u64,
        group: &[u8],
        timestamp: Timestamp,
    ) -> Result<Slot, StorageError> {
        let slot = self.locate(ground, mark, hash, group)?;
        let bucket = &mut self.buckets[self.hint].1;
        self.changed_bytes += bucket.touch(slot.at);
        let entry = &mut bucket.entries[slot.at as usize];
        entry.timestamp = entry.timestamp.max(timestamp);
        if entry.state.count() {
            return Ok(slot);
        }
        let why = "a stored count has not 8 bytes; was the step an aggregate before?";
        Err(StorageError::Corrupted(why.to_string()))
    }

    /// Takes a record out of a group's count, where there is one.
    ///
    /// # Errors
    /// Those of the database; corrupted where the state is no count.
    pub(crate) fn uncount(
        &mut self,
        ground: Ground<'_>,
        hash: u64,
        group: &[u8],
        timestamp: Timestamp,
    ) -> Result<Slot, StorageError> {
        let slot = self.locate(ground, None, hash, group)?;
        let bucket = &mut self.buckets[self.hint].1;
        if bucket.entries[slot.at as usize].state().is_none() {
            return Ok(slot);
        }
        self.changed_bytes += bucket.touch(slot.at);
        let entry = &mut bucket.entries[slot.at as usize];
        entry.timestamp = entry.timestamp.max(timestamp);
        if entry.state.uncount() {
            return Ok(slot);
        }
        let why = "a stored count has not 8 bytes; was the step an aggregate before?";
        Err(StorageError::Corrupted(why.to_string()))
    }

    /// All groups of a window, by key; what of it was not in memory is read.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn groups_of(&mut self, ground: Ground<'_>, mark: Timestamp) -> Result<Vec<Slot>, StorageError> {
        let place = self.place(mark);
        let bucket = &mut self.buckets[place].1;
        if !bucket.complete && bucket.written {
            let from = key::window(ground.prefix, mark, b"");
            let to = key::successor(&from);
            let (mut failed, before) = (None, bucket.entries.len());
            ground.db.scan(ground.space, &from, to.as_deref(), &mut |k, v| {
                let group = &k[from.len()..];
                let hash = hash(group);
                if bucket.find(hash, group).is_none() {
                    match decode(v) {
                        Ok(stored) => bucket.insert(hash, group, Some(stored)),
                        Err(error) => {
                            failed = Some(error);
                            return Scan::Stop;
                        }
                    };
                }
                Scan::Continue
            })?;
            self.bytes += bucket.entries[before..].iter().map(Entry::bytes).sum::<usize>();
            if let Some(error) = failed {
                return Err(error);
            }
            bucket.complete = true;
        }
        let there = |at: &u32| bucket.entries[*at as usize].state().is_some();
        let all = bucket.sorted((0..bucket.entries.len() as u32).filter(there));
        Ok(all.into_iter().map(|at| Slot { mark, at }).collect())
    }

    /// Forgets a window that has closed.
    pub fn drop_window(&mut self, mark: Timestamp) {
        let Ok(place) = self.buckets.binary_search_by_key(&mark, |(s, _)| *s) else { return };
        let Some((_, bucket)) = self.buckets.remove(place) else { return };
        self.hint = 0;
        let changed = bucket.dirty.iter().map(|at| &bucket.entries[*at as usize]);
        self.changed_bytes -= changed.map(|e| CHANGE_BYTES + e.key_len as usize + e.state.heap_bytes()).sum::<usize>();
        self.bytes -= bucket.entries.iter().map(Entry::bytes).sum::<usize>();
        if bucket.written {
            self.dropped.push(mark);
        }
    }

    /// Groups changed since the last call of [`Store::take_changes`], by window, then by key.
    pub(crate) fn changed(&self) -> Vec<Slot> {
        let mut out = Vec::new();
        for (mark, bucket) in &self.buckets {
            let loud = bucket.dirty.iter().copied().filter(|at| !bucket.entries[*at as usize].quiet);
            let dirty = bucket.sorted(loud);
            out.extend(dirty.into_iter().map(|at| Slot { mark: *mark, at }));
        }
        out
    }

    /// Takes the changes of the interval out; they stay readable here.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes: Vec<Change> = self.dropped.drain(..).map(Change::DropWindow).collect();
        self.changed_bytes = 0;
        for (mark, bucket) in &mut self.buckets {
            bucket.written |= !bucket.dirty.is_empty();
            for at in bucket.dirty.drain(..) {
                let entry = &mut bucket.entries[at as usize];
                (entry.dirty, entry.quiet) = (false, false);
                let group = &bucket.keys[entry.key_at..entry.key_at + entry.key_len as usize];
                let key = whole_key(self.kind, b"", *mark, group);
                let is = entry.state().is_some();
                let was = core::mem::replace(&mut entry.was, is);
                match entry.state() {
                    Some(state) => {
                        let stored = Stored { layout: entry.layout, timestamp: entry.timestamp, state };
                        changes.push(Change::Put(key, stored.encode()));
                    }
                    None if was => changes.push(Change::Delete(key)),
                    None => {}
                }
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
        for (_, bucket) in &mut self.buckets {
            bucket.shrink();
            self.bytes += bucket.entries.iter().map(Entry::bytes).sum::<usize>();
        }
    }
}

/// A key of the database.
fn whole_key(kind: StoreKind, prefix: &[u8], mark: Timestamp, group: &[u8]) -> Vec<u8> {
    match kind {
        StoreKind::Window => key::window(prefix, mark, group),
        kind => key::plain(prefix, kind, group),
    }
}

fn decode(bytes: &[u8]) -> Result<Stored<'_>, StorageError> {
    Stored::decode(bytes)
        .ok_or_else(|| StorageError::Corrupted("a stored aggregate has a form this version does not know".to_string()))
}

#[cfg(test)]
mod tests;
