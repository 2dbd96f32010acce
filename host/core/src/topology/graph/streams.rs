//! Planning of joins of two streams.

use alloc::format;
use alloc::vec;

use super::super::spec::{JoinKind, JoinWindow, Lateness, StepSpec, StreamJoin};
use super::{NodeOperator, PlanError, Planner, TimeRule};

/// A join of two streams with names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamJoinNode {
    /// What becomes of what has no partner.
    pub kind: JoinKind,
    /// How near in time records are that meet.
    pub window: JoinWindow,
    /// Number of the function; `None`: values are put together as they are.
    pub function: Option<usize>,
    /// Number of the store within the sub-topology.
    pub store: usize,
    /// Topic for late records.
    pub late: Option<usize>,
    /// Whose time it goes by.
    pub time: TimeRule,
    /// Whether keys have a window, which then is part of them.
    pub by_window: bool,
}

/// What a side of a join of two streams is called where it needs a name: its repartition topic is named after it.
pub fn side_name(step: &str, right: bool) -> alloc::string::String {
    format!("{step}-{}", if right { "right" } else { "left" })
}

impl Planner<'_> {
    /// A join of two streams, of which `left` is what the step reads.
    pub(super) fn stream_join(
        &mut self,
        step: &StepSpec,
        join: &StreamJoin,
        left: (usize, u32),
    ) -> Result<usize, PlanError> {
        let right = self.parents(&step.name, core::slice::from_ref(&join.other))?[0];
        if self.drafts[right.0].grouped {
            return Err(PlanError::GroupedTable(step.name.clone()));
        }
        if let Some(table) = [left, right].iter().find(|side| self.drafts[side.0].table) {
            let table = self.drafts[table.0].node.name.clone();
            return Err(PlanError::TableWithin { step: step.name.clone(), table });
        }
        let by_window = self.drafts[left.0].windowed;
        if self.drafts[right.0].windowed != by_window {
            return Err(PlanError::WindowedSide(step.name.clone()));
        }
        let function = join.function.as_deref().map(|f| self.function(&step.name, f)).transpose()?;
        let late = step.late.as_deref().map(|t| self.topic(t)).transpose()?;
        // One topic is enough for a stream that is joined with itself.
        let (same, before) = (left == right, right);
        let left = self.partitioned(step, left, false);
        let right = if same { left } else { self.partitioned(step, before, true) };
        let derived = self.drafts[left.0].derived || self.drafts[right.0].derived;
        let own = step.lateness == Lateness::OwnTask && !derived;
        let time = if own { TimeRule::Upstream } else { TimeRule::Observed };
        let (kind, window) = (join.kind, join.window);
        let node = StreamJoinNode { kind, window, function, store: 0, late, time, by_window };
        let parents = vec![left, right];
        let at = self.draft(&step.name, NodeOperator::StreamJoin(node), parents, step.on_error.clone());
        self.drafts[at].derived = true;
        Ok(at)
    }

    /// A side of a join, behind a repartition topic where its key may have changed.
    fn partitioned(&mut self, step: &StepSpec, side: (usize, u32), right: bool) -> (usize, u32) {
        if !self.drafts[side.0].dirty {
            return side;
        }
        let named = StepSpec { name: side_name(&step.name, right), ..step.clone() };
        (self.repartition(&named, side, None), 0)
    }
}
