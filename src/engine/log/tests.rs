use super::*;
use std::fs;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn settings(&self, level: u8) -> LogSettings {
        let directory = self.dir.path().join("log");
        LogSettings { directory, base: "dtlog".into(), level, max_size: 1 << 20, max_files: 20 }
    }

    fn open(&self, level: u8) -> EngineLog {
        EngineLog::open(&self.settings(level)).unwrap()
    }

    /// Type, ID and text of each line.
    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("log/dtlog1.dtl")).unwrap_or_default();
        text.lines().map(|line| line.splitn(6, ' ').last().unwrap().to_owned()).collect()
    }
}

#[test]
fn tracing_feeds_the_log_of_the_thread() {
    let (one, two) = (Place::new(), Place::new());
    let (log_one, log_two) = (one.open(2), two.open(3));
    let entered = log_one.enter();
    tracing::info!("Mirror Started <{}>", 3);
    tracing::warn!(id = 5100, place = "/srv", "cannot read");
    tracing::error!(id = 7_i32, "worse");
    tracing::debug!("not at this level");
    {
        let _inner = log_two.enter();
        tracing::debug!("for the other");
    }
    tracing::info!("a\nb");
    drop(entered);
    tracing::info!("two logs are open, so nobody knows for which this is");
    assert_eq!(
        one.lines(),
        ["2 0 Mirror Started <3>", "1 5100 cannot read place=/srv", "1 7 worse", "2 0 a\\nb"]
    );
    assert_eq!(two.lines(), ["2 0 for the other"]);
}

#[test]
fn threads_and_tasks_inherit_the_log() {
    let (one, two) = (Place::new(), Place::new());
    let (log_one, _log_two) = (one.open(2), two.open(2));
    let entered = log_one.enter();
    let thread = std::thread::spawn(inherit(|| tracing::info!("from a thread")));
    let task = inherit_task(async {
        tracing::info!("from a task");
    });
    drop(entered);
    thread.join().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(task)).join().unwrap());
    assert_eq!(one.lines(), ["2 0 from a thread", "2 0 from a task"]);
    assert!(two.lines().is_empty());
}

#[test]
fn the_level_is_live() {
    let place = Place::new();
    let log = place.open(0);
    let _entered = log.enter();
    let all = || {
        tracing::warn!("alert");
        tracing::info!("information");
        tracing::debug!("debug");
    };
    all();
    assert_eq!(log.file(), None, "nothing is made for nothing");
    for level in [1, 2, 3] {
        log.configure(&place.settings(level));
        all();
    }
    assert_eq!(
        place.lines(),
        ["1 0 alert", "1 0 alert", "2 0 information", "1 0 alert", "2 0 information", "2 0 debug"]
    );
}

#[test]
fn sequence_numbers_count_by_one_across_threads() {
    let place = Place::new();
    let log = place.open(2);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|n| log.write(Kind::Information, 0, &format!("line {n}"))));
        }
    });
    let text = fs::read_to_string(log.file().unwrap()).unwrap();
    let numbers: Vec<u64> =
        text.lines().map(|line| line.split(' ').nth(4).unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
}

/// What a full disk does to a log: lines are lost, the engine goes on, and the loss is told.
#[test]
fn lines_that_cannot_be_written_are_counted_and_told() {
    let place = Place::new();
    let log = place.open(2);
    log.write(Kind::Information, 0, "before");
    let directory = place.dir.path().join("log");
    let aside = place.dir.path().join("aside");
    // The next file cannot be begun while the directory is away.
    fs::rename(&directory, &aside).unwrap();
    log.configure(&LogSettings { max_size: 1, ..place.settings(2) });
    log.write(Kind::Information, 0, "lost");
    log.write(Kind::Alert, 0, "lost too");
    assert_eq!(log.dropped(), 2);
    fs::rename(&aside, &directory).unwrap();
    log.configure(&place.settings(2));
    log.write(Kind::Information, 0, "after");
    assert_eq!(
        place.lines(),
        ["2 0 before", "1 0 2 messages are missing here: the log could not be written", "2 0 after"]
    );
    assert_eq!(log.dropped(), 2);
}

#[test]
fn a_closed_log_is_forgotten() {
    let place = Place::new();
    let log = place.open(2);
    let weak = Arc::downgrade(&log.0);
    drop(log);
    assert!(weak.upgrade().is_none());
}

/// What an engine does stands in its own log, though other engines run in this process; SET reaches the log at once.
#[test]
fn an_engine_writes_its_log() {
    use crate::api::Request;
    let dir = tempfile::tempdir().unwrap();
    let home = crate::engine::home::Home::at(dir.path());
    fs::create_dir(dir.path().join("etc")).unwrap();
    fs::write(home.settings_file(), "ChecksumAll=9\n").unwrap();
    let engine = crate::engine::Engine::open(home.clone()).unwrap();
    let call = |request| engine.call(request, &mut ()).unwrap();
    let login = || Request::Login { user: "anna".into(), password: None, domain: None };
    call(login());
    call(Request::Set { option: "LogMessageLevel".into(), value: "1".into() });
    call(login());
    let text = fs::read_to_string(home.log_dir().join("dtlog1.dtl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains(" 1 1 0 ") && lines[0].contains("DT.conf, line 1: ChecksumAll"), "{text}");
    assert!(lines[1].ends_with(" 2 2 0 User :anna: has FULL access (2)"), "{text}");
}
