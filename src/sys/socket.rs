//! Lines of TCP, and Unix sockets by directory and name. A socket's address holds 107 bytes only; here a directory of any length will do, as the
//! address leads through its open descriptor.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// When a line that is silent is asked whether it still stands, how often, and how many answers may be missing.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(20), 3);

/// Small messages go at once over a line of TCP, and a peer that is gone is found out.
pub fn prepare(line: &impl AsFd) -> io::Result<()> {
    let (idle, every, missing) = KEEPALIVE;
    let line = socket2::SockRef::from(line);
    line.set_tcp_nodelay(true)?;
    // While something is unacknowledged nothing is asked; this is as long.
    line.set_tcp_user_timeout(Some(idle + every * missing))?;
    line.set_tcp_keepalive(
        &socket2::TcpKeepalive::new().with_time(idle).with_interval(every).with_retries(missing),
    )
}

/// Makes a socket in place of one that is there, which must be nobody's. Everybody may connect to it: who may do what is told
/// by the peer's credentials.
pub fn listen(directory: &Path, name: &str) -> io::Result<UnixListener> {
    let (_held, path) = through(directory, name)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Connects to such a socket.
pub fn connect(directory: &Path, name: &str) -> io::Result<UnixStream> {
    let (_held, path) = through(directory, name)?;
    UnixStream::connect(path)
}

fn through(directory: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let directory = File::open(directory)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()));
    Ok((directory, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_any_length_holds_a_socket() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(connect(&deep, "s").unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = listen(&deep, "s").unwrap();
        connect(&deep, "s").unwrap();
        drop(listener);
        assert_eq!(connect(&deep, "s").unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let _again = listen(&deep, "s").unwrap();
        connect(&deep, "s").unwrap();
        assert_eq!(std::fs::metadata(deep.join("s")).unwrap().permissions().mode() & 0o777, 0o666);
    }
}
