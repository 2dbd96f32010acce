//! The components that the demo embeds do what their sources do: rebuilt ones give the same results for the same records.

use std::fs;
use std::path::Path;

use millstream_tests::access::lines;
use millstream_tests::host::{functions, run};

/// The access-log example with functions from a folder; the count is the sample's, not the built-in one.
fn manifest(folder: &Path, extract: &str) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        "pipeline: prebuilt
functions:
  only-ip: {{ component: {} }}
  extract: {{ component: {} }}
  count: {{ component: {} }}
sources:
  in: {{ topic: in, on-error: skip }}
steps:
  kept: {{ from: in, filter: only-ip, on-error: skip }}
  by-ip: {{ from: kept, map: extract, on-error: {{ dead-letter: dead }} }}
  counts: {{ from: by-ip, group: key, window: {{ tumbling: 10s, grace: 2s }}, aggregate: count, emit: on-close }}
sinks:
  out: {{ from: counts, topic: out }}
",
        file("only-ip.wasm"),
        file(extract),
        file("count.wasm"),
    )
}

fn results(temporary: &Path, folder: &Path, extract: &str, input: &Path) -> String {
    let path = temporary.join("pipeline.yaml");
    fs::write(&path, manifest(folder, extract)).unwrap();
    let output = run(&["test", &path.to_string_lossy(), "--input", &input.to_string_lossy(), "--flush", "--windowed"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn prebuilt_components_behave_as_their_sources() {
    let temporary = tempfile::tempdir().unwrap();
    let input = temporary.path().join("records.jsonl");
    let odd = ["", "IP:", "[2021-05-01 14:30:00] IP: ", "[2021-13-01 14:30:00] IP: 1.1.1.1, x", "no address"];
    let all = lines(3_000, 50).chain(odd.map(str::to_string));
    let records: String =
        all.map(|line| serde_json::json!({ "value": line, "timestamp": 1 }).to_string() + "\n").collect();
    fs::write(&input, records).unwrap();
    let prebuilt = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../udfs/prebuilt"));
    for (extract, key) in [("extract-ip.wasm", "\"192.168.0."), ("extract-ip-masked.wasm", "\"192.168.0.0/24\"")] {
        let ours = results(temporary.path(), prebuilt, extract, &input);
        assert!(ours.lines().count() > 2 && ours.contains(key), "{extract}: {ours}");
        assert!(ours.contains("\"topic\":\"dead\""), "lines that do not parse are dead letters: {ours}");
        assert_eq!(ours, results(temporary.path(), &functions(), extract, &input), "{extract}");
    }
}
