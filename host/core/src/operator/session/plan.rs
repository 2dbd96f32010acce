//! Which sessions some records make, before a function is asked: bounds follow from timestamps alone, so that all records of a
//! batch can be folded together.
//!
//! A plan is a graph. A node is a session between two meetings: it goes out from what it was made of (nothing, or sessions that
//! a record has brought together), and takes records in until it meets another. What a function makes of it is asked level by
//! level; a node stands a level above those it is made of.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::aggregate::Gone;
use super::super::clock::{Walk, droppable};
use crate::emit::Reason;
use crate::flow::Flow;
use crate::record::Timestamp;
use crate::search::{from_back, from_front};
use crate::slicing::Meeting;
use crate::state::sessions::{Session, Sessions};
use crate::time::NEVER;

/// What a session is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// A session of the store, by its place among its key's.
    Stored(usize),
    /// A node of the plan.
    Node(usize),
}

/// A session between two meetings.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Number of the key in the store.
    pub key: u32,
    /// What it is made of, earliest first.
    pub parents: Vec<Parent>,
    /// Bounds of the stored sessions in it.
    pub absorbed: Vec<(Timestamp, Timestamp)>,
    pub start: Timestamp,
    pub end: Timestamp,
    /// The largest timestamp of the records that are thought to be taken, and of those in what it is made of.
    pub newest: Timestamp,
    /// Records to be folded in, in order, those that are thought to be refused too.
    pub members: Vec<u32>,
    pub level: usize,
    /// Records that are thought to be taken.
    pub taken: usize,
    /// It is a session of its key when all records are in.
    pub remains: bool,
}

/// What some records make.
pub(crate) struct Plan<W> {
    /// Parents stand before their children.
    pub nodes: Vec<Node>,
    pub levels: usize,
    /// Behind the last record planned.
    pub until: usize,
    /// Where the walk over the records has come to.
    pub walk: W,
    pub gone: Gone,
    /// Stream times of the records' own tasks.
    pub own: Vec<Timestamp>,
    /// Why it ends where it does, if something has to be done with before the next record.
    pub cut: Option<Cut>,
}

/// What was open has closed, and the next record could be in it.
pub(crate) struct Cut {
    /// Closing time with the next record.
    pub closing: Timestamp,
    /// Rows at which closing time has moved so far.
    pub steps: Vec<(u32, Timestamp)>,
    /// The next record's row.
    pub row: u32,
}

/// What is planned from.
pub(crate) struct Ground<'g, R> {
    pub flow: &'g Flow,
    pub store: &'g Sessions,
    /// For each record the number of its key.
    pub keys: &'g [u32],
    pub rule: R,
    /// Closing time up to which everything has been closed.
    pub closed: Timestamp,
}

/// Which of a key's sessions, in order of their ends, a record at `t` touches; those with an end below `closed` are closed.
/// Open sessions of a key are further than the gap apart, so they stand in the order of their starts too.
pub(crate) fn touched<S>(
    sessions: &[S],
    bounds: impl Fn(&S) -> (Timestamp, Timestamp),
    rule: impl Meeting,
    closed: Timestamp,
    t: Timestamp,
) -> Range<usize> {
    let open = from_front(sessions, |s| bounds(s).1 < closed);
    let is_before = |s: &S| bounds(s).1 < t && !rule.touches(bounds(s).0, bounds(s).1, t);
    let from = open + from_back(&sessions[open..], is_before);
    let len = sessions[from..].iter().take_while(|s| rule.touches(bounds(s).0, bounds(s).1, t)).count();
    from..from + len
}

/// The sessions of a key, by end, that do not end before the first of two times nor begin behind the second, with their places.
/// One that is closed may lie within one that is not, so their starts are in no order.
pub(crate) fn near(
    sessions: &[Session],
    (first, last): (Timestamp, Timestamp),
) -> impl Iterator<Item = (usize, &Session)> {
    let from = from_back(sessions, |s| s.end < first);
    (from..).zip(&sessions[from..]).filter(move |(_, s)| s.start <= last)
}

/// Why a record that touches no open session leaves, if it does.
pub(crate) fn why_gone(rule: impl Meeting, t: Timestamp, own: Timestamp, closing: Timestamp) -> Option<Reason> {
    match t {
        _ if t < rule.closed_ends(own) => Some(Reason::Late),
        _ if t < rule.closed_ends(closing) => Some(Reason::LateAfterIdle),
        _ => None,
    }
}

/// A session of a key as the plan has it by now.
struct Live {
    start: Timestamp,
    end: Timestamp,
    is: Parent,
}

impl<W: Walk> Plan<W> {
    /// Plans records `from..to`, of which those in `refused` are thought to be refused: they are asked, and change nothing.
    /// Ends before such a record where it would bring sessions together: that needs an answer first. And before a record for
    /// which something has to be closed first.
    pub fn new<R: Meeting>(ground: &Ground<'_, R>, walk: &W, from: usize, to: usize, refused: &[u32]) -> Self {
        let plan = Self {
            nodes: Vec::new(),
            levels: 0,
            until: from,
            walk: walk.clone(),
            gone: Gone::new(),
            own: Vec::new(),
            cut: None,
        };
        let times = || ground.flow.batch.timestamps[from..to].iter().map(|t| (*t).max(0));
        let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        let around = ground.rule.around(first, last);
        let index = HashMap::with_hasher(FixedState::default());
        let mut planner = Planner { ground, plan, around, keys: Vec::new(), index };
        for i in from..to {
            let is_refused = to - from > 1 && refused.binary_search(&(i as u32)).is_ok();
            match planner.record(i, is_refused) {
                Planned::In => planner.plan.until = i + 1,
                // Alone it is planned as if it were taken.
                Planned::Meets if i == from => return Self::new(ground, walk, from, from + 1, &[]),
                Planned::Meets => break,
                // The walk has gone on already.
                Planned::Cut(cut) => return Self { cut: Some(cut), ..Self::new(ground, walk, from, i, refused) },
            }
        }
        planner.finish()
    }
}

/// What has become of a record.
enum Planned {
    /// It has its place.
    In,
    /// Nothing was done: it would bring sessions together and is thought to be refused.
    Meets,
    /// It comes in later.
    Cut(Cut),
}

struct Planner<'p, 'g, W, R> {
    ground: &'p Ground<'g, R>,
    plan: Plan<W>,
    /// Between these lie the sessions that a record may touch.
    around: (Timestamp, Timestamp),
    /// Sessions of the keys seen, by end.
    keys: Vec<Vec<Live>>,
    index: HashMap<u32, usize, FixedState>,
}

impl<W: Walk, R: Meeting> Planner<'_, '_, W, R> {
    fn sessions_of(&mut self, key: u32) -> usize {
        let (keys, store, around) = (&mut self.keys, self.ground.store, self.around);
        *self.index.entry(key).or_insert_with(|| {
            let live = |(at, s): (usize, &Session)| Live { start: s.start, end: s.end, is: Parent::Stored(at) };
            keys.push(near(store.of(key), around).map(live).collect());
            keys.len() - 1
        })
    }

    /// Plans one record more.
    fn record(&mut self, i: usize, is_refused: bool) -> Planned {
        let Ground { flow, keys, rule, closed, .. } = *self.ground;
        if let Some(reason) = droppable(flow, i) {
            self.plan.own.push(self.plan.own.last().copied().unwrap_or(NEVER));
            self.plan.gone.push((i, reason));
            return Planned::In;
        }
        let before = is_refused.then(|| self.plan.walk.clone());
        let (own, closing) = self.plan.walk.enter(i);
        let (time, key) = (flow.batch.timestamps[i], keys[i]);
        if rule.cuts(time, closed, closing) {
            return Planned::Cut(Cut { closing, steps: self.plan.walk.steps().to_vec(), row: flow.row(i) });
        }
        let t = rule.place(time);
        let local = self.sessions_of(key);
        let bounds = |s: &Live| (s.start, s.end);
        let touched = touched(&self.keys[local], bounds, rule, rule.closed_ends(rule.judging(own, closing)), t);
        if let (Some(walk), true) = (before, touched.len() > 1) {
            self.plan.walk = walk;
            return Planned::Meets;
        }
        self.plan.own.push(own);
        if let (true, Some(reason)) = (touched.is_empty(), why_gone(rule, t, own, closing)) {
            self.plan.gone.push((i, reason));
            return Planned::In;
        }
        match (is_refused, touched.is_empty()) {
            (true, true) => {
                self.node(key, Vec::new(), (t, t), i, false);
            }
            _ => self.join(local, key, touched, t, i, !is_refused),
        }
        if is_refused {
            self.plan.walk.refuse();
        }
        Planned::In
    }

    /// Lets a record join the sessions that it touches; where it is not taken, it is only asked.
    fn join(&mut self, local: usize, key: u32, touched: Range<usize>, t: Timestamp, i: usize, taken: bool) {
        let time = if taken { self.ground.flow.batch.timestamps[i] } else { NEVER };
        let live = &self.keys[local][touched.clone()];
        let (mut start, mut end) = if taken { (t, t) } else { (Timestamp::MAX, NEVER) };
        for session in live {
            (start, end) = (start.min(session.start), end.max(session.end));
        }
        let at = if let [Live { is: Parent::Node(at), .. }] = live {
            let node = &mut self.plan.nodes[*at];
            (node.start, node.end, node.newest) = (start, end, node.newest.max(time));
            node.members.push(i as u32);
            node.taken += usize::from(taken);
            *at
        } else {
            let parents = live.iter().map(|s| s.is).collect();
            self.node(key, parents, (start, end), i, taken)
        };
        self.keys[local].splice(touched, [Live { start, end, is: Parent::Node(at) }]);
    }

    fn node(
        &mut self,
        key: u32,
        parents: Vec<Parent>,
        (start, end): (Timestamp, Timestamp),
        i: usize,
        taken: bool,
    ) -> usize {
        let (mut absorbed, mut level) = (Vec::new(), 0);
        let mut newest = if taken { self.ground.flow.batch.timestamps[i] } else { NEVER };
        for parent in &parents {
            match parent {
                Parent::Stored(at) => {
                    let session = &self.ground.store.of(key)[*at];
                    newest = newest.max(session.timestamp);
                    absorbed.push((session.start, session.end));
                }
                Parent::Node(at) => {
                    let node = &self.plan.nodes[*at];
                    newest = newest.max(node.newest);
                    absorbed.extend_from_slice(&node.absorbed);
                    level = level.max(node.level + 1);
                }
            }
        }
        self.plan.levels = self.plan.levels.max(level + 1);
        let (members, taken) = (vec![i as u32], usize::from(taken));
        self.plan.nodes.push(Node {
            key,
            parents,
            absorbed,
            start,
            end,
            newest,
            members,
            level,
            taken,
            remains: false,
        });
        self.plan.nodes.len() - 1
    }

    fn finish(mut self) -> Plan<W> {
        for live in self.keys.iter().flatten() {
            if let Parent::Node(at) = live.is {
                self.plan.nodes[at].remains = true;
            }
        }
        self.plan
    }
}
