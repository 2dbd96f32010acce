//! The access-log example on brokers for the tests here: its manifest, its hosts by name, its lines and its results.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_kafka::fetch::TopicPartition;
use millstream_test_broker::Cluster;
use millstream_tests::access::{Counts, GAP_MS, differences, expected, expected_sessions, lines};
use millstream_tests::host::Host;
use millstream_tests::kafka::{Place, Sent};
use millstream_tests::wait::eventually;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::manifests;

/// Addresses in the lines.
pub const ADDRESSES: u32 = 1_000;

/// Lines of a host's log that are shown when its test fails.
const LINES_TOLD: usize = 150;

/// A dead host's tasks go to others after this.
pub const SESSION: Duration = Duration::from_secs(6);

/// How long tasks of these pipelines may be silent: longer than hosts and brokers are away here, and than hosts wait for their first
/// lines. What comes after silence of which everybody knew may be late, and then no plain fold says what comes out. Windows that the fold
/// counts are closed by lines, not by silence, so nobody waits for it.
const IDLE: &str = "45s";

/// Properties of the client by which tests tell the two protocols of groups apart; their brokers have the same session time-out for
/// the second.
pub const CLASSIC: &str = "session.timeout.ms: 6000";
/// See [`CLASSIC`].
pub const CONSUMER: &str = "group.protocol: consumer";

/// A pipeline with its topics.
pub struct Pipe {
    /// Its topics.
    pub place: Place,
    /// Partitions of each.
    pub partitions: u32,
    here: manifests::Place,
    /// Topic of lines that come late, where there is one.
    late: Option<String>,
}

impl Pipe {
    /// With new topics. `kafka`: properties of the client beside the brokers, as YAML.
    pub fn new(bootstrap: &str, what: &str, partitions: u32, kafka: &str) -> Self {
        Self::of(Place::new(bootstrap, what, partitions).unwrap(), partitions, kafka)
    }

    /// On topics that are there.
    pub fn of(place: Place, partitions: u32, kafka: &str) -> Self {
        Self::with(place, partitions, kafka, "")
    }

    /// As [`Pipe::of`], with more lines in the manifest.
    pub fn with(place: Place, partitions: u32, kafka: &str, more: &str) -> Self {
        let here = manifests::Place::new(&format!("{}{more}", manifest(&place, kafka, "earliest")));
        Self { place, partitions, here, late: None }
    }

    /// As [`Pipe::new`], where lines that come late are kept: what is missing then tells where it went.
    pub fn telling_late(bootstrap: &str, what: &str, partitions: u32, kafka: &str) -> Self {
        let place = Place::with_topics(bootstrap, what, &["in", "out", "late"], partitions).unwrap();
        let late = place.topic("late");
        let step = format!("emit: on-close, late: {late},");
        let here = manifests::Place::new(&manifest(&place, kafka, "earliest").replace("emit: on-close,", &step));
        Self { place, partitions, here, late: Some(late) }
    }

    /// As [`Pipe::of`], with a source that begins elsewhere.
    pub fn starting(place: Place, partitions: u32, start: &str) -> Self {
        let here = manifests::Place::new(&manifest(&place, CLASSIC, start));
        Self { place, partitions, here, late: None }
    }

    /// As [`Pipe::new`], with sessions instead of windows.
    pub fn of_sessions(bootstrap: &str, what: &str, partitions: u32, kafka: &str) -> Self {
        let place = Place::new(bootstrap, what, partitions).unwrap();
        let session = format!("session: {GAP_MS}ms");
        let here = manifests::Place::new(&manifest(&place, kafka, "earliest").replace("tumbling: 10s", &session));
        Self { place, partitions, here, late: None }
    }

    /// Another pipeline altogether: its topics, as [`Place::with_topics`] names them, and what makes its manifest of them, but for
    /// name and brokers.
    pub fn another(
        what: &str,
        topics: &[&str],
        partitions: u32,
        kafka: &str,
        manifest: impl FnOnce(&Place) -> String,
    ) -> Self {
        let place = Place::with_topics(&Cluster::shared().bootstrap(), what, topics, partitions).unwrap();
        let here = manifests::Place::new(&(head(&place, kafka) + &manifest(&place)));
        Self { place, partitions, here, late: None }
    }

    /// The manifest.
    pub fn manifest(&self) -> &PathBuf {
        &self.here.manifest
    }

    /// State directory of a host.
    pub fn folder(&self, host: &str) -> PathBuf {
        self.here.folder.with_file_name(host)
    }

    /// Where it logs.
    pub fn log(&self, host: &str) -> PathBuf {
        self.here.folder.with_file_name(format!("{host}.log"))
    }

    /// Starts a host.
    pub fn start(&self, host: &str, more: &[&str]) -> Host {
        Host::on_kafka(&self.here.manifest, &self.folder(host), more)
    }

    /// Writes `n` lines, so many a second, while the test goes on.
    pub fn trickle(&self, n: usize, per_second: usize) -> JoinHandle<()> {
        let (place, partitions) = (self.place.clone(), self.partitions);
        std::thread::spawn(move || place.trickle(partitions, lines(n, ADDRESSES), per_second).unwrap())
    }

    /// Writes records, so many a second, while the test goes on.
    pub fn trickle_records(
        &self,
        records: impl Iterator<Item = Sent> + Send + 'static,
        per_second: usize,
    ) -> JoinHandle<()> {
        let place = self.place.clone();
        std::thread::spawn(move || place.trickle_records(records, per_second).unwrap())
    }

    /// Writes `n` lines as fast as it goes.
    pub fn fill(&self, n: usize) {
        self.place.fill(self.partitions, lines(n, ADDRESSES)).unwrap();
    }

    /// Writes the lines `from..to`.
    pub fn fill_part(&self, from: usize, to: usize) {
        self.place.fill(self.partitions, lines(to, ADDRESSES).skip(from)).unwrap();
    }

    /// Waits until the results of `n` lines are out, and compares them with those of a plain fold.
    pub fn compare(&self, n: usize, seconds: u64) {
        self.compare_with(expected(lines(n, ADDRESSES)), seconds, || self.place.results(self.partitions));
    }

    /// As [`Pipe::compare`], of sessions.
    pub fn compare_sessions(&self, n: usize, seconds: u64) {
        self.compare_with(expected_sessions(lines(n, ADDRESSES)), seconds, || self.place.sessions(self.partitions));
    }

    fn compare_with(&self, expected: Counts, seconds: u64, results: impl Fn() -> anyhow::Result<Counts>) {
        assert!(!expected.is_empty(), "no window is closed");
        let got = eventually("all results are out", seconds, || {
            let got = results().map_err(|why| format!("{why:#}"))?;
            if got.len() >= expected.len() {
                return Ok(got);
            }
            std::thread::sleep(Duration::from_millis(500));
            let (have, of) = (got.len(), expected.len());
            Err(format!("{have} of {of} results{}; {}", self.told_late(), differences(&expected, &got)))
        });
        let differences = differences(&expected, &got);
        assert!(differences.is_empty(), "{differences}{}", self.told_late());
    }

    /// How many lines came late, in words.
    fn told_late(&self) -> String {
        let Some(topic) = &self.late else { return String::new() };
        let mut late = 0;
        match self.place.each_value(topic, self.partitions, |_, _, _| late += 1) {
            Ok(()) => format!("; {late} lines were late"),
            Err(why) => format!("; how many lines were late is not known: {why:#}"),
        }
    }

    /// Waits until hosts have committed all that is in these topics, each written in transactions.
    pub fn consumed(&self, topics: &[&str], seconds: u64) {
        let of = |topic: &&str| {
            let topic = self.place.topic(topic);
            (0..self.partitions as i32).map(move |p| TopicPartition::new(topic.as_str(), p))
        };
        let all: Vec<TopicPartition> = topics.iter().flat_map(of).collect();
        eventually(&format!("all of {topics:?} is consumed"), seconds, || match self.behind(&all) {
            Ok(left) if left.is_empty() => Ok(()),
            Ok(left) => Err(format!("{left:?} are not")),
            Err(why) => Err(format!("{why:#}")),
        });
    }

    fn behind<'a>(&self, all: &'a [TopicPartition]) -> anyhow::Result<Vec<&'a TopicPartition>> {
        let admin = self.place.admin()?;
        let (ends, committed) = (admin.watermarks(all)?, admin.committed(&self.place.name, all)?);
        // The last thing in a partition is the marker of its last transaction, which may not be passed before a record behind it.
        let behind = |at: &&TopicPartition| committed.get(at).map_or(0, |c| c.offset) + 1 < ends[at].high;
        Ok(all.iter().filter(behind).collect())
    }

    /// Two hosts work on `n` lines, which come meanwhile; one of them dies without a warning, again and again, and is started again on
    /// its directory.
    pub fn killing(&self, n: usize, kills: usize, seed: u64) -> [Host; 2] {
        self.killing_while(kills, seed, || self.trickle(n, n / (2 * kills)))
    }

    /// As [`Pipe::killing`], while `fill` writes what there is to work on.
    pub fn killing_while(&self, kills: usize, mut seed: u64, fill: impl FnOnce() -> JoinHandle<()>) -> [Host; 2] {
        let names = ["a", "b"];
        let mut hosts = names.map(|name| self.start(name, &[]));
        let filler = fill();
        println!("seed {seed}");
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(500 + random(&mut seed) % 2_500));
            let which = (random(&mut seed) % 2) as usize;
            hosts[which].kill_now();
            hosts[which] = self.start(names[which], &[]);
        }
        filler.join().unwrap();
        hosts
    }

    /// Lines of a host's log with this message, oldest first.
    pub fn told(&self, host: &str, message: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.log(host)).unwrap_or_default();
        let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter(|line| line["fields"]["message"].as_str().is_some_and(|m| m.contains(message))).collect()
    }

    /// What was replayed for each task a host opened: name of the task and bytes, oldest first.
    pub fn restored(&self, host: &str) -> Vec<(String, u64)> {
        let one = |line: &Value| {
            let fields = &line["fields"];
            (fields["task"].as_str().unwrap().to_string(), fields["bytes"].as_u64().unwrap())
        };
        self.told(host, "state restored").iter().map(one).collect()
    }
}

/// What the hosts of a failed test said goes with its folder: here is the end of it.
impl Drop for Pipe {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let folder = self.here.folder.with_file_name("");
        let logs = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        for log in logs.filter(|path| path.extension().is_some_and(|e| e == "log")) {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let end = lines.len().saturating_sub(LINES_TOLD);
            println!("--- {}\n{}", log.display(), lines[end..].join("\n"));
        }
    }
}

/// Names of the tasks that run on a host.
pub fn running(host: &Host) -> BTreeSet<String> {
    let tasks = host.get("/v1/tasks").unwrap_or_default();
    let all = tasks.as_array().into_iter().flatten().filter(|task| task["state"] == "running");
    all.map(|task| format!("{}_{}", task["sub_topology"], task["partition"])).collect()
}

/// Waits until a host runs so many tasks.
pub fn runs(host: &Host, tasks: usize, seconds: u64) {
    eventually(&format!("{} runs {tasks} tasks", host.folder.display()), seconds, || {
        let running = running(host);
        if running.len() == tasks { Ok(()) } else { Err(format!("{running:?}")) }
    });
}

/// Waits until hosts share so many tasks evenly, and gives each one's. They are looked at together: a host that is the first of its
/// group passes through its share while it still has everybody's.
pub fn share<const N: usize>(hosts: [&Host; N], tasks: usize, seconds: u64) -> [BTreeSet<String>; N] {
    eventually(&format!("{N} hosts share {tasks} tasks"), seconds, || {
        let shares = hosts.map(running);
        let together: BTreeSet<_> = shares.iter().flatten().collect();
        let even = shares.iter().all(|share| share.len() == tasks / N);
        if even && together.len() == tasks { Ok(shares) } else { Err(format!("{shares:?}")) }
    })
}

/// Sends a host a signal.
pub fn signal(host: &Host, signal: Signal) {
    let pid = Pid::from_raw(host.id() as i32).unwrap();
    kill_process(pid, signal).unwrap();
}

/// SplitMix64, for instants of death.
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How every manifest here begins.
fn head(place: &Place, kafka: &str) -> String {
    format!("pipeline: {}\nkafka: {{ bootstrap.servers: \"{}\", {kafka} }}\n", place.name, place.bootstrap)
}

/// A manifest like the demo's, on brokers.
fn manifest(place: &Place, kafka: &str, start: &str) -> String {
    format!(
        "{head}functions:
  only-ip: {{ component: {{only-ip.wasm}} }}
  extract-ip: {{ component: {{extract-ip.wasm}} }}
sources:
  log-lines: {{ topic: {input}, start: {start} }}
steps:
  ip-lines: {{ from: log-lines, filter: only-ip }}
  by-ip: {{ from: ip-lines, map: extract-ip }}
  counts: {{ from: by-ip, group: key, window: {{ tumbling: 10s, grace: 2s }}, count: {{ format: text }}, emit: on-close, idle: {IDLE} }}
sinks:
  out: {{ from: counts, topic: {output}, key-format: kafka }}
",
        head = head(place, kafka),
        input = place.input(),
        output = place.output(),
    )
}
