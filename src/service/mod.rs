//! The daemon: an engine that clients reach over a socket, and that outlives them.
//!
//! Invariants: a caller's access is looked at for every request, here and not only in its program; a session holds one thread at
//! most, and their number is bounded; the end comes in good order and in bounded time, whatever callers do.

mod caller;
mod data;
mod door;
mod login;
mod network;
mod session;
#[cfg(test)]
mod tests;
mod watchdog;

use crate::api::{Access, ApiError, Code};
use crate::engine::Engine;
use crate::engine::home::{Home, SOCKET};
use crate::sys;
use crate::sys::signal::{Manner, set_manner};
use crate::wire::control::Purpose;
use crate::wire::tls::MachineKey;
use caller::Caller;
use door::Door;
use login::Logins;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use watchdog::Watchdog;

pub use network::Listen;

/// Most sessions at one time; each may hold a thread.
const SESSIONS: usize = 256;

/// So many of them are for callers that may do all.
const RESERVED: usize = 64;
/// Callers that are told at one time that there is no room.
const TURNED_AWAY: usize = 16;

/// How long sessions may take to hear that the service ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// Tells what a user (number) with a group (number) may do.
type Levels = fn(u32, u32) -> Caller;

/// What sessions share.
struct House {
    engine: Arc<Engine>,
    levels: Levels,
    logins: Arc<Logins>,
    /// What a service shows who it is with.
    key: Arc<MachineKey>,
    rooms: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    door: Arc<Door>,
    epoch: u64,
    ending: watch::Sender<bool>,
}

impl House {
    /// Waits for the end.
    async fn ended(&self, ending: &mut watch::Receiver<bool>) {
        // The sender lives as long as the house.
        let _ = ending.wait_for(|ending| *ending).await;
    }
}

/// A running service.
pub struct Service {
    house: Arc<House>,
    runtime: Runtime,
    sessions: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
}

impl Service {
    /// Opens the home's engine and its socket. -111 while another engine runs on it.
    pub fn start(home: Home, listen: &Listen) -> Result<Service, ApiError> {
        Self::start_with(home, Caller::of_socket, listen)
    }

    fn start_with(home: Home, levels: Levels, at: &Listen) -> Result<Service, ApiError> {
        Self::start_in(new_runtime()?, home, levels, at)
    }

    fn start_in(runtime: Runtime, home: Home, levels: Levels, at: &Listen) -> Result<Service, ApiError> {
        // Its lock is what makes an old socket nobody's.
        let engine = Engine::open_to_resume(home.clone())?;
        let key = engine.machine_key()?;
        let logins = Arc::new(Logins::new(engine.users()));
        let (ending, _) = watch::channel(false);
        let rooms = Arc::new(Semaphore::new(SESSIONS));
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
        let door = Arc::default();
        let epoch = epoch();
        let house = Arc::new(House { engine, levels, logins, key, rooms, turned_away, door, epoch, ending });
        let _inside = runtime.enter();
        let listener = listen(&home).map_err(|error| failed("the socket cannot be made", &error))?;
        let mut network = network::Network::open(at, &house)?;
        let addresses = network.as_ref().map(network::Network::addresses).unwrap_or_default();
        let statistics =
            network.as_mut().map(|network| network.listen_for_statistics(&house)).unwrap_or_default();
        let mut sessions = vec![runtime.spawn(accept(listener, Arc::clone(&house)))];
        sessions.extend(network.map(|network| runtime.spawn(network.accept(Arc::clone(&house)))));
        house.engine.tell_started();
        house.engine.resume_connections().inspect_err(|error| house.engine.tell_not_started(error, false))?;
        for address in &addresses {
            house.engine.note(&format!("Listening on {address}, machine key {}", house.key.fingerprint()));
        }
        for address in &statistics {
            house.engine.note(&format!("DTStat is answered on {address}"));
        }
        drop(_inside);
        Ok(Service { house, runtime, sessions, addresses })
    }

    /// Where it answers on the network.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until a client asks the service to end.
    pub async fn asked_to_end(&self) {
        self.house.ended(&mut self.house.ending.subscribe()).await;
    }

    /// Ends sessions, then the engine, whose connections get `drain` to come to their end. Names each of them and how it ended.
    pub fn end(self, drain: Duration) -> Vec<String> {
        self.house.ending.send_replace(true);
        let Service { house, runtime, sessions, .. } = self;
        let told = runtime.block_on(async {
            let all = async {
                for sessions in sessions {
                    // One that has panicked has ended, too.
                    let _ = sessions.await;
                }
            };
            tokio::time::timeout(FAREWELL, all).await
        });
        if told.is_err() {
            tracing::warn!("Sessions did not end in {} s", FAREWELL.as_secs());
        }
        let named = house.engine.close(drain);
        // A call that hangs in the kernel must not hold the process.
        runtime.shutdown_background();
        named
    }
}

fn failed(what: &str, error: &std::io::Error) -> ApiError {
    ApiError::new(Code::TheServiceFailedToStart, format!("{what}: {error}"))
        .help("see the reason; DTCL serve needs a home that is its own")
}

fn new_runtime() -> Result<Runtime, ApiError> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(SESSIONS + 16)
        .thread_name("service")
        .enable_all()
        .build()
        .map_err(|error| failed("no threads could be started", &error))
}

/// The home's socket. Others may reach it: what they may do there is told by who they are.
fn listen(home: &Home) -> std::io::Result<UnixListener> {
    std::fs::set_permissions(home.run_dir(), std::fs::Permissions::from_mode(0o755))?;
    let listener = sys::socket::listen(home.run_dir(), SOCKET)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Takes callers in until the service ends, then waits for their sessions.
async fn accept(listener: UnixListener, house: Arc<House>) {
    let mut ending = house.ending.subscribe();
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = house.ended(&mut ending) => break,
            Some(_) = sessions.join_next() => continue,
        };
        let (stream, credentials) = match accepted.and_then(|(stream, _)| Ok((stream.peer_cred()?, stream))) {
            Ok((credentials, stream)) => (stream, credentials),
            Err(error) => {
                not_taken_in(&error).await;
                continue;
            }
        };
        let house = Arc::clone(&house);
        let Ok(room) = Arc::clone(&house.rooms).try_acquire_owned() else {
            // As many are told so as have room for that.
            if let Ok(place) = Arc::clone(&house.turned_away).try_acquire_owned() {
                sessions.spawn(async move {
                    if let Some(stream) = on_the_socket(stream).await {
                        session::turn_away(stream).await;
                    }
                    drop(place);
                });
            }
            continue;
        };
        sessions.spawn(async move {
            let Some(stream) = on_the_socket(stream).await else { return };
            let levels = house.levels;
            let asked = tokio::task::spawn_blocking(move || levels(credentials.uid(), credentials.gid()));
            let caller = asked.await;
            let Ok(caller) = caller else { return };
            let guest = match caller.own {
                Access::Full => None,
                // Who may not do all leaves room for those who may.
                Access::Monitor if house.rooms.available_permits() < RESERVED => {
                    return session::turn_away(stream).await;
                }
                Access::Monitor => None,
                // Who may do nothing stands at the door.
                Access::None => match house.door.enter(caller.origin) {
                    Some(guest) => Some(guest),
                    None => return,
                },
            };
            session::run(stream, caller, house, room, guest).await;
        });
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

/// Says hello to a caller on the socket, where nobody wants anything but a session.
async fn on_the_socket(mut stream: UnixStream) -> Option<UnixStream> {
    (session::greeted(&mut stream, "A caller on the socket").await? == Purpose::Session).then_some(stream)
}

/// Out of descriptors, mostly: those that leave make room.
async fn not_taken_in(error: &std::io::Error) {
    tracing::warn!("A caller could not be taken in: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// A number that no other start of a service has.
fn epoch() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or_default()
}

/// `DTCL serve`: runs until SIGTERM, SIGINT or SHUTDOWN. Gives the exit status.
pub fn run(home: Home, at: &Listen, drain: Duration) -> i32 {
    let said = |error: &ApiError| {
        eprintln!("error: {error}");
        if let Some(help) = &error.help {
            eprintln!("  = help: {help}");
        }
    };
    // Before anything takes time: no signal is lost.
    let begun = new_runtime().and_then(|runtime| {
        let signals = runtime.block_on(async {
            Ok([SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal))
        });
        let signals: std::io::Result<[std::io::Result<Signal>; 3]> = signals;
        let unheard = |error: std::io::Error| failed("signals cannot be received", &error);
        let [terminate, interrupt, hangup] = signals.map_err(unheard)?;
        let signals = (terminate.map_err(unheard)?, interrupt.map_err(unheard)?, hangup.map_err(unheard)?);
        set_manner(Manner::Elsewhere);
        Ok((signals, Service::start_in(runtime, home, Caller::of_socket, at)?))
    });
    let ((mut terminate, mut interrupt, mut hangup), service) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            said(&error);
            return 1;
        }
    };
    service.runtime.block_on(async {
        for address in service.addresses() {
            eprintln!("listening on {address}, machine key {}", service.house.key.fingerprint());
        }
        // Without a service manager there is nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let every = Watchdog::interval();
        let mut beat = tokio::time::interval(every.unwrap_or(Duration::from_secs(3600)));
        let mut watchdog = Watchdog::default();
        loop {
            tokio::select! {
                () = service.asked_to_end() => break,
                _ = beat.tick(), if every.is_some() => watchdog.beat(&service.house.engine, beat.period()).await,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => service.house.engine.reread(),
            }
        }
    });
    // A further signal ends it at once.
    set_manner(Manner::AtOnce);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    for line in service.end(drain) {
        eprintln!("{line}");
    }
    0
}
