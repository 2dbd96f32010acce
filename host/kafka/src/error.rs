//! What failed at the broker or the client, by what the receiver must do. librdkafka's codes end here.

/// An error of the client, by the duty of who receives it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// Nothing has happened; the same may be tried again, later.
    #[error("{0}")]
    Retry(String),
    /// The transaction must be aborted; afterwards the same may be tried again.
    #[error("the transaction must be aborted: {0}")]
    Abort(String),
    /// Somebody else has taken over, or the broker has given this producer or member up: nothing of it may be used any more.
    #[error("fenced: {0}")]
    Fenced(String),
    /// It happened or it did not: to be resolved before anything else.
    #[error("the outcome is not known: {0}")]
    Unknown(String),
    /// What was asked can never be right: a wrong setting, a missing permission, a record that is refused.
    #[error("{0}")]
    Refused(String),
    /// The client or its data is in a state that trying again cannot mend.
    #[error("{0}")]
    Fatal(String),
}
