//! The system's log: one datagram for an event, to the socket that syslog daemons and journald read.
//!
//! `<priority>Mon DD HH:MM:SS DTCL[process]: event <id> <severity>: <text>` (RFC 3164 without the host, as local senders do). A thread sends, so
//! that nothing waits for a slow daemon; what it has no room for, or nobody takes, stands in the engine's own log alone, which says so
//! once for a row of failures.

use super::event::{Severity, Told};
use jiff::Zoned;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Facility `daemon`.
const DAEMON: u8 = 3 << 3;
/// Bytes of a datagram: what daemons take by default.
const MOST: usize = 2048;
/// Events that wait for a slow daemon.
const ROOM: usize = 1024;
/// How long one may take to take an event.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hears why events do not reach the system's log: the first time of a row.
pub type Complaint = Box<dyn Fn(&str) + Send + Sync>;

/// See the module. Its thread ends when it is dropped and all is sent.
pub struct SystemLog {
    events: SyncSender<Vec<u8>>,
    waiting: Arc<Waiting>,
}

/// How many are still to be sent.
#[derive(Default)]
struct Waiting {
    count: Mutex<usize>,
    fewer: Condvar,
    complaint: Mutex<Option<Complaint>>,
    /// That events do not get through was told.
    told: Mutex<bool>,
}

impl SystemLog {
    /// Opens the socket with the first event. The error: no thread could be started.
    pub fn new(path: PathBuf, complaint: Complaint) -> io::Result<SystemLog> {
        let (events, queue) = sync_channel(ROOM);
        let waiting = Arc::new(Waiting { complaint: Mutex::new(Some(complaint)), ..Waiting::default() });
        let sends = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("syslog".to_owned())
            .spawn(move || send_all(&queue, &path, &sends))?;
        Ok(SystemLog { events, waiting })
    }

    /// Has an event sent.
    pub fn send(&self, told: &Told<'_>) {
        self.waiting.change(1);
        match self.events.try_send(datagram(told, &Zoned::now())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.waiting.change(-1);
                self.waiting.sent(Err("too many wait to be sent".to_owned()));
            }
        }
    }

    /// Waits until all is sent, a while.
    pub fn flush(&self) {
        let count = self.waiting.count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.waiting.fewer.wait_timeout_while(count, PATIENCE, |count| *count > 0));
    }
}

impl Waiting {
    fn change(&self, by: isize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_add_signed(by);
        self.fewer.notify_all();
    }

    fn sent(&self, how: Result<(), String>) {
        let failed = how.is_err();
        let mut told_of = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = *told_of;
        // A row of failures ends when all that waited has got through.
        *told_of = failed || told && *self.count.lock().unwrap_or_else(PoisonError::into_inner) > 1;
        drop(told_of);
        if let (Err(why), false) = (how, told)
            && let Some(complaint) = &*self.complaint.lock().unwrap_or_else(PoisonError::into_inner)
        {
            complaint(&why);
        }
    }
}

fn send_all(queue: &Receiver<Vec<u8>>, path: &Path, waiting: &Waiting) {
    let mut open: Option<UnixDatagram> = None;
    for text in queue {
        // A daemon that was started again has another socket.
        let again = |_: io::Error| dial(path).and_then(|socket| socket.send(&text).map(|_| socket));
        let sent = match open.take() {
            Some(socket) => match socket.send(&text) {
                Ok(_) => Ok(socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
                Err(error) => again(error),
            },
            None => again(io::Error::other("closed")),
        };
        waiting.sent(sent.map(|socket| open = Some(socket)).map_err(|error| error.to_string()));
        waiting.change(-1);
    }
}

fn dial(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(path)?;
    Ok(socket)
}

fn datagram(told: &Told<'_>, now: &Zoned) -> Vec<u8> {
    let severity = told.event.severity();
    let level = match severity {
        Severity::Information => 6,
        Severity::Warning => 4,
        Severity::Error => 3,
    };
    let mut text = format!(
        "<{}>{} DTCL[{}]: event {} {}: {}",
        DAEMON | level,
        now.strftime("%b %e %H:%M:%S"),
        std::process::id(),
        told.event.id(),
        severity.word(),
        told.text
    );
    let end = (0..=MOST.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text.truncate(end);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::*;

    #[test]
    fn an_event_is_one_datagram_with_its_number_and_severity() {
        let now: Zoned = "2024-05-04T08:31:07+02:00[Europe/Berlin]".parse().unwrap();
        let sent = datagram(&Told { event: Event::AutoDisconnectBegun, text: "to b\u{e4}r" }, &now);
        let process = std::process::id();
        let expected = format!("<28>May  4 08:31:07 DTCL[{process}]: event 4007 Warning: to b\u{e4}r");
        assert_eq!(String::from_utf8(sent).unwrap(), expected);
        let levels = [(Event::Connected, "<30>"), (Event::TaskFailed, "<27>")];
        for (event, start) in levels {
            assert!(datagram(&Told { event, text: "" }, &now).starts_with(start.as_bytes()), "{event:?}");
        }
        let long = "\u{e4}".repeat(MOST);
        let sent = datagram(&Told { event: Event::Connected, text: &long }, &now);
        assert!(sent.len() <= MOST && String::from_utf8(sent).is_ok());
    }

    #[test]
    fn a_daemon_that_is_not_there_is_told_once_and_one_that_comes_back_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let told = Arc::new(Mutex::new(0));
        let counts = Arc::clone(&told);
        let log = SystemLog::new(path.clone(), Box::new(move |_| *counts.lock().unwrap() += 1)).unwrap();
        let send = || {
            log.send(&Told { event: Event::Connected, text: "x" });
            log.flush();
            *told.lock().unwrap()
        };
        assert_eq!((send(), send()), (1, 1), "it was told already");
        for _ in 0..2 {
            let daemon = UnixDatagram::bind(&path).unwrap();
            assert_eq!(send(), 1);
            let mut buffer = [0; MOST];
            let length = daemon.recv(&mut buffer).unwrap();
            assert!(String::from_utf8_lossy(&buffer[..length]).ends_with("event 4016 Information: x"));
            std::fs::remove_file(&path).unwrap();
        }
        assert_eq!(send(), 2, "a new outage is told");
    }

    #[test]
    fn a_daemon_that_reads_nothing_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let _daemon = UnixDatagram::bind(dir.path().join("log")).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&told);
        let complaint = Box::new(move |why: &str| hears.lock().unwrap().push(why.to_owned()));
        let log = SystemLog::new(dir.path().join("log"), complaint).unwrap();
        let text = "x".repeat(1000);
        let began = std::time::Instant::now();
        (0..10_000).for_each(|_| log.send(&Told { event: Event::Connected, text: &text }));
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        assert_eq!(told.lock().unwrap().as_slice(), ["too many wait to be sent"]);
    }
}
