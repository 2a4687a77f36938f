//! What replication does not do: look at what has not changed.

use crate::migration::Migration;
use crate::replication::Following;
use crate::support::skip;
use crate::{needs, support::tree};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const DIRECTORIES: usize = 100;
const FILES: usize = 1000;
/// Directories with changes, and the changes in each.
const CHANGED: (usize, usize) = (10, 100);

/// The system calls of a process by which files and directories are looked at.
struct Traced {
    child: Child,
    output: PathBuf,
}

impl Traced {
    /// None where processes may not be traced.
    fn attach(process: u32, output: PathBuf) -> Option<Traced> {
        let calls = "trace=getdents64,openat,openat2,open,statx,newfstatat,readlinkat,listxattr,llistxattr,flistxattr";
        let mut child = Command::new("strace")
            .args(["-f", "-y", "-s", "4096", "-e", calls, "-o"])
            .arg(&output)
            .args(["-p", &process.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let attached = told.next().is_some_and(|line| line.unwrap().contains("attached"));
        // It goes on to tell of each thread.
        std::thread::spawn(move || told.for_each(drop));
        if !attached {
            let _ = child.wait();
            return None;
        }
        Some(Traced { child, output })
    }

    /// The lines of the trace, and that is its end.
    fn end(mut self) -> Vec<String> {
        let process = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT).unwrap();
        self.child.wait().unwrap();
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).lines().map(str::to_owned).collect()
    }
}

/// The path that a call is about, where that is below `top`: `openat2(7</top/dir>, "name", ...)`, or by a descriptor alone.
fn path_below(line: &str, top: &Path) -> Option<PathBuf> {
    let arguments = &line[line.find('(')? + 1..];
    let dir = arguments.find('<').filter(|at| arguments[..*at].bytes().all(|byte| byte.is_ascii_digit()));
    let (dir, rest) = match dir {
        Some(at) => {
            let end = arguments.find('>')?;
            (PathBuf::from(&arguments[at + 1..end]), &arguments[end + 1..])
        }
        None => (PathBuf::from("/"), arguments),
    };
    let name = rest.split('"').nth(1).unwrap_or("");
    let path = dir.join(name);
    path.starts_with(top).then_some(path)
}

/// 1,000 of 100,000 files change: nothing else is looked at, and no directory of the source is listed.
#[test]
fn what_has_not_changed_is_not_looked_at() {
    needs!(root, "rsync", "strace");
    let m = Migration::new();
    for dir in 0..DIRECTORIES {
        fs::create_dir(m.source.join(format!("d{dir}"))).unwrap();
        for file in 0..FILES {
            fs::write(m.source.join(format!("d{dir}/f{file}")), "").unwrap();
        }
    }
    let mut f = Following::of(m, &[("DTCL_CAPTURE", "fanotify")]);
    f.barrier();
    let output = f.m.home.path("trace");
    let Some(traced) = Traced::attach(f.engine.process(), output) else {
        return skip("what_has_not_changed_is_not_looked_at", "no process may be traced here");
    };
    let changed: Vec<PathBuf> = (0..CHANGED.0).map(|dir| f.m.source.join(format!("d{}", dir * 7))).collect();
    for dir in &changed {
        for file in 0..CHANGED.1 {
            tree::write(&dir.join(format!("f{}", file * 3)), b"changed");
        }
    }
    f.barrier();
    let lines = traced.end();
    let source = f.m.source.canonicalize().unwrap();
    let looked: Vec<(&str, PathBuf)> =
        lines.iter().filter_map(|line| Some((line.as_str(), path_below(line, &source)?))).collect();
    let listed = looked.iter().find(|(line, _)| line.contains("getdents64("));
    assert_eq!(listed, None, "a directory was listed");
    let above = |path: &Path| changed.iter().any(|dir| dir.starts_with(path));
    let other =
        looked.iter().find(|(_, path)| !above(path) && !changed.iter().any(|dir| path.starts_with(dir)));
    assert_eq!(other, None, "something else was looked at");
    let files = |path: &&PathBuf| changed.iter().any(|dir| path.parent() == Some(dir));
    let seen: std::collections::HashSet<&PathBuf> =
        looked.iter().map(|(_, path)| path).filter(files).collect();
    assert!(seen.len() >= CHANGED.0 * CHANGED.1, "the trace shows {} files only", seen.len());
    f.assert_same();
}
