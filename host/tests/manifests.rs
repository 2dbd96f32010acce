//! Manifests and what becomes of them: wrong ones with their errors, odd ones with their warnings, right ones with their
//! graph; the committed JSON Schema; the example. `UPDATE=1` writes the expected files anew; read the difference before it is committed.
//!
//! Not here: the command line, which the end-to-end tests drive.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use annotate_snippets::Renderer;
use millstream::config::{self, Function, Loaded, Manifest, Remark, Severity, Surroundings, manifest, pipeline, svg};
use millstream_core::topology::describe::{self, Drawing};
use millstream_core::topology::graph;
use millstream_core::topology::spec::Spec;

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
            properties: &pipeline::properties,
        },
    )
}

fn drawn(loaded: &Loaded) -> String {
    format!("{}{}\n", loaded.report.draw(&Renderer::plain()), loaded.report.summary())
}

/// Compares a file with what it should be; what is wrong, if anything.
fn differs(path: &Path, actual: &str) -> Option<String> {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, actual).unwrap();
    }
    match fs::read_to_string(path) {
        Ok(text) if text == actual => None,
        Ok(text) => Some(format!("{}: expected\n{text}\ngot\n{actual}", path.display())),
        Err(_) => Some(format!("{} is missing", path.display())),
    }
}

/// What becomes of a manifest (its file's name, its text) in files of one ending.
type Become = (&'static str, fn(&str, &str) -> String);

/// Compares what becomes of a folder's manifests with the files beside them; gives how many manifests there are.
fn check_folder(name: &str, become_of: &[Become]) -> usize {
    let folder = golden().join(name);
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut wrong = Vec::new();
    let files: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    for file in &files {
        match file.rsplit_once('.') {
            Some((name, "yaml")) => drop(names.insert(name.to_string())),
            Some((name, e)) if become_of.iter().any(|b| b.0 == e) && files.contains(&format!("{name}.yaml")) => {}
            _ => wrong.push(format!("{file}: belongs to no manifest")),
        }
    }
    for name in &names {
        let file = format!("{name}.yaml");
        let text = fs::read_to_string(folder.join(&file)).unwrap();
        for (ending, become_of) in become_of {
            wrong.extend(differs(&folder.join(format!("{name}.{ending}")), &become_of(&file, &text)));
        }
    }
    assert!(wrong.is_empty(), "{} of {name} differ:\n{}", wrong.len(), wrong.join("\n"));
    names.len()
}

#[test]
fn wrong_manifests_are_told_what_is_wrong() {
    let told: Become = ("err", |file, text| {
        let loaded = parse(file, text);
        assert!(loaded.manifest.is_none() && loaded.report.has_errors(), "{file} has no error");
        drawn(&loaded)
    });
    let count = check_folder("invalid", &[told]);
    assert!(count >= INVALID_MIN, "{count} wrong manifests; at least {INVALID_MIN}");
}

#[test]
fn odd_manifests_get_warnings() {
    let told: Become = ("err", |file, text| {
        let loaded = parse(file, text);
        let (errors, warnings) = (loaded.report.count(Severity::Error), loaded.report.count(Severity::Warning));
        assert!(errors == 0 && warnings > 0 && loaded.manifest.is_some(), "{file}: {}", drawn(&loaded));
        drawn(&loaded)
    });
    assert!(check_folder("warnings", &[told]) > 0);
}

fn drawing(file: &str, text: &str) -> (Manifest, Drawing) {
    let loaded = parse(file, text);
    assert!(loaded.report.problems.is_empty(), "{}", drawn(&loaded));
    let manifest = loaded.manifest.unwrap();
    let topology = graph::plan(&manifest.spec, &|topic| Some(manifest.partitions_of(topic))).unwrap();
    let drawing = describe::describe(&topology, &manifest.spec);
    (manifest, drawing)
}

#[test]
fn right_manifests_become_graphs() {
    let values: Become = ("values", |file, text| format!("{:#?}\n", drawing(file, text).0));
    let mermaid: Become = ("mmd", |file, text| describe::mermaid(&drawing(file, text).1));
    let dot: Become = ("dot", |file, text| describe::dot(&drawing(file, text).1));
    let svg: Become = ("svg", |file, text| svg::svg(&drawing(file, text).1));
    assert!(check_folder("valid", &[values, mermaid, dot, svg]) > 0);
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manifest.schema.json");
    assert_eq!(differs(&file, &manifest::schema_text()), None);
}

#[test]
fn every_field_is_in_the_reference() {
    fn fields(schema: &serde_json::Value, out: &mut BTreeSet<String>) {
        for (key, value) in schema.as_object().into_iter().flatten() {
            if let (true, Some(properties)) = (key == "properties", value.as_object()) {
                out.extend(properties.keys().cloned());
            }
            fields(value, out);
        }
    }
    let mut all = BTreeSet::new();
    fields(&manifest::schema(), &mut all);
    let reference = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manifest.md")).unwrap();
    let told =
        |field: &String| [format!("`{field}`"), format!("{{ {field}: ")].iter().any(|form| reference.contains(form));
    let missing: Vec<_> = all.iter().filter(|field| !told(field)).collect();
    assert!(all.len() > 40 && missing.is_empty(), "of {} fields docs/manifest.md lacks {missing:?}", all.len());
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.yaml");
    let told = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let loaded = config::load(&file, true, &|_, _| Vec::new()).unwrap();
        assert!(loaded.manifest.is_none());
        let json = loaded.report.to_json();
        let problem = &json["problems"][0];
        let place = (problem["line"].as_u64().unwrap(), problem["column"].as_u64().unwrap());
        (place, problem["message"].as_str().unwrap().to_string(), problem["help"].to_string())
    };
    let (place, message, help) = told(b"pipeline: p\nsources: \xe9t\xe9\n");
    assert_eq!((place, message.as_str()), ((2, 10), "the manifest is not UTF-8: byte 0xe9"));
    assert!(help.contains("save it as UTF-8"), "{help}");
    let utf16: Vec<u8> = "\u{feff}pipeline: p\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (place, _, help) = told(&utf16);
    assert!(place == (1, 1) && help.contains("UTF-16"), "{place:?} {help}");
    let (_, message, _) = told(" ".repeat(config::text::MANIFEST_BYTES_MAX + 1).as_bytes());
    assert!(message.contains("more than the 262144 bytes"), "{message}");
    // A character that the limit cuts in two is no fault of the text.
    let (_, message, _) = told(format!("{}é", " ".repeat(config::text::MANIFEST_BYTES_MAX)).as_bytes());
    assert!(message.contains("more than the 262144 bytes"), "{message}");
    let (.., help) = told(b"");
    assert!(help.contains("docs/manifest.md"), "{help}");
}

#[test]
fn the_example_is_right_and_its_functions_are_there() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/access-counts.yaml");
    let loaded = config::load(&file, false, &pipeline::remarks).unwrap();
    assert!(loaded.report.problems.is_empty(), "{}", drawn(&loaded));
    assert_eq!(loaded.manifest.unwrap().partitions_of("input-topic"), 4);
}

#[test]
fn what_a_function_is_reproached_with_stands_at_its_field() {
    let text = "pipeline: p\nfunctions:\n  f: { component: f.wasm, function: g }\nsources: { in: { topic: a } }\n\
                steps: { s: { from: in, peek: f } }\n";
    let remark = |_: &Spec, function: &Function| {
        assert_eq!((function.name.as_str(), function.export.as_deref()), ("f", Some("g")));
        let (severity, field) = (Severity::Error, "function");
        vec![Remark { severity, field, message: "the file has no function `g`".into(), help: "it has `h`".into() }]
    };
    let surroundings = Surroundings {
        file: "p.yaml",
        folder: Path::new(""),
        local: false,
        environment: &|_| None,
        component: &remark,
        properties: &pipeline::properties,
    };
    let loaded = config::parse(text, &surroundings);
    assert!(loaded.manifest.is_none());
    let problem = &loaded.report.to_json()["problems"][0];
    assert_eq!((&problem["line"], &problem["column"], &problem["end_column"]), (&3.into(), &37.into(), &38.into()));
    assert_eq!(problem["help"][0], "it has `h`");
}
