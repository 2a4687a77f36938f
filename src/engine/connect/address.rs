//! Which machine a name means: this one, one that answers, or none.
//!
//! `localhost`, the host's own names and its own addresses without a port are this machine; every other name, and any
//! name with a port, is a machine reached over TCP (architecture.md 1). Both look-up and dialling are bounded in time.

use crate::api::{ApiError, Code};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

/// The port of the product's service where none is typed (`NetPort`).
pub const DEFAULT_PORT: u16 = 1500;

/// How long a name server may take.
const LOOKUP: Duration = Duration::from_secs(5);
/// How long one address may take to answer.
pub(super) const DIAL: Duration = Duration::from_secs(3);
/// At most so many of a name's addresses are tried.
pub(super) const ADDRESSES: usize = 4;

/// `<address>` of the syntax lines: `name`, `name:port`, `192.0.2.7:1500`, `[2001:db8::7]:1500`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: Option<u16>,
}

/// Where a machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This process.
    Here,
    /// Something accepts connections there.
    There(SocketAddr),
}

impl Address {
    /// Takes a typed word apart. -101 if it is no machine's name.
    pub fn parse(text: &str) -> Result<Address, ApiError> {
        let bad = |why: &str| {
            ApiError::new(
                Code::InvalidParameterWasSupplied,
                format!("{text:?} is not a machine's name: {why}"),
            )
            .help("name, name:port, 192.0.2.7:1500 or [2001:db8::7]:1500")
        };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, tail) = rest.split_once(']').ok_or_else(|| bad("the bracket is not closed"))?;
            host.parse::<Ipv6Addr>().map_err(|_| bad("the brackets hold no IPv6 address"))?;
            let port = match tail.strip_prefix(':') {
                Some(port) => Some(parse_port(port).ok_or_else(|| bad("a port is 1 to 65535"))?),
                None if tail.is_empty() => None,
                None => return Err(bad("only a port can follow the bracket")),
            };
            return Ok(Address { host: host.to_owned(), port });
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(Address { host: text.to_owned(), port: None });
        }
        let (host, port) = match text.split_once(':') {
            None => (text, None),
            Some((host, port)) => (host, Some(parse_port(port).ok_or_else(|| bad("a port is 1 to 65535"))?)),
        };
        let shaped = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || host.len() > 253 || !host.chars().all(shaped) {
            return Err(bad("letters, digits, '-', '_' and '.' make a name"));
        }
        Ok(Address { host: host.to_owned(), port })
    }

    /// Finds the machine. -109 when the name is not known, -110 when nothing answers there.
    pub fn locate(&self) -> Result<Place, ApiError> {
        if self.port.is_none() && is_own_name(&self.host) {
            return Ok(Place::Here);
        }
        let addresses = self.look_up()?;
        if self.port.is_none() && addresses.iter().all(|address| is_own_address(address.ip())) {
            return Ok(Place::Here);
        }
        for address in addresses.iter().take(ADDRESSES) {
            if TcpStream::connect_timeout(address, DIAL).is_ok() {
                return Ok(Place::There(*address));
            }
        }
        let port = self.port.unwrap_or(DEFAULT_PORT);
        Err(ApiError::new(
            Code::ServerIsNotResponding,
            format!("{} does not respond on port {port}", self.host),
        )
        .help("start the service there, or check the address, the port and the firewalls between"))
    }

    /// The addresses of the name, at least one.
    pub fn look_up(&self) -> Result<Vec<SocketAddr>, ApiError> {
        let unknown = |why: String| {
            ApiError::new(
                Code::ServerDoesNotExistOrCouldNotBeLocated,
                format!("{} could not be located: {why}", self.host),
            )
            .help("check the spelling, or use localhost or an address; SERVERS lists the known machines")
        };
        let port = self.port.unwrap_or(DEFAULT_PORT);
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        // The system's resolver cannot be interrupted, so it runs aside and is left behind when it takes too long.
        let (tell, answer) = mpsc::channel();
        let host = self.host.clone();
        let spawned = std::thread::Builder::new().name("lookup".into()).spawn(move || {
            // Nobody listens any more when the time ran out.
            let _ = tell.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>));
        });
        if let Err(error) = spawned {
            return Err(unknown(format!("no thread to look it up ({error})")));
        }
        match answer.recv_timeout(LOOKUP) {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Ok(_)) => Err(unknown("the name has no address".into())),
            Ok(Err(error)) => {
                // "failed to lookup address information: Name or service not known": the end says it.
                let text = error.to_string();
                Err(unknown(text.rsplit(": ").next().unwrap_or(&text).to_lowercase()))
            }
            Err(_) => Err(unknown(format!("no answer from the name service in {} s", LOOKUP.as_secs()))),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (_, None) => f.write_str(&self.host),
        }
    }
}

/// Takes a machine for this one. Errors of [`Address::locate`], and -138 for others: they have to grant what is sent to them.
pub fn reach(name: &str) -> Result<(), ApiError> {
    match Address::parse(name)?.locate()? {
        Place::Here => Ok(()),
        Place::There(address) => Err(ApiError::new(
            Code::InsufficientSecurityAccess,
            format!("{name} answers at {address}, and has granted this source nothing"),
        )
        .help("LOGIN to it from where CONNECT is typed: it grants what an administrator of both machines connects")),
    }
}

/// Is this a name or address of this machine, as far as that can be told without asking anybody?
pub fn is_here(name: &str) -> bool {
    let Ok(Address { host, port: None }) = Address::parse(name) else { return false };
    is_own_name(&host) || host.parse().is_ok_and(is_own_address)
}

/// The host's name as it calls itself.
pub fn own_name() -> String {
    let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// An address under which peers would see this machine, for status and log.
pub fn own_address() -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)
}

/// `localhost`, the host name, or its part before the first dot; names compare without case.
fn is_own_name(host: &str) -> bool {
    let own = own_name();
    let short = own.split('.').next().unwrap_or(&own);
    host.eq_ignore_ascii_case("localhost")
        || host.eq_ignore_ascii_case(&own)
        || host.eq_ignore_ascii_case(short)
}

/// True for loopback addresses and those of the host's interfaces: only such an address can be bound.
pub fn is_own_address(ip: IpAddr) -> bool {
    ip.is_loopback() || (!ip.is_unspecified() && !ip.is_multicast() && UdpSocket::bind((ip, 0)).is_ok())
}

fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten().filter(|&port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn code(text: &str) -> Code {
        Address::parse(text).and_then(|address| address.locate()).unwrap_err().code
    }

    #[test]
    fn the_forms_of_an_address_are_understood() {
        for (text, host, port) in [
            ("beta", "beta", None),
            ("beta.example.org:1600", "beta.example.org", Some(1600)),
            ("192.0.2.7:1500", "192.0.2.7", Some(1500)),
            ("[2001:db8::7]:1500", "2001:db8::7", Some(1500)),
            ("[2001:db8::7]", "2001:db8::7", None),
            ("::1", "::1", None),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
        }
        assert_eq!(Address::parse("[::1]:7").unwrap().to_string(), "[::1]:7");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "beta:", "beta:0", "beta:65536", "beta:+1", "a b", "[::1", "[beta]:1", "[::1]x", "b/c", ":1"]
        {
            assert_eq!(code(text), Code::InvalidParameterWasSupplied, "{text:?}");
        }
    }

    #[test]
    fn own_names_and_addresses_are_here() {
        for name in ["localhost", "LOCALHOST", &own_name(), "127.0.0.1", "127.0.0.2", "::1"] {
            assert_eq!(Address::parse(name).unwrap().locate().unwrap(), Place::Here, "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_said_at_once() {
        assert_eq!(code("no-such-machine.invalid"), Code::ServerDoesNotExistOrCouldNotBeLocated);
    }

    #[test]
    fn with_a_port_it_is_dialled_even_here() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(Address::parse(&address.to_string()).unwrap().locate().unwrap(), Place::There(address));
        drop(listener);
        assert_eq!(code(&address.to_string()), Code::ServerIsNotResponding);
    }
}
