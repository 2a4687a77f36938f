//! A command line as an argument vector: split on blanks, quotes respected, nothing expanded. There is no shell.

/// What cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCommand {
    #[error("it is empty")]
    Empty,
    #[error("a quote is not closed")]
    Open,
    #[error("it does not begin with the full path of a program, as /usr/local/bin/snap")]
    Relative,
    #[error("rhai: is followed by the full path of a file, as rhai:/etc/DT/hook.rhai")]
    Script,
}

/// Begins a hook in Rhai.
const RHAI: &str = "rhai:";

/// The words of a command line. Blanks separate; within `"` or `'` they do not, and a backslash in `"` takes the next
/// character as it is.
pub fn split(command: &str) -> Result<Vec<String>, BadCommand> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => words.extend(word.take()),
            quote @ ('"' | '\'') => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or(BadCommand::Open)? {
                        end if end == quote => break,
                        '\\' if quote == '"' => word.push(letters.next().ok_or(BadCommand::Open)?),
                        letter => word.push(letter),
                    }
                }
            }
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    let program = words.first().ok_or(BadCommand::Empty)?;
    match program.strip_prefix(RHAI) {
        Some(file) if !file.starts_with('/') => Err(BadCommand::Script),
        None if !program.starts_with('/') => Err(BadCommand::Relative),
        _ => Ok(words),
    }
}

/// The file of a hook in Rhai; None: it is a program.
pub fn script(program: &str) -> Option<&str> {
    program.strip_prefix(RHAI)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blanks_separate_and_quotes_hold_together() {
        let words = |command| split(command).unwrap();
        assert_eq!(words("/bin/snap"), ["/bin/snap"]);
        assert_eq!(words("  /bin/snap  --now\t x "), ["/bin/snap", "--now", "x"]);
        assert_eq!(words("/bin/snap \"a b\" '' c\"d\"'e'"), ["/bin/snap", "a b", "", "cde"]);
        assert_eq!(words(r#"/bin/s "say \"hi\" \\" 'a\b'"#), ["/bin/s", r#"say "hi" \"#, r"a\b"]);
        assert_eq!(words("\"/opt/my programs/x\" $HOME `id` ; rm | >f *").len(), 8, "nothing means anything");
        assert_eq!(script(&words("rhai:/etc/DT/hook.rhai a")[0]), Some("/etc/DT/hook.rhai"));
    }

    #[test]
    fn what_is_no_command_says_why() {
        assert_eq!(split("  "), Err(BadCommand::Empty));
        assert_eq!(split("/bin/a \"b"), Err(BadCommand::Open));
        assert_eq!(split("/bin/a \"b\\"), Err(BadCommand::Open));
        assert_eq!(split("snap"), Err(BadCommand::Relative));
        assert_eq!(split("\"\""), Err(BadCommand::Relative));
        assert_eq!(split("rhai:hook"), Err(BadCommand::Script));
    }

    proptest! {
        #[test]
        fn any_text_is_split_or_refused(text in ".{0,80}") {
            if let Ok(words) = split(&text) {
                prop_assert!(!words.is_empty());
            }
        }

        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("[^\"\\\\]{0,12}", 0..5)) {
            let line: String = words.iter().map(|word| format!(" \"{word}\"")).collect();
            let read = split(&format!("/x{line}")).unwrap();
            prop_assert_eq!(&read[1..], &words[..]);
        }
    }
}
