//! Names and meaning: what the pure check of the graph found, brought back to lines and columns.
//!
//! The rules are in [`millstream_core::topology::check`]; here are places, the nearest right names, and what is left out
//! because it only follows from a fault in form.

use millstream_core::topology::check::{self, Section, Severity};
use millstream_core::topology::graph;
use millstream_core::topology::spec::Operator;

use super::Manifest;
use super::lower::is_cut;
use super::problem::{Problem, nearest};
use super::structure::{Fitting, Path, SECTIONS};
use super::text::Node;

/// Checks names and meaning, and that the graph can be planned.
pub fn check(tree: &Node, fitting: &Fitting, manifest: &Manifest, problems: &mut Vec<Problem>) {
    let mut found = check::check(&manifest.spec);
    // Names of a section whose own name is nearly right are there, only not known.
    let misspelled = fitting.cut.iter().any(|cut| match cut.as_slice() {
        [section] => !SECTIONS.contains(&section.as_str()) && nearest(section, SECTIONS.into_iter()).is_some(),
        _ => false,
    });
    found.retain(|p| !(follows(fitting, manifest, p) || misspelled && p.unknown.is_some()));
    // What seems unused may be used where an error stands.
    let failed =
        problems.iter().any(|p| p.severity == Severity::Error) || found.iter().any(|p| p.severity == Severity::Error);
    found.retain(|p| !(failed && is_about_use(p)));
    problems.extend(found.into_iter().map(|p| with_place(tree, p)));
    if problems.iter().any(|p| p.severity == Severity::Error) {
        return;
    }
    let planned = graph::plan(&manifest.spec, &|topic| Some(manifest.partitions_of(topic)));
    if let Err(why) = planned {
        let step = why.step().map(|step| vec!["steps".to_string(), step.to_string()]);
        let place = step.unwrap_or_else(|| vec!["sources".to_string()]);
        problems.push(Problem::error(tree.key_place(&place), why.to_string()));
    }
}

/// Whether a problem may only be there because something was cut for its form.
fn follows(fitting: &Fitting, manifest: &Manifest, problem: &check::Problem) -> bool {
    if fitting.cut.is_empty() {
        return false;
    }
    let section = section(problem.place.section);
    // What is left of an entry still names others, rightly or wrongly.
    if is_cut(fitting, section, &problem.place.name) && problem.unknown.is_none() {
        return true;
    }
    // A step that was cut may have made the table that a join needs.
    let steps_cut = fitting.cut.iter().any(|cut| cut.first().is_some_and(|section| section == "steps"));
    if steps_cut && matches!(problem.place.field, "join" | "type") && problem.unknown.is_none() {
        return true;
    }
    // A branch that was cut has lost its outputs.
    let cut_step = |name: &str| {
        let step = manifest.spec.steps.iter().find(|s| s.name == name);
        step.is_some_and(|s| !matches!(s.operator, Operator::Branch { .. })) && is_cut(fitting, "steps", name)
    };
    let output = problem.unknown.as_ref().and_then(|u| u.name.split_once('.'));
    let rootless = fitting.cut.contains(&Vec::new()) && problem.place.name.is_empty();
    rootless || output.is_some_and(|(step, _)| cut_step(step))
}

/// Warnings that something is used by nothing.
fn is_about_use(problem: &check::Problem) -> bool {
    problem.severity == Severity::Warning && matches!(problem.place.field, "" | "outputs")
}

fn with_place(tree: &Node, problem: check::Problem) -> Problem {
    let place = &problem.place;
    let mut path: Path = vec![section(place.section).to_string()];
    path.extend([place.name.as_str(), place.field].iter().filter(|s| !s.is_empty()).map(|s| (*s).to_string()));
    if place.section == Section::Pipeline {
        path.truncate(1);
    }
    let span = match place.item {
        Some(item) => {
            path.push(item.to_string());
            tree.place(&path)
        }
        None if place.field.is_empty() => tree.key_place(&path),
        None => tree.place(&path),
    };
    let out = Problem { severity: problem.severity, ..Problem::error(span, problem.message) };
    let out = match &problem.unknown {
        Some(unknown) => out.nearest(&unknown.name, &unknown.known, "there are"),
        None => out,
    };
    out.help(problem.help)
}

fn section(section: Section) -> &'static str {
    match section {
        Section::Pipeline => "pipeline",
        Section::Functions => "functions",
        Section::Sources => "sources",
        Section::Steps => "steps",
        Section::Sinks => "sinks",
    }
}
