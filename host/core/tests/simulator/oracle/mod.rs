//! What must come out, record by record. It shares nothing with the engine but the partition of a key: it has its own plan
//! of the graph, its own windows, clocks, envelopes and keys, and goes from interval to interval as the engine says that it
//! cut them.

pub mod deduplicate;
pub mod fold;
pub mod foreign;
pub mod history;
pub mod plan;
pub mod process;
pub mod session;
pub mod slice;
pub mod stream;
pub mod table;
pub mod task;
pub mod wire;

use super::roles::Rec;

/// A record on its way through the graph.
#[derive(Clone, Debug)]
pub struct Item {
    pub rec: Rec,
    /// The window of its key.
    pub window: Option<(i64, i64)>,
    /// No single record made it.
    pub derived: bool,
    /// Of a change of a table, where it matters: what the row was, or what of it is in a group.
    pub old: wire::Old,
    /// Of a change of a table with history: it came behind a newer version of its row.
    pub behind: bool,
}

/// Before any record.
pub const NEVER: i64 = i64::MIN;

/// The record of a partition that is being taken in.
#[derive(Clone, Debug)]
pub struct Row {
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
    /// As it was read, without the envelope of a repartition topic.
    pub rec: Rec,
    pub window: Option<(i64, i64)>,
    /// For a record of a repartition topic: upstream task and its stream time.
    pub upstream: Option<(u32, i64)>,
}
