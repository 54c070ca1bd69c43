//! A service manager as far as the service can tell: a datagram socket that hears what it says.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use crate::wait_until;

/// The socket's name in the host's folder. The service is told of it when it is there.
pub(super) const SOCKET: &str = "notify.sock";

/// How long the service may take to say something.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the service said, so far as it was listened to.
pub struct ServiceManager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl ServiceManager {
    #[track_caller]
    pub(super) fn listen(folder: &Path) -> Self {
        let socket = UnixDatagram::bind(folder.join(SOCKET))
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .unwrap_or_else(|error| panic!("no socket for a service manager: {error}"));
        Self { socket, heard: Vec::new() }
    }

    /// Every line so far, such as `WATCHDOG=1`.
    pub fn heard(&mut self) -> &[String] {
        let mut message = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..length]);
            self.heard.extend(text.lines().map(str::to_owned));
        }
        &self.heard
    }

    /// How many lines begin so.
    pub fn count(&mut self, beginning: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(beginning)).count()
    }

    /// Waits until so many lines begin so.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    pub fn wait_for(&mut self, beginning: &str, lines: usize) {
        wait_until(beginning, DEADLINE, || self.count(beginning) >= lines);
    }
}
