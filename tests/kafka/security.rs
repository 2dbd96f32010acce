//! Brokers that are met over TLS: by password and by key, the same counts; who is not let in is told why and soon; secrets stay where
//! they are. Access lists are in [`super::topics`].

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use millstream_test_broker::{Cluster, MECHANISM, Options, PASSWORD, STORE_PASSWORD, USER};
use millstream_tests::host::{Host, run_with};
use millstream_tests::kafka::Place;

use super::pipes::{CLASSIC, Pipe};

/// The client tells all that it does.
const TALKATIVE: &str = "debug: all";

/// The variables that the manifests here take their secrets from, and as many log lines as there are.
const VARIABLES: [(&str, &str); 3] =
    [("KAFKA_PASSWORD", PASSWORD), ("KAFKA_KEY_PASSWORD", STORE_PASSWORD), ("MILLSTREAM_LOG", "debug")];

/// A client that is not let in has ended by then.
const REFUSED_WITHIN: Duration = Duration::from_secs(15);

fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::with(&Options { tls: true, controller_apart: false, ..Options::default() }))
}

/// Properties of a client that comes by password.
fn by_password(ca: &Path) -> String {
    format!(
        "{CLASSIC}, security.protocol: SASL_SSL, ssl.ca.location: {}, sasl.mechanism: {MECHANISM}, sasl.username: {USER}, \
         sasl.password: \"${{KAFKA_PASSWORD}}\"",
        ca.display()
    )
}

/// Properties of a client that comes by key.
fn by_key(ca: &Path, key: &Path) -> String {
    format!(
        "{CLASSIC}, security.protocol: SSL, ssl.ca.location: {}, ssl.keystore.location: {}, \
         ssl.keystore.password: \"${{KAFKA_KEY_PASSWORD}}\"",
        ca.display(),
        key.display()
    )
}

/// Neither secret is in `text`.
fn keeps_secrets(what: &str, text: &str) {
    for secret in [PASSWORD, STORE_PASSWORD] {
        let found = text.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{what} has a secret");
    }
}

/// Runs the pipeline by another listener, compares its results, and looks for secrets in whatever the program says.
fn counts(what: &str, bootstrap: String, kafka: &str) {
    let n = 20_000;
    let outside = Pipe::new(&cluster().bootstrap(), what, 2, CLASSIC);
    let place = Place { bootstrap, name: outside.place.name.clone() };
    let pipe = Pipe::of(place, 2, &format!("{kafka}, {TALKATIVE}"));
    let host = Host::on_kafka_with(pipe.manifest(), &pipe.folder("a"), &[], &VARIABLES);
    outside.fill(n);
    outside.compare(n, 60);
    for path in ["/v1/pipeline", "/v1/tasks", "/v1/functions", "/v1/topics", "/readyz"] {
        keeps_secrets(path, &host.get(path).unwrap().to_string());
    }
    let metrics = ureq::get(format!("{}/metrics", host.url)).call().unwrap().body_mut().read_to_string().unwrap();
    keeps_secrets("/metrics", &metrics);
    let manifest = pipe.manifest().to_string_lossy().into_owned();
    for command in [&["check"][..], &["check", "--json"], &["graph"], &["graph", "--format", "json"]] {
        let output = run_with(&[command, &[&manifest]].concat(), &VARIABLES);
        assert!(output.status.success(), "{command:?}: {output:?}");
        keeps_secrets(&command.join(" "), &format!("{output:?}"));
    }
    assert!(host.stop().success());
    let log = fs::read_to_string(pipe.log("a")).unwrap();
    assert!(log.contains("DEBUG"), "the log has all that there is");
    keeps_secrets("the log", &log);
}

#[test]
fn a_password_over_tls_gives_the_same_counts_and_is_told_nobody() {
    counts("password", cluster().bootstrap_sasl_ssl(), &by_password(&cluster().tls().ca));
}

#[test]
fn a_key_over_tls_gives_the_same_counts_and_is_told_nobody() {
    let tls = cluster().tls();
    counts("key", cluster().bootstrap_ssl(), &by_key(&tls.ca, &tls.client));
}

/// What a host says that is not let in, and ends soon.
fn refused(bootstrap: String, kafka: &str, variables: &[(&str, &str)]) -> String {
    let pipe = Pipe::of(Place { bootstrap, name: "refused".into() }, 2, kafka);
    let (manifest, folder) = (pipe.manifest().to_string_lossy(), pipe.folder("a"));
    let begin = Instant::now();
    let args = ["run", &manifest, "--state-dir", &folder.to_string_lossy(), "--listen", "127.0.0.1:0"];
    let output = run_with(&args, variables);
    let (took, said) = (begin.elapsed(), String::from_utf8_lossy(&output.stderr).into_owned());
    println!("--- after {took:?}\n{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(took < REFUSED_WITHIN, "it ended after {took:?}: {said}");
    keeps_secrets("what is said", &said);
    let last = said.lines().rev().find(|line| line.starts_with("millstream: "));
    last.unwrap_or_else(|| panic!("no error is told: {said}")).to_string()
}

#[test]
fn who_is_not_let_in_is_told_why_and_soon() {
    let (tls, wrong) = (cluster().tls(), "another-horse-4e1d");
    let said = refused(cluster().bootstrap_sasl_ssl(), &by_password(&tls.ca), &[("KAFKA_PASSWORD", wrong)]);
    assert!(said.contains("invalid credentials") && !said.contains(wrong), "{said}");
    let said = refused(cluster().bootstrap_sasl_ssl(), &by_password(&tls.stranger), &VARIABLES[..1]);
    assert!(said.contains("certificate verify failed"), "{said}");
    let keyless = format!("{CLASSIC}, security.protocol: SSL, ssl.ca.location: {}", tls.ca.display());
    let said = refused(cluster().bootstrap_ssl(), &keyless, &[]);
    // As older and newer Javas put it.
    assert!(said.contains("bad certificate") || said.contains("certificate required"), "{said}");
}
