//! A snapshot: each statistic read from where it is counted.

use super::Counts;
use crate::api::statistics::{Block, Section, Snapshot, Statistic, Value};
use crate::engine::Engine;
use crate::engine::connection::status::{flags, permille, status};
use crate::engine::connection::{DataState, Info, Stage, View, Work};
use crate::engine::replication::ReplicationShared;
use crate::sys;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Modules run for as long as the engine does; changes are told by the kernel itself, so no driver has to be loaded.
const RUNS_WITH_CAPTURE: u64 = 2;
const RUNS: u64 = 1;

/// conBandwidthLimit where there is none: the guide's 32 bits of ones.
const UNLIMITED: u64 = u32::MAX as u64;

impl Engine {
    /// All statistics as they are now.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_of(self.standing())
    }

    /// The same, with this connection as its own task has it: others may not see that yet, or not any more.
    pub(in crate::engine) fn snapshot_with(&self, info: &Arc<Info>, view: &View) -> Snapshot {
        let mut standing = self.standing();
        standing.retain(|(_, other)| other.id != info.id);
        standing.push((view.clone(), Arc::clone(info)));
        standing.sort_by_key(|(_, info)| info.id);
        self.snapshot_of(standing)
    }

    pub(in crate::engine) fn statistics_limit(&self) -> u64 {
        self.kept.settings.statistics().limit
    }

    fn standing(&self) -> Vec<(View, Arc<Info>)> {
        let connections = self.connections();
        connections.iter().map(|connection| (connection.view(), Arc::clone(&connection.info))).collect()
    }

    fn snapshot_of(&self, connections: Vec<(View, Arc<Info>)>) -> Snapshot {
        let at_ms = self.clock.wall_ms();
        let replications = || connections.iter().filter_map(|(view, _)| view.state.stage.shared());
        let sum = |count: fn(&ReplicationShared) -> &AtomicU64| -> u64 {
            replications().map(|shared| count(shared).load(Relaxed)).sum()
        };
        let all = &*self.statistics;
        let read = |count: &AtomicU64| Value::Number(count.load(Relaxed));
        let targets = all.targets();
        let handles: u64 = targets.iter().map(|(_, received)| received.now().handles).sum();
        let throttled = replications().map(|shared| shared.queue_percent.load(Relaxed)).max().unwrap_or(0);
        let (replicated, mirrored) = (all.replicated.read(), all.mirrored.read());
        use Statistic::*;
        let mut blocks = vec![
            Block::new(
                Section::General,
                vec![
                    (Stamp, Value::Moment(at_ms)),
                    (SystemAllocator, sys::own_memory().into()),
                    (QueueAllocator, sum(|shared| &shared.memory_queue).into()),
                ],
            ),
            Block::new(
                Section::Security,
                vec![(Logins, read(&all.logins)), (FailedLogins, read(&all.failed_logins))],
            ),
            Block::new(
                Section::Kernel,
                vec![
                    (SourceState, RUNS_WITH_CAPTURE.into()),
                    (TargetState, RUNS.into()),
                    (StartTime, Value::Moment(all.started_ms)),
                    (RepOpsGenerated, read(&all.logged)),
                    (RepBytesGenerated, replicated.bytes.into()),
                    (MirOpsGenerated, mirrored.operations.into()),
                    (MirBytesGenerated, mirrored.bytes.into()),
                    (FailedMirrorCount, read(&all.unmirrored)),
                    (FailedRepCount, read(&all.unreplicated)),
                    // There is no licence key that could fail.
                    (ActFailCount, 0.into()),
                    (TargetOpenHandles, handles.into()),
                    (DriverQueuePercent, throttled.into()),
                ],
            ),
        ];
        for ((peer, local), received) in &targets {
            let now = received.now();
            blocks.push(Block::new(
                Section::Target,
                vec![
                    (PeerAddress, peer.to_string().into()),
                    (LocalAddress, local.to_string().into()),
                    (OpsReceived, read(&received.operations)),
                    (MirrorOpsReceived, read(&received.mirror_operations)),
                    (Retries, read(&received.retries)),
                    (OpsDropped, read(&received.dropped)),
                    (OpsRemaining, now.operations.into()),
                    (OrphanFilesRemoved, read(&received.orphan_files)),
                    (OrphanDirectoriesRemoved, read(&received.orphan_directories)),
                    (OrphanBytesRemoved, read(&received.orphan_bytes)),
                    (TargetQueueBytes, now.memory.into()),
                    (TargetDiskQueueBytes, now.disk.into()),
                    (TasksSucceeded, read(&received.tasks_succeeded)),
                    (TasksFailed, read(&received.tasks_failed)),
                    (TasksIgnored, read(&received.tasks_ignored)),
                ],
            ));
        }
        blocks.push(Block::new(
            Section::Source,
            vec![
                (AutoDisconnects, read(&all.disconnects)),
                (AutoReconnects, read(&all.reconnects)),
                (LastFileTouched, all.last_file()),
            ],
        ));
        // What the guide calls a sum over all connected targets.
        let sent = connections.iter().map(|(_, info)| {
            let traffic = &info.traffic;
            let spared: u64 = traffic.spared.iter().map(|spared| spared.load(Relaxed)).sum();
            (Counts::all(&traffic.counts.sent), spared)
        });
        let (operations, bytes, spared) = sent.fold((0, 0, 0), |(operations, bytes, sum), (load, spared)| {
            (operations + load.operations, bytes + load.bytes, sum + spared)
        });
        for (view, info) in &connections {
            let mut block = self.connection_block(info, view, at_ms);
            block.values.extend([
                (ConOpsTx, operations.into()),
                (ConBytesTx, bytes.into()),
                (ConBytesCompressedTx, bytes.saturating_sub(spared).into()),
            ]);
            block.values.sort_by_key(|(statistic, _)| *statistic);
            blocks.push(block);
        }
        Snapshot { at_ms, blocks }
    }

    /// All of a connection but what is summed.
    fn connection_block(&self, info: &Info, view: &View, at_ms: i64) -> Block {
        let state = &view.state;
        let counts = &info.traffic.counts;
        let queues = Queues::of(info, view);
        let words = status(info, view);
        let acknowledged = Counts::all(&counts.acknowledged);
        let unanswered = counts.mirror_under_way().operations + counts.under_way(1).operations;
        let job = state.running.as_ref().map(|running| &running.shared);
        let job = job.or(state.last.as_ref().filter(|(work, ..)| *work == Work::Mirror).map(|(.., job)| job));
        let tasks = self.tasks.counts_for(info.id);
        let limit = info.transmission.in_force().0.map_or(UNLIMITED, |limit| limit.kbit());
        let equal = self.equal_at(info, view, at_ms);
        let lag = at_ms.saturating_sub(equal.unwrap_or(info.established_ms)) / 1000;
        let moment = |at: &AtomicI64| some_moment(Some(at.load(Relaxed)).filter(|at| *at > 0));
        use Statistic::*;
        Block {
            section: Section::Connection,
            connection: Some(info.id),
            values: vec![
                (ConPeerAddress, peer(&info.target_address).into()),
                (ConnectTime, Value::Moment(info.established_ms)),
                (ConState, flags(info, state).into()),
                (ConOpsInCmdQueue, (queues.replication_operations + queues.mirror_operations).into()),
                (ConOpsInAckQueue, unanswered.into()),
                (ConOpsInRepQueue, queues.replication_operations.into()),
                (ConOpsInMirQueue, queues.mirror_operations.into()),
                (ConBytesInRepQueue, words.replication_bytes_queued.into()),
                (ConBytesInMirQueue, words.mirror_bytes_queued.into()),
                (ConOpsRx, acknowledged.operations.into()),
                (ConBytesRx, acknowledged.bytes.into()),
                (ConResentOpCount, counts.resent.load(Relaxed).into()),
                (ConBytesInDiskQueue, queues.disk.into()),
                (ConBandwidthLimit, limit.into()),
                (ConBytesSkipped, words.mirror_bytes_skipped.into()),
                (ConMirrorBytesRemaining, words.mirror_bytes_remaining.into()),
                (ConMirrorPercent, job.and_then(|job| permille(job)).into()),
                (ConTaskCmdsSubmitted, tasks.submitted.into()),
                (ConTaskCmdsQueued, tasks.queued.into()),
                (ConTasksSucceeded, tasks.succeeded.into()),
                (ConTasksFailed, tasks.failed.into()),
                (ConTasksIgnored, tasks.ignored.into()),
                (ConRpt, some_moment(equal)),
                (ConRpl, u64::try_from(lag).unwrap_or(0).into()),
                (ConCurrentTime, Value::Moment(at_ms)),
                (ConMirrorStartTime, moment(&counts.mirror_began_ms)),
                (ConMirrorEndTime, moment(&counts.mirror_ended_ms)),
            ],
        }
    }

    /// When source and target were equal last, milliseconds since 1970: now, while the copy is whole and nothing is known that it lacks.
    /// None: not since this engine began.
    fn equal_at(&self, info: &Info, view: &View, at_ms: i64) -> Option<i64> {
        let state = &view.state;
        let quiet = state.running.is_none() && state.data == DataState::Ok;
        match &state.stage {
            Stage::On(replication)
                if quiet && state.replication_word() == "Ready" && replication.is_all_applied() =>
            {
                info.traffic.counts.is_equal(at_ms);
                Some(at_ms)
            }
            _ => info.traffic.counts.equal_ms().max(info.settled.equal_ms()).map(|at| at.min(at_ms)),
        }
    }
}

/// What waits on the source for a connection.
pub(super) struct Queues {
    pub replication_operations: u64,
    /// Sent, and not dealt with by the target: a mirror reads no more than it can send.
    pub mirror_operations: u64,
    /// Bytes.
    pub memory: u64,
    pub disk: u64,
}

impl Queues {
    pub(super) fn of(info: &Info, view: &View) -> Queues {
        let replication = view.state.stage.shared();
        let count = |of: fn(&ReplicationShared) -> &AtomicU64| {
            replication.map_or(0, |shared| of(shared).load(Relaxed))
        };
        Queues {
            replication_operations: count(|shared| &shared.ops_queued),
            mirror_operations: info.traffic.counts.mirror_under_way().operations,
            memory: count(|shared| &shared.memory_queue),
            disk: count(|shared| &shared.disk_queue),
        }
    }
}

fn some_moment(at: Option<i64>) -> Value {
    at.map_or(Value::Unknown, Value::Moment)
}

/// The other side's address without its port (`conPeerAddress`; reference-guide.md 14).
pub(super) fn peer(address: &str) -> String {
    match address.rsplit_once(':') {
        Some((ip, _)) => ip.trim_matches(['[', ']']).to_owned(),
        None => address.to_owned(),
    }
}
