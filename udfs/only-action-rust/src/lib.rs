//! Keeps access-log lines of one action, which the manifest names.

use millstream_sdk::{Filter, Record, Reject, Settings};

/// Keeps lines of one action.
pub struct OnlyAction {
    field: String,
}

impl OnlyAction {
    /// Takes the setting `action`.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self { field: format!("Action: {}", settings.required("action")?) })
    }
}

impl Filter for OnlyAction {
    fn keep(&self, record: &Record<'_>) -> Result<bool, Reject> {
        Ok(record.text()?.ends_with(&self.field))
    }
}

const SETTINGS: &str = r#"{
    "type": "object",
    "properties": { "action": { "type": "string" } },
    "required": ["action"],
    "additionalProperties": false
}"#;

millstream_sdk::functions! {
    /// Keeps access-log lines of one action.
    "only-action": filter = OnlyAction::new, settings = SETTINGS;
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::start;

    #[test]
    fn the_action_is_that_of_the_settings() {
        let logouts = start(FUNCTIONS, "only-action", &Settings::from([("action", "Logout")])).unwrap();
        let lines = ["User: Alice, Action: Login", "User: Alice, Action: Logout"];
        let kept = logouts.keep(&lines.map(|line| Record::of(line.as_bytes())).into_iter().collect()).unwrap();
        assert_eq!(kept.bits, [0b10]);
    }

    #[test]
    fn without_its_setting_it_does_not_start() {
        let error = start(FUNCTIONS, "only-action", &Settings::default()).err();
        assert_eq!(error, Some("the setting `action` is missing".into()));
    }
}
