//! A core module as a component, by wit-component. What the module's functions take and give is read from the contract;
//! that its code keeps to it is checked by nobody but the host, in every call.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use anyhow::{Context, Result, ensure};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What every interface of the contract begins with.
const CONTRACT: &str = "millstream:udf/";

/// A name by which modules are given to a module, and the module.
pub type Adapter<'a> = (&'a str, Vec<u8>);

/// Encodes `module`. `world`: which world of the contract in the folder `wit`; `None`: one of the interfaces whose
/// functions it exports and imports. A module that says its types itself is taken at its word.
pub fn encode(module: &[u8], wit: &Path, world: Option<&str>, adapters: &[Adapter]) -> Result<Vec<u8>> {
    let mut module = without_debug(module).context("read the module")?;
    let face = Face::of(&module).context("read the module")?;
    if !face.typed {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(wit).with_context(|| format!("read the contract in {}", wit.display()))?;
        let world = match world {
            Some(_) => resolve.select_world(&[package], world)?,
            None => {
                let own = resolve.push_str("exports.wit", &face.world()?)?;
                resolve.select_world(&[own], None)?
            }
        };
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
    }
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module)?;
    for (name, bytes) in adapters {
        encoder.adapter(name, bytes).with_context(|| format!("the adapter for {name}"))?;
    }
    encoder.encode()
}

/// The module without its debug information, most of the bytes of some compilers' modules. The functions' names, by which
/// backtraces are read, stay.
fn without_debug(module: &[u8]) -> Result<Vec<u8>> {
    // The head, of which no section is made.
    const HEAD_BYTES: usize = 8;
    let mut kept = module.get(..HEAD_BYTES).context("it is too short")?.to_vec();
    let mut start = HEAD_BYTES;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        // A section's range is that of its content; what lies before is its id and its size.
        let Some((_, range)) = payload.as_section() else { continue };
        let end = usize::try_from(range.end)?;
        let debug = matches!(&payload, Payload::CustomSection(section) if section.name().starts_with(".debug_"));
        if !debug {
            kept.extend_from_slice(&module[start..end]);
        }
        start = end;
    }
    Ok(kept)
}

/// What a module shows of itself.
#[derive(Debug, Default)]
struct Face {
    /// It has a section with its component's types.
    typed: bool,
    /// Interfaces of the contract, with their version.
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

impl Face {
    fn of(module: &[u8]) -> Result<Self> {
        let mut face = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::CustomSection(section) => face.typed |= section.name().starts_with("component-type"),
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let interface = import?.module;
                        if interface.starts_with(CONTRACT) {
                            face.imports.insert(interface.to_owned());
                        }
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let name = export?.name;
                        // Post-returns have the names of their functions with something before.
                        if let Some((interface, _)) = name.split_once('#')
                            && interface.starts_with(CONTRACT)
                        {
                            face.exports.insert(interface.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(face)
    }

    fn world(&self) -> Result<String> {
        ensure!(
            !self.exports.is_empty(),
            "the module exports no function of the contract; they are named as {CONTRACT}filter@0.1.0#keep"
        );
        let mut text = "package millstream:exports;\nworld exports {\n".to_owned();
        for (word, interfaces) in [("import", &self.imports), ("export", &self.exports)] {
            for interface in interfaces {
                writeln!(text, "  {word} {interface};")?;
            }
        }
        text.push_str("}\n");
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A filter that keeps nothing and writes a line to the log; `MORE` stands where more imports may come.
    const FILTER: &str = r#"(module
        (import "millstream:udf/log@0.1.0" "write" (func $write (param i32 i32 i32)))
        (; MORE ;)
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "millstream:udf/filter@0.1.0#keep")
          (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
          (call $write (i32.const 2) (i32.const 16) (i32.const 0))
          (i32.const 64))
        (func (export "cabi_post_millstream:udf/filter@0.1.0#keep") (param i32)))"#;

    fn contract() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
    }

    /// What a component is asked to import, as text; or why there is none.
    fn made(text: &str, world: Option<&str>, adapters: &[Adapter]) -> Result<String, String> {
        let bytes = encode(&wat::parse_str(text).unwrap(), &contract(), world, adapters);
        let bytes = bytes.map_err(|error| format!("{error:#}"))?;
        assert_eq!(bytes[..8], *b"\0asm\x0d\0\x01\0");
        let mut names = Vec::new();
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(&bytes) {
            match payload.unwrap() {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 0 => {
                    names.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    names.extend(section.into_iter().map(|export| format!("+{}", export.unwrap().name.name)));
                }
                _ => {}
            }
        }
        names.sort();
        Ok(names.join(" ").replace(CONTRACT, "").replace("@0.1.0", ""))
    }

    #[test]
    fn a_world_is_made_of_what_the_module_exports() {
        assert_eq!(made(FILTER, None, &[]).unwrap(), "+filter log types");
        let also = |function: &str| {
            let more = format!(r#"(func (export "{CONTRACT}{function}") (param i32) (result i32) (i32.const 64))"#);
            made(&FILTER.replace("(; MORE ;)", &more), None, &[])
        };
        assert_eq!(also("merger@0.1.0#merge").unwrap(), "+filter +merger log types");
        // What it takes is not what the contract says; and half an interface is none.
        assert!(also("mapper@0.1.0#apply").unwrap_err().contains("mapper"));
        assert!(also("aggregator@0.1.0#finish").unwrap_err().contains("`add`"));
        assert_eq!(made(FILTER, Some("filters"), &[]).unwrap(), "+filter log types");
        assert!(made(FILTER, Some("mappers"), &[]).unwrap_err().contains("mapper"));
    }

    #[test]
    fn debug_information_goes_and_names_stay() {
        let named = wat::parse_str(r#"(module (func $named (nop)) (@custom "kept" "here"))"#).unwrap();
        assert_eq!(without_debug(&named).unwrap(), named);
        let debug = r#"(module (@custom ".debug_info" (before code) "much") (func $named (nop))
            (@custom "kept" "here") (@custom ".debug_line" "more"))"#;
        assert_eq!(without_debug(&wat::parse_str(debug).unwrap()).unwrap(), named);
        assert!(without_debug(b"\0asm").is_err());
    }

    #[test]
    fn what_nobody_answers_is_refused_by_name() {
        let asks =
            FILTER.replace("(; MORE ;)", r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"#);
        let refused = made(&asks, None, &[]).unwrap_err();
        assert!(refused.contains("wasi_snapshot_preview1"), "{refused}");
        let stub = wat::parse_str(r#"(module (func (export "sched_yield") (result i32) (i32.const 0)))"#).unwrap();
        assert_eq!(made(&asks, None, &[("wasi_snapshot_preview1", stub)]).unwrap(), "+filter log types");
        let none = made("(module (memory (export \"memory\") 1))", None, &[]).unwrap_err();
        assert!(none.starts_with("the module exports no function of the contract"), "{none}");
    }
}
