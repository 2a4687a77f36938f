//! Replies as records and tables: the labels that STATUS and its siblings print, and that scripts know as keys.

use super::output::{Column, Record, Table, number, text};
use super::render::key;
use crate::api::statistics::{self, Shape, Snapshot};
use crate::api::{
    BandwidthLine, BandwidthSchedule, BandwidthSpec, CompressionLine, ConnectionId, ConnectionStatus,
    MirrorReason, RepsetDetail, RepsetLine, Rule, ScheduleView, SetSize, StatisticsLog, TaskCounts,
    TaskLimit, TaskLine, TaskList, VerifyReport, Version,
};
use crate::lang::Value;
use jiff::{Timestamp, tz::TimeZone};
use std::collections::BTreeMap;

/// `08/17/2015 13:59:07.473`, local time; nothing for a time that no clock knows.
pub(crate) fn moment_ms(milliseconds: i64) -> String {
    local(Timestamp::from_millisecond(milliseconds), "%m/%d/%Y %H:%M:%S%.3f")
}

/// `08/17/2015 13:59:07`, local time.
pub(crate) fn moment_s(seconds: i64) -> String {
    local(Timestamp::from_second(seconds), "%m/%d/%Y %H:%M:%S")
}

fn local(timestamp: Result<Timestamp, jiff::Error>, format: &str) -> String {
    match timestamp {
        Ok(timestamp) => timestamp.to_zoned(TimeZone::system()).strftime(format).to_string(),
        Err(_) => String::new(),
    }
}

/// The golden table of `repset list`: the name fills 52 columns.
pub(crate) fn repset_list(sets: &[RepsetLine]) -> Table {
    let state = |set: &RepsetLine| if set.connected { "enabled" } else { "disabled" };
    Table {
        title: Some("List of rep sets".to_owned()),
        columns: vec![Column { name: "Name", width: 52 }, Column { name: "State", width: 1 }],
        rows: sets.iter().map(|set| vec![text(&*set.name), text(state(set))]).collect(),
        ..Table::default()
    }
}

/// `inc, rec` and its three siblings (RST-02).
pub(crate) fn rule_kind(rule: &Rule) -> String {
    let kind = if rule.include { "inc" } else { "exc" };
    let depth = if rule.recursive { "rec" } else { "nonrec" };
    format!("{kind}, {depth}")
}

pub(crate) fn rule(rule: &Rule) -> String {
    format!("{} {}", rule.path, rule_kind(rule))
}

pub(crate) fn rules(repset: &str, rules: &[Rule]) -> Table {
    Table {
        title: Some(format!("Rules of {repset}")),
        columns: vec![Column { name: "Path", width: 1 }, Column { name: "Rule", width: 1 }],
        rows: rules.iter().map(|rule| vec![text(&*rule.path), text(rule_kind(rule))]).collect(),
        ..Table::default()
    }
}

pub(crate) fn repset(detail: &RepsetDetail) -> Record {
    let rules = detail.rules.iter().enumerate().map(|(index, of)| {
        match detail.discarded.get(index).and_then(Option::as_deref) {
            Some(reason) => format!("{} (without effect: {reason})", rule(of)),
            None => rule(of),
        }
    });
    let record = Record::new(format!("Replication set {}", detail.name))
        .list("Rules", rules)
        .number("Generation", detail.generation)
        .text("State", if detail.saved { "saved" } else { "not saved" })
        .list("Connections", detail.connections.iter().map(ToString::to_string));
    match &detail.size {
        Some(size) => with_size(record, size),
        None => record.text("Size", "not calculated"),
    }
}

pub(crate) fn size(repset: &str, size: &SetSize) -> Record {
    with_size(Record::new(format!("Size of {repset}")), size)
}

fn with_size(record: Record, size: &SetSize) -> Record {
    let record = record
        .number("Files", size.files)
        .number("Directories", size.directories)
        .number("Bytes", size.bytes)
        .text("Calculated", moment_s(size.calculated));
    if size.errors > 0 { record.number("Could not be read", size.errors) } else { record }
}

/// The golden record of `status con`: ten lines. Failed files and an error add theirs, so that nobody overlooks them.
pub(crate) fn connection(status: &ConnectionStatus) -> Record {
    let record = Record::new(format!("Status for connection {}", status.id))
        .text("Time established", moment_ms(status.established_ms))
        .text("Replication set", &*status.repset)
        .text("Target machine", &*status.target)
        .text("Target state", &*status.target_data_state)
        .number("Mirror bytes transferred", status.mirror_bytes_transferred)
        .number("Mirror bytes transmitted", status.mirror_bytes_transmitted)
        .number("Mirror bytes in queue", status.mirror_bytes_queued)
        .number("Replication bytes transferred", status.replication_bytes_transferred)
        .number("Replication bytes transmitted", status.replication_bytes_transmitted)
        .number("Replication bytes in queue", status.replication_bytes_queued);
    let record = match &status.bandwidth_limit {
        Some(limit) => record.text("Bandwidth limit", &**limit),
        None => record,
    };
    let record = match &status.verification {
        Some(times) => record.text("Scheduled verification", &**times),
        None => record,
    };
    let record = match status.files_failed {
        0 => record,
        failed => record.number("Files failed", failed),
    };
    match &status.last_error {
        Some(error) => record.text("Last error", &**error),
        None => record,
    }
}

/// One row for each target; the words are those of the newer console (29.2).
pub(crate) fn compressions(lines: &[CompressionLine]) -> Table {
    let mut table = Table::new("Compression", &["Target machine", "Compression", "Sent", "Sent compressed"]);
    for line in lines {
        let level = match (line.level, line.auto) {
            (Some(level), _) => level.to_string(),
            (None, Some(now)) if line.enabled => format!("AUTO ({now})"),
            (None, _) => "AUTO".to_owned(),
        };
        let state = if line.enabled { format!("On / {level}") } else { "Off".to_owned() };
        table.push([text(&*line.target), text(state), number(line.sent), number(line.compressed)]);
    }
    table
}

/// A limit as it was typed; `Unlimited` for none (29.2).
fn limit(limit: Option<BandwidthSpec>) -> String {
    match limit {
        None => "Unlimited".to_owned(),
        Some(BandwidthSpec::Kbit(kbit)) => format!("{kbit} kbit/s"),
        Some(BandwidthSpec::Burst { bytes, seconds }) => {
            format!("{bytes} bytes in {seconds} {}", if seconds == 1 { "second" } else { "seconds" })
        }
    }
}

/// One row for each target: what is in force, and what says so.
pub(crate) fn bandwidths(lines: &[BandwidthLine]) -> Table {
    let mut table =
        Table::new("Bandwidth", &["Target machine", "Bandwidth limit", "Kbit/s", "By", "Otherwise"]);
    for line in lines {
        let by = match &line.entry {
            Some(entry) => format!("schedule: {entry}"),
            None => "always".to_owned(),
        };
        let otherwise = line.entry.as_ref().map_or_else(String::new, |_| limit(line.always));
        let kbit = line.kbit.map_or_else(|| text(""), number);
        table.push([text(&*line.target), text(limit(line.in_force)), kbit, text(by), text(otherwise)]);
    }
    table
}

/// The entries in the order of the week.
pub(crate) fn bandwidth_schedule(schedule: &BandwidthSchedule) -> Table {
    let state = if schedule.enabled { "enabled" } else { "disabled" };
    let mut table = Table::new(
        format!("Bandwidth schedule of {} ({state})", schedule.target),
        &["Label", "Days", "Start", "Bandwidth limit", "Now"],
    );
    for entry in &schedule.entries {
        let now = if schedule.now.as_ref() == Some(&entry.label) { "in force" } else { "" };
        table.push([
            text(&*entry.label),
            text(entry.days.join(", ")),
            text(&*entry.start),
            text(limit(entry.limit)),
            text(now),
        ]);
    }
    table
}

/// What is set, what it does now, and when it starts next. The same rows always.
pub(crate) fn schedule(view: &ScheduleView) -> Record {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let start = view.start.time.as_ref().map(|time| match time.parse::<jiff::civil::DateTime>() {
        Ok(time) if time.second() == 0 => time.strftime("%m/%d/%Y %H:%M").to_string(),
        Ok(time) => time.strftime("%m/%d/%Y %H:%M:%S").to_string(),
        Err(_) => time.clone(),
    });
    let record = Record::new(format!("Schedule of {}", view.target))
        .text("Enabled", if view.enabled { "yes" } else { "no" })
        .text("Start time", or_none(start))
        .text("Start every", or_none(view.start.every.map(|(n, unit)| format!("{n} {unit}"))))
        .text("Start at percent of queue", or_none(view.start.mem_limit.map(|percent| percent.to_string())))
        .text("Start at queued bytes", or_none(view.start.queue_size.map(|bytes| bytes.to_string())))
        .text("End after seconds", or_none(view.end.seconds.map(|seconds| seconds.to_string())))
        .text("End after bytes", or_none(view.end.bytes.map(|bytes| bytes.to_string())))
        .text("Window", or_none(view.window.as_ref().map(|(open, close)| format!("{open} to {close}"))))
        .text("State", &*view.state)
        .text("Next start", or_none(view.next_ms.map(|next| moment_s(next.div_euclid(1000)))));
    view.verifications.iter().fold(record, |record, (connection, times)| {
        record.text(format!("Verification of connection {connection}"), &**times)
    })
}

/// One row for each connection.
pub(crate) fn connections(all: &[ConnectionStatus]) -> Table {
    let mut table = Table::new(
        "Connections",
        &[
            "ID",
            "Replication set",
            "Target machine",
            "Transmit",
            "Mirror",
            "Replication",
            "Target state",
            "Queued",
            "Sent",
        ],
    );
    for status in all {
        let queued = status.mirror_bytes_queued.saturating_add(status.replication_bytes_queued);
        let sent = status.mirror_bytes_transmitted.saturating_add(status.replication_bytes_transmitted);
        table.push([
            number(u64::from(status.id.0)),
            text(&*status.repset),
            text(&*status.target),
            text(&*status.transmit),
            text(&*status.mirror),
            text(&*status.replication),
            text(&*status.target_data_state),
            number(queued),
            number(sent),
        ]);
        let waits = status.replication == "Pending"
            || status.transmit != "Started"
            || matches!(&*status.target_status, "Paused" | "Pause Pending");
        if let (true, Some(why)) = (waits, &status.last_error) {
            table.summary.push((format!("Connection {}", status.id), text(&**why)));
        }
    }
    table
}

/// A connection for `status()` and `connections()` in scripts: its keys are the labels of both STATUS forms in lower case
/// with `_` for blanks, and what else is known of it.
pub fn status_map(status: &ConnectionStatus) -> BTreeMap<String, Value> {
    let mut rows = vec![("ID".to_owned(), number(u64::from(status.id.0)))];
    rows.extend(connection(status).rows);
    let more = Record::plain()
        .text("Target address", &*status.target_address)
        .text("Target status", &*status.target_status)
        .text("Transmit", &*status.transmit)
        .text("Mirror", &*status.mirror)
        .text("Replication", &*status.replication)
        .number("Queued", status.mirror_bytes_queued.saturating_add(status.replication_bytes_queued))
        .number("Sent", status.mirror_bytes_transmitted.saturating_add(status.replication_bytes_transmitted))
        .number("Mirror bytes skipped", status.mirror_bytes_skipped)
        .number("Files failed", status.files_failed)
        .text("Last error", status.last_error.as_deref().unwrap_or_default());
    rows.extend(more.rows);
    // In the golden record it stands only where there is one.
    if status.bandwidth_limit.is_none() {
        rows.extend(Record::plain().text("Bandwidth limit", "Unlimited").rows);
    }
    // Known after a calculation only.
    rows.extend(
        status.mirror_bytes_remaining.map(|left| ("Mirror bytes remaining".to_owned(), number(left))),
    );
    rows.into_iter().map(|(label, value)| (key(&label), value)).collect()
}

pub(crate) fn version(version: &Version) -> Record {
    Record::new(format!("Version of {}", version.machine))
        .text("Product", &*version.product)
        .text("Version", &*version.version)
        .text("Build", &*version.build)
        .text("System", &*version.system)
        .text("Machine", &*version.machine)
        .list("Addresses", version.addresses.iter().cloned())
}

/// VERIFY REPORT: the totals by their names in the log (availability.md 15.4), then the files that differ.
pub(crate) fn verify(report: &VerifyReport) -> Record {
    let state = match (report.completed_ms, report.stopped) {
        (None, _) => "running",
        (Some(_), true) => "stopped",
        (Some(_), false) => "completed",
    };
    let record = Record::new(format!("Verification of {}", report.repset))
        .text("State", state)
        .text("Start time", moment_ms(report.started_ms))
        .text("Completion time", report.completed_ms.map_or_else(String::new, moment_ms))
        .number("Elapsed time (seconds)", report.elapsed_ms / 1000)
        .number("Total directories compared", report.directories_compared)
        .number("Total directories missing", report.directories_missing)
        .number("Total directories remirrored", report.directories_remirrored)
        .number("Total files compared", report.files_compared)
        .number("Total files missing", report.files_missing)
        .number("Total files different", report.files_different)
        .number("Total files remirrored", report.files_remirrored)
        .number("Total bytes skipped", report.bytes_skipped)
        .number("Total bytes compared", report.bytes_compared)
        .number("Total bytes missing", report.bytes_missing)
        .number("Total bytes different", report.bytes_different)
        .number("Total bytes remirrored", report.bytes_remirrored)
        .number("Errors", report.errors)
        .text("Log", &*report.log);
    record.list("Differing", report.differing.iter().map(|(path, state)| format!("{path} {state}")))
}

/// Lines of a dry run, in the order in which the mirror would send.
pub(crate) fn dry_run() -> Table {
    Table {
        title: Some(DRY_RUN.to_owned()),
        columns: vec![
            Column { name: "Reason", width: 28 },
            Column { name: "Bytes", width: 16 },
            Column { name: "Path", width: 1 },
        ],
        ..Table::default()
    }
}

pub(crate) const DRY_RUN: &str = "What the mirror would send";

pub(crate) fn dry_run_row(path: &str, reason: MirrorReason, bytes: u64) -> Vec<Value> {
    vec![text(reason.to_string()), number(bytes), text(path)]
}

/// TASK LIST. Numbers of tasks count on over restarts; names may be used again.
pub(crate) fn tasks(list: &TaskList) -> Table {
    let mut table =
        Table::new("Tasks", &["Number", "Task", "ID", "Target", "State", "Submitted", "By", "Note"]);
    for task in &list.tasks {
        let id = task.connection.map_or_else(|| "-".to_owned(), |id| id.to_string());
        table.push([
            number(task.number),
            text(escape(&task.job)),
            text(id),
            text(&*task.target),
            text(task.state.to_string()),
            text(moment_ms(task.submitted_ms)),
            text(escape(&task.by)),
            text(task.note.clone().unwrap_or_default()),
        ]);
    }
    let counted = |counts: &TaskCounts| {
        let TaskCounts { submitted, queued, succeeded, failed, ignored } = counts;
        format!(
            "submitted {submitted}, queued {queued}, succeeded {succeeded}, failed {failed}, ignored {ignored}"
        )
    };
    for (id, counts) in &list.counts {
        table.summary.push((format!("Connection {id}"), text(counted(counts))));
    }
    let enabled = if list.enabled { "yes" } else { "no (EnableTaskCmdProcessing is 0)" };
    let run_as = list.run_as.clone().unwrap_or_else(|| "the user that the engine runs as".to_owned());
    table.summary.push(("Tasks run here".to_owned(), text(enabled)));
    table.summary.push(("Run as".to_owned(), text(run_as)));
    for running in &list.running {
        table.summary.push((
            format!("Process {}", running.process),
            text(format!(
                "{} at {}, from {}, since {}",
                running.job,
                running.point,
                running.source,
                moment_ms(running.since_ms)
            )),
        ));
    }
    let TaskCounts { succeeded, failed, ignored, .. } = list.target;
    let target = format!("succeeded {succeeded}, failed {failed}, ignored {ignored}");
    table.summary.push(("Of sources".to_owned(), text(target)));
    table
}

/// TASK STATUS.
pub(crate) fn task(task: &TaskLine) -> Record {
    let limit = match task.limit {
        TaskLimit::NotWaitedFor => "not waited for".to_owned(),
        TaskLimit::Seconds(seconds) => format!("{seconds} seconds"),
        TaskLimit::Forever => "forever".to_owned(),
    };
    let connection = task.connection.map_or_else(|| "ended".to_owned(), |id| id.to_string());
    let mut record = Record::new(format!("Status for task {}", escape(&task.job)))
        .number("Number", task.number)
        .text("State", task.state.to_string())
        .text("Connection", connection)
        .text("Replication set", &*task.repset)
        .text("Target machine", &*task.target)
        .text("Submitted", moment_ms(task.submitted_ms))
        .text("By", escape(&task.by))
        .text("Timeout", limit)
        .text("Promise", if task.repeat { "at least once" } else { "at most once" });
    for point in &task.points {
        let name = point.point.word();
        record = record.text(name, escape(&point.command));
        let end = match &point.end {
            None if task.state.is_over() => "it did not come to that".to_owned(),
            None => "it has not come to that".to_owned(),
            Some(end) => format!("{end} ({}.{:03} s)", point.elapsed_ms / 1000, point.elapsed_ms % 1000),
        };
        record = record.text(format!("{name} end"), end);
        if !point.output.is_empty() {
            record = record.list(format!("{name} output"), point.output.iter().cloned());
        }
    }
    match &task.note {
        Some(note) => record.text("Note", &**note),
        None => record,
    }
}

/// Names that were typed elsewhere may hold what would break a line.
fn escape(text: &str) -> String {
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.to_owned() }
}

/// STATLOG STATUS.
pub(crate) fn statistics_log(log: &StatisticsLog) -> Record {
    let yes = |yes: bool| if yes { "Yes" } else { "No" };
    let interval = match log.interval_minutes {
        0 => "once a second".to_owned(),
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    };
    Record::new("Statistics log")
        .text("State", if log.running { "Running" } else { "Stopped" })
        .text("File", &*log.file)
        .number("Size (bytes)", log.bytes)
        .number("Maximum size (bytes)", log.limit)
        .text("Write interval", interval)
        .text("Old file is kept", yes(log.keeps_old))
        .text("Starts with the service", yes(log.at_start))
}

/// A record for each section, with the names of statistics.tsv.
pub(crate) fn statistics(snapshot: &Snapshot) -> Vec<Record> {
    let records = snapshot.blocks.iter().map(|block| {
        let title = match (block.section, block.connection) {
            (_, Some(id)) => format!("Statistics of connection {id}"),
            (section, None) => format!("Statistics: {}", section.name()),
        };
        block.values.iter().fold(Record::new(title), |record, (statistic, value)| {
            match (value, statistic.shape()) {
                (statistics::Value::Unknown, _) => record.text(statistic.name(), ""),
                (statistics::Value::Number(permille), Shape::Permille) => {
                    record.text(statistic.name(), format!("{}.{}%", permille / 10, permille % 10))
                }
                (statistics::Value::Number(number), _) => record.number(statistic.name(), *number),
                (statistics::Value::Text(text), _) => record.text(statistic.name(), &**text),
                (statistics::Value::Moment(at), Shape::MomentUtc) => {
                    let moment = Timestamp::from_millisecond(*at).map(|at| at.to_string());
                    record.text(statistic.name(), moment.unwrap_or_default())
                }
                (statistics::Value::Moment(at), _) => record.text(statistic.name(), moment_ms(*at)),
            }
        })
    });
    records.collect()
}

/// The columns of a connection: counts as numbers.
pub(crate) fn columns(connection: ConnectionId, columns: Vec<(String, String)>) -> Record {
    let record = Record::new(format!("Statistics of connection {connection}"));
    columns.into_iter().fold(record, |record, (name, value)| match value.parse() {
        Ok(count) if name.ends_with(')') || name == "Connection ID" => record.number(name, count),
        _ => record.text(name, value),
    })
}
