//! The halves of a join by foreign key among a task's nodes.

use alloc::vec;
use alloc::vec::Vec;

use super::NodeState;
use super::joins::{rows_of, side};
use crate::error::Verdict;
use crate::flow::Flow;
use crate::operator::Cx;
use crate::operator::join::foreign::{Left, left, right};
use crate::topology::graph::ForeignNode;

/// What half of such a join makes of what its parents gave: a flow for each of its outputs. `flows`: those of its parents.
pub(super) fn run(
    cx: &mut Cx<'_, '_>,
    (at, half): (usize, &ForeignNode),
    states: &mut [NodeState],
    flows: &[&Flow],
) -> Result<Vec<Flow>, Verdict> {
    let sub = cx.sub;
    let node = &sub.nodes[at];
    let (above, own) = states.split_at_mut(at);
    match (half, &node.parents[..], &mut own[0]) {
        (ForeignNode::Left(join), [keys, rows, _], NodeState::Table(own)) => {
            let [k, r] = above.get_disjoint_mut([keys.0, rows.0]).expect("the foreign keys are a node of their own");
            let (keys, rows) = (side(sub, keys.0, flows[0], k), side(sub, rows.0, flows[1], r));
            let from = Left { keys, rows, answers: flows[2] };
            Ok(left(cx, node, join, from, (rows_of(node), &mut own.store))?.into())
        }
        (ForeignNode::Right { store }, [_, rows], NodeState::Subscriptions(entries)) => {
            let table = side(sub, rows.0, flows[1], &mut above[rows.0]);
            Ok(vec![right(cx, node, flows[0], table, (*store, entries))?])
        }
        _ => unreachable!("opened by the same plan"),
    }
}
