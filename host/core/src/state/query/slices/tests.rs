//! Windows that are put together against windows by their definition, in answers of any size; and functions that merge and finish.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use proptest::prelude::*;

use super::super::tests::{Database, PLENTY, PREFIX, budgets, keys, spans};
use super::super::{Form, Span, results};
use super::*;
use crate::function::{
    Answer, Context, Fault, Folded, Groups, Hosted, Interface, Joined, Kept as Bits, Output, Prepared, Records, Routed,
    Scanned, TimerClock,
};
use crate::operator::process::Kept;
use crate::record::BytesColumn;
use crate::state::key::StoreKind;
use crate::state::keyspace::{Keyspaces, View};
use crate::state::value::{STATELESS, Stored};
use crate::topology::spec::{Window, WindowForm};

const GRACE_MS: i64 = 3;

/// States by key, then slice.
type Slots = BTreeMap<(Vec<u8>, Timestamp), Vec<u8>>;

fn windows() -> impl Strategy<Value = WindowForm> {
    prop_oneof![
        (0i64..20).prop_map(|difference_ms| WindowForm::Sliding { difference_ms }),
        (1i64..30, 1i64..12)
            .prop_map(|(size_ms, advance)| WindowForm::Panes { size_ms, advance_ms: advance.min(size_ms) }),
    ]
}

fn slicing(form: WindowForm) -> Slicing {
    Slicing::of(Window { form, grace_ms: GRACE_MS }).unwrap()
}

/// Start and end of all windows that some times of a key make, and the first and last time that each holds.
fn by_definition(form: WindowForm, times: &[i64]) -> Vec<((i64, i64), (i64, i64))> {
    let any = |from: i64, to: i64| times.iter().any(|t| (from..=to).contains(t));
    let mut all: Vec<_> = match form {
        WindowForm::Sliding { difference_ms: d } => {
            let ends = times.iter().map(|t| (*t).max(d));
            let behind = times.iter().map(|t| t + 1 + d).filter(|end| any(end - d, *end));
            ends.chain(behind).map(|end| ((end - d, end), (end - d, end))).collect()
        }
        WindowForm::Panes { size_ms, advance_ms } => {
            let starts = (0..200).map(|n| n * advance_ms).filter(|start| any(*start, start + size_ms - 1));
            starts.map(|start| ((start, start + size_ms), (start, start + size_ms - 1))).collect()
        }
        other => unreachable!("{other:?} has no slices"),
    };
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a window has closed at a time.
fn is_closed(form: WindowForm, (_, end): (i64, i64), closed: i64) -> bool {
    match form {
        WindowForm::Sliding { .. } => end < closed - GRACE_MS,
        _ => end <= closed - GRACE_MS,
    }
}

struct Filled {
    database: Database,
    slicing: Slicing,
    closed: Timestamp,
}

impl Filled {
    fn new(form: WindowForm, slots: &Slots, closed: Timestamp) -> Self {
        let database = Database::new();
        for ((key, at), state) in slots {
            let stored = match &state[..] {
                b"" => STATELESS.to_vec(),
                state => Stored { layout: 3, timestamp: *at, state }.encode(),
            };
            database.put(key::session_time(PREFIX, key, *at, *at), b"");
            database.put(key::session(PREFIX, key, *at, *at), &stored);
        }
        Self { database, slicing: slicing(form), closed }
    }

    fn ground<'v>(&self, view: &'v dyn View) -> Ground<'v> {
        let (space, form, closed) = (self.database.space, Form::Slices(self.slicing), self.closed);
        Ground { view, space, prefix: PREFIX, form, kept: Kept::always(), closed }
    }

    fn ask(&self, what: What<'_>, calls: Option<&mut Calls<'_>>) -> Result<Page, QueryError> {
        let view = self.database.db.view().unwrap();
        self.ground(view.as_ref()).ask(what, None, &mut PLENTY.clone(), calls)
    }

    /// Key, window and count of all rows, in answers of a budget.
    fn all(&self, what: What<'_>, budget: Budget) -> Vec<(Vec<u8>, (i64, i64), i64)> {
        let (view, mut rows, mut after) = (self.database.db.view().unwrap(), Vec::new(), None);
        loop {
            let page = self.ground(view.as_ref()).ask(what, after.as_deref(), &mut budget.clone(), None).unwrap();
            assert!(page.rows.len() <= budget.rows);
            rows.extend(page.rows);
            match page.next {
                Some(next) => {
                    assert!(Some(&next) > after.as_ref(), "it goes on");
                    after = Some(next);
                }
                None => break,
            }
        }
        let count = |row: Row| i64::from_be_bytes(row.value.try_into().unwrap());
        rows.into_iter().map(|row| (row.key.clone(), row.window.unwrap(), count(row))).collect()
    }
}

proptest! {
    #[test]
    fn counts_are_those_of_windows_by_definition(
        form in windows(), records in proptest::collection::btree_map((keys(), 0i64..70), 1i64..4, 0..14), closed in 0i64..60,
        from in keys(), to in proptest::option::of(keys()), span in spans(), budget in budgets()
    ) {
        let cut = slicing(form);
        let (mut slots, mut times) = (Slots::new(), BTreeMap::<Vec<u8>, Vec<i64>>::new());
        for ((key, time), count) in &records {
            let slot = slots.entry((key.clone(), cut.slice(*time))).or_insert_with(|| vec![0; 8]);
            let sum = i64::from_be_bytes(slot[..].try_into().unwrap()) + count;
            *slot = sum.to_be_bytes().to_vec();
            times.entry(key.clone()).or_default().push(*time);
        }
        let filled = Filled::new(form, &slots, closed);
        let mut want = Vec::new();
        for (key, times) in &times {
            for (bounds, (first, last)) in by_definition(form, times) {
                let holds = |(record, _): &(&(Vec<u8>, i64), &i64)| record.0 == *key && (first..=last).contains(&record.1);
                let count: i64 = records.iter().filter(holds).map(|(_, count)| *count).sum();
                if !is_closed(form, bounds, closed) {
                    want.push((key.clone(), bounds, count));
                }
            }
        }
        let in_range = |key: &Vec<u8>| *key >= from && to.as_ref().is_none_or(|to| key < to);
        let ranged: Vec<_> = want.iter().filter(|(key, ..)| in_range(key)).cloned().collect();
        prop_assert_eq!(filled.all(What::Range(&from, to.as_deref(), Span::ALL), budget), ranged);
        want.retain(|(_, bounds, _)| span.holds(bounds.0));
        let ranged: Vec<_> = want.iter().filter(|(key, ..)| in_range(key)).cloned().collect();
        prop_assert_eq!(filled.all(What::Range(&from, to.as_deref(), span), budget), ranged);
        prop_assert_eq!(&filled.all(What::Windows(span), budget), &want);
        want.retain(|(key, ..)| *key == from);
        prop_assert_eq!(filled.all(What::Key(&from, span), budget), want);
    }
}

/// Strings states together; finishes with the key and the window in front, and lets a state `-` leave nothing.
struct Strings {
    layout: u32,
    fails: Option<Fault>,
}

impl Functions for Strings {
    fn layout(&self, _: Prepared) -> u32 {
        self.layout
    }
    fn merge(
        &mut self,
        _: Prepared,
        keys: &BytesColumn,
        left: &BytesColumn,
        right: &BytesColumn,
    ) -> Answer<BytesColumn> {
        if let Some(fault) = &self.fails {
            return Err(fault.clone());
        }
        let of = |column: &BytesColumn, at| column.get(at).unwrap().to_vec();
        let merged: Vec<_> = (0..keys.len()).map(|at| [of(left, at), of(right, at)].concat()).collect();
        Ok(merged.iter().map(|state| Some(&state[..])).collect())
    }
    fn finish(&mut self, _: Prepared, of: Groups<'_>) -> Answer<BytesColumn> {
        let one = |at: usize| {
            let text = |column: &BytesColumn| String::from_utf8(column.get(at).unwrap().to_vec()).unwrap();
            let window = of.starts.get(at).zip(of.ends.get(at));
            (text(of.states) != "-").then(|| format!("{}{window:?}={}", text(of.keys), text(of.states)).into_bytes())
        };
        let finished: Vec<_> = (0..of.keys.len()).map(one).collect();
        Ok(finished.iter().map(|value| value.as_deref()).collect())
    }
    fn wants_stream_times(&self, _: Prepared) -> bool {
        false
    }
    fn exports(&self, _: Prepared, _: Interface) -> bool {
        true
    }
    fn renew(&mut self, _: Prepared) {}
    fn stretch(&mut self, _: Prepared, _: u32) {}
    fn stretched(&self, _: Prepared) -> u32 {
        1
    }
    fn keep(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>) -> Answer<Bits> {
        unreachable!("nothing is kept")
    }
    fn apply(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>) -> Answer<Output> {
        unreachable!("nothing is mapped")
    }
    fn route(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>) -> Answer<Routed> {
        unreachable!("nothing is routed")
    }
    fn add(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<Folded> {
        unreachable!("nothing is added")
    }
    fn remove(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<Folded> {
        unreachable!("nothing is removed")
    }
    fn scan(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<Scanned> {
        unreachable!("nothing is scanned")
    }
    fn migrate(
        &mut self,
        _: Prepared,
        _: &str,
        _: u32,
        _: u32,
        _: &BytesColumn,
        _: &BytesColumn,
    ) -> Answer<BytesColumn> {
        unreachable!("nothing is migrated")
    }
    fn join(&mut self, _: Prepared, _: &BytesColumn, _: &BytesColumn, _: &BytesColumn) -> Answer<Joined> {
        unreachable!("nothing is joined")
    }
    fn process(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>, _: &mut dyn Hosted) -> Answer<Output> {
        unreachable!("nothing is processed")
    }
    fn fire(&mut self, _: Prepared, _: TimerClock, _: Records<'_>, _: &mut dyn Hosted) -> Answer<Output> {
        unreachable!("nothing fires")
    }
}

fn slots(all: &[(&str, i64, &str)]) -> Slots {
    all.iter().map(|(key, at, state)| ((key.as_bytes().to_vec(), *at), state.as_bytes().to_vec())).collect()
}

/// Values by window.
fn told(rows: Vec<Row>) -> Vec<((i64, i64), String)> {
    rows.into_iter().map(|row| (row.window.unwrap(), String::from_utf8(row.value).unwrap())).collect()
}

const SLIDING: WindowForm = WindowForm::Sliding { difference_ms: 5 };

#[test]
fn a_function_merges_earlier_states_on_the_left_and_finishes() {
    let filled = Filled::new(SLIDING, &slots(&[("k", 10, "a"), ("k", 12, "b"), ("k", 13, "c"), ("k", 30, "-")]), NEVER);
    let mut functions = Strings { layout: 3, fails: None };
    let mut calls = Calls { functions: &mut functions, prepared: Prepared(7), reduces: false };
    let page = filled.ask(What::Key(b"k", Span::ALL), Some(&mut calls)).unwrap();
    let states =
        [((5, 10), "a"), ((7, 12), "ab"), ((8, 13), "abc"), ((11, 16), "bc"), ((13, 18), "c"), ((25, 30), "-")];
    assert_eq!(told(page.rows.clone()), states.map(|(window, state)| (window, state.to_string())));
    assert!(page.rows.iter().all(|row| row.layout == 3));
    let finished = told(results(page.rows, &mut calls).unwrap());
    assert_eq!(finished[1], ((7, 12), "kSome((7, 12))=ab".to_string()));
    assert_eq!(finished.len(), 5, "of one it says that nothing leaves");
}

#[test]
fn slices_without_a_state_make_windows_and_are_no_rows() {
    let filled = Filled::new(SLIDING, &slots(&[("k", 10, ""), ("k", 12, "b")]), NEVER);
    let mut functions = Strings { layout: 3, fails: None };
    let mut calls = Calls { functions: &mut functions, prepared: Prepared(7), reduces: false };
    let page = filled.ask(What::Range(b"", None, Span::ALL), Some(&mut calls)).unwrap();
    // One ends with the first, and holds nothing; one begins behind it.
    assert_eq!(told(page.rows), [((7, 12), "b".to_string()), ((11, 16), "b".to_string())]);
}

#[test]
fn states_of_another_layout_and_functions_that_fail_are_told() {
    let filled = Filled::new(SLIDING, &slots(&[("k", 10, "a"), ("k", 12, "b")]), NEVER);
    let ask = |layout, fails, reduces| {
        let mut functions = Strings { layout, fails };
        let mut calls = Calls { functions: &mut functions, prepared: Prepared(7), reduces };
        let page = filled.ask(What::Windows(Span::ALL), Some(&mut calls))?;
        results(page.rows, &mut calls).map(told)
    };
    assert_eq!(ask(4, None, false), Err(QueryError::Layout { stored: 3, reads: 4 }));
    let fault = Fault::Trap { message: "m".into() };
    assert_eq!(ask(3, Some(fault.clone()), false), Err(QueryError::Function(fault)));
    let merged = ask(4, None, true).unwrap();
    assert_eq!(merged[1], ((7, 12), "ab".to_string()), "values of records have no layout, and leave as they are");
}

#[test]
fn a_place_within_a_key_is_none_of_another_key() {
    let filled = Filled::new(SLIDING, &slots(&[("k", 10, "a"), ("l", 12, "b")]), NEVER);
    let view = filled.database.db.view().unwrap();
    let ask = |what, after: &[u8]| filled.ground(view.as_ref()).ask(what, Some(after), &mut PLENTY.clone(), None);
    let of_l = place(b"l", 3);
    assert_eq!(ask(What::Key(b"k", Span::ALL), &of_l), Err(QueryError::Cursor));
    assert_eq!(ask(What::Range(b"", Some(b"l"), Span::ALL), &of_l), Err(QueryError::Cursor));
    let other = key::plain(b"", StoreKind::KeyValue, b"k");
    assert_eq!(ask(What::Windows(Span::ALL), &other), Err(QueryError::Cursor));
}

#[test]
fn what_cannot_be_read_is_told() {
    let filled = Filled::new(SLIDING, &slots(&[("k", 10, "a")]), NEVER);
    filled.database.put(key::session(PREFIX, b"k", 11, 11), &[9, 9]);
    let failed = filled.ask(What::Key(b"k", Span::ALL), None);
    assert!(matches!(failed, Err(QueryError::Storage(StorageError::Corrupted(_)))), "{failed:?}");
}
