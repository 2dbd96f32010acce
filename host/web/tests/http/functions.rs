//! The pipeline, its functions, and who watches it.

use millstream_web::api::Trying;
use millstream_web::types::trials::Probation;
use millstream_web::types::{Deployed, Function, History, Pipeline, Standing, Task, Together};
use millstream_web::{COMPONENT_BYTES_MAX, Kind, SETTINGS_BYTES_MAX};
use serde_json::json;

use crate::call::{Running, running};

fn read<T: serde::de::DeserializeOwned>(host: &Running, path: &str) -> T {
    serde_json::from_value(host.get(path).json()).unwrap()
}

fn deploy(host: &Running, query: &str, component: &[u8]) -> crate::call::Answer {
    host.send("PUT", &format!("/v1/functions/f{query}"), "application/wasm", component)
}

#[test]
fn what_runs_here_is_told() {
    let host = running();
    let pipeline: Pipeline = read(&host, "/v1/pipeline");
    assert_eq!((pipeline.name.as_str(), pipeline.functions), ("pipe", vec!["f".to_string()]));
    let tasks: Vec<Task> = read(&host, "/v1/tasks?pipeline=pipe");
    assert_eq!(tasks.iter().map(Task::id).collect::<Vec<_>>(), ["0_0", "0_1"]);
    let functions: Vec<Function> = read(&host, "/v1/functions");
    assert_eq!(functions[0].version.as_ref().unwrap().number, 1);
    assert_eq!(host.get("/healthz").json(), json!({"status": "alive"}));
    assert_eq!(host.get("/readyz").json(), json!({"ready": true, "state": "running"}));
}

#[test]
fn a_host_is_paused_and_resumed_and_is_ready_meanwhile() {
    let host = running();
    let told = |path: &str, method: &str| -> Pipeline {
        let answer = if method == "GET" { host.get(path) } else { host.send(method, path, "", b"") };
        serde_json::from_value(answer.json()).unwrap()
    };
    assert_eq!(told("/v1/pipeline", "GET").state, Standing::Running);
    assert_eq!(told("/v1/pipeline/pause?pipeline=pipe", "POST").state, Standing::Paused);
    assert_eq!(told("/v1/pipeline", "GET").state, Standing::Paused);
    assert_eq!(host.get("/readyz").json(), json!({"ready": true, "state": "paused"}));
    let metrics = host.get("/metrics");
    assert!(metrics.text().contains("\nmillstream_paused 1.0\n") && metrics.text().contains("millstream_ready 1.0"));
    let other = host.send("POST", "/v1/pipeline/resume?pipeline=other", "", b"").problem();
    assert_eq!(other.kind(), Some(Kind::OtherPipeline));
    assert_eq!(told("/v1/pipeline", "GET").state, Standing::Paused, "it was not this one that was meant");
    assert_eq!(told("/v1/pipeline/resume", "POST").state, Standing::Running);
    let refused = host.call("POST", "/v1/pipeline/pause", &[], b"").problem();
    assert_eq!(refused.kind(), Some(Kind::TokenMissing));
}

#[test]
fn what_is_not_ready_says_why() {
    let host = running();
    *host.fake.reasons.lock().unwrap() = vec!["task 0_1 has stopped: a trap".into(), "task 1_0 is starting".into()];
    let answer = host.get("/readyz");
    let problem = answer.problem();
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(problem.reasons, ["task 0_1 has stopped: a trap", "task 1_0 is starting"]);
    assert_eq!(host.get("/healthz").status, 200, "it lives all the same");
    assert!(host.get("/metrics").text().contains("\nmillstream_ready 0.0\n"));
}

#[test]
fn a_deploy_says_what_was_checked_and_what_runs() {
    let host = running();
    let settings = "%7B%22field%22%3A%22IP%22%7D";
    let answer = deploy(&host, &format!("?pipeline=pipe&origin=new.wasm&settings={settings}"), b"\0asm");
    let deployed: Deployed = serde_json::from_value(answer.json()).unwrap();
    let version = deployed.version.unwrap();
    assert_eq!((version.number, deployed.previous), (2, Some(1)));
    assert_eq!((version.origin.as_str(), deployed.inspection), ("new.wasm", json!({"bytes": 4})));
    assert_eq!(version.settings, json!({"field": "IP"}));
    let kept: Deployed = serde_json::from_value(deploy(&host, "", b"\0asm").json()).unwrap();
    let version = kept.version.unwrap();
    assert_eq!((version.settings, version.origin.as_str()), (json!({"kept": true}), "HTTP"));
    let refused = deploy(&host, "", b"bad").problem();
    assert_eq!(refused.kind(), Some(Kind::ComponentRefused));
    assert_eq!(refused.reasons, ["it imports `a`", "it exports nothing"]);
    let back = host.send("POST", "/v1/functions/f/rollback", "application/json", br#"{"to": 1}"#);
    let back: Deployed = serde_json::from_value(back.json()).unwrap();
    let version = back.version.unwrap();
    assert_eq!((version.number, version.origin.as_str()), (4, "rollback to version 1"));
    let back: Deployed = serde_json::from_value(host.send("POST", "/v1/functions/f/rollback", "", b"").json()).unwrap();
    assert_eq!(back.version.unwrap().origin, "rollback to version 3");
    let history: History = read(&host, "/v1/functions/f/history");
    assert_eq!((history.versions.len(), history.rejected.len()), (5, 1));
}

#[test]
fn a_deploy_says_how_it_is_tried() {
    let host = running();
    for (query, trying) in [
        ("", Trying::Usual),
        ("?probation=none", Trying::Not),
        ("?probation=500ms", Trying::For(500)),
        ("?probation=2m", Trying::For(120_000)),
    ] {
        assert_eq!(deploy(&host, query, b"\0asm").status, 200, "{query}");
        assert_eq!(*host.fake.trying.lock().unwrap(), trying);
    }
    for (query, part) in [
        ("soon", "`soon` is not a time such as `30s`"),
        ("0s", "`0s` is not a time"),
        ("3m", "is longer than 120 s; to watch a version for longer hold it"),
        ("99999999999999999999s", "is not a time"),
    ] {
        let problem = deploy(&host, &format!("?probation={query}"), b"\0asm").problem();
        assert_eq!(problem.kind(), Some(Kind::BadParameter));
        assert!(problem.detail.contains(part), "{}", problem.detail);
    }
    for (query, replay) in [("?replay=100000", 100_000), ("?probation=hold&replay=5", 5), ("?probation=500ms", 0)] {
        assert_eq!(deploy(&host, query, b"\0asm").status, 200, "{query}");
        assert_eq!(*host.fake.replay.lock().unwrap(), replay);
    }
    for (query, part) in [
        ("replay=100001", "replay: 100001 records are more than the 100000"),
        ("probation=none&replay=5", "replay: a version that is not tried is given no records first"),
        ("replay=some", "replay"),
    ] {
        let problem = deploy(&host, &format!("?{query}"), b"\0asm").problem();
        assert_eq!(problem.kind(), Some(Kind::BadParameter), "{query}");
        assert!(problem.detail.contains(part), "{}", problem.detail);
    }
    let promote = || host.send("POST", "/v1/functions/f/promote", "", b"");
    assert_eq!(promote().problem().kind(), Some(Kind::NotOnTrial));
    let held: Deployed = serde_json::from_value(deploy(&host, "?probation=hold", b"\0asm").json()).unwrap();
    assert_eq!(held.version, None);
    let probation: Probation = read(&host, "/v1/functions/f/probation");
    assert!(probation.open && probation.held);
    let promoted: Deployed = serde_json::from_value(promote().json()).unwrap();
    assert!(promoted.version.is_some());
    deploy(&host, "?probation=hold", b"\0asm");
    let given_up: Probation =
        serde_json::from_value(host.send("DELETE", "/v1/functions/f/probation", "", b"").json()).unwrap();
    assert!(!given_up.open);
}

#[test]
fn components_are_given_back() {
    let host = running();
    let answer = host.get("/v1/functions/f/component?version=1");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/wasm"));
    assert_eq!(answer.text(), "component 1");
    assert_eq!(host.get("/v1/functions/f/component").text(), "component 1", "the one in force");
    assert_eq!(host.get("/v1/functions/f/component?version=7").problem().kind(), Some(Kind::UnknownVersion));
    assert_eq!(host.get("/v1/functions/g/component").problem().kind(), Some(Kind::UnknownFunction));
}

#[test]
fn a_call_for_another_pipeline_does_nothing() {
    let host = running();
    for (method, path) in [
        ("PUT", "/v1/functions/f?pipeline=other"),
        ("POST", "/v1/functions/f/rollback?pipeline=other"),
        ("POST", "/v1/functions/f/promote?pipeline=other"),
        ("GET", "/v1/functions/f/probation?pipeline=other"),
        ("DELETE", "/v1/functions/f/probation?pipeline=other"),
        ("GET", "/v1/functions/f/history?pipeline=other"),
        ("GET", "/v1/functions?pipeline=other"),
        ("GET", "/v1/tasks?pipeline=other"),
    ] {
        let body = if method == "PUT" { "x" } else { "" };
        let problem = host.send(method, path, "", body.as_bytes()).problem();
        assert_eq!(problem.kind(), Some(Kind::OtherPipeline), "{path}");
        assert_eq!(problem.detail, "the pipeline `pipe` runs here, not `other`");
    }
    let history: History = read(&host, "/v1/functions/f/history");
    assert_eq!((history.versions.len(), history.rejected.len()), (1, 0));
}

#[test]
fn components_and_settings_are_bounded() {
    let host = running();
    assert_eq!(deploy(&host, "", &vec![b'x'; COMPONENT_BYTES_MAX]).status, 200);
    let large = deploy(&host, "", &vec![b'x'; COMPONENT_BYTES_MAX + 1]).problem();
    assert_eq!(large.kind(), Some(Kind::BodyTooLarge));
    let settings = |bytes: usize| format!("?settings=%7B{}%7D", "%20".repeat(bytes - 2));
    assert_eq!(deploy(&host, &settings(SETTINGS_BYTES_MAX), b"x").status, 200);
    let large = deploy(&host, &settings(SETTINGS_BYTES_MAX + 1), b"x").problem();
    assert!(large.detail.contains("16385 bytes; at most 16384"), "{}", large.detail);
    assert_eq!(deploy(&host, &format!("?origin={}", "ä".repeat(1_024).replace('ä', "%C3%A4")), b"x").status, 200);
    let long = deploy(&host, &format!("?origin={}", "o".repeat(1_025)), b"x").problem();
    assert!(long.detail.contains("1025 characters; at most 1024"), "{}", long.detail);
    assert_eq!(deploy(&host, "", b"").problem().kind(), Some(Kind::BadBody));
    let body = [b"{}", &[b' '; 4_096][..]].concat();
    let large = host.send("POST", "/v1/functions/f/rollback", "", &body).problem();
    assert_eq!(large.kind(), Some(Kind::BodyTooLarge));
}

#[test]
fn metrics_are_those_that_are_documented() {
    let host = running();
    host.send("POST", "/v1/topics/in/records", "text/plain", b"a\nb\nc\n");
    let answer = host.get("/metrics");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "millstream_info{pipeline=\"pipe\",version=\"0.1.0\"} 1.0",
        "millstream_uptime_seconds 12.5",
        "millstream_ready 1.0",
        "millstream_commits_total 7.0",
        "millstream_commit_seconds_total 0.25",
        "millstream_lost_records_total 9.0",
        "millstream_dropped_records_total{step=\"counts\",reason=\"late\"} 4.0",
        "millstream_global_table_lag_records{table=\"rates\",topic=\"fx\",partition=\"1\"} 3.0",
        "millstream_commit_outcomes_total{outcome=\"aborted\"} 2.0",
        "millstream_rebalances_total{kind=\"assigned\"} 3.0",
        "millstream_restored_records_total 40.0",
        "millstream_restored_bytes_total 4000.0",
        "millstream_waiting_bytes 512.0",
        "millstream_memory_bytes{what=\"state-caches\"} 1024.0",
        "millstream_ends_age_seconds 1.5",
        "millstream_tasks{state=\"running\"} 1.0",
        "millstream_tasks{state=\"paused\"} 0.0",
        "millstream_task_state{task=\"0_1\",state=\"restoring\"} 1.0",
        "millstream_task_state{task=\"0_1\",state=\"stopped\"} 0.0",
        "millstream_task_restore_done_offsets{task=\"0_1\"} 30.0",
        "millstream_task_restore_of_offsets{task=\"0_1\"} 120.0",
        "millstream_task_records_total{task=\"0_0\"} 1.0",
        "millstream_task_lag_records{task=\"0_0\",topic=\"in\",partition=\"0\"} 2.0",
        "millstream_task_dead_letters_total{task=\"0_0\"} 1.0",
        "millstream_task_stream_time_seconds{task=\"0_0\"} 1619879400.0",
        "millstream_sweep_looked_rows_total{task=\"0_0\",step=\"s\"} 9.0",
        "millstream_sweep_migrated_rows_total{task=\"0_0\",step=\"s\"} 3.0",
        "millstream_sweep_done{task=\"0_0\",step=\"s\"} 0.0",
        "millstream_function_version{function=\"f\"} 1.0",
        "millstream_function_faults_total{function=\"f\",version=\"1\",kind=\"trap\"} 2.0",
        "millstream_function_cpu_seconds_total{function=\"f\",version=\"1\"} 0.25",
        "millstream_function_rejected_records_total{function=\"f\",version=\"1\"} 4.0",
        "millstream_function_dropped_records_total{function=\"f\",version=\"1\",reason=\"poisoned\"} 7.0",
        "millstream_function_log_lines_total{function=\"f\",version=\"1\",kind=\"dropped\"} 6.0",
        "millstream_function_calls_total{function=\"f\",version=\"trial\"} 0.0",
        "millstream_topic_end_offset{topic=\"in\",partition=\"0\"} 3.0",
        "millstream_http_requests_total{method=\"POST\",path=\"/v1/topics/{topic}/records\",status=\"200\"} 1",
        "millstream_http_requests_in_flight 1",
        "millstream_http_request_seconds_count 1",
    ] {
        assert!(answer.text().lines().any(|l| l == line), "{line} is not in:\n{}", answer.text());
    }
    // Each family is documented in the module, and nothing is documented that is not there.
    let source = include_str!("../../src/metrics.rs");
    let table: String = source.lines().filter(|l| l.starts_with("//! | `millstream")).collect();
    let documented =
        |name: &str| table.contains(&format!("`{name}`")) || table.contains(&format!("`…_{}`", tail(name)));
    let families: Vec<&str> =
        answer.text().lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(families.len() > 20);
    for family in families {
        assert!(documented(family), "{family} is not documented");
    }
}

/// What stands behind the prefix that a group of metrics shares.
fn tail(name: &str) -> &str {
    let rest = name.strip_prefix("millstream_").unwrap_or(name);
    rest.split_once('_').map_or(rest, |(_, tail)| tail)
}

#[test]
fn callers_cannot_make_series_without_end() {
    let host = running();
    for i in 0..5 {
        host.get(&format!("/v1/nothing/{i}"));
        host.call(&format!("BREW{i}"), &format!("/v1/topics/t{i}/records"), &[], b"");
    }
    let text = host.get("/metrics");
    let series = text.text().lines().filter(|l| l.starts_with("millstream_http_requests_total{")).count();
    assert_eq!(series, 2, "{}", text.text());
    assert!(text.text().contains(r#"{method="GET",path="none",status="404"} 5"#), "{}", text.text());
}

#[test]
fn several_functions_are_deployed_in_one_call() {
    let host = running();
    let post =
        |query: &str, body: &[u8]| host.send("POST", &format!("/v1/deploys{query}"), millstream_web::TOGETHER, body);
    let one = |line: &str| format!("{line}\nab").into_bytes();
    let body = one(r#"[{"function":"f","bytes":2,"origin":"new.wasm","settings":{"a":1}}]"#);
    let told: Together = serde_json::from_value(post("?pipeline=pipe&probation=none", &body).json()).unwrap();
    let version = told.functions[0].version.as_ref().unwrap();
    assert_eq!((version.origin.as_str(), &version.settings), ("new.wasm", &json!({"a": 1})));
    assert_eq!((told.functions[0].inspection.clone(), told.notes.len()), (json!({"bytes": 2}), 0));
    assert_eq!(*host.fake.trying.lock().unwrap(), Trying::Not);
    let unknown = post("", &one(r#"[{"function":"g","bytes":2}]"#)).problem();
    assert_eq!(unknown.kind(), Some(Kind::UnknownFunction));
    assert_eq!(post("", b"no line").problem().kind(), Some(Kind::BadBody));
    assert_eq!(post("?probation=x", &body).problem().kind(), Some(Kind::BadParameter));
    assert_eq!(post("?pipeline=other", &body).problem().kind(), Some(Kind::OtherPipeline));
    let refused = host.call("POST", "/v1/deploys", &[], &body).problem();
    assert_eq!(refused.kind(), Some(Kind::TokenMissing));
}
