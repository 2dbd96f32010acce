//! Manifests that several promises are tried with, and the folder they stand in.

use std::fs;
use std::path::{Path, PathBuf};

use millstream_tests::host::functions;
use tempfile::TempDir;

/// Milliseconds between commits of the pipelines here.
pub const COMMIT_INTERVAL_MS: u64 = 100;

/// A folder of one test: its manifest and, below it, the host's folder.
pub struct Place {
    _temporary: TempDir,
    /// The manifest.
    pub manifest: PathBuf,
    /// The host's folder.
    pub folder: PathBuf,
}

impl Place {
    /// A place with this manifest. `{NAME.wasm}` stands for the path of a sample function.
    pub fn new(manifest: &str) -> Self {
        let temporary = tempfile::Builder::new().prefix("millstream-e2e-").tempdir().expect("make a folder");
        let path = temporary.path().join("pipeline.yaml");
        fs::write(&path, with_functions(manifest)).expect("write the manifest");
        Self { manifest: path, folder: temporary.path().join("state"), _temporary: temporary }
    }

    /// Where the hosts of this place log.
    pub fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }
}

fn with_functions(manifest: &str) -> String {
    let mut out = String::new();
    let mut rest = manifest;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once(".wasm}") {
            Some((name, behind)) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                out.push_str(&function(name).display().to_string());
                rest = behind;
            }
            _ => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The file of a sample function.
pub fn function(name: &str) -> PathBuf {
    let path = functions().join(format!("{name}.wasm"));
    assert!(Path::new(&path).exists(), "{} is not there", path.display());
    path
}

/// The access-log example over `partitions` partitions.
pub fn access_counts(partitions: u32) -> Place {
    Place::new(&format!(
        "pipeline: access-counts
commit-interval: {COMMIT_INTERVAL_MS}ms
functions:
  only-ip: {{ component: {{only-ip.wasm}} }}
  extract-ip: {{ component: {{extract-ip.wasm}} }}
sources:
  log-lines: {{ topic: input-topic, partitions: {partitions} }}
steps:
  ip-lines: {{ from: log-lines, filter: only-ip }}
  by-ip: {{ from: ip-lines, map: extract-ip }}
  counts:
    from: by-ip
    group: key
    window: {{ tumbling: 10s, grace: 2s }}
    count: {{ format: text }}
    emit: on-close
    idle: 1s
sinks:
  out: {{ from: counts, topic: output-topic, partitions: {partitions} }}
"
    ))
}

/// A filter that keeps everything and a map that stamps its version on each value.
pub fn stamped(partitions: u32) -> Place {
    Place::new(&format!(
        "pipeline: stamped
commit-interval: {COMMIT_INTERVAL_MS}ms
functions:
  keep: {{ component: {{keep-all.wasm}} }}
  stamp: {{ component: {{stamp-v1.wasm}} }}
sources:
  in: {{ topic: in, partitions: {partitions} }}
steps:
  kept: {{ from: in, filter: keep }}
  stamped: {{ from: kept, map-values: stamp }}
sinks:
  out: {{ from: stamped, topic: out, partitions: {partitions} }}
"
    ))
}
