//! Frames and the codec of operations, with hard limits on every length.
