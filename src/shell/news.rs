//! What happens on machines while somebody sits at the prompt: told above the line that is being typed.
//!
//! A thread looks at the connections now and then; what has changed between two looks at the same prompt is news. What a command did
//! is no news: who gave it knows.

use super::asking::Patience;
use crate::api::{ConnectionStatus, Reply, Request};
use crate::machine::Machine;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks.
const PACE: Duration = Duration::from_millis(500);
/// How long one whose last look has failed is left alone: each costs the next command some of its line's time.
const REST: Duration = Duration::from_secs(30);
/// How long a look may take.
const LONGEST: Duration = Duration::from_millis(400);

/// Whom to look at, as the shell knows at its prompt.
#[derive(Default)]
pub(super) struct Watched {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Empty while a command runs.
    machines: Vec<Arc<dyn Machine>>,
    /// Each prompt has its own.
    prompt: u64,
}

impl Watched {
    /// A prompt is shown, or (no machines) is over.
    pub(super) fn set(&self, machines: Vec<Arc<dyn Machine>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.machines = machines;
        state.prompt += 1;
    }

    fn get(&self) -> (u64, Vec<Arc<dyn Machine>>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.prompt, state.machines.clone())
    }
}

/// Looks until the program ends; news go to `tell`, whole lines.
pub(super) fn begin(
    watched: Arc<Watched>,
    mut tell: impl FnMut(String) + Send + 'static,
) -> std::io::Result<()> {
    let look = move || {
        // Those that did not answer, and until when they are left alone.
        let (mut rested, mut failed) = (BTreeMap::new(), Vec::new());
        let mut known: (u64, BTreeMap<(String, u32), ConnectionStatus>) = Default::default();
        loop {
            std::thread::sleep(PACE);
            let (prompt, machines) = watched.get();
            let mut now = BTreeMap::new();
            rested.retain(|_, until| Instant::now() < *until);
            for machine in machines.iter().filter(|machine| !rested.contains_key(machine.name())) {
                let mut watch = Patience(Instant::now() + LONGEST);
                match machine.call(Request::StatusAll, &mut watch) {
                    Ok(Reply::Connections(all)) => {
                        now.extend(all.into_iter().map(|one| ((machine.name().to_owned(), one.id.0), one)));
                    }
                    _ => failed.push(machine.name().to_owned()),
                }
            }
            rested.extend(failed.drain(..).map(|name| (name, Instant::now() + REST)));
            if watched.get().0 != prompt {
                continue;
            }
            if known.0 == prompt {
                for (key, status) in &now {
                    if let Some(before) = known.1.get(key) {
                        news(before, status).into_iter().for_each(&mut tell);
                    }
                }
            }
            known = (prompt, now);
        }
    };
    std::thread::Builder::new().name("news".into()).spawn(look).map(drop)
}

/// What is worth a line.
fn news(before: &ConnectionStatus, now: &ConnectionStatus) -> Vec<String> {
    let who = format!("connection {} ({} to {})", now.id, now.repset, now.target);
    let mut news = Vec::new();
    if before.mirror != now.mirror && now.mirror == "Idle" {
        news.push(format!(
            "{who}: {} has ended, the target's data is {}",
            before.mirror, now.target_data_state
        ));
    } else if before.target_data_state != now.target_data_state {
        news.push(format!("{who}: the target's data is {}", now.target_data_state));
    }
    if before.target_status != now.target_status {
        news.push(format!("{who}: the target is {}", now.target_status));
    }
    if let Some(error) = now.last_error.as_ref().filter(|_| before.last_error != now.last_error) {
        news.push(format!("warning: {who}: {error}"));
    }
    // Names may hold line ends, and each of the news is a line.
    for line in &mut news {
        *line = line.replace(char::is_control, " ");
    }
    news
}
