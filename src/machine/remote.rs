//! A machine whose service answers: one session with it, made anew when the service was restarted.

use super::Machine;
use super::known::Known;
use crate::api::{Access, ApiError, Code, ConnectionId, Event, Granted, Progress, Reply, Request, Watch};
use crate::engine::home::SOCKET;
use crate::sys;
use crate::wire::control::{
    ANSWER_MAX, Ask, ControlError, Incoming, Purpose, REQUEST_MAX, Say, Welcome, frame, greet,
};
use crate::wire::tls::{self, Expected, Fingerprint, MachineKey};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

/// From the first byte to the service's welcome.
const GREETING: Duration = Duration::from_secs(10);

/// How soon a caller's wish to end is heard.
const BEAT: Duration = Duration::from_millis(100);

/// How soon a line that is free again is noticed.
const BUSY: Duration = Duration::from_millis(2);

/// How long a service may take to end a call that its caller gave up.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// How a service is reached.
#[derive(Clone, Debug)]
enum Way {
    /// By the directory of its socket.
    Socket(PathBuf),
    /// Over the network. `label`: name and port, by which its key is known.
    Network { address: SocketAddr, label: String, known: Known },
}

/// A service.
pub(super) struct Remote {
    name: String,
    way: Way,
    session: Mutex<Session>,
}

/// What is known of the service, through all its restarts.
#[derive(Default)]
struct Session {
    line: Option<Line>,
    /// The key that was shown at first: no other one is spoken with.
    key: Option<Fingerprint>,
    /// The last login that was granted: repeated on a new line.
    login: Option<Request>,
    /// In which run of the service a connection had this number when we last heard of it.
    seen: HashMap<ConnectionId, u64>,
}

/// An open line.
struct Line {
    runtime: Runtime,
    incoming: Incoming<ReadHalf<Box<dyn Stream>>>,
    outgoing: WriteHalf<Box<dyn Stream>>,
    welcome: Welcome,
    last: u64,
    /// What is to be told to the person at once.
    notice: Option<String>,
    key: Option<Fingerprint>,
}

/// Bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Remote {
    /// Connects to the service of a home. None: no service runs there.
    pub(super) fn of_home(name: &str, run_dir: &Path) -> Result<Option<Remote>, ApiError> {
        let way = Way::Socket(run_dir.to_owned());
        let Some(line) = Line::open(name, &way, None)? else { return Ok(None) };
        let session = Session { line: Some(line), ..Session::default() };
        Ok(Some(Remote { name: name.to_owned(), way, session: Mutex::new(session) }))
    }

    /// The service at an address; `label` names it in `known`. -110 when what answers there is none, or is another than it was.
    pub(super) fn at(name: &str, address: SocketAddr, label: &str, known: Known) -> Result<Remote, ApiError> {
        let way = Way::Network { address, label: label.to_owned(), known };
        let line = Line::open(name, &way, None)?;
        let key = line.as_ref().and_then(|line| line.key);
        let session = Session { line, key, ..Session::default() };
        Ok(Remote { name: name.to_owned(), way, session: Mutex::new(session) })
    }

    /// The session, once no other call has it: one that a person did not ask for may still wait for its answer.
    fn free(&self, watch: &dyn Watch) -> Result<MutexGuard<'_, Session>, ApiError> {
        loop {
            match self.session.try_lock() {
                Ok(session) => return Ok(session),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if watch.cancelled() => {
                    return Err(ApiError::new(
                        Code::ServerIsNotResponding,
                        format!("{} has not answered an earlier question", self.name),
                    ));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(BUSY),
            }
        }
    }

    /// The directory of its socket, where that is how it is reached.
    pub(super) fn run_dir(&self) -> Option<&Path> {
        match &self.way {
            Way::Socket(directory) => Some(directory),
            Way::Network { .. } => None,
        }
    }

    /// What the caller's own identity grants there.
    pub(super) fn own_access(&self) -> Access {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.line.as_ref().map_or(Access::None, |line| line.welcome.access)
    }
}

impl Machine for Remote {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        let mut session = self.free(watch)?;
        let session = &mut *session;
        // One that the service has closed meanwhile carries nothing any more; a new one may.
        if !session.line.as_mut().is_some_and(Line::is_live) {
            session.line = None;
            let mut line = Line::open(&self.name, &self.way, session.key)?.ok_or_else(|| gone(&self.name))?;
            let replayed = match request {
                Request::Login { .. } | Request::Logout => None,
                _ => session.login.clone(),
            };
            if let Some(login) = replayed {
                let granted = line.call(login, watch).map_err(|error| lost(&self.name, &error))?;
                // One that is refused now would be refused each time, and keep the next one out.
                granted.inspect_err(|_| session.login = None)?;
            }
            session.line = Some(line);
        }
        let Some(line) = &mut session.line else { return Err(gone(&self.name)) };
        if watch.hears()
            && let Some(notice) = line.notice.take()
        {
            watch.event(Event::Notice(notice));
        }
        let epoch = line.welcome.epoch;
        if let Some(id) = request.connection()
            && session.seen.get(&id).is_some_and(|&seen| seen != epoch)
        {
            return Err(ApiError::new(
                Code::ConnectionIDSpecifiedIsInvalid,
                format!("connection {id} was a number of before {} was restarted", self.name),
            )
            .help("STATUS or CONID gives the connection's number of now"));
        }
        let asked = request.clone();
        let answer = match line.call(request, watch) {
            Ok(answer) => answer,
            Err(error) => {
                session.line = None;
                return Err(lost(&self.name, &error));
            }
        };
        session.note(&asked, &answer, epoch);
        answer
    }

    fn keeps_connections(&self) -> bool {
        true
    }

    fn is_far(&self) -> bool {
        matches!(self.way, Way::Network { .. })
    }

    fn close(&self, _: Duration) -> Vec<String> {
        // A question in passing that still waits for its answer ends with the program.
        match self.session.try_lock() {
            Ok(mut session) => *session = Session::default(),
            Err(TryLockError::Poisoned(poisoned)) => *poisoned.into_inner() = Session::default(),
            Err(TryLockError::WouldBlock) => {}
        }
        Vec::new()
    }
}

impl Session {
    /// Remembers what an answer tells about logins and numbers of connections.
    fn note(&mut self, asked: &Request, answer: &Result<Reply, ApiError>, epoch: u64) {
        match (asked, answer) {
            (Request::Login { .. }, Ok(Reply::Access(access))) if *access > Access::None => {
                self.login = Some(asked.clone());
            }
            (Request::Login { .. } | Request::Logout, _) => self.login = None,
            (_, Ok(Reply::Connected(id))) => {
                self.seen.insert(*id, epoch);
            }
            (_, Ok(Reply::Connection(status))) => {
                self.seen.insert(status.id, epoch);
            }
            (_, Ok(Reply::Connections(all))) => {
                self.seen.extend(all.iter().map(|status| (status.id, epoch)));
            }
            _ => {}
        }
    }
}

impl Line {
    /// None: nobody listens there.
    fn open(name: &str, way: &Way, held: Option<Fingerprint>) -> Result<Option<Line>, ApiError> {
        let failed = |error: ControlError| refused(name, &error);
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| failed(error.into()))?;
        let (stream, notice, key) = match way {
            Way::Socket(directory) => {
                // No home, no service, one that has ended, or one that is not ours to speak with.
                let Ok(stream) = sys::socket::connect(directory, SOCKET) else { return Ok(None) };
                let stream = runtime.block_on(async { own(stream) }).map_err(|error| failed(error.into()))?;
                (Box::new(stream) as Box<dyn Stream>, None, None)
            }
            Way::Network { address, label, known } => {
                let (stream, notice, key) =
                    runtime.block_on(secured(name, *address, label, (known, held)))?;
                (Box::new(stream) as Box<dyn Stream>, notice, key)
            }
        };
        let greeted = runtime.block_on(async {
            let greeted = timeout(GREETING, async {
                let mut stream = stream;
                greet(&mut stream, Purpose::Session).await?;
                let (reader, outgoing) = split(stream);
                let mut incoming = Incoming::new(reader);
                let first = incoming.next::<Say>(ANSWER_MAX).await?;
                Ok::<_, ControlError>((incoming, outgoing, first))
            });
            greeted.await.unwrap_or_else(|_| Err(ControlError::Io(ErrorKind::TimedOut.into())))
        });
        match greeted.map_err(failed)? {
            (incoming, outgoing, Some(Say::Welcome(welcome))) => {
                Ok(Some(Line { runtime, incoming, outgoing, welcome, last: 0, notice, key }))
            }
            (_, _, Some(Say::Closing(error))) => Err(clean(error)),
            _ => Err(failed(ControlError::Stranger)),
        }
    }

    /// False when the service has closed the line. Asks nothing of it.
    fn is_live(&mut self) -> bool {
        let Line { runtime, incoming, .. } = self;
        // What comes without a question is a farewell. The wait lets the runtime look at the socket at all.
        runtime
            .block_on(async { timeout(Duration::from_millis(1), incoming.next::<Say>(ANSWER_MAX)).await })
            .is_err()
    }

    /// Asks one thing. The outer error: the line is of no use any more.
    fn call(
        &mut self,
        request: Request,
        watch: &mut dyn Watch,
    ) -> Result<Result<Reply, ApiError>, ControlError> {
        self.last += 1;
        let id = self.last;
        let Line { runtime, incoming, outgoing, .. } = self;
        let call = match frame(&Ask::Call { id, request }, REQUEST_MAX) {
            Ok(call) => call,
            Err(error) => {
                return Ok(Err(ApiError::new(Code::DataOverload, format!("it cannot be sent: {error}"))));
            }
        };
        runtime.block_on(async {
            outgoing.write_all(&call).await?;
            outgoing.flush().await?;
            let mut given_up: Option<Instant> = None;
            loop {
                if given_up.is_some_and(|since| since.elapsed() > GIVEN_UP) {
                    return Err(ControlError::Io(ErrorKind::TimedOut.into()));
                }
                // Dropping an unfinished read loses nothing.
                let said = timeout(BEAT, incoming.next::<Say>(ANSWER_MAX)).await;
                if given_up.is_none() && watch.cancelled() {
                    outgoing.write_all(&frame(&Ask::Cancel { id }, REQUEST_MAX)?).await?;
                    outgoing.flush().await?;
                    given_up = Some(Instant::now());
                }
                match said {
                    Ok(Ok(Some(Say::Event { id: of, event }))) if of == id => watch.event(clean_event(event)),
                    Ok(Ok(Some(Say::Done { id: of, result }))) if of == id => {
                        return Ok(result.map(clean_reply).map_err(clean));
                    }
                    Ok(Ok(Some(Say::Closing(error)))) => return Ok(Err(clean(error))),
                    Ok(Ok(Some(_))) => return Err(ControlError::Stranger),
                    Ok(Ok(None)) => return Err(ControlError::Io(std::io::ErrorKind::UnexpectedEof.into())),
                    Ok(Err(error)) => return Err(error),
                    Err(_) => {}
                }
            }
        })
    }
}

/// A socket whose service may be told what a person types.
fn own(stream: std::os::unix::net::UnixStream) -> std::io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != nix::unistd::geteuid().as_raw() {
        // It would be told passwords.
        return Err(std::io::Error::other(format!("it runs as user {uid}")));
    }
    Ok(stream)
}

/// A line to a machine that has shown the key that it is known by; one that was not known is, from now on, and a notice says so.
async fn secured(
    name: &str,
    address: SocketAddr,
    label: &str,
    (known, held): (&Known, Option<Fingerprint>),
) -> Result<(TlsStream<TcpStream>, Option<String>, Option<Fingerprint>), ApiError> {
    let failed = |error: std::io::Error| refused(name, &error.into());
    let path = known.path().display();
    let unusable = |error: &dyn std::fmt::Display| {
        ApiError::new(Code::HandshakeWasNotCompleted, format!("{path} cannot be used: {error}"))
            .help("it holds the keys of the machines that this home has spoken with; make it readable, or move it away")
    };
    let before = match known.get(label).map_err(|error| unusable(&error))? {
        _ if held.is_some() => held,
        None => None,
        Some(Ok(key)) => Some(key),
        Some(Err(())) => return Err(unusable(&format_args!("the line of {label} holds no fingerprint"))),
    };
    let expected = Expected::new(before);
    let config = MachineKey::passing().and_then(|own| tls::client(Arc::clone(&expected), &own));
    let config = config.map_err(|error| failed(std::io::Error::other(error)))?;
    let server = ServerName::from(address.ip());
    let met = timeout(GREETING, async {
        let stream = TcpStream::connect(address).await?;
        // A machine that is gone is found out, however long an answer may take.
        sys::socket::prepare(&stream)?;
        TlsConnector::from(config).connect(server, stream).await
    });
    let met = met.await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    match (met, before, expected.shown()) {
        (Ok(stream), None, Some(shown)) => {
            known.remember(label, shown).map_err(|error| unusable(&error))?;
            let notice = format!(
                "{label} is new here: its key {shown} is remembered in {path}; DTCL serve shows it there"
            );
            Ok((stream, Some(notice), Some(shown)))
        }
        (Ok(stream), _, shown) => Ok((stream, None, shown)),
        (Err(_), Some(before), Some(shown)) if before != shown => {
            let message = format!("{label} has another key than before: {shown}, and it was {before}");
            Err(ApiError::new(Code::HandshakeWasNotCompleted, message).help(format!(
                "somebody may stand in between; if the machine was installed anew, take its line out of {path}"
            )))
        }
        (Err(error), ..) => Err(failed(error)),
    }
}

/// What a machine says goes to terminals: what could steer one is written out.
fn plain(text: String) -> String {
    let steers = |c: char| {
        c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return text;
    }
    text.chars().flat_map(|c| if steers(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

fn clean(error: ApiError) -> ApiError {
    ApiError { code: error.code, message: plain(error.message), help: error.help.map(plain) }
}

/// What a client shows of itself.
fn clean_reply(reply: Reply) -> Reply {
    match reply {
        Reply::Granted(granted) => {
            let notices = granted.notices.into_iter().map(plain).collect();
            Reply::Granted(Granted { notices, ..granted })
        }
        other => other,
    }
}

fn clean_event(event: Event) -> Event {
    match event {
        Event::Notice(text) => Event::Notice(plain(text)),
        Event::WouldSend { path, reason, bytes } => Event::WouldSend { path: plain(path), reason, bytes },
        Event::Progress(progress) => Event::Progress(Progress { path: plain(progress.path), ..progress }),
    }
}

fn gone(name: &str) -> ApiError {
    ApiError::new(Code::ServerIsNotResponding, format!("the service of {name} does not answer any more"))
        .help("start it again with DTCL serve, or as a unit of the system")
}

fn lost(name: &str, error: &ControlError) -> ApiError {
    ApiError::new(Code::ServerIsNotResponding, format!("the session with {name} was lost: {error}"))
        .help("what was started there goes on; STATUS shows it")
}

fn refused(name: &str, error: &ControlError) -> ApiError {
    let code = match error {
        ControlError::Version(_) => Code::IncompatibleSourceAndTargetProductVersions,
        _ => Code::ServerIsNotResponding,
    };
    ApiError::new(code, format!("the service of {name} cannot be spoken with: {error}"))
        .help("VERSION shows this program's version; both sides need the same")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_written_out() {
        assert_eq!(plain("two\nlines, ünïcode".to_owned()), "two\nlines, ünïcode");
        assert_eq!(plain("\u{1b}]0;title\u{7}\u{202e}x\r".to_owned()), "\\u{1b}]0;title\\u{7}\\u{202e}x\\r");
    }
}
