//! A source, a target and a saved set between them: what most tests begin with.

use crate::support::{Dtcl, Home, Ran, oracle, q};
use std::path::{Path, PathBuf};

/// The set is called `t`; every script of [`Migration::run`] has it connected as connection 1.
pub struct Migration {
    pub home: Home,
    pub source: PathBuf,
    pub target: PathBuf,
}

impl Migration {
    /// With an empty source, and soft links kept as they are (`RemapLink` 0), so that the oracle finds nothing.
    pub fn new() -> Self {
        let home = Home::new();
        let source = home.dir("source");
        let target = home.path("target");
        Self::between(home, source, target)
    }

    pub fn between(home: Home, source: PathBuf, target: PathBuf) -> Self {
        home.script(&format!(
            "repset create t\nrepset rule add {} include, recursive to t\nrepset save t\nset RemapLink = 0\n",
            q(&source)
        ))
        .ok();
        Self { home, source, target }
    }

    /// The beginning of a script: connects, does nothing yet.
    pub fn connect(&self) -> String {
        format!(
            "connect t to localhost map {} to {} nomirror noreplicate\n",
            q(&self.source),
            q(&self.target)
        )
    }

    /// A script that begins connected.
    pub fn run(&self, script: &str) -> Ran {
        self.start(script).run()
    }

    pub fn start(&self, script: &str) -> Dtcl {
        self.home.dtcl().script(self.connect() + script)
    }

    /// One mirror with these flags, to its end; then the counts, as [`Migration::sent`] reads them.
    pub fn mirror(&self, flags: &str) -> Ran {
        self.run(&format!(
            "mirror start 1 {flags}\nwaitonmirror 1\nwrite \"sent \" (status(1).mirror_bytes_transmitted)\n"
        ))
    }

    #[track_caller]
    pub fn assert_same(&self) {
        oracle::assert_same(&self.source, &self.target);
    }

    /// A file of the source.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.source.join(name);
        crate::support::tree::write(&path, content.as_ref());
        path
    }

    /// The text of all engine logs.
    pub fn log(&self) -> String {
        read_all(&self.home.home().join("log"), ".dtl")
    }

    /// The verify log of the set.
    pub fn verify_log(&self) -> String {
        std::fs::read_to_string(self.home.home().join("log/t DTVerify.log")).unwrap_or_default()
    }
}

/// The bytes that [`Migration::mirror`] sent.
#[track_caller]
pub fn sent(ran: &Ran) -> u64 {
    ran.ok();
    let line =
        ran.out.lines().rev().find_map(|line| line.strip_prefix("sent ")).expect("the count is printed");
    line.parse().unwrap()
}

fn read_all(dir: &Path, suffix: &str) -> String {
    let Ok(entries) = std::fs::read_dir(dir) else { return String::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.to_str().is_some_and(|path| path.ends_with(suffix)));
    paths.iter().map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()).collect()
}
