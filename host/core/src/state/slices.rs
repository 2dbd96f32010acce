//! A task's store of slices, of which windows are put together: what [`super::sessions`] keeps, a slice being a session without
//! length, and besides which windows close next, which have changed, and what slices that lie together have been merged to.
//!
//! What a window is, and when it is closed, is not decided here (see [`crate::slicing`]).

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::keyspace::StorageError;
use super::sessions::{Fresh, Sessions};
use super::store::{Change, Ground};
use super::value::State;
use crate::function::Prepared;
use crate::record::Timestamp;
use crate::slicing::Slicing;

/// A window of a key: number of the key, mark of the window.
pub(crate) type Window = (u32, Timestamp);

/// Slices of a key that are merged before they are merged with others: all in `2^bits` of time from a multiple of that on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Block {
    pub start: Timestamp,
    pub bits: u32,
    pub key: u32,
}

impl Block {
    /// The block of all slices between two of a key, the two with them, with the time at which it is cut in two.
    pub fn of(key: u32, first: Timestamp, last: Timestamp) -> (Self, Timestamp) {
        let bits = (first ^ last).checked_ilog2().map_or(0, |bit| bit + 1);
        let half = bits.saturating_sub(1);
        (Self { start: last >> bits << bits, bits, key }, last >> half << half)
    }

    /// Whether all of it lies between two times, the two with them.
    pub fn lies_in(self, (first, last): (Timestamp, Timestamp)) -> bool {
        first <= self.start && self.last() <= last
    }

    fn last(self) -> Timestamp {
        self.start.saturating_add((1i64 << self.bits) - 1)
    }
}

/// What blocks have been merged to, so that windows that follow each other share it. It can be forgotten at any time.
#[derive(Clone, Debug, Default)]
struct Merged {
    states: HashMap<Block, State, FixedState>,
    /// By start, those that are gone too.
    order: BinaryHeap<Reverse<Block>>,
    /// The last timestamp of any block.
    until: Timestamp,
    /// The largest size of any, as in [`Block::bits`].
    bits: u32,
    /// The version of the function that has merged them.
    by: Option<Prepared>,
    bytes: usize,
}

/// What a merged block takes beside what its state has on the heap, bytes, estimated.
const BLOCK_BYTES: usize = 120;

impl Merged {
    fn keep(&mut self, block: Block, state: State) {
        self.until = self.until.max(block.last());
        self.bits = self.bits.max(block.bits);
        self.bytes += BLOCK_BYTES + state.heap_bytes();
        if let Some(old) = self.states.insert(block, state) {
            self.bytes -= BLOCK_BYTES + old.heap_bytes();
        }
        self.order.push(Reverse(block));
    }

    fn remove(&mut self, block: Block) {
        if let Some(old) = self.states.remove(&block) {
            self.bytes -= BLOCK_BYTES + old.heap_bytes();
        }
    }

    /// A slice is not what it was.
    fn changed(&mut self, key: u32, slice: Timestamp) {
        if self.states.is_empty() || slice > self.until {
            return;
        }
        for bits in 1..=self.bits {
            self.remove(Block { start: slice >> bits << bits, bits, key });
        }
    }

    /// Slices before this are gone.
    fn drop_before(&mut self, until: Timestamp) {
        while let Some(Reverse(first)) = self.order.peek().copied().filter(|first| first.0.start < until) {
            self.order.pop();
            self.remove(first);
        }
    }
}

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
    merged: Merged,
}

impl Slices {
    /// Opens a store. `closes`: windows come out when they close; `closed`: closing time up to which they did.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open(ground: Ground<'_>, slicing: Slicing, closes: bool, closed: Timestamp) -> Result<Self, StorageError> {
        let (kept, done_below) = (Sessions::open(ground)?, slicing.closed_below(closed));
        let (due, queued, changed, merged) = Default::default();
        Ok(Self { kept, slicing, closes, done_below, due, queued, changed, merged })
    }

    /// Slices that are there to be looked at, without a database.
    pub(crate) fn to_look_at(kept: Sessions, slicing: Slicing) -> Self {
        let (due, queued, changed, merged) = Default::default();
        Self { kept, slicing, closes: false, done_below: Timestamp::MIN, due, queued, changed, merged }
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
        self.kept.bytes() + self.merged.bytes + self.queued.len() * size_of::<Timestamp>() + windows
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        self.kept.changed_bytes()
    }

    /// The same, to find keys in: one that is read is found again, in the database, when a window of it is due.
    pub(crate) fn kept_mut(&mut self) -> &mut Sessions {
        &mut self.kept
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
        self.merged.changed(at, slice.start);
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
        self.merged.drop_before(until.unwrap_or(Timestamp::MAX));
        self.kept.take_ended(ground, until).map(drop)
    }

    /// Takes the changes of the interval out; they stay readable here.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.kept.take_changes()
    }

    /// See [`Sessions::shrink`].
    pub fn shrink(&mut self, limit_bytes: usize) {
        if self.bytes() > limit_bytes {
            self.merged = Merged::default();
        }
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

    /// What a block has been merged to by the version in force, if that is known.
    pub(crate) fn merged(&self, block: Block) -> Option<&State> {
        self.merged.states.get(&block)
    }

    /// Keeps what blocks have been merged to.
    pub(crate) fn keep_merged(&mut self, blocks: impl IntoIterator<Item = (Block, State)>) {
        blocks.into_iter().for_each(|(block, state)| self.merged.keep(block, state));
    }

    /// Forgets what another version of the function has merged.
    pub(crate) fn merge_by(&mut self, by: Option<Prepared>) {
        if self.merged.by != by {
            self.merged = Merged { by, ..Merged::default() };
        }
    }
}
