//! What `--help` and `--version` print, and how a wrong command line is told.

use super::args::{Rejected, UsageError};

/// The invocation forms (language.md 1).
pub const HELP: &str = "\
DTCL, the Double-Take Command Language: replication sets, connections, mirror and verify.

Usage:
  DTCL [OPTION ...] -i                    interactive shell
  DTCL [OPTION ...] -f FILE [ARG ...]     run a script; - reads standard input
  DTCL [OPTION ...] -c \"TEXT\"             run the text as a script
  DTCL [OPTION ...] WORD ...              run the words as one command, e.g. DTCL status con 1
  DTCL --check [--json] FILE ...          parse and check scripts, run nothing
  DTCL fmt [--check] [--json] [FILE ...]  format scripts in place, standard input (-, or no FILE) to standard
                                          output; --check lists those that are not formatted
  DTCL lsp                                language server for editors, on standard input and output
  DTCL serve [--listen ADDRESS|none] [--drain-timeout SECONDS]
                                          run the service of this home until SIGTERM or SHUTDOWN
  DTCL user add NAME GROUP | passwd NAME | remove NAME | list
                                          users that log in with a password kept in this home
  DTCL dtstat [OPTION ...]                statistics, as under the name DTStat; -h shows its options
  DTCL grant list | remove ID | tasks ID on|off
                                          what sources on other machines may send here, and whether they may
                                          run tasks
  DTCL logviewer [-HELP]                  the log of this home, as the name LogViewer shows it

Options:
  -i, --interactive            the interactive shell
  -f, --file FILE              the script; all that follows is the script's ($1, $2, ...)
  -c, --command TEXT           the script's text
      --check                  report every error and warning of the files
      --complete TEXT          what could follow in a command, one a line, for the completion of your shell
      --json                   results as one JSON document per command, messages as JSON
      --lock FILE              one run at a time: a second one ends with status 1 and says who holds FILE
      --log FILE               append all that is printed and said, with date, time and process
      --dry-run                run against a copy of the machines' state: nothing is changed, what would be done
                               is printed
  -v, --verbose                say each command on standard error before it runs
  -q, --quiet                  print nothing on standard output; errors are said
      --timeout SECONDS        end the run, whatever it does, after so long
      --var NAME=VALUE         assign $NAME before the script begins
      --limit NAME=NUMBER      what one call into a Rhai module may do: operations (10000000), depth (64),
                               string (1048576 bytes), list (10000), map (10000), time (30 seconds),
                               memory (512 MiB)
      --drain-timeout SECONDS  how long connections of this run may go on at its end (60)
  -h, --help                   this page
  -V, --version                the version

Exit status:
  0 all well                   4 a machine cannot be reached
  1 a command failed           5 a wait or the run timed out
  2 usage or syntax error      6 stopped by a signal
  3 no access                  n as EXIT n says

Environment:
  DTCL_HOME            where settings, state, queue and logs are kept
  DTCL_SYSLOG          socket of the system's log that events go to
  DTCL_PASSWORD_FILE   file that LOGIN reads a password from
  NO_COLOR             no colours

DTCL HELP lists the commands, DTCL HELP CONNECT explains one.
";

/// The line of `--version`.
pub fn version() -> String {
    format!("DTCL {}\n", env!("CARGO_PKG_VERSION"))
}

/// How a wrong command line is told on standard error: text, or the JSON form with the fields of every error.
pub fn rejected(rejected: &Rejected) -> String {
    let Rejected { error, json } = rejected;
    told(&error.to_string(), &error.help(), *json, matches!(error, UsageError::Nothing))
}

/// Why the system refused, without its number.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(reason, _)| reason).to_owned()
}

/// How a standard output that cannot be written is told.
pub fn unwritten(error: &std::io::Error, json: bool) -> String {
    told(
        &format!("cannot write standard output: {}", reason(error)),
        "what was printed is not complete",
        json,
        false,
    )
}

/// A message about the whole run: text, or the JSON form with the fields of every error (language.md 7).
pub fn told(message: &str, help: &str, json: bool, usage: bool) -> String {
    if json {
        let document = serde_json::json!({
            "severity": "error", "code": 0, "message": message, "file": null, "line": null, "column": null,
            "length": null, "help": help,
        });
        return document.to_string();
    }
    let mut text = format!("error: {message}\n  = help: {help}");
    if usage {
        let forms = HELP.lines().skip(2).take_while(|line| !line.is_empty());
        text = forms.fold(text, |text, line| format!("{text}\n{line}"));
    }
    text
}
