//! A stream joined with a table: each record looks the table up when it comes. Changes of the table set nothing off. Records that
//! wait for the table first are in `delayed`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Side;
use super::call::{Pairs, join};
use super::look::Look;
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::operator::Cx;
use crate::record::{Batch, BytesColumn};
use crate::topology::graph::{JoinNode, Node};
use crate::topology::spec::JoinKind;

/// What comes of a stream's records: each has its own key, time, headers, row and window, and the value that the joiner makes,
/// also where that is null.
pub(crate) fn stream(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    spec: &JoinNode,
    records: &Flow,
    table: Side<'_>,
) -> Result<Flow, Verdict> {
    if records.is_empty() {
        return Ok(cx.empty.clone());
    }
    let mut look = Look::new(cx, table, spec.by_window, records)?;
    let outer = spec.kind != JoinKind::Inner;
    let (mut places, mut right) = (Vec::with_capacity(records.len()), BytesColumn::default());
    for i in 0..records.len() {
        if let Some(reason) = droppable(records, i, outer) {
            cx.out.dropped(&node.name, reason);
            continue;
        }
        // Without a key nothing is looked up. A change of the record's own row has come before it.
        let found = match records.batch.keys.is_null(i) {
            true => None,
            false => look.at(cx, records, i, records.row(i) + 1)?,
        };
        if found.is_some() || outer {
            places.push(i as u32);
            right.push(found.as_deref());
        }
    }
    let paired = records.gather(&places);
    let pairs = Pairs { flow: &paired, left: &paired.batch.values, right: &right };
    let made = join(cx, node, spec.function, pairs)?;
    let joined = paired.gather(&made.places);
    let batch = Batch { values: Arc::new(made.values), ..joined.batch };
    Ok(Flow { batch, inputs: None, ..joined })
}

/// Why a record is joined with nothing at all.
pub(super) fn droppable(records: &Flow, i: usize, outer: bool) -> Option<Reason> {
    if records.batch.values.is_null(i) {
        return Some(if records.batch.keys.is_null(i) && !outer { Reason::NullKey } else { Reason::NullValue });
    }
    (records.batch.keys.is_null(i) && !outer).then_some(Reason::NullKey)
}
