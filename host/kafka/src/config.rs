//! Properties of the client: librdkafka's own, as the manifest gives them, and those that the host sets. Whatever would
//! break the promise is refused here, with the reason; what a topic must be set to is checked in [`crate::admin`].

mod rules;

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as RdError;
use rdkafka::types::RDKafkaConfRes;

use crate::native;

/// A transactional producer waits this long before it tries a request again. The default of 100 costs 95 ms between two
/// transactions: the first request of the next one finds the last one's markers still being written.
pub const RETRY_BACKOFF_MS: u32 = 5;
/// Brokers end an open transaction after this. A killed host's open transaction holds up all read-committed readers for as long.
pub const TRANSACTION_TIMEOUT_MS: u32 = 10_000;
/// Twice the time for which poisoned records are looked for, and some.
const TRANSACTION_TIMEOUT_MS_MIN: i64 = 5_000;
/// A transactional producer closes connections that it has not used for this long. librdkafka waits for a group's coordinator without
/// an end while no connection goes up or down: with one that was sent away, since the brokers no longer listed it, for ever
/// (confluentinc/librdkafka#5511 and #5456, open). Each closing makes it look again, so that a client that was given up for it
/// ([`crate::producer::Producer::send_offsets`]) comes to its end. Longer than a transaction takes, less up to two
/// seconds that librdkafka takes off: what is under way is not cut.
pub const PRODUCER_IDLE_MS: u32 = TRANSACTION_TIMEOUT_MS + 2_000;
/// Records wait this long for others of their partition, which is longer than it takes to hand in those of an interval; a flush, which
/// ends every interval, waits for none. librdkafka has one request of a partition under way and, while more wait whose time has come,
/// asks its socket without a pause (2.12.1, `rd_kafka_toppar_producer_serve`): with 5 ms that was a quarter of a host's CPU time.
pub const LINGER_MS: u32 = 100;
/// Small and fast, and most logs shrink to a third.
pub const COMPRESSION: &str = "lz4";
/// One request's records: bytes bound it, and with small records the default of 10 000 would come first.
pub const BATCH_RECORDS_MAX: u32 = 100_000;
/// Bytes of one request's records, before compression. Above a megabyte nothing is gained.
pub const BATCH_BYTES_MAX: u32 = 1_000_000;
/// What librdkafka keeps beside each record's value that waits to be sent: its own structure and a key of usual length.
pub const QUEUED_RECORD_BYTES: usize = 256;
/// The smallest budget of a producer's queue.
pub const QUEUE_BYTES_MIN: usize = 1 << 20;
/// How long a fetch waits when the partition's queue is full. The default of a second starves the other partitions.
pub const FETCH_QUEUE_BACKOFF_MS: u32 = 5;
const FETCH_QUEUE_BACKOFF_MS_MAX: i64 = 10;

const MECHANISMS: &str = "set PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";

/// Properties as given, all of them known, in range and harmless.
#[derive(Clone)]
pub struct Properties {
    given: BTreeMap<String, String>,
}

/// A property that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}`: {reason}; {instead}")]
pub struct PropertyError {
    /// Its name, as given.
    pub name: String,
    /// What is wrong with it. Never holds the value of a secret.
    pub reason: String,
    /// What to do instead.
    pub instead: String,
}

/// The group's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// Members agree among themselves.
    Classic,
    /// The broker assigns (KIP-848).
    Consumer,
}

impl Properties {
    /// Checks properties.
    ///
    /// # Errors
    /// Every property that is unknown, out of range or not the pipeline's to set, by name.
    pub fn new(given: BTreeMap<String, String>) -> Result<Self, Vec<PropertyError>> {
        let mut errors: Vec<_> = given.iter().filter_map(|(name, value)| check(name, value).err()).collect();
        let properties = Self { given };
        errors.extend(properties.missing());
        errors.extend(properties.at_odds());
        errors.sort_by(|a, b| a.name.cmp(&b.name));
        if errors.is_empty() { Ok(properties) } else { Err(errors) }
    }

    /// A property as given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|value| value.trim())
    }

    /// The protocol by which members of the group share partitions.
    pub fn group_protocol(&self) -> GroupProtocol {
        match self.get("group.protocol") {
            Some(value) if value.eq_ignore_ascii_case("consumer") => GroupProtocol::Consumer,
            _ => GroupProtocol::Classic,
        }
    }

    /// After how many milliseconds brokers end an open transaction.
    pub fn transaction_timeout_ms(&self) -> u32 {
        self.get("transaction.timeout.ms").and_then(|ms| ms.parse().ok()).unwrap_or(TRANSACTION_TIMEOUT_MS)
    }

    fn missing(&self) -> Option<PropertyError> {
        let given = |name| self.get(name).is_some_and(|value| !value.is_empty());
        if given("bootstrap.servers") || given("metadata.broker.list") {
            return None;
        }
        Some(PropertyError {
            name: "bootstrap.servers".into(),
            reason: "is missing".into(),
            instead: "say where the brokers are: `host:port`, several separated by commas".into(),
        })
    }

    /// Properties that are right alone and not together.
    fn at_odds(&self) -> Vec<PropertyError> {
        let mut errors = Vec::new();
        let mut error = |name: &str, reason: &str, instead: &str| {
            errors.push(PropertyError { name: name.into(), reason: reason.into(), instead: instead.into() });
        };
        if self.group_protocol() == GroupProtocol::Consumer {
            for name in ["session.timeout.ms", "heartbeat.interval.ms"] {
                if self.get(name).is_some() {
                    let reason = "with `group.protocol: consumer` the broker says it";
                    error(name, reason, "set it for the group at the broker (`kafka-configs.sh --entity-type groups`)");
                }
            }
        }
        let sasl = self.get("security.protocol").is_some_and(|p| p.to_ascii_lowercase().starts_with("sasl"));
        let mechanism = self.get("sasl.mechanism").or(self.get("sasl.mechanisms"));
        if sasl && mechanism.is_none_or(|m| m.eq_ignore_ascii_case("GSSAPI")) {
            let reason = "Kerberos (GSSAPI), which is librdkafka's default, is not compiled in";
            error("sasl.mechanism", reason, MECHANISMS);
        }
        // Without it the client waits for a token that nobody gives it, and says nothing.
        let unsecured =
            self.get("enable.sasl.oauthbearer.unsecure.jwt").is_some_and(|u| u.eq_ignore_ascii_case("true"));
        if sasl && mechanism.is_some_and(|m| m.eq_ignore_ascii_case("OAUTHBEARER")) && !unsecured {
            let reason = "what OAUTHBEARER gets its tokens by (OIDC) is not compiled in";
            error("sasl.mechanism", reason, MECHANISMS);
        }
        errors
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "millstream");
        config.extend(self.given.clone());
        config.set("allow.auto.create.topics", "false");
        // What is wanted of it is chosen where log lines are filtered; only debug lines cost something to make.
        let debug = self.get("debug").is_some_and(|contexts| !contexts.is_empty());
        let level = self.get("log_level").and_then(|level| level.parse().ok()).unwrap_or(if debug { 7 } else { 6 });
        config.set("log_level", level.to_string());
        config.set_log_level(log_level(level));
        config
    }

    /// A member of the group: static when it is given its instance's id.
    pub(crate) fn consumer(&self, group: &str, instance: Option<&str>) -> ClientConfig {
        let mut config = self.common();
        config.set("group.id", group);
        if let Some(instance) = instance {
            config.set("group.instance.id", instance);
        }
        match self.group_protocol() {
            GroupProtocol::Classic => config.set("partition.assignment.strategy", "range"),
            GroupProtocol::Consumer => config.set("group.remote.assignor", "range"),
        };
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config.set("isolation.level", "read_committed").set("auto.offset.reset", "error");
        if self.get("fetch.queue.backoff.ms").is_none() {
            config.set("fetch.queue.backoff.ms", FETCH_QUEUE_BACKOFF_MS.to_string());
        }
        config
    }

    /// A worker's transactional producer, whose queue may take `queue_bytes`.
    pub(crate) fn producer(&self, transactional_id: &str, queue_bytes: usize) -> ClientConfig {
        let mut config = self.producing(queue_bytes);
        let mut default = |name: &str, value: u32| {
            if self.get(name).is_none() {
                config.set(name, value.to_string());
            }
        };
        default("retry.backoff.ms", RETRY_BACKOFF_MS);
        default("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
        let idle_ms = self.get("connections.max.idle.ms").and_then(|ms| ms.parse().ok()).filter(|ms| *ms > 0);
        config.set("connections.max.idle.ms", idle_ms.unwrap_or(PRODUCER_IDLE_MS).min(PRODUCER_IDLE_MS).to_string());
        config.set("transactional.id", transactional_id);
        // A request may not outlive its transaction; librdkafka refuses to start with such a setting, which is right for consumers.
        let socket_ms: Option<u32> = self.get("socket.timeout.ms").and_then(|ms| ms.parse().ok());
        if socket_ms.is_some_and(|ms| ms > self.transaction_timeout_ms()) {
            config.remove("socket.timeout.ms");
        }
        config
    }

    /// A worker's producer without transactions. Its records wait for the brokers as long as it lives: one that was given up in front
    /// of others that were not would be a gap, see [`crate::producer::plain`].
    pub(crate) fn plain_producer(&self, queue_bytes: usize) -> ClientConfig {
        let mut config = self.producing(queue_bytes);
        config.set("enable.gapless.guarantee", "true").set("message.timeout.ms", "0");
        config
    }

    /// What both kinds of producer have in common.
    fn producing(&self, queue_bytes: usize) -> ClientConfig {
        let mut config = self.common();
        let mut default = |names: &[&str], value: &str| {
            if names.iter().all(|name| self.get(name).is_none()) {
                config.set(names[0], value);
            }
        };
        default(&["linger.ms", "queue.buffering.max.ms"], &LINGER_MS.to_string());
        default(&["compression.type", "compression.codec"], COMPRESSION);
        default(&["batch.num.messages"], &BATCH_RECORDS_MAX.to_string());
        default(&["batch.size"], &BATCH_BYTES_MAX.to_string());
        config.set("enable.idempotence", "true").set("acks", "all");
        // librdkafka counts the bytes of values only; half is for those, half for what it keeps beside them.
        let half = queue_bytes.max(QUEUE_BYTES_MIN) / 2;
        config.set("queue.buffering.max.kbytes", (half / 1024).to_string());
        config.set("queue.buffering.max.messages", (half / QUEUED_RECORD_BYTES).to_string());
        config
    }

    /// For asking and administrating: no group, no transaction.
    pub(crate) fn admin(&self) -> ClientConfig {
        self.common()
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.given.iter().map(|(name, value)| (name, if is_secret(name) { "…" } else { value }));
        f.debug_map().entries(shown).finish()
    }
}

/// Whether the value of a property is not to be shown anywhere.
pub fn is_secret(name: &str) -> bool {
    let parts = ["password", "secret", "passphrase", ".pem", "oauthbearer.config", "private.key"];
    parts.iter().any(|part| name.contains(part))
}

fn check(name: &str, value: &str) -> Result<(), PropertyError> {
    let error = |reason: String, instead: String| PropertyError { name: name.into(), reason, instead };
    if let Some(rule) = rules::RULES.iter().find(|rule| rule.names.contains(&name))
        && !rule.allowed.admits(value)
    {
        return Err(error(rule.reason.into(), rule.instead.into()));
    }
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(RdError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            let instead = match nearest(name) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "librdkafka's CONFIGURATION.md lists them all; the Java client's names differ".into(),
            };
            Err(error("librdkafka has no such property".into(), instead))
        }
        Err(RdError::ClientConfig(..)) if is_secret(name) => {
            Err(error("librdkafka does not take its value".into(), "its value is not shown, as it is a secret".into()))
        }
        Err(RdError::ClientConfig(_, reason, ..)) => {
            let instead = "librdkafka's CONFIGURATION.md tells what it may be".into();
            let reason = reason.trim();
            if reason.contains("must be set through dedicated") {
                return Err(error("it is a function of a program, not a text".into(), "remove it".into()));
            }
            Err(error(reason.to_string(), instead))
        }
        Err(other) => Err(error(other.to_string(), "remove what is not text".into())),
    }
}

/// Names that librdkafka does not list: other names of a property, and properties without a default.
const UNLISTED: [&str; 30] = [
    "bootstrap.servers",
    "compression.type",
    "linger.ms",
    "max.in.flight",
    "max.partition.fetch.bytes",
    "metadata.broker.list",
    "retries",
    "sasl.mechanism",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.sigalgs.list",
    "topic.blacklist",
];
/// Below this two names have nothing to do with each other.
const LIKENESS_MIN: f64 = 0.85;

fn nearest(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase().replace(['_', '-'], ".");
    let usable = |known: &String| rules::RULES.iter().all(|rule| !rule.names.contains(&known.as_str()));
    let known = native::property_names().into_iter().chain(UNLISTED.map(String::from)).filter(usable);
    let like = known.map(|known| (strsim::jaro_winkler(&name, &known), known));
    like.filter(|(like, _)| *like >= LIKENESS_MIN).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

fn log_level(level: u8) -> RDKafkaLogLevel {
    match level {
        0..=2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

#[cfg(test)]
mod tests {
    use super::rules::Allowed;
    use super::*;

    fn properties(given: &[(&str, &str)]) -> Result<Properties, Vec<PropertyError>> {
        let brokers = [("bootstrap.servers", "127.0.0.1:9")];
        let all = brokers.iter().chain(given).map(|(name, value)| ((*name).into(), (*value).into()));
        Properties::new(all.collect())
    }

    fn refusal(name: &str, value: &str) -> Option<PropertyError> {
        properties(&[(name, value)]).err().map(|mut errors| {
            assert_eq!(errors.len(), 1, "{errors:?}");
            errors.remove(0)
        })
    }

    #[test]
    fn what_breaks_the_promise_is_refused_with_a_reason() {
        for rule in rules::RULES {
            for name in rule.names {
                let wrong = match rule.allowed {
                    Allowed::Nothing => "true".to_string(),
                    Allowed::UpTo(most) => (most + 1).to_string(),
                    Allowed::From(least) => (least - 1).to_string(),
                };
                let error = refusal(name, &wrong).unwrap_or_else(|| panic!("{name} = {wrong} is let through"));
                assert_eq!((error.name.as_str(), error.reason.as_str()), (*name, rule.reason));
                let limit = match rule.allowed {
                    Allowed::UpTo(limit) | Allowed::From(limit) => limit.to_string(),
                    _ => continue,
                };
                assert_eq!(refusal(name, &limit), None);
            }
        }
    }

    #[test]
    fn everything_else_passes_and_reaches_all_clients() {
        let given = [
            ("session.timeout.ms", "7000"),
            ("statistics.interval.ms", "1000"),
            ("debug", "eos,cgrp"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.password", "hunter2"),
            ("linger.ms", "0"),
        ];
        let all = properties(&given).unwrap();
        let (consumer, producer) = (all.consumer("g", Some("h")), all.producer("g-h-0", 8 << 20));
        for (name, value) in given.iter().filter(|(name, _)| !is_secret(name)) {
            assert_eq!(consumer.get(name), Some(*value));
            assert_eq!(producer.get(name), Some(*value));
            assert_eq!(all.admin().get(name), Some(*value));
        }
        assert_eq!(producer.get("sasl.password"), Some("hunter2"));
        assert!(!format!("{all:?} {consumer:?}").contains("hunter2"));
    }

    #[test]
    fn the_hosts_own_settings() {
        let all = properties(&[]).unwrap();
        let producer = all.producer("p-h-0", 64 << 20);
        let of = |name| producer.get(name).unwrap_or_default().to_string();
        assert_eq!(of("retry.backoff.ms"), "5");
        assert_eq!(of("transaction.timeout.ms"), "10000");
        assert_eq!(of("compression.type"), "lz4");
        assert_eq!(of("queue.buffering.max.kbytes"), (32 << 10).to_string());
        assert_eq!(of("queue.buffering.max.messages"), ((32 << 20) / 256).to_string());
        assert!(all.producer("p", 1).create_native_config().is_ok(), "the smallest budget");
        let consumer = all.consumer("p", Some("h"));
        assert_eq!(consumer.get("partition.assignment.strategy"), Some("range"));
        assert_eq!(consumer.get("isolation.level"), Some("read_committed"));
        assert_eq!(consumer.get("group.remote.assignor"), None);
        let new = properties(&[("group.protocol", "consumer")]).unwrap();
        assert_eq!(new.group_protocol(), GroupProtocol::Consumer);
        assert_eq!(new.consumer("p", None).get("group.remote.assignor"), Some("range"));
        assert_eq!(new.consumer("p", None).get("partition.assignment.strategy"), None);
    }

    #[test]
    fn idle_connections_of_producers_are_closed_in_any_case() {
        let of = |given: &[(&str, &str)]| {
            let all = properties(given).unwrap();
            let idle = |config: ClientConfig| config.get("connections.max.idle.ms").map(str::to_string);
            (idle(all.producer("p", 0)), idle(all.consumer("p", None)))
        };
        let (own, text) = (Some(PRODUCER_IDLE_MS.to_string()), |ms: &str| Some(ms.to_string()));
        assert_eq!(of(&[]), (own.clone(), None));
        for (given, producer) in [("0", own.clone()), ("600000", own), ("5000", text("5000"))] {
            assert_eq!(of(&[("connections.max.idle.ms", given)]), (producer, text(given)));
        }
    }

    #[test]
    fn a_long_socket_timeout_is_for_consumers_only() {
        let long = properties(&[("socket.timeout.ms", "60000")]).unwrap();
        assert_eq!(long.consumer("p", None).get("socket.timeout.ms"), Some("60000"));
        assert_eq!(long.producer("p", 0).get("socket.timeout.ms"), None);
    }

    #[test]
    fn unknown_names_come_with_what_was_meant() {
        for (wrong, right) in [
            ("bootstrap.server", "bootstrap.servers"),
            ("sesion.timeout.ms", "session.timeout.ms"),
            ("sasl.user", "sasl.username"),
            ("compression_type", "compression.type"),
        ] {
            let error = refusal(wrong, "x").unwrap();
            assert_eq!(error.instead, format!("did you mean `{right}`?"), "{wrong}");
        }
        assert!(refusal("qwerty", "1").unwrap().instead.contains("CONFIGURATION.md"));
    }

    #[test]
    fn names_that_are_not_listed_are_known() {
        for name in UNLISTED {
            let known = !matches!(refusal(name, "x"), Some(e) if e.reason.contains("no such"));
            assert!(known && !native::property_names().iter().any(|listed| listed == name), "{name}");
        }
    }

    #[test]
    fn values_are_checked_and_secrets_not_shown() {
        assert!(refusal("session.timeout.ms", "0").unwrap().reason.contains("outside allowed range 1..3600000"));
        assert!(refusal("group.protocol", "streams").unwrap().reason.contains("group.protocol"));
        assert!(refusal("sasl.jaas.config", "x").unwrap().instead.contains("sasl.username"));
        assert!(refusal("ssl.truststore.location", "x").unwrap().reason.contains("ssl.ca.location"));
        let error = refusal("ssl.key.password\0", "hunter2").unwrap();
        assert!(!error.to_string().contains("hunter2"));
        let callback = refusal("rebalance_cb", "x").unwrap();
        assert_eq!(callback.reason, "it is a function of a program, not a text");
    }

    #[test]
    fn some_are_wrong_together() {
        assert_eq!(Properties::new(BTreeMap::new()).unwrap_err()[0].name, "bootstrap.servers");
        let errors = properties(&[("group.protocol", "consumer"), ("session.timeout.ms", "7000")]).unwrap_err();
        assert_eq!(errors[0].name, "session.timeout.ms");
        let errors = properties(&[("security.protocol", "SASL_PLAINTEXT")]).unwrap_err();
        assert!(errors[0].to_string().contains("SCRAM-SHA-256"), "{errors:?}");
        let oauth = [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")];
        let errors = properties(&oauth).unwrap_err();
        assert!(errors[0].to_string().contains("tokens"), "{errors:?}");
        assert!(properties(&[&oauth[..], &[("enable.sasl.oauthbearer.unsecure.jwt", "true")]].concat()).is_ok());
    }
}
