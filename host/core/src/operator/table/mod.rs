//! Tables: records read as the latest value of each key by arrival, whatever their timestamps; a null value removes the row.
//! Filters and maps over tables are tables again, with rows of their own: what had been let through cannot be asked again of a
//! function that was swapped meanwhile.
//!
//! What flows on are changes: each with what the row is now and what it was. Which side of a join sees which change when is in
//! `join`.

mod history;
mod regroup;
mod write;

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Cx;
use super::stateless::{self, Noted, Rules, StreamTimes};
use crate::decode::Row;
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::record::{BatchBuilder, Timestamp};
use crate::state::store::{Change, Store};
use crate::topology::graph::{Node, TableNode, TableOf};
use crate::topology::spec::MapForm;

pub(crate) use history::Past;
pub(crate) use regroup::regroup;
pub(crate) use write::{Absent, Rows, read_ahead, row_key, write};

/// A table's state in a task.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The largest timestamp that its function was shown.
    pub observed: Timestamp,
    pub store: Store,
    /// Of a table with history.
    pub past: Option<Box<Past>>,
}

impl State {
    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        self.store.bytes() + self.past.as_ref().map_or(0, |past| past.history.bytes())
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        self.store.changed_bytes() + self.past.as_ref().map_or(0, |past| past.history.changed_bytes())
    }

    /// Lets go of what the database has, when the store holds more than `limit_bytes`.
    pub fn shrink(&mut self, limit_bytes: usize) {
        self.store.shrink(limit_bytes);
        self.past.iter_mut().for_each(|past| past.history.shrink(limit_bytes));
    }

    /// The changes of the interval.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = self.store.take_changes();
        self.past.iter_mut().for_each(|past| changes.extend(past.history.take_changes()));
        changes
    }
}

/// Takes records, or changes of another table, in; gives the changes that come of them. `rows`: what the rows of the polled
/// batch say of time. `ends`: an interval ends.
pub(crate) fn process(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    table: &TableNode,
    state: &mut State,
    flow: &Flow,
    rows: &[Row],
    ends: bool,
) -> Result<Flow, Verdict> {
    // Time may move without records.
    if flow.is_empty() && table.history.is_none() {
        return Ok(cx.empty.clone());
    }
    let made = made(cx, node, table, &mut state.observed, flow, rows)?;
    if let Some(history) = &table.history {
        return history::write(cx, (node, table, history), state, &made, rows, ends);
    }
    let into = Rows { store: table.store, by_window: table.by_window };
    let absent = match table.of {
        // The join has to hear of every row, also of those that have no foreign key and had none.
        TableOf::Stream | TableOf::ForeignKey { .. } => Absent::Told,
        TableOf::Filter { .. } | TableOf::MapValues { .. } => Absent::Untold,
    };
    write(cx, node, into, &mut state.store, &made, absent)
}

/// What rows become, as the step makes them.
fn made(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    table: &TableNode,
    observed: &mut Timestamp,
    flow: &Flow,
    rows: &[Row],
) -> Result<Flow, Verdict> {
    if flow.is_empty() {
        return Ok(flow.clone());
    }
    let Some(function) = table.of.function() else { return Ok(keyed(cx, node, flow)) };
    let wanted = cx.ports.functions.wants_stream_times(cx.active[function].prepared);
    let times = StreamTimes { wanted, observed, rows };
    match table.of {
        TableOf::Filter { negate, .. } => filtered(cx, node, function, !negate, flow, times),
        TableOf::ForeignKey { .. } => mapped(cx, node, function, MapForm::SelectKey, flow, times),
        TableOf::MapValues { .. } | TableOf::Stream => mapped(cx, node, function, MapForm::MapValues, flow, times),
    }
}

/// The changes at these places, for a table to say what its rows were before.
fn changes(flow: &Flow, by_window: bool, told: &[u32]) -> Flow {
    // Where keys have no windows by the plan, one that a map happened to leave as it was has none either.
    let windows = flow.windows.clone().filter(|_| by_window);
    Flow { windows, inputs: None, old: None, ..flow.clone() }.gather(told)
}

/// The records that have a key; the others leave.
fn keyed(cx: &mut Cx<'_, '_>, node: &Node, flow: &Flow) -> Flow {
    let keys = &flow.batch.keys;
    if !(0..flow.len()).any(|i| keys.is_null(i)) {
        return flow.clone();
    }
    let (mut with, len) = (Vec::with_capacity(flow.len()), flow.len() as u32);
    with.extend((0..len).filter(|i| !keys.is_null(*i as usize)));
    (with.len()..flow.len()).for_each(|_| cx.out.dropped(&node.name, Reason::NullKey));
    flow.gather(&with)
}

/// Places of the changes that leave a row: a row that is gone is not shown to a function.
fn shown(flow: &Flow) -> Vec<u32> {
    (0..flow.len() as u32).filter(|i| !flow.batch.values.is_null(*i as usize)).collect()
}

/// The changes as a filter leaves them: null where it does not let the row through. Those that it refuses have not come.
fn filtered(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    function: usize,
    wanted: bool,
    flow: &Flow,
    times: StreamTimes<'_>,
) -> Result<Flow, Verdict> {
    let (shown, mut noted) = (shown(flow), Noted::default());
    let asked = flow.gather(&shown);
    let kept = stateless::filter(cx, node, function, wanted, &asked, times, Some(&mut noted))?;
    if kept.count() == asked.len() {
        return Ok(flow.clone());
    }
    let mut fate = alloc::vec![Fate::Gone; flow.len()];
    kept.each(|at| fate[shown[at as usize] as usize] = Fate::Stays(shown[at as usize]));
    noted.refused.iter().for_each(|at| fate[shown[*at as usize] as usize] = Fate::Refused);
    Ok(rebuilt(flow, &fate, flow))
}

/// The changes as a map leaves them: null where it gives no value. Those that it refuses have not come. Of `select-key` the new key is
/// the value.
fn mapped(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    function: usize,
    form: MapForm,
    flow: &Flow,
    times: StreamTimes<'_>,
) -> Result<Flow, Verdict> {
    let (shown, mut noted) = (shown(flow), Noted::default());
    let asked = flow.gather(&shown);
    let mut results = stateless::map(cx, node, function, Rules::Form(form), &asked, times, Some(&mut noted))?;
    let mut results = results.pop().unwrap_or_default();
    if form == MapForm::SelectKey {
        let keys = asked.batch.keys.gather(&noted.sources);
        results.batch.values = core::mem::replace(&mut results.batch.keys, alloc::sync::Arc::new(keys));
    }
    if results.len() == flow.len() && noted.refused.is_empty() {
        return Ok(results);
    }
    let mut fate = alloc::vec![Fate::Gone; flow.len()];
    for (result, source) in (0u32..).zip(&noted.sources) {
        fate[shown[*source as usize] as usize] = Fate::Stays(result);
    }
    noted.refused.iter().for_each(|at| fate[shown[*at as usize] as usize] = Fate::Refused);
    Ok(rebuilt(flow, &fate, &results))
}

/// What becomes of a change.
#[derive(Clone, Copy)]
enum Fate {
    /// The row is gone.
    Gone,
    /// It is as the result at this place says.
    Stays(u32),
    /// The change has not come.
    Refused,
}

/// Changes by their fates.
fn rebuilt(flow: &Flow, fate: &[Fate], results: &Flow) -> Flow {
    let (mut batch, mut at) = (BatchBuilder::default(), Vec::with_capacity(flow.len()));
    for (i, fate) in fate.iter().enumerate() {
        let (from, place) = match fate {
            Fate::Refused => continue,
            Fate::Gone => (flow, i),
            Fate::Stays(place) => (results, *place as usize),
        };
        let value = if let Fate::Stays(_) = fate { from.batch.values.get(place) } else { None };
        let headers = from.batch.headers.iter().flat_map(|h| h.of(place));
        batch.push(flow.batch.keys.get(i), value, from.batch.timestamps[place], headers);
        at.push(i as u32);
    }
    let windows = flow.windows.as_ref().map(|w| alloc::sync::Arc::new(w.gather(&at)));
    Flow { batch: batch.finish(), rows: flow.rows_of(&at), windows, ..Flow::default() }
}
