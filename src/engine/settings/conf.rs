//! `DT.conf`: text, one `Name=Value` a line, in the order of the alphabet.
//!
//! Everything else in the file is kept as it is: comments stay with the line that follows them, the block before the
//! first blank line stays on top, a line that means nothing to us stays where it was and is reported. The file is only
//! ever replaced as a whole.

use super::table;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The lines of a `DT.conf`. Lines are bytes: a comment may be in any encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    /// Comments on top.
    head: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    /// Comments behind the last entry.
    tail: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Comments, blank lines and lines without meaning before it.
    above: Vec<Vec<u8>>,
    name: String,
    value: String,
    /// Counted from 1; 0 for one that is not in a file yet.
    line: usize,
}

/// Something in the file that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub line: usize,
    pub text: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

impl Conf {
    /// Reads a file's text; whatever it holds, nothing is lost.
    pub fn parse(text: &[u8]) -> (Self, Vec<Problem>) {
        let mut conf = Conf::default();
        let mut problems = Vec::new();
        let mut above: Vec<Vec<u8>> = Vec::new();
        let mut on_top = true;
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let lines = (!text.is_empty()).then(|| text.split(|&b| b == b'\n'));
        for (index, line) in lines.into_iter().flatten().enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match read_line(line) {
                Line::Entry(name, value) => {
                    on_top = false;
                    conf.entries.push(Entry {
                        above: std::mem::take(&mut above),
                        name,
                        value,
                        line: index + 1,
                    });
                    continue;
                }
                Line::Comment => {}
                Line::Meaningless(text) => problems.push(Problem { line: index + 1, text }),
            }
            let blank = line.is_empty();
            above.push(line.to_owned());
            if blank && on_top {
                conf.head.append(&mut above);
            }
        }
        conf.tail = above;
        (conf, problems)
    }

    /// Name, value and line number of each entry, as written.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        self.entries.iter().map(|e| (e.name.as_str(), e.value.as_str(), e.line))
    }

    /// Gives a setting a value: one line with this name stands afterwards.
    pub fn set(&mut self, name: &str, value: &str) {
        let mut places =
            self.entries.iter().enumerate().filter(|(_, e)| same(&e.name, name)).map(|(place, _)| place);
        match places.next() {
            Some(first) => {
                self.remove_from(name, first + 1);
                self.entries[first].name = name.to_owned();
                self.entries[first].value = value.to_owned();
            }
            None => {
                let entry =
                    Entry { above: Vec::new(), name: name.to_owned(), value: value.to_owned(), line: 0 };
                self.entries.push(entry);
            }
        }
        self.sort();
    }

    /// Takes every line with this name out; comments above it stay.
    pub fn remove(&mut self, name: &str) {
        self.remove_from(name, 0);
        self.sort();
    }

    fn remove_from(&mut self, name: &str, from: usize) {
        let mut carried: Vec<Vec<u8>> = Vec::new();
        let mut kept = Vec::with_capacity(self.entries.len());
        for (place, mut entry) in std::mem::take(&mut self.entries).into_iter().enumerate() {
            if place >= from && same(&entry.name, name) {
                carried.append(&mut entry.above);
            } else {
                entry.above.splice(0..0, carried.drain(..));
                kept.push(entry);
            }
        }
        self.tail.splice(0..0, carried);
        self.entries = kept;
    }

    fn sort(&mut self) {
        // Stable, so that of two lines with one name the later still wins.
        self.entries.sort_by_key(|entry| entry.name.to_ascii_lowercase());
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let line = |out: &mut Vec<u8>, text: &[u8]| {
            out.extend_from_slice(text);
            out.push(b'\n');
        };
        self.head.iter().for_each(|text| line(&mut out, text));
        for entry in &self.entries {
            entry.above.iter().for_each(|text| line(&mut out, text));
            line(&mut out, format!("{}={}", entry.name, entry.value).as_bytes());
        }
        self.tail.iter().for_each(|text| line(&mut out, text));
        out
    }

    /// Reads the file; one that does not exist is blank.
    pub fn read(path: &Path) -> io::Result<(Self, Vec<Problem>)> {
        match fs::read(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Default::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file, so that a crash at any moment leaves the old or the new one whole. A link is followed.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = path.parent().unwrap_or(Path::new("/"));
        let new = directory.join(".DT.conf.new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        if let Ok(old) = fs::metadata(&path) {
            file.set_permissions(old.permissions())?;
        }
        let written = file.write_all(&self.to_bytes()).and_then(|()| file.sync_all());
        let placed = written.and_then(|()| fs::rename(&new, &path));
        if placed.is_err() {
            // The old file stands; what is left of the new one is of no use.
            let _ = fs::remove_file(&new);
        }
        placed?;
        File::open(directory)?.sync_all()
    }
}

fn same(one: &str, other: &str) -> bool {
    let name = |text| table::find(text).map_or(text, |definition| definition.name);
    name(one).eq_ignore_ascii_case(name(other))
}

enum Line {
    Comment,
    Entry(String, String),
    Meaningless(String),
}

fn read_line(line: &[u8]) -> Line {
    let Ok(text) = std::str::from_utf8(line) else {
        let comment = matches!(line.trim_ascii_start().first(), Some(b'#' | b';'));
        return if comment { Line::Comment } else { Line::Meaningless("the line is not UTF-8".into()) };
    };
    let text = text.trim();
    if text.is_empty() || text.starts_with(['#', ';']) {
        return Line::Comment;
    }
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Line::Entry(name.trim().into(), value.trim().into())
        }
        _ => Line::Meaningless("the line is not of the form Name=Value".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changed(text: &str, change: impl FnOnce(&mut Conf)) -> String {
        let (mut conf, _) = Conf::parse(text.as_bytes());
        change(&mut conf);
        String::from_utf8(conf.to_bytes()).unwrap()
    }

    #[test]
    fn a_new_line_takes_its_place_in_the_alphabet() {
        assert_eq!(changed("", |c| c.set("LogDir", "/l")), "LogDir=/l\n");
        assert_eq!(
            changed("ChecksumAll=1\nRemapLink=0", |c| c.set("LogDir", "/l")),
            "ChecksumAll=1\nLogDir=/l\nRemapLink=0\n"
        );
    }

    #[test]
    fn comments_are_kept() {
        let text = "# our settings\n\n# links stay\nRemapLink=0\n; sums\nChecksumAll = 1\nnonsense\n# end\n";
        assert_eq!(
            changed(text, |c| c.set("remaplink", "1")),
            "# our settings\n\n; sums\nChecksumAll=1\n# links stay\nremaplink=1\nnonsense\n# end\n"
        );
        assert_eq!(
            changed(text, |c| c.remove("REMAPLINK")),
            "# our settings\n\n# links stay\n; sums\nChecksumAll=1\nnonsense\n# end\n"
        );
        assert_eq!(
            changed("A=1\n# b\nHBTTL=2\nB=3\nHBTTTL=4\n", |c| c.set("HBTTTL", "5")),
            "A=1\nB=3\n# b\nHBTTTL=5\n"
        );
    }

    #[test]
    fn problems_name_their_line() {
        let (conf, problems) = Conf::parse(b"A=1\r\n\r\n=3\nwhat\n#\xff\n\xff=2\nB=x=y");
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "line 3: the line is not of the form Name=Value",
                "line 4: the line is not of the form Name=Value",
                "line 6: the line is not UTF-8"
            ]
        );
        assert_eq!(conf.entries().collect::<Vec<_>>(), [("A", "1", 1), ("B", "x=y", 7)]);
    }

    #[test]
    fn the_file_is_replaced_as_a_whole_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("DT.conf");
        assert_eq!(Conf::read(&path).unwrap().0, Conf::default());
        fs::write(dir.path().join(".DT.conf.new"), "left by a crash").unwrap();
        let mut conf = Conf::default();
        conf.set("LogDir", "/l");
        conf.write(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"LogDir=/l\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let link = dir.path().join("link.conf");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        conf.set("LogDir", "/m");
        conf.write(&link).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"LogDir=/m\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left over");
    }

    proptest! {
        #[test]
        fn no_line_is_lost(lines in prop::collection::vec("[#;]? ?[A-C]{0,2}=?[a-z ]{0,3}", 0..12)) {
            let text = lines.join("\n");
            let (conf, _) = Conf::parse(text.as_bytes());
            let written = String::from_utf8(conf.to_bytes()).unwrap();
            let plain = |text: &str| text.lines().map(|l| match read_line(l.as_bytes()) {
                Line::Entry(name, value) => format!("{name}={value}"),
                _ => l.to_owned(),
            }).collect::<Vec<_>>();
            prop_assert_eq!(plain(&written), plain(&text));
            let (again, _) = Conf::parse(written.as_bytes());
            prop_assert_eq!(again.to_bytes(), conf.to_bytes());
        }

        #[test]
        fn setting_changes_one_value_only(lines in prop::collection::vec("[#;]?[A-C]{1,2}=[a-z]{0,3}", 0..12)) {
            let (mut conf, _) = Conf::parse(lines.join("\n").as_bytes());
            let value = |conf: &Conf, name: &str| conf.entries().filter(|(n, ..)| *n == name).last().map(|(_, v, _)| v.to_owned());
            let before = conf.clone();
            conf.set("B", "new");
            prop_assert_eq!(value(&conf, "B"), Some("new".to_owned()));
            for name in ["A", "C", "AA", "BB", "CA"] {
                prop_assert_eq!(value(&conf, name), value(&before, name));
            }
            let comments = |conf: &Conf| {
                let text = conf.to_bytes();
                text.split(|&b| b == b'\n').filter(|l| matches!(l.first(), Some(b'#' | b';'))).count()
            };
            prop_assert_eq!(comments(&conf), comments(&before));
        }
    }
}
