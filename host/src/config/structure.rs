//! Form: does the tree fit the manifest's schema? Its findings in words for people, and the tree without what does not fit.
//!
//! What does not fit is cut away until the rest fits, so that names and meaning are checked in the same run. Names and
//! meaning are not looked at here.

use std::collections::BTreeSet;

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::hints::hint;
use super::manifest::{self, MANIFEST_VERSION, OPERATORS};
use super::problem::{Problem, listed, nearest};
use super::text::Node;

/// Most rounds of cutting; each takes something away, and an entry has few levels.
const ROUNDS_MAX: usize = 8;
/// From here on not every whole number is one of floating point.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// Most characters of a value in a message; all of it stands in the line below.
const SHOWN_CHARACTERS_MAX: usize = 60;
/// Sections that hold entries by name.
pub const SECTIONS: [&str; 4] = ["functions", "sources", "steps", "sinks"];
/// What later versions bring: section, field.
const NOT_YET: [(&str, &[&str]); 4] = [
    ("", &["marker-interval", "stores"]),
    ("sources", &["pattern", "max-idle", "offset-gone"]),
    ("steps", &["router", "to", "retention", "timers"]),
    ("sinks", &["router", "partitioner"]),
];

/// A path in the tree, as keys and numbers of items.
pub type Path = Vec<String>;

/// What fits the schema, and where something was cut away.
pub struct Fitting {
    /// Fits the schema.
    pub json: Value,
    /// Places from which something was cut.
    pub cut: BTreeSet<Path>,
}

/// Checks the form of a tree.
pub fn check(tree: &Node, problems: &mut Vec<Problem>) -> Fitting {
    let schema = manifest::schema();
    let mut json = whole_numbers(tree.to_json());
    let mut cut = BTreeSet::new();
    let validator = match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        Err(why) => {
            problems
                .push(Problem::error(0..0, format!("the manifest's schema is broken, a fault of this program: {why}")));
            return Fitting { json: json!({}), cut };
        }
    };
    let teller = Teller { tree, schema: &schema };
    for round in 0..ROUNDS_MAX {
        let cuts = findings(&validator, &teller, &json, (round == 0).then_some(&mut *problems));
        if cuts.is_empty() {
            break;
        }
        for path in cuts {
            remove(&mut json, &path);
            cut.insert(path);
        }
        mend_root(&mut json);
    }
    Fitting { json, cut }
}

/// `4.0` is the whole number 4 to the schema; here it becomes one where a whole number stands, `config` left as it is.
fn whole_numbers(mut json: Value) -> Value {
    let whole = |value: &mut Value| {
        let real = value.as_f64().filter(|real| value.is_f64() && real.fract() == 0.0 && real.abs() < WHOLE_MAX);
        if let Some(real) = real {
            *value = json!(real as i64);
        }
    };
    json.get_mut("version").map(whole);
    for section in ["sources", "steps", "sinks"] {
        for entry in json.get_mut(section).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            entry.get_mut("partitions").map(whole);
            entry.pointer_mut("/start/time").map(whole);
        }
    }
    json
}

/// What has to be cut; told to `problems` in the first round only, as later rounds find what cutting has left open.
fn findings(
    validator: &Validator,
    teller: &Teller<'_>,
    json: &Value,
    problems: Option<&mut Vec<Problem>>,
) -> Vec<Path> {
    let mut told = Vec::new();
    let mut cuts = Vec::new();
    for error in validator.iter_errors(json) {
        cuts.extend(cuts_of(&error));
        teller.tell(&error, json, &mut told);
    }
    if let Some(problems) = problems {
        problems.append(&mut told);
    }
    cuts
}

/// The smallest things without which the error would be gone, as far as they can be left out.
fn cuts_of(error: &ValidationError<'_>) -> Vec<Path> {
    let path = segments(error);
    let within = |key: &String| path.iter().cloned().chain([key.clone()]).collect::<Path>();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => return unexpected.iter().map(within).collect(),
        Kind::PropertyNames { error } => {
            return error.instance().as_str().map(|k| within(&k.to_string())).into_iter().collect();
        }
        _ => {}
    }
    let section = path.first().is_some_and(|first| SECTIONS.contains(&first.as_str()));
    let depth = if section { path.len().min(3) } else { path.len() };
    vec![path[..depth].to_vec()]
}

fn remove(json: &mut Value, path: &[String]) {
    let Some((last, before)) = path.split_last() else { return };
    let parent = before.iter().try_fold(json, |json, segment| json.get_mut(segment.as_str()));
    if let Some(Value::Object(object)) = parent {
        object.remove(last);
    }
}

/// What the root cannot be without.
fn mend_root(json: &mut Value) {
    if !json.is_object() {
        *json = json!({});
    }
    if let Value::Object(root) = json {
        root.entry("pipeline").or_insert_with(|| json!("pipeline"));
        root.entry("sources").or_insert_with(|| json!({}));
    }
}

fn segments(error: &ValidationError<'_>) -> Path {
    pointer(error.instance_path().as_str())
}

/// A JSON pointer as keys.
fn pointer(text: &str) -> Path {
    text.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect()
}

/// Turns the schema's findings into problems.
struct Teller<'a> {
    tree: &'a Node,
    schema: &'a Value,
}

impl Teller<'_> {
    fn tell(&self, error: &ValidationError<'_>, json: &Value, out: &mut Vec<Problem>) {
        let path = segments(error);
        if self.node(&path).is_some_and(Node::is_refused) {
            return;
        }
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                out.extend(unexpected.iter().map(|key| self.unknown_field(error, &path, key)));
            }
            Kind::PropertyNames { error: inner } => {
                let name = inner.instance().as_str().unwrap_or_default().to_string();
                let place = path.iter().cloned().chain([name.clone()]).collect::<Path>();
                let message = format!("`{name}` is not {}", self.title(inner).unwrap_or("a name"));
                out.push(Problem::error(self.tree.key_place(&place), message));
            }
            Kind::Required { property } => {
                out.extend(self.missing(error, &path, property.as_str().unwrap_or_default()))
            }
            Kind::OneOfNotValid { context } | Kind::AnyOf { context } => match choices(error, self.schema) {
                Some(fields) => out.extend(self.none_of(&path, &fields, json)),
                None => self.no_form_fits(error, &path, context, json, out),
            },
            Kind::OneOfMultipleValid { .. } => out.extend(self.several_of(error, &path, json)),
            _ => out.push(self.wrong_value(error, &path)),
        }
    }

    fn node(&self, path: &[String]) -> Option<&Node> {
        path.iter().try_fold(self.tree, |node, segment| node.get(segment))
    }

    fn unknown_field(&self, error: &ValidationError<'_>, path: &[String], key: &str) -> Problem {
        let place = path.iter().cloned().chain([key.to_string()]).collect::<Path>();
        let span = self.tree.key_place(&place);
        if is_later(context(path), key) {
            let message = format!("`{key}` is not in this version yet");
            return Problem::error(span, message).help("leave it out; docs/manifest.md lists what there is");
        }
        let fields = self.parent(error).and_then(|s| s.get("properties")).and_then(Value::as_object);
        let known: Vec<String> = fields.map(|f| f.keys().cloned().collect()).unwrap_or_default();
        let message = match owner(path) {
            Some(owner) => format!("{owner} has no field `{key}`"),
            None => format!("a manifest has no section `{key}`"),
        };
        let problem = Problem::error(span, message);
        let operators = || OPERATORS.map(String::from).to_vec();
        match key.split_once(':') {
            Some((field, value)) if known.iter().any(|k| k == field) => {
                problem.help(format!("a space goes behind the `:`, as in `{field}: {value}`"))
            }
            // Of all fields of a step an operator is what was meant most likely.
            _ if context(path) == "steps" && nearest(key, known.iter().map(String::as_str)).is_none() => {
                problem.nearest(key, &operators(), "operators")
            }
            _ => problem.nearest(key, &known, "fields"),
        }
    }

    fn missing(&self, error: &ValidationError<'_>, path: &[String], property: &str) -> Option<Problem> {
        // What a step reads is missing in it, whatever its operator.
        if let Some(because) = self.depends(error, path, property).filter(|_| property != "from") {
            let key: Path = path.iter().cloned().chain([because.clone()]).collect();
            let message = format!("`{because}` needs `{property}` beside it");
            let help = match property {
                "group" => "add `group: key`",
                "outputs" => "name the outputs, in the order of the function's answers: `outputs: [a, b]`",
                "advance" => "add the distance between starts, such as `advance: 5s`; side by side, use `tumbling`",
                "step" => "add by how much each is longer than the one before, such as `step: 1h`",
                _ => "",
            };
            return Some(Problem::error(self.tree.key_place(&key), message).help(help));
        }
        let stands_in = |key: &str| {
            let field = key.split_once(':').map_or(key, |(field, _)| field);
            is_later(context(path), key) || key != property && nearest(field, [property].into_iter()).is_some()
        };
        if self.node(path)?.keys().any(stands_in) {
            return None;
        }
        let message = match owner(path) {
            Some(owner) => format!("{owner} has no `{property}`"),
            None => format!("the manifest has no `{property}`"),
        };
        let help = match property {
            "pipeline" => "name it: `pipeline: NAME`",
            "sources" => "add one: `sources: { lines: { topic: input-topic } }`",
            "from" => "say what it reads: `from: NAME` of a source or step",
            "topic" => "add `topic: NAME`",
            "component" => "add the path of its file: `component: FILE.wasm`",
            _ => "",
        };
        Some(Problem::error(self.tree.key_place(path), message).help(help))
    }

    /// The field that is there and must not be without `property`, where that is the error.
    fn depends(&self, error: &ValidationError<'_>, path: &[String], property: &str) -> Option<String> {
        let (before, _) = error.schema_path().as_str().split_once("/dependentRequired")?;
        let rules = self.schema.pointer(before)?.get("dependentRequired")?.as_object()?;
        let needs =
            |key: &str| rules.get(key).and_then(Value::as_array).is_some_and(|r| r.iter().any(|p| p == property));
        self.node(path)?.keys().find(|key| needs(key)).map(str::to_string)
    }

    /// None of several fields is there. Says nothing where a field that is not known stands in for it.
    fn none_of(&self, path: &[String], fields: &[String], json: &Value) -> Option<Problem> {
        let there = json.pointer(&as_pointer(path)).and_then(Value::as_object).cloned().unwrap_or_default();
        let known = self.entry_fields(fields);
        if there.keys().any(|key| !known.contains(key)) {
            return None;
        }
        let (what, help) = if is_operators(fields) {
            ("has no operator", format!("add one of {}", listed(&OPERATORS)))
        } else {
            ("has no kind of window", "add `tumbling: 10s`, or `session: 30m`, or another kind".to_string())
        };
        let message = format!("{} {what}", owner(path).unwrap_or_default());
        Some(Problem::error(self.tree.key_place(path), message).help(help))
    }

    fn several_of(&self, error: &ValidationError<'_>, path: &[String], json: &Value) -> Option<Problem> {
        let fields = choices(error, self.schema)?;
        let there = json.pointer(&as_pointer(path))?.as_object()?;
        // In the order of the text.
        let node = self.node(path)?;
        let given: Vec<&str> =
            node.keys().filter(|k| there.contains_key(*k) && fields.iter().any(|f| f == k)).collect();
        let [first, second, ..] = given.as_slice() else { return None };
        let at = |key: &str| self.tree.key_place(&path.iter().cloned().chain([key.to_string()]).collect::<Path>());
        let (what, help) = match is_operators(&fields) {
            true => ("operators", "make each a step of its own, the second reading `from` the first"),
            false => ("kinds of window", "keep one of them"),
        };
        let message = format!("{} has {} {what}: {}", owner(path).unwrap_or_default(), given.len(), listed(&given));
        Some(Problem::error(at(second), message).label("one too many").also(at(first), "the first").help(help))
    }

    /// A value that may have one of several forms has none of them: told by the form that it comes nearest to.
    fn no_form_fits(
        &self,
        error: &ValidationError<'_>,
        path: &[String],
        context: &[Vec<ValidationError<'static>>],
        json: &Value,
        out: &mut Vec<Problem>,
    ) {
        let deeper = |errors: &&Vec<ValidationError<'static>>| {
            errors.iter().all(|e| {
                let inner = segments(e);
                inner.len() > path.len() || matches!(e.kind(), Kind::Pattern { .. } | Kind::MinItems { .. })
            })
        };
        if let Some(errors) = context.iter().find(deeper) {
            errors.iter().for_each(|e| self.tell(e, json, out));
            return;
        }
        // A mapping where a word or one of several mappings is right.
        let forms =
            self.schema.pointer(error.schema_path().as_str()).and_then(Value::as_array).cloned().unwrap_or_default();
        let fields = forms.iter().filter_map(|f| f.get("properties").and_then(Value::as_object));
        let known: Vec<String> = fields.flat_map(|f| f.keys().cloned()).collect();
        let given = error.instance().as_object().cloned().unwrap_or_default();
        let strange: Vec<&String> = given.keys().filter(|key| !known.contains(key)).collect();
        if known.is_empty() || strange.is_empty() {
            out.push(self.wrong_value(error, path));
        }
        for key in strange.into_iter().filter(|_| !known.is_empty()) {
            let place: Path = path.iter().cloned().chain([key.clone()]).collect();
            let message = format!("{} has no field `{key}`", owner(path).unwrap_or_default());
            out.push(Problem::error(self.tree.key_place(&place), message).nearest(key, &known, "fields"));
        }
    }

    fn wrong_value(&self, error: &ValidationError<'_>, path: &[String]) -> Problem {
        let span = self.tree.place(path);
        let value = error.instance();
        let name = path.iter().rev().find(|s| s.parse::<usize>().is_err()).map_or("manifest", String::as_str);
        let expected = self.title(error).map(str::to_string).unwrap_or_else(|| expected(error.kind()));
        if value.is_null() {
            let problem = Problem::error(self.tree.key_place(path), format!("`{name}` has no value"));
            return problem.help(format!("write {expected}, or leave the field out"));
        }
        let message = match error.kind() {
            Kind::Minimum { .. } | Kind::Maximum { .. } if name == "version" => {
                format!(
                    "version {value} of the manifest's form is not known; this program reads version {MANIFEST_VERSION}"
                )
            }
            Kind::Minimum { .. } | Kind::Maximum { .. } => {
                format!("`{name}` cannot be {value}: {}", self.bounds(error))
            }
            Kind::MinItems { .. } => format!("`{name}` is an empty list"),
            _ => format!("{} is not {expected}", shown(value)),
        };
        let options = self.options(error);
        let near = nearest(value.as_str().unwrap_or_default(), options.iter().map(String::as_str));
        let near = near.map(|name| format!("did you mean `{name}`?")).unwrap_or_default();
        Problem::error(span, message).help(near).help(hint(path, value, &expected))
    }

    fn bounds(&self, error: &ValidationError<'_>) -> String {
        let bound = |key: &str| self.parent(error).and_then(|s| s.get(key)).map(Value::to_string).unwrap_or_default();
        match (bound("minimum"), bound("maximum")) {
            (least, most) if most.is_empty() => format!("at least {least}"),
            (least, most) => format!("a whole number from {least} to {most}"),
        }
    }

    /// Words that the schema lists for this value.
    fn options(&self, error: &ValidationError<'_>) -> Vec<String> {
        let Some(schema) = self.parent(error) else { return Vec::new() };
        let one = |s: &Value| s.get("const").and_then(Value::as_str).map(str::to_string);
        let listed = |s: &Value| s.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
        let own = listed(schema).iter().filter_map(|v| v.as_str().map(str::to_string)).collect::<Vec<_>>();
        let forms = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
        own.into_iter().chain(forms.iter().filter_map(one)).collect()
    }

    /// Fields of the entry that has these choices.
    fn entry_fields(&self, fields: &[String]) -> Vec<String> {
        let definitions = self.schema.get("$defs").and_then(Value::as_object);
        let all = definitions.into_iter().flat_map(|d| d.values());
        let properties = all.filter_map(|s| s.get("properties").and_then(Value::as_object));
        let entry = properties.into_iter().find(|p| fields.iter().all(|f| p.contains_key(f)));
        entry.map(|p| p.keys().cloned().collect()).unwrap_or_default()
    }

    /// The part of the schema whose keyword failed.
    fn parent(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
        self.schema.pointer(parent)
    }

    fn title(&self, error: &ValidationError<'_>) -> Option<&str> {
        self.parent(error)?.get("title")?.as_str().filter(|_| !error.schema_path().as_str().starts_with("/type"))
    }
}

/// The fields of a `oneOf` that says which of several fields is there.
fn choices(error: &ValidationError<'_>, schema: &Value) -> Option<Vec<String>> {
    let forms = schema.pointer(error.schema_path().as_str())?.as_array()?;
    let field = |form: &Value| match form.as_object().filter(|f| f.len() == 1)?.get("required")?.as_array()?.as_slice()
    {
        [Value::String(field)] => Some(field.clone()),
        _ => None,
    };
    forms.iter().map(field).collect()
}

fn is_operators(fields: &[String]) -> bool {
    fields.len() == OPERATORS.len()
}

/// In which kind of mapping a path ends: `""` the root, a section's name for its entries, else the last key.
fn context(path: &[String]) -> &str {
    match path {
        [] => "",
        [section, _] if SECTIONS.contains(&section.as_str()) => section,
        [.., last] => last,
    }
}

/// Whether a later version has this field.
fn is_later(context: &str, key: &str) -> bool {
    NOT_YET.iter().any(|(section, fields)| *section == context && fields.contains(&key))
}

/// Whose fields are meant, for a sentence; `None` for the manifest itself.
fn owner(path: &[String]) -> Option<String> {
    let kind = |section: &str| section.trim_end_matches('s').to_string();
    Some(match path {
        [] => return None,
        [section, name] if SECTIONS.contains(&section.as_str()) => format!("{} `{name}`", kind(section)),
        [section, name, rest @ ..] if SECTIONS.contains(&section.as_str()) => {
            format!("`{}` of {} `{name}`", rest.join("."), kind(section))
        }
        rest => format!("`{}`", rest.join(".")),
    })
}

fn as_pointer(path: &[String]) -> String {
    path.iter().map(|s| format!("/{}", s.replace('~', "~0").replace('/', "~1"))).collect()
}

/// What a value of a kind would be, where the schema has no title for it.
fn expected(kind: &Kind) -> String {
    use jsonschema::error::TypeKind;
    let one = |kind: String| match kind.as_str() {
        "object" => "a mapping of names to values".to_string(),
        "array" => "a list".to_string(),
        "string" => "a text".to_string(),
        "boolean" => "`true` or `false`".to_string(),
        "integer" => "a whole number".to_string(),
        other => format!("a {other}"),
    };
    match kind {
        Kind::Type { kind: TypeKind::Single(kind) } => one(kind.to_string()),
        _ => "right here".to_string(),
    }
}

/// A value in a sentence.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_string(),
        Value::String(text) if text.chars().count() > SHOWN_CHARACTERS_MAX => {
            format!("`{}…`", text.chars().take(SHOWN_CHARACTERS_MAX).collect::<String>())
        }
        Value::String(text) => format!("`{}`", text.replace('\n', "\\n").replace('\r', "\\r")),
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "a mapping".to_string(),
        other => format!("`{other}`"),
    }
}

/// An object's keys, for entries of a section.
pub fn entries<'a>(json: &'a Value, section: &str) -> Option<&'a Map<String, Value>> {
    json.get(section)?.as_object()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_yet_is_not_there() {
        let schema = manifest::schema();
        let fields = |pointer: &str| schema.pointer(pointer).and_then(Value::as_object).cloned().unwrap();
        for (section, later) in NOT_YET {
            let pointer = match section {
                "" => "/properties",
                "sources" => "/$defs/Source/properties",
                "steps" => "/$defs/Step/properties",
                _ => "/$defs/Sink/properties",
            };
            let there = fields(pointer);
            assert!(!there.is_empty());
            assert_eq!(later.iter().filter(|f| there.contains_key(**f)).count(), 0, "{section}");
        }
        let step = fields("/$defs/Step/properties");
        assert!(OPERATORS.iter().all(|operator| step.contains_key(*operator)));
    }

    #[test]
    fn cutting_ends_with_what_fits() {
        let text = "pipeline: []\nsources: { a: { topic: { b: 1 }, x: 1 }, '?': 3 }\nsteps: [1]\nsinks: { c: { from: a, topic: b, y: 2 } }\n";
        let mut problems = Vec::new();
        let tree = super::super::text::read(text, &mut problems).unwrap();
        let fitting = check(&tree, &mut problems);
        assert!(jsonschema::validator_for(&manifest::schema()).unwrap().is_valid(&fitting.json));
        let expected =
            json!({ "pipeline": "pipeline", "sources": {}, "sinks": { "c": { "from": "a", "topic": "b" } } });
        assert_eq!(fitting.json, expected);
    }

    #[test]
    fn pointers_and_paths() {
        assert_eq!(pointer("/steps/a~1b~0c/0"), ["steps", "a/b~c", "0"]);
        assert_eq!(as_pointer(&pointer("/steps/a~1b~0c")), "/steps/a~1b~0c");
        assert!(pointer("").is_empty());
    }
}
