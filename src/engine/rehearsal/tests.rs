use super::*;
use crate::api::{MapSpec, Rule};

struct Bed {
    dir: tempfile::TempDir,
    home: Home,
}

impl Bed {
    /// A home with a saved set `payroll` of `data`.
    fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let home = Home::at(dir.path().join("home"));
        let engine = Engine::open(home.clone()).unwrap();
        let ask = |request| engine.call(request, &mut ()).unwrap();
        let path = dir.path().join("data").display().to_string();
        ask(Request::RepsetCreate { repset: "payroll".into() });
        ask(Request::RuleAdd {
            repset: "payroll".into(),
            rule: Rule { path, include: true, recursive: true },
        });
        ask(Request::RepsetSave { repset: None });
        ask(Request::Set {
            option: "LogDir".into(),
            value: dir.path().join("elsewhere").display().to_string(),
        });
        engine.close(Duration::ZERO);
        Bed { dir, home }
    }

    fn connect(&self) -> Request {
        Request::Connect(ConnectSpec {
            repset: "payroll".into(),
            target: ConnectTarget::Machine("localhost".into()),
            map: MapSpec::Base(self.dir.path().join("copy").display().to_string()),
            mirror: Some(crate::api::MirrorSpec::default()),
            replicate: None,
            calculate: Some(false),
            orphans: None,
            route: None,
            compress: None,
            dry_run: false,
        })
    }
}

const ONE: ConnectionId = ConnectionId(1);

fn mirror(rehearsal: &Rehearsal) -> String {
    match rehearsal.call(Request::Status { connection: ONE }, &mut ()) {
        Ok(Reply::Connection(status)) => status.mirror,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mirror_runs_until_it_was_seen() {
    let bed = Bed::new();
    let rehearsal = Rehearsal::of_home(&bed.home).unwrap();
    assert_eq!(rehearsal.call(bed.connect(), &mut ()), Ok(Reply::Connected(ONE)));
    assert_eq!(mirror(&rehearsal), "Mirroring");
    assert_eq!(mirror(&rehearsal), "Idle");
    assert!(!bed.dir.path().join("copy").exists());
    // Nobody else ends a pause.
    rehearsal.call(Request::MirrorStart { connection: ONE, mirror: Default::default() }, &mut ()).unwrap();
    rehearsal.call(Request::MirrorPause { connection: ONE }, &mut ()).unwrap();
    let wait = |timeout_ms| Request::Wait { connection: ONE, until: Until::Mirror, timeout_ms };
    assert_eq!(rehearsal.call(wait(Some(3_600_000)), &mut ()), Ok(Reply::TimedOut));
    assert_eq!(rehearsal.call(wait(None), &mut ()).unwrap_err().code, Code::TransmissionIsPaused);
    rehearsal.call(Request::MirrorResume { connection: ONE }, &mut ()).unwrap();
    assert_eq!(rehearsal.call(wait(None), &mut ()), Ok(Reply::Done));
}

#[test]
fn the_copy_has_places_of_its_own_and_goes_with_it() {
    let bed = Bed::new();
    let rehearsal = Rehearsal::of_home(&bed.home).unwrap();
    let top = rehearsal._copy.home().settings_file().parent().unwrap().parent().unwrap().to_owned();
    assert!(rehearsal.engine.log_dir().starts_with(&top), "{:?}", rehearsal.engine.log_dir());
    // What belongs to the home belongs to no set, here either.
    let own = rehearsal.engine.own_directories();
    assert!(own.contains(&bed.home.state_dir().to_owned()), "{own:?}");
    drop(rehearsal);
    assert!(!top.exists());
}

#[test]
fn a_home_in_use_is_refused_as_a_run_would_be() {
    let bed = Bed::new();
    let engine = Engine::open(bed.home.clone()).unwrap();
    assert_eq!(Rehearsal::of_home(&bed.home).err().map(|error| error.code), Some(Code::ProductIsRunning));
    engine.close(Duration::ZERO);
}
