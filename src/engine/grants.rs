//! What sources on other machines may send here; over which [`lines`](super::lines), stands there.
//!
//! A grant is given by an administrator's client and bound to the source's key. Invariants: nobody else's line is served; a
//! target path has one source at a time; before a new line of a source is served, those that it calls dead have ended, so that
//! nothing of theirs is applied behind what is newer.

use super::connect::mapping::{Ground, absolute, map, shown};
use super::connect::mounts::Mounts;
use super::connect::overlap::Tree;
use super::connect::route::{look_at_target, mounts, refuse_no_roots};
use super::job::Mapping;
use super::lines::{ENDING, Taken};
use super::link::far;
use super::log::{escape, event, inherit};
use super::random::random;
use super::store::Store;
pub use super::store::{Grant, GrantedPlace};
use super::target::{self, Confined, TaskHost};
use super::{Engine, lock};
use crate::api::{ApiError, Code, GrantLine, GrantSpec, Granted, Introduction, MapSpec, Reply, RootKind};
use crate::wire::control::Present;
use crate::wire::data::{Line, Side};
use crate::wire::tls::Fingerprint;
use rustls::ServerConnection;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Most grants.
const GRANTS: usize = 4096;
/// A line that was admitted.
pub enum Admitted {
    New(Box<New>),
    /// It goes on, after a rest or a failure: so much of it was heard here, and so much there.
    Again(Arc<Line>, u64, u64),
}

impl Admitted {
    /// Bytes of the line that were heard here.
    pub fn heard(&self) -> u64 {
        match self {
            Admitted::New(_) => 0,
            Admitted::Again(_, here, _) => *here,
        }
    }
}

/// A line that will be served.
pub struct New {
    grant: Grant,
    taken: Taken,
    /// The source's process.
    process: u32,
}

impl Engine {
    /// `Request::Introduce`: what a target is to be told of this machine and one of its sets.
    pub(super) fn introduce(&self, repset: Option<&str>) -> Result<Reply, ApiError> {
        let (machine, key) = (self.source.clone(), self.machine_key()?.fingerprint().to_string());
        let Some(repset) = repset else {
            let (repset, roots) = (String::new(), Vec::new());
            return Ok(Reply::Introduction(Introduction { machine, key, repset, roots }));
        };
        let rules = self.saved_rules(repset)?;
        let mut roots = Vec::new();
        for root in rules.roots() {
            let kind = if self.runner.sees_files() { RootKind::of(&root) } else { RootKind::Directory };
            let text = root.into_os_string().into_string();
            roots.push((text.map_err(|_| invalid("a path of the set is not UTF-8".to_owned()))?, kind));
        }
        refuse_no_roots(&roots, repset)?;
        Ok(Reply::Introduction(Introduction { machine, key, repset: self.spelled(repset)?, roots }))
    }

    /// `Request::Grant`: lets a source on another machine send a set here. Nothing is made before its first line.
    pub(super) fn grant(&self, spec: &GrantSpec) -> Result<Reply, ApiError> {
        let source = &spec.source;
        let own = self.machine_key()?.fingerprint();
        let key: Fingerprint =
            source.key.parse().map_err(|()| invalid("the source shows no key".to_owned()))?;
        if key == own {
            return Err(invalid("source and target are the same machine".to_owned())
                .help("CONNECT <set> TO localhost: a connection inside one machine needs no grant"));
        }
        for name in [&source.machine, &source.repset] {
            if !crate::sys::is_name(name.as_bytes()) {
                return Err(invalid(format!("{name:?} is no name for a source or a set")));
            }
        }
        let mut roots = Vec::new();
        for (root, _) in &source.roots {
            roots.push(absolute(root, "a source path")?);
        }
        if roots.is_empty() {
            return Err(invalid("the set has no path".to_owned()));
        }
        let ground =
            Ground { data_root: self.home.data_root(), source: &source.machine, repset: &source.repset };
        // One at a time, so that two cannot take the same place.
        let _turn = lock(&self.connecting);
        let mappings = map(&spec.map, &roots, ground)?;
        let mounts = mounts()?;
        let mut places = Vec::new();
        for (mapping, (_, kind)) in mappings.iter().zip(&source.roots) {
            if !self.runner.sees_files() {
                places.push((mapping, Tree::unseen(&mapping.target), *kind));
                continue;
            }
            refuse_links(&spec.map, self.home.data_root(), &mapping.target)?;
            let tree = look_at_target(mapping, *kind, &mounts)?;
            self.refuse_own(mapping, &tree, &mounts)?;
            places.push((mapping, tree, *kind));
        }
        let claimed: Vec<(&Mapping, &Tree)> =
            places.iter().map(|(mapping, tree, _)| (*mapping, tree)).collect();
        self.refuse_connected(&claimed)?;
        let superseded = if spec.dry_run { Vec::new() } else { self.supersedes(&claimed, source, key)? };
        let count = self.kept.store.grants()?.len() - superseded.len();
        if count >= GRANTS {
            return Err(ApiError::new(
                Code::DataOverload,
                format!("this machine has granted {count} sources places already"),
            )
            .help("DTCL grant list shows them, DTCL grant remove ID takes one back"));
        }
        let grant = Grant {
            id: new_id()?,
            key,
            source: source.machine.clone(),
            repset: source.repset.clone(),
            made_ms: self.clock.wall_ms(),
            // Whoever may change data here may not yet run programs.
            tasks: false,
            places: places
                .iter()
                .map(|(mapping, tree, kind)| GrantedPlace {
                    source: mapping.source.clone(),
                    target: mapping.target.clone(),
                    real: tree.real.clone(),
                    kind: *kind,
                })
                .collect(),
        };
        self.kept.store.keep_grant(&grant, &superseded)?;
        // None of them had a line just now; one that has come meanwhile has lost its grant.
        self.lines.end(|id, _| superseded.iter().any(|old| old.id == id));
        if let Some(orphans) = spec.orphans {
            self.orphans.switch(orphans);
        }
        let mut paths = Vec::new();
        for place in &grant.places {
            let text = |path: &Path| path.to_str().map(str::to_owned);
            let pair = text(&place.source).zip(text(&place.target));
            paths.push(pair.ok_or_else(|| invalid(format!("{} is not UTF-8", shown(&place.target))))?);
            tracing::info!(
                "{} of {} {} may send {} to {}",
                escape(grant.repset.as_bytes()),
                escape(grant.source.as_bytes()),
                grant.key,
                shown(&place.source),
                shown(&place.target)
            );
        }
        let notices = superseded
            .iter()
            .map(|old| format!("{} had this place before; its grant is taken back", named(old)))
            .collect();
        Ok(Reply::Granted(Granted { id: grant.id, key: own.to_string(), paths, notices }))
    }

    /// `Request::Withdraw`.
    pub(super) fn withdraw(&self, id: &str) -> Result<Reply, ApiError> {
        match self.take_back(id)? {
            true => Ok(Reply::Done),
            false => Err(ApiError::new(Code::ConnectionDoesNotExist, format!("there is no grant {id}"))
                .help("DTCL grant list shows all")),
        }
    }

    /// False: there is none of that name. Its lines have ended, or are about to.
    fn take_back(&self, id: &str) -> Result<bool, ApiError> {
        // In this order: a line that is admitted meanwhile looks for its grant once more.
        let removed = self.kept.store.remove_grant(id)?;
        if !self.lines.end(|grant, _| grant == id) {
            tracing::warn!("A line did not end in {} s; nothing new is taken from it", ENDING.as_secs());
        }
        if removed {
            tracing::info!("The grant {id} was taken back");
        }
        Ok(removed)
    }

    /// `Request::Grants`.
    pub(super) fn grant_lines(&self) -> Result<Reply, ApiError> {
        let line = |(grant, from): (Grant, Vec<SocketAddr>)| GrantLine {
            id: grant.id,
            source: escape(grant.source.as_bytes()),
            key: grant.key.to_string(),
            repset: escape(grant.repset.as_bytes()),
            made_ms: grant.made_ms,
            tasks: grant.tasks,
            from: from.iter().map(ToString::to_string).collect(),
            paths: grant.places.iter().map(|place| (shown(&place.source), shown(&place.target))).collect(),
        };
        Ok(Reply::Grants(self.sources()?.into_iter().map(line).collect()))
    }

    /// The engine's state is no place for a replica.
    fn refuse_own(&self, mapping: &Mapping, target: &Tree, mounts: &Mounts) -> Result<(), ApiError> {
        for directory in self.own_directories() {
            // One that is not there yet is none to overlap; one that cannot be looked at may be.
            let overlaps = Tree::look(&directory, mounts).map_or(true, |tree| !target.to(&tree).is_empty());
            if overlaps {
                return Err(invalid(format!(
                    "the target path {} overlaps {}, where the target keeps its own files",
                    shown(&mapping.target),
                    shown(&directory)
                ))
                .help("MAP the set to another path"));
            }
        }
        Ok(())
    }

    /// REP-35 against the connections of this machine.
    fn refuse_connected(&self, places: &[(&Mapping, &Tree)]) -> Result<(), ApiError> {
        for connection in self.connections() {
            let route = connection.view().route;
            if let Some((mapping, _)) = places.iter().find(|(_, tree)| route.writes_to(tree)) {
                let id = connection.info.id;
                let by = format!("connection {id} of this target");
                return Err(taken(mapping, &by, &format!("DISCONNECT {id} there")));
            }
        }
        Ok(())
    }

    /// REP-35 against other machines, and what a name stands for: the grants that these places take the place of, which are the same
    /// source's, and not in use. -115 for a place of another source, or one that is in use; -101 for a name that another key has.
    fn supersedes(
        &self,
        places: &[(&Mapping, &Tree)],
        source: &Introduction,
        key: Fingerprint,
    ) -> Result<Vec<Grant>, ApiError> {
        let grants = self.kept.store.grants()?;
        let other = |grant: &&Grant| grant.key != key && grant.source.eq_ignore_ascii_case(&source.machine);
        if let Some(other) = grants.iter().find(other) {
            return Err(invalid(format!(
                "{} is known here by another key, {}",
                escape(source.machine.as_bytes()),
                other.key
            ))
            .help(format!(
                "two machines have one name, or it was installed anew: then DTCL grant remove {} on this target",
                other.id
            )));
        }
        let mut superseded = Vec::new();
        for (mapping, grant) in self.overlaps(places, &grants)? {
            if grant.key != key || self.lines.is_standing(&grant.id) {
                return Err(taken_by(mapping, grant));
            }
            superseded.push(grant.clone());
        }
        Ok(superseded)
    }

    /// REP-35 for a connection of this machine: -115 for a place that a source on another one was granted.
    pub(super) fn refuse_granted(&self, places: &[(&Mapping, &Tree)]) -> Result<(), ApiError> {
        let grants = self.kept.store.grants()?;
        match self.overlaps(places, &grants)?.first() {
            Some((mapping, grant)) => Err(taken_by(mapping, grant)),
            None => Ok(()),
        }
    }

    /// The grants that share a place with these, and one of the places. By what stands on the disk and by name: a source may have put a
    /// link in its place, and what cannot be looked at may be anywhere.
    fn overlaps<'a>(
        &self,
        places: &[(&'a Mapping, &Tree)],
        grants: &'a [Grant],
    ) -> Result<Vec<(&'a Mapping, &'a Grant)>, ApiError> {
        let mut found = Vec::new();
        if grants.is_empty() || places.is_empty() {
            return Ok(found);
        }
        let mounts = mounts()?;
        for grant in grants {
            let theirs: Vec<_> =
                grant.places.iter().map(|place| (&place.real, Tree::look(&place.real, &mounts))).collect();
            let shares = |tree: &Tree| {
                theirs.iter().any(|(real, found)| {
                    tree.real.starts_with(real)
                        || real.starts_with(&tree.real)
                        || found.as_ref().map_or(true, |other| !tree.to(other).is_empty())
                })
            };
            if let Some((mapping, _)) = places.iter().find(|(_, tree)| shares(tree)) {
                found.push((*mapping, grant));
            }
        }
        Ok(found)
    }

    /// A source has come, with this key. None: it has given its grant back. May wait for dead lines to end.
    pub fn admit(
        &self,
        key: Fingerprint,
        from: SocketAddr,
        present: &Present,
    ) -> Result<Option<Admitted>, ApiError> {
        let _entered = self.kept.log.enter();
        let unknown = || {
            ApiError::new(
                Code::InsufficientSecurityAccess,
                "the target has granted this source nothing, or has taken it back",
            )
            .help("DISCONNECT, then CONNECT again with full access on both machines")
        };
        let known =
            || Ok::<_, ApiError>(self.kept.store.grant(&present.grant)?.filter(|grant| grant.key == key));
        let grant = known()?.ok_or_else(unknown)?;
        if !self.lines.is_newest(&grant.id, present.process, present.call) {
            return Err(ApiError::new(Code::ServerIsNotResponding, "a newer call was answered"));
        }
        if present.ends {
            self.take_back(&grant.id)?;
            return Ok(None);
        }
        let dead = |id: &str, number| {
            let goes_on = present.resumes.is_some() && number == present.line;
            id == grant.id && !goes_on && !present.standing.contains(&number)
        };
        if !self.lines.end(dead) {
            return Err(ApiError::new(
                Code::ServerIsNotResponding,
                format!("an operation of before takes longer than {} s there", ENDING.as_secs()),
            )
            .help("it is tried again"));
        }
        if let Some(there) = present.resumes {
            let line = self.lines.standing(&grant.id, present.line).ok_or_else(|| {
                ApiError::new(Code::ConnectionDoesNotExist, "the target has not kept that line")
                    .help("what was not applied is sent anew")
            })?;
            // What has come is heard, and over what it came is given up.
            let here = line.heard_last(ENDING).map_err(|error| {
                ApiError::new(
                    Code::ServerIsNotResponding,
                    format!("the line is not let go of there: {error}"),
                )
                .help("it is tried again")
            })?;
            return Ok(Some(Admitted::Again(line, here, there)));
        }
        let taken = self.lines.begin(&grant.id, present.line, from).ok_or_else(|| {
            ApiError::new(Code::ServerIsNotResponding, "the target has too many lines already")
                .help("end some connections, or try again later")
        })?;
        // It may have been taken back while dead lines were waited for.
        known()?.ok_or_else(unknown)?;
        Ok(Some(Admitted::New(Box::new(New { grant, taken, process: present.process }))))
    }

    /// Serves a line to its end on a thread of its own.
    pub fn serve(
        self: &Arc<Self>,
        admitted: Admitted,
        tls: ServerConnection,
        socket: TcpStream,
    ) -> std::io::Result<()> {
        let New { grant, taken, process } = match admitted {
            // Another call may have come between.
            Admitted::Again(line, here, _) if line.heard() != here => {
                return Err(ErrorKind::AlreadyExists.into());
            }
            Admitted::Again(line, _, there) => {
                if line.is_lost() {
                    event!(SourceReachable, "A source goes on where its line had failed");
                }
                let goes_on = line.go_on(tls.into(), socket, Some(there), Duration::ZERO);
                if goes_on.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidInput) {
                    // What it has not heard is not there any more.
                    line.break_off();
                }
                return goes_on;
            }
            Admitted::New(new) => *new,
        };
        let (peer, local) =
            (socket.peer_addr()?.ip().to_canonical(), socket.local_addr()?.ip().to_canonical());
        let line = Arc::new(Line::new(Side::Target, tls.into(), socket)?);
        taken.is_carried_by(&line);
        let spill = format!("target-{}-{:x}", grant.id, taken.number);
        let (store, asked) = (Arc::clone(&self.kept.store), grant.id.clone());
        let allows = |store: &Store, id: &str| matches!(store.grant(id), Ok(Some(grant)) if grant.tasks);
        let policy = target::Policy {
            confined: Some(
                grant
                    .places
                    .iter()
                    .map(|place| Confined {
                        told: place.target.clone(),
                        real: place.real.clone(),
                        kind: place.kind,
                    })
                    .collect(),
            ),
            source: Some(process),
            tasks: Some(TaskHost {
                power: Arc::clone(&self.tasks.power),
                allowed: Some(Arc::new(move || allows(&store, &asked))),
            }),
            counts: self.statistics.target(peer, local),
            ..target::Policy::of(&self.mirror_settings(), self.forbidden(), &spill)
        };
        let log = self.kept.log.enter();
        let work = inherit(move || {
            let cut = Arc::clone(&taken.cut);
            let who = named(&grant);
            event!(SourceReachable, "{who} is connected");
            let fails = who.clone();
            let lost = move || {
                event!(SourceLost, "The line of {fails} has failed; it is kept for when it dials anew")
            };
            match far::receive(&line, cut, lost, |end| target::serve(end, policy)) {
                Ok(()) => tracing::info!("{who} has left"),
                // Its grant was taken back, or the engine ends.
                Err(error) if taken.was_ended() => tracing::warn!("{who} was ended: {error}"),
                Err(error) => event!(SourceLost, "{who} was ended: {error}"),
            }
            drop(taken);
        });
        drop(log);
        std::thread::Builder::new().name("target".to_owned()).spawn(work).map(drop)
    }

    /// For STATUS: each grant, and where its source's lines come from.
    pub(super) fn sources(&self) -> Result<Vec<(Grant, Vec<SocketAddr>)>, ApiError> {
        let with_lines = |grant: Grant| {
            let from = self.lines.from(&grant.id);
            (grant, from)
        };
        Ok(self.kept.store.grants()?.into_iter().map(with_lines).collect())
    }
}

/// A grant's set and source, for a person.
fn named(grant: &Grant) -> String {
    format!("{} of {}", escape(grant.repset.as_bytes()), escape(grant.source.as_bytes()))
}

fn taken_by(mapping: &Mapping, grant: &Grant) -> ApiError {
    let remedy =
        format!("end that connection, or take its place with DTCL grant remove {} on the target,", grant.id);
    taken(mapping, &named(grant), &remedy)
}

/// No link in a granted path: a source that had the place before may have made it. What the administrator has typed may lead anywhere.
fn refuse_links(map: &MapSpec, data_root: &Path, target: &Path) -> Result<(), ApiError> {
    let is_below = |path: &Path| match map {
        MapSpec::Default | MapSpec::Exact => path.starts_with(data_root) && path != data_root,
        MapSpec::Base(base) => path.starts_with(base) && path != Path::new(base),
        MapSpec::Pairs(pairs) => pairs.iter().any(|(_, to)| path.starts_with(to)),
    };
    for path in target.ancestors().filter(|path| is_below(path)) {
        if std::fs::symlink_metadata(path).is_ok_and(|status| status.is_symlink()) {
            return Err(invalid(format!(
                "the target path {} leads through the link {}",
                shown(target),
                shown(path)
            ))
            .help("MAP the set to where it leads, or remove the link"));
        }
    }
    Ok(())
}

fn taken(mapping: &Mapping, by: &str, remedy: &str) -> ApiError {
    ApiError::new(
        Code::ConnectionAlreadyEstablished,
        format!("the target path {} overlaps a place that {by} writes to", shown(&mapping.target)),
    )
    .help(format!("MAP the set to another path, or {remedy} first"))
}

fn new_id() -> Result<String, ApiError> {
    Ok(random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterWasSupplied, message)
}
