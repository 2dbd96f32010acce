//! jq's language over one record: compiled once for each instance, run for each record. The only file that knows jaq.

use std::fmt;

use jaq_core::load::{Arena, Error, File, Loader, span};
use jaq_core::{Compiler, Ctx, Native, Vars, compile, data, unwrap_valr};
use jaq_json::{Num, Val, read};
use millstream_sdk::{Record, Reject};
use serde::de::IgnoredAny;

type Data = data::JustLut<Val>;

/// What looks at the machine, or speaks to it, and is taken out.
const GONE: [&str; 10] = [
    "now",
    "env",
    "localtime",
    "strflocaltime",
    "halt",
    "halt_error",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
];

/// The variables of an expression.
const VARIABLES: [&str; 2] = ["$key", "$timestamp"];

/// An expression that was compiled.
pub struct Expression {
    /// The setting that it comes from, for messages.
    name: &'static str,
    filter: compile::Filter<Native<Data>>,
}

/// A record as expressions see it.
pub struct Input {
    value: Val,
    variables: [Val; 2],
}

/// A result.
pub struct Value {
    name: &'static str,
    value: Val,
}

impl Input {
    /// The error says why it cannot be seen.
    pub fn of(record: &Record<'_>) -> Result<Self, Reject> {
        let bytes = record.value.ok_or("the record has no value")?;
        // jaq reads more than JSON.
        serde_json::from_slice::<IgnoredAny>(bytes)
            .map_err(|why| Reject::new(format!("the value is not JSON: {why}")))?;
        let value = read::parse_single(bytes).map_err(|why| Reject::new(format!("the value is not JSON: {why}")))?;
        let key = match record.key.map(std::str::from_utf8) {
            None => Val::Null,
            Some(Ok(key)) => Val::from(key.to_owned()),
            Some(Err(_)) => return Err(Reject::new("the key is not UTF-8")),
        };
        Ok(Self { value, variables: [key, Val::Num(Num::from_integral(record.timestamp))] })
    }
}

impl Expression {
    /// Compiles the text of a setting; the error says where it is wrong.
    pub fn new(name: &'static str, text: &str) -> Result<Self, String> {
        let wrong = |part: &str, why: String| {
            let at = text.get(..span(text, part).start).map_or(1, |before| before.chars().count() + 1);
            format!("the setting `{name}` is no expression at column {at}: {why}, in `{text}`")
        };
        let found = |part: &str| if part.is_empty() { "its end".to_string() } else { format!("`{part}`") };
        let arena = Arena::default();
        let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let definitions = definitions.filter(|definition| !GONE.contains(&definition.name));
        let modules = Loader::new(definitions).load(&arena, File { code: text, path: () }).map_err(|errors| {
            let first = errors.into_iter().next().map(|(_, error)| error);
            match first {
                Some(Error::Lex(all)) => all.first().map(|(expected, part)| {
                    wrong(part, format!("expected {}, found {}", expected.as_str(), found(part)))
                }),
                Some(Error::Parse(all)) => all.first().map(|(expected, part)| {
                    wrong(part, format!("expected {}, found {}", expected.as_str(), found(part)))
                }),
                Some(Error::Io(all)) => all.first().map(|(part, why)| wrong(part, why.clone())),
                None => None,
            }
            .unwrap_or_else(|| wrong(text, "it cannot be read".into()))
        })?;
        let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let functions = functions.filter(|(name, _, _)| !GONE.contains(name));
        let compiled = Compiler::default().with_funs(functions).with_global_vars(VARIABLES).compile(modules);
        let filter = compiled.map_err(|errors| {
            let first = errors.iter().flat_map(|(_, errors)| errors.iter()).next();
            first.map_or_else(
                || wrong(text, "it cannot be compiled".into()),
                |(part, what)| wrong(part, format!("there is no {} `{part}`", what.as_str())),
            )
        })?;
        Ok(Self { name, filter })
    }

    /// Results one after the other, until one is an error.
    fn run<'a>(&'a self, input: &Input) -> impl Iterator<Item = Result<Value, Reject>> + 'a {
        let context = Ctx::<Data>::new(&self.filter.lut, Vars::new(input.variables.clone()));
        let results = self.filter.id.run((context, input.value.clone())).map(unwrap_valr);
        results.map(|result| match result {
            Ok(value) => Ok(Value { name: self.name, value }),
            Err(why) => Err(Reject::new(format!("the setting `{}`: {why}", self.name))),
        })
    }

    /// The first result.
    pub fn first(&self, input: &Input) -> Result<Option<Value>, Reject> {
        self.run(input).next().transpose()
    }

    /// The result, of which there must be one.
    pub fn only(&self, input: &Input) -> Result<Value, Reject> {
        let mut results = self.run(input);
        let none = || Reject::new(format!("the setting `{}` gives no result", self.name));
        let first = results.next().ok_or_else(none)??;
        match results.next().transpose()? {
            None => Ok(first),
            Some(_) => Err(Reject::new(format!("the setting `{}` gives several results", self.name))),
        }
    }

    /// All results.
    pub fn all(&self, input: &Input) -> Result<Vec<Value>, Reject> {
        self.run(input).collect()
    }
}

impl Value {
    /// Neither `false` nor `null`.
    pub fn is_true(&self) -> bool {
        !matches!(self.value, Val::Null | Val::Bool(false))
    }

    /// A whole number.
    pub fn milliseconds(&self) -> Option<i64> {
        let Val::Num(number) = &self.value else { return None };
        let text = number.to_string();
        let whole = |real: f64| (real.fract() == 0.0 && real.abs() < 2f64.powi(53)).then_some(real as i64);
        text.parse().ok().or_else(|| whole(text.parse().ok()?))
    }

    /// As a key: text as it is, null for none, all else as JSON.
    pub fn into_key(self) -> Result<Option<Vec<u8>>, Reject> {
        match self.value {
            Val::TStr(text) => Ok(Some(text.to_vec())),
            _ => self.into_json(),
        }
    }

    /// As a value: null for none, all else as JSON.
    pub fn into_json(self) -> Result<Option<Vec<u8>>, Reject> {
        if matches!(self.value, Val::Null) {
            return Ok(None);
        }
        let json = self.value.to_string().into_bytes();
        // jaq writes more than JSON: not-a-number, bytes, keys that are no text.
        match serde_json::from_slice::<IgnoredAny>(&json) {
            Ok(_) => Ok(Some(json)),
            Err(_) => Err(Reject::new(format!("the setting `{}` gives {self}, which is not JSON", self.name))),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.value)
    }
}
