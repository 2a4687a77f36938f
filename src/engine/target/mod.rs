//! The receiving side: applies operations below directory handles, trusts nobody (architecture.md 5).
