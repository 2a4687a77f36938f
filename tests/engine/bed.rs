//! A source and a target directory, and jobs between them: in one process, or with a service on another machine as the target.

use crate::cable::Cable;
use crate::support::oracle;
use dtcl::api::{
    ApiError, ConnectionId, GrantSpec, Granted, Introduction, MapSpec, MirrorKind, MirrorSpec, Reply,
    Request, RootKind, Rule, VerifyReport, VerifySpec,
};
use dtcl::engine::connect::far::Far;
use dtcl::engine::home::Home;
use dtcl::engine::job::{JobKind, JobOutcome, JobPlan, JobShared, Mapping, Sink};
use dtcl::engine::repset::RuleSet;
use dtcl::engine::settings::{MirrorSettings, VerifyLogSettings};
use dtcl::engine::settled::Settled;
use dtcl::engine::transmission::{Traffic, Transmission};
use dtcl::engine::{link, source, target};
use dtcl::machine::Machines;
use dtcl::service::{Listen, Service};
use dtcl::wire::tls::MachineKey;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

pub const FULL: MirrorSpec = MirrorSpec {
    kind: MirrorKind::Full,
    newer: false,
    checksum: false,
    calculate: false,
    orphans: false,
    clean: false,
    dry_run: false,
};
pub const DIFFERENT: MirrorSpec = MirrorSpec { kind: MirrorKind::Different, ..FULL };
pub const CHECKSUM: MirrorSpec = MirrorSpec { checksum: true, ..DIFFERENT };

pub struct Bed {
    pub dir: tempfile::TempDir,
    pub settings: MirrorSettings,
    /// Up to when the target is known to have what changed.
    pub settled: Arc<Settled>,
    pub transmission: Arc<Transmission>,
    pub traffic: Arc<Traffic>,
    /// Another place for the source.
    pub from: Option<PathBuf>,
    /// The target is another machine's.
    is_far: bool,
    has_cable: bool,
    machine: OnceLock<TargetMachine>,
}

/// A service, and what it has granted to the source.
struct TargetMachine {
    /// What leads to it from the source; None: nothing can be cut.
    cable: Option<Cable>,
    service: Mutex<Option<Service>>,
    address: SocketAddr,
    home: Home,
    far: OnceLock<Arc<Far>>,
}

/// What a target is asked to grant.
pub struct Granting<'a> {
    pub machine: &'a str,
    pub key: &'a Arc<MachineKey>,
    pub root: &'a Path,
    pub kind: RootKind,
    pub map: MapSpec,
}

impl Drop for TargetMachine {
    fn drop(&mut self) {
        self.stop();
    }
}

impl TargetMachine {
    fn start(home: Home, port: u16) -> Service {
        Service::start(home, &Listen::At(Ipv4Addr::LOCALHOST.into(), Some(port))).unwrap()
    }

    fn stop(&self) {
        if let Some(service) = self.service.lock().unwrap().take() {
            service.end(Duration::ZERO);
        }
    }
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

impl Bed {
    pub fn new() -> Self {
        // Beside the build, as the usual /tmp may be a tmpfs without user attributes.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for name in ["source", "target", "outside"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self {
            dir,
            settings: MirrorSettings { remap_link: false, retry_delay_s: 0, ..MirrorSettings::default() },
            // As of a connection that is made now.
            settled: Arc::new(Settled::of(now_ms(), 0)),
            transmission: Arc::default(),
            traffic: Arc::default(),
            from: None,
            // For a run of all tests over a line; some look at what only a target of the same process has.
            is_far: std::env::var_os("DTCL_TARGET").is_some_and(|target| target == "far"),
            has_cable: false,
            machine: OnceLock::new(),
        }
    }

    /// The target is another machine's.
    pub fn far() -> Self {
        Self { is_far: true, ..Self::new() }
    }

    /// The same, and the cable between can be cut.
    pub fn far_over_a_cable() -> Self {
        Self { has_cable: true, ..Self::far() }
    }

    pub fn cable(&self) -> &Cable {
        self.machine().cable.as_ref().unwrap()
    }

    fn machine(&self) -> &TargetMachine {
        self.machine.get_or_init(|| {
            let home = Home::at(self.dir.path().join("home of the target"));
            let service = TargetMachine::start(home.clone(), 0);
            let address = service.addresses()[0];
            let machine = Machines::new(home.clone()).open("localhost").unwrap();
            for (option, value) in [("TGRetryLocked", "0"), ("MassDeletionGuard", "100")] {
                machine.call(Request::Set { option: option.into(), value: value.into() }, &mut ()).unwrap();
            }
            let cable = self.has_cable.then(|| Cable::to(address));
            let address = cable.as_ref().map_or(address, Cable::address);
            TargetMachine { cable, service: Mutex::new(Some(service)), address, home, far: OnceLock::new() }
        })
    }

    /// The grant that plans use.
    fn far_target(&self) -> Arc<Far> {
        let machine = self.machine();
        Arc::clone(machine.far.get_or_init(|| {
            let (source, target) = (self.source(), self.target());
            let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
            let map = MapSpec::Pairs(vec![(text(&source), text(&target))]);
            let key = Arc::new(MachineKey::passing().unwrap());
            let (root, kind) = (source.as_path(), RootKind::of(&source));
            self.grants(Granting { machine: "alpha", key: &key, root, kind, map }).unwrap()
        }))
    }

    /// Has the target grant something.
    pub fn grants(&self, asked: Granting<'_>) -> Result<Arc<Far>, ApiError> {
        let Granting { machine: name, key, root, kind, map } = asked;
        let machine = self.machine();
        let spec = GrantSpec {
            source: Introduction {
                machine: name.into(),
                key: key.fingerprint().to_string(),
                repset: "payroll".into(),
                roots: vec![(root.to_str().unwrap().to_owned(), kind)],
            },
            map,
            orphans: None,
            dry_run: false,
        };
        let client = Machines::new(machine.home.clone()).open("localhost").unwrap();
        match client.call(Request::Grant(spec), &mut ())? {
            Reply::Granted(granted) => {
                Ok(Arc::new(Far::of(&machine.address.to_string(), &granted, Arc::clone(key)).unwrap()))
            }
            other => panic!("{other:?}"),
        }
    }

    /// A target on another machine runs tasks of this source.
    pub fn allow_tasks(&self) {
        if self.is_far {
            self.set_tasks(true, true);
        }
    }

    /// Whether the grant of a target on another machine allows tasks, and that runs any.
    pub fn set_tasks(&self, allowed: bool, enabled: bool) {
        let far = self.far_target();
        let client = Machines::new(self.machine().home.clone()).open("localhost").unwrap();
        let value = if enabled { "1" } else { "0" }.to_owned();
        client.call(Request::Set { option: "EnableTaskCmdProcessing".into(), value }, &mut ()).unwrap();
        client.call(Request::GrantTasks { grant: far.grant().to_owned(), allowed }, &mut ()).unwrap();
    }

    /// The same grant, presented by whoever has this key.
    pub fn same_grant(&self, far: &Far, key: &Arc<MachineKey>) -> Arc<Far> {
        self.grant_of_name(far.grant(), key)
    }

    pub fn grant_of_name(&self, name: &str, key: &Arc<MachineKey>) -> Arc<Far> {
        let machine = self.machine();
        let client = Machines::new(machine.home.clone()).open("localhost").unwrap();
        // What the target shows is its real key.
        let Ok(Reply::Introduction(own)) = client.call(Request::Introduce { repset: None }, &mut ()) else {
            panic!("no introduction");
        };
        let granted = Granted { id: name.to_owned(), key: own.key, paths: Vec::new(), notices: Vec::new() };
        Arc::new(Far::of(&machine.address.to_string(), &granted, Arc::clone(key)).unwrap())
    }

    /// Sockets between the source and the target's service.
    pub fn sockets(&self) -> usize {
        let port = format!(":{:04X}", self.machine().address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let established = |line: &&str| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            words.len() > 3 && words[2].ends_with(&port) && words[3] == "01"
        };
        table.lines().filter(established).count()
    }

    /// The target's service ends, in the midst of what it does.
    pub fn stop_target(&self) {
        self.machine().stop();
    }

    pub fn start_target(&self) {
        let machine = self.machine();
        *machine.service.lock().unwrap() =
            Some(TargetMachine::start(machine.home.clone(), machine.address.port()));
    }

    pub fn source(&self) -> PathBuf {
        self.from.clone().unwrap_or_else(|| self.dir.path().join("source"))
    }

    pub fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    pub fn plan(&self) -> JobPlan {
        let path = self.source().to_str().unwrap().to_string();
        let rules = RuleSet::new(vec![Rule { path, include: true, recursive: true }]);
        JobPlan {
            connection: ConnectionId(1),
            repset: "payroll".to_string(),
            rules: Arc::new(rules),
            paths: vec![Mapping { source: self.source(), target: self.target() }],
            settings: self.settings.clone(),
            verify_log: VerifyLogSettings {
                directory: self.dir.path().join("log"),
                name: "DTVerify.log".to_string(),
                limit: 1 << 20,
                append: true,
            },
            elsewhere: Vec::new(),
            forbidden: Vec::new(),
            sink: if self.is_far { Sink::Far(self.far_target()) } else { Sink::Local },
            source_name: "alpha".to_string(),
            target_name: "alpha".to_string(),
            target_address: "ip://127.0.0.1 : 1500".to_string(),
            settled: Arc::clone(&self.settled),
            transmission: Arc::clone(&self.transmission),
            traffic: Arc::clone(&self.traffic),
        }
    }

    pub fn run(&self, kind: JobKind) -> (JobOutcome, Arc<JobShared>) {
        let shared = JobShared::new();
        (source::run(&self.plan(), kind, &shared, None), shared)
    }

    /// Mirrors and expects success; files that were sent.
    pub fn mirror(&self, spec: MirrorSpec) -> u64 {
        let (outcome, shared) = self.run(JobKind::Mirror(spec));
        assert!(outcome.complete, "{outcome:?}");
        shared.counters.files_sent.load(Relaxed)
    }

    pub fn verify(&self, spec: VerifySpec) -> VerifyReport {
        let (outcome, _) = self.run(JobKind::Verify(spec));
        assert!(outcome.fatal.is_none() && outcome.failures.is_empty(), "{outcome:?}");
        outcome.verify.unwrap()
    }

    /// These are on the target, whatever else is.
    pub fn same_names_at_least(&self, names: &[&str]) {
        for name in names {
            let read = |root: PathBuf| std::fs::read(root.join(name)).unwrap();
            assert!(read(self.source()) == read(self.target()), "{name}");
        }
    }

    pub fn same(&self) {
        oracle::assert_same(&self.source(), &self.target());
    }
}

/// A full mirror, all content in the frames, with someone between source and target.
pub fn run_through<T: Send>(
    bed: &Bed,
    between: impl FnOnce(link::Inlet, SyncSender<link::Frame>) -> T + Send,
) -> (JobOutcome, T) {
    let (source_end, mut target_end) = link::pair(false);
    let (ops, ops_in) = sync_channel(4);
    let from_source = std::mem::replace(&mut target_end.ops, ops_in.into());
    std::thread::scope(|scope| {
        let between = scope.spawn(move || between(from_source, ops));
        let server = scope.spawn(move || target::serve(target_end, target::Policy::default()));
        let outcome = source::run_over(&bed.plan(), JobKind::Mirror(FULL), &JobShared::new(), source_end);
        server.join().unwrap().unwrap();
        (outcome, between.join().unwrap())
    })
}
