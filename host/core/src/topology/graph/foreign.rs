//! Planning of joins by foreign key: two halves, each where its rows are, and a topic in each direction.

use alloc::string::ToString;
use alloc::vec;

use super::super::spec::{Join, JoinKind, OnError, StepSpec};
use super::{
    DraftInput, JoinNode, NodeOperator, PlanError, Planner, TableNode, TableOf, Topic, repartition_topic, store_name,
};
use crate::limits::Limits;

/// Half of a join by foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForeignNode {
    /// Where the left rows are, and the result: reads the foreign keys as a table, the left rows, and answers. Its first output is the result,
    /// its second the subscriptions.
    Left(JoinNode),
    /// Where the right rows are: reads subscriptions, and the right rows. Its output is the answers.
    Right {
        /// Number of the store within the sub-topology: who asks for which row.
        store: usize,
    },
}

/// What the parts of such a join are called within its step: its foreign keys, and its topics with who reads and writes them.
pub const FOREIGN_PARTS: [&str; 3] = ["keys", "subscriptions", "answers"];

impl Planner<'_> {
    pub(super) fn foreign_join(
        &mut self,
        step: &StepSpec,
        join: &Join,
        key: &str,
        left: (usize, u32),
        right: (usize, u32),
    ) -> Result<usize, PlanError> {
        let [l, r] = [left, right].map(|(at, _)| &self.drafts[at]);
        if !l.table || l.windowed || r.windowed || join.kind == JoinKind::Outer {
            return Err(PlanError::ForeignKey(step.name.clone()));
        }
        let [_, asked_name, answers_name] = FOREIGN_PARTS.map(|part| store_name(&step.name, part));
        let (function, key) = (self.function(&step.name, &join.function)?, self.function(&step.name, key)?);
        let table = TableNode { of: TableOf::ForeignKey { function: key }, store: 0, by_window: false, history: None };
        let keys = self.draft(&step.name, NodeOperator::Table(table), vec![left], step.on_error.clone());
        let answers = self.draft(&answers_name, NodeOperator::Source, vec![], OnError::Fail);
        let node = JoinNode { kind: join.kind, function, store: Some(0), by_window: false, wait: None };
        let node = NodeOperator::Foreign(ForeignNode::Left(node));
        let parents = vec![(keys, 0), left, (answers, 0)];
        let at = self.draft(&step.name, node, parents, step.on_error.clone());
        self.drafts[at].node.ports = 2;
        (self.drafts[at].table, self.drafts[at].derived) = (true, true);
        let (subscriptions, _) = self.foreign_topic(step, &asked_name, (at, 1));
        let parents = vec![(subscriptions, 0), right];
        let node = NodeOperator::Foreign(ForeignNode::Right { store: 0 });
        let telling = self.draft(&asked_name, node, parents, step.on_error.clone());
        let (topic, writer) = self.foreign_writer(step, &answers_name, (telling, 0));
        self.drafts[answers].input =
            Some(DraftInput { topic, on_error: OnError::Fail, writer: Some(writer), timestamp: None });
        Ok(at)
    }

    /// A topic that `parent` fills: the node that reads it, and the topic's number.
    fn foreign_topic(&mut self, step: &StepSpec, name: &str, parent: (usize, u32)) -> (usize, usize) {
        let (topic, writer) = self.foreign_writer(step, name, parent);
        let at = self.draft(name, NodeOperator::Source, vec![], OnError::Fail);
        self.drafts[at].input =
            Some(DraftInput { topic, on_error: OnError::Fail, writer: Some(writer), timestamp: None });
        (at, topic)
    }

    /// Numbers of a topic, and of the node that writes it.
    fn foreign_writer(&mut self, step: &StepSpec, name: &str, parent: (usize, u32)) -> (usize, usize) {
        let (topic, limits) = (self.topics.len(), Limits::default());
        let whole = repartition_topic(&self.spec.pipeline, name);
        self.topics.push(Topic { name: whole, partitions: 0, internal: true, limits });
        let writer = NodeOperator::Repartition { topic, after: name.to_string(), idle: step.idle };
        (topic, self.draft(name, writer, vec![parent], step.on_error.clone()))
    }
}
