//! A cable between a source and a target, which can be cut: what is under way is lost, and both ends are told by a reset.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Cable {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Line {
    ends: [TcpStream; 2],
    is_cut: AtomicBool,
}

#[derive(Default)]
struct Shared {
    lines: Mutex<Vec<Arc<Line>>>,
    /// Nothing gets through.
    out: AtomicBool,
}

impl Cable {
    pub fn to(target: SocketAddr) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::new(Shared::default()));
        let lines = Arc::clone(&shared);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), false) = (near, lines.out.load(Relaxed)) else { continue };
                let Ok(far) = TcpStream::connect(target) else { continue };
                let line = Arc::new(Line { ends: [near, far], is_cut: AtomicBool::new(false) });
                for end in &line.ends {
                    socket2::SockRef::from(end).set_linger(Some(Duration::ZERO)).unwrap();
                    end.set_nodelay(true).unwrap();
                }
                lines.lines.lock().unwrap().push(Arc::clone(&line));
                for from in 0..2 {
                    let line = Arc::clone(&line);
                    std::thread::spawn(move || bring(&line, from));
                }
            }
        });
        Cable { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts what is there; how many lines that were.
    pub fn cut(&self) -> usize {
        let lines = std::mem::take(&mut *self.shared.lines.lock().unwrap());
        for line in &lines {
            line.is_cut.store(true, Relaxed);
            // The sockets close, and send resets, when the threads that bring bytes have ended.
            line.ends.iter().for_each(|end| drop(end.shutdown(Shutdown::Read)));
        }
        lines.len()
    }

    pub fn pull_out(&self, out: bool) {
        self.shared.out.store(out, Relaxed);
        if out {
            self.cut();
        }
    }
}

fn bring(line: &Line, from: usize) {
    let (mut from, mut to) = (&line.ends[from], &line.ends[1 - from]);
    let mut bytes = [0; 16 << 10];
    while let Ok(count) = from.read(&mut bytes)
        && count > 0
        && !line.is_cut.load(Relaxed)
        && to.write_all(&bytes[..count]).is_ok()
    {}
    if !line.is_cut.load(Relaxed) {
        // An end in good order is handed on.
        let _ = to.shutdown(Shutdown::Write);
    }
}
