//! A stream joined with a global table: a function says of each record which row it means, and that row is looked up as it is
//! now. Changes of the table set nothing off.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::call::{Pairs, join};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::globals::keys_of;
use crate::operator::Cx;
use crate::operator::stateless::{self, Noted, Rules, StreamTimes};
use crate::record::{Batch, BytesColumn};
use crate::topology::graph::{GlobalJoinNode, Node};
use crate::topology::spec::{JoinKind, MapForm};

/// What comes of a stream's records: each keeps its own key, time, headers, row and window, and has the value that the joiner makes,
/// also where that is null.
pub(crate) fn global(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    spec: &GlobalJoinNode,
    records: &Flow,
    times: StreamTimes<'_>,
) -> Result<Flow, Verdict> {
    let with_value: Vec<u32> =
        (0..records.len() as u32).filter(|i| !records.batch.values.is_null(*i as usize)).collect();
    (with_value.len()..records.len()).for_each(|_| cx.out.dropped(&node.name, Reason::NullValue));
    let asked = if with_value.len() == records.len() { records.clone() } else { records.gather(&with_value) };
    if asked.is_empty() {
        return Ok(cx.empty.clone());
    }
    let (asked, keys) = looked_for(cx, node, spec, &asked, times)?;
    let rows = cx.ports.globals.rows(spec.table, &keys_of(&keys))?;
    let (mut places, mut right) = (Vec::with_capacity(asked.len()), BytesColumn::default());
    for i in 0..asked.len() {
        if spec.kind == JoinKind::Inner && rows.is_null(i) {
            if keys.is_null(i) {
                cx.out.dropped(&node.name, Reason::NullKey);
            }
            continue;
        }
        places.push(i as u32);
        right.push(rows.get(i));
    }
    let paired = asked.gather(&places);
    let pairs = Pairs { flow: &paired, left: &paired.batch.values, right: &right };
    let made = join(cx, node, spec.function, pairs)?;
    let joined = paired.gather(&made.places);
    let batch = Batch { values: Arc::new(made.values), ..joined.batch };
    Ok(Flow { batch, inputs: None, ..joined })
}

/// The records that the function did not refuse, and for each the key that it gave; null: it gave none.
fn looked_for(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    spec: &GlobalJoinNode,
    asked: &Flow,
    times: StreamTimes<'_>,
) -> Result<(Flow, BytesColumn), Verdict> {
    let mut noted = Noted::default();
    let rules = Rules::Form(MapForm::SelectKey);
    let mut results = stateless::map(cx, node, spec.key, rules, asked, times, Some(&mut noted))?;
    let given = results.pop().unwrap_or_default().batch.keys;
    let (mut stays, mut keys) = (Vec::with_capacity(asked.len()), BytesColumn::default());
    let (mut next, mut refused) = (0, noted.refused.iter().copied().peekable());
    for i in 0..asked.len() as u32 {
        if refused.next_if_eq(&i).is_some() {
            continue;
        }
        let has_key = noted.sources.get(next) == Some(&i);
        keys.push(if has_key { given.get(next) } else { None });
        next += usize::from(has_key);
        stays.push(i);
    }
    let stayed = if stays.len() == asked.len() { asked.clone() } else { asked.gather(&stays) };
    Ok((stayed, keys))
}
