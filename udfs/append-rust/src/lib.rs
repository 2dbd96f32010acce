//! The values of a group in the order in which they came, with commas between them: what an aggregate has seen, readable. Of a table
//! the first of a row's value is taken out again. The state is that text, so it is bounded by what a state may have, and a reduce has it too.

use millstream_sdk::{Aggregator, Group, Leaves, Merge, Record, Reject, Retract};

/// The values of a group.
pub struct Append;

/// The text; `None`: no value yet, which is not the same as an empty one.
pub type State = Option<Vec<u8>>;

fn joined(state: State, value: &[u8]) -> State {
    Some(match state {
        Some(before) => [&before, &b","[..], value].concat(),
        None => value.to_vec(),
    })
}

impl Aggregator for Append {
    type State = State;

    fn decode(&self, bytes: &[u8]) -> Result<State, String> {
        Ok(Some(bytes.to_vec()))
    }

    fn encode(&self, state: &State, into: &mut Vec<u8>) {
        into.extend_from_slice(state.as_deref().unwrap_or_default());
    }

    fn add(&self, state: &mut State, record: &Record<'_>) -> Result<(), Reject> {
        *state = joined(state.take(), record.value_or_empty());
        Ok(())
    }

    fn is_gone(&self, state: &State) -> bool {
        state.is_none()
    }

    fn finish(&self, state: &State, _group: &Group<'_>, out: &mut Vec<u8>) -> Leaves {
        let Some(text) = state else { return Leaves::Nothing };
        out.extend_from_slice(text);
        Leaves::Value
    }
}

impl Merge for Append {
    fn merge(&self, left: State, right: State) -> Result<State, String> {
        Ok(match right {
            Some(right) => joined(left, &right),
            None => left,
        })
    }
}

impl Retract for Append {
    fn remove(&self, state: &mut State, record: &Record<'_>) -> Result<(), Reject> {
        let (text, value) = (state.as_deref().unwrap_or_default(), record.value_or_empty());
        let end = |from: usize| from + value.len();
        let begins = |from: usize| from == 0 || text[from - 1] == b',';
        let ends = |from: usize| end(from) == text.len() || text[end(from)] == b',';
        let mut places = (0..=text.len().saturating_sub(value.len())).filter(|from| text[*from..].starts_with(value));
        let from = places.find(|from| begins(*from) && ends(*from)).filter(|_| state.is_some());
        let from = from.ok_or("it never came in")?;
        let is_only = from == 0 && end(from) == text.len();
        // With the comma behind it; of the last one with that before it.
        let (from, to) =
            if end(from) < text.len() { (from, end(from) + 1) } else { (from.saturating_sub(1), end(from)) };
        let rest = [&text[..from], &text[to..]].concat();
        *state = (!is_only).then_some(rest);
        Ok(())
    }
}

millstream_sdk::aggregator!(Append);
millstream_sdk::merger!(Append);
millstream_sdk::retractor!(Append);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_order_and_the_earlier_session_first() {
        let mut state = State::default();
        for value in ["a", "", "b"] {
            Append.add(&mut state, &Record::of(value.as_bytes())).unwrap();
        }
        assert_eq!(state.as_deref(), Some(&b"a,,b"[..]));
        let merged = Append.merge(state.clone(), Some(b"c".to_vec())).unwrap();
        assert_eq!(merged.as_deref(), Some(&b"a,,b,c"[..]));
        assert_eq!(Append.merge(state.clone(), None), Ok(state));
    }

    #[test]
    fn the_first_of_a_value_is_taken_out_whole() {
        let without = |text: &str, value: &'static str| {
            let mut state = Some(text.as_bytes().to_vec());
            Append
                .remove(&mut state, &Record::of(value.as_bytes()))
                .map(|()| state.map(|s| String::from_utf8(s).unwrap()))
        };
        let left = |text: &str| Ok(Some(text.to_string()));
        assert_eq!(without("ab,b,c,b", "b"), left("ab,c,b"));
        assert_eq!((without("a,b", "b"), without("a,b", "a")), (left("a"), left("b")));
        assert_eq!((without("a", "a"), without(",", "")), (Ok(None), left("")));
        assert_eq!((without("ab", "b").is_err(), Append.remove(&mut None, &Record::of(b"")).is_err()), (true, true));
    }

    #[test]
    fn an_empty_value_is_not_none() {
        let mut state = State::default();
        assert!(Append.is_gone(&state));
        Append.add(&mut state, &Record::of(b"")).unwrap();
        let mut bytes = Vec::new();
        Append.encode(&state, &mut bytes);
        assert_eq!((Append.is_gone(&state), Append.decode(&bytes)), (false, Ok(Some(Vec::new()))));
        assert_eq!(Append.finish(&None, &Group::default(), &mut bytes), Leaves::Nothing);
    }
}
