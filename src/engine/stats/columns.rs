//! The 26 columns of a connection, with the guide's names and in its order (availability.md 9.1).

use super::snapshot::{Queues, peer};
use crate::api::{ApiError, ConnectionId};
use crate::engine::Engine;
use crate::engine::connection::status::status;
use jiff::tz::TimeZone;

/// Their names.
pub const COLUMNS: [&str; 26] = [
    "Replication Set",
    "Connection ID",
    "Target Name",
    "Target IP",
    "Target Data State",
    "Target Status",
    "Commit Mode",
    "Transmit Mode",
    "Mirror Status",
    "Replication Status",
    "Queued (Ops)",
    "Sent (Bytes)",
    "Sent Compressed (Bytes)",
    "Intermediate Queue (Bytes)",
    "Disk Queue (Bytes)",
    "Queued Replication (Bytes)",
    "Sent Replication (Bytes)",
    "Sent Compressed Replication (Bytes)",
    "Queued Mirror (Ops)",
    "Sent Mirror (Bytes)",
    "Sent Compressed Mirror (Bytes)",
    "Skipped Mirror (Bytes)",
    "Remaining Mirror (Bytes)",
    "Queued Replication (Ops)",
    "Last File Touched",
    "Connected Since",
];

impl Engine {
    /// Each column with its value.
    pub(in crate::engine) fn columns(&self, id: ConnectionId) -> Result<Vec<(String, String)>, ApiError> {
        let connection = self.connection(id)?;
        let (info, view) = (&connection.info, connection.view());
        let now = status(info, &view);
        let queues = Queues::of(info, &view);
        // Real-time, though it may be paused (1966-1971); scheduled while it waits for transmit options.
        let commit = if info.transmission.kept().schedule.waits() { "Scheduled" } else { "Real-time" };
        let since = info.transmission.connected_since(info.established_ms);
        let since = since.filter(|_| !matches!(now.transmit.as_str(), "Error" | "Stopped")).map(local);
        let last_file = view.state.stage.shared().map(|shared| shared.last_file());
        let remaining = now.mirror_bytes_remaining.map(|bytes| bytes.to_string());
        let n = |number: u64| number.to_string();
        let values: [String; 26] = [
            now.repset,
            now.id.to_string(),
            now.target,
            peer(&now.target_address),
            now.target_data_state,
            now.target_status,
            commit.to_owned(),
            now.transmit,
            now.mirror,
            now.replication,
            n(queues.replication_operations + queues.mirror_operations),
            n(now.mirror_bytes_transferred + now.replication_bytes_transferred),
            n(now.mirror_bytes_transmitted + now.replication_bytes_transmitted),
            n(queues.memory),
            n(queues.disk),
            n(now.replication_bytes_queued),
            n(now.replication_bytes_transferred),
            n(now.replication_bytes_transmitted),
            n(queues.mirror_operations),
            n(now.mirror_bytes_transferred),
            n(now.mirror_bytes_transmitted),
            n(now.mirror_bytes_skipped),
            remaining.unwrap_or_default(),
            n(queues.replication_operations),
            last_file.unwrap_or_default(),
            since.unwrap_or_default(),
        ];
        Ok(COLUMNS.map(str::to_owned).into_iter().zip(values).collect())
    }
}

/// Local time, as STATUS prints it.
fn local(milliseconds: i64) -> String {
    let moment = jiff::Timestamp::from_millisecond(milliseconds);
    let words = moment.map(|at| at.to_zoned(TimeZone::system()).strftime("%m/%d/%Y %H:%M:%S").to_string());
    words.unwrap_or_default()
}
