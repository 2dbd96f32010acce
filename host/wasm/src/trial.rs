//! From a component's bytes to something that can be called, or to the reasons why not: looked at, compiled, tried once.
//! Whether there is room for it is `registry`'s matter.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use millstream_core::function::{Fault, Interface};
use wasmtime::component::Component;

use crate::bindings::Layouts;
use crate::cache::load;
use crate::compile::{CompileError, Job};
use crate::dump::Dumps;
use crate::inspect::{FunctionInfo, Inspection, Look, form, interface_name, interface_named, look};
use crate::instance::{Mould, Start, on_guest_stack};
use crate::limits::{
    FUNCTIONS_BYTES_MAX, FUNCTIONS_MAX, LAYOUTS_MAX, Limits, MESSAGE_BYTES_MAX, REASONS_MAX, cut, size,
};
use crate::log::Gate;
use crate::modules;
use crate::profile::Sampler;
use crate::registry::Registry;
use crate::stats::Counters;
use crate::store::{Reads, Shared};

/// What examining a component gives, whatever it finds.
pub(crate) struct Examined {
    pub(crate) inspection: Inspection,
    /// `None` where there are reasons against it.
    pub(crate) usable: Option<Usable>,
    /// The host's own trouble, if that is why it could not be examined.
    pub(crate) trouble: Option<String>,
}

/// A component that this host can run.
pub(crate) struct Usable {
    pub(crate) mould: Mould,
    pub(crate) kinds: Vec<Interface>,
    pub(crate) reads: Reads,
}

/// What a pipeline wants of a component.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) export: Option<&'a str>,
    pub(crate) settings: &'a [(String, String)],
    pub(crate) needed: &'a [Interface],
}

/// One function of a component, chosen and started once.
pub(crate) struct Chosen {
    pub(crate) mould: Mould,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) layouts: Layouts,
}

impl Registry {
    /// Looks at a component and tries it, within `limits`.
    pub(crate) fn examine(&self, bytes: &[u8], digest: &str, limits: &Limits) -> Examined {
        let mut inspection =
            Inspection { size_bytes: bytes.len() as u64, digest: digest.to_string(), ..Inspection::default() };
        let mut trouble = None;
        let usable = match self.component(bytes, digest, &mut inspection.compile_ms) {
            Ok(component) => {
                let look = look(&self.engine, &component, limits, &mut inspection);
                if inspection.reasons.is_empty() {
                    self.try_out(&component, look, limits, &mut inspection)
                } else {
                    None
                }
            }
            Err(CompileError::Component(reason)) => {
                inspection.reasons.push(reason);
                None
            }
            Err(CompileError::Host(why)) => {
                inspection.reasons.push(format!("it could not be examined: {why}"));
                trouble = Some(why);
                None
            }
        };
        inspection.reasons = told(inspection.reasons);
        inspection.accepted = inspection.reasons.is_empty();
        Examined { inspection, usable, trouble }
    }

    /// Compiled code, from the cache or made now.
    fn component(&self, bytes: &[u8], digest: &str, compile_ms: &mut Option<u64>) -> Result<Component, CompileError> {
        form(bytes).map_err(CompileError::Component)?;
        let host = |what: &'static str| move |e: std::io::Error| CompileError::Host(format!("{what}: {e}"));
        if let Some(component) =
            self.cache.get(&self.engine, digest).map_err(host("read the cache of compiled code"))?
        {
            return Ok(component);
        }
        modules::memories(bytes).map_err(CompileError::Component)?;
        let code = self.cache.file().map_err(host("make a file for compiled code"))?;
        let job = Job { component: bytes, engine: self.cache.engine(), limits: self.config.compile_limits };
        let began = Instant::now();
        self.config.compiler.compile(&job, code.as_file())?;
        *compile_ms = Some(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        let path = self.cache.put(digest, code).map_err(host("keep compiled code"))?;
        // Made by this engine's settings, so what it says is about the component: more tables than the pool has, …
        load(&self.engine, &path).map_err(|why| CompileError::Component(format!("this host cannot hold it: {why}")))
    }

    fn try_out(
        &self,
        component: &Component,
        look: Look,
        limits: &Limits,
        inspection: &mut Inspection,
    ) -> Option<Usable> {
        let contract = look.contract?;
        let linker = self.linkers.get(contract.version())?;
        let component = match linker.instantiate_pre(component) {
            Ok(component) => component,
            Err(error) => {
                inspection.reasons.push(format!("what it imports is not what this host offers: {error:#}"));
                return None;
            }
        };
        let binding = match contract.bind(&component) {
            Ok(binding) => Arc::from(binding),
            Err(reasons) => {
                inspection.reasons.extend(reasons);
                return None;
            }
        };
        let mould = Mould { component, binding, start: None };
        let asks = look.kinds.contains(&Interface::Lifecycle);
        let shared = self.checked(&inspection.digest, limits, look.reads);
        let tried = on_guest_stack(|| {
            let began = Instant::now();
            let mut live = mould.make(&self.engine, &shared)?;
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let functions = if asks { live.ask(|exports, store| exports.functions(store))? } else { Vec::new() };
            Ok((functions, took))
        });
        match tried {
            Ok(Ok((functions, took))) => {
                inspection.instantiate_us = Some(took);
                match functions_size(&functions) {
                    Some(reason) => inspection.reasons.push(reason),
                    None => {
                        inspection.reasons.extend(functions_faults(&functions, &look.kinds, asks));
                        inspection.functions = functions;
                    }
                }
                Some(Usable { mould, kinds: look.kinds, reads: look.reads })
            }
            Ok(Err(fault)) => {
                inspection.reasons.push(format!("an instance of it could not be made: {}", start_fault(&fault)));
                None
            }
            Err(error) => {
                inspection.reasons.push(format!("it could not be tried: {error}"));
                None
            }
        }
    }

    /// Picks the function that is wanted and starts it once; the error has every reason against it.
    pub(crate) fn choose(
        &self,
        usable: Usable,
        inspection: &Inspection,
        limits: &Limits,
        wanted: Wanted<'_>,
    ) -> Result<Chosen, Vec<String>> {
        let Usable { mut mould, kinds, reads } = usable;
        let function = pick(&inspection.functions, kinds.contains(&Interface::Lifecycle), wanted.export)?;
        let interfaces = match function {
            Some(function) => function.interfaces.iter().filter_map(|name| interface_named(name)).collect(),
            None => kinds,
        };
        let mut reasons = lacking(&interfaces, wanted.needed);
        reasons.extend(settings_fault(function, wanted.settings));
        if !reasons.is_empty() {
            return Err(reasons);
        }
        mould.start = function.map(|f| Start { function: f.name.clone(), settings: wanted.settings.to_vec() });
        let shared = self.checked(&inspection.digest, limits, reads);
        let describes = interfaces.contains(&Interface::Migrator);
        let layouts = on_guest_stack(|| {
            let mut live = mould.make(&self.engine, &shared)?;
            if describes { live.ask(|exports, store| exports.describe(store)) } else { Ok(Layouts::default()) }
        });
        match layouts {
            Ok(Ok(layouts)) if layouts.reads.len() + layouts.writes.len() > LAYOUTS_MAX => {
                let layouts = layouts.reads.len() + layouts.writes.len();
                Err(vec![format!("its `migrator` names {layouts} layouts; {LAYOUTS_MAX} are possible")])
            }
            Ok(Ok(layouts)) => Ok(Chosen { mould, interfaces, layouts }),
            Ok(Err(Fault::Refused { message })) => Err(vec![format!("it refuses its settings: {message}")]),
            Ok(Err(fault)) => Err(vec![format!("it could not be started: {}", start_fault(&fault))]),
            Err(error) => Err(vec![format!("it could not be tried: {error}")]),
        }
    }

    fn checked(&self, digest: &str, limits: &Limits, reads: Reads) -> Arc<Shared> {
        Arc::new(Shared {
            number: None,
            component: digest.to_string(),
            limits: limits.clone(),
            reads,
            counters: Counters::default(),
            gate: Gate::default(),
            sink: self.config.log.clone(),
            sampler: Sampler::default(),
            dump_folder: self.config.core_dumps.clone(),
            dumps: Dumps::default(),
            wall_ms: AtomicU64::new(0),
        })
    }
}

/// A fault of a start, in words that fit a check.
fn start_fault(fault: &Fault) -> String {
    match fault {
        Fault::TimedOut { limit_ms } => format!("it takes longer to start than its limit of {limit_ms} ms"),
        Fault::OutOfMemory { what } => format!("it needs more to start than its limit of {what}"),
        Fault::BadResult { what } => format!("it answers with something that breaks the contract: {what}"),
        Fault::Unavailable { message } => message.clone(),
        other => other.to_string(),
    }
}

/// At most so many reasons, each of a bounded length: names in them are the component's choice.
pub(crate) fn told(mut reasons: Vec<String>) -> Vec<String> {
    let more = reasons.len().saturating_sub(REASONS_MAX);
    reasons.truncate(REASONS_MAX);
    for reason in &mut reasons {
        cut(reason, MESSAGE_BYTES_MAX);
    }
    if more > 0 {
        reasons.push(format!("… and {more} reasons more"));
    }
    reasons
}

/// Whether a component says too much of its functions.
fn functions_size(functions: &[FunctionInfo]) -> Option<String> {
    if functions.len() > FUNCTIONS_MAX {
        return Some(format!("its `lifecycle` names {} functions; {FUNCTIONS_MAX} are possible", functions.len()));
    }
    let details = |f: &FunctionInfo| f.details.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>();
    let all = |f: &FunctionInfo| f.name.len() + f.interfaces.iter().map(String::len).sum::<usize>() + details(f);
    let bytes: usize = functions.iter().map(all).sum();
    let (has, max) = (size(bytes as u64), size(FUNCTIONS_BYTES_MAX as u64));
    (bytes > FUNCTIONS_BYTES_MAX).then(|| format!("its `lifecycle` says {has} of its functions; {max} are possible"))
}

/// What is wrong with the functions that a component names.
fn functions_faults(functions: &[FunctionInfo], kinds: &[Interface], asks: bool) -> Vec<String> {
    let mut out = Vec::new();
    if asks && functions.is_empty() {
        out.push("its `lifecycle` names no function".to_string());
    }
    for (at, function) in functions.iter().enumerate() {
        let name = &function.name;
        if functions[..at].iter().any(|f| f.name == *name) {
            out.push(format!("its `lifecycle` names the function `{name}` twice"));
        }
        for interface in &function.interfaces {
            match interface_named(interface) {
                Some(kind) if !kinds.contains(&kind) => {
                    out.push(format!(
                        "its function `{name}` says that it is a `{interface}`, and the component exports none"
                    ));
                }
                Some(_) => {}
                None => out.push(format!(
                    "its function `{name}` says that it is a `{interface}`, which this host does not know"
                )),
            }
        }
    }
    out
}

/// The function that is meant.
fn pick<'a>(
    functions: &'a [FunctionInfo],
    lifecycle: bool,
    export: Option<&str>,
) -> Result<Option<&'a FunctionInfo>, Vec<String>> {
    let names = || functions.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
    match (lifecycle, export, functions) {
        (false, None, _) => Ok(None),
        (false, Some(name), _) => {
            Err(vec![format!("it holds one function without a name, and `{name}` is asked for: leave the name out")])
        }
        (true, None, [only]) => Ok(Some(only)),
        (true, None, _) => Err(vec![format!("it holds several functions; say which one is meant: {}", names())]),
        (true, Some(name), _) => match functions.iter().find(|f| f.name == name) {
            Some(function) => Ok(Some(function)),
            None => Err(vec![format!("it holds no function `{name}`; it holds: {}", names())]),
        },
    }
}

/// Interfaces that are needed and not there.
pub(crate) fn lacking(interfaces: &[Interface], needed: &[Interface]) -> Vec<String> {
    let has: Vec<_> = interfaces.iter().filter(|&&i| i != Interface::Lifecycle).map(|&i| interface_name(i)).collect();
    let missing = needed.iter().filter(|i| !interfaces.contains(i));
    let say = |&i: &Interface| {
        let (name, has) = (interface_name(i), has.join(", "));
        let article = if name.starts_with(['a', 'o']) { "an" } else { "a" };
        let why = match i {
            Interface::Merger => ", as sessions that meet become one",
            Interface::Retractor => ", as rows of a table are taken out again",
            _ => "",
        };
        format!("a step needs {article} `{name}`{why}; the function is: {has}")
    };
    missing.map(say).collect()
}

/// Settings for a function that takes none.
fn settings_fault(function: Option<&FunctionInfo>, settings: &[(String, String)]) -> Option<String> {
    let takes = function.is_some_and(|f| f.detail("settings-schema").is_some());
    let (first, _) = settings.first().filter(|_| !takes)?;
    let why = match function {
        Some(function) => format!("its function `{}` has no `settings-schema`", function.name),
        None => "it exports no `lifecycle`".to_string(),
    };
    Some(format!("it takes no settings ({why}), and is given {} (`{first}`, …)", settings.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_bounded() {
        let long = "x".repeat(2 * MESSAGE_BYTES_MAX);
        let many = told(vec![long; REASONS_MAX + 5]);
        assert_eq!((many.len(), many.last().map(String::as_str)), (REASONS_MAX + 1, Some("… and 5 reasons more")));
        assert_eq!(many[0].len(), MESSAGE_BYTES_MAX + "…".len());
        assert_eq!(told(vec!["one".into()]), ["one"]);
    }

    #[test]
    fn what_is_said_of_functions_is_bounded() {
        let text = "x".repeat(FUNCTIONS_BYTES_MAX - 6);
        let mut function =
            FunctionInfo { name: "f".into(), interfaces: vec!["a".into()], details: vec![("name".into(), text)] };
        assert_eq!(functions_size(std::slice::from_ref(&function)), None);
        function.name.push('g');
        let expected = "its `lifecycle` says 1.00 MiB of its functions; 1 MiB are possible";
        assert_eq!(functions_size(&[function]).as_deref(), Some(expected));
    }

    #[test]
    fn functions_that_are_not_there_are_named() {
        let function = |name: &str, interface: &str| FunctionInfo {
            name: name.into(),
            interfaces: vec![interface.into()],
            details: Vec::new(),
        };
        let functions = [function("a", "filter"), function("a", "mapper"), function("b", "poet")];
        let expected = [
            "its `lifecycle` names the function `a` twice",
            "its function `a` says that it is a `mapper`, and the component exports none",
            "its function `b` says that it is a `poet`, which this host does not know",
        ];
        assert_eq!(functions_faults(&functions, &[Interface::Filter], true), expected);
        assert_eq!(functions_faults(&[], &[], true), ["its `lifecycle` names no function"]);
        assert_eq!(functions_faults(&[], &[Interface::Filter], false), Vec::<String>::new());
    }
}
