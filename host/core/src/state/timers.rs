//! A task's timers of one processor: when each is due, and which are due next, by clock.
//!
//! As in [`super::store`], reads see what the open interval wrote, then what is held in memory, then the database, and nothing is
//! written here. What a call sets can be taken back to a mark. When a timer fires is not decided here.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::CHANGE_BYTES;
use super::key::{self, StoreKind};
use super::keyspace::{Scan, StorageError};
use super::store::{Change, Ground};
use super::value::TIMER;
use crate::record::Timestamp;
use crate::time::NEVER;

/// Whom a timer is for, as [`key::timer_who`] makes it.
pub(crate) type Who = Arc<[u8]>;

/// Clocks: event time and wall clock, by their numbers in keys.
const CLOCKS: usize = 2;

/// A timer, or that there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    due: Option<Timestamp>,
    /// Under which time the database has it, or an interval on its way there.
    stored: Option<Timestamp>,
    /// Changed since changes were taken last.
    dirty: bool,
    /// How many firings in a row have led to it, each by setting the next for a time that had passed.
    row: u32,
}

/// A timer that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub at: Timestamp,
    pub who: Who,
    /// How many firings in a row have led to it.
    pub row: u32,
}

/// To where changes can be taken back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    journal: usize,
    dirty: usize,
    changed_bytes: usize,
}

/// What a timer costs beside the bytes of whom it is for, estimated: it stands in two trees.
const TIMER_BYTES: usize = 160;

/// A task's timers.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    /// By clock and whom they are for.
    held: BTreeMap<(u8, Who), Held>,
    /// Those of the held that are there, by clock, due time and whom they are for.
    queue: BTreeSet<(u8, Timestamp, Who)>,
    /// Changed in the open interval.
    dirty: Vec<(u8, Who)>,
    /// What was there before each change since the last [`Timers::settle`].
    journal: Vec<((u8, Who), Held)>,
    /// Nothing was there any more when changes were taken.
    vacant: Vec<(u8, Who)>,
    /// By clock: the database may have timers that are not held, and none of them is due before this.
    outside: [Option<Timestamp>; CLOCKS],
    bytes: usize,
    /// Of what has changed in the open interval, with what each change costs.
    changed_bytes: usize,
}

impl Timers {
    /// Opens a store: looks up when the timers of the database begin.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open(ground: Ground<'_>) -> Result<Self, StorageError> {
        let outside = [first_due(ground, 0, NEVER)?, first_due(ground, 1, NEVER)?];
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

    /// A time before which no timer of a clock is due; `None`: there is none.
    pub(crate) fn not_before(&self, clock: u8) -> Option<Timestamp> {
        let held = self.queue.range((clock, NEVER, Who::default())..).next().filter(|t| t.0 == clock).map(|t| t.1);
        held.into_iter().chain(self.outside[usize::from(clock)]).min()
    }

    /// The timers of a clock that are due at `until` or before, by time and whom they are for: whole groups of one due time, until
    /// there are `enough`.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn due(
        &mut self,
        ground: Ground<'_>,
        clock: u8,
        until: Timestamp,
        enough: usize,
    ) -> Result<Vec<Due>, StorageError> {
        self.bring_in(ground, clock, until)?;
        let mut out: Vec<Due> = Vec::new();
        let queue = self.queue.range((clock, NEVER, Who::default())..);
        for (_, at, who) in queue.take_while(|t| t.0 == clock && t.1 <= until) {
            if out.len() >= enough && out.last().is_some_and(|last| last.at != *at) {
                break;
            }
            let row = self.held.get(&(clock, who.clone())).map_or(0, |held| held.row);
            out.push(Due { at: *at, who: who.clone(), row });
        }
        Ok(out)
    }

    /// Reads the timers that the database has due at `until` or before.
    fn bring_in(&mut self, ground: Ground<'_>, clock: u8, until: Timestamp) -> Result<(), StorageError> {
        let Some(from) = self.outside[usize::from(clock)].filter(|from| *from <= until) else { return Ok(()) };
        let (start, behind) = (key::timer(ground.prefix, clock, from, b""), until.checked_add(1));
        let end = match behind {
            Some(behind) => Some(key::timer(ground.prefix, clock, behind, b"")),
            None => key::successor(&[ground.prefix, &[StoreKind::Timer as u8, clock]].concat()),
        };
        let mut found: Vec<(Timestamp, Who)> = Vec::new();
        let mut failed = false;
        ground.db.scan(ground.space, &start, end.as_deref(), &mut |whole, _| {
            match key::split_timer(&whole[ground.prefix.len()..]) {
                Some((_, due, who)) => found.push((due, who.into())),
                None => failed = true,
            }
            Scan::Continue
        })?;
        if failed {
            return Err(StorageError::Corrupted("a stored timer has a form this version does not know".to_string()));
        }
        let next = behind.map(|behind| first_due(ground, clock, behind)).transpose()?.flatten();
        for (due, who) in found {
            self.hold(clock, who, Some(due));
        }
        self.outside[usize::from(clock)] = next;
        Ok(())
    }

    /// Holds what the database has, unless something newer is held.
    fn hold(&mut self, clock: u8, who: Who, stored: Option<Timestamp>) {
        let id = (clock, who);
        if self.held.contains_key(&id) {
            return;
        }
        if let Some(due) = stored {
            self.queue.insert((clock, due, id.1.clone()));
        }
        self.bytes += TIMER_BYTES + id.1.len();
        self.held.insert(id, Held { due: stored, stored, ..Held::default() });
    }

    /// Sets a timer, moving it where it is there, or, without a time, removes it. `row`: how many firings in a row have led to it.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn set(
        &mut self,
        ground: Ground<'_>,
        clock: u8,
        who: &[u8],
        due: Option<Timestamp>,
        row: u32,
    ) -> Result<(), StorageError> {
        let id = (clock, Who::from(who));
        if !self.held.contains_key(&id) {
            let mut stored = None;
            if self.outside[usize::from(clock)].is_some() {
                let found = ground.db.get(ground.space, &key::timer_by_who(ground.prefix, clock, who))?;
                stored = found.and_then(|bytes| bytes.try_into().ok()).map(key::unordered);
            }
            if stored.is_none() && due.is_none() {
                return Ok(());
            }
            self.hold(clock, id.1.clone(), stored);
        }
        let before = self.held[&id];
        if before.due != due {
            self.journal.push((id.clone(), before));
            if !before.dirty {
                self.dirty.push(id.clone());
                // One that is moved goes before it comes.
                self.changed_bytes += 2 * (CHANGE_BYTES + id.1.len());
            }
            self.replace(id, Held { due, row, dirty: true, ..before });
        }
        Ok(())
    }

    fn replace(&mut self, id: (u8, Who), held: Held) {
        let before = self.held.insert(id.clone(), held).unwrap_or_default();
        if let Some(due) = before.due {
            self.queue.remove(&(id.0, due, id.1.clone()));
        }
        if let Some(due) = held.due {
            self.queue.insert((id.0, due, id.1));
        }
    }

    /// To here changes can be taken back, until the next [`Timers::settle`].
    pub(crate) fn mark(&self) -> Mark {
        Mark { journal: self.journal.len(), dirty: self.dirty.len(), changed_bytes: self.changed_bytes }
    }

    /// Takes back what was changed since.
    pub(crate) fn take_back(&mut self, mark: Mark) {
        for (id, before) in self.journal.split_off(mark.journal).into_iter().rev() {
            if before == Held::default() {
                self.vacant.push(id.clone());
            }
            self.replace(id, before);
        }
        self.dirty.truncate(mark.dirty);
        self.changed_bytes = mark.changed_bytes;
    }

    /// What was changed so far will not be taken back.
    pub(crate) fn settle(&mut self) {
        self.journal.clear();
    }

    /// Takes the changes of the interval out; they stay readable here. One that is moved goes before it comes.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.settle();
        self.changed_bytes = 0;
        let mut changes = Vec::new();
        for id in self.dirty.drain(..) {
            let Some(held) = self.held.get_mut(&id).filter(|held| held.dirty) else { continue };
            held.dirty = false;
            let before = core::mem::replace(&mut held.stored, held.due);
            let whole = |due: Timestamp| key::timer(b"", id.0, due, &id.1);
            if before != held.due {
                changes.extend(before.map(|due| Change::Delete(whole(due))));
                changes.extend(held.due.map(|due| Change::Put(whole(due), TIMER.to_vec())));
            }
            if held.due.is_none() {
                self.vacant.push(id);
            }
        }
        changes
    }

    /// Lets go of those that are no more and, when more than `limit_bytes` are held, of what the database has. Only right when
    /// every change that was taken has been committed.
    pub fn shrink(&mut self, limit_bytes: usize) {
        for id in core::mem::take(&mut self.vacant) {
            if self.held.get(&id).is_some_and(|held| !held.dirty && held.due.is_none()) {
                self.bytes -= TIMER_BYTES + id.1.len();
                self.held.remove(&id);
            }
        }
        if self.bytes <= limit_bytes {
            return;
        }
        let clean = |held: &Held| !held.dirty;
        for ((clock, who), held) in self.held.iter().filter(|(_, held)| clean(held)) {
            let Some(due) = held.due else { continue };
            let outside = &mut self.outside[usize::from(*clock)];
            *outside = Some(outside.map_or(due, |first| first.min(due)));
            self.queue.remove(&(*clock, due, who.clone()));
        }
        self.held.retain(|_, held| !clean(held));
        self.bytes = self.held.keys().map(|(_, who)| TIMER_BYTES + who.len()).sum();
    }
}

/// When the first timer of the database is due that is not due before `from`.
fn first_due(ground: Ground<'_>, clock: u8, from: Timestamp) -> Result<Option<Timestamp>, StorageError> {
    let start = key::timer(ground.prefix, clock, from, b"");
    let to = key::successor(&[ground.prefix, &[StoreKind::Timer as u8, clock]].concat());
    let mut found = None;
    ground.db.scan(ground.space, &start, to.as_deref(), &mut |whole, _| {
        found = key::split_timer(&whole[ground.prefix.len()..]).map(|(_, due, _)| due);
        Scan::Stop
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests;
