//! Replication sets (RST-01 to RST-21).

use super::{ADMIN, Command, MONITOR, command};
use crate::commands::Family::Sets;

pub(super) const COMMANDS: &[Command] = &[
    command(Sets, "REPSET CREATE <repset>", ADMIN, "S", "Makes a replication set.")
        .details(
            "It has no rules yet and is not saved until REPSET SAVE. A name must not hold . ? < > : \" \\ / * or |.",
        )
        .examples(&["repset create payroll"]),
    command(
        Sets,
        "REPSET RULE ADD <path> INClude|EXClude [[,] RECursive|NONRECursive] TO <repset>",
        ADMIN,
        "S, recursion R",
        "Adds a rule to a set.",
    )
    .details(
        "The path is absolute and may hold the wildcards * and ?; it need not exist; 259 characters at most. A rule is \
         recursive unless NONRECURSIVE says that it leaves out subdirectories. It is in force after REPSET SAVE. A \
         recursive rule makes others of its kind below it superfluous; an EXCLUDE below an INCLUDE leaves out that part.",
    )
    .examples(&[
        "repset rule add /srv/data include to payroll",
        "repset rule add \"/srv/data/*.tmp\" exc, rec to payroll",
        "repset rule add $dir inc nonrec to payroll",
    ]),
    command(Sets, "REPSET RULE REMOVE <path> FROM <repset>", ADMIN, "R", "Takes a rule out of a set.")
        .details("The path is that of the rule, as REPSET RULE LIST prints it.")
        .examples(&["repset rule remove /srv/data/old from payroll"]),
    command(Sets, "REPSET RULE LIST <repset>", MONITOR, "R", "Lists a set's rules.")
        .details("Each as `path inc, rec`.")
        .examples(&["repset rule list payroll"]),
    command(Sets, "REPSET DEVICE ADD <device> TO <repset>", ADMIN, "G", "Adds a block device to a set.")
        .examples(&["repset device add /dev/loop7 to payroll"]),
    command(Sets, "REPSET DEVICE REMOVE <device> FROM <repset>", ADMIN, "G", "Takes a block device out of a set.")
        .examples(&["repset device remove /dev/loop7 from payroll"]),
    command(Sets, "REPSET DEVICE LIST [ALL]", ADMIN, "G", "Lists block devices configured for replication.")
        .details("ALL lists every device that could be.")
        .examples(&["repset device list", "repset device list all"]),
    command(Sets, "REPSET SAVE [<repset>]", ADMIN, "S, name R", "Saves a set's changes.")
        .details(
            "Without a name all sets are saved. Each save counts up the set's generation number; a set that somebody \
             else saved in the meantime is refused. A set that is connected needs a difference mirror then, and a \
             warning says so.",
        )
        .examples(&["repset save", "repset save payroll"]),
    command(Sets, "REPSET LIST", MONITOR, "S", "Lists the sets.")
        .details("Each with `enabled` if it is connected, else `disabled`.")
        .examples(&["repset list"]),
    command(Sets, "REPSET DISPLAY <repset>", MONITOR, "R", "Shows a set: rules, generation, size, connections.")
        .examples(&["repset display payroll"]),
    command(Sets, "REPSET CALCulate <repset>", MONITOR, "R", "Measures a set: files, directories, bytes.")
        .details("The size is that of the moment; with it a mirror's progress is known in percent.")
        .examples(&["repset calculate payroll", "repset calc payroll"]),
    command(Sets, "REPSET RENAME <repset> TO <name>", ADMIN, "R", "Gives a set another name.")
        .details("Always renames, whether the set is saved or not (the original copied a saved set).")
        .examples(&["repset rename payroll to wages"]),
    command(Sets, "REPSET COPY <repset> TO <name>", ADMIN, "R", "Copies a set under another name.")
        .examples(&["repset copy payroll to wages"]),
    command(Sets, "REPSET DELETE <repset>", ADMIN, "R", "Deletes a set.")
        .details("Only when it is not connected (-130).")
        .examples(&["repset delete payroll"]),
    command(Sets, "REPSET RESYNC <repset>", ADMIN, "R", "Drops a set's unsaved changes.").examples(&["repset resync payroll"]),
    command(Sets, "REPSET EXPORT <repset> TO <file>", ADMIN, "G", "Writes a set to a file.")
        .details(
            "Text, one rule a line. The file is written where this client runs, whole or not at all; a file that \
             exists is not overwritten.",
        )
        .examples(&["repset export payroll to \"/tmp/payroll.set\""]),
    command(Sets, "REPSET IMPORT <file> [AS <name>]", ADMIN, "G", "Reads a set from a file.")
        .details("The file is one that REPSET EXPORT wrote, where this client runs. The set arrives unsaved.")
        .examples(&["repset import \"/tmp/payroll.set\"", "repset import \"/tmp/payroll.set\" as wages"]),
    command(Sets, "REPSET TEST <path> IN <repset>", MONITOR, "X", "Says whether a path belongs to a set and why.")
        .examples(&["repset test /srv/data/old/a.txt in payroll"]),
];
