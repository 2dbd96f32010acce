//! What goes into a function and comes out of it, item by item, as it is told.

use millstream_core::function::{Groups, Output, Records, Rejection};
use millstream_core::record::{Batch, BytesColumn, HeaderColumns};
use millstream_web::types::Bytes;
use millstream_web::types::inside::Item;

fn bytes(column: &BytesColumn, i: usize) -> Option<Bytes> {
    column.get(i).map(|bytes| Bytes(bytes.to_vec()))
}

fn headers(headers: Option<&HeaderColumns>, i: usize) -> Vec<(Bytes, Option<Bytes>)> {
    let of = headers.into_iter().flat_map(|headers| headers.of(i));
    of.map(|(name, value)| (Bytes(name.to_vec()), value.map(|value| Bytes(value.to_vec())))).collect()
}

/// A record of a batch.
pub(super) fn record(batch: &Batch, row: usize) -> Item {
    let records = Records { keys: &batch.keys, values: &batch.values, timestamps: &batch.timestamps };
    one("record", records, batch.headers.as_deref(), row)
}

fn one(what: &str, records: Records<'_>, given: Option<&HeaderColumns>, i: usize) -> Item {
    Item {
        what: what.into(),
        key: bytes(records.keys, i),
        value: bytes(records.values, i),
        timestamp: records.timestamps.get(i).copied(),
        headers: headers(given, i),
        ..Item::default()
    }
}

/// The records of a call.
pub(super) fn records(records: Records<'_>, given: Option<&HeaderColumns>) -> Vec<Item> {
    (0..records.timestamps.len()).map(|i| one("record", records, given, i)).collect()
}

/// Groups with their states, as they are given or, with other states, as they are left.
pub(super) fn groups(what: &str, of: Groups<'_>, states: &BytesColumn) -> Vec<Item> {
    let one = |g: usize| Item {
        what: what.into(),
        key: bytes(of.keys, g),
        value: bytes(states, g),
        window: of.starts.get(g).zip(of.ends.get(g)).map(|(start, end)| (*start, *end)),
        ..Item::default()
    };
    (0..of.keys.len()).map(one).collect()
}

/// Values by key, and another beside each where there are two sides.
pub(super) fn keyed(what: &str, keys: &BytesColumn, values: &BytesColumn, other: Option<&BytesColumn>) -> Vec<Item> {
    let one = |i: usize| Item {
        what: what.into(),
        key: bytes(keys, i),
        value: bytes(values, i),
        other: other.and_then(|other| bytes(other, i)),
        ..Item::default()
    };
    (0..keys.len()).map(one).collect()
}

/// What was refused: `key` gives the key of what stands at a place.
pub(super) fn rejected(all: &[Rejection], key: impl Fn(usize) -> Option<Bytes>) -> Vec<Item> {
    let one = |rejection: &Rejection| Item {
        what: "rejected".into(),
        key: key(rejection.index as usize),
        text: Some(rejection.reason.clone()),
        ..Item::default()
    };
    all.iter().map(one).collect()
}

/// The key of a record.
pub(super) fn key_of(records: Records<'_>) -> impl Fn(usize) -> Option<Bytes> + '_ {
    |i| (i < records.timestamps.len()).then(|| bytes(records.keys, i)).flatten()
}

/// The results of a mapper or a processor; what it leaves out is as in the record.
pub(super) fn results(given: Records<'_>, given_headers: Option<&HeaderColumns>, output: &Output) -> Vec<Item> {
    let count = output.sources.as_ref().map_or(output.taken as usize, Vec::len);
    let one = |i: usize| {
        let row = output.sources.as_ref().map_or(i, |sources| sources[i] as usize);
        Item {
            what: "result".into(),
            key: output.keys.as_ref().map_or_else(|| bytes(given.keys, row), |keys| bytes(keys, i)),
            value: output.values.as_ref().map_or_else(|| bytes(given.values, row), |values| bytes(values, i)),
            timestamp: output.timestamps.as_ref().map_or(given.timestamps.get(row), |times| times.get(i)).copied(),
            headers: match &output.headers {
                Some(own) => headers(Some(own), i),
                None => headers(given_headers, row),
            },
            output: output.ports.as_ref().map(|ports| ports[i]),
            ..Item::default()
        }
    };
    (0..count).map(one).collect()
}
