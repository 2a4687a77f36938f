//! Making a connection: which machine, where the data comes to lie, and what is refused.

pub mod address;
pub mod far;
pub mod mapping;
pub mod mounts;
pub mod overlap;
mod request;
pub mod route;
pub mod tdu;

pub(in crate::engine) use request::own_target_address;
