//! LOG and LOG WRITE.

use crate::api::{ApiError, Code, LogFilter, LogFrom, Reply, Watch};
use crate::engine::Engine;
use crate::engine::connection::BEAT;
use crate::engine::log::event;
use std::time::{Duration, Instant};

/// Most characters of LOG WRITE.
const TEXT: usize = 1024;
/// No call waits longer for new lines.
const WAIT: Duration = Duration::from_secs(60);

impl Engine {
    /// `LOG`: a part of it. Whoever follows asks again from where it ended.
    pub(in crate::engine) fn log_part(
        &self,
        mut from: LogFrom,
        filter: &LogFilter,
        wait_ms: u64,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let until = Instant::now() + Duration::from_millis(wait_ms).min(WAIT);
        loop {
            let part = self.kept.log.reader().read(from, filter).map_err(|error| {
                ApiError::new(Code::UnknownError, format!("the log cannot be read: {error}"))
                    .help(format!("look at {}", self.log_dir().display()))
            })?;
            let is_over = Instant::now() >= until || watch.cancelled() || self.is_closed();
            if !part.lines.is_empty() || part.more || is_over {
                return Ok(Reply::Log(part));
            }
            if let Some(next) = part.next {
                from = LogFrom::Place(next);
            }
            std::thread::sleep(BEAT);
        }
    }
}

/// `LOG WRITE`.
pub(super) fn log_write(text: &str) -> Result<Reply, ApiError> {
    if text.trim().is_empty() || text.chars().count() > TEXT {
        return Err(ApiError::new(
            Code::InvalidParameterWasSupplied,
            format!("LOG WRITE takes a text of 1 to {TEXT} characters"),
        ));
    }
    event!(Note, "{text}");
    Ok(Reply::Done)
}
