//! The numbered files of a log: `dtlog1.dtl` to `dtlog999.dtl`, then 1 again (reference-guide.md 2.1).
//!
//! A line is one write to the end of the newest file; nothing is held back, so a killed process loses no line, and a
//! mirror writes a line for a failure, not for a file. A line that would make the file longer than its limit begins the next
//! file; then the oldest go until no more are left than allowed. A line that cannot be written is dropped and counted,
//! and the count is told as soon as there is room again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Numbers go from 1 to this.
const NUMBERS: u32 = 999;

/// Which files, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) directory: PathBuf,
    /// `dtlog`
    pub(super) base: String,
    /// Bytes of one file.
    pub(super) max_size: u64,
    pub(super) max_files: usize,
}

/// The file being written.
#[derive(Debug)]
struct Open {
    file: File,
    number: u32,
    size: u64,
}

/// Writes lines; made without touching the disk, the first line opens or makes a file.
#[derive(Debug)]
pub(super) struct Files {
    shape: Shape,
    open: Option<Open>,
}

impl Shape {
    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{}{number}.dtl", self.base))
    }

    /// The file that was written before this one, if it is there.
    pub(super) fn before(&self, number: u32) -> Option<u32> {
        let before = if number <= 1 { NUMBERS } else { number - 1 };
        self.path(before).exists().then_some(before)
    }

    /// The numbers that exist, in no order.
    fn numbers(&self) -> io::Result<Vec<u32>> {
        let number = |name: &str| {
            let digits = name.strip_prefix(&self.base)?.strip_suffix(".dtl")?;
            // `dtlog01.dtl` is not ours.
            let number =
                digits.parse().ok().filter(|n| (1..=NUMBERS).contains(n) && n.to_string() == digits)?;
            Some(number)
        };
        let entries = fs::read_dir(&self.directory)?;
        Ok(entries.filter_map(|entry| number(entry.ok()?.file_name().to_str()?)).collect())
    }

    /// The number that was written last: one without a successor, of several the one changed last.
    pub(super) fn newest(&self) -> io::Result<Option<u32>> {
        let numbers = self.numbers()?;
        let changed = |number: u32| fs::metadata(self.path(number)).and_then(|status| status.modified()).ok();
        let last = |of: &mut dyn Iterator<Item = u32>| of.max_by_key(|&number| (changed(number), number));
        let mut ends = numbers.iter().copied().filter(|&n| !numbers.contains(&next(n)));
        Ok(last(&mut ends).or_else(|| last(&mut numbers.iter().copied())))
    }
}

pub(super) fn next(number: u32) -> u32 {
    number % NUMBERS + 1
}

impl Files {
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, open: None }
    }

    /// Other limits hold from the next line on; another name or place begins with it too.
    pub(super) fn configure(&mut self, shape: Shape) {
        if (&shape.directory, &shape.base) != (&self.shape.directory, &self.shape.base) {
            self.open = None;
        }
        self.shape = shape;
    }

    /// Appends one line, whole or not at all.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.continue_newest()?,
        };
        if open.size > 0 && open.size + length > self.shape.max_size {
            let number = next(open.number);
            match self.begin(number) {
                Ok(new) => open = new,
                Err(error) => {
                    // It is tried again with the next line.
                    self.open = Some(open);
                    return Err(error);
                }
            }
        }
        let written = open.file.write_all(line);
        match written {
            Ok(()) => open.size += length,
            // What came to be written of it goes again, or the next line would hang on it.
            Err(_) => drop(open.file.set_len(open.size)),
        }
        self.open = Some(open);
        written
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The file being written, if any.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.open.as_ref().map(|open| self.shape.path(open.number))
    }

    fn continue_newest(&mut self) -> io::Result<Open> {
        match self.shape.newest()? {
            None => self.begin(1),
            Some(number) => {
                let file = append(&self.shape.path(number), false)?;
                let size = file.metadata()?.len();
                Ok(Open { file, number, size })
            }
        }
    }

    /// Begins a file and deletes the oldest.
    fn begin(&self, number: u32) -> io::Result<Open> {
        let path = self.shape.path(number);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = append(&path, true)?;
        let mut numbers = self.shape.numbers()?;
        let age = |n: &u32| (NUMBERS + number - n) % NUMBERS;
        numbers.sort_by_key(age);
        for old in numbers.into_iter().skip(self.shape.max_files.max(1)) {
            // One that cannot be deleted is tried again at the next turn.
            let _ = fs::remove_file(self.shape.path(old));
        }
        Ok(Open { file, number, size: 0 })
    }
}

fn append(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(new)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, SystemTime};

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn files(&self, max_size: u64, max_files: usize) -> Files {
            let directory = self.0.path().to_owned();
            Files::new(Shape { directory, base: "dtlog".into(), max_size, max_files })
        }

        fn put(&self, number: u32, text: &str, age: u64) {
            let path = self.0.path().join(format!("dtlog{number}.dtl"));
            fs::write(&path, text).unwrap();
            let time = SystemTime::now() - Duration::from_secs(age);
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.path()).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }

        fn read(&self, number: u32) -> String {
            fs::read_to_string(self.0.path().join(format!("dtlog{number}.dtl"))).unwrap()
        }
    }

    #[test]
    fn files_are_numbered_and_the_oldest_go() {
        let place = Place::new();
        let mut files = place.files(10, 3);
        assert!(place.names().is_empty(), "nothing is made before the first line");
        for line in ["12345678\n", "1\n", "2345678\n", "3\n", "123456789012345\n", "5\n"] {
            files.write(line.as_bytes()).unwrap();
        }
        assert_eq!(place.names(), ["dtlog3.dtl", "dtlog4.dtl", "dtlog5.dtl"]);
        // A line longer than the limit has a file of its own.
        assert_eq!([place.read(3), place.read(4), place.read(5)], ["3\n", "123456789012345\n", "5\n"]);
    }

    /// `/dev/full` answers each write as a full disk does.
    #[test]
    fn a_full_disk_is_an_error_and_no_more() {
        let place = Place::new();
        let mut files = place.files(100, 3);
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        files.open = Some(Open { file, number: 1, size: 0 });
        for _ in 0..2 {
            let error = files.write(b"line\n").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
        files.open = None;
        files.write(b"line\n").unwrap();
        assert_eq!(place.read(1), "line\n");
    }

    #[test]
    fn a_new_run_goes_on_where_the_last_one_ended() {
        let place = Place::new();
        place.files(100, 3).write(b"one\n").unwrap();
        place.files(100, 3).write(b"two\n").unwrap();
        assert_eq!(place.read(1), "one\ntwo\n");
    }

    #[test]
    fn after_999_comes_1() {
        let place = Place::new();
        place.put(998, "old\n", 10);
        place.put(999, "full\n", 5);
        let mut files = place.files(5, 2);
        files.write(b"new\n").unwrap();
        assert_eq!(place.names(), ["dtlog1.dtl", "dtlog999.dtl"]);
        assert_eq!(place.read(1), "new\n");
        files.write(b"more\n").unwrap();
        assert_eq!(place.names(), ["dtlog1.dtl", "dtlog2.dtl"]);
        // And a new run knows that 2 is the newest, not a file with a greater number.
        place.put(999, "old\n", 100);
        place.files(50, 2).write(b"again\n").unwrap();
        assert_eq!(place.read(2), "more\nagain\n");
    }

    #[test]
    fn other_files_are_left_alone() {
        let place = Place::new();
        for name in
            ["dtlog.dtl", "dtlog0.dtl", "dtlog01.dtl", "dtlog1000.dtl", "xdtlog1.dtl", "Data DTVerify.log"]
        {
            fs::write(place.0.path().join(name), "theirs").unwrap();
        }
        let before = place.names().len();
        let mut files = place.files(1, 1);
        for _ in 0..5 {
            files.write(b"line\n").unwrap();
        }
        assert_eq!(place.names().len(), before + 1);
        assert!(place.names().contains(&"dtlog5.dtl".to_owned()));
    }

    #[test]
    fn limits_can_change_while_it_runs() {
        let place = Place::new();
        let mut files = place.files(5, 10);
        for _ in 0..6 {
            files.write(b"line\n").unwrap();
        }
        files.configure(Shape { max_files: 2, ..files.shape.clone() });
        files.write(b"line\n").unwrap();
        assert_eq!(place.names(), ["dtlog6.dtl", "dtlog7.dtl"]);
        files.configure(Shape { base: "other".into(), ..files.shape.clone() });
        files.write(b"line\n").unwrap();
        assert_eq!(place.names(), ["dtlog6.dtl", "dtlog7.dtl", "other1.dtl"]);
    }

    #[test]
    fn a_link_in_the_place_of_a_log_is_not_followed() {
        let place = Place::new();
        let theirs = place.0.path().join("theirs");
        fs::write(&theirs, "").unwrap();
        std::os::unix::fs::symlink(&theirs, place.0.path().join("dtlog1.dtl")).unwrap();
        assert!(place.files(100, 3).write(b"line\n").is_err());
        assert_eq!(fs::read(&theirs).unwrap(), b"");
    }

    proptest! {
        /// Whatever is written, the files hold the last lines in order and respect both limits.
        #[test]
        fn the_end_of_the_log_is_kept(
            lengths in prop::collection::vec(1..30usize, 1..60),
            max_size in 1..60u64,
            max_files in 1..5usize,
            first in prop_oneof![Just(1u32), 990..=999u32],
            restarts in prop::collection::vec(any::<bool>(), 60),
        ) {
            let place = Place::new();
            let mut files = place.files(max_size, max_files);
            files.open = Some(files.begin(first).unwrap());
            let mut all = String::new();
            for (index, length) in lengths.iter().enumerate() {
                let line = format!("{}\n", char::from(b'a' + (index % 26) as u8).to_string().repeat(*length));
                if restarts[index] {
                    files.open = None;
                }
                files.write(line.as_bytes()).unwrap();
                all.push_str(&line);
            }
            let mut numbers = files.shape.numbers().unwrap();
            prop_assert!(numbers.len() <= max_files);
            let newest = files.open.as_ref().unwrap().number;
            numbers.sort_by_key(|n| std::cmp::Reverse((NUMBERS + newest - n) % NUMBERS));
            let kept: String = numbers.iter().map(|n| place.read(*n)).collect();
            prop_assert!(all.ends_with(&kept) && !kept.is_empty(), "{kept:?} is not the end of {all:?}");
            for number in numbers {
                let text = place.read(number);
                prop_assert!(text.len() as u64 <= max_size || text.lines().count() == 1, "{text:?}");
            }
        }
    }
}
