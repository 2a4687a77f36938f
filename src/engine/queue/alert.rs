//! The alert at `QueueSizeAlertThreshold`: once when usage reaches it, again only after it has fallen clearly below.

use super::Usage;
use super::limits::Limits;

/// Points below the threshold at which the next alert becomes possible.
const FALL: u64 = 10;

#[derive(Debug, Default)]
pub(in crate::engine) struct Alert {
    raised: bool,
    words: Option<String>,
}

impl Alert {
    /// Looks at the usage; `full`: something was refused for want of room.
    pub(in crate::engine) fn look(&mut self, limits: &Limits, usage: &Usage, full: bool) {
        let threshold = limits.alert_percent.max(1);
        let percent = if full { 100 } else { u64::from(usage.percent) };
        if percent >= threshold && !self.raised {
            self.raised = true;
            let (of, bytes) = if limits.has_disk() {
                ("the disk queue", usage.disk_bytes)
            } else {
                ("the memory queue", usage.memory_bytes)
            };
            self.words = Some(format!(
                "QueueSizeAlertThreshold {threshold}% exceeded: {of} is at {percent}% ({} MB, {} operations)",
                bytes >> 20,
                usage.records
            ));
        } else if percent < threshold.saturating_sub(FALL).max(1) {
            self.raised = false;
        }
    }

    pub(in crate::engine) fn take(&mut self) -> Option<String> {
        self.words.take()
    }
}
