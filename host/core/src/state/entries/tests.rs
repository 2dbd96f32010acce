//! A store of entries against an ordered map, over a database that gets what its intervals leave.

use super::super::changelog::{change_writes, records, restore};
use super::super::keyspace::{Durability, Keyspaces, Space, SpaceKind};
use super::super::memory::Memory;
use super::super::memory::tests::{Locked, all};
use super::*;
use crate::record::BatchBuilder;
use alloc::vec;
use proptest::prelude::*;

const PREFIX: [u8; 4] = [0, 0, 0, 3];

#[derive(Clone, Debug)]
enum Op {
    Put(u8, Option<u8>),
    Get(u8),
    Range(u8, u8, usize),
    /// What comes next is taken back when it has come to so many.
    Try(usize),
    Close {
        commit: bool,
        shrink: usize,
    },
    Sweep(usize, i64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u8..9, proptest::option::of(0u8..9)).prop_map(|(k, v)| Op::Put(k, v)),
        3 => (0u8..9).prop_map(Op::Get),
        3 => (0u8..9, 0u8..10, 1usize..5).prop_map(|(a, b, n)| Op::Range(a, b, n)),
        1 => (1usize..4).prop_map(Op::Try),
        2 => (any::<bool>(), prop_oneof![Just(0usize), Just(usize::MAX)]).prop_map(|(commit, shrink)| Op::Close { commit, shrink }),
        1 => (1usize..6, 0i64..30).prop_map(|(n, before)| Op::Sweep(n, before)),
    ]
}

/// Keys of which some begin others.
fn key(n: u8) -> Vec<u8> {
    vec![b"abc"[usize::from(n % 3)]; usize::from(n / 3)]
}

fn ground<'a>(db: &'a Memory<Locked>, space: Space) -> Ground<'a> {
    Ground { db, space, prefix: &PREFIX }
}

type Model = BTreeMap<Vec<u8>, (i64, Vec<u8>)>;

proptest! {
    #[test]
    fn it_is_an_ordered_map_and_its_changelog_makes_it_again(ops in proptest::collection::vec(op(), 1..60)) {
        let db = Memory::<Locked>::default();
        let space = db.open_space("s", SpaceKind::State).unwrap();
        let ground = ground(&db, space);
        let mut store = Entries::open(ground).unwrap();
        let (mut model, mut committed) = (Model::new(), Model::new());
        let mut tried: Option<(usize, Mark, Model)> = None;
        let mut log = BatchBuilder::default();
        for (now, op) in (0i64..).zip(&ops) {
            match op {
                Op::Put(k, value) => {
                    let (key, value) = (key(*k), value.map(|v| vec![v; usize::from(v) * 3]));
                    store.put(&key, 7, now, value.as_deref());
                    match value {
                        Some(value) => drop(model.insert(key, (now, value))),
                        None => drop(model.remove(&key)),
                    }
                }
                Op::Get(k) => {
                    let got = store.get(ground, &key(*k)).unwrap().map(|e| (e.timestamp, e.state.to_vec()));
                    prop_assert_eq!(got.as_ref(), model.get(&key(*k)));
                }
                Op::Range(from, to, limit) => {
                    let (from, to) = (key(*from), key(*to % 9));
                    let mut got = Vec::new();
                    store.range(ground, &from, &to, &mut |k, e| {
                        got.push((k.to_vec(), (e.timestamp, e.state.to_vec())));
                        if got.len() < *limit { Scan::Continue } else { Scan::Stop }
                    }).unwrap();
                    let inside = |k: &&Vec<u8>| **k >= from && (to.is_empty() || **k < to);
                    let want: Vec<_> = model.iter().filter(|(k, _)| inside(k)).take(*limit).map(|(k, v)| (k.clone(), v.clone())).collect();
                    prop_assert_eq!(got, want);
                }
                Op::Try(steps) => tried = Some((*steps, store.mark(), model.clone())),
                Op::Close { commit, shrink } => {
                    tried = None;
                    if *commit {
                        let changes = store.take_changes();
                        records(&changes, ground, &mut |k, v| {
                            log.push(Some(k), v, 0, []);
                            Ok::<_, StorageError>(())
                        }).unwrap();
                        db.apply(change_writes(space, &PREFIX, &changes).collect(), Durability::Process).unwrap();
                        store.shrink(*shrink);
                        committed = model.clone();
                    } else {
                        store = Entries::open(ground).unwrap();
                        model = committed.clone();
                    }
                }
                Op::Sweep(most, before) => {
                    tried = None;
                    // One pass over everything, in pieces: entries are then gone from the database that were in it, and too old.
                    let stored = store.outside || !store.slots.is_empty();
                    for _ in 0..if stored { 20 } else { 0 } {
                        store.sweep(ground, *most, &|written| written < *before).unwrap();
                    }
                    let mut in_db = Vec::new();
                    scan(ground, &[], &[], &mut |k, _| { in_db.push(k.to_vec()); Scan::Continue }).unwrap();
                    model.retain(|k, (written, _)| *written >= *before || !in_db.contains(k));
                }
            }
            if let Some((steps, mark, before)) = tried.take() {
                if steps == 0 {
                    store.take_back(mark);
                    model = before;
                } else {
                    tried = Some((steps - 1, mark, before));
                }
            }
        }
        let fresh = Memory::<Locked>::default();
        let other = fresh.open_space("s", SpaceKind::State).unwrap();
        fresh.apply(restore(&log.finish(), other, &PREFIX).unwrap(), Durability::Process).unwrap();
        prop_assert_eq!(all(&fresh, other), all(&db, space));
    }
}

#[test]
fn a_range_over_what_is_held_and_what_is_not_ends_where_it_is_told() {
    let db = Memory::<Locked>::default();
    let space = db.open_space("s", SpaceKind::State).unwrap();
    let ground = ground(&db, space);
    let mut store = Entries::open(ground).unwrap();
    for k in [b"b", b"d", b"f"] {
        store.put(k, 0, 1, Some(b"db"));
    }
    db.apply(change_writes(space, &PREFIX, &store.take_changes()).collect(), Durability::Process).unwrap();
    store.shrink(0);
    [b"a", b"c", b"d", b"g"].iter().for_each(|k| store.put(*k, 0, 2, Some(b"held")));
    store.put(b"f", 0, 2, None);
    let seen = |from: &[u8], to: &[u8], most: usize| {
        let mut seen = Vec::new();
        let mut visit = |k: &[u8], e: Stored<'_>| {
            seen.push((k.to_vec(), e.timestamp));
            if seen.len() < most { Scan::Continue } else { Scan::Stop }
        };
        store.range(ground, from, to, &mut visit).unwrap();
        seen
    };
    let of = |items: &[(&[u8; 1], i64)]| items.iter().map(|(k, t)| (k.to_vec(), *t)).collect::<Vec<_>>();
    assert_eq!(seen(b"", b"", 9), of(&[(b"a", 2), (b"b", 1), (b"c", 2), (b"d", 2), (b"g", 2)]));
    assert_eq!(seen(b"b", b"d", 9), of(&[(b"b", 1), (b"c", 2)]));
    assert_eq!((seen(b"", b"", 1), seen(b"b", b"", 2)), (of(&[(b"a", 2)]), of(&[(b"b", 1), (b"c", 2)])));
    assert!(seen(b"d", b"b", 9).is_empty() && seen(b"d", b"d", 9).is_empty(), "an empty range");
}
