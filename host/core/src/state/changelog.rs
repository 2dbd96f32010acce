//! What an interval means to the database of a store, and to the changelog from which such a database is made again. Neither
//! reads nor writes a log: which offsets were taken, and when a database is too old for its changelog, is the shell's.
//!
//! A changelog record's key is the store's key without the task's prefix, its value the stored value, both as in the table
//! of [`super::key`] and in [`super::value`], each with its form in front; no value removes the key. Its partition is the
//! task's. Its timestamp says nothing: give it the wall time at which the interval was closed, as brokers refuse some event
//! times.
//!
//! | key | value |
//! | --- | --- |
//! | `0x01` the key | stored aggregate of a store by key |
//! | `0x02` window's start, its end, the key | stored aggregate of a store by windowed key |
//! | `0x03` window's mark, the key | stored aggregate of a window store |
//! | `0x05` the key, session's end, its start | stored aggregate of a session, or that it has no state; the index is made from it |
//! | `0x08` clock, due time, who | `0x01`: there is such a timer; the index is made from it |
//! | `0x0a` side, the key, time, number | a record that waits for partners; the index is made from it |
//! | `0x0c` the key, end | what a row was until then, see [`super::version`]; the index is made from it |
//! | `0xef` | what the store was made with, see [`crate::made_with`] |
//! | `0xf0` … | the shell's own, beside the store's |

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use super::key::{self, StoreKind};
use super::keyspace::{Scan, Space, StorageError, Write};
use super::store::{Change, Ground};
use super::value::{STATELESS, Stored, TIMER};
use super::{version, waiting};
use crate::made_with;
use crate::record::Batch;

/// First byte of keys that are the shell's own, in a changelog and in a store's keyspace alike.
pub const OWN_KIND: u8 = 0xf0;

/// Keys of a window that are held at once while its groups are removed one by one.
pub const TOMBSTONES_HELD_MAX: usize = 1_024;

/// Bytes of a key that say which window it belongs to: the kind and the mark.
const WINDOW_BYTES: usize = 9;

/// What takes records: key, and value or none.
pub type Take<'t, E> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), E> + 't;

/// The writes that bring a store to where its changes leave it.
pub fn change_writes(space: Space, prefix: &[u8], changes: &[Change]) -> impl Iterator<Item = Write> {
    changes
        .iter()
        .flat_map(move |change| match change {
            Change::Put(key, value) => writes_of(space, prefix, key, Some(value.as_slice())),
            Change::Delete(key) => writes_of(space, prefix, key, None),
            Change::DropWindow(mark) => {
                let from = key::window(prefix, *mark, b"");
                // Behind a store's kind byte there is always a successor: it is not 0xff.
                let to = key::successor(&from).unwrap_or_default();
                [Some(Write::DeleteRange(space, from, to)), None]
            }
        })
        .flatten()
}

/// The write of a key, and that of the index beside it.
fn writes_of(space: Space, prefix: &[u8], key: &[u8], value: Option<&[u8]>) -> [Option<Write>; 2] {
    let write = |key: Vec<u8>, value: Option<&[u8]>| match value {
        Some(value) => Write::Put(space, key, value.to_vec()),
        None => Write::Delete(space, key),
    };
    let session = || key::split_session(key).map(|(key, start, end)| key::session_time(prefix, &key, start, end));
    let beside = match key::split_timer(key) {
        // A timer that is moved goes before it comes, so what the index says last is so.
        Some((clock, due, who)) => {
            let due = key::ordered(due);
            Some(write(key::timer_by_who(prefix, clock, who), value.map(|_| &due[..])))
        }
        None => match key::split_waiting(key) {
            Some((side, who, time, number)) => {
                let pending = [value.is_some_and(waiting::is_pending) as u8];
                Some(write(key::waiting_time(prefix, side, &who, time, number), value.map(|_| &pending[..])))
            }
            None => match key::split_version(key) {
                Some((who, end)) => Some(write(key::version_time(prefix, end, &who), value.map(|_| &b""[..]))),
                None => session().map(|timed| write(timed, value.map(|_| &b""[..]))),
            },
        },
    };
    [Some(write([prefix, key].concat(), value)), beside]
}

/// Gives what an interval's changes of a store are in its changelog: for each key one record, the last. `ground`: that
/// store's, in the database as the interval before has left it; groups of a window that is dropped are looked up there,
/// [`TOMBSTONES_HELD_MAX`] at a time, since a changelog is compacted by key and knows no ranges.
///
/// # Errors
/// Those of the database and of `take`.
pub fn records<E: From<StorageError>>(changes: &[Change], ground: Ground<'_>, take: &mut Take<'_, E>) -> Result<(), E> {
    let dropped = changes.iter().filter_map(|change| match change {
        Change::DropWindow(mark) => Some(key::window(b"", *mark, b"")),
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
        tombstones(ground, window, &written, take)?;
    }
    for change in changes {
        match change {
            Change::Put(key, value) => take(key, Some(value))?,
            Change::Delete(key) => take(key, None)?,
            Change::DropWindow(_) => {}
        }
    }
    Ok(())
}

/// Removes the keys of a window one by one, but for those that are written again.
fn tombstones<E: From<StorageError>>(
    ground: Ground<'_>,
    window: &[u8],
    written: &BTreeSet<&[u8]>,
    take: &mut Take<'_, E>,
) -> Result<(), E> {
    let mut from = [ground.prefix, window].concat();
    let to = key::successor(&from);
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        ground.db.scan(ground.space, &from, to.as_deref(), &mut |key, _| {
            held.push(key[ground.prefix.len()..].to_vec());
            if held.len() < TOMBSTONES_HELD_MAX { Scan::Continue } else { Scan::Stop }
        })?;
        held.iter().filter(|key| !written.contains(key.as_slice())).try_for_each(|key| take(key, None))?;
        let Some(last) = held.pop().filter(|_| held.len() + 1 == TOMBSTONES_HELD_MAX) else { return Ok(()) };
        from = [ground.prefix, &last, &[0]].concat();
        held.clear();
    }
}

/// The writes that take a piece of a changelog into a store's keyspace: the inverse of [`records`]. Pieces come in the order
/// of the log, without records of transactions that were aborted. What is the shell's own ([`OWN_KIND`]) comes along under
/// its key.
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
        writes.extend(writes_of(space, prefix, key, value).into_iter().flatten());
    }
    Ok(writes)
}

fn is_ours(key: &[u8], value: Option<&[u8]>) -> bool {
    let kinds = [StoreKind::KeyValue, StoreKind::WindowedKeyValue, StoreKind::Window];
    match key.first() {
        Some(first) if *first == OWN_KIND => true,
        Some(first) if *first == StoreKind::MadeWith as u8 => {
            key.len() == 1 && value.is_none_or(|value| made_with::decode(value).is_some())
        }
        Some(first) if *first == StoreKind::Session as u8 => {
            let known = |value: &[u8]| value == STATELESS || Stored::decode(value).is_some();
            key::split_session(key).is_some() && value.is_none_or(known)
        }
        Some(first) if *first == StoreKind::Timer as u8 => {
            let known = key::split_timer(key).is_some_and(|(.., who)| key::split_timer_who(who).is_some());
            known && value.is_none_or(|value| value == TIMER)
        }
        Some(first) if *first == StoreKind::Waiting as u8 => {
            key::split_waiting(key).is_some() && value.is_none_or(|value| waiting::open(value).is_some())
        }
        Some(first) if *first == StoreKind::Version as u8 => {
            key::split_version(key).is_some() && value.is_none_or(|value| version::open(value).is_some())
        }
        Some(first) => {
            kinds.iter().any(|kind| *kind as u8 == *first) && value.is_none_or(|value| Stored::decode(value).is_some())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;
    use crate::state::keyspace::{Durability, Keyspaces, SpaceKind};
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
                let changes = store.take_changes();
                let before = log.len();
                records(&changes, live.ground(), &mut |key, value| {
                    log.push((key.to_vec(), value.map(<[u8]>::to_vec)));
                    Ok::<_, StorageError>(())
                })
                .unwrap();
                let keys: BTreeSet<&Vec<u8>> = log[before..].iter().map(|(key, _)| key).collect();
                prop_assert_eq!(keys.len(), log.len() - before, "one record for a key");
                live.apply(change_writes(live.space, &PREFIX, &changes).collect());
                store.shrink(if number % 2 == 0 { 0 } else { usize::MAX });
                if number == from.index(intervals.len()) {
                    old.restore(&log, piece);
                    checkpoint = log.len();
                }
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

    #[test]
    fn a_window_of_many_keys_is_removed_key_by_key_and_no_other_is_touched() {
        for groups in [TOMBSTONES_HELD_MAX - 1, TOMBSTONES_HELD_MAX, TOMBSTONES_HELD_MAX + 1, 2 * TOMBSTONES_HELD_MAX] {
            let copy = Copy::new();
            let key = |start: i64, i: usize| key::window(&PREFIX, start, format!("{i}").as_bytes());
            let put = |start: i64, i: usize| Write::Put(copy.space, key(start, i), Vec::new());
            copy.apply((0..groups).map(|i| put(5, i)).chain([put(4, 0), put(6, 0)]).collect());
            let (mut gone, mut others) = (0, 0);
            records(&[Change::DropWindow(5)], copy.ground(), &mut |key, value| {
                let ours = value.is_none() && key.starts_with(&key::window(b"", 5, b""));
                *if ours { &mut gone } else { &mut others } += 1;
                Ok::<_, StorageError>(())
            })
            .unwrap();
            assert_eq!((gone, others), (groups, 0));
        }
    }

    #[test]
    fn a_taker_that_fails_ends_it() {
        let changes = [Change::Put(vec![1], vec![]), Change::Put(vec![2], vec![])];
        let mut taken = 0;
        let mut take = |_: &[u8], _: Option<&[u8]>| {
            taken += 1;
            Err(StorageError::Unavailable("full".into()))
        };
        assert!(records(&changes, Copy::new().ground(), &mut take).is_err());
        assert_eq!(taken, 1);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let record = |key: Option<&[u8]>, value: Option<&[u8]>| {
            let mut batch = BatchBuilder::default();
            batch.push(key, value, 0, []);
            restore(&batch.finish(), Space(0), &PREFIX).is_ok()
        };
        let stored = Stored { layout: 0, timestamp: 1, state: b"s" }.encode();
        assert!(record(Some(&[1, b'k']), Some(&stored)) && record(Some(&[3, b'k']), None));
        assert!(record(Some(&[OWN_KIND, 1]), Some(b"anything")));
        assert!(record(Some(&[0xef]), Some(b"\x01count")) && record(Some(&[0xef]), None));
        assert!(!record(Some(&[0xef, 1]), Some(b"\x01count")) && !record(Some(&[0xef]), Some(b"count")));
        let timer = key::timer(&[], 1, 5, &key::timer_who(None, "n"));
        assert!(record(Some(&timer), Some(TIMER)) && record(Some(&timer), None));
        assert!(!record(Some(&timer), Some(b"text")) && !record(Some(&timer[..9]), None));
        let waits = key::waiting(&[], 1, b"k", 5, 0);
        let whole = waiting::form(true, Vec::new(), b"v");
        assert!(record(Some(&waits), Some(&whole)) && record(Some(&waits), None));
        assert!(!record(Some(&waits), Some(b"v")) && !record(Some(&waits[..14]), Some(&whole)));
        assert!(!record(None, Some(&stored)) && !record(Some(&[]), None));
        assert!(!record(Some(&[9, b'k']), Some(&stored)) && !record(Some(&[1, b'k']), Some(b"text")));
    }
}
