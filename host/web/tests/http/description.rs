//! The description tells what the server does: its paths and methods, and the shapes of its answers.

use serde_json::{Value, json};

use crate::call::{Running, running};

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "PATCH"];

fn filled(path: &str) -> String {
    let path = path.replace("{topic}", "in").replace("{store}", "counts").replace("{key}", "a");
    let name = if path.contains("problems") { "internal" } else { "f" };
    // Whatever must be said for an answer.
    let must = if path.ends_with("/replay") { "?topic=in&partition=0&offset=0" } else { "" };
    path.replace("{name}", name) + must
}

#[test]
fn methods_are_those_that_are_described() {
    let host = running();
    let described = host.get("/v1/openapi.json").json();
    let paths = described["paths"].as_object().unwrap();
    assert!(paths.len() >= 20);
    for (path, operations) in paths {
        for method in METHODS {
            // There is a version on trial for those calls that are about one.
            host.send("PUT", "/v1/functions/f?probation=hold", "", b"x");
            let status = host.send(method, &filled(path), "", b"x").status;
            let known = operations.get(method.to_lowercase()).is_some();
            assert_eq!(status != 405, known, "{method} {path}: {status}");
            assert_ne!(status, 404, "{method} {path}");
        }
        for (method, operation) in operations.as_object().unwrap() {
            assert_eq!(operation.get("security").is_some(), method != "get", "{method} {path}");
            for parameter in operation["parameters"].as_array().unwrap() {
                assert!(
                    parameter["in"] == "query"
                        || path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap()))
                );
            }
        }
    }
}

#[test]
fn parameters_are_those_that_are_taken() {
    let host = running();
    let described = host.get("/v1/openapi.json").json();
    for (path, operations) in described["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let names = operation["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "query");
            for name in names.map(|p| p["name"].as_str().unwrap()) {
                let method = method.to_uppercase();
                let answer = host.send(
                    &method,
                    &format!("{}?{name}=%FF", filled(path).split('?').next().unwrap_or_default()),
                    "text/plain",
                    b"x",
                );
                assert!(!answer.text().contains("unknown field"), "{method} {path}?{name}: {}", answer.text());
            }
        }
    }
}

fn validate(host: &Running, described: &Value, schema: &Value, answer: &Value) {
    let schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema],
        "components": described["components"] });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(answer).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}\n{answer}\n{}", host.server.url());
    assert!(!validator.is_valid(&json!(3)), "a schema that takes everything says nothing");
}

#[test]
fn answers_are_as_described() {
    let host = running();
    host.send("POST", "/v1/topics/in/records", "text/plain", b"a\nb\n");
    host.send("PUT", "/v1/functions/f", "", b"bad");
    let described = host.get("/v1/openapi.json").json();
    let mut checked = 0;
    for (path, operations) in described["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            if schema.is_null() {
                continue;
            }
            let body: &[u8] = match path.as_str() {
                "/v1/functions/{name}/rollback" => b"{\"to\": 1}",
                "/v1/deploys" => b"[{\"function\": \"f\", \"bytes\": 1}]\nx",
                _ => b"x",
            };
            host.send("PUT", "/v1/functions/f?probation=hold", "", b"x");
            let answer = host.send(&method.to_uppercase(), &filled(path), "text/plain", body).json();
            validate(&host, &described, schema, &answer);
            checked += 1;
        }
    }
    assert_eq!(checked, 23);
    let problem = &described["components"]["responses"]["Problem"]["content"]["application/problem+json"]["schema"];
    for path in ["/nothing", "/v1/topics/in/records?partition=0&offset=99", "/v1/stores/counts/keys/elsewhere"] {
        validate(&host, &described, problem, &serde_json::from_slice(&host.get(path).body).unwrap());
    }
}
