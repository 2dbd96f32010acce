//! The last records of the sources, for versions on trial: from the topics of local mode.

use anyhow::Context;

use super::Host;
use super::probation::{Each, Past, Stretch};
use super::replay::Ground;
use super::worker::FETCH_BYTES_MAX;
use millstream_core::topology::graph::Topology;

/// Topics of the user's that tasks of these sub-topologies read, each once.
pub(super) fn sources(topology: &Topology, subs: impl Iterator<Item = usize>) -> Vec<&str> {
    let inputs = subs.filter_map(|sub| topology.subs.get(sub)).flat_map(|sub| &sub.inputs);
    let mut topics: Vec<&str> = inputs
        .map(|input| &topology.topics[input.topic])
        .filter(|topic| !topic.internal)
        .map(|topic| topic.name.as_str())
        .collect();
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// How many records of each of so many partitions are about `count` of all.
pub(super) fn of_each(count: u64, partitions: usize) -> i64 {
    i64::try_from(count.div_ceil(partitions.max(1) as u64)).unwrap_or(i64::MAX)
}

impl Past for Host {
    fn ground(&self) -> Ground<'_> {
        self.replay_ground()
    }

    fn last(&self, count: u64) -> anyhow::Result<Vec<Stretch>> {
        let log = &self.storage.log;
        let mut all = Vec::new();
        for topic in sources(&self.topology, 0..self.topology.subs.len()) {
            let partitions = log.topic(topic).context("look a source up")?.partitions;
            all.extend((0..partitions).map(|partition| (topic, partition)));
        }
        let each = of_each(count, all.len());
        let stretch = |(topic, partition): (&str, u32)| {
            let (start, end) = (log.start_offset(topic, partition)?, log.end_offset(topic, partition)?);
            Some(Stretch { topic: topic.to_string(), partition, from: start.max(end - each), end })
        };
        Ok(all.into_iter().filter_map(stretch).collect())
    }

    fn read(&self, stretches: &[Stretch], each: Each<'_>) -> anyhow::Result<()> {
        for (number, stretch) in stretches.iter().enumerate() {
            let mut offset = stretch.from;
            while offset < stretch.end {
                let log = &self.storage.log;
                let read = log.read(&stretch.topic, stretch.partition, offset, FETCH_BYTES_MAX);
                let read = read.with_context(|| format!("read `{}` at offset {offset}", stretch.topic))?;
                // What came meanwhile is not of the last records then.
                let wanted = usize::try_from(stretch.end - read.base_offset).unwrap_or(0).min(read.batch.len());
                if wanted == 0 {
                    break;
                }
                offset = read.base_offset + wanted as i64;
                if !each(number, read.base_offset, read.batch.slice(0, wanted))? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_shared_among_partitions() {
        assert_eq!((of_each(100, 4), of_each(10, 4), of_each(1, 4), of_each(7, 0)), (25, 3, 1, 7));
        assert_eq!(of_each(u64::MAX, 1), i64::MAX);
    }
}
