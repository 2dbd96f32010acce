//! The two ways of an interval to the brokers, one for each guarantee, behind one door: what a committer asks of them, and how they
//! can fail. What is in an interval is the committer's, what an outcome means for tasks the engine's.

use std::time::Duration;

use millstream_core::record::Batch;
use millstream_core::state::keyspace::StorageError;
use millstream_core::task::TaskId;
use millstream_kafka::consumer::{Ownership, Token};
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::group_metadata::GroupMetadata;
use millstream_kafka::producer::OffsetToCommit;

use super::layout::Layout;

/// How long one call to the brokers may take before it is looked at again.
pub const CALL_WAIT: Duration = Duration::from_secs(5);

/// Pause before the same is tried again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Highest offset of an interval's records in each partition, as the brokers reported them.
pub type Highest = Vec<(TopicPartition, i64)>;

/// Makes the offsets to commit. Where state is not committed by the brokers together with them, their metadata says how far it is: for
/// that the highest offsets are given.
pub type Offsets<'a> = dyn Fn(Option<&Highest>) -> Result<Vec<OffsetToCommit>, Failed> + 'a;

/// A way. Calls come in this order: `begin`, `produce` as often as it takes, `commit`; and after any error that is not
/// [`Failed::Unknown`] `abort`.
pub trait Way: Send {
    /// Gets ready while there is nothing to commit yet, so that the first interval need not wait for it.
    ///
    /// # Errors
    /// Those of the brokers; it is done with the first interval then.
    fn prepare(&mut self) -> Result<(), KafkaError>;

    /// Begins an interval, if this host may commit it.
    ///
    /// # Errors
    /// See [`Failed`].
    fn begin(&mut self, leave: &Leave<'_>) -> Result<(), Failed>;

    /// Sends records.
    ///
    /// # Errors
    /// See [`Failed`].
    fn produce(&mut self, to: &TopicPartition, batch: &Batch) -> Result<(), Failed>;

    /// Ends the interval: its records are there, and then the offsets that stand for them.
    ///
    /// # Errors
    /// See [`Failed`].
    fn commit(&mut self, leave: &Leave<'_>, offsets: &Offsets<'_>) -> Result<Highest, Failed>;

    /// The producer's identity is somebody else's.
    fn taken(&mut self, why: &str);

    /// Drops what was begun.
    fn abort(&mut self);

    /// Finds out how a commit ended that is [`Failed::Unknown`]: whether it is there, and where its records stand, if that is known too.
    /// `is_there` asks the group, once no transaction is about to change the answer.
    fn find_out(&mut self, is_there: &dyn Fn() -> Result<bool, KafkaError>) -> (bool, Option<Highest>);
}

/// Why an interval was not committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Nothing of it counts: the same again.
    Again(String),
    /// It is there or not.
    Unknown(String),
    /// The tasks are somebody else's.
    Fenced(String),
    /// The producer's id is somebody else's.
    Taken(String),
    /// It can never be committed.
    Fatal(String),
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        Failed::Again(error.to_string())
    }
}

impl From<KafkaError> for Failed {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::Retry(why) | KafkaError::Abort(why) => Failed::Again(why),
            KafkaError::Fenced(why) => Failed::Taken(why),
            KafkaError::Unknown(why) => Failed::Unknown(why),
            KafkaError::Refused(why) | KafkaError::Fatal(why) => Failed::Fatal(why),
            forbidden @ KafkaError::Forbidden { .. } => Failed::Fatal(forbidden.to_string()),
        }
    }
}

/// Whether this host may commit an interval now.
pub struct Leave<'a> {
    /// Since when each task of the interval is this host's; `None`: one of them is not.
    pub held: Option<&'a [(TaskId, Token)]>,
    /// Which partition is whose.
    pub layout: &'a Layout,
    /// What is owned.
    pub ownership: &'a Ownership,
}

impl Leave<'_> {
    /// The token of now, if all of the interval's tasks have been this host's since they were opened.
    ///
    /// # Errors
    /// [`Failed::Fenced`].
    pub fn token(&self) -> Result<Token, Failed> {
        let renew = |(task, token): &(TaskId, Token)| {
            let partitions: Vec<TopicPartition> = self.layout.partitions(*task).collect();
            self.ownership.renew(*token, &partitions)
        };
        let renewed = self.held.and_then(|held| held.iter().map(renew).collect::<Option<Vec<_>>>());
        renewed
            .and_then(|all| all.last().copied())
            .ok_or_else(|| Failed::Fenced("this host has the tasks no longer".into()))
    }

    /// Metadata to commit with.
    ///
    /// # Errors
    /// [`Failed::Fenced`].
    pub fn metadata(&self) -> Result<GroupMetadata, Failed> {
        self.under_token(|token| Ok(self.ownership.metadata_if(token)))
    }

    /// Does something under the token of now.
    ///
    /// # Errors
    /// [`Failed::Fenced`], and those of `act`.
    pub fn under_token<R>(&self, act: impl Fn(Token) -> Result<Option<R>, Failed>) -> Result<R, Failed> {
        // Another task's coming or going between the two looks makes the second one fail.
        for _ in 0..2 {
            if let Some(done) = act(self.token()?)? {
                return Ok(done);
            }
        }
        Err(Failed::Fenced("this host is no member of its group any more".into()))
    }
}
