//! Windows that are put together from slices, for whoever asks beside the engine: by key, then by window, each merged when it is told. A
//! window that has closed is not told, although slices of it may be there still, for later ones.
//!
//! Windows overlap, so a key may have many times as many of them as it has slices. All slices of a key are read for each answer that it is
//! in; windows are put together as the budget of the answer goes.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Budget, Calls, Ground, Page, QueryError, Row, What};
use crate::function::Functions;
use crate::operator::slice::merge::{self, Apart};
use crate::record::Timestamp;
use crate::slicing::Slicing;
use crate::state::key;
use crate::state::keyspace::{Scan, StorageError};
use crate::state::sessions::{Session, Sessions, session};
use crate::state::slices::Slices;
use crate::state::value::State;
use crate::time::NEVER;

/// A question.
pub(super) struct Asked<'w> {
    pub ground: &'w Ground<'w>,
    pub slicing: Slicing,
    pub what: What<'w>,
    /// The first place behind the answer.
    pub end: Option<&'w [u8]>,
}

/// Where a window stands: its key, its mark behind it.
fn place(key: &[u8], mark: Timestamp) -> Vec<u8> {
    [&key::sessions_of(b"", key)[..], &key::ordered(mark)].concat()
}

/// Splits what [`place`] made.
fn split_place(place: &[u8]) -> Option<(Vec<u8>, Timestamp)> {
    let (of_key, mark) = place.split_last_chunk::<8>()?;
    Some((key::split_sessions_of(of_key)?, key::unordered(*mark)))
}

impl Asked<'_> {
    /// Answers from a place on.
    pub fn go(
        &self,
        from: Vec<u8>,
        budget: &mut Budget,
        mut calls: Option<&mut Calls<'_>>,
    ) -> Result<Page, QueryError> {
        let (mut page, mut at) = (Page::default(), Some(from));
        while let Some(from) = at.take() {
            let (key, mark) = match split_place(&from) {
                Some(place) => place,
                None => match self.key_from(&from)? {
                    Some(key) => (key, NEVER),
                    None => break,
                },
            };
            if budget.is_spent() {
                page.next = Some(from);
                break;
            }
            budget.looks -= 1;
            at = self.of_key(&key, mark, budget, &mut calls, &mut page)?;
        }
        Ok(page)
    }

    /// The first key that has a slice at a place or behind it.
    fn key_from(&self, from: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let (ground, mut found) = (self.ground, None);
        let end = self.end.map_or_else(|| key::successor(ground.prefix), |end| Some(ground.whole(end)));
        ground.view.scan(ground.space, &ground.whole(from), end.as_deref(), &mut |whole, _| {
            found = Some(key::split_session(&whole[ground.prefix.len()..]).map(|(key, ..)| key));
            Scan::Stop
        })?;
        found.map(|key| key.ok_or_else(strange)).transpose()
    }

    /// The windows of a key from a mark on, as far as the budget goes; where to go on.
    fn of_key(
        &self,
        key: &[u8],
        from: Timestamp,
        budget: &mut Budget,
        calls: &mut Option<&mut Calls<'_>>,
        page: &mut Page,
    ) -> Result<Option<Vec<u8>>, QueryError> {
        let all = self.slices(key, budget)?;
        let layout = all.last().map_or(0, |s| s.layout);
        let largest = all.iter().filter_map(|s| s.state.get()).map(<[u8]>::len).max().unwrap_or(0).max(1);
        let slices = Slices::to_look_at(Sessions::of_one(key, all), self.slicing);
        let mut next = self.window(&slices, self.first(from));
        while let Some(first) = next {
            if budget.is_spent() {
                return Ok(Some(place(key, first)));
            }
            // What is put together beyond the answer is put together in vain.
            let count =
                budget.rows.min(budget.looks).min((budget.bytes / largest).saturating_add(1)).min(merge::WINDOWS_MAX);
            let mut windows = Vec::with_capacity(count);
            while let Some(mark) = next.filter(|_| windows.len() < count) {
                windows.push((0, mark));
                next = mark.checked_add(1).and_then(|from| self.window(&slices, from));
            }
            budget.looks -= windows.len();
            let merged = self.merge(&slices, &windows, calls)?;
            for ((_, mark), (state, timestamp)) in windows.into_iter().zip(merged) {
                if budget.rows == 0 || budget.bytes == 0 {
                    return Ok(Some(place(key, mark)));
                }
                let Some(value) = state.get().map(<[u8]>::to_vec) else { continue };
                budget.rows -= 1;
                budget.bytes = budget.bytes.saturating_sub(key.len() + value.len());
                let window = Some(self.slicing.bounds(mark));
                page.rows.push(Row { key: key.to_vec(), window, timestamp, value, layout });
            }
        }
        Ok(key::successor(&key::sessions_of(b"", key)).filter(|next| self.end.is_none_or(|end| &next[..] < end)))
    }

    fn slices(&self, key: &[u8], budget: &mut Budget) -> Result<Vec<Session>, StorageError> {
        let ground = self.ground;
        let from = ground.whole(&key::sessions_of(b"", key));
        let (to, mut all, mut failed) = (key::successor(&from), Vec::new(), false);
        ground.view.scan(ground.space, &from, to.as_deref(), &mut |whole, value| {
            match session(&whole[ground.prefix.len()..], value) {
                Some(slice) => all.push(slice),
                None => failed = true,
            }
            if failed { Scan::Stop } else { Scan::Continue }
        })?;
        budget.looks = budget.looks.saturating_sub(all.len()).max(1);
        if failed { Err(strange()) } else { Ok(all) }
    }

    /// The least mark that an answer from a mark on may have.
    fn first(&self, from: Timestamp) -> Timestamp {
        let open = self.slicing.closed_below(self.ground.closed);
        from.max(open).max(self.slicing.mark_from(self.what.span().from))
    }

    /// The next window of a key that is in the answer.
    fn window(&self, slices: &Slices, from: Timestamp) -> Option<Timestamp> {
        let mark = self.slicing.next(slices.kept().of(0), |s| s.start, from)?;
        Some(mark).filter(|mark| self.slicing.bounds(*mark).0 <= self.what.span().to)
    }

    fn merge(
        &self,
        slices: &Slices,
        windows: &[(u32, Timestamp)],
        calls: &mut Option<&mut Calls<'_>>,
    ) -> Result<Vec<(State, Timestamp)>, QueryError> {
        let mut reads = 0;
        let by = match calls.as_deref_mut() {
            None => None,
            Some(Calls { functions, prepared, reduces }) => {
                reads = functions.layout(*prepared);
                Some((&mut **functions as &mut dyn Functions, *prepared, (!*reduces).then_some(reads)))
            }
        };
        merge::look(slices, self.slicing, windows, by).map_err(|why| match why {
            Apart::Storage(why) => QueryError::Storage(why),
            Apart::Layout(stored) => QueryError::Layout { stored, reads },
            Apart::Function(fault) => QueryError::Function(fault),
        })
    }
}

fn strange() -> StorageError {
    StorageError::Corrupted("a stored slice has a form this version does not know".to_string())
}

#[cfg(test)]
mod tests;
