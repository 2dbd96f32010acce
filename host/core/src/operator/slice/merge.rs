//! What windows come to: the states of their slices, merged, earlier ones on the left.
//!
//! In which order states are merged follows from the slices' times alone, so that a function which merges numbers with rounding
//! errors gives the same whatever a batch is: the slices of a window are cut at the highest bit in which the first and the last
//! differ, and so on in both halves. That is a binary tree over time, and windows that overlap share its branches; each branch
//! is merged once. Branches of one height are merged in one call.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::Cx;
use super::super::aggregate::Step;
use super::super::finish::{Leaving, Results};
use super::super::isolate::{self, Isolation, Work};
use super::super::migrate::{self, Of};
use super::super::session::count_of;
use super::super::session::merge::Pairs;
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::NO_ROW;
use crate::function::{Answer, Fault, Functions, Prepared};
use crate::record::Timestamp;
use crate::search::{from_back, from_front, from_guess};
use crate::slicing::Slicing;
use crate::state::keyspace::StorageError;
use crate::state::sessions::Session;
use crate::state::slices::{Block, Slices, Window};
use crate::state::value::State;
use crate::topology::spec::Fold;

/// Windows that are merged at once.
pub(crate) const WINDOWS_MAX: usize = 4_096;

/// Slices from which on what they have been merged to is kept.
const KEPT_FROM: usize = 6;

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
    step: &mut Step<'_, Slices>,
    slicing: Slicing,
    windows: &[Window],
) -> Result<Vec<Merged>, Verdict> {
    let (node, reduce) = (step.node, matches!(step.aggregate.spec.fold, Fold::Reduce { .. }));
    let function = step.aggregate.function.map(|f| (f, cx.active[f].prepared));
    let layout = function.filter(|_| !reduce).map_or(0, |(_, f)| cx.ports.functions.layout(f));
    step.store.merge_by(function.map(|(_, f)| f));
    let mut plan = Plan::of(step.store, slicing, windows, layout);
    if plan.tree.other_layout.is_some() && !reduce {
        bring(cx, step, slicing, windows, layout)?;
        plan = Plan::of(step.store, slicing, windows, layout);
    }
    let Some((function, prepared)) = function else {
        plan.tree.count(step.store)?;
        let Given { states, blocks } = plan.given(step.store);
        step.store.keep_merged(blocks);
        let merged = |(at, (state, timestamp))| Merged { at, state, timestamp };
        return Ok(states.into_iter().enumerate().map(merged).collect());
    };
    let (first, out) = (Some(plan), Vec::with_capacity(windows.len()));
    let mut work = Merging { cx, step, slicing, windows, function, prepared, layout, first, out };
    isolate::run(&mut work, &node.name, prepared, windows.len())?;
    Ok(work.out)
}

/// Brings the slices of windows into the layout of the version in force.
fn bring(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_, Slices>,
    slicing: Slicing,
    windows: &[Window],
    layout: u32,
) -> Result<(), Verdict> {
    let Some(of) = Of::aggregate(step.node, step.aggregate) else { return Ok(()) };
    let mut others = BTreeSet::new();
    for window in windows {
        let slices = slices_of(step.store, slicing, *window).1.iter();
        let other = slices.filter(|s| s.state.get().is_some() && s.layout != layout);
        others.extend(other.map(|s| (window.0, s.start, s.end)));
    }
    let others: Vec<_> = others.into_iter().collect();
    migrate::bring(cx, &of, step.store, &others)
}

/// Why windows were not put together for whoever asks beside the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Apart {
    /// Something is stored that no count is.
    Storage(StorageError),
    /// A state is stored in this layout, and the version reads another.
    Layout(u32),
    /// The function failed.
    Function(Fault),
}

/// What windows come to, in their order, for whoever asks beside the engine. `by`: the version that merges, with the layout that it reads
/// where it has one; `None`: states are counts.
pub(crate) fn look(
    store: &Slices,
    slicing: Slicing,
    windows: &[Window],
    by: Option<(&mut dyn Functions, Prepared, Option<u32>)>,
) -> Result<Vec<(State, Timestamp)>, Apart> {
    let Some((functions, prepared, layout)) = by else {
        let mut plan = Plan::of(store, slicing, windows, 0);
        plan.tree.count(store).map_err(Apart::Storage)?;
        return Ok(plan.given(store).states);
    };
    let mut plan = Plan::of(store, slicing, windows, layout.unwrap_or_default());
    if let Some(other) = plan.tree.other_layout.filter(|_| layout.is_some()) {
        return Err(Apart::Layout(other));
    }
    plan.tree.merge_all(store, functions, prepared).map_err(Apart::Function)?;
    Ok(plan.given(store).states)
}

/// The slices in a window, and the place of the first.
fn slices_of(store: &Slices, slicing: Slicing, (key, mark): Window) -> (usize, &[Session]) {
    let (slices, (first, last)) = (store.kept().of(key), slicing.span(mark));
    let from = from_front(slices, |s| s.start < first);
    let len = from_back(&slices[from..], |s| s.start <= last);
    (from, &slices[from..from + len])
}

/// What a branch is merged of, or a window comes to.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Nothing: functions have removed all states there.
    Nothing,
    /// A slice of a key, by its place.
    Slice(u32, usize),
    /// What the store knows.
    Known(Block),
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
    /// Other windows may need it.
    block: Option<Block>,
    state: State,
}

/// The branches that some windows need.
#[derive(Default)]
struct Tree {
    /// The layout that states are to have.
    layout: u32,
    /// A state has another.
    other_layout: Option<u32>,
    branches: Vec<Branch>,
    /// By key and range of slices.
    index: HashMap<(u32, usize, usize), Part, FixedState>,
    height: usize,
}

/// Windows, and what they need.
struct Plan {
    tree: Tree,
    /// By window what it comes to, and the largest timestamp in it.
    parts: Vec<(Part, Timestamp)>,
}

/// What windows come to, and what others may need.
struct Given {
    states: Vec<(State, Timestamp)>,
    blocks: Vec<(Block, State)>,
}

impl Plan {
    fn of(store: &Slices, slicing: Slicing, windows: &[Window], layout: u32) -> Self {
        let mut tree = Tree { layout, ..Tree::default() };
        let mut parts = Vec::with_capacity(windows.len());
        for window in windows {
            let (first, slices) = slices_of(store, slicing, *window);
            let newest = slices.last().map_or(0, |last| last.timestamp);
            parts.push((tree.part(store, window.0, slicing.span(window.1), first, slices), newest));
        }
        Self { tree, parts }
    }

    fn given(self, store: &Slices) -> Given {
        let Self { mut tree, parts } = self;
        let state = |part| tree.state(store, part).map_or(State::Absent, State::new);
        let states = parts.iter().map(|(part, newest)| (state(*part), *newest)).collect();
        let blocks = tree.branches.iter_mut().filter_map(|b| Some((b.block?, core::mem::take(&mut b.state)))).collect();
        Given { states, blocks }
    }
}

impl Tree {
    /// What slices `from..from + slices.len()` of a key come to, which are all that it has in a span of time.
    fn part(
        &mut self,
        store: &Slices,
        key: u32,
        span: (Timestamp, Timestamp),
        from: usize,
        slices: &[Session],
    ) -> Part {
        let [first, .., last] = slices else {
            let Some(only) = slices.first().filter(|s| s.state.get().is_some()) else { return Part::Nothing };
            if only.layout != self.layout {
                self.other_layout = Some(only.layout);
            }
            return Part::Slice(key, from);
        };
        let (block, cut) = Block::of(key, first.start, last.start);
        let shared = slices.len() >= KEPT_FROM && block.lies_in(span);
        if shared && store.merged(block).is_some() {
            return Part::Known(block);
        }
        let range = (key, from, from + slices.len());
        if let Some(known) = self.index.get(&range) {
            return *known;
        }
        // Slices are mostly as far apart as they are elsewhere.
        let share = (cut - first.start) as f64 / (last.start - first.start) as f64;
        let guess = (share * (slices.len() - 1) as f64) as usize;
        let (earlier, later) = slices.split_at(from_guess(slices, guess, |s| s.start < cut));
        let left = self.part(store, key, span, from, earlier);
        let right = self.part(store, key, span, from + earlier.len(), later);
        let part = match (left, right) {
            (Part::Nothing, one) | (one, Part::Nothing) => one,
            _ => {
                let height = 1 + self.height_of(left).max(self.height_of(right));
                self.height = self.height.max(height);
                let block = shared.then_some(block);
                self.branches.push(Branch { key, left, right, height, block, state: State::Absent });
                Part::Branch(self.branches.len() - 1)
            }
        };
        self.index.insert(range, part);
        part
    }

    fn height_of(&self, part: Part) -> usize {
        if let Part::Branch(at) = part { self.branches[at].height } else { 0 }
    }

    fn state<'t>(&'t self, store: &'t Slices, part: Part) -> Option<&'t [u8]> {
        match part {
            Part::Nothing => None,
            Part::Slice(key, at) => store.kept().of(key)[at].state.get(),
            Part::Known(block) => store.merged(block).and_then(State::get),
            Part::Branch(at) => self.branches[at].state.get(),
        }
    }

    /// Counts are added up. A branch stands behind those that it needs.
    fn count(&mut self, store: &Slices) -> Result<(), StorageError> {
        for at in 0..self.branches.len() {
            let number = |part| self.state(store, part).map_or(Ok(0), count_of);
            let sum = number(self.branches[at].left)? + number(self.branches[at].right)?;
            self.branches[at].state = State::new(&sum.to_be_bytes());
        }
        Ok(())
    }

    /// Merges all branches.
    fn merge_all(&mut self, store: &Slices, functions: &mut dyn Functions, prepared: Prepared) -> Answer<()> {
        let mut heights = vec![Vec::new(); self.height];
        self.branches.iter().enumerate().for_each(|(at, branch)| heights[branch.height - 1].push(at));
        heights.iter().try_for_each(|branches| self.merge(store, branches, functions, prepared))
    }

    /// Merges the branches of a height.
    fn merge(
        &mut self,
        store: &Slices,
        branches: &[usize],
        functions: &mut dyn Functions,
        prepared: Prepared,
    ) -> Answer<()> {
        let mut pairs = Pairs::default();
        for branch in branches.iter().map(|at| &self.branches[*at]) {
            let (earlier, later) = (self.state(store, branch.left), self.state(store, branch.right));
            pairs.push(store.kept().key(branch.key), earlier, later);
        }
        let merged = pairs.merge(functions, prepared)?;
        branches.iter().zip(merged).for_each(|(at, state)| self.branches[*at].state = state);
        Ok(())
    }
}

struct Merging<'w, 's, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    step: &'w mut Step<'s, Slices>,
    slicing: Slicing,
    windows: &'w [Window],
    function: usize,
    prepared: Prepared,
    layout: u32,
    /// What all windows need, until it was asked for.
    first: Option<Plan>,
    out: Vec<Merged>,
}

impl Work for Merging<'_, '_, '_, '_> {
    type Given = Given;

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<Given> {
        // A part is only asked for when the whole has failed.
        let whole = self.first.take().filter(|plan| plan.parts.len() == to - from);
        let windows = &self.windows[from..to];
        let mut plan = whole.unwrap_or_else(|| Plan::of(self.step.store, self.slicing, windows, self.layout));
        plan.tree.merge_all(self.step.store, self.cx.ports.functions, self.prepared)?;
        Ok(plan.given(self.step.store))
    }

    fn accept(&mut self, from: usize, to: usize, given: Given) -> Result<usize, Verdict> {
        let merged = |(at, (state, timestamp))| Merged { at, state, timestamp };
        self.out.extend((from..).zip(given.states).map(merged));
        self.step.store.keep_merged(given.blocks);
        Ok(to - from)
    }

    /// No record is to blame: the dead letter carries the key and the state of the last slice, with the window in the headers.
    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        let (key, mark) = self.windows[at];
        let (start, end) = self.slicing.bounds(mark);
        let slices = slices_of(self.step.store, self.slicing, (key, mark)).1;
        let state = slices.iter().rev().find_map(|s| s.state.get());
        let key = self.step.store.kept().key(key);
        let mut group = Results::default();
        let timestamp = slices.last().map_or(0, |last| last.timestamp);
        group.push(&Leaving { row: NO_ROW, key, window: Some((start, end)), state, timestamp, was: false }, state);
        let flow = group.flow(self.cx.empty);
        let name = String::from_utf8_lossy(key).into_owned();
        let message = format!("`merge` for key {name:?} in the window {start}..{end}: {fault}");
        self.cx.refuse(self.step.node, Some(self.function), &flow, 0, Reason::Poisoned, &message)
    }
}
