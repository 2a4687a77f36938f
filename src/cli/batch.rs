//! What a run from cron or under a supervisor adds to its streams: a time after which it ends, a log of all that was
//! printed and said, and quiet.

use crate::api::Progress;
use crate::commands::Ui;
use crate::commands::ui::Redraw;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// A line of the log breaks here: what never ends its line takes no memory.
const LONGEST: usize = 64 << 10;

/// A [`Ui`] with batch options around another.
pub struct Batch {
    inner: Box<dyn Ui>,
    log: Option<Log>,
    quiet: bool,
    /// How long the run may take, and when that is over.
    end: Option<(Duration, Instant)>,
}

/// The file of `--log`.
struct Log {
    file: File,
    name: String,
    /// What was written of a line that is not yet at its end.
    open: String,
}

impl Batch {
    /// The file of `log` is opened to append. `timeout` runs from now.
    pub fn new(
        inner: Box<dyn Ui>,
        log: Option<&Path>,
        quiet: bool,
        timeout: Option<Duration>,
    ) -> std::io::Result<Batch> {
        let log = match log {
            Some(path) => {
                let file = File::options().append(true).create(true).open(path)?;
                Some(Log { file, name: path.to_string_lossy().into_owned(), open: String::new() })
            }
            None => None,
        };
        let end = timeout.and_then(|time| Some((time, Instant::now().checked_add(time)?)));
        Ok(Batch { inner, log, quiet, end })
    }

    fn keep(&mut self, text: &str, whole: bool) {
        let Some(log) = &mut self.log else { return };
        let kept = if whole { log.message(text) } else { log.output(text) };
        if let Err(error) = kept {
            let message = format!("warning: log {}: {error}; nothing more is written to it", log.name);
            self.log = None;
            self.inner.message(&message);
        }
    }
}

impl Log {
    /// Lines of output, each with the time it was complete.
    fn output(&mut self, text: &str) -> std::io::Result<()> {
        for piece in text.split_inclusive('\n') {
            let mut piece = piece;
            while self.open.len() + piece.len() > LONGEST {
                let room = LONGEST - self.open.len();
                let at = (0..=room).rev().find(|at| piece.is_char_boundary(*at)).unwrap_or(0);
                let (head, tail) = piece.split_at(at);
                self.open.push_str(head);
                piece = tail;
                let line = std::mem::take(&mut self.open);
                self.line(&line)?;
            }
            self.open.push_str(piece);
            if piece.ends_with('\n') {
                let line = std::mem::take(&mut self.open);
                self.line(line.trim_end_matches('\n'))?;
            }
        }
        Ok(())
    }

    fn message(&mut self, text: &str) -> std::io::Result<()> {
        text.lines().try_for_each(|line| self.line(line))
    }

    /// One write for each line, so that runs that share a log do not mix them.
    fn line(&mut self, text: &str) -> std::io::Result<()> {
        let now = jiff::Zoned::now().strftime("%m/%d/%Y %H:%M:%S").to_string();
        let shown: String =
            text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        self.file.write_all(format!("{now} {} {shown}\n", std::process::id()).as_bytes())
    }
}

impl Ui for Batch {
    fn write(&mut self, text: &str) {
        self.keep(text, false);
        if !self.quiet {
            self.inner.write(text);
        }
    }

    fn page(&mut self, text: &str) {
        self.keep(text, false);
        if !self.quiet {
            self.inner.page(text);
        }
    }

    fn redraw(&mut self, turn: Redraw) {
        if !self.quiet {
            self.inner.redraw(turn);
        }
    }

    fn message(&mut self, text: &str) {
        self.keep(text, true);
        self.inner.message(text);
    }

    fn progress(&mut self, progress: Option<&Progress>) {
        if !self.quiet {
            self.inner.progress(progress);
        }
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled() || self.out_of_time().is_some()
    }

    fn confirm(&mut self, question: &str) -> Option<bool> {
        self.inner.confirm(question)
    }

    fn password(&mut self, prompt: &str) -> Option<String> {
        self.inner.password(prompt)
    }

    fn interactive(&self) -> bool {
        self.inner.interactive()
    }

    fn width(&self) -> Option<usize> {
        self.inner.width()
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn unread(&self) -> bool {
        self.inner.unread()
    }

    fn out_of_time(&self) -> Option<Duration> {
        let (time, end) = self.end?;
        (Instant::now() >= end).then_some(time)
    }
}

impl Drop for Batch {
    /// A last line without its end is kept too.
    fn drop(&mut self) {
        if let Some(log) = &mut self.log
            && !log.open.is_empty()
        {
            let line = std::mem::take(&mut log.open);
            // Nobody is left to be told.
            let _ = log.line(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ui::Recorder;

    fn batch(recorder: &Recorder, path: &Path, quiet: bool, timeout: Option<Duration>) -> Batch {
        Batch::new(Box::new(recorder.clone()), Some(path), quiet, timeout).unwrap()
    }

    /// The lines of a log without their times and process.
    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn the_log_has_all_that_was_printed_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.log");
        for quiet in [false, true] {
            let recorder = Recorder::new();
            let mut ui = batch(&recorder, &path, quiet, None);
            ui.write("a");
            ui.write("b\nc\n");
            ui.message("error: no\n  = help: yes");
            ui.write("open");
            drop(ui);
            assert_eq!(recorder.output(), if quiet { "" } else { "ab\nc\nopen" });
            assert_eq!(recorder.messages(), "error: no\n  = help: yes\n");
        }
        let run = ["ab", "c", "error: no", "  = help: yes", "open"];
        assert_eq!(lines(&path), [run, run].concat());
    }

    #[test]
    fn a_line_without_an_end_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.log");
        let mut ui = batch(&Recorder::new(), &path, false, None);
        for _ in 0..3 {
            ui.write(&"\u{e4}".repeat(LONGEST / 2 - 1));
            assert!(ui.log.as_ref().unwrap().open.len() <= LONGEST);
        }
        drop(ui);
        let lines = lines(&path);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LONGEST, LONGEST, LONGEST - 6]);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_said_once() {
        let recorder = Recorder::new();
        let mut ui = batch(&recorder, Path::new("/dev/full"), false, None);
        ui.write("a\n");
        ui.write("b\n");
        assert_eq!(recorder.output(), "a\nb\n");
        assert_eq!(recorder.messages().matches("nothing more is written").count(), 1);
    }

    #[test]
    fn a_run_whose_time_is_over_is_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::new();
        let ui = batch(&recorder, &dir.path().join("l"), false, Some(Duration::ZERO));
        assert!(ui.cancelled());
        assert_eq!(ui.out_of_time(), Some(Duration::ZERO));
        let ui = batch(&recorder, &dir.path().join("l"), false, Some(Duration::from_secs(1000)));
        assert!(!ui.cancelled());
        assert_eq!(ui.out_of_time(), None);
    }
}
