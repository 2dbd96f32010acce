//! Templates of functions, one for each language, as they are embedded: which there are, and the files that one makes. Writing
//! them is `cli::new`'s matter.
//!
//! A template is a folder `guest-sdk/templates/LANG`. Its `template.toml` says what it needs and what comes next; `kinds/KIND/…`
//! goes over the other files when that kind is wanted. In files and their names `{{name}}` is the function's name and
//! `{{name_snake}}` the same with underscores; an ending `.tmpl` is taken off, for files that tools of the repository would stumble over.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::config::problem::{listed, nearest};

/// What the build script embedded: path from the repository's root, and content.
static EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Where templates lie.
const FOLDER: &str = "guest-sdk/templates/";
/// The file that describes one.
const DESCRIPTION: &str = "template.toml";
/// Characters of a function's name at the most.
pub const NAME_CHARS_MAX: usize = 64;

/// What a template says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The language's name as people write it.
    pub language: String,
    /// What must be on the machine.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// Files or folders of the repository, each with the place in the project to which it is copied.
    #[serde(default)]
    pub sdk: Vec<(String, String)>,
    /// Commands that build and test the function, in order.
    #[serde(default)]
    pub hints: Vec<String>,
    /// Kinds of functions it has a beginning for, the usual one first.
    #[serde(default)]
    pub kinds: Vec<String>,
}

/// Something that must be on the machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Need {
    /// A program, looked for in the `PATH`.
    pub tool: Option<String>,
    /// A file, which may begin with `~/`.
    pub file: Option<String>,
    /// A target of the Rust toolchain.
    pub rust_target: Option<String>,
    /// The package of Debian that brings it.
    pub debian: Option<String>,
    /// The package of PyPI that brings it.
    pub pypi: Option<String>,
    /// Any other way to it, a command or a sentence.
    pub install: Option<String>,
}

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The language's name on the command line.
    pub language: String,
    /// What it says of itself.
    pub description: Description,
}

/// The files of a project by their paths in it.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Names of the languages that there are templates for.
pub fn languages() -> Vec<String> {
    let of = |path: &str| Some(path.strip_prefix(FOLDER)?.strip_suffix(DESCRIPTION)?.strip_suffix('/')?.to_string());
    EMBEDDED.iter().filter_map(|(path, _)| of(path)).filter(|language| !language.contains('/')).collect()
}

/// The template of a language.
///
/// # Errors
/// When there is none, with those that there are; when its description is wrong.
pub fn template(language: &str) -> anyhow::Result<Template> {
    let path = format!("{FOLDER}{language}/{DESCRIPTION}");
    let Some((_, bytes)) = EMBEDDED.iter().find(|(embedded, _)| *embedded == path) else {
        let languages = languages();
        let near = nearest(language, languages.iter().map(String::as_str));
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        bail!("there is no template for `{language}`{near}\nThere are: {}", listed(&languages));
    };
    let text = std::str::from_utf8(bytes).with_context(|| format!("{path} is not UTF-8"))?;
    let description = toml::from_str(text).with_context(|| format!("read {path}"))?;
    Ok(Template { language: language.to_string(), description })
}

/// Whether a function can have this name; the error says what would be right.
///
/// # Errors
/// In words for the user.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || !name.chars().all(right) || name.ends_with('-') || name.contains("--") {
        bail!(
            "`{name}` is no name of a function: lower-case letters, digits and single `-` between them, as in `only-ip`"
        );
    }
    if name.len() > NAME_CHARS_MAX {
        bail!("the name has {} characters; it may have {NAME_CHARS_MAX}", name.len());
    }
    Ok(())
}

impl Template {
    /// The kind that is meant: the one asked for, or the usual one; none where the template has no kinds.
    ///
    /// # Errors
    /// When it has no beginning for that kind.
    pub fn kind(&self, asked: Option<&str>) -> anyhow::Result<Option<&str>> {
        let kinds = &self.description.kinds;
        match asked {
            None => Ok(kinds.first().map(String::as_str)),
            Some(asked) => match kinds.iter().find(|kind| *kind == asked) {
                Some(kind) => Ok(Some(kind)),
                None if kinds.is_empty() => bail!("the template for {} has no kinds to choose from", self.language),
                None => bail!("the template for {} has no `{asked}`; it has {}", self.language, listed(kinds)),
            },
        }
    }

    /// The files of a function's project.
    ///
    /// # Errors
    /// When the template names something of the repository that is not embedded.
    pub fn files(&self, name: &str, kind: Option<&str>) -> anyhow::Result<Files> {
        let own = format!("{FOLDER}{}/", self.language);
        let mut files = Files::new();
        for (from, to) in &self.description.sdk {
            let before = files.len();
            for (path, bytes) in EMBEDDED {
                let Some(rest) = path.strip_prefix(from.trim_end_matches('/')) else { continue };
                if rest.is_empty() || rest.starts_with('/') {
                    files.insert(format!("{}{rest}", to.trim_end_matches('/')), bytes.to_vec());
                }
            }
            if files.len() == before {
                bail!("the template for {} copies `{from}`, which is not in this program", self.language);
            }
        }
        let chosen = kind.map(|kind| format!("kinds/{kind}/"));
        let mut over = Vec::new();
        for (path, bytes) in EMBEDDED.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&own)?, *bytes))) {
            match (path.starts_with("kinds/"), &chosen) {
                (false, _) if path == DESCRIPTION => {}
                (false, _) => _ = files.insert(filled_name(path, name), filled(bytes, name)),
                (true, Some(chosen)) => over.extend(path.strip_prefix(chosen.as_str()).map(|path| (path, bytes))),
                (true, None) => {}
            }
        }
        over.into_iter().for_each(|(path, bytes)| _ = files.insert(filled_name(path, name), filled(bytes, name)));
        Ok(files)
    }

    /// The commands that come next.
    pub fn hints(&self, name: &str) -> Vec<String> {
        self.description.hints.iter().map(|hint| filled_text(hint, name)).collect()
    }
}

fn filled_name(path: &str, name: &str) -> String {
    filled_text(path.strip_suffix(".tmpl").unwrap_or(path), name)
}

fn filled(bytes: &[u8], name: &str) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => filled_text(text, name).into_bytes(),
        Err(_) => bytes.to_vec(),
    }
}

fn filled_text(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{name_snake}}", &name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_whole() {
        let languages = languages();
        assert!(languages.contains(&"rust".to_string()), "{languages:?}");
        for language in languages {
            let template = template(&language).unwrap();
            let kinds: Vec<Option<&str>> = match &template.description.kinds[..] {
                [] => vec![None],
                kinds => kinds.iter().map(|kind| Some(kind.as_str())).collect(),
            };
            for kind in kinds {
                let files = template.files("some-function", kind).unwrap();
                for (path, bytes) in &files {
                    let text = String::from_utf8_lossy(bytes);
                    assert!(!text.contains("{{name") && !path.contains("{{"), "{language}: {path}");
                }
                let has = |end: &str| files.keys().any(|path| path.ends_with(end));
                assert!(has(".cases") && has("README.md"), "{language}: {:?}", files.keys());
            }
            assert!(!template.description.hints.is_empty() && !template.description.needs.is_empty(), "{language}");
            assert!(template.hints("some-function").iter().all(|hint| !hint.contains("{{")), "{language}");
        }
    }

    #[test]
    fn names_are_those_of_functions() {
        for right in ["a", "only-ip", "v2", "a1-b2-c3", &"x".repeat(NAME_CHARS_MAX)] {
            assert!(check_name(right).is_ok(), "{right}");
        }
        for wrong in
            ["", "-a", "a-", "a--b", "1a", "A", "a_b", "a.b", "ä", "a b", "..", &"x".repeat(NAME_CHARS_MAX + 1)]
        {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_there_is_not_is_said_with_what_there_is() {
        let said = template("rsut").unwrap_err().to_string();
        assert!(said.contains("did you mean `rust`?") && said.contains("There are: `"), "{said}");
        let rust = template("rust").unwrap();
        assert_eq!(rust.kind(None).unwrap(), Some("filter"));
        let said = rust.kind(Some("poet")).unwrap_err().to_string();
        assert!(said.contains("`filter`, `mapper`"), "{said}");
        assert_eq!(filled_name("a/{{name}}/{{name_snake}}.toml.tmpl", "b-c"), "a/b-c/b_c.toml");
    }
}
