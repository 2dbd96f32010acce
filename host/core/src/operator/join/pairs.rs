//! Pairs of two streams on their way to the joiner, many in one call, and what it made of them. Who meets whom is not decided
//! here.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::call::{self, join};
use crate::error::Verdict;
use crate::flow::{Flow, Windows};
use crate::operator::Cx;
use crate::operator::sink::json_bytes;
use crate::operator::stateless;
use crate::record::{Batch, BatchBuilder, BytesColumn, Header, Timestamp};
use crate::state::buffer::Side;
use crate::time::NEVER;
use crate::topology::graph::Node;

/// Most pairs of two streams that one call of a joiner is given.
pub const PAIRS_PER_CALL_MAX: usize = 2_048;
/// Bytes of values from which on a call is given no more pairs: it has one pair more at the most.
pub const PAIR_BYTES_PER_CALL_MAX: usize = 4 << 20;
/// Most bytes that the results of one batch of a join of two streams may have together, as they are held in memory.
pub const JOINED_BYTES_MAX: usize = 1 << 30;

/// A record with a partner, or alone.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'p> {
    /// The side of the record.
    pub side: Side,
    pub key: Option<&'p [u8]>,
    /// Its value.
    pub own: &'p [u8],
    /// The partner's value; `None`: it is alone.
    pub other: Option<&'p [u8]>,
    /// Time of the result.
    pub time: Timestamp,
    /// The row that it comes from, perhaps with a mark.
    pub row: u32,
    /// Window of its key.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// Pairs that are not joined yet, and results.
#[derive(Default)]
pub(crate) struct Pairs {
    /// As results, but with the values of the records: what a dead letter has of a record that no row made.
    batch: BatchBuilder,
    rows: Vec<u32>,
    windows: Windows,
    any_window: bool,
    left: BytesColumn,
    right: BytesColumn,
    results: Vec<Flow>,
    results_bytes: usize,
}

impl Pairs {
    /// Adds a pair; `headers`: those of the result.
    pub fn push<'h>(&mut self, pair: &Pair<'_>, headers: impl IntoIterator<Item = Header<'h>>) {
        self.batch.push(pair.key, Some(pair.own), pair.time, headers);
        self.rows.push(pair.row);
        let (start, end) = pair.window.unwrap_or((NEVER, NEVER));
        self.any_window |= start != NEVER;
        self.windows.starts.push(start);
        self.windows.ends.push(end);
        let (left, right) =
            if pair.side == Side::Left { (Some(pair.own), pair.other) } else { (pair.other, Some(pair.own)) };
        self.left.push(left);
        self.right.push(right);
    }

    /// Whether a call has enough of them.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= PAIRS_PER_CALL_MAX
            || self.left.data().len() + self.right.data().len() >= PAIR_BYTES_PER_CALL_MAX
    }

    /// Joins the pairs.
    pub fn flush(&mut self, cx: &mut Cx<'_, '_>, node: &Node, function: Option<usize>) -> Result<(), Verdict> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let windows = core::mem::take(&mut self.windows);
        let windows = core::mem::take(&mut self.any_window).then(|| Arc::new(windows));
        let (batch, rows) = (core::mem::take(&mut self.batch).finish(), core::mem::take(&mut self.rows));
        let (left, right) = (core::mem::take(&mut self.left), core::mem::take(&mut self.right));
        let paired = Flow { batch, rows: Some(Arc::new(rows)), windows, ..Flow::default() };
        let joined = match function {
            None => {
                let values = (0..paired.len()).map(|i| built_in(left.get(i), right.get(i)));
                let mut column = BytesColumn::with_capacity(paired.len(), left.data().len() + right.data().len());
                values.for_each(|value| column.push(Some(value.as_bytes())));
                Flow { batch: Batch { values: Arc::new(column), ..paired.batch.clone() }, ..paired }
            }
            Some(function) => {
                let made = join(cx, node, function, call::Pairs { flow: &paired, left: &left, right: &right })?;
                let joined = paired.gather(&made.places);
                Flow { batch: Batch { values: Arc::new(made.values), ..joined.batch }, ..joined }
            }
        };
        self.results_bytes += joined.batch.bytes();
        fits(&node.name, self.results_bytes, JOINED_BYTES_MAX)?;
        if !joined.is_empty() {
            self.results.push(joined);
        }
        Ok(())
    }

    /// What came of all of them; `empty` where nothing did.
    pub fn results(self, empty: &Flow) -> Flow {
        if self.results.is_empty() { empty.clone() } else { stateless::join(self.results) }
    }
}

/// Whether so many bytes of results are not too many.
fn fits(step: &str, bytes: usize, max: usize) -> Result<(), Verdict> {
    if bytes <= max {
        return Ok(());
    }
    Err(Verdict::Fatal(format!(
        "step `{step}`: the pairs of one batch make {bytes} bytes of results; the limit is {max}: a key has too many records \
         within the window of one another; make the window shorter, or filter before the join"
    )))
}

/// What stands for a pair where no function joins it: `{"left":…,"right":…}`, each a string, null, or, where it is no UTF-8,
/// `{"base64":…}`.
fn built_in(left: Option<&[u8]>, right: Option<&[u8]>) -> String {
    let side = |value: Option<&[u8]>| value.map_or_else(|| "null".into(), json_bytes);
    format!("{{\"left\":{},\"right\":{}}}", side(left), side(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair<'p>(own: &'p [u8], other: Option<&'p [u8]>) -> Pair<'p> {
        Pair { side: Side::Right, key: Some(b"k"), own, other, time: 1, row: 0, window: None }
    }

    #[test]
    fn a_call_has_enough_by_number_and_by_bytes() {
        let mut pairs = Pairs::default();
        (1..PAIRS_PER_CALL_MAX).for_each(|_| pairs.push(&pair(b"a", None), []));
        assert!(!pairs.is_full());
        pairs.push(&pair(b"a", None), []);
        assert!(pairs.is_full());
        let (mut pairs, half) = (Pairs::default(), alloc::vec![0; PAIR_BYTES_PER_CALL_MAX / 2]);
        pairs.push(&pair(&half[1..], Some(&half)), []);
        assert!(!pairs.is_full());
        pairs.push(&pair(b"a", None), []);
        assert!(pairs.is_full());
    }

    #[test]
    fn results_beyond_the_limit_end_the_task_with_what_would_be_right() {
        assert_eq!(fits("j", JOINED_BYTES_MAX, JOINED_BYTES_MAX), Ok(()));
        let Err(Verdict::Fatal(why)) = fits("j", JOINED_BYTES_MAX + 1, JOINED_BYTES_MAX) else { panic!("it fits") };
        assert!(why.starts_with("step `j`: the pairs of one batch make 1073741825 bytes"), "{why}");
    }

    #[test]
    fn the_built_in_pair_is_read_back_by_anything_that_reads_json() {
        assert_eq!(built_in(Some(b"a\"b\n"), None), r#"{"left":"a\"b\u000a","right":null}"#);
        assert_eq!(built_in(Some(b"null"), Some(b"\xff")), r#"{"left":"null","right":{"base64":"/w=="}}"#);
    }
}
