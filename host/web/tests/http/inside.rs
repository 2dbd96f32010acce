//! Lines, profiles and replays over HTTP: what is asked reaches the host as it was asked, and what cannot be is refused.

use crate::call::{Running, running};

fn refused(host: &Running, method: &str, path: &str, why: &str) {
    let answer = host.send(method, path, "application/wasm", b"x");
    assert_eq!(answer.status, 400, "{path}: {}", answer.text());
    assert!(answer.text().contains(why), "{path}: {}", answer.text());
}

#[test]
fn lines_are_asked_for_by_function_version_level_and_place() {
    let host = running();
    let line = &host.get("/v1/logs?function=f&version=3&level=warn&after=7&limit=1000").json()["lines"][0];
    assert_eq!((&line["sequence"], &line["level"]), (&8.into(), &"warn".into()));
    assert_eq!((&line["by"][0]["version"], &line["message"]), (&3.into(), &"1000 at the most".into()));
    assert_eq!(host.get("/v1/logs").json()["lines"][0]["message"], "100 at the most");
    assert_eq!(host.get("/v1/logs?function=g").status, 404);
    for (query, why) in [
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1 to 1000"),
        ("level=loud", "trace, debug, info, warn, error"),
        ("version=1", "needs `function`"),
        ("pipline=p", "pipline"),
    ] {
        refused(&host, "GET", &format!("/v1/logs?{query}"), why);
    }
    assert_eq!(host.get("/v1/logs?pipeline=other").status, 409);
}

#[test]
fn a_profile_takes_as_long_as_was_asked() {
    let host = running();
    let profile = host.get("/v1/functions/f/profile?seconds=60&version=2").json();
    assert_eq!((&profile["seconds"], &profile["version"]), (&60.0.into(), &2.into()));
    assert_eq!(profile["stacks"][0]["frames"], serde_json::json!(["keep", "parse"]));
    assert_eq!(host.get("/v1/functions/f/profile").json()["seconds"], 10.0);
    refused(&host, "GET", "/v1/functions/f/profile?seconds=61", "1 to 60");
    refused(&host, "GET", "/v1/functions/f/profile?seconds=0", "1 to 60");
    assert_eq!(host.get("/v1/functions/g/profile").status, 404);
}

#[test]
fn a_replay_names_its_record_and_takes_a_version_or_a_component() {
    let host = running();
    let path = "/v1/functions/f/replay?topic=in&partition=2&offset=9";
    let replayed = host.send("POST", &format!("{path}&version=4&core-dump=true"), "", b"").json();
    assert_eq!((&replayed["version"], &replayed["core_dump"]), (&4.into(), &"dump".into()));
    assert_eq!((&replayed["at"]["topic"], &replayed["at"]["offset"]), (&"in".into(), &9.into()));
    assert_eq!(replayed["partition"], 2);
    let replayed = host.send("POST", path, "application/wasm", b"wasm").json();
    assert_eq!((&replayed["component"], &replayed["core_dump"]), (&"4 bytes".into(), &serde_json::Value::Null));
    refused(&host, "POST", &format!("{path}&version=4"), "leave one of the two out");
    refused(&host, "POST", "/v1/functions/f/replay?topic=in&partition=2", "missing field `offset`");
    assert_eq!(host.send("POST", "/v1/functions/g/replay?topic=in&partition=2&offset=9", "", b"").status, 404);
}
