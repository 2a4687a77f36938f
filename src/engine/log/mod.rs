//! The engine log.

mod escape;

pub use escape::escape;
