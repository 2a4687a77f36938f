//! EXPLAIN: one path's story. In the set or why not, on the target or not, what is pending, what went wrong last.

use super::Engine;
use super::connect::mapping::{absolute, shown};
use super::connection::{Connection, DataState, Stage, State};
use super::job::sent_by;
use super::log::escape;
use super::repset::{RuleSet, describe};
use super::store::judge;
use crate::api::{ApiError, ConnectionId, Reply};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

type Rows = Vec<(String, String)>;

impl Engine {
    /// `EXPLAIN`: for one connection, or for all whose set names the path, and the sets that are not connected.
    pub(in crate::engine) fn explain(&self, path: &str, id: Option<ConnectionId>) -> Result<Reply, ApiError> {
        let path = absolute(path, "EXPLAIN")?;
        let source = look(&path);
        let mut rows = Rows::new();
        row(&mut rows, "Path", shown(&path));
        row(&mut rows, "On source", describe_file(&source));
        let directory = matches!(&source, Ok(Some(stat)) if stat.is_dir());
        let connections = match id {
            Some(id) => vec![self.connection(id)?],
            None => self.connections(),
        };
        for connection in &connections {
            let view = connection.view();
            let (belongs, why) = self.belongs(&view.route.rules, &path, directory);
            // Without CON a connection that has nothing to do with the path is only noise.
            if id.is_none()
                && !belongs
                && !view.route.paths.iter().any(|mapping| path.starts_with(&mapping.source))
            {
                continue;
            }
            row(&mut rows, "Replication set", &connection.info.repset);
            row(&mut rows, "In the set", why);
            let elsewhere = self.elsewhere(connection.info.id, &connection.info.repset);
            if let Some(other) = sent_by(&elsewhere, &path, directory).filter(|_| belongs) {
                row(&mut rows, "Sent by", format!("connection {other}, which names it too (REP-34)"));
            }
            story(&mut rows, connection, &path, belongs, &source);
        }
        if id.is_none() {
            for (name, rules) in self.sets_not_connected(&connections)? {
                let (belongs, why) = self.belongs(&rules, &path, directory);
                if belongs {
                    row(&mut rows, "Replication set", format!("{name} (not connected)"));
                    row(&mut rows, "In the set", why);
                }
            }
            if rows.len() == 2 {
                row(&mut rows, "In the set", "no, no rule of any set names it");
            }
        }
        Ok(Reply::Explanation(rows))
    }

    /// Does a path belong to a set, as a mirror would decide, and why.
    fn belongs(&self, rules: &RuleSet, path: &Path, directory: bool) -> (bool, String) {
        let answer = judge(path, directory, rules, &self.forbidden());
        let why = match (&answer.reason, &answer.rule) {
            (Some(reason), _) => reason.clone(),
            (None, Some(rule)) => format!("by the rule {}", describe(rule)),
            (None, None) => "no rule names it".to_owned(),
        };
        (answer.belongs, format!("{}, {why}", if answer.belongs { "yes" } else { "no" }))
    }
}

/// What one connection did with the path.
fn story(
    rows: &mut Rows,
    connection: &Connection,
    path: &Path,
    belongs: bool,
    source: &Result<Option<Metadata>, String>,
) {
    let view = connection.view();
    let state = &view.state;
    row(rows, "Connection ID", connection.info.id);
    row(rows, "Target machine", &connection.info.target);
    row(rows, "Target data state", state.data);
    if !connection.is_null()
        && let Some(target) = target_of(&view.route.paths, path)
    {
        row(rows, "Target path", shown(&target));
        row(rows, "On target", compare(source, &look(&target)));
    }
    let pending = match (&state.running, state.data) {
        _ if !belongs => "nothing".to_owned(),
        (Some(running), _) if is_at(running, path) => "it is being worked on".to_owned(),
        (Some(_), _) => "a job is under way".to_owned(),
        (None, data) => state.in_the_way().unwrap_or_else(|| match data {
            DataState::MirrorRequired => "a mirror is required".to_owned(),
            _ => replicated(state, path),
        }),
    };
    row(rows, "Pending", pending);
    let failure = state.failures.iter().rev().find(|failure| failure.path == path.as_os_str().as_bytes());
    // Replication keeps its newest failure only: path and reason.
    let newest = || {
        let error = state.stage.shared()?.last_error()?;
        Some(error.strip_prefix(&shown(path))?.strip_prefix(": ")?.to_owned())
    };
    let error = failure.map(|failure| escape(&failure.reason)).or_else(newest);
    row(rows, "Last error", error.unwrap_or_else(|| "none".to_owned()));
}

/// What replication still has to do with a path.
fn replicated(state: &State, path: &Path) -> String {
    let Stage::On(replication) = &state.stage else { return "nothing".to_owned() };
    let shared = replication.shared();
    let queued = shared.ops_queued.load(Relaxed);
    let retries = if shared.retrying.load(Relaxed) { ", the target tries one of them again" } else { "" };
    match replication.is_queued(path) {
        Some(true) => format!("a change of it is in the queue, of {queued}{retries}"),
        None if queued > 0 => format!("{queued} changes are in the queue{retries}; it may be one of them"),
        Some(false) | None => "nothing".to_owned(),
    }
}

fn is_at(running: &super::connection::state::Running, path: &Path) -> bool {
    let at = running.shared.counters.path.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *at == shown(path)
}

/// Where a source path comes to lie.
fn target_of(paths: &[super::job::Mapping], path: &Path) -> Option<PathBuf> {
    paths.iter().find_map(|mapping| {
        let rest = path.strip_prefix(&mapping.source).ok()?;
        Some(if rest.as_os_str().is_empty() { mapping.target.clone() } else { mapping.target.join(rest) })
    })
}

/// None: it does not exist.
fn look(path: &Path) -> Result<Option<Metadata>, String> {
    match std::fs::symlink_metadata(path) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn describe_file(file: &Result<Option<Metadata>, String>) -> String {
    match file {
        Ok(Some(stat)) => format!("{}, {} bytes, modified {}", kind(stat), stat.len(), when(stat)),
        Ok(None) => "no".to_owned(),
        Err(error) => format!("cannot be looked at: {error}"),
    }
}

/// Both sides as a difference mirror compares them: kind, size, date and time.
fn compare(source: &Result<Option<Metadata>, String>, target: &Result<Option<Metadata>, String>) -> String {
    let (source, target) = match (source, target) {
        (_, Err(error)) => return format!("cannot be looked at: {error}"),
        (_, Ok(None)) => return "no".to_owned(),
        (Ok(Some(source)), Ok(Some(target))) => (source, target),
        (_, Ok(Some(target))) => return format!("yes, {}, {} bytes, an orphan", kind(target), target.len()),
    };
    if kind(source) != kind(target) {
        return format!("yes, but it is a {} there", kind(target));
    }
    let mut differences = Vec::new();
    if source.is_file() && source.len() != target.len() {
        differences.push(format!("{} bytes there", target.len()));
    }
    if !source.is_symlink() && (source.mtime(), source.mtime_nsec()) != (target.mtime(), target.mtime_nsec())
    {
        differences.push(format!("modified {} there", when(target)));
    }
    if differences.is_empty() {
        "yes, same size and time".to_owned()
    } else {
        format!("yes, but different: {}", differences.join(", "))
    }
}

fn kind(stat: &Metadata) -> &'static str {
    match stat.file_type() {
        of if of.is_file() => "file",
        of if of.is_dir() => "directory",
        of if of.is_symlink() => "link",
        _ => "special file",
    }
}

fn when(stat: &Metadata) -> String {
    let nanoseconds = i32::try_from(stat.mtime_nsec()).unwrap_or_default();
    jiff::Timestamp::new(stat.mtime(), nanoseconds)
        .map(|time| time.to_zoned(jiff::tz::TimeZone::system()).strftime("%m/%d/%Y %H:%M:%S%.f").to_string())
        .unwrap_or_else(|_| stat.mtime().to_string())
}

fn row(rows: &mut Rows, label: &str, value: impl ToString) {
    rows.push((label.to_owned(), value.to_string()));
}
