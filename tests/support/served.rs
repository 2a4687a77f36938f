//! A service as a process of its own.

use super::{Dtcl, Home, pty};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::Duration;

/// `DTCL serve` on a home, ready for clients.
pub struct Served {
    child: Option<Child>,
    told: UnixDatagram,
}

impl Served {
    pub fn start(home: &Home) -> Served {
        Self::at(home, "none")
    }

    /// Listening there.
    pub fn at(home: &Home, listen: &str) -> Served {
        Self::by(home, home.dtcl(), listen)
    }

    /// The same, as this call of the program.
    pub fn by(home: &Home, dtcl: Dtcl, listen: &str) -> Served {
        // What a service manager would listen to.
        let path = home.path("notify");
        let _ = std::fs::remove_file(&path);
        let told = UnixDatagram::bind(&path).unwrap();
        told.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut command = dtcl.args(["serve", "--listen", listen, "--drain-timeout", "20"]).command();
        command
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let served = Served { child: Some(command.spawn().unwrap()), told };
        served.expect("READY=1");
        served
    }

    /// What is told to the service manager.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        let mut buffer = [0; 256];
        let count = self.told.recv(&mut buffer).expect("the service tells");
        let said = String::from_utf8_lossy(&buffer[..count]);
        assert!(said.contains(text), "{said}");
    }

    /// The address at which it says that it listens.
    pub fn address(&mut self) -> String {
        let mut said = std::io::BufReader::new(self.child.as_mut().unwrap().stderr.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        // Kept open: what is said later must not meet a closed pipe.
        std::mem::forget(said);
        let address = line.strip_prefix("listening on ").and_then(|line| line.split(',').next());
        assert!(line.contains("machine key SHA256:"), "{line}");
        address.unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        pty::kill(self.pid(), signal);
    }

    /// Its exit status and what it said, once it has ended; the line of its address is left out.
    pub fn ended_after_address(self) -> (Option<i32>, String) {
        let (status, said) = self.ended();
        (status, said.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default())
    }

    /// Its exit status and what it said, once it has ended.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
