//! Ends the transactions that dead hosts left open, for the host that gets their tasks: otherwise it and all read-committed readers
//! wait for them until their time-outs. Whose they are stands beside the committed offsets; who is dead the group knows.
//!
//! A host that is not counted in by its group has lost its tasks, dead or not, so that whatever it has open can only be aborted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use millstream_kafka::admin::{Admin, GroupMember};
use millstream_kafka::config::Properties;
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::end_dangling;
use tracing::{info, warn};

use super::metadata::Beside;

/// Brokers know a host by this and its id where it is no static member and the user chose no other name.
const CLIENT_PREFIX: &str = "millstream-";

/// How long one try to take an id over may take.
const INIT_WAIT: Duration = Duration::from_secs(5);

/// Pause before the same partitions are looked at again.
const AGAIN: Duration = Duration::from_secs(2);

/// See the module.
pub struct Heir {
    asks: Sender<Vec<TopicPartition>>,
    last: Option<(Vec<TopicPartition>, Instant)>,
}

/// What its thread works with.
pub struct Parts {
    /// The brokers.
    pub admin: Arc<Admin>,
    /// Of the client.
    pub properties: Properties,
    /// The pipeline, which is the group.
    pub pipeline: String,
    /// This host's id.
    pub host: String,
}

/// What a host is called at the brokers unless the user names it.
pub fn client_id(host: &str) -> String {
    format!("{CLIENT_PREFIX}{host}")
}

impl Heir {
    /// Starts its thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(parts: Parts) -> std::io::Result<Self> {
        let (asks, asked) = channel::<Vec<TopicPartition>>();
        let mut ended = BTreeSet::new();
        std::thread::Builder::new().name("heir".into()).spawn(move || {
            while let Ok(mut partitions) = asked.recv() {
                // The last is what is offered now.
                while let Ok(later) = asked.try_recv() {
                    partitions = later;
                }
                if let Err(why) = parts.end(&partitions, &mut ended) {
                    info!(reason = %why, "what dead hosts left open is left to its time-out, or tried again");
                }
            }
        })?;
        Ok(Self { asks, last: None })
    }

    /// These partitions are about to be this host's.
    pub fn inherit(&mut self, partitions: &[TopicPartition]) {
        if self.last.as_ref().is_some_and(|(last, at)| last == partitions && at.elapsed() < AGAIN) {
            return;
        }
        self.last = Some((partitions.to_vec(), Instant::now()));
        // A thread that has ended ended with a panic, which was told.
        let _ = self.asks.send(partitions.to_vec());
    }
}

impl Parts {
    fn end(&self, partitions: &[TopicPartition], ended: &mut BTreeSet<String>) -> Result<(), KafkaError> {
        let there = self.admin.committed_now(&self.pipeline, partitions)?;
        // Who commits without transactions leaves none open.
        let transactional = |beside: Beside| beside.ends.is_none().then_some(beside.owner);
        let owners = there.values().filter_map(|committed| Beside::decode(&committed.metadata).and_then(transactional));
        let others: BTreeSet<String> = owners
            .filter(|owner| !ended.contains(owner))
            .filter(|owner| host_of(&self.pipeline, owner).is_some_and(|host| host != self.host))
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        let members = self.admin.members(&self.pipeline)?;
        for owner in others {
            let Some(host) = host_of(&self.pipeline, &owner) else { continue };
            match is_gone(host, &self.host, &members) {
                Some(true) => {
                    let id = owner.split_once('/').map_or(owner.as_str(), |(id, _)| id);
                    end_dangling(&self.properties, id, INIT_WAIT)?;
                    info!(host, id, "ended what a host that is gone may have left open");
                    ended.insert(owner);
                }
                Some(false) => {}
                None => warn!(host, "whether a host lives is not known; what it left open is left to its time-out"),
            }
        }
        Ok(())
    }
}

/// The host that an owner, `PIPELINE-HOST-WORKER/SESSION`, belongs to.
pub(super) fn host_of<'a>(pipeline: &str, owner: &'a str) -> Option<&'a str> {
    let (id, _session) = owner.split_once('/')?;
    let (host, _worker) = id.strip_prefix(pipeline)?.strip_prefix('-')?.rsplit_once('-')?;
    Some(host)
}

/// The host that a member of the group is; `None`: it does not say.
pub(super) fn host_of_member(member: &GroupMember) -> Option<String> {
    let by_client = || member.client.strip_prefix(CLIENT_PREFIX).map(str::to_string);
    member.instance.clone().or_else(by_client)
}

/// Whether a group does not count a host in; `None` where that cannot be told: the list is not one of now, or there are members with
/// names that say nothing.
fn is_gone(host: &str, own: &str, members: &[GroupMember]) -> Option<bool> {
    let is = |member: &GroupMember, host: &str| {
        member.instance.as_ref().map_or(member.client == client_id(host), |instance| instance == host)
    };
    if members.iter().any(|member| is(member, host)) {
        return Some(false);
    }
    let is_nameless = |m: &GroupMember| m.instance.is_none() && !m.client.starts_with(CLIENT_PREFIX);
    let can_be_told = members.iter().any(|member| is(member, own)) && !members.iter().any(is_nameless);
    can_be_told.then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(instance: Option<&str>, client: &str) -> GroupMember {
        GroupMember {
            id: "m".into(),
            instance: instance.map(str::to_string),
            client: client.into(),
            host: "/127.0.0.1".into(),
            partitions: Vec::new(),
        }
    }

    #[test]
    fn an_owner_tells_its_host() {
        assert_eq!(host_of("p-q", "p-q-ab12-0/cd"), Some("ab12"));
        assert_eq!(host_of("p", "p-my-host-11/cd"), Some("my-host"));
        for other in ["p-ab12-0", "q-ab12-0/cd", "pab12-0/cd", "p-ab12/cd"] {
            assert_eq!(host_of("p", other), None, "{other}");
        }
    }

    #[test]
    fn a_member_tells_its_host() {
        assert_eq!(host_of_member(&member(Some("a"), "any")).as_deref(), Some("a"));
        assert_eq!(host_of_member(&member(None, "millstream-b")).as_deref(), Some("b"));
        assert_eq!(host_of_member(&member(None, "named by the user")), None);
    }

    #[test]
    fn who_is_gone_is_told_only_where_it_is_sure() {
        let own = || member(Some("own"), "any");
        assert_eq!(is_gone("a", "own", &[own(), member(Some("b"), "any")]), Some(true));
        assert_eq!(is_gone("a", "own", &[own(), member(Some("a"), "any")]), Some(false));
        assert_eq!(is_gone("a", "own", &[own(), member(None, "millstream-a")]), Some(false));
        assert_eq!(is_gone("a", "own", &[own(), member(None, "millstream-b")]), Some(true));
        assert_eq!(is_gone("a", "own", &[own(), member(None, "named by the user")]), None);
        assert_eq!(
            is_gone("a", "own", &[member(Some("b"), "any")]),
            None,
            "a list without this host is not one of now"
        );
        assert_eq!(is_gone("a", "own", &[]), None);
    }
}
