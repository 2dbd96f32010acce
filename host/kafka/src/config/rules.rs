//! Which properties a pipeline may not set, each with its reason and with what to do instead. A table; nothing is applied here.

/// What a property may be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Nothing.
    Nothing,
    /// A number up to this one.
    UpTo(i64),
    /// A number from this one on.
    From(i64),
}

impl Allowed {
    pub fn admits(self, value: &str) -> bool {
        let number = || value.trim().parse::<i64>();
        match self {
            Allowed::Nothing => false,
            Allowed::UpTo(most) => number().is_ok_and(|n| n <= most),
            Allowed::From(least) => number().is_ok_and(|n| n >= least),
        }
    }
}

/// A rule about a property and its other names.
pub(super) struct Rule {
    pub names: &'static [&'static str],
    pub allowed: Allowed,
    /// Why: what would break.
    pub reason: &'static str,
    /// What to do instead.
    pub instead: &'static str,
}

const fn never(names: &'static [&'static str], reason: &'static str, instead: &'static str) -> Rule {
    Rule { names, allowed: Allowed::Nothing, reason, instead }
}

/// Offsets committed by the client outside of the transaction would be ahead of the results, or behind them.
const OFFSETS: &str = "offsets are committed in the transaction with the results that they stand for, by nothing else";

pub(super) const RULES: &[Rule] = &[
    never(
        &["group.id"],
        "the consumer group is the pipeline: its offsets and transactional ids are found by that name",
        "name the pipeline with `pipeline:`",
    ),
    never(
        &["group.instance.id"],
        "a host is a static member by the id in its state directory, so that a restart finds its tasks and its state again",
        "remove it; each host has its own state directory",
    ),
    never(
        &["partition.assignment.strategy", "group.remote.assignor"],
        "a task reads the same partition number of all its topics, which only `range` assigns together",
        "remove it; the host asks for `range` with either protocol",
    ),
    never(&["group.protocol.type"], "the host is a consumer", "remove it; `group.protocol` chooses the protocol"),
    never(
        &["enable.auto.commit", "auto.commit.enable", "auto.commit.interval.ms", "enable.auto.offset.store"],
        OFFSETS,
        "remove it; `commit-interval` says how often",
    ),
    never(&["offset.store.method", "offset.store.path", "offset.store.sync.interval.ms"], OFFSETS, "remove it"),
    never(
        &["isolation.level"],
        "results of transactions that are open or were aborted must not be read",
        "remove it; sources are read committed",
    ),
    never(
        &["auto.offset.reset"],
        "an offset that is gone is an error to be told, never a jump that loses or doubles records",
        "say `start: earliest` or `start: latest` at the source",
    ),
    never(
        &["enable.partition.eof", "consume.callback.max.messages"],
        "the host's own reading depends on it",
        "remove it",
    ),
    never(
        &["queued.max.messages.kbytes", "queue.buffering.max.kbytes", "queue.buffering.max.messages"],
        "memory is bounded as a whole, and this queue's share follows from it",
        "remove it; the host divides its budget",
    ),
    Rule {
        names: &["fetch.queue.backoff.ms"],
        allowed: Allowed::UpTo(super::FETCH_QUEUE_BACKOFF_MS_MAX),
        reason: "a full queue of one partition holds up the fetches of the others for this long",
        instead: "leave it out or set at most 10",
    },
    never(
        &["transactional.id"],
        "each worker's id is made of pipeline, host and worker, so that a restarted host ends its own open transaction",
        "remove it",
    ),
    never(
        &["enable.idempotence", "enable.gapless.guarantee"],
        "without it a retry could write a record twice or out of order",
        "remove it; it is on",
    ),
    never(
        &["acks", "request.required.acks"],
        "a transaction is only as safe as its records, which all in-sync replicas must have",
        "remove it; it is `all`. `min.insync.replicas` of the topic says how many those are",
    ),
    Rule {
        names: &["max.in.flight", "max.in.flight.requests.per.connection"],
        allowed: Allowed::UpTo(5),
        reason: "a broker remembers the last 5 requests of a producer; with more in flight a retry could go unnoticed",
        instead: "leave it out or set at most 5",
    },
    Rule {
        names: &["retries", "message.send.max.retries"],
        allowed: Allowed::From(1),
        reason: "a record is tried until its transaction's time is over",
        instead: "leave it out; `transaction.timeout.ms` bounds the time",
    },
    never(
        &["message.timeout.ms", "delivery.timeout.ms"],
        "a record has as long as its transaction",
        "set `transaction.timeout.ms`",
    ),
    Rule {
        names: &["transaction.timeout.ms"],
        allowed: Allowed::From(super::TRANSACTION_TIMEOUT_MS_MIN),
        reason: "looking for a poisoned record and a slow broker must fit in one transaction",
        instead: "leave it out (10000) or set at least 5000; brokers allow 900000 by default",
    },
    never(&["queuing.strategy", "msg_order_cmp"], "records of a partition are written in order", "remove it"),
    never(
        &["partitioner", "partitioner_cb", "sticky.partitioning.linger.ms"],
        "the host says the partition of each record itself: keys as Kafka's Java producer does it",
        "remove it",
    ),
    never(
        &["delivery.report.only.error"],
        "where a changelog is restored from is known from the reports of what was delivered",
        "remove it",
    ),
    never(
        &["allow.auto.create.topics"],
        "a topic whose name has a typo would come to be, with the wrong number of partitions",
        "create the topic; the host creates its internal ones",
    ),
    never(
        &["sasl.jaas.config"],
        "it is the Java client's, and names Java classes",
        "set `sasl.mechanism`, `sasl.username` and `sasl.password`",
    ),
    never(
        &["plugin.library.paths", "ssl.engine.location", "ssl.engine.id", "ssl.providers"],
        "it loads foreign code into the host",
        "remove it",
    ),
    never(
        &["test.mock.num.brokers", "test.mock.broker.rtt"],
        "nothing is kept by a broker that is made up",
        "remove it",
    ),
    never(
        &["log.queue", "log.thread.name"],
        "the client's log lines go to the host's log",
        "remove it; `debug` chooses what is told",
    ),
];
