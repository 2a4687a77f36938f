//! What tests hear of events: a daemon at a socket, or an ear at a log of one's own.

use super::event::Event;
use super::{EngineLog, Entered};
use crate::engine::settings::LogSettings;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A system log: it hears what engines say.
pub struct Daemon(std::sync::mpsc::Receiver<(u32, String)>, Mutex<Vec<u32>>);

impl Daemon {
    pub fn at(path: &Path) -> Daemon {
        let socket = UnixDatagram::bind(path).unwrap();
        let (told, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
                if told.send(parsed(&text)).is_err() {
                    return;
                }
            }
        });
        Daemon(heard, Mutex::default())
    }

    /// The text of the next event of that kind; those before it are passed over.
    pub fn until(&self, event: Event) -> String {
        let mut others = Vec::new();
        loop {
            match self.0.recv_timeout(Duration::from_secs(30)) {
                Ok((id, text)) if id == event.id() => {
                    *self.1.lock().unwrap() = others.iter().map(|(id, _): &(u32, String)| *id).collect();
                    return text;
                }
                Ok(other) => others.push(other),
                Err(_) => panic!("no {event:?} came, only {others:#?}"),
            }
        }
    }

    /// The events that came before the one that was waited for last.
    pub fn passed_over(&self) -> Vec<u32> {
        self.1.lock().unwrap().clone()
    }

    /// Those that have come.
    pub fn so_far(&self) -> Vec<(u32, String)> {
        self.0.try_iter().collect()
    }
}

/// Number and text; the severity is the table's.
fn parsed(text: &str) -> (u32, String) {
    let (_, event) = text.split_once("]: event ").unwrap();
    let (head, rest) = event.split_once(": ").unwrap();
    let (id, severity) = head.split_once(' ').unwrap();
    let id = id.parse().unwrap();
    let event = Event::ALL.iter().find(|event| event.id() == id).unwrap();
    assert_eq!(event.severity().word(), severity, "{text}");
    (id, rest.to_owned())
}

/// A log for code that has no engine around it; what is told on this thread, and on those that inherit its log, is heard.
pub struct Ear {
    heard: Arc<Mutex<Vec<(Event, String)>>>,
    _entered: Entered,
    /// While there are two logs, what entered none of them is heard by neither: threads of other tests.
    _other: EngineLog,
    _dir: tempfile::TempDir,
}

impl Ear {
    pub fn new() -> Ear {
        let dir = tempfile::tempdir().unwrap();
        let settings = LogSettings {
            directory: dir.path().to_owned(),
            base: "log".into(),
            max_size: 1 << 20,
            max_files: 1,
            level: 3,
        };
        let log = EngineLog::open(&settings).unwrap();
        let other = EngineLog::open(&LogSettings { base: "other".into(), ..settings }).unwrap();
        let heard = Arc::<Mutex<Vec<(Event, String)>>>::default();
        let hears = Arc::clone(&heard);
        log.listen(Box::new(move |told| hears.lock().unwrap().push((told.event, told.text.to_owned()))));
        Ear { heard, _entered: log.enter(), _other: other, _dir: dir }
    }

    /// The events since it was asked last.
    pub fn events(&self) -> Vec<Event> {
        self.heard.lock().unwrap().drain(..).map(|(event, _)| event).collect()
    }

    /// The same, with what they say.
    pub fn told(&self) -> Vec<(Event, String)> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}
