//! Aggregators: a key's state and result may depend on that key's records in their order, and on nothing else; merging two
//! states must give the result of folding, and taking out what came last the result of what came before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use millstream_core::function::{Answer, Functions, Groups, Interface, Prepared};
use millstream_core::record::{Batch, BytesColumn};

use super::{
    CALL_RECORDS, CUTS_TRIED, Members, Random, Report, States, every, foldable, keep, note, records_of, same_length,
    shown,
};

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

type Ends = Vec<(String, End)>;

struct Subject<'a> {
    functions: &'a mut dyn Functions,
    function: Prepared,
}

pub fn verify(functions: &mut dyn Functions, function: Prepared, records: &Batch, seed: u64, report: &mut Report) {
    let records = &foldable(records);
    let (merges, retracts) =
        (functions.exports(function, Interface::Merger), functions.exports(function, Interface::Retractor));
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
        // States may be laid out otherwise after a merge; what leaves must be the same.
        note(report, "aggregator", format!("merged at record {at}"), &only_results(&first), &only_results(&then));
    }
    if retracts {
        let at = random.below(records.len() + 1);
        take_out(&mut subject, records, at, report);
    }
}

fn only_results(ends: &Ends) -> Ends {
    let result = |end: &End| match end {
        End::Folded { result, .. } => End::Folded { state: None, result: result.clone() },
        failed => failed.clone(),
    };
    ends.iter().map(|(key, end)| (key.clone(), result(end))).collect()
}

/// What comes from record `at` on is folded, and taken out again. A key of which the function refuses to take a record out promises nothing.
fn take_out(subject: &mut Subject<'_>, records: &Batch, at: usize, report: &mut Report) {
    let (before, behind) = (records.slice(0, at), records.slice(at, records.len()));
    let together = subject.taken_out(records, &behind, CALL_RECORDS);
    let one_by_one = subject.taken_out(records, &behind, 1);
    let calls = subject.run(&before, &every(CALL_RECORDS, before.len()));
    let refused: BTreeSet<String> = [&together, &one_by_one].iter().flat_map(|(_, refused)| refused).cloned().collect();
    let sure = |ends: Ends| -> Ends { ends.into_iter().filter(|(key, _)| !refused.contains(key)).collect() };
    let (together, one_by_one) = (sure(together.0), sure(one_by_one.0));
    note(report, "retractor", format!("one record a call, from record {at}"), &together, &one_by_one);
    let first = sure(only_results(&calls));
    let known: BTreeSet<&String> = first.iter().map(|(key, _)| key).collect();
    let of_first = |(key, _): &(String, End)| known.contains(key);
    let then: Ends = only_results(&together).into_iter().filter(of_first).collect();
    note(report, "retractor", format!("taken out again from record {at}"), &first, &then);
}

/// What the records fold to; `None`: the function fails on them.
pub fn states(functions: &mut dyn Functions, function: Prepared, records: &Batch) -> Option<States> {
    let records = &foldable(records);
    let mut subject = Subject { functions, function };
    subject.renew();
    subject.fold(records, &every(CALL_RECORDS, records.len())).ok()
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
            // As the engine does: what has no state is merged with nothing.
            let has = |states: &States, key: &Vec<u8>| states.get(key).is_some_and(Option::is_some);
            let both: Vec<&Vec<u8>> = left.keys().filter(|key| has(left, key) && has(&merged, key)).collect();
            let column = |states: &States| both.iter().map(|key| states[*key].as_deref()).collect::<BytesColumn>();
            let keys: BytesColumn = both.iter().map(|key| Some(key.as_slice())).collect();
            let given = self.functions.merge(self.function, &keys, &column(left), &column(&merged))?;
            same_length(&given, both.len(), "groups")?;
            for (i, key) in both.iter().enumerate() {
                merged.insert((*key).clone(), given.get(i).map(<[u8]>::to_vec));
            }
            for (key, state) in left.iter().filter(|(key, _)| !has(&states[1], key)) {
                merged.insert(key.clone(), state.clone());
            }
            self.finish(merged)
        });
        self.ends(records, merged)
    }

    /// Folds all, and takes some records out again, so many a call; with the keys of which any was refused.
    fn taken_out(&mut self, all: &Batch, out: &Batch, call_records: usize) -> (Ends, BTreeSet<String>) {
        let mut refused = BTreeSet::new();
        let folded = self.fold(all, &every(CALL_RECORDS, all.len())).and_then(|mut states| {
            let mut from = 0;
            for to in every(call_records, out.len()) {
                self.remove(&out.slice(from, to), &mut states, &mut refused)?;
                from = to;
            }
            self.finish(states)
        });
        (self.ends(all, folded), refused)
    }

    /// As the engine does: from a group without a state nothing is taken out.
    fn remove(&mut self, batch: &Batch, states: &mut States, refused: &mut BTreeSet<String>) -> Answer<()> {
        let has_state = |row: &u32| {
            let key = batch.keys.get(*row as usize).unwrap_or_default();
            states.get(key).is_some_and(Option::is_some)
        };
        let rows: Vec<u32> = (0..batch.len() as u32).filter(has_state).collect();
        let batch = &batch.gather(&rows);
        let members = Members::of(batch);
        let (keys, before) = members.columns(states);
        let Members { offsets, rows, .. } = &members;
        let groups = Groups { keys: &keys, starts: &[], ends: &[], states: &before, offsets, members: rows };
        let (context, records) = records_of(batch);
        let left = self.functions.remove(self.function, context, groups, records)?;
        for rejection in &left.rejected {
            let group = offsets.partition_point(|from| *from <= rejection.index).saturating_sub(1);
            refused.extend(members.keys.get(group).map(|key| named(key)));
        }
        keep(states, &members, &left.states)
    }

    fn ends(&mut self, records: &Batch, finished: Answer<BTreeMap<Vec<u8>, End>>) -> Ends {
        match finished {
            Ok(ends) => ends.into_iter().map(|(key, end)| (named(&key), end)).collect(),
            Err(fault) => {
                self.renew();
                let keys: BTreeSet<&[u8]> = (0..records.len()).filter_map(|i| records.keys.get(i)).collect();
                keys.into_iter().map(|key| (named(key), End::Failed(fault.to_string()))).collect()
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
        let members = Members::of(batch);
        let (keys, before) = members.columns(states);
        let Members { offsets, rows, .. } = &members;
        let groups = Groups { keys: &keys, starts: &[], ends: &[], states: &before, offsets, members: rows };
        let (context, records) = records_of(batch);
        let folded = self.functions.add(self.function, context, groups, records)?;
        keep(states, &members, &folded.states)
    }

    fn finish(&mut self, states: States) -> Answer<BTreeMap<Vec<u8>, End>> {
        let keys: BytesColumn = states.keys().map(|key| Some(key.as_slice())).collect();
        let column: BytesColumn = states.values().map(|state| state.as_deref()).collect();
        let offsets = vec![0; states.len() + 1];
        let groups = Groups { keys: &keys, starts: &[], ends: &[], states: &column, offsets: &offsets, members: &[] };
        let results = self.functions.finish(self.function, groups)?;
        same_length(&results, states.len(), "groups")?;
        let ends = states.into_iter().enumerate().map(|(i, (key, state))| {
            let result = results.get(i).map(<[u8]>::to_vec);
            (key, End::Folded { state, result })
        });
        Ok(ends.collect())
    }
}

pub fn named(key: &[u8]) -> String {
    format!("key {}", shown(Some(key)))
}
