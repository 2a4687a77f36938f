//! Questions that a key asks of a machine: an answer that takes longer than a person notices is left to the next key.
//!
//! Each question is asked on a thread of its own, one at a time for a machine, so that one that does not answer holds up nobody's typing.

use crate::api::{Access, Event, Reply, Request, Watch};
use crate::machine::Machine;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a key waits for a machine.
const KEY: Duration = Duration::from_millis(80);
/// How long an engine inside this program may take, which always answers: it may have to be opened first.
const OPENING: Duration = Duration::from_secs(5);
/// When a question is given up, so that the next command finds the line to the machine free.
const LONGEST: Duration = Duration::from_secs(2);

/// What was asked of machines and is not answered yet, by their names.
#[derive(Default)]
pub(super) struct Questions {
    open: HashMap<String, (Request, Receiver<Option<Reply>>)>,
    /// Until when the key under way waits, for all that it asks.
    patience: Option<Instant>,
}

impl Questions {
    /// Another key: it may wait as long as each.
    pub(super) fn key(&mut self) {
        self.patience = Some(Instant::now() + KEY);
    }

    /// The answer, if it comes soon enough. `login`: who asks is to be told first.
    pub(super) fn ask(
        &mut self,
        machine: &Arc<dyn Machine>,
        login: Option<Request>,
        request: Request,
    ) -> Option<Reply> {
        let name = machine.name().to_ascii_lowercase();
        let known = login.is_none();
        let (asked, answer) = match self.open.remove(&name) {
            Some(open) => open,
            None => (request.clone(), start(Arc::clone(machine), login.clone(), request.clone())?),
        };
        // One that was asked before, so that it is known what it is.
        let embedded = known && !machine.is_far() && !machine.keeps_connections();
        let deadline = match self.patience {
            Some(patience) if !embedded => patience,
            _ => Instant::now() + if embedded { OPENING } else { KEY },
        };
        match answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(reply) if asked == request => reply,
            // A late answer to another question makes way for this one.
            Ok(_) | Err(RecvTimeoutError::Disconnected) => {
                let answer = start(Arc::clone(machine), login, request.clone())?;
                match answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(reply) => reply,
                    Err(_) => {
                        self.open.insert(name, (request, answer));
                        None
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                self.open.insert(name, (asked, answer));
                None
            }
        }
    }
}

fn start(
    machine: Arc<dyn Machine>,
    login: Option<Request>,
    request: Request,
) -> Option<Receiver<Option<Reply>>> {
    let (sender, answer) = channel();
    let ask = move || {
        let mut patience = Patience(Instant::now() + LONGEST);
        let granted = match login {
            Some(login) => {
                matches!(machine.call(login, &mut patience), Ok(Reply::Access(access)) if access > Access::None)
            }
            None => true,
        };
        let reply = granted.then(|| machine.call(request, &mut patience).ok()).flatten();
        // Whoever asked may have gone.
        let _ = sender.send(reply);
    };
    std::thread::Builder::new().name("question".into()).spawn(ask).ok()?;
    Some(answer)
}

/// Gives up at a moment, and hears nothing.
pub(super) struct Patience(pub(super) Instant);

impl Watch for Patience {
    fn event(&mut self, _: Event) {}

    fn hears(&self) -> bool {
        false
    }

    fn cancelled(&self) -> bool {
        Instant::now() >= self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ApiError;
    use std::sync::Mutex;

    /// A service that answers when it is let.
    struct Slow(Mutex<Receiver<()>>);

    impl Machine for Slow {
        fn name(&self) -> &str {
            "slow"
        }

        fn call(&self, _: Request, _: &mut dyn Watch) -> Result<Reply, ApiError> {
            let _ = self.0.lock().unwrap().recv();
            Ok(Reply::Done)
        }

        fn is_far(&self) -> bool {
            true
        }

        fn close(&self, _: Duration) -> Vec<String> {
            Vec::new()
        }
    }

    #[test]
    fn a_key_does_not_wait_for_a_machine_and_the_next_one_has_its_answer() {
        let (release, released) = channel();
        let machine: Arc<dyn Machine> = Arc::new(Slow(Mutex::new(released)));
        let mut questions = Questions::default();
        let began = Instant::now();
        questions.key();
        assert_eq!(questions.ask(&machine, None, Request::RepsetList), None);
        let waited = began.elapsed();
        assert!(waited >= KEY && waited < LONGEST, "{waited:?}");
        let began = Instant::now();
        assert_eq!(questions.ask(&machine, None, Request::RepsetList), None);
        assert!(began.elapsed() < KEY, "the same key has waited already");
        assert_eq!(questions.open.len(), 1, "asked once");
        questions.patience = None;
        release.send(()).unwrap();
        assert_eq!(questions.ask(&machine, None, Request::RepsetList), Some(Reply::Done));
        release.send(()).unwrap();
        assert_eq!(questions.ask(&machine, None, Request::StatusAll), Some(Reply::Done));
    }
}
