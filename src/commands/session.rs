//! What a handler works with: current machines, output, cancellation.

/// One client's session.
pub struct Session<'a> {
    _p: std::marker::PhantomData<&'a ()>,
}
