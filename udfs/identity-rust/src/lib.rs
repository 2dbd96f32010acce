//! Every record as it is. For tests and measurements, not for pipelines.

use millstream_sdk::{Output, Record};

/// The record itself.
pub fn identity(_record: &Record, out: &mut Output) {
    out.emit_same();
}

millstream_sdk::mapper!(identity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_column_is_sent() {
        let records = [Record { value: Some(b"a"), ..Record::default() }].into_iter().collect();
        let output = millstream_sdk::apply(&identity, &records);
        assert_eq!((output.taken, output.sources, output.keys, output.values), (1, None, None, None));
    }
}
