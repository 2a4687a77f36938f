//! The service as an admin meets it: started, used by one client after another, ended.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;
use support::served::Served;
use support::{Home, have, is_root, oracle, q, skip, tree};

#[test]
fn a_connection_outlives_the_script_that_made_it() {
    if !have("rsync") {
        return skip("a_connection_outlives_the_script_that_made_it", "rsync is not installed");
    }
    let home = Home::new();
    let (source, target) = (home.dir("source"), home.path("target"));
    tree::every_kind(&source, &home.path("outside"));
    let served = Served::start(&home);
    let connect = home.script(&format!(
        "set RemapLink = 0\nrepset create s\nrepset rule add {source} include, recursive to s\nrepset save s\n\
         $con = connect s to localhost map {source} to {target}\nwaitonmirror $con timeout = 60\nwrite $con",
        source = q(&source),
        target = q(&target)
    ));
    connect.ok().prints("1\n");
    assert!(!connect.report().contains("ends with"), "{}", connect.report());
    // Nobody is there, and it goes on.
    home.file("source/later", "written while no client was there");
    home.dtcl().args(["barrier", "1", "timeout", "=", "60"]).run().ok();
    oracle::assert_same(&source, &target);
    home.dtcl().args(["disconnect", "1"]).run().ok();
    home.dtcl().arg("shutdown").run().ok();
    served.expect("STOPPING=1");
    let (status, said) = served.ended();
    assert_eq!((status, said.as_str()), (Some(0), ""));
}

#[test]
fn another_machine_is_driven_over_the_network() {
    let (there, here) = (Home::new(), Home::new());
    let (source, target) = (there.dir("source"), there.path("target"));
    there.file("source/f", "content");
    there.dtcl().args(["user", "add", "anna", "dtadmin"]).stdin("her secret\n").run().ok();
    there.dtcl().args(["user", "list"]).run().ok().prints("anna\tdtadmin\n");
    let mut served = Served::at(&there, "127.0.0.1:0");
    let address = served.address();
    let script = format!(
        "login \"{address}\" anna\nsource \"{address}\"\nrepset create s\n\
         repset rule add {source} include, recursive to s\nrepset save s\n\
         $con = connect s to localhost map {source} to {target}\nwaitonmirror $con timeout = 60\nwrite $con",
        source = q(&source),
        target = q(&target)
    );
    let secret = here.file("password", "her secret\n");
    let ran = here.dtcl().env("DTCL_PASSWORD_FILE", &secret).script(&script).run();
    ran.ok()
        .prints("User access level set to DT_FULL_ACCESS\n")
        .prints("1\n")
        .says("is new here: its key SHA256:");
    assert_eq!(std::fs::read_to_string(target.join("f")).unwrap(), "content");
    // It goes on there, though this script has ended.
    there.dtcl().args(["status", "con", "1"]).run().ok().prints("Replication set:                  s");
    // Nobody is let in without a password, or with another.
    here.dtcl().args(["ping", &address]).run().ok();
    let refused = here.dtcl().text(&format!("source \"{address}\"; status")).run();
    refused.status(3).says("a password is needed here").says("LOGIN <machine> <user> asks for it");
    let wrong = here.file("wrong", "another secret\n");
    let refused = here.dtcl().env("DTCL_PASSWORD_FILE", &wrong).args(["login", &address, "anna"]).run();
    refused.status(3).prints("DT_NO_ACCESS");
}

#[test]
fn users_that_cannot_be_are_refused() {
    let home = Home::new();
    let user = |args: &[&str], password: &str| home.dtcl().arg("user").args(args).stdin(password).run();
    user(&["add", "anna", "dtmon"], "secret\n").ok();
    user(&["add", "anna", "dtmon"], "secret\n")
        .status(1)
        .says("the user anna exists")
        .says("DTCL user passwd anna");
    user(&["add", "ben", "wheel"], "secret\n").status(1).says("there is no group wheel").says("dtadmin");
    user(&["add", "ben", "dtmon"], "").status(1).says("a password has 1 to 100 characters");
    user(&["passwd", "ben"], "secret\n").status(1).says("no user ben");
    user(&["drop", "anna"], "").status(2).says("user takes add NAME GROUP");
    user(&["passwd", "anna"], "newer\n").ok();
    user(&["remove", "anna"], "").ok();
    assert_eq!(user(&["list"], "").ok().out, "");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = home.dtcl().args(["serve", "--listen", &address]).run();
    refused
        .status(1)
        .says(&format!("cannot listen on {address}"))
        .says("another program, or another service");
    home.dtcl().args(["serve", "--listen", "beta"]).run().status(2).says("beta is no address to listen on");
}

#[test]
fn sigterm_ends_it_in_good_order_and_what_it_closed_is_named() {
    let home = Home::new();
    let source = home.dir("source");
    home.file("source/f", "content");
    let served = Served::start(&home);
    home.script(&format!(
        "repset create s\nrepset rule add {source} include, recursive to s\nrepset save s\n\
         $con = connect s to localhost map {source} to {target}\nwaitonmirror $con timeout = 60",
        source = q(&source),
        target = q(&home.path("target"))
    ))
    .ok();
    home.file("source/last", "written at the last moment");
    served.signal(nix::sys::signal::Signal::SIGTERM);
    served.expect("STOPPING=1");
    let (status, said) = served.ended();
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(
        said,
        "connection 1 of s to localhost: the mirror is complete, all changes were sent, to be resumed\n"
    );
    assert!(home.path("target/last").exists());
}

#[test]
fn sighup_reads_the_options_again() {
    let home = Home::new();
    let served = Served::start(&home);
    home.dtcl().args(["get", "MaxNumberofLogFiles"]).run().ok().prints("MaxNumberofLogFiles = 20\n");
    std::fs::write(home.home().join("etc/DT.conf"), "MaxNumberofLogFiles=7\n").unwrap();
    served.signal(nix::sys::signal::Signal::SIGHUP);
    // It is heard some time soon; no answer says when.
    let end = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let ran = home.dtcl().args(["get", "MaxNumberofLogFiles"]).run();
        if ran.ok().out == "MaxNumberofLogFiles = 7\n" {
            break;
        }
        assert!(std::time::Instant::now() < end, "{}", ran.report());
    }
}

#[test]
fn a_second_service_and_an_engine_of_its_own_are_refused() {
    let home = Home::new();
    let served = Served::start(&home);
    let pid = served.pid();
    let second = home.dtcl().arg("serve").run();
    second.status(1).says("error: another engine").says(&format!("process {pid}"));
    // A client does not open an engine: it speaks with the service.
    home.dtcl().args(["repset", "create", "s"]).run().ok();
    home.dtcl().args(["repset", "list"]).run().ok().prints("s");
    // Killed, it leaves a socket at which nobody answers; then the engine is in the client's own process again.
    drop(served);
    home.dtcl().args(["repset", "list"]).run().ok();
    home.dtcl().arg("shutdown").run().status(1).says("error -161: no service runs here");
    Served::start(&home);
}

#[test]
fn a_script_whose_service_is_killed_ends_with_status_4() {
    let home = Home::new();
    let served = Served::start(&home);
    let mut script = home.dtcl().text("write \"begins\"; while 1 = 1 do status; end").spawn();
    support::wait_for_line(&mut script, "begins");
    served.signal(nix::sys::signal::Signal::SIGKILL);
    let output = script.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("error -110"), "{said}");
}

#[test]
fn a_user_without_a_group_gets_no_access() {
    if !is_root() {
        return skip("a_user_without_a_group_gets_no_access", "needs root, to be another user");
    }
    let home = Home::new();
    let _served = Served::start(&home);
    // Only who may enter the home comes as far as its socket.
    use std::os::unix::fs::PermissionsExt as _;
    for dir in [home.root(), home.home().as_path()] {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711)).unwrap();
    }
    let refused = home.dtcl().args(["status"]).user(65_533).run();
    refused.status(3).says("error -138").says("log in with LOGIN localhost <user>");
    home.dtcl().args(["ping", "localhost"]).user(65_533).run().ok();
    home.dtcl().args(["version"]).user(65_533).run().ok();
}
