//! The replication engine of one home: sets, connections, mirror, verify.

pub mod clock;
pub mod connect;
pub mod connection;
pub mod home;
pub mod job;
pub mod link;
pub mod log;
pub mod repset;
pub mod settings;
pub mod source;
pub mod target;
