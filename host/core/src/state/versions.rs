//! What a row of a table with history is, and what it was when. The source of the rules is Kafka Streams' versioned store (KIP-889).
//!
//! ```text
//! put      Rome @10      Oslo @30      — @20         Bern @15       — : the row is deleted
//! row      Rome from 10  Oslo from 30  Oslo from 30  Oslo from 30
//! history                Rome 10..30   Rome 10..20   Rome 10..15
//!                                      —    20..30   Bern 15..20
//!                                                    —    20..30
//! ```
//!
//! Every version but the last is in the history: from when it began to when the next began, without gaps. The last one is the row, where there is
//! one. Where it was deleted last, the end of the last version says when; if it never was before, an empty version, which begins when it
//! ends, says so.
//!
//! What is older than the history is neither put nor found, so when versions that have ended before are let go changes nothing.

use alloc::vec::Vec;

use super::history::{Ended, History};
use super::keyspace::StorageError;
use super::store::{Ground, Store, hash};
use super::value::State;
use super::version::Version;
use crate::record::Timestamp;

/// A version: when it began, and what the row was, or that there was none.
pub(crate) type Was = (Timestamp, Option<Vec<u8>>);

/// What has come of a version that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    /// No other begins behind it: it is what the row is.
    pub is_latest: bool,
    /// What the row was, as the latest version had it, and since when.
    pub old: Option<(Vec<u8>, Timestamp)>,
    /// The version that began at the same time, which it has replaced: what the row was then, or that there was none.
    pub replaced: Option<Option<Vec<u8>>>,
}

/// The versions of a table's rows.
pub(crate) struct Versions<'s, 'g> {
    pub rows: &'s mut Store,
    pub history: &'s mut History,
    pub ground: Ground<'g>,
}

impl Versions<'_, '_> {
    /// Puts what a row is from a time on, until the next version begins.
    ///
    /// # Errors
    /// Those of the database; corrupted where something stored cannot be read.
    pub fn put(&mut self, who: &[u8], time: Timestamp, value: Option<&[u8]>) -> Result<Put, StorageError> {
        let slot = self.rows.locate(self.ground, None, hash(who), who)?;
        let entry = self.rows.entry(slot).1;
        let old = entry.state().map(|value| (value.to_vec(), entry.timestamp));
        let last = match &old {
            Some((_, since)) => Some(*since),
            None => self.history.ended_last(self.ground, who)?.map(|last| last.end),
        };
        let mut replaced = None;
        match last {
            Some(last) if time < last => {
                let replaced = self.put_between(who, time, last, value)?;
                return Ok(Put { is_latest: false, old, replaced });
            }
            Some(last) if time == last => {
                replaced = Some(old.as_ref().map(|(value, _)| value.clone()));
                if value.is_none() && self.history.ended_at(self.ground, who, last)?.is_none() {
                    self.history.set(who, last, Version { start: last, value: None });
                }
            }
            Some(last) => {
                let value = old.as_ref().map(|(value, _)| &value[..]);
                self.history.set(who, time, Version { start: last, value });
            }
            None if value.is_none() => self.history.set(who, time, Version { start: time, value }),
            None => {}
        }
        if value.is_some() || old.is_some() {
            self.rows.set(slot, 0, time, value.map_or(State::Absent, State::new));
        }
        Ok(Put { is_latest: true, old, replaced })
    }

    /// Puts a version before the last, which began at `last`; gives the one that it replaces.
    fn put_between(
        &mut self,
        who: &[u8],
        time: Timestamp,
        last: Timestamp,
        value: Option<&[u8]>,
    ) -> Result<Option<Option<Vec<u8>>>, StorageError> {
        let history = &mut *self.history;
        let found = history.ended_after(self.ground, who, time)?;
        let new = Version { start: time, value };
        let Some(Ended { version, end }) = found else {
            history.set(who, last, new);
            return Ok(None);
        };
        let (start, was) = (version.start, version.value.map(<[u8]>::to_vec));
        if start > time {
            // It comes before all others. One that is empty only says when the next began.
            history.set(who, start, new);
            return Ok(None);
        }
        if start < time {
            history.set(who, time, Version { start, value: was.as_deref() });
        }
        history.set(who, end, new);
        Ok((start == time).then_some(was))
    }

    /// The version of a row that was there at a time, where it is one of a row. `bound`: what began before it and had ended then is not
    /// known any more, so that only the latest is found before it. `undone`: versions that are taken as not put yet, by when they began, with
    /// what they replaced.
    ///
    /// # Errors
    /// As [`Versions::put`].
    pub fn as_of(
        &mut self,
        who: &[u8],
        time: Timestamp,
        bound: Timestamp,
        undone: &[(Timestamp, Option<Option<Vec<u8>>>)],
    ) -> Result<Option<(Vec<u8>, Timestamp)>, StorageError> {
        let mut found = self.latest_from(who, if time < bound { Timestamp::MAX } else { time })?;
        while let Some((start, value)) = &mut found {
            match undone.iter().find(|(began, _)| began == start) {
                None => break,
                Some((_, Some(was))) => {
                    value.clone_from(was);
                    break;
                }
                Some((start, None)) => found = self.before(who, *start)?,
            }
        }
        let found = found.filter(|(start, _)| *start <= time);
        Ok(found.and_then(|(start, value)| value.map(|value| (value, start))))
    }

    /// The version of a row that began last of those that began at a time or before.
    fn latest_from(&mut self, who: &[u8], time: Timestamp) -> Result<Option<Was>, StorageError> {
        let slot = self.rows.locate(self.ground, None, hash(who), who)?;
        let entry = self.rows.entry(slot).1;
        if let Some(value) = entry.state().filter(|_| entry.timestamp <= time) {
            return Ok(Some((entry.timestamp, Some(value.to_vec()))));
        }
        if entry.state().is_none()
            && let Some(last) = self.history.ended_last(self.ground, who)?
            && last.end <= time
        {
            return Ok(Some((last.end, None)));
        }
        let found = self.history.ended_after(self.ground, who, time)?;
        Ok(found.filter(|found| found.version.start <= time).map(owned))
    }

    /// The version of a row before the one that began at a time.
    fn before(&mut self, who: &[u8], start: Timestamp) -> Result<Option<Was>, StorageError> {
        let found = self.history.ended_at(self.ground, who, start)?;
        Ok(found.filter(|found| found.version.start < start).map(owned))
    }
}

fn owned(ended: Ended<'_>) -> Was {
    (ended.version.start, ended.version.value.map(<[u8]>::to_vec))
}

#[cfg(test)]
mod tests;
