//! A task on its way: the order to run one point of it, and how that ended. Every text is bounded, UTF-8, and free of control
//! characters, so that none of it can break a line of a log or of an environment; nothing of it names a user.

use super::primitive::{put_short, put_texts};
use super::{Reader, WireError};
use crate::api::{TaskEnd, TaskLimit, TaskPoint};

/// Most bytes of a job's name, of a command line, and of each other text.
pub const JOB_MAX: usize = 64;
pub const COMMAND_MAX: usize = 4096;
const TEXT_MAX: usize = 255;
/// Most bytes of the end of the output that is told to the source, and of the words of why it was not started.
pub const OUTPUT_MAX: usize = 4096;
const WHY_MAX: usize = 512;
/// The longest time that is counted.
pub const SECONDS_MAX: u64 = 3_155_760_000;

/// The order to run one point of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskOrder<'a> {
    /// The source's number for it; its answer has it.
    pub task: u64,
    pub point: TaskPoint,
    pub limit: TaskLimit,
    /// Of the source.
    pub connection: u32,
    /// When it was submitted: milliseconds since 1970.
    pub submitted_ms: i64,
    pub job: &'a str,
    pub command: &'a str,
    pub repset: &'a str,
    pub source: &'a str,
    pub target: &'a str,
    pub by: &'a str,
}

/// How a point ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskTold<'a> {
    pub task: u64,
    pub point: TaskPoint,
    pub end: TaskEnd,
    pub elapsed_ms: u64,
    /// The last of what it printed; any bytes.
    pub output: &'a [u8],
}

/// May this be one of the texts of an order?
pub fn is_plain(text: &str, most: usize) -> bool {
    text.len() <= most && !text.chars().any(char::is_control)
}

impl<'a> TaskOrder<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.task.to_le_bytes());
        out.push(self.point as u8);
        let seconds = match self.limit {
            TaskLimit::NotWaitedFor => 0,
            TaskLimit::Seconds(seconds) => seconds,
            TaskLimit::Forever => u64::MAX,
        };
        out.extend_from_slice(&seconds.to_le_bytes());
        out.extend_from_slice(&self.connection.to_le_bytes());
        out.extend_from_slice(&self.submitted_ms.to_le_bytes());
        put_texts(out, [self.job, self.command, self.repset, self.source, self.target, self.by]);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let (task, point) = (reader.u64()?, point(reader)?);
        if point.is_on_source() {
            return Err(WireError::Invalid("task's point"));
        }
        let limit = match reader.u64()? {
            0 => TaskLimit::NotWaitedFor,
            u64::MAX => TaskLimit::Forever,
            seconds if seconds <= SECONDS_MAX => TaskLimit::Seconds(seconds),
            _ => return Err(WireError::Invalid("task's time")),
        };
        let connection = reader.u32()?;
        let submitted_ms = reader.u64()?.cast_signed();
        let job = text(reader, "task's name", JOB_MAX)?;
        let command = text(reader, "task's command", COMMAND_MAX)?;
        if job.is_empty() || command.is_empty() {
            return Err(WireError::Invalid("task"));
        }
        let mut short = || text(reader, "task's text", TEXT_MAX);
        let (repset, source, target, by) = (short()?, short()?, short()?, short()?);
        Ok(Self { task, point, limit, connection, submitted_ms, job, command, repset, source, target, by })
    }
}

fn point(reader: &mut Reader<'_>) -> Result<TaskPoint, WireError> {
    let number = usize::from(reader.u8()?);
    TaskPoint::ALL.get(number).copied().ok_or(WireError::Invalid("task's point"))
}

fn text<'a>(reader: &mut Reader<'a>, what: &'static str, most: usize) -> Result<&'a str, WireError> {
    let text = std::str::from_utf8(reader.short(what, most)?).map_err(|_| WireError::Invalid(what))?;
    if is_plain(text, most) { Ok(text) } else { Err(WireError::Invalid(what)) }
}

impl<'a> TaskTold<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, number, why) = match &self.end {
            TaskEnd::Exited(code) => (0, *code, ""),
            TaskEnd::Signalled(signal) => (1, *signal, ""),
            TaskEnd::TimedOut => (2, 0, ""),
            TaskEnd::Started => (3, 0, ""),
            TaskEnd::NotStarted(why) => (4, 0, why.as_str()),
            TaskEnd::Disabled => (5, 0, ""),
            TaskEnd::Refused => (6, 0, ""),
            TaskEnd::Killed => (7, 0, ""),
            TaskEnd::Unknown => (8, 0, ""),
        };
        out.extend_from_slice(&self.task.to_le_bytes());
        out.extend_from_slice(&[self.point as u8, kind]);
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&self.elapsed_ms.to_le_bytes());
        // A word that would be refused there must not end the line.
        let why = why.replace(char::is_control, " ");
        let mut most = why.len().min(WHY_MAX);
        while !why.is_char_boundary(most) {
            most -= 1;
        }
        put_short(out, &why.as_bytes()[..most]);
        put_short(out, &self.output[self.output.len().saturating_sub(OUTPUT_MAX)..]);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let (task, point, kind) = (reader.u64()?, point(reader)?, reader.u8()?);
        let number = reader.u32()?.cast_signed();
        let elapsed_ms = reader.u64()?;
        let why = text(reader, "reason", WHY_MAX)?.to_owned();
        let end = match kind {
            0 => TaskEnd::Exited(number),
            1 => TaskEnd::Signalled(number),
            2 => TaskEnd::TimedOut,
            3 => TaskEnd::Started,
            4 => TaskEnd::NotStarted(why),
            5 => TaskEnd::Disabled,
            6 => TaskEnd::Refused,
            7 => TaskEnd::Killed,
            8 => TaskEnd::Unknown,
            _ => return Err(WireError::Invalid("task's end")),
        };
        Ok(Self { task, point, end, elapsed_ms, output: reader.short("output", OUTPUT_MAX)? })
    }
}

#[cfg(test)]
pub(super) const ORDER: TaskOrder<'static> = TaskOrder {
    task: 7,
    point: TaskPoint::Execute,
    limit: TaskLimit::Seconds(60),
    connection: 1,
    submitted_ms: -3,
    job: "snap",
    command: "/bin/true \"a b\"",
    repset: "payroll",
    source: "alpha",
    target: "beta",
    by: "anna",
};

#[cfg(test)]
pub(super) const TOLD: TaskTold<'static> = TaskTold {
    task: 7,
    point: TaskPoint::Receive,
    end: TaskEnd::Exited(-1),
    elapsed_ms: 12,
    output: b"done\n\xff",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn read(order: &TaskOrder<'_>) -> Result<(), WireError> {
        let mut bytes = Vec::new();
        order.encode(&mut bytes);
        TaskOrder::decode(&mut Reader::new(&bytes)).map(|read| assert_eq!(read, *order))
    }

    #[test]
    fn an_order_reads_back_and_one_that_could_do_harm_is_refused() {
        read(&ORDER).unwrap();
        read(&TaskOrder { limit: TaskLimit::NotWaitedFor, point: TaskPoint::Receive, ..ORDER }).unwrap();
        read(&TaskOrder { limit: TaskLimit::Forever, ..ORDER }).unwrap();
        let long = "x".repeat(COMMAND_MAX + 1);
        for bad in [
            TaskOrder { point: TaskPoint::Queue, ..ORDER },
            TaskOrder { limit: TaskLimit::Seconds(SECONDS_MAX + 1), ..ORDER },
            TaskOrder { job: "a\nb", ..ORDER },
            TaskOrder { job: "", ..ORDER },
            TaskOrder { job: &long[..=JOB_MAX], ..ORDER },
            TaskOrder { command: &long, ..ORDER },
            TaskOrder { command: "/bin/x\0y", ..ORDER },
            TaskOrder { repset: "a\u{7f}", ..ORDER },
            TaskOrder { source: &long[..=TEXT_MAX], ..ORDER },
        ] {
            read(&bad).unwrap_err();
        }
    }

    #[test]
    fn an_end_reads_back_with_the_last_of_its_output() {
        let output = vec![b'a'; OUTPUT_MAX + 5];
        for end in [
            TaskEnd::Signalled(9),
            TaskEnd::TimedOut,
            TaskEnd::Started,
            TaskEnd::NotStarted("no such file".into()),
            TaskEnd::Disabled,
            TaskEnd::Refused,
            TaskEnd::Killed,
            TaskEnd::Unknown,
        ] {
            let told = TaskTold { end, output: &output, ..TOLD };
            let mut bytes = Vec::new();
            told.encode(&mut bytes);
            let read = TaskTold::decode(&mut Reader::new(&bytes)).unwrap();
            assert_eq!(read, TaskTold { output: &output[5..], ..told });
        }
        let mut bytes = Vec::new();
        TaskTold { end: TaskEnd::NotStarted("a\nb\0".into()), ..TOLD }.encode(&mut bytes);
        let read = TaskTold::decode(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(read.end, TaskEnd::NotStarted("a b ".into()));
        let mut bytes = Vec::new();
        TaskTold { end: TaskEnd::NotStarted("ä".repeat(WHY_MAX)), ..TOLD }.encode(&mut bytes);
        let TaskEnd::NotStarted(why) = TaskTold::decode(&mut Reader::new(&bytes)).unwrap().end else {
            panic!("another end")
        };
        assert_eq!(why.len(), WHY_MAX);
    }
}
