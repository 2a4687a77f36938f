//! Numbers, byte strings, names and paths, read with their limits.

use super::{NAME_MAX, PATH_MAX, WireError, XATTR_VALUE_MAX, XATTRS_BYTES_MAX, XATTRS_MAX};
use crate::sys::{Meta, Xattrs, is_name};

/// Reads from a frame; never past its end.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(frame: &'a [u8]) -> Self {
        Self { rest: frame }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes that were not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn bool(&mut self) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Invalid("truth value")),
        }
    }

    /// A length of 32 bits, checked against its limit, and so many bytes.
    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], WireError> {
        let len = self.u32()? as usize;
        if len > limit {
            return Err(WireError::TooLong { what, limit });
        }
        self.take(len)
    }

    /// A single name.
    pub fn name(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.u8()? as usize;
        debug_assert!(len <= NAME_MAX);
        let name = self.take(len)?;
        if is_name(name) { Ok(name) } else { Err(WireError::Invalid("name")) }
    }

    /// Names joined by `/`; empty for the root itself.
    pub fn path(&mut self) -> Result<&'a [u8], WireError> {
        let path = self.short("path", PATH_MAX)?;
        if path.is_empty() || path.split(|b| *b == b'/').all(is_name) {
            Ok(path)
        } else {
            Err(WireError::Invalid("path"))
        }
    }

    /// A length of 16 bits, checked against its limit, and so many bytes.
    pub fn short(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], WireError> {
        let len = self.u16()? as usize;
        if len > limit {
            return Err(WireError::TooLong { what, limit });
        }
        self.take(len)
    }

    pub fn time(&mut self) -> Result<(i64, u32), WireError> {
        let seconds = i64::from_le_bytes(self.array()?);
        let nanoseconds = self.u32()?;
        if nanoseconds >= 1_000_000_000 {
            return Err(WireError::Invalid("time"));
        }
        Ok((seconds, nanoseconds))
    }

    pub fn meta(&mut self) -> Result<Meta, WireError> {
        let mode = u32::from(self.u16()?);
        if mode & !0o7777 != 0 {
            return Err(WireError::Invalid("mode"));
        }
        Ok(Meta { mode, uid: self.u32()?, gid: self.u32()?, mtime: self.time()? })
    }

    pub fn xattrs(&mut self) -> Result<Xattrs, WireError> {
        let count = self.u16()? as usize;
        if count == 0 {
            return Ok(Xattrs::default());
        }
        if count > XATTRS_MAX {
            return Err(WireError::TooLong { what: "number of extended attributes", limit: XATTRS_MAX });
        }
        let mut list = Vec::with_capacity(count.min(16));
        let mut total = 0;
        for _ in 0..count {
            let len = self.u8()? as usize;
            let name = self.take(len)?;
            if name.is_empty() || name.contains(&0) || !name.contains(&b'.') {
                return Err(WireError::Invalid("extended attribute's name"));
            }
            let value = self.bytes("extended attribute", XATTR_VALUE_MAX)?;
            total += name.len() + value.len();
            if total > XATTRS_BYTES_MAX {
                return Err(WireError::TooLong {
                    what: "set of extended attributes",
                    limit: XATTRS_BYTES_MAX,
                });
            }
            list.push((name.to_vec(), value.to_vec()));
        }
        Ok(Xattrs { list })
    }
}

pub(super) fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    // Callers keep to the limits, all below 64 KiB; a longer one would be refused by the reader.
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Texts one after another.
pub(super) fn put_texts<const N: usize>(out: &mut Vec<u8>, texts: [&str; N]) {
    texts.iter().for_each(|text| put_short(out, text.as_bytes()));
}

pub(super) fn put_name(out: &mut Vec<u8>, name: &[u8]) {
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn put_time(out: &mut Vec<u8>, time: (i64, u32)) {
    out.extend_from_slice(&time.0.to_le_bytes());
    out.extend_from_slice(&time.1.to_le_bytes());
}

pub(super) fn put_meta(out: &mut Vec<u8>, meta: &Meta) {
    let mode = u16::try_from(meta.mode & 0o7777).unwrap_or(0);
    out.extend_from_slice(&mode.to_le_bytes());
    out.extend_from_slice(&meta.uid.to_le_bytes());
    out.extend_from_slice(&meta.gid.to_le_bytes());
    put_time(out, meta.mtime);
}

pub(super) fn put_xattrs(out: &mut Vec<u8>, xattrs: &Xattrs) {
    out.extend_from_slice(&u16::try_from(xattrs.list.len()).unwrap_or(u16::MAX).to_le_bytes());
    for (name, value) in &xattrs.list {
        put_name(out, name);
        put_bytes(out, value);
    }
}
