//! Names of topics, and what is mixed where two uses share one.

use alloc::collections::BTreeMap;
use alloc::format;

use super::{Checker, Section, TOPIC_CHARACTERS_MAX, folds, streams};
use crate::topology::graph::repartition_topic;
use crate::topology::spec::{OnError, StepSpec};

impl Checker<'_> {
    pub(super) fn topics(&mut self) {
        let spec = self.spec;
        for step in &spec.steps {
            if let Some(topic) = &step.late {
                self.side_topic(Section::Steps, &step.name, "late", topic);
            }
            self.dead_letters(Section::Steps, &step.name, &step.on_error);
            let internal = repartition_topic(&spec.pipeline, &step.name);
            if internal.len() > TOPIC_CHARACTERS_MAX {
                let message = format!(
                    "the internal topic `{internal}` would have {} characters; a topic's name may have {TOPIC_CHARACTERS_MAX}",
                    internal.len()
                );
                self.error(Section::Steps, &step.name, "", message, "shorten the pipeline's or the step's name");
            }
        }
        for source in &spec.sources {
            self.dead_letters(Section::Sources, &source.name, &source.on_error);
        }
        let mut written: BTreeMap<&str, &str> = BTreeMap::new();
        for sink in &spec.sinks {
            self.topic_name(Section::Sinks, &sink.name, "topic", &sink.topic);
            self.dead_letters(Section::Sinks, &sink.name, &sink.on_error);
            if let Some(source) = spec.sources.iter().find(|s| s.topics.contains(&sink.topic)) {
                let message = format!(
                    "sink `{}` writes topic `{}`, which source `{}` reads: results come back as input",
                    sink.name, sink.topic, source.name
                );
                self.warn(
                    Section::Sinks,
                    &sink.name,
                    "topic",
                    message,
                    "write another topic, unless the circle is meant",
                );
            }
            if let Some(other) = written.insert(&sink.topic, &sink.name) {
                let message =
                    format!("sink `{other}` writes topic `{}` too, so the results of both are mixed", sink.topic);
                self.warn(
                    Section::Sinks,
                    &sink.name,
                    "topic",
                    message,
                    "one sink can write several streams: `from: [a, b]`",
                );
            }
        }
    }

    pub(super) fn dead_letters(&mut self, section: Section, name: &str, on_error: &OnError) {
        if let OnError::DeadLetter(topic) = on_error {
            self.side_topic(section, name, "on-error", topic);
        }
    }

    /// A topic for late records or dead letters.
    pub(super) fn side_topic(&mut self, section: Section, name: &str, field: &'static str, topic: &str) {
        self.topic_name(section, name, field, topic);
        let what = if field == "late" { "late records" } else { "dead letters" };
        let source = self.spec.sources.iter().find(|s| s.topics.iter().any(|t| t == topic));
        let sink = self.spec.sinks.iter().find(|s| s.topic == topic);
        let message = match (source, sink) {
            (Some(source), _) => {
                format!("{what} go to `{topic}`, which source `{}` reads: they come back as input", source.name)
            }
            (None, Some(sink)) => {
                format!("{what} go to `{topic}`, where sink `{}` writes results: they are mixed", sink.name)
            }
            (None, None) => return,
        };
        self.warn(section, name, field, message, "give them a topic of their own");
    }

    pub(super) fn topic_name(&mut self, section: Section, name: &str, field: &'static str, topic: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if topic.is_empty()
            || topic.len() > TOPIC_CHARACTERS_MAX
            || matches!(topic, "." | "..")
            || !topic.chars().all(legal)
        {
            let help = format!("1 to {TOPIC_CHARACTERS_MAX} letters, digits, `.`, `_` and `-`, but not `.` or `..`");
            self.error(section, name, field, format!("`{topic}` is not a topic's name"), &help);
        }
        let is_own = |step: &&StepSpec| {
            streams::internal_topics(self.spec, step).any(|own| own == topic)
                || folds::is_in_front(&self.spec.pipeline, step, topic)
        };
        let owner = self.spec.steps.iter().find(is_own);
        if let Some(step) = owner {
            let message = format!("`{topic}` is the internal topic in front of step `{}`", step.name);
            self.error(section, name, field, message, "choose another name; internal topics belong to the pipeline");
        }
    }
}
