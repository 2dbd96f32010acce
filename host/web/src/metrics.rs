//! Metrics in Prometheus' text format. What the host counts is read anew at each scrape; what the server counts is here.
//!
//! | name | labels | what |
//! | --- | --- | --- |
//! | `millstream_info` | `pipeline`, `version` | always 1 |
//! | `millstream_uptime_seconds` | | since the host started |
//! | `millstream_ready` | | 1 when the pipeline does its work |
//! | `millstream_paused` | | 1 while the host was told to take no records |
//! | `millstream_commits_total`, `millstream_commit_seconds_total` | | intervals committed, and the time their commits took |
//! | `millstream_commit_outcomes_total` | `outcome` | how tries to commit ended: `committed`, `aborted` (tried again), `fenced`, `unknown` (then looked up), `fatal` |
//! | `millstream_rebalances_total` | `kind` | on Kafka: times that the group gave partitions (`assigned`), took them (`revoked`), or had taken them unseen (`lost`) |
//! | `millstream_restored_records_total`, `…_bytes_total` | | on Kafka: replayed from changelogs |
//! | `millstream_waiting_bytes` | | fetched records that wait to be worked on |
//! | `millstream_memory_bytes` | `what` | memory: `state-caches`, caches and write buffers of all states |
//! | `millstream_ends_age_seconds` | | on Kafka: how old the ends are by which lag is counted; grows while brokers do not answer |
//! | `millstream_lost_records_total` | | records that retention deleted before they were read |
//! | `millstream_dropped_records_total` | `step`, `reason` | records that left without a result |
//! | `millstream_global_table_lag_records` | `table`, `topic`, `partition` | written for a global table and not looked up yet |
//! | `millstream_tasks` | `state` | tasks of this host in the state |
//! | `millstream_task_state` | `task`, `state` | 1 for the state that the task is in |
//! | `millstream_task_records_total`, `…_results_total`, `…_dead_letters_total` | `task` | taken, written, dead-lettered |
//! | `millstream_sweep_looked_rows_total`, `millstream_sweep_migrated_rows_total`, `millstream_sweep_done` | `task`, `step` | states brought into the layout of the version in force |
//! | `millstream_task_stream_time_seconds` | `task` | its stream time |
//! | `millstream_task_state_bytes` | `task` | state in memory |
//! | `millstream_task_restore_done_offsets`, `…_restore_of_offsets` | `task` | while its state is restored: how far |
//! | `millstream_task_lag_records` | `task`, `topic`, `partition` | in the input and not committed yet |
//! | `millstream_function_version` | `function` | number of the version in force |
//! | `millstream_function_calls_total`, `…_records_total`, `…_seconds_total` | `function`, `version` | work of each version that is ready: in force, before it, on trial (`version` is `trial`) |
//! | `millstream_function_cpu_seconds_total` | `function`, `version` | of its seconds those of the CPU, estimated from one call in 16 |
//! | `millstream_function_faults_total` | `function`, `version`, `kind` | its calls that failed |
//! | `millstream_function_rejected_records_total` | `function`, `version` | records that it rejected |
//! | `millstream_function_dropped_records_total` | `function`, `version`, `reason` | records that left without a result because of it, as dead letters where `on-error` says so: `rejected`, `poisoned`, `no-such-topic`, `no-such-partition` |
//! | `millstream_function_log_lines_total` | `function`, `version`, `kind` | lines it logged: `written`, or `dropped` for being too many |
//! | `millstream_function_memory_bytes` | `function`, `version` | its largest instance |
//! | `millstream_topic_start_offset`, `…_end_offset`, `…_size_bytes` | `topic`, `partition` | what a topic holds |
//! | `millstream_http_requests_total` | `method`, `path`, `status` | requests answered |
//! | `millstream_http_request_seconds` | | how long that took, histogram |
//! | `millstream_http_requests_in_flight` | | being answered |

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::http::Method;
use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::api::Totals;
use crate::types::{Function, Standing, Task, TaskState, Topic};
use crate::{Api, Problem};

pub(crate) use prometheus_client::encoding::prometheus_text::CONTENT_TYPE as MEDIA_TYPE;

type Labels = Vec<(&'static str, String)>;
type Counts = Family<Labels, Counter<f64, AtomicU64>>;
type Values = Family<Labels, Gauge<f64, AtomicU64>>;

/// Families for one scrape.
#[derive(Default)]
struct Scrape(Registry);

impl Scrape {
    /// A counter; its name gets `_total` behind it.
    fn counter(&mut self, name: &str, help: &str) -> impl Fn(Labels, f64) + use<> {
        let family = Counts::default();
        self.0.register(name, help, family.clone());
        move |labels, value| {
            family.get_or_create(&labels).inc_by(value);
        }
    }

    fn gauge(&mut self, name: &str, help: &str) -> impl Fn(Labels, f64) + use<> {
        let family = Values::default();
        self.0.register(name, help, family.clone());
        move |labels, value| {
            family.get_or_create(&labels).set(value);
        }
    }

    fn text(&self) -> Result<String, Problem> {
        let mut text = String::new();
        encode(&mut text, &self.0)
            .map_err(|why| Problem::new(crate::Kind::Internal, format!("the metrics cannot be written: {why}")))?;
        Ok(text)
    }
}

/// What the host says, as text.
pub(crate) fn of_host(api: &dyn Api) -> Result<String, Problem> {
    let mut scrape = Scrape(Registry::with_prefix("millstream"));
    totals(&mut scrape, api);
    tasks(&mut scrape, &api.tasks()?);
    functions(&mut scrape, &api.functions()?);
    topics(&mut scrape, &api.topics()?);
    scrape.text()
}

fn totals(scrape: &mut Scrape, api: &dyn Api) {
    let (pipeline, totals) = (api.pipeline(), api.totals());
    let info = scrape.gauge("info", "What runs here; always 1");
    info(vec![("pipeline", pipeline.name), ("version", pipeline.host_version)], 1.0);
    scrape.gauge("uptime_seconds", "Seconds since the host started")(vec![], totals.uptime_seconds);
    let ready = api.not_ready().is_empty();
    scrape.gauge("ready", "1 when the pipeline does its work")(vec![], f64::from(u8::from(ready)));
    let paused = pipeline.state != Standing::Running;
    scrape.gauge("paused", "1 while the host was told to take no records")(vec![], f64::from(u8::from(paused)));
    scrape.counter("commits", "Intervals committed")(vec![], totals.commits as f64);
    scrape.counter("commit_seconds", "Seconds that commits took")(vec![], totals.commit_seconds);
    let lost = scrape.counter("lost_records", "Records that retention deleted before they were read");
    lost(vec![], totals.lost_records as f64);
    work(scrape, &totals);
    let dropped = scrape.counter("dropped_records", "Records that left without a result, by step and reason");
    for (step, reason, count) in totals.dropped {
        dropped(vec![("step", step), ("reason", reason)], count as f64);
    }
    let behind =
        scrape.gauge("global_table_lag_records", "Records of a global table's topic that are not looked up yet");
    for followed in totals.followed {
        let labels =
            [("table", followed.table), ("topic", followed.topic), ("partition", followed.partition.to_string())];
        behind(labels.into(), (followed.end - followed.offset).max(0) as f64);
    }
}

/// What is counted beside the commits themselves.
fn work(scrape: &mut Scrape, totals: &Totals) {
    let outcomes = scrape.counter("commit_outcomes", "How tries to commit ended");
    totals.outcomes.iter().for_each(|(outcome, n)| outcomes(vec![("outcome", (*outcome).into())], *n as f64));
    let rebalances = scrape.counter("rebalances", "What the group did with this host's partitions");
    totals.rebalances.iter().for_each(|(kind, n)| rebalances(vec![("kind", (*kind).into())], *n as f64));
    scrape.counter("restored_records", "Records replayed from changelogs")(vec![], totals.restored_records as f64);
    scrape.counter("restored_bytes", "Bytes replayed from changelogs")(vec![], totals.restored_bytes as f64);
    scrape.gauge("waiting_bytes", "Bytes of fetched records that wait")(vec![], totals.waiting_bytes as f64);
    let memory = scrape.gauge("memory_bytes", "Bytes of memory");
    totals.memory_bytes.iter().for_each(|(what, bytes)| memory(vec![("what", (*what).into())], *bytes as f64));
    if let Some(age) = totals.ends_age_seconds {
        scrape.gauge("ends_age_seconds", "Age of the ends by which lag is counted")(vec![], age);
    }
}

fn tasks(scrape: &mut Scrape, tasks: &[Task]) {
    let all = scrape.gauge("tasks", "Tasks of this host in the state");
    for state in TaskState::ALL {
        let count = tasks.iter().filter(|task| task.state == state).count();
        all(vec![("state", state.name().into())], count as f64);
    }
    let state = scrape.gauge("task_state", "1 for the state that the task is in");
    let records = scrape.counter("task_records", "Records taken and committed");
    let results = scrape.counter("task_results", "Records written and committed");
    let dead = scrape.counter("task_dead_letters", "Dead letters written");
    let time = scrape.gauge("task_stream_time_seconds", "Stream time, seconds since 1970");
    let bytes = scrape.gauge("task_state_bytes", "Bytes of state in memory");
    let restored = scrape.gauge("task_restore_done_offsets", "Offsets of its changelogs that were read");
    let to_restore = scrape.gauge("task_restore_of_offsets", "Offsets of its changelogs that are to be read");
    let looked = scrape.counter("sweep_looked_rows", "Stored states whose layout a sweep has looked at");
    let migrated = scrape.counter("sweep_migrated_rows", "States that a sweep has brought into the layout in force");
    let swept = scrape.gauge("sweep_done", "1 when no state of the step is in another layout");
    let lag = scrape.gauge("task_lag_records", "Records in the input that are not committed yet");
    for task in tasks {
        let label = || ("task", task.id());
        for other in TaskState::ALL {
            let here = f64::from(u8::from(task.state == other));
            state(vec![label(), ("state", other.name().into())], here);
        }
        if let Some(progress) = task.restored {
            restored(vec![label()], progress.done as f64);
            to_restore(vec![label()], progress.of as f64);
        }
        records(vec![label()], task.records as f64);
        results(vec![label()], task.results as f64);
        dead(vec![label()], task.dead_letters as f64);
        if let Some(ms) = task.stream_time {
            time(vec![label()], ms as f64 / 1e3);
        }
        bytes(vec![label()], task.state_bytes as f64);
        for sweep in &task.sweeps {
            let labels = || vec![label(), ("step", sweep.step.clone())];
            looked(labels(), sweep.looked as f64);
            migrated(labels(), sweep.migrated as f64);
            swept(labels(), f64::from(u8::from(sweep.done)));
        }
        for position in &task.positions {
            let behind = (position.end - position.offset).max(0);
            let place = [("topic", position.topic.clone()), ("partition", task.partition.to_string())];
            lag([label()].into_iter().chain(place).collect(), behind as f64);
        }
    }
}

fn functions(scrape: &mut Scrape, functions: &[Function]) {
    let number = scrape.gauge("function_version", "Number of the version in force");
    let calls = scrape.counter("function_calls", "Calls of a version");
    let records = scrape.counter("function_records", "Records that a version was called with");
    let seconds = scrape.counter("function_seconds", "Seconds that a version took");
    let cpu = scrape.counter("function_cpu_seconds", "Seconds of the CPU that a version took, estimated");
    let faults = scrape.counter("function_faults", "Calls of a version that failed, by kind");
    let rejected = scrape.counter("function_rejected_records", "Records that a version rejected");
    let dropped = scrape.counter("function_dropped_records", "Records that left without a result because of a version");
    let lines =
        scrape.counter("function_log_lines", "Lines that a version logged, or that were dropped for being too many");
    let memory = scrape.gauge("function_memory_bytes", "Bytes of memory of the largest instance");
    for function in functions {
        if let Some(version) = &function.version {
            number(vec![("function", function.name.clone())], version.number as f64);
        }
        let now = function.work.iter().map(|work| (function.version.as_ref().map(|version| version.number), work));
        for (version, work) in now.chain(function.others.iter().map(|other| (other.version, &other.work))) {
            let version = version.map_or_else(|| "trial".to_string(), |number| number.to_string());
            let labels = || vec![("function", function.name.clone()), ("version", version.clone())];
            calls(labels(), work.calls as f64);
            records(labels(), work.records as f64);
            seconds(labels(), work.seconds);
            cpu(labels(), work.cpu_seconds);
            rejected(labels(), work.rejected as f64);
            memory(labels(), work.memory_bytes as f64);
            let with = |kind: &str| labels().into_iter().chain([("kind", kind.to_string())]).collect::<Labels>();
            lines(with("written"), work.log_lines as f64);
            lines(with("dropped"), work.log_lines_dropped as f64);
            for (reason, count) in &work.dropped {
                dropped(labels().into_iter().chain([("reason", reason.clone())]).collect(), *count as f64);
            }
            work.faults.iter().for_each(|(kind, count)| faults(with(kind), *count as f64));
        }
    }
}

fn topics(scrape: &mut Scrape, topics: &[Topic]) {
    let start = scrape.gauge("topic_start_offset", "Offset of the oldest record kept");
    let end = scrape.gauge("topic_end_offset", "The offset that the next record will have");
    let bytes = scrape.gauge("topic_size_bytes", "Bytes that the partition takes");
    for topic in topics {
        for partition in &topic.partitions {
            let labels = || vec![("topic", topic.name.clone()), ("partition", partition.partition.to_string())];
            start(labels(), partition.start as f64);
            end(labels(), partition.end as f64);
            bytes(labels(), partition.bytes as f64);
        }
    }
}

/// What the server counts about itself.
pub(crate) struct Http {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    in_flight: Gauge,
}

impl Default for Http {
    fn default() -> Self {
        let requests = Family::default();
        let seconds = Histogram::new(exponential_buckets(0.0005, 4.0, 9));
        let in_flight = Gauge::default();
        let mut registry = Registry::with_prefix("millstream_http");
        registry.register("requests", "Requests answered", requests.clone());
        registry.register("request_seconds", "Seconds that answers took", seconds.clone());
        registry.register("requests_in_flight", "Requests being answered", in_flight.clone());
        Self { registry, requests, seconds, in_flight }
    }
}

/// A request being answered; it is counted out when this goes, also when its caller does.
pub(crate) struct InFlight<'a>(&'a Http);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

impl InFlight<'_> {
    /// It has been answered. `route` is the pattern of its path, so that callers cannot make series without end.
    pub fn end(self, method: &Method, route: &str, status: u16, took: Duration) {
        // Methods that callers make up are one.
        let known =
            [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];
        let method = if known.contains(method) { method.as_str() } else { "other" };
        let labels = vec![("method", method.into()), ("path", route.to_string()), ("status", status.to_string())];
        self.0.requests.get_or_create(&labels).inc();
        self.0.seconds.observe(took.as_secs_f64());
    }
}

impl Http {
    /// Counts a request in.
    pub fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(self)
    }

    /// Adds what is counted to the end of `text`.
    pub fn write(&self, text: &mut String) {
        // A string takes everything.
        let _ = encode(text, &self.registry);
    }
}
