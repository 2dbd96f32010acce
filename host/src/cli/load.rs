//! A manifest's file → a pipeline that can run; what is wrong with it goes to standard error, all at once.

use std::io::IsTerminal as _;
use std::path::Path;

use annotate_snippets::Renderer;
use anyhow::bail;
use millstream_core::topology::spec::Spec;
use millstream_wasm::{Refusal, Registry};

use crate::config::{self, Function, Remark, Severity, pipeline};
use crate::runtime::functions;
use crate::runtime::plan::{self, Pipeline};

/// Reads and checks a manifest for local mode. Warnings are shown, and errors end it.
///
/// # Errors
/// When the file cannot be read, or has errors, which were shown.
pub fn pipeline(file: &Path, local: bool) -> anyhow::Result<Pipeline> {
    let loaded = config::load(file, local, &pipeline::remarks)?;
    if !loaded.report.problems.is_empty() {
        let colours = std::io::stderr().is_terminal();
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        eprintln!("{}", loaded.report.draw(&renderer));
    }
    match loaded.manifest {
        Some(manifest) => Ok(pipeline::pipeline(manifest)),
        None => bail!("{}", loaded.report.summary()),
    }
}

/// What there is to say about a function, its component's content included: it is checked, compiled and started as a host
/// would do it.
pub fn look(registry: &Registry, spec: &Spec, function: &Function) -> Vec<Remark> {
    let mut remarks = pipeline::remarks(spec, function);
    if !remarks.is_empty() {
        return remarks;
    }
    let say = |field, message: String| Remark { severity: Severity::Error, field, message, help: String::new() };
    let bytes = match std::fs::read(&function.component) {
        Ok(bytes) => bytes,
        Err(why) => return vec![say("component", format!("`{}` cannot be read: {why}", function.component.display()))],
    };
    let settings = match functions::settings(&function.settings) {
        Ok(settings) => settings,
        Err(why) => return vec![say("config", format!("{why:#}"))],
    };
    let needed = plan::needed_interfaces(spec, &function.name);
    let limits = pipeline::limits(function);
    match registry.prepare(&bytes, function.export.as_deref(), &settings, &limits, &needed) {
        Ok(_) => {}
        Err(Refusal::Component(reasons)) => {
            remarks.extend(reasons.into_iter().map(|reason| say("component", reason)));
        }
        Err(other) => remarks.push(say("component", other.to_string())),
    }
    remarks
}
