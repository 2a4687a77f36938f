//! Completion of DTCL's arguments in other shells: `scripts/installed/completion.bash`, `.zsh` and `.fish`, each from the template beside
//! this file. The program's own options and forms come from its help page, the words of commands from the program itself when the key
//! is pressed. Tests compare the committed files with what is made here.

use super::help::HELP;

/// One line of the help page's options.
struct Opt {
    short: Option<char>,
    long: &'static str,
    /// What it takes: `FILE`, `SECONDS`.
    value: Option<&'static str>,
    text: &'static str,
}

impl Opt {
    fn read(line: &'static str) -> Option<Opt> {
        let (names, text) = line.trim_start().split_once("  ")?;
        let (short, long) = match names.split_once(", ") {
            Some((short, long)) => (short.strip_prefix('-')?.chars().next(), long),
            None => (None, names),
        };
        let (long, value) = match long.split_once(' ') {
            Some((long, value)) => (long, Some(value)),
            None => (long, None),
        };
        Some(Opt { short, long: long.strip_prefix("--")?, value, text: text.trim_start() })
    }

    fn all() -> Vec<Opt> {
        let section = HELP.split("Options:\n").nth(1).unwrap_or_default();
        section.split("\n\n").next().unwrap_or_default().lines().filter_map(Opt::read).collect()
    }

    fn names(&self) -> Vec<String> {
        let short = self.short.map(|short| format!("-{short}"));
        short.into_iter().chain([format!("--{}", self.long)]).collect()
    }

    fn takes_file(&self) -> bool {
        self.value == Some("FILE") || self.long == "check"
    }
}

/// A first word that is the program's own, with what may follow it.
struct Form {
    word: &'static str,
    text: &'static str,
    follows: &'static [&'static str],
    files: bool,
}

const FORMS: &[Form] = &[
    Form { word: "serve", text: "run the service", follows: &["--listen", "--drain-timeout"], files: false },
    Form { word: "fmt", text: "format scripts", follows: &["--check", "--json"], files: true },
    Form { word: "lsp", text: "language server for editors", follows: &["--stdio"], files: false },
    Form {
        word: "user",
        text: "users with a password",
        follows: &["add", "passwd", "remove", "list"],
        files: false,
    },
    Form {
        word: "grant",
        text: "what other machines may do",
        follows: &["list", "remove", "tasks"],
        files: false,
    },
];

/// A word of these shells.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Lines with the same begin.
fn lines(indent: &str, lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| format!("{indent}{line}\n")).collect::<String>().trim_end().to_owned()
}

fn names(wanted: impl Fn(&Opt) -> bool, between: &str) -> String {
    let options = Opt::all();
    let names: Vec<String> = options.iter().filter(|option| wanted(option)).flat_map(Opt::names).collect();
    names.join(between)
}

fn forms(between: &str) -> String {
    FORMS.iter().map(|form| form.word).collect::<Vec<_>>().join(between)
}

fn bash() -> String {
    let follows = FORMS.iter().map(|form| {
        let files = if form.files { "-f " } else { "" };
        let follows = form.follows.join("\\n");
        let fill = format!(r#"mapfile -t COMPREPLY < <(compgen {files}-W $'{follows}' -- "$current")"#);
        format!("{}) {fill}; return ;;", form.word)
    });
    include_str!("template.bash")
        .replace("@files@", &names(Opt::takes_file, " | "))
        .replace("@options@", &names(|_| true, "\\n"))
        .replace("@forms@", &forms("\\n"))
        .replace("@follows@", &lines("        ", follows))
}

fn zsh() -> String {
    // A colon parts a word from what it means.
    let meant = |name: &str, text: &str| word(&format!("{name}:{}", text.replace(':', "\\:")));
    let options = Opt::all();
    let options =
        options.iter().flat_map(|option| option.names().into_iter().map(|name| meant(&name, option.text)));
    let follows = FORMS.iter().map(|form| {
        let files = if form.files { " _files;" } else { "" };
        format!("{}) compadd -- {};{files} return ;;", form.word, form.follows.join(" "))
    });
    include_str!("template.zsh")
        .replace("@files@", &names(Opt::takes_file, "|"))
        .replace("@options@", &lines("  ", options))
        .replace("@forms@", &lines("  ", FORMS.iter().map(|form| meant(form.word, form.text))))
        .replace("@follows@", &lines("  ", follows))
}

fn fish() -> String {
    let options = Opt::all();
    let options = options.iter().map(|option| {
        let short = option.short.map(|short| format!(" -s {short}")).unwrap_or_default();
        let value = match option.value {
            _ if option.takes_file() => " -r -F",
            Some(_) => " -x",
            None => "",
        };
        format!(
            "complete -c $program -n __fish_use_subcommand{short} -l {}{value} -d {}",
            option.long,
            word(option.text)
        )
    });
    let first = FORMS.iter().map(|form| {
        format!("complete -c $program -n __fish_use_subcommand -a {} -d {}", form.word, word(form.text))
    });
    let follows = FORMS.iter().map(|form| {
        let files = if form.files { " -F" } else { "" };
        let condition = word(&format!("__fish_seen_subcommand_from {}", form.word));
        format!("complete -c $program -n {condition}{files} -a {}", word(&form.follows.join(" ")))
    });
    include_str!("template.fish")
        .replace("@options@", &lines("    ", options))
        .replace("@forms@", &forms(" "))
        .replace("@first@", &lines("    ", first))
        .replace("@follows@", &lines("    ", follows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_completions_are_the_help_page() {
        for (shell, made) in [("bash", bash()), ("zsh", zsh()), ("fish", fish())] {
            let name = format!("scripts/installed/completion.{shell}");
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
            let marks = ["@files@", "@options@", "@forms@", "@first@", "@follows@"];
            assert!(!marks.iter().any(|mark| made.contains(mark)), "{shell}: a mark of the template is left");
            if std::env::var_os("DTCL_REGENERATE").is_some() {
                std::fs::write(&file, &made).unwrap();
            }
            let committed = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(committed == made, "{name} is out of date: scripts/generate");
        }
    }

    #[test]
    fn options_are_read_from_the_help_page() {
        let options = Opt::all();
        let file = options.iter().find(|option| option.long == "file").unwrap();
        assert_eq!((file.short, file.value), (Some('f'), Some("FILE")));
        let json = options.iter().find(|option| option.long == "json").unwrap();
        assert_eq!((json.short, json.value), (None, None));
        // Those that a command line may have.
        for long in super::super::args::LONG.iter().filter(|long| **long != "--listen") {
            assert!(options.iter().any(|option| format!("--{}", option.long) == **long), "{long}");
        }
    }
}
