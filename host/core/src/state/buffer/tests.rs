//! A buffer against a list in which nothing is ever looked for by key or time, over a database that gets what its intervals leave.

use super::super::changelog::{change_writes, records, restore};
use super::super::keyspace::{Durability, Keyspaces, SpaceKind};
use super::super::memory::Memory;
use super::super::memory::tests::{Locked, all};
use super::*;
use crate::record::BatchBuilder;
use alloc::vec;
use proptest::prelude::*;

const PREFIX: [u8; 4] = [0, 0, 0, 4];

#[derive(Clone, Debug)]
enum Op {
    /// Side, key, time, whether it comes out alone.
    Add(bool, u8, i64, bool),
    /// Side, key, from, length.
    Meet(bool, u8, i64, i64),
    /// Side, time.
    End(bool, i64),
    Close {
        commit: bool,
        shrink: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0u8..5;
    prop_oneof![
        6 => (any::<bool>(), key.clone(), 0i64..12, any::<bool>()).prop_map(|(s, k, t, p)| Op::Add(s, k, t, p)),
        5 => (any::<bool>(), key, 0i64..12, 0i64..6).prop_map(|(s, k, t, n)| Op::Meet(s, k, t, n)),
        2 => (any::<bool>(), 0i64..13).prop_map(|(s, t)| Op::End(s, t)),
        3 => (any::<bool>(), prop_oneof![Just(0usize), Just(300), Just(usize::MAX)]).prop_map(|(commit, shrink)| Op::Close { commit, shrink }),
    ]
}

/// Keys of which some begin others, and some have zeros.
fn key(n: u8) -> Vec<u8> {
    [&b""[..], b"a", b"a\0", b"a\0\0", b"ab"][usize::from(n)].to_vec()
}

fn side(right: bool) -> Side {
    if right { Side::Right } else { Side::Left }
}

/// Side, key, time, value, whether it comes out alone; in order of arrival.
type Model = Vec<(Side, Vec<u8>, i64, u8, bool)>;

proptest! {
    #[test]
    fn it_is_a_list_and_its_changelog_makes_it_again(ops in proptest::collection::vec(op(), 1..80)) {
        let db = Memory::<Locked>::default();
        let space = db.open_space("s", SpaceKind::State).unwrap();
        let ground = Ground { db: &db, space, prefix: &PREFIX };
        let mut buffer = Buffer::open(ground).unwrap();
        let (mut model, mut committed) = (Model::new(), Model::new());
        let mut log = BatchBuilder::default();
        for (n, op) in (0u8..).zip(&ops) {
            match op {
                Op::Add(right, k, time, pending) => {
                    // What has ended never comes again.
                    let (side, key) = (side(*right), key(*k));
                    let record = waiting::form(*pending, vec![(b"h", None)], &[n]);
                    buffer.add(ground, side, &key, *time, record).unwrap();
                    model.push((side, key, *time, n, *pending));
                }
                Op::Meet(right, k, from, length) => {
                    let (side, key, to) = (side(*right), key(*k), from + length);
                    let mut got = Vec::new();
                    let any = buffer.meet(ground, side, &key, (*from, to), &mut |time, value| {
                        got.push((time, value.to_vec()));
                        Ok::<_, StorageError>(())
                    }).unwrap();
                    let met = model.iter_mut().filter(|r| r.0 == side && r.1 == key && (*from..=to).contains(&r.2));
                    let mut want: Vec<_> = met.map(|r| { r.4 = false; (r.2, vec![r.3]) }).collect();
                    want.sort_by_key(|r| r.0);
                    prop_assert_eq!(any, !want.is_empty());
                    prop_assert_eq!(got, want);
                }
                Op::End(right, below) => {
                    let side = side(*right);
                    let got = buffer.end(ground, side, *below).unwrap();
                    let got: Vec<_> = got.into_iter().map(|e| {
                        (e.time, e.who.to_vec(), e.alone.map(|alone| waiting::open(&alone).unwrap().value.to_vec()))
                    }).collect();
                    let (gone, kept): (Model, Model) = model.into_iter().partition(|r| r.0 == side && r.2 < *below);
                    model = kept;
                    let mut want: Vec<_> = gone.into_iter().map(|r| (r.2, r.1, r.4.then(|| vec![r.3]))).collect();
                    want.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
                    prop_assert_eq!(got, want);
                }
                Op::Close { commit: true, shrink } => {
                    let changes = buffer.take_changes();
                    records(&changes, ground, &mut |k, v| {
                        log.push(Some(k), v, 0, []);
                        Ok::<_, StorageError>(())
                    }).unwrap();
                    db.apply(change_writes(space, &PREFIX, &changes).collect(), Durability::Process).unwrap();
                    buffer.shrink(*shrink);
                    committed = model.clone();
                }
                Op::Close { commit: false, .. } => {
                    buffer = Buffer::open(ground).unwrap();
                    model = committed.clone();
                }
            }
            for side in [Side::Left, Side::Right] {
                let first = model.iter().filter(|r| r.0 == side).map(|r| r.2).min();
                let told = buffer.not_before(side);
                prop_assert!(first.is_none_or(|first| told.is_some_and(|told| told <= first)));
            }
        }
        let fresh = Memory::<Locked>::default();
        let other = fresh.open_space("s", SpaceKind::State).unwrap();
        fresh.apply(restore(&log.finish(), other, &PREFIX).unwrap(), Durability::Process).unwrap();
        prop_assert_eq!(all(&fresh, other), all(&db, space));
    }
}

#[test]
fn what_came_and_went_within_an_interval_leaves_no_change_and_no_bytes() {
    let db = Memory::<Locked>::default();
    let space = db.open_space("s", SpaceKind::State).unwrap();
    let ground = Ground { db: &db, space, prefix: &PREFIX };
    let mut buffer = Buffer::open(ground).unwrap();
    for (who, time) in [(b"a", 1), (b"b", 2), (b"a", 3)] {
        buffer.add(ground, Side::Right, who, time, waiting::form(true, vec![], b"v")).unwrap();
    }
    assert!(buffer.bytes() > 0 && buffer.not_before(Side::Left).is_none());
    let ended = buffer.end(ground, Side::Right, 4).unwrap();
    assert_eq!(ended.iter().map(|e| e.time).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((buffer.take_changes(), buffer.bytes(), buffer.not_before(Side::Right)), (vec![], 0, None));
}

#[test]
fn one_that_is_stored_is_held_until_it_is_gone_from_the_database() {
    let db = Memory::<Locked>::default();
    let space = db.open_space("s", SpaceKind::State).unwrap();
    let ground = Ground { db: &db, space, prefix: &PREFIX };
    let mut buffer = Buffer::open(ground).unwrap();
    buffer.add(ground, Side::Left, b"k", 1, waiting::form(true, vec![], b"v")).unwrap();
    let apply = |buffer: &mut Buffer| {
        let changes = buffer.take_changes();
        db.apply(change_writes(space, &PREFIX, &changes).collect(), Durability::Process).unwrap();
        changes.len()
    };
    assert_eq!(apply(&mut buffer), 1);
    buffer.shrink(0);
    assert_eq!((buffer.bytes(), buffer.not_before(Side::Left)), (0, Some(1)));
    assert_eq!(buffer.end(ground, Side::Left, 5).unwrap().len(), 1);
    // Its removal is on its way: the database still has it, and it is not seen.
    let changes = buffer.take_changes();
    assert_eq!(changes.len(), 1);
    let mut seen = 0;
    let mut see = |_: i64, _: &[u8]| -> Result<(), StorageError> {
        seen += 1;
        Ok(())
    };
    assert!(!buffer.meet(ground, Side::Left, b"k", (0, 9), &mut see).unwrap());
    assert!(buffer.end(ground, Side::Left, 9).unwrap().is_empty());
    db.apply(change_writes(space, &PREFIX, &changes).collect(), Durability::Process).unwrap();
    buffer.shrink(usize::MAX);
    assert_eq!((buffer.bytes(), seen, all(&db, space).len()), (0, 0, 0));
}
