//! Standard output: buffered, and quiet when nobody reads it.
//!
//! The buffer is written when it is full, at the end, before a wait, and after each text on a terminal. A pipe that
//! nobody reads ends the output without a word; any other failure is kept for the end of the run.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Texts are written in pieces of this size.
const FULL: usize = 64 * 1024;

/// Standard output, shared by what writes it and what looks at its end.
#[derive(Clone)]
pub struct Output {
    state: Arc<Mutex<State>>,
}

struct State {
    to: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    /// Each text is written at once.
    at_once: bool,
    end: Option<End>,
}

/// Why nothing more can be written.
#[derive(Debug)]
pub enum End {
    /// Nobody reads the pipe.
    Unread,
    Failed(io::Error),
}

impl Output {
    /// The process's standard output.
    pub fn stdout() -> Self {
        use std::io::IsTerminal as _;
        let stdout = io::stdout();
        let at_once = stdout.is_terminal();
        Self::to(Box::new(stdout), at_once)
    }

    /// Any writer.
    pub fn to(to: Box<dyn Write + Send>, at_once: bool) -> Self {
        let state = State { to, buffer: Vec::new(), at_once, end: None };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Adds a text.
    pub fn write(&self, text: &str) {
        let mut state = self.state();
        if state.end.is_none() {
            state.buffer.extend_from_slice(text.as_bytes());
            if state.at_once || state.buffer.len() >= FULL {
                state.flush();
            }
        }
    }

    /// Writes what is buffered.
    pub fn flush(&self) {
        self.state().flush();
    }

    /// True once nobody reads the pipe or writing failed.
    pub fn is_over(&self) -> bool {
        self.state().end.is_some()
    }

    /// True once nobody reads the pipe.
    pub fn is_unread(&self) -> bool {
        matches!(self.state().end, Some(End::Unread))
    }

    /// Writes what is buffered; gives the failure if there was one. An unread pipe is none.
    pub fn finish(&self) -> io::Result<()> {
        let mut state = self.state();
        state.flush();
        match state.end.take() {
            Some(End::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn flush(&mut self) {
        if self.end.is_none() && !self.buffer.is_empty() {
            let written = self.to.write_all(&self.buffer).and_then(|()| self.to.flush());
            self.end = match written {
                Ok(()) => None,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(End::Unread),
                Err(error) => Some(End::Failed(error)),
            };
        }
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts calls, and fails with a kind of error.
    struct Probe(Arc<Mutex<Vec<usize>>>, Option<io::ErrorKind>);

    impl Write for Probe {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(buf.len());
            self.1.map_or(Ok(buf.len()), |kind| Err(kind.into()))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn probe(at_once: bool, error: Option<io::ErrorKind>) -> (Output, Arc<Mutex<Vec<usize>>>) {
        let calls = Arc::default();
        (Output::to(Box::new(Probe(Arc::clone(&calls), error)), at_once), calls)
    }

    #[test]
    fn small_texts_are_written_together() {
        let (output, calls) = probe(false, None);
        for _ in 0..FULL / 8 + 1 {
            output.write("12345678");
        }
        assert_eq!(*calls.lock().unwrap(), [FULL]);
        output.finish().unwrap();
        assert_eq!(*calls.lock().unwrap(), [FULL, 8]);
    }

    #[test]
    fn a_terminal_sees_each_text_at_once() {
        let (output, calls) = probe(true, None);
        output.write("a\n");
        output.write("bc");
        assert_eq!(*calls.lock().unwrap(), [2, 2]);
    }

    #[test]
    fn an_unread_pipe_is_quiet_and_written_to_once() {
        let (output, calls) = probe(true, Some(io::ErrorKind::BrokenPipe));
        output.write("a");
        assert!(output.is_over());
        output.write("b");
        output.finish().unwrap();
        assert_eq!(calls.lock().unwrap().len(), 1);
    }

    #[test]
    fn another_failure_is_told_at_the_end() {
        let (output, _) = probe(false, Some(io::ErrorKind::StorageFull));
        output.write("a");
        assert_eq!(output.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
