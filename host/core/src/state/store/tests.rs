//! Stores: how their groups stand in memory, and what they ask of a database.

extern crate std;

use alloc::boxed::Box;

use proptest::prelude::*;
use std::sync::Mutex;

use super::super::changelog::change_writes;
use super::super::keyspace::{Durability, SpaceKind, View, Write};
use super::super::memory::Memory;
use super::super::memory::tests::Locked;
use super::*;

const PREFIX: [u8; 4] = [0, 0, 0, 4];

/// How many keys it was asked for, one after the other and together.
#[derive(Default)]
struct Asked {
    memory: Memory<Locked>,
    alone: Mutex<usize>,
    together: Mutex<Vec<usize>>,
}

impl Keyspaces for Asked {
    fn open_space(&self, name: &str, kind: SpaceKind) -> Result<Space, StorageError> {
        self.memory.open_space(name, kind)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        *self.alone.lock().unwrap() += 1;
        self.memory.get(space, key)
    }

    fn get_all(&self, space: Space, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        assert!(keys.is_sorted_by(|a, b| a < b), "keys are ascending");
        self.together.lock().unwrap().push(keys.len());
        keys.iter().map(|key| self.memory.get(space, key)).collect()
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError> {
        self.memory.scan(space, from, to, visit)
    }

    fn last(&self, space: Space, from: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StorageError> {
        self.memory.last(space, from, before)
    }

    fn apply(&self, writes: Vec<Write>, durability: Durability) -> Result<(), StorageError> {
        self.memory.apply(writes, durability)
    }

    fn view(&self) -> Result<Box<dyn View + '_>, StorageError> {
        self.memory.view()
    }
}

/// A store over a database in which it has counted these groups once each, and of which nothing is in memory.
fn stored(kind: StoreKind, db: &Asked, groups: &[(Option<Timestamp>, Vec<u8>)]) -> Store {
    let ground = Ground { db, space: db.open_space("s", SpaceKind::State).unwrap(), prefix: &PREFIX };
    let mut store = Store::open(kind, ground).unwrap();
    for (mark, group) in groups {
        store.count(ground, *mark, hash(group), group, 7).unwrap();
    }
    let writes = change_writes(ground.space, &PREFIX, &store.take_changes()).collect();
    db.apply(writes, Durability::Process).unwrap();
    store.shrink(0);
    *db.alone.lock().unwrap() = 0;
    store
}

/// Groups `from..to`, in the order of nobody's keys.
fn groups(mark: Option<Timestamp>, from: u32, to: u32) -> Vec<(Option<Timestamp>, Vec<u8>)> {
    (from..to).map(|n| (mark, n.wrapping_mul(0x9e37_79b9).to_be_bytes().to_vec())).collect()
}

/// A batch is counted; what is not in memory was asked for together, if `ahead`. Gives each group's count and the bytes in memory.
fn counted(
    store: &mut Store,
    db: &Asked,
    batch: &[(Option<Timestamp>, Vec<u8>)],
    ahead: bool,
) -> (Vec<Option<Vec<u8>>>, usize) {
    let ground = Ground { db, space: db.open_space("s", SpaceKind::State).unwrap(), prefix: &PREFIX };
    if ahead {
        let mut wanted = Ahead::default();
        batch.iter().for_each(|(mark, group)| store.want(ground, *mark, group, &mut wanted));
        store.read_ahead(ground, wanted).unwrap();
    }
    let mut count = |(mark, group): &(Option<Timestamp>, Vec<u8>)| {
        let slot = store.count(ground, *mark, hash(group), group, 8).unwrap();
        store.entry(slot).1.state().map(<[u8]>::to_vec)
    };
    let counts = batch.iter().map(&mut count).collect();
    (counts, store.bytes())
}

#[test]
fn what_a_batch_needs_is_read_together() {
    for (kind, mark) in [(StoreKind::KeyValue, None), (StoreKind::Window, Some(10))] {
        let (together, alone) = (Asked::default(), Asked::default());
        // Some are in the database, some are not, each comes twice, and one is in a window that is new.
        let there = groups(mark, 0, 100);
        let mut batch = [groups(mark, 50, 150), groups(mark, 50, 150)].concat();
        batch.extend(groups(mark.map(|mark| mark + 10), 0, 1));
        let mut store = stored(kind, &together, &there);
        let got = counted(&mut store, &together, &batch, true);
        let mut other = stored(kind, &alone, &there);
        assert_eq!(got, counted(&mut other, &alone, &batch, false), "{kind:?}");
        let more = usize::from(mark.is_none());
        assert_eq!(*together.together.lock().unwrap(), [100 + more], "{kind:?}: each once, and no new window's");
        assert_eq!((*together.alone.lock().unwrap(), *alone.alone.lock().unwrap()), (0, 100 + more), "{kind:?}");
        assert_eq!(store.take_changes(), other.take_changes());
    }
}

/// Where all groups are in memory, nobody looks for others.
#[test]
fn batches_are_looked_through_while_something_is_read() {
    let db = Asked::default();
    let mut store = stored(StoreKind::KeyValue, &db, &groups(None, 0, 100));
    store.reads();
    let batch = groups(None, 0, 10);
    counted(&mut store, &db, &batch, false);
    assert!(store.reads(), "some were read one by one");
    assert!(!store.reads(), "and none since");
    counted(&mut store, &db, &batch, true);
    assert!(!store.reads(), "all were here");
    counted(&mut store, &db, &groups(None, 10, 20), true);
    assert!(store.reads(), "some were read together");
}

#[test]
fn an_entry_is_one_cache_line() {
    assert_eq!(size_of::<Entry>(), 64);
}

proptest! {
    #[test]
    fn places_stand_by_their_keys(keys in proptest::collection::btree_set(proptest::collection::vec(0u8..3, 0..12), 0..40), prefix: Vec<u8>) {
        let mut bucket = Bucket::default();
        let mut want: Vec<Vec<u8>> = keys.into_iter().map(|k| [prefix.clone(), k].concat()).collect();
        for key in want.iter().rev() {
            bucket.insert(hash(key), key, None);
        }
        let sorted = bucket.sorted(0..bucket.entries.len() as u32);
        let got: Vec<Vec<u8>> = sorted.iter().map(|at| bucket.key(&bucket.entries[*at as usize]).to_vec()).collect();
        want.sort();
        prop_assert_eq!(got, want);
    }
}
