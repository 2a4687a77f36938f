//! The structures of the protocol that are spoken here. Lines and characters count from 0, characters in units of UTF-16.

use serde::{Deserialize, Deserializer, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Position {
    #[serde(deserialize_with = "saturated")]
    pub line: u32,
    #[serde(deserialize_with = "saturated")]
    pub character: u32,
}

/// Some editors write the end of a line as a number that is larger than any.
fn saturated<'de, D: Deserializer<'de>>(given: D) -> Result<u32, D::Error> {
    u64::deserialize(given).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Range {
    pub start: Position,
    pub end: Position,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Location {
    pub uri: String,
    pub range: Range,
}

#[derive(Debug, Deserialize)]
pub struct Opened {
    pub uri: String,
    pub version: i64,
    pub text: String,
}

#[derive(Debug, Deserialize)]
pub struct Versioned {
    pub uri: String,
    /// An editor may know none.
    pub version: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Named {
    pub uri: String,
}

/// Without a range the text is the whole document's.
#[derive(Debug, Deserialize)]
pub struct Change {
    pub range: Option<Range>,
    pub text: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DidOpen {
    pub text_document: Opened,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DidChange {
    pub text_document: Versioned,
    pub content_changes: Vec<Change>,
}

/// Of notifications and requests about a whole document.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    pub text_document: Named,
}

/// Of requests about a place.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct At {
    pub text_document: Named,
    pub position: Position,
}
