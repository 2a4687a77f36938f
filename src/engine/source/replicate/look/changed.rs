//! Content and metadata into the log, and files that are written without events.

use super::super::super::writers::{Found, How};
use super::super::model::{Identity, Model, NONE, NodeId, flag, nanoseconds};
use super::super::record::{At, Record, State};
use super::Looker;
use crate::sys::{self, FileKind, Stat};
use std::sync::Arc;

impl Looker {
    /// Looks for files that are written without events.
    pub(in super::super) fn look_for_silent(&mut self, barrier: bool) {
        let devices = self.common.model().devices().to_vec();
        let mut found = Vec::new();
        let common = Arc::clone(&self.common);
        let mut in_set = |dev, ino| {
            let model = common.model();
            model.names_of_number(dev, ino).any(|node| model.has(node, flag::MADE))
        };
        let mut note = |file: &Found| found.push(*file);
        let now = std::time::Instant::now();
        let looked = if barrier {
            self.silent.barrier(now, &devices, &mut in_set, &mut note)
        } else {
            self.silent.tick(now, &devices, &mut in_set, &mut note)
        };
        if let Err(error) = looked {
            tracing::warn!("Files that are written without events cannot be looked for: {error}");
        }
        for file in found {
            self.silent_file(&file);
        }
        let hidden = self.silent.coverage().hidden;
        if hidden > 0 && !std::mem::replace(&mut self.told_hidden, true) {
            tracing::info!(
                "{hidden} processes cannot be looked at: what they write without events is seen when they close"
            );
        }
    }

    /// A file with a writer. Stamps that are those of what was sent settle it, unless stores move none.
    pub(super) fn silent_file(&mut self, file: &Found) {
        let common = Arc::clone(&self.common);
        let model = common.model();
        let Some(node) = model.names_of_number(file.dev, file.ino).next() else { return };
        let entry = model.entry(node);
        let parent = model.parent(node);
        if parent == NONE || entry.kind != FileKind::File {
            return;
        }
        let opened = self.open_dir(&model, parent).ok().and_then(|dir| {
            let file = dir.read(&sys::c_string(model.name(node)).ok()?).ok()?;
            Some((Stat::of(&file).ok()?, file))
        });
        drop(model);
        if let Some((stat, open)) = opened {
            let known = stat.size == entry.size && nanoseconds(stat.ctime) == entry.ctime;
            if known
                && matches!(file.how, How::Moved | How::Mapped)
                && !(file.mapped && file.how == How::Moved)
            {
                return;
            }
            if file.mapped
                && let Err(error) = sys::write_back(&open)
            {
                tracing::debug!("a mapped file could not be written back: {error}");
            }
        }
        self.silent(file.dev, file.ino);
    }

    /// A file may have been changed without an event.
    pub(in super::super) fn silent(&mut self, dev: u64, ino: u64) {
        let common = Arc::clone(&self.common);
        let mut model = common.turn();
        let Some(node) = model.names_of_number(dev, ino).next() else { return };
        let entry = model.entry(node);
        if entry.kind == FileKind::File {
            self.queue_content(&mut model, &entry.id, entry.size);
        }
    }

    /// Content of a file: once for the names that share an inode on the target, once for each that has its own.
    pub(super) fn queue_content(&mut self, model: &mut Model, id: &Identity, size: u64) {
        let mut shared = false;
        let names: Vec<NodeId> = model.names_of(id).collect();
        for node in names {
            if !model.has(node, flag::SEPARATE) && std::mem::replace(&mut shared, true) {
                continue;
            }
            let grown = size.saturating_sub(model.entry(node).size);
            if model.has(node, flag::CONTENT) {
                self.common.waiting().grows(node, grown);
                continue;
            }
            if !model.has(node, flag::MADE) {
                continue;
            }
            model.set(node, flag::CONTENT);
            let (root, path, name) = model.place(node);
            let at = At { root, path: &path, name: &name };
            self.log(&Record::Content { node, id: *id, at, state: State::of(model, node) }, grown.max(1));
        }
    }

    pub(super) fn queue_meta(&mut self, model: &mut Model, node: NodeId) {
        let id = model.entry(node).id;
        let names: Vec<NodeId> = model.names_of(&id).collect();
        let mut shared = false;
        for node in names {
            if !model.has(node, flag::SEPARATE) && std::mem::replace(&mut shared, true) {
                continue;
            }
            if model.has(node, flag::CONTENT | flag::META) || !model.has(node, flag::MADE) {
                continue;
            }
            model.set(node, flag::META);
            let (root, path, name) = model.place(node);
            self.log(&Record::Meta { node, id, at: At { root, path: &path, name: &name } }, 0);
        }
    }

    pub(super) fn queue_directory_meta(&mut self, model: &mut Model, node: NodeId) {
        // Logged each time: what is made in it after an earlier record moves its time.
        if !model.included(node) || !model.has(node, flag::MADE) {
            return;
        }
        model.set(node, flag::TIMED);
        let id = model.entry(node).id;
        let (root, path, name) = model.place(node);
        self.log(&Record::DirectoryMeta { node, id, at: At { root, path: &path, name: &name } }, 0);
    }

    /// The times of the directories in which something was made, moved or removed go last.
    pub(super) fn flush_touched(&mut self, model: &mut Model) {
        let mut touched: Vec<NodeId> = self.touched.drain().filter(|node| model.is_used(*node)).collect();
        touched.retain(|node| model.entry(*node).kind == FileKind::Directory);
        for node in touched {
            self.queue_directory_meta(model, node);
        }
    }
}
