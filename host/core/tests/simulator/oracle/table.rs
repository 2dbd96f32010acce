//! The oracle's tables and joins: maps, changed one record at a time.

use std::collections::BTreeMap;

use millstream_core::topology::spec::JoinKind;

use super::{Item, Rec};

/// A row's key with its window, and a row: value and time.
type Key = (Option<(i64, i64)>, Vec<u8>);
pub type Row = (Vec<u8>, i64);

#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: BTreeMap<Key, Row>,
}

fn key(item: &Item) -> Key {
    (item.window, item.rec.key.clone().expect("it was looked at before"))
}

impl Table {
    /// Takes a change in; gives what the row was.
    pub fn change(&mut self, item: &Item) -> Option<Row> {
        match &item.rec.value {
            Some(value) => self.rows.insert(key(item), (value.clone(), item.rec.time)),
            None => self.rows.remove(&key(item)),
        }
    }

    pub fn get(&self, item: &Item) -> Option<Row> {
        self.rows.get(&key(item)).cloned()
    }
}

/// What was sent for each row of a table that is grouped anew: under which key, value and time.
#[derive(Clone, Debug, Default)]
pub struct Regrouped {
    sent: BTreeMap<Key, (Vec<u8>, Row)>,
}

impl Regrouped {
    /// What would be sent for a change that leaves the row at `new`: its key there, its value and time.
    pub fn sending(&self, item: &Item, new: &Option<Item>) -> Vec<Item> {
        let was = self.sent.get(&key(item)).cloned();
        let bare = |item: Item| Item { window: None, ..item };
        match (was, new.clone()) {
            (Some((group, row)), Some(new)) if new.rec.key.as_ref() == Some(&group) => {
                vec![bare(Item { old: Some(row), ..new })]
            }
            (was, new) => {
                let time = new.as_ref().map_or(item.rec.time, |n| n.rec.time);
                let gone = was.map(|(group, row)| {
                    let mut gone = item.clone();
                    (gone.rec.key, gone.rec.value, gone.rec.time) = (Some(group), None, time);
                    bare(Item { old: Some(row), ..gone })
                });
                let came = new.map(|new| bare(Item { old: None, ..new }));
                gone.into_iter().chain(came).collect()
            }
        }
    }

    /// It was sent.
    pub fn keep(&mut self, item: &Item, new: Option<Item>) {
        match new.map(|n| n.rec) {
            Some(Rec { key: Some(group), value: Some(value), time, .. }) => {
                self.sent.insert(key(item), (group, (value, time)));
            }
            _ => drop(self.sent.remove(&key(item))),
        }
    }
}

/// Both sides as far as the join has seen them, and its own rows.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    pub left: Table,
    right: Table,
    pub own: Table,
}

/// What stands on the left and on the right; not both are nothing.
type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Two values that are to be joined, for the change of a table or the record of a stream.
pub struct Meeting {
    /// What is refused, where it is.
    pub item: Item,
    /// When what comes of both is.
    pub time: i64,
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
                met.push(Meeting { time: item.rec.time, item, pair });
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

/// What comes of a row of one side and of the other.
pub fn meeting(
    kind: JoinKind,
    left: Option<Vec<u8>>,
    right: Option<Vec<u8>>,
    item: Item,
    other: Option<Row>,
) -> Meeting {
    let there = match kind {
        JoinKind::Inner => left.is_some() && right.is_some(),
        JoinKind::Left => left.is_some(),
        JoinKind::Outer => left.is_some() || right.is_some(),
    };
    let time = other.map_or(item.rec.time, |(_, time)| time.max(item.rec.time));
    Meeting { item, time, pair: there.then_some((left, right)) }
}
