//! A task's store of slices, of which windows are put together: what [`super::sessions`] keeps, a slice being a session without
//! length, and besides which windows close next and which have changed.
//!
//! What a window is, and when it is closed, is not decided here (see [`crate::slicing`]).

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::keyspace::StorageError;
use super::sessions::{Fresh, Session, Sessions};
use super::store::{Change, Ground};
use crate::record::Timestamp;
use crate::slicing::Slicing;

/// A window of a key: number of the key, mark of the window.
pub(crate) type Window = (u32, Timestamp);

/// Not in the queue.
const NOT_QUEUED: Timestamp = Timestamp::MAX;

/// A task's slices.
#[derive(Clone, Debug)]
pub struct Slices {
    kept: Sessions,
    slicing: Slicing,
    /// Whether windows come out when they close.
    closes: bool,
    /// Windows with a mark below this have been closed.
    done_below: Timestamp,
    /// Every key that is held and has windows to be closed stands here under a mark that is not later than that of the next; what
    /// stands here besides is found to be of no use when it is reached.
    due: BinaryHeap<Reverse<(Timestamp, u32)>>,
    /// By number of the key the least mark under which it stands in the queue.
    queued: Vec<Timestamp>,
    /// Windows that have changed since results came out last: mark, number of the key.
    changed: BTreeSet<(Timestamp, u32)>,
}

impl Slices {
    /// Opens a store. `closes`: windows come out when they close; `closed`: closing time up to which they did.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open(ground: Ground<'_>, slicing: Slicing, closes: bool, closed: Timestamp) -> Result<Self, StorageError> {
        let (kept, done_below) = (Sessions::open(ground)?, slicing.closed_below(closed));
        let (due, queued, changed) = Default::default();
        Ok(Self { kept, slicing, closes, done_below, due, queued, changed })
    }

    /// The slices as they are kept.
    pub(crate) fn kept(&self) -> &Sessions {
        &self.kept
    }

    /// Whether there is any slice.
    pub fn has_any(&self) -> bool {
        self.kept.has_any()
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        let windows = self.due.len() * size_of::<Reverse<Window>>() + self.changed.len() * 2 * size_of::<Window>();
        self.kept.bytes() + self.queued.len() * size_of::<Timestamp>() + windows
    }

    /// The number of a key; see [`Sessions::find`].
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn find(&mut self, ground: Ground<'_>, hash: u64, key: &[u8]) -> Result<u32, StorageError> {
        let (at, is_new) = self.kept.find_or_hold(ground, hash, key)?;
        if is_new {
            self.queue_up(at);
        }
        Ok(at)
    }

    /// Has a key stand in the queue under its next window.
    fn queue_up(&mut self, at: u32) {
        if !self.closes {
            return;
        }
        let next = self.slicing.next(self.kept.of(at), |s| s.start, self.done_below);
        if self.queued.len() <= at as usize {
            self.queued.resize(at as usize + 1, NOT_QUEUED);
        }
        let queued = &mut self.queued[at as usize];
        if let Some(mark) = next.filter(|mark| *mark < *queued) {
            *queued = mark;
            self.due.push(Reverse((mark, at)));
        }
    }

    /// Puts a slice where it was, or where it was not; `was_there` says which.
    pub(crate) fn put(&mut self, at: u32, slice: Fresh, was_there: bool) {
        let bounds = [(slice.start, slice.end)];
        self.kept.absorb(at, if was_there { &bounds } else { &[] }, slice, None);
        if !was_there {
            self.queue_up(at);
        }
    }

    /// The windows that a slice's change changed, marks in order.
    pub(crate) fn touched(&self, at: u32, slice: Timestamp, is_new: bool) -> Vec<Window> {
        let slices = self.kept.of(at);
        self.slicing.changed(slices, |s| s.start, (slice, is_new), self.done_below).map(|mark| (at, mark)).collect()
    }

    /// Notes windows whose last state is to come out.
    pub(crate) fn note(&mut self, windows: impl IntoIterator<Item = Window>) {
        self.changed.extend(windows.into_iter().map(|(at, mark)| (mark, at)));
    }

    /// Takes out the windows that were noted with a mark below `until` (`None`: all), by end, start, key.
    pub(crate) fn take_noted(&mut self, until: Option<Timestamp>) -> Vec<Window> {
        let later = until.map(|until| self.changed.split_off(&(until, 0))).unwrap_or_default();
        let noted = core::mem::replace(&mut self.changed, later);
        self.in_order(noted.into_iter().map(|(mark, at)| (at, mark)).collect())
    }

    /// Windows with a mark below this have been closed.
    pub(crate) fn done_below(&mut self, mark: Timestamp) {
        self.done_below = self.done_below.max(mark);
    }

    /// The windows that were not closed yet and have a mark below `until` (`None`: all), by end, start, key; they are closed then.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn take_due(
        &mut self,
        ground: Ground<'_>,
        until: Option<Timestamp>,
    ) -> Result<Vec<Window>, StorageError> {
        self.bring_in(ground, until)?;
        let mut out = Vec::new();
        while let Some(Reverse((queued, at))) = self.due.peek().copied() {
            if until.is_some_and(|until| queued >= until) {
                break;
            }
            self.due.pop();
            if self.queued[at as usize] != queued {
                continue;
            }
            self.queued[at as usize] = NOT_QUEUED;
            let slices = self.kept.of(at);
            let mut next = self.slicing.next(slices, |s| s.start, self.done_below.max(queued));
            while let Some(mark) = next.filter(|mark| until.is_none_or(|until| *mark < until)) {
                out.push((at, mark));
                next = mark.checked_add(1).and_then(|from| self.slicing.next(slices, |s| s.start, from));
            }
            if let Some(mark) = next {
                self.queued[at as usize] = mark;
                self.due.push(Reverse((mark, at)));
            }
        }
        self.done_below(until.unwrap_or(Timestamp::MAX));
        Ok(self.in_order(out))
    }

    fn in_order(&self, mut windows: Vec<Window>) -> Vec<Window> {
        windows.sort_unstable_by(|(a, x), (b, y)| x.cmp(y).then_with(|| self.kept.key(*a).cmp(self.kept.key(*b))));
        windows
    }

    /// Reads keys that the database has slices of, of which windows are put together that are due.
    fn bring_in(&mut self, ground: Ground<'_>, until: Option<Timestamp>) -> Result<(), StorageError> {
        let brought = match until {
            // Where each slice is in one window after the other, all of them are needed at each step.
            Some(until) if !self.slicing.is_dense() => {
                let mut brought = Vec::new();
                for (from, to) in self.slicing.sources(self.done_below, until) {
                    if from < to {
                        brought.extend(self.kept.bring_in_between(ground, from, Some(to))?);
                    }
                }
                brought
            }
            _ => self.kept.bring_in_all(ground)?,
        };
        brought.into_iter().for_each(|at| self.queue_up(at));
        Ok(())
    }

    /// Takes out the slices before `until` (`None`: all).
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn drop_before(&mut self, ground: Ground<'_>, until: Option<Timestamp>) -> Result<(), StorageError> {
        self.kept.take_ended(ground, until).map(drop)
    }

    /// Takes the changes of the interval out; they stay readable here.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.kept.take_changes()
    }

    /// See [`Sessions::shrink`].
    pub fn shrink(&mut self, limit_bytes: usize) {
        // What is queued and noted takes no more than what it is queued and noted of.
        let Some(moved) = self.kept.shrink(limit_bytes) else { return };
        let moved: BTreeMap<u32, u32> = moved.into_iter().collect();
        let number = |at: u32| moved.get(&at).copied();
        let changed = core::mem::take(&mut self.changed);
        self.changed = changed.into_iter().filter_map(|(mark, at)| Some((mark, number(at)?))).collect();
        self.due.clear();
        self.queued.clear();
        let held: Vec<u32> = self.kept.numbers().collect();
        held.into_iter().for_each(|at| self.queue_up(at));
    }

    /// A key's slices, in order.
    pub(crate) fn of(&self, at: u32) -> &[Session] {
        self.kept.of(at)
    }
}
