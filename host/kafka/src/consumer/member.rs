//! The group member: joins, hands out what the group gives and takes, and carries out the answers. Which worker owns a partition and
//! where it is read from is decided by the host; what is read goes past here, straight to the readers.
//!
//! ```text
//!                     Event::Assigned                    Event::Revoked, Event::Lost
//!   nothing pending ──────────────────▶ assign(…)   ──────────────────────────────────▶ release()
//!        ▲                                  │                                               │
//!        └──────────────────────────────────┴───────────────────────────────────────────────┘
//! ```
//!
//! In between the group waits for this member, so the host answers soon, and goes on polling while it prepares an answer.
//!
//! With the newer protocol brokers refuse a static member whose place they count as taken: by a process that was killed and whose
//! session is not over. librdkafka gives up for good then (2.12.1, `rd_kafka_cgrp_handle_ConsumerGroupHeartbeat`). A member that has
//! left in order may be replaced at once, so there is nothing to wait for beforehand. Here another client takes the place of the first
//! and asks again, until it is let in; readers notice nothing, since nothing was assigned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::{ClientConfig, Offset};

use super::closing;
use super::committing::Committing;
use super::context::{Context, Report, assign, typed, unassign};
use super::kept_out::KeptOut;
use super::native::{self, Client, Messages};
use super::ownership::{self, Token};
use super::reader::Reader;
use super::shared::{Shared, Watch};
use super::terms::{Committed, Event, Leave, Move, Placement, Settings};
use crate::config::{GroupProtocol, Properties};
use crate::error::KafkaError;
use crate::fetch::TopicPartition;
use crate::group_metadata::GroupMetadata;
use crate::producer::{OffsetToCommit, list};

/// How long partitions wait for the readers to be out of their batch calls; a reader leaves at once when it is woken.
const PARK_WAIT: Duration = Duration::from_secs(5);

/// How long the client may take to move.
const SEEK_WAIT: Duration = Duration::from_secs(5);

/// Smallest share of the fetch budget that a worker's queue can have; librdkafka takes no less than 1 KiB.
const QUEUE_BYTES_MIN: usize = 1 << 20;

/// See the module. Closes itself when dropped.
pub struct Member {
    shared: Arc<Shared>,
    ownership: Arc<ownership::Ownership<Arc<Shared>>>,
    pending: Option<Report>,
    config: ClientConfig,
    topics: Vec<String>,
    protocol: GroupProtocol,
    kept_out: KeptOut,
    closed: bool,
}

impl ownership::Membership for Arc<Shared> {
    fn read(&self) -> Option<GroupMetadata> {
        native::group_metadata(&self.client())
    }

    fn is_lost(&self) -> bool {
        self.client().assignment_lost()
    }
}

/// Leave to commit: for any thread, as long as it likes.
#[derive(Clone)]
pub struct Ownership(Arc<ownership::Ownership<Arc<Shared>>>);

impl Ownership {
    /// The token of now.
    pub fn token(&self) -> Token {
        self.0.token()
    }

    /// What `send_offsets_to_transaction` needs, while `token` is the one of now and this host is a member of its group; `None` means
    /// that nothing done under that token may be committed, unless [`Ownership::renew`] gives another.
    pub fn metadata_if(&self, token: Token) -> Option<GroupMetadata> {
        self.0.metadata_if(token)
    }

    /// Commits offsets outside of a transaction, while `token` is the one of now and this host is a member of its group; `None`: as for
    /// [`Ownership::metadata_if`]. The answer is waited for apart.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] for metadata that is too long.
    pub fn commit(&self, token: Token, offsets: &[OffsetToCommit]) -> Result<Option<Committing>, KafkaError> {
        let list = list(offsets)?;
        Ok(self.0.act_if(token, |shared| Committing::ask(&shared.client(), &list)))
    }

    /// The token of now, if all of these partitions have been owned without a break since `held`.
    pub fn renew(&self, held: Token, partitions: &[TopicPartition]) -> Option<Token> {
        self.0.renew(held, partitions)
    }
}

impl Member {
    /// Joins the group. Gives a reader for each worker.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] for settings that the client does not take.
    pub fn join(properties: &Properties, settings: &Settings) -> Result<(Self, Vec<Reader>), KafkaError> {
        assert!(settings.workers > 0, "a host has at least one worker");
        let mut config = properties.consumer(&settings.group, settings.instance.as_deref());
        let queue_bytes = (settings.fetch_bytes_max / settings.workers).max(QUEUE_BYTES_MIN);
        config.set("queued.max.messages.kbytes", (queue_bytes / 1024).to_string());
        // See the module `consumer`.
        config.set("enable.partition.eof", "false");
        let client = start(&config, &settings.topics)?;
        let shared = Arc::new(Shared::new(client, settings.workers, settings.buffer_bytes_max));
        let looked = Instant::now();
        let reader = |worker| Reader { shared: shared.clone(), worker, messages: Messages::default(), looked };
        let readers = (0..settings.workers).map(reader).collect();
        let member = Self {
            ownership: Arc::new(ownership::Ownership::new(shared.clone())),
            pending: None,
            config,
            topics: settings.topics.clone(),
            protocol: properties.group_protocol(),
            kept_out: KeptOut::default(),
            closed: false,
            shared,
        };
        Ok((member, readers))
    }

    /// Waits at most `timeout` for the next event. To be called again and again, also while an answer is prepared: the group
    /// gives up members that do not.
    pub fn poll(&mut self, timeout: Duration) -> Option<Event> {
        self.ask_again();
        if let Some(event) = self.next_event() {
            return Some(event);
        }
        // Its errors are in the context too, with the client's words.
        if let Some(Ok(message)) = self.shared.client().poll(timeout) {
            use rdkafka::Message as _;
            let place = TopicPartition::new(message.topic(), message.partition());
            return Some(Event::Error(KafkaError::Fatal(format!("a record of {place} came past its worker's queue"))));
        }
        self.next_event()
    }

    fn next_event(&mut self) -> Option<Event> {
        let client = self.shared.client();
        let report = client.context().take()?;
        let event = match &report {
            Report::Error(_) if let Some((code, reason)) = client.client().fatal_error() => {
                // The client gives everything back by itself, untold.
                let owned = self.ownership.lose_all();
                if code == RDKafkaErrorCode::UnreleasedInstanceId && !owned && self.pending.is_none() {
                    return self.keep_out(typed(code, &reason));
                }
                Event::Error(fatal(code, &reason))
            }
            Report::Error(error) => Event::Error(error.clone()),
            Report::Assign(partitions) => Event::Assigned(partitions.clone()),
            Report::Revoke(partitions) if client.assignment_lost() => Event::Lost(partitions.clone()),
            Report::Revoke(partitions) => Event::Revoked(partitions.clone()),
        };
        if !matches!(report, Report::Error(_)) {
            // One that was not answered is void: the client did not wait for the answer.
            self.pending = Some(report);
            self.kept_out.let_in();
        }
        Some(event)
    }

    /// The group keeps this member out: told at first, and now and then.
    fn keep_out(&mut self, why: KafkaError) -> Option<Event> {
        let waited = self.kept_out.refused(Instant::now())?;
        Some(Event::Error(match waited.as_secs() {
            0 => why,
            seconds => KafkaError::Retry(format!("{why}; this host has waited for {seconds} s")),
        }))
    }

    /// Asks the group again to let this member in, by another client, when it is time. Where a reader stays inside, or there is no
    /// client to be had, it is tried again.
    fn ask_again(&mut self) {
        if !self.kept_out.is_due(Instant::now()) {
            return;
        }
        let shared = self.shared.clone();
        let Ok(parked) = shared.park(PARK_WAIT) else { return };
        match start(&self.config, &self.topics) {
            Ok(client) => {
                drop(shared.replace(client, &parked));
                self.kept_out.asked();
            }
            Err(why) => tracing::warn!("ask the group again: {why}"),
        }
    }

    /// Whether what is assigned, or is about to be, was lost in the meantime: what [`Event::Revoked`] allowed is forbidden then.
    pub fn is_lost(&self) -> bool {
        self.shared.client().assignment_lost()
    }

    /// Answers [`Event::Assigned`], with a place for each partition. `None`: it is void, the group has moved on; what follows
    /// will be told.
    ///
    /// # Errors
    /// [`KafkaError::Retry`]: a reader did not leave its batch call in time, call it again. [`KafkaError::Refused`]: the placements
    /// are not those that were asked for. Others: the assignment failed, nothing is owned.
    pub fn assign(&mut self, placements: &[Placement]) -> Result<Option<Token>, KafkaError> {
        let Some(Report::Assign(partitions)) = &self.pending else {
            return Err(KafkaError::Refused("no assignment is waiting for an answer".into()));
        };
        self.check(partitions, placements)?;
        let shared = self.shared.clone();
        let parked = shared.park(PARK_WAIT).map_err(|error| KafkaError::Retry(error.to_string()))?;
        self.pending = None;
        // Who the member is now, and then whether it was lost before: what happens later makes it somebody else.
        let identity = self.ownership.identity();
        let is_member = identity.as_ref().is_some_and(|m| m.is_member() && m.generation() > 0);
        if shared.client().assignment_lost() || !is_member {
            // The client waits for an answer all the same, and tells then that it has lost them.
            self.carry_out(&[])?;
            return Ok(None);
        }
        let bound = identity.filter(|_| self.protocol == GroupProtocol::Classic);
        let token = self.ownership.gain(placements.iter().map(|p| p.partition.clone()), bound);
        if let Err(error) = self.carry_out(placements) {
            self.ownership.lose(placements.iter().map(|p| &p.partition));
            return Err(error);
        }
        drop(parked);
        Ok(Some(token))
    }

    /// Places partitions and tells the client, with all readers outside.
    fn carry_out(&self, placements: &[Placement]) -> Result<(), KafkaError> {
        let (source, failed) =
            (self.shared.source(), |error: ClientError| KafkaError::Fatal(format!("assign: {error}")));
        let client = &source.client;
        let mut list = TopicPartitionList::with_capacity(placements.len());
        for p in placements {
            let (topic, number) = (&*p.partition.topic, p.partition.partition);
            list.add_partition_offset(topic, number, Offset::Offset(p.start)).map_err(failed)?;
        }
        // A pause outlives the assignment that it was made in.
        client.resume(&list).map_err(failed)?;
        for p in placements {
            source.queues[p.worker].forward(&p.partition);
        }
        assign(client, &list).map_err(failed)?;
        for p in placements {
            let mut slots = self.shared.workers[p.worker].slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.remove(|gone| *gone == p.partition);
            slots.add(Arc::new(p.partition.clone()), p.tag, p.start, i64::MAX);
        }
        Ok(())
    }

    fn check(&self, partitions: &[TopicPartition], placements: &[Placement]) -> Result<(), KafkaError> {
        let refused = |why: String| Err(KafkaError::Refused(why));
        let asked: BTreeSet<_> = partitions.iter().collect();
        let placed: BTreeSet<_> = placements.iter().map(|p| &p.partition).collect();
        if let Some(partition) = asked.symmetric_difference(&placed).next() {
            let why = if asked.contains(partition) { "was assigned and has no place" } else { "was not assigned" };
            return refused(format!("{partition} {why}"));
        }
        if placements.len() != placed.len() {
            return refused("a partition has several places".into());
        }
        let mut tags = BTreeMap::new();
        for p in placements {
            if p.worker >= self.shared.workers.len() || p.start < 0 {
                return refused(format!("{}: worker {} from offset {} on", p.partition, p.worker, p.start));
            }
            if let Some(other) = tags.insert((p.worker, p.tag), &p.partition) {
                return refused(format!("worker {} calls both {other} and {} {}", p.worker, p.partition, p.tag));
            }
        }
        Ok(())
    }

    /// Answers [`Event::Revoked`] and [`Event::Lost`]: from here on the partitions are not this member's.
    ///
    /// # Errors
    /// [`KafkaError::Retry`]: a reader did not leave its batch call in time, call it again. [`KafkaError::Refused`]: nothing waits for
    /// an answer. [`KafkaError::Fatal`]: the client did not take it.
    pub fn release(&mut self) -> Result<Token, KafkaError> {
        let Some(Report::Revoke(partitions)) = &self.pending else {
            return Err(KafkaError::Refused("no partitions are waiting to be released".into()));
        };
        let partitions = partitions.clone();
        let shared = self.shared.clone();
        let parked = shared.park(PARK_WAIT).map_err(|error| KafkaError::Retry(error.to_string()))?;
        self.pending = None;
        let token = self.ownership.lose(&partitions);
        let gone: BTreeSet<_> = partitions.iter().collect();
        for worker in &shared.workers {
            let mut slots = worker.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.remove(|p| gone.contains(p));
        }
        unassign(&shared.client(), &partitions).map_err(|error| KafkaError::Fatal(format!("unassign: {error}")))?;
        drop(parked);
        Ok(token)
    }

    /// Reads assigned partitions on from elsewhere. What was read of them and not handed out yet is dropped.
    ///
    /// # Errors
    /// [`KafkaError::Retry`]: a reader did not leave its batch call in time, or the client did not answer; call it again.
    /// [`KafkaError::Refused`]: a partition is not assigned.
    pub fn rewind(&mut self, moves: &[Move]) -> Result<(), KafkaError> {
        let shared = self.shared.clone();
        let parked = shared.park(PARK_WAIT).map_err(|error| KafkaError::Retry(error.to_string()))?;
        let mut list = TopicPartitionList::with_capacity(moves.len());
        for m in moves {
            let offset = Offset::Offset(m.to);
            let added = list.add_partition_offset(&m.partition.topic, m.partition.partition, offset);
            added.map_err(|error| KafkaError::Refused(format!("{}: {error}", m.partition)))?;
        }
        let sought = shared.client().seek_partitions(list, SEEK_WAIT).map_err(asked)?;
        if let Some(error) = sought.elements().iter().find_map(|e| e.error().err()) {
            return Err(asked(error));
        }
        for m in moves {
            for worker in &shared.workers {
                let mut slots = worker.slots.lock().unwrap_or_else(PoisonError::into_inner);
                slots.moved(&m.partition, m.to, m.tag);
            }
        }
        drop(parked);
        Ok(())
    }

    /// The group's committed offsets, once no transaction is about to change them.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] after `timeout`, and when the group changes meanwhile.
    pub fn committed(&self, partitions: &[TopicPartition], timeout: Duration) -> Result<Vec<Committed>, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        partitions.iter().for_each(|p| {
            list.add_partition(&p.topic, p.partition);
        });
        let list = self.shared.client().committed_offsets(list, timeout).map_err(asked)?;
        let committed = |e: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            e.error().map_err(asked)?;
            let offset = match e.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let partition = TopicPartition::new(e.topic(), e.partition());
            Ok(Committed { partition, offset, metadata: e.metadata().to_owned() })
        };
        list.elements().iter().map(committed).collect()
    }

    /// First offset and end of a log as a reader sees it: the end is before the first transaction that is open.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] after `timeout`.
    pub fn ends(&self, partition: &TopicPartition, timeout: Duration) -> Result<(i64, i64), KafkaError> {
        self.shared.client().fetch_watermarks(&partition.topic, partition.partition, timeout).map_err(asked)
    }

    /// Leave to commit.
    pub fn ownership(&self) -> Ownership {
        Ownership(self.ownership.clone())
    }

    /// How long ago each worker last read.
    pub fn watch(&self) -> Watch {
        Watch(self.shared.clone())
    }

    /// The topics it reads.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Ends the membership; nothing may be committed any more, and readers get [`super::Closed`]. A static member keeps its partitions
    /// reserved until its session time-out, for a restart, unless `leave`: then others get them at once, where the protocol lets a
    /// static member go (the classic one; with the consumer protocol join without `instance`).
    ///
    /// # Errors
    /// [`KafkaError::Retry`]: the group did not answer in time; the member is gone all the same, for the group after its session time-out.
    pub fn close(mut self, leave: Leave) -> Result<(), KafkaError> {
        self.shut(leave)
    }

    fn shut(&mut self, leave: Leave) -> Result<(), KafkaError> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        self.ownership.lose_all();
        self.shared.parking.close();
        let parked = self.shared.park(PARK_WAIT);
        // With the newer protocol a client that closes tells the group which of both it is.
        let leaves = leave == Leave::AtOnce && self.protocol == GroupProtocol::Classic;
        // It gives its member id up when it leaves, which a static member that closes does not.
        let is_member = || self.ownership.identity().is_some_and(|m| !m.member().is_empty());
        closing::close(self.shared.client(), self.pending.take(), leaves.then_some(&is_member))?;
        parked.map(drop).map_err(|error| KafkaError::Retry(error.to_string()))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Err(error) = self.shut(Leave::AfterSession) {
            tracing::warn!("close the group member: {error}");
        }
    }
}

/// A client that is about to join.
fn start(config: &ClientConfig, topics: &[String]) -> Result<Client, KafkaError> {
    let refused = |error: ClientError| KafkaError::Refused(format!("start the group member: {error}"));
    let client: Client = config.create_with_context(Context::default()).map_err(refused)?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    client.subscribe(&topics).map_err(refused)?;
    Ok(client)
}

/// An error that ends the client.
fn fatal(code: RDKafkaErrorCode, reason: &str) -> KafkaError {
    match typed(code, reason) {
        KafkaError::Retry(text) => KafkaError::Fatal(text),
        other => other,
    }
}

/// An error of a question.
fn asked(error: ClientError) -> KafkaError {
    match error.rdkafka_error_code() {
        Some(code) => typed(code, &error.to_string()),
        None => KafkaError::Retry(error.to_string()),
    }
}
