//! `LogViewer`: the log of an engine, or a file of one, and each line that is added, until Ctrl-C (reference-guide.md 2.4).
//!
//! It reads files and asks no engine, so it works while none runs. Options are one word behind one dash, in any case of letters.

use crate::api::{IdRange, LogFilter, LogFrom, LogLine};
use crate::engine::home::Home;
use crate::engine::log::{self, LogReader};
use crate::engine::settings::Settings;
use crate::sys::signal::{self, Manner};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the tool, and the word that asks for it.
const NAME: &str = "LogViewer";
/// How often it looks for new lines.
const LOOK: Duration = Duration::from_millis(200);

pub const HELP: &str = "\
LogViewer, the log of a Double-Take engine: all of it, then each line that is added, until Ctrl-C.

Usage:
  LogViewer [-PATH FILE] [-TYPE 1|2] [-INCLUDE LIST] [-EXCLUDE LIST]
            [-NODATE] [-NOTIME] [-NOPID] [-NOTID] [-NOSEQ] [-NOTYPE] [-NOID] [-HELP]
  DTCL logviewer ...                   the same

  -PATH FILE      that file; otherwise the log of this home, over all its files
  -TYPE 1         warnings and errors; 2, the default: information too
  -INCLUDE LIST   only messages with these IDs
  -EXCLUDE LIST   all but these
                  a list is IDs and ranges with commas between them and no blanks: 300,510-590
  -NODATE -NOTIME -NOPID -NOTID -NOSEQ -NOTYPE -NOID
                  leave that column out
  -HELP           this page
";

/// The columns before the text, by the options that leave them out.
const COLUMNS: [&str; 7] = ["-NODATE", "-NOTIME", "-NOPID", "-NOTID", "-NOSEQ", "-NOTYPE", "-NOID"];

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    path: Option<PathBuf>,
    filter: LogFilter,
    /// Columns that are left out, as they stand in [`COLUMNS`].
    without: [bool; COLUMNS.len()],
    help: bool,
}

/// The options, if the program was called by this name, or asked for this tool. `args`: with the program's own name.
pub fn asked(args: impl IntoIterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut args = args.into_iter();
    let is_named = |arg: &OsString| arg.to_string_lossy().eq_ignore_ascii_case(NAME);
    let name = args.next()?;
    if Path::new(&name).file_name().is_some_and(|name| is_named(&name.to_owned())) {
        return Some(args.collect());
    }
    let first = args.next()?;
    is_named(&first).then(|| args.collect())
}

/// Runs until Ctrl-C. Gives the exit status.
pub fn run(options: Vec<OsString>) -> i32 {
    let said = |status: i32, message: &str, help: &str| {
        // Nobody can be told that standard error is gone.
        let _ = writeln!(std::io::stderr(), "error: {message}\n  = help: {help}");
        status
    };
    let wanted = match wanted(options) {
        Ok(wanted) => wanted,
        Err(message) => return said(2, &message, "LogViewer -HELP shows the options"),
    };
    let mut out = std::io::stdout().lock();
    if wanted.help {
        return i32::from(out.write_all(HELP.as_bytes()).is_err());
    }
    let reader = match &wanted.path {
        Some(path) => LogReader::file(path),
        None => {
            let settings = Home::find().map_err(Into::into).and_then(|home| Settings::load(&home));
            match settings {
                Ok((settings, _)) => log::reader(&settings.log()),
                Err(error) => return said(1, &error.message, "-PATH names a file of a log"),
            }
        }
    };
    signal::set_manner(Manner::Request);
    let mut from = LogFrom::Last(u64::MAX);
    loop {
        let part = match reader.read(from, &wanted.filter) {
            Ok(part) => part,
            Err(error) => {
                let of = wanted
                    .path
                    .as_ref()
                    .map_or_else(|| "the log".to_owned(), |path| path.display().to_string());
                return said(1, &format!("{of} cannot be read: {error}"), "-PATH names a file of a log");
            }
        };
        let text: String = part.lines.iter().map(|line| row(line, &wanted.without)).collect();
        // Whoever read it has had enough.
        if !text.is_empty() && out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return 0;
        }
        if let Some(next) = part.next {
            from = LogFrom::Place(next);
        }
        if signal::stop_requested() {
            return 0;
        }
        if !part.more {
            std::thread::sleep(LOOK);
        }
    }
}

fn wanted(options: Vec<OsString>) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    let mut options = options.into_iter();
    while let Some(option) = options.next() {
        let name = option.to_string_lossy().to_ascii_uppercase();
        let mut value = |what: &str| options.next().ok_or_else(|| format!("{name} needs {what}"));
        let text = |value: OsString| value.to_string_lossy().into_owned();
        match name.as_str() {
            "-PATH" => wanted.path = Some(value("a file")?.into()),
            "-TYPE" => match text(value("1 or 2")?).as_str() {
                "1" => wanted.filter.alerts = true,
                "2" => wanted.filter.alerts = false,
                other => return Err(format!("{other} is no type; -TYPE takes 1 or 2")),
            },
            "-INCLUDE" => wanted.filter.include = list(&text(value("a list")?))?,
            "-EXCLUDE" => wanted.filter.exclude = list(&text(value("a list")?))?,
            "-HELP" => wanted.help = true,
            name => match COLUMNS.iter().position(|column| *column == name) {
                Some(column) => wanted.without[column] = true,
                None => return Err(format!("there is no option {}", option.to_string_lossy())),
            },
        }
    }
    Ok(wanted)
}

fn list(text: &str) -> Result<Vec<IdRange>, String> {
    let range = |part: &str| {
        IdRange::parse(part).ok_or_else(|| format!("{part:?} is no ID and no range such as 510-590"))
    };
    text.split(',').map(range).collect()
}

/// A line as it stands in the file, without the columns that are not wanted.
fn row(line: &LogLine, without: &[bool; COLUMNS.len()]) -> String {
    let columns = [
        line.date.clone(),
        line.time.clone(),
        line.process.to_string(),
        line.thread.to_string(),
        line.sequence.to_string(),
        line.kind.to_string(),
        line.id.to_string(),
    ];
    let mut row = String::new();
    for (column, _) in columns.iter().zip(without).filter(|(_, without)| !**without) {
        row.push_str(column);
        row.push(' ');
    }
    // A file that somebody sent may hold anything.
    row.push_str(&log::one_line(&line.text));
    row.push('\n');
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn it_is_asked_for_by_name_or_by_word() {
        assert_eq!(asked(words("/usr/bin/LogViewer -help")), Some(words("-help")));
        assert_eq!(asked(words("DTCL logviewer -type 1")), Some(words("-type 1")));
        for other in ["", "DTCL", "DTCL status", "DTCL status logviewer", "/opt/LogViewer/DTCL -i"] {
            assert_eq!(asked(words(other)), None, "{other}");
        }
    }

    #[test]
    fn options_are_the_guides_in_any_case() {
        let wanted = |text: &str| super::wanted(words(text));
        let range = |first, last| IdRange { first, last };
        let given = wanted("-type 1 -exclude 300,510-590").unwrap();
        assert!(given.filter.alerts && given.filter.include.is_empty());
        assert_eq!(given.filter.exclude, [range(300, 300), range(510, 590)]);
        let given = wanted("-PATH /a -INCLUDE 4007 -NoDate -NOID -TYPE 2").unwrap();
        assert_eq!(given.path, Some("/a".into()));
        assert_eq!(given.without, [true, false, false, false, false, false, true]);
        for (wrong, says) in [
            ("-type 3", "3 is no type"),
            ("-include 5,", "\"\" is no ID"),
            ("-include", "-INCLUDE needs a list"),
            ("-nothing", "there is no option -nothing"),
            ("file", "there is no option file"),
        ] {
            assert!(wanted(wrong).unwrap_err().contains(says), "{wrong}");
        }
    }

    #[test]
    fn columns_can_be_left_out_and_what_a_file_holds_breaks_no_terminal() {
        let line = LogLine::parse("05/14/2024 08:31:07.1250 77 2244 5 1 4110 a\u{1b}[0m \\n").unwrap();
        let all = [false; COLUMNS.len()];
        assert_eq!(row(&line, &all), "05/14/2024 08:31:07.1250 77 2244 5 1 4110 a\\x1b[0m \\n\n");
        for (column, expected) in [(0, "08:31"), (6, "05/14/2024 08:31:07.1250 77 2244 5 1 a")] {
            let mut without = all;
            without[column] = true;
            assert!(row(&line, &without).starts_with(expected));
        }
        assert_eq!(row(&line, &[true; COLUMNS.len()]), "a\\x1b[0m \\n\n");
    }
}
