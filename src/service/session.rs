//! One caller's session: requests one after another, each on a thread of its own while it lasts, so that a caller can always be heard.

use super::House;
use super::caller::Caller;
use super::door::Guest;
use crate::api::{Access, ApiError, Code, Event, Reply, Request, Watch};
use crate::engine::log::escape;
use crate::wire::control::{
    ANSWER_MAX, Ask, ControlError, Incoming, Purpose, REQUEST_MAX, STRANGER_MAX, Say, VERSION, Welcome,
    frame, welcome,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf, split};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest user name and password (LOG-05), in characters.
const FIELD: usize = 100;

/// How long a caller waits for the answer to a login that is none.
const UNASKED: Duration = Duration::from_secs(1);

/// From the first byte to the end of the greeting.
const GREETING: Duration = Duration::from_secs(10);

/// How long a caller that is let go may take to read what was said last.
const PARTING: Duration = Duration::from_secs(5);

/// How long a caller without access may take to log in.
const STRANGER: Duration = Duration::from_secs(60);

/// How long a caller may leave an answer unread. Ctrl-Z of a shell is not to end its session at once.
const STALL: Duration = Duration::from_secs(600);

/// Frames that wait for a caller to read them; what makes more waits.
const SAID: usize = 8;

/// Answers of one session on their way out.
type Out = mpsc::Sender<Vec<u8>>;

/// The call under way.
struct Running {
    id: u64,
    cancelled: Arc<AtomicBool>,
    ended: JoinHandle<Ended>,
}

/// What a call has come to.
struct Ended {
    result: Result<Reply, ApiError>,
    /// What the session grants from now on, if that changes.
    access: Option<Access>,
    /// The service ends with the answer.
    ends: bool,
}

/// What a caller wants, once it has said hello. None: it is to be let go.
pub(super) async fn greeted<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    name: &str,
) -> Option<Purpose> {
    match timeout(GREETING, welcome(stream)).await {
        Ok(Ok(purpose)) => Some(purpose),
        Ok(Err(error)) => {
            tracing::debug!("{name} was refused: {error}");
            None
        }
        Err(_) => None,
    }
}

/// Serves a caller that was greeted until it leaves, breaks a rule, or the service ends. `guest`: its place at the door, until it has
/// logged in.
pub(super) async fn run<S>(
    stream: S,
    caller: Caller,
    house: Arc<House>,
    room: OwnedSemaphorePermit,
    guest: Option<Guest>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut guest = guest;
    let (reader, writer) = split(stream);
    let (say, said) = mpsc::channel(SAID);
    let known = Arc::new(AtomicBool::new(guest.is_none()));
    let mut writing = tokio::spawn(write(writer, said, Arc::clone(&known)));
    let running = converse(Incoming::new(reader), &say, caller, &house, (&mut guest, &known)).await;
    drop(say);
    if let Some(running) = running {
        // Its thread may still be in a system call; the session's place is taken until it is back.
        running.cancelled.store(true, Relaxed);
        let _ = running.ended.await;
    }
    // Its place is taken until nothing of it is left.
    if timeout(PARTING, &mut writing).await.is_err() {
        writing.abort();
        let _ = writing.await;
    }
    drop((room, guest));
}

/// Tells a caller that was greeted and for whom there is no room, and lets it go.
pub(super) async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let full = ApiError::new(Code::ServerIsNotResponding, "the service has too many sessions already")
        .help("end one of them, or try again later");
    let _ = timeout(GREETING, async {
        stream.write_all(&frame(&Say::Closing(full), ANSWER_MAX)?).await?;
        stream.flush().await?;
        Ok::<(), ControlError>(())
    })
    .await;
}

/// Writes what is said. Ends when nothing more can be, or the caller does not read.
async fn write<S: AsyncWrite>(
    mut writer: WriteHalf<S>,
    mut said: mpsc::Receiver<Vec<u8>>,
    known: Arc<AtomicBool>,
) {
    while let Some(frame) = said.recv().await {
        let written = async {
            writer.write_all(&frame).await?;
            // Over TLS it lies in a buffer.
            writer.flush().await
        };
        let patience = if known.load(Relaxed) { STALL } else { GREETING };
        match timeout(patience, written).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
    let _ = timeout(PARTING, writer.shutdown()).await;
}

/// Hears the caller. The call that was under way when the session ended is given back.
async fn converse<R: AsyncRead + Unpin>(
    mut incoming: Incoming<R>,
    say: &Out,
    mut caller: Caller,
    house: &Arc<House>,
    (guest, known): (&mut Option<Guest>, &AtomicBool),
) -> Option<Running> {
    let hello = Say::Welcome(Welcome {
        machine: house.engine.machine_name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: house.epoch,
        access: caller.own,
    });
    if !tell(say, &hello).await {
        return None;
    }
    let mut ending = house.ending.subscribe();
    let mut running: Option<Running> = None;
    let leave = tokio::time::sleep(STRANGER);
    tokio::pin!(leave);
    loop {
        let limit = if caller.access == Access::None { STRANGER_MAX } else { REQUEST_MAX };
        tokio::select! {
            asked = incoming.next::<Ask>(limit) => match asked {
                Ok(Some(Ask::Call { id, request })) => {
                    if running.is_some() {
                        tell(say, &Say::Closing(broken("it asked before its last question was answered"))).await;
                        return running;
                    }
                    running = Some(begin(id, request, &caller, say, house));
                }
                Ok(Some(Ask::Cancel { id })) => {
                    // One that has just ended is none to cancel.
                    if let Some(running) = running.as_ref().filter(|running| running.id == id) {
                        running.cancelled.store(true, Relaxed);
                    }
                }
                Ok(None) => return running,
                Err(error) => {
                    tell(say, &Say::Closing(broken(&error.to_string()))).await;
                    return running;
                }
            },
            ended = async { (&mut running.as_mut()?.ended).await.ok() }, if running.is_some() => {
                let id = running.take().map_or(0, |running| running.id);
                let ended = ended.unwrap_or_else(|| Ended::of(Err(panicked())));
                caller.access = ended.access.unwrap_or(caller.access);
                if caller.access > Access::None {
                    *guest = None;
                    known.store(true, Relaxed);
                }
                // Told last: what is asked next comes after it.
                let told = tokio::select! {
                    told = tell_answer(say, id, ended.result) => told,
                    () = house.ended(&mut ending) => false,
                    () = &mut leave, if guest.is_some() => false,
                };
                if ended.ends {
                    house.ending.send_replace(true);
                }
                if !told {
                    return running;
                }
            }
            // A login that is being checked was in time.
            () = &mut leave, if guest.is_some() && running.is_none() => {
                tell(say, &Say::Closing(broken("no login has come"))).await;
                return running;
            }
            () = say.closed() => return running,
            () = house.ended(&mut ending) => {
                let end = ApiError::new(Code::ServerIsNotResponding, "the service has ended")
                    .help("start it again; its connections go on as its end says");
                tell(say, &Say::Closing(end)).await;
                return running;
            }
        }
    }
}

/// Begins to answer a request.
fn begin(id: u64, request: Request, caller: &Caller, say: &Out, house: &Arc<House>) -> Running {
    let cancelled = Arc::new(AtomicBool::new(false));
    let teller = Teller { id, say: say.clone(), cancelled: Arc::clone(&cancelled) };
    let (caller, house) = (caller.clone(), Arc::clone(house));
    let ended = match request {
        Request::Login { user, password, .. } => tokio::spawn(login(user, password, caller, house)),
        request => tokio::task::spawn_blocking(move || answer(request, &caller, &house, teller)),
    };
    Running { id, cancelled, ended }
}

/// Answers a request, on a thread where that may take its time.
fn answer(request: Request, caller: &Caller, house: &House, mut teller: Teller) -> Ended {
    match request {
        request if caller.statistics_only && !matches!(request, Request::Logout | Request::Statistics) => {
            Ended::of(Err(ApiError::new(
                Code::InsufficientSecurityAccess,
                "this port answers statistics and nothing else",
            )
            .help("ask at the service's own port (NetPort)")))
        }
        Request::Logout => Ended { access: Some(Access::None), ..Ended::of(Ok(Reply::Done)) },
        Request::Shutdown if caller.access >= request.needs() => {
            house.engine.note(&format!("Shutdown was asked for by {}", caller.name));
            Ended { ends: true, ..Ended::of(Ok(Reply::Done)) }
        }
        request => Ended::of(house.engine.call_as(caller.access, request, &mut teller)),
    }
}

impl Ended {
    fn of(result: Result<Reply, ApiError>) -> Ended {
        Ended { result, access: None, ends: false }
    }
}

/// A call that ended without an answer; the runtime has told the details.
fn panicked() -> ApiError {
    ApiError::new(Code::UnknownError, "an internal error ended the request")
        .help("see the log of the service")
}

/// Answers a login. A caller's own name needs no password on the socket; what it grants is the kernel's word.
async fn login(user: String, password: Option<String>, caller: Caller, house: Arc<House>) -> Ended {
    let fits = |text: &str| text.chars().count() <= FIELD;
    let checked = match password {
        None if caller.is(&user) => Ok(Ok(caller.own)),
        None => {
            if caller.is_remote() {
                tokio::time::sleep(UNASKED).await;
            }
            Err(ApiError::new(Code::InsufficientSecurityAccess, "a password is needed here")
                .help("LOGIN <machine> <user> asks for it; DTCL_PASSWORD_FILE names a file that holds it"))
        }
        Some(password) if fits(&user) && fits(&password) => {
            Arc::clone(&house.logins).check(user.clone(), password, caller.origin).await
        }
        Some(_) => {
            tokio::time::sleep(UNASKED).await;
            Err(ApiError::new(Code::InvalidParameterWasSupplied, "a user name or password is too long")
                .help(format!("each has at most {FIELD} characters")))
        }
    };
    let accepted = matches!(&checked, Ok(Ok(access)) if *access > Access::None);
    house.engine.counts().login(accepted);
    // What was checked is told to the log, and no more: anybody can ask.
    let result = match checked {
        Err(refused) => Err(refused),
        Ok(result) => {
            let (shown, from) = (escape(user.as_bytes()), caller.name.clone());
            let line = match &result {
                Ok(access) => {
                    format!("User :{shown}: has {} access ({}), from {from}", word(*access), *access as u8)
                }
                Err(_) => format!("User :{shown}: has NO access (0), from {from}"),
            };
            let _ = tokio::task::spawn_blocking(move || house.engine.note(&line)).await;
            result
        }
    };
    Ended { access: result.as_ref().ok().copied(), ..Ended::of(result.map(Reply::Access)) }
}

/// Tells an answer. False: the caller is gone.
async fn tell_answer(say: &Out, id: u64, result: Result<Reply, ApiError>) -> bool {
    let answer = frame(&Say::Done { id, result }, ANSWER_MAX).or_else(|error| {
        let result = Err(ApiError::new(Code::DataOverload, format!("the answer cannot be sent: {error}"))
            .help("ask for less at once"));
        frame(&Say::Done { id, result }, ANSWER_MAX)
    });
    match answer {
        Ok(answer) => say.send(answer).await.is_ok(),
        Err(_) => false,
    }
}

fn word(access: Access) -> &'static str {
    match access {
        Access::None => "NO",
        Access::Monitor => "MONITOR",
        Access::Full => "FULL",
    }
}

/// Says one thing. False: the caller is gone.
async fn tell(say: &Out, what: &Say) -> bool {
    match frame(what, ANSWER_MAX) {
        Ok(frame) => say.send(frame).await.is_ok(),
        Err(_) => false,
    }
}

fn broken(why: &str) -> ApiError {
    ApiError::new(Code::HandshakeWasNotCompleted, format!("the session was ended: {why}"))
        .help(format!("both programs must speak version {VERSION} of the protocol"))
}

/// Events of a call, to its caller.
struct Teller {
    id: u64,
    say: Out,
    cancelled: Arc<AtomicBool>,
}

impl Watch for Teller {
    fn event(&mut self, event: Event) {
        let progress = matches!(event, Event::Progress(_));
        let Ok(frame) = frame(&Say::Event { id: self.id, event }, ANSWER_MAX) else { return };
        if progress {
            // The next one tells more; a caller that does not read holds nothing up.
            let _ = self.say.try_send(frame);
        } else {
            let _ = self.say.blocking_send(frame);
        }
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Relaxed) || self.say.is_closed()
    }
}
