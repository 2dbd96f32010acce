//! `./x guests --table`: what the samples that several languages have cost in each, by the host's own `inspect` and `verify`. A record's
//! cost is that in calls of 1,024 records, copying in and out included; not a bench, since every sample is measured once.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    guests,
    packages::PROGRAM_VARIABLE,
    run::{cargo, check, output, target_dir},
};

const SAMPLES: [&str; 3] = ["only-ip", "extract-ip", "count-bytes"];
/// Enough for several full calls; `verify` gives each record to a call of its own, too, which takes long in some languages.
const LINES: usize = 8_192;
/// Different keys of the aggregate.
const KEYS: usize = 100;

/// One component's costs.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    sample: &'static str,
    language: String,
    size_bytes: u64,
    compile_ms: u64,
    instantiate_us: u64,
    /// In calls of 1,024 records.
    ns_per_record: u64,
    memory_bytes: u64,
}

/// Builds what is missing, measures, prints one row a sample and language.
pub fn print() -> Result<()> {
    let folder = guests::build()?;
    let program = program()?;
    let scratch = target_dir().join("guests/table");
    fs::create_dir_all(&scratch).with_context(|| format!("create {}", scratch.display()))?;
    let input = scratch.join("records.jsonl");
    let lines = output(Command::new(&program).args(["generate", "--lines", &LINES.to_string()]))?;
    fs::write(&input, records(&lines)).with_context(|| format!("write {}", input.display()))?;
    println!("{HEAD}");
    for (sample, language, file) in components(&folder)? {
        println!("{}", shown(&measured(&program, sample, language, &file, &input)?));
    }
    Ok(())
}

/// A host that is built already, or one is built, optimised.
fn program() -> Result<PathBuf> {
    if let Some(named) = env::var_os(PROGRAM_VARIABLE) {
        return Ok(named.into());
    }
    eprintln!(
        "x: building the optimised host, which takes minutes the first time; {PROGRAM_VARIABLE} names one that is built"
    );
    // The whole workspace: for one package alone libraries have other features, and would be built a second time.
    check(&mut cargo(&["build", "-q", "--release", "--workspace", "--bins"]))?;
    Ok(target_dir().join("release/millstream"))
}

/// JSON lines with keys, which an aggregate needs; `verify` gives the other kinds the same.
fn records(lines: &str) -> String {
    let record = |(place, line): (usize, &str)| {
        json!({"key": format!("k{}", place % KEYS), "value": line, "timestamp": place}).to_string() + "\n"
    };
    lines.lines().enumerate().map(record).collect()
}

/// The samples in the folder, by sample, Rust first and then by language.
fn components(folder: &Path) -> Result<Vec<(&'static str, String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((place, language)) = language_of(name) else { continue };
        found.push((place, language != "rust", language.to_owned(), path));
    }
    found.sort();
    ensure!(!found.is_empty(), "{} holds none of {SAMPLES:?}", folder.display());
    Ok(found.into_iter().map(|(place, _, language, path)| (SAMPLES[place], language, path)).collect())
}

/// `only-ip-c.wasm`: which sample, and `c`; without a language it is Rust.
fn language_of(file: &str) -> Option<(usize, &str)> {
    let name = file.strip_suffix(".wasm")?;
    SAMPLES.iter().enumerate().find_map(|(place, sample)| match name.strip_prefix(sample)? {
        "" => Some((place, "rust")),
        // `extract-ip-masked` is another sample, not another language.
        rest => Some((place, rest.strip_prefix('-').filter(|language| *language != "masked")?)),
    })
}

fn measured(program: &Path, sample: &'static str, language: String, file: &Path, input: &Path) -> Result<Row> {
    eprintln!("x: {sample} in {language}");
    // `inspect` keeps no compiled code, so it compiles each time.
    let inspected = asked(Command::new(program).args(["inspect", "--json"]).arg(file))?;
    let verified = asked(Command::new(program).args(["verify", "--json"]).arg(file).arg("--input").arg(input))?;
    Ok(Row {
        sample,
        language,
        size_bytes: number(&inspected, "size_bytes")?,
        compile_ms: number(&inspected, "compile_ms")?,
        instantiate_us: number(&inspected, "instantiate_us")?,
        ns_per_record: number(&verified, "nanoseconds_per_record_in_full_calls")?,
        memory_bytes: number(&verified, "memory_bytes_max")?,
    })
}

fn asked(command: &mut Command) -> Result<Value> {
    serde_json::from_str(&output(command)?).context("read the host's answer as JSON")
}

/// A number of the host's answer, without what is behind the point.
fn number(answer: &Value, name: &str) -> Result<u64> {
    let number = answer[name].as_f64().with_context(|| format!("the host's answer has no number `{name}`"))?;
    Ok(number as u64)
}

const HEAD: &str = "\
| sample | language | size, KB | compile, ms | instantiate, µs | ns a record | memory, KiB |
| --- | --- | --- | --- | --- | --- | --- |";

fn shown(row: &Row) -> String {
    let Row { sample, language, size_bytes, compile_ms, instantiate_us, ns_per_record, memory_bytes } = row;
    format!(
        "| `{sample}` | {language} | {:.1} | {compile_ms} | {instantiate_us} | {ns_per_record} | {} |",
        *size_bytes as f64 / 1000.0,
        memory_bytes / 1024
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_sample_in_a_language() {
        assert_eq!(language_of("only-ip.wasm"), Some((0, "rust")));
        assert_eq!(language_of("count-bytes-assemblyscript.wasm"), Some((2, "assemblyscript")));
        for other in ["extract-ip-masked.wasm", "only-ipx.wasm", "top.wasm", "only-ip-c.core", "only-ip"] {
            assert_eq!(language_of(other), None, "{other}");
        }
    }

    #[test]
    fn rust_stands_first_and_samples_stay_together() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["only-ip-c.wasm", "count-bytes.wasm", "only-ip.wasm", "extract-ip-c.wasm", "top.wasm"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> =
            components(folder.path()).unwrap().into_iter().map(|(sample, language, _)| (sample, language)).collect();
        let expected = [("only-ip", "rust"), ("only-ip", "c"), ("extract-ip", "c"), ("count-bytes", "rust")];
        assert_eq!(names, expected.map(|(sample, language)| (sample, language.to_owned())));
        assert!(components(tempfile::tempdir().unwrap().path()).is_err());
    }

    #[test]
    fn a_row_is_made_of_the_hosts_answers() {
        let verified = json!({"nanoseconds_per_record": 260.9, "memory_bytes_max": 262_144});
        assert_eq!(number(&verified, "nanoseconds_per_record").unwrap(), 260);
        assert_eq!(number(&verified, "x").unwrap_err().to_string(), "the host's answer has no number `x`");
        let row = Row {
            sample: "only-ip",
            language: "c".into(),
            size_bytes: 3_815,
            compile_ms: 9,
            instantiate_us: 21,
            ns_per_record: 260,
            memory_bytes: 262_144,
        };
        assert_eq!(shown(&row), "| `only-ip` | c | 3.8 | 9 | 21 | 260 | 256 |");
    }

    #[test]
    fn records_have_keys_and_keep_their_lines() {
        let made = records("a \"b\"\nc\n");
        let lines: Vec<Value> = made.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0], json!({"key": "k0", "value": "a \"b\"", "timestamp": 0}));
        assert_eq!((lines.len(), &lines[1]["key"]), (2, &json!("k1")));
    }
}
