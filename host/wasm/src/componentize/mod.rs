//! A core module that was built against the contract → a component. For languages whose compiler stops at the module: Go, C
//! without the component linker, AssemblyScript, WebAssembly text.
//!
//! Which world a module was built against is written in it where a generator of bindings had a hand in it (a custom section
//! `component-type`); else its exports say so. Nothing of the module runs here.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::inspect::COMPONENT_BYTES_MAX;
use crate::limits::{MESSAGE_BYTES_MAX, cut};

/// The contract's text.
const CONTRACT: &str = include_str!("../../../../wit/udf.wit");
/// Package and version of [`CONTRACT`].
const PACKAGE: &str = "millstream:udf";
const VERSION: &str = "0.1.0";

/// The module name of WASI preview 1.
const PREVIEW1: &str = "wasi_snapshot_preview1";
/// What stands in for it.
const PREVIEW1_STUB: &str = include_str!("wasi.wat");

/// Custom sections that begin so hold the world a module was built against.
const WORLD_SECTION: &str = "component-type";

/// A component that was made of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The component.
    pub component: Vec<u8>,
    /// Interfaces of the contract that the module exports; where it says its world itself, none.
    pub exports: Vec<String>,
    /// Functions of WASI preview 1 that it imports, and that are met by nothing behind them.
    pub stubbed: Vec<String>,
}

/// What a module asks for and offers.
#[derive(Debug, Default)]
struct Module {
    names_its_world: bool,
    imports: BTreeSet<(String, String)>,
    exports: BTreeSet<String>,
}

/// Makes a component of a core module, in binary or as text.
///
/// # Errors
/// Why not, and what would be right.
pub fn componentize(bytes: &[u8]) -> Result<Made, String> {
    let mut bytes = wat::parse_bytes(bytes).map_err(|why| format!("it is no WebAssembly text: {why}"))?.into_owned();
    match bytes[..] {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {}
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Err("it is a component already".to_string()),
        _ => return Err("it is no WebAssembly module (it does not begin with `\\0asm`)".to_string()),
    }
    let module = read(&bytes).map_err(|why| format!("it is no valid module: {why}"))?;
    let offered: BTreeSet<&str> = module.imports.iter().map(|(module, _)| module.as_str()).collect();
    let exports = if module.names_its_world { Vec::new() } else { exports(&module.exports)? };
    if !module.names_its_world {
        imports(&module)?;
        embed(&mut bytes, &exports, &offered)?;
    }
    let stubbed: Vec<String> =
        module.imports.iter().filter(|(module, _)| module == PREVIEW1).map(|(_, name)| name.clone()).collect();
    let stub = wat::parse_str(PREVIEW1_STUB).map_err(|why| format!("the host's own stub of WASI is wrong: {why}"))?;
    let told = |why: anyhow::Error| {
        let mut text = format!("{why:#}");
        cut(&mut text, MESSAGE_BYTES_MAX);
        format!("the module does not fit the contract: {text}")
    };
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).debug_names(true).module(&bytes).map_err(told)?;
    if !stubbed.is_empty() {
        known(&stubbed, &stub)?;
        encoder.adapter(PREVIEW1, &stub).map_err(told)?;
    }
    let component = encoder.encode().map_err(told)?;
    if component.len() > COMPONENT_BYTES_MAX {
        return Err(format!("the component has {} bytes; a host takes {COMPONENT_BYTES_MAX}", component.len()));
    }
    Ok(Made { component, exports, stubbed })
}

fn read(bytes: &[u8]) -> wasmparser::Result<Module> {
    let mut out = Module::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::CustomSection(section) if section.name().starts_with(WORLD_SECTION) => out.names_its_world = true,
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    out.imports.insert((import.module.to_string(), import.name.to_string()));
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    out.exports.insert(export?.name.to_string());
                }
            }
            _ => {}
        }
    }
    Ok(out)
}

/// The contract's interfaces of which a module exports functions, named `millstream:udf/filter@0.1.0#keep`.
fn exports(names: &BTreeSet<String>) -> Result<Vec<String>, String> {
    let mut out = BTreeSet::new();
    for name in names {
        let Some((interface, _)) = name.split_once('#') else { continue };
        let Some(rest) = interface.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/')) else { continue };
        // Functions that free a result go with the function whose result it is.
        match rest.split_once('@') {
            Some((interface, VERSION)) => out.insert(interface.to_string()),
            Some((_, other)) => {
                return Err(format!("it exports `{name}` of contract {other}; this program knows {VERSION}"));
            }
            None => return Err(format!("it exports `{name}` without a version: `{interface}@{VERSION}#…`")),
        };
    }
    if out.is_empty() {
        let has: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
        let has = if has.is_empty() { "nothing".to_string() } else { format!("`{}`", has.join("`, `")) };
        return Err(format!(
            "it exports no function of the contract, such as `{PACKAGE}/filter@{VERSION}#keep`; it exports {has}. Build it \
             against wit/udf.wit"
        ));
    }
    Ok(out.into_iter().collect())
}

/// Whatever a module imports besides the contract and WASI preview 1 nobody offers.
fn imports(module: &Module) -> Result<(), String> {
    let own = |module: &str| module.strip_prefix(PACKAGE).is_some_and(|rest| rest.starts_with('/'));
    let foreign = module.imports.iter().find(|(module, _)| module != PREVIEW1 && !own(module));
    let Some((from, name)) = foreign else { return Ok(()) };
    let help = match from.as_str() {
        "env" => {
            "; what is in `env` was not linked, or is asked for by the language's runtime: link it, or turn it off"
        }
        "gojs" | "go" => "; build with GOOS=wasip1",
        _ => "",
    };
    Err(format!("it imports `{name}` of `{from}`, which no host offers{help}"))
}

/// Writes the world that the module was built against into it.
fn embed(bytes: &mut Vec<u8>, exports: &[String], imports: &BTreeSet<&str>) -> Result<(), String> {
    let mut text = "package millstream:made;\nworld function {\n".to_string();
    let own = imports.iter().filter(|name| name.starts_with(PACKAGE));
    own.for_each(|name| text.push_str(&format!("  import {name};\n")));
    exports.iter().for_each(|name| text.push_str(&format!("  export {PACKAGE}/{name}@{VERSION};\n")));
    text.push_str("}\n");
    let mut embed = || {
        let mut resolve = Resolve::default();
        resolve.push_str("udf.wit", CONTRACT)?;
        let package = resolve.push_str("made.wit", &text)?;
        let world = resolve.select_world(&[package], Some("function"))?;
        embed_component_metadata(bytes, &resolve, world, StringEncoding::UTF8, false)
    };
    embed().map_err(|why: anyhow::Error| format!("its imports and exports are not all of contract {VERSION}: {why:#}"))
}

/// Each function of WASI preview 1 that is asked for must be one that there is.
fn known(asked: &[String], stub: &[u8]) -> Result<(), String> {
    let stub = read(stub).map_err(|why| format!("the host's own stub of WASI is wrong: {why}"))?;
    match asked.iter().find(|name| !stub.exports.contains(*name)) {
        Some(name) => Err(format!("it imports `{name}` of `{PREVIEW1}`, which WASI preview 1 does not have")),
        None => Ok(()),
    }
}
