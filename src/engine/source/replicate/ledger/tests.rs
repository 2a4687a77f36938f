use super::super::model::{Entry as Inode, Model, NodeId, Scope};
use super::*;
use crate::sys::{FileKind, Meta, Stat};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::mpsc::channel;

struct Bed {
    _dir: tempfile::TempDir,
    settled: Arc<Settled>,
}

impl Bed {
    fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let settled = Settled::default();
        settled.keep(1, channel().0, dir.path().join("ledger-1"));
        Bed { _dir: dir, settled: Arc::new(settled) }
    }

    fn ledger(&self) -> Arc<Ledger> {
        Arc::new(Ledger::new(Arc::clone(&self.settled), [7; 20]))
    }

    fn path(&self) -> PathBuf {
        self.settled.ledger().unwrap()
    }

    /// A ledger of a model of one root that is begun, whole and applied.
    fn begun(&self, model: &mut Model) -> Arc<Ledger> {
        let ledger = self.ledger();
        model.set_ledger(Arc::clone(&ledger));
        assert!(ledger.is_due());
        let book = ledger.begin().unwrap();
        ledger.next_generation();
        ledger.copies(book, model.steps(0..model.most()), true);
        ledger.is_applied(&[]);
        assert!(ledger.is_settled());
        ledger
    }
}

fn stat(ino: u64) -> Stat {
    let meta = Meta { mode: 0o755, uid: 0, gid: 0, mtime: (0, 0) };
    let kind = FileKind::Directory;
    Stat { kind, meta, size: 0, blocks: 0, links: 1, dev: 7, ino, rdev: 0, ctime: (0, 0), born: 1 }
}

fn inode(ino: u64, kind: FileKind) -> Inode {
    Inode { kind, ..Inode::of(&stat(ino)) }
}

fn model() -> Model {
    let mut model = Model::default();
    model.add_root(0, &stat(1), Scope::Everything, true);
    model
}

/// All that is known of each path, with its number.
type Tree = BTreeMap<Vec<u8>, (NodeId, Inode, u16)>;

fn tree(model: &Model) -> Tree {
    let nodes = model.all_below(model.roots()[0]);
    let flags = |node| [flag::MADE, flag::SEPARATE].into_iter().filter(|flag| model.has(node, *flag)).sum();
    nodes
        .into_iter()
        .skip(1)
        .map(|node| (model.path(node).1, (node, model.entry(node), flags(node))))
        .collect()
}

/// The model that a ledger's file makes, and what else is known.
fn read(bed: &Bed) -> (Model, Known) {
    let mut loaded = load::load(&bed.path(), &[7; 20], boot_id().ok()).unwrap().unwrap();
    let (node, _) = loaded.root(0).unwrap();
    let mut model = Model::default();
    model.place_root(Some(node), 0, &stat(1), Scope::Everything, true);
    loaded.fill(&mut model, None);
    let known = loaded.sum(&model);
    (model, known)
}

#[test]
fn what_is_not_applied_is_dirty_and_what_was_left_is_told_of() {
    let bed = Bed::new();
    let mut model = model();
    let root = model.roots()[0];
    let d = model.insert(root, b"d", &inode(2, FileKind::Directory), flag::MADE);
    let f = model.insert(d, b"f", &inode(3, FileKind::File), flag::MADE);
    let ledger = bed.begun(&mut model);
    assert!(read(&bed).1.is_all());
    model.relocate(f, root, b"g");
    model.remove(d, &mut |_, _| {});
    ledger.note(&Entry::Dirty { node: f, deep: false });
    ledger.write();
    let (again, known) = read(&bed);
    assert_eq!(tree(&again), tree(&model));
    // What was in `d` goes with it.
    assert_eq!(known.left, [(0, b"".to_vec(), b"d".to_vec())]);
    assert!(!known.dirty.is_empty() && !known.unseen);
    ledger.next_generation();
    ledger.note(&Entry::Unseen);
    ledger.is_applied(&[]);
    let known = read(&bed).1;
    assert!(
        known.dirty.is_empty() && known.left.is_empty() && known.unseen,
        "it was noted after the generation"
    );
    assert!(!ledger.is_settled());
}

#[test]
fn a_generation_that_nobody_has_waited_for_is_dirty_for_the_next_engine() {
    let bed = Bed::new();
    let ledger = bed.begun(&mut model());
    ledger.note(&Entry::Everything);
    ledger.next_generation();
    ledger.write();
    drop(ledger);
    let ledger = bed.ledger();
    assert!(ledger.load().is_some());
    ledger.next_generation();
    ledger.is_applied(&[]);
    assert!(read(&bed).1.is_all(), "the next engine has brought it");
    ledger.note(&Entry::Everything);
    ledger.next_generation();
    ledger.write();
    drop(ledger);
    let ledger = bed.ledger();
    assert!(ledger.load().is_some());
    ledger.write();
    assert!(!read(&bed).1.is_all());
}

#[test]
fn a_page_that_was_being_written_counts_for_nothing_and_a_damaged_one_is_refused() {
    let bed = Bed::new();
    let mut model = model();
    let root = model.roots()[0];
    let ledger = bed.begun(&mut model);
    let before = tree(&model);
    model.insert(root, b"new", &inode(2, FileKind::File), flag::MADE);
    let whole = std::fs::read(bed.path()).unwrap();
    ledger.write();
    drop(ledger);
    let longer = std::fs::read(bed.path()).unwrap();
    for cut in whole.len()..longer.len() {
        std::fs::write(bed.path(), &longer[..cut]).unwrap();
        assert_eq!(tree(&read(&bed).0), before);
    }
    // The next engine writes where it ends.
    let ledger = bed.ledger();
    assert!(ledger.load().is_some());
    ledger.note(&Entry::Unseen);
    ledger.write();
    assert!(read(&bed).1.unseen);
    for at in 0..whole.len() {
        let mut damaged = longer.clone();
        damaged[at] ^= 4;
        std::fs::write(bed.path(), &damaged).unwrap();
        assert!(bed.ledger().load().is_none(), "byte {at}");
        assert!(!bed.path().exists());
    }
}

#[test]
fn it_counts_for_its_own_connection_alone_and_after_a_reboot_only_if_it_was_closed() {
    let bed = Bed::new();
    let ledger = bed.begun(&mut model());
    assert!(load::load(&bed.path(), &[8; 20], boot_id().ok()).unwrap_err().contains("others by now"));
    let boot = Some([b'x'; BOOT_ID]);
    assert!(load::load(&bed.path(), &[7; 20], boot).unwrap_err().contains("gone down"));
    ledger.close();
    assert!(load::load(&bed.path(), &[7; 20], boot).unwrap().is_some());
    assert!(!ledger.is_open());
    // Gone on with, and not closed.
    let ledger = bed.ledger();
    assert!(ledger.load().is_some());
    assert!(load::load(&bed.path(), &[7; 20], boot).is_err());
    bed.settled.forget_ledger(true);
    assert!(bed.settled.ledger().is_none() && !ledger.is_due());
}

#[test]
fn one_that_was_not_begun_whole_is_not_there() {
    let bed = Bed::new();
    let mut model = model();
    let root = model.roots()[0];
    let ledger = bed.begun(&mut model);
    let book = ledger.begin().unwrap();
    ledger.next_generation();
    model.insert(root, b"new", &inode(2, FileKind::File), flag::MADE);
    assert!(!ledger.copies(book - 1, model.steps(0..2), true), "who copies for the book before");
    ledger.copies(book, model.steps(0..1), false);
    ledger.is_applied(&[]);
    assert_eq!(tree(&read(&bed).0), tree(&model), "the one before stands");
    ledger.copies(book, model.steps(1..2), true);
    assert!(bed.path().with_extension("new").exists() && ledger.has_news());
    ledger.next_generation();
    ledger.is_applied(&[]);
    assert!(!bed.path().with_extension("new").exists());
    assert_eq!(tree(&read(&bed).0), tree(&model));
}

/// However often a service is started again, its ledger does not grow without end.
#[test]
fn one_that_has_grown_before_a_restart_is_begun_anew_after_it() {
    let bed = Bed::new();
    let mut model = model();
    let ledger = bed.begun(&mut model);
    let root = model.roots()[0];
    for number in 0..30_000u32 {
        let node = model.insert(root, &[b'n'; 200], &inode(u64::from(number), FileKind::File), flag::MADE);
        model.remove(node, &mut |_, _| {});
    }
    ledger.write();
    assert!(ledger.is_due());
    let ledger = bed.ledger();
    assert!(ledger.load().is_some() && ledger.is_due());
}

#[test]
fn what_cannot_be_written_is_given_up_and_tried_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let settled = Settled::default();
    settled.keep(1, channel().0, dir.path().join("is not there/ledger-1"));
    let ledger = Ledger::new(Arc::new(settled), [7; 20]);
    assert!(ledger.is_due() && ledger.begin().is_none());
    assert!(!ledger.is_due() && !ledger.is_open());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Random steps, some while the ledger is begun anew and copied in pieces: what is read back is the model as it is.
    #[test]
    fn the_model_comes_back(
        steps in proptest::collection::vec((0u8..9, 0usize..64, 0usize..64, 0u8..4), 1..200),
    ) {
        let bed = Bed::new();
        let mut model = model();
        let root = model.roots()[0];
        let ledger = bed.begun(&mut model);
        let (mut ino, mut copied, mut book): (u64, Option<NodeId>, u64) = (10, None, 0);
        for (what, a, b, name) in steps {
            let nodes = model.all_below(root);
            let (node, other) = (nodes[a % nodes.len()], nodes[b % nodes.len()]);
            let name = [b'a' + name];
            let into = model.entry(other).kind == FileKind::Directory && model.child(other, &name).is_none();
            match what {
                0 | 1 if into => {
                    ino += 1;
                    let kind = if what == 0 { FileKind::Directory } else { FileKind::File };
                    model.insert(other, &name, &inode(ino, kind), flag::MADE);
                }
                2 if into && node != root && !model.is_below(other, node) => model.relocate(node, other, &name),
                3 if node != root => _ = model.remove(node, &mut |_, _| {}),
                4 => model.set_stamps(node, b as u64, (a as i64, -1)),
                5 if node != root => {
                    model.set(node, flag::SEPARATE | flag::FOLLOWED);
                    model.clear(node, flag::MADE);
                }
                6 if copied.is_none() => {
                    book = ledger.begin().unwrap();
                    ledger.next_generation();
                    copied = Some(0);
                }
                7 => {
                    if let Some(at) = copied.filter(|at| *at < model.most()) {
                        let end = (at + 3).min(model.most());
                        ledger.copies(book, model.steps(at..end), end == model.most());
                        copied = (end < model.most()).then_some(end);
                        if copied.is_none() {
                            ledger.is_applied(&[]);
                        }
                    }
                }
                8 => ledger.write(),
                _ => {}
            }
        }
        ledger.write();
        let (again, _) = read(&bed);
        // A root's stamps are those of what stands there.
        prop_assert_eq!(tree(&again), tree(&model));
        // Numbers that are free are given again.
        let mut again = again;
        let fresh = again.insert(root, b"fresh", &inode(9, FileKind::File), 0);
        prop_assert_eq!(again.path(fresh).1, b"fresh".to_vec());
    }
}
