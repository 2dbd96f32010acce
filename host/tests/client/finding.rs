//! Finding the host and its token; what is said where there is none; wrong arguments.

use crate::{Outcome, program, run, setup};

const COMMANDS: [&[&str]; 6] = [
    &["produce", "in", "/dev/null"],
    &["consume", "in"],
    &["status"],
    &["deploy", "pipe/f", "/etc/hostname"],
    &["rollback", "pipe/f"],
    &["history", "pipe/f"],
];

#[test]
fn a_host_that_is_not_there_is_said_with_a_code_of_its_own() {
    let host = setup();
    for args in COMMANDS {
        let mut command = program(host.path(), args);
        // Nothing listens on port 1, and only root could.
        command.args(["--url", "http://127.0.0.1:1"]);
        let input = host.write("one", b"x\n");
        if args[0] == "produce" {
            command =
                program(host.path(), &["produce", "in", &input, "--retry-for", "0", "--url", "http://127.0.0.1:1"]);
        }
        let Outcome { code, out, err } = run(command, b"");
        assert_eq!((code, out.as_str()), (3, ""), "{args:?}: {err}");
        assert!(err.contains("no host answers at http://127.0.0.1:1") && err.contains("--local"), "{args:?}: {err}");
    }
    let nowhere = host.path().join("nowhere");
    let mut command = program(host.path(), &["status", "--local"]);
    command.arg(&nowhere);
    let outcome = run(command, b"");
    assert!(outcome.code == 3 && outcome.err.contains("no host has written its address there"), "{outcome:?}");
}

#[test]
fn wrong_arguments_are_said_with_a_code_of_their_own() {
    let host = setup();
    for (args, said) in [
        (&["deploy", "f", "x.wasm"][..], "PIPELINE/FUNCTION"),
        (&["rollback", "pipe/f", "--to", "x"], "invalid value 'x'"),
        (&["history", "pipe/f", "--at", "in:1"], "TOPIC:PARTITION:OFFSET"),
        (&["produce", "a/b"], "is not a name"),
        (&["produce", "in", "--rate", "0"], "a number above 0"),
        (&["produce", "in", "--partition", "first"], "`by-key`"),
        (&["produce", "in", "--timestamp", "yesterday"], "milliseconds since 1970"),
        (&["consume", "in", "--from", "first"], "earliest, latest"),
        (&["consume", "in", "--from", "5"], "needs --partition"),
        (&["consume", "in", "--from", "0:5", "--partition", "1"], "leave --partition out"),
        (&["consume", "in", "--max", "0"], "0 is not in"),
    ] {
        let outcome = host.run(args, b"");
        assert!(outcome.code == 2 && outcome.err.contains(said), "{args:?}: {outcome:?}");
    }
}

#[test]
fn the_host_that_runs_here_is_found() {
    let host = setup();
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join(".millstream/pipe");
    std::fs::create_dir_all(&state).unwrap();
    for name in ["url", "token"] {
        std::fs::copy(host.path().join(name), state.join(name)).unwrap();
    }
    let here = |args: &[&str]| run(program(home.path(), args), b"x\n");
    assert_eq!(here(&["produce", "in"]).code, 0);
    assert_eq!(here(&["status", "pipe"]).code, 0);
    assert_eq!(here(&["rollback", "pipe/f", "--to", "1"]).code, 0);
    // The token belongs to the address of its directory, and goes along when that is given in words.
    let url = host.url();
    assert_eq!(here(&["produce", "in", "--url", &url]).code, 0);
    let elsewhere = tempfile::tempdir().unwrap();
    let outcome = run(program(elsewhere.path(), &["produce", "in", "--url", &url]), b"x\n");
    assert!(outcome.code == 1 && outcome.err.contains("needs `Authorization: Bearer`"), "{outcome:?}");
    let token = host.path().join("token");
    let mut command = program(elsewhere.path(), &["produce", "in"]);
    command.env("MILLSTREAM_URL", &url).env("MILLSTREAM_TOKEN", std::fs::read_to_string(&token).unwrap().trim());
    assert_eq!(run(command, b"x\n").code, 0);
    let mut command = program(elsewhere.path(), &["produce", "in", "--url", &url, "--token-file"]);
    command.arg(&token);
    assert_eq!(run(command, b"x\n").code, 0);
}

#[test]
fn wrong_tokens_and_addresses_are_said() {
    let host = setup();
    let url = host.url();
    let with = |text: &str, args: &[&str]| {
        let mut command = program(host.path(), args);
        command.env("MILLSTREAM_TOKEN", text);
        run(command, b"x\n")
    };
    let outcome = with("0123456789abcdef", &["produce", "in", "--url", &url]);
    assert!(outcome.code == 1 && outcome.err.contains("the token is another host's"), "{outcome:?}");
    let outcome = with("short", &["produce", "in", "--url", &url]);
    assert!(outcome.code == 1 && outcome.err.contains("MILLSTREAM_TOKEN holds no token"), "{outcome:?}");
    for (url, said) in [("https://127.0.0.1:1", "TLS is not there yet"), ("127.0.0.1:1", "begins with http://")] {
        let outcome = run(program(host.path(), &["status", "--url", url]), b"");
        assert!(outcome.code == 1 && outcome.err.contains(said), "{outcome:?}");
    }
}

#[test]
fn what_is_no_host_is_said() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4_096]).unwrap();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno").unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(program(folder.path(), &["history", "pipe/f", "--url", &url]), b"");
    answering.join().unwrap();
    assert!(outcome.code == 1 && outcome.err.contains("does not answer as a host of Millstream does"), "{outcome:?}");
}

#[test]
fn every_command_has_an_example_and_its_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    for args in COMMANDS {
        let outcome = run(program(folder.path(), &[args[0], "--help"]), b"");
        assert_eq!(outcome.code, 0);
        assert!(outcome.out.contains("Example") && outcome.out.contains("Exit codes: 0"), "{}", outcome.out);
    }
}
