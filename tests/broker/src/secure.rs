//! What brokers and clients need to meet over TLS: keys and certificates by the `keytool` that comes with Java, good for a day, and the
//! brokers' settings for them. No access lists: those are the listener's of [`crate::Options::users`].

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The user of the listener `SASL_SSL`, who is kept as SCRAM does it.
pub const USER: &str = "tls-user";
/// The user's password; looks like nothing else, so that it can be searched for.
pub const PASSWORD: &str = "correct-horse-9f3b";
/// Of the files with keys.
pub const STORE_PASSWORD: &str = "open-sesame-71c2";
/// How that user comes in.
pub const MECHANISM: &str = "SCRAM-SHA-512";

/// Files for clients of the listeners over TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificate of who vouches for the brokers, PEM.
    pub ca: PathBuf,
    /// A client's key with its certificate, which the brokers know; PKCS #12, by [`STORE_PASSWORD`].
    pub client: PathBuf,
    /// Somebody else's certificate, which vouches for no broker, PEM.
    pub stranger: PathBuf,
    brokers: PathBuf,
}

impl Tls {
    /// Makes all of them.
    ///
    /// # Panics
    /// When `keytool` is missing or fails, with its message.
    pub(crate) fn make(folder: &Path) -> Self {
        // Each vouches for itself; the brokers' name is where they are.
        let brokers = pair(folder, "brokers", &["-ext", "san=ip:127.0.0.1"]);
        let client = pair(folder, "client", &[]);
        let certificate = |store: &Path| {
            let pem = store.with_extension("pem");
            keytool("-exportcert", store, &["-rfc", "-file", &pem.display().to_string()]);
            pem
        };
        Self { ca: certificate(&brokers), stranger: certificate(&client), client, brokers }
    }

    /// Lines of a broker's settings.
    pub(crate) fn settings(&self) -> String {
        format!(
            "ssl.keystore.type=PKCS12
ssl.keystore.location={}
ssl.keystore.password={STORE_PASSWORD}
ssl.truststore.type=PEM
ssl.truststore.location={}
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_ssl.sasl.enabled.mechanisms={MECHANISM}
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
",
            self.brokers.display(),
            self.stranger.display()
        )
    }
}

/// What makes the user when a data folder is made.
pub(crate) fn user() -> String {
    format!("{MECHANISM}=[name={USER},password={PASSWORD}]")
}

/// A key and a certificate.
fn pair(folder: &Path, name: &str, more: &[&str]) -> PathBuf {
    let store = folder.join(format!("{name}.p12"));
    let kind = ["-keyalg", "EC", "-groupname", "secp256r1", "-validity", "1", "-dname", &format!("CN={name}")];
    keytool("-genkeypair", &store, &[&kind, more].concat());
    store
}

fn keytool(what: &str, store: &Path, more: &[&str]) {
    let mut tool = Command::new("keytool");
    tool.args([what, "-alias", "own", "-storetype", "PKCS12", "-storepass", STORE_PASSWORD, "-keystore"]);
    match tool.arg(store).args(more).stdin(Stdio::null()).output() {
        Ok(done) if done.status.success() => {}
        Ok(done) => panic!("keytool {what}: {}", String::from_utf8_lossy(&done.stdout)),
        Err(error) => panic!("Java's keytool cannot be started: {error}; `./x test` installs it"),
    }
}
