//! What is wrong with a processor: its stores and its outputs.

use alloc::format;

use super::{Checker, OUTPUTS_MAX, Section, TOPIC_CHARACTERS_MAX};
use crate::topology::graph::{TIMERS_STORE, store_name};
use crate::topology::spec::{Operator, Process, StepSpec};

/// Most named stores of a processor; each has a changelog, or a keyspace, of its own.
pub const STORES_MAX: usize = 16;
/// Most characters of a store's name.
pub const STORE_CHARACTERS_MAX: usize = 64;

impl Checker<'_> {
    /// Checks a processor.
    pub(super) fn process(&mut self, step: &StepSpec, process: &Process) {
        let section = Section::Steps;
        self.partitions(&step.name, process.partitions);
        if process.outputs.len() > OUTPUTS_MAX {
            let message = format!("{} outputs; a processor has {OUTPUTS_MAX} at the most", process.outputs.len());
            self.error(section, &step.name, "outputs", message, "");
        }
        for (i, output) in process.outputs.iter().enumerate() {
            if process.outputs[..i].contains(output) {
                self.error(section, &step.name, "outputs", format!("two outputs are called `{output}`"), "");
                self.item(i);
            }
        }
        if process.stores.len() > STORES_MAX {
            let message = format!("{} stores; a processor has {STORES_MAX} at the most", process.stores.len());
            let help = "one store can hold several kinds of entries, told apart by how their keys begin";
            self.error(section, &step.name, "stores", message, help);
        }
        for (i, store) in process.stores.iter().enumerate() {
            self.store_name(step, &store.name);
            if process.stores[..i].iter().any(|other| other.name == store.name) {
                self.error(section, &step.name, "stores", format!("two stores are called `{}`", store.name), "");
            }
            if store.ttl_ms.is_some_and(|ms| ms < 1) {
                self.error(
                    section,
                    &step.name,
                    "stores",
                    format!("the `ttl` of `{}` is at least 1 ms", store.name),
                    "",
                );
            }
        }
        for own in process.stores.iter().map(|s| &s.name[..]).chain([TIMERS_STORE]) {
            self.taken_store(step, own);
        }
    }

    fn store_name(&mut self, step: &StepSpec, name: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > STORE_CHARACTERS_MAX || !name.chars().all(legal) {
            let help = format!("1 to {STORE_CHARACTERS_MAX} letters, digits, `.`, `_` and `-`");
            self.error(Section::Steps, &step.name, "stores", format!("`{name}` is not a store's name"), &help);
        }
        if name == TIMERS_STORE {
            let message = format!("`{TIMERS_STORE}` is the store of the step's timers");
            self.error(Section::Steps, &step.name, "stores", message, "choose another name");
        }
    }

    /// Stores are named by step and own name, an aggregate's by the step alone: another may have the same. And their changelogs have
    /// names that topics may have.
    fn taken_store(&mut self, step: &StepSpec, own: &str) {
        let (name, spec) = (store_name(&step.name, own), self.spec);
        let changelog = format!("{}-{name}-changelog", spec.pipeline);
        if changelog.len() > TOPIC_CHARACTERS_MAX {
            let message = format!(
                "the internal topic `{changelog}` would have {} characters; a topic's name may have {TOPIC_CHARACTERS_MAX}",
                changelog.len()
            );
            let help = "shorten the pipeline's, the step's or the store's name";
            self.error(Section::Steps, &step.name, "stores", message, help);
        }
        let has = |other: &&StepSpec| match &other.operator {
            Operator::Aggregate(_) | Operator::Deduplicate(_) => other.name == name,
            Operator::Process(p) if other.name != step.name => {
                let stores = p.stores.iter().map(|s| &s.name[..]).chain([TIMERS_STORE]);
                stores.into_iter().any(|store| store_name(&other.name, store) == name)
            }
            _ => false,
        };
        if let Some(other) = spec.steps.iter().find(has) {
            let message =
                format!("the store `{own}` of `{}` would be called `{name}`, as one of `{}` is", step.name, other.name);
            self.error(Section::Steps, &step.name, "stores", message, "rename one of the steps");
        }
    }
}
