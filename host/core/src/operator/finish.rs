//! What leaves an aggregate: states become values, by the function's `finish` or as they are, and values become results.
//! Which groups leave and when is not decided here.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

use super::aggregate::Step;
use super::fold::bounds;
use super::isolate::{self, Isolation, Work};
use super::{Cx, bad_result};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{DERIVED, Flow, NO_ROW, Windows};
use crate::function::{Answer, Fault, Functions, Groups};
use crate::record::{BatchBuilder, BytesColumn, Timestamp};
use crate::state::key::split_windowed_group;
use crate::state::store::Slot;
use crate::time::NEVER;
use crate::topology::graph::AggregateNode;
use crate::topology::spec::{CountFormat, Fold};

/// Results of groups that have changed; a group that is gone and was there before leaves a tombstone.
pub(crate) fn updates(
    cx: &mut Cx<'_, '_>,
    step: &Step<'_>,
    changed: &[(u32, Slot)],
    results: &mut Results,
) -> Result<(), Verdict> {
    let every = step.aggregate.spec.emit_every_update;
    let there = |slot: Slot| step.state.store.entry(slot).1.state().is_some();
    for run in changed.chunk_by(|a, b| there(a.1) == there(b.1)) {
        if there(run[0].1) {
            finals(cx, step, run, results)?;
            continue;
        }
        for (row, slot) in run {
            let (key, entry) = step.state.store.entry(*slot);
            // After every update only groups that were there are told of; at an interval's end it is known here.
            if every || entry.was {
                results.push(*row, step.aggregate, *slot, key, None, entry.timestamp);
            }
        }
    }
    Ok(())
}

/// Results of groups that are there.
pub(crate) fn finals(
    cx: &mut Cx<'_, '_>,
    step: &Step<'_>,
    groups: &[(u32, Slot)],
    results: &mut Results,
) -> Result<(), Verdict> {
    if let (Fold::Aggregate { .. }, Some(function)) = (&step.aggregate.spec.fold, step.aggregate.function) {
        let prepared = cx.active[function].prepared;
        let mut work = Finishing { cx, step, function, groups, results };
        return isolate::run(&mut work, &step.node.name, prepared, groups.len());
    }
    let mut text = String::new();
    for (row, slot) in groups {
        let (key, entry) = step.state.store.entry(*slot);
        let mut value = entry.state();
        if step.aggregate.spec.fold == Fold::Count(CountFormat::Text) {
            let number = value.and_then(|v| v.try_into().ok()).map_or(0, i64::from_be_bytes);
            text.clear();
            let _ = write!(text, "{number}");
            value = Some(text.as_bytes());
        }
        results.push(*row, step.aggregate, *slot, key, value, entry.timestamp);
    }
    Ok(())
}

struct Finishing<'w, 's, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    step: &'w Step<'s>,
    function: usize,
    groups: &'w [(u32, Slot)],
    results: &'w mut Results,
}

impl Work for Finishing<'_, '_, '_, '_> {
    type Given = BytesColumn;

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<BytesColumn> {
        let (mut keys, mut states) =
            (BytesColumn::with_capacity(to - from, 0), BytesColumn::with_capacity(to - from, 0));
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for (_, slot) in &self.groups[from..to] {
            let (key, entry) = self.step.state.store.entry(*slot);
            keys.push(Some(own_key(self.step.aggregate, key)));
            states.push(entry.state());
            if let Some((start, end)) = bounds(self.step.aggregate, *slot, key) {
                starts.push(start);
                ends.push(end);
            }
        }
        let offsets = vec![0u32; to - from + 1];
        let groups =
            Groups { keys: &keys, starts: &starts, ends: &ends, states: &states, offsets: &offsets, members: &[] };
        let prepared = self.cx.active[self.function].prepared;
        let values = self.cx.ports.functions.finish(prepared, groups)?;
        if values.len() != to - from {
            return Err(bad_result(format!("`finish` gave {} values for {} groups", values.len(), to - from)));
        }
        Ok(values)
    }

    fn accept(&mut self, from: usize, to: usize, values: BytesColumn) -> Result<usize, Verdict> {
        for (i, (row, slot)) in self.groups[from..to].iter().enumerate() {
            // Null: the function says that nothing leaves.
            if let Some(value) = values.get(i) {
                let (key, entry) = self.step.state.store.entry(*slot);
                self.results.push(*row, self.step.aggregate, *slot, key, Some(value), entry.timestamp);
            }
        }
        Ok(to - from)
    }

    /// No record is to blame: the dead letter carries the group's key and its state, with its window in the headers.
    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        let (_, slot) = self.groups[at];
        let (key, entry) = self.step.state.store.entry(slot);
        let mut group = Results::default();
        group.push(NO_ROW, self.step.aggregate, slot, key, entry.state(), entry.timestamp);
        let flow = group.flow(self.cx.empty);
        let message = format!("`finish` of {}: {fault}", describe(&flow));
        self.cx.refuse(self.step.node, Some(self.function), &flow, 0, Reason::Poisoned, &message)
    }
}

fn describe(group: &Flow) -> String {
    let key = String::from_utf8_lossy(group.batch.keys.get(0).unwrap_or_default()).into_owned();
    match group.window(0) {
        Some((start, end)) => format!("key {key:?} in the window {start}..{end}"),
        None => format!("key {key:?}"),
    }
}

/// A group's key without its window.
fn own_key<'k>(aggregate: &AggregateNode, key: &'k [u8]) -> &'k [u8] {
    match split_windowed_group(key) {
        Some((own, _, _)) if aggregate.by_window => own,
        _ => key,
    }
}

/// Results as they come out.
#[derive(Default)]
pub(crate) struct Results {
    batch: Option<BatchBuilder>,
    rows: Vec<u32>,
    windows: Windows,
    any_window: bool,
}

impl Results {
    fn push(
        &mut self,
        row: u32,
        aggregate: &AggregateNode,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
        time: Timestamp,
    ) {
        self.batch.get_or_insert_default().push(Some(own_key(aggregate, key)), value, time, []);
        self.rows.push(row | DERIVED);
        let (start, end) = bounds(aggregate, slot, key).unwrap_or((NEVER, NEVER));
        self.any_window |= start != NEVER;
        self.windows.starts.push(start);
        self.windows.ends.push(end);
    }

    /// All of them; `empty` where there is none.
    pub fn flow(self, empty: &Flow) -> Flow {
        let Some(batch) = self.batch else { return empty.clone() };
        let windows = self.any_window.then(|| Arc::new(self.windows));
        Flow { batch: batch.finish(), rows: Some(Arc::new(self.rows)), windows, inputs: None }
    }
}
