//! STATUS SOURCE and STATUS TARGET: the two modules of a machine, with the fields of the replication service view
//! (reference-guide 4.2 to 4.4) that have a meaning here.

use crate::api::{ApiError, Reply};
use crate::engine::Engine;
use crate::engine::connect::mapping::shown;
use crate::engine::connect::route::To;
use crate::engine::connection::status::status;
use crate::engine::log::escape;
use std::sync::atomic::Ordering::Relaxed;

impl Engine {
    pub(in crate::engine) fn status_source(&self) -> Result<Reply, ApiError> {
        let mut rows = self.root_rows();
        row(&mut rows, "Source module", "Running");
        row(&mut rows, "Replication sets", self.set_count()?);
        let connections = self.connections();
        row(&mut rows, "Connections", connections.len());
        for connection in &connections {
            let status = status(&connection.info, &connection.view());
            row(&mut rows, "Replication set", &status.repset);
            row(&mut rows, "Connection ID", status.id);
            row(&mut rows, "Transmit mode", &status.transmit);
            row(&mut rows, "Target status", &status.target_status);
            let limit = status.bandwidth_limit.as_deref().unwrap_or("Unlimited");
            row(&mut rows, "Bandwidth limit", limit);
            let info = &connection.info;
            // Blank while there is no socket (9.1 row 26).
            let since = info.transmission.connected_since(info.established_ms);
            let since = since.filter(|_| status.transmit != "Error").map(moment);
            row(&mut rows, "Connected since", since.unwrap_or_default());
            row(&mut rows, "Target data state", &status.target_data_state);
            row(&mut rows, "Target route", &status.target_address);
            row(&mut rows, "Mirror status", &status.mirror);
            if let Some(remaining) = status.mirror_bytes_remaining {
                row(&mut rows, "Mirror remaining (bytes)", remaining);
            }
            row(&mut rows, "Mirror skipped (bytes)", status.mirror_bytes_skipped);
            row(&mut rows, "Sent mirror (bytes)", status.mirror_bytes_transferred);
            row(&mut rows, "Sent compressed mirror (bytes)", status.mirror_bytes_transmitted);
            row(&mut rows, "Sent replication (bytes)", status.replication_bytes_transferred);
            row(&mut rows, "Sent compressed replication (bytes)", status.replication_bytes_transmitted);
            row(&mut rows, "Queued replication (bytes)", status.replication_bytes_queued);
            row(&mut rows, "Replication status", &status.replication);
            let view = connection.view();
            if let Some(shared) = view.state.stage.shared() {
                row(&mut rows, "Queued replication (operations)", shared.ops_queued.load(Relaxed));
                row(&mut rows, "Disk queue (bytes)", shared.disk_queue.load(Relaxed));
                row(&mut rows, "Last file touched", shared.last_file());
                for backend in shared.backends() {
                    let by = format!("{} by {}", backend.place, backend.name);
                    let why =
                        backend.reason.map(|reason| format!(", not fanotify: {reason}")).unwrap_or_default();
                    row(&mut rows, "Capture", by + why.as_str());
                }
            }
            for (source, target) in &status.paths {
                row(&mut rows, "Source Path", source);
                row(&mut rows, "Target Path", target);
            }
        }
        Ok(Reply::Source(rows))
    }

    pub(in crate::engine) fn status_target(&self) -> Result<Reply, ApiError> {
        let mut rows = self.root_rows();
        row(&mut rows, "Target module", "Running");
        row(&mut rows, "Data root", shown(self.home.data_root()));
        let orphans = if self.orphans.is_on() { "On" } else { "Off" };
        row(&mut rows, "Move/Delete Orphan Files", orphans);
        // Names of the target's statistics (statistics.tsv).
        let removed = self.orphans.removed();
        row(&mut rows, "Orphan Files Removed", removed.files);
        row(&mut rows, "Orphan Directories Removed", removed.directories);
        row(&mut rows, "Orphan Bytes Removed", removed.bytes);
        let connections = self.connections();
        let entries: Vec<_> =
            connections.iter().filter(|connection| matches!(connection.info.to(), To::Here)).collect();
        let sources = self.sources()?;
        row(&mut rows, "Target connection entries", entries.len() + sources.len());
        for connection in entries {
            let status = status(&connection.info, &connection.view());
            row(&mut rows, "Source name", &connection.info.source);
            row(&mut rows, "Source address", &connection.info.target_address);
            row(&mut rows, "Replication set", &status.repset);
            row(&mut rows, "Connection ID", status.id);
            row(&mut rows, "Target data state", &status.target_data_state);
            row(&mut rows, "Target status", &status.target_status);
            let view = connection.view();
            if let Some(shared) = view.state.stage.shared() {
                row(&mut rows, "Ops Remaining", shared.target_ops.load(Relaxed));
                row(&mut rows, "Bytes In Target Queue", shared.target_memory.load(Relaxed));
                row(&mut rows, "Bytes In Target Disk Queue", shared.target_disk.load(Relaxed));
            }
        }
        for (grant, from) in sources {
            row(&mut rows, "Source name", escape(grant.source.as_bytes()));
            let addresses: Vec<String> = from.iter().map(|address| address.ip().to_string()).collect();
            row(&mut rows, "Source address", addresses.first().map_or("not connected", String::as_str));
            row(&mut rows, "Source key", grant.key);
            row(&mut rows, "Replication set", escape(grant.repset.as_bytes()));
            for place in &grant.places {
                row(&mut rows, "Source Path", shown(&place.source));
                row(&mut rows, "Target Path", shown(&place.target));
            }
        }
        Ok(Reply::Target(rows))
    }

    fn root_rows(&self) -> Vec<(String, String)> {
        let version = super::version();
        let mut rows = Vec::new();
        row(&mut rows, "Server name", &version.machine);
        row(&mut rows, "Product version", format!("{} {}", version.product, version.version));
        row(&mut rows, "Operating system", &version.system);
        rows
    }
}

fn row(rows: &mut Vec<(String, String)>, label: &str, value: impl ToString) {
    rows.push((label.to_owned(), value.to_string()));
}

/// Local time, as STATUS prints it.
fn moment(milliseconds: i64) -> String {
    let moment = jiff::Timestamp::from_millisecond(milliseconds);
    let words = moment.map(|moment| {
        moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%m/%d/%Y %H:%M:%S").to_string()
    });
    words.unwrap_or_default()
}
