//! Times of the Kafka client and of the pipeline that are right alone and fit badly together. Arithmetic only: what a property may
//! be at all, the client knows.

use std::collections::BTreeMap;

use millstream_kafka::config::TRANSACTION_TIMEOUT_MS;

use super::{PropertyRemark, Severity};

/// `session.timeout.ms`, where nothing says otherwise.
const SESSION_MS: i64 = 45_000;

/// `heartbeat.interval.ms`, where nothing says otherwise.
const HEARTBEAT_MS: i64 = 3_000;

/// `max.poll.interval.ms`, where nothing says otherwise.
const POLL_MS: i64 = 300_000;

/// Heartbeats that a session should have room for: one or two may be lost.
const HEARTBEATS_MIN: i64 = 3;

/// Brokers' own least session time-out (`group.min.session.timeout.ms`).
const BROKER_SESSION_MS_MIN: i64 = 6_000;

/// Brokers' own longest transaction (`transaction.max.timeout.ms`).
const BROKER_TRANSACTION_MS_MAX: i64 = 900_000;

/// About as long as brokers need for a transaction: shorter intervals only queue up behind each other.
const TRANSACTION_MS: i64 = 10;

/// The manifest's own field.
pub const COMMIT_INTERVAL: &str = "commit-interval";

/// What there is to say.
pub fn remarks(given: &BTreeMap<String, String>, commit_interval_ms: i64) -> Vec<PropertyRemark> {
    let number = |name: &str| given.get(name).and_then(|value| value.trim().parse::<i64>().ok());
    let classic = !given.get("group.protocol").is_some_and(|p| p.trim().eq_ignore_ascii_case("consumer"));
    let mut out = Vec::new();
    let mut say = |severity, name: &str, message: String, help: String| {
        out.push(PropertyRemark { severity, name: name.into(), message, help });
    };
    let session = number("session.timeout.ms").unwrap_or(SESSION_MS);
    if classic {
        let heartbeat = number("heartbeat.interval.ms").unwrap_or(HEARTBEAT_MS);
        let named =
            if given.contains_key("session.timeout.ms") { "session.timeout.ms" } else { "heartbeat.interval.ms" };
        if session < heartbeat * HEARTBEATS_MIN {
            let message = format!(
                "a session of {session} ms has no room for {HEARTBEATS_MIN} heartbeats, one each {heartbeat} ms"
            );
            let help = format!(
                "a heartbeat that is late would cost the host its tasks: a session of {} ms or more",
                heartbeat * HEARTBEATS_MIN
            );
            say(Severity::Warning, named, message, help);
        }
        let poll = number("max.poll.interval.ms").unwrap_or(POLL_MS);
        if poll < session {
            let message = format!(
                "`max.poll.interval.ms` ({poll}) is shorter than the session ({session} ms), which the client refuses"
            );
            let named = if given.contains_key("max.poll.interval.ms") { "max.poll.interval.ms" } else { named };
            say(Severity::Error, named, message, "leave `max.poll.interval.ms` out (300000)".into());
        }
        if session < BROKER_SESSION_MS_MIN {
            let message =
                format!("brokers refuse sessions below {BROKER_SESSION_MS_MIN} ms, unless they are told otherwise");
            say(Severity::Warning, named, message, "`group.min.session.timeout.ms` of the brokers says it".into());
        }
    }
    let transaction = number("transaction.timeout.ms").unwrap_or_else(|| TRANSACTION_TIMEOUT_MS.into());
    if transaction > BROKER_TRANSACTION_MS_MAX {
        let message =
            format!("brokers refuse transactions above {BROKER_TRANSACTION_MS_MAX} ms, unless they are told otherwise");
        say(
            Severity::Warning,
            "transaction.timeout.ms",
            message,
            "`transaction.max.timeout.ms` of the brokers says it".into(),
        );
    } else if classic && transaction > session {
        let message = format!(
            "a host that dies holds up all who read its results for up to {transaction} ms, longer than its tasks wait for a new host ({session} ms)"
        );
        let named =
            if given.contains_key("transaction.timeout.ms") { "transaction.timeout.ms" } else { "session.timeout.ms" };
        say(Severity::Warning, named, message, "a `transaction.timeout.ms` below `session.timeout.ms`".into());
    }
    if commit_interval_ms > transaction / 2 {
        let message = format!(
            "what {commit_interval_ms} ms of work write goes in one transaction, and brokers end one after {transaction} ms (`transaction.timeout.ms`)"
        );
        say(Severity::Warning, COMMIT_INTERVAL, message, "a commit interval of half of that at the most".into());
    }
    if commit_interval_ms < TRANSACTION_MS {
        let message =
            format!("each commit is a transaction of every worker, which takes brokers about {TRANSACTION_MS} ms");
        say(Severity::Warning, COMMIT_INTERVAL, message, format!("{TRANSACTION_MS}ms or more"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_fit_badly_are_told() {
        let named = |given: &[(&str, &str)], commit_interval_ms| -> Vec<String> {
            let given = given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            remarks(&given, commit_interval_ms).into_iter().map(|remark| remark.name).collect()
        };
        let (session, heartbeat, poll) = ("session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms");
        let transaction = "transaction.timeout.ms";
        assert_eq!(named(&[], 100), [""; 0]);
        assert_eq!(named(&[(session, "10000")], 10), [""; 0], "as long as a transaction");
        assert_eq!(named(&[(session, "12000"), (heartbeat, "4001")], 100), [session]);
        assert_eq!(named(&[(heartbeat, "15001")], 100), [heartbeat]);
        assert_eq!(named(&[(session, "12000"), (poll, "11999")], 100), [poll]);
        assert_eq!(named(&[(session, "5999")], 100), [session, session, session], "heartbeats, brokers, transactions");
        assert_eq!(named(&[(transaction, "45001")], 100), [transaction]);
        assert_eq!(named(&[(transaction, "900001")], 100), [transaction]);
        assert_eq!(named(&[], 5_001), [COMMIT_INTERVAL]);
        assert_eq!(named(&[(transaction, "40000")], 5_001), [""; 0]);
        assert_eq!(named(&[], 9), [COMMIT_INTERVAL]);
        assert_eq!(
            named(&[("group.protocol", "consumer"), (transaction, "60000")], 100),
            [""; 0],
            "the brokers say the session"
        );
    }
}
