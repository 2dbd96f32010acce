//! The consumer: one group member for the host, one reader for each worker.
//!
//! The client fetches for all of them; each partition's queue is forwarded to the queue of the worker that owns its task,
//! and the worker takes many messages a call from it. librdkafka calls concurrent batch calls unsupported; disjoint queues
//! work under one rule, held by [`parking`]: **no pause, resume, assign or unassign while any worker is inside a batch
//! call**. What would break otherwise: a call that ends after partitions changed hands writes an old position into the
//! client's books, and a later resume would begin there.
//!
//! A batch call writes the offset of *every* message into those books, that of an error or of an end of a partition too (librdkafka
//! 2.12.1, `rd_kafka_q_serve_rkmessages`). With ends told (`enable.partition.eof`) a pause, also the one that the client makes by
//! itself while the group rebalances, would then skip the next record. So ends are not asked for here: positions and high
//! watermarks are looked at instead. And after an error of a partition its position is set anew before it is used.
//!
//! "One consumer that is only assigned to, for each worker" could take the place of the forwarded queues behind the same
//! types: [`Member`] would keep the group and tell the readers' own clients what to assign.
//!
//! No task, no state, no start offset is decided here.

mod closing;
mod committing;
pub(crate) mod context;
mod kept_out;
pub mod member;
pub(crate) mod native;
mod ownership;
pub mod parking;
pub mod reader;
mod shared;
pub(crate) mod slots;
mod terms;

pub use committing::Committing;
pub use member::{Member, Ownership};
pub use ownership::Token;
pub use reader::{Closed, Read, Reader, Waker};
pub use shared::Watch;
pub use terms::{Committed, Event, Leave, Move, Placement, Settings};
