//! Lines over loopback, for tests.

use super::*;
use crate::wire::tls::{self, Expected, MachineKey};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};
use std::net::TcpListener;
use std::sync::Arc;

/// The source's end and the target's.
pub fn lines() -> (Arc<Line>, Arc<Line>) {
    let (source, target) = ways();
    let line = |side, (tls, socket)| Arc::new(Line::new(side, tls, socket).unwrap());
    (line(Side::Source, source), line(Side::Target, target))
}

/// What carries a line: the source's end and the target's.
pub fn ways() -> ((Connection, TcpStream), (Connection, TcpStream)) {
    let (key, caller) = (MachineKey::passing().unwrap(), MachineKey::passing().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut source = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut target, _) = listener.accept().unwrap();
    let config = tls::client(Expected::new(None), &caller).unwrap();
    let mut client = ClientConnection::new(config, ServerName::try_from("machine").unwrap()).unwrap();
    let mut server = ServerConnection::new(tls::server(&key).unwrap()).unwrap();
    let server = std::thread::spawn(move || {
        server.complete_io(&mut target).unwrap();
        (server, target)
    });
    client.complete_io(&mut source).unwrap();
    let (server, target) = server.join().unwrap();
    ((client.into(), source), (server.into(), target))
}
