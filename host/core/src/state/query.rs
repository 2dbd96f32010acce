//! Reading a task's stores from outside, as the last commit left them: what the open interval has changed is not in the database yet,
//! so that nobody sees what may still be taken back. Not here: who asks, in what form it is answered, and which host has the task.
//!
//! What an aggregate keeps is its state, which is not what leaves the pipeline where the function has a `finish`. Windows that are put
//! together from slices have no states of their own, and timers are nobody's business: those stores are not readable.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::key::{self, StoreKind};
use super::keyspace::{Scan, StorageError};
use super::store::Ground;
use super::value::{STATELESS, Stored};
use crate::partition::partition_for_key;
use crate::record::Timestamp;
use crate::topology::graph::{JoinNode, Node, NodeOperator, RegroupNode, SubTopology, TableNode};
use crate::topology::spec::WindowForm;
use crate::window::Grid;

/// Most rows of one answer; more are asked for from where it ended.
pub const ROWS_MAX: usize = 1_000;

/// Most windows of a store that are looked at for one answer, whether they hold the key or not.
pub const WINDOWS_MAX: usize = 10_000;

/// How the rows of a store are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By key.
    Keys,
    /// By key and a window that came with it.
    WindowedKeys,
    /// By window and key.
    Windows(Grid),
    /// By key, in sessions.
    Sessions,
}

/// What a store has of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key, without its window.
    pub key: Vec<u8>,
    /// Start and end of the window, milliseconds.
    pub window: Option<(Timestamp, Timestamp)>,
    /// Of an aggregate the largest timestamp of its records, of a processor's entry the time at which it was written.
    pub timestamp: Timestamp,
    /// The state, in its function's layout.
    pub value: Vec<u8>,
}

/// Some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In their order: by key; of one key by the start of the window, sessions by their end.
    pub rows: Vec<Row>,
    /// There may be more.
    pub more: bool,
}

/// How each of the stores is read, in their order; `None`: it is not.
pub fn forms(sub: &SubTopology) -> Vec<Option<Form>> {
    sub.nodes.iter().flat_map(forms_of).collect()
}

fn forms_of(node: &Node) -> Vec<Option<Form>> {
    let keyed = |by_window: bool| Some(if by_window { Form::WindowedKeys } else { Form::Keys });
    match &node.operator {
        NodeOperator::Aggregate(aggregate) => alloc::vec![match aggregate.spec.window {
            None => keyed(aggregate.by_window),
            Some(window) if matches!(window.form, WindowForm::Session { .. }) => Some(Form::Sessions),
            Some(window) => Grid::of(window).map(Form::Windows),
        }],
        NodeOperator::Table(TableNode { by_window, .. })
        | NodeOperator::Regroup(RegroupNode { by_window, .. })
        | NodeOperator::Join(JoinNode { store: Some(_), by_window, .. }) => alloc::vec![keyed(*by_window)],
        NodeOperator::Process(process) => process.spec.stores.iter().map(|_| Some(Form::Keys)).chain([None]).collect(),
        _ => Vec::new(),
    }
}

/// The partition of the task that has a key, where topics are filled by key.
pub fn partition_of(sub: &SubTopology, key: &[u8]) -> u32 {
    partition_for_key(key, sub.tasks)
}

/// The row of a key in a store by key.
///
/// # Errors
/// Those of the database; corrupted where what is stored cannot be read.
pub fn get(ground: Ground<'_>, key: &[u8]) -> Result<Option<Row>, StorageError> {
    let found = ground.db.get(ground.space, &key::plain(ground.prefix, StoreKind::KeyValue, key))?;
    found.map(|stored| row(key, None, &stored)).transpose()
}

/// Rows of a store by key, `from <= key < to`; without `to`, to the end. At most `limit` of them, and [`ROWS_MAX`].
///
/// # Errors
/// As for [`get`].
pub fn range(ground: Ground<'_>, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Page, StorageError> {
    let all = key::plain(ground.prefix, StoreKind::KeyValue, b"");
    let begin = key::plain(ground.prefix, StoreKind::KeyValue, from);
    let end = to.map(|to| key::plain(ground.prefix, StoreKind::KeyValue, to)).or_else(|| key::successor(&all));
    let (limit, mut page, mut failed) = (limit.min(ROWS_MAX), Page::default(), None);
    if end.as_ref().is_some_and(|end| *end <= begin) {
        return Ok(page);
    }
    ground.db.scan(ground.space, &begin, end.as_deref(), &mut |key, stored| {
        if page.rows.len() == limit {
            page.more = true;
            return Scan::Stop;
        }
        match row(&key[all.len()..], None, stored) {
            Ok(row) => page.rows.push(row),
            Err(error) => failed = Some(error),
        }
        if failed.is_some() { Scan::Stop } else { Scan::Continue }
    })?;
    failed.map_or(Ok(page), Err)
}

/// Rows of a key in windows that start at `from` or later, and at `to` or earlier. At most `limit` of them, and [`ROWS_MAX`].
///
/// # Errors
/// As for [`get`].
pub fn windows(
    ground: Ground<'_>,
    form: Form,
    key: &[u8],
    (from, to): (Timestamp, Timestamp),
    limit: usize,
) -> Result<Page, StorageError> {
    let limit = limit.min(ROWS_MAX);
    match form {
        Form::Keys => Ok(Page::default()),
        Form::Sessions => sessions(ground, key, (from, to), limit),
        Form::WindowedKeys => {
            let bounds = |place: &[u8]| {
                let (start, rest) = place.split_first_chunk::<8>()?;
                Some((key::unordered(*start), key::unordered(*rest.first_chunk::<8>()?)))
            };
            on_grid(ground, (StoreKind::WindowedKeyValue, 16, &bounds), key, (from, to), limit)
        }
        Form::Windows(grid) => {
            let bounds = |place: &[u8]| Some(grid.bounds(key::unordered(*place.first_chunk::<8>()?)));
            on_grid(ground, (StoreKind::Window, 8, &bounds), key, (from, to), limit)
        }
    }
}

/// What tells the bounds of a window by the bytes in front of its keys.
type Bounds<'b> = dyn Fn(&[u8]) -> Option<(Timestamp, Timestamp)> + 'b;

/// Goes from window to window, of which the next begins behind all keys of the one before. Starts never fall from one to the next.
fn on_grid(
    ground: Ground<'_>,
    (kind, place_bytes, bounds): (StoreKind, usize, &Bounds<'_>),
    key: &[u8],
    (from, to): (Timestamp, Timestamp),
    limit: usize,
) -> Result<Page, StorageError> {
    let all = key::plain(ground.prefix, kind, b"");
    let end = key::successor(&all);
    let mut next = Some([&all[..], &key::ordered(from)].concat());
    let mut page = Page::default();
    for _ in 0..WINDOWS_MAX {
        let Some(begin) = next else { return Ok(page) };
        let mut found = None;
        ground.db.scan(ground.space, &begin, end.as_deref(), &mut |whole, _| {
            found = whole.get(all.len()..all.len() + place_bytes).map(<[u8]>::to_vec);
            Scan::Stop
        })?;
        let Some((place, window)) = found.and_then(|place| bounds(&place).map(|window| (place, window))) else {
            return Ok(page);
        };
        if window.0 > to {
            return Ok(page);
        }
        let place = [&all[..], &place].concat();
        let stored = ground.db.get(ground.space, &[&place, key].concat())?;
        if let Some(stored) = stored.filter(|_| window.0 >= from) {
            if page.rows.len() == limit {
                page.more = true;
                return Ok(page);
            }
            page.rows.push(row(key, Some(window), &stored)?);
        }
        next = key::successor(&place);
    }
    page.more = true;
    Ok(page)
}

fn sessions(
    ground: Ground<'_>,
    key: &[u8],
    (from, to): (Timestamp, Timestamp),
    limit: usize,
) -> Result<Page, StorageError> {
    let begin = key::sessions_of(ground.prefix, key);
    let end = key::successor(&begin);
    let (mut page, mut failed) = (Page::default(), None);
    ground.db.scan(ground.space, &begin, end.as_deref(), &mut |whole, stored| {
        let Some((_, start, end)) = key::split_session(&whole[ground.prefix.len()..]) else { return Scan::Continue };
        if !(from..=to).contains(&start) || stored == STATELESS {
            return Scan::Continue;
        }
        if page.rows.len() == limit {
            page.more = true;
            return Scan::Stop;
        }
        match row(key, Some((start, end)), stored) {
            Ok(row) => page.rows.push(row),
            Err(error) => failed = Some(error),
        }
        if failed.is_some() { Scan::Stop } else { Scan::Continue }
    })?;
    failed.map_or(Ok(page), Err)
}

fn row(key: &[u8], window: Option<(Timestamp, Timestamp)>, stored: &[u8]) -> Result<Row, StorageError> {
    let unknown = || StorageError::Corrupted("a stored row has a form this version does not know".to_string());
    let Stored { timestamp, state, .. } = Stored::decode(stored).ok_or_else(unknown)?;
    Ok(Row { key: key.to_vec(), window, timestamp, value: state.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::keyspace::{Durability, Keyspaces, Space, SpaceKind, Write};
    use crate::state::memory::Memory;
    use crate::state::memory::tests::Locked;
    use crate::topology::spec::Window;
    use alloc::string::String;
    use alloc::vec;

    const PREFIX: &[u8] = &[0, 0, 0, 1];

    struct Stores {
        db: Memory<Locked>,
        space: Space,
    }

    impl Stores {
        fn new() -> Self {
            let db = Memory::<Locked>::default();
            let space = db.open_space("s", SpaceKind::State).unwrap();
            Self { db, space }
        }

        fn ground(&self) -> Ground<'_> {
            Ground { db: &self.db, space: self.space, prefix: PREFIX }
        }

        fn put(&self, key: Vec<u8>, state: &[u8]) {
            let value = Stored { layout: 3, timestamp: 77, state }.encode();
            self.db.apply(vec![Write::Put(self.space, key, value)], Durability::Process).unwrap();
        }
    }

    fn keys(page: &Page) -> Vec<String> {
        page.rows.iter().map(|row| String::from_utf8(row.key.clone()).unwrap()).collect()
    }

    fn starts(page: &Page) -> Vec<(Timestamp, Timestamp)> {
        page.rows.iter().filter_map(|row| row.window).collect()
    }

    #[test]
    fn rows_by_key_one_or_some_of_this_task_alone() {
        let stores = Stores::new();
        for key in ["", "a", "b", "c", "d"] {
            stores.put(key::plain(PREFIX, StoreKind::KeyValue, key.as_bytes()), key.as_bytes());
        }
        stores.put(key::plain(&[0, 0, 0, 0], StoreKind::KeyValue, b"before"), b"");
        stores.put(key::plain(&[0, 0, 0, 2], StoreKind::KeyValue, b"behind"), b"");
        stores.put(key::plain(PREFIX, StoreKind::WindowedKeyValue, b"another kind"), b"");
        let ground = stores.ground();
        let row = Row { key: b"b".to_vec(), window: None, timestamp: 77, value: b"b".to_vec() };
        assert_eq!((get(ground, b"b").unwrap(), get(ground, b"bb").unwrap()), (Some(row), None));
        let page = |from: &str, to: Option<&str>, limit| {
            let page = range(ground, from.as_bytes(), to.map(str::as_bytes), limit).unwrap();
            (keys(&page).join(","), page.more)
        };
        assert_eq!(page("", None, 9), (",a,b,c,d".into(), false));
        assert_eq!(page("a", Some("c"), 9), ("a,b".into(), false));
        assert_eq!((page("b", None, 2), page("b", None, 3)), (("b,c".into(), true), ("b,c,d".into(), false)));
        assert_eq!(
            (page("c", Some("b"), 9), page("c", Some("c"), 9)),
            ((String::new(), false), (String::new(), false))
        );
    }

    #[test]
    fn an_answer_is_bounded() {
        let stores = Stores::new();
        for i in 0..=ROWS_MAX {
            stores.put(key::plain(PREFIX, StoreKind::KeyValue, &i.to_be_bytes()), b"");
        }
        let page = range(stores.ground(), b"", None, usize::MAX).unwrap();
        assert_eq!((page.rows.len(), page.more), (ROWS_MAX, true));
        let grid = Grid::of(Window { form: WindowForm::Hopping { size_ms: 1, advance_ms: 1 }, grace_ms: 0 }).unwrap();
        for i in 0..=WINDOWS_MAX as i64 {
            stores.put(key::window(PREFIX, i, b"other"), b"");
        }
        let found = |from| windows(stores.ground(), Form::Windows(grid), b"k", (from, i64::MAX), 9).unwrap().more;
        assert_eq!((found(0), found(2)), (true, false));
    }

    #[test]
    fn rows_of_a_key_by_its_windows() {
        let window = |form| Grid::of(Window { form, grace_ms: 0 }).unwrap();
        let hopping = Form::Windows(window(WindowForm::Hopping { size_ms: 10, advance_ms: 5 }));
        let cumulating = Form::Windows(window(WindowForm::Cumulating { size_ms: 30, step_ms: 10 }));
        let (on_grid, by_key) = (Stores::new(), Stores::new());
        for mark in [0, 5, 10, 20, 30] {
            on_grid.put(key::window(PREFIX, mark, b"k"), b"v");
            on_grid.put(key::window(PREFIX, mark, b"a"), b"");
        }
        on_grid.put(key::window(PREFIX, 15, b"kk"), b"");
        let found = |form, from, to| starts(&windows(on_grid.ground(), form, b"k", (from, to), 9).unwrap());
        assert_eq!(found(hopping, 5, 20), [(5, 15), (10, 20), (20, 30)]);
        assert_eq!(found(hopping, 21, 29), []);
        assert_eq!(found(cumulating, 0, 29), [(0, 10), (0, 15), (0, 20), (0, 30)], "marks are ends less a step");
        assert_eq!(found(cumulating, 1, 30), [(30, 40)]);
        for (start, end) in [(0, 10), (0, 20), (10, 20)] {
            let whole = |key: &[u8]| key::windowed_group(key, start, end);
            by_key.put(key::plain(PREFIX, StoreKind::WindowedKeyValue, &whole(b"k")), b"v");
            by_key.put(key::plain(PREFIX, StoreKind::WindowedKeyValue, &whole(b"z")), b"");
        }
        let page = windows(by_key.ground(), Form::WindowedKeys, b"k", (0, 9), 1).unwrap();
        assert_eq!((starts(&page), page.more), (vec![(0, 10)], true));
        let page = windows(by_key.ground(), Form::WindowedKeys, b"k", (0, 10), 9).unwrap();
        assert_eq!((starts(&page), page.more), (vec![(0, 10), (0, 20), (10, 20)], false));
    }

    #[test]
    fn sessions_of_a_key_without_those_that_have_no_state() {
        let stores = Stores::new();
        for (key, start, end) in [("k", 0, 5), ("k", 20, 30), ("kk", 1, 2), ("k", 50, 51)] {
            stores.put(key::session(PREFIX, key.as_bytes(), start, end), b"v");
        }
        let gone = Write::Put(stores.space, key::session(PREFIX, b"k", 9, 9), STATELESS.to_vec());
        stores.db.apply(vec![gone], Durability::Process).unwrap();
        let found = |from, to, limit| {
            let page = windows(stores.ground(), Form::Sessions, b"k", (from, to), limit).unwrap();
            (starts(&page), page.more)
        };
        assert_eq!(found(0, 50, 9), (vec![(0, 5), (20, 30), (50, 51)], false));
        assert_eq!((found(1, 49, 9), found(0, 50, 1)), ((vec![(20, 30)], false), (vec![(0, 5)], true)));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let stores = Stores::new();
        let key = key::plain(PREFIX, StoreKind::KeyValue, b"k");
        stores.db.apply(vec![Write::Put(stores.space, key, vec![9])], Durability::Process).unwrap();
        assert!(matches!(get(stores.ground(), b"k"), Err(StorageError::Corrupted(_))));
        assert!(matches!(range(stores.ground(), b"", None, 9), Err(StorageError::Corrupted(_))));
    }
}
