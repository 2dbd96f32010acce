//! Tables among a task's nodes: how their states are opened, and which nodes read only what rows are.

use alloc::boxed::Box;

use crate::error::Verdict;
use crate::operator::Ports;
use crate::operator::aggregate::Times;
use crate::operator::table::{Past, State};
use crate::record::Timestamp;
use crate::state::key::StoreKind;
use crate::state::store::{Ground, Store};
use crate::topology::graph::{ForeignNode, JoinNode, Node, NodeOperator, RegroupNode, TableNode, TableOf, TimeRule};

/// The state of a node that keeps rows; `None`: it keeps none. `observed`, `closed`: what the metadata says of its times.
pub(super) fn open(
    operator: &NodeOperator,
    (observed, closed): (Timestamp, Timestamp),
    times: impl Fn(TimeRule) -> Times,
    ports: &Ports<'_>,
) -> Result<Option<State>, Verdict> {
    let (store, by_window) = match operator {
        NodeOperator::Foreign(ForeignNode::Left(JoinNode { store: Some(store), by_window, .. }))
        | NodeOperator::Table(TableNode { store, by_window, .. })
        | NodeOperator::Regroup(RegroupNode { store, by_window, .. })
        | NodeOperator::Join(JoinNode { store: Some(store), by_window, .. }) => (*store, *by_window),
        _ => return Ok(None),
    };
    let ground = Ground { db: ports.db, space: ports.spaces[store], prefix: ports.prefix };
    let kind = if by_window { StoreKind::WindowedKeyValue } else { StoreKind::KeyValue };
    let past = match operator {
        NodeOperator::Table(TableNode { history: Some(history), .. }) => {
            // The first of a table's two times is that of its function; how far its history has come stands in the other.
            let times = Times { observed: closed, ..times(history.time) };
            Some(Box::new(Past::open(history, times, ground)?))
        }
        _ => None,
    };
    Ok(Some(State { observed, store: Store::open(kind, ground)?, past }))
}

/// Whether a node reads what rows are, and of a table with history not what they were.
pub(super) fn reads_latest(node: &Node) -> bool {
    match &node.operator {
        NodeOperator::Table(table) => table.history.is_none() && table.of != TableOf::Stream,
        NodeOperator::Regroup(_) => true,
        NodeOperator::Aggregate(aggregate) => aggregate.of_table,
        _ => false,
    }
}
