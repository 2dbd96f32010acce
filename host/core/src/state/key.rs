//! Keys of stores, as ordered bytes. One table; a byte once assigned never changes its meaning.
//!
//! | first byte | store | rest of the key |
//! | --- | --- | --- |
//! | `0x01` | key-value | the key |
//! | `0x02` | key-value, grouped by windowed key | window start, window end (ordered 8 bytes each), the key |
//! | `0x03` | window | window's mark (ordered 8 bytes), the key |
//! | `0x04` | session, in order of time; nothing is stored under it | session end, start (ordered 8 bytes each), the key |
//! | `0x05` | session | the key, escaped; session end, start (ordered 8 bytes each) |
//! | `0x08` | timer, in order of time | clock (0 event time, 1 wall clock), due time (ordered 8 bytes), who |
//! | `0x09` | timer by who, in no changelog | clock, who; stored under it is the due time (ordered 8 bytes) |
//! | `0x0a` | record that waits for partners | side (0 left, 1 right), the key, escaped; time (ordered 8 bytes), number (4 bytes) |
//! | `0x0b` | the same in order of time, in no changelog | side, time (ordered 8 bytes), the key, escaped; number (4 bytes); stored under it is 1 where it has met none |
//! | `0x0c` | version of a row that another has followed | the key, escaped; when it ended (ordered 8 bytes) |
//! | `0x0d` | the same in order of time, in no changelog | when it ended (ordered 8 bytes), the key; nothing is stored under it |
//! | `0xef` | any | nothing; stored under it is what the store was made with ([`crate::made_with`]) |
//! | `0xf0` | none | the shell's own, beside a store's |
//!
//! The marks of a store's windows (see [`crate::window`]) grow with their ends, so window keys in byte order stand by end,
//! start, key: the order in which results of closed windows come out, and a closed window is one range.
//!
//! Sessions are found by key, and closed in order of time. What is stored stands by key; the other is an index beside it. In an
//! escaped key a zero byte is `0x00 0xff`, and `0x00 0x00` ends it: keys keep their order, and none is the beginning of another.
//!
//! A step that deduplicates keeps ids as a window store does, by the first millisecond of a bucket of time. An id that a function gave
//! stands behind the record's key, escaped as above.
//!
//! A named store of a processor is a key-value store. A timer is *who* it is for: `0x00` for the task or `0x01` and the key, escaped
//! as above, then its name. Timers fire in order of time, which is how they are stored; to move one it has to be found by who it is.
//!
//! Of records that wait for partners those of a key stand in order of time and then of arrival, which the number says. What they are keyed by
//! has the window in front where keys have one, as under `0x02`.
//!
//! A table with history has its rows as they are under `0x01` or `0x02`, and what they were under `0x0c`, by when that ended: a version that
//! comes between two others changes what ends where, and moves nothing. The key is that of the row, with the window in front where it has one.
//!
//! In front of it all stands the task's partition (4 bytes, big end first) where one database holds several tasks.

use alloc::vec::Vec;

use crate::record::Timestamp;

/// Kinds of stores, by the first byte of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StoreKind {
    /// By key.
    KeyValue = 0x01,
    /// By window and key, without windows of its own.
    WindowedKeyValue = 0x02,
    /// By the window's mark, then key.
    Window = 0x03,
    /// Sessions in order of time: an index.
    SessionTime = 0x04,
    /// Sessions by key.
    Session = 0x05,
    /// Timers in order of time.
    Timer = 0x08,
    /// When the timer of each is due: an index.
    TimerWho = 0x09,
    /// Records of two streams that wait for partners, by key.
    Waiting = 0x0a,
    /// The same in order of time: an index.
    WaitingTime = 0x0b,
    /// What rows of a table with history were, by key.
    Version = 0x0c,
    /// The same in order of when that ended: an index.
    VersionTime = 0x0d,
    /// What a store was made with: one key.
    MadeWith = 0xef,
}

/// Eight bytes that compare as the numbers do.
pub fn ordered(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

/// Back from [`ordered`].
pub fn unordered(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

/// The group part of a key in a store by windowed key.
pub fn windowed_group(key: &[u8], start: Timestamp, end: Timestamp) -> Vec<u8> {
    [&ordered(start)[..], &ordered(end), key].concat()
}

/// Splits what [`windowed_group`] made: key, start, end.
pub fn split_windowed_group(group: &[u8]) -> Option<(&[u8], Timestamp, Timestamp)> {
    let (start, rest) = group.split_first_chunk::<8>()?;
    let (end, key) = rest.split_first_chunk::<8>()?;
    Some((key, unordered(*start), unordered(*end)))
}

/// A whole key in a key-value store.
pub fn plain(prefix: &[u8], kind: StoreKind, group: &[u8]) -> Vec<u8> {
    [prefix, &[kind as u8], group].concat()
}

/// A whole key in a window store; an empty `group` is the beginning of the window's range.
pub fn window(prefix: &[u8], mark: Timestamp, group: &[u8]) -> Vec<u8> {
    [prefix, &[StoreKind::Window as u8], &ordered(mark)[..], group].concat()
}

/// What the whole keys of a key's sessions begin with.
pub fn sessions_of(prefix: &[u8], key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(prefix.len() + key.len() + 19);
    out.extend_from_slice(prefix);
    out.push(StoreKind::Session as u8);
    escape(&mut out, key);
    out
}

/// The whole key of a session.
pub fn session(prefix: &[u8], key: &[u8], start: Timestamp, end: Timestamp) -> Vec<u8> {
    let mut out = sessions_of(prefix, key);
    out.extend_from_slice(&ordered(end));
    out.extend_from_slice(&ordered(start));
    out
}

/// The whole key of a session in order of time; with an empty `key` and the least start the beginning of those that end there.
pub fn session_time(prefix: &[u8], key: &[u8], start: Timestamp, end: Timestamp) -> Vec<u8> {
    [prefix, &[StoreKind::SessionTime as u8], &ordered(end)[..], &ordered(start), key].concat()
}

/// A key and something beside it as one: of equal keys what is beside them tells them apart, and nothing else is the same.
pub fn beside(key: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + other.len() + 2);
    escape(&mut out, key);
    out.extend_from_slice(other);
    out
}

/// Whom a timer is for, as ordered bytes: the task, where `key` is none, then keys in their order, then names.
pub fn timer_who(key: Option<&[u8]>, name: &str) -> Vec<u8> {
    let Some(key) = key else { return [&[0], name.as_bytes()].concat() };
    let mut out = Vec::with_capacity(key.len() + name.len() + 3);
    out.push(1);
    escape(&mut out, key);
    out.extend_from_slice(name.as_bytes());
    out
}

/// Splits what [`timer_who`] made: key, name.
pub fn split_timer_who(who: &[u8]) -> Option<(Option<Vec<u8>>, &str)> {
    let (key, name) = match who.split_first()? {
        (0, name) => (None, name),
        (1, rest) => {
            let mut zeros = rest.iter().enumerate().filter(|(i, b)| **b == 0 && rest.get(i + 1) != Some(&0xff));
            let (key, name) = rest.split_at(zeros.next()?.0);
            (Some(unescape(key)?), name.strip_prefix(&[0, 0])?)
        }
        _ => return None,
    };
    Some((key, core::str::from_utf8(name).ok()?))
}

/// The whole key of a timer; an empty `who` is the beginning of those that are due then. `clock`: 0 event time, 1 wall clock.
pub fn timer(prefix: &[u8], clock: u8, due: Timestamp, who: &[u8]) -> Vec<u8> {
    [prefix, &[StoreKind::Timer as u8, clock], &ordered(due)[..], who].concat()
}

/// The whole key under which the due time of a timer is found.
pub fn timer_by_who(prefix: &[u8], clock: u8, who: &[u8]) -> Vec<u8> {
    [prefix, &[StoreKind::TimerWho as u8, clock], who].concat()
}

/// Splits what [`timer`] made without a prefix: clock, due time, who.
pub fn split_timer(whole: &[u8]) -> Option<(u8, Timestamp, &[u8])> {
    let (clock, rest) = whole.strip_prefix(&[StoreKind::Timer as u8])?.split_first()?;
    let (due, who) = rest.split_first_chunk::<8>()?;
    (*clock < 2).then_some((*clock, unordered(*due), who))
}

/// What the whole keys of a key's waiting records of one side begin with.
pub fn waiting_of(prefix: &[u8], side: u8, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(prefix.len() + key.len() + 16);
    out.extend_from_slice(prefix);
    out.extend_from_slice(&[StoreKind::Waiting as u8, side]);
    escape(&mut out, key);
    out
}

/// The whole key of a record that waits for partners.
pub fn waiting(prefix: &[u8], side: u8, key: &[u8], time: Timestamp, number: u32) -> Vec<u8> {
    let mut out = waiting_of(prefix, side, key);
    out.extend_from_slice(&ordered(time));
    out.extend_from_slice(&number.to_be_bytes());
    out
}

/// The beginning of the whole keys of one side's waiting records from a time on, in order of time.
pub fn waiting_from(prefix: &[u8], side: u8, time: Timestamp) -> Vec<u8> {
    [prefix, &[StoreKind::WaitingTime as u8, side], &ordered(time)[..]].concat()
}

/// The whole key of a waiting record in order of time.
pub fn waiting_time(prefix: &[u8], side: u8, key: &[u8], time: Timestamp, number: u32) -> Vec<u8> {
    let mut out = waiting_from(prefix, side, time);
    escape(&mut out, key);
    out.extend_from_slice(&number.to_be_bytes());
    out
}

/// Splits what [`waiting`] made without a prefix: side, key, time, number.
pub fn split_waiting(whole: &[u8]) -> Option<(u8, Vec<u8>, Timestamp, u32)> {
    let (side, rest) = whole.strip_prefix(&[StoreKind::Waiting as u8])?.split_first()?;
    let (rest, number) = rest.split_last_chunk::<4>()?;
    let (rest, time) = rest.split_last_chunk::<8>()?;
    let key = unescape(rest.strip_suffix(&[0, 0])?)?;
    (*side < 2).then(|| (*side, key, unordered(*time), u32::from_be_bytes(*number)))
}

/// Splits what [`waiting_time`] made without a prefix: side, key, time, number.
pub fn split_waiting_time(whole: &[u8]) -> Option<(u8, Vec<u8>, Timestamp, u32)> {
    let (side, rest) = whole.strip_prefix(&[StoreKind::WaitingTime as u8])?.split_first()?;
    let (rest, number) = rest.split_last_chunk::<4>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let key = unescape(rest.strip_suffix(&[0, 0])?)?;
    (*side < 2).then(|| (*side, key, unordered(*time), u32::from_be_bytes(*number)))
}

/// What the whole keys of the versions of a row begin with.
pub fn versions_of(prefix: &[u8], key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(prefix.len() + key.len() + 11);
    out.extend_from_slice(prefix);
    out.push(StoreKind::Version as u8);
    escape(&mut out, key);
    out
}

/// The whole key of a version of a row; `end`: when the next one began.
pub fn version(prefix: &[u8], key: &[u8], end: Timestamp) -> Vec<u8> {
    let mut out = versions_of(prefix, key);
    out.extend_from_slice(&ordered(end));
    out
}

/// The whole key of a version in order of time; an empty `key` is the beginning of those that ended then.
pub fn version_time(prefix: &[u8], end: Timestamp, key: &[u8]) -> Vec<u8> {
    [prefix, &[StoreKind::VersionTime as u8], &ordered(end)[..], key].concat()
}

/// Splits what [`version`] made without a prefix: key, end.
pub fn split_version(whole: &[u8]) -> Option<(Vec<u8>, Timestamp)> {
    let (rest, end) = whole.strip_prefix(&[StoreKind::Version as u8])?.split_last_chunk::<8>()?;
    Some((unescape(rest.strip_suffix(&[0, 0])?)?, unordered(*end)))
}

/// Splits what [`version_time`] made without a prefix: end, key.
pub fn split_version_time(whole: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (end, key) = whole.strip_prefix(&[StoreKind::VersionTime as u8])?.split_first_chunk::<8>()?;
    Some((unordered(*end), key))
}

/// Appends a key so that keys keep their order and none is the beginning of another.
fn escape(out: &mut Vec<u8>, key: &[u8]) {
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Back from [`escape`], without the two zeros at the end.
fn unescape(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut key, mut bytes) = (Vec::with_capacity(bytes.len()), bytes.iter());
    while let Some(byte) = bytes.next() {
        key.push(*byte);
        if *byte == 0 && bytes.next() != Some(&0xff) {
            return None;
        }
    }
    Some(key)
}

/// Splits what [`session`] made without a prefix: key, start, end.
pub fn split_session(whole: &[u8]) -> Option<(Vec<u8>, Timestamp, Timestamp)> {
    let (rest, start) = whole.split_last_chunk::<8>()?;
    let (rest, end) = rest.split_last_chunk::<8>()?;
    Some((split_sessions_of(rest)?, unordered(*start), unordered(*end)))
}

/// The key of what [`sessions_of`] made without a prefix.
pub fn split_sessions_of(begin: &[u8]) -> Option<Vec<u8>> {
    unescape(begin.strip_prefix(&[StoreKind::Session as u8])?.strip_suffix(&[0, 0])?)
}

/// Splits what [`session_time`] made, without what it begins with up to the kind: key, start, end.
pub fn split_session_time(rest: &[u8]) -> Option<(&[u8], Timestamp, Timestamp)> {
    let (end, rest) = rest.split_first_chunk::<8>()?;
    let (start, key) = rest.split_first_chunk::<8>()?;
    Some((key, unordered(*start), unordered(*end)))
}

/// The first key behind all that begin with `prefix`; `None` where there is none.
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut out = prefix.to_vec();
    while let Some(last) = out.pop() {
        if last < u8::MAX {
            out.push(last + 1);
            return Some(out);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_is_kept(a: i64, b: i64) {
            prop_assert_eq!(ordered(a).cmp(&ordered(b)), a.cmp(&b));
            prop_assert_eq!(unordered(ordered(a)), a);
        }

        #[test]
        fn groups_come_back(key: Vec<u8>, start: i64, end: i64) {
            let group = windowed_group(&key, start, end);
            prop_assert_eq!(split_windowed_group(&group), Some((&key[..], start, end)));
        }

        #[test]
        fn sessions_come_back_and_stand_by_key_then_end_then_start(
            a in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..5),
            b in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..5),
            times: [i64; 4]
        ) {
            let [s, e, t, f] = times;
            let (x, y) = (session(&[], &a, s, e), session(&[], &b, t, f));
            prop_assert_eq!(split_session(&x), Some((a.clone(), s, e)));
            prop_assert_eq!(x.cmp(&y), (&a, e, s).cmp(&(&b, f, t)));
            prop_assert_eq!(x.starts_with(&sessions_of(&[], &b)), a == b);
            let (x, y) = (session_time(&[], &a, s, e), session_time(&[], &b, t, f));
            prop_assert_eq!(split_session_time(&x[1..]), Some((&a[..], s, e)));
            prop_assert_eq!(x.cmp(&y), (e, s, &a).cmp(&(f, t, &b)));
        }
    }

    proptest! {
        #[test]
        fn timers_come_back_and_stand_by_clock_then_time_then_key_then_name(
            a in proptest::option::of(proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..5)),
            b in proptest::option::of(proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..5)),
            names in ("[\\x00a]{0,2}", "[\\x00a]{0,2}"), clocks: [bool; 2], due: [i64; 2]
        ) {
            let (m, n) = (&names.0[..], &names.1[..]);
            let (c, d) = (u8::from(clocks[0]), u8::from(clocks[1]));
            let (v, w) = (timer_who(a.as_deref(), m), timer_who(b.as_deref(), n));
            prop_assert_eq!(split_timer_who(&v), Some((a.clone(), m)));
            prop_assert_eq!(v.cmp(&w), (&a, m).cmp(&(&b, n)));
            let (x, y) = (timer(&[], c, due[0], &v), timer(&[], d, due[1], &w));
            prop_assert_eq!(split_timer(&x), Some((c, due[0], &v[..])));
            prop_assert_eq!(x.cmp(&y), (c, due[0], &a, m).cmp(&(d, due[1], &b, n)));
        }

        #[test]
        fn waiting_records_come_back_and_stand_by_side_then_key_then_time_or_the_other_way_round(
            a in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..5),
            b in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..5),
            sides: [bool; 2], times: [i64; 2], numbers: [u32; 2]
        ) {
            let [s, t] = sides.map(u8::from);
            let (x, y) = (waiting(&[], s, &a, times[0], numbers[0]), waiting(&[], t, &b, times[1], numbers[1]));
            prop_assert_eq!(split_waiting(&x), Some((s, a.clone(), times[0], numbers[0])));
            prop_assert_eq!(x.cmp(&y), (s, &a, times[0], numbers[0]).cmp(&(t, &b, times[1], numbers[1])));
            prop_assert_eq!(x.starts_with(&waiting_of(&[], t, &b)), s == t && a == b);
            let (x, y) = (waiting_time(&[], s, &a, times[0], numbers[0]), waiting_time(&[], t, &b, times[1], numbers[1]));
            prop_assert_eq!(split_waiting_time(&x), Some((s, a.clone(), times[0], numbers[0])));
            prop_assert_eq!(x.cmp(&y), (s, times[0], &a, numbers[0]).cmp(&(t, times[1], &b, numbers[1])));
            prop_assert_eq!(x >= waiting_from(&[], t, times[1]), (s, times[0]) >= (t, times[1]));
        }

        #[test]
        fn versions_come_back_and_stand_by_key_then_end_or_the_other_way_round(
            a in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..5),
            b in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..5),
            ends: [i64; 2]
        ) {
            let (x, y) = (version(&[], &a, ends[0]), version(&[], &b, ends[1]));
            prop_assert_eq!(split_version(&x), Some((a.clone(), ends[0])));
            prop_assert_eq!(x.cmp(&y), (&a, ends[0]).cmp(&(&b, ends[1])));
            prop_assert_eq!(x.starts_with(&versions_of(&[], &b)), a == b);
            let (x, y) = (version_time(&[], ends[0], &a), version_time(&[], ends[1], &b));
            prop_assert_eq!(split_version_time(&x), Some((ends[0], &a[..])));
            prop_assert_eq!(x.cmp(&y), (ends[0], &a).cmp(&(ends[1], &b)));
        }

        #[test]
        fn garbage_is_no_timer_and_no_panic(bytes: Vec<u8>) {
            if let Some((key, end)) = split_version(&bytes) {
                prop_assert_eq!(version(&[], &key, end), bytes.clone());
            }
            split_version_time(&bytes);
            if let Some((side, key, time, number)) = split_waiting(&bytes) {
                prop_assert_eq!(waiting(&[], side, &key, time, number), bytes.clone());
            }
            split_waiting_time(&bytes);
            if let Some((key, name)) = split_timer_who(&bytes) {
                prop_assert_eq!(timer_who(key.as_deref(), name), bytes.clone());
            }
            split_timer(&bytes);
        }
    }

    #[test]
    fn bytes_are_as_written_down() {
        assert_eq!(
            timer(&[7], 1, 2, &timer_who(Some(b"k\0"), "n")),
            [7, 8, 1, 0x80, 0, 0, 0, 0, 0, 0, 2, 1, b'k', 0, 0xff, 0, 0, b'n']
        );
        assert_eq!(timer_by_who(&[], 0, &timer_who(None, "n")), [9, 0, 0, b'n']);
        assert_eq!(plain(&[0, 0, 0, 7], StoreKind::KeyValue, b"k"), [0, 0, 0, 7, 1, b'k']);
        assert_eq!(window(&[], 1, b"k"), [3, 0x80, 0, 0, 0, 0, 0, 0, 1, b'k']);
        let session_bytes = [5, b'k', 0, 0xff, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(session(&[], b"k\0", 1, 2), session_bytes);
        assert_eq!(session_time(&[], b"k", 1, 2), [4, 0x80, 0, 0, 0, 0, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 1, b'k']);
        assert_eq!(split_session(&session_bytes[..9]), None);
        assert_eq!(
            waiting(&[7], 1, b"k\0", 1, 3),
            [7, 10, 1, b'k', 0, 0xff, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
        );
        assert_eq!(waiting_time(&[], 0, b"k", 1, 3), [11, 0, 0x80, 0, 0, 0, 0, 0, 0, 1, b'k', 0, 0, 0, 0, 0, 3]);
        assert_eq!(version(&[7], b"k\0", 1), [7, 12, b'k', 0, 0xff, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(version_time(&[], 1, b"k"), [13, 0x80, 0, 0, 0, 0, 0, 0, 1, b'k']);
        assert_eq!(successor(&[1, 0xff]), Some(alloc::vec![2]));
        assert_eq!(successor(&[0xff]), None);
    }
}
