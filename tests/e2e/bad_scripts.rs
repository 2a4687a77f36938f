//! Scripts that cannot run: status 2, the place, what would be right; and nothing of them was run.

use crate::support::Home;

/// Runs a script whose first line writes; that line must not have been run.
#[track_caller]
fn refused(text: impl AsRef<[u8]>, says: &[&str]) {
    let home = Home::new();
    let mut script = b"write \"this ran\"\n".to_vec();
    script.extend_from_slice(text.as_ref());
    let ran = home.dtcl().script(&script).run();
    let err = ran.err.chars().take(3000).collect::<String>();
    assert_eq!(ran.status, 2, "status\n{err}");
    assert_eq!(ran.out, "", "a part of it was run");
    for expected in says {
        assert!(err.to_lowercase().contains(&expected.to_lowercase()), "it does not say {expected:?}\n{err}");
    }
}

#[test]
fn an_unknown_command() {
    refused("frobnicate all\n", &["script.dtcl:2:1", "frobnicate"]);
    refused("conect payroll to beta\n", &["script.dtcl:2:1", "CONNECT"]);
}

#[test]
fn a_missing_word() {
    refused("connect payroll to\n", &["script.dtcl:2:", "target"]);
    refused("repset rule add \"/srv\" include payroll\n", &["script.dtcl:2:", "TO"]);
    refused("mirror start\n", &["script.dtcl:2:", "con_id"]);
}

#[test]
fn an_open_block() {
    refused("IF TRUE THEN\n  write \"x\"\n", &["END"]);
    refused("WHILE TRUE DO\n", &["END"]);
    refused("END\n", &["script.dtcl:2:1"]);
}

#[test]
fn an_open_quote() {
    refused("write \"open\n", &["script.dtcl:2:7"]);
}

#[test]
fn nested_too_deep() {
    let deep = "IF TRUE THEN\n".repeat(10_000) + &"END\n".repeat(10_000);
    refused(&deep, &["256"]);
    let parentheses = format!("$x = {}1{}\n", "(".repeat(10_000), ")".repeat(10_000));
    refused(&parentheses, &["256"]);
    // Signs and NOTs may be many: they are no blocks, and no crash either.
    let home = Home::new();
    let many = format!("$x = {}1\n$y = {}TRUE\nwrite $x $y\n", "- ".repeat(10_000), "NOT ".repeat(10_000));
    let ran = home.dtcl().script(&many).run();
    assert!(
        ran.status == 2 || ran.out == "1TRUE\n",
        "{}",
        ran.report().chars().take(2000).collect::<String>()
    );
    // Never closed: the same, not a crash.
    refused("WHILE TRUE DO ".repeat(10_000) + "\n", &[]);
}

#[test]
fn nested_as_deep_as_allowed() {
    let home = Home::new();
    let script = "IF TRUE THEN\n".repeat(200) + "write \"bottom\"\n" + &"END\n".repeat(200);
    home.script(&script).ok().prints("bottom\n");
}

#[test]
fn lines_over_a_mebibyte() {
    refused(format!("write \"{}\"\n", "x".repeat(1 << 20)), &["script.dtcl:2:"]);
    refused(format!("# {}\n", "x".repeat(2 << 20)), &["script.dtcl:2:"]);
    let home = Home::new();
    let ran = home.script(&format!("write \"{}\"\n", "x".repeat((1 << 20) - 100)));
    ran.ok();
    assert_eq!(ran.out.len(), (1 << 20) - 100 + 1);
}

#[test]
fn a_binary_file() {
    refused(b"\x7fELF\x02\x01\x01\0\0\0\xff\xfe\x80 \0\n\x01\x02".as_slice(), &["script.dtcl"]);
    let home = Home::new();
    let program = env!("CARGO_BIN_EXE_DTCL");
    let ran = home.dtcl().args(["-f", program]).run();
    ran.status(2);
    assert!(ran.err.len() < 5000, "{} bytes of error", ran.err.len());
    assert!(!ran.err.contains('\0'));
}

#[test]
fn no_such_file_and_a_directory() {
    let home = Home::new();
    home.dtcl().args(["-f", "nowhere.dtcl"]).run().status(2).says("nowhere.dtcl");
    home.dtcl().args(["-f", "."]).run().status(2);
}

#[test]
fn a_module_that_is_none() {
    let home = Home::new();
    home.file("x.rhai", "fn f( {\n}\n");
    let ran = home.script("USE \"x.rhai\"\n");
    ran.status(2).says("x.rhai:1:7: here");
    home.file("y.rhai", [b'f', 0xff, 0]);
    home.script("USE \"y.rhai\"\n").status(1).says("y.rhai is no UTF-8 text");
    home.script("USE \".\"\n").status(1).says("is no .rhai file");
}

/// `--check` reports all independent errors, as text and as JSON, and runs nothing.
#[test]
fn the_check_reports_every_error() {
    let home = Home::new();
    home.file("x.dtcl", "frobnicate\nwrite $never\nsleep 1\nmirror start\nget NoSuchOption\n");
    let ran = home.dtcl().args(["--check", "x.dtcl"]).run();
    ran.status(2);
    for place in ["x.dtcl:1:1", "x.dtcl:2:7", "x.dtcl:4:", "x.dtcl:5:"] {
        ran.says(place);
    }
    let ran = home.dtcl().args(["--check", "--json", "x.dtcl"]).run();
    ran.status(2);
    assert!(ran.out.contains("\"line\"") || ran.err.contains("\"line\""), "{}", ran.report());
}

#[test]
fn a_failed_command_names_its_place_and_status() {
    let home = Home::new();
    home.script("write \"one\"\n  get NoSuch_Thing\nwrite \"two\"\n");
    let ran = home.script("write \"one\"\n  mirror start 9\nwrite \"two\"\n");
    ran.status(1).says("script.dtcl:2:3").says("-107");
    assert_eq!(ran.out, "one\n");
}

#[test]
fn machines_that_cannot_be_reached_are_status_4() {
    let home = Home::new();
    home.script("ping no-such-machine.invalid\n").status(4).says("-109");
    // Port 1 of this machine: nothing listens there.
    home.script("ping 127.0.0.1:1\n").status(4).says("-110");
    home.script("$r = ping no-such-machine.invalid\nwrite $r\n").ok().prints("-109\n");
}

#[test]
fn a_wait_that_times_out_is_status_5() {
    for files in [2000, 50_000] {
        let m = crate::migration::Migration::new();
        for n in 0..files {
            m.write(&format!("{:03}/{n}", n / 500), "x");
        }
        let ran = m.run(
            "mirror start 1 full\n$p = mirror pause 1\nIF $p = -121 THEN EXIT 99 END\n\
             $w = waitonmirror 1 timeout = 0\nwrite \"wait \" $w\nwaitonmirror 1 timeout = 1\n",
        );
        if ran.status != 99 {
            ran.status(5).prints("wait 0\n");
            return;
        }
    }
    panic!("a mirror of 50,000 files ended before it could be paused");
}

/// Scripts torn apart at random are refused or accepted, never a crash, and the error stays short.
#[test]
fn mangled_scripts_never_crash() {
    use crate::support::random::Random;
    let home = Home::new();
    let mut random = Random::new(42);
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let texts: Vec<Vec<u8>> =
        std::fs::read_dir(dir).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    let mut names = Vec::new();
    for n in 0..200 {
        let mut text = random.pick(&texts).clone();
        for _ in 0..1 + random.below(6) {
            if text.is_empty() {
                break;
            }
            let at = random.below(text.len());
            match random.below(4) {
                0 => text[at] = *random.pick(b"\"'();=,<>$#\\\n\t{}[]/ \x00\xff\xc3"),
                1 => drop(text.drain(at..(at + random.below(40)).min(text.len()))),
                2 => {
                    let piece = text[at..(at + random.below(200)).min(text.len())].to_vec();
                    let to = random.below(text.len());
                    text.splice(to..to, piece);
                }
                _ => text.truncate(at.max(1)),
            }
        }
        let name = format!("mangled-{n}.dtcl");
        home.file(&name, &text);
        names.push(name);
    }
    for chunk in names.chunks(20) {
        let ran = home.dtcl().arg("--check").args(chunk).run();
        assert!(ran.status == 0 || ran.status == 2, "{chunk:?}\n{}", ran.report());
    }
}
