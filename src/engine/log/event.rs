//! Events: facts about the machine that its administrators hear of beside the log, with the product's numbers and severities
//! (linux-events.tsv, backup.md P). Each is told once in this table and sent by [`tell`]: to the log, to the system's log, by mail.
//!
//! Invariants: no event is sent that is not in the table, and none with another severity than the table's. An event goes to the
//! system's log whatever `LogMessageLevel` says: the level is the log file's.

use super::line::Kind;
use super::{EngineLog, escape, route};

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Information,
    Warning,
    Error,
}

impl Severity {
    pub const ALL: [Severity; 3] = [Severity::Information, Severity::Warning, Severity::Error];

    pub fn word(self) -> &'static str {
        match self {
            Severity::Information => "Information",
            Severity::Warning => "Warning",
            Severity::Error => "Error",
        }
    }

    fn kind(self) -> Kind {
        if self == Severity::Information { Kind::Information } else { Kind::Alert }
    }
}

macro_rules! events {
    ($($id:literal $severity:ident $name:ident $meaning:literal;)*) => {
        /// The events that this engine sends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Event {
            $(#[doc = $meaning] $name = $id,)*
        }

        impl Event {
            pub const ALL: &[Event] = &[$(Event::$name,)*];

            pub fn severity(self) -> Severity {
                match self {
                    $(Event::$name => Severity::$severity,)*
                }
            }

            /// What it says, for the documentation.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Event::$name => $meaning,)*
                }
            }
        }
    };
}

events! {
    4000 Information KernelStarted "the service has started";
    4001 Information TargetStarted "the target module has started";
    4002 Information SourceStarted "the source module has started";
    4003 Information SourceStopped "the source module has stopped";
    4004 Information TargetStopped "the target module has stopped";
    4005 Information KernelStopped "the service has stopped";
    4006 Error ServiceAborted "the service has aborted, with the reason";
    4007 Warning AutoDisconnectBegun "an auto-disconnect begins: target, set, connection, reason";
    4008 Information AutoDisconnectDone "the auto-disconnect is done";
    4009 Information AutoReconnectBegun "an auto-reconnect begins";
    4010 Information AutoReconnectDone "the auto-reconnect has succeeded";
    4011 Error AutoReconnectFailed "the auto-reconnect has failed, with the reason";
    4013 Information Note "any text: LOG WRITE";
    4014 Information TransmissionStarted "transmission to a target was started or resumed, by hand or by its schedule";
    4015 Information TransmissionStopped "transmission to a target was stopped or paused, by hand or by its schedule";
    4016 Information Connected "a set was connected to a target";
    4017 Information Disconnected "a connection has ended";
    4019 Information MirrorStarted "a mirror has begun";
    4020 Information MirrorPaused "a mirror was paused";
    4021 Information MirrorResumed "a mirror was resumed";
    4022 Information MirrorStopped "a mirror was stopped, or ended before it was complete, with the detail";
    4023 Information MirrorCompleted "a mirror is complete";
    4024 Information ReplicationStarted "replication has begun";
    4025 Information ReplicationStopped "replication has ended";
    4026 Information TargetPaused "a person has paused a target";
    4027 Information TargetResumed "a person has resumed a target";
    4044 Error ReplicationGivenUp "replication has ended by itself until it is started again, with the reason";
    4045 Error PortSetting "a port in DT.conf is outside 1025 to 65535: its default is used";
    4046 Error PortTaken "the service could not start, as it cannot listen on its port";
    4048 Information OrphansStarted "a search for orphans has begun";
    4049 Information OrphansPaused "a search for orphans was paused";
    4050 Information OrphansResumed "a search for orphans was resumed";
    4051 Information OrphansStopped "a search for orphans was stopped, or ended before it was complete";
    4052 Information OrphansCompleted "a search for orphans is complete";
    4058 Information VerifyStarted "a verification has begun";
    4059 Information VerifyPaused "a verification was paused";
    4060 Information VerifyResumed "a verification was resumed";
    4061 Information VerifyStopped "a verification was stopped";
    4062 Information VerifyCompleted "a verification has come to its end";
    4063 Information BandwidthLimit "the bandwidth limit to a target is another one";
    4064 Information BandwidthPeriod "the bandwidth limit to a target has entered a period of its schedule";
    4065 Warning TargetDataState "the target data state of a connection has changed";
    4110 Warning TargetDiskFull "the target cannot carry an operation out, as its disk is full; it is tried again";
    4111 Warning TargetInUse "the same, as the file is in use there";
    4112 Warning TargetDenied "the same, as access is denied there";
    4113 Warning TargetTrouble "the same, for another reason";
    4120 Information TargetRecovered "what is told by 4110 to 4113 has succeeded after all";
    4150 Error TargetGaveUp "an operation was given up after its last retry: the copy lacks it, and a mirror is required";
    4155 Warning Standstill "the target has applied nothing of what it took for five minutes";
    4200 Information TaskSubmitted "a task was submitted";
    4201 Warning TaskDropped "a task was dropped, with the reason";
    4202 Information TaskRuns "a program of a task begins to run";
    4203 Information TaskEnded "a program of a task has ended, with its exit code";
    4204 Error TaskFailed "a program of a task could not be run, or was ended by a signal";
    4205 Warning TaskTimedOut "a program of a task ran too long: its process group was killed";
    4206 Warning TaskNotWaitedFor "a program of a task is not waited for";
    4207 Warning TasksDisabled "a program of a task is not run, as this machine or its grant does not allow it";
    4408 Warning OrphansNotMoved "some orphans could not be moved";
    4409 Warning OrphansNotDeleted "some orphans could not be deleted";
    5700 Information JobCreated "a connection was made";
    5701 Information ProtectionStarted "a connection protects: replication has begun, or transmission was resumed";
    5702 Information ProtectionPaused "a connection does not protect: transmission was paused";
    5703 Information JobStopped "replication of a connection has ended";
    5704 Warning JobDeleted "a connection was disconnected";
    5709 Error GeneralError "a job of a connection has failed, with the reason";
    5712 Information CommunicationFine "source and target talk to each other again";
    5715 Error SourceLost "on a target: the line from a source is lost";
    5716 Error TargetLost "on a source: the line to its target is lost";
    5717 Information TargetReachable "on a source: its target is reached again";
    5718 Information SourceReachable "on a target: a source has come";
    11007 Warning VerifyErrors "a verification has found differences it left, or errors";
}

/// An event of the lists that this engine does not send.
#[derive(Clone, Copy, Debug)]
pub struct Unsent {
    pub first: u32,
    pub last: u32,
    pub severity: Option<Severity>,
    /// What it would say, and why it is not sent.
    pub why: &'static str,
}

const fn unsent(first: u32, last: u32, severity: Option<Severity>, why: &'static str) -> Unsent {
    Unsent { first, last, severity, why }
}

/// The events of linux-events.tsv and of backup.md P (4000 to 4411, 5500 to 5600, 11007) that are not sent.
pub const UNSENT: &[Unsent] = &[
    unsent(
        4012,
        4012,
        Some(Severity::Warning),
        "carries any warning: each warning of this engine has its own line in the log",
    ),
    unsent(4018, 4018, Some(Severity::Warning), "mirroring is off until a restore: restores are not built"),
    unsent(4028, 4043, None, "directory service, resource library and product code of Windows"),
    unsent(
        4047,
        4047,
        Some(Severity::Error),
        "a compression library is missing: compression is part of the program",
    ),
    unsent(4053, 4057, Some(Severity::Information), "restore tasks: restores are not built"),
    unsent(4066, 4066, Some(Severity::Error), "licence for virtual servers: there are no licences"),
    unsent(
        4067,
        4067,
        Some(Severity::Error),
        "the driver delivers nothing for long: the kernel's events cannot be told from a quiet file system",
    ),
    unsent(
        4068,
        4068,
        Some(Severity::Error),
        "a failed write on the source is its program's: no driver stands between",
    ),
    unsent(4096, 4101, None, "drivers, registry and activation of Windows"),
    unsent(4300, 4308, None, "path blocking is not built"),
    unsent(4400, 4407, None, "snapshots are not built"),
    unsent(4410, 4410, Some(Severity::Error), "there is no registry"),
    unsent(
        4411,
        4411,
        Some(Severity::Warning),
        "the firewall is the administrator's: the engine does not look at it",
    ),
    unsent(5500, 5508, Some(Severity::Warning), "mail is not built"),
    unsent(5600, 5600, Some(Severity::Warning), "mail is not built"),
    unsent(5705, 5705, Some(Severity::Warning), "failover is not built"),
    unsent(5706, 5706, Some(Severity::Warning), "reverse is not built"),
    unsent(5707, 5707, Some(Severity::Error), "there are no licences"),
    unsent(
        5708,
        5708,
        Some(Severity::Error),
        "no network between appliance, source and target: there is no appliance, and 5715 and 5716 tell of lost lines",
    ),
    unsent(
        5710,
        5710,
        Some(Severity::Error),
        "management communication: there is no separate management service",
    ),
    unsent(
        5711,
        5711,
        Some(Severity::Warning),
        "management communication: there is no separate management service",
    ),
    unsent(5713, 5713, Some(Severity::Error), "there are no licences"),
    unsent(5714, 5714, Some(Severity::Information), "there are no licences"),
];

impl Event {
    pub fn id(self) -> u32 {
        self as u32
    }
}

/// An event as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub event: Event,
    pub text: &'a str,
}

/// Sends an event to the log that this thread writes to, and to whoever else hears events of its engine.
pub fn tell(event: Event, text: &str) {
    if let Some(log) = route::current() {
        log.tell(event, text);
    }
}

impl EngineLog {
    /// The same for this log.
    pub fn tell(&self, event: Event, text: &str) {
        self.write(event.severity().kind(), event.id(), text);
        // What would break a line, or a mail's head, is gone for all that hear it.
        let text = escape::one_line(text);
        let told = Told { event, text: &text };
        let listeners = self.0.listeners.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        listeners.iter().for_each(|listener| listener(&told));
    }
}

/// `event!(Connected, "Connected to {}", target)`: tells it.
macro_rules! event {
    ($event:ident, $($text:tt)+) => {
        $crate::engine::log::tell($crate::engine::log::Event::$event, &format!($($text)+))
    };
}
pub(crate) use event;

#[cfg(test)]
mod tests;
