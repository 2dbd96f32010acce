//! Records and schemas that are made to do harm: cut at every byte, endless, immense. Each is refused in words; none takes
//! the host with it.

use millstream_core::formats::Formats as _;
use millstream_core::record::BytesColumn;
use millstream_formats::limits::{
    DECODED_BYTES_MAX, EMPTY_ITEMS_MAX, ENCODED_VALUES_MAX, NESTING_MAX, SCHEMA_BYTES_MAX, SCHEMA_TYPES_MAX,
};
use millstream_formats::{Format, Formats, Kind, Schema};

fn try_open(kind: Kind, text: &str) -> Result<Formats, String> {
    let message = text.contains("message Order").then(|| "Order".to_string());
    let schema = Schema { text: text.into(), message, ..Schema::default() };
    Formats::open(None, vec![Format::File(kind, schema)]).map_err(|(_, why)| why)
}

fn open(kind: Kind, text: &str) -> Formats {
    try_open(kind, text).unwrap()
}

fn column(items: &[&[u8]]) -> BytesColumn {
    let mut column = BytesColumn::default();
    items.iter().for_each(|item| column.push(Some(item)));
    column
}

fn decode(formats: &Formats, item: &[u8]) -> Result<Vec<u8>, String> {
    let converted = formats.decode(0, &column(&[item])).unwrap();
    converted.rejected.first().map_or_else(|| Ok(converted.items.get(0).unwrap().to_vec()), |r| Err(r.reason.clone()))
}

fn encode(formats: &Formats, item: &[u8]) -> Result<Vec<u8>, String> {
    let converted = formats.encode(0, &column(&[item])).unwrap();
    converted.rejected.first().map_or_else(|| Ok(converted.items.get(0).unwrap().to_vec()), |r| Err(r.reason.clone()))
}

const EVERYTHING: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"s","type":"string"},{"name":"b","type":"bytes"},{"name":"l","type":{"type":"array","items":"long"}},
    {"name":"m","type":{"type":"map","values":["null","double"]}},{"name":"u","type":["int","string","float"]},
    {"name":"f","type":{"type":"fixed","name":"F","size":3}},{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
    {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}},{"name":"t","type":"boolean"}]}"#;

const VALUE: &[u8] = br#"{"s":"text","b":"AP8=","l":[1,-2,300],"m":{"k":0.5,"n":null},"u":{"float":1.5},"f":"AQID","e":"B","d":"12.34","t":true}"#;

#[test]
fn a_value_that_ends_too_early_or_too_late_is_refused_at_every_byte() {
    let formats = open(Kind::Avro, EVERYTHING);
    let whole = encode(&formats, VALUE).unwrap();
    assert_eq!(decode(&formats, &whole).unwrap(), VALUE);
    for end in 0..whole.len() {
        assert!(decode(&formats, &whole[..end]).is_err(), "cut at {end}");
    }
    assert!(decode(&formats, &[&whole[..], &[0]].concat()).unwrap_err().contains("1 bytes too many"));
}

#[test]
fn what_is_no_value_is_told_with_its_place() {
    let refused = |schema: &str, bytes: &[u8], expected: &str| {
        let error = decode(&open(Kind::Avro, schema), bytes).unwrap_err();
        assert!(error.contains(expected), "{schema}: {error}");
    };
    refused("\"boolean\"", &[2], "2 at byte 0 is no truth value");
    refused("\"int\"", &[0x80, 0x80, 0x80, 0x80, 0x10], "2147483648 at byte 5 is no int");
    refused("\"long\"", &[0xff; 11], "more than 64 bits");
    refused("\"string\"", &[2, 0xff], "not UTF-8 at byte 1");
    refused("\"string\"", &[1], "a length of -1");
    refused("\"bytes\"", &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "should follow byte 10");
    refused(r#"["int","string"]"#, &[4], "no branch 2");
    refused(r#"["int","string"]"#, &[1], "no branch -1");
    refused(r#"{"type":"enum","name":"E","symbols":["A"]}"#, &[2], "no symbol 1");
    refused(r#"{"type":"map","values":"int"}"#, &[4, 2, b'a', 2, 2, b'a', 4, 0], "stands twice in one map");
}

#[test]
fn blocks_may_say_how_long_they_are() {
    let formats = open(Kind::Avro, r#"{"type":"array","items":"int"}"#);
    assert_eq!(decode(&formats, &[3, 4, 2, 4, 2, 6, 0]).unwrap(), b"[1,2,3]");
    // The least number there is has no positive one.
    assert!(decode(&formats, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0]).is_err());
}

#[test]
fn nothing_goes_deeper_than_the_limit() {
    let list = r#"{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]}]}"#;
    let formats = open(Kind::Avro, list);
    let deep = |levels: usize| [vec![2; levels], vec![0]].concat();
    assert!(decode(&formats, &deep(20)).is_ok());
    assert!(decode(&formats, &deep(NESTING_MAX)).unwrap_err().contains("levels deep"));
    assert!(decode(&formats, &vec![2; 1 << 20]).unwrap_err().contains("levels deep"));
    // A record that holds itself has no value at all.
    let endless = open(Kind::Avro, r#"{"type":"record","name":"L","fields":[{"name":"n","type":"L"}]}"#);
    assert!(decode(&endless, &[]).unwrap_err().contains("levels deep"));
    let proto = open(Kind::Protobuf, "syntax = \"proto3\"; message M { M m = 1; }");
    let mut nested = Vec::new();
    for _ in 0..3_000 {
        let mut outer = vec![0x0a];
        let mut length = nested.len();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(&nested);
        nested = outer;
    }
    assert!(decode(&proto, &nested).unwrap_err().contains("recursion limit"));
    for kind in [Kind::Json, Kind::Avro] {
        let schema = if kind == Kind::Json { "true" } else { list };
        let text = "{\"n\":".repeat(5_000) + "null" + &"}".repeat(5_000);
        assert!(encode(&open(kind, schema), text.as_bytes()).unwrap_err().contains("levels deep"));
    }
    assert!(
        encode(&proto, ("{\"m\":".repeat(5_000) + "{}" + &"}".repeat(5_000)).as_bytes())
            .unwrap_err()
            .contains("levels deep")
    );
}

#[test]
fn a_few_bytes_do_not_become_very_many() {
    let nulls = open(Kind::Avro, r#"{"type":"array","items":"null"}"#);
    // 2^30 items in five bytes.
    assert!(decode(&nulls, &[0x80, 0x80, 0x80, 0x80, 8, 0]).unwrap_err().contains("take no bytes"));
    let mut allowed = Vec::new();
    let mut count = EMPTY_ITEMS_MAX * 2;
    while count >= 0x80 {
        allowed.push(count as u8 | 0x80);
        count >>= 7;
    }
    allowed.extend([count as u8, 0]);
    assert!(decode(&nulls, &allowed).is_ok());
    // Long names of fields, many times over.
    let name = "n".repeat(1_000);
    let schema = format!(
        r#"{{"type":"array","items":{{"type":"record","name":"R","fields":[{{"name":"{name}","type":"int"}}]}}}}"#
    );
    let items = DECODED_BYTES_MAX / 1_000 + 1;
    let mut bytes = Vec::new();
    let mut count = items * 2;
    while count >= 0x80 {
        bytes.push(count as u8 | 0x80);
        count >>= 7;
    }
    bytes.push(count as u8);
    bytes.extend(vec![0; items + 1]);
    assert!(decode(&open(Kind::Avro, &schema), &bytes).unwrap_err().contains("bytes as JSON"));
}

#[test]
fn schemas_are_bounded_and_told_what_is_wrong() {
    let refused = |kind, text: &str, expected: &str| {
        let error = try_open(kind, text).unwrap_err();
        assert!(error.contains(expected), "{}: {error}", &text[..text.len().min(80)]);
    };
    for kind in [Kind::Avro, Kind::Protobuf, Kind::Json] {
        refused(kind, &" ".repeat(SCHEMA_BYTES_MAX + 1), "are read");
    }
    let fields: Vec<String> = (0..=SCHEMA_TYPES_MAX).map(|i| format!(r#"{{"name":"f{i}","type":"int"}}"#)).collect();
    refused(
        Kind::Avro,
        &format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(",")),
        "more than 10000 types",
    );
    refused(Kind::Avro, &("{\"type\":\"array\",\"items\":".repeat(200) + "\"int\"" + &"}".repeat(200)), "levels deep");
    refused(Kind::Avro, "\"Unknown\"", "no Avro type `Unknown`");
    refused(Kind::Avro, r#"["int","int"]"#, "two branches `int`");
    refused(Kind::Avro, r#"["int",["string"]]"#, "a union stands in a union");
    refused(Kind::Avro, r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "the symbol `A` twice");
    refused(
        Kind::Avro,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
        "the field `a` twice",
    );
    refused(
        Kind::Avro,
        r#"{"type":"array","items":[{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":2}]}"#,
        "there twice",
    );
    refused(Kind::Protobuf, "syntax = \"proto3\"; message {", "does not compile");
    refused(Kind::Protobuf, "import \"other.proto\";", "does not compile");
    refused(Kind::Protobuf, &("message M {".repeat(1_000) + &"}".repeat(1_000)), "does not compile");
    refused(Kind::Protobuf, "syntax = \"proto3\";", "no message at [0]");
    refused(Kind::Json, r#"{"type":"strange"}"#, "the JSON Schema is wrong");
    refused(Kind::Json, r#"{"$ref":"https://example.com/other.json"}"#, "none of the schema's references");
    refused(Kind::Json, r#"{"pattern":"(a)\\1"}"#, "the JSON Schema is wrong");
}

#[test]
fn json_schemas_that_lead_back_to_themselves_come_to_an_end() {
    let circles = [
        r##"{"$ref":"#"}"##,
        r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##,
        r##"{"allOf":[{"$ref":"#"}],"anyOf":[{"not":{"$ref":"#"}},true]}"##,
        r##"{"properties":{"a":{"$ref":"#"}},"unevaluatedProperties":{"$ref":"#"}}"##,
    ];
    for schema in circles {
        if let Ok(formats) = try_open(Kind::Json, schema) {
            // Whether it fits is the library's matter; that there is an answer, ours.
            let _fits = decode(&formats, b"{\"a\":{\"a\":[{}]}}");
        }
    }
    // A pattern that takes other engines longer than anybody waits.
    let slow = open(Kind::Json, r#"{"pattern":"^(a+)+$"}"#);
    let text = format!("\"{}b\"", "a".repeat(50_000));
    assert!(decode(&slow, text.as_bytes()).unwrap_err().contains("does not fit its schema"));
}

#[test]
fn results_that_do_not_fit_are_told_with_their_place() {
    let formats = open(Kind::Avro, EVERYTHING);
    let refused = |from: &str, to: &str, expected: &str| {
        let text = std::str::from_utf8(VALUE).unwrap().replace(from, to);
        let error = encode(&formats, text.as_bytes()).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    };
    refused("300", "1.5", "at $.l[2]: \"1.5\" is not a whole number of 64 bits");
    refused("300", "9223372036854775808", "at $.l[2]");
    refused("\"text\"", "7", "at $.s: a number, where Avro's `string` should be");
    refused("\"AP8=\"", "\"A\"", "at $.b: not base64");
    refused("\"AQID\"", "\"AQI=\"", "at $.f: 2 bytes, where `F` has 3");
    refused("\"B\"", "\"C\"", "at $.e: enum `E` has no symbol \"C\"");
    refused("12.34", "12.345", "at $.d: 12.345 has more than 2 digits behind the point");
    refused("{\"float\":1.5}", "{\"double\":1.5}", "at $.u: the union has no branch \"double\"");
    refused("{\"float\":1.5}", "1.5", "at $.u: a number, where a value of a union is");
    refused("{\"float\":1.5}", "{\"float\":1e39}", "at $.u: \"1e39\" is not a float of 32 bits");
    refused(",\"t\":true", "", "at $.t: record `R` lacks it, and it has no default");
    refused("\"t\":true", "\"t\":true,\"x\":1", "at $: record `R` has no field \"x\"");
    refused("0.5", "\"x\"", "at $.m[\"k\"]: \"x\" is not a float of 64 bits");
    let proto = open(Kind::Protobuf, "syntax = \"proto3\"; message M { int32 n = 1; }");
    assert!(encode(&proto, b"{\"n\":\"x\"}").unwrap_err().contains("not a `M`"));
    assert!(encode(&proto, b"{\"x\":1}").unwrap_err().contains("not a `M`"));
    assert!(encode(&proto, b"{\"n\":1,\"n\":2}").unwrap_err().contains("stands twice"));
}

#[test]
fn defaults_fill_what_is_missing_and_cannot_multiply_without_end() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"a","type":["null","string"],"default":null},{"name":"b","type":"bytes","default":"\u00ff\u0001"},
        {"name":"c","type":["int","null"],"default":7},{"name":"d","type":{"type":"map","values":"int"},"default":{"k":1}}]}"#;
    let formats = open(Kind::Avro, schema);
    let filled = decode(&formats, &encode(&formats, b"{}").unwrap()).unwrap();
    assert_eq!(std::str::from_utf8(&filled).unwrap(), r#"{"a":null,"b":"/wE=","c":7,"d":{"k":1}}"#);
    // Each level holds the one below twice: 2^26 nulls by default, in no bytes at all.
    let mut fields = vec![r#"{"name":"f0","default":{},"type":{"type":"record","name":"R0","fields":[{"name":"n","type":"null","default":null}]}}"#.to_string()];
    for level in 1..=25 {
        let half = |name| format!(r#"{{"name":"{name}","type":"R{}","default":{{}}}}"#, level - 1);
        let of = format!(r#"{{"type":"record","name":"R{level}","fields":[{},{}]}}"#, half("a"), half("b"));
        fields.push(format!(r#"{{"name":"f{level}","default":{{}},"type":{of}}}"#));
    }
    let schema = format!(r#"{{"type":"record","name":"Top","fields":[{}]}}"#, fields.join(","));
    let error = encode(&open(Kind::Avro, &schema), b"{}").unwrap_err();
    assert!(error.contains(&format!("more than {ENCODED_VALUES_MAX} values")), "{error}");
}

/// A number from a seed, each time another.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn random_bytes_are_values_that_come_back_or_are_refused() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    println!("SEED={seed}");
    let mut random = Random(seed);
    let proto = include_str!("vectors/shop.proto");
    let all = [(Kind::Avro, EVERYTHING), (Kind::Protobuf, proto), (Kind::Json, r#"{"type":["object","array"]}"#)];
    let mut good = [0; 3];
    for (number, (kind, schema)) in all.iter().enumerate() {
        let formats = open(*kind, schema);
        let value: &[u8] = match kind {
            Kind::Avro => VALUE,
            Kind::Protobuf => {
                br#"{"id":"5","tags":{"a":1},"lines":[{"article":"x","parts":{"p":{}}}],"price":1.5,"raw":"AP8="}"#
            }
            Kind::Json => b"{\"a\":[1]}",
        };
        let sample = encode(&formats, value).unwrap();
        for round in 0..3_000 {
            let mut bytes = sample.clone();
            if round % 2 == 0 {
                bytes = (0..random.next() % 40).map(|_| random.next() as u8).collect();
            }
            for _ in 0..random.next() % 4 {
                let at = random.next() as usize % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
            let Ok(decoded) = decode(&formats, &bytes) else { continue };
            good[number] += 1;
            // One value may have several binary forms, one of which is written.
            let Ok(encoded) = encode(&formats, &decoded) else {
                assert_eq!(*kind, Kind::Protobuf, "{bytes:?} became {:?}", String::from_utf8_lossy(&decoded));
                continue;
            };
            assert_eq!(decode(&formats, &encoded).as_deref(), Ok(&decoded[..]), "{bytes:?}");
        }
    }
    assert!(good.iter().all(|good| *good > 50), "there was something to compare: {good:?}");
}
