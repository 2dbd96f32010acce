//! Settings from the manifest, by name and as text, with errors that say which setting is wrong. Not their schema.

use std::{cell::RefCell, fmt::Display, str::FromStr};

/// What the manifest gives a function under `config`: text by name; nested values are JSON text.
///
/// It remembers which settings were asked for, so that one nobody asks for (a slip of the pen) is refused.
///
/// ```
/// use millstream_sdk::Settings;
///
/// let settings = Settings::from([("field", "bytes"), ("least", "10")]);
/// assert_eq!(settings.required("field"), Ok("bytes"));
/// assert_eq!(settings.parsed::<u32>("least"), Ok(Some(10)));
/// assert_eq!(settings.get("other"), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pairs: Vec<(String, String)>,
    asked: RefCell<Vec<String>>,
}

impl Settings {
    /// The text of a setting; `None` when it is not given.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut asked = self.asked.borrow_mut();
        if !asked.iter().any(|known| known == name) {
            asked.push(name.to_owned());
        }
        self.pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The text of a setting that must be given.
    ///
    /// # Errors
    /// In words for people, when it is missing.
    pub fn required(&self, name: &str) -> Result<&str, String> {
        self.get(name).ok_or_else(|| format!("the setting `{name}` is missing"))
    }

    /// A setting as a number or whatever else is written as text; `None` when it is not given.
    ///
    /// # Errors
    /// In words for people, when its text is not such a value.
    pub fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, String> {
        let parse = |text: &str| text.parse().map_err(|error| format!("the setting `{name}` is `{text}`: {error}"));
        self.get(name).map(parse).transpose()
    }

    /// Refuses settings that nobody asked for.
    pub(crate) fn all_known(&self) -> Result<(), String> {
        let asked = self.asked.borrow();
        let Some((name, _)) = self.pairs.iter().find(|(name, _)| !asked.contains(name)) else { return Ok(()) };
        if asked.is_empty() {
            return Err(format!("it takes no settings, and `{name}` was given"));
        }
        let known: Vec<_> = asked.iter().map(|name| format!("`{name}`")).collect();
        Err(format!("there is no setting `{name}`; there are {}", known.join(", ")))
    }
}

impl FromIterator<(String, String)> for Settings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self { pairs: pairs.into_iter().collect(), asked: RefCell::default() }
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Settings {
    fn from(pairs: [(&str, &str); N]) -> Self {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_missing_or_no_number_is_named() {
        let settings = Settings::from([("least", "ten")]);
        assert_eq!(settings.required("field"), Err("the setting `field` is missing".into()));
        let error = "the setting `least` is `ten`: invalid digit found in string";
        assert_eq!(settings.parsed::<u32>("least"), Err(error.into()));
        assert_eq!(settings.parsed::<u32>("most"), Ok(None));
    }

    #[test]
    fn a_setting_nobody_asks_for_is_refused_with_those_there_are() {
        let settings = Settings::from([("field", "a"), ("feild", "b")]);
        assert_eq!(settings.all_known(), Err("it takes no settings, and `field` was given".into()));
        settings.required("field").unwrap();
        settings.get("least");
        assert_eq!(settings.all_known(), Err("there is no setting `feild`; there are `field`, `least`".into()));
        settings.get("feild");
        assert_eq!(settings.all_known(), Ok(()));
    }
}
