//! Planning of groups and folds, and what steps make of keys.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{AggregateNode, NodeOperator, PlanError, Planner, TimeRule};
use crate::topology::describe::shown;
use crate::topology::spec::{Aggregate, Fold, From, OnError, Operator, StepSpec, WindowForm};

/// What the repartition topic is named after through which an input of a cogroup goes.
pub fn input_name(step: &str, input: &From) -> String {
    format!("{step}-{}", shown(input).replace('.', "-"))
}

impl Planner<'_> {
    /// The inputs of a cogroup, merged; `None` for other steps. Each goes through a repartition topic of its own where its key may have
    /// changed, so that it stays known which input a record came from.
    pub(super) fn cogrouped(&mut self, step: &StepSpec) -> Result<Option<(usize, u32)>, PlanError> {
        let Operator::Aggregate(Aggregate { fold: Fold::Cogroup { .. }, partitions, .. }) = &step.operator else {
            return Ok(None);
        };
        let mut parents = Vec::with_capacity(step.from.len());
        for (input, parent) in step.from.iter().zip(self.parents(&step.name, &step.from)?) {
            if self.drafts[parent.0].grouped {
                return Err(PlanError::GroupedTable(step.name.clone()));
            }
            parents.push(match self.drafts[parent.0].dirty {
                true => (self.repartition_after(&input_name(&step.name, input), step, parent, *partitions), 0),
                false => parent,
            });
        }
        Ok(Some(match parents[..] {
            [one] => one,
            _ => (self.draft(&step.name, NodeOperator::Merge, parents, OnError::Fail), 0),
        }))
    }

    /// The node of a `count`, `reduce`, `aggregate` or `scan` that reads `parent`.
    pub(super) fn aggregate(
        &mut self,
        step: &StepSpec,
        aggregate: &Aggregate,
        parent: (usize, u32),
    ) -> Result<NodeOperator, PlanError> {
        let windowed = self.drafts[parent.0].windowed;
        if windowed && aggregate.window.is_some() {
            return Err(PlanError::NestedWindow(step.name.clone()));
        }
        let several = matches!(aggregate.fold, Fold::Cogroup { .. });
        // What a cogroup reads of tables are their new values, from one as from several.
        let of_table = !several && (self.drafts[parent.0].table || self.drafts[parent.0].grouped);
        if of_table && aggregate.window.is_some() {
            return Err(PlanError::WindowedTable(step.name.clone()));
        }
        if of_table && matches!(aggregate.fold, Fold::Scan { .. }) {
            return Err(PlanError::ScannedTable(step.name.clone()));
        }
        let function = aggregate.fold.function().map(|f| self.function(&step.name, f)).transpose()?;
        let adders = aggregate.fold.adders().iter().map(|f| self.function(&step.name, f)).collect::<Result<_, _>>()?;
        let late = step.late.as_deref().map(|t| self.topic(t)).transpose()?;
        let time = if of_table { TimeRule::Observed } else { self.time_rule(step, parent.0) };
        let spec = aggregate.clone();
        Ok(NodeOperator::Aggregate(AggregateNode {
            spec,
            function,
            adders,
            store: 0,
            late,
            time,
            by_window: windowed,
            of_table,
        }))
    }

    /// What a step makes of keys, of whose time, and of windows.
    pub(super) fn mark_keys(&mut self, at: usize) {
        let draft = &mut self.drafts[at];
        match &draft.node.operator {
            NodeOperator::Map { form, .. } if form.may_change_key() => {
                draft.dirty = true;
                (draft.windowed, draft.sessions) = (false, false);
            }
            NodeOperator::Aggregate(a) => {
                draft.derived = true;
                draft.windowed = a.by_window || a.spec.window.is_some();
                if let Some(window) = a.spec.window {
                    draft.sessions = matches!(window.form, WindowForm::Session { .. });
                }
            }
            NodeOperator::Process(_) => {
                (draft.dirty, draft.derived) = (true, true);
                (draft.windowed, draft.sessions) = (false, false);
            }
            _ => {}
        }
    }
}
