//! What a machine answers: one arm for each request, the work in the files beside this one.

mod browse;

use super::Engine;
use super::connect::address;
use crate::api::{Access, ApiError, Code, Reply, Request, Version, Watch};

impl Engine {
    /// Answers one request; blocks until it is done.
    pub fn call(&self, request: Request, _watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        match request {
            // Whoever could open the home may do everything in it; passwords are for services.
            Request::Login { user, .. } => {
                tracing::info!("User :{user}: has FULL access (2)");
                Ok(Reply::Access(Access::Full))
            }
            Request::Logout | Request::Ping => Ok(Reply::Done),
            Request::Version => Ok(Reply::Version(version())),
            Request::Directory { path } => browse::directory(&path),
            _ => Err(ApiError::bare(Code::OperationOrCommandIsNotSupported)),
        }
    }
}

fn version() -> Version {
    let system = nix::sys::utsname::uname().map(|name| {
        let part = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        format!("{} {} {}", part(name.sysname()), part(name.release()), part(name.machine()))
    });
    Version {
        product: "DTCL".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        system: system.unwrap_or_else(|_| std::env::consts::OS.to_owned()),
        machine: address::own_name(),
        addresses: vec![address::own_address().to_string()],
    }
}
