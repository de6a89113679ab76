//! Handshakes one after another, each waited for until the server has sent its tickets, for only then is it done.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::Mutex;

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, NamedGroup};

use super::Told;
use super::wire::{secure, tls};

/// Remembers the last ticket, and that one came.
#[derive(Debug, Default)]
struct Tickets(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    came: bool,
    last: Option<Tls13ClientSessionValue>,
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        Some(NamedGroup::X25519)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut state = self.0.lock().unwrap();
        state.came = true;
        state.last = Some(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap().last.take()
    }
}

impl Tickets {
    fn forget(&self, also_the_session: bool) {
        let mut state = self.0.lock().unwrap();
        state.came = false;
        if also_the_session {
            state.last = None;
        }
    }

    fn came(&self) -> bool {
        self.0.lock().unwrap().came
    }
}

pub(super) fn run(told: &Told) {
    let resumed = told.text("resumed").is_some();
    let tickets = Arc::new(Tickets::default());
    let store: Arc<dyn ClientSessionStore> = Arc::<Tickets>::clone(&tickets);
    let config = tls(told, Resumption::store(store)).unwrap();
    let number = told.number("handshakes", 1);
    // The first of a series that takes sessions up has none to take up; it is one of many and counts like the others.
    for turn in 0..number {
        tickets.forget(!resumed);
        let mut stream = secure(told.address(), &config);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        while !tickets.came() {
            match stream.conn.complete_io(&mut stream.sock) {
                Ok((0, 0)) => panic!("the server closed before it had sent a ticket"),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        let expected = if resumed && turn > 0 {
            HandshakeKind::Resumed
        } else {
            HandshakeKind::Full
        };
        assert_eq!(stream.conn.handshake_kind(), Some(expected));
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
    println!("handshakes={number}");
}
