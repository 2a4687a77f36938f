//! CONNECT to another machine: the target is asked, as its administrator, to grant places to the source's key, and the source is told
//! what was granted.

use crate::api::{ApiError, Code, ConnectSpec, ConnectTarget, GrantSpec, Reply, Request};
use crate::commands::session::unexpected;
use crate::commands::{Outcome, Session};
use crate::machine::Machine;
use std::sync::Arc;

/// Connects by `connect`, with a grant of the target where that is another machine than the source. What is not used is given back.
pub(super) fn with_grant(
    session: &mut Session,
    source: &Arc<dyn Machine>,
    spec: ConnectSpec,
    connect: impl FnOnce(&mut Session, ConnectSpec) -> Result<Outcome, ApiError>,
) -> Result<Outcome, ApiError> {
    let Some((name, target)) = other_machine(session, source, &spec.target) else {
        return connect(session, spec);
    };
    let Reply::Introduction(introduction) =
        session.ask(source, Request::Introduce { repset: Some(spec.repset.clone()) })?
    else {
        return Err(unexpected());
    };
    if !introduction.repset.eq_ignore_ascii_case(&spec.repset) {
        return Err(unexpected());
    }
    let (map, orphans, dry_run) = (spec.map.clone(), spec.orphans, spec.dry_run);
    let asked = GrantSpec { source: introduction, map, orphans, dry_run };
    let Reply::Granted(granted) = session.ask(&target, Request::Grant(asked))? else {
        return Err(unexpected());
    };
    let id = granted.id.clone();
    let withdraw = || target.call(Request::Withdraw { grant: id.clone() }, &mut ());
    if !target.is_far() && !target.keeps_connections() {
        withdraw()?;
        return Err(ApiError::new(
            Code::ServerIsNotResponding,
            format!("no service runs on {name}, so nobody can send data to it"),
        )
        .help("start it with DTCL serve, or as a unit of the system"));
    }
    for notice in &granted.notices {
        session.ui().message(notice);
    }
    let spec =
        ConnectSpec { target: ConnectTarget::Far { machine: name, granted: Box::new(granted) }, ..spec };
    let connected = connect(session, spec);
    if dry_run || connected.is_err() {
        // The source may have done it.
        let _ = withdraw();
    }
    connected
}

/// The target and its name, if it is another machine than the source. One that cannot be found is the source's to tell of.
fn other_machine(
    session: &mut Session,
    source: &Arc<dyn Machine>,
    target: &ConnectTarget,
) -> Option<(String, Arc<dyn Machine>)> {
    let ConnectTarget::Machine(name) = target else { return None };
    let of_source = name.eq_ignore_ascii_case(source.name()) || name.eq_ignore_ascii_case("localhost");
    if of_source && (source.is_far() || !name.contains(':')) {
        return None;
    }
    let target = session.open(name).ok()?;
    (source.is_far() || target.is_far()).then(|| (name.clone(), target))
}
