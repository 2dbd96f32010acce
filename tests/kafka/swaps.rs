//! Functions swapped on a running fleet: each record is handled by exactly one version, each partition switches once for each
//! version, and all hosts end on the same one, whichever dies or moves meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use millstream_tests::host::{Host, surprises};
use millstream_tests::kafka::{Place, Sent};
use millstream_tests::padding::pad;
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::long;
use super::manifests::function;
use super::pipes::{CLASSIC, CONSUMER, Pipe, random, running, runs};

const PARTITIONS: u32 = 6;
/// Records a second while versions are swapped.
const PER_SECOND: usize = 3_000;
/// A record's timestamp; nothing here goes by it.
const TIME_MS: i64 = 1_619_879_400_000;
/// From a deploy to the last task that has switched, on the median.
const SWITCH_MAX: Duration = Duration::from_secs(1);

/// From the failure of a version to all hosts having the one before in force.
const BACK_MAX: Duration = Duration::from_secs(2);

/// Stamps each value with its version.
fn manifest(place: &Place) -> String {
    format!(
        "functions:
  keep: {{ component: {{keep-all.wasm}} }}
  stamp: {{ component: {{stamp-v1.wasm}} }}
sources:
  in: {{ topic: {} }}
steps:
  kept: {{ from: in, filter: keep }}
  stamped: {{ from: kept, map-values: stamp }}
sinks:
  out: {{ from: stamped, topic: {} }}
",
        place.input(),
        place.output()
    )
}

/// Partition and number in it of a record.
type Number = (u32, u64);

/// A pipeline that stamps, under load until it is told to stop.
struct Stamped {
    pipe: Pipe,
    stop: Arc<AtomicBool>,
    feeder: Option<JoinHandle<()>>,
}

impl Stamped {
    fn new(what: &str, kafka: &str) -> Self {
        Self::with(what, kafka, manifest)
    }

    fn with(what: &str, kafka: &str, manifest: impl FnOnce(&Place) -> String) -> Self {
        let pipe = Pipe::another(what, &["in", "out"], PARTITIONS, kafka, manifest);
        Self { pipe, stop: Arc::default(), feeder: None }
    }

    /// Writes `PARTITION:NUMBER`, numbered in each partition, until the end.
    fn feed(&mut self) {
        let (topic, stop) = (self.pipe.place.input(), self.stop.clone());
        let records = (0..).take_while(move |_| !stop.load(Ordering::Relaxed)).map(move |n: u32| Sent {
            topic: topic.clone(),
            partition: n % PARTITIONS,
            key: None,
            value: Some(format!("{}:{}", n % PARTITIONS, n / PARTITIONS).into_bytes()),
            timestamp: TIME_MS,
        });
        self.feeder = Some(self.pipe.trickle_records(records, PER_SECOND));
    }

    fn target(&self) -> String {
        format!("{}/stamp", self.pipe.place.name)
    }

    /// Deploys a version that stamps otherwise than the one before; what the command came to.
    fn deploy(&self, host: &Host, number: usize) -> Result<(), String> {
        let file = function(if number.is_multiple_of(2) { "stamp-v2" } else { "stamp-v1" });
        let said = host.cli(&["deploy", "--now", &self.target(), &file.to_string_lossy()]);
        if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
    }

    /// Ends the load and checks that each record came out once, stamped by the version that the history says.
    fn check(&mut self, host: &Host) {
        self.stop.store(true, Ordering::Relaxed);
        self.feeder.take().unwrap().join().unwrap();
        let (input, output) = (self.pipe.place.input(), self.pipe.place.output());
        let mut offsets: BTreeMap<Number, i64> = BTreeMap::new();
        let read = self.pipe.place.each_value(&input, PARTITIONS, |partition, offset, value| {
            // Poison for some filter; it is stamped like the others.
            if value != Some(b"trap") {
                let (of, number) = numbers(value);
                assert_eq!(of, partition);
                offsets.insert((partition, number), offset);
            }
        });
        read.unwrap();
        let results = eventually("all results are out", 120, || {
            let results = self.results(&output)?;
            if results.len() >= offsets.len() { Ok(results) } else { Err(format!("{} results", results.len())) }
        });
        let history = host.get("/v1/functions/stamp/history").unwrap();
        let switches = switches(&history);
        println!("{} records, {} versions", results.len(), switches.len());
        let mut seen: BTreeMap<Number, char> = BTreeMap::new();
        for (place, stamp) in results {
            assert_eq!(seen.insert(place, stamp), None, "{place:?} came out twice");
            let (partition, offset) = (place.0, offsets[&place]);
            let taken =
                |(_, at): &(&u64, &(char, BTreeMap<u32, i64>))| at.1.get(&partition).is_some_and(|at| *at <= offset);
            let (version, (expected, _)) = switches.iter().rev().find(taken).expect("a version handled it");
            assert_eq!(stamp, *expected, "{place:?} at offset {offset}: version {version}");
        }
        assert_eq!(seen.len(), offsets.len());
    }

    /// Place of each record in the input, and the version stamped on it.
    fn results(&self, output: &str) -> Result<Vec<(Number, char)>, String> {
        let mut out = Vec::new();
        let read = self.pipe.place.each_value(output, PARTITIONS, |_, _, value| {
            let text = value.unwrap();
            let stamp = char::from(text[1]);
            if &text[3..] != b"trap" {
                out.push((numbers(Some(&text[3..])), stamp));
            }
        });
        read.map_err(|why| format!("{why:#}"))?;
        Ok(out)
    }
}

fn numbers(value: Option<&[u8]>) -> Number {
    let (partition, number) = std::str::from_utf8(value.unwrap()).unwrap().split_once(':').unwrap();
    (partition.parse().unwrap(), number.parse().unwrap())
}

/// Of each version by number: what it stamps, and by partition the offset from which on it handled records.
fn switches(history: &Value) -> BTreeMap<u64, (char, BTreeMap<u32, i64>)> {
    let mut out = BTreeMap::new();
    for version in history["versions"].as_array().unwrap() {
        let mut places = BTreeMap::new();
        for switch in version["switches"].as_array().unwrap() {
            let offsets = switch["offsets"].as_object().unwrap();
            let offset = offsets.values().next().unwrap().as_i64().unwrap();
            let before = places.insert(switch["partition"].as_u64().unwrap() as u32, offset);
            assert_eq!(before, None, "a partition switches once for a version: {history}");
        }
        let stamp = if version["origin"].as_str().unwrap().contains("stamp-v2") { '2' } else { '1' };
        out.insert(version["number"].as_u64().unwrap(), (stamp, places));
    }
    out
}

/// Number and digest of the version in force, as a host has it.
fn in_force(host: &Host) -> Result<(u64, String), String> {
    let functions = host.get("/v1/functions")?;
    let version = &functions[1]["version"];
    Ok((version["number"].as_u64().ok_or("no version")?, version["digest"].as_str().unwrap_or_default().to_string()))
}

/// Waits until the history has so many switches to the version.
fn switched(host: &Host, version: u64, tasks: usize) {
    eventually(&format!("{tasks} tasks run version {version}"), 60, || {
        let history = host.get("/v1/functions/stamp/history")?;
        let switches = switches(&history);
        let there = switches.get(&version).map_or(0, |(_, places)| places.len());
        if there == tasks { Ok(()) } else { Err(format!("{there} do")) }
    });
}

/// Waits until all hosts have the same version in force; its number.
fn agree(hosts: &[&Host]) -> u64 {
    eventually("all hosts have the same version", 120, || {
        let all = hosts.iter().map(|host| in_force(host)).collect::<Result<Vec<_>, _>>()?;
        let deploying = hosts[0].get("/v1/functions")?[1]["deploying"].as_bool();
        if all.iter().all(|one| *one == all[0]) && deploying == Some(false) {
            Ok(all[0].0)
        } else {
            Err(format!("{all:?}, deploying {deploying:?}"))
        }
    })
}

/// Swaps in a row from any host, under load.
fn swaps_in_a_row(what: &str, kafka: &str) {
    let swaps = if long() { 50 } else { 6 };
    let mut stamped = Stamped::new(what, kafka);
    let hosts = ["a", "b", "c"].map(|name| stamped.pipe.start(name, &["--workers", "2"]));
    hosts.iter().for_each(|host| runs(host, PARTITIONS as usize / 3, 60));
    stamped.feed();
    let mut times = Vec::new();
    for number in 0..swaps {
        let began = Instant::now();
        stamped.deploy(&hosts[number % 3], number).unwrap();
        switched(&hosts[(number + 1) % 3], number as u64 + 2, PARTITIONS as usize);
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "{swaps} swaps; from the command to the last task: median {:?}, longest {:?}",
        times[swaps / 2],
        times[swaps - 1]
    );
    assert_eq!(agree(&hosts.each_ref()), swaps as u64 + 1);
    stamped.check(&hosts[0]);
    assert!(times[swaps / 2] <= SWITCH_MAX, "a swap took {:?} on the median", times[swaps / 2]);
    for (host, name) in hosts.into_iter().zip(["a", "b", "c"]) {
        assert!(host.stop().success());
        assert_eq!(surprises(&stamped.pipe.log(name), &[]), Vec::<String>::new());
    }
}

#[test]
fn every_record_is_handled_by_exactly_one_version_classic() {
    swaps_in_a_row("swaps", CLASSIC);
}

#[test]
fn every_record_is_handled_by_exactly_one_version_consumer() {
    swaps_in_a_row("swaps-new", CONSUMER);
}

/// Of two deploys at once one wins, the same everywhere, and the other is told; a file that is refused changes nothing; going back is
/// there on every host; a host that comes later, with another file in its manifest, comes up with what is in force.
#[test]
fn a_fleet_agrees_on_versions() {
    let mut stamped = Stamped::new("agree", CLASSIC);
    let (a, b) = (stamped.pipe.start("a", &[]), stamped.pipe.start("b", &[]));
    [&a, &b].into_iter().for_each(|host| runs(host, PARTITIONS as usize / 2, 60));
    stamped.feed();
    let ends = std::thread::scope(|scope| {
        let other = scope.spawn(|| stamped.deploy(&b, 0));
        [stamped.deploy(&a, 0), other.join().unwrap()]
    });
    let told = ends.iter().filter_map(|end| end.as_ref().err()).collect::<Vec<_>>();
    let won = 2 - told.len() as u64;
    assert!(won > 0 && told.iter().all(|why| why.contains("another")), "{told:?}");
    assert_eq!(agree(&[&a, &b]), 1 + won);
    let refused = a.cli(&["deploy", "--now", &stamped.target(), &function("only-ip").to_string_lossy()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("mapper") && said.contains("runs on"), "{said}");
    b.ok(&["rollback", &stamped.target()]);
    assert_eq!(agree(&[&a, &b]), 2 + won);
    let history = a.get("/v1/functions/stamp/history").unwrap();
    assert_eq!(history["rejected"].as_array().unwrap().len() as u64, 3 - won, "{history}");
    // A host of another manifest, whose file is not even there.
    let text = std::fs::read_to_string(stamped.pipe.manifest()).unwrap().replace("stamp-v1.wasm", "none.wasm");
    let manifest = stamped.pipe.manifest().with_file_name("other.yaml");
    std::fs::write(&manifest, text).unwrap();
    let c = Host::on_kafka(&manifest, &stamped.pipe.folder("c"), &[]);
    runs(&c, PARTITIONS as usize / 3, 60);
    assert_eq!(agree(&[&a, &b, &c]), 2 + won);
    stamped.deploy(&c, 0).unwrap();
    switched(&b, 3 + won, PARTITIONS as usize);
    let place = format!("{}:3:5", stamped.pipe.place.input());
    assert!(b.ok(&["history", &stamped.target(), "--at", &place]).contains("version 1 "));
    stamped.check(&c);
    for host in [a, b, c] {
        assert!(host.stop().success());
    }
}

/// While versions are deployed one host after the other is killed, and comes back; or one comes and goes.
fn disturbed(what: &str, kafka: &str, kill: bool) {
    let rounds = if long() { 50 } else { 3 };
    let mut stamped = Stamped::new(what, kafka);
    let names = ["a", "b", "c"];
    let mut hosts = names.map(|name| stamped.pipe.start(name, &[]));
    hosts.iter().for_each(|host| runs(host, PARTITIONS as usize / 3, 60));
    stamped.feed();
    let (mut seed, mut last) = (20_261_127, 1);
    for round in 0..rounds {
        let (victim, asked) = ((random(&mut seed) % 3) as usize, (random(&mut seed) % 3) as usize);
        let wait = Duration::from_millis(random(&mut seed) % 400);
        let url = hosts[asked].folder.clone();
        let said = std::thread::scope(|scope| {
            let stamped = &stamped;
            let deploy = scope.spawn(move || {
                let file = function(if round % 2 == 0 { "stamp-v2" } else { "stamp-v1" });
                let (file, folder) = (file.to_string_lossy().into_owned(), url.to_string_lossy().into_owned());
                millstream_tests::host::run(&["deploy", "--now", &stamped.target(), &file, "--local", &folder])
            });
            std::thread::sleep(wait);
            if kill {
                hosts[victim].kill_now();
                hosts[victim] = stamped.pipe.start(names[victim], &[]);
            } else {
                let extra = stamped.pipe.start("d", &["--leave-on-stop"]);
                eventually("it has tasks", 60, || match running(&extra).len() {
                    0 => Err("none".to_string()),
                    _ => Ok(()),
                });
                assert!(extra.stop().success());
            }
            deploy.join().unwrap()
        });
        let now = agree(&hosts.each_ref());
        assert!(now == last || now == last + 1, "one deploy, from version {last} to {now}");
        assert!(
            !said.status.success() || now == last + 1,
            "said to be in force: {}",
            String::from_utf8_lossy(&said.stdout)
        );
        last = now;
        switched(&hosts[0], now, PARTITIONS as usize);
    }
    println!("{rounds} rounds, {} versions came into force", last - 1);
    stamped.check(&hosts[0]);
    for host in hosts {
        assert!(host.stop().success());
    }
}

/// Versions that fail on their first record, or on one that comes later: nothing of the interval is seen, and the fleet goes back.
#[test]
fn a_fleet_goes_back_from_a_version_that_fails() {
    let rounds = if long() { 100 } else { 4 };
    let mut stamped = Stamped::new("fails", CLASSIC);
    let hosts = ["a", "b", "c"].map(|name| stamped.pipe.start(name, &["--workers", "2"]));
    hosts.iter().for_each(|host| runs(host, PARTITIONS as usize / 3, 60));
    stamped.feed();
    let target = format!("{}/keep", stamped.pipe.place.name);
    let versions = |host: &Host| -> Result<Vec<Value>, String> {
        let history = host.get("/v1/functions/keep/history")?;
        Ok(history["versions"].as_array().cloned().unwrap_or_default())
    };
    let mut times = Vec::new();
    for round in 0..rounds {
        let file = function(if round % 2 == 0 { "bad-trap-always" } else { "bad-trap" });
        hosts[round % 3].ok(&["deploy", "--now", &target, &file.to_string_lossy()]);
        if round % 2 == 1 {
            let topic = stamped.pipe.place.input();
            let poison = Sent { topic, partition: 1, key: None, value: Some(b"trap".into()), timestamp: TIME_MS };
            stamped.pipe.place.send(&[poison]).unwrap();
        }
        let began = Instant::now();
        for host in &hosts {
            eventually("it is gone back from", 30, || {
                let versions = versions(host)?;
                let last = versions.last().map(|v| v["back_from"].as_u64());
                if versions.len() == 3 + 2 * round && last == Some(Some(2 + 2 * round as u64)) {
                    Ok(())
                } else {
                    Err(format!("{versions:?}"))
                }
            });
        }
        times.push(began.elapsed());
        hosts.iter().for_each(|host| runs(host, PARTITIONS as usize / 3, 30));
    }
    times.sort();
    println!(
        "{rounds} versions failed; the fleet was back after {:?} on the median, {:?} at the longest",
        times[rounds / 2],
        times[rounds - 1]
    );
    assert!(times[rounds / 2] <= BACK_MAX, "{times:?}");
    stamped.check(&hosts[0]);
    for host in hosts {
        assert!(host.stop().success());
    }
}

/// Versions that fail on trial, always or on one record that comes while they are: no host takes them. One that is held goes on through
/// the death of a host, is told of by all, and promoted on any.
#[test]
fn a_version_on_trial_is_seen_nowhere() {
    let rounds = if long() { 50 } else { 2 };
    let mut stamped = Stamped::new("trial", CLASSIC);
    let names = ["a", "b", "c"];
    let mut hosts = names.map(|name| stamped.pipe.start(name, &["--workers", "2"]));
    hosts.iter().for_each(|host| runs(host, PARTITIONS as usize / 3, 60));
    stamped.feed();
    let target = format!("{}/keep", stamped.pipe.place.name);
    for round in 0..rounds {
        let (later, asked) = (round % 2 == 1, &hosts[round % 3]);
        let file = function(if later { "bad-trap" } else { "bad-trap-always" }).to_string_lossy().into_owned();
        let said = std::thread::scope(|scope| {
            let deploy = scope.spawn(|| asked.cli(&["deploy", &target, &file, "--probation", "60s"]));
            if later {
                hosts.iter().for_each(|host| tells(host, "keep", 1));
                let topic = stamped.pipe.place.input();
                let poison = Sent { topic, partition: 1, key: None, value: Some(b"trap".into()), timestamp: TIME_MS };
                stamped.pipe.place.send(&[poison]).unwrap();
            }
            deploy.join().unwrap()
        });
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("in its probation") && said.contains("trapped"), "{said}");
    }
    let file = function("stamp-v2").to_string_lossy().into_owned();
    hosts[0].ok(&["deploy", &stamped.target(), &file, "--shadow", "--replay", "300"]);
    // Each host takes the last records of its own partitions through again.
    eventually("records were taken through again", 60, || {
        let told = hosts[0].get("/v1/functions/stamp/probation")?;
        // Markers of the transactions that wrote them lie between.
        let some = 100..=300 + u64::from(PARTITIONS);
        let replayed = |trial: &Value| trial["replayed"].as_u64().is_some_and(|count| some.contains(&count));
        let all = told["hosts"].as_object().is_some_and(|all| all.len() == 3 && all.values().all(replayed));
        if all { Ok(()) } else { Err(told.to_string()) }
    });
    hosts[1].kill_now();
    hosts[1] = stamped.pipe.start(names[1], &["--workers", "2"]);
    hosts.iter().for_each(|host| tells(host, "stamp", 3));
    let report = hosts[2].ok(&["promote", &stamped.target(), "--report"]);
    assert!(report.contains("on trial on 3 hosts") && report.contains("outputs differ"), "{report}");
    let promoted = hosts[2].ok(&["promote", &stamped.target()]);
    assert!(promoted.contains("version 2 is in force"), "{promoted}");
    for host in &hosts {
        let history = host.get("/v1/functions/keep/history").unwrap();
        let (versions, rejected) = (&history["versions"], &history["rejected"]);
        assert_eq!((versions.as_array().unwrap().len(), rejected.as_array().unwrap().len()), (1, rounds), "{history}");
    }
    switched(&hosts[0], 2, PARTITIONS as usize);
    stamped.check(&hosts[0]);
    for host in hosts {
        assert!(host.stop().success());
    }
}

/// Waits until a host has a version of a function on trial, and knows what so many hosts see of it.
fn tells(host: &Host, function: &str, hosts: usize) {
    eventually(&format!("{hosts} hosts tell of `{function}`"), 60, || {
        let probation = host.get(&format!("/v1/functions/{function}/probation"))?;
        let told = probation["hosts"].as_object().map_or(0, serde_json::Map::len);
        if probation["open"] == true && told >= hosts { Ok(()) } else { Err(probation.to_string()) }
    });
}

#[test]
fn hosts_that_are_killed_during_deploys_end_on_the_same_version() {
    disturbed("deploy-kills", CLASSIC, true);
}

#[test]
fn tasks_that_move_during_deploys_never_go_back() {
    disturbed("deploy-moves", CONSUMER, false);
}

/// What no version needs any more is gone from the brokers and from the hosts' directories while records flow, also where it is deployed
/// at that moment again; hosts that come later, with nothing, come up.
#[test]
fn a_component_that_nothing_needs_is_collected_on_all_hosts() {
    let mut stamped = Stamped::with("collect", CLASSIC, |place| format!("keep-components: 1s\n{}", manifest(place)));
    let hosts = ["a", "b"].map(|name| stamped.pipe.start(name, &[]));
    hosts.iter().for_each(|host| runs(host, PARTITIONS as usize / 2, 60));
    stamped.feed();
    let history = |host: &Host| host.get("/v1/functions/stamp/history");
    let collected = |host: &Host| -> Result<Vec<u64>, String> {
        let gone = |version: &Value| version["collected"].as_i64().and(version["number"].as_u64());
        Ok(history(host)?["versions"].as_array().into_iter().flatten().filter_map(gone).collect())
    };
    let digest = history(&hosts[0]).unwrap()["versions"][0]["digest"].as_str().unwrap().to_string();
    stamped.deploy(&hosts[0], 0).unwrap();
    let other = stamped.pipe.manifest().with_file_name("stamp-v1-other.wasm");
    pad(&function("stamp-v1"), &other, 10, 1).unwrap();
    hosts[1].ok(&["deploy", "--now", &stamped.target(), &other.to_string_lossy()]);
    let copies = |digest: &str| {
        let file = |name: &str| stamped.pipe.folder(name).join("modules").join(format!("{digest}.wasm"));
        ["a", "b"].map(|name| file(name).exists())
    };
    eventually("version 1 is collected", 30, || {
        match (collected(&hosts[0])?, collected(&hosts[1])?, copies(&digest)) {
            (a, b, [false, false]) if a == [1] && b == [1] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let modules = format!("{}-modules", stamped.pipe.place.name);
    let chunks = || {
        let mut chunks: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        let read = stamped.pipe.place.each_record(&modules, 1, |key, value, _| {
            chunks.insert(key.unwrap().to_vec(), value.is_some());
            Ok(())
        });
        read.unwrap();
        let of_first = chunks.iter().filter(|(key, _)| key.starts_with(digest.as_bytes()));
        of_first.map(|(_, there)| *there).collect::<Vec<_>>()
    };
    eventually("its chunks are removed", 30, || match chunks()[..] {
        [false] => Ok(()),
        _ => Err(format!("{:?}", chunks())),
    });
    // The same bytes once more: they are there, whoever removes the first ones again.
    hosts[0].ok(&["deploy", "--now", &stamped.target(), &function("stamp-v1").to_string_lossy()]);
    let mut both = chunks();
    both.sort_unstable();
    assert_eq!(both, [false, true]);
    let third = stamped.pipe.start("c", &[]);
    runs(&third, PARTITIONS as usize / 3, 60);
    assert_eq!(agree(&[&hosts[0], &hosts[1], &third]), 4);
    stamped.check(&third);
    for host in hosts.into_iter().chain([third]) {
        assert!(host.stop().success());
    }
    for name in ["a", "b", "c"] {
        // A broker that has just begun is asked again.
        assert_eq!(surprises(&stamped.pipe.log(name), &["Coordinator load in progress"]), Vec::<String>::new());
    }
}

/// Bytes of a large component, nearly all of which no compression makes less of: more chunks than one message could hold.
const LARGE_BYTES: usize = 40 << 20;

/// From the command to the last host that has it, of a large component.
const LARGE_MAX: Duration = Duration::from_secs(60);

/// A component of tens of megabytes is taken by all hosts while records flow, and by one that comes later.
#[test]
fn a_large_component_is_deployed_on_all_hosts() {
    let mut stamped = Stamped::new("large", CLASSIC);
    let hosts = ["a", "b"].map(|name| stamped.pipe.start(name, &[]));
    hosts.iter().for_each(|host| runs(host, PARTITIONS as usize / 2, 60));
    stamped.feed();
    let file = stamped.pipe.manifest().with_file_name("stamp-v2-large.wasm");
    pad(&function("stamp-v2"), &file, LARGE_BYTES, 7).unwrap();
    let began = Instant::now();
    hosts[0].ok(&["deploy", "--now", &stamped.target(), &file.to_string_lossy()]);
    assert_eq!(agree(&hosts.each_ref()), 2);
    switched(&hosts[1], 2, PARTITIONS as usize);
    let took = began.elapsed();
    println!("{} MiB: from the command to the last task {took:?}", LARGE_BYTES >> 20);
    let third = stamped.pipe.start("c", &[]);
    runs(&third, PARTITIONS as usize / 3, 60);
    assert_eq!(agree(&[&hosts[0], &hosts[1], &third]), 2);
    stamped.check(&third);
    assert!(took <= LARGE_MAX, "it took {took:?}");
    for host in hosts.into_iter().chain([third]) {
        assert!(host.stop().success());
    }
}
