//! Global tables on a real broker: whole before a host's first record, followed afterwards, gone on from at the next start, and
//! read anew where that would be wrong; while hosts are killed each record is joined once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_core::partition::partition_for_key;
use millstream_kafka::admin::TopicSpec;
use millstream_kafka::fetch::TopicPartition;
use millstream_tests::host::surprises;
use millstream_tests::kafka::{Place, Sent};
use millstream_tests::wait::eventually;

use super::long;
use super::pipes::{CLASSIC, CONSUMER, Pipe, random};

/// Rows of the table.
const REGIONS: u64 = 200;

/// Event time of the first record, milliseconds.
const BASE_MS: i64 = 1_619_879_400_000;

fn manifest(place: &Place) -> String {
    format!(
        "functions:
  pair: {{ component: {{pair.wasm}} }}
  by-region: {{ component: {{json-fields.wasm}}, function: by-field, config: {{ field: region }} }}
sources:
  orders: {{ topic: {orders}, start: earliest }}
  zone-updates: {{ topic: {zones} }}
steps:
  zones: {{ from: zone-updates, global-table: {{}} }}
  placed: {{ from: orders, join: zones, key: by-region, type: left, with: pair }}
sinks:
  placed: {{ from: placed, topic: {placed} }}
",
        orders = place.topic("orders"),
        zones = place.topic("zones"),
        placed = place.topic("placed"),
    )
}

fn pipe(what: &str, kafka: &str, partitions: u32) -> Pipe {
    Pipe::another(what, &["orders", "zones", "placed"], partitions, kafka, manifest)
}

fn zone(place: &Place, partitions: u32, region: u64, value: Option<String>) -> Sent {
    let key = format!("r{region}").into_bytes();
    let partition = partition_for_key(&key, partitions);
    Sent {
        topic: place.topic("zones"),
        partition,
        key: Some(key),
        value: value.map(String::into_bytes),
        timestamp: BASE_MS,
    }
}

/// Order `number`, whose own key says nothing of its region.
fn order(place: &Place, partitions: u32, number: usize, region: u64) -> Sent {
    Sent {
        topic: place.topic("orders"),
        partition: (number % partitions as usize) as u32,
        key: Some(format!("o{number}").into_bytes()),
        value: Some(format!(r#"{{"region":"r{region}"}}"#).into_bytes()),
        timestamp: BASE_MS + number as i64,
    }
}

/// What each order was joined with; an order that came twice is an error.
fn placed(pipe: &Pipe) -> anyhow::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    pipe.place.each_record(&pipe.place.topic("placed"), pipe.partitions, |key, value, _| {
        let key = String::from_utf8(key.context("no key")?.to_vec())?;
        let value = std::str::from_utf8(value.context("no value")?)?;
        let zone = value.rsplit_once(',').context("no pair")?.1.to_string();
        ensure!(all.insert(key.clone(), zone).is_none(), "{key} came twice");
        Ok(())
    })?;
    Ok(all)
}

/// Sends an order for each region and gives what they met: zone of the region, `-` for none.
fn met(pipe: &Pipe, from: usize, regions: u64) -> Vec<String> {
    let sent = (0..regions).map(|r| order(&pipe.place, pipe.partitions, from + r as usize, r));
    pipe.place.trickle_records(sent, 100_000).unwrap();
    eventually("orders are placed", 60, || {
        let all = placed(pipe).unwrap();
        let these = (0..regions as usize).map(|r| all.get(&format!("o{}", from + r)).cloned());
        these.collect::<Option<Vec<_>>>().ok_or_else(|| format!("{} are placed", all.len()))
    })
}

fn write(pipe: &Pipe, zones: impl Iterator<Item = (u64, Option<String>)>) {
    let sent = zones.map(|(region, value)| zone(&pipe.place, pipe.partitions, region, value));
    pipe.place.trickle_records(sent, 1_000_000).unwrap();
}

#[test]
fn a_table_is_whole_at_the_start_gone_on_from_and_read_anew_where_that_would_be_wrong() {
    let pipe = pipe("globals", CLASSIC, 3);
    let all = |of: &str| (0..REGIONS).map(|r| format!("{of}{r}")).collect::<Vec<_>>();
    write(&pipe, (0..REGIONS).map(|r| (r, Some(format!("a{r}")))));
    let host = pipe.start("a", &[]);
    assert_eq!(met(&pipe, 0, REGIONS), all("a"), "the first records of the host meet all of it");
    write(&pipe, (0..REGIONS).map(|r| (r, Some(format!("b{r}")))));
    let mut from = 0;
    eventually("the host has followed", 30, || {
        from += 1_000;
        let met = met(&pipe, from, REGIONS);
        if met == all("b") { Ok(()) } else { Err(format!("{met:?}")) }
    });
    let metrics = ureq::get(format!("{}/metrics", host.url)).call().unwrap().body_mut().read_to_string().unwrap();
    let behind: Vec<_> = metrics.lines().filter(|l| l.starts_with("millstream_global_table_lag_records{")).collect();
    assert!(behind.len() == 3 && behind.iter().all(|line| line.ends_with(" 0.0")), "{behind:?}");
    assert!(host.stop().success());

    // Gone on from: a row that changes and one that goes while no host looks.
    write(&pipe, [(0, Some("c0".into())), (1, None)].into_iter());
    let host = pipe.start("a", &[]);
    let mut expected = all("b");
    (expected[0], expected[1]) = ("c0".into(), "-".into());
    assert_eq!(met(&pipe, 100_000, REGIONS), expected);
    let anew = |pipe: &Pipe| pipe.told("a", "the global table is read from the beginning").len();
    assert_eq!(anew(&pipe), 0);
    assert!(host.stop().success());

    // What was to come next is deleted: what is left of the log is all that there is.
    let admin = pipe.place.admin().unwrap();
    let topic = pipe.place.topic("zones");
    write(&pipe, (0..REGIONS).map(|r| (r, Some(format!("d{r}")))));
    let partitions: Vec<TopicPartition> = (0..3).map(|p| TopicPartition::new(topic.as_str(), p)).collect();
    let ends = admin.watermarks(&partitions).unwrap();
    let before: Vec<_> = partitions.iter().map(|p| (p.clone(), ends[p].high)).collect();
    admin.delete_records(&before).unwrap();
    write(&pipe, [(7, Some("e7".into()))].into_iter());
    let host = pipe.start("a", &[]);
    let mut expected = vec!["-".to_string(); REGIONS as usize];
    expected[7] = "e7".into();
    assert_eq!(met(&pipe, 200_000, REGIONS), expected);
    assert!(host.stop().success());

    // Another topic of that name.
    admin.delete(&[&topic]).unwrap();
    let settings = BTreeMap::new();
    let again = TopicSpec { name: topic.clone(), partitions: 3, replication_factor: None, settings };
    eventually("the topic is made anew", 30, || admin.create(std::slice::from_ref(&again)).map_err(|e| e.to_string()));
    write(&pipe, (0..10).map(|r| (r, Some(format!("f{r}")))));
    let host = pipe.start("a", &[]);
    let expected: Vec<String> = (0..20).map(|r| if r < 10 { format!("f{r}") } else { "-".into() }).collect();
    assert_eq!(met(&pipe, 300_000, 20), expected);
    assert_eq!(anew(&pipe), 1, "it says why it begins again");
    assert!(host.stop().success());
}

fn orders_are_placed_once(kafka: &str) {
    let (n, kills, partitions): (usize, usize, u32) = if long() { (2_000_000, 20, 12) } else { (100_000, 3, 4) };
    let pipe = pipe("placed", kafka, partitions);
    let place = pipe.place.clone();
    let records = (0..n).map(move |i| {
        let mut seed = i as u64;
        let region = random(&mut seed) % REGIONS;
        match i % 10 {
            9 => zone(&place, partitions, region, (!i.is_multiple_of(50)).then(|| format!("z{i}"))),
            _ => order(&place, partitions, i, region),
        }
    });
    let hosts = pipe.killing_while(kills, 20_261_128, || pipe.trickle_records(records, n / (2 * kills)));
    let orders = n - n / 10;
    let all = eventually("all orders are placed", 600, || {
        std::thread::sleep(Duration::from_millis(500));
        let all = placed(&pipe).expect("orders are placed once");
        assert!(all.len() <= orders, "{} of {orders}", all.len());
        if all.len() == orders { Ok(all) } else { Err(format!("{} of {orders} orders are placed", all.len())) }
    });
    // Each met a row that its region had at some time.
    for (key, zone) in &all {
        let number: usize = key[1..].parse().unwrap();
        let region = |i: usize| random(&mut (i as u64)) % REGIONS;
        let Some(writer) = zone.strip_prefix('z').map(|i| i.parse::<usize>().unwrap()) else { continue };
        assert_eq!(region(writer), region(number), "{key} met {zone}");
        assert_eq!(writer % 10, 9);
    }
    // In the end both hosts have the last rows.
    let mut last: BTreeMap<u64, Option<usize>> = BTreeMap::new();
    for i in (9..n).step_by(10) {
        last.insert(random(&mut (i as u64)) % REGIONS, (!i.is_multiple_of(50)).then_some(i));
    }
    let expected: Vec<String> =
        (0..REGIONS).map(|r| last.get(&r).copied().flatten().map_or("-".into(), |i| format!("z{i}"))).collect();
    let mut from = 10_000_000;
    eventually("both hosts have the last rows", 60, || {
        from += 1_000;
        let met = met(&pipe, from, REGIONS);
        if met == expected { Ok(()) } else { Err(format!("{met:?}")) }
    });
    for (name, host) in ["a", "b"].into_iter().zip(hosts) {
        assert!(host.stop().success());
        println!("{name}: {:?}", surprises(&pipe.log(name), &[]));
    }
}

#[test]
fn orders_are_placed_once_while_hosts_are_killed_classic() {
    orders_are_placed_once(CLASSIC);
}

#[test]
fn orders_are_placed_once_while_hosts_are_killed_consumer() {
    orders_are_placed_once(CONSUMER);
}
