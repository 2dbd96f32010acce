//! Windows between boundaries that somebody else has worked out: days, weeks and months of a time zone. What a zone is, and when its
//! clocks change, is not known here: a calendar is a list of times.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::record::Timestamp;

/// Windows side by side, each from one boundary to the next. Made once for a pipeline, and kept for as long as the program lives, so
/// that a window that has one is a plain value.
#[derive(Clone, PartialEq, Eq)]
pub struct Calendar {
    name: String,
    /// Ascending; the first is 0.
    starts: Vec<Timestamp>,
    /// Length of the windows from the last boundary on, milliseconds.
    then_ms: i64,
}

/// The name says it; boundaries are very many.
impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calendar({})", self.name)
    }
}

impl Calendar {
    /// A calendar for the rest of the program's life. `name` is for people: `day in Europe/Berlin`. `starts`: first milliseconds of
    /// windows, ascending, the first of them 0; `then_ms`: how long windows are from the last of them on, at least 1. `None` where
    /// they are not so.
    pub fn new(name: String, starts: Vec<Timestamp>, then_ms: i64) -> Option<&'static Self> {
        let ascending = starts.windows(2).all(|pair| pair[0] < pair[1]);
        let good = ascending && starts.first() == Some(&0) && then_ms >= 1;
        good.then(|| &*Box::leak(Box::new(Self { name, starts, then_ms })))
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Boundaries, and the length of windows behind the last.
    pub fn boundaries(&self) -> (&[Timestamp], i64) {
        (&self.starts, self.then_ms)
    }

    /// Start, inclusive, and end, exclusive, of the window that holds `t` (which is not negative); the end saturates at the end of time.
    #[inline]
    pub fn around(&self, t: Timestamp) -> (Timestamp, Timestamp) {
        let behind = self.starts.partition_point(|start| *start <= t);
        let start = self.starts[behind.saturating_sub(1)];
        match self.starts.get(behind) {
            Some(end) => (start, *end),
            None => {
                let start = start + (t - start) / self.then_ms * self.then_ms;
                (start, start.saturating_add(self.then_ms))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn calendar(starts: Vec<Timestamp>, then_ms: i64) -> Option<&'static Calendar> {
        Calendar::new("test".into(), starts, then_ms)
    }

    #[test]
    fn only_ascending_boundaries_from_the_beginning_of_time_are_a_calendar() {
        assert!(calendar(vec![0], 1).is_some() && calendar(vec![0, 5], 1).is_some());
        for starts in [vec![], vec![1], vec![-1, 0], vec![0, 5, 5], vec![0, 5, 4]] {
            assert_eq!(calendar(starts.clone(), 1), None, "{starts:?}");
        }
        assert_eq!(calendar(vec![0, 5], 0), None);
    }

    #[test]
    fn behind_the_last_boundary_windows_go_on_to_the_end_of_time() {
        let calendar = calendar(vec![0, 5, 12], 10).unwrap();
        assert_eq!([0, 4, 5, 11].map(|t| calendar.around(t)), [(0, 5), (0, 5), (5, 12), (5, 12)]);
        assert_eq!([12, 21, 22].map(|t| calendar.around(t)), [(12, 22), (12, 22), (22, 32)]);
        let (start, end) = calendar.around(i64::MAX);
        assert!((start - 12) % 10 == 0 && i64::MAX - start < 10 && end == i64::MAX);
    }

    proptest! {
        #[test]
        fn each_time_is_in_one_window(gaps in proptest::collection::vec(1i64..9, 0..9), then_ms in 1i64..9, t in 0i64..120) {
            let starts: Vec<i64> = core::iter::once(0).chain(gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) })).collect();
            let calendar = calendar(starts.clone(), then_ms).unwrap();
            let (start, end) = calendar.around(t);
            prop_assert!(start <= t && t < end);
            prop_assert_eq!((calendar.around(start), calendar.around(end - 1)), ((start, end), (start, end)));
            let known = starts.contains(&start) && (starts.contains(&end) || start == starts[starts.len() - 1]);
            prop_assert!(known || start > starts[starts.len() - 1]);
        }
    }
}
