//! Failover, failback, restore (FOV, FBK).

use super::{ADMIN, Command, command};
use crate::commands::Family::Failover;

pub(super) const COMMANDS: &[Command] = &[
    command(Failover, "MONITOR CREATE <name>", ADMIN, "R", "Makes a failover monitor of a source.")
        .details("On the current target; the name is that of the source.")
        .examples(&["monitor create alpha"]),
    command(Failover, "MONITOR ADD <ip> [MASK <mask>] TO <name>", ADMIN, "R", "Adds an address to a monitor.")
        .examples(&["monitor add 192.0.2.7 mask 255.255.255.0 to alpha"]),
    command(Failover, "MONITOR REMOVE <ip> FROM <name>", ADMIN, "R", "Takes an address out of a monitor.")
        .examples(&["monitor remove 192.0.2.7 from alpha"]),
    command(
        Failover,
        "MONITOR MOVE <ip> TO <nic> IN <name>",
        ADMIN,
        "R",
        "Says on which network card of the target an address appears.",
    )
    .examples(&["monitor move 192.0.2.7 to eth1 in alpha"]),
    command(Failover, "MONITOR START|STOP|DELETE|DISPLAY <name>", ADMIN, "R", "Starts, stops, deletes or shows a monitor.")
        .examples(&["monitor start alpha"]),
    command(Failover, "MONITOR LIST", ADMIN, "R", "Lists the monitors.").examples(&["monitor list"]),
    command(
        Failover,
        "MONITOR OPTION <name> {INTERVAL = <seconds> | MISSED = <n> | ITEMS = MONITORED|ALL | TRIGGER = ALL|ONE | INTERVENTION = MANUAL|AUTOMATIC}... [ADDRESS <ip>]",
        ADMIN,
        "R",
        "Changes how a monitor decides.",
    )
    .details(
        "INTERVAL and MISSED hold per address, without ADDRESS for all. The others' defaults are the options \
         AllFailover, AllMustFail and UserIntervention.",
    )
    .examples(&["monitor option alpha interval = 5 missed = 3 trigger = one address 192.0.2.7"]),
    command(
        Failover,
        "MONITOR SCRIPT ADD <fail_point> = <path> [ARGS = <arguments>] [DELAY | NODELAY] [DEFAULT] TO <name>",
        ADMIN,
        "R",
        "Runs a script at a point of failover or failback.",
    )
    .details("DEFAULT: for future monitors too.")
    .examples(&["monitor script add postfailover = /usr/local/bin/up delay to alpha"]),
    command(Failover, "MONITOR SCRIPT REMOVE <fail_point> FROM <name>", ADMIN, "R", "Takes a script out of a monitor.")
        .examples(&["monitor script remove postfailover from alpha"]),
    command(Failover, "MONITOR SCRIPT LIST <name>", ADMIN, "R", "Lists a monitor's scripts.")
        .examples(&["monitor script list alpha"]),
    command(Failover, "FAILOVER <name> [DATA APPLY|FLUSH|REVERT]", ADMIN, "R", "Fails a source over to the target.")
        .examples(&["failover alpha", "failover alpha data apply"]),
    command(Failover, "FAILOVER <name> CANCEL", ADMIN, "X", "Answers the waiting prompt: no failover.")
        .examples(&["failover alpha cancel"]),
    command(Failover, "FAILBACK <name> [REMONITOR | NOREMONITOR]", ADMIN, "R", "Gives a source its names and addresses back.")
        .details("With neither word the question stays open until the same command with one of them answers it.")
        .examples(&["failback alpha remonitor"]),
    command(
        Failover,
        "RESTORE <repset> FROM <target> TO <machine> [ORIGINAL <source>] [OVERWRITE | NOOVERWRITE] [NEWER] [CHECKSUM] [REPLICATE] [RESTOREREPSET] [USETARGETDB | NOTARGETDB] [<map>] [ROUTE <address>] [ORPHANS]",
        ADMIN,
        "R",
        "Copies data back from the target.",
    )
    .details("Returns the restoration connection's ID.")
    .examples(&["restore payroll from beta to alpha original gamma nooverwrite newer map exact"]),
];
