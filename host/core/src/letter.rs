//! Dead letters: the record as it was read, or the result that no single record made, with headers that say what happened.
//! Names are those of Kafka Streams' KIP-1034, and ours in the same manner for what it does not know. Whether there is a
//! letter at all is decided by `on-error`, elsewhere.
//!
//! A topic for dead letters has limits too. What does not fit into it is cut, and a header says so; the headers that name
//! the record's place always stay, so that the original is found.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::emit::{Collector, Reason, sink_partition};
use crate::error::Position;
use crate::limits::Limits;
use crate::record::{Header, Timestamp};
use crate::topology::graph::Topic;

/// Header of a letter that is not whole: what was left out of it, in words.
pub const CUT_HEADER: &str = "__streams.errors.cut";

/// Header of a letter whose topic does not take the record's timestamp: that timestamp, decimal.
pub const TIMESTAMP_HEADER: &str = "__streams.errors.timestamp";

/// Why and where a record failed.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    /// The step.
    pub step: &'a str,
    /// The step's function.
    pub function: &'a str,
    /// Number of the version in force.
    pub version: u64,
    /// Why.
    pub reason: Reason,
    /// What happened, in words.
    pub message: &'a str,
    /// Where the record came from.
    pub at: Option<Position>,
}

/// What failed: a record with its own headers.
#[derive(Clone, Debug)]
pub struct Failed<'a> {
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its headers.
    pub headers: Vec<Header<'a>>,
}

/// Where a letter goes.
#[derive(Clone, Copy, Debug)]
pub struct Mailbox<'a> {
    /// The topic.
    pub topic: &'a Topic,
    /// Its number.
    pub number: usize,
    /// The partition number of the task that writes it.
    pub task_partition: u32,
    /// Wall time.
    pub wall: Timestamp,
}

/// What has to be left out of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Nothing,
    /// The value's end, behind so many bytes.
    Value(usize),
    /// Key, value and the record's own headers.
    All,
}

/// Writes a dead letter; `false`: whatever is left out of it, its topic does not take it.
pub fn write(out: &mut Collector, into: Mailbox<'_>, mut failed: Failed<'_>, failure: &Failure<'_>) -> bool {
    let Mailbox { topic, number, task_partition, wall } = into;
    let partition = sink_partition(failed.key, task_partition, topic.partitions);
    let at = failure.at.as_ref();
    let (from_partition, offset) = (at.map(|p| format!("{}", p.partition)), at.map(|p| format!("{}", p.offset)));
    let version = format!("{}", failure.version);
    let timestamp = topic.limits.nearest(wall, failed.timestamp);
    let original = (timestamp != failed.timestamp).then(|| format!("{}", failed.timestamp));
    let ours = [
        ("__streams.errors.exception", Some(failure.reason.word())),
        ("__streams.errors.message", Some(failure.message)),
        ("__streams.errors.topic", at.map(|p| p.topic.as_str())),
        ("__streams.errors.partition", from_partition.as_deref()),
        ("__streams.errors.offset", offset.as_deref()),
        ("__streams.errors.step", Some(failure.step)),
        ("__streams.errors.function", Some(failure.function)),
        ("__streams.errors.version", Some(version.as_str())),
        (TIMESTAMP_HEADER, original.as_deref()),
    ];
    let ours = ours.iter().filter_map(|(n, v)| Some((n.as_bytes(), Some((*v)?.as_bytes()))));
    let mut ours: Vec<Header<'_>> = ours.collect();
    let Some(cut) = cut(&failed, &ours, &topic.limits) else { return false };
    let note = note(&failed, cut);
    match cut {
        Cut::Nothing => {}
        Cut::Value(bytes) => failed.value = failed.value.map(|value| &value[..bytes]),
        Cut::All => (failed.key, failed.value, failed.headers) = (None, None, Vec::new()),
    }
    if cut != Cut::Nothing {
        ours.push((CUT_HEADER.as_bytes(), Some(note.as_bytes())));
    }
    let headers = failed.headers.into_iter().chain(ours);
    out.push(number, partition, failed.key, failed.value, timestamp, headers);
    out.count_dead_letter();
    true
}

/// What has to be left out so that the topic takes a letter; `None`: it takes none, whatever is left out.
fn cut(failed: &Failed<'_>, ours: &[Header<'_>], limits: &Limits) -> Option<Cut> {
    let Some(max) = limits.record_bytes_max else { return Some(Cut::Nothing) };
    let len = |item: Option<&[u8]>| item.map_or(0, <[u8]>::len);
    let all = || failed.headers.iter().chain(ours).copied();
    if limits.record_bytes(len(failed.key) + len(failed.value), all()) <= max {
        return Some(Cut::Nothing);
    }
    // The note is never longer than when all of the value stays.
    let note = |cut| CUT_HEADER.len() + note(failed, cut).len() + limits.header_overhead_bytes;
    let without_value = limits.record_bytes(len(failed.key), all()) + note(Cut::Value(len(failed.value)));
    if failed.value.is_some() && without_value <= max {
        return Some(Cut::Value(max - without_value));
    }
    let least = limits.record_bytes(0, ours.iter().copied()) + note(Cut::All);
    (least <= max).then_some(Cut::All)
}

/// What the header says of a cut.
fn note(failed: &Failed<'_>, cut: Cut) -> String {
    let bytes = |item: Option<&[u8]>| item.map_or_else(|| "null".into(), |bytes| format!("{} bytes", bytes.len()));
    match cut {
        Cut::Nothing => String::new(),
        Cut::Value(kept) => format!("value: {kept} of {}", bytes(failed.value)),
        Cut::All => {
            let (key, value, headers) = (bytes(failed.key), bytes(failed.value), failed.headers.len());
            format!("all left out: key ({key}), value ({value}), {headers} headers")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const FAILURE: Failure<'static> = Failure {
        step: "s",
        function: "f",
        version: 3,
        reason: Reason::TooLarge,
        message: "it is too large",
        at: None,
    };

    fn topic(record_bytes_max: usize) -> Topic {
        let limits = Limits {
            record_bytes_max: Some(record_bytes_max),
            record_overhead_bytes: 7,
            header_overhead_bytes: 2,
            ahead_ms_max: Some(10),
            behind_ms_max: Some(1_000),
        };
        Topic { name: "dead".into(), partitions: 1, internal: false, limits }
    }

    /// Key, value, time, headers and bytes of the letter about a record with a value of so many bytes.
    fn letter(value: usize, max: usize, timestamp: Timestamp) -> Option<(usize, usize, Timestamp, Vec<String>, usize)> {
        let (mut out, topic, value) = (Collector::default(), topic(max), vec![b'v'; value]);
        let headers: Vec<Header<'_>> = vec![(b"own", Some(&[b'1'; 100]))];
        let failed = Failed { key: Some(b"key"), value: Some(&value), timestamp, headers };
        let into = Mailbox { topic: &topic, number: 0, task_partition: 0, wall: 5_000 };
        if !write(&mut out, into, failed, &FAILURE) {
            assert_eq!((out.bytes(), out.take_counts().1), (0, 0));
            return None;
        }
        assert_eq!(out.take_counts().1, 1);
        let batch = out.take().remove(0).batch;
        let all: Vec<Header<'_>> = batch.headers.iter().flat_map(|h| h.of(0)).collect();
        let text = |(name, value): &Header<'_>| {
            let show = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            format!("{}={}", show(name), show(value.unwrap_or_default()))
        };
        let (key, value) = (batch.keys.get(0).map_or(0, <[u8]>::len), batch.values.get(0).map_or(0, <[u8]>::len));
        let bytes = topic.limits.record_bytes(key + value, all.iter().copied());
        Some((key, value, batch.timestamps[0], all.iter().map(text).collect(), bytes))
    }

    #[test]
    fn a_letter_that_fits_is_whole_and_one_byte_more_is_cut_as_little_as_can_be() {
        let whole = letter(100, 10_000, 5_000).unwrap();
        assert!(whole.3.iter().all(|h| !h.starts_with(CUT_HEADER)) && (whole.0, whole.1) == (3, 100));
        assert_eq!(letter(100, whole.4, 5_000).unwrap(), whole);
        let less = letter(100, whole.4 - 1, 5_000).unwrap();
        let kept = format!("{CUT_HEADER}=value: {} of 100 bytes", less.1);
        assert_eq!((less.0, less.3.last().unwrap()), (3, &kept));
        assert!(less.3[0].starts_with("own=1"), "the record's own headers stay");
        assert!(less.4 < whole.4 && less.4 >= whole.4 - 3, "the note's digits at the most: {} of {}", less.4, whole.4);
    }

    #[test]
    fn when_cutting_the_value_is_not_enough_all_goes_but_what_happened_and_below_that_nothing_is_written() {
        let all = |max| letter(5_000, max, 5_000);
        let sizes: Vec<_> = (0..700).map(|max| (max, all(max))).collect();
        assert!(sizes.iter().all(|(max, l)| l.as_ref().is_none_or(|l| l.4 <= *max)), "never more than the topic takes");
        let words = |l: &(usize, usize, Timestamp, Vec<String>, usize)| l.3.last().unwrap().clone();
        let left: Vec<String> = sizes.iter().filter_map(|(_, l)| l.as_ref()).map(words).collect();
        assert_eq!(left[0], format!("{CUT_HEADER}=all left out: key (3 bytes), value (5000 bytes), 1 headers"));
        assert_eq!(
            left.last().unwrap(),
            &format!("{CUT_HEADER}=value: {} of 5000 bytes", sizes[699].1.as_ref().unwrap().1)
        );
        assert!(all(100).is_none());
    }

    #[test]
    fn a_timestamp_that_the_topic_refuses_is_moved_and_told() {
        for (was, is) in [(9_000, 5_010), (-1, 4_000)] {
            let letter = letter(10, 10_000, was).unwrap();
            assert_eq!((letter.2, letter.3.last().unwrap()), (is, &format!("{TIMESTAMP_HEADER}={was}")));
        }
        assert!(letter(10, 10_000, 4_500).unwrap().3.iter().all(|h| !h.starts_with(TIMESTAMP_HEADER)));
    }
}
