//! Global tables with components, through `test` and in a running host, over a restart and over `kill -9`.

use std::fs;
use std::time::Duration;

use millstream_tests::host::{Host, ask, run};
use millstream_tests::wait::eventually;

use super::manifests::Place;

/// More partitions of one topic than of the other, in either direction.
const MANIFEST: &str = "pipeline: priced
commit-interval: 100ms
functions:
  by-currency: { component: {json-fields.wasm}, function: by-field, config: { field: currency } }
  pair: { component: {pair.wasm} }
sources:
  orders: { topic: orders, partitions: 2 }
  rate-updates: { topic: rates, partitions: 3 }
steps:
  rates: { from: rate-updates, global-table: {} }
  priced: { from: orders, join: rates, key: by-currency, type: left, with: pair, on-error: { dead-letter: bad } }
sinks:
  priced: { from: priced, topic: priced, partitions: 1 }
";

fn place() -> Place {
    Place::new(MANIFEST)
}

fn order(currency: &str) -> String {
    format!(r#"{{\"currency\":\"{currency}\"}}"#)
}

fn line(topic: &str, key: &str, value: Option<&str>) -> String {
    let value = value.map_or("null".to_string(), |value| format!("\"{value}\""));
    format!("{{\"topic\":\"{topic}\",\"key\":\"{key}\",\"value\":{value},\"timestamp\":1}}\n")
}

#[test]
fn a_stream_meets_the_rows_of_a_topic_that_is_spread_otherwise() {
    let place = place();
    let lines = [
        line("orders", "o1", Some(&order("eur"))),
        line("rates", "eur", Some("9")),
        line("rates", "usd", Some("1")),
        line("orders", "o2", Some(&order("eur"))),
        line("orders", "o3", Some(&order("usd"))),
        line("orders", "o4", Some("{}")),
        line("rates", "eur", Some("8")),
        line("orders", "o5", Some(&order("eur"))),
        line("rates", "eur", None),
        line("orders", "o6", Some(&order("eur"))),
    ];
    let input = place.folder.with_extension("in");
    fs::write(&input, lines.concat()).unwrap();
    let said = run(&["test", &place.manifest.to_string_lossy(), "--input", &input.to_string_lossy()]);
    let (out, erred) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}{erred}");
    let results = out.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("a line of JSON"));
    let of = |l: &serde_json::Value| format!("{} {}", l["key"].as_str().unwrap(), l["value"].as_str().unwrap());
    let results: Vec<String> = results.filter(|l| l["topic"] == "priced").map(|l| of(&l)).collect();
    let expected = [
        r#"o1 {"currency":"eur"},-"#,
        r#"o2 {"currency":"eur"},9"#,
        r#"o3 {"currency":"usd"},1"#,
        r#"o5 {"currency":"eur"},8"#,
        r#"o6 {"currency":"eur"},-"#,
    ];
    assert_eq!(results, expected, "{erred}");
    assert!(
        out.lines().any(|l| l.contains("\"bad\"") && l.contains("\"o4\"")),
        "an order without a currency is refused: {out}"
    );
}

/// Writes a rate; the table has it soon after.
fn rate(host: &Host, place: &Place, currency: &str, value: &str) {
    let file = place.folder.with_extension("rates");
    fs::write(&file, format!("{currency}\t{value}\n")).unwrap();
    host.ok(&["produce", "rates", "--key-separator", "\t", &file.to_string_lossy()]);
}

/// What an order of a currency is joined with by now.
fn met(host: &Host, place: &Place, currency: &str, results: &mut usize) -> String {
    let file = place.folder.with_extension("orders");
    fs::write(&file, format!("{{\"currency\":\"{currency}\"}}\n")).unwrap();
    host.ok(&["produce", "orders", &file.to_string_lossy()]);
    *results += 1;
    let max = results.to_string();
    let out = host.ok(&["consume", "priced", "--from", "earliest", "--max", &max, "--format", "raw", "--follow"]);
    out.lines().last().unwrap_or_default().rsplit_once(',').expect("a pair").1.to_string()
}

fn meets(host: &Host, place: &Place, currency: &str, rate: &str, results: &mut usize) {
    eventually(&format!("{currency} is {rate}"), 20, || {
        let met = met(host, place, currency, results);
        if met == rate { Ok(()) } else { Err(met) }
    });
}

#[test]
fn rows_are_there_before_the_first_record_of_a_host_and_follow_the_topic() {
    let place = place();
    let mut results = 0;
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    assert_eq!(met(&host, &place, "eur", &mut results), "-");
    rate(&host, &place, "eur", "9");
    rate(&host, &place, "usd", "1");
    meets(&host, &place, "eur", "9", &mut results);
    meets(&host, &place, "usd", "1", &mut results);
    assert!(host.stop().success());

    let mut host = Host::ready(&place.manifest, &place.folder, &[]);
    assert_eq!(met(&host, &place, "eur", &mut results), "9", "the first record of the host meets it");
    rate(&host, &place, "eur", "8");
    meets(&host, &place, "eur", "8", &mut results);
    host.kill_now();

    let host = Host::ready(&place.manifest, &place.folder, &[]);
    assert_eq!(met(&host, &place, "eur", &mut results), "8");
    assert_eq!(met(&host, &place, "usd", &mut results), "1");
    std::thread::sleep(Duration::from_millis(200));
    assert!(host.stop().success());
}

#[test]
fn a_bad_row_stops_the_table_and_the_host_says_so() {
    let place = Place::new(&MANIFEST.replace("partitions: 3", "partitions: 1, format: json"));
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let behind = |host: &Host| {
        let metrics = ureq::get(format!("{}/metrics", host.url)).call().unwrap().body_mut().read_to_string().unwrap();
        let name = "millstream_global_table_lag_records{table=\"rates\",topic=\"rates\",partition=\"0\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(name)).expect("the metric is there").to_string()
    };
    let mut results = 0;
    rate(&host, &place, "eur", "9");
    meets(&host, &place, "eur", "9", &mut results);
    assert_eq!(behind(&host), "0.0");
    rate(&host, &place, "eur", "{");
    let told = eventually("the host says that it is not ready", 20, || {
        let said = ask(&format!("{}/readyz", host.url))?;
        if said.status == 200 { Err("ready".to_string()) } else { Ok(said.body.to_string()) }
    });
    assert!(told.contains("global table `rates`") && told.contains("on-error: skip"), "{told}");
    assert_eq!(behind(&host), "1.0");
    assert!(host.stop().success());
}
