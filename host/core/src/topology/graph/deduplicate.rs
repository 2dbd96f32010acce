//! Planning of steps that deduplicate.

use super::{NodeOperator, PlanError, Planner, TimeRule};
use crate::topology::spec::{Deduplicate, StepSpec};

/// A step that deduplicates, with names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeduplicateNode {
    /// What was asked for.
    pub spec: Deduplicate,
    /// Number of the function, where one gives ids.
    pub function: Option<usize>,
    /// Number of the store within the sub-topology.
    pub store: usize,
    /// Topic for late records.
    pub late: Option<usize>,
    /// Whose time it goes by.
    pub time: TimeRule,
    /// Whether the incoming key has a window, which then is part of the id.
    pub by_window: bool,
}

impl Planner<'_> {
    /// The node behind `parent`, which becomes a repartition topic's where the key may have changed: records of one key meet in one
    /// task.
    pub(super) fn deduplicate(
        &mut self,
        step: &StepSpec,
        spec: &Deduplicate,
        parent: &mut (usize, u32),
    ) -> Result<NodeOperator, PlanError> {
        if self.drafts[parent.0].dirty {
            *parent = (self.repartition(step, *parent, spec.partitions), 0);
        }
        let function = spec.function.as_deref().map(|f| self.function(&step.name, f)).transpose()?;
        let late = step.late.as_deref().map(|topic| self.topic(topic)).transpose()?;
        let (time, by_window) = (self.time_rule(step, parent.0), self.drafts[parent.0].windowed);
        let spec = spec.clone();
        Ok(NodeOperator::Deduplicate(DeduplicateNode { spec, function, store: 0, late, time, by_window }))
    }
}
