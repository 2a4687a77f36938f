//! The command line: which of the invocation forms of language.md 1 was asked for.
//!
//! Options stand before the form. All that follows `-f FILE` is the script's, all that follows a command's first word
//! is the command's.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;

use crate::nearest::nearest;
use crate::service::Listen;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    pub form: Form,
    pub options: Options,
}

/// One of the forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `-i`
    Interactive,
    /// `-f FILE [ARG ...]`
    Script {
        file: Input,
        args: Vec<String>,
    },
    /// `-c "TEXT"`
    Text(String),
    /// `WORD ...`
    Words(Vec<String>),
    /// `--check FILE ...`
    Check(Vec<Input>),
    /// `serve [--listen ADDRESS]`
    Serve(Listen),
    /// `user ...`
    User(UserAct),
    /// `grant ...`
    Grant(GrantAct),
    /// `--complete TEXT`: what could stand at the end of a command's text, for the completion of the user's own shell.
    Complete(String),
    Help,
    Version,
}

/// What is to be done with a user of the home's credential file; passwords come on standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAct {
    Add { name: String, group: String },
    Password { name: String },
    Remove { name: String },
    List,
}

/// What is to be done with what sources on other machines were granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantAct {
    List,
    Remove { id: String },
}

/// Where a script is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Stdin,
    File(PathBuf),
}

/// Options of every form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub json: bool,
    /// How long an embedded engine's connections may go on when the run ends.
    pub drain: Duration,
}

/// Default of `--drain-timeout` (architecture.md 1).
const DRAIN: Duration = Duration::from_secs(60);
/// No run waits longer than a year for its end.
const DRAIN_MAX: u64 = 31_536_000;

const LONG: &[&str] = &[
    "--check",
    "--command",
    "--complete",
    "--drain-timeout",
    "--dry-run",
    "--file",
    "--help",
    "--interactive",
    "--json",
    "--listen",
    "--version",
];

/// A command line that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    #[error("nothing to do")]
    Nothing,
    #[error("unknown option {given}")]
    Unknown { given: String, nearest: Option<&'static str> },
    #[error("option {option} needs {what}")]
    Missing { option: String, what: &'static str },
    #[error("option {option} takes no value")]
    Unexpected { option: String },
    #[error("{0:?} is not UTF-8; DTCL's text is")]
    NotText(OsString),
    #[error("{0} is not a number of seconds from 0 to {DRAIN_MAX}")]
    Seconds(String),
    #[error("{given} cannot follow {form}")]
    Extra { form: &'static str, given: String },
    #[error("{0} is no address to listen on")]
    Listen(String),
    #[error("user takes add NAME GROUP, passwd NAME, remove NAME, or list")]
    User,
    #[error("grant takes list, or remove ID")]
    Grant,
    #[error("--dry-run for scripts is not yet available in this version")]
    DryRun,
}

impl UsageError {
    /// What would be right.
    pub fn help(&self) -> String {
        match self {
            UsageError::Unknown { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            UsageError::Extra { form: "-c TEXT", .. } => "quote the whole text as one argument".into(),
            UsageError::Listen(_) => "--listen 192.0.2.7, --listen 192.0.2.7:1500, or --listen none".into(),
            UsageError::User => {
                "DTCL user add anna dtadmin reads her password from standard input; the groups are dtadmin and dtmon"
                    .into()
            }
            UsageError::Grant => "DTCL grant list shows the IDs, and whose they are".into(),
            UsageError::DryRun => {
                "CONNECT, MIRROR START and VERIFY show with DRYRUN what they would send".into()
            }
            _ => "DTCL --help shows the forms and options".into(),
        }
    }
}

/// A command line that cannot be used, with what was understood before.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejected {
    pub error: UsageError,
    pub json: bool,
}

/// Reads the arguments, without the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Rejected> {
    let mut options = Options { json: false, drain: DRAIN };
    match form(args, &mut options) {
        Ok(form) => Ok(Invocation { form, options }),
        Err(error) => Err(Rejected { error, json: options.json }),
    }
}

fn form(args: impl IntoIterator<Item = OsString>, options: &mut Options) -> Result<Form, UsageError> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut interactive = false;
    loop {
        let Some(arg) = parser.next().map_err(unexpected)? else {
            return if interactive { Ok(Form::Interactive) } else { Err(UsageError::Nothing) };
        };
        match arg {
            Arg::Short('i') | Arg::Long("interactive") => interactive = true,
            Arg::Short('h' | '?') | Arg::Long("help") => return Ok(Form::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Form::Version),
            Arg::Long("json") => options.json = true,
            Arg::Long("dry-run") => return Err(UsageError::DryRun),
            Arg::Long("drain-timeout") => {
                options.drain = seconds(value(&mut parser, "a number of seconds")?)?
            }
            arg if interactive => {
                return Err(UsageError::Extra { form: "-i", given: shown(&arg) });
            }
            Arg::Short('f') | Arg::Long("file") => {
                let file = input(value(&mut parser, "a file, or - for standard input")?);
                let args = rest(&mut parser)?;
                return Ok(Form::Script { file, args });
            }
            Arg::Short('c') | Arg::Long("command") => {
                let text = text(value(&mut parser, "a text")?)?;
                return match rest(&mut parser)?.into_iter().next() {
                    None => Ok(Form::Text(text)),
                    Some(given) => Err(UsageError::Extra { form: "-c TEXT", given }),
                };
            }
            Arg::Long("complete") => return Ok(Form::Complete(text(value(&mut parser, "a text")?)?)),
            Arg::Long("check") => return check(&mut parser, options),
            Arg::Value(word) => {
                let word = text(word)?;
                if word.eq_ignore_ascii_case("serve") {
                    return serve(&mut parser, options);
                }
                let mut words = vec![word];
                words.extend(rest(&mut parser)?);
                if words[0].eq_ignore_ascii_case("user") {
                    return user(&words[1..]);
                }
                if words[0].eq_ignore_ascii_case("grant") {
                    return grant(&words[1..]);
                }
                return Ok(Form::Words(words));
            }
            arg => return Err(unknown(&arg)),
        }
    }
}

/// `serve` and its options.
fn serve(parser: &mut lexopt::Parser, options: &mut Options) -> Result<Form, UsageError> {
    let mut listen = Listen::default();
    while let Some(arg) = parser.next().map_err(unexpected)? {
        match arg {
            Arg::Long("drain-timeout") => options.drain = seconds(value(parser, "a number of seconds")?)?,
            Arg::Long("listen") => {
                let given = text(value(parser, "an address, or none")?)?;
                listen = Listen::parse(&given).ok_or(UsageError::Listen(given))?;
            }
            Arg::Value(_) => return Err(UsageError::Extra { form: "serve", given: shown(&arg) }),
            arg => return Err(unknown(&arg)),
        }
    }
    Ok(Form::Serve(listen))
}

/// What stands behind `user`.
fn user(words: &[String]) -> Result<Form, UsageError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let named = |name: &str| name.to_owned();
    Ok(Form::User(match words[..] {
        ["add", name, group] => UserAct::Add { name: named(name), group: named(group) },
        ["passwd", name] => UserAct::Password { name: named(name) },
        ["remove", name] => UserAct::Remove { name: named(name) },
        ["list"] => UserAct::List,
        _ => return Err(UsageError::User),
    }))
}

/// What stands behind `grant`.
fn grant(words: &[String]) -> Result<Form, UsageError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(Form::Grant(match words[..] {
        ["list"] => GrantAct::List,
        ["remove", id] => GrantAct::Remove { id: id.to_owned() },
        _ => return Err(UsageError::Grant),
    }))
}

fn check(parser: &mut lexopt::Parser, options: &mut Options) -> Result<Form, UsageError> {
    let mut files = Vec::new();
    while let Some(arg) = parser.next().map_err(unexpected)? {
        match arg {
            Arg::Value(file) => files.push(input(file)),
            Arg::Long("json") => options.json = true,
            arg => return Err(unknown(&arg)),
        }
    }
    if files.is_empty() {
        return Err(UsageError::Missing { option: "--check".into(), what: "a file" });
    }
    Ok(Form::Check(files))
}

fn value(parser: &mut lexopt::Parser, what: &'static str) -> Result<OsString, UsageError> {
    parser.value().map_err(|error| match error {
        lexopt::Error::MissingValue { option } => {
            UsageError::Missing { option: option.unwrap_or_default(), what }
        }
        error => unexpected(error),
    })
}

fn rest(parser: &mut lexopt::Parser) -> Result<Vec<String>, UsageError> {
    parser.raw_args().map_err(unexpected)?.map(text).collect()
}

fn input(file: OsString) -> Input {
    if file == OsStr::new("-") { Input::Stdin } else { Input::File(file.into()) }
}

fn text(arg: OsString) -> Result<String, UsageError> {
    arg.into_string().map_err(UsageError::NotText)
}

fn seconds(value: OsString) -> Result<Duration, UsageError> {
    let value = text(value)?;
    match value.parse() {
        Ok(seconds @ 0..=DRAIN_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err(UsageError::Seconds(value)),
    }
}

/// The errors of `Parser::next` itself.
fn unexpected(error: lexopt::Error) -> UsageError {
    match error {
        lexopt::Error::UnexpectedValue { option, .. } => UsageError::Unexpected { option },
        lexopt::Error::NonUnicodeValue(value) => UsageError::NotText(value),
        error => UsageError::Unknown { given: error.to_string(), nearest: None },
    }
}

fn unknown(arg: &Arg<'_>) -> UsageError {
    let given = shown(arg);
    let nearest = nearest(&given, LONG.iter().copied());
    UsageError::Unknown { given, nearest }
}

fn shown(arg: &Arg<'_>) -> String {
    match arg {
        Arg::Short(letter) => format!("-{letter}"),
        Arg::Long(name) => format!("--{name}"),
        Arg::Value(value) => value.to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Form, UsageError> {
        parse(args.iter().map(OsString::from)).map(|i| i.form).map_err(|r| r.error)
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_after_the_file_is_the_scripts() {
        assert_eq!(
            parsed(&["-f", "a.dtcl", "--json", "-i", "--"]),
            Ok(Form::Script { file: Input::File("a.dtcl".into()), args: strings(&["--json", "-i", "--"]) })
        );
        assert_eq!(parsed(&["-f", "-", "x"]), Ok(Form::Script { file: Input::Stdin, args: strings(&["x"]) }));
        assert_eq!(
            parsed(&["-fa.dtcl"]),
            Ok(Form::Script { file: Input::File("a.dtcl".into()), args: vec![] })
        );
    }

    #[test]
    fn all_after_the_first_word_is_the_commands() {
        assert_eq!(parsed(&["write", "-5", "--json"]), Ok(Form::Words(strings(&["write", "-5", "--json"]))));
        assert_eq!(parsed(&["--", "-x"]), Ok(Form::Words(strings(&["-x"]))));
    }

    #[test]
    fn options_stand_before_the_form() {
        let invocation =
            parse(["--json", "--drain-timeout", "5", "-c", "write 1"].map(OsString::from)).unwrap();
        assert_eq!(invocation.form, Form::Text("write 1".into()));
        assert_eq!(invocation.options, Options { json: true, drain: Duration::from_secs(5) });
        let invocation = parse(["-i", "--drain-timeout=0"].map(OsString::from)).unwrap();
        assert_eq!(invocation.form, Form::Interactive);
        assert_eq!(invocation.options.drain, Duration::ZERO);
    }

    #[test]
    fn an_unknown_option_names_the_nearest() {
        assert_eq!(
            parsed(&["--jsn", "-i"]),
            Err(UsageError::Unknown { given: "--jsn".into(), nearest: Some("--json") })
        );
        assert_eq!(parsed(&["-x"]), Err(UsageError::Unknown { given: "-x".into(), nearest: None }));
        assert_eq!(
            parsed(&["--check", "a", "--jon"]),
            Err(UsageError::Unknown { given: "--jon".into(), nearest: Some("--json") })
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert_eq!(parsed(&[]), Err(UsageError::Nothing));
        assert_eq!(parsed(&["--json"]), Err(UsageError::Nothing));
        assert_eq!(parsed(&["--dry-run", "-f", "x"]), Err(UsageError::DryRun));
        assert!(matches!(parsed(&["-f"]), Err(UsageError::Missing { .. })));
        assert!(matches!(parsed(&["--check"]), Err(UsageError::Missing { .. })));
        assert!(matches!(parsed(&["--json=1", "-i"]), Err(UsageError::Unexpected { .. })));
        assert!(matches!(parsed(&["--drain-timeout", "soon", "-i"]), Err(UsageError::Seconds(_))));
        assert!(matches!(parsed(&["-c", "write", "1"]), Err(UsageError::Extra { .. })));
        assert!(matches!(parsed(&["-i", "status"]), Err(UsageError::Extra { .. })));
        use std::os::unix::ffi::OsStringExt as _;
        let word = OsString::from_vec(vec![b'a', 0xff]);
        assert_eq!(parse([word.clone()]).unwrap_err().error, UsageError::NotText(word));
    }

    #[test]
    fn users_are_added_and_taken_away() {
        let add = UserAct::Add { name: "anna".into(), group: "dtmon".into() };
        assert_eq!(parsed(&["user", "add", "anna", "dtmon"]), Ok(Form::User(add)));
        assert_eq!(parsed(&["user", "list"]), Ok(Form::User(UserAct::List)));
        for bad in
            [&["user"][..], &["user", "add", "anna"], &["user", "list", "x"], &["user", "drop", "anna"]]
        {
            assert_eq!(parsed(bad), Err(UsageError::User), "{bad:?}");
        }
    }

    #[test]
    fn grants_are_listed_and_taken_back() {
        assert_eq!(parsed(&["grant", "list"]), Ok(Form::Grant(GrantAct::List)));
        let remove = GrantAct::Remove { id: "ab".into() };
        assert_eq!(parsed(&["grant", "remove", "ab"]), Ok(Form::Grant(remove)));
        for bad in [&["grant"][..], &["grant", "remove"], &["grant", "list", "x"], &["grant", "drop", "x"]] {
            assert_eq!(parsed(bad), Err(UsageError::Grant), "{bad:?}");
        }
    }

    #[test]
    fn a_service_takes_its_own_options() {
        assert_eq!(parsed(&["serve"]), Ok(Form::Serve(Listen::Everywhere)));
        assert_eq!(parsed(&["serve", "--listen", "none"]), Ok(Form::Serve(Listen::Nowhere)));
        assert_eq!(parsed(&["serve", "--listen", "beta"]), Err(UsageError::Listen("beta".into())));
        let invocation = parse(["serve", "--drain-timeout", "5"].map(OsString::from)).unwrap();
        assert_eq!(invocation.options.drain, Duration::from_secs(5));
        assert!(matches!(parsed(&["serve", "now"]), Err(UsageError::Extra { form: "serve", .. })));
        assert!(matches!(parsed(&["serve", "--loud"]), Err(UsageError::Unknown { .. })));
    }
}
