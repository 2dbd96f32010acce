//! What a state was made with: a note in each store of the settings that its keys and values hang on, so that a step that was changed
//! under a kept name is refused and does not go on with what means something else to it.
//!
//! A note is written with a store's first commit and compared whenever its task is opened. It lies under [`key::MADE_WITH`] in the
//! store and in its changelog, so that a state that is made from its changelog alone has it too. A state without one is older than
//! notes: it is taken as it is, and gets one. Not judged: the layout of states that functions make (that is the contract's
//! `migrator`), and what may change at any time, such as `grace`, `history`, `emit`,
//! `format` and `ttl`; whether there is a history is.
//!
//! `[version 1]`, then the settings as text. The text of settings that there are never changes; what is added to them later is said
//! only where it is not what it was before.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::error::Verdict;
use crate::state::key::{self, StoreKind};
use crate::state::keyspace::{Keyspaces, Space, StorageError};
use crate::state::store::Change;
use crate::topology::describe::duration;
use crate::topology::graph::{AggregateNode, ForeignNode, JoinNode, Node, NodeOperator, SubTopology, TableOf};
use crate::topology::spec::{Fold, JoinKind, WindowForm};

const VERSION: u8 = 1;

/// A store whose state was made with other settings than it is to go on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "step `{step}`: its state was made with `{made_with}`, and the manifest says `{wanted}`, to which it would mean something else; \
     give the step a new name, under which it begins without state, start the pipeline over (`reset`), or go back to what it was"
)]
pub struct Changed {
    /// The step.
    pub step: String,
    /// The store.
    pub store: String,
    /// What its state was made with.
    pub made_with: String,
    /// What the manifest says now.
    pub wanted: String,
}

impl From<Changed> for Verdict {
    fn from(changed: Changed) -> Self {
        Verdict::Fatal(changed.to_string())
    }
}

/// What stands in the stores of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Stores whose states were made with something else.
    pub changed: Vec<Changed>,
    /// Numbers of the stores that have no note yet.
    pub missing: Vec<usize>,
}

/// Compares the notes in a task's stores with the plan. `spaces`: those of the stores, in their order; `prefix`: what stands in front
/// of the task's keys.
///
/// # Errors
/// Those of the database; [`StorageError::Corrupted`] for a note that this version cannot read.
pub fn read(sub: &SubTopology, db: &dyn Keyspaces, spaces: &[Space], prefix: &[u8]) -> Result<Notes, StorageError> {
    let mut notes = Notes::default();
    for (number, (store, (step, wanted))) in sub.stores.iter().zip(settings(sub)).enumerate() {
        let Some(found) = db.get(spaces[number], &key::plain(prefix, StoreKind::MadeWith, b""))? else {
            notes.missing.push(number);
            continue;
        };
        let made_with = decode(&found).ok_or_else(|| {
            StorageError::Corrupted(format!("what store `{}` was made with is said in a form unknown here", store.name))
        })?;
        if made_with != wanted {
            let (step, made_with) = (step.to_string(), made_with.to_string());
            notes.changed.push(Changed { step, store: store.name.clone(), made_with, wanted });
        }
    }
    Ok(notes)
}

/// The change that writes the note of a store.
pub(crate) fn note(sub: &SubTopology, store: usize) -> Option<Change> {
    let (_, text) = settings(sub).into_iter().nth(store)?;
    Some(Change::Put(key::plain(b"", StoreKind::MadeWith, b""), encode(&text)))
}

fn encode(text: &str) -> Vec<u8> {
    [&[VERSION], text.as_bytes()].concat()
}

/// Reads a note; `None`: it has a form that this version does not know.
pub(crate) fn decode(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes.strip_prefix(&[VERSION])?).ok()
}

/// For each store of a sub-topology, in their order, its step and what its state is made with.
pub fn settings(sub: &SubTopology) -> Vec<(&str, String)> {
    let of = |node| settings_of(node).into_iter().map(|text| (node.name.as_str(), text));
    let all: Vec<(&str, String)> = sub.nodes.iter().flat_map(of).collect();
    assert_eq!(all.len(), sub.stores.len(), "every store is described");
    all
}

fn kind(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Outer => "outer",
    }
}

fn settings_of(node: &Node) -> Vec<String> {
    let keyed = |what: &str, by_window: bool| format!("{what}{}", if by_window { ", by windowed key" } else { "" });
    let one = match &node.operator {
        NodeOperator::Source
        | NodeOperator::Filter { .. }
        | NodeOperator::Map { .. }
        | NodeOperator::Branch { .. }
        | NodeOperator::Merge
        | NodeOperator::Peek { .. }
        | NodeOperator::GlobalJoin(_)
        | NodeOperator::Repartition { .. }
        | NodeOperator::Sink { .. } => return Vec::new(),
        NodeOperator::Aggregate(aggregate) => keyed(&aggregate_settings(aggregate), aggregate.by_window),
        NodeOperator::Table(table) => {
            let what = match table.of {
                TableOf::Stream => "table",
                TableOf::Filter { negate: false, .. } => "table, filter",
                TableOf::Filter { negate: true, .. } => "table, filter-not",
                TableOf::MapValues { .. } => "table, map-values",
                TableOf::ForeignKey { .. } => "foreign keys of a join",
            };
            // How long it is may change: what was let go is not known any more, and what is kept means the same.
            let history = if table.history.is_some() { ", with history" } else { "" };
            keyed(&format!("{what}{history}"), table.by_window)
        }
        NodeOperator::Regroup(regroup) => keyed("group-by", regroup.by_window),
        NodeOperator::Join(JoinNode { wait: Some(_), by_window, .. }) => {
            keyed("records that wait for a table", *by_window)
        }
        NodeOperator::Join(join) if join.store.is_none() => return Vec::new(),
        NodeOperator::Join(join) => keyed(&format!("{} join of tables", kind(join.kind)), join.by_window),
        NodeOperator::Foreign(ForeignNode::Left(join)) => format!("{} join by foreign key", kind(join.kind)),
        NodeOperator::Foreign(ForeignNode::Right { .. }) => "subscriptions of a join by foreign key".to_string(),
        NodeOperator::StreamJoin(join) => keyed(&format!("{} join of streams", kind(join.kind)), join.by_window),
        NodeOperator::Deduplicate(deduplicate) => {
            let what = format!("deduplicate within {}", duration(deduplicate.spec.within_ms));
            keyed(&what, deduplicate.by_window)
        }
        NodeOperator::Process(process) => {
            let stores = process.spec.stores.iter().map(|_| "store of a processor".to_string());
            return stores.chain(["timers of a processor".to_string()]).collect();
        }
    };
    alloc::vec![one]
}

fn aggregate_settings(aggregate: &AggregateNode) -> String {
    let fold = match aggregate.spec.fold {
        Fold::Count(_) => "count",
        Fold::Reduce { .. } => "reduce",
        Fold::Aggregate { .. } => "aggregate",
        Fold::Cogroup { .. } => "cogroup",
        Fold::Scan { .. } => "scan",
    };
    let of = if aggregate.of_table { " of a table" } else { "" };
    let Some(window) = aggregate.spec.window else { return format!("{fold}{of}") };
    let window = match window.form {
        WindowForm::Hopping { size_ms, advance_ms } if size_ms == advance_ms => {
            format!("tumbling {}", duration(size_ms))
        }
        WindowForm::Hopping { size_ms, advance_ms } => {
            format!("hopping {}, advance {}", duration(size_ms), duration(advance_ms))
        }
        WindowForm::Cumulating { size_ms, step_ms } => {
            format!("cumulating {}, step {}", duration(size_ms), duration(step_ms))
        }
        WindowForm::Calendar(calendar) => calendar.name().to_string(),
        WindowForm::Session { gap_ms } => format!("session {}", duration(gap_ms)),
        WindowForm::Sliding { difference_ms } => format!("sliding {}", duration(difference_ms)),
        WindowForm::Panes { size_ms, advance_ms } => {
            format!("hopping {}, advance {}, in panes", duration(size_ms), duration(advance_ms))
        }
    };
    format!("{fold}{of}, {window}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::keyspace::{Durability, SpaceKind, Write};
    use crate::state::memory::Memory;
    use crate::state::memory::tests::Locked;
    use crate::topology::graph::plan;
    use crate::topology::spec::{
        Aggregate, CountFormat, Emit, From, FunctionSpec, Idle, Join, Lateness, MapForm, OnError, Operator, Process,
        SourceSpec, Spec, StepSpec, StoreSpec, Window,
    };
    use alloc::vec;

    fn planned(steps: Vec<(&str, &str, Operator)>) -> SubTopology {
        let from = |name: &str| From { name: name.into(), output: None };
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
        let spec = Spec {
            pipeline: "p".into(),
            functions: vec![FunctionSpec { name: "f".into() }],
            sources: vec![SourceSpec {
                name: "in".into(),
                topics: vec!["in".into()],
                timestamp: None,
                on_error: OnError::Fail,
            }],
            steps: steps.into_iter().map(step).collect(),
            ..Spec::default()
        };
        plan(&spec, &|_| Some(1)).unwrap().subs.remove(0)
    }

    fn fold(fold: Fold, form: Option<WindowForm>) -> Operator {
        let window = form.map(|form| Window { form, grace_ms: 7 });
        Operator::Aggregate(Aggregate { fold, window, emit: Emit::OnClose, emit_every_update: false, partitions: None })
    }

    fn count(form: WindowForm) -> Operator {
        fold(Fold::Count(CountFormat::Text), Some(form))
    }

    /// They are compared with what older versions have written.
    #[test]
    fn the_texts_of_settings_never_change() {
        let function = || "f".to_string();
        let other = |name: &str| From { name: name.into(), output: None };
        let join =
            |kind| Operator::Join(Join { other: other("t"), kind, function: function(), key: None, grace_ms: None });
        let store = |name: &str, ttl_ms| StoreSpec { name: name.into(), ttl_ms };
        let process = Process {
            function: function(),
            stores: vec![store("x", None), store("y", Some(5))],
            outputs: vec![],
            partitions: None,
        };
        let steps = vec![
            ("1", "in", fold(Fold::Count(CountFormat::Long), None)),
            ("2", "in", fold(Fold::Reduce { function: function() }, None)),
            ("3", "in", fold(Fold::Aggregate { function: function() }, None)),
            ("4", "in", count(WindowForm::Hopping { size_ms: 60_000, advance_ms: 60_000 })),
            ("5", "in", count(WindowForm::Hopping { size_ms: 60_000, advance_ms: 1_500 })),
            ("6", "in", count(WindowForm::Panes { size_ms: 3_600_000, advance_ms: 1_000 })),
            ("7", "in", count(WindowForm::Cumulating { size_ms: 86_400_000, step_ms: 3_600_000 })),
            ("8", "in", count(WindowForm::Sliding { difference_ms: 0 })),
            ("9", "in", count(WindowForm::Session { gap_ms: 250 })),
            ("10", "4", fold(Fold::Count(CountFormat::Long), None)),
            ("t", "in", Operator::Table { partitions: None, history_ms: None }),
            ("11", "t", Operator::Filter { function: function(), negate: false }),
            ("12", "t", Operator::Filter { function: function(), negate: true }),
            ("13", "t", Operator::Map { function: function(), form: MapForm::MapValues }),
            ("14", "t", Operator::Regroup { function: function() }),
            ("15", "t", fold(Fold::Count(CountFormat::Long), None)),
            ("16", "t", join(JoinKind::Inner)),
            ("17", "t", join(JoinKind::Left)),
            ("18", "t", join(JoinKind::Outer)),
            ("19", "in", join(JoinKind::Left)),
            ("20", "4", Operator::Table { partitions: None, history_ms: None }),
            ("21", "in", Operator::Process(process)),
        ];
        let sub = planned(steps);
        let told: Vec<(&str, String)> = settings(&sub);
        let want = [
            ("1", "count"),
            ("2", "reduce"),
            ("3", "aggregate"),
            ("4", "count, tumbling 1m"),
            ("5", "count, hopping 1m, advance 1500ms"),
            ("6", "count, hopping 1h, advance 1s, in panes"),
            ("7", "count, cumulating 1d, step 1h"),
            ("8", "count, sliding 0ms"),
            ("9", "count, session 250ms"),
            ("10", "count, by windowed key"),
            ("t", "table"),
            ("11", "table, filter"),
            ("12", "table, filter-not"),
            ("13", "table, map-values"),
            ("14", "group-by"),
            ("15", "count of a table"),
            ("16", "inner join of tables"),
            ("17", "left join of tables"),
            ("18", "outer join of tables"),
            ("20", "table, by windowed key"),
            ("21", "store of a processor"),
            ("21", "store of a processor"),
            ("21", "timers of a processor"),
        ];
        assert_eq!(told.iter().map(|(step, text)| (*step, text.as_str())).collect::<Vec<_>>(), want);
    }

    #[test]
    fn nor_do_those_of_tables_with_history() {
        let other = From { name: "t".into(), output: None };
        let waiting = Join { other, kind: JoinKind::Left, function: "f".into(), key: None, grace_ms: Some(7) };
        let sub = planned(vec![
            ("t", "in", Operator::Table { partitions: None, history_ms: Some(7) }),
            ("1", "t", Operator::Filter { function: "f".into(), negate: false }),
            ("2", "in", Operator::Join(waiting)),
        ]);
        let want = [
            ("t", "table, with history"),
            ("1", "table, filter, with history"),
            ("2", "records that wait for a table"),
        ];
        assert_eq!(settings(&sub).iter().map(|(step, text)| (*step, text.as_str())).collect::<Vec<_>>(), want);
    }

    #[test]
    fn a_note_is_missing_or_the_same_or_another_or_not_for_this_version() {
        let db = Memory::<Locked>::default();
        let space = db.open_space("c", SpaceKind::State).unwrap();
        let (tumbling, longer) = (|size_ms| WindowForm::Hopping { size_ms, advance_ms: size_ms }, 20_000);
        let sub = |size_ms| planned(vec![("c", "in", count(tumbling(size_ms)))]);
        let read = |size_ms, prefix: &[u8]| read(&sub(size_ms), &db, &[space], prefix);
        assert_eq!(read(10_000, b"p").unwrap(), Notes { changed: vec![], missing: vec![0] });
        let Some(Change::Put(key, value)) = note(&sub(10_000), 0) else { panic!("there is a store") };
        let put = |value: &[u8]| Write::Put(space, [b"p", &key[..]].concat(), value.to_vec());
        db.apply(vec![put(&value)], Durability::Process).unwrap();
        assert_eq!(read(10_000, b"p").unwrap(), Notes::default());
        assert_eq!(read(10_000, b"q").unwrap().missing, [0], "that is another task's");
        let changed = read(longer, b"p").unwrap().changed.remove(0);
        let texts = (&*changed.step, &*changed.store, &*changed.made_with, &*changed.wanted);
        assert_eq!(texts, ("c", "c", "count, tumbling 10s", "count, tumbling 20s"));
        db.apply(vec![put(b"\x02count")], Durability::Process).unwrap();
        assert!(matches!(read(10_000, b"p"), Err(StorageError::Corrupted(_))));
    }
}
