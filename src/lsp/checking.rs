//! The thread that checks: it has a copy of what is open, and checks a document again when it, or one that it names, was changed. Of
//! several changes only the last one counts.

use super::LONGEST_FILE;
use super::document::Document;
use super::place::uri_of;
use super::protocol::Location;
use super::protocol::{Position, Range};
use crate::api::Progress;
use crate::commands::{Session, Ui};
use crate::lang::{Diagnostic, Severity, Source};
use crate::machine::Connector;
use crate::runtime::{CheckedFile, check_files};
use crate::sys::read_regular;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// What one check of a document reads besides it.
const MOST_FILES: usize = 1000;
const MOST_BYTES: u64 = 256 << 20;
/// So many findings of a document are shown.
const MOST_FINDINGS: usize = 1000;

/// What is open.
#[derive(Clone, Debug)]
pub struct Open {
    pub uri: String,
    pub version: i64,
    pub text: Arc<str>,
    /// The file it is; for one that is none yet, its name.
    pub path: PathBuf,
}

#[derive(Debug)]
pub enum Job {
    Check(Open),
    Closed(String),
}

/// The findings of one version of a document.
#[derive(Debug)]
pub struct Findings {
    pub uri: String,
    pub version: i64,
    pub diagnostics: Vec<Value>,
}

/// What waits to be checked: of each document the last job alone, however long a check takes.
#[derive(Debug, Default)]
struct Waiting {
    jobs: HashMap<String, Job>,
    over: bool,
}

type Shared = Arc<(Mutex<Waiting>, Condvar)>;

/// The way to the thread, which ends with it.
#[derive(Debug)]
pub struct Jobs(Shared);

impl Jobs {
    pub fn send(&self, job: Job) {
        let uri = match &job {
            Job::Check(open) => open.uri.clone(),
            Job::Closed(uri) => uri.clone(),
        };
        self.change(|waiting| _ = waiting.jobs.insert(uri, job));
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        let (waiting, some) = &*self.0;
        change(&mut waiting.lock().unwrap_or_else(PoisonError::into_inner));
        some.notify_one();
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.change(|waiting| waiting.over = true);
    }
}

/// All that waits, once something does; none at the end.
fn next(shared: &Shared) -> Option<HashMap<String, Job>> {
    let (waiting, some) = &**shared;
    let idle = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.over;
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let mut waiting = some.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
    (!waiting.over).then(|| std::mem::take(&mut waiting.jobs))
}

/// Starts the thread.
pub fn start(connector: Arc<dyn Connector>, found: impl Fn(Findings) + Send + 'static) -> Jobs {
    let shared = Shared::default();
    let inbox = shared.clone();
    std::thread::spawn(move || {
        let session = Session::new(connector, Box::new(Silent));
        Checking { session, open: HashMap::new(), names: HashMap::new(), found: &found }.work(&inbox);
    });
    Jobs(shared)
}

struct Checking<'a> {
    session: Session,
    open: HashMap<String, Open>,
    /// The files that each document named when it was checked last.
    names: HashMap<String, HashSet<PathBuf>>,
    found: &'a dyn Fn(Findings),
}

impl Checking<'_> {
    fn work(&mut self, inbox: &Shared) {
        while let Some(jobs) = next(inbox) {
            let mut changed = HashSet::new();
            for job in jobs.into_values() {
                match job {
                    Job::Check(open) => {
                        changed.insert(open.path.clone());
                        self.open.insert(open.uri.clone(), open);
                    }
                    Job::Closed(uri) => {
                        self.names.remove(&uri);
                        changed.extend(self.open.remove(&uri).map(|closed| closed.path));
                    }
                }
            }
            // A mistake of the checker costs the findings of one check, not of all that come later.
            let _ = catch_unwind(AssertUnwindSafe(|| self.check(&changed)));
        }
    }

    /// Checks what was changed, and what names it.
    fn check(&mut self, changed: &HashSet<PathBuf>) {
        let wanted = |open: &&Open| {
            let names = self.names.get(&open.uri);
            changed.contains(&open.path) || names.is_some_and(|names| !names.is_disjoint(changed))
        };
        let wanted: Vec<Open> = self.open.values().filter(wanted).cloned().collect();
        let mut included: HashMap<String, CheckedFile> = HashMap::new();
        let mut own: Vec<(Open, CheckedFile)> = Vec::new();
        for open in wanted {
            let name = open.path.to_string_lossy().into_owned();
            let left = Cell::new((MOST_FILES, MOST_BYTES));
            let read = |path: &Path| self.read(path, &left);
            let mut files = check_files(&self.session, &[], &name, open.text.as_bytes(), &read).into_iter();
            let first = files.next();
            let mut names: HashSet<PathBuf> = HashSet::new();
            for file in files {
                names.extend(file.names.iter().cloned());
                if file.included {
                    included.insert(file.source.name.clone(), file);
                }
            }
            if let Some(first) = first {
                names.extend(first.names.iter().cloned());
                self.names.insert(open.uri.clone(), names);
                own.push((open, first));
            }
        }
        for (open, file) in &own {
            // What includes a file has variables and functions for it.
            let name = open.path.to_string_lossy();
            self.tell(open, included.get(name.as_ref()).unwrap_or(file));
        }
        for open in self.open.values() {
            let name = open.path.to_string_lossy();
            if let Some(file) = included.get(name.as_ref())
                && !own.iter().any(|(own, _)| own.uri == open.uri)
            {
                self.tell(open, file);
            }
        }
    }

    fn tell(&self, open: &Open, file: &CheckedFile) {
        let document = Document::new(file.source.text.clone(), 0);
        let diagnostics = file
            .findings
            .iter()
            .take(MOST_FINDINGS)
            .map(|finding| told(finding, &file.source, &document))
            .collect();
        (self.found)(Findings { uri: open.uri.clone(), version: open.version, diagnostics });
    }

    /// What is open counts as it is there, saved or not.
    fn read(&self, path: &Path, left: &Cell<(usize, u64)>) -> io::Result<Vec<u8>> {
        let (files, bytes) = left.get();
        if files == 0 || bytes == 0 {
            return Err(io::Error::other("an editor's check reads no more files"));
        }
        let text = match self.open.values().find(|open| open.path == path) {
            Some(open) => Ok(open.text.as_bytes().to_vec()),
            None => read_regular(path, LONGEST_FILE.min(bytes)),
        };
        let length = text.as_ref().map_or(0, |text| text.len() as u64);
        left.set((files - 1, bytes.saturating_sub(length)));
        text
    }
}

/// A finding as the protocol has it.
fn told(finding: &Diagnostic, source: &Source, document: &Document) -> Value {
    let severity = match finding.severity {
        Severity::Error => 1,
        Severity::Warning => 2,
        Severity::Hint => 3,
    };
    let message = match &finding.help {
        Some(help) => format!("{}\n{help}", finding.message),
        None => finding.message.clone(),
    };
    let mut told = json!({
        "range": document.range(finding.span),
        "severity": severity,
        "source": "DTCL",
        "message": message,
    });
    if finding.code != 0 {
        told["code"] = (-i32::from(finding.code)).into();
    }
    if let Some(beside) = &finding.beside {
        let folder = Path::new(&source.name).parent().unwrap_or(Path::new(""));
        let number = |n: usize| u32::try_from(n.saturating_sub(1)).unwrap_or(u32::MAX);
        let before: String = beside.text.chars().take(beside.column.saturating_sub(1)).collect();
        let place =
            Position { line: number(beside.line), character: number(before.encode_utf16().count() + 1) };
        let location =
            Location { uri: uri_of(&folder.join(&beside.file)), range: Range { start: place, end: place } };
        told["relatedInformation"] = json!([{ "location": location, "message": beside.note }]);
    }
    told
}

/// Nobody is told anything, and nobody asked.
struct Silent;

impl Ui for Silent {
    fn write(&mut self, _: &str) {}

    fn message(&mut self, _: &str) {}

    fn progress(&mut self, _: Option<&Progress>) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn confirm(&mut self, _: &str) -> Option<bool> {
        None
    }

    fn password(&mut self, _: &str) -> Option<String> {
        None
    }

    fn interactive(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ApiError, Code};
    use crate::machine::Machine;

    #[test]
    fn of_each_document_the_last_job_waits() {
        let shared = Shared::default();
        let jobs = Jobs(shared.clone());
        let open = |uri: &str, version| {
            let (text, path) = ("".into(), PathBuf::from(uri));
            Job::Check(Open { uri: uri.to_owned(), version, text, path })
        };
        for version in 0..1000 {
            jobs.send(open("a", version));
            jobs.send(open("b", version));
        }
        jobs.send(Job::Closed("b".to_owned()));
        let waiting = next(&shared).unwrap();
        assert_eq!(waiting.len(), 2);
        assert!(matches!(&waiting["a"], Job::Check(open) if open.version == 999));
        assert!(matches!(&waiting["b"], Job::Closed(_)));
        drop(jobs);
        assert!(next(&shared).is_none());
    }

    struct Nowhere;

    impl Connector for Nowhere {
        fn local(&self) -> String {
            "here".to_owned()
        }

        fn open(&self, _: &str) -> Result<Arc<dyn Machine>, ApiError> {
            Err(ApiError::bare(Code::ServerDoesNotExistOrCouldNotBeLocated))
        }
    }

    #[test]
    fn after_a_mistake_of_the_checker_the_next_check_is_made() {
        let (sender, told) = std::sync::mpsc::channel();
        let jobs = start(Arc::new(Nowhere), move |findings: Findings| {
            sender.send(findings.version).unwrap();
            assert!(findings.version > 1, "a mistake");
        });
        for version in 1..3 {
            let (uri, text, path) = ("file:///a".to_owned(), "".into(), PathBuf::from("/a"));
            jobs.send(Job::Check(Open { uri, version, text, path }));
            assert_eq!(told.recv().unwrap(), version);
        }
    }
}
