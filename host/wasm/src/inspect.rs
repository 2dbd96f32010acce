//! What can be said of a component by looking at it: form, size, imports, exports, memories. Nothing of it runs here; the
//! trial that follows is `trial`.

use millstream_core::function::Interface;
use serde::Serialize;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::bindings::{self, Contract};
use crate::digest;
use crate::limits::{Limits, MEMORIES_MAX, TABLES_MAX, size};
use crate::store::Reads;
use crate::wasi;

/// Bytes of a component at the most; Python's take 18 MiB.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// The package of the contract.
const PACKAGE: &str = "millstream:udf";

/// What a component is and whether this host would take it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its length, bytes.
    pub size_bytes: u64,
    /// SHA-256, lower-case hexadecimal.
    pub digest: String,
    /// Version of the contract that it was built for.
    pub contract: Option<String>,
    /// What it can do: interfaces of the contract that it exports and this host knows (`filter`, `mapper`, …).
    pub kinds: Vec<String>,
    /// Everything it exports, with versions.
    pub exports: Vec<String>,
    /// Everything it imports.
    pub imports: Vec<Import>,
    /// What its `lifecycle` says of the functions in it; empty without one.
    pub functions: Vec<FunctionInfo>,
    /// Memories it has.
    pub memories: u32,
    /// Bytes that the largest of them begins with.
    pub memory_bytes_initial: u64,
    /// Tables it has.
    pub tables: u32,
    /// How long its code took to be compiled, in the compiler's process, milliseconds; none where that was done before.
    pub compile_ms: Option<u64>,
    /// How long the first instance took to be made, microseconds; none where there is none.
    pub instantiate_us: Option<u64>,
    /// Whether this host would take it.
    pub accepted: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// Something a component imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Interface with its version.
    pub name: String,
    /// Functions of it; none where only types are used.
    pub functions: Vec<String>,
    /// Whether this host offers it.
    pub granted: bool,
    /// For an interface of WASI that is offered: how it is met without any capability, and the same in every run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<String>,
}

/// A function of a component that holds several or takes settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionInfo {
    /// Its name.
    pub name: String,
    /// The exported interfaces that answer for it.
    pub interfaces: Vec<String>,
    /// `summary`, `settings-schema`, `ports`, `stores`, and whatever else it says.
    pub details: Vec<(String, String)>,
}

impl FunctionInfo {
    /// What it says under this name.
    pub fn detail(&self, name: &str) -> Option<&str> {
        self.details.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str())
    }
}

const INTERFACES: [(Interface, &str); 12] = [
    (Interface::Lifecycle, "lifecycle"),
    (Interface::Filter, "filter"),
    (Interface::Mapper, "mapper"),
    (Interface::Router, "router"),
    (Interface::Aggregator, "aggregator"),
    (Interface::Retractor, "retractor"),
    (Interface::Scanner, "scanner"),
    (Interface::Merger, "merger"),
    (Interface::Migrator, "migrator"),
    (Interface::Joiner, "joiner"),
    (Interface::Processor, "processor"),
    (Interface::OnTimer, "on-timer"),
];

/// Interfaces that this host calls; `lifecycle` comes with others, `on-timer` with `processor`.
const CALLED: [Interface; 10] = [
    Interface::Filter,
    Interface::Mapper,
    Interface::Router,
    Interface::Aggregator,
    Interface::Retractor,
    Interface::Scanner,
    Interface::Merger,
    Interface::Migrator,
    Interface::Joiner,
    Interface::Processor,
];

/// An interface's name in the contract.
pub fn interface_name(interface: Interface) -> &'static str {
    INTERFACES.iter().find(|(i, _)| *i == interface).map_or("", |(_, name)| name)
}

/// The interface with this name in the contract.
pub fn interface_named(name: &str) -> Option<Interface> {
    INTERFACES.iter().find(|(_, n)| *n == name).map(|(i, _)| *i)
}

/// `package/interface@version`, taken apart.
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: Option<&'a str>,
}

fn name(full: &str) -> Name<'_> {
    let (path, version) = full.split_once('@').map_or((full, None), |(path, version)| (path, Some(version)));
    let (package, interface) = path.split_once('/').unwrap_or((path, ""));
    Name { package, interface, version }
}

/// Whether the bytes can be a component at all; else the reason, with what to do.
pub(crate) fn form(bytes: &[u8]) -> Result<(), String> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        let (len, max) = (bytes.len(), size(COMPONENT_BYTES_MAX as u64));
        return Err(format!("it has {len} bytes; a component may have {max}"));
    }
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err("it is a core module, not a component: turn it into one with \
             `millstream componentize FILE.wasm -o COMPONENT.wasm`"
            .to_string()),
        [0, b'a', b's', b'm', version @ ..] => {
            let version = digest::hex(&version[..version.len().min(4)]);
            Err(format!("it is WebAssembly in a format that this host does not know (version bytes {version})"))
        }
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            Err("it is WebAssembly text, not a component: where it is a core module, turn it into one with \
                 `millstream componentize FILE.wat -o COMPONENT.wasm`"
                .to_string())
        }
        _ => Err("it is not a WebAssembly component (it does not begin with `\\0asm`)".to_string()),
    }
}

/// What looking at compiled code finds.
pub(crate) struct Look {
    pub(crate) contract: Option<&'static dyn Contract>,
    pub(crate) kinds: Vec<Interface>,
    pub(crate) reads: Reads,
}

/// Looks at a component; facts go to `inspection`, what is wrong to its reasons.
pub(crate) fn look(engine: &Engine, component: &Component, limits: &Limits, inspection: &mut Inspection) -> Look {
    let mut look = exports(engine, component, inspection);
    imports(engine, component, &mut look, inspection);
    resources(component, limits, inspection);
    look
}

fn exports(engine: &Engine, component: &Component, inspection: &mut Inspection) -> Look {
    let mut look = Look { contract: None, kinds: Vec::new(), reads: Reads::default() };
    let mut strange = Vec::new();
    for (full, _) in component.component_type().exports(engine) {
        inspection.exports.push(full.to_string());
        let Name { package, interface, version } = name(full);
        if package != PACKAGE {
            continue;
        }
        let contract = version.and_then(bindings::contract);
        match (contract, interface_named(interface)) {
            (Some(contract), Some(kind)) if look.contract.is_none_or(|c| c.version() == contract.version()) => {
                look.contract = Some(contract);
                inspection.contract = version.map(str::to_string);
                look.kinds.push(kind);
            }
            (None, _) => strange.push(full.to_string()),
            // An interface of a later patch version: shown, not judged.
            (Some(_), _) => {}
        }
    }
    look.kinds.sort_unstable();
    look.kinds.dedup();
    inspection.kinds = look.kinds.iter().map(|&k| interface_name(k).to_string()).collect();
    let called = || CALLED.map(interface_name).join(", ");
    if look.kinds.iter().any(|kind| CALLED.contains(kind)) {
        return look;
    }
    let list = |names: &[String]| if names.is_empty() { "nothing".to_string() } else { names.join(", ") };
    inspection.reasons.push(if !look.kinds.is_empty() {
        format!("it is only: {}; this host runs: {}", inspection.kinds.join(", "), called())
    } else if !strange.is_empty() {
        let (strange, known) = (list(&strange), bindings::versions().join(", "));
        format!("it was built for another version of the contract: it exports {strange}; this host knows {known}")
    } else {
        let exports = list(&inspection.exports);
        format!("it exports nothing that a step could use: it exports {exports}; steps use, of {PACKAGE}: {}", called())
    });
    look
}

fn imports(engine: &Engine, component: &Component, look: &mut Look, inspection: &mut Inspection) {
    for (full, item) in component.component_type().imports(engine) {
        let functions = match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                let functions =
                    instance.exports(engine).filter(|(_, e)| matches!(e.ty, ComponentItem::ComponentFunc(_)));
                functions.map(|(name, _)| name.to_string()).collect()
            }
            ComponentItem::Type(_) => Vec::new(),
            _ => vec![full.to_string()],
        };
        let met = wasi::met(full).map(str::to_string);
        let reasons = if met.is_some() { Vec::new() } else { import(full, &functions, look) };
        let granted = reasons.is_empty();
        inspection.reasons.extend(reasons);
        inspection.imports.push(Import { name: full.to_string(), functions, granted, met });
    }
}

/// Why an import cannot be met; notes which facts are asked for.
fn import(full: &str, functions: &[String], look: &mut Look) -> Vec<String> {
    let Name { package, interface, version } = name(full);
    if package.starts_with("wasi:") {
        let offered = wasi::SUMMARY;
        return vec![format!(
            "it imports `{full}`, which this host does not offer: functions have no capabilities, and of WASI only {offered}"
        )];
    }
    if package != PACKAGE {
        return vec![format!("it imports `{full}`, which this host does not offer; functions can import {OFFERED}")];
    }
    if version.and_then(bindings::contract).is_none() {
        let known = bindings::versions().join(", ");
        return vec![format!("it imports `{full}`; this host knows version {known} of the contract")];
    }
    let known: &[&str] = match interface {
        "types" => &[],
        "log" => &["write"],
        "context" => &["headers", "stream-times", "windows", "inputs"],
        "state" => {
            if !look.kinds.contains(&Interface::Processor) {
                return vec![format!("it imports `{full}`, which only processors have, and it exports no `processor`")];
            }
            &["[static]store.open", "[method]store.get", "[method]store.put", "[method]store.range"]
        }
        "timers" => {
            if let Some(missing) = [Interface::Processor, Interface::OnTimer].iter().find(|i| !look.kinds.contains(i)) {
                let missing = interface_name(*missing);
                return vec![format!("it imports `{full}`, and it exports no `{missing}` that its timers belong to")];
            }
            &["set", "cancel"]
        }
        _ => {
            return vec![format!(
                "it imports `{full}`, which is not part of the contract; functions can import {OFFERED}"
            )];
        }
    };
    if interface == "context" {
        let asks = |name: &str| functions.iter().any(|f| f == name);
        look.reads = Reads {
            headers: asks("headers"),
            stream_times: asks("stream-times"),
            windows: asks("windows"),
            inputs: asks("inputs"),
        };
    }
    let unknown = functions.iter().filter(|f| !known.contains(&f.as_str()));
    let needs = |f| {
        format!("it needs the function `{f}` of `{full}`, which this host does not have: it is older than the function")
    };
    unknown.map(needs).collect()
}

const OFFERED: &str =
    "millstream:udf/context and millstream:udf/log, and processors millstream:udf/state and millstream:udf/timers";

fn resources(component: &Component, limits: &Limits, inspection: &mut Inspection) {
    // `None` where it imports memories, which no component of the contract does; the pool refuses those.
    let Some(needs) = component.resources_required() else { return };
    inspection.memories = needs.num_memories;
    inspection.tables = needs.num_tables;
    inspection.memory_bytes_initial = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(64 << 10);
    let tables = needs.max_initial_table_size.unwrap_or(0);
    let mut over = |what: &str, has: String, limit: String| {
        inspection.reasons.push(format!("{what} {has}; its limit is {limit}"));
    };
    if needs.num_memories > MEMORIES_MAX {
        over("it has memories:", needs.num_memories.to_string(), MEMORIES_MAX.to_string());
    }
    if needs.num_tables > TABLES_MAX {
        over("it has tables:", needs.num_tables.to_string(), TABLES_MAX.to_string());
    }
    if tables > limits.table_elements.into() {
        over("elements in one of its tables:", tables.to_string(), limits.table_elements.to_string());
    }
    let bytes = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(64 << 10);
    if bytes > limits.memory_bytes {
        over("its memory begins with", size(bytes), size(limits.memory_bytes));
    }
}
