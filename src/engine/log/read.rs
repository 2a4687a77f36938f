//! Reading a log that is being written: its files in the order of their numbers, whole lines only.
//!
//! A reader keeps nothing open between two parts: a place is a file's number and bytes of it, so a file that has gone to make room is
//! passed over, and one that was begun meanwhile is found.

use super::file::{Shape, next};
use crate::api::{LogFilter, LogFrom, LogLine, LogPart, LogPlace};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes of text in one part.
const PART: usize = 256 << 10;
/// Bytes that are read for one part, so that one who wants few lines of a long log can give up.
const READ: u64 = 64 << 20;
/// A line is no longer than this; what is longer is no line of a log.
const LINE: u64 = 128 << 10;

/// What stands at a place of a file, or next to it.
enum Read {
    /// A line, which may be none of a log, and the place behind it.
    Line(Option<LogLine>, u64),
    /// No whole line is there yet.
    End,
}

/// A file that is read.
struct Reading {
    file: BufReader<File>,
    offset: u64,
    line: Vec<u8>,
}

impl Reading {
    fn open(path: &Path, offset: u64) -> io::Result<Reading> {
        let mut file =
            OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Reading { file: BufReader::with_capacity(64 << 10, file), offset, line: Vec::new() })
    }

    fn next(&mut self) -> io::Result<Read> {
        self.line.clear();
        let mut bounded = io::Read::take(&mut self.file, LINE);
        let count = bounded.read_until(b'\n', &mut self.line)? as u64;
        if self.line.last() != Some(&b'\n') && count < LINE {
            return Ok(Read::End);
        }
        self.offset += count;
        let text = self.line.strip_suffix(b"\n").unwrap_or_default();
        Ok(Read::Line(LogLine::parse(&String::from_utf8_lossy(text)), self.offset))
    }
}

/// A log that another may be writing.
#[derive(Clone, Debug)]
pub struct LogReader(Files);

#[derive(Clone, Debug)]
enum Files {
    /// Those of an engine.
    Numbered(Shape),
    /// This one alone.
    One(std::path::PathBuf),
}

impl LogReader {
    pub(super) fn of(shape: Shape) -> LogReader {
        LogReader(Files::Numbered(shape))
    }

    /// One file of a log; its number is 0.
    pub fn file(path: impl Into<std::path::PathBuf>) -> LogReader {
        LogReader(Files::One(path.into()))
    }

    /// The next lines that are wanted, as many as fit one part.
    pub fn read(&self, from: LogFrom, filter: &LogFilter) -> io::Result<LogPart> {
        let nothing = LogPart { lines: Vec::new(), next: None, more: false };
        let start = match from {
            LogFrom::Place(place) => Some(place),
            LogFrom::Last(count) => self.last(count, filter)?,
        };
        let Some(mut place) = start else { return Ok(nothing) };
        let (mut lines, mut size, mut passed) = (Vec::new(), 0, 0);
        loop {
            let mut reading = match self.open(place) {
                Ok(reading) => reading,
                Err(error) if error.kind() == io::ErrorKind::NotFound => match self.after(place.file)? {
                    Some(file) => {
                        place = LogPlace { file, offset: 0 };
                        continue;
                    }
                    None => return Ok(LogPart { lines, next: Some(place), more: false }),
                },
                Err(error) => return Err(error),
            };
            while let Read::Line(line, end) = reading.next()? {
                passed += end - place.offset;
                place.offset = end;
                if let Some(line) = line.filter(|line| filter.takes(line)) {
                    size += line.text.len() + 64;
                    lines.push(line);
                }
                if size >= PART || passed >= READ {
                    return Ok(LogPart { lines, next: Some(place), more: true });
                }
            }
            // Looked for after the end was seen: nothing is written to a file once the next one is there.
            match self.following(place.file) {
                Some(file) if reading.is_at_end()? => place = LogPlace { file, offset: 0 },
                Some(_) => {}
                None => return Ok(LogPart { lines, next: Some(place), more: false }),
            }
        }
    }

    /// Where the last wanted lines begin. None: there is no file.
    fn last(&self, count: u64, filter: &LogFilter) -> io::Result<Option<LogPlace>> {
        let Some(newest) = self.newest()? else { return Ok(None) };
        let (mut wanted, mut file) = (usize::try_from(count).unwrap_or(usize::MAX), newest);
        let mut place = None;
        loop {
            let mut reading = match self.open(LogPlace { file, offset: 0 }) {
                Ok(reading) => reading,
                // It has gone to make room.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_numbered() => {
                    return Ok(place);
                }
                Err(error) => return Err(error),
            };
            let (mut begins, mut end) = (VecDeque::new(), 0);
            while let Read::Line(line, behind) = reading.next()? {
                if line.is_some_and(|line| filter.takes(&line)) {
                    begins.push_back(end);
                    if begins.len() > wanted {
                        begins.pop_front();
                    }
                }
                end = behind;
            }
            let offset = begins.front().copied();
            wanted -= begins.len();
            place = match offset {
                Some(offset) => Some(LogPlace { file, offset }),
                None => place.or(Some(LogPlace { file, offset: end })),
            };
            match self.previous(file) {
                Some(previous) if wanted > 0 && previous != newest => file = previous,
                _ => return Ok(place),
            }
        }
    }

    fn is_numbered(&self) -> bool {
        matches!(self.0, Files::Numbered(_))
    }

    fn open(&self, place: LogPlace) -> io::Result<Reading> {
        match &self.0 {
            Files::Numbered(shape) => Reading::open(&shape.path(place.file), place.offset),
            Files::One(path) => Reading::open(path, place.offset),
        }
    }

    fn newest(&self) -> io::Result<Option<u32>> {
        match &self.0 {
            Files::Numbered(shape) => match shape.newest() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                newest => newest,
            },
            Files::One(_) => Ok(Some(0)),
        }
    }

    fn following(&self, file: u32) -> Option<u32> {
        let Files::Numbered(shape) = &self.0 else { return None };
        let after = next(file);
        shape.path(after).exists().then_some(after).filter(|_| !self.is_newest(file))
    }

    /// With 999 files the oldest stands behind the newest.
    fn is_newest(&self, file: u32) -> bool {
        matches!(self.newest(), Ok(Some(newest)) if newest == file)
    }

    fn previous(&self, file: u32) -> Option<u32> {
        let Files::Numbered(shape) = &self.0 else { return None };
        shape.before(file)
    }

    /// The oldest file, when one that was to be read has gone.
    fn after(&self, gone: u32) -> io::Result<Option<u32>> {
        let Some(newest) = self.newest()? else { return Ok(None) };
        let mut oldest = newest;
        while let Some(before) = self.previous(oldest).filter(|before| *before != newest && *before != gone) {
            oldest = before;
        }
        Ok((oldest != gone).then_some(oldest))
    }
}

impl Reading {
    /// Nothing was written to it since.
    fn is_at_end(&mut self) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        Ok(matches!(self.next()?, Read::End))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Place(tempfile::TempDir);

    fn line(number: u32, id: u32) -> String {
        format!("05/14/2024 08:31:07.1250 77 2244 {number} {} {id} text of {number}\n", 1 + number % 2)
    }

    impl Place {
        fn new() -> Place {
            Place(tempfile::tempdir().unwrap())
        }

        fn write(&self, file: u32, text: &str) {
            let path = self.0.path().join(format!("dtlog{file}.dtl"));
            let before = fs::read_to_string(&path).unwrap_or_default();
            fs::write(path, before + text).unwrap();
        }

        fn reader(&self) -> LogReader {
            let directory = self.0.path().to_owned();
            LogReader::of(Shape { directory, base: "dtlog".into(), max_size: 1 << 20, max_files: 5 })
        }

        fn read(&self, from: LogFrom, filter: &LogFilter) -> (Vec<u64>, LogPlace) {
            let part = self.reader().read(from, filter).unwrap();
            assert!(!part.more);
            (part.lines.iter().map(|line| line.sequence).collect(), part.next.unwrap())
        }
    }

    #[test]
    fn the_last_lines_are_found_over_several_files() {
        let place = Place::new();
        let all = LogFilter::default();
        assert_eq!(place.reader().read(LogFrom::Last(5), &all).unwrap().next, None);
        place.write(998, &[line(1, 0), line(2, 7)].concat());
        place.write(999, &[line(3, 0), "no line\n".to_owned(), line(4, 7)].concat());
        place.write(1, &[line(5, 0), line(6, 0), "05/14/2024 08:3".to_owned()].concat());
        for (count, expected) in
            [(1, vec![6]), (2, vec![5, 6]), (3, vec![4, 5, 6]), (9, vec![1, 2, 3, 4, 5, 6])]
        {
            assert_eq!(place.read(LogFrom::Last(count), &all).0, expected, "{count}");
        }
        let sevens = LogFilter { include: vec![crate::api::IdRange { first: 7, last: 7 }], ..all.clone() };
        assert_eq!(place.read(LogFrom::Last(1), &sevens).0, [4]);
        assert_eq!(place.read(LogFrom::Last(9), &sevens).0, [2, 4]);
        let alerts = LogFilter { alerts: true, ..all };
        assert_eq!(place.read(LogFrom::Last(2), &alerts).0, [4, 6]);
    }

    #[test]
    fn what_is_written_later_follows_also_in_another_file_and_never_half() {
        let place = Place::new();
        let all = LogFilter::default();
        place.write(1, &line(1, 0));
        let (_, at) = place.read(LogFrom::Last(5), &all);
        let whole = line(2, 0);
        let (head, tail) = whole.split_at(30);
        place.write(1, head);
        assert_eq!(place.read(LogFrom::Place(at), &all), (vec![], at));
        place.write(1, tail);
        let (lines, at) = place.read(LogFrom::Place(at), &all);
        assert_eq!(lines, [2]);
        place.write(2, &line(3, 0));
        place.write(3, &line(4, 0));
        let (lines, at) = place.read(LogFrom::Place(at), &all);
        assert_eq!((lines.as_slice(), at.file), ([3, 4].as_slice(), 3));
        // Its file has gone meanwhile.
        place.write(4, &line(5, 0));
        place.write(5, &line(6, 0));
        for gone in [1, 2, 3] {
            fs::remove_file(place.0.path().join(format!("dtlog{gone}.dtl"))).unwrap();
        }
        assert_eq!(place.read(LogFrom::Place(at), &all).0, [5, 6]);
    }

    #[test]
    fn one_who_wants_nothing_of_it_follows_from_its_end() {
        let place = Place::new();
        place.write(1, &line(1, 0));
        let alerts =
            LogFilter { include: vec![crate::api::IdRange { first: 9, last: 9 }], ..LogFilter::default() };
        let (lines, at) = place.read(LogFrom::Last(5), &alerts);
        assert_eq!(lines, Vec::<u64>::new());
        place.write(1, &line(2, 9));
        assert_eq!(place.read(LogFrom::Place(at), &alerts).0, [2]);
    }

    #[test]
    fn a_long_log_comes_in_parts() {
        let place = Place::new();
        let text: String = (1..=5000).map(|number| line(number, 0)).collect();
        place.write(1, &text);
        let (reader, all) = (place.reader(), LogFilter::default());
        let mut part = reader.read(LogFrom::Last(4999), &all).unwrap();
        let mut lines = part.lines.len();
        assert!(part.more && lines < 4999, "{lines}");
        while part.more {
            part = reader.read(LogFrom::Place(part.next.unwrap()), &all).unwrap();
            lines += part.lines.len();
        }
        assert_eq!((lines, part.lines.last().unwrap().sequence), (4999, 5000));
        let alone = LogReader::file(place.0.path().join("dtlog1.dtl"));
        assert_eq!(alone.read(LogFrom::Last(1), &all).unwrap().lines[0].sequence, 5000);
    }
}
