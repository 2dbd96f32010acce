//! What rows of a table with history were: versions that others have followed, by row and when they ended, and by when they ended alone, for
//! those that are let go. What the rows are stands in [`super::store`]; what comes between which, and what was when, is not decided here
//! but in [`super::versions`].
//!
//! As in [`super::store`], reads see what the open interval wrote, then what is held in memory, then the database, and nothing is written
//! here. The versions of a row are held together, once one is asked for.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::CHANGE_BYTES;
use super::key::{self, StoreKind};
use super::keyspace::{Scan, StorageError};
use super::store::{Change, Ground};
use super::version::{self, Version};
use crate::record::Timestamp;
use crate::time::NEVER;

/// Versions that one interval lets go at the most, of each table.
pub const VERSIONS_ENDED_MAX: usize = 4_096;

/// What a version costs beside its bytes and those of its key, estimated: it stands in a row and in a tree.
const HELD_BYTES: usize = 144;

/// The key of a row, with its window in front where it has one.
type Who = Arc<[u8]>;

/// A version that has ended, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended<'a> {
    pub version: Version<'a>,
    pub end: Timestamp,
}

/// A version, or that there is none any more.
#[derive(Clone, Debug)]
struct Held {
    /// As stored; `None`: it is gone.
    record: Option<Vec<u8>>,
    /// The database has it, or an interval on its way there.
    stored: bool,
    /// Changed since changes were taken last.
    dirty: bool,
}

/// The versions of a row, by when they ended.
#[derive(Clone, Debug, Default)]
struct Line {
    /// All that the database has are held.
    whole: bool,
    held: BTreeMap<Timestamp, Held>,
}

/// A task's versions of the rows of one table.
#[derive(Clone, Debug, Default)]
pub struct History {
    lines: BTreeMap<Who, Line>,
    /// Those of the held that are there, in order of time.
    ends: BTreeSet<(Timestamp, Who)>,
    /// The database may have versions that are not held, and none of them ended before this.
    outside: Option<Timestamp>,
    /// Changed in the open interval.
    dirty: Vec<(Who, Timestamp)>,
    /// Nothing was there any more when changes were taken.
    vacant: Vec<(Who, Timestamp)>,
    bytes: usize,
    /// Of what has changed in the open interval, with what each change costs.
    changed_bytes: usize,
}

impl History {
    /// Opens a store: looks up when the versions of the database begin to end.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open(ground: Ground<'_>) -> Result<Self, StorageError> {
        Ok(Self { outside: first_from(ground, NEVER)?, ..Self::default() })
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        self.changed_bytes
    }

    /// Of the versions of a row that ended after a time the one that ended first.
    ///
    /// # Errors
    /// Those of the database; corrupted where something stored cannot be read.
    pub(crate) fn ended_after(
        &mut self,
        ground: Ground<'_>,
        who: &[u8],
        time: Timestamp,
    ) -> Result<Option<Ended<'_>>, StorageError> {
        self.load(ground, who)?;
        let behind = (core::ops::Bound::Excluded(time), core::ops::Bound::Unbounded);
        let mut found = self.lines.get(who).into_iter().flat_map(|line| line.held.range(behind));
        found.find_map(|(end, held)| held.record.as_deref().map(|record| ended(*end, record))).transpose()
    }

    /// The version of a row that ended last.
    ///
    /// # Errors
    /// As [`History::ended_after`].
    pub(crate) fn ended_last(&mut self, ground: Ground<'_>, who: &[u8]) -> Result<Option<Ended<'_>>, StorageError> {
        self.load(ground, who)?;
        let mut found = self.lines.get(who).into_iter().flat_map(|line| line.held.iter().rev());
        found.find_map(|(end, held)| held.record.as_deref().map(|record| ended(*end, record))).transpose()
    }

    /// The version of a row that ended at a time.
    ///
    /// # Errors
    /// As [`History::ended_after`].
    pub(crate) fn ended_at(
        &mut self,
        ground: Ground<'_>,
        who: &[u8],
        end: Timestamp,
    ) -> Result<Option<Ended<'_>>, StorageError> {
        self.load(ground, who)?;
        let held = self.lines.get(who).and_then(|line| line.held.get(&end));
        held.and_then(|held| held.record.as_deref()).map(|record| ended(end, record)).transpose()
    }

    /// Sets what a row was until a time.
    pub(crate) fn set(&mut self, who: &[u8], end: Timestamp, version: Version<'_>) {
        let who = self.own(who);
        let whole = self.outside.is_none();
        let line = self.lines.entry(who.clone()).or_insert(Line { whole, held: BTreeMap::new() });
        let record = version.form();
        self.bytes += record.len();
        let change_bytes = CHANGE_BYTES + who.len() + record.len();
        match line.held.get_mut(&end) {
            Some(held) => {
                match held.record.replace(record) {
                    Some(before) => self.bytes -= before.len(),
                    None => drop(self.ends.insert((end, who.clone()))),
                }
                if !core::mem::replace(&mut held.dirty, true) {
                    self.dirty.push((who, end));
                    self.changed_bytes += change_bytes;
                }
            }
            None => {
                self.changed_bytes += change_bytes;
                self.bytes += HELD_BYTES + who.len();
                line.held.insert(end, Held { record: Some(record), stored: false, dirty: true });
                self.ends.insert((end, who.clone()));
                self.dirty.push((who, end));
            }
        }
    }

    /// Lets versions go that ended at a time or before, the earliest first, and so many at the most.
    ///
    /// # Errors
    /// As [`History::ended_after`].
    pub(crate) fn let_go(
        &mut self,
        ground: Ground<'_>,
        until: Timestamp,
        versions_max: usize,
    ) -> Result<(), StorageError> {
        let gone = self.let_go_outside(ground, until, versions_max)?;
        for _ in gone..versions_max {
            let Some(first) = self.ends.first().filter(|first| first.0 <= until).cloned() else { return Ok(()) };
            self.ends.remove(&first);
            let (end, who) = first;
            let Some(line) = self.lines.get_mut(&who) else { continue };
            let Some(held) = line.held.get_mut(&end) else { continue };
            self.bytes -= held.record.take().map_or(0, |record| record.len());
            if held.stored {
                if !core::mem::replace(&mut held.dirty, true) {
                    self.changed_bytes += CHANGE_BYTES + who.len();
                    self.dirty.push((who, end));
                }
            } else {
                line.held.remove(&end);
                self.bytes -= HELD_BYTES + who.len();
                self.leave(&who);
            }
        }
        Ok(())
    }

    /// The same of those that only the database has; gives how many. Nobody asks any more what they were.
    fn let_go_outside(
        &mut self,
        ground: Ground<'_>,
        until: Timestamp,
        versions_max: usize,
    ) -> Result<usize, StorageError> {
        let Some(from) = self.outside.filter(|from| *from <= until) else { return Ok(0) };
        let start = key::version_time(ground.prefix, from, b"");
        let stop = key::successor(&[ground.prefix, &[StoreKind::VersionTime as u8]].concat());
        let (mut found, mut next, mut failed) = (Vec::new(), None, false);
        ground.db.scan(ground.space, &start, stop.as_deref(), &mut |whole, _| {
            let Some((end, who)) = key::split_version_time(&whole[ground.prefix.len()..]) else {
                failed = true;
                return Scan::Stop;
            };
            if end > until || found.len() == versions_max {
                next = Some(end);
                return Scan::Stop;
            }
            // What is held is newer.
            if !self.lines.get(who).is_some_and(|line| line.held.contains_key(&end)) {
                found.push((end, Who::from(who)));
            }
            Scan::Continue
        })?;
        if failed {
            return Err(unknown());
        }
        self.outside = next;
        let gone = found.len();
        for (end, who) in found {
            let who = self.own(&who);
            self.bytes += HELD_BYTES + who.len();
            let line = self.lines.entry(who.clone()).or_default();
            line.held.insert(end, Held { record: None, stored: true, dirty: true });
            self.changed_bytes += CHANGE_BYTES + who.len();
            self.dirty.push((who, end));
        }
        Ok(gone)
    }

    /// Reads all versions of a row that the database has, unless they are held.
    fn load(&mut self, ground: Ground<'_>, who: &[u8]) -> Result<(), StorageError> {
        if self.outside.is_none() || self.lines.get(who).is_some_and(|line| line.whole) {
            return Ok(());
        }
        let start = key::versions_of(ground.prefix, who);
        let stop = key::successor(&start);
        let (mut found, mut failed) = (Vec::new(), false);
        ground.db.scan(ground.space, &start, stop.as_deref(), &mut |whole, record| {
            match key::split_version(&whole[ground.prefix.len()..]) {
                Some((_, end)) => found.push((end, record.to_vec())),
                None => failed = true,
            }
            Scan::Continue
        })?;
        if failed {
            return Err(unknown());
        }
        if found.is_empty() && !self.lines.contains_key(who) {
            return Ok(());
        }
        let who = self.own(who);
        let line = self.lines.entry(who.clone()).or_default();
        line.whole = true;
        for (end, record) in found {
            // What is held is newer.
            if line.held.contains_key(&end) {
                continue;
            }
            self.bytes += HELD_BYTES + who.len() + record.len();
            line.held.insert(end, Held { record: Some(record), stored: true, dirty: false });
            self.ends.insert((end, who.clone()));
        }
        Ok(())
    }

    fn own(&self, who: &[u8]) -> Who {
        self.lines.get_key_value(who).map_or_else(|| who.into(), |(own, _)| own.clone())
    }

    /// Forgets a row that has nothing held.
    fn leave(&mut self, who: &[u8]) {
        if self.lines.get(who).is_some_and(|line| line.held.is_empty()) {
            self.lines.remove(who);
        }
    }

    /// Takes the changes of the interval out; they stay readable here.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.dirty.len());
        self.changed_bytes = 0;
        for (who, end) in self.dirty.drain(..) {
            let Some(held) = self.lines.get_mut(&who).and_then(|line| line.held.get_mut(&end)) else { continue };
            if !core::mem::take(&mut held.dirty) {
                continue;
            }
            let whole = key::version(b"", &who, end);
            held.stored = held.record.is_some();
            match &held.record {
                Some(record) => changes.push(Change::Put(whole, record.clone())),
                None => {
                    changes.push(Change::Delete(whole));
                    self.vacant.push((who, end));
                }
            }
        }
        changes
    }

    /// Lets go of those that are no more and, when more than `limit_bytes` are held, of what the database has. Only right when
    /// every change that was taken has been committed.
    pub fn shrink(&mut self, limit_bytes: usize) {
        for (who, end) in core::mem::take(&mut self.vacant) {
            let Some(line) = self.lines.get_mut(&who) else { continue };
            if line.held.get(&end).is_some_and(|held| !held.dirty && held.record.is_none()) {
                line.held.remove(&end);
                self.bytes -= HELD_BYTES + who.len();
                self.leave(&who);
            }
        }
        if self.bytes <= limit_bytes {
            return;
        }
        for (who, line) in &mut self.lines {
            for (end, _) in line.held.iter().filter(|(_, held)| !held.dirty && held.record.is_some()) {
                self.outside = Some(self.outside.map_or(*end, |first| first.min(*end)));
                self.ends.remove(&(*end, who.clone()));
                line.whole = false;
            }
            line.held.retain(|_, held| held.dirty || held.record.is_none());
        }
        self.lines.retain(|_, line| !line.held.is_empty());
        let cost = |held: &Held| HELD_BYTES + held.record.as_ref().map_or(0, Vec::len);
        let of = |(who, line): (&Who, &Line)| line.held.values().map(|held| who.len() + cost(held)).sum::<usize>();
        self.bytes = self.lines.iter().map(of).sum();
    }
}

fn ended(end: Timestamp, record: &[u8]) -> Result<Ended<'_>, StorageError> {
    Ok(Ended { version: version::open(record).ok_or_else(unknown)?, end })
}

fn unknown() -> StorageError {
    StorageError::Corrupted("a stored version of a row has a form this version does not know".to_string())
}

/// When the first version ended that the database has and that did not end before `from`.
fn first_from(ground: Ground<'_>, from: Timestamp) -> Result<Option<Timestamp>, StorageError> {
    let start = key::version_time(ground.prefix, from, b"");
    let stop = key::successor(&[ground.prefix, &[StoreKind::VersionTime as u8]].concat());
    let mut found = None;
    ground.db.scan(ground.space, &start, stop.as_deref(), &mut |whole, _| {
        found = key::split_version_time(&whole[ground.prefix.len()..]).map(|(end, _)| end);
        Scan::Stop
    })?;
    Ok(found)
}
