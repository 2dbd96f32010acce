//! Two tables joined: each change of one meets the row that the other has then, and makes, changes or removes a row of the
//! result, which is a table.
//!
//! A change that the joiner refuses, or on which it fails, has not come for the result: its row stays as it was.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Side;
use super::call::{Pairs, join};
use super::moments::Moments;
use crate::error::Verdict;
use crate::flow::{Flow, Olds};
use crate::operator::Cx;
use crate::operator::table::{Absent, Rows, write};
use crate::record::{BytesColumn, Timestamp};
use crate::state::store::Store;
use crate::topology::graph::{JoinNode, Node};
use crate::topology::spec::JoinKind;

/// Which side a change is of, as [`Flow::join`] numbers them.
const LEFT: u32 = 0;

/// The two tables; without a right one the left is joined with itself.
pub(crate) struct Sides<'s> {
    pub left: Side<'s>,
    pub right: Option<Side<'s>>,
}

/// What comes of changes on both sides; `into`: number and rows of the result.
pub(crate) fn tables(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    spec: &JoinNode,
    sides: Sides<'_>,
    into: (usize, &mut Store),
) -> Result<Flow, Verdict> {
    let right = sides.right.as_ref().map_or(sides.left.flow, |right| right.flow);
    let changes = Flow::join(&[sides.left.flow, right]);
    if changes.is_empty() {
        return Ok(cx.empty.clone());
    }
    let mut left = Moments::new(sides.left, spec.by_window);
    left.read_ahead(cx, &changes)?;
    let mut right = sides.right.map(|right| Moments::new(right, spec.by_window));
    if let Some(right) = &mut right {
        right.read_ahead(cx, &changes)?;
    }
    let (others, times) = others(cx, &changes, left, right)?;
    write_joined(cx, node, spec, Changes { flow: changes, others, times }, into)
}

/// Changes of one side or both.
pub(super) struct Changes {
    /// With the side that each is of; without, they are all of the left.
    pub flow: Flow,
    /// The row of the other side.
    pub others: Olds,
    /// When what comes of both is.
    pub times: Vec<Timestamp>,
}

/// Joins changes with what they meet, and writes what comes of it into the rows of the result.
pub(super) fn write_joined(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    spec: &JoinNode,
    changes: Changes,
    into: (usize, &mut Store),
) -> Result<Flow, Verdict> {
    let Changes { flow: changes, others, times } = changes;
    let (store, rows) = (into.1, Rows { store: into.0, by_window: spec.by_window });
    let becomes = joined(cx, node, spec, &changes, &others)?;
    let mut batch = changes.batch.gather(&becomes.places);
    batch.values = Arc::new(becomes.values);
    batch.timestamps = Arc::new(becomes.places.iter().map(|at| times[*at as usize]).collect());
    let windows = changes.windows.as_ref().map(|w| Arc::new(w.gather(&becomes.places)));
    let flow = Flow { batch, rows: changes.rows_of(&becomes.places), windows, ..Flow::default() };
    write(cx, node, rows, store, &flow, Absent::Untold)
}

/// For each change the row of the other side then, and the time of what comes of both.
fn others<'s>(
    cx: &Cx<'_, '_>,
    changes: &Flow,
    mut left: Moments<'s>,
    mut right: Option<Moments<'s>>,
) -> Result<(Olds, Vec<Timestamp>), Verdict> {
    let (mut others, mut times) = (Olds::default(), Vec::with_capacity(changes.len()));
    for i in 0..changes.len() {
        let row = changes.row(i);
        let other = match side(changes, i) {
            LEFT => right.as_mut().unwrap_or(&mut left).at(cx, changes, i, row)?,
            _ => left.at(cx, changes, i, row + 1)?,
        };
        times.push(other.map_or(changes.batch.timestamps[i], |(_, time)| time.max(changes.batch.timestamps[i])));
        others.push(other);
    }
    Ok((others, times))
}

fn side(changes: &Flow, i: usize) -> u32 {
    changes.inputs.as_ref().map_or(LEFT, |inputs| inputs[i])
}

/// What rows become: places of the changes that count, and values.
struct Becomes {
    places: Vec<u32>,
    values: BytesColumn,
}

fn joined(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    spec: &JoinNode,
    changes: &Flow,
    others: &Olds,
) -> Result<Becomes, Verdict> {
    let (mut places, mut left, mut right) = (Vec::new(), BytesColumn::default(), BytesColumn::default());
    for i in 0..changes.len() {
        let (own, other) = (changes.batch.values.get(i), others.values.get(i));
        let (l, r) = if side(changes, i) == LEFT { (own, other) } else { (other, own) };
        if has_row(spec.kind, l.is_some(), r.is_some()) {
            places.push(i as u32);
            left.push(l);
            right.push(r);
        }
    }
    let paired = changes.gather(&places);
    let paired = Flow { inputs: None, ..paired };
    let made = join(cx, node, spec.function, Pairs { flow: &paired, left: &left, right: &right })?;
    if made.places.len() == changes.len() {
        return Ok(Becomes { places: made.places, values: made.values });
    }
    // Behind the pairs that were made stand those that the joiner was not asked for: no row. Refused ones are left out.
    let mut becomes = Becomes { places: Vec::with_capacity(changes.len()), values: BytesColumn::default() };
    let (mut asked, mut given) = (places.iter().enumerate().peekable(), made.places.iter().enumerate().peekable());
    for i in 0..changes.len() as u32 {
        let Some((pair, _)) = asked.next_if(|(_, at)| **at == i) else {
            becomes.places.push(i);
            becomes.values.push(None);
            continue;
        };
        if let Some((value, _)) = given.next_if(|(_, at)| **at as usize == pair) {
            becomes.places.push(i);
            becomes.values.push(made.values.get(value));
        }
    }
    Ok(becomes)
}

/// Whether the result has a row, by which sides have one.
fn has_row(kind: JoinKind, left: bool, right: bool) -> bool {
    match kind {
        JoinKind::Inner => left && right,
        JoinKind::Left => left,
        JoinKind::Outer => left || right,
    }
}
