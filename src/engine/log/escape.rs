//! Names of any bytes as text of one line.

/// The bytes as printable text: valid UTF-8 stays, control characters, what would turn or break a line of text, and
/// invalid bytes become `\n`, `\t`, `\r`, `\x1b`, `\xff` or `\u{202e}`; a backslash becomes two, so that nothing is
/// ambiguous.
pub fn escape(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    // Almost every name takes this road.
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(needs_escape)
    {
        return text.to_owned();
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push(&mut out, c);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Text that is a message already: only what would break the line is escaped, a backslash stays.
pub fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(|c| c != '\\' && needs_escape(c)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c == '\\' { out.push(c) } else { push(&mut out, c) }
    }
    out.into()
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\\' => out.push_str("\\\\"),
        c if !needs_escape(c) => out.push(c),
        c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
    }
}

fn needs_escape(c: char) -> bool {
    // Line and paragraph separators and the bidirectional controls deceive a reader as control characters do.
    c == '\\'
        || c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_stay() {
        assert_eq!(escape("/srv/data/B\u{fc}ro 'x\".txt"), "/srv/data/B\u{fc}ro 'x\".txt");
    }

    #[test]
    fn control_and_invalid_bytes_are_visible() {
        assert_eq!(escape(b"a\nb\tc\\\x1b[31m\xff\x00\x7f"), "a\\nb\\tc\\\\\\x1b[31m\\xff\\x00\\x7f");
        assert_eq!(escape("\u{202e}txt\u{85}"), "\\u{202e}txt\\u{85}");
        assert_eq!(one_line("a\\n\nb"), "a\\n\\nb");
    }

    fn unescape(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '\\' {
                out.extend(c.to_string().bytes());
                continue;
            }
            let kind = rest.as_bytes()[0];
            rest = &rest[1..];
            match kind {
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'\\' => out.push(b'\\'),
                b'x' => {
                    out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                    rest = &rest[2..];
                }
                b'u' => {
                    let end = rest.find('}').unwrap();
                    let code = u32::from_str_radix(&rest[1..end], 16).unwrap();
                    out.extend(char::from_u32(code).unwrap().to_string().bytes());
                    rest = &rest[end + 1..];
                }
                other => panic!("\\{}", char::from(other)),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn nothing_is_ambiguous(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = escape(&bytes);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(unescape(&text), bytes);
        }
    }
}
