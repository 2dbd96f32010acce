//! Whether two versions say the same of a record, and how that is shown.

use millstream_core::function::{Joined, Kept, Output, Rejection, Routed};
use millstream_core::record::{BytesColumn, Timestamp};
use serde_json::{Value, json};

use super::taken::{Given, Sides};

/// Bytes of a key, a value or a state that are shown.
const SHOWN_BYTES_MAX: usize = 200;

/// A record of a call, by place, of which two versions say different things.
pub(super) struct Difference {
    pub at: usize,
    pub old: Value,
    pub new: Value,
}

/// What came of a record.
enum Said<T> {
    Result(T),
    Rejected(String),
}

impl<T: PartialEq> PartialEq for Said<T> {
    /// Reasons are for people: two that differ are the same refusal.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Said::Result(one), Said::Result(two)) => one == two,
            (Said::Rejected(_), Said::Rejected(_)) => true,
            _ => false,
        }
    }
}

/// Bytes as people read them: text, or hexadecimal behind `0x`; null stays null.
pub(super) fn shown(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    // A character that is cut in two is no reason to show all as numbers.
    let text = match std::str::from_utf8(cut) {
        Ok(text) => Some(text),
        Err(why) if cut.len() < bytes.len() && why.error_len().is_none() => {
            std::str::from_utf8(&cut[..why.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
    let mut out = match text.filter(|text| text.chars().all(is_plain)) {
        Some(text) => text.to_string(),
        None => cut.iter().fold("0x".to_string(), |out, byte| out + &format!("{byte:02x}")),
    };
    if cut.len() < bytes.len() {
        out.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    Value::String(out)
}

fn refused(reason: &str) -> Value {
    json!({ "rejected": reason })
}

fn said<T>(said: &Said<T>, show: impl Fn(&T) -> Value) -> Value {
    match said {
        Said::Result(result) => show(result),
        Said::Rejected(reason) => refused(reason),
    }
}

/// What is said of each of `len` records: refused ones by place, the others by `result`.
fn of_each<T>(len: usize, rejected: &[Rejection], mut result: impl FnMut(usize) -> T) -> Vec<Said<T>> {
    let mut all: Vec<Said<T>> = (0..len).map(|i| Said::Result(result(i))).collect();
    for Rejection { index, reason } in rejected {
        if let Some(one) = all.get_mut(*index as usize) {
            *one = Said::Rejected(reason.clone());
        }
    }
    all
}

/// Where two lists differ.
fn differences<T: PartialEq>(old: &[Said<T>], new: &[Said<T>], show: impl Fn(&T) -> Value) -> Vec<Difference> {
    let pairs = old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new);
    pairs.map(|(at, (old, new))| Difference { at, old: said(old, &show), new: said(new, &show) }).collect()
}

/// Of filters.
pub(super) fn keeps(len: usize, old: &Kept, new: &Kept) -> Vec<Difference> {
    let of = |kept: &Kept| of_each(len, &kept.rejected, |i| kept.bits[i / 8] >> (i % 8) & 1 == 1);
    differences(&of(old), &of(new), |kept| json!({ "keep": kept }))
}

/// A result of a mapper, whole.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct One {
    port: u32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: Timestamp,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn shown_one(one: &One) -> Value {
    let mut value =
        json!({ "key": shown(one.key.as_deref()), "value": shown(one.value.as_deref()), "timestamp": one.timestamp });
    if one.port > 0 {
        value["port"] = one.port.into();
    }
    if !one.headers.is_empty() {
        let header = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| json!([shown(Some(name)), shown(value.as_deref())]);
        value["headers"] = one.headers.iter().map(header).collect();
    }
    value
}

fn item(column: Option<&BytesColumn>, i: usize, source: &BytesColumn, row: usize) -> Option<Vec<u8>> {
    column.map_or_else(|| source.get(row), |column| column.get(i)).map(<[u8]>::to_vec)
}

/// Of mappers: of the first `len` records of `given`, which both have taken.
pub(super) fn maps(given: &Given, len: usize, old: &Output, new: &Output) -> Vec<Difference> {
    let of = |output: &Output| {
        let mut results: Vec<Vec<One>> = vec![Vec::new(); len];
        let count = output.sources.as_ref().map_or(output.taken as usize, Vec::len);
        for i in 0..count {
            let row = output.sources.as_ref().map_or(i, |sources| sources[i] as usize);
            if row >= len {
                continue;
            }
            let batch = &given.batch;
            let of_record = |at: usize, headers: &millstream_core::record::HeaderColumns| {
                headers.of(at).map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect()
            };
            let headers = match (&output.headers, &batch.headers) {
                (Some(headers), _) => of_record(i, headers),
                (None, Some(headers)) => of_record(row, headers),
                (None, None) => Vec::new(),
            };
            results[row].push(One {
                port: output.ports.as_ref().map_or(0, |ports| ports[i]),
                key: item(output.keys.as_ref(), i, &batch.keys, row),
                value: item(output.values.as_ref(), i, &batch.values, row),
                timestamp: output.timestamps.as_ref().map_or(batch.timestamps[row], |times| times[i]),
                headers,
            });
        }
        let mut results = results.into_iter();
        of_each(len, &output.rejected, |_| results.next().unwrap_or_default())
    };
    differences(&of(old), &of(new), |results| results.iter().map(shown_one).collect())
}

/// Of routers.
pub(super) fn routes(len: usize, old: &Routed, new: &Routed) -> Vec<Difference> {
    let of = |routed: &Routed| {
        let to = |i: usize| {
            let partition = routed.partitions.as_ref().map(|all| all[i]);
            (routed.topics.get(i).map(<[u8]>::to_vec), partition)
        };
        of_each(len, &routed.rejected, to)
    };
    differences(
        &of(old),
        &of(new),
        |(topic, partition)| json!({ "topic": shown(topic.as_deref()), "partition": partition }),
    )
}

/// Of joiners.
pub(super) fn joins(sides: &Sides, old: &Joined, new: &Joined) -> Vec<Difference> {
    let of =
        |joined: &Joined| of_each(sides.keys.len(), &joined.rejected, |i| joined.values.get(i).map(<[u8]>::to_vec));
    differences(&of(old), &of(new), |value| json!({ "value": shown(value.as_deref()) }))
}

/// Of scans, or of what becomes of each member: by place in the members. `values`: none where only refusals are compared.
pub(super) fn members(
    len: usize,
    (old_values, old_rejected): (Option<&BytesColumn>, &[Rejection]),
    (new_values, new_rejected): (Option<&BytesColumn>, &[Rejection]),
) -> Vec<Difference> {
    let of = |values: Option<&BytesColumn>, rejected: &[Rejection]| {
        of_each(len, rejected, |i| values.and_then(|values| values.get(i)).map(<[u8]>::to_vec))
    };
    let show = |value: &Option<Vec<u8>>| match old_values {
        Some(_) => json!({ "value": shown(value.as_deref()) }),
        None => json!("taken"),
    };
    differences(&of(old_values, old_rejected), &of(new_values, new_rejected), show)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::function::{Context, Records};

    fn column(items: &[Option<&str>]) -> BytesColumn {
        let mut column = BytesColumn::default();
        items.iter().for_each(|item| column.push(item.map(str::as_bytes)));
        column
    }

    #[test]
    fn bytes_are_shown_as_people_read_them() {
        assert_eq!(shown(None), Value::Null);
        assert_eq!(shown(Some(b"a\tb")), json!("a\tb"));
        assert_eq!(shown(Some(&[0, 255])), json!("0x00ff"));
        let long = "ä".repeat(150);
        let told = shown(Some(long.as_bytes()));
        assert_eq!(told, json!(format!("{}… (300 bytes)", "ä".repeat(100))));
        let uneven = format!("a{long}");
        assert!(shown(Some(uneven.as_bytes())).as_str().unwrap().starts_with("aä"), "a character cut in two");
    }

    #[test]
    fn filters_differ_by_what_they_keep_and_refuse() {
        let kept = |bits: u8, refused: &[u32]| Kept {
            bits: vec![bits],
            rejected: refused.iter().map(|i| Rejection { index: *i, reason: format!("no {bits}") }).collect(),
        };
        let all = keeps(4, &kept(0b0101, &[3]), &kept(0b0110, &[3]));
        let told: Vec<_> = all.iter().map(|d| (d.at, d.old.clone(), d.new.clone())).collect();
        let (yes, no) = (json!({ "keep": true }), json!({ "keep": false }));
        assert_eq!(told, [(0, yes.clone(), no.clone()), (1, no.clone(), yes)], "reasons are not compared");
        let refuses = keeps(1, &kept(0, &[]), &kept(1, &[0]));
        assert_eq!((&refuses[0].old, &refuses[0].new), (&no, &json!({ "rejected": "no 1" })));
    }

    #[test]
    fn mappers_differ_by_their_whole_results() {
        let (keys, values) = (column(&[Some("k"), None]), column(&[Some("a"), Some("b")]));
        let records = Records { keys: &keys, values: &values, timestamps: &[1, 2] };
        let given = Given::new(Context::default(), records, None);
        let plain = Output { taken: 2, ..Output::default() };
        let same = Output { taken: 2, sources: Some(vec![0, 1]), values: Some(values.clone()), ..Output::default() };
        assert!(maps(&given, 2, &plain, &same).is_empty(), "in other words");
        let other = Output {
            taken: 2,
            sources: Some(vec![0, 0]),
            values: Some(column(&[Some("a"), Some("x")])),
            timestamps: Some(vec![1, 9]),
            ..Output::default()
        };
        let told = maps(&given, 2, &plain, &other);
        assert_eq!(told.iter().map(|d| d.at).collect::<Vec<_>>(), [0, 1]);
        let one = |key: Value, value, timestamp| json!({ "key": key, "value": value, "timestamp": timestamp });
        assert_eq!(told[0].new, json!([one("k".into(), "a", 1), one("k".into(), "x", 9)]));
        assert_eq!((&told[1].old, &told[1].new), (&json!([one(Value::Null, "b", 2)]), &json!([])));
    }
}
