//! Results of cases as the XML that CI systems read: JUnit's, a suite for each file of cases.

use super::cases::{Failed, Ran};

/// The results of a component's cases.
pub fn xml(component: &str, all: &[Ran]) -> String {
    let mut files: Vec<&str> = all.iter().map(|ran| ran.file.as_str()).collect();
    files.dedup();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let every: Vec<&Ran> = all.iter().collect();
    out.push_str(&format!("<testsuites name=\"{}\" {}>\n", escaped(component), counts(&every)));
    for file in files {
        let suite: Vec<&Ran> = all.iter().filter(|ran| ran.file == file).collect();
        out.push_str(&format!("  <testsuite name=\"{}\" {}>\n", escaped(file), counts(&suite)));
        suite.iter().for_each(|ran| case(&mut out, component, ran));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn counts(all: &[&Ran]) -> String {
    let failed = all.iter().filter(|ran| !ran.failures.is_empty()).count();
    let seconds: f64 = all.iter().map(|ran| ran.took.as_secs_f64()).sum();
    format!("tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\" time=\"{seconds:.6}\"", all.len())
}

fn case(out: &mut String, component: &str, ran: &Ran) {
    let (name, class, file) = (escaped(&ran.name), escaped(component), escaped(&ran.file));
    let (line, seconds) = (ran.line, ran.took.as_secs_f64());
    let end = if ran.failures.is_empty() { "/>\n" } else { ">\n" };
    out.push_str(&format!(
        "    <testcase name=\"{name}\" classname=\"{class}\" file=\"{file}\" line=\"{line}\" time=\"{seconds:.6}\"{end}"
    ));
    if !ran.failures.is_empty() {
        let first = ran.failures.first().map_or(String::new(), |f| format!("expected {}; came {}", f.expected, f.came));
        let text: String = ran.failures.iter().map(|failed| told(&ran.file, failed)).collect();
        out.push_str(&format!("      <failure message=\"{}\">{}</failure>\n", escaped(&first), escaped(&text)));
        out.push_str("    </testcase>\n");
    }
}

fn told(file: &str, failed: &Failed) -> String {
    let ((line, column), cut) = (failed.place, failed.cut.unwrap_or("at its start"));
    format!("{file}:{line}:{column} ({cut})\nexpected: {}\ncame: {}\n", failed.expected, failed.came)
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
        let xml = xml("f.wasm", &[ran("a.cases", vec![]), ran("b.cases", vec![failure])]);
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
}
