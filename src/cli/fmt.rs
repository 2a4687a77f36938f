//! `fmt`: scripts brought into the form that all scripts have. Each is done by itself: one that has errors stays as it is, and keeps
//! none of the others from being formatted.

use std::path::Path;

use super::args::Input;
use super::help;
use super::output::Output;
use super::run::{USAGE, read, say};
use crate::lang::{self, Diagnostic, Source};
use crate::sys;

/// Some file differs, or could not be written.
const DIFFERS: i32 = 1;

/// Comes first in a file, or not at all; the language does not see it.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Formats files in place, and standard input to standard output; with `check` says which differ. Gives the exit status: that of the
/// worst of them.
pub fn run(files: &[Input], check: bool, json: bool, output: &Output) -> i32 {
    let mut status = 0;
    let mut differ = Vec::new();
    for file in files {
        let done = match formatted(file, json) {
            Ok(script) if check => {
                if script.changed {
                    differ.push(script.name);
                }
                i32::from(script.changed) * DIFFERS
            }
            Ok(script) => write(file, &script, json, output),
            Err(status) => status,
        };
        status = status.max(done);
    }
    if check && json {
        output.write(&format!("{}\n", serde_json::json!({ "differ": differ })));
    } else {
        differ.iter().for_each(|name| output.write(&format!("{name}\n")));
    }
    status
}

/// A script in its new form.
struct Script {
    name: String,
    text: String,
    changed: bool,
}

/// Reads and formats one; what is wrong is told, and its status given.
fn formatted(file: &Input, json: bool) -> Result<Script, i32> {
    let (name, bytes) = read(file).map_err(|problem| {
        let help = match problem.error.kind() {
            std::io::ErrorKind::NotFound => "fmt takes the paths of scripts, or - for standard input",
            _ => problem.help(),
        };
        say(&help::told(&problem.to_string(), help, json, false));
        USAGE
    })?;
    let refused = |problems: &[Diagnostic], source: &Source| {
        for problem in problems {
            let text = if json { lang::to_json(problem, source) } else { lang::render(problem, source) };
            say(text.trim_end());
        }
        USAGE
    };
    let source = lang::decode(&name, &bytes).map_err(|refusal| refused(&[refusal.1], &refusal.0))?;
    let text = lang::format(&source).map_err(|problems| refused(&problems, &source))?;
    let changed = text != source.text;
    let mark = if bytes.starts_with(BYTE_ORDER_MARK.as_bytes()) { BYTE_ORDER_MARK } else { "" };
    Ok(Script { name, text: format!("{mark}{text}"), changed })
}

/// Puts a formatted script where it belongs; gives the status. A file that has its form already is not touched.
fn write(file: &Input, script: &Script, json: bool, output: &Output) -> i32 {
    match file {
        Input::Stdin => output.write(&script.text),
        Input::File(path) if script.changed => {
            if let Err(error) = sys::replace_file(Path::new(path), script.text.as_bytes()) {
                let message = format!("cannot write {}: {}", script.name, help::reason(&error));
                let help = "the file and its directory must be writable by the user who runs DTCL";
                say(&help::told(&message, help, json, false));
                return DIFFERS;
            }
        }
        Input::File(_) => {}
    }
    0
}
