//! HELP's topics that are no commands. Paragraphs; a line that begins with a blank is kept as it is.

use super::help::wrap_at;

/// One topic.
pub(super) struct Topic {
    pub name: &'static str,
    /// Other words it is found by.
    pub also: &'static [&'static str],
    pub title: &'static str,
    pub text: &'static str,
}

/// The topic of this name.
pub(super) fn find(name: &str) -> Option<&'static Topic> {
    let is = |word: &str| word.eq_ignore_ascii_case(name);
    TOPICS.iter().find(|topic| is(topic.name) || topic.also.iter().any(|word| is(word)))
}

/// Its page.
pub(super) fn page(topic: &Topic, width: usize) -> String {
    let mut page = format!("{}\n\n", topic.title);
    for line in topic.text.trim().lines() {
        if line.starts_with(' ') || line.is_empty() {
            page.push_str(line);
            page.push('\n');
        } else {
            wrap_at(&mut page, line, 0, 0, width);
        }
    }
    page
}

pub(super) const TOPICS: &[Topic] = &[
    Topic {
        name: "notation",
        also: &["syntax"],
        title: "How syntax lines are written",
        text: "
CAPITALS are keywords, in any case; `CONnection` may be written `con` or `connection`. <x> stands for a value. [x] may be left out, {x} is a group, x... repeats. a|b chooses between two, also when blanks stand around the bar. Neighbouring optional groups that begin with a keyword may come in any order, each once.

A bare word is a keyword where one fits, else a value. A quoted word, $name and (...) are always exactly one value: a machine called `verify` is written `schedule \"verify\" start ...`.

<con_id> is a connection's number, or * for all connections of the current source.
",
    },
    Topic {
        name: "quoting",
        also: &["quotes", "strings", "words"],
        title: "Words, quotes, comments",
        text: "
A word ends at a blank or one of \" ' , ; = ( ) < >. What holds one of these is quoted with \" or '. A backslash is an ordinary character; a doubled quote stands for one quote. Nothing is expanded inside quotes.

$\"...\" expands expressions in braces: $\"{$dir}/new\". {{ and }} are the braces themselves.

A statement ends at the line's end or at a semicolon. A blank and a backslash at the line's end continue it. # at the start of a word, or // at the start of a line, begins a comment.
",
    },
    Topic {
        name: "variables",
        also: &["variable", "$"],
        title: "Variables",
        text: "
 $con = connect payroll to beta map exact
 $name = \"pay\" + \"roll\"

Names are letters, digits and _, in any case. The right side is a command when it begins with a bare word, else an expression.

Set by the interpreter: $argc, $1 and so on (the script's arguments), $script, $user, $machine (this host), $source, $target, $result (what the last command returned), $error (its message), $date, $time.
",
    },
    Topic {
        name: "expressions",
        also: &["functions", "operators", "values"],
        title: "Expressions and functions",
        text: "
Loosest first: OR; AND; NOT; = <> < <= > >=; + -; * / %; unary -; x[i], x.name, calls. Values are integers, strings, dates (11/30/26), times (22:30), booleans, lists and maps. Text is quoted.

len upper lower trim contains starts_with split join replace match int string date time now env exists option status connections repsets format_bytes

option(\"Name\") is a setting's value. status($con) is a map whose keys are the labels of STATUS: status($con).target_state. connections() is a list of such maps with id.
",
    },
    Topic {
        name: "control",
        also: &[
            "if", "then", "else", "elseif", "end", "while", "for", "each", "do", "break", "continue", "return", "step",
        ],
        title: "Control",
        text: "
 IF <condition> THEN ... [ELSEIF <condition> THEN ...] [ELSE ...] END
 WHILE <condition> DO ... END
 FOR $i = <from> TO <to> [STEP <n>] DO ... END
 FOR EACH $x IN <list> DO ... END
 BREAK   CONTINUE   EXIT [n]   RETURN

A condition is a boolean: $r > 0, not $r. BREAK and CONTINUE act on the innermost loop. RETURN leaves the file, EXIT the script.
",
    },
    Topic {
        name: "errors",
        also: &["error", "on error", "on", "codes", "returns", "exit status"],
        title: "Values of commands, errors, exit status",
        text: "
Every command returns an integer: positive is success; 0 and negative numbers are failures, a negative one the product's error code. CONNECT and CONID return the connection ID, LOGIN 0, 1 or 2, a wait 0 when its time ran out.

A failure whose value is assigned ($r = mirror start 1) lets the script go on. Else the script stops, unless ON ERROR says otherwise:

 ON ERROR CONTINUE      goes on
 ON ERROR STOP          the default
 ON ERROR DO ... END    runs a block, then stops

Exit status: 0 all well; 1 a command failed; 2 wrong usage or syntax; 3 no access; 4 a machine cannot be reached; 5 a wait timed out; 6 stopped by a signal; EXIT n gives n.
",
    },
    Topic {
        name: "wildcards",
        also: &["rules", "paths"],
        title: "Rules and wildcards of replication sets",
        text: "
A rule names an absolute path and includes or excludes it: a directory, a file, or a pattern with * (any characters but /) and ? (one character). A recursive rule, the default, holds for all subdirectories too.

Where an INCLUDE and an EXCLUDE both cover a path, REPSET TEST <path> IN <repset> says which one decides.
",
    },
    Topic {
        name: "mapping",
        also: &["map"],
        title: "Where the data comes to lie on the target",
        text: "
 MAP EXACT                        under the same paths
 MAP BASE /backup                 below /backup
 MAP /srv/a TO /x, /srv/b TO /y   each where it says

Without MAP: /<source>/<repset>/<volume> under the target's data root. A target path inside the set's own data is refused, and one where another set is connected to.
",
    },
    Topic {
        name: "origins",
        also: &["origin", "tags", "compatibility"],
        title: "Where a command's form comes from",
        text: "
DTCL's own scripting guide is only partly public. Each form is marked:

 D   read on a page of the vendor's scripting guide
 S   seen in a transcript of a real session
 G   the behaviour is in the user guides, the spelling is ours
 R   the spelling is widely remembered but unverified
 X   our extension
",
    },
];
