//! DTStat as an admin meets it: of the service, of another machine, of a file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use support::served::Served;
use support::{Dtcl, Home, q};

/// A service with a mirror of two files behind it, and statistics logged.
fn served(home: &Home, listen: &str) -> Served {
    home.file("source/a", "first");
    home.file("source/sub/b", "second");
    let served = Served::at(home, listen);
    let (source, target) = (home.path("source"), home.path("target"));
    home.script(&format!(
        "statlog start\nrepset create s\nrepset rule add {source} include, recursive to s\nrepset save s\n\
         $con = connect s to localhost map {source} to {target} mirror noreplicate\nwaitonmirror $con timeout = 60",
        source = q(&source),
        target = q(&target)
    ))
    .ok();
    served
}

/// The lines of the first snapshot that a DTStat without end prints.
fn first_snapshot(dtcl: Dtcl) -> Vec<String> {
    let mut command = dtcl.command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut running = Running(command.spawn().unwrap());
    let mut lines = Vec::new();
    for line in BufReader::new(running.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let is_last = line.contains("conTasksIgnored");
        lines.push(line);
        if is_last {
            return lines;
        }
    }
    panic!("it ended: {lines:?}");
}

/// Killed at the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_service_is_shown_as_it_is() {
    let home = Home::new();
    let _served = served(&home, "none");
    let lines = first_snapshot(home.dtcl().arg("dtstat"));
    assert_eq!((lines[0].as_str(), lines[2].as_str()), ("=====", "====="));
    for expected in [
        "TARGET:: PeerAddress: 127.0.0.1 LocalAddress: 127.0.0.1",
        "  Ops Received: 4 Mirror Ops Received: 4",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
    }
    let begins = |text: &str| lines.iter().any(|line| line.starts_with(text));
    assert!(begins("KERNEL::SourceState: 2 TargetState: 1 Start Time: "), "{lines:#?}");
    assert!(begins("MirOpsGenerated: 4 MirBytesGenerated: "), "{lines:#?}");
    assert!(begins("  conState: 1 conOpsInCmdQueue: 0 conOpsInAckQueue: 0"), "{lines:#?}");
}

#[test]
fn the_service_s_file_becomes_a_table_and_another_file() {
    let home = Home::new();
    let _served = served(&home, "none");
    let shown = home.script("statlog status\nstatlog stop\nstatlog status\nstatistics 1\nstatistics");
    shown.ok();
    let one_blank = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = shown.out.lines().map(one_blank).collect();
    for expected in [
        "State: Running",
        "State: Stopped",
        "Write interval: 5 minutes",
        "Sent Mirror (Bytes): 11",
        "Mirror Ops Received: 4",
        "conMirrorPercent: 100.0%",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
    }
    let (file, table, targets) =
        (home.home().join("log/statistic.sts"), home.path("c.csv"), home.path("t.csv"));
    let copy = home.path("copy.sts");
    let dtstat = |args: &[&str]| home.dtcl().arg("DTStat").args(args);
    let ran =
        dtstat(&["-p", "-f"]).arg(&file).arg("-s").arg(&table).arg("-st").arg(&targets).arg("-t").arg(&copy);
    ran.run().ok();
    let last = |path: &Path, name: &str| {
        let text = std::fs::read_to_string(path).unwrap();
        let heading: Vec<&str> = text.lines().next().unwrap().split(',').collect();
        let at = heading.iter().position(|found| *found == name).unwrap();
        text.lines().last().unwrap().split(',').nth(at).unwrap().to_owned()
    };
    assert_eq!(
        (last(&table, "conOpsTx"), last(&table, "Managed Pagefile Alloc")),
        ("4".to_owned(), "0".to_owned())
    );
    assert_eq!(last(&targets, "Mirror Ops Received"), "4");
    // Addresses select: of another one there is neither target nor connection.
    for (address, is_there) in [("127.0.0.1", true), ("127.0.0.9", false)] {
        let selected = dtstat(&["-p", "-f"]).arg(&file).args(["-ip", address, "-s"]).arg(&table);
        selected.run().ok();
        assert_eq!(std::fs::read_to_string(&table).unwrap().lines().count() > 1, is_there, "{address}");
    }
    // What cannot be read costs no file.
    let kept = std::fs::read(&copy).unwrap();
    dtstat(&["-p", "-f"]).arg(&targets).arg("-t").arg(&copy).run().status(1);
    assert!(std::fs::read(&copy).unwrap() == kept);
    dtstat(&["-p", "-f"]).arg(&file).arg("-t").arg(&targets).run().status(1).says("it is no statistics file");
    // What is read is not written over.
    let before = std::fs::read(&file).unwrap();
    dtstat(&["-p", "-f"]).arg(&file).arg("-s").arg(&file).run().status(1).says("stands for two files");
    assert!(std::fs::read(&file).unwrap() == before);
    // What is in the copy is what is in the file, and its screen says the same.
    let screen = dtstat(&["-f"]).arg(&file).run();
    screen.ok().prints("  conOpsTx: 4 ");
    assert_eq!(dtstat(&["-f"]).arg(&copy).run().out, screen.out);
    assert_eq!(dtstat(&["-f"]).arg(&file).args(["-start", "01/01/2101 00:00"]).run().out, "");
}

#[test]
fn another_machine_is_asked_at_its_port_and_wants_a_login() {
    let (there, here) = (Home::new(), Home::new());
    there.dtcl().args(["user", "add", "anna", "dtmon"]).stdin("her secret\n").run().ok();
    let _served = served(&there, "127.0.0.1:0");
    let log = std::fs::read_to_string(there.home().join("log/dtlog1.dtl")).unwrap();
    let port = log.split("DTStat is answered on 127.0.0.1:").nth(1).unwrap();
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    let secret = here.file("password", "her secret\n");
    let asked = || here.dtcl().args(["dtstat", "-server", "127.0.0.1"]).arg(&port);
    asked().run().status(3).says("DTCL_USER names a user");
    let lines = first_snapshot(asked().env("DTCL_USER", "anna").env("DTCL_PASSWORD_FILE", &secret));
    assert!(lines.iter().any(|line| line == "  Ops Received: 4 Mirror Ops Received: 4"), "{lines:#?}");
    // Nothing else is answered there.
    let script = format!("login \"127.0.0.1:{port}\" anna\nsource \"127.0.0.1:{port}\"\nrepset list");
    let other = here.dtcl().env("DTCL_PASSWORD_FILE", &secret).script(&script).run();
    other.says("this port answers statistics and nothing else");
    let security =
        |line: &String| line.starts_with("SECURITY::Logins : ") && line.ends_with(" FailedLogins : 1");
    assert!(lines.iter().any(security), "{lines:#?}");
}

#[test]
fn what_cannot_be_read_is_said() {
    let home = Home::new();
    home.dtcl().arg("dtstat").run().status(4).says("no service runs here").says("DTCL serve");
    let other = home.file("notes.txt", "a table");
    home.dtcl().args(["dtstat", "-f"]).arg(&other).run().status(1).says("it is no statistics file");
    home.dtcl().args(["dtstat", "-t"]).arg(&other).run().status(4);
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "a table");
    home.dtcl().args(["dtstat", "-x"]).run().status(2).says("unknown option -x");
    home.dtcl()
        .args(["dtstat", "-start", "13/01/2027", "09:25"])
        .run()
        .status(2)
        .says("not a date and a time");
}
