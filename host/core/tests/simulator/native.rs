//! The cases' functions, natively: each a pure function of a record and a version. They trap on `P`, refuse `R`, and some
//! trap on their fourth call, once.

use super::case::{Case, Rec, Step};
use millstream_core::function::*;
use millstream_core::record::{BytesColumn, Timestamp};

/// Numbers of prepared functions: version × this + number of the function.
pub const VERSION: u32 = 16;

/// FNV-1a, and eight bytes as they are: sums of states and of values are one.
pub fn number(bytes: &[u8]) -> u64 {
    match <[u8; 8]>::try_from(bytes) {
        Ok(eight) => u64::from_be_bytes(eight),
        Err(_) => bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)),
    }
}

pub fn keeps(rec: &Rec) -> bool {
    rec.value.as_ref().is_none_or(|v| number(v) % 4 != 0)
}

/// What a map gives for a record; versions matter to [`Step::Stamp`] alone.
pub fn mapped(step: Step, rec: &Rec, version: u64) -> Vec<Rec> {
    let mut out = rec.clone();
    let hash = rec.value.as_deref().map_or(7, number);
    match step {
        Step::Stamp => {
            if let Some(value) = &mut out.value {
                value.extend_from_slice(format!("v{version}").as_bytes());
            }
        }
        Step::Map | Step::SelectKey => {
            out.key = (hash % 7 != 0).then(|| format!("m{}", hash % 4).into_bytes());
            if step == Step::Map {
                out.time += (hash % 9) as i64;
            }
        }
        Step::FlatMapValues => {
            let mut second = rec.clone();
            if let Some(value) = &mut second.value {
                value.push(b'+');
            }
            return [out, second][..(hash % 3) as usize].to_vec();
        }
        _ => {}
    }
    vec![out]
}

pub struct Native {
    steps: Vec<Step>,
    flaky: bool,
    calls: [u32; VERSION as usize],
}

impl Native {
    pub fn new(case: &Case) -> Self {
        Self { steps: case.steps.clone(), flaky: case.flaky, calls: [0; VERSION as usize] }
    }

    fn called(&mut self, f: Prepared, records: Records<'_>) -> Answer<Vec<Rejection>> {
        let calls = &mut self.calls[(f.0 % VERSION) as usize];
        *calls += 1;
        let has = |i: usize, what: u8| records.values.get(i).is_some_and(|v| v.contains(&what));
        let all = 0..records.keys.len();
        if self.flaky && *calls == 4 || all.clone().any(|i| has(i, b'P')) {
            return Err(Fault::Trap { message: "planned".into() });
        }
        Ok(all.filter(|i| has(*i, b'R')).map(|i| Rejection { index: i as u32, reason: "R".into() }).collect())
    }
}

fn rec(records: &Records<'_>, i: usize) -> Rec {
    let own = |c: &BytesColumn| c.get(i).map(<[u8]>::to_vec);
    Rec { key: own(records.keys), value: own(records.values), time: records.timestamps[i] }
}

impl Functions for Native {
    fn wants_stream_times(&self, _: Prepared) -> bool {
        false
    }
    fn exports(&self, _: Prepared, _: Interface) -> bool {
        true
    }
    fn layout(&self, _: Prepared) -> u32 {
        0
    }
    fn renew(&mut self, _: Prepared) {}
    fn stretch(&mut self, _: Prepared, _: u32) {}
    fn keep(&mut self, f: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Kept> {
        let rejected = self.called(f, records)?;
        let mut bits = vec![0; records.keys.len().div_ceil(8)];
        (0..records.keys.len()).for_each(|i| bits[i / 8] |= u8::from(keeps(&rec(&records, i))) << (i % 8));
        Ok(Kept { bits, rejected })
    }
    fn apply(&mut self, f: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Output> {
        let rejected = self.called(f, records)?;
        let step = self.steps[(f.0 % VERSION) as usize];
        // Stops early now and then, as a mapper may.
        let taken = records.keys.len().min(1 + records.timestamps[0].unsigned_abs() as usize % 40);
        let rejected: Vec<Rejection> = rejected.into_iter().filter(|r| (r.index as usize) < taken).collect();
        let (mut sources, mut out) = (Vec::new(), Vec::new());
        for i in (0..taken).filter(|i| rejected.iter().all(|r| r.index as usize != *i)) {
            for result in mapped(step, &rec(&records, i), u64::from(f.0 / VERSION)) {
                sources.push(i as u32);
                out.push(result);
            }
        }
        let keys = matches!(step, Step::Map | Step::SelectKey);
        Ok(Output {
            taken: taken as u32,
            sources: Some(sources),
            keys: keys.then(|| out.iter().map(|r| r.key.as_deref()).collect()),
            values: (step != Step::SelectKey).then(|| out.iter().map(|r| r.value.as_deref()).collect()),
            timestamps: (step == Step::Map).then(|| out.iter().map(|r| r.time).collect::<Vec<Timestamp>>()),
            rejected,
            ..Output::default()
        })
    }
    fn add(&mut self, _: Prepared, _: Context<'_>, into: Groups<'_>, records: Records<'_>) -> Answer<Folded> {
        let states: Vec<Vec<u8>> = (0..into.keys.len())
            .map(|g| {
                let members = &into.members[into.offsets[g] as usize..into.offsets[g + 1] as usize];
                if let (true, Some(state)) = (members.is_empty(), into.states.get(g)) {
                    return state.to_vec();
                }
                let start = number(into.states.get(g).unwrap_or(&[0; 8]));
                let value = |m: &u32| number(records.values.get(*m as usize).unwrap_or_default());
                members.iter().fold(start, |s, m| s.wrapping_add(value(m))).to_be_bytes().to_vec()
            })
            .collect();
        Ok(Folded { states: states.iter().map(|s| Some(&s[..])).collect(), rejected: vec![] })
    }
    fn finish(&mut self, _: Prepared, of: Groups<'_>) -> Answer<BytesColumn> {
        Ok(of.states.clone())
    }
    fn remove(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<Folded> {
        Err(Fault::Unavailable { message: "no table is simulated".into() })
    }
    fn scan(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<Scanned> {
        Err(Fault::Unavailable { message: "no scan is simulated".into() })
    }
    fn merge(&mut self, _: Prepared, _: &BytesColumn, _: &BytesColumn, _: &BytesColumn) -> Answer<BytesColumn> {
        Err(Fault::Unavailable { message: "no session is simulated".into() })
    }
    fn migrate(&mut self, _: Prepared, _: &str, _: u32, _: u32, _: &BytesColumn, _: &BytesColumn) -> Answer<BytesColumn> {
        Err(Fault::Unavailable { message: "no migration is simulated".into() })
    }
}
