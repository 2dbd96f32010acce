//! Keeps every record. For tests and measurements, not for pipelines.

use millstream_sdk::Record;

/// Always.
pub fn keep_all(_record: &Record) -> bool {
    true
}

millstream_sdk::filter!(keep_all);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_without_anything_is_kept_too() {
        let records = [Record::default(); 3].into_iter().collect();
        assert_eq!(millstream_sdk::keep(&keep_all, &records).bits, [0b111]);
    }
}
