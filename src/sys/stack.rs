//! The stack of the program's first thread, where scripts run: as large as the deepest call into a Rhai module needs.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Bytes. Only what is touched takes memory.
pub const SIZE: u64 = 64 << 20;

/// Lets the stack of the first thread grow to [`SIZE`], or to what the system allows. The kernel looks at the limit
/// when the stack grows, so this holds for a program that runs already. Gives the bytes that it may have then, at most
/// [`SIZE`].
pub fn raise() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_STACK) else { return 0 };
    if soft >= SIZE {
        return SIZE;
    }
    let wanted = SIZE.min(hard);
    match setrlimit(Resource::RLIMIT_STACK, wanted, hard) {
        Ok(()) => wanted,
        Err(_) => soft,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        let got = raise();
        let (soft, hard) = getrlimit(Resource::RLIMIT_STACK).unwrap();
        assert!(soft >= SIZE.min(hard), "{soft} of {hard}");
        assert_eq!(got, SIZE.min(soft));
    }
}
