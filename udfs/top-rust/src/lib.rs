//! The records of a group with the largest numbers in a JSON field. What is kept of a group is bounded; the result is exact all the same, or
//! the record that would make it a guess is refused.

use std::cmp::Reverse;

use json_number::{Field, Number};
use millstream_sdk::{Aggregator, Group, Leaves, Merge, Record, Reject, Retract, Settings};

/// How many leave, unless the setting `n` says otherwise.
const N_DEFAULT: usize = 10;
/// How many can leave.
const N_MAX: usize = 100;
/// How many can be kept.
const KEEP_MAX: usize = 1_000;

/// The largest of a field.
pub struct Top {
    field: Field,
    n: usize,
    keep: usize,
}

impl Top {
    /// Takes the settings `field`, `n` and `keep`.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let field = Field::new(settings)?;
        let n = settings.parsed("n")?.unwrap_or(N_DEFAULT);
        let keep = settings.parsed("keep")?.unwrap_or(n);
        if !(1..=N_MAX).contains(&n) {
            return Err(format!("the setting `n` is {n}; it lies between 1 and {N_MAX}"));
        }
        if !(n..=KEEP_MAX).contains(&keep) {
            return Err(format!("the setting `keep` is {keep}; it lies between `n`, which is {n}, and {KEEP_MAX}"));
        }
        Ok(Self { field, n, keep })
    }

    fn row(&self, record: &Record<'_>) -> Result<Row, Reject> {
        Ok((Reverse(self.field.number(record)?), record.value_or_empty().to_vec()))
    }

    /// Lets go of what is not kept.
    fn cut(&self, state: &mut State) {
        state.beyond += state.kept.len().saturating_sub(self.keep) as u64;
        state.kept.truncate(self.keep);
    }
}

/// Number and value; the largest number comes first.
type Row = (Reverse<Number>, Vec<u8>);

/// Rows of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The first of them, in order.
    kept: Vec<Row>,
    /// How many more there are, all behind those kept.
    beyond: u64,
}

impl Aggregator for Top {
    type State = State;

    /// How many are not kept (8 bytes), then each row: number (16 bytes), length of its value (4 bytes), value.
    fn decode(&self, bytes: &[u8]) -> Result<State, String> {
        let short = || "the state ends too early".to_string();
        let (beyond, mut rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
        let mut kept = Vec::new();
        while !rest.is_empty() {
            let (number, tail) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            let (len, tail) = tail.split_first_chunk::<4>().ok_or_else(short)?;
            let (value, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(short)?;
            kept.push((Reverse(Number::from_bytes(number)?), value.to_vec()));
            rest = tail;
        }
        Ok(State { kept, beyond: u64::from_le_bytes(*beyond) })
    }

    fn encode(&self, state: &State, into: &mut Vec<u8>) {
        into.extend_from_slice(&state.beyond.to_le_bytes());
        for (Reverse(number), value) in &state.kept {
            into.extend_from_slice(&number.to_bytes());
            into.extend_from_slice(&(value.len() as u32).to_le_bytes());
            into.extend_from_slice(value);
        }
    }

    fn add(&self, state: &mut State, record: &Record<'_>) -> Result<(), Reject> {
        let row = self.row(record)?;
        let at = state.kept.partition_point(|kept| *kept <= row);
        // Behind rows that are not kept its place is not known, and it is not kept either.
        if at == state.kept.len() && state.beyond > 0 {
            state.beyond += 1;
            return Ok(());
        }
        state.kept.insert(at, row);
        self.cut(state);
        Ok(())
    }

    fn is_gone(&self, state: &State) -> bool {
        state.kept.is_empty() && state.beyond == 0
    }

    fn finish(&self, state: &State, _group: &Group<'_>, out: &mut Vec<u8>) -> Leaves {
        if state.kept.is_empty() {
            return Leaves::Nothing;
        }
        // Values are JSON, or no number would have been found in them.
        out.push(b'[');
        for (i, (_, value)) in state.kept.iter().take(self.n).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(value);
        }
        out.push(b']');
        Leaves::Value
    }
}

impl Merge for Top {
    fn merge(&self, left: State, right: State) -> Result<State, String> {
        // What one side does not keep lies behind all that it keeps; nothing of the other that stands behind that has a known place.
        let known = |side: &State| side.kept.last().filter(|_| side.beyond > 0).cloned();
        let until = [known(&left), known(&right)].into_iter().flatten().min();
        let mut merged = State { kept: [left.kept, right.kept].concat(), beyond: left.beyond + right.beyond };
        merged.kept.sort();
        let known = until.map_or(merged.kept.len(), |until| merged.kept.partition_point(|row| *row <= until));
        merged.beyond += (merged.kept.len() - known) as u64;
        merged.kept.truncate(known);
        self.cut(&mut merged);
        Ok(merged)
    }
}

impl Retract for Top {
    fn remove(&self, state: &mut State, record: &Record<'_>) -> Result<(), Reject> {
        let row = self.row(record)?;
        match state.kept.binary_search(&row) {
            Ok(_) if state.kept.len() <= self.n && state.beyond > 0 => Err(Reject::new(
                "more rows were in the group than are kept, so which takes its place is not known; set `keep` higher",
            )),
            Ok(at) => {
                state.kept.remove(at);
                Ok(())
            }
            Err(_) if state.beyond > 0 => {
                state.beyond -= 1;
                Ok(())
            }
            Err(_) => Err(Reject::new("it never came in")),
        }
    }
}

/// What the settings are, as JSON Schema.
const SETTINGS: &str = r#"{"type":"object","properties":{"field":{"type":"string"},"n":{"type":"integer","minimum":1,"maximum":100},"keep":{"type":"integer","minimum":1,"maximum":1000}},"additionalProperties":false}"#;

millstream_sdk::functions! {
    /// The records of a group with the largest numbers in a JSON field.
    "top": aggregator + merger + retractor = Top::new, settings = SETTINGS;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(n: &str, keep: &str) -> Top {
        Top::new(&Settings::from([("n", n), ("keep", keep)])).unwrap()
    }

    fn state(top: &Top, values: &[&str]) -> State {
        let mut state = State::default();
        values.iter().for_each(|value| top.add(&mut state, &Record::of(value.as_bytes())).unwrap());
        state
    }

    fn shown(top: &Top, state: &State) -> String {
        let mut bytes = Vec::new();
        top.encode(state, &mut bytes);
        assert_eq!(top.decode(&bytes).as_ref(), Ok(state), "it reads what it writes");
        let mut out = Vec::new();
        match top.finish(state, &Group::default(), &mut out) {
            Leaves::Value => String::from_utf8(out).unwrap(),
            Leaves::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn the_largest_leave_in_order_and_the_rest_is_counted() {
        let top = top("2", "3");
        let state = state(&top, &["3", "10", "-1", "7", "10.0", "8"]);
        assert_eq!((shown(&top, &state), state.kept.len(), state.beyond), ("[10,10.0]".into(), 3, 3));
        assert_eq!(shown(&top, &State::default()), "nothing");
        assert!(top.add(&mut State::default(), &Record::of(b"x")).is_err());
    }

    #[test]
    fn merged_states_are_those_of_all_records_together() {
        let top = top("2", "2");
        let all = ["5", "1", "9", "7", "3", "8", "9", "2"];
        for cut in 0..=all.len() {
            let (left, right) = all.split_at(cut);
            let merged = top.merge(state(&top, left), state(&top, right)).unwrap();
            assert_eq!(shown(&top, &merged), "[9,9]", "cut at {cut}");
            assert_eq!(merged.kept.len() as u64 + merged.beyond, all.len() as u64);
        }
    }

    #[test]
    fn a_row_that_goes_makes_room_as_long_as_it_is_known_for_which() {
        let top = top("2", "3");
        let mut state = state(&top, &["1", "2", "3", "4"]);
        let mut remove =
            |value: &str| top.remove(&mut state, &Record::of(value.as_bytes())).map(|()| shown(&top, &state));
        assert_eq!(remove("4"), Ok("[3,2]".into()));
        assert!(remove("3").is_err(), "whether 1 or another is the second is not known");
        assert_eq!(remove("1"), Ok("[3,2]".into()), "it was one of those not kept");
        assert_eq!(remove("3"), Ok("[2]".into()));
        assert!(remove("7").is_err(), "it never came in");
        assert_eq!(remove("2"), Ok("nothing".into()));
        assert!(top.is_gone(&state));
    }

    #[test]
    fn a_row_behind_what_is_not_kept_is_not_kept_either() {
        let top = top("1", "2");
        let mut state = state(&top, &["5", "4", "3"]);
        top.remove(&mut state, &Record::of(b"4")).unwrap();
        top.add(&mut state, &Record::of(b"2")).unwrap();
        assert_eq!((state.kept.len(), state.beyond), (1, 2), "3 stands before 2 and is not known");
        top.add(&mut state, &Record::of(b"6")).unwrap();
        assert_eq!((shown(&top, &state), state.beyond), ("[6]".into(), 2));
    }

    #[test]
    fn settings_have_limits() {
        let error =
            |n: &str, keep: &str| Top::new(&Settings::from([("n", n), ("keep", keep)])).err().unwrap_or_default();
        assert!(error("0", "5").contains("between 1 and 100") && error("101", "200").contains("between 1 and 100"));
        assert!(error("5", "4").contains("`keep` is 4") && error("5", "1001").contains("and 1000"));
        assert_eq!((error("100", "1000"), error("1", "1")), (String::new(), String::new()));
    }
}
