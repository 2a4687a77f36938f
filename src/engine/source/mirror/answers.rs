//! What the target answers, and waiting for it.

use super::super::replicate::Gate;
use super::super::report::Spot;
use super::Failed;
use super::Mirror;
use crate::engine::connection::BEAT;
use crate::wire::{Answer, FailureKind, Op, Reader, WireError};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;

impl Mirror<'_> {
    /// Reads what the target has answered, without waiting.
    pub(in crate::engine::source) fn drain(&mut self) -> Result<(), Failed> {
        while let Ok(frame) = self.results.try_recv() {
            self.answer(&frame)?;
        }
        Ok(())
    }

    /// Waits for one answer.
    pub(super) fn wait(&mut self) -> Result<(), Failed> {
        let frame = self.results.recv().map_err(|_| Failed::Gone)?;
        self.answer(&frame)
    }

    pub(super) fn answer(&mut self, frame: &[u8]) -> Result<(), Failed> {
        if matches!(self.gate, Gate::Open) {
            // Over replication's stream it is counted where it is heard.
            self.emitter.stream.is_told(frame);
        }
        let counters = &self.shared.counters;
        match Answer::decode(&mut Reader::new(frame))? {
            Answer::Applied { who: 0, bytes, .. } => {
                let _ = counters
                    .bytes_queued
                    .fetch_update(Relaxed, Relaxed, |queued| Some(queued.saturating_sub(bytes)));
            }
            Answer::Written { file } => self.written(file)?,
            Answer::Reached { barrier } => self.reached = barrier,
            Answer::Failed {
                who: 0,
                kind: FailureKind::Missing | FailureKind::Mismatch,
                root,
                path,
                name,
                ..
            } if self.gate.heals(root, path, name) => {}
            Answer::Failed { who: 0, kind, errno, root, path, name, what } => {
                let spot = Spot { root, path: path.to_vec(), name: name.to_vec() };
                let what = String::from_utf8_lossy(what);
                self.report.answered(counters, kind, spot, errno, &what);
                if kind == FailureKind::Root {
                    self.gone = true;
                }
            }
            Answer::Orphans(counts) => {
                counters.orphans.fetch_add(counts.files, Relaxed);
                counters.orphan_directories.fetch_add(counts.directories, Relaxed);
                counters.orphan_bytes.fetch_add(counts.bytes, Relaxed);
                self.removed = Some(counts);
            }
            // Asked for by a job that did not wait for it.
            Answer::OrphanTerms(_) => {}
            _ => return Err(WireError::Invalid("answer").into()),
        }
        Ok(())
    }

    pub(in crate::engine::source) fn flush(&mut self) -> Result<(), Failed> {
        Ok(self.emitter.lock().flush()?)
    }

    /// Waits while the job is held: what was sent goes on its way, and what the target says of it is taken. False: stop.
    pub(super) fn go_on(&mut self) -> Result<bool, Failed> {
        if !self.shared.is_held() && !self.shared.stopped() {
            return Ok(true);
        }
        self.flush()?;
        // While nothing leaves nothing is told.
        while self.shared.is_held()
            && !self.shared.stopped()
            && self.dry.is_none()
            && self.shared.counters.bytes_queued.load(Relaxed) > 0
            && !self.plan.transmission.is_silent(&self.plan.traffic)
        {
            match self.results.recv_timeout(BEAT) {
                Ok(frame) => {
                    self.answer(&frame)?;
                    self.flush()?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Failed::Gone),
            }
        }
        Ok(self.shared.go_on())
    }

    /// Waits until the target has applied all that was sent. False: it has ended.
    pub(in crate::engine::source) fn settle_all(&mut self) -> bool {
        let mut step = || -> Result<(), Failed> {
            self.flush()?;
            while !self.under_way.is_empty() {
                self.wait()?;
                self.flush()?;
            }
            let barrier = {
                let mut emit = self.emitter.lock();
                let barrier = emit.number();
                emit.push(&Op::Barrier { barrier })?;
                emit.flush()?;
                barrier
            };
            while self.reached != barrier {
                self.wait()?;
            }
            Ok(())
        };
        if step().is_err() {
            self.gone = true;
        }
        !self.gone
    }
}
