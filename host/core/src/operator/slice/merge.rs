//! What windows come to: the states of their slices, merged, earlier ones on the left.
//!
//! In which order states are merged follows from the slices' times alone, so that a function which merges numbers with rounding
//! errors gives the same whatever a batch is: the slices of a window are cut at the highest bit in which the first and the last
//! differ, and so on in both halves. That is a binary tree over time, and windows that overlap share its branches; each branch
//! is merged once. Branches of one height are merged in one call.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::aggregate::Step;
use super::super::finish::{Leaving, Results};
use super::super::fold::layout_differs;
use super::super::isolate::{self, Isolation, Work};
use super::super::session::counted;
use super::super::{Cx, bad_result};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::NO_ROW;
use crate::function::{Answer, Fault, Functions, Prepared};
use crate::record::{BytesColumn, Timestamp};
use crate::slicing::Slicing;
use crate::state::sessions::Session;
use crate::state::slices::{Slices, Window};
use crate::state::value::State;
use crate::topology::spec::Fold;

/// Windows that are merged at once.
pub(crate) const WINDOWS_MAX: usize = 4_096;

/// What a window comes to.
#[derive(Clone, Debug)]
pub(crate) struct Merged {
    /// Its place among the windows asked for.
    pub at: usize,
    pub state: State,
    /// The largest timestamp in it.
    pub timestamp: Timestamp,
}

/// What windows come to, in their order, without those that could not be merged.
pub(crate) fn windows(
    cx: &mut Cx<'_, '_>,
    step: &Step<'_, Slices>,
    slicing: Slicing,
    windows: &[Window],
) -> Result<Vec<Merged>, Verdict> {
    if let Fold::Count(_) = step.aggregate.spec.fold {
        return count(step, slicing, windows);
    }
    let Some(function) = step.aggregate.function else {
        return Err(Verdict::Corrupted("a fold without a function was planned".into()));
    };
    let (prepared, node) = (cx.active[function].prepared, step.node);
    let reduce = matches!(step.aggregate.spec.fold, Fold::Reduce { .. });
    let layout = if reduce { 0 } else { cx.ports.functions.layout(prepared) };
    let mut work = Merging { cx, step, slicing, windows, function, prepared, out: Vec::with_capacity(windows.len()) };
    for window in windows {
        let other = work.slices(*window).iter().find(|s| s.state.get().is_some() && s.layout != layout);
        if let Some(other) = other.filter(|_| !reduce) {
            return Err(layout_differs(node, other.layout, layout));
        }
    }
    isolate::run(&mut work, &node.name, prepared, windows.len())?;
    Ok(work.out)
}

/// The slices in a window.
fn slices_of(store: &Slices, slicing: Slicing, (key, mark): Window) -> (usize, &[Session]) {
    let (slices, (first, last)) = (store.of(key), slicing.span(mark));
    let from = slices.partition_point(|s| s.start < first);
    let len = slices[from..].partition_point(|s| s.start <= last);
    (from, &slices[from..from + len])
}

fn newest(slices: &[Session]) -> Timestamp {
    slices.last().map_or(0, |last| last.timestamp)
}

/// Counts are added up. From one window of a key to the next only what differs is.
fn count(step: &Step<'_, Slices>, slicing: Slicing, windows: &[Window]) -> Result<Vec<Merged>, Verdict> {
    let mut sums: HashMap<u32, (usize, usize, i64), FixedState> = HashMap::with_hasher(FixedState::default());
    let mut out = Vec::with_capacity(windows.len());
    for (at, window) in windows.iter().enumerate() {
        let (from, slices) = slices_of(step.store, slicing, *window);
        let (all, to) = (step.store.of(window.0), from + slices.len());
        let (lo, hi, sum) = sums.entry(window.0).or_insert((from, from, 0));
        for slice in &all[*lo..from] {
            *sum -= counted(&slice.state)?;
        }
        for slice in &all[*hi..to] {
            *sum += counted(&slice.state)?;
        }
        (*lo, *hi) = (from, to);
        out.push(Merged { at, state: State::new(&sum.to_be_bytes()), timestamp: newest(slices) });
    }
    Ok(out)
}

struct Merging<'w, 's, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    step: &'w Step<'s, Slices>,
    slicing: Slicing,
    windows: &'w [Window],
    function: usize,
    prepared: Prepared,
    out: Vec<Merged>,
}

/// What a branch is merged of, or a window comes to.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Nothing: functions have removed all states there.
    Nothing,
    /// A slice of a key, by its place.
    Slice(u32, usize),
    /// A branch.
    Branch(usize),
}

#[derive(Debug)]
struct Branch {
    key: u32,
    left: Part,
    right: Part,
    /// Branches of one height do not need each other.
    height: usize,
    state: State,
}

/// The branches that some windows need.
#[derive(Default)]
struct Tree {
    branches: Vec<Branch>,
    /// By key and range of slices.
    index: HashMap<(u32, usize, usize), Part, FixedState>,
    height: usize,
}

impl Tree {
    /// What slices `from..from + slices.len()` of a key come to.
    fn part(&mut self, key: u32, from: usize, slices: &[Session]) -> Part {
        let [first, .., last] = slices else {
            let there = slices.first().is_some_and(|s| s.state.get().is_some());
            return if there { Part::Slice(key, from) } else { Part::Nothing };
        };
        let range = (key, from, from + slices.len());
        if let Some(known) = self.index.get(&range) {
            return *known;
        }
        let bit = (first.start ^ last.start).ilog2();
        let cut = last.start >> bit << bit;
        let (earlier, later) = slices.split_at(slices.partition_point(|s| s.start < cut));
        let left = self.part(key, from, earlier);
        let right = self.part(key, from + earlier.len(), later);
        let part = match (left, right) {
            (Part::Nothing, one) | (one, Part::Nothing) => one,
            _ => {
                let height = 1 + self.height_of(left).max(self.height_of(right));
                self.height = self.height.max(height);
                self.branches.push(Branch { key, left, right, height, state: State::Absent });
                Part::Branch(self.branches.len() - 1)
            }
        };
        self.index.insert(range, part);
        part
    }

    fn height_of(&self, part: Part) -> usize {
        if let Part::Branch(at) = part { self.branches[at].height } else { 0 }
    }
}

impl Merging<'_, '_, '_, '_> {
    fn slices(&self, window: Window) -> &[Session] {
        slices_of(self.step.store, self.slicing, window).1
    }

    fn state<'t>(&'t self, tree: &'t Tree, part: Part) -> Option<&'t [u8]> {
        match part {
            Part::Nothing => None,
            Part::Slice(key, at) => self.step.store.of(key)[at].state.get(),
            Part::Branch(at) => tree.branches[at].state.get(),
        }
    }

    /// Merges the branches of a height.
    fn merge(&mut self, tree: &mut Tree, branches: &[usize]) -> Answer<()> {
        let (mut keys, mut left, mut right) = <(BytesColumn, BytesColumn, BytesColumn)>::default();
        let (mut called, mut alone) = (Vec::with_capacity(branches.len()), Vec::new());
        for &at in branches {
            let branch = &tree.branches[at];
            match (self.state(tree, branch.left), self.state(tree, branch.right)) {
                (Some(earlier), Some(later)) => {
                    keys.push(Some(self.step.store.kept().key(branch.key)));
                    left.push(Some(earlier));
                    right.push(Some(later));
                    called.push(at);
                }
                (one, other) => alone.push((at, one.or(other).map_or(State::Absent, State::new))),
            }
        }
        alone.into_iter().for_each(|(at, state)| tree.branches[at].state = state);
        if called.is_empty() {
            return Ok(());
        }
        let merged = self.cx.ports.functions.merge(self.prepared, &keys, &left, &right)?;
        if merged.len() != called.len() {
            return Err(bad_result(format!("`merge` gave {} states for {} pairs", merged.len(), called.len())));
        }
        for (i, at) in called.into_iter().enumerate() {
            tree.branches[at].state = merged.get(i).map_or(State::Absent, State::new);
        }
        Ok(())
    }
}

impl Work for Merging<'_, '_, '_, '_> {
    type Given = Vec<State>;

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<Vec<State>> {
        let mut tree = Tree::default();
        let mut parts = Vec::with_capacity(to - from);
        for window in &self.windows[from..to] {
            let (first, slices) = slices_of(self.step.store, self.slicing, *window);
            parts.push(tree.part(window.0, first, slices));
        }
        let mut heights = vec![Vec::new(); tree.height];
        tree.branches.iter().enumerate().for_each(|(at, branch)| heights[branch.height - 1].push(at));
        for branches in heights {
            self.merge(&mut tree, &branches)?;
        }
        Ok(parts.into_iter().map(|part| self.state(&tree, part).map_or(State::Absent, State::new)).collect())
    }

    fn accept(&mut self, from: usize, to: usize, states: Vec<State>) -> Result<usize, Verdict> {
        for (at, state) in (from..to).zip(states) {
            let timestamp = newest(self.slices(self.windows[at]));
            self.out.push(Merged { at, state, timestamp });
        }
        Ok(to - from)
    }

    /// No record is to blame: the dead letter carries the key and the state of the last slice, with the window in the headers.
    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        let (key, mark) = self.windows[at];
        let (start, end) = self.slicing.bounds(mark);
        let slices = self.slices((key, mark));
        let state = slices.iter().rev().find_map(|s| s.state.get());
        let key = self.step.store.kept().key(key);
        let mut group = Results::default();
        let timestamp = newest(slices);
        group.push(&Leaving { row: NO_ROW, key, window: Some((start, end)), state, timestamp, was: false }, state);
        let flow = group.flow(self.cx.empty);
        let name = String::from_utf8_lossy(key).into_owned();
        let message = format!("`merge` for key {name:?} in the window {start}..{end}: {fault}");
        self.cx.refuse(self.step.node, Some(self.function), &flow, 0, Reason::Poisoned, &message)
    }
}
