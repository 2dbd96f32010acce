//! Planning processors.

use super::{NodeOperator, PlanError, Planner, ProcessNode};
use crate::topology::spec::{Process, StepSpec};

impl Planner<'_> {
    /// A processor behind `parent`, which becomes a repartition topic's where the key may have changed.
    pub(super) fn process(
        &mut self,
        step: &StepSpec,
        process: &Process,
        parent: &mut (usize, u32),
    ) -> Result<NodeOperator, PlanError> {
        if self.drafts[parent.0].dirty {
            *parent = (self.repartition(step, *parent, process.partitions), 0);
        }
        for (port, output) in (0..).zip(&process.outputs) {
            self.outputs.insert((step.name.clone(), output.clone()), port);
        }
        let (spec, function) = (process.clone(), self.function(&step.name, &process.function)?);
        Ok(NodeOperator::Process(ProcessNode { spec, function, store: 0, time: self.time_rule(step, parent.0) }))
    }
}
