//! How the targets of this source are sent to: `schedule.sts` (`ScheduleFile`).

use super::StoreError;
use super::error::of;
use super::sqlite;
use crate::api::ApiError;
use crate::engine::transmission::Kept;
use rusqlite::{Connection, params};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Statements that lead from format n to n + 1. Never change one that was published.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE target (
        id INTEGER PRIMARY KEY,
        -- The names that were typed for it, as a list in JSON.
        names TEXT NOT NULL,
        -- Where one of them led to; NULL: it was not looked up yet.
        address TEXT UNIQUE,
        -- What holds for it, as JSON.
        kept TEXT NOT NULL
    ) STRICT;
"];

/// The file. Used by one at a time.
#[derive(Debug)]
pub struct Schedules {
    path: PathBuf,
    connection: Connection,
}

/// A target: row, names, address, and what holds for it.
pub type Row = (i64, Vec<String>, Option<SocketAddr>, Kept);

impl Schedules {
    /// Opens the file, which may not be there yet. One that is damaged, foreign or newer is left untouched.
    pub fn open(path: &Path) -> Result<Schedules, ApiError> {
        Ok(Schedules { path: path.to_owned(), connection: sqlite::open(path, MIGRATIONS)? })
    }

    /// All; an error if what is kept of one cannot be read: it might say that nothing is to be sent.
    pub fn list(&self) -> Result<Vec<Row>, ApiError> {
        let read = || {
            let mut statement =
                self.connection.prepare_cached("SELECT id, names, address, kept FROM target ORDER BY id")?;
            let rows = statement.query_map([], |row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, Option<String>>(2)?,
                    row.get::<_, String>(3)?,
                ))
            })?;
            rows.collect::<rusqlite::Result<Vec<(i64, String, Option<String>, String)>>>()
        };
        let damaged = |problem: String| StoreError::Damaged { path: super::error::show(&self.path), problem };
        let mut all = Vec::new();
        for (row, names, address, kept) in read().map_err(|error| of(&self.path, error))? {
            let names = serde_json::from_str(&names).map_err(|error| damaged(error.to_string()))?;
            let address = address
                .map(|address| address.parse().map_err(|_| damaged(format!("{address:?} is no address"))))
                .transpose()?;
            let kept: Kept = serde_json::from_str(&kept).map_err(|error| damaged(error.to_string()))?;
            kept.check().map_err(damaged)?;
            all.push((row, names, address, kept));
        }
        Ok(all)
    }

    /// Keeps a target, a new one without a row; its row.
    pub fn set(
        &self,
        row: Option<i64>,
        names: &[String],
        address: Option<SocketAddr>,
        kept: &Kept,
    ) -> Result<i64, ApiError> {
        let failed = |error: serde_json::Error| StoreError::Failed {
            path: super::error::show(&self.path),
            problem: error.to_string(),
        };
        let (names, kept) =
            (serde_json::to_string(names).map_err(failed)?, serde_json::to_string(kept).map_err(failed)?);
        self.connection
            .execute(
                "INSERT OR REPLACE INTO target (id, names, address, kept) VALUES (?1, ?2, ?3, ?4)",
                params![row, names, address.map(|address| address.to_string()), kept],
            )
            .map_err(|error| of(&self.path, error))?;
        Ok(row.unwrap_or_else(|| self.connection.last_insert_rowid()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::transmission::Mode;

    #[test]
    fn what_holds_for_a_target_is_there_again_and_what_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("schedule.sts");
        let store = Schedules::open(&path).unwrap();
        let stopped = Kept { mode: Mode::Stopped, ..Kept::default() };
        let address = Some("192.0.2.7:1500".parse().unwrap());
        let row = store.set(None, &["beta:1500".into()], None, &Kept::default()).unwrap();
        let names = ["beta:1500".to_owned(), "192.0.2.7:1500".to_owned()];
        assert_eq!(store.set(Some(row), &names, address, &stopped).unwrap(), row);
        drop(store);
        let store = Schedules::open(&path).unwrap();
        assert_eq!(store.list().unwrap(), [(row, names.to_vec(), address, stopped)]);
        // A later version's field is none of ours, and one that lacks is as it is by default.
        store.connection.execute("UPDATE target SET kept = '{\"later\": 1}'", []).unwrap();
        assert_eq!(store.list().unwrap()[0].3, Kept::default());
        store.connection.execute("UPDATE target SET kept = '{\"mode\": \"Sideways\"}'", []).unwrap();
        assert!(store.list().is_err());
        // What cannot have been kept, by somebody's hand or a fault.
        for bad in [
            r#"{"bandwidth": {"limit": {"Kbit": 0}}}"#,
            r#"{"bandwidth": {"limit": {"Burst": {"bytes": 1, "seconds": 0}}}}"#,
            r#"{"bandwidth": {"entries": [{"label": "x", "days": [], "start": "10:00", "limit": null}]}}"#,
            r#"{"bandwidth": {"entries": [{"label": "x", "days": ["Someday"], "start": "10:00", "limit": null}]}}"#,
            r#"{"schedule": {"start": {"time": "2026-02-30T10:00:00"}}}"#,
            r#"{"schedule": {"start": {"every": [5, "Minutes"]}}}"#,
            r#"{"schedule": {"start": {"time": "2026-02-20T10:00:00", "every": [0, "Days"]}}}"#,
            r#"{"schedule": {"start": {"mem_limit": 101}}}"#,
            r#"{"schedule": {"end": {"seconds": 18446744073709551615}}}"#,
            r#"{"schedule": {"window": {"open": "25:00", "close": "10:00"}}}"#,
            r#"{"schedule": {"window": {"open": "10:00", "close": "10:00"}}}"#,
        ] {
            store.connection.execute("UPDATE target SET kept = ?1", [bad]).unwrap();
            assert!(store.list().is_err(), "{bad}");
        }
    }
}
