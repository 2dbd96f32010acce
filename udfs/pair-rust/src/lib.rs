//! The left and the right value with a comma between; `-` stands for the side that is missing. A value with a comma is refused,
//! as nobody could tell the sides apart; two values that are the same leave nothing.

use millstream_sdk::{Leaves, Pair, Reject};

/// Both sides of a pair.
pub fn pair(pair: &Pair<'_>, out: &mut Vec<u8>) -> Result<Leaves, Reject> {
    let sides = [pair.left, pair.right];
    if sides.iter().flatten().any(|value| value.contains(&b',')) {
        return Err("a value has a comma".into());
    }
    if pair.left == pair.right {
        return Ok(Leaves::Nothing);
    }
    let [left, right] = sides.map(|value| value.unwrap_or(b"-"));
    out.extend_from_slice(left);
    out.push(b',');
    out.extend_from_slice(right);
    Ok(Leaves::Value)
}

millstream_sdk::joiner!(pair);

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(left: Option<&str>, right: Option<&str>) -> Result<Option<String>, String> {
        let mut out = Vec::new();
        let pair_of = Pair { key: Some(b"k"), left: left.map(str::as_bytes), right: right.map(str::as_bytes) };
        let leaves = pair(&pair_of, &mut out).map_err(|reject| reject.reason().to_string())?;
        Ok((leaves == Leaves::Value).then(|| String::from_utf8(out).unwrap()))
    }

    #[test]
    fn a_side_that_is_missing_is_a_dash_and_one_with_a_comma_is_refused() {
        assert_eq!(joined(Some("a"), Some("b")), Ok(Some("a,b".into())));
        assert_eq!(joined(Some("a"), None), Ok(Some("a,-".into())));
        assert_eq!(joined(None, Some("")), Ok(Some("-,".into())));
        assert_eq!(joined(Some("a"), Some("a")), Ok(None));
        assert_eq!(joined(Some("a"), Some("b,c")), Err("a value has a comma".into()));
    }
}
