//! What is wrong with global tables, and with what reads them.

use alloc::format;

use super::{Checker, Section};
use crate::topology::spec::{From, Join, JoinKind, OnError, Spec, StepSpec};

impl Checker<'_> {
    /// A global table reads one source, which nothing else reads.
    pub(super) fn global_table(&mut self, step: &StepSpec) {
        let (section, name, spec) = (Section::Steps, &step.name[..], self.spec);
        let source = match &step.from[..] {
            [one] => spec.sources.iter().find(|source| source.name == one.name && one.output.is_none()),
            _ => None,
        };
        let Some(source) = source else {
            let message = format!("`{name}` is a global table, and does not read one source alone");
            let help = "every host reads its topics whole, before any step: write what it is to hold to a topic, and read that";
            return self.error(section, name, "from", message, help);
        };
        if let Some(other) = other_reader(spec, step, &source.name) {
            let message =
                format!("source `{}` is read by `{other}` too, besides the global table `{name}`", source.name);
            let help = "tasks share the partitions of a source, and a global table reads all of them: give each a topic of its own";
            self.error(section, name, "from", message, help);
        }
        if source.timestamp.is_some() {
            let message =
                format!("`timestamp` has no effect: source `{}` is a global table's, which has no time", source.name);
            self.warn(Section::Sources, &source.name, "timestamp", message, "leave it out");
        }
        if let OnError::DeadLetter(_) = source.on_error {
            let message =
                format!("source `{}` is a global table's, of which every host reads each record", source.name);
            let help = "there would be a dead letter of each host: use `on-error: skip` or `fail`";
            self.error(Section::Sources, &source.name, "on-error", message, help);
        }
    }

    /// A global table is read by joins alone.
    pub(super) fn reads_global(&mut self, section: Section, name: &str, field: &'static str, from: &[From]) {
        for global in from.iter().filter(|from| self.spec.global_table(&from.name).is_some()) {
            let message = format!("`{name}` reads the global table `{}`, whose changes set nothing off", global.name);
            let help = format!("look its rows up: `join: {}` with `key`; or make a `table` of the topic", global.name);
            self.error(section, name, field, message, &help);
        }
    }

    /// A join whose other side is a global table; `false`: it is none.
    pub(super) fn global_join(&mut self, step: &StepSpec, join: &Join, of_table: bool) -> bool {
        if self.spec.global_table(&join.other.name).is_none() {
            return false;
        }
        let (section, name, other) = (Section::Steps, &step.name[..], &join.other.name);
        if join.key.is_none() {
            let message = format!("`{other}` is a global table, and nothing says which of its rows a record means");
            let help = "name a mapper whose answer's key is that of the row: `key: FUNCTION`";
            self.error(section, name, "key", message, help);
        }
        if join.kind == JoinKind::Outer {
            let message = "a stream has no outer join with a global table: a change of the table sets nothing off";
            self.error(section, name, "type", message.into(), "use `type: left`");
        }
        if join.grace_ms.is_some() {
            let message = format!(
                "`grace` waits for what a table was at a time, and `{other}` is a global table, which knows only what it is"
            );
            self.error(section, name, "grace", message, "leave it out, or join with a table that has history");
        }
        if of_table {
            let message =
                format!("`{name}` joins a table with the global table `{other}`, and only a stream looks its rows up");
            let help = format!(
                "make a `table` of what `{other}` reads, and join by foreign key; or join the stream that the table is made of"
            );
            self.error(section, name, "from", message, &help);
        }
        true
    }
}

/// Who else reads a source.
fn other_reader<'a>(spec: &'a Spec, step: &StepSpec, source: &str) -> Option<&'a str> {
    let steps = spec.steps.iter().filter(|other| other.name != step.name);
    let mut steps = steps.filter(|other| other.reads().any(|from| from.name == source));
    let mut sinks = spec.sinks.iter().filter(|sink| sink.from.iter().any(|from| from.name == source));
    let sink = || sinks.next().map(|sink| &sink.name[..]);
    steps.next().map(|step| &step.name[..]).or_else(sink)
}
