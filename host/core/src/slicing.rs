//! Windows that are put together from slices: a slice holds what the records of a key within one unit of time come to, and a window
//! is its slices merged. So a record is folded once, however many windows hold it.
//!
//! - Sliding windows with a difference d (as Kafka Streams' `SlidingWindows`): for each record's time `t` one that ends there,
//!   `[t - d, t]`, and one that begins behind it, `[t + 1, t + 1 + d]`, both ends inclusive and each only where it holds a record.
//!   Records with `t < d` share `[0, d]`. Every timestamp is a slice.
//! - Hopping windows in panes: as [`crate::window::Grid`] has them. A slice is a pane, as long as the greatest common divisor of
//!   size and advance (Li et al., "No pane, no gain", 2005).
//!
//! A window has a *mark*, which grows with its end: the end of a sliding window, the start of a hopping one. With grace G a sliding
//! window is closed when `end < time - G`, a hopping one when `end <= time - G`. A record is late when every window that could
//! hold it is closed, whether one is there or not.

use crate::record::Timestamp;
use crate::search::{from_back, from_front};
use crate::time::NEVER;
use crate::topology::spec::{Window, WindowForm};
use crate::window::Gap;

/// How time is cut into slices, and which windows are made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slicing {
    form: Form,
    grace_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Sliding { difference_ms: i64 },
    Panes { size_ms: i64, advance_ms: i64, pane_ms: i64 },
}

impl Slicing {
    /// The slices of windows that are put together from such.
    pub fn of(window: Window) -> Option<Self> {
        let form = match window.form {
            WindowForm::Sliding { difference_ms } => Form::Sliding { difference_ms },
            WindowForm::Panes { size_ms, advance_ms } => {
                Form::Panes { size_ms, advance_ms, pane_ms: common_divisor(size_ms, advance_ms) }
            }
            _ => return None,
        };
        Some(Self { form, grace_ms: window.grace_ms })
    }

    /// The slice of a record at `t` (which is not negative), by its first timestamp.
    #[inline]
    pub fn slice(self, t: Timestamp) -> Timestamp {
        match self.form {
            Form::Sliding { .. } => t,
            Form::Panes { pane_ms, .. } => t - t % pane_ms,
        }
    }

    /// Whether there is a window at each step for as long as there is a slice.
    pub fn is_dense(self) -> bool {
        matches!(self.form, Form::Panes { .. })
    }

    /// Start and end of the window with a mark, as its name has them.
    pub fn bounds(self, mark: Timestamp) -> (Timestamp, Timestamp) {
        match self.form {
            Form::Sliding { difference_ms } => (mark - difference_ms, mark),
            Form::Panes { size_ms, .. } => (mark, mark.saturating_add(size_ms)),
        }
    }

    /// First and last timestamp that the window with a mark holds.
    pub fn span(self, mark: Timestamp) -> (Timestamp, Timestamp) {
        match self.form {
            Form::Sliding { difference_ms } => (mark - difference_ms, mark),
            Form::Panes { size_ms, .. } => (mark, mark.saturating_add(size_ms - 1)),
        }
    }

    /// The least mark that a window can have which starts at `start` or later.
    pub fn mark_from(self, start: Timestamp) -> Timestamp {
        match self.form {
            Form::Sliding { difference_ms } => start.saturating_add(difference_ms),
            Form::Panes { .. } => start,
        }
    }

    /// Every window with a mark below this is closed at `time`.
    #[inline]
    pub fn closed_below(self, time: Timestamp) -> Timestamp {
        let closed = time.saturating_sub(self.grace_ms);
        match self.form {
            _ if time == NEVER => NEVER,
            Form::Sliding { .. } => closed,
            Form::Panes { size_ms, .. } => closed.saturating_sub(size_ms - 1),
        }
    }

    /// The first mark that a window can have which holds `t`.
    #[inline]
    pub fn first_mark(self, t: Timestamp) -> Timestamp {
        match self.form {
            Form::Sliding { difference_ms } => t.max(difference_ms),
            Form::Panes { size_ms, .. } if t < size_ms => 0,
            Form::Panes { size_ms, advance_ms, .. } => ((t - size_ms) / advance_ms + 1) * advance_ms,
        }
    }

    /// The last mark that a window can have which holds `t`.
    #[inline]
    pub fn last_mark(self, t: Timestamp) -> Timestamp {
        match self.form {
            Form::Sliding { difference_ms } => t.saturating_add(difference_ms),
            Form::Panes { advance_ms, .. } => t - t % advance_ms,
        }
    }

    /// Every record below this is late at `time`.
    #[inline]
    pub fn late_below(self, time: Timestamp) -> Timestamp {
        let closed = self.closed_below(time);
        match self.form {
            _ if time == NEVER => NEVER,
            Form::Sliding { difference_ms } => closed.saturating_sub(difference_ms),
            Form::Panes { .. } if closed < 1 => NEVER,
            Form::Panes { advance_ms, .. } => ((closed - 1) / advance_ms * advance_ms).saturating_add(advance_ms),
        }
    }

    /// No window needs a slice below this, once those that are closed at `time` are out.
    pub fn needed_from(self, time: Timestamp) -> Timestamp {
        match self.form {
            // Behind the slice a window begins that closes one later than the last that holds it.
            Form::Sliding { .. } => self.late_below(time).saturating_sub(1),
            Form::Panes { .. } => self.late_below(time),
        }
    }

    /// Whether a record at `t` could be in a window that was open at `before` and is closed `now`.
    #[inline]
    pub fn may_miss(self, t: Timestamp, before: Timestamp, now: Timestamp) -> bool {
        let closed = self.closed_below(now);
        self.first_mark(t) < closed && closed > self.closed_below(before)
    }

    /// The window with the least mark at or above `from`, of a key whose slices these are, in order.
    pub fn next<S>(self, slices: &[S], time: impl Fn(&S) -> Timestamp, from: Timestamp) -> Option<Timestamp> {
        let at_or_above = |t: Timestamp| slices[from_front(slices, |s| time(s) < t)..].first().map(&time);
        match self.form {
            Form::Sliding { difference_ms: d } => {
                let ending = match slices.first() {
                    Some(first) if time(first) <= d && from <= d => Some(d),
                    _ => at_or_above(from.max(d)),
                };
                let limit = ending.unwrap_or(Timestamp::MAX);
                let behind = from_front(slices, |s| time(s) < from.saturating_sub(d).saturating_sub(1));
                let pairs = slices[behind..].windows(2).map(|pair| (mark_behind(time(&pair[0]), d), time(&pair[1])));
                let mut open = pairs.take_while(|(mark, _)| mark.is_some_and(|mark| mark < limit));
                let beginning = open.find_map(|(mark, next)| mark.filter(|mark| next <= *mark));
                beginning.or(ending)
            }
            Form::Panes { size_ms, advance_ms, .. } => {
                let first = if from <= 0 { 0 } else { (from - 1) / advance_ms * advance_ms };
                let first = if from <= 0 { 0 } else { first.checked_add(advance_ms)? };
                let t = at_or_above(first)?;
                Some(if t - first < size_ms { first } else { self.first_mark(t) })
            }
        }
    }

    /// Marks at or above `from` of the windows that a slice's change is a change of; `new`: the slice was not there before, which
    /// makes a window behind it, too.
    pub fn changed<S>(
        self,
        slices: &[S],
        time: impl Fn(&S) -> Timestamp + Copy,
        (slice, new): (Timestamp, bool),
        from: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        let last = self.last_mark(slice);
        let mut next = self.next(slices, time, self.first_mark(slice).max(from));
        let holding = core::iter::from_fn(move || {
            let mark = next.filter(|mark| *mark <= last)?;
            next = mark.checked_add(1).and_then(|from| self.next(slices, time, from));
            Some(mark)
        });
        let behind = match self.form {
            Form::Sliding { difference_ms } if new => mark_behind(slice, difference_ms).filter(|mark| *mark >= from),
            _ => None,
        };
        let there = |mark: &Timestamp| {
            let at = from_back(slices, |s| time(s) <= slice);
            // One that ends with a record was there before.
            let ends = slices[at..].binary_search_by_key(mark, time).is_ok();
            !ends && slices.get(at).is_some_and(|s| time(s) <= *mark)
        };
        holding.chain(behind.filter(there))
    }

    /// Where in time a key may have slices of which a window with a mark from `from` up to `to` is made or made known, in ranges
    /// that begin with the first and end before the second.
    pub fn sources(self, from: Timestamp, to: Timestamp) -> [(Timestamp, Timestamp); 3] {
        match self.form {
            Form::Sliding { difference_ms: d } => {
                let back = |t: Timestamp| t.saturating_sub(d).saturating_sub(1);
                let early = if from <= d && d < to { (0, d.saturating_add(1)) } else { (0, 0) };
                [(from, to), (back(from), back(to)), early]
            }
            Form::Panes { size_ms, .. } => [(from, to.saturating_add(size_ms)), (0, 0), (0, 0)],
        }
    }
}

/// The greatest common divisor of two numbers that are at least 1.
fn common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// The mark of the sliding window that begins behind a record; one that would end behind the end of time is not there.
fn mark_behind(t: Timestamp, difference_ms: i64) -> Option<Timestamp> {
    t.checked_add(difference_ms)?.checked_add(1)
}

/// When records of a key belong together.
pub(crate) trait Meeting: Copy {
    /// Where in time a record at `t` counts.
    fn place(self, t: Timestamp) -> Timestamp;
    /// Whether what is at `t` belongs to what reaches from `start` to `end`.
    fn touches(self, start: Timestamp, end: Timestamp, t: Timestamp) -> bool;
    /// First and last timestamp that belong to anything to which a record between these belongs: it ends behind the first and
    /// begins before the last.
    fn around(self, first: Timestamp, last: Timestamp) -> (Timestamp, Timestamp);
    /// What ends below this is closed at `time`.
    fn closed_ends(self, time: Timestamp) -> Timestamp;
    /// By which time a record is judged that belongs to something: its own task's, or closing time.
    fn judging(self, own: Timestamp, closing: Timestamp) -> Timestamp;
    /// Whether something that was open at `before` has to be done with before a record at `t` comes in.
    fn cuts(self, t: Timestamp, before: Timestamp, now: Timestamp) -> bool;
}

impl Meeting for Gap {
    fn place(self, t: Timestamp) -> Timestamp {
        t
    }

    fn touches(self, start: Timestamp, end: Timestamp, t: Timestamp) -> bool {
        Gap::touches(self, start, end, t)
    }

    fn around(self, first: Timestamp, last: Timestamp) -> (Timestamp, Timestamp) {
        Gap::around(self, first, last)
    }

    fn closed_ends(self, time: Timestamp) -> Timestamp {
        Gap::closed_ends(self, time)
    }

    fn judging(self, _: Timestamp, closing: Timestamp) -> Timestamp {
        // A late record that touches an open session is in it.
        closing
    }

    fn cuts(self, _: Timestamp, _: Timestamp, _: Timestamp) -> bool {
        // A closed session is told from an open one by its end.
        false
    }
}

impl Meeting for Slicing {
    fn place(self, t: Timestamp) -> Timestamp {
        self.slice(t)
    }

    fn touches(self, start: Timestamp, _: Timestamp, t: Timestamp) -> bool {
        start == t
    }

    fn around(self, first: Timestamp, last: Timestamp) -> (Timestamp, Timestamp) {
        (self.slice(first), self.slice(last))
    }

    fn closed_ends(self, time: Timestamp) -> Timestamp {
        self.late_below(time)
    }

    fn judging(self, own: Timestamp, closing: Timestamp) -> Timestamp {
        own.max(closing)
    }

    fn cuts(self, t: Timestamp, before: Timestamp, now: Timestamp) -> bool {
        self.may_miss(t, before, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn sliding(difference_ms: i64, grace_ms: i64) -> Slicing {
        Slicing::of(Window { form: WindowForm::Sliding { difference_ms }, grace_ms }).unwrap()
    }

    fn panes(size_ms: i64, advance_ms: i64, grace_ms: i64) -> Slicing {
        Slicing::of(Window { form: WindowForm::Panes { size_ms, advance_ms }, grace_ms }).unwrap()
    }

    fn any() -> impl Strategy<Value = Slicing> {
        let sizes = (1i64..30, 1i64..12).prop_map(|(size, advance)| panes(size, advance.min(size), 3));
        prop_oneof![(0i64..25).prop_map(|d| sliding(d, 3)), sizes]
    }

    /// Marks of the windows of records at these times, and what each holds, by the definition.
    fn windows(slicing: Slicing, times: &BTreeSet<i64>) -> BTreeSet<i64> {
        let holds = |from: i64, to: i64| times.range(from..=to).next().is_some();
        match slicing.form {
            Form::Sliding { difference_ms: d } => {
                let ends = times.iter().map(|t| (*t).max(d));
                let begins = times.iter().map(|t| t + 1 + d).filter(|e| holds(e - d, *e));
                ends.chain(begins).collect()
            }
            Form::Panes { size_ms, advance_ms, .. } => {
                let all = (0..200).map(|k| k * advance_ms);
                all.filter(|start| holds(*start, start + size_ms - 1)).collect()
            }
        }
    }

    fn all(slicing: Slicing, times: &BTreeSet<i64>) -> BTreeSet<i64> {
        let slices: Vec<i64> = times.iter().map(|t| slicing.slice(*t)).collect();
        let mut next = slicing.next(&slices, |t| *t, NEVER);
        core::iter::from_fn(|| {
            let mark = next?;
            next = slicing.next(&slices, |t| *t, mark + 1);
            Some(mark)
        })
        .collect()
    }

    proptest! {
        #[test]
        fn windows_are_those_of_the_definition(slicing in any(), times in proptest::collection::btree_set(0i64..90, 0..9)) {
            let by_definition = windows(slicing, &times);
            prop_assert_eq!(&all(slicing, &times), &by_definition);
            for mark in &by_definition {
                let (first, last) = slicing.span(*mark);
                prop_assert!(times.range(first..=last).next().is_some());
                for t in &times {
                    let holds = (first..=last).contains(t);
                    let possible = (slicing.first_mark(*t)..=slicing.last_mark(*t)).contains(mark);
                    prop_assert_eq!(holds, possible, "{} in {}", t, mark);
                    prop_assert_eq!(holds, (first..=last).contains(&slicing.slice(*t)), "slices lie whole in windows");
                }
            }
        }

        #[test]
        fn a_change_changes_the_windows_that_hold_it_and_may_make_one_more(
            slicing in any(), times in proptest::collection::btree_set(0i64..90, 0..9), t in 0i64..90, from in -5i64..120
        ) {
            let mut slices: BTreeSet<i64> = times.iter().map(|t| slicing.slice(*t)).collect();
            let before = windows(slicing, &slices);
            let slice = slicing.slice(t);
            let new = slices.insert(slice);
            let holds = |mark: &i64| { let (first, last) = slicing.span(*mark); (first..=last).contains(&slice) };
            let after = windows(slicing, &slices);
            let expected: BTreeSet<i64> =
                after.into_iter().filter(|m| *m >= from && (holds(m) || !before.contains(m))).collect();
            let slices: Vec<i64> = slices.into_iter().collect();
            let changed: Vec<i64> = slicing.changed(&slices, |t| *t, (slice, new), from).collect();
            prop_assert!(changed.is_sorted());
            prop_assert_eq!(changed.into_iter().collect::<BTreeSet<_>>(), expected);
        }

        #[test]
        fn records_are_late_and_slices_needless_when_the_definition_says_so(
            slicing in any(), time in 0i64..150, t in 0i64..150, others in proptest::collection::btree_set(0i64..150, 0..9)
        ) {
            let closed = |mark: i64| {
                let end = slicing.bounds(mark).1;
                match slicing.form { Form::Sliding { .. } => end < time - 3, Form::Panes { .. } => end <= time - 3 }
            };
            for mark in slicing.first_mark(t)..=slicing.last_mark(t) {
                prop_assert_eq!(closed(mark), mark < slicing.closed_below(time));
            }
            prop_assert_eq!(t < slicing.late_below(time), closed(slicing.last_mark(t)));
            prop_assert_eq!(slicing.may_miss(t, NEVER, time), closed(slicing.first_mark(t)));
            prop_assert!(!slicing.may_miss(t, time, time));
            // Without the slices that are not needed the open windows are the same.
            let open = |times: &BTreeSet<i64>| -> Vec<i64> {
                windows(slicing, times).into_iter().filter(|m| !closed(*m)).collect()
            };
            let slices: BTreeSet<i64> = others.iter().map(|t| slicing.slice(*t)).collect();
            let needed = slices.iter().copied().filter(|t| *t >= slicing.needed_from(time)).collect();
            prop_assert_eq!(open(&slices), open(&needed));
        }

        #[test]
        fn windows_are_known_from_their_sources(
            slicing in any(), times in proptest::collection::btree_set(0i64..90, 0..9), from in -5i64..120, len in 1i64..40
        ) {
            let slices: BTreeSet<i64> = times.iter().map(|t| slicing.slice(*t)).collect();
            let found = slicing.sources(from, from + len).iter().any(|(a, b)| slices.range(a.min(b)..b).next().is_some());
            let there = windows(slicing, &slices).range(from..from + len).next().is_some();
            prop_assert!(found || !there);
        }
    }

    #[test]
    fn the_edges_of_time() {
        let last = i64::MAX;
        let slicing = sliding(10, 0);
        assert_eq!(slicing.next(&[last - 3], |t| *t, last - 4), Some(last - 3));
        assert_eq!(slicing.next(&[last - 3, last], |t| *t, last - 2), Some(last), "and none that would end later");
        assert_eq!(
            slicing.changed(&[last - 3, last], |t| *t, (last - 3, true), 0).collect::<Vec<_>>(),
            [last - 3, last]
        );
        assert_eq!((slicing.late_below(NEVER), slicing.needed_from(NEVER)), (NEVER, NEVER));
        assert_eq!(sliding(last, 0).next(&[0, 5], |t| *t, 0), Some(last));
        assert!(sliding(last, last).late_below(last) <= 0);
        let slicing = panes(10, 4, 0);
        assert_eq!(slicing.next(&[last - 1], |t| *t, last - 1), None);
        assert_eq!(slicing.bounds(last - 3), (last - 3, last));
        assert_eq!(slicing.late_below(last), last - 7, "the last windows of time never close");
    }
}
