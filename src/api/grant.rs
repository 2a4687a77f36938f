//! How a source comes to a target on another machine: the client, which may do all on both, has the target grant places to the
//! source's key, and hands the source what was granted.

use super::MapSpec;
use serde::{Deserialize, Serialize};

/// What a source says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The machine's name.
    pub machine: String,
    /// Its key's fingerprint.
    pub key: String,
    /// The set's name as it is kept there.
    pub repset: String,
    /// The set's roots, and what they are.
    pub roots: Vec<(String, RootKind)>,
}

/// What a root of a set is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootKind {
    Directory,
    /// Anything that is no directory.
    File,
    Missing,
}

/// What a target is asked to grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantSpec {
    pub source: Introduction,
    pub map: MapSpec,
    /// None: the target's switch stays as it is (ORP-03).
    pub orphans: Option<bool>,
    /// It is only to be looked at what would be sent: nobody else's grant is touched.
    pub dry_run: bool,
}

/// A grant, for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantLine {
    pub id: String,
    pub source: String,
    pub key: String,
    pub repset: String,
    /// Milliseconds since 1970.
    pub made_ms: i64,
    /// Its source may run tasks here.
    pub tasks: bool,
    /// Where its source's lines come from; none: it has none now.
    pub from: Vec<String>,
    /// Source path, target path; escaped.
    pub paths: Vec<(String, String)>,
}

/// What was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Names the grant; of use only to who has the source's key.
    pub id: String,
    /// The target's key.
    pub key: String,
    /// Source path, target path: one for each root.
    pub paths: Vec<(String, String)>,
    /// What a person should know.
    pub notices: Vec<String>,
}
