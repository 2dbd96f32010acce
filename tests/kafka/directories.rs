//! State directories that are not what they were: old, damaged, of somebody else, in use, copied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use millstream_kafka::admin::TopicSpec;
use millstream_test_broker::Cluster;
use millstream_tests::host::run;
use millstream_tests::wait::eventually;

use super::pipes::{CLASSIC, CONSUMER, Pipe, runs};

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let done = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// Folders of the tasks with state of a state directory, by name.
fn tasks(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder.join("tasks")).unwrap().map(|entry| entry.unwrap());
    let all = all.filter(|entry| entry.file_name().to_string_lossy().starts_with("counts"));
    let mut all: Vec<_> = all.map(|entry| entry.path()).collect();
    all.sort();
    all
}

/// Changes one byte in the middle of every table of a database.
fn flip(task: &Path) {
    let tables = fs::read_dir(task).unwrap().map(|entry| entry.unwrap().path());
    let tables: Vec<_> = tables.filter(|path| path.extension().is_some_and(|e| e == "sst")).collect();
    assert!(!tables.is_empty(), "{} has no tables", task.display());
    for table in tables {
        let mut bytes = fs::read(&table).unwrap();
        // The first block: what comes later may be an index that nobody reads.
        bytes[8] ^= 1;
        fs::write(&table, bytes).unwrap();
    }
}

/// Old state is brought up to date, damaged state is set aside and built anew, and results are right.
#[test]
fn old_and_damaged_states_come_right() {
    let (n, partitions) = (120_000, 3);
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), "states", partitions, CLASSIC);
    let folder = pipe.folder("a");
    let stage = |from: usize, to: usize| {
        let host = pipe.start("a", &[]);
        pipe.fill_part(from, to);
        pipe.compare(to, 60);
        assert!(host.stop().success());
    };
    stage(0, n / 4);
    let old = folder.with_extension("old");
    copy(&folder, &old);
    stage(n / 4, n / 2);
    copy(&old, &folder);
    stage(n / 2, n * 3 / 4);
    assert!(pipe.told("a", "built anew").is_empty(), "an old state is brought up to date");
    let all = tasks(&folder);
    fs::remove_file(all[0].join("CURRENT")).unwrap();
    flip(&all[1]);
    flip(&all[2]);
    stage(n * 3 / 4, n);
    let told = pipe.told("a", "built anew");
    for task in &all {
        let name = task.file_name().unwrap().to_string_lossy();
        let says = |line: &serde_json::Value| line["fields"]["task"].as_str().is_some_and(|t| t.ends_with(&*name));
        assert!(told.iter().any(says), "nothing is said of {name}: {told:?}");
        let is_kept = |path: &PathBuf| path.to_string_lossy().contains(&format!("{name}.set-aside"));
        assert!(tasks(&folder).iter().any(is_kept), "{name} is not kept for whoever wants to look at it");
    }
}

/// What a host says that cannot start.
fn refused(pipe: &Pipe, folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    let manifest = pipe.manifest().to_string_lossy();
    let output = run(&["run", &manifest, "--state-dir", &folder, "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Internal topics that are gone are not made anew under a pipeline that has committed what was in them; a state that is made from a
/// changelog that is gone is not built on.
#[test]
fn what_was_in_internal_topics_is_not_lost_without_a_word() {
    let (n, partitions) = (20_000, 2);
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), "gone", partitions, CLASSIC);
    pipe.fill(n);
    let host = pipe.start("a", &["--leave-on-stop"]);
    pipe.compare(n, 60);
    assert!(host.stop().success());
    let admin = pipe.place.admin().unwrap();
    let internal = [pipe.place.changelog("counts"), format!("{}-counts-repartition", pipe.place.name)];
    for topic in &internal {
        let info = admin.describe(&[topic]).unwrap()[topic].clone().unwrap();
        admin.delete(&[topic]).unwrap();
        eventually("the topic is gone", 20, || match admin.describe(&[topic]) {
            Ok(found) if found[topic].is_none() => Ok(()),
            other => Err(format!("{other:?}")),
        });
        for folder in ["a", "b"] {
            let said = refused(&pipe, &pipe.folder(folder));
            assert!(said.contains(&format!("`{topic}` is gone")) && said.contains("millstream reset"), "{said}");
        }
        let spec = match topic.ends_with("-changelog") {
            true => TopicSpec::changelog(topic, info.partitions),
            false => TopicSpec::repartition(topic, info.partitions),
        };
        admin.create(&[spec]).unwrap();
    }
    let host = pipe.start("a", &["--leave-on-stop"]);
    eventually("it is told", 30, || match pipe.told("a", "built anew").len() {
        2 => Ok(()),
        other => Err(format!("{other} tasks are built anew")),
    });
    assert!(host.stop().success());
}

#[test]
fn directories_of_others_and_in_use_are_refused() {
    let bootstrap = Cluster::shared().bootstrap();
    let (one, other) = (Pipe::new(&bootstrap, "one", 1, CLASSIC), Pipe::new(&bootstrap, "other", 1, CLASSIC));
    let host = one.start("a", &[]);
    let said = refused(&one, &one.folder("a"));
    assert!(said.contains("in use by another process") && said.contains("--state-dir"), "{said}");
    assert!(host.stop().success());
    let said = refused(&other, &one.folder("a"));
    let named = said.contains(&one.place.name) && said.contains(&other.place.name);
    assert!(named && said.contains("--state-dir"), "{said}");
    let foreign = one.folder("thesis");
    fs::create_dir_all(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "x").unwrap();
    let said = refused(&one, &foreign);
    assert!(said.contains("thesis.tex") && said.contains("no state directory"), "{said}");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1, "nothing was written into it");
}

/// Two hosts on copies of one directory: the group knows them by one name and lets one of them in.
fn a_copied_directory_is_told_of(what: &str, kafka: &str, says: &[&str]) {
    let (n, partitions) = (30_000, 2);
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), what, partitions, kafka);
    let first = pipe.start("a", &[]);
    runs(&first, 4, 60);
    let filler = pipe.trickle(n, 2_500);
    copy(&pipe.folder("a"), &pipe.folder("b"));
    let second = pipe.start("b", &[]);
    eventually("it is told", 30, || {
        let told = ["a", "b"].map(|host| fs::read_to_string(pipe.log(host)).unwrap_or_default());
        match says.iter().find(|part| !told.iter().any(|log| log.contains(**part))) {
            None => Ok(()),
            Some(part) => Err(format!("nobody says {part:?}")),
        }
    });
    filler.join().unwrap();
    pipe.compare(n, 60);
    drop(first);
    drop(second);
}

#[test]
fn a_copied_directory_is_told_of_classic() {
    let says = ["another process has joined with the same host id", "must not share a state directory"];
    a_copied_directory_is_told_of("copied", CLASSIC, &says);
}

#[test]
fn a_copied_directory_is_told_of_consumer() {
    a_copied_directory_is_told_of("copied-new", CONSUMER, &["an earlier process with this host id"]);
}

/// Members without a name are both let in, and take each other's transactional ids over until one of them sees what it is.
#[test]
fn hosts_with_one_copied_directory_do_not_fight_for_ever() {
    // They fight as long as there is something to commit, each time for a second or two.
    let (n, per_second, partitions) = (60_000, 2_000, 2);
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), "fight", partitions, CLASSIC);
    let leave = &["--leave-on-stop", "--workers", "1"];
    let first = pipe.start("a", leave);
    runs(&first, 4, 60);
    let filler = pipe.trickle(n, per_second);
    copy(&pipe.folder("a"), &pipe.folder("b"));
    let second = pipe.start("b", leave);
    let both = ["a", "b"];
    eventually("one of them ends", 60, || {
        let ended = both.iter().any(|host| !pipe.told(host, "the host cannot go on").is_empty());
        if ended { Ok(()) } else { Err("they fight".to_string()) }
    });
    filler.join().unwrap();
    pipe.compare(n, 60);
    for host in both {
        let told = pipe.told(host, "fenced: another producer has taken over");
        assert!(told.len() > 1, "{host} says nothing: {told:?}");
    }
    let reason = both.iter().flat_map(|host| pipe.told(host, "the host cannot go on")).next().unwrap();
    assert!(reason.to_string().contains("copy of this host's state directory"), "{reason}");
    drop(first);
    drop(second);
}
