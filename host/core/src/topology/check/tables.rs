//! What is wrong with steps that make tables, join with them, or read them.

use alloc::collections::BTreeMap;
use alloc::format;

use super::{Checker, Keys, Kinds, Section};
use crate::topology::describe::shown;
use crate::topology::graph::{FOREIGN_PARTS, store_name};
use crate::topology::spec::{Aggregate, Fold, Join, JoinKind, MapForm, Operator, StepSpec};

impl Checker<'_> {
    /// The keys of what a step makes that has to do with tables; `None`: it has not. `input`: those of what it reads.
    pub(super) fn of_tables(&mut self, step: &StepSpec, input: Keys, keys: &BTreeMap<&str, Keys>) -> Option<Keys> {
        if input.grouped && (step.from.len() > 1 || !matches!(step.operator, Operator::Aggregate(_))) {
            self.grouped_anew(Section::Steps, &step.name);
        }
        let input = Keys { grouped: input.grouped && step.from.len() == 1, ..input };
        let table = Keys { changed: false, repartitioned: input.repartitioned || input.changed, table: true, ..input };
        match &step.operator {
            Operator::Table { partitions, history_ms } => {
                if !input.changed && partitions.is_some() {
                    let message =
                        "`partitions` has no effect: the key has not changed, so there is no repartition topic";
                    let help = "leave it out, or put a `repartition` step before";
                    self.warn(Section::Steps, &step.name, "partitions", message.into(), help);
                }
                if input.table && input.history == *history_ms {
                    let message = format!("step `{}` makes a table of a table, so it does nothing", step.name);
                    self.warn(Section::Steps, &step.name, "table", message, "leave it out");
                }
                Some(Keys { history: *history_ms, ..table })
            }
            Operator::GlobalTable => Some(Keys::default()),
            Operator::Filter { .. } | Operator::Map { form: MapForm::MapValues, .. } if input.table => Some(table),
            Operator::Aggregate(Aggregate { fold: Fold::Cogroup { .. }, .. }) => {
                // Of a table the new values are read.
                if input.grouped && step.from.len() == 1 {
                    self.grouped_anew(Section::Steps, &step.name);
                }
                None
            }
            Operator::Aggregate(aggregate) if input.table || input.grouped => {
                self.scan_of_table(step, aggregate);
                if aggregate.window.is_some() {
                    let message = format!("`{}` groups a table, whose rows lie in no windows", step.name);
                    let help = "leave it out, or group the records that the table is made of";
                    self.error(Section::Steps, &step.name, "window", message, help);
                }
                None
            }
            Operator::Regroup { .. } => {
                if !input.table {
                    let message = format!("`{}` groups a stream as if it were a table", step.name);
                    let help = "use `select-key` for a stream, or make a table of it first: `table: {}`";
                    self.error(Section::Steps, &step.name, "from", message, help);
                }
                let kinds = Kinds::default();
                Some(Keys {
                    changed: true,
                    windowed: false,
                    kinds,
                    table: false,
                    grouped: true,
                    history: None,
                    ..input
                })
            }
            Operator::Join(join) => Some(self.join(step, join, input, keys)),
            Operator::StreamJoin(join) => Some(self.joined_streams(step, join, input, keys)),
            _ => None,
        }
    }

    /// Only an aggregate knows what to do with what is taken out.
    pub(super) fn grouped_anew(&mut self, section: Section, name: &str) {
        let message = format!("`{name}` reads a table that is grouped anew (`group-by`)");
        let help = "only `count`, `reduce` and `aggregate` can, each from one such step alone";
        self.error(section, name, "from", message, help);
    }

    fn join(&mut self, step: &StepSpec, join: &Join, input: Keys, keys: &BTreeMap<&str, Keys>) -> Keys {
        if self.global_join(step, join, input.table) {
            // Nothing is brought together by keys: they stay as they are.
            return input;
        }
        let repartitioned = input.repartitioned || input.changed;
        let joined = Keys { changed: false, repartitioned, history: None, ..input };
        // A source is known by no keys, and what is not there is told elsewhere.
        let source = self.spec.sources.iter().any(|s| s.name == join.other.name);
        let Some(other) = keys.get(join.other.name.as_str()).copied().or(source.then(Keys::default)) else {
            return joined;
        };
        if !other.table {
            let name = shown(&join.other);
            let message = format!("`{name}` is no table, and a stream is joined with a table");
            let help = format!(
                "make one of it, and join with that: `NAME: {{ from: {name}, table: {{}} }}`; or, to join two streams, say \
                 within which time records meet: `within: 5m`"
            );
            self.error(Section::Steps, &step.name, "join", message, &help);
            return joined;
        }
        self.waits(step, join, input, other);
        if join.key.is_some() {
            self.foreign(step, join, input, other);
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

    /// A join by foreign key.
    fn foreign(&mut self, step: &StepSpec, join: &Join, input: Keys, other: Keys) {
        let (section, name) = (Section::Steps, &step.name[..]);
        if !input.table {
            let message = "a stream has no join by foreign key (`key`): a change of the table sets nothing off there";
            let help = "make a table of what `from` names, or give the records the other key with `select-key` and join without `key`";
            self.error(section, name, "key", message.into(), help);
        }
        if join.kind == JoinKind::Outer {
            let message = "a join by foreign key (`key`) is `inner` or `left`: right rows have no key on the left";
            self.error(section, name, "type", message.into(), "use `type: left`, or leave `type` out");
        }
        if input.windowed || other.windowed {
            let message = "a join by foreign key (`key`) takes tables whose keys have no window";
            let help = "give the records keys of their own first (`select-key`)";
            self.error(section, name, if input.windowed { "from" } else { "join" }, message.into(), help);
        }
        for part in FOREIGN_PARTS {
            let own = store_name(name, part);
            if self.spec.steps.iter().any(|other| other.name == own) {
                let message = format!("`{name}` has a part called `{own}`, and so is another step");
                self.error(section, name, "", message, "rename one of the steps");
            }
        }
    }
}
