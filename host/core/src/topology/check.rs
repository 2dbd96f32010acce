//! What is wrong with a [`Spec`], all of it at once: names, meanings, limits, and what is allowed but rarely meant.
//!
//! Pure; places are names, which the shell maps to lines and columns. Not its work: the manifest's text, and what only a
//! running host knows (files, topics that exist).

mod ends;
mod folds;
mod globals;
mod history;
mod keys;
mod streams;
mod tables;
mod topics;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::describe::{operator_word, shown};
use super::spec::{Aggregate, Emit, From, OnError, Operator, Spec, StepSpec, Window, WindowForm};
use crate::window::Grid;

/// Most characters of a topic's name: Kafka's own limit, so that a pipeline can move there.
pub const TOPIC_CHARACTERS_MAX: usize = 249;
/// Most partitions of a topic.
pub const PARTITIONS_MAX: u32 = 1_024;
/// Most steps of a pipeline. Planning compares steps with each other, so the cost grows faster than their number.
pub const STEPS_MAX: usize = 256;
/// Most functions of a pipeline; each has instances on every worker.
pub const FUNCTIONS_MAX: usize = 256;
/// Most sources of a pipeline.
pub const SOURCES_MAX: usize = 64;
/// Most sinks of a pipeline.
pub const SINKS_MAX: usize = 256;
/// Most named outputs of a branch or a processor.
pub const OUTPUTS_MAX: usize = 64;
/// Most topics that one sink's router may name: each has room for its partitions in every task that writes it.
pub const ROUTED_TOPICS_MAX: usize = 256;
/// Most windows that hold one record: each of them is read and written for it.
pub const WINDOWS_PER_RECORD_MAX: i64 = 10_000;

/// The part of the manifest a [`Place`] is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The pipeline as a whole; the place's name is empty.
    Pipeline,
    /// `functions`.
    Functions,
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
    /// Name of the function, source, step or sink; `""` for the whole section.
    pub name: String,
    /// Field within it, as the manifest spells it (`"from"`, `"filter"`); `""` for the whole entry.
    pub field: &'static str,
    /// Which item of the field, where it holds several.
    pub item: Option<usize>,
}

/// What a problem keeps from happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline cannot start.
    Error,
    /// It can, but this is rarely meant.
    Warning,
}

/// A name that was looked for, and those that would have been right: the shell proposes the nearest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What was written.
    pub name: String,
    /// What could have been written, in the manifest's order.
    pub known: Vec<String>,
}

/// Something wrong, or rarely meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What is wrong, one line without a full stop.
    pub message: String,
    /// What would be right, where that is not plain; one line.
    pub help: String,
    /// The name that nothing has, where that is the trouble.
    pub unknown: Option<Unknown>,
}

/// Every problem found: by section, each in the manifest's order, warnings about what nothing uses last.
pub fn check(spec: &Spec) -> Vec<Problem> {
    let mut checker = Checker { spec, found: Vec::new() };
    checker.counts();
    checker.sources();
    for step in &spec.steps {
        checker.step(step);
    }
    for sink in &spec.sinks {
        checker.route(sink);
        checker.inputs(Section::Sinks, &sink.name, "from", &sink.from);
        checker.reads_global(Section::Sinks, &sink.name, "from", &sink.from);
    }
    checker.duplicates();
    let order = checker.order();
    checker.keys(&order);
    checker.topics();
    checker.unused();
    checker.found
}

struct Checker<'a> {
    spec: &'a Spec,
    found: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn say(
        &mut self,
        severity: Severity,
        section: Section,
        name: &str,
        field: &'static str,
        message: String,
        help: &str,
    ) {
        let place = Place { section, name: name.to_string(), field, item: None };
        self.found.push(Problem { severity, place, message, help: help.to_string(), unknown: None });
    }

    fn error(&mut self, section: Section, name: &str, field: &'static str, message: String, help: &str) {
        self.say(Severity::Error, section, name, field, message, help);
    }

    fn warn(&mut self, section: Section, name: &str, field: &'static str, message: String, help: &str) {
        self.say(Severity::Warning, section, name, field, message, help);
    }

    fn item(&mut self, item: usize) {
        if let Some(last) = self.found.last_mut() {
            last.place.item = Some(item);
        }
    }

    fn unknown(&mut self, name: &str, known: Vec<String>) {
        if let Some(last) = self.found.last_mut() {
            last.unknown = Some(Unknown { name: name.to_string(), known });
        }
    }

    fn counts(&mut self) {
        let spec = self.spec;
        let counts = [
            (Section::Functions, "functions", spec.functions.len(), FUNCTIONS_MAX),
            (Section::Sources, "sources", spec.sources.len(), SOURCES_MAX),
            (Section::Steps, "steps", spec.steps.len(), STEPS_MAX),
            (Section::Sinks, "sinks", spec.sinks.len(), SINKS_MAX),
        ];
        for (section, what, count, max) in counts {
            if count > max {
                let message = format!("{count} {what}; a pipeline may have {max}");
                self.error(section, "", "", message, "split the pipeline at a topic into two");
            }
        }
        if spec.sources.is_empty() {
            let message = "the pipeline has no source, so nothing flows".to_string();
            self.error(Section::Sources, "", "", message, "add one: `sources: { lines: { topic: input-topic } }`");
        }
    }

    fn sources(&mut self) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for source in &self.spec.sources {
            self.timestamp(source);
            for (i, topic) in source.topics.iter().enumerate() {
                self.topic_name(Section::Sources, &source.name, "topic", topic);
                if let Some(other) = seen.insert(topic, &source.name) {
                    let message = format!("source `{other}` reads topic `{topic}` already");
                    let help = format!("read on `from: {other}`, as often as needed");
                    self.error(Section::Sources, &source.name, "topic", message, &help);
                    self.item(i);
                }
            }
        }
    }

    fn step(&mut self, step: &'a StepSpec) {
        let section = Section::Steps;
        if self.spec.sources.iter().any(|s| s.name == step.name) {
            let message = format!("`{}` is also the name of a source", step.name);
            self.error(
                section,
                &step.name,
                "",
                message,
                "steps and sources share one set of names, as `from` reads both",
            );
        }
        let word = operator_word(&step.operator);
        let functions = operator_functions(&step.operator);
        // One that was left out has no name, and the shell tells of it.
        let known = |name: &str| name.is_empty() || self.spec.functions.iter().any(|f| f.name == name);
        let missing: Vec<&str> = functions.iter().copied().filter(|name| !known(name)).collect();
        for name in missing {
            let field = match &step.operator {
                Operator::Join(join) if join.key.as_deref() == Some(name) => "key",
                Operator::Join(_) | Operator::StreamJoin(_) => "with",
                _ => word,
            };
            self.error(section, &step.name, field, format!("no function is called `{name}`"), "");
            self.unknown(name, self.spec.functions.iter().map(|f| f.name.clone()).collect());
        }
        let keeps_rows =
            matches!(step.operator, Operator::Table { .. } | Operator::StreamJoin(_) | Operator::Deduplicate(_));
        if functions.is_empty() && !keeps_rows && step.on_error != OnError::Fail {
            let message = format!("`on-error` has no effect: `{word}` calls no function that could fail");
            self.warn(section, &step.name, "on-error", message, "leave it out");
        }
        match &step.operator {
            Operator::Aggregate(aggregate) => self.aggregate(step, aggregate),
            Operator::Branch { outputs, otherwise, .. } => self.branch(step, outputs, otherwise.as_deref()),
            Operator::Repartition { partitions } => self.partitions(&step.name, *partitions),
            Operator::Table { partitions, history_ms } => {
                self.partitions(&step.name, *partitions);
                self.history(step, *history_ms);
            }
            Operator::GlobalTable => self.global_table(step),
            Operator::Process(process) => self.process(step, process),
            Operator::StreamJoin(join) => self.stream_join(step, join),
            Operator::Deduplicate(deduplicate) => self.deduplicate(step, deduplicate),
            Operator::Merge if step.from.len() == 1 => {
                let message = format!("step `{}` merges one stream, so it does nothing", step.name);
                self.warn(section, &step.name, "from", message, "name several: `from: [a, b]`");
            }
            _ => {}
        }
        self.max_idle(step);
        self.inputs(section, &step.name, "from", &step.from);
        self.reads_global(section, &step.name, "from", &step.from);
        if let Operator::StreamJoin(join) = &step.operator {
            self.reads_global(section, &step.name, "join", core::slice::from_ref(&join.other));
        }
        let other = match &step.operator {
            Operator::Join(join) => Some(&join.other),
            Operator::StreamJoin(join) => Some(&join.other),
            _ => None,
        };
        other.iter().for_each(|other| self.inputs(section, &step.name, "join", core::slice::from_ref(*other)));
    }

    fn aggregate(&mut self, step: &StepSpec, aggregate: &Aggregate) {
        let section = Section::Steps;
        self.partitions(&step.name, aggregate.partitions);
        match &aggregate.window {
            None => {
                if aggregate.emit == Emit::OnClose {
                    let help = "add `window: { tumbling: 10s, grace: 2s }`, or use `emit: on-update`";
                    self.error(section, &step.name, "emit", "`on-close` needs a window".to_string(), help);
                }
                if step.late.is_some() {
                    let message = "`late` has no effect: without a window nothing is late".to_string();
                    self.warn(section, &step.name, "late", message, "leave it out, or add a `window`");
                }
            }
            Some(window) => self.window(step, *window, aggregate.emit),
        }
        self.scan(step, aggregate);
        self.cogroup(step, aggregate);
        if aggregate.emit == Emit::OnClose && aggregate.emit_every_update {
            let message = "`emit-every-update` has no effect with `emit: on-close`".to_string();
            self.warn(section, &step.name, "emit-every-update", message, "leave out one of the two");
        }
    }

    fn window(&mut self, step: &StepSpec, window: Window, emit: Emit) {
        let mut error = |message: String, help: &str| self.error(Section::Steps, &step.name, "window", message, help);
        let (size_ms, step_ms, word) = match window.form {
            WindowForm::Hopping { size_ms, advance_ms } | WindowForm::Panes { size_ms, advance_ms } => {
                (size_ms, advance_ms, "advance")
            }
            WindowForm::Cumulating { size_ms, step_ms } => (size_ms, step_ms, "step"),
            WindowForm::Session { gap_ms } if gap_ms < 1 => {
                return error("the gap of a session is at least 1 ms".to_string(), "");
            }
            WindowForm::Sliding { difference_ms } if difference_ms < 0 => {
                return error("the difference of a sliding window is at least 0 ms".to_string(), "");
            }
            WindowForm::Session { .. } | WindowForm::Sliding { .. } | WindowForm::Calendar(_) => return,
        };
        if size_ms < 1 {
            return error("a window is at least 1 ms long".to_string(), "");
        }
        let message = format!("`{word}` lies between 1 ms and the window's size, {size_ms} ms");
        match window.form {
            WindowForm::Hopping { .. } | WindowForm::Panes { .. } if !(1..=size_ms).contains(&step_ms) => {
                return error(message, "with a larger one, records between two windows would be in none");
            }
            WindowForm::Cumulating { .. } if !(1..=size_ms).contains(&step_ms) => return error(message, ""),
            WindowForm::Cumulating { .. } if size_ms % step_ms != 0 => {
                let message = format!("the longest window, {size_ms} ms, is no multiple of the `step`, {step_ms} ms");
                return error(message, "with another step the last one would be cut short");
            }
            _ => {}
        }
        let windows = match window.form {
            // Those that a record is in are only looked at when one of them closes.
            WindowForm::Panes { .. } if emit == Emit::OnClose => 0,
            WindowForm::Panes { .. } => (size_ms - 1) / step_ms + 1,
            _ => Grid::of(window).map_or(0, Grid::windows_per_record),
        };
        if windows > WINDOWS_PER_RECORD_MAX {
            let message =
                format!("each record would be in {windows} windows; at most {WINDOWS_PER_RECORD_MAX} are possible");
            let least = (size_ms - 1) / WINDOWS_PER_RECORD_MAX + 1;
            error(message, &format!("make `{word}` {least} ms or more, or the windows shorter"));
        }
    }

    fn branch(&mut self, step: &StepSpec, outputs: &[String], otherwise: Option<&str>) {
        if outputs.is_empty() || outputs.len() > OUTPUTS_MAX {
            let message = format!("{} outputs; a branch has 1 to {OUTPUTS_MAX}", outputs.len());
            self.error(Section::Steps, &step.name, "outputs", message, "");
        }
        for (i, output) in outputs.iter().enumerate() {
            if outputs[..i].contains(output) {
                let message = format!("two outputs are called `{output}`");
                self.error(Section::Steps, &step.name, "outputs", message, "");
                self.item(i);
            }
        }
        if let Some(name) = otherwise.filter(|o| outputs.iter().any(|x| x == o)) {
            let message = format!("`{name}` is one of the `outputs` already");
            let help = "`otherwise` names one more output, for records that match none";
            self.error(Section::Steps, &step.name, "otherwise", message, help);
        }
    }

    fn partitions(&mut self, step: &str, partitions: Option<u32>) {
        if let Some(n) = partitions.filter(|n| !(1..=PARTITIONS_MAX).contains(n)) {
            let message = format!("{n} partitions; a topic has 1 to {PARTITIONS_MAX}");
            self.error(Section::Steps, step, "partitions", message, "");
        }
    }

    fn inputs(&mut self, section: Section, name: &str, field: &'static str, from: &[From]) {
        let spec = self.spec;
        if from.is_empty() {
            let message = format!("`{name}` reads nothing");
            self.error(section, name, field, message, "name a source or a step: `from: NAME`");
        }
        for (i, f) in from.iter().enumerate() {
            let step = spec.steps.iter().find(|s| s.name == f.name);
            let outputs = step.and_then(|s| named_outputs(&s.operator));
            if step.is_none() && !spec.sources.iter().any(|s| s.name == f.name) {
                self.unknown_input(section, name, field, f);
            } else if let (Some(outputs), None) = (&outputs, &f.output) {
                let message = format!("`{}` has named outputs: which of them?", f.name);
                let all: Vec<String> = outputs.iter().map(|o| format!("`{}.{o}`", f.name)).collect();
                self.error(section, name, field, message, &format!("one of {}", all.join(", ")));
            } else if let Some(output) = &f.output {
                let outputs = outputs.unwrap_or_default();
                if !outputs.iter().any(|o| o == output) {
                    let help = if outputs.is_empty() { "only a branch and a processor have named outputs" } else { "" };
                    self.error(section, name, field, format!("`{}` has no output `{output}`", f.name), help);
                    let known = outputs.iter().map(|o| format!("{}.{o}", f.name)).collect();
                    self.unknown(&shown(f), known);
                }
            }
            if from[..i].contains(f) {
                let message = format!("`{}` is named twice, so each of its records comes twice", shown(f));
                self.warn(section, name, field, message, "");
            }
            if self.found.last().is_some_and(|p| p.place.name == name && p.place.field == "from" && from.len() > 1) {
                self.item_if_unset(i);
            }
        }
    }

    fn item_if_unset(&mut self, item: usize) {
        if let Some(last) = self.found.last_mut().filter(|p| p.place.item.is_none()) {
            last.place.item = Some(item);
        }
    }

    fn unknown_input(&mut self, section: Section, name: &str, field: &'static str, f: &From) {
        let spec = self.spec;
        let sink = spec.sinks.iter().find(|s| s.name == f.name);
        if let Some(sink) = sink {
            let message = format!("`{}` is a sink, and nothing comes out of a sink", f.name);
            let read: Vec<String> = sink.from.iter().map(|f| format!("`{}`", shown(f))).collect();
            self.error(section, name, field, message, &format!("read what it reads: {}", read.join(", ")));
            return;
        }
        self.error(section, name, field, format!("no source or step is called `{}`", f.name), "");
        let sources = spec.sources.iter().map(|s| s.name.clone());
        let steps = spec.steps.iter().filter(|s| s.name != name);
        self.unknown(&f.name, sources.chain(steps.map(|s| s.name.clone())).collect());
    }

    fn duplicates(&mut self) {
        let spec = self.spec;
        let names = |section, names: Vec<&'a str>| (section, names);
        let all = [
            names(Section::Functions, spec.functions.iter().map(|x| x.name.as_str()).collect()),
            names(Section::Sources, spec.sources.iter().map(|x| x.name.as_str()).collect()),
            names(Section::Steps, spec.steps.iter().map(|x| x.name.as_str()).collect()),
            names(Section::Sinks, spec.sinks.iter().map(|x| x.name.as_str()).collect()),
        ];
        for (section, names) in all {
            for (i, name) in names.iter().enumerate().filter(|(i, name)| names[..*i].contains(name)) {
                self.error(section, name, "", format!("the name `{name}` is used twice"), "");
                self.item(i);
            }
        }
    }

    /// Steps so that each comes after those it reads; circles are reported, and broken where they were found.
    fn order(&mut self) -> Vec<&'a StepSpec> {
        let mut left: Vec<&'a StepSpec> = self.spec.steps.iter().collect();
        let mut out = Vec::new();
        while !left.is_empty() {
            // A name that a source has too, which is told elsewhere, is taken for the source's.
            let source = |name: &str| self.spec.sources.iter().any(|s| s.name == name);
            let waits = |s: &StepSpec| s.reads().any(|f| !source(&f.name) && left.iter().any(|l| l.name == f.name));
            if let Some(ready) = left.iter().position(|s| !waits(s)) {
                out.push(left.remove(ready));
                continue;
            }
            let circle = circle(&left);
            let mut names: Vec<&str> = circle.iter().map(|s| s.name.as_str()).collect();
            names.push(names[0]);
            let message = match names.len() {
                2 => format!("`{}` reads its own results", names[0]),
                _ => format!("these steps feed each other in a circle: {}", names.join(" → ")),
            };
            let help = "a stream comes from a source; to feed results back, write them to a topic that a source reads";
            self.error(Section::Steps, names[0], "from", message, help);
            left.retain(|s| !circle.iter().any(|c| c.name == s.name));
            out.extend(circle);
        }
        out
    }

    fn unused(&mut self) {
        let spec = self.spec;
        let read = |name: &str, output: Option<&str>| {
            let all = spec.steps.iter().flat_map(StepSpec::reads).chain(spec.sinks.iter().flat_map(|s| &s.from));
            all.into_iter().any(|f| f.name == name && (output.is_none() || f.output.as_deref() == output))
        };
        for function in &spec.functions {
            let used = spec.steps.iter().any(|s| operator_functions(&s.operator).contains(&function.name.as_str()));
            if !used && !self.ends_use(&function.name) {
                let message = format!("no step uses function `{}`", function.name);
                self.warn(Section::Functions, &function.name, "", message, "");
            }
        }
        for source in spec.sources.iter().filter(|s| !read(&s.name, None)) {
            self.warn(Section::Sources, &source.name, "", format!("nothing reads source `{}`", source.name), "");
        }
        for step in &spec.steps {
            let outputs = named_outputs(&step.operator).filter(|_| read(&step.name, None));
            for output in outputs.iter().flatten().filter(|o| !read(&step.name, Some(o))) {
                let message = format!("nothing reads `{}.{output}`: its records are dropped", step.name);
                self.warn(Section::Steps, &step.name, "outputs", message, "");
            }
            if !matches!(step.operator, Operator::Peek { .. }) && !read(&step.name, None) {
                let message = format!("the results of `{}` go nowhere", step.name);
                let help = format!("write them: `sinks: {{ {0}: {{ from: {0}, topic: … }} }}`", step.name);
                self.warn(Section::Steps, &step.name, "", message, &help);
            }
        }
    }
}

/// The functions that a step calls, each once.
pub fn operator_functions(operator: &Operator) -> Vec<&str> {
    let one = match operator {
        Operator::Filter { function, .. }
        | Operator::Map { function, .. }
        | Operator::Branch { function, .. }
        | Operator::Peek { function } => Some(function.as_str()),
        Operator::Aggregate(a) => a.fold.function(),
        Operator::Process(p) => Some(p.function.as_str()),
        Operator::Deduplicate(d) => d.function.as_deref(),
        Operator::Join(join) => Some(join.function.as_str()),
        Operator::StreamJoin(join) => join.function.as_deref(),
        Operator::Regroup { function } => Some(function.as_str()),
        Operator::Merge | Operator::Repartition { .. } | Operator::Table { .. } | Operator::GlobalTable => None,
    };
    let others = match operator {
        Operator::Aggregate(a) => a.fold.adders(),
        Operator::Join(join) => join.key.as_slice(),
        _ => &[],
    };
    let mut out: Vec<&str> = Vec::new();
    for name in others.iter().map(String::as_str).chain(one) {
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

fn named_outputs(operator: &Operator) -> Option<Vec<String>> {
    match operator {
        Operator::Branch { outputs, otherwise, .. } => Some(outputs.iter().chain(otherwise).cloned().collect()),
        Operator::Process(process) if !process.outputs.is_empty() => Some(process.outputs.clone()),
        _ => None,
    }
}

/// A circle among steps each of which reads another of them: it begins with the one that the manifest has first.
fn circle<'a>(left: &[&'a StepSpec]) -> Vec<&'a StepSpec> {
    let reads = |step: &StepSpec| step.reads().find_map(|f| left.iter().find(|s| s.name == f.name)).copied();
    let mut path: Vec<&'a StepSpec> = vec![left[0]];
    loop {
        // Every one of them reads another, or it would have been taken before.
        let Some(next) = reads(path[path.len() - 1]) else { return path };
        if let Some(at) = path.iter().position(|s| s.name == next.name) {
            path.drain(..at);
            // Data flows against `from`.
            path.reverse();
            let place = |s: &&StepSpec| left.iter().position(|l| l.name == s.name);
            let first = (0..path.len()).min_by_key(|i| place(&path[*i])).unwrap_or(0);
            path.rotate_left(first);
            return path;
        }
        path.push(next);
    }
}

use keys::{Keys, Kinds};

pub mod process;

#[cfg(test)]
mod tests;
