//! Tables joined by foreign key: a function names, for each left row, the right row that it belongs to. Left and right are in
//! different tasks, which talk through two internal topics:
//!
//! ```text
//! left table ─▶ foreign keys ─▶ left ──▶ NAME-subscriptions-repartition ──▶ right ◀─ right table
//!                               ▲ │                                          │
//!                    the result │ └◀─────── NAME-answers-repartition ◀───────┘
//! ```
//!
//! The idea is that of Kafka Streams (KIP-213); what differs is said in ADR 0015. Answers for one foreign
//! key come in the order in which it was asked for and changed, so the last that a row accepts is about what both rows are.

mod left;
mod message;
mod right;

pub(crate) use left::{Left, left};
pub(crate) use message::partition_of;
pub(crate) use right::right;

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::flow::Flow;
use crate::record::BatchBuilder;

/// Messages as they come about.
#[derive(Default)]
struct Messages {
    batch: BatchBuilder,
    rows: Vec<u32>,
}

impl Messages {
    /// One more, set off by event `i`, with its time and headers; `row`: as flows have it.
    fn push(&mut self, events: &Flow, i: usize, row: u32, key: &[u8], message: &[u8]) {
        let headers = events.batch.headers.iter().flat_map(|h| h.of(i));
        self.batch.push(Some(key), Some(message), events.batch.timestamps[i], headers);
        self.rows.push(row);
    }

    fn flow(self) -> Flow {
        Flow { batch: self.batch.finish(), rows: Some(Arc::new(self.rows)), ..Flow::default() }
    }
}
