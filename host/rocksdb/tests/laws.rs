//! The laws of the storage port on RocksDB, and what a folder must survive.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use millstream_core::state::keyspace::{Durability, Keyspaces, Scan, SpaceKind, Write};
use millstream_rocksdb::{Database, OpenError, Options, SharedMemory};

fn open(path: &Path) -> Result<Database, OpenError> {
    Database::open(path, Options::default())
}

#[test]
fn rocksdb_keeps_the_laws() {
    let dir = tempfile::tempdir().unwrap();
    millstream_core::state::laws::check(&open(dir.path()).unwrap());
}

#[test]
fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let large = vec![7u8; 100_000];
    {
        let db = open(dir.path()).unwrap();
        let (state, log) = (db.open_space("s", SpaceKind::State).unwrap(), db.open_space("l", SpaceKind::Log).unwrap());
        let writes =
            vec![Write::Put(state, b"k".to_vec(), b"v".to_vec()), Write::Put(log, b"0".to_vec(), large.clone())];
        db.apply(writes, Durability::Device).unwrap();
    }
    let db = open(dir.path()).unwrap();
    let (log, state) = (db.open_space("l", SpaceKind::Log).unwrap(), db.open_space("s", SpaceKind::State).unwrap());
    assert_eq!(db.get(state, b"k").unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(db.get(log, b"0").unwrap(), Some(large));
}

#[test]
fn a_folder_in_use_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let _held = open(dir.path()).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
}

#[test]
fn folders_of_others_and_of_later_versions_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "x").unwrap();
    assert!(matches!(open(dir.path()).err().unwrap(), OpenError::Foreign(_)));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("MILLSTREAM"), "format 99\n").unwrap();
    let error = open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("format 99") && error.contains("up to 1"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written into it");
}

#[test]
fn damage_is_told_and_nothing_is_wiped() {
    let dir = tempfile::tempdir().unwrap();
    {
        let db = open(dir.path()).unwrap();
        let s = db.open_space("s", SpaceKind::State).unwrap();
        db.apply(vec![Write::Put(s, b"k".to_vec(), b"v".to_vec())], Durability::Device).unwrap();
    }
    let manifest = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
    let manifest =
        manifest.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("MANIFEST")).last().unwrap();
    fs::write(&manifest, b"not a manifest").unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(fs::read(&manifest).unwrap(), b"not a manifest");
    fs::remove_file(dir.path().join("CURRENT")).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "no empty one is begun in its place: {error}");
}

/// Runs this test's own program again as the child that is killed; see `Command::new(current_exe)` below.
#[test]
fn a_killed_process_leaves_whole_batches() {
    if let Ok(path) = std::env::var("MILLSTREAM_TEST_CRASH_DIR") {
        write_until_killed(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_process_leaves_whole_batches"])
            .env("MILLSTREAM_TEST_CRASH_DIR", dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(400 + 130 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let db = open(dir.path()).unwrap();
        let (a, b) = (db.open_space("a", SpaceKind::State).unwrap(), db.open_space("b", SpaceKind::Log).unwrap());
        let count = |s| {
            let mut n = 0u64;
            db.scan(s, b"", None, &mut |_, _| {
                n += 1;
                Scan::Continue
            })
            .unwrap();
            n
        };
        assert_eq!(count(a), count(b), "both halves of every batch");
        assert!(count(a) > 0, "the child wrote something");
    }
}

fn write_until_killed(path: &Path) {
    let db: Arc<dyn Keyspaces> = Arc::new(open(path).unwrap());
    let (a, b) = (db.open_space("a", SpaceKind::State).unwrap(), db.open_space("b", SpaceKind::Log).unwrap());
    let mut next =
        db.last(a, b"", &[0xff; 9]).unwrap().map_or(0, |(k, _)| u64::from_be_bytes(k.try_into().unwrap()) + 1);
    loop {
        let key = next.to_be_bytes().to_vec();
        let writes = vec![Write::Put(a, key.clone(), vec![1]), Write::Put(b, key, vec![2; 10_000])];
        db.apply(writes, Durability::Process).unwrap();
        next += 1;
    }
}

#[test]
fn the_laws_hold_without_a_write_ahead_log() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { wal: false, ..Options::default() };
    millstream_core::state::laws::check(&Database::open(dir.path(), options).unwrap());
}

#[test]
fn databases_share_their_memory_and_what_is_flushed_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { wal: false, ..Options::default() };
    let shared = Arc::new(SharedMemory::new(&options));
    let open = |name: &str| Database::open_sharing(&folder.path().join(name), options, shared.clone()).unwrap();
    let (one, two) = (open("one"), open("two"));
    for db in [&one, &two] {
        let space = db.open_space("s", SpaceKind::State).unwrap();
        let put = |i: u32| Write::Put(space, i.to_be_bytes().to_vec(), vec![7; 1 << 10]);
        db.apply((0..2_000).map(put).collect(), Durability::Process).unwrap();
    }
    assert!(one.memory_bytes() >= 4_000 << 10, "both count: {}", one.memory_bytes());
    assert_eq!(one.memory_bytes(), two.memory_bytes());
    one.flush().unwrap();
    let copied = || {
        // As a killed process leaves it.
        let copy = tempfile::tempdir_in(folder.path()).unwrap();
        for entry in std::fs::read_dir(folder.path().join("one")).unwrap() {
            let from = entry.unwrap().path();
            let _gone_meanwhile = std::fs::copy(&from, copy.path().join(from.file_name().unwrap()));
        }
        let db = Database::open(copy.path(), options).unwrap();
        let space = db.open_space("s", SpaceKind::State).unwrap();
        db.get(space, &1_999u32.to_be_bytes()).unwrap().is_some()
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !copied() {
        assert!(std::time::Instant::now() < until, "nothing was flushed");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
