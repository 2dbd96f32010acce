//! The last records of the sources, for versions on trial: from the brokers, of the partitions whose tasks this host has.

use std::time::{Duration, Instant};

use anyhow::bail;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::replay::{Progress, Replay, Stretch as Tail, ends};

use super::{KafkaHost, LOOK_WAIT};
use crate::runtime::past::{of_each, sources};
use crate::runtime::probation::{Each, Past, Stretch};
use crate::runtime::replay::Ground;

/// Bytes that wait inside of the client.
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// Messages that are taken from it at a time.
const MESSAGES_MAX: usize = 1_024;

/// How long nothing may come.
const SILENCE_MAX: Duration = Duration::from_secs(10);

impl Past for KafkaHost {
    fn ground(&self) -> Ground<'_> {
        self.replay_ground()
    }

    fn last(&self, count: u64) -> anyhow::Result<Vec<Stretch>> {
        let mut all: Vec<TopicPartition> = Vec::new();
        for (task, _) in self.status.tasks() {
            for topic in sources(&self.topology, std::iter::once(task.sub)) {
                all.push(TopicPartition::new(topic, task.partition as i32));
            }
        }
        all.sort();
        all.dedup();
        let each = of_each(count, all.len());
        let tails: Vec<Tail> = all.into_iter().map(|partition| Tail { partition, from: None }).collect();
        // Markers, and records that are gone, count as well.
        let stretch = |p: Progress| Stretch {
            topic: p.partition.topic.to_string(),
            partition: p.partition.partition as u32,
            from: p.from.max(p.end.saturating_sub(each)),
            end: p.end,
        };
        Ok(ends(&self.properties, &tails)?.into_iter().map(stretch).collect())
    }

    fn read(&self, stretches: &[Stretch], each: Each<'_>) -> anyhow::Result<()> {
        let tail = |stretch: &Stretch| Tail {
            partition: TopicPartition::new(stretch.topic.as_str(), stretch.partition as i32),
            from: Some(stretch.from),
        };
        let tails: Vec<_> = stretches.iter().map(tail).collect();
        let mut replay = Replay::start(&self.properties, &self.topology.pipeline, &tails, QUEUE_BYTES_MAX)?;
        let mut heard = Instant::now();
        // Its own end may lie behind what has come meanwhile.
        let is_done = |replay: &Replay| replay.progress().iter().zip(stretches).all(|(p, s)| p.next >= s.end);
        while !replay.is_done() && !is_done(&replay) {
            let read = replay.read(MESSAGES_MAX, LOOK_WAIT)?;
            if !read.is_empty() {
                heard = Instant::now();
            }
            for fetched in read {
                let (end, mut row) = (stretches[fetched.tag].end, 0);
                for (first, count) in fetched.offsets.runs() {
                    let wanted = usize::try_from(end - first).unwrap_or(0).min(count);
                    if wanted > 0 && !each(fetched.tag, first, fetched.batch.slice(row, row + wanted))? {
                        return Ok(());
                    }
                    row += count;
                }
            }
            // A transaction that is open there ends in its own time.
            if heard.elapsed() > SILENCE_MAX {
                bail!("nothing came from the brokers for {} s", SILENCE_MAX.as_secs());
            }
        }
        Ok(())
    }
}
