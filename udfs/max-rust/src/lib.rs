//! The largest number of a JSON field. The state is that number, the result decimal text; a record without such a number
//! is refused.

use std::io::Write as _;

use json_number::{Field, Number};
use millstream_sdk::{Aggregator, Group, Leaves, Merge, Record, Reject, Settings};

/// The largest value of a field.
pub struct Max {
    field: Field,
}

impl Max {
    /// Takes the setting `field`.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self { field: Field::new(settings)? })
    }
}

impl Aggregator for Max {
    /// `None` before the first record.
    type State = Option<Number>;

    fn decode(&self, bytes: &[u8]) -> Result<Self::State, String> {
        Number::from_bytes(bytes).map(Some)
    }

    fn encode(&self, state: &Self::State, into: &mut Vec<u8>) {
        // Only states that have seen a record are stored.
        into.extend(state.iter().flat_map(|number| number.to_bytes()));
    }

    fn add(&self, state: &mut Self::State, record: &Record<'_>) -> Result<(), Reject> {
        *state = (*state).max(Some(self.field.number(record)?));
        Ok(())
    }

    fn finish(&self, state: &Self::State, _group: &Group<'_>, out: &mut Vec<u8>) -> Leaves {
        let Some(number) = state else { return Leaves::Nothing };
        // Writing into a vector cannot fail.
        let _ = write!(out, "{number}");
        Leaves::Value
    }
}

impl Merge for Max {
    fn merge(&self, left: Self::State, right: Self::State) -> Result<Self::State, String> {
        Ok(left.max(right))
    }
}

#[cfg(feature = "export")]
millstream_sdk::functions! {
    /// The largest number in a JSON field.
    "max": aggregator + merger = Max::new, settings = json_number::SETTINGS;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_kept_below_zero_too() {
        let max = Max::new(&Settings::default()).unwrap();
        let mut state = None;
        for (value, largest) in [("-2", "-2"), ("-10", "-2"), ("-1.5", "-1.5")] {
            max.add(&mut state, &Record::of(value.as_bytes())).unwrap();
            let mut bytes = Vec::new();
            max.encode(&state, &mut bytes);
            assert_eq!(max.decode(&bytes), Ok(state));
            let mut result = Vec::new();
            assert_eq!(max.finish(&state, &Group::default(), &mut result), Leaves::Value);
            assert_eq!(result, largest.as_bytes());
        }
        let other = Some(Number::parse("3").unwrap());
        assert_eq!(max.merge(state, other), Ok(other));
        assert!(max.add(&mut state, &Record::of(b"x")).is_err());
        assert_eq!(max.finish(&None, &Group::default(), &mut Vec::new()), Leaves::Nothing);
    }
}
