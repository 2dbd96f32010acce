//! Stream time and closing time.
//!
//! *Stream time* is the largest timestamp seen; it never goes back. Behind a repartition topic there are as many stream
//! times as upstream tasks: a record is late by its own upstream task's, and windows close by the smallest, the *closing
//! time*. An upstream task that is idle does not hold windows open; one never heard of does.

use alloc::vec;
use alloc::vec::Vec;

use crate::record::Timestamp;

/// Wall time in its two uses: how much of it has passed, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds that have passed here, also when somebody turns the clock back: what is waited for goes by it.
    pub passed_ms: i64,
    /// The wall clock: what others compare timestamps with.
    pub wall: Timestamp,
    /// As `passed_ms`: what was told of the ends of partitions before says nothing any more.
    pub ends_since: i64,
}

/// Before any record: smaller than every timestamp.
pub const NEVER: Timestamp = Timestamp::MIN;

/// What is known of one upstream task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its stream time; [`NEVER`] before any record of it.
    pub time: Timestamp,
    /// It said that it no longer holds windows open.
    pub idle: bool,
}

/// The upstream tasks that feed one operator or several, and their closing time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    slots: Vec<Upstream>,
    closing: Timestamp,
}

impl Clock {
    /// A clock of so many upstream tasks, none heard of yet.
    pub fn new(upstreams: usize) -> Self {
        Self { slots: vec![Upstream { time: NEVER, idle: false }; upstreams], closing: NEVER }
    }

    /// Closing time: [`NEVER`] until every upstream task was heard of. Never goes back.
    pub fn closing(&self) -> Timestamp {
        self.closing
    }

    /// Stream time of one upstream task.
    pub fn time(&self, slot: usize) -> Timestamp {
        self.slots[slot].time
    }

    /// A record of an upstream task, whose stream time is `time` with it. Wakes the task when it was idle.
    #[inline]
    pub fn advance(&mut self, slot: usize, time: Timestamp) {
        self.set(slot, time, false);
    }

    /// A marker of an upstream task.
    pub fn marker(&mut self, slot: usize, time: Option<Timestamp>, idle: bool) {
        self.set(slot, time.unwrap_or(NEVER), idle);
    }

    #[inline]
    fn set(&mut self, slot: usize, time: Timestamp, idle: bool) {
        let held = &mut self.slots[slot];
        let holds_back = held.time <= self.closing || held.idle != idle || self.slots.len() == 1;
        let held = &mut self.slots[slot];
        held.idle = idle;
        if time > held.time {
            held.time = time;
        }
        // Only the one that holds closing time back can move it.
        if holds_back {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let awake = self.slots.iter().filter(|s| !s.idle).map(|s| s.time).min();
        let time = awake.or_else(|| self.slots.iter().map(|s| s.time).max()).unwrap_or(NEVER);
        self.closing = self.closing.max(time);
    }

    /// A clock as metadata kept it.
    pub fn restore(slots: Vec<Upstream>, closing: Timestamp) -> Self {
        Self { slots, closing }
    }

    /// What is known of the upstream tasks.
    pub fn slots(&self) -> &[Upstream] {
        &self.slots
    }

    /// Sets one upstream task and closing time back to what they were: a record that was refused has not come.
    pub fn take_back(&mut self, slot: usize, held: Upstream, closing: Timestamp) {
        (self.slots[slot], self.closing) = (held, closing);
    }

    /// How many upstream tasks it knows.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_is_the_smallest_and_waits_for_all() {
        let mut clock = Clock::new(3);
        clock.advance(0, 10);
        clock.advance(1, 20);
        assert_eq!(clock.closing(), NEVER, "a task never heard of holds windows open");
        clock.advance(2, 5);
        assert_eq!(clock.closing(), 5);
        clock.advance(2, 15);
        assert_eq!(clock.closing(), 10);
        clock.advance(1, 30);
        assert_eq!(clock.closing(), 10);
        clock.advance(0, 7);
        assert_eq!((clock.time(0), clock.closing()), (10, 10), "time never goes back");
    }

    #[test]
    fn an_idle_task_holds_nothing_open_and_wakes_with_a_record() {
        let mut clock = Clock::new(2);
        clock.advance(0, 100);
        clock.marker(1, None, true);
        assert_eq!(clock.closing(), 100);
        clock.advance(1, 50);
        assert_eq!(clock.closing(), 100, "closing time never goes back");
        clock.advance(0, 200);
        assert_eq!(clock.closing(), 100, "the woken task holds windows open again");
        clock.marker(1, Some(50), true);
        clock.marker(0, Some(200), true);
        assert_eq!(clock.closing(), 200, "all idle: the largest");
    }

    #[test]
    fn what_is_taken_back_has_not_come() {
        let mut clock = Clock::new(2);
        clock.advance(0, 100);
        clock.advance(1, 50);
        let (held, closing) = (clock.slots()[1], clock.closing());
        clock.advance(1, 70);
        clock.take_back(1, held, closing);
        assert_eq!((clock.time(1), clock.closing()), (50, 50));
    }
}
