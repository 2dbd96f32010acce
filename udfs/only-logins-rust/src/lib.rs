//! Keeps access-log lines of logins.

use millstream_sdk::{Record, Reject};

/// Whether the line says `Action: Login`. A value that is no text is refused.
pub fn only_logins(record: &Record) -> Result<bool, Reject> {
    Ok(record.text()?.contains("Action: Login"))
}

millstream_sdk::filter!(only_logins);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_kept() {
        assert_eq!(only_logins(&Record::of(b"User: Alice, Action: Login")), Ok(true));
        assert_eq!(only_logins(&Record::of(b"User: Alice, Action: Logout")), Ok(false));
        assert!(only_logins(&Record::of(b"\xff")).is_err());
    }
}
