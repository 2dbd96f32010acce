//! Entries of the control log and of the history as they are kept: JSON, since people look at them.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use millstream_core::swap::{Change, Entry, Probation, Proposal, Version};
use millstream_core::task::{Switch, TaskId};
use serde::{Deserialize, Serialize};

/// Where an entry says when it was appended.
const TIME: &str = "time";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "entry")]
enum Kept {
    Propose {
        id: String,
        changes: Vec<KeptChange>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probation: Option<KeptProbation>,
    },
    Ready {
        proposal: u64,
        host: String,
    },
    Refused {
        proposal: u64,
        host: String,
        reason: String,
    },
    Passed {
        proposal: u64,
        host: String,
        report: String,
    },
    Promote {
        proposal: u64,
    },
    Void {
        proposal: u64,
        reason: String,
    },
    Activate {
        proposal: u64,
    },
    Revert {
        function: String,
        epoch: u64,
        host: String,
        reason: String,
    },
    Rejected {
        function: String,
        version: KeptVersion,
        reason: String,
    },
    Swept {
        function: String,
        epoch: u64,
        parts: Vec<String>,
        of: u32,
    },
    #[serde(rename_all = "kebab-case")]
    Collect {
        digest: String,
        keep_ms: i64,
        host: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct KeptProbation {
    ms: i64,
    records: u64,
    hold: bool,
    #[serde(default, skip_serializing_if = "is_none")]
    replay: u64,
}

fn is_none(replay: &u64) -> bool {
    *replay == 0
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct KeptChange {
    function: String,
    version: KeptVersion,
    builds_on: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct KeptVersion {
    digest: String,
    settings: String,
    origin: String,
    proposed_at: i64,
    place: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    signature: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    layout: u32,
}

fn is_zero(layout: &u32) -> bool {
    *layout == 0
}

impl From<Version> for KeptVersion {
    fn from(version: Version) -> Self {
        let Version { digest, settings, origin, proposed_at, place, signature, layout } = version;
        Self { digest, settings, origin, proposed_at, place, signature, layout }
    }
}

impl From<KeptVersion> for Version {
    fn from(kept: KeptVersion) -> Self {
        let KeptVersion { digest, settings, origin, proposed_at, place, signature, layout } = kept;
        Self { digest, settings, origin, proposed_at, place, signature, layout }
    }
}

impl From<Entry> for Kept {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Propose(Proposal { id, changes, probation }) => {
                let tried = |Probation { ms, records, hold, replay }| KeptProbation { ms, records, hold, replay };
                let change = |Change { function, version, builds_on }| KeptChange {
                    function,
                    version: KeptVersion::from(version),
                    builds_on,
                };
                let changes = changes.into_iter().map(change).collect();
                Kept::Propose { id, changes, probation: probation.map(tried) }
            }
            Entry::Ready { proposal, host } => Kept::Ready { proposal, host },
            Entry::Refused { proposal, host, reason } => Kept::Refused { proposal, host, reason },
            Entry::Passed { proposal, host, report } => Kept::Passed { proposal, host, report },
            Entry::Promote { proposal } => Kept::Promote { proposal },
            Entry::Void { proposal, reason } => Kept::Void { proposal, reason },
            Entry::Activate { proposal } => Kept::Activate { proposal },
            Entry::Revert { function, epoch, host, reason } => Kept::Revert { function, epoch, host, reason },
            Entry::Rejected { function, version, reason } => {
                Kept::Rejected { function, version: version.into(), reason }
            }
            Entry::Swept { function, epoch, parts, of } => Kept::Swept { function, epoch, parts, of },
            Entry::Collect { digest, keep_ms, host } => Kept::Collect { digest, keep_ms, host },
        }
    }
}

impl From<Kept> for Entry {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Propose { id, changes, probation } => {
                let tried = |KeptProbation { ms, records, hold, replay }| Probation { ms, records, hold, replay };
                let change = |KeptChange { function, version, builds_on }| Change {
                    function,
                    version: Version::from(version),
                    builds_on,
                };
                let changes = changes.into_iter().map(change).collect();
                Entry::Propose(Proposal { id, changes, probation: probation.map(tried) })
            }
            Kept::Ready { proposal, host } => Entry::Ready { proposal, host },
            Kept::Refused { proposal, host, reason } => Entry::Refused { proposal, host, reason },
            Kept::Passed { proposal, host, report } => Entry::Passed { proposal, host, report },
            Kept::Promote { proposal } => Entry::Promote { proposal },
            Kept::Void { proposal, reason } => Entry::Void { proposal, reason },
            Kept::Activate { proposal } => Entry::Activate { proposal },
            Kept::Revert { function, epoch, host, reason } => Entry::Revert { function, epoch, host, reason },
            Kept::Rejected { function, version, reason } => {
                Entry::Rejected { function, version: version.into(), reason }
            }
            Kept::Swept { function, epoch, parts, of } => Entry::Swept { function, epoch, parts, of },
            Kept::Collect { digest, keep_ms, host } => Entry::Collect { digest, keep_ms, host },
        }
    }
}

/// An entry as bytes.
///
/// # Errors
/// None that is known; JSON's own.
pub fn encode(entry: &Entry) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&Kept::from(entry.clone()))?)
}

/// An entry as bytes, with the time at which it is appended, where nothing else says that.
///
/// # Errors
/// None that is known; JSON's own.
pub fn encode_at(entry: &Entry, time: i64) -> anyhow::Result<Vec<u8>> {
    let mut value = serde_json::to_value(Kept::from(entry.clone()))?;
    value[TIME] = time.into();
    Ok(serde_json::to_vec(&value)?)
}

/// When an entry was appended; `None`: it does not say.
pub fn time(bytes: &[u8]) -> Option<i64> {
    serde_json::from_slice::<serde_json::Value>(bytes).ok()?.get(TIME)?.as_i64()
}

/// Reads an entry; `None` for what no version of this program wrote.
///
/// # Errors
/// An entry of a kind that this version does not know: going on without it would lead to another answer than other hosts have.
pub fn decode(bytes: &[u8]) -> anyhow::Result<Option<Entry>> {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return Ok(None) };
    let Some(kind) = value.get("entry").and_then(|kind| kind.as_str()).map(str::to_string) else { return Ok(None) };
    match serde_json::from_value::<Kept>(value) {
        Ok(kept) => Ok(Some(kept.into())),
        Err(why) => bail!(
            "the control log has an entry `{kind}` that this version ({}) cannot read ({why}): another version wrote it, so \
             run the same version on all hosts",
            env!("CARGO_PKG_VERSION")
        ),
    }
}

/// From where a task ran a version, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct SwitchRecord {
    /// The function.
    pub function: String,
    /// Number of the sub-topology.
    pub sub_topology: usize,
    /// Partition number of the task.
    pub partition: u32,
    /// Epoch of the version.
    pub epoch: u64,
    /// First offset handled, by topic.
    pub positions: BTreeMap<String, i64>,
}

impl SwitchRecord {
    /// A switch of a task to a version of `function`.
    pub fn new(task: TaskId, function: &str, switch: &Switch) -> Self {
        Self {
            function: function.to_string(),
            sub_topology: task.sub,
            partition: task.partition,
            epoch: switch.epoch,
            positions: switch.positions.iter().cloned().collect(),
        }
    }

    /// As bytes.
    ///
    /// # Errors
    /// None that is known; JSON's own.
    pub fn encode(&self) -> anyhow::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// When they are nothing of the kind.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(bytes).context("read an entry of the history")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Version {
        Version {
            digest: "d".into(),
            settings: "{\"a\":1}".into(),
            origin: "f.wasm".into(),
            proposed_at: 7,
            place: "9".into(),
            signature: "ed25519:x".into(),
            layout: 2,
        }
    }

    #[test]
    fn entries_come_back() {
        let changes = vec![Change { function: "f".into(), version: version(), builds_on: 3 }];
        let (host, reason) = ("h".to_string(), "no room".to_string());
        let probation = Some(Probation { ms: 10, records: 20, hold: true, replay: 30 });
        let all = [
            Entry::Propose(Proposal { id: "ab".into(), changes: changes.clone(), probation: None }),
            Entry::Propose(Proposal { id: "ab".into(), changes, probation }),
            Entry::Ready { proposal: 1, host: host.clone() },
            Entry::Passed { proposal: 1, host: host.clone(), report: "{}".into() },
            Entry::Promote { proposal: 1 },
            Entry::Refused { proposal: 1, host, reason: reason.clone() },
            Entry::Void { proposal: 1, reason: reason.clone() },
            Entry::Activate { proposal: 1 },
            Entry::Revert { function: "f".into(), epoch: 2, host: "h".into(), reason: reason.clone() },
            Entry::Rejected { function: "f".into(), version: version(), reason },
            Entry::Swept { function: "f".into(), epoch: 2, parts: vec!["s/0".into()], of: 3 },
            Entry::Collect { digest: "d".into(), keep_ms: 5, host: "h".into() },
        ];
        for entry in all {
            assert_eq!(time(&encode(&entry).unwrap()), None);
            let timed = encode_at(&entry, 9).unwrap();
            assert_eq!((decode(&timed).unwrap(), time(&timed)), (Some(entry.clone()), Some(9)));
            assert_eq!(decode(&encode(&entry).unwrap()).unwrap(), Some(entry));
        }
    }

    #[test]
    fn what_is_foreign_is_passed_over_and_what_is_new_is_not() {
        for foreign in ["", "hello", "[]", "{}", "{\"entry\":1}", "{\"kind\":\"activate\"}"] {
            assert_eq!(decode(foreign.as_bytes()).unwrap(), None, "{foreign}");
        }
        for new in ["{\"entry\":\"applaud\"}", "{\"entry\":\"activate\"}"] {
            let why = decode(new.as_bytes()).unwrap_err().to_string();
            assert!(why.contains("another version wrote it"), "{why}");
        }
    }
}
