//! Scanners: what leaves after a record may depend on its key's records up to it, in their order, and on nothing else.

use std::fmt;

use millstream_core::function::{Answer, Functions, Groups, Prepared};
use millstream_core::record::Batch;

use super::{
    CALL_RECORDS, CUTS_TRIED, Members, Random, Report, States, every, foldable, keep, note, records_of, same_length,
    shown,
};

/// What left after a record, or a key's state behind all.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Left {
    Value(Option<Vec<u8>>),
    State(Option<Vec<u8>>),
    Refused(String),
    Failed(String),
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Left::Value(None) => f.write_str("nothing leaves"),
            Left::Value(value) => f.write_str(&shown(value.as_deref())),
            Left::State(state) => write!(f, "state {}", shown(state.as_deref())),
            Left::Refused(reason) => write!(f, "refused: {reason}"),
            Left::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

type All = Vec<(String, Left)>;

struct Subject<'a> {
    functions: &'a mut dyn Functions,
    function: Prepared,
}

pub fn verify(functions: &mut dyn Functions, function: Prepared, records: &Batch, seed: u64, report: &mut Report) {
    let records = &foldable(records);
    let (mut subject, mut random) = (Subject { functions, function }, Random(seed));
    let calls = every(CALL_RECORDS, records.len());
    subject.renew();
    let first = subject.run(records, &calls);
    let trial = |then: All, how: String, report: &mut Report| note(report, "scanner", how, &first, &then);
    trial(subject.run(records, &calls), "again, by the same instance".into(), report);
    subject.renew();
    trial(subject.run(records, &calls), "again, by a fresh instance".into(), report);
    trial(subject.run(records, &every(1, records.len())), "one record a call".into(), report);
    for number in 1..=CUTS_TRIED {
        trial(subject.run(records, &random.cuts(records.len())), format!("other cuts, {number}"), report);
    }
}

impl Subject<'_> {
    fn renew(&mut self) {
        self.functions.renew(self.function);
    }

    /// What left after each record, then each key's state. A run in which a call fails has failed: what would have been before the
    /// records behind it is not known.
    fn run(&mut self, records: &Batch, ends: &[usize]) -> All {
        let (mut states, mut left, mut from) = (States::new(), Vec::with_capacity(records.len()), 0);
        for &to in ends {
            match self.scan(&records.slice(from, to), &mut states) {
                Ok(some) => left.extend(some),
                Err(fault) => {
                    self.renew();
                    left = vec![Left::Failed(fault.to_string()); records.len()];
                    states = Members::of(records).keys.into_iter().map(|key| (key, None)).collect();
                    break;
                }
            }
            from = to;
        }
        let values = left.into_iter().enumerate().map(|(at, left)| (format!("record {at}"), left));
        let states = states.into_iter().map(|(key, state)| (format!("key {}", shown(Some(&key))), Left::State(state)));
        values.chain(states).collect()
    }

    fn scan(&mut self, batch: &Batch, states: &mut States) -> Answer<Vec<Left>> {
        let members = Members::of(batch);
        let (keys, before) = members.columns(states);
        let Members { offsets, rows, .. } = &members;
        let groups = Groups { keys: &keys, starts: &[], ends: &[], states: &before, offsets, members: rows };
        let (context, records) = records_of(batch);
        let scanned = self.functions.scan(self.function, context, groups, records)?;
        same_length(&scanned.values, rows.len(), "members")?;
        let mut left = vec![Left::Value(None); batch.len()];
        for (place, row) in rows.iter().enumerate() {
            left[*row as usize] = Left::Value(scanned.values.get(place).map(<[u8]>::to_vec));
        }
        for rejection in scanned.rejected {
            if let Some(row) = rows.get(rejection.index as usize) {
                left[*row as usize] = Left::Refused(rejection.reason);
            }
        }
        keep(states, &members, &scanned.states)?;
        Ok(left)
    }
}
