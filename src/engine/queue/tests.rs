use super::faults::{Faults, UNLIMITED};
use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

const NOW: Option<Duration> = Some(Duration::ZERO);

/// 8 blocks of 128 bytes in memory, files of some blocks, no other limit.
fn tiny() -> QueueSettings {
    QueueSettings {
        memory_max_bytes: 1024,
        to_disk_percent: 100,
        file_size_bytes: 512,
        space_max: None,
        free_min_bytes: 0,
        alert_percent: 50,
        write_through: false,
        op_limit: 0,
    }
}

fn memory_only() -> QueueSettings {
    QueueSettings { space_max: Some(0), ..tiny() }
}

fn open(settings: &QueueSettings) -> (Queue, Faults) {
    let fs = Faults::default();
    (Queue::open(settings, "/q/c1".into(), Arc::new(fs.clone())), fs)
}

/// The content of the record at a position: its number, and of differing length.
fn content(position: u64) -> Vec<u8> {
    let mut content = position.to_string().into_bytes();
    content.resize(20 + position as usize % 40, b'.');
    content
}

fn fill(queue: &Queue, records: u64) {
    for _ in 0..records {
        let next = queue.shared.counters.pushed.load(Acquire) + 1;
        assert_eq!(queue.push(&content(next), next), Ok(next));
    }
}

/// Fills until something is refused: how many were taken, and why no more.
fn fill_up(queue: &Queue) -> (u64, Full) {
    for taken in 0..1_000_000 {
        let next = queue.shared.counters.pushed.load(Acquire) + 1;
        if let Err(full) = queue.push(&content(next), next) {
            return (taken, full);
        }
    }
    panic!("it took a million records");
}

fn pop(queue: &Queue) -> Result<Popped, Damaged> {
    queue.pop(&mut Vec::new(), NOW)
}

/// Takes the records with exactly these positions, each whole.
fn expect(queue: &Queue, positions: impl IntoIterator<Item = u64>) {
    let mut into = Vec::new();
    for position in positions {
        let popped = queue.pop(&mut into, NOW);
        assert_eq!(popped, Ok(Popped::Record { position, bytes: position }));
        assert_eq!(into, content(position), "record {position}");
        queue.done(position);
    }
}

fn expect_empty(queue: &Queue) {
    assert_eq!(pop(queue), Ok(Popped::Nothing));
    assert!(queue.is_idle());
    assert_eq!(queue.usage().records, 0);
    assert_eq!(queue.usage().bytes, 0);
}

/// Pops until the damage is reported: the positions that came before it.
fn until_damaged(queue: &Queue) -> (Vec<u64>, Damaged) {
    let mut good = Vec::new();
    loop {
        match pop(queue) {
            Ok(Popped::Record { position, .. }) => {
                good.push(position);
                queue.done(position);
            }
            Ok(other) => panic!("{other:?} instead of damage, after {good:?}"),
            Err(damaged) => return (good, damaged),
        }
    }
}

// --- memory ---------------------------------------------------------------------------------------------

#[test]
fn records_come_out_as_they_went_in_without_any_file() {
    let (queue, fs) = open(&tiny());
    expect_empty(&queue);
    fill(&queue, 10);
    assert!(!queue.is_idle());
    let usage = queue.usage();
    assert_eq!((usage.records, usage.bytes, usage.disk_bytes), (10, 55, 0));
    expect(&queue, 1..=10);
    expect_empty(&queue);
    assert_eq!(fs.lock().made, 0);
}

#[test]
fn given_out_is_not_yet_done() {
    let (queue, _) = open(&tiny());
    fill(&queue, 2);
    pop(&queue).unwrap();
    pop(&queue).unwrap();
    assert_eq!(queue.usage().under_way, 2);
    queue.done(1);
    assert!(!queue.is_idle());
    queue.done(7);
    assert!(queue.is_idle());
    fill(&queue, 1);
    assert!(!queue.is_idle(), "nobody can have done what was not given out");
}

/// QUE-03: 0 disables disk queuing.
#[test]
fn without_a_disk_the_memory_is_the_limit() {
    let (queue, fs) = open(&memory_only());
    let (taken, full) = fill_up(&queue);
    assert_eq!(full, Full::Memory { limit: 1024 });
    assert!(taken >= 10, "{taken}");
    assert!(queue.usage().memory_bytes <= 1024);
    expect(&queue, 1..=taken);
    expect_empty(&queue);
    let (again, _) = fill_up(&queue);
    assert!(again >= 8, "a record at least in each block: {again}");
    expect(&queue, taken + 1..=taken + again);
    assert_eq!(fs.lock().made, 0);
}

#[test]
fn an_idle_queue_gives_its_memory_back() {
    let (queue, _) = open(&memory_only());
    fill_up(&queue);
    while pop(&queue) != Ok(Popped::Nothing) {}
    assert!(queue.usage().memory_bytes > 0, "kept for the next burst");
    assert_eq!(queue.pop(&mut Vec::new(), Some(Duration::from_millis(1))), Ok(Popped::Nothing));
    assert_eq!(queue.usage().memory_bytes, 0, "nothing came for a whole wait");
}

#[test]
fn records_of_any_length_up_to_the_limit_are_taken() {
    let (queue, _) = open(&tiny());
    let long = vec![7; RECORD_MOST];
    assert_eq!(queue.push(&vec![0; RECORD_MOST + 1], 0), Err(Full::TooLong));
    for record in [&long[..], b"", &long, b"short", &long] {
        queue.push(record, 0).unwrap();
    }
    let mut into = Vec::new();
    for record in [&long[..], b"", &long, b"short", &long] {
        assert!(matches!(queue.pop(&mut into, NOW), Ok(Popped::Record { .. })));
        assert!(into == record, "{} instead of {} bytes", into.len(), record.len());
    }
}

// --- disk -----------------------------------------------------------------------------------------------

/// QUE-07.
#[test]
fn order_is_kept_through_the_spill_and_files_go_when_they_are_read() {
    let (queue, fs) = open(&tiny());
    fill(&queue, 500);
    let full = queue.usage();
    assert!(full.disk_bytes > 20_000 && full.memory_bytes <= 1024, "{full:?}");
    assert_eq!(full.disk_bytes, fs.lock().used());
    assert_eq!((full.records, full.bytes), (500, 500 * 501 / 2));
    let files = fs.lock().files.len();
    assert!(fs.lock().files.values().all(|file| lock(file).len() <= 512));
    expect(&queue, 1..=250);
    assert!(fs.lock().files.len() < files * 6 / 10, "read files are removed");
    fill(&queue, 100);
    expect(&queue, 251..=600);
    expect_empty(&queue);
    assert_eq!((fs.lock().files.len(), queue.usage().disk_bytes), (0, 0));
}

#[test]
fn a_queue_that_was_read_empty_works_in_memory_again() {
    let (queue, fs) = open(&tiny());
    for round in 0..5 {
        fill(&queue, 100);
        assert!(queue.usage().disk_bytes > 0);
        expect(&queue, round * 105 + 1..=round * 105 + 100);
        let writes = fs.lock().writes;
        fill(&queue, 5);
        expect(&queue, round * 105 + 101..=round * 105 + 105);
        assert_eq!(fs.lock().writes, writes, "no write for what fits into memory");
    }
    assert_eq!(fs.lock().made, 1, "one directory for all of it");
}

#[test]
fn neither_end_makes_a_call_for_each_record() {
    let settings = QueueSettings { memory_max_bytes: 1 << 20, file_size_bytes: 1 << 20, ..tiny() };
    let (queue, fs) = open(&settings);
    fill(&queue, 40_000);
    expect(&queue, 1..=40_000);
    let calls = fs.lock().calls();
    assert!(calls < 100, "{calls} calls for 40,000 records");
}

#[test]
fn the_percentage_and_the_number_of_operations_move_the_spill_forward() {
    let records_before_the_disk = |settings: &QueueSettings| {
        let (queue, fs) = open(settings);
        let mut records = 0;
        while fs.lock().writes == 0 {
            fill(&queue, 1);
            records += 1;
        }
        expect(&queue, 1..=records);
        records
    };
    let whole = records_before_the_disk(&tiny());
    let half = records_before_the_disk(&QueueSettings { to_disk_percent: 50, ..tiny() });
    assert!(half < whole, "{half} {whole}");
    let one = records_before_the_disk(&QueueSettings { op_limit: 1, ..tiny() });
    let least = records_before_the_disk(&QueueSettings { to_disk_percent: 0, ..tiny() });
    assert!(one <= 4 && least <= 3, "one block is always filled in memory: {one} {least}");
    let (queue, _) = open(&QueueSettings { op_limit: 1, ..memory_only() });
    fill(&queue, 5);
}

/// QUE-03.
#[test]
fn the_limit_on_disk_is_kept_and_nothing_taken_is_lost() {
    let (queue, fs) = open(&QueueSettings { space_max: Some(5000), ..tiny() });
    let (taken, full) = fill_up(&queue);
    assert_eq!(full, Full::Limit { limit: 5000 });
    assert!((4500..=5000).contains(&queue.usage().disk_bytes), "{:?}", queue.usage());
    assert_eq!(fs.lock().used(), queue.usage().disk_bytes);
    assert!(queue.push(&content(taken + 1), 1).is_err(), "still");
    expect(&queue, 1..=taken / 2);
    fill(&queue, 10);
    expect(&queue, taken / 2 + 1..=taken + 10);
    expect_empty(&queue);
}

/// QUE-04, QUE-05.
#[test]
fn the_minimum_of_free_space_is_kept() {
    let (queue, fs) = open(&QueueSettings { free_min_bytes: 3000, ..tiny() });
    fs.lock().capacity = 10_000;
    let (taken, full) = fill_up(&queue);
    assert!(matches!(full, Full::FreeSpace { free, keep: 3000 } if free < 3200), "{full:?}");
    assert!((6500..=7000).contains(&fs.lock().used()), "{}", fs.lock().used());
    // Another program needs the space of what is read back.
    expect(&queue, 1..=20);
    fs.lock().free = Some(0);
    assert!(matches!(fill_up(&queue).1, Full::FreeSpace { free: 0, .. }));
    let taken = queue.shared.counters.pushed.load(Acquire).max(taken);
    expect(&queue, 21..=taken);
    expect_empty(&queue);
}

#[test]
fn there_are_at_most_16384_files() {
    let (queue, fs) = open(&QueueSettings { file_size_bytes: 1, ..tiny() });
    let (taken, full) = fill_up(&queue);
    assert_eq!((full, fs.lock().files.len()), (Full::Segments, 16_384));
    expect(&queue, 1..=taken);
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_record_loses_nothing() {
    for capacity in (40..1300).step_by(7) {
        let (queue, fs) = open(&tiny());
        fs.lock().capacity = capacity;
        let (taken, full) = fill_up(&queue);
        assert!(matches!(&full, Full::Disk(_) | Full::FreeSpace { .. }), "{full:?}");
        fs.lock().free = Some(u64::MAX);
        let (more, full) = fill_up(&queue);
        assert!(matches!(&full, Full::Disk(why) if why.contains("No space")), "{full:?}");
        assert_eq!(fs.lock().used(), queue.usage().disk_bytes, "what was half written was cut off");
        let taken = taken + more;
        fs.lock().capacity = UNLIMITED;
        fill(&queue, 50);
        expect(&queue, 1..=taken + 50);
        expect_empty(&queue);
        assert!(fs.lock().files.is_empty());
    }
}

#[test]
fn a_file_that_cannot_be_cut_back_is_written_no_more() {
    let (queue, fs) = open(&QueueSettings { file_size_bytes: 4096, ..tiny() });
    fs.lock().cut = Some(libc::EIO);
    fs.lock().free = Some(u64::MAX);
    fs.lock().capacity = 1000;
    let (taken, _) = fill_up(&queue);
    fs.lock().capacity = UNLIMITED;
    fill(&queue, 100);
    expect(&queue, 1..=taken + 100);
    assert!(fs.lock().files.is_empty());
}

#[test]
fn while_the_disk_fails_what_fits_into_memory_is_taken() {
    let (queue, fs) = open(&tiny());
    fill(&queue, 100);
    fs.lock().create = Some(libc::EACCES);
    let (taken, full) = fill_up(&queue);
    assert!(matches!(&full, Full::Disk(why) if why.contains("denied")), "{full:?}");
    // What was read gives its memory to what comes.
    expect(&queue, 1..=99 + taken);
    fill(&queue, 5);
    expect(&queue, 100 + taken..=105 + taken);
    expect_empty(&queue);
}

#[test]
fn write_through_is_asked_for() {
    let (queue, fs) = open(&QueueSettings { write_through: true, ..tiny() });
    fill(&queue, 100);
    let inner = fs.lock();
    assert!(inner.synchronous > 0 && inner.synchronous >= inner.files.len());
}

#[test]
fn want_of_descriptors_is_waited_for() {
    let (queue, fs) = open(&tiny());
    fill(&queue, 100);
    fs.lock().open = Some(libc::EMFILE);
    let mut got = 0;
    while let Popped::Record { position, .. } = pop(&queue).unwrap() {
        got = position;
    }
    assert!(got < 100 && queue.usage().records == 100 - got);
    fs.lock().open = None;
    expect(&queue, got + 1..=100);
}

// --- damage (QUE-10) ------------------------------------------------------------------------------------

/// Fills, damages, and expects all before the damage to come out and the rest to be reported.
fn damage(harm: impl FnOnce(&Faults), words: &str) {
    let (queue, fs) = open(&tiny());
    fill(&queue, 300);
    harm(&fs);
    let (good, damaged) = until_damaged(&queue);
    assert!(good.iter().copied().eq(1..=good.len() as u64), "in order: {good:?}");
    assert_eq!(damaged.records, 300 - good.len() as u64);
    assert_eq!(damaged.bytes, 300 * 301 / 2 - good.iter().sum::<u64>());
    assert!(damaged.why.contains(words), "{damaged}");
    expect_empty(&queue);
    assert_eq!(queue.usage().disk_bytes, 0);
    assert_eq!(queue.wait_done(300, NOW, || false), Waited::Lost);
    // It goes on, and positions with it.
    fill(&queue, 100);
    expect(&queue, 301..=400);
    assert!(fs.lock().files.is_empty(), "no file of the damaged part is left");
}

#[test]
fn a_file_that_was_removed_is_noticed() {
    damage(|fs| drop(fs.lock().files.pop_first()), "00000001.dtq: No such file");
    damage(
        |fs| {
            let mut inner = fs.lock();
            let third = inner.files.keys().nth(2).unwrap().clone();
            inner.files.remove(&third);
        },
        "00000003.dtq: No such file",
    );
    damage(|fs| fs.lock().files.clear(), "No such file");
}

#[test]
fn a_file_that_was_cut_short_is_noticed() {
    for len in [0, 39, 40, 100, 300] {
        damage(|fs| lock(&fs.lock().first()).truncate(len), "00000001.dtq");
    }
    damage(|fs| assert!(lock(&fs.lock().first()).pop().is_some()), "cut short");
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let len = {
        let (queue, fs) = open(&tiny());
        fill(&queue, 300);
        lock(&fs.lock().first()).len()
    };
    for at in 0..len {
        damage(|fs| lock(&fs.lock().first())[at] ^= 1 << (at % 8), "00000001.dtq");
    }
}

#[test]
fn another_file_in_its_place_is_noticed() {
    damage(|fs| *lock(&fs.lock().first()) = vec![b'x'; 512], "another file is in its place");
    // One of another queue, well formed.
    let (other, foreign) = open(&tiny());
    fill(&other, 300);
    let bytes = lock(&foreign.lock().first()).clone();
    damage(move |fs| *lock(&fs.lock().first()) = bytes, "another file is in its place");
    // The next one of the same queue.
    damage(
        |fs| {
            let inner = fs.lock();
            let second = lock(inner.files.values().nth(1).unwrap()).clone();
            *lock(&inner.first()) = second;
        },
        "another file is in its place",
    );
}

#[test]
fn what_cannot_be_read_is_damage() {
    damage(
        |fs| {
            let first = fs.lock().first();
            let mut bytes = lock(&first);
            let half = bytes.len() / 2;
            bytes[half..].fill(0);
        },
        "is damaged",
    );
}

// --- control --------------------------------------------------------------------------------------------

#[test]
fn clear_drops_what_waits_and_not_what_is_under_way() {
    let (queue, fs) = open(&tiny());
    fill(&queue, 200);
    expect(&queue, 1..=3);
    pop(&queue).unwrap();
    assert_eq!(queue.clear(), Cleared { records: 196, bytes: 200 * 201 / 2 - 10 });
    assert_eq!(queue.clear(), Cleared::default());
    assert!(fs.lock().files.is_empty() && fs.lock().dirs == 0);
    assert!(!queue.is_idle(), "the fourth is under way");
    assert_eq!(queue.wait_done(200, NOW, || false), Waited::Lost);
    assert_eq!(queue.wait_done(4, NOW, || false), Waited::TimedOut);
    queue.done(4);
    assert_eq!(queue.wait_done(4, NOW, || false), Waited::Done);
    assert!(queue.is_idle());
    fill(&queue, 100);
    expect(&queue, 201..=300);
}

#[test]
fn a_paused_queue_takes_and_does_not_give() {
    let (queue, _) = open(&tiny());
    fill(&queue, 5);
    expect(&queue, 1..=1);
    queue.pause();
    fill(&queue, 100);
    assert_eq!(pop(&queue), Ok(Popped::Nothing));
    queue.resume();
    expect(&queue, 2..=105);
}

#[test]
fn close_takes_all_away() {
    let (queue, fs) = open(&tiny());
    fill(&queue, 200);
    pop(&queue).unwrap();
    queue.close();
    assert_eq!(pop(&queue), Ok(Popped::Closed));
    assert_eq!(queue.push(b"x", 1), Err(Full::Closed));
    assert!(fs.lock().files.is_empty() && fs.lock().dirs == 0);
    assert_eq!(queue.wait_done(1, None, || false), Waited::Closed);
    assert_eq!(queue.usage().memory_bytes, 0);
    queue.close();
}

#[test]
fn a_queue_that_is_dropped_leaves_nothing() {
    let (queue, fs) = open(&tiny());
    fill(&queue, 200);
    drop(queue);
    assert!(fs.lock().files.is_empty() && fs.lock().dirs == 0);
}

/// Runs `wait` on another thread, does something when it waits, and returns how the wait ended.
fn while_waiting<T: Send>(
    queue: &Queue,
    waits: impl Fn(&State) -> bool,
    wait: impl FnOnce() -> T + Send,
    act: impl FnOnce(),
) -> T {
    std::thread::scope(|scope| {
        let waiter = scope.spawn(wait);
        while !waits(&lock(&queue.shared.state)) {
            std::thread::yield_now();
        }
        act();
        waiter.join().unwrap()
    })
}

#[test]
fn a_waiting_consumer_is_woken() {
    let (queue, _) = open(&tiny());
    let until = |act: &dyn Fn()| {
        while_waiting(&queue, |state| state.sleeping, || queue.pop(&mut Vec::new(), None).unwrap(), act)
    };
    assert_eq!(until(&|| fill(&queue, 1)), Popped::Record { position: 1, bytes: 1 });
    assert_eq!(until(&|| queue.wake()), Popped::Nothing);
    queue.pause();
    fill(&queue, 1);
    assert_eq!(until(&|| queue.resume()), Popped::Record { position: 2, bytes: 2 });
    assert_eq!(until(&|| queue.close()), Popped::Closed);
}

#[test]
fn a_call_to_wake_is_not_lost() {
    let (queue, _) = open(&tiny());
    queue.wake();
    assert_eq!(queue.pop(&mut Vec::new(), None), Ok(Popped::Nothing));
}

#[test]
fn waits_end_when_it_is_done_or_never_will_be() {
    let (queue, _) = open(&tiny());
    let waits = |state: &State| state.waiters > 0;
    fill(&queue, 3);
    pop(&queue).unwrap();
    let done = while_waiting(&queue, waits, || queue.wait_done(1, None, || false), || queue.done(1));
    assert_eq!(done, Waited::Done);
    let lost = while_waiting(
        &queue,
        waits,
        || queue.wait_done(3, None, || false),
        || {
            queue.clear();
        },
    );
    assert_eq!(lost, Waited::Lost);
    fill(&queue, 1);
    let cancelled = AtomicBool::new(false);
    let stopped = while_waiting(
        &queue,
        waits,
        || queue.wait_idle(None, || cancelled.load(Acquire)),
        || cancelled.store(true, Release),
    );
    assert_eq!(stopped, Waited::Cancelled);
    let idle = while_waiting(
        &queue,
        waits,
        || queue.wait_idle(None, || false),
        || {
            pop(&queue).unwrap();
            queue.done(4);
        },
    );
    assert_eq!(idle, Waited::Done);
    fill(&queue, 3);
    assert_eq!(queue.wait_room(2, Some(Duration::from_millis(1)), || false), Waited::TimedOut);
    let room = while_waiting(
        &queue,
        waits,
        || queue.wait_room(2, None, || false),
        || {
            pop(&queue).unwrap();
            queue.done(5);
        },
    );
    assert_eq!(room, Waited::Done);
    assert_eq!(queue.wait_idle(Some(Duration::from_millis(1)), || false), Waited::TimedOut);
    let closed = while_waiting(&queue, waits, || queue.wait_idle(None, || false), || queue.close());
    assert_eq!(closed, Waited::Closed);
}

/// QUE-06.
#[test]
fn the_alert_comes_once_and_again_only_after_usage_fell() {
    let (queue, _) = open(&QueueSettings { space_max: Some(10_000), ..tiny() });
    assert_eq!(queue.alert(), None);
    while queue.usage().disk_bytes < 4800 {
        fill(&queue, 1);
    }
    assert_eq!(queue.alert(), None, "{:?}", queue.usage());
    while queue.usage().percent < 52 {
        fill(&queue, 1);
    }
    let words = queue.alert().unwrap();
    assert!(words.starts_with("QueueSizeAlertThreshold 50% exceeded: the disk queue is at 5"), "{words}");
    let (more, _) = fill_up(&queue);
    assert!(more > 0);
    assert_eq!(queue.alert(), None, "said once");
    let mut next = 1;
    while queue.usage().percent > 44 {
        expect(&queue, [next]);
        next += 1;
    }
    fill_up(&queue);
    assert_eq!(queue.alert(), None, "it has not fallen clearly below");
    while queue.usage().percent > 35 {
        expect(&queue, [next]);
        next += 1;
    }
    fill_up(&queue);
    assert!(queue.alert().is_some());
}

#[test]
fn without_a_disk_the_alert_is_about_memory() {
    let (queue, _) = open(&memory_only());
    fill_up(&queue);
    assert!(queue.alert().unwrap().contains("the memory queue is at 100%"));
}

// --- against a model ------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Act {
    Push(u16),
    Pop(u8),
    Clear,
    Capacity(u16),
    Damage,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        60 => (0..200_u16).prop_map(Act::Push),
        3 => (0..2000_u16).prop_map(Act::Push),
        25 => (0..6_u8).prop_map(Act::Pop),
        1 => Just(Act::Pop(255)),
        1 => Just(Act::Clear),
        2 => (0..4000_u16).prop_map(Act::Capacity),
        1 => Just(Act::Damage),
    ];
    proptest::collection::vec(act, 0..400)
}

fn settings() -> impl Strategy<Value = QueueSettings> {
    let space = prop_oneof![Just(None), Just(Some(0)), (1..6000_u64).prop_map(Some)];
    (200..4000_u64, 0..=100_u8, 1..2000_u64, space, 0..500_u64, 0..30_u64).prop_map(
        |(memory_max_bytes, to_disk_percent, file_size_bytes, space_max, free_min_bytes, op_limit)| {
            QueueSettings {
                memory_max_bytes,
                to_disk_percent,
                file_size_bytes,
                space_max,
                free_min_bytes,
                op_limit,
                ..tiny()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn it_is_a_queue(settings in settings(), acts in acts()) {
        let (queue, fs) = open(&settings);
        let mut model = VecDeque::new();
        let mut position = 0;
        let mut into = Vec::new();
        for act in acts {
            match act {
                Act::Push(len) => {
                    let content = vec![len as u8; usize::from(len)];
                    if let Ok(taken) = queue.push(&content, u64::from(len)) {
                        position += 1;
                        prop_assert_eq!(taken, position);
                        model.push_back((taken, content));
                    }
                }
                Act::Pop(times) => for _ in 0..times {
                    match queue.pop(&mut into, NOW) {
                        Ok(Popped::Record { position, bytes }) => {
                            let (expected, content) = model.pop_front().unwrap();
                            prop_assert_eq!((position, bytes), (expected, content.len() as u64));
                            prop_assert_eq!(&into, &content);
                            queue.done(position);
                        }
                        other => {
                            prop_assert_eq!(other, Ok(Popped::Nothing));
                            prop_assert!(model.is_empty());
                            break;
                        }
                    }
                },
                Act::Clear => {
                    let cleared = queue.clear();
                    prop_assert_eq!(cleared.records, model.len() as u64);
                    model.clear();
                }
                Act::Capacity(capacity) => {
                    let used = fs.lock().used();
                    fs.lock().capacity = used + u64::from(capacity);
                }
                Act::Damage => {
                    let first = fs.lock().files.values().next().cloned();
                    if let Some(file) = first {
                        // Nothing is reported before the damaged part is reached, and then all that waits.
                        lock(&file).clear();
                        loop {
                            match queue.pop(&mut into, NOW) {
                                Ok(Popped::Record { position, .. }) => {
                                    let (expected, content) = model.pop_front().unwrap();
                                    prop_assert_eq!(position, expected);
                                    prop_assert_eq!(&into, &content);
                                    queue.done(position);
                                }
                                Err(damaged) => {
                                    prop_assert_eq!(damaged.records, model.len() as u64);
                                    model.clear();
                                    break;
                                }
                                // The file held nothing that was still to be read.
                                Ok(other) => {
                                    prop_assert_eq!(other, Popped::Nothing);
                                    prop_assert!(model.is_empty());
                                    break;
                                }
                            }
                        }
                    }
                }
            }
            let usage = queue.usage();
            prop_assert_eq!(usage.records, model.len() as u64);
            prop_assert_eq!(usage.bytes, model.iter().map(|(_, content)| content.len() as u64).sum::<u64>());
            prop_assert_eq!(usage.under_way, 0);
            prop_assert_eq!(queue.is_idle(), model.is_empty());
            prop_assert_eq!(usage.disk_bytes, fs.lock().used());
            if let Some(limit) = settings.space_max {
                prop_assert!(usage.disk_bytes <= limit);
            }
            // One record, which may be longer than all of these small limits, is always let in on its way to the disk.
            let most = settings.memory_max_bytes + 3 * (2000 + HEAD as u64) + 10 * 64;
            prop_assert!(usage.memory_bytes <= most, "{usage:?}");
        }
    }
}

/// Two threads, so that spill, read and the change back to memory meet in all ways.
#[test]
fn producer_and_consumer_at_full_speed() {
    for memory in [1024, 4096, 65_536] {
        let settings = QueueSettings { memory_max_bytes: memory, file_size_bytes: 4 * memory, ..tiny() };
        let (queue, fs) = open(&settings);
        const RECORDS: u64 = 100_000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for position in 1..=RECORDS {
                    assert_eq!(queue.push(&content(position), position), Ok(position));
                }
            });
            scope.spawn(|| {
                let mut into = Vec::new();
                for position in 1..=RECORDS {
                    assert_eq!(queue.pop(&mut into, None), Ok(Popped::Record { position, bytes: position }));
                    assert!(into.starts_with(position.to_string().as_bytes()));
                    queue.done(position);
                }
            });
            assert_ne!(queue.wait_done(RECORDS, None, || false), Waited::Lost);
        });
        expect_empty(&queue);
        assert!(fs.lock().files.is_empty());
    }
}

/// Somebody clears while a block is on its way to the disk.
#[test]
fn clear_meets_a_write() {
    let (queue, fs) = open(&tiny());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Acquire) {
                queue.push(&content(1), 1).unwrap();
            }
        });
        let mut dropped = 0;
        while dropped < 20_000 {
            dropped += queue.clear().records;
        }
        stop.store(true, Release);
    });
    queue.clear();
    expect_empty(&queue);
    assert_eq!((fs.lock().files.len(), queue.usage().disk_bytes, queue.usage().memory_bytes), (0, 0, 0));
}

// --- the real file system -------------------------------------------------------------------------------

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn journal(&self) -> std::path::PathBuf {
        self.dir.path().join("queue")
    }

    fn open(&self, settings: &QueueSettings) -> Queue {
        Queue::open(settings, self.journal().join("connection-1"), Arc::new(Disk))
    }

    /// A queue with 300 records, most of them on disk.
    fn filled(&self) -> Queue {
        let queue = self.open(&tiny());
        fill(&queue, 300);
        queue
    }

    fn first(&self) -> std::path::PathBuf {
        self.journal().join("connection-1/00000001.dtq")
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).map(|entries| entries.collect::<Vec<_>>()).unwrap_or_default();
    let mut names: Vec<String> =
        entries.into_iter().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_directory_is_made_when_needed_for_this_user_only_and_removed_at_the_end() {
    let place = Place::new();
    let queue = place.open(&tiny());
    fill(&queue, 5);
    assert!(!place.journal().exists());
    fill(&queue, 295);
    let directory = place.journal().join("connection-1");
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(place.first()).unwrap().mode() & 0o7777, 0o600);
    let size: u64 =
        names(&directory).iter().map(|name| fs::metadata(directory.join(name)).unwrap().len()).sum();
    assert_eq!(size, queue.usage().disk_bytes);
    expect(&queue, 1..=300);
    assert_eq!(names(&directory), ["queue.lock"]);
    queue.close();
    assert_eq!(names(&place.journal()), [""; 0]);
}

#[test]
fn damage_on_the_real_disk_is_noticed() {
    type Harm<'a> = (&'a str, &'a dyn Fn(&Path));
    let cases: [Harm<'_>; 7] = [
        ("removed", &|file| fs::remove_file(file).unwrap()),
        ("cut short", &|file| {
            fs::OpenOptions::new().write(true).open(file).unwrap().set_len(200).unwrap();
        }),
        ("changed", &|file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[300] ^= 4;
            fs::write(file, bytes).unwrap();
        }),
        ("replaced", &|file| {
            fs::remove_file(file).unwrap();
            fs::write(file, vec![b'x'; 512]).unwrap();
        }),
        ("a link", &|file| {
            fs::rename(file, file.with_extension("moved")).unwrap();
            symlink(file.with_extension("moved"), file).unwrap();
        }),
        ("a fifo", &|file| {
            fs::remove_file(file).unwrap();
            nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("directory removed", &|file| fs::remove_dir_all(file.parent().unwrap()).unwrap()),
    ];
    for (what, harm) in cases {
        let place = Place::new();
        let queue = place.filled();
        harm(&place.first());
        let (good, damaged) = until_damaged(&queue);
        assert_eq!(damaged.records + good.len() as u64, 300, "{what}");
        assert!(damaged.why.contains("00000001.dtq"), "{what}: {damaged}");
        expect_empty(&queue);
        fill(&queue, 300);
        expect(&queue, 301..=600);
        queue.close();
        let left = names(&place.journal().join("connection-1"));
        assert!(left.is_empty() || left == ["00000001.moved"], "{what}: {left:?}");
    }
}

#[test]
fn a_directory_that_was_removed_while_empty_is_made_again() {
    let place = Place::new();
    let queue = place.filled();
    expect(&queue, 1..=300);
    fs::remove_dir_all(place.journal()).unwrap();
    fill(&queue, 300);
    assert!(queue.usage().disk_bytes > 0);
    expect(&queue, 301..=600);
}

#[test]
fn what_was_put_in_the_way_is_neither_followed_nor_touched() {
    let place = Place::new();
    let other = place.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::create_dir(place.journal()).unwrap();
    symlink(&other, place.journal().join("connection-1")).unwrap();
    let queue = place.filled();
    assert_eq!(names(&other), [""; 0]);
    let beside = place.journal().join("connection-1-2");
    assert!(names(&beside).len() > 2);
    // Links under names that the queue will use.
    for number in 1..90 {
        let path = beside.join(format!("{number:08}.dtq"));
        if !path.exists() {
            symlink(other.join("leak"), path).unwrap();
        }
    }
    let (_, full) = fill_up(&queue);
    assert!(matches!(&full, Full::Disk(why) if why.contains("exists")), "{full}");
    assert_eq!(names(&other), [""; 0]);
    let taken = queue.usage().records;
    expect(&queue, 1..=taken);
    drop(queue);
    assert!(place.journal().join("connection-1").is_symlink());
    assert!(beside.join("00000089.dtq").is_symlink(), "not ours");
}

#[test]
fn two_queues_of_one_name_do_not_meet() {
    let place = Place::new();
    let (one, two) = (place.filled(), place.filled());
    assert_eq!(names(&place.journal()), ["connection-1", "connection-1-2"]);
    expect(&one, 1..=300);
    expect(&two, 1..=300);
}

#[test]
fn what_a_dead_process_left_is_removed_and_nothing_else() {
    let place = Place::new();
    let dead = place.journal().join("connection-7");
    fs::create_dir_all(&dead).unwrap();
    fs::write(dead.join("queue.lock"), "").unwrap();
    fs::write(dead.join("00000012.dtq"), "x").unwrap();
    let living = place.filled();
    let strange = place.journal().join("photos");
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("00000001.dtq"), "x").unwrap();
    let mixed = place.journal().join("mixed");
    fs::create_dir(&mixed).unwrap();
    fs::write(mixed.join("queue.lock"), "").unwrap();
    fs::write(mixed.join("1.dtq"), "a short name").unwrap();
    let elsewhere = place.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("queue.lock"), "").unwrap();
    symlink(&elsewhere, place.journal().join("link")).unwrap();
    let another = place.open(&tiny());
    assert_eq!(names(&place.journal()), ["connection-1", "link", "mixed", "photos"]);
    assert_eq!(names(&strange), ["00000001.dtq"]);
    assert_eq!(names(&mixed), ["1.dtq"]);
    assert_eq!(names(&elsewhere), ["queue.lock"]);
    expect(&living, 1..=300);
    drop(another);
}

/// As a process that is killed leaves it: an empty directory that nobody had locked yet.
#[test]
fn an_empty_directory_of_the_same_name_is_used() {
    let place = Place::new();
    fs::create_dir_all(place.journal().join("connection-1")).unwrap();
    let queue = place.filled();
    assert_eq!(names(&place.journal()), ["connection-1"]);
    expect(&queue, 1..=300);
}

#[test]
fn a_queue_directory_that_others_can_change_is_refused() {
    let place = Place::new();
    fs::create_dir(place.journal()).unwrap();
    fs::set_permissions(place.journal(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let queue = place.open(&tiny());
    let (taken, full) = fill_up(&queue);
    assert!(matches!(&full, Full::Disk(_)), "{full}");
    expect(&queue, 1..=taken);
}

#[test]
fn a_volume_with_less_than_the_minimum_is_not_written() {
    let place = Place::new();
    let queue = place.open(&QueueSettings { free_min_bytes: u64::MAX / 2, ..tiny() });
    let (taken, full) = fill_up(&queue);
    assert!(matches!(&full, Full::FreeSpace { free, .. } if *free > 0), "{full}");
    expect(&queue, 1..=taken);
}

#[test]
fn write_through_works_on_the_real_disk() {
    let place = Place::new();
    let queue = place.open(&QueueSettings { write_through: true, ..tiny() });
    fill(&queue, 300);
    expect(&queue, 1..=300);
}

// --- how fast -------------------------------------------------------------------------------------------

/// Runs it, and prints how long it took for each of `n`: by the clock, and on the processor by this thread.
fn measure(what: &str, n: u32, run: impl FnOnce()) -> Duration {
    let on_processor = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default())
    };
    let (clock, processor) = (Instant::now(), on_processor());
    run();
    let (clock, processor) = (clock.elapsed(), on_processor() - processor);
    println!("{what}: {:?} for each, {:?} of this thread's processor time", clock / n, processor / n);
    clock
}

/// `cargo test --release --lib queue_speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn queue_speed() {
    const RECORDS: u32 = 4_000_000;
    let record = [7_u8; 120];
    let push = |queue: &Queue| assert!(queue.push(&record, 100).is_ok());
    let pop = |queue: &Queue, into: &mut Vec<u8>| {
        assert!(matches!(queue.pop(into, None), Ok(Popped::Record { .. })));
    };
    let mut into = Vec::new();
    let place = Place::new();
    let queue = place.open(&QueueSettings::default());
    measure("memory, push and pop by turns", RECORDS, || {
        for _ in 0..RECORDS {
            push(&queue);
            pop(&queue, &mut into);
        }
    });
    measure("memory, push and pop of 1,000 at a time", RECORDS, || {
        for _ in 0..RECORDS / 1000 {
            (0..1000).for_each(|_| push(&queue));
            (0..1000).for_each(|_| pop(&queue, &mut into));
        }
    });
    measure("memory, push of 1,000,000", 1_000_000, || (0..1_000_000).for_each(|_| push(&queue)));
    measure("memory, pop of 1,000,000", 1_000_000, || (0..1_000_000).for_each(|_| pop(&queue, &mut into)));
    measure("memory, two threads", RECORDS, || {
        std::thread::scope(|scope| {
            scope.spawn(|| (0..RECORDS).for_each(|_| push(&queue)));
            (0..RECORDS).for_each(|_| pop(&queue, &mut into));
        });
    });
    let queue = place.open(&QueueSettings { memory_max_bytes: 32 << 20, ..QueueSettings::default() });
    let rate = |took: Duration| f64::from(RECORDS) * 144.0 / 1e6 / took.as_secs_f64();
    let took = measure("disk, push", RECORDS, || (0..RECORDS).for_each(|_| push(&queue)));
    println!("{:.0} MB/s; {} MB on disk", rate(took), queue.usage().disk_bytes >> 20);
    let took = measure("disk, pop", RECORDS, || (0..RECORDS).for_each(|_| pop(&queue, &mut into)));
    println!("{:.0} MB/s", rate(took));
}
