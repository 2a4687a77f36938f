//! What the shell remembers of the lines that were typed.
//!
//! Kept in the home's state, readable by its owner alone. A line that may hold a LOGIN's password is never kept, not even
//! in memory: rather a harmless line too few than a password on the disk.

use std::path::{Path, PathBuf};

/// Lines kept.
pub const LONGEST: usize = 2000;

/// The file, in a home's state directory.
pub fn file(state: &Path) -> PathBuf {
    state.join("history")
}

/// False for what must not be kept: a LOGIN (or what looks like one misspelt) with a password, and blank lines.
pub fn may_keep(text: &str) -> bool {
    let words: Vec<&str> = text
        .split(|char: char| char.is_whitespace() || "\"',;=()".contains(char))
        .filter(|word| !word.is_empty())
        .collect();
    // LOGIN <machine> <user> <password>: three words behind it.
    let login = words.iter().position(|word| is_login(word));
    !words.is_empty() && login.is_none_or(|at| words.len() - at <= 3)
}

/// `login`, `logon`, and both with one letter wrong, missing, doubled or swapped.
fn is_login(word: &str) -> bool {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    ["login", "logon"].iter().any(|right| near(&word, &right.chars().collect::<Vec<_>>()))
}

/// True when one edit at most lies between two words.
fn near(a: &[char], b: &[char]) -> bool {
    let head = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[head..], &b[head..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&a[..a.len() - tail], &b[..b.len() - tail]) {
        ([] | [_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::may_keep;

    #[test]
    fn a_password_is_never_kept() {
        for line in [
            "login beta admin secret",
            "LOGON beta admin \"my secret\"",
            "$r = login beta admin 'secret' dom",
            "write 1; login beta admin secret",
            "if 1 = 1 then\n login beta admin secret\nend",
            "watch 5 login beta admin secret",
            "login beta admin \\\n secret",
            "login,beta,admin,secret",
            "logn beta admin secret",
            "lgoin beta admin secret",
            "loginn beta admin secret",
            "lpgon beta admin secret",
        ] {
            assert!(!may_keep(line), "{line}");
        }
    }

    #[test]
    fn what_holds_no_password_is_kept() {
        for line in ["login beta admin", "logout *", "repset list", "connect login to beta", "log 10"] {
            assert!(may_keep(line), "{line}");
        }
        assert!(!may_keep("  "));
    }
}
