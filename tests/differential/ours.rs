//! Millstream: what `millstream test` runs, record by record.

use std::sync::{Arc, OnceLock};

use millstream::cli::load;
use millstream::runtime::driver::{Driver, Fed};
use millstream::runtime::functions::COMPILE_COMMAND;
use millstream_core::record::Batch;
use millstream_tests::host;
use millstream_wasm::{Compiler, Config, Registry};
use tempfile::TempDir;

use crate::Case;
use crate::case::{Outcome, Record};

/// Bytes read at once of the results.
const READ_BYTES: usize = 1 << 20;

pub struct Host {
    registry: Arc<Registry>,
    folder: TempDir,
}

impl Host {
    pub fn new() -> Self {
        // One for all tests, so that each function is compiled once.
        static REGISTRY: OnceLock<Arc<Registry>> = OnceLock::new();
        let registry = REGISTRY.get_or_init(|| {
            let compiler = Compiler { program: host::program(), args: vec![COMPILE_COMMAND.into()] };
            Arc::new(Registry::new(Config::new(compiler, 1)).expect("a registry"))
        });
        Self { registry: registry.clone(), folder: tempfile::tempdir().expect("make a folder") }
    }

    pub fn run<C: Case>(&self, case: &C) -> Result<Vec<Outcome>, String> {
        self.outcomes(&case.manifest(), C::TOPICS, case.records()).map_err(|error| format!("Millstream: {error:#}"))
    }

    fn outcomes(&self, manifest: &str, topics: [&str; 2], records: &[Record]) -> anyhow::Result<Vec<Outcome>> {
        let file = self.folder.path().join("case.yaml");
        std::fs::write(&file, manifest)?;
        let mut driver = Driver::new(&load::pipeline(&file, true)?, &self.registry)?;
        let (mut out, mut offset) = (Vec::new(), 0);
        for (by, record) in records.iter().enumerate() {
            let topic = topics[record.side as usize];
            let (key, value) = (record.key.as_deref().map(str::as_bytes), record.value.as_deref().map(str::as_bytes));
            let fed = Fed { topic, partition: None, key, value, timestamp: record.time };
            driver.feed(fed, [])?;
            loop {
                let batch = driver.log.read("out", 0, offset, READ_BYTES)?.batch;
                if batch.is_empty() {
                    break;
                }
                offset += batch.len() as i64;
                out.extend((0..batch.len()).map(|i| outcome(by, &batch, i)));
            }
        }
        Ok(out)
    }
}

fn outcome(by: usize, batch: &Batch, i: usize) -> Outcome {
    let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
    let headers: Vec<_> = batch.headers.iter().flat_map(|h| h.of(i)).collect();
    let bound = |name: &[u8]| {
        let value = headers.iter().find(|h| h.0 == name).and_then(|h| h.1);
        text(value).and_then(|text| text.parse().ok())
    };
    Outcome {
        by,
        window: bound(b"window.end").zip(bound(b"window.start")),
        key: text(batch.keys.get(i)).unwrap_or_default(),
        value: text(batch.values.get(i)),
        time: batch.timestamps[i],
    }
}

/// The file of a component.
pub fn function(name: &str) -> String {
    host::functions().join(format!("{name}.wasm")).display().to_string()
}
