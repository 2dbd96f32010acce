//! What goes over all states of a step, so that in the end none is in another layout than that of the version in force.
//!
//! ```text
//!  a version that turns states is in force ──▶ of each store: what is in memory ──▶ what is in the database, row by row ──▶ done
//! ```

use alloc::vec::Vec;

use super::super::aggregate::ground;
use super::super::{Active, Cx};
use super::{Of, bring};
use crate::error::Verdict;
use crate::function::{Functions, Prepared};
use crate::state::layers::Layered;
use crate::state::store::Most;
use crate::topology::graph::AggregateNode;

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
    /// At what is in memory of this store of the step.
    Memory(usize),
    /// At this key of the database's rows of this store; `None`: the first.
    Database(usize, Option<Vec<u8>>),
    /// Behind all.
    Done,
}

/// A sweep over the states of a step: all that are in another layout are written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sweep {
    place: Place,
    /// The layout that all are to have.
    layout: u32,
    /// The functions that lay the states out, by number, with the epochs in force when it began.
    epochs: Vec<(usize, u64)>,
    looked: u64,
    migrated: u64,
}

/// How far a sweep is, for whoever shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The layout that all states are to have.
    pub layout: u32,
    /// The functions that lay the states out, by number, with the epochs in force when it began.
    pub epochs: Vec<(usize, u64)>,
    /// Rows looked at.
    pub looked: u64,
    /// Of these, and of what steps touched before, states that were written anew since the sweep began.
    pub migrated: u64,
    /// No state is in another layout any more.
    pub done: bool,
}

impl Sweep {
    /// Towards the layout of the version in force; `None`: it turns no states.
    pub fn towards(layout: Option<u32>, of: &Of<'_>, active: &[Active]) -> Self {
        let under_way = |layout| Self { place: Place::Memory(0), layout, epochs: of.epochs(active), ..Self::default() };
        layout.map(under_way).unwrap_or_default()
    }

    /// Whether an interval is wanted for it.
    pub fn is_under_way(&self) -> bool {
        matches!(self.place, Place::Memory(_) | Place::Database(..))
    }

    /// How far it is; `None`: there is nothing to be done.
    pub fn progress(&self) -> Option<Progress> {
        let Self { place, layout, epochs, looked, migrated } = self;
        (*place != Place::Nowhere).then_some(Progress {
            layout: *layout,
            epochs: epochs.clone(),
            looked: *looked,
            migrated: *migrated,
            done: *place == Place::Done,
        })
    }
}

/// The layout that all states of a function are to have; `None`: its version in force turns none.
pub(crate) fn wanted(functions: &dyn Functions, prepared: Prepared) -> Option<u32> {
    functions.migrates(prepared).then(|| functions.layout(prepared))
}

/// The same of an aggregate.
pub(crate) fn wanted_of(
    aggregate: &AggregateNode,
    functions: &dyn Functions,
    prepared: impl Fn(usize) -> Prepared,
) -> Option<u32> {
    let layout = wanted(functions, prepared(aggregate.function?))?;
    // Versions of a cogroup that do not agree stop the step with its next record; until they do nothing is written.
    let agree = aggregate.adders.iter().all(|adder| functions.layout(prepared(*adder)) == layout);
    agree.then_some(layout)
}

/// Goes on with a sweep at the end of an interval, over so many rows at the most. `wanted`: the layout that all states are to have by now.
/// `stores`: those of the step, `of` says whose each is.
pub(crate) fn sweep<S: Layered>(
    cx: &mut Cx<'_, '_>,
    of: &[Of<'_>],
    stores: &mut [S],
    sweep: &mut Sweep,
    (wanted, rows_max): (Option<u32>, usize),
) -> Result<(), Verdict> {
    let Some(first) = of.first() else { return Ok(()) };
    let now = Sweep::towards(wanted, first, cx.active);
    // Another version writes another layout, or turns none any more.
    if now.layout != sweep.layout || now.is_under_way() == (sweep.place == Place::Nowhere) {
        *sweep = now;
    }
    let most = Most { rows: rows_max, bytes: SWEEP_BYTES_MAX };
    if let Place::Memory(number) = sweep.place {
        let Some(store) = stores.get_mut(number) else {
            sweep.place = Place::Done;
            return Ok(());
        };
        let ids = store.other_layouts(sweep.layout, most);
        sweep.migrated += ids.len() as u64;
        if !ids.is_empty() {
            return bring(cx, &of[number], store, &ids);
        }
        // What is on its way to the database is in memory until it is there: the database alone is left.
        sweep.place = Place::Database(number, None);
    }
    if let Place::Database(number, from) = &mut sweep.place {
        let (number, store) = (*number, &mut stores[*number]);
        let (ids, looked) = store.other_layouts_stored(ground(cx, of[number].store), sweep.layout, from, most)?;
        sweep.looked += looked as u64;
        sweep.migrated += ids.len() as u64;
        if from.is_none() {
            sweep.place = if number + 1 < of.len() { Place::Memory(number + 1) } else { Place::Done };
        }
        bring(cx, &of[number], store, &ids)?;
    }
    Ok(())
}
