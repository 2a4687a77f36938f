//! The database of saved sets: `DblTake.db`, SQLite, one file.
//!
//! Every change is one transaction, synced before it returns (rollback journal, `synchronous=FULL`), so a crash leaves
//! the old or the new state. `user_version` is the format; `MIGRATIONS` lead from each to the next. A file that is
//! damaged, not ours or newer is refused before anything is written to it.

use super::error::{StoreError, of, show};
use crate::api::{Rule, SetSize};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `DTCL`, so that a file tells whose it is.
const APPLICATION_ID: i64 = 0x4454_434c;

/// Statements that lead from format n to n + 1. Never change one that was published.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE repset (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE CHECK (length(name) > 0),
        -- Counts the saved changes (RST-09).
        generation INTEGER NOT NULL CHECK (generation > 0),
        -- The last calculation (RST-14): counts, bytes, seconds since 1970. All of them or none.
        size_files INTEGER, size_directories INTEGER, size_bytes INTEGER, size_errors INTEGER,
        size_calculated INTEGER
    ) STRICT;
    CREATE TABLE rule (
        repset INTEGER NOT NULL REFERENCES repset (id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        path TEXT NOT NULL CHECK (path LIKE '/%'),
        include INTEGER NOT NULL CHECK (include IN (0, 1)),
        recursive INTEGER NOT NULL CHECK (recursive IN (0, 1)),
        PRIMARY KEY (repset, place)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- What sources on other machines may send here: which key, which paths.
    CREATE TABLE data_grant (
        id TEXT PRIMARY KEY,
        key TEXT NOT NULL,
        source TEXT NOT NULL,
        repset TEXT NOT NULL,
        -- Milliseconds since 1970.
        made INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE data_grant_place (
        data_grant TEXT NOT NULL REFERENCES data_grant (id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        source BLOB NOT NULL,
        target BLOB NOT NULL,
        -- Without links, as it was found when it was granted.
        real BLOB NOT NULL,
        PRIMARY KEY (data_grant, place)
    ) STRICT, WITHOUT ROWID;
",
];

/// A set as it was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SavedSet {
    pub(super) id: i64,
    pub(super) generation: u64,
    pub(super) rules: Vec<Rule>,
    pub(super) size: Option<SetSize>,
}

/// What is to be saved: a new set has neither an ID nor a generation.
#[derive(Clone, Debug)]
pub(super) struct ToSave<'a> {
    pub(super) name: &'a str,
    pub(super) base: Option<(i64, u64)>,
    pub(super) rules: &'a [Rule],
    pub(super) size: Option<&'a SetSize>,
}

#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    pub(super) connection: Connection,
}

impl Database {
    /// Opens the file, made with mode 0600 if it does not exist; checks it and brings it to the newest format.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed =
            |error: std::io::Error| StoreError::Failed { path: show(path), problem: error.to_string() };
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        drop(file);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|e| of(path, e))?;
        let mut database = Self { path: path.to_owned(), connection };
        database.prepare()?;
        Ok(database)
    }

    fn prepare(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let db = |error| of(&path, error);
        let number = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        self.connection.busy_timeout(Duration::from_secs(5)).map_err(db)?;
        let found = number("user_version").map_err(db)?;
        let tables: i64 = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(db)?;
        let blank = found == 0 && tables == 0;
        if !blank && number("application_id").map_err(db)? != APPLICATION_ID {
            return Err(StoreError::Foreign { path: show(&path) });
        }
        let known = MIGRATIONS.len() as i64;
        if found > known {
            return Err(StoreError::Newer { path: show(&path), found, known });
        }
        if !blank {
            let verdict: String =
                self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(db)?;
            if verdict != "ok" {
                return Err(StoreError::Damaged { path: show(&path), problem: verdict.replace('\n', "; ") });
            }
        }
        self.connection
            .execute_batch("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;")
            .map_err(db)?;
        migrate(&mut self.connection, MIGRATIONS).map_err(db)
    }

    pub(super) fn error(&self) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.clone();
        move |error| of(&path, error)
    }

    /// Names and generations, by name.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.connection.prepare_cached("SELECT name FROM repset ORDER BY name")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        read().map_err(self.error())
    }

    pub(super) fn load(&self, name: &str) -> Result<Option<SavedSet>, StoreError> {
        let read = || -> rusqlite::Result<Option<SavedSet>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT id, generation, size_files, size_directories, size_bytes, size_errors, size_calculated
                 FROM repset WHERE name = ?1",
            )?;
            let head = statement
                .query_row([name], |row| {
                    let size = match row.get::<_, Option<i64>>(6)? {
                        None => None,
                        Some(calculated) => Some(SetSize {
                            files: row.get(2)?,
                            directories: row.get(3)?,
                            bytes: row.get(4)?,
                            errors: row.get(5)?,
                            calculated,
                        }),
                    };
                    Ok(SavedSet { id: row.get(0)?, generation: row.get(1)?, rules: Vec::new(), size })
                })
                .optional()?;
            let Some(mut set) = head else { return Ok(None) };
            let mut statement = self.connection.prepare_cached(
                "SELECT path, include, recursive FROM rule WHERE repset = ?1 ORDER BY place",
            )?;
            let rules = statement.query_map([set.id], |row| {
                Ok(Rule { path: row.get(0)?, include: row.get(1)?, recursive: row.get(2)? })
            })?;
            set.rules = rules.collect::<rusqlite::Result<_>>()?;
            Ok(Some(set))
        };
        read().map_err(self.error())
    }

    /// Saves all of them or none. Each must stand at the generation it was taken from (RST-09).
    pub(super) fn save(&mut self, sets: &[ToSave<'_>]) -> Result<(), StoreError> {
        let error = self.error();
        let transaction = self.begin()?;
        for set in sets {
            let id = match set.base {
                Some((id, generation)) => {
                    let changed = transaction.execute(
                        "UPDATE repset SET generation = generation + 1 WHERE id = ?1 AND generation = ?2",
                        params![id, generation],
                    );
                    if changed.map_err(&error)? == 0 {
                        let theirs = generation_of(&transaction, "id", &id).map_err(&error)?;
                        return Err(StoreError::Stale { name: set.name.into(), ours: generation, theirs });
                    }
                    id
                }
                None => {
                    if let Some(theirs) = generation_of(&transaction, "name", &set.name).map_err(&error)? {
                        return Err(StoreError::Stale {
                            name: set.name.into(),
                            ours: 0,
                            theirs: Some(theirs),
                        });
                    }
                    transaction
                        .execute("INSERT INTO repset (name, generation) VALUES (?1, 1)", [set.name])
                        .map_err(&error)?;
                    transaction.last_insert_rowid()
                }
            };
            write_rules(&transaction, id, set.rules).map_err(&error)?;
            write_size(&transaction, id, set.size).map_err(&error)?;
        }
        transaction.commit().map_err(error)
    }

    pub(super) fn rename(&mut self, id: i64, name: &str) -> Result<(), StoreError> {
        let error = self.error();
        self.connection
            .execute("UPDATE repset SET name = ?2 WHERE id = ?1", params![id, name])
            .map(drop)
            .map_err(error)
    }

    pub(super) fn delete(&mut self, id: i64) -> Result<(), StoreError> {
        let error = self.error();
        self.connection.execute("DELETE FROM repset WHERE id = ?1", [id]).map(drop).map_err(error)
    }

    /// Notes a calculation; no change of the set, so the generation stays.
    pub(super) fn set_size(&mut self, id: i64, size: &SetSize) -> Result<(), StoreError> {
        let error = self.error();
        write_size(&self.connection, id, Some(size)).map_err(error)
    }

    pub(super) fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        let error = self.error();
        self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)
    }
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let version = |c: &Connection| c.pragma_query_value(None, "user_version", |row| row.get::<_, usize>(0));
    if version(connection)? >= migrations.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another program may have come first.
    for statements in migrations.iter().skip(version(&transaction)?) {
        transaction.execute_batch(statements)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", migrations.len() as i64)?;
    transaction.commit()
}

fn generation_of(
    transaction: &Transaction<'_>,
    column: &str,
    value: &dyn rusqlite::ToSql,
) -> rusqlite::Result<Option<u64>> {
    let statement = format!("SELECT generation FROM repset WHERE {column} = ?1");
    transaction.query_row(&statement, [value], |row| row.get(0)).optional()
}

fn write_rules(connection: &Connection, id: i64, rules: &[Rule]) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM rule WHERE repset = ?1", [id])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO rule (repset, place, path, include, recursive) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (place, rule) in rules.iter().enumerate() {
        insert.execute(params![id, place as i64, rule.path, rule.include, rule.recursive])?;
    }
    Ok(())
}

fn write_size(connection: &Connection, id: i64, size: Option<&SetSize>) -> rusqlite::Result<()> {
    // SQLite's numbers are signed; no tree comes near the limit.
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    connection
        .execute(
            "UPDATE repset SET size_files = ?2, size_directories = ?3, size_bytes = ?4, size_errors = ?5,
             size_calculated = ?6 WHERE id = ?1",
            params![
                id,
                size.map(|s| number(s.files)),
                size.map(|s| number(s.directories)),
                size.map(|s| number(s.bytes)),
                size.map(|s| number(s.errors)),
                size.map(|s| s.calculated),
            ],
        )
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(connection: &Connection) -> Vec<String> {
        let mut statement = connection.prepare("SELECT sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
        rows.map(|row| row.unwrap().unwrap_or_default()).collect()
    }

    /// From every earlier format the newest is reached.
    #[test]
    fn migrations_lead_from_each_version() {
        let steps: Vec<&str> = MIGRATIONS.iter().copied().chain(["CREATE TABLE later (x)"]).collect();
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh, &steps).unwrap();
        for start in 0..steps.len() {
            let mut old = Connection::open_in_memory().unwrap();
            migrate(&mut old, &steps[..start]).unwrap();
            migrate(&mut old, &steps).unwrap();
            assert_eq!(schema(&old), schema(&fresh), "from {start}");
            let version: usize = old.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(version, steps.len());
        }
    }

    #[test]
    fn a_failed_migration_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        let before = schema(&connection);
        let steps: Vec<&str> =
            MIGRATIONS.iter().copied().chain(["CREATE TABLE later (x); nonsense"]).collect();
        migrate(&mut connection, &steps).unwrap_err();
        assert_eq!(schema(&connection), before);
    }

    #[test]
    fn changes_are_synced() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&dir.path().join("a.db")).unwrap();
        let pragma =
            |name| database.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("synchronous"), 2);
        assert_eq!(pragma("foreign_keys"), 1);
    }
}
