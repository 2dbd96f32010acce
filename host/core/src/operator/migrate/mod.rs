//! States that were written in another layout become what the version in force reads: those that a step touches before it does, and, by and
//! by, all others ([`sweep`]).
//!
//! The states of aggregates, cogroups and scans, be they of groups, of sessions or of slices, and the entries of a processor's stores. The
//! states of counts and reduces are not a function's to lay out.

pub(crate) mod sweep;

pub use sweep::{Progress, SWEEP_BYTES_MAX, SWEEP_ROWS_BUSY_MAX, SWEEP_ROWS_MAX};

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::aggregate::own_key;
use super::fold::{layout_differs, too_large};
use super::isolate::{self, Isolation, Work};
use super::{Active, Cx, bad_result};
use crate::error::Verdict;
use crate::function::{Answer, Fault, Functions, Prepared};
use crate::record::BytesColumn;
use crate::state::layers::Rows;
use crate::state::value::State;
use crate::topology::graph::{AggregateNode, Node, NodeOperator, ProcessNode};
use crate::topology::spec::Fold;

/// States that one call of `migrate` is given at the most.
pub const MIGRATE_ROWS_MAX: usize = 4_096;

/// Bytes of states that one call of `migrate` is given; the state that passes it is in.
pub const MIGRATE_BYTES_MAX: usize = 4 << 20;

/// Whose states they are.
#[derive(Clone, Copy)]
pub(crate) struct Of<'o> {
    pub node: &'o Node,
    /// Their store, by its number in the sub-topology.
    pub store: usize,
    /// Its name for the function; empty for an aggregate's states.
    pub name: &'o str,
    /// The function that lays them out.
    pub function: usize,
    aggregate: Option<&'o AggregateNode>,
}

impl<'o> Of<'o> {
    /// Those of an aggregate; `None`: no function lays them out.
    pub fn aggregate(node: &'o Node, aggregate: &'o AggregateNode) -> Option<Self> {
        let (function, store) = (aggregate.function?, aggregate.store);
        matches!(aggregate.spec.fold, Fold::Aggregate { .. } | Fold::Cogroup { .. } | Fold::Scan { .. })
            .then_some(Self { node, store, name: "", function, aggregate: Some(aggregate) })
    }

    /// Those of a processor's stores, in their order.
    pub fn processor(node: &'o Node, process: &'o ProcessNode) -> Vec<Self> {
        let one = |(number, spec): (usize, &'o crate::topology::spec::StoreSpec)| Self {
            node,
            store: process.store + number,
            name: &spec.name,
            function: process.function,
            aggregate: None,
        };
        process.spec.stores.iter().enumerate().map(one).collect()
    }

    /// The functions that lay them out, by number, with the epochs that run here.
    fn epochs(&self, active: &[Active]) -> Vec<(usize, u64)> {
        let adders = self.aggregate.map_or(&[][..], |aggregate| &aggregate.adders);
        [self.function].iter().chain(adders).map(|function| (*function, active[*function].epoch)).collect()
    }

    /// A key as the function knows it.
    fn key<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        self.aggregate.map_or(key, |aggregate| own_key(aggregate, key))
    }
}

/// Whether a node keeps states that a function lays out, given by its number.
pub fn keeps_states_of(node: &Node, function: usize) -> bool {
    match &node.operator {
        NodeOperator::Aggregate(aggregate) => Of::aggregate(node, aggregate)
            .is_some_and(|of| of.function == function || aggregate.adders.contains(&function)),
        NodeOperator::Process(process) => process.function == function && !process.spec.stores.is_empty(),
        _ => false,
    }
}

/// Brings states that are about to be read into the layout that the version in force reads. Those that are in it already stay.
pub(crate) fn bring<R: Rows>(cx: &mut Cx<'_, '_>, of: &Of<'_>, rows: &mut R, ids: &[R::Id]) -> Result<(), Verdict> {
    let prepared = cx.active[of.function].prepared;
    let layout = cx.ports.functions.layout(prepared);
    let mut others: BTreeMap<u32, Vec<R::Id>> = BTreeMap::new();
    for id in ids {
        if let Some(row) = rows.row(*id).filter(|row| row.layout != layout) {
            others.entry(row.layout).or_default().push(*id);
        }
    }
    for (stored, ids) in others {
        let Some(by) = cx.ports.functions.migrator(prepared, stored) else {
            return Err(layout_differs(of.node, stored, layout));
        };
        let mut work = Migrating { cx, of: *of, rows, by, stored, layout, ids: &ids };
        isolate::run(&mut work, &of.node.name, by, ids.len())?;
    }
    Ok(())
}

struct Migrating<'w, 'a, 'p, R: Rows> {
    cx: &'w mut Cx<'a, 'p>,
    of: Of<'w>,
    rows: &'w mut R,
    /// The version that turns them.
    by: Prepared,
    stored: u32,
    layout: u32,
    ids: &'w [R::Id],
}

impl<R: Rows> Work for Migrating<'_, '_, '_, R> {
    type Given = BytesColumn;

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<BytesColumn> {
        let (mut keys, mut states) = (BytesColumn::default(), BytesColumn::default());
        for id in self.ids[from..to].iter().take(MIGRATE_ROWS_MAX) {
            if let Some(row) = self.rows.row(*id) {
                keys.push(Some(self.of.key(row.key)));
                states.push(Some(row.state));
            }
            if states.data().len() >= MIGRATE_BYTES_MAX {
                break;
            }
        }
        let (len, functions) = (keys.len(), &mut *self.cx.ports.functions);
        let migrated = functions.migrate(self.by, self.of.name, self.stored, self.layout, &keys, &states)?;
        if migrated.len() != len || (0..len).any(|i| migrated.get(i).is_none()) {
            let there = (0..migrated.len()).filter(|i| migrated.get(*i).is_some()).count();
            return Err(bad_result(format!("`migrate` gave {there} states for {len}")));
        }
        let limits = &self.cx.sub.stores[self.of.store].limits;
        for (id, i) in self.ids[from..].iter().zip(0..len) {
            let key = self.rows.row(*id).map_or(&[][..], |row| row.key);
            too_large(limits, R::stored_bytes(key) + migrated.get(i).map_or(0, <[u8]>::len))?;
        }
        Ok(migrated)
    }

    fn accept(&mut self, from: usize, _: usize, migrated: BytesColumn) -> Result<usize, Verdict> {
        for (i, id) in self.ids[from..].iter().take(migrated.len()).enumerate() {
            self.rows.rewrite(*id, self.layout, State::new(migrated.get(i).unwrap_or_default()));
        }
        Ok(migrated.len())
    }

    /// No record is to blame, and no state may be lost.
    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        let key = self.rows.row(self.ids[at]).map_or(&[][..], |row| self.of.key(row.key));
        let store = if self.of.name.is_empty() { String::new() } else { format!(" in store `{}`", self.of.name) };
        let reason = format!(
            "the state of key {:?}{store} is stored in layout {}, and the version in force cannot turn it into layout {}: {fault}; go back \
             to a version that reads it",
            String::from_utf8_lossy(key),
            self.stored,
            self.layout
        );
        Err(Verdict::BrokenFunction { step: self.of.node.name.to_string(), reason })
    }
}
