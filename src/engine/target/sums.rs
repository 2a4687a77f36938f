//! Answers questions for checksums: SHA-1 of each block, read from the disk while the source reads its own side.

use super::place::Place;
use crate::engine::blocks_together;
use crate::engine::link::{Frame, FramePool, LocalFiles};
use crate::sys;
use crate::wire::{Answer, SUM_LEN};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

/// One question.
pub(super) struct Question {
    pub question: u64,
    /// Or why it is not looked at, an errno: its directory could not be entered, changes to it are held back.
    pub at: Result<Asked, i32>,
    pub block: usize,
    /// Where to leave a file that the source may read itself.
    pub local: Option<LocalFiles>,
}

/// What a question is about.
pub(super) enum Asked {
    /// What has this name when it is answered.
    Named(Arc<Place>, CString),
    /// What had it when the question's turn came: later operations may move it.
    Open(File),
}

/// Opens a file for reading.
pub(super) fn open(place: &Place, name: &CStr) -> io::Result<File> {
    place.dir.regular(name)
}

/// Answers in the order of the questions until they end or the source has gone.
pub(super) fn answer_all(questions: &Receiver<Question>, sums: &SyncSender<Frame>, frames: &FramePool) {
    let mut buffer = Vec::new();
    for Question { question, at, block, local } in questions {
        let mut frame = frames.take();
        let result = hash_file(question, at, block, local.as_ref(), &mut buffer, |list| {
            let mut frame = frames.take();
            Answer::Sums { question, sums: list, last: None }.encode(&mut frame);
            sums.send(frame).map_err(|_| io::Error::from_raw_os_error(libc::EPIPE))
        });
        match result {
            Ok(None) => Answer::Here { question }.encode(&mut frame),
            Ok(Some((rest, size))) => {
                Answer::Sums { question, sums: &rest, last: Some(size) }.encode(&mut frame);
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                Answer::NoSums { question, errno }.encode(&mut frame);
            }
        }
        if sums.send(frame).is_err() {
            return;
        }
    }
}

/// Hashes a file block by block; the hashes that were not handed to `send` yet, and the bytes that were read. None: the
/// source may read the file itself.
fn hash_file(
    question: u64,
    at: Result<Asked, i32>,
    block: usize,
    local: Option<&LocalFiles>,
    buffer: &mut Vec<u8>,
    mut send: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Option<(Vec<u8>, u64)>> {
    let file = match at.map_err(io::Error::from_raw_os_error)? {
        Asked::Open(file) => file,
        Asked::Named(place, name) => open(&place, &name)?,
    };
    sys::advise_sequential(&file);
    if let Some(local) = local {
        local.offer(question, Arc::new(file));
        return Ok(None);
    }
    let together = blocks_together(block);
    buffer.resize((block * together).max(buffer.len()), 0);
    let mut sums = Vec::with_capacity(together);
    let mut list = Vec::with_capacity(together * SUM_LEN);
    let mut size = 0;
    loop {
        let got = sys::read_exact_at(&file, &mut buffer[..block * together], size)?;
        size += got as u64;
        sums.clear();
        sys::block_sums(&buffer[..got], block, &mut sums);
        list.clear();
        list.extend_from_slice(sums.as_flattened());
        if got < block * together {
            return Ok(Some((list, size)));
        }
        send(&list)?;
    }
}
