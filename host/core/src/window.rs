//! Which windows hold a timestamp, and when a window is closed.
//!
//! Hopping windows: starts are multiples of the advance, at or above 0; `start <= t < start + size`. Tumbling is hopping
//! with `advance == size`. With grace G a window is closed when `end <= time - G`.

use crate::record::Timestamp;
use crate::time::NEVER;
use crate::topology::spec::Window;

/// Starts of the windows that hold `t` (which is not negative), earliest first.
pub fn starts(window: Window, t: Timestamp) -> Starts {
    Cursor::new(window).open(t, NEVER)
}

/// Finds the open windows of one record after the other: the next mostly falls where the last one fell.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    window: Window,
    /// Starts of the windows that hold `last..last + advance`, roughly: `first` may lie one advance too early for some.
    first: Timestamp,
    last: Timestamp,
}

/// Starts of windows, earliest first.
#[derive(Clone, Copy, Debug)]
pub struct Starts {
    next: Timestamp,
    last: Timestamp,
    step: i64,
}

impl Cursor {
    /// A cursor that has seen no record.
    pub fn new(window: Window) -> Self {
        Self { window, first: NEVER, last: NEVER }
    }

    /// Starts of the windows that hold `t` (which is not negative) and are not closed at `time`.
    #[inline]
    pub fn open(&mut self, t: Timestamp, time: Timestamp) -> Starts {
        let Window { size_ms, advance_ms, .. } = self.window;
        if self.last == NEVER || t < self.last || t - self.last >= advance_ms {
            self.last = t - t % advance_ms;
            let reach = (size_ms - 1) / advance_ms * advance_ms;
            self.first = self.last - reach.min(self.last);
        }
        let mut first = self.first;
        if t - first >= size_ms {
            first += advance_ms;
        }
        let closed = closed_starts(self.window, time);
        if closed >= first {
            first = if closed >= self.last {
                return Starts::NONE;
            } else {
                first + ((closed - first) / advance_ms + 1) * advance_ms
            };
        }
        Starts { next: first, last: self.last, step: advance_ms }
    }
}

impl Starts {
    const NONE: Self = Self { next: 1, last: 0, step: 1 };

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.next > self.last
    }
}

impl Iterator for Starts {
    type Item = Timestamp;

    #[inline]
    fn next(&mut self) -> Option<Timestamp> {
        if self.is_empty() {
            return None;
        }
        let start = self.next;
        // Behind the last start there may be no time left.
        (self.next, self.last) = if start == self.last { (1, 0) } else { (start + self.step, self.last) };
        Some(start)
    }
}

/// Whether the window that begins at `start` (which is not negative) is closed at `time`. A window that would end behind
/// the end of time never is.
#[inline]
pub fn is_closed(window: Window, start: Timestamp, time: Timestamp) -> bool {
    start <= closed_starts(window, time)
}

/// Every window with a start at or below this is closed at `time`.
#[inline]
pub fn closed_starts(window: Window, time: Timestamp) -> Timestamp {
    if time == NEVER { NEVER } else { time.saturating_sub(window.grace_ms).saturating_sub(window.size_ms) }
}

/// The end of the window that begins at `start`, exclusive; saturates at the end of time.
#[inline]
pub fn end(window: Window, start: Timestamp) -> Timestamp {
    start.saturating_add(window.size_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn window(size_ms: i64, advance_ms: i64) -> Window {
        Window { size_ms, advance_ms, grace_ms: 0 }
    }

    #[test]
    fn boundaries() {
        let tumbling = window(10, 10);
        assert_eq!(starts(tumbling, 0).collect::<Vec<_>>(), [0]);
        assert_eq!(starts(tumbling, 9).collect::<Vec<_>>(), [0]);
        assert_eq!(starts(tumbling, 10).collect::<Vec<_>>(), [10]);
        let hopping = window(10, 4);
        assert_eq!(starts(hopping, 0).collect::<Vec<_>>(), [0]);
        assert_eq!(starts(hopping, 9).collect::<Vec<_>>(), [0, 4, 8]);
        assert_eq!(starts(hopping, 10).collect::<Vec<_>>(), [4, 8]);
        assert_eq!(starts(hopping, 13).collect::<Vec<_>>(), [4, 8, 12]);
        let late = Window { grace_ms: 5, ..tumbling };
        assert!(is_closed(late, 10, 25) && !is_closed(late, 10, 24) && !is_closed(late, 0, NEVER));
        assert_eq!(end(tumbling, i64::MAX - 3), i64::MAX);
    }

    #[test]
    fn the_last_window_of_time_holds_its_records_and_never_closes() {
        let tumbling = window(10, 10);
        let last = i64::MAX - i64::MAX % 10;
        assert_eq!(starts(tumbling, i64::MAX).collect::<Vec<_>>(), [last]);
        assert!(!is_closed(tumbling, last, i64::MAX));
        assert!(is_closed(tumbling, last - 10, i64::MAX));
        assert!(!is_closed(Window { grace_ms: i64::MAX, ..tumbling }, 0, i64::MAX));
    }

    proptest! {
        #[test]
        fn starts_are_those_of_the_definition(size in 1i64..50, advance in 1i64..50, t in 0i64..500) {
            let w = window(size, advance.min(size));
            let by_definition: Vec<i64> =
                (0..=t).filter(|s| s % w.advance_ms == 0 && *s <= t && t < s + size).collect();
            prop_assert_eq!(starts(w, t).collect::<Vec<_>>(), by_definition);
        }

        #[test]
        fn a_cursor_knows_nothing_of_the_record_before(
            size in 1i64..30, advance in 1i64..30, grace in 0i64..9, records in proptest::collection::vec((0i64..99, 0i64..150), 0..20)
        ) {
            let w = Window { grace_ms: grace, ..window(size, advance.min(size)) };
            let mut cursor = Cursor::new(w);
            for (t, time) in records {
                let by_definition: Vec<i64> = starts(w, t).filter(|s| s + size > time - grace).collect();
                let open = cursor.open(t, time);
                prop_assert_eq!(open.is_empty(), by_definition.is_empty());
                prop_assert_eq!(open.collect::<Vec<_>>(), by_definition);
            }
        }
    }
}
