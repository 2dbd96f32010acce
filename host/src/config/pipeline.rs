//! From a checked manifest to what the runtime starts: defaults of the host are filled in, spans of time become points.
//!
//! The only file here that knows other crates of this project than the core.

use std::collections::BTreeMap;

use millstream_core::topology::spec::Spec;
use millstream_kafka::config::Properties;
use millstream_wasm::{Limits, LogLevel};

use super::manifest::Level;
use super::{Function, Guarantee, Manifest, PropertyRemark, Remark, Severity, Start};
use crate::runtime::plan;
use crate::trust::Trust;

/// What the runtime starts; a source's `ago` counts from now.
pub fn pipeline(manifest: Manifest) -> plan::Pipeline {
    pipeline_at(manifest, jiff::Timestamp::now().as_millisecond())
}

/// As [`pipeline`], for a given time: milliseconds since 1970.
pub fn pipeline_at(manifest: Manifest, now_ms: i64) -> plan::Pipeline {
    let start = |start: Start| match start {
        Start::Earliest => plan::Start::Earliest,
        Start::Latest => plan::Start::Latest,
        Start::At(ms) => plan::Start::At(ms),
        Start::Ago(ms) => plan::Start::At(now_ms.saturating_sub(ms).max(0)),
    };
    let function = |function: Function| plan::Function {
        limits: limits(&function),
        name: function.name,
        component: function.component,
        export: function.export,
        settings: function.settings,
    };
    plan::Pipeline {
        trust: Trust { pipeline: manifest.spec.pipeline.clone(), keys: manifest.trust },
        logs: manifest.logs.map(|logs| plan::LogTopic { topic: logs.topic, level: level(logs.level) }),
        spec: manifest.spec,
        functions: manifest.functions.into_iter().map(function).collect(),
        partitions: manifest.partitions,
        starts: manifest.starts.into_iter().map(|(topic, from)| (topic, start(from))).collect(),
        durability: manifest.durability,
        guarantee: match manifest.guarantee {
            Guarantee::ExactlyOnce => plan::Guarantee::ExactlyOnce,
            Guarantee::AtLeastOnce => plan::Guarantee::AtLeastOnce,
        },
        commit_interval_ms: manifest.commit_interval_ms,
        keep_components_ms: manifest.keep_components_ms,
        retention_ms: manifest.retention_ms,
        retention_bytes: manifest.retention_bytes,
        formats: manifest.formats,
        kafka: manifest.kafka,
        internal_topics: plan::InternalTopics {
            replication: manifest.internal_topics.replication,
            min_in_sync: manifest.internal_topics.min_isr,
            settings: manifest.internal_topics.settings,
        },
    }
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::Trace => LogLevel::Trace,
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    }
}

/// A function's limits, the host's where the manifest gives none, and what it is granted.
pub fn limits(function: &Function) -> Limits {
    let default = Limits::default();
    let given = function.limits;
    Limits {
        memory_bytes: given.memory_bytes.unwrap_or(default.memory_bytes),
        call_cpu_ms: given.time_per_call_ms.unwrap_or(default.call_cpu_ms),
        result_bytes: given.result_bytes.map_or(default.result_bytes, |b| usize::try_from(b).unwrap_or(usize::MAX)),
        grants: millstream_wasm::Grants {
            wall_clock: function.grants.wall_clock,
            random: function.grants.random,
            env: function.grants.env.clone(),
        },
        ..default
    }
}

/// What there is to say against properties of the Kafka client.
pub fn properties(given: &BTreeMap<String, String>) -> Vec<PropertyRemark> {
    let remark = |error: millstream_kafka::config::PropertyError| PropertyRemark {
        severity: Severity::Error,
        message: format!("`{}`: {}", error.name, error.reason),
        name: error.name,
        help: error.instead,
    };
    Properties::new(given.clone()).err().into_iter().flatten().map(remark).collect()
}

/// What there is to say about a function without reading its component: limits beyond the host's, a file that is not there.
pub fn remarks(_: &Spec, function: &Function) -> Vec<Remark> {
    let beyond = limits(function).faults().into_iter();
    let beyond =
        beyond.map(|message| Remark { severity: Severity::Error, field: "limits", message, help: String::new() });
    let path = &function.component;
    let is_folder = path.is_dir().then(|| Remark {
        severity: Severity::Error,
        field: "component",
        message: format!("`{}` is a folder", path.display()),
        help: "name the component's file in it".to_string(),
    });
    let missing = (!path.exists()).then(|| Remark {
        severity: Severity::Warning,
        field: "component",
        message: format!("there is no file `{}`", path.display()),
        help: "build the function before the pipeline is run; the path is relative to the manifest's folder"
            .to_string(),
    });
    beyond.chain(is_folder).chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(limits: crate::config::Limits) -> Function {
        let component = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        Function {
            name: "f".into(),
            component,
            export: None,
            settings: "{}".into(),
            limits,
            grants: Default::default(),
        }
    }

    #[test]
    fn limits_are_the_manifests_then_the_hosts() {
        let none = crate::config::Limits::default();
        assert_eq!(limits(&function(none)), Limits::default());
        let given =
            crate::config::Limits { memory_bytes: Some(1 << 20), time_per_call_ms: Some(7), result_bytes: Some(9) };
        let taken = limits(&function(given));
        assert_eq!((taken.memory_bytes, taken.call_cpu_ms, taken.result_bytes), (1 << 20, 7, 9));
    }

    #[test]
    fn too_much_memory_and_a_missing_file_are_told() {
        let much = crate::config::Limits { memory_bytes: Some(8 << 30), ..Default::default() };
        let told = remarks(&Spec::default(), &function(much));
        assert_eq!(told.iter().map(|r| (r.severity, r.field)).collect::<Vec<_>>(), [(Severity::Error, "limits")]);
        let none = crate::config::Limits::default();
        let mut folder = function(none);
        folder.component.pop();
        let told = remarks(&Spec::default(), &folder);
        assert_eq!(told.iter().map(|r| (r.severity, r.field)).collect::<Vec<_>>(), [(Severity::Error, "component")]);
        let mut gone = function(none);
        gone.component = "nowhere.wasm".into();
        let told = remarks(&Spec::default(), &gone);
        assert_eq!(told.iter().map(|r| (r.severity, r.field)).collect::<Vec<_>>(), [(Severity::Warning, "component")]);
    }

    #[test]
    fn ago_counts_from_now() {
        let text =
            "pipeline: p\nsources: { a: { topic: a, start: { ago: 2h } }, b: { topic: b, start: { ago: 1d } } }\n";
        let surroundings = crate::config::Surroundings {
            file: "p.yaml",
            folder: std::path::Path::new(""),
            local: false,
            environment: &|_| None,
            component: &|_, _| Vec::new(),
            properties: &properties,
        };
        let manifest = crate::config::parse(text, &surroundings).manifest.unwrap();
        let starts = pipeline_at(manifest, 10 * 3_600_000).starts;
        let expected = [("a".to_string(), plan::Start::At(8 * 3_600_000)), ("b".to_string(), plan::Start::At(0))];
        assert_eq!(starts, expected);
    }
}
