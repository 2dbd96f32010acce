//! What operators do with hosts on Kafka: pausing and going on, starting over, looking at metrics and status; and what they are told
//! of what is not there.

use std::fs;
use std::process::Output;

use millstream_kafka::fetch::TopicPartition;
use millstream_test_broker::Cluster;
use millstream_tests::host::{Host, run};
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::pipes::{CLASSIC, Pipe, runs};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A host's metrics.
fn metrics(host: &Host) -> String {
    let mut answer = ureq::get(format!("{}/metrics", host.url)).call().unwrap();
    answer.body_mut().read_to_string().unwrap()
}

/// Sum of the values of a metric's lines that hold `part`.
fn sum(metrics: &str, name: &str, part: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name) && line.contains(part));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn committed(pipe: &Pipe) -> i64 {
    let all: Vec<_> = (0..pipe.partitions).map(|p| TopicPartition::new(pipe.place.input(), p as i32)).collect();
    let found = pipe.place.admin().unwrap().committed(&pipe.place.name, &all).unwrap();
    found.values().map(|one| one.offset).sum()
}

/// A paused host commits what is done and then nothing, keeps its tasks, is ready, also after a restart; resumed it does the rest.
#[test]
fn a_paused_host_takes_nothing_and_loses_nothing() {
    let (n, partitions) = (20_000, 2);
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), "paused", partitions, CLASSIC);
    let host = pipe.start("a", &[]);
    runs(&host, 4, 60);
    pipe.fill_part(0, n / 2);
    eventually("something is committed", 30, || if committed(&pipe) > 0 { Ok(()) } else { Err("nothing".into()) });
    let said = host.ok(&["pause", &pipe.place.name]);
    assert!(said.contains("paused"), "{said}");
    let at = committed(&pipe);
    pipe.fill_part(n / 2, n);
    assert_eq!(host.get("/readyz").unwrap()["state"], "paused");
    let status = host.ok(&["status", &pipe.place.name]);
    assert!(status.contains("PAUSED") && status.contains("millstream resume"), "{status}");
    let told = metrics(&host);
    assert_eq!(sum(&told, "millstream_tasks", "state=\"paused\""), 4.0, "{told}");
    assert!(sum(&told, "millstream_task_lag_records", &pipe.place.input()) >= (n / 2) as f64, "{told}");
    assert!(host.stop().success());
    let host = pipe.start("a", &[]);
    eventually("its tasks are back, and paused", 60, || {
        let paused = sum(&metrics(&host), "millstream_tasks", "state=\"paused\"");
        if paused == 4.0 { Ok(()) } else { Err(format!("{paused} are paused")) }
    });
    assert_eq!(committed(&pipe), at, "a paused host commits nothing");
    let said = host.ok(&["resume", &pipe.place.name]);
    assert!(said.contains("running"), "{said}");
    pipe.compare(n, 60);
    assert!(host.stop().success());
}

fn reset(pipe: &Pipe, host: &str, more: &[&str]) -> Output {
    let (manifest, folder) = (pipe.manifest().to_string_lossy(), pipe.folder(host));
    let folder = folder.to_string_lossy();
    run(&[&["reset", &*manifest, "--state-dir", &*folder], more].concat())
}

/// What a reset would delete.
fn planned(pipe: &Pipe, host: &str) -> Value {
    let output = reset(pipe, host, &["--dry-run", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {output:?}"))
}

/// A pipeline that is started over does everything once more, from empty states.
#[test]
fn a_reset_starts_over_and_leaves_what_is_the_users() {
    let (n, partitions) = (20_000, 2);
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), "reset", partitions, CLASSIC);
    pipe.fill(n);
    let host = pipe.start("a", &["--leave-on-stop"]);
    pipe.compare(n, 60);
    let refused = reset(&pipe, "b", &["--yes"]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("has members: millstream-"), "{said}");
    let used = reset(&pipe, "a", &["--dry-run"]);
    assert!(!used.status.success() && text(&used.stderr).contains("in use"), "{used:?}");
    assert!(host.stop().success());
    let plan = &planned(&pipe, "a")["plan"];
    let names: Vec<&str> = plan["topics"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.contains(&pipe.place.changelog("counts").as_str()) && names.len() == 2, "{names:?}");
    assert!(plan["folders"].as_array().unwrap().len() >= 2 && plan["offsets"].as_u64() > Some(0), "{plan}");
    let unasked = reset(&pipe, "a", &[]);
    assert_eq!(unasked.status.code(), Some(2), "{unasked:?}");
    assert!(text(&unasked.stderr).contains("--yes"), "{unasked:?}");
    assert_eq!(&planned(&pipe, "a")["plan"], plan, "nothing was deleted");
    let done = reset(&pipe, "a", &["--yes"]);
    assert!(done.status.success() && text(&done.stdout).contains("deleted"), "{done:?}");
    let again = reset(&pipe, "a", &["--yes", "--json"]);
    let answer: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((answer["plan"]["offsets"].as_u64(), answer["done"].as_bool()), (Some(0), Some(true)), "{answer}");
    assert_eq!(fs::read_dir(pipe.folder("a").join("tasks")).unwrap().count(), 0);
    assert!(pipe.folder("a").join("host-id").exists(), "the host keeps its name");
    assert_eq!(pipe.place.bytes(&pipe.place.input(), partitions).unwrap().len(), partitions as usize);
    // The same results once more: each window is there twice then, which is what reading them complains of.
    let host = pipe.start("a", &["--leave-on-stop"]);
    eventually("results come once more", 60, || match pipe.place.results(partitions) {
        Err(why) if why.to_string().contains("came out twice") => Ok(()),
        other => Err(format!("{:?}", other.map(|counts| counts.len()))),
    });
    assert_eq!(host.get("/v1/tasks").unwrap().as_array().unwrap().len(), 4);
    assert!(host.stop().success());
}

/// A reset that was broken off keeps hosts from starting, and goes on where it was.
#[test]
fn a_reset_that_was_broken_off_is_run_to_its_end() {
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), "half", 1, CLASSIC);
    pipe.fill(100);
    let host = pipe.start("a", &["--leave-on-stop"]);
    runs(&host, 2, 60);
    assert!(host.stop().success());
    let admin = pipe.place.admin().unwrap();
    let name = format!("{}-reset", pipe.place.name);
    let mark = millstream_kafka::admin::TopicSpec {
        name,
        partitions: 1,
        replication_factor: None,
        settings: Default::default(),
    };
    admin.create(&[mark]).unwrap();
    let (manifest, folder) = (pipe.manifest().to_string_lossy().into_owned(), pipe.folder("a"));
    let refused = run(&["run", &manifest, "--state-dir", &folder.to_string_lossy(), "--listen", "127.0.0.1:0"]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("broken off") && said.contains("millstream reset"), "{said}");
    assert_eq!(planned(&pipe, "a")["plan"]["half_done"], true);
    assert!(reset(&pipe, "a", &["--yes"]).status.success());
    let host = pipe.start("a", &["--leave-on-stop"]);
    runs(&host, 2, 60);
    assert!(host.stop().success());
}

/// Metrics and status of a host that restores, and what is not there is told as that.
#[test]
fn what_happens_is_counted_and_what_is_missing_is_said() {
    let (n, partitions) = (20_000, 2);
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), "counted", partitions, CLASSIC);
    let host = pipe.start("a", &["--leave-on-stop"]);
    runs(&host, 4, 60);
    pipe.fill(n);
    pipe.compare(n, 60);
    let told = metrics(&host);
    assert!(sum(&told, "millstream_commit_outcomes_total", "committed") > 0.0, "{told}");
    assert!(sum(&told, "millstream_rebalances_total", "assigned") > 0.0, "{told}");
    assert!(sum(&told, "millstream_memory_bytes", "state-caches") > 0.0, "{told}");
    assert_eq!(sum(&told, "millstream_tasks", "running"), 4.0, "{told}");
    assert!(told.contains("millstream_ends_age_seconds") && told.contains("partition=\"1\""), "{told}");
    let function = format!("{}/extract-ip", pipe.place.name);
    let history = host.ok(&["history", &function]);
    assert!(history.contains(&format!("from {}:0:0 (task 0_0)", pipe.place.input())), "{history}");
    let at = host.ok(&["history", &function, "--at", &format!("{}:0:5", pipe.place.input())]);
    assert!(at.contains("was handled by version 1 "), "{at}");
    let rolled = host.cli(&["rollback", &function]);
    assert!(!rolled.status.success() && text(&rolled.stderr).contains("no earlier version"), "{rolled:?}");
    let produced = host.cli(&["consume", &pipe.place.output()]);
    assert!(!produced.status.success() && text(&produced.stderr).contains("Kafka's own tools"), "{produced:?}");
    assert!(host.stop().success());
    // A host that never had the tasks replays their changelogs, and counts what.
    let host = pipe.start("b", &["--leave-on-stop"]);
    runs(&host, 4, 60);
    let told = metrics(&host);
    let replayed: u64 = pipe.restored("b").iter().map(|(_, bytes)| bytes).sum();
    assert!(replayed > 0 && sum(&told, "millstream_restored_bytes_total", "") == replayed as f64, "{replayed}: {told}");
    assert!(sum(&told, "millstream_restored_records_total", "") > 0.0, "{told}");
    assert!(host.stop().success());
}
