//! What leaves an aggregate: states become values, by the function's `finish` or as they are, and values become results.
//! Which groups leave and when is not decided here.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

use super::isolate::{self, Isolation, Work};
use super::{Cx, bad_result};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{DERIVED, Flow, NO_ROW, Windows};
use crate::function::{Answer, Fault, Functions, Groups};
use crate::record::{BatchBuilder, BytesColumn, Timestamp};
use crate::time::NEVER;
use crate::topology::graph::{AggregateNode, Node};
use crate::topology::spec::{CountFormat, Fold};

/// A group of which something leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving<'s> {
    /// The row that set it off.
    pub row: u32,
    /// Its key, without a window.
    pub key: &'s [u8],
    /// Start and end of its window.
    pub window: Option<(Timestamp, Timestamp)>,
    /// `None`: it is gone.
    pub state: Option<&'s [u8]>,
    /// The largest timestamp of its records.
    pub timestamp: Timestamp,
    /// Whether it was there when results came out last.
    pub was: bool,
}

/// Results of groups that have changed; a group that is gone and was there before leaves a tombstone.
pub(crate) fn updates(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    changed: &[Leaving<'_>],
    results: &mut Results,
) -> Result<(), Verdict> {
    for run in changed.chunk_by(|a, b| a.state.is_some() == b.state.is_some()) {
        if run[0].state.is_some() {
            finals(cx, node, aggregate, run, results)?;
            continue;
        }
        run.iter().filter(|group| group.was).for_each(|group| results.push(group, None));
    }
    Ok(())
}

/// Results of groups that are there.
pub(crate) fn finals(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    groups: &[Leaving<'_>],
    results: &mut Results,
) -> Result<(), Verdict> {
    let finishes = matches!(aggregate.spec.fold, Fold::Aggregate { .. } | Fold::Cogroup { .. });
    if let (true, Some(function)) = (finishes, aggregate.function) {
        let prepared = cx.active[function].prepared;
        let tombstones = aggregate.of_table;
        let mut work = Finishing { cx, node, function, groups, results, tombstones };
        return isolate::run(&mut work, &node.name, prepared, groups.len());
    }
    let mut text = String::new();
    for group in groups {
        let mut value = group.state;
        if aggregate.spec.fold == Fold::Count(CountFormat::Text) {
            let number = value.and_then(|v| v.try_into().ok()).map_or(0, i64::from_be_bytes);
            text.clear();
            let _ = write!(text, "{number}");
            value = Some(text.as_bytes());
        }
        results.push(group, value);
    }
    Ok(())
}

struct Finishing<'w, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    node: &'w Node,
    function: usize,
    groups: &'w [Leaving<'w>],
    results: &'w mut Results,
    /// Results are rows of a table.
    tombstones: bool,
}

impl Work for Finishing<'_, '_, '_> {
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
        for group in &self.groups[from..to] {
            keys.push(Some(group.key));
            states.push(group.state);
            if let Some((start, end)) = group.window {
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
        for (i, group) in self.groups[from..to].iter().enumerate() {
            // Null: the function says that nothing leaves, or, of a table, that there is no row.
            let value = values.get(i);
            if value.is_some() || self.tombstones {
                self.results.push(group, value);
            }
        }
        Ok(to - from)
    }

    /// No record is to blame: the dead letter carries the group's key and its state, with its window in the headers.
    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        let mut group = Results::default();
        group.push(&Leaving { row: NO_ROW, ..self.groups[at] }, self.groups[at].state);
        let flow = group.flow(self.cx.empty);
        let message = format!("`finish` of {}: {fault}", describe(&flow));
        self.cx.refuse(self.node, Some(self.function), &flow, 0, Reason::Poisoned, &message)
    }
}

fn describe(group: &Flow) -> String {
    let key = String::from_utf8_lossy(group.batch.keys.get(0).unwrap_or_default()).into_owned();
    match group.window(0) {
        Some((start, end)) => format!("key {key:?} in the window {start}..{end}"),
        None => format!("key {key:?}"),
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
    pub fn push(&mut self, group: &Leaving<'_>, value: Option<&[u8]>) {
        self.batch.get_or_insert_default().push(Some(group.key), value, group.timestamp, []);
        self.rows.push(group.row | DERIVED);
        let (start, end) = group.window.unwrap_or((NEVER, NEVER));
        self.any_window |= start != NEVER;
        self.windows.starts.push(start);
        self.windows.ends.push(end);
    }

    /// All of them; `empty` where there is none.
    pub fn flow(self, empty: &Flow) -> Flow {
        let Some(batch) = self.batch else { return empty.clone() };
        let windows = self.any_window.then(|| Arc::new(self.windows));
        Flow { batch: batch.finish(), rows: Some(Arc::new(self.rows)), windows, ..Flow::default() }
    }
}
