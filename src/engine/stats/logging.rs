//! STATLOG: a snapshot into `statistic.sts` each `StatsWriteInterval`, while something happens (reference-guide.md 3.2).
//!
//! A thread wakes once a second while it is on. A file that cannot be written is told in the log once, until it can be again.

use super::file::{BadFile, StatisticsFile};
use super::lock;
use crate::api::statistics::Snapshot;
use crate::api::{ApiError, Code, Reply, StatisticsLog};
use crate::engine::connect::mapping::shown;
use crate::engine::log::inherit;
use crate::engine::{Engine, settings::StatisticsSettings};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often it is looked whether a snapshot is due.
const LOOK: Duration = Duration::from_secs(1);

/// A statistics file that snapshots are added to, by whoever has it.
#[derive(Debug)]
pub struct Recorder {
    file: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    file: StatisticsFile,
    last: Option<Snapshot>,
    /// It could not be written, and that was said.
    failing: bool,
}

impl Recorder {
    fn new(file: StatisticsFile) -> Recorder {
        Recorder { file: Mutex::new(Written { file, last: None, failing: false }) }
    }

    pub fn path(&self) -> PathBuf {
        lock(&self.file).file.path().to_owned()
    }

    /// Adds a snapshot, if something has happened since the last one.
    pub fn add(&self, snapshot: Snapshot, limit: u64) {
        let mut written = lock(&self.file);
        if written.last.as_ref().is_some_and(|last| !snapshot.moved_since(last)) {
            return;
        }
        written.file.set_limit(limit);
        match written.file.add(&snapshot) {
            Ok(()) => {
                written.last = Some(snapshot);
                if std::mem::take(&mut written.failing) {
                    tracing::info!("Statistics are written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut written.failing, true) {
                    let path = shown(written.file.path());
                    tracing::warn!(
                        "The statistics file {path} could not be written, it is tried again: {error}"
                    );
                }
            }
        }
    }
}

/// Statistics logging of an engine, and the files that are written.
#[derive(Debug, Default)]
pub struct Logging {
    on: Mutex<On>,
    changed: Condvar,
    /// Those that are written now: one file has one writer.
    files: Mutex<Vec<Weak<Recorder>>>,
}

#[derive(Debug, Default)]
struct On {
    recorder: Option<Arc<Recorder>>,
    /// Which start it was: the thread of another one ends.
    start: u64,
    written: Option<Instant>,
}

impl Engine {
    pub(in crate::engine) fn statlog(&self, running: Option<bool>) -> Result<Reply, ApiError> {
        match running {
            Some(true) => self.statlog_start()?,
            Some(false) if self.statlog_stop() => {}
            Some(false) => {
                return Err(ApiError::new(Code::InvalidParameterWasSupplied, "statistics are not logged")
                    .help("STATLOG START begins it"));
            }
            None => return Ok(Reply::StatisticsLog(self.statlog_status())),
        }
        Ok(Reply::Done)
    }

    /// STATLOG START. -101 if it runs already, -143 if there is no such file to be had.
    pub(in crate::engine) fn statlog_start(&self) -> Result<(), ApiError> {
        let engine = self.me();
        let settings = self.kept.settings.statistics();
        let mut on = lock(&self.statlog.on);
        if let Some(recorder) = &on.recorder {
            return Err(ApiError::new(
                Code::InvalidParameterWasSupplied,
                format!("statistics are logged already, to {}", shown(recorder.path())),
            )
            .help("STATLOG STOP ends it"));
        }
        let recorder = self.statistics_file(&settings.file, &settings)?;
        on.start += 1;
        let start = on.start;
        let work = inherit(move || run(&engine, start));
        std::thread::Builder::new()
            .name("statistics".to_owned())
            .spawn(work)
            .map_err(|error| ApiError::no_thread(&error))?;
        tracing::info!("Statistics are logged to {}", shown(recorder.path()));
        (on.recorder, on.written) = (Some(recorder), None);
        Ok(())
    }

    /// STATLOG STOP. False: it did not run.
    pub(in crate::engine) fn statlog_stop(&self) -> bool {
        let stopped = {
            let mut on = lock(&self.statlog.on);
            self.statlog.changed.notify_all();
            on.recorder.take()
        };
        if let Some(recorder) = &stopped {
            recorder.add(self.snapshot(), self.kept.settings.statistics().limit);
            tracing::info!("Statistics are no longer logged");
        }
        stopped.is_some()
    }

    /// STATLOG STATUS.
    pub(in crate::engine) fn statlog_status(&self) -> StatisticsLog {
        let settings = self.kept.settings.statistics();
        let running = lock(&self.statlog.on).recorder.as_ref().map(|recorder| recorder.path());
        let file = running.clone().unwrap_or_else(|| self.log_dir().join(&settings.file));
        StatisticsLog {
            running: running.is_some(),
            bytes: std::fs::metadata(&file).map_or(0, |status| status.len()),
            file: shown(&file),
            limit: settings.limit,
            interval_minutes: settings.interval.as_secs() / 60,
            keeps_old: settings.keep,
            at_start: settings.at_start,
        }
    }

    /// `StatsLoggingOn`.
    pub(in crate::engine) fn statlog_begins(&self) {
        let _entered = self.kept.log.enter();
        if self.kept.settings.statistics().at_start
            && let Err(error) = self.statlog_start()
        {
            tracing::error!("Statistics cannot be logged (StatsLoggingOn): {error}");
        }
    }

    /// Writes a snapshot if one is due.
    pub(in crate::engine) fn statlog_look(&self) {
        let settings = self.kept.settings.statistics();
        let now = self.clock.now();
        // Under the lock: who looks next finds it written.
        let mut on = lock(&self.statlog.on);
        let due = on.written.is_none_or(|at| now.saturating_duration_since(at) >= settings.interval);
        if let Some(recorder) = on.recorder.clone().filter(|_| due) {
            on.written = Some(now);
            recorder.add(self.snapshot(), settings.limit);
        }
    }

    /// The file of that name: in the log directory, or an absolute path. One that is written already is shared. -143 for what is none.
    pub(in crate::engine) fn statistics_file(
        &self,
        name: &str,
        settings: &StatisticsSettings,
    ) -> Result<Arc<Recorder>, ApiError> {
        let bad = |why: String| {
            ApiError::new(
                Code::InvalidStatisticsFile,
                format!("{name:?} cannot be the statistics file: {why}"),
            )
            .help("name a new file of the log directory, or an absolute path")
        };
        let path = place(name, &self.log_dir())
            .ok_or_else(|| bad("it is no file name and no absolute path".into()))?;
        // Whatever it is called, nothing outside of the copy is written.
        let aside =
            path.file_name().filter(|_| self.runner.rehearses()).map(|name| self.log_dir().join(name));
        let path = aside.unwrap_or(path);
        let mut files = lock(&self.statlog.files);
        files.retain(|file| file.strong_count() > 0);
        if let Some(open) = files.iter().filter_map(Weak::upgrade).find(|open| open.path() == path) {
            return Ok(open);
        }
        let file = StatisticsFile::create(&path, settings.limit, settings.keep).map_err(|error| {
            bad(match error {
                BadFile::Foreign => "it exists and holds something else".to_owned(),
                BadFile::NoFile => "it exists and is no file".to_owned(),
                other => other.to_string(),
            })
        })?;
        let recorder = Arc::new(Recorder::new(file));
        files.push(Arc::downgrade(&recorder));
        Ok(recorder)
    }
}

fn place(name: &str, log_dir: &Path) -> Option<PathBuf> {
    let plain = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
    if plain {
        Some(log_dir.join(name))
    } else if name.starts_with('/') && !name.ends_with('/') && !name.contains('\0') {
        Some(PathBuf::from(name))
    } else {
        None
    }
}

/// Until it is stopped, or started anew, or the engine is gone.
fn run(engine: &Weak<Engine>, start: u64) {
    while let Some(engine) = engine.upgrade() {
        engine.statlog_look();
        let on = lock(&engine.statlog.on);
        if on.recorder.is_none() || on.start != start || engine.is_closed() {
            return;
        }
        let waited = engine.statlog.changed.wait_timeout(on, LOOK);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lies_in_the_log_directory_or_is_an_absolute_path() {
        let dir = Path::new("/var/log/DT");
        assert_eq!(place("statistic.sts", dir), Some("/var/log/DT/statistic.sts".into()));
        assert_eq!(place("/srv/run7.sts", dir), Some("/srv/run7.sts".into()));
        for bad in ["", "..", ".", "a/b", "/", "/srv/", "a\0b"] {
            assert_eq!(place(bad, dir), None, "{bad:?}");
        }
    }
}
