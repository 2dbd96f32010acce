//! Deduplicate: of records with one id that are no further apart in event time than the step's `within`, the first to come passes.
//!
//! What an id is: the record's key, or the key together with what a function makes of the record. What has passed is kept by time, in
//! buckets that are `within` + 1 ms long: two times of one bucket are never further apart than `within`, so a bucket has one entry
//! of an id at the most, and all that can be near a record lies in its bucket, the one before and the one behind. Of an id
//! many times may be kept, for records come out of order. A bucket goes whole when no record that is in time can be near it, so
//! when that is done changes no result.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::Cx;
use super::aggregate::{State, Times, ground, leave_to};
use super::clock::{ByUpstream, Observed, Walk};
use super::stateless::{self, Noted, Rules, StreamTimes};
use super::table::row_key;
use crate::decode::Row;
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::record::{BytesColumn, Timestamp};
use crate::state::key::beside;
use crate::state::store::{Store, hash};
use crate::state::value::State as Value;
use crate::time::NEVER;
use crate::topology::graph::{DeduplicateNode, Node};
use crate::topology::spec::{Deduplicate, MapForm};

/// Bytes that a stored id takes besides, at the most: kind and bucket; form, layout, timestamp.
const STORED_BYTES: usize = 9 + 14;

/// A step that deduplicates, at work.
struct Step<'s> {
    pub node: &'s Node,
    pub deduplicate: &'s DeduplicateNode,
    pub times: &'s mut Times,
    /// What has passed, by bucket and id; the time of an entry is the record's.
    pub store: &'s mut Store,
}

impl<'s> Step<'s> {
    /// A step beside its state; `None`: the state is another operator's.
    fn of(node: &'s Node, deduplicate: &'s DeduplicateNode, state: &'s mut State) -> Option<Self> {
        let State { times, store, .. } = state;
        let super::aggregate::Held::Groups(store) = store else { return None };
        Some(Self { node, deduplicate, times, store })
    }
}

/// What a step does in a walk; `ends`: at the end of an interval.
pub(crate) fn run(
    cx: &mut Cx<'_, '_>,
    (node, operator): (&Node, &DeduplicateNode),
    state: &mut State,
    flow: &Flow,
    rows: &[Row],
    ends: bool,
) -> Result<Flow, Verdict> {
    let Some(mut step) = Step::of(node, operator, state) else { unreachable!("opened by the same plan") };
    let passed = process(cx, &mut step, flow, rows)?;
    if ends {
        end_interval(&mut step);
    }
    Ok(passed)
}

/// Takes a batch in; gives the records that pass. `rows`: what the rows of the polled batch say of time.
fn process(cx: &mut Cx<'_, '_>, step: &mut Step<'_>, flow: &Flow, rows: &[Row]) -> Result<Flow, Verdict> {
    match step.times.clock.clone() {
        Some(clock) => take(cx, step, flow, rows, ByUpstream::new(flow, rows, clock)),
        None if flow.is_empty() => Ok(cx.empty.clone()),
        None => take(cx, step, flow, rows, Observed::new(flow, step.times.observed, false)),
    }
}

/// At the end of an interval: forgets what no record that is in time can be near any more.
fn end_interval(step: &mut Step<'_>) {
    let until = Near::of(&step.deduplicate.spec).forgotten(step.times.closing());
    while let Some(mark) = step.store.first_window().filter(|mark| *mark <= until) {
        step.store.drop_window(mark);
    }
}

fn take<W: Walk>(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_>,
    flow: &Flow,
    rows: &[Row],
    mut walk: W,
) -> Result<Flow, Verdict> {
    let mut observed = step.times.observed;
    let ids = ids(cx, step, flow, rows, &mut observed)?;
    let near = Near::of(&step.deduplicate.spec);
    let ground = ground(cx, step.deduplicate.store);
    let limits = cx.sub.stores[step.deduplicate.store].limits;
    let (mut passes, mut leaves, mut too_large) = (Vec::with_capacity(flow.len()), Vec::new(), Vec::new());
    for i in (0..flow.len()).filter(|i| !ids.is_refused(*i)) {
        let (own, closing) = walk.enter(i);
        let Some(id) = ids.of(step.deduplicate.by_window, flow, i) else {
            // What has no id is nobody's duplicate.
            passes.push(i as u32);
            continue;
        };
        let time = flow.batch.timestamps[i];
        if let Some(reason) = near.why_late(time, own, closing) {
            leaves.push((i, reason));
            continue;
        }
        let hash = hash(&id);
        if is_near(step.store, ground, near, time, hash, &id)? {
            leaves.push((i, Reason::Duplicate));
            continue;
        }
        let bytes = limits.record_bytes(id.len() + STORED_BYTES, []);
        if let Some(max) = limits.record_bytes_max.filter(|max| bytes > *max) {
            too_large.push((i, format!("its id has {bytes} bytes, stored; the changelog takes {max}")));
            continue;
        }
        step.store.add(near.bucket(time), hash, &id, time, Value::new(&[]));
        passes.push(i as u32);
    }
    let mut passed = walk.finish();
    step.times.pass(flow, &mut passed);
    if ids.asked.is_some() {
        // What the function sees: records that it refused have not moved it.
        step.times.observed = observed;
    }
    for (i, reason) in leaves {
        leave_to(cx, step.node, step.deduplicate.late, flow, i, reason)?;
    }
    for (i, message) in too_large {
        cx.refuse(step.node, None, flow, i, Reason::TooLarge, &message)?;
    }
    Ok(Flow { inputs: None, ..flow.gather(&passes) })
}

/// Whether a record of this id has passed that is near.
fn is_near(
    store: &mut Store,
    ground: crate::state::store::Ground<'_>,
    near: Near,
    time: Timestamp,
    hash: u64,
    id: &[u8],
) -> Result<bool, Verdict> {
    // Mostly a duplicate comes soon.
    for mark in near.buckets(time).into_iter().flatten() {
        if let Some(other) = store.look(ground, mark, hash, id)?
            && other.abs_diff(time) <= near.within_ms as u64
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a step calls near, and how long it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Near {
    within_ms: i64,
    grace_ms: i64,
}

impl Near {
    fn of(spec: &Deduplicate) -> Self {
        Self { within_ms: spec.within_ms, grace_ms: spec.grace_ms }
    }

    /// How long a bucket is.
    fn width(self) -> i64 {
        self.within_ms.saturating_add(1)
    }

    /// Mark of the bucket that holds a time (which is not negative): its first millisecond.
    fn bucket(self, time: Timestamp) -> Timestamp {
        time - time % self.width()
    }

    /// Marks of the buckets that can hold what is near a time, its own first.
    fn buckets(self, time: Timestamp) -> [Option<Timestamp>; 3] {
        let (own, width) = (self.bucket(time), self.width());
        [Some(own), (own > 0).then(|| own - width), own.checked_add(width)]
    }

    /// Why a record is too far behind to be judged, if it is.
    fn why_late(self, time: Timestamp, own: Timestamp, closing: Timestamp) -> Option<Reason> {
        let is_late = |now: Timestamp| now != NEVER && time < now.saturating_sub(self.grace_ms);
        match time {
            _ if is_late(own) => Some(Reason::Late),
            _ if is_late(closing) => Some(Reason::LateAfterIdle),
            _ => None,
        }
    }

    /// Every bucket with a mark at or below this is near no record that is in time, at this closing time.
    fn forgotten(self, closing: Timestamp) -> Timestamp {
        if closing == NEVER {
            return NEVER;
        }
        // A record in time is at `closing - grace` or behind it, and what is near it no further before that than `within`; a
        // bucket ends `within` behind its mark.
        let reach = self.within_ms.saturating_mul(2).saturating_add(1);
        closing.saturating_sub(self.grace_ms).saturating_sub(reach)
    }
}

/// The ids of a flow's records.
struct Ids {
    /// What a function gave: of each record the place of its result, and whether it was refused.
    asked: Option<Asked>,
}

struct Asked {
    keys: alloc::sync::Arc<BytesColumn>,
    places: Vec<Option<u32>>,
    refused: Vec<bool>,
}

impl Ids {
    fn is_refused(&self, i: usize) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.refused[i])
    }

    /// The id of a record, `None` where it has none: without a key, or where the function gives no key.
    fn of<'f>(&self, by_window: bool, flow: &'f Flow, i: usize) -> Option<Cow<'f, [u8]>> {
        if flow.batch.keys.is_null(i) {
            return None;
        }
        let key = row_key(by_window, flow, i);
        let Some(asked) = &self.asked else { return Some(key) };
        let id = asked.keys.get(asked.places[i]? as usize)?;
        Some(Cow::Owned(beside(&key, id)))
    }
}

/// Asks for ids, where a function gives them. Records that it refuses go where `on-error` says.
fn ids(
    cx: &mut Cx<'_, '_>,
    step: &Step<'_>,
    flow: &Flow,
    rows: &[Row],
    observed: &mut Timestamp,
) -> Result<Ids, Verdict> {
    let Some(function) = step.deduplicate.function else { return Ok(Ids { asked: None }) };
    let wanted = cx.ports.functions.wants_stream_times(cx.active[function].prepared);
    let (times, mut noted) = (StreamTimes { wanted, observed, rows }, Noted::default());
    let rules = Rules::Form(MapForm::Map);
    let results = match flow.is_empty() {
        true => Flow::default(),
        false => {
            stateless::map(cx, step.node, function, rules, flow, times, Some(&mut noted))?.pop().unwrap_or_default()
        }
    };
    let (mut places, mut refused) = (vec![None; flow.len()], vec![false; flow.len()]);
    (0u32..).zip(&noted.sources).for_each(|(at, source)| places[*source as usize] = Some(at));
    noted.refused.iter().for_each(|at| refused[*at as usize] = true);
    Ok(Ids { asked: Some(Asked { keys: results.batch.keys, places, refused }) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_near_lies_in_three_buckets_and_one_bucket_holds_only_what_is_near(
            within_ms in 0i64..20, a in 0i64..200, b in 0i64..200
        ) {
            let near = Near { within_ms, grace_ms: 0 };
            let is_near = a.abs_diff(b) <= within_ms as u64;
            prop_assert!(!is_near || near.buckets(a).contains(&Some(near.bucket(b))));
            prop_assert!(near.bucket(a) != near.bucket(b) || is_near);
        }

        #[test]
        fn what_is_forgotten_is_near_nothing_in_time_and_what_is_kept_may_be(
            within_ms in 0i64..20, grace_ms in 0i64..20, closing in 0i64..200, mark in 0i64..12
        ) {
            let near = Near { within_ms, grace_ms };
            let mark = mark * near.width();
            let last = mark + within_ms;
            let needed = (0..400).any(|t| near.why_late(t, closing, closing).is_none() && t - last <= within_ms);
            prop_assert_eq!(mark <= near.forgotten(closing), !needed);
        }
    }

    #[test]
    fn the_ends_of_time_are_times_too() {
        let near = Near { within_ms: i64::MAX, grace_ms: i64::MAX };
        assert_eq!(
            (near.bucket(i64::MAX - 1), near.buckets(i64::MAX - 1)[1..].to_vec()),
            (0, vec![None, Some(i64::MAX)])
        );
        let near = Near { within_ms: 10, grace_ms: 3 };
        assert!(near.buckets(i64::MAX)[2].is_none() && near.buckets(0)[1].is_none());
        assert_eq!((near.forgotten(NEVER), near.why_late(0, NEVER, NEVER)), (NEVER, None));
        assert_eq!(
            (near.why_late(6, 10, 10), near.why_late(6, 9, 10)),
            (Some(Reason::Late), Some(Reason::LateAfterIdle))
        );
        assert_eq!(near.why_late(7, 10, 10), None);
    }
}
