//! What a record of a stream finds in a table: the row as it is when the record comes, or, where the table has history, as it was at the
//! record's time, as far as that has come.

use alloc::borrow::Cow;

use super::Side;
use super::moments::Moments;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::operator::Cx;
use crate::operator::aggregate::ground;
use crate::operator::table::{Past, row_key};
use crate::record::Timestamp;
use crate::state::store::Store;
use crate::state::versions::Versions;

/// A table that is looked up.
pub(super) enum Look<'s> {
    /// As it is.
    Now(Moments<'s>),
    /// As it was.
    Then(Then<'s>, bool),
}

impl<'s> Look<'s> {
    /// `records`: those that will be looked up for.
    pub fn new(cx: &Cx<'_, '_>, table: Side<'s>, by_window: bool, records: &Flow) -> Result<Self, Verdict> {
        let Side { flow, store, number, past } = table;
        match past {
            Some(past) => Ok(Look::Then(Then { store, number, past }, by_window)),
            None => {
                let mut moments = Moments::new(Side { flow, store, number, past: None }, by_window);
                moments.read_ahead(cx, records)?;
                Ok(Look::Now(moments))
            }
        }
    }

    /// The value for record `i` of `flow`, which has a key, behind all changes that came from rows below `row`.
    pub fn at(&mut self, cx: &Cx<'_, '_>, flow: &Flow, i: usize, row: u32) -> Result<Option<Cow<'_, [u8]>>, Verdict> {
        match self {
            Look::Now(moments) => Ok(moments.at(cx, flow, i, row)?.map(|(value, _)| Cow::Borrowed(value))),
            Look::Then(then, by_window) => {
                let found = then.at(cx, &row_key(*by_window, flow, i), flow.batch.timestamps[i], row)?;
                Ok(found.map(Cow::Owned))
            }
        }
    }
}

/// A table with history.
pub(super) struct Then<'s> {
    store: &'s mut Store,
    number: usize,
    past: &'s mut Past,
}

impl<'s> Then<'s> {
    /// `None`: the table has no history.
    pub fn of(table: Side<'s>) -> Option<Self> {
        let Side { store, number, past, .. } = table;
        past.map(|past| Self { store, number, past })
    }

    /// What a row was at a time, as far as that was known behind all changes that came from rows below `row`.
    pub fn at(
        &mut self,
        cx: &Cx<'_, '_>,
        who: &[u8],
        time: Timestamp,
        row: u32,
    ) -> Result<Option<alloc::vec::Vec<u8>>, Verdict> {
        let (bound, undone) = (self.past.bound_at(row), self.past.undone(who, row));
        let ground = ground(cx, self.number);
        let mut versions = Versions { rows: self.store, history: &mut self.past.history, ground };
        Ok(versions.as_of(who, time, bound, &undone)?.map(|(value, _)| value))
    }
}
