//! Stands between a connector and the real server that it reads over HTTP, and does what servers do on
//! bad days: refuses, hangs, breaks off, says something else than it holds.
//!
//! Plain HTTP/1.1 by hand, one request a connection, since it has to misbehave below what a server
//! library allows. What no script changes is the real server's own answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// Bytes of a body, at most.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a wait looks whether the test has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// What answers a request.
pub enum Turn {
    /// The real server.
    Pass,
    /// The real server, after that time.
    Wait(Duration),
    /// The real server's JSON, changed.
    Edit(Box<dyn FnOnce(&mut Value) + Send>),
    /// The real server, asked for that path instead.
    Rewrite(String),
    /// The first half of the real server's answer.
    Cut,
    /// The real server, with one header more.
    With(&'static str, String),
    /// This, without asking the real server: status, headers and body.
    Say(u16, Vec<(&'static str, String)>, Vec<u8>),
}

type Script = dyn Fn(&Asked) -> Turn + Send + Sync;

/// A port of its own that leads to a real server, for as long as it lives.
pub struct Between {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    script: Mutex<Arc<Script>>,
    asked: Mutex<Vec<Asked>>,
    is_closed: AtomicBool,
}

impl Between {
    /// Leads to the server at that address, and changes nothing yet.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0));
        let listener = listener.unwrap_or_else(|error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            script: Mutex::new(Arc::new(|_| Turn::Pass)),
            asked: Mutex::new(Vec::new()),
            is_closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { address: address.to_string(), shared }
    }

    /// Its own address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What happens to each request from now on; what was asked before is forgotten.
    pub fn script(&self, script: impl Fn(&Asked) -> Turn + Send + Sync + 'static) {
        *lock(&self.shared.script) = Arc::new(script);
        lock(&self.shared.asked).clear();
    }

    /// Every request since the script began, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.is_closed.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // A connection that breaks is its sender's trouble.
        std::thread::spawn(move || {
            let _ = serve(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(());
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (headers, body) = read_rest(&mut reader, false)?;
    let asked = Asked { method, path, headers, body };
    lock(&shared.asked).push(asked.clone());
    let script = Arc::clone(&lock(&shared.script));
    let forward = || exchange(&shared.upstream, &asked);
    match script(&asked) {
        Turn::Pass => write_answer(stream, &forward()?, 1),
        Turn::Wait(wait) => {
            let until = std::time::Instant::now() + wait;
            while std::time::Instant::now() < until && !shared.is_closed.load(Ordering::SeqCst) {
                std::thread::sleep(PAUSE);
            }
            write_answer(stream, &forward()?, 1)
        }
        Turn::Rewrite(path) => {
            let answer = exchange(&shared.upstream, &Asked { path, ..asked.clone() })?;
            write_answer(stream, &answer, 1)
        }
        Turn::Edit(edit) => {
            let mut answer = forward()?;
            let mut value = serde_json::from_slice(&answer.body)?;
            edit(&mut value);
            answer.body = serde_json::to_vec(&value)?;
            write_answer(stream, &answer, 1)
        }
        Turn::Cut => write_answer(stream, &forward()?, 2),
        Turn::With(name, value) => {
            let mut answer = forward()?;
            answer.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            answer.headers.push((name.to_owned(), value));
            write_answer(stream, &answer, 1)
        }
        Turn::Say(status, headers, body) => {
            let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value));
            write_answer(stream, &Told { status, headers: headers.collect(), body }, 1)
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Told {
    /// The status.
    pub status: u16,
    /// Headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Asks a server of the loopback and reads all of its answer.
pub fn exchange(address: &str, asked: &Asked) -> io::Result<Told> {
    let stream = TcpStream::connect(address)?;
    let mut request = format!("{} {} HTTP/1.1\r\n", asked.method, asked.path);
    let kept = |name: &str| !matches!(name, "host" | "connection" | "content-length");
    for (name, value) in asked.headers.iter().filter(|(name, _)| kept(name)) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = asked.body.len();
    request.push_str(&format!(
        "host: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    ));
    let mut writer = &stream;
    writer.write_all(request.as_bytes())?;
    writer.write_all(&asked.body)?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let (headers, body) = read_rest(&mut reader, true)?;
    Ok(Told { status, headers, body })
}

type Parts = (Vec<(String, String)>, Vec<u8>);

/// Reads headers and body; without a length up to the end, where an end may be waited for.
fn read_rest(reader: &mut BufReader<&TcpStream>, to_end: bool) -> io::Result<Parts> {
    let mut headers = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse::<usize>().ok());
    let length = length.unwrap_or(if to_end { BODY_BYTES_MAX } else { 0 });
    let mut body = Vec::new();
    reader.take(length.min(BODY_BYTES_MAX) as u64).read_to_end(&mut body)?;
    Ok((headers, body))
}

/// Writes that part of an answer: the first half for 2.
fn write_answer(mut stream: &TcpStream, told: &Told, part: usize) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Answered\r\n", told.status);
    for (name, value) in told.headers.iter().filter(|(name, _)| {
        !matches!(name.as_str(), "content-length" | "connection" | "transfer-encoding")
    }) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("connection: close\r\ncontent-length: {}\r\n\r\n", told.body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(&told.body[..told.body.len() / part])
}
