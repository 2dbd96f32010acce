//! What is wrong with scans, which are not for every window, with cogroups, and with steps that deduplicate.

use alloc::format;

use super::{Checker, Section, TOPIC_CHARACTERS_MAX};
use crate::topology::graph::{input_name, repartition_topic};
use crate::topology::spec::{Aggregate, Deduplicate, Emit, Fold, Operator, StepSpec};

/// Whether a topic is one of the internal ones in front of a step.
pub(super) fn is_in_front(pipeline: &str, step: &StepSpec, topic: &str) -> bool {
    let cogroups = matches!(&step.operator, Operator::Aggregate(a) if !a.fold.adders().is_empty());
    repartition_topic(pipeline, &step.name) == topic
        || cogroups
            && step.from.iter().any(|input| repartition_topic(pipeline, &input_name(&step.name, input)) == topic)
}

impl Checker<'_> {
    /// A scan sends after each record what the function says, so each group has to be there then, and each has its own.
    pub(super) fn scan(&mut self, step: &StepSpec, aggregate: &Aggregate) {
        if !matches!(aggregate.fold, Fold::Scan { .. }) {
            return;
        }
        if aggregate.emit == Emit::OnClose {
            let message = "`scan` sends a result after each record, and none when a window closes";
            self.error(Section::Steps, &step.name, "emit", message.into(), "use `aggregate` with `emit: on-close`");
        }
        if aggregate.window.is_some_and(|window| window.form.merges()) {
            let message = format!(
                "`{}` scans windows that are merged of several states, and a scan goes on from one state",
                step.name
            );
            let help = "use `tumbling`, `hopping` without `panes` or `cumulating`; or `aggregate` with `emit-every-update: true`";
            self.error(Section::Steps, &step.name, "window", message, help);
        }
    }

    /// Each input of a cogroup has a function, and its repartition topic a name that no other has.
    pub(super) fn cogroup(&mut self, step: &StepSpec, aggregate: &Aggregate) {
        let Fold::Cogroup { adders, .. } = &aggregate.fold else { return };
        if adders.len() != step.from.len() {
            let message = format!("{} inputs and {} functions; each input has one", step.from.len(), adders.len());
            self.error(Section::Steps, &step.name, "cogroup", message, "");
        }
        let spec = self.spec;
        for (i, input) in step.from.iter().enumerate() {
            let name = input_name(&step.name, input);
            let internal = repartition_topic(&spec.pipeline, &name);
            if internal.len() > TOPIC_CHARACTERS_MAX {
                let message = format!(
                    "the internal topic `{internal}` would have {} characters; a topic's name may have {TOPIC_CHARACTERS_MAX}",
                    internal.len()
                );
                self.error(
                    Section::Steps,
                    &step.name,
                    "cogroup",
                    message,
                    "shorten the pipeline's, the step's or the input's name",
                );
            }
            let twice = step.from[..i].iter().any(|other| input_name(&step.name, other) == name);
            if twice || spec.steps.iter().any(|other| other.name == name) {
                let message = format!("the internal topic `{internal}` would be that of something else too");
                self.error(Section::Steps, &step.name, "cogroup", message, "rename the step or the input");
            }
        }
    }

    /// Checks a step that deduplicates.
    pub(super) fn deduplicate(&mut self, step: &StepSpec, deduplicate: &Deduplicate) {
        self.partitions(&step.name, deduplicate.partitions);
        for (field, ms) in [("within", deduplicate.within_ms), ("grace", deduplicate.grace_ms)] {
            if ms < 0 {
                let message = format!("`{field}` is {ms} ms; it is at least 0 ms");
                self.error(Section::Steps, &step.name, "deduplicate", message, "");
            }
        }
    }

    /// A scan takes nothing out again.
    pub(super) fn scan_of_table(&mut self, step: &StepSpec, aggregate: &Aggregate) {
        if let Fold::Scan { .. } = aggregate.fold {
            let message = format!("`{}` scans a table, of which rows would have to be taken out again", step.name);
            let help = "use `aggregate` with `emit-every-update: true`, whose function has `retractor`";
            self.error(Section::Steps, &step.name, "scan", message, help);
        }
    }
}
