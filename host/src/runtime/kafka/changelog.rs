//! Changelogs as topics: their names, and an interval's changes as batches of records. What a changelog's records are, the core says
//! ([`millstream_core::state::changelog`]).

use millstream_core::record::{Batch, BatchBuilder, Timestamp};
use millstream_core::state::changelog;
use millstream_core::state::keyspace::StorageError;
use millstream_core::state::store::{Change, Ground};
use millstream_core::topology::graph::Topology;

/// The key of a task's clocks, in the changelog and the keyspace of its first store: those of a reader of repartition topics do not
/// fit beside the group's offsets.
pub const CLOCKS: &[u8] = &[changelog::OWN_KIND, b'c'];

/// Bytes of keys and values that are produced in one piece.
const PIECE_BYTES: usize = 1 << 20;

/// Name of a store's changelog topic.
pub fn topic(pipeline: &str, store: &str) -> String {
    format!("{pipeline}-{store}-changelog")
}

/// All changelog topics of a pipeline.
pub fn topics(topology: &Topology) -> Vec<String> {
    let stores = topology.subs.iter().flat_map(|sub| &sub.stores);
    stores.map(|store| topic(&topology.pipeline, &store.name)).collect()
}

/// Gives an interval's changes of a store as records, in pieces. `ground` is that store's, before they are applied; wall time `at` is
/// the records' timestamp.
///
/// # Errors
/// Those of the storage, and whatever `take` gives.
pub fn batches<E: From<StorageError>>(
    ground: Ground<'_>,
    changes: &[Change],
    clocks: Option<&[u8]>,
    at: Timestamp,
    take: &mut dyn FnMut(Batch) -> Result<(), E>,
) -> Result<(), E> {
    let (mut piece, mut bytes) = (BatchBuilder::default(), 0);
    changelog::records(changes, ground, &mut |key, value| {
        piece.push(Some(key), value, at, []);
        bytes += key.len() + value.map_or(0, <[u8]>::len);
        if bytes < PIECE_BYTES {
            return Ok(());
        }
        bytes = 0;
        take(std::mem::take(&mut piece).finish())
    })?;
    if let Some(clocks) = clocks {
        piece.push(Some(CLOCKS), Some(clocks), at, []);
    }
    if piece.is_empty() { Ok(()) } else { take(piece.finish()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::memory::memory;
    use millstream_core::state::keyspace::{Durability, SpaceKind, Write};

    #[test]
    fn changes_come_in_pieces_and_the_clocks_last() {
        let db = memory();
        let space = db.open_space("s", SpaceKind::State).unwrap();
        let dropped = millstream_core::state::key::window(b"pppp", 5, b"gone");
        db.apply(vec![Write::Put(space, dropped.clone(), b"x".to_vec())], Durability::Process).unwrap();
        let large = vec![7; PIECE_BYTES];
        let changes = [Change::DropWindow(5), Change::Put(b"\x01a".to_vec(), large), Change::Delete(b"\x01b".to_vec())];
        let ground = Ground { db: db.as_ref(), space, prefix: b"pppp" };
        let mut pieces = Vec::new();
        let mut take = |batch: Batch| {
            let row = |i| (batch.keys.get(i).unwrap().to_vec(), batch.values.get(i).map(<[u8]>::len));
            pieces.push((0..batch.len()).map(row).collect::<Vec<_>>());
            assert!(batch.timestamps.iter().all(|t| *t == 99));
            Ok::<_, StorageError>(())
        };
        batches(ground, &changes, Some(b"now"), 99, &mut take).unwrap();
        let first = vec![(dropped[4..].to_vec(), None), (b"\x01a".to_vec(), Some(PIECE_BYTES))];
        assert_eq!(pieces, [first, vec![(b"\x01b".to_vec(), None), (CLOCKS.to_vec(), Some(3))]]);
    }
}
