//! Planning of the ends: sources, where records enter, and sinks, where results leave.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::super::check::ROUTED_TOPICS_MAX;
use super::super::spec::{MaxIdle, OnError, Route, StepSpec};
use super::{DraftInput, FOREIGN_PARTS, ForeignNode, Input, InputKind, NodeOperator, PlanError, Planner, store_name};

/// A router with names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNode {
    /// Number of the function.
    pub function: usize,
    /// Numbers of the topics that it may name beside the sink's own.
    pub topics: Vec<usize>,
}

impl Input {
    /// Number of the function that gives its records their event times; `None`: their own timestamps count.
    pub fn timestamp(&self) -> Option<usize> {
        match self.kind {
            InputKind::Source { timestamp, .. } => timestamp,
            InputKind::Repartition { .. } => None,
        }
    }
}

impl Planner<'_> {
    /// How long tasks wait that have these nodes: as long as any of their steps that read several inputs asks for.
    pub(super) fn max_idle(&self, nodes: &[usize]) -> MaxIdle {
        let says = |at: &usize| {
            let node = &self.drafts[*at].node;
            // Where the right rows of a join by foreign key are, it is a part of the step that reads several.
            let part = matches!(node.operator, NodeOperator::Foreign(ForeignNode::Right { .. }));
            let names = |step: &&StepSpec| {
                step.name == node.name || part && store_name(&step.name, FOREIGN_PARTS[1]) == node.name
            };
            let step = self.spec.steps.iter().find(names).filter(|_| node.parents.len() > 1);
            step.and_then(|step| step.max_idle)
        };
        nodes.iter().filter_map(says).max().unwrap_or(self.spec.max_idle)
    }

    pub(super) fn sources(&mut self) -> Result<(), PlanError> {
        for source in self.spec.sources.iter().filter(|source| !self.spec.is_global(&source.name)) {
            let mut parents = Vec::new();
            let function = |f: &String| self.function(&source.name, f);
            let timestamp = source.timestamp.as_ref().map(function).transpose()?;
            for topic in &source.topics {
                let topic = self.topic(topic)?;
                let at = self.draft(&source.name, NodeOperator::Source, vec![], source.on_error.clone());
                self.drafts[at].input =
                    Some(DraftInput { topic, on_error: source.on_error.clone(), timestamp, writer: None });
                parents.push((at, 0));
            }
            let at = match parents[..] {
                [(one, 0)] => one,
                _ => self.draft(&source.name, NodeOperator::Merge, parents, OnError::Fail),
            };
            self.names.insert(source.name.clone(), at);
        }
        Ok(())
    }

    fn route(&mut self, sink: &str, route: &Route) -> Result<RouteNode, PlanError> {
        if route.topics.len() > ROUTED_TOPICS_MAX {
            return Err(PlanError::TooManyTopics { sink: sink.into(), count: route.topics.len() });
        }
        let function = self.function(sink, &route.function)?;
        Ok(RouteNode {
            function,
            topics: route.topics.iter().map(|topic| self.topic(topic)).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn sinks(&mut self) -> Result<(), PlanError> {
        for sink in &self.spec.sinks {
            let parent = self.joined(&sink.name, &sink.from)?;
            if self.drafts[parent.0].grouped {
                return Err(PlanError::GroupedTable(sink.name.clone()));
            }
            let topic = self.topic(&sink.topic)?;
            let (key_format, window_headers) = (sink.key_format, sink.window_headers);
            let sessions = self.drafts[parent.0].sessions;
            let route = sink.route.as_ref().map(|route| self.route(&sink.name, route)).transpose()?;
            let operator = NodeOperator::Sink { topic, key_format, window_headers, sessions, route };
            self.draft(&sink.name, operator, vec![parent], sink.on_error.clone());
        }
        for (topic, _) in self.spec.sources.iter().filter_map(|s| dead_letters(&s.on_error).map(|t| (t, ()))) {
            self.topic(topic)?;
        }
        for step in &self.spec.steps {
            if let Some(topic) = dead_letters(&step.on_error) {
                self.topic(topic)?;
            }
        }
        for sink in &self.spec.sinks {
            if let Some(topic) = dead_letters(&sink.on_error) {
                self.topic(topic)?;
            }
        }
        Ok(())
    }
}

fn dead_letters(on_error: &OnError) -> Option<&str> {
    match on_error {
        OnError::DeadLetter(topic) => Some(topic),
        _ => None,
    }
}
