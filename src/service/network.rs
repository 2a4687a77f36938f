//! Callers over TCP: TLS with the machine's key, and a place at the door until they have logged in.

use super::caller::Caller;
use super::login::Origin;
use super::{House, data, not_taken_in, session};
use crate::api::{ApiError, Code};
use crate::sys;
use crate::wire::control::Purpose;
use crate::wire::tls;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// From the first byte to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where a service answers on the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// On all addresses, at `NetPort`.
    #[default]
    Everywhere,
    /// On this one alone; port 0: one that is free. Without a port at `NetPort`.
    At(IpAddr, Option<u16>),
    /// On the socket alone.
    Nowhere,
}

impl Listen {
    /// What stands behind `--listen`: `none`, an address, or an address with a port. None: it is nothing of these.
    pub fn parse(text: &str) -> Option<Listen> {
        if text.eq_ignore_ascii_case("none") {
            return Some(Listen::Nowhere);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(Listen::At(address.ip(), Some(address.port())));
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        bare.parse().ok().map(|address| Listen::At(address, None))
    }
}

/// The open ports.
pub(super) struct Network {
    listeners: Vec<TcpListener>,
    /// Those at StatsPort.
    statistics: Vec<TcpListener>,
    acceptor: TlsAcceptor,
    /// The system has chosen the port.
    chosen: bool,
}

impl Network {
    /// None: none is wanted. Inside the runtime.
    pub fn open(at: &Listen, house: &House) -> Result<Option<Network>, ApiError> {
        let port = house.engine.net_port();
        let wanted = match at {
            Listen::Nowhere => return Ok(None),
            Listen::At(address, own) => vec![SocketAddr::new(*address, own.unwrap_or(port))],
            Listen::Everywhere => {
                let everywhere: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
                everywhere.map(|address| SocketAddr::new(address, port)).to_vec()
            }
        };
        let mut listeners = Vec::new();
        for address in wanted {
            match bind(address) {
                Ok(listener) => listeners.push(listener),
                // A host without IPv6.
                Err(error)
                    if *at == Listen::Everywhere
                        && address.is_ipv6()
                        && matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
                }
                Err(error) => {
                    let refused = cannot_listen(address, &error);
                    house.engine.tell_not_started(&refused, true);
                    return Err(refused);
                }
            }
        }
        let config = tls::server(&house.key).map_err(|error| {
            ApiError::new(Code::TheServiceFailedToStart, format!("the machine's key cannot be used: {error}"))
        })?;
        let chosen = matches!(at, Listen::At(_, Some(0)));
        Ok(Some(Network { listeners, statistics: Vec::new(), acceptor: TlsAcceptor::from(config), chosen }))
    }

    /// `StatsPort`, beside the others: who asks there is asked who he is, as everywhere, and is told statistics alone. One that is taken costs nothing but DTStat's own
    /// door, as a second service on a host would have none otherwise.
    pub fn listen_for_statistics(&mut self, house: &House) -> Vec<SocketAddr> {
        let port = house.engine.stats_port();
        let mut opened = Vec::new();
        for address in self.addresses() {
            // Who has the system choose a port does so for both.
            let port = if self.chosen { 0 } else { port };
            match bind(SocketAddr::new(address.ip(), port)) {
                Ok(listener) => {
                    opened.extend(listener.local_addr());
                    self.statistics.push(listener);
                }
                Err(error) => house.engine.note(&format!(
                    "DTStat cannot be answered on {} port {port} (StatsPort): {error}; {address} answers it, too",
                    address.ip()
                )),
            }
        }
        opened
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Takes callers in until the service ends, then waits for their sessions.
    pub async fn accept(self, house: Arc<House>) {
        let Network { listeners, statistics, acceptor, .. } = self;
        let mut tasks = JoinSet::new();
        for (listeners, statistics_only) in [(listeners, false), (statistics, true)] {
            for listener in listeners {
                tasks.spawn(accept_at(listener, Arc::clone(&house), acceptor.clone(), statistics_only));
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

async fn accept_at(listener: TcpListener, house: Arc<House>, acceptor: TlsAcceptor, statistics_only: bool) {
    let mut ending = house.ending.subscribe();
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = house.ended(&mut ending) => break,
            Some(_) = sessions.join_next() => continue,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                not_taken_in(&error).await;
                continue;
            }
        };
        // Those for whom there is no room cost nothing more.
        let Some(guest) = house.door.enter(Origin::of(address.ip())) else { continue };
        let (house, acceptor) = (Arc::clone(&house), acceptor.clone());
        sessions.spawn(async move {
            // What cannot be set is done without.
            let _ = sys::socket::prepare(&stream);
            let Ok(Ok(mut stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
            match session::greeted(&mut stream, &address.to_string()).await {
                Some(Purpose::Session) => {}
                Some(Purpose::Data) if statistics_only => return,
                Some(Purpose::Data) => return data::run(stream, address, house, guest).await,
                None => return,
            }
            match Arc::clone(&house.rooms).try_acquire_owned() {
                Ok(room) => {
                    let caller = Caller { statistics_only, ..Caller::of_network(address) };
                    session::run(stream, caller, house, room, Some(guest)).await;
                }
                Err(_) => {
                    session::turn_away(stream).await;
                    drop(guest);
                }
            }
        });
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

/// A listener of this family alone, so that both can have the same port.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // What is left of an earlier service's connections does not keep the next one from starting.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(256)?;
    TcpListener::from_std(socket.into())
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> ApiError {
    let help = match error.kind() {
        ErrorKind::AddrInUse => {
            "another program, or another service, has this port: end it, SET NetPort to another, or use --listen"
        }
        ErrorKind::AddrNotAvailable => "--listen takes an address of this host, or none",
        _ => "--listen <address>:<port> names another place, --listen none does without the network",
    };
    ApiError::new(Code::ListenFailureOnTheNetworkController, format!("cannot listen on {address}: {error}"))
        .help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_listen_are_understood() {
        assert_eq!(Listen::parse("none"), Some(Listen::Nowhere));
        assert_eq!(Listen::parse("127.0.0.2"), Some(Listen::At([127, 0, 0, 2].into(), None)));
        assert_eq!(Listen::parse("127.0.0.1:0"), Some(Listen::At([127, 0, 0, 1].into(), Some(0))));
        assert_eq!(Listen::parse("[::1]:1600"), Some(Listen::At(Ipv6Addr::LOCALHOST.into(), Some(1600))));
        assert_eq!(Listen::parse("::1"), Some(Listen::At(Ipv6Addr::LOCALHOST.into(), None)));
        for bad in ["", "beta", "127.0.0.1:", "127.0.0.1:99999", ":1500"] {
            assert_eq!(Listen::parse(bad), None, "{bad}");
        }
    }
}
