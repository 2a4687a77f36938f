//! A target on another machine, as a connection of this one knows it: how it is called, its key, and what it has granted.

use super::address::{ADDRESSES, Address, DIAL};
use crate::api::{ApiError, Code, Granted};
use crate::engine::job::Mapping;
use crate::engine::random::random;
use crate::engine::target::incarnation;
use crate::engine::transmission::{Called, Traffic, Transmission};
use crate::sys;
use crate::wire::control::{Admit, ControlError, Incoming, Present, Purpose, STRANGER_MAX, frame, greet};
use crate::wire::data::{Line, Side};
use crate::wire::tls::{self, Expected, Fingerprint, MachineKey};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long it may take to admit a line. It may have to wait for an earlier one to end.
const ADMIT: Duration = Duration::from_secs(30);
/// What is waited at first, and at most, before a target is dialled once more.
const REDIAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// What no dialling mends.
const FINAL: [Code; 2] = [Code::HandshakeWasNotCompleted, Code::IncompatibleSourceAndTargetProductVersions];
/// How long the end of a connection waits for the target to take the grant back.
const FAREWELL: Duration = Duration::from_secs(3);

/// See the module.
pub struct Far {
    /// As it was typed.
    name: String,
    address: Address,
    key: Fingerprint,
    grant: String,
    own: Arc<MachineKey>,
    pub paths: Vec<Mapping>,
    standing: Mutex<Numbers>,
    presenting: Mutex<()>,
    /// Nobody is called.
    rehearsed: bool,
}

#[derive(Default)]
struct Numbers {
    /// None: no line was dialled yet.
    last: Option<u64>,
    standing: BTreeSet<u64>,
}

/// The next call's number: of all that this process presents, as a grant may be known by several here.
fn call_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Relaxed) + 1
}

impl std::fmt::Debug for Far {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Far({})", self.name)
    }
}

/// A connection's target is the same as long as its grant is.
impl PartialEq for Far {
    fn eq(&self, other: &Far) -> bool {
        self.grant == other.grant
    }
}

impl Eq for Far {}

/// A line of the connection, which may rest.
pub struct Dialled {
    pub line: Arc<Line>,
    stands: Stands,
    /// The target knows it.
    begun: AtomicBool,
    /// What was heard when it was dialled anew, and what is waited before that is done once more.
    redialled: Mutex<Option<(u64, Duration)>>,
}

impl Dialled {
    /// Calls the target. Some: it refuses the line. The error: it cannot be reached, or not now.
    fn call(&self) -> Result<Option<ApiError>, ApiError> {
        let Stands { far, number } = &self.stands;
        // One after the other: the target ends the lines that it is not told of.
        let _turn = match far.presenting.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) if self.begun.load(Relaxed) => {
                return Err(far.lost(&std::io::Error::from(ErrorKind::WouldBlock).into()));
            }
            Err(TryLockError::WouldBlock) => far.presenting.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let standing = far.numbers().standing.iter().copied().filter(|other| other != number).collect();
        let (grant, process) = (far.grant.clone(), incarnation());
        if self.is_settled() {
            return Ok(None);
        }
        let resumes = self.begun.load(Relaxed).then(|| self.line.heard());
        let present =
            Present { grant, process, call: call_number(), line: *number, standing, resumes, ends: false };
        let (tls, socket, admit) = far.present(&present, ADMIT)?;
        let heard = match admit {
            Admit::Admitted(heard) => heard,
            Admit::Refused(error) if error.code == Code::ServerIsNotResponding => return Err(error),
            Admit::Refused(error) => return Ok(Some(error)),
        };
        match self.line.go_on(tls.into(), socket, Some(heard), Duration::ZERO) {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                return Ok(Some(far.lost(&error.into())));
            }
            went => went.map_err(|error| far.lost(&error.into()))?,
        }
        self.begun.store(true, Relaxed);
        Ok(None)
    }

    /// Somebody has called it, or nobody needs to.
    fn is_settled(&self) -> bool {
        self.line.is_over() || !self.line.is_at_rest()
    }

    /// What carried the line has failed: dials until something carries it again, or it is over.
    pub fn redial(&self, transmission: &Transmission, traffic: &Traffic) {
        let _away = traffic.away();
        let name = &self.stands.far.name;
        tracing::warn!("The line to {name} has failed; it is dialled anew");
        let mut told = None;
        // What fails again before anything was heard is not dialled at once.
        let heard = self.line.heard();
        let mut wait = match *self.redialled.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((before, wait)) if before == heard => wait,
            _ => Duration::ZERO,
        };
        loop {
            self.line.wait_way(wait);
            if self.is_settled() {
                return;
            }
            wait = (2 * wait).clamp(REDIAL.0, REDIAL.1);
            *self.redialled.lock().unwrap_or_else(PoisonError::into_inner) = Some((heard, wait));
            match transmission.redials(|| self.call()) {
                // Who has it go on calls.
                None => {}
                Some(Ok(None)) => {
                    tracing::info!("The line to {name} goes on where it was");
                    return;
                }
                Some(Ok(Some(refused))) => {
                    tracing::warn!("The line to {name} does not go on: {}", refused.message);
                    return self.line.break_off();
                }
                Some(Err(error)) if FINAL.contains(&error.code) => {
                    tracing::warn!("The line to {name} does not go on: {}", error.message);
                    return self.line.break_off();
                }
                Some(Err(error)) if told.as_ref() == Some(&error.message) => {}
                Some(Err(error)) => {
                    tracing::warn!("{}", error.message);
                    told = Some(error.message);
                }
            }
        }
    }
}

impl Called for Dialled {
    fn rest(&self, patience: Duration) -> Result<(), String> {
        if self.line.is_over() {
            return Ok(());
        }
        let rested = self.line.rest(patience);
        rested.inspect_err(|_| self.line.break_off()).map_err(|error| error.to_string())
    }

    fn go_on(&self) -> Result<bool, ApiError> {
        if self.line.is_over() {
            return Ok(true);
        }
        let refused = self.call()?;
        if refused.is_some() {
            // What it had not applied is lost with it.
            self.line.break_off();
        }
        Ok(refused.is_none())
    }
}

/// A line's number, while it stands.
struct Stands {
    far: Arc<Far>,
    number: u64,
}

impl Drop for Stands {
    fn drop(&mut self) {
        self.far.numbers().standing.remove(&self.number);
    }
}

impl Far {
    /// What a client brought from a target. -101 for what no target grants.
    pub fn of(name: &str, granted: &Granted, own: Arc<MachineKey>) -> Result<Far, ApiError> {
        let invalid = |what: &str| {
            ApiError::new(
                Code::InvalidParameterWasSupplied,
                format!("what {name} has granted cannot be used: {what}"),
            )
        };
        let key = granted.key.parse().map_err(|()| invalid("it holds no key"))?;
        let paths: Vec<Mapping> = granted
            .paths
            .iter()
            .map(|(source, target)| Mapping { source: PathBuf::from(source), target: PathBuf::from(target) })
            .collect();
        if paths.iter().any(|mapping| !mapping.source.is_absolute() || !mapping.target.is_absolute()) {
            return Err(invalid("a path does not begin with a slash"));
        }
        Ok(Far {
            name: name.to_owned(),
            address: Address::parse(name)?,
            key,
            grant: granted.id.clone(),
            own,
            paths,
            standing: Mutex::default(),
            presenting: Mutex::default(),
            rehearsed: false,
        })
    }

    /// Of a rehearsal: it has granted nothing, and is never called.
    pub fn rehearsed(self) -> Far {
        Far { rehearsed: true, ..self }
    }

    /// The grant's name.
    pub fn grant(&self) -> &str {
        &self.grant
    }

    /// Where it is looked for, e.g. `192.0.2.7:1500`. -109 when the name is not known.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, ApiError> {
        self.address.look_up()
    }

    /// A line to the target, which has shown its key and admitted it; one at rest, which is dialled later, while transmission is
    /// stopped. Blocks. -110 when nothing answers, -138 when the target has granted nothing, or no more.
    pub fn dial(
        self: &Arc<Self>,
        transmission: &Transmission,
        traffic: &Arc<Traffic>,
    ) -> Result<Arc<Dialled>, ApiError> {
        transmission.dials(|with_socket| {
            let line = Arc::new(Line::at_rest(Side::Source));
            line.mends();
            line.pass(transmission.gate_of(traffic));
            let dialled = Arc::new(Dialled {
                line,
                stands: self.take_number()?,
                begun: AtomicBool::new(false),
                redialled: Mutex::default(),
            });
            if with_socket && let Some(refused) = dialled.call()? {
                return Err(refused);
            }
            Ok((Arc::clone(&dialled), dialled))
        })
    }

    /// Gives the grant back, if the target can be told in a short time.
    pub fn withdraw(&self) -> Result<(), ApiError> {
        if self.rehearsed {
            return Ok(());
        }
        let (grant, process) = (self.grant.clone(), incarnation());
        let present = Present {
            grant,
            process,
            call: call_number(),
            line: 0,
            standing: Vec::new(),
            resumes: None,
            ends: true,
        };
        match self.present(&present, FAREWELL)?.2 {
            Admit::Admitted(_) => Ok(()),
            Admit::Refused(error) => Err(error),
        }
    }

    /// A number for a new line.
    fn take_number(self: &Arc<Self>) -> Result<Stands, ApiError> {
        let mut numbers = self.numbers();
        let last = match numbers.last {
            Some(last) => last,
            // Those of an engine that was killed are not met again.
            None => u64::from_le_bytes(random()?),
        };
        let number = last.wrapping_add(1);
        numbers.last = Some(number);
        numbers.standing.insert(number);
        drop(numbers);
        Ok(Stands { far: Arc::clone(self), number })
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls, shows both keys, and presents.
    fn present(
        &self,
        present: &Present,
        patience: Duration,
    ) -> Result<(ClientConnection, std::net::TcpStream, Admit), ApiError> {
        if self.rehearsed {
            let message = format!("{} is not called in a dry run", self.name);
            return Err(ApiError::new(Code::OperationOrCommandIsNotSupported, message));
        }
        let addresses = self.addresses()?;
        let failed = |error: ControlError| self.lost(&error);
        let expected = Expected::new(Some(self.key));
        let config = tls::client(Arc::clone(&expected), &self.own)
            .map_err(|error| failed(std::io::Error::other(error).into()))?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| failed(e.into()))?;
        let called = runtime.block_on(async {
            let talk = async {
                let socket = call(&addresses).await?;
                let name = ServerName::from(socket.peer_addr()?.ip());
                let mut stream = TlsConnector::from(config).connect(name, socket).await?;
                greet(&mut stream, Purpose::Data).await?;
                stream.write_all(&frame(present, STRANGER_MAX)?).await?;
                stream.flush().await?;
                let mut incoming = Incoming::new(stream);
                let admit = incoming.next::<Admit>(STRANGER_MAX).await?;
                // The target says nothing more before it is told something.
                let stream = incoming.into_inner().ok_or(ControlError::Stranger)?;
                let admit = admit.ok_or(ControlError::Io(ErrorKind::UnexpectedEof.into()))?;
                let (socket, tls) = stream.into_inner();
                Ok((tls, socket.into_std()?, admit))
            };
            timeout(patience, talk).await.unwrap_or(Err(ControlError::Io(ErrorKind::TimedOut.into())))
        });
        called.map_err(|error| match expected.shown() {
            Some(shown) if shown != self.key => ApiError::new(
                Code::HandshakeWasNotCompleted,
                format!("{} has another key than when it was connected: {shown}, and it was {}", self.name, self.key),
            )
            .help("somebody may stand in between; if the machine was installed anew, DISCONNECT and CONNECT again"),
            _ => failed(error),
        })
    }

    fn lost(&self, error: &ControlError) -> ApiError {
        let code = match error {
            ControlError::Version(_) => Code::IncompatibleSourceAndTargetProductVersions,
            _ => Code::ServerIsNotResponding,
        };
        ApiError::new(code, format!("{} cannot be reached: {error}", self.name))
            .help("start the service there, or check the address, the port and the firewalls between")
    }
}

/// The first address that answers.
async fn call(addresses: &[SocketAddr]) -> Result<TcpStream, ControlError> {
    let mut last = std::io::Error::from(ErrorKind::NotFound);
    for address in addresses.iter().take(ADDRESSES) {
        match timeout(DIAL, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                sys::socket::prepare(&socket)?;
                return Ok(socket);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = ErrorKind::TimedOut.into(),
        }
    }
    Err(last.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsed_target_is_never_called() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let own = Arc::new(MachineKey::passing().unwrap());
        let granted = Granted {
            id: "a grant".into(),
            key: own.fingerprint().to_string(),
            paths: vec![("/data".into(), "/copy".into())],
            notices: Vec::new(),
        };
        let far = Far::of(&listener.local_addr().unwrap().to_string(), &granted, own).unwrap().rehearsed();
        assert_eq!(far.withdraw(), Ok(()));
        assert!(Arc::new(far).dial(&Transmission::default(), &Arc::default()).is_err());
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}
