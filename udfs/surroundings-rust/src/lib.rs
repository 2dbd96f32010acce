//! Looks at everything that WASI 0.2 could tell it of its surroundings, once a call, and gives each record what it saw as
//! its value; prints a line for each. Some values make it do what a host must withstand. For tests of hosts, not for
//! pipelines.
#![cfg(target_arch = "wasm32")]

use std::fmt::Write as _;

use millstream_sdk::{Batch, BytesColumn, OutputColumns};
use wasip2::cli::{environment, exit, stderr, stdin, stdout, terminal_stderr, terminal_stdin, terminal_stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::io::poll::poll;
use wasip2::random::{insecure, insecure_seed, random};
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::{instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket};

/// One line of all that can be seen.
fn look() -> String {
    let mut seen = String::new();
    let (environment, arguments) = (environment::get_environment(), environment::get_arguments());
    let _ = write!(seen, "env {environment:?} args {arguments:?} cwd {:?}", environment::initial_cwd());
    let terminals = (
        terminal_stdin::get_terminal_stdin().is_some(),
        terminal_stdout::get_terminal_stdout().is_some(),
        terminal_stderr::get_terminal_stderr().is_some(),
    );
    let _ = write!(seen, "; terminals {terminals:?}");
    let input = stdin::get_stdin();
    let _ = write!(seen, "; input {:?} {:?}", input.blocking_read(10), input.skip(1));
    let _ = write!(seen, "; files {}", preopens::get_directories().len());
    let network = instance_network::instance_network();
    let name = ip_name_lookup::resolve_addresses(&network, "localhost").map(drop).map_err(|e| e.name());
    let tcp = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4).map(drop).map_err(|e| e.name());
    let udp = udp_create_socket::create_udp_socket(IpAddressFamily::Ipv6).map(drop).map_err(|e| e.name());
    let _ = write!(seen, "; sockets {name:?} {tcp:?} {udp:?}");
    let wall = wall_clock::now();
    let _ = write!(seen, "; wall {}.{:09}", wall.seconds, wall.nanoseconds);
    let _ = write!(seen, "; clock {} {}", monotonic_clock::now(), monotonic_clock::now());
    let second = monotonic_clock::subscribe_duration(1_000_000_000);
    let hour = monotonic_clock::subscribe_duration(3_600_000_000_000);
    let (early, ready) = (second.ready(), poll(&[&hour, &second, &input.subscribe()]));
    let due = poll(&[&hour, &second]);
    let _ = write!(seen, "; waited {early} {ready:?} {due:?} {} {}", second.ready(), monotonic_clock::now());
    monotonic_clock::subscribe_instant(5_000_000_000).block();
    let _ = write!(seen, " {}", monotonic_clock::now());
    let _ = write!(seen, "; random {:?} {:x}", random::get_random_bytes(3), random::get_random_u64());
    let _ = write!(seen, " {:?}", insecure::get_insecure_random_bytes(0));
    let _ = write!(seen, " {:x}", insecure::get_insecure_random_u64());
    let _ = write!(seen, " {:x?}", insecure_seed::insecure_seed());
    seen
}

/// Does what a host must withstand, when the value asks for it.
fn misbehave(value: &str) {
    match value {
        "poll" => {
            let ready = stdout::get_stdout().subscribe();
            loop {
                poll(&[&ready]);
            }
        }
        "poll nothing" => drop(poll(&[])),
        "exit" => exit::exit(Err(())),
        "exit well" => exit::exit(Ok(())),
        "exit with 7" => exit::exit_with_code(7),
        "panic" => panic!("the value is not a number"),
        "handles" => {
            for _ in 0..1_000_000 {
                std::mem::forget(stdout::get_stdout());
            }
        }
        "random" => drop(random::get_random_bytes(u64::MAX)),
        "zeroes" => drop(stdout::get_stdout().write_zeroes(u64::MAX)),
        "write" => drop(stdout::get_stdout().write(&vec![b'x'; 1 << 20])),
        // What is said before a trap, and cannot be a panic's.
        "traceback" => {
            let _ = stderr::get_stderr().write(b"Traceback (most recent call last):\n  in handle\nValueError: no");
            std::process::abort();
        }
        "binary" => drop(stdout::get_stdout().write(b"\xff\n")),
        "long" => {
            for _ in 0..100 {
                let _ = stdout::get_stdout().write(&[b'x'; 1 << 10]);
            }
        }
        _ => {}
    }
}

/// A line in two pieces, and an error where the value is one.
fn print(value: &str) {
    let out = stdout::get_stdout();
    let room = out.check_write();
    assert!(room.is_ok_and(|room| room >= 4_096), "a stream takes what WASI says it must");
    let _ = out.write(b"saw ").and_then(|()| out.blocking_write_and_flush(value.as_bytes()));
    let _ = out.blocking_write_and_flush(b"\n").and_then(|()| out.flush());
    if value == "warn" {
        let _ = stderr::get_stderr().write(b"a warning");
    }
}

/// Every record takes what was seen as its value.
pub fn apply(records: &Batch) -> Result<OutputColumns, String> {
    let seen = look();
    let count = records.timestamps.len();
    for at in 0..count {
        let value = records.values.get(at).map(String::from_utf8_lossy).unwrap_or_default();
        print(&value);
        misbehave(&value);
    }
    let values: BytesColumn = (0..count).map(|_| Some(seen.as_bytes())).collect();
    Ok(OutputColumns { taken: count as u32, values: Some(values), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, apply);
