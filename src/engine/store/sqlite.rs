//! The files of state are SQLite databases.
//!
//! Every change is one transaction, synced before it returns (rollback journal, `synchronous=FULL`), so a crash leaves
//! the old or the new state. `user_version` is the format; migrations lead from each to the next. A file that is
//! damaged, not ours or newer is refused before anything is written to it.

use super::error::{StoreError, of, show};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// `DTCL`, so that a file tells whose it is.
const APPLICATION_ID: i64 = 0x4454_434c;

/// Opens the file, made with mode 0600 if it does not exist; checks it and brings it to the newest format. `migrations`: the
/// statements that lead from format n to n + 1.
pub(super) fn open(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    let failed = |error: std::io::Error| StoreError::Failed { path: show(path), problem: error.to_string() };
    let file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(failed)?;
    drop(file);
    let db = |error| of(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(db)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(db)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = number("user_version").map_err(db)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(db)?;
    let blank = found == 0 && tables == 0;
    if !blank && number("application_id").map_err(db)? != APPLICATION_ID {
        return Err(StoreError::Foreign { path: show(path) });
    }
    let known = migrations.len() as i64;
    if found > known {
        return Err(StoreError::Newer { path: show(path), found, known });
    }
    if !blank {
        let verdict: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(db)?;
        if verdict != "ok" {
            return Err(StoreError::Damaged { path: show(path), problem: verdict.replace('\n', "; ") });
        }
    }
    connection
        .execute_batch("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;")
        .map_err(db)?;
    migrate(&mut connection, migrations).map_err(db)?;
    Ok(connection)
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

#[cfg(test)]
mod tests {
    use super::super::database::MIGRATIONS;
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
}
