//! A webhook's receiver: records what it gets, and answers as a test wants it to.
//!
//! Plain HTTP/1.1 by hand, since it has to misbehave below what a server library allows.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// Bytes of a body, at most.
const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Headers of a request, at most.
const HEADERS_MAX: usize = 100;
/// How long a hanging answer looks whether it may go on.
const HANG_PAUSE: Duration = Duration::from_millis(20);

/// How a receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// With that status.
    Status(u16),
    /// Takes the request and never answers.
    Hang,
    /// Takes the request and closes the connection.
    Close,
}

/// One request that came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path.
    pub path: String,
    /// Headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How it was answered.
    pub response: Response,
}

impl Request {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }

    /// The changes in the body.
    ///
    /// # Panics
    /// When the body is no JSON with a list of changes.
    #[track_caller]
    pub fn changes(&self) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the body is no JSON: {error}"));
        match body.get("changes") {
            Some(Value::Array(changes)) => changes.clone(),
            other => panic!("no list of changes but {other:?}"),
        }
    }
}

/// A server on a port of its own, for as long as it lives.
pub struct Receiver {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    is_closed: AtomicBool,
}

struct State {
    response: Response,
    requests: Vec<Request>,
}

impl Receiver {
    /// Starts a receiver that answers 204.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0));
        let listener = listener.unwrap_or_else(|error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let state = State { response: Response::Status(204), requests: Vec::new() };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), is_closed: AtomicBool::new(false) });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { url: format!("http://{address}/hook"), shared }
    }

    /// Where to post.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers so from now on; what hangs goes on when it need not hang any more.
    pub fn answer(&self, response: Response) {
        self.shared.state().response = response;
    }

    /// Every request that came, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// Changes of all requests that were answered with success, in order.
    ///
    /// # Panics
    /// When a body is no JSON with a list of changes.
    #[track_caller]
    pub fn changes(&self) -> Vec<Value> {
        let requests = self.requests();
        let taken = |request: &&Request| matches!(request.response, Response::Status(status) if (200..300).contains(&status));
        requests.iter().filter(taken).flat_map(Request::changes).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let address = self.url.trim_start_matches("http://").trim_end_matches("/hook");
        let _ = TcpStream::connect(address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.is_closed() {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // A connection that breaks is its sender's trouble.
        std::thread::spawn(move || serve(&stream, &shared));
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some((path, headers, body)) = read_request(&mut reader)? {
        let response = {
            let mut state = shared.state();
            let response = state.response;
            state.requests.push(Request { path, headers, body, response });
            response
        };
        match response {
            Response::Status(status) => {
                write!(writer, "HTTP/1.1 {status} Scripted\r\ncontent-length: 0\r\n\r\n")?;
            }
            Response::Close => return Ok(()),
            Response::Hang => {
                while shared.state().response == Response::Hang && !shared.is_closed() {
                    std::thread::sleep(HANG_PAUSE);
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

type Parts = (String, Vec<(String, String)>, Vec<u8>);

/// Reads a request; none when the connection ended between two.
fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Parts>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    while headers.len() < HEADERS_MAX {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: u64 = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    if body.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((path, headers, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Posts a body; gives the status line, empty when there is none.
    fn post(url: &str, body: &str) -> String {
        let address = url.trim_start_matches("http://").trim_end_matches("/hook");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST /hook HTTP/1.1\r\nWebhook-Id: a/1-1\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut line = String::new();
        let _ = BufReader::new(stream).read_line(&mut line);
        line
    }

    #[test]
    fn a_receiver_records_and_answers_as_it_is_told() {
        let receiver = Receiver::start();
        let body = r#"{"changes":[{"seq":1}]}"#;
        assert!(post(receiver.url(), body).contains(" 204 "));
        receiver.answer(Response::Status(503));
        assert!(post(receiver.url(), body).contains(" 503 "));
        receiver.answer(Response::Close);
        assert_eq!(post(receiver.url(), body), "");
        receiver.answer(Response::Hang);
        assert_eq!(post(receiver.url(), body), "");
        let requests = receiver.requests();
        assert_eq!(requests.len(), 4);
        assert_eq!(requests[0].header("webhook-id"), Some("a/1-1"));
        // Only what was taken counts as delivered.
        assert_eq!(receiver.changes(), [serde_json::json!({ "seq": 1 })]);
    }
}
