//! A processor alone: a pipeline of one step around it, in memory, so that its stores and timers are those that it has in a pipeline.
//! For cases and for `verify`, which hold a function to its word.

use std::path::Path;

use anyhow::bail;
use millstream_core::function::{Functions, Prepared};
use millstream_core::operator::Active;
use millstream_core::record::{Batch, Timestamp};
use serde_json::{Value, json};

use crate::config::{self, Surroundings, pipeline};
use crate::runtime::driver::{Driver, Given, Setting};
use crate::runtime::formats;
use crate::runtime::worker::FETCH_BYTES_MAX;

/// Most outputs that it can have here.
pub const OUTPUTS_MAX: u32 = 64;

const SOURCE: &str = "in";
const LETTERS: &str = "refused";
const REASON: &[u8] = b"__streams.errors.exception";
const MESSAGE: &[u8] = b"__streams.errors.message";
const OFFSET: &[u8] = b"__streams.errors.offset";

/// A store: its name, and what the manifest would say of it.
pub type Store = (String, Value);

/// A record that left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Came {
    /// Number of the output.
    pub output: u32,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its event time.
    pub timestamp: Timestamp,
    /// Names and values.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record, or a timer, that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The function has said so; else a call with it has failed.
    pub by_function: bool,
    /// Why.
    pub message: String,
    /// Which record it is, from 0; none for a timer.
    pub record: Option<usize>,
}

/// What came of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// By output, each in its order.
    pub results: Vec<Came>,
    /// In their order.
    pub refused: Vec<Refused>,
}

/// See the module.
pub struct Alone {
    driver: Driver,
    outputs: u32,
    /// Records taken so far, and read of each output and of the refused.
    taken: i64,
    read: Vec<i64>,
}

/// The manifest of the pipeline.
fn manifest(stores: &[Store], outputs: u32) -> String {
    let named = |output: u32| format!("output-{output}");
    let names: Vec<String> = (0..outputs).map(named).collect();
    let sinks = names.iter().map(|name| (name.clone(), json!({ "from": format!("step.{name}"), "topic": name })));
    let stores: serde_json::Map<String, Value> = stores.iter().cloned().collect();
    json!({
        "pipeline": "alone",
        "functions": { "function": { "component": "function.wasm" } },
        "sources": { "source": { "topic": SOURCE } },
        "steps": {
            "step": {
                "from": "source",
                "process": "function",
                "stores": stores,
                "outputs": names,
                "on-error": { "dead-letter": LETTERS },
            }
        },
        "sinks": sinks.collect::<serde_json::Map<_, _>>(),
    })
    .to_string()
}

impl Alone {
    /// With empty stores.
    ///
    /// # Errors
    /// What is wrong with the stores, in words for the user.
    pub fn new(
        functions: Box<dyn Functions>,
        function: Prepared,
        stores: &[Store],
        outputs: u32,
    ) -> anyhow::Result<Self> {
        let surroundings = Surroundings {
            file: "the step's stores",
            folder: Path::new(""),
            local: true,
            environment: &|_| None,
            component: &|_, _| Vec::new(),
            properties: &pipeline::properties,
        };
        let loaded = config::parse(&manifest(stores, outputs), &surroundings);
        let Some(manifest) = loaded.manifest else {
            let told: Vec<String> = loaded.report.problems.iter().map(|problem| problem.message.clone()).collect();
            bail!("{}", told.join("; "));
        };
        let pipeline = pipeline::pipeline(manifest);
        let setting = Setting {
            functions,
            active: vec![Active { prepared: function, epoch: 1, number: 1 }],
            formats: formats::open(&pipeline.formats)?,
            globals: None,
            given: vec![Given { topic: SOURCE.into(), partition: 0, offset: 0 }],
        };
        let driver = Driver::with(&pipeline, setting)?;
        Ok(Self { driver, outputs, taken: 0, read: vec![0; outputs as usize + 1] })
    }

    /// Gives the functions back.
    pub fn into_functions(self) -> Box<dyn Functions> {
        self.driver.into_functions()
    }

    /// The next call gets a fresh instance.
    pub fn renew(&mut self, function: Prepared) {
        self.driver.functions().renew(function);
    }

    /// Takes records, and gives what came of them and of the timers that were due.
    ///
    /// # Errors
    /// Why the step stopped, in words for the user.
    pub fn take(&mut self, records: Batch) -> anyhow::Result<Took> {
        let place = Given { topic: SOURCE.into(), partition: 0, offset: self.taken };
        self.taken += records.len() as i64;
        self.driver.give(&place, records)?;
        let mut took = Took::default();
        for output in 0..=self.outputs {
            let topic = if output < self.outputs { format!("output-{output}") } else { LETTERS.to_string() };
            let next = &mut self.read[output as usize];
            loop {
                let batch = self.driver.log.read(&topic, 0, *next, FETCH_BYTES_MAX)?.batch;
                if batch.is_empty() {
                    break;
                }
                *next += batch.len() as i64;
                for row in 0..batch.len() {
                    if output < self.outputs {
                        took.results.push(came(&batch, row, output));
                    } else {
                        took.refused.push(refused(&batch, row));
                    }
                }
            }
        }
        Ok(took)
    }
}

fn came(batch: &Batch, row: usize, output: u32) -> Came {
    let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let header = |(name, value): (&[u8], Option<&[u8]>)| (String::from_utf8_lossy(name).into_owned(), bytes(value));
    Came {
        output,
        key: bytes(batch.keys.get(row)),
        value: bytes(batch.values.get(row)),
        timestamp: batch.timestamps[row],
        headers: batch.headers.iter().flat_map(|headers| headers.of(row).map(header)).collect(),
    }
}

fn refused(batch: &Batch, row: usize) -> Refused {
    let header = |wanted: &[u8]| {
        let mut all = batch.headers.iter().flat_map(|headers| headers.of(row));
        let found = all.find(|(name, _)| *name == wanted).and_then(|(_, value)| value);
        String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
    };
    // The first record has offset 0.
    let record = header(OFFSET).parse().ok();
    Refused { by_function: header(REASON) == "rejected", message: header(MESSAGE), record }
}
