//! Planning of global tables, which every host reads whole: they are in no sub-topology, and no task reads their topics.

use alloc::string::String;

use super::super::spec::{Join, JoinKind, Operator, Spec, StepSpec};
use super::{NodeOperator, PlanError, Planner};

/// A global table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalTable {
    /// Name of the step.
    pub name: String,
    /// Name of the source that it reads.
    pub source: String,
    /// Numbers of the topics that it is read from, all their partitions.
    pub topics: alloc::vec::Vec<usize>,
}

/// A join with a global table, with names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalJoinNode {
    /// What becomes of what has no partner.
    pub kind: JoinKind,
    /// Number of the function that makes a value of two.
    pub function: usize,
    /// Number of the function that says which row a record means.
    pub key: usize,
    /// Number of the global table.
    pub table: usize,
}

impl Spec {
    /// The step that makes a global table of this name.
    pub fn global_table(&self, name: &str) -> Option<&StepSpec> {
        self.steps.iter().find(|step| step.name == name && step.operator == Operator::GlobalTable)
    }

    /// Whether a source is read by a global table. Tasks do not read it then.
    pub fn is_global(&self, source: &str) -> bool {
        let reads = |step: &StepSpec| step.from.iter().any(|from| from.name == source);
        self.steps.iter().any(|step| step.operator == Operator::GlobalTable && reads(step))
    }
}

impl Planner<'_> {
    pub(super) fn global_table(&mut self, step: &StepSpec) -> Result<(), PlanError> {
        let read = |source: &&super::spec::SourceSpec| step.from.len() == 1 && step.from[0].name == source.name;
        let spec = self.spec;
        let Some(source) = spec.sources.iter().find(read) else {
            return Err(PlanError::GlobalInput(step.name.clone()));
        };
        let topics = source.topics.iter().map(|topic| self.topic(topic)).collect::<Result<_, _>>()?;
        self.globals.push(GlobalTable { name: step.name.clone(), source: source.name.clone(), topics });
        Ok(())
    }

    /// The node of a join with a global table; `None`: the other side is none.
    pub(super) fn global_join(
        &mut self,
        step: &StepSpec,
        join: &Join,
        left: (usize, u32),
    ) -> Result<Option<usize>, PlanError> {
        let Some(table) = self.globals.iter().position(|table| table.name == join.other.name) else {
            return Ok(None);
        };
        let fits = join.kind != JoinKind::Outer && join.grace_ms.is_none() && !self.drafts[left.0].table;
        let Some(key) = join.key.as_ref().filter(|_| fits) else {
            return Err(PlanError::GlobalJoin(step.name.clone()));
        };
        let (function, key) = (self.function(&step.name, &join.function)?, self.function(&step.name, key)?);
        let node = NodeOperator::GlobalJoin(GlobalJoinNode { kind: join.kind, function, key, table });
        Ok(Some(self.draft(&step.name, node, alloc::vec![left], step.on_error.clone())))
    }
}
