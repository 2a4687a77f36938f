//! The database of saved sets: `DblTake.db`.

use super::error::{StoreError, of};
use super::sqlite;
use crate::api::{Rule, SetSize};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};

/// Statements that lead from format n to n + 1. Never change one that was published.
pub(super) const MIGRATIONS: &[&str] = &[
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
        -- What the source said that it is: 0 a directory, 1 a file, 2 not there.
        kind INTEGER NOT NULL CHECK (kind IN (0, 1, 2)),
        PRIMARY KEY (data_grant, place)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- Whether a source may run tasks here; it may not by itself.
    ALTER TABLE data_grant ADD COLUMN tasks INTEGER NOT NULL DEFAULT 0 CHECK (tasks IN (0, 1));
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
    /// Opens the file, which may not be there yet.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = sqlite::open(path, MIGRATIONS)?;
        Ok(Self { path: path.to_owned(), connection })
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
