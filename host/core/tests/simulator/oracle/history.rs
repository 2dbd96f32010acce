//! The oracle's tables with history, and the records that wait for them: everything that ever came is kept in a list, and looked through.

use super::fold::Clock;
use super::{Item, NEVER, Row};

/// What moves time, and where it is.
#[derive(Clone, Debug)]
pub struct Time {
    /// The upstream tasks it goes by; none: by what it has seen.
    pub clock: Option<Clock>,
    observed: i64,
}

impl Time {
    pub fn new(clock: Option<Clock>) -> Self {
        Self { clock, observed: NEVER }
    }

    pub fn closing(&self) -> i64 {
        self.clock.as_ref().map_or(self.observed, Clock::closing)
    }

    /// A record comes; gives the time of its own task with it.
    fn own(&mut self, time: i64, row: Option<&Row>) -> i64 {
        match &mut self.clock {
            Some(clock) => clock.own(time, row),
            None => {
                self.observed = self.observed.max(time);
                self.observed
            }
        }
    }
}

/// Whether `time` is further before `now` than so many milliseconds.
fn is_before(time: i64, now: i64, ms: i64) -> bool {
    now != NEVER && i128::from(time) < i128::from(now) - i128::from(ms)
}

#[derive(Clone, Debug)]
pub struct Versions {
    history_ms: i64,
    pub time: Time,
    /// All that was ever put, in order of arrival.
    put: Vec<Item>,
}

impl Versions {
    pub fn new(history_ms: i64, clock: Option<Clock>) -> Self {
        Self { history_ms, time: Time::new(clock), put: Vec::new() }
    }

    /// The last of those that began last, of those that began at a time or before.
    fn at(&self, item: &Item, time: i64) -> Option<&Item> {
        let same = |put: &&Item| put.window == item.window && put.rec.key == item.rec.key && put.rec.time <= time;
        self.put.iter().filter(same).max_by_key(|put| put.rec.time)
    }

    /// Puts a version; says why it is too old.
    pub fn put(&mut self, item: Item, row: Option<&Row>) -> Result<Item, &'static str> {
        let time = item.rec.time;
        let own = self.time.own(time, row);
        for (now, reason) in [(own, "late"), (self.time.closing(), "late-after-idle")] {
            if is_before(time, now, self.history_ms) {
                return Err(reason);
            }
        }
        let (behind, old) = match self.at(&item, i64::MAX) {
            None => (false, None),
            Some(latest) => (latest.rec.time > time, latest.rec.value.clone().map(|value| (value, latest.rec.time))),
        };
        self.put.push(item.clone());
        Ok(Item { old, behind, ..item })
    }

    /// What the row of a record's key was at the record's time.
    pub fn as_of(&self, item: &Item) -> Option<Vec<u8>> {
        let forgotten = is_before(item.rec.time, self.time.closing(), self.history_ms);
        let found = self.at(item, if forgotten { i64::MAX } else { item.rec.time })?;
        found.rec.value.clone().filter(|_| found.rec.time <= item.rec.time)
    }
}

#[derive(Clone, Debug)]
pub struct Waiting {
    grace_ms: i64,
    pub time: Time,
    waiting: Vec<Item>,
}

impl Waiting {
    pub fn new(grace_ms: i64, clock: Option<Clock>) -> Self {
        Self { grace_ms, time: Time::new(clock), waiting: Vec::new() }
    }

    pub fn holds(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn is_due(&self, item: &Item) -> bool {
        let now = self.time.closing();
        now != NEVER && i128::from(item.rec.time) <= i128::from(now) - i128::from(self.grace_ms)
    }

    /// Those that wait no longer, in their order.
    pub fn due(&mut self) -> Vec<Item> {
        let (mut due, waiting): (Vec<Item>, Vec<Item>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|item| self.is_due(item));
        self.waiting = waiting;
        due.sort_by_key(|item| (item.rec.time, item.window, item.rec.key.clone()));
        due.into_iter().map(|item| Item { derived: true, ..item }).collect()
    }

    /// Takes a record in; gives those that are joined now.
    pub fn take(&mut self, item: Item, row: Option<&Row>) -> Vec<Item> {
        self.time.own(item.rec.time, row);
        let mut now = self.due();
        if item.rec.key.is_none() || self.is_due(&item) {
            now.push(item);
        } else {
            self.waiting.push(item);
        }
        now
    }
}
