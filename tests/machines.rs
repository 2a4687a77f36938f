//! Machines: a source, a target, and a third one whose script connects them and goes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use nix::sys::signal::Signal;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use support::served::Served;
use support::{Dtcl, Home, Ran, have, is_root, oracle, q, skip, tree};

/// Two services with an administrator each, and the home of who drives them.
struct Three {
    alpha: Home,
    beta: Home,
    gamma: Home,
}

impl Three {
    fn new() -> Three {
        let three = Three { alpha: Home::new(), beta: Home::new(), gamma: Home::new() };
        for home in [&three.alpha, &three.beta] {
            home.dtcl().args(["user", "add", "admin", "dtadmin"]).stdin("a secret\n").run().ok();
        }
        three
    }

    fn source(&self) -> PathBuf {
        self.alpha.dir("source")
    }

    fn target(&self) -> PathBuf {
        self.beta.path("target")
    }

    /// Logs in to both and connects the set `s`; more may follow.
    fn connects(&self, dtcl: Dtcl, alpha: &str, beta: &str, flags: &str, then: &str) -> Ran {
        let secret = self.gamma.file("password", "a secret\n");
        let script = format!(
            "login \"{alpha}\" admin\nlogin \"{beta}\" admin\nsource \"{alpha}\"\nset RemapLink = 0\n\
             repset create s\nrepset rule add {source} include, recursive to s\nrepset save s\n\
             $con = connect s to \"{beta}\" map {source} to {target} {flags}\n{then}",
            source = q(&self.source()),
            target = q(&self.target())
        );
        dtcl.env("DTCL_PASSWORD_FILE", secret).script(script).run()
    }

    fn same(&self) {
        oracle::assert_same(&self.source(), &self.target());
    }
}

const WAIT: &str = "waitonmirror $con timeout = 60";

#[test]
fn a_dry_run_of_a_far_connection_calls_and_changes_nobody() {
    let three = Three::new();
    let mut alpha = Served::at(&three.alpha, "127.0.0.2:0");
    let mut beta = Served::at(&three.beta, "127.0.0.3:0");
    let (a, b) = (alpha.address(), beta.address());
    // What is there, this machine cannot see.
    let then = format!(
        "{WAIT}\nwrite \"came\"\n$r = repset calculate s\nwrite $r\n$r = explain \"/only/there/x\" con $con\nwrite $r\n\
         disconnect $con\nrepset create t\nrepset rule add \"/only/there\" include to t\nrepset save t\n\
         $c = connect t to \"{b}\" map base \"/only/then\"\ndisconnect $c\n\
         connect s to \"{b}\" map {source} to {target} dryrun\n",
        source = q(&three.source()),
        target = q(&three.target())
    );
    let ran = three.connects(three.gamma.dtcl().arg("--dry-run"), &a, &b, "", &then);
    ran.status(1).says("what this would send cannot be told in a dry run");
    ran.prints_lines(&["came", "-161", "-161", "would: disconnect 1", "would: disconnect 2"]);
    assert!(!ran.out.contains("0 files"), "{}", ran.out);
    three.alpha.dtcl().text("write (len(repsets()) + len(connections()))").run().ok().prints("0");
    three.beta.dtcl().args(["grant", "list"]).run().ok();
    let log = std::fs::read_dir(three.beta.home().join("log")).unwrap().flatten();
    let log: String =
        log.map(|file| String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned()).collect();
    assert!(!log.contains("may send") && !log.contains("refused"), "{log}");
}

#[test]
fn a_script_on_a_third_machine_connects_two_and_goes() {
    if !have("rsync") {
        return skip("a_script_on_a_third_machine_connects_two_and_goes", "rsync is not installed");
    }
    let three = Three::new();
    tree::every_kind(&three.source(), &three.alpha.path("outside"));
    let mut alpha = Served::at(&three.alpha, "127.0.0.2:0");
    let mut beta = Served::at(&three.beta, "127.0.0.3:0");
    let (a, b) = (alpha.address(), beta.address());
    let then = format!("{WAIT}\nwrite $con\nstatus con $con");
    let connected = three.connects(three.gamma.dtcl(), &a, &b, "", &then);
    connected.ok().prints(&format!("Target machine:                   {b}"));
    // Nobody is there, and it goes on.
    three.alpha.file("source/later", "written while no client was there");
    three.alpha.dtcl().args(["barrier", "1", "timeout", "=", "60"]).run().ok();
    three.same();
    let target = || three.beta.dtcl().text("status target localhost").run();
    target().ok().prints("Source address:").prints("127.0.0.").prints("Replication set:                  s");
    // It is verified over the same line, and the target's name finds it.
    three.alpha.dtcl().text("verify 1 checksum; waitonmirror 1 timeout = 60").run().ok();
    three.alpha.dtcl().args(["conid", "s", "to", &b]).run().ok();
    // The place is taken.
    let again = three.connects(three.gamma.dtcl(), &a, &b, "", "");
    again.status(1).says("error -122");
    // The end gives the grant back.
    three.alpha.dtcl().args(["disconnect", "1"]).run().ok();
    assert!(!target().ok().out.contains("Source key"), "{}", target().report());
    three.alpha.dtcl().arg("shutdown").run().ok();
    three.beta.dtcl().arg("shutdown").run().ok();
    assert_eq!(alpha.ended().0.or(beta.ended().0), Some(0));
}

#[test]
fn who_is_no_administrator_of_the_target_connects_nothing_to_it() {
    let three = Three::new();
    three.beta.dtcl().args(["user", "add", "watcher", "dtmon"]).stdin("a secret\n").run().ok();
    three.alpha.file("source/f", "content");
    let (mut alpha, mut beta) =
        (Served::at(&three.alpha, "127.0.0.2:0"), Served::at(&three.beta, "127.0.0.3:0"));
    let (a, b) = (alpha.address(), beta.address());
    let secret = three.gamma.file("password", "a secret\n");
    let ran = |login: &str| {
        let script = format!(
            "login \"{a}\" admin\n{login}source \"{a}\"\nrepset create t\n\
             repset rule add {source} include, recursive to t\nrepset save t\nconnect t to \"{b}\" map exact",
            source = q(&three.source()),
        );
        three.gamma.dtcl().env("DTCL_PASSWORD_FILE", &secret).script(script).run()
    };
    ran("").status(3).says("error -138").says("a password is needed");
    let login = format!("login \"{b}\" watcher\n");
    let clean = "repset delete t\n";
    let script = format!("login \"{a}\" admin\nsource \"{a}\"\n{clean}");
    three.gamma.dtcl().env("DTCL_PASSWORD_FILE", &secret).script(script).run().ok();
    ran(&login).status(3).says("you have Monitor Access").says(&format!("LOGIN {b} <user>"));
    three.alpha.dtcl().arg("status").run().ok();
    let statuses = three.alpha.dtcl().arg("status").run();
    assert!(!statuses.out.contains(&b), "{}", statuses.report());
}

#[test]
fn a_dry_run_and_what_is_refused_leave_no_grant() {
    let three = Three::new();
    three.alpha.file("source/f", "content");
    let (mut alpha, mut beta) =
        (Served::at(&three.alpha, "127.0.0.2:0"), Served::at(&three.beta, "127.0.0.3:0"));
    let (a, b) = (alpha.address(), beta.address());
    let dry = three.connects(three.gamma.dtcl(), &a, &b, "dryrun", "");
    dry.ok().prints("Files:");
    assert!(!three.target().exists());
    let none = || {
        let status = three.beta.dtcl().text("status target localhost").run();
        assert!(!status.ok().out.contains("Source key"), "{}", status.report());
    };
    none();
    // The source refuses what the target has granted already.
    let secret = three.gamma.file("password", "a secret\n");
    let script = format!(
        "login \"{a}\" admin\nlogin \"{b}\" admin\nsource \"{a}\"\n\
         connect s to \"{b}\" map exact route \"127.0.0.9\"",
    );
    let refused = three.gamma.dtcl().env("DTCL_PASSWORD_FILE", &secret).script(script).run();
    refused.status(1).says("ROUTE to another machine is not yet available");
    none();
    // The engine's own directories are no place for a replica.
    let script = format!(
        "login \"{a}\" admin\nlogin \"{b}\" admin\nsource \"{a}\"\n\
         connect s to \"{b}\" map {} to {}",
        q(&three.source()),
        q(&three.beta.home().join("lib/copy"))
    );
    let refused = three.gamma.dtcl().env("DTCL_PASSWORD_FILE", &secret).script(script).run();
    refused.status(1).says("where the target keeps its own files");
    none();
}

/// CNX-01, FBK-03: killed at any moment, connections are there again, numbered from 1 in the order in which they were made, and those
/// that replicated go on by themselves.
#[test]
fn connections_survive_the_death_of_their_services() {
    const NAME: &str = "connections_survive_the_death_of_their_services";
    if !have("rsync") {
        return skip(NAME, "rsync is not installed");
    }
    let three = Three::new();
    tree::random(&three.source(), 11, 100);
    three.alpha.file("source/same size, same time", "x");
    let (mut alpha, mut beta) =
        (Served::at(&three.alpha, "127.0.0.2:0"), Served::at(&three.beta, "127.0.0.3:0"));
    let (a, b) = (alpha.address(), beta.address());
    let here = |text: &str| three.alpha.dtcl().text(text).run();
    let (other, copy) = (three.alpha.dir("other"), three.alpha.path("copy"));
    here(&format!(
        "repset create t; repset rule add {other} include, recursive to t; repset save t\n\
         $con = connect t to localhost map {other} to {copy} noreplicate; waitonmirror $con timeout = 60",
        other = q(&other),
        copy = q(&copy)
    ))
    .ok();
    three.connects(three.gamma.dtcl(), &a, &b, "", WAIT).ok();
    here("set AutoRemirrorRetry = 1").ok();
    three.alpha.file("other/f", "x");
    here("$con = connect t to localhost map base \"/tmp/dtcl never made\" nomirror noreplicate").ok();
    here("conid t to localhost").status(1).says("several times");
    here("disconnect 1").ok();
    // Both die; the target is back later.
    alpha.signal(Signal::SIGKILL);
    beta.signal(Signal::SIGKILL);
    drop((alpha, beta));
    three.alpha.file("source/while nobody was there", "x");
    // What two writes within one tick of the clock do.
    let file =
        std::fs::File::options().write(true).open(three.source().join("same size, same time")).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"Y", 0).unwrap();
    file.set_modified(before).unwrap();
    std::fs::remove_file(three.source().join("nothing")).unwrap_or_default();
    let mut alpha = Served::at(&three.alpha, &a);
    here("status con 1").ok().prints("Replication set:                  s").prints(&b);
    here("status con 2").ok().prints("Replication set:                  t");
    here("status con 3").status(1).says("error -107");
    let waits = here("barrier 1 timeout = 0");
    assert_ne!(waits.status, 0, "{}", waits.report());
    let beta = Served::at(&three.beta, &b);
    here("barrier 1 timeout = 60").ok();
    three.same();
    here("status con 1").ok().prints("Target state:                     OK");
    // What was disconnected and what was never to replicate stay so.
    here("barrier 2 timeout = 1").status(1);
    three.alpha.dtcl().arg("shutdown").run().ok();
    let (status, said) = alpha.ended_after_address();
    assert_eq!(status, Some(0));
    assert!(said.contains("all changes were sent, to be resumed"), "{said}");
    // Moved away: nothing goes on by itself.
    let file = three.alpha.home().join("lib/connect.sts");
    std::fs::rename(&file, file.with_extension("old")).unwrap();
    alpha = Served::at(&three.alpha, &a);
    here("status con 1").status(1).says("error -107");
    // The place on the target is that source's still; it may have it anew.
    three.beta.dtcl().text("status target localhost").run().ok().prints("not connected");
    let again = format!(
        "login \"{b}\" admin\n$con = connect s to \"{b}\" map {} to {}\n{WAIT}",
        q(&three.source()),
        q(&three.target())
    );
    let secret = three.gamma.file("password", "a secret\n");
    let connected = three.alpha.dtcl().env("DTCL_PASSWORD_FILE", secret).script(again).run();
    connected.ok().says("its grant is taken back");
    three.same();
    let listed = three.beta.dtcl().args(["grant", "list"]).run();
    let id = listed.ok().out.split('\t').next().unwrap().to_owned();
    assert_eq!(listed.out.lines().count(), 2, "{}", listed.report());
    three.beta.dtcl().args(["grant", "remove", &id]).run().ok();
    three.beta.dtcl().args(["grant", "remove", &id]).run().status(1).says("there is no grant");
    assert_eq!(three.beta.dtcl().args(["grant", "list"]).run().ok().out, "");
    drop((alpha, beta));
}

/// 5712, 5715 to 5718, and 4007 to 4010 with them: what each side hears of the other, in the system's log.
#[test]
fn administrators_hear_of_machines_that_go_and_come() {
    let three = Three::new();
    three.alpha.file("source/f", "content");
    let daemon = |home: &Home| {
        let path = home.path("syslog");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        (path, socket)
    };
    let ((alpha_log, alpha_hears), (beta_log, beta_hears)) = (daemon(&three.alpha), daemon(&three.beta));
    // The next event of that number; those before it are passed over.
    let until = |hears: &UnixDatagram, start: &str| {
        let mut buffer = [0; 4096];
        let mut others = String::new();
        loop {
            let length =
                hears.recv(&mut buffer).unwrap_or_else(|error| panic!("no {start}: {error}\n{others}"));
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if text.contains(&format!("]: event {start}: ")) {
                return text;
            }
            others.push_str(&format!("{text}\n"));
        }
    };
    let at = |home: &Home, log: &PathBuf, listen: &str| {
        Served::by(home, home.dtcl().env("DTCL_SYSLOG", log), listen)
    };
    let mut alpha = at(&three.alpha, &alpha_log, "127.0.0.2:0");
    let mut beta = at(&three.beta, &beta_log, "127.0.0.3:0");
    let (a, b) = (alpha.address(), beta.address());
    three.connects(three.gamma.dtcl(), &a, &b, "", WAIT).ok();
    three.alpha.dtcl().text("set AutoRemirrorRetry = 1").run().ok();
    until(&beta_hears, "5718 Information");
    beta.signal(Signal::SIGKILL);
    beta.ended_after_address();
    assert!(until(&alpha_hears, "5716 Error").contains("replication set s, connection 1"));
    for event in ["4007 Warning", "4008 Information", "4009 Information", "4011 Error"] {
        until(&alpha_hears, event);
    }
    let beta = at(&three.beta, &beta_log, &b);
    for event in ["4010 Information", "5717 Information", "5712 Information"] {
        until(&alpha_hears, event);
    }
    until(&beta_hears, "5718 Information");
    alpha.signal(Signal::SIGKILL);
    alpha.ended_after_address();
    until(&beta_hears, "5715 Error");
    // It goes on when it is started again.
    let _alpha = at(&three.alpha, &alpha_log, &a);
    until(&alpha_hears, "4009 Information");
    until(&alpha_hears, "4010 Information");
    until(&beta_hears, "5718 Information");
    // A target that ends in good order has lost no source.
    beta.signal(Signal::SIGTERM);
    let mut buffer = [0; 4096];
    loop {
        let length = beta_hears.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(!text.contains("event 5715"), "{text}");
        if text.contains("event 4005") {
            break;
        }
    }
}

/// TRN-02 over machines: a stop closes the socket and survives the source's service; what changed meanwhile arrives.
#[test]
fn transmission_stays_stopped_over_a_restart_until_it_is_started() {
    const NAME: &str = "transmission_stays_stopped_over_a_restart_until_it_is_started";
    if !have("rsync") {
        return skip(NAME, "rsync is not installed");
    }
    let three = Three::new();
    tree::random(&three.source(), 13, 60);
    let (mut alpha, mut beta) =
        (Served::at(&three.alpha, "127.0.0.2:0"), Served::at(&three.beta, "127.0.0.3:0"));
    let (a, b) = (alpha.address(), beta.address());
    three.connects(three.gamma.dtcl(), &a, &b, "compress 3", WAIT).ok();
    let here = |text: &str| three.alpha.dtcl().text(text).run();
    let barrier = || here("barrier 1 timeout = 60");
    let port = b.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    // Of the source to the target.
    let sockets = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let to = format!(":{port:04X}");
        let mut lines = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        lines.any(|words| words.len() > 3 && words[2].ends_with(&to) && words[3] == "01")
    };
    here("set AutoRemirrorRetry = 1").ok();
    assert!(sockets());
    here(&format!("transmission pause \"{b}\"")).ok();
    here("status").ok().prints("Paused").prints("TRANSMISSION RESUME");
    assert!(sockets());
    here(&format!("transmission stop \"{b}\"")).ok();
    assert!(!sockets());
    here(&format!("transmission stop \"{b}\"")).status(1).says("error -153");
    three.alpha.file("source/while it was stopped", "x");
    here("barrier 1 timeout = 0").status(5).says("TRANSMISSION START");
    assert!(!three.target().join("while it was stopped").exists());
    // Nothing is compared anew for it.
    here(&format!("transmission start \"{b}\"")).ok();
    barrier().ok();
    three.same();
    here("status con 1").ok().prints("Target state:                     OK");
    // The service ends while it is stopped, at once, and is started again.
    here(&format!("transmission stop \"{b}\"")).ok();
    three.alpha.file("source/before the restart", "y");
    here("disconnect 1").status(1).says("error -153");
    here("shutdown").ok();
    alpha.ended_after_address();
    three.alpha.file("source/while nobody was there", "z");
    let alpha = Served::at(&three.alpha, &a);
    here("status").ok().prints("Stopped");
    assert!(!sockets());
    here("compression list").ok().prints("On / 3");
    here(&format!("transmission start \"{b}\"")).ok();
    let began = std::time::Instant::now();
    while barrier().status != 0 {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{}", barrier().report());
    }
    three.same();
    // A backup of the target.
    here(&format!("pause target \"{b}\"")).ok();
    here("status source").ok().prints("Target status:                    Paused");
    three.alpha.file("source/during the backup", "w");
    here("barrier 1 timeout = 0").status(5).says("RESUME TARGET");
    here(&format!("resume target \"{b}\"")).ok();
    barrier().ok();
    three.same();
    drop((alpha, beta));
}

/// Network namespaces, gone with the test.
struct Net(Vec<String>);

impl Net {
    /// Namespaces with the addresses 10.177.0.1, .2 and so on, on one bridge in the first.
    fn new(names: &[&str]) -> Option<Net> {
        let net = Net(names.iter().map(|name| format!("dtcl-{}-{name}", std::process::id())).collect());
        for name in &net.0 {
            ip(&["netns", "add", name]).then_some(())?;
            ip(&["-n", name, "link", "set", "lo", "up"]).then_some(())?;
        }
        let first = net.0[0].as_str();
        ip(&["-n", first, "link", "add", "name", "bridge0", "type", "bridge"]).then_some(())?;
        ip(&["-n", first, "addr", "add", "10.177.0.1/24", "dev", "bridge0"]).then_some(())?;
        ip(&["-n", first, "link", "set", "dev", "bridge0", "up"]).then_some(())?;
        for (number, name) in net.0.iter().enumerate().skip(1) {
            let port = format!("port{number}");
            let address = format!("10.177.0.{}/24", number + 1);
            ip(&[
                "-n", first, "link", "add", "name", &port, "type", "veth", "peer", "name", "veth0", "netns",
                name,
            ])
            .then_some(())?;
            ip(&["-n", first, "link", "set", "dev", &port, "master", "bridge0", "up"]).then_some(())?;
            ip(&["-n", name, "addr", "add", &address, "dev", "veth0"]).then_some(())?;
            ip(&["-n", name, "link", "set", "dev", "veth0", "up"]).then_some(())?;
        }
        Some(net)
    }

    /// Cuts the cable of a machine, or mends it.
    fn cable(&self, number: usize, state: &str) {
        assert!(ip(&["-n", &self.0[0], "link", "set", "dev", &format!("port{number}"), state]));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.0.iter().for_each(|name| {
            ip(&["netns", "del", name]);
        });
    }
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip")
        .args(args)
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Each machine has an address of its own and no other way to the others; the cable of the target is cut in the midst of
/// replication, and its service killed.
#[test]
fn machines_of_their_own_go_on_after_a_cut_and_a_kill() {
    const NAME: &str = "machines_of_their_own_go_on_after_a_cut_and_a_kill";
    if !is_root() || !have("ip") || !have("rsync") {
        return skip(NAME, "needs root, ip and rsync");
    }
    let Some(net) = Net::new(&["gamma", "alpha", "beta"]) else {
        return skip(NAME, "no network namespaces here");
    };
    let three = Three::new();
    tree::random(&three.source(), 7, 200);
    let _alpha = Served::by(&three.alpha, three.alpha.dtcl_within(&net.0[1]), "10.177.0.2:1500");
    let beta = || Served::by(&three.beta, three.beta.dtcl_within(&net.0[2]), "10.177.0.3:1500");
    let first = beta();
    let script = three.gamma.dtcl_within(&net.0[0]);
    let options = "set AutoRemirrorRetry = 1";
    three.connects(script, "10.177.0.2", "10.177.0.3", "", &format!("{options}\n{WAIT}")).ok();
    three.same();
    let barrier = || three.alpha.dtcl().args(["barrier", "1", "timeout", "=", "60"]).run();
    net.cable(2, "down");
    three.alpha.file("source/while the cable was out", "x");
    let waits = three.alpha.dtcl().args(["barrier", "1", "timeout", "=", "1"]).run();
    assert_ne!(waits.status, 0, "{}", waits.report());
    net.cable(2, "up");
    barrier().ok();
    three.same();
    // Killed, and started again: what was on its way is sent anew, by itself.
    first.signal(Signal::SIGKILL);
    drop(first);
    three.alpha.file("source/while nobody was there", "y");
    let _second = beta();
    let began = std::time::Instant::now();
    while barrier().status != 0 {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{}", barrier().report());
    }
    three.same();
}

/// CNX-01: what the target has is known over a kill -9 and an orderly restart, so that what goes meanwhile goes there, too, and what only the
/// target has stays.
#[test]
fn what_goes_while_its_source_is_down_goes_and_the_targets_own_stays() {
    const NAME: &str = "what_goes_while_its_source_is_down_goes_and_the_targets_own_stays";
    if !have("rsync") {
        return skip(NAME, "rsync is not installed");
    }
    let three = Three::new();
    tree::random(&three.source(), 23, 60);
    for name in ["source/d/gone", "source/d/stays", "source/e/gone", "source/moved/f"] {
        three.alpha.file(name, name);
    }
    let (mut alpha, mut beta) =
        (Served::at(&three.alpha, "127.0.0.2:0"), Served::at(&three.beta, "127.0.0.3:0"));
    let (a, b) = (alpha.address(), beta.address());
    three.connects(three.gamma.dtcl(), &a, &b, "", WAIT).ok();
    let here = |text: &str| three.alpha.dtcl().text(text).run();
    here("set AutoRemirrorRetry = 1").ok();
    let until = |so: &dyn Fn() -> bool| {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !so() {
            assert!(std::time::Instant::now() < end, "{}", here("status con 1").report());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    until(&|| three.alpha.home().join("lib/ledger-1").exists());
    let own = three.target().join("d/the target's own");
    for round in 0..2 {
        std::fs::write(&own, "own").unwrap();
        let signal = if round == 0 { Signal::SIGKILL } else { Signal::SIGTERM };
        alpha.signal(signal);
        alpha.ended_after_address();
        let at = |name: &str| three.source().join(name);
        std::fs::remove_file(at(["d/gone", "d/stays"][round])).unwrap();
        std::fs::rename(at(["moved", "e/moved"][round]), at(["e/moved", "back"][round])).unwrap();
        three.alpha.file("source/d/new", format!("{round}"));
        alpha = Served::at(&three.alpha, &a);
        until(&|| here("barrier 1 timeout = 60").status == 0);
        assert!(own.exists());
        std::fs::remove_file(&own).unwrap();
        // For the time of its directory.
        three.alpha.file(&format!("source/d/again {round}"), "");
        until(&|| here("barrier 1 timeout = 60").status == 0);
        three.same();
    }
    here("disconnect 1").ok();
    assert!(!three.alpha.home().join("lib/ledger-1").exists());
    drop((alpha, beta));
}

/// TRN-19, -22, -27, -30: a limit and a schedule over a kill -9 of the source's service, as an administrator types them.
#[test]
fn limits_and_schedules_hold_over_a_kill() {
    const NAME: &str = "limits_and_schedules_hold_over_a_kill";
    if !have("rsync") {
        return skip(NAME, "rsync is not installed");
    }
    let three = Three::new();
    tree::random(&three.source(), 17, 40);
    let (mut alpha, mut beta) =
        (Served::at(&three.alpha, "127.0.0.2:0"), Served::at(&three.beta, "127.0.0.3:0"));
    let (a, b) = (alpha.address(), beta.address());
    three.connects(three.gamma.dtcl(), &a, &b, "", WAIT).ok();
    let here = |text: &str| three.alpha.dtcl().text(text).run();
    let port = b.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let sockets = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let to = format!(":{port:04X}");
        let mut lines = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        lines.any(|words| words.len() > 3 && words[2].ends_with(&to) && words[3] == "01")
    };
    let until = |so: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !so() {
            assert!(began.elapsed() < std::time::Duration::from_secs(60), "{}", here("status").report());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    here("set AutoRemirrorRetry = 1").ok();
    here(&format!("limit bandwidth 2 mbit to \"{b}\"")).ok();
    here("limit bandwidth list").ok().prints("2000 kbit/s");
    here("status con 1").ok().prints("Bandwidth limit:                  2000 kbit/s");
    // From 200 KB on; until then nothing is sent, and there is no socket.
    here(&format!("schedule \"{b}\" start queuesize = 200000")).ok();
    here("status").ok().prints("Scheduled").prints("TRANSMISSION START");
    assert!(!sockets());
    three.alpha.file("source/little", "x");
    here("barrier 1 timeout = 1").status(5).says("waits for its schedule");
    here("disconnect 1").status(1).says("error -153");
    assert!(!three.target().join("little").exists());
    three.alpha.file("source/much", vec![7; 500_000]);
    let began = std::time::Instant::now();
    until(&|| three.target().join("much").exists() && !sockets());
    // Two seconds' worth, less what has gone while nobody looked.
    assert!(began.elapsed() > std::time::Duration::from_millis(1500), "{:?}", began.elapsed());
    three.same();
    here("status").ok().prints("Scheduled");
    alpha.signal(Signal::SIGKILL);
    alpha.ended_after_address();
    three.alpha.file("source/while nobody was there", "z");
    let alpha = Served::at(&three.alpha, &a);
    here("status").ok().prints("Scheduled");
    here("limit bandwidth list").ok().prints("2000 kbit/s").prints("always");
    here(&format!("schedule \"{b}\" list")).ok().prints("Start at queued bytes:            200000");
    assert!(!sockets());
    // What cannot be is refused, and changes nothing.
    for (wrong, code) in [
        ("schedule {b} window 22:00 to 22:00", 139),
        ("schedule {b} start starttime = 01/01/20 10:00", 139),
        ("schedule {b} enable", 188),
        ("limit bandwidth 1, 86400 to {b}", 101),
        ("limit bandwidth schedule remove night to {b}", 2303),
    ] {
        let wrong = wrong.replace("{b}", &format!("\"{b}\""));
        here(&wrong).status(1).says(&format!("error -{code}"));
    }
    here(&format!("limit bandwidth off to \"{b}\"")).ok();
    here("limit bandwidth list").ok().prints("Unlimited");
    // By hand, and then without a schedule.
    here(&format!("transmission start \"{b}\"")).ok();
    until(&|| three.target().join("while nobody was there").exists());
    here(&format!("schedule \"{b}\" clear")).ok();
    until(&|| here("barrier 1 timeout = 60").status == 0);
    three.same();
    here("status").ok().prints("Started");
    drop((alpha, beta));
}

/// Asks until the answer has these words.
#[track_caller]
fn until_task(home: &Home, job: &str, words: &str) -> Ran {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let status = home.dtcl().text(&format!("task status {job}")).run();
        if status.out.contains(words) {
            return status;
        }
        assert!(std::time::Instant::now() < end, "no {words}: {}", status.report());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// What a source had queued is queued again when its service was killed, if it was never sent, or is to run at least once; what was
/// sent, and is to run at most once, is not. The target runs nothing before its administrator has said so.
#[test]
fn tasks_outlive_the_death_of_their_source() {
    let three = Three::new();
    three.alpha.file("source/first", "content");
    let mut alpha = Served::at(&three.alpha, "127.0.0.2:0");
    let mut beta = Served::at(&three.beta, "127.0.0.3:0");
    let (a, b) = (alpha.address(), beta.address());
    three.connects(three.gamma.dtcl(), &a, &b, "", WAIT).ok();
    let ran = three.beta.path("ran");
    let script = three.beta.file(
        "task.sh",
        format!(
            "#!/bin/sh\necho $DT_JOB >> {ran}\n[ \"$1\" = waits ] || exit 0\nwhile [ ! -e {go} ]; do sleep 0.05; done\n",
            ran = ran.display(),
            go = three.beta.path("go").display()
        ),
    );
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, executable).unwrap();
    let queue = |job: &str, more: &str| {
        let text = format!("queuetask {job} to \"{b}\" onexecute = {} {more}", q(&script));
        three.alpha.dtcl().text(&text).run().ok();
    };
    let lines = || std::fs::read_to_string(&ran).unwrap_or_default();
    queue("early", "");
    until_task(&three.alpha, "early", "ignored").prints("grant does not allow tasks");
    let list = three.beta.dtcl().args(["grant", "list"]).run();
    let id = list.ok().prints("no tasks").out.split('\t').next().unwrap().to_owned();
    three.beta.dtcl().args(["grant", "tasks", &id, "on"]).run().ok();
    queue("early", "");
    until_task(&three.alpha, "early", "EnableTaskCmdProcessing is 0").prints("ignored");
    three.beta.dtcl().text("set EnableTaskCmdProcessing = 1").run().ok();
    queue("early", "");
    until_task(&three.alpha, "early", "succeeded");
    assert_eq!(lines(), "early\n");

    // Never sent.
    three.alpha.dtcl().text(&format!("pause target \"{b}\"")).run().ok();
    three.alpha.file("source/before", "content");
    queue("unsent", "");
    alpha.signal(Signal::SIGKILL);
    drop(alpha);
    let alpha = Served::at(&three.alpha, "127.0.0.2:0");
    three.alpha.dtcl().text(&format!("resume target \"{b}\"")).run().ok();
    until_task(&three.alpha, "unsent", "succeeded").prints("the source was started again");
    assert_eq!(lines(), "early\nunsent\n");
    assert!(three.target().join("before").exists());

    // Sent, and its end was not heard.
    let runs = |job: &str| {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !lines().ends_with(&format!("{job}\n")) {
            assert!(std::time::Instant::now() < end, "{}", lines());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    queue("once", "\"waits\"");
    runs("once");
    alpha.signal(Signal::SIGKILL);
    drop(alpha);
    let alpha = Served::at(&three.alpha, "127.0.0.2:0");
    until_task(&three.alpha, "once", "failed").prints("its end is not known").prints("is not repeated");
    std::fs::write(three.beta.path("go"), "").unwrap();
    three.alpha.dtcl().text("barrier 1 timeout = 60").run().ok();
    assert_eq!(lines(), "early\nunsent\nonce\n");
    std::fs::remove_file(three.beta.path("go")).unwrap();
    queue("again", "\"waits\" repeat");
    runs("again");
    alpha.signal(Signal::SIGKILL);
    drop(alpha);
    let _alpha = Served::at(&three.alpha, "127.0.0.2:0");
    // The first run is still at it: until it has ended the source is not let in.
    std::fs::write(three.beta.path("go"), "").unwrap();
    until_task(&three.alpha, "again", "succeeded").prints("at least once");
    assert_eq!(lines(), "early\nunsent\nonce\nagain\nagain\n");
}
