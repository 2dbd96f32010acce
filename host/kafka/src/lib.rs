//! The Kafka client: one static group member with forwarded queues, one transactional producer for each worker, internal
//! topics, replay of changelogs. The only crate that knows librdkafka; no engine, no state, no decision about tasks here.

pub mod admin;

pub mod config;

pub mod consumer;

pub mod fetch;

pub mod replay;

pub mod error;

pub mod group_metadata;

mod native;

pub mod producer;
