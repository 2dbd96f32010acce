//! Tables joined by foreign key: a function names, for each left row, the right row that it belongs to. Left and right are in
//! different tasks, which talk through two internal topics:
//!
//! ```text
//! left table ─▶ foreign keys ─▶ left ──▶ NAME-subscriptions-repartition ──▶ right ◀─ right table
//!                               ▲ │                                          │
//!                    the result │ └◀─────── NAME-answers-repartition ◀───────┘
//! ```
//!
//! The idea is that of Kafka Streams (KIP-213, KIP-213's `SubscriptionWrapper`); what differs is said in ADR 0015. Answers for one foreign
//! key come in the order in which it was asked for and changed, so the last that a row accepts is about what both rows are.

mod left;
mod message;
mod right;

pub(crate) use left::{Left, left};
pub(crate) use message::partition_of;
pub(crate) use right::right;
