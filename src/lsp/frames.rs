//! Messages on the wire: a header with the length, then JSON. What is malformed is told and passed over: the next header that can be read
//! begins the next message.

use lsp_server::Message;
use serde_json::Value;
use std::io::{self, BufRead, Read, Write};

/// No line of a header is longer.
const LONGEST_LINE: u64 = 4096;
/// No message is longer: the largest script that is edited in an editor, and more.
const LONGEST: u64 = 64 << 20;
const LENGTH: &str = "Content-Length:";

/// What came.
#[derive(Debug)]
pub enum Frame {
    Text(Vec<u8>),
    /// Why there is no text.
    Malformed(String),
}

/// The next frame; None at the end of the input.
pub fn read(input: &mut impl BufRead) -> io::Result<Option<Frame>> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        if input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        // Behind the rest of a message that could not be read, too.
        if let Some(at) = line.rfind(LENGTH) {
            length = Some(line[at + LENGTH.len()..].trim().parse::<u64>().map_err(|_| line.to_owned()));
        }
    }
    let length = match length {
        None => return Ok(Some(Frame::Malformed("a header without Content-Length".to_owned()))),
        Some(Err(line)) => return Ok(Some(Frame::Malformed(format!("a header without a number: {line}")))),
        Some(Ok(length)) => length,
    };
    if length > LONGEST {
        io::copy(&mut input.by_ref().take(length), &mut io::sink())?;
        return Ok(Some(Frame::Malformed(format!("a message of {length} bytes; at most {LONGEST}"))));
    }
    let mut text = Vec::new();
    input.by_ref().take(length).read_to_end(&mut text)?;
    Ok((text.len() as u64 == length).then_some(Frame::Text(text)))
}

/// What a frame says, or what is wrong with it: JSON-RPC's number, why, and the request's ID if it has one.
pub fn message(text: &[u8]) -> Result<Message, (i32, String, Value)> {
    use lsp_server::ErrorCode::{InvalidRequest, ParseError};
    let value: Value =
        serde_json::from_slice(text).map_err(|error| (ParseError as i32, error.to_string(), Value::Null))?;
    let id = value.get("id").cloned().unwrap_or_default();
    let no_id = !(id.is_null() || id.is_string() || id.as_i64().is_some_and(|id| i32::try_from(id).is_ok()));
    if no_id {
        return Err((
            InvalidRequest as i32,
            "an id is a number of 32 bits or a string".to_owned(),
            Value::Null,
        ));
    }
    serde_json::from_value(value)
        .map_err(|_| (InvalidRequest as i32, "no request, response or notification".to_owned(), id))
}

/// Writes a document as one message.
pub fn write(output: &mut impl Write, document: &Value) -> io::Result<()> {
    let text = document.to_string();
    write!(output, "{LENGTH} {}\r\n\r\n{text}", text.len())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mut input: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(frame) = read(&mut input).unwrap() {
            found.push(match frame {
                Frame::Text(text) => String::from_utf8(text).unwrap(),
                Frame::Malformed(why) => format!("malformed: {why}"),
            });
        }
        found
    }

    #[test]
    fn frames_have_a_length_and_other_headers() {
        let input = b"Content-Length: 2\r\n\r\n{}Content-Type: x\r\nContent-Length: 1\r\n\r\n1";
        assert_eq!(frames(input), ["{}", "1"]);
        assert_eq!(frames(b"Content-Length: 5\r\n\r\n{}"), [] as [&str; 0]);
    }

    #[test]
    fn after_a_malformed_frame_the_next_one_is_read() {
        let next = "Content-Length: 2\r\n\r\n{}";
        for bad in ["Content-Length: x\r\n\r\n", "Length: 2\r\n\r\n", "\r\n"] {
            let found = frames(format!("{bad}{next}").as_bytes());
            assert!(
                found.len() == 2 && found[0].starts_with("malformed") && found[1] == "{}",
                "{bad}: {found:?}"
            );
        }
        // A length that is too small leaves the rest of its message before the next header.
        assert_eq!(frames(format!("Content-Length: 1\r\n\r\n{{\"a\"}}{next}").as_bytes()), ["{", "{}"]);
        assert_eq!(frames(format!("{}\n{next}", "x".repeat(10_000)).as_bytes()), ["{}"]);
    }

    #[test]
    fn a_message_that_is_too_long_is_passed_over() {
        let length = LONGEST + 1;
        let mut input = format!("Content-Length: {length}\r\n\r\n").into_bytes();
        input.resize(input.len() + usize::try_from(length).unwrap(), b' ');
        input.extend_from_slice(b"Content-Length: 2\r\n\r\n{}");
        let found = frames(&input);
        assert!(found.len() == 2 && found[0].starts_with("malformed"), "{found:?}");
        assert_eq!(frames(b"Content-Length: 99999999999999\r\n\r\n{}").len(), 1);
    }

    #[test]
    fn what_is_no_message_is_told_with_its_id() {
        let wrong = |text: &str| message(text.as_bytes()).unwrap_err();
        assert_eq!(wrong("{").0, -32700);
        assert_eq!(wrong("[]").0, -32600);
        assert_eq!(wrong("{\"id\": 1.5, \"method\": \"x\"}").0, -32600);
        assert_eq!(wrong("{\"id\": 7, \"method\": 5, \"result\": 1, \"error\": 2}").2, 7);
        assert!(message(b"{\"id\": \"a\", \"method\": \"x\"}").is_ok());
        assert!(message(b"{\"method\": \"x\"}").is_ok());
    }
}
