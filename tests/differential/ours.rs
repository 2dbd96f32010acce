//! Millstream: what `millstream test` runs, record by record.

use std::sync::Arc;

use millstream::cli::load;
use millstream::runtime::driver::{Driver, Fed};
use millstream::runtime::functions::COMPILE_COMMAND;
use millstream_tests::host;
use millstream_wasm::{Compiler, Config, Registry};
use tempfile::TempDir;

use crate::case::{Case, Outcome, Record};
use crate::{joins, streams, tables};

/// Bytes read at once of the results.
const READ_BYTES: usize = 1 << 20;

pub struct Host {
    registry: Arc<Registry>,
    folder: TempDir,
}

impl Host {
    pub fn new() -> Self {
        let compiler = Compiler { program: host::program(), args: vec![COMPILE_COMMAND.into()] };
        let registry = Arc::new(Registry::new(Config::new(compiler, 1)).expect("a registry"));
        Self { registry, folder: tempfile::tempdir().expect("make a folder") }
    }

    pub fn run(&self, case: &Case) -> Result<Vec<Outcome>, String> {
        let manifest = case.manifest(&function("append"));
        self.outcomes(&manifest, case.records.iter().map(|record| ("in", record))).map_err(failed)
    }

    pub fn join(&self, case: &joins::Case) -> Result<Vec<Outcome>, String> {
        let records = case.records.iter().map(|(side, record)| (joins::topic(*side), record));
        self.outcomes(&case.manifest(&function("pair")), records).map_err(failed)
    }

    pub fn join_streams(&self, case: &streams::Case) -> Result<Vec<Outcome>, String> {
        let records = case.records.iter().map(|(side, record)| (joins::topic(*side), record));
        self.outcomes(&case.manifest(&function("pair")), records).map_err(failed)
    }

    pub fn table(&self, case: &tables::Case) -> Result<Vec<Outcome>, String> {
        let records = case.records.iter().map(|(side, record)| (tables::topic(*side), record));
        self.outcomes(&case.manifest(function), records).map_err(failed)
    }

    fn outcomes<'r>(
        &self,
        manifest: &str,
        records: impl Iterator<Item = (&'static str, &'r Record)>,
    ) -> anyhow::Result<Vec<Outcome>> {
        let file = self.folder.path().join("case.yaml");
        std::fs::write(&file, manifest)?;
        let mut driver = Driver::new(&load::pipeline(&file, true)?, &self.registry)?;
        let (mut out, mut offset) = (Vec::new(), 0);
        for (by, (topic, record)) in records.enumerate() {
            let (key, value) = (record.key.as_deref().map(str::as_bytes), record.value.as_deref().map(str::as_bytes));
            let fed = Fed { topic, partition: None, key, value, timestamp: record.time };
            driver.feed(fed, [])?;
            let batch = driver.log.read("out", 0, offset, READ_BYTES)?.batch;
            offset += batch.len() as i64;
            let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
            for i in 0..batch.len() {
                let headers: Vec<_> = batch.headers.iter().flat_map(|h| h.of(i)).collect();
                let bound = |name: &[u8]| {
                    let value = headers.iter().find(|h| h.0 == name).and_then(|h| h.1);
                    text(value).and_then(|text| text.parse().ok())
                };
                out.push(Outcome {
                    by,
                    window: bound(b"window.end").zip(bound(b"window.start")),
                    key: text(batch.keys.get(i)).unwrap_or_default(),
                    value: text(batch.values.get(i)),
                    time: batch.timestamps[i],
                });
            }
        }
        Ok(out)
    }
}

fn function(name: &str) -> String {
    host::functions().join(format!("{name}.wasm")).display().to_string()
}

fn failed(error: anyhow::Error) -> String {
    format!("Millstream: {error:#}")
}
