//! Entries that are in another layout than the function's. Which a call asks for is seen only when it does, and in the middle of a call the
//! function cannot be asked to turn them: the call is ended and taken back, the entries are turned, and it is made again.
//!
//! A function that asks for one entry after the other would be ended at each. So together with what it asked for goes what is stored under
//! the keys of its records; and a call that is ended too often is made with half of its records. What is left a sweep finds.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::super::aggregate::ground;
use super::super::migrate::{self, Of, sweep};
use super::super::{Active, Cx};
use super::desk::Desk;
use super::{Called, Run, State};
use crate::error::Verdict;
use crate::function::Answer;
use crate::record::{BytesColumn, Timestamp};
use crate::state::entries::Entries;

/// How often a call over several records is made again because of entries in another layout, before it is given half of them.
pub const CALLS_AGAIN_MAX: u32 = 8;

/// What a call finds of time.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// The time for entries.
    pub now: Timestamp,
    /// Timers that are due by then have passed.
    pub closing: Timestamp,
    /// How many firings in a row have led to it.
    pub row: u32,
}

/// Entries in another layout that a call asked for.
pub(super) struct Others {
    /// Number of the store in the step.
    pub store: usize,
    pub keys: Vec<Vec<u8>>,
}

impl<'a, 'p> Run<'_, '_, 'a, 'p> {
    /// Calls the function through `call`, with its stores and timers at hand. What it wrote stands, also when it failed; `None`: nothing
    /// stands, and it is to be given fewer records. `about`: the keys of its records or timers.
    pub(super) fn at_desk<T>(
        &mut self,
        times: Times,
        about: &BytesColumn,
        call: &mut dyn FnMut(&mut Cx<'a, 'p>, Active, &mut Desk<'_>) -> Answer<T>,
    ) -> Result<Option<Called<T>>, Verdict> {
        let prepared = self.active.prepared;
        let stretched = self.cx.ports.functions.stretched(prepared);
        for again in 1.. {
            // What is turned stays so when the call is taken back.
            let mark = self.held_mark();
            let others = match self.call_once(times, call)? {
                Ok(called) => return Ok(Some(called)),
                Err(others) => others,
            };
            self.take_back_held(&mark);
            self.bring(&others, about)?;
            self.cx.ports.functions.stretch(prepared, stretched);
            if again >= CALLS_AGAIN_MAX && about.len() > 1 {
                break;
            }
        }
        Ok(None)
    }

    /// Brings what a call asked for into the function's layout, and what is stored under the keys that it is about.
    fn bring(&mut self, others: &Others, about: &BytesColumn) -> Result<(), Verdict> {
        let number = others.store;
        let (ground, store) = (ground(self.cx, self.process.store + number), &mut self.state.stores[number]);
        let also = (0..about.len()).filter_map(|i| about.get(i));
        let mut ids = BTreeSet::new();
        for key in others.keys.iter().map(|key| &key[..]).chain(also) {
            if store.get(ground, key)?.is_some_and(|entry| entry.layout != self.layout) {
                ids.extend(store.place_of(key));
            }
        }
        let of = Of::processor(self.node, self.process)[number];
        migrate::bring(self.cx, &of, store, &ids.into_iter().collect::<Vec<_>>())
    }

    /// Goes on with the sweep over entries in another layout.
    pub(super) fn sweep_layouts(&mut self, rows_max: usize) -> Result<(), Verdict> {
        let of = Of::processor(self.node, self.process);
        let wanted = sweep::wanted(&*self.cx.ports.functions, self.active.prepared);
        let State { stores, sweep, .. } = &mut *self.state;
        sweep::sweep(self.cx, &of, stores, sweep, (wanted, rows_max))?;
        self.state.stores.iter_mut().for_each(Entries::settle);
        Ok(())
    }
}
