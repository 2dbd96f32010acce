//! Counts records. The state is a u64, little-endian; the result is decimal text.

use std::io::Write as _;

use millstream_sdk::{Aggregator, Group, Leaves, Merge, Record, Reject};

/// How many records a group had.
pub struct Count;

impl Aggregator for Count {
    type State = u64;

    fn decode(&self, bytes: &[u8]) -> Result<u64, String> {
        let bytes = bytes.try_into().map_err(|_| format!("a count has 8 bytes, this state has {}", bytes.len()))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn encode(&self, state: &u64, into: &mut Vec<u8>) {
        into.extend_from_slice(&state.to_le_bytes());
    }

    fn add(&self, state: &mut u64, _record: &Record<'_>) -> Result<(), Reject> {
        *state += 1;
        Ok(())
    }

    fn finish(&self, state: &u64, _group: &Group<'_>, out: &mut Vec<u8>) -> Leaves {
        // Writing into a vector cannot fail.
        let _ = write!(out, "{state}");
        Leaves::Value
    }
}

impl Merge for Count {
    fn merge(&self, left: u64, right: u64) -> Result<u64, String> {
        Ok(left + right)
    }
}

millstream_sdk::aggregator!(Count);
millstream_sdk::merger!(Count);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_as_bytes_and_leave_as_text() {
        let mut state = Count.decode(&[255, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        Count.add(&mut state, &Record::default()).unwrap();
        let mut bytes = Vec::new();
        Count.encode(&state, &mut bytes);
        assert_eq!(bytes, [0, 2, 0, 0, 0, 0, 0, 0]);
        let mut result = Vec::new();
        assert_eq!(Count.finish(&state, &Group::default(), &mut result), Leaves::Value);
        assert_eq!(result, b"512");
        assert_eq!(Count.merge(2, 3), Ok(5));
    }

    #[test]
    fn another_functions_state_is_an_error() {
        assert_eq!(Count.decode(b"12"), Err("a count has 8 bytes, this state has 2".into()));
    }
}
