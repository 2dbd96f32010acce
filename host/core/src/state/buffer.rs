//! A task's records of two streams that wait for partners, by side and key in order of time and of arrival, and by side in order of
//! time alone, for those whose windows close.
//!
//! As in [`super::store`], reads see what the open interval wrote, then what is held in memory, then the database, and nothing is
//! written here. All waiting records of a key's side are held together, once the key is asked for. Which records meet, and
//! when windows close, is not decided here.

use alloc::collections::vec_deque::Iter;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::CHANGE_BYTES;
use super::key::{self, StoreKind};
use super::keyspace::{Scan, StorageError};
use super::store::{Change, Ground};
use super::waiting;
use crate::record::Timestamp;
use crate::time::NEVER;

/// A key, with its window in front where keys have one.
pub(crate) type Who = Arc<[u8]>;

/// What takes records: time and value.
pub(crate) type Take<'t, E> = dyn FnMut(Timestamp, &[u8]) -> Result<(), E> + 't;

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Left = 0,
    Right = 1,
}

impl Side {
    /// The side that a record of this one meets.
    pub fn other(self) -> Self {
        if self == Side::Left { Side::Right } else { Side::Left }
    }
}

/// What a record costs beside its bytes and those of its key, estimated: it stands in a row and in a tree.
const RECORD_BYTES: usize = 112;

/// Which of a side's records: key, time, number among those of the key at that time.
type Id = (Who, Timestamp, u32);

/// A record, or that there is none any more.
#[derive(Clone, Debug)]
struct Held {
    time: Timestamp,
    number: u32,
    /// As stored; `None`: it is gone.
    record: Option<Vec<u8>>,
    /// The database has it, or an interval on its way there.
    stored: bool,
    /// Changed since changes were taken last.
    dirty: bool,
}

/// The records of a key.
#[derive(Clone, Debug, Default)]
struct Line {
    /// All that the database has are held.
    whole: bool,
    /// In order of time and number.
    held: VecDeque<Held>,
}

impl Line {
    fn place(&self, time: Timestamp, number: u32) -> Result<usize, usize> {
        self.held.binary_search_by_key(&(time, number), |held| (held.time, held.number))
    }
}

/// The records of a side.
#[derive(Clone, Debug, Default)]
struct Half {
    lines: BTreeMap<Who, Line>,
    /// Those of the held that are there, in order of time.
    times: BTreeSet<(Timestamp, Who, u32)>,
    /// The database may have records that are not held, and none of them is older than this.
    outside: Option<Timestamp>,
}

/// A record whose window has closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub time: Timestamp,
    pub who: Who,
    pub number: u32,
    /// As stored, where it has met no partner and comes out alone.
    pub alone: Option<Vec<u8>>,
}

/// A task's waiting records of one join.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    halves: [Half; 2],
    /// Changed in the open interval.
    dirty: Vec<(Side, Id)>,
    /// Nothing was there any more when changes were taken.
    vacant: Vec<(Side, Id)>,
    bytes: usize,
    /// Of what has changed in the open interval, with what each change costs.
    changed_bytes: usize,
}

impl Buffer {
    /// Opens a store: looks up when the records of the database begin.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open(ground: Ground<'_>) -> Result<Self, StorageError> {
        let mut new = Self::default();
        new.halves[0].outside = first_from(ground, Side::Left, NEVER)?;
        new.halves[1].outside = first_from(ground, Side::Right, NEVER)?;
        Ok(new)
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        self.changed_bytes
    }

    /// A time before which no record of a side is; `None`: there is none.
    pub(crate) fn not_before(&self, side: Side) -> Option<Timestamp> {
        let half = &self.halves[side as usize];
        half.times.first().map(|first| first.0).into_iter().chain(half.outside).min()
    }

    /// Gives the records of a key's side from a time up to another, both included, in order of time and arrival: time and value. From
    /// now on they have met a partner. Whether there is any.
    ///
    /// # Errors
    /// Those of the database and of `take`.
    pub(crate) fn meet<E: From<StorageError>>(
        &mut self,
        ground: Ground<'_>,
        side: Side,
        who: &[u8],
        (from, to): (Timestamp, Timestamp),
        take: &mut Take<'_, E>,
    ) -> Result<bool, E> {
        self.load(ground, side, who)?;
        let half = &mut self.halves[side as usize];
        let Some((own, _)) = half.lines.get_key_value(who) else { return Ok(false) };
        let own = own.clone();
        let Some(line) = half.lines.get_mut(who) else { return Ok(false) };
        let first = line.held.partition_point(|held| held.time < from);
        let mut any = false;
        for held in line.held.range_mut(first..).take_while(|held| held.time <= to) {
            let Some(record) = &mut held.record else { continue };
            let waiting = waiting::open(record).ok_or_else(unknown)?;
            take(held.time, waiting.value)?;
            any = true;
            if waiting.pending {
                waiting::meet(record);
                if !held.dirty {
                    held.dirty = true;
                    self.changed_bytes += CHANGE_BYTES + own.len() + record.len();
                    self.dirty.push((side, (own.clone(), held.time, held.number)));
                }
            }
        }
        Ok(any)
    }

    /// Adds a record as [`waiting::form`] made it, behind those of its key that are as old.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn add(
        &mut self,
        ground: Ground<'_>,
        side: Side,
        who: &[u8],
        time: Timestamp,
        record: Vec<u8>,
    ) -> Result<(), StorageError> {
        self.load(ground, side, who)?;
        let half = &mut self.halves[side as usize];
        let own: Who = half.lines.get_key_value(who).map_or_else(|| who.into(), |(own, _)| own.clone());
        let line = half.lines.entry(own.clone()).or_insert(Line { whole: true, held: VecDeque::new() });
        let at = line.held.partition_point(|held| held.time <= time);
        let before = at.checked_sub(1).map(|before| &line.held[before]).filter(|before| before.time == time);
        let number = before.map_or(Some(0), |before| before.number.checked_add(1));
        let number =
            number.ok_or_else(|| StorageError::Corrupted("too many records of a key at one time".to_string()))?;
        self.bytes += RECORD_BYTES + own.len() + record.len();
        self.changed_bytes += CHANGE_BYTES + own.len() + record.len();
        line.held.insert(at, Held { time, number, record: Some(record), stored: false, dirty: true });
        half.times.insert((time, own.clone(), number));
        self.dirty.push((side, (own, time, number)));
        Ok(())
    }

    /// Takes the records of a side out that are older than `below`, in order of time, key and arrival.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn end(&mut self, ground: Ground<'_>, side: Side, below: Timestamp) -> Result<Vec<Ended>, StorageError> {
        let mut ended = self.end_outside(ground, side, below)?;
        let from_outside = ended.len();
        while let Some(first) = self.halves[side as usize].times.first().filter(|first| first.0 < below).cloned() {
            let (time, who, number) = first.clone();
            let half = &mut self.halves[side as usize];
            half.times.remove(&first);
            let Some(line) = half.lines.get_mut(&who) else { continue };
            let Ok(at) = line.place(time, number) else { continue };
            let held = &mut line.held[at];
            let record = held.record.take().unwrap_or_default();
            self.bytes -= RECORD_BYTES + who.len() + record.len();
            if held.stored {
                self.bytes += RECORD_BYTES + who.len();
                if !held.dirty {
                    held.dirty = true;
                    self.changed_bytes += CHANGE_BYTES + who.len();
                    self.dirty.push((side, (who.clone(), time, number)));
                }
            } else {
                // It came in this interval, and is not written at all.
                self.changed_bytes -= CHANGE_BYTES + who.len() + record.len();
                line.held.remove(at);
                half.leave(&who);
            }
            let alone = waiting::is_pending(&record).then_some(record);
            ended.push(Ended { time, who, number, alone });
        }
        if from_outside > 0 {
            ended.sort_by(|a, b| (a.time, &a.who, a.number).cmp(&(b.time, &b.who, b.number)));
        }
        Ok(ended)
    }

    /// The same of those that only the database has.
    fn end_outside(&mut self, ground: Ground<'_>, side: Side, below: Timestamp) -> Result<Vec<Ended>, StorageError> {
        let half = &mut self.halves[side as usize];
        let Some(from) = half.outside.filter(|from| *from < below) else { return Ok(Vec::new()) };
        let start = key::waiting_from(ground.prefix, side as u8, from);
        let stop = key::waiting_from(ground.prefix, side as u8, below);
        let (mut found, mut failed) = (Vec::new(), false);
        ground.db.scan(ground.space, &start, Some(&stop), &mut |whole, pending| {
            match key::split_waiting_time(&whole[ground.prefix.len()..]) {
                Some((_, who, time, number)) => found.push((Who::from(who), time, number, pending == [1])),
                None => failed = true,
            }
            Scan::Continue
        })?;
        if failed {
            return Err(unknown());
        }
        let mut ended = Vec::new();
        for (who, time, number, pending) in found {
            let line = half.lines.entry(who.clone()).or_default();
            // What is held is newer.
            let Err(at) = line.place(time, number) else { continue };
            let mut alone = None;
            if pending {
                let whole = key::waiting(ground.prefix, side as u8, &who, time, number);
                alone = Some(ground.db.get(ground.space, &whole)?.ok_or_else(unknown)?);
            }
            line.held.insert(at, Held { time, number, record: None, stored: true, dirty: true });
            self.bytes += RECORD_BYTES + who.len();
            self.changed_bytes += CHANGE_BYTES + who.len();
            self.dirty.push((side, (who.clone(), time, number)));
            ended.push(Ended { time, who, number, alone });
        }
        half.outside = first_from(ground, side, below)?;
        Ok(ended)
    }

    /// Reads all records of a key's side that the database has, unless they are held.
    fn load(&mut self, ground: Ground<'_>, side: Side, who: &[u8]) -> Result<(), StorageError> {
        let half = &mut self.halves[side as usize];
        if half.outside.is_none() || half.lines.get(who).is_some_and(|line| line.whole) {
            return Ok(());
        }
        let start = key::waiting_of(ground.prefix, side as u8, who);
        let stop = key::successor(&start);
        let (mut found, mut failed) = (Vec::new(), false);
        ground.db.scan(ground.space, &start, stop.as_deref(), &mut |whole, record| {
            match key::split_waiting(&whole[ground.prefix.len()..]) {
                Some((_, _, time, number)) => found.push((time, number, record.to_vec())),
                None => failed = true,
            }
            Scan::Continue
        })?;
        if failed {
            return Err(unknown());
        }
        if found.is_empty() && !half.lines.contains_key(who) {
            return Ok(());
        }
        let own: Who = half.lines.get_key_value(who).map_or_else(|| who.into(), |(own, _)| own.clone());
        let line = half.lines.entry(own.clone()).or_default();
        line.whole = true;
        for (time, number, record) in found {
            let Err(at) = line.place(time, number) else { continue };
            self.bytes += RECORD_BYTES + own.len() + record.len();
            line.held.insert(at, Held { time, number, record: Some(record), stored: true, dirty: false });
            half.times.insert((time, own.clone(), number));
        }
        Ok(())
    }

    /// Takes the changes of the interval out; they stay readable here.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.dirty.len());
        self.changed_bytes = 0;
        for (side, (who, time, number)) in self.dirty.drain(..) {
            let Some(line) = self.halves[side as usize].lines.get_mut(&who) else { continue };
            let Ok(at) = line.place(time, number) else { continue };
            let held = &mut line.held[at];
            if !core::mem::take(&mut held.dirty) {
                continue;
            }
            let whole = key::waiting(b"", side as u8, &who, time, number);
            match &held.record {
                Some(record) => changes.push(Change::Put(whole, record.clone())),
                None => {
                    changes.push(Change::Delete(whole));
                    self.vacant.push((side, (who, time, number)));
                }
            }
            held.stored = held.record.is_some();
        }
        changes
    }

    /// Lets go of those that are no more and, when more than `limit_bytes` are held, of what the database has. Only right when
    /// every change that was taken has been committed.
    pub fn shrink(&mut self, limit_bytes: usize) {
        for (side, (who, time, number)) in core::mem::take(&mut self.vacant) {
            let half = &mut self.halves[side as usize];
            let Some(line) = half.lines.get_mut(&who) else { continue };
            let Ok(at) = line.place(time, number) else { continue };
            if !line.held[at].dirty && line.held[at].record.is_none() {
                line.held.remove(at);
                self.bytes -= RECORD_BYTES + who.len();
                half.leave(&who);
            }
        }
        if self.bytes > limit_bytes {
            self.halves.iter_mut().for_each(Half::let_go);
            self.bytes = self.halves.iter().map(Half::bytes).sum();
        }
    }
}

impl Half {
    /// Forgets a key that has nothing held.
    fn leave(&mut self, who: &[u8]) {
        if self.lines.get(who).is_some_and(|line| line.held.is_empty()) {
            self.lines.remove(who);
        }
    }

    /// Lets go of what the database has.
    fn let_go(&mut self) {
        for (who, line) in &mut self.lines {
            for held in line.held.iter().filter(|held| !held.dirty && held.record.is_some()) {
                self.outside = Some(self.outside.map_or(held.time, |first| first.min(held.time)));
                self.times.remove(&(held.time, who.clone(), held.number));
                line.whole = false;
            }
            line.held.retain(|held| held.dirty || held.record.is_none());
        }
        self.lines.retain(|_, line| !line.held.is_empty());
    }

    fn bytes(&self) -> usize {
        let cost =
            |held: Iter<'_, Held>| held.map(|h| RECORD_BYTES + h.record.as_ref().map_or(0, Vec::len)).sum::<usize>();
        self.lines.iter().map(|(who, line)| who.len() * line.held.len() + cost(line.held.iter())).sum()
    }
}

fn unknown() -> StorageError {
    StorageError::Corrupted("a stored record of a join has a form this version does not know".to_string())
}

/// The time of the first record of a side that the database has and that is not older than `from`.
fn first_from(ground: Ground<'_>, side: Side, from: Timestamp) -> Result<Option<Timestamp>, StorageError> {
    let start = key::waiting_from(ground.prefix, side as u8, from);
    let stop = key::successor(&[ground.prefix, &[StoreKind::WaitingTime as u8, side as u8]].concat());
    let mut found = None;
    ground.db.scan(ground.space, &start, stop.as_deref(), &mut |whole, _| {
        found = key::split_waiting_time(&whole[ground.prefix.len()..]).map(|(_, _, time, _)| time);
        Scan::Stop
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests;
