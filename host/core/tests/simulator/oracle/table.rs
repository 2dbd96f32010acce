//! The oracle's tables and joins: maps, changed one record at a time.

use std::collections::BTreeMap;

use millstream_core::topology::spec::JoinKind;

use super::Item;

/// A row's key with its window, and a row: value and time.
type Key = (Option<(i64, i64)>, Vec<u8>);
type Row = (Vec<u8>, i64);

#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: BTreeMap<Key, Row>,
}

fn key(item: &Item) -> Key {
    (item.window, item.rec.key.clone().expect("it was looked at before"))
}

impl Table {
    /// Takes a change in; gives whether there was a row.
    pub fn change(&mut self, item: &Item) -> bool {
        let before = match &item.rec.value {
            Some(value) => self.rows.insert(key(item), (value.clone(), item.rec.time)),
            None => self.rows.remove(&key(item)),
        };
        before.is_some()
    }

    fn get(&self, item: &Item) -> Option<Row> {
        self.rows.get(&key(item)).cloned()
    }
}

/// Both sides as far as the join has seen them, and its own rows.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    left: Table,
    right: Table,
    pub own: Table,
}

/// What stands on the left and on the right; not both are nothing.
type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Two values that are to be joined, for the change of a table or the record of a stream.
pub struct Meeting {
    pub item: Item,
    /// `None`: the result has no row.
    pub pair: Option<Pair>,
}

impl Joined {
    /// What a stream's records meet; the table has changed before. Without a key there is nothing to meet.
    pub fn look_up(&mut self, kind: JoinKind, by_window: bool, items: Vec<Item>, changes: &[Item]) -> Vec<Meeting> {
        for change in changes {
            self.right.change(change);
        }
        let mut met = Vec::new();
        for item in items {
            let asked = Item { window: item.window.filter(|_| by_window), ..item.clone() };
            let right = item.rec.key.as_ref().and_then(|_| self.right.get(&asked)).map(|row| row.0);
            if right.is_some() || kind == JoinKind::Left {
                let pair = Some((item.rec.value.clone(), right));
                met.push(Meeting { item, pair });
            }
        }
        met
    }

    /// What changes of two tables meet: those of the left come first.
    pub fn meet(&mut self, kind: JoinKind, left: Vec<Item>, right: Vec<Item>) -> Vec<Meeting> {
        let mut met = Vec::new();
        for item in left {
            self.left.change(&item);
            let other = self.right.get(&item);
            met.push(meeting(kind, item.rec.value.clone(), other.clone().map(|r| r.0), item, other));
        }
        for item in right {
            self.right.change(&item);
            let other = self.left.get(&item);
            met.push(meeting(kind, other.clone().map(|r| r.0), item.rec.value.clone(), item, other));
        }
        met
    }
}

fn meeting(
    kind: JoinKind,
    left: Option<Vec<u8>>,
    right: Option<Vec<u8>>,
    mut item: Item,
    other: Option<Row>,
) -> Meeting {
    let there = match kind {
        JoinKind::Inner => left.is_some() && right.is_some(),
        JoinKind::Left => left.is_some(),
        JoinKind::Outer => left.is_some() || right.is_some(),
    };
    item.rec.time = other.map_or(item.rec.time, |(_, time)| time.max(item.rec.time));
    Meeting { item, pair: there.then_some((left, right)) }
}
