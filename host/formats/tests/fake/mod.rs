//! A made-up Schema Registry: HTTP/1.1 on 127.0.0.1, answers by a function, every request written down.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Method and path.
    pub line: String,
    /// Its `authorization` header.
    pub authorization: Option<String>,
    /// Its body.
    pub body: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Status, more headers (each with its line end), body.
    Send(u16, String, String),
    /// Nothing for so long, then the connection ends.
    Silence(Duration),
    /// The connection ends.
    HangUp,
}

/// An answer in JSON.
pub fn json(status: u16, body: &str) -> Answer {
    Answer::Send(status, String::new(), body.to_string())
}

type Answers = Box<dyn Fn(usize, &Asked) -> Answer + Send + Sync>;

/// See the module.
pub struct Registry {
    /// Where it listens.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Registry {
    /// `answers`: how many requests came before, and the request.
    pub fn start(answers: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (all, stop, answers) = (asked.clone(), ended.clone(), Arc::new(Box::new(answers) as Answers));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), all, answers) = (stream, all.clone(), answers.clone()) else { continue };
                std::thread::spawn(move || drop(serve(stream, &all, &answers)));
            }
        });
        Self { address, asked, ended, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.thread.take().map(JoinHandle::join);
    }
}

/// One request a connection.
fn serve(stream: TcpStream, asked: &Mutex<Vec<Asked>>, answers: &Answers) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut one = Asked::default();
    reader.read_line(&mut one.line)?;
    one.line = one.line.trim_end().trim_end_matches(" HTTP/1.1").to_string();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_lowercase().as_str() {
            "authorization" => one.authorization = Some(value.trim().to_string()),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    one.body = String::from_utf8_lossy(&body).into_owned();
    let before = {
        let mut asked = asked.lock().unwrap();
        asked.push(one.clone());
        asked.len() - 1
    };
    match answers(before, &one) {
        Answer::HangUp => Ok(()),
        Answer::Silence(time) => {
            std::thread::sleep(time);
            Ok(())
        }
        Answer::Send(status, headers, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
            (&stream).write_all(head.as_bytes())?;
            (&stream).write_all(body.as_bytes())
        }
    }
}
