//! Keeps lines that speak of an error.

use millstream_sdk::{Record, Reject};

/// Whether the record stays. A value that is no text is rejected: the pipeline's `on-error` decides what becomes of it.
pub fn keep(record: &Record) -> Result<bool, Reject> {
    Ok(record.text()?.contains("ERROR"))
}

millstream_sdk::filter!(keep);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_an_error_are_kept() {
        assert_eq!(keep(&Record::of(b"12:00 ERROR disk full")), Ok(true));
        assert_eq!(keep(&Record::of(b"12:00 INFO started")), Ok(false));
        assert!(keep(&Record::of(b"\xff")).is_err());
    }
}
