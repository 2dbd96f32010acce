//! A pipeline on Kafka as its HTTP API sees it. Records are written and read with Kafka's own tools there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topic as PlannedTopic;
use millstream_kafka::fetch::TopicPartition;
use millstream_web::api::{Append, Deploy, Question, Sink, Totals};
use millstream_web::types::trials::Probation;
use millstream_web::types::{
    Appended, Deployed, Function, History, Partition, Pipeline, Position, Rows, Store, Task, Together, Topic,
};
use millstream_web::{Api, Kind, Problem};

use super::{failed, fleet, followed, running, stores, task, unknown};
use crate::runtime::kafka::KafkaHost;
use crate::runtime::lines::Lines;
use crate::runtime::status::TaskStatus;
use crate::runtime::worker::wall_ms;

/// A running host for the HTTP API.
pub struct KafkaApi {
    pub(super) host: Arc<KafkaHost>,
    /// Lines of its functions.
    pub(super) lines: Arc<Lines>,
    started: Instant,
    started_at: i64,
}

fn partitions(topic: &PlannedTopic) -> Vec<TopicPartition> {
    (0..topic.partitions).map(|p| TopicPartition::new(topic.name.as_str(), p as i32)).collect()
}

/// What is not there on Kafka.
fn elsewhere(what: &str) -> Problem {
    Problem::new(Kind::NotOnKafka, what.to_string())
}

impl KafkaApi {
    /// The API of a host that has just been started.
    pub fn new(host: Arc<KafkaHost>, lines: Arc<Lines>) -> Self {
        Self { host, lines, started: Instant::now(), started_at: wall_ms() }
    }

    /// Committed positions of a task.
    fn places(&self, id: TaskId, status: &TaskStatus) -> Vec<(TopicPartition, i64)> {
        let topology = &self.host.topology;
        let there = status.positions.iter().filter(|(topic, _)| id.partition < topology.topics[*topic].partitions);
        let place = |topic: usize| TopicPartition::new(topology.topics[topic].name.as_str(), id.partition as i32);
        there.map(|(topic, at)| (place(*topic), *at)).collect()
    }

    /// All partitions that this host's tasks read.
    fn read(&self) -> Vec<TopicPartition> {
        let told = self.host.status.tasks();
        told.iter().flat_map(|(id, status)| self.places(*id, status)).map(|(place, _)| place).collect()
    }

    /// Topics with where their logs begin and end.
    fn told<'a>(&self, topics: impl Iterator<Item = &'a PlannedTopic> + Clone) -> Vec<Topic> {
        let ends = self.host.ends.of(&topics.clone().flat_map(partitions).collect::<Vec<_>>());
        let partition = |p: &TopicPartition| {
            let (start, end) = ends.get(p).map_or((0, 0), |ends| (ends.low, ends.stable));
            Partition { partition: p.partition as u32, start, end, bytes: 0 }
        };
        let one = |topic: &PlannedTopic| Topic {
            name: topic.name.clone(),
            internal: topic.internal,
            retention_ms: None,
            retention_bytes: None,
            partitions: partitions(topic).iter().map(partition).collect(),
        };
        topics.map(one).collect()
    }
}

impl Api for KafkaApi {
    fn pipeline(&self) -> Pipeline {
        let host = &self.host;
        running(&host.pipeline, &host.topology, &host.pause, "kafka", self.started_at)
    }

    fn pause(&self) -> Result<Pipeline, Problem> {
        self.host.pause.ask(true).map_err(|e| failed(&e))?;
        Ok(self.pipeline())
    }

    fn resume(&self) -> Result<Pipeline, Problem> {
        self.host.pause.ask(false).map_err(|e| failed(&e))?;
        Ok(self.pipeline())
    }

    fn not_ready(&self) -> Vec<String> {
        self.host.not_ready()
    }

    /// Those that this host has.
    fn tasks(&self) -> Result<Vec<Task>, Problem> {
        let told = self.host.status.tasks();
        let ends = self.host.ends.of(&self.read());
        let position = |(place, offset): (TopicPartition, i64)| Position {
            topic: place.topic.to_string(),
            offset,
            // Read committed: what comes behind an open transaction cannot be read yet.
            end: ends.get(&place).map_or(offset, |ends| ends.stable),
        };
        let one = |(id, status): (&TaskId, &TaskStatus)| {
            task(*id, self.places(*id, status).into_iter().map(position).collect(), status)
        };
        Ok(told.iter().map(one).collect())
    }

    fn functions(&self) -> Result<Vec<Function>, Problem> {
        Ok(fleet::functions(&self.host.fleet, &self.host.registry, &self.host.status, &self.host.topology.functions))
    }

    fn history(&self, function: &str) -> Result<History, Problem> {
        fleet::history(&self.host.fleet, &self.host.topology.functions, function)
    }

    fn deploy(&self, deploys: &[Deploy<'_>]) -> Result<Together, Problem> {
        fleet::deploy(&self.host.fleet, &self.host.topology, deploys)
    }

    fn component(&self, function: &str, version: Option<u64>) -> Result<Vec<u8>, Problem> {
        fleet::component(&self.host.fleet, &self.host.topology.functions, function, version)
    }

    fn probation(&self, function: &str) -> Result<Probation, Problem> {
        fleet::probation(&self.host.fleet, &self.host.topology.functions, function)
    }

    fn promote(&self, function: &str) -> Result<Deployed, Problem> {
        fleet::promote(&self.host.fleet, &self.host.topology.functions, function)
    }

    fn abandon(&self, function: &str) -> Result<(), Problem> {
        fleet::abandon(&self.host.fleet, &self.host.topology.functions, function)
    }

    fn rollback(&self, function: &str, to: Option<u64>) -> Result<Deployed, Problem> {
        fleet::rollback(&self.host.fleet, &self.host.topology.functions, function, to)
    }

    fn stores(&self) -> Vec<Store> {
        stores::list(&self.host.topology)
    }

    fn rows(&self, question: &Question) -> Result<Rows, Problem> {
        stores::rows(&self.host.topology, self.host.as_ref(), question)
    }

    fn topics(&self) -> Result<Vec<Topic>, Problem> {
        Ok(self.told(self.host.topology.topics.iter()))
    }

    fn topic(&self, topic: &str) -> Result<Topic, Problem> {
        let topics = &self.host.topology.topics;
        let known = || topics.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        let found = topics.iter().find(|t| t.name == topic);
        let found = found.ok_or_else(|| unknown(Kind::UnknownTopic, "topic", topic, &known()))?;
        self.told([found].into_iter()).pop().ok_or_else(|| unknown(Kind::UnknownTopic, "topic", topic, &known()))
    }

    fn append(&self, _: Append<'_>) -> Result<Appended, Problem> {
        Err(elsewhere("records are written with Kafka's own tools here, such as kafka-console-producer.sh"))
    }

    fn read(&self, _: &str, _: u32, _: i64, _: Sink<'_>) -> Result<i64, Problem> {
        Err(elsewhere("records are read with Kafka's own tools here, such as kafka-console-consumer.sh"))
    }

    fn generation(&self) -> u64 {
        0
    }

    fn wait(&self, _: u64, longest: Duration) {
        std::thread::sleep(longest);
    }

    fn totals(&self) -> Totals {
        let read = self.read();
        // Before their age is looked at.
        self.host.ends.of(&read);
        let topology = &self.host.topology;
        let tables = topology.globals.iter().flat_map(|table| &table.topics).map(|topic| &topology.topics[*topic]);
        let ends = self.host.ends.of(&tables.flat_map(partitions).collect::<Vec<_>>());
        let ends_of = |topic: &str, partition: u32| {
            let ends = ends.get(&TopicPartition::new(topic, partition as i32))?;
            Some((ends.low, ends.stable))
        };
        let followed = self.host.global_rows().map(|rows| followed(rows, topology, ends_of)).unwrap_or_default();
        Totals {
            memory_bytes: vec![("state-caches", self.host.directory.memory_bytes() as u64)],
            ends_age_seconds: Some(self.host.ends.age(&read).as_secs_f64()),
            followed,
            ..super::totals(&self.host.status, self.started)
        }
    }
}
