//! The null target's statistics file (JOB-15).
//!
//! The product writes a binary `statistic.sts`. This version writes the same counts as text, says so in the first line,
//! and touches no file that does not begin with that line.

use crate::api::{ApiError, Code};
use crate::engine::connection::status::status;
use crate::engine::connection::{Info, View};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

const FIRST_LINE: &str = "DTCL throughput diagnostics (text form of the statistics file)";

/// A file that this engine may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsFile {
    path: PathBuf,
}

impl StatisticsFile {
    /// Takes the name that was typed: a file name in the log directory, or an absolute path. An earlier file of this
    /// kind is kept as `<name>-old.<extension>` if `keep` (SaveStatFile). -143 for any other file.
    pub fn prepare(name: &str, log_dir: &Path, keep: bool) -> Result<StatisticsFile, ApiError> {
        let bad = |why: String| {
            ApiError::new(
                Code::InvalidStatisticsFile,
                format!("{name:?} cannot be the statistics file: {why}"),
            )
            .help("name a new file of the log directory, or an absolute path")
        };
        let plain = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
        let path = if plain {
            log_dir.join(name)
        } else if name.starts_with('/') && !name.ends_with('/') && !name.contains('\0') {
            PathBuf::from(name)
        } else {
            return Err(bad("it is no file name and no absolute path".into()));
        };
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(bad(error.to_string())),
            Ok(stat) if !stat.is_file() => return Err(bad("it exists and is no file".into())),
            Ok(_) => {
                if !is_ours(&path).map_err(|error| bad(error.to_string()))? {
                    return Err(bad("it exists and holds something else".into()));
                }
                if keep {
                    std::fs::rename(&path, old_name(&path)).map_err(|error| bad(error.to_string()))?;
                }
            }
        }
        std::fs::write(&path, format!("{FIRST_LINE}\n")).map_err(|error| bad(error.to_string()))?;
        Ok(StatisticsFile { path })
    }

    /// Writes the connection's counts as they are now.
    pub fn write(&self, info: &Info, view: &View, now_ms: i64) -> std::io::Result<()> {
        let status = status(info, view);
        let totals = &view.state.totals;
        let (elapsed, errors) = view.state.last.as_ref().map_or((None, 0), |(_, _, shared)| {
            (Some(shared.pauses()), shared.counters.errors.load(Relaxed))
        });
        let mut text = format!("{FIRST_LINE}\n");
        let mut row = |label: &str, value: &dyn std::fmt::Display| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:<34}{value}", format!("{label}:"));
        };
        row("Written", &when(now_ms));
        row("Time established", &when(status.established_ms));
        row("Replication set", &status.repset);
        row("Connection", &status.id);
        row("Target machine", &status.target);
        row("Target state", &status.target_data_state);
        row("Directories mirrored", &totals.directories);
        row("Files looked at", &totals.files);
        row("Files mirrored", &totals.files_sent);
        row("Mirror bytes transmitted", &status.mirror_bytes_transmitted);
        row("Mirror bytes skipped", &status.mirror_bytes_skipped);
        row("Files failed", &errors);
        if let Some((paused, pauses)) = elapsed {
            row("Paused time (ms)", &paused.as_millis());
            row("Total number of pauses", &pauses);
        }
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        std::fs::write(&new, text)?;
        std::fs::rename(&new, &self.path)
    }
}

fn when(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_else(|_| ms.to_string())
}

fn is_ours(path: &Path) -> std::io::Result<bool> {
    let mut line = Vec::new();
    BufReader::new(std::fs::File::open(path)?)
        .take(FIRST_LINE.len() as u64 + 1)
        .read_until(b'\n', &mut line)?;
    Ok(line.strip_suffix(b"\n") == Some(FIRST_LINE.as_bytes()))
}

/// `statistic.sts` is kept as `statistic-old.sts`.
fn old_name(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push("-old");
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lies_in_the_log_directory_and_the_old_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let file = StatisticsFile::prepare("statistic.sts", dir.path(), true).unwrap();
            assert_eq!(file.path, dir.path().join("statistic.sts"));
        }
        assert!(dir.path().join("statistic-old.sts").exists());
        StatisticsFile::prepare("statistic.sts", dir.path(), false).unwrap();
    }

    #[test]
    fn no_other_file_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("payroll.db"), "data").unwrap();
        for name in ["payroll.db", "", "..", "a/b", "/", "/no/such/directory/x"] {
            let error = StatisticsFile::prepare(name, dir.path(), true).unwrap_err();
            assert_eq!(error.code, Code::InvalidStatisticsFile, "{name:?}");
        }
        let whole = dir.path().display().to_string();
        assert!(StatisticsFile::prepare(&whole, dir.path(), true).is_err());
        assert_eq!(std::fs::read(dir.path().join("payroll.db")).unwrap(), b"data");
    }
}
