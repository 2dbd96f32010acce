//! Timers against an ordered map, over a database that gets what their intervals leave.

use super::super::changelog::{change_writes, records, restore};
use super::super::keyspace::{Durability, Keyspaces, SpaceKind};
use super::super::memory::Memory;
use super::super::memory::tests::{Locked, all};
use super::*;
use crate::record::BatchBuilder;
use crate::state::key::timer_who;
use alloc::vec;
use proptest::prelude::*;

const PREFIX: [u8; 4] = [0, 0, 0, 3];

#[derive(Clone, Debug)]
enum Op {
    Set(u8, u8, Option<i64>),
    Due(u8, i64, usize),
    Try(usize),
    Close { commit: bool, shrink: usize },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u8..2, 0u8..7, proptest::option::weighted(0.8, 0i64..12)).prop_map(|(c, w, due)| Op::Set(c, w, due)),
        3 => (0u8..2, prop_oneof![0i64..13, Just(i64::MAX)], 1usize..4).prop_map(|(c, until, n)| Op::Due(c, until, n)),
        1 => (1usize..4).prop_map(Op::Try),
        2 => (any::<bool>(), prop_oneof![Just(0usize), Just(usize::MAX)]).prop_map(|(commit, shrink)| Op::Close { commit, shrink }),
    ]
}

fn who(n: u8) -> Vec<u8> {
    let key = vec![0; usize::from(n / 2)];
    timer_who(n.is_multiple_of(2).then_some(&key[..]), if n > 3 { "n" } else { "" })
}

type Model = BTreeMap<(u8, Vec<u8>), i64>;

proptest! {
    #[test]
    fn they_are_due_in_order_and_their_changelog_makes_them_again(ops in proptest::collection::vec(op(), 1..60)) {
        let db = Memory::<Locked>::default();
        let space = db.open_space("s", SpaceKind::State).unwrap();
        let ground = Ground { db: &db, space, prefix: &PREFIX };
        let mut timers = Timers::open(ground).unwrap();
        let (mut model, mut committed) = (Model::new(), Model::new());
        let mut tried: Option<(usize, Mark, Model)> = None;
        let mut log = BatchBuilder::default();
        for op in &ops {
            match op {
                Op::Set(clock, n, due) => {
                    timers.set(ground, *clock, &who(*n), *due, 0).unwrap();
                    match due {
                        Some(due) => drop(model.insert((*clock, who(*n)), *due)),
                        None => drop(model.remove(&(*clock, who(*n)))),
                    }
                }
                Op::Due(clock, until, enough) => {
                    let first = model.iter().filter(|((c, _), _)| c == clock).map(|(_, due)| *due).min();
                    let told = timers.not_before(*clock);
                    prop_assert!(told.is_none_or(|told| first.is_none_or(|first| told <= first)) && told.is_some() >= first.is_some());
                    let got: Vec<_> = timers.due(ground, *clock, *until, *enough).unwrap().into_iter().map(|d| (d.at, d.who.to_vec())).collect();
                    let mut want: Vec<_> = model.iter().filter(|((c, _), due)| c == clock && *due <= until).map(|((_, w), due)| (*due, w.clone())).collect();
                    want.sort();
                    let last = want.get(*enough - 1).map(|w| w.0);
                    want.retain(|w| last.is_none_or(|last| w.0 <= last));
                    prop_assert_eq!(got, want);
                }
                Op::Try(steps) => tried = Some((*steps, timers.mark(), model.clone())),
                Op::Close { commit, shrink } => {
                    tried = None;
                    if *commit {
                        let changes = timers.take_changes();
                        records(&changes, ground, &mut |k, v| {
                            log.push(Some(k), v, 0, []);
                            Ok::<_, StorageError>(())
                        }).unwrap();
                        db.apply(change_writes(space, &PREFIX, &changes).collect(), Durability::Process).unwrap();
                        timers.shrink(*shrink);
                        committed = model.clone();
                    } else {
                        timers = Timers::open(ground).unwrap();
                        model = committed.clone();
                    }
                }
            }
            if let Some((steps, mark, before)) = tried.take() {
                if steps == 0 {
                    timers.take_back(mark);
                    model = before;
                } else {
                    tried = Some((steps - 1, mark, before));
                }
            }
            prop_assert_eq!(timers.queue.len(), timers.held.values().filter(|h| h.due.is_some()).count());
        }
        let fresh = Memory::<Locked>::default();
        let other = fresh.open_space("s", SpaceKind::State).unwrap();
        fresh.apply(restore(&log.finish(), other, &PREFIX).unwrap(), Durability::Process).unwrap();
        prop_assert_eq!(all(&fresh, other), all(&db, space));
    }
}

#[test]
fn those_that_are_no_more_take_no_memory() {
    let db = Memory::<Locked>::default();
    let space = db.open_space("s", SpaceKind::State).unwrap();
    let ground = Ground { db: &db, space, prefix: &PREFIX };
    let mut timers = Timers::open(ground).unwrap();
    let commit = |timers: &mut Timers| {
        db.apply(change_writes(space, &PREFIX, &timers.take_changes()).collect(), Durability::Process).unwrap();
        timers.shrink(usize::MAX);
    };
    timers.set(ground, 0, &who(0), Some(5), 0).unwrap();
    timers.set(ground, 1, &who(1), None, 0).unwrap();
    let mark = timers.mark();
    timers.set(ground, 1, &who(2), Some(5), 0).unwrap();
    timers.take_back(mark);
    commit(&mut timers);
    assert_eq!((timers.held.len(), timers.bytes()), (1, TIMER_BYTES + who(0).len()));
    timers.set(ground, 0, &who(0), None, 0).unwrap();
    commit(&mut timers);
    assert_eq!((timers.held.len(), timers.bytes(), timers.not_before(0)), (0, 0, None));
}
