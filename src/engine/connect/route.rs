//! A set's way to its target: rules, the place of each root, and the refusals that keep data from being harmed.
//!
//! REP-06: a target path never lies where the mirror would read what it writes, unless a rule of the set excludes that
//! place whole, or it lies in the engine's home, which is never part of a set. A source inside a target path is refused
//! as well: orphan removal there would delete the source. REP-35: a place that another connection writes to is refused,
//! the same, above or below. Paths are compared as `overlap` does, so neither links nor bind mounts get round this.

use super::far::Far;
use super::mapping::{Ground, map, shown};
use super::mounts::Mounts;
use super::overlap::{Overlap, Tree};
use crate::api::{ApiError, Code, ConnectionId, MapSpec, RootKind};
use crate::engine::job::Mapping;
use crate::engine::repset::{DirDecision, RuleSet, is_pseudo};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a connection mirrors, and whereto.
#[derive(Clone, Debug)]
pub struct Route {
    pub rules: Arc<RuleSet>,
    pub paths: Vec<Mapping>,
    /// Parallel to `paths`.
    sources: Vec<Tree>,
    /// Parallel to `paths`; empty when no place of this machine is written to.
    targets: Vec<Tree>,
    /// What a person should know, though it is no reason to refuse.
    pub notices: Vec<String>,
}

/// What decides beside the set itself.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    pub ground: Ground<'a>,
    /// Directories that never belong to a set, as device and inode.
    pub forbidden: &'a [(u64, u64)],
    /// The engine's own directories: no target may lie in or around one.
    pub own: &'a [PathBuf],
    pub to: To<'a>,
    /// Source and places are on this machine; else names are all that is known of them.
    pub sees: bool,
}

/// Where a way leads.
#[derive(Clone, Copy, Debug)]
pub enum To<'a> {
    /// To places on this machine.
    Here,
    /// Nowhere: the null target writes nothing.
    Null,
    /// To another machine, which has looked at its places and granted them.
    Far(&'a Arc<Far>),
}

/// The route of another connection.
pub struct Other<'a> {
    pub id: ConnectionId,
    pub repset: &'a str,
    pub route: &'a Route,
}

impl Route {
    /// Finds the way. -140 when the set names nothing that exists, -101 for what `mapping` refuses and for overlaps,
    /// -234 for a file where a directory must be, -142 for a path that cannot be looked at.
    pub fn find(rules: Arc<RuleSet>, spec: &MapSpec, around: Circumstances<'_>) -> Result<Route, ApiError> {
        if !around.sees {
            return Self::unseen(rules, spec, around);
        }
        let mounts = mounts()?;
        let roots = rules.roots();
        let mut notices = Vec::new();
        let sources = look_at_sources(&roots, &mounts, around.ground.repset, &mut notices)?;
        let paths = ways(&roots, spec, around)?;
        let mut targets = Vec::new();
        if let To::Here = around.to {
            for mapping in &paths {
                targets.push(look_at_target(mapping, RootKind::of(&mapping.source), &mounts)?);
            }
        }
        let route = Route { rules, paths, sources, targets, notices };
        route.refuse_own_directories(around.own, &mounts)?;
        route.refuse_overlap(around.forbidden)?;
        Ok(route)
    }

    /// A way on a machine whose files cannot be looked at.
    fn unseen(rules: Arc<RuleSet>, spec: &MapSpec, around: Circumstances<'_>) -> Result<Route, ApiError> {
        let roots = rules.roots();
        refuse_no_roots(&roots, around.ground.repset)?;
        let paths = ways(&roots, spec, around)?;
        let sources = roots.iter().map(|root| Tree::unseen(root)).collect();
        let targets = match around.to {
            To::Here => paths.iter().map(|mapping| Tree::unseen(&mapping.target)).collect(),
            To::Null | To::Far(_) => Vec::new(),
        };
        let route = Route { rules, paths, sources, targets, notices: Vec::new() };
        route.refuse_overlap(around.forbidden)?;
        Ok(route)
    }

    /// A way as far as it is known while it cannot be gone: of a connection that is to go on later.
    pub fn dormant(rules: Arc<RuleSet>, spec: &MapSpec, around: Circumstances<'_>) -> Route {
        let paths = ways(&rules.roots(), spec, around).unwrap_or_default();
        let mut targets = Vec::new();
        if let (To::Here, Ok(mounts)) = (around.to, Mounts::read()) {
            // Its places stay its own.
            targets.extend(paths.iter().map_while(|mapping| Tree::look(&mapping.target, &mounts).ok()));
        }
        Route { rules, paths, sources: Vec::new(), targets, notices: Vec::new() }
    }

    /// The engine's state is no place for a replica.
    fn refuse_own_directories(&self, own: &[PathBuf], mounts: &Mounts) -> Result<(), ApiError> {
        for (mapping, target) in self.paths.iter().zip(&self.targets) {
            for directory in own {
                let Ok(tree) = Tree::look(directory, mounts) else { continue };
                if !target.to(&tree).is_empty() {
                    return Err(refuse(format!(
                        "the target path {} overlaps {}, where the engine keeps its own files",
                        shown(&mapping.target),
                        shown(directory)
                    ))
                    .help("MAP the set to another path"));
                }
            }
        }
        Ok(())
    }

    /// REP-06.
    fn refuse_overlap(&self, forbidden: &[(u64, u64)]) -> Result<(), ApiError> {
        for (mapping, target) in self.paths.iter().zip(&self.targets) {
            for (source, root) in self.sources.iter().zip(&self.paths) {
                for overlap in target.to(source) {
                    let message = match overlap {
                        Overlap::Inside(seen) => {
                            if target.is_in(forbidden) || self.excludes(&root.source, source, &seen) {
                                continue;
                            }
                            if seen == source.real {
                                format!("the target path {} is the set's own data", shown(&mapping.target))
                            } else {
                                format!(
                                    "the target path {} lies inside the set's own data in {}: it would be mirrored \
                                     into itself without end",
                                    shown(&mapping.target),
                                    shown(&root.source)
                                )
                            }
                        }
                        Overlap::Around => format!(
                            "the set's data in {} lies inside the target path {}: it would be overwritten",
                            shown(&root.source),
                            shown(&mapping.target)
                        ),
                    };
                    return Err(refuse(message).help(
                        "choose a place outside the set with MAP BASE <path> or MAP <path> TO <path>, or exclude it \
                         with a rule",
                    ));
                }
            }
        }
        Ok(())
    }

    /// True if nothing at or below a place in the set's data can belong to the set.
    fn excludes(&self, root: &Path, source: &Tree, seen: &Path) -> bool {
        let Ok(rest) = seen.strip_prefix(&source.real) else { return false };
        let mut decision = self.rules.enter(root);
        let mut components = rest.iter();
        loop {
            let rules = match decision {
                // The root itself is in the set, whatever is decided about it.
                DirDecision::Skip => return rest.iter().next().is_some(),
                DirDecision::Enter { rules, .. } => rules,
            };
            let Some(name) = components.next() else { return false };
            decision = rules.dir(name.as_encoded_bytes());
        }
    }

    /// The places of this machine that it writes to.
    pub fn places(&self) -> impl Iterator<Item = (&Mapping, &Tree)> {
        self.paths.iter().zip(&self.targets)
    }

    /// Is this one of them, or does it share something with one?
    pub fn writes_to(&self, tree: &Tree) -> bool {
        self.targets.iter().any(|target| !tree.to(target).is_empty())
    }

    /// REP-35.
    pub fn refuse_shared_places<'a>(
        &self,
        others: impl IntoIterator<Item = Other<'a>>,
    ) -> Result<(), ApiError> {
        for other in others {
            for (mine, target) in self.paths.iter().zip(&self.targets) {
                for (theirs, place) in other.route.paths.iter().zip(&other.route.targets) {
                    if !target.to(place).is_empty() {
                        return Err(ApiError::new(
                            Code::ConnectionAlreadyEstablished,
                            format!(
                                "the target path {} overlaps {}, which connection {} of the set {} writes to",
                                shown(&mine.target),
                                shown(&theirs.target),
                                other.id,
                                other.repset
                            ),
                        )
                        .help(format!("MAP the set to another path, or DISCONNECT {} first", other.id)));
                    }
                }
            }
        }
        Ok(())
    }

    /// REP-34: this data is in another connected set as well, as a sentence.
    pub fn shared_data(&self, other: &Other<'_>) -> Option<String> {
        let (mine, _) = self
            .paths
            .iter()
            .zip(&self.sources)
            .find(|(_, source)| other.route.sources.iter().any(|theirs| !source.to(theirs).is_empty()))?;
        Some(format!(
            "{} is also data of the set {} (connection {}); to send data twice, connect one set to several targets",
            shown(&mine.source),
            other.repset,
            other.id
        ))
    }
}

fn refuse(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterWasSupplied, message)
}

/// Rules may name paths that do not exist (RST-03), but not only such.
fn look_at_sources(
    roots: &[PathBuf],
    mounts: &Mounts,
    repset: &str,
    notices: &mut Vec<String>,
) -> Result<Vec<Tree>, ApiError> {
    let nothing = |message: String| ApiError::new(Code::SourcePathIsInvalid, message);
    refuse_no_roots(roots, repset)?;
    let mut trees = Vec::new();
    let mut missing = Vec::new();
    let mut pseudo = 0;
    for root in roots {
        let tree = Tree::look(root, mounts).map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                return nothing(format!("{} is a link to nothing", shown(root)))
                    .help("check the rules of the set");
            }
            ApiError::new(
                Code::InsufficientSourceSecurityAccess,
                format!("{} cannot be looked at: {error}", shown(root)),
            )
            .help("check the path, or run as a user who may read it")
        })?;
        match is_pseudo(&tree.real) {
            Some("ecryptfs") => {
                return Err(ApiError::new(
                    Code::FeatureIsNotSupported,
                    format!("{} lies on a stacked file system (ecryptfs)", shown(root)),
                )
                .help("stacked file systems are not supported (REP-38); mirror the file system below it"));
            }
            Some(kind) => {
                notices.push(format!("{} is a pseudo file system ({kind}) and is left out", shown(root)));
                pseudo += 1;
            }
            None => {}
        }
        if !tree.exists() {
            missing.push(root);
        }
        trees.push(tree);
    }
    let names = missing.iter().map(shown).collect::<Vec<_>>().join(", ");
    if missing.len() == roots.len() {
        return Err(nothing(format!("nothing of the set {repset} exists: {names}"))
            .help(format!("check the paths with REPSET RULE LIST {repset}")));
    }
    if missing.len() + pseudo == roots.len() {
        return Err(nothing(format!(
            "the set {repset} holds nothing but pseudo file systems: {}",
            notices.join("; ")
        ))
        .help("add a rule for data; pseudo file systems are never mirrored (REP-01)"));
    }
    if !missing.is_empty() {
        notices.push(format!("of the set {repset} this does not exist now: {names}"));
    }
    Ok(trees)
}

/// The mount table.
pub(in crate::engine) fn mounts() -> Result<Mounts, ApiError> {
    Mounts::read().map_err(|error| {
        ApiError::new(Code::UnknownError, format!("the mount table cannot be read: {error}"))
            .help("mount /proc; without it overlapping paths cannot be told")
    })
}

/// -140 for a set without a root.
pub(in crate::engine) fn refuse_no_roots<T>(roots: &[T], repset: &str) -> Result<(), ApiError> {
    if roots.is_empty() {
        let message = format!("the set {repset} has no rule that includes anything");
        return Err(ApiError::new(Code::SourcePathIsInvalid, message)
            .help(format!("REPSET RULE ADD <path> INCLUDE TO {repset}, then REPSET SAVE {repset}")));
    }
    Ok(())
}

/// Where each root comes to lie.
fn ways(roots: &[PathBuf], spec: &MapSpec, around: Circumstances<'_>) -> Result<Vec<Mapping>, ApiError> {
    match around.to {
        To::Far(far) => granted_ways(roots, &far.paths, around.ground.repset),
        To::Here | To::Null => map(spec, roots, around.ground),
    }
}

/// The granted place of each root. -101 for a root that came to the set later: it needs a grant, too.
fn granted_ways(roots: &[PathBuf], granted: &[Mapping], repset: &str) -> Result<Vec<Mapping>, ApiError> {
    let way = |root: &PathBuf| {
        granted.iter().find(|mapping| mapping.source == *root).cloned().ok_or_else(|| {
            refuse(format!("the target was not told of {}, a path of the set {repset}", shown(root)))
                .help("DISCONNECT, then CONNECT again: what is there already is not sent once more by MIRROR DIFFERENT")
        })
    };
    roots.iter().map(way).collect()
}

impl RootKind {
    /// What a path of this machine is.
    pub fn of(path: &Path) -> RootKind {
        match std::fs::metadata(path) {
            Ok(status) if status.is_dir() => RootKind::Directory,
            Ok(_) => RootKind::File,
            Err(_) => RootKind::Missing,
        }
    }
}

/// Looks at a place on this machine for a root of this kind.
pub(in crate::engine) fn look_at_target(
    mapping: &Mapping,
    kind: RootKind,
    mounts: &Mounts,
) -> Result<Tree, ApiError> {
    let target = shown(&mapping.target);
    let tree = Tree::look(&mapping.target, mounts).map_err(|error| match error.kind() {
        ErrorKind::NotADirectory => ApiError::new(
            Code::FileDirectoryMismatchDirectoryExpected,
            format!("a part of the target path {target} is no directory"),
        )
        .help("choose another path, or move what stands in the way"),
        ErrorKind::NotFound => refuse(format!("a part of the target path {target} is a link to nothing"))
            .help("choose another path, or repair the link"),
        _ => ApiError::new(
            Code::InsufficientSecurityAccess,
            format!("the target path {target} cannot be looked at: {error}"),
        )
        .help("choose another path, or run as a user who may read it"),
    })?;
    if kind == RootKind::File && mapping.source.file_name() != mapping.target.file_name() {
        return Err(refuse(format!(
            "a single file keeps its name: {} cannot become {target}",
            shown(&mapping.source)
        ))
        .help("map its directory, or end the target path with the file's own name"));
    }
    if tree.exists() && kind == RootKind::Directory && !tree.real.is_dir() {
        return Err(ApiError::new(
            Code::FileDirectoryMismatchDirectoryExpected,
            format!("the target path {target} is no directory, {} is one", shown(&mapping.source)),
        )
        .help("choose another path, or move what stands in the way"));
    }
    Ok(tree)
}
