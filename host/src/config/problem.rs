//! What is wrong with a manifest, with its place, and how it is shown: drawn as rustc draws its own, or as JSON.
//!
//! Problems are collected, never thrown: a reader of a manifest sees all of them at once.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
pub use millstream_core::topology::check::Severity;
use serde::Serialize;

/// Most problems that are drawn; the number of the others is told.
pub const PROBLEMS_SHOWN_MAX: usize = 100;
/// Most distance in edits, in thirds of a name's length, at which another name is proposed.
const NEAR_THIRDS: usize = 1;
/// Most names listed where none is near.
const NAMES_LISTED_MAX: usize = 20;

/// Something wrong with a manifest, or rarely meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// What is wrong, one line.
    pub message: String,
    /// What is written under the place.
    pub label: String,
    /// A second place that has to do with it.
    pub also: Option<(Range<usize>, String)>,
    /// What would be right.
    pub help: Vec<String>,
}

impl Problem {
    /// An error at a place.
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Error, span, message, label: String::new(), also: None, help: Vec::new() }
    }

    /// A warning at a place.
    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// With words under the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With what would be right; nothing where the text is empty.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        let help = help.into();
        if !help.is_empty() {
            self.help.push(help);
        }
        self
    }

    /// With a second place.
    #[must_use]
    pub fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }

    /// With the nearest of the names that would have been right, or a list of them.
    #[must_use]
    pub fn nearest(self, written: &str, known: &[String], what: &str) -> Self {
        match nearest(written, known.iter().map(String::as_str)) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None if known.is_empty() || known.len() > NAMES_LISTED_MAX => self,
            None => self.help(format!("{what}: {}", listed(known))),
        }
    }
}

/// Names in a sentence.
pub fn listed<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|n| format!("`{}`", n.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The name nearest to what was written, if one is near: by edits, exchanged neighbours counting as one.
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['_', ' '], "-");
    let written = plain(written);
    let near = (written.chars().count() * NEAR_THIRDS).div_ceil(3);
    let distances = known.map(|name| (strsim::damerau_levenshtein(&written, &plain(name)), name));
    distances.filter(|(distance, _)| *distance <= near).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// A manifest's text with what was found in it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file, as the user named it.
    pub file: String,
    /// Its text.
    pub text: String,
    /// What was found, by place.
    pub problems: Vec<Problem>,
}

impl Report {
    /// A report whose problems are sorted by place, none twice.
    pub fn new(file: impl Into<String>, text: impl Into<String>, mut problems: Vec<Problem>) -> Self {
        let text = text.into();
        for problem in &mut problems {
            problem.span = within(&text, problem.span.clone());
        }
        problems.sort_by_key(|p| (p.span.start, p.severity, p.span.end));
        problems.dedup();
        Self { file: file.into(), text, problems }
    }

    /// How many problems are that bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|p| p.severity == severity).count()
    }

    /// Whether the pipeline cannot start.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// One line: how many errors and warnings; nothing where there are none.
    pub fn summary(&self) -> String {
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        match (self.count(Severity::Error), self.count(Severity::Warning)) {
            (0, 0) => String::new(),
            (0, warnings) => plural(warnings, "warning"),
            (errors, 0) => plural(errors, "error"),
            (errors, warnings) => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
        }
    }

    /// Every problem, drawn with the lines it is about.
    pub fn draw(&self, renderer: &Renderer) -> String {
        let mut out = String::new();
        for problem in self.problems.iter().take(PROBLEMS_SHOWN_MAX) {
            out += &renderer.render(&[self.group(problem)]);
            out += "\n\n";
        }
        if self.problems.len() > PROBLEMS_SHOWN_MAX {
            out += &format!("… and {} more\n\n", self.problems.len() - PROBLEMS_SHOWN_MAX);
        }
        out
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = if problem.severity == Severity::Error { Level::ERROR } else { Level::WARNING };
        let label = |a: Annotation<'a>, text: &'a str| if text.is_empty() { a } else { a.label(text) };
        let primary = label(AnnotationKind::Primary.span(problem.span.clone()), &problem.label);
        let mut snippet = Snippet::source(self.text.as_str()).path(self.file.as_str()).annotation(primary);
        if let Some((span, text)) = &problem.also {
            snippet =
                snippet.annotation(AnnotationKind::Context.span(within(&self.text, span.clone())).label(text.as_str()));
        }
        let group = level.primary_title(problem.message.as_str()).element(snippet);
        problem.help.iter().fold(group, |group, help| group.element(Level::HELP.message(help.as_str())))
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let problems = self.problems.iter().map(|p| {
            let severity = if p.severity == Severity::Error { "error" } else { "warning" };
            let place = |span: &Range<usize>| {
                let ((line, column), (end_line, end_column)) =
                    (position(&self.text, span.start), position(&self.text, span.end));
                Place { line, column, end_line, end_column }
            };
            let also = p.also.as_ref().map(|(span, message)| Also { place: place(span), message });
            JsonProblem { severity, place: place(&p.span), message: &p.message, help: &p.help, also }
        });
        let json = JsonReport {
            file: &self.file,
            errors: self.count(Severity::Error),
            warnings: self.count(Severity::Warning),
            problems: problems.collect(),
        };
        serde_json::to_value(json).unwrap_or_default()
    }
}

/// Line and column, each from 1; columns count characters.
pub fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..within(text, at..at).start];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The range, cut to the text and widened to whole characters.
fn within(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    start..end
}

#[derive(Serialize)]
struct JsonReport<'a> {
    file: &'a str,
    errors: usize,
    warnings: usize,
    problems: Vec<JsonProblem<'a>>,
}

#[derive(Serialize)]
struct JsonProblem<'a> {
    severity: &'a str,
    #[serde(flatten)]
    place: Place,
    message: &'a str,
    help: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    also: Option<Also<'a>>,
}

#[derive(Serialize)]
struct Also<'a> {
    #[serde(flatten)]
    place: Place,
    message: &'a str,
}

#[derive(Serialize)]
struct Place {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_proposed_if_one_is_near() {
        let names = ["only-ip", "extract-ip", "in", "counts"];
        let near = |written| nearest(written, names.into_iter());
        for written in ["only-ipp", "onlyip", "ony-ip", "only_ip", "ONLY-IP", "oyln-ip"] {
            assert_eq!(near(written), Some("only-ip"), "{written}");
        }
        assert_eq!(near("cuonts"), Some("counts"));
        assert_eq!(near("on"), Some("in"));
        assert_eq!(near("something-else"), None);
    }

    #[test]
    fn no_more_is_drawn_than_can_be_read() {
        let problems = |n: usize| (0..n).map(|i| Problem::error(0..1, format!("p{i}"))).collect();
        let drawn = |n| Report::new("f", "text", problems(n)).draw(&Renderer::plain());
        assert_eq!(drawn(PROBLEMS_SHOWN_MAX).matches("error:").count(), PROBLEMS_SHOWN_MAX);
        assert!(!drawn(PROBLEMS_SHOWN_MAX).contains("more"));
        assert_eq!(drawn(PROBLEMS_SHOWN_MAX + 2).matches("error:").count(), PROBLEMS_SHOWN_MAX);
        assert!(drawn(PROBLEMS_SHOWN_MAX + 2).ends_with("… and 2 more\n\n"));
    }

    #[test]
    fn places_count_characters_and_stay_in_the_text() {
        let text = "äö\nü x";
        assert_eq!((position(text, 0), position(text, 2)), ((1, 1), (1, 2)));
        assert_eq!(position(text, text.find('x').unwrap()), (2, 3));
        assert_eq!(position(text, 1_000), (2, 4));
        assert_eq!(within(text, 1..1), 0..2);
        assert_eq!(within(text, 900..1_000), text.len()..text.len());
        assert_eq!(Report::new("f", text, vec![Problem::error(7..9_000, "m")]).problems[0].span.end, text.len());
    }

    #[test]
    fn problems_stand_in_the_order_of_the_text_and_none_twice() {
        let problem = |at: usize, message: &str| Problem::error(at..at + 1, message);
        let report = Report::new("f", "0123456789", vec![problem(5, "b"), problem(2, "a"), problem(5, "b")]);
        assert_eq!(report.problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(report.summary(), "2 errors");
    }
}
