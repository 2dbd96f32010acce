//! One record as a function sees it, and how it refuses one. Not the columns it is borrowed from.

use std::fmt;

use crate::{Header, Place, Window};

/// A record, borrowed from the columns of its batch: reading one copies nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// `None`: the record has no key.
    pub key: Option<&'a [u8]>,
    /// `None`: the record has no value (in a table: a tombstone).
    pub value: Option<&'a [u8]>,
    /// Event time, milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// Where headers, window and stream time are found; those of a record outside a batch are not there.
    pub place: Place<'a>,
}

impl<'a> Record<'a> {
    /// A record with this value, at time 0 and without a key: for tests.
    pub fn of(value: &'a [u8]) -> Self {
        Self { value: Some(value), ..Self::default() }
    }

    /// The value, or no bytes where there is none.
    #[inline]
    pub fn value_or_empty(&self) -> &'a [u8] {
        self.value.unwrap_or_default()
    }

    /// The value as text; a value that is not there or not UTF-8 is refused.
    pub fn text(&self) -> Result<&'a str, Reject> {
        let value = self.value.ok_or_else(|| Reject::new("the record has no value"))?;
        std::str::from_utf8(value).map_err(|_| Reject::new("the value is not UTF-8"))
    }

    /// The record's headers in order; a name may come several times, a value may be null.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> {
        let found = self.place.get().and_then(|(context, index)| Some(context.headers()?.of(index)));
        found.into_iter().flatten()
    }

    /// The value of the last header of this name; `None` when there is no such header, or its value is null.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().filter(|(given, _)| *given == name).last().and_then(|(_, value)| value)
    }

    /// The step's stream time once this record is in, milliseconds.
    pub fn stream_time(&self) -> Option<i64> {
        self.place.get().and_then(|(context, index)| context.stream_time(index))
    }

    /// The window of this record's key; `None` where keys have no window.
    pub fn window(&self) -> Option<Window> {
        self.place.get().and_then(|(context, index)| context.window(index))
    }

    /// Which of the step's inputs, in the manifest's order, this record came from; 0 where there is only one.
    pub fn input(&self) -> u32 {
        self.place.get().map_or(0, |(context, index)| context.input(index))
    }
}

/// The function will not handle this record; the pipeline's `on-error` decides its fate, and the other records go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    reason: String,
}

impl Reject {
    /// `reason` is for people: what about the record is wrong.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    /// The reason given.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn into_reason(self) -> String {
        self.reason
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for Reject {}

impl From<&str> for Reject {
    fn from(reason: &str) -> Self {
        Self::new(reason)
    }
}

impl From<String> for Reject {
    fn from(reason: String) -> Self {
        Self::new(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Context};

    #[test]
    fn a_value_that_is_no_text_is_refused_with_its_reason() {
        let record = Record { value: Some(b"\xff"), ..Record::default() };
        assert_eq!(record.text().unwrap_err().reason(), "the value is not UTF-8");
        assert_eq!(Record::default().text().unwrap_err().reason(), "the record has no value");
        assert_eq!(Record { value: Some("é".as_bytes()), ..Record::default() }.text(), Ok("é"));
    }

    #[test]
    fn of_headers_with_one_name_the_last_counts() {
        let mut batch: Batch = [Record::of(b"a")].into_iter().collect();
        let headers: &[Header] = &[("a", Some(b"1")), ("a", Some(b"2")), ("b", Some(b"3")), ("b", None)];
        batch.context = Context::default().with_headers([headers].into_iter().collect());
        let record = batch.record(0);
        assert_eq!(record.headers().collect::<Vec<_>>(), headers);
        assert_eq!((record.header("a"), record.header("b"), record.header("c")), (Some(&b"2"[..]), None, None));
    }
}
