//! The machines that a client of this program can reach: this one, and no other yet.

use super::local::Cell;
use super::{Connector, Local, Machine};
use crate::api::ApiError;
use crate::engine::connect::address;
use crate::engine::home::Home;
use std::sync::Arc;

/// Opens machines for one home. All names of this host share one engine or one session with its service, opened at the first
/// request that needs it.
pub struct Machines {
    cell: Arc<Cell>,
}

impl Machines {
    #[allow(clippy::new_ret_no_self)] // the rooms above know the trait only
    pub fn new(home: Home) -> Arc<dyn Connector> {
        // Who chose a home means that one.
        let chosen = std::env::var_os("DTCL_HOME").is_some_and(|home| !home.is_empty());
        let system = (!chosen && home != Home::system()).then(|| Home::system().run_dir().to_owned());
        Arc::new(Machines { cell: Arc::new(Cell::new(home, system)) })
    }
}

impl Connector for Machines {
    fn local(&self) -> String {
        address::own_name()
    }

    fn vet_option(&self, name: &str, value: Option<&str>) -> Result<(), ApiError> {
        crate::engine::settings::vet(name, value)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Machine>, ApiError> {
        address::reach(name)?;
        Ok(Arc::new(Local::new(name, Arc::clone(&self.cell))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Code;
    use std::net::TcpListener;

    #[test]
    fn a_machine_that_answers_is_named_as_out_of_reach() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let machines = Machines::new(Home::at(dir.path()));
        let error = machines.open(&listener.local_addr().unwrap().to_string()).err().unwrap();
        assert_eq!(error.code, Code::ServerIsNotResponding);
        assert!(error.message.contains("cannot speak to other machines"), "{error}");
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
