//! Making a connection: which machine, where the data comes to lie, and what is refused.

pub mod address;
pub mod mapping;
pub mod mounts;
pub mod overlap;

/// Bytes from a disk for a person: control characters and what is not UTF-8 as `\xNN`.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    text.push_str(&format!("\\x{byte:02x}"));
                }
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_shown_without_control_characters() {
        assert_eq!(super::escaped(b"/a\nb\xff \xc3\xa9\x1b"), "/a\\x0ab\\xff é\\x1b");
    }
}
