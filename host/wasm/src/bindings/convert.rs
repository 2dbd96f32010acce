//! Checks that every version of the contract makes of what a guest returned, before the core sees it.

use millstream_core::function::Rejection;
use millstream_core::record::{BytesColumn, HeaderColumns};

use crate::fault::{CallError, Returned};
use crate::limits::{MESSAGE_BYTES_MAX, cut};

/// A column of bytes from its parts; `what` names it in the error.
pub(super) fn column(what: &str, offsets: Vec<u32>, data: Vec<u8>, validity: Vec<u8>) -> Returned<BytesColumn> {
    BytesColumn::from_parts(offsets, data, validity).map_err(|e| CallError::Bad(format!("`{what}`: {e}")))
}

/// Header columns from their parts.
pub(super) fn headers(offsets: Vec<u32>, names: BytesColumn, values: BytesColumn) -> Returned<HeaderColumns> {
    let bad = |what: String| Err(CallError::Bad(format!("`headers`: {what}")));
    if names.len() != values.len() {
        return bad(format!("there are {} names and {} values", names.len(), values.len()));
    }
    let falls = offsets.first() != Some(&0) || offsets.windows(2).any(|pair| pair[1] < pair[0]);
    if falls || offsets.last().map(|&last| last as usize) != Some(names.len()) {
        return bad(format!("the offsets do not rise from 0 to the number of names, {}", names.len()));
    }
    for entry in 0..names.len() {
        match names.get(entry) {
            None => return bad(format!("the name of entry {entry} is null")),
            Some(name) if std::str::from_utf8(name).is_err() => {
                return bad(format!("the name of entry {entry} is not UTF-8"));
            }
            Some(_) => {}
        }
    }
    Ok(HeaderColumns { offsets, names, values })
}

/// A rejection, its reason cut to what is kept.
pub(super) fn rejection(index: u32, mut reason: String) -> Rejection {
    cut(&mut reason, MESSAGE_BYTES_MAX);
    Rejection { index, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[Option<&[u8]>]) -> BytesColumn {
        names.iter().copied().collect()
    }

    #[test]
    fn headers_are_checked() {
        let check = |offsets: &[u32], n: &[Option<&[u8]>], values: usize| match headers(
            offsets.to_vec(),
            names(n),
            BytesColumn::nulls(values),
        ) {
            Ok(headers) => format!("{} records", headers.len()),
            Err(CallError::Bad(what)) => what,
            Err(other) => format!("{other:?}"),
        };
        let a: &[Option<&[u8]>] = &[Some(b"a")];
        assert_eq!(check(&[0, 1, 1], a, 1), "2 records");
        assert_eq!(check(&[0], &[], 0), "0 records");
        assert_eq!(check(&[0, 1], a, 2), "`headers`: there are 1 names and 2 values");
        let offsets = "`headers`: the offsets do not rise from 0 to the number of names, 1";
        assert_eq!([check(&[], a, 1), check(&[1], a, 1), check(&[0, 2], a, 1)], [offsets; 3]);
        assert_eq!(check(&[0, 1, 0, 1], a, 1), offsets);
        assert_eq!(check(&[0, 1], &[None], 1), "`headers`: the name of entry 0 is null");
        assert_eq!(check(&[0, 1], &[Some(b"\xff")], 1), "`headers`: the name of entry 0 is not UTF-8");
    }

    #[test]
    fn reasons_are_cut() {
        let long = rejection(3, "x".repeat(MESSAGE_BYTES_MAX + 1));
        assert_eq!((long.index, long.reason.len()), (3, MESSAGE_BYTES_MAX + "…".len()));
    }
}
