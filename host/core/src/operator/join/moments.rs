//! What a table had at a key at a moment within a batch. Its store is behind the batch already; what lies before is in the
//! changes themselves.

use alloc::vec::Vec;

use super::Side;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::operator::Cx;
use crate::operator::aggregate::ground;
use crate::operator::table::{read_ahead, row_key};
use crate::record::Timestamp;
use crate::state::store::hash;

/// The moments of a table in a batch.
pub(crate) struct Moments<'s> {
    side: Side<'s>,
    by_window: bool,
    /// Changes by the hash of their keys, in order.
    by_hash: Vec<(u64, u32)>,
}

impl<'s> Moments<'s> {
    pub fn new(side: Side<'s>, by_window: bool) -> Self {
        let flow = side.flow;
        let hashed = |i: usize| (hash(&row_key(by_window, flow, i)), i as u32);
        let mut by_hash: Vec<(u64, u32)> = (0..flow.len()).map(hashed).collect();
        by_hash.sort_unstable();
        Self { side, by_window, by_hash }
    }

    /// Reads what [`Moments::at`] will be asked for together.
    pub fn read_ahead(&mut self, cx: &Cx<'_, '_>, flow: &Flow) -> Result<(), Verdict> {
        Ok(read_ahead(self.side.store, ground(cx, self.side.number), self.by_window, flow)?)
    }

    /// Value and time of the row that has record `i` of `flow` for its key, behind all changes that came from rows below
    /// `row`; `None`: there is none.
    pub fn at(
        &mut self,
        cx: &Cx<'_, '_>,
        flow: &Flow,
        i: usize,
        row: u32,
    ) -> Result<Option<(&[u8], Timestamp)>, Verdict> {
        let key = row_key(self.by_window, flow, i);
        let (hash, changes) = (hash(&key), self.side.flow);
        let from = self.by_hash.partition_point(|(h, _)| *h < hash);
        let same = self.by_hash[from..].iter().take_while(|(h, _)| *h == hash).map(|(_, at)| *at as usize);
        let (mut last, mut next) = (None, None);
        for at in same.filter(|at| self.is_of(flow, i, *at)) {
            if changes.row(at) >= row {
                next = Some(at);
                break;
            }
            last = Some(at);
        }
        if let Some(at) = last {
            return Ok(changes.batch.values.get(at).map(|value| (value, changes.batch.timestamps[at])));
        }
        if let Some(at) = next {
            return Ok(changes.old.as_ref().and_then(|old| old.get(at)));
        }
        let slot = self.side.store.locate(ground(cx, self.side.number), None, hash, &key)?;
        let entry = self.side.store.entry(slot).1;
        Ok(entry.state().map(|value| (value, entry.timestamp)))
    }

    /// Whether a change is of the row that a record has for its key.
    fn is_of(&self, flow: &Flow, i: usize, at: usize) -> bool {
        let changes = self.side.flow;
        let window = |flow: &Flow, i: usize| if self.by_window { flow.window(i) } else { None };
        flow.batch.keys.get(i) == changes.batch.keys.get(at) && window(flow, i) == window(changes, at)
    }
}
