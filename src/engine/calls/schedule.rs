//! LIMIT BANDWIDTH and SCHEDULE: how much is sent to a target, and when (TRN-10 to -33).

use crate::api::{
    ApiError, BandwidthChange, BandwidthLine, BandwidthSchedule, BandwidthSpec, Code, ConnectionId, Event,
    Reply, ScheduleChange, ScheduleView, VerifyScheduleSpec, Watch,
};
use crate::engine::Engine;
use crate::engine::connection::verifying::VerifyTimes;
use crate::engine::scheduler::log_limit;
use crate::engine::transmission::schedule::{End, Schedule, Start, Window};
use crate::engine::transmission::{Bandwidth, Limit, Mode, Moment, Transmission};
use jiff::tz::TimeZone;
use std::sync::Arc;

impl Engine {
    /// `LIMIT BANDWIDTH` in all forms that change something.
    pub(in crate::engine) fn bandwidth(
        &self,
        target: &str,
        change: &BandwidthChange,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let transmission = self.kept.targets.named(target)?;
        let before = transmission.in_force();
        let now = self.moment(&transmission);
        transmission.set_bandwidth(&now, |bandwidth| changed(bandwidth, change, target))?;
        self.kept.targets.keep(&transmission)?;
        self.watch_schedules();
        let in_force = transmission.in_force();
        if in_force != before {
            log_limit(target, &in_force);
        }
        self.note_if_unused(&transmission, target, watch);
        if Arc::ptr_eq(&transmission, &self.kept.targets.here()) {
            notice(watch, format!("{target} is this machine: what does not leave it is not limited"));
        }
        let (limit, entry) = &in_force;
        if limit.is_some_and(Limit::is_small) {
            notice(
                watch,
                "less than 3500 bytes a second is little: a change of a few megabytes takes an hour"
                    .to_owned(),
            );
        }
        match (change, entry) {
            (BandwidthChange::Limit(_) | BandwidthChange::Off, Some(entry)) => notice(
                watch,
                format!(
                    "the bandwidth schedule of {target} decides, now by its entry {entry}; \
                     LIMIT BANDWIDTH SCHEDULE DISABLE TO {target} has this limit decide"
                ),
            ),
            (BandwidthChange::Add(_), None) if transmission.kept().bandwidth.disabled => notice(
                watch,
                format!(
                    "the bandwidth schedule of {target} is disabled; LIMIT BANDWIDTH SCHEDULE ENABLE TO {target} turns it on"
                ),
            ),
            _ => {}
        }
        Ok(Reply::Done)
    }

    /// `LIMIT BANDWIDTH LIST`.
    pub(in crate::engine) fn bandwidths(&self) -> Reply {
        let line = |(target, transmission): (String, Arc<Transmission>)| {
            let (limit, entry) = transmission.in_force();
            let always = transmission.kept().bandwidth.limit.filter(|_| entry.is_some());
            BandwidthLine {
                target,
                in_force: limit.map(BandwidthSpec::from),
                kbit: limit.map(Limit::kbit),
                entry,
                always: always.map(BandwidthSpec::from),
            }
        };
        Reply::Bandwidths(self.kept.targets.list().into_iter().map(line).collect())
    }

    /// `LIMIT BANDWIDTH SCHEDULE LIST`.
    pub(in crate::engine) fn bandwidth_schedule(&self, target: &str) -> Result<Reply, ApiError> {
        let transmission = self.kept.targets.named(target)?;
        let Bandwidth { entries, disabled, .. } = transmission.kept().bandwidth;
        Ok(Reply::BandwidthSchedule(BandwidthSchedule {
            target: target.to_owned(),
            enabled: !disabled,
            entries: entries.iter().map(|entry| entry.spec()).collect(),
            now: transmission.in_force().1,
        }))
    }

    /// `SCHEDULE` in all forms that change something.
    pub(in crate::engine) fn schedule(
        &self,
        target: &str,
        change: &ScheduleChange,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let transmission = self.kept.targets.named(target)?;
        let now = self.moment(&transmission);
        let change = |schedule: &mut Schedule| {
            match change {
                ScheduleChange::Start(spec) => {
                    schedule.set_start(Start::of(spec, now.wall, &now.zone)?, now.wall, &now.zone);
                }
                ScheduleChange::End(spec) => schedule.set_end(End::of(*spec)?, now.wall),
                ScheduleChange::Window { open, close } => {
                    schedule.set_window(Window::of(open, close)?, now.wall)
                }
                ScheduleChange::Enable => schedule.enable(true, target, now.wall)?,
                ScheduleChange::Disable => schedule.enable(false, target, now.wall)?,
                ScheduleChange::Clear(part) => schedule.clear(*part, now.wall),
            }
            Ok(())
        };
        let rested = transmission.is_resting();
        let set = transmission.set_schedule(&now, change);
        set.map_err(|error| match error.code {
            // The target would be sent to again.
            Code::ServerIsNotResponding => error.help(format!(
                "start the service there; or TRANSMISSION STOP {target} first, and the schedule can be changed without it"
            )),
            _ => error,
        })?;
        if rested && !transmission.is_resting() {
            transmission.set_dialled(self.clock.wall_ms());
        }
        self.kept.targets.keep(&transmission)?;
        self.watch_schedules();
        self.note_if_unused(&transmission, target, watch);
        let schedule = transmission.kept().schedule;
        tracing::info!("The schedule of {target} was changed: {}", state(&transmission, &now));
        if schedule.disabled && schedule.is_defined() {
            notice(
                watch,
                format!("the schedule of {target} is disabled; SCHEDULE {target} ENABLE turns it on"),
            );
        } else if let Some(why) = schedule.has_no_start(now.wall, &now.zone).filter(|_| schedule.waits()) {
            let why = if schedule.start == Start::default() { "a window alone does not" } else { why };
            notice(
                watch,
                format!(
                    "nothing starts sending to {target} ({why}): SCHEDULE {target} START says when, \
                     TRANSMISSION START {target} sends now, inside the window"
                ),
            );
        }
        Ok(Reply::Done)
    }

    /// `SCHEDULE LIST`.
    pub(in crate::engine) fn schedule_view(&self, target: &str) -> Result<Reply, ApiError> {
        let transmission = self.kept.targets.named(target)?;
        let now = self.moment(&transmission);
        let schedule = transmission.kept().schedule;
        let next = schedule.next_start(now.wall, &now.zone).filter(|_| schedule.governs());
        Ok(Reply::Schedule(Box::new(ScheduleView {
            target: target.to_owned(),
            enabled: !schedule.disabled,
            start: schedule.start.spec(),
            end: schedule.end.spec(),
            window: schedule.window.map(|window| (window.open.to_string(), window.close.to_string())),
            state: state(&transmission, &now),
            next_ms: next.map(|next| next.as_millisecond()),
            verifications: self
                .sent_to(&transmission)
                .filter_map(|connection| {
                    Some((connection.info.id, connection.info.verifying.words(now.wall, &now.zone)?))
                })
                .collect(),
        })))
    }

    /// `SCHEDULE VERIFY` (VER-10 to -13).
    pub(in crate::engine) fn schedule_verify(
        &self,
        id: ConnectionId,
        spec: Option<&VerifyScheduleSpec>,
        watch: &mut dyn Watch,
    ) -> Result<Reply, ApiError> {
        let connection = self.connection(id)?;
        let info = &connection.info;
        let Some(spec) = spec else {
            self.keep_verifying(info, |verifying| verifying.set(None));
            tracing::info!("Connection {id} is no longer verified at set times");
            return Ok(Reply::Done);
        };
        if connection.is_null() {
            return Err(ApiError::new(
                Code::OperationOrCommandIsNotSupported,
                format!("connection {id} leads to the null target, where there is nothing to verify"),
            ));
        }
        let (now, zone) = (self.wall(), TimeZone::system());
        let times = VerifyTimes::of(spec, now, &zone)?;
        let words = times.words(now, &zone);
        self.keep_verifying(info, |verifying| verifying.set(Some(times)));
        self.watch_schedules();
        tracing::info!("Connection {id} is verified {words}");
        if let Some(why) = info.transmission.held(&info.target) {
            notice(watch, format!("{why}; until then no verification of connection {id} begins"));
        }
        Ok(Reply::Done)
    }
}

fn changed(bandwidth: &mut Bandwidth, change: &BandwidthChange, target: &str) -> Result<(), ApiError> {
    match change {
        BandwidthChange::Limit(spec) => bandwidth.limit = Some(Limit::try_from(*spec)?),
        BandwidthChange::Off => bandwidth.limit = None,
        BandwidthChange::Add(entry) => bandwidth.add(entry)?,
        BandwidthChange::Remove { label } => bandwidth.remove(label)?,
        BandwidthChange::Clear => *bandwidth = Bandwidth { limit: bandwidth.limit, ..Bandwidth::default() },
        BandwidthChange::Enable | BandwidthChange::Disable if bandwidth.entries.is_empty() => {
            return Err(ApiError::new(
                Code::BandwidthLimitNotFound,
                format!("{target} has no bandwidth schedule"),
            )
            .help("LIMIT BANDWIDTH SCHEDULE ADD makes one"));
        }
        BandwidthChange::Enable => bandwidth.disabled = false,
        BandwidthChange::Disable => bandwidth.disabled = true,
    }
    Ok(())
}

/// What a target's schedule does at the moment.
fn state(transmission: &Transmission, now: &Moment) -> String {
    let kept = transmission.kept();
    let schedule = &kept.schedule;
    match kept.mode {
        _ if !schedule.is_defined() => "no schedule: it is sent at any time".to_owned(),
        _ if schedule.disabled => "disabled: it is sent at any time".to_owned(),
        Mode::Paused => "held: transmission is paused".to_owned(),
        Mode::Stopped => "held: transmission is stopped".to_owned(),
        Mode::Started if schedule.waits() => {
            let by_hand = schedule.has_no_start(now.wall, &now.zone).is_some();
            format!(
                "waiting: {}{}",
                schedule.words(now.wall, &now.zone),
                if by_hand { "; TRANSMISSION START sends now" } else { "" }
            )
        }
        Mode::Started => "sending".to_owned(),
    }
}

fn notice(watch: &mut dyn Watch, text: String) {
    watch.event(Event::Notice(text));
}
