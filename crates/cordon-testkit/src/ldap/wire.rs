//! A wire between a client and a server that does something when so much has come over it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A wire to a server. What it is made for it does once, after so many bytes of the server's.
pub struct Cut {
    port: u16,
}

impl Cut {
    /// Listens on a port of its own and hands everything on to a server's.
    ///
    /// # Panics
    /// When there is no port.
    pub fn after(bytes: u64, server: u16, act: impl Fn() + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0));
        let listener = listener.unwrap_or_else(|error| panic!("no port: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let (came, act) = (Arc::new(AtomicU64::new(0)), Arc::new(act));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let pair = (client.try_clone(), server.try_clone());
                let (Ok(other_client), Ok(other_server)) = pair else { continue };
                thread::spawn(move || hand_on(&client, &server, |_| ()));
                let (came, act) = (Arc::clone(&came), Arc::clone(&act));
                thread::spawn(move || {
                    hand_on(&other_server, &other_client, |read| {
                        let before = came.fetch_add(read, Ordering::SeqCst);
                        if before < bytes && before + read >= bytes {
                            act();
                        }
                    });
                });
            }
        });
        Self { port }
    }

    /// The wire's address.
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }
}

fn hand_on(mut from: &TcpStream, mut to: &TcpStream, mut seen: impl FnMut(u64)) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        seen(read as u64);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
