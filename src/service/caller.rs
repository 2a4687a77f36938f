//! Who calls, and what that grants (LOG-01, LOG-02; architecture.md 5).

use super::login::Origin;
use crate::api::Access;
use crate::engine::users::GROUPS;
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use std::ffi::CString;
use std::net::SocketAddr;

/// The one at the other end of a session.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// A user's name; a number for one without a name.
    pub name: String,
    /// What the kernel's word about the caller is good for, without a password.
    pub own: Access,
    /// What the session grants now: less after a logout, another's after a login.
    pub access: Access,
    pub origin: Origin,
    /// It came in at StatsPort, where nothing else is answered than statistics.
    pub statistics_only: bool,
}

impl Caller {
    /// A caller on the socket, by what the kernel says. Asks the system's user database, so it may take a while.
    pub fn of_socket(uid: u32, gid: u32) -> Caller {
        let uid = Uid::from_raw(uid);
        let user = User::from_uid(uid).ok().flatten();
        let own = if uid.is_root() || uid == geteuid() {
            Access::Full
        } else {
            // Without a name there is nothing in the database; the group that the process has still counts.
            let groups = match &user {
                Some(user) => groups_of(&user.name, user.gid, Gid::from_raw(gid)),
                None => vec![Gid::from_raw(gid)],
            };
            level(&groups)
        };
        let name = user.map_or_else(|| uid.to_string(), |user| user.name);
        Caller { name, own, access: own, origin: Origin::User(uid.as_raw()), statistics_only: false }
    }

    /// A caller over the network: nobody before a login.
    pub fn of_network(address: SocketAddr) -> Caller {
        let origin = Origin::of(address.ip());
        let (name, none) = (address.to_string(), Access::None);
        Caller { name, own: none, access: none, origin, statistics_only: false }
    }

    pub fn is_remote(&self) -> bool {
        matches!(self.origin, Origin::Address(_))
    }

    /// Does the kernel say that this is the caller's name?
    pub fn is(&self, user: &str) -> bool {
        matches!(self.origin, Origin::User(_)) && self.name == user
    }
}

/// What the groups of one of the host's users grant.
pub(super) fn access_of_user(name: &str) -> Access {
    match User::from_name(name) {
        Ok(Some(user)) if user.uid.is_root() => Access::Full,
        Ok(Some(user)) => level(&groups_of(&user.name, user.gid, user.gid)),
        _ => Access::None,
    }
}

fn groups_of(name: &str, primary: Gid, effective: Gid) -> Vec<Gid> {
    let mut groups =
        CString::new(name).ok().and_then(|name| getgrouplist(&name, primary).ok()).unwrap_or_default();
    groups.extend([primary, effective]);
    groups
}

/// The highest level that any of the groups grants.
fn level(groups: &[Gid]) -> Access {
    let member =
        |name: &str| Group::from_name(name).ok().flatten().is_some_and(|group| groups.contains(&group.gid));
    GROUPS.iter().filter(|(name, _)| member(name)).map(|(_, access)| *access).max().unwrap_or(Access::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_own_user_and_root_may_do_all() {
        let own = Caller::of_socket(geteuid().as_raw(), 0);
        assert_eq!((own.own, own.access), (Access::Full, Access::Full));
        assert_eq!(Caller::of_socket(0, 0).own, Access::Full);
    }

    #[test]
    fn a_user_of_no_group_may_do_nothing() {
        // No such user, no such group.
        let nobody = Caller::of_socket(3_999_999_999, 3_999_999_998);
        assert_eq!((nobody.own, nobody.name.as_str()), (Access::None, "3999999999"));
    }
}
