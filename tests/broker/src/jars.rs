//! The jars of Apache Kafka: fetched once by Maven, shared by all tests of a user. Not a build of anything.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// The list of jars, and so also the mark of a complete folder: a changed list fetches anew.
const LIST: &str = include_str!("../pom.xml");

/// The folder with every jar, fetched first when it is not there.
///
/// # Panics
/// When Maven is missing or cannot fetch, with its message.
pub fn folder() -> PathBuf {
    let home = cache().join("kafka");
    fs::create_dir_all(&home).expect("make the folder of jars");
    // Two test programs may get here at once; the second waits, and finds them.
    let lock = File::create(home.join("lock")).expect("make the lock of the folder of jars");
    lock.lock().expect("lock the folder of jars");
    let (libs, mark) = (home.join("libs"), home.join("complete"));
    if fs::read_to_string(&mark).is_ok_and(|list| list == LIST) && libs.is_dir() {
        return libs;
    }
    let _ = fs::remove_file(&mark);
    let _ = fs::remove_dir_all(&libs);
    fetch(&home, &libs);
    fs::write(&mark, LIST).expect("mark the folder of jars as complete");
    libs
}

/// Where Millstream keeps what can be made again.
pub fn cache() -> PathBuf {
    let set = env::var_os("XDG_CACHE_HOME").filter(|path| Path::new(path).is_absolute()).map(PathBuf::from);
    let base = set.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    base.expect("HOME or XDG_CACHE_HOME says where to keep Kafka's jars").join("millstream")
}

fn fetch(home: &Path, libs: &Path) {
    let pom = home.join("pom.xml");
    fs::write(&pom, LIST).expect("write the list of jars");
    eprintln!("fetching Apache Kafka's jars with Maven (once, about 130 MB)");
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", libs.display()));
    match maven.output() {
        Ok(done) if done.status.success() => {}
        Ok(done) => {
            let text = String::from_utf8_lossy(&done.stdout).into_owned();
            panic!("Maven could not fetch Apache Kafka's jars ({}):\n{text}", done.status)
        }
        Err(error) => panic!("Maven (mvn) cannot be started: {error}; `./x test` installs it"),
    }
}
