//! What reference libraries wrote (`vectors/make.py`) is read as documented, and written again as they do.

use millstream_core::formats::{Converted, Formats as _};
use millstream_core::record::BytesColumn;
use millstream_formats::{Format, Formats, Kind, Schema};
use serde_json::Value;

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn open(kind: Kind, text: &str, message: Option<&str>) -> Formats {
    let schema = Schema { text: text.into(), references: vec![], message: message.map(str::to_string) };
    Formats::open(None, vec![Format::File(kind, schema)]).unwrap()
}

fn column(item: &[u8]) -> BytesColumn {
    let mut column = BytesColumn::default();
    column.push(Some(item));
    column
}

/// The item, or why it was refused.
fn only(converted: Converted) -> Result<Vec<u8>, String> {
    match converted.rejected.first() {
        Some(rejection) => Err(rejection.reason.clone()),
        None => Ok(converted.items.get(0).unwrap().to_vec()),
    }
}

#[test]
fn avro_is_as_fastavro_writes_it() {
    for case in lines(include_str!("vectors/avro.jsonl")) {
        let (name, json) = (case["name"].as_str().unwrap(), case["json"].as_str().unwrap());
        let formats = open(Kind::Avro, &case["schema"].to_string(), None);
        let decoded = only(formats.decode(0, &column(&bytes(&case["hex"]))).unwrap()).unwrap();
        assert_eq!(String::from_utf8(decoded).unwrap(), json, "{name}");
        let encoded = only(formats.encode(0, &column(json.as_bytes())).unwrap()).unwrap();
        assert_eq!(encoded, bytes(&case["hex"]), "{name}");
    }
}

#[test]
fn protobuf_is_as_googles_library_has_it() {
    let formats = open(Kind::Protobuf, include_str!("vectors/shop.proto"), Some("Order"));
    for case in lines(include_str!("vectors/protobuf.jsonl")) {
        let name = case["name"].as_str().unwrap();
        let decoded = only(formats.decode(0, &column(&bytes(&case["hex"]))).unwrap()).unwrap();
        let value: Value = serde_json::from_slice(&decoded).unwrap();
        assert_eq!(value, case["json"], "{name}");
        let encoded = only(formats.encode(0, &column(&decoded)).unwrap()).unwrap();
        // The library's order of numbers and truth values within maps is its own.
        if name != "maps" {
            assert_eq!(encoded, bytes(&case["hex"]), "{name}");
        }
        let again = only(formats.decode(0, &column(&encoded)).unwrap()).unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(decoded).unwrap(), "{name}");
    }
}

#[test]
fn json_schemas_judge_as_the_python_library_does() {
    for case in lines(include_str!("vectors/json-schema.jsonl")) {
        let formats = open(Kind::Json, &case["schema"].to_string(), None);
        for value in case["values"].as_array().unwrap() {
            let text = value[0].as_str().unwrap();
            let judged = only(formats.decode(0, &column(text.as_bytes())).unwrap());
            assert_eq!(judged.is_ok(), value[1].as_bool().unwrap(), "{}: {text}: {judged:?}", case["name"]);
            assert_eq!(only(formats.encode(0, &column(text.as_bytes())).unwrap()), judged);
        }
    }
}

#[test]
fn entries_of_maps_have_one_order_in_both_forms() {
    let formats = open(Kind::Protobuf, include_str!("vectors/shop.proto"), Some("shop.Order"));
    let names: Vec<String> = (0..40).rev().map(|i| format!("\"k{i}\":{i}")).collect();
    let text = format!("{{\"tags\":{{{}}},\"names\":{{\"10\":\"a\",\"-1\":\"b\",\"2\":\"c\"}}}}", names.join(","));
    let encoded: Vec<Vec<u8>> =
        (0..20).map(|_| only(formats.encode(0, &column(text.as_bytes())).unwrap()).unwrap()).collect();
    assert!(encoded.iter().all(|e| *e == encoded[0]), "the same bytes each time");
    let decoded: Vec<Vec<u8>> =
        (0..20).map(|_| only(formats.decode(0, &column(&encoded[0])).unwrap()).unwrap()).collect();
    assert!(decoded.iter().all(|d| *d == decoded[0]), "the same text each time");
    let place = |key: &str| encoded[0].windows(key.len()).position(|w| w == key.as_bytes()).unwrap();
    assert!(place("k1\u{10}") < place("k10") && place("k10") < place("k2\u{10}"), "by the bytes of keys");
    let tail = &encoded[0][encoded[0].len() - 7 * 2..];
    assert_eq!(&tail[..7], [0x2a, 5, 8, 2, 0x12, 1, b'c'], "-1, 2, 10: numbers by value");
}
