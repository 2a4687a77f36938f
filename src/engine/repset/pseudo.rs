//! Pseudo and stacked file systems, which are never replicated (REP-01, REP-38), told by their magic number.

use nix::sys::statfs::statfs;
use std::path::Path;

/// `f_type` of file systems that hold no data of their own, with their names. See `linux/magic.h`.
const PSEUDO: &[(i64, &str)] = &[
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x1cd1, "devpts"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0xcafe_4a11, "bpf"),
    (0x6165_676c, "pstore"),
    (0xde5e_81e4, "efivarfs"),
    (0x6265_6570, "configfs"),
    (0x1980_0202, "mqueue"),
    (0x4249_4e4d, "binfmt_misc"),
    (0x6e73_6673, "nsfs"),
    (0x6573_5543, "fusectl"),
    (0x6759_6969, "rpc_pipefs"),
    (0x6e66_7364, "nfsd"),
    (0x9584_58f6, "hugetlbfs"),
    (0x0187, "autofs"),
];

/// `f_type` of stacked file systems, which are not supported (REP-38).
const STACKED: &[(i64, &str)] = &[(0xf15f, "ecryptfs")];

/// The name of the pseudo or stacked file system with this magic number (`statfs.f_type`), if it is one.
///
/// devtmpfs shows tmpfs' number and is not found here: its nodes are mirrored as any other special files.
pub fn pseudo_magic(f_type: i64) -> Option<&'static str> {
    // Some of the numbers have their top bit set, which a 32 bit f_type extends.
    let wanted = f_type & 0xffff_ffff;
    PSEUDO.iter().chain(STACKED).find(|(magic, _)| *magic == wanted).map(|(_, name)| *name)
}

/// The same for the file system that holds `path`. A path that cannot be asked about is not pseudo.
pub fn is_pseudo(path: &Path) -> Option<&'static str> {
    let status = statfs(path).ok()?;
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)] // the width differs between platforms
    pseudo_magic(status.filesystem_type().0 as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REP-01
    #[test]
    fn proc_is_pseudo_and_data_is_not() {
        assert_eq!(is_pseudo(Path::new("/proc/self")), Some("proc"));
        assert_eq!(is_pseudo(&std::env::temp_dir()), None);
        assert_eq!(is_pseudo(Path::new("/no/such/path")), None);
    }

    #[test]
    fn sign_extension_does_not_hide_a_number() {
        assert_eq!(pseudo_magic(i64::from(0xf97c_ff8c_u32 as i32)), Some("selinuxfs"));
        assert_eq!(pseudo_magic(0xf15f), Some("ecryptfs"));
        assert_eq!(pseudo_magic(0xef53), None, "ext4");
    }
}
