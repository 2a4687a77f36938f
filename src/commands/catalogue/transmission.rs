//! Transmission (TRN). The scope is source and target address together.

use super::schedules::{
    bandwidth_add, bandwidth_remove, bandwidth_schedule, bandwidths, limit, schedule, schedule_clear,
    schedule_end, schedule_start, schedule_window,
};
use super::{ADMIN, Command, command};
use crate::api::{ApiError, CompressionChange, Reply, Request, TransmissionStep};
use crate::commands::Family::Transmission;
use crate::commands::session::unexpected;
use crate::commands::{Args, Outcome, Session, show};

pub(super) const COMMANDS: &[Command] = &[
    command(
        Transmission,
        "TRANSMISSION START|STOP|PAUSE|RESUME <target>",
        ADMIN,
        "R",
        "Starts, stops, pauses or resumes sending to a target.",
    )
    .details(
        "It holds for all connections of the source to that target's address. STOP drops the network connection, PAUSE keeps it; \
         changes are queued meanwhile, in memory and on disk, and a mirror stands still. START and RESUME go on with what is queued. \
         It stays so over restarts until it is started again. When there is nothing to do it is -153 or -154.",
    )
    .examples(&["transmission pause beta", "transmission start beta"])
    .run(transmission),
    command(Transmission, "COMPRESSION ENABLE|DISABLE FOR <target>", ADMIN, "R", "Turns compression on or off.")
        .details(
            "It holds for all connections of the source to that target's address, and is off by default. What is sent to another \
             machine is compressed as one stream; files below MinCompressionFileSize, those whose extension stands in \
             SkipCompressionFileExt, and what a sample shows to be compressed already go as they are. What stays on this machine is \
             never compressed.",
        )
        .examples(&["compression enable for beta"])
        .run(compression),
    command(Transmission, "COMPRESSION SET <level>|AUTO FOR <target>", ADMIN, "R", "Chooses the level of compression.")
        .details(
            "zstd levels 1 to 19. With AUTO (X), which it is until a level is set, the level rises while what is queued waits for the \
             line, and falls while it waits for the compressor or the machine is busy (85 percent). It does not turn compression on.",
        )
        .examples(&["compression set 3 for beta", "compression set auto for beta"])
        .run(compression),
    command(Transmission, "COMPRESSION LIST", ADMIN, "R", "Shows the compression of each target.")
        .details("State and level, and what the connections to it have sent: as it was, and as it was compressed.")
        .examples(&["compression list"])
        .run(compressions),
    command(
        Transmission,
        "LIMIT BANDWIDTH <bytes>[,] <seconds> TO <target>",
        ADMIN,
        "D",
        "Limits what is sent to so many bytes in so many seconds.",
    )
    .details(
        "No span of that length holds more, and all of it may leave at once. It holds for all connections of the source to that target's \
         address together, counts what goes over the wire after compression and encryption, and takes effect at once. The rate is kept \
         in kilobits (1000 bits) per second, 1 at least; 3500 bytes a second or more are advised. What does not leave this machine \
         is not limited. While the target's bandwidth schedule is enabled and has entries, those decide instead.",
    )
    .examples(&["limit bandwidth 1000000, 10 to beta", "limit bandwidth 1000000 10 to beta"])
    .run(limit),
    command(Transmission, "LIMIT BANDWIDTH <n> KBIT|MBIT TO <target>", ADMIN, "X", "Limits what is sent to a rate.")
        .details("It leaves evenly, and no second holds more. KBIT are 1000 bits per second, MBIT 1000000.")
        .examples(&["limit bandwidth 10 mbit to beta"])
        .run(limit),
    command(
        Transmission,
        "LIMIT BANDWIDTH <percent> PERCENT OF <n> KBIT|MBIT TO <target>",
        ADMIN,
        "X",
        "Limits what is sent to a share of a line.",
    )
    .details("Only the rate is kept, not the share and the line's capacity.")
    .examples(&["limit bandwidth 60 percent of 100 mbit to beta"])
    .run(limit),
    command(Transmission, "LIMIT BANDWIDTH OFF TO <target>", ADMIN, "X", "Lifts the limit.")
        .details("The bandwidth schedule stays as it is.")
        .examples(&["limit bandwidth off to beta"])
        .run(limit),
    command(Transmission, "LIMIT BANDWIDTH LIST", ADMIN, "X", "Shows the limit in force for each target.")
        .details("And what says so: always, or an entry of the bandwidth schedule.")
        .examples(&["limit bandwidth list"])
        .run(bandwidths),
    command(
        Transmission,
        "LIMIT BANDWIDTH SCHEDULE ADD <label> DAYS = <day>[, <day>]... STARTTIME = <hh:mm> LIMIT = {<bytes>[,] <seconds> | UNLIMITED} TO <target>",
        ADMIN,
        "D",
        "Adds an entry to a target's bandwidth schedule.",
    )
    .details(
        "An entry holds until the next one begins, over the week's end, too; times are local ones. While the schedule is enabled it \
         decides in place of the limit at all times. -2301 if an entry begins at that time of one of these days, -2302 if the label is \
         taken, -2304 for what is no day, -2305 for what is no label.",
    )
    .examples(&[
        "limit bandwidth schedule add night days = mo, tu, wednesday starttime = 22:00 limit = unlimited to beta",
        "limit bandwidth schedule add day days=mo starttime=08:00 limit=500000 1 to beta",
    ])
    .run(bandwidth_add),
    command(
        Transmission,
        "LIMIT BANDWIDTH SCHEDULE REMOVE <label> TO <target>",
        ADMIN,
        "R",
        "Takes an entry out of a target's bandwidth schedule.",
    )
    .details("-2303 if there is none of that label.")
    .examples(&["limit bandwidth schedule remove night to beta"])
    .run(bandwidth_remove),
    command(
        Transmission,
        "LIMIT BANDWIDTH SCHEDULE CLEAR|ENABLE|DISABLE|LIST TO <target>",
        ADMIN,
        "R",
        "Clears, turns on or off, or lists a target's bandwidth schedule.",
    )
    .details("DISABLE keeps the entries; the limit at all times decides then. LIST shows which entry holds now. -2303 if there is none to enable or disable.")
    .examples(&["limit bandwidth schedule list to beta", "limit bandwidth schedule disable to beta"])
    .run(bandwidth_schedule),
    command(
        Transmission,
        "SCHEDULE <target> START [STARTTIME = <mm/dd/yy> <hh:mm>] [MEMLIMIT = <percent>] [QUEUESIZE = <bytes>] [EVERY <n> <units>]",
        ADMIN,
        "D",
        "Says when sending to a target starts.",
    )
    .details(
        "Any combination, at least one; it takes the place of what was said before. Nothing is sent until one of them starts a session, which \
         ends when nothing is queued, or as SCHEDULE END says; meanwhile the network connection is closed, and the transmit mode is \
         Scheduled. Before the start time the thresholds start nothing, either. EVERY repeats the start time (alone: from now on): days at \
         the same local time, smaller units evenly. MEMLIMIT is the percentage of the queue's memory or disk space in use, QUEUESIZE bytes \
         that are queued. Starts during a session are part of it; one that was missed is made good once, inside the window. It is looked \
         at each second (ScheduleInterval). TRANSMISSION START sends at once.",
    )
    .one_of(&["STARTTIME", "MEMLIMIT", "QUEUESIZE", "EVERY"])
    .examples(&["schedule beta start starttime = 11/30/26 22:30 every 1 days", "schedule beta start memlimit=80"])
    .run(schedule_start),
    command(
        Transmission,
        "SCHEDULE <target> END [DURATION = <duration>] [BYTES = <bytes>]",
        ADMIN,
        "R",
        "Says when sending to a target ends.",
    )
    .details(
        "At least one of them; it takes the place of what was said before. A session ends after that time, or when so many bytes went over \
         the wire, in the midst of a file, too; the rest waits for the next one. Where nothing starts a session it begins at once, and \
         the next one with TRANSMISSION START.",
    )
    .one_of(&["DURATION", "BYTES"])
    .examples(&["schedule beta end duration = 2 hours", "schedule beta end bytes = 1000000"])
    .run(schedule_end),
    command(
        Transmission,
        "SCHEDULE <target> WINDOW <hh:mm> TO <hh:mm>",
        ADMIN,
        "R",
        "Bounds the times at which a target is sent to.",
    )
    .details(
        "Outside it nothing is ever sent, whatever else would start it, TRANSMISSION START included. It starts nothing: SCHEDULE START says \
         when within it. It may cross midnight; times are local ones.",
    )
    .examples(&["schedule beta window 22:00 to 06:00"])
    .run(schedule_window),
    command(
        Transmission,
        "SCHEDULE <target> ENABLE|DISABLE|CLEAR|LIST",
        ADMIN,
        "R",
        "Turns a target's schedule on or off, clears or lists it.",
    )
    .details(
        "DISABLE keeps all of it, and the target is sent to at any time. LIST shows what is set, what it does now, and the next start. -128 if \
         there is none to enable or disable, -188 or -187 if it is so already. Bandwidth limits have commands of their own.",
    )
    .examples(&["schedule beta list", "schedule beta disable"])
    .run(schedule),
    command(
        Transmission,
        "SCHEDULE <target> START|END|WINDOW CLEAR",
        ADMIN,
        "R",
        "Clears one part of a target's schedule.",
    )
    .examples(&["schedule beta end clear"])
    .run(schedule_clear),
];

fn transmission(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let step = match args.which(&["START", "STOP", "PAUSE"]) {
        Some("START") => TransmissionStep::Start,
        Some("STOP") => TransmissionStep::Stop,
        Some("PAUSE") => TransmissionStep::Pause,
        _ => TransmissionStep::Resume,
    };
    let machine = session.machine(args)?;
    session.order(&machine, Request::Transmission { target: args.text("target")?, step })
}

fn compression(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let change = match args.which(&["ENABLE", "DISABLE", "AUTO"]) {
        Some("ENABLE") => CompressionChange::Enable,
        Some("DISABLE") => CompressionChange::Disable,
        Some(_) => CompressionChange::Auto,
        // Its range was checked; what is out of it is told by the machine, too.
        None => CompressionChange::Level(u8::try_from(args.number("level")?).unwrap_or(u8::MAX)),
    };
    let machine = session.machine(args)?;
    session.order(&machine, Request::Compression { target: args.text("target")?, change })
}

fn compressions(session: &mut Session, args: &Args) -> Result<Outcome, ApiError> {
    let machine = session.machine(args)?;
    match session.ask(&machine, Request::Compressions)? {
        Reply::Compressions(lines) => Ok(Outcome::show(show::compressions(&lines))),
        _ => Err(unexpected()),
    }
}
