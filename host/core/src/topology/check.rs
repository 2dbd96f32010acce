//! What is wrong with a [`Spec`], all of it at once. Pure; places are names, which the shell maps to lines and columns.
//!
//! Not here yet: cycles, topic names, warnings. Not its work: the manifest's text.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::spec::{Emit, From, Operator, Spec};

/// The part of the manifest a [`Place`] is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `sources`.
    Sources,
    /// `steps`.
    Steps,
    /// `sinks`.
    Sinks,
}

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Section of the manifest.
    pub section: Section,
    /// Name of the source, step or sink.
    pub name: String,
    /// Field within it, `""` for the whole entry.
    pub field: &'static str,
}

/// An error that keeps the pipeline from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
}

/// Every problem found, steps first, then sinks, in the manifest's order.
pub fn check(spec: &Spec) -> Vec<Problem> {
    let mut found = Vec::new();
    let sources: BTreeSet<&str> = spec.sources.iter().map(|s| s.name.as_str()).collect();
    for step in &spec.steps {
        let mut say = |field, message| found.push(problem(Section::Steps, &step.name, field, message));
        if sources.contains(step.name.as_str()) {
            say("", format!("`{}` is also the name of a source", step.name));
        }
        let function = match &step.operator {
            Operator::Filter { function, .. }
            | Operator::Map { function, .. }
            | Operator::Branch { function, .. }
            | Operator::Peek { function } => Some(function.as_str()),
            Operator::Aggregate(a) => a.fold.function(),
            Operator::Merge | Operator::Repartition { .. } => None,
        };
        if let Some(name) = function.filter(|n| !spec.functions.iter().any(|f| f.name == **n)) {
            say("function", format!("no function is called `{name}`"));
        }
        if let Operator::Aggregate(a) = &step.operator {
            match &a.window {
                None if a.emit == Emit::OnClose => say("emit", "`on-close` needs a window".to_string()),
                Some(w) if w.size_ms < 1 => say("window", "a window is at least 1 ms long".to_string()),
                Some(w) if w.advance_ms < 1 || w.advance_ms > w.size_ms => {
                    say("window", "`advance` lies between 1 ms and the window's size".to_string());
                }
                _ => {}
            }
        }
        inputs(spec, Section::Steps, &step.name, &step.from, &mut found);
    }
    for sink in &spec.sinks {
        inputs(spec, Section::Sinks, &sink.name, &sink.from, &mut found);
    }
    found
}

fn problem(section: Section, name: &str, field: &'static str, message: String) -> Problem {
    Problem { place: Place { section, name: name.to_string(), field }, message }
}

fn inputs(spec: &Spec, section: Section, name: &str, from: &[From], found: &mut Vec<Problem>) {
    for f in from {
        let step = spec.steps.iter().find(|s| s.name == f.name);
        if step.is_none() && !spec.sources.iter().any(|s| s.name == f.name) {
            found.push(problem(section, name, "from", format!("no source or step is called `{}`", f.name)));
        } else if let Some(output) = &f.output {
            let known = matches!(step.map(|s| &s.operator), Some(Operator::Branch { outputs, otherwise, .. })
                if outputs.contains(output) || otherwise.as_ref() == Some(output));
            if !known {
                found.push(problem(section, name, "from", format!("`{}` has no output `{output}`", f.name)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::spec::{Idle, Lateness, OnError, StepSpec};
    use alloc::vec;

    #[test]
    fn unknown_input_and_unknown_function_are_both_told() {
        let step = StepSpec {
            name: "a".into(),
            from: vec![From { name: "nowhere".into(), output: None }],
            operator: Operator::Peek { function: "missing".into() },
            on_error: OnError::Fail,
            late: None,
            idle: Idle::default(),
            lateness: Lateness::default(),
        };
        let found = check(&Spec { steps: vec![step], ..Spec::default() });
        let fields: Vec<_> = found.iter().map(|p| p.place.field).collect();
        assert_eq!(fields, ["function", "from"]);
    }
    #[test]
    fn closing_without_a_window_and_an_advance_past_the_size_are_refused() {
        use crate::topology::spec::{Aggregate, CountFormat, Fold, Window};
        let fields = |window, emit| {
            let fold = Fold::Count(CountFormat::Long);
            let step = StepSpec {
                name: "a".into(),
                from: vec![],
                operator: Operator::Aggregate(Aggregate { fold, window, emit, emit_every_update: false, partitions: None }),
                on_error: OnError::Fail,
                late: None,
                idle: Idle::default(),
                lateness: Lateness::default(),
            };
            let found = check(&Spec { steps: vec![step], ..Spec::default() });
            found.iter().map(|p| p.place.field).collect::<Vec<_>>()
        };
        let window = |advance_ms| Some(Window { size_ms: 10, advance_ms, grace_ms: 0 });
        assert_eq!(fields(None, Emit::OnClose), ["emit"]);
        assert_eq!(fields(window(11), Emit::OnClose), ["window"]);
        assert!(fields(window(10), Emit::OnClose).is_empty());
    }
}
