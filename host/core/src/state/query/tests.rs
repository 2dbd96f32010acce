//! Tests of questions: of every form against a plain filter, in answers of any size, with entries of other tasks, kinds and keys around.

use alloc::string::String;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::calendar::Calendar;
use crate::state::keyspace::{Durability, Keyspaces, SpaceKind, Write};
use crate::state::memory::Memory;
use crate::state::memory::tests::Locked;
use crate::time::NEVER;
use crate::topology::spec::{Window, WindowForm};

pub(super) const PREFIX: &[u8] = &[0, 0, 0, 1];
pub(super) const PLENTY: Budget = Budget { rows: usize::MAX, bytes: usize::MAX, looks: usize::MAX };

pub(super) struct Database {
    pub db: Memory<Locked>,
    pub space: Space,
}

impl Database {
    /// With entries of the tasks before and behind, and of what stands beside every store.
    pub fn new() -> Self {
        let db = Memory::<Locked>::default();
        let space = db.open_space("s", SpaceKind::State).unwrap();
        let database = Self { db, space };
        for prefix in [[0, 0, 0, 0], [0, 0, 0, 2]] {
            for kind in [StoreKind::KeyValue, StoreKind::WindowedKeyValue, StoreKind::Window, StoreKind::Session] {
                database.put([&prefix[..], &[kind as u8], &[0; 20]].concat(), b"not mine");
            }
        }
        database.put(key::plain(PREFIX, StoreKind::MadeWith, b""), b"note");
        database.put([PREFIX, &[0xf0, b'c']].concat(), b"clocks");
        database
    }

    pub fn put(&self, key: Vec<u8>, value: &[u8]) {
        self.db.apply(vec![Write::Put(self.space, key, value.to_vec())], Durability::Process).unwrap();
    }

    fn put_row(&self, form: Form, row: &Row) {
        let stored = Stored { layout: row.layout, timestamp: row.timestamp, state: &row.value }.encode();
        let (start, end) = row.window.unwrap_or_default();
        let whole = match form {
            Form::Keys => key::plain(PREFIX, StoreKind::KeyValue, &row.key),
            Form::WindowedKeys => {
                key::plain(PREFIX, StoreKind::WindowedKeyValue, &key::windowed_group(&row.key, start, end))
            }
            // Of hopping windows and those of calendars the mark is the start.
            Form::Windows(_) => key::window(PREFIX, start, &row.key),
            Form::Sessions => {
                self.put(key::session_time(PREFIX, &row.key, start, end), b"");
                key::session(PREFIX, &row.key, start, end)
            }
            Form::Slices(_) => unreachable!("windows of slices are stored nowhere"),
        };
        self.put(whole, &stored);
    }

    fn ask(&self, form: Form, what: What<'_>, after: Option<&[u8]>, mut budget: Budget) -> Result<Page, QueryError> {
        let view = self.db.view().unwrap();
        let (view, space, kept) = (view.as_ref(), self.space, Kept::always());
        let ground = Ground { view, space, prefix: PREFIX, form, kept, closed: NEVER };
        ground.ask(what, after, &mut budget, None)
    }

    /// All rows, in answers of a budget.
    fn all(&self, form: Form, what: What<'_>, budget: Budget) -> Vec<Row> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = self.ask(form, what, after.as_deref(), budget).unwrap();
            assert!(page.rows.len() <= budget.rows);
            rows.extend(page.rows);
            match page.next {
                Some(next) => {
                    assert!(Some(&next) > after.as_ref(), "it goes on");
                    after = Some(next);
                }
                None => return rows,
            }
        }
    }
}

fn row(key: &[u8], window: Option<(Timestamp, Timestamp)>) -> Row {
    let value = [key, &window.unwrap_or_default().0.to_be_bytes()].concat();
    Row { key: key.to_vec(), window, timestamp: 77, value, layout: 3 }
}

fn hopping(size_ms: i64, advance_ms: i64) -> Form {
    let form = WindowForm::Hopping { size_ms, advance_ms };
    Form::Windows(Grid::of(Window { form, grace_ms: 0 }).unwrap())
}

/// Rows as they stand: by window, then key.
fn by_window(rows: &mut [Row]) {
    rows.sort_by(|a, b| (a.window, &a.key).cmp(&(b.window, &b.key)));
}

pub(super) fn budgets() -> impl Strategy<Value = Budget> {
    let few = prop_oneof![Just(1usize), 2usize..6, Just(usize::MAX)];
    (few.clone(), few.clone(), few).prop_map(|(rows, bytes, looks)| Budget { rows, bytes, looks })
}

pub(super) fn keys() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0u8), Just(1u8), Just(0xffu8)], 0..3)
}

pub(super) fn spans() -> impl Strategy<Value = Span> {
    let of = |(from, len)| Span { from, to: from + len };
    prop_oneof![Just(Span::ALL), (0i64..50, -5i64..60).prop_map(of)]
}

proptest! {
    #[test]
    fn rows_by_key(all in proptest::collection::btree_set(keys(), 0..20), from in keys(), to in proptest::option::of(keys()), budget in budgets()) {
        let database = Database::new();
        let rows: Vec<Row> = all.iter().map(|key| row(key, None)).collect();
        rows.iter().for_each(|row| database.put_row(Form::Keys, row));
        let got = database.all(Form::Keys, What::Range(&from, to.as_deref(), Span::ALL), budget);
        let is_in = |row: &&Row| row.key >= from && to.as_ref().is_none_or(|to| row.key < *to);
        prop_assert_eq!(got, rows.iter().filter(is_in).cloned().collect::<Vec<_>>());
        let got = database.all(Form::Keys, What::Key(&from, Span::ALL), budget);
        prop_assert_eq!(got, rows.into_iter().filter(|row| row.key == from).collect::<Vec<_>>());
    }

    #[test]
    fn rows_by_window(all in proptest::collection::btree_set((0i64..12, keys()), 0..30), wanted in keys(), to in proptest::option::of(keys()), span in spans(), budget in budgets()) {
        for (form, len) in [(Form::WindowedKeys, 7), (hopping(10, 5), 10)] {
            let database = Database::new();
            let mut rows: Vec<Row> = all.iter().map(|(at, key)| row(key, Some((at * 5, at * 5 + len)))).collect();
            rows.iter().for_each(|row| database.put_row(form, row));
            by_window(&mut rows);
            rows.retain(|row| span.holds(row.window.unwrap().0));
            prop_assert_eq!(&database.all(form, What::Windows(span), budget), &rows);
            let is_in = |row: &&Row| row.key >= wanted && to.as_ref().is_none_or(|to| row.key < *to);
            let want: Vec<Row> = rows.iter().filter(is_in).cloned().collect();
            prop_assert_eq!(database.all(form, What::Range(&wanted, to.as_deref(), span), budget), want);
            rows.retain(|row| row.key == wanted);
            prop_assert_eq!(database.all(form, What::Key(&wanted, span), budget), rows);
        }
    }

    #[test]
    fn rows_by_session(all in proptest::collection::btree_map((keys(), 0i64..8), 0i64..9, 0..30), wanted in keys(), to in proptest::option::of(keys()), span in spans(), budget in budgets()) {
        let database = Database::new();
        // Sessions of a key do not overlap.
        let mut rows: Vec<Row> = all.iter().map(|((key, at), len)| row(key, Some((at * 10, at * 10 + len)))).collect();
        rows.iter().for_each(|row| database.put_row(Form::Sessions, row));
        let is_in = |row: &&Row| row.key >= wanted && to.as_ref().is_none_or(|to| row.key < *to);
        let want: Vec<Row> = rows.iter().filter(is_in).cloned().collect();
        prop_assert_eq!(database.all(Form::Sessions, What::Range(&wanted, to.as_deref(), Span::ALL), budget), want);
        rows.retain(|row| span.holds(row.window.unwrap().0));
        let want: Vec<Row> = rows.iter().filter(is_in).cloned().collect();
        prop_assert_eq!(database.all(Form::Sessions, What::Range(&wanted, to.as_deref(), span), budget), want);
        let want: Vec<Row> = rows.iter().filter(|row| row.key == wanted).cloned().collect();
        prop_assert_eq!(database.all(Form::Sessions, What::Key(&wanted, span), budget), want);
        rows.sort_by_key(|row| (row.window.map(|(start, end)| (end, start)), row.key.clone()));
        prop_assert_eq!(database.all(Form::Sessions, What::Windows(span), budget), rows);
    }
}

#[test]
fn windows_that_begin_together_are_all_there() {
    let form = WindowForm::Cumulating { size_ms: 30, step_ms: 10 };
    let form = Form::Windows(Grid::of(Window { form, grace_ms: 0 }).unwrap());
    let database = Database::new();
    let stored = Stored { layout: 0, timestamp: 5, state: b"v" }.encode();
    for mark in [0, 10, 20, 30] {
        database.put(key::window(PREFIX, mark, b"k"), &stored);
        database.put(key::window(PREFIX, mark, b"a"), &stored);
    }
    let windows = |from, to| -> Vec<_> {
        let rows = database.all(form, What::Key(b"k", Span { from, to }), PLENTY);
        rows.into_iter().map(|row| row.window.unwrap()).collect()
    };
    assert_eq!(windows(0, 29), [(0, 10), (0, 20), (0, 30)], "marks are ends less a step");
    assert_eq!(windows(1, 30), [(30, 40)]);
}

#[test]
fn windows_of_a_calendar_end_at_the_next_boundary() {
    let calendar = Calendar::new("c".into(), vec![0, 100, 250], 100).unwrap();
    let form = WindowForm::Calendar(calendar);
    let form = Form::Windows(Grid::of(Window { form, grace_ms: 0 }).unwrap());
    let database = Database::new();
    database.put_row(form, &row(b"k", Some((100, 250))));
    assert_eq!(database.all(form, What::Windows(Span::ALL), PLENTY), [row(b"k", Some((100, 250)))]);
}

#[test]
fn a_budget_is_kept_to_and_an_answer_says_where_it_ends() {
    let database = Database::new();
    for key in [&b"a"[..], b"b", b"c"] {
        database.put_row(Form::Keys, &row(key, None));
    }
    let ask = |budget| database.ask(Form::Keys, What::Range(b"", None, Span::ALL), None, budget).unwrap();
    let place = |key: &[u8]| Some(key::plain(b"", StoreKind::KeyValue, key));
    let page = ask(Budget { rows: 2, ..PLENTY });
    assert_eq!((page.rows.len(), page.next), (2, place(b"c")));
    // Each has a key of one byte and a value of nine.
    let page = ask(Budget { bytes: 11, ..PLENTY });
    assert_eq!((page.rows.len(), page.next), (2, place(b"c")), "the row that passes it is there");
    let page = ask(Budget { looks: 1, ..PLENTY });
    assert_eq!((page.rows.len(), page.next), (1, place(b"b")));
    assert_eq!(ask(Budget { rows: 3, ..PLENTY }).next, None, "nothing follows, so nothing is said");
    let mut shared = Budget { rows: 5, bytes: 100, looks: 9 };
    let view = database.db.view().unwrap();
    let (view, kept) = (view.as_ref(), Kept::always());
    let ground = Ground { view, space: database.space, prefix: PREFIX, form: Form::Keys, kept, closed: NEVER };
    ground.ask(What::Range(b"", None, Span::ALL), None, &mut shared, None).unwrap();
    assert_eq!(shared, Budget { rows: 2, bytes: 70, looks: 6 });
}

#[test]
fn keys_that_do_not_match_are_jumped_over() {
    let (database, form) = (Database::new(), hopping(10, 10));
    for at in 0..5 {
        for number in 0..100u8 {
            database.put_row(form, &row(&[number], Some((at * 10, at * 10 + 10))));
        }
    }
    let budget = Budget { looks: 16, ..PLENTY };
    let page = database.ask(form, What::Key(&[50], Span::ALL), None, budget).unwrap();
    assert_eq!((page.rows.len(), page.next), (5, None), "three looks a window: one to it, one at the key, one behind");
}

#[test]
fn a_place_of_another_question_is_refused() {
    let database = Database::new();
    database.put_row(Form::Keys, &row(b"b", None));
    let ask = |after: &[u8]| database.ask(Form::Keys, What::Range(b"b", Some(b"c"), Span::ALL), Some(after), PLENTY);
    let place = |key: &[u8]| key::plain(b"", StoreKind::KeyValue, key);
    assert_eq!(ask(&place(b"b")).unwrap().rows.len(), 1);
    let window = key::plain(b"", StoreKind::Window, b"b");
    for other in [&place(b"a")[..], &place(b"c"), &window, b""] {
        assert_eq!(ask(other), Err(QueryError::Cursor), "{other:?}");
    }
}

#[test]
fn what_a_function_has_removed_is_not_there() {
    let database = Database::new();
    database.put_row(Form::Sessions, &row(b"k", Some((0, 5))));
    database.put(key::session(PREFIX, b"k", 9, 9), STATELESS);
    database.put(key::session_time(PREFIX, b"k", 9, 9), b"");
    for what in [What::Key(b"k", Span::ALL), What::Range(b"", None, Span::ALL), What::Windows(Span::ALL)] {
        assert_eq!(database.all(Form::Sessions, what, PLENTY), [row(b"k", Some((0, 5)))], "{what:?}");
    }
}

#[test]
fn entries_that_are_too_old_are_not_there() {
    let database = Database::new();
    for (key, written) in [("early", NEVER), ("new", 1_900), ("old", 100)] {
        let row = Row { timestamp: written, ..row(key.as_bytes(), None) };
        database.put_row(Form::Keys, &row);
    }
    let keys = |kept| -> Vec<String> {
        let view = database.db.view().unwrap();
        let (view, space, form) = (view.as_ref(), database.space, Form::Keys);
        let ground = Ground { view, space, prefix: PREFIX, form, kept, closed: NEVER };
        let mut budget = PLENTY;
        let page = ground.ask(What::Range(b"", None, Span::ALL), None, &mut budget, None).unwrap();
        page.rows.into_iter().map(|row| String::from_utf8(row.key).unwrap()).collect()
    };
    assert_eq!(
        keys(Kept::for_ttl(1_000, 2_000, 1_500)),
        ["early", "new"],
        "what was early counts from when time was known"
    );
    assert_eq!(keys(Kept::for_ttl(1_000, 2_000, 100)), ["new"]);
    assert_eq!(keys(Kept::always()), ["early", "new", "old"]);
}

#[test]
fn what_cannot_be_read_is_told() {
    let database = Database::new();
    database.put(key::plain(PREFIX, StoreKind::KeyValue, b"k"), &[9, 9]);
    let failed = database.ask(Form::Keys, What::Key(b"k", Span::ALL), None, PLENTY);
    assert!(matches!(failed, Err(QueryError::Storage(StorageError::Corrupted(_)))), "{failed:?}");
}
