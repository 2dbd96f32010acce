//! What values of a repartition topic look like: time across a repartition is carried in the records themselves.
//!
//! | byte(s) | content |
//! | --- | --- |
//! | 1 | form: `0x11` a record, `0x12` a marker; the high half is the version |
//! | record: 1 | flags: bit 0 the value is there, bit 1 a window follows, bit 2 what is taken out follows |
//! | varint | upstream task: its partition number |
//! | varint | lag: how far the record lies behind the upstream task's stream time, milliseconds |
//! | 2 × signed varint | window start and end, where flagged |
//! | signed varint, varint, bytes | what is taken out: its timestamp, its length, its value, where flagged |
//! | rest | the value |
//! | marker: 1 | flags: bit 0 idle, bit 1 a stream time follows |
//! | varint, varint | upstream task, and how many there are |
//! | signed varint | stream time, where flagged |

use alloc::vec::Vec;

use crate::codec::{Reader, put_bytes, put_signed, put_varint};
use crate::record::Timestamp;

const RECORD: u8 = 0x11;
const MARKER: u8 = 0x12;

/// Bytes that a record's head takes at the most, where nothing is taken out: form, flags, two varints, two bounds of a window.
pub const HEAD_BYTES_MAX: usize = 2 + 5 + 10 + 2 * 10;

/// Bytes that what is taken out takes beside its value, at the most: a timestamp, a length.
pub const OLD_BYTES_MAX: usize = 10 + 5;

/// An upstream task's word about its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Partition number of the upstream task.
    pub upstream: u32,
    /// How many upstream tasks there are.
    pub upstream_tasks: u32,
    /// Its stream time; `None`: it has written nothing yet.
    pub time: Option<Timestamp>,
    /// It no longer holds windows open until it writes again.
    pub idle: bool,
}

/// One value, opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// A record of upstream's.
    Record {
        /// Partition number of the upstream task.
        upstream: u32,
        /// Milliseconds behind the upstream task's stream time.
        lag: i64,
        /// Start and end of the key's window.
        window: Option<(Timestamp, Timestamp)>,
        /// What is taken out of the group, timestamp and value, before the value comes in: for groups over tables.
        old: Option<(Timestamp, &'a [u8])>,
        /// The value.
        value: Option<&'a [u8]>,
    },
    /// No record.
    Marker(Marker),
}

/// Appends the head of a record's envelope; the value's bytes come right behind.
pub fn put_record_head(
    out: &mut Vec<u8>,
    upstream: u32,
    lag: i64,
    window: Option<(Timestamp, Timestamp)>,
    old: Option<(Timestamp, &[u8])>,
    has_value: bool,
) {
    out.push(RECORD);
    out.push(u8::from(has_value) | u8::from(window.is_some()) << 1 | u8::from(old.is_some()) << 2);
    put_varint(out, u64::from(upstream));
    put_varint(out, lag as u64);
    if let Some((start, end)) = window {
        put_signed(out, start);
        put_signed(out, end);
    }
    if let Some((time, value)) = old {
        put_signed(out, time);
        put_bytes(out, value);
    }
}

/// Appends a marker.
pub fn put_marker(out: &mut Vec<u8>, marker: &Marker) {
    out.push(MARKER);
    out.push(u8::from(marker.idle) | u8::from(marker.time.is_some()) << 1);
    put_varint(out, u64::from(marker.upstream));
    put_varint(out, u64::from(marker.upstream_tasks));
    if let Some(time) = marker.time {
        put_signed(out, time);
    }
}

/// Opens a value. `None`: it is not of this form; somebody else wrote into the topic, or it is damaged.
pub fn open(bytes: &[u8]) -> Option<Opened<'_>> {
    let mut reader = Reader(bytes);
    let (form, flags) = (reader.byte()?, reader.byte()?);
    if flags > 7 || form == MARKER && flags > 3 {
        return None;
    }
    let upstream = u32::try_from(reader.varint()?).ok()?;
    match form {
        RECORD => {
            let lag = i64::try_from(reader.varint()?).ok()?;
            let window = if flags & 2 != 0 { Some((reader.signed()?, reader.signed()?)) } else { None };
            let old = if flags & 4 != 0 { Some((reader.signed()?, reader.bytes()?)) } else { None };
            let value = (flags & 1 != 0).then_some(reader.0);
            Some(Opened::Record { upstream, lag, window, old, value })
        }
        MARKER => {
            let upstream_tasks = u32::try_from(reader.varint()?).ok()?;
            let time = if flags & 2 != 0 { Some(reader.signed()?) } else { None };
            Some(Opened::Marker(Marker { upstream, upstream_tasks, time, idle: flags & 1 != 0 }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back(
            upstream: u32,
            lag in 0..i64::MAX,
            window: Option<(i64, i64)>,
            old: Option<(i64, Vec<u8>)>,
            value: Option<Vec<u8>>
        ) {
            let mut out = Vec::new();
            let old = old.as_ref().map(|(time, value)| (*time, &value[..]));
            put_record_head(&mut out, upstream, lag, window, old, value.is_some());
            out.extend_from_slice(value.as_deref().unwrap_or_default());
            let value = value.as_deref();
            prop_assert_eq!(open(&out), Some(Opened::Record { upstream, lag, window, old, value }));
        }

        #[test]
        fn what_older_versions_wrote_is_read(upstream in 0u8..128, lag in 0u8..128, value: Option<Vec<u8>>) {
            let mut out = alloc::vec![0x11, u8::from(value.is_some()), upstream, lag];
            out.extend_from_slice(value.as_deref().unwrap_or_default());
            let (upstream, lag, value) = (upstream.into(), lag.into(), value.as_deref());
            prop_assert_eq!(open(&out), Some(Opened::Record { upstream, lag, window: None, old: None, value }));
        }

        #[test]
        fn markers_come_back(upstream: u32, upstream_tasks: u32, time: Option<i64>, idle: bool) {
            let marker = Marker { upstream, upstream_tasks, time, idle };
            let mut out = Vec::new();
            put_marker(&mut out, &marker);
            prop_assert_eq!(open(&out), Some(Opened::Marker(marker)));
        }

        #[test]
        fn garbage_is_no_panic(bytes: Vec<u8>) {
            open(&bytes);
        }
    }
}
