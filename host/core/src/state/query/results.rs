//! What would leave a step of the states that it has, were its windows to close now: what its function's `finish` makes of them.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::{Calls, QueryError, Row};
use crate::function::{Fault, Groups};
use crate::record::BytesColumn;

/// Rows with results in place of states; those of which the function says that nothing leaves are not there.
///
/// # Errors
/// [`QueryError::Layout`]: a state is of another version; [`QueryError::Function`]: the function failed, which says nothing of which row.
pub fn results(mut rows: Vec<Row>, calls: &mut Calls<'_>) -> Result<Vec<Row>, QueryError> {
    // Values of records leave as they are.
    if rows.is_empty() || calls.reduces {
        return Ok(rows);
    }
    let reads = calls.functions.layout(calls.prepared);
    if let Some(other) = rows.iter().find(|row| row.layout != reads) {
        return Err(QueryError::Layout { stored: other.layout, reads });
    }
    let keys: BytesColumn = rows.iter().map(|row| Some(&row.key[..])).collect();
    let states: BytesColumn = rows.iter().map(|row| Some(&row.value[..])).collect();
    let (starts, ends): (Vec<_>, Vec<_>) = rows.iter().filter_map(|row| row.window).unzip();
    let offsets = vec![0; rows.len() + 1];
    let groups = Groups { keys: &keys, starts: &starts, ends: &ends, states: &states, offsets: &offsets, members: &[] };
    let values = calls.functions.finish(calls.prepared, groups).map_err(QueryError::Function)?;
    if values.len() != rows.len() {
        let what = format!("`finish` gave {} values for {} groups", values.len(), rows.len());
        return Err(QueryError::Function(Fault::BadResult { what }));
    }
    let mut at = 0..rows.len();
    rows.retain_mut(|row| match at.next().and_then(|at| values.get(at)) {
        Some(value) => {
            row.value = value.to_vec();
            true
        }
        None => false,
    });
    Ok(rows)
}
