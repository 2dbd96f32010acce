//! Folding records into the states of their groups through functions: reduce and aggregate.
//!
//! A fold is staged first and applied after: nothing that a failed call wrote counts, and a batch can be folded again
//! with other members.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::aggregate::{Step, ground, group_key};
use super::isolate::{self, Isolation, Work};
use super::migrate::{self, Of};
use super::turns;
use super::{Cx, bad_result, check_rejections, part};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::function::{Answer, Fault, Folded, Functions, Groups, Prepared, Rejection, Scanned};
use crate::limits::Limits;
use crate::record::{BytesColumn, Timestamp};
use crate::state::key::split_windowed_group;
use crate::state::store::{Slot, Store, hash};
use crate::state::value::State;
use crate::topology::graph::{AggregateNode, Node};
use crate::topology::spec::Fold;
use crate::window::Grid;

/// Bytes that a stored state and its key take besides, at the most: kind and bounds of windows; form, layout, timestamp.
pub(crate) const STORED_BYTES: usize = 17 + 14;

/// That a record belongs to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Place of the record in the flow.
    pub record: u32,
    /// Mark of the group's window.
    pub mark: Option<Timestamp>,
}

/// Records to be folded.
#[derive(Clone, Copy)]
pub(crate) struct Chosen<'m> {
    /// In record order.
    pub members: &'m [Member],
    /// Stream times of the records' own tasks, from record `base` on.
    pub own: &'m [Timestamp],
    pub base: usize,
}

/// What a fold has left of a group.
#[derive(Clone, Debug)]
enum Fresh {
    /// What the store has.
    Untouched,
    /// Nothing any more; the largest timestamp.
    Removed(Timestamp),
    /// A state, and the largest timestamp in it.
    State(State, Timestamp),
}

/// A fold that was computed and not yet stored.
pub(crate) struct Staged {
    groups: Vec<(Slot, Fresh)>,
    refused: Vec<Refused>,
    layout: u32,
    came: Vec<Came>,
}

/// What a scan sends after a record.
pub(crate) struct Came {
    /// Place of the record in the flow, and its window.
    pub member: Member,
    pub value: Vec<u8>,
    /// The largest timestamp of the group's records by then.
    pub timestamp: Timestamp,
}

struct Refused {
    record: u32,
    member: usize,
    reason: Reason,
    message: String,
}

impl Staged {
    /// The records refused in all of their windows.
    pub fn refused_altogether(&self, members: &[Member]) -> Vec<u32> {
        let belongs = |record: u32| {
            let from = members.partition_point(|m| m.record < record);
            members[from..].iter().take_while(|m| m.record == record).count()
        };
        let by_record = self.refused.chunk_by(|a, b| a.record == b.record);
        by_record.filter(|r| r.len() >= belongs(r[0].record)).map(|r| r[0].record).collect()
    }

    /// Takes out what a scan sends, by record, then by window.
    pub fn take_came(&mut self) -> Vec<Came> {
        let mut came = core::mem::take(&mut self.came);
        came.sort_unstable_by_key(|c| (c.member.record, c.member.mark));
        came
    }

    /// Stores the states and does with refused records what `on-error` says; gives the groups that have changed, except
    /// those that came and went.
    pub fn apply(self, cx: &mut Cx<'_, '_>, step: &mut Step<'_>, flow: &Flow) -> Result<Vec<Slot>, Verdict> {
        for refused in self.refused.chunk_by(|a, b| a.record == b.record) {
            // One dead letter for a record, however many windows refused it.
            let (at, first) = (refused[0].record as usize, &refused[0]);
            cx.refuse(step.node, adder(step.aggregate, flow, at), flow, at, first.reason, &first.message)?;
        }
        let store = &mut *step.store;
        let mut changed = Vec::with_capacity(self.groups.len());
        for (slot, fresh) in self.groups {
            let was = store.entry(slot).1.state().is_some();
            let is = match fresh {
                Fresh::Untouched => continue,
                Fresh::Removed(time) => {
                    store.set(slot, self.layout, time, State::Absent);
                    false
                }
                Fresh::State(state, time) => {
                    store.set(slot, self.layout, time, state);
                    true
                }
            };
            if was || is {
                changed.push(slot);
            }
        }
        Ok(changed)
    }
}

/// What becomes of records in their groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// They come in.
    In,
    /// They are taken out again.
    Out,
}

/// Computes the fold of records.
pub(crate) fn stage(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_>,
    flow: &Flow,
    chosen: Chosen<'_>,
) -> Result<Staged, Verdict> {
    stage_way(cx, step, flow, chosen, Way::In, None)
}

/// Computes the fold of records, in or out. Those that are taken out are of groups that have a state. `times`: those that
/// groups get of the records, where they are not the records' own.
pub(crate) fn stage_way(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_>,
    flow: &Flow,
    chosen: Chosen<'_>,
    way: Way,
    times: Option<&[Timestamp]>,
) -> Result<Staged, Verdict> {
    let aggregate = step.aggregate;
    let reduce = matches!(aggregate.spec.fold, Fold::Reduce { .. });
    let scans = matches!(aggregate.spec.fold, Fold::Scan { .. });
    let Some(function) = aggregate.function else {
        return Err(Verdict::Corrupted("a fold without a function was planned".to_string()));
    };
    let (slots, group_of) = groups(cx, step, flow, chosen.members)?;
    let prepared = cx.active[function].prepared;
    let layout = if reduce { 0 } else { cx.ports.functions.layout(prepared) };
    let adders = adders(cx, step, function, layout)?;
    if let Some(of) = Of::aggregate(step.node, aggregate) {
        migrate::bring(cx, &of, step.store, &slots)?;
    }
    let records = records_of(chosen.members);
    let (groups, store) = (vec![Fresh::Untouched; slots.len()], &*step.store);
    let mut work = Folding {
        cx,
        aggregate,
        store,
        function,
        adders,
        flow,
        chosen,
        group_of,
        slots,
        groups,
        refused: Vec::new(),
        came: Vec::new(),
        records,
        reduce,
        scans,
        way,
        times: times.unwrap_or(&flow.batch.timestamps),
    };
    let len = work.records.len();
    isolate::run(&mut work, &step.node.name, prepared, len)?;
    let groups = work.slots.into_iter().zip(work.groups).collect();
    Ok(Staged { groups, refused: work.refused, layout, came: work.came })
}

/// That what is stored cannot be read by the version in force.
pub(crate) fn layout_differs(node: &Node, stored: u32, layout: u32) -> Verdict {
    let reason = format!(
        "stored states are in layout {stored}, the function in force reads layout {layout}; go back to a version that reads them"
    );
    Verdict::BrokenFunction { step: node.name.clone(), reason }
}

/// Refuses a state that its changelog would not take, key included: it could never be committed.
pub(crate) fn too_large(limits: &Limits, payload_bytes: usize) -> Answer<()> {
    let (bytes, max) = (limits.record_bytes(payload_bytes, []), limits.record_bytes_max.unwrap_or(usize::MAX));
    if bytes > max {
        return Err(bad_result(format!("a state of {bytes} bytes, key included; its changelog takes {max}")));
    }
    Ok(())
}

/// The groups that members belong to, in the order in which they occur, and the number of each member's.
fn groups(
    cx: &Cx<'_, '_>,
    step: &mut Step<'_>,
    flow: &Flow,
    members: &[Member],
) -> Result<(Vec<Slot>, Vec<u32>), Verdict> {
    let mut index: HashMap<Slot, u32, FixedState> =
        HashMap::with_capacity_and_hasher(members.len(), FixedState::default());
    let (mut slots, mut group_of) = (Vec::new(), Vec::with_capacity(members.len()));
    for record in members.chunk_by(|a, b| a.record == b.record) {
        let key = group_key(step.aggregate, flow, record[0].record as usize);
        let hash = hash(&key);
        for member in record {
            let slot = step.store.locate(ground(cx, step.aggregate.store), member.mark, hash, &key)?;
            let number = *index.entry(slot).or_insert_with(|| {
                slots.push(slot);
                slots.len() as u32 - 1
            });
            group_of.push(number);
        }
    }
    Ok((slots, group_of))
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
    store: &'w Store,
    function: usize,
    /// Functions that add, by input.
    adders: Vec<Prepared>,
    flow: &'w Flow,
    chosen: Chosen<'w>,
    group_of: Vec<u32>,
    slots: Vec<Slot>,
    groups: Vec<Fresh>,
    refused: Vec<Refused>,
    came: Vec<Came>,
    /// Record, and the range of its members.
    records: Vec<(u32, usize, usize)>,
    reduce: bool,
    /// The function says what leaves after each record.
    scans: bool,
    way: Way,
    times: &'w [Timestamp],
}

/// What a fold of some records gave.
struct Given {
    touched: Touched,
    /// States behind the groups touched; null removes.
    states: BytesColumn,
    /// Of a scan, what leaves after each of the places of `touched`; null: nothing.
    values: BytesColumn,
    /// By place in `members`.
    rejected: Vec<(usize, String)>,
}

/// Groups that some records touch, by number, in the order in which they occur; group g's members stand at
/// `places[offsets[g]..offsets[g + 1]]`, in record order.
struct Touched {
    numbers: Vec<u32>,
    offsets: Vec<u32>,
    places: Vec<u32>,
}

impl Touched {
    fn new(group_of: &[u32], groups: usize, lo: usize, hi: usize) -> Self {
        let (mut local, mut numbers, mut counts) = (vec![u32::MAX; groups], Vec::new(), Vec::new());
        for number in &group_of[lo..hi] {
            let at = &mut local[*number as usize];
            if *at == u32::MAX {
                *at = numbers.len() as u32;
                numbers.push(*number);
                counts.push(0u32);
            }
            counts[*at as usize] += 1;
        }
        let mut offsets = Vec::with_capacity(counts.len() + 1);
        offsets.push(0u32);
        offsets.extend(counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }));
        let (mut next, mut places) = (offsets.clone(), vec![0; hi - lo]);
        for place in lo..hi {
            let at = &mut next[local[group_of[place] as usize] as usize];
            places[*at as usize] = place as u32;
            *at += 1;
        }
        Self { numbers, offsets, places }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let of = |g: usize| &self.places[self.offsets[g] as usize..self.offsets[g + 1] as usize];
        self.numbers.iter().enumerate().map(move |(g, number)| (*number as usize, of(g)))
    }
}

impl Folding<'_, '_, '_> {
    fn record(&self, place: u32) -> usize {
        self.chosen.members[place as usize].record as usize
    }

    fn state(&self, group: usize) -> Option<&[u8]> {
        match &self.groups[group] {
            Fresh::Untouched => self.store.entry(self.slots[group]).1.state(),
            Fresh::Removed(_) => None,
            Fresh::State(state, _) => state.get(),
        }
    }

    /// A state that its changelog would not take could never be committed: the record that makes it so large is poisoned.
    /// Seen once for each call, so which of several records that is may depend on how they are cut.
    fn check_sizes(&self, touched: &Touched, states: &BytesColumn) -> Answer<()> {
        let limits = &self.cx.sub.stores[self.aggregate.store].limits;
        let Some(max) = limits.record_bytes_max else { return Ok(()) };
        // Together they are mostly smaller than one may be.
        if limits.record_bytes(states.bytes() + self.flow.batch.keys.bytes() + STORED_BYTES, []) <= max {
            return Ok(());
        }
        for (i, number) in touched.numbers.iter().enumerate() {
            let key = self.store.entry(self.slots[*number as usize]).0;
            too_large(limits, key.len() + states.get(i).map_or(0, <[u8]>::len) + STORED_BYTES)?;
        }
        Ok(())
    }

    /// Notes what a scan sends, with the time that each group has come to by then. What the function says besides of a record that it
    /// refused does not count.
    fn note_came(&mut self, given: &Given, lo: usize, is_rejected: &[bool]) {
        if !self.scans {
            return;
        }
        let mut next = 0..given.values.len();
        for (group, places) in given.touched.iter() {
            let mut time = self.time(group);
            for place in places {
                let value = next.next().and_then(|at| given.values.get(at));
                if is_rejected.get(*place as usize - lo) == Some(&true) {
                    continue;
                }
                let own = self.times[self.record(*place)];
                let timestamp = time.map_or(own, |t| t.max(own));
                time = Some(timestamp);
                let member = self.chosen.members[*place as usize];
                self.came.extend(value.map(|value| Came { member, value: value.to_vec(), timestamp }));
            }
        }
    }

    /// The largest timestamp in a group so far.
    fn time(&self, group: usize) -> Option<Timestamp> {
        match &self.groups[group] {
            Fresh::Untouched => {
                let entry = self.store.entry(self.slots[group]).1;
                entry.state().map(|_| entry.timestamp)
            }
            Fresh::Removed(time) | Fresh::State(_, time) => Some(*time),
        }
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
        let touched = Touched::new(&self.group_of, self.groups.len(), self.records[from].1, self.records[to - 1].2);
        let groups = touched.numbers.len();
        let (first, last) = (self.records[from].0 as usize, self.records[to - 1].0 as usize);
        let (mut keys, mut states) = (BytesColumn::with_capacity(groups, 0), BytesColumn::with_capacity(groups, 0));
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        let (mut offsets, mut members, mut asked) = (vec![0u32], Vec::new(), Vec::new());
        for (group, places) in touched.iter() {
            let mut places = places;
            let mut state = self.state(group);
            let head = self.record(places[0]);
            keys.push(self.flow.batch.keys.get(head));
            if self.reduce && state.is_none() && self.way == Way::In {
                // The first value is the state; the function does the rest.
                state = self.flow.batch.values.get(head);
                places = &places[1..];
            }
            states.push(state);
            let key = if self.aggregate.by_window { self.store.entry(self.slots[group]).0 } else { &[] };
            if let Some((start, end)) = bounds(self.aggregate, self.slots[group], key) {
                starts.push(start);
                ends.push(end);
            }
            members.extend(places.iter().map(|p| (self.record(*p) - first) as u32));
            asked.extend_from_slice(places);
            offsets.push(members.len() as u32);
        }
        if members.is_empty() {
            self.check_sizes(&touched, &states)?;
            return Ok(Given { touched, states, values: BytesColumn::default(), rejected: Vec::new() });
        }
        let groups =
            Groups { keys: &keys, starts: &starts, ends: &ends, states: &states, offsets: &offsets, members: &members };
        let prepared = self.cx.active[self.function].prepared;
        let wants = |f: &Prepared| self.cx.ports.functions.wants_stream_times(*f);
        let own = if self.adders.iter().any(wants) {
            &self.chosen.own[first - self.chosen.base..=last - self.chosen.base]
        } else {
            &[]
        };
        let part = part(self.flow, first, last + 1, own.to_vec());
        let (functions, context, records) = (&mut self.cx.ports.functions, part.context(), part.records());
        let mut values = BytesColumn::default();
        let (call, folded) = match self.way {
            Way::Out => ("remove", functions.remove(prepared, context, groups, records)?),
            Way::In if !self.scans => ("add", turns::add(*functions, &self.adders, &part, groups)?),
            Way::In => {
                let Scanned { states, values: came, rejected } = functions.scan(prepared, context, groups, records)?;
                if came.len() != members.len() {
                    return Err(bad_result(format!("`scan` gave {} values for {} members", came.len(), members.len())));
                }
                values = came;
                ("scan", Folded { states, rejected })
            }
        };
        check(call, &folded, touched.numbers.len(), members.len())?;
        self.check_sizes(&touched, &folded.states)?;
        let rejected = |r: Rejection| (asked[r.index as usize] as usize, r.reason);
        let rejected = folded.rejected.into_iter().map(rejected).collect();
        Ok(Given { touched, states: folded.states, values, rejected })
    }

    fn accept(&mut self, from: usize, to: usize, given: Given) -> Result<usize, Verdict> {
        let lo = self.records[from].1;
        let mut is_rejected = vec![false; if given.rejected.is_empty() { 0 } else { self.records[to - 1].2 - lo }];
        given.rejected.iter().for_each(|(place, _)| is_rejected[place - lo] = true);
        self.note_came(&given, lo, &is_rejected);
        for (i, (group, places)) in given.touched.iter().enumerate() {
            let counted = places.iter().filter(|p| is_rejected.is_empty() || !is_rejected[**p as usize - lo]);
            let newest = counted.map(|p| self.times[self.record(*p)]).max();
            // A group whose records were all refused stays as it was.
            let Some(newest) = newest else { continue };
            let time = self.time(group).map_or(newest, |t| t.max(newest));
            self.groups[group] = match given.states.get(i) {
                Some(state) => Fresh::State(State::new(state), time),
                None => Fresh::Removed(time),
            };
        }
        let before = self.refused.len();
        for (member, message) in given.rejected {
            let record = self.chosen.members[member].record;
            self.refused.push(Refused { record, member, reason: Reason::Rejected, message });
        }
        self.refused[before..].sort_by_key(|r| r.member);
        Ok(to - from)
    }

    fn besides(&self) -> Vec<Prepared> {
        self.adders.clone()
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

/// Functions that add records, by input of the step; one where there is one for all. Those of a cogroup go on with each other's states, so
/// they have to be in one layout.
pub(crate) fn adders<S>(
    cx: &Cx<'_, '_>,
    step: &Step<'_, S>,
    function: usize,
    layout: u32,
) -> Result<Vec<Prepared>, Verdict> {
    if step.aggregate.adders.is_empty() {
        return Ok(vec![cx.active[function].prepared]);
    }
    let adders: Vec<Prepared> = step.aggregate.adders.iter().map(|f| cx.active[*f].prepared).collect();
    match adders.iter().map(|f| cx.ports.functions.layout(*f)).find(|other| *other != layout) {
        None => Ok(adders),
        Some(other) => {
            let reason = format!(
                "its functions write states in layouts {layout} and {other}, and each goes on with what another wrote; \
                 put versions in force that agree"
            );
            Err(Verdict::BrokenFunction { step: step.node.name.clone(), reason })
        }
    }
}

/// The function that adds a record of a flow.
pub(crate) fn adder(aggregate: &AggregateNode, flow: &Flow, i: usize) -> Option<usize> {
    let input = flow.inputs.as_ref().map_or(0, |inputs| inputs[i] as usize);
    aggregate.adders.get(input).copied().or(aggregate.function)
}

/// The bounds of a group's window, `key` being its key in the store.
pub(crate) fn bounds(aggregate: &AggregateNode, slot: Slot, key: &[u8]) -> Option<(Timestamp, Timestamp)> {
    if aggregate.by_window {
        return split_windowed_group(key).map(|(_, start, end)| (start, end));
    }
    Some(Grid::of(aggregate.spec.window?)?.bounds(slot.mark()?))
}

/// Checks the counts of what a call gave that folds.
pub(crate) fn check(call: &str, folded: &Folded, groups: usize, members: usize) -> Answer<()> {
    if folded.states.len() != groups {
        return Err(bad_result(format!("`{call}` gave {} states for {groups} groups", folded.states.len())));
    }
    check_rejections(&folded.rejected, "member", members)
}
