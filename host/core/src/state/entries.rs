//! A named store of a processor: its function's own keys, in order, with their bytes and when they were written.
//!
//! As in [`super::store`], reads see what the open interval wrote, then what is held in memory, then the database, and nothing is
//! written here. What a call writes can be taken back to a mark. When an entry is too old is not decided here.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use hashbrown::HashTable;

use super::CHANGE_BYTES;
use super::key::{self, StoreKind};
use super::keyspace::{Scan, StorageError};
use super::layers::{Found, scan_others};
use super::store::{Change, Ground, Most, hash};
use super::value::{State, Stored};
use crate::record::Timestamp;

/// What is held of a key: its entry, that there is none, or, not known, nothing.
#[derive(Clone, Debug, Default)]
struct Held {
    layout: u32,
    written: Timestamp,
    state: State,
    known: bool,
    /// Changed since changes were taken last.
    dirty: bool,
    /// The database may have it, or an interval on its way there.
    stored: bool,
}

impl Held {
    fn of(stored: Option<Stored<'_>>) -> Self {
        let (layout, written) = stored.map_or((0, Timestamp::MIN), |s| (s.layout, s.timestamp));
        let state = stored.map_or(State::Absent, |s| State::new(s.state));
        Self { layout, written, state, known: true, dirty: false, stored: stored.is_some() }
    }

    fn seen(&self) -> Option<Stored<'_>> {
        let state = self.state.get()?;
        Some(Stored { layout: self.layout, timestamp: self.written, state })
    }
}

/// A key and what is held of it.
#[derive(Clone, Debug)]
struct Slot {
    hash: u64,
    key: Arc<[u8]>,
    held: Held,
}

/// What a key costs beside its bytes and its entry's, estimated.
const KEY_BYTES: usize = 192;

/// To where writes can be taken back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    journal: usize,
    dirty: usize,
    changed_bytes: usize,
}

/// A task's entries.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// Places in `slots`, by key and in the order of keys.
    index: HashTable<u32>,
    order: BTreeMap<Arc<[u8]>, u32>,
    slots: Vec<Slot>,
    /// Changed in the open interval, in the order of the first change.
    dirty: Vec<u32>,
    /// What was there before each write since the last [`Entries::settle`].
    journal: Vec<(u32, Held)>,
    /// The database may have entries that are not held.
    outside: bool,
    bytes: usize,
    /// Of what has changed in the open interval, with what each change costs.
    changed_bytes: usize,
    /// The key behind the last one that was looked at by [`Entries::sweep`].
    swept: Vec<u8>,
}

impl Entries {
    /// Opens a store.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open(ground: Ground<'_>) -> Result<Self, StorageError> {
        let mut outside = false;
        scan(ground, &[], &[], &mut |_, _| {
            outside = true;
            Scan::Stop
        })?;
        Ok(Self { outside, ..Self::default() })
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        self.changed_bytes
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let same = |at: &u32| {
            let slot = &self.slots[*at as usize];
            slot.hash == hash && *slot.key == *key
        };
        self.index.find(hash, same).copied()
    }

    /// The place of a key, made where it is not there.
    fn place(&mut self, key: &[u8]) -> usize {
        let hash = hash(key);
        let at =
            self.find(hash, key).unwrap_or_else(|| self.insert(Slot { hash, key: key.into(), held: Held::default() }));
        at as usize
    }

    fn insert(&mut self, slot: Slot) -> u32 {
        let (at, hash) = (self.slots.len() as u32, slot.hash);
        self.bytes += KEY_BYTES + slot.key.len() + slot.held.state.heap_bytes();
        self.order.insert(slot.key.clone(), at);
        self.slots.push(slot);
        let slots = &self.slots;
        self.index.insert_unique(hash, at, |at| slots[*at as usize].hash);
        at
    }

    fn replace(&mut self, at: usize, held: Held) -> Held {
        let before = core::mem::replace(&mut self.slots[at].held, held);
        self.bytes = self.bytes + self.slots[at].held.state.heap_bytes() - before.state.heap_bytes();
        before
    }

    /// An entry; its timestamp is when it was written.
    ///
    /// # Errors
    /// Those of the database; corrupted where something stored cannot be read.
    pub(crate) fn get(&mut self, ground: Ground<'_>, key: &[u8]) -> Result<Option<Stored<'_>>, StorageError> {
        let at = self.place(key);
        if !self.slots[at].held.known {
            let mut found = None;
            if self.outside {
                found = ground.db.get(ground.space, &key::plain(ground.prefix, StoreKind::KeyValue, key))?;
            }
            self.replace(at, Held::of(found.as_deref().map(decode).transpose()?));
        }
        Ok(self.slots[at].held.seen())
    }

    /// The place of a key that is held; none where nothing was asked about it.
    pub(crate) fn place_of(&self, key: &[u8]) -> Option<u32> {
        self.find(hash(key), key)
    }

    /// What is held at a place.
    pub(crate) fn held(&self, at: u32) -> Option<(&[u8], Stored<'_>)> {
        let slot = self.slots.get(at as usize)?;
        Some((&slot.key, slot.held.seen()?))
    }

    /// Writes an entry in another layout; when it was written stays.
    pub(crate) fn rewrite(&mut self, at: u32, layout: u32, state: &State) {
        let Slot { key, held, .. } = &self.slots[at as usize];
        let (key, written) = (key.clone(), held.written);
        self.put(&key, layout, written, state.get());
    }

    /// See [`super::layers::Layered`].
    pub(crate) fn other_layouts(&self, layout: u32, most: Most) -> Vec<u32> {
        let mut found = Found::new(most);
        for (at, slot) in (0..).zip(&self.slots) {
            if let Some(entry) = slot.held.seen().filter(|entry| entry.layout != layout) {
                if found.is_full() {
                    break;
                }
                found.push(at, entry.state);
            }
        }
        found.all
    }

    /// See [`super::layers::Layered`].
    ///
    /// # Errors
    /// As [`Entries::get`].
    pub(crate) fn other_layouts_stored(
        &mut self,
        ground: Ground<'_>,
        layout: u32,
        from: &mut Option<Vec<u8>>,
        most: Most,
    ) -> Result<(Vec<u32>, usize), StorageError> {
        let all = key::plain(ground.prefix, StoreKind::KeyValue, b"");
        let (found, looked) = scan_others(ground, &all, from, most, &mut |value| {
            decode(value).map(|entry| (entry.layout != layout).then_some(entry.state))
        })?;
        let mut ids = Vec::new();
        for key in found {
            if self.get(ground, &key)?.is_some_and(|entry| entry.layout != layout) {
                ids.extend(self.place_of(&key));
            }
        }
        Ok((ids, looked))
    }

    /// Sets an entry or, without a state, removes it.
    pub(crate) fn put(&mut self, key: &[u8], layout: u32, written: Timestamp, state: Option<&[u8]>) {
        let (at, state) = (self.place(key), state.map_or(State::Absent, State::new));
        let before = &self.slots[at].held;
        let stored = if before.known { before.stored } else { self.outside };
        let now = state.heap_bytes();
        let before = self.replace(at, Held { layout, written, state, known: true, dirty: true, stored });
        if before.dirty {
            self.changed_bytes = self.changed_bytes + now - before.state.heap_bytes();
        } else {
            self.dirty.push(at as u32);
            self.changed_bytes += CHANGE_BYTES + key.len() + now;
        }
        self.journal.push((at as u32, before));
    }

    /// Shows entries with `start <= key < end` in key order (an empty `end` is no bound) until `visit` says stop.
    ///
    /// # Errors
    /// Those of the database; corrupted where something stored cannot be read.
    pub(crate) fn range(
        &self,
        ground: Ground<'_>,
        start: &[u8],
        end: &[u8],
        visit: &mut dyn FnMut(&[u8], Stored<'_>) -> Scan,
    ) -> Result<(), StorageError> {
        if !end.is_empty() && end <= start {
            return Ok(());
        }
        let to = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
        let all = self.order.range::<[u8], _>((Bound::Included(start), to));
        let held = all.map(|(key, at)| (key, &self.slots[*at as usize].held)).filter(|(_, held)| held.known);
        let mut held = held.peekable();
        let (mut failed, mut stopped) = (None, false);
        if self.outside {
            scan(ground, start, end, &mut |key, value| {
                while let Some((before, entry)) = held.next_if(|(k, _)| ***k < *key) {
                    if entry.seen().is_some_and(|entry| visit(before, entry) == Scan::Stop) {
                        stopped = true;
                        return Scan::Stop;
                    }
                }
                // What is held is newer.
                if held.peek().is_some_and(|(k, _)| ***k == *key) {
                    return Scan::Continue;
                }
                match decode(value) {
                    Ok(entry) => stopped = visit(key, entry) == Scan::Stop,
                    Err(error) => failed = Some(error),
                }
                if stopped || failed.is_some() { Scan::Stop } else { Scan::Continue }
            })?;
        }
        if let Some(error) = failed {
            return Err(error);
        }
        while let Some((key, entry)) = held.next().filter(|_| !stopped) {
            stopped = entry.seen().is_some_and(|entry| visit(key, entry) == Scan::Stop);
        }
        Ok(())
    }

    /// To here writes can be taken back, until the next [`Entries::settle`].
    pub(crate) fn mark(&self) -> Mark {
        Mark { journal: self.journal.len(), dirty: self.dirty.len(), changed_bytes: self.changed_bytes }
    }

    /// Takes back what was written since.
    pub(crate) fn take_back(&mut self, mark: Mark) {
        for (at, before) in self.journal.split_off(mark.journal).into_iter().rev() {
            self.replace(at as usize, before);
        }
        self.dirty.truncate(mark.dirty);
        self.changed_bytes = mark.changed_bytes;
    }

    /// What was written so far will not be taken back.
    pub(crate) fn settle(&mut self) {
        self.journal.clear();
    }

    /// Entries written in the open interval.
    pub(crate) fn changed(&self) -> usize {
        self.dirty.len()
    }

    /// Looks at so many entries of the database, going on from where it was the last time, and removes those that are too old.
    ///
    /// # Errors
    /// Those of the database; corrupted where something stored cannot be read.
    pub(crate) fn sweep(
        &mut self,
        ground: Ground<'_>,
        entries_max: usize,
        is_old: &dyn Fn(Timestamp) -> bool,
    ) -> Result<(), StorageError> {
        if !self.outside && self.slots.is_empty() {
            return Ok(());
        }
        let (mut looked, mut failed, mut last) = (0, None, None);
        let mut old: Vec<Vec<u8>> = Vec::new();
        scan(ground, &self.swept, &[], &mut |key, value| {
            let held = self.find(hash(key), key).map(|at| &self.slots[at as usize].held).filter(|held| held.known);
            match (held.map(Held::seen), decode(value)) {
                (Some(entry), _) if entry.is_some_and(|entry| is_old(entry.timestamp)) => old.push(key.to_vec()),
                (Some(_), _) => {}
                (None, Ok(entry)) if is_old(entry.timestamp) => old.push(key.to_vec()),
                (None, Ok(_)) => {}
                (None, Err(error)) => failed = Some(error),
            }
            looked += 1;
            if looked < entries_max && failed.is_none() {
                return Scan::Continue;
            }
            last = Some(key.to_vec());
            Scan::Stop
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.swept = last.map(|key| [&key[..], &[0]].concat()).unwrap_or_default();
        old.iter().for_each(|key| self.put(key, 0, Timestamp::MIN, None));
        self.settle();
        Ok(())
    }

    /// Takes the changes of the interval out; they stay readable here.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.settle();
        self.changed_bytes = 0;
        let mut changes = Vec::with_capacity(self.dirty.len());
        for at in self.dirty.drain(..) {
            let Slot { key, held, .. } = &mut self.slots[at as usize];
            held.dirty = false;
            let whole = key::plain(b"", StoreKind::KeyValue, key);
            let was = core::mem::replace(&mut held.stored, held.state.get().is_some());
            match held.seen() {
                Some(entry) => changes.push(Change::Put(whole, entry.encode())),
                None if was => changes.push(Change::Delete(whole)),
                None => {}
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
        let before = core::mem::take(self);
        (self.swept, self.changed_bytes) = (before.swept, before.changed_bytes);
        self.outside = before.outside || before.slots.iter().any(|slot| !slot.held.dirty && slot.held.stored);
        let mut slots: Vec<Option<Slot>> = before.slots.into_iter().map(Some).collect();
        for at in before.dirty {
            if let Some(slot) = slots[at as usize].take() {
                let at = self.insert(slot);
                self.dirty.push(at);
            }
        }
    }
}

/// Shows what the database has, keys without what stands in front of them.
fn scan(
    ground: Ground<'_>,
    start: &[u8],
    end: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
) -> Result<(), StorageError> {
    let whole = |key: &[u8]| key::plain(ground.prefix, StoreKind::KeyValue, key);
    let all = whole(b"");
    let to = if end.is_empty() { key::successor(&all) } else { Some(whole(end)) };
    ground.db.scan(ground.space, &whole(start), to.as_deref(), &mut |key, value| visit(&key[all.len()..], value))
}

fn decode(bytes: &[u8]) -> Result<Stored<'_>, StorageError> {
    let why = "an entry of a store has a form this version does not know";
    Stored::decode(bytes).ok_or_else(|| StorageError::Corrupted(why.to_string()))
}

#[cfg(test)]
mod tests;
