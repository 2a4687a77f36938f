//! A source and a target directory, and jobs between them.

use crate::support::oracle;
use dtcl::api::{ConnectionId, MirrorKind, MirrorSpec, Rule, VerifyReport, VerifySpec};
use dtcl::engine::job::{JobKind, JobOutcome, JobPlan, JobShared, Mapping, Sink};
use dtcl::engine::repset::RuleSet;
use dtcl::engine::settings::{MirrorSettings, VerifyLogSettings};
use dtcl::engine::{link, source, target};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

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
    /// Another place for the source.
    pub from: Option<PathBuf>,
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
            from: None,
        }
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
            sink: Sink::Local,
            source_name: "alpha".to_string(),
            target_name: "alpha".to_string(),
            target_address: "ip://127.0.0.1 : 1500".to_string(),
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

    pub fn same(&self) {
        oracle::assert_same(&self.source(), &self.target());
    }
}

/// A full mirror, all content in the frames, with someone between source and target.
pub fn run_through<T: Send>(
    bed: &Bed,
    between: impl FnOnce(Receiver<link::Frame>, SyncSender<link::Frame>) -> T + Send,
) -> (JobOutcome, T) {
    let (source_end, mut target_end) = link::pair(false);
    let (ops, ops_in) = sync_channel(4);
    let from_source = std::mem::replace(&mut target_end.ops, ops_in);
    std::thread::scope(|scope| {
        let between = scope.spawn(move || between(from_source, ops));
        let server = scope.spawn(move || target::serve(target_end, target::Policy::default()));
        let outcome = source::run_over(&bed.plan(), JobKind::Mirror(FULL), &JobShared::new(), source_end);
        server.join().unwrap().unwrap();
        (outcome, between.join().unwrap())
    })
}
