//! Grants, as they are kept: in the database of sets, each written or removed in one transaction.

use super::database::Database;
use super::{Store, StoreError};
use crate::api::{ApiError, RootKind};
use crate::wire::tls::Fingerprint;
use rusqlite::{Connection, params};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What a source on another machine may send here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub id: String,
    /// The source has to show this key.
    pub key: Fingerprint,
    /// The source's name, as it was told, and its set.
    pub source: String,
    pub repset: String,
    /// Milliseconds since 1970.
    pub made_ms: i64,
    /// Its source may run tasks here.
    pub tasks: bool,
    pub places: Vec<GrantedPlace>,
}

/// One target path of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedPlace {
    pub source: PathBuf,
    /// As it was mapped.
    pub target: PathBuf,
    /// Where that lay when it was granted, without links. A link that is put into it later leads nowhere.
    pub real: PathBuf,
    /// What the source said that it is.
    pub kind: RootKind,
}

impl Store {
    /// All that were made and not taken back.
    pub fn grants(&self) -> Result<Vec<Grant>, ApiError> {
        Ok(self.lock().database.read(|connection| read(connection, None))?)
    }

    /// The one of this name.
    pub fn grant(&self, id: &str) -> Result<Option<Grant>, ApiError> {
        Ok(self.lock().database.read(|connection| read(connection, Some(id)))?.pop())
    }

    /// Keeps a new one, in place of these.
    pub fn keep_grant(&self, grant: &Grant, superseded: &[Grant]) -> Result<(), ApiError> {
        Ok(self.lock().database.write(|connection| {
            superseded.iter().try_for_each(|old| remove(connection, &old.id).map(drop))?;
            let Grant { id, key, source, repset, made_ms, tasks, places } = grant;
            connection.execute(
                "INSERT INTO data_grant (id, key, source, repset, made, tasks) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id, key.to_string(), source, repset, made_ms, tasks],
            )?;
            let mut insert = connection.prepare_cached(
                "INSERT INTO data_grant_place (data_grant, place, source, target, real, kind)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for (at, place) in places.iter().enumerate() {
                let bytes = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
                insert.execute(params![
                    id,
                    at as i64,
                    bytes(&place.source),
                    bytes(&place.target),
                    bytes(&place.real),
                    number(place.kind)
                ])?;
            }
            Ok(())
        })?)
    }

    /// Whether its source may run tasks here. False: there is none of that name.
    pub fn set_grant_tasks(&self, id: &str, allowed: bool) -> Result<bool, ApiError> {
        Ok(self.lock().database.write(|connection| {
            let changed =
                connection.execute("UPDATE data_grant SET tasks = ?2 WHERE id = ?1", params![id, allowed])?;
            Ok(changed > 0)
        })?)
    }

    /// False: there is none of that name.
    pub fn remove_grant(&self, id: &str) -> Result<bool, ApiError> {
        Ok(self.lock().database.write(|connection| remove(connection, id))?)
    }
}

fn remove(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    Ok(connection.execute("DELETE FROM data_grant WHERE id = ?1", [id])? > 0)
}

const KINDS: [RootKind; 3] = [RootKind::Directory, RootKind::File, RootKind::Missing];

fn number(kind: RootKind) -> usize {
    KINDS.iter().position(|known| *known == kind).unwrap_or_default()
}

/// All, or the one of this name.
fn read(connection: &Connection, id: Option<&str>) -> rusqlite::Result<Vec<Grant>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, key, source, repset, made, tasks FROM data_grant
         WHERE ?1 IS NULL OR id = ?1 ORDER BY made, id",
    )?;
    let mut of_place = connection.prepare_cached(
        "SELECT source, target, real, kind FROM data_grant_place WHERE data_grant = ?1 ORDER BY place",
    )?;
    let mut grants = Vec::new();
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        // A key that cannot be read opens nothing.
        let Ok(key) = row.get::<_, String>(1)?.parse() else { continue };
        let id: String = row.get(0)?;
        let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
        let places = of_place.query_map([&id], |row| {
            Ok(GrantedPlace {
                source: path(row.get(0)?),
                target: path(row.get(1)?),
                real: path(row.get(2)?),
                kind: KINDS.get(row.get::<_, usize>(3)?).copied().unwrap_or(RootKind::Directory),
            })
        })?;
        let places = places.collect::<rusqlite::Result<_>>()?;
        grants.push(Grant {
            id,
            key,
            source: row.get(2)?,
            repset: row.get(3)?,
            made_ms: row.get(4)?,
            tasks: row.get(5)?,
            places,
        });
    }
    Ok(grants)
}

impl Database {
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        work(&self.connection).map_err(self.error())
    }

    /// All of it or nothing.
    fn write<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let error = self.error();
        let transaction = self.begin()?;
        let done = work(&transaction).map_err(&error)?;
        transaction.commit().map_err(error)?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_kept_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let grant = |id: &str| Grant {
            id: id.to_owned(),
            key: format!("SHA256:{}", "ab".repeat(32)).parse().unwrap(),
            source: "alpha".into(),
            repset: "s".into(),
            made_ms: 7,
            tasks: false,
            places: vec![GrantedPlace {
                source: "/a".into(),
                target: "/b".into(),
                real: OsString::from_vec(vec![b'/', 0xff]).into(),
                kind: RootKind::Missing,
            }],
        };
        let store = Store::open(&path).unwrap();
        store.keep_grant(&grant("0"), &[]).unwrap();
        store.keep_grant(&grant("1"), &[grant("0")]).unwrap();
        store.keep_grant(&grant("2"), &[]).unwrap();
        assert!(store.keep_grant(&grant("2"), &[grant("1")]).is_err(), "and nothing is removed");
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.grants().unwrap(), [grant("1"), grant("2")]);
        assert_eq!(store.grant("2").unwrap(), Some(grant("2")));
        assert_eq!(store.grant("0").unwrap(), None);
        assert!(store.set_grant_tasks("1", true).unwrap() && !store.set_grant_tasks("0", true).unwrap());
        assert_eq!(store.grant("1").unwrap(), Some(Grant { tasks: true, ..grant("1") }));
        assert!(store.remove_grant("1").unwrap());
        assert!(store.remove_grant("2").unwrap() && !store.remove_grant("2").unwrap());
        assert_eq!(store.grants().unwrap(), []);
    }
}
