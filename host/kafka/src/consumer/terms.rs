//! What a host and its group member say to each other. Data only.

use crate::error::KafkaError;
use crate::fetch::TopicPartition;

/// How a host takes part in its group.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The group: name of the pipeline.
    pub group: String,
    /// Id of the host, by which the group knows it again after a restart; `None`: it leaves the group at once when it stops.
    pub instance: Option<String>,
    /// Topics that the pipeline reads.
    pub topics: Vec<String>,
    /// Number of workers, at least 1.
    pub workers: usize,
    /// Bytes of fetched records that may wait inside of the client, for all workers together.
    pub fetch_bytes_max: usize,
    /// Bytes of one partition that may wait for its worker, see [`super::Reader::waiting`].
    pub buffer_bytes_max: usize,
}

/// What the group did, or what went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// These partitions are this member's now, once it says so with [`super::Member::assign`].
    Assigned(Vec<TopicPartition>),
    /// These partitions go to somebody else: commit what is done, then [`super::Member::release`] them.
    Revoked(Vec<TopicPartition>),
    /// These partitions went to somebody else, perhaps long ago: nothing of them may be committed. Drop what is done, then
    /// [`super::Member::release`] them.
    Lost(Vec<TopicPartition>),
    /// Something went wrong; the client goes on by itself after a [`KafkaError::Retry`].
    Error(KafkaError),
}

/// Where an assigned partition goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The partition.
    pub partition: TopicPartition,
    /// The worker that reads it.
    pub worker: usize,
    /// What that worker calls it; different for each of its partitions.
    pub tag: usize,
    /// Offset of the first record to read.
    pub start: i64,
}

/// Where a partition is to be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The partition.
    pub partition: TopicPartition,
    /// Offset of the record that comes next.
    pub to: i64,
    /// What its worker calls it from here on, and it begins anew there; `None`: as before, and what was left out counts as read.
    pub tag: Option<usize>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The partition.
    pub partition: TopicPartition,
    /// Its offset; `None` where nothing was committed.
    pub offset: Option<i64>,
    /// What was committed beside it; empty where there is nothing.
    pub metadata: String,
}

/// What a member that ends does with its place in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Keeps it until the session time-out.
    AfterSession,
    /// Gives it up.
    AtOnce,
}
