//! What a function may ask at the desk: each limit is reached and not passed, and what breaks the contract ends the call.

use super::*;
use crate::limits::Limits;
use crate::state::keyspace::SpaceKind;
use crate::state::memory::Memory;
use crate::state::memory::tests::Locked;
use crate::topology::graph::NodeOperator;
use crate::topology::spec::OnError;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

fn node() -> Node {
    let (operator, on_error) = (NodeOperator::Source, OnError::Fail);
    Node { name: "p".into(), operator, parents: vec![], ports: 1, on_error, inputs: 0 }
}

fn column(items: &[&[u8]]) -> BytesColumn {
    items.iter().map(|item| Some(*item)).collect()
}

/// Asks at a new desk, with one store; gives the answer and why the call was ended, if it was.
fn ask<T>(limits: Limits, fires: bool, ask: impl FnOnce(&mut Desk<'_>) -> Result<T, Stop>) -> Result<T, String> {
    let db = Memory::<Locked>::default();
    let spaces = [db.open_space("a", SpaceKind::State).unwrap(), db.open_space("timers", SpaceKind::State).unwrap()];
    let planned = ["a", "timers"].map(|name| Store { name: name.into(), windowed: false, limits });
    let specs = [StoreSpec { name: "a".into(), ttl_ms: None }];
    let ground = |n: usize| Ground { db: &db, space: spaces[n], prefix: b"" };
    let (mut stores, mut timers) = ([Entries::open(ground(0)).unwrap()], Timers::open(ground(1)).unwrap());
    let node = node();
    let mut desk = Desk {
        partition: 0,
        node: &node,
        db: &db,
        prefix: b"",
        spaces: &spaces,
        planned: &planned,
        specs: &specs,
        stores: &mut stores,
        timers: &mut timers,
        layout: 0,
        age: Age { now: 5, first: 5 },
        closing: 5,
        row: 0,
        fires,
        ended: None,
        earliest: None,
        event_changes: 0,
        spent: Spent::default(),
    };
    let answer = ask(&mut desk);
    match (answer, desk.ended) {
        (Ok(answer), None) => Ok(answer),
        (Err(Stop::Ended), Some(Ended::Function(fault))) => Err(fault.to_string()),
        (Err(Stop::Ended), Some(Ended::Task(verdict))) => Err(verdict.to_string()),
        (Err(Stop::Again), Some(Ended::Layouts(store, keys))) => Err(format!("{store}: {keys:?}")),
        _ => panic!("an answer and an end are told apart"),
    }
}

fn asked<T>(f: impl FnOnce(&mut Desk<'_>) -> Result<T, Stop>) -> Result<T, String> {
    ask(Limits::default(), true, f)
}

#[test]
fn a_range_gives_as_many_entries_as_it_may_and_no_more() {
    let fill = |desk: &mut Desk<'_>, count: usize| {
        let keys: Vec<[u8; 4]> = (0..count as u32).map(u32::to_be_bytes).collect();
        let keys: BytesColumn = keys.iter().map(|key| Some(&key[..])).collect();
        desk.put(0, &keys, &keys)
    };
    let count = |count: usize, limit: u32| {
        asked(|desk| {
            fill(desk, count)?;
            desk.range(0, b"", b"", limit)
        })
        .map(|(keys, _)| keys.len())
    };
    assert_eq!(count(RANGE_ENTRIES_MAX, u32::MAX), Ok(RANGE_ENTRIES_MAX));
    assert_eq!(count(RANGE_ENTRIES_MAX + 1, RANGE_ENTRIES_MAX as u32), Ok(RANGE_ENTRIES_MAX));
    assert!(count(RANGE_ENTRIES_MAX + 1, u32::MAX).is_err_and(|why| why.contains("more than 65536 entries")));
    assert_eq!(count(3, 0), Ok(0));
}

#[test]
fn reads_and_writes_are_bounded_in_bytes() {
    let large = vec![7; WRITTEN_BYTES_MAX - 1 - ENTRY_STORED_BYTES];
    let put = |desk: &mut Desk<'_>, key: &[u8], value: &[u8]| desk.put(0, &column(&[key]), &column(&[value]));
    assert_eq!(asked(|desk| put(desk, b"k", &large)), Ok(()));
    let more = asked(|desk| put(desk, b"k", &large).and_then(|()| put(desk, b"", b"")));
    assert!(more.is_err_and(|why| why.contains("wrote more than")));
    let twice = asked(|desk| {
        put(desk, b"k", &large)?;
        desk.get(0, &column(&[b"k"]))?;
        desk.get(0, &column(&[b"k", b"k"]))
    });
    assert!(twice.is_err_and(|why| why.contains("`get` would give more than")));
    let both = asked(|desk| {
        put(desk, b"a", &large[..large.len() / 2])?;
        desk.spent = Spent::default();
        put(desk, b"b", &large)?;
        desk.range(0, b"", b"", 1)?;
        desk.range(0, b"", b"", 2)
    });
    assert!(both.is_err_and(|why| why.contains("`range` would give more than")));
}

#[test]
fn timers_are_bounded_in_number_and_name() {
    let keys: BytesColumn = (0..TIMERS_PER_CALL_MAX).map(|_| Some(&b"k"[..])).collect();
    let due = vec![9; TIMERS_PER_CALL_MAX];
    let set = |desk: &mut Desk<'_>| desk.set(TimerClock::EventTime, &keys, "n", &due);
    assert_eq!(asked(set), Ok(()));
    let one_more = asked(|desk| set(desk).and_then(|()| desk.cancel(TimerClock::WallClock, &column(&[b"k"]), "n")));
    assert!(one_more.is_err_and(|why| why.contains("more than 65536 timers")));
    let name = |bytes: usize| {
        asked(|desk| {
            desk.set(TimerClock::EventTime, &column(&[b"k"]), core::str::from_utf8(&vec![b'n'; bytes]).unwrap(), &[1])
        })
    };
    assert_eq!(name(TIMER_NAME_BYTES_MAX), Ok(()));
    assert!(name(TIMER_NAME_BYTES_MAX + 1).is_err_and(|why| why.contains("256 bytes; 255 are possible")));
}

#[test]
fn what_a_changelog_would_not_take_is_refused() {
    let limits = Limits { record_bytes_max: Some(40), record_overhead_bytes: 10, ..Limits::default() };
    let put = |bytes: usize| ask(limits, true, |desk| desk.put(0, &column(&[b"k"]), &column(&[&vec![1; bytes]])));
    assert_eq!(put(40 - 10 - 1 - ENTRY_STORED_BYTES), Ok(()));
    assert!(put(40 - 10 - ENTRY_STORED_BYTES).is_err_and(|why| why.contains("its changelog takes 40")));
    let set = |key: &[u8]| ask(limits, true, |desk| desk.set(TimerClock::EventTime, &column(&[key]), "n", &[1]));
    assert_eq!(set(b"1234567"), Ok(()));
    assert!(set(b"12345678").is_err_and(|why| why.contains("its changelog takes 40")));
}

#[test]
fn what_breaks_the_contract_ends_the_call() {
    let null: BytesColumn = [None].into_iter().collect();
    let why = |answer: Result<BytesColumn, String>| answer.unwrap_err();
    assert!(why(asked(|desk| desk.get(1, &column(&[b"k"])))).contains("store number 1 is not there"));
    assert!(why(asked(|desk| desk.get(0, &null))).contains("key 0 of those asked for in a store is null"));
    let put = asked(|desk| desk.put(0, &column(&[b"k"]), &column(&[])));
    assert!(put.is_err_and(|why| why.contains("0 values were given for 1 keys")));
    let set = asked(|desk| desk.set(TimerClock::EventTime, &column(&[b"k"]), "n", &[1, 2]));
    assert!(set.is_err_and(|why| why.contains("2 times were given for 1 keys")));
    let unheard = ask(Limits::default(), false, |desk| desk.cancel(TimerClock::EventTime, &column(&[b"k"]), "n"));
    assert!(unheard.is_err_and(|why| why.contains("`on-timer` is not exported")));
}

#[test]
fn a_state_of_another_layout_is_not_shown() {
    let other = |read: fn(&mut Desk<'_>) -> bool| {
        asked(|desk| {
            desk.put(0, &column(&[b"k", b"l"]), &column(&[b"v", b"w"]))?;
            desk.layout = 3;
            desk.put(0, &column(&[b"m"]), &column(&[b"x"]))?;
            if read(desk) { Ok(()) } else { Err(Stop::Again) }
        })
    };
    // Those are named that are to be turned, and no others.
    let named = |keys: &[&[u8]]| Err(format!("0: {keys:?}"));
    assert_eq!(other(|desk| desk.get(0, &column(&[b"l", b"m"])).is_ok()), named(&[b"l"]));
    assert_eq!(other(|desk| desk.get(0, &column(&[b"m", b"n"])).is_ok()), Ok(()));
    assert_eq!(other(|desk| desk.range(0, b"", b"", 9).is_ok()), named(&[b"k", b"l"]));
    assert_eq!(other(|desk| desk.range(0, b"", b"", 1).is_ok()), named(&[b"k"]));
    assert_eq!(other(|desk| desk.range(0, b"m", b"", 9).is_ok()), Ok(()));
}

#[test]
fn a_time_before_all_time_counts_as_its_beginning() {
    let earliest = asked(|desk| {
        desk.set(TimerClock::EventTime, &column(&[b"k"]), "n", &[i64::MIN])?;
        Ok(desk.earliest)
    });
    assert_eq!(earliest, Ok(Some(0)));
}
