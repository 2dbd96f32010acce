//! Rows of a table: changes are written into its store in order, each with what the row was before.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::Cx;
use super::super::aggregate::ground;
use crate::error::Verdict;
use crate::flow::{Flow, Olds};
use crate::limits::Refusal;
use crate::state::key::windowed_group;
use crate::state::keyspace::StorageError;
use crate::state::store::{Ahead, Ground, Store, hash};
use crate::state::value::State;
use crate::time::NEVER;
use crate::topology::graph::Node;

/// Bytes that a stored row and its key take besides, at the most: kind and bounds of windows; form, layout, timestamp.
pub(crate) const STORED_BYTES: usize = 17 + 14;

/// Where rows stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    /// Number of the store within the sub-topology.
    pub store: usize,
    /// Whether keys have a window, which then is part of the row's key.
    pub by_window: bool,
}

/// What becomes of the removal of a row that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It flows on, as it does from Kafka Streams' source tables.
    Told,
    /// Nothing has changed.
    Untold,
}

/// The key of a record's row in the store.
#[inline]
pub(crate) fn row_key(by_window: bool, flow: &Flow, i: usize) -> Cow<'_, [u8]> {
    let key = flow.batch.keys.get(i).unwrap_or_default();
    if !by_window {
        return Cow::Borrowed(key);
    }
    let (start, end) = flow.window(i).unwrap_or((NEVER, NEVER));
    Cow::Owned(windowed_group(key, start, end))
}

/// Reads the rows that records have for their keys together, where they are not in memory.
pub(crate) fn read_ahead(
    store: &mut Store,
    ground: Ground<'_>,
    by_window: bool,
    flow: &Flow,
) -> Result<(), StorageError> {
    if !store.reads() {
        return Ok(());
    }
    let mut ahead = Ahead::default();
    for i in (0..flow.len()).filter(|i| !flow.batch.keys.is_null(*i)) {
        store.want(ground, None, &row_key(by_window, flow, i), &mut ahead);
    }
    store.read_ahead(ground, ahead)
}

/// Writes changes, all of which have a key; gives them with what was before. A row that its changelog would not take stays as
/// it was, and what it was to be goes where `on-error` says.
pub(crate) fn write(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    into: Rows,
    store: &mut Store,
    flow: &Flow,
    absent: Absent,
) -> Result<Flow, Verdict> {
    let (ground, limits) = (ground(cx, into.store), cx.sub.stores[into.store].limits);
    read_ahead(store, ground, into.by_window, flow)?;
    let (mut old, mut refused) = (Olds::default(), Vec::new());
    let mut told: Vec<u32> = Vec::with_capacity(flow.len());
    for i in 0..flow.len() {
        let (key, value) = (row_key(into.by_window, flow, i), flow.batch.values.get(i));
        if let Some((max, value)) = limits.record_bytes_max.zip(value) {
            let bytes = limits.record_bytes(key.len() + value.len() + STORED_BYTES, []);
            if bytes > max {
                refused.push((i, Refusal::TooLarge { bytes, max }));
                continue;
            }
        }
        let slot = store.locate(ground, None, hash(&key), &key)?;
        let entry = store.entry(slot).1;
        let was = entry.state().map(|value| (value, entry.timestamp));
        if value.is_some() || was.is_some() || absent == Absent::Told {
            old.push(was);
            told.push(i as u32);
        }
        if value.is_some() || was.is_some() {
            let state = value.map_or(State::Absent, State::new);
            store.set(slot, 0, flow.batch.timestamps[i], state);
        }
    }
    for (i, refusal) in refused {
        let message = alloc::format!("the changelog of the table: {refusal}");
        cx.refuse(node, None, flow, i, refusal.reason(), &message)?;
    }
    let changes = super::changes(flow, into.by_window, &told);
    Ok(Flow { old: Some(Arc::new(old)), ..changes })
}
