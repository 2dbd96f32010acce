//! Topics that are missing, do not fit, may not be made, refuse records, or grow: each is told with what would be right.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millstream_core::record::BatchBuilder;
use millstream_kafka::admin::TopicSpec;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::Producer;
use millstream_kafka::replay::{Replay, Stretch};
use millstream_test_broker::{Cluster, Options};
use millstream_tests::host::{Host, run};
use millstream_tests::kafka::Place;
use millstream_tests::wait::eventually;

use super::manifests;
use super::pipes::{CLASSIC, CONSUMER, Pipe, runs};

const WAIT: Duration = Duration::from_secs(30);

fn spec(name: &str, partitions: i32, settings: &[(&str, &str)]) -> TopicSpec {
    let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    TopicSpec { name: name.into(), partitions, replication_factor: None, settings }
}

/// What a host says that cannot start.
fn refused(manifest: &std::path::Path, folder: &std::path::Path) -> String {
    let (manifest, folder) = (manifest.to_string_lossy(), folder.to_string_lossy());
    let output = run(&["run", &manifest, "--state-dir", &folder, "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn missing_and_unfit_topics_are_named() {
    let bootstrap = Cluster::shared().bootstrap();
    let pipe = Pipe::new(&bootstrap, "missing", 3, CLASSIC);
    let (admin, input) = (pipe.place.admin().unwrap(), pipe.place.input());
    let changelog = pipe.place.changelog("counts");
    admin
        .create(&[spec(&changelog, 5, &[("cleanup.policy", "compact"), ("delete.retention.ms", "604800000")])])
        .unwrap();
    let said = refused(pipe.manifest(), &pipe.folder("a"));
    assert!(said.contains(&changelog) && said.contains("has 5 partitions and needs 3"), "{said}");
    admin.delete(&[&input]).unwrap();
    eventually("the topic is gone", 20, || match admin.describe(&[&input]) {
        Ok(found) if found[&input].is_none() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let said = refused(pipe.manifest(), &pipe.folder("a"));
    assert!(said.contains(&input) && said.contains("kafka-topics.sh --create"), "{said}");
}

/// A principal that may read and write, and may not make topics, gets the commands for whoever may; with them it runs.
#[test]
fn a_principal_that_may_not_make_topics_gets_the_commands() {
    let user = "app";
    let cluster = Cluster::with(&Options { users: vec![user.into()], controller_apart: false, ..Options::default() });
    let place = Place::new(&cluster.bootstrap(), "rights", 2).unwrap();
    let name = &place.name;
    let allow = |what: &[&str]| {
        let principal = format!("User:{user}");
        let args = [&["--add", "--allow-principal", principal.as_str()][..], what].concat();
        let done = cluster.tool("org.apache.kafka.tools.AclCommand", &args);
        assert!(done.status.success(), "{done:?}");
    };
    let [input, output] = [place.input(), place.output()];
    let all = ["--operation", "Read", "--operation", "Write", "--operation", "DescribeConfigs"];
    allow(&[&["--topic", input.as_str(), "--topic", output.as_str()][..], &all].concat());
    allow(&["--group", name, "--operation", "Read"]);
    let prefix = format!("{name}-");
    let ids = ["--transactional-id", prefix.as_str(), "--resource-pattern-type", "prefixed"];
    allow(&[&ids[..], &["--operation", "Write", "--operation", "Describe"]].concat());
    let sasl = format!(
        "{CLASSIC}, security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: {user}, sasl.password: {user}"
    );
    let pipe = Pipe::of(Place { bootstrap: cluster.bootstrap_users(), name: name.clone() }, 2, &sasl);
    let said = refused(pipe.manifest(), &pipe.folder("a"));
    let commands: Vec<Vec<&str>> = said
        .lines()
        .map(|l| l.split_whitespace().collect())
        .filter(|l: &Vec<_>| l[..].first().is_some_and(|w| w.ends_with(".sh")))
        .collect();
    assert!(commands.len() > 1, "{said}");
    for command in commands {
        let class = if command[0] == "kafka-topics.sh" { "TopicCommand" } else { "AclCommand" };
        assert_eq!(command[1], "--bootstrap-server");
        // The administrator comes by the other listener.
        let done = cluster.tool(&format!("org.apache.kafka.tools.{class}"), &command[3..]);
        assert!(done.status.success(), "{command:?}: {done:?}");
    }
    let host = pipe.start("a", &[]);
    runs(&host, 4, 60);
    place.fill(2, millstream_tests::access::lines(30_000, 100)).unwrap();
    eventually("results are out", 60, || match place.results(2) {
        Ok(results) if !results.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    deploys_with_these_rights(&host, name, &|right: &str, topic: &str| {
        let principal = format!("User:{user}");
        let args = ["--remove", "--force", "--allow-principal", &principal, "--topic", topic, "--operation", right];
        let done = cluster.tool("org.apache.kafka.tools.AclCommand", &args);
        assert!(done.status.success(), "{done:?}");
    });
    assert!(host.stop().success());
}

/// What the commands give is enough for deploys and going back; who may not write to the two topics decides nothing, and is told so.
fn deploys_with_these_rights(host: &Host, name: &str, take_away: &dyn Fn(&str, &str)) {
    let target = format!("{name}/extract-ip");
    let file = super::manifests::function("extract-ip-masked").to_string_lossy().into_owned();
    host.ok(&["deploy", "--now", &target, &file]);
    host.ok(&["rollback", &target]);
    let versions = || host.get("/v1/functions/extract-ip/history").unwrap()["versions"].as_array().unwrap().len();
    assert_eq!(versions(), 3);
    for topic in ["control", "modules"] {
        let topic = format!("{name}-{topic}");
        take_away("Write", &topic);
        // Another component than those that are kept already.
        let other = super::manifests::function("identity").to_string_lossy().into_owned();
        let said = eventually("the right is gone everywhere", 30, || {
            let said = host.cli(&["deploy", "--now", &target, &other]);
            if said.status.success() { Err("it was taken".into()) } else { Ok(said) }
        });
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(text.contains(&topic) && text.to_lowercase().contains("authoriz"), "{topic}: {text}");
        assert_eq!(versions(), 3);
    }
}

/// Values of a topic with one partition, read committed.
fn values(place: &Place, topic: &str) -> Vec<String> {
    let stretch = Stretch { partition: TopicPartition::new(topic, 0), from: None };
    let mut replay = Replay::start(&place.properties(&[]).unwrap(), "reader", &[stretch], 1 << 20).unwrap();
    let mut out = Vec::new();
    while !replay.is_done() {
        for fetched in replay.read(1_000, Duration::from_millis(200)).unwrap() {
            let text = |i| String::from_utf8_lossy(fetched.batch.values.get(i).unwrap()).into_owned();
            out.extend((0..fetched.batch.len()).map(text));
        }
    }
    out
}

/// Four records, of which the sink's topic refuses the second for its size and the third for its time.
fn copies(place: &Place, on_error: &str) -> (manifests::Place, Host) {
    let (name, bootstrap) = (&place.name, &place.bootstrap);
    let here = manifests::Place::new(&format!(
        "pipeline: {name}
kafka: {{ bootstrap.servers: \"{bootstrap}\", {CLASSIC} }}
sources:
  in: {{ topic: {name}-raw }}
sinks:
  out: {{ from: in, topic: {name}-small, on-error: {on_error} }}
"
    ));
    let day = "86400000000";
    let admin = place.admin().unwrap();
    let topics = [
        spec(&format!("{name}-raw"), 1, &[("message.timestamp.after.max.ms", day)]),
        spec(&format!("{name}-small"), 1, &[("max.message.bytes", "1000")]),
        spec(&format!("{name}-dead"), 1, &[]),
    ];
    admin.create(&topics).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut builder = BatchBuilder::default();
    let mut add = |value: &str, time| builder.push(None, Some(value.as_bytes()), time, []);
    add("first", now);
    add(&"large ".repeat(1_000), now);
    add("ahead", now + 86_400_000);
    add("last", now);
    let mut producer = Producer::new(&place.properties(&[]).unwrap(), &format!("{name}-raw-filler"), 1 << 20).unwrap();
    producer.init(WAIT).unwrap();
    producer.begin().unwrap();
    producer.produce(&TopicPartition::new(format!("{name}-raw"), 0), &builder.finish(), 0, WAIT).unwrap();
    producer.commit(WAIT).unwrap();
    let host = Host::on_kafka(&here.manifest, &here.folder, &[]);
    (here, host)
}

#[test]
fn results_that_the_broker_would_refuse_go_where_on_error_says() {
    let place = Place::new(&Cluster::shared().bootstrap(), "refused", 1).unwrap();
    let dead = format!("{}-dead", place.name);
    let (_here, host) = copies(&place, &format!("{{ dead-letter: {dead} }}"));
    eventually("all have gone somewhere", 60, || {
        let (out, dead) = (values(&place, &format!("{}-small", place.name)), values(&place, &dead));
        let begins: Vec<&str> = dead.iter().map(|v| &v[..5]).collect();
        if (out.iter().map(String::as_str).collect::<Vec<_>>(), begins)
            == (vec!["first", "last"], vec!["large", "ahead"])
        {
            return Ok(());
        }
        Err(format!("{out:?}, dead {dead:?}: {:?}", host.get("/v1/tasks")))
    });
    assert!(host.stop().success());
    let place = Place::new(&Cluster::shared().bootstrap(), "refused", 1).unwrap();
    let (_here, host) = copies(&place, "fail");
    eventually("the task stops with the reason", 60, || {
        let tasks = host.get("/v1/tasks")?;
        let reason = tasks[0]["reason"].as_str().unwrap_or_default();
        if tasks[0]["state"] == "stopped" && reason.contains("bytes") && reason.contains("offset 1") {
            return Ok(());
        }
        Err(tasks.to_string())
    });
    assert!(host.stop().success());
}

/// Partitions that are added under a running pipeline: the host says what that means and ends; it reads nothing of them.
fn growth_is_told(what: &str, kafka: &str) {
    let (n, partitions) = (20_000, 2);
    let kafka = format!("{kafka}, topic.metadata.refresh.interval.ms: 1000");
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), what, partitions, &kafka);
    pipe.fill(n);
    let host = pipe.start("a", &[]);
    pipe.compare(n, 60);
    let input = pipe.place.input();
    let args = ["--alter", "--topic", &input, "--partitions", "3"];
    let done = Cluster::shared().tool("org.apache.kafka.tools.TopicCommand", &args);
    assert!(done.status.success(), "{done:?}");
    let said = eventually("the host ends with an explanation", 30, || {
        let said = pipe.told("a", "the host cannot go on");
        said.first().map(ToString::to_string).ok_or_else(|| "it goes on".to_string())
    });
    assert!(said.contains(&format!("topic `{input}` had 2 partitions")) && said.contains("has 3 now"), "{said}");
    assert!(said.contains("another pipeline name"), "{said}");
    drop(host);
    // Nor does it start again without a word: its states are by the old count.
    let said = refused(pipe.manifest(), &pipe.folder("a"));
    assert!(said.contains("has 2 partitions and needs 3"), "{said}");
}

#[test]
fn growth_is_told_classic() {
    growth_is_told("grown", CLASSIC);
}

#[test]
fn growth_is_told_consumer() {
    growth_is_told("grown-new", CONSUMER);
}
