//! The oracle's joins by foreign key: who asks for what, one record at a time. It has its own reading of the messages.

use std::collections::BTreeMap;

use millstream_core::partition::murmur2;
use millstream_core::topology::spec::JoinKind;

use super::table::{Joined, Meeting, meeting};
use super::{Item, Rec, wire};

/// Where the left rows are.
#[derive(Clone, Debug, Default)]
pub struct Asks {
    /// For each left row, which right row it belongs to.
    keys: BTreeMap<Vec<u8>, Vec<u8>>,
    pub joined: Joined,
}

/// Where the right rows are.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// By foreign key and left row: who asks, as it was said.
    asked: BTreeMap<(Vec<u8>, Vec<u8>), (u32, u32)>,
    rows: BTreeMap<Vec<u8>, (Vec<u8>, i64)>,
}

fn key(item: &Item) -> Vec<u8> {
    item.rec.key.clone().expect("rows have keys")
}

/// A number as messages have it.
fn number(n: u128) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put(&mut out, n);
    out
}

impl Asks {
    /// Changes of foreign keys, and of the rows themselves; gives what is asked, and rows that have no partner.
    pub fn change(
        &mut self,
        partition: u32,
        kind: JoinKind,
        keys: Vec<Item>,
        rows: Vec<Item>,
    ) -> (Vec<Item>, Vec<Meeting>) {
        rows.iter().for_each(|row| drop(self.joined.left.change(row)));
        let (mut asked, mut met) = (Vec::new(), Vec::new());
        for item in keys {
            let row = self.joined.left.get(&item);
            let was = match &item.rec.value {
                Some(foreign) => self.keys.insert(key(&item), foreign.clone()),
                None => self.keys.remove(&key(&item)),
            };
            let is = item.rec.value.clone().filter(|_| row.is_some());
            let mark = murmur2(row.as_ref().map_or(&[], |row| &row.0));
            let mut say = |gone: bool, foreign: Vec<u8>| {
                let value =
                    [&[1, gone as u8][..], &number(partition.into()), &mark.to_be_bytes(), &key(&item)].concat();
                asked.push(Item {
                    rec: Rec { key: Some(foreign), value: Some(value), ..item.rec.clone() },
                    ..item.clone()
                });
            };
            if let Some(was) = was.filter(|was| Some(was) != is.as_ref()) {
                say(true, was);
            }
            match is {
                Some(foreign) => say(false, foreign),
                None => met.push(alone(kind, item, row)),
            }
        }
        (asked, met)
    }

    /// An answer: what the row is joined with; `None`: nobody asks that any more.
    pub fn hear(&mut self, kind: JoinKind, item: Item) -> Option<Meeting> {
        let said = item.rec.value.clone().expect("an answer says something");
        let mut rest = &said[1..];
        wire::take(&mut rest);
        let mark = u32::from_be_bytes(rest[..4].try_into().expect("a mark"));
        rest = &rest[4..];
        let len = wire::take(&mut rest) as usize;
        let (foreign, rest) = rest.split_at(len);
        let (bits, mut rest) = (rest[0], &rest[1..]);
        let time = (bits & 1 == 1).then(|| wire::signed(&mut rest));
        let right = (bits & 2 == 2).then(|| (rest.to_vec(), time.expect("a row has a time")));
        let row = self.joined.left.get(&item)?;
        if self.keys.get(&key(&item)).map(Vec::as_slice) != Some(foreign) || murmur2(&row.0) != mark {
            return None;
        }
        let mut left = Item { derived: true, ..item };
        (left.rec.value, left.rec.time) = (Some(row.0.clone()), row.1);
        // A row that is gone was there until then.
        let other = time.map(|time| (Vec::new(), time));
        let mut met = meeting(kind, Some(row.0), right.map(|r| r.0), left, other);
        // No change is refused here, but what was answered.
        met.item.rec.time = met.time;
        Some(met)
    }
}

fn alone(kind: JoinKind, mut item: Item, row: Option<(Vec<u8>, i64)>) -> Meeting {
    item.rec.value = row.as_ref().map(|row| row.0.clone());
    item.rec.time = row.as_ref().map_or(item.rec.time, |row| row.1);
    meeting(kind, item.rec.value.clone(), None, item, None)
}

impl Answers {
    /// Questions, and changes of the rows; gives the answers.
    pub fn take(&mut self, questions: Vec<Item>, changes: Vec<Item>) -> Vec<Item> {
        let mut out = Vec::new();
        for item in questions {
            let (gone, partition, mark, row) = question(&item);
            let (foreign, right) = (key(&item), self.rows.get(&key(&item)).cloned());
            if gone {
                self.asked.remove(&(foreign, row));
                continue;
            }
            self.asked.insert((foreign.clone(), row.clone()), (partition, mark));
            let (value, time) = right.unzip();
            out.push(answer(&item, (partition, mark), &foreign, row, value, time));
        }
        for item in changes {
            let (foreign, time) = (key(&item), item.rec.time);
            let right = item.rec.value.clone().map(|value| (value, time));
            match &right {
                Some(right) => drop(self.rows.insert(foreign.clone(), right.clone())),
                None => drop(self.rows.remove(&foreign)),
            }
            for ((_, row), who) in self.asked.iter().filter(|((f, _), _)| *f == foreign) {
                out.push(answer(&item, *who, &foreign, row.clone(), item.rec.value.clone(), Some(time)));
            }
        }
        out
    }
}

fn question(item: &Item) -> (bool, u32, u32, Vec<u8>) {
    let said = item.rec.value.clone().expect("a question says something");
    let mut rest = &said[2..];
    let partition = wire::take(&mut rest) as u32;
    (said[1] == 1, partition, u32::from_be_bytes(rest[..4].try_into().expect("a mark")), rest[4..].to_vec())
}

fn answer(of: &Item, who: (u32, u32), foreign: &[u8], row: Vec<u8>, right: Option<Vec<u8>>, time: Option<i64>) -> Item {
    let mut value =
        [&[1][..], &number(who.0.into()), &who.1.to_be_bytes(), &number(foreign.len() as u128), foreign].concat();
    value.push(u8::from(time.is_some()) + 2 * u8::from(right.is_some()));
    time.iter().for_each(|time| wire::put(&mut value, wire::zigzag(*time)));
    value.extend(right.unwrap_or_default());
    let rec = Rec { key: Some(row), value: Some(value), ..of.rec.clone() };
    Item { rec, derived: true, old: None, ..of.clone() }
}

/// To which partition an answer goes.
pub fn partition_of(rec: &Rec) -> u32 {
    wire::take(&mut &rec.value.as_ref().expect("an answer says something")[1..]) as u32
}
