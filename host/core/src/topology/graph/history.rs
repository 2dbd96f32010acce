//! Planning of tables with history, and of joins whose records wait for them.

use super::super::spec::{Join, Lateness, StepSpec};
use super::{
    AggregateNode, DeduplicateNode, JoinNode, NodeOperator, PlanError, Planner, ProcessNode, StreamJoinNode, TableNode,
    TimeRule,
};

/// The history of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryNode {
    /// For how long rows can be looked up as they were, milliseconds.
    pub history_ms: i64,
    /// Topic for records that are older than that.
    pub late: Option<usize>,
    /// By whose time it goes.
    pub time: TimeRule,
}

/// How a stream's records wait for a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitNode {
    /// How long after its own time each waits, milliseconds.
    pub grace_ms: i64,
    /// Number of the store within the sub-topology.
    pub store: usize,
    /// By whose time it goes.
    pub time: TimeRule,
}

impl NodeOperator {
    /// By whose time it goes, where it goes by any.
    pub(super) fn time(&mut self) -> Option<&mut TimeRule> {
        match self {
            NodeOperator::Aggregate(AggregateNode { time, .. })
            | NodeOperator::StreamJoin(StreamJoinNode { time, .. })
            | NodeOperator::Process(ProcessNode { time, .. })
            | NodeOperator::Table(TableNode { history: Some(HistoryNode { time, .. }), .. })
            | NodeOperator::Join(JoinNode { wait: Some(WaitNode { time, .. }), .. })
            | NodeOperator::Deduplicate(DeduplicateNode { time, .. }) => Some(time),
            _ => None,
        }
    }
}

impl Planner<'_> {
    /// The history of a table that reads this draft, where it has one. Filters and maps over a table with history have one as long.
    pub(super) fn history(
        &mut self,
        step: &StepSpec,
        history_ms: Option<i64>,
        parent: usize,
    ) -> Result<Option<HistoryNode>, PlanError> {
        let Some(history_ms) = history_ms else { return Ok(None) };
        let late = step.late.as_deref().map(|topic| self.topic(topic)).transpose()?;
        Ok(Some(HistoryNode { history_ms, late, time: self.time_rule(step, parent) }))
    }

    /// How the records of `left`, a stream or a table, wait for those of `right`, where they do.
    pub(super) fn wait(
        &self,
        step: &StepSpec,
        join: &Join,
        (left, right): (usize, usize),
    ) -> Result<Option<WaitNode>, PlanError> {
        let Some(grace_ms) = join.grace_ms else { return Ok(None) };
        let long_enough = self.drafts[right].history.is_some_and(|history_ms| grace_ms <= history_ms);
        if self.drafts[left].table || join.key.is_some() || !long_enough {
            return Err(PlanError::Waits(step.name.clone()));
        }
        let own = step.lateness == Lateness::OwnTask && !self.drafts[left].derived;
        let time = if own { TimeRule::Upstream } else { TimeRule::Observed };
        Ok(Some(WaitNode { grace_ms, store: 0, time }))
    }
}
