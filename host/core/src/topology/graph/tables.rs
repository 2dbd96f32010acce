//! Planning of tables and joins: which steps make tables, and which topics must have as many partitions as each other.

use alloc::vec;
use alloc::vec::Vec;

use super::super::spec::{Emit, Join, JoinKind, MapForm, Operator, StepSpec};
use super::{DraftInput, HistoryNode, NodeOperator, PlanError, Planner, WaitNode};

/// A regrouping with names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegroupNode {
    /// Number of the function.
    pub function: usize,
    /// Number of the store within the sub-topology: what was sent for each row.
    pub store: usize,
    /// Whether the incoming key has a window, which then is part of the row's key.
    pub by_window: bool,
    /// Numbers of the repartition topics that it fills.
    pub topics: Vec<usize>,
}

/// A table with names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableNode {
    /// How its rows come about.
    pub of: TableOf,
    /// Number of the store within the sub-topology.
    pub store: usize,
    /// Whether the incoming key has a window, which then is part of the row's key.
    pub by_window: bool,
    /// Its history; `None`: rows are known as they are, and the latest is the last to come.
    pub history: Option<HistoryNode>,
}

/// How the rows of a table come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableOf {
    /// Records, read as they come.
    Stream,
    /// Rows of another table that are let through.
    Filter {
        /// Number of the function.
        function: usize,
        /// Lets through what the function drops.
        negate: bool,
    },
    /// Rows of another table with new values.
    MapValues {
        /// Number of the function.
        function: usize,
    },
    /// Of each row of another table the key of the row that it belongs to, for a join by foreign key.
    ForeignKey {
        /// Number of the function.
        function: usize,
    },
}

impl TableOf {
    /// Number of the function, where there is one.
    pub fn function(self) -> Option<usize> {
        match self {
            TableOf::Stream => None,
            TableOf::Filter { function, .. } | TableOf::MapValues { function } | TableOf::ForeignKey { function } => {
                Some(function)
            }
        }
    }
}

/// A join with names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinNode {
    /// What becomes of what has no partner.
    pub kind: JoinKind,
    /// Number of the function.
    pub function: usize,
    /// Of a table joined with a table, number of the result's store within the sub-topology; `None`: of a stream with a table.
    pub store: Option<usize>,
    /// Whether keys have a window, which then is part of them.
    pub by_window: bool,
    /// How records of a stream wait for the table; `None`: they do not.
    pub wait: Option<WaitNode>,
}

impl Planner<'_> {
    /// The node of a step that makes a table, or joins with one; `None`: it does neither.
    pub(super) fn table_step(&mut self, step: &StepSpec, parent: (usize, u32)) -> Result<Option<usize>, PlanError> {
        let (of_table, history_ms) = (self.drafts[parent.0].table, self.drafts[parent.0].history);
        let (of, parent, history_ms) = match &step.operator {
            Operator::Table { partitions, history_ms } => {
                let dirty = self.drafts[parent.0].dirty;
                let parent = if dirty { (self.repartition(step, parent, *partitions), 0) } else { parent };
                (TableOf::Stream, parent, *history_ms)
            }
            Operator::Filter { function, negate } if of_table => {
                let function = self.function(&step.name, function)?;
                (TableOf::Filter { function, negate: *negate }, parent, history_ms)
            }
            Operator::Map { function, form: MapForm::MapValues } if of_table => {
                (TableOf::MapValues { function: self.function(&step.name, function)? }, parent, history_ms)
            }
            Operator::Join(join) => return self.join(step, join, parent).map(Some),
            Operator::StreamJoin(join) => return self.stream_join(step, join, parent).map(Some),
            Operator::Regroup { function } => return self.regroup(step, function, parent).map(Some),
            _ => return Ok(None),
        };
        let history = self.history(step, history_ms, parent.0)?;
        let table = TableNode { of, store: 0, by_window: self.drafts[parent.0].windowed, history };
        let at = self.draft(&step.name, NodeOperator::Table(table), vec![parent], step.on_error.clone());
        (self.drafts[at].table, self.drafts[at].history) = (true, history_ms);
        Ok(Some(at))
    }

    fn regroup(&mut self, step: &StepSpec, function: &str, parent: (usize, u32)) -> Result<usize, PlanError> {
        if !self.drafts[parent.0].table {
            return Err(PlanError::GroupedStream(step.name.clone()));
        }
        let (function, by_window) = (self.function(&step.name, function)?, self.drafts[parent.0].windowed);
        let node = NodeOperator::Regroup(RegroupNode { function, store: 0, by_window, topics: Vec::new() });
        let at = self.draft(&step.name, node, vec![parent], step.on_error.clone());
        let draft = &mut self.drafts[at];
        (draft.grouped, draft.dirty, draft.windowed, draft.sessions) = (true, true, false, false);
        Ok(at)
    }

    fn join(&mut self, step: &StepSpec, join: &Join, mut left: (usize, u32)) -> Result<usize, PlanError> {
        if let Some(at) = self.global_join(step, join, left)? {
            return Ok(at);
        }
        let right = self.parents(&step.name, core::slice::from_ref(&join.other))?[0];
        if !self.drafts[right.0].table {
            return Err(PlanError::NoTable { step: step.name.clone(), other: join.other.name.clone() });
        }
        if let Some(key) = join.key.as_ref().filter(|_| join.grace_ms.is_none()) {
            return self.foreign_join(step, join, key, left, right);
        }
        let of_tables = self.drafts[left.0].table;
        if !of_tables && join.kind == JoinKind::Outer {
            return Err(PlanError::OuterStream(step.name.clone()));
        }
        let by_window = self.drafts[right.0].windowed;
        if self.drafts[left.0].windowed != by_window {
            return Err(PlanError::WindowedSide(step.name.clone()));
        }
        if self.drafts[left.0].dirty {
            left = (self.repartition(step, left, None), 0);
        }
        let (kind, function) = (join.kind, self.function(&step.name, &join.function)?);
        let wait = self.wait(step, join, (left.0, right.0))?;
        let derived = of_tables || wait.is_some() || self.drafts[left.0].derived;
        let node = JoinNode { kind, function, store: of_tables.then_some(0), by_window, wait };
        let at = self.draft(&step.name, NodeOperator::Join(node), vec![left, right], step.on_error.clone());
        (self.drafts[at].table, self.drafts[at].derived) = (of_tables, derived);
        Ok(at)
    }

    /// Aggregates that a table reads tell of every change: otherwise what the table shows, and who joins with it, would depend on
    /// where an interval ends.
    pub(super) fn tell_tables_everything(&mut self) {
        let is_source =
            |at: &usize| matches!(&self.drafts[*at].node.operator, NodeOperator::Table(t) if t.of == TableOf::Stream);
        let mut left: Vec<usize> = (0..self.drafts.len()).filter(is_source).collect();
        let mut seen = left.clone();
        while let Some(at) = left.pop() {
            let draft = &self.drafts[at];
            let writer = draft.input.as_ref().and_then(|input| input.writer);
            let above: Vec<usize> = draft.node.parents.iter().map(|p| p.0).chain(writer).collect();
            for parent in above {
                if let NodeOperator::Aggregate(aggregate) = &mut self.drafts[parent].node.operator {
                    aggregate.spec.emit_every_update |= aggregate.spec.emit == Emit::OnUpdate;
                } else if !seen.contains(&parent) {
                    seen.push(parent);
                    left.push(parent);
                }
            }
        }
    }

    /// Task counts of the sub-topologies: the largest partition count among a sub-topology's inputs. A repartition topic
    /// without a count of its own has as many partitions as tasks write it. Counts only grow, up to the largest, so this
    /// ends, with circles too.
    pub(super) fn settle_partitions(&mut self, component: &[usize], order: &[usize]) -> Result<Vec<u32>, PlanError> {
        let alike = self.copartitioned()?;
        let given: Vec<bool> = self.topics.iter().map(|t| t.partitions > 0).collect();
        let mut tasks = vec![0; order.len()];
        loop {
            for (number, c) in order.iter().enumerate() {
                let inputs = self.drafts.iter().enumerate().filter(|(i, _)| component[*i] == *c);
                let topics = inputs.filter_map(|(_, d)| d.input.as_ref().map(|i| i.topic));
                tasks[number] = topics.map(|t| self.topics[t].partitions).max().unwrap_or(0);
            }
            let mut settled = true;
            for draft in &self.drafts {
                if let Some(DraftInput { topic, writer: Some(writer), .. }) = draft.input {
                    let upstream = order.iter().position(|c| *c == component[writer]).unwrap_or(0);
                    if !given[topic] && self.topics[topic].partitions < tasks[upstream] {
                        self.topics[topic].partitions = tasks[upstream];
                        settled = false;
                    }
                }
            }
            for topics in &alike {
                let most = topics.iter().map(|t| self.topics[*t].partitions).max().unwrap_or(0);
                for topic in topics.iter().filter(|t| !given[**t]) {
                    settled &= self.topics[*topic].partitions == most;
                    self.topics[*topic].partitions = most;
                }
            }
            if settled {
                return Ok(tasks);
            }
        }
    }

    /// Topics that must have as many partitions as each other, since joins and cogroups bring them together. Of each group those whose number
    /// is known have the same, and give it to the others.
    pub(super) fn copartitioned(&mut self) -> Result<Vec<Vec<usize>>, PlanError> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for at in 0..self.drafts.len() {
            let brings_together = match &self.drafts[at].node.operator {
                NodeOperator::Join(_) | NodeOperator::Foreign(_) | NodeOperator::StreamJoin(_) => true,
                NodeOperator::Aggregate(aggregate) => aggregate.adders.len() > 1,
                _ => false,
            };
            if !brings_together {
                continue;
            }
            let mut topics = self.topics_above(at);
            self.known_partitions(at, &topics)?;
            let (met, apart) = groups.into_iter().partition(|g: &Vec<usize>| g.iter().any(|t| topics.contains(t)));
            groups = apart;
            topics.extend(met.into_iter().flatten());
            topics.sort_unstable();
            topics.dedup();
            if let Some(count) = self.known_partitions(at, &topics)? {
                topics.iter().for_each(|t| self.topics[*t].partitions = count);
            }
            groups.push(topics);
        }
        Ok(groups)
    }

    /// How many partitions topics have that a join needs alike; `None`: that is not known of any.
    fn known_partitions(&self, join: usize, topics: &[usize]) -> Result<Option<u32>, PlanError> {
        let known: Vec<_> = topics.iter().map(|t| &self.topics[*t]).filter(|t| t.partitions > 0).collect();
        let Some(one) = known.first() else { return Ok(None) };
        match known.iter().find(|other| other.partitions != one.partitions) {
            None => Ok(Some(one.partitions)),
            Some(other) => Err(PlanError::NotCopartitioned {
                step: self.drafts[join].node.name.clone(),
                one: (one.name.clone(), one.partitions),
                other: (other.name.clone(), other.partitions),
            }),
        }
    }

    /// Repartition topics that a node fills.
    pub(super) fn topics_behind(&self, at: usize) -> Vec<usize> {
        let topic = |draft: &super::Draft| match draft.node.operator {
            NodeOperator::Repartition { topic, .. } if draft.node.parents.iter().any(|p| p.0 == at) => Some(topic),
            _ => None,
        };
        self.drafts.iter().filter_map(topic).collect()
    }

    /// Topics whose records reach a node without another in between, in the order of the manifest.
    fn topics_above(&self, at: usize) -> Vec<usize> {
        let (mut left, mut seen) = (vec![at], vec![at]);
        while let Some(at) = left.pop() {
            for (parent, _) in &self.drafts[at].node.parents {
                if !seen.contains(parent) {
                    seen.push(*parent);
                    left.push(*parent);
                }
            }
        }
        seen.sort_unstable();
        seen.iter().filter_map(|at| self.drafts[*at].input.as_ref().map(|input| input.topic)).collect()
    }
}
