//! Who has the tasks that this host has not, and where to ask them. Beside each committed offset stands who committed it:
//! `PIPELINE-HOST-WORKER/SESSION@ADDRESS`; the address is missing where a host has none. A host commits as soon as it has a task, so that
//! this is true before the first record. Nothing here decides who gets a task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::bail;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_kafka::admin::Admin;
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;

use super::directory::lock;
use super::heir::host_of;
use super::layout::Layout;
use super::metadata::Beside;

/// How long an answer of the brokers is taken for what is so.
const FRESH: Duration = Duration::from_millis(500);

/// Bytes of an address: it stands beside every offset, where brokers take 4 KiB for all.
pub const ADDRESS_BYTES_MAX: usize = 128;

/// What is known of a task's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This host was the last to commit: it is about to have the task, or about to give it up.
    This,
    /// Another host, reached there.
    At(String),
    /// Another host that says nowhere where it is reached, or where this one is.
    Unreachable(String),
    /// Nobody has committed anything of it.
    Nobody,
}

/// What it is made from.
pub struct Parts {
    /// The brokers.
    pub admin: Arc<Admin>,
    /// The plan.
    pub topology: Arc<Topology>,
    /// This host's id.
    pub host: String,
    /// Where this host is reached.
    pub address: Option<String>,
}

/// See the module.
pub struct Owners {
    parts: Parts,
    layout: Layout,
    known: Mutex<BTreeMap<TaskId, (Instant, Owner)>>,
}

/// What a committer writes beside its offsets.
pub fn owner(id: &str, session: &str, address: Option<&str>) -> String {
    match address {
        Some(address) => format!("{id}/{session}@{address}"),
        None => format!("{id}/{session}"),
    }
}

/// An address that fits beside offsets: `http://HOST:PORT` or `https://…`, without a path.
///
/// # Errors
/// What would be one.
pub fn address(text: &str) -> anyhow::Result<String> {
    let text = text.trim_end_matches('/');
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_plain = |rest: &str| rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
    if !rest.is_some_and(|rest| !rest.is_empty() && is_plain(rest)) {
        bail!("`{text}` is no address of a host; write it as http://counts-1.example.org:7070");
    }
    if text.len() > ADDRESS_BYTES_MAX {
        bail!("the address has {} bytes, and at most {ADDRESS_BYTES_MAX} stand beside an offset", text.len());
    }
    Ok(text.to_string())
}

impl Owners {
    /// Nothing is asked yet.
    pub fn new(parts: Parts) -> Self {
        let layout = Layout::new(parts.topology.clone(), 1);
        Self { parts, layout, known: Mutex::default() }
    }

    /// The owners of tasks.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub fn of(&self, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, Owner>, KafkaError> {
        let mut found = BTreeMap::new();
        let known = lock(&self.known);
        let fresh =
            |task: &TaskId| known.get(task).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, owner)| owner.clone());
        found.extend(tasks.iter().filter_map(|task| Some((*task, fresh(task)?))));
        drop(known);
        let missing: Vec<TaskId> = tasks.iter().copied().filter(|task| !found.contains_key(task)).collect();
        let partitions: Vec<TopicPartition> = missing.iter().flat_map(|task| self.layout.partitions(*task)).collect();
        let committed = self.parts.admin.committed_now(&self.parts.topology.pipeline, &partitions)?;
        for task in missing {
            let mut beside = self.layout.partitions(task).filter_map(|partition| committed.get(&partition));
            let owner = beside.find_map(|committed| Beside::decode(&committed.metadata)).map(|beside| beside.owner);
            let owner = owner.map_or(Owner::Nobody, |owner| self.parts.read(&owner));
            lock(&self.known).insert(task, (Instant::now(), owner.clone()));
            found.insert(task, owner);
        }
        Ok(found)
    }
}

impl Parts {
    fn read(&self, owner: &str) -> Owner {
        let Some(host) = host_of(&self.topology.pipeline, owner) else { return Owner::Unreachable(owner.to_string()) };
        let address = owner.split_once('/').and_then(|(_, rest)| rest.split_once('@')).map(|(_, address)| address);
        match address {
            _ if host == self.host => Owner::This,
            // Such as a host of another machine that listens for its own alone.
            Some(address) if self.address.as_deref() != Some(address) => Owner::At(address.to_string()),
            _ => Owner::Unreachable(host.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_kafka::config::Properties;

    #[test]
    fn an_owner_says_where_he_is() {
        let given = [("bootstrap.servers".to_string(), "127.0.0.1:9".to_string())];
        let properties = Properties::new(given.into()).unwrap();
        let admin = Arc::new(Admin::new(&properties, Duration::from_millis(1)).unwrap());
        let topology = Arc::new(Topology { pipeline: "p".into(), ..Topology::default() });
        let own = "http://127.0.0.1:7070";
        let parts = Parts { admin, topology, host: "ab".into(), address: Some(own.into()) };
        let read = |host: &str, address| parts.read(&owner(&format!("p-{host}-0"), "5e55", address));
        assert_eq!(read("ab", Some("http://10.0.0.1:7070")), Owner::This, "whatever its address was then");
        assert_eq!(read("cd", Some("http://10.0.0.1:7070")), Owner::At("http://10.0.0.1:7070".into()));
        assert_eq!(read("cd", None), Owner::Unreachable("cd".into()));
        assert_eq!(read("cd", Some(own)), Owner::Unreachable("cd".into()), "that is where this host is");
        assert_eq!(parts.read("by hand"), Owner::Unreachable("by hand".into()));
    }

    #[test]
    fn an_address_is_short_and_has_no_path() {
        for good in ["http://127.0.0.1:7070", "https://[::1]:443", "http://counts_1.example-b.org/"] {
            assert_eq!(address(good).unwrap(), good.trim_end_matches('/'));
        }
        for bad in ["", "127.0.0.1:7070", "http://", "ftp://a", "http://a b", "http://a/b", "http://a,b", "http://a@b"]
        {
            assert!(address(bad).unwrap_err().to_string().contains("http://counts-1"), "{bad}");
        }
        let of = |bytes: usize| address(&format!("http://{}", "a".repeat(bytes - "http://".len())));
        assert!(of(ADDRESS_BYTES_MAX).is_ok());
        assert!(of(ADDRESS_BYTES_MAX + 1).unwrap_err().to_string().contains("129 bytes"));
    }
}
