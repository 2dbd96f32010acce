//! What is wrong with steps that make tables, join with them, or read them.

use alloc::collections::BTreeMap;
use alloc::format;

use super::{Checker, Keys, Section};
use crate::topology::describe::shown;
use crate::topology::spec::{Join, JoinKind, MapForm, Operator, StepSpec};

impl Checker<'_> {
    /// The keys of what a step makes that has to do with tables; `None`: it has not. `input`: those of what it reads.
    pub(super) fn of_tables(&mut self, step: &StepSpec, input: Keys, keys: &BTreeMap<&str, Keys>) -> Option<Keys> {
        let table = Keys { changed: false, repartitioned: input.repartitioned || input.changed, table: true, ..input };
        match &step.operator {
            Operator::Table { partitions } => {
                if !input.changed && partitions.is_some() {
                    let message =
                        "`partitions` has no effect: the key has not changed, so there is no repartition topic";
                    let help = "leave it out, or put a `repartition` step before";
                    self.warn(Section::Steps, &step.name, "partitions", message.into(), help);
                }
                if input.table {
                    let message = format!("step `{}` makes a table of a table, so it does nothing", step.name);
                    self.warn(Section::Steps, &step.name, "table", message, "leave it out");
                }
                Some(table)
            }
            Operator::Filter { .. } | Operator::Map { form: MapForm::MapValues, .. } if input.table => Some(table),
            Operator::Aggregate(_) if input.table => {
                let message =
                    format!("`{}` groups the changes of a table, which this version does not know", step.name);
                let help = "group the records that the table is made of";
                self.error(Section::Steps, &step.name, "from", message, help);
                None
            }
            Operator::Join(join) => Some(self.join(step, join, input, keys)),
            _ => None,
        }
    }

    fn join(&mut self, step: &StepSpec, join: &Join, input: Keys, keys: &BTreeMap<&str, Keys>) -> Keys {
        let joined = Keys { changed: false, repartitioned: input.repartitioned || input.changed, ..input };
        // A source is known by no keys, and what is not there is told elsewhere.
        let source = self.spec.sources.iter().any(|s| s.name == join.other.name);
        let Some(other) = keys.get(join.other.name.as_str()).copied().or(source.then(Keys::default)) else {
            return joined;
        };
        if !other.table {
            let name = shown(&join.other);
            let message = format!("`{name}` is no table, and a stream is joined with a table");
            let help = format!("make one of it, and join with that: `NAME: {{ from: {name}, table: {{}} }}`");
            self.error(Section::Steps, &step.name, "join", message, &help);
            return joined;
        }
        if join.kind == JoinKind::Outer && !input.table {
            let message = "a stream has no outer join with a table: a change of the table sets nothing off";
            self.error(
                Section::Steps,
                &step.name,
                "type",
                message.into(),
                "use `type: left`, or make a table of the stream",
            );
        }
        if input.windowed != other.windowed {
            let (with, without) = if input.windowed { ("from", "join") } else { ("join", "from") };
            let message =
                format!("keys of `{with}` have a window, and those of `{without}` have none, so none is ever equal");
            let help = "give the records keys of their own first (`select-key`)";
            self.error(Section::Steps, &step.name, "join", message, help);
        }
        joined
    }
}
