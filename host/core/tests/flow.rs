//! Transcripts: small pipelines with what goes in and what comes out, one file a rule in `flow/`. `UPDATE=1 cargo test -p
//! millstream-core --test flow` rewrites what came out; read the difference before keeping it. Faults and interleavings are
//! the simulator's matter.

#[path = "flow/formats.rs"]
mod formats;
#[path = "flow/functions.rs"]
mod functions;
#[path = "flow/pipeline.rs"]
mod pipeline;
#[path = "flow/script.rs"]
mod script;

use std::fmt::Write;
use std::path::Path;

/// Runs a transcript; gives it as it should be, with what really came out.
fn run(text: &str) -> String {
    let mut pipeline = pipeline::Pipeline::default();
    let mut out = String::new();
    for block in script::blocks(text) {
        if block.command.iter().any(|line| !line.trim_start().starts_with('#')) {
            let answer = pipeline.perform(&block.command).unwrap_or_else(|why| format!("error: {why}\n"));
            let _ = write!(out, "{}\n----\n{answer}\n", block.command.join("\n"));
        } else {
            let _ = write!(out, "{}\n\n", block.command.join("\n"));
        }
    }
    format!("{}\n", out.trim_end())
}

/// Compares a transcript with what really comes out, or, with `UPDATE=1`, rewrites it.
fn check(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let real = run(&text);
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, real).map_err(|e| format!("{}: {e}", path.display()));
    }
    let mut lines = text.lines().zip(real.lines()).enumerate();
    match lines.find(|(_, (told, came))| told != came) {
        None if text == real => Ok(()),
        None => Err(format!("{} ends too early or too late", path.display())),
        Some((n, (told, came))) => Err(format!("{}:{}\n  file  {told}\n  came  {came}", path.display(), n + 1)),
    }
}

#[test]
fn every_transcript_is_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flow");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "flow"));
    files.sort();
    assert!(files.len() > 20, "the transcripts are there: {files:?}");
    let wrong: Vec<String> = files.iter().filter_map(|f| check(f).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
