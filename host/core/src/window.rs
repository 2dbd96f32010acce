//! Which windows hold a timestamp, and when a window is closed.
//!
//! Windows on a grid, which do not depend on the records in them:
//! - Hopping: starts are multiples of the advance, at or above 0; `start <= t < start + size`. Tumbling is hopping with
//!   `advance == size`.
//! - Cumulating (as Flink SQL's `CUMULATE`): from each multiple of the size one window to each multiple of the step behind it.
//!
//! - Calendar: from each given boundary to the next.
//!
//! Each has a *mark*, a number that no other window of the grid has and that grows with its end: the start of a hopping
//! or calendar window, the end less a step of a cumulating one. With grace G a window is closed when `end <= time - G`.
//!
//! Sessions are made by their records; here is only when they touch and when they are closed.

use crate::calendar::Calendar;
use crate::record::Timestamp;
use crate::time::NEVER;
use crate::topology::spec::{Window, WindowForm};

/// Windows that do not depend on records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Length of the longest windows.
    size_ms: i64,
    /// Distance of marks.
    step_ms: i64,
    grace_ms: i64,
    cumulates: bool,
    /// Where it has one, sizes are not looked at.
    calendar: Option<&'static Calendar>,
}

impl Grid {
    /// The grid of windows that have one.
    pub fn of(window: Window) -> Option<Self> {
        let (size_ms, step_ms, cumulates, calendar) = match window.form {
            WindowForm::Hopping { size_ms, advance_ms } => (size_ms, advance_ms, false, None),
            WindowForm::Cumulating { size_ms, step_ms } => (size_ms, step_ms, true, None),
            WindowForm::Calendar(calendar) => (1, 1, false, Some(calendar)),
            _ => return None,
        };
        Some(Self { size_ms, step_ms, grace_ms: window.grace_ms, cumulates, calendar })
    }

    /// How many windows hold a record at the most.
    pub fn windows_per_record(self) -> i64 {
        (self.size_ms - 1) / self.step_ms + 1
    }

    /// Start, inclusive, and end, exclusive, of the window with a mark; the end saturates at the end of time.
    #[inline]
    pub fn bounds(self, mark: Timestamp) -> (Timestamp, Timestamp) {
        if let Some(calendar) = self.calendar {
            // What was stored keeps its name, should boundaries have changed since.
            return (mark, calendar.around(mark).1);
        }
        if self.cumulates {
            return (mark - mark % self.size_ms, mark.saturating_add(self.step_ms));
        }
        (mark, mark.saturating_add(self.size_ms))
    }

    /// Every window with a mark at or below this is closed at `time`. A window that would end behind the end of time never is.
    #[inline]
    pub fn closed_marks(self, time: Timestamp) -> Timestamp {
        if let Some(calendar) = self.calendar {
            let until = if time == NEVER { NEVER } else { time.saturating_sub(self.grace_ms) };
            // The window that holds this time is open, and all before it are closed.
            return if until < 0 { NEVER } else { calendar.around(until).0 - 1 };
        }
        let reach = if self.cumulates { self.step_ms } else { self.size_ms };
        if time == NEVER { NEVER } else { time.saturating_sub(self.grace_ms).saturating_sub(reach) }
    }

    /// Whether the window with this mark (which is not negative) is closed at `time`.
    #[inline]
    pub fn is_closed(self, mark: Timestamp, time: Timestamp) -> bool {
        mark <= self.closed_marks(time)
    }

    /// Marks of the windows that hold `t` (which is not negative), earliest first.
    pub fn marks(self, t: Timestamp) -> Marks {
        Cursor::new(self).open(t, NEVER)
    }

    /// First and last mark of the cumulating windows that hold `t`.
    fn cumulating(self, t: Timestamp) -> (Timestamp, Timestamp) {
        let first = t - t % self.step_ms;
        let steps = (self.size_ms - self.step_ms - first % self.size_ms) / self.step_ms;
        (first, first + steps.min((Timestamp::MAX - first) / self.step_ms) * self.step_ms)
    }
}

/// Finds the open windows of one record after the other: the next mostly falls where the last one fell.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    grid: Grid,
    /// Marks of the windows that hold `last..last + step`, roughly: `first` may lie one step too early for some.
    first: Timestamp,
    last: Timestamp,
}

/// Marks of windows, earliest first.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    next: Timestamp,
    last: Timestamp,
    step: i64,
}

impl Cursor {
    /// A cursor that has seen no record.
    pub fn new(grid: Grid) -> Self {
        Self { grid, first: NEVER, last: NEVER }
    }

    /// Marks of the windows that hold `t` (which is not negative) and are not closed at `time`.
    #[inline]
    pub fn open(&mut self, t: Timestamp, time: Timestamp) -> Marks {
        if let Some(calendar) = self.grid.calendar {
            return self.open_in(calendar, t, time);
        }
        let Grid { size_ms, step_ms, cumulates, .. } = self.grid;
        let (mut first, last) = if cumulates {
            self.grid.cumulating(t)
        } else {
            if self.last == NEVER || t < self.last || t - self.last >= step_ms {
                self.last = t - t % step_ms;
                let reach = (size_ms - 1) / step_ms * step_ms;
                self.first = self.last - reach.min(self.last);
            }
            let first = if t - self.first >= size_ms { self.first + step_ms } else { self.first };
            (first, self.last)
        };
        let closed = self.grid.closed_marks(time);
        if closed >= first {
            first = if closed >= last {
                return Marks::NONE;
            } else {
                first + ((closed - first) / step_ms + 1) * step_ms
            };
        }
        Marks { next: first, last, step: step_ms }
    }

    /// The same between given boundaries: `first` and `last` are start and end of the window found last.
    fn open_in(&mut self, calendar: &Calendar, t: Timestamp, time: Timestamp) -> Marks {
        if self.last == NEVER || t < self.first || t >= self.last {
            (self.first, self.last) = calendar.around(t);
        }
        let until = if time == NEVER { NEVER } else { time.saturating_sub(self.grid.grace_ms) };
        // One that would end behind the end of time never closes.
        if self.last <= until && self.last != Timestamp::MAX {
            return Marks::NONE;
        }
        Marks { next: self.first, last: self.first, step: 1 }
    }
}

impl Marks {
    const NONE: Self = Self { next: 1, last: 0, step: 1 };

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.next > self.last
    }
}

impl Iterator for Marks {
    type Item = Timestamp;

    #[inline]
    fn next(&mut self) -> Option<Timestamp> {
        if self.is_empty() {
            return None;
        }
        let mark = self.next;
        // Behind the last mark there may be no time left.
        (self.next, self.last) = if mark == self.last { (1, 0) } else { (mark + self.step, self.last) };
        Some(mark)
    }
}

/// When sessions touch, and when they are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    gap_ms: i64,
    grace_ms: i64,
}

impl Gap {
    /// The gap of sessions; `None` for other windows.
    pub fn of(window: Window) -> Option<Self> {
        match window.form {
            WindowForm::Session { gap_ms } => Some(Self { gap_ms, grace_ms: window.grace_ms }),
            _ => None,
        }
    }

    /// Whether a record at `t` is no further than the gap from a session.
    #[inline]
    pub fn touches(self, start: Timestamp, end: Timestamp, t: Timestamp) -> bool {
        start <= t.saturating_add(self.gap_ms) && t <= end.saturating_add(self.gap_ms)
    }

    /// A record between two times touches only what does not end before the first of these nor begin behind the second.
    pub fn around(self, first: Timestamp, last: Timestamp) -> (Timestamp, Timestamp) {
        (first.saturating_sub(self.gap_ms), last.saturating_add(self.gap_ms))
    }

    /// Every session with an end below this is closed at `time`.
    #[inline]
    pub fn closed_ends(self, time: Timestamp) -> Timestamp {
        if time == NEVER { NEVER } else { time.saturating_sub(self.grace_ms).saturating_sub(self.gap_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn grid(size_ms: i64, advance_ms: i64, grace_ms: i64) -> Grid {
        Grid::of(Window { form: WindowForm::Hopping { size_ms, advance_ms }, grace_ms }).unwrap()
    }

    fn cumulating(size_ms: i64, step_ms: i64, grace_ms: i64) -> Grid {
        Grid::of(Window { form: WindowForm::Cumulating { size_ms, step_ms }, grace_ms }).unwrap()
    }

    fn marks(grid: Grid, t: i64) -> Vec<i64> {
        grid.marks(t).collect()
    }

    #[test]
    fn boundaries() {
        let tumbling = grid(10, 10, 0);
        assert_eq!(marks(tumbling, 0), [0]);
        assert_eq!(marks(tumbling, 9), [0]);
        assert_eq!(marks(tumbling, 10), [10]);
        let hopping = grid(10, 4, 0);
        assert_eq!(marks(hopping, 0), [0]);
        assert_eq!(marks(hopping, 9), [0, 4, 8]);
        assert_eq!(marks(hopping, 10), [4, 8]);
        assert_eq!(marks(hopping, 13), [4, 8, 12]);
        let late = grid(10, 10, 5);
        assert!(late.is_closed(10, 25) && !late.is_closed(10, 24) && !late.is_closed(0, NEVER));
        assert_eq!(tumbling.bounds(i64::MAX - 3).1, i64::MAX);
    }

    #[test]
    fn cumulating_windows_begin_together_and_end_step_by_step() {
        let windows = |t| cumulating(30, 10, 0).marks(t).map(|m| cumulating(30, 10, 0).bounds(m)).collect::<Vec<_>>();
        assert_eq!(windows(0), [(0, 10), (0, 20), (0, 30)]);
        assert_eq!(windows(19), [(0, 20), (0, 30)]);
        assert_eq!(windows(29), [(0, 30)]);
        assert_eq!(windows(30), [(30, 40), (30, 50), (30, 60)]);
        let late = cumulating(30, 10, 5);
        assert!(late.is_closed(10, 25) && !late.is_closed(10, 24));
        assert_eq!(Cursor::new(late).open(3, 15).collect::<Vec<_>>(), [10, 20]);
    }

    #[test]
    fn the_last_window_of_time_holds_its_records_and_never_closes() {
        let tumbling = grid(10, 10, 0);
        let last = i64::MAX - i64::MAX % 10;
        assert_eq!(marks(tumbling, i64::MAX), [last]);
        assert!(!tumbling.is_closed(last, i64::MAX));
        assert!(tumbling.is_closed(last - 10, i64::MAX));
        assert!(!grid(10, 10, i64::MAX).is_closed(0, i64::MAX));
        let cumulating = cumulating(30, 10, 0);
        assert_eq!(marks(cumulating, i64::MAX), [last], "those that would end later have no mark left");
        assert!(!cumulating.is_closed(last, i64::MAX));
    }

    fn calendar(starts: &[i64], then_ms: i64, grace_ms: i64) -> Grid {
        let calendar = Calendar::new("test".into(), starts.to_vec(), then_ms).unwrap();
        Grid::of(Window { form: WindowForm::Calendar(calendar), grace_ms }).unwrap()
    }

    #[test]
    fn calendar_windows_close_at_the_next_boundary_and_the_last_of_time_never() {
        let grid = calendar(&[0, 5, 12], 10, 3);
        assert_eq!((marks(grid, 4), marks(grid, 5), marks(grid, 30)), (vec![0], vec![5], vec![22]));
        assert_eq!((grid.bounds(5), grid.bounds(22), grid.windows_per_record()), ((5, 12), (22, 32), 1));
        assert!(grid.is_closed(0, 8) && !grid.is_closed(0, 7) && !grid.is_closed(5, 14) && grid.is_closed(5, 15));
        assert!(!grid.is_closed(0, NEVER) && !grid.is_closed(0, 2));
        let last = marks(grid, i64::MAX)[0];
        assert!(!grid.is_closed(last, i64::MAX) && grid.is_closed(last - 10, i64::MAX));
        assert_eq!(Cursor::new(calendar(&[0], 10, 0)).open(i64::MAX, i64::MAX).count(), 1);
    }

    #[test]
    fn sessions_touch_at_the_gap_and_close_behind_it() {
        let gap = Gap::of(Window { form: WindowForm::Session { gap_ms: 5 }, grace_ms: 2 }).unwrap();
        assert!(gap.touches(10, 20, 5) && gap.touches(10, 20, 25) && gap.touches(10, 20, 15));
        assert!(!gap.touches(10, 20, 4) && !gap.touches(10, 20, 26));
        assert!(gap.touches(0, i64::MAX, i64::MAX) && gap.touches(i64::MAX, i64::MAX, i64::MAX));
        assert_eq!((gap.closed_ends(27), gap.closed_ends(NEVER)), (20, NEVER));
    }

    proptest! {
        #[test]
        fn marks_are_those_of_the_definition(size in 1i64..50, advance in 1i64..50, t in 0i64..500) {
            let advance = advance.min(size);
            let by_definition: Vec<i64> =
                (0..=t).filter(|s| s % advance == 0 && *s <= t && t < s + size).collect();
            prop_assert_eq!(marks(grid(size, advance, 0), t), by_definition);
        }

        #[test]
        fn cumulating_windows_are_those_of_the_definition(step in 1i64..20, steps in 1i64..8, t in 0i64..500) {
            let grid = cumulating(step * steps, step, 0);
            let base = t / (step * steps) * (step * steps);
            let by_definition: Vec<_> =
                (1..=steps).map(|k| (base, base + k * step)).filter(|(_, end)| t < *end).collect();
            prop_assert_eq!(grid.marks(t).map(|m| grid.bounds(m)).collect::<Vec<_>>(), by_definition);
            prop_assert!(grid.marks(t).count() as i64 <= grid.windows_per_record());
        }

        #[test]
        fn a_cursor_knows_nothing_of_the_record_before(
            step in 1i64..30, size in 1i64..30, cumulates: bool, of_calendar: bool, grace in 0i64..9,
            records in proptest::collection::vec((0i64..99, 0i64..150), 0..20)
        ) {
            let grid = if of_calendar { calendar(&[0, step, step + size], size, grace) } else if cumulates { cumulating(step * (size % 5 + 1), step, grace) } else { grid(size, step.min(size), grace) };
            let mut cursor = Cursor::new(grid);
            for (t, time) in records {
                let by_definition: Vec<i64> = grid.marks(t).filter(|m| grid.bounds(*m).1 > time - grace).collect();
                let open = cursor.open(t, time);
                prop_assert_eq!(open.is_empty(), by_definition.is_empty());
                prop_assert_eq!(open.collect::<Vec<_>>(), by_definition);
            }
        }
    }
}
