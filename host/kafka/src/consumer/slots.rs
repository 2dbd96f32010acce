//! The partitions of one reader: where each stands, what has come in of it, whether it is paused. Messages are sorted into
//! columns here; nothing here calls the client.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;

use super::context::typed;
use super::native::{Headers, Message};
use crate::fetch::{Columns, Fetched, Problem, TopicPartition};

/// A partition as its reader knows it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub partition: Arc<TopicPartition>,
    pub tag: usize,
    /// Where what is handed out next begins.
    from: i64,
    /// Offset of the record that comes next, or a smaller one.
    next: i64,
    /// Nothing is wanted from here on.
    limit: i64,
    columns: Columns,
    /// A message came in since the last [`Slots::finish`].
    touched: bool,
    /// The end that came in behind all records, where the client was asked to tell of ends.
    eof: Option<i64>,
    /// Something went wrong: the client's position may be wrong and is to be set to `next`.
    suspect: bool,
    /// Whether it was at its end when that was told last.
    at_end: Option<bool>,
    paused: bool,
    /// Bytes that wait for the worker, as it said last.
    waiting_bytes: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    /// Slot of a message's [`Message::place`], for as long as the slots stay the same.
    known: HashMap<(usize, i32), usize>,
    last: Option<((usize, i32), usize)>,
    problems: Vec<(Arc<TopicPartition>, Problem)>,
}

/// Partitions to stop fetching, to start fetching, and to fetch from an offset on.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub pause: Vec<Arc<TopicPartition>>,
    pub resume: Vec<Arc<TopicPartition>>,
    pub seek: Vec<(Arc<TopicPartition>, i64)>,
}

impl Turns {
    pub fn is_empty(&self) -> bool {
        self.pause.is_empty() && self.resume.is_empty() && self.seek.is_empty()
    }
}

impl Slots {
    /// Takes on a partition that is read from `start` on, up to `limit`.
    pub fn add(&mut self, partition: Arc<TopicPartition>, tag: usize, start: i64, limit: i64) {
        self.forget();
        self.slots.push(Slot {
            partition,
            tag,
            from: start,
            next: start,
            limit,
            columns: Columns::default(),
            touched: false,
            eof: None,
            suspect: false,
            at_end: None,
            paused: false,
            waiting_bytes: 0,
        });
    }

    /// A partition is read on from `to`: anew under another tag, or, without one, past what was left out.
    pub fn moved(&mut self, partition: &TopicPartition, to: i64, tag: Option<usize>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| *slot.partition == *partition) else { return };
        if let Some(tag) = tag {
            slot.columns = Columns::default();
            (slot.tag, slot.from, slot.touched, slot.eof, slot.at_end) = (tag, to, false, None, None);
        } else {
            slot.touched = true;
        }
        slot.next = to;
    }

    /// Lets partitions go.
    pub fn remove(&mut self, gone: impl Fn(&TopicPartition) -> bool) {
        self.forget();
        self.slots.retain(|slot| !gone(&slot.partition));
    }

    /// The client may use the place in memory of a topic for another one.
    fn forget(&mut self) {
        self.known.clear();
        self.last = None;
    }

    /// Its partitions.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// Takes in a message.
    #[inline]
    pub fn take(&mut self, message: Message<'_>) {
        let place = message.place();
        let index = match self.last {
            Some((last, index)) if last == place => index,
            _ => match self.find(place, message) {
                Some(index) => index,
                None => return Self::stray(message),
            },
        };
        let slot = &mut self.slots[index];
        if let Some(code) = message.error() {
            return self.failed(index, code, message);
        }
        let offset = message.offset();
        // Pausing inside of the client (while the group rebalances) can make it fetch the same again.
        if offset < slot.next {
            return;
        }
        (slot.next, slot.touched, slot.eof) = (offset + 1, true, None);
        if offset >= slot.limit {
            return;
        }
        let (key, value, timestamp) = (message.key(), message.value(), message.timestamp());
        let headers = message.headers();
        if names_are_text(headers.clone()) {
            slot.columns.push(offset, key, value, timestamp, headers);
        } else {
            // Names are text everywhere behind here; a producer that sends something else gets it replaced.
            let text: Vec<_> =
                headers.map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value)).collect();
            let headers = text.iter().map(|(name, value)| (name.as_bytes(), *value));
            slot.columns.push(offset, key, value, timestamp, headers);
        }
    }

    #[cold]
    fn find(&mut self, place: (usize, i32), message: Message<'_>) -> Option<usize> {
        let here = |slot: &Slot| slot.partition.partition == place.1 && *slot.partition.topic == *message.topic();
        let index = match self.known.get(&place) {
            Some(index) => *index,
            None => self.slots.iter().position(here)?,
        };
        self.known.insert(place, index);
        self.last = Some((place, index));
        Some(index)
    }

    #[cold]
    fn stray(message: Message<'_>) {
        if let Some(code) = message.error().filter(|code| *code != RDKafkaErrorCode::PartitionEOF) {
            tracing::debug!("{}/{}: {code}", message.topic(), message.place().1);
        }
    }

    #[cold]
    fn failed(&mut self, index: usize, code: RDKafkaErrorCode, message: Message<'_>) {
        let slot = &mut self.slots[index];
        let problem = match code {
            RDKafkaErrorCode::PartitionEOF => {
                let end = message.offset();
                // Of an earlier fetch, where it is below what has come in since.
                if end >= slot.next {
                    (slot.next, slot.touched, slot.eof) = (end, true, Some(end));
                }
                return;
            }
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                Problem::OffsetGone { asked: slot.next, start: None, end: None }
            }
            code => {
                slot.suspect = true;
                Problem::Failed(typed(code, &message.error_text()))
            }
        };
        self.problems.push((slot.partition.clone(), problem));
    }

    /// Takes all as touched: their positions may have moved over control records, which do not come in.
    pub fn touch(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.touched = true);
    }

    /// Partitions of which something came in.
    pub fn touched(&self) -> Vec<&TopicPartition> {
        self.slots.iter().filter(|s| s.touched).map(|s| &*s.partition).collect()
    }

    /// Takes out what is new. `seen`: for each of [`Slots::touched`] the client's position and the high watermark.
    pub fn finish(&mut self, seen: &[(Option<i64>, Option<i64>)]) -> Vec<Fetched> {
        let touched = self.slots.iter_mut().filter(|s| s.touched);
        touched.zip(seen).filter_map(|(slot, (position, high))| slot.finish(*position, *high)).collect()
    }

    /// Takes out what went wrong.
    pub fn problems(&mut self) -> Vec<(Arc<TopicPartition>, Problem)> {
        std::mem::take(&mut self.problems)
    }

    /// Bytes of a partition that wait for the worker.
    pub fn waiting(&mut self, tag: usize, bytes: usize) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.tag == tag) {
            slot.waiting_bytes = bytes;
        }
    }

    /// Which partitions to stop and to start fetching: stopped when `max` bytes wait, started again when half of that
    /// does; and which to set to where they should be.
    pub fn turns(&self, max: usize) -> Turns {
        let of = |f: &dyn Fn(&Slot) -> bool| self.slots.iter().filter(|s| f(s)).map(|s| s.partition.clone()).collect();
        Turns {
            pause: of(&|s| !s.paused && s.waiting_bytes >= max),
            resume: of(&|s| s.paused && s.waiting_bytes <= max / 2),
            seek: self.slots.iter().filter(|s| s.suspect).map(|s| (s.partition.clone(), s.next)).collect(),
        }
    }

    /// What [`Slots::turns`] wanted has happened.
    pub fn turned(&mut self, turns: &Turns) {
        for slot in &mut self.slots {
            if turns.pause.contains(&slot.partition) {
                slot.paused = true;
            } else if turns.resume.contains(&slot.partition) {
                slot.paused = false;
            }
            if turns.seek.iter().any(|(p, _)| *p == slot.partition) {
                slot.suspect = false;
            }
        }
    }
}

impl Slot {
    /// Whether fetching is stopped.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    fn finish(&mut self, position: Option<i64>, high: Option<i64>) -> Option<Fetched> {
        self.touched = false;
        // A batch call that hands out an error counts its offset as that of a record: one too many behind an end, and anything
        // behind a failure.
        let position = position.filter(|at| !self.suspect && self.eof != Some(at - 1));
        self.next = self.next.max(position.unwrap_or(0)).min(self.limit);
        // Before the first answer to a fetch nobody knows of an end: to say that this is none would promise a record that may never be.
        if high.is_none() && self.eof.is_none() && self.from == self.next {
            return None;
        }
        let at_end = self.eof == Some(self.next) || high.is_some_and(|high| self.next >= high);
        let from = std::mem::replace(&mut self.from, self.next);
        if from == self.next && self.at_end.replace(at_end) == Some(at_end) {
            return None;
        }
        self.at_end = Some(at_end);
        let (offsets, batch) = self.columns.take();
        Some(Fetched {
            partition: self.partition.clone(),
            tag: self.tag,
            from,
            next: self.next,
            offsets,
            batch,
            at_end,
        })
    }
}

fn names_are_text(mut headers: Headers<'_>) -> bool {
    headers.all(|(name, _)| std::str::from_utf8(name).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_of_an_end_before_the_brokers_have() {
        let mut slots = Slots::default();
        slots.add(Arc::new(TopicPartition::new("in", 0)), 7, 5, i64::MAX);
        let mut look = |seen| {
            slots.touch();
            slots.finish(&[seen]).iter().map(|fetched| (fetched.tag, fetched.next, fetched.at_end)).collect::<Vec<_>>()
        };
        assert_eq!(look((None, None)), []);
        assert_eq!(look((None, Some(5))), [(7, 5, true)]);
        assert_eq!(look((None, Some(5))), [], "once is enough");
        assert_eq!(look((None, Some(6))), [(7, 5, false)], "there is more");
        assert_eq!(look((Some(6), Some(6))), [(7, 6, true)], "a control record");
    }
}
