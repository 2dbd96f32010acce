//! What is wrong at the ends: a source's function for event times, how long inputs wait for each other, and a sink's router.

use alloc::format;

use super::super::spec::{SinkSpec, SourceSpec, StepSpec};
use super::{Checker, ROUTED_TOPICS_MAX, Section};

impl Checker<'_> {
    /// Whether a source or a sink calls a function.
    pub(super) fn ends_use(&self, function: &str) -> bool {
        self.spec.sources.iter().any(|source| source.timestamp.as_deref() == Some(function))
            || self.spec.sinks.iter().any(|sink| sink.route.as_ref().is_some_and(|route| route.function == function))
    }

    /// A sink's router: what it calls, and what it may write.
    pub(super) fn route(&mut self, sink: &SinkSpec) {
        let Some(route) = &sink.route else { return };
        let section = Section::Sinks;
        self.known_function(section, &sink.name, "route", &route.function);
        if let Some(pattern) = &route.pattern {
            if pattern.chars().all(|c| c == '*') {
                let message = "a pattern of any name would let the router write every topic there is".into();
                self.error(section, &sink.name, "topics", message, "begin it with a word: `topics: \"alerts-*\"`");
            }
            return;
        }
        if route.topics.len() > ROUTED_TOPICS_MAX {
            let message = format!("{} topics; a router may name {ROUTED_TOPICS_MAX}", route.topics.len());
            self.error(section, &sink.name, "topics", message, "split the sink in several");
        }
        for (i, topic) in route.topics.iter().enumerate() {
            self.topic_name(section, &sink.name, "topics", topic);
            if let Some(source) = self.spec.sources.iter().find(|s| s.topics.contains(topic)) {
                let message = format!("`{topic}` is read by source `{}`: the pipeline would feed itself", source.name);
                self.error(section, &sink.name, "topics", message, "write another topic");
                self.item(i);
            }
            if route.topics[..i].contains(topic) {
                self.warn(section, &sink.name, "topics", format!("`{topic}` is named twice"), "");
                self.item(i);
            }
        }
    }

    pub(super) fn timestamp(&mut self, source: &SourceSpec) {
        if let Some(function) = &source.timestamp {
            self.known_function(Section::Sources, &source.name, "timestamp", function);
        }
    }

    /// A step of one input waits for no other.
    pub(super) fn max_idle(&mut self, step: &StepSpec) {
        if step.max_idle.is_some() && step.reads().count() < 2 {
            let message = format!("`max-idle` has no effect: `{}` reads one input, and waits for no other", step.name);
            self.warn(
                Section::Steps,
                &step.name,
                "max-idle",
                message,
                "leave it out, or say it for the whole pipeline",
            );
        }
    }

    fn known_function(&mut self, section: Section, name: &str, field: &'static str, function: &str) {
        if !self.spec.functions.iter().any(|f| f.name == function) {
            self.error(section, name, field, format!("no function is called `{function}`"), "");
            self.unknown(function, self.spec.functions.iter().map(|f| f.name.clone()).collect());
        }
    }
}
