//! The stack of the program's first thread, where scripts run: as large as the deepest call into a Rhai module needs.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Bytes. Only what is touched takes memory.
pub const SIZE: u64 = 64 << 20;

/// Lets the stack of the first thread grow to [`SIZE`], or to what the system allows. The kernel looks at the limit
/// when the stack grows, so this holds for a program that runs already.
pub fn raise() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_STACK) else { return };
    if soft < SIZE {
        // Without it everything but very deep modules works.
        let _ = setrlimit(Resource::RLIMIT_STACK, SIZE.min(hard), hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        raise();
        let (soft, hard) = getrlimit(Resource::RLIMIT_STACK).unwrap();
        assert!(soft >= SIZE.min(hard), "{soft} of {hard}");
    }
}
