//! Folding records into the states of their groups: built-in count, reduce and aggregate through functions.
//!
//! A fold is staged first and applied after: nothing that a failed call wrote counts, and a batch can be folded again
//! with other members.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::aggregate::{ground, group_key};
use super::isolate::{self, Isolation, Work};
use super::{Cx, bad_result, part};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{Flow, NO_ROW};
use crate::function::{Answer, Fault, Folded, Functions, Groups};
use crate::record::{BytesColumn, Timestamp};
use crate::state::store::Store;
use crate::state::value::Stored;
use crate::topology::graph::{AggregateNode, Node};
use crate::topology::spec::{CountFormat, Fold, OnError};
use crate::window;

/// That a record belongs to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Place of the record in the flow.
    pub record: u32,
    /// Start of the group's window.
    pub start: Option<Timestamp>,
}

/// A group and its state.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub start: Option<Timestamp>,
    /// The group part of its key in the store.
    pub key: Vec<u8>,
    pub stored: Option<Stored>,
}

/// A fold that was computed and not yet stored.
pub(crate) struct Staged {
    groups: Vec<Group>,
    refused: Vec<Refused>,
}

struct Refused {
    record: u32,
    member: usize,
    reason: Reason,
    message: String,
}

impl Staged {
    /// The first record refused in all its windows for which `moves` says yes.
    pub fn first_refused(&self, members: &[Member], moves: &dyn Fn(usize) -> bool) -> Option<usize> {
        let all = |record: u32| {
            let belongs = members.iter().filter(|m| m.record == record).count();
            self.refused.iter().filter(|r| r.record == record).count() >= belongs
        };
        self.refused.iter().map(|r| r.record).find(|r| moves(*r as usize) && all(*r)).map(|r| r as usize)
    }

    /// Stores the states and does with refused records what `on-error` says; gives the groups that were touched.
    pub fn apply(
        self,
        cx: &mut Cx<'_, '_>,
        node: &Node,
        aggregate: &AggregateNode,
        store: &mut Store,
        flow: &Flow,
    ) -> Result<Vec<Group>, Verdict> {
        let mut last = None;
        for refused in &self.refused {
            // One dead letter for a record, however many windows refused it.
            if last.replace(refused.record) != Some(refused.record) {
                let at = refused.record as usize;
                cx.refuse(node, aggregate.function, flow, at, refused.reason, &refused.message)?;
            }
        }
        for group in &self.groups {
            store.set(group.start, &group.key, group.stored.clone());
        }
        Ok(self.groups)
    }
}

/// Computes the fold of `members`, which stand in record order.
pub(crate) fn stage(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    store: &mut Store,
    flow: &Flow,
    members: &[Member],
) -> Result<Staged, Verdict> {
    let mut index: HashMap<(Option<Timestamp>, Cow<'_, [u8]>), u32, FixedState> =
        HashMap::with_capacity_and_hasher(members.len(), FixedState::default());
    let mut groups: Vec<Group> = Vec::new();
    let mut group_of = Vec::with_capacity(members.len());
    for member in members {
        let key = group_key(aggregate, flow, member.record as usize);
        let number = match index.entry((member.start, key)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let number = groups.len() as u32;
                let key = new.key().1.to_vec();
                let stored = store.get(ground(cx, aggregate.store), member.start, &key)?.cloned();
                groups.push(Group { start: member.start, key, stored });
                *new.insert(number)
            }
        };
        group_of.push(number);
    }
    if let Fold::Count(_) = aggregate.spec.fold {
        count(&mut groups, flow, members, &group_of)?;
        return Ok(Staged { groups, refused: Vec::new() });
    }
    through_function(cx, node, aggregate, flow, members, &group_of, groups)
}

/// The built-in count, straight in the store: it refuses nothing, so nothing has to be staged.
pub(crate) fn count_in_place(
    cx: &mut Cx<'_, '_>,
    aggregate: &AggregateNode,
    store: &mut Store,
    flow: &Flow,
    members: &[Member],
) -> Result<(), Verdict> {
    for member in members {
        let i = member.record as usize;
        let timestamp = flow.batch.timestamps[i];
        let group = group_key(aggregate, flow, i);
        if let Some(stored) = store.update(member.start, &group) {
            count_one(stored, timestamp)?;
            continue;
        }
        let known = store.get(ground(cx, aggregate.store), member.start, &group)?.cloned();
        let mut stored = known.unwrap_or_else(|| Stored { layout: 0, timestamp, state: vec![0; 8] });
        count_one(&mut stored, timestamp)?;
        store.set(member.start, &group, Some(stored));
    }
    Ok(())
}

fn count_one(stored: &mut Stored, timestamp: Timestamp) -> Result<(), Verdict> {
    let state: &mut [u8; 8] = stored.state.as_mut_slice().try_into().map_err(|_| {
        Verdict::Corrupted("a stored count has not 8 bytes; was the step an aggregate before?".to_string())
    })?;
    *state = (i64::from_be_bytes(*state) + 1).to_be_bytes();
    stored.timestamp = stored.timestamp.max(timestamp);
    Ok(())
}

fn count(groups: &mut [Group], flow: &Flow, members: &[Member], group_of: &[u32]) -> Result<(), Verdict> {
    for (member, group) in members.iter().zip(group_of) {
        let timestamp = flow.batch.timestamps[member.record as usize];
        let stored = &mut groups[*group as usize].stored;
        count_one(stored.get_or_insert_with(|| Stored { layout: 0, timestamp, state: vec![0; 8] }), timestamp)?;
    }
    Ok(())
}

fn through_function(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    flow: &Flow,
    members: &[Member],
    group_of: &[u32],
    groups: Vec<Group>,
) -> Result<Staged, Verdict> {
    let reduce = matches!(aggregate.spec.fold, Fold::Reduce { .. });
    let Some(function) = aggregate.function else {
        return Err(Verdict::Corrupted("a fold without a function was planned".to_string()));
    };
    let prepared = cx.active[function].prepared;
    let layout = cx.ports.functions.layout(prepared);
    for group in groups.iter().filter_map(|g| g.stored.as_ref()) {
        if group.layout != layout && !reduce {
            let reason = format!(
                "stored states are in layout {}, the function in force reads layout {layout}; go back to a version \
                 that reads them",
                group.layout
            );
            return Err(Verdict::BrokenFunction { step: node.name.clone(), reason });
        }
    }
    let records = records_of(members);
    let mut work =
        Folding { cx, aggregate, function, flow, members, group_of, groups, refused: Vec::new(), records, reduce, layout };
    let len = work.records.len();
    isolate::run(&mut work, &node.name, prepared, len)?;
    Ok(Staged { groups: work.groups, refused: work.refused })
}

/// Where each record's members begin and end.
fn records_of(members: &[Member]) -> Vec<(u32, usize, usize)> {
    let mut at = 0;
    members
        .chunk_by(|a, b| a.record == b.record)
        .map(|chunk| {
            let from = at;
            at += chunk.len();
            (chunk[0].record, from, at)
        })
        .collect()
}

struct Folding<'w, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    aggregate: &'w AggregateNode,
    function: usize,
    flow: &'w Flow,
    members: &'w [Member],
    group_of: &'w [u32],
    groups: Vec<Group>,
    refused: Vec<Refused>,
    /// Record, and the range of its members.
    records: Vec<(u32, usize, usize)>,
    reduce: bool,
    layout: u32,
}

/// What a fold of some records gave.
struct Given {
    /// Groups that occur, by number.
    numbers: Vec<u32>,
    /// States behind them; `None` removes.
    states: BytesColumn,
    /// For each group, its members: places in `members`.
    places: Vec<Vec<usize>>,
    rejected: Vec<(usize, String)>,
}

impl Folding<'_, '_, '_> {
    /// Groups that records `from..to` touch, with their members in record order.
    fn touched(&self, from: usize, to: usize) -> (Vec<u32>, Vec<Vec<usize>>) {
        let (lo, hi) = (self.records[from].1, self.records[to - 1].2);
        let mut local: Vec<u32> = vec![u32::MAX; self.groups.len()];
        let (mut numbers, mut places) = (Vec::new(), Vec::<Vec<usize>>::new());
        for place in lo..hi {
            let number = self.group_of[place] as usize;
            if local[number] == u32::MAX {
                local[number] = numbers.len() as u32;
                numbers.push(number as u32);
                places.push(Vec::new());
            }
            places[local[number] as usize].push(place);
        }
        (numbers, places)
    }
}

impl Work for Folding<'_, '_, '_> {
    type Given = Given;

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<Given> {
        let (numbers, places) = self.touched(from, to);
        let first = self.records[from].0 as usize;
        let part = part(self.flow, first, self.records[to - 1].0 as usize + 1, &[]);
        let (mut keys, mut states) = (BytesColumn::default(), BytesColumn::default());
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        let (mut offsets, mut members, mut asked) = (vec![0u32], Vec::new(), Vec::new());
        for (number, places) in numbers.iter().zip(&places) {
            let group = &self.groups[*number as usize];
            let Some(head) = places.first() else { continue };
            let key = self.flow.batch.keys.get(self.members[*head].record as usize);
            let mut places = places.as_slice();
            let mut state = group.stored.as_ref().map(|s| s.state.as_slice());
            if let (true, None, Some((head, rest))) = (self.reduce, state, places.split_first()) {
                // The first value is the state; the function does the rest.
                state = self.flow.batch.values.get(self.members[*head].record as usize);
                places = rest;
            }
            keys.push(key);
            states.push(state);
            if let Some((start, end)) = bounds(self.aggregate, group) {
                starts.push(start);
                ends.push(end);
            }
            members.extend(places.iter().map(|p| self.members[*p].record - first as u32));
            asked.extend_from_slice(places);
            offsets.push(members.len() as u32);
        }
        if members.is_empty() {
            return Ok(Given { numbers, states, places, rejected: Vec::new() });
        }
        let groups = Groups {
            keys: &keys,
            starts: &starts,
            ends: &ends,
            states: &states,
            offsets: &offsets,
            members: &members,
        };
        let prepared = self.cx.active[self.function].prepared;
        let folded = self.cx.ports.functions.add(prepared, part.context(), groups, part.records())?;
        check(&folded, numbers.len(), members.len())?;
        let rejected = folded.rejected.into_iter().map(|r| (asked[r.index as usize], r.reason)).collect();
        Ok(Given { numbers, states: folded.states, places, rejected })
    }

    fn accept(&mut self, from: usize, to: usize, given: Given) -> Result<usize, Verdict> {
        let is_rejected = |place: &usize| given.rejected.iter().any(|(p, _)| p == place);
        for (i, (number, places)) in given.numbers.iter().zip(&given.places).enumerate() {
            let counted = places.iter().filter(|p| given.rejected.is_empty() || !is_rejected(p));
            let newest = counted.map(|p| self.flow.batch.timestamps[self.members[*p].record as usize]).max();
            let group = &mut self.groups[*number as usize];
            // A group whose records were all refused stays as it was.
            let Some(newest) = newest else { continue };
            let timestamp = group.stored.as_ref().map_or(newest, |s| s.timestamp.max(newest));
            let layout = if self.reduce { 0 } else { self.layout };
            group.stored =
                given.states.get(i).map(|state| Stored { layout, timestamp, state: state.to_vec() });
        }
        for (member, message) in given.rejected {
            let record = self.members[member].record;
            self.refused.push(Refused { record, member, reason: Reason::Rejected, message });
        }
        self.refused.sort_by_key(|r| r.member);
        Ok(to - from)
    }

    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        let (record, lo, hi) = self.records[at];
        let message = format!("{fault}");
        for member in lo..hi {
            self.refused.push(Refused { record, member, reason: Reason::Poisoned, message: message.clone() });
        }
        Ok(())
    }
}

fn bounds(aggregate: &AggregateNode, group: &Group) -> Option<(Timestamp, Timestamp)> {
    if aggregate.by_window {
        return crate::state::key::split_windowed_group(&group.key).map(|(_, start, end)| (start, end));
    }
    let (window, start) = (aggregate.spec.window?, group.start?);
    Some((start, window::end(window, start)))
}

fn check(folded: &Folded, groups: usize, members: usize) -> Answer<()> {
    if folded.states.len() != groups {
        return Err(bad_result(format!("`add` gave {} states for {groups} groups", folded.states.len())));
    }
    match folded.rejected.iter().find(|r| r.index as usize >= members) {
        Some(r) => Err(bad_result(format!("a rejection names member {} of {members}", r.index))),
        None => Ok(()),
    }
}

/// What became of a group's result.
pub(crate) enum Finished {
    /// It leaves the pipeline.
    Value(Vec<u8>),
    /// The function says that nothing leaves, or the group is gone.
    Nothing,
    /// The function failed on it, and `on-error` lets the rest go on.
    Refused,
}

/// What leaves the pipeline for each group.
pub(crate) fn finish(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    _store: &mut Store,
    groups: &[(u32, Group)],
) -> Result<Vec<Finished>, Verdict> {
    let built_in = |group: &Group| match (&group.stored, &aggregate.spec.fold) {
        (None, _) => Finished::Nothing,
        (Some(stored), Fold::Count(CountFormat::Text)) => {
            let bytes: [u8; 8] = stored.state.as_slice().try_into().unwrap_or_default();
            Finished::Value(i64::from_be_bytes(bytes).to_string().into_bytes())
        }
        (Some(stored), _) => Finished::Value(stored.state.clone()),
    };
    let (Fold::Aggregate { .. }, Some(function)) = (&aggregate.spec.fold, aggregate.function) else {
        return Ok(groups.iter().map(|(_, g)| built_in(g)).collect());
    };
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let prepared = cx.active[function].prepared;
    let mut work = Finishing { cx, node, aggregate, function, groups, finished: Vec::new() };
    isolate::run(&mut work, &node.name, prepared, groups.len())?;
    Ok(work.finished)
}

struct Finishing<'w, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    node: &'w Node,
    aggregate: &'w AggregateNode,
    function: usize,
    groups: &'w [(u32, Group)],
    finished: Vec<Finished>,
}

impl Work for Finishing<'_, '_, '_> {
    type Given = BytesColumn;

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<BytesColumn> {
        let (mut keys, mut states) = (BytesColumn::default(), BytesColumn::default());
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for (_, group) in &self.groups[from..to] {
            let split = crate::state::key::split_windowed_group(&group.key).filter(|_| self.aggregate.by_window);
            keys.push(Some(split.map_or(group.key.as_slice(), |(key, _, _)| key)));
            states.push(group.stored.as_ref().map(|s| s.state.as_slice()));
            if let Some((start, end)) = bounds(self.aggregate, group) {
                starts.push(start);
                ends.push(end);
            }
        }
        let offsets = vec![0u32; to - from + 1];
        let groups =
            Groups { keys: &keys, starts: &starts, ends: &ends, states: &states, offsets: &offsets, members: &[] };
        let prepared = self.cx.active[self.function].prepared;
        let values = self.cx.ports.functions.finish(prepared, groups)?;
        if values.len() != to - from {
            return Err(bad_result(format!("`finish` gave {} values for {} groups", values.len(), to - from)));
        }
        Ok(values)
    }

    fn accept(&mut self, from: usize, to: usize, values: BytesColumn) -> Result<usize, Verdict> {
        for i in 0..values.len() {
            self.finished.push(values.get(i).map_or(Finished::Nothing, |v| Finished::Value(v.to_vec())));
        }
        Ok(to - from)
    }

    /// No record is to blame: the dead letter carries the group's key and its state, with its window in the headers.
    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        let (_, group) = &self.groups[at];
        let message = format!("`finish` of {}: {fault}", describe(self.aggregate, group));
        self.finished.push(Finished::Refused);
        if self.node.on_error == OnError::Fail {
            let reason = format!("{}: {message}", Reason::Poisoned.word());
            return Err(Verdict::Poisoned { step: self.node.name.clone(), at: None, reason });
        }
        let mut batch = crate::record::BatchBuilder::default();
        let stored = group.stored.as_ref();
        let time = stored.map_or(0, |s| s.timestamp);
        batch.push(Some(&group.key), stored.map(|s| s.state.as_slice()), time, []);
        let rows = alloc::sync::Arc::new(vec![NO_ROW]);
        let flow = Flow { batch: batch.finish(), rows, windows: None, derived: true };
        self.cx.refuse(self.node, Some(self.function), &flow, 0, Reason::Poisoned, &message)
    }
}

fn describe(aggregate: &AggregateNode, group: &Group) -> String {
    let key = String::from_utf8_lossy(&group.key);
    match bounds(aggregate, group) {
        Some((start, end)) => format!("key {key:?} in the window {start}..{end}"),
        None => format!("key {key:?}"),
    }
}
