//! The end of a membership. The client waits for an answer to each thing that it has told, and does not end before; and where it has
//! ended, it answers no call any more.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::context::{Report, assign, unassign};
use super::native::Client;
use crate::error::KafkaError;

/// How long a close waits for the group to let the member go.
const WAIT: Duration = Duration::from_secs(5);

/// One poll of the client meanwhile.
const POLL: Duration = Duration::from_millis(50);

/// Closes a client. `pending`: what it has told and got no answer to. `leaves`: it leaves the group first, and this says whether it is
/// still a member.
///
/// # Errors
/// [`KafkaError::Retry`]: the group did not answer in time; what is left of the client goes with the process.
pub(super) fn close(
    client: Arc<Client>,
    pending: Option<Report>,
    leaves: Option<&dyn Fn() -> bool>,
) -> Result<(), KafkaError> {
    let until = Instant::now() + WAIT;
    // While the client is there to take it. What is told later is answered below.
    if let Some(last) = untold(&client).or(pending) {
        decline(&client, &last);
    }
    if let Some(is_member) = leaves {
        client.unsubscribe();
        while is_member() && Instant::now() < until {
            client.poll(POLL);
            told(&client).iter().for_each(|report| decline(&client, report));
        }
    }
    // Its errors: closed already, or a fatal error, after which the client closes without the group.
    if client.close_queue().is_err() {
        return Ok(());
    }
    while !client.closed() && Instant::now() < until {
        client.poll(POLL);
        told(&client).into_iter().for_each(|report| decline_apart(&client, report));
    }
    if client.closed() {
        return Ok(());
    }
    // To drop it would be to wait on, without an end.
    std::mem::forget(client);
    Err(KafkaError::Retry("the group did not let this member go in time".into()))
}

/// The last of what the client has told, or has ready to be told: what came before is void.
fn untold(client: &Client) -> Option<Report> {
    let mut last = None;
    loop {
        let is_more = client.poll(Duration::ZERO).is_some();
        let told = told(client);
        if !is_more && told.is_empty() {
            return last;
        }
        last = told.into_iter().last().or(last);
    }
}

/// What waits for an answer.
fn told(client: &Client) -> Vec<Report> {
    let all = std::iter::from_fn(|| client.context().take());
    all.filter(|report| !matches!(report, Report::Error(_))).collect()
}

/// Gives the group its answer: nothing is taken, and everything given back.
fn decline(client: &Client, report: &Report) {
    let answered = match report {
        Report::Error(_) => Ok(()),
        // To give them back, which were never taken, would be no answer.
        Report::Assign(_) => assign(client, &TopicPartitionList::new()),
        Report::Revoke(partitions) => unassign(client, partitions),
    };
    if let Err(error) = answered {
        tracing::debug!("answer the group while closing: {error}");
    }
}

/// The same by a thread of its own. The client may end by itself just now, and librdkafka (2.12.1, `rd_kafka_cgrp_op_serve`) drops a call
/// that meets this, so that it never comes back.
fn decline_apart(client: &Arc<Client>, report: Report) {
    let client = client.clone();
    let thread = thread::Builder::new().name("answer-group".into());
    if let Err(error) = thread.spawn(move || decline(&client, &report)) {
        tracing::warn!("answer the group while closing: {error}");
    }
}
