//! Mirror, replication, verify, orphans.

use super::schedules::{every, start_time};
use super::{ADMIN, Command, MONITOR, command};
use crate::api::{
    ApiError, MirrorKind, MirrorSpec, OrphanSpec, Reply, Request, VerifyScheduleSpec, VerifySpec,
};
use crate::commands::Family::Mirror;
use crate::commands::session::unexpected;
use crate::commands::{Args, Outcome, Session, dry_run, each, show};

pub(super) const COMMANDS: &[Command] = &[
    command(
        Mirror,
        "MIRROR START <con_id> [FULL | DIFFERENT] [NEWER] [CHECKSUM] [CALCULATE] [ORPHANS] [CLEAN] [DRYRUN]",
        ADMIN,
        "R (the name CLEAN G)",
        "Starts a mirror.",
    )
    .details(
        "FULL, the default, sends every file. DIFFERENT sends the files whose date, time or size differ, with NEWER \
         those that are newer on the source, with CHECKSUM only the blocks that differ; NEWER or CHECKSUM alone mean \
         DIFFERENT. CALCULATE measures the set first, ORPHANS removes what is on the target only; inside one machine also in each later \
         mirror and verification of whichever connection (CONNECT ... NOORPHANS ends that). CLEAN empties the \
         connection's target paths first, where the option Cleaner is 1 (else -146). DRYRUN names each file that would \
         be sent with the reason and sends nothing. Refuses while a mirror runs (-113).",
    )
    .examples(&["mirror start 1", "mirror start $con different checksum", "mirror start * dryrun different"])
    .run(mirror_start),
    command(Mirror, "MIRROR STOP|PAUSE|RESUME <con_id>", ADMIN, "R", "Stops, pauses or resumes a mirror.")
        .details("STOP forgets how far it came, PAUSE keeps it. -121 if no mirror runs, -117 if none is paused.")
        .examples(&["mirror stop 1", "mirror pause *", "mirror resume $con"])
    .run(mirror_steer),
    command(
        Mirror,
        "REPLICATION START|STOP <con_id>",
        ADMIN,
        "R (the name START D)",
        "Starts or stops real-time replication.",
    )
    .details(
        "CONNECT starts it by itself. After a start by hand a mirror is needed: the target data state is Mirror \
         Required and the replication status Pending until one has run. Where replication is held and waits for a \
         person (most of the copy would be removed; a set's root is gone, was replaced or renamed), START lets it go on; \
         STATUS CON says what is held and what going on does. -125 if it replicates and nothing is held. STOP sends what \
         is queued first; later changes are not kept, so a mirror is needed then, too. -126 if it does not replicate, \
         -108 while a mirror or verification uses its stream.",
    )
    .examples(&["replication start 1", "replication stop 1", "replication start *"])
    .run(replication),
    command(
        Mirror,
        "VERIFY <con_id> [REMIRROR] [NEWER] [CHECKSUM] [ORPHANS]",
        ADMIN,
        "R",
        "Compares source and target.",
    )
    .details(
        "Not during a mirror (-108). REMIRROR sends what differs; NEWER and CHECKSUM choose what counts as different. \
         ORPHANS removes what is on the target only, as MIRROR START does. \
         The log is `<repset> DTVerify.log` on the source. WAITONMIRROR waits for its end, VERIFY REPORT shows it.",
    )
    .examples(&["verify 1", "verify $con remirror checksum"])
    .run(verify),
    command(Mirror, "VERIFY STOP|PAUSE|RESUME <con_id>", ADMIN, "X", "Stops, pauses or resumes a verification.")
        .details("A stopped run's log still gets its totals and end marker.")
        .examples(&["verify stop 1"])
    .run(verify_steer),
    command(Mirror, "VERIFY REPORT <con_id>", MONITOR, "X", "Shows the last verification's totals and differing files.")
        .examples(&["verify report 1"])
    .run(verify_report),
    command(
        Mirror,
        "SCHEDULE VERIFY <con_id> [STARTTIME = {NOW | <mm/dd/yy> <hh:mm>}] [EVERY <n> <units>] [REMIRROR] [NEWER] [CHECKSUM]",
        ADMIN,
        "G",
        "Verifies a connection at set times.",
    )
    .details(
        "STARTTIME is the first time, a local one, or NOW, the default; EVERY repeats it: days at the same time of day the whole year, smaller \
         units evenly. Without EVERY there is one verification. REMIRROR, NEWER and CHECKSUM are those of VERIFY. It waits for a mirror \
         that runs, and while nothing is to be sent. One that was missed is made good once. One that fails is tried again after \
         VerifyRetryInterval minutes, VerifyRetryLimit times; differences are no failure. STATUS CON and SCHEDULE <target> LIST show it; \
         it goes on when the service is started again. The command again sets it anew.",
    )
    .examples(&["schedule verify 1 starttime = now every 1 days remirror", "schedule verify 1 starttime=11/30/26 22:30"])
    .run(schedule_verify),
    command(Mirror, "SCHEDULE VERIFY <con_id> CLEAR", ADMIN, "G", "Ends scheduled verification.")
        .details("One that runs goes on; VERIFY STOP ends it.")
        .examples(&["schedule verify 1 clear"])
    .run(schedule_verify_clear),
    command(
        Mirror,
        "ORPHANS START|STOP|PAUSE|RESUME|PREVIEW <con_id>",
        ADMIN,
        "R, PAUSE X",
        "Removes or lists files that are on the target only.",
    )
    .details(
        "Orphans are files and directories that are in the target's copy and not in the set on the source. PREVIEW lists them in the \
         target's log, START deletes them, or moves them to MoveOrphansDir where MoveOrphanedFiles is 1; both name the same ones. STOP, PAUSE and \
         RESUME steer either; STOP keeps what has not gone yet. What a rule excludes is kept; where a rule includes a wildcard, \
         what does not match it goes. With RemoveAllOrphans 0 only what was not modified for RemoveOrphansTime minutes goes. The target's log has \
         the number of files, directories and bytes, and with LogAllOrphans 1 each name. More than the share MassDeletionGuard of the \
         copy never goes. Not during a mirror or verification (-108). For ORPHANS of CONNECT, MIRROR START and VERIFY see there.",
    )
    .examples(&["orphans preview 1", "orphans start $con", "orphans stop 1"])
    .run(orphans),
];

/// FULL by default; with NEWER or CHECKSUM alone DIFFERENT.
pub(super) fn mirror_kind(args: &Args) -> MirrorKind {
    let different = args.has("DIFFERENT") || args.has("NEWER") || args.has("CHECKSUM");
    if different && !args.has("FULL") { MirrorKind::Different } else { MirrorKind::Full }
}

fn mirror_start(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let mirror = MirrorSpec {
        kind: mirror_kind(args),
        newer: args.has("NEWER"),
        checksum: args.has("CHECKSUM"),
        calculate: args.has("CALCULATE"),
        orphans: args.has("ORPHANS"),
        clean: args.has("CLEAN"),
        dry_run: args.has("DRYRUN"),
    };
    each::connection(session, args, |session, machine, connection| {
        let request = Request::MirrorStart { connection, mirror };
        if mirror.dry_run { dry_run::ask(session, machine, request) } else { session.order(machine, request) }
    })
}

fn mirror_steer(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let word = args.which(&["STOP", "PAUSE", "RESUME"]);
    each::connection(session, args, |session, machine, connection| {
        let request = match word {
            Some("STOP") => Request::MirrorStop { connection },
            Some("PAUSE") => Request::MirrorPause { connection },
            _ => Request::MirrorResume { connection },
        };
        session.order(machine, request)
    })
}

fn replication(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let start = args.has("START");
    each::connection(session, args, |session, machine, connection| {
        let request = match start {
            true => Request::ReplicationStart { connection },
            false => Request::ReplicationStop { connection },
        };
        session.order(machine, request)
    })
}

fn verify(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let verify = VerifySpec {
        remirror: args.has("REMIRROR"),
        newer: args.has("NEWER"),
        checksum: args.has("CHECKSUM"),
        orphans: args.has("ORPHANS"),
    };
    each::connection(session, args, |session, machine, connection| {
        session.order(machine, Request::Verify { connection, verify })
    })
}

fn verify_steer(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let word = args.which(&["STOP", "PAUSE", "RESUME"]);
    each::connection(session, args, |session, machine, connection| {
        let request = match word {
            Some("STOP") => Request::VerifyStop { connection },
            Some("PAUSE") => Request::VerifyPause { connection },
            _ => Request::VerifyResume { connection },
        };
        session.order(machine, request)
    })
}

fn schedule_verify(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let schedule = VerifyScheduleSpec {
        time: start_time(args)?,
        every: every(args)?,
        verify: VerifySpec {
            remirror: args.has("REMIRROR"),
            newer: args.has("NEWER"),
            checksum: args.has("CHECKSUM"),
            orphans: false,
        },
    };
    each::connection(session, args, |session, machine, connection| {
        session.order(machine, Request::ScheduleVerify { connection, schedule: Some(schedule.clone()) })
    })
}

fn schedule_verify_clear(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    each::connection(session, args, |session, machine, connection| {
        session.order(machine, Request::ScheduleVerify { connection, schedule: None })
    })
}

fn orphans(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let word = args.which(&["START", "STOP", "PAUSE", "RESUME", "PREVIEW"]);
    each::connection(session, args, |session, machine, connection| {
        let request = match word {
            Some("STOP") => Request::OrphansStop { connection },
            Some("PAUSE") => Request::OrphansPause { connection },
            Some("RESUME") => Request::OrphansResume { connection },
            word => Request::Orphans { connection, orphans: OrphanSpec { preview: word == Some("PREVIEW") } },
        };
        session.order(machine, request)
    })
}

fn verify_report(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    each::connection(session, args, |session, machine, connection| {
        match session.ask(machine, Request::VerifyReport { connection })? {
            Reply::Verify(report) => Ok(Outcome::show(show::verify(&report))),
            _ => Err(unexpected()),
        }
    })
}
