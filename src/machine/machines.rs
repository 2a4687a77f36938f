//! The machines that a client of this program can reach: this one, and those whose service answers on the network.

use super::known::Known;
use super::local::Cell;
use super::rehearsal::Rehearsed;
use super::remote::Remote;
use super::{Connector, Local, Machine};
use crate::api::ApiError;
use crate::engine::connect::address::{self, Address, Place};
use crate::engine::home::Home;
use std::sync::Arc;

/// Opens machines for one home. All names of this host share one engine or one session with its service, opened at the first
/// request that needs it.
pub struct Machines {
    cell: Arc<Cell>,
    known: Known,
}

impl Machines {
    #[allow(clippy::new_ret_no_self)] // the rooms above know the trait only
    pub fn new(home: Home) -> Arc<dyn Connector> {
        let known = Known::of(home.state_dir());
        Arc::new(Machines { cell: Arc::new(cell(home)), known })
    }

    /// Machines of which each command's effect is rehearsed on a copy: nothing is changed there or here.
    pub fn rehearsed(home: Home) -> Arc<dyn Connector> {
        let known = Known::read_only(home.state_dir());
        Arc::new(Rehearsed::new(cell(home), known))
    }
}

fn cell(home: Home) -> Cell {
    // Who chose a home means that one.
    let chosen = std::env::var_os("DTCL_HOME").is_some_and(|home| !home.is_empty());
    let system = (!chosen && home != Home::system()).then(|| Home::system().run_dir().to_owned());
    Cell::new(home, system)
}

impl Connector for Machines {
    fn local(&self) -> String {
        address::own_name()
    }

    fn vet_option(&self, name: &str, value: Option<&str>) -> Result<(), ApiError> {
        crate::engine::settings::vet(name, value)
    }

    fn option_names(&self) -> Vec<&'static str> {
        crate::engine::settings::names()
    }

    fn service(&self) -> Result<Option<Arc<dyn Machine>>, ApiError> {
        let service = self.cell.service(&self.local())?;
        Ok(service.map(|service| -> Arc<dyn Machine> { Arc::new(service) }))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Machine>, ApiError> {
        let address = Address::parse(name)?;
        match address.locate()? {
            Place::Here => Ok(Arc::new(Local::new(name, Arc::clone(&self.cell)))),
            Place::There(at) => {
                let label = Address { port: Some(at.port()), ..address }.to_string();
                Ok(Arc::new(Remote::at(name, at, &label, self.known.clone())?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Code;
    use std::net::TcpListener;

    #[test]
    fn what_answers_and_is_no_service_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                std::io::Write::write_all(&mut stream, b"SSH-2.0-a-program\r\n").unwrap();
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let error = Machines::new(Home::at(dir.path())).open(&address).err().unwrap();
        assert_eq!(error.code, Code::ServerIsNotResponding);
        assert!(error.message.contains("cannot be spoken with"), "{error}");
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "no key is remembered");
        answers.join().unwrap();
    }

    #[test]
    fn opening_a_machine_touches_no_home() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let machine = Machines::new(Home::at(&home)).open("localhost").unwrap();
        assert_eq!(machine.name(), "localhost");
        assert!(machine.close(std::time::Duration::ZERO).is_empty());
        assert!(!home.exists());
    }
}
