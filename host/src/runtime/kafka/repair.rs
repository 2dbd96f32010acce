//! What lies in a changelog behind the last commit, and how it is undone. At least once only: there a changelog's records are not part
//! of the commit that they belong to, so that a host which ends between the two leaves records of an interval that does not count.
//!
//! ```text
//!   changelog   … k=5 │ k=7  w gone │                    read up to the commit: k=5, w as it was
//!                  the last commit   the end             behind it: k and w are to be repaired
//!   next commit                       k=5  w  │ k=7 …    written before anything of the next interval
//! ```
//!
//! Until then the last commit is the one of before, and whoever opens the task finds the same again. Compaction keeps the last record
//! of a key, which may be one to be undone: [`COMPACTION_LAG_MS`] holds it off until a next owner has come.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use millstream_core::record::Batch;
use millstream_core::state::keyspace::StorageError;
use millstream_core::state::store::{Change, Ground};
use millstream_core::topology::graph::Store;

/// Bytes of keys of a task that wait to be repaired. An interval has less; more means that the changelog is not this group's.
pub const KEYS_BYTES_MAX: usize = 256 << 20;

/// How long compaction leaves changelog records alone (`min.compaction.lag.ms`), milliseconds: longer than a task is without an owner.
/// Only a segment that is full is compacted at all, so that it takes an interval over the end of one, and no host for so long.
pub const COMPACTION_LAG_MS: i64 = 10 * 60_000;

/// How much of each changelog belongs to a commit: offsets behind the last record, by name of the store; a store that is not named has
/// none.
pub type Ends = BTreeMap<String, i64>;

/// The ends in the order of a sub-topology's stores; without any, all that there is belongs to the commit.
pub fn in_order(ends: Option<&Ends>, stores: &[Store]) -> Vec<i64> {
    let of = |store: &Store| ends.map_or(i64::MAX, |ends| ends.get(&store.name).copied().unwrap_or(0));
    stores.iter().map(of).collect()
}

/// Keys to be repaired, by store.
#[derive(Debug, PartialEq, Eq)]
pub struct Repairs {
    keys: Vec<BTreeSet<Vec<u8>>>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for Repairs {
    fn default() -> Self {
        Self::at_most(KEYS_BYTES_MAX)
    }
}

impl Repairs {
    fn at_most(bytes_max: usize) -> Self {
        Self { keys: Vec::new(), bytes: 0, bytes_max }
    }

    /// Takes down the keys of records that do not count.
    ///
    /// # Errors
    /// Beyond [`KEYS_BYTES_MAX`].
    pub fn note(&mut self, store: usize, records: &Batch) -> anyhow::Result<()> {
        if self.keys.len() <= store {
            self.keys.resize_with(store + 1, BTreeSet::new);
        }
        for key in (0..records.len()).filter_map(|row| records.keys.get(row)) {
            if self.keys[store].insert(key.to_vec()) {
                self.bytes += key.len();
            }
        }
        if self.bytes > self.bytes_max {
            bail!(
                "more than {} bytes of keys lie in its changelogs behind the last commit, which no host leaves there: have the group's \
                 offsets been deleted, or does something else write there? Start over under another pipeline name",
                self.bytes_max
            );
        }
        Ok(())
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.iter().map(BTreeSet::len).sum()
    }

    /// Whether there is nothing to repair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a store's keys are to be again: as the state on this host has them, which is as the last commit left them.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn changes(&self, store: usize, ground: &Ground<'_>) -> Result<Vec<Change>, StorageError> {
        let change = |key: &Vec<u8>| {
            let value = ground.db.get(ground.space, &[ground.prefix, key].concat())?;
            Ok(value.map_or_else(|| Change::Delete(key.clone()), |value| Change::Put(key.clone(), value)))
        };
        self.keys.get(store).into_iter().flatten().map(change).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::memory::memory;
    use millstream_core::record::BatchBuilder;
    use millstream_core::state::keyspace::{Durability, SpaceKind, Write};

    fn records(keys: &[&[u8]]) -> Batch {
        let mut out = BatchBuilder::default();
        keys.iter().for_each(|key| out.push(Some(key), None, 1, []));
        out.finish()
    }

    #[test]
    fn keys_become_again_what_the_state_says() {
        let db = memory();
        let space = db.open_space("s", SpaceKind::State).unwrap();
        db.apply(vec![Write::Put(space, b"ppppkept".to_vec(), b"5".to_vec())], Durability::Process).unwrap();
        let mut repairs = Repairs::default();
        assert!(repairs.is_empty());
        repairs.note(1, &records(&[b"new", b"kept", b"kept"])).unwrap();
        let ground = Ground { db: db.as_ref(), space, prefix: b"pppp" };
        assert_eq!(repairs.len(), 2);
        let expected = [Change::Put(b"kept".to_vec(), b"5".to_vec()), Change::Delete(b"new".to_vec())];
        assert_eq!(repairs.changes(1, &ground).unwrap(), expected);
        assert_eq!((repairs.changes(0, &ground).unwrap(), repairs.changes(7, &ground).unwrap()), (vec![], vec![]));
    }

    #[test]
    fn more_keys_than_an_interval_has_are_refused() {
        let mut repairs = Repairs::at_most(8);
        repairs.note(0, &records(&[b"1234", b"5678", b"1234"])).unwrap();
        let error = repairs.note(1, &records(&[b"9"])).unwrap_err().to_string();
        assert!(error.contains("more than 8 bytes"), "{error}");
    }
}
