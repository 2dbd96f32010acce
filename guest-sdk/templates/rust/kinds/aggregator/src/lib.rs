//! Adds up the numbers of a group.

use std::io::Write as _;

use millstream_sdk::{Aggregator, Group, Leaves, Merge, Record, Reject};

/// The sum of a group.
pub struct Sum;

impl Aggregator for Sum {
    type State = i64;

    fn decode(&self, bytes: &[u8]) -> Result<i64, String> {
        let bytes = bytes.try_into().map_err(|_| format!("a sum has 8 bytes, this state has {}", bytes.len()))?;
        Ok(i64::from_le_bytes(bytes))
    }

    fn encode(&self, state: &i64, into: &mut Vec<u8>) {
        into.extend_from_slice(&state.to_le_bytes());
    }

    fn add(&self, state: &mut i64, record: &Record<'_>) -> Result<(), Reject> {
        let number: i64 = record.text()?.trim().parse().map_err(|_| "the value is not a whole number")?;
        *state = state.checked_add(number).ok_or("the sum would be too large")?;
        Ok(())
    }

    fn finish(&self, state: &i64, _group: &Group<'_>, out: &mut Vec<u8>) -> Leaves {
        // Writing into a vector cannot fail.
        let _ = write!(out, "{state}");
        Leaves::Value
    }
}

/// For session windows, and for windows built from panes.
impl Merge for Sum {
    fn merge(&self, left: i64, right: i64) -> Result<i64, String> {
        left.checked_add(right).ok_or_else(|| "the sum would be too large".into())
    }
}

millstream_sdk::aggregator!(Sum);
millstream_sdk::merger!(Sum);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_added_up() {
        let mut state = 0;
        Sum.add(&mut state, &Record::of(b"40")).unwrap();
        Sum.add(&mut state, &Record::of(b" 2\n")).unwrap();
        assert!(Sum.add(&mut state, &Record::of(b"two")).is_err());
        assert_eq!(state, 42);
    }
}
