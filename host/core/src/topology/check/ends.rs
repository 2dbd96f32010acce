//! What is wrong where records come in: a source's function for event times, and how long inputs wait for each other.

use alloc::format;
use alloc::string::String;

use super::super::spec::{SourceSpec, StepSpec};
use super::{Checker, Section};

impl Checker<'_> {
    /// Whether a source calls a function.
    pub(super) fn ends_use(&self, function: &str) -> bool {
        self.spec.sources.iter().any(|source| source.timestamp.as_deref() == Some(function))
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

    fn known_function(&mut self, section: Section, name: &str, field: &'static str, function: &String) {
        if !self.spec.functions.iter().any(|f| f.name == *function) {
            self.error(section, name, field, format!("no function is called `{function}`"), "");
            self.unknown(function, self.spec.functions.iter().map(|f| f.name.clone()).collect());
        }
    }
}
