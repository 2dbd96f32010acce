//! Changelogs: what an interval changed in a store, as records of a compacted topic, and such records as writes again.
//!
//! A record's key is the store's key without the task in front, its value the stored value, none for what was removed. A window
//! that was dropped becomes a tombstone for each of its groups, since compaction knows no ranges. One key is not a store's:
//! [`CLOCKS`] has the clocks of a task that reads repartition topics, which do not fit beside the group's offsets.

use millstream_core::record::{Batch, BatchBuilder, Timestamp};
use millstream_core::state::key;
use millstream_core::state::keyspace::{Scan, Space, StorageError, Write};
use millstream_core::state::store::Change;

use super::directory::TaskState;

/// The key of the clocks, in the changelog of a task's first store. Keys of stores begin with smaller bytes.
pub const CLOCKS: &[u8] = b"\xf0clocks";

/// Bytes of keys and values that are produced in one piece.
const PIECE_BYTES: usize = 1 << 20;

/// Name of a store's changelog topic.
pub fn topic(pipeline: &str, store: &str) -> String {
    format!("{pipeline}-{store}-changelog")
}

/// Gives an interval's changes of a store as records, in pieces. Wall time `at` is their timestamp.
///
/// # Errors
/// Those of the storage, and whatever `take` gives.
pub fn records<E: From<StorageError>>(
    state: &TaskState,
    store: usize,
    changes: &[Change],
    clocks: Option<&[u8]>,
    at: Timestamp,
    take: &mut dyn FnMut(Batch) -> Result<(), E>,
) -> Result<(), E> {
    let mut piece = Piece { builder: BatchBuilder::default(), bytes: 0, at };
    for change in changes {
        match change {
            Change::Put(key, value) => piece.push(key, Some(value)),
            Change::Delete(key) => piece.push(key, None),
            Change::DropWindow(start) => tombstones(state, store, *start, &mut piece, take)?,
        }
        piece.pass_on(PIECE_BYTES, take)?;
    }
    if let Some(clocks) = clocks {
        piece.push(CLOCKS, Some(clocks));
    }
    piece.pass_on(0, take)
}

struct Piece {
    builder: BatchBuilder,
    bytes: usize,
    at: Timestamp,
}

impl Piece {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.builder.push(Some(key), value, self.at, []);
        self.bytes += key.len() + value.map_or(0, <[u8]>::len);
    }

    fn pass_on<E>(&mut self, least: usize, take: &mut dyn FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        if self.builder.len() == 0 || self.bytes < least {
            return Ok(());
        }
        self.bytes = 0;
        take(std::mem::take(&mut self.builder).finish())
    }
}

/// One for each group of a window. What the same interval put into it is not in the database yet, and needs none: a window's puts
/// and its drop are never in one interval's changes.
fn tombstones<E: From<StorageError>>(
    state: &TaskState,
    store: usize,
    start: Timestamp,
    piece: &mut Piece,
    take: &mut dyn FnMut(Batch) -> Result<(), E>,
) -> Result<(), E> {
    let from = key::window(state.prefix(), start, b"");
    let to = key::successor(&from);
    let (prefix, mut failed) = (state.prefix().len(), None);
    state.db().scan(state.store(store), &from, to.as_deref(), &mut |key, _| {
        piece.push(&key[prefix..], None);
        match piece.pass_on(PIECE_BYTES, take) {
            Ok(()) => Scan::Continue,
            Err(error) => {
                failed = Some(error);
                Scan::Stop
            }
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// The changes as writes to the task's database.
pub fn writes<'a>(state: &'a TaskState, store: usize, changes: &'a [Change]) -> impl Iterator<Item = Write> + use<'a> {
    let (space, prefix) = (state.store(store), state.prefix());
    changes.iter().map(move |change| match change {
        Change::Put(key, value) => Write::Put(space, [prefix, key].concat(), value.clone()),
        Change::Delete(key) => Write::Delete(space, [prefix, key].concat()),
        Change::DropWindow(start) => drop_window(space, prefix, *start),
    })
}

fn drop_window(space: Space, prefix: &[u8], start: Timestamp) -> Write {
    let from = key::window(prefix, start, b"");
    // Behind a store's kind byte there is always a successor: it is not 0xff.
    let to = key::successor(&from).unwrap_or_default();
    Write::DeleteRange(space, from, to)
}

/// Records of a changelog as writes to the task's database.
pub fn restored<'a>(state: &'a TaskState, store: usize, batch: &'a Batch) -> impl Iterator<Item = Write> + use<'a> {
    let (space, prefix) = (state.store(store), state.prefix());
    (0..batch.len()).filter_map(move |i| {
        // A record without a key was written by somebody else.
        let key = batch.keys.get(i)?;
        Some(match (key, batch.values.get(i)) {
            (CLOCKS, value) => state.clocks_write(value.unwrap_or_default().to_vec()),
            (key, Some(value)) => Write::Put(space, [prefix, key].concat(), value.to_vec()),
            (key, None) => Write::Delete(space, [prefix, key].concat()),
        })
    })
}
