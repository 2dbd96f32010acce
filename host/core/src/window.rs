//! Which windows hold a timestamp, and when a window is closed.
//!
//! Hopping windows: starts are multiples of the advance, at or above 0; `start <= t < start + size`. Tumbling is hopping
//! with `advance == size`. With grace G a window is closed when `end <= time - G`.

use crate::record::Timestamp;
use crate::time::NEVER;
use crate::topology::spec::Window;

/// Starts of the windows that hold `t` (which is not negative), earliest first.
#[inline]
pub fn starts(window: Window, t: Timestamp) -> impl Iterator<Item = Timestamp> {
    let last = t - t % window.advance_ms;
    let reach = (window.size_ms - 1) / window.advance_ms * window.advance_ms;
    let mut first = last - reach.min(last);
    if first + window.size_ms <= t {
        first += window.advance_ms;
    }
    let step = window.advance_ms;
    (0..=(last - first) / step).map(move |k| first + k * step)
}

/// Every window with an end at or below this is closed at `time`.
#[inline]
pub fn closed_until(window: Window, time: Timestamp) -> Timestamp {
    if time == NEVER { NEVER } else { time.saturating_sub(window.grace_ms) }
}

/// The end of the window that begins at `start`; saturates at the end of time, and such a window never closes.
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
        assert_eq!(closed_until(Window { grace_ms: 5, ..tumbling }, 20), 15);
        assert_eq!(closed_until(tumbling, NEVER), NEVER);
        assert_eq!(end(tumbling, i64::MAX - 3), i64::MAX);
    }

    proptest! {
        #[test]
        fn starts_are_those_of_the_definition(size in 1i64..50, advance in 1i64..50, t in 0i64..500) {
            let w = window(size, advance.min(size));
            let by_definition: Vec<i64> =
                (0..=t).filter(|s| s % w.advance_ms == 0 && *s <= t && t < s + size).collect();
            prop_assert_eq!(starts(w, t).collect::<Vec<_>>(), by_definition);
        }
    }
}
