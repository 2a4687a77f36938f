//! Tasks, from QUEUETASK to their end and a while longer, and who tasks run as: `tasks.sts`.

use super::StoreError;
use super::error::of;
use super::sqlite;
use crate::api::ApiError;
use crate::engine::tasks::KeptTask;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};

/// Statements that lead from format n to n + 1. Never change one that was published.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE task (
        -- Never used twice: the target answers with it.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        is_over INTEGER NOT NULL CHECK (is_over IN (0, 1)),
        -- How it stands, as JSON.
        kept TEXT NOT NULL
    ) STRICT;
    CREATE TABLE run_as (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        user TEXT NOT NULL
    ) STRICT;
"];

/// Tasks that are over and are kept.
const KEPT: u32 = 200;

/// The file. Used by one at a time.
#[derive(Debug)]
pub struct Tasks {
    path: PathBuf,
    connection: Connection,
}

impl Tasks {
    /// Opens the file, which may not be there yet. One that is damaged, foreign or newer is left untouched.
    pub fn open(path: &Path) -> Result<Tasks, ApiError> {
        Ok(Tasks { path: path.to_owned(), connection: sqlite::open(path, MIGRATIONS)? })
    }

    fn error(&self) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
        |error| of(&self.path, error)
    }

    fn text(&self, task: &KeptTask) -> Result<String, StoreError> {
        serde_json::to_string(task).map_err(|error| StoreError::Failed {
            path: super::error::show(&self.path),
            problem: error.to_string(),
        })
    }

    /// All, by number.
    pub fn list(&self) -> Result<Vec<KeptTask>, ApiError> {
        let read = || {
            let mut statement = self.connection.prepare_cached("SELECT id, kept FROM task ORDER BY id")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(u64, String)>>>()
        };
        let mut tasks = Vec::new();
        for (number, kept) in read().map_err(self.error())? {
            // One that a later version has kept, and this one cannot read, is none of ours.
            let Ok(mut task) = serde_json::from_str::<KeptTask>(&kept) else { continue };
            task.line.number = number;
            tasks.push(task);
        }
        Ok(tasks)
    }

    /// Keeps a new one, and forgets the oldest that are over. Its number.
    pub fn add(&self, task: &KeptTask) -> Result<u64, ApiError> {
        let kept = self.text(task)?;
        let add = || {
            self.connection.execute("INSERT INTO task (is_over, kept) VALUES (0, ?1)", params![kept])?;
            let number = self.connection.last_insert_rowid();
            self.connection.execute(
                "DELETE FROM task WHERE is_over = 1 AND id <=
                 (SELECT id FROM task WHERE is_over = 1 ORDER BY id DESC LIMIT 1 OFFSET ?1)",
                params![KEPT],
            )?;
            Ok(number)
        };
        let number = add().map_err(self.error())?;
        Ok(number.unsigned_abs())
    }

    /// Keeps how one stands.
    pub fn set(&self, task: &KeptTask) -> Result<(), ApiError> {
        let kept = self.text(task)?;
        let done = self.connection.execute(
            "UPDATE task SET is_over = ?2, kept = ?3 WHERE id = ?1",
            params![task.line.number, task.line.state.is_over(), kept],
        );
        done.map_err(self.error())?;
        Ok(())
    }

    /// Who tasks run as here. None: nobody was named.
    pub fn run_as(&self) -> Result<Option<String>, ApiError> {
        let read = self.connection.query_row("SELECT user FROM run_as", [], |row| row.get(0)).optional();
        Ok(read.map_err(self.error())?)
    }

    pub fn set_run_as(&self, user: &str) -> Result<(), ApiError> {
        let done = self
            .connection
            .execute("INSERT OR REPLACE INTO run_as (one, user) VALUES (1, ?1)", params![user]);
        done.map_err(self.error())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ConnectionId, TaskLimit, TaskPoint, TaskSpec, TaskState};
    use crate::engine::tasks::{Place, new_task};

    fn task(job: &str) -> KeptTask {
        let spec = TaskSpec {
            job: job.into(),
            target: "beta".into(),
            commands: vec![(TaskPoint::Execute, "/bin/true".into())],
            limit: TaskLimit::Forever,
            repeat: true,
            by: "anna".into(),
        };
        let place = Place {
            connection: ConnectionId(1),
            repset: "s".into(),
            source: "a".into(),
            target: "b".into(),
            paths: vec![],
        };
        new_task(&spec, &place, 7, Some(3))
    }

    #[test]
    fn what_was_kept_is_there_again_and_numbers_are_never_used_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tasks.sts");
        let store = Tasks::open(&path).unwrap();
        assert_eq!(store.run_as().unwrap(), None);
        store.set_run_as("nobody").unwrap();
        store.set_run_as("backup").unwrap();
        let mut one = task("one");
        one.line.number = store.add(&one).unwrap();
        one.sent = true;
        store.set(&one).unwrap();
        drop(store);
        let store = Tasks::open(&path).unwrap();
        assert_eq!(store.list().unwrap(), [one.clone()]);
        assert_eq!(store.run_as().unwrap().as_deref(), Some("backup"));
        store.connection.execute("DELETE FROM task", []).unwrap();
        assert!(store.add(&one).unwrap() > one.line.number);
        // What only a later version can read is left alone.
        store.connection.execute("UPDATE task SET kept = '{\"later\": 1}'", []).unwrap();
        assert_eq!(store.list().unwrap(), []);
    }

    #[test]
    fn only_so_many_that_are_over_are_kept_and_all_that_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Tasks::open(&dir.path().join("tasks.sts")).unwrap();
        let mut open = task("open");
        open.line.number = store.add(&open).unwrap();
        for _ in 0..KEPT + 5 {
            let mut over = task("over");
            over.line.number = store.add(&over).unwrap();
            over.line.state = TaskState::Succeeded;
            store.set(&over).unwrap();
        }
        let number = store.add(&task("last")).unwrap();
        let kept = store.list().unwrap();
        assert_eq!(kept.len(), KEPT as usize + 2);
        assert_eq!((&kept[0], kept.last().unwrap().line.number), (&open, number));
    }
}
