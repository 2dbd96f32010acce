//! Aggregators: a key's state and result may depend on that key's records in their order, and on nothing else; merging two
//! states must give the result of folding.

use std::collections::BTreeMap;
use std::fmt;

use millstream_core::function::{Answer, Context, Fault, Functions, Groups, Interface, Prepared, Records};
use millstream_core::record::{Batch, BytesColumn};

use super::{CALL_RECORDS, CUTS_TRIED, Random, Report, every, note, shown};

/// A key's state and result after a fold, or how the function failed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Folded { state: Option<Vec<u8>>, result: Option<Vec<u8>> },
    Failed(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Folded { state, result } => {
                write!(f, "result {}, state {}", shown(result.as_deref()), shown(state.as_deref()))
            }
            End::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

type States = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
type Ends = Vec<(String, End)>;

struct Subject<'a> {
    functions: &'a mut dyn Functions,
    function: Prepared,
}

pub fn verify(functions: &mut dyn Functions, function: Prepared, records: &Batch, seed: u64, report: &mut Report) {
    // As the engine does: a record without key or value is never folded.
    let whole = |row: &u32| !records.keys.is_null(*row as usize) && !records.values.is_null(*row as usize);
    let rows: Vec<u32> = (0..records.len() as u32).filter(whole).collect();
    let records = &records.gather(&rows);
    let merges = functions.exports(function, Interface::Merger);
    let mut subject = Subject { functions, function };
    let mut random = Random(seed);
    subject.renew();
    let first = subject.run(records, &every(CALL_RECORDS, records.len()));
    let trial = |then: Ends, how: String, report: &mut Report| note(report, "aggregator", how, &first, &then);
    let calls = every(CALL_RECORDS, records.len());
    trial(subject.run(records, &calls), "again, by the same instance".into(), report);
    subject.renew();
    trial(subject.run(records, &calls), "again, by a fresh instance".into(), report);
    trial(subject.run(records, &every(1, records.len())), "one record a call".into(), report);
    for number in 1..=CUTS_TRIED {
        trial(subject.run(records, &random.cuts(records.len())), format!("other cuts, {number}"), report);
    }
    let order = other_order(records, &mut random);
    trial(subject.run(&records.gather(&order), &calls), "keys in another order".into(), report);
    if merges {
        let at = random.below(records.len() + 1);
        let then = subject.merged(records, at);
        let only_results = |ends: &Ends| -> Ends {
            let result = |end: &End| match end {
                End::Folded { result, .. } => End::Folded { state: None, result: result.clone() },
                failed => failed.clone(),
            };
            ends.iter().map(|(key, end)| (key.clone(), result(end))).collect()
        };
        // States may be laid out otherwise after a merge; what leaves must be the same.
        note(report, "aggregator", format!("merged at record {at}"), &only_results(&first), &only_results(&then));
    }
}

/// Records key by key in a random order of keys; each key's own order is kept.
fn other_order(records: &Batch, random: &mut Random) -> Vec<u32> {
    let mut by_key: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
    for row in 0..records.len() {
        by_key.entry(records.keys.get(row).unwrap_or_default()).or_default().push(row as u32);
    }
    let mut groups: Vec<Vec<u32>> = by_key.into_values().collect();
    (1..groups.len()).rev().for_each(|i| groups.swap(i, random.below(i + 1)));
    groups.concat()
}

impl Subject<'_> {
    fn renew(&mut self) {
        self.functions.renew(self.function);
    }

    fn run(&mut self, records: &Batch, ends: &[usize]) -> Ends {
        let folded = self.fold(records, ends);
        let finished = folded.and_then(|states| self.finish(states));
        self.ends(records, finished)
    }

    /// Folds what is before `at` and what is behind it apart, and merges.
    fn merged(&mut self, records: &Batch, at: usize) -> Ends {
        let halves = [records.slice(0, at), records.slice(at, records.len())];
        let states = halves.iter().map(|half| self.fold(half, &every(CALL_RECORDS, half.len())));
        let merged = states.collect::<Answer<Vec<States>>>().and_then(|states| {
            let (left, mut merged) = (&states[0], states[1].clone());
            let both: Vec<&Vec<u8>> = left.keys().filter(|key| merged.contains_key(*key)).collect();
            let column = |states: &States| both.iter().map(|key| states[*key].as_deref()).collect::<BytesColumn>();
            let keys: BytesColumn = both.iter().map(|key| Some(key.as_slice())).collect();
            let given = self.functions.merge(self.function, &keys, &column(left), &column(&merged))?;
            same_length(&given, both.len())?;
            for (i, key) in both.iter().enumerate() {
                merged.insert((*key).clone(), given.get(i).map(<[u8]>::to_vec));
            }
            for (key, state) in left {
                merged.entry(key.clone()).or_insert_with(|| state.clone());
            }
            self.finish(merged)
        });
        self.ends(records, merged)
    }

    fn ends(&mut self, records: &Batch, finished: Answer<BTreeMap<Vec<u8>, End>>) -> Ends {
        match finished {
            Ok(ends) => ends.into_iter().map(|(key, end)| (format!("key {}", shown(Some(&key))), end)).collect(),
            Err(fault) => {
                self.renew();
                let keys: std::collections::BTreeSet<&[u8]> =
                    (0..records.len()).filter_map(|i| records.keys.get(i)).collect();
                keys.into_iter()
                    .map(|key| (format!("key {}", shown(Some(key))), End::Failed(fault.to_string())))
                    .collect()
            }
        }
    }

    fn fold(&mut self, records: &Batch, ends: &[usize]) -> Answer<States> {
        let (mut states, mut from) = (States::new(), 0);
        for &to in ends {
            self.add(&records.slice(from, to), &mut states)?;
            from = to;
        }
        Ok(states)
    }

    fn add(&mut self, batch: &Batch, states: &mut States) -> Answer<()> {
        let mut members: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for row in 0..batch.len() {
            members.entry(batch.keys.get(row).unwrap_or_default()).or_default().push(row as u32);
        }
        let keys: BytesColumn = members.keys().map(|key| Some(*key)).collect();
        let before: BytesColumn =
            members.keys().map(|key| states.get(*key).and_then(|state| state.as_deref())).collect();
        let mut offsets = vec![0];
        offsets.extend(members.values().scan(0, |sum, rows| {
            *sum += rows.len() as u32;
            Some(*sum)
        }));
        let rows: Vec<u32> = members.values().flatten().copied().collect();
        let groups = Groups { keys: &keys, starts: &[], ends: &[], states: &before, offsets: &offsets, members: &rows };
        let context =
            Context { headers: batch.headers.as_deref(), stream_times: &batch.timestamps, ..Context::default() };
        let records = Records { keys: &batch.keys, values: &batch.values, timestamps: &batch.timestamps };
        let folded = self.functions.add(self.function, context, groups, records)?;
        same_length(&folded.states, members.len())?;
        for (i, key) in members.keys().enumerate() {
            states.insert(key.to_vec(), folded.states.get(i).map(<[u8]>::to_vec));
        }
        Ok(())
    }

    fn finish(&mut self, states: States) -> Answer<BTreeMap<Vec<u8>, End>> {
        let keys: BytesColumn = states.keys().map(|key| Some(key.as_slice())).collect();
        let column: BytesColumn = states.values().map(|state| state.as_deref()).collect();
        let offsets = vec![0; states.len() + 1];
        let groups = Groups { keys: &keys, starts: &[], ends: &[], states: &column, offsets: &offsets, members: &[] };
        let results = self.functions.finish(self.function, groups)?;
        same_length(&results, states.len())?;
        let ends = states.into_iter().enumerate().map(|(i, (key, state))| {
            let result = results.get(i).map(<[u8]>::to_vec);
            (key, End::Folded { state, result })
        });
        Ok(ends.collect())
    }
}

fn same_length(column: &BytesColumn, expected: usize) -> Answer<()> {
    if column.len() == expected {
        return Ok(());
    }
    Err(Fault::BadResult { what: format!("{} items for {expected} groups", column.len()) })
}
