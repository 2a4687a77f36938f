//! USE: Rhai modules (language.md 6).

use super::{Ran, interpreter};
use crate::commands::Mode;
use crate::commands::ui::Recorder;
use crate::runtime::{Interpreter, Limits};
use std::time::{Duration, Instant};

/// A directory with `m.rhai`, and a script that begins with its USE.
struct Place(tempfile::TempDir);

impl Place {
    fn new(module: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("m.rhai", module);
        place
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run_in(&self, interpreter: &mut Interpreter, ui: &Recorder, script: &str) -> Ran {
        let text = format!("use \"m.rhai\"\n{script}");
        self.write("a.dtcl", &text);
        let name = self.0.path().join("a.dtcl").to_string_lossy().into_owned();
        let status = interpreter.run_script(&name, text.as_bytes(), Vec::new());
        let clean = |text: String| text.replace(&format!("{}/", self.0.path().display()), "");
        Ran { status, output: clean(ui.output()), messages: clean(ui.messages()) }
    }

    fn run(&self, script: &str) -> Ran {
        let (mut interpreter, ui) = interpreter();
        self.run_in(&mut interpreter, &ui, script)
    }

    #[track_caller]
    fn output(&self, script: &str) -> String {
        let ran = self.run(script);
        assert_eq!((ran.status, ran.messages.as_str()), (0, ""), "{script}\n{ran:?}");
        ran.output
    }

    #[track_caller]
    fn fails(&self, script: &str) -> String {
        let ran = self.run(script);
        assert_ne!(ran.status, 0, "{ran:?}");
        ran.messages
    }
}

#[test]
fn functions_are_called_by_name_and_by_module() {
    let place = Place::new("fn backoff(n) { n * 10 }\nfn Hello() { \"hello\" }");
    assert_eq!(place.output("write (backoff(3)) \" \" (m::backoff(4))"), "30 40\n");
    assert_eq!(place.output("use \"m.rhai\" as retry\nwrite (retry::BACKOFF(5)) (hello())"), "50hello\n");
    assert_eq!(place.output("$x = 2\nIF backoff($x) = 20 THEN write yes END"), "yes\n");
}

#[test]
fn values_go_both_ways() {
    let place = Place::new("fn same(x) { x }\nfn kind(x) { type_of(x) }\nfn letter() { 'x' }");
    for value in ["-5", "\"a\"\"b\"", "TRUE", "11/30/2026", "22:30:15", "[1, \"a\", [TRUE, 1/2/2027]]", "[]"]
    {
        let script = format!("$v = {value}\nIF same($v) = $v THEN write same ELSE write (same($v)) END");
        assert_eq!(place.output(&script), "same\n", "{value}");
    }
    assert_eq!(place.output("write (kind(1/2/2027)) (kind(1:30)) (kind([1]))"), "datetimearray\n");
    assert_eq!(place.output("write (letter())"), "x\n");
    let place = Place::new("fn map() { #{ b: [1, #{ c: \"x\" }], a: date(2027, 1, 2), t: time(1, 2) } }");
    assert_eq!(
        place.output("$m = map()\nwrite $m\nwrite $m.b[1].c"),
        "{\"a\":\"01/02/2027\",\"b\":[1,{\"c\":\"x\"}],\"t\":\"01:02:00\"}\nx\n"
    );
}

#[test]
fn dates_and_times_count_as_in_the_language() {
    let place = Place::new(
        "fn f() { let d = date(\"12/31/26\"); let t = time(23, 59, 30);\n\
         [d + 1, d - 31, date(2027, 1, 1) - d, t + 60, t - time(\"23:59\"), d.year, t.second, d < d + 1, d.weekday,\n\
          `${d} ${t}`] }",
    );
    assert_eq!(
        place.output("write (f())"),
        "[\"01/01/2027\",\"11/30/2026\",1,\"00:00:30\",30,2026,30,true,4,\"12/31/2026 23:59:30\"]\n"
    );
    let wrong = Place::new("fn f() { date(2027, 2, 30) }").fails("write (f())");
    assert!(wrong.contains("f: there is no date 2/30/2027"), "{wrong}");
    let before = Place::new("fn f() { date(0, 1, 1) - 1 }").fails("write (f())");
    assert!(before.contains("f: there is no date"), "{before}");
}

#[test]
fn what_the_language_does_not_have_is_an_error() {
    for (text, message) in [
        ("fn f() { 1.5 }", "f returned a fraction (1.5)"),
        ("fn f() { #{ a: [1, 0.5] } }", "f returned a fraction (0.5) at .a[1]"),
        ("fn f() { }", "f returned nothing"),
        ("fn f() { [()] }", "f returned nothing at [0]"),
        ("fn f() { |x| x }", "f returned a value of the type"),
        ("fn f() { blob(3) }", "f returned a value of the type"),
    ] {
        let wrong = Place::new(text).fails("$x = f()");
        assert!(wrong.starts_with("a.dtcl:2:6: error -101: ") && wrong.contains(message), "{wrong}");
        assert!(wrong.contains("\nm.rhai:1:"), "{wrong}");
    }
    // Whoever drops the value does not miss it.
    assert_eq!(Place::new("fn f() { print(1) }").output("f()"), "1\n");
}

#[test]
fn an_error_shows_both_places() {
    let place = Place::new("fn check(n) {\n  if n > 2 { throw `too large: ${n}` }\n}\nfn f(n) { check(n) }");
    assert_eq!(
        place.fails("$n = 5\n$r = 1 + f($n)"),
        "a.dtcl:3:10: error -1: f: too large: 5\n3 | $r = 1 + f($n)\n  |          ^\n\
         m.rhai:2:14: in check\n2 |   if n > 2 { throw `too large: ${n}` }\n  |              ^\n"
    );
    let (mut interpreter, ui) = interpreter();
    interpreter.session_mut().set_mode(Mode::Json);
    let ran = place.run_in(&mut interpreter, &ui, "$r = f(7)");
    let json: serde_json::Value = serde_json::from_str(&ran.messages).unwrap();
    assert_eq!((json["line"].as_i64(), json["column"].as_i64()), (Some(2), Some(6)));
    assert_eq!(json["beside"]["file"], "m.rhai");
    assert_eq!((json["beside"]["line"].as_i64(), json["beside"]["column"].as_i64()), (Some(2), Some(14)));
    assert_eq!(json["beside"]["text"], "  if n > 2 { throw `too large: ${n}` }");
}

#[test]
fn a_file_that_is_no_module_says_where() {
    let place = Place::new("fn f( {\n}");
    let ran = place.run("write 1");
    assert_eq!((ran.status, ran.output.as_str()), (2, ""));
    assert!(ran.messages.starts_with("a.dtcl:1:1: error -102: m.rhai is no Rhai module: "), "{ran:?}");
    assert!(ran.messages.contains("\nm.rhai:1:7: here\n1 | fn f( {\n"), "{ran:?}");
    let place = Place::new("fn f() { 1 }\nfn F() { 2 }");
    assert!(place.fails("").contains("m.rhai has both F and f"));
    let place = Place::new("");
    assert!(place.fails("use \"n.rhai\"").contains("error -101: cannot read n.rhai"));
    assert!(place.fails("use \"m.txt\"").contains("m.txt is no .rhai file"));
    assert!(place.fails("use \"m.rhai\" as \"a b\"").contains("a b is no name for a module"));
    assert_eq!(place.output("$r = use \"n.rhai\"\nwrite $r"), "-101\n");
}

#[test]
fn an_unknown_function_names_the_nearest() {
    let place = Place::new("fn backoff(n) { n }");
    let wrong = place.fails("write (backof(1))");
    assert!(
        wrong.contains("there is no function backof") && wrong.contains("did you mean backoff?"),
        "{wrong}"
    );
    let wrong = place.fails("write (m::backoff(1, 2))");
    assert!(wrong.contains("m::backoff does not take 2 arguments"), "{wrong}");
    assert!(wrong.contains("m.rhai has backoff(n)"), "{wrong}");
    place.write("n.rhai", "fn backoff(n) { n + 1 }");
    let wrong = place.fails("use \"n.rhai\"\nwrite (backoff(1))");
    assert!(wrong.contains("both m.rhai and n.rhai have a function backoff"), "{wrong}");
    assert_eq!(place.output("use \"n.rhai\"\nwrite (n::backoff(1))"), "2\n");
    // Without USE nothing of the script is run.
    let (mut interpreter, _) = interpreter();
    assert_eq!(interpreter.run_script("x", b"write 1\nwrite (backoff(1))", Vec::new()), 2);
}

#[test]
fn modules_belong_to_the_script_and_what_it_includes() {
    let place = Place::new("fn f() { 1 }");
    place.write("inc.dtcl", "write (f())\n");
    assert_eq!(place.output("include \"inc.dtcl\""), "1\n");
    let ran = place.run("run \"inc.dtcl\"");
    assert_eq!(ran.status, 2);
    assert!(ran.messages.contains("there is no function f"), "{ran:?}");
}

#[test]
fn the_shell_keeps_modules_and_takes_a_changed_file() {
    let place = Place::new("fn f() { 1 }");
    let (mut interpreter, ui) = interpreter();
    let file = place.0.path().join("m.rhai");
    interpreter.feed(&format!("use \"{}\"\n", file.display()));
    interpreter.feed("write (f())\n");
    place.write("m.rhai", "fn f() { 2 }");
    interpreter.feed(&format!("use \"{}\"\n", file.display()));
    interpreter.feed("write (f())\n");
    assert_eq!((ui.output().as_str(), ui.messages().as_str()), ("1\n2\n", ""));
}

#[test]
fn a_function_asks_the_machine_of_the_script() {
    let place = Place::new(
        "fn f() { [option(\"NetPort\"), run(\"ping localhost\").value, run(\"mirror stop 3\")] }\n\
         fn con(n) { status(n) }\n\
         fn caught(n) { try { return status(n); } catch (e) { return `${e.code} ${e.message}`; } }",
    );
    assert_eq!(
        place.output("write (f())"),
        "[1500,1,{\"error\":\"Connection does not exist\",\"text\":\"\",\"value\":-107}]\n"
    );
    // What a machine refuses keeps its number.
    let wrong = place.fails("write (con(3))");
    assert!(wrong.starts_with("a.dtcl:2:8: error -107: con: Connection does not exist\n"), "{wrong}");
    assert!(wrong.contains("m.rhai:2:13: in con\n"), "{wrong}");
    assert_eq!(place.output("write (caught(3))"), "-107 Connection does not exist\n");
}

#[test]
fn a_command_that_a_function_runs_needs_the_callers_access() {
    let place = Place::new("fn f() { run(\"repset create x\") }");
    let script = "$r = login localhost nobody secret\n$x = f()\nwrite $x.value";
    assert_eq!(place.output(script).lines().last(), Some("-138"));
    assert_eq!(place.output("$x = f()\nwrite $x.value"), "1\n");
}

#[test]
fn run_takes_one_command_and_keeps_what_it_prints() {
    let place = Place::new(
        "fn text(t) { run(t).text }\nfn error(t) { let r = run(t); `${r.value} ${r.error}` }\n\
         fn quoted(t) { quote(t) }",
    );
    assert_eq!(place.output("write (text(\"pwd\"))"), "/\n\n");
    for (command, error) in [
        ("frobnicate", "-102 `frobnicate` is not a command"),
        ("pwd; pwd", "-102 run() takes exactly one command"),
        ("", "-102 run() takes exactly one command"),
        ("$a = pwd", "-102 run() takes exactly one command"),
        ("mirror stop $con", "-102 variables of the script are not known in run()"),
        ("write 1", "-161 WRITE cannot be run from Rhai"),
        ("exit 3", "-161 EXIT cannot be run from Rhai"),
        ("spool x", "-161 SPOOL cannot be run from Rhai"),
        ("repset export a to x", "-161 REPSET EXPORT cannot be run from Rhai"),
        ("repset import x", "-161 REPSET IMPORT cannot be run from Rhai"),
        ("sleep 0", "1 "),
    ] {
        let shown = place.output(&format!("write (error(\"{command}\"))"));
        assert!(shown.starts_with(error), "{command}: {shown}");
    }
    assert_eq!(place.output("write (quoted('a \"b\"'))"), "\"a \"\"b\"\"\"\n");
}

#[test]
fn print_is_output_and_log_is_a_message() {
    let place = Place::new("fn f() { print(\"out\"); log(\"said\"); debug(1); 0 }");
    let ran = place.run("f()");
    assert_eq!((ran.status, ran.output.as_str()), (0, "out\n"));
    assert_eq!(ran.messages, "said\nm.rhai:1: debug: 1\n");
}

#[test]
fn a_report_is_json() {
    let place = Place::new("fn f() { to_json(#{ at: date(2027, 1, 2), n: [1, \"a\\\"b\"] }) }");
    assert_eq!(place.output("write (f())"), "{\"at\":\"01/02/2027\",\"n\":[1,\"a\\\"b\"]}\n");
}

fn limited(text: &str, script: &str, change: impl FnOnce(&mut Limits)) -> (Ran, Duration) {
    let (mut interpreter, ui) = interpreter();
    let mut limits = Limits { time: Duration::from_millis(200), operations: u64::MAX, ..Limits::default() };
    change(&mut limits);
    interpreter.set_limits(limits);
    let start = Instant::now();
    let ran = Place::new(text).run_in(&mut interpreter, &ui, script);
    (ran, start.elapsed())
}

#[test]
fn a_limit_stops_the_script_with_both_places() {
    for (text, message) in [
        ("fn f() {\n loop { }\n}", "f: it took longer than"),
        ("fn f() {\n sleep(60)\n}", "f: it took longer than"),
        ("fn f() {\n run(\"sleep 60\")\n}", "f: it took longer than"),
        ("fn f() {\n f()\n}", "f: its functions call each other more than 64 deep"),
        ("fn f() {\n let s = \"x\"; loop { s += s; }\n}", "f: a string is longer than"),
        ("fn f() {\n let l = [1]; loop { l += l; }\n}", "f: a list has more than 500 items"),
        (
            "fn f() {\n let m = #{}; for n in 0..99999 { m[`${n}`] = n; }\n}",
            "f: a map has more than 500 entries",
        ),
    ] {
        let (ran, took) = limited(text, "ON ERROR CONTINUE\nf()\nwrite \"went on\"", |limits| {
            (limits.list, limits.map) = (500, 500);
        });
        // A failure like any other: the script may go on past it.
        assert_eq!((ran.status, ran.output.as_str()), (1, "went on\n"), "{text}: {ran:?}");
        assert!(ran.messages.starts_with(&format!("a.dtcl:3:1: error -1: {message}")), "{ran:?}");
        assert!(ran.messages.contains("\nm.rhai:2:") && ran.messages.contains("DTCL --limit "), "{ran:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    let (ran, _) = limited("fn f() {\n loop { }\n}", "f()", |limits| limits.operations = 1000);
    assert!(ran.messages.contains("f: it took more than 1000 steps"), "{ran:?}");
    // An argument that is past a limit does not even arrive.
    let (ran, _) = limited("fn f(x) { 1 }", "$r = f([1, 2, 3])", |limits| limits.list = 2);
    assert!(ran.messages.contains("an argument of f is larger than its limit (list)"), "{ran:?}");
}

#[test]
fn a_wish_to_stop_ends_a_function_that_does_not_end() {
    let place = Place::new("fn f() {\n  print(\"on\");\n  loop { try { sleep(1) } catch { } }\n}");
    let (mut interpreter, ui) = interpreter();
    let stop = ui.clone();
    let watcher = std::thread::spawn(move || {
        while stop.output().is_empty() {
            std::thread::yield_now();
        }
        stop.cancel(true);
    });
    let ran = place.run_in(&mut interpreter, &ui, "ON ERROR CONTINUE\n$x = f()\nwrite never");
    watcher.join().unwrap();
    assert_eq!((ran.status, ran.output.as_str()), (6, "on\n"));
    assert!(ran.messages.starts_with("a.dtcl:3:6: error: stopped\n"), "{ran:?}");
    assert!(ran.messages.contains("\nm.rhai:3:"), "{ran:?}");
}

/// `cargo test --release --lib a_million_calls -- --ignored --nocapture` measures.
#[test]
#[ignore = "a measurement"]
fn a_million_calls() {
    let place = Place::new("const STEP = 5;\nfn plain(n) { n + 1 }\nfn constant(n) { n + global::STEP }");
    for function in ["plain", "constant"] {
        let start = Instant::now();
        place.output(&format!("$n = 0\nFOR $i = 1 TO 1000000 DO $n = {function}($n) END\nwrite $n"));
        eprintln!("{function}: {:?} for 1,000,000 calls", start.elapsed());
    }
}
