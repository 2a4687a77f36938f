//! The engine log: `dtlogN.dtl`, eight columns a line (reference-guide.md 2.1 and 2.2).
//!
//! Everyone writes with `tracing`: `error!` and `warn!` are alerts (type 1), `info!` information (type 2), `debug!` and
//! `trace!` appear at `LogMessageLevel` 3 only. A field `id` is the message's number. Names of any bytes go through
//! `escape` first; what still would break a line is escaped here. A log that cannot be written never stops the engine.

mod escape;
mod file;
mod line;
mod route;

pub use escape::escape;
pub use line::Kind;
pub use route::{Entered, current, inherit, inherit_task};

use super::home::make_private;
use super::settings::LogSettings;
use crate::api::ApiError;
use file::{Files, Shape};
use jiff::Zoned;
use line::Message;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The log of one engine. Clones are the same log; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct EngineLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    level: AtomicU8,
    dropped: AtomicU64,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    files: Files,
    sequence: u64,
    /// Lines dropped since the last one that was written.
    missing: u64,
}

fn shape(settings: &LogSettings) -> Shape {
    Shape {
        directory: settings.directory.clone(),
        base: settings.base.clone(),
        max_size: settings.max_size,
        max_files: settings.max_files,
    }
}

impl EngineLog {
    /// Makes the directory if it is missing; a file is made with the first line. From now on `tracing` feeds it.
    pub fn open(settings: &LogSettings) -> Result<Self, ApiError> {
        make_private(&settings.directory)?;
        let writer = Writer { files: Files::new(shape(settings)), sequence: 0, missing: 0 };
        let log = Self(Arc::new(Shared {
            level: AtomicU8::new(settings.level),
            dropped: AtomicU64::new(0),
            writer: Mutex::new(writer),
        }));
        route::register(Arc::downgrade(&log.0));
        Ok(log)
    }

    /// Takes changed settings over, from the next line on.
    pub fn configure(&self, settings: &LogSettings) {
        self.0.level.store(settings.level, Relaxed);
        self.writer().files.configure(shape(settings));
        route::levels_changed();
    }

    /// Events of this thread go to this log until the guard is dropped.
    pub fn enter(&self) -> Entered {
        route::enter(self)
    }

    /// Writes one line, if the level lets it through. `id` 0: the message has none.
    pub fn write(&self, kind: Kind, id: u32, text: &str) {
        if kind.level() > self.0.level.load(Relaxed) {
            return;
        }
        let thread = thread_id();
        // Taken inside, so that times and sequence numbers rise together.
        let mut writer = self.writer();
        let now = Zoned::now();
        if writer.missing > 0 {
            let text = format!("{} messages are missing here: the log could not be written", writer.missing);
            let message = Message { kind: Kind::Alert, id: 0, text: &text };
            if writer.put(&message, &now, thread) {
                writer.missing = 0;
            }
        }
        if writer.missing > 0 || !writer.put(&Message { kind, id, text }, &now, thread) {
            writer.missing += 1;
            self.0.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Lines that could not be written since the engine was opened.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// The file that was written last; none before the first line.
    pub fn file(&self) -> Option<PathBuf> {
        self.writer().files.path()
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// False: the line is lost. Its number is used up then, so that a gap shows.
    fn put(&mut self, message: &Message<'_>, now: &Zoned, thread: i32) -> bool {
        self.sequence += 1;
        self.files.write(&message.line(now, thread, self.sequence)).is_ok()
    }
}

fn thread_id() -> i32 {
    thread_local! {
        static ID: i32 = nix::unistd::gettid().as_raw();
    }
    ID.try_with(|id| *id).unwrap_or(0)
}

#[cfg(test)]
mod tests;
