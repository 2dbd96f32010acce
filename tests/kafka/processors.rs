//! A processor with a store and timers on a real broker while hosts are killed: for each key just the results, in just the order, of a
//! plain fold over its partition.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use millstream_tests::kafka::{Place, Sent};
use millstream_tests::wait::eventually;

use super::long;
use super::pipes::{CLASSIC, CONSUMER, Pipe, random};

/// Keys; the second half of them says something in every other spell only.
const KEYS: u64 = 200;

/// Length of a spell, milliseconds: longer than the store's ttl.
const SPELL_MS: i64 = 20 * 60_000;

/// Time between two records, milliseconds, and by how much they may be older than that.
const STEP_MS: i64 = 50;
const DISORDER_MS: u64 = 1_500;

/// After so long a silence there is an alarm, milliseconds: the sample function's own.
const SILENCE_MS: i64 = 30_000;

/// Silences are either shorter than what the store keeps, 10 minutes, or longer than this.
const FORGOTTEN_MS: i64 = 15 * 60_000;

/// Event time of the first record, milliseconds.
const BASE_MS: i64 = 1_619_879_400_000;

/// What came out for each key, in order: topic's letter, value, time.
type Told = BTreeMap<String, Vec<(char, String, i64)>>;

/// Key, value and time of record `i`.
fn said(i: usize) -> (u64, String, i64) {
    let (mut seed, now) = (i as u64, i as i64 * STEP_MS);
    let mut number = random(&mut seed) % KEYS;
    if (now / SPELL_MS) % 2 == 1 {
        number %= KEYS / 2;
    }
    (number, format!("s{i}"), BASE_MS + now - (random(&mut seed) % DISORDER_MS) as i64)
}

fn partition(number: u64, partitions: u32) -> u32 {
    (number % u64::from(partitions)) as u32
}

fn manifest(place: &Place) -> String {
    format!(
        "functions:
  alarm: {{ component: {{alarm.wasm}} }}
sources:
  in: {{ topic: {input}, start: earliest }}
steps:
  alarms: {{ from: in, process: alarm, stores: {{ last: {{ ttl: 10m }} }}, outputs: [silent, again] }}
sinks:
  silent: {{ from: alarms.silent, topic: {silent} }}
  again: {{ from: alarms.again, topic: {again} }}
",
        input = place.topic("in"),
        silent = place.topic("silent"),
        again = place.topic("again"),
    )
}

/// What one partition's keys say.
#[derive(Default)]
struct Fold {
    stream_time: i64,
    /// What a key said last and when, and whether there was an alarm about it.
    last: BTreeMap<String, (String, i64, bool)>,
    timers: BTreeSet<(i64, String)>,
}

impl Fold {
    fn take(&mut self, key: &str, value: String, time: i64, told: &mut Told) {
        self.stream_time = self.stream_time.max(time);
        while let Some((due, key)) = self.timers.first().cloned().filter(|(due, _)| *due <= self.stream_time) {
            self.timers.pop_first();
            let (said, _, alarmed) = self.last.get_mut(&key).unwrap();
            *alarmed = true;
            told.entry(key).or_default().push(('s', said.clone(), due));
        }
        let before = self.last.get(key).cloned();
        if let Some((_, last, _)) = before.as_ref().filter(|(_, last, _)| time > last + SILENCE_MS) {
            let silence = time - last;
            assert!(!(FORGOTTEN_MS / 3..FORGOTTEN_MS).contains(&silence), "{key} was silent for {silence} ms");
        }
        let before = before.filter(|(_, last, _)| time - last < FORGOTTEN_MS);
        if let Some((_, last, true)) = &before.as_ref().filter(|(_, last, _)| time > *last) {
            told.entry(key.into()).or_default().push(('a', (time - last).to_string(), time));
        }
        if before.is_none_or(|(_, last, _)| time >= last) {
            self.last.insert(key.into(), (value, time, false));
            self.timers.retain(|(_, of)| of != key);
            self.timers.insert((time + SILENCE_MS, key.into()));
        }
    }
}

fn expected(n: usize, partitions: u32) -> Told {
    let (mut folds, mut told) = (BTreeMap::<u32, Fold>::new(), Told::new());
    for (number, value, time) in (0..n).map(said) {
        let fold = folds.entry(partition(number, partitions)).or_default();
        fold.take(&format!("k{number}"), value, time, &mut told);
    }
    // Each topic has an order of its own.
    told.values_mut().for_each(|all| all.sort_by_key(|(topic, ..)| *topic));
    told
}

fn read(pipe: &Pipe) -> anyhow::Result<Told> {
    let mut told = Told::new();
    for (letter, topic) in [('a', "again"), ('s', "silent")] {
        pipe.place.each_record(&pipe.place.topic(topic), pipe.partitions, |key, value, time| {
            let key = String::from_utf8(key.context("no key")?.to_vec())?;
            let value = String::from_utf8(value.context("no value")?.to_vec())?;
            told.entry(key).or_default().push((letter, value, time));
            Ok(())
        })?;
    }
    Ok(told)
}

fn processors_survive_kills_of_hosts(kafka: &str) {
    let (n, kills, partitions) = if long() { (5_000_000, 20, 12) } else { (200_000, 3, 4) };
    let pipe = Pipe::another("alarms", &["in", "silent", "again"], partitions, kafka, manifest);
    let topic = pipe.place.topic("in");
    let sent = move |(number, value, timestamp): (u64, String, i64)| Sent {
        topic: topic.clone(),
        partition: partition(number, partitions),
        key: Some(format!("k{number}").into_bytes()),
        value: Some(value.into_bytes()),
        timestamp,
    };
    let records = (0..n).map(said).map(sent);
    let hosts = pipe.killing_while(kills, 20_261_128, || pipe.trickle_records(records, n / (2 * kills)));
    let expected = expected(n, partitions);
    let count = |told: &Told| told.values().map(Vec::len).sum::<usize>();
    let forgotten =
        |all: &[(char, String, i64)]| all.iter().filter(|(letter, ..)| *letter == 'a').count() * 2 < all.len();
    assert!(expected.values().any(|all| forgotten(all)), "no silence was so long that it is forgotten");
    let got = eventually("all alarms are out", 600, || {
        std::thread::sleep(Duration::from_millis(500));
        let got = read(&pipe).map_err(|why| format!("{why:#}"))?;
        if count(&got) >= count(&expected) { Ok(got) } else { Err(format!("{} of {}", count(&got), count(&expected))) }
    });
    for (key, all) in &expected {
        assert_eq!(got.get(key), Some(all), "what is told of {key}");
    }
    assert_eq!(got.len(), expected.len(), "keys that nobody expects");
    for host in hosts {
        assert!(host.stop().success());
    }
}

#[test]
fn processors_survive_kills_of_hosts_classic() {
    processors_survive_kills_of_hosts(CLASSIC);
}

#[test]
fn processors_survive_kills_of_hosts_consumer() {
    processors_survive_kills_of_hosts(CONSUMER);
}
