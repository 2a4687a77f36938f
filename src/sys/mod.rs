//! Linux: directory handles (openat2), xattrs, holes. The only unsafe code.
