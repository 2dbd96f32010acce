//! A pipeline on Kafka as its HTTP API sees it. Records are written and read with Kafka's own tools there, and functions are those
//! of the manifest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_core::function::Prepared;
use millstream_core::task::TaskId;
use millstream_kafka::fetch::TopicPartition;
use millstream_web::api::{Append, Deploy, Sink, Totals};
use millstream_web::types::{
    Appended, Deployed, Function, History, Partition, Pipeline, Position, Task, Topic, Version,
};
use millstream_web::{Api, Kind, Problem};

use super::{task, unknown, work};
use crate::runtime::functions;
use crate::runtime::kafka::KafkaHost;
use crate::runtime::plan::{self, user_topics};
use crate::runtime::status::TaskStatus;
use crate::runtime::worker::wall_ms;

/// A running host for the HTTP API.
pub struct KafkaApi {
    host: Arc<KafkaHost>,
    started: Instant,
    started_at: i64,
    /// Of each function what runs, found out once: its file may be another one later.
    versions: Vec<Option<Version>>,
}

/// What is not there on Kafka.
fn elsewhere(what: &str) -> Problem {
    Problem::new(Kind::NotOnKafka, what.to_string())
}

impl KafkaApi {
    /// The API of a host that has just been started.
    pub fn new(host: Arc<KafkaHost>) -> Self {
        let started_at = wall_ms();
        let version = |function: &plan::Function| {
            let bytes = std::fs::read(&function.component).ok()?;
            Some(Version {
                number: 1,
                epoch: crate::runtime::kafka::EPOCH,
                digest: functions::digest(&bytes),
                origin: function.component.display().to_string(),
                proposed_at: started_at,
                settings: serde_json::from_str(&function.settings).unwrap_or_default(),
            })
        };
        let versions = host.pipeline.functions.iter().map(version).collect();
        Self { host, started: Instant::now(), started_at, versions }
    }

    /// Committed positions, with the ends of what can be read.
    fn positions(&self, id: TaskId, status: &TaskStatus) -> Result<Vec<Position>, Problem> {
        let topology = &self.host.topology;
        let there = status.positions.iter().filter(|(topic, _)| id.partition < topology.topics[*topic].partitions);
        let place = |topic: usize| TopicPartition::new(topology.topics[topic].name.as_str(), id.partition as i32);
        let places: Vec<(TopicPartition, i64)> = there.map(|(topic, at)| (place(*topic), *at)).collect();
        let asked: Vec<TopicPartition> = places.iter().map(|(p, _)| p.clone()).collect();
        let ends =
            self.host.admin.watermarks(&asked).map_err(|e| Problem::new(Kind::StorageUnavailable, e.to_string()))?;
        let position = |(p, offset): (TopicPartition, i64)| Position {
            topic: p.topic.to_string(),
            offset,
            end: ends.get(&p).map_or(offset, |ends| ends.stable),
        };
        Ok(places.into_iter().map(position).collect())
    }

    fn function(&self, name: &str) -> Result<usize, Problem> {
        let known = &self.host.topology.functions;
        known.iter().position(|f| f == name).ok_or_else(|| unknown(Kind::UnknownFunction, "function", name, known))
    }
}

impl Api for KafkaApi {
    fn pipeline(&self) -> Pipeline {
        let (pipeline, topology) = (&self.host.pipeline, &self.host.topology);
        Pipeline {
            name: pipeline.spec.pipeline.clone(),
            host_version: env!("CARGO_PKG_VERSION").to_string(),
            mode: "kafka".to_string(),
            started_at: self.started_at,
            commit_interval_ms: pipeline.commit_interval_ms,
            tasks: topology.subs.iter().map(|sub| sub.tasks).sum(),
            functions: topology.functions.clone(),
            topics: user_topics(&pipeline.spec),
        }
    }

    fn not_ready(&self) -> Vec<String> {
        self.host.not_ready().into_iter().collect()
    }

    /// Those that this host has.
    fn tasks(&self) -> Result<Vec<Task>, Problem> {
        let told = self.host.status.tasks();
        told.iter().map(|(id, status)| Ok(task(*id, self.positions(*id, status)?, status))).collect()
    }

    fn functions(&self) -> Result<Vec<Function>, Problem> {
        let all = self.host.pipeline.functions.iter().zip(&self.versions).zip(&self.host.prepared);
        let one = |((function, version), prepared): ((&plan::Function, &Option<Version>), &Prepared)| Function {
            name: function.name.clone(),
            version: version.clone(),
            deploying: false,
            work: Some(work(&self.host.registry.stats(*prepared))),
        };
        Ok(all.map(one).collect())
    }

    fn history(&self, function: &str) -> Result<History, Problem> {
        let number = self.function(function)?;
        let past = |version: &Version| millstream_web::types::Past { version: version.clone(), switches: Vec::new() };
        let versions = self.versions[number].iter().map(past).collect();
        Ok(History { function: function.to_string(), versions, rejected: Vec::new() })
    }

    fn deploy(&self, deploy: Deploy<'_>) -> Result<Deployed, Problem> {
        self.function(deploy.function)?;
        Err(elsewhere(
            "deploying to a running pipeline is there in local mode only, until all hosts of a fleet can take it over together: \
             change the manifest's component and start the hosts again, one after the other",
        ))
    }

    fn rollback(&self, function: &str, _: Option<u64>) -> Result<Deployed, Problem> {
        self.function(function)?;
        Err(elsewhere(
            "going back is there in local mode only: name the earlier component in the manifest and start again",
        ))
    }

    fn topics(&self) -> Result<Vec<Topic>, Problem> {
        self.host.topology.topics.iter().map(|topic| self.topic(&topic.name)).collect()
    }

    fn topic(&self, topic: &str) -> Result<Topic, Problem> {
        let topics = &self.host.topology.topics;
        let known = || topics.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        let found = topics.iter().find(|t| t.name == topic);
        let found = found.ok_or_else(|| unknown(Kind::UnknownTopic, "topic", topic, &known()))?;
        let all: Vec<TopicPartition> = (0..found.partitions).map(|p| TopicPartition::new(topic, p as i32)).collect();
        let ends =
            self.host.admin.watermarks(&all).map_err(|e| Problem::new(Kind::StorageUnavailable, e.to_string()))?;
        let partition = |p: &TopicPartition| {
            let (start, end) = ends.get(p).map_or((0, 0), |ends| (ends.low, ends.stable));
            Partition { partition: p.partition as u32, start, end, bytes: 0 }
        };
        Ok(Topic {
            internal: found.internal,
            retention_ms: None,
            retention_bytes: None,
            partitions: all.iter().map(partition).collect(),
            name: found.name.clone(),
        })
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
        super::totals(&self.host.status, self.started)
    }
}
