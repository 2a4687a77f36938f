//! The ledger: what the target has, kept on disk, so that a service that is started again knows it (docs/design/ledger.md).
//!
//! It is the model with all steps since it was begun, and marks of what is dirty. Steps are written before the operations that follow from
//! them leave for the target; so after the death of the process the ledger names all that the target may have. It is not synced: after the
//! death of the machine it counts for nothing, unless its engine had ended in good order.
//!
//! A ledger that has grown is begun anew beside the old one, in small steps, and takes its place when the target has all that stood before it.

mod entry;
mod load;

pub(super) use entry::{Entry, Place};
pub(super) use load::{Known, Loaded};

use super::model::{Identity, flag};
use crate::engine::log::escape;
use crate::engine::settled::Settled;
use crate::sys::{BOOT_ID, boot_id};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The flags of a node that are kept.
pub(super) const KEPT: u16 = flag::MADE | flag::SEPARATE;

/// A ledger is begun anew when it has grown by so many bytes, and to twice its size.
const GROWTH: u64 = 4 << 20;
/// One that has grown by so much, and to eight times its size, is given up.
const MOST: u64 = 256 << 20;
/// So much is written though nothing is sent.
const PAGE: usize = 1 << 20;
/// One that could not be written is tried again after so long.
const RETRY: Duration = Duration::from_secs(60);

const MAGIC: [u8; 8] = *b"DTLEDGER";
const VERSION: u32 = 1;
/// Bytes before a page: its length, the same inverted, CRC-32 of the page.
const PAGE_HEAD: usize = 12;
/// Longest page.
const PAGE_MOST: usize = 256 << 20;

/// What a ledger is of: connection, set, paths, rules. Another's is not taken.
pub(super) type Signature = [u8; 20];

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    settled: Arc<Settled>,
    signature: Signature,
    /// Something is kept.
    open: AtomicBool,
    /// Something is to be written.
    filled: AtomicBool,
    /// Its lock is the last one taken.
    pages: Mutex<Pages>,
    books: Mutex<Books>,
}

/// What is not written yet. None: there is no such book.
#[derive(Debug, Default)]
struct Pages {
    now: Option<Vec<u8>>,
    next: Option<Vec<u8>>,
    /// All that was there when the next book was begun is in it.
    whole: bool,
    /// The target has all of the last generation, but for what is told, and nothing was noted since that ended.
    settled: bool,
    /// Something was noted since the last generation began.
    news: bool,
    /// Counts the books that were begun.
    book: u64,
}

impl Pages {
    fn clear(&mut self) {
        *self = Pages { book: self.book, ..Pages::default() };
    }

    fn note(&mut self, entry: &Entry<'_>) {
        self.now.iter_mut().chain(&mut self.next).for_each(|page| entry.encode(page));
    }
}

#[derive(Debug, Default)]
struct Books {
    now: Option<Book>,
    next: Option<Book>,
    failed: Option<Instant>,
}

#[derive(Debug)]
struct Book {
    file: File,
    path: PathBuf,
    bytes: u64,
    /// Bytes when it was new.
    begun: u64,
}

impl Book {
    fn write(&mut self, page: &[u8]) -> io::Result<()> {
        let length = u32::try_from(page.len()).ok().filter(|length| *length as usize <= PAGE_MOST);
        let length = length.ok_or_else(|| io::Error::other("a page is too long"))?;
        let mut whole = Vec::with_capacity(PAGE_HEAD + page.len());
        whole.extend_from_slice(&length.to_le_bytes());
        whole.extend_from_slice(&(!length).to_le_bytes());
        whole.extend_from_slice(&crc32fast::hash(page).to_le_bytes());
        whole.extend_from_slice(page);
        self.file.write_all(&whole)?;
        self.bytes += whole.len() as u64;
        Ok(())
    }
}

impl Ledger {
    pub(super) fn new(settled: Arc<Settled>, signature: Signature) -> Ledger {
        Ledger {
            settled,
            signature,
            open: AtomicBool::new(false),
            filled: AtomicBool::new(false),
            pages: Mutex::default(),
            books: Mutex::default(),
        }
    }

    /// Takes up the ledger of before and goes on with it. None: there is none that counts; the log says why.
    pub(super) fn load(&self) -> Option<Loaded> {
        let path = self.settled.ledger()?;
        let loaded = match load::load(&path, &self.signature, boot_id().ok()) {
            Ok(loaded) => loaded?,
            Err(why) => {
                tracing::info!("{}: what the target has is not known from it: {why}", shown(&path));
                // It must not count again when what speaks against it has passed.
                let _ = std::fs::remove_file(&path);
                return None;
            }
        };
        let opened = (|| {
            let file = OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW).open(&path)?;
            // What was being written when the process died.
            file.set_len(loaded.bytes)?;
            let mut book = Book { file, path: path.clone(), bytes: loaded.bytes, begun: loaded.size() };
            book.write(&head(&self.signature)?)?;
            // That it was closed counts no more, whatever becomes of the machine.
            book.file.sync_data()?;
            Ok::<_, io::Error>(book)
        })();
        match opened {
            Ok(book) => {
                lock(&self.books).now = Some(book);
                *lock(&self.pages) = Pages { now: Some(Vec::new()), news: true, ..Pages::default() };
                self.open.store(true, Relaxed);
                Some(loaded)
            }
            Err(error) => {
                tracing::warn!("{}: {error}", shown(&path));
                let _ = std::fs::remove_file(&path);
                None
            }
        }
    }

    /// Notes a step. Who changes the model holds it.
    pub(super) fn note(&self, entry: &Entry<'_>) {
        if !self.open.load(Relaxed) {
            return;
        }
        let mut pages = lock(&self.pages);
        pages.note(entry);
        (pages.news, pages.settled) = (true, false);
        self.filled.store(true, Relaxed);
    }

    /// Copies entries of the model, which is held, into the next book, if that is still the one that was begun so. `whole`: there are no others. False: it is
    /// not.
    pub(super) fn copies<'a>(
        &self,
        book: u64,
        entries: impl Iterator<Item = Entry<'a>>,
        whole: bool,
    ) -> bool {
        let mut pages = lock(&self.pages);
        let is_it = pages.book == book;
        let Some(page) = pages.next.as_mut().filter(|_| is_it) else { return false };
        entries.for_each(|entry| entry.encode(page));
        if whole {
            Entry::Base.encode(page);
            pages.whole = true;
        }
        self.filled.store(true, Relaxed);
        true
    }

    /// Writes what was noted where nothing is sent for long.
    pub(super) fn relieve(&self) {
        let large = |page: &Option<Vec<u8>>| page.as_ref().is_some_and(|page| page.len() > PAGE);
        let pages = lock(&self.pages);
        let relieves = large(&pages.now) || large(&pages.next);
        drop(pages);
        if relieves {
            self.write();
        }
    }

    /// Writes what was noted. To be called before what follows from it is sent.
    pub(super) fn write(&self) {
        if !self.filled.load(Relaxed) {
            return;
        }
        let mut books = lock(&self.books);
        if let Err(error) = self.write_into(&mut books) {
            self.fail(&mut books, &error);
        }
    }

    fn write_into(&self, books: &mut Books) -> io::Result<()> {
        let (now, next) = {
            let mut pages = lock(&self.pages);
            self.filled.store(false, Relaxed);
            let Pages { now, next, .. } = &mut *pages;
            (now.as_mut().map(std::mem::take), next.as_mut().map(std::mem::take))
        };
        for (book, page) in [(&mut books.now, now), (&mut books.next, next)] {
            if let (Some(book), Some(page)) = (book, page)
                && !page.is_empty()
            {
                book.write(&page)?;
                if book.bytes > 8 * book.begun + MOST {
                    return Err(io::Error::other("it has grown too large while it could not be begun anew"));
                }
            }
        }
        Ok(())
    }

    /// Nothing is kept any more: what is not all there must not be taken for the truth.
    fn fail(&self, books: &mut Books, error: &io::Error) {
        self.open.store(false, Relaxed);
        lock(&self.pages).clear();
        for book in [books.now.take(), books.next.take()].into_iter().flatten() {
            tracing::warn!(
                "{}: what the target has cannot be kept ({error}): after a restart of the service all is compared",
                shown(&book.path)
            );
            // One that cannot be removed ends in a page that is not whole, or is older than it says: cut to nothing it counts for nothing.
            let _ = book.file.set_len(0);
            let _ = std::fs::remove_file(&book.path);
        }
        books.failed = Some(Instant::now());
    }

    /// Is everything that was noted known to be on the target, and written?
    pub(super) fn is_settled(&self) -> bool {
        let pages = lock(&self.pages);
        pages.now.is_some() && pages.settled
    }

    /// What is kept cannot be gone on with.
    pub(super) fn give_up(&self) {
        let mut books = lock(&self.books);
        self.open.store(false, Relaxed);
        lock(&self.pages).clear();
        for book in [books.now.take(), books.next.take()].into_iter().flatten() {
            let _ = std::fs::remove_file(&book.path);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Was something noted since the last generation began, or waits a book for its turn?
    pub(super) fn has_news(&self) -> bool {
        let pages = lock(&self.pages);
        self.is_open() && (pages.news || pages.whole)
    }

    /// Is a book to be begun: there is none, or it has grown?
    pub(super) fn is_due(&self) -> bool {
        if self.settled.ledger().is_none() {
            return false;
        }
        let books = lock(&self.books);
        let waits = books.failed.is_some_and(|at| at.elapsed() < RETRY);
        let grown = |book: &Book| book.bytes > 2 * book.begun && book.bytes > book.begun + GROWTH;
        !waits && books.next.is_none() && books.now.as_ref().is_none_or(grown)
    }

    /// Begins the next book: what is noted from now on stands in it, too. Its number. None: it could not be.
    pub(super) fn begin(&self) -> Option<u64> {
        let path = self.settled.ledger()?.with_extension("new");
        let mut books = lock(&self.books);
        let begun = (|| {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
            let mut book = Book { file, path: path.clone(), bytes: 0, begun: 0 };
            book.write(&head(&self.signature)?)?;
            Ok(book)
        })();
        match begun {
            Ok(book) => {
                books.next = Some(book);
                let mut pages = lock(&self.pages);
                (pages.next, pages.whole) = (Some(Vec::new()), false);
                pages.book += 1;
                self.open.store(true, Relaxed);
                Some(pages.book)
            }
            Err(error) => {
                tracing::warn!("{}: what the target has cannot be kept: {error}", shown(&path));
                books.failed = Some(Instant::now());
                None
            }
        }
    }

    /// Nobody copies into the next book.
    pub(super) fn give_up_next(&self) {
        let mut books = lock(&self.books);
        let mut pages = lock(&self.pages);
        (pages.next, pages.whole) = (None, false);
        self.open.store(pages.now.is_some(), Relaxed);
        if let Some(book) = books.next.take() {
            let _ = std::fs::remove_file(&book.path);
        }
        books.failed = Some(Instant::now());
    }

    /// All that is noted from now on is of the next generation.
    pub(super) fn next_generation(&self) {
        let mut pages = lock(&self.pages);
        pages.note(&Entry::Generation);
        (pages.news, pages.settled) = (false, false);
        self.filled.store(true, Relaxed);
    }

    /// The target has all of the last generation, but for these files, which it is still getting. A next book that is whole takes the place of
    /// the one before.
    pub(super) fn is_applied(&self, but: &[Identity]) {
        let mut books = lock(&self.books);
        let whole = {
            let mut pages = lock(&self.pages);
            pages.note(&Entry::Applied);
            // Files that are held for long are no news: they would be for ever.
            but.iter().for_each(|id| pages.note(&Entry::Inode { id: *id }));
            pages.settled = !pages.news;
            pages.whole
        };
        let turned = self
            .write_into(&mut books)
            .and_then(|()| if whole { self.turn_over(&mut books) } else { Ok(()) });
        if let Err(error) = turned {
            self.fail(&mut books, &error);
        }
    }

    fn turn_over(&self, books: &mut Books) -> io::Result<()> {
        let (Some(mut book), Some(path)) = (books.next.take(), self.settled.ledger()) else { return Ok(()) };
        std::fs::rename(&book.path, &path)?;
        let mut pages = lock(&self.pages);
        (pages.now, pages.whole) = (pages.next.take(), false);
        (book.path, book.begun) = (path, book.bytes);
        books.now = Some(book);
        Ok(())
    }

    /// The engine ends in good order: what is kept counts after a restart of the machine, too.
    pub(super) fn close(&self) {
        let mut books = lock(&self.books);
        if !self.open.load(Relaxed) {
            return;
        }
        lock(&self.pages).note(&Entry::Closed);
        let closed = self.write_into(&mut books);
        self.open.store(false, Relaxed);
        lock(&self.pages).clear();
        if let Some(next) = books.next.take() {
            let _ = std::fs::remove_file(&next.path);
        }
        let synced = match &books.now {
            Some(book) => closed.and_then(|()| book.file.sync_all()),
            None => closed,
        };
        match synced {
            Ok(()) => books.now = None,
            Err(error) => self.fail(&mut books, &error),
        }
    }
}

/// The first page of a book, and of each engine that goes on with it.
fn head(signature: &Signature) -> io::Result<Vec<u8>> {
    let mut page = MAGIC.to_vec();
    page.extend_from_slice(&VERSION.to_le_bytes());
    page.extend_from_slice(signature);
    page.extend_from_slice(&boot_id()?);
    debug_assert_eq!(page.len(), MAGIC.len() + 4 + 20 + BOOT_ID);
    Ok(page)
}

fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
