//! Draws a pipeline: Mermaid, DOT or SVG text on standard output, or the drawing as JSON.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use annotate_snippets::Renderer;
use anyhow::bail;
use millstream_core::topology::describe::{self, Drawing, ShapeKind};
use millstream_core::topology::graph;
use serde_json::{Value, json};

use super::client::print;
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
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
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
    /// For programs: boxes, arrows between them, and the sub-topologies around them
    Json,
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
        _ if args.json => json(&drawing),
        Format::Json => json(&drawing),
        Format::Mermaid => describe::mermaid(&drawing),
        Format::Dot => describe::dot(&drawing),
        Format::Svg => svg::svg(&drawing),
    };
    print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The drawing as an object; arrows and frames name boxes by their number, from 0.
fn json(drawing: &Drawing) -> String {
    let kind = |kind| match kind {
        ShapeKind::Topic => "topic",
        ShapeKind::Internal => "repartition-topic",
        ShapeKind::Step => "step",
        ShapeKind::Store => "store",
    };
    let boxes = drawing.shapes.iter().map(|shape| json!({ "kind": kind(shape.kind), "lines": shape.lines }));
    let arrows = drawing.arrows.iter();
    let arrows = arrows.map(|a| json!({ "from": a.from, "to": a.to, "label": a.label, "dashed": a.dashed }));
    let frames = drawing.frames.iter().map(|f| json!({ "title": f.title, "boxes": f.shapes }));
    let [boxes, arrows, frames]: [Vec<Value>; 3] = [boxes.collect(), arrows.collect(), frames.collect()];
    format!("{}\n", json!({ "boxes": boxes, "arrows": arrows, "frames": frames }))
}
