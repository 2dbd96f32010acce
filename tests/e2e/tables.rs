//! Tables and joins with a component that joins, through `test`; and what `check` says where a function does not join.

use std::fs;

use millstream_tests::host::run;

use super::manifests::Place;

fn place() -> Place {
    Place::new(
        "pipeline: prices
functions:
  pair: { component: {pair.wasm} }
  stamp: { component: {stamp-v1.wasm} }
sources:
  orders: { topic: orders, partitions: 2 }
  rate-updates: { topic: rates, partitions: 2 }
  name-updates: { topic: names, partitions: 2 }
steps:
  rates: { from: rate-updates, table: {} }
  stamped: { from: rates, map-values: stamp }
  names: { from: name-updates, table: {} }
  priced: { from: orders, join: stamped, type: left, with: pair, on-error: { dead-letter: bad } }
  currencies: { from: rates, join: names, type: outer, with: pair }
sinks:
  priced: { from: priced, topic: priced }
  currencies: { from: currencies, topic: currencies }
",
    )
}

const INPUT: &str = r#"{"topic":"orders","key":"eur","value":"o1","timestamp":1}
{"topic":"rates","key":"eur","value":"9","timestamp":2}
{"topic":"orders","key":"eur","value":"o2","timestamp":3}
{"topic":"names","key":"eur","value":"Euro","timestamp":4}
{"topic":"rates","key":"eur","value":"8","timestamp":5}
{"topic":"orders","key":"eur","value":"o3","timestamp":6}
{"topic":"orders","key":"eur","value":"with,comma","timestamp":7}
{"topic":"rates","key":"eur","value":null,"timestamp":8}
{"topic":"orders","key":"eur","value":"o4","timestamp":9}
{"topic":"names","key":"eur","value":null,"timestamp":10}
"#;

/// Key and value of the results in a topic, in order.
fn results(lines: &str, topic: &str) -> Vec<String> {
    let lines = lines.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("a line of JSON"));
    let of = lines.filter(|l| l["topic"] == topic);
    of.map(|l| l["value"].as_str().unwrap_or("null").to_string()).collect()
}

#[test]
fn a_component_joins_a_stream_with_a_table_and_a_table_with_a_table() {
    let place = place();
    let input = place.folder.with_extension("in");
    fs::write(&input, INPUT).unwrap();
    let said = run(&["test", &place.manifest.to_string_lossy(), "--input", &input.to_string_lossy()]);
    let (out, erred) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}{erred}");
    assert_eq!(results(&out, "priced"), ["o1,-", "o2,v1:9", "o3,v1:8", "o4,-"]);
    assert_eq!(results(&out, "currencies"), ["9,-", "9,Euro", "8,Euro", "-,Euro", "null"]);
    assert_eq!(results(&out, "bad"), ["with,comma"]);
}

#[test]
fn a_component_sums_a_table_whose_rows_change_their_group() {
    let place = Place::new(
        "pipeline: regions
functions:
  by-region: { component: {json-fields.wasm}, function: by-field, config: { field: region } }
  sum: { component: {sum.wasm}, config: { field: stock } }
sources:
  shops: { topic: shops, partitions: 2 }
steps:
  table: { from: shops, table: {} }
  regions: { from: table, group-by: by-region }
  stocks: { from: regions, group: key, aggregate: sum, emit-every-update: true }
  counts: { from: regions, group: key, count: { format: text }, emit-every-update: true }
sinks:
  stocks: { from: stocks, topic: stocks }
  counts: { from: counts, topic: counts }
",
    );
    let shop = |key: &str, region: &str, stock: u32| {
        let value = format!(r#"{{\"region\":\"{region}\",\"stock\":{stock}}}"#);
        format!(r#"{{"topic":"shops","key":"{key}","value":"{value}","timestamp":1}}"#)
    };
    let gone = r#"{"topic":"shops","key":"b","value":null,"timestamp":1}"#.to_string();
    let lines = [shop("a", "north", 5), shop("b", "north", 2), shop("a", "north", 7), shop("a", "south", 7), gone];
    let input = place.folder.with_extension("in");
    fs::write(&input, lines.join("\n") + "\n").unwrap();
    let said = run(&["test", &place.manifest.to_string_lossy(), "--input", &input.to_string_lossy()]);
    let (out, erred) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}{erred}");
    let of = |topic: &str, key: &str| {
        let lines = out.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("a line of JSON"));
        let of = lines.filter(|l| l["topic"] == topic && l["key"] == key);
        of.map(|l| l["value"].as_str().unwrap_or("null").to_string()).collect::<Vec<_>>()
    };
    // Which of two partitions comes first is not promised: what is left in the end is.
    assert_eq!(of("stocks", "north").last().map(String::as_str), Some("0"), "{out}");
    assert_eq!(of("stocks", "south"), ["7"]);
    assert_eq!(of("counts", "north").last().map(String::as_str), Some("0"));
    assert_eq!(of("counts", "south"), ["1"]);
}

#[test]
fn a_fold_that_takes_nothing_out_is_told_at_its_place() {
    let place = Place::new(
        "pipeline: lengths
functions:
  fold: { component: {latest.wasm} }
sources:
  in: { topic: in }
steps:
  table: { from: in, table: {} }
  all: { from: table, group: key, aggregate: fold }
sinks:
  out: { from: all, topic: out }
",
    );
    let said = run(&["check", &place.manifest.to_string_lossy()]);
    let out = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(1) && out.contains("a step needs a `retractor`, as rows of"), "{out}");
}

#[test]
fn a_function_that_does_not_join_is_told_at_its_place() {
    let place = place();
    let wrong = fs::read_to_string(&place.manifest).unwrap().replace("pair.wasm", "stamp-v1.wasm");
    fs::write(&place.manifest, wrong).unwrap();
    let said = run(&["check", &place.manifest.to_string_lossy()]);
    let out = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(1) && out.contains("a step needs a `joiner`"), "{out}");
}
