//! Topics: their names, counts and configuration, made, changed and deleted. Not their records.

use millstream_core::state::keyspace::{Durability, StorageError, Write};

use crate::log::{ChangeError, Extent, Log, Topic};
use crate::rows::{self, TopicRow};

/// Topics that may be there at once.
pub const TOPICS_MAX: usize = 1_000;

/// Partitions that a topic may have.
pub const PARTITIONS_MAX: u32 = 1_024;

/// Characters of a topic's name, as in Kafka.
pub const NAME_LENGTH_MAX: usize = 249;

/// How a topic is kept.
///
/// Retention goes by the records' own timestamps, as in Kafka: records of years ago are dropped as soon as they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicConfig {
    /// Records older than this may be dropped, milliseconds; `None`: never for their age.
    pub retention_ms: Option<i64>,
    /// Bytes of a partition that are kept; what is older may be dropped. `None`: never for its size.
    pub retention_bytes: Option<u64>,
    /// Made by a pipeline for itself, not by a user.
    pub internal: bool,
}

/// A topic as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Number of partitions; they are numbered from 0.
    pub partitions: u32,
    /// How it is kept.
    pub config: TopicConfig,
}

/// Why a topic was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The name is not one that Kafka would take.
    #[error(
        "`{name}` cannot name a topic: {why}; a name has 1 to {NAME_LENGTH_MAX} of the characters a-z, A-Z, 0-9, `.`, `_`, `-`"
    )]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Too few or too many partitions.
    #[error("topic `{topic}` cannot have {asked} partitions; it may have 1 to {PARTITIONS_MAX}")]
    Partitions {
        /// The topic.
        topic: String,
        /// The count.
        asked: u32,
    },
    /// A time to keep records that is below 0.
    #[error(
        "topic `{topic}` cannot keep records for {retention_ms} ms; give 0 or more, or nothing to keep them for ever"
    )]
    Retention {
        /// The topic.
        topic: String,
        /// The time.
        retention_ms: i64,
    },
    /// A topic of this name is there.
    #[error("topic `{topic}` exists already, with {there} partitions (asked for: {asked})")]
    Exists {
        /// The topic.
        topic: String,
        /// Partitions that it has.
        there: u32,
        /// Partitions that were asked for.
        asked: u32,
    },
    /// There are [`TOPICS_MAX`] topics.
    #[error("topic `{topic}` would be one too many; there may be {TOPICS_MAX}: delete one that is not needed")]
    TooMany {
        /// The topic.
        topic: String,
    },
    /// Storage failed; the topic is not there.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The rule of Kafka's `Topic.validate`.
fn check_name(name: &str) -> Result<(), CreateError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let why = if name.is_empty() {
        "it is empty".to_string()
    } else if name == "." || name == ".." {
        "it would name a folder".to_string()
    } else if name.chars().count() > NAME_LENGTH_MAX {
        format!("it has {} characters", name.chars().count())
    } else if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        format!("it has the character {c:?}")
    } else {
        return Ok(());
    };
    Err(CreateError::Name { name: name.to_string(), why })
}

impl Log {
    /// Makes a topic with empty partitions. It survives a power cut.
    ///
    /// # Errors
    /// [`CreateError`]; then nothing was made.
    pub fn create_topic(&self, name: &str, partitions: u32, config: TopicConfig) -> Result<(), CreateError> {
        check_name(name)?;
        let topic = || name.to_string();
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(CreateError::Partitions { topic: topic(), asked: partitions });
        }
        if let Some(retention_ms) = config.retention_ms.filter(|ms| *ms < 0) {
            return Err(CreateError::Retention { topic: topic(), retention_ms });
        }
        let _writing = self.writing();
        if let Some(there) = self.topic(name) {
            return Err(CreateError::Exists { topic: topic(), there: there.partitions, asked: partitions });
        }
        let (id, count) = {
            let catalog = self.catalog();
            (catalog.next_id, catalog.topics.len())
        };
        if count >= TOPICS_MAX || id == u32::MAX {
            return Err(CreateError::TooMany { topic: topic() });
        }
        let row = TopicRow { id, partitions, config };
        let writes = vec![
            Write::Put(self.spaces.topics, rows::next_id_key(), rows::encode_number(u64::from(id) + 1)),
            Write::Put(self.spaces.topics, rows::topic_key(name), row.encode()),
        ];
        self.db.apply(writes, Durability::Device)?;
        let extents = vec![Extent::default(); partitions as usize];
        let mut catalog = self.catalog_mut();
        catalog.next_id = id + 1;
        catalog.topics.insert(topic(), Topic { id, config, extents });
        Ok(())
    }

    /// Changes how a topic is kept; records go by it at the next [`Log::enforce_retention`].
    ///
    /// # Errors
    /// [`ChangeError`]; then nothing was changed.
    pub fn set_config(&self, name: &str, config: TopicConfig) -> Result<(), ChangeError> {
        if let Some(retention_ms) = config.retention_ms.filter(|ms| *ms < 0) {
            return Err(ChangeError::Retention { topic: name.to_string(), retention_ms });
        }
        let _writing = self.writing();
        let row = {
            let catalog = self.catalog();
            let topic = catalog.topic(name)?;
            TopicRow { id: topic.id, partitions: topic.extents.len() as u32, config }
        };
        let write = Write::Put(self.spaces.topics, rows::topic_key(name), row.encode());
        self.db.apply(vec![write], Durability::Device)?;
        if let Some(topic) = self.catalog_mut().topics.get_mut(name) {
            topic.config = config;
        }
        Ok(())
    }

    /// Deletes a topic and all its records. A later topic of the same name begins at offset 0 and shares nothing with it.
    ///
    /// # Errors
    /// [`ChangeError`]; then the topic is there as before.
    pub fn delete_topic(&self, name: &str) -> Result<(), ChangeError> {
        let _writing = self.writing();
        let id = self.catalog().topic(name)?.id;
        let (from, to) = rows::keys_of_topic(&[], id);
        let (starts_from, starts_to) = rows::start_keys(id);
        let writes = vec![
            Write::Delete(self.spaces.topics, rows::topic_key(name)),
            Write::DeleteRange(self.spaces.topics, starts_from, starts_to),
            Write::DeleteRange(self.spaces.index, from.clone(), to.clone()),
            Write::DeleteRange(self.spaces.chunks, from, to),
        ];
        self.db.apply(writes, Durability::Device)?;
        self.catalog_mut().topics.remove(name);
        // Whoever waits for its records should learn that none will come.
        self.wake();
        Ok(())
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> Option<TopicInfo> {
        self.catalog().topics.get(name).map(|topic| info(name, topic))
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<TopicInfo> {
        self.catalog().topics.iter().map(|(name, topic)| info(name, topic)).collect()
    }
}

fn info(name: &str, topic: &Topic) -> TopicInfo {
    TopicInfo { name: name.to_string(), partitions: topic.extents.len() as u32, config: topic.config }
}
