//! Versions against a list of everything that was ever put, over a database that gets what its intervals leave, and a changelog from which
//! it is made again.

use super::super::changelog::{change_writes, records, restore};
use super::super::history::{History, VERSIONS_ENDED_MAX};
use super::super::key::StoreKind;
use super::super::keyspace::{Durability, Keyspaces, Space, SpaceKind};
use super::super::memory::Memory;
use super::super::memory::tests::{Locked, all};
use super::*;
use crate::record::BatchBuilder;
use alloc::vec;
use proptest::prelude::*;

const PREFIX: [u8; 4] = [0, 0, 0, 4];
/// How long versions are kept.
const HISTORY: i64 = 6;

#[derive(Clone, Debug)]
enum Op {
    /// Key, time behind the newest by so much, whether there is a value.
    Put(u8, i64, bool),
    /// Key, how far behind the newest, how many of the last puts are taken as not there yet.
    Look(u8, i64, usize),
    /// How many versions may be let go.
    LetGo(usize),
    Close {
        commit: bool,
        shrink: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0u8..5;
    prop_oneof![
        8 => (key.clone(), -2i64..9, prop::bool::weighted(0.7)).prop_map(|(k, t, v)| Op::Put(k, t, v)),
        8 => (key, -1i64..12, 0usize..4).prop_map(|(k, t, n)| Op::Look(k, t, n)),
        2 => prop_oneof![Just(1usize), Just(2), Just(VERSIONS_ENDED_MAX)].prop_map(Op::LetGo),
        3 => (any::<bool>(), prop_oneof![Just(0usize), Just(300), Just(usize::MAX)]).prop_map(|(commit, shrink)| Op::Close { commit, shrink }),
    ]
}

/// Keys of which some begin others, and some have zeros.
fn key(n: u8) -> Vec<u8> {
    [&b""[..], b"a", b"a\0", b"a\0\0", b"ab"][usize::from(n)].to_vec()
}

/// Key, time, value, in order of arrival; of equal times the last counts.
#[derive(Clone, Debug, Default)]
struct Model(Vec<(u8, i64, Option<Vec<u8>>)>);

impl Model {
    /// The version that was there at a time: when it began, and what the row was.
    fn at(&self, key: u8, time: i64) -> Option<(i64, Option<Vec<u8>>)> {
        let mut found: Option<(i64, Option<Vec<u8>>)> = None;
        for (_, began, value) in self.0.iter().filter(|(k, began, _)| *k == key && *began <= time) {
            if found.as_ref().is_none_or(|(best, _)| began >= best) {
                found = Some((*began, value.clone()));
            }
        }
        found
    }

    fn look(&self, key: u8, time: i64, bound: i64) -> Option<(Vec<u8>, i64)> {
        let found = self.at(key, if time < bound { i64::MAX } else { time }).filter(|(began, _)| *began <= time);
        found.and_then(|(began, value)| value.map(|value| (value, began)))
    }
}

struct World {
    db: Memory<Locked>,
    space: Space,
    rows: Store,
    history: History,
    log: BatchBuilder,
}

impl World {
    fn new() -> Self {
        let db = Memory::<Locked>::default();
        let space = db.open_space("s", SpaceKind::State).unwrap();
        let ground = Ground { db: &db, space, prefix: &PREFIX };
        let (rows, history) = (Store::open(StoreKind::KeyValue, ground).unwrap(), History::open(ground).unwrap());
        Self { db, space, rows, history, log: BatchBuilder::default() }
    }

    fn with<R>(&mut self, f: impl FnOnce(&mut Versions<'_, '_>) -> R) -> R {
        let ground = Ground { db: &self.db, space: self.space, prefix: &PREFIX };
        f(&mut Versions { rows: &mut self.rows, history: &mut self.history, ground })
    }

    fn let_go(&mut self, until: i64, versions_max: usize) {
        let ground = Ground { db: &self.db, space: self.space, prefix: &PREFIX };
        self.history.let_go(ground, until, versions_max).unwrap();
    }

    /// Ends an interval; without `commit` what it did is lost.
    fn close(&mut self, commit: bool, shrink: usize) {
        let ground = Ground { db: &self.db, space: self.space, prefix: &PREFIX };
        if commit {
            let mut changes = self.rows.take_changes();
            changes.extend(self.history.take_changes());
            let log = &mut self.log;
            records(&changes, ground, &mut |key, value| {
                log.push(Some(key), value, 0, []);
                Ok::<_, StorageError>(())
            })
            .unwrap();
            self.db.apply(change_writes(self.space, &PREFIX, &changes).collect(), Durability::Process).unwrap();
            self.rows.shrink(shrink);
            self.history.shrink(shrink);
        } else {
            self.rows = Store::open(StoreKind::KeyValue, ground).unwrap();
            self.history = History::open(ground).unwrap();
        }
    }

    /// Versions that the database has.
    fn stored(&self) -> usize {
        all(&self.db, self.space).iter().filter(|(key, _)| key[PREFIX.len()] == StoreKind::Version as u8).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn they_are_a_list_of_all_that_was_put(ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        // With each put what it replaced, for those that are looked past.
        let (mut model, mut newest, mut puts) = (Model::default(), 0i64, Vec::new());
        let mut committed = (model.clone(), newest);
        for (n, op) in (0u8..).zip(&ops) {
            match op {
                Op::Put(k, behind, some) => {
                    let time = (newest - behind).max(0);
                    if time < newest - HISTORY {
                        continue;
                    }
                    newest = newest.max(time);
                    let value = some.then(|| vec![n; usize::from(n % 3)]);
                    let (last, at) = (model.at(*k, i64::MAX), model.at(*k, time));
                    let put = world.with(|v| v.put(&key(*k), time, value.as_deref())).unwrap();
                    prop_assert_eq!(put.is_latest, last.as_ref().is_none_or(|(began, _)| *began <= time));
                    prop_assert_eq!(&put.old, &last.and_then(|(began, value)| value.map(|value| (value, began))));
                    let same = at.filter(|(began, _)| *began == time && *began > newest - HISTORY);
                    if let Some((_, was)) = same {
                        prop_assert_eq!(put.replaced.clone(), Some(was));
                    }
                    puts.push((*k, time, put.replaced, model.clone()));
                    model.0.push((*k, time, value));
                }
                Op::Look(k, behind, undone) => {
                    let from = puts.len().saturating_sub(*undone);
                    let then = puts.get(from).map_or(&model, |put| &put.3);
                    let (time, bound) = ((newest - behind).max(0), newest - HISTORY);
                    let mut looked: Vec<(i64, Option<Option<Vec<u8>>>)> = Vec::new();
                    for put in puts[from..].iter().filter(|put| put.0 == *k) {
                        if looked.iter().all(|(began, _)| *began != put.1) {
                            looked.push((put.1, put.2.clone()));
                        }
                    }
                    let found = world.with(|v| v.as_of(&key(*k), time, bound, &looked)).unwrap();
                    prop_assert_eq!(found, then.look(*k, time, bound));
                }
                Op::LetGo(max) => {
                    world.let_go(newest - HISTORY, *max);
                    puts.clear();
                }
                Op::Close { commit, shrink } => {
                    world.close(*commit, *shrink);
                    puts.clear();
                    if *commit { committed = (model.clone(), newest) } else { (model, newest) = committed.clone() }
                }
            }
        }
        world.close(true, 0);
        let made = Memory::<Locked>::default();
        let space = made.open_space("s", SpaceKind::State).unwrap();
        let log = core::mem::take(&mut world.log).finish();
        made.apply(restore(&log, space, &PREFIX).unwrap(), Durability::Process).unwrap();
        prop_assert_eq!(all(&made, space), all(&world.db, world.space));
    }
}

#[test]
fn an_interval_lets_so_many_go_and_the_next_ones_the_rest() {
    let mut world = World::new();
    let count = VERSIONS_ENDED_MAX + 3;
    for i in 0..count {
        let who = alloc::format!("k{i}");
        for time in [1, 2] {
            world.with(|v| v.put(who.as_bytes(), time, Some(b"v"))).unwrap();
        }
    }
    world.close(true, 0);
    assert_eq!((world.stored(), world.history.bytes()), (count, 0));
    world.let_go(2, VERSIONS_ENDED_MAX);
    world.close(true, usize::MAX);
    assert_eq!(world.stored(), 3);
    world.let_go(2, VERSIONS_ENDED_MAX);
    world.close(true, usize::MAX);
    assert_eq!((world.stored(), world.history.bytes()), (0, 0), "and nothing of them is held");
    // The same of those that are held.
    for i in 0..count {
        world.with(|v| v.put(alloc::format!("k{i}").as_bytes(), 3, None)).unwrap();
    }
    world.let_go(3, VERSIONS_ENDED_MAX);
    world.close(true, usize::MAX);
    assert_eq!(world.stored(), 3);
}

#[test]
fn those_that_are_held_and_those_that_are_not_are_counted_together() {
    let mut world = World::new();
    let put = |world: &mut World, keys: core::ops::Range<usize>| {
        for who in keys.map(|i| alloc::format!("k{i}")) {
            for time in [1, 2] {
                world.with(|v| v.put(who.as_bytes(), time, Some(b"v"))).unwrap();
            }
        }
    };
    put(&mut world, 0..4);
    world.close(true, 0);
    put(&mut world, 4..8);
    world.close(true, usize::MAX);
    world.let_go(2, 6);
    world.close(true, usize::MAX);
    assert_eq!(world.stored(), 2);
}

#[test]
fn a_version_with_an_unknown_form_is_not_guessed_at() {
    let mut world = World::new();
    world.with(|v| v.put(b"k", 1, Some(b"a"))).unwrap();
    world.with(|v| v.put(b"k", 2, Some(b"b"))).unwrap();
    world.close(true, 0);
    let whole = [&PREFIX[..], &super::super::key::version(b"", b"k", 2)].concat();
    let write = super::super::keyspace::Write::Put(world.space, whole, vec![9]);
    world.db.apply(vec![write], Durability::Process).unwrap();
    assert!(matches!(world.with(|v| v.as_of(b"k", 1, 0, &[])), Err(StorageError::Corrupted(_))));
    assert_eq!(world.with(|v| v.as_of(b"k", 2, 0, &[])).unwrap(), Some((b"b".to_vec(), 2)));
}
