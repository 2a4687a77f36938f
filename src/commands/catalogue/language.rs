//! The language's own commands: the interpreter carries them out.

use super::{Command, NONE, Verb, command};
use crate::commands::Family::Language;

pub(super) const COMMANDS: &[Command] = &[
    command(
        Language,
        "WRITE [NOLINE] [<value> [[,] <value>]...]",
        NONE,
        "D, joining and NOLINE X",
        "Prints its values.",
    )
    .details(
        "The values are printed one after the other with nothing between them, then a newline; NOLINE leaves the \
         newline out. A date is printed as mm/dd/yyyy, a time as hh:mm:ss, a list or map as JSON. Operators need \
         parentheses: `write (7 / 2)`.",
    )
    .examples(&["write \"mirror done\"", "write \"connection \", $con", "write noline (1 + 2)", "write"])
    .verb(Verb::Write),
    command(Language, "SLEEP <duration>", NONE, "X", "Waits for a time.")
        .details("Seconds unless a unit says otherwise. Ctrl-C ends it.")
        .examples(&["sleep 5", "sleep 2 minutes", "sleep ($n * 2)"])
        .verb(Verb::Sleep),
    command(Language, "RUN <file> [<arg>]...", NONE, "X", "Runs a script in its own scope.")
        .details(
            "The arguments are the script's $1, $2 and so on, their number $argc. Returns 1, or the script's exit \
             status with a minus sign. A relative name is looked for beside the script that runs it.",
        )
        .examples(&["run \"nightly.dtcl\" payroll beta"])
        .verb(Verb::Run),
    command(Language, "INCLUDE <file>", NONE, "X", "Runs a script in this scope.")
        .details("Its variables and its ON ERROR are this script's own.")
        .examples(&["include \"common.dtcl\""])
        .verb(Verb::Include),
    command(Language, "USE <file> [AS <name>]", NONE, "X", "Loads a Rhai module.")
        .details(
            "Its functions can be called in expressions: `backoff($n)`, `name::backoff($n)`; the name is the file's own \
             without AS. A relative name is looked for beside the script. Modules belong to the script and what it \
             includes. They reach machines only through `status`, `connections`, `repsets`, `option` and `run`, under \
             the access of whoever runs the script, and are bounded: DTCL --limit.",
        )
        .examples(&["use \"retry.rhai\"", "use \"retry.rhai\" as retry"])
        .verb(Verb::Use),
];
