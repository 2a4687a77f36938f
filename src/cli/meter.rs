//! The progress line: percentage, amount, rate and time left, as one line of a given width.
//!
//! Pure: time comes in from outside, drawing is the [terminal](super::terminal)'s.

use std::time::{Duration, Instant};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::api::{Phase, Progress};

/// Shortest time between two lines: ten a second.
const PACE: Duration = Duration::from_millis(100);
/// The rate is what was done over about this long.
const MEMORY: f64 = 3.0;

/// Follows one piece of work.
#[derive(Debug, Default)]
pub struct Meter {
    work: Option<Work>,
}

#[derive(Debug)]
struct Work {
    phase: Phase,
    started: Instant,
    drawn: Instant,
    sampled: Instant,
    bytes: u64,
    /// Bytes per second; None until something was measured.
    rate: Option<f64>,
}

impl Meter {
    /// The line to draw now, of at most `width` columns, or None when the last one is not yet a tenth of a second old.
    pub fn line(&mut self, progress: &Progress, now: Instant, width: usize) -> Option<String> {
        let work = match &mut self.work {
            // Another phase, or another piece of work.
            Some(work) if work.phase == progress.phase && progress.bytes_done >= work.bytes => work,
            work => {
                let bytes = progress.bytes_done;
                let phase = progress.phase;
                let first = Work { phase, started: now, drawn: now, sampled: now, bytes, rate: None };
                let work = work.insert(first);
                return Some(line(progress, work.rate, Duration::ZERO, width));
            }
        };
        if now.duration_since(work.drawn) < PACE {
            return None;
        }
        work.sample(progress.bytes_done, now);
        work.drawn = now;
        Some(line(progress, work.rate, now.duration_since(work.started), width))
    }

    /// The work is over.
    pub fn reset(&mut self) {
        self.work = None;
    }
}

impl Work {
    /// An exponential average, so that the rate neither jumps nor forgets that a line became slow.
    fn sample(&mut self, bytes: u64, now: Instant) {
        let seconds = now.duration_since(self.sampled).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
        let latest = (bytes - self.bytes) as f64 / seconds;
        let weight = 1.0 - (-seconds / MEMORY).exp();
        self.rate = Some(self.rate.map_or(latest, |rate| rate + weight * (latest - rate)));
        self.bytes = bytes;
        self.sampled = now;
    }
}

fn line(progress: &Progress, rate: Option<f64>, elapsed: Duration, width: usize) -> String {
    let mut parts = vec![phase(progress.phase).to_owned()];
    if let Some(percent) = percent(progress) {
        parts[0].push_str(&format!(" {percent}%"));
    }
    let files = match progress.files_total {
        Some(total) => format!("{} of {total} files", progress.files_done),
        None => format!("{} files", progress.files_done),
    };
    let amount = match progress.bytes_total {
        Some(total) => format!("{} of {}", bytes(progress.bytes_done), bytes(total)),
        None => bytes(progress.bytes_done),
    };
    if progress.files_done > 0 || progress.bytes_done > 0 || progress.bytes_total.is_some() {
        parts.push(files);
        parts.push(amount);
    }
    if let Some(rate) = rate.filter(|rate| *rate >= 1.0) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; saturates")]
        parts.push(format!("{}/s", bytes(rate as u64)));
    }
    match left(progress, rate) {
        Some(left) => parts.push(format!("{} left", clock(left))),
        None => parts.push(clock(elapsed)),
    }
    match progress.errors {
        0 => {}
        1 => parts.push("1 error".into()),
        errors => parts.push(format!("{errors} errors")),
    }
    let mut text = parts.join("  ");
    let room = width.saturating_sub(text.width() + 2);
    // A path of which only a few letters are left says nothing.
    if !progress.path.is_empty() && room >= 12 {
        text.push_str("  ");
        text.push_str(&tail(&progress.path, room));
    }
    head(&text, width)
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "Idle",
        Phase::Calculating => "Calculating",
        Phase::Mirroring => "Mirroring",
        Phase::Waiting => "Waiting",
        Phase::RemovingOrphans => "Removing Orphans",
        Phase::Verifying => "Verifying",
        Phase::Paused => "Paused",
    }
}

/// By bytes, or by files when the bytes are none. Never 100 before the end.
fn percent(progress: &Progress) -> Option<u64> {
    let (done, total) = match (progress.bytes_total, progress.files_total) {
        (Some(total), _) if total > 0 => (progress.bytes_done, total),
        (_, Some(total)) if total > 0 => (progress.files_done, total),
        _ => return None,
    };
    let percent = u128::from(done) * 100 / u128::from(total);
    Some(if done >= total { 100 } else { u64::try_from(percent).unwrap_or(99).min(99) })
}

fn left(progress: &Progress, rate: Option<f64>) -> Option<Duration> {
    let rate = rate.filter(|rate| *rate >= 1.0)?;
    let left = progress.bytes_total?.saturating_sub(progress.bytes_done);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = left as f64 / rate;
    // Nobody plans by an estimate of more than a hundred days.
    (seconds < 8.64e6).then(|| Duration::from_secs_f64(seconds.ceil()))
}

/// `0:07`, `12:00`, `3:05:00`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Bytes with three digits: `999 B`, `1.50 KB`, `12.3 MB`; 1 KB is 1024 B, as in the product's consoles.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = if amount < 9.995 {
        2
    } else if amount < 99.95 {
        1
    } else {
        0
    };
    format!("{amount:.digits$} {}", UNITS[unit])
}

/// The first columns of a text, control characters left out.
fn head(text: &str, width: usize) -> String {
    let mut room = width;
    text.chars()
        .take_while(|char| match char.width() {
            Some(columns) if columns > room => false,
            columns => {
                room -= columns.unwrap_or(0);
                true
            }
        })
        .filter(|char| !char.is_control())
        .collect()
}

/// The last columns of a path, with an ellipsis for what is left out.
fn tail(path: &str, width: usize) -> String {
    if path.width() <= width {
        return path.to_owned();
    }
    let mut room = width.saturating_sub(3);
    let start = path
        .char_indices()
        .rev()
        .take_while(|(_, char)| match char.width().unwrap_or(0) {
            columns if columns > room => false,
            columns => {
                room -= columns;
                true
            }
        })
        .last()
        .map_or(path.len(), |(at, _)| at);
    format!("...{}", &path[start..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn progress() -> Progress {
        Progress {
            phase: Phase::Mirroring,
            files_done: 0,
            bytes_done: 0,
            files_total: None,
            bytes_total: None,
            errors: 0,
            path: String::new(),
        }
    }

    #[test]
    fn shows_percentage_rate_and_time_left() {
        let start = Instant::now();
        let mut meter = Meter::default();
        let mut now = progress();
        (now.files_total, now.bytes_total) = (Some(10), Some(100 << 20));
        meter.line(&now, start, 200);
        now.bytes_done = 20 << 20;
        now.files_done = 2;
        let line = meter.line(&now, start + Duration::from_secs(2), 200).unwrap();
        assert_eq!(line, "Mirroring 20%  2 of 10 files  20.0 MB of 100 MB  10.0 MB/s  0:08 left");
    }

    #[test]
    fn without_totals_shows_what_is_done_and_the_time_it_took() {
        let start = Instant::now();
        let mut meter = Meter::default();
        let mut now = progress();
        meter.line(&now, start, 200);
        (now.files_done, now.bytes_done, now.errors) = (3, 6 << 10, 2);
        let line = meter.line(&now, start + Duration::from_secs(61), 200).unwrap();
        assert_eq!(line, "Mirroring  3 files  6.00 KB  100 B/s  1:01  2 errors");
    }

    #[test]
    fn draws_at_most_ten_times_a_second() {
        let start = Instant::now();
        let mut meter = Meter::default();
        let lines = (0..1000)
            .filter(|ms| {
                let now = Progress { bytes_done: *ms, ..progress() };
                meter.line(&now, start + Duration::from_millis(*ms), 80).is_some()
            })
            .count();
        assert_eq!(lines, 10);
    }

    #[test]
    fn is_done_at_the_end_only() {
        let mut now = Progress { bytes_total: Some(u64::MAX), bytes_done: u64::MAX - 1, ..progress() };
        assert_eq!(percent(&now), Some(99));
        now.bytes_done = u64::MAX;
        assert_eq!(percent(&now), Some(100));
    }

    #[test]
    fn amounts_have_three_digits() {
        for (amount, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KB"),
            (1536, "1.50 KB"),
            (1_048_575, "1.00 MB"),
            (123_456_789, "118 MB"),
            (u64::MAX, "16.0 EB"),
        ] {
            assert_eq!(bytes(amount), text);
        }
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        assert_eq!(tail("/srv/data/report.odt", 13), "...report.odt");
        assert_eq!(tail("/short", 13), "/short");
    }

    proptest! {
        #[test]
        fn a_line_is_never_wider_than_the_terminal(
            path in "\\PC{0,60}", width in 0usize..120, done: u64, total: Option<u64>, errors: u64,
        ) {
            let now = Progress { path, bytes_done: done, bytes_total: total, errors, ..progress() };
            let line = line(&now, Some(1e6), Duration::from_secs(100), width);
            prop_assert!(line.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>() <= width);
            prop_assert!(!line.contains(char::is_control));
        }
    }
}
