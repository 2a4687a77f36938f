//! Lines over loopback, for tests.

use super::*;
use crate::wire::tls::{self, Expected, MachineKey};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// The source's end and the target's.
pub fn lines() -> (Arc<Line>, Arc<Line>) {
    let (source, target) = ways();
    let line = |side, (tls, socket)| Arc::new(Line::new(side, tls, socket).unwrap());
    (line(Side::Source, source), line(Side::Target, target))
}

/// What carries a line: the source's end and the target's.
pub fn ways() -> ((Connection, TcpStream), (Connection, TcpStream)) {
    ways_through(|target| target)
}

/// The same over a cable that brings so many bytes to either end after the handshake, and is cut then: what is under way is lost, and both ends are
/// told by a reset.
pub fn ways_of(bytes: [usize; 2]) -> ((Connection, TcpStream), (Connection, TcpStream)) {
    ways_through(|target| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (source, _) = listener.accept().unwrap();
            let target = TcpStream::connect(target).unwrap();
            let ends = [&source, &target].map(|end| socket2::Socket::from(end.try_clone().unwrap()));
            ends.iter().for_each(|end| end.set_linger(Some(std::time::Duration::ZERO)).unwrap());
            std::thread::scope(|scope| {
                for (from, to, most) in [(&source, &target, bytes[0]), (&target, &source, bytes[1])] {
                    scope.spawn(move || {
                        bring(from, to, HANDSHAKE + most);
                        // The other direction ends, too; the resets follow when both are closed.
                        let _ = (from.shutdown(Shutdown::Read), to.shutdown(Shutdown::Read));
                    });
                }
            });
        });
        near
    })
}

/// More than a handshake takes in either direction.
const HANDSHAKE: usize = 4096;

fn bring(mut from: &TcpStream, mut to: &TcpStream, most: usize) {
    let (mut left, mut bytes) = (most, [0; 4096]);
    while left > 0 {
        let take = left.min(bytes.len());
        match from.read(&mut bytes[..take]) {
            Ok(count) if count > 0 && to.write_all(&bytes[..count]).is_ok() => left -= count,
            _ => return,
        }
    }
}

fn ways_through(
    cable: impl FnOnce(SocketAddr) -> SocketAddr,
) -> ((Connection, TcpStream), (Connection, TcpStream)) {
    let (key, caller) = (MachineKey::passing().unwrap(), MachineKey::passing().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = cable(listener.local_addr().unwrap());
    let mut source = TcpStream::connect(near).unwrap();
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
