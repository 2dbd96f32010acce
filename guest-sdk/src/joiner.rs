//! Joiners: a value of two that have the same key. What meets what, and when, is the host's matter.

use crate::{BytesColumn, Joined, Leaves, Reject, Rejection};

/// What has met: not both sides are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair<'a> {
    /// `None`: a stream's record without a key, which a left join joins with nothing.
    pub key: Option<&'a [u8]>,
    /// `None`: there is nothing on the left.
    pub left: Option<&'a [u8]>,
    /// `None`: there is nothing on the right.
    pub right: Option<&'a [u8]>,
}

/// Makes a value of two. Any `fn(&Pair, &mut Vec<u8>) -> Result<Leaves, Reject>` is one.
pub trait Joiner {
    /// Appends the value to `out`. [`Leaves::Nothing`]: null, whatever was appended; of two tables the row is gone.
    fn join(&self, pair: &Pair<'_>, out: &mut Vec<u8>) -> Result<Leaves, Reject>;
}

impl<F> Joiner for F
where
    F: for<'a, 'b> Fn(&'a Pair<'b>, &mut Vec<u8>) -> Result<Leaves, Reject>,
{
    #[inline]
    fn join(&self, pair: &Pair<'_>, out: &mut Vec<u8>) -> Result<Leaves, Reject> {
        self(pair, out)
    }
}

/// Asks `joiner` about every pair.
pub fn join<J: Joiner + ?Sized>(joiner: &J, keys: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Joined {
    let values = BytesColumn::with_capacity(keys.len(), left.data.len() + right.data.len());
    let mut joined = Joined { values, rejected: Vec::new() };
    for index in 0..keys.len() {
        let pair = Pair { key: keys.get(index), left: left.get(index), right: right.get(index) };
        let mut refused = None;
        joined.values.push_or_null(|out| match joiner.join(&pair, out) {
            Ok(leaves) => leaves == Leaves::Value,
            Err(reject) => {
                refused = Some(reject);
                false
            }
        });
        let rejection = |reject: Reject| Rejection { index: index as u32, reason: reject.into_reason() };
        joined.rejected.extend(refused.map(rejection));
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(items: &[Option<&[u8]>]) -> BytesColumn {
        items.iter().copied().collect()
    }

    #[test]
    fn each_pair_has_a_value_none_or_a_reason() {
        fn both(pair: &Pair, out: &mut Vec<u8>) -> Result<Leaves, Reject> {
            let left = pair.left.ok_or("nothing on the left")?;
            out.extend_from_slice(left);
            let Some(right) = pair.right else { return Ok(Leaves::Nothing) };
            out.extend_from_slice(right);
            Ok(Leaves::Value)
        }
        let keys = column(&[Some(b"a"), Some(b"b"), None, Some(b"d")]);
        let left = column(&[Some(b"1"), Some(b"2"), None, Some(b"")]);
        let right = column(&[Some(b"x"), None, Some(b"y"), Some(b"")]);
        let joined = join(&both, &keys, &left, &right);
        assert_eq!(joined.values, column(&[Some(b"1x"), None, None, Some(b"")]));
        assert_eq!(joined.rejected, [Rejection { index: 2, reason: "nothing on the left".into() }]);
    }
}
