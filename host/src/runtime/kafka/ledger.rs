//! The fleet's ledger at the brokers, three topics of one partition each, and who is there by the group.
//!
//! | topic | what | kept |
//! | --- | --- | --- |
//! | `PIPELINE-control` | the control log; an entry's position is its offset and one | for ever |
//! | `PIPELINE-modules` | components, compressed, in chunks `DIGEST/PLACE/NUMBER` | until they are collected: deleted by name |
//! | `PIPELINE-history` | where tasks switched, written in the interval that is the first under a version | for ever |
//!
//! Chunks are written, and reported as written, before the entry that names them: so who reads the entry finds them, without a
//! transaction that all readers of the log would have to wait for where a host dies in it ([ADR 0020](../../../../docs/adr/0020-the-control-log-without-transactions.md)).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use millstream_core::record::{Batch, BatchBuilder};
use millstream_core::swap::{Entry, Version};
use millstream_core::task::TaskPart;
use millstream_core::topology::graph::Topology;
use millstream_kafka::admin::{Admin, TopicSpec};
use millstream_kafka::config::Properties;
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::{Fetched, TopicPartition};
use millstream_kafka::producer::plain::PlainProducer;
use millstream_kafka::replay::{Replay, ReplayError, Stretch};
use tracing::{info, warn};

use super::heir;
use crate::runtime::fleet::entries::{self, SwitchRecord};
use crate::runtime::fleet::ledger::{Follow, FollowError, Ledger, Logged, Refused};
use crate::runtime::fleet::random_id;
use crate::runtime::functions;
use crate::runtime::worker::wall_ms;

/// Bytes of one chunk of a component, compressed: well below what any broker takes as one record.
pub const CHUNK_BYTES_MAX: usize = 512 << 10;

/// Bytes of a component, unpacked: what the HTTP API takes.
pub const COMPONENT_BYTES_MAX: usize = millstream_web::COMPONENT_BYTES_MAX;

/// How hard components are compressed: a file of 40 MiB in about a second.
const ZSTD_LEVEL: i32 = 6;

/// Bytes that wait to be sent.
const SEND_BYTES: usize = 16 << 20;

/// Bytes that wait to be read.
const READ_BYTES: usize = 16 << 20;

/// Messages of one read.
const MESSAGES_MAX: usize = 4_096;

/// How long one write may take.
const WRITE_WAIT: Duration = Duration::from_secs(10);

/// How long a component, or the history, may take to be read.
const READ_WAIT: Duration = Duration::from_secs(60);

/// How a copy's name ends until it is whole.
const PART: &str = "part";

/// A copy that is not whole may be being written for so long.
const PART_AGE_MIN: Duration = Duration::from_secs(60);

/// The topics, in this order.
fn names(pipeline: &str) -> [String; 3] {
    [format!("{pipeline}-control"), format!("{pipeline}-modules"), history(pipeline)]
}

fn history(pipeline: &str) -> String {
    format!("{pipeline}-history")
}

/// Name of the control log.
pub fn control(pipeline: &str) -> String {
    let [control, ..] = names(pipeline);
    control
}

/// What the topics must be.
pub fn specs(pipeline: &str) -> [TopicSpec; 3] {
    let [control, modules, history] = names(pipeline);
    [TopicSpec::kept(&control), TopicSpec::files(&modules), TopicSpec::kept(&history)]
}

/// The switches of an interval's part as records of the history, with the partition they go to; `None`: there are none.
///
/// # Errors
/// Those of [`SwitchRecord::encode`].
pub fn switches(topology: &Topology, part: &TaskPart, at: i64) -> anyhow::Result<Option<(TopicPartition, Batch)>> {
    if part.switches.is_empty() {
        return Ok(None);
    }
    let mut batch = BatchBuilder::default();
    for switch in &part.switches {
        let function = &topology.functions[switch.function];
        let value = SwitchRecord::new(part.task, function, switch).encode()?;
        batch.push(Some(function.as_bytes()), Some(&value), at, []);
    }
    Ok(Some((TopicPartition::new(history(&topology.pipeline), 0), batch.finish())))
}

/// See the module.
pub struct KafkaLedger {
    properties: Properties,
    pipeline: String,
    admin: Arc<Admin>,
    control: TopicPartition,
    modules: TopicPartition,
    history: TopicPartition,
    /// Copies of components that are needed here.
    folder: PathBuf,
    producer: Mutex<Option<PlainProducer>>,
}

/// Its reader.
pub struct KafkaFollow {
    properties: Properties,
    pipeline: String,
    control: TopicPartition,
    replay: Option<Replay>,
    next: Option<i64>,
}

/// Where a component's chunks are: `FIRST CHUNKS ID`, the offset of the first, how many, and what their names begin with behind the
/// digest. Without an id: they were kept before each place had one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    first: i64,
    chunks: usize,
    id: String,
}

impl Place {
    fn encode(&self) -> String {
        let Self { first, chunks, id } = self;
        format!("{first} {chunks} {id}").trim_end().to_string()
    }

    fn decode(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (first, chunks, id) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
        let place = Self { first: first.parse().ok()?, chunks: chunks.parse().ok()?, id: id.to_string() };
        parts.next().is_none().then_some(place)
    }

    /// What the names of its chunks begin with.
    fn prefix(&self, digest: &str) -> String {
        if self.id.is_empty() { format!("{digest}/") } else { format!("{digest}/{}/", self.id) }
    }
}

/// A ledger and its reader; nothing is asked of a broker yet. `folder`: for copies of components.
pub fn open(
    properties: &Properties,
    pipeline: &str,
    admin: Arc<Admin>,
    folder: PathBuf,
) -> anyhow::Result<(KafkaLedger, KafkaFollow)> {
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let [control, modules, history] = names(pipeline).map(|name| TopicPartition::new(name, 0));
    let follow = KafkaFollow {
        properties: properties.clone(),
        pipeline: pipeline.to_string(),
        control: control.clone(),
        replay: None,
        next: None,
    };
    let (properties, pipeline, producer) = (properties.clone(), pipeline.to_string(), Mutex::default());
    Ok((KafkaLedger { properties, pipeline, admin, control, modules, history, folder, producer }, follow))
}

impl KafkaLedger {
    /// Writes records to a partition; the offset of the last.
    fn write(&self, to: &TopicPartition, batch: &Batch) -> anyhow::Result<i64> {
        let mut held = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut producer = match held.take() {
            Some(producer) => producer,
            None => PlainProducer::new(&self.properties, SEND_BYTES)?,
        };
        producer.begin();
        producer.produce(to, batch, 0, WRITE_WAIT).map_err(|why| anyhow!("{why}"))?;
        let written = producer.flush(WRITE_WAIT).with_context(|| format!("write to {to}"))?;
        let highest = written.highest.iter().find(|(partition, _)| partition == to);
        let (_, offset) = highest.with_context(|| format!("{to}: nothing is reported as written"))?;
        // After an error it would be of no more use.
        *held = Some(producer);
        Ok(*offset)
    }

    fn file(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }

    /// Keeps a copy here; without it the component is read again.
    fn copy(&self, digest: &str, component: &[u8]) {
        let (file, part) = (self.file(digest), self.folder.join(format!("{digest}.{PART}")));
        if let Err(why) = std::fs::write(&part, component).and_then(|()| std::fs::rename(&part, &file)) {
            warn!(error = %why, file = %file.display(), "no copy of a component is kept");
        }
    }

    /// Reads the chunks of a component and puts them together.
    fn fetch(&self, digest: &str, place: &Place) -> anyhow::Result<Vec<u8>> {
        let (mut chunks, prefix): (BTreeMap<usize, Vec<u8>>, _) = (BTreeMap::new(), place.prefix(digest));
        let lost = || format!("a part of component {digest} is not in {} any more", self.modules);
        self.read(&self.modules, Some(place.first), &mut |fetched| {
            for row in 0..fetched.batch.len() {
                let (key, value) = (fetched.batch.keys.get(row), fetched.batch.values.get(row));
                let number = key.and_then(|key| std::str::from_utf8(key).ok()?.strip_prefix(&prefix));
                let number = number.and_then(|number| number.parse().ok()).filter(|number| *number < place.chunks);
                if let (Some(number), Some(value)) = (number, value) {
                    chunks.insert(number, value.to_vec());
                }
            }
            chunks.len() < place.chunks
        })?;
        if chunks.len() < place.chunks {
            bail!("{}", lost());
        }
        let packed: Vec<u8> = chunks.into_values().flatten().collect();
        let component = zstd::bulk::decompress(&packed, COMPONENT_BYTES_MAX).with_context(lost)?;
        if functions::digest(&component) != digest {
            bail!("what is in {} as component {digest} is another", self.modules);
        }
        Ok(component)
    }

    /// Reads a partition from an offset to where it ends now, or as long as `take` wants more.
    fn read(
        &self,
        partition: &TopicPartition,
        from: Option<i64>,
        take: &mut dyn FnMut(&Fetched) -> bool,
    ) -> anyhow::Result<()> {
        let stretch = Stretch { partition: partition.clone(), from };
        let mut replay = Replay::start(&self.properties, &self.pipeline, &[stretch], READ_BYTES)?;
        let until = Instant::now() + READ_WAIT;
        while !replay.is_done() {
            for fetched in replay.read(MESSAGES_MAX, Duration::from_millis(200))? {
                if !take(&fetched) {
                    return Ok(());
                }
            }
            if Instant::now() > until {
                bail!("{partition} could not be read to its end within {} s", READ_WAIT.as_secs());
            }
        }
        Ok(())
    }
}

impl Ledger for KafkaLedger {
    fn append(&self, entry: &Entry) -> anyhow::Result<()> {
        let mut batch = BatchBuilder::default();
        batch.push(None, Some(&entries::encode(entry)?), wall_ms(), []);
        self.write(&self.control, &batch.finish()).map(drop).map_err(|why| match why.downcast_ref() {
            Some(KafkaError::Refused(_)) => Refused(format!("{why:#}")).into(),
            _ => why,
        })
    }

    fn keep(&self, digest: &str, component: &[u8]) -> anyhow::Result<String> {
        let packed = zstd::bulk::compress(component, ZSTD_LEVEL).context("compress the component")?;
        let mut place = Place { first: 0, chunks: 0, id: random_id()? };
        let prefix = place.prefix(digest);
        for (number, chunk) in packed.chunks(CHUNK_BYTES_MAX).enumerate() {
            let mut batch = BatchBuilder::default();
            batch.push(Some(format!("{prefix}{number}").as_bytes()), Some(chunk), wall_ms(), []);
            let offset = self.write(&self.modules, &batch.finish()).context("keep the component")?;
            if number == 0 {
                place.first = offset;
            }
            place.chunks = number + 1;
        }
        if place.chunks == 0 {
            bail!("a component without bytes");
        }
        self.copy(digest, component);
        Ok(place.encode())
    }

    fn component(&self, version: &Version) -> anyhow::Result<Vec<u8>> {
        let digest = &version.digest;
        if let Ok(component) = std::fs::read(self.file(digest)) {
            if functions::digest(&component) == *digest {
                return Ok(component);
            }
            warn!(digest, "the copy of a component is damaged, it is read again");
        }
        let place = Place::decode(&version.place).with_context(|| format!("no component {digest} is kept"))?;
        let component = self.fetch(digest, &place).with_context(|| format!("read component {digest}"))?;
        info!(digest, bytes = component.len(), "read a component");
        self.copy(digest, &component);
        Ok(component)
    }

    fn discard(&self, digest: &str, place: &str) -> anyhow::Result<()> {
        // Of what was never kept nothing is there.
        let Some(place) = Place::decode(place) else { return Ok(()) };
        let (mut batch, prefix) = (BatchBuilder::default(), place.prefix(digest));
        for number in 0..place.chunks {
            batch.push(Some(format!("{prefix}{number}").as_bytes()), None, wall_ms(), []);
        }
        self.write(&self.modules, &batch.finish()).context("let go of a component").map(drop)
    }

    fn needs(&self, digests: &BTreeSet<String>) {
        let Ok(files) = std::fs::read_dir(&self.folder) else { return };
        for path in files.filter_map(Result::ok).map(|file| file.path()) {
            let digest = path.file_stem().and_then(|stem| stem.to_str());
            let modified = || path.metadata().and_then(|about| about.modified()).ok()?.elapsed().ok();
            let is_young = || modified().is_some_and(|age| age < PART_AGE_MIN);
            let is_written = path.extension().is_some_and(|extension| extension == PART) && is_young();
            if digest.is_none_or(|digest| !digests.contains(digest)) && !is_written {
                // What stays is looked at again at the next start.
                let _stays = std::fs::remove_file(&path);
            }
        }
    }

    fn live(&self) -> anyhow::Result<BTreeSet<String>> {
        let members = self.admin.members(&self.pipeline)?;
        let name = |member: &millstream_kafka::admin::GroupMember| {
            heir::host_of_member(member).with_context(|| {
                format!(
                    "the group has a member `{}` that does not say which host it is: hosts that run with `client.id` in the \
                     manifest and --leave-on-stop cannot be told apart; leave one of the two out",
                    member.client
                )
            })
        };
        members.iter().map(name).collect()
    }

    /// Read from the beginning each time: who looks at a history can wait, and every host would hold it.
    fn switches(&self, function: &str) -> anyhow::Result<Vec<SwitchRecord>> {
        let (mut found, mut bad) = (Vec::new(), None);
        self.read(&self.history, None, &mut |fetched| {
            for row in (0..fetched.batch.len()).filter(|row| fetched.batch.keys.get(*row) == Some(function.as_bytes()))
            {
                match SwitchRecord::decode(fetched.batch.values.get(row).unwrap_or_default()) {
                    Ok(record) => found.push(record),
                    Err(why) => bad = Some(why),
                }
            }
            true
        })?;
        // Stable: at least once, one may be there twice, and the last counts.
        found.sort_by_key(|record| (record.epoch, record.sub_topology, record.partition));
        bad.map_or(Ok(found), Err)
    }
}

impl KafkaFollow {
    fn replay(&mut self) -> Result<&mut Replay, FollowError> {
        let replay = match self.replay.take() {
            Some(replay) => replay,
            None => {
                let stretch = Stretch { partition: self.control.clone(), from: self.next };
                let replay =
                    Replay::follow(&self.properties, &self.pipeline, &[stretch], READ_BYTES).map_err(of_replay)?;
                let began = replay.progress().first().map_or(0, |progress| progress.next);
                if self.next.is_none() && began > 0 {
                    return Err(FollowError::Fatal(anyhow!(
                        "{} begins at offset {began}: entries were deleted, and which versions are in force cannot be known",
                        self.control
                    )));
                }
                replay
            }
        };
        Ok(self.replay.insert(replay))
    }
}

fn of_replay(why: ReplayError) -> FollowError {
    match why {
        ReplayError::Kafka(KafkaError::Retry(_)) => FollowError::Retry(why.into()),
        why => FollowError::Fatal(why.into()),
    }
}

impl Follow for KafkaFollow {
    fn read(&mut self, wait: Duration) -> Result<Vec<Logged>, FollowError> {
        let read = self.replay()?.read(MESSAGES_MAX, wait).map_err(|why| {
            self.replay = None;
            of_replay(why)
        })?;
        let mut out = Vec::new();
        for fetched in read {
            for (row, offset) in fetched.offsets.iter().enumerate() {
                let bytes = fetched.batch.values.get(row).unwrap_or_default();
                match entries::decode(bytes).map_err(FollowError::Fatal)? {
                    Some(entry) => {
                        let time = fetched.batch.timestamps.get(row).copied().unwrap_or_default();
                        out.push(Logged { at: offset.unsigned_abs() + 1, time, entry });
                    }
                    None => warn!(offset, topic = %self.control, "passed over what is no entry of the control log"),
                }
            }
            self.next = Some(fetched.next);
        }
        Ok(out)
    }

    fn is_at_end(&self) -> bool {
        self.replay.as_ref().is_some_and(Replay::is_done)
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::task::{Switch, TaskId};

    use super::*;

    #[test]
    fn places_come_back() {
        for (text, id, prefix) in [("12 3 ab", "ab", "d/ab/"), ("12 3", "", "d/")] {
            let place = Place { first: 12, chunks: 3, id: id.into() };
            assert_eq!((place.encode().as_str(), place.prefix("d").as_str()), (text, prefix));
            assert_eq!(Place::decode(text), Some(place));
        }
        for wrong in ["", "12", "a 3", "12 -1", "12 3 4 5"] {
            assert_eq!(Place::decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn switches_are_records_of_their_function() {
        let topology = Topology { pipeline: "p".into(), functions: vec!["f".into()], ..Topology::default() };
        let switch = Switch { function: 0, epoch: 7, positions: vec![("in".into(), 5)] };
        let mut part = TaskPart { task: TaskId { sub: 0, partition: 2 }, ..TaskPart::default() };
        assert_eq!(switches(&topology, &part, 9).unwrap(), None);
        part.switches.push(switch.clone());
        let (to, batch) = switches(&topology, &part, 9).unwrap().unwrap();
        assert_eq!((to.to_string().as_str(), batch.len(), batch.keys.get(0)), ("p-history/0", 1, Some(&b"f"[..])));
        let record = SwitchRecord::decode(batch.values.get(0).unwrap()).unwrap();
        assert_eq!(record, SwitchRecord::new(part.task, "f", &switch));
    }
}
