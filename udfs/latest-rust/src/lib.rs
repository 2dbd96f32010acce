//! The value with the latest event time; of equals the one that came last. Not the one that arrived last: order of arrival
//! decides only between equals.

use millstream_sdk::{Aggregator, Group, Leaves, Merge, Record, Reject};

/// The latest value of a group.
pub struct Latest;

/// The value and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    timestamp: i64,
    /// `None`: the latest record had no value.
    value: Option<Vec<u8>>,
}

impl Default for State {
    fn default() -> Self {
        Self { timestamp: i64::MIN, value: None }
    }
}

impl Aggregator for Latest {
    type State = State;

    /// Eight bytes of time, little-endian; then 1 and the value, or 0.
    fn decode(&self, bytes: &[u8]) -> Result<State, String> {
        let wrong = || format!("a latest value has 8 bytes of time and a mark, this state is {bytes:?}");
        let (time, rest) = bytes.split_first_chunk().ok_or_else(wrong)?;
        let value = match rest {
            [0] => None,
            [1, value @ ..] => Some(value.to_vec()),
            _ => return Err(wrong()),
        };
        Ok(State { timestamp: i64::from_le_bytes(*time), value })
    }

    fn encode(&self, state: &State, into: &mut Vec<u8>) {
        into.extend_from_slice(&state.timestamp.to_le_bytes());
        into.push(u8::from(state.value.is_some()));
        into.extend_from_slice(state.value.as_deref().unwrap_or_default());
    }

    fn add(&self, state: &mut State, record: &Record<'_>) -> Result<(), Reject> {
        if record.timestamp >= state.timestamp {
            *state = State { timestamp: record.timestamp, value: record.value.map(<[u8]>::to_vec) };
        }
        Ok(())
    }

    fn finish(&self, state: &State, _group: &Group<'_>, out: &mut Vec<u8>) -> Leaves {
        let Some(value) = &state.value else { return Leaves::Nothing };
        out.extend_from_slice(value);
        Leaves::Value
    }
}

impl Merge for Latest {
    fn merge(&self, left: State, right: State) -> Result<State, String> {
        Ok(if right.timestamp >= left.timestamp { right } else { left })
    }
}

millstream_sdk::aggregator!(Latest);
millstream_sdk::merger!(Latest);

#[cfg(test)]
mod tests {
    use super::*;

    fn state(timestamp: i64, value: Option<&str>) -> State {
        State { timestamp, value: value.map(|text| text.as_bytes().to_vec()) }
    }

    #[test]
    fn time_decides_and_between_equals_the_order() {
        let mut latest = State::default();
        for (timestamp, value, expected) in [(5, "a", "a"), (3, "b", "a"), (5, "c", "c"), (9, "d", "d")] {
            Latest.add(&mut latest, &Record { timestamp, ..Record::of(value.as_bytes()) }).unwrap();
            assert_eq!(latest.value.as_deref(), Some(expected.as_bytes()));
        }
        let merge = |left, right| Latest.merge(left, right).unwrap();
        assert_eq!(merge(state(1, Some("l")), state(1, Some("r"))), state(1, Some("r")));
        assert_eq!(merge(state(2, Some("l")), state(1, Some("r"))), state(2, Some("l")));
    }

    #[test]
    fn states_are_read_back_and_others_refused() {
        for given in [state(-1, None), state(7, Some("")), state(7, Some("text"))] {
            let mut bytes = Vec::new();
            Latest.encode(&given, &mut bytes);
            assert_eq!(Latest.decode(&bytes), Ok(given));
        }
        for wrong in [&b""[..], b"12345678", b"12345678\x02", b"12345678\0x"] {
            assert!(Latest.decode(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(Latest.finish(&state(1, None), &Group::default(), &mut Vec::new()), Leaves::Nothing);
    }
}
