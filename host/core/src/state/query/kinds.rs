//! Which stores a plan has, for whoever wants to ask them: what each holds, how its rows are found, and why some are not to be asked.
//! Not here: reading.

use alloc::string::String;
use alloc::vec::Vec;

use super::Form;
use crate::meta::Meta;
use crate::operator::process::Kept;
use crate::record::Timestamp;
use crate::slicing::Slicing;
use crate::time::NEVER;
use crate::topology::graph::{ForeignNode, JoinNode, Node, NodeOperator, SubTopology, TableNode, TableOf};
use crate::topology::spec::{Fold, WindowForm};
use crate::window::Grid;

/// What a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rows of a table, or of a join of tables.
    Rows,
    /// Aggregates by key.
    Aggregates,
    /// Aggregates by window and key.
    Windows,
    /// Aggregates by key and session.
    Sessions,
    /// A processor's entries.
    Entries,
    /// A processor's timers.
    Timers,
    /// Ids of records that have passed.
    Ids,
    /// Records of streams that wait for partners, or for a table.
    Waiting,
    /// What a step over a table has sent on, to take it back.
    Sent,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 9] = [
        Kind::Rows,
        Kind::Aggregates,
        Kind::Windows,
        Kind::Sessions,
        Kind::Entries,
        Kind::Timers,
        Kind::Ids,
        Kind::Waiting,
        Kind::Sent,
    ];

    /// Why such a store is not to be asked; `None`: it is.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Kind::Rows | Kind::Aggregates | Kind::Windows | Kind::Sessions | Kind::Entries => None,
            Kind::Timers => Some("it holds the timers of a processor, which are no rows"),
            Kind::Ids => Some("it holds ids of records, to know them again, and no values"),
            Kind::Waiting => Some("it holds records that wait to be joined, which are no results"),
            Kind::Sent => {
                Some("it holds what the step has sent on, to take it back; the table that it reads has the rows")
            }
        }
    }
}

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Bytes as they came: of records, or of entries.
    Bytes,
    /// A function's states, in its own layout: what leaves the step where the function has no `finish`.
    States,
    /// Big-endian signed 64-bit numbers.
    Counts,
}

/// A store as it can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The step.
    pub step: String,
    /// Its place among the stores of its sub-topology.
    pub number: usize,
    /// What it holds.
    pub kind: Kind,
    /// How its rows are found; `None`: it is not to be asked, see [`Kind::refusal`].
    pub form: Option<Form>,
    /// What its values are.
    pub values: Values,
    /// Rows are in the partition that murmur2 gives for their keys, where topics are filled by key. A processor chooses its keys itself.
    pub by_key: bool,
    /// How long entries are kept, milliseconds of the step's time.
    pub ttl_ms: Option<i64>,
    /// The function that has made its states.
    pub function: Option<Maker>,
}

/// A function that makes states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker {
    /// Its number in the plan.
    pub function: usize,
    /// States are values of records, which have no layout and leave as they are.
    pub reduces: bool,
    /// It says what leaves of a state.
    pub finishes: bool,
}

impl Asked {
    /// Which entries are there still at a task's last commit.
    pub fn kept(&self, meta: &Meta) -> Kept {
        let clock = meta.clocks.iter().find(|clock| clock.node == self.step).map(|clock| clock.closing);
        let times = meta.nodes.iter().find(|(name, ..)| *name == self.step);
        match (self.ttl_ms, times) {
            (Some(ttl), Some((_, observed, first))) => Kept::for_ttl(ttl, clock.unwrap_or(*observed), *first),
            _ => Kept::always(),
        }
    }

    /// Closing time up to which windows have been closed at a task's last commit.
    pub fn closed(&self, meta: &Meta) -> Timestamp {
        meta.nodes.iter().find(|(name, ..)| *name == self.step).map_or(NEVER, |(.., closed)| *closed)
    }
}

/// The stores of a sub-topology, in their order.
pub fn stores(sub: &SubTopology) -> Vec<Asked> {
    let mut all = Vec::with_capacity(sub.stores.len());
    for node in &sub.nodes {
        let held = held_by(node);
        assert_eq!(held.len(), sub.stores_of(node).len(), "every store of {} is told", node.name);
        for (kind, form, values, ttl_ms) in held {
            let by_key = kind != Kind::Entries;
            let function = match &node.operator {
                NodeOperator::Aggregate(aggregate) => aggregate.function.map(|function| {
                    let reduces = matches!(aggregate.spec.fold, Fold::Reduce { .. });
                    let finishes = matches!(aggregate.spec.fold, Fold::Aggregate { .. } | Fold::Cogroup { .. });
                    Maker { function, reduces, finishes }
                }),
                _ => None,
            };
            all.push(Asked {
                step: node.name.clone(),
                number: all.len(),
                kind,
                form,
                values,
                by_key,
                ttl_ms,
                function,
            });
        }
    }
    all
}

type Held = (Kind, Option<Form>, Values, Option<i64>);

fn held_by(node: &Node) -> Vec<Held> {
    let keyed = |by_window: bool| Some(if by_window { Form::WindowedKeys } else { Form::Keys });
    let closed = |kind| (kind, None, Values::Bytes, None);
    let one: Held = match &node.operator {
        NodeOperator::Aggregate(aggregate) => {
            let values = if matches!(aggregate.spec.fold, Fold::Count(_)) { Values::Counts } else { Values::States };
            match aggregate.spec.window {
                None => (Kind::Aggregates, keyed(aggregate.by_window), values, None),
                Some(window) => match (window.form, Grid::of(window)) {
                    (WindowForm::Session { .. }, _) => (Kind::Sessions, Some(Form::Sessions), values, None),
                    (_, Some(grid)) => (Kind::Windows, Some(Form::Windows(grid)), values, None),
                    // Those that have no grid are put together from slices.
                    (_, None) => (Kind::Windows, Slicing::of(window).map(Form::Slices), values, None),
                },
            }
        }
        NodeOperator::Table(TableNode { of: TableOf::ForeignKey { .. }, .. })
        | NodeOperator::Foreign(ForeignNode::Right { .. })
        | NodeOperator::Regroup(_) => closed(Kind::Sent),
        NodeOperator::Table(TableNode { by_window, .. })
        | NodeOperator::Foreign(ForeignNode::Left(JoinNode { store: Some(_), by_window, .. }))
        | NodeOperator::Join(JoinNode { store: Some(_), by_window, .. }) => {
            (Kind::Rows, keyed(*by_window), Values::Bytes, None)
        }
        NodeOperator::StreamJoin(_) | NodeOperator::Join(JoinNode { wait: Some(_), .. }) => closed(Kind::Waiting),
        NodeOperator::Deduplicate(_) => closed(Kind::Ids),
        NodeOperator::Process(process) => {
            let named = process.spec.stores.iter();
            let named = named.map(|store| (Kind::Entries, Some(Form::Keys), Values::Bytes, store.ttl_ms));
            return named.chain([closed(Kind::Timers)]).collect();
        }
        NodeOperator::Join(_) | NodeOperator::Foreign(ForeignNode::Left(_)) => return Vec::new(),
        NodeOperator::Source
        | NodeOperator::Filter { .. }
        | NodeOperator::Map { .. }
        | NodeOperator::Branch { .. }
        | NodeOperator::Merge
        | NodeOperator::Peek { .. }
        | NodeOperator::GlobalJoin(_)
        | NodeOperator::Repartition { .. }
        | NodeOperator::Sink { .. } => return Vec::new(),
    };
    Vec::from([one])
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::meta::ClockMeta;
    use crate::topology::graph::plan;
    use crate::topology::spec::{
        Aggregate, CountFormat, Deduplicate, Emit, From, FunctionSpec, Idle, Join, JoinKind, JoinWindow, Lateness,
        MapForm, OnError, Operator, Process, SourceSpec, Spec, StepSpec, StoreSpec, StreamJoin, Window,
    };

    fn function() -> String {
        "f".into()
    }

    fn from(name: &str) -> From {
        From { name: name.into(), output: None }
    }

    fn fold(fold: Fold, form: Option<WindowForm>) -> Operator {
        let window = form.map(|form| Window { form, grace_ms: 7 });
        Operator::Aggregate(Aggregate { fold, window, emit: Emit::OnClose, emit_every_update: false, partitions: None })
    }

    fn count(form: WindowForm) -> Operator {
        fold(Fold::Count(CountFormat::Text), Some(form))
    }

    fn join(other: &str, key: Option<&str>) -> Operator {
        let key = key.map(Into::into);
        Operator::Join(Join { other: from(other), kind: JoinKind::Left, function: function(), key, grace_ms: None })
    }

    /// Stores of a plan, and what is told of each.
    fn told(steps: Vec<(&str, &str, Operator)>) -> Vec<(String, Asked)> {
        let step = |(name, reads, operator): (&str, &str, Operator)| StepSpec {
            name: name.into(),
            from: vec![from(reads)],
            operator,
            on_error: OnError::Fail,
            late: None,
            idle: Idle::Never,
            lateness: Lateness::OwnTask,
            max_idle: None,
        };
        let source = |name: &str| {
            let (name, topics) = (name.into(), vec![name.into()]);
            SourceSpec { name, topics, timestamp: None, on_error: OnError::Fail }
        };
        let spec = Spec {
            pipeline: "p".into(),
            functions: vec![FunctionSpec { name: function() }],
            sources: vec![source("in"), source("other")],
            steps: steps.into_iter().map(step).collect(),
            ..Spec::default()
        };
        let topology = plan(&spec, &|_| Some(1)).unwrap();
        let of = |sub: &SubTopology| -> Vec<_> {
            sub.stores.iter().map(|store| store.name.clone()).zip(stores(sub)).collect()
        };
        topology.subs.iter().flat_map(of).collect()
    }

    #[test]
    fn every_kind_of_store_is_told() {
        let hopping = WindowForm::Hopping { size_ms: 10, advance_ms: 5 };
        let grid = |form| Some(Form::Windows(Grid::of(Window { form, grace_ms: 7 }).unwrap()));
        let sliced = |form| Some(Form::Slices(Slicing::of(Window { form, grace_ms: 7 }).unwrap()));
        let named = |name: &str| StoreSpec { name: name.into(), ttl_ms: None };
        let process = Process { function: function(), stores: vec![named("last")], outputs: vec![], partitions: None };
        let window = JoinWindow { before_ms: 1, after_ms: 1, grace_ms: 0 };
        let within = StreamJoin { other: from("other"), kind: JoinKind::Inner, function: None, window };
        let deduplicate = Deduplicate { function: None, within_ms: 5, grace_ms: 0, partitions: None };
        let all = told(vec![
            ("all", "in", fold(Fold::Count(CountFormat::Long), None)),
            ("sums", "in", fold(Fold::Reduce { function: function() }, None)),
            ("windows", "in", count(hopping)),
            ("steps", "in", count(WindowForm::Cumulating { size_ms: 30, step_ms: 10 })),
            ("sliding", "in", count(WindowForm::Sliding { difference_ms: 9 })),
            ("panes", "in", count(WindowForm::Panes { size_ms: 10, advance_ms: 5 })),
            ("sessions", "in", count(WindowForm::Session { gap_ms: 250 })),
            ("again", "windows", fold(Fold::Count(CountFormat::Long), None)),
            ("latest", "windows", Operator::Table { partitions: None, history_ms: None }),
            ("t", "in", Operator::Table { partitions: None, history_ms: None }),
            ("some", "t", Operator::Filter { function: function(), negate: false }),
            ("mapped", "t", Operator::Map { function: function(), form: MapForm::MapValues }),
            ("regrouped", "t", Operator::Regroup { function: function() }),
            ("u", "other", Operator::Table { partitions: None, history_ms: None }),
            ("both", "t", join("some", None)),
            ("foreign", "t", join("u", Some("f"))),
            ("looked-up", "in", join("t", None)),
            ("within", "in", Operator::StreamJoin(within)),
            ("once", "in", Operator::Deduplicate(deduplicate)),
            ("process", "in", Operator::Process(process)),
        ]);
        let mut got: Vec<_> =
            all.iter().map(|(name, asked)| (&name[..], asked.kind, asked.form, asked.values)).collect();
        got.sort_by_key(|(name, ..)| *name);
        let (bytes, keys) = (Values::Bytes, Some(Form::Keys));
        let mut want = vec![
            ("all", Kind::Aggregates, keys, Values::Counts),
            ("sums", Kind::Aggregates, keys, Values::States),
            ("windows", Kind::Windows, grid(hopping), Values::Counts),
            ("steps", Kind::Windows, grid(WindowForm::Cumulating { size_ms: 30, step_ms: 10 }), Values::Counts),
            ("sliding", Kind::Windows, sliced(WindowForm::Sliding { difference_ms: 9 }), Values::Counts),
            ("panes", Kind::Windows, sliced(WindowForm::Panes { size_ms: 10, advance_ms: 5 }), Values::Counts),
            ("sessions", Kind::Sessions, Some(Form::Sessions), Values::Counts),
            ("again", Kind::Aggregates, Some(Form::WindowedKeys), Values::Counts),
            ("latest", Kind::Rows, Some(Form::WindowedKeys), bytes),
            ("t", Kind::Rows, keys, bytes),
            ("some", Kind::Rows, keys, bytes),
            ("mapped", Kind::Rows, keys, bytes),
            ("regrouped", Kind::Sent, None, bytes),
            ("u", Kind::Rows, keys, bytes),
            ("both", Kind::Rows, keys, bytes),
            ("foreign", Kind::Rows, keys, bytes),
            ("foreign-keys", Kind::Sent, None, bytes),
            ("foreign-subscriptions", Kind::Sent, None, bytes),
            ("within", Kind::Waiting, None, bytes),
            ("once", Kind::Ids, None, bytes),
            ("process-last", Kind::Entries, keys, bytes),
            ("process-timers", Kind::Timers, None, bytes),
        ];
        want.sort_by_key(|(name, ..)| *name);
        assert_eq!(got, want);
        for (name, asked) in &all {
            assert_eq!(asked.form.is_none(), asked.kind.refusal().is_some(), "{name}");
            assert_eq!(asked.by_key, asked.kind != Kind::Entries, "{name}");
            let maker = Maker { function: 0, reduces: true, finishes: false };
            assert_eq!(asked.function, (name == "sums").then_some(maker), "{name}");
        }
    }

    #[test]
    fn entries_age_by_the_time_of_their_step() {
        let named = |name: &str, ttl_ms| StoreSpec { name: name.into(), ttl_ms };
        let stores = vec![named("for-ever", None), named("an-hour", Some(100))];
        let all = told(vec![(
            "p",
            "in",
            Operator::Process(Process { function: function(), stores, outputs: vec![], partitions: None }),
        )]);
        let asked = |name: &str| &all.iter().find(|(n, _)| n == name).unwrap().1;
        let mut meta = Meta { nodes: vec![("p".into(), 1_000, 5)], ..Meta::default() };
        let kept = |meta: &Meta, name| asked(name).kept(meta).is_kept(800);
        assert_eq!((kept(&meta, "p-for-ever"), kept(&meta, "p-an-hour")), (true, false));
        meta.clocks.push(ClockMeta { node: "p".into(), closing: 850, inputs: vec![] });
        assert!(kept(&meta, "p-an-hour"), "behind a repartition topic by closing time, which is not so far");
        assert!(kept(&Meta::default(), "p-an-hour"), "no time is known");
    }
}
