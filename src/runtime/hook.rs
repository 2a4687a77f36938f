//! A task written in Rhai (`rhai:<file>` of QUEUETASK): this program, started by an engine as it starts any other task, runs one function
//! of the file under [`crate::rhai_host`]'s limits. It has what the task has: its user, its output, its time, its end.

use crate::rhai_host::{Host, Limits, Module, Unfit};
use rhai::{Array, Dynamic, Map};
use std::io::Read as _;
use std::time::Duration;

/// No hook is longer.
const LONGEST: u64 = 1 << 20;
/// The function of a hook. It gets a map: `job`, `point`, `repset`, `conid`, `source`, `target`, `target_paths` (a list), `time`,
/// `arguments` (a list).
const FUNCTION: &str = "task";

/// Runs it. Its exit status: what the function returns (nothing and true are 0, false is 1), 1 for an error, 2 for what is no hook.
pub fn run(file: &str, arguments: &[String]) -> i32 {
    let limits =
        Limits { time: Duration::from_secs(crate::rhai_host::Limit::Time.most()), ..Limits::default() };
    let host = Host::new(
        limits,
        // Who started it ends it.
        || false,
        |engine, _| {
            engine.on_print(|text| say(&mut std::io::stdout(), text));
            engine.on_debug(|text, _, place| {
                say(&mut std::io::stderr(), &format!("line {}: {text}", place.line().unwrap_or_default()));
            });
        },
    );
    let module = match read(file).and_then(|text| compile(&host, file, &text)) {
        Ok(module) => module,
        Err(why) => {
            say(&mut std::io::stderr(), &why);
            return super::status::SYNTAX;
        }
    };
    match host.call(&module, FUNCTION, vec![Dynamic::from(about(arguments))], exit_status) {
        Ok(status) => status,
        Err(wrong) => {
            let place = wrong.place.map(|(line, _)| format!("{file}:{line}: ")).unwrap_or_default();
            say(&mut std::io::stderr(), &format!("{place}{}", wrong.message));
            super::status::FAILED
        }
    }
}

fn read(file: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{file} cannot be read: {error}");
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{file} is longer than {LONGEST} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{file} is no UTF-8 text"))
}

fn compile(host: &Host, file: &str, text: &str) -> Result<Module, String> {
    let module = host.compile(file, text).map_err(|wrong| {
        let line = wrong.place.map(|(line, _)| format!(":{line}")).unwrap_or_default();
        format!("{file}{line}: {}", wrong.message)
    })?;
    let fits = |name: &str, parameters: &[String]| name == FUNCTION && parameters.len() == 1;
    match module.exported().iter().any(|function| fits(&function.name, &function.parameters)) {
        true => Ok(module),
        false => Err(format!("{file} has no function {FUNCTION}(about)")),
    }
}

/// What the task is told of itself, from its environment.
fn about(arguments: &[String]) -> Map {
    let mut map = Map::new();
    for name in ["JOB", "POINT", "REPSET", "CONID", "SOURCE", "TARGET", "TIME"] {
        let value = std::env::var(format!("DT_{name}")).unwrap_or_default();
        map.insert(name.to_lowercase().into(), value.into());
    }
    let paths = std::env::var("DT_TARGET_PATHS").unwrap_or_default();
    let paths: Array = paths.split(':').map(|path| Dynamic::from(path.to_owned())).collect();
    map.insert("target_paths".into(), paths.into());
    let arguments: Array = arguments.iter().map(|argument| Dynamic::from(argument.clone())).collect();
    map.insert("arguments".into(), arguments.into());
    map
}

fn exit_status(value: Dynamic) -> Result<i32, Unfit> {
    if value.is_unit() {
        return Ok(0);
    }
    if let Ok(good) = value.as_bool() {
        return Ok(i32::from(!good));
    }
    match value.as_int().ok().filter(|status| (0..=255).contains(status)) {
        Some(status) => Ok(i32::try_from(status).unwrap_or(1)),
        None => Err(Unfit {
            message: format!("{FUNCTION} returned {}, which is no exit status", value.type_name()),
            help: "return nothing, true, false, or a number from 0 to 255".to_owned(),
        }),
    }
}

/// Whoever does not hear it has closed it.
fn say(to: &mut dyn std::io::Write, text: &str) {
    let _ = writeln!(to, "{text}");
    let _ = to.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(text: &str) -> i32 {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hook.rhai");
        std::fs::write(&file, text).unwrap();
        run(file.to_str().unwrap(), &["one".to_owned(), "two".to_owned()])
    }

    #[test]
    fn what_the_function_returns_is_the_exit_status() {
        assert_eq!(status_of("fn task(about) {}"), 0);
        assert_eq!(status_of("fn task(about) { true }"), 0);
        assert_eq!(status_of("fn task(about) { false }"), 1);
        assert_eq!(status_of("fn task(about) { 7 }"), 7);
        assert_eq!(
            status_of("fn task(about) { if about.arguments == [\"one\", \"two\"] { 3 } else { 4 } }"),
            3
        );
    }

    #[test]
    fn what_goes_wrong_is_a_failure_and_what_is_no_hook_another() {
        assert_eq!(status_of("fn task(about) { throw \"no\" }"), 1);
        assert_eq!(status_of("fn task(about) { \"text\" }"), 1);
        assert_eq!(status_of("fn task(about) { loop {} }"), 1, "its operations are counted");
        assert_eq!(status_of("fn task(about) {"), 2);
        assert_eq!(status_of("fn other(about) {}"), 2);
        assert_eq!(run("/no/such/file.rhai", &[]), 2);
    }
}
