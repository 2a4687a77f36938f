//! Wildcards of one path component: `*` is any run of characters (an empty one too), `?` exactly one.
//!
//! Names are bytes. `?` takes one whole UTF-8 character where the name is valid there, else one byte. There is no
//! escape: a name that holds a star is written with `?` in its place. Leading dots are ordinary characters.

/// A component with wildcards, sorted by how it can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Glob {
    /// `*`
    Any,
    /// `*.db`
    Suffix(Box<[u8]>),
    /// `core*`
    Prefix(Box<[u8]>),
    /// Everything else; runs of `*` are folded to one.
    General(Box<[u8]>),
}

/// True if the component holds a wildcard.
pub(super) fn is_wild(component: &[u8]) -> bool {
    component.iter().any(|&b| b == b'*' || b == b'?')
}

impl Glob {
    pub(super) fn new(component: &[u8]) -> Self {
        let mut folded = Vec::with_capacity(component.len());
        for &byte in component {
            if byte != b'*' || folded.last() != Some(&b'*') {
                folded.push(byte);
            }
        }
        match folded.as_slice() {
            b"*" => Glob::Any,
            [b'*', rest @ ..] if !is_wild(rest) => Glob::Suffix(rest.into()),
            [rest @ .., b'*'] if !is_wild(rest) => Glob::Prefix(rest.into()),
            _ => Glob::General(folded.into()),
        }
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Glob::Any => true,
            Glob::Suffix(suffix) => name.ends_with(suffix),
            Glob::Prefix(prefix) => name.starts_with(prefix),
            Glob::General(pattern) => general(pattern, name),
        }
    }

    /// How many characters are written out; more of them make a pattern more specific.
    pub(super) fn literal_bytes(&self) -> usize {
        match self {
            Glob::Any => 0,
            Glob::Suffix(text) | Glob::Prefix(text) => text.len(),
            Glob::General(text) => text.iter().filter(|&&b| b != b'*' && b != b'?').count(),
        }
    }

    /// True if whatever `other` matches is surely matched by this one too (false negatives are possible).
    pub(super) fn covers(&self, other: &Glob) -> bool {
        match (self, other) {
            (Glob::Any, _) => true,
            (Glob::Suffix(mine), Glob::Suffix(theirs)) => theirs.ends_with(mine),
            (Glob::Prefix(mine), Glob::Prefix(theirs)) => theirs.starts_with(mine),
            _ => self == other,
        }
    }
}

/// The usual walk with one place to return to: linear but for the length of the pattern's pieces.
fn general(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => {
                p += 1;
                n += character(&name[n..]);
                continue;
            }
            Some(byte) if *byte == name[n] => {
                p += 1;
                n += 1;
                continue;
            }
            _ => {}
        }
        let Some((star, from)) = back else { return false };
        let from = from + character(&name[from..]);
        back = Some((star, from));
        p = star + 1;
        n = from;
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

/// Length of the character at the start of `name`, which is not empty.
fn character(name: &[u8]) -> usize {
    let length = match name[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return 1,
    };
    match name.get(..length) {
        Some(bytes) if std::str::from_utf8(bytes).is_ok() => length,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &[u8]) -> bool {
        Glob::new(pattern.as_bytes()).matches(name)
    }

    #[test]
    fn shapes() {
        assert_eq!(Glob::new(b"***"), Glob::Any);
        assert_eq!(Glob::new(b"**.db"), Glob::Suffix(b".db"[..].into()));
        assert_eq!(Glob::new(b"core*"), Glob::Prefix(b"core"[..].into()));
        assert!(matches!(Glob::new(b"a*b"), Glob::General(_)));
        assert!(matches!(Glob::new(b"?"), Glob::General(_)));
    }

    #[test]
    fn stars_and_question_marks() {
        assert!(matches("*.db", b".db"));
        assert!(matches("*.db", b"a.b.db"));
        assert!(!matches("*.db", b"a.db2"));
        assert!(matches("a*b*c", b"abc"));
        assert!(matches("a*b*c", b"aXbYbZc"));
        assert!(!matches("a*b*c", b"aXbY"));
        assert!(!matches("a*bc", b"ab"));
        assert!(matches("?", "\u{e4}".as_bytes()), "one character of two bytes");
        assert!(matches("?", b"\xff"), "one byte that is no character");
        assert!(!matches("?", b""));
        assert!(!matches("?", b"ab"));
        assert!(matches("file?.t*", b"file1.txt"));
    }

    /// The plain recursive definition.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => {
                naive(rest, name) || (!name.is_empty() && naive(pattern, &name[character(name)..]))
            }
            Some((b'?', rest)) => !name.is_empty() && naive(rest, &name[character(name)..]),
            Some((byte, rest)) => name.first() == Some(byte) && naive(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,7}", name in "[ab\u{e4}]{0,9}") {
            prop_assert_eq!(
                Glob::new(pattern.as_bytes()).matches(name.as_bytes()),
                naive(pattern.as_bytes(), name.as_bytes())
            );
        }

        #[test]
        fn covering_is_sound(one in "[ab]{0,2}\\*?[ab]{0,2}", two in "[ab]{0,2}\\*[ab]{0,2}", name in "[ab]{0,6}") {
            let (one, two) = (Glob::new(one.as_bytes()), Glob::new(two.as_bytes()));
            if one.covers(&two) && two.matches(name.as_bytes()) {
                prop_assert!(one.matches(name.as_bytes()));
            }
        }
    }
}
