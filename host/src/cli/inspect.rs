//! Says what a function's file offers and needs, and whether this host would take it.

use std::path::PathBuf;
use std::process::ExitCode;

use millstream_wasm::{Inspection, Registry};

use super::client::{print, print_json};
use super::load;
use crate::runtime::functions;

/// Says what a function's file offers and needs, and whether this host would take it.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream inspect extract-ip.wasm\n\n\
                        Exit codes: 0 this host would take it; 1 it would not, or the file cannot be read.")]
pub struct Args {
    /// The component
    file: PathBuf,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let bytes = load::component(&args.file)?;
    let registry = Registry::new(functions::config(None, 1)?)?;
    let inspection = registry.inspect(&bytes);
    if args.json {
        print_json(&inspection)?;
    } else {
        print(text(&inspection).as_bytes())?;
    }
    Ok(if inspection.accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was seen, in words.
pub fn text(inspection: &Inspection) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| out.push_str(&format!("{name:<10} {value}\n"));
    let list = |items: &[String]| if items.is_empty() { "nothing".to_string() } else { items.join(", ") };
    line("digest", &inspection.digest);
    line("size", &format!("{} bytes", inspection.size_bytes));
    line("contract", inspection.contract.as_deref().unwrap_or("none that this host knows"));
    line("offers", &list(&inspection.kinds));
    for function in &inspection.functions {
        let summary = function.detail("summary").unwrap_or_default();
        line("function", &format!("{} ({}) {summary}", function.name, function.interfaces.join(", ")));
        if let Some(schema) = function.detail("settings-schema") {
            line("settings", schema);
        }
    }
    for import in &inspection.imports {
        let how = match &import.met {
            Some(met) => format!("   {met}"),
            None if import.granted => String::new(),
            None => "   NOT OFFERED by this host".to_string(),
        };
        line("imports", &format!("{}{how}", import.name));
    }
    line(
        "memory",
        &format!(
            "{} of {} bytes at the start, {} tables",
            inspection.memories, inspection.memory_bytes_initial, inspection.tables
        ),
    );
    let compiled = inspection.compile_ms.map_or("compiled before".to_string(), |ms| format!("compiled in {ms} ms"));
    let started = inspection.instantiate_us.map_or(String::new(), |us| format!(", an instance made in {us} µs"));
    line("took", &format!("{compiled}{started}"));
    line("verdict", if inspection.accepted { "this host would take it" } else { "this host would NOT take it:" });
    for reason in &inspection.reasons {
        line("", reason);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_says_why() {
        let inspection =
            Inspection { digest: "ab".into(), reasons: vec!["it is text".into()], ..Inspection::default() };
        let text = text(&inspection);
        assert!(text.contains("verdict    this host would NOT take it:\n           it is text\n"), "{text}");
        assert!(text.contains("offers     nothing\n"), "{text}");
    }
}
