//! Damaged manifests and made-up pipelines: whatever the text, an answer with places in it, never a panic; what is found
//! right can be planned and drawn, the same every time. Another run: `SEED=2 CASES=100000`.
//!
//! Not here: whether the answers are good, which the golden files say.

use std::fs;
use std::path::Path;

use annotate_snippets::Renderer;
use millstream::config::{self, Loaded, Surroundings, pipeline, svg};
use millstream_core::topology::{describe, graph};

/// Cases of each kind, unless `CASES` says otherwise.
const CASES: usize = 500;
/// Most damages to one text.
const DAMAGES_MAX: usize = 4;
/// What damage puts in: whatever means something in YAML, and what is long in UTF-8.
const PIECES: [&str; 40] = [
    "{", "}", "[", "]", ":", ",", "-", "\n", " ", "\"", "'", "&a", "*a", "!t", "#", "|", ">", "%", "é", "\0", "\t",
    "?", "🦀", "in", "f", "null", "3", "[]", "{}", "true", "a.b", "~", "<<", "---", "\r\n", "\u{feff}", "\u{a0}",
    "1e20", "4.0", "64 MB",
];

/// Numbers from a seed (an LCG's upper bits), the same on every machine.
struct Dice(u64);

impl Dice {
    fn new(kind: u64) -> Self {
        let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
        println!("seed {seed}");
        Self(seed ^ kind)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

fn cases() -> usize {
    std::env::var("CASES").map_or(CASES, |cases| cases.parse().unwrap())
}

fn parse(text: &str) -> Loaded {
    let surroundings = Surroundings {
        file: "random.yaml",
        folder: Path::new(""),
        local: false,
        environment: &|_| None,
        component: &|_, _| Vec::new(),
        properties: &pipeline::properties,
    };
    config::parse(text, &surroundings)
}

/// The manifests of the golden files, in a fixed order.
fn manifests() -> Vec<String> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/manifests");
    let folders = ["valid", "invalid", "warnings"].map(|folder| fs::read_dir(golden.join(folder)).unwrap());
    let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn damaged(text: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(DAMAGES_MAX) {
        let at = dice.below(letters.len() + 1);
        let end = (at + dice.below(40)).min(letters.len());
        match dice.below(4) {
            0 => drop(letters.drain(at..end)),
            1 => {
                let to = dice.below(letters.len() + 1);
                let copy = letters[at..end].to_vec();
                letters.splice(to..to, copy);
            }
            2 if dice.below(8) == 0 => letters.truncate(at),
            _ => drop(letters.splice(at..at, PIECES[dice.below(PIECES.len())].chars())),
        }
    }
    letters.into_iter().collect()
}

#[test]
fn whatever_the_text_there_is_an_answer() {
    let (manifests, mut dice) = (manifests(), Dice::new(0));
    for _ in 0..cases() {
        let text = damaged(&manifests[dice.below(manifests.len())], &mut dice);
        let Loaded { manifest, report } = parse(&text);
        // Shown when it fails.
        println!("{text}\n{}", report.draw(&Renderer::plain()));
        assert_eq!(manifest.is_none(), report.has_errors(), "a pipeline, or why not");
        if let Some(manifest) = manifest {
            graph::plan(&manifest.spec, &|topic| Some(manifest.partitions_of(topic))).unwrap();
        }
        for problem in &report.problems {
            assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{problem:?}");
            assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
            let foreign = ["$defs", "oneOf", "anyOf", "schema", "cannot be read", "additionalProperties"];
            assert!(!foreign.iter().any(|word| problem.message.contains(word)), "{problem:?}");
        }
        assert!(report.to_json()["problems"].as_array().is_some_and(|all| all.len() == report.problems.len()));
    }
}

/// Sources of a made-up pipeline, and which of its kinds of steps has windows.
const SOURCES: usize = 2;
const WINDOWED: usize = 2;

/// A pipeline of steps that read earlier ones at random, right by the rules.
fn made_up(dice: &mut Dice) -> String {
    let mut steps = String::new();
    let mut streams = vec!["a".to_string(), "b".to_string()];
    for i in 0..=dice.below(12) {
        let mut from: Vec<String> = (0..=dice.below(3)).map(|_| streams[dice.below(streams.len())].clone()).collect();
        from.dedup();
        let kind = dice.below(7);
        if kind == WINDOWED {
            // Results of windows are not cut into windows again.
            from = vec![streams[dice.below(SOURCES)].clone()];
        }
        let from = from.join(", ");
        let (operator, output) = match kind {
            0 => ("filter: f, on-error: { dead-letter: dead }", ""),
            1 => ("map: f, on-error: { dead-letter: dead }", ""),
            WINDOWED => (
                "group: key, reduce: f, window: { tumbling: 1s, grace: 1s }, late: late, on-error: { dead-letter: dead }",
                "",
            ),
            3 => ("repartition: {}, partitions: 3", ""),
            4 => ("branch: f, outputs: [x, y], otherwise: z", ".x"),
            5 => ("merge: {}", ""),
            _ => ("select-key: f", ""),
        };
        steps += &format!("  s{i}: {{ from: [{from}], {operator} }}\n");
        streams.push(format!("s{i}{output}"));
    }
    let mut sinks = String::new();
    for i in 0..=dice.below(4) {
        // Some write what a source reads: a circle through a topic.
        let topic = ["out", "more", "topic-a"][dice.below(3)];
        sinks +=
            &format!("  k{i}: {{ from: {}, topic: {topic}{} }}\n", streams[dice.below(streams.len())], dice.below(3));
    }
    format!(
        "pipeline: p\nfunctions: {{ f: {{ component: f.wasm }} }}\nsources:\n  a: {{ topic: topic-a0, on-error: {{ dead-letter: \
         dead }} }}\n  b: {{ topic: [topic-b, topic-a1] }}\nsteps:\n{steps}sinks:\n{sinks}"
    )
}

#[test]
fn whatever_is_right_can_be_drawn() {
    let mut dice = Dice::new(1 << 32);
    for _ in 0..cases() {
        let text = made_up(&mut dice);
        println!("{text}");
        let loaded = parse(&text);
        println!("{}", loaded.report.draw(&Renderer::plain()));
        let manifest = loaded.manifest.expect("no error");
        let topology = graph::plan(&manifest.spec, &|topic| Some(manifest.partitions_of(topic))).unwrap();
        let drawing = describe::describe(&topology, &manifest.spec);
        assert!(drawing.arrows.iter().all(|a| a.from < drawing.shapes.len() && a.to < drawing.shapes.len()));
        assert_eq!(svg::svg(&drawing), svg::svg(&drawing));
        let (mermaid, dot) = (describe::mermaid(&drawing), describe::dot(&drawing));
        assert_eq!(
            mermaid.lines().filter(|l| l.contains("->")).count(),
            dot.lines().filter(|l| l.contains("->")).count()
        );
    }
}
