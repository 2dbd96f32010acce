//! A broker comes up, goes and comes back as tests ask for; nothing of it stays. What clients see is tested by the client.

use std::{net::TcpStream, process::Output, time::Instant};

use millstream_test_broker::{Cluster, MECHANISM, Options, PASSWORD, STORE_PASSWORD, Stop, USER};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

fn answers(cluster: &Cluster) -> bool {
    cluster.bootstrap().split(',').all(|at| TcpStream::connect(at).is_ok())
}

#[test]
fn one_broker_keeps_its_data_over_both_ends_and_leaves_nothing() {
    let begin = Instant::now();
    let mut cluster = Cluster::one();
    eprintln!("one broker ready after {:?}", begin.elapsed());
    let done = cluster.tool(TOPICS, &["--create", "--topic", "kept", "--partitions", "3"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let bootstrap = cluster.bootstrap();
    for how in [Stop::Kill, Stop::Term] {
        let pid = cluster.pid(0).expect("it runs");
        let begin = Instant::now();
        cluster.stop(0, how);
        eprintln!("gone by {how:?} in {:?}", begin.elapsed());
        assert_eq!(cluster.pid(0), None);
        assert!(!answers(&cluster));
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
        let begin = Instant::now();
        cluster.start(0);
        eprintln!("ready again after {how:?} in {:?}", begin.elapsed());
        assert!(answers(&cluster));
    }
    assert_eq!(cluster.bootstrap(), bootstrap);
    let listed = String::from_utf8(cluster.tool(TOPICS, &["--list"]).stdout).expect("text");
    assert_eq!(listed.trim(), "kept");
    let (folder, pid) = (cluster.folder().to_owned(), cluster.pid(0).expect("it runs"));
    drop(cluster);
    assert!(!folder.exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn three_brokers_know_each_other_and_one_may_go() {
    let begin = Instant::now();
    let mut cluster = Cluster::three();
    eprintln!("three brokers ready after {:?}", begin.elapsed());
    let done = cluster.tool(TOPICS, &["--create", "--topic", "t", "--partitions", "1"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    cluster.stop(1, Stop::Kill);
    let told = String::from_utf8(cluster.tool(TOPICS, &["--describe", "--topic", "t"]).stdout).expect("text");
    assert!(told.contains("ReplicationFactor: 3"), "{told}");
    cluster.start_all();
    assert!(answers(&cluster));
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Kafka's own client comes in by each of the listeners over TLS with what it was told, and not without.
#[test]
fn clients_come_over_tls() {
    let cluster = Cluster::with(&Options { tls: true, ..Options::default() });
    let tls = cluster.tls();
    let asks = |at: &str, lines: &[String]| {
        let file = cluster.folder().join("client.properties");
        let trust = [format!("ssl.truststore.location={}", tls.ca.display()), "ssl.truststore.type=PEM".into()];
        std::fs::write(&file, [&trust, lines].concat().join("\n")).expect("write the client's properties");
        let config = file.display().to_string();
        cluster.tool_at(at, TOPICS, &["--list", "--command-config", &config])
    };
    let scram = |password: &str| {
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule required";
        let login = format!("sasl.jaas.config={module} username={USER} password=\"{password}\";");
        ["security.protocol=SASL_SSL".into(), format!("sasl.mechanism={MECHANISM}"), login]
    };
    let done = asks(&cluster.bootstrap_sasl_ssl(), &scram(PASSWORD));
    assert!(done.status.success(), "{done:?}");
    let refused = asks(&cluster.bootstrap_sasl_ssl(), &scram("another"));
    assert!(said(&refused).contains("SaslAuthenticationException"), "{refused:?}");
    let key = [
        "security.protocol=SSL".into(),
        format!("ssl.keystore.location={}", tls.client.display()),
        format!("ssl.keystore.password={STORE_PASSWORD}"),
    ];
    let done = asks(&cluster.bootstrap_ssl(), &key);
    assert!(done.status.success(), "{done:?}");
    let refused = asks(&cluster.bootstrap_ssl(), &key[..1]);
    assert!(said(&refused).contains("SslAuthenticationException"), "{refused:?}");
}
