//! Bytes passed on between the gate and the registry, with a look at the requests that go by.

use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use super::raw::find;

/// A relay; it ends with the test process.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
}

impl Relay {
    /// Before the registry at this URL. Each piece of bytes that begins a request is shown to `look` before it goes on.
    pub fn before(url: &str, look: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let registry: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let look = Arc::new(look);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(registry) else {
                    return;
                };
                let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
                let look = Arc::clone(&look);
                thread::spawn(move || pass(client, server, &*look));
            }
        });
        Self { address }
    }

    /// As `upstream.url` has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, look: &dyn Fn(&str)) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        // Heads are small and come in one piece.
        if let Some(end) = find(&piece[..length], b" HTTP/1.1\r\n") {
            look(&String::from_utf8_lossy(&piece[..end]));
        }
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
