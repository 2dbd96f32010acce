//! A join of two streams, a scan, a cogroup, and a stream that waits for a table with history, on a real broker while hosts are killed. What
//! each must give follows from the records alone, whatever order their topics are read in: a plain fold says it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_tests::host::surprises;
use millstream_tests::kafka::{Place, Sent};
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::long;
use super::pipes::{CLASSIC, CONSUMER, Pipe, random};

/// Keys of all topics.
const KEYS: u64 = 500;

/// Event time of the first record, milliseconds; one comes each millisecond.
const BASE_MS: i64 = 1_619_879_400_000;

/// By how much a record may be older than that.
const DISORDER_MS: u64 = 1_500;

/// How far two records may be apart that meet: so that most have a partner, and many have none.
const WITHIN_MS: i64 = 1_000;

/// What follows the last record in each partition is so much later: then all windows are closed, and nothing waits any more.
const END_MS: i64 = 3_600_000;

/// Its key.
const LAST: &str = "last";

/// One of the left stream, of the right one, or a rate.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Left,
    Right,
    Rates,
}

struct Said {
    of: Of,
    key: u64,
    /// Without one a rate ends.
    number: Option<u64>,
    time: i64,
}

/// Record `i`.
fn said(i: usize) -> Said {
    let mut seed = i as u64;
    let key = random(&mut seed) % KEYS;
    let of = [Of::Left, Of::Right, Of::Left, Of::Right, Of::Rates][i % 5];
    let gone = of == Of::Rates && random(&mut seed).is_multiple_of(5);
    let time = BASE_MS + i as i64 - (random(&mut seed) % DISORDER_MS) as i64;
    Said { of, key, number: (!gone).then_some(i as u64), time }
}

fn value(number: u64) -> String {
    format!(r#"{{"n":{number}}}"#)
}

fn records(place: &Place, n: usize, partitions: u32) -> impl Iterator<Item = Sent> + Send + use<> {
    let topics = [place.topic("left"), place.topic("right"), place.topic("rates")];
    let sent = move |said: Said| Sent {
        topic: topics[said.of as usize].clone(),
        partition: (said.key % u64::from(partitions)) as u32,
        key: Some(format!("k{}", said.key).into_bytes()),
        value: said.number.map(|number| value(number).into_bytes()),
        timestamp: said.time,
    };
    (0..n).map(said).map(sent)
}

/// What closes all windows behind `n` records.
fn last(place: &Place, n: usize, partitions: u32) -> impl Iterator<Item = Sent> + Send + use<> {
    let all = ["left", "right"].map(|topic| place.topic(topic));
    all.into_iter().flat_map(move |topic| {
        (0..partitions).map(move |partition| Sent {
            topic: topic.clone(),
            partition,
            key: Some(LAST.into()),
            value: Some(value(0).into_bytes()),
            timestamp: BASE_MS + n as i64 + END_MS,
        })
    })
}

fn manifest(place: &Place) -> String {
    let topic = |name| place.topic(name);
    format!(
        "functions:
  total: {{ component: {{running-total.wasm}}, config: {{ field: n }} }}
  sum: {{ component: {{json-fields.wasm}}, function: sum, config: {{ field: n }} }}
  also: {{ component: {{json-fields.wasm}}, function: sum, config: {{ field: n }} }}
  pair: {{ component: {{pair.wasm}} }}
sources:
  left: {{ topic: {left}, start: earliest }}
  right: {{ topic: {right}, start: earliest }}
  rates: {{ topic: {rates}, start: earliest }}
steps:
  met: {{ from: left, join: right, within: {WITHIN_MS}ms, grace: 30m, type: outer }}
  totals: {{ from: left, group: key, scan: total }}
  both: {{ cogroup: {{ left: sum, right: also }} }}
  rate: {{ from: rates, table: {{ history: 1h }} }}
  priced: {{ from: right, join: rate, type: left, with: pair, grace: 30m }}
sinks:
  met: {{ from: met, topic: {met} }}
  totals: {{ from: totals, topic: {totals} }}
  both: {{ from: both, topic: {both} }}
  priced: {{ from: priced, topic: {priced} }}
",
        left = topic("left"),
        right = topic("right"),
        rates = topic("rates"),
        met = topic("met"),
        totals = topic("totals"),
        both = topic("both"),
        priced = topic("priced"),
    )
}

/// A pair: its key's number, and the numbers of both sides.
type Pair = (u64, Option<u64>, Option<u64>);

/// What must be there in the end.
#[derive(Default)]
struct Expected {
    met: BTreeSet<Pair>,
    /// The totals of each key, in order.
    totals: BTreeMap<u64, Vec<u64>>,
    both: BTreeMap<u64, u64>,
    /// The rate that each record of the right met.
    priced: BTreeMap<u64, Option<u64>>,
}

impl Expected {
    fn of(n: usize) -> Self {
        let mut expected = Self::default();
        let mut by_key = BTreeMap::<u64, [Vec<(i64, Option<u64>)>; 3]>::new();
        for said in (0..n).map(said) {
            by_key.entry(said.key).or_default()[said.of as usize].push((said.time, said.number));
            if let (Of::Left | Of::Right, Some(number)) = (said.of, said.number) {
                *expected.both.entry(said.key).or_default() += number;
            }
            if let (Of::Left, Some(number)) = (said.of, said.number) {
                let totals = expected.totals.entry(said.key).or_default();
                totals.push(totals.last().unwrap_or(&0) + number);
            }
        }
        for (key, [mut left, mut right, mut rates]) in by_key {
            // Of versions of one time the last to come is the row; so they stay in order.
            [&mut left, &mut right, &mut rates].into_iter().for_each(|all| all.sort_by_key(|(time, _)| *time));
            expected.meet(key, &left, &right, false);
            expected.meet(key, &right, &left, true);
            for (time, number) in right {
                let until = rates.partition_point(|(from, _)| *from <= time);
                let rate = until.checked_sub(1).and_then(|at| rates[at].1);
                expected.priced.insert(number.expect("a number"), rate);
            }
        }
        expected
    }

    /// Notes what each of these met, or that it met nobody. Both lists are in order of time.
    fn meet(&mut self, key: u64, these: &[(i64, Option<u64>)], those: &[(i64, Option<u64>)], swapped: bool) {
        for (time, number) in these {
            let from = those.partition_point(|(other, _)| *other < time - WITHIN_MS);
            let near: Vec<_> = those[from..].iter().take_while(|(other, _)| *other <= time + WITHIN_MS).collect();
            let partners = if near.is_empty() { vec![None] } else { near.iter().map(|(_, other)| *other).collect() };
            let pair = |other| if swapped { (key, other, *number) } else { (key, *number, other) };
            self.met.extend(partners.into_iter().map(pair));
        }
    }

    /// All results, each once; tells what is still missing.
    fn compare(&self, pipe: &Pipe) -> anyhow::Result<Result<(), String>> {
        let mut got = Self::default();
        each(pipe, "met", |key, value| {
            let value: Value = serde_json::from_str(value)?;
            let pair = (key, side(&value["left"])?, side(&value["right"])?);
            ensure!(self.met.contains(&pair), "no such two meet: {pair:?}");
            ensure!(got.met.insert(pair), "a result came twice: {pair:?}");
            Ok(())
        })?;
        each(pipe, "totals", |key, value| {
            let totals = got.totals.entry(key).or_default();
            let expected = self.totals.get(&key).and_then(|all| all.get(totals.len()));
            ensure!(expected == Some(&value.parse()?), "k{key}: after {totals:?} came {value}, not {expected:?}");
            totals.push(value.parse()?);
            Ok(())
        })?;
        each(pipe, "both", |key, value| {
            got.both.insert(key, value.parse()?);
            Ok(())
        })?;
        each(pipe, "priced", |key, value| {
            let (right, rate) = value.split_once(',').context("no pair")?;
            let (right, rate) = (number(right)?, if rate == "-" { None } else { Some(number(rate)?) });
            let expected = self.priced.get(&right);
            ensure!(expected == Some(&rate), "k{key}: {right} met {rate:?}, not {expected:?}");
            ensure!(got.priced.insert(right, rate).is_none(), "k{key}: {right} came twice");
            Ok(())
        })?;
        let count = |all: &BTreeMap<u64, Vec<u64>>| all.values().map(Vec::len).sum::<usize>();
        for (what, got, expected) in [
            ("pairs", got.met.len(), self.met.len()),
            ("totals", count(&got.totals), count(&self.totals)),
            ("priced", got.priced.len(), self.priced.len()),
        ] {
            if got < expected {
                return Ok(Err(format!("{got} of {expected} {what}")));
            }
        }
        let differ = self.both.iter().find(|(key, sum)| got.both.get(key) != Some(sum));
        Ok(differ.map_or(Ok(()), |(key, sum)| Err(format!("k{key}: the sum is {:?}, not {sum}", got.both.get(key)))))
    }
}

/// The number in a value.
fn number(text: &str) -> anyhow::Result<u64> {
    serde_json::from_str::<Value>(text)?["n"].as_u64().with_context(|| format!("no number in {text}"))
}

fn side(side: &Value) -> anyhow::Result<Option<u64>> {
    if side.is_null() { Ok(None) } else { number(side.as_str().context("a side is text")?).map(Some) }
}

/// Results of a topic, but for those of the records at the end.
fn each(pipe: &Pipe, topic: &str, mut take: impl FnMut(u64, &str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    pipe.place.each_record(&pipe.place.topic(topic), pipe.partitions, |key, value, _| {
        let key = std::str::from_utf8(key.context("no key")?)?;
        let value = std::str::from_utf8(value.context("no value")?)?;
        if key == LAST { Ok(()) } else { take(key[1..].parse()?, value) }
    })
}

fn meetings_survive_kills_of_hosts(kafka: &str) {
    let (n, kills, partitions) = if long() { (5_000_000, 20, 12) } else { (200_000, 3, 4) };
    let topics = ["left", "right", "rates", "met", "totals", "both", "priced"];
    let pipe = Pipe::another("meetings", &topics, partitions, kafka, manifest);
    let all = records(&pipe.place, n, partitions);
    let hosts = pipe.killing_while(kills, 20_261_127, || pipe.trickle_records(all, n / (2 * kills)));
    // Read before the end of another topic, the last records would make what is behind them there late.
    pipe.consumed(&["left", "right", "rates"], 600);
    pipe.trickle_records(last(&pipe.place, n, partitions), 1_000).join().unwrap();
    let expected = Expected::of(n);
    let alone = expected.met.iter().filter(|(_, left, right)| left.is_none() || right.is_none()).count();
    assert!(alone * 20 > expected.met.len() && alone * 2 < expected.met.len(), "{alone} of {}", expected.met.len());
    eventually("all results are out", 600, || {
        std::thread::sleep(Duration::from_millis(500));
        expected.compare(&pipe).expect("nothing is there that should not be")
    });
    for (name, host) in ["a", "b"].into_iter().zip(hosts) {
        assert!(host.stop().success());
        println!("{name}: {:?}", surprises(&pipe.log(name), &[]));
    }
}

#[test]
fn meetings_survive_kills_of_hosts_classic() {
    meetings_survive_kills_of_hosts(CLASSIC);
}

#[test]
fn meetings_survive_kills_of_hosts_consumer() {
    meetings_survive_kills_of_hosts(CONSUMER);
}
