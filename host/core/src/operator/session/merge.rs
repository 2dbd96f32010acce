//! Two states of a key as one, for sessions that meet and for windows that are put together.

use alloc::format;
use alloc::vec::Vec;

use super::super::bad_result;
use crate::function::{Answer, Functions, Prepared};
use crate::record::BytesColumn;
use crate::state::value::State;

/// Pairs of states, either of which may not be there.
#[derive(Default)]
pub(crate) struct Pairs {
    keys: BytesColumn,
    left: BytesColumn,
    right: BytesColumn,
    /// What a pair comes to without the function; `None`: it is asked.
    alone: Vec<Option<State>>,
}

impl Pairs {
    /// Adds the states of a key.
    pub fn push(&mut self, key: &[u8], earlier: Option<&[u8]>, later: Option<&[u8]>) {
        if let (Some(_), Some(_)) = (earlier, later) {
            self.keys.push(Some(key));
            self.left.push(earlier);
            self.right.push(later);
            return self.alone.push(None);
        }
        self.alone.push(Some(earlier.or(later).map_or(State::Absent, State::new)));
    }

    /// What each comes to; the function is asked once, for those of which both states are there.
    pub fn merge(self, functions: &mut dyn Functions, prepared: Prepared) -> Answer<Vec<State>> {
        let Self { keys, left, right, alone } = self;
        if keys.is_empty() {
            return Ok(alone.into_iter().map(Option::unwrap_or_default).collect());
        }
        let merged = functions.merge(prepared, &keys, &left, &right)?;
        if merged.len() != keys.len() {
            return Err(bad_result(format!("`merge` gave {} states for {} pairs", merged.len(), keys.len())));
        }
        let mut next = 0..merged.len();
        let mut asked = || next.next().and_then(|at| merged.get(at)).map_or(State::Absent, State::new);
        Ok(alone.into_iter().map(|alone| alone.unwrap_or_else(&mut asked)).collect())
    }
}
