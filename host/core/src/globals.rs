//! The port of global tables: rows that every host has whole, whichever partition they came from.
//!
//! Who reads the topics, where the rows are kept, and how far they have come is the shell's matter; the core names tables by
//! number and looks rows up.

use alloc::format;
use alloc::vec::Vec;

use crate::record::BytesColumn;
use crate::state::keyspace::StorageError;

/// Global tables, by number ([`crate::topology::graph::Topology::globals`]).
pub trait Globals {
    /// The rows that a table has now at these keys, one item for each, null where there is none; `None` for a key: there is no row.
    ///
    /// # Errors
    /// When the table cannot be read, now or at all.
    fn rows(&self, table: usize, keys: &[Option<&[u8]>]) -> Result<BytesColumn, StorageError>;
}

/// No global tables: for pipelines without any.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGlobals;

impl Globals for NoGlobals {
    fn rows(&self, table: usize, _: &[Option<&[u8]>]) -> Result<BytesColumn, StorageError> {
        let why = format!("global table {table} is asked for, and this host was started without global tables");
        Err(StorageError::Unavailable(why))
    }
}

/// Items of a column as keys to look up.
pub(crate) fn keys_of(column: &BytesColumn) -> Vec<Option<&[u8]>> {
    (0..column.len()).map(|i| column.get(i)).collect()
}
