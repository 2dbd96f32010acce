//! Components that no version needs any more: they are gone after their time, everybody is told so, and the same file can be deployed again.

use millstream::runtime::folder::Folder;
use millstream_core::state::keyspace::{Keyspaces, Scan, SpaceKind};
use millstream_tests::host::Host;
use millstream_tests::padding::pad;
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::manifests::{Place, function, stamped};

/// `stamped` with components that are kept for so short a time.
fn short() -> Place {
    let place = stamped(1);
    let text = std::fs::read_to_string(&place.manifest).unwrap();
    std::fs::write(&place.manifest, format!("keep-components: 1s\n{text}")).unwrap();
    place
}

fn versions(host: &Host) -> Vec<Value> {
    let history = host.get("/v1/functions/stamp/history").unwrap();
    history["versions"].as_array().cloned().unwrap_or_default()
}

/// Numbers of the versions that were collected.
fn collected(host: &Host) -> Vec<u64> {
    let gone = |version: &Value| version["collected"].as_i64().and(version["number"].as_u64());
    versions(host).iter().filter_map(gone).collect()
}

fn said(host: &Host, args: &[&str]) -> String {
    let said = host.cli(args);
    assert!(!said.status.success(), "{args:?}");
    String::from_utf8_lossy(&said.stderr).into_owned()
}

/// How often a component is in the database of a folder that no host has open.
fn kept(place: &Place, digest: &str) -> usize {
    let folder = Folder::open(&place.folder).unwrap();
    let space = folder.db.open_space("modules", SpaceKind::Log).unwrap();
    let mut found = 0;
    let mut take = |key: &[u8], _: &[u8]| {
        found += usize::from(key.starts_with(digest.as_bytes()));
        Scan::Continue
    };
    folder.db.scan(space, &[], None, &mut take).unwrap();
    found
}

#[test]
fn a_component_that_nothing_needs_is_collected_and_can_be_deployed_again() {
    let place = short();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let other = place.folder.with_extension("wasm");
    pad(&function("stamp-v1"), &other, 10, 1).unwrap();
    let (first, second) = (function("stamp-v1"), function("stamp-v2"));
    let deploy = |host: &Host, file: &std::path::Path| {
        host.ok(&["deploy", "--now", "stamped/stamp", &file.to_string_lossy()]);
    };
    deploy(&host, &second);
    // Twice as long as it would be kept.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(collected(&host), [0; 0], "the one before stays");
    deploy(&host, &other);
    eventually("version 1 is collected", 30, || match collected(&host)[..] {
        [1] => Ok(()),
        _ => Err(format!("{:?}", versions(&host))),
    });
    assert!(said(&host, &["rollback", "stamped/stamp", "--to", "1"]).contains("version 1 of `stamp` was collected"));
    assert!(said(&host, &["functions", "show", "stamped/stamp", "--version", "1"]).contains("deploy its file again"));
    assert!(host.ok(&["history", "stamped/stamp"]).contains("its component is kept no longer"));
    let digest = versions(&host)[0]["digest"].as_str().unwrap().to_string();
    host.ok(&["rollback", "stamped/stamp"]);
    // The log says it first; the bytes go with the host's next look, which is some hundred milliseconds away.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(host.stop().success());
    assert_eq!(kept(&place, &digest), 0);
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    assert_eq!((versions(&host).len(), collected(&host)), (4, vec![1]));
    deploy(&host, &first);
    assert!(said(&host, &["rollback", "stamped/stamp", "--to", "5"]).contains("in force already"));
    deploy(&host, &second);
    // What was collected and is kept again can be gone back to by both its numbers.
    host.ok(&["rollback", "stamped/stamp", "--to", "1"]);
    assert!(host.stop().success());
    assert_eq!(kept(&place, &digest), 1);
}
