//! An aggregator whose merge gives one state fewer than it was given pairs.

use millstream_sdk::BytesColumn;

pub fn merge(left: &BytesColumn, _right: &BytesColumn) -> Result<BytesColumn, String> {
    Ok(left.iter().skip(1).collect())
}

millstream_sdk::columns!(aggregator, misbehaving::add, misbehaving::finish);
millstream_sdk::columns!(merger, merge);
