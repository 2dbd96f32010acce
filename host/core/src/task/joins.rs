//! Joins among a task's nodes: what stands on either side is found here; what comes of it is the operators' matter.

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

use super::{NodeState, Phase, foreign};
use crate::error::Verdict;
use crate::flow::Flow;
use crate::operator::Cx;
use crate::operator::join::delayed::{self, delayed};
use crate::operator::join::streams::{self, Step};
use crate::operator::join::{self, Side, Sides};
use crate::topology::graph::{ForeignNode, JoinNode, Node, NodeOperator, SubTopology, TableNode};

/// The join at a place, of what its parents gave: a flow for each of its outputs.
pub(super) fn run(
    cx: &mut Cx<'_, '_>,
    at: usize,
    states: &mut [NodeState],
    flows: &[&Flow],
    phase: &Phase<'_>,
) -> Result<Vec<Flow>, Verdict> {
    let node = &cx.sub.nodes[at];
    // Changes behind a newer version of a row change nothing that is joined now.
    let latest: Vec<Cow<'_, Flow>> = flows.iter().map(|flow| flow.latest()).collect();
    let latest: Vec<&Flow> = latest.iter().map(|flow| &**flow).collect();
    match (&node.operator, &mut states[at], &node.parents[..], flows) {
        (NodeOperator::Foreign(half), ..) => foreign::run(cx, (at, half), states, &latest),
        (NodeOperator::Join(join), _, [left, right], [stream, _]) => {
            let left_flow = if join.store.is_some() { latest[0] } else { stream };
            Ok(vec![with_table(cx, (at, join), states, [(left.0, left_flow), (right.0, latest[1])], phase)?])
        }
        (NodeOperator::StreamJoin(join), NodeState::Join(state), _, [left, right]) => {
            Ok(vec![of_streams(cx, &mut Step { node, join, state }, [left, right], phase)?])
        }
        _ => unreachable!("opened by the same plan"),
    }
}

/// What comes of records of two streams, and of time.
fn of_streams(cx: &mut Cx<'_, '_>, step: &mut Step<'_>, sides: [&Flow; 2], phase: &Phase<'_>) -> Result<Flow, Verdict> {
    let now = streams::streams(cx, step, &Flow::join(&sides), phase.rows())?;
    if !matches!(phase, Phase::Flush) {
        return Ok(now);
    }
    let then = streams::flush(cx, step)?;
    Ok(if then.is_empty() { now } else { Flow::merge(&[&now, &then]) })
}

/// A join with a table.
fn with_table(
    cx: &mut Cx<'_, '_>,
    (at, join): (usize, &JoinNode),
    states: &mut [NodeState],
    sides: [(usize, &Flow); 2],
    phase: &Phase<'_>,
) -> Result<Flow, Verdict> {
    let (sub, [(left, left_flow), (right, right_flow)]) = (cx.sub, sides);
    let node = &sub.nodes[at];
    let (above, own) = states.split_at_mut(at);
    let own = match (&mut own[0], &join.wait) {
        (NodeState::Table(own), _) => own,
        (NodeState::Delayed(state), Some(wait)) => {
            let (table, flush) = (side(sub, right, right_flow, &mut above[right]), matches!(phase, Phase::Flush));
            return delayed(cx, delayed::Step { node, join, wait }, state, (left_flow, phase.rows()), table, flush);
        }
        _ => return join::stream(cx, node, join, left_flow, side(sub, right, right_flow, &mut above[right])),
    };
    let sides = if let Ok([l, r]) = above.get_disjoint_mut([left, right]) {
        Sides { left: side(sub, left, left_flow, l), right: Some(side(sub, right, right_flow, r)) }
    } else {
        Sides { left: side(sub, left, left_flow, &mut above[left]), right: None }
    };
    join::tables(cx, node, join, sides, (rows_of(node), &mut own.store))
}

/// A table as a join sees it.
pub(super) fn side<'s>(sub: &SubTopology, at: usize, flow: &'s Flow, state: &'s mut NodeState) -> Side<'s> {
    let NodeState::Table(state) = state else { unreachable!("opened by the same plan") };
    Side { flow, store: &mut state.store, number: rows_of(&sub.nodes[at]), past: state.past.as_deref_mut() }
}

/// Number of the store in which a table has its rows.
pub(super) fn rows_of(node: &Node) -> usize {
    match &node.operator {
        NodeOperator::Table(TableNode { store, .. })
        | NodeOperator::Foreign(ForeignNode::Left(JoinNode { store: Some(store), .. }))
        | NodeOperator::Join(JoinNode { store: Some(store), .. }) => *store,
        _ => unreachable!("planned with a table there"),
    }
}
