//! From the manifest's form to what the engine takes: units, references, defaults, and which fields belong together.
//!
//! What was cut away for its form is stood in for, so that the names of its entry stay known. Names are not resolved here.

mod grants;
mod joins;
mod versions;

use std::path::PathBuf;

use std::collections::BTreeMap;

use millstream_core::calendar::Calendar;
use millstream_core::state::keyspace::Durability;
use millstream_core::topology::describe::operator_word;
use millstream_core::topology::spec::{
    self, Aggregate, Deduplicate, Fold, From, FunctionSpec, Idle, KeyFormat, MapForm, Operator, Process, SinkSpec,
    SourceSpec, Spec, StepSpec, StoreSpec, WindowForm,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::calendar;
use super::formats::{self, Gather, Side};
use super::manifest::{self as form, DurationText, OneOrMany};
use super::problem::{Problem, Severity};
use super::structure::{Fitting, Path, entries};
use super::text::Node;
use super::times;
use super::units::{self, DURATION_MS_MAX};
use super::{
    COMMIT_INTERVAL_DEFAULT_MS, COMMIT_INTERVAL_MS_MAX, COMMIT_INTERVAL_MS_MIN, Function, Guarantee, InternalTopics,
    Limits, Manifest, Start, Surroundings,
};
use crate::runtime::formats::Asked;

/// Fields that only `count`, `reduce`, `aggregate`, `scan` and `cogroup` have.
const AGGREGATE_FIELDS: [&str; 5] = ["group", "window", "emit", "emit-every-update", "late"];
/// Those of them that `scan` has not: its results come out after each record.
const EMIT_FIELDS: [&str; 2] = ["emit", "emit-every-update"];
/// A count that is in more hopping windows than this is put together from panes.
const PANES_FROM: i64 = 16;
/// The `by` of a `deduplicate` that is no function: the record's key.
const BY_KEY: &str = "key";
/// Fields about the repartition topic before a step.
const REPARTITION_FIELDS: [&str; 2] = ["idle", "partitions"];

/// Turns what fits the schema into a manifest; `None` only if it does not fit after all.
pub fn lower(
    tree: &Node,
    fitting: &Fitting,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Manifest> {
    let manifest: form::Manifest = match serde_json::from_value(fitting.json.clone()) {
        Ok(manifest) => manifest,
        Err(why) => {
            problems.push(Problem::error(0..0, format!("the manifest cannot be read: {why}")));
            return None;
        }
    };
    let mut lower = Lower { tree, fitting, problems };
    let retention = manifest.local.as_ref().and_then(|l| l.retention.clone());
    let retention_at = |field: &str| path(&["local", "retention", field]);
    Some(Manifest {
        spec: Spec {
            pipeline: manifest.pipeline.0.clone(),
            functions: tree_keys(tree, "functions").map(|name| FunctionSpec { name }).collect(),
            sources: lower.each("sources", Lower::source),
            steps: lower.each("steps", Lower::step),
            sinks: lower.each("sinks", Lower::sink),
            max_idle: lower.max_idle(manifest.max_idle.as_ref(), &path(&["max-idle"])).unwrap_or_default(),
        },
        guarantee: lower.guarantee(&manifest, around),
        kafka: lower.kafka(&manifest, around),
        internal_topics: lower.internal_topics(&manifest, around),
        trust: lower.trust(&manifest),
        logs: lower.logs(&manifest),
        functions: lower.functions(around),
        partitions: lower.partitions(&manifest),
        starts: lower.starts(&manifest),
        formats: lower.formats(&manifest, around),
        commit_interval_ms: lower.commit_interval(&manifest),
        keep_components_ms: lower.keep_components(&manifest),
        durability: match manifest.local.as_ref().and_then(|l| l.durability) {
            Some(form::Durability::Device) => Durability::Device,
            _ => Durability::Process,
        },
        retention_ms: retention
            .as_ref()
            .and_then(|r| r.time.as_ref())
            .and_then(|t| lower.amount(&t.0, &retention_at("time"), units::duration_ms, "keep")),
        retention_bytes: retention
            .as_ref()
            .and_then(|r| r.bytes.as_ref())
            .and_then(|b| lower.amount(&b.0, &retention_at("bytes"), units::size_bytes, "keep")),
    })
}

/// Asks what there is to say about the components of functions whose form is right.
pub fn components(
    tree: &Node,
    fitting: &Fitting,
    manifest: &Manifest,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    for function in manifest.functions.iter().filter(|f| !is_cut(fitting, "functions", &f.name)) {
        for remark in (around.component)(&manifest.spec, function) {
            let span = tree.place(&path(&["functions", &function.name, remark.field]));
            let problem = Problem { severity: remark.severity, ..Problem::error(span, remark.message) };
            problems.push(problem.help(remark.help));
        }
    }
}

/// The global table that reads a source.
fn reader_of_all<'m>(manifest: &'m form::Manifest, source: &str) -> Option<&'m str> {
    let reads = |step: &form::Step| step.from.iter().flat_map(form::OneOrMany::all).any(|from| from.0 == source);
    let mut tables = manifest.steps.0.iter().filter(|(_, step)| step.global_table.is_some());
    tables.find(|(_, step)| reads(step)).map(|(name, _)| name.as_str())
}

/// A sink's router. Which topics there are for a pattern is known when the pipeline starts.
fn route(sink: &form::Sink) -> Option<spec::Route> {
    let function = sink.route.as_ref()?.0.clone();
    let (topics, pattern) = match &sink.topics {
        None => (Vec::new(), None),
        Some(form::RoutedTopics::Listed(listed)) => (listed.iter().map(|topic| topic.0.clone()).collect(), None),
        Some(form::RoutedTopics::Pattern(text)) if text.contains('*') => (Vec::new(), Some(text.clone())),
        Some(form::RoutedTopics::Pattern(one)) => (vec![one.clone()], None),
    };
    Some(spec::Route { function, topics, pattern })
}

/// Whether something was cut from an entry.
pub fn is_cut(fitting: &Fitting, section: &str, name: &str) -> bool {
    fitting.cut.iter().any(|cut| {
        let mut cut = cut.iter().map(String::as_str);
        cut.next() == Some(section) && cut.next().is_none_or(|n| n == name)
    })
}

fn path(segments: &[&str]) -> Path {
    segments.iter().map(|s| (*s).to_string()).collect()
}

/// Names of a section's entries, in the order of the text.
fn tree_keys(tree: &Node, section: &str) -> impl Iterator<Item = String> {
    tree.get(section).into_iter().flat_map(Node::keys).map(str::to_string).collect::<Vec<_>>().into_iter()
}

struct Lower<'a> {
    tree: &'a Node,
    fitting: &'a Fitting,
    problems: &'a mut Vec<Problem>,
}

impl Lower<'_> {
    /// Every entry of a section, in the order of the text; `None` stands for one that was cut away.
    fn each<T: DeserializeOwned, R>(
        &mut self,
        section: &str,
        take: impl Fn(&mut Self, &str, Option<T>) -> R,
    ) -> Vec<R> {
        let fitting = self.fitting;
        let entry = |name: &str| entries(&fitting.json, section).and_then(|e| e.get(name)).cloned();
        tree_keys(self.tree, section)
            .map(|name| {
                let value = entry(&name).and_then(|value| serde_json::from_value(value).ok());
                take(self, &name, value)
            })
            .collect()
    }

    fn source(&mut self, name: &str, source: Option<form::Source>) -> SourceSpec {
        let topics = source.iter().flat_map(|s| s.topic.all()).map(|t| t.0.clone()).collect();
        let timestamp = source.as_ref().and_then(|s| s.timestamp.as_ref()).map(|f| f.0.clone());
        let on_error = on_error(source.and_then(|s| s.on_error));
        SourceSpec { name: name.to_string(), topics, timestamp, on_error }
    }

    fn sink(&mut self, name: &str, sink: Option<form::Sink>) -> SinkSpec {
        SinkSpec {
            name: name.to_string(),
            from: sink.as_ref().map(|s| references(&s.from)).unwrap_or_default(),
            topic: sink.as_ref().map(|s| s.topic.0.clone()).unwrap_or_default(),
            key_format: match sink.as_ref().and_then(|s| s.key_format) {
                None | Some(form::KeyFormat::Kafka) => KeyFormat::Kafka,
                Some(form::KeyFormat::Json) => KeyFormat::Json,
                Some(form::KeyFormat::Plain) => KeyFormat::Plain,
            },
            window_headers: sink.as_ref().and_then(|s| s.window_headers).unwrap_or_default(),
            route: sink.as_ref().and_then(route),
            on_error: on_error(sink.and_then(|s| s.on_error)),
        }
    }

    fn step(&mut self, name: &str, step: Option<form::Step>) -> StepSpec {
        let from = step.as_ref().map(|s| self.inputs(name, s)).unwrap_or_default();
        let operator = step.as_ref().and_then(|s| self.operator(name, s)).unwrap_or(Operator::Merge);
        if step.is_some() {
            self.misplaced(name, &operator);
        }
        let idle = match step.as_ref().and_then(|s| s.idle.as_ref()) {
            None => Idle::default(),
            Some(idle) if idle.0 == "never" => Idle::Never,
            Some(idle) => {
                let text = DurationText(idle.0.clone());
                Idle::After(self.duration(&text, &path(&["steps", name, "idle"])))
            }
        };
        let at = path(&["steps", name, "max-idle"]);
        let max_idle = self.max_idle(step.as_ref().and_then(|s| s.max_idle.as_ref()), &at);
        let lateness = match step.as_ref().and_then(|s| s.lateness) {
            None | Some(form::Lateness::OwnTask) => spec::Lateness::OwnTask,
            Some(form::Lateness::KafkaStreams) => spec::Lateness::KafkaStreams,
        };
        StepSpec {
            name: name.to_string(),
            from,
            operator,
            late: step.as_ref().and_then(|s| s.late.as_ref()).map(|t| t.0.clone()),
            on_error: on_error(step.and_then(|s| s.on_error)),
            idle,
            lateness,
            max_idle,
        }
    }

    fn max_idle(&mut self, given: Option<&form::MaxIdle>, at: &Path) -> Option<spec::MaxIdle> {
        Some(match given? {
            form::MaxIdle::Milliseconds(ms) => spec::MaxIdle::After(*ms),
            form::MaxIdle::Text(text) if text == "none" => spec::MaxIdle::No,
            form::MaxIdle::Text(text) => spec::MaxIdle::After(self.duration(&DurationText(text.clone()), at)),
        })
    }

    /// What a step reads: its `from`; of a cogroup the inputs that it names, in the order of the text.
    fn inputs(&mut self, name: &str, step: &form::Step) -> Vec<From> {
        let Some(cogroup) = &step.cogroup else { return step.from.as_ref().map(references).unwrap_or_default() };
        if step.from.is_some() {
            let span = self.tree.key_place(&path(&["steps", name, "from"]));
            let message = "`from` does not belong to `cogroup`, which names its inputs itself";
            self.problems.push(Problem::error(span, message));
        }
        let node = self.tree.get("steps").and_then(|s| s.get(name)).and_then(|s| s.get("cogroup"));
        let written = node.into_iter().flat_map(Node::keys).filter(|input| cogroup.0.contains_key(*input));
        written.map(reference).collect()
    }

    /// A cogroup's functions, in the order of its inputs.
    fn cogroup(&mut self, name: &str, step: &form::Step) -> Option<Fold> {
        let cogroup = step.cogroup.as_ref()?;
        let inputs = self.tree.get("steps").and_then(|s| s.get(name)).and_then(|s| s.get("cogroup"));
        let written = inputs.into_iter().flat_map(Node::keys).filter_map(|input| cogroup.0.get(input));
        let adders: Vec<String> = written.map(|function| function.0.clone()).collect();
        let first = adders.first().cloned();
        let finisher = step.finish.as_ref().map(|f| f.0.clone()).or(first)?;
        Some(Fold::Cogroup { adders, finisher })
    }

    /// What a step that deduplicates goes by.
    fn deduplicate(&mut self, name: &str, step: &form::Step, given: &form::Deduplicate) -> Deduplicate {
        let at = |field: &str| path(&["steps", name, "deduplicate", field]);
        let within_ms = self.duration(&given.within, &at("within"));
        Deduplicate {
            function: given.by.as_ref().filter(|by| by.0 != BY_KEY).map(|by| by.0.clone()),
            within_ms,
            grace_ms: given.grace.as_ref().map_or(within_ms, |grace| self.duration(grace, &at("grace"))),
            partitions: step.partitions,
        }
    }

    fn operator(&mut self, name: &str, step: &form::Step) -> Option<Operator> {
        let maps = [
            (&step.map, MapForm::Map),
            (&step.map_values, MapForm::MapValues),
            (&step.flat_map, MapForm::FlatMap),
            (&step.flat_map_values, MapForm::FlatMapValues),
            (&step.select_key, MapForm::SelectKey),
        ];
        if let Some((function, form)) = maps.iter().find_map(|(f, form)| f.as_ref().map(|f| (f, *form))) {
            return Some(Operator::Map { function: function.0.clone(), form });
        }
        if let Some((function, negate)) =
            step.filter.as_ref().map(|f| (f, false)).or(step.filter_not.as_ref().map(|f| (f, true)))
        {
            return Some(Operator::Filter { function: function.0.clone(), negate });
        }
        if let Some(function) = &step.branch {
            let outputs = step.outputs.iter().flatten().map(|o| o.0.clone()).collect();
            let otherwise = step.otherwise.as_ref().map(|o| o.0.clone());
            return Some(Operator::Branch { function: function.0.clone(), outputs, otherwise });
        }
        if let Some(function) = &step.process {
            return Some(Operator::Process(Process {
                function: function.0.clone(),
                stores: self.stores(name, step),
                outputs: step.outputs.iter().flatten().map(|o| o.0.clone()).collect(),
                partitions: step.partitions,
            }));
        }
        if let Some(given) = &step.deduplicate {
            return Some(Operator::Deduplicate(self.deduplicate(name, step, given)));
        }
        if let Some(function) = &step.peek {
            return Some(Operator::Peek { function: function.0.clone() });
        }
        if step.repartition.is_some() {
            return Some(Operator::Repartition { partitions: step.partitions });
        }
        if let Some(table) = &step.table {
            let at = path(&["steps", name, "table", "history"]);
            let history_ms = table.history.as_ref().map(|history| self.duration(history, &at));
            return Some(Operator::Table { partitions: step.partitions, history_ms });
        }
        if step.global_table.is_some() {
            return Some(Operator::GlobalTable);
        }
        if let Some(function) = &step.group_by {
            return Some(Operator::Regroup { function: function.0.clone() });
        }
        if let Some(other) = &step.join {
            return Some(self.join(name, step, other));
        }
        self.grouped(name, step).map(Operator::Aggregate)
    }

    /// A group and its fold.
    fn grouped(&mut self, name: &str, step: &form::Step) -> Option<Aggregate> {
        let count = step.count.as_ref().map(|c| match c.format {
            Some(form::CountFormat::Text) => Fold::Count(spec::CountFormat::Text),
            _ => Fold::Count(spec::CountFormat::Long),
        });
        let reduce = || step.reduce.as_ref().map(|f| Fold::Reduce { function: f.0.clone() });
        let aggregate = || step.aggregate.as_ref().map(|f| Fold::Aggregate { function: f.0.clone() });
        let scan = || step.scan.as_ref().map(|f| Fold::Scan { function: f.0.clone() });
        let fold = count.or_else(reduce).or_else(aggregate).or_else(scan).or_else(|| self.cogroup(name, step))?;
        Some(Aggregate {
            fold,
            window: step.window.as_ref().and_then(|w| self.window(name, w, step.count.is_some())),
            emit: match step.emit {
                Some(form::Emit::OnClose) => spec::Emit::OnClose,
                _ => spec::Emit::OnUpdate,
            },
            // A scan is that and nothing else.
            emit_every_update: step.scan.is_some() || step.emit_every_update.unwrap_or_default(),
            partitions: step.partitions,
        })
    }

    /// `counts`: the step is a count, which can be put together from panes.
    fn window(&mut self, name: &str, window: &form::Window, counts: bool) -> Option<spec::Window> {
        let at = |field: &str| path(&["steps", name, "window", field]);
        let form = if let Some(size) = &window.tumbling {
            let size_ms = self.duration(size, &at("tumbling"));
            WindowForm::Hopping { size_ms, advance_ms: size_ms }
        } else if let Some(gap) = &window.session {
            WindowForm::Session { gap_ms: self.duration(gap, &at("session")) }
        } else if let Some(difference) = &window.sliding {
            WindowForm::Sliding { difference_ms: self.duration(difference, &at("sliding")) }
        } else if let (Some(size), Some(advance)) = (&window.hopping, &window.advance) {
            let (size_ms, advance_ms) = (self.duration(size, &at("hopping")), self.duration(advance, &at("advance")));
            let many = counts && size_ms / advance_ms.max(1) > PANES_FROM;
            match window.panes.unwrap_or(many) {
                true => WindowForm::Panes { size_ms, advance_ms },
                false => WindowForm::Hopping { size_ms, advance_ms },
            }
        } else if let (Some(size), Some(step)) = (&window.cumulating, &window.step) {
            let size_ms = self.duration(size, &at("cumulating"));
            WindowForm::Cumulating { size_ms, step_ms: self.duration(step, &at("step")) }
        } else if let Some(unit) = window.calendar {
            WindowForm::Calendar(self.calendar(name, window, unit)?)
        } else {
            return None;
        };
        if window.grace.is_none() {
            let message = format!(
                "the window of step `{name}` has no `grace`: a record that is out of order by 1 ms may be late"
            );
            let problem = Problem::warning(self.tree.key_place(&path(&["steps", name, "window"])), message);
            self.problems.push(problem.help("say how long to wait: `grace: 2s`; or `grace: 0ms`, if that is meant"));
        }
        let grace_ms = window.grace.as_ref().map_or(0, |g| self.duration(g, &at("grace")));
        Some(spec::Window { form, grace_ms })
    }

    /// The calendar of a window; `None` where it cannot be worked out, which is told.
    fn calendar(&mut self, name: &str, window: &form::Window, unit: form::CalendarUnit) -> Option<&'static Calendar> {
        let at = |field: &str| path(&["steps", name, "window", field]);
        if window.week_starts.is_some() && unit != form::CalendarUnit::Week {
            let span = self.tree.key_place(&at("week-starts"));
            let message = "`week-starts` has no effect: only weeks begin on a day of the week";
            self.problems.push(Problem::warning(span, message).help("leave it out, or use `calendar: week`"));
        }
        let mut zone = window.time_zone.as_ref().map_or(calendar::ZONE_DEFAULT, |zone| zone.0.as_str());
        if calendar::zone(zone).is_none() {
            let problem = Problem::error(self.tree.place(&at("time-zone")), format!("no time zone is called `{zone}`"));
            self.problems.push(problem.nearest(zone, &calendar::zones(), "there are"));
            // Another stands in, so that the rest can be looked at.
            zone = calendar::ZONE_DEFAULT;
        }
        match calendar::calendar(unit, zone, window.week_starts.unwrap_or_default()) {
            Ok(calendar) => Some(calendar),
            Err(why) => {
                let message = format!("the windows of `{zone}` cannot be worked out: {why:#}");
                self.problems.push(Problem::error(self.tree.place(&at("calendar")), message));
                None
            }
        }
    }

    /// A processor's stores, by name: their order in the text means nothing.
    fn stores(&mut self, name: &str, step: &form::Step) -> Vec<StoreSpec> {
        let given = step.stores.iter().flat_map(|stores| &stores.0);
        let one = |(store, given): (&String, &form::Store)| {
            let at = path(&["steps", name, "stores", store, "ttl"]);
            StoreSpec { name: store.clone(), ttl_ms: given.ttl.as_ref().map(|ttl| self.duration(ttl, &at)) }
        };
        given.map(one).collect()
    }

    /// Fields that another operator has.
    fn misplaced(&mut self, name: &str, operator: &Operator) {
        let word = operator_word(operator);
        let aggregate = matches!(operator, Operator::Aggregate(_));
        let process = matches!(operator, Operator::Process(_));
        let deduplicate = matches!(operator, Operator::Deduplicate(_));
        let behind = aggregate
            || process
            || deduplicate
            || matches!(operator, Operator::Repartition { .. } | Operator::Table { .. });
        // Before a join the other side says how many partitions there are.
        let within = matches!(operator, Operator::StreamJoin(_));
        let table = matches!(operator, Operator::Table { .. });
        // They go by time as groups do.
        let timed = match operator {
            Operator::Table { history_ms, .. } => history_ms.is_some(),
            Operator::Join(join) => join.grace_ms.is_some(),
            _ => aggregate || process || deduplicate || within,
        };
        let waits = behind || within || matches!(operator, Operator::Join(_));
        let wrong = |field: &&str| {
            AGGREGATE_FIELDS.contains(field) && !aggregate && !((deduplicate || within || table) && *field == "late")
                || EMIT_FIELDS.contains(field) && word == "scan"
                || REPARTITION_FIELDS.contains(field) && !(if *field == "idle" { waits } else { behind })
                || *field == "lateness" && !timed
                || *field == "outputs" && !process && !matches!(operator, Operator::Branch { .. })
        };
        let Some(node) = self.tree.get("steps").and_then(|s| s.get(name)) else { return };
        for field in node.keys().filter(wrong) {
            let message = format!("`{field}` does not belong to `{word}`");
            let whose = match field {
                "idle" => "groups, `deduplicate`, `process`, `table`, `join` and `repartition` have it",
                f if REPARTITION_FIELDS.contains(&f) => {
                    "groups, `deduplicate`, `process`, `table` and `repartition` have it"
                }
                "lateness" => {
                    "groups, `deduplicate`, `process`, a `table` with `history` and a `join` of two streams or with `grace` have it"
                }
                "late" => "groups, `deduplicate`, `table` and a `join` of two streams have it",
                "outputs" => "`branch` and `process` have it",
                f if EMIT_FIELDS.contains(&f) => "`count`, `reduce`, `aggregate` and `cogroup` have it",
                _ => "`count`, `reduce`, `aggregate`, `scan` and `cogroup` have it",
            };
            let span = self.tree.key_place(&path(&["steps", name, field]));
            self.problems.push(Problem::error(span, message).help(whose));
        }
    }

    fn duration(&mut self, text: &DurationText, at: &Path) -> i64 {
        units::duration_ms(&text.0).unwrap_or_else(|| {
            let message = format!("`{}` is too long; a duration may be {} days", text.0, DURATION_MS_MAX / 86_400_000);
            self.problems.push(Problem::error(self.tree.place(at), message));
            1
        })
    }

    fn guarantee(&mut self, manifest: &form::Manifest, around: &Surroundings<'_>) -> Guarantee {
        let guarantee = manifest.guarantee.unwrap_or_default();
        let local = around.local || manifest.kafka.is_none();
        if local && guarantee == Guarantee::AtLeastOnce {
            let message = "`at-least-once` has no effect: local mode is exactly-once always";
            self.problems.push(Problem::warning(self.tree.place(&["guarantee"]), message));
            return Guarantee::ExactlyOnce;
        }
        guarantee
    }

    /// The client's properties, `${NAME}` replaced. Which of them may be set, the client knows.
    fn kafka(&mut self, manifest: &form::Manifest, around: &Surroundings<'_>) -> Option<BTreeMap<String, String>> {
        let kafka = manifest.kafka.as_ref().filter(|_| !around.local)?;
        let mut out = BTreeMap::new();
        for (key, value) in &kafka.0 {
            match substitute(&plain(value), around.environment) {
                Ok(text) => {
                    out.insert(key.clone(), text);
                }
                Err((message, help)) => {
                    self.problems.push(Problem::error(self.tree.place(&["kafka", key]), message).help(help));
                }
            }
        }
        // What stands where a variable should be says nothing about the property.
        if out.len() == kafka.0.len() {
            let interval = manifest.commit_interval.as_ref().and_then(|text| units::duration_ms(&text.0));
            let mut remarks = (around.properties)(&out);
            if remarks.is_empty() {
                // Of numbers that are none there is nothing more to say.
                remarks = times::remarks(&out, interval.unwrap_or(COMMIT_INTERVAL_DEFAULT_MS));
            }
            for remark in remarks {
                let place = match (remark.name.as_str(), interval) {
                    (times::COMMIT_INTERVAL, Some(_)) => self.tree.key_place(&[times::COMMIT_INTERVAL]),
                    (name, _) if kafka.0.contains_key(name) => self.tree.key_place(&["kafka", name]),
                    _ => self.tree.key_place(&["kafka"]),
                };
                let problem = match remark.severity {
                    Severity::Error => Problem::error(place, remark.message),
                    _ => Problem::warning(place, remark.message),
                };
                self.problems.push(problem.help(remark.help));
            }
        }
        Some(out)
    }

    /// Formats of sources and sinks, and the registry; their files should be there.
    fn formats(&mut self, manifest: &form::Manifest, around: &Surroundings<'_>) -> Asked {
        let has_registry = manifest.registry.is_some();
        let mut gather = Gather { folder: around.folder, asked: Asked::default(), faults: Vec::new(), has_registry };
        for (name, source) in &manifest.sources.0 {
            source.format.iter().for_each(|format| gather.add(Side::Source, name, "", format));
        }
        for (name, sink) in &manifest.sinks.0 {
            sink.format.iter().for_each(|format| gather.add(Side::Sink, name, &sink.topic.0, format));
        }
        let Gather { mut asked, faults, .. } = gather;
        for (at, message, help) in faults {
            self.problems.push(Problem::error(self.tree.place(&at), message).help(help));
        }
        if let Some(given) = &manifest.registry {
            let value = |text: &str| substitute(text, around.environment);
            match formats::access(given, around.folder, &value) {
                Ok(access) => asked.registry = Some(access),
                Err((field, message, help)) => {
                    self.problems.push(Problem::error(self.tree.place(&["registry", field]), message).help(help));
                }
            }
        }
        asked
    }

    fn internal_topics(&mut self, manifest: &form::Manifest, around: &Surroundings<'_>) -> InternalTopics {
        let Some(given) = &manifest.internal_topics else { return InternalTopics::default() };
        if around.local || manifest.kafka.is_none() {
            let message = "`internal-topics` has no effect: in local mode the host keeps them itself";
            self.problems.push(Problem::warning(self.tree.key_place(&["internal-topics"]), message));
        }
        if let (Some(replication), Some(least)) = (given.replication, given.min_isr)
            && i32::from(least) > i32::from(replication)
        {
            let message = format!("{least} replicas can never be in sync where there are {replication}");
            self.problems.push(Problem::error(self.tree.place(&["internal-topics", "min-isr"]), message));
        }
        let settings = given.settings.iter().flatten().map(|(name, value)| (name.clone(), plain(value))).collect();
        InternalTopics { replication: given.replication, min_isr: given.min_isr, settings }
    }

    fn functions(&mut self, around: &Surroundings<'_>) -> Vec<Function> {
        let mut functions = self.each("functions", |lower, name, function| lower.function(name, function, around));
        for function in &mut functions {
            function.component = around.folder.join(&function.component);
        }
        functions
    }

    fn function(&mut self, name: &str, function: Option<form::Function>, around: &Surroundings<'_>) -> Function {
        let at = |field: &str| path(&["functions", name, "limits", field]);
        let mut limits = Limits::default();
        if let Some(given) = function.as_ref().and_then(|f| f.limits.clone()) {
            let milliseconds: fn(&str) -> Option<u64> = |t| units::duration_ms(t).map(i64::unsigned_abs);
            let mut limit =
                |text: Option<String>, field, read| text.and_then(|text| self.amount(&text, &at(field), read, "allow"));
            limits.memory_bytes = limit(given.memory.map(|m| m.0), "memory", units::size_bytes);
            limits.time_per_call_ms = limit(given.time_per_call.map(|t| t.0), "time-per-call", milliseconds);
            limits.result_bytes = limit(given.result_bytes.map(|b| b.0), "result-bytes", units::size_bytes);
        }
        let grants = self.grants(name, function.as_ref().and_then(|f| f.grants.as_ref()), around);
        let config = function.as_ref().and_then(|f| f.config.clone()).unwrap_or_default();
        self.literal_substitutions(name, &Value::Object(config.clone()));
        Function {
            name: name.to_string(),
            component: function.as_ref().map(|f| PathBuf::from(&f.component.0)).unwrap_or_default(),
            export: function.and_then(|f| f.function).map(|f| f.0),
            settings: Value::Object(config).to_string(),
            limits,
            grants,
        }
    }

    /// An amount that must not be nothing; `None` where it is, or more than there can be. `verb` says what nothing would be done.
    fn amount<N: PartialEq + std::convert::From<u8>>(
        &mut self,
        text: &str,
        at: &Path,
        read: fn(&str) -> Option<N>,
        verb: &str,
    ) -> Option<N> {
        let message = match read(text) {
            Some(amount) if amount != N::from(0) => return Some(amount),
            Some(_) => format!("`{text}` would {verb} nothing"),
            None => format!("`{text}` is too much"),
        };
        self.problems.push(Problem::error(self.tree.place(at), message));
        None
    }

    /// `${NAME}` where it is not replaced: rarely meant.
    fn literal_substitutions(&mut self, function: &str, config: &Value) {
        let Some(object) = config.as_object() else { return };
        for (key, _) in object.iter().filter(|(_, v)| v.as_str().is_some_and(|v| v.contains("${"))) {
            let span = self.tree.place(&path(&["functions", function, "config", key]));
            let message = "`${…}` is replaced under `kafka:` and `registry:` only; the function gets it as it stands";
            self.problems.push(Problem::warning(span, message));
        }
    }

    /// Partition counts by topic; one topic cannot have two.
    fn partitions(&mut self, manifest: &form::Manifest) -> Vec<(String, u32)> {
        let mut given: Vec<(String, u32, Path)> = Vec::new();
        for name in tree_keys(self.tree, "sources") {
            let Some(source) = manifest.sources.0.get(&name) else { continue };
            for topic in source.topic.all() {
                given.extend(source.partitions.map(|n| (topic.0.clone(), n, path(&["sources", &name, "partitions"]))));
            }
        }
        for name in tree_keys(self.tree, "sinks") {
            let Some(sink) = manifest.sinks.0.get(&name) else { continue };
            let routed = route(sink).map(|route| route.topics).unwrap_or_default();
            for topic in [sink.topic.0.clone()].into_iter().chain(routed) {
                given.extend(sink.partitions.map(|n| (topic.clone(), n, path(&["sinks", &name, "partitions"]))));
            }
        }
        let mut out: Vec<(String, u32)> = Vec::new();
        for (i, (topic, count, at)) in given.iter().enumerate() {
            match given[..i].iter().find(|(t, _, _)| t == topic) {
                Some((_, other, first)) if other != count => {
                    let message = format!("topic `{topic}` cannot have {count} partitions and {other}");
                    let problem = Problem::error(self.tree.place(at), message);
                    self.problems.push(problem.also(self.tree.place(first), format!("{other} here")));
                }
                Some(_) => {}
                None => out.push((topic.clone(), *count)),
            }
        }
        out
    }

    fn starts(&mut self, manifest: &form::Manifest) -> Vec<(String, Start)> {
        let mut out = Vec::new();
        for name in tree_keys(self.tree, "sources") {
            let Some(source) = manifest.sources.0.get(&name) else { continue };
            let start = match &source.start {
                None => continue,
                Some(form::Start::Earliest) => Start::Earliest,
                Some(form::Start::Latest) => Start::Latest,
                Some(form::Start::Time(form::TimeText::Milliseconds(ms))) => Start::At(*ms),
                Some(form::Start::Time(form::TimeText::Text(text))) => Start::At(self.time(&name, text)),
                Some(form::Start::Ago(ago)) => {
                    Start::Ago(self.duration(ago, &path(&["sources", &name, "start", "ago"])))
                }
            };
            if let Some(table) = reader_of_all(manifest, &name) {
                let span = self.tree.key_place(&path(&["sources", &name, "start"]));
                let message =
                    format!("`start` has no effect: the global table `{table}` reads its source from the beginning");
                self.problems.push(Problem::warning(span, message).help("leave it out"));
            }
            out.extend(source.topic.all().iter().map(|t| (t.0.clone(), start)));
        }
        out
    }

    fn time(&mut self, source: &str, text: &str) -> i64 {
        units::time_ms(text).unwrap_or_else(|why| {
            let span = self.tree.place(&path(&["sources", source, "start", "time"]));
            let problem = Problem::error(span, format!("`{text}` is not a time: {why}"));
            self.problems.push(problem.help("write it with its offset, such as `2024-05-01T12:00:00Z`"));
            0
        })
    }

    fn commit_interval(&mut self, manifest: &form::Manifest) -> i64 {
        let Some(text) = &manifest.commit_interval else { return COMMIT_INTERVAL_DEFAULT_MS };
        let ms = self.duration(text, &path(&["commit-interval"]));
        if !(COMMIT_INTERVAL_MS_MIN..=COMMIT_INTERVAL_MS_MAX).contains(&ms) {
            let message = format!(
                "a commit interval of {} is out of bounds: {COMMIT_INTERVAL_MS_MIN} to {COMMIT_INTERVAL_MS_MAX} ms",
                text.0
            );
            self.problems.push(Problem::error(self.tree.place(&["commit-interval"]), message));
            return COMMIT_INTERVAL_DEFAULT_MS;
        }
        ms
    }
}

fn references(from: &OneOrMany<form::Reference>) -> Vec<From> {
    from.all().iter().map(|r| reference(&r.0)).collect()
}

fn reference(text: &str) -> From {
    match text.split_once('.') {
        Some((name, output)) => From { name: name.to_string(), output: Some(output.to_string()) },
        None => From { name: text.to_string(), output: None },
    }
}

fn on_error(on_error: Option<form::OnError>) -> spec::OnError {
    match on_error {
        None | Some(form::OnError::Fail) => spec::OnError::Fail,
        Some(form::OnError::Skip) => spec::OnError::Skip,
        Some(form::OnError::DeadLetter(topic)) => spec::OnError::DeadLetter(topic.0),
    }
}

/// A value as a text, as a client's or a broker's properties have it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A text with each `${NAME}` replaced; what is wrong and what would be right, where that cannot be.
fn substitute(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out += &rest[..at];
        let inside = &rest[at + 2..];
        let Some(end) = inside.find('}') else {
            return Err(("`${` has no `}`".to_string(), "write `${NAME}`".to_string()));
        };
        let name = &inside[..end];
        let legal = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !legal {
            return Err((
                format!("`{name}` is not a variable's name"),
                "letters, digits and `_`: `${NAME}`".to_string(),
            ));
        }
        let Some(value) = environment(name) else {
            return Err((format!("the environment has no variable `{name}`"), format!("set it: `export {name}=…`")));
        };
        out += &value;
        rest = &inside[end + 1..];
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_each_once() {
        let environment = |name: &str| (name == "A").then(|| "${B}".to_string());
        let substitute = |text| substitute(text, &environment);
        assert_eq!(substitute("x${A}y${A}"), Ok("x${B}y${B}".to_string()), "what comes in is not replaced again");
        assert_eq!(substitute("$A {A} $"), Ok("$A {A} $".to_string()));
        assert!(substitute("${B}").unwrap_err().0.contains("no variable `B`"));
        assert!(substitute("${A").unwrap_err().0.contains("has no `}`"));
        assert!(substitute("${}").unwrap_err().0.contains("is not a variable's name"));
    }
}
