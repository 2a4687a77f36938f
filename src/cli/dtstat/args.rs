//! DTStat's command line (reference-guide.md 3.2): one dash, letters of either case, as in the original.

use super::EACH;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub const HELP: &str = "\
DTStat, the statistics of the service: on the screen, and in files.

Usage:
  DTStat [-p] [-i SECONDS] [-l LEVEL] [-t FILE] [-f FILE] [-s FILE] [-st FILE] [-IP ADDRESS[,ADDRESS]...]
         [-Start MM/DD/YYYY HH:MM] [-Stop MM/DD/YYYY HH:MM] [-Server ADDRESS PORT]

Without options the running service of this machine is read once a second. What has not moved since is not shown
again. Letters of either case will do.

Options:
  -p                       print nothing on the screen
  -i SECONDS               read the service at this interval (1)
  -l LEVEL                 1 what is common to all connections; 2 also targets, source and connections (default);
                           3 also how far each target lags behind, and when its mirror began and ended
  -t FILE                  save what is read in a binary file
  -f FILE                  read a binary file, as -t, STATLOG and the null target write it, not the service
  -s FILE                  write the connections' statistics, comma separated
  -st FILE                 write the targets' statistics, comma separated
  -IP ADDRESS[,ADDRESS]    only targets and connections with these addresses
  -Start MM/DD/YYYY HH:MM  nothing before
  -Stop MM/DD/YYYY HH:MM   nothing after; a service is read no longer then
  -Server ADDRESS PORT     read the service of another machine, at its StatsPort (1506); DTCL_USER names the
                           user that logs in there, DTCL_PASSWORD_FILE a file with the password
  -h                       this page

Exit status:
  0 all well                   3 no access
  1 a file cannot be used      4 no service answers
  2 usage                      6 stopped by a signal
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    Run(Box<Options>),
    Help,
    Version,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    pub quiet: bool,
    pub interval: Duration,
    pub level: u8,
    /// Files: -t, -f, -s, -st.
    pub to: Option<PathBuf>,
    pub from: Option<PathBuf>,
    pub connections: Option<PathBuf>,
    pub targets: Option<PathBuf>,
    pub addresses: Option<Vec<String>>,
    /// Milliseconds since 1970.
    pub start: Option<i64>,
    pub stop: Option<i64>,
    /// Address and port, as a machine is named.
    pub server: Option<String>,
}

/// A command line that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("unknown option {0}")]
    Unknown(String),
    #[error("{option} needs {what}")]
    Missing { option: &'static str, what: &'static str },
    #[error("{option} was given twice")]
    Twice { option: &'static str },
    #[error("{given} is not {what}")]
    Value { given: String, what: &'static str },
    /// 114.
    #[error("{0} is not a date and a time")]
    Date(String),
    #[error("{0} and {1} exclude each other")]
    Both(&'static str, &'static str),
    #[error("-p without -t, -s or -st shows nothing and keeps nothing")]
    Nothing,
    #[error("{0:?} is not UTF-8")]
    NotText(OsString),
}

impl Wrong {
    pub fn help(&self) -> String {
        match self {
            Wrong::Date(_) => "-Start 02/28/2027 09:25, in local time".to_owned(),
            Wrong::Both("-i", _) => "a file is read once".to_owned(),
            _ => "DTStat -h shows the options".to_owned(),
        }
    }
}

/// Reads the arguments, without the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Wanted, Wrong> {
    let (mut quiet, mut interval, mut level) = (false, None, None);
    let (mut to, mut from, mut connections, mut targets) = (None, None, None, None);
    let (mut addresses, mut start, mut stop, mut server) = (None, None, None, None);
    let mut rest = args.into_iter();
    while let Some(arg) = rest.next() {
        let given = text(arg)?;
        match given.to_ascii_lowercase().as_str() {
            "-p" => quiet = true,
            "-i" => once(
                "-i",
                &mut interval,
                number(&mut rest, "-i", "a number of seconds from 1 to 86400", 86_400)?,
            )?,
            "-l" => once("-l", &mut level, number(&mut rest, "-l", "a level from 1 to 3", 3)?)?,
            "-t" => once("-t", &mut to, file(&mut rest, "-t")?)?,
            "-f" => once("-f", &mut from, file(&mut rest, "-f")?)?,
            "-s" => once("-s", &mut connections, file(&mut rest, "-s")?)?,
            "-st" => once("-st", &mut targets, file(&mut rest, "-st")?)?,
            "-ip" => {
                let list = next(&mut rest, "-IP", "addresses")?;
                let list = list.split(',').map(|address| address.trim().to_owned());
                let list = list.map(|address| match address.parse::<std::net::IpAddr>() {
                    Ok(address) => Ok(address.to_canonical().to_string()),
                    // The null target has a name in place of one.
                    Err(_) if address.eq_ignore_ascii_case("TDU") => Ok("TDU".to_owned()),
                    Err(_) => Err(Wrong::Value { given: address, what: "an IP address" }),
                });
                once("-IP", &mut addresses, list.collect::<Result<_, _>>()?)?;
            }
            "-start" => once("-Start", &mut start, moment(&mut rest, "-Start")?)?,
            // What is in the minute that is named is not after it.
            "-stop" => once("-Stop", &mut stop, moment(&mut rest, "-Stop")? + 59_999)?,
            "-server" => {
                let address = next(&mut rest, "-Server", "an address and a port")?;
                let port = next(&mut rest, "-Server", "an address and a port")?;
                if port.parse::<u16>().is_ok_and(|port| port > 0) {
                    let address = if address.contains(':') { format!("[{address}]") } else { address };
                    once("-Server", &mut server, format!("{address}:{port}"))?;
                } else {
                    return Err(Wrong::Value { given: port, what: "a port" });
                }
            }
            "-h" | "-?" | "--help" => return Ok(Wanted::Help),
            "--version" => return Ok(Wanted::Version),
            _ => return Err(Wrong::Unknown(given)),
        }
    }
    if from.is_some() && server.is_some() {
        return Err(Wrong::Both("-f", "-Server"));
    }
    if from.is_some() && interval.is_some() {
        return Err(Wrong::Both("-i", "-f"));
    }
    if quiet && to.is_none() && connections.is_none() && targets.is_none() {
        return Err(Wrong::Nothing);
    }
    Ok(Wanted::Run(Box::new(Options {
        quiet,
        interval: interval.map_or(EACH, Duration::from_secs),
        level: level.map_or(2, |level: u64| level as u8),
        to,
        from,
        connections,
        targets,
        addresses,
        start,
        stop,
        server,
    })))
}

fn once<T>(option: &'static str, slot: &mut Option<T>, value: T) -> Result<(), Wrong> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Wrong::Twice { option }),
    }
}

fn text(arg: OsString) -> Result<String, Wrong> {
    arg.into_string().map_err(Wrong::NotText)
}

fn next(
    rest: &mut impl Iterator<Item = OsString>,
    option: &'static str,
    what: &'static str,
) -> Result<String, Wrong> {
    text(rest.next().ok_or(Wrong::Missing { option, what })?)
}

fn file(rest: &mut impl Iterator<Item = OsString>, option: &'static str) -> Result<PathBuf, Wrong> {
    let named = rest.next().filter(|name| !name.is_empty());
    named.map(PathBuf::from).ok_or(Wrong::Missing { option, what: "a file" })
}

fn number(
    rest: &mut impl Iterator<Item = OsString>,
    option: &'static str,
    what: &'static str,
    most: u64,
) -> Result<u64, Wrong> {
    let given = next(rest, option, what)?;
    match given.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(Wrong::Value { given, what }),
    }
}

/// Date and time as two words, as one with a blank, or, as the guide prints it, without. In local time.
fn moment(rest: &mut impl Iterator<Item = OsString>, option: &'static str) -> Result<i64, Wrong> {
    const WHAT: &str = "a date and a time";
    let mut given = next(rest, option, WHAT)?;
    if given.len() <= "mm/dd/yyyy".len() {
        given = format!("{given} {}", next(rest, option, WHAT)?);
    }
    let parsed = DateTime::strptime("%m/%d/%Y %H:%M", &given)
        .or_else(|_| DateTime::strptime("%m/%d/%Y%H:%M", &given))
        .and_then(|at| at.to_zoned(TimeZone::system()));
    match parsed {
        Ok(at) => Ok(at.timestamp().as_millisecond()),
        Err(_) => Err(Wrong::Date(given)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Wanted, Wrong> {
        parse(words.split_whitespace().map(OsString::from))
    }

    fn options(words: &str) -> Options {
        match parsed(words) {
            Ok(Wanted::Run(options)) => *options,
            other => panic!("{words}: {other:?}"),
        }
    }

    /// The examples of reference-guide.md 3.2.
    #[test]
    fn options_are_read_whatever_their_case() {
        let run = options("-p -f run7.sts -s run7.csv");
        assert!(
            run.quiet && run.from == Some("run7.sts".into()) && run.connections == Some("run7.csv".into())
        );
        let far = options("-server 127.0.0.1 1506 -i 5");
        assert_eq!((far.server.as_deref(), far.interval.as_secs()), (Some("127.0.0.1:1506"), 5));
        let all = options("-L 3 -T a -S b -ST c -IP 127.0.0.2,::ffff:10.0.0.1,tdu -SERVER ::1 1506");
        assert_eq!((all.level, all.to, all.targets), (3, Some("a".into()), Some("c".into())));
        assert_eq!(all.addresses.unwrap(), ["127.0.0.2", "10.0.0.1", "TDU"]);
        assert_eq!(all.server.as_deref(), Some("[::1]:1506"));
        let none = options("");
        assert_eq!((none.level, none.interval.as_secs(), none.quiet), (2, 1, false));
    }

    #[test]
    fn a_moment_has_a_blank_or_none() {
        let start = options("-start 02/02/2007 09:25").start.unwrap();
        assert_eq!(options("-START 02/02/200709:25").start, Some(start));
        assert_eq!(options("-stop 02/02/2007 09:25").stop, Some(start + 59_999), "the whole minute");
        let quoted = parse(["-Start".into(), OsString::from("02/02/2007 09:25")]);
        assert!(matches!(quoted, Ok(Wanted::Run(options)) if options.start == Some(start)));
        assert_eq!(parsed("-start 02/30/2007 09:25"), Err(Wrong::Date("02/30/2007 09:25".into())));
        assert!(matches!(parsed("-start 02/02/2007"), Err(Wrong::Missing { option: "-Start", .. })));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in ["-x", "file", "-i 0", "-i", "-l 4", "-ip beta", "-server a", "-server a 0", "-t a -t b"]
        {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parsed("-f a -server b 1"), Err(Wrong::Both("-f", "-Server")));
        assert_eq!(parsed("-f a -i 5"), Err(Wrong::Both("-i", "-f")));
        assert_eq!(parsed("-p"), Err(Wrong::Nothing));
        assert_eq!(parsed("-H"), Ok(Wanted::Help));
    }
}
