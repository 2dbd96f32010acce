//! What an interval means to the database of its tasks, and to the changelogs from which such a database is made again.
//! Neither reads nor writes a log: which offsets were taken, and when a database is too old for its changelog, is the shell's.
//!
//! A changelog record's key is the store's key without the task's prefix, its value the stored value, both as in the table
//! of [`super::key`] and in [`super::value`], each with its form in front; no value removes the key. Its partition is the task's. Its
//! timestamp says nothing: give it the wall time at which the interval was closed, as brokers refuse some event times.
//!
//! | key | value | in the changelog of |
//! | --- | --- | --- |
//! | `0x01` the key | stored aggregate | a store by key |
//! | `0x02` start, end, the key | stored aggregate | a store by windowed key |
//! | `0x03` start, the key | stored aggregate | a window store |
//! | `0x00` | the task's metadata ([`crate::meta`]) | the sub-topology's first store |

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use super::key::{self, StoreKind};
use super::keyspace::{Keyspaces, Scan, Space, StorageError, Write};
use super::store::{Change, Ground};
use super::value::Stored;
use crate::meta::Meta;
use crate::record::Batch;
use crate::task::TaskPart;

/// The key under which a task's metadata stands in its first store, and in that store's changelog: written with each
/// interval, so that a restored task knows its times to the same interval as its states.
pub const META_KEY: [u8; 1] = [0x00];

/// Keys of a window that are held at once while its groups are removed one by one.
pub const TOMBSTONES_HELD_MAX: usize = 1_024;

/// Bytes of a key that say which window it belongs to: the kind and the start.
const WINDOW_BYTES: usize = 9;

/// A record for a changelog: key, and value or none.
pub type ChangelogRecord<'a> = (&'a [u8], Option<&'a [u8]>);

/// The writes that bring a store to where its changes leave it.
pub fn change_writes(space: Space, prefix: &[u8], changes: &[Change]) -> impl Iterator<Item = Write> {
    changes.iter().map(move |change| match change {
        Change::Put(key, value) => Write::Put(space, [prefix, key].concat(), value.clone()),
        Change::Delete(key) => Write::Delete(space, [prefix, key].concat()),
        Change::DropWindow(start) => {
            let from = key::window(prefix, *start, b"");
            // Behind a store's kind byte there is always a successor: it is not 0xff.
            let to = key::successor(&from).unwrap_or_default();
            Write::DeleteRange(space, from, to)
        }
    })
}

/// The writes that bring a task's database to where an interval leaves it, its metadata included where it has a store.
/// `spaces`: those of its stores, in their order.
pub fn part_writes(spaces: &[Space], prefix: &[u8], part: &TaskPart) -> Vec<Write> {
    let stores = spaces.iter().zip(&part.changes);
    let mut writes: Vec<Write> = stores.flat_map(|(space, changes)| change_writes(*space, prefix, changes)).collect();
    let meta = |space: &Space| Write::Put(*space, [prefix, &META_KEY].concat(), part.meta.clone());
    writes.extend(spaces.first().map(meta));
    writes
}

/// What a task's last interval left of metadata in a database that [`part_writes`] or [`restore`] filled.
///
/// # Errors
/// Those of the database.
pub fn meta(db: &dyn Keyspaces, spaces: &[Space], prefix: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    spaces.first().map_or(Ok(None), |space| db.get(*space, &[prefix, &META_KEY].concat()))
}

/// Shows what an interval writes to the changelog of one of its task's stores, in an order that is right: for each key one
/// record, the last. `ground`: that store's, in the database as the interval before has left it; groups of a window that is
/// dropped are looked up there, [`TOMBSTONES_HELD_MAX`] at a time, since a changelog is compacted by key and knows no ranges.
///
/// # Errors
/// Those of the database.
pub fn records(
    part: &TaskPart,
    store: usize,
    ground: Ground<'_>,
    visit: &mut dyn FnMut(ChangelogRecord<'_>),
) -> Result<(), StorageError> {
    let changes = &part.changes[store];
    let dropped = changes.iter().filter_map(|change| match change {
        Change::DropWindow(start) => Some(key::window(b"", *start, b"")),
        _ => None,
    });
    let dropped: BTreeSet<Vec<u8>> = dropped.collect();
    let written = changes.iter().filter_map(|change| match change {
        Change::Put(key, _) | Change::Delete(key) => Some(key.as_slice()),
        Change::DropWindow(_) => None,
    });
    // Of a window that was dropped and came again, which only a changed manifest brings about.
    let of_dropped = |key: &&[u8]| key.get(..WINDOW_BYTES).is_some_and(|window| dropped.contains(window));
    let written: BTreeSet<&[u8]> =
        if dropped.is_empty() { BTreeSet::new() } else { written.filter(of_dropped).collect() };
    for window in &dropped {
        tombstones(ground, window, &written, visit)?;
    }
    for change in changes {
        match change {
            Change::Put(key, value) => visit((key, Some(value))),
            Change::Delete(key) => visit((key, None)),
            Change::DropWindow(_) => {}
        }
    }
    if store == 0 {
        visit((&META_KEY, Some(&part.meta)));
    }
    Ok(())
}

/// Removes the keys of a window one by one, but for those that are written again.
fn tombstones(
    ground: Ground<'_>,
    window: &[u8],
    written: &BTreeSet<&[u8]>,
    visit: &mut dyn FnMut(ChangelogRecord<'_>),
) -> Result<(), StorageError> {
    let mut from = [ground.prefix, window].concat();
    let to = key::successor(&from);
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        ground.db.scan(ground.space, &from, to.as_deref(), &mut |key, _| {
            held.push(key[ground.prefix.len()..].to_vec());
            if held.len() < TOMBSTONES_HELD_MAX { Scan::Continue } else { Scan::Stop }
        })?;
        held.iter().filter(|key| !written.contains(key.as_slice())).for_each(|key| visit((key, None)));
        let Some(last) = held.pop().filter(|_| held.len() + 1 == TOMBSTONES_HELD_MAX) else { return Ok(()) };
        from = [ground.prefix, &last, &[0]].concat();
        held.clear();
    }
}

/// The writes that take a piece of a changelog into a store: the inverse of [`records`]. Pieces come in the order of the
/// log, without records of transactions that were aborted.
///
/// # Errors
/// [`StorageError::Corrupted`] for a record that no store of this version writes: something else writes into the topic.
pub fn restore(batch: &Batch, space: Space, prefix: &[u8]) -> Result<Vec<Write>, StorageError> {
    let mut writes = Vec::with_capacity(batch.len());
    for i in 0..batch.len() {
        let (key, value) = (batch.keys.get(i), batch.values.get(i));
        let Some(key) = key.filter(|key| is_ours(key, value)) else {
            let why = format!("record {i} of a piece of a changelog has a form that this version does not write");
            return Err(StorageError::Corrupted(why));
        };
        let whole = [prefix, key].concat();
        writes.push(match value {
            Some(value) => Write::Put(space, whole, value.to_vec()),
            None => Write::Delete(space, whole),
        });
    }
    Ok(writes)
}

fn is_ours(key: &[u8], value: Option<&[u8]>) -> bool {
    let kinds = [StoreKind::KeyValue, StoreKind::WindowedKeyValue, StoreKind::Window];
    match key.split_first() {
        Some((first, [])) if *first == META_KEY[0] => value.is_none_or(|value| Meta::decode(value).is_some()),
        Some((first, _)) => {
            kinds.iter().any(|kind| *kind as u8 == *first) && value.is_none_or(|value| Stored::decode(value).is_some())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;
    use crate::state::keyspace::{Durability, SpaceKind};
    use crate::state::memory::Memory;
    use crate::state::memory::tests::{Locked, all};
    use crate::state::store::{Store, hash};
    use crate::state::value::State;
    use alloc::vec;
    use proptest::prelude::*;

    const PREFIX: [u8; 4] = [0, 0, 0, 9];

    /// A change of a group: window or none, key, state or none. Or a window closes.
    #[derive(Clone, Debug)]
    enum Op {
        Set(i64, u8, Option<u8>),
        Drop(i64),
    }

    fn ops() -> impl Strategy<Value = Vec<Vec<Op>>> {
        let set = (0i64..4, 0u8..6, proptest::option::of(0u8..9)).prop_map(|(w, k, s)| Op::Set(w, k, s));
        let op = prop_oneof![4 => set, 1 => (0i64..4).prop_map(Op::Drop)];
        proptest::collection::vec(proptest::collection::vec(op, 0..12), 1..12)
    }

    struct Copy {
        db: Memory<Locked>,
        space: Space,
    }

    impl Copy {
        fn new() -> Self {
            let db = Memory::default();
            let space = db.open_space("store", SpaceKind::State).unwrap();
            Self { db, space }
        }

        fn ground(&self) -> Ground<'_> {
            Ground { db: &self.db, space: self.space, prefix: &PREFIX }
        }

        fn apply(&self, writes: Vec<Write>) {
            self.db.apply(writes, Durability::Process).unwrap();
        }

        fn restore(&self, log: &[(Vec<u8>, Option<Vec<u8>>)], piece: usize) {
            for piece in log.chunks(piece) {
                let mut batch = BatchBuilder::default();
                piece.iter().for_each(|(key, value)| batch.push(Some(key), value.as_deref(), 0, []));
                self.apply(restore(&batch.finish(), self.space, &PREFIX).unwrap());
            }
        }
    }

    fn play(store: &mut Store, kind: StoreKind, ground: Ground<'_>, op: &Op) {
        let windowed = kind == StoreKind::Window;
        match op {
            Op::Set(window, key, state) => {
                let key = vec![b'k'; *key as usize];
                let slot = store.locate(ground, windowed.then_some(*window), hash(&key), &key).unwrap();
                let state = state.map_or(State::Absent, |n| State::new(&vec![n; n as usize * 3]));
                store.set(slot, 7, *window, state);
            }
            Op::Drop(window) if windowed => store.drop_window(*window),
            Op::Drop(_) => store.shrink(0),
        }
    }

    proptest! {
        /// Whole or from a checkpoint, compacted or not, in pieces of any size.
        #[test]
        fn a_store_made_from_its_changelog_is_the_store(
            intervals in ops(), windowed: bool, piece in 1usize..9, from: prop::sample::Index, compacted: prop::sample::Index
        ) {
            let kind = if windowed { StoreKind::Window } else { StoreKind::KeyValue };
            let live = Copy::new();
            let mut store = Store::open(kind, live.ground()).unwrap();
            let mut log: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
            let (old, mut checkpoint) = (Copy::new(), 0);
            for (number, ops) in intervals.iter().enumerate() {
                ops.iter().filter(|op| windowed || matches!(op, Op::Set(..))).for_each(|op| {
                    play(&mut store, kind, live.ground(), op);
                });
                let meta = Meta { interval: number as u64, ..Meta::default() }.encode();
                let part = TaskPart { changes: vec![store.take_changes()], meta, ..TaskPart::default() };
                let before = log.len();
                records(&part, 0, live.ground(), &mut |(key, value)| log.push((key.to_vec(), value.map(<[u8]>::to_vec)))).unwrap();
                let keys: BTreeSet<&Vec<u8>> = log[before..].iter().map(|(key, _)| key).collect();
                prop_assert_eq!(keys.len(), log.len() - before, "one record for a key");
                live.apply(part_writes(&[live.space], &PREFIX, &part));
                store.shrink(if number % 2 == 0 { 0 } else { usize::MAX });
                if number == from.index(intervals.len()) {
                    old.restore(&log, piece);
                    checkpoint = log.len();
                }
                prop_assert_eq!(meta_of(&live), Some(part.meta));
            }
            // Compaction leaves of each key the last record below some offset, and there no removals.
            let below = compacted.index(log.len() + 1);
            let last = |at: usize| !log[at + 1..below].iter().any(|(key, _)| *key == log[at].0);
            let kept: Vec<_> = (0..log.len()).filter(|at| *at >= below || last(*at) && log[*at].1.is_some()).collect();
            let compact: Vec<_> = kept.into_iter().map(|at| log[at].clone()).collect();
            let (whole, new) = (Copy::new(), Copy::new());
            whole.restore(&log, piece);
            new.restore(&compact, piece);
            old.restore(&log[checkpoint..], piece);
            for copy in [&whole, &new, &old] {
                prop_assert_eq!(all(&copy.db, copy.space), all(&live.db, live.space));
            }
        }
    }

    fn meta_of(copy: &Copy) -> Option<Vec<u8>> {
        meta(&copy.db, &[copy.space], &PREFIX).unwrap()
    }

    #[test]
    fn a_window_of_many_keys_is_removed_key_by_key_and_no_other_is_touched() {
        for groups in [TOMBSTONES_HELD_MAX - 1, TOMBSTONES_HELD_MAX, TOMBSTONES_HELD_MAX + 1, 2 * TOMBSTONES_HELD_MAX] {
            let copy = Copy::new();
            let key = |start: i64, i: usize| key::window(&PREFIX, start, format!("{i}").as_bytes());
            let put = |start: i64, i: usize| Write::Put(copy.space, key(start, i), Vec::new());
            copy.apply((0..groups).map(|i| put(5, i)).chain([put(4, 0), put(6, 0)]).collect());
            let part = TaskPart { changes: vec![vec![Change::DropWindow(5)]], ..TaskPart::default() };
            let (mut gone, mut others) = (0, 0);
            records(&part, 0, copy.ground(), &mut |(key, value)| match value {
                None if key.starts_with(&key::window(b"", 5, b"")) => gone += 1,
                _ => others += 1,
            })
            .unwrap();
            assert_eq!((gone, others), (groups, 1), "and the metadata");
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let record = |key: Option<&[u8]>, value: Option<&[u8]>| {
            let mut batch = BatchBuilder::default();
            batch.push(key, value, 0, []);
            restore(&batch.finish(), Space(0), &PREFIX).is_ok()
        };
        let (stored, meta) = (Stored { layout: 0, timestamp: 1, state: b"s" }.encode(), Meta::default().encode());
        assert!(
            record(Some(&[1, b'k']), Some(&stored))
                && record(Some(&[3, b'k']), None)
                && record(Some(&[0]), Some(&meta))
        );
        assert!(!record(None, Some(&stored)) && !record(Some(&[]), None) && !record(Some(&[9, b'k']), Some(&stored)));
        assert!(
            !record(Some(&[1, b'k']), Some(b"text"))
                && !record(Some(&[0]), Some(&stored))
                && !record(Some(&[0, 1]), None)
        );
    }
}
