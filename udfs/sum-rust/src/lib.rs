//! Adds up a number from a JSON field. The state is the exact sum, the result decimal text; a record without such a number
//! is refused, not counted as 0.

use std::io::Write as _;

use json_number::{Field, Number};
use millstream_sdk::{Aggregator, Group, Leaves, Merge, Record, Reject, Retract, Settings};

/// The sum of a field.
pub struct Sum {
    field: Field,
}

impl Sum {
    /// Takes the setting `field`.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self { field: Field::new(settings)? })
    }
}

impl Aggregator for Sum {
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

impl Merge for Sum {
    fn merge(&self, left: Number, right: Number) -> Result<Number, String> {
        left.checked_add(right).ok_or_else(|| "the sum would be too large".into())
    }
}

impl Retract for Sum {
    fn remove(&self, state: &mut Number, record: &Record<'_>) -> Result<(), Reject> {
        *state = state.checked_sub(self.field.number(record)?).ok_or("the sum would be too large")?;
        Ok(())
    }
}

#[cfg(feature = "export")]
millstream_sdk::functions! {
    /// Adds up the number in a JSON field.
    "sum": aggregator + merger + retractor = Sum::new, settings = json_number::SETTINGS;
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::{Groups, start};

    #[test]
    fn the_sum_is_that_of_the_field_in_the_settings() {
        let sum = start(FUNCTIONS, "sum", &Settings::from([("field", "bytes")])).unwrap();
        let values = [r#"{"bytes": 0.1}"#, r#"{"bytes": 0.2}"#, r#"{"other": 1}"#];
        let records = values.map(|value| Record::of(value.as_bytes())).into_iter().collect();
        let keys = || [Some(&b"k"[..])].into_iter().collect();
        let groups = Groups {
            keys: keys(),
            states: [None].into_iter().collect(),
            offsets: vec![0, 3],
            members: vec![0, 1, 2],
            ..Groups::default()
        };
        let folded = sum.add(&groups, &records).unwrap();
        assert_eq!((folded.rejected.len(), folded.rejected[0].index), (1, 2));
        assert_eq!(folded.rejected[0].reason, "the value has no field `bytes`");
        let twice = sum.merge(&folded.states, &folded.states).unwrap();
        let finished = sum.finish(&Groups { keys: keys(), states: twice, ..Groups::default() }).unwrap();
        assert_eq!(finished.get(0), Some(&b"0.6"[..]));
        let left = sum.remove(&Groups { states: folded.states, ..groups }, &records).unwrap();
        assert_eq!(left.rejected.len(), 1, "what never came in");
        let finished = sum.finish(&Groups { keys: keys(), states: left.states, ..Groups::default() }).unwrap();
        assert_eq!(finished.get(0), Some(&b"0"[..]));
    }

    #[test]
    fn a_setting_that_is_not_there_is_refused() {
        let error = start(FUNCTIONS, "", &Settings::from([("feild", "bytes")])).err();
        assert_eq!(error, Some("there is no setting `feild`; there are `field`".into()));
    }
}
