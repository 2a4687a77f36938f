use super::schedule::{Due, Session, Why, Window};
use super::*;
use crate::api::TransmissionStep::{Pause, Resume, Start, Stop};
use std::cell::Cell;
use std::sync::mpsc::channel;

/// A line that writes down what becomes of it.
#[derive(Default)]
struct Recorded {
    told: Mutex<Vec<&'static str>>,
    unreachable: AtomicBool,
}

impl Called for Recorded {
    fn rest(&self, _: Duration) -> Result<(), String> {
        self.told.lock().unwrap().push("rest");
        Ok(())
    }

    fn go_on(&self) -> Result<bool, ApiError> {
        if self.unreachable.load(Relaxed) {
            return Err(ApiError::bare(Code::ServerIsNotResponding));
        }
        self.told.lock().unwrap().push("go on");
        Ok(true)
    }
}

impl Recorded {
    fn told(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

fn dialled(transmission: &Transmission) -> (Arc<Recorded>, bool) {
    let line = Arc::new(Recorded::default());
    let with_socket = transmission.dials(|socket| Ok((socket, Arc::clone(&line)))).unwrap();
    (line, with_socket)
}

fn number(result: Result<(), ApiError>) -> i64 {
    result.map_or_else(|error| i64::from(error.code.number()), |()| 0)
}

/// The table of 25.2.
#[test]
fn each_step_leads_where_the_guide_says_and_says_so_when_there_is_nothing_to_do() {
    for (from, step, to, code) in [
        (Mode::Started, Start, Mode::Started, 154),
        (Mode::Started, Resume, Mode::Started, 154),
        (Mode::Started, Pause, Mode::Paused, 0),
        (Mode::Started, Stop, Mode::Stopped, 0),
        (Mode::Paused, Start, Mode::Started, 0),
        (Mode::Paused, Resume, Mode::Started, 0),
        (Mode::Paused, Pause, Mode::Paused, 153),
        (Mode::Paused, Stop, Mode::Stopped, 0),
        (Mode::Stopped, Start, Mode::Started, 0),
        (Mode::Stopped, Resume, Mode::Started, 0),
        (Mode::Stopped, Pause, Mode::Stopped, 153),
        (Mode::Stopped, Stop, Mode::Stopped, 153),
    ] {
        let transmission = Transmission::of(Kept { mode: from, ..Kept::default() }, None);
        let before = transmission.kept();
        assert_eq!(number(transmission.step(step, "beta")), code, "{from:?} {step:?}");
        assert_eq!(transmission.kept().mode, to);
        assert_eq!(transmission.is_open(), to == Mode::Started);
        assert_eq!(transmission.held("beta").is_none(), to == Mode::Started);
        assert!(code == 0 || transmission.kept() == before);
    }
}

/// TRN-02: stop closes the sockets, pause keeps them.
#[test]
fn a_stop_has_lines_rest_and_a_pause_leaves_them() {
    let transmission = Transmission::default();
    let (line, with_socket) = dialled(&transmission);
    assert!(with_socket);
    transmission.step(Pause, "beta").unwrap();
    transmission.step(Resume, "beta").unwrap();
    assert!(line.told().is_empty());
    transmission.step(Pause, "beta").unwrap();
    transmission.step(Stop, "beta").unwrap();
    assert_eq!(line.told(), ["rest"]);
    let (later, with_socket) = dialled(&transmission);
    assert!(!with_socket, "there are no sockets while it is stopped");
    drop(line);
    transmission.step(Start, "beta").unwrap();
    assert_eq!(later.told(), ["go on"]);
}

#[test]
fn a_target_that_cannot_be_reached_leaves_it_stopped_with_no_socket() {
    let transmission = Transmission::default();
    let ((one, _), (other, _)) = (dialled(&transmission), dialled(&transmission));
    transmission.step(Stop, "beta").unwrap();
    other.unreachable.store(true, Relaxed);
    assert_eq!(number(transmission.step(Start, "beta")), 110);
    assert_eq!((one.told(), other.told()), (vec!["rest", "go on", "rest"], vec!["rest", "rest"]));
    assert!(!transmission.is_open() && transmission.kept().mode == Mode::Stopped);
    other.unreachable.store(false, Relaxed);
    transmission.step(Start, "beta").unwrap();
    assert!(transmission.is_open());
}

/// CNX-03: it is another reason than a pause of the transmission.
#[test]
fn a_target_that_is_paused_is_sent_nothing_whatever_else_is_said() {
    let transmission = Transmission::default();
    assert_eq!(number(transmission.pause_target(false, "beta")), 164);
    transmission.pause_target(true, "beta").unwrap();
    assert_eq!(number(transmission.pause_target(true, "beta")), 162);
    transmission.step(Pause, "beta").unwrap();
    transmission.step(Start, "beta").unwrap();
    assert!(!transmission.is_open());
    assert!(transmission.held("beta").unwrap().contains("RESUME TARGET beta"));
    transmission.pause_target(false, "beta").unwrap();
    assert!(transmission.is_open());
}

#[test]
fn who_waits_goes_on_when_it_is_started_or_has_no_reason_any_more() {
    let transmission = Arc::new(Transmission::default());
    transmission.wait(|| false);
    transmission.step(Pause, "beta").unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let (tell, told) = channel();
    let waits = |over: Arc<AtomicBool>| {
        let (transmission, tell) = (Arc::clone(&transmission), tell.clone());
        std::thread::spawn(move || {
            transmission.wait(|| over.load(Relaxed));
            tell.send(()).unwrap();
        })
    };
    let (ends, goes_on) = (waits(Arc::clone(&over)), waits(Arc::default()));
    assert!(told.try_recv().is_err());
    over.store(true, Relaxed);
    transmission.nudge();
    told.recv().unwrap();
    ends.join().unwrap();
    assert!(told.try_recv().is_err());
    transmission.step(Start, "beta").unwrap();
    goes_on.join().unwrap();
}

fn at(time: &str) -> Moment {
    Moment {
        wall: format!("2026-11-30T{time}Z").parse().unwrap(),
        steady: std::time::Instant::now(),
        zone: TimeZone::UTC,
        sent_here: 0,
    }
}

/// Sent to from five bytes on, in the day; a session runs, or none.
fn by_day(session: Option<Session>) -> Transmission {
    let start = schedule::Start { queue_size: Some(5), ..schedule::Start::default() };
    let window = Some(Window::of("09:00", "18:00").unwrap());
    let schedule = Schedule { start, window, session, ..Schedule::default() };
    Transmission::of(Kept { schedule, ..Kept::default() }, None)
}

const QUEUED: Held = Held { is_empty: false, bytes: 5, percent: 0 };

/// A session that was due begins as it stands by the time that nothing else is under way, and not if that lasts too long.
#[test]
fn a_session_begins_only_if_it_is_due_still() {
    let transmission = by_day(None);
    let (line, with_socket) = dialled(&transmission);
    assert!(!with_socket);
    let due = Due::Begin(Why::Bytes(5));
    let now = at("17:59:59");
    assert_eq!(transmission.due(&now, QUEUED), due);
    let empty = Held { is_empty: true, ..Held::default() };
    assert!(!transmission.take_up(due, &now, "beta", &|| (at("17:59:59"), empty)));
    assert_eq!(line.told(), [""; 0]);
    // The window closes while the line is dialled.
    let asked = Cell::new(0);
    let then = || {
        asked.set(asked.get() + 1);
        (at(if asked.get() == 1 { "17:59:59" } else { "18:00:00" }), QUEUED)
    };
    assert!(!transmission.take_up(due, &now, "beta", &then));
    assert_eq!((line.told(), transmission.is_open()), (vec!["go on", "rest"], false));
    asked.set(0);
    let refused = transmission.start_by_hand("beta", &|| then().0).unwrap_err();
    assert_eq!((refused.code, line.told()), (Code::TransmissionIsPaused, vec!["go on", "rest"]));
    assert!(transmission.take_up(due, &now, "beta", &|| (at("17:59:59"), QUEUED)));
    assert_eq!((line.told(), transmission.is_open()), (vec!["go on"], true));
}

/// While an end waits for a line that is being dialled, nothing leaves by the others.
#[test]
fn nothing_leaves_while_an_end_waits_for_a_dialling() {
    let began_ms = at("17:00:00").wall.as_millisecond();
    let transmission = Arc::new(by_day(Some(Session { began_ms, bytes: 0 })));
    let (line, with_socket) = dialled(&transmission);
    assert!(with_socket && !transmission.is_mute());
    let ((dials, dialling), (goes_on, waits)) = (channel(), channel());
    let slow = {
        let transmission = Arc::clone(&transmission);
        std::thread::spawn(move || {
            let dial = |_| {
                dials.send(()).unwrap();
                waits.recv().unwrap();
                Ok(((), Arc::new(Recorded::default())))
            };
            transmission.dials(dial).unwrap();
        })
    };
    dialling.recv().unwrap();
    let due = Due::End(Why::WindowCloses);
    let ends = {
        let transmission = Arc::clone(&transmission);
        std::thread::spawn(move || {
            transmission.take_up(due, &at("18:00:00"), "beta", &|| (at("18:00:00"), QUEUED))
        })
    };
    let began = std::time::Instant::now();
    while transmission.is_open() || !transmission.is_mute() {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
    assert!(!ends.is_finished() && line.told().is_empty());
    goes_on.send(()).unwrap();
    slow.join().unwrap();
    assert!(ends.join().unwrap());
    assert!(transmission.is_mute() && transmission.kept().schedule.session.is_none());
    assert_eq!(line.told(), ["rest"]);
    // One that is none any more leaves all as it was.
    let transmission = by_day(Some(Session { began_ms, bytes: 0 }));
    assert!(!transmission.take_up(due, &at("18:00:00"), "beta", &|| (at("17:00:00"), QUEUED)));
    assert!(transmission.is_open() && !transmission.is_mute());
}
