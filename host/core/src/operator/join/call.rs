//! The joiner over pairs, one call for a batch; what it refuses leaves.

use alloc::format;
use alloc::vec::Vec;

use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::function::{Answer, Fault, Functions, Joined};
use crate::operator::isolate::{self, Isolation, Work};
use crate::operator::{Cx, bad_result, check_rejections};
use crate::record::BytesColumn;
use crate::topology::graph::Node;

/// What is to be joined: as many items in each column as records in the flow.
pub(crate) struct Pairs<'p> {
    /// Whose joining it is: refused are these. Their keys are the joiner's.
    pub flow: &'p Flow,
    pub left: &'p BytesColumn,
    pub right: &'p BytesColumn,
}

/// What the joiner made of pairs.
#[derive(Default)]
pub(crate) struct Made {
    /// Places of the pairs that were not refused.
    pub places: Vec<u32>,
    /// Their values.
    pub values: BytesColumn,
}

/// Joins pairs.
pub(crate) fn join(cx: &mut Cx<'_, '_>, node: &Node, function: usize, pairs: Pairs<'_>) -> Result<Made, Verdict> {
    let (prepared, len) = (cx.active[function].prepared, pairs.flow.len());
    let mut work = Joining { cx, node, function, pairs, made: Made::default() };
    isolate::run(&mut work, &node.name, prepared, len)?;
    Ok(work.made)
}

struct Joining<'w, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    node: &'w Node,
    function: usize,
    pairs: Pairs<'w>,
    made: Made,
}

impl Work for Joining<'_, '_, '_> {
    type Given = Joined;

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<Joined> {
        let (prepared, count) = (self.cx.active[self.function].prepared, to - from);
        let Pairs { flow, left, right } = self.pairs;
        let (functions, keys) = (&mut self.cx.ports.functions, &*flow.batch.keys);
        let joined = if count == flow.len() {
            functions.join(prepared, keys, left, right)?
        } else {
            functions.join(prepared, &keys.slice(from, to), &left.slice(from, to), &right.slice(from, to))?
        };
        if joined.values.len() != count {
            return Err(bad_result(format!("`join` gave {} values for {count} pairs", joined.values.len())));
        }
        check_rejections(&joined.rejected, "pair", count)?;
        Ok(joined)
    }

    fn accept(&mut self, from: usize, to: usize, joined: Joined) -> Result<usize, Verdict> {
        let Made { places, values } = &mut self.made;
        if joined.rejected.is_empty() {
            places.extend(from as u32..to as u32);
            values.extend(&joined.values);
            return Ok(to - from);
        }
        let mut refused = alloc::vec![false; to - from];
        joined.rejected.iter().for_each(|r| refused[r.index as usize] = true);
        for i in (0..to - from).filter(|i| !refused[*i]) {
            places.push((from + i) as u32);
            values.push(joined.values.get(i));
        }
        self.cx.reject(self.node, self.function, self.pairs.flow, from, &joined.rejected)?;
        Ok(to - from)
    }

    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        let message = format!("{fault}");
        self.cx.refuse(self.node, Some(self.function), self.pairs.flow, at, Reason::Poisoned, &message)
    }
}
