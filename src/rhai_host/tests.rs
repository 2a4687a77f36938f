//! Limits, places, and what is not there.

use super::{Host, Kind, Limit, Limits, Wrong};
use rhai::Dynamic;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

fn host(limits: Limits) -> Host {
    Host::new(limits, || false, |_, _| {})
}

fn call(host: &Host, text: &str, function: &str, arguments: &[i64]) -> Result<Dynamic, Box<Wrong>> {
    let module = host.compile("m.rhai", text).unwrap();
    host.call(&module, function, arguments.iter().map(|n| Dynamic::from(*n)).collect(), Ok)
}

fn wrong(host: &Host, text: &str, function: &str) -> Wrong {
    *call(host, text, function, &[]).unwrap_err()
}

/// Small enough to be met at once.
fn small() -> Limits {
    Limits {
        operations: 100_000,
        depth: 20,
        string: 1000,
        list: 100,
        map: 50,
        memory: Limit::Memory.most(),
        time: Duration::from_millis(300),
    }
}

#[test]
fn functions_are_called_with_constants() {
    let host = host(Limits::default());
    let text = "const STEP = 5;\nprivate fn twice(n) { n * 2 }\nfn backoff(n) { twice(n) * global::STEP }";
    assert_eq!(call(&host, text, "backoff", &[3]).unwrap().as_int(), Ok(30));
    let module = host.compile("m.rhai", text).unwrap();
    let forms: Vec<String> = module.exported().iter().map(super::Exported::form).collect();
    assert_eq!(forms, ["backoff(n)"]);
}

/// What a call came to, and how long after the limit of time it ended: the best of a few, as others work here, too.
fn punctual(limits: Limits, text: &str) -> Wrong {
    let host = host(limits);
    let mut latest = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let wrong = wrong(&host, text, "f");
        latest = latest.min(start.elapsed().saturating_sub(limits.time));
        if latest < Duration::from_millis(100) {
            return wrong;
        }
    }
    panic!("{latest:?} past the limit: {text}");
}

#[test]
fn each_limit_ends_the_call_at_its_place() {
    for (limit, text, line) in [
        (Limit::Operations, "fn f() {\n  let n = 0;\n  loop {\n    n += 1;\n  }\n}", 4),
        (Limit::Depth, "fn g(n) {\n  g(n + 1)\n}\nfn f() { g(1) }", 2),
        (Limit::String, "fn f() {\n  let s = \"ab\";\n  loop {\n    s += s;\n  }\n}", 4),
        (Limit::List, "fn f() {\n  let l = [];\n  loop {\n    l.push(1);\n  }\n}", 4),
        (Limit::Map, "fn f() {\n  let m = #{};\n  for n in 0..1000 {\n    m[`k${n}`] = n;\n  }\n}", 4),
        (Limit::Time, "fn f() {\n  sleep(1000);\n}", 2),
        (Limit::Time, "fn f() {\n  sleep(0.5);\n}", 2),
    ] {
        // The time is met by those that have no other end.
        let time = if limit == Limit::Time { small().time } else { Duration::from_secs(600) };
        let wrong = punctual(Limits { time, ..small() }, text);
        assert_eq!(wrong.kind, Kind::Limit(limit), "{wrong:?}");
        assert_eq!(wrong.place.map(|place| place.0), Some(line), "{wrong:?}");
        assert_eq!(Some(wrong.line.as_str()), text.lines().nth(line - 1), "{wrong:?}");
        assert!(wrong.help.unwrap().contains(limit.name()));
    }
}

#[test]
fn a_loop_ends_at_its_time_wherever_it_turns() {
    for (text, line) in [
        ("fn f() {\n  loop {}\n}", 2),
        ("fn f() {\n  let n = 0;\n  while true {\n    n = 1 - n;\n  }\n}", 3),
        ("fn f() {\n  for n in 0..9000000000000 {\n    n.abs();\n  }\n}", 3),
        ("fn f() {\n  loop {\n    try { sleep(1); } catch { }\n  }\n}", 3),
        ("fn f() {\n  let l = [0];\n  l.pad(99, 1);\n  loop { l.sort(|a, b| a - b); }\n}", 4),
    ] {
        let wrong = punctual(Limits { operations: u64::MAX, ..small() }, text);
        assert_eq!(wrong.kind, Kind::Limit(Limit::Time), "{wrong:?}");
        let place = wrong.place.map_or(0, |place| place.0);
        assert!((line..=line + 1).contains(&place), "{wrong:?}");
    }
}

#[test]
fn what_grows_in_one_step_is_refused_before_the_memory_is_taken() {
    let host = host(Limits { string: 1 << 20, ..Limits::default() });
    let grow = "let s = \"\"; s.pad(1000000, 'x');";
    for (step, limit) in [
        ("s.replace(\"x\", s);", Limit::String),
        ("s.replace('x', s);", Limit::String),
        ("s.replace(\"\", s);", Limit::String),
        ("s.pad(2000000000, 'x');", Limit::String),
        ("let l = []; l.pad(2000000000, 1);", Limit::List),
        ("let l = []; l.pad(9000, s);", Limit::String),
        ("blob(2000000000, 1);", Limit::List),
    ] {
        let start = Instant::now();
        let wrong = wrong(&host, &format!("fn f() {{ {grow} {step} }}"), "f");
        assert_eq!(wrong.kind, Kind::Limit(limit), "{step}: {wrong:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "{step}");
    }
}

#[test]
fn a_panic_inside_is_an_error_with_its_place() {
    let host = Host::new(
        Limits::default(),
        || false,
        |engine, _| {
            engine.register_fn("burst", || -> i64 { panic!("burst") });
        },
    );
    let text = "fn f() {\n  try { burst() } catch { 1 }\n}\nfn g() { 2 }";
    assert!(!host.is_broken());
    let burst = wrong(&host, text, "f");
    assert_eq!((burst.message.as_str(), burst.kind), ("Rhai itself failed: burst", Kind::Raised));
    assert_eq!((burst.place.map(|place| place.0), host.is_broken()), (Some(2), true));
}

#[test]
fn sizes_that_overflow_are_refused() {
    let host = host(Limits::default());
    let text = "fn f() { let l = []; l.pad(4611686018427387904, [0, 0, 0]); }";
    assert_eq!(wrong(&host, text, "f").kind, Kind::Limit(Limit::List));
    let pad = "fn f() { let l = [1]; l.pad(3, 2); l.pad(-1, 2); l.pad(2, 5); l.reduce(|a, b| a + b, 0) }";
    assert_eq!(call(&host, pad, "f", &[]).unwrap().as_int(), Ok(5));
}

#[test]
fn functions_cannot_be_bound_into_each_other() {
    let host = host(Limits::default());
    for text in [
        "fn f() { let f = |x| x; loop { f = f.curry(f); } }",
        "fn f() { let f = |x| x; loop { f = curry(f, f); } }",
        "fn f() { let l=[]; let x=1; let g=||[l,x]; call(curry(Fn(\"push\"),l,x)); l.len() }",
    ] {
        let wrong = host.compile("m.rhai", text).err().unwrap();
        assert!(
            ["curry is not available here", "expecting name of a property"].contains(&&*wrong.message),
            "{wrong:?}"
        );
    }
    let wrong = wrong(&host, "fn f() { let f = |x| x; call(Fn(\"curry\"), f, f) }", "f");
    assert_eq!(wrong.kind, Kind::Raised);
    let closure = "fn f() { let n = 2; [1, 2].map(|x| x * n).reduce(|a, b| a + b, 0) }";
    assert_eq!(call(&host, closure, "f", &[]).unwrap().as_int(), Ok(6));
}

#[test]
fn keys_are_counted_and_so_is_this() {
    let host = host(Limits { string: 1 << 20, ..Limits::default() });
    let grow = "let s = \"\"; s.pad(100000, 'x');";
    for (text, limit) in [
        (format!("fn f() {{ {grow} let m = #{{}}; for n in 0..1000 {{ m[s + n] = 0; }} }}"), Limit::String),
        (format!("fn f() {{ {grow} let m = #{{}}; for n in 0..12 {{ m[s + n] = 0; }} m }}"), Limit::String),
        (
            format!(
                "fn g(s) {{ for n in 0..1000 {{ this[0] += s; }} }}\nfn f() {{ {grow} let l = [\"\"]; l.g(s); }}"
            ),
            Limit::String,
        ),
    ] {
        assert_eq!(wrong(&host, &text, "f").kind, Kind::Limit(limit), "{text}");
    }
}

#[test]
fn memory_that_nothing_else_counts_ends_the_call() {
    let host = host(Limits { memory: 100, ..Limits::default() });
    let grow = "let s = \"\"; s.pad(1000000, 'x');";
    for body in [
        "let l = []; l.pad(9999, 0); l.map(|x| s + x);",
        "let l = []; l.pad(9999, 0); l.for_each(|x| this = s + x);",
        "let l = []; l.pad(9000, []); for i in 0..9000 { l[i].push(s + i); }",
    ] {
        let wrong = wrong(&host, &format!("fn f() {{ {grow} {body} }}"), "f");
        assert!(matches!(wrong.kind, Kind::Limit(Limit::Memory | Limit::String)), "{body}: {wrong:?}");
    }
}

#[test]
fn lists_that_lie_deep_in_each_other_end_well() {
    let stack = usize::try_from(crate::sys::stack::SIZE).unwrap();
    let most = usize::try_from(Limit::List.most()).unwrap();
    let deep = move || {
        let host = host(Limits { list: most, time: Duration::from_secs(2), operations: u64::MAX, ..small() });
        wrong(&host, "fn f() { let l = []; loop { l = [l]; } }", "f").kind
    };
    let thread = std::thread::Builder::new().stack_size(stack).spawn(deep).unwrap();
    assert!(matches!(thread.join().unwrap(), Kind::Limit(Limit::List | Limit::Time)));
}

#[test]
fn a_wish_to_stop_ends_a_call_and_cannot_be_caught() {
    let stop = Rc::new(Cell::new(false));
    let asked = Rc::clone(&stop);
    let host = Host::new(
        Limits::default(),
        move || asked.get(),
        |engine, _| {
            engine.register_fn("pull", move || stop.set(true));
        },
    );
    let wrong = wrong(&host, "fn f() {\n  pull();\n  loop { try { loop { } } catch { } }\n}", "f");
    assert_eq!((wrong.kind, wrong.place.map(|place| place.0)), (Kind::Stopped, Some(3)));
}

#[test]
fn errors_have_the_innermost_place() {
    let host = host(Limits::default());
    let text = "fn g(n) {\n  throw \"too large: \" + n;\n}\nfn f() {\n  g(7)\n}";
    let thrown = wrong(&host, text, "f");
    assert_eq!((thrown.message.as_str(), &thrown.kind), ("too large: 7", &Kind::Raised));
    assert_eq!((thrown.place, thrown.line.as_str()), (Some((2, 3)), "  throw \"too large: \" + n;"));
    assert_eq!(thrown.function.as_deref(), Some("g"));
    let missing = wrong(&host, "fn f() {\n  1 + nowhere(2)\n}", "f");
    assert!(missing.message.starts_with("function not found: nowhere"), "{missing:?}");
    assert_eq!(missing.place, Some((2, 7)));
    assert_eq!(wrong(&host, "fn f() { 1 / 0 }", "f").place, Some((1, 12)));
}

#[test]
fn what_reaches_outside_is_not_there() {
    let host = host(Limits::default());
    for (text, message) in [
        ("import \"x\" as x;", "import is not available here"),
        ("fn f() {\n  import \"/etc/passwd\" as x;\n}", "import is not available here"),
        ("fn f() { eval(\"1\") }", "eval is not available here"),
        ("const A = 1;\nexport A;", "export is not available here"),
        ("print(1);", "only functions and constants stand in a module"),
        ("let x = 1;", "only functions and constants stand in a module"),
    ] {
        let wrong = host.compile("m.rhai", text).err().unwrap();
        assert_eq!((wrong.message.as_str(), wrong.kind), (message, Kind::Syntax), "{text}");
        assert!(wrong.place.is_some(), "{text}");
    }
    for call in ["open_file(\"/etc/passwd\")", "read(\"/\")", "http_get(\"x\")", "exec(\"ls\")"] {
        let wrong = wrong(&host, &format!("fn f() {{ {call} }}"), "f");
        assert!(wrong.message.starts_with("function not found"), "{wrong:?}");
    }
}

#[test]
fn a_text_that_is_no_rhai_has_its_place() {
    let host = host(Limits::default());
    let wrong = host.compile("m.rhai", "fn f(n) {\n  let x = ;\n}").err().unwrap();
    assert_eq!((wrong.kind, wrong.place.map(|place| place.0)), (Kind::Syntax, Some(2)));
    assert_eq!(wrong.line, "  let x = ;");
    let unclosed = host.compile("m.rhai", "fn f(n) {\n  1").err().unwrap();
    assert_eq!(unclosed.place.map(|place| place.0), Some(2), "{unclosed:?}");
    // Names are looked up when the file is read.
    let unknown = host.compile("m.rhai", "fn f(n) { m + 1 }").err().unwrap();
    assert_eq!(unknown.place, Some((1, 11)), "{unknown:?}");
}

#[test]
fn the_deepest_calls_that_can_be_allowed_fit_the_stack() {
    let depth = usize::try_from(Limit::Depth.most()).unwrap();
    // As large as the program makes its own.
    let stack = usize::try_from(crate::sys::stack::SIZE).unwrap();
    let deepest = move || {
        let host = host(Limits { depth, ..Limits::default() });
        let nested = format!("{}g(n + 1){}", "[".repeat(8), "]".repeat(8));
        wrong(&host, &format!("fn g(n) {{ {nested} }}\nfn f() {{ g(1) }}"), "f").kind
    };
    let thread = std::thread::Builder::new().stack_size(stack).spawn(deepest).unwrap();
    assert_eq!(thread.join().unwrap(), Kind::Limit(Limit::Depth));
}
