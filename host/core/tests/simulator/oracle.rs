//! What must come out, record by record: a plain fold that shares no code with the engine but the partition of a key.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Case, Rec, Step};
use super::native::{keeps, mapped, number};
use millstream_core::partition::partition_for_key;
use millstream_core::topology::spec::{Emit, Fold, Window};

/// Results and dead ends of a case.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// By partition of the source, in order; without a fold or with a sequence promised.
    pub sequences: BTreeMap<u32, Vec<Rec>>,
    /// All results, sorted; of an on-update fold without a promised sequence, the last of each key.
    pub results: Vec<Rec>,
    pub late: Vec<Rec>,
    pub refused: Vec<Rec>,
}

struct Folder<'a> {
    case: &'a Case,
    window: Option<Window>,
    emit: Emit,
    /// By task, window start and key: state, count, time.
    groups: BTreeMap<(u32, i64, Vec<u8>), (Vec<u8>, u64, i64)>,
    out: Expected,
}

pub fn expected(case: &Case, version: &dyn Fn(u32, usize, i64) -> u64) -> Expected {
    let aggregate = case.fold.as_ref();
    let mut folder = Folder {
        case,
        window: aggregate.and_then(|a| a.window),
        emit: aggregate.map_or(Emit::OnUpdate, |a| a.emit),
        groups: BTreeMap::new(),
        out: Expected::default(),
    };
    let mut times = BTreeMap::new();
    for (p, records) in (0u32..).zip(&case.input) {
        let time = times.entry(p).or_insert(None);
        for (offset, record) in records.iter().enumerate() {
            for result in walk(case, record, &mut folder.out.refused, &|f| version(p, f, offset as i64)) {
                if aggregate.is_none() {
                    folder.out.sequences.entry(p).or_default().push(result);
                } else {
                    folder.take(p, result, time);
                }
            }
        }
    }
    folder.finish(&times);
    folder.out
}

fn walk(case: &Case, record: &Rec, refused: &mut Vec<Rec>, version: &dyn Fn(usize) -> u64) -> Vec<Rec> {
    if record.time < 0 {
        refused.push(record.clone());
        return vec![];
    }
    let mut now = vec![record.clone()];
    for (f, step) in case.steps.iter().enumerate() {
        let mut next = Vec::new();
        for r in now {
            if r.value.as_ref().is_some_and(|v| v.contains(&b'P') || v.contains(&b'R')) {
                refused.push(record.clone());
                // A peek's answer is ignored, also where it has none: the record is told of and goes on.
                if *step == Step::Peek {
                    next.push(r);
                }
                continue;
            }
            match step {
                Step::Filter if keeps(&r) => next.push(r),
                Step::FilterNot if !keeps(&r) => next.push(r),
                Step::Filter | Step::FilterNot => {}
                Step::Peek => next.push(r),
                step => next.extend(mapped(*step, &r, version(f))),
            }
        }
        now = next;
    }
    now
}

impl Folder<'_> {
    fn take(&mut self, upstream: u32, r: Rec, time: &mut Option<i64>) {
        let rekeyed = self.case.rekeyed();
        if rekeyed {
            *time = (*time).max(Some(r.time));
        }
        let (Some(key), Some(value)) = (&r.key, &r.value) else { return };
        *time = (*time).max(Some(r.time));
        let now = time.unwrap_or(r.time);
        let task = if rekeyed { partition_for_key(key, self.case.partitions) } else { upstream };
        let starts: Vec<i64> = match self.window {
            None => vec![-1],
            Some(w) => (0..=r.time)
                .filter(|s| s % w.advance_ms == 0 && *s + w.size_ms > r.time && *s + w.size_ms > now - w.grace_ms)
                .collect(),
        };
        if starts.is_empty() {
            self.out.late.push(r);
            return;
        }
        for start in starts {
            let id = (task, start, key.clone());
            let (state, count, at) = self.groups.entry(id.clone()).or_insert((value.clone(), 0, r.time));
            if *count > 0 {
                *state = number(state).wrapping_add(number(value)).to_be_bytes().to_vec();
            }
            (*count, *at) = (*count + 1, (*at).max(r.time));
            if self.case.fold.as_ref().is_some_and(|a| a.emit_every_update) {
                let result = self.result(&id);
                self.out.sequences.entry(task).or_default().push(result);
            }
        }
    }

    fn result(&self, id: &(u32, i64, Vec<u8>)) -> Rec {
        let (state, count, time) = &self.groups[id];
        let counts = self.case.fold.as_ref().is_some_and(|a| matches!(a.fold, Fold::Count(_)));
        let mut key = id.2.clone();
        if self.window.is_some() {
            key.extend_from_slice(&id.1.to_be_bytes());
        }
        let value = if counts { count.to_string().into_bytes() } else { state.clone() };
        Rec { key: Some(key), value: Some(value), time: *time }
    }

    fn finish(&mut self, times: &BTreeMap<u32, Option<i64>>) {
        let smallest = times.values().copied().min().flatten();
        let ids: BTreeSet<_> = self.groups.keys().cloned().collect();
        for id in ids {
            let time = if self.case.rekeyed() { smallest } else { times[&id.0] };
            let closed = self.window.is_some_and(|w| time.is_some_and(|t| id.1 + w.size_ms <= t - w.grace_ms));
            if self.emit == Emit::OnUpdate || closed {
                let result = self.result(&id);
                if self.emit == Emit::OnClose {
                    self.out.sequences.entry(id.0).or_default().push(result.clone());
                }
                self.out.results.push(result);
            }
        }
        self.out.results.sort();
        self.out.late.sort();
        self.out.refused.sort();
    }
}
