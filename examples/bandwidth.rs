//! What a bandwidth limit lets over the wire: a line over loopback, with a relay in between that counts what passes, and when.
//! `cargo run --release --example bandwidth [<seconds>]`, 10 by default. Figures for docs/design/schedules.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use dtcl::api::BandwidthSpec::{self, Burst, Kbit};
use dtcl::engine::transmission::{Limit, Throttle};
use dtcl::wire::data::{Channel, Ear, Heard, Line, Sent, Side};
use dtcl::wire::tls::{self, Expected, MachineKey};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// When how many bytes passed from source to target.
type Passed = Arc<Mutex<Vec<(Instant, u64)>>>;

fn relay(to: std::net::SocketAddr, passed: Passed) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut from, _) = listener.accept().unwrap();
        let mut to = TcpStream::connect(to).unwrap();
        to.set_nodelay(true).unwrap();
        from.set_nodelay(true).unwrap();
        let (mut back_from, mut back_to) = (to.try_clone().unwrap(), from.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back_from, &mut back_to));
        let mut buffer = vec![0; 1 << 20];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            passed.lock().unwrap().push((Instant::now(), count as u64));
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // Who copies the other way holds it, too.
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    address
}

fn lines(passed: &Passed) -> (Arc<Line>, Arc<Line>) {
    let (key, caller) = (MachineKey::passing().unwrap(), MachineKey::passing().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = relay(listener.local_addr().unwrap(), Arc::clone(passed));
    let mut source = TcpStream::connect(address).unwrap();
    let (mut target, _) = listener.accept().unwrap();
    source.set_nodelay(true).unwrap();
    let config = tls::client(Expected::new(None), &caller).unwrap();
    let mut client = ClientConnection::new(config, ServerName::try_from("machine").unwrap()).unwrap();
    let mut server = ServerConnection::new(tls::server(&key).unwrap()).unwrap();
    let server = std::thread::spawn(move || {
        server.complete_io(&mut target).unwrap();
        (server, target)
    });
    client.complete_io(&mut source).unwrap();
    let (server, target) = server.join().unwrap();
    let line = |side, tls: rustls::Connection, socket| Arc::new(Line::new(side, tls, socket).unwrap());
    (line(Side::Source, client.into(), source), line(Side::Target, server.into(), target))
}

fn measure(spec: BandwidthSpec, seconds: u64) {
    let limit = Limit::try_from(spec).unwrap();
    let passed = Passed::default();
    let (source, target) = lines(&passed);
    let gate = Arc::new(Throttle::default());
    gate.limit(Some(limit));
    source.pass(gate);
    let hears = std::thread::spawn(move || {
        let mut ear = Ear::of(&target, None);
        while let Ok(Heard::Frame(_, frame)) = ear.hear(Vec::new) {
            target.took(Channel::Ops, frame.len());
        }
    });
    let ear_of_source = {
        let source = Arc::clone(&source);
        std::thread::spawn(move || {
            let mut ear = Ear::of(&source, None);
            while ear.hear(Vec::new).is_ok() {}
        })
    };
    passed.lock().unwrap().clear();
    let began = Instant::now();
    let stops = {
        let source = Arc::clone(&source);
        std::thread::spawn(move || {
            // Two seconds before the first count, and one more at the end.
            std::thread::sleep(Duration::from_secs(seconds + 3));
            source.break_off();
        })
    };
    let frame = vec![7; 256 << 10];
    while source.offer(&frame, None, &mut Sent::default()).is_ok() {}
    stops.join().unwrap();
    hears.join().unwrap();
    ear_of_source.join().unwrap();
    let passed = passed.lock().unwrap();
    let (bytes, span) = limit.most();
    let from = began + Duration::from_secs(2);
    let until = from + Duration::from_secs(seconds);
    let went: u64 = passed.iter().filter(|(at, _)| (from..until).contains(at)).map(|(_, bytes)| bytes).sum();
    let most_in = |span: Duration| {
        let (mut most, mut sum, mut first) = (0, 0, 0);
        for (at, count) in passed.iter() {
            sum += count;
            while at.duration_since(passed[first].0) >= span {
                sum -= passed[first].1;
                first += 1;
            }
            most = most.max(sum);
        }
        most
    };
    let share = |bytes: u64, of: u64| 100.0 * bytes as f64 / of as f64;
    println!(
        "{limit:<55} {:>7.2} % of it in {seconds} s, at most {:>7.2} % in {} s, {:>6.1} % in 100 ms",
        share(went * span.as_secs(), bytes * seconds),
        share(most_in(span), bytes),
        span.as_secs(),
        share(most_in(Duration::from_millis(100)), bytes / (10 * span.as_secs())),
    );
}

fn main() {
    let seconds = std::env::args().nth(1).map_or(10, |seconds| seconds.parse().unwrap());
    for spec in [
        Kbit(28),
        Kbit(1000),
        Kbit(10_000),
        Kbit(100_000),
        Kbit(1_000_000),
        Burst { bytes: 1_250_000, seconds: 1 },
        Burst { bytes: 1_000_000, seconds: 5 },
    ] {
        measure(spec, seconds);
    }
}
