//! Compiling and its cache: what passes a limit ends, what is kept is used, what is damaged or foreign is not.

mod common;

use std::fmt::Write;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{compiler, config, filter_wat, reasons, udf};
use millstream_core::function::Interface;
use millstream_wasm::{CompileLimits, Compiler, Config, Limits, Refusal, Registry, RegistryError};

fn prepare(registry: &Registry, component: &[u8]) -> Result<millstream_core::function::Prepared, Refusal> {
    registry.prepare(component, None, &[], &Limits::default(), &[Interface::Filter])
}

fn with_limits(compile_limits: CompileLimits) -> Registry {
    Registry::new(Config { compile_limits, ..config() }).unwrap()
}

/// Variables of the functions below.
const LOCALS: usize = 500;

/// A filter with a function besides, in which `local(i)` is a variable.
fn beside(body: impl Fn(&dyn Fn(usize) -> usize) -> String) -> Vec<u8> {
    let body = body(&|i| i % (LOCALS + 1));
    let locals = "i32 ".repeat(LOCALS);
    filter_wat(&format!(
        r#"(core module $m (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "keep") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)
        (func (export "f") (param i32) (result i32) (local {locals}) {body} (local.get 0)))"#
    ))
}

/// Loops in loops: a few KiB that take a compiler many seconds.
fn loops(depth: usize) -> Vec<u8> {
    beside(|local| {
        let mut text = String::new();
        for i in 0..depth {
            let (a, b) = (local(i), local(i * 7 + 1));
            write!(text, "(loop (local.set {a} (i32.add (local.get {b}) (i32.const {i}))) ").unwrap();
        }
        (0..depth).for_each(|i| write!(text, "(br_if 0 (local.get {})))", local(i)).unwrap());
        text
    })
}

/// Straight code: much to keep in mind at once.
fn straight(steps: usize) -> Vec<u8> {
    beside(|local| {
        (0..steps).fold(String::new(), |mut text, i| {
            let (a, b) = (local(i), local(i * 7 + 2));
            write!(text, "(local.set {a} (i32.mul (i32.add (local.get {b}) (i32.const {i})) (local.get {a})))")
                .unwrap();
            text
        })
    })
}

#[test]
fn compiling_that_takes_too_much_cpu_time_ends() {
    let registry = with_limits(CompileLimits { cpu_s: 1, ..CompileLimits::default() });
    let component = loops(1_000);
    assert!(component.len() < 32 << 10, "{}", component.len());
    let refused = reasons(prepare(&registry, &component));
    assert_eq!(refused, "compiling it takes more CPU time than the limit of 1 s");
    // The same shape, small: it is the amount that is refused.
    prepare(&registry, &loops(10)).unwrap();
}

#[test]
fn compiling_that_takes_too_long_ends() {
    let registry = with_limits(CompileLimits { wall_s: 1, ..CompileLimits::default() });
    let start = Instant::now();
    let refused = reasons(prepare(&registry, &loops(1_000)));
    assert_eq!(refused, "compiling it takes longer than the limit of 1 s");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn compiling_that_takes_too_much_memory_ends() {
    let component = straight(100_000);
    let registry = with_limits(CompileLimits { address_space_bytes: 160 << 20, ..CompileLimits::default() });
    let refused = reasons(prepare(&registry, &component));
    assert_eq!(refused, "compiling it takes more memory than the limit of 160 MiB");
    prepare(&registry, &straight(1_000)).unwrap();
}

#[test]
fn a_compiler_that_is_not_one_is_the_hosts_trouble() {
    let with = |program: &str, args: &[&str]| Config {
        compiler: Compiler { program: PathBuf::from(program), args: args.iter().map(Into::into).collect() },
        ..config()
    };
    let missing = Registry::new(with("/nowhere/compiler", &[])).unwrap_err();
    assert!(matches!(missing, RegistryError::Compiler(_)), "{missing}");
    let trouble = |config| match prepare(&Registry::new(config).unwrap(), &udf("only-ip")) {
        Err(Refusal::Host(why)) => why,
        other => panic!("{other:?}"),
    };
    let failing = trouble(with("/bin/sh", &["-c", "echo no such option >&2; exit 2"]));
    assert_eq!(failing, "the compiler ended with exit status: 2: no such option");
    let empty = trouble(with("/bin/sh", &["-c", "exit 0"]));
    assert!(empty.starts_with("the compiler gave no code"), "{empty}");
    let foreign =
        trouble(with("/bin/sh", &["-c", &format!("MILLSTREAM_COMPILE_ENGINE=x {}", compiler().program.display())]));
    assert!(foreign.contains("the program that compiles functions is another one than the host"), "{foreign}");
}

/// The one file of compiled code in a folder.
fn code(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

fn cached(folder: &Path) -> Registry {
    Registry::new(Config { cache_dir: Some(folder.to_path_buf()), ..config() }).unwrap()
}

/// A host that could not compile: only the cache can help it.
fn without_compiler(folder: &Path) -> Registry {
    let compiler = Compiler { program: "/bin/false".into(), args: Vec::new() };
    Registry::new(Config { cache_dir: Some(folder.to_path_buf()), compiler, ..config() }).unwrap()
}

#[test]
fn compiled_code_is_kept_for_the_next_host() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("made/on/the/way");
    let component = udf("only-ip");
    assert!(matches!(prepare(&without_compiler(&dir), &component), Err(Refusal::Host(_))));
    prepare(&cached(&dir), &component).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    let file = code(&dir);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o400);
    let inode = fs::metadata(&file).unwrap().ino();
    prepare(&without_compiler(&dir), &component).unwrap();
    assert_eq!(fs::metadata(code(&dir)).unwrap().ino(), inode);
}

#[test]
fn damaged_code_is_thrown_away_and_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let component = udf("only-ip");
    prepare(&cached(folder.path()), &component).unwrap();
    let file = code(folder.path());
    let good = fs::read(&file).unwrap();
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("a bit in the middle", |code| {
            let middle = code.len() / 2;
            code[middle] ^= 1;
        }),
        ("cut short", |code| code.truncate(code.len() / 2)),
        ("empty", Vec::clear),
        ("longer", |code| code.push(0)),
    ];
    for (name, damage) in damages {
        let mut bytes = good.clone();
        damage(&mut bytes);
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, &bytes).unwrap();
        assert!(matches!(prepare(&without_compiler(folder.path()), &component), Err(Refusal::Host(_))), "{name}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{name}: it is gone");
        prepare(&cached(folder.path()), &component).unwrap();
        assert_eq!(fs::read(code(folder.path())).unwrap(), good, "{name}");
    }
}

#[test]
fn code_under_another_name_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    prepare(&cached(folder.path()), &udf("only-ip")).unwrap();
    let only_ip = code(folder.path());
    let name = only_ip.file_name().unwrap().to_str().unwrap().to_string();
    prepare(&cached(folder.path()), &udf("keep-all")).unwrap();
    let (engine, rest) = name.split_once('-').unwrap();
    let (_, digest) = rest.split_once('.').unwrap();
    let component: String = sha(&udf("keep-all"));

    // Another engine's code for the component: not looked at.
    let keep_all = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).find(|p| *p != only_ip).unwrap();
    fs::remove_file(&keep_all).unwrap();
    let foreign = folder.path().join(format!("0123456789abcdef-{component}.{digest}"));
    fs::copy(&only_ip, &foreign).unwrap();
    assert!(matches!(prepare(&without_compiler(folder.path()), &udf("keep-all")), Err(Refusal::Host(_))));
    assert!(foreign.exists(), "it is somebody's");

    // What the engine does not take, under a name that fits: thrown away.
    let bytes = b"not code at all".to_vec();
    let planted = folder.path().join(format!("{engine}-{component}.{}.cwasm", sha(&bytes)));
    fs::write(&planted, &bytes).unwrap();
    assert!(matches!(prepare(&without_compiler(folder.path()), &udf("keep-all")), Err(Refusal::Host(_))));
    assert!(!planted.exists());

    // A link to elsewhere: thrown away, and elsewhere left alone.
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::copy(&only_ip, elsewhere.path()).unwrap();
    let link = folder.path().join(format!("{engine}-{component}.{digest}"));
    std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
    assert!(matches!(prepare(&without_compiler(folder.path()), &udf("keep-all")), Err(Refusal::Host(_))));
    assert!(link.symlink_metadata().is_err() && elsewhere.path().exists());
}

/// SHA-256 as the inspection tells it.
fn sha(bytes: &[u8]) -> String {
    common::registry().inspect(bytes).digest
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o770)).unwrap();
    let refused = Registry::new(Config { cache_dir: Some(folder.path().to_path_buf()), ..config() }).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("the folder must be this user's alone; it belongs to user ") && text.contains("mode 770"),
        "{text}"
    );
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    cached(folder.path());
    assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn the_folder_does_not_grow_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let with_room = |cache_bytes_max| {
        Registry::new(Config { cache_dir: Some(folder.path().to_path_buf()), cache_bytes_max, ..config() }).unwrap()
    };
    let registry = with_room(u64::MAX);
    prepare(&registry, &udf("only-ip")).unwrap();
    let first = code(folder.path());
    let one = fs::metadata(&first).unwrap().len();
    let day_before = std::time::SystemTime::now() - Duration::from_secs(86_400);
    let set_time = |path: &Path| fs::File::open(path).unwrap().set_modified(day_before).unwrap();
    set_time(&first);
    let left_over = folder.path().join("unfinished-0");
    fs::write(&left_over, "x").unwrap();
    set_time(&left_over);
    fs::write(folder.path().join("unfinished-1"), "x").unwrap();

    let registry = with_room(one + one / 2);
    assert!(!left_over.exists() && folder.path().join("unfinished-1").exists());
    prepare(&registry, &udf("keep-all")).unwrap();
    assert!(!first.exists(), "the oldest goes first");
    fs::remove_file(folder.path().join("unfinished-1")).unwrap();
    assert!(code(folder.path()).exists(), "the newest stays");
}

#[test]
fn without_a_folder_there_is_a_private_one_that_goes() {
    let before = Instant::now();
    let registry = Registry::new(config()).unwrap();
    prepare(&registry, &udf("only-ip")).unwrap();
    let private = || {
        let entries = fs::read_dir(std::env::temp_dir()).unwrap().filter_map(Result::ok);
        let ours = entries.filter(|e| e.file_name().to_string_lossy().starts_with("millstream-functions-"));
        ours.filter(|e| e.metadata().is_ok_and(|m| m.modified().unwrap().elapsed().unwrap() <= before.elapsed()))
            .map(|e| e.path())
            .collect::<Vec<_>>()
    };
    let there = private();
    assert!(!there.is_empty());
    assert!(there.iter().all(|p| fs::metadata(p).is_ok_and(|m| m.mode() & 0o777 == 0o700)));
    drop(registry);
    assert!(there.iter().any(|p| !p.exists()), "{there:?}");
}
