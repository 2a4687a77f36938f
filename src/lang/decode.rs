//! Bytes of a file to a script's text.

use super::{Diagnostic, Source, Span};

/// Text from bytes: UTF-8, with or without byte order mark. A binary file gives what could be read and an error with
/// its place, so that the place can be shown.
pub fn decode(name: impl Into<String>, bytes: &[u8]) -> Result<Source, Box<(Source, Diagnostic)>> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let name = name.into();
    let bad = match std::str::from_utf8(bytes) {
        Ok(text) => match text.find('\0') {
            None => return Ok(Source::new(name, text)),
            Some(at) => (at, "a byte 0"),
        },
        Err(error) => match bytes[..error.valid_up_to()].iter().position(|b| *b == 0) {
            Some(at) => (at, "a byte 0"),
            None => (error.valid_up_to(), "bytes that are no UTF-8"),
        },
    };
    let (at, what) = bad;
    // Enough for the line that is shown: the bytes before the place are valid, so it stays where it is.
    let shown = &bytes[..bytes.len().min(at + 200)];
    let source = Source::new(name, String::from_utf8_lossy(shown));
    let message = format!("this is no script: it holds {what}");
    let diagnostic = Diagnostic::error(102, message, Span::new(at, at + 1)).help("a script is text in UTF-8");
    Err(Box::new((source, diagnostic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(decode("a", b"\xEF\xBB\xBFwrite 1").unwrap().text, "write 1");
    }

    #[test]
    fn binary_files_are_refused_with_the_place() {
        let (source, diagnostic) = *decode("a", b"write 1\n\x7fELF\0\xff").unwrap_err();
        assert_eq!((diagnostic.span.start, source.text.as_str()), (12, "write 1\n\u{7f}ELF\0\u{fffd}"));
        let (_, diagnostic) = *decode("a", b"write \xff").unwrap_err();
        assert_eq!(diagnostic.span.start, 6);
    }
}
