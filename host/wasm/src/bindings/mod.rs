//! One door for every released version of the contract: what a host asks of a guest, in the core's types. Each version has
//! its own bindings behind it, generated from its frozen WIT; none is changed when another comes.

mod convert;
mod v0_1;

use millstream_core::function::{Folded, Groups, Joined, Kept, Output, Records, Routed, Scanned, TimerClock};
use millstream_core::record::BytesColumn;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre, Linker};

use crate::fault::Returned;
use crate::inspect::FunctionInfo;
use crate::store::Data;

/// Layouts of stored states, as a guest's `migrator` describes them. Without a `migrator`: layout 0, for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layouts {
    /// The layout that it writes.
    pub current: u32,
    /// Other layouts that it can turn into `current`.
    pub reads: Vec<u32>,
    /// Older layouts that it can turn `current` back into.
    pub writes: Vec<u32>,
}

/// A released version of the contract.
pub(crate) trait Contract: Sync {
    /// Its version, `major.minor.patch`.
    fn version(&self) -> &'static str;
    /// Offers what guests of this version import.
    fn link(&self, linker: &mut Linker<Data>) -> wasmtime::Result<()>;
    /// Finds a component's exports, once for all instances. The error names each interface that is not as in the contract.
    fn bind(&self, component: &InstancePre<Data>) -> Result<Box<dyn Binding>, Vec<String>>;
}

/// Where a component's exports are.
pub(crate) trait Binding: Send + Sync {
    /// The exports of an instance; checks their types.
    fn load(&self, store: &mut Store<Data>, instance: &Instance) -> wasmtime::Result<Box<dyn Exports>>;
}

/// What an instance exports. Asking for an interface that it does not have is a fault of the caller, answered with an error.
pub(crate) trait Exports: Send {
    fn functions(&self, store: &mut Store<Data>) -> Returned<Vec<FunctionInfo>>;
    fn start(&self, store: &mut Store<Data>, function: &str, settings: &[(String, String)]) -> Returned<()>;
    fn describe(&self, store: &mut Store<Data>) -> Returned<Layouts>;
    fn keep(&self, store: &mut Store<Data>, records: Records<'_>) -> Returned<Kept>;
    fn apply(&self, store: &mut Store<Data>, records: Records<'_>) -> Returned<Output>;
    fn route(&self, store: &mut Store<Data>, records: Records<'_>) -> Returned<Routed>;
    fn add(&self, store: &mut Store<Data>, into: Groups<'_>, records: Records<'_>) -> Returned<Folded>;
    fn finish(&self, store: &mut Store<Data>, of: Groups<'_>) -> Returned<BytesColumn>;
    fn remove(&self, store: &mut Store<Data>, from: Groups<'_>, records: Records<'_>) -> Returned<Folded>;
    fn scan(&self, store: &mut Store<Data>, into: Groups<'_>, records: Records<'_>) -> Returned<Scanned>;
    fn merge(&self, store: &mut Store<Data>, columns: [&BytesColumn; 3]) -> Returned<BytesColumn>;
    fn migrate(&self, store: &mut Store<Data>, of: Migration<'_>) -> Returned<BytesColumn>;
    fn join(&self, store: &mut Store<Data>, columns: [&BytesColumn; 3]) -> Returned<Joined>;
    fn process(&self, store: &mut Store<Data>, records: Records<'_>) -> Returned<Output>;
    fn fire(&self, store: &mut Store<Data>, clock: TimerClock, due: Records<'_>) -> Returned<Output>;
}

/// States to be taken from one layout to another.
#[derive(Clone, Copy)]
pub(crate) struct Migration<'a> {
    /// Empty for an aggregate's states.
    pub(crate) store: &'a str,
    pub(crate) old: u32,
    pub(crate) new: u32,
    pub(crate) keys: &'a BytesColumn,
    pub(crate) states: &'a BytesColumn,
}

const CONTRACTS: [&dyn Contract; 1] = [&v0_1::V0_1];

/// Versions of the contract that this host knows.
pub(crate) fn versions() -> Vec<&'static str> {
    CONTRACTS.iter().map(|c| c.version()).collect()
}

/// The contract under which a guest of this version runs: any patch version of the same minor one.
pub(crate) fn contract(version: &str) -> Option<&'static dyn Contract> {
    fn track(version: &str) -> Option<(u32, u32)> {
        let mut parts = version.splitn(3, '.');
        let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        // Pre-releases (`0.1.0-draft`) promise nothing.
        parts.next()?.parse::<u32>().ok()?;
        Some(if major == 0 { (0, minor) } else { (major, 0) })
    }
    let wanted = track(version)?;
    CONTRACTS.into_iter().find(|c| track(c.version()) == Some(wanted))
}

/// All contracts.
pub(crate) fn all() -> impl Iterator<Item = &'static dyn Contract> {
    CONTRACTS.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patch_versions_are_compatible_and_others_are_not() {
        let found = |version| contract(version).map(|c| c.version());
        assert_eq!(found("0.1.0"), Some("0.1.0"));
        assert_eq!(found("0.1.9"), Some("0.1.0"));
        assert_eq!(["0.2.0", "1.1.0", "0.1.0-draft", "0.1", "x"].map(found), [None; 5]);
    }
}
