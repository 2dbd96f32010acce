//! What depends on whether the keys of a stream have changed or have windows.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;

use super::{Checker, Section};
use crate::topology::spec::{Aggregate, From, Idle, KeyFormat, Lateness, Operator, StepSpec, WindowForm};

/// What is known of the keys of a stream, as the planner has it.
#[derive(Clone, Copy, Default)]
pub(super) struct Keys {
    /// The key may have changed since records were last partitioned.
    pub(super) changed: bool,
    /// Keys have a window.
    pub(super) windowed: bool,
    /// Which kinds of windows, of those whose keys Kafka's serializers write differently.
    pub(super) kinds: Kinds,
    /// A repartition topic lies upstream.
    pub(super) repartitioned: bool,
    /// They are those of a table's changes.
    pub(super) table: bool,
    /// They are those of a table that is grouped anew.
    pub(super) grouped: bool,
    /// For how long the rows of the table are known as they were, milliseconds.
    pub(super) history: Option<i64>,
}

/// Kinds of windows that the keys of a stream may have.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    /// Known by their start.
    pub(super) time: bool,
    /// Known by start and end.
    pub(super) session: bool,
    /// Several begin together.
    pub(super) cumulating: bool,
}

impl Kinds {
    pub(super) fn of(form: WindowForm) -> Self {
        Self {
            time: !matches!(form, WindowForm::Session { .. } | WindowForm::Cumulating { .. }),
            session: matches!(form, WindowForm::Session { .. }),
            cumulating: matches!(form, WindowForm::Cumulating { .. }),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self {
            time: self.time || other.time,
            session: self.session || other.session,
            cumulating: self.cumulating || other.cumulating,
        }
    }
}

impl<'a> Checker<'a> {
    /// What depends on whether keys have changed or have windows.
    pub(super) fn keys(&mut self, order: &[&'a StepSpec]) {
        let mut keys: BTreeMap<&str, Keys> = BTreeMap::new();
        let joined = |keys: &BTreeMap<&str, Keys>, from: &[From]| {
            let all = from.iter().filter_map(|f| keys.get(f.name.as_str()));
            all.fold(Keys::default(), |a, b| Keys {
                changed: a.changed || b.changed,
                windowed: a.windowed || b.windowed,
                kinds: a.kinds.or(b.kinds),
                repartitioned: a.repartitioned || b.repartitioned,
                table: from.len() == 1 && b.table,
                grouped: a.grouped || b.grouped,
                history: b.history.filter(|_| from.len() == 1),
            })
        };
        for step in order {
            let mut own = joined(&keys, &step.from);
            if let Some(own) = self.of_tables(step, own, &keys) {
                self.without_repartition(step, own);
                keys.insert(&step.name, own);
                continue;
            }
            (own.table, own.grouped, own.history) = (false, false, None);
            match &step.operator {
                Operator::Map { form, .. } if form.may_change_key() => {
                    own = Keys { changed: true, windowed: false, kinds: Kinds::default(), ..own };
                }
                Operator::Repartition { .. } => own = Keys { changed: false, repartitioned: true, ..own },
                Operator::Aggregate(aggregate) => own = self.grouped(step, aggregate, own),
                Operator::Deduplicate(deduplicate) => {
                    self.without_effect(step, deduplicate.partitions, own);
                    own = Keys { changed: false, repartitioned: own.repartitioned || own.changed, ..own };
                }
                Operator::Process(process) => {
                    self.without_effect(step, process.partitions, own);
                    let repartitioned = own.repartitioned || own.changed;
                    own = Keys { changed: true, windowed: false, kinds: Kinds::default(), repartitioned, ..own };
                }
                _ => {}
            }
            self.without_repartition(step, own);
            keys.insert(&step.name, own);
        }
        for sink in &self.spec.sinks {
            let joined = joined(&keys, &sink.from);
            if joined.grouped {
                self.grouped_anew(Section::Sinks, &sink.name);
            }
            if sink.key_format == KeyFormat::Kafka {
                self.kafka_keys(&sink.name, joined.kinds);
            }
            if !joined.windowed && (sink.key_format != KeyFormat::default() || sink.window_headers) {
                let field = if sink.window_headers { "window-headers" } else { "key-format" };
                let message = format!("`{field}` has no effect: the keys written have no window");
                self.warn(Section::Sinks, &sink.name, field, message, "leave it out");
            }
        }
    }

    /// Kafka's own serializers write the start of a time window, and end and start of a session: a reader is told beforehand
    /// which of them it reads.
    pub(super) fn kafka_keys(&mut self, sink: &str, kinds: Kinds) {
        let help = "choose `key-format: json` or `plain`, where start and end can be read";
        if kinds.cumulating {
            let message =
                "`key-format: kafka` writes the start of a window alone, and cumulating windows begin together";
            self.error(Section::Sinks, sink, "key-format", message.to_string(), help);
        } else if kinds.time && kinds.session {
            let message =
                "sessions and other windows are written here, whose keys `key-format: kafka` writes differently";
            self.error(Section::Sinks, sink, "key-format", message.to_string(), help);
        }
    }

    pub(super) fn grouped(&mut self, step: &StepSpec, aggregate: &Aggregate, input: Keys) -> Keys {
        if input.windowed && aggregate.window.is_some() {
            let message = format!("step `{}` groups windowed results into windows again", step.name);
            let help = "a result of two windows has no form; give the records a key of their own first (`select-key`)";
            self.error(Section::Steps, &step.name, "window", message, help);
        }
        self.without_effect(step, aggregate.partitions, input);
        Keys {
            changed: false,
            windowed: input.windowed || aggregate.window.is_some(),
            kinds: aggregate.window.map_or(input.kinds, |w| Kinds::of(w.form)),
            repartitioned: input.repartitioned || input.changed,
            table: false,
            grouped: false,
            history: None,
        }
    }

    /// `partitions` is that of a repartition topic.
    pub(super) fn without_effect(&mut self, step: &StepSpec, partitions: Option<u32>, input: Keys) {
        if !input.changed && partitions.is_some() {
            let message = "`partitions` has no effect: the key has not changed, so there is no repartition topic";
            let help = "leave it out, or put a `repartition` step before";
            self.warn(Section::Steps, &step.name, "partitions", message.to_string(), help);
        }
    }

    /// `idle` and `lateness` are about upstream tasks, which only a repartition topic has.
    pub(super) fn without_repartition(&mut self, step: &StepSpec, own: Keys) {
        let help = "leave it out: without a repartition topic before it, a step goes by the records it sees";
        let fields = [("idle", step.idle != Idle::default()), ("lateness", step.lateness != Lateness::default())];
        for (field, _) in fields.iter().filter(|(_, given)| *given && !own.repartitioned) {
            let message = format!("`{field}` has no effect: no repartition topic lies before this step");
            self.warn(Section::Steps, &step.name, field, message, help);
        }
    }
}
