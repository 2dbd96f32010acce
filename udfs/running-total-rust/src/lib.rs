//! A running total: after each record the sum of a number in a JSON field so far. The state is the exact sum, results are decimal
//! text; a record without such a number is refused.

use std::io::Write as _;

use json_number::{Field, Number};
use millstream_sdk::{Aggregator, Group, Leaves, Record, Reject, Settings};

/// The sum of a field so far.
pub struct RunningTotal {
    field: Field,
}

impl RunningTotal {
    /// Takes the setting `field`.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self { field: Field::new(settings)? })
    }
}

impl Aggregator for RunningTotal {
    type State = Number;

    fn decode(&self, bytes: &[u8]) -> Result<Number, String> {
        Number::from_bytes(bytes)
    }

    fn encode(&self, state: &Number, into: &mut Vec<u8>) {
        into.extend_from_slice(&state.to_bytes());
    }

    fn add(&self, state: &mut Number, record: &Record<'_>) -> Result<(), Reject> {
        *state = state.checked_add(self.field.number(record)?).ok_or("the sum would be too large")?;
        Ok(())
    }

    fn finish(&self, state: &Number, _group: &Group<'_>, out: &mut Vec<u8>) -> Leaves {
        // Writing into a vector cannot fail.
        let _ = write!(out, "{state}");
        Leaves::Value
    }
}

millstream_sdk::functions! {
    /// After each record the sum of the number in a JSON field so far.
    "running-total": scanner = RunningTotal::new, settings = json_number::SETTINGS;
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::{Groups, start};

    #[test]
    fn each_record_has_the_sum_so_far_and_refused_ones_have_none() {
        let total = start(FUNCTIONS, "running-total", &Settings::from([("field", "n")])).unwrap();
        let values = [r#"{"n": 0.1}"#, r#"{"other": 1}"#, r#"{"n": 5}"#, r#"{"n": 0.2}"#];
        let records = values.map(|value| Record::of(value.as_bytes())).into_iter().collect();
        let groups = Groups {
            keys: [Some(&b"a"[..]), Some(b"b")].into_iter().collect(),
            states: [None, None].into_iter().collect(),
            offsets: vec![0, 3, 4],
            members: vec![0, 1, 3, 2],
            ..Groups::default()
        };
        let scanned = total.scan(&groups, &records).unwrap();
        let values: Vec<_> = scanned.values.iter().collect();
        assert_eq!(values, [Some(&b"0.1"[..]), None, Some(b"0.3"), Some(b"5")]);
        assert_eq!((scanned.rejected.len(), scanned.rejected[0].index), (1, 1));
        let further = total.scan(&Groups { states: scanned.states, ..groups }, &records).unwrap();
        assert_eq!(further.values.iter().last(), Some(Some(&b"10"[..])));
    }
}
