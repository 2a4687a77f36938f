//! `<repset> DTVerify.log`: the format of availability.md 15.4, on Linux with mode and owner in place of the mask (ours).
//!
//! At `VerifyLogLimit` nothing more is logged (VER-22); room is kept for the totals and the end marker.

use super::decide::Policy;
use crate::api::VerifyReport;
use crate::engine::job::JobPlan;
use crate::engine::log::escape;
use crate::sys::Meta;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Bytes kept for the totals and the end marker.
const TAIL: u64 = 1400;

/// A log that is being written. What the disk refuses is counted and told once.
pub(super) struct VerifyLog {
    pub path: PathBuf,
    file: Option<BufWriter<File>>,
    /// Bytes that may still be written.
    left: u64,
    full: bool,
    /// `(<repset> for <source> --> <ip> : <port>)`
    about: String,
    connection: String,
}

impl VerifyLog {
    pub(super) fn begin(plan: &JobPlan, policy: &Policy) -> Self {
        let path = plan.verify_log.file(&plan.repset);
        let opened = open(&path, plan.verify_log.append);
        let (file, size) = match opened {
            Ok((file, size)) => (Some(BufWriter::new(file)), size),
            Err(error) => {
                tracing::warn!("The verification log {} cannot be written: {error}", path.display());
                (None, 0)
            }
        };
        let about = format!("({} for {} --> {})", plan.repset, plan.source_name, plan.target_address);
        let connection = plan.connection.to_string();
        let mut log = Self {
            path,
            file,
            left: plan.verify_log.limit.saturating_sub(size),
            full: false,
            about,
            connection,
        };
        let checksum =
            if policy.checksum || policy.checksum_all { "CHECKSUM ENABLED" } else { "CHECKSUM DISABLED" };
        log.put(
            &format!("--- VERIFICATION OF CONNECTION {}, {checksum} {} ---\n", log.connection, log.about),
            TAIL,
        );
        log.put(&format!("Start Time: {} for connection {} {}\n", now(), log.connection, log.about), TAIL);
        log
    }

    /// An entry: a path and its state, and further lines.
    pub(super) fn entry(&mut self, kind: &str, path: &[u8], state: &str, lines: &[String]) {
        let mut text = format!("{:<12}{} {state}\n", format!("{kind}:"), escape(path));
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.put(&text, TAIL);
    }

    /// Totals and end marker, for a run that was stopped too.
    pub(super) fn end(&mut self, report: &VerifyReport) {
        let r = report;
        let how = if r.stopped { "Stop Time" } else { "Completion Time" };
        let mut text = format!("{how}: {} for connection {} {}\n", now(), self.connection, self.about);
        text.push_str(&format!(
            "Elapsed Time (seconds): {}.{:03}\n",
            r.elapsed_ms / 1000,
            r.elapsed_ms % 1000
        ));
        for (label, value) in [
            ("Total Directories Compared", r.directories_compared),
            ("Total Directories Missing", r.directories_missing),
            ("Total Directories Remirrored", r.directories_remirrored),
            ("Total Files Compared", r.files_compared),
            ("Total Files Missing", r.files_missing),
            ("Total Files Different", r.files_different),
            ("Total Files Remirrored", r.files_remirrored),
            ("Total Bytes Skipped", r.bytes_skipped),
            ("Total Bytes Compared", r.bytes_compared),
            ("Total Bytes Missing", r.bytes_missing),
            ("Total Bytes Different", r.bytes_different),
            ("Total Bytes Remirrored", r.bytes_remirrored),
            ("Total Errors", r.errors),
        ] {
            text.push_str(&format!("{label}: {value}\n"));
        }
        text.push_str("--- END OF VERIFICATION ---\n");
        self.full = false;
        self.put(&text, 0);
        if let Some(file) = &mut self.file
            && let Err(error) = file.flush()
        {
            tracing::warn!("The verification log {} cannot be written: {error}", self.path.display());
        }
    }

    /// Writes what fits, whole or not at all, leaving `reserve` bytes.
    fn put(&mut self, text: &str, reserve: u64) {
        if self.full || text.len() as u64 + reserve > self.left {
            if !self.full {
                self.full = true;
                tracing::warn!("The verification log {} has reached VerifyLogLimit", self.path.display());
            }
            return;
        }
        let Some(file) = &mut self.file else { return };
        match file.write_all(text.as_bytes()) {
            Ok(()) => self.left -= text.len() as u64,
            Err(error) => {
                tracing::warn!("The verification log {} cannot be written: {error}", self.path.display());
                self.file = None;
            }
        }
    }
}

fn open(path: &std::path::Path, append: bool) -> io::Result<(File, u64)> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).write(true);
    let file = if append { options.append(true).open(path)? } else { options.truncate(true).open(path)? };
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// `11/21/2026 7:05:09 AM`, local time, as the guide's sample prints it.
pub(super) fn now() -> String {
    timestamp(&jiff::Zoned::now())
}

fn timestamp(at: &jiff::Zoned) -> String {
    at.strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string()
}

/// One side's attributes as a line of an entry.
pub(super) fn attributes(side: &str, meta: &Meta, size: u64) -> String {
    let time = i32::try_from(meta.mtime.1)
        .ok()
        .and_then(|ns| jiff::Timestamp::new(meta.mtime.0, ns).ok())
        .map_or_else(|| meta.mtime.0.to_string(), |at| timestamp(&at.to_zoned(jiff::tz::TimeZone::system())));
    format!(
        "     {side} Attributes: Timestamp = {time} Size = {size} Mode = [0{:o}] Owner = [{}:{}]",
        meta.mode, meta.uid, meta.gid
    )
}
