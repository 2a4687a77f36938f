use super::*;
use crate::api::TransmissionStep::{Pause, Resume, Start, Stop};
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
