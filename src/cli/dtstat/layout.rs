//! A snapshot on the screen, blank by blank as the guide prints it (reference-guide.md 3.3).

use crate::api::statistics::{Section, Shape, Snapshot, Statistic, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// What stands before the first value of a line, and the line's statistics.
type Line = (&'static str, &'static [Statistic]);

/// From this level on a section is shown, and its last lines.
fn lines(section: Section) -> (u8, &'static [Line], &'static [Line]) {
    use Statistic::*;
    match section {
        Section::General => {
            (1, &[("SYSTEMALLOCATOR::", &[SystemAllocator]), ("IQALLOCATOR::", &[QueueAllocator])], &[])
        }
        Section::Security => (1, &[("SECURITY::", &[Logins, FailedLogins])], &[]),
        Section::Kernel => (
            1,
            &[
                ("KERNEL::", &[SourceState, TargetState, StartTime]),
                ("", &[RepOpsGenerated, RepBytesGenerated]),
                ("", &[MirOpsGenerated, MirBytesGenerated]),
                ("  ", &[FailedMirrorCount, FailedRepCount]),
                ("  ", &[ActFailCount, TargetOpenHandles, DriverQueuePercent]),
            ],
            &[],
        ),
        Section::Target => (
            2,
            &[
                ("TARGET:: ", &[PeerAddress, LocalAddress]),
                ("  ", &[OpsReceived, MirrorOpsReceived]),
                ("  ", &[Retries, OpsDropped, OpsRemaining]),
                ("  ", &[OrphanFilesRemoved, OrphanDirectoriesRemoved, OrphanBytesRemoved]),
                ("  ", &[TargetQueueBytes, TargetDiskQueueBytes]),
                ("  ", &[TasksSucceeded, TasksFailed, TasksIgnored]),
            ],
            &[],
        ),
        Section::Source => {
            (2, &[("SOURCE::", &[AutoDisconnects, AutoReconnects]), ("  ", &[LastFileTouched])], &[])
        }
        Section::Connection => (
            2,
            &[
                ("CONNECTION:: ", &[ConPeerAddress]),
                ("  ", &[ConnectTime]),
                ("  ", &[ConState, ConOpsInCmdQueue, ConOpsInAckQueue]),
                ("  ", &[ConOpsInRepQueue, ConOpsInMirQueue, ConBytesInRepQueue]),
                ("  ", &[ConOpsTx, ConBytesInMirQueue, ConBytesTx]),
                ("  ", &[ConBytesCompressedTx]),
                ("  ", &[ConOpsRx, ConBytesRx, ConResentOpCount, ConBytesInDiskQueue]),
                ("  ", &[ConBandwidthLimit, ConBytesSkipped, ConMirrorBytesRemaining]),
                ("  ", &[ConMirrorPercent]),
                ("  ", &[ConTaskCmdsSubmitted, ConTaskCmdsQueued]),
                ("  ", &[ConTasksSucceeded, ConTasksFailed, ConTasksIgnored]),
            ],
            // In the guide's table, and not in its sample.
            &[
                ("  ", &[ConRpt, ConRpl]),
                ("  ", &[ConCurrentTime]),
                ("  ", &[ConMirrorStartTime, ConMirrorEndTime]),
            ],
        ),
    }
}

/// The whole text.
pub fn text(snapshot: &Snapshot, level: u8) -> String {
    let mut text = format!("=====\n{}\n=====\n", stamp(snapshot.at_ms));
    for section in Section::ALL {
        let (from, usual, more) = lines(section);
        if level < from {
            continue;
        }
        for block in snapshot.of(section) {
            let more = if level >= 3 { more } else { &[] };
            for (before, statistics) in usual.iter().chain(more) {
                let values = statistics
                    .iter()
                    .map(|it| format!("{}: {}", it.label(), shown(*it, block.get(*it))))
                    .collect::<Vec<_>>();
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{before}{}", values.join(" ").trim_end());
            }
        }
    }
    text
}

/// A value as the screen and tables have it; nothing for what is not known.
pub fn shown(statistic: Statistic, value: &Value) -> String {
    match (value, statistic.shape()) {
        (Value::Unknown, _) => String::new(),
        (Value::Number(permille), Shape::Permille) => format!("{}.{}%", permille / 10, permille % 10),
        (Value::Number(number), _) => number.to_string(),
        (Value::Text(text), _) => printable(text),
        (Value::Moment(at), Shape::MomentUtc) => ctime(*at, TimeZone::UTC),
        (Value::Moment(at), _) => ctime(*at, TimeZone::system()),
    }
}

/// Whoever wrote a file or answers at a port commands no terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { shown.extend(letter.escape_unicode()) } else { shown.push(letter) }
    }
    shown
}

/// `5/14/24 08:31:20:9008`, in local time: the last are tenths of milliseconds.
fn stamp(at_ms: i64) -> String {
    let Ok(at) = Timestamp::from_millisecond(at_ms) else { return at_ms.to_string() };
    let at = at.to_zoned(TimeZone::system());
    let (month, day, year) = (at.month(), at.day(), at.year().rem_euclid(100));
    format!("{month}/{day}/{year:02} {}:{:04}", at.strftime("%H:%M:%S"), i32::from(at.millisecond()) * 10)
}

/// `Tue May 14 08:31:07 2024`.
fn ctime(at_ms: i64, zone: TimeZone) -> String {
    match Timestamp::from_millisecond(at_ms) {
        Ok(at) => at.to_zoned(zone).strftime("%a %b %e %H:%M:%S %Y").to_string(),
        Err(_) => at_ms.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::statistics::Block;

    /// The sample of reference-guide.md 3.3, in local time.
    pub fn sample() -> Snapshot {
        let local = |text: &str| {
            let at = text.parse::<jiff::civil::DateTime>().unwrap();
            at.to_zoned(TimeZone::system()).unwrap().timestamp().as_millisecond()
        };
        let (at_ms, begun) = (local("2024-05-14T08:31:20.900"), local("2024-05-14T08:31:07"));
        use Statistic::*;
        let block = |section, values: &[(Statistic, u64)]| {
            Block::new(section, values.iter().map(|(it, number)| (*it, (*number).into())).collect())
        };
        let mut kernel = block(
            Section::Kernel,
            &[
                (SourceState, 2),
                (TargetState, 1),
                (RepOpsGenerated, 812),
                (RepBytesGenerated, 40960),
                (MirOpsGenerated, 15),
                (MirBytesGenerated, 983_040),
                (FailedMirrorCount, 1),
                (FailedRepCount, 0),
                (ActFailCount, 0),
                (TargetOpenHandles, 2),
                (DriverQueuePercent, 4),
            ],
        );
        kernel.values.push((StartTime, Value::Moment(begun)));
        let mut target = block(
            Section::Target,
            &[
                (OpsReceived, 827),
                (MirrorOpsReceived, 15),
                (Retries, 0),
                (OpsDropped, 0),
                (OpsRemaining, 6),
                (OrphanFilesRemoved, 2),
                (OrphanDirectoriesRemoved, 1),
                (OrphanBytesRemoved, 740),
                (TargetQueueBytes, 2048),
                (TargetDiskQueueBytes, 0),
                (TasksSucceeded, 1),
                (TasksFailed, 0),
                (TasksIgnored, 0),
            ],
        );
        target.values.push((PeerAddress, Value::Text("127.0.0.2".into())));
        target.values.push((LocalAddress, Value::Text("127.0.0.3".into())));
        let mut source = block(Section::Source, &[(AutoDisconnects, 0), (AutoReconnects, 1)]);
        source.values.push((LastFileTouched, Value::Text("/srv/data/a.txt".into())));
        let mut connection = block(
            Section::Connection,
            &[
                (ConState, 1),
                (ConOpsInCmdQueue, 0),
                (ConOpsInAckQueue, 2),
                (ConOpsInRepQueue, 4),
                (ConOpsInMirQueue, 0),
                (ConBytesInRepQueue, 1536),
                (ConOpsTx, 827),
                (ConBytesInMirQueue, 0),
                (ConBytesTx, 1_024_000),
                (ConBytesCompressedTx, 700_000),
                (ConOpsRx, 821),
                (ConBytesRx, 1_022_464),
                (ConResentOpCount, 0),
                (ConBytesInDiskQueue, 0),
                (ConBandwidthLimit, 4_294_967_295),
                (ConBytesSkipped, 65536),
                (ConMirrorBytesRemaining, 0),
                (ConMirrorPercent, 1000),
                (ConTaskCmdsSubmitted, 1),
                (ConTaskCmdsQueued, 0),
                (ConTasksSucceeded, 1),
                (ConTasksFailed, 0),
                (ConTasksIgnored, 0),
                (ConRpl, 13),
            ],
        );
        connection.values.push((ConPeerAddress, Value::Text("127.0.0.3".into())));
        connection.values.push((ConnectTime, Value::Moment(begun)));
        connection.values.push((ConRpt, Value::Moment(0)));
        let general = block(Section::General, &[(SystemAllocator, 4096), (QueueAllocator, 512)]);
        let security = block(Section::Security, &[(Logins, 3), (FailedLogins, 1)]);
        Snapshot { at_ms, blocks: vec![general, security, kernel, target, source, connection] }
    }

    /// Its stamp has a digit that a clock of milliseconds has not.
    #[test]
    fn text_holds_no_commands_for_a_terminal() {
        let text = Value::Text("/srv/ä\u{1b}[2J\nb".into());
        assert_eq!(shown(Statistic::LastFileTouched, &text), "/srv/ä\\u{1b}[2J\\u{a}b");
    }

    #[test]
    fn the_layout_is_the_guides() {
        let expected = "\
=====
5/14/24 08:31:20:9000
=====
SYSTEMALLOCATOR::Total Bytes: 4096
IQALLOCATOR::Total Bytes: 512
SECURITY::Logins : 3 FailedLogins : 1
KERNEL::SourceState: 2 TargetState: 1 Start Time: Tue May 14 08:31:07 2024
RepOpsGenerated: 812 RepBytesGenerated: 40960
MirOpsGenerated: 15 MirBytesGenerated: 983040
  FailedMirrorCount: 1 FailedRepCount: 0
  ActFailCount: 0 TargetOpenHandles: 2 DriverQueuePercent: 4
TARGET:: PeerAddress: 127.0.0.2 LocalAddress: 127.0.0.3
  Ops Received: 827 Mirror Ops Received: 15
  Retries: 0 OpsDropped: 0 Ops Remaining: 6
  Orphan Files Removed: 2 Orphan Directories Removed: 1 Orphan Bytes Removed: 740
  Bytes In Target Queue: 2048 Bytes In Target Disk Queue: 0
  TasksSucceeded: 1 TasksFailed: 0 TasksIgnored: 0
SOURCE::autoDisConnects : 0 autoReConnects : 1
  lastFileTouched : /srv/data/a.txt
CONNECTION:: conPeerAddress: 127.0.0.3
  connectTime: Tue May 14 08:31:07 2024
  conState: 1 conOpsInCmdQueue: 0 conOpsInAckQueue: 2
  conOpsInRepQueue: 4 conOpsInMirQueue: 0 conBytesInRepQueue: 1536
  conOpsTx: 827 conBytesInMirQueue: 0 conBytesTx: 1024000
  conBytesCompressedTx: 700000
  conOpsRx: 821 conBytesRx: 1022464 conResentOpCount: 0 conBytesInDiskQueue: 0
  conBandwidthLimit: 4294967295 conBytesSkipped: 65536 conMirrorBytesRemain: 0
  conMirrorPercent: 100.0%
  conTaskCmdsSubmitted: 1 conTaskCmdsQueued: 0
  conTasksSucceeded: 1 conTasksFailed: 0 conTasksIgnored: 0
";
        assert_eq!(text(&sample(), 2), expected);
    }

    #[test]
    fn a_level_shows_less_or_more() {
        let less = text(&sample(), 1);
        assert!(less.ends_with("DriverQueuePercent: 4\n"), "{less}");
        let more = text(&sample(), 3);
        let (usual, rest) = more.split_at(text(&sample(), 2).len());
        assert_eq!(usual, text(&sample(), 2));
        assert_eq!(
            rest,
            "  ConRPT: Thu Jan  1 00:00:00 1970 ConRPL: 13\n  ConCurrentTime:\n  ConMirrorStartTime:  ConMirrorEndTime:\n"
        );
    }

    /// No statistic is left out.
    #[test]
    fn every_statistic_has_its_place() {
        let mut placed = vec![Statistic::Stamp];
        for section in Section::ALL {
            let (_, usual, more) = lines(section);
            placed.extend(usual.iter().chain(more).flat_map(|(_, statistics)| *statistics));
        }
        placed.sort();
        assert_eq!(placed, Statistic::ALL);
    }
}
