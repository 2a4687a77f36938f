//! Numbers that nobody can guess, from the system.

use crate::api::{ApiError, Code};
use ring::rand::{SecureRandom, SystemRandom};

/// So many random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| ApiError::new(Code::UnknownError, "the system gives no random numbers"))?;
    Ok(bytes)
}
