//! What is wrong with joins of two streams.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use super::{Checker, Keys, Kinds, Section, TOPIC_CHARACTERS_MAX};
use crate::topology::describe::shown;
use crate::topology::graph::{repartition_topic, side_name};
use crate::topology::spec::{Operator, Spec, StepSpec, StreamJoin};

/// Names of the repartition topics that may stand in front of a step.
pub(super) fn internal_topics(spec: &Spec, step: &StepSpec) -> impl Iterator<Item = String> {
    let sides = match step.operator {
        Operator::StreamJoin(_) => vec![side_name(&step.name, false), side_name(&step.name, true)],
        _ => vec![step.name.clone()],
    };
    sides.into_iter().map(|side| repartition_topic(&spec.pipeline, &side))
}

impl Checker<'_> {
    /// Checks the times of a join, and the names that it takes.
    pub(super) fn stream_join(&mut self, step: &StepSpec, join: &StreamJoin) {
        let times = [
            ("within", join.window.before_ms, "`before`"),
            ("within", join.window.after_ms, "`after`"),
            ("grace", join.window.grace_ms, "the grace of a join"),
        ];
        for (field, _, what) in times.into_iter().filter(|(_, ms, _)| *ms < 0) {
            self.error(Section::Steps, &step.name, field, format!("{what} is at least 0 ms"), "");
        }
        for side in [false, true].map(|right| side_name(&step.name, right)) {
            let topic = repartition_topic(&self.spec.pipeline, &side);
            if topic.len() > TOPIC_CHARACTERS_MAX {
                let message = format!(
                    "the internal topic `{topic}` would have {} characters; a topic's name may have {TOPIC_CHARACTERS_MAX}",
                    topic.len()
                );
                self.error(Section::Steps, &step.name, "", message, "shorten the pipeline's or the step's name");
            }
            if self.spec.steps.iter().any(|other| other.name == side) {
                let message = format!("the step `{side}` is called as a side of the join `{}`", step.name);
                self.error(Section::Steps, &side, "", message, "rename one of the two");
            }
        }
    }

    /// The keys of what a join of two streams gives. `input`: those of what it reads.
    pub(super) fn joined_streams(
        &mut self,
        step: &StepSpec,
        join: &StreamJoin,
        input: Keys,
        keys: &BTreeMap<&str, Keys>,
    ) -> Keys {
        let other = keys.get(join.other.name.as_str()).copied().unwrap_or_default();
        if other.grouped {
            self.grouped_anew(Section::Steps, &step.name);
        }
        let tables = [("from", input.table, step.from.first()), ("join", other.table, Some(&join.other))];
        for (field, _, table) in tables.into_iter().filter(|(_, table, _)| *table) {
            let name = table.map(shown).unwrap_or_default();
            let message = format!("`{name}` is a table, and `within` is for two streams");
            let help = "leave `within` out: a record is joined with what the table has when it comes";
            self.error(Section::Steps, &step.name, field, message, help);
        }
        if input.windowed != other.windowed && self.is_there(&join.other.name) {
            let (with, without) = if input.windowed { ("from", "join") } else { ("join", "from") };
            let message =
                format!("keys of `{with}` have a window, and those of `{without}` have none, so none is ever equal");
            let help = "give the records keys of their own first (`select-key`)";
            self.error(Section::Steps, &step.name, "join", message, help);
        }
        let any = |f: fn(Keys) -> bool| f(input) || f(other);
        Keys {
            changed: false,
            windowed: input.windowed,
            kinds: if input.windowed { input.kinds.or(other.kinds) } else { Kinds::default() },
            repartitioned: any(|k| k.repartitioned || k.changed),
            table: false,
            grouped: false,
            history: None,
        }
    }

    /// Whether a source or a step has this name.
    fn is_there(&self, name: &str) -> bool {
        self.spec.sources.iter().any(|s| s.name == name) || self.spec.steps.iter().any(|s| s.name == name)
    }
}
