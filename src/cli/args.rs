//! The command line: which of the invocation forms of language.md 1 was asked for.
//!
//! Options stand before the form. All that follows `-f FILE` is the script's, all that follows a command's first word
//! is the command's.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;

use crate::engine::tasks::HOOK;
use crate::lang;
use crate::nearest::nearest;
use crate::runtime::{BadLimit, Limit, Limits};
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
    /// `fmt [--check] [FILE ...]`
    Format {
        files: Vec<Input>,
        check: bool,
    },
    /// `lsp [--stdio]`
    LanguageServer,
    /// `serve [--listen ADDRESS]`
    Serve(Listen),
    /// `user ...`
    User(UserAct),
    /// `grant ...`
    Grant(GrantAct),
    /// `task-hook FILE [ARG ...]`: how an engine runs a task that is written in Rhai; not for people.
    TaskHook {
        file: String,
        args: Vec<String>,
    },
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
    Remove {
        id: String,
    },
    /// Whether its source may run tasks here.
    Tasks {
        id: String,
        allowed: bool,
    },
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
    /// What a call into a Rhai module may do.
    pub limits: Limits,
    pub batch: Batch,
}

/// Options of scripts, texts and commands that nobody watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// One run at a time holds this file.
    pub lock: Option<PathBuf>,
    /// All that is printed and said is written behind it.
    pub log: Option<PathBuf>,
    /// Each command is said before it runs.
    pub verbose: bool,
    /// Nothing is printed on standard output.
    pub quiet: bool,
    /// Nothing is changed: what would be done is printed.
    pub dry_run: bool,
    /// How long the run may take.
    pub timeout: Option<Duration>,
    /// Variables that are assigned before the script begins: name and text.
    pub variables: Vec<(String, String)>,
    /// The last of them that was given, for the message that it does not belong here.
    given: Option<&'static str>,
}

/// Default of `--drain-timeout` (architecture.md 1).
const DRAIN: Duration = Duration::from_secs(60);
/// No run waits longer than a year for its end.
const DRAIN_MAX: u64 = 31_536_000;

pub(super) const LONG: &[&str] = &[
    "--check",
    "--command",
    "--complete",
    "--drain-timeout",
    "--dry-run",
    "--file",
    "--help",
    "--interactive",
    "--json",
    "--limit",
    "--listen",
    "--lock",
    "--log",
    "--quiet",
    "--timeout",
    "--var",
    "--verbose",
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
    #[error("{0} is not a number of seconds from 1 to {DRAIN_MAX}")]
    Timeout(String),
    #[error("{option} is for scripts and commands, not for {form}")]
    Batch { option: &'static str, form: &'static str },
    #[error("-v and -q exclude each other")]
    Loud,
    #[error("{0} is not NAME=VALUE with a variable's name")]
    Variable(String),
    #[error("${0} is set by the interpreter and cannot be assigned")]
    ReadOnly(String),
    #[error("{given} sets no limit: {}", limit_problem(.problem))]
    Limit { given: String, problem: BadLimit },
    #[error("{given} cannot follow {form}")]
    Extra { form: &'static str, given: String },
    #[error("{0} is no address to listen on")]
    Listen(String),
    #[error("user takes add NAME GROUP, passwd NAME, remove NAME, or list")]
    User,
    #[error("grant takes list, remove ID, or tasks ID on|off")]
    Grant,
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
            UsageError::Limit { problem: BadLimit::Range(_), .. } | UsageError::Limit { problem: BadLimit::Form, .. } => {
                "--limit operations=50000000, --limit time=300".into()
            }
            UsageError::Limit { problem: BadLimit::Unknown(name), .. } => {
                let names = Limit::ALL.map(Limit::name);
                match nearest(name, names.into_iter()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("the limits are {}", names.join(", ")),
                }
            }
            UsageError::Variable(_) => {
                "--var set=payroll makes $set; letters, digits and _, not beginning with a digit".into()
            }
            UsageError::ReadOnly(_) => "choose another name".into(),
            UsageError::Batch { .. } => "it stands before -f FILE, -c TEXT or a command's words".into(),
            UsageError::Loud => "-v says each command, -q prints nothing".into(),
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
    let mut options =
        Options { json: false, drain: DRAIN, limits: Limits::default(), batch: Batch::default() };
    match form(args, &mut options).and_then(|form| fitting(form, &options.batch)) {
        Ok(form) => Ok(Invocation { form, options }),
        Err(error) => Err(Rejected { error, json: options.json }),
    }
}

/// Batch options belong to runs of scripts and commands; `--var` to `--check` too.
fn fitting(form: Form, batch: &Batch) -> Result<Form, UsageError> {
    if batch.verbose && batch.quiet {
        return Err(UsageError::Loud);
    }
    let name = match &form {
        Form::Script { .. } | Form::Text(_) | Form::Words(_) => return Ok(form),
        Form::Interactive => "-i",
        Form::Check(_) => "--check",
        Form::Format { .. } => "fmt",
        Form::LanguageServer => "lsp",
        Form::Serve(_) => "serve",
        Form::User(_) => "user",
        Form::Grant(_) => "grant",
        Form::TaskHook { .. } => "task-hook",
        Form::Complete(_) => "--complete",
        Form::Help | Form::Version => return Ok(form),
    };
    match batch.given {
        Some("--var") if matches!(form, Form::Check(_)) => Ok(form),
        Some(option) => Err(UsageError::Batch { option, form: name }),
        None => Ok(form),
    }
}

/// One of the batch options.
fn batch(parser: &mut lexopt::Parser, given: &'static str, batch: &mut Batch) -> Result<(), UsageError> {
    match given {
        "--lock" => batch.lock = Some(value(parser, "a file")?.into()),
        "--log" => batch.log = Some(value(parser, "a file")?.into()),
        "--verbose" => batch.verbose = true,
        "--quiet" => batch.quiet = true,
        "--dry-run" => batch.dry_run = true,
        "--timeout" => batch.timeout = Some(timeout(value(parser, "a number of seconds")?)?),
        _ => batch.variables.push(variable(text(value(parser, "NAME=VALUE")?)?)?),
    }
    // `--var` fits one form more than the others.
    if given != "--var" || batch.given.is_none() {
        batch.given = Some(given);
    }
    Ok(())
}

fn timeout(value: OsString) -> Result<Duration, UsageError> {
    let value = text(value)?;
    match value.parse() {
        Ok(seconds @ 1..=DRAIN_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err(UsageError::Timeout(value)),
    }
}

fn variable(given: String) -> Result<(String, String), UsageError> {
    let Some((name, text)) = given.split_once('=') else { return Err(UsageError::Variable(given)) };
    let name = name.strip_prefix('$').unwrap_or(name);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()) {
        return Err(UsageError::Variable(given));
    }
    if lang::is_read_only(name) {
        return Err(UsageError::ReadOnly(name.to_owned()));
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(UsageError::Variable(given));
    }
    Ok((name.to_owned(), text.to_owned()))
}

fn limit_problem(problem: &BadLimit) -> String {
    match problem {
        BadLimit::Form => "it is not NAME=NUMBER".to_owned(),
        BadLimit::Unknown(name) => format!("there is no limit {name}"),
        BadLimit::Range(limit) => format!("{} is from 1 to {} {}", limit.name(), limit.most(), limit.unit()),
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
            Arg::Long("dry-run") => batch(&mut parser, "--dry-run", &mut options.batch)?,
            Arg::Long("drain-timeout") => {
                options.drain = seconds(value(&mut parser, "a number of seconds")?)?
            }
            Arg::Long("limit") => {
                let given = text(value(&mut parser, "NAME=NUMBER")?)?;
                options.limits.set(&given).map_err(|problem| UsageError::Limit { given, problem })?;
            }
            Arg::Long("lock") => batch(&mut parser, "--lock", &mut options.batch)?,
            Arg::Long("log") => batch(&mut parser, "--log", &mut options.batch)?,
            Arg::Short('v') | Arg::Long("verbose") => batch(&mut parser, "--verbose", &mut options.batch)?,
            Arg::Short('q') | Arg::Long("quiet") => batch(&mut parser, "--quiet", &mut options.batch)?,
            Arg::Long("timeout") => batch(&mut parser, "--timeout", &mut options.batch)?,
            Arg::Long("var") => batch(&mut parser, "--var", &mut options.batch)?,
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
                if word.eq_ignore_ascii_case("lsp") {
                    return language_server(&mut parser);
                }
                if word.eq_ignore_ascii_case("fmt") {
                    return format(&mut parser, options);
                }
                let mut words = vec![word];
                words.extend(rest(&mut parser)?);
                if words[0].eq_ignore_ascii_case("user") {
                    return user(&words[1..]);
                }
                if words[0] == HOOK && words.len() > 1 {
                    let file = words.remove(1);
                    return Ok(Form::TaskHook { file, args: words.split_off(1) });
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

/// `fmt`, its options and files; without a file it is a filter.
fn format(parser: &mut lexopt::Parser, options: &mut Options) -> Result<Form, UsageError> {
    let (mut files, mut check) = (Vec::new(), false);
    while let Some(arg) = parser.next().map_err(unexpected)? {
        match arg {
            Arg::Value(file) => files.push(input(file)),
            Arg::Long("check") => check = true,
            Arg::Long("json") => options.json = true,
            arg => return Err(unknown(&arg)),
        }
    }
    if files.is_empty() {
        files.push(Input::Stdin);
    }
    Ok(Form::Format { files, check })
}

/// `lsp`: editors say `--stdio`, which is the only way there is.
fn language_server(parser: &mut lexopt::Parser) -> Result<Form, UsageError> {
    while let Some(arg) = parser.next().map_err(unexpected)? {
        match arg {
            Arg::Long("stdio") => {}
            Arg::Value(_) => return Err(UsageError::Extra { form: "lsp", given: shown(&arg) }),
            arg => return Err(unknown(&arg)),
        }
    }
    Ok(Form::LanguageServer)
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
        ["tasks", id, "on"] => GrantAct::Tasks { id: id.to_owned(), allowed: true },
        ["tasks", id, "off"] => GrantAct::Tasks { id: id.to_owned(), allowed: false },
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
        assert!(invocation.options.json);
        assert_eq!(invocation.options.drain, Duration::from_secs(5));
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
        let rehearsal = parse(["--dry-run", "-f", "x"].map(OsString::from)).unwrap();
        assert!(rehearsal.options.batch.dry_run);
        assert_eq!(
            parsed(&["--dry-run", "-i"]),
            Err(UsageError::Batch { option: "--dry-run", form: "-i" }),
            "at a prompt DRYRUN and the status of things tell"
        );
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
    fn batch_options_stand_before_scripts_and_commands() {
        let given = ["--lock", "l", "--log", "o", "-v", "--timeout", "5", "--var", "set=a=b", "--var", "$x="];
        let parse = |rest: &[&str]| parse(given.iter().chain(rest).map(OsString::from));
        let batch = parse(&["--limit", "time=7", "-f", "x", "--timeout"]).unwrap().options;
        assert_eq!(batch.limits.time, Duration::from_secs(7));
        let batch = batch.batch;
        assert_eq!((batch.lock, batch.log), (Some("l".into()), Some("o".into())));
        assert_eq!((batch.verbose, batch.quiet, batch.timeout), (true, false, Some(Duration::from_secs(5))));
        assert_eq!(batch.variables, [("set".into(), "a=b".into()), ("x".into(), String::new())]);
        assert_eq!(parse(&["-i"]).unwrap_err().error, UsageError::Batch { option: "--timeout", form: "-i" });
        assert!(parsed(&["--var", "a=1", "--check", "x"]).is_ok());
        assert!(parsed(&["--var", "a=1", "-q", "--check", "x"]).is_err());
        assert_eq!(parsed(&["-v", "-q", "-c", "x"]), Err(UsageError::Loud));
        assert_eq!(parsed(&["--timeout", "0", "-c", "x"]), Err(UsageError::Timeout("0".into())));
        for bad in ["a", "=1", "a b=1", "a-b=1"] {
            assert_eq!(parsed(&["--var", bad, "-c", "x"]), Err(UsageError::Variable(bad.into())));
        }
        for own in ["result=1", "1=x"] {
            assert!(matches!(parsed(&["--var", own, "-c", "x"]), Err(UsageError::ReadOnly(_))), "{own}");
        }
    }

    #[test]
    fn limits_are_set_or_the_nearest_is_named() {
        let refused = |text: &str| parsed(&["--limit", text, "-c", "x"]).unwrap_err();
        let unknown = refused("operatons=5");
        assert_eq!(unknown.to_string(), "operatons=5 sets no limit: there is no limit operatons");
        assert_eq!(unknown.help(), "did you mean operations?");
        assert!(
            refused("depth=9999").to_string().ends_with("depth is from 1 to 200 calls inside each other")
        );
        assert!(refused("depth").to_string().ends_with("it is not NAME=NUMBER"));
        assert!(parsed(&["-i", "--limit", "time=5"]).is_ok());
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
