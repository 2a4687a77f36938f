//! End to end with the real program: what arrives, what is found, what bad input and bad luck do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod attributes;
mod bad_input;
mod bad_scripts;
mod crash;
mod dry_run;
mod examples;
mod flags;
mod golden;
mod hostile;
mod logs;
mod migration;
mod mirror;
mod orphans;
mod property;
mod replication;
mod replication_guard;
mod replication_held;
mod replication_links;
mod replication_programs;
mod replication_quiet;
mod replication_random;
mod replication_rules;
mod replication_silent;
mod tasks;
mod verify;
