//! Checks on Markdown: one title a document, and relative links that lead somewhere.

use std::path::{Component, Path, PathBuf};

use super::{Violation, assert_none, shown, texts};
use crate::run::root;

/// The lines outside fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((number + 1, line)),
            (Some(_), _) => {}
        }
        None
    })
}

fn one_title(path: &str, text: &str) -> Vec<Violation> {
    let titles: Vec<_> = prose(text).filter(|(_, line)| line.starts_with("# ")).collect();
    match titles.as_slice() {
        [_] => Vec::new(),
        [] => vec![Violation::new(path, 1, "has no title (`# …`)")],
        [_, more @ ..] => more.iter().map(|(line, _)| Violation::new(path, *line, "a second title")).collect(),
    }
}

/// What is linked to in a line: `[text](target)`, `![text](target)` and `[name]: target`, not inside inline code.
fn targets(line: &str) -> Vec<&str> {
    // Every second piece between backticks is code; its length stays, so that links across code are still found.
    let mut found = Vec::new();
    let mut in_code = false;
    let bytes = line.as_bytes();
    for (place, byte) in bytes.iter().enumerate() {
        match byte {
            b'`' => in_code = !in_code,
            b'(' if !in_code && place > 0 && bytes[place - 1] == b']' => {
                let rest = &line[place + 1..];
                found.extend(rest.split_once(')').map(|(inside, _)| inside));
            }
            _ => {}
        }
    }
    if line.starts_with('[')
        && let Some((_, target)) = line.split_once("]: ")
    {
        found.push(target);
    }
    // A target may be followed by a title, and stand in angle brackets.
    found
        .iter()
        .filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_matches(['<', '>']))
        .collect()
}

/// Links to files, relative to the document, each with its line.
pub fn relative_links(text: &str) -> Vec<(usize, &str)> {
    let all = prose(text).flat_map(|(number, line)| targets(line).into_iter().map(move |target| (number, target)));
    let elsewhere = |target: &str| target.starts_with('#') || target.contains("://") || target.starts_with("mailto:");
    all.filter(|(_, target)| !elsewhere(target)).collect()
}

/// `exists` is asked for paths from the root.
fn links(path: &str, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<Violation> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut violations = Vec::new();
    for (number, target) in relative_links(text) {
        let file = target.split('#').next().unwrap_or_default();
        if !resolve(folder, file).is_some_and(|place| exists(&place)) {
            violations.push(Violation::new(path, number, format!("the link to {target} leads nowhere")));
        }
    }
    violations
}

/// The place from the root; none when it lies outside.
fn resolve(folder: &Path, target: &str) -> Option<PathBuf> {
    let mut place = PathBuf::new();
    for part in folder.join(target).components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::CurDir => {}
            Component::ParentDir => place.pop().then_some(())?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(place)
}

#[test]
fn every_document_has_one_title() {
    assert_none(texts(".md").iter().flat_map(|(path, text)| one_title(path, text)).collect());
}

#[test]
fn every_relative_link_leads_somewhere() {
    let exists = |place: &Path| root().join(place).exists();
    assert_none(texts(".md").iter().flat_map(|(path, text)| links(path, text, exists)).collect());
}

#[test]
fn missing_and_second_titles_are_seen() {
    assert_eq!(shown(&one_title("a.md", "text\n## Part\n")), ["a.md:1: has no title (`# …`)"]);
    assert_eq!(shown(&one_title("a.md", "# One\n# Two\n")), ["a.md:2: a second title"]);
    assert_eq!(one_title("a.md", "# One\n```sh\n# a comment\n```\n~~~\n```\n# other\n~~~\n"), []);
}

#[test]
fn links_that_lead_nowhere_are_seen() {
    let exists = |place: &Path| [Path::new("docs/b.md"), Path::new("x"), Path::new("docs")].contains(&place);
    let right = "[b](b.md#part), [x](../x \"title\") and [web](https://e.org/a) and [here](#here) [d](.)\n\
                 `[code](no.md)`\n```\n[fenced](no.md)\n```\n[`x`](../x)\n[name]: <b.md>\n";
    assert_eq!(links("docs/a.md", right, exists), []);
    let wrong = "[b](c.md)\n[out](../../x)\n[abs](/x)\n[name]: no.md\n![i](i.png)\n";
    let lines: Vec<_> = links("docs/a.md", wrong, exists).iter().map(|violation| violation.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5]);
}
