//! How a session asks machines: access first, then the request, with progress and notices on the way.

use super::Session;
use super::out::Out;
use crate::api::{Access, ApiError, Code, ConnectionId, Event, Reply, Request, Watch};
use crate::commands::Outcome;
use crate::machine::Machine;
use std::sync::Arc;
use std::time::Instant;

impl Session {
    /// Asks a machine one thing; progress and notices go to the person. The caller's access is looked at first.
    pub fn ask(&mut self, machine: &Arc<dyn Machine>, request: Request) -> Result<Reply, ApiError> {
        self.ask_with(machine, request, &mut |_, _| {})
    }

    /// Asks the current source something that changes nothing, for the functions of the language: monitor access is
    /// enough.
    pub fn inquire(&mut self, request: Request) -> Result<Reply, ApiError> {
        self.needing(Access::Monitor, |session| {
            let machine = session.source_machine()?;
            session.ask(&machine, request)
        })
    }

    /// As [`Session::ask`]; the other events go to `hear`, which may write.
    pub(in crate::commands) fn ask_with(
        &mut self,
        machine: &Arc<dyn Machine>,
        request: Request,
        hear: &mut dyn FnMut(&mut Out, Event),
    ) -> Result<Reply, ApiError> {
        self.authorise(machine)?;
        self.rehearse(&request)?;
        let request = self.in_time(request);
        // What was printed before is not to wait for an answer that may take hours.
        self.out.ui.flush();
        let deadline = self.deadline;
        let mut listener = Listener { out: &mut self.out, hear, shows_progress: false, deadline };
        let reply = machine.call(request, &mut listener);
        if listener.shows_progress {
            self.out.ui.progress(None);
        }
        reply
    }

    /// A wait ends at the session's deadline by itself: one that is only given up is looked at less often.
    fn in_time(&self, mut request: Request) -> Request {
        // A dry run waits for nothing: what has no end of its own has none by the run's.
        if let Some(deadline) = self.deadline.filter(|_| !self.is_dry_run())
            && let Request::Wait { timeout_ms, .. } | Request::Barrier { timeout_ms, .. } = &mut request
        {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis();
            let left = u64::try_from(left).unwrap_or(u64::MAX);
            *timeout_ms = Some(timeout_ms.map_or(left, |timeout| timeout.min(left)));
        }
        request
    }

    /// A machine first used without LOGIN is tried with the caller's own identity (LOG-04).
    fn authorise(&mut self, machine: &Arc<dyn Machine>) -> Result<(), ApiError> {
        if self.required == Access::None {
            return Ok(());
        }
        let known = self
            .machines
            .iter()
            .find(|opened| Arc::ptr_eq(&opened.machine, machine))
            .and_then(|opened| opened.access);
        let access = match known {
            Some(access) => access,
            None => {
                let request = Request::Login { user: own_user(), password: None, domain: None };
                let deadline = self.deadline;
                let hear = &mut |_: &mut Out, _| {};
                let mut listener = Listener { out: &mut self.out, hear, shows_progress: false, deadline };
                let answer = machine.call(request, &mut listener);
                // Which of several machines it is that asks.
                let named = |error: ApiError| match machine.is_far() {
                    true => ApiError { message: format!("{}: {}", machine.name(), error.message), ..error },
                    false => error,
                };
                let access = match answer.map_err(named)? {
                    Reply::Access(access) => access,
                    _ => Access::None,
                };
                self.set_access(machine, Some(access));
                access
            }
        };
        if access >= self.required {
            return Ok(());
        }
        Err(ApiError::new(
            Code::InsufficientSecurityAccess,
            format!(
                "this needs {} on {}, you have {}",
                self.required.label(),
                machine.name(),
                access.label()
            ),
        )
        .help(format!("log in with LOGIN {} <user>", machine.name())))
    }

    /// Asks what is answered with nothing but success.
    pub(in crate::commands) fn order(
        &mut self,
        machine: &Arc<dyn Machine>,
        request: Request,
    ) -> Result<Outcome, ApiError> {
        self.ask(machine, request)?;
        Ok(Outcome::done())
    }

    /// Runs with this access needed, for what is no command of its own (functions, warnings).
    pub(in crate::commands) fn needing<T>(
        &mut self,
        access: Access,
        work: impl FnOnce(&mut Session) -> T,
    ) -> T {
        let before = std::mem::replace(&mut self.required, access);
        let result = work(self);
        self.required = before;
        result
    }

    /// All connections of the machine.
    pub(in crate::commands) fn all_connections(
        &mut self,
        machine: &Arc<dyn Machine>,
    ) -> Result<Vec<ConnectionId>, ApiError> {
        match self.ask(machine, Request::StatusAll)? {
            Reply::Connections(all) => Ok(all.into_iter().map(|status| status.id).collect()),
            _ => Err(unexpected()),
        }
    }
}

/// A reply that is none to the request: a machine of another version.
pub(in crate::commands) fn unexpected() -> ApiError {
    ApiError::new(Code::UnknownError, "the machine's answer does not fit the question")
        .help("the versions of this program and of the service there differ")
}

/// The name of whoever runs this process.
pub fn own_user() -> String {
    let uid = nix::unistd::getuid();
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

struct Listener<'a> {
    out: &'a mut Out,
    hear: &'a mut dyn FnMut(&mut Out, Event),
    shows_progress: bool,
    deadline: Option<Instant>,
}

impl Watch for Listener<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Progress(progress) => {
                self.shows_progress = true;
                self.out.ui.progress(Some(&progress));
            }
            Event::Notice(text) => self.out.ui.message(&text),
            other => (self.hear)(self.out, other),
        }
    }

    fn cancelled(&self) -> bool {
        self.out.ui.cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}
