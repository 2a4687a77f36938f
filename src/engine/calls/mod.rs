//! What a machine answers: one arm for each request, the work in the files beside this one.

mod browse;
mod connections;
mod jobs;
mod log;
mod modules;
mod monitor;
mod replication;
mod schedule;
mod sets;
mod tasks;
pub(super) mod transmission;

use super::Engine;
use super::connect::address;
use super::connection::{Step, Work, status};
use crate::api::{Access, ApiError, Code, ConnectionStatus, Reply, Request, SettingValue, Version, Watch};
use jiff::tz::TimeZone;
use std::time::Duration;

impl Engine {
    /// Answers one request; blocks until it is done.
    pub fn call(&self, request: Request, watch: &mut dyn Watch) -> Result<Reply, ApiError> {
        let settings = &self.kept.settings;
        let _entered = self.kept.log.enter();
        match request {
            // Whoever could open the home may do everything in it; passwords are for services.
            Request::Login { user, .. } => {
                self.statistics.login(true);
                tracing::info!("User :{user}: has FULL access (2)");
                Ok(Reply::Access(Access::Full))
            }
            Request::Logout | Request::Ping => Ok(Reply::Done),
            Request::Version => Ok(Reply::Version(version())),
            Request::Shutdown => Err(ApiError::new(
                Code::OperationOrCommandIsNotSupported,
                "no service runs here: the engine is inside this program and ends with it",
            )
            .help("DTCL serve starts a service")),
            Request::Directory { path } => browse::directory(&path),

            Request::RepsetCreate { .. }
            | Request::RuleAdd { .. }
            | Request::RuleRemove { .. }
            | Request::RuleList { .. }
            | Request::RepsetSave { .. }
            | Request::RepsetList
            | Request::RepsetDisplay { .. }
            | Request::RepsetCalculate { .. }
            | Request::RepsetRename { .. }
            | Request::RepsetCopy { .. }
            | Request::RepsetDelete { .. }
            | Request::RepsetResync { .. }
            | Request::RepsetExport { .. }
            | Request::RepsetImport { .. }
            | Request::RepsetTest { .. } => self.sets(request, watch),

            Request::Introduce { repset } => self.introduce(repset.as_deref()),
            Request::Grant(spec) => self.grant(&spec),
            Request::Withdraw { grant } => self.withdraw(&grant),
            Request::Grants => self.grant_lines(),
            Request::Connect(spec) => self.connect(&spec, watch),
            Request::Disconnect { connection, discard } => self.disconnect(connection, discard, watch),
            Request::Status { connection } => {
                let connection = self.connection(connection)?;
                let verification = connection.info.verifying.words(self.wall(), &TimeZone::system());
                let status = status::status(&connection.info, &connection.view());
                Ok(Reply::Connection(Box::new(ConnectionStatus { verification, ..status })))
            }
            Request::StatusAll => Ok(self.status_all()),
            Request::StatusSource => self.status_source(),
            Request::StatusTarget => self.status_target(),
            Request::ConnectionIdOf { repset, target } => self.id_of(&repset, target.as_deref()),
            Request::Explain { path, connection } => self.explain(&path, connection),
            Request::Statistics => Ok(Reply::Statistics(Box::new(self.snapshot()))),
            Request::StatisticsLog { running } => self.statlog(running),
            Request::Columns { connection } => self.columns(connection).map(Reply::Columns),

            Request::MirrorStart { connection, mirror } => self.mirror_start(connection, mirror, watch),
            Request::MirrorStop { connection } => self.steer(connection, Work::Mirror, Step::Stop, watch),
            Request::MirrorPause { connection } => self.steer(connection, Work::Mirror, Step::Pause, watch),
            Request::MirrorResume { connection } => self.steer(connection, Work::Mirror, Step::Resume, watch),
            Request::Verify { connection, verify } => self.verify(connection, verify),
            Request::VerifyStop { connection } => self.steer(connection, Work::Verify, Step::Stop, watch),
            Request::VerifyPause { connection } => self.steer(connection, Work::Verify, Step::Pause, watch),
            Request::VerifyResume { connection } => self.steer(connection, Work::Verify, Step::Resume, watch),
            Request::ScheduleVerify { connection, schedule } => {
                self.schedule_verify(connection, schedule.as_ref(), watch)
            }
            Request::Orphans { connection, orphans } => self.sweep(connection, orphans),
            Request::OrphansStop { connection } => self.steer(connection, Work::Orphans, Step::Stop, watch),
            Request::OrphansPause { connection } => self.steer(connection, Work::Orphans, Step::Pause, watch),
            Request::OrphansResume { connection } => {
                self.steer(connection, Work::Orphans, Step::Resume, watch)
            }
            Request::VerifyReport { connection } => self.verify_report(connection),
            Request::Wait { connection, until, timeout_ms } => {
                let timeout = timeout_ms.map(Duration::from_millis);
                self.connection(connection)?.wait(until, timeout, &*self.clock, watch)
            }

            Request::ReplicationStart { connection } => self.replication_start(connection, watch),
            Request::ReplicationStop { connection } => self.replication_stop(connection, watch),
            Request::Barrier { connection, timeout_ms } => {
                let timeout = timeout_ms.map(Duration::from_millis);
                self.connection(connection)?.barrier(timeout, &*self.clock, watch)
            }

            Request::Transmission { target, step } => self.transmission(&target, step, watch),
            Request::PauseTarget { target, paused } => self.pause_target(&target, paused, watch),

            Request::Compression { target, change } => self.compression(&target, change, watch),
            Request::Compressions => Ok(self.compressions()),

            Request::Bandwidth { target, change } => self.bandwidth(&target, &change, watch),
            Request::Bandwidths => Ok(self.bandwidths()),
            Request::BandwidthSchedule { target } => self.bandwidth_schedule(&target),
            Request::Schedule { target, change } => self.schedule(&target, &change, watch),
            Request::ScheduleView { target } => self.schedule_view(&target),
            Request::QueueTask(spec) => self.queue_task(&spec, watch),
            Request::TaskList => self.task_list(),
            Request::TaskStatus { job } => self.task_status(&job),
            Request::TaskRunAs { user } => self.task_run_as(&user),
            Request::GrantTasks { grant, allowed } => self.grant_tasks(&grant, allowed),

            Request::Log { from, filter, wait_ms } => self.log_part(from, &filter, wait_ms, watch),
            Request::LogWrite { text } => log::log_write(&text),

            Request::Get { option } => settings.get(&option).map(Reply::Setting),
            Request::GetDefault { option } => settings.default(&option).map(Reply::Setting),
            Request::Set { option, value } => self.changed(settings.set(&option, &value)),
            Request::SetDefault { option } => self.changed(settings.set_default(&option)),
            Request::Options { pattern } => settings.list(pattern.as_deref()).map(Reply::Settings),
        }
    }

    /// An option was changed: the log takes its own over at once.
    fn changed(&self, setting: Result<SettingValue, ApiError>) -> Result<Reply, ApiError> {
        let setting = setting?;
        self.kept.log.configure(&self.kept.settings.log());
        tracing::info!("Option {} was set to {}", setting.name, setting.value);
        Ok(Reply::Setting(setting))
    }
}

fn version() -> Version {
    let system = nix::sys::utsname::uname().map(|name| {
        let part = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        format!("{} {} {}", part(name.sysname()), part(name.release()), part(name.machine()))
    });
    Version {
        product: "DTCL".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        system: system.unwrap_or_else(|_| std::env::consts::OS.to_owned()),
        machine: address::own_name(),
        addresses: vec![address::own_address().to_string()],
    }
}
