//! Counts records and the bytes of their values: the successor of count-rust, whose states it reads and writes back. For
//! records that count-rust counted, their bytes are not known and count as 0.

use std::io::Write as _;

use millstream_sdk::{Aggregator, Group, Leaves, Merge, Migrate, Record, Reject, Stored};

/// How many records a group had, and how many bytes.
pub struct CountBytes;

/// Both counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    records: u64,
    bytes: u64,
}

/// Layout 0: the u64 of count-rust, little-endian. Layout 1: that, and a u64 of bytes behind it.
const COUNT: u32 = 0;

fn number(bytes: &[u8]) -> Result<u64, String> {
    let bytes = bytes.try_into().map_err(|_| format!("a count has 8 bytes, here are {}", bytes.len()))?;
    Ok(u64::from_le_bytes(bytes))
}

impl Aggregator for CountBytes {
    type State = State;

    fn decode(&self, bytes: &[u8]) -> Result<State, String> {
        let (records, bytes) = bytes.split_at_checked(8).ok_or("a state has two counts of 8 bytes")?;
        Ok(State { records: number(records)?, bytes: number(bytes)? })
    }

    fn encode(&self, state: &State, into: &mut Vec<u8>) {
        into.extend_from_slice(&state.records.to_le_bytes());
        into.extend_from_slice(&state.bytes.to_le_bytes());
    }

    fn add(&self, state: &mut State, record: &Record<'_>) -> Result<(), Reject> {
        state.records += 1;
        state.bytes += record.value_or_empty().len() as u64;
        Ok(())
    }

    fn finish(&self, state: &State, _group: &Group<'_>, out: &mut Vec<u8>) -> Leaves {
        // Writing into a vector cannot fail.
        let _ = write!(out, "{} records, {} bytes", state.records, state.bytes);
        Leaves::Value
    }
}

impl Merge for CountBytes {
    fn merge(&self, left: State, right: State) -> Result<State, String> {
        Ok(State { records: left.records + right.records, bytes: left.bytes + right.bytes })
    }
}

impl Migrate for CountBytes {
    const CURRENT: u32 = 1;
    const READS: &'static [u32] = &[COUNT];
    const WRITES: &'static [u32] = &[COUNT];

    fn migrate(&self, stored: &Stored<'_>, old: u32, _new: u32, into: &mut Vec<u8>) -> Result<(), String> {
        match old {
            COUNT => self.encode(&State { records: number(stored.state)?, bytes: 0 }, into),
            _ => into.extend_from_slice(&self.decode(stored.state)?.records.to_le_bytes()),
        }
        Ok(())
    }
}

millstream_sdk::aggregator!(CountBytes);
millstream_sdk::merger!(CountBytes);
millstream_sdk::migrator!(CountBytes);

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::BytesColumn;

    #[test]
    fn records_and_bytes_are_counted() {
        let mut state = State::default();
        for value in [&b"ab"[..], b"", b"cde"] {
            CountBytes.add(&mut state, &Record::of(value)).unwrap();
        }
        let mut result = Vec::new();
        CountBytes.finish(&CountBytes.merge(state, state).unwrap(), &Group::default(), &mut result);
        assert_eq!(result, b"6 records, 10 bytes");
    }

    #[test]
    fn states_of_count_are_read_and_written_back() {
        let old: BytesColumn = [Some(&3u64.to_le_bytes()[..]), None].into_iter().collect();
        let keys: BytesColumn = [Some(&b"k"[..]), Some(b"l")].into_iter().collect();
        let new = millstream_sdk::migrate(&CountBytes, "", COUNT, 1, &keys, &old).unwrap();
        assert_eq!(CountBytes.decode(new.get(0).unwrap()), Ok(State { records: 3, bytes: 0 }));
        assert_eq!(millstream_sdk::migrate(&CountBytes, "", 1, COUNT, &keys, &new), Ok(old));
        for wrong in [&b"1234567"[..], b"123456789"] {
            assert!(CountBytes.decode(wrong).is_err());
            let states = [Some(wrong)].into_iter().collect();
            assert!(millstream_sdk::migrate(&CountBytes, "", COUNT, 1, &keys, &states).is_err());
        }
    }
}
