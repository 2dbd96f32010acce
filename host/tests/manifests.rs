//! Manifests and what becomes of them: wrong ones with their errors, odd ones with their warnings, right ones with their
//! graph. `UPDATE=1` writes the expected files anew; read the difference before it is committed.
//!
//! Not here: the command line, which the end-to-end tests drive.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use annotate_snippets::Renderer;
use millstream::config::{self, Loaded, Severity, Surroundings};
use millstream_core::topology::{describe, graph};

/// Fewest wrong manifests that must be there.
const INVALID_MIN: usize = 30;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/manifests")
}

/// A first line `# --local` stands for that option.
fn parse(file: &str, text: &str) -> Loaded {
    let environment = |name: &str| (name == "BROKERS").then(|| "localhost:9092".to_string());
    config::parse(
        text,
        &Surroundings {
            file,
            folder: Path::new("pipelines"),
            local: text.starts_with("# --local\n"),
            environment: &environment,
            component: &|_, _| Vec::new(),
        },
    )
}

fn drawn(loaded: &Loaded) -> String {
    format!("{}{}\n", loaded.report.draw(&Renderer::plain()), loaded.report.summary())
}

/// Compares a folder's manifests with the files of the other ending beside them; gives how many manifests there are.
fn check_folder(name: &str, ending: &str, become_of: fn(&str, &str) -> String) -> usize {
    let folder = golden().join(name);
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut wrong = Vec::new();
    let files: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    for file in &files {
        match file.rsplit_once('.') {
            Some((name, "yaml")) => drop(names.insert(name.to_string())),
            Some((name, e)) if e == ending && files.contains(&format!("{name}.yaml")) => {}
            _ => wrong.push(format!("{file}: belongs to no manifest")),
        }
    }
    for name in &names {
        let file = format!("{name}.yaml");
        let actual = become_of(&file, &fs::read_to_string(folder.join(&file)).unwrap());
        let expected = folder.join(format!("{name}.{ending}"));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &actual).unwrap();
        }
        match fs::read_to_string(&expected) {
            Ok(text) if text == actual => {}
            Ok(text) => wrong.push(format!("{name}: expected\n{text}\ngot\n{actual}")),
            Err(_) => wrong.push(format!("{name}: {} is missing", expected.display())),
        }
    }
    assert!(wrong.is_empty(), "{} of {name} differ:\n{}", wrong.len(), wrong.join("\n"));
    names.len()
}

#[test]
fn wrong_manifests_are_told_what_is_wrong() {
    let count = check_folder("invalid", "err", |file, text| {
        let loaded = parse(file, text);
        assert!(loaded.manifest.is_none() && loaded.report.has_errors(), "{file} has no error");
        drawn(&loaded)
    });
    assert!(count >= INVALID_MIN, "{count} wrong manifests; at least {INVALID_MIN}");
}

#[test]
fn odd_manifests_get_warnings() {
    check_folder("warnings", "err", |file, text| {
        let loaded = parse(file, text);
        let (errors, warnings) = (loaded.report.count(Severity::Error), loaded.report.count(Severity::Warning));
        assert!(errors == 0 && warnings > 0, "{file}: {}", drawn(&loaded));
        drawn(&loaded)
    });
}

#[test]
fn right_manifests_become_graphs() {
    check_folder("valid", "graph", |file, text| {
        let loaded = parse(file, text);
        assert!(loaded.report.problems.is_empty(), "{}", drawn(&loaded));
        let manifest = loaded.manifest.unwrap();
        let topology = graph::plan(&manifest.spec, &|topic| Some(manifest.partitions_of(topic))).unwrap();
        let drawing = describe::describe(&topology, &manifest.spec);
        let rest = config::Manifest { spec: Default::default(), ..manifest };
        format!("{}\n{}\n{rest:#?}\n", describe::mermaid(&drawing), describe::dot(&drawing))
    });
}
