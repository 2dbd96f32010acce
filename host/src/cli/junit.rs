//! Results as the XML that CI systems read: JUnit's. Of cases a suite for each file of them, of `verify` one for each interface.

use super::cases::{Failed, Ran};
use crate::verify::{Report, Trial};

/// A test.
struct Case {
    name: String,
    /// Where it stands, where it stands in a file.
    place: Option<(String, usize)>,
    seconds: f64,
    /// The first thing that went wrong in a line, and everything that did.
    failure: Option<(String, String)>,
}

/// Tests that belong together.
struct Suite {
    name: String,
    cases: Vec<Case>,
    /// What there is to say besides.
    output: String,
}

/// The results of a component's cases.
pub fn cases(component: &str, all: &[Ran]) -> String {
    let mut files: Vec<&str> = all.iter().map(|ran| ran.file.as_str()).collect();
    files.dedup();
    let suite = |file: &str| Suite {
        name: file.to_string(),
        cases: all.iter().filter(|ran| ran.file == file).map(case).collect(),
        output: String::new(),
    };
    xml(component, &files.into_iter().map(suite).collect::<Vec<_>>())
}

fn case(ran: &Ran) -> Case {
    let first = ran.failures.first().map(|f| format!("expected {}; came {}", f.expected, f.came));
    let text: String = ran.failures.iter().map(|failed| told(&ran.file, failed)).collect();
    let (name, place) = (ran.name.clone(), Some((ran.file.clone(), ran.line)));
    Case { name, place, seconds: ran.took.as_secs_f64(), failure: first.map(|first| (first, text)) }
}

fn told(file: &str, failed: &Failed) -> String {
    let ((line, column), cut) = (failed.place, failed.cut.unwrap_or("at its start"));
    format!("{file}:{line}:{column} ({cut})\nexpected: {}\ncame: {}\n", failed.expected, failed.came)
}

/// What `verify` found, and what it has to say of cost and of records that fail by themselves.
pub fn trials(component: &str, report: &Report, output: &str) -> String {
    let mut kinds: Vec<&str> = report.trials.iter().map(|trial| trial.kind).collect();
    kinds.dedup();
    let suite = |(number, kind): (usize, &str)| Suite {
        name: kind.to_string(),
        cases: report.trials.iter().filter(|trial| trial.kind == kind).map(trial).collect(),
        output: if number == 0 { output.to_string() } else { String::new() },
    };
    xml(component, &kinds.into_iter().enumerate().map(suite).collect::<Vec<_>>())
}

fn trial(trial: &Trial) -> Case {
    let line = |d: &crate::verify::Difference| format!("{}: first {}\n  then {}\n", d.at, d.first, d.then);
    let failure = (trial.differing > 0)
        .then(|| (format!("{} results differ", trial.differing), trial.differences.iter().map(line).collect()));
    Case { name: trial.how.clone(), place: None, seconds: 0.0, failure }
}

fn xml(component: &str, suites: &[Suite]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let every: Vec<&Case> = suites.iter().flat_map(|suite| &suite.cases).collect();
    out.push_str(&format!("<testsuites name=\"{}\" {}>\n", escaped(component), counts(&every)));
    for suite in suites {
        let all: Vec<&Case> = suite.cases.iter().collect();
        out.push_str(&format!("  <testsuite name=\"{}\" {}>\n", escaped(&suite.name), counts(&all)));
        all.iter().for_each(|case| write(&mut out, component, case));
        if !suite.output.is_empty() {
            out.push_str(&format!("    <system-out>{}</system-out>\n", escaped(&suite.output)));
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn counts(all: &[&Case]) -> String {
    let failed = all.iter().filter(|case| case.failure.is_some()).count();
    let seconds: f64 = all.iter().map(|case| case.seconds).sum();
    format!("tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\" time=\"{seconds:.6}\"", all.len())
}

fn write(out: &mut String, component: &str, case: &Case) {
    let (name, class) = (escaped(&case.name), escaped(component));
    let place = case.place.as_ref().map(|(file, line)| format!(" file=\"{}\" line=\"{line}\"", escaped(file)));
    let place = place.unwrap_or_default();
    let end = if case.failure.is_none() { "/>\n" } else { ">\n" };
    out.push_str(&format!(
        "    <testcase name=\"{name}\" classname=\"{class}\"{place} time=\"{:.6}\"{end}",
        case.seconds
    ));
    if let Some((first, text)) = &case.failure {
        out.push_str(&format!("      <failure message=\"{}\">{}</failure>\n", escaped(first), escaped(text)));
        out.push_str("    </testcase>\n");
    }
}

/// Text in an attribute or an element; what XML cannot hold at all becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::verify::Difference;

    #[test]
    fn suites_hold_their_cases_and_texts_are_escaped() {
        let failure = Failed {
            place: (7, 9),
            cut: Some("one record a call"),
            expected: "\"a\" & <b>".into(),
            came: "\u{1}".into(),
        };
        let ran = |file: &str, failures| Ran {
            file: file.into(),
            line: 3,
            name: "a \"name\"".into(),
            kind: "map",
            took: Duration::from_millis(5),
            failures,
        };
        let xml = cases("f.wasm", &[ran("a.cases", vec![]), ran("b.cases", vec![failure])]);
        assert!(xml.contains("<testsuites name=\"f.wasm\" tests=\"2\" failures=\"1\""), "{xml}");
        assert!(xml.contains("<testsuite name=\"b.cases\" tests=\"1\" failures=\"1\""), "{xml}");
        assert!(xml.contains("name=\"a &quot;name&quot;\" classname=\"f.wasm\" file=\"a.cases\" line=\"3\""), "{xml}");
        assert!(
            xml.contains(
                "b.cases:7:9 (one record a call)&#10;expected: &quot;a&quot; &amp; &lt;b&gt;&#10;came: \u{fffd}"
            ),
            "{xml}"
        );
    }

    #[test]
    fn trials_are_cases_of_their_interface() {
        let difference = Difference { at: "4".into(), first: "a".into(), then: "<b>".into() };
        let trial = |kind, how: &str, differences: Vec<Difference>| {
            let differing = differences.len();
            Trial { kind, how: how.into(), differing, differences }
        };
        let report = Report {
            trials: vec![
                trial("filter", "fresh instance", vec![]),
                trial("filter", "cut otherwise", vec![difference]),
                trial("mapper", "fresh instance", vec![]),
            ],
            failing: vec![],
        };
        let xml = trials("f.wasm", &report, "9 ns & more");
        for part in [
            "<testsuites name=\"f.wasm\" tests=\"3\" failures=\"1\"",
            "<testsuite name=\"filter\" tests=\"2\" failures=\"1\"",
            "<testcase name=\"cut otherwise\" classname=\"f.wasm\" time=\"0.000000\">",
            "<failure message=\"1 results differ\">4: first a&#10;  then &lt;b&gt;&#10;</failure>",
            "<system-out>9 ns &amp; more</system-out>",
            "<testsuite name=\"mapper\" tests=\"1\" failures=\"0\"",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
        assert_eq!(xml.matches("<system-out>").count(), 1);
    }
}
