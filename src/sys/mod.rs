//! Linux: directory handles (openat2), xattrs, holes. The only unsafe code.

pub mod signal;
pub mod terminal;
