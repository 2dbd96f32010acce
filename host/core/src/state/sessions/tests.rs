//! The store of sessions against a list of them.

use super::*;
use crate::record::BatchBuilder;
use crate::state::changelog::{change_writes, records, restore};
use crate::state::keyspace::{Durability, Keyspaces, Space, SpaceKind};
use crate::state::memory::Memory;
use crate::state::memory::tests::{Locked, all};
use alloc::format;
use alloc::vec;
use proptest::prelude::*;

const PREFIX: [u8; 4] = [0, 0, 0, 9];
const GAP: i64 = 3;

#[derive(Clone, Debug)]
enum Op {
    /// A record of a key, with a state or without, takes in what it touches.
    Join(u8, i64, bool),
    /// What ends before comes out; `None`: everything.
    End(Option<i64>),
    /// An interval is committed; then only so many bytes may be held.
    Commit(usize),
    /// An interval is committed, and the store opened anew.
    Reopen,
    /// Nothing was committed since the last interval: the store is opened anew as that has left it.
    Crash,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        12 => (0u8..4, 0i64..40, proptest::bool::weighted(0.9)).prop_map(|(k, t, s)| Op::Join(k, t, s)),
        2 => proptest::option::weighted(0.9, 0i64..40).prop_map(Op::End),
        3 => prop_oneof![Just(0usize), Just(400), Just(usize::MAX)].prop_map(Op::Commit),
        1 => Just(Op::Reopen),
        1 => Just(Op::Crash),
    ];
    proptest::collection::vec(op, 0..60)
}

fn name(key: u8) -> Vec<u8> {
    // One is the beginning of the next.
    vec![0; key as usize]
}

/// By end, start, key: the state.
type Model = alloc::collections::BTreeMap<(i64, i64, Vec<u8>), Option<Vec<u8>>>;

struct World {
    db: Memory<Locked>,
    space: Space,
    store: Sessions,
    model: Model,
    /// As of the last interval.
    committed: Model,
    /// What was told of and is not there any more without having ended.
    log: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    ended: alloc::collections::BTreeSet<(i64, i64, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        let db: Memory<Locked> = Memory::default();
        let space = db.open_space("store", SpaceKind::State).unwrap();
        let store = Sessions::open(Ground { db: &db, space, prefix: &PREFIX }).unwrap();
        let (model, committed) = Default::default();
        Self { db, space, store, model, committed, log: Vec::new(), ended: Default::default() }
    }

    fn join(&mut self, key: u8, t: i64, has_state: bool) {
        let key = name(key);
        let ground = Ground { db: &self.db, space: self.space, prefix: &PREFIX };
        let at = self.store.find(ground, hash(&key), &key).unwrap();
        let held: Vec<_> =
            self.store.of(at).iter().map(|s| (s.end, s.start, s.state.get().map(<[u8]>::to_vec))).collect();
        let want: Vec<_> =
            self.model.iter().filter(|(id, _)| id.2 == key).map(|(id, s)| (id.0, id.1, s.clone())).collect();
        assert_eq!(held, want, "what is held of {key:?}");
        let touched: Vec<_> = want.iter().filter(|s| s.1 - GAP <= t && t <= s.0 + GAP).collect();
        let end = touched.iter().map(|s| s.0).fold(t, i64::max);
        let start = touched.iter().map(|s| s.1).fold(t, i64::min);
        let absorbed: Vec<_> = touched.iter().map(|s| (s.1, s.0)).collect();
        let state = has_state.then(|| format!("{t}.{}", self.model.len()).into_bytes());
        let (new, mut had) = (state.as_deref().map_or(State::Absent, State::new), Vec::new());
        let fresh = Fresh { start, end, timestamp: end, layout: 7, state: new };
        self.store.absorb(at, &absorbed, fresh, Some(&mut had));
        let with_state = touched.iter().filter(|s| s.2.is_some()).map(|s| (s.1, s.0)).collect::<Vec<_>>();
        assert_eq!(had, with_state);
        touched.iter().for_each(|s| drop(self.model.remove(&(s.0, s.1, key.clone()))));
        self.model.insert((end, start, key), state);
    }

    fn end(&mut self, until: Option<i64>) {
        let ground = Ground { db: &self.db, space: self.space, prefix: &PREFIX };
        let came = self.store.take_ended(ground, until).unwrap();
        let came: Vec<_> = came
            .iter()
            .map(|(at, s)| ((s.end, s.start, self.store.key(*at).to_vec()), s.state.get().map(<[u8]>::to_vec)))
            .collect();
        let mut want = Vec::new();
        while let Some((id, _)) = self.model.first_key_value().filter(|(id, _)| until.is_none_or(|u| id.0 < u)) {
            let id = id.clone();
            let state = self.model.remove(&id).unwrap();
            self.ended.insert(id.clone());
            want.push((id, state));
        }
        assert_eq!(came, want);
    }

    fn commit(&mut self, limit_bytes: usize) {
        self.told();
        let ground = Ground { db: &self.db, space: self.space, prefix: &PREFIX };
        let changes = self.store.take_changes();
        let log = &mut self.log;
        records(&changes, ground, &mut |key, value| {
            log.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            Ok::<_, StorageError>(())
        })
        .unwrap();
        self.db.apply(change_writes(self.space, &PREFIX, &changes).collect(), Durability::Process).unwrap();
        self.store.shrink(limit_bytes);
        if limit_bytes == 0 {
            assert_eq!((self.store.bytes(), self.store.count), (0, 0), "everything was let go of");
        }
        self.committed = self.model.clone();
        self.ended.clear();
    }

    /// What changed is told of: states as they are, and tombstones of what had a state and did not end.
    fn told(&self) {
        let gone = self.committed.iter().filter(|(id, state)| {
            state.is_some() && self.model.get(*id).is_none_or(Option::is_none) && !self.ended.contains(*id)
        });
        let want: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
        let changed = self.store.changed();
        let state = |c: &Changed| c.place.and_then(|place| self.store.of(c.key)[place].state.get());
        let id = |c: &Changed| (c.end, c.start, self.store.key(c.key).to_vec());
        let tombstones: Vec<_> = changed.iter().filter(|c| c.was && state(c).is_none()).map(id).collect();
        assert_eq!(tombstones, want);
        for c in changed.iter().filter(|c| state(c).is_some()) {
            assert_eq!(self.model[&id(c)].as_deref(), state(c));
        }
        let told = |id: &(i64, i64, Vec<u8>)| {
            changed.iter().any(|c| (c.end, c.start, self.store.key(c.key)) == (id.0, id.1, &id.2))
        };
        let differs =
            self.model.iter().filter(|(id, state)| state.is_some() && self.committed.get(*id) != Some(*state));
        assert!(differs.into_iter().all(|(id, _)| told(id)), "every change is told of");
    }

    fn open(&mut self) {
        self.store = Sessions::open(Ground { db: &self.db, space: self.space, prefix: &PREFIX }).unwrap();
        assert_eq!(self.store.has_any(), !self.model.is_empty());
    }
}

proptest! {
    #[test]
    fn sessions_are_those_of_a_list(ops in ops(), piece in 1usize..5) {
        let mut world = World::new();
        for op in &ops {
            match op {
                Op::Join(key, t, state) => world.join(*key, *t, *state),
                Op::End(until) => world.end(*until),
                Op::Commit(limit) => world.commit(*limit),
                Op::Reopen => {
                    world.commit(usize::MAX);
                    world.open();
                }
                Op::Crash => {
                    world.model = world.committed.clone();
                    world.ended.clear();
                    world.open();
                }
            }
        }
        world.commit(usize::MAX);
        // A database made from the changelog is the same, with its index.
        let copy: Memory<Locked> = Memory::default();
        let space = copy.open_space("store", SpaceKind::State).unwrap();
        for piece in world.log.chunks(piece) {
            let mut batch = BatchBuilder::default();
            piece.iter().for_each(|(key, value)| batch.push(Some(key), value.as_deref(), 0, []));
            copy.apply(restore(&batch.finish(), space, &PREFIX).unwrap(), Durability::Process).unwrap();
        }
        prop_assert_eq!(all(&copy, space), all(&world.db, world.space));
        world.end(None);
        world.commit(0);
        prop_assert!(all(&world.db, world.space).is_empty() && !world.store.has_any());
    }
}

#[test]
fn what_no_session_store_writes_is_refused() {
    let world = World::new();
    let put = |key: Vec<u8>, value: &[u8]| {
        let write = crate::state::keyspace::Write::Put(world.space, key, value.to_vec());
        world.db.apply(vec![write], Durability::Process).unwrap();
    };
    put(key::session_time(&PREFIX, b"k", 1, 2), b"");
    put(key::session(&PREFIX, b"k", 1, 2), b"text");
    let ground = Ground { db: &world.db, space: world.space, prefix: &PREFIX };
    let mut store = Sessions::open(ground).unwrap();
    assert!(matches!(store.find(ground, hash(b"k"), b"k"), Err(StorageError::Corrupted(_))));
}
