//! What a client and a service say to each other: a greeting of eight bytes each way, then frames.
//!
//! A frame is a length of four bytes (big endian) and a JSON document of that many bytes. A length is checked against the
//! reader's limit before memory is taken. Requests and replies are those of [`crate::api`]; what breaks a rule ends the
//! session.

use crate::api::{Access, ApiError, Event, Reply, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version of everything behind the greeting. Ends of different versions do not speak to each other (error 157).
pub const VERSION: u16 = 5;

/// Most bytes that a service reads as one request of a caller without access.
pub const STRANGER_MAX: usize = 16 << 10;
/// Most bytes of one request.
pub const REQUEST_MAX: usize = 8 << 20;
/// Most bytes of one answer.
pub const ANSWER_MAX: usize = 64 << 20;

const MAGIC: [u8; 4] = *b"DTCL";

/// What a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Purpose {
    /// A client's session: requests, events, replies.
    Session = 1,
    /// A source's line of operations and answers: a [`Present`], an [`Admit`], then what [`super::data`] says.
    Data = 2,
}

/// Why the other end is not spoken with any more.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// What answers there is another program.
    #[error("what answers there does not speak this program's language")]
    Stranger,
    #[error("it speaks version {0} of the protocol, and this program version {VERSION}")]
    Version(u16),
    #[error("a message of {len} bytes is over the limit of {limit}")]
    TooLong { len: usize, limit: usize },
    #[error("a message cannot be understood: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub enum Ask {
    /// One thing; the next may follow when the answer was [`Say::Done`].
    Call { id: u64, request: Request },
    /// The caller does not want to wait for that call any more.
    Cancel { id: u64 },
}

/// What a service says.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub enum Say {
    /// First of all.
    Welcome(Welcome),
    Event {
        id: u64,
        event: Event,
    },
    Done {
        id: u64,
        result: Result<Reply, ApiError>,
    },
    /// The service ends the session, and why; nothing follows.
    Closing(ApiError),
}

/// Who answers, and what it knows of the caller.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct Welcome {
    /// The machine's name.
    pub machine: String,
    /// The program's version.
    pub version: String,
    /// Differs after each start of the service: numbers of connections mean something within one only.
    pub epoch: u64,
    /// What the caller's own identity grants without a password (socket only).
    pub access: Access,
}

/// What a source says first on a line of data. Its key was shown by TLS.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct Present {
    /// What it was granted.
    pub grant: String,
    /// The source's process: what it has begun on the target is told apart by it from what was left by one that was killed.
    pub process: u32,
    /// This line's number, and those of its lines of the same grant that still stand: others are dead, and what they have brought is
    /// not to be applied any more when this one begins.
    pub line: u64,
    pub standing: Vec<u64>,
    /// That line rested and goes on, if the target still has its end of it; else it is a new one.
    pub resumes: bool,
    /// The connection has ended: the grant is given back, and nothing follows.
    pub ends: bool,
}

/// What a target answers.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub enum Admit {
    /// Operations may come.
    Admitted,
    Refused(ApiError),
}

/// Says hello as the caller, and reads the answer.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    purpose: Purpose,
) -> Result<(), ControlError> {
    let mut hello = [0; 8];
    hello[..4].copy_from_slice(&MAGIC);
    hello[4..6].copy_from_slice(&VERSION.to_be_bytes());
    hello[6..].copy_from_slice(&(purpose as u16).to_be_bytes());
    stream.write_all(&hello).await?;
    stream.flush().await?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await?;
    match parse(answer)? {
        (VERSION, _) => Ok(()),
        (version, _) => Err(ControlError::Version(version)),
    }
}

/// Reads a caller's hello and answers it. A caller of another version is told ours, then refused.
pub async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<Purpose, ControlError> {
    let mut hello = [0; 8];
    stream.read_exact(&mut hello).await?;
    let (version, purpose) = parse(hello)?;
    let mut answer = [0; 8];
    answer[..4].copy_from_slice(&MAGIC);
    answer[4..6].copy_from_slice(&VERSION.to_be_bytes());
    stream.write_all(&answer).await?;
    stream.flush().await?;
    match (version, purpose) {
        (VERSION, 1) => Ok(Purpose::Session),
        (VERSION, 2) => Ok(Purpose::Data),
        (VERSION, _) => Err(ControlError::Stranger),
        _ => Err(ControlError::Version(version)),
    }
}

fn parse(hello: [u8; 8]) -> Result<(u16, u16), ControlError> {
    let [m0, m1, m2, m3, v0, v1, p0, p1] = hello;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(ControlError::Stranger);
    }
    Ok((u16::from_be_bytes([v0, v1]), u16::from_be_bytes([p0, p1])))
}

/// One message as a frame. The error: it is over `limit`.
pub fn frame(message: &impl Serialize, limit: usize) -> Result<Vec<u8>, ControlError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let len = frame.len() - 4;
    let written = u32::try_from(len).ok().filter(|_| len <= limit);
    let written = written.ok_or(ControlError::TooLong { len, limit })?;
    frame[..4].copy_from_slice(&written.to_be_bytes());
    Ok(frame)
}

/// Frames as they arrive. Dropping a [`Incoming::next`] that has not ended loses nothing.
#[derive(Debug)]
pub struct Incoming<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// What messages are read from, unless bytes were read that belong to none yet.
    pub fn into_inner(self) -> Option<R> {
        self.buffer.is_empty().then_some(self.stream)
    }

    /// The next message of at most `limit` bytes. None: the other end has closed the line, between two messages.
    pub async fn next<T: DeserializeOwned>(&mut self, limit: usize) -> Result<Option<T>, ControlError> {
        loop {
            if let Some((head, rest)) = self.buffer.split_first_chunk::<4>() {
                let len = u32::from_be_bytes(*head) as usize;
                if len > limit {
                    return Err(ControlError::TooLong { len, limit });
                }
                if let Some(text) = rest.get(..len) {
                    let message = serde_json::from_slice(text);
                    self.buffer.drain(..4 + len);
                    // A long message is the exception; its memory is not kept for the session's life.
                    self.buffer.shrink_to(64 << 10);
                    return Ok(Some(message?));
                }
            }
            // Grows with what arrives, not with what a length promises.
            self.buffer.reserve(4 << 10);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ConnectionId;
    use proptest::prelude::*;
    use tokio::io::duplex;

    fn now<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn call(id: u64) -> Ask {
        Ask::Call { id, request: Request::Status { connection: ConnectionId(7) } }
    }

    #[test]
    fn ends_of_one_version_meet() {
        now(async {
            let (mut client, mut service) = duplex(64);
            let (greeted, welcomed) =
                tokio::join!(greet(&mut client, Purpose::Session), welcome(&mut service));
            greeted.unwrap();
            assert_eq!(welcomed.unwrap(), Purpose::Session);
        });
    }

    #[test]
    fn another_version_is_told_ours() {
        now(async {
            let (mut client, mut service) = duplex(64);
            client.write_all(b"DTCL\x00\x07\x00\x01").await.unwrap();
            assert!(matches!(welcome(&mut service).await, Err(ControlError::Version(7))));
            let mut answer = [0; 8];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(parse(answer).unwrap().0, VERSION);

            let (mut client, mut service) = duplex(64);
            service.write_all(b"DTCL\x00\x09\x00\x00").await.unwrap();
            let refused = greet(&mut client, Purpose::Session).await;
            assert!(matches!(refused, Err(ControlError::Version(9))), "{refused:?}");
        });
    }

    #[test]
    fn another_program_is_no_peer() {
        now(async {
            let (mut client, mut service) = duplex(64);
            client.write_all(b"GET / HT").await.unwrap();
            assert!(matches!(welcome(&mut service).await, Err(ControlError::Stranger)));
            service.write_all(b"SSH-2.0-").await.unwrap();
            let refused = greet(&mut client, Purpose::Session).await;
            assert!(matches!(refused, Err(ControlError::Stranger)), "{refused:?}");
        });
    }

    #[test]
    fn messages_arrive_however_they_are_cut() {
        now(async {
            let mut bytes = frame(&call(1), REQUEST_MAX).unwrap();
            bytes.extend(frame(&Ask::Cancel { id: 1 }, REQUEST_MAX).unwrap());
            for step in [1, 3, 7, bytes.len()] {
                let (mut client, service) = duplex(1 << 10);
                let mut incoming = Incoming::new(service);
                let mut heard: Vec<Ask> = Vec::new();
                for part in bytes.chunks(step) {
                    client.write_all(part).await.unwrap();
                    // A reader that gives up in between loses nothing.
                    let next = incoming.next(REQUEST_MAX);
                    tokio::select! { biased; ask = next => heard.push(ask.unwrap().unwrap()), () = std::future::ready(()) => {} }
                }
                drop(client);
                while let Some(ask) = incoming.next(REQUEST_MAX).await.unwrap() {
                    heard.push(ask);
                }
                assert_eq!(heard, [call(1), Ask::Cancel { id: 1 }], "cut every {step}");
            }
        });
    }

    #[test]
    fn a_length_is_checked_before_memory_is_taken() {
        now(async {
            let (mut client, service) = duplex(64);
            client.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
            let mut incoming = Incoming::new(service);
            let error = incoming.next::<Ask>(REQUEST_MAX).await.unwrap_err();
            assert!(matches!(error, ControlError::TooLong { limit: REQUEST_MAX, .. }), "{error}");
            assert!(incoming.buffer.capacity() < 64 << 10, "{}", incoming.buffer.capacity());

            // Within the limit, but it never comes.
            let (mut client, service) = duplex(64);
            client.write_all(&(REQUEST_MAX as u32).to_be_bytes()).await.unwrap();
            drop(client);
            let mut incoming = Incoming::new(service);
            assert!(matches!(incoming.next::<Ask>(REQUEST_MAX).await, Err(ControlError::Io(_))));
            assert!(incoming.buffer.capacity() < 64 << 10, "{}", incoming.buffer.capacity());
            assert!(matches!(
                frame(&"x".repeat(100), 50),
                Err(ControlError::TooLong { len: 102, limit: 50 })
            ));
        });
    }

    proptest! {
        /// Nothing that arrives makes a reader panic or take memory beyond what arrived.
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            now(async {
                let mut incoming = Incoming::new(bytes.as_slice());
                while let Ok(Some(_)) = incoming.next::<Ask>(STRANGER_MAX).await {}
                let mut incoming = Incoming::new(bytes.as_slice());
                while let Ok(Some(_)) = incoming.next::<Say>(STRANGER_MAX).await {}
            });
        }

        /// A message with some bytes changed is one, another, or an error.
        #[test]
        fn a_damaged_message_is_an_error_or_another(at in 0usize..80, to: u8) {
            let mut bytes = frame(&call(3), REQUEST_MAX).unwrap();
            let at = at % bytes.len();
            bytes[at] = to;
            now(async {
                let mut incoming = Incoming::new(bytes.as_slice());
                while let Ok(Some(_)) = incoming.next::<Ask>(STRANGER_MAX).await {}
            });
        }
    }
}
