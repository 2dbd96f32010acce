//! Records from outside into the log: which partition each goes to, and one atomic write for all of a request.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use millstream_core::partition::partition_for_key;
use millstream_core::record::BatchBuilder;
use millstream_core::state::keyspace::Write;
use millstream_local::{AppendError, RECORD_BYTES_MAX, TopicInfo};
use millstream_web::api::{Append, NewRecord};
use millstream_web::types::{Appended, AppendedTo};
use millstream_web::{Kind, Problem};

use super::producers::Producers;
use super::{storage, unknown};
use crate::runtime::Host;
use crate::runtime::worker::wall_ms;

/// Writes records for callers.
pub struct Appender {
    host: Arc<Host>,
    producers: Producers,
    /// Where the keyless records of the next request go.
    keyless: AtomicU32,
}

impl Appender {
    pub fn new(host: Arc<Host>) -> Self {
        let producers = Producers::new(host.storage.db.clone());
        Self { host, producers, keyless: AtomicU32::new(0) }
    }

    /// That there is no such topic; which there are that a caller may use.
    pub fn unknown_topic(&self, name: &str) -> Problem {
        let topics = self.host.storage.log.topics().into_iter().filter(|topic| !topic.config.internal);
        let names: Vec<String> = topics.map(|topic| topic.name).collect();
        unknown(Kind::UnknownTopic, "topic", name, &names)
    }

    /// Writes all records of a request, or none.
    pub fn append(&self, append: &Append<'_>) -> Result<Appended, Problem> {
        let topic = self.host.storage.log.topic(append.topic).ok_or_else(|| self.unknown_topic(append.topic))?;
        if topic.config.internal {
            let detail = format!("topic `{}` is the pipeline's own; nobody else writes to it", topic.name);
            return Err(Problem::new(Kind::InternalTopic, detail));
        }
        let Some(mark) = append.mark else { return self.write(&topic, append, Vec::new()) };
        self.producers.open()?.with(|known| {
            if let Some(records) = known.answered(mark)? {
                return Ok(Appended { topic: topic.name.clone(), records, partitions: Vec::new(), repeated: true });
            }
            let note = known.note(mark, append.records.len(), wall_ms());
            let appended = self.write(&topic, append, known.writes(&note))?;
            known.written(note);
            Ok(appended)
        })
    }

    fn write(&self, topic: &TopicInfo, append: &Append<'_>, extra: Vec<Write>) -> Result<Appended, Problem> {
        let batches = self.batches(topic, append)?;
        let counts: Vec<(u32, u64)> = batches.iter().map(|(partition, b)| (*partition, b.len() as u64)).collect();
        let appends = batches.into_iter().map(|(partition, batch)| millstream_local::Append {
            topic: topic.name.clone(),
            partition,
            batch: batch.finish(),
        });
        let storage = &self.host.storage;
        let firsts = storage.log.append(appends.collect(), extra, storage.durability).map_err(|e| refused(&e))?;
        let place = |((partition, records), first)| AppendedTo { partition, first, records };
        Ok(Appended {
            topic: topic.name.clone(),
            records: append.records.len() as u64,
            partitions: counts.into_iter().zip(firsts).map(place).collect(),
            repeated: false,
        })
    }

    fn batches(&self, topic: &TopicInfo, append: &Append<'_>) -> Result<BTreeMap<u32, BatchBuilder>, Problem> {
        let any_keyless = append.records.iter().any(|r| r.partition.is_none() && r.key.is_none());
        let turn = if any_keyless { self.keyless.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let (now, mut out) = (wall_ms(), BTreeMap::<u32, BatchBuilder>::new());
        for record in &append.records {
            let partition = place(record, topic, turn % topic.partitions)?;
            let bytes = size(record);
            if bytes > RECORD_BYTES_MAX {
                let detail = format!("line {}: the record has {bytes} bytes; at most {RECORD_BYTES_MAX}", record.line);
                return Err(Problem::new(Kind::RecordTooLarge, detail).at_line(record.line));
            }
            let headers = record.headers.iter().map(|(name, value)| (name.as_ref(), value.as_deref()));
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            out.entry(partition).or_default().push(key, value, record.timestamp.unwrap_or(now), headers);
        }
        Ok(out)
    }
}

fn place(record: &NewRecord<'_>, topic: &TopicInfo, keyless: u32) -> Result<u32, Problem> {
    match (record.partition, record.key.as_deref()) {
        (Some(partition), _) if partition < topic.partitions => Ok(partition),
        (Some(partition), _) => {
            let (line, name, count) = (record.line, &topic.name, topic.partitions);
            let detail =
                format!("line {line}: topic `{name}` has no partition {partition}; it has {count}, numbered from 0");
            Err(Problem::new(Kind::UnknownPartition, detail).at_line(line))
        }
        (None, Some(key)) => Ok(partition_for_key(key, topic.partitions)),
        (None, None) => Ok(keyless),
    }
}

fn size(record: &NewRecord<'_>) -> usize {
    let bytes = |part: &Option<Cow<'_, [u8]>>| part.as_deref().map_or(0, <[u8]>::len);
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + bytes(value)).sum();
    bytes(&record.key) + bytes(&record.value) + headers
}

fn refused(error: &AppendError) -> Problem {
    match error {
        AppendError::Unknown(why) => Problem::new(Kind::UnknownTopic, why.to_string()),
        AppendError::RecordTooLarge { .. } => Problem::new(Kind::RecordTooLarge, error.to_string()),
        AppendError::Uneven { .. } => Problem::new(Kind::Internal, error.to_string()),
        AppendError::Storage(why) => storage(why),
    }
}
