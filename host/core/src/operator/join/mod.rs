//! Joins. With tables: what stands on one side meets what the other had at that moment. Of two streams: what is near in time meets.
//! Record by record; the joiner is called once for a batch.
//!
//! In a row of the polled batch, from which both sides may have come, the table of a stream–table join changes before the
//! stream's record looks it up, and the left side of a table–table join before the right.

mod call;
pub(crate) mod delayed;
pub(crate) mod foreign;
mod global;
mod look;
mod moments;
mod pairs;
mod stream;
pub(crate) mod streams;
mod tables;

use crate::flow::Flow;
use crate::operator::table::Past;
use crate::state::store::Store;

pub(crate) use global::global;
pub(crate) use stream::stream;
pub(crate) use tables::{Sides, tables};

/// A table as a join sees it: its changes in this batch, and its rows behind them.
pub(crate) struct Side<'s> {
    pub flow: &'s Flow,
    pub store: &'s mut Store,
    /// Number of the store within the sub-topology.
    pub number: usize,
    /// Of a table with history.
    pub past: Option<&'s mut Past>,
}
