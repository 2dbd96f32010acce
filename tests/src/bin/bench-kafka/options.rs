//! What is measured, and how much of it: the command line. Names of scenarios are those of the report.

use clap::{Parser, ValueEnum};

use crate::contender::{Pipeline, Who};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// Filter and map; the only one with the bare loop
    Pass,
    /// Windowed count over keys as they are, a result at every change
    KeyedUpdate,
    /// The same, a result when a window closes
    KeyedClose,
    /// Windowed count by an address that is found in the line, a result at every change
    RekeyedUpdate,
    /// The same, a result when a window closes
    RekeyedClose,
    /// Count in windows of an hour that begin each second, a result when one closes; on lines of its own, a hundred of each
    /// address a second
    HoppingClose,
    /// On the same lines the same in windows of an hour that do not overlap, by the host alone: what it costs that they do
    HourClose,
    /// Count of many keys without a window, each key once to begin with and then once more: state larger than memory
    LargeState,
    /// From a line's writing to its visible result, at a fifth of the maximum rate
    Latency,
    /// The same of the host, while a function is swapped once a second, and while a large one compiles
    Swaps,
    /// Two hosts become three under load
    Scale,
}

impl Scenario {
    /// The pipeline of a scenario that measures throughput.
    pub fn pipeline(self) -> Option<Pipeline> {
        match self {
            Scenario::Pass => Some(Pipeline::Pass),
            Scenario::KeyedUpdate => Some(Pipeline::KeyedUpdate),
            Scenario::KeyedClose => Some(Pipeline::KeyedClose),
            Scenario::RekeyedUpdate => Some(Pipeline::RekeyedUpdate),
            Scenario::RekeyedClose => Some(Pipeline::RekeyedClose),
            Scenario::HoppingClose => Some(Pipeline::HoppingClose),
            Scenario::HourClose => Some(Pipeline::HourClose),
            Scenario::LargeState => Some(Pipeline::LargeState),
            Scenario::Latency | Scenario::Swaps | Scenario::Scale => None,
        }
    }
}

/// Records of the long and of the short form.
const RECORDS: [u64; 2] = [20_000_000, 2_000_000];
/// Records before them, in which caches fill and Java compiles.
const WARM_UP: [u64; 2] = [2_000_000, 1_000_000];
const RUNS: [usize; 2] = [3, 1];
/// The same of windows that overlap 3,600 times: Kafka Streams takes as many of them as it gets through in some minutes.
const HOPPING_RECORDS: [u64; 2] = [4_000_000, 1_000_000];
const HOPPING_WARM_UP: [u64; 2] = [1_000_000, 200_000];
/// Addresses there, and lines a second of event time.
const HOPPING_ADDRESSES: u32 = 500;
const HOPPING_PER_SECOND: u32 = 50_000;

/// Keys of a state that is larger than memory, in the long and in the short form; they come a million a second of event time.
const LARGE_KEYS: [u64; 2] = [50_000_000, 1_000_000];
const LARGE_PER_SECOND: u32 = 1_000_000;

/// How much input, and of what kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Records measured in each run.
    pub records: u64,
    /// Records before them.
    pub warm_up: u64,
    pub addresses: u32,
    /// Lines a second of event time.
    pub per_second: u32,
    /// Not lines, but keys, each as often as the others: so many.
    pub keys: Option<u64>,
}

/// The host on Kafka, beside Kafka Streams and a bare loop on the same client, on one broker
#[derive(Parser, Debug)]
#[command(name = "./x bench kafka", max_term_width = 120)]
pub struct Options {
    /// What to measure [default: everything]
    scenarios: Vec<Scenario>,
    /// Some minutes instead of some hours: a tenth of the records, one run of each
    #[arg(long)]
    pub short: bool,
    /// Records that are measured in each run [default: 20000000, short 2000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..))]
    records: Option<u64>,
    /// Records before them [default: 2000000, short 1000000]
    #[arg(long, value_name = "N")]
    warm_up: Option<u64>,
    /// Runs of each, whose medians are told [default: 3, short 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,
    /// Partitions of every topic; for `scale` three times as many
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub partitions: u32,
    /// Workers of the host and of the bare loop, threads of Kafka Streams
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub workers: u16,
    /// Different addresses in the lines
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=62_500))]
    pub addresses: u32,
    /// Lines a second of event time
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub per_second: u32,
    /// How everybody compresses what they write
    #[arg(long, value_name = "CODEC", default_value = "lz4")]
    pub compression: String,
    /// Largest heap of Kafka Streams, as Java writes it
    #[arg(long, value_name = "SIZE", default_value = "2g")]
    pub heap: String,
    /// A property more for the host's client and the bare loop's, as librdkafka names it
    #[arg(long = "kafka", value_name = "NAME=VALUE", value_parser = property)]
    pub kafka: Vec<(String, String)>,
    /// Only these contenders
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    only: Vec<Who>,
    /// Maximum rate for `latency`, records a second, of which a fifth is used [default: that of `pass` in this run]
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Prints JSON instead of tables; those go to standard error
    #[arg(long)]
    pub json: bool,
}

impl Options {
    /// With everything where nothing was chosen.
    pub fn complete(mut self) -> Self {
        if self.scenarios.is_empty() {
            self.scenarios = Scenario::value_variants().to_vec();
        }
        self.scenarios.sort();
        self.scenarios.dedup();
        self
    }

    /// What is to be measured, in order.
    pub fn scenarios(&self) -> Vec<Scenario> {
        self.scenarios.clone()
    }

    /// Whether a scenario was chosen.
    pub fn wants(&self, scenario: Scenario) -> bool {
        self.scenarios.contains(&scenario)
    }

    /// Whether a contender takes part.
    pub fn wants_who(&self, who: Who) -> bool {
        self.only.is_empty() || self.only.contains(&who)
    }

    /// Those of some contenders that take part.
    pub fn whos(&self, all: &[Who]) -> Vec<Who> {
        all.iter().copied().filter(|who| self.wants_who(*who)).collect()
    }

    fn form<T: Copy>(&self, forms: [T; 2]) -> T {
        forms[usize::from(self.short)]
    }

    /// The input of a pipeline.
    pub fn load(&self, pipeline: Pipeline) -> Load {
        if pipeline.is_of_hours() {
            return Load {
                records: self.records.unwrap_or(self.form(HOPPING_RECORDS)),
                warm_up: self.warm_up.unwrap_or(self.form(HOPPING_WARM_UP)),
                addresses: HOPPING_ADDRESSES,
                per_second: HOPPING_PER_SECOND,
                keys: None,
            };
        }
        if pipeline == Pipeline::LargeState {
            let keys = self.records.unwrap_or(self.form(LARGE_KEYS));
            let (addresses, per_second) = (0, LARGE_PER_SECOND);
            return Load { records: keys, warm_up: keys, addresses, per_second, keys: Some(keys) };
        }
        Load {
            records: self.records.unwrap_or(self.form(RECORDS)),
            warm_up: self.warm_up.unwrap_or(self.form(WARM_UP)),
            addresses: self.addresses,
            per_second: self.per_second,
            keys: None,
        }
    }

    /// Runs of each contender.
    pub fn runs_of(&self, pipeline: Pipeline) -> usize {
        // A state that takes ten minutes to be made is made once, where nothing is said.
        if pipeline == Pipeline::LargeState && self.runs.is_none() { 1 } else { self.runs() }
    }

    /// Runs of each contender, where the pipeline is no matter.
    pub fn runs(&self) -> usize {
        self.runs.map_or(self.form(RUNS), usize::from)
    }
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write a property as in linger.ms=5")?;
    Ok((name.to_string(), value.to_string()))
}
