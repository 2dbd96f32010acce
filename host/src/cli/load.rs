//! A manifest's file → a pipeline that can run; what is wrong with it goes to standard error, all at once.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use annotate_snippets::Renderer;
use anyhow::{Context, bail};
use millstream_core::topology::spec::Spec;
use millstream_wasm::{Refusal, Registry};
use millstream_web::COMPONENT_BYTES_MAX;

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
        eprint!("{}", loaded.report.draw(&renderer));
    }
    match loaded.manifest {
        Some(manifest) => Ok(pipeline::pipeline(manifest)),
        None => bail!("{}: {}", loaded.report.file, loaded.report.summary()),
    }
}

/// Reads a component's file, as much of it as a component may have.
///
/// # Errors
/// When it cannot be read, or is larger.
pub fn component(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(COMPONENT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read {}", path.display()))?;
    if bytes.len() > COMPONENT_BYTES_MAX {
        bail!("{} has more than the {COMPONENT_BYTES_MAX} bytes that a component may have", path.display());
    }
    Ok(bytes)
}

/// What there is to say about a function, its component's content included: it is checked, compiled and started as a host
/// would do it.
pub fn look(registry: &Registry, spec: &Spec, function: &Function) -> Vec<Remark> {
    let mut remarks = pipeline::remarks(spec, function);
    if !remarks.is_empty() {
        return remarks;
    }
    let say = |field, message: String| Remark { severity: Severity::Error, field, message, help: String::new() };
    let bytes = match component(&function.component) {
        Ok(bytes) => bytes,
        Err(why) => return vec![say("component", format!("{why:#}"))],
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
