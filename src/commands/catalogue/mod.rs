//! Every command, one file per family: declarations first, then the handlers of that family.

mod connections;
mod failover;
mod far;
#[cfg(test)]
mod handler_tests;
mod language;
mod logs;
mod mirror;
mod options;
#[cfg(test)]
mod property_tests;
mod schedules;
mod session;
mod sets;
mod snapshots;
mod statistics;
mod tasks;
#[cfg(test)]
mod tests;
mod transmission;
mod waiting;

use super::{Args, Command, Family, Handler, Outcome, Session, Verb};
use crate::api::{Access, ApiError};
use std::sync::LazyLock;

static ALL: LazyLock<Vec<Command>> = LazyLock::new(|| {
    [
        language::COMMANDS,
        session::COMMANDS,
        sets::COMMANDS,
        connections::COMMANDS,
        mirror::COMMANDS,
        transmission::COMMANDS,
        waiting::COMMANDS,
        tasks::COMMANDS,
        options::COMMANDS,
        statistics::COMMANDS,
        failover::COMMANDS,
        snapshots::COMMANDS,
    ]
    .concat()
});

/// The whole catalogue, in the order of `commands.md`.
pub fn all() -> &'static [Command] {
    &ALL
}

/// A, M and - of the tables' access column.
const ADMIN: Access = Access::Full;
const MONITOR: Access = Access::Monitor;
const NONE: Access = Access::None;

/// Starts a declaration; its handler is [`Handler::Later`] until [`Command::run`] or [`Command::verb`] names one.
const fn command(
    family: Family,
    syntax: &'static str,
    access: Access,
    tag: &'static str,
    summary: &'static str,
) -> Command {
    Command {
        syntax,
        access,
        tag,
        family,
        summary,
        details: "",
        examples: &[],
        one_of: &[],
        handler: Handler::Later,
    }
}

impl Command {
    const fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    const fn examples(mut self, examples: &'static [&'static str]) -> Self {
        self.examples = examples;
        self
    }

    const fn one_of(mut self, keywords: &'static [&'static str]) -> Self {
        self.one_of = keywords;
        self
    }

    const fn run(mut self, handler: fn(&mut Session, &Args) -> Result<Outcome, ApiError>) -> Self {
        self.handler = Handler::Run(handler);
        self
    }

    const fn verb(mut self, verb: Verb) -> Self {
        self.handler = Handler::Interpreter(verb);
        self
    }

    /// True if the line takes `[ON <machine>]` as its last optional group: those of the tables from *Replication
    /// sets* on that have no ON of their own.
    pub fn takes_on(&self) -> bool {
        self.family >= Family::Sets && !self.syntax.split(' ').any(|word| word == "ON")
    }

    /// False for what answers "not yet available in this version" (-161).
    pub fn is_available(&self) -> bool {
        !matches!(self.handler, Handler::Later)
    }

    /// The line with what it takes implicitly.
    pub fn shown_syntax(&self) -> String {
        if self.takes_on() { format!("{} [ON <machine>]", self.syntax) } else { self.syntax.to_owned() }
    }

    /// The keywords it begins with, in lower case, up to the first that is one of several.
    pub fn name(&self) -> String {
        let keyword = |word: &&str| word.bytes().all(|b| b.is_ascii_alphabetic());
        let words: Vec<String> =
            self.syntax.split(' ').take_while(keyword).map(str::to_ascii_lowercase).collect();
        if words.is_empty() {
            let first = self.syntax.split(['|', ' ']).next().unwrap_or_default();
            return first.to_ascii_lowercase();
        }
        words.join(" ")
    }
}

impl Family {
    /// Every family, in the catalogue's order.
    pub const ALL: [Family; 12] = [
        Family::Language,
        Family::Session,
        Family::Sets,
        Family::Connections,
        Family::Mirror,
        Family::Transmission,
        Family::Waiting,
        Family::Tasks,
        Family::Options,
        Family::Statistics,
        Family::Failover,
        Family::Snapshots,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Family::Language => "Language",
            Family::Session => "Machines and the session",
            Family::Sets => "Replication sets",
            Family::Connections => "Connections",
            Family::Mirror => "Mirror, replication, verify, orphans",
            Family::Transmission => "Transmission",
            Family::Waiting => "Waiting",
            Family::Tasks => "Tasks and scripts in the stream",
            Family::Options => "Options",
            Family::Statistics => "Statistics, logs, mail",
            Family::Failover => "Failover, failback, restore",
            Family::Snapshots => "Snapshots, points in time, archives, jobs",
        }
    }

    /// The word HELP knows it by.
    pub fn topic(self) -> &'static str {
        match self {
            Family::Language => "language",
            Family::Session => "machines",
            Family::Sets => "sets",
            Family::Connections => "connections",
            Family::Mirror => "mirroring",
            Family::Transmission => "transmissions",
            Family::Waiting => "waiting",
            Family::Tasks => "tasks",
            Family::Options => "settings",
            Family::Statistics => "logs",
            Family::Failover => "recovery",
            Family::Snapshots => "snapshots",
        }
    }
}
