//! One record as a function sees it, and how it refuses one. Not the columns it is borrowed from.

use std::fmt;

/// A record, borrowed from the columns of its batch: reading one copies nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// `None`: the record has no key.
    pub key: Option<&'a [u8]>,
    /// `None`: the record has no value (in a table: a tombstone).
    pub value: Option<&'a [u8]>,
    /// Event time, milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
}

impl<'a> Record<'a> {
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

    #[test]
    fn a_value_that_is_no_text_is_refused_with_its_reason() {
        let record = Record { value: Some(b"\xff"), ..Record::default() };
        assert_eq!(record.text().unwrap_err().reason(), "the value is not UTF-8");
        assert_eq!(Record::default().text().unwrap_err().reason(), "the record has no value");
        assert_eq!(Record { value: Some("é".as_bytes()), ..Record::default() }.text(), Ok("é"));
    }
}
