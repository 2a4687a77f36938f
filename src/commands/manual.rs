//! The manual pages of `docs/man`: DTCL(1) from the program's own help, dtcl-language(7) from HELP's topics, DTCL-commands(7) and one for
//! each family from the catalogue. Tests compare them with the committed files, as those of [`reference`](super::reference).

use super::{Command, Family, all, help, signature, topics};
use crate::lang::Function;
use std::fmt::Write as _;

/// Text as roff takes it: nothing in it is a request or an escape.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for line in text.lines() {
        if line.starts_with(['.', '\'']) {
            plain.push_str("\\&");
        }
        for c in line.chars() {
            match c {
                '\\' => plain.push_str("\\e"),
                '-' => plain.push_str("\\-"),
                c => plain.push(c),
            }
        }
        plain.push('\n');
    }
    plain
}

/// Lines as they stand.
fn block(page: &mut String, text: &str) {
    let _ = write!(page, ".nf\n{}.fi\n", plain(text));
}

/// Begins a paragraph; behind a heading one has begun.
fn begin(page: &mut String) {
    if !page.lines().next_back().is_some_and(|line| line.starts_with(".S")) {
        page.push_str(".PP\n");
    }
}

/// Lines as they stand, a little to the right.
fn example(page: &mut String, text: &str) {
    begin(page);
    page.push_str(".RS 4\n");
    block(page, text);
    page.push_str(".RE\n");
}

/// Paragraphs; single line breaks are blanks.
fn paragraphs(page: &mut String, text: &str) {
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        begin(page);
        page.push_str(&plain(paragraph));
    }
}

fn head(name: &str, section: u8, what: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let shown = name.replace('-', "\\-");
    format!(".TH {shown} {section} \"\" \"DTCL {version}\" \"DTCL\"\n.SH NAME\n{shown} \\- {}", plain(what))
}

/// DTCL(1), from what `--help` prints: a first line, and parts with a title that ends in a colon.
pub fn program(help: &str) -> String {
    let mut page = head("DTCL", 1, "the Double-Take Command Language: replication of files and directories");
    help_page(&mut page, help);
    page.push_str(".SH FILES\n");
    block(
        &mut page,
        "/etc/DT/DT.conf   settings (root without DTCL_HOME; others: below ~/.local/state/dtcl)\n\
         /var/lib/DT       sets, connections, keys, queue\n\
         /var/log/DT       logs\n\
         /run/DT           the service's socket",
    );
    page.push_str(".SH SEE ALSO\n.BR DTStat (1),\n.BR dtcl\\-language (7),\n.BR DTCL\\-commands (7)\n");
    page
}

/// DTStat(1), from its help page.
pub fn statistics(help: &str) -> String {
    let mut page = head("DTStat", 1, "statistics of the DTCL service");
    help_page(&mut page, help);
    page.push_str(".SH SEE ALSO\n.BR DTCL (1)\n");
    page
}

/// The parts of a help page behind its first line, each a section.
fn help_page(page: &mut String, help: &str) {
    for part in help.split("\n\n").skip(1) {
        match part.split_once('\n') {
            Some((title, rest)) if title.ends_with(':') => {
                let title = if title == "Usage:" { "SYNOPSIS" } else { title.trim_end_matches(':') };
                let _ = writeln!(page, ".SH {}", title.to_ascii_uppercase());
                block(page, rest);
            }
            _ => paragraphs(page, part),
        }
    }
}

/// DTCL-commands(7): how syntax lines are written, and all of them by family; what they do stands on the families' own pages.
pub fn commands() -> String {
    let mut page = head("DTCL-commands", 7, "the commands of the Double-Take Command Language");
    page.push_str(".SH NOTATION\n");
    paragraphs(
        &mut page,
        "CAPITALS are keywords, in any case; CONnection may be written con or connection. <x> stands for a value, [x] may be left out, \
         {x} is a group, x... repeats. a|b and a | b choose.\n\n\
         <con_id> is a connection's number, or * for all connections of the current source.",
    );
    for (name, meaning) in signature::PIECES {
        let _ = write!(page, ".TP\n.B {}{}", plain(&format!("<{name}>")), plain(meaning));
    }
    for family in Family::ALL {
        let _ = writeln!(page, ".SH {}", family.title().to_uppercase());
        let lines: Vec<&str> = of(family).map(|command| command.syntax).collect();
        block(&mut page, &lines.join("\n"));
        let _ = writeln!(page, ".PP\nSee\n.BR {} (7).", family_name(family));
    }
    page.push_str(".SH SEE ALSO\n.BR DTCL (1),\n.BR dtcl\\-language (7)\n");
    page
}

/// The page of one family: each command with what it does and how a script would write it.
pub fn family(family: Family) -> String {
    let name = family_name(family);
    let mut page =
        head(&name, 7, &format!("commands of the Double-Take Command Language: {}", family.title()));
    for command in of(family) {
        let _ = writeln!(page, ".SH {}", command.name().to_ascii_uppercase());
        block(&mut page, &command.shown_syntax());
        let later = if command.is_available() { "" } else { " Not yet available in this version." };
        paragraphs(&mut page, &format!("{}{later}", command.summary));
        paragraphs(&mut page, command.details);
        paragraphs(&mut page, help::access(command.access));
        example(&mut page, &command.examples.join("\n"));
    }
    page.push_str(".SH SEE ALSO\n.BR DTCL\\-commands (7),\n.BR dtcl\\-language (7),\n.BR DTCL (1)\n");
    page
}

/// What the page of a family is called: `dtcl-sets`.
pub fn family_name(family: Family) -> String {
    // `dtcl-language` is the page of the language itself.
    match family {
        Family::Language => "dtcl-scripts".to_owned(),
        _ => format!("dtcl-{}", family.topic()),
    }
}

fn of(family: Family) -> impl Iterator<Item = &'static Command> {
    all().iter().filter(move |command| command.family == family)
}

/// dtcl-language(7): the topics of HELP, and the functions.
pub fn language() -> String {
    let mut page = head("dtcl-language", 7, "scripts of the Double-Take Command Language");
    for topic in topics::TOPICS {
        let _ = writeln!(page, ".SH {}", topic.title.to_uppercase());
        for paragraph in topic.text.trim_matches('\n').split("\n\n") {
            // A line that begins with a blank is kept as it is.
            if paragraph.starts_with(' ') {
                example(&mut page, paragraph);
            } else {
                paragraphs(&mut page, paragraph);
            }
        }
        if topic.name == "expressions" {
            let forms: Vec<&str> = Function::ALL.iter().map(|function| function.form()).collect();
            example(&mut page, &forms.join("\n"));
        }
    }
    page.push_str(".SH SEE ALSO\n.BR DTCL (1),\n.BR DTCL\\-commands (7)\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_a_request() {
        assert_eq!(plain(".x\n'y\na\\b-c"), "\\&.x\n\\&'y\na\\eb\\-c\n");
    }
}
