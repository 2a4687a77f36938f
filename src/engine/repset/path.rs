//! What a person may write as a rule's path and as a set's name (RST-05, RST-06).

use crate::api::{ApiError, Code};

/// Longest path of a rule, in characters (RST-05).
pub const RULE_PATH_LIMIT: usize = 259;

/// Longest name of a set, in bytes: it becomes part of a file name (`<repset> DTVerify.log`).
pub const NAME_LIMIT: usize = 128;

/// What a set's name must not hold (RST-06); control characters come on top.
pub const NAME_ILLEGAL: &str = ".?<>:\"\\/*|";

/// The path as it is stored: one slash between components, none at the end, no `.` component.
///
/// Refused with -140: a path that is not absolute, holds `..` or NUL, or is too long.
pub fn normalise_rule_path(path: &str) -> Result<String, ApiError> {
    let bad = |what: String| ApiError::new(Code::SourcePathIsInvalid, what);
    if path.is_empty() {
        return Err(bad("the path is empty".into()).help("write an absolute path, e.g. \"/srv/data\""));
    }
    if !path.starts_with('/') {
        return Err(bad(format!("the path \"{path}\" is not absolute"))
            .help(format!("write it from the root, e.g. \"/srv/{}\"", path.trim_start_matches("./"))));
    }
    if let Some(place) = path.chars().position(|c| c == '\0') {
        return Err(bad(format!("character {} of the path is NUL, which no name can hold", place + 1)));
    }
    let parts: Vec<&str> = path.split('/').filter(|c| !c.is_empty() && *c != ".").collect();
    if let Some(place) = parts.iter().position(|c| *c == "..") {
        return Err(bad(format!("component {} of the path \"{path}\" is \"..\"", place + 1))
            .help("write the path without \"..\": a rule names one fixed place"));
    }
    let normal = format!("/{}", parts.join("/"));
    let length = normal.chars().count();
    if length > RULE_PATH_LIMIT {
        return Err(bad(format!(
            "the path has {length} characters, a rule's path at most {RULE_PATH_LIMIT}"
        ))
        .help("name a directory higher up, or use a wildcard (* or ?) for a long component"));
    }
    Ok(normal)
}

/// Refuses an illegal name of a set with -101, naming the character and its place.
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let bad = |what: String| ApiError::new(Code::InvalidParameterWasSupplied, what);
    let help = "choose a name without . ? < > : \" \\ / * | and control characters";
    if name.is_empty() {
        return Err(bad("the name of the replication set is empty".into()).help(help));
    }
    if name.trim() != name {
        return Err(bad(format!("the name \"{name}\" begins or ends with a blank"))
            .help(format!("write it as \"{}\"", name.trim())));
    }
    if name.len() > NAME_LIMIT {
        return Err(bad(format!("the name has {} bytes, a set's name at most {NAME_LIMIT}", name.len()))
            .help("choose a shorter name"));
    }
    let illegal = |c: &char| NAME_ILLEGAL.contains(*c) || c.is_control();
    if let Some((place, c)) = name.chars().enumerate().find(|(_, c)| illegal(c)) {
        return Err(bad(format!(
            "character {} of the name \"{}\", '{}', is not allowed in the name of a replication set",
            place + 1,
            name.escape_debug(),
            c.escape_debug()
        ))
        .help(help));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_form() {
        for (written, stored) in [
            ("/", "/"),
            ("//", "/"),
            ("/srv//data/", "/srv/data"),
            ("/srv/./data/.", "/srv/data"),
            ("/a/*/", "/a/*"),
        ] {
            assert_eq!(normalise_rule_path(written).as_deref(), Ok(stored));
        }
    }

    #[test]
    fn refused_paths_name_the_place_and_the_remedy() {
        for (written, words) in [
            ("", "empty"),
            ("srv/data", "not absolute"),
            ("/srv/../etc", "component 2"),
            ("/srv/..", "component 2"),
            ("/a\0b", "character 3"),
        ] {
            let error = normalise_rule_path(written).unwrap_err();
            assert_eq!(error.code, Code::SourcePathIsInvalid);
            assert!(error.message.contains(words), "{written:?}: {}", error.message);
        }
        assert_eq!(normalise_rule_path("/..x/...").as_deref(), Ok("/..x/..."));
    }

    /// RST-05: 259 characters are allowed, 260 are not; a character of several bytes is one.
    #[test]
    fn length_limit() {
        let fits = format!("/{}", "\u{e4}".repeat(258));
        assert_eq!(normalise_rule_path(&fits).as_deref(), Ok(fits.as_str()));
        let error = normalise_rule_path(&format!("{fits}x")).unwrap_err();
        assert!(error.message.contains("260"), "{}", error.message);
        assert_eq!(
            normalise_rule_path(&format!("{fits}///")).as_deref(),
            Ok(fits.as_str()),
            "counted as stored"
        );
    }

    /// RST-06
    #[test]
    fn names() {
        for name in ["Data", "New Replication Set", "B\u{fc}ro-2", "to", "a'b", "$x"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for c in NAME_ILLEGAL.chars().chain(['\n', '\t', '\u{7f}', '\u{85}']) {
            let error = check_name(&format!("ab{c}d")).unwrap_err();
            assert!(error.message.contains("character 3"), "{}", error.message);
            assert!(!error.message.contains('\n'), "one line");
        }
        for name in ["", " a", "a ", &"x".repeat(129)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
