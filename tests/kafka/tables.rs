//! Tables, their joins, one by foreign key too, and an aggregate over one, on a real broker while hosts are killed: each record of a stream is joined once, with rows
//! in the order in which they came; in the end the tables are those of a plain fold.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_core::partition::partition_for_key;
use millstream_tests::host::surprises;
use millstream_tests::kafka::{Place, Sent};
use millstream_tests::wait::eventually;

use super::long;
use super::pipes::{CLASSIC, CONSUMER, Pipe, random};

/// Keys of all three topics.
const KEYS: u64 = 500;

/// Regions that shops are in.
const REGIONS: u64 = 7;

/// Event time of the first record, milliseconds.
const BASE_MS: i64 = 1_619_879_400_000;

/// A table as it is in the end: rows by key.
type Rows = BTreeMap<String, String>;

/// Record `i` of the input: six orders, then two rates and two shops; each fiftieth says something of a region. A tenth of the rows of
/// tables are removals.
fn record(place: &Place, partitions: u32, i: usize) -> Sent {
    let mut seed = i as u64;
    let number = random(&mut seed) % KEYS;
    let gone = random(&mut seed).is_multiple_of(10);
    if i % 50 == 49 {
        let key = format!("r{}", random(&mut seed) % REGIONS);
        return Sent {
            topic: place.topic("zones"),
            // A row is found by foreign key where murmur2 puts it.
            partition: partition_for_key(key.as_bytes(), partitions),
            key: Some(key.into_bytes()),
            value: (!gone).then(|| format!("z{i}").into_bytes()),
            timestamp: BASE_MS + i as i64,
        };
    }
    let (topic, value) = match i % 10 {
        0..6 => ("orders", Some(format!("o{i}"))),
        6 | 7 => ("rates", (!gone).then(|| format!("v{i}"))),
        _ => ("shops", (!gone).then(|| format!(r#"{{"region":"r{}"}}"#, random(&mut seed) % REGIONS))),
    };
    Sent {
        topic: place.topic(topic),
        // Any way will do that puts equal keys together.
        partition: (number % u64::from(partitions)) as u32,
        key: Some(format!("k{number}").into_bytes()),
        value: value.map(String::into_bytes),
        timestamp: BASE_MS + i as i64,
    }
}

fn manifest(place: &Place) -> String {
    let topic = |name| place.topic(name);
    format!(
        "functions:
  pair: {{ component: {{pair.wasm}} }}
  by-region: {{ component: {{json-fields.wasm}}, function: by-field, config: {{ field: region }} }}
sources:
  orders: {{ topic: {orders}, start: earliest }}
  rates: {{ topic: {rates}, start: earliest }}
  shops: {{ topic: {shops}, start: earliest }}
  zones: {{ topic: {zones}, start: earliest }}
steps:
  rate: {{ from: rates, table: {{}} }}
  shop: {{ from: shops, table: {{}} }}
  priced: {{ from: orders, join: rate, type: left, with: pair }}
  both: {{ from: shop, join: rate, type: outer, with: pair }}
  regions: {{ from: shop, group-by: by-region }}
  counts: {{ from: regions, group: key, count: {{ format: text }} }}
  zone: {{ from: zones, table: {{}} }}
  placed: {{ from: shop, join: zone, key: by-region, type: left, with: pair }}
sinks:
  placed: {{ from: placed, topic: {placed} }}
  priced: {{ from: priced, topic: {priced} }}
  both: {{ from: both, topic: {both} }}
  counts: {{ from: counts, topic: {counts} }}
",
        orders = topic("orders"),
        rates = topic("rates"),
        shops = topic("shops"),
        zones = topic("zones"),
        placed = topic("placed"),
        priced = topic("priced"),
        both = topic("both"),
        counts = topic("counts"),
    )
}

/// What must be there in the end, by a fold that knows nothing of tasks and batches.
struct Expected {
    orders: usize,
    /// What the rate of each key was, in order; nothing before the first.
    rates: BTreeMap<String, Vec<Option<String>>>,
    both: Rows,
    counts: Rows,
    placed: Rows,
}

impl Expected {
    fn of(place: &Place, n: usize) -> Self {
        let mut rates: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
        let (mut shops, mut orders, mut regions) = (BTreeMap::new(), 0, BTreeMap::new());
        let mut zones: BTreeMap<String, Option<String>> = BTreeMap::new();
        for sent in (0..n).map(|i| record(place, 1, i)) {
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let (key, value) = (text(sent.key.unwrap()), sent.value.map(text));
            if sent.topic == place.topic("orders") {
                orders += 1;
            } else if sent.topic == place.topic("rates") {
                rates.entry(key).or_insert_with(|| vec![None]).push(value);
            } else if sent.topic == place.topic("zones") {
                zones.insert(key, value);
            } else {
                // A region that has lost its last shop has a count of none.
                if let Some(shop) = &value {
                    regions.entry(region(shop)).or_insert(0);
                }
                shops.insert(key, value);
            }
        }
        shops.values().flatten().for_each(|shop| *regions.get_mut(&region(shop)).unwrap() += 1);
        let mut both = Rows::new();
        for number in 0..KEYS {
            let key = format!("k{number}");
            let shop = shops.get(&key).cloned().flatten();
            let rate = rates.get(&key).and_then(|all| all.last().cloned()).flatten();
            if shop.is_some() || rate.is_some() {
                let [shop, rate] = [shop, rate].map(|side| side.unwrap_or("-".into()));
                both.insert(key, format!("{shop},{rate}"));
            }
        }
        let placed = shops.iter().filter_map(|(key, shop)| {
            let shop = shop.as_ref()?;
            let zone = zones.get(&region(shop)).cloned().flatten().unwrap_or("-".into());
            Some((key.clone(), format!("{shop},{zone}")))
        });
        let placed = placed.collect();
        let counts = regions.into_iter().map(|(region, count): (_, u32)| (region, count.to_string())).collect();
        Self { orders, rates, both, counts, placed }
    }
}

fn region(shop: &str) -> String {
    shop.split('"').nth(3).unwrap().to_string()
}

/// Each order once, those of a key in order, and joined with what the rate was by then: never with an older one than the order before.
fn priced(pipe: &Pipe, expected: &Expected) -> anyhow::Result<usize> {
    let unknown = vec![None];
    let (mut seen, mut at): (usize, BTreeMap<String, (i64, usize)>) = (0, BTreeMap::new());
    pipe.place.each_record(&pipe.place.topic("priced"), pipe.partitions, |key, value, time| {
        let key = std::str::from_utf8(key.context("no key")?)?.to_string();
        let (order, rate) = std::str::from_utf8(value.context("no value")?)?.split_once(',').context("no pair")?;
        let number: i64 = order[1..].parse()?;
        ensure!(time == BASE_MS + number, "{order} has the time {time}");
        let (last, from) = at.entry(key.clone()).or_insert((-1, 0));
        ensure!(number > *last, "{key}: {order} came after o{last}");
        let rates = expected.rates.get(&key).unwrap_or(&unknown);
        let found = rates[*from..].iter().position(|r| r.as_deref().unwrap_or("-") == rate);
        *from += found.with_context(|| format!("{key}: {order} met {rate}, which is older than that of o{last}"))?;
        *last = number;
        seen += 1;
        Ok(())
    })?;
    Ok(seen)
}

/// A topic read as a table.
fn table(pipe: &Pipe, topic: &str) -> anyhow::Result<Rows> {
    let mut rows = Rows::new();
    pipe.place.each_record(&pipe.place.topic(topic), pipe.partitions, |key, value, _| {
        let key = String::from_utf8(key.context("no key")?.to_vec())?;
        match value {
            Some(value) => rows.insert(key, String::from_utf8(value.to_vec())?),
            None => rows.remove(&key),
        };
        Ok(())
    })?;
    Ok(rows)
}

fn differences(what: &str, expected: &Rows, got: &Rows) -> Result<(), String> {
    let keys = expected.keys().chain(got.keys());
    let differing: Vec<&String> = keys.filter(|key| expected.get(*key) != got.get(*key)).collect();
    match differing.first() {
        None => Ok(()),
        Some(key) => Err(format!(
            "{what}: {} rows differ, the first is {key}: expected {:?}, got {:?}",
            differing.len(),
            expected.get(*key),
            got.get(*key)
        )),
    }
}

fn joins_survive_kills_of_hosts(kafka: &str) {
    let (n, kills, partitions) = if long() { (5_000_000, 20, 12) } else { (200_000, 3, 4) };
    let topics = ["orders", "rates", "shops", "zones", "priced", "both", "counts", "placed"];
    let pipe = Pipe::another("joins", &topics, partitions, kafka, manifest);
    let place = pipe.place.clone();
    let records = (0..n).map(move |i| record(&place, partitions, i));
    let hosts = pipe.killing_while(kills, 20_261_127, || pipe.trickle_records(records, n / (2 * kills)));
    let expected = Expected::of(&pipe.place, n);
    eventually("all results are out", 600, || {
        std::thread::sleep(Duration::from_millis(500));
        let joined = priced(&pipe, &expected).expect("orders are joined once, in order");
        assert!(joined <= expected.orders, "{joined} of {} orders are joined", expected.orders);
        if joined < expected.orders {
            return Err(format!("{joined} of {} orders are joined", expected.orders));
        }
        differences("both", &expected.both, &table(&pipe, "both").unwrap())?;
        differences("counts", &expected.counts, &table(&pipe, "counts").unwrap())?;
        differences("placed", &expected.placed, &table(&pipe, "placed").unwrap())
    });
    for (name, host) in ["a", "b"].into_iter().zip(hosts) {
        assert!(host.stop().success());
        println!("{name}: {:?}", surprises(&pipe.log(name), &[]));
    }
}

#[test]
fn joins_survive_kills_of_hosts_classic() {
    joins_survive_kills_of_hosts(CLASSIC);
}

#[test]
fn joins_survive_kills_of_hosts_consumer() {
    joins_survive_kills_of_hosts(CONSUMER);
}
