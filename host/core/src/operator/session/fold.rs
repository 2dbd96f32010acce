//! Folding records into sessions through a function: what a plan says is asked level by level, and what does not turn out as it
//! was planned is planned anew.
//!
//! A record that is refused is as if it had never come: it makes no session longer and brings none together. Which records are
//! is only known when they were asked, with the others in their places; so a plan goes by those that were refused the last
//! time, and is right when the same are refused again. Each time it is right for at least one record more.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::super::aggregate::{Gone, Step, ground};
use super::super::clock::{Passed, Walk, droppable};
use super::super::finish::Results;
use super::super::fold::{adder, adders, too_large};
use super::super::isolate::{self, Isolation, Work};
use super::super::migrate::{self, Of};
use super::super::turns;
use super::super::{Cx, bad_result, part};
use super::merge::Pairs;
use super::plan::{Ground, Node, Parent, Plan, near};
use super::{Kept, Place};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::function::{Answer, Fault, Functions, Groups, Prepared};
use crate::record::BytesColumn;
use crate::slicing::Meeting;
use crate::state::sessions::Fresh;
use crate::state::store::hash;
use crate::state::value::State;
use crate::topology::spec::Fold;

/// Bytes that a stored session takes besides its state and its key, at the most: kind, end of the key, bounds; form, layout,
/// timestamp.
const STORED_BYTES: usize = 19 + 14;

/// Folds a batch into what is kept of its keys.
pub(crate) fn run<W: Walk, S: Kept>(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_, S>,
    rule: S::Rule,
    flow: &Flow,
    walk: W,
    results: &mut Results,
) -> Result<(Gone, Passed), Verdict> {
    let Some(function) = step.aggregate.function else {
        return Err(Verdict::Corrupted("a fold without a function was planned".into()));
    };
    let (prepared, node) = (cx.active[function].prepared, step.node);
    let reduce = matches!(step.aggregate.spec.fold, Fold::Reduce { .. });
    let layout = if reduce { 0 } else { cx.ports.functions.layout(prepared) };
    let adders = adders(cx, step, function, layout)?;
    let mut keys = Vec::with_capacity(flow.len());
    let mut others = BTreeSet::new();
    for i in 0..flow.len() {
        if droppable(flow, i).is_some() {
            keys.push(u32::MAX);
            continue;
        }
        let key = flow.batch.keys.get(i).unwrap_or_default();
        let at = step.store.sessions_mut().find(ground(cx, step.aggregate.store), hash(key), key)?;
        let time = flow.batch.timestamps[i];
        let near = near(step.store.sessions().of(at), rule.around(time, time)).map(|(_, session)| session);
        let other = near.filter(|s| !reduce && s.state.get().is_some() && s.layout != layout);
        others.extend(other.map(|s| (at, s.start, s.end)));
        keys.push(at);
    }
    if let Some(of) = Of::aggregate(node, step.aggregate) {
        migrate::bring(cx, &of, step.store.sessions_mut(), &others.into_iter().collect::<Vec<_>>())?;
    }
    let mut work =
        Folding { cx, step, rule, flow, prepared, adders, reduce, layout, keys, walk, gone: Gone::new(), results };
    isolate::run(&mut work, &node.name, prepared, flow.len())?;
    Ok((work.gone, work.walk.finish()))
}

struct Folding<'w, 's, 'a, 'p, W, S: Kept> {
    cx: &'w mut Cx<'a, 'p>,
    step: &'w mut Step<'s, S>,
    rule: S::Rule,
    flow: &'w Flow,
    /// Of several the one that merges.
    prepared: Prepared,
    /// Functions that add, by input.
    adders: Vec<Prepared>,
    reduce: bool,
    layout: u32,
    /// For each record the number of its key.
    keys: Vec<u32>,
    /// Stands before the first record that was not accepted yet.
    walk: W,
    gone: Gone,
    results: &'w mut Results,
}

struct Given<W> {
    plan: Plan<W>,
    asked: Asked,
}

/// What a plan has come to.
struct Asked {
    /// By node.
    states: Vec<State>,
    /// Records refused, in order, with the function's words.
    rejected: Vec<(u32, String)>,
}

impl<W: Walk, S: Kept> Folding<'_, '_, '_, '_, W, S> {
    fn plan(&self, from: usize, to: usize, refused: &[u32]) -> Plan<W> {
        let (store, closed) = (self.step.store.sessions(), self.step.times.closed);
        let ground = Ground { flow: self.flow, store, keys: &self.keys, rule: self.rule, closed };
        Plan::new(&ground, &self.walk, from, to, refused)
    }

    fn ask(&mut self, plan: &Plan<W>, from: usize) -> Answer<Asked> {
        let mut asked = Asked { states: vec![State::Absent; plan.nodes.len()], rejected: Vec::new() };
        for level in 0..plan.levels {
            let nodes = || plan.nodes.iter().enumerate().filter(move |(_, node)| node.level == level);
            let parents = nodes().map(|(_, node)| node.parents.len()).max().unwrap_or_default();
            for parent in 1..parents {
                let meeting: Vec<usize> = nodes().filter(|(_, n)| n.parents.len() > parent).map(|(at, _)| at).collect();
                self.merge(plan, &mut asked.states, &meeting, parent)?;
            }
            let at_level: Vec<usize> = nodes().map(|(at, _)| at).collect();
            self.add(plan, &mut asked, &at_level, from)?;
        }
        asked.rejected.sort_unstable_by_key(|(record, _)| *record);
        Ok(asked)
    }

    /// The state that a node is made of, before its records.
    fn before<'x>(&'x self, states: &'x [State], node: &Node, at: usize) -> Option<&'x [u8]> {
        match node.parents[..] {
            [] => None,
            [one] => self.state(states, node.key, one),
            // It was merged.
            _ => states[at].get(),
        }
    }

    fn state<'x>(&'x self, states: &'x [State], key: u32, of: Parent) -> Option<&'x [u8]> {
        match of {
            Parent::Stored(place) => self.step.store.sessions().of(key)[place].state.get(),
            Parent::Node(at) => states[at].get(),
        }
    }

    /// Merges what nodes have so far, the earlier, with one parent more.
    fn merge(&mut self, plan: &Plan<W>, states: &mut [State], meeting: &[usize], parent: usize) -> Answer<()> {
        let mut pairs = Pairs::default();
        for &at in meeting {
            let node = &plan.nodes[at];
            let earlier = match parent {
                1 => self.state(states, node.key, node.parents[0]),
                _ => states[at].get(),
            };
            let later = self.state(states, node.key, node.parents[parent]);
            pairs.push(self.step.store.sessions().key(node.key), earlier, later);
        }
        let merged = pairs.merge(self.cx.ports.functions, self.prepared)?;
        meeting.iter().zip(merged).for_each(|(at, state)| states[*at] = state);
        Ok(())
    }

    /// Folds the records of nodes in.
    fn add(&mut self, plan: &Plan<W>, asked: &mut Asked, nodes: &[usize], from: usize) -> Answer<()> {
        let members = || nodes.iter().flat_map(|at| &plan.nodes[*at].members);
        let (Some(first), Some(last)) = (members().min(), members().max()) else { return Ok(()) };
        let (first, last) = (*first as usize, *last as usize);
        let (mut keys, mut states) = <(BytesColumn, BytesColumn)>::default();
        let (mut offsets, mut indexes, mut records) = (vec![0u32], Vec::new(), Vec::new());
        for &at in nodes {
            let node = &plan.nodes[at];
            let (mut state, mut members) = (self.before(&asked.states, node, at), &node.members[..]);
            if self.reduce && state.is_none() {
                // The first value is the state; the function does the rest.
                state = self.flow.batch.values.get(members[0] as usize);
                members = &members[1..];
            }
            keys.push(Some(self.step.store.sessions().key(node.key)));
            states.push(state);
            indexes.extend(members.iter().map(|record| record - first as u32));
            records.extend_from_slice(members);
            offsets.push(indexes.len() as u32);
        }
        let folded = if indexes.is_empty() {
            states
        } else {
            // A session's bounds are only known when it is closed, so none are told.
            let groups =
                Groups { keys: &keys, starts: &[], ends: &[], states: &states, offsets: &offsets, members: &indexes };
            let wanted = self.adders.iter().any(|f| self.cx.ports.functions.wants_stream_times(*f));
            let own = if wanted { plan.own[first - from..=last - from].to_vec() } else { Vec::new() };
            let part = part(self.flow, first, last + 1, own);
            let folded = turns::add(self.cx.ports.functions, &self.adders, &part, groups)?;
            asked.rejected.extend(folded.rejected.into_iter().map(|r| (records[r.index as usize], r.reason)));
            folded.states
        };
        for (i, &at) in nodes.iter().enumerate() {
            let (key, state) = (self.step.store.sessions().key(plan.nodes[at].key), folded.get(i));
            let zeros = key.iter().filter(|byte| **byte == 0).count();
            let bytes = key.len() + zeros + state.map_or(0, <[u8]>::len) + STORED_BYTES;
            too_large(&self.cx.sub.stores[self.step.aggregate.store].limits, bytes)?;
            asked.states[at] = state.map_or(State::Absent, State::new);
        }
        Ok(())
    }
}

impl<W: Walk, S: Kept> Work for Folding<'_, '_, '_, '_, W, S> {
    type Given = Given<W>;

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<Given<W>> {
        let to = if self.step.every_update() { from + 1 } else { to };
        let mut refused = Vec::new();
        for _ in from..=to {
            let mut plan = self.plan(from, to, &refused);
            let asked = self.ask(&plan, from)?;
            let now: Vec<u32> = asked.rejected.iter().map(|(record, _)| *record).collect();
            if plan.until - from == 1 && !now.is_empty() {
                plan.nodes.clear();
                plan.walk.refuse();
                // It has not moved time either, so what closes before the next record is not known yet.
                plan.cut = None;
                return Ok(Given { plan, asked });
            }
            if refused.iter().filter(|record| (**record as usize) < plan.until).eq(&now) {
                return Ok(Given { plan, asked });
            }
            refused = now;
        }
        Err(bad_result("`add` refuses other records each time it is asked".into()))
    }

    fn accept(&mut self, from: usize, _: usize, given: Given<W>) -> Result<usize, Verdict> {
        let Given { plan, asked } = given;
        for (record, message) in &asked.rejected {
            let at = *record as usize;
            let function = adder(self.step.aggregate, self.flow, at);
            self.cx.refuse(self.step.node, function, self.flow, at, Reason::Rejected, message)?;
        }
        self.gone.extend(plan.gone);
        self.walk = plan.walk;
        for (node, state) in plan.nodes.into_iter().zip(asked.states) {
            if !node.remains || node.taken == 0 {
                continue;
            }
            let Node { key, start, end, newest: timestamp, .. } = node;
            let fresh = Fresh { start, end, timestamp, layout: self.layout, state };
            let row = self.flow.row(from);
            let place = Place { row, key, absorbed: &node.absorbed };
            S::absorb(self.cx, self.step, self.rule, place, fresh, self.results)?;
        }
        if let Some(cut) = plan.cut {
            S::settle(self.cx, self.step, self.rule, &cut, self.results)?;
            self.step.times.closed = self.step.times.closed.max(cut.closing);
        }
        Ok(plan.until - from)
    }

    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        // A record that is dropped asks nobody, so this one has come in.
        self.walk.enter(at);
        self.walk.refuse();
        let message = format!("{fault}");
        let function = adder(self.step.aggregate, self.flow, at);
        self.cx.refuse(self.step.node, function, self.flow, at, Reason::Poisoned, &message)
    }

    fn besides(&self) -> Vec<Prepared> {
        self.adders.clone()
    }
}
