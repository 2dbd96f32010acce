//! The floor: a bare consume→produce loop on the host's own client, a process of its own. Records go by their key to the partition that
//! they belong to, with their timestamp, in the host's transactions; nothing is computed, and nothing is prepared for failures.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millstream_core::partition::partition_for_key;
use millstream_core::record::BatchBuilder;
use millstream_kafka::config::Properties;
use millstream_kafka::consumer::{Event, Member, Ownership, Placement, Reader, Settings, Token};
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::{OffsetToCommit, Producer};

/// The first word of the command line.
pub const WORD: &str = "floor";

/// As the host has them.
const MESSAGES_MAX: usize = 8_192;
const QUEUE_BYTES: usize = 64 << 20;
const FETCH_BYTES: usize = 64 << 20;
const READ_WAIT: Duration = Duration::from_millis(2);
const POLL: Duration = Duration::from_millis(20);
const WAIT: Duration = Duration::from_secs(10);

/// Its command line.
#[derive(Clone, Debug)]
pub struct Args {
    pub bootstrap: String,
    pub group: String,
    pub input: String,
    pub output: String,
    pub partitions: u32,
    pub workers: usize,
    pub interval_ms: u32,
    pub compression: String,
    /// More properties of the client.
    pub more: Vec<(String, String)>,
}

impl Args {
    /// As words.
    pub fn words(&self) -> Vec<String> {
        let Self { bootstrap, group, input, output, compression, .. } = self.clone();
        let numbers = [self.partitions.to_string(), self.workers.to_string(), self.interval_ms.to_string()];
        let more = self.more.iter().map(|(name, value)| format!("{name}={value}")).collect();
        [[WORD.into(), bootstrap, group, input, output].to_vec(), numbers.to_vec(), vec![compression], more].concat()
    }

    fn read() -> anyhow::Result<Self> {
        let mut words = std::env::args().skip(2);
        let mut word = || words.next().with_context(|| format!("`{WORD}` is for the bench itself"));
        Ok(Self {
            bootstrap: word()?,
            group: word()?,
            input: word()?,
            output: word()?,
            partitions: word()?.parse()?,
            workers: word()?.parse()?,
            interval_ms: word()?.parse()?,
            compression: word()?,
            more: words.filter_map(|word| Some(word.split_once('=')?).map(|(n, v)| (n.into(), v.into()))).collect(),
        })
    }

    fn properties(&self) -> anyhow::Result<Properties> {
        let given = [("bootstrap.servers", &self.bootstrap), ("compression.type", &self.compression)];
        let mut given: BTreeMap<_, _> = given.map(|(name, value)| (name.to_string(), value.clone())).into();
        given.extend(self.more.iter().cloned());
        Properties::new(given).map_err(|errors| anyhow::anyhow!("{errors:?}"))
    }
}

/// Runs until standard input ends.
///
/// # Errors
/// Whatever goes wrong.
pub fn run() -> anyhow::Result<()> {
    let args = Args::read()?;
    let properties = args.properties()?;
    let settings = Settings {
        group: args.group.clone(),
        instance: None,
        topics: vec![args.input.clone()],
        workers: args.workers,
        fetch_bytes_max: FETCH_BYTES,
        buffer_bytes_max: FETCH_BYTES,
    };
    let (mut member, readers) = Member::join(&properties, &settings)?;
    let token = Arc::new(Mutex::new(None));
    for reader in readers {
        let id = format!("{}-{}", args.group, reader.worker());
        let mut producer = Producer::new(&properties, &id, QUEUE_BYTES)?;
        producer.init(WAIT)?;
        let work = Work { args: args.clone(), reader, producer, ownership: member.ownership(), token: token.clone() };
        std::thread::spawn(move || {
            if let Err(error) = work.run() {
                eprintln!("{error:#}");
                std::process::exit(1);
            }
        });
    }
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        std::process::exit(0);
    });
    loop {
        match member.poll(POLL) {
            Some(Event::Assigned(partitions)) => {
                let place = |partition: &TopicPartition| {
                    let tag = partition.partition as usize;
                    Placement { partition: partition.clone(), worker: tag % args.workers, tag, start: 0 }
                };
                let given = member.assign(&partitions.iter().map(place).collect::<Vec<_>>())?;
                *token.lock().unwrap_or_else(PoisonError::into_inner) = given;
            }
            Some(Event::Revoked(_) | Event::Lost(_)) => bail!("it is alone in its group"),
            Some(Event::Error(error)) => eprintln!("{error}"),
            None => {}
        }
    }
}

/// One worker.
struct Work {
    args: Args,
    reader: Reader,
    producer: Producer,
    ownership: Ownership,
    token: Arc<Mutex<Option<Token>>>,
}

impl Work {
    fn run(mut self) -> anyhow::Result<()> {
        let interval = Duration::from_millis(u64::from(self.args.interval_ms));
        let outputs: Vec<TopicPartition> = crate::place::partitions(&self.args.output, self.args.partitions);
        let mut builders: Vec<BatchBuilder> = outputs.iter().map(|_| BatchBuilder::default()).collect();
        let mut positions: Vec<Option<(TopicPartition, i64)>> = vec![None; outputs.len()];
        let mut begun = Instant::now();
        let mut is_open = false;
        loop {
            let read = self.reader.read(MESSAGES_MAX, READ_WAIT).context("read")?;
            if let Some((partition, problem)) = read.problems.first() {
                bail!("{partition}: {problem:?}");
            }
            for fetched in read.fetched {
                if !is_open {
                    (is_open, begun) = (true, Instant::now());
                    self.producer.begin()?;
                }
                let batch = &fetched.batch;
                for row in 0..batch.len() {
                    // The host's pipeline drops these too.
                    let Some(key) = batch.keys.get(row) else { continue };
                    let to = partition_for_key(key, self.args.partitions) as usize;
                    builders[to].push(Some(key), batch.values.get(row), batch.timestamps[row], []);
                }
                positions[fetched.partition.partition as usize] = Some(((*fetched.partition).clone(), fetched.next));
            }
            for (builder, to) in builders.iter_mut().zip(&outputs).filter(|(builder, _)| !builder.is_empty()) {
                self.producer.produce(to, &std::mem::take(builder).finish(), 0, WAIT)?;
            }
            if is_open && begun.elapsed() >= interval {
                is_open = false;
                self.commit(&mut positions)?;
            }
        }
    }

    fn commit(&mut self, positions: &mut [Option<(TopicPartition, i64)>]) -> anyhow::Result<()> {
        let token = *self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let group = token.and_then(|token| self.ownership.metadata_if(token)).context("the group has moved on")?;
        let to_commit = |(partition, offset)| OffsetToCommit { partition, offset, metadata: String::new() };
        let offsets: Vec<_> = positions.iter_mut().filter_map(Option::take).map(to_commit).collect();
        self.producer.send_offsets(&offsets, &group, WAIT)?;
        self.producer.commit(WAIT)?;
        Ok(())
    }
}
