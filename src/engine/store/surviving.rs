//! Connections that go on when their service is started again: `connect.sts`. Renaming it away while no service runs means that
//! none does (FBK-03).

use super::StoreError;
use super::error::of;
use super::sqlite;
use crate::api::{ApiError, ConnectSpec};
use crate::engine::connection::verifying::VerifyTimes;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Statements that lead from format n to n + 1. Never change one that was published.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE connection (
        -- Rises with each connection and is never given twice: the order in which they were made (CNX-01).
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        -- What CONNECT asked for, as JSON.
        spec TEXT NOT NULL,
        -- Whether changes are to be followed.
        replicates INTEGER NOT NULL CHECK (replicates IN (0, 1)),
        -- Milliseconds since 1970.
        established INTEGER NOT NULL
    ) STRICT;
",
    "
    -- Up to when its target is known to have what changed, nanoseconds since 1970; 0: nothing is known.
    ALTER TABLE connection ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;
",
    "
    -- When it is verified, as JSON; NULL: by hand only.
    ALTER TABLE connection ADD COLUMN verify TEXT;
",
];

/// The file.
#[derive(Debug)]
pub struct Survivors {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// A connection of before.
#[derive(Clone, Debug, PartialEq)]
pub struct Survivor {
    pub row: i64,
    /// None: what is kept there cannot be read.
    pub spec: Option<ConnectSpec>,
    pub replicates: bool,
    pub established_ms: i64,
    /// See [`Settled`](crate::engine::settled::Settled).
    pub settled: i64,
    /// When it is verified.
    pub verify: Option<VerifyTimes>,
}

impl Survivors {
    /// Opens the file, which may not be there yet. One that is damaged, foreign or newer is left untouched.
    pub fn open(path: &Path) -> Result<Survivors, ApiError> {
        let connection = Mutex::new(sqlite::open(path, MIGRATIONS)?);
        Ok(Survivors { path: path.to_owned(), connection })
    }

    /// All, in the order in which they were made.
    pub fn list(&self) -> Result<Vec<Survivor>, ApiError> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, spec, replicates, established, settled, verify FROM connection ORDER BY id",
            )?;
            let rows = statement.query_map([], |row| {
                let spec: String = row.get(1)?;
                let verify: Option<String> = row.get(5)?;
                Ok(Survivor {
                    row: row.get(0)?,
                    spec: serde_json::from_str(&spec).ok(),
                    replicates: row.get(2)?,
                    established_ms: row.get(3)?,
                    settled: row.get(4)?,
                    verify: verify.and_then(|verify| self.times(row.get(0).ok()?, &verify)),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        self.with(read)
    }

    /// None: they cannot be read, which the log tells.
    fn times(&self, row: i64, kept: &str) -> Option<VerifyTimes> {
        let times = serde_json::from_str(kept);
        if let Err(error) = &times {
            tracing::error!(
                "When connection {row} of {} is verified cannot be read, so it is not: {error}; SCHEDULE VERIFY sets it anew",
                super::error::show(&self.path)
            );
        }
        times.ok()
    }

    /// Keeps a new one; its row.
    pub fn add(&self, spec: &ConnectSpec, replicates: bool, established_ms: i64) -> Result<i64, ApiError> {
        let spec = serde_json::to_string(spec).map_err(|error| StoreError::Failed {
            path: super::error::show(&self.path),
            problem: error.to_string(),
        })?;
        self.with(|connection| {
            connection.execute(
                "INSERT INTO connection (spec, replicates, established) VALUES (?1, ?2, ?3)",
                params![spec, replicates, established_ms],
            )?;
            Ok(connection.last_insert_rowid())
        })
    }

    pub fn set_replicates(&self, row: i64, replicates: bool) -> Result<(), ApiError> {
        self.with(|connection| {
            connection
                .execute("UPDATE connection SET replicates = ?2 WHERE id = ?1", params![row, replicates])
                .map(drop)
        })
    }

    pub fn set_settled(&self, row: i64, settled: i64) -> Result<(), ApiError> {
        self.with(|connection| {
            connection
                .execute("UPDATE connection SET settled = ?2 WHERE id = ?1", params![row, settled])
                .map(drop)
        })
    }

    pub fn set_verify(&self, row: i64, times: Option<&VerifyTimes>) -> Result<(), ApiError> {
        let verify = times.map(serde_json::to_string).transpose().map_err(|error| StoreError::Failed {
            path: super::error::show(&self.path),
            problem: error.to_string(),
        })?;
        self.with(|connection| {
            connection
                .execute("UPDATE connection SET verify = ?2 WHERE id = ?1", params![row, verify])
                .map(drop)
        })
    }

    pub fn remove(&self, row: i64) -> Result<(), ApiError> {
        self.with(|connection| connection.execute("DELETE FROM connection WHERE id = ?1", [row]).map(drop))
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ApiError> {
        let connection: MutexGuard<'_, Connection> =
            self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(work(&connection).map_err(|error| of(&self.path, error))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ConnectTarget, Granted, MapSpec, TimeUnit, VerifyScheduleSpec, VerifySpec};

    #[test]
    fn connections_are_kept_in_their_order_and_numbers_are_not_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connect.sts");
        let granted = Granted {
            id: "7".into(),
            key: "SHA256:ab".into(),
            paths: vec![("/a".into(), "/b".into())],
            notices: Vec::new(),
        };
        let spec = |repset: &str| ConnectSpec {
            repset: repset.into(),
            target: ConnectTarget::Far { machine: "beta".into(), granted: Box::new(granted.clone()) },
            map: MapSpec::Exact,
            mirror: None,
            replicate: None,
            calculate: None,
            orphans: None,
            route: None,
            compress: None,
            dry_run: false,
        };
        let survivors = Survivors::open(&path).unwrap();
        let rows = ["s", "t"].map(|name| survivors.add(&spec(name), true, 5).unwrap());
        survivors.remove(rows[1]).unwrap();
        let third = survivors.add(&spec("u"), true, 6).unwrap();
        assert!(third > rows[1]);
        survivors.set_replicates(third, false).unwrap();
        survivors.set_settled(third, 77).unwrap();
        drop(survivors);
        let survivors = Survivors::open(&path).unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let nightly = VerifyScheduleSpec {
            time: None,
            every: Some((1, TimeUnit::Days)),
            verify: VerifySpec::default(),
        };
        let times = VerifyTimes::of(&nightly, now, &jiff::tz::TimeZone::UTC).unwrap();
        survivors.set_verify(third, Some(&times)).unwrap();
        survivors.set_verify(rows[0], Some(&times)).unwrap();
        survivors.set_verify(rows[0], None).unwrap();
        let kept = |row, name, replicates, established_ms| Survivor {
            row,
            spec: Some(spec(name)),
            replicates,
            established_ms,
            settled: if row == third { 77 } else { 0 },
            verify: (row == third).then(|| times.clone()),
        };
        assert_eq!(survivors.list().unwrap(), [kept(rows[0], "s", true, 5), kept(third, "u", false, 6)]);
        survivors.with(|c| c.execute("UPDATE connection SET spec = '{}' WHERE id = 1", [])).unwrap();
        assert_eq!(survivors.list().unwrap()[0].spec, None);
        drop(survivors);
        std::fs::write(&path, "no database at all").unwrap();
        assert!(Survivors::open(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "no database at all");
    }
}
