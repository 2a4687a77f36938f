//! What sources on other machines may send here, and the lines over which they do.
//!
//! A grant is given by an administrator's client and bound to the source's key. Invariants: nobody else's line is served; a
//! target path has one source at a time; before a new line of a source is served, those that it calls dead have ended, so that
//! nothing of theirs is applied behind what is newer.

use super::connect::mapping::{Ground, absolute, map, shown};
use super::connect::mounts::Mounts;
use super::connect::overlap::Tree;
use super::connect::route::look_at_target;
use super::job::Mapping;
use super::link::far;
use super::log::{escape, inherit};
pub use super::store::{Grant, GrantedPlace};
use super::target::{self, Confined};
use super::{Engine, lock};
use crate::api::{ApiError, Code, GrantSpec, Granted, Introduction, Reply, RootKind};
use crate::wire::control::{Admit, Present};
use crate::wire::data::Line;
use crate::wire::tls::Fingerprint;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::ServerConnection;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most lines of one grant: replication's, and those of jobs beside it.
const OF_ONE: usize = 8;
/// Most lines.
const ALL: usize = 1024;
/// Most grants.
const GRANTS: usize = 4096;
/// How long a line that is cut may take to end: an operation that is being carried out is brought to its end.
const ENDING: Duration = Duration::from_secs(10);

/// The lines that stand. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    standing: Mutex<Vec<Standing>>,
    ended: Condvar,
}

/// One line.
#[derive(Clone)]
struct Standing {
    grant: String,
    number: u64,
    from: SocketAddr,
    cut: Arc<AtomicBool>,
    line: Option<Arc<Line>>,
}

impl Standing {
    fn end(&self) {
        self.cut.store(true, Relaxed);
        if let Some(line) = &self.line {
            line.break_off();
        }
    }
}

impl Lines {
    fn is_standing(&self, grant: &str) -> bool {
        lock(&self.shared.standing).iter().any(|standing| standing.grant == grant)
    }

    /// Where lines of the grant come from.
    fn from(&self, grant: &str) -> Vec<SocketAddr> {
        let standing = lock(&self.shared.standing);
        standing.iter().filter(|standing| standing.grant == grant).map(|standing| standing.from).collect()
    }

    /// Ends those that `which` names, and waits for it. False: some have not ended in time.
    fn end(&self, which: impl Fn(&str, u64) -> bool) -> bool {
        let mut standing = lock(&self.shared.standing);
        let deadline = Instant::now() + ENDING;
        loop {
            let dead: Vec<&Standing> =
                standing.iter().filter(|standing| which(&standing.grant, standing.number)).collect();
            if dead.is_empty() {
                return true;
            }
            dead.iter().for_each(|standing| standing.end());
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.ended.wait_timeout(standing, left);
            standing = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes a place for a line. None: there are too many, or the number is taken.
    fn begin(&self, grant: &str, number: u64, from: SocketAddr) -> Option<Taken> {
        let mut standing = lock(&self.shared.standing);
        let of_one = standing.iter().filter(|standing| standing.grant == grant);
        let (count, taken) = of_one
            .fold((0, false), |(count, taken), standing| (count + 1, taken || standing.number == number));
        if taken || count >= OF_ONE || standing.len() >= ALL {
            return None;
        }
        let cut = Arc::new(AtomicBool::new(false));
        standing.push(Standing { grant: grant.to_owned(), number, from, cut: Arc::clone(&cut), line: None });
        Some(Taken { lines: self.clone(), grant: grant.to_owned(), number, cut })
    }

    /// Ends all, and waits for it a while.
    pub(super) fn close(&self) {
        if !self.end(|_, _| true) {
            tracing::warn!("Lines of sources did not end in {} s", ENDING.as_secs());
        }
    }
}

/// The place of a line; given back when it is dropped.
struct Taken {
    lines: Lines,
    grant: String,
    number: u64,
    cut: Arc<AtomicBool>,
}

impl Taken {
    /// From now on whoever ends the line breaks it off.
    fn stands(&self, line: &Arc<Line>) {
        let mut standing = lock(&self.lines.shared.standing);
        let own = standing
            .iter_mut()
            .find(|standing| (standing.grant.as_str(), standing.number) == (&self.grant, self.number));
        if let Some(own) = own {
            own.line = Some(Arc::clone(line));
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Taken { lines, grant, number, .. } = self;
        let mut standing = lock(&lines.shared.standing);
        standing.retain(|standing| (&standing.grant, standing.number) != (grant, *number));
        lines.shared.ended.notify_all();
    }
}

/// A line that will be served.
pub struct Admitted {
    grant: Grant,
    taken: Taken,
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
            let kind = RootKind::of(&root);
            let text = root.into_os_string().into_string();
            roots.push((text.map_err(|_| invalid("a path of the set is not UTF-8".to_owned()))?, kind));
        }
        if roots.is_empty() {
            return Err(ApiError::new(
                Code::SourcePathIsInvalid,
                format!("the set {repset} has no rule that includes anything"),
            )
            .help(format!("REPSET RULE ADD <path> INCLUDE TO {repset}, then REPSET SAVE {repset}")));
        }
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
            let mut tree = look_at_target(mapping, *kind, &mounts)?;
            self.refuse_own(mapping, &tree, &mounts)?;
            // A file takes the place of a link, not of what that leads to.
            if let (RootKind::File, Some(parent), Some(name)) =
                (kind, mapping.target.parent(), mapping.target.file_name())
            {
                let parent = Tree::look(parent, &mounts).map_err(|error| {
                    invalid(format!("the target path {} cannot be looked at: {error}", shown(parent)))
                })?;
                tree.real = parent.real.join(name);
            }
            places.push((mapping, tree));
        }
        let claimed: Vec<(&Mapping, &Tree)> = places.iter().map(|(mapping, tree)| (*mapping, tree)).collect();
        self.refuse_connected(&claimed)?;
        let superseded = self.supersedes(&claimed)?;
        let count = self.kept.store.grants()?.len() - superseded.len();
        if count >= GRANTS {
            return Err(ApiError::new(
                Code::DataOverload,
                format!("this machine has granted {count} sources places already"),
            )
            .help("disconnect those that are not used any more"));
        }
        let grant = Grant {
            id: new_id()?,
            key,
            source: source.machine.clone(),
            repset: source.repset.clone(),
            made_ms: self.clock.wall_ms(),
            places: places
                .iter()
                .map(|(mapping, tree)| GrantedPlace {
                    source: mapping.source.clone(),
                    target: mapping.target.clone(),
                    real: tree.real.clone(),
                })
                .collect(),
        };
        let notices = self.supersede(&superseded)?;
        self.kept.store.keep_grant(&grant)?;
        if let Some(orphans) = spec.orphans {
            self.orphans.store(orphans, Relaxed);
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
        let (orphans, aside) = self.switches();
        Ok(Reply::Granted(Granted { id: grant.id, key: own.to_string(), paths, orphans, aside, notices }))
    }

    /// `Request::Withdraw`.
    pub(super) fn withdraw(&self, id: &str) -> Result<Reply, ApiError> {
        self.take_back(id)?;
        Ok(Reply::Done)
    }

    fn take_back(&self, id: &str) -> Result<(), ApiError> {
        let removed = self.kept.store.remove_grant(id)?;
        self.lines.end(|grant, _| grant == id);
        if removed {
            tracing::info!("A grant was given back");
        }
        Ok(())
    }

    /// The engine's state is no place for a replica.
    fn refuse_own(&self, mapping: &Mapping, target: &Tree, mounts: &Mounts) -> Result<(), ApiError> {
        for directory in self.own_directories() {
            let Ok(tree) = Tree::look(&directory, mounts) else { continue };
            if !target.to(&tree).is_empty() {
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

    /// REP-35 against other machines: the grants that these places take the place of, as their sources have no line here. -115 for
    /// a place that a source with a line writes to.
    pub(super) fn supersedes(&self, places: &[(&Mapping, &Tree)]) -> Result<Vec<Grant>, ApiError> {
        let mut superseded = Vec::new();
        let grants = self.kept.store.grants()?;
        if grants.is_empty() {
            return Ok(superseded);
        }
        let mounts = mounts()?;
        for grant in grants {
            let theirs: Vec<Tree> =
                grant.places.iter().filter_map(|place| Tree::look(&place.real, &mounts).ok()).collect();
            let shared =
                |place: &&(&Mapping, &Tree)| theirs.iter().any(|other| !place.1.to(other).is_empty());
            let Some((mapping, _)) = places.iter().find(shared) else { continue };
            if self.lines.is_standing(&grant.id) {
                return Err(taken(mapping, &named(&grant), "end that connection"));
            }
            superseded.push(grant);
        }
        Ok(superseded)
    }

    /// Takes grants back whose places others have now; what to tell a person about it.
    pub(super) fn supersede(&self, grants: &[Grant]) -> Result<Vec<String>, ApiError> {
        grants.iter().try_for_each(|grant| self.take_back(&grant.id))?;
        Ok(grants
            .iter()
            .map(|grant| format!("{} could send data to this place before; it cannot any more", named(grant)))
            .collect())
    }

    /// A source has come, with this key. None: it has given its grant back. May wait for dead lines to end.
    pub fn admit(
        &self,
        key: Fingerprint,
        from: SocketAddr,
        present: &Present,
    ) -> Result<Option<Admitted>, ApiError> {
        let _entered = self.kept.log.enter();
        let known = |grant: &Grant| grant.id == present.grant && grant.key == key;
        let grant = self.kept.store.grants()?.into_iter().find(known).ok_or_else(|| {
            tracing::warn!("A source at {from} with the key {key} showed no grant that holds");
            ApiError::new(
                Code::InsufficientSecurityAccess,
                "the target has granted this source nothing, or has taken it back",
            )
            .help("DISCONNECT, then CONNECT again with full access on both machines")
        })?;
        if present.ends {
            self.take_back(&grant.id)?;
            return Ok(None);
        }
        let dead = |id: &str, number| id == grant.id && !present.standing.contains(&number);
        if !self.lines.end(dead) {
            return Err(ApiError::new(
                Code::ServerIsNotResponding,
                format!("an operation of before takes longer than {} s there", ENDING.as_secs()),
            )
            .help("it is tried again"));
        }
        let taken = self.lines.begin(&grant.id, present.line, from).ok_or_else(|| {
            ApiError::new(Code::ServerIsNotResponding, "the target has too many lines already")
                .help("end some connections, or try again later")
        })?;
        Ok(Some(Admitted { grant, taken }))
    }

    /// What a source that was admitted is told.
    pub fn terms(&self) -> Admit {
        let (orphans, aside) = self.switches();
        Admit::Admitted { orphans, aside }
    }

    /// Whether orphans are removed here, and whether aside.
    fn switches(&self) -> (bool, bool) {
        (self.orphans.load(Relaxed), self.mirror_settings().orphans.move_to.is_some())
    }

    /// Serves a line to its end on a thread of its own.
    pub fn serve(
        self: &Arc<Self>,
        admitted: Admitted,
        tls: ServerConnection,
        socket: TcpStream,
    ) -> std::io::Result<()> {
        let Admitted { grant, taken } = admitted;
        let line = Arc::new(Line::new(tls.into(), socket, Arc::clone(&taken.cut))?);
        taken.stands(&line);
        let spill = format!("target-{}-{:x}", grant.id, taken.number);
        let policy = target::Policy {
            confined: Some(
                grant
                    .places
                    .iter()
                    .map(|place| Confined { told: place.target.clone(), real: place.real.clone() })
                    .collect(),
            ),
            ..target::Policy::of(&self.mirror_settings(), self.forbidden(), &spill)
        };
        let log = self.kept.log.enter();
        let work = inherit(move || {
            let cut = Arc::clone(&taken.cut);
            let who = named(&grant);
            tracing::info!("{who} is connected");
            match far::receive(&line, cut, |end| target::serve(end, policy)) {
                Ok(()) => tracing::info!("{who} has left"),
                Err(error) => tracing::warn!("{who} was ended: {error}"),
            }
            drop(taken);
        });
        drop(log);
        std::thread::Builder::new().name("target".to_owned()).spawn(work).map(drop)
    }

    /// For STATUS: each grant, and where its source's lines come from.
    pub(super) fn sources(&self) -> Vec<(Grant, Vec<SocketAddr>)> {
        let grants = self.kept.store.grants().unwrap_or_default();
        grants
            .into_iter()
            .map(|grant| {
                let from = self.lines.from(&grant.id);
                (grant, from)
            })
            .collect()
    }
}

/// A grant's set and source, for a person.
fn named(grant: &Grant) -> String {
    format!("{} of {}", escape(grant.repset.as_bytes()), escape(grant.source.as_bytes()))
}

fn taken(mapping: &Mapping, by: &str, remedy: &str) -> ApiError {
    ApiError::new(
        Code::ConnectionAlreadyEstablished,
        format!("the target path {} overlaps a place that {by} writes to", shown(&mapping.target)),
    )
    .help(format!("MAP the set to another path, or {remedy} first"))
}

fn mounts() -> Result<Mounts, ApiError> {
    Mounts::read().map_err(|error| {
        ApiError::new(Code::UnknownError, format!("the mount table cannot be read: {error}"))
            .help("mount /proc; without it overlapping paths cannot be told")
    })
}

fn new_id() -> Result<String, ApiError> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| ApiError::new(Code::UnknownError, "the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterWasSupplied, message)
}
