//! Machines and the session.

use super::{ADMIN, Command, MONITOR, NONE, Verb, command};
use crate::commands::Family::Session;

pub(super) const COMMANDS: &[Command] = &[
    command(
        Session,
        "LOGIN|LOGON <machine> <user> [<password> [<domain>]]",
        NONE,
        "S, domain R",
        "Logs in to a machine and prints the access level.",
    )
    .details(
        "Returns 0 for no access (a failure: exit status 3), 1 for monitor access, 2 for full access. Without a \
         password (X) it is read from the first line of the file that the environment variable DTCL_PASSWORD_FILE \
         names, or asked for on a terminal. A password is refused where other users can list it: in the arguments of \
         `DTCL login ...` and `DTCL -c`. User, password and domain have at most 100 characters each. A machine that is \
         used without LOGIN is tried with the caller's own identity.",
    )
    .examples(&["login alpha admin", "login alpha admin \"a secret\"", "logon 192.0.2.7:1500 admin $password CORP"]),
    command(Session, "LOGOUT <machine>|*", NONE, "R", "Logs out of a machine.")
        .details("`*` logs out of all machines and forgets their credentials.")
        .examples(&["logout alpha", "logout *"]),
    command(Session, "SOURCE <machine>", NONE, "S", "Makes a machine the current source.")
        .details(
            "Commands act on the current source; until SOURCE names one that is localhost. Prints nothing; a name that \
             cannot be resolved is an error at once (-109).",
        )
        .examples(&["source alpha", "source 192.0.2.7:1500"]),
    command(Session, "TARGET <machine>", NONE, "S", "Makes a machine the current target.")
        .details("The current target is what commands marked *target* act on. Without one they fail with -131.")
        .examples(&["target beta"]),
    command(Session, "SERVERS", NONE, "R", "Lists the known machines.")
        .details(
            "Name, address, role, version, how it was discovered and the access granted. Known are this machine, those \
             that this session used and those of SERVER ADD.",
        )
        .examples(&["servers"]),
    command(Session, "SERVER <machine>", NONE, "R", "Shows one machine.").examples(&["server alpha"]),
    command(Session, "SERVER ADD|REMOVE <machine>", NONE, "X", "Puts a machine on the list of SERVERS or takes it off.")
        .details("The list is the session's own; a script that needs it names its machines at its beginning.")
        .examples(&["server add beta:1500", "server remove beta:1500"]),
    command(Session, "PING <machine>", NONE, "D", "Asks whether the product runs on a machine.")
        .details("Needs no login. Silent on success (X); -109 when the name is not known, -110 when nothing answers.")
        .examples(&["ping beta"]),
    command(Session, "VERSION [<machine>]", NONE, "R", "Prints a machine's product and version.")
        .examples(&["version", "version beta"]),
    command(Session, "ENVIRONMENT", NONE, "R", "Prints what this session works with.").examples(&["environment"]),
    command(Session, "DATE", NONE, "R", "Prints today's date.")
        .details("In expressions use `$date` or `date(\"1/2/27\")`.")
        .examples(&["date"]),
    command(Session, "TIME", NONE, "R", "Prints the time of day.")
        .details("In expressions use `$time` or `now()`.")
        .examples(&["time"]),
    command(Session, "LOAD|UNLOAD SOURCE|TARGET [ON <machine>]", ADMIN, "R", "Loads or unloads the source or target module.")
        .details("`LoadSourceTarget` says what is loaded at start. Without a module its commands fail with -103 or -105.")
        .examples(&["unload target on beta", "load source"]),
    command(Session, "SHUTDOWN [<machine>]", ADMIN, "R", "Stops the service in good order.").examples(&["shutdown beta"]),
    command(Session, "CHDIR <path>", MONITOR, "R", "Changes the directory that DIR lists.")
        .details(
            "A directory of the current source, `/` at first; SOURCE sets it back. Relative paths of DIR, REPSET RULE, \
             REPSET TEST and EXPLAIN begin there once CHDIR was used.",
        )
        .examples(&["chdir /srv", "chdir .."]),
    command(Session, "DIR [<path>]", MONITOR, "R", "Lists a directory of the current source.")
        .examples(&["dir", "dir /srv/data"]),
    command(Session, "PWD", MONITOR, "R", "Prints the directory of CHDIR.").examples(&["pwd"]),
    command(Session, "HELP [<words>]", NONE, "G", "Prints help about a command, a family, an option or a topic.")
        .examples(&["help", "help mirror start", "help ChecksumAll", "help quoting"]),
    command(Session, "EXIT [<n>]", NONE, "G", "Ends the script or the shell.")
        .details(
            "With a number from 0 to 255 that is the exit status, else 0. Warns when a replication set is not saved.",
        )
        .examples(&["exit", "exit 3"])
        .verb(Verb::Exit),
    command(Session, "QUIT", NONE, "G", "Ends the script or the shell.").examples(&["quit"]).verb(Verb::Exit),
    command(Session, "HISTORY", NONE, "X", "Lists the statements typed so far.").examples(&["history"]),
    command(Session, "WATCH <seconds> <command>", NONE, "X", "Runs a command again and again until Ctrl-C.")
        .details("Ends with the command's first failure, whose value is WATCH's own.")
        .examples(&["watch 2 status con 1"])
        .verb(Verb::Watch),
    command(Session, "TIMING ON|OFF", NONE, "X", "Says how long each command took.")
        .details("On standard error.")
        .examples(&["timing on"]),
    command(Session, "OUTPUT TEXT|JSON|CSV", NONE, "X", "Chooses the form of the output.")
        .details(
            "JSON is one document per command and line: its name, its value, and what it shows with the labels in \
             lower case and `_` for blanks. CSV has a heading line.",
        )
        .examples(&["output json"]),
    command(Session, "SPOOL <file>|OFF", NONE, "X", "Writes all further output to a file too.")
        .details("What the file already holds stays; new output goes behind it.")
        .examples(&["spool \"/tmp/session.log\"", "spool off"]),
];
