//! Making a connection: which machine, where the data comes to lie, and what is refused.

pub mod address;
