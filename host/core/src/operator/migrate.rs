//! States that were written in another layout become what the version in force reads: those that a step touches before it does, and, by and
//! by, all others.
//!
//! ```text
//!  a version that writes another layout is in force ──▶ what is in memory ──▶ what is in the database, row by row ──▶ done
//! ```
//!
//! The states of aggregates, cogroups and scans without slices or sessions. Those of sessions, of slices and of processors stay as they
//! are: a step that meets one stops.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::aggregate::{Step, ground, own_key};
use super::fold::{layout_differs, too_large};
use super::isolate::{self, Isolation, Work};
use super::{Cx, bad_result};
use crate::error::Verdict;
use crate::function::{Answer, Fault, Functions, Interface, Prepared};
use crate::record::BytesColumn;
use crate::state::store::{Most, Slot, Store};
use crate::state::value::State;
use crate::topology::graph::AggregateNode;
use crate::topology::spec::Fold;

/// Rows that a sweep looks at in an interval in which the task took no record.
pub const SWEEP_ROWS_MAX: usize = 2_048;

/// The same in one with records.
pub const SWEEP_ROWS_BUSY_MAX: usize = 128;

/// Bytes of states that a sweep writes anew in an interval; the state that passes it is in.
pub const SWEEP_BYTES_MAX: usize = 4 << 20;

/// How far a sweep is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Nothing is to be done: no function of its own making writes these states, or it reads one layout for ever.
    #[default]
    Nowhere,
    /// At what is in memory.
    Memory,
    /// At this key of the database; `None`: the first.
    Database(Option<Vec<u8>>),
    /// Behind all.
    Done,
}

/// A sweep over the states of a step: all that are in another layout are written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sweep {
    place: Place,
    /// The layout that all are to have.
    layout: u32,
    looked: u64,
    migrated: u64,
}

/// How far a sweep is, for whoever shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The layout that all states are to have.
    pub layout: u32,
    /// Rows looked at.
    pub looked: u64,
    /// Of these, and of what steps touched before, states that were written anew since the sweep began.
    pub migrated: u64,
    /// No state is in another layout any more.
    pub done: bool,
}

impl Sweep {
    /// What there is to do under the version in force.
    pub fn of(aggregate: &AggregateNode, functions: &dyn Functions, prepared: impl Fn(usize) -> Prepared) -> Self {
        match migrator(aggregate, functions, &prepared) {
            Some(prepared) => Self { place: Place::Memory, layout: functions.layout(prepared), ..Self::default() },
            None => Self::default(),
        }
    }

    /// Whether an interval is wanted for it.
    pub fn is_under_way(&self) -> bool {
        matches!(self.place, Place::Memory | Place::Database(_))
    }

    /// How far it is; `None`: there is nothing to be done.
    pub fn progress(&self) -> Option<Progress> {
        let Self { place, layout, looked, migrated } = self;
        (*place != Place::Nowhere).then_some(Progress {
            layout: *layout,
            looked: *looked,
            migrated: *migrated,
            done: *place == Place::Done,
        })
    }
}

/// The version that turns states of a step into its layout; `None`: there is none.
fn migrator(
    aggregate: &AggregateNode,
    functions: &dyn Functions,
    prepared: &dyn Fn(usize) -> Prepared,
) -> Option<Prepared> {
    if !matches!(aggregate.spec.fold, Fold::Aggregate { .. } | Fold::Cogroup { .. } | Fold::Scan { .. }) {
        return None;
    }
    let finisher = prepared(aggregate.function?);
    let layout = functions.layout(finisher);
    // Versions of a cogroup that do not agree stop the step with its next record; until they do nothing is written.
    let agree = aggregate.adders.iter().all(|adder| functions.layout(prepared(*adder)) == layout);
    (agree && functions.exports(finisher, Interface::Migrator)).then_some(finisher)
}

/// Goes on with a sweep at the end of an interval, over so many rows at the most.
pub(crate) fn sweep(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_>,
    sweep: &mut Sweep,
    rows_max: usize,
) -> Result<(), Verdict> {
    let now = Sweep::of(step.aggregate, &*cx.ports.functions, |function| cx.active[function].prepared);
    // Another version writes another layout, or none any more.
    if now.layout != sweep.layout || now.is_under_way() == (sweep.place == Place::Nowhere) {
        *sweep = now;
    }
    let most = Most { rows: rows_max, bytes: SWEEP_BYTES_MAX };
    let mut slots = Vec::new();
    if sweep.place == Place::Memory {
        slots = step.store.other_layouts(sweep.layout, most);
        if slots.is_empty() {
            // What is on its way to the database is in memory until it is there: the database alone is left.
            sweep.place = Place::Database(None);
        }
    }
    if let Place::Database(from) = &mut sweep.place {
        let (found, looked) =
            step.store.other_layouts_stored(ground(cx, step.aggregate.store), sweep.layout, from, most)?;
        let is_end = from.is_none();
        (slots, sweep.looked) = (found, sweep.looked + looked as u64);
        if is_end {
            sweep.place = Place::Done;
        }
    }
    sweep.migrated += slots.len() as u64;
    bring(cx, step, &slots)
}

/// Brings groups that are about to be read into the layout that the version in force reads.
pub(crate) fn bring(cx: &mut Cx<'_, '_>, step: &mut Step<'_>, slots: &[Slot]) -> Result<(), Verdict> {
    let aggregate = step.aggregate;
    if !matches!(aggregate.spec.fold, Fold::Aggregate { .. } | Fold::Cogroup { .. } | Fold::Scan { .. }) {
        return Ok(());
    }
    let Some(function) = aggregate.function else { return Ok(()) };
    let prepared = cx.active[function].prepared;
    let layout = cx.ports.functions.layout(prepared);
    let mut others: BTreeMap<u32, Vec<Slot>> = BTreeMap::new();
    for slot in slots {
        let entry = step.store.entry(*slot).1;
        if entry.state().is_some() && entry.layout != layout {
            others.entry(entry.layout).or_default().push(*slot);
        }
    }
    for (stored, slots) in others {
        if !cx.ports.functions.exports(prepared, Interface::Migrator) {
            return Err(layout_differs(step.node, stored, layout));
        }
        let (store, len, name) = (&mut *step.store, slots.len(), step.node.name.as_str());
        let mut work = Migrating { cx, aggregate, store, step: name, prepared, stored, layout, slots: &slots };
        isolate::run(&mut work, name, prepared, len)?;
    }
    Ok(())
}

struct Migrating<'w, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    aggregate: &'w AggregateNode,
    store: &'w mut Store,
    step: &'w str,
    prepared: Prepared,
    stored: u32,
    layout: u32,
    slots: &'w [Slot],
}

impl Work for Migrating<'_, '_, '_> {
    type Given = BytesColumn;

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<BytesColumn> {
        let mut keys = BytesColumn::with_capacity(to - from, 0);
        let mut states = BytesColumn::with_capacity(to - from, 0);
        for slot in &self.slots[from..to] {
            let (group, entry) = self.store.entry(*slot);
            keys.push(Some(own_key(self.aggregate, group)));
            states.push(entry.state());
        }
        let functions = &mut *self.cx.ports.functions;
        let migrated = functions.migrate(self.prepared, "", self.stored, self.layout, &keys, &states)?;
        if migrated.len() != to - from || (0..migrated.len()).any(|i| migrated.get(i).is_none()) {
            let there = (0..migrated.len()).filter(|i| migrated.get(*i).is_some()).count();
            return Err(bad_result(format!("`migrate` gave {there} states for {}", to - from)));
        }
        let limits = &self.cx.sub.stores[self.aggregate.store].limits;
        for i in 0..migrated.len() {
            let bytes = |column: &BytesColumn| column.get(i).map_or(0, <[u8]>::len);
            too_large(limits, super::fold::STORED_BYTES + bytes(&keys) + bytes(&migrated))?;
        }
        Ok(migrated)
    }

    fn accept(&mut self, from: usize, to: usize, migrated: BytesColumn) -> Result<usize, Verdict> {
        for (i, slot) in self.slots[from..to].iter().enumerate() {
            self.store.rewrite(*slot, self.layout, State::new(migrated.get(i).unwrap_or_default()));
        }
        Ok(to - from)
    }

    /// No record is to blame, and no state may be lost.
    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        let key = own_key(self.aggregate, self.store.entry(self.slots[at]).0);
        let reason = format!(
            "the state of key {:?} is stored in layout {}, and the version in force cannot turn it into layout {}: {fault}; go back to a \
             version that reads it",
            alloc::string::String::from_utf8_lossy(key),
            self.stored,
            self.layout
        );
        Err(Verdict::BrokenFunction { step: self.step.to_string(), reason })
    }
}
