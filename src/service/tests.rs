//! A service and its clients in one process: who may do what, and how sessions end.

use super::caller::Caller;
use super::{Listen, Service};
use crate::api::{
    Access, ApiError, Code, ConnectSpec, ConnectTarget, ConnectionId, Event, GrantSpec, Introduction,
    LogFilter, LogFrom, MapSpec, MirrorSpec, OrphanSpec, Reply, Request, RootKind, Rule, TaskLimit,
    TaskPoint, TaskSpec, Until, VerifySpec, Watch,
};
use crate::commands::ui::Recorder;
use crate::commands::{self, Mode, Session};
use crate::engine::home::{Home, SOCKET};
use crate::engine::log::{self, testing::Daemon};
use crate::machine::{Connector, Machine, Machines};
use crate::runtime::{Interpreter, status};
use crate::sys;
use crate::wire::control::{ANSWER_MAX, Ask, Say, VERSION, frame};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A service that takes everybody for somebody of one level.
struct Stage {
    dir: tempfile::TempDir,
    service: Option<Service>,
}

/// Whoever runs the tests, as somebody of this level.
fn caller(uid: u32, level: Access) -> Caller {
    Caller { own: level, access: level, ..Caller::of_socket(uid, 0) }
}

fn full(uid: u32, _: u32) -> Caller {
    caller(uid, Access::Full)
}

fn monitor(uid: u32, _: u32) -> Caller {
    caller(uid, Access::Monitor)
}

fn nobody(uid: u32, _: u32) -> Caller {
    caller(uid, Access::None)
}

impl Stage {
    fn new(levels: super::Levels) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let service =
            Some(Service::start_with(Home::at(dir.path().join("home")), levels, &Listen::Nowhere).unwrap());
        Stage { dir, service }
    }

    fn home(&self) -> Home {
        Home::at(self.dir.path().join("home"))
    }

    fn client(&self) -> Arc<dyn Machine> {
        Machines::new(self.home()).open("localhost").unwrap()
    }

    fn ask(&self, request: Request) -> Result<Reply, ApiError> {
        self.client().call(request, &mut ())
    }

    /// Whatever level clients have: done by the service itself.
    fn own(&self, request: Request) {
        self.service.as_ref().unwrap().house.engine.call(request, &mut ()).unwrap();
    }

    /// A saved set of a directory `set` with a file, a link out of it and an excluded directory.
    fn set(&self) -> PathBuf {
        let root = self.dir.path().join("set");
        std::fs::create_dir_all(root.join("inner")).unwrap();
        std::fs::create_dir_all(root.join("excluded")).unwrap();
        std::fs::write(root.join("file"), "content").unwrap();
        std::fs::write(self.dir.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(self.dir.path(), root.join("way out")).unwrap();
        self.own(Request::RepsetCreate { repset: "s".into() });
        for (path, include) in [(root.clone(), true), (root.join("excluded"), false)] {
            let rule = Rule { path: path.to_str().unwrap().into(), include, recursive: true };
            self.own(Request::RuleAdd { repset: "s".into(), rule });
        }
        self.own(Request::RepsetSave { repset: None });
        root
    }

    fn set_of_everything(&self) {
        self.own(Request::RepsetCreate { repset: "all".into() });
        let rule = Rule { path: "/".into(), include: true, recursive: true };
        self.own(Request::RuleAdd { repset: "all".into(), rule });
    }

    fn end(&mut self) -> Vec<String> {
        self.service.take().unwrap().end(Duration::from_secs(10))
    }

    /// A line to the socket, greeted, whose welcome is read.
    fn line(&self) -> UnixStream {
        let mut line = sys::socket::connect(self.home().run_dir(), SOCKET).unwrap();
        line.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let [high, low] = VERSION.to_be_bytes();
        line.write_all(&[b'D', b'T', b'C', b'L', high, low, 0, 1]).unwrap();
        line.read_exact(&mut [0; 8]).unwrap();
        assert!(matches!(hear(&mut line), Some(Say::Welcome(_))));
        line
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(service) = self.service.take() {
            service.end(Duration::ZERO);
        }
    }
}

/// The next thing said; None: the line was closed.
fn hear(line: &mut UnixStream) -> Option<Say> {
    let mut head = [0; 4];
    line.read_exact(&mut head).ok()?;
    let mut text = vec![0; u32::from_be_bytes(head) as usize];
    line.read_exact(&mut text).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

/// Any name is this service.
struct Everywhere(Arc<dyn Connector>);

impl Connector for Everywhere {
    fn local(&self) -> String {
        self.0.local()
    }

    fn open(&self, _: &str) -> Result<Arc<dyn Machine>, ApiError> {
        self.0.open("localhost")
    }
}

/// Runs an example of the catalogue; gives its exit status.
fn run(stage: &Stage, example: &str) -> (i32, String) {
    let recorder = Recorder::new();
    let connector = Arc::new(Everywhere(Machines::new(stage.home())));
    let mut session = Session::new(connector, Box::new(recorder.clone()));
    session.set_mode(Mode::Text);
    let status = Interpreter::new(session).run_script("-c", example.as_bytes(), Vec::new());
    (status, recorder.messages())
}

/// Of these the examples would touch the client's own files, end the service, or run for ever; `LOGIN` is about access itself, and
/// `PWD` asks no machine.
const NOT_RUN: &[&str] = &["spool", "repset export", "repset import", "shutdown", "watch", "login", "pwd"];

/// The examples of the commands that ask a machine something.
fn examples() -> impl Iterator<Item = (&'static commands::Command, &'static str)> {
    let commands = commands::all().iter().filter(|command| command.is_available());
    let commands = commands.filter(|command| !NOT_RUN.contains(&command.name().as_str()));
    commands.filter_map(|command| {
        let plain = command.examples.iter().find(|example| !example.contains('$'))?;
        Some((command, *plain))
    })
}

#[test]
fn every_command_asks_for_the_access_that_it_needs() {
    for (levels, level) in
        [(nobody as super::Levels, Access::None), (monitor, Access::Monitor), (full, Access::Full)]
    {
        let stage = Stage::new(levels);
        stage.set_of_everything();
        let mut counts = [0, 0];
        for (command, example) in examples() {
            let (ended, messages) = run(&stage, example);
            let refused = ended == status::ACCESS;
            assert_eq!(refused, command.access > level, "{example} as {level:?}: {ended} {messages}");
            counts[usize::from(refused)] += 1;
        }
        assert!(counts[0] > 15 && (level == Access::Full || counts[1] > 15), "{level:?}: {counts:?}");
    }
}

/// A connection of the set `s` to this machine.
fn spec() -> ConnectSpec {
    ConnectSpec {
        repset: "s".to_owned(),
        target: ConnectTarget::Machine("localhost".into()),
        map: MapSpec::Base("/tmp/never-made".into()),
        mirror: Some(MirrorSpec::default()),
        replicate: None,
        calculate: None,
        orphans: None,
        route: None,
        compress: None,
        dry_run: false,
    }
}

/// One of each that changes something, or shows what is no stranger's business.
fn requests() -> Vec<Request> {
    use Request::*;
    let repset = || "s".to_owned();
    let connection = ConnectionId(1);
    let rule = Rule { path: "/tmp".into(), include: true, recursive: true };
    vec![
        Directory { path: "/".into() },
        RepsetCreate { repset: "other".into() },
        RuleAdd { repset: repset(), rule },
        RuleRemove { repset: repset(), path: "/tmp".into() },
        RuleList { repset: repset() },
        RepsetSave { repset: None },
        RepsetList,
        RepsetDisplay { repset: repset() },
        RepsetCalculate { repset: repset() },
        RepsetRename { repset: repset(), name: "other".into() },
        RepsetCopy { repset: repset(), name: "other".into() },
        RepsetDelete { repset: repset() },
        RepsetResync { repset: repset() },
        RepsetExport { repset: repset() },
        RepsetImport { text: String::new(), name: Some("other".into()) },
        RepsetTest { path: "/tmp".into(), repset: repset() },
        Introduce { repset: Some(repset()) },
        Grant(GrantSpec {
            source: Introduction {
                machine: "alpha".into(),
                key: format!("SHA256:{}", "ab".repeat(32)),
                repset: repset(),
                roots: vec![("/tmp".into(), RootKind::Directory)],
            },
            map: MapSpec::Base("/tmp/never-made".into()),
            orphans: None,
            dry_run: false,
        }),
        Grants,
        Withdraw { grant: "none".into() },
        Connect(spec()),
        Disconnect { connection, discard: true },
        Status { connection },
        StatusAll,
        StatusSource,
        StatusTarget,
        ConnectionIdOf { repset: repset(), target: None },
        Explain { path: "/tmp".into(), connection: None },
        MirrorStart { connection, mirror: MirrorSpec::default() },
        MirrorStop { connection },
        MirrorPause { connection },
        MirrorResume { connection },
        Verify { connection, verify: VerifySpec::default() },
        VerifyStop { connection },
        VerifyPause { connection },
        VerifyResume { connection },
        VerifyReport { connection },
        ScheduleVerify { connection, schedule: None },
        Orphans { connection, orphans: OrphanSpec::default() },
        OrphansStop { connection },
        OrphansPause { connection },
        OrphansResume { connection },
        Wait { connection, until: Until::Mirror, timeout_ms: Some(0) },
        ReplicationStart { connection },
        ReplicationStop { connection },
        Barrier { connection, timeout_ms: Some(0) },
        Get { option: "MaxNumberofLogFiles".into() },
        GetDefault { option: "MaxNumberofLogFiles".into() },
        Set { option: "MaxNumberofLogFiles".into(), value: "7".into() },
        SetDefault { option: "MaxNumberofLogFiles".into() },
        Options { pattern: None },
        QueueTask(Box::new(TaskSpec {
            job: "j".into(),
            target: "localhost".into(),
            commands: vec![(TaskPoint::Queue, "/bin/true".into())],
            limit: TaskLimit::Forever,
            repeat: false,
            by: "anna".into(),
        })),
        TaskList,
        TaskStatus { job: "j".into() },
        TaskRunAs { user: "root".into() },
        GrantTasks { grant: "none".into(), allowed: true },
        Log { from: LogFrom::Last(1), filter: LogFilter::default(), wait_ms: 0 },
        LogWrite { text: "x".into() },
        Shutdown,
    ]
}

#[test]
fn the_service_refuses_whatever_a_clients_program_lets_through() {
    for (levels, level) in [(nobody as super::Levels, Access::None), (monitor, Access::Monitor)] {
        let stage = Stage::new(levels);
        stage.set();
        let before = std::fs::read(stage.home().state_dir().join("DblTake.db")).unwrap();
        let mut refused = 0;
        for request in requests() {
            let needs = request.needs();
            let answer = stage.ask(request.clone());
            if needs > level {
                assert_eq!(answer.unwrap_err().code, Code::InsufficientSecurityAccess, "{request:?}");
                refused += 1;
            }
        }
        assert!(refused > 20, "{refused}");
        let house = &stage.service.as_ref().unwrap().house;
        assert!(
            matches!(house.engine.call(Request::StatusAll, &mut ()), Ok(Reply::Connections(all)) if all.is_empty())
        );
        if level == Access::None {
            let after = std::fs::read(stage.home().state_dir().join("DblTake.db")).unwrap();
            assert!(before == after, "nothing was written");
        }
        assert!(!stage.home().settings_file().exists(), "no option was set");
        assert!(!*house.ending.borrow(), "it was not shut down");
    }
}

fn entries(stage: &Stage, path: &Path) -> Result<Vec<String>, Code> {
    match stage.ask(Request::Directory { path: path.to_str().unwrap().into() }) {
        Ok(Reply::Directory(entries)) => Ok(entries.into_iter().map(|entry| entry.name).collect()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code),
    }
}

#[test]
fn a_monitor_sees_nothing_outside_the_sets() {
    let stage = Stage::new(monitor);
    let root = stage.set();
    let names = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(entries(&stage, &root), names(&["file", "inner", "way out"]));
    assert_eq!(entries(&stage, stage.dir.path()), names(&["set"]), "what leads there, and nothing beside it");
    let refused: Result<(), Code> = Err(Code::InsufficientSecurityAccess);
    for outside in ["excluded", "../home", "way out/home"] {
        let path = match outside.strip_prefix("../") {
            Some(beside) => stage.dir.path().join(beside),
            None => root.join(outside),
        };
        let listed = entries(&stage, &path);
        assert!(listed.is_err(), "{path:?}: {listed:?}");
        let path = path.to_str().unwrap().to_owned();
        for request in [
            Request::Explain { path: path.clone(), connection: None },
            Request::RepsetTest { path, repset: "s".into() },
        ] {
            let answer = stage.ask(request.clone()).map_err(|error| error.code);
            assert_eq!(answer.map(|_| ()), refused, "{request:?}");
        }
    }
    let file = root.join("file").to_str().unwrap().to_owned();
    assert!(stage.ask(Request::Explain { path: file, connection: None }).is_ok());
}

#[test]
fn a_home_inside_a_set_is_shown_to_no_monitor() {
    let stage = Stage::new(monitor);
    stage.set_of_everything();
    assert!(entries(&stage, stage.dir.path()).is_ok());
    assert_eq!(entries(&stage, stage.home().state_dir()), Err(Code::InsufficientSecurityAccess));
    assert_eq!(entries(&stage, Path::new("/proc/self")), Err(Code::InsufficientSecurityAccess));
}

#[test]
fn sessions_of_one_service_share_what_it_knows() {
    let stage = Stage::new(full);
    stage.ask(Request::RepsetCreate { repset: "shared".into() }).unwrap();
    match stage.ask(Request::RepsetList).unwrap() {
        Reply::Repsets(sets) => assert_eq!(sets[0].name, "shared"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_number_of_before_a_restart_is_never_another_connection() {
    let mut stage = Stage::new(full);
    let root = stage.set();
    let connect = |base: &str| {
        let map = MapSpec::Base(root.with_file_name(base).to_str().unwrap().to_owned());
        Request::Connect(ConnectSpec { map, replicate: Some(false), mirror: None, ..spec() })
    };
    let client = stage.client();
    let Ok(Reply::Connected(id)) = client.call(connect("one"), &mut ()) else { panic!("not connected") };
    client.call(Request::Status { connection: id }, &mut ()).unwrap();
    let Ok(Reply::Connected(second)) = client.call(connect("two"), &mut ()) else { panic!("not connected") };
    stage.ask(Request::Disconnect { connection: id, discard: true }).unwrap();
    stage.end();
    assert_eq!(
        client.call(Request::StatusAll, &mut ()).unwrap_err().code,
        Code::ServerIsNotResponding,
        "nobody is there"
    );
    stage.service = Some(Service::start_with(stage.home(), full, &Listen::Nowhere).unwrap());
    let find = Request::ConnectionIdOf { repset: "s".into(), target: None };
    assert_eq!(stage.ask(find).unwrap(), Reply::Connected(id), "the number is another connection's now");
    for connection in [id, second] {
        let refused = client.call(Request::Disconnect { connection, discard: true }, &mut ()).unwrap_err();
        assert_eq!(refused.code, Code::ConnectionIDSpecifiedIsInvalid);
        assert!(refused.help.unwrap().contains("CONID"));
    }
    // Once it was told the numbers of now they count.
    client.call(Request::StatusAll, &mut ()).unwrap();
    client.call(Request::Disconnect { connection: id, discard: true }, &mut ()).unwrap();
}

/// Gives a call up at its first progress, or after so long.
struct Impatient(Instant);

impl Watch for Impatient {
    fn event(&mut self, _: Event) {}

    fn cancelled(&self) -> bool {
        self.0 < Instant::now()
    }
}

#[test]
fn a_wait_is_given_up_when_its_caller_wants_to_end_and_the_session_goes_on() {
    let stage = Stage::new(full);
    stage.set();
    let client = stage.client();
    let map = MapSpec::Base(stage.dir.path().join("copy").to_str().unwrap().to_owned());
    let connect = Request::Connect(ConnectSpec { map, mirror: None, ..spec() });
    let Ok(Reply::Connected(connection)) = client.call(connect, &mut ()) else { panic!("not connected") };
    // No mirror has run: there is nothing that this barrier could wait for but a person.
    let begin = Instant::now();
    let wait = Request::Wait { connection, until: Until::Target, timeout_ms: None };
    let mut soon = Impatient(Instant::now() + Duration::from_millis(50));
    let _ = client.call(wait, &mut soon);
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(
        matches!(client.call(Request::StatusAll, &mut ()), Ok(Reply::Connections(all)) if all.len() == 1)
    );
}

#[test]
fn a_session_that_breaks_a_rule_is_told_and_ended() {
    let stage = Stage::new(full);
    for bad in [&b"\xff\xff\xff\xff"[..], b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x05hello"] {
        let mut line = stage.line();
        line.write_all(bad).unwrap();
        assert!(matches!(hear(&mut line), Some(Say::Closing(_))), "{bad:?}");
        assert_eq!(hear(&mut line), None);
    }
    // Two questions at once.
    let mut line = stage.line();
    let wait = |id| {
        frame(&Ask::Call { id, request: Request::RepsetCalculate { repset: "none".into() } }, ANSWER_MAX)
            .unwrap()
    };
    line.write_all(&[wait(1), wait(2), wait(3), wait(4)].concat()).unwrap();
    let mut said = Vec::new();
    while let Some(say) = hear(&mut line) {
        said.push(say);
    }
    assert!(said.iter().any(|say| matches!(say, Say::Closing(_))) || said.len() == 4, "{said:?}");
    // Others are served.
    stage.ask(Request::Version).unwrap();
}

#[test]
fn a_stranger_cannot_make_the_service_take_memory() {
    let stage = Stage::new(nobody);
    let mut line = stage.line();
    line.write_all(&(1u32 << 20).to_be_bytes()).unwrap();
    assert!(matches!(hear(&mut line), Some(Say::Closing(_))));
}

#[test]
fn a_shutdown_answers_and_then_says_farewell() {
    let stage = Stage::new(full);
    let (mut one, client) = (stage.line(), stage.client());
    assert_eq!(client.call(Request::Shutdown, &mut ()), Ok(Reply::Done));
    assert!(matches!(hear(&mut one), Some(Say::Closing(_))), "all sessions end");
    assert_eq!(hear(&mut one), None);
    let house = Arc::clone(&stage.service.as_ref().unwrap().house);
    assert!(*house.ending.borrow());
}

#[test]
fn there_is_room_for_so_many_sessions_and_then_again_when_one_has_left() {
    let stage = Stage::new(full);
    let mut lines: Vec<UnixStream> = (0..super::SESSIONS).map(|_| stage.line()).collect();
    let refused = stage.ask(Request::Version).unwrap_err();
    assert_eq!(refused.code, Code::ServerIsNotResponding);
    assert!(refused.message.contains("too many sessions"), "{refused}");
    lines.pop();
    let end = Instant::now() + Duration::from_secs(20);
    while stage.ask(Request::Version).is_err() {
        assert!(Instant::now() < end, "the place of one that left is free");
        std::thread::yield_now();
    }
}

// --- over the network --------------------------------------------------------------------------------------

/// A service on a port of its own, with the users `admin` and `watcher`, and another machine's home.
struct Wide {
    stage: Stage,
    address: std::net::SocketAddr,
    elsewhere: tempfile::TempDir,
}

impl Wide {
    fn new() -> Wide {
        let dir = tempfile::tempdir().unwrap();
        let at = Listen::At([127, 0, 0, 1].into(), Some(0));
        let service = Service::start_with(Home::at(dir.path().join("home")), full, &at).unwrap();
        let address = service.addresses()[0];
        let users = service.house.engine.users();
        users.add("admin", "dtadmin", "secret of admin").unwrap();
        users.add("watcher", "dtmon", "secret of watcher").unwrap();
        let stage = Stage { dir, service: Some(service) };
        Wide { stage, address, elsewhere: tempfile::tempdir().unwrap() }
    }

    fn restart(&mut self) {
        self.stage.end();
        let at = Listen::At(self.address.ip(), Some(self.address.port()));
        self.stage.service = Some(Service::start_with(self.stage.home(), full, &at).unwrap());
    }

    fn open(&self, address: std::net::SocketAddr) -> Result<Arc<dyn Machine>, ApiError> {
        Machines::new(Home::at(self.elsewhere.path())).open(&address.to_string())
    }

    fn client(&self) -> Arc<dyn Machine> {
        self.open(self.address).unwrap()
    }
}

fn login(machine: &Arc<dyn Machine>, user: &str, password: &str) -> Result<Access, Code> {
    let (user, password) = (user.to_owned(), Some(password.to_owned()));
    match machine.call(Request::Login { user, password, domain: None }, &mut ()) {
        Ok(Reply::Access(access)) => Ok(access),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code),
    }
}

fn status(machine: &Arc<dyn Machine>) -> Result<(), Code> {
    machine.call(Request::StatusAll, &mut ()).map(|_| ()).map_err(|error| error.code)
}

#[test]
fn over_the_network_a_password_opens_what_its_user_may_do() {
    let wide = Wide::new();
    let client = wide.client();
    client.call(Request::Version, &mut ()).unwrap();
    assert_eq!(status(&client), Err(Code::InsufficientSecurityAccess), "nobody yet");
    let own = Request::Login { user: "root".into(), password: None, domain: None };
    let refused = client.call(own, &mut ()).unwrap_err();
    assert!(
        refused.message.contains("a password is needed"),
        "the kernel of another machine proves nothing: {refused}"
    );
    assert_eq!(login(&client, "watcher", "secret of watcher"), Ok(Access::Monitor));
    assert_eq!(status(&client), Ok(()));
    let create = Request::RepsetCreate { repset: "s".into() };
    assert_eq!(client.call(create.clone(), &mut ()).unwrap_err().code, Code::InsufficientSecurityAccess);
    assert_eq!(login(&client, "admin", "secret of watcher"), Err(Code::InsufficientSecurityAccess));
    assert_eq!(status(&client), Ok(()), "a login that failed changes nothing");
    assert_eq!(login(&client, "admin", "secret of admin"), Ok(Access::Full));
    client.call(create, &mut ()).unwrap();
    client.call(Request::Logout, &mut ()).unwrap();
    assert_eq!(status(&client), Err(Code::InsufficientSecurityAccess));
}

/// Keeps what is told.
#[derive(Default)]
struct Notices(Vec<String>);

impl Watch for Notices {
    fn event(&mut self, event: Event) {
        if let Event::Notice(text) = event {
            self.0.push(text);
        }
    }
}

#[test]
fn a_machines_key_is_remembered_at_first_and_another_one_refused() {
    let mut wide = Wide::new();
    let key = wide.stage.service.as_ref().unwrap().house.key.fingerprint().to_string();
    let mut told = Notices::default();
    wide.client().call(Request::Ping, &mut told).unwrap();
    assert!(told.0.len() == 1 && told.0[0].contains(&key), "{:?}", told.0);
    let mut told = Notices::default();
    wide.client().call(Request::Ping, &mut told).unwrap();
    assert!(told.0.is_empty(), "it is known by now: {:?}", told.0);
    // Installed anew, or somebody else.
    std::fs::remove_file(wide.stage.home().state_dir().join("machine.key")).unwrap();
    wide.restart();
    let refused = wide.open(wide.address).err().unwrap();
    assert_eq!(refused.code, Code::HandshakeWasNotCompleted);
    assert!(refused.message.contains(&key) && refused.message.contains("another key"), "{refused}");
    let known = wide.elsewhere.path().join("lib/known_machines");
    assert!(refused.help.unwrap().contains(known.to_str().unwrap()));
    std::fs::remove_file(known).unwrap();
    wide.client().call(Request::Ping, &mut ()).unwrap();
}

#[test]
fn a_client_that_had_logged_in_goes_on_after_a_restart() {
    let mut wide = Wide::new();
    let client = wide.client();
    login(&client, "admin", "secret of admin").unwrap();
    wide.restart();
    assert_eq!(status(&client), Ok(()));
}

#[test]
fn nothing_that_is_said_can_be_read_on_the_way() {
    let wide = Wide::new();
    let (address, proxy) = (wide.address, std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let between = proxy.local_addr().unwrap();
    // One connection finds out whether something answers, the next is the session.
    let tapped = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (client, _) = proxy.accept().unwrap();
            let server = std::net::TcpStream::connect(address).unwrap();
            let pass = |mut from: std::net::TcpStream, mut to: std::net::TcpStream| {
                std::thread::spawn(move || {
                    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        all.extend_from_slice(&buffer[..count]);
                        if to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(std::net::Shutdown::Write);
                    all
                })
            };
            let there = pass(client.try_clone().unwrap(), server.try_clone().unwrap());
            let back = pass(server, client);
            seen.extend(there.join().unwrap());
            seen.extend(back.join().unwrap());
        }
        seen
    });
    let client = wide.open(between).unwrap();
    login(&client, "admin", "secret of admin").unwrap();
    let value = "a directory that nobody shall read of";
    let set = Request::Set { option: "VerifyLogName".into(), value: value.into() };
    client.call(set, &mut ()).unwrap();
    drop(client);
    let seen = tapped.join().unwrap();
    assert!(seen.len() > 500, "{}", seen.len());
    for text in ["secret of admin", value, "DTCL", "Login"] {
        assert!(!seen.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

#[test]
fn strangers_at_the_door_keep_nobody_out_who_has_come_in() {
    let wide = Wide::new();
    let client = wide.client();
    login(&client, "admin", "secret of admin").unwrap();
    let strangers: Vec<std::net::TcpStream> =
        (0..100).map(|_| std::net::TcpStream::connect(wide.address).unwrap()).collect();
    assert_eq!(status(&client), Ok(()));
    assert_eq!(wide.stage.ask(Request::Version).map(|_| ()), Ok(()), "nor is the socket closed");
    let refused = wide.open(wide.address).err().unwrap();
    assert_eq!(refused.code, Code::ServerIsNotResponding, "from there no more are taken in");
    drop(strangers);
    let end = Instant::now() + Duration::from_secs(20);
    while wide.open(wide.address).is_err() {
        assert!(Instant::now() < end, "when they have left there is room");
    }
}

/// 4000 to 4006 and 4046.
#[test]
fn administrators_hear_that_a_service_starts_ends_and_cannot_start() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let daemon = Daemon::at(&socket);
    let home = || Home::at(dir.path().join("home")).with_system_log(&socket);
    let start = |at: &Listen| Service::start_with(home(), full, at);
    let ids = |events: Vec<(u32, String)>| events.into_iter().map(|(id, _)| id).collect::<Vec<u32>>();
    start(&Listen::Nowhere).unwrap().end(Duration::ZERO);
    daemon_has(&daemon, &[4000, 4001, 4002, 4003, 4004, 4005]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    assert!(start(&Listen::At(address.ip(), Some(address.port()))).is_err());
    assert!(daemon.until(log::Event::PortTaken).contains(&address.to_string()));
    std::fs::write(dir.path().join("home/lib/connect.sts"), "no database").unwrap();
    assert!(start(&Listen::Nowhere).is_err());
    assert!(daemon.until(log::Event::ServiceAborted).contains("connect.sts"));
    assert!(!ids(daemon.so_far()).contains(&4005), "the engine that did not start tells of no end");
}

fn daemon_has(daemon: &Daemon, ids: &[u32]) {
    for id in ids {
        let event = log::Event::ALL.iter().find(|event| event.id() == *id).unwrap();
        daemon.until(*event);
    }
}
