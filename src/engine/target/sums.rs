//! Answers questions for checksums: SHA-1 of each block, read from the disk while the source reads its own side.

use super::place::Place;
use crate::engine::blocks_together;
use crate::engine::link::{Frame, FramePool, LocalFiles};
use crate::sys::{self, FileKind, Stat};
use crate::wire::{Answer, SUM_LEN};
use std::ffi::CString;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

/// One question.
pub(super) struct Question {
    pub question: u64,
    /// Or why it is not looked at, an errno: its directory could not be entered, changes to it are held back.
    pub place: Result<Arc<Place>, i32>,
    pub name: CString,
    pub block: usize,
    /// Where to leave a file that the source may read itself.
    pub local: Option<LocalFiles>,
}

/// Answers in the order of the questions until they end or the source has gone.
pub(super) fn answer_all(questions: &Receiver<Question>, sums: &SyncSender<Frame>, frames: &FramePool) {
    let mut buffer = Vec::new();
    for question in questions {
        let mut frame = frames.take();
        let result = hash_file(&question, &mut buffer, |list| {
            let mut frame = frames.take();
            Answer::Sums { question: question.question, sums: list, last: None }.encode(&mut frame);
            sums.send(frame).map_err(|_| io::Error::from_raw_os_error(libc::EPIPE))
        });
        match result {
            Ok(None) => Answer::Here { question: question.question }.encode(&mut frame),
            Ok(Some((rest, size))) => {
                Answer::Sums { question: question.question, sums: &rest, last: Some(size) }
                    .encode(&mut frame);
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                Answer::NoSums { question: question.question, errno }.encode(&mut frame);
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
    question: &Question,
    buffer: &mut Vec<u8>,
    mut send: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Option<(Vec<u8>, u64)>> {
    let place = question.place.as_ref().map_err(|errno| io::Error::from_raw_os_error(*errno))?;
    // Not even opened: a device may do something when it is.
    if place.dir.stat(&question.name)?.kind != FileKind::File {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    let file = place.dir.read(&question.name)?;
    if Stat::of(&file)?.kind != FileKind::File {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    sys::advise_sequential(&file);
    if let Some(local) = &question.local {
        local.offer(question.question, Arc::new(file));
        return Ok(None);
    }
    let together = blocks_together(question.block);
    buffer.resize((question.block * together).max(buffer.len()), 0);
    let mut sums = Vec::with_capacity(together);
    let mut list = Vec::with_capacity(together * SUM_LEN);
    let mut size = 0;
    loop {
        let got = sys::read_exact_at(&file, &mut buffer[..question.block * together], size)?;
        size += got as u64;
        sums.clear();
        sys::block_sums(&buffer[..got], question.block, &mut sums);
        list.clear();
        list.extend_from_slice(sums.as_flattened());
        if got < question.block * together {
            return Ok(Some((list, size)));
        }
        send(&list)?;
    }
}
