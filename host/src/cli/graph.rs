//! Draws a pipeline: Mermaid, DOT or SVG text on standard output.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use annotate_snippets::Renderer;
use anyhow::bail;
use millstream_core::topology::{describe, graph};

use crate::config::{self, svg};

/// Draws a pipeline.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: millstream graph pipeline.yaml --format svg > pipeline.svg\n\n\
                        Exit codes: 0 drawn; 1 the manifest has errors, or cannot be read.")]
pub struct Args {
    /// The manifest
    file: PathBuf,
    /// The language of the picture
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// For Markdown: GitHub and many editors show it
    #[default]
    Mermaid,
    /// For Graphviz
    Dot,
    /// A picture
    Svg,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read, or has errors, which were shown.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // What a picture shows does not depend on where the topics are.
    let local = true;
    let loaded = config::load(&args.file, local, &|_, _| Vec::new())?;
    let Some(manifest) = loaded.manifest else {
        let renderer = if std::io::stderr().is_terminal() { Renderer::styled() } else { Renderer::plain() };
        eprint!("{}", loaded.report.draw(&renderer));
        bail!("{}: {}", loaded.report.file, loaded.report.summary());
    };
    let topology = graph::plan(&manifest.spec, &|topic| Some(manifest.partitions_of(topic)))?;
    let drawing = describe::describe(&topology, &manifest.spec);
    let text = match args.format {
        Format::Mermaid => describe::mermaid(&drawing),
        Format::Dot => describe::dot(&drawing),
        Format::Svg => svg::svg(&drawing),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
