//! To be filled: see architecture.md section 2.
