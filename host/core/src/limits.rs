//! What a topic's log takes: how large a record may be, and how far its timestamp may lie from the clock. The numbers are
//! the shell's, found where the topic is; here results are held against them before anything of an interval is handed
//! over, since one record that the log refuses would make the commit of all others fail, each time anew.

use crate::emit::Reason;
use crate::record::{Batch, Header, Timestamp};

/// What a topic's log takes. `Default`: everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that a record may have, counted as [`Limits::record_bytes`] does.
    ///
    /// A Kafka topic's `max.message.bytes` bounds a batch of records; alone in one, a record takes 61 bytes for the batch
    /// and up to 36 for itself beside its key, value and headers, and up to 10 for each header. Compression makes it
    /// smaller, which is not counted on.
    pub record_bytes_max: Option<usize>,
    /// Bytes that a record takes beside its key, value and headers.
    pub record_overhead_bytes: usize,
    /// Bytes that a header takes beside its name and value.
    pub header_overhead_bytes: usize,
    /// How far a timestamp may lie ahead of the wall clock, milliseconds (Kafka's `message.timestamp.after.max.ms`).
    pub ahead_ms_max: Option<i64>,
    /// How far a timestamp may lie behind the wall clock, milliseconds (Kafka's `message.timestamp.before.max.ms`). Leave
    /// room for a commit that takes long: the broker looks at its own clock, later.
    pub behind_ms_max: Option<i64>,
}

/// Why a log would refuse a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is larger than the topic allows.
    #[error("the record has {bytes} bytes, and at most {max} are taken")]
    TooLarge {
        /// Bytes that it has.
        bytes: usize,
        /// Bytes that it may have.
        max: usize,
    },
    /// It lies too far in the future.
    #[error("the timestamp {timestamp} lies {by_ms} ms ahead of the clock, and at most {max_ms} ms are taken")]
    Ahead {
        /// Its timestamp.
        timestamp: Timestamp,
        /// Milliseconds that it lies ahead.
        by_ms: i64,
        /// Milliseconds that it may.
        max_ms: i64,
    },
    /// It lies too far in the past.
    #[error("the timestamp {timestamp} lies {by_ms} ms behind the clock, and at most {max_ms} ms are taken")]
    Behind {
        /// Its timestamp.
        timestamp: Timestamp,
        /// Milliseconds that it lies behind.
        by_ms: i64,
        /// Milliseconds that it may.
        max_ms: i64,
    },
}

impl Refusal {
    /// Its place among the reasons why records leave.
    pub fn reason(&self) -> Reason {
        match self {
            Refusal::TooLarge { .. } => Reason::TooLarge,
            Refusal::Ahead { .. } | Refusal::Behind { .. } => Reason::TimestampRefused,
        }
    }
}

impl Limits {
    /// Whether everything is taken.
    #[inline]
    pub fn are_none(&self) -> bool {
        self.record_bytes_max.is_none() && self.ahead_ms_max.is_none() && self.behind_ms_max.is_none()
    }

    /// Bytes of a record as this log counts them. `payload_bytes`: key and value together.
    pub fn record_bytes<'h>(&self, payload_bytes: usize, headers: impl IntoIterator<Item = Header<'h>>) -> usize {
        let header = |(name, value): Header<'_>| name.len() + value.map_or(0, <[u8]>::len) + self.header_overhead_bytes;
        self.record_overhead_bytes + payload_bytes + headers.into_iter().map(header).sum::<usize>()
    }

    /// Why a record would be refused at this wall time, if it would.
    pub fn refuse<'h>(
        &self,
        wall: Timestamp,
        payload_bytes: usize,
        timestamp: Timestamp,
        headers: impl IntoIterator<Item = Header<'h>>,
    ) -> Option<Refusal> {
        if let Some(max) = self.record_bytes_max {
            let bytes = self.record_bytes(payload_bytes, headers);
            if bytes > max {
                return Some(Refusal::TooLarge { bytes, max });
            }
        }
        let (earliest, latest) = self.times(wall);
        if timestamp > latest {
            let (by_ms, max_ms) = (timestamp.saturating_sub(wall), self.ahead_ms_max.unwrap_or_default());
            return Some(Refusal::Ahead { timestamp, by_ms, max_ms });
        }
        (timestamp < earliest).then(|| {
            let (by_ms, max_ms) = (wall.saturating_sub(timestamp), self.behind_ms_max.unwrap_or_default());
            Refusal::Behind { timestamp, by_ms, max_ms }
        })
    }

    /// Whether a batch is certain to be taken whole, were each of its records larger by `more_bytes`. `false` says nothing:
    /// its records have to be looked at one by one. Costs next to nothing for a record.
    pub fn take_all(&self, wall: Timestamp, batch: &Batch, more_bytes: usize) -> bool {
        if let Some(max) = self.record_bytes_max {
            let entries = batch.headers.as_ref().map_or(0, |h| h.names.len());
            let bytes = batch.bytes() + entries * self.header_overhead_bytes;
            if bytes + self.record_overhead_bytes + more_bytes > max {
                return false;
            }
        }
        let (earliest, latest) = self.times(wall);
        if (earliest, latest) == (Timestamp::MIN, Timestamp::MAX) {
            return true;
        }
        batch.timestamps.iter().all(|t| (earliest..=latest).contains(t))
    }

    /// The earliest and the latest timestamp taken at this wall time.
    pub fn times(&self, wall: Timestamp) -> (Timestamp, Timestamp) {
        let earliest = self.behind_ms_max.map_or(Timestamp::MIN, |ms| wall.saturating_sub(ms));
        let latest = self.ahead_ms_max.map_or(Timestamp::MAX, |ms| wall.saturating_add(ms));
        (earliest, latest)
    }

    /// The timestamp nearest to this one that is taken at this wall time.
    pub fn nearest(&self, wall: Timestamp, timestamp: Timestamp) -> Timestamp {
        let (earliest, latest) = self.times(wall);
        timestamp.min(latest).max(earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;

    const KAFKA: Limits = Limits {
        record_bytes_max: Some(1_000),
        record_overhead_bytes: 97,
        header_overhead_bytes: 10,
        ahead_ms_max: Some(100),
        behind_ms_max: Some(1_000),
    };

    fn refused(limits: Limits, payload_bytes: usize, timestamp: Timestamp, headers: &[Header<'_>]) -> Option<Refusal> {
        limits.refuse(5_000, payload_bytes, timestamp, headers.iter().copied())
    }

    #[test]
    fn every_bound_holds_to_the_last_byte_and_millisecond() {
        let header: &[Header<'_>] = &[(b"name", Some(b"value")), (b"n", None)];
        assert_eq!(refused(KAFKA, 903, 5_000, &[]), None);
        assert_eq!(refused(KAFKA, 904, 5_000, &[]), Some(Refusal::TooLarge { bytes: 1_001, max: 1_000 }));
        assert_eq!(refused(KAFKA, 873, 5_000, header), None);
        assert_eq!(refused(KAFKA, 874, 5_000, header), Some(Refusal::TooLarge { bytes: 1_001, max: 1_000 }));
        assert_eq!(refused(KAFKA, 0, 5_100, &[]), None);
        assert_eq!(refused(KAFKA, 0, 5_101, &[]), Some(Refusal::Ahead { timestamp: 5_101, by_ms: 101, max_ms: 100 }));
        assert_eq!(refused(KAFKA, 0, 4_000, &[]), None);
        assert_eq!(
            refused(KAFKA, 0, 3_999, &[]),
            Some(Refusal::Behind { timestamp: 3_999, by_ms: 1_001, max_ms: 1_000 })
        );
        assert_eq!(refused(Limits::default(), usize::MAX, Timestamp::MAX, &[]), None);
        assert!(refused(KAFKA, 0, Timestamp::MAX, &[]).is_some() && refused(KAFKA, 0, Timestamp::MIN, &[]).is_some());
        assert_eq!(
            [KAFKA.nearest(5_000, 9_000), KAFKA.nearest(5_000, -1), KAFKA.nearest(5_000, 7)],
            [5_100, 4_000, 4_000]
        );
    }

    #[test]
    fn a_batch_that_is_taken_at_a_glance_holds_no_record_that_is_not() {
        for (value, time) in [(10, 5_000), (903, 5_000), (904, 5_000), (10, 5_101), (10, 3_999)] {
            let mut batch = BatchBuilder::default();
            batch.push(None, Some(&alloc::vec![0; value]), time, []);
            let batch = batch.finish();
            let is_taken = refused(KAFKA, value, time, &[]).is_none();
            assert!(!KAFKA.take_all(5_000, &batch, 0) || is_taken, "{value} bytes at {time}");
            assert_eq!(KAFKA.take_all(5_000, &batch, 0), value == 10 && time == 5_000);
        }
    }
}
