//! One order for the entries of maps: the same message is the same bytes, in every run.

use std::collections::HashSet;

use prost_reflect::{Kind, MessageDescriptor};

use crate::json::Json;

const ANY: &str = "google.protobuf.Any";
const STRUCT: &str = "google.protobuf.Struct";
const VALUE: &str = "google.protobuf.Value";
const LIST: &str = "google.protobuf.ListValue";

/// Whether a message may hold a map, at whatever depth; an `Any` may hold everything.
pub fn has_maps(message: &MessageDescriptor) -> bool {
    let (mut open, mut seen) = (vec![message.clone()], HashSet::new());
    while let Some(message) = open.pop() {
        if message.full_name() == ANY || message.extensions().next().is_some() || message.fields().any(|f| f.is_map()) {
            return true;
        }
        if seen.insert(message.full_name().to_string()) {
            let inner = message.fields().filter_map(|f| if let Kind::Message(m) = f.kind() { Some(m) } else { None });
            open.extend(inner);
        }
    }
    false
}

/// Sorts the members of objects that are maps, by their names.
pub fn json(value: &mut Json<'_>, message: &MessageDescriptor) {
    match message.full_name() {
        STRUCT | VALUE | LIST => return sort_all(value),
        ANY => {
            let name =
                value.get("@type").and_then(Json::text).and_then(|url| url.rsplit('/').next()).unwrap_or_default();
            let Some(inner) = message.parent_pool().get_message_by_name(name) else { return };
            return match (inner.full_name(), &mut *value) {
                (STRUCT | VALUE | LIST | ANY, Json::Object(members)) => {
                    members.iter_mut().filter(|(n, _)| n == "value").for_each(|(_, v)| json(v, &inner));
                }
                _ => json(value, &inner),
            };
        }
        _ => {}
    }
    let Json::Object(members) = value else { return };
    for (name, value) in members {
        let Some(field) = message.get_field_by_json_name(name) else {
            // An extension, by its name in brackets: which maps it holds is not looked up, so all of it is sorted.
            sort_all(value);
            continue;
        };
        match (field.kind(), value) {
            (Kind::Message(entry), Json::Object(entries)) if field.is_map() => {
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                if let Kind::Message(inner) = entry.map_entry_value_field().kind() {
                    entries.iter_mut().for_each(|(_, v)| json(v, &inner));
                }
            }
            (Kind::Message(inner), Json::List(items)) if field.is_list() => {
                items.iter_mut().for_each(|item| json(item, &inner));
            }
            (Kind::Message(inner), value) => json(value, &inner),
            _ => {}
        }
    }
}

fn sort_all(value: &mut Json<'_>) {
    match value {
        Json::Object(members) => {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.iter_mut().for_each(|(_, v)| sort_all(v));
        }
        Json::List(items) => items.iter_mut().for_each(sort_all),
        _ => {}
    }
}

/// Writes an encoded message again, the entries of its maps in the order of their keys: numbers by value, texts by their
/// bytes. Protobuf itself knows no order that holds for all libraries.
pub fn binary(message: &MessageDescriptor, bytes: &[u8], out: &mut Vec<u8>) {
    let (mut rest, mut entries): (&[u8], Vec<Entry>) = (bytes, Vec::new());
    while let Some((number, head, body, behind)) = field(rest) {
        let field = message.get_field(number);
        let is_map = field.as_ref().is_some_and(|f| f.is_map());
        // What stands before is a run of one map's entries.
        if !is_map || entries.first().is_some_and(|entry| entry.number != number) {
            flush(&mut entries, out);
        }
        let mut whole = Vec::new();
        let key = field
            .as_ref()
            .and_then(|f| if let (Kind::Message(m), true) = (f.kind(), f.is_map()) { Some(m) } else { None });
        let key = key.map(|entry| sort_key(&entry.map_entry_key_field().kind(), body.unwrap_or_default()));
        let inner =
            field.and_then(|f| if let (Kind::Message(m), false) = (f.kind(), f.is_group()) { Some(m) } else { None });
        match (inner, body) {
            (Some(inner), Some(body)) => {
                let mut again = Vec::with_capacity(body.len());
                any_or(&inner, body, &mut again);
                whole.extend_from_slice(head);
                put_varint(again.len() as u64, &mut whole);
                whole.extend(again);
            }
            _ => whole.extend_from_slice(&rest[..rest.len() - behind.len()]),
        }
        match key {
            Some(key) => entries.push(Entry { number, key, whole }),
            None => out.extend(whole),
        }
        rest = behind;
    }
    flush(&mut entries, out);
    out.extend_from_slice(rest);
}

/// An entry of a map.
struct Entry {
    /// Number of the map's field.
    number: u32,
    key: (i128, Vec<u8>),
    /// Tag, length and content.
    whole: Vec<u8>,
}

fn flush(entries: &mut Vec<Entry>, out: &mut Vec<u8>) {
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    entries.drain(..).for_each(|entry| out.extend(entry.whole));
}

/// What an entry is sorted by: numbers by their value, texts by their bytes. A key that is zero or empty may be left out.
fn sort_key(kind: &Kind, mut entry: &[u8]) -> (i128, Vec<u8>) {
    while let Some((number, head, body, behind)) = field(entry) {
        if number == 1 {
            if let Some(text) = body {
                return (0, text.to_vec());
            }
            let bytes = &entry[head.len()..entry.len() - behind.len()];
            return (number_of(kind, bytes), Vec::new());
        }
        entry = behind;
    }
    (0, Vec::new())
}

fn number_of(kind: &Kind, bytes: &[u8]) -> i128 {
    let fixed = bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let plain = varint(bytes).map_or(0, |(n, _)| n);
    match kind {
        Kind::Sint32 | Kind::Sint64 => i128::from((plain >> 1) as i64 ^ -((plain & 1) as i64)),
        Kind::Int32 | Kind::Int64 => i128::from(plain as i64),
        Kind::Sfixed32 => i128::from(fixed as u32 as i32),
        Kind::Sfixed64 => i128::from(fixed as i64),
        Kind::Fixed32 | Kind::Fixed64 => i128::from(fixed),
        _ => i128::from(plain),
    }
}

/// A message within another; what an `Any` holds is one as well.
fn any_or(message: &MessageDescriptor, bytes: &[u8], out: &mut Vec<u8>) {
    if message.full_name() != ANY {
        return binary(message, bytes, out);
    }
    let (mut rest, mut inner) = (bytes, None);
    while let Some((number, head, body, behind)) = field(rest) {
        match (number, body, &inner) {
            (2, Some(body), Some(inner)) => {
                let mut again = Vec::with_capacity(body.len());
                any_or(inner, body, &mut again);
                out.extend_from_slice(head);
                put_varint(again.len() as u64, out);
                out.extend(again);
            }
            _ => out.extend_from_slice(&rest[..rest.len() - behind.len()]),
        }
        if let (1, Some(body)) = (number, body) {
            let url = String::from_utf8_lossy(body).into_owned();
            inner = message.parent_pool().get_message_by_name(url.rsplit('/').next().unwrap_or_default());
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
}

/// A field: its number, its tag, its bytes where it has a length, and what is behind it. `None` at the end, and for groups,
/// which are left as they are with all behind them.
type Field<'a> = (u32, &'a [u8], Option<&'a [u8]>, &'a [u8]);

fn field(bytes: &[u8]) -> Option<Field<'_>> {
    let (tag, behind) = varint(bytes)?;
    let head = &bytes[..bytes.len() - behind.len()];
    let number = u32::try_from(tag >> 3).ok()?;
    let skip = |count: usize| behind.get(count..);
    match tag & 7 {
        0 => Some((number, head, None, varint(behind)?.1)),
        1 => Some((number, head, None, skip(8)?)),
        5 => Some((number, head, None, skip(4)?)),
        2 => {
            let (length, body) = varint(behind)?;
            let length = usize::try_from(length).ok()?;
            Some((number, head, Some(body.get(..length)?), body.get(length..)?))
        }
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
