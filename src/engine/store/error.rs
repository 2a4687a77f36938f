//! Why the store refuses, and the product's number for each.

use crate::api::{ApiError, Code};
use crate::engine::log::escape;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One variant for each way in which a set's operation can fail.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no replication set \"{name}\"")]
    NoSuchSet { name: String, nearest: Option<String> },
    #[error("there is a replication set \"{name}\" already")]
    SetExists { name: String },
    #[error("the replication set \"{name}\" is connected")]
    Connected { name: String },
    #[error("the replication set \"{name}\" has no rule for the path \"{path}\"")]
    NoSuchRule { name: String, path: String, nearest: Option<String> },
    #[error("the replication set \"{name}\" has {} changes that are not saved", if *new { "only" } else { "made" })]
    Unsaved { name: String, new: bool },
    #[error("the replication set \"{name}\" was never saved")]
    NeverSaved { name: String },
    #[error(
        "the replication set \"{name}\" was changed by somebody else: your changes begin at generation {ours}, {}",
        theirs.map_or_else(|| "and it was deleted".to_owned(), |n| format!("generation {n} is saved"))
    )]
    Stale { name: String, ours: u64, theirs: Option<u64> },
    #[error("{0}")]
    Invalid(ApiError),
    #[error("line {line} of the exported set: {problem}")]
    Import { line: usize, problem: String },
    #[error("the database {path} is damaged: {problem}")]
    Damaged { path: String, problem: String },
    #[error("{path} is no database of this program")]
    Foreign { path: String },
    #[error("the database {path} was written by a newer version (format {found}, this one knows {known})")]
    Newer { path: String, found: i64, known: i64 },
    #[error("the database {path} cannot be used: {problem}")]
    Failed { path: String, problem: String },
}

impl From<ApiError> for StoreError {
    fn from(error: ApiError) -> Self {
        StoreError::Invalid(error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        use StoreError::*;
        let (code, help) = match &error {
            Invalid(inner) => return inner.clone(),
            NoSuchSet { nearest: Some(nearest), .. } => {
                (Code::JobDoesNotExist, format!("did you mean \"{nearest}\"? REPSET LIST shows all"))
            }
            NoSuchSet { .. } => {
                (Code::JobDoesNotExist, "REPSET LIST shows all sets, REPSET CREATE makes one".into())
            }
            SetExists { .. } => (Code::JobExists, "choose another name, or delete that set first".into()),
            Connected { .. } => (Code::JobIsInUse, "disconnect it first (DISCONNECT <con_id>)".into()),
            NoSuchRule { nearest: Some(nearest), .. } => {
                (Code::JobReplicationRuleDoesNotExist, format!("did you mean \"{nearest}\"?"))
            }
            NoSuchRule { name, .. } => {
                (Code::JobReplicationRuleDoesNotExist, format!("REPSET RULE LIST \"{name}\" shows its rules"))
            }
            Unsaved { name, .. } => (
                Code::JobNotSaved,
                format!("save it first (REPSET SAVE \"{name}\"): changes are in force after a save only"),
            ),
            NeverSaved { name } => (
                Code::JobNotSaved,
                format!("there is nothing to go back to; REPSET DELETE \"{name}\" removes it"),
            ),
            Stale { name, .. } => (
                Code::JobIsChanged,
                format!("REPSET RESYNC \"{name}\" takes the saved rules over; then make your changes again"),
            ),
            Import { .. } => (
                Code::InvalidParameterWasSupplied,
                "each rule is a line such as: \"/srv/data\" inc, rec".into(),
            ),
            Damaged { path, .. } => (
                Code::UnknownError,
                format!(
                    "the file was left as it is: put a good copy in its place, or move it away \
                     (mv {path} {path}.damaged) to begin with an empty one"
                ),
            ),
            Foreign { .. } => (
                Code::UnknownError,
                "the file was left as it is: move it away, or choose another name with SET RepSetDBName"
                    .into(),
            ),
            Newer { .. } => {
                (Code::UnknownError, "use the version that wrote it; the file was left as it is".into())
            }
            Failed { .. } => {
                (Code::UnknownError, "check the directory's permissions and the space on its disk".into())
            }
        };
        ApiError::new(code, error.to_string()).help(help)
    }
}

/// What SQLite says, as a failure of this file.
pub(super) fn of(path: &Path, error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, NotADatabase};
    let path = show(path);
    let problem = error.to_string();
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Damaged { path, problem },
        Some(DatabaseBusy | DatabaseLocked) => {
            StoreError::Failed { path, problem: "another program holds it open for writing".into() }
        }
        // A value of the wrong kind stands where ours would be: not written by us as it is.
        None if !matches!(error, rusqlite::Error::QueryReturnedNoRows) => {
            StoreError::Damaged { path, problem }
        }
        _ => StoreError::Failed { path, problem },
    }
}

pub(super) fn show(path: &Path) -> String {
    escape(PathBuf::from(path).as_os_str().as_bytes())
}
