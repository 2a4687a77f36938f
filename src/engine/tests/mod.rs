//! The engine's control side, with jobs that tests steer and a clock that they move.

mod closing;
mod connecting;
mod events;
mod jobs;
mod looking;
mod real;
mod remirroring;
mod replicating;
mod scheduling;
mod statistics;
mod statlog;
mod support;
mod transmitting;
mod verifying;
