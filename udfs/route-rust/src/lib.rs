//! Sends access-log lines to a topic for each action.

use millstream_sdk::{Record, Reject};

/// `action-login` for a line that ends with `Action: Login`; the sink's own topic for one without an action. Names of topics are
/// ASCII, so that no other letter has to become a small one.
pub fn by_action(record: &Record) -> Result<Option<String>, Reject> {
    let Some((_, action)) = record.text()?.rsplit_once("Action: ") else { return Ok(None) };
    match action.trim_ascii().to_ascii_lowercase() {
        action if action.is_empty() => Err("the action is empty".into()),
        action => Ok(Some(format!("action-{action}"))),
    }
}

millstream_sdk::router!(by_action);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_by_their_action() {
        let of = |line: &'static str| by_action(&Record::of(line.as_bytes()));
        assert_eq!(of("User: Alice, Action: Login"), Ok(Some("action-login".into())));
        assert_eq!(of("no such thing"), Ok(None));
        assert_eq!(of("User: Alice, Action: ").unwrap_err().reason(), "the action is empty");
    }
}
