//! What Rust's standard library for WASI 0.2 sees of its surroundings, as every record's value. Built once, see
//! `README.md`; without the SDK, whose log is not what is tried here.
#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({
    inline: "package millstream:released; world released { export millstream:udf/mapper@0.1.0; }",
    path: "../../wit/released/0.1.0", generate_all,
});

use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, io, net, thread};

use exports::millstream::udf::mapper;
use millstream::udf::types::{Batch, BytesColumn, Output};

struct Released;

fn look() -> String {
    let (variables, arguments) = (env::vars().count(), env::args().count());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_millis());
    let start = Instant::now();
    thread::sleep(Duration::from_secs(3));
    let slept = start.elapsed().as_secs();
    let input = io::read_to_string(io::stdin()).map_err(|error| error.kind());
    let file = fs::read("/etc/passwd").map(|_| ()).map_err(|error| error.kind());
    let written = fs::write("out", "").map_err(|error| error.kind());
    let socket = net::TcpStream::connect("127.0.0.1:80").map(|_| ()).map_err(|error| error.kind());
    let bound = net::UdpSocket::bind("0.0.0.0:0").map(|_| ()).map_err(|error| error.kind());
    format!(
        "{variables} variables, {arguments} arguments, now {now:?}, slept {slept} s, input {input:?}, \
         file {file:?}, written {written:?}, socket {socket:?}, bound {bound:?}"
    )
}

impl mapper::Guest for Released {
    fn apply(records: Batch) -> Result<Output, String> {
        let seen = look();
        let count = records.timestamps.len();
        for at in 0..count {
            let [from, to] = [at, at + 1].map(|at| records.values.offsets[at] as usize);
            let value = String::from_utf8_lossy(&records.values.data[from..to]);
            println!("saw {value}");
            match &*value {
                "panic" => panic!("the value is not a number"),
                "exit" => std::process::exit(3),
                "warn" => eprint!("a warning"),
                _ => {}
            }
        }
        let offsets = (0..=count).map(|at| (at * seen.len()) as u32).collect();
        let values = BytesColumn { offsets, data: seen.repeat(count).into_bytes(), validity: Vec::new() };
        Ok(Output {
            taken: count as u32,
            sources: None,
            ports: None,
            keys: None,
            values: Some(values),
            timestamps: None,
            headers: None,
            rejected: Vec::new(),
        })
    }
}

export!(Released);
