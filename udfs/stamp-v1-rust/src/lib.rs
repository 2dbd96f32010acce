//! Puts `v1:` before the value, so that a test sees which version computed a result. Null values stay null.

use millstream_sdk::{Output, Record};

/// The record with `v1:` before its value.
pub fn stamp(record: &Record, out: &mut Output) {
    match record.value {
        Some(value) => out.emit_value_with(|into| {
            into.extend_from_slice(b"v1:");
            into.extend_from_slice(value);
        }),
        None => out.emit_same(),
    }
}

millstream_sdk::mapper!(stamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_stamped() {
        let records = [Some(&b"a"[..]), None].map(|value| Record { value, ..Record::default() }).into_iter().collect();
        let output = millstream_sdk::apply(&stamp, &records);
        assert_eq!(output.values, Some([Some(&b"v1:a"[..]), None].into_iter().collect()));
    }
}
