//! Which boot of the machine this is.

/// Characters of [`boot_id`].
pub const BOOT_ID: usize = 36;

/// What tells this boot of the machine from every other (`/proc/sys/kernel/random/boot_id`, proc(5)).
pub fn boot_id() -> std::io::Result<[u8; BOOT_ID]> {
    let text = std::fs::read("/proc/sys/kernel/random/boot_id")?;
    let id = text.get(..BOOT_ID).and_then(|id| id.try_into().ok());
    id.ok_or_else(|| std::io::Error::other("the kernel's boot_id is not what it is to be"))
}
