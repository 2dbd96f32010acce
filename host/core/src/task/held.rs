//! Nodes that hold state beside a stream: aggregates and processors, over a batch and at the end of an interval.

use alloc::vec::Vec;

use super::Phase;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::operator::aggregate::{self, Grouped, Held, Step};
use crate::operator::migrate::sweep::{Sweep, wanted_of};
use crate::operator::migrate::{self, Of};
use crate::operator::{Cx, process};
use crate::state::layers::Layered;
use crate::topology::graph::{AggregateNode, Node, ProcessNode};

/// What an aggregate makes of records and of time; at the end of an interval its sweep goes on.
pub(super) fn run(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    state: &mut aggregate::State,
    input: &Flow,
    phase: &Phase<'_>,
) -> Result<Flow, Verdict> {
    let aggregate::State { times, store, sweep } = state;
    match store {
        Held::Groups(store) => run_aggregate(cx, &mut Step { node, aggregate, times, store }, sweep, input, phase),
        Held::Sessions(store) => run_aggregate(cx, &mut Step { node, aggregate, times, store }, sweep, input, phase),
        Held::Slices(store) => {
            let store = &mut **store;
            run_aggregate(cx, &mut Step { node, aggregate, times, store }, sweep, input, phase)
        }
    }
}

fn run_aggregate<S: Grouped + Layered>(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_, S>,
    sweep: &mut Sweep,
    input: &Flow,
    phase: &Phase<'_>,
) -> Result<Flow, Verdict> {
    let made = make(cx, step, input, phase)?;
    if let (Phase::End { sweep_rows }, Some(of)) = (phase, Of::aggregate(step.node, step.aggregate)) {
        let wanted = wanted_of(step.aggregate, &*cx.ports.functions, |f| cx.active[f].prepared);
        let stores = core::slice::from_mut(step.store);
        migrate::sweep::sweep(cx, &[of], stores, sweep, (wanted, *sweep_rows))?;
    }
    Ok(made)
}

fn make<S: Grouped>(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_, S>,
    input: &Flow,
    phase: &Phase<'_>,
) -> Result<Flow, Verdict> {
    let now = aggregate::process(cx, step, input, phase.rows())?;
    let then = match phase {
        Phase::Batch(_) => return Ok(now),
        Phase::End { .. } => S::end_interval(cx, step)?,
        Phase::Flush => S::flush(cx, step)?,
    };
    Ok(if then.is_empty() { now } else { Flow::merge(&[&now, &then]) })
}

/// What a processor makes of records and of time: a flow for each of its outputs. Timers that are not due at the end of a test stay.
pub(super) fn run_process(
    cx: &mut Cx<'_, '_>,
    (node, operator): (&Node, &ProcessNode),
    state: &mut process::State,
    input: &Flow,
    phase: &Phase<'_>,
) -> Result<Vec<Flow>, Verdict> {
    let step = &mut process::Step { node, process: operator, state };
    let now = process::process(cx, step, input, phase.rows())?;
    let Phase::End { sweep_rows } = phase else { return Ok(now) };
    let then = process::end_interval(cx, step, *sweep_rows)?;
    Ok(now.iter().zip(&then).map(|(now, then)| Flow::merge(&[now, then])).collect())
}
