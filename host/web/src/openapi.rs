//! The description of the API: OpenAPI 3.1. Operations stand in one table here, schemas come from the types; tests hold that
//! the paths and methods are the router's and that answers are as described.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::problem::MEDIA_TYPE;
use crate::topics::{END_HEADER, NDJSON, NEXT_HEADER, RECORDS_HEADER};
use crate::types::inside::{Logs, Profile, Replayed};
use crate::types::trials::Probation;
use crate::types::{
    Appended, Deployed, Function, Health, History, Offer, Pipeline, Ready, Rollback, Rows, Store, Task, Together, Topic,
};
use crate::{
    COMPONENT_BYTES_MAX, Problem, RECORDS_BODY_BYTES_MAX, RECORDS_DEFAULT, RECORDS_MAX, ROWS_DEFAULT, ROWS_MAX,
    SETTINGS_BYTES_MAX, TOGETHER, TOGETHER_MAX, WAIT_MS_MAX,
};

/// What an operation takes in its body.
enum Body {
    None,
    Component,
    Together,
    Rollback,
    Records,
}

/// What it answers when it goes well.
enum Answer {
    Json(fn(&mut SchemaGenerator) -> Value),
    Any,
    Text(&'static str),
    Records,
}

struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    params: &'static [Param],
    body: Body,
    answer: Answer,
}

/// Name, type, description.
type Param = (&'static str, &'static str, &'static str);

const PIPELINE: Param = ("pipeline", "string", "Which pipeline is meant; another one here is an error.");

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn watching() -> [Operation; 6] {
    let get = |path, summary, answer| Operation { method: "get", path, summary, params: &[], body: Body::None, answer };
    [
        get("/healthz", "Whether the host is alive; never needs the token.", Answer::Json(of::<Health>)),
        get("/readyz", "Whether the pipeline does its work: 200, or 503 with the reasons.", Answer::Json(of::<Ready>)),
        get("/metrics", "Metrics in Prometheus' text format.", Answer::Text("text/plain")),
        get("/v1/openapi.json", "This description.", Answer::Any),
        get("/v1/problems", "Kinds of problems and what to do about them.", Answer::Any),
        get("/v1/problems/{name}", "One kind of problem.", Answer::Any),
    ]
}

fn pausing() -> [Operation; 2] {
    let post = |path, summary| Operation {
        method: "post",
        path,
        summary,
        params: &[PIPELINE],
        body: Body::None,
        answer: Answer::Json(of::<Pipeline>),
    };
    [
        post(
            "/v1/pipeline/pause",
            "This host takes no more records, once what is done is committed; it keeps its tasks, also over a restart. \
             `state` is `pausing` where a commit takes longer than the call waits.",
        ),
        post("/v1/pipeline/resume", "This host takes records again."),
    ]
}

const PROBATION: Param = (
    "probation",
    "string",
    "For how long it is tried beside the version in force: `30s`; `none`, not at all; `hold`, until it is \
     promoted. Without it 10 s, or 10,000 records on each host.",
);

const REPLAY: Param = (
    "replay",
    "integer",
    "About so many of the last records of the sources, up to 100,000 on each host, are first taken through again, with empty stores, for \
     the version on trial.",
);

fn pipeline() -> [Operation; 10] {
    let get =
        |path, summary, params, answer| Operation { method: "get", path, summary, params, body: Body::None, answer };
    [
        get("/v1/pipeline", "What runs here.", &[], Answer::Json(of::<Pipeline>)),
        get("/v1/tasks", "Tasks: how they stand, how far they are.", &[PIPELINE], Answer::Json(of::<Vec<Task>>)),
        get("/v1/functions", "Functions and versions in force.", &[PIPELINE], Answer::Json(of::<Vec<Function>>)),
        get(
            "/v1/functions/{name}/history",
            "Versions of a function, where each took over, and those refused.",
            &[PIPELINE],
            Answer::Json(of::<History>),
        ),
        get(
            "/v1/functions/{name}/component",
            "The component of a version, as it was deployed.",
            &[PIPELINE, ("version", "integer", "Number of the version; without it, the one in force.")],
            Answer::Text("application/wasm"),
        ),
        get(
            "/v1/functions/{name}/probation",
            "The last version of a function that was tried beside the one in force, or is on trial: what each host saw.",
            &[PIPELINE],
            Answer::Json(of::<Probation>),
        ),
        Operation {
            method: "delete",
            path: "/v1/functions/{name}/probation",
            summary: "Gives up a version that is on trial.",
            params: &[PIPELINE],
            body: Body::None,
            answer: Answer::Json(of::<Probation>),
        },
        Operation {
            method: "post",
            path: "/v1/functions/{name}/promote",
            summary: "Puts a version in force that was deployed with `probation=hold`.",
            params: &[PIPELINE],
            body: Body::None,
            answer: Answer::Json(of::<Deployed>),
        },
        Operation {
            method: "put",
            path: "/v1/functions/{name}",
            summary: "Checks a component and puts it in force between two commits; 422 says why not, and the version before runs on.",
            params: &[
                PIPELINE,
                ("settings", "string", "Settings, a JSON object; without them, those in force stay."),
                ("origin", "string", "Where the component comes from, for people."),
                ("signature", "string", "What `millstream sign` wrote for it; pipelines with `trust` need one."),
                PROBATION,
                REPLAY,
            ],
            body: Body::Component,
            answer: Answer::Json(of::<Deployed>),
        },
        Operation {
            method: "post",
            path: "/v1/functions/{name}/rollback",
            summary: "Goes back to an earlier version.",
            params: &[PIPELINE],
            body: Body::Rollback,
            answer: Answer::Json(of::<Deployed>),
        },
    ]
}

fn inside() -> [Operation; 3] {
    const VERSION: Param = ("version", "integer", "Number of the version; without it, the one in force.");
    [
        Operation {
            method: "get",
            path: "/v1/logs",
            summary: "Lines that functions wrote on this host, as far as they are kept: the last 1,000 of each version.",
            params: &[
                PIPELINE,
                ("function", "string", "Of this function."),
                ("version", "integer", "Of the version of it with this number."),
                ("level", "string", "No less important: `trace`, `debug`, `info`, `warn`, `error`."),
                ("after", "integer", "Behind this one: what `next` of the answer before says. Without it the newest."),
                ("limit", "integer", "At the most; 1 to 1,000."),
            ],
            body: Body::None,
            answer: Answer::Json(of::<Logs>),
        },
        Operation {
            method: "get",
            path: "/v1/functions/{name}/profile",
            summary: "Watches a function for a while, and says where it spends its time on this host.",
            params: &[PIPELINE, VERSION, ("seconds", "integer", "For how long; 1 to 60, 10 without it.")],
            body: Body::None,
            answer: Answer::Json(of::<Profile>),
        },
        Operation {
            method: "post",
            path: "/v1/functions/{name}/replay",
            summary: "Takes a stored record through the pipeline once more, with empty stores and without effect, and says what went \
                      into the function and what came out. With a component in the body that one is used in place of a version.",
            params: &[
                PIPELINE,
                VERSION,
                ("topic", "string", "The record's topic."),
                ("partition", "integer", "Its partition."),
                ("offset", "integer", "Its offset."),
                ("core-dump", "boolean", "Whether a core dump is wanted where it traps."),
            ],
            body: Body::Component,
            answer: Answer::Json(of::<Replayed>),
        },
    ]
}

fn together() -> Operation {
    Operation {
        method: "post",
        path: "/v1/deploys",
        summary: "Checks components of several functions and puts them in force together, in each task between the same two commits.",
        params: &[PIPELINE, PROBATION, REPLAY],
        body: Body::Together,
        answer: Answer::Json(of::<Together>),
    }
}

const PARTITION: Param = ("partition", "integer", "In this partition alone, whatever the key says.");
const LIMIT: Param = ("limit", "integer", "Rows at the most.");
const CURSOR: Param = ("cursor", "string", "Where to go on: what `next` of the answer before says.");
const VALUES: Param = (
    "values",
    "string",
    "What is told of states: `stored` (default), or `results`: what the function's `finish` makes of them.",
);
const KEY_ENCODING: Param =
    ("key-encoding", "string", "How keys stand in the request: `utf8` (default), or `base64` for any bytes.");

fn stores() -> [Operation; 4] {
    let get =
        |path, summary, params, answer| Operation { method: "get", path, summary, params, body: Body::None, answer };
    [
        get(
            "/v1/stores",
            "Stores: what they hold, and which questions they answer.",
            &[],
            Answer::Json(of::<Vec<Store>>),
        ),
        get(
            "/v1/stores/{store}/keys/{key}",
            "What a store has of a key as of the last commit: its row, or those of its windows. 307 with `location` where another \
             host has it.",
            &[
                ("from", "integer", "The earliest start of a window, milliseconds."),
                ("to", "integer", "The latest."),
                KEY_ENCODING,
                PARTITION,
                LIMIT,
                CURSOR,
                VALUES,
            ],
            Answer::Json(of::<Rows>),
        ),
        get(
            "/v1/stores/{store}/keys",
            "Rows by key as of the last commit, of this host's partitions one after the other; `not_read` names the others.",
            &[
                ("from", "string", "The first key; without it, from the first that there is."),
                ("to", "string", "The key before which they end; without it, with the last."),
                ("window-from", "integer", "The earliest start of a window, milliseconds, where keys have windows."),
                ("window-to", "integer", "The latest."),
                KEY_ENCODING,
                PARTITION,
                LIMIT,
                CURSOR,
                VALUES,
            ],
            Answer::Json(of::<Rows>),
        ),
        get(
            "/v1/stores/{store}/windows",
            "Rows of all keys by window as of the last commit, of this host's partitions one after the other; sessions in the order in \
             which they end.",
            &[
                ("from", "integer", "The earliest start of a window, milliseconds."),
                ("to", "integer", "The latest."),
                PARTITION,
                LIMIT,
                CURSOR,
                VALUES,
            ],
            Answer::Json(of::<Rows>),
        ),
    ]
}

fn topics() -> [Operation; 3] {
    [
        Operation {
            method: "get",
            path: "/v1/topics",
            summary: "Topics, their partitions and offsets.",
            params: &[],
            body: Body::None,
            answer: Answer::Json(of::<Vec<Topic>>),
        },
        Operation {
            method: "get",
            path: "/v1/topics/{topic}/records",
            summary: "Records from an offset on, of one partition or all, in the order of each partition.",
            params: &[
                ("partition", "integer", "One partition; without it, all."),
                (
                    "offset",
                    "string",
                    "`earliest` (default), `latest`, a number, or `P:OFFSET,…` as in `millstream-next`.",
                ),
                ("max", "integer", "Records at the most."),
                ("wait-ms", "integer", "How long to wait when there are none."),
                ("format", "string", "`json` (default: JSON lines) or `raw` (values, a line each; a null is `null`)."),
                ("key-separator", "string", "Raw: the key and this stand before the value."),
                (
                    "windowed",
                    "string",
                    "Keys end in a window, as Kafka writes them: show it apart. `time`: in its start; `session`: in the end and the start of a session.",
                ),
            ],
            body: Body::None,
            answer: Answer::Records,
        },
        Operation {
            method: "post",
            path: "/v1/topics/{topic}/records",
            summary: "Writes records: all, or on any error none.",
            params: &[
                ("partition", "string", "Where all go, or `by-key`; without it, where each says, else by its key."),
                ("timestamp", "string", "For records without one: `now` (default) or milliseconds since 1970."),
                ("key-separator", "string", "Raw: what stands before it is the key."),
                ("producer", "string", "A name made up at random, so that a request sent again is not written again."),
                ("sequence", "integer", "Goes with `producer`: 1, 2, … for its requests."),
            ],
            body: Body::Records,
            answer: Answer::Json(of::<Appended>),
        },
    ]
}

/// The description as JSON.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let problem = json!({
        "description": "A problem document (RFC 9457); `type` names its kind, see /v1/problems.",
        "content": { MEDIA_TYPE: { "schema": of::<Problem>(&mut generator) } }
    });
    let mut paths = Map::new();
    for operation in watching()
        .into_iter()
        .chain(pausing())
        .chain(pipeline())
        .chain([together()])
        .chain(inside())
        .chain(stores())
        .chain(topics())
    {
        let described = describe(&operation, &mut generator);
        let at = paths.entry(operation.path).or_insert_with(|| json!({}));
        at[operation.method] = described;
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Millstream",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "One running pipeline. Calls that change something need the bearer token; calls that read need it \
                            only from another machine. Times are milliseconds since 1970-01-01T00:00:00Z."
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Problem": problem },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } }
        }
    })
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut params: Vec<Value> = operation
        .params
        .iter()
        .map(|(name, kind, text)| json!({ "name": name, "in": "query", "description": text, "schema": limited(name, kind) }))
        .collect();
    for rest in operation.path.split('{').skip(1) {
        let name = rest.split('}').next().unwrap_or_default();
        params.push(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    }
    let mut out = json!({
        "summary": operation.summary,
        "parameters": params,
        "responses": {
            "200": answer(&operation.answer, generator),
            "default": { "$ref": "#/components/responses/Problem" }
        }
    });
    if operation.method != "get" {
        out["security"] = json!([{ "token": [] }]);
    }
    if let Some(body) = body(&operation.body, generator) {
        out["requestBody"] = body;
    }
    out
}

fn limited(name: &str, kind: &str) -> Value {
    match name {
        "max" => json!({ "type": kind, "minimum": 1, "maximum": RECORDS_MAX, "default": RECORDS_DEFAULT }),
        "limit" => json!({ "type": kind, "minimum": 1, "maximum": ROWS_MAX, "default": ROWS_DEFAULT }),
        "key-encoding" => json!({ "type": kind, "enum": ["utf8", "base64"], "default": "utf8" }),
        "wait-ms" => json!({ "type": kind, "minimum": 0, "maximum": WAIT_MS_MAX, "default": 0 }),
        "settings" => json!({ "type": kind, "maxLength": SETTINGS_BYTES_MAX }),
        _ => json!({ "type": kind }),
    }
}

fn body(body: &Body, generator: &mut SchemaGenerator) -> Option<Value> {
    let (description, content) = match body {
        Body::None => return None,
        Body::Component => {
            (format!("The component's file, at most {COMPONENT_BYTES_MAX} bytes."), json!({ "application/wasm": {} }))
        }
        Body::Together => (
            format!(
                "One line, a list of what is deployed; then the components, one behind the other, together at most {COMPONENT_BYTES_MAX} \
                 bytes, of at most {TOGETHER_MAX} functions."
            ),
            json!({ TOGETHER: { "x-first-line": of::<Vec<Offer>>(generator) } }),
        ),
        Body::Rollback => (
            "Which version; empty: the one before.".to_string(),
            json!({ "application/json": { "schema": of::<Rollback>(generator) } }),
        ),
        Body::Records => (
            format!("JSON lines or raw lines, at most {RECORDS_BODY_BYTES_MAX} bytes and {RECORDS_MAX} records."),
            json!({ NDJSON: {}, "text/plain": {} }),
        ),
    };
    Some(json!({ "description": description, "content": content }))
}

fn answer(answer: &Answer, generator: &mut SchemaGenerator) -> Value {
    match answer {
        Answer::Json(schema) => {
            json!({ "description": "As asked.", "content": { "application/json": { "schema": schema(generator) } } })
        }
        Answer::Any => json!({ "description": "As asked.", "content": { "application/json": {} } }),
        Answer::Text(media_type) => json!({ "description": "As asked.", "content": { *media_type: {} } }),
        Answer::Records => json!({
            "description": "Lines, maybe none.",
            "content": { NDJSON: {}, "text/plain": {} },
            "headers": {
                RECORDS_HEADER: { "description": "How many records.", "schema": { "type": "integer" } },
                NEXT_HEADER: { "description": "Where to go on, `P:OFFSET` for each partition.", "schema": { "type": "string" } },
                END_HEADER: { "description": "Where each partition ended when it was read.", "schema": { "type": "string" } }
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_router() {
        let described = openapi();
        let described: Vec<&String> = described["paths"].as_object().unwrap().keys().collect();
        let mut routed: Vec<&str> = crate::router::paths().into_iter().map(|(path, _)| path).collect();
        routed.sort_unstable();
        let mut described: Vec<&str> = described.into_iter().map(String::as_str).collect();
        described.sort_unstable();
        assert_eq!(described, routed);
    }
}
