//! Reaching the target of a plan: in this process, on another machine, or none at all.

use super::null;
use crate::api::ApiError;
use crate::engine::job::{JobPlan, Sink};
use crate::engine::link::{self, Cut, SourceEnd, far};
use crate::engine::target;
use std::sync::Arc;

/// Runs the target's end; blocks until it has ended. The error: why it ended before its source did.
pub(super) type Serve = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// The source's end of a new link, and what serves the other. `cut`: when it is, what is under way is dropped.
pub(super) fn reach(plan: &JobPlan, cut: Arc<Cut>) -> Result<(SourceEnd, Serve), ApiError> {
    if let Sink::Far(machine) = &plan.sink {
        let outlet =
            far::Outlet { transmission: Arc::clone(&plan.transmission), traffic: Arc::clone(&plan.traffic) };
        let dialled = machine.dial(&plan.transmission, &plan.traffic)?;
        let (end, carrier) = far::source(Arc::clone(&dialled.line), cut, outlet);
        let (transmission, traffic) = (Arc::clone(&plan.transmission), Arc::clone(&plan.traffic));
        let reconnects = plan.settings.reconnects;
        return Ok((
            end,
            Box::new(move || {
                let redials = || dialled.redial(&transmission, &traffic);
                let carried = far::carry(carrier, if reconnects { Some(&redials) } else { None });
                drop(dialled);
                carried
            }),
        ));
    }
    let local = plan.sink == Sink::Local;
    let (end, mut target_end) = link::pair(local);
    target_end.cut = cut;
    if !local {
        return Ok((end, Box::new(move || null::serve(target_end).map_err(|error| error.to_string()))));
    }
    let spill = format!("target-{}", plan.connection);
    let policy = target::Policy::of(&plan.settings, plan.forbidden.clone(), &spill);
    Ok((end, Box::new(move || target::serve(target_end, policy).map_err(|error| error.to_string()))))
}
