//! Capture on real file systems: each trap of the kernel's events (architecture.md 3), on each back-end.

use super::*;
use crate::sys::{Dir, Stat};
use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A directory that is captured, with names for the keys of what was registered.
struct Bed {
    dir: tempfile::TempDir,
    capture: Kernel,
    labels: HashMap<Key, String>,
}

impl Bed {
    fn new(kind: Kind, parent: &Path) -> Bed {
        let dir = tempfile::Builder::new().prefix("dtcl-capture-").tempdir_in(parent).unwrap();
        let mut bed = Bed { dir, capture: Kernel::start(Some(kind)).unwrap(), labels: HashMap::new() };
        bed.register("");
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, name: &str) -> Dir {
        Dir::open_root(&self.path(name)).unwrap()
    }

    fn register(&mut self, name: &str) -> Key {
        let key = self.capture.register(&self.open(name)).unwrap();
        self.labels.insert(key.clone(), name.to_owned());
        key
    }

    /// The key of an object that is not registered, for [`Place::Object`] and [`Look::object`].
    fn label(&mut self, name: &str) -> Key {
        let number = self.labels.keys().next().unwrap().file_system();
        let object = fs::File::open(self.path(name)).unwrap();
        let key = Key::new(number, crate::sys::handle_and_mount(&object).unwrap().0);
        self.labels.insert(key.clone(), name.to_owned());
        key
    }

    fn is_fanotify(&self) -> bool {
        self.capture.backends().iter().all(|backend| backend.name == "fanotify")
    }

    fn batch(&self) -> Batch {
        self.capture.drain();
        let mut batch = Batch::default();
        self.capture.looks().take(&mut batch);
        // Others change the same file system.
        batch.looks.retain(|look| {
            let (Place::Name { dir: key, .. } | Place::Directory { dir: key } | Place::Object { key }) =
                &look.place;
            self.labels.contains_key(key)
        });
        batch
    }

    /// `dir/name change` of each look, `dir/` for a directory itself, `=name` for an object.
    fn looks(&self) -> Vec<String> {
        self.batch().looks.iter().map(|look| self.shown(look)).collect()
    }

    fn shown(&self, look: &Look) -> String {
        let label = |key: &Key| self.labels.get(key).cloned().unwrap();
        let place = match &look.place {
            Place::Name { dir, name } => format!("{}/{}", label(dir), String::from_utf8_lossy(name)),
            Place::Directory { dir } => format!("{}/", label(dir)),
            Place::Object { key } => format!("={}", label(key)),
        };
        let mut change = String::new();
        for (flag, letter) in [(Change::NAME, 'n'), (Change::CONTENT, 'c'), (Change::META, 'm')] {
            if look.change.has(flag) {
                change.push(letter);
            }
        }
        format!("{place} {change}")
    }

    /// Does something while nothing is read, so that the kernel folds together what it can; tells the looks and the events.
    fn unread(&self, work: impl FnOnce(&Path)) -> (Vec<String>, u64) {
        self.batch();
        {
            let _unread = self.capture.reader.buffer();
            work(self.dir.path());
        }
        let batch = self.batch();
        (batch.looks.iter().map(|look| self.shown(look)).collect(), batch.events)
    }
}

fn root() -> bool {
    let root = crate::sys::is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// One bed on a disk, one in memory.
fn fanotify() -> Vec<Bed> {
    if !root() {
        return Vec::new();
    }
    [std::env::temp_dir(), "/dev/shm".into()].iter().map(|parent| Bed::new(Kind::Fanotify, parent)).collect()
}

fn inotify() -> Bed {
    Bed::new(Kind::Inotify, &std::env::temp_dir())
}

fn each() -> Vec<Bed> {
    let mut beds = fanotify();
    beds.push(inotify());
    beds
}

fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
}

#[test]
fn a_file_that_is_made_and_written_is_one_look() {
    for bed in each() {
        write(&bed.path("a"), "x");
        fs::set_permissions(bed.path("a"), PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(bed.looks(), ["/a ncm"], "{:?}", bed.capture);
    }
}

#[test]
fn an_event_tells_the_object_by_fanotify() {
    for mut bed in fanotify() {
        write(&bed.path("a"), "x");
        let key = bed.label("a");
        assert_eq!(bed.batch().looks[0].object, Some(key));
    }
}

#[test]
fn made_and_removed_unread_is_one_look() {
    for bed in each() {
        let (looks, events) = bed.unread(|dir| {
            fs::create_dir(dir.join("a")).unwrap();
            fs::remove_dir(dir.join("a")).unwrap();
        });
        assert_eq!(looks, ["/a n"]);
        // Only the file system's own load can make it more.
        assert!(events >= 1);
    }
}

#[test]
fn there_and_back_and_there_again_looks_at_the_new_name_first() {
    for bed in each() {
        write(&bed.path("a"), "x");
        let (looks, _) = bed.unread(|dir| {
            let (a, b) = (dir.join("a"), dir.join("b"));
            fs::rename(&a, &b).unwrap();
            fs::rename(&b, &a).unwrap();
            fs::rename(&a, &b).unwrap();
        });
        assert_eq!(looks, ["/b n", "/a n"]);
    }
}

#[test]
fn a_swap_looks_at_both_names() {
    for bed in each() {
        write(&bed.path("a"), "x");
        write(&bed.path("b"), "y");
        let (looks, _) = bed.unread(|dir| {
            let here = nix::fcntl::AT_FDCWD;
            let exchange = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
            nix::fcntl::renameat2(here, &dir.join("a"), here, &dir.join("b"), exchange).unwrap();
        });
        assert_eq!(looks, ["/b n", "/a n"]);
    }
}

#[test]
fn a_file_that_is_replaced_is_found_by_its_name_as_nothing_tells_of_its_end() {
    for bed in each() {
        write(&bed.path("a"), "x");
        write(&bed.path("b"), "y");
        let (looks, _) = bed.unread(|dir| fs::rename(dir.join("a"), dir.join("b")).unwrap());
        assert_eq!(looks, ["/b n", "/a n"]);
    }
}

#[test]
fn a_renamed_file_is_told_at_both_names_by_fanotify() {
    for mut bed in fanotify() {
        write(&bed.path("a"), "x");
        let key = bed.label("a");
        bed.batch();
        fs::rename(bed.path("a"), bed.path("b")).unwrap();
        let objects: Vec<_> = bed.batch().looks.into_iter().map(|look| look.object).collect();
        assert_eq!(objects, [Some(key.clone()), Some(key)]);
    }
}

#[test]
fn an_unnamed_file_gets_its_name_with_a_look_and_is_written_under_none() {
    for bed in each() {
        let dir = bed.open("");
        let mut file = dir.unnamed(0o600).unwrap();
        file.write_all(b"x").unwrap();
        let at_a =
            |looks: Vec<String>| looks.into_iter().filter(|look| look.starts_with("/a ")).collect::<Vec<_>>();
        assert_eq!(at_a(bed.looks()), Vec::<String>::new());
        dir.link_unnamed(&file, c"a").unwrap();
        assert_eq!(at_a(bed.looks()), ["/a n"]);
        // The kernel still calls it by the number it had: only the object tells which file that is.
        file.write_all(b"y").unwrap();
        let looks = bed.batch().looks;
        assert_eq!(looks.len(), 1, "{looks:?}");
        assert!(bed.shown(&looks[0]).starts_with("/#"), "{looks:?}");
        if bed.is_fanotify() {
            let written = looks[0].object.clone().unwrap();
            let (stat, _) = bed.capture.resolve(&written).unwrap().unwrap();
            assert_eq!(stat.id(), Stat::of(&file).unwrap().id());
        }
    }
}

#[test]
fn a_write_to_a_file_without_a_name_comes_under_the_name_it_had() {
    for bed in each() {
        let mut file = fs::File::create(bed.path("a")).unwrap();
        fs::remove_file(bed.path("a")).unwrap();
        bed.batch();
        file.write_all(b"x").unwrap();
        let looks = bed.batch().looks;
        assert_eq!(looks.iter().map(|look| bed.shown(look)).collect::<Vec<_>>(), ["/a c"]);
        if let Some(object) = &looks[0].object {
            assert!(bed.capture.resolve(object).unwrap().is_none());
        }
    }
}

#[test]
fn a_write_by_handle_tells_the_object_and_no_name() {
    if !root() {
        return;
    }
    let image = Image::new("mkfs.ext4", &["-q"], 8);
    let Some(image) = image else { return };
    let handle = {
        let _mounted = image.mount();
        write(&image.point().join("a"), "x");
        crate::sys::handle_and_mount(fs::File::open(image.point().join("a")).unwrap()).unwrap().0
    };
    // Mounted anew, so that the kernel has no name for it, as for a file that an NFS client holds.
    let _mounted = image.mount();
    let capture = Kernel::start(Some(Kind::Fanotify)).unwrap();
    let dir = Dir::open_root(&image.point()).unwrap();
    let key = capture.register(&dir).unwrap();
    let file = crate::sys::open_by_handle(&dir, &handle, libc::O_WRONLY).unwrap();
    drop(dir);
    fs::File::from(file).write_all(b"by handle").unwrap();
    capture.drain();
    let mut batch = Batch::default();
    capture.looks().take(&mut batch);
    let object = Key::new(key.file_system(), handle);
    let place = Place::Object { key: object.clone() };
    assert_eq!(batch.looks, [Look { place, change: Change::CONTENT, object: None, from: None }]);
    // There, but without a path that the kernel knows.
    let (stat, path) = capture.resolve(&object).unwrap().unwrap();
    assert_eq!((stat.size, path), (9, Vec::new()));
}

#[test]
fn a_directory_itself_is_a_place() {
    for mut bed in each() {
        fs::create_dir(bed.path("d")).unwrap();
        bed.register("d");
        bed.batch();
        fs::set_permissions(bed.path("d"), PermissionsExt::from_mode(0o700)).unwrap();
        assert!(bed.looks().contains(&"d/ m".to_owned()));
    }
}

#[test]
fn a_directory_that_is_gone_is_told_by_its_parent_and_resolves_to_nothing() {
    for mut bed in each() {
        fs::create_dir(bed.path("d")).unwrap();
        let key = bed.register("d");
        let (looks, _) = bed.unread(|dir| {
            write(&dir.join("d/a"), "x");
            fs::remove_dir_all(dir.join("d")).unwrap();
        });
        assert_eq!(looks.first().map(String::as_str), Some("d/a nc"));
        assert_eq!(looks.last().map(String::as_str), Some("/d n"));
        let found = bed.capture.resolve(&key);
        if bed.capture.backends().iter().all(|backend| backend.name == "fanotify") {
            assert!(found.unwrap().is_none());
        } else {
            assert_eq!(found.unwrap_err().kind(), std::io::ErrorKind::Unsupported, "its keys tell nothing");
        }
    }
}

#[test]
fn a_directory_is_resolved_where_it_is_now() {
    for mut bed in fanotify() {
        fs::create_dir_all(bed.path("d/e")).unwrap();
        let key = bed.register("d/e");
        fs::rename(bed.path("d"), bed.path("moved")).unwrap();
        let (stat, path) = bed.capture.resolve(&key).unwrap().unwrap();
        assert_eq!(stat.id(), Stat::of(bed.open("moved/e")).unwrap().id());
        assert_eq!(path, bed.path("moved/e").into_os_string().into_encoded_bytes());
        // Held open, a removed directory still has an inode.
        let _held = bed.open("moved/e");
        fs::remove_dir(bed.path("moved/e")).unwrap();
        assert!(bed.capture.resolve(&key).unwrap().is_none());
    }
}

#[test]
fn what_an_event_told_of_is_opened_wherever_it_is() {
    for mut bed in fanotify() {
        fs::create_dir(bed.path("d")).unwrap();
        let key = bed.register("d");
        bed.batch();
        write(&bed.path("d/f"), "text");
        let looks = bed.batch().looks;
        let file = looks.iter().find_map(|look| look.object.clone()).unwrap();
        assert!(file.is_at(&bed.open("d"), c"f") && !file.is_at(&bed.open(""), c"d"));
        assert!(!file.is_at(&bed.open("d"), c"g"), "no such name");
        fs::rename(bed.path("d"), bed.path("moved")).unwrap();
        fs::rename(bed.path("moved/f"), bed.path("g")).unwrap();
        let dir = bed.capture.open_dir(&key).unwrap().unwrap();
        assert_eq!(Stat::of(&dir).unwrap().id(), Stat::of(bed.open("moved")).unwrap().id());
        let stat = bed.capture.stat(&file).unwrap().unwrap();
        let opened = bed.capture.open_file(&file, stat.id()).unwrap().unwrap();
        assert_eq!(std::io::read_to_string(opened).unwrap(), "text");
        assert!(bed.capture.open_file(&file, (stat.dev, stat.ino + 1)).unwrap().is_none(), "another one");
        assert!(bed.capture.open_file(&key, Stat::of(&dir).unwrap().id()).unwrap().is_none(), "no file");
        drop(dir);
        fs::remove_file(bed.path("g")).unwrap();
        fs::remove_dir(bed.path("moved")).unwrap();
        assert!(bed.capture.open_file(&file, stat.id()).unwrap().is_none());
        assert!(bed.capture.open_dir(&key).unwrap().is_none() && bed.capture.stat(&file).unwrap().is_none());
    }
}

#[test]
fn nothing_is_in_the_way_of_an_unmount_once_it_is_let_go() {
    if !root() {
        return;
    }
    let Some(image) = Image::new("mkfs.ext4", &["-q"], 8) else { return };
    let mounted = image.mount();
    let bed = Bed::new(Kind::Fanotify, &image.point());
    let key = bed.capture.register(&Dir::open_root(&image.point()).unwrap()).unwrap();
    bed.capture.resolve(&key).unwrap().unwrap();
    drop(bed.capture.open_dir(&key).unwrap().unwrap());
    let busy = Command::new("umount").arg(image.point()).output().unwrap();
    assert!(!busy.status.success(), "nothing was kept open");
    bed.capture.let_go();
    mounted.unmount().unwrap();
}

#[test]
fn a_directory_has_one_key() {
    for mut bed in each() {
        fs::create_dir(bed.path("d")).unwrap();
        let key = bed.register("d");
        fs::rename(bed.path("d"), bed.path("e")).unwrap();
        assert_eq!(bed.register("e"), key);
        assert_ne!(bed.register(""), key);
    }
}

#[test]
fn what_is_outside_is_dropped_by_the_reader_until_something_moves_in() {
    for mut bed in each() {
        fs::create_dir(bed.path("d")).unwrap();
        let key = bed.register("d");
        bed.batch();
        bed.capture.looks().ignore(&key);
        write(&bed.path("d/a"), "x");
        assert_eq!(bed.looks(), [""; 0]);
        {
            // Read later than this returns, made before: not dropped.
            let _unread = bed.capture.reader.buffer();
            write(&bed.path("d/b"), "x");
            bed.capture.looks().follow(&key);
        }
        assert_eq!(bed.looks(), ["d/b nc"]);
    }
}

#[test]
fn a_change_that_returned_before_a_drain_is_there_after_it() {
    for bed in each() {
        for n in 0..200 {
            let name = n.to_string();
            // By another thread, with the reader running as it likes.
            std::thread::scope(|scope| scope.spawn(|| write(&bed.path(&name), "x")).join()).unwrap();
            let looks = bed.looks();
            assert!(looks.iter().any(|look| look.starts_with(&format!("/{name} "))), "{name}: {looks:?}");
        }
    }
}

#[test]
fn a_drain_reads_all_that_waits_however_much_it_is() {
    for bed in each() {
        let (looks, _) = bed.unread(|dir| {
            for n in 0..2000 {
                write(&dir.join(format!("a rather long name, as many bytes as an event {n}")), "");
            }
        });
        assert_eq!(looks.len(), 2000);
    }
}

#[test]
fn a_drain_ends_while_writers_go_on() {
    for bed in each() {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (bed, done) = (&bed, &done);
                scope.spawn(move || {
                    while !done.load(Relaxed) {
                        let _ = fs::write(bed.path(&writer.to_string()), "x");
                    }
                });
            }
            for _ in 0..20 {
                bed.capture.drain();
            }
            done.store(true, Relaxed);
        });
    }
}

#[test]
fn who_waits_is_woken_by_a_change() {
    for bed in each() {
        bed.batch();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut seen = Vec::new();
                while !seen.contains(&"/a".to_owned()) {
                    bed.capture.looks().wait(None);
                    seen.extend(bed.looks().iter().map(|look| look[..2].to_owned()));
                }
            });
            write(&bed.path("a"), "x");
            waiter.join().unwrap();
        });
    }
}

#[test]
fn a_queue_that_was_too_short_is_a_gap() {
    let bed = inotify();
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: u64 = most.trim().parse().unwrap();
    if most > 100_000 {
        return eprintln!("skipped: fs.inotify.max_queued_events is {most}");
    }
    let names = [bed.path("a"), bed.path("b")];
    names.iter().for_each(|name| write(name, "x"));
    let unread = bed.capture.reader.buffer();
    for _ in 0..most / 2 + 1 {
        // No two in a row are alike, so that they are not folded together.
        for name in &names {
            fs::set_permissions(name, PermissionsExt::from_mode(0o600)).unwrap();
        }
    }
    drop(unread);
    assert!(matches!(&bed.batch().gaps[..], [Gap::Everything { .. }]));
}

#[test]
fn a_forgotten_watch_tells_nothing_more() {
    let mut bed = inotify();
    fs::create_dir(bed.path("d")).unwrap();
    let key = bed.register("d");
    let (looks, _) = bed.unread(|dir| {
        write(&dir.join("d/a"), "x");
        bed.capture.forget(&key);
        write(&dir.join("d/b"), "x");
    });
    assert_eq!(looks, [""; 0]);
    let again = bed.capture.register(&bed.open("d")).unwrap();
    assert_ne!(again, key);
    bed.labels.insert(again, "again".to_owned());
    write(&bed.path("d/c"), "x");
    assert_eq!(bed.looks(), ["again/c nc"]);
}

#[test]
fn a_root_that_moves_is_told_by_its_own_watch() {
    let bed = inotify();
    let moved = bed.path("").with_extension("moved");
    fs::rename(bed.path(""), &moved).unwrap();
    let looks = bed.looks();
    fs::rename(&moved, bed.path("")).unwrap();
    assert_eq!(looks, ["/ n"]);
}

#[test]
fn each_file_system_names_its_back_end_and_why() {
    for bed in fanotify() {
        let backends = bed.capture.backends();
        assert_eq!((backends.len(), backends[0].name, &backends[0].reason), (1, "fanotify", &None));
        let real = fs::canonicalize(bed.path("")).unwrap();
        assert!(real.starts_with(&backends[0].place), "{backends:?}");
    }
    let backend = inotify().capture.backends().remove(0);
    assert_eq!((backend.name, backend.reason.as_deref()), ("inotify", Some("asked for")));
}

#[test]
fn without_root_directories_are_watched() {
    if crate::sys::is_root() {
        return eprintln!("skipped: for a plain user");
    }
    let bed = tempfile::tempdir().unwrap();
    let dir = Dir::open_root(bed.path()).unwrap();
    let backend = start(&[&dir], None).unwrap().backends().remove(0);
    assert_eq!((backend.name, backend.reason.as_deref()), ("inotify", Some("not root")));
    assert!(start(&[&dir], Some(Kind::Fanotify)).is_err());
}

#[test]
fn a_file_system_without_marks_is_watched_beside_one_with() {
    if !root() {
        return;
    }
    let bed = tempfile::tempdir().unwrap();
    let proc = Dir::open_root(Path::new("/proc/sys/fs")).unwrap();
    let dir = Dir::open_root(bed.path()).unwrap();
    let capture = start(&[&dir, &proc], None).unwrap();
    let names: Vec<_> = capture.backends().iter().map(|backend| backend.name).collect();
    assert_eq!(names, ["fanotify", "inotify"]);
    let reason = capture.backends()[1].reason.clone().unwrap();
    assert!(reason.contains("proc"), "{reason}");
    let refused = start(&[&proc], Some(Kind::Fanotify)).unwrap_err().to_string();
    assert!(refused.contains("/proc"), "{refused}");
}

#[test]
fn a_file_system_is_unmounted_and_mounted_again_below_a_capture() {
    if !root() {
        return;
    }
    for kind in [Kind::Fanotify, Kind::Inotify] {
        let mut bed = Bed::new(kind, &std::env::temp_dir());
        fs::create_dir(bed.path("m")).unwrap();
        let mounted = Mounted::new(&["-t", "tmpfs", "none"], &bed.path("m"));
        let number = bed.register("m").file_system();
        bed.batch();
        write(&bed.path("m/a"), "x");
        assert_eq!(bed.looks(), ["m/a nc"]);
        // Nothing of ours is in the way.
        mounted.unmount().unwrap();
        let gap = Gap::FileSystem { number };
        let mut gaps = Vec::new();
        let mut mounts_changed = false;
        while !mounts_changed || !gaps.contains(&gap) {
            bed.capture.looks().wait(None);
            let batch = bed.batch();
            gaps.extend(batch.gaps);
            mounts_changed |= batch.mounts_changed;
        }
        let _mounted = Mounted::new(&["-t", "tmpfs", "none"], &bed.path("m"));
        bed.register("m");
        write(&bed.path("m/b"), "x");
        assert_eq!(bed.looks(), ["m/b nc"]);
    }
}

#[test]
fn the_same_disk_mounted_again_is_marked_again() {
    if !root() {
        return;
    }
    let Some(image) = Image::new("mkfs.ext4", &["-q"], 8) else { return };
    let capture = Kernel::start(Some(Kind::Fanotify)).unwrap();
    let register = || capture.register(&Dir::open_root(&image.point()).unwrap()).unwrap();
    let taken = || {
        let mut batch = Batch::default();
        capture.drain();
        capture.looks().take(&mut batch);
        batch
    };
    let mounted = image.mount();
    let key = register();
    mounted.unmount().unwrap();
    let _mounted = image.mount();
    // At once, whether the thread has seen it or not.
    assert_eq!(register(), key);
    write(&image.point().join("a"), "x");
    let batch = taken();
    assert!(batch.gaps.contains(&Gap::FileSystem { number: key.file_system() }), "{batch:?}");
    assert!(batch.looks.iter().any(|look| matches!(&look.place, Place::Name { dir, .. } if *dir == key)));
}

#[test]
fn a_bind_mount_has_the_same_keys_and_its_own_paths() {
    if !root() {
        return;
    }
    let mut bed = Bed::new(Kind::Fanotify, &std::env::temp_dir());
    fs::create_dir_all(bed.path("d/e")).unwrap();
    fs::create_dir(bed.path("bound")).unwrap();
    let key = bed.register("d/e");
    let source = bed.path("d");
    let _mounted = Mounted::new(&["--bind", source.to_str().unwrap()], &bed.path("bound"));
    assert_eq!(bed.register("bound/e"), key);
    let here = bed.capture.resolve(&key).unwrap().unwrap().1;
    assert_eq!(here, bed.path("d/e").into_os_string().into_encoded_bytes());

    // A capture that knows only the bind mount names what is below it by it, and what is not by the other.
    let capture = Kernel::start(Some(Kind::Fanotify)).unwrap();
    let bound = capture.register(&bed.open("bound/e")).unwrap();
    let path = capture.resolve(&bound).unwrap().unwrap().1;
    assert_eq!(path, bed.path("bound/e").into_os_string().into_encoded_bytes());
    let above = capture.register(&bed.open("")).unwrap();
    let path = capture.resolve(&above).unwrap().unwrap().1;
    assert_eq!(path, bed.path("").as_os_str().as_encoded_bytes().strip_suffix(b"/").unwrap());
    assert_eq!(capture.backends().len(), 1);
}

#[test]
fn xfs_is_marked() {
    if !root() {
        return;
    }
    let Some(image) = Image::new("mkfs.xfs", &["-q"], 320) else { return };
    let _mounted = image.mount();
    let bed = Bed::new(Kind::Fanotify, &image.point());
    write(&bed.path("a"), "x");
    assert_eq!(bed.looks(), ["/a nc"]);
}

#[test]
fn a_btrfs_subvolume_is_marked_at_its_top_level() {
    if !root() {
        return;
    }
    let Some(image) = Image::new("mkfs.btrfs", &["-q"], 128) else { return };
    {
        let _mounted = image.mount();
        for name in ["sub", "sub/nested"] {
            let mut made = Command::new("btrfs");
            made.args(["-q", "subvolume", "create"]).arg(image.point().join(name));
            if !made.status().is_ok_and(|status| status.success()) {
                return eprintln!("skipped: no btrfs program");
            }
        }
    }
    let _mounted = image.mount_with("loop,subvol=sub");
    let mut bed = Bed::new(Kind::Fanotify, &image.point());
    let nested = Dir::open_root(&image.point().join("nested")).unwrap();
    let key = bed.capture.register(&nested).unwrap();
    drop(nested);
    bed.labels.insert(key.clone(), "nested".to_owned());
    write(&bed.path("a"), "x");
    write(&image.point().join("nested/b"), "x");
    fs::set_permissions(image.point().join("nested"), PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(bed.looks(), ["/a nc", "nested/b nc", "nested/ m"]);
    assert_eq!(bed.capture.backends().len(), 1);
    let path = bed.capture.resolve(&key).unwrap().unwrap().1;
    assert_eq!(path, image.point().join("nested").into_os_string().into_encoded_bytes());
}

#[test]
fn an_overlay_without_nfs_export_is_watched_and_one_with_is_marked() {
    if !root() {
        return;
    }
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    for name in ["low", "up", "work", "m"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let at = dir.path().display();
    for (more, name, reason) in [
        ("", "inotify", Some("overlayfs mounted without nfs_export=on")),
        (",index=on,nfs_export=on", "fanotify", None),
    ] {
        let options = format!("lowerdir={at}/low,upperdir={at}/up,workdir={at}/work{more}");
        let point = dir.path().join("m");
        let Some(_mounted) = Mounted::try_new(&["-t", "overlay", "-o", &options, "none"], &point) else {
            return eprintln!("skipped: no overlay here");
        };
        let capture = start(&[&Dir::open_root(&point).unwrap()], None).unwrap();
        let backend = capture.backends().remove(0);
        assert_eq!((backend.name, backend.reason.as_deref()), (name, reason));
        write(&point.join(name), "x");
        capture.drain();
        assert_eq!(capture.looks().len(), 1);
    }
}

#[test]
fn a_capture_ends_when_it_is_stopped_or_dropped() {
    let bed = each().pop().unwrap();
    bed.capture.stop();
    bed.capture.stop();
    assert_eq!(bed.capture.ended(), None);
    drop(bed);
}

/// How fast events are read and put into the set: `cargo test --release --lib events_per_second -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn events_per_second() {
    for bed in each() {
        bed.batch();
        let unread = bed.capture.reader.buffer();
        let kept = if bed.is_fanotify() { 100_000 } else { 4_000 };
        let script = format!("for i in range({kept}): open('%s/%d' % ('.', i), 'w').close()");
        let made =
            Command::new("python3").args(["-c", &script]).current_dir(bed.dir.path()).status().unwrap();
        assert!(made.success());
        drop(unread);
        // Time on the processor, whatever else the machine does; the reading thread takes at most a buffer of them.
        let before = on_processor();
        bed.capture.drain();
        let took = on_processor() - before;
        let batch = bed.batch();
        let each = took as f64 / batch.events as f64;
        let (events, looks) = (batch.events, batch.looks.len());
        println!("{}: {events} events, {looks} looks, {each:.0} ns each", bed.capture.backends()[0].name);
        assert_eq!(looks, kept);
    }
}

/// Nanoseconds that this thread has run.
fn on_processor() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// A file system in a file.
struct Image {
    dir: tempfile::TempDir,
}

impl Image {
    /// None, with a reason, where the program is missing.
    fn new(program: &str, args: &[&str], megabytes: u64) -> Option<Image> {
        let dir = tempfile::tempdir().unwrap();
        let image = Image { dir };
        fs::create_dir(image.point()).unwrap();
        fs::File::create(image.file()).unwrap().set_len(megabytes << 20).unwrap();
        let mut command = Command::new(program);
        command.args(args).arg(image.file());
        let made = command.output().is_ok_and(|output| output.status.success());
        if !made {
            eprintln!("skipped: no {program}");
        }
        made.then_some(image)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn point(&self) -> PathBuf {
        self.dir.path().join("m")
    }

    fn mount(&self) -> Mounted {
        self.mount_with("loop")
    }

    fn mount_with(&self, options: &str) -> Mounted {
        Mounted::new(&["-o", options, self.file().to_str().unwrap()], &self.point())
    }
}

/// A mount for the length of a test.
struct Mounted(PathBuf);

impl Mounted {
    fn new(args: &[&str], point: &Path) -> Mounted {
        Mounted::try_new(args, point).unwrap()
    }

    fn try_new(args: &[&str], point: &Path) -> Option<Mounted> {
        let mounted = Command::new("mount").args(args).arg(point).status().unwrap();
        mounted.success().then(|| Mounted(point.to_owned()))
    }

    fn unmount(self) -> Result<(), String> {
        let output = Command::new("umount").arg(&self.0).output().unwrap();
        let result = output.status.success();
        if result {
            std::mem::forget(self);
        }
        result.then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
