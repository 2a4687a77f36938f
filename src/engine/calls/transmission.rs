//! Requests about how a target is sent to: TRANSMISSION, PAUSE TARGET, RESUME TARGET.

use crate::api::{ApiError, Code, CompressionChange, CompressionLine, Event, Reply, TransmissionStep, Watch};
use crate::engine::Engine;
use crate::engine::connect::route::To;
use crate::engine::connection::status::status;
use crate::engine::connection::{BEAT, Connection};
use crate::engine::transmission::{Compression, Transmission};
use crate::wire::packed::LEVELS;
use std::sync::Arc;

impl Engine {
    /// How the target of a connection is sent to. The null target is always open: nothing is sent.
    pub(in crate::engine) fn transmission_to(
        &self,
        to: To<'_>,
        target: &str,
    ) -> Result<Arc<Transmission>, ApiError> {
        match to {
            To::Here => Ok(self.kept.targets.here()),
            To::Null => Ok(Arc::default()),
            To::Far(_) => self.kept.targets.named(target),
        }
    }

    /// `TRANSMISSION`.
    pub(in crate::engine) fn transmission(
        &self,
        target: &str,
        step: TransmissionStep,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let transmission = self.kept.targets.named(target)?;
        self.note_if_unused(&transmission, target, watch);
        let rested = transmission.is_resting();
        let starts = matches!(step, TransmissionStep::Start | TransmissionStep::Resume);
        // TRN-21: by hand, what the schedule has wait is sent.
        if !(starts && transmission.start_by_hand(target, &|| self.moment(&transmission))?) {
            transmission.step(step, target)?;
            if rested && !transmission.is_resting() {
                transmission.set_dialled(self.clock.wall_ms());
            }
        }
        if let Some(why) = transmission.held(target).filter(|_| starts && transmission.is_resting()) {
            watch.event(Event::Notice(why));
        }
        self.kept.targets.keep(&transmission)?;
        Ok(Reply::Done)
    }

    /// `PAUSE TARGET` and `RESUME TARGET` (CNX-03). A pause waits until what was sent is applied; whoever gives up waiting leaves it
    /// Pause Pending.
    pub(in crate::engine) fn pause_target(
        &self,
        target: &str,
        paused: bool,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let transmission = self.kept.targets.named(target)?;
        self.note_if_unused(&transmission, target, watch);
        transmission.pause_target(paused, target)?;
        self.kept.targets.keep(&transmission)?;
        // Somebody may resume it meanwhile.
        while paused
            && transmission.kept().target_paused
            && self.sent_to(&transmission).any(|connection| connection.has_under_way())
        {
            if watch.cancelled() {
                return Err(crate::engine::connection::interrupted());
            }
            std::thread::sleep(BEAT);
        }
        Ok(Reply::Done)
    }

    /// `COMPRESSION ENABLE`, `DISABLE` and `SET` (TRN-40 to -43).
    pub(in crate::engine) fn compression(
        &self,
        target: &str,
        change: CompressionChange,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        if let CompressionChange::Level(level) = change
            && !LEVELS.contains(&level)
        {
            return Err(no_level(&level.to_string()));
        }
        let transmission = self.kept.targets.named(target)?;
        transmission.set_compression(|compression| match change {
            CompressionChange::Enable => compression.enabled = true,
            CompressionChange::Disable => compression.enabled = false,
            CompressionChange::Level(level) => compression.level = Some(level),
            CompressionChange::Auto => compression.level = None,
        });
        self.compressed(&transmission, target, watch)?;
        Ok(Reply::Done)
    }

    /// `CONNECT ... COMPRESS`: enables it with that level.
    pub(in crate::engine) fn compress(
        &self,
        transmission: &Arc<Transmission>,
        target: &str,
        level: Option<u8>,
        watch: &mut dyn Watch,
    ) -> Result<(), ApiError> {
        transmission.set_compression(|compression| *compression = Compression { enabled: true, level });
        self.compressed(transmission, target, watch)
    }

    /// It was changed.
    fn compressed(
        &self,
        transmission: &Arc<Transmission>,
        target: &str,
        watch: &mut dyn Watch,
    ) -> Result<(), ApiError> {
        self.kept.targets.keep(transmission)?;
        let Compression { enabled, level } = transmission.kept().compression;
        let level = level.map_or_else(|| "AUTO".to_owned(), |level| level.to_string());
        let on = if enabled { "enabled" } else { "disabled" };
        tracing::info!("Compression has been {on} ({target}), level {level}");
        if enabled && Arc::ptr_eq(transmission, &self.kept.targets.here()) {
            watch.event(Event::Notice(format!(
                "{target} is this machine: what does not leave it is not compressed, as that would only cost time"
            )));
        }
        Ok(())
    }

    /// `COMPRESSION LIST`.
    pub(in crate::engine) fn compressions(&self) -> Reply {
        let line = |(target, transmission): (String, Arc<Transmission>)| {
            let Compression { enabled, level } = transmission.kept().compression;
            let (mut sent, mut compressed) = (0, 0);
            for connection in self.sent_to(&transmission) {
                let status = status(&connection.info, &connection.view());
                sent += status.mirror_bytes_transferred + status.replication_bytes_transferred;
                compressed += status.mirror_bytes_transmitted + status.replication_bytes_transmitted;
            }
            CompressionLine { target, enabled, level, auto: transmission.auto_level(), sent, compressed }
        };
        Reply::Compressions(self.kept.targets.list().into_iter().map(line).collect())
    }

    pub(in crate::engine) fn sent_to(
        &self,
        transmission: &Arc<Transmission>,
    ) -> impl Iterator<Item = Connection> {
        let all = self.connections().into_iter();
        all.filter(|connection| Arc::ptr_eq(&connection.info.transmission, transmission))
    }

    pub(in crate::engine) fn note_if_unused(
        &self,
        transmission: &Arc<Transmission>,
        target: &str,
        watch: &mut dyn Watch,
    ) {
        if self.sent_to(transmission).next().is_none() {
            watch.event(Event::Notice(format!(
                "no connection leads to {target} at the moment; it holds for those to come"
            )));
        }
    }
}

/// A level as it is typed: a number, or AUTO (None). -101 for what is neither.
pub(in crate::engine) fn level(text: &str) -> Result<Option<u8>, ApiError> {
    if text.eq_ignore_ascii_case("AUTO") {
        return Ok(None);
    }
    match text.parse::<u8>() {
        Ok(level) if LEVELS.contains(&level) => Ok(Some(level)),
        _ => Err(no_level(text)),
    }
}

fn no_level(text: &str) -> ApiError {
    ApiError::new(Code::InvalidParameterWasSupplied, format!("{text} is no level of compression"))
        .help(format!("{} to {}, or AUTO", LEVELS.start(), LEVELS.end()))
}
