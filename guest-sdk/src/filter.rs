//! Filters: keep or drop, decided on one record, answered as a bitmap. Not the export itself.

use crate::{Batch, Kept, Record, Reject, Rejection};

/// Keeps or drops records. Any `fn(&Record) -> bool` or `fn(&Record) -> Result<bool, Reject>` is one.
pub trait Filter {
    /// Whether this record is kept.
    fn keep(&self, record: &Record<'_>) -> Result<bool, Reject>;
}

/// What a filter written as a plain function may answer with.
pub trait Verdict {
    /// As the trait [`Filter`] wants it.
    fn verdict(self) -> Result<bool, Reject>;
}

impl Verdict for bool {
    #[inline]
    fn verdict(self) -> Result<bool, Reject> {
        Ok(self)
    }
}

impl Verdict for Result<bool, Reject> {
    #[inline]
    fn verdict(self) -> Result<bool, Reject> {
        self
    }
}

impl<F, R> Filter for F
where
    F: for<'a, 'b> Fn(&'a Record<'b>) -> R,
    R: Verdict,
{
    #[inline]
    fn keep(&self, record: &Record<'_>) -> Result<bool, Reject> {
        self(record).verdict()
    }
}

/// Asks `filter` about every record of `records`.
pub fn keep<F: Filter + ?Sized>(filter: &F, records: &Batch) -> Kept {
    let mut kept = Kept { bits: Vec::with_capacity(records.len().div_ceil(8)), rejected: Vec::new() };
    for first in (0..records.len()).step_by(8) {
        let mut byte = 0;
        for index in first..records.len().min(first + 8) {
            match filter.keep(&records.record(index)) {
                Ok(answer) => byte |= u8::from(answer) << (index - first),
                Err(reject) => kept.rejected.push(Rejection { index: index as u32, reason: reject.into_reason() }),
            }
        }
        kept.bits.push(byte);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(given: &[&str]) -> Batch {
        given.iter().map(|value| Record { value: Some(value.as_bytes()), ..Record::default() }).collect()
    }

    #[test]
    fn a_plain_function_is_a_filter() {
        fn long(record: &Record) -> bool {
            record.value_or_empty().len() > 2
        }
        let batch = values(&["a", "abc", "", "abcd", "a", "a", "abc", "abc", "abc"]);
        assert_eq!(keep(&long, &batch), Kept { bits: vec![0b1100_1010, 1], rejected: vec![] });
        assert_eq!(keep(&|record: &Record| record.timestamp == 0, &values(&["x"])).bits, [1]);
        assert_eq!(keep(&long, &Batch::default()), Kept::default());
    }

    #[test]
    fn a_refused_record_has_its_bit_at_0_and_its_reason() {
        let picky = |record: &Record| match record.value {
            Some(b"bad") => Err(Reject::new("it is bad")),
            _ => Ok(true),
        };
        let kept = keep(&picky, &values(&["a", "bad", "b"]));
        assert_eq!(kept.bits, [0b101]);
        assert_eq!(kept.rejected, [Rejection { index: 1, reason: "it is bad".into() }]);
    }
}
